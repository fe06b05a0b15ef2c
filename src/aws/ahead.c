/* SPDX-License-Identifier: Apache-2.0 */
#include "aws/ahead.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/hash.h"

#define BUCKETS_FIRST 256 /* of the table; a power of two */

enum state { WAITING, COMING, READY, FAILED };

struct item {
	struct item *chain;       /* of the table */
	struct item *next, *prev; /* of those that wait, in their order */
	uint64_t hash, size;
	enum state state;
	int fd;
	const char *bucket, *key, *etag; /* in text */
	char text[];
};

struct fl_ahead {
	struct fl_s3 *s;
	pthread_mutex_t lock;
	pthread_cond_t wanted; /* there is something to bring, and room for it */
	pthread_cond_t came;
	struct item **table;
	size_t table_n, items;
	struct item *first, *last;
	size_t held; /* coming or ready */
	uint64_t held_bytes;
	pthread_t threads[FL_AHEAD_THREADS];
	unsigned threads_n, idle;
	bool closing;
};

int fl_ahead_new(struct fl_ahead **ret, struct fl_s3 *s)
{
	struct fl_ahead *a = calloc(1, sizeof *a);

	if (!a)
		return -ENOMEM;
	a->s = s;
	pthread_mutex_init(&a->lock, NULL);
	pthread_cond_init(&a->wanted, NULL);
	pthread_cond_init(&a->came, NULL);
	*ret = a;
	return 0;
}

void fl_ahead_free(struct fl_ahead **pointer)
{
	struct fl_ahead *a = *pointer;

	*pointer = NULL;
	if (!a)
		return;
	pthread_mutex_lock(&a->lock);
	a->closing = true;
	pthread_cond_broadcast(&a->wanted);
	pthread_mutex_unlock(&a->lock);
	while (a->threads_n)
		pthread_join(a->threads[--a->threads_n], NULL);
	for (size_t i = 0; i < a->table_n; i++)
		for (struct item *it = a->table[i], *next; it; it = next) {
			next = it->chain;
			if (it->fd >= 0)
				close(it->fd);
			free(it);
		}
	free(a->table);
	pthread_cond_destroy(&a->came);
	pthread_cond_destroy(&a->wanted);
	pthread_mutex_destroy(&a->lock);
	free(a);
}

/* ---- the table; all with the lock held ---- */

static uint64_t hash_of(const char *bucket, const char *key)
{
	return fl_hash_bytes(key, strlen(key), fl_hash_bytes(bucket, strlen(bucket), 0));
}

static struct item **find(struct fl_ahead *a, uint64_t hash, const char *bucket, const char *key, uint64_t size,
			  const char *etag)
{
	struct item **at = a->table_n ? &a->table[hash & (a->table_n - 1)] : NULL;

	while (at && *at &&
	       ((*at)->hash != hash || (*at)->size != size || strcmp((*at)->key, key) != 0 ||
		strcmp((*at)->bucket, bucket) != 0 || strcmp((*at)->etag, etag) != 0))
		at = &(*at)->chain;
	return at && *at ? at : NULL;
}

static int grow(struct fl_ahead *a)
{
	size_t n = a->table_n ? 2 * a->table_n : BUCKETS_FIRST;
	struct item **table;

	if (a->items < a->table_n)
		return 0;
	table = calloc(n, sizeof(struct item *));
	if (!table)
		return -ENOMEM;
	for (size_t i = 0; i < a->table_n; i++)
		for (struct item *it = a->table[i], *next; it; it = next) {
			struct item **at = &table[it->hash & (n - 1)];

			next = it->chain;
			it->chain = *at;
			*at = it;
		}
	free(a->table);
	a->table = table;
	a->table_n = n;
	return 0;
}

static void enqueue(struct fl_ahead *a, struct item *it)
{
	it->prev = a->last;
	*(a->last ? &a->last->next : &a->first) = it;
	a->last = it;
}

static void dequeue(struct fl_ahead *a, struct item *it)
{
	*(it->prev ? &it->prev->next : &a->first) = it->next;
	*(it->next ? &it->next->prev : &a->last) = it->prev;
	it->next = it->prev = NULL;
}

static void forget(struct fl_ahead *a, struct item **at)
{
	struct item *it = *at;

	*at = it->chain;
	a->items--;
	free(it);
}

static bool has_room(const struct fl_ahead *a, const struct item *it)
{
	return !a->held || (a->held < FL_AHEAD_OBJECTS && a->held_bytes + it->size <= FL_AHEAD_BYTES);
}

static void release(struct fl_ahead *a, const struct item *it)
{
	a->held--;
	a->held_bytes -= it->size;
	pthread_cond_signal(&a->wanted);
}

/* ---- bringing ---- */

static void *bring(void *ctx)
{
	struct fl_ahead *a = ctx;

	pthread_mutex_lock(&a->lock);
	while (!a->closing) {
		struct item *it = a->first;
		int r;

		if (!it || !has_room(a, it)) {
			a->idle++;
			pthread_cond_wait(&a->wanted, &a->lock);
			a->idle--;
			continue;
		}
		dequeue(a, it);
		it->state = COMING;
		a->held++;
		a->held_bytes += it->size;
		pthread_mutex_unlock(&a->lock);
		r = fl_s3_fetch_now(a->s, it->bucket, it->key, it->size, it->etag, &it->fd);
		pthread_mutex_lock(&a->lock);
		/* Who needs it asks again, and has the reason then. */
		it->state = r ? FAILED : READY;
		if (r)
			release(a, it);
		pthread_cond_broadcast(&a->came);
	}
	pthread_mutex_unlock(&a->lock);
	return NULL;
}

/* Threads begin as they are needed. */
static void call_thread(struct fl_ahead *a)
{
	unsigned most = FL_MIN(a->s->connections, (unsigned)FL_AHEAD_THREADS);

	if (a->idle)
		pthread_cond_signal(&a->wanted);
	else if (a->threads_n < most && !pthread_create(&a->threads[a->threads_n], NULL, bring, a))
		a->threads_n++;
}

int fl_ahead_add(struct fl_ahead *a, const char *bucket, const char *key, uint64_t size, const char *etag)
{
	size_t n[] = {strlen(bucket) + 1, strlen(key) + 1, strlen(etag) + 1};
	struct item *it = calloc(1, sizeof *it + n[0] + n[1] + n[2]);
	int r;

	if (!it)
		return -ENOMEM;
	it->bucket = memcpy(it->text, bucket, n[0]);
	it->key = memcpy(it->text + n[0], key, n[1]);
	it->etag = memcpy(it->text + n[0] + n[1], etag, n[2]);
	it->size = size;
	it->fd = -1;
	it->hash = hash_of(bucket, key);
	pthread_mutex_lock(&a->lock);
	r = grow(a);
	if (r || find(a, it->hash, bucket, key, size, etag)) {
		free(it); /* announced already */
	} else {
		struct item **at = &a->table[it->hash & (a->table_n - 1)];

		it->chain = *at;
		*at = it;
		a->items++;
		enqueue(a, it);
		call_thread(a);
	}
	pthread_mutex_unlock(&a->lock);
	return r;
}

bool fl_ahead_take(struct fl_ahead *a, const char *bucket, const char *key, uint64_t size, const char *etag,
		   int *ret_fd)
{
	uint64_t hash = hash_of(bucket, key);
	bool got = false;
	struct item **at;

	pthread_mutex_lock(&a->lock);
	at = find(a, hash, bucket, key, size, etag);
	/* Stopped, the thread that brings it ends at once, so this wait does too. The table may change meanwhile. */
	while (at && (*at)->state == COMING) {
		pthread_cond_wait(&a->came, &a->lock);
		at = find(a, hash, bucket, key, size, etag);
	}
	if (at) {
		got = (*at)->state == READY;
		if ((*at)->state == WAITING)
			dequeue(a, *at);
		if (got) {
			*ret_fd = (*at)->fd;
			release(a, *at);
		}
		forget(a, at);
	}
	pthread_mutex_unlock(&a->lock);
	return got;
}
