/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside the room "scan": a big Parquet object of a bucket, of which only what is asked for is fetched. Its end comes
 * first; then, a row group at a time, indexes and Bloom filters, and of the columns that are wanted the pieces that
 * have rows which may pass. Every request names the version that the end is of: a mixture of two is never read.
 */
#pragma once

#include "scan/set.h"

#define FL_REMOTE_MIN (4u << 20) /* smaller objects are fetched whole: that is one request, and they are kept whole */

struct fl_remote;
/* 1: it is no Parquet, or has no ETag: it is to be fetched whole. */
int fl_remote_open(struct fl_remote **ret, struct fl_scan *s, const struct fl_ticket *t);
void fl_remote_free(struct fl_remote **r);
uint64_t fl_remote_size(const struct fl_remote *r);
/* Something is wrong with it. True: that was told already, of another row group. */
bool fl_remote_failed(struct fl_remote *r);
void fl_remote_input(struct fl_remote *r, struct fl_parquet_input *ret);

/* What was fetched of a row group. */
struct fl_pieces;
/* 1: its Bloom filters say that no row can pass: there is nothing to read. */
int fl_pieces_fetch(struct fl_pieces **ret, const struct fl_pass *p, const struct fl_opened *o, size_t group);
void fl_pieces_free(struct fl_pieces **p);
const struct fl_parquet_input *fl_pieces_input(struct fl_pieces *p);
