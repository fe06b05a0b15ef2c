/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Objects are fetched by threads of their own, some ahead of those who read: network and CPU are busy together. Of big
 * Parquet objects the end is fetched; who reads it hands the row groups back that are asked for, and they come the same
 * way.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "scan/remote.h"
#include "scan/set.h"

#define FETCHERS 16u
#define AHEAD_OBJECTS 64u
#define AHEAD_BYTES (256ull << 20)

struct fetched {
	struct fetched *next;
	struct fl_ticket ticket;
	struct fl_unit *unit; /* or this */
	uint64_t bytes;
	int error;
	char text[512];
};

struct fl_prefetch { /* guarded by the pass's lock */
	struct fl_scan *s;
	pthread_t thread[FETCHERS];
	unsigned started, fetching; /* fetching: threads that are at it */
	pthread_cond_t room;
	size_t place, file;                  /* the next one */
	bool listed;                         /* there is no further object */
	struct fetched *group, **groups_end; /* that are to be fetched */
	struct fetched *first, **end;        /* that are ready */
	size_t ready;
	uint64_t bytes; /* that are ready or on their way */
	bool stop;
};

static bool next_object(struct fl_prefetch *p, struct fl_ticket *ret)
{
	struct fl_scan *s = p->s;

	for (; p->place < s->places.n; p->place++, p->file = 0)
		while (s->places.place[p->place]->bucket && p->file < s->places.place[p->place]->n) {
			*ret = (struct fl_ticket){s->places.place[p->place], NULL, -1, NULL};
			ret->file = &ret->place->file[p->file++];
			if (!fl_pass_prunes(p->s, &s->pass, ret->file))
				return true;
		}
	return false;
}

static int fetch_object(struct fl_scan *s, struct fl_ticket *t)
{
	const char *key = t->place->names.data + t->file->name;
	int r = fl_remote_open(&t->remote, s, t);

	return r == 1 ? fl_s3_fetch(s->s3, t->place->bucket, key, t->file->size, key + strlen(key) + 1, &t->fd) : r;
}

/* 1: there is nothing in it, by its Bloom filters; 2: it is of an object that has failed. */
static int fetch(struct fl_prefetch *p, struct fetched *f)
{
	struct fl_scan *s = p->s;
	int r = f->unit ? fl_pieces_fetch(&f->unit->pieces, &s->pass, f->unit->opened, f->unit->group)
			: fetch_object(s, &f->ticket);

	if (r >= 0)
		return r;
	if (f->unit && r != -EINTR && r != -ENOMEM && r != -ECANCELED && fl_remote_failed(f->unit->opened->remote))
		return 2;
	f->error = r;
	snprintf(f->text, sizeof f->text, "%s", fl_error_text(r));
	return 0;
}

static void free_fetched(struct fetched *f)
{
	fl_closep(&f->ticket.fd);
	fl_remote_free(&f->ticket.remote);
	fl_unit_free(&f->unit);
	free(f);
}

/* The next one to be fetched: what was begun is finished first. NULL: there is none now. */
static struct fetched *next(struct fl_prefetch *p)
{
	struct fetched *f = p->group;

	if (f) {
		p->group = f->next;
		f->next = NULL;
		if (!p->group)
			p->groups_end = &p->group;
		return f;
	}
	f = p->listed ? NULL : calloc(1, sizeof *f);
	if (!f || !next_object(p, &f->ticket)) {
		if (!f && !p->listed)
			p->s->pass.result = -ENOMEM;
		p->listed = true;
		free(f);
		return NULL;
	}
	f->bytes = f->ticket.file->size;
	return f;
}

/* The lock is held before and after. False: there is nothing to do now. */
static bool fetch_one(struct fl_prefetch *p)
{
	struct fl_pass *pass = &p->s->pass;
	struct fetched *f = next(p);
	int r;

	if (!f)
		return false;
	p->bytes += f->bytes;
	p->fetching++;
	pthread_mutex_unlock(&pass->lock);
	r = fetch(p, f);
	pthread_mutex_lock(&pass->lock);
	p->fetching--;
	if (f->ticket.remote) { /* of that, the end alone was fetched */
		p->bytes -= f->bytes;
		f->bytes = 0;
	}
	if (r == 1) {
		pass->report.row_groups_bloom++;
		pass->report.bytes_pruned += fl_parquet_group_bytes(f->unit->opened->parquet, f->unit->group);
	}
	if (r) {
		p->bytes -= f->bytes;
		free_fetched(f);
	} else {
		*p->end = f;
		p->end = &f->next;
		p->ready++;
	}
	/* What room there is may have become more, for several. */
	pthread_cond_broadcast(&p->room);
	pthread_cond_broadcast(&pass->more);
	return true;
}

static bool is_full(const struct fl_prefetch *p)
{
	return p->ready >= AHEAD_OBJECTS || (p->bytes >= AHEAD_BYTES && (p->ready || p->fetching));
}

static void *fetch_thread(void *ctx)
{
	struct fl_prefetch *p = ctx;
	struct fl_pass *pass = &p->s->pass;

	pthread_mutex_lock(&pass->lock);
	while (!p->stop)
		if (is_full(p) || !fetch_one(p)) {
			pthread_cond_broadcast(&pass->more);
			if (!p->stop)
				pthread_cond_wait(&p->room, &pass->lock);
		}
	pthread_mutex_unlock(&pass->lock);
	return NULL;
}

int fl_prefetch_add(struct fl_prefetch *p, const struct fl_unit *unit)
{
	const struct fl_pass *pass = &p->s->pass;
	struct fetched *f = calloc(1, sizeof *f);

	if (f)
		f->unit = malloc(sizeof *f->unit);
	if (!f || !f->unit) {
		free(f);
		return -ENOMEM;
	}
	*f->unit = *unit;
	f->ticket.fd = -1;
	f->bytes = fl_parquet_columns_bytes(unit->opened->parquet, unit->group, pass->column, pass->n_columns);
	fl_progress_expect(p->s, (int64_t)f->bytes);
	atomic_fetch_add(&unit->opened->users, 1);
	*p->groups_end = f;
	p->groups_end = &f->next;
	pthread_cond_signal(&p->room);
	return 0;
}

int fl_prefetch_start(struct fl_scan *s)
{
	struct fl_prefetch *p = calloc(1, sizeof *p);

	if (!p)
		return -ENOMEM;
	p->s = s;
	p->end = &p->first;
	p->groups_end = &p->group;
	pthread_cond_init(&p->room, NULL);
	s->pass.prefetch = p;
	pthread_mutex_lock(&s->pass.lock);
	while (p->started < FETCHERS && !pthread_create(&p->thread[p->started], NULL, fetch_thread, p))
		p->started++;
	pthread_mutex_unlock(&s->pass.lock);
	return p->started ? 0 : fl_fail(-EAGAIN, "no thread can be started to fetch objects");
}

void fl_prefetch_stop(struct fl_prefetch **prefetch)
{
	struct fl_prefetch *p = *prefetch;

	*prefetch = NULL;
	if (!p)
		return;
	pthread_mutex_lock(&p->s->pass.lock);
	p->stop = true;
	pthread_cond_broadcast(&p->room);
	pthread_mutex_unlock(&p->s->pass.lock);
	for (unsigned i = 0; i < p->started; i++)
		pthread_join(p->thread[i], NULL);
	*p->end = p->group;
	while (p->first) {
		struct fetched *f = p->first;

		p->first = f->next;
		free_fetched(f);
	}
	pthread_cond_destroy(&p->room);
	free(p);
}

int fl_prefetch_take(struct fl_prefetch *p, struct fl_ticket *ret, struct fl_unit **ret_unit)
{
	struct fetched *f = p->first;
	int r = 1;

	if (!f)
		return p->fetching || p->group || !p->listed ? -EAGAIN : 0;
	p->first = f->next;
	if (!p->first)
		p->end = &p->first;
	p->ready--;
	p->bytes -= f->bytes;
	pthread_cond_broadcast(&p->room);
	if (f->error) {
		/* -EAGAIN means something else here. */
		r = fl_fail(f->error == -ECANCELED ? -EINTR : f->error == -EAGAIN ? -EIO : f->error, "%s", f->text);
		free_fetched(f);
		return r;
	}
	*ret = f->ticket;
	*ret_unit = f->unit;
	free(f);
	return r;
}
