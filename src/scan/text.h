/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside the room "scan": text of flow logs to batches of typed columns. One scanner a thread.
 *
 *	fl_text_begin(t, format, &want);
 *	for each block of the file, from its first byte, blocks ending where a line ends except perhaps the last one:
 *		do {
 *			r = fl_text_next(t, data, n, last, &used);
 *			... want.batch has rows when r is 1 ...
 *			data += used, n -= used;
 *		} while (r == 1);
 *
 * A line with another number of fields, an empty value (two spaces, a leading or trailing one) or more than
 * FL_TEXT_LINE_MAX bytes is not used: it is counted and told, and its neighbours are read as if it were not there.
 *Blank lines count for nothing; a carriage return before the newline is no part of the line. A value that is none of
 *its column is null, counted and told. A header line is passed over wherever it stands, and what follows is read by it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "record/columns.h"
#include "record/record.h"
#include "scan/filter.h"

#define FL_TEXT_PAD 64                 /* bytes behind a block that may be read; what they hold makes no difference */
#define FL_TEXT_BLOCK_MAX (1u << 30)   /* bytes of one block */
#define FL_TEXT_LINE_MAX FL_RECORD_MAX /* bytes of a line without its newline */
#define FL_TEXT_FAULTS 20              /* told of one fl_text_begin; the others are counted */

enum fl_line_end {
	FL_LINE_IS_WHOLE,
	FL_LINE_MAY_GO_ON, /* it is whole if it has all values */
	FL_LINE_GOES_ON,   /* it is not used, and no fault */
};

struct fl_text_want {
	struct fl_batch *batch;
	/* By position in the batch; NULL: none. Text of columns that are not read (source), of type TEXT or U64 and not
	 * "-": its value in every row; must outlive the batch's rows. p NULL: no constant. Columns that neither this
	 * nor the format has are null. */
	const struct fl_str *constant;
	const struct fl_filter_bound *filter; /* NULL: every record passes */
	const bool *of_filter;                /* by position: the filter looks at it. NULL: at all */
	/* Asked of each format: which columns it lacks, by position, if the filter hangs on them; else *ret NULL. Valid
	 * until the next call. May be NULL. */
	int (*lacks)(void *ctx, const struct fl_format *format, const bool **ret);
	/* From fl_filter_literals: only records with one of these as an address can pass. */
	const struct fl_addr *literals;
	size_t n_literals;
	/* Whether somebody still writes the last line, which has no newline: it is asked once. NULL: nobody. */
	enum fl_line_end (*line_end)(void *ctx);
	/* A sentence without file name about a line (counted from 1); may be NULL. */
	void (*fault)(void *ctx, uint64_t line, const char *what);
	void *ctx;
};

struct fl_text_counts {   /* since fl_text_begin */
	uint64_t lines;   /* newlines seen */
	uint64_t records; /* well-formed lines, before the filter */
	uint64_t malformed;
	uint64_t bad_values; /* of the columns and rows that were converted */
	uint64_t unjudged;   /* that could have passed */
};

struct fl_text;
/* kernel: NULL for the best that this CPU has, or its name. -EINVAL: no such kernel; -ENOTSUP: not on this CPU. */
int fl_text_new(struct fl_text **ret, const char *kernel);
void fl_text_free(struct fl_text **t);
const char *fl_text_kernel(const struct fl_text *t); /* name */
/* What is needed of format and want is copied, except the batch, the filter, ctx and the text of constants. */
int fl_text_begin(struct fl_text *t, const struct fl_format *format, const struct fl_text_want *want);
/* 1: the batch has at least one row, all of which pass; TEXT columns point into the block (or, for a last line without
 * newline, into the scanner) and are valid until the next call. 0: nothing more in this block; *ret_used < n only when
 * !last: a line that has begun and must be at the front of the next block. -ENOMEM. */
int fl_text_next(struct fl_text *t, const char *data, size_t n, bool last, size_t *ret_used);
const struct fl_text_counts *fl_text_counts(const struct fl_text *t);
