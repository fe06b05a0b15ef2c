/* SPDX-License-Identifier: Apache-2.0 */
/* The client behind aws.h: what listing, reading and the cache share. */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "aws/aws.h"
#include "aws/credentials.h"
#include "aws/http.h"
#include "aws/settings.h"

#define FL_S3_REGION_MAX 64
#define FL_S3_REGIONS_MAX 64 /* buckets whose region is remembered */

struct fl_cache;

/* A listing that came from the cache, or was put there. */
struct fl_kept {
	struct fl_kept *next;
	char name[FL_SHA256_HEX];
	const char *bucket, *prefix; /* in text */
	char text[];
};

struct fl_s3 {
	struct fl_aws_settings settings;
	struct fl_http *http;
	struct fl_chain *chain;
	struct fl_cache *cache; /* NULL: none */
	bool anonymous, requester_pays;
	unsigned connections;
	fl_s3_progress_fn progress;
	void *progress_ctx;
	char *endpoint;                /* scheme://host[:port][/path], without a slash at its end; NULL: AWS's own */
	bool virtual_host, path_style; /* addressing_style of the profile */
	pthread_mutex_t lock;          /* of what follows */
	struct {
		char bucket[FL_S3_BUCKET_MAX], region[FL_S3_REGION_MAX];
	} regions[FL_S3_REGIONS_MAX];
	unsigned regions_n;
	int64_t skew_s;       /* the server's clock less ours */
	struct fl_kept *kept; /* those that were used */
};

/* One call of S3, made again as long as that helps. */
struct fl_s3_call {
	const char *method, *bucket;
	const char *key; /* NULL: of the bucket */
	const struct fl_pair *query;
	size_t query_n;
	const struct fl_pair *headers; /* beside those that every call has; signed too */
	size_t headers_n;
	const void *body;
	size_t body_n;
	const char *etag;         /* If-Match; NULL: any */
	bool ranged;              /* bytes `offset + done` to `offset + n` only */
	uint64_t offset, n, done; /* done: what the sink had, in this and earlier attempts */
	int (*sink)(void *ctx, uint64_t offset, const void *data, size_t n);
	void *ctx;
};
/*
 * 0: the answer is good, with a sink all n bytes came. -ENOENT, -EACCES, -ESTALE (another etag), -ERANGE, -EINTR,
 * -EPROTO ... with a sentence. ret as for fl_http_do.
 */
int fl_s3_call(struct fl_s3 *s, struct fl_s3_call *call, struct fl_http_answer *ret);

void fl_s3_region_of(struct fl_s3 *s, const char *bucket, char ret[FL_S3_REGION_MAX]);
/* The URL without key and query, and its parts. All are appended. */
struct fl_s3_place {
	char base[600]; /* scheme://host[:port] */
	char path[600]; /* "" or /prefix/bucket */
	char host[512];
	char region[FL_S3_REGION_MAX];
};
int fl_s3_place(struct fl_s3 *s, const char *bucket, struct fl_s3_place *ret);
void fl_s3_count(struct fl_s3 *s, uint64_t bytes, bool from_cache);
int fl_s3_check_names(const char *bucket, const char *key);
/* The object is not as listed: a kept listing that named it is not kept any longer. */
void fl_s3_doubt(struct fl_s3 *s, const char *bucket, const char *key);
int fl_s3_check_object(const char *bucket, const char *key);
/* The cache's name of a version of an object, or of a part of it; part "": the whole. */
void fl_s3_cache_name(struct fl_s3 *s, const char *bucket, const char *key, uint64_t size, const char *etag,
		      const char *part, char ret[FL_SHA256_HEX]);

#define FL_S3_PART_BYTES (8ull << 20) /* of one request */
#define FL_S3_PARTS_AT_ONCE 8u        /* of one object */
/* The first error of several threads, with its sentence, which is the thread's that had it. */
struct fl_s3_error {
	pthread_mutex_t lock;
	atomic_int error;
	char text[1024];
};
void fl_s3_error_init(struct fl_s3_error *e);
void fl_s3_error_keep(struct fl_s3_error *e, int r);
int fl_s3_error_end(struct fl_s3_error *e); /* the error, its sentence now this thread's; 0: there was none */
/* Runs fn(ctx) in up to n threads, this one among them, and waits for all. */
void fl_s3_threads(unsigned n, void (*fn)(void *ctx), void *ctx);
