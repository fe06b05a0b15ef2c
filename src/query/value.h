/* SPDX-License-Identifier: Apache-2.0 */
/* Values of DuckDB's vectors as text. */
#pragma once

#include "base/mem.h"
#include "query/library.h"

struct fl_duck_column {
	fl_duck vector, type;
	int id; /* enum fl_duck_type */
};

/* What JSON writes without quotes. */
bool fl_duck_is_number(int type_id);
/* Whether we can print this type: the sentence of a failure names the column and the cast that
 * helps. */
int fl_duck_printable(const struct fl_duckdb *d, fl_duck type, const char *column);
/* Append the value of a row that is not NULL. Lists, arrays, structs and maps (lists of key and
 * value) are written as JSON. */
int fl_duck_print(const struct fl_duckdb *d, const struct fl_duck_column *c, idx_t row, struct fl_buf *out);
/* The same as a JSON value. */
int fl_duck_print_json(const struct fl_duckdb *d, const struct fl_duck_column *c, idx_t row, struct fl_buf *out);
/* Append text between quotes, with quotes inside doubled. */
int fl_sql_quote(struct fl_buf *out, const char *text, char quote);
