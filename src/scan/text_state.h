/* SPDX-License-Identifier: Apache-2.0 */
/* Inside the scanner of text: what text.c (strips, batches), text_lines.c (which lines are records) and text_values.c
 * (columns of those) share. */
#pragma once

#include "base/error.h"
#include "scan/headers.h"
#include "scan/kernels.h"
#include "scan/text.h"

#define WORDS(n) (((n) + 63) / 64)

/* How one column of the batch is made. */
struct plan {
	uint16_t column, field; /* position in the batch, in the line */
	struct fl_code_keys keys;
};

/* Text that is scanned: the caller's, or our copy of a last line. */
struct block {
	const char *text;
	size_t n, at; /* at: up to here lines are used */
};

struct fl_text {
	const struct fl_kernel *kernel;
	struct fl_headers *headers;
	struct fl_text_want want;
	const bool *lacks; /* of the format in hand; NULL: nothing hangs on it */
	struct fl_text_counts counts;
	unsigned told; /* faults */

	size_t n_fields, strip_rows;
	struct plan plan[FL_BATCH_COLUMNS]; /* what the filter needs first */
	size_t n_plan, n_early;
	/* By position in the batch; needed: by the filter, fixed: constant */
	bool needed[FL_BATCH_COLUMNS], fixed[FL_BATCH_COLUMNS], early[FL_BATCH_COLUMNS], missing[FL_BATCH_COLUMNS];
	struct fl_literals literals; /* count 0: rows are not looked for */

	bool skipping;         /* within a line that is too long */
	uint64_t lines_before; /* of the block that is scanned */

	uint32_t n;                      /* rows in the making */
	uint32_t before[FL_BATCH_ROWS];  /* position before their first byte */
	uint32_t rows[FL_BATCH_ROWS];    /* that passed */
	uint32_t offsets[FL_BATCH_ROWS]; /* the same in pos */
	uint32_t *pos;                   /* n_fields a row: where its values end */
	size_t pos_size;
	char *tail; /* FL_TEXT_LINE_MAX + 1 + FL_TEXT_PAD */
};

/* ---- text_values.c ---- */

void fl_text_tell(struct fl_text *t, uint64_t line, const char *fmt, ...) FL_PRINTF(3, 4);
void fl_text_set_null(struct fl_column *c, uint32_t row);
/* Values of a column; first: row in the making of the first of them. */
struct fl_spans fl_text_spans(const struct fl_text *t, const struct block *b, const struct plan *p, const uint32_t *pos,
			      uint32_t first);
/* n values into the column's rows from `first`. */
void fl_text_convert(struct fl_text *t, const struct block *b, const struct plan *p, const struct fl_spans *all,
		     uint32_t first, uint32_t n);

/* ---- text_lines.c ---- */

enum line {
	LINE_ROW,
	LINE_NONE,   /* not used */
	LINE_HEADER, /* of another format */
	LINE_MORE,   /* its end was not indexed */
	LINE_END,    /* its end is not in the block */
};

/* Every line of the strip has n_fields values and no carriage return needs more than to be cut off. Sets before[];
 * returns false when the lines must be walked. pos is changed only when true is returned. */
bool fl_text_take_regular(struct fl_text *t, const struct block *b, uint32_t *pos, const struct fl_index *ix,
			  uint32_t rows);
/* Line by line, those that are records moved together. Returns how many; b->at moves on. ret_stop: the line that it
 * stands before, when that needs something else. */
uint32_t fl_text_walk(struct fl_text *t, struct block *b, uint32_t *pos, const struct fl_index *ix, uint32_t rows,
		      enum line *ret_stop);
/* A line with more delimiters than were indexed. 1; 0: it does not end here. */
int fl_text_pass_over(struct fl_text *t, struct block *b);
enum line fl_text_bad_line(struct fl_text *t, const char *why);
