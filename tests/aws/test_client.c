/* SPDX-License-Identifier: Apache-2.0 */
/* Settings and the chain as far as they need no network: a client in an environment of the test's own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "aws/aws.h"
#include "base/error.h"
#include "base/file.h"

static char home[] = "/tmp/flowlog-aws-XXXXXX";
static const char *variables[16][2];

static const char *env(void *ctx, const char *name)
{
	for (size_t i = 0; i < FL_ARRAY_LEN(variables) && variables[i][0]; i++)
		if (!strcmp(variables[i][0], name))
			return variables[i][1];
	return strcmp(name, "HOME") != 0 ? NULL : home;
}

static struct fl_clock_sim sim = {.realtime = 1795593600 * FL_NS_PER_S};

static void set(size_t i, const char *name, const char *value)
{
	variables[i][0] = name;
	variables[i][1] = value;
	if (i + 1 < FL_ARRAY_LEN(variables))
		variables[i + 1][0] = NULL;
}

/* What the client says of itself, or the error's sentence. */
static const char *describe(struct fl_s3_options o, const char *bucket, struct fl_buf *out)
{
	struct fl_clock clock = fl_clock_sim(&sim);
	struct fl_aws_host host = {.env = env, .clock = &clock};
	struct fl_s3 *s = NULL;
	int r;

	o.host = &host;
	fl_buf_reset(out);
	r = fl_s3_new(&s, &o);
	if (!r)
		r = fl_s3_describe(s, bucket, out);
	fl_s3_free(&s);
	if (r)
		assert_int_equal(fl_buf_adds(out, fl_error_text(r)), 0);
	return fl_buf_cstr(out);
}

static void write_file(const char *name, const char *text)
{
	int dir FL_CLEANUP(fl_closep) = open(home, O_RDONLY | O_DIRECTORY);

	assert_int_equal(fl_mkdirs(dir, ".aws", 0700), 0);
	assert_int_equal(fl_file_write_atomic(dir, name, text, strlen(text), 0600, false), 0);
}

static void environment_and_profiles(void **state)
{
	struct fl_buf out FL_CLEANUP(fl_buf_free) = FL_BUF(65536);

	(void)state;
	write_file(".aws/config", "[default]\nregion = eu-central-1\n[profile a b]\naws_access_key_id = A\n"
				  "aws_secret_access_key = S\nregion = us-gov-west-1\n");
	set(0, "AWS_ACCESS_KEY_ID", "AKID");
	set(1, "AWS_SECRET_ACCESS_KEY", "s");
	assert_string_equal(describe((struct fl_s3_options){0}, "bucket", &out),
			    "https://bucket.s3.eu-central-1.amazonaws.com, AWS_ACCESS_KEY_ID of the environment");
	set(2, "AWS_REGION", "cn-north-1");
	assert_string_equal(describe((struct fl_s3_options){0}, "a.b", &out),
			    "https://s3.cn-north-1.amazonaws.com.cn/a.b, AWS_ACCESS_KEY_ID of the environment");
	set(2, "AWS_ENDPOINT_URL_S3", "http://[::1]:9000/gate/");
	assert_string_equal(describe((struct fl_s3_options){.anonymous = true}, "Bucket", &out),
			    "http://[::1]:9000/gate/Bucket, anonymous");
	set(2, NULL, NULL);
	describe((struct fl_s3_options){.profile = "a b"}, "bucket", &out);
	assert_non_null(
	    strstr(fl_buf_cstr(&out), "https://bucket.s3.us-gov-west-1.amazonaws.com, profile \"a b\" of /tmp/"));
	assert_non_null(strstr(describe((struct fl_s3_options){.profile = "c"}, "bucket", &out), "there are: a b"));
	assert_non_null(strstr(describe((struct fl_s3_options){.region = "eu/west"}, "bucket", &out), "no region"));
	assert_non_null(strstr(describe((struct fl_s3_options){.endpoint_url = "x"}, "bucket", &out), "no endpoint"));
	assert_non_null(strstr(describe((struct fl_s3_options){0}, "no bucket", &out), "no bucket's name"));
}

/* The clock is the host's: what it calls over is over. */
static void expiry_is_by_the_clock(void **state)
{
	struct fl_buf out FL_CLEANUP(fl_buf_free) = FL_BUF(65536);

	(void)state;
	write_file(".aws/config",
		   "[default]\ncredential_process = echo '{\"Version\": 1, \"AccessKeyId\": \"A\", \"SecretAccessKey\":"
		   " \"S\", \"Expiration\": \"2026-11-25T09:00:00Z\"}'\n");
	set(0, NULL, NULL);
	assert_non_null(strstr(describe((struct fl_s3_options){0}, "bucket", &out), "credential_process"));
	sim.realtime += 3600 * FL_NS_PER_S;
	assert_non_null(strstr(describe((struct fl_s3_options){0}, "bucket", &out), "have expired"));
}

static int make_home(void **state)
{
	(void)state;
	return mkdtemp(home) ? 0 : -1;
}

static int remove_home(void **state)
{
	char path[64];

	(void)state;
	snprintf(path, sizeof path, "%s/.aws/config", home);
	unlink(path);
	snprintf(path, sizeof path, "%s/.aws", home);
	rmdir(path);
	return rmdir(home);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(environment_and_profiles),
					   cmocka_unit_test(expiry_is_by_the_clock)};

	return cmocka_run_group_tests(tests, make_home, remove_home);
}
