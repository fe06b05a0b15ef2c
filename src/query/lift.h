/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Conditions of a statement that the scanner can use. DuckDB's C API hands a table function no filter, so the parsed
 * statement is read (json_serialize_sql) and what every row of the view must fulfil is taken out of its WHERE. The
 * engine still applies the whole WHERE: what is lifted may be too little, never too much.
 */
#pragma once

#include <jansson.h>
#include <stddef.h>

#include "query/library.h"
#include "scan/filter.h"

struct fl_lift; /* NULL: nothing was lifted */
/* Nothing is lifted, and it is no error, where the text is not only SELECT statements (or one EXPLAIN of them). */
int fl_lift_new(struct fl_lift **ret, const struct fl_duckdb *d, fl_duck connection, const char *sql);
void fl_lift_free(struct fl_lift **l);
/* Of the statement of this number; NULL: every record may be needed. */
const struct fl_filter *fl_lift_filter(const struct fl_lift *l, size_t statement);
/* What passes the filter is what the WHERE of the statement's only reference lets pass, no more. */
bool fl_lift_is_exact(const struct fl_lift *l, size_t statement);
const json_t *fl_lift_statement(const struct fl_lift *l, size_t statement); /* its tree; NULL: there is none */
bool fl_lift_is_view(const json_t *from);                                   /* plainly, with nothing changed */
