/* SPDX-License-Identifier: Apache-2.0 */
/* Statements as the trees that DuckDB's parser makes of them (json_serialize_sql). */
#pragma once

#include <jansson.h>
#include <stdbool.h>

#include "query/library.h"

/* Member "statements" is an array. NULL: the text is not only SELECT statements, or one EXPLAIN of them; or no memory.
 */
json_t *fl_tree_of(const struct fl_duckdb *d, fl_duck connection, const char *sql);
const char *fl_tree_after_explain(const char *sql);         /* the statement itself */
const char *fl_tree_text(const json_t *o, const char *key); /* "" when there is none */
bool fl_tree_is_one_of(const char *name, const char *const *names /* ends with NULL */);
/* Of a call; NULL: it has fewer. The tree has had two shapes, here and in constants. */
const json_t *fl_tree_argument(const json_t *call, size_t i);
struct fl_tree_constant {
	bool is_text;
	const char *text;
	char number[32];
};
bool fl_tree_constant_of(const json_t *e, struct fl_tree_constant *ret); /* texts and whole numbers */
/* First value of the first row as text, for the caller to free; NULL: none. */
char *fl_tree_ask(const struct fl_duckdb *d, fl_duck connection, const char *sql);
/* -EPERM with a sentence where the statements do more than ask, or call table functions that reach further. */
int fl_tree_only_asks(const struct fl_duckdb *d, fl_duck connection, const char *sql);
