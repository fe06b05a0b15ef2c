/* SPDX-License-Identifier: Apache-2.0 */
/* Building filters and printing them. Chains of AND and OR are one node each, so that depth is what was nested. */
#include "scan/filter.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "scan/filter_tree.h"

void fl_filter_free(struct fl_filter **f)
{
	if (!*f)
		return;
	for (uint32_t i = 0; i < (*f)->n; i++)
		fl_filter_free(&(*f)->child[i]);
	free((*f)->child);
	free((*f)->column);
	free((*f)->text);
	free(*f);
	*f = NULL;
}

/* ---- inner nodes ---- */

static int adopt(struct fl_filter *parent, struct fl_filter *child)
{
	if (parent->n == parent->cap) {
		uint32_t cap = parent->cap ? parent->cap * 2 : 2;
		struct fl_filter **grown = realloc(parent->child, cap * sizeof(struct fl_filter *));

		if (!grown)
			return -ENOMEM;
		parent->child = grown;
		parent->cap = cap;
	}
	parent->child[parent->n++] = child;
	parent->nodes += child->nodes;
	parent->depth = FL_MAX(parent->depth, child->depth + 1);
	return 0;
}

/* Moves b, or its children when it is of the same kind, below parent. b is taken in any case. */
static int append(struct fl_filter *parent, struct fl_filter *b)
{
	int r = 0;

	if (b->kind != parent->kind || parent->kind == FL_FILTER_NOT) {
		r = adopt(parent, b);
		if (r)
			fl_filter_free(&b);
		return r;
	}
	for (uint32_t i = 0; i < b->n; i++) {
		r = r ? r : adopt(parent, b->child[i]);
		if (!r)
			b->child[i] = NULL;
	}
	fl_filter_free(&b);
	return r;
}

static int check_size(const struct fl_filter *f)
{
	if (f->nodes > FL_FILTER_NODES)
		return fl_fail(-E2BIG, "the filter has more than %d conditions", FL_FILTER_NODES);
	if (f->depth > FL_FILTER_DEPTH)
		return fl_fail(-E2BIG, "the filter is nested deeper than %d levels", FL_FILTER_DEPTH);
	return 0;
}

static int join(struct fl_filter **ret, enum fl_filter_kind kind, struct fl_filter *a, struct fl_filter *b)
{
	struct fl_filter *f FL_CLEANUP(fl_filter_free) = NULL;
	int r;

	*ret = NULL;
	if (a && a->kind == kind && kind != FL_FILTER_NOT) {
		f = a;
	} else {
		f = calloc(1, sizeof *f);
		if (!f) {
			fl_filter_free(&a);
			fl_filter_free(&b);
			return -ENOMEM;
		}
		f->kind = kind;
		f->nodes = f->depth = 1;
		r = append(f, a);
		if (r) {
			fl_filter_free(&b);
			return r;
		}
	}
	r = b ? append(f, b) : 0;
	r = r ? r : check_size(f);
	if (r)
		return r;
	*ret = f;
	f = NULL;
	return 0;
}

int fl_filter_and(struct fl_filter **ret, struct fl_filter *a, struct fl_filter *b)
{
	if (a && b)
		return join(ret, FL_FILTER_AND, a, b);
	*ret = a ? a : b;
	return 0;
}

int fl_filter_or(struct fl_filter **ret, struct fl_filter *a, struct fl_filter *b)
{
	if (a && b)
		return join(ret, FL_FILTER_OR, a, b);
	*ret = NULL; /* the filter that everything passes */
	fl_filter_free(&a);
	fl_filter_free(&b);
	return 0;
}

int fl_filter_not(struct fl_filter **ret, struct fl_filter *a)
{
	*ret = NULL;
	if (!a) {
		/* What nothing passes: no number is below zero. */
		return fl_filter_number(ret, "start", FL_OP_LT, 0);
	}
	return join(ret, FL_FILTER_NOT, a, NULL);
}

/* ---- conditions ---- */

static int leaf(struct fl_filter **ret, enum fl_filter_kind kind, const char *column)
{
	struct fl_filter *f = calloc(1, sizeof *f);

	*ret = NULL;
	if (!f)
		return -ENOMEM;
	f->kind = kind;
	f->nodes = f->depth = 1;
	f->column = strdup(column);
	if (!f->column) {
		free(f);
		return -ENOMEM;
	}
	/* Fields are known by two names; one of them goes on. */
	if (fl_column_find(f->column, &f->def) && strcmp(f->def.name, f->column)) {
		free(f->column);
		f->column = strdup(f->def.name);
		if (!f->column) {
			free(f);
			return -ENOMEM;
		}
	}
	f->def.name = f->column;
	*ret = f;
	return 0;
}

static int number_range(struct fl_filter **ret, const char *column, uint64_t first, uint64_t last, bool negated)
{
	int r = leaf(ret, FL_FILTER_RANGE, column);

	if (r)
		return r;
	if ((*ret)->def.type != FL_COLUMN_U64 && (*ret)->def.type != FL_COLUMN_TEXT) {
		fl_filter_free(ret);
		return fl_fail(-EINVAL, "%s has no numbers to compare with", column);
	}
	if (first > last) {
		first = 1;
		last = 0;
	}
	(*ret)->first = first;
	(*ret)->last = last;
	(*ret)->negated = negated;
	return 0;
}

int fl_filter_range(struct fl_filter **ret, const char *column, uint64_t first, uint64_t last)
{
	return number_range(ret, column, first, last, false);
}

int fl_filter_number(struct fl_filter **ret, const char *column, enum fl_filter_op op, uint64_t value)
{
	switch (op) {
	case FL_OP_EQ:
		return number_range(ret, column, value, value, false);
	case FL_OP_NE:
		return number_range(ret, column, value, value, true);
	case FL_OP_LT:
		return number_range(ret, column, value ? 0 : 1, value ? value - 1 : 0, false);
	case FL_OP_LE:
		return number_range(ret, column, 0, value, false);
	case FL_OP_GT:
		return number_range(ret, column, value == UINT64_MAX ? 1 : value + 1,
				    value == UINT64_MAX ? 0 : UINT64_MAX, false);
	case FL_OP_GE:
		return number_range(ret, column, value, UINT64_MAX, false);
	}
	*ret = NULL;
	return -EINVAL;
}

int fl_filter_cidr(struct fl_filter **ret, const char *column, const struct fl_cidr *cidr)
{
	int r = leaf(ret, FL_FILTER_CIDR, column);

	if (r)
		return r;
	if ((*ret)->def.type != FL_COLUMN_ADDR && (*ret)->def.type != FL_COLUMN_TEXT) {
		fl_filter_free(ret);
		return fl_fail(-EINVAL, "%s has no addresses to compare with", column);
	}
	(*ret)->cidr = *cidr;
	(*ret)->form = fl_cidr_is_v4(cidr) ? FL_FORM_V4 : FL_FORM_ANY;
	return 0;
}

bool fl_filter_parse_number(const char *text, size_t n, uint64_t *ret)
{
	uint64_t v = 0;

	if (!n || (n > 1 && *text == '0'))
		return false;
	for (size_t i = 0; i < n; i++)
		if (text[i] < '0' || text[i] > '9' || __builtin_mul_overflow(v, 10u, &v) ||
		    __builtin_add_overflow(v, (unsigned)(text[i] - '0'), &v))
			return false;
	*ret = v;
	return true;
}

/* A text that is none of the column's is equal to no value. */
static int text_as_number(struct fl_filter **ret, const char *column, const char *text, size_t n)
{
	uint64_t v;

	if (fl_filter_parse_number(text, n, &v))
		return number_range(ret, column, v, v, false);
	return number_range(ret, column, 1, 0, false);
}

static int text_as_address(struct fl_filter **ret, const char *column, const char *text, size_t n)
{
	struct fl_cidr c = {.bits = 128};
	bool v6;
	int r;

	if (fl_addr_parse(text, n, &c.base, &v6) < 0) {
		fl_error_clear();
		return leaf(ret, FL_FILTER_TEXT, column); /* stays a text, which no address is */
	}
	r = fl_filter_cidr(ret, column, &c);
	if (!r && v6 && fl_addr_is_mapped_v4(&c.base))
		(*ret)->form = FL_FORM_V6;
	return r;
}

int fl_filter_text(struct fl_filter **ret, const char *column, const char *text, size_t n)
{
	int r = leaf(ret, FL_FILTER_TEXT, column);
	struct fl_filter *f = *ret;

	if (r)
		return r;
	if (f->def.type == FL_COLUMN_U64 || f->def.type == FL_COLUMN_ADDR) {
		bool number = f->def.type == FL_COLUMN_U64;

		fl_filter_free(ret);
		r = number ? text_as_number(ret, column, text, n) : text_as_address(ret, column, text, n);
		f = *ret;
		if (r || f->kind != FL_FILTER_TEXT)
			return r;
	}
	f->text = malloc(n + 1);
	if (!f->text) {
		fl_filter_free(ret);
		return -ENOMEM;
	}
	if (n)
		memcpy(f->text, text, n);
	f->text[n] = '\0';
	f->text_n = n;
	return 0;
}

int fl_filter_is_null(struct fl_filter **ret, const char *column)
{
	return leaf(ret, FL_FILTER_IS_NULL, column);
}

int fl_filter_not_null(struct fl_filter **ret, const char *column)
{
	int r = leaf(ret, FL_FILTER_IS_NULL, column);

	if (!r)
		(*ret)->negated = true;
	return r;
}

int fl_filter_copy(struct fl_filter **ret, const struct fl_filter *f)
{
	struct fl_filter *c FL_CLEANUP(fl_filter_free) = NULL;

	*ret = NULL;
	if (!f)
		return 0;
	c = malloc(sizeof *c);
	if (!c)
		return -ENOMEM;
	*c = *f;
	c->child = NULL;
	c->n = c->cap = 0;
	c->column = f->column ? strdup(f->column) : NULL;
	c->def.name = c->column;
	c->text = f->text ? malloc(f->text_n + 1) : NULL;
	if ((f->column && !c->column) || (f->text && !c->text))
		return -ENOMEM;
	if (f->text)
		memcpy(c->text, f->text, f->text_n + 1);
	c->child = f->n ? calloc(f->n, sizeof(struct fl_filter *)) : NULL;
	if (f->n && !c->child)
		return -ENOMEM;
	c->cap = f->n;
	for (; c->n < f->n; c->n++) {
		int r = fl_filter_copy(&c->child[c->n], f->child[c->n]);

		if (r)
			return r;
	}
	*ret = c;
	c = NULL;
	return 0;
}

static size_t collect(const struct fl_filter *f, const char *ret[FL_BATCH_COLUMNS], size_t n)
{
	if (f->column) {
		for (size_t i = 0; i < n; i++)
			if (!strcmp(ret[i], f->column))
				return n;
		if (n < FL_BATCH_COLUMNS)
			ret[n++] = f->column;
		return n;
	}
	for (uint32_t i = 0; i < f->n; i++)
		n = collect(f->child[i], ret, n);
	return n;
}

size_t fl_filter_columns(const struct fl_filter *f, const char *ret[FL_BATCH_COLUMNS])
{
	return f ? collect(f, ret, 0) : 0;
}

/* ---- without columns that are lacking ---- */

struct assumed {
	enum { ASSUMED_TREE, ASSUMED_TRUE, ASSUMED_FALSE } kind;
	bool hangs; /* on what is lacking */
	struct fl_filter *tree;
};

struct assuming {
	fl_lacks_fn lacks;
	void *ctx;
};

static int assume(const struct assuming *a, const struct fl_filter *f, bool negative, struct assumed *ret);

static int assume_leaf(const struct assuming *a, const struct fl_filter *f, bool negative, struct assumed *ret)
{
	int r;

	*ret = (struct assumed){0};
	if (!a->lacks(a->ctx, f->column)) {
		r = fl_filter_copy(&ret->tree, f);
		return r || !negative ? r : fl_filter_not(&ret->tree, ret->tree);
	}
	ret->hangs = f->kind != FL_FILTER_IS_NULL;
	ret->kind = ret->hangs || f->negated == negative ? ASSUMED_TRUE : ASSUMED_FALSE;
	return 0;
}

/* all: every child must hold, else one of them. */
static int assume_children(const struct assuming *a, const struct fl_filter *f, bool negative, bool all,
			   struct assumed *ret)
{
	bool hangs = false, settled_hangs = true, settled = false;
	struct fl_filter *tree = NULL;
	int r = 0;

	for (uint32_t i = 0; i < f->n && !r; i++) {
		struct assumed one;

		r = assume(a, f->child[i], negative, &one);
		if (r)
			break;
		if (one.kind == (all ? ASSUMED_FALSE : ASSUMED_TRUE)) {
			settled = true;
			settled_hangs = settled_hangs && one.hangs;
		}
		hangs |= one.hangs;
		if (one.kind == ASSUMED_TREE)
			r = !tree ? (tree = one.tree, 0) : (all ? fl_filter_and : fl_filter_or)(&tree, tree, one.tree);
	}
	if (r || settled)
		fl_filter_free(&tree);
	*ret = (struct assumed){.tree = tree, .hangs = settled ? settled_hangs : hangs};
	if (settled)
		ret->kind = all ? ASSUMED_FALSE : ASSUMED_TRUE;
	else if (!tree)
		ret->kind = all ? ASSUMED_TRUE : ASSUMED_FALSE;
	return r;
}

/* Depth is bounded by FL_FILTER_DEPTH. */
static int assume(const struct assuming *a, const struct fl_filter *f, bool negative, struct assumed *ret)
{
	*ret = (struct assumed){0};
	if (f->column)
		return assume_leaf(a, f, negative, ret);
	if (f->kind == FL_FILTER_NOT)
		return assume(a, f->child[0], !negative, ret);
	return assume_children(a, f, negative, (f->kind == FL_FILTER_AND) != negative, ret);
}

int fl_filter_assume(struct fl_filter **ret, bool *ret_hangs, const struct fl_filter *f, fl_lacks_fn lacks, void *ctx)
{
	struct assumed all = {0};
	int r = f ? assume(&(struct assuming){lacks, ctx}, f, false, &all) : 0;

	*ret = NULL;
	*ret_hangs = !r && all.hangs && all.kind != ASSUMED_FALSE;
	if (*ret_hangs)
		*ret = all.tree;
	else
		fl_filter_free(&all.tree);
	return r;
}

/* ---- printing: what the words of scan/words.h read as the same ---- */

static int print_quoted(const char *text, size_t n, struct fl_buf *out)
{
	bool plain = n > 0;
	int r;

	for (size_t i = 0; i < n && plain; i++)
		plain = (text[i] >= '0' && text[i] <= '9') || ((text[i] | 32) >= 'a' && (text[i] | 32) <= 'z') ||
			strchr("_.:/%@-", text[i]);
	if (plain && memchr(text, '\0', n) == NULL)
		return fl_buf_add(out, text, n);
	r = fl_buf_add(out, "\"", 1);
	for (size_t i = 0; i < n && !r; i++) {
		if (text[i] == '"' || text[i] == '\\')
			r = fl_buf_add(out, "\\", 1);
		r = r ? r : fl_buf_add(out, &text[i], 1);
	}
	return r ? r : fl_buf_add(out, "\"", 1);
}

static int print_range(const struct fl_filter *f, bool inside, struct fl_buf *out)
{
	unsigned long long first = f->first, last = f->last;

	if (f->negated)
		return fl_buf_printf(out, "%s != %llu", f->column, first);
	if (first > last)
		return fl_buf_printf(out, "%s < 0", f->column);
	if (first == last)
		return fl_buf_printf(out, "%s = %llu", f->column, first);
	if (last == UINT64_MAX)
		return fl_buf_printf(out, "%s >= %llu", f->column, first);
	if (!first)
		return fl_buf_printf(out, "%s <= %llu", f->column, last);
	return fl_buf_printf(out, inside ? "(%s >= %llu and %s <= %llu)" : "%s >= %llu and %s <= %llu", f->column,
			     first, f->column, last);
}

static int print_cidr(const struct fl_filter *f, struct fl_buf *out)
{
	char text[FL_ADDR_TEXT_MAX];
	bool v4 = f->form == FL_FORM_V4;
	unsigned bits = f->cidr.bits - (v4 ? 96u : 0), all = v4 ? 32 : 128;
	char *end = fl_addr_print(text, &f->cidr.base, !v4);
	int r = fl_buf_printf(out, "%s = %.*s", f->column, (int)(end - text), text);

	return r || bits == all ? r : fl_buf_printf(out, "/%u", bits);
}

static int print_node(const struct fl_filter *f, enum fl_filter_kind parent, struct fl_buf *out)
{
	bool brackets = (f->kind == FL_FILTER_AND || f->kind == FL_FILTER_OR) && f->kind != parent;
	int r = 0;

	switch (f->kind) {
	case FL_FILTER_AND:
	case FL_FILTER_OR:
		r = brackets ? fl_buf_adds(out, "(") : 0;
		for (uint32_t i = 0; i < f->n && !r; i++) {
			r = i ? fl_buf_adds(out, f->kind == FL_FILTER_AND ? " and " : " or ") : 0;
			r = r ? r : print_node(f->child[i], f->kind, out);
		}
		return r || !brackets ? r : fl_buf_adds(out, ")");
	case FL_FILTER_NOT:
		r = fl_buf_adds(out, "not ");
		return r ? r : print_node(f->child[0], FL_FILTER_NOT, out);
	case FL_FILTER_RANGE:
		return print_range(f, parent != FL_FILTER_AND, out);
	case FL_FILTER_CIDR:
		return print_cidr(f, out);
	case FL_FILTER_TEXT:
		r = fl_buf_printf(out, "%s = ", f->column);
		return r ? r : print_quoted(f->text, f->text_n, out);
	case FL_FILTER_IS_NULL:
		return fl_buf_printf(out, "%s is %snull", f->column, f->negated ? "not " : "");
	}
	return -EINVAL;
}

int fl_filter_print(const struct fl_filter *f, struct fl_buf *out)
{
	if (!f)
		return fl_buf_adds(out, "everything");
	return print_node(f, f->kind == FL_FILTER_OR ? FL_FILTER_OR : FL_FILTER_AND, out);
}
