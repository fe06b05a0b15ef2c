/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One window's flows. Open addressing over 64-byte lines, linear probing, a seeded hash. The table is many independent
 * parts picked by the hash's high bits, each grown alone by half: growth touches little at a time and a line costs at most
 * 64 / (LOAD / 1.5) bytes.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/mem.h"
#include "meter/meter.h"

#define PARTS 64
#define FIRST_LINES 64
#define LOAD_NUM 4 /* a part grows when more than 4/5 of it is used */
#define LOAD_DEN 5
#define BATCH 64

struct part {
	struct fl_flow *line; /* packets 0: empty */
	size_t lines, used;
};

struct fl_table {
	struct fl_table_conf conf;
	struct part part[PARTS];
	size_t count, bytes;
};

static uint64_t hash_key(const struct fl_key *key, uint64_t seed)
{
	uint64_t k[5];

	memcpy(k, key, sizeof k);
	return fl_mum(fl_mum(k[0] ^ seed, k[1] ^ 0xa0761d6478bd642full) ^ fl_mum(k[2] ^ 0xe7037ed1a0b428dbull, k[3] ^ ~seed),
		      k[4] ^ 0x8ebc6af09c88c6e3ull);
}

static struct part *part_of(struct fl_table *t, uint64_t hash)
{
	return &t->part[hash >> 58];
}

/* The high half of a product spreads the hash over any number of lines, not only powers of two. */
static size_t line_of(const struct part *p, uint64_t hash)
{
	return (size_t)(((hash & 0xffffffffffffffull) * p->lines) >> 56);
}

static size_t part_bytes(size_t lines)
{
	return lines * sizeof(struct fl_flow);
}

int fl_table_new(struct fl_table **ret, const struct fl_table_conf *conf)
{
	struct fl_table *t = calloc(1, sizeof *t);

	if (!t)
		return -ENOMEM;
	t->conf = *conf;
	*ret = t;
	return 0;
}

void fl_table_free(struct fl_table **t)
{
	if (!*t)
		return;
	for (unsigned i = 0; i < PARTS; i++)
		fl_map_free((*t)->part[i].line, part_bytes((*t)->part[i].lines));
	free(*t);
	*t = NULL;
}

static struct fl_flow *find(const struct part *p, const struct fl_key *key, uint64_t hash)
{
	size_t i = line_of(p, hash);

	while (p->line[i].packets && memcmp(&p->line[i].key, key, sizeof *key))
		i = i + 1 == p->lines ? 0 : i + 1;
	return &p->line[i];
}

/* false: over the memory limit, or none to be had. */
static bool grow(struct fl_table *t, struct part *p)
{
	struct part bigger = {.lines = p->lines ? p->lines + p->lines / 2 : FIRST_LINES, .used = p->used};
	size_t more = part_bytes(bigger.lines) - part_bytes(p->lines);

	if (t->conf.memory_limit && t->bytes + more > t->conf.memory_limit)
		return false;
	bigger.line = fl_map_alloc(part_bytes(bigger.lines));
	if (!bigger.line)
		return false;
	for (size_t i = 0; i < p->lines; i++)
		if (p->line[i].packets)
			*find(&bigger, &p->line[i].key, hash_key(&p->line[i].key, t->conf.seed)) = p->line[i];
	fl_map_free(p->line, part_bytes(p->lines));
	*p = bigger;
	t->bytes += more;
	return true;
}

static bool add_one(struct fl_table *t, const struct fl_obs *o, uint64_t hash)
{
	struct part *p = part_of(t, hash);
	struct fl_flow *f = p->lines ? find(p, &o->key, hash) : NULL;

	if (!f || !f->packets) {
		if ((p->used + 1) * LOAD_DEN > p->lines * LOAD_NUM) {
			if (!grow(t, p))
				return false;
			f = find(p, &o->key, hash);
		}
		f->key = o->key;
		f->first_ms = o->first_ms;
		f->last_ms = o->last_ms;
		p->used++;
		t->count++;
	}
	f->packets += o->packets;
	f->bytes += o->bytes;
	f->tcp |= o->tcp;
	if (o->first_ms < f->first_ms)
		f->first_ms = o->first_ms;
	if (o->last_ms > f->last_ms)
		f->last_ms = o->last_ms;
	return true;
}

void fl_table_add(struct fl_table *t, const struct fl_obs *obs, size_t n, fl_table_lost_fn lost, void *ctx)
{
	uint64_t hash[BATCH];

	while (n) {
		size_t batch = FL_MIN(n, (size_t)BATCH);

		for (size_t i = 0; i < batch; i++) {
			const struct part *p;

			hash[i] = hash_key(&obs[i].key, t->conf.seed);
			p = part_of(t, hash[i]);
			if (p->lines)
				__builtin_prefetch(&p->line[line_of(p, hash[i])], 1);
		}
		for (size_t i = 0; i < batch; i++)
			/* An observation of nothing would look like an empty line. */
			if (obs[i].packets && !add_one(t, &obs[i], hash[i]) && lost)
				lost(ctx, &obs[i]);
		obs += batch;
		n -= batch;
	}
}

size_t fl_table_count(const struct fl_table *t)
{
	return t->count;
}

size_t fl_table_bytes(const struct fl_table *t)
{
	return t->bytes;
}

int fl_table_each(const struct fl_table *t, int (*fn)(void *ctx, const struct fl_flow *f), void *ctx)
{
	int r = 0;

	for (unsigned i = 0; i < PARTS; i++)
		for (size_t j = 0; !r && j < t->part[i].lines; j++)
			if (t->part[i].line[j].packets)
				r = fn(ctx, &t->part[i].line[j]);
	return r;
}

void fl_table_clear(struct fl_table *t)
{
	for (unsigned i = 0; i < PARTS; i++) {
		if (t->part[i].used)
			memset(t->part[i].line, 0, part_bytes(t->part[i].lines));
		t->part[i].used = 0;
	}
	t->count = 0;
}

static int by_key(const void *a, const void *b)
{
	const struct fl_flow *x = a, *y = b;

	if (x->key.iface != y->key.iface)
		return x->key.iface < y->key.iface ? -1 : 1;
	return memcmp(&x->key, &y->key, sizeof x->key);
}

struct copy {
	struct fl_flow *to;
	size_t n;
};

static int copy_flow(void *ctx, const struct fl_flow *f)
{
	struct copy *c = ctx;

	c->to[c->n++] = *f;
	return 0;
}

int fl_table_take_sorted(struct fl_table *t, struct fl_flow **ret, size_t *ret_n)
{
	struct copy c = {.to = malloc(FL_MAX(t->count, (size_t)1) * sizeof *c.to)};

	if (!c.to)
		return -ENOMEM;
	fl_table_each(t, copy_flow, &c);
	qsort(c.to, c.n, sizeof *c.to, by_key);
	fl_table_clear(t);
	*ret = c.to;
	*ret_n = c.n;
	return 0;
}
