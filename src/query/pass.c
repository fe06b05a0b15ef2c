/* SPDX-License-Identifier: Apache-2.0 */
/* One pass over the sources: a reader, derived columns and a worker of every grouping for each thread. */
#include "query/pass.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"

/* ---- stages ---- */

#define FEED_ROWS 256u

struct fl_stage_feed {
	uint32_t n;
	struct {
		struct fl_addr addr[FEED_ROWS];
		uint64_t u64[FEED_ROWS];
		uint64_t null[FEED_ROWS / 64], v6[FEED_ROWS / 64];
	} key[FL_GROUP_KEYS];
	uint64_t measure[FL_GROUP_MEASURES][FEED_ROWS];
};

static const struct fl_group_conf *conf_of(const struct fl_groups *g)
{
	return fl_groups_conf(g);
}

static int flush(struct fl_stage *s, unsigned thread)
{
	struct fl_stage_feed *f = s->feed[thread];
	const struct fl_group_conf *c = conf_of(s->next->groups);
	struct fl_group_vector key[FL_GROUP_KEYS], measure[FL_GROUP_MEASURES];
	int r;

	for (size_t k = 0; k < c->n_keys; k++)
		key[k] = (struct fl_group_vector){c->key[k] == FL_GROUP_ADDR ? (const void *)f->key[k].addr
									     : (const void *)f->key[k].u64,
						  f->key[k].null, f->key[k].v6, NULL};
	for (size_t m = 0; m < c->n_measures; m++)
		measure[m] = (struct fl_group_vector){.value = f->measure[m]};
	r = fl_group_add(fl_groups_worker(s->next->groups, thread), f->n, key, measure);
	f->n = 0;
	for (size_t k = 0; k < c->n_keys; k++) {
		memset(f->key[k].null, 0, sizeof f->key[k].null);
		memset(f->key[k].v6, 0, sizeof f->key[k].v6);
	}
	return r;
}

static int hand_over(void *ctx, unsigned thread, const struct fl_groups *g, const char *row)
{
	struct fl_stage *s = ctx;
	struct fl_stage_feed *f = s->feed[thread];
	const struct fl_group_conf *c = conf_of(s->next->groups);
	struct fl_group_value key[FL_GROUP_KEYS];
	uint64_t measure[FL_GROUP_MEASURES];

	if (s->map(g, row, key, measure) != 1)
		return 0;
	for (size_t k = 0; k < c->n_keys; k++) {
		if (c->key[k] == FL_GROUP_ADDR)
			f->key[k].addr[f->n] = key[k].addr;
		else
			f->key[k].u64[f->n] = key[k].u64;
		f->key[k].null[f->n / 64] |= (uint64_t)key[k].null << (f->n % 64);
		f->key[k].v6[f->n / 64] |= (uint64_t)key[k].v6 << (f->n % 64);
	}
	for (size_t m = 0; m < c->n_measures; m++)
		f->measure[m][f->n] = measure[m];
	return ++f->n == FEED_ROWS ? flush(s, thread) : 0;
}

int fl_stage_make(struct fl_stage *s, struct fl_group_conf *conf)
{
	if (s->next) {
		conf->emit = hand_over;
		conf->ctx = s;
		for (unsigned i = 0; i < conf->threads; i++) {
			s->feed[i] = calloc(1, sizeof *s->feed[i]);
			if (!s->feed[i])
				return -ENOMEM;
		}
	}
	return fl_groups_new(&s->groups, conf);
}

void fl_stage_free(struct fl_stage *s)
{
	for (unsigned i = 0; i < FL_GROUP_THREADS; i++)
		free(s->feed[i]);
	memset(s->feed, 0, sizeof s->feed);
	fl_groups_free(&s->groups);
}

int fl_stage_finish(struct fl_stage *s)
{
	int r = fl_groups_finish(s->groups);

	if (!s->next)
		return r;
	for (unsigned i = 0; i < FL_GROUP_THREADS && !r; i++)
		if (s->feed[i] && s->feed[i]->n)
			r = flush(s, i);
	return r ? r : fl_stage_finish(s->next);
}

/* ---- batches, by threads ---- */

struct readers {
	struct fl_scan *scan;
	fl_batch_fn fn;
	void *ctx;
	_Atomic(int) failed;
	char failure[1024];
};

struct worker {
	struct readers *all;
	unsigned number;
	pthread_t thread;
	bool started;
};

static int read_all(const struct worker *w)
{
	struct fl_scan_reader *reader FL_CLEANUP(fl_scan_reader_free) = NULL;
	const struct fl_batch *b;
	int r = fl_scan_reader_new(&reader, w->all->scan);

	while (!r && !atomic_load_explicit(&w->all->failed, memory_order_relaxed)) {
		r = fl_scan_next(reader, &b);
		if (r <= 0)
			return r;
		r = w->all->fn(w->all->ctx, w->number, reader, b);
	}
	return r;
}

static void *work(void *ctx)
{
	struct worker *w = ctx;
	int r = read_all(w), none = 0;

	if (r && atomic_compare_exchange_strong(&w->all->failed, &none, r))
		snprintf(w->all->failure, sizeof w->all->failure, "%s", fl_error_text(r));
	return NULL;
}

int fl_pass_batches(struct fl_scan *scan, unsigned threads, fl_batch_fn fn, void *ctx)
{
	struct readers all = {.scan = scan, .fn = fn, .ctx = ctx};
	struct worker *w FL_CLEANUP(fl_freep) = calloc(threads, sizeof *w);

	if (!w)
		return -ENOMEM;
	for (unsigned i = 0; i < threads; i++)
		w[i] = (struct worker){.all = &all, .number = i};
	for (unsigned i = 1; i < threads; i++)
		w[i].started = !pthread_create(&w[i].thread, NULL, work, &w[i]);
	work(&w[0]);
	for (unsigned i = 1; i < threads; i++)
		if (w[i].started)
			pthread_join(w[i].thread, NULL);
	return atomic_load(&all.failed) ? fl_fail(atomic_load(&all.failed), "%s", all.failure) : 0;
}

/* ---- the pass ---- */

struct pass {
	const struct fl_pass_conf *conf;
	struct fl_scan *scan;
	struct fl_derive_conf derive;
	struct {
		struct fl_derive *derive;
		bool saw[FL_NEEDS];
		struct fl_odd_times odd;
	} of[FL_GROUP_THREADS];
};

static void free_pass(struct pass **p)
{
	for (unsigned i = 0; *p && i < FL_GROUP_THREADS; i++)
		fl_derive_free(&(*p)->of[i].derive);
	free(*p);
	*p = NULL;
}

void fl_passed_free(struct fl_passed *p)
{
	for (size_t i = 0; i < FL_SCAN_FAULTS; i++)
		free(p->fault[i]);
	*p = (struct fl_passed){0};
}

int fl_pass_open(struct fl_scan **ret, const struct fl_pass_conf *conf, unsigned *ret_threads)
{
	int r = fl_scan_open(ret, &conf->scan, conf->filter);

	*ret_threads = r ? 0 : FL_MIN(fl_scan_threads(*ret), (unsigned)FL_GROUP_THREADS);
	return r;
}

static void look(const struct pass *p, bool saw[FL_NEEDS], const struct fl_batch *b)
{
	for (size_t i = 0; i < FL_NEEDS; i++) {
		int at = p->derive.position[i];
		const struct fl_column *c;

		if (at < 0 || saw[i])
			continue;
		c = &b->column[at];
		for (uint32_t row = 0; row < b->n && !saw[i]; row += 64) {
			uint64_t rows = b->n - row < 64 ? (UINT64_C(1) << (b->n - row)) - 1 : UINT64_MAX;

			saw[i] = !c->any_null || (~c->null[row / 64] & rows);
		}
	}
}

static int feed_job(const struct fl_pass_job *j, unsigned thread, struct fl_derive *d, const struct fl_batch *b)
{
	struct fl_group_vector key[FL_GROUP_KEYS], measure[FL_GROUP_MEASURES];

	for (size_t k = 0; k < j->n_keys; k++)
		fl_derive_key(d, (enum fl_key_name)j->key[k], &key[k]);
	for (size_t m = 0; m < j->n_metrics; m++)
		fl_derive_metric(d, (enum fl_metric)j->metric[m], &measure[m]);
	return fl_group_add(fl_groups_worker(j->stage->groups, thread), b->n, key, measure);
}

static void note_odd(struct fl_odd_times *odd, const struct fl_derive *d, const struct fl_scan_reader *reader)
{
	const char *column;
	uint64_t time, n = fl_derive_odd_times(d, &column, &time);

	if (n > odd->n && !odd->n)
		snprintf(odd->example, sizeof odd->example, "%s %llu in %s", column, (unsigned long long)time,
			 fl_scan_reader_source(reader));
	odd->n = n;
}

static int feed(void *ctx, unsigned thread, const struct fl_scan_reader *reader, const struct fl_batch *b)
{
	struct pass *p = ctx;
	struct fl_derive **d = &p->of[thread].derive;
	int r = *d ? 0 : fl_derive_new(d, &p->derive);

	if (r)
		return r;
	look(p, p->of[thread].saw, b);
	fl_derive_begin(*d, b);
	for (size_t i = 0; i < p->conf->n_jobs && !r; i++)
		r = feed_job(&p->conf->job[i], thread, *d, b);
	note_odd(&p->of[thread].odd, *d, reader);
	return r;
}

static int select_columns(struct pass *p)
{
	const struct fl_pass_conf *c = p->conf;
	struct fl_column_def def[FL_NEEDS];
	unsigned needs = 0;
	size_t n = 0;

	for (size_t i = 0; i < c->n_jobs; i++) {
		for (size_t k = 0; k < c->job[i].n_keys; k++)
			needs |= fl_key_def((enum fl_key_name)c->job[i].key[k])->needs;
		for (size_t m = 0; m < c->job[i].n_metrics; m++)
			needs |= fl_metric_def((enum fl_metric)c->job[i].metric[m])->needs;
	}
	for (size_t i = 0; i < FL_NEEDS; i++) {
		p->derive.position[i] = -1;
		if (!(needs >> i & 1))
			continue;
		fl_column_find(fl_need_columns[i], &def[n]);
		p->derive.position[i] = (int)n++;
	}
	return fl_scan_select(p->scan, def, n, c->filter);
}

/* The filter of the ends is bound to the selected columns, which are the first of every batch. */
static int bind_local(struct pass *p, struct fl_filter_bound **ret)
{
	struct fl_column_def def[FL_NEEDS];
	size_t n = 0;

	for (size_t i = 0; i < FL_NEEDS; i++)
		if (p->derive.position[i] >= 0)
			fl_column_find(fl_need_columns[i], &def[n++]);
	return fl_filter_bind(ret, p->conf->local, def, n);
}

int fl_pass_run(struct fl_scan *scan, const struct fl_pass_conf *conf, unsigned threads, struct fl_passed *ret)
{
	struct pass *p FL_CLEANUP(free_pass) = calloc(1, sizeof *p);
	struct fl_filter_bound *local FL_CLEANUP(fl_filter_bound_free) = NULL;
	int r;

	if (!p)
		return -ENOMEM;
	p->conf = conf;
	p->scan = scan;
	p->derive.bucket = conf->bucket;
	r = select_columns(p);
	if (!r && conf->local) {
		r = bind_local(p, &local);
		p->derive.local = local;
	}
	r = r ? r : fl_pass_batches(scan, threads, feed, p);
	if (r)
		return r;
	for (unsigned i = 0; i < threads; i++) {
		const struct fl_odd_times *odd = &p->of[i].odd;

		for (size_t k = 0; k < FL_NEEDS; k++)
			ret->saw[k] |= p->of[i].saw[k];
		if (odd->n && !ret->odd.n)
			memcpy(ret->odd.example, odd->example, sizeof ret->odd.example);
		ret->odd.n += odd->n;
	}
	fl_scan_report(scan, &ret->report);
	ret->faults = fl_scan_fault_count(scan);
	for (size_t i = 0; i < FL_MIN(ret->faults, (size_t)FL_SCAN_FAULTS); i++)
		ret->fault[i] = strdup(fl_scan_fault(scan, i));
	for (size_t i = 0; i < conf->n_jobs && !r; i++)
		r = fl_stage_finish(conf->job[i].stage);
	return r;
}
