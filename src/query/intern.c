/* SPDX-License-Identifier: Apache-2.0 */
#include "query/intern.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/hash.h"

#define BLOCK 65536u     /* texts of one block of the list */
#define BLOCKS 4096u     /* 268 million texts */
#define ARENA (1u << 18) /* bytes of texts allocated at once */

struct slot {
	uint32_t hash, id; /* id 0: free */
};
struct table {
	struct slot *slot;
	uint32_t mask, n;
};

struct arena {
	struct arena *before;
	size_t used, size;
	char data[];
};

struct fl_interner {
	pthread_mutex_t lock;
	uint64_t seed, bytes, max_bytes;
	struct table table;
	struct arena *arena;
	struct fl_str *block[BLOCKS]; /* a text does not move: readers need no lock for ids they have been given */
	uint32_t n;
};
struct fl_intern_cache {
	struct fl_interner *in;
	struct table table;
};

static int table_new(struct table *t, uint32_t slots)
{
	t->slot = calloc(slots, sizeof *t->slot);
	t->mask = slots - 1;
	t->n = 0;
	return t->slot ? 0 : -ENOMEM;
}

static void table_put(struct table *t, uint32_t hash, uint32_t id)
{
	uint32_t at = hash & t->mask;

	while (t->slot[at].id)
		at = (at + 1) & t->mask;
	t->slot[at] = (struct slot){hash, id};
	t->n++;
}

static int table_add(struct table *t, uint32_t hash, uint32_t id)
{
	if (t->n >= t->mask / 2) {
		struct table grown;

		if (t->mask > UINT32_MAX / 4 || table_new(&grown, (t->mask + 1) * 2))
			return -ENOMEM;
		for (uint32_t i = 0; i <= t->mask; i++)
			if (t->slot[i].id)
				table_put(&grown, t->slot[i].hash, t->slot[i].id);
		free(t->slot);
		*t = grown;
	}
	table_put(t, hash, id);
	return 0;
}

static uint32_t table_find(const struct table *t, const struct fl_interner *in, uint32_t hash, const char *text,
			   size_t n)
{
	for (uint32_t at = hash & t->mask; t->slot[at].id; at = (at + 1) & t->mask) {
		struct fl_str s;

		if (t->slot[at].hash != hash)
			continue;
		s = fl_interner_text(in, t->slot[at].id);
		if (s.n == n && !memcmp(s.p, text, n))
			return t->slot[at].id;
	}
	return 0;
}

int fl_interner_new(struct fl_interner **ret, uint64_t max_bytes)
{
	struct fl_interner *in = calloc(1, sizeof *in);

	if (!in)
		return -ENOMEM;
	pthread_mutex_init(&in->lock, NULL);
	in->seed = fl_random_seed();
	in->max_bytes = max_bytes;
	*ret = in;
	if (table_new(&in->table, 1024)) {
		fl_interner_free(ret);
		return -ENOMEM;
	}
	return 0;
}

void fl_interner_free(struct fl_interner **in)
{
	if (!*in)
		return;
	for (size_t i = 0; i < BLOCKS; i++)
		free((*in)->block[i]);
	for (struct arena *a = (*in)->arena, *before; a; a = before) {
		before = a->before;
		free(a);
	}
	free((*in)->table.slot);
	pthread_mutex_destroy(&(*in)->lock);
	free(*in);
	*in = NULL;
}

struct fl_str fl_interner_text(const struct fl_interner *in, uint32_t id)
{
	return in->block[id / BLOCK][id % BLOCK];
}

static char *arena_copy(struct fl_interner *in, const char *text, size_t n)
{
	struct arena *a = in->arena;
	char *copy;

	if (!a || a->size - a->used < n) {
		size_t size = FL_MAX((size_t)ARENA, n);

		a = malloc(sizeof *a + size);
		if (!a)
			return NULL;
		*a = (struct arena){.before = in->arena, .size = size};
		in->arena = a;
	}
	copy = a->data + a->used;
	memcpy(copy, text, n);
	a->used += n;
	return copy;
}

static int add_text(struct fl_interner *in, uint32_t hash, const char *text, size_t n, uint32_t *ret)
{
	uint32_t id = in->n + 1;
	char *copy;

	if (in->bytes + n + 64 > in->max_bytes || id / BLOCK >= BLOCKS)
		return fl_fail(-E2BIG,
			       "the answer has more different texts than its memory holds; filter, or raise --memory");
	if (!in->block[id / BLOCK]) {
		in->block[id / BLOCK] = calloc(BLOCK, sizeof(struct fl_str));
		if (!in->block[id / BLOCK])
			return -ENOMEM;
	}
	copy = arena_copy(in, text, n);
	if (!copy)
		return -ENOMEM;
	in->block[id / BLOCK][id % BLOCK] = (struct fl_str){copy, n};
	if (table_add(&in->table, hash, id))
		return -ENOMEM;
	in->n = id;
	in->bytes += n + 64; /* with its places in tables */
	*ret = id;
	return 0;
}

int fl_intern_cache_new(struct fl_intern_cache **ret, struct fl_interner *in)
{
	struct fl_intern_cache *c = calloc(1, sizeof *c);

	if (!c)
		return -ENOMEM;
	c->in = in;
	*ret = c;
	if (table_new(&c->table, 1024)) {
		fl_intern_cache_free(ret);
		return -ENOMEM;
	}
	return 0;
}

void fl_intern_cache_free(struct fl_intern_cache **c)
{
	if (!*c)
		return;
	free((*c)->table.slot);
	free(*c);
	*c = NULL;
}

int fl_intern(struct fl_intern_cache *c, const char *text, size_t n, uint32_t *ret_id)
{
	uint32_t hash = (uint32_t)fl_hash_bytes(text, n, c->in->seed), id = table_find(&c->table, c->in, hash, text, n);
	int r = 0;

	if (id) {
		*ret_id = id;
		return 0;
	}
	pthread_mutex_lock(&c->in->lock);
	id = table_find(&c->in->table, c->in, hash, text, n);
	if (!id)
		r = add_text(c->in, hash, text, n, &id);
	pthread_mutex_unlock(&c->in->lock);
	*ret_id = id;
	return r ? r : table_add(&c->table, hash, id);
}
