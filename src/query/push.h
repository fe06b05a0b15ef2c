/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Statements that the group-by engine of the ready questions carries out: one SELECT over the view alone that groups
 * by plain columns and measures plain columns, whose WHERE the scanner applies whole. What it makes of the records is
 * read by the rewritten statement as the table function flowlog_groups(): one row a group, its measures as columns.
 * Everything behind that (expressions, HAVING, ORDER BY, LIMIT, the output) stays DuckDB's.
 */
#pragma once

#include "query/group.h"
#include "query/lift.h"
#include "query/table.h"

struct fl_push_measure {
	enum fl_measure_kind kind;
	int column; /* of the table; -1: records are counted */
};
struct fl_push {
	size_t key[FL_GROUP_KEYS]; /* columns of the table */
	size_t n_keys;
	struct fl_push_measure measure[FL_GROUP_MEASURES];
	size_t n_measures;
	char *sql;
};
#define FL_PUSH_NAME_MAX 32
void fl_push_name(char ret[FL_PUSH_NAME_MAX], size_t measure); /* of its column */

/* What a column is to the engine; false: nothing that it groups or counts by. */
bool fl_push_type(const struct fl_column_def *d, enum fl_group_type *ret);
/* NULL: the statement stays DuckDB's. explain: what stands before it, "" or an EXPLAIN. */
int fl_push_new(struct fl_push **ret, const struct fl_query_table *t, fl_duck connection, const json_t *statement,
		const char *explain, size_t explain_n);
void fl_push_free(struct fl_push **p);
int fl_push_print(const struct fl_push *p, const struct fl_query_table *t, struct fl_buf *out); /* for EXPLAIN */
