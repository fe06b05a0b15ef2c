/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Amazon S3 and what speaks its protocol: SigV4 of our own, the usual chain of credentials and settings (profiles,
 * roles, containers, instances), listing in parallel, ranged reads with retries, a bounded local cache; objects are put
 * whole. libcurl carries the bytes and is loaded when the first request is made, so that a command that reads no bucket
 * pays nothing for it. Texts of errors name bucket, key and where the credentials came from, never a secret.
 */
#pragma once

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/mem.h"

#define FL_S3_BUCKET_MAX 256 /* with the NUL; AWS: 63 characters */
#define FL_S3_KEY_MAX 1025   /* with the NUL; AWS: 1024 bytes of UTF-8 */
#define FL_S3_ETAG_MAX 130   /* with quotes and the NUL */
#define FL_S3_SCHEME "s3://"

/* What comes in from outside besides the network. Null members are the real ones. */
struct fl_aws_host {
	const char *(*env)(void *ctx, const char *name); /* getenv */
	uint64_t (*random)(void *ctx);                   /* jitter; fl_random_seed */
	void *ctx;
	const struct fl_clock *clock; /* fl_clock_system */
};

/* Bytes of objects that arrived since the last call (`from_cache`: which needed no network). Called from any thread. */
typedef void (*fl_s3_progress_fn)(void *ctx, uint64_t bytes, bool from_cache);

#define FL_S3_CACHE_BYTES (2ull << 30)

/* Zero-initialised: everything from environment and configuration files, signed, cached. Strings are copied. */
struct fl_s3_options {
	const char *profile;      /* --profile; else AWS_PROFILE, AWS_DEFAULT_PROFILE, "default" */
	const char *region;       /* --region; else AWS_REGION, AWS_DEFAULT_REGION, the profile's; else asked of S3 */
	const char *endpoint_url; /* --endpoint-url; else AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL, the profile's */
	bool anonymous;           /* --anonymous: requests are not signed */
	bool requester_pays;      /* --requester-pays */
	bool no_cache;            /* objects go to unnamed files, listings are asked for again */
	uint64_t cache_bytes;     /* 0: FL_S3_CACHE_BYTES */
	const char *cache_dir;    /* NULL: $XDG_CACHE_HOME/flowlog/s3, ~/.cache/flowlog/s3 */
	unsigned connections;     /* at once; 0: 32 */
	unsigned attempts;        /* of one request; 0: AWS_MAX_ATTEMPTS, the profile's max_attempts, 5 */
	unsigned stall_s;         /* without a byte before a connection is given up; 0: 20 */
	const volatile sig_atomic_t *stop; /* when it becomes non-zero every call ends with -EINTR within 100 ms */
	fl_s3_progress_fn progress;
	void *progress_ctx;
	const struct fl_aws_host *host; /* NULL: this machine's */
};

/* A client. All calls below may be made from any number of threads at once; `connections` of them talk, others wait. */
struct fl_s3;
int fl_s3_new(struct fl_s3 **ret, const struct fl_s3_options *options); /* reads settings, touches no network */
void fl_s3_free(struct fl_s3 **s);

/* "s3://bucket/prefix" (prefix may be empty, it is kept as it is). -EINVAL with a sentence. ret_prefix is inside url.
 */
int fl_s3_parse_url(const char *url, char ret_bucket[FL_S3_BUCKET_MAX], const char **ret_prefix);

/* One line of a listing. Strings live until the callback returns. */
struct fl_s3_object {
	const char *key;  /* decoded */
	const char *etag; /* "" for a prefix */
	uint64_t size;
	int64_t modified; /* Unix seconds; 0 when the server said nothing readable */
	bool is_prefix;   /* a common prefix (it ends with the delimiter), not an object */
};
typedef int (*fl_s3_object_fn)(void *ctx, const struct fl_s3_object *object); /* not 0 ends the listing with it */

/*
 * All keys below prefix, in the server's order (AWS: by bytes), page by page. delimiter NULL or "": the whole tree;
 * "/": objects directly below, and prefixes. Returns 0, what fn returned, or an error (-ENOENT: no such bucket).
 */
int fl_s3_list(struct fl_s3 *s, const char *bucket, const char *prefix, const char *delimiter, fl_s3_object_fn fn,
	       void *ctx);

/*
 * The same of a tree, many prefixes at once. For each prefix that is met, the start included, the caller says what to
 * do with it; so a layout by date costs only the days that are asked for, and 100,000 objects are listed in parallel.
 * enter and fn are called one at a time, in no order, from other threads.
 */
enum fl_s3_enter {
	FL_S3_SKIP,
	FL_S3_DESCEND,   /* one level: its objects, and enter() for each prefix in it */
	FL_S3_TAKE,      /* everything below it */
	FL_S3_TAKE_PAST, /* the same, and nothing will be added below it any more: the listing may come from the cache
			  */
};
typedef enum fl_s3_enter (*fl_s3_enter_fn)(void *ctx, const char *prefix);
int fl_s3_walk(struct fl_s3 *s, const char *bucket, const char *prefix, fl_s3_enter_fn enter, fl_s3_object_fn fn,
	       void *ctx);

/* -ENOENT: no such object. etag as S3 writes it, with its quotes. ret_etag may be NULL. */
int fl_s3_head(struct fl_s3 *s, const char *bucket, const char *key, uint64_t *ret_size, char ret_etag[FL_S3_ETAG_MAX],
	       int64_t *ret_modified);

/*
 * n bytes at offset, all of them or an error (-ERANGE: the object ends before; -ESTALE: it is not the one with this
 * etag any more). etag NULL or "": whatever is there. Goes past the cache.
 */
int fl_s3_read(struct fl_s3 *s, const char *bucket, const char *key, const char *etag, uint64_t offset, size_t n,
	       void *buf);

/*
 * Pieces of an object of this size and ETag, into memory: from the cache, else fetched, neighbours in one request and
 * requests at once, and put there, each by itself. In the order of their offsets, apart from one another. All of them
 * are of this version, or it is an error: -ESTALE, -ERANGE.
 */
struct fl_s3_piece {
	uint64_t offset;
	size_t n;
	uint8_t *to;
};
int fl_s3_read_pieces(struct fl_s3 *s, const char *bucket, const char *key, uint64_t size, const char *etag,
		      const struct fl_s3_piece *pieces, size_t n);

/*
 * The whole object as an open file (read-only, at its start, the caller's to close): from the cache, or fetched, big
 * ones in parallel parts, and put there. size and etag as listed; with etag NULL they are asked of the server.
 * An object that was replaced since it was listed is given as it is now: the file's size is the true one.
 * A file that this gave stays as it is when the cache forgets the object.
 */
int fl_s3_fetch(struct fl_s3 *s, const char *bucket, const char *key, uint64_t size, const char *etag, int *ret_fd);

/*
 * Puts an object. headers: Content-Type, Content-Encoding, x-amz-acl, x-amz-server-side-encryption ...; If-None-Match
 * with
 * "*" to replace nothing: -EEXIST, also when an attempt before was carried out and its answer got lost. One request, so
 * at most FL_S3_PUT_MAX (AWS's flow-log objects have 75 MB). ret_etag may be NULL.
 */
#define FL_S3_PUT_MAX (5ull << 30)
struct fl_s3_header {
	const char *name, *value;
};
int fl_s3_put(struct fl_s3 *s, const char *bucket, const char *key, const void *data, size_t n,
	      const struct fl_s3_header *headers, size_t headers_n, char ret_etag[FL_S3_ETAG_MAX]);

/* For messages: where requests go and as whom ("https://s3.eu-west-1.amazonaws.com, profile \"x\" of ~/.aws/..."). */
int fl_s3_describe(struct fl_s3 *s, const char *bucket, struct fl_buf *out);
