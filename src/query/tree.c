/* SPDX-License-Identifier: Apache-2.0 */
#include "query/tree.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/error.h"
#include "base/mem.h"
#include "query/value.h"

#define SQL_MAX (64u << 20)
#define DEPTH_MAX 2000

const char *fl_tree_text(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "";
}

bool fl_tree_is_one_of(const char *name, const char *const *names)
{
	for (; *names; names++)
		if (!strcasecmp(name, *names))
			return true;
	return false;
}

const json_t *fl_tree_argument(const json_t *call, size_t i)
{
	const json_t *arguments = json_object_get(call, "arguments");

	return arguments ? json_object_get(json_array_get(arguments, i), "expression")
			 : json_array_get(json_object_get(call, "children"), i);
}

/* The tree has had two shapes: "value" with a type, and since later "literal" with the text as it was written. */
bool fl_tree_constant_of(const json_t *e, struct fl_tree_constant *ret)
{
	static const char *const types[] = {"VARCHAR", "TINYINT",         "SMALLINT",       "INTEGER",
					    "BIGINT",  "UTINYINT",        "USMALLINT",      "UINTEGER",
					    "UBIGINT", "INTEGER_LITERAL", "STRING_LITERAL", NULL};
	const json_t *literal = json_object_get(e, "literal"), *value = json_object_get(e, "value");
	const char *kind;

	*ret = (struct fl_tree_constant){0};
	if (strcmp(fl_tree_text(e, "class"), "CONSTANT") != 0)
		return false;
	if (literal) {
		kind = fl_tree_text(literal, "kind");
		ret->is_text = !strcmp(kind, "STRING");
		ret->text = json_string_value(json_object_get(literal, "text"));
		return ret->text && (ret->is_text || !strcmp(kind, "INTEGER"));
	}
	/* 1.5 is there as 15, of a DECIMAL. */
	if (json_is_true(json_object_get(value, "is_null")) ||
	    !fl_tree_is_one_of(fl_tree_text(json_object_get(value, "type"), "id"), types))
		return false;
	value = json_object_get(value, "value");
	ret->is_text = json_is_string(value);
	ret->text = ret->is_text ? json_string_value(value) : ret->number;
	if (json_is_integer(value))
		snprintf(ret->number, sizeof ret->number, "%lld", (long long)json_integer_value(value));
	return ret->is_text || json_is_integer(value);
}

/* First value of the first row, as a string of the caller. */
char *fl_tree_ask(const struct fl_duckdb *d, fl_duck connection, const char *sql)
{
	struct fl_duck_result result = {0};
	struct fl_buf out FL_CLEANUP(fl_buf_free) = FL_BUF(SQL_MAX);
	fl_duck chunk = NULL;
	char *ret = NULL;

	if (!d->query(connection, sql, &result) && (chunk = d->fetch_chunk(result)) && d->data_chunk_get_size(chunk)) {
		struct fl_duck_column c = {d->data_chunk_get_vector(chunk, 0), NULL, 0};

		c.type = d->vector_get_column_type(c.vector);
		c.id = d->get_type_id(c.type);
		if (fl_duck_valid(d->vector_get_validity(c.vector), 0) && !fl_duck_print(d, &c, 0, &out))
			ret = strdup(fl_buf_cstr(&out));
		d->destroy_logical_type(&c.type);
	}
	if (chunk)
		d->destroy_data_chunk(&chunk);
	d->destroy_result(&result);
	return ret;
}

/* "Nowhere" is written as 2^64 - 1, which is no number to the JSON library. Within a string the quotes would have
 * backslashes. */
static void drop_nowhere(char *text)
{
	static const char nowhere[] = "\"query_location\":18446744073709551615";
	size_t name = strlen("\"query_location\":"), rest = sizeof nowhere - 1 - name;

	for (char *p = text; (p = strstr(p, nowhere)); p += sizeof nowhere - 1) {
		memset(p + name, ' ', rest - 1);
		p[name + rest - 1] = '0';
	}
}

const char *fl_tree_after_explain(const char *sql)
{
	static const char *const words[] = {"explain", "analyze"};

	for (size_t i = 0; i < FL_ARRAY_LEN(words); i++) {
		size_t n = strlen(words[i]);

		while (isspace((unsigned char)*sql))
			sql++;
		if (!strncasecmp(sql, words[i], n) && isspace((unsigned char)sql[n]))
			sql += n;
		else if (!i)
			break;
	}
	return sql;
}

json_t *fl_tree_of(const struct fl_duckdb *d, fl_duck connection, const char *sql)
{
	struct fl_buf ask FL_CLEANUP(fl_buf_free) = FL_BUF(SQL_MAX);
	char *text FL_CLEANUP(fl_freep) = NULL;
	json_t *root;
	int r = fl_buf_adds(&ask, "SELECT json_serialize_sql(");

	r = r ? r : fl_sql_quote(&ask, fl_tree_after_explain(sql), '\'');
	r = r ? r : fl_buf_adds(&ask, "::VARCHAR)");
	text = r ? NULL : fl_tree_ask(d, connection, fl_buf_cstr(&ask));
	if (text)
		drop_nowhere(text);
	root = text ? json_loads(text, 0, NULL) : NULL;
	if (root && !json_is_array(json_object_get(root, "statements"))) {
		json_decref(root);
		root = NULL;
	}
	return root;
}

/* ---- statements of strangers ---- */

/* Table functions make files, settings and logs as well as rows: those that make rows alone are named. */
static const char *stranger(const json_t *o, unsigned depth)
{
	static const char *const rows[] = {"flowlog_scan", "range",     "generate_series", "unnest",
					   "repeat",       "json_each", "json_tree",       NULL};
	const char *name, *key;
	json_t *child;
	size_t i;

	if (depth > DEPTH_MAX)
		return "so much nesting";
	if (json_is_array(o)) {
		json_array_foreach(o, i, child) if ((name = stranger(child, depth + 1))) return name;
		return NULL;
	}
	if (!json_is_object(o))
		return NULL;
	if (!strcmp(fl_tree_text(o, "type"), "TABLE_FUNCTION")) {
		name = fl_tree_text(json_object_get(o, "function"), "function_name");
		if (!fl_tree_is_one_of(name, rows))
			return name;
	}
	json_object_foreach((json_t *)(uintptr_t)o, key, child) if ((name = stranger(child, depth + 1))) return name;
	return NULL;
}

int fl_tree_only_asks(const struct fl_duckdb *d, fl_duck connection, const char *sql)
{
	json_t *root = fl_tree_of(d, connection, sql);
	const char *name = root ? stranger(json_object_get(root, "statements"), 0) : NULL;
	int r = 0;

	if (!root)
		r = fl_fail(-EPERM, "--read-only allows SELECT statements, or one EXPLAIN of them");
	else if (name)
		r = fl_fail(-EPERM, "--read-only does not allow %s()", name);
	json_decref(root);
	return r;
}
