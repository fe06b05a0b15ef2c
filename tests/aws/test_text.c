/* SPDX-License-Identifier: Apache-2.0 */
/* What servers and files say: XML, pages of listings, shared files, times of expiry. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <string.h>

#include <cmocka.h>

#include "aws/credentials.h"
#include "aws/ini.h"
#include "aws/page.h"
#include "aws/retry.h"
#include "aws/xml.h"
#include "base/error.h"

static int trace(void *ctx, const char *const *path, unsigned depth, const char *text)
{
	return text ? fl_buf_printf(ctx, "%u/%s=%s|", depth, path[depth - 1], text)
		    : fl_buf_printf(ctx, "%u<%s|", depth, path[depth - 1]);
}

static void xml_is(const char *xml, const char *want)
{
	struct fl_buf out FL_CLEANUP(fl_buf_free) = FL_BUF(1u << 20);

	assert_int_equal(fl_xml_parse(xml, strlen(xml), trace, &out), 0);
	assert_string_equal(fl_buf_cstr(&out), want);
}

static void xml_is_read(void **state)
{
	(void)state;
	xml_is("<?xml version=\"1.0\"?>\n<a xmlns='x>y'><b>1</b><c/><!-- <d> --></a>\n",
	       "1<a|2<b|2/b=1|2<c|2/c=|1/a=|");
	xml_is("<a>&lt;&gt;&amp;&quot;&apos;&#65;&#x42;&#xe9;&#x65e5;&#x1F600;</a>",
	       "1<a|1/a=<>&\"'AB\u00e9\u65e5\U0001f600|");
	xml_is("<a><![CDATA[<b>&amp;]]></a>", "1<a|1/a=<b>&amp;|");
	xml_is("<s3:a><s3:b >t</s3:b ></s3:a>", "1<a|2<b|2/b=t|1/a=|");
	xml_is("\xef\xbb\xbf<a/>", "1<a|1/a=|");
}

static void xml_is_refused(void **state)
{
	static const char *const bad[] = {
	    "",
	    " ",
	    "text",
	    "<a>",
	    "<a></b>",
	    "</a>",
	    "<a/><b/>",
	    "<a/>text",
	    "<a",
	    "<a x='",
	    "<a>&nbsp;</a>",
	    "<a>&#0;</a>",
	    "<a>&#xd800;</a>",
	    "<a>&#x110000;</a>",
	    "<a>&#;</a>",
	    "<a>&",
	    "<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>",
	    "<a><!ELEMENT b></a>",
	    "<a><b <c></a>",
	    "<a><!-- ",
	    "<a><![CDATA[",
	    "<></>",
	    "<a>&#x;</a>",
	    "<a>&#12x;</a>",
	};
	struct fl_buf out FL_CLEANUP(fl_buf_free) = FL_BUF(1u << 20);

	(void)state;
	for (size_t i = 0; i < FL_ARRAY_LEN(bad); i++)
		if (fl_xml_parse(bad[i], strlen(bad[i]), trace, &out) != -EPROTO)
			fail_msg("%s is taken", bad[i]);
	assert_int_equal(fl_xml_parse("<a>\0</a>", 8, trace, &out), -EPROTO);
}

static void xml_depth_has_a_ceiling(void **state)
{
	(void)state;
	for (unsigned depth = FL_XML_DEPTH_MAX; depth <= FL_XML_DEPTH_MAX + 1; depth++) {
		struct fl_buf xml FL_CLEANUP(fl_buf_free) = FL_BUF(4096), out FL_CLEANUP(fl_buf_free) = FL_BUF(4096);

		for (unsigned i = 0; i < 2 * depth; i++)
			assert_int_equal(fl_buf_adds(&xml, i < depth ? "<a>" : "</a>"), 0);
		assert_int_equal(fl_xml_parse(xml.data, xml.len, trace, &out), depth > FL_XML_DEPTH_MAX ? -EPROTO : 0);
	}
}

static void xml_text_has_a_ceiling(void **state)
{
	struct fl_buf xml FL_CLEANUP(fl_buf_free) = FL_BUF(1u << 20), out FL_CLEANUP(fl_buf_free) = FL_BUF(1u << 20);

	(void)state;
	assert_int_equal(fl_buf_adds(&xml, "<a>"), 0);
	for (unsigned i = 0; i < FL_XML_TEXT_MAX / 8; i++)
		assert_int_equal(fl_buf_adds(&xml, "01234567"), 0);
	assert_int_equal(fl_buf_adds(&xml, "8</a>"), 0);
	assert_int_equal(fl_xml_parse(xml.data, xml.len, trace, &out), -EPROTO);
	assert_non_null(strstr(fl_error_text(-EPROTO), "too long"));
}

/* ---- pages ---- */

static int show(void *ctx, const struct fl_s3_object *o)
{
	return fl_buf_printf(ctx, "%s %llu %s %lld%s|", o->key, (unsigned long long)o->size, o->etag,
			     (long long)o->modified, o->is_prefix ? " prefix" : "");
}

static int read_page(struct fl_s3_page *p, const char *prefix, bool delimited, const char *xml, struct fl_buf *out)
{
	*p = (struct fl_s3_page){.prefix = prefix, .delimited = delimited, .fn = show, .ctx = out};
	return fl_s3_page_read(p, xml, strlen(xml));
}

static void pages_are_read(void **state)
{
	struct fl_buf out FL_CLEANUP(fl_buf_free) = FL_BUF(4096);
	struct fl_s3_page p;

	(void)state;
	assert_int_equal(
	    read_page(
		&p, "a", true,
		"<ListBucketResult xmlns='http://s3.amazonaws.com/doc/2006-03-01/'><Name>b</Name><Prefix>a</Prefix>"
		"<IsTruncated>true</IsTruncated><Contents><Key>a+%3D%2B%2541</"
		"Key><LastModified>2026-11-25T08:00:00.000Z"
		"</LastModified><ETag>&quot;e&quot;</ETag><Size>7</Size><Owner><ID>x</ID></Owner></Contents><Contents>"
		"<Key>a2</Key><Size>0</Size></Contents><CommonPrefixes><Prefix>a/b/</Prefix></CommonPrefixes>"
		"<NextContinuationToken>t=/+</NextContinuationToken><EncodingType>url</EncodingType>"
		"</ListBucketResult>",
		&out),
	    0);
	assert_string_equal(fl_buf_cstr(&out), "a =+%41 7 \"e\" 1795593600|a2 0  0|a/b/ 0  0 prefix|");
	assert_true(p.truncated);
	assert_string_equal(p.token, "t=/+");
	/* A server that does not encode says so by not saying it. */
	fl_buf_reset(&out);
	assert_int_equal(read_page(&p, "", false,
				   "<ListBucketResult><Contents><Key>a+%41 b</Key></Contents></ListBucketResult>",
				   &out),
			 0);
	assert_string_equal(fl_buf_cstr(&out), "a+%41 b 0  0|");
	assert_false(p.truncated);
}

static void pages_are_refused(void **state)
{
#define LIST(inside) "<ListBucketResult><EncodingType>url</EncodingType>" inside "</ListBucketResult>"
	static const char *const bad[] = {
	    "<Error><Code>x</Code></Error>",
	    LIST("<Contents><Key>other</Key></Contents>"),
	    LIST("<Contents><Key>p/%00</Key></Contents>"),
	    LIST("<Contents><Size>1</Size></Contents>"),
	    LIST("<Contents><Key>p/a</Key><Size>-1</Size></Contents>"),
	    LIST("<Contents><Key>p/a</Key><Size>99999999999999999999</Size></Contents>"),
	    LIST("<IsTruncated>true</IsTruncated>"),
	    LIST("<CommonPrefixes><Prefix>p/</Prefix></CommonPrefixes>"),
	};
	struct fl_buf out FL_CLEANUP(fl_buf_free) = FL_BUF(4096);
	struct fl_s3_page p;

	(void)state;
	for (size_t i = 0; i < FL_ARRAY_LEN(bad); i++)
		if (read_page(&p, "p/", true, bad[i], &out) >= 0)
			fail_msg("%s is taken", bad[i]);
	assert_true(read_page(&p, "p/", false, LIST("<CommonPrefixes><Prefix>p/a/</Prefix></CommonPrefixes>"), &out) <
		    0);
}

static void kept_listings_come_back(void **state)
{
	struct fl_buf text FL_CLEANUP(fl_buf_free) = FL_BUF(65536), out FL_CLEANUP(fl_buf_free) = FL_BUF(4096);
	const struct fl_s3_object objects[] = {
	    {.key = "a b\n%41/\u00e9+", .etag = "\"x y\"", .size = UINT64_MAX, .modified = -5},
	    {.key = "b", .etag = ""},
	};

	(void)state;
	for (size_t i = 0; i < FL_ARRAY_LEN(objects); i++)
		assert_int_equal(fl_s3_listing_add(&text, &objects[i]), 0);
	assert_int_equal(fl_s3_listing_end(&text), 0);
	assert_true(fl_s3_listing_check(text.data, text.len));
	assert_int_equal(fl_s3_listing_read(text.data, text.len, show, &out), 0);
	assert_string_equal(fl_buf_cstr(&out), "a b\n%41/\u00e9+ 18446744073709551615 \"x y\" -5|b 0  0|");
	for (size_t cut = 0; cut < text.len; cut++)
		assert_false(fl_s3_listing_check(text.data, cut));
	text.data[3] ^= 1;
	assert_false(fl_s3_listing_check(text.data, text.len));
}

static void kept_listings_are_refused(void **state)
{
	static const char *const bad[] = {"x",       "x\n",      "1\n",         "1 2\n",
					  "1 2 3\n", "1 2 3 \n", "1 2 3 %00\n", "1 x 3 4\n"};

	(void)state;
	for (size_t i = 0; i < FL_ARRAY_LEN(bad); i++) {
		struct fl_buf text FL_CLEANUP(fl_buf_free) = FL_BUF(4096), out FL_CLEANUP(fl_buf_free) = FL_BUF(4096);

		assert_int_equal(fl_buf_adds(&text, bad[i]) || fl_s3_listing_end(&text), 0);
		assert_true(fl_s3_listing_check(text.data, text.len));
		assert_int_equal(fl_s3_listing_read(text.data, text.len, show, &out), -EPROTO);
	}
}

/* ---- shared files ---- */

static void shared_files(void **state)
{
	static const char text[] =
	    "\xef\xbb\xbf# comment\n[default]\nRegion = eu-west-1 # here\n; no\n\n[profile  \"a b\"]\n"
	    "aws_access_key_id=AKIA\naws_secret_access_key = a=b/c+#d==\ns3 =\n  addressing_style = path\n"
	    "  endpoint_url=http://x\n\n\tother = y\ncredential_process = a\n  b\n[default]\nregion=us-east-2\r\n";
	struct fl_ini ini = {0};

	(void)state;
	assert_int_equal(fl_ini_parse(&ini, "f", text, strlen(text)), 0);
	assert_string_equal(fl_ini_get(&ini, "default", "region"), "us-east-2");
	assert_string_equal(fl_ini_get(&ini, "profile a b", "aws_secret_access_key"), "a=b/c+#d==");
	assert_string_equal(fl_ini_get(&ini, "profile a b", "s3.addressing_style"), "path");
	assert_string_equal(fl_ini_get(&ini, "profile a b", "s3.endpoint_url"), "http://x");
	assert_string_equal(fl_ini_get(&ini, "profile a b", "s3.other"), "y");
	assert_string_equal(fl_ini_get(&ini, "profile a b", "credential_process"), "a\nb");
	assert_null(fl_ini_get(&ini, "default", "s3.other"));
	assert_true(fl_ini_has(&ini, "profile a b"));
	assert_false(fl_ini_has(&ini, "a b"));
	fl_ini_free(&ini);
}

static void shared_files_are_refused(void **state)
{
	static const struct {
		const char *text, *says;
	} bad[] = {{"a = b\n", "f:1:"},        {"[a\n", "f:1:"},        {"[a]\nword\n", "f:2:"},
		   {"[a]\n  x = y\n", "f:2:"}, {"[a]\n = y\n", "f:2:"}, {"[a]\nb = 1\n\n[c]\n x\n", "f:5:"}};

	(void)state;
	for (size_t i = 0; i < FL_ARRAY_LEN(bad); i++) {
		struct fl_ini ini = {0};

		if (fl_ini_parse(&ini, "f", bad[i].text, strlen(bad[i].text)) != -EINVAL)
			fail_msg("%s is taken", bad[i].text);
		assert_memory_equal(fl_error_text(-EINVAL), bad[i].says, 4);
		fl_ini_free(&ini);
	}
}

static void expiry(void **state)
{
	int64_t t;

	(void)state;
	assert_int_equal(fl_parse_expiry(NULL, &t), 0);
	assert_true(t == INT64_MAX);
	assert_int_equal(fl_parse_expiry("2026-11-25T08:00:00Z", &t), 0);
	assert_int_equal(t, 1795593600);
	assert_int_equal(fl_parse_expiry("2026-11-25T08:00:00.123456+00:00", &t), 0);
	assert_int_equal(t, 1795593600);
	assert_int_equal(fl_parse_expiry("2026-11-25T08:00:00UTC", &t), 0);
	assert_int_equal(fl_parse_expiry("2026-11-25T08:00:00+02:00", &t), -EINVAL);
	assert_int_equal(fl_parse_expiry("soon", &t), -EINVAL);
}

static uint64_t dice;
static uint64_t loaded(void *ctx)
{
	return dice;
}

static void backoff(void **state)
{
	struct fl_aws_host host = {.random = loaded};

	(void)state;
	for (unsigned attempt = 1; attempt < 40; attempt++) {
		uint64_t ceiling = attempt < 8 ? (uint64_t)FL_BACKOFF_FIRST_MS << attempt : FL_BACKOFF_MAX_MS;

		dice = FL_MIN(ceiling, (uint64_t)FL_BACKOFF_MAX_MS);
		assert_int_equal(fl_backoff_ms(&host, attempt, ""), dice);
		dice++;
		assert_int_equal(fl_backoff_ms(&host, attempt, ""), 0);
	}
	assert_int_equal(fl_backoff_ms(&host, 1, "3"), 3000);
	dice = 7;
	assert_int_equal(fl_backoff_ms(&host, 1, "86400"), 7);
	assert_int_equal(fl_backoff_ms(&host, 1, "Wed, 25 Nov 2026 08:00:00 GMT"), 7);
}

static void urls(void **state)
{
	char bucket[FL_S3_BUCKET_MAX];
	const char *prefix;

	(void)state;
	assert_int_equal(fl_s3_parse_url("s3://my-bucket/a//b c", bucket, &prefix), 0);
	assert_string_equal(bucket, "my-bucket");
	assert_string_equal(prefix, "a//b c");
	assert_int_equal(fl_s3_parse_url("s3://b", bucket, &prefix), 0);
	assert_string_equal(prefix, "");
	assert_int_equal(fl_s3_parse_url("s3://b/", bucket, &prefix), 0);
	assert_string_equal(prefix, "");
	assert_int_equal(fl_s3_parse_url("s3:///b", bucket, &prefix), -EINVAL);
	assert_int_equal(fl_s3_parse_url("s3://..", bucket, &prefix), -EINVAL);
	assert_int_equal(fl_s3_parse_url("s3://a?b", bucket, &prefix), -EINVAL);
	assert_int_equal(fl_s3_parse_url("https://a", bucket, &prefix), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(xml_is_read),
	    cmocka_unit_test(xml_is_refused),
	    cmocka_unit_test(xml_text_has_a_ceiling),
	    cmocka_unit_test(xml_depth_has_a_ceiling),
	    cmocka_unit_test(pages_are_read),
	    cmocka_unit_test(pages_are_refused),
	    cmocka_unit_test(kept_listings_come_back),
	    cmocka_unit_test(kept_listings_are_refused),
	    cmocka_unit_test(shared_files),
	    cmocka_unit_test(shared_files_are_refused),
	    cmocka_unit_test(expiry),
	    cmocka_unit_test(backoff),
	    cmocka_unit_test(urls),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
