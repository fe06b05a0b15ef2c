/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A table for people: cells are collected, then laid out to a width. Control characters, which
 * would let a name from outside drive the terminal or turn the order of what stands behind it
 * round, and broken UTF-8 are shown as '?'.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/mem.h"

#define FL_GRID_COLUMNS 128

struct fl_grid {
	size_t columns, cells;
	size_t width[FL_GRID_COLUMNS]; /* of the widest cell so far */
	bool right[FL_GRID_COLUMNS];   /* numbers */
	bool whole[FL_GRID_COLUMNS];   /* of no use when shortened: rather left out */
	struct fl_buf text;            /* cells, each ended by NUL */
};

/* The first row is the header. Null value: zero-initialised. max_bytes is the ceiling of all text
 * together. */
int fl_grid_init(struct fl_grid *g, size_t columns, size_t max_bytes);
void fl_grid_free(struct fl_grid *g);
int fl_grid_add(struct fl_grid *g, const char *text, size_t n); /* the next cell, row by row */
int fl_grid_adds(struct fl_grid *g, const char *text);
int fl_grid_addf(struct fl_grid *g, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
size_t fl_grid_rows(const struct fl_grid *g); /* with the header */
/* Append the lines to out. width 0: none is cut. Else the widest columns are shortened; columns
 * that then still do not fit are left out from the right and counted in the header line. */
int fl_grid_print(const struct fl_grid *g, size_t width, struct fl_buf *out);

/* text with control characters replaced; returns the number of characters a terminal shows. */
size_t fl_grid_clean(struct fl_buf *out, const char *text, size_t n);
/* Whole lines to fd: as they are, or on a terminal with the same replaced, but for newlines and tabs. -errno. */
int fl_grid_write(int fd, const char *text, size_t n);
bool fl_grid_is_clean(const char *text, size_t n); /* there is nothing to replace */
