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

/* All of it or an error; EINTR handled. */
int fl_write_all(int fd, const void *data, size_t n);
int fl_fsync_dir(int dirfd, const char *path);
