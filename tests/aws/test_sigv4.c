/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signatures that AWS published: its "Signature Version 4 test suite" (key, region, service and time are the same in
 * all of it) and the examples of "Authenticating Requests: Using the Authorization Header" for S3.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <string.h>

#include <cmocka.h>

#include "aws/sigv4.h"
#include "base/mem.h"

#define TOKEN                                                                                                          \
	"AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSPfIeoIYRqTflfKD8Y" \
	"UuwthAx7mSEI/qkPpKPi/"                                                                                        \
	"kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8"                     \
	"YQcHNVXAkiY9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+"                                                         \
	"scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2IC"                                                    \
	"CR/oLxBA=="
#define FORM "application/x-www-form-urlencoded"
#define UNRESERVED "-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

static const struct {
	const char *name, *method, *path;
	struct fl_pair query[3], headers[4]; /* beside Host and X-Amz-Date */
	const char *body, *signature;
} suite[] = {
    {"vanilla", "GET", "/", {{0}}, {{0}}, "", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
    {"header twice",
     "GET",
     "/",
     {{0}},
     {{"My-Header1", "value2"}, {"my-header1", "value2"}, {"MY-HEADER1", "value1"}},
     "",
     "c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea"},
    {"order of values",
     "GET",
     "/",
     {{0}},
     {{"My-Header1", "value4"}, {"My-Header1", "value1"}, {"My-Header1", "value3"}, {"My-Header1", "value2"}},
     "",
     "08c7e5a9acfcfeb3ab6b2185e75ce8b1deb5e634ec47601a50643f830c755c01"},
    {"spaces around and in values",
     "GET",
     "/",
     {{0}},
     {{"My-Header1", " value1"}, {"My-Header2", " \"a   b   c\""}},
     "",
     "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736"},
    {"unreserved path",
     "GET",
     "/" UNRESERVED,
     {{0}},
     {{0}},
     "",
     "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f"},
    {"UTF-8 path",
     "GET",
     "/\u1234",
     {{0}},
     {{0}},
     "",
     "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85"},
    {"UTF-8 query",
     "GET",
     "/",
     {{"\u1234", "bar"}},
     {{0}},
     "",
     "2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04"},
    {"order of parameters",
     "GET",
     "/",
     {{"Param2", "value2"}, {"Param1", "value1"}},
     {{0}},
     "",
     "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"},
    {"one parameter",
     "GET",
     "/",
     {{"Param1", "value1"}},
     {{0}},
     "",
     "a67d582fa61cc504c4bae71f336f98b97f1ea3c7a6bfe1b6e45aec72011b9aeb"},
    {"unreserved query",
     "GET",
     "/",
     {{UNRESERVED, UNRESERVED}},
     {{0}},
     "",
     "9c3e54bfcdf0b19771a7f523ee5669cdf59bc7cc0884027167c21bb143a40197"},
    {"post", "POST", "/", {{0}}, {{0}}, "", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"},
    {"post, header's case",
     "POST",
     "/",
     {{0}},
     {{"My-Header1", "VALUE1"}},
     "",
     "cdbc9802e29d2942e5e10b5bccfdd67c5f22c7c4e8ae67b53629efa58b974b7d"},
    {"post, a parameter",
     "POST",
     "/",
     {{"Param1", "value1"}},
     {{0}},
     "",
     "28038455d6de14eafc1f9222cf5aa6f1a96197d7deb8263271d420d138af7f11"},
    {"session token",
     "POST",
     "/",
     {{0}},
     {{"X-Amz-Security-Token", TOKEN}},
     "",
     "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead"},
    {"form",
     "POST",
     "/",
     {{0}},
     {{"Content-Type", FORM}},
     "Param1=value1",
     "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a"},
    {"form with a character set",
     "POST",
     "/",
     {{0}},
     {{"Content-Type", FORM "; charset=utf8"}},
     "Param1=value1",
     "1a72ec8f64bd914b0e42e42607c7fbce7fb2c7465f63e3092b3b0d39fa77a6fe"},
    {"relative",
     "GET",
     "/example/..",
     {{0}},
     {{0}},
     "",
     "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
    {"twice relative",
     "GET",
     "/example1/example2/../..",
     {{0}},
     {{0}},
     "",
     "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
    {"dot", "GET", "/./", {{0}}, {{0}}, "", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
    {"two slashes", "GET", "//", {{0}}, {{0}}, "", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
    {"pointless dot",
     "GET",
     "/./example",
     {{0}},
     {{0}},
     "",
     "ef75d96142cf21edca26f06005da7988e4f8dc83a165a80865db7089db637ec5"},
    {"slashes",
     "GET",
     "//example//",
     {{0}},
     {{0}},
     "",
     "9a624bd73a37c9a373b5312afbebe7a714a789de108f0bdfe846570885f57e84"},
    {"space",
     "GET",
     "/example space/",
     {{0}},
     {{0}},
     "",
     "652487583200325589f1fba4c7e578f72c47cb61beeca81406b39ddec1366741"},
};

static const char *signature_of(struct fl_buf *authorization)
{
	const char *at = strstr(fl_buf_cstr(authorization), "Signature=");

	assert_non_null(at);
	return at + strlen("Signature=");
}

static void aws_suite(void **state)
{
	(void)state;
	for (size_t i = 0; i < FL_ARRAY_LEN(suite); i++) {
		struct fl_buf out FL_CLEANUP(fl_buf_free) = FL_BUF(4096);
		struct fl_pair headers[6] = {{"Host", "example.amazonaws.com"}, {"X-Amz-Date", "20150830T123600Z"}};
		char digest[FL_SHA256_HEX];
		struct fl_sigv4 q = {.method = suite[i].method,
				     .path = suite[i].path,
				     .query = suite[i].query,
				     .headers = headers,
				     .headers_n = 2,
				     .payload_sha256 = digest,
				     .region = "us-east-1",
				     .service = "service",
				     .key_id = "AKIDEXAMPLE",
				     .secret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
				     .date = "20150830T123600Z"};

		fl_sha256_hex(suite[i].body, strlen(suite[i].body), digest);
		while (q.query_n < 3 && suite[i].query[q.query_n].name)
			q.query_n++;
		for (size_t h = 0; h < 4 && suite[i].headers[h].name; h++)
			headers[q.headers_n++] = suite[i].headers[h];
		assert_int_equal(fl_sigv4_authorization(&q, &out), 0);
		if (strcmp(signature_of(&out), suite[i].signature) != 0)
			fail_msg("%s: %s", suite[i].name, fl_buf_cstr(&out));
	}
}

static const struct {
	const char *method, *path;
	struct fl_pair query[2], headers[3];
	const char *payload, *signature;
} s3_examples[] = {
    {"GET",
     "/test.txt",
     {{0}},
     {{"Range", "bytes=0-9"}},
     FL_SHA256_EMPTY,
     "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"},
    {"PUT",
     "/test%24file.text",
     {{0}},
     {{"Date", "Fri, 24 May 2013 00:00:00 GMT"}, {"x-amz-storage-class", "REDUCED_REDUNDANCY"}},
     "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072",
     "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd"},
    {"GET",
     "/",
     {{"lifecycle", ""}},
     {{0}},
     FL_SHA256_EMPTY,
     "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"},
    {"GET",
     "/",
     {{"prefix", "J"}, {"max-keys", "2"}},
     {{0}},
     FL_SHA256_EMPTY,
     "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"},
};

static void s3_documentation(void **state)
{
	(void)state;
	for (size_t i = 0; i < FL_ARRAY_LEN(s3_examples); i++) {
		struct fl_buf out FL_CLEANUP(fl_buf_free) = FL_BUF(4096);
		struct fl_pair headers[6] = {{"host", "examplebucket.s3.amazonaws.com"},
					     {"x-amz-content-sha256", s3_examples[i].payload},
					     {"x-amz-date", "20130524T000000Z"}};
		struct fl_sigv4 q = {.method = s3_examples[i].method,
				     .path = s3_examples[i].path,
				     .s3 = true,
				     .query = s3_examples[i].query,
				     .headers = headers,
				     .headers_n = 3,
				     .payload_sha256 = s3_examples[i].payload,
				     .region = "us-east-1",
				     .service = "s3",
				     .key_id = "AKIAIOSFODNN7EXAMPLE",
				     .secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
				     .date = "20130524T000000Z"};

		while (q.query_n < 2 && s3_examples[i].query[q.query_n].name)
			q.query_n++;
		for (size_t h = 0; h < 3 && s3_examples[i].headers[h].name; h++)
			headers[q.headers_n++] = s3_examples[i].headers[h];
		assert_int_equal(fl_sigv4_authorization(&q, &out), 0);
		assert_string_equal(signature_of(&out), s3_examples[i].signature);
	}
}

/* S3 takes the path as it is: what the general rule would tidy away are other keys there. */
static void s3_paths_stay(void **state)
{
	static const char *const paths[] = {"/b//a", "/b/../a", "/b/./a", "/b/a%20%3D%2B", "/b/"};

	(void)state;
	for (size_t i = 0; i < FL_ARRAY_LEN(paths); i++) {
		struct fl_buf out FL_CLEANUP(fl_buf_free) = FL_BUF(4096);
		struct fl_sigv4 q = {.method = "GET", .path = paths[i], .s3 = true, .payload_sha256 = "x"};
		const char *line;

		assert_int_equal(fl_sigv4_canonical(&q, &out), 0);
		line = strchr(fl_buf_cstr(&out), '\n') + 1;
		assert_memory_equal(line, paths[i], strlen(paths[i]));
		assert_int_equal(line[strlen(paths[i])], '\n');
	}
}

static void keys_are_encoded_once(void **state)
{
	static const struct {
		const char *key, *coded;
	} rows[] = {
	    {"AWSLogs/aws-account-id=1/year=2026/a b.log.gz", "AWSLogs/aws-account-id%3D1/year%3D2026/a%20b.log.gz"},
	    {"\u00e9\u65e5+&?#%41\"'<>;,:@$!*()",
	     "%C3%A9%E6%97%A5%2B%26%3F%23%2541%22%27%3C%3E%3B%2C%3A%40%24%21%2A%28%29"},
	    {"~-._/\x7f\x01", "~-._/%7F%01"},
	};

	(void)state;
	for (size_t i = 0; i < FL_ARRAY_LEN(rows); i++) {
		struct fl_buf out FL_CLEANUP(fl_buf_free) = FL_BUF(4096);

		assert_int_equal(fl_uri_encode(&out, rows[i].key, strlen(rows[i].key), true), 0);
		assert_string_equal(fl_buf_cstr(&out), rows[i].coded);
	}
}

static void ceilings(void **state)
{
	struct fl_buf out FL_CLEANUP(fl_buf_free) = FL_BUF(4096);
	struct fl_pair many[FL_SIGV4_PAIRS_MAX + 1];
	struct fl_sigv4 q = {.method = "GET",
			     .path = "/",
			     .payload_sha256 = "x",
			     .region = "r",
			     .service = "s",
			     .key_id = "k",
			     .secret = "s",
			     .date = "20150830T123600Z"};

	(void)state;
	for (size_t i = 0; i < FL_ARRAY_LEN(many); i++)
		many[i] = (struct fl_pair){"a", "b"};
	q.headers = many;
	q.headers_n = FL_ARRAY_LEN(many);
	assert_int_equal(fl_sigv4_authorization(&q, &out), -EINVAL);
	q.headers_n = 0;
	q.query = many;
	q.query_n = FL_ARRAY_LEN(many);
	assert_int_equal(fl_sigv4_authorization(&q, &out), -EINVAL);
	q.query_n = 0;
	q.date = "2015-08-30T12:36:00Z";
	assert_int_equal(fl_sigv4_authorization(&q, &out), -EINVAL);
	q.date = "20150830T123600Z";
	assert_int_equal(fl_sigv4_authorization(&q, &out), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(aws_suite), cmocka_unit_test(s3_documentation),
					   cmocka_unit_test(s3_paths_stay), cmocka_unit_test(keys_are_encoded_once),
					   cmocka_unit_test(ceilings)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
