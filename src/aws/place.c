/* SPDX-License-Identifier: Apache-2.0 */
/* Names of buckets, and where a bucket is: its URL, its host, the region that its signatures name. */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "aws/client.h"
#include "base/error.h"

#define REGION_UNKNOWN "us-east-1" /* S3 answers there for every bucket of the partition: with its region */

int fl_s3_check_names(const char *bucket, const char *key)
{
	size_t n = strlen(bucket);

	for (size_t i = 0; i < n; i++)
		if (!isalnum((unsigned char)bucket[i]) && !strchr("-._", bucket[i]))
			return fl_fail(-EINVAL, "\"%.80s\" is no bucket's name: letters, digits, hyphens and dots",
				       bucket);
	if (!n || n >= FL_S3_BUCKET_MAX || !strcmp(bucket, ".") || !strcmp(bucket, ".."))
		return fl_fail(-EINVAL, "\"%.80s\" is no bucket's name: 3 to 63 characters", bucket);
	if (key && strlen(key) >= FL_S3_KEY_MAX)
		return fl_fail(-EINVAL, "s3://%s/%.80s...: a key has at most %d bytes", bucket, key, FL_S3_KEY_MAX - 1);
	return 0;
}

int fl_s3_parse_url(const char *url, char ret_bucket[FL_S3_BUCKET_MAX], const char **ret_prefix)
{
	const char *bucket = url + strlen(FL_S3_SCHEME), *slash;
	size_t n;

	if (strncmp(url, FL_S3_SCHEME, strlen(FL_S3_SCHEME)) != 0)
		return fl_fail(-EINVAL, "\"%.80s\": a bucket is written s3://bucket/prefix", url);
	slash = strchr(bucket, '/');
	n = slash ? (size_t)(slash - bucket) : strlen(bucket);
	if (n >= FL_S3_BUCKET_MAX)
		return fl_fail(-EINVAL, "\"%.80s...\": the bucket's name is too long", url);
	memcpy(ret_bucket, bucket, n);
	ret_bucket[n] = '\0';
	*ret_prefix = slash ? slash + 1 : bucket + n;
	return fl_wrap(fl_s3_check_names(ret_bucket, *ret_prefix), "%.200s", url);
}

void fl_s3_region_of(struct fl_s3 *s, const char *bucket, char ret[FL_S3_REGION_MAX])
{
	const char *region = s->settings.region ? s->settings.region : REGION_UNKNOWN;

	pthread_mutex_lock(&s->lock);
	for (unsigned i = 0; i < s->regions_n; i++)
		if (!strcmp(s->regions[i].bucket, bucket))
			region = s->regions[i].region;
	snprintf(ret, FL_S3_REGION_MAX, "%s", region);
	pthread_mutex_unlock(&s->lock);
}

/* A bucket can be a host's first label when it is one, and when TLS's wildcard of one label covers it. */
static bool is_label(const char *bucket)
{
	size_t n = strlen(bucket);

	for (size_t i = 0; i < n; i++)
		if (!islower((unsigned char)bucket[i]) && !isdigit((unsigned char)bucket[i]) && bucket[i] != '-')
			return false;
	return n >= 3 && n <= 63 && bucket[0] != '-' && bucket[n - 1] != '-';
}

static int aws_place(struct fl_s3 *s, const char *bucket, struct fl_s3_place *p)
{
	bool virtual_host = is_label(bucket) && !s->path_style;

	snprintf(p->host, sizeof p->host, "%s%ss3%s%s.%s.%s", virtual_host ? bucket : "", virtual_host ? "." : "",
		 s->settings.fips ? "-fips" : "", s->settings.dual_stack ? ".dualstack" : "", p->region,
		 fl_aws_domain(p->region));
	snprintf(p->base, sizeof p->base, "https://%s", p->host);
	snprintf(p->path, sizeof p->path, "%s%s", virtual_host ? "" : "/", virtual_host ? "" : bucket);
	return 0;
}

int fl_s3_place(struct fl_s3 *s, const char *bucket, struct fl_s3_place *p)
{
	const char *host, *path;
	size_t host_n;
	bool virtual_host = s->virtual_host && is_label(bucket);

	fl_s3_region_of(s, bucket, p->region);
	if (!s->endpoint)
		return aws_place(s, bucket, p);
	host = strstr(s->endpoint, "://") + 3;
	host_n = strcspn(host, "/");
	path = host + host_n;
	if (snprintf(p->host, sizeof p->host, "%s%s%.*s", virtual_host ? bucket : "", virtual_host ? "." : "",
		     (int)host_n, host) >= (int)sizeof p->host ||
	    snprintf(p->path, sizeof p->path, "%s%s%s", path, virtual_host ? "" : "/", virtual_host ? "" : bucket) >=
		(int)sizeof p->path)
		return fl_fail(-EINVAL, "the endpoint %.80s... is too long", s->endpoint);
	snprintf(p->base, sizeof p->base, "%.*s%s", (int)(host - s->endpoint), s->endpoint, p->host);
	return 0;
}

int fl_s3_describe(struct fl_s3 *s, const char *bucket, struct fl_buf *out)
{
	struct fl_s3_place p;
	struct fl_credentials *c;
	int r = fl_s3_check_names(bucket, NULL);

	if (!r)
		r = fl_s3_place(s, bucket, &p);
	if (!r)
		r = fl_buf_printf(out, "%s%s, ", p.base, p.path);
	if (r || s->anonymous)
		return r ? r : fl_buf_adds(out, "anonymous");
	c = calloc(1, sizeof *c);
	r = c ? fl_chain_get(s->chain, NULL, c) : -ENOMEM;
	if (!r)
		r = fl_buf_printf(out, "%s", c->from);
	if (c)
		fl_credentials_wipe(c);
	free(c);
	return r;
}
