/* SPDX-License-Identifier: Apache-2.0 */
/* Groups against sorting and adding up: every type of key, every measure, by several threads, with memory that holds
 * everything and with memory that holds hardly anything. */
#include <errno.h>
#include <pthread.h>
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
#include "query/group.h"

static uint64_t state = 88172645463325252u;
static uint64_t random_u64(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state * UINT64_C(0x2545f4914f6cdd1d);
}
static unsigned random_below(unsigned n)
{
	return (unsigned)(random_u64() >> 33) % n;
}

/* ---- data: columns of every type ---- */

#define ROWS_MAX 200000u
struct column {
	enum fl_group_type type;
	unsigned different;
	uint64_t *u64;
	struct fl_addr *addr;
	struct fl_str *text;
	uint8_t *code;
	uint64_t *null, *v6, *only;
};
static struct column column[8];
static uint32_t n_rows;
static char texts[70000][12];

static void set_bit(uint64_t *bits, uint32_t i)
{
	bits[i / 64] |= UINT64_C(1) << (i % 64);
}
static bool get_bit(const uint64_t *bits, uint32_t i)
{
	return bits[i / 64] >> (i % 64) & 1;
}

static void make_column(struct column *c, enum fl_group_type type, unsigned different)
{
	size_t words = n_rows / 64 + 1;

	*c = (struct column){.type = type, .different = different};
	c->u64 = calloc(n_rows, 8);
	c->addr = calloc(n_rows, 16);
	c->text = calloc(n_rows, sizeof *c->text);
	c->code = calloc(n_rows, 1);
	c->null = calloc(words, 8);
	c->v6 = calloc(words, 8);
	c->only = calloc(words, 8);
	for (uint32_t i = 0; i < n_rows; i++) {
		unsigned v = random_below(different);

		if (random_below(2))
			set_bit(c->only, i);
		if (random_below(20) == 0) {
			set_bit(c->null, i);
			continue;
		}
		c->u64[i] = type == FL_GROUP_U64 ? v * UINT64_C(0x123456789) : v;
		memcpy(c->addr[i].b + 8, &v, 4);
		c->text[i] = (struct fl_str){texts[v], strlen(texts[v])};
		c->code[i] = (uint8_t)v;
		if (type == FL_GROUP_ADDR && random_below(10) == 0)
			set_bit(c->v6, i);
	}
}

static void free_column(struct column *c)
{
	free(c->u64);
	free(c->addr);
	free(c->text);
	free(c->code);
	free(c->null);
	free(c->v6);
	free(c->only);
}

static const void *values(const struct column *c, uint32_t from)
{
	return c->type == FL_GROUP_ADDR   ? (const void *)(c->addr + from)
	       : c->type == FL_GROUP_TEXT ? (const void *)(c->text + from)
	       : c->type == FL_GROUP_CODE ? (const void *)(c->code + from)
					  : (const void *)(c->u64 + from);
}

/* A value as text: equal texts are equal values. */
static void print_value(const struct column *c, uint32_t i, char *to, size_t n)
{
	if (get_bit(c->null, i))
		snprintf(to, n, "-");
	else if (c->type == FL_GROUP_TEXT)
		snprintf(to, n, "%.*s", (int)c->text[i].n, c->text[i].p);
	else if (c->type == FL_GROUP_ADDR)
		snprintf(to, n, "%02x%02x%02x%02x%d", c->addr[i].b[8], c->addr[i].b[9], c->addr[i].b[10],
			 c->addr[i].b[11], get_bit(c->v6, i));
	else
		snprintf(to, n, "%llu", (unsigned long long)(c->type == FL_GROUP_CODE ? c->code[i] : c->u64[i]));
}

static void print_answer(enum fl_group_type type, const struct fl_group_value *v, char *to, size_t n)
{
	if (v->null)
		snprintf(to, n, "-");
	else if (type == FL_GROUP_TEXT)
		snprintf(to, n, "%.*s", (int)v->text.n, v->text.p);
	else if (type == FL_GROUP_ADDR)
		snprintf(to, n, "%02x%02x%02x%02x%d", v->addr.b[8], v->addr.b[9], v->addr.b[10], v->addr.b[11], v->v6);
	else
		snprintf(to, n, "%llu", (unsigned long long)(type == FL_GROUP_CODE ? v->code : v->u64));
}

/* ---- the slow way ---- */

struct spec {
	size_t keys[4], n_keys;
	struct {
		enum fl_measure_kind kind;
		size_t column;
		bool some;
	} measure[8];
	size_t n_measures;
};

static const struct spec *sorting;
static int compare_key(uint32_t a, uint32_t b)
{
	for (size_t k = 0; k < sorting->n_keys; k++) {
		char x[64], y[64];
		int r;

		print_value(&column[sorting->keys[k]], a, x, sizeof x);
		print_value(&column[sorting->keys[k]], b, y, sizeof y);
		r = strcmp(x, y);
		if (r)
			return r;
	}
	return 0;
}
static int compare_rows(const void *a, const void *b)
{
	return compare_key(*(const uint32_t *)a, *(const uint32_t *)b);
}
static int compare_text(const void *a, const void *b)
{
	return strcmp(a, b);
}

static uint64_t slow_measure(const struct spec *s, size_t m, const uint32_t *rows, size_t n)
{
	const struct column *c = &column[s->measure[m].column];
	uint64_t v = s->measure[m].kind == FL_MEASURE_MIN ? UINT64_MAX : 0;
	char(*seen)[64] = s->measure[m].kind == FL_MEASURE_DISTINCT ? calloc(n, 64) : NULL;
	size_t n_seen = 0;

	for (size_t i = 0; i < n; i++) {
		if (s->measure[m].some && !get_bit(c->only, rows[i]))
			continue;
		if (s->measure[m].kind == FL_MEASURE_COUNT)
			v++;
		else if (get_bit(c->null, rows[i]))
			continue;
		else if (s->measure[m].kind == FL_MEASURE_SUM)
			v += c->u64[rows[i]];
		else if (s->measure[m].kind == FL_MEASURE_MIN)
			v = FL_MIN(v, c->u64[rows[i]]);
		else if (s->measure[m].kind == FL_MEASURE_MAX)
			v = FL_MAX(v, c->u64[rows[i]]);
		else if (s->measure[m].kind == FL_MEASURE_OR)
			v |= c->u64[rows[i]];
		else
			print_value(c, rows[i], seen[n_seen++], 64);
	}
	if (seen) {
		qsort(seen, n_seen, 64, compare_text);
		for (size_t i = 0; i < n_seen; i++)
			v += !i || strcmp(seen[i], seen[i - 1]);
	}
	free(seen);
	return v;
}

/* ---- ours ---- */

struct feed {
	struct fl_groups *groups;
	const struct spec *spec;
	unsigned thread, threads;
	int result;
};

static void *feed(void *ctx)
{
	struct feed *f = ctx;

	for (uint32_t from = f->thread * 2048; from < n_rows && !f->result; from += f->threads * 2048) {
		struct fl_group_vector keys[4], measures[8];
		uint32_t n = FL_MIN(2048u, n_rows - from);

		for (size_t k = 0; k < f->spec->n_keys; k++) {
			const struct column *c = &column[f->spec->keys[k]];

			keys[k] =
			    (struct fl_group_vector){values(c, from), c->null + from / 64, c->v6 + from / 64, NULL};
		}
		for (size_t m = 0; m < f->spec->n_measures; m++) {
			const struct column *c = &column[f->spec->measure[m].column];
			bool count = f->spec->measure[m].kind == FL_MEASURE_COUNT;

			measures[m] = (struct fl_group_vector){count ? NULL : values(c, from),
							       count ? NULL : c->null + from / 64, c->v6 + from / 64,
							       f->spec->measure[m].some ? c->only + from / 64 : NULL};
		}
		f->result = fl_group_add(fl_groups_worker(f->groups, f->thread), n, keys, measures);
	}
	return NULL;
}

static bool keep_odd(void *ctx, const uint64_t *measures)
{
	(void)ctx;
	return measures[0] & 1;
}

static struct fl_groups *group(const struct spec *s, struct fl_group_conf *conf)
{
	struct fl_groups *g;
	struct feed f[4];
	pthread_t thread[4];

	conf->n_keys = s->n_keys;
	conf->n_measures = s->n_measures;
	conf->tmp = "/tmp";
	for (size_t k = 0; k < s->n_keys; k++)
		conf->key[k] = column[s->keys[k]].type;
	for (size_t m = 0; m < s->n_measures; m++)
		conf->measure[m] = (struct fl_group_measure){s->measure[m].kind, column[s->measure[m].column].type};
	assert_int_equal(fl_groups_new(&g, conf), 0);
	for (unsigned i = 0; i < conf->threads; i++) {
		f[i] = (struct feed){g, s, i, conf->threads, 0};
		assert_int_equal(pthread_create(&thread[i], NULL, feed, &f[i]), 0);
	}
	for (unsigned i = 0; i < conf->threads; i++) {
		pthread_join(thread[i], NULL);
		assert_int_equal(f[i].result, 0);
	}
	assert_int_equal(fl_groups_finish(g), 0);
	return g;
}

/* Every group of ours, by its keys as text, in a list sorted by them. */
static size_t find(const struct fl_groups *g, const struct fl_group_conf *conf, const size_t *order, uint32_t row,
		   const struct spec *s)
{
	size_t low = 0, high = fl_groups_rows(g);

	while (low < high) {
		size_t mid = (low + high) / 2;
		int r = 0;

		for (size_t k = 0; k < s->n_keys && !r; k++) {
			struct fl_group_value v;
			char x[64], y[64];

			fl_groups_key(g, order[mid], k, &v);
			print_answer(conf->key[k], &v, x, sizeof x);
			print_value(&column[s->keys[k]], row, y, sizeof y);
			r = strcmp(x, y);
		}
		if (!r)
			return order[mid];
		if (r < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return SIZE_MAX;
}

static const struct fl_groups *ordering;
static const struct fl_group_conf *ordering_conf;
static int compare_answers(const void *a, const void *b)
{
	for (size_t k = 0; k < ordering_conf->n_keys; k++) {
		struct fl_group_value v;
		char x[64], y[64];
		int r;

		fl_groups_key(ordering, *(const size_t *)a, k, &v);
		print_answer(ordering_conf->key[k], &v, x, sizeof x);
		fl_groups_key(ordering, *(const size_t *)b, k, &v);
		print_answer(ordering_conf->key[k], &v, y, sizeof y);
		r = strcmp(x, y);
		if (r)
			return r;
	}
	return 0;
}

static void assert_answer(const struct spec *s, struct fl_group_conf *conf, struct fl_groups *g)
{
	uint32_t *rows = calloc(n_rows + 1, sizeof *rows);
	size_t *order = calloc(fl_groups_rows(g) + 1, sizeof *order), groups = 0;

	for (uint32_t i = 0; i < n_rows; i++)
		rows[i] = i;
	for (size_t i = 0; i < fl_groups_rows(g); i++)
		order[i] = i;
	sorting = s;
	qsort(rows, n_rows, sizeof *rows, compare_rows);
	ordering = g;
	ordering_conf = conf;
	qsort(order, fl_groups_rows(g), sizeof *order, compare_answers);
	for (uint32_t i = 0, end; i < n_rows; i = end) {
		uint64_t want[8];
		size_t at;

		for (end = i + 1; end < n_rows && !compare_key(rows[i], rows[end]); end++)
			;
		for (size_t m = 0; m < s->n_measures; m++)
			want[m] = slow_measure(s, m, rows + i, end - i);
		at = find(g, conf, order, rows[i], s);
		if (conf->keep && !(want[0] & 1)) {
			assert_true(at == SIZE_MAX);
			continue;
		}
		groups++;
		assert_true(at != SIZE_MAX);
		for (size_t m = 0; m < s->n_measures; m++)
			assert_int_equal(fl_groups_measures(g, at)[m], want[m]);
	}
	assert_int_equal(groups, fl_groups_count(g));
	assert_int_equal(groups, fl_groups_rows(g));
	for (size_t i = 1; i < fl_groups_rows(g) && conf->order >= 0; i++)
		assert_true(fl_groups_measures(g, i - 1)[conf->order] >= fl_groups_measures(g, i)[conf->order]);
	free(rows);
	free(order);
}

/* The first rows are the first of all rows. */
static void assert_limit(const struct spec *s, struct fl_group_conf conf, const struct fl_groups *all)
{
	struct fl_groups *g;

	conf.limit = 1 + random_below(20);
	g = group(s, &conf);
	assert_int_equal(fl_groups_count(g), fl_groups_count(all));
	assert_int_equal(fl_groups_rows(g), FL_MIN(conf.limit, fl_groups_count(all)));
	for (size_t i = 0; i < fl_groups_rows(g); i++) {
		assert_memory_equal(fl_groups_measures(g, i), fl_groups_measures(all, i), 8 * conf.n_measures);
		for (size_t k = 0; k < conf.n_keys; k++) {
			struct fl_group_value a, b;
			char x[64], y[64];

			fl_groups_key(g, i, k, &a);
			fl_groups_key(all, i, k, &b);
			print_answer(conf.key[k], &a, x, sizeof x);
			print_answer(conf.key[k], &b, y, sizeof y);
			assert_string_equal(x, y);
		}
	}
	for (size_t m = 0; m < conf.n_measures; m++)
		assert_int_equal(fl_groups_total(g, m), fl_groups_total(all, m));
	fl_groups_free(&g);
}

static void random_spec(struct spec *s)
{
	*s = (struct spec){.n_keys = random_below(4), .n_measures = 1 + random_below(6)};
	for (size_t k = 0; k < s->n_keys; k++)
		s->keys[k] = random_below(8);
	for (size_t m = 0; m < s->n_measures; m++) {
		size_t distinct = 0;

		for (size_t i = 0; i < m; i++)
			distinct += s->measure[i].kind == FL_MEASURE_DISTINCT;
		s->measure[m].kind = random_below(distinct < FL_GROUP_DISTINCT ? 6 : 5);
		s->measure[m].column =
		    s->measure[m].kind == FL_MEASURE_DISTINCT ? random_below(8) : 6 + random_below(2);
		s->measure[m].some = random_below(3) == 0;
	}
}

static uint64_t spilled;
static void round_of(uint32_t rows, unsigned different, uint64_t memory)
{
	static const enum fl_group_type types[8] = {FL_GROUP_U64,  FL_GROUP_U32, FL_GROUP_ADDR, FL_GROUP_TEXT,
						    FL_GROUP_CODE, FL_GROUP_U32, FL_GROUP_U64,  FL_GROUP_U64};
	struct fl_group_conf conf = {.memory = memory, .threads = 1 + random_below(4)};
	struct fl_groups *g;
	struct spec s;

	n_rows = rows;
	for (size_t i = 0; i < 8; i++)
		make_column(&column[i], types[i], i == 4 ? 3 : i == 5 ? FL_MIN(different, 5u) : different);
	random_spec(&s);
	conf.order = (int)random_below((unsigned)s.n_measures + 1) - 1;
	conf.keep = random_below(4) ? NULL : keep_odd;
	g = group(&s, &conf);
	assert_answer(&s, &conf, g);
	assert_limit(&s, conf, g);
	spilled += fl_groups_spilled(g);
	fl_groups_free(&g);
	for (size_t i = 0; i < 8; i++)
		free_column(&column[i]);
}

static void test_random_questions(void **unused)
{
	(void)unused;
	for (unsigned i = 0; i < 150; i++)
		round_of(random_below(3000), 1 + random_below(300), 1 << 30);
	assert_int_equal(spilled, 0);
}

static void test_little_memory(void **unused)
{
	(void)unused;
	spilled = 0;
	for (unsigned i = 0; i < 12; i++)
		round_of(10000 + random_below(20000), 5000, 1u << 20);
	assert_true(spilled > 0);
}

static void test_many_groups_are_merged_in_parts(void **unused)
{
	(void)unused;
	for (unsigned i = 0; i < 3; i++)
		round_of(60000, 69000, 1 << 30);
}

static void test_sets_of_every_size(void **unused)
{
	(void)unused;
	/* few groups with many values: tables, then bitmaps */
	for (unsigned i = 0; i < 12; i++)
		round_of(20000 + random_below(10000), i % 3 && i % 2 ? 65536 : 3 + random_below(9000),
			 i % 3 ? 1 << 30 : 2 << 20);
}

static void test_no_rows(void **unused)
{
	struct fl_group_conf conf = {.memory = 1 << 20, .threads = 2, .order = FL_GROUP_BY_KEYS};
	struct spec s = {.n_keys = 0, .n_measures = 1};
	struct fl_groups *g;

	(void)unused;
	n_rows = 0;
	for (size_t i = 0; i < 8; i++)
		make_column(&column[i], FL_GROUP_U64, 1);
	g = group(&s, &conf);
	assert_int_equal(fl_groups_rows(g), 0);
	assert_int_equal(fl_groups_total(g, 0), 0);
	fl_groups_free(&g);
	for (size_t i = 0; i < 8; i++)
		free_column(&column[i]);
}

static void test_what_memory_cannot_hold_is_said(void **unused)
{
	struct fl_group_conf conf = {
	    .memory = 1 << 16, .threads = 1, .key = {FL_GROUP_TEXT}, .n_keys = 1, .tmp = "/tmp"};
	struct fl_groups *g;
	struct fl_group_vector key;

	(void)unused;
	n_rows = 2000;
	make_column(&column[0], FL_GROUP_TEXT, 60000);
	key = (struct fl_group_vector){.value = column[0].text};
	assert_int_equal(fl_groups_new(&g, &conf), 0);
	assert_int_equal(fl_group_add(fl_groups_worker(g, 0), n_rows, &key, NULL), -E2BIG);
	assert_non_null(strstr(fl_error_text(-E2BIG), "--memory"));
	fl_groups_free(&g);
	free_column(&column[0]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_random_questions),
	    cmocka_unit_test(test_little_memory),
	    cmocka_unit_test(test_many_groups_are_merged_in_parts),
	    cmocka_unit_test(test_sets_of_every_size),
	    cmocka_unit_test(test_no_rows),
	    cmocka_unit_test(test_what_memory_cannot_hold_is_said),
	};

	for (unsigned i = 0; i < 70000; i++)
		snprintf(texts[i], sizeof texts[i], "t%u", i);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
