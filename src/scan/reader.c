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
#include "base/grid.h"
#include "scan/remote.h"
#include "scan/set.h"

#define THREADS_MAX 256u
#define FAULT_MAX 8192u
#define RANGE_BYTES (8u << 20) /* of a plain file, for one thread at a time */

/* ---- faults ---- */

void fl_scan_add_fault(struct fl_scan *s, const char *text)
{
	/* Names of files and values are from outside. */
	struct fl_buf clean FL_CLEANUP(fl_buf_free) = FL_BUF(FAULT_MAX);

	pthread_mutex_lock(&s->faults.lock);
	if (s->faults.n < FL_SCAN_FAULTS) {
		fl_grid_clean(&clean, text, FL_MIN(strlen(text), (size_t)FAULT_MAX - 1));
		s->faults.text[s->faults.n] = strdup(fl_buf_cstr(&clean));
	}
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

			/* Standard input may be slow to come. */
			if (!f->named || f->where != FL_WHERE_FILE)
				continue;
			r = fl_opened_new(&o, s, &(struct fl_ticket){s->places.place[i], f, -1, NULL}, &st);
			fl_opened_release(&o);
			if (r)
				return r;
		}
	return 0;
}

/* How many files there are, and what names tell of the records in them: not before, and up to there at least. */
static void note_listed(struct fl_scan *s)
{
	struct fl_scan_report *r = &s->listed;

	for (size_t i = 0; i < s->places.n; i++)
		for (size_t k = 0; k < s->places.place[i]->n; k++) {
			const struct fl_scan_file *f = &s->places.place[i]->file[k];

			r->files += f->where != FL_WHERE_JOURNAL;
			if (f->first == INT64_MIN)
				continue;
			r->held_last = FL_MAX(r->held_last, f->first);
			r->held_first = r->held_first ? FL_MIN(r->held_first, f->first) : f->first;
		}
}

int fl_scan_open(struct fl_scan **ret, const struct fl_scan_conf *conf, const struct fl_filter *filter)
{
	struct fl_scan *s FL_CLEANUP(fl_scan_close) = calloc(1, sizeof *s);
	int r;

	if (!s)
		return -ENOMEM;
	pthread_mutex_init(&s->faults.lock, NULL);
	pthread_mutex_init(&s->pipes.lock, NULL);
	pthread_mutex_init(&s->pass.lock, NULL);
	pthread_cond_init(&s->pass.more, NULL);
	s->conf = *conf;
	s->filter = filter;
	s->threads = FL_MIN(conf->threads ? conf->threads : usable_cpus(), THREADS_MAX);
	r = fl_scan_list(s);
	r = r ? r : look_at_named(s);
	note_listed(s);
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
	fl_progress_end(s);
	fl_prefetch_stop(&s->pass.prefetch);
	fl_s3_free(&s->s3);
	fl_places_free(&s->places);
	for (size_t i = 0; i < s->n_stores; i++)
		fl_store_close(&s->store[i]);
	free(s->store);
	free(s->store_seen);
	for (size_t i = 0; i < FL_SCAN_FAULTS; i++)
		free(s->faults.text[i]);
	for (size_t i = 0; i < s->n_columns; i++)
		free(s->column_name[i]);
	free(s->column_name);
	free(s->column);
	while (s->pass.unit) {
		struct fl_unit *u = s->pass.unit;

		s->pass.unit = u->next;
		fl_unit_free(&u);
	}
	for (size_t i = 0; i < s->pipes.n; i++)
		fl_opened_release(&s->pipes.opened[i]);
	free(s->pass.seen);
	fl_filter_bound_free(&s->pass.bound);
	pthread_mutex_destroy(&s->faults.lock);
	pthread_mutex_destroy(&s->pipes.lock);
	pthread_mutex_destroy(&s->pass.lock);
	pthread_cond_destroy(&s->pass.more);
	free(s);
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
	int r;

	if (s->selected)
		return fl_fail(-EBUSY, "sources are read once");
	if (n > FL_BATCH_COLUMNS)
		return fl_fail(-E2BIG, "%zu columns are asked for, and %u are possible", n, FL_BATCH_COLUMNS);
	s->selected = true;
	memcpy(p->column, columns, n * sizeof *columns);
	p->n_columns = n;
	p->report = s->listed;
	p->report.files = 0; /* those that are read */
	fl_progress_begin(s);
	r = filter ? prepare_filter(p, filter) : 0;
	return r || !s->s3 ? r : fl_prefetch_start(s);
}

unsigned fl_scan_threads(const struct fl_scan *s)
{
	return s->threads;
}

/* ---- handing out ---- */

bool fl_pass_is_outside(const struct fl_pass *p, const struct fl_scan_file *f)
{
	return p->filter && (f->first != INT64_MIN || f->last != INT64_MAX) &&
	       (f->last < p->since || f->first > p->until || !fl_filter_may_pass_time(p->filter, f->first, f->last));
}

bool fl_pass_prunes(const struct fl_scan *s, struct fl_pass *p, const struct fl_scan_file *f)
{
	bool prunes = fl_pass_is_outside(p, f);

	if (!prunes && fl_told_by_name(s, f, &p->report))
		return true;

	p->report.files_pruned += prunes;
	if (prunes)
		p->report.bytes_pruned += f->size;
	return prunes;
}

const struct fl_filter *fl_pass_parquet_filter(const struct fl_pass *p)
{
	for (size_t i = 0; i < p->n_columns; i++)
		if (p->of_filter[i] && p->column[i].own != FL_OWN_NONE)
			return NULL;
	return p->filter;
}

static bool next_file(struct fl_scan *s, struct fl_ticket *ret)
{
	struct fl_pass *p = &s->pass;

	for (; p->place < s->places.n; p->place++, p->file = 0)
		while (!s->places.place[p->place]->bucket && p->file < s->places.place[p->place]->n) {
			*ret = (struct fl_ticket){s->places.place[p->place], NULL, -1, NULL};
			ret->file = &ret->place->file[p->file++];
			if (!fl_pass_prunes(s, p, ret->file))
				return true;
		}
	return false;
}

/* With the lock held. 1: a file in *ret, or a unit in *ret_unit; 0: nothing is left; -EAGAIN: somebody else may yet
 * find something; else what one object has wrong. */
static int take_now(struct fl_scan *s, struct fl_ticket *ret, struct fl_unit **ret_unit)
{
	struct fl_pass *p = &s->pass;
	int r = 0;

	if (p->result)
		return p->result;
	if (p->unit) {
		*ret_unit = p->unit;
		p->unit = p->unit->next;
		return 1;
	}
	if (next_file(s, ret))
		r = 1;
	else if (p->prefetch)
		r = fl_prefetch_take(p->prefetch, ret, ret_unit);
	if (r == 1 && !*ret_unit)
		p->openers++;
	return !r && p->openers ? -EAGAIN : r;
}

static int take(struct fl_scan *s, struct fl_ticket *ret, struct fl_unit **ret_unit)
{
	int r;

	*ret_unit = NULL;
	pthread_mutex_lock(&s->pass.lock);
	while ((r = take_now(s, ret, ret_unit)) == -EAGAIN)
		pthread_cond_wait(&s->pass.more, &s->pass.lock);
	pthread_mutex_unlock(&s->pass.lock);
	return r;
}

/* With the lock held: a further unit of the file, to be handed out. */
static int add_unit(struct fl_pass *p, struct fl_unit unit)
{
	struct fl_unit *x = malloc(sizeof *x);

	if (!x)
		return -ENOMEM;
	*x = unit;
	x->next = p->unit;
	p->unit = x;
	atomic_fetch_add(&x->opened->users, 1);
	return 0;
}

/* The ranges of a plain file that is worth sharing; the first one is the caller's. */
static int split_text(struct fl_pass *p, struct fl_unit *u)
{
	const struct fl_opened *o = u->opened;
	uint64_t at;
	int r = 0;

	u->from = 0;
	u->to = o->size;
	/* A line of CSV may be the middle of a record. */
	if (o->packing || !o->regular || o->kind == FL_KIND_CSV || o->size < 2 * RANGE_BYTES)
		return 0;
	u->to = RANGE_BYTES;
	for (uint64_t end = o->size; !r && end > RANGE_BYTES; end = at) {
		at = (end - 1) / RANGE_BYTES * RANGE_BYTES;
		r = add_unit(p, (struct fl_unit){.opened = u->opened, .from = at, .to = end});
	}
	return r;
}

static bool prune_group(struct fl_scan_reader *r, const struct fl_parquet_file *f, size_t group,
			const struct fl_filter *filter, bool far)
{
	if (!filter)
		return false;
	if (!fl_parquet_group_is_in_range(f, group, filter))
		r->report.row_groups_pruned++;
	/* Of an object, Bloom filters are asked when they have been fetched. */
	else if (!far && !fl_parquet_group_may_pass(f, group, filter, NULL))
		r->report.row_groups_bloom++;
	else
		return false;
	r->report.bytes_pruned += fl_parquet_group_bytes(f, group);
	return true;
}

/* Row groups that may hold something. 1: there is none, or they will come when they have been fetched. */
static int split_parquet(struct fl_scan_reader *r, struct fl_unit *u)
{
	struct fl_parquet_file *f = u->opened->parquet;
	const struct fl_filter *filter;
	bool any = false, hangs;
	int result = fl_unjudged_find(r, fl_unit_parquet_lacks, f, &hangs);

	filter = hangs ? r->could : r->pass->filter;
	u->opened->hangs = hangs; /* before others see the unit */
	for (size_t i = fl_parquet_groups(f); !result && i-- > 0;) {
		if (prune_group(r, f, i, filter, u->opened->remote))
			continue;
		if (u->opened->remote) {
			u->group = i;
			pthread_mutex_lock(&r->pass->lock);
			result = fl_prefetch_add(r->pass->prefetch, u);
			pthread_mutex_unlock(&r->pass->lock);
			continue;
		}
		if (any) {
			pthread_mutex_lock(&r->pass->lock);
			result = add_unit(r->pass, *u);
			pthread_mutex_unlock(&r->pass->lock);
		}
		any = true;
		u->group = i;
	}
	return result ? result : !any;
}

static const struct fl_unit_ops *ops_of(const struct fl_unit *u)
{
	static const struct fl_unit_ops *const ops[] = {
	    [FL_KIND_TEXT] = &fl_unit_text,       [FL_KIND_CSV] = &fl_unit_table,       [FL_KIND_JSON] = &fl_unit_table,
	    [FL_KIND_PARQUET] = &fl_unit_parquet, [FL_KIND_CAPTURE] = &fl_unit_capture,
	};

	return u->opened ? ops[u->opened->kind] : &fl_unit_journal;
}

void fl_unit_free(struct fl_unit **u)
{
	if (*u) {
		fl_pieces_free(&(*u)->pieces);
		fl_opened_release(&(*u)->opened);
	}
	free(*u);
	*u = NULL;
}

static bool is_final(int r)
{
	return r == -EINTR || r == -ENOMEM;
}

/* What has happened to a file or unit, unless it is over for all. */
static int tell_fault(struct fl_scan_reader *r, int result)
{
	if (!result || is_final(result))
		return result;
	fl_scan_add_fault(r->s, fl_error_text(result));
	/* Of a file that several read in parts each may find it. */
	r->report.damaged_files += !r->unit || !r->unit->opened || !atomic_exchange(&r->unit->opened->damaged, true);
	return 0;
}

/* Something else among the files of a directory: told, and no damage. */
static int leave_out(struct fl_scan_reader *r)
{
	fl_scan_add_fault(r->s, fl_error_text(-EINVAL));
	r->report.unknown_files++;
	return 0;
}

static void tell_note(struct fl_scan_reader *r, const struct fl_opened *o)
{
	const char *note = o->parquet ? fl_parquet_note(o->parquet) : NULL;
	char text[1200];

	if (!note)
		return;
	snprintf(text, sizeof text, "%s: columns that are not read: %s", o->path, note);
	fl_scan_add_fault(r->s, text);
}

/* Not read before under another name. */
static int first_time(struct fl_pass *p, const struct stat *id)
{
	int r;

	pthread_mutex_lock(&p->lock);
	r = fl_ids_add(&p->seen, &p->n_seen, &p->cap_seen, id);
	pthread_mutex_unlock(&p->lock);
	return r;
}

/* 0: u is to be read; 1: nothing of it. */
static int split(struct fl_scan_reader *r, struct fl_unit *u)
{
	int result;

	if (u->opened->kind == FL_KIND_EMPTY)
		return 1;
	if (u->opened->parquet)
		return split_parquet(r, u);
	pthread_mutex_lock(&r->pass->lock);
	result = fl_kind_has_lines(u->opened->kind) ? split_text(r->pass, u) : 0;
	pthread_mutex_unlock(&r->pass->lock);
	return result;
}

/* From a file to units. *ret NULL: there is nothing in it, or it is left out, and the report says why. */
static int look_at(struct fl_scan_reader *r, const struct fl_ticket *t, struct fl_unit **ret)
{
	struct fl_unit *u FL_CLEANUP(fl_unit_free) = calloc(1, sizeof *u);
	struct stat id = {0};
	int result = 0;

	if (!u)
		return -ENOMEM;
	if (t->file->where == FL_WHERE_JOURNAL) {
		if (r->s->conf.untold)
			return tell_fault(r, fl_journal_times(r, t->file->store));
		u->store = t->file->store;
	} else {
		result = fl_opened_new(&u->opened, r->s, t, &id);
		if (result == -EINVAL && !t->file->named)
			return leave_out(r);
		if (result)
			return tell_fault(r, result);
		result = first_time(r->pass, &id);
		if (result <= 0)
			return result;
		r->report.files++;
		fl_progress_file(r->s);
		if (u->opened->remote)
			fl_progress_expect(r->s, -(int64_t)t->file->size);
		tell_note(r, u->opened);
		if (u->opened->parquet && fl_told_by_footer(r, u->opened->parquet))
			return 0;
		result = split(r, u);
		if (result)
			return FL_MIN(result, 0);
	}
	*ret = u;
	u = NULL;
	return 0;
}

static int open_ticket(struct fl_scan_reader *r, const struct fl_ticket *t)
{
	int result = look_at(r, t, &r->unit);

	pthread_mutex_lock(&r->pass->lock);
	r->pass->openers--;
	if (result)
		r->pass->result = result;
	pthread_cond_broadcast(&r->pass->more);
	pthread_mutex_unlock(&r->pass->lock);
	return result;
}

/* 1: a unit is open, or another one is to be tried; 0: nothing is left. */
static int open_unit(struct fl_scan_reader *r)
{
	struct fl_ticket t = {.fd = -1};
	int result = take(r->s, &t, &r->unit);

	if (result < 0) {
		result = tell_fault(r, result);
		return result ? result : 1;
	}
	if (!result || (!r->unit && !t.file))
		return 0;
	if (!r->unit) {
		result = open_ticket(r, &t);
		if (result || !r->unit)
			return result ? result : 1;
	}
	r->path = r->unit->opened ? r->unit->opened->path : fl_store_dir(r->s->store[r->unit->store]);
	r->ops = ops_of(r->unit);
	result = r->ops->open(r, r->unit, &r->state);
	if (!result)
		return 1;
	r->ops = NULL;
	result = tell_fault(r, result);
	fl_unit_free(&r->unit);
	return result ? result : 1;
}

static void add_reports(struct fl_scan_report *sum, const struct fl_scan_report *x)
{
	sum->files += x->files;
	sum->files_pruned += x->files_pruned;
	sum->directories_pruned += x->directories_pruned;
	sum->bytes += x->bytes;
	sum->bytes_pruned += x->bytes_pruned;
	sum->row_groups_pruned += x->row_groups_pruned;
	sum->row_groups_bloom += x->row_groups_bloom;
	sum->rows_pruned += x->rows_pruned;
	sum->records += x->records;
	sum->malformed += x->malformed;
	sum->bad_values += x->bad_values;
	sum->damaged_files += x->damaged_files;
	sum->unknown_files += x->unknown_files;
	if (x->told_first)
		fl_told_note(sum, x->told_first, x->told_last);
	sum->told_exactly += x->told_exactly;
	sum->unjudged += x->unjudged;
	sum->unjudged_files += x->unjudged_files;
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
	fl_unjudged_unit_ends(r);
	fl_unit_free(&r->unit);
	hand_in(r);
}

/* ---- rows ---- */

int fl_scan_next(struct fl_scan_reader *r, const struct fl_batch **ret)
{
	for (;;) {
		int result;

		if (fl_scan_stopped(r->s))
			return fl_fail(-EINTR, FL_SCAN_STOPPED);
		result = r->ops ? 1 : open_unit(r);
		if (result <= 0) {
			hand_in(r);
			fl_progress_end(r->s);
			return result;
		}
		if (!r->ops)
			continue;
		result = r->ops->next(r, r->state);
		*ret = r->batch;
		if (result == 1)
			return 1;
		result = tell_fault(r, result);
		close_unit(r);
		if (result)
			return result;
	}
}

const char *fl_scan_reader_source(const struct fl_scan_reader *r)
{
	return r->path;
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
	fl_unjudged_free(*r);
	fl_batch_free(&(*r)->batch);
	fl_text_free(&(*r)->text);
	fl_blocks_free(&(*r)->blocks);
	free(*r);
	*r = NULL;
}

static void name_lacked(const struct fl_pass *p, char *to, size_t size)
{
	size_t n = 0;

	for (size_t i = 0; i < p->n_columns && n < size; i++)
		if (p->lacked[i])
			n += (size_t)snprintf(to + n, size - n, "%s%s", n ? ", " : "", fl_column_title(&p->column[i]));
}

void fl_scan_report(struct fl_scan *s, struct fl_scan_report *ret)
{
	pthread_mutex_lock(&s->pass.lock);
	*ret = s->selected ? s->pass.report : s->listed;
	name_lacked(&s->pass, ret->lacking, sizeof ret->lacking);
	pthread_mutex_unlock(&s->pass.lock);
}
