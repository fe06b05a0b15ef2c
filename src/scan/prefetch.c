/* SPDX-License-Identifier: Apache-2.0 */
/* Objects are fetched by threads of their own, some ahead of those who read: network and CPU are busy together. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "scan/set.h"

#define FETCHERS 16u
#define AHEAD_OBJECTS 64u
#define AHEAD_BYTES (256ull << 20)

struct fetched {
	struct fetched *next;
	struct fl_ticket ticket;
	int error;
	char text[512];
};

struct fl_prefetch { /* guarded by the pass's lock */
	struct fl_scan *s;
	pthread_t thread[FETCHERS];
	unsigned started, fetching; /* fetching: threads that have not ended */
	pthread_cond_t room;
	size_t place, file; /* the next one */
	struct fetched *first, **end;
	size_t ready;
	uint64_t bytes; /* that are ready or on their way */
	bool stop;
};

static bool next_object(struct fl_prefetch *p, struct fl_ticket *ret)
{
	struct fl_scan *s = p->s;

	for (; p->place < s->places.n; p->place++, p->file = 0)
		while (s->places.place[p->place]->bucket && p->file < s->places.place[p->place]->n) {
			*ret = (struct fl_ticket){s->places.place[p->place], NULL, -1};
			ret->file = &ret->place->file[p->file++];
			if (!fl_pass_prunes(p->s, &s->pass, ret->file))
				return true;
		}
	return false;
}

static void fetch(struct fl_prefetch *p, struct fetched *f)
{
	const char *key = f->ticket.place->names.data + f->ticket.file->name;

	f->error = fl_s3_fetch(p->s->s3, f->ticket.place->bucket, key, f->ticket.file->size, key + strlen(key) + 1,
			       &f->ticket.fd);
	if (f->error) {
		f->ticket.fd = -1;
		snprintf(f->text, sizeof f->text, "%s", fl_error_text(f->error));
	}
}

/* The lock is held before and after. False: there is nothing more to do. */
static bool fetch_one(struct fl_prefetch *p)
{
	struct fl_pass *pass = &p->s->pass;
	struct fetched *f = calloc(1, sizeof *f);

	if (!f)
		pass->result = -ENOMEM;
	if (!f || !next_object(p, &f->ticket)) {
		free(f);
		return false;
	}
	p->bytes += f->ticket.file->size;
	pthread_mutex_unlock(&pass->lock);
	fetch(p, f);
	pthread_mutex_lock(&pass->lock);
	*p->end = f;
	p->end = &f->next;
	p->ready++;
	pthread_cond_broadcast(&pass->more);
	return true;
}

static void *fetch_thread(void *ctx)
{
	struct fl_prefetch *p = ctx;
	struct fl_pass *pass = &p->s->pass;

	pthread_mutex_lock(&pass->lock);
	while (!p->stop)
		if (p->ready >= AHEAD_OBJECTS || (p->bytes >= AHEAD_BYTES && p->ready))
			pthread_cond_wait(&p->room, &pass->lock);
		else if (!fetch_one(p))
			break;
	p->fetching--;
	pthread_cond_broadcast(&pass->more);
	pthread_mutex_unlock(&pass->lock);
	return NULL;
}

int fl_prefetch_start(struct fl_scan *s)
{
	struct fl_prefetch *p = calloc(1, sizeof *p);

	if (!p)
		return -ENOMEM;
	p->s = s;
	p->end = &p->first;
	pthread_cond_init(&p->room, NULL);
	s->pass.prefetch = p;
	pthread_mutex_lock(&s->pass.lock);
	while (p->started < FETCHERS && !pthread_create(&p->thread[p->started], NULL, fetch_thread, p))
		p->started++;
	p->fetching = p->started;
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
	while (p->first) {
		struct fetched *f = p->first;

		p->first = f->next;
		fl_closep(&f->ticket.fd);
		free(f);
	}
	pthread_cond_destroy(&p->room);
	free(p);
}

int fl_prefetch_take(struct fl_prefetch *p, struct fl_ticket *ret)
{
	struct fetched *f = p->first;
	int r = 1;

	if (!f)
		return p->fetching ? -EAGAIN : 0;
	p->first = f->next;
	if (!p->first)
		p->end = &p->first;
	p->ready--;
	p->bytes -= f->ticket.file->size;
	pthread_cond_signal(&p->room);
	*ret = f->ticket;
	if (f->error)
		/* -EAGAIN means something else here. */
		r = fl_fail(f->error == -ECANCELED ? -EINTR : f->error == -EAGAIN ? -EIO : f->error, "%s", f->text);
	free(f);
	return r;
}
