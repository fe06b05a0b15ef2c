/* SPDX-License-Identifier: Apache-2.0 */
/* Inside the room "cli": answers of ready questions on standard output. */
#pragma once

#include "cli/print.h"
#include "query/ask.h"

enum fl_answer_form { FL_ANSWER_TABLE, FL_ANSWER_CSV, FL_ANSWER_JSON, FL_ANSWER_PARQUET };

/* Rows of any shape, a cell at a time, so that what is not an answer of the engine can be printed like one. */
struct fl_rows {
	const struct fl_answer_column *column;
	size_t n_columns, n_rows;
	void (*cell)(const void *ctx, size_t row, size_t column, struct fl_cell *ret);
	const void *ctx;
};
void fl_rows_of(const struct fl_answer *a, struct fl_rows *ret);
int fl_rows_print(const struct fl_rows *rows, enum fl_answer_form form);
/* A value as csv and json have it, without quotes. */
int fl_cell_exact(const struct fl_cell *c, struct fl_buf *out);
/* Minutes, added up to `bucket` seconds (0: by the span), drawn. */
int fl_series_print(const struct fl_answer *a, enum fl_answer_form form, uint64_t bucket);
int fl_summary_print(const struct fl_summary *s, enum fl_answer_form form);

/* A line of what made an answer: version, command, and each input's SHA-256, or why it has none. *ret_unread: how many
 * have none. */
int fl_provenance(const char *const *sources, const char *store, enum fl_answer_form form, struct fl_buf *out,
		  size_t *ret_unread);
