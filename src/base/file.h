/* SPDX-License-Identifier: Apache-2.0 */
/* Whole files: read with a ceiling, written beside and renamed so that a reader sees all or nothing. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/mem.h"

/* Append the whole file to buf (buf->max is the ceiling). -EFBIG with a sentence when it is larger. */
int fl_file_read(int dirfd, const char *path, struct fl_buf *buf);

/* name may contain directories, which must exist. durable: fsync the file and its directory. */
int fl_file_write_atomic(int dirfd, const char *name, const void *data, size_t n, mode_t mode, bool durable);

/* mkdir -p below dirfd. */
int fl_mkdirs(int dirfd, const char *path, mode_t mode);
/* The same; those that were not there are added to made, each with its NUL. */
int fl_mkdirs_noting(int dirfd, const char *path, mode_t mode, struct fl_buf *made);
/* Removes those, the last one first, that are empty; made is empty afterwards. -ENOTEMPTY and others: some stay. */
int fl_rmdirs(int dirfd, struct fl_buf *made);
/* Renames; without `replace` only to a name that is free (-EEXIST). *ret_replaced: something was there. No sentence. */
int fl_rename(int dirfd, const char *from, const char *to, bool replace, bool *ret_replaced);

/*
 * Whatever is not a directory, in a directory and those below it to `depth`. fd is taken. path holds what the directory
 * is called, `len` bytes with the slash, and room for `size`; in it each entry is named in turn (name is its end).
 * Names that begin with a dot or are too long, and what vanishes meanwhile, are passed over; links are not followed.
 * Ends early with what fn returned when that is not 0; so with closed, which is told of directories that cannot be
 * opened (-errno; path without the slash). NULL: they end the walk.
 */
typedef int (*fl_walk_fn)(void *ctx, int dirfd, char *path, char *name);
typedef int (*fl_walk_closed_fn)(void *ctx, const char *path, int error);
int fl_walk_files(int fd, char *path, size_t len, size_t size, unsigned depth, fl_walk_fn fn, fl_walk_closed_fn closed,
		  void *ctx);

/* TMPDIR, else /var/tmp (/tmp is often memory), else /tmp. */
const char *fl_temp_dir(void);
/* A file without a name in dir, gone when it is closed: its descriptor, or -errno without a sentence. */
int fl_temp_file(const char *dir);

/* All of it or an error; EINTR handled. */
int fl_write_all(int fd, const void *data, size_t n);
int fl_fsync_dir(int dirfd, const char *path);
