/* SPDX-License-Identifier: Apache-2.0 */
/* Filters against a slow evaluator that knows no batches: random trees over random rows, by every kernel; then what
 * they let scanners pass over must never hide a row that passes. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/error.h"
#include "base/mem.h"
#include "scan/filter.h"
#include "scan/filter_tree.h"

static uint64_t state = 88172645463325252u;
static unsigned random_below(unsigned n)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (unsigned)(state >> 11) % n;
}

/* ---- rows ---- */

static const char *const columns[] = {"srcaddr", "dstaddr", "dstport",      "bytes",     "start",
				      "end",     "action",  "interface_id", "something", "vpc_id"};
#define COLUMNS FL_ARRAY_LEN(columns)
#define HELD (COLUMNS - 1) /* the batch lacks the last */

static const char *const addresses[] = {"10.0.0.1", "10.0.0.2",        "10.1.2.3",     "192.168.7.9",  "2001:db8::1",
					"::1",      "::ffff:10.0.0.1", "2001:db8::fe", "10.128.0.200", "-"};
static const char *const numbers[] = {"0", "1", "22", "443", "65535", "1000000", "9223372036854775807", "-"};
static const char *const ports[] = {"0", "22", "443", "65535", "-"};
static const char *const texts[] = {"eni-1", "eni-2", "10.0.0.1", "443", "007", "x y", "-"};
static const char *const actions[] = {"ACCEPT", "REJECT", "-"};

static const char *random_text(const char *column)
{
	if (strstr(column, "addr"))
		return addresses[random_below(FL_ARRAY_LEN(addresses))];
	if (!strcmp(column, "dstport"))
		return ports[random_below(FL_ARRAY_LEN(ports))];
	if (!strcmp(column, "bytes") || !strcmp(column, "start") || !strcmp(column, "end"))
		return numbers[random_below(FL_ARRAY_LEN(numbers))];
	if (!strcmp(column, "action"))
		return actions[random_below(FL_ARRAY_LEN(actions))];
	return texts[random_below(FL_ARRAY_LEN(texts))];
}

static void make_batch(struct fl_batch **ret, struct fl_column_def defs[HELD], const char *(*rows)[HELD], uint32_t n)
{
	for (size_t c = 0; c < HELD; c++)
		fl_column_find(columns[c], &defs[c]);
	assert_int_equal(fl_batch_new(ret, defs, HELD), 0);
	(*ret)->n = n;
	for (uint32_t i = 0; i < n; i++) {
		for (size_t c = 0; c < HELD; c++) {
			rows[i][c] = random_text(columns[c]);
			/* Every record begins before it ends. */
			if (!strcmp(columns[c], "end") && strcmp(rows[i][c], "-") && strcmp(rows[i][c - 1], "-") &&
			    strtoull(rows[i][c], NULL, 10) < strtoull(rows[i][c - 1], NULL, 10))
				rows[i][c] = rows[i][c - 1];
			assert_true(fl_column_set_text(&(*ret)->column[c], i, rows[i][c], strlen(rows[i][c])));
		}
	}
}

/* ---- the slow evaluator: of the text of a value ---- */

enum want { AND, OR, NOT, NUMBER, RANGE, CIDR, TEXT, IS_NULL, WANTS };
struct tree {
	enum want want;
	struct tree *a, *b;
	const char *column;
	enum fl_filter_op op;
	uint64_t value, last;
	struct fl_cidr cidr;
	bool cidr_v4;
	const char *text;
};

static bool compare(enum fl_filter_op op, uint64_t a, uint64_t b)
{
	return op == FL_OP_EQ   ? a == b
	       : op == FL_OP_NE ? a != b
	       : op == FL_OP_LT ? a < b
	       : op == FL_OP_LE ? a <= b
	       : op == FL_OP_GT ? a > b
				: a >= b;
}

static bool as_number(const char *text, uint64_t *ret)
{
	char again[32];

	*ret = strtoull(text, NULL, 10);
	snprintf(again, sizeof again, "%llu", (unsigned long long)*ret);
	return !strcmp(again, text);
}

/* 1, 0, or -1: not known. */
static int slow_leaf(const struct tree *t, const char *value)
{
	struct fl_addr a;
	uint64_t v;
	bool v6;

	if (t->want == IS_NULL)
		return !strcmp(value, "-");
	if (!strcmp(value, "-"))
		return -1;
	switch (t->want) {
	case NUMBER:
		if (t->op == FL_OP_LT && !t->value) /* that is no number, whatever the text is */
			return 0;
		return as_number(value, &v) ? compare(t->op, v, t->value) : -1;
	case RANGE:
		if (t->value > t->last)
			return 0;
		return as_number(value, &v) ? v >= t->value && v <= t->last : -1;
	case CIDR:
		if (fl_addr_parse(value, strlen(value), &a, &v6))
			return -1;
		if (t->cidr_v4 && v6)
			return 0;
		for (unsigned bit = 0; bit < t->cidr.bits; bit++)
			if ((a.b[bit / 8] ^ t->cidr.base.b[bit / 8]) & (0x80 >> bit % 8))
				return 0;
		return 1;
	default:
		return !strcmp(value, t->text);
	}
}

static size_t position(const char *column)
{
	size_t c = 0;

	while (c < COLUMNS && strcmp(columns[c], column))
		c++;
	return c;
}

/* Kleene's logic: and is the least, or the most, with what is not known between false and true. */
static int slow(const struct tree *t, const char *const row[HELD])
{
	int a, b;
	size_t c;

	switch (t->want) {
	case AND:
	case OR:
		a = slow(t->a, row);
		b = slow(t->b, row);
		if (t->want == AND)
			return !a || !b ? 0 : a < 0 || b < 0 ? -1 : 1;
		return a == 1 || b == 1 ? 1 : a < 0 || b < 0 ? -1 : 0;
	case NOT:
		a = slow(t->a, row);
		return a < 0 ? a : !a;
	default:
		c = position(t->column);
		return slow_leaf(t, c < HELD ? row[c] : "-");
	}
}

/* Whether the row is, or could be with other values in the columns of `lacks`. */
static bool slow_assumed(const struct tree *t, const char *const row[HELD], unsigned lacks, bool negative)
{
	size_t c;

	switch (t->want) {
	case AND:
	case OR:
		if ((t->want == AND) != negative)
			return slow_assumed(t->a, row, lacks, negative) && slow_assumed(t->b, row, lacks, negative);
		return slow_assumed(t->a, row, lacks, negative) || slow_assumed(t->b, row, lacks, negative);
	case NOT:
		return slow_assumed(t->a, row, lacks, !negative);
	default:
		c = position(t->column);
		if (lacks >> c & 1)
			return t->want == IS_NULL ? !negative : true;
		return slow_leaf(t, c < HELD ? row[c] : "-") == !negative;
	}
}

static void free_tree(struct tree *t)
{
	if (!t)
		return;
	free_tree(t->a);
	free_tree(t->b);
	free(t);
}

/* ---- random trees, built both ways ---- */

static void build_cidr(struct tree *t, struct fl_filter **ret)
{
	static const char *const networks[] = {"10.0.0.0/8",  "10.0.0.1",      "0.0.0.0/0",
					       "::/0",        "2001:db8::/32", "192.168.7.8/29",
					       "10.1.0.0/16", "2001:db8::1",   "10.128.0.0/9"};
	const char *text = networks[random_below(FL_ARRAY_LEN(networks))];

	t->column = columns[random_below(4) ? random_below(2) : 8];
	t->cidr_v4 = !strchr(text, ':');
	assert_int_equal(fl_cidr_parse(text, strlen(text), &t->cidr), 0);
	assert_int_equal(fl_filter_cidr(ret, t->column, &t->cidr), 0);
}

static struct tree *build(unsigned depth, struct fl_filter **ret)
{
	static const unsigned numeric[] = {2, 3, 4, 5, 8};
	struct tree *t = calloc(1, sizeof *t);
	struct fl_filter *a = NULL, *b = NULL;

	assert_non_null(t);
	t->want = depth ? random_below(WANTS) : NUMBER + random_below(WANTS - NUMBER);
	switch (t->want) {
	case AND:
	case OR:
		t->a = build(depth - 1, &a);
		t->b = build(depth - 1, &b);
		assert_int_equal((t->want == AND ? fl_filter_and : fl_filter_or)(ret, a, b), 0);
		break;
	case NOT:
		t->a = build(depth - 1, &a);
		assert_int_equal(fl_filter_not(ret, a), 0);
		break;
	case NUMBER:
	case RANGE:
		t->column = columns[numeric[random_below(FL_ARRAY_LEN(numeric))]];
		t->op = random_below(6);
		t->value = strtoull(numbers[random_below(FL_ARRAY_LEN(numbers) - 1)], NULL, 10);
		t->last =
		    random_below(8) ? strtoull(numbers[random_below(FL_ARRAY_LEN(numbers) - 1)], NULL, 10) : UINT64_MAX;
		assert_int_equal(t->want == NUMBER ? fl_filter_number(ret, t->column, t->op, t->value)
						   : fl_filter_range(ret, t->column, t->value, t->last),
				 0);
		break;
	case CIDR:
		build_cidr(t, ret);
		break;
	case TEXT:
		t->column = columns[random_below(COLUMNS)];
		t->text = random_text(random_below(4) ? t->column : columns[random_below(COLUMNS)]);
		assert_int_equal(fl_filter_text(ret, t->column, t->text, strlen(t->text)), 0);
		break;
	default:
		t->column = columns[random_below(COLUMNS)];
		assert_int_equal(fl_filter_is_null(ret, t->column), 0);
	}
	return t;
}

/* ---- what is known of a batch ---- */

struct part {
	const char *(*rows)[HELD];
	uint32_t n;
	unsigned hide; /* columns of which nothing is said, by bit */
};

static struct fl_column_range range_of(void *ctx, const char *column)
{
	const struct part *p = ctx;
	struct fl_column_range r = {.known = true, .all_null = true, .min = UINT64_MAX};
	size_t c = 0;

	while (c < HELD && strcmp(columns[c], column))
		c++;
	if (c == HELD) /* not in the file */
		return (struct fl_column_range){.known = true, .may_be_null = true, .all_null = true};
	if (p->hide >> c & 1)
		return (struct fl_column_range){.known = false};
	for (uint32_t i = 0; i < p->n; i++) {
		const char *text = p->rows[i][c];
		uint64_t v = strtoull(text, NULL, 10);

		if (!strcmp(text, "-")) {
			r.may_be_null = true;
			continue;
		}
		if (r.all_null || strcmp(text, r.tmin.p) < 0)
			r.tmin = (struct fl_str){text, strlen(text)};
		if (r.all_null || strcmp(text, r.tmax.p) > 0)
			r.tmax = (struct fl_str){text, strlen(text)};
		r.all_null = false;
		r.min = FL_MIN(r.min, v);
		r.max = FL_MAX(r.max, v);
	}
	return r;
}

static bool contains(void *ctx, const char *column, const char *text, size_t n)
{
	const struct part *p = ctx;

	for (size_t c = 0; c < HELD; c++)
		for (uint32_t i = 0; i < p->n && !strcmp(columns[c], column); i++)
			if (strlen(p->rows[i][c]) == n && !memcmp(p->rows[i][c], text, n))
				return true;
	return false;
}

static void assert_nothing_hidden(const struct fl_filter *f, const struct part *p, uint32_t passed,
				  const uint64_t bits[FL_BATCH_WORDS])
{
	struct fl_addr literal[FL_FILTER_LITERALS];
	size_t literals = fl_filter_literals(f, literal);
	int64_t since, until;

	assert_true(literals <= FL_FILTER_LITERALS);
	fl_filter_times(f, &since, &until);
	if (passed) {
		assert_true(fl_filter_may_pass(f, range_of, NULL, (void *)p));
		assert_true(fl_filter_may_pass(f, range_of, contains, (void *)p));
	}
	for (uint32_t i = 0; i < p->n; i++) {
		const char *const *row = p->rows[i];
		bool stands = !literals;

		if (!(bits[i / 64] >> (i % 64) & 1))
			continue;
		if (strcmp(row[4], "-") && strcmp(row[5], "-")) {
			int64_t start = strtoll(row[4], NULL, 10), end = strtoll(row[5], NULL, 10);

			assert_true(end >= since && start <= until);
			assert_true(fl_filter_may_pass_time(f, start, end));
		}
		for (size_t l = 0; l < literals && !stands; l++)
			for (size_t c = 0; c < HELD && !stands; c++) {
				char text[FL_ADDR_TEXT_MAX];
				size_t n = (size_t)(fl_addr_print(text, &literal[l], false) - text);

				stands = strlen(row[c]) == n && !memcmp(row[c], text, n);
			}
		assert_true(stands);
	}
}

static void check_tree(const struct fl_batch *b, const struct fl_column_def *defs, const struct part *p)
{
	static const char *const kernels[] = {"scalar", "avx2", "avx512"};
	struct fl_filter *f FL_CLEANUP(fl_filter_free) = NULL, *copy;
	struct tree *t = build(random_below(6), &f);
	struct fl_buf text FL_CLEANUP(fl_buf_free) = FL_BUF(1 << 20);
	uint64_t bits[FL_BATCH_WORDS];
	uint32_t passed = 0;

	assert_int_equal(fl_filter_copy(&copy, f), 0);
	assert_int_equal(fl_filter_print(copy, &text), 0);
	fl_filter_free(&f);
	f = copy;
	for (size_t k = 0; k < FL_ARRAY_LEN(kernels); k++) {
		struct fl_filter_bound *bound FL_CLEANUP(fl_filter_bound_free) = NULL;
		uint32_t expected = 0;

		assert_int_equal(fl_filter_bind(&bound, f, defs, HELD), 0);
		if (!fl_filter_bound_kernel(bound, kernels[k]))
			continue;
		memset(bits, 0xa5, sizeof bits);
		passed = fl_filter_eval(bound, b, bits);
		for (uint32_t i = 0; i < FL_BATCH_ROWS; i++) {
			bool want = i < p->n && slow(t, p->rows[i]) == 1;

			expected += want;
			if (want != (bits[i / 64] >> (i % 64) & 1))
				fail_msg("%s: row %u of %u: %d by %s", fl_buf_cstr(&text), i, p->n, !want, kernels[k]);
		}
		assert_int_equal(passed, expected);
	}
	assert_nothing_hidden(f, p, passed, bits);
	free_tree(t);
}

static bool lacks_column(void *ctx, const char *column)
{
	return *(const unsigned *)ctx >> position(column) & 1;
}

/* Both in one walk, over a batch in which what is lacking is null. Columns that no batch has are not lacking in one. */
static void check_both(const struct fl_filter *f, const struct fl_batch *b, const struct fl_column_def *defs,
		       unsigned lacks, uint32_t fulfil, uint32_t passed)
{
	struct fl_filter_bound *bound FL_CLEANUP(fl_filter_bound_free) = NULL;
	struct fl_batch *nulls FL_CLEANUP(fl_batch_free) = NULL, view = *b;
	bool lacking[FL_BATCH_COLUMNS] = {0};
	uint64_t bits[FL_BATCH_WORDS], again[FL_BATCH_WORDS];
	uint32_t could;

	assert_int_equal(fl_batch_new(&nulls, defs, HELD), 0);
	for (size_t c = 0; c < HELD; c++) {
		lacking[c] = lacks >> c & 1;
		for (uint32_t i = 0; i < b->n && lacking[c]; i++)
			assert_true(fl_column_set_text(&nulls->column[c], i, "-", 1));
		if (lacking[c])
			view.column[c] = nulls->column[c];
	}
	assert_int_equal(fl_filter_bind(&bound, f, defs, HELD), 0);
	assert_int_equal(fl_filter_eval_lacking(bound, &view, lacking, bits, &could), passed);
	assert_int_equal(fl_filter_eval(bound, &view, again), passed);
	assert_memory_equal(bits, again, sizeof bits);
	if (!(lacks >> HELD & 1))
		assert_int_equal(could, fulfil);
}

/* Columns that a file lacks are null in its rows: what hangs on them is what they could have changed. */
static void check_assumed(const struct fl_batch *b, const struct fl_column_def *defs, const struct part *p)
{
	struct fl_filter *f FL_CLEANUP(fl_filter_free) = NULL, *could FL_CLEANUP(fl_filter_free) = NULL;
	struct fl_filter_bound *bound FL_CLEANUP(fl_filter_bound_free) = NULL;
	struct tree *t = build(random_below(6), &f);
	unsigned lacks = random_below(1u << COLUMNS) & random_below(1u << COLUMNS);
	uint64_t bits[FL_BATCH_WORDS];
	uint32_t fulfil = 0, passed = 0;
	bool hangs;

	assert_int_equal(fl_filter_assume(&could, &hangs, f, lacks_column, &lacks), 0);
	assert_true(hangs || !could);
	assert_int_equal(fl_filter_bind(&bound, could, defs, HELD), 0);
	fl_filter_eval(bound, b, bits);
	for (uint32_t i = 0; i < p->n; i++) {
		const char *null[HELD];
		bool want = slow_assumed(t, p->rows[i], lacks, false);

		for (size_t c = 0; c < HELD; c++)
			null[c] = lacks >> c & 1 ? "-" : p->rows[i][c];
		if (hangs)
			assert_int_equal(bits[i / 64] >> (i % 64) & 1, want);
		else
			assert_int_equal(slow(t, null) == 1, want);
		assert_true(want || slow(t, null) != 1);
		fulfil += want;
		passed += slow(t, null) == 1;
	}
	check_both(f, b, defs, lacks, fulfil, passed);
	free_tree(t);
}

static void test_random_trees(void **state_)
{
	static const char *rows[FL_BATCH_ROWS][HELD];

	(void)state_;
	for (unsigned round = 0; round < 150; round++) {
		struct fl_batch *b FL_CLEANUP(fl_batch_free) = NULL;
		struct fl_column_def defs[HELD];
		uint32_t n = round % 3 ? random_below(7) : random_below(FL_BATCH_ROWS + 1);
		struct part p = {rows, n, random_below(1024) & random_below(1024)};

		make_batch(&b, defs, rows, n);
		for (unsigned i = 0; i < (n > 100 ? 8 : 60); i++)
			check_tree(b, defs, &p);
		for (unsigned i = 0; i < (n > 100 ? 2 : 20); i++)
			check_assumed(b, defs, &p);
	}
}

/* ---- by hand ---- */

static struct fl_filter *address(const char *column, const char *network)
{
	struct fl_filter *f;
	struct fl_cidr c;

	assert_int_equal(fl_cidr_parse(network, strlen(network), &c), 0);
	assert_int_equal(fl_filter_cidr(&f, column, &c), 0);
	return f;
}

static struct fl_column_range range_of_all(void *ctx, const char *column)
{
	(void)column;
	return *(const struct fl_column_range *)ctx;
}

/* What is not known stays so under not: neither the one passes, nor the other. */
static void test_not_of_what_is_not_known(void **state_)
{
	static const struct fl_column_range null = {.known = true, .may_be_null = true, .all_null = true};
	struct fl_filter *f FL_CLEANUP(fl_filter_free) = NULL;
	struct fl_filter_bound *bound = NULL;
	struct fl_batch *b FL_CLEANUP(fl_batch_free) = NULL;
	struct fl_column_def d;
	uint64_t bits[FL_BATCH_WORDS];

	(void)state_;
	fl_column_find("dstport", &d);
	assert_int_equal(fl_batch_new(&b, &d, 1), 0);
	for (const char *const *v = (const char *const[]){"22", "23", "-", NULL}; *v; v++)
		assert_true(fl_column_set_text(&b->column[0], b->n++, *v, strlen(*v)));
	assert_int_equal(fl_filter_range(&f, "dstport", 22, 22), 0);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(fl_filter_bind(&bound, f, &d, 1), 0);
		assert_int_equal(fl_filter_eval(bound, b, bits), 1);
		assert_int_equal(bits[0], i % 2 ? 2 : 1);
		fl_filter_bound_free(&bound);
		assert_int_equal(fl_filter_bind(&bound, f, NULL, 0), 0);
		assert_int_equal(fl_filter_eval(bound, b, bits), 0);
		fl_filter_bound_free(&bound);
		assert_false(fl_filter_may_pass(f, range_of_all, NULL, (void *)&null));
		assert_int_equal(fl_filter_not(&f, f), 0);
	}
}

static void test_ceilings(void **state_)
{
	struct fl_filter *f = NULL, *leaf;
	int r = 0;

	(void)state_;
	/* Chains do not grow deep, however they are built. */
	for (int i = 1; i < FL_FILTER_NODES; i++) {
		assert_int_equal(fl_filter_number(&leaf, "dstport", FL_OP_EQ, (uint64_t)i), 0);
		assert_int_equal(i % 2 ? fl_filter_or(&f, f ? f : leaf, f ? leaf : NULL) : fl_filter_or(&f, leaf, f),
				 0);
		if (!f) /* everything, or it: everything */
			assert_int_equal(fl_filter_number(&f, "dstport", FL_OP_EQ, 0), 0);
	}
	assert_int_equal(fl_filter_number(&leaf, "dstport", FL_OP_EQ, 0), 0);
	assert_int_equal(fl_filter_or(&f, f, leaf), -E2BIG);
	assert_null(f);
	assert_int_equal(fl_filter_number(&f, "dstport", FL_OP_EQ, 0), 0);
	for (int i = 1; i < FL_FILTER_DEPTH; i++)
		assert_int_equal(fl_filter_not(&f, f), 0);
	r = fl_filter_not(&f, f);
	assert_int_equal(r, -E2BIG);
	assert_null(f);
}

static void test_everything_and_nothing(void **state_)
{
	struct fl_filter *f = NULL;
	struct fl_filter_bound *bound FL_CLEANUP(fl_filter_bound_free) = NULL;
	struct fl_batch *b FL_CLEANUP(fl_batch_free) = NULL;
	struct fl_column_def d;
	uint64_t bits[FL_BATCH_WORDS];
	int64_t since, until;

	(void)state_;
	fl_column_find("start", &d);
	assert_int_equal(fl_batch_new(&b, &d, 1), 0);
	b->n = 100;
	assert_int_equal(fl_filter_bind(&bound, NULL, &d, 1), 0);
	assert_int_equal(fl_filter_eval(bound, b, bits), 100);
	fl_filter_bound_free(&bound);
	fl_filter_times(NULL, &since, &until);
	assert_true(since == INT64_MIN && until == INT64_MAX && fl_filter_may_pass_time(NULL, 5, 6));
	assert_int_equal(fl_filter_literals(NULL, (struct fl_addr[FL_FILTER_LITERALS]){0}), 0);
	assert_int_equal(fl_filter_not(&f, NULL), 0);
	assert_int_equal(fl_filter_bind(&bound, f, &d, 1), 0);
	assert_int_equal(fl_filter_eval(bound, b, bits), 0);
	assert_false(fl_filter_may_pass_time(f, 0, 1000));
	fl_filter_free(&f);
}

static void test_pruning_is_worth_something(void **state_)
{
	struct fl_filter *f = NULL, *g = NULL;
	struct fl_addr literal[FL_FILTER_LITERALS];
	int64_t since, until;

	(void)state_;
	assert_int_equal(fl_filter_number(&f, "end", FL_OP_GE, 1000), 0);
	assert_int_equal(fl_filter_number(&g, "start", FL_OP_LT, 2000), 0);
	assert_int_equal(fl_filter_and(&f, f, g), 0);
	fl_filter_times(f, &since, &until);
	assert_true(since == 1000 && until == 1999);
	assert_false(fl_filter_may_pass_time(f, 100, 999));
	assert_true(fl_filter_may_pass_time(f, 100, 1000));
	assert_true(fl_filter_may_pass_time(f, 1999, 3000));
	assert_false(fl_filter_may_pass_time(f, 2000, 3000));
	assert_int_equal(fl_filter_or(&g, address("srcaddr", "10.0.0.1"), address("dstaddr", "10.0.0.1")), 0);
	assert_int_equal(fl_filter_and(&f, f, g), 0);
	assert_int_equal(fl_filter_literals(f, literal), 1);
	assert_int_equal(fl_filter_or(&f, f, address("srcaddr", "10.0.0.0/24")), 0);
	assert_int_equal(fl_filter_literals(f, literal), 0);
	fl_filter_free(&f);
}

struct range_case {
	const char *network, *min, *max;
	bool may;
};

static struct fl_column_range range_of_case(void *ctx, const char *column)
{
	const struct range_case *c = ctx;

	(void)column;
	return (struct fl_column_range){
	    .known = true, .tmin = {c->min, strlen(c->min)}, .tmax = {c->max, strlen(c->max)}};
}

static void test_networks_by_statistics(void **state_)
{
	static const struct range_case cases[] = {
	    {"10.0.0.0/8", "10.200.1.1", "10.9.9.9", true}, {"10.0.0.0/8", "100.0.0.1", "192.168.0.1", false},
	    {"10.0.0.0/8", "1.1.1.1", "10.0.0.0", true},    {"10.1.0.0/16", "10.2.0.0", "10.3.0.0", false},
	    {"10.1.0.0/16", "10.0.0.0", "10.3.0.0", true},  {"10.1.0.0/20", "10.100.0.0", "10.3.0.0", false},
	    {"0.0.0.0/1", "200.1.1.1", "201.1.1.1", true},  {"10.0.0.1", "10.0.0.1", "10.0.0.1", true},
	    {"10.0.0.1", "10.0.0.10", "10.0.0.3", false},
	};

	(void)state_;
	for (size_t i = 0; i < FL_ARRAY_LEN(cases); i++) {
		struct fl_filter *f FL_CLEANUP(fl_filter_free) = address("srcaddr", cases[i].network);

		assert_int_equal(fl_filter_may_pass(f, range_of_case, NULL, (void *)&cases[i]), cases[i].may);
	}
}

static void test_columns_and_types(void **state_)
{
	struct fl_filter *f = NULL, *g;
	const char *names[FL_BATCH_COLUMNS];

	(void)state_;
	assert_int_equal(fl_filter_and(&f, address("pkt-srcaddr", "10.0.0.1"), address("pkt_srcaddr", "10.0.0.2")), 0);
	assert_int_equal(fl_filter_number(&g, "bytes", FL_OP_GT, 5), 0);
	assert_int_equal(fl_filter_or(&f, f, g), 0);
	assert_int_equal(fl_filter_columns(f, names), 2);
	assert_string_equal(names[0], "pkt_srcaddr");
	assert_string_equal(names[1], "bytes");
	fl_filter_free(&f);
	assert_int_equal(fl_filter_number(&f, "srcaddr", FL_OP_EQ, 1), -EINVAL);
	assert_null(f);
	assert_int_equal(fl_filter_number(&f, "action", FL_OP_EQ, 1), -EINVAL);
	assert_int_equal(fl_filter_cidr(&f, "bytes", &(struct fl_cidr){.bits = 128}), -EINVAL);
	assert_null(f);
}

static void test_printing(void **state_)
{
	struct fl_buf text FL_CLEANUP(fl_buf_free) = FL_BUF(4096);
	struct fl_filter *f = NULL, *g, *h;

	(void)state_;
	assert_int_equal(fl_filter_range(&g, "dstport", 1, 1023), 0);
	assert_int_equal(fl_filter_text(&h, "action", "REJECT", 6), 0);
	assert_int_equal(fl_filter_or(&f, g, h), 0);
	assert_int_equal(fl_filter_not(&g, address("srcaddr", "10.0.0.0/8")), 0);
	assert_int_equal(fl_filter_and(&f, g, f), 0);
	assert_int_equal(fl_filter_text(&h, "vpc_id", "a \"b", 4), 0);
	assert_int_equal(fl_filter_and(&f, f, h), 0);
	assert_int_equal(fl_filter_print(f, &text), 0);
	assert_string_equal(fl_buf_cstr(&text), "not srcaddr = 10.0.0.0/8 and ((dstport >= 1 and dstport <= 1023) or "
						"action = REJECT) and vpc_id = \"a \\\"b\"");
	fl_filter_free(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_random_trees),
	    cmocka_unit_test(test_not_of_what_is_not_known),
	    cmocka_unit_test(test_ceilings),
	    cmocka_unit_test(test_everything_and_nothing),
	    cmocka_unit_test(test_pruning_is_worth_something),
	    cmocka_unit_test(test_networks_by_statistics),
	    cmocka_unit_test(test_columns_and_types),
	    cmocka_unit_test(test_printing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
