/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Objects that will be fetched, brought ahead of that: as many at once as there are connections to spare, and no more
 * of them ready or under way than FL_AHEAD_OBJECTS and FL_AHEAD_BYTES (one that is larger comes alone).
 */
#pragma once

#include "aws/client.h"

#define FL_AHEAD_OBJECTS 128
#define FL_AHEAD_BYTES (512ull << 20)
#define FL_AHEAD_THREADS 24

int fl_ahead_new(struct fl_ahead **ret, struct fl_s3 *s);
void fl_ahead_free(struct fl_ahead **ahead); /* ends what is under way; fl_http_close was called */
int fl_ahead_add(struct fl_ahead *a, const char *bucket, const char *key, uint64_t size, const char *etag);
/* True: it is there. False: it was not announced, its turn had not come, or it failed: whoever needs it gets it. */
bool fl_ahead_take(struct fl_ahead *a, const char *bucket, const char *key, uint64_t size, const char *etag,
		   int *ret_fd);
