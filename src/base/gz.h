/* SPDX-License-Identifier: Apache-2.0 */
/* One gzip stream, written piece by piece. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/mem.h"

struct fl_gz;
int fl_gz_new(struct fl_gz **ret);
void fl_gz_free(struct fl_gz **g);
/* Appends to out; end: this was the last piece. */
int fl_gz_add(struct fl_gz *g, const void *data, size_t n, bool end, struct fl_buf *out);
