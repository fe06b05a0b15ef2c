/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One window's flows. Open addressing over 64-byte lines, linear probing, a seeded hash. The table is many independent
 * parts picked by the hash's high bits, each grown alone by half: growth touches little at a time and a line costs at
 * most 64 / (LOAD / 1.5) bytes.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/mem.h"
#include "meter/meter.h"

#define PARTS 4 /* few, so that they fill huge pages; more than one, so that growth copies a quarter */
/* Of a part: a hundred busy flows find their lines without a walk, whose length no branch predictor foresees. */
#define FIRST_LINES 256
#define LOAD_NUM 4 /* a part grows when more than 4/5 of it is used */
#define LOAD_DEN 5
#define BATCH 256
#define AHEAD 20 /* lines asked for before they are needed: about as many as a core can wait for at once */
#define HUGE_PAGE (2u << 20)

struct part {
	struct fl_flow *line; /* packets 0: empty */
	size_t lines, used;
};

struct fl_table {
	struct fl_table_conf conf;
	struct part part[PARTS];
	size_t count, bytes;
	uint32_t *came; /* where the flows are, as they came; NULL: not ordered, or still empty */
	size_t came_cap;
};

/* Word by word: copies of the key on the stack cost more than the arithmetic. */
static inline uint64_t word(const struct fl_key *key, unsigned n)
{
	uint64_t w;

	memcpy(&w, (const char *)key + n * sizeof w, sizeof w);
	return w;
}

static inline uint64_t hash_key(const struct fl_key *key, uint64_t seed)
{
	return fl_mum(fl_mum(word(key, 0) ^ seed, word(key, 1) ^ 0xa0761d6478bd642full) ^
			  fl_mum(word(key, 2) ^ 0xe7037ed1a0b428dbull, word(key, 3) ^ ~seed),
		      word(key, 4) ^ 0x8ebc6af09c88c6e3ull);
}

static inline struct part *part_of(struct fl_table *t, uint64_t hash)
{
	return &t->part[hash >> 62];
}

/* The high half of a product spreads the hash over any number of lines, not only powers of two. */
static inline size_t line_of(const struct part *p, uint64_t hash)
{
	return (size_t)((((hash >> 28) & 0xffffffffu) * p->lines) >> 32);
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
	free((*t)->came);
	free(*t);
	*t = NULL;
}

static inline bool same_key(const struct fl_key *a, const struct fl_key *b)
{
	return !((word(a, 0) ^ word(b, 0)) | (word(a, 1) ^ word(b, 1)) | (word(a, 2) ^ word(b, 2)) |
		 (word(a, 3) ^ word(b, 3)) | (word(a, 4) ^ word(b, 4)));
}

/* The flow's line, or the empty one where it belongs. */
static inline struct fl_flow *find(const struct part *p, const struct fl_key *key, uint64_t hash)
{
	struct fl_flow *f = &p->line[line_of(p, hash)], *end = p->line + p->lines;

	while (f->packets && !same_key(&f->key, key))
		if (++f == end)
			f = p->line;
	return f;
}

/* Half as many again; whole huge pages where they are to be had, because the last, broken one would cost a look-up a
 * line. */
static size_t next_size(size_t lines)
{
	size_t more = lines ? lines + lines / 2 : FIRST_LINES, page = HUGE_PAGE / sizeof(struct fl_flow);

	return more < page ? more : (more + page - 1) / page * page;
}

#define PLACE_BITS 30 /* of a line in its part; the part is above */

static inline uint32_t place_of(const struct fl_table *t, const struct part *p, const struct fl_flow *f)
{
	return (uint32_t)(p - t->part) << PLACE_BITS | (uint32_t)(f - p->line);
}

static inline const struct fl_flow *flow_at(const struct fl_table *t, uint32_t place)
{
	return &t->part[place >> PLACE_BITS].line[place & ((1u << PLACE_BITS) - 1)];
}

static inline bool has_memory(const struct fl_table *t, size_t more)
{
	return !t->conf.memory_limit || t->bytes + more <= t->conf.memory_limit;
}

/* Room to remember n flows' order. */
static bool reserve_order(struct fl_table *t, size_t n)
{
	size_t cap = FL_MAX(t->came_cap + t->came_cap / 2, (size_t)FIRST_LINES);
	uint32_t *came;

	if (!t->conf.ordered || n <= t->came_cap)
		return true;
	cap = FL_MAX(cap, n);
	if (!has_memory(t, (cap - t->came_cap) * sizeof *came))
		return false;
	came = realloc(t->came, cap * sizeof *came);
	if (!came)
		return false;
	t->bytes += (cap - t->came_cap) * sizeof *came;
	t->came = came;
	t->came_cap = cap;
	return true;
}

/* The flows of p have moved: moved_to tells the new line of each. */
static void renumber(struct fl_table *t, const struct part *p, const uint32_t *moved_to)
{
	uint32_t part = (uint32_t)(p - t->part);

	for (size_t i = 0; i < t->count; i++)
		if (t->came[i] >> PLACE_BITS == part)
			t->came[i] = part << PLACE_BITS | moved_to[t->came[i] & ((1u << PLACE_BITS) - 1)];
}

/* false: over the memory limit, or none to be had. */
static bool grow(struct fl_table *t, struct part *p)
{
	struct part bigger = {.lines = next_size(p->lines), .used = p->used};
	size_t more = part_bytes(bigger.lines) - part_bytes(p->lines);
	uint32_t *moved_to = NULL;

	if (!has_memory(t, more) || (t->conf.ordered && bigger.lines >> PLACE_BITS))
		return false;
	if (t->conf.ordered && p->used && !(moved_to = malloc(p->lines * sizeof *moved_to)))
		return false;
	bigger.line = fl_map_alloc(part_bytes(bigger.lines));
	if (!bigger.line) {
		free(moved_to);
		return false;
	}
	for (size_t i = 0; i < p->lines; i++) {
		struct fl_flow *f;

		if (!p->line[i].packets)
			continue;
		f = find(&bigger, &p->line[i].key, hash_key(&p->line[i].key, t->conf.seed));
		*f = p->line[i];
		if (moved_to)
			moved_to[i] = (uint32_t)(f - bigger.line);
	}
	if (moved_to)
		renumber(t, p, moved_to);
	free(moved_to);
	fl_map_free(p->line, part_bytes(p->lines));
	*p = bigger;
	t->bytes += more;
	return true;
}

/*
 * The last word of a flow, times and flags, is read and written whole: a busy flow comes every few packets, and a load
 * that spans the smaller stores of a bit-field waits for all of them to reach the cache.
 */
#define TIME_MASK 0xffffffu
#define ACTION_MASK (UINT64_C(0xff) << 56)

static inline char *facts_of(struct fl_flow *f)
{
	return (char *)f + sizeof *f - sizeof(uint64_t);
}

static inline uint64_t pack(uint32_t first_ms, uint32_t last_ms, uint64_t tcp)
{
	return (first_ms & TIME_MASK) | (uint64_t)(last_ms & TIME_MASK) << 24 | tcp << 48;
}

static inline bool add_one(struct fl_table *t, const struct fl_obs *o, uint64_t hash)
{
	struct part *p = part_of(t, hash);
	struct fl_flow *f = p->lines ? find(p, &o->key, hash) : NULL;
	uint64_t facts;
	uint32_t first, last;

	if (fl_unlikely(!f || !f->packets)) {
		if (fl_unlikely(t->count == t->came_cap) && !reserve_order(t, t->count + 1))
			return false;
		if (!f || (p->used + 1) * LOAD_DEN > p->lines * LOAD_NUM) {
			if (!grow(t, p))
				return false;
			f = find(p, &o->key, hash);
		}
		f->key = o->key;
		if (t->came)
			t->came[t->count] = place_of(t, p, f);
		facts = pack(o->first_ms, o->last_ms, 0);
		p->used++;
		t->count++;
	} else {
		memcpy(&facts, facts_of(f), sizeof facts);
	}
	f->packets += o->packets;
	f->bytes += o->bytes;
	first = FL_MIN((uint32_t)(facts & TIME_MASK), o->first_ms);
	last = FL_MAX((uint32_t)(facts >> 24 & TIME_MASK), o->last_ms);
	facts = (facts & ACTION_MASK) | pack(first, last, (facts >> 48 | o->tcp) & 0xff);
	memcpy(facts_of(f), &facts, sizeof facts);
	return true;
}

static inline void prefetch(struct fl_table *t, uint64_t hash)
{
	const struct part *p = part_of(t, hash);

	if (p->lines)
		__builtin_prefetch(&p->line[line_of(p, hash)], 1);
}

void fl_table_add(struct fl_table *t, const struct fl_obs *obs, size_t n, fl_table_lost_fn lost, void *ctx)
{
	uint64_t hash[BATCH];

	while (n) {
		size_t batch = FL_MIN(n, (size_t)BATCH);

		for (size_t i = 0; i < batch; i++) {
			hash[i] = hash_key(&obs[i].key, t->conf.seed);
			if (i < AHEAD)
				prefetch(t, hash[i]);
		}
		for (size_t i = 0; i < batch; i++) {
			if (i + AHEAD < batch)
				prefetch(t, hash[i + AHEAD]);
			/* An observation of nothing would look like an empty line. */
			if (obs[i].packets && !add_one(t, &obs[i], hash[i]) && lost)
				lost(ctx, &obs[i]);
		}
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

	if (t->came) {
		for (size_t i = 0; !r && i < t->count; i++) {
			if (i + AHEAD < t->count)
				__builtin_prefetch(flow_at(t, t->came[i + AHEAD]));
			r = fn(ctx, flow_at(t, t->came[i]));
		}
		return r;
	}
	for (unsigned i = 0; i < PARTS; i++)
		for (size_t j = 0; !r && t->part[i].used && j < t->part[i].lines; j++)
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

struct move {
	struct fl_table *to;
	size_t n;
};

static int move_flow(void *ctx, const struct fl_flow *f)
{
	struct move *m = ctx;
	uint64_t hash = hash_key(&f->key, m->to->conf.seed);
	struct part *p = part_of(m->to, hash);
	struct fl_flow *line = find(p, &f->key, hash);

	*line = *f;
	if (m->to->came)
		m->to->came[m->n] = place_of(m->to, p, line);
	m->n++;
	return 0;
}

bool fl_table_move(struct fl_table *to, struct fl_table *from)
{
	struct move m = {.to = to};

	/* The seed is the same, so a flow's part is too. */
	if (to->count || to->conf.seed != from->conf.seed)
		return false;
	for (unsigned i = 0; i < PARTS; i++)
		if (from->part[i].used * LOAD_DEN > to->part[i].lines * LOAD_NUM)
			return false;
	if (!reserve_order(to, from->count))
		return false;
	fl_table_each(from, move_flow, &m);
	for (unsigned i = 0; i < PARTS; i++)
		to->part[i].used = from->part[i].used;
	to->count = from->count;
	fl_table_clear(from);
	return true;
}

#define SMALL 24 /* runs up to here are sorted by insertion */

struct order {
	uint64_t word;
	uint32_t at;
};

/* Word n of a flow, so that comparing numbers compares (iface, key) as bytes. */
static uint64_t word_of(const struct fl_flow *f, unsigned n)
{
	uint64_t w;

	if (!n)
		return f->key.iface;
	memcpy(&w, (const char *)&f->key + (n - 1) * sizeof w, sizeof w);
	return __builtin_bswap64(w);
}

static int by_key(const struct fl_flow *x, const struct fl_flow *y)
{
	if (x->key.iface != y->key.iface)
		return x->key.iface < y->key.iface ? -1 : 1;
	return memcmp(&x->key, &y->key, sizeof x->key);
}

static void sort_few(const struct fl_flow *flows, struct order *o, size_t n)
{
	for (size_t i = 1; i < n; i++) {
		struct order x = o[i];
		size_t j = i;

		for (; j && by_key(&flows[o[j - 1].at], &flows[x.at]) > 0; j--)
			o[j] = o[j - 1];
		o[j] = x;
	}
}

/* By the bytes of the word that differ, the lowest first; every pass is stable. The result is in o. */
static void sort_word(struct order *o, struct order *spare, size_t n)
{
	uint64_t differ = 0;
	struct order *from = o, *to = spare;

	for (size_t i = 1; i < n; i++)
		differ |= o[i].word ^ o[0].word;
	for (unsigned shift = 0; shift < 64; shift += 8) {
		size_t place[256] = {0}, sum = 0;
		struct order *swap = from;

		if (!(differ >> shift & 0xff))
			continue;
		for (size_t i = 0; i < n; i++)
			place[from[i].word >> shift & 0xff]++;
		for (unsigned b = 0; b < 256; b++) {
			size_t here = place[b];

			place[b] = sum;
			sum += here;
		}
		for (size_t i = 0; i < n; i++)
			to[place[from[i].word >> shift & 0xff]++] = from[i];
		from = to;
		to = swap;
	}
	if (from != o)
		memcpy(o, from, n * sizeof *o);
}

/* Runs of equal words go on to the next word: as deep as a key has words. */
static void sort_flows(const struct fl_flow *flows, struct order *o, struct order *spare, size_t n, unsigned word)
{
	if (n <= SMALL || word > sizeof(struct fl_key) / 8) {
		sort_few(flows, o, n);
		return;
	}
	for (size_t i = 0; i < n; i++)
		o[i].word = word_of(&flows[o[i].at], word);
	sort_word(o, spare, n);
	for (size_t i = 0, end; i < n; i = end) {
		for (end = i + 1; end < n && o[end].word == o[i].word; end++)
			;
		if (end - i > 1)
			sort_flows(flows, o + i, spare + i, end - i, word + 1);
	}
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
	size_t n = FL_MAX(t->count, (size_t)1);
	struct order *order = NULL;
	struct copy c = {0};
	struct fl_flow *sorted = NULL;

	if (t->count <= UINT32_MAX) {
		c.to = malloc(n * sizeof *c.to);
		sorted = malloc(n * sizeof *sorted);
		order = malloc(2 * n * sizeof *order);
	}
	if (!c.to || !sorted || !order) {
		free(c.to);
		free(sorted);
		free(order);
		return -ENOMEM;
	}
	fl_table_each(t, copy_flow, &c);
	for (size_t i = 0; i < c.n; i++)
		order[i].at = (uint32_t)i;
	sort_flows(c.to, order, order + n, c.n, 0);
	for (size_t i = 0; i < c.n; i++)
		sorted[i] = c.to[order[i].at];
	free(c.to);
	free(order);
	fl_table_clear(t);
	*ret = sorted;
	*ret_n = c.n;
	return 0;
}
