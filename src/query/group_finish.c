/* SPDX-License-Identifier: Apache-2.0 */
/* Merging of all threads' groups, part by part, and the first of them in order. */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "query/group_inner.h"

#define ROWS_AHEAD 16u
#define SMALL 65536u                     /* rows that one thread merges in no time */
#define ANSWER_LEAST (UINT64_C(4) << 20) /* bytes of rows that are always granted */
#define PASSES 1024u                     /* over the rows of one part, by the ten bits of the hash behind its own */

/* Rows kept so far: all, or the first `limit` as a heap with the last of them at its top. */
struct kept {
	char *rows;
	size_t n, cap;
};

struct merger {
	struct fl_groups *g;
	unsigned parts;
	atomic_uint next;
	bool sets;  /* ports and the like are in sets, all of them */
	bool whole; /* one worker, nothing written: its rows are merged already */
	_Atomic(int) failed;
	char failure[512];
};

struct merge { /* of one thread */
	struct merger *all;
	struct fl_group_table in, out; /* in: values to be counted, each once */
	struct fl_set_store sets;      /* of out's rows */
	struct kept kept;
	uint64_t count, total[FL_GROUP_MEASURES];
	size_t part_in; /* which table of the workers is merged */
	unsigned pass, passes;
	unsigned number; /* of the thread */
	/* Rows on their way into a table, so that its memory can be on its way too. */
	const char *pending[FL_GROUP_AHEAD];
	uint32_t n_pending;
	uint64_t hash[FL_GROUP_AHEAD];
	char *row[FL_GROUP_AHEAD];
	char keys[FL_GROUP_AHEAD * FL_GROUP_KEY_MOST];
	pthread_t thread;
	bool started;
};

/* ---- the first rows ---- */

static char *kept_row(const struct merge *m, size_t i)
{
	return m->kept.rows + i * m->all->g->out.row_bytes;
}

static void swap_rows(struct merge *m, size_t a, size_t b)
{
	uint32_t bytes = m->all->g->out.row_bytes;
	uint64_t word;

	for (uint32_t i = 0; i < bytes; i += 8) {
		memcpy(&word, kept_row(m, a) + i, 8);
		memcpy(kept_row(m, a) + i, kept_row(m, b) + i, 8);
		memcpy(kept_row(m, b) + i, &word, 8);
	}
}

static void sift_down(struct merge *m, size_t at)
{
	const struct fl_groups *g = m->all->g;

	for (;;) {
		size_t child = 2 * at + 1;

		if (child >= m->kept.n)
			return;
		if (child + 1 < m->kept.n && fl_group_compare(g, kept_row(m, child + 1), kept_row(m, child)) > 0)
			child++;
		if (fl_group_compare(g, kept_row(m, child), kept_row(m, at)) <= 0)
			return;
		swap_rows(m, at, child);
		at = child;
	}
}

static void sift_up(struct merge *m, size_t at)
{
	while (at && fl_group_compare(m->all->g, kept_row(m, at), kept_row(m, (at - 1) / 2)) > 0) {
		swap_rows(m, at, (at - 1) / 2);
		at = (at - 1) / 2;
	}
}

static int keep_row(struct merge *m, const char *row)
{
	const struct fl_groups *g = m->all->g;
	struct kept *k = &m->kept;
	uint64_t limit = g->conf.limit;

	if (limit && k->n == limit) {
		if (fl_group_compare(g, row, kept_row(m, 0)) < 0) {
			memcpy(kept_row(m, 0), row, g->out.row_bytes);
			sift_down(m, 0);
		}
		return 0;
	}
	if (k->n == k->cap) {
		size_t cap = k->cap ? k->cap * 2 : 256;
		char *grown;

		if ((uint64_t)cap * g->out.row_bytes > FL_MAX(g->conf.memory, ANSWER_LEAST))
			return fl_fail(-E2BIG,
				       "the answer has more rows than its memory holds; filter, give --limit, or raise "
				       "--memory");
		grown = realloc(k->rows, cap * g->out.row_bytes);
		if (!grown)
			return -ENOMEM;
		k->rows = grown;
		k->cap = cap;
	}
	memcpy(kept_row(m, k->n++), row, g->out.row_bytes);
	if (limit)
		sift_up(m, k->n - 1);
	return 0;
}

static int emit(struct merge *m, const char *row)
{
	const struct fl_groups *g = m->all->g;
	const uint64_t *measure = (const uint64_t *)(const void *)(row + 8 + g->out.key_bytes);

	if (g->conf.keep && !g->conf.keep(g->conf.ctx, measure))
		return 0;
	m->count++;
	for (size_t i = 0; i < g->out.n_measures; i++)
		if (g->out.kind[i] == FL_MEASURE_SUM || g->out.kind[i] == FL_MEASURE_COUNT)
			m->total[i] = fl_group_add_u64(m->total[i], measure[i]);
	return g->conf.emit ? g->conf.emit(g->conf.ctx, m->number, g, row) : keep_row(m, row);
}

/* ---- merging ---- */

struct set_union {
	struct fl_set_store *store;
	uint64_t *set;
};

static int on_value(void *ctx, uint16_t v)
{
	struct set_union *u = ctx;

	return fl_set_add(u->store, u->set, v);
}

static int add_measures(struct merge *m, const struct fl_group_layout *in, const char *row, uint64_t *to)
{
	const struct fl_groups *g = m->all->g;
	int r = 0;
	const uint64_t *from = (const uint64_t *)(const void *)(row + 8 + in->key_bytes);

	for (size_t i = 0; i < in->n_measures && !r; i++) {
		size_t at = g->in_measure[i];
		struct set_union u = {&m->sets, &to[at]};

		if (in->kind[i] == FL_MEASURE_DISTINCT)
			r = m->all->sets ? fl_set_each(from[i], on_value, &u) : 0;
		else if (in->kind[i] == FL_MEASURE_MIN)
			to[at] = FL_MIN(to[at], from[i]);
		else if (in->kind[i] == FL_MEASURE_MAX)
			to[at] = FL_MAX(to[at], from[i]);
		else if (in->kind[i] == FL_MEASURE_OR)
			to[at] |= from[i];
		else
			to[at] = fl_group_add_u64(to[at], from[i]);
	}
	return r;
}

/* Sets are what they hold from here on. */
static void count_sets(const struct fl_groups *g, const struct fl_group_layout *l, const struct fl_group_table *t)
{
	for (size_t m = 0; m < g->in[0].n_measures; m++)
		for (uint32_t i = 0; i < t->rows && g->in[0].kind[m] == FL_MEASURE_DISTINCT; i++) {
			uint64_t *set = &fl_group_row_measures(fl_group_row(t, i), l)[g->in_measure[m]];

			*set = fl_set_count(*set);
		}
}

/* Rows of the workers' tables to their groups. */
static int to_groups(struct merge *m)
{
	const struct fl_groups *g = m->all->g;
	const struct fl_group_layout *in = &g->in[m->part_in];
	bool counts[FL_GROUP_AHEAD];
	uint32_t n = m->n_pending;
	int r;

	for (uint32_t i = 0; i < n; i++) {
		char *key = m->keys + (size_t)i * in->group_bytes;

		memcpy(key, m->pending[i] + 8, in->group_bytes);
		counts[i] = in->counts && fl_group_take_value(in, key);
		m->hash[i] = in->counts ? fl_group_hash(&g->out, key, g->seed) : fl_group_row_hash(m->pending[i]);
	}
	r = fl_group_table_find(&m->out, m->keys, m->hash, n, m->row);
	for (uint32_t i = 0; i < n && !r; i++) {
		uint64_t *to = fl_group_row_measures(m->row[i], &g->out);

		r = add_measures(m, in, m->pending[i], to);
		if (counts[i])
			to[in->counted_measure]++;
	}
	m->n_pending = 0;
	return r;
}

/* Values that several threads or runs have seen, each once. */
static int to_values(struct merge *m)
{
	const struct fl_group_layout *in = &m->all->g->in[m->part_in];
	uint32_t n = m->n_pending;
	int r;

	for (uint32_t i = 0; i < n; i++) {
		memcpy(m->keys + (size_t)i * in->key_bytes, m->pending[i] + 8, in->key_bytes);
		m->hash[i] = fl_group_row_hash(m->pending[i]);
	}
	r = fl_group_table_find(&m->in, m->keys, m->hash, n, m->row);
	for (uint32_t i = 0; i < n && !r; i++)
		fl_group_merge_measures(in, fl_group_row_measures(m->row[i], in),
					(const uint64_t *)(const void *)(m->pending[i] + 8 + in->key_bytes));
	m->n_pending = 0;
	return r;
}

static bool has_values(const struct merge *m)
{
	return m->all->g->in[m->part_in].counts && !m->all->whole;
}

static int on_row(void *ctx, const char *row)
{
	struct merge *m = ctx;

	if (row) {
		if (m->passes > 1 && (fl_group_row_hash(row) >> 48 & (m->passes - 1)) != m->pass)
			return 0;
		m->pending[m->n_pending++] = row;
		if (m->n_pending < FL_GROUP_AHEAD)
			return 0;
	}
	return has_values(m) ? to_values(m) : to_groups(m);
}

/* Rows of one of the workers' tables: of memory, then of files. */
static int merge_table(struct merge *m, unsigned part)
{
	struct fl_groups *g = m->all->g;
	int r = 0;

	if (has_values(m)) {
		fl_group_table_free(&m->in);
		r = fl_group_table_init(&m->in, &g->in[m->part_in]);
	}
	for (unsigned i = 0; i < g->conf.threads && !r; i++) {
		struct fl_group_part *p = &g->worker[i]->part[m->part_in];

		for (uint32_t k = p->begin[part]; k < p->begin[part + 1] && !r; k++) {
			if (k + ROWS_AHEAD < p->begin[part + 1])
				__builtin_prefetch(fl_group_row(&p->table, p->by_part[k + ROWS_AHEAD]));
			r = on_row(m, fl_group_row(&p->table, p->by_part[k]));
		}
		r = r ? r : on_row(m, NULL);
		r = r ? r : fl_group_spilled_rows(g->worker[i], m->part_in, part, on_row, m);
	}
	for (uint32_t k = 0; has_values(m) && k < m->in.rows && !r; k++) {
		m->pending[m->n_pending++] = fl_group_row(&m->in, k);
		if (m->n_pending == FL_GROUP_AHEAD || k + 1 == m->in.rows)
			r = to_groups(m);
	}
	return r;
}

/* In how many passes the rows of a part fit, if all are different. */
static unsigned passes_of(const struct merger *all, unsigned part)
{
	const struct fl_groups *g = all->g;
	uint64_t bytes = 0, most = g->conf.memory / 2 / g->conf.threads;
	unsigned passes = 1;

	for (unsigned i = 0; i < g->conf.threads; i++)
		for (size_t t = 0; t < g->n_parts; t++) {
			const struct fl_group_part *p = &g->worker[i]->part[t];
			uint64_t rows = p->begin[part + 1] - p->begin[part];

			for (size_t k = 0; k < p->n_runs; k++)
				rows += p->run[k].rows[part];
			bytes += rows * (g->in[t].row_bytes + g->out.row_bytes + 32);
		}
	while (bytes / passes > most && passes < PASSES)
		passes *= 2;
	return passes;
}

static int merge_part(struct merge *m, unsigned part)
{
	struct fl_groups *g = m->all->g;
	int r = 0;

	m->passes = passes_of(m->all, part);
	for (m->pass = 0; m->pass < m->passes && !r; m->pass++) {
		fl_group_table_reset(&m->out);
		for (m->part_in = 0; m->part_in < g->n_parts && !r; m->part_in++)
			r = merge_table(m, part);
		if (!r && m->all->sets)
			count_sets(g, &g->out, &m->out);
		fl_set_store_free(&m->sets);
		for (uint32_t i = 0; i < m->out.rows && !r; i++)
			r = emit(m, fl_group_row(&m->out, i));
	}
	return r;
}

static void *merge_thread(void *ctx)
{
	struct merge *m = ctx;
	int r = fl_group_table_init(&m->out, &m->all->g->out);

	while (!r && !atomic_load(&m->all->failed)) {
		unsigned part = atomic_fetch_add(&m->all->next, 1);

		if (part >= m->all->parts)
			break;
		r = merge_part(m, part);
	}
	if (r) {
		int none = 0;

		if (atomic_compare_exchange_strong(&m->all->failed, &none, r))
			snprintf(m->all->failure, sizeof m->all->failure, "%s", fl_error_text(r));
	}
	fl_set_store_free(&m->sets);
	fl_group_table_free(&m->in);
	fl_group_table_free(&m->out);
	return NULL;
}

/* ---- all of it ---- */

static int compare_rows(const void *a, const void *b, void *g)
{
	return fl_group_compare(g, a, b);
}

static int collect(struct merger *all, struct merge *m, unsigned threads)
{
	struct fl_groups *g = all->g;
	size_t n = 0;

	for (unsigned i = 0; i < threads; i++) {
		n += m[i].kept.n;
		g->count += m[i].count;
		for (size_t k = 0; k < g->out.n_measures; k++)
			g->total[k] = fl_group_add_u64(g->total[k], m[i].total[k]);
	}
	g->rows = malloc(n ? n * g->out.row_bytes : 1);
	if (!g->rows)
		return -ENOMEM;
	for (unsigned i = 0; i < threads; i++) {
		if (m[i].kept.n)
			memcpy(g->rows + g->n_rows * g->out.row_bytes, m[i].kept.rows, m[i].kept.n * g->out.row_bytes);
		g->n_rows += m[i].kept.n;
	}
	if (g->conf.order != FL_GROUP_UNORDERED)
		qsort_r(g->rows, g->n_rows, g->out.row_bytes, compare_rows, g);
	if (g->conf.limit && g->n_rows > g->conf.limit)
		g->n_rows = g->conf.limit;
	return 0;
}

/* One worker, nothing written, nothing to count: its rows are the answer's. */
static int take_rows(struct merge *m)
{
	struct fl_groups *g = m->all->g;
	const struct fl_group_table *t = &g->worker[0]->part[0].table;
	int r = 0;

	count_sets(g, &g->out, t); /* its measures are the answer's, in their order */
	fl_set_store_free(&g->worker[0]->sets);
	for (uint32_t i = 0; i < t->rows && !r; i++)
		r = emit(m, fl_group_row(t, i));
	return r;
}

static int run_threads(struct merger *all, struct merge *m, unsigned threads)
{
	for (unsigned i = 1; i < threads; i++)
		m[i].started = !pthread_create(&m[i].thread, NULL, merge_thread, &m[i]);
	merge_thread(&m[0]);
	for (unsigned i = 1; i < threads; i++)
		if (m[i].started)
			pthread_join(m[i].thread, NULL);
	return atomic_load(&all->failed) ? fl_fail(atomic_load(&all->failed), "%s", all->failure) : 0;
}

static int sort_workers(struct fl_groups *g, unsigned parts)
{
	int r = 0;

	for (unsigned i = 0; i < g->conf.threads; i++)
		for (size_t t = 0; t < g->n_parts && !r; t++)
			r = fl_group_sort_parts(&g->worker[i]->part[t], parts);
	return r;
}

/* Tables of values that are not in sets: had any of them rows, all must have. */
static int settle_sets(struct fl_groups *g, bool *ret_sets, bool *ret_plain)
{
	bool values = false;
	int r = 0;

	*ret_plain = !g->in[0].counts;
	for (size_t t = 1; t < g->n_parts; t++)
		*ret_plain = *ret_plain && g->in[t].as_sets;
	for (unsigned i = 0; i < g->conf.threads; i++)
		for (size_t t = 0; t < g->n_parts; t++)
			values |=
			    g->in[t].as_sets && (g->worker[i]->part[t].table.rows || g->worker[i]->part[t].n_runs);
	for (unsigned i = 0; i < g->conf.threads && values && !r; i++)
		r = fl_group_expand(g->worker[i]);
	*ret_sets = !values;
	*ret_plain = *ret_plain && !values;
	return r;
}

int fl_groups_finish(struct fl_groups *g)
{
	bool plain;
	struct merger all = {.g = g, .parts = 1};
	struct merge *m FL_CLEANUP(fl_freep) = NULL;
	uint64_t rows = 0, spilled;
	unsigned threads = 1;
	int r = settle_sets(g, &all.sets, &plain);

	if (r)
		return r;
	spilled = fl_groups_spilled(g);
	for (unsigned i = 0; i < g->conf.threads; i++)
		for (size_t t = 0; t < g->n_parts; t++)
			rows += g->worker[i]->part[t].table.rows;
	all.whole = g->conf.threads == 1 && !spilled;
	if (!all.whole && (rows > SMALL || spilled)) {
		all.parts = FL_GROUP_PARTS;
		threads = g->conf.threads < 2 ? 1 : FL_MIN(g->conf.threads, FL_GROUP_PARTS);
	}
	m = calloc(threads, sizeof *m);
	if (!m)
		return -ENOMEM;
	for (unsigned i = 0; i < threads; i++)
		m[i] = (struct merge){.all = &all, .number = i};
	if (all.whole && plain) {
		r = take_rows(&m[0]);
		threads = 1;
	} else {
		r = sort_workers(g, all.parts);
		r = r ? r : run_threads(&all, m, threads);
	}
	r = r ? r : collect(&all, m, threads);
	for (unsigned i = 0; i < threads; i++)
		free(m[i].kept.rows);
	return r;
}
