/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Objects on disk, to a ceiling, of the user alone (0700). A file's name is a digest of where the object is, its key,
 * ETag and size, so another version is another file; it is written beside and renamed, so what has its name is whole.
 * What was used longest ago goes first. Several processes may share it: each keeps count of what it adds, so that
 * together they can be over the ceiling by a sixteenth each for a moment. Without a place for it there is no cache.
 */
#pragma once

#include "aws/settings.h"
#include "aws/sigv4.h"

#define FL_CACHE_LISTING_S                                                                                             \
	86400 /* how long a listing holds; of objects only a lifecycle rule takes away in between                      \
	       */

struct fl_cache;
int fl_cache_new(struct fl_cache **ret, const struct fl_aws_settings *settings, const struct fl_s3_options *options);
void fl_cache_free(struct fl_cache **cache);

/* The name of what these say together. */
void fl_cache_name(const char *const *parts, size_t n, char ret[FL_SHA256_HEX]);

/* True: *ret_fd is open at the start of a file of this size (UINT64_MAX: of any). older_s: 0, or how old it may be. */
bool fl_cache_open(struct fl_cache *c, const char *name, uint64_t size, int64_t older_s, int *ret_fd);

void fl_cache_remove(struct fl_cache *c, const char *name);

/* A file that is being written. Null value: zero-initialised with fd -1. */
struct fl_cache_file {
	struct fl_cache *cache; /* NULL: the file has no name and will have none */
	char temporary[64];
	int fd;
};
/* cache NULL, too big for it, or no place: a file without a name, a small one in memory, others in TMPDIR. */
int fl_cache_begin(struct fl_cache *c, uint64_t size, struct fl_cache_file *ret);
/* Gives the file its name and returns it open for reading at its start. f is used up, also by an error. */
int fl_cache_commit(struct fl_cache_file *f, const char *name, uint64_t size, bool durable, int *ret_fd);
void fl_cache_abort(struct fl_cache_file *f);
