/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AWS Signature Version 4, in headers. Pure: who calls gives time and keys. General rule of the path: normalised and
 * percent-encoded once more than it is sent; S3's: as it is sent (AWS "Create a signed AWS API request").
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/mem.h"

#define FL_SIGV4_PAIRS_MAX 64
#define FL_SIGV4_TEXT_MAX (256u << 10) /* of a canonical request */
#define FL_SHA256_HEX 65
#define FL_SHA256_EMPTY "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

struct fl_pair {
	const char *name, *value;
};

struct fl_sigv4 {
	const char *method;
	const char *path; /* as sent: percent-encoded, begins with a slash */
	bool s3;
	const struct fl_pair *query; /* not encoded, any order */
	size_t query_n;
	const struct fl_pair *headers; /* all are signed: host and x-amz-date among them; any case and order */
	size_t headers_n;
	const char *payload_sha256; /* hex, or UNSIGNED-PAYLOAD */
	const char *region, *service;
	const char *key_id, *secret;
	const char *date; /* x-amz-date: 20150830T123600Z */
};

/* Append; the buffer's max is the ceiling. 0, -ENOMEM, -E2BIG, -EINVAL (too many pairs, a date of another form). */
int fl_sigv4_canonical(const struct fl_sigv4 *r, struct fl_buf *out);     /* the canonical request */
int fl_sigv4_string(const struct fl_sigv4 *r, struct fl_buf *out);        /* the string to sign */
int fl_sigv4_authorization(const struct fl_sigv4 *r, struct fl_buf *out); /* the value of Authorization */

/* name=value&..., encoded and sorted as signed; what is sent must be the same. */
int fl_sigv4_query(const struct fl_pair *query, size_t n, struct fl_buf *out);
/* RFC 3986: all but unreserved characters. */
int fl_uri_encode(struct fl_buf *out, const char *text, size_t n, bool keep_slash);

void fl_sha256_hex(const void *data, size_t n, char ret[FL_SHA256_HEX]);
