/* SPDX-License-Identifier: Apache-2.0 */
#include "query/push.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/error.h"
#include "query/tree.h"
#include "query/value.h"

#define DEPTH_MAX 200
#define SQL_MAX (64u << 20)

void fl_push_name(char ret[FL_PUSH_NAME_MAX], size_t measure)
{
	snprintf(ret, FL_PUSH_NAME_MAX, "measure %zu", measure);
}

bool fl_push_type(const struct fl_column_def *d, enum fl_group_type *ret)
{
	static const enum fl_group_type types[FL_COLUMN_TYPES] = {[FL_COLUMN_U64] = FL_GROUP_U64,
								  [FL_COLUMN_ADDR] = FL_GROUP_ADDR,
								  [FL_COLUMN_TEXT] = FL_GROUP_TEXT,
								  [FL_COLUMN_CODE] = FL_GROUP_CODE};

	*ret = types[d->type];
	if (d->type == FL_COLUMN_U64 && d->field && d->field->type == FL_TYPE_INT32)
		*ret = FL_GROUP_U32;
	return d->own == FL_OWN_NONE;
}

/* What is known of the SELECT in hand. */
struct shape {
	const struct fl_query_table *t;
	fl_duck connection;
	struct fl_push *p;
	const json_t *items; /* its select list */
	const char *table;   /* what the view is called in it */
	bool distinct;       /* no groups: every column that is named is a key */
	int r;
};

/* ---- columns ---- */

/* The column of the view that a name means; -1: none. */
static int column_of(const struct shape *s, const json_t *e)
{
	const json_t *names = json_object_get(e, "column_names");
	size_t n = json_array_size(names);
	const char *name = json_string_value(json_array_get(names, n - 1));
	const char *table = n == 2 ? json_string_value(json_array_get(names, 0)) : NULL;
	enum fl_group_type type;

	if (strcmp(fl_tree_text(e, "class"), "COLUMN_REF") != 0 || n < 1 || n > 2 || !name ||
	    (n == 2 && (!table || strcasecmp(table, s->table) != 0)))
		return -1;
	for (size_t i = 0; i < s->t->n_columns; i++)
		if (!strcasecmp(s->t->name[i], name))
			return fl_push_type(&s->t->column[i], &type) ? (int)i : -1;
	return -1;
}

static bool is_key(const struct shape *s, int column)
{
	for (size_t i = 0; i < s->p->n_keys; i++)
		if (s->p->key[i] == (size_t)column)
			return true;
	return false;
}

static bool add_key(struct shape *s, int column)
{
	if (column < 0 || (!is_key(s, column) && s->p->n_keys == FL_GROUP_KEYS))
		return false;
	if (!is_key(s, column))
		s->p->key[s->p->n_keys++] = (size_t)column;
	return true;
}

static const json_t *item_called(const struct shape *s, const char *name)
{
	json_t *item;
	size_t i;

	json_array_foreach(s->items, i, item) if (!strcasecmp(fl_tree_text(item, "alias"), name)) return item;
	return NULL;
}

/* A plain name that the select list gives. */
static bool is_alias(const struct shape *s, const json_t *e)
{
	const json_t *names = json_object_get(e, "column_names");
	const char *name = json_string_value(json_array_get(names, 0));

	return json_array_size(names) == 1 && name && item_called(s, name);
}

/* ---- groups ---- */

static bool position_of(const json_t *e, size_t *ret)
{
	struct fl_tree_constant c;

	if (!fl_tree_constant_of(e, &c) || c.is_text)
		return false;
	*ret = strtoul(c.text, NULL, 10);
	return *ret >= 1;
}

/* A column, its place in the select list, or the name that it has there where the sources have none of that name. */
static int group_of(const struct shape *s, const json_t *e)
{
	int column = column_of(s, e);
	size_t position;

	if (column < 0 && position_of(e, &position))
		return column_of(s, json_array_get(s->items, position - 1));
	if (column < 0 && is_alias(s, e))
		return column_of(
		    s, item_called(s, json_string_value(json_array_get(json_object_get(e, "column_names"), 0))));
	return column;
}

static bool take_groups(struct shape *s, const json_t *node)
{
	const json_t *groups = json_object_get(node, "group_expressions");
	const json_t *sets = json_object_get(node, "group_sets");
	bool all = !strcmp(fl_tree_text(node, "aggregate_handling"), "FORCE_AGGREGATES");
	json_t *e;
	size_t i;

	if (!all && strcmp(fl_tree_text(node, "aggregate_handling"), "STANDARD_HANDLING") != 0)
		return false;
	/* Anything but one set of all of them is ROLLUP and its kin. */
	if (json_array_size(sets) > 1 || json_array_size(json_array_get(sets, 0)) != json_array_size(groups))
		return false;
	json_array_foreach(groups, i, e) if (!add_key(s, group_of(s, e))) return false;
	if (all)
		json_array_foreach(s->items, i, e) if (!strcmp(fl_tree_text(e, "class"), "COLUMN_REF") &&
						       !add_key(s, column_of(s, e))) return false;
	return all || json_array_size(groups);
}

/* SELECT DISTINCT over columns groups by them. */
static bool is_distinct(const json_t *node)
{
	json_t *modifier;
	size_t i;

	json_array_foreach(
	    json_object_get(node, "modifiers"), i,
	    modifier) if (!strcmp(fl_tree_text(modifier, "type"),
				  "DISTINCT_MODIFIER")) return !json_array_size(json_object_get(modifier,
												"distinct_on_targets"));
	return false;
}

/* ---- measures ---- */

static const struct aggregate {
	const char *name;
	enum fl_measure_kind kind;
	bool needs_column, distinct_too; /* the same of distinct values */
} aggregates[] = {
    {"count_star", FL_MEASURE_COUNT, false, false},
    {"count", FL_MEASURE_COUNT, true, false},
    {"sum", FL_MEASURE_SUM, true, false},
    {"min", FL_MEASURE_MIN, true, true},
    {"max", FL_MEASURE_MAX, true, true},
};

static int measure_number(struct shape *s, enum fl_measure_kind kind, int column)
{
	struct fl_push *p = s->p;
	size_t distinct = 0;

	for (size_t i = 0; i < p->n_measures; i++) {
		if (p->measure[i].kind == kind && p->measure[i].column == column)
			return (int)i;
		distinct += p->measure[i].kind == FL_MEASURE_DISTINCT;
	}
	if (p->n_measures == FL_GROUP_MEASURES || (kind == FL_MEASURE_DISTINCT && distinct == FL_GROUP_DISTINCT))
		return -1;
	p->measure[p->n_measures] = (struct fl_push_measure){kind, column};
	return (int)p->n_measures++;
}

/* The column of flowlog_groups() that has what a call measures; NULL: it is none of ours. */
static json_t *measured(struct shape *s, const json_t *e)
{
	const struct aggregate *a = NULL;
	bool distinct = json_is_true(json_object_get(e, "distinct"));
	const json_t *argument = fl_tree_argument(e, 0);
	int column = -1, number;
	char name[FL_PUSH_NAME_MAX];
	enum fl_measure_kind kind;

	for (size_t i = 0; i < FL_ARRAY_LEN(aggregates); i++)
		if (!strcasecmp(fl_tree_text(e, "function_name"), aggregates[i].name))
			a = &aggregates[i];
	if (!a || s->distinct || json_is_object(json_object_get(e, "filter")) || fl_tree_argument(e, 1) ||
	    *fl_tree_text(e, "schema") || json_array_size(json_object_get(json_object_get(e, "order_bys"), "orders")))
		return NULL;
	if (a->needs_column != (argument != NULL))
		return NULL;
	if (argument && (column = column_of(s, argument)) < 0)
		return NULL;
	kind = a->kind;
	if (distinct && kind == FL_MEASURE_COUNT && argument)
		kind = FL_MEASURE_DISTINCT;
	else if (distinct && !a->distinct_too)
		return NULL;
	if (kind != FL_MEASURE_COUNT && kind != FL_MEASURE_DISTINCT && s->t->column[column].type != FL_COLUMN_U64)
		return NULL;
	/* A sum and a maximum of nothing are null, which the count tells. */
	if ((kind == FL_MEASURE_SUM || kind == FL_MEASURE_MAX) && measure_number(s, FL_MEASURE_COUNT, column) < 0)
		return NULL;
	number = measure_number(s, kind, column);
	if (number < 0)
		return NULL;
	fl_push_name(name, (size_t)number);
	return json_pack("{s:s, s:s, s:s, s:i, s:[s]}", "class", "COLUMN_REF", "type", "COLUMN_REF", "alias",
			 fl_tree_text(e, "alias"), "query_location", 0, "column_names", name);
}

/* ---- expressions around them ---- */

/* Functions of single rows: of others nothing is known, and an aggregate among them would see groups for records. */
static const char *const operators[] = {"+",   "-",    "*", "/", "//", "%",  "||", "~~", "!~~",
					"~~*", "!~~*", "&", "|", ">>", "<<", "**", "^",  NULL};
static const char *const functions[] = {"abs",
					"ceil",
					"ceiling",
					"floor",
					"round",
					"greatest",
					"least",
					"ln",
					"log10",
					"log2",
					"sqrt",
					"pow",
					"lower",
					"upper",
					"trim",
					"length",
					"substr",
					"substring",
					"left",
					"right",
					"concat",
					"concat_ws",
					"format",
					"printf",
					"split_part",
					"starts_with",
					"suffix",
					"contains",
					"replace",
					"lpad",
					"rpad",
					"to_timestamp",
					"from_unixtime",
					"date_trunc",
					"strftime",
					"to_iso8601",
					"day_of_week",
					"epoch",
					"nullif",
					"cidr_match",
					"is_private",
					"service_of",
					"protocol_name",
					"tcp_flags_text",
					"regexp_matches",
					"regexp_extract",
					"format_bytes",
					"formatReadableSize",
					NULL};

static bool is_scalar(const char *name)
{
	return fl_tree_is_one_of(name, operators) || fl_tree_is_one_of(name, functions);
}

static bool rewrite(struct shape *s, json_t *o, bool in_order, unsigned depth);

/* The child, or what stands for it: NULL when the statement is not ours. */
static bool rewrite_child(struct shape *s, json_t *child, bool in_order, unsigned depth, json_t **ret_new)
{
	*ret_new = NULL;
	if (json_is_object(child) && !strcmp(fl_tree_text(child, "class"), "FUNCTION") &&
	    !is_scalar(fl_tree_text(child, "function_name"))) {
		*ret_new = measured(s, child);
		return *ret_new;
	}
	return rewrite(s, child, in_order, depth + 1);
}

static bool rewrite_column(struct shape *s, const json_t *e, bool in_order)
{
	int column = column_of(s, e);

	if (in_order && is_alias(s, e))
		return true;
	return column >= 0 && (s->distinct ? add_key(s, column) : is_key(s, column));
}

static bool rewrite(struct shape *s, json_t *o, bool in_order, unsigned depth)
{
	static const char *const classes[] = {"",         "CONSTANT", "CAST", "COMPARISON", "CONJUNCTION",
					      "OPERATOR", "BETWEEN",  "CASE", "FUNCTION",   NULL};
	json_t *child, *put;
	const char *key;
	size_t i;
	void *next;

	if (depth > DEPTH_MAX)
		return false;
	if (json_is_array(o)) {
		json_array_foreach(o, i, child)
		{
			if (!rewrite_child(s, child, in_order, depth, &put))
				return false;
			if (put && json_array_set_new(o, i, put))
				return false;
		}
		return true;
	}
	if (!json_is_object(o))
		return true;
	if (!strcmp(fl_tree_text(o, "class"), "COLUMN_REF"))
		return rewrite_column(s, o, in_order);
	/* GROUPING() is of groups of DuckDB's own. */
	if (!fl_tree_is_one_of(fl_tree_text(o, "class"), classes) ||
	    !strcmp(fl_tree_text(o, "type"), "GROUPING_FUNCTION"))
		return false;
	json_object_foreach_safe(o, next, key, child)
	{
		if (!rewrite_child(s, child, in_order, depth, &put))
			return false;
		if (put && json_object_set_new(o, key, put))
			return false;
	}
	return true;
}

/* ---- the statement ---- */

static char *text_of(struct shape *s, json_t *root)
{
	struct fl_buf ask FL_CLEANUP(fl_buf_free) = FL_BUF(SQL_MAX);
	char *text FL_CLEANUP(fl_freep) = json_dumps(root, JSON_COMPACT | JSON_ENCODE_ANY);

	if (!text || fl_buf_adds(&ask, "SELECT json_deserialize_sql(") || fl_sql_quote(&ask, text, '\'') ||
	    fl_buf_adds(&ask, "::JSON)"))
		return NULL;
	return fl_tree_ask(s->t->d, s->connection, fl_buf_cstr(&ask));
}

static json_t *statement_of(const struct shape *s, const char *sql, json_t **ret_node)
{
	json_t *root = fl_tree_of(s->t->d, s->connection, sql);

	*ret_node = json_object_get(json_array_get(json_object_get(root, "statements"), 0), "node");
	return root;
}

/* Columns of the answer keep the names that the engine gives to what they were. */
static bool name_items(struct shape *s)
{
	static const char before[] = "SELECT ";
	json_t *item, *node, *root = statement_of(s, "SELECT 1", &node);
	size_t i;
	bool ok = node;

	json_array_foreach(s->items, i, item)
	{
		char *name;

		if (!ok || *fl_tree_text(item, "alias") || !strcmp(fl_tree_text(item, "class"), "COLUMN_REF"))
			continue;
		ok = !json_object_set_new(node, "select_list", json_pack("[O]", item));
		name = ok ? text_of(s, root) : NULL;
		ok = name && !strncmp(name, before, strlen(before)) &&
		     !json_object_set_new(item, "alias", json_string(name + strlen(before)));
		free(name);
	}
	json_decref(root);
	return ok;
}

/* From the groups, under the name that the view had. */
static bool read_groups(struct shape *s, json_t *node)
{
	json_t *other, *root = statement_of(s, "SELECT * FROM flowlog_groups() AS flows", &other);
	json_t *from = json_object_get(other, "from_table"), *having = json_object_get(node, "having");
	bool ok = from && !json_object_set_new(from, "alias", json_string(s->table));

	if (ok && !s->distinct)
		ok = !json_object_set_new(node, "group_expressions", json_array()) &&
		     !json_object_set_new(node, "group_sets", json_array()) &&
		     !json_object_set_new(node, "aggregate_handling", json_string("STANDARD_HANDLING"));
	ok = ok && !json_object_set(node, "from_table", from) &&
	     !json_object_set(node, "where_clause", having ? having : json_null()) &&
	     !json_object_set_new(node, "having", json_null());
	json_decref(root);
	return ok;
}

static bool take(struct shape *s, json_t *node)
{
	json_t *from = json_object_get(node, "from_table");

	if (strcmp(fl_tree_text(node, "type"), "SELECT_NODE") != 0 || !fl_lift_is_view(from) ||
	    json_array_size(json_object_get(json_object_get(node, "cte_map"), "map")) ||
	    json_is_object(json_object_get(node, "sample")) || json_is_object(json_object_get(node, "qualify")))
		return false;
	s->table = *fl_tree_text(from, "alias") ? fl_tree_text(from, "alias") : fl_tree_text(from, "table_name");
	s->items = json_object_get(node, "select_list");
	s->distinct = is_distinct(node) && !json_array_size(json_object_get(node, "group_expressions"));
	if (!s->distinct && !take_groups(s, node))
		return false;
	/* Aliases are of what the statement says, so they are given before anything is put in its place. */
	return name_items(s) && rewrite(s, json_object_get(node, "select_list"), false, 0) &&
	       rewrite(s, json_object_get(node, "having"), false, 0) &&
	       rewrite(s, json_object_get(node, "modifiers"), true, 0) && s->p->n_keys && read_groups(s, node);
}

int fl_push_new(struct fl_push **ret, const struct fl_query_table *t, fl_duck connection, const json_t *statement,
		const char *explain, size_t explain_n)
{
	struct fl_push *p FL_CLEANUP(fl_push_free) = calloc(1, sizeof *p);
	struct shape s = {.t = t, .connection = connection, .p = p};
	struct fl_buf sql FL_CLEANUP(fl_buf_free) = FL_BUF(SQL_MAX);
	char *text FL_CLEANUP(fl_freep) = NULL;
	json_t *root;
	int r = 0;

	*ret = NULL;
	if (!p)
		return -ENOMEM;
	root = statement ? json_pack("{s:b, s:[o]}", "error", 0, "statements", json_deep_copy(statement)) : NULL;
	if (root && take(&s, json_object_get(json_array_get(json_object_get(root, "statements"), 0), "node")))
		text = text_of(&s, root);
	json_decref(root);
	if (!text)
		return 0;
	r = fl_buf_add(&sql, explain, explain_n);
	r = r ? r : fl_buf_adds(&sql, " ");
	r = r ? r : fl_buf_adds(&sql, text);
	p->sql = r ? NULL : strdup(fl_buf_cstr(&sql));
	if (!p->sql)
		return r ? r : -ENOMEM;
	*ret = p;
	p = NULL;
	return 0;
}

void fl_push_free(struct fl_push **p)
{
	if (*p)
		free((*p)->sql);
	free(*p);
	*p = NULL;
}

int fl_push_print(const struct fl_push *p, const struct fl_query_table *t, struct fl_buf *out)
{
	int r = fl_buf_adds(out, "grouped by Flowlog: ");

	for (size_t i = 0; i < p->n_keys && !r; i++)
		r = fl_buf_printf(out, "%s%s", i ? ", " : "", t->name[p->key[i]]);
	return r ? r : fl_buf_adds(out, "\n");
}
