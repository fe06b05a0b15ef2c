/* SPDX-License-Identifier: Apache-2.0 */
/* Which columns sources have: header lines and schemas are looked at by several threads. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/hash.h"
#include "scan/layout.h"
#include "scan/set.h"

#define LOOKERS_MAX 64u
#define FAILED_MAX 256

/* Fields that files have, as a header line would name them. */
struct found {
	size_t order; /* of the first file that has them */
	char *names;
};

struct schema {
	struct fl_scan *s;
	pthread_mutex_t lock;
	size_t place, file, order; /* the next one */
	struct found *found;
	size_t n_found, cap_found;
	/* Flow logs of which a file was looked at: each has one format for ever. Hashes; 0: free. */
	uint64_t *log;
	size_t n_logs, cap_logs;
	uint64_t seed;
	uint64_t failed[FAILED_MAX]; /* flow logs whose file could not be looked at */
	size_t n_failed;
	int result;
};

/* ---- one of a flow log ---- */

static size_t slot_of(const uint64_t *table, size_t cap, uint64_t hash)
{
	size_t at = (size_t)hash & (cap - 1);

	while (table[at] && table[at] != hash)
		at = (at + 1) & (cap - 1);
	return at;
}

/* 0: the name tells of no flow log. */
static uint64_t log_of(const struct schema *x, const struct fl_ticket *t)
{
	const char *name = t->place->names.data + t->file->name, *slash = strrchr(name, '/');
	struct fl_str log;

	if (t->file->where == FL_WHERE_JOURNAL || !fl_layout_of_name(slash ? slash + 1 : name, NULL, &log, NULL))
		return 0;
	return fl_hash_bytes(log.p, log.n, x->seed) | 1;
}

/* Another file of this flow log was taken before. */
static bool is_known(struct schema *x, uint64_t log)
{
	size_t at;

	if (!log)
		return false;
	if (2 * x->n_logs >= x->cap_logs) {
		size_t cap = x->cap_logs ? 2 * x->cap_logs : 64;
		uint64_t *grown = calloc(cap, sizeof *grown);

		if (!grown)
			return false; /* it is looked at once more */
		for (size_t i = 0; i < x->cap_logs; i++)
			if (x->log[i])
				grown[slot_of(grown, cap, x->log[i])] = x->log[i];
		free(x->log);
		x->log = grown;
		x->cap_logs = cap;
	}
	at = slot_of(x->log, x->cap_logs, log);
	if (x->log[at])
		return true;
	x->log[at] = log;
	x->n_logs++;
	return false;
}

/* With the lock held. only: of this flow log; 0: of each flow log one. */
static bool next_file(struct schema *x, uint64_t only, struct fl_ticket *ret)
{
	struct fl_places *p = &x->s->places;

	for (; x->place < p->n; x->place++, x->file = 0)
		while (x->file < p->place[x->place]->n) {
			uint64_t log;

			*ret = (struct fl_ticket){p->place[x->place], &p->place[x->place]->file[x->file++], -1, NULL};
			x->order++;
			log = log_of(x, ret);
			if (only ? log == only : !is_known(x, log))
				return true;
		}
	return false;
}

/* ---- names ---- */

static int add_name(struct fl_buf *b, const char *name)
{
	return fl_buf_printf(b, "%s%s", b->len ? " " : "", name);
}

static int names_of_format(const struct fl_format *f, struct fl_buf *ret)
{
	int r = 0;

	for (size_t i = 0; !r && i < fl_format_len(f); i++)
		r = add_name(ret, fl_format_name(f, i));
	return r;
}

static int names_of_text(const char *text, struct fl_buf *ret)
{
	struct fl_format *f FL_CLEANUP(fl_format_free) = NULL;
	int r = fl_format_parse(&f, fl_format_kind_of(text), text);

	return r ? r : names_of_format(f, ret);
}

static int names_of_schema(const struct fl_parquet_file *f, struct fl_buf *ret)
{
	const struct fl_column_def *d;
	size_t n = fl_parquet_columns(f, &d);
	int r = 0;

	for (size_t i = 0; !r && i < n; i++)
		r = add_name(ret, d[i].name);
	return r;
}

/* 0, or what is wrong with the file: that is told when it is read. */
static int names_of(struct fl_scan *s, const struct fl_ticket *t, struct fl_buf *ret)
{
	struct fl_opened *o FL_CLEANUP(fl_opened_release) = NULL;
	struct stat id;
	int r;

	if (t->file->where == FL_WHERE_JOURNAL)
		return names_of_text(fl_store_log(s->store[t->file->store])->format, ret);
	r = fl_opened_new(&o, s, t, &id);
	if (r)
		return r;
	if (o->parquet)
		return names_of_schema(o->parquet, ret);
	if (o->kind == FL_KIND_CAPTURE)
		return names_of_text(FL_CAPTURE_FORMAT, ret);
	return o->format ? names_of_format(o->format, ret) : 0;
}

/* With the lock held. */
static int keep(struct schema *x, size_t order, struct fl_buf *names)
{
	struct found *more;
	char *copy;

	for (size_t i = 0; i < x->n_found; i++)
		if (!strcmp(x->found[i].names, fl_buf_cstr(names))) {
			x->found[i].order = FL_MIN(x->found[i].order, order);
			return 0;
		}
	if (x->n_found == x->cap_found) {
		size_t cap = FL_MAX(2 * x->cap_found, (size_t)16);

		more = realloc(x->found, cap * sizeof *more);
		if (!more)
			return -ENOMEM;
		x->found = more;
		x->cap_found = cap;
	}
	copy = strdup(fl_buf_cstr(names));
	if (!copy)
		return -ENOMEM;
	x->found[x->n_found++] = (struct found){order, copy};
	return 0;
}

/* With the lock held: a file could not be looked at. What is wrong with it is told when it is read. */
static int note_failure(struct schema *x, const struct fl_ticket *t, int r)
{
	if (r == -EINTR || r == -ENOMEM)
		return r;
	if (log_of(x, t) && x->n_failed < FL_ARRAY_LEN(x->failed))
		x->failed[x->n_failed++] = log_of(x, t);
	return 0;
}

/* With the lock held before and after. */
static int look(struct schema *x, const struct fl_ticket *t, struct fl_buf *names)
{
	size_t order = x->order;
	int r;

	pthread_mutex_unlock(&x->lock);
	fl_buf_reset(names);
	r = fl_scan_stopped(x->s) ? fl_fail(-EINTR, FL_SCAN_STOPPED) : names_of(x->s, t, names);
	pthread_mutex_lock(&x->lock);
	return r || !names->len ? r : keep(x, order, names);
}

static void *look_thread(void *ctx)
{
	struct schema *x = ctx;
	struct fl_buf names FL_CLEANUP(fl_buf_free) = FL_BUF(1u << 20);
	struct fl_ticket t;

	pthread_mutex_lock(&x->lock);
	while (!x->result && next_file(x, 0, &t)) {
		int r = look(x, &t, &names);

		r = r ? note_failure(x, &t, r) : 0;
		if (r)
			x->result = r;
	}
	pthread_mutex_unlock(&x->lock);
	return NULL;
}

/* Other files of flow logs whose first one could not be read. */
static void look_again(struct schema *x)
{
	struct fl_buf names FL_CLEANUP(fl_buf_free) = FL_BUF(1u << 20);
	struct fl_ticket t;

	pthread_mutex_lock(&x->lock);
	for (size_t i = 0; !x->result && i < x->n_failed; i++) {
		int r = -ENOENT;

		x->place = x->file = x->order = 0;
		while (r && r != -EINTR && r != -ENOMEM && next_file(x, x->failed[i], &t))
			r = look(x, &t, &names);
		x->result = r == -EINTR || r == -ENOMEM ? r : 0;
	}
	pthread_mutex_unlock(&x->lock);
}

/* ---- columns ---- */

static int by_order(const void *a, const void *b)
{
	const struct found *x = a, *y = b;

	return x->order < y->order ? -1 : x->order > y->order;
}

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

static int add_found(struct schema *x)
{
	int r = 0;

	if (x->n_found)
		qsort(x->found, x->n_found, sizeof *x->found, by_order);
	for (size_t i = 0; !r && i < x->n_found; i++) {
		char *save = NULL;

		for (char *p = strtok_r(x->found[i].names, " ", &save); !r && p; p = strtok_r(NULL, " ", &save))
			r = add_column(x->s, p);
	}
	return r;
}

static int find_columns(struct fl_scan *s)
{
	struct schema x = {.s = s, .seed = fl_random_seed()};
	pthread_t id[LOOKERS_MAX];
	unsigned n = 0, wanted = FL_MIN(s->threads, LOOKERS_MAX);
	int r;

	s->column = calloc(FL_BATCH_COLUMNS, sizeof *s->column);
	s->column_name = calloc(FL_BATCH_COLUMNS, sizeof *s->column_name);
	if (!s->column || !s->column_name)
		return -ENOMEM;
	pthread_mutex_init(&x.lock, NULL);
	/* This thread is one of them. */
	while (n + 1 < wanted && !pthread_create(&id[n], NULL, look_thread, &x))
		n++;
	look_thread(&x);
	while (n)
		pthread_join(id[--n], NULL);
	look_again(&x);
	r = x.result ? x.result : add_found(&x);
	for (size_t i = 0; i < x.n_found; i++)
		free(x.found[i].names);
	free(x.found);
	free(x.log);
	pthread_mutex_destroy(&x.lock);
	if (r)
		return r == -EINTR ? fl_fail(r, FL_SCAN_STOPPED) : r;
	r = add_column(s, "source");
	if (!r && s->n_stores && s->conf.open_window)
		r = add_column(s, "provisional");
	for (unsigned i = 0; !r && s->n_stores && i < FL_VERDICT_COLUMNS; i++)
		r = add_column(s, fl_verdict_sql_column(i));
	return r;
}

int fl_scan_columns(struct fl_scan *s, const struct fl_column_def **ret, size_t *ret_n)
{
	int r = s->column ? 0 : find_columns(s);

	*ret = s->column;
	*ret_n = s->n_columns;
	return r;
}
