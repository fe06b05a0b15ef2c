/* SPDX-License-Identifier: Apache-2.0 */
/* Sources read by several threads: units are handed out, their rows go through the filter. */
#include "scan/reader.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/error.h"
#include "scan/set.h"

#define THREADS_MAX 256u
#define RANGE_BYTES (8u << 20) /* of a plain file, for one thread at a time */

/* ---- faults ---- */

void fl_scan_add_fault(struct fl_scan *s, const char *text)
{
	pthread_mutex_lock(&s->faults.lock);
	if (s->faults.n < FL_SCAN_FAULTS)
		s->faults.text[s->faults.n] = strdup(text);
	s->faults.n++;
	pthread_mutex_unlock(&s->faults.lock);
}

size_t fl_scan_fault_count(const struct fl_scan *s)
{
	return s->faults.n;
}

const char *fl_scan_fault(const struct fl_scan *s, size_t i)
{
	return i < FL_MIN(s->faults.n, (size_t)FL_SCAN_FAULTS) && s->faults.text[i] ? s->faults.text[i] : "";
}

/* ---- opening ---- */

static unsigned usable_cpus(void)
{
	cpu_set_t set;

	return sched_getaffinity(0, sizeof set, &set) ? 1 : (unsigned)CPU_COUNT(&set);
}

/* What was named itself is looked at before anything is read: a wrong name is told at once. */
static int look_at_named(struct fl_scan *s)
{
	for (size_t i = 0; i < s->places.n; i++)
		for (size_t k = 0; k < s->places.place[i]->n; k++) {
			const struct fl_scan_file *f = &s->places.place[i]->file[k];
			struct fl_opened *o = NULL;
			struct stat st;
			int r;

			if (!f->named || f->where != FL_WHERE_FILE)
				continue;
			r = fl_opened_new(&o, s, s->places.place[i], f, &st);
			fl_opened_release(&o);
			if (r)
				return r;
		}
	return 0;
}

int fl_scan_open(struct fl_scan **ret, const struct fl_scan_conf *conf, const struct fl_filter *filter)
{
	struct fl_scan *s FL_CLEANUP(fl_scan_close) = calloc(1, sizeof *s);
	int r;

	if (!s)
		return -ENOMEM;
	pthread_mutex_init(&s->faults.lock, NULL);
	pthread_mutex_init(&s->pass.lock, NULL);
	pthread_cond_init(&s->pass.more, NULL);
	s->conf = *conf;
	s->filter = filter;
	s->threads = FL_MIN(conf->threads ? conf->threads : usable_cpus(), THREADS_MAX);
	r = fl_scan_list(s);
	r = r ? r : look_at_named(s);
	if (r)
		return r;
	*ret = s;
	s = NULL;
	return 0;
}

void fl_scan_close(struct fl_scan **scan)
{
	struct fl_scan *s = *scan;

	*scan = NULL;
	if (!s)
		return;
	fl_places_free(&s->places);
	for (size_t i = 0; i < s->n_stores; i++)
		fl_store_close(&s->store[i]);
	free(s->store);
	for (size_t i = 0; i < FL_SCAN_FAULTS; i++)
		free(s->faults.text[i]);
	for (size_t i = 0; i < s->n_columns; i++)
		free(s->column_name[i]);
	free(s->column_name);
	free(s->column);
	while (s->pass.unit) {
		struct fl_unit *u = s->pass.unit;

		s->pass.unit = u->next;
		fl_opened_release(&u->opened);
		free(u);
	}
	free(s->pass.seen);
	fl_filter_bound_free(&s->pass.bound);
	pthread_mutex_destroy(&s->faults.lock);
	pthread_mutex_destroy(&s->pass.lock);
	pthread_cond_destroy(&s->pass.more);
	free(s);
}

/* ---- columns ---- */

static int add_column(struct fl_scan *s, const char *name)
{
	char *own;

	for (size_t i = 0; i < s->n_columns; i++)
		if (fl_column_is_named(&s->column[i], name))
			return 0;
	if (s->n_columns == FL_BATCH_COLUMNS)
		return fl_fail(-E2BIG, "the sources have more than %u different columns; ask about fewer at once",
			       FL_BATCH_COLUMNS);
	own = strdup(name);
	if (!own)
		return -ENOMEM;
	for (char *p = own; *p; p++)
		if (*p == '-')
			*p = '_';
	s->column_name[s->n_columns] = own;
	fl_column_find(own, &s->column[s->n_columns++]);
	return 0;
}

static int add_format(struct fl_scan *s, const struct fl_format *f)
{
	int r = 0;

	for (size_t i = 0; !r && i < fl_format_len(f); i++)
		r = add_column(s, fl_format_name(f, i));
	return r;
}

static int add_store_columns(struct fl_scan *s, const struct fl_store *store)
{
	const char *text = fl_store_log(store)->format;
	struct fl_format *f FL_CLEANUP(fl_format_free) = NULL;
	int r = fl_format_parse(&f, fl_format_kind_of(text), text);

	return r ? r : add_format(s, f);
}

static int columns_of(struct fl_scan *s, const struct fl_place *p, const struct fl_scan_file *f)
{
	struct fl_opened *o FL_CLEANUP(fl_opened_release) = NULL;
	struct stat st;

	if (f->where == FL_WHERE_JOURNAL)
		return add_store_columns(s, s->store[f->store]);
	/* What is wrong with it is told when it is read. */
	if (fl_opened_new(&o, s, p, f, &st) || !o->format)
		return 0;
	return add_format(s, o->format);
}

static int find_columns(struct fl_scan *s)
{
	int r = 0;

	s->column = calloc(FL_BATCH_COLUMNS, sizeof *s->column);
	s->column_name = calloc(FL_BATCH_COLUMNS, sizeof *s->column_name);
	if (!s->column || !s->column_name)
		return -ENOMEM;
	for (size_t i = 0; !r && i < s->places.n; i++)
		for (size_t k = 0; !r && k < s->places.place[i]->n; k++)
			r = fl_scan_stopped(s) ? fl_fail(-EINTR, FL_SCAN_STOPPED)
					       : columns_of(s, s->places.place[i], &s->places.place[i]->file[k]);
	r = r ? r : add_column(s, "source");
	if (!r && s->n_stores && s->conf.open_window)
		r = add_column(s, "provisional");
	for (unsigned i = 0; !r && s->n_stores && i < FL_VERDICT_COLUMNS; i++)
		r = add_column(s, fl_verdict_sql_columns[i]);
	return r;
}

int fl_scan_columns(struct fl_scan *s, const struct fl_column_def **ret, size_t *ret_n)
{
	int r = s->column ? 0 : find_columns(s);

	*ret = s->column;
	*ret_n = s->n_columns;
	return r;
}

/* ---- a pass ---- */

/* Its position among the selected columns; behind them when it is not there yet. */
static int position_of(struct fl_pass *p, const char *name, size_t *ret)
{
	for (*ret = 0; *ret < p->n_columns; ++*ret)
		if (fl_column_is_named(&p->column[*ret], name))
			return 0;
	if (p->n_columns == FL_BATCH_COLUMNS)
		return fl_fail(-E2BIG, "more than %u columns are needed", FL_BATCH_COLUMNS);
	fl_column_find(name, &p->column[p->n_columns++]);
	return 0;
}

static int prepare_filter(struct fl_pass *p, const struct fl_filter *filter)
{
	const char *names[FL_BATCH_COLUMNS];
	size_t n = fl_filter_columns(filter, names), at;
	int r = 0;

	for (size_t i = 0; !r && i < n; i++) {
		r = position_of(p, names[i], &at);
		if (!r)
			p->of_filter[at] = true;
	}
	p->filter = filter;
	p->n_literals = fl_filter_literals(filter, p->literal);
	fl_filter_times(filter, &p->since, &p->until);
	return r ? r : fl_filter_bind(&p->bound, filter, p->column, p->n_columns);
}

int fl_scan_select(struct fl_scan *s, const struct fl_column_def *columns, size_t n, const struct fl_filter *filter)
{
	struct fl_pass *p = &s->pass;

	if (s->selected)
		return fl_fail(-EBUSY, "sources are read once");
	if (n > FL_BATCH_COLUMNS)
		return fl_fail(-E2BIG, "%zu columns are asked for, and %u are possible", n, FL_BATCH_COLUMNS);
	s->selected = true;
	memcpy(p->column, columns, n * sizeof *columns);
	p->n_columns = n;
	p->report = s->listed;
	return filter ? prepare_filter(p, filter) : 0;
}

unsigned fl_scan_threads(const struct fl_scan *s)
{
	return s->threads;
}

/* ---- handing out ---- */

struct ticket { /* what a thread got: a unit, or a file that is still to be looked at */
	struct fl_unit *unit;
	const struct fl_place *place;
	const struct fl_scan_file *file;
};

/* The time in a name or place says that nothing in it is asked for. */
static bool is_outside(const struct fl_pass *p, const struct fl_scan_file *f)
{
	return p->filter && (f->first != INT64_MIN || f->last != INT64_MAX) &&
	       (f->last < p->since || f->first > p->until || !fl_filter_may_pass_time(p->filter, f->first, f->last));
}

static bool next_file(struct fl_scan *s, struct ticket *ret)
{
	struct fl_pass *p = &s->pass;

	for (; p->place < s->places.n; p->place++, p->file = 0)
		while (p->file < s->places.place[p->place]->n) {
			ret->place = s->places.place[p->place];
			ret->file = &ret->place->file[p->file++];
			if (!is_outside(p, ret->file))
				return true;
			p->report.files_pruned++;
		}
	return false;
}

/* 1: something; 0: nothing is left. */
static int take(struct fl_scan *s, struct ticket *ret)
{
	struct fl_pass *p = &s->pass;
	int r = 0;

	*ret = (struct ticket){0};
	pthread_mutex_lock(&p->lock);
	for (;;) {
		if (p->result) {
			r = p->result;
			break;
		}
		if (p->unit) {
			ret->unit = p->unit;
			p->unit = p->unit->next;
			r = 1;
			break;
		}
		if (next_file(s, ret)) {
			p->openers++;
			r = 1;
			break;
		}
		if (!p->openers)
			break;
		pthread_cond_wait(&p->more, &p->lock);
	}
	pthread_mutex_unlock(&p->lock);
	return r;
}

/* The ranges of a plain file that is worth sharing; the first one is the caller's. */
static int split(struct fl_pass *p, struct fl_unit *u)
{
	const struct fl_opened *o = u->opened;
	struct fl_unit **end = &p->unit;

	u->from = 0;
	u->to = o->size;
	if (o->kind != FL_KIND_TEXT || o->packing || !o->regular || o->size < 2 * RANGE_BYTES)
		return 0;
	while (*end)
		end = &(*end)->next;
	u->to = RANGE_BYTES;
	for (uint64_t at = RANGE_BYTES; at < o->size; at += RANGE_BYTES) {
		struct fl_unit *x = calloc(1, sizeof *x);

		if (!x)
			return -ENOMEM;
		*x = (struct fl_unit){.opened = u->opened, .from = at, .to = FL_MIN(at + RANGE_BYTES, o->size)};
		atomic_fetch_add(&u->opened->users, 1);
		*end = x;
		end = &x->next;
	}
	return 0;
}

static const struct fl_unit_ops *ops_of(const struct fl_unit *u)
{
	if (!u->opened)
		return &fl_unit_journal;
	return u->opened->kind == FL_KIND_TEXT ? &fl_unit_text : NULL;
}

static void free_unit(struct fl_unit **u)
{
	if (*u)
		fl_opened_release(&(*u)->opened);
	free(*u);
	*u = NULL;
}

/* From a file to units. *ret NULL: there is nothing in it, or it is left out, and the report says why. */
static int look_at(struct fl_scan_reader *r, const struct ticket *t, struct fl_unit **ret)
{
	struct fl_scan *s = r->s;
	struct fl_pass *p = &s->pass;
	struct fl_unit *u FL_CLEANUP(free_unit) = calloc(1, sizeof *u);
	struct stat st = {0};
	int result = 0;

	if (!u)
		return -ENOMEM;
	if (t->file->where == FL_WHERE_JOURNAL) {
		u->store = t->file->store;
	} else {
		result = fl_opened_new(&u->opened, s, t->place, t->file, &st);
		if (result == -ENOMEM)
			return result;
		if (result) {
			fl_scan_add_fault(s, fl_error_text(result));
			r->report.damaged_files++;
			return 0;
		}
		pthread_mutex_lock(&p->lock);
		result = u->opened->regular ? fl_ids_add(&p->seen, &p->n_seen, &p->cap_seen, &st) : 1;
		if (result > 0)
			result = split(p, u);
		else if (!result)
			result = 1;
		pthread_mutex_unlock(&p->lock);
		if (result)
			return result < 0 ? result : 0;
		r->report.files++;
		if (u->opened->kind == FL_KIND_EMPTY)
			return 0;
		if (!ops_of(u)) {
			fl_scan_add_fault(s, u->opened->path);
			return 0;
		}
	}
	*ret = u;
	u = NULL;
	return 0;
}

static int open_unit(struct fl_scan_reader *r)
{
	struct ticket t;
	int result = take(r->s, &t), opened;

	if (result <= 0)
		return result;
	r->unit = t.unit;
	if (!t.unit) {
		opened = look_at(r, &t, &r->unit);
		pthread_mutex_lock(&r->pass->lock);
		r->pass->openers--;
		if (opened)
			r->pass->result = opened;
		pthread_cond_broadcast(&r->pass->more);
		pthread_mutex_unlock(&r->pass->lock);
		if (opened || !r->unit)
			return opened ? opened : 1;
	}
	r->path = r->unit->opened ? r->unit->opened->path : fl_store_dir(r->s->store[r->unit->store]);
	r->ops = ops_of(r->unit);
	result = r->ops->open(r, r->unit, &r->state);
	if (!result)
		return 1;
	fl_scan_add_fault(r->s, fl_error_text(result));
	r->report.damaged_files++;
	r->ops = NULL;
	free_unit(&r->unit);
	return result == -ENOMEM ? result : 1;
}

static void add_reports(struct fl_scan_report *sum, const struct fl_scan_report *x)
{
	sum->files += x->files;
	sum->files_pruned += x->files_pruned;
	sum->directories_pruned += x->directories_pruned;
	sum->bytes += x->bytes;
	sum->bytes_pruned += x->bytes_pruned;
	sum->row_groups_pruned += x->row_groups_pruned;
	sum->records += x->records;
	sum->malformed += x->malformed;
	sum->bad_values += x->bad_values;
	sum->damaged_files += x->damaged_files;
	sum->verdicts_observed |= x->verdicts_observed;
}

/* What this thread has counted so far, into the sum. */
static void hand_in(struct fl_scan_reader *r)
{
	pthread_mutex_lock(&r->pass->lock);
	add_reports(&r->pass->report, &r->report);
	pthread_mutex_unlock(&r->pass->lock);
	r->report = (struct fl_scan_report){0};
}

static void close_unit(struct fl_scan_reader *r)
{
	if (r->ops)
		r->ops->close(r, r->state);
	r->ops = NULL;
	free_unit(&r->unit);
	hand_in(r);
}

/* ---- rows ---- */

/* What has happened to this unit, unless it is over for all. */
static int end_unit(struct fl_scan_reader *r, int result)
{
	if (result && result != -EINTR && result != -ENOMEM) {
		fl_scan_add_fault(r->s, fl_error_text(result));
		r->report.damaged_files++;
		result = 0;
	}
	close_unit(r);
	return result;
}

int fl_scan_next(struct fl_scan_reader *r, const struct fl_batch **ret)
{
	for (;;) {
		int result;

		if (fl_scan_stopped(r->s))
			return fl_fail(-EINTR, FL_SCAN_STOPPED);
		result = r->ops ? 1 : open_unit(r);
		if (result <= 0) {
			hand_in(r);
			return result;
		}
		if (!r->ops)
			continue;
		result = r->ops->next(r, r->state);
		*ret = r->batch;
		if (result == 1)
			return 1;
		result = end_unit(r, result);
		if (result)
			return result;
	}
}

void fl_scan_add_bytes(struct fl_scan_reader *r, uint64_t n)
{
	r->report.bytes += n;
}

int fl_scan_reader_new(struct fl_scan_reader **ret, struct fl_scan *s)
{
	struct fl_scan_reader *r = calloc(1, sizeof *r);
	int result = r ? fl_batch_new(&r->batch, s->pass.column, s->pass.n_columns) : -ENOMEM;

	if (result) {
		free(r);
		return result;
	}
	r->s = s;
	r->pass = &s->pass;
	*ret = r;
	return 0;
}

void fl_scan_reader_free(struct fl_scan_reader **r)
{
	if (!*r)
		return;
	close_unit(*r);
	fl_batch_free(&(*r)->batch);
	fl_text_free(&(*r)->text);
	fl_blocks_free(&(*r)->blocks);
	free(*r);
	*r = NULL;
}

void fl_scan_report(struct fl_scan *s, struct fl_scan_report *ret)
{
	pthread_mutex_lock(&s->pass.lock);
	*ret = s->pass.report;
	pthread_mutex_unlock(&s->pass.lock);
}
