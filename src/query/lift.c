/* SPDX-License-Identifier: Apache-2.0 */
#include "query/lift.h"

#include <ctype.h>
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/error.h"
#include "query/tree.h"
#include "query/value.h"

#define DEPTH_MAX 200
#define IN_MAX 256 /* values of one IN list that are worth a condition each */
#define SQL_MAX (64u << 20)

struct lifted {
	struct fl_filter *filter;
	bool exact;
};
struct fl_lift {
	size_t n;
	struct lifted *of;
	json_t *root;
};

/* What one statement's tree holds. */
struct tree {
	const struct fl_duckdb *d;
	fl_duck connection;
	struct fl_filter *all; /* OR of what the references found so far need */
	bool found, give_up;   /* a reference; one that needs every record */
	bool exact;            /* all that was asked so far is in the filter */
	const json_t *aliases; /* select list of the SELECT in hand */
	const char *alias;     /* of the view in the SELECT in hand; NULL: its own name */
	const char *view;
	int r;
};

static bool is_view(const char *name)
{
	return !strcasecmp(name, "flows") || !strcasecmp(name, "vpc_flow_logs");
}

/* ---- constants ---- */

static bool number_of(const char *text, uint64_t *ret)
{
	uint64_t v = 0;

	for (const char *p = text; *p; p++)
		if (*p < '0' || *p > '9' || __builtin_mul_overflow(v, 10u, &v) ||
		    __builtin_add_overflow(v, (unsigned)(*p - '0'), &v))
			return false;
	*ret = v;
	return *text && v <= INT64_MAX;
}

/* ---- expressions that are constant, folded by the engine ---- */

/* *ret_clock: the value is of now, and a later one is larger. */
static bool is_constant(const json_t *e, unsigned depth, bool *ret_clock)
{
	static const char *const clocks[] = {"now",   "get_current_timestamp", "current_timestamp", "current_date",
					     "today", "transaction_timestamp", "localtimestamp",    NULL};
	static const char *const functions[] = {"+",          "-",          "*",         "epoch",   "epoch_ms",
						"to_seconds", "to_minutes", "to_hours",  "to_days", "to_timestamp",
						"date_trunc", "strptime",   "make_date", "date",    "make_timestamp",
						NULL};
	const char *class = fl_tree_text(e, "class"), *name = fl_tree_text(e, "function_name"), *key;
	json_t *child;
	size_t i;

	if (depth > DEPTH_MAX)
		return false;
	if (json_is_array(e)) {
		json_array_foreach(e, i, child) if (!is_constant(child, depth + 1, ret_clock)) return false;
		return true;
	}
	if (!json_is_object(e))
		return true;
	if (!strcmp(class, "FUNCTION")) {
		bool clock = fl_tree_is_one_of(name, clocks);

		*ret_clock |= clock;
		if (!clock && !fl_tree_is_one_of(name, functions))
			return false;
	} else if (!strcmp(class, "COLUMN_REF")) {
		/* current_date and its kin are parsed as names. */
		const char *only = json_string_value(json_array_get(json_object_get(e, "column_names"), 0));

		if (!only || json_array_size(json_object_get(e, "column_names")) != 1 ||
		    !fl_tree_is_one_of(only, clocks))
			return false;
		*ret_clock = true;
	} else if (*class && strcmp(class, "CONSTANT") != 0 && strcmp(class, "CAST") != 0) {
		return false;
	}
	json_object_foreach((json_t *)(uintptr_t)e, key,
			    child) if (!is_constant(child, depth + 1, ret_clock)) return false;
	return true;
}

/* e, which is_constant, put into `around` in the place of its 1, and that computed. */
static bool fold(const struct tree *t, const char *around, const json_t *e, uint64_t *ret)
{
	struct fl_buf ask FL_CLEANUP(fl_buf_free) = FL_BUF(SQL_MAX);
	char *text FL_CLEANUP(fl_freep) = NULL, *value FL_CLEANUP(fl_freep) = NULL;
	json_t *root = fl_tree_of(t->d, t->connection, around), *at, *inner;
	bool ok = false;

	at = json_array_get(
	    json_object_get(json_object_get(json_array_get(json_object_get(root, "statements"), 0), "node"),
			    "select_list"),
	    0);
	/* Down through casts and calls to the constant. */
	for (unsigned depth = 0; at && depth < 8; depth++) {
		json_t *arguments = json_object_get(at, "arguments"), *children = json_object_get(at, "children"),
		       *holder;

		if ((inner = json_object_get(at, "child")) && !strcmp(fl_tree_text(inner, "class"), "CONSTANT")) {
			ok = !json_object_set(at, "child", (json_t *)(uintptr_t)e);
			break;
		}
		holder = inner ? NULL : json_array_get(arguments ? arguments : children, 0);
		at = inner ? inner : (arguments ? json_object_get(holder, "expression") : holder);
	}
	text = ok ? json_dumps(root, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
	json_decref(root);
	if (!text || fl_buf_adds(&ask, "SELECT * FROM json_execute_serialized_sql(") ||
	    fl_sql_quote(&ask, text, '\'') || fl_buf_adds(&ask, "::JSON)"))
		return false;
	value = fl_tree_ask(t->d, t->connection, fl_buf_cstr(&ask));
	return value && number_of(value, ret);
}

/* ---- conditions ---- */

/* Whether a column's table is the view of the SELECT in hand. */
static bool is_own(const struct tree *t, const char *table)
{
	return table && !strcasecmp(table, t->alias ? t->alias : t->view);
}

/* The column, when e is one of the view's that the scanner knows; with the kind of its values. */
static bool column_of(const struct tree *t, const json_t *e, struct fl_column_def *ret)
{
	const json_t *names = json_object_get(e, "column_names"), *item;
	size_t n = json_array_size(names), i;
	const char *name, *table;

	if (strcmp(fl_tree_text(e, "class"), "COLUMN_REF") != 0 || n < 1 || n > 2)
		return false;
	name = json_string_value(json_array_get(names, n - 1));
	table = n == 2 ? json_string_value(json_array_get(names, 0)) : NULL;
	if (!name || (table && !is_own(t, table)))
		return false;
	/* A name that the SELECT gives could be meant where the sources lack the column. */
	json_array_foreach(t->aliases, i, item) if (!strcasecmp(fl_tree_text(item, "alias"), name)) return false;
	for (enum fl_log_kind kind = FL_LOG_VPC; kind <= FL_LOG_TGW; kind++)
		for (unsigned f = 0; f < fl_field_count(kind); f++)
			if (!strcasecmp(fl_field_at(kind, f)->column, name))
				return fl_column_find(fl_field_at(kind, f)->column, ret);
	return false;
}

/* "10.0.%" and the like on an address are its networks of whole bytes; no address begins as 010. does. */
static bool cidr_of_pattern(const char *pattern, struct fl_cidr *ret)
{
	char text[40];
	unsigned a[3] = {0};
	int n = sscanf(pattern, "%3u.%3u.%3u", &a[0], &a[1], &a[2]), at = 0;

	for (int i = 0; i < n; i++)
		at += snprintf(text + at, sizeof text - (size_t)at, "%u.", a[i]);
	if (n < 1 || strncmp(pattern, text, (size_t)at) != 0 || strcmp(pattern + at, "%") != 0)
		return false;
	snprintf(text, sizeof text, "%u.%u.%u.0/%d", a[0], a[1], a[2], n * 8);
	return !fl_cidr_parse(text, strlen(text), ret);
}

/* 010.0.0.1 and 2001:DB8::1 are equal to no text of the view. */
static bool is_as_printed(const char *text, const struct fl_cidr *address)
{
	bool v6 = strchr(text, ':');
	char printed[FL_ADDR_TEXT_MAX];
	size_t n = (size_t)(fl_addr_print(printed, &address->base, v6) - printed);

	return n == strlen(text) && !memcmp(printed, text, n) && !(v6 && fl_addr_is_mapped_v4(&address->base));
}

/* A text that is compared with a number is made one first: 012 and 12 are equal then, and that is the engine's. */
static struct fl_filter *condition(struct tree *t, const struct fl_column_def *c, enum fl_filter_op op,
				   const struct fl_tree_constant *constant)
{
	const char *text = constant->text;
	struct fl_filter *f = NULL;
	struct fl_cidr address;
	uint64_t number;

	if (c->type != FL_COLUMN_U64 && !constant->is_text)
		return NULL;
	switch (c->type) {
	case FL_COLUMN_U64:
		if (number_of(text, &number))
			t->r = fl_filter_number(&f, c->name, op, number);
		break;
	case FL_COLUMN_ADDR:
		if (op == FL_OP_EQ && !strchr(text, '/') && !fl_cidr_parse(text, strlen(text), &address)) {
			t->r = fl_filter_cidr(&f, c->name, &address);
			t->exact = t->exact && is_as_printed(text, &address);
		}
		break;
	default:
		if (op == FL_OP_EQ && *text)
			t->r = fl_filter_text(&f, c->name, text, strlen(text));
	}
	return f;
}

static const struct comparison {
	const char *type;
	enum fl_filter_op op, turned; /* with the sides exchanged */
} comparisons[] = {
    {"COMPARE_EQUAL", FL_OP_EQ, FL_OP_EQ},       {"COMPARE_NOTEQUAL", FL_OP_NE, FL_OP_NE},
    {"COMPARE_LESSTHAN", FL_OP_LT, FL_OP_GT},    {"COMPARE_LESSTHANOREQUALTO", FL_OP_LE, FL_OP_GE},
    {"COMPARE_GREATERTHAN", FL_OP_GT, FL_OP_LT}, {"COMPARE_GREATERTHANOREQUALTO", FL_OP_GE, FL_OP_LE},
};

/* to_timestamp(start) and from_unixtime(start) are compared as the times they are. */
static bool time_column_of(const struct tree *t, const json_t *e, struct fl_column_def *ret)
{
	const char *name = fl_tree_text(e, "function_name");

	if (strcmp(fl_tree_text(e, "class"), "FUNCTION") != 0 ||
	    (strcasecmp(name, "to_timestamp") != 0 && strcasecmp(name, "from_unixtime") != 0))
		return false;
	return column_of(t, fl_tree_argument(e, 0), ret);
}

static struct fl_filter *both(struct tree *t, struct fl_filter *a, struct fl_filter *b)
{
	struct fl_filter *f = NULL;

	if (!t->r)
		t->r = fl_filter_and(&f, a, b);
	return f;
}

/* vpc_flow_logs.date is the day of start. */
static bool date_column_of(const struct tree *t, const json_t *e, struct fl_column_def *ret)
{
	const json_t *names = json_object_get(e, "column_names");
	size_t n = json_array_size(names);
	const char *name = json_string_value(json_array_get(names, n == 2));

	return (n == 1 || (n == 2 && is_own(t, json_string_value(json_array_get(names, 0))))) &&
	       !strcasecmp(t->view, "vpc_flow_logs") && !strcmp(fl_tree_text(e, "class"), "COLUMN_REF") && name &&
	       !strcasecmp(name, "date") && fl_column_find("start", ret);
}

/* How the seconds that a column is compared with come out of the other side. */
enum unit { UNIT_NUMBER, UNIT_TIME, UNIT_DATE, UNIT_N };
#define DAY 86400
#define EXACT_MAX (UINT64_C(1) << 53) /* above, a double is rounded, perhaps to the wrong side */

/* A bound that has to be computed is made wider to the next whole number: the engine compares exactly. */
static struct fl_filter *computed(struct tree *t, const struct fl_column_def *c, enum fl_filter_op op, const json_t *e,
				  enum unit unit)
{
	static const char *const around[UNIT_N] = {"CAST(1 AS DOUBLE)", "epoch(CAST(1 AS TIMESTAMPTZ))",
						   "epoch(CAST(1 AS TIMESTAMP))"};
	bool clock = false, day = op == FL_OP_EQ && unit == UNIT_DATE, lower = op == FL_OP_GT || op == FL_OP_GE || day,
	     upper = op == FL_OP_LT || op == FL_OP_LE || day;
	struct fl_filter *a = NULL, *b = NULL;
	char sql[128];
	uint64_t number;

	/* What is computed here is earlier than what the engine will compute. */
	if (c->type != FL_COLUMN_U64 || !(lower || upper) || !is_constant(e, 0, &clock) || (clock && upper))
		return NULL;
	snprintf(sql, sizeof sql, "SELECT CAST(%s(%s) AS BIGINT)", lower ? "floor" : "ceil", around[unit]);
	if (!fold(t, sql, e, &number) || number > EXACT_MAX)
		return NULL;
	/* A text becomes a date whatever its time of day is. */
	if (lower && unit == UNIT_DATE)
		number -= number % DAY;
	t->exact = false;
	if (lower)
		t->r = fl_filter_number(&a, c->name, FL_OP_GE, number);
	if (!t->r && upper)
		t->r = fl_filter_number(&b, c->name, FL_OP_LE, number + (unit == UNIT_DATE ? DAY : 0));
	return both(t, a, b);
}

static enum unit unit_of(const struct tree *t, const json_t *e, struct fl_column_def *ret)
{
	if (column_of(t, e, ret))
		return UNIT_NUMBER;
	if (time_column_of(t, e, ret))
		return UNIT_TIME;
	return date_column_of(t, e, ret) ? UNIT_DATE : UNIT_N;
}

static struct fl_filter *lift_comparison(struct tree *t, const json_t *e)
{
	const json_t *left = json_object_get(e, "left"), *right = json_object_get(e, "right");
	const struct comparison *c = NULL;
	struct fl_column_def column;
	struct fl_tree_constant constant;
	enum fl_filter_op op;
	enum unit unit;

	for (size_t i = 0; i < FL_ARRAY_LEN(comparisons); i++)
		if (!strcmp(fl_tree_text(e, "type"), comparisons[i].type))
			c = &comparisons[i];
	if (!c)
		return NULL;
	op = c->op;
	unit = unit_of(t, left, &column);
	if (unit == UNIT_N) {
		unit = unit_of(t, right, &column);
		right = left;
		op = c->turned;
	}
	if (unit == UNIT_NUMBER && fl_tree_constant_of(right, &constant))
		return condition(t, &column, op, &constant);
	return unit == UNIT_N ? NULL : computed(t, &column, op, right, unit);
}

static struct fl_filter *lift_between(struct tree *t, const json_t *e)
{
	struct fl_column_def column;
	struct fl_tree_constant lower, upper;
	struct fl_filter *a, *b;

	if (!column_of(t, json_object_get(e, "input"), &column) || column.type != FL_COLUMN_U64 ||
	    !fl_tree_constant_of(json_object_get(e, "lower"), &lower) ||
	    !fl_tree_constant_of(json_object_get(e, "upper"), &upper))
		return NULL;
	a = condition(t, &column, FL_OP_GE, &lower);
	b = t->r ? NULL : condition(t, &column, FL_OP_LE, &upper);
	t->exact = t->exact && a && b;
	return both(t, a, b);
}

static struct fl_filter *lift_in(struct tree *t, const json_t *e)
{
	const json_t *children = json_object_get(e, "children");
	struct fl_filter *all = NULL;
	struct fl_column_def column;
	size_t n = json_array_size(children);

	if (n < 2 || n > IN_MAX || !column_of(t, json_array_get(children, 0), &column))
		return NULL;
	for (size_t i = 1; i < n && !t->r; i++) {
		struct fl_tree_constant c;
		struct fl_filter *one =
		    fl_tree_constant_of(json_array_get(children, i), &c) ? condition(t, &column, FL_OP_EQ, &c) : NULL;

		if (!one) {
			fl_filter_free(&all);
			return NULL;
		}
		if (i == 1)
			all = one;
		else
			t->r = fl_filter_or(&all, all, one);
	}
	return all;
}

static struct fl_filter *lift_function(struct tree *t, const json_t *e)
{
	const json_t *args[2];
	const char *name = fl_tree_text(e, "function_name");
	struct fl_column_def column;
	struct fl_filter *f = NULL;
	struct fl_tree_constant c;
	struct fl_cidr cidr;
	bool is_cidr = !strcasecmp(name, "cidr_match"), is_like = !strcmp(name, "~~");

	for (size_t i = 0; i < 2; i++)
		args[i] = fl_tree_argument(e, i);
	if ((!is_cidr && !is_like) || !column_of(t, args[0], &column) || column.type != FL_COLUMN_ADDR ||
	    !fl_tree_constant_of(args[1], &c) || !c.is_text)
		return NULL;
	if (is_cidr ? !fl_cidr_parse(c.text, strlen(c.text), &cidr) : cidr_of_pattern(c.text, &cidr))
		t->r = fl_filter_cidr(&f, column.name, &cidr);
	return f;
}

static struct fl_filter *lift(struct tree *t, const json_t *e, unsigned depth);

static struct fl_filter *lift_conjunction(struct tree *t, const json_t *e, unsigned depth)
{
	bool is_and = !strcmp(fl_tree_text(e, "type"), "CONJUNCTION_AND");
	struct fl_filter *all = NULL;
	json_t *child;
	size_t i;

	json_array_foreach(json_object_get(e, "children"), i, child)
	{
		struct fl_filter *one = lift(t, child, depth + 1);

		if (t->r)
			break;
		if (is_and) {
			all = both(t, all, one);
		} else if (!one) {
			fl_filter_free(&all);
			return NULL; /* one side may need anything */
		} else {
			t->r = i ? fl_filter_or(&all, all, one) : 0;
			if (!i)
				all = one;
		}
	}
	if (t->r)
		fl_filter_free(&all);
	return all;
}

static struct fl_filter *lift_class(struct tree *t, const json_t *e, unsigned depth)
{
	const char *class = fl_tree_text(e, "class"), *type = fl_tree_text(e, "type");

	if (depth > DEPTH_MAX || t->r)
		return NULL;
	if (!strcmp(class, "CONJUNCTION"))
		return lift_conjunction(t, e, depth);
	if (!strcmp(class, "COMPARISON"))
		return lift_comparison(t, e);
	if (!strcmp(class, "BETWEEN"))
		return lift_between(t, e);
	if (!strcmp(type, "COMPARE_IN"))
		return lift_in(t, e);
	return !strcmp(class, "FUNCTION") ? lift_function(t, e) : NULL;
}

/* What a row for which e is true fulfils; NULL: nothing is known. */
static struct fl_filter *lift(struct tree *t, const json_t *e, unsigned depth)
{
	struct fl_filter *f = lift_class(t, e, depth);

	t->exact = t->exact && f;
	return f;
}

/* ---- references ---- */

static bool is_reference(const json_t *from)
{
	return !strcmp(fl_tree_text(from, "type"), "BASE_TABLE") && is_view(fl_tree_text(from, "table_name")) &&
	       !*fl_tree_text(from, "schema_name") && !*fl_tree_text(from, "catalog_name");
}

/* What may read the view where no condition of it is seen, as query('FROM flows') and main.flows do. Functions that
 * make rows of their arguments or of files do not. */
static bool reads_unseen(const json_t *from)
{
	static const char *const apart[] = {
	    "range",        "generate_series", "unnest",    "repeat",         "read_csv", "read_csv_auto",
	    "read_parquet", "parquet_scan",    "read_json", "read_json_auto", NULL};
	const char *type = fl_tree_text(from, "type");

	if (!strcmp(type, "BASE_TABLE"))
		return is_view(fl_tree_text(from, "table_name")) && !is_reference(from);
	if (!strcmp(type, "TABLE_FUNCTION"))
		return !fl_tree_is_one_of(fl_tree_text(json_object_get(from, "function"), "function_name"), apart);
	return !strcmp(type, "SHOW_REF");
}

/* Records that are sampled before they are asked, and columns that are given other names. */
static bool is_changed(const json_t *from)
{
	return json_is_object(json_object_get(from, "sample")) ||
	       json_array_size(json_object_get(from, "column_name_alias"));
}

bool fl_lift_is_view(const json_t *from)
{
	return is_reference(from) && !is_changed(from);
}

static void add_reference(struct tree *t, const json_t *select)
{
	const json_t *from = json_object_get(select, "from_table"), *where = json_object_get(select, "where_clause");
	struct fl_filter *f;

	t->view = fl_tree_text(from, "table_name");
	t->alias = *fl_tree_text(from, "alias") ? fl_tree_text(from, "alias") : NULL;
	t->aliases = json_object_get(select, "select_list");
	f = json_is_object(where) && !is_changed(from) ? lift(t, where, 0) : NULL;
	if (!f)
		t->give_up = true;
	else if (!t->found)
		t->all = f;
	else
		t->r = t->r ? t->r : fl_filter_or(&t->all, t->all, f);
	t->found = true;
}

static bool names_view_itself(const json_t *ctes)
{
	json_t *entry;
	size_t i;

	json_array_foreach(json_object_get(ctes, "map"), i, entry) if (is_view(fl_tree_text(entry, "key"))) return true;
	return false;
}

static void walk(struct tree *t, const json_t *o, bool direct, unsigned depth)
{
	const char *key;
	json_t *child;
	size_t i;

	if (t->r || t->give_up)
		return;
	if (depth > 4 * DEPTH_MAX) {
		t->give_up = true;
		return;
	}
	if (json_is_array(o)) {
		json_array_foreach(o, i, child) walk(t, child, false, depth + 1);
		return;
	}
	if (!json_is_object(o))
		return;
	if (names_view_itself(json_object_get(o, "cte_map")) || reads_unseen(o) || (!direct && is_reference(o))) {
		t->give_up = true;
		return;
	}
	if (!strcmp(fl_tree_text(o, "type"), "SELECT_NODE") && is_reference(json_object_get(o, "from_table"))) {
		add_reference(t, o);
		direct = true;
	} else {
		direct = false;
	}
	json_object_foreach((json_t *)(uintptr_t)o, key, child)
	    walk(t, child, direct && !strcmp(key, "from_table"), depth + 1);
}

static int lift_statement(struct tree *t, const json_t *statement, struct lifted *ret)
{
	const json_t *node = json_object_get(statement, "node");

	t->all = NULL;
	t->found = t->give_up = false;
	t->exact = true;
	walk(t, node, false, 0);
	if (t->give_up || t->r)
		fl_filter_free(&t->all);
	ret->filter = t->all;
	/* Nothing asked for is lifted whole, too. */
	ret->exact = !t->r && (t->all ? t->exact : !json_is_object(json_object_get(node, "where_clause")));
	return t->r;
}

int fl_lift_new(struct fl_lift **ret, const struct fl_duckdb *d, fl_duck connection, const char *sql)
{
	struct tree t = {.d = d, .connection = connection};
	struct fl_lift *l FL_CLEANUP(fl_lift_free) = calloc(1, sizeof *l);
	const json_t *statements;
	size_t n;

	*ret = NULL;
	if (!l)
		return -ENOMEM;
	l->root = fl_tree_of(d, connection, sql);
	statements = json_object_get(l->root, "statements");
	n = json_array_size(statements);
	l->of = calloc(n ? n : 1, sizeof *l->of);
	if (!l->of)
		return -ENOMEM;
	for (size_t i = 0; !t.r && i < n; i++) {
		l->n = i + 1;
		lift_statement(&t, json_array_get(statements, i), &l->of[i]);
	}
	if (t.r)
		return t.r;
	*ret = l;
	l = NULL;
	return 0;
}

void fl_lift_free(struct fl_lift **l)
{
	if (!*l)
		return;
	for (size_t i = 0; i < (*l)->n; i++)
		fl_filter_free(&(*l)->of[i].filter);
	free((*l)->of);
	json_decref((*l)->root);
	free(*l);
	*l = NULL;
}

const struct fl_filter *fl_lift_filter(const struct fl_lift *l, size_t statement)
{
	return l && statement < l->n ? l->of[statement].filter : NULL;
}

bool fl_lift_is_exact(const struct fl_lift *l, size_t statement)
{
	return l && statement < l->n && l->of[statement].exact;
}

const json_t *fl_lift_statement(const struct fl_lift *l, size_t statement)
{
	return l ? json_array_get(json_object_get(l->root, "statements"), statement) : NULL;
}
