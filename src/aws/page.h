/* SPDX-License-Identifier: Apache-2.0 */
/* One page of ListObjectsV2, and a listing as the cache keeps it. */
#pragma once

#include "aws/aws.h"

#define FL_S3_TOKEN_MAX 8192

struct fl_s3_page {
	const char *prefix; /* what was asked for: every key begins with it */
	bool delimited;
	fl_s3_object_fn fn;
	void *ctx;
	/* what came */
	uint64_t entries;
	bool truncated;
	bool ended;                  /* by fn: what is returned is its own */
	char token[FL_S3_TOKEN_MAX]; /* of the next page */
	/* of the object that is being read */
	bool encoded;
	char key[FL_S3_KEY_MAX], etag[FL_S3_ETAG_MAX];
	uint64_t size;
	int64_t modified;
};
/* 0, what fn returned, -EPROTO. The members down to ctx are given, the rest is zero. */
int fl_s3_page_read(struct fl_s3_page *page, const char *xml, size_t n);

/* A kept listing: a line an object, key last and encoded, and a last line that vouches for all of them. */
int fl_s3_listing_add(struct fl_buf *out, const struct fl_s3_object *object);
int fl_s3_listing_end(struct fl_buf *out);
/* False: it is not whole; fn was not called. */
bool fl_s3_listing_check(const char *text, size_t n);
int fl_s3_listing_read(const char *text, size_t n, fl_s3_object_fn fn, void *ctx);
