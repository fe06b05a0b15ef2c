/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One HTTP request at a time on each of a pool of connections that are kept open. No redirect is followed (a signature
 * is for one host), nothing is decoded, a path goes out as it is written.
 */
#pragma once

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "aws/sigv4.h"
#include "base/mem.h"

#define FL_HTTP_BODY_MAX (16u << 20) /* of an answer that is kept in memory: 1000 keys of 1 KiB, each byte as %XX */
#define FL_HTTP_ERROR_MAX (64u << 10)
#define FL_HTTP_VALUE_MAX 256

struct fl_http_options {
	unsigned connections, stall_s;
	const char *ca_bundle; /* NULL: the library's */
	const volatile sig_atomic_t *stop;
};

struct fl_http_request {
	const char *method, *url;
	const struct fl_pair *headers;
	size_t headers_n;
	const void *body;
	size_t body_n;
	/* Where the body of a 200 or 206 goes, piece by piece; not 0 ends the request with it. NULL: into the answer.
	 */
	int (*sink)(void *ctx, const void *data, size_t n);
	void *ctx;
	unsigned total_ms; /* 0: as long as bytes come */
	bool no_proxy;     /* an address of this machine or of its host */
};

/* The headers that are read. X(member, name) */
#define FL_HTTP_HEADERS(X)                                                                                             \
	X(etag, "etag")                                                                                                \
	X(date, "date")                                                                                                \
	X(modified, "last-modified")                                                                                   \
	X(range, "content-range")                                                                                      \
	X(retry_after, "retry-after")                                                                                  \
	X(region, "x-amz-bucket-region")                                                                               \
	X(request_id, "x-amz-request-id")

struct fl_http_answer {
	long status;
	uint64_t length; /* Content-Length; UINT64_MAX: not said */
#define FL_HTTP_MEMBER(member, name) char member[FL_HTTP_VALUE_MAX];
	FL_HTTP_HEADERS(FL_HTTP_MEMBER)
#undef FL_HTTP_MEMBER
	struct fl_buf body; /* of an error: its first FL_HTTP_ERROR_MAX bytes */
	bool again;         /* with an error: another attempt may do better */
	bool refused;       /* with an error: nobody was there */
};
#define FL_HTTP_ANSWER ((struct fl_http_answer){.length = UINT64_MAX, .body = FL_BUF(FL_HTTP_BODY_MAX)})
void fl_http_answer_free(struct fl_http_answer *a);

struct fl_http;
int fl_http_new(struct fl_http **ret, const struct fl_http_options *options);
void fl_http_free(struct fl_http **h);

/* 0 with any status; -EINTR when stopped; else an error of the connection. ret: FL_HTTP_ANSWER or used before. */
int fl_http_do(struct fl_http *h, const struct fl_http_request *request, struct fl_http_answer *ret);
/* -EINTR when stopped meanwhile. */
int fl_http_sleep(struct fl_http *h, uint64_t ms);
bool fl_http_stopped(const struct fl_http *h);
