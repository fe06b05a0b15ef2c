/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table function "flowlog_scan" and the views over it: sources as DuckDB reads them, by our own scanner. Only the
 * columns that a statement needs are read, by as many threads as there are; conditions lifted from its WHERE (lift.h)
 * pass over files and records before the engine sees them.
 */
#pragma once

#include <signal.h>
#include <stdbool.h>

#include "query/library.h"
#include "scan/reader.h"

struct fl_query_table {
	const struct fl_duckdb *d;
	const struct fl_scan_conf *conf;
	const struct fl_filter *filter; /* lifted from the statement in hand; NULL: every record may be needed */
	/* What the first look found; the first run takes the scan over when it asks for the same. */
	struct fl_scan *first;
	const struct fl_filter *first_filter;
	const char *once; /* a source that only one scan can read, which then is the first; NULL: none */
	struct fl_column_def column[FL_BATCH_COLUMNS];
	char *name[FL_BATCH_COLUMNS];
	size_t n_columns;
	bool left_out, looked_wide; /* files by the first look; they were looked at, too */
	/* sums over the runs that have ended */
	struct fl_scan_report report;
	struct fl_buf faults; /* sentences, a line each */
	size_t n_faults;
};

/* Looks at the sources and registers function and views; table must live as long as the connection. */
int fl_query_table_register(struct fl_query_table *t, fl_duck connection);
/* filter, or NULL when it asks for a column that the sources do not have. After the registration. */
const struct fl_filter *fl_query_table_usable(const struct fl_query_table *t, const struct fl_filter *filter);
/*
 * Columns that no file has which is read are not shown by SELECT *, but can be named: what is published is a field of
 * flow logs, and what is left out has other fields. complaint: the engine's of a statement. 1: the views have more
 * columns now, and the statement is to be tried again; 0: it names none of them.
 */
int fl_query_table_learn(struct fl_query_table *t, fl_duck connection, const char *complaint);
void fl_query_table_free(struct fl_query_table *t);
/* Files and records that the lifted conditions leave out, as far as the listing tells; for EXPLAIN. */
int fl_query_table_explain(struct fl_query_table *t, struct fl_buf *out);
/* A scan of the sources by the lifted conditions, for the caller to select of and to close. */
int fl_query_table_scan(struct fl_query_table *t, struct fl_scan **ret);
void fl_query_table_report(struct fl_query_table *t, struct fl_scan *scan); /* adds what a scan that ends has to tell */
int fl_query_table_type(const struct fl_column_def *d);                     /* enum fl_duck_type */
/* Values of a vector; data is what vector_get_data says. */
void fl_query_set_text(fl_duck vector, void *data, uint32_t row, const char *p, size_t n);
void fl_query_set_null(fl_duck vector, uint32_t row);
struct fl_query_function { /* a table function; callbacks get `extra` as its own data */
	const char *name;
	void *extra;
	void (*bind)(fl_duck info), (*init)(fl_duck info), (*rows)(fl_duck info, fl_duck chunk);
	void (*local_init)(fl_duck info); /* NULL: threads have nothing of their own */
};
int fl_query_function_register(const struct fl_duckdb *d, fl_duck connection, const struct fl_query_function *f);
int fl_query_run_sql(const struct fl_duckdb *d, fl_duck connection, const char *sql);
