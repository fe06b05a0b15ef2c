/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes of objects: into memory, or as a file; big ones in parts that come at once. */
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#include "aws/cache.h"
#include "aws/client.h"
#include "base/error.h"

#define OBJECT_MAX (50ull << 40) /* AWS: 50 TB */

/* ---- one range, in parts ---- */

struct range {
	struct fl_s3 *s;
	const char *bucket, *key, *etag;
	uint64_t offset, n;
	bool whole;      /* the object ends where the range does */
	uint8_t *memory; /* at offset; NULL: */
	int fd;
	atomic_uint_fast64_t next; /* part */
	struct fl_s3_error error;
};

static int put(void *ctx, uint64_t offset, const void *data, size_t n)
{
	struct range *g = ctx;
	const char *p = data;

	if (atomic_load(&g->error.error))
		return -ECANCELED; /* another part failed: its reason counts */
	if (g->memory) {
		memcpy(g->memory + (offset - g->offset), data, n);
		return 0;
	}
	while (n) {
		ssize_t done = pwrite(g->fd, p, n, (off_t)offset);

		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0)
			return fl_fail(
			    -errno,
			    "s3://%s/%s: its copy cannot be written: %m; XDG_CACHE_HOME and TMPDIR name other places",
			    g->bucket, g->key);
		p += done;
		offset += (uint64_t)done;
		n -= (size_t)done;
	}
	return 0;
}

static void take_parts(void *ctx)
{
	struct range *g = ctx;
	uint64_t parts = (g->n + FL_S3_PART_BYTES - 1) / FL_S3_PART_BYTES;

	for (;;) {
		uint64_t part = atomic_fetch_add(&g->next, 1), from = part * FL_S3_PART_BYTES;
		struct fl_http_answer answer = FL_HTTP_ANSWER;
		struct fl_s3_call c = {
		    .method = "GET", .bucket = g->bucket, .key = g->key, .etag = g->etag, .sink = put, .ctx = g};
		int r;

		if (part >= parts || atomic_load(&g->error.error))
			return;
		c.offset = g->offset + from;
		c.n = FL_MIN(FL_S3_PART_BYTES, g->n - from);
		c.ranged = parts > 1 || !g->whole;
		r = fl_s3_call(g->s, &c, &answer);
		fl_http_answer_free(&answer);
		if (r)
			fl_s3_error_keep(&g->error, r);
	}
}

static int read_range(struct range *g)
{
	uint64_t parts = (g->n + FL_S3_PART_BYTES - 1) / FL_S3_PART_BYTES;
	unsigned threads = FL_MIN(FL_S3_PARTS_AT_ONCE, g->s->connections);

	fl_s3_error_init(&g->error);
	fl_s3_threads((unsigned)FL_MIN(parts, (uint64_t)threads), take_parts, g);
	return fl_s3_error_end(&g->error);
}

/* ---- the calls ---- */

int fl_s3_check_object(const char *bucket, const char *key)
{
	int r = fl_s3_check_names(bucket, key);

	return r || *key ? r : fl_fail(-EINVAL, "s3://%s/: an object has a key", bucket);
}

void fl_s3_cache_name(struct fl_s3 *s, const char *bucket, const char *key, uint64_t size, const char *etag,
		      const char *part, char ret[FL_SHA256_HEX])
{
	char digits[24], region[FL_S3_REGION_MAX];
	const char *parts[] = {"object", s->endpoint, bucket, key, etag, digits, part};

	snprintf(digits, sizeof digits, "%llu", (unsigned long long)size);
	fl_s3_region_of(s, bucket, region);
	if (!s->endpoint)
		parts[1] = fl_aws_domain(region); /* a bucket's name is one in a partition */
	fl_cache_name(parts, FL_ARRAY_LEN(parts) - !*part, ret);
}

static int parse_head(const struct fl_http_answer *a, uint64_t size, uint64_t *ret_size, char ret_etag[FL_S3_ETAG_MAX],
		      int64_t *ret_modified)
{
	struct tm tm = {0};

	*ret_size = size;
	if (ret_etag)
		snprintf(ret_etag, FL_S3_ETAG_MAX, "%.*s", FL_S3_ETAG_MAX - 1, a->etag);
	if (ret_modified)
		*ret_modified = strptime(a->modified, "%a, %d %b %Y %H:%M:%S GMT", &tm) ? (int64_t)timegm(&tm) : 0;
	return 0;
}

int fl_s3_head(struct fl_s3 *s, const char *bucket, const char *key, uint64_t *ret_size, char ret_etag[FL_S3_ETAG_MAX],
	       int64_t *ret_modified)
{
	struct fl_http_answer answer = FL_HTTP_ANSWER;
	struct fl_s3_call head = {.method = "HEAD", .bucket = bucket, .key = key};
	/* An answer to HEAD has no text: what refuses it is asked again, for one byte, so that it says why. */
	struct fl_s3_call byte = {.method = "GET", .bucket = bucket, .key = key, .ranged = true, .n = 1};
	unsigned long long total;
	int r = fl_s3_check_object(bucket, key);

	if (!r)
		r = fl_s3_call(s, &head, &answer);
	if (!r && answer.length == UINT64_MAX)
		r = fl_fail(-EPROTO, "s3://%s/%s: the server does not say how long it is", bucket, key);
	else if (!r)
		r = parse_head(&answer, answer.length, ret_size, ret_etag, ret_modified);
	else if (r == -EACCES || r == -EPROTO || r == -EREMOTE || r == -ENOENT) {
		r = fl_s3_call(s, &byte, &answer);
		if (!r && sscanf(answer.range, "bytes 0-0/%llu", &total) == 1)
			r = parse_head(&answer, total, ret_size, ret_etag, ret_modified);
		else if (!r)
			r = fl_fail(-EPROTO, "s3://%s/%s: the server does not say how long it is", bucket, key);
	}
	fl_http_answer_free(&answer);
	return r;
}

int fl_s3_read(struct fl_s3 *s, const char *bucket, const char *key, const char *etag, uint64_t offset, size_t n,
	       void *buf)
{
	struct range g = {
	    .s = s, .bucket = bucket, .key = key, .etag = etag, .offset = offset, .n = n, .memory = buf, .fd = -1};
	int r = fl_s3_check_object(bucket, key);

	if (!r && (offset > OBJECT_MAX || n > OBJECT_MAX))
		r = fl_fail(-ERANGE, "s3://%s/%s: no object is that long", bucket, key);
	return r || !n ? r : read_range(&g);
}

/* cache NULL: into a file without a name. */
static int fetch(struct fl_cache *cache, struct range *g, const char *name, int *ret_fd)
{
	struct fl_cache_file file;
	int r = fl_cache_begin(cache, g->n, &file);

	if (r)
		return r;
	g->fd = file.fd;
	r = g->n ? read_range(g) : 0;
	if (!r)
		return fl_cache_commit(&file, name, g->n, g->n > FL_S3_PART_BYTES, ret_fd);
	fl_cache_abort(&file);
	return r;
}

static int fetch_listed(struct fl_s3 *s, const char *bucket, const char *key, uint64_t size, const char *etag,
			int *ret_fd)
{
	struct range g = {.s = s, .bucket = bucket, .key = key, .etag = etag, .n = size, .whole = true};
	char name[FL_SHA256_HEX];

	if (size > OBJECT_MAX)
		return fl_fail(-EFBIG, "s3://%s/%s: no object is that long", bucket, key);
	fl_s3_cache_name(s, bucket, key, size, etag, "", name);
	/* Without an ETag there is nothing to tell versions apart by: such an object is not kept. */
	if (*etag && fl_cache_open(s->cache, name, size, 0, ret_fd)) {
		fl_s3_count(s, size, true);
		return 0;
	}
	return fetch(*etag ? s->cache : NULL, &g, name, ret_fd);
}

int fl_s3_fetch(struct fl_s3 *s, const char *bucket, const char *key, uint64_t size, const char *etag, int *ret_fd)
{
	char found[FL_S3_ETAG_MAX];
	int r = fl_s3_check_object(bucket, key);

	if (!r && etag) {
		r = fetch_listed(s, bucket, key, size, etag, ret_fd);
		if (r == -ESTALE || r == -ERANGE || r == -ENOENT)
			fl_s3_doubt(s, bucket, key);
		if (r != -ESTALE && r != -ERANGE)
			return r;
		r = 0; /* it was replaced since it was listed: as it is now */
	}
	if (!r)
		r = fl_s3_head(s, bucket, key, &size, found, NULL);
	return r ? r : fetch_listed(s, bucket, key, size, found, ret_fd);
}
