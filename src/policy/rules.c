/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/rules.h"

#include <errno.h>
#include <stdlib.h>

#include "base/error.h"
#include "base/hash.h"

#define NODE 16 /* keys a node of a tree: one cache line */
#define LEVELS 6
#define WORD 64

/* Where a rule begins (+1) or ceases (-1) to cover. */
struct event {
	fl_u128 at;
	uint32_t rule;
	int32_t delta;
};
struct events {
	struct event *event;
	size_t n, cap;
};

/* Sets of rules; row i has its summary first when there is more than one word. */
struct classes {
	uint64_t *row;
	size_t n, cap;
};

/* Sorted starts of ranges as a tree without pointers: level 0 has all of them, each level above the first key of every
 * node below. Keys are stored with the top bit turned over, because vector units compare signed numbers. */
struct tree {
	int32_t *level[LEVELS];
	uint32_t keys[LEVELS]; /* without the padding */
	uint32_t *class;
	uint32_t levels;
};
struct wide { /* IPv6 */
	fl_u128 *at;
	uint32_t *class;
	uint32_t n;
};

struct fl_rules {
	struct fl_origin *origin;
	uint32_t n, words, sums, stride;
	struct tree service, v4;
	struct wide v6;
	struct classes service_class, v4_class, v6_class;
	uint8_t *world; /* by service class: bit 0 IPv4, bit 1 IPv6 */
	uint8_t all[2]; /* TCP, UDP; the same bits */
};

struct fl_rules_builder {
	struct fl_rules *rules;
	size_t origin_cap;
	struct events service, v4, v6;
	uint64_t *world_rules[2]; /* by family, a bit a rule */
	uint8_t rule_all;         /* of the rule being built: bit 0 all of TCP, bit 1 all of UDP */
	uint8_t rule_world;       /* bit 0 IPv4, bit 1 IPv6 */
};

uint32_t fl_svc_key(uint8_t proto, uint16_t port, int icmp_type, int icmp_code)
{
	uint32_t icmp;

	switch (proto) {
	case 6:
		return FL_SVC_TCP | port;
	case 17:
		return FL_SVC_UDP | port;
	case 1:
	case 58:
		if (icmp_type < 0 || icmp_type > 255)
			icmp = FL_SVC_ANY_TYPE;
		else if (icmp_code < 0 || icmp_code > 255)
			icmp = FL_SVC_ANY_CODE | (uint32_t)icmp_type;
		else
			icmp = (uint32_t)icmp_type << 8 | (uint32_t)icmp_code;
		return (proto == 1 ? FL_SVC_ICMP : FL_SVC_ICMP6) | icmp;
	default:
		return FL_SVC_OTHER | proto;
	}
}

/* ---- building ---- */

int fl_rules_begin(struct fl_rules_builder **ret)
{
	struct fl_rules_builder *b = calloc(1, sizeof *b);

	if (b)
		b->rules = calloc(1, sizeof *b->rules);
	if (!b || !b->rules) {
		free(b);
		return -ENOMEM;
	}
	*ret = b;
	return 0;
}

void fl_rules_abandon(struct fl_rules_builder **builder)
{
	struct fl_rules_builder *b = *builder;

	if (!b)
		return;
	fl_rules_free(&b->rules);
	free(b->service.event);
	free(b->v4.event);
	free(b->v6.event);
	free(b->world_rules[0]);
	free(b->world_rules[1]);
	free(b);
	*builder = NULL;
}

static void close_rule(struct fl_rules_builder *b)
{
	struct fl_rules *r = b->rules;

	for (unsigned p = 0; p < 2; p++)
		if (b->rule_all >> p & 1)
			r->all[p] |= b->rule_world;
	for (unsigned v = 0; v < 2; v++)
		if (b->rule_world >> v & 1)
			b->world_rules[v][(r->n - 1) / WORD] |= 1ull << (r->n - 1) % WORD;
	b->rule_all = b->rule_world = 0;
}

int fl_rules_add(struct fl_rules_builder *b, struct fl_origin origin)
{
	struct fl_rules *r = b->rules;

	close_rule(b);
	if (r->n == FL_POLICY_RULES_MAX)
		return fl_fail(-E2BIG, "more than %u rules in one direction", FL_POLICY_RULES_MAX);
	if (r->n == b->origin_cap) {
		size_t cap = b->origin_cap ? 2 * b->origin_cap : WORD, old = b->origin_cap / 8;
		struct fl_origin *more = realloc(r->origin, cap * sizeof *more);

		if (!more)
			return -ENOMEM;
		r->origin = more;
		for (unsigned v = 0; v < 2; v++) {
			uint64_t *bits = realloc(b->world_rules[v], cap / 8);

			if (!bits)
				return -ENOMEM;
			memset((char *)bits + old, 0, cap / 8 - old);
			b->world_rules[v] = bits;
		}
		b->origin_cap = cap;
	}
	r->origin[r->n++] = origin;
	return 0;
}

/* last: the greatest number of the space, where no end is needed. */
static int cover(struct fl_rules_builder *b, struct events *e, fl_u128 from, fl_u128 to, fl_u128 last)
{
	if (e->n + 2 > e->cap) {
		size_t cap = e->cap ? 2 * e->cap : 64;
		struct event *more;

		if (e->n / 2 >= FL_POLICY_RANGES_MAX)
			return fl_fail(-E2BIG, "more than %u ranges in one direction's rules", FL_POLICY_RANGES_MAX);
		more = realloc(e->event, cap * sizeof *more);
		if (!more)
			return -ENOMEM;
		e->event = more;
		e->cap = cap;
	}
	e->event[e->n++] = (struct event){from, b->rules->n - 1, 1};
	if (to < last)
		e->event[e->n++] = (struct event){to + 1, b->rules->n - 1, -1};
	return 0;
}

static int cover_service(struct fl_rules_builder *b, uint32_t from, uint32_t to)
{
	return cover(b, &b->service, from, to, FL_SVC_END);
}

int fl_rules_any_service(struct fl_rules_builder *b)
{
	b->rule_all = 3;
	return cover_service(b, 0, FL_SVC_END);
}

static int cover_icmp(struct fl_rules_builder *b, uint32_t slot, int type, int code, bool allow)
{
	uint32_t at = slot | (uint32_t)type << 8;
	int r;

	if (type < 0)
		return cover_service(b, slot, slot | FL_SVC_ANY_TYPE);
	if (code < 0) {
		r = cover_service(b, at, at | 255);
		r = r ? r
		      : cover_service(b, slot | FL_SVC_ANY_CODE | (uint32_t)type,
				      slot | FL_SVC_ANY_CODE | (uint32_t)type);
	} else {
		r = cover_service(b, at | (uint32_t)code, at | (uint32_t)code);
		if (!r && allow)
			r = cover_service(b, slot | FL_SVC_ANY_CODE | (uint32_t)type,
					  slot | FL_SVC_ANY_CODE | (uint32_t)type);
	}
	return r || !allow ? r : cover_service(b, slot | FL_SVC_ANY_TYPE, slot | FL_SVC_ANY_TYPE);
}

int fl_rules_service(struct fl_rules_builder *b, int proto, uint16_t from, uint16_t to, int icmp_type, int icmp_code,
		     bool allow)
{
	if (proto < 0)
		return fl_rules_any_service(b);
	if (proto == 6 || proto == 17) {
		uint32_t slot = proto == 6 ? FL_SVC_TCP : FL_SVC_UDP;

		if (from > to)
			return 0; /* covers nothing */
		if (from == 0 && to == 65535)
			b->rule_all |= proto == 6 ? 1 : 2;
		return cover_service(b, slot | from, slot | to);
	}
	if (proto == 1 || proto == 58)
		return cover_icmp(b, proto == 1 ? FL_SVC_ICMP : FL_SVC_ICMP6, icmp_type > 255 ? -1 : icmp_type,
				  icmp_code > 255 ? -1 : icmp_code, allow);
	return cover_service(b, FL_SVC_OTHER | (uint8_t)proto, FL_SVC_OTHER | (uint8_t)proto);
}

static fl_u128 addr_number(const struct fl_addr *a)
{
	uint64_t half[2];

	memcpy(half, a->b, 16);
	return (fl_u128)__builtin_bswap64(half[0]) << 64 | __builtin_bswap64(half[1]);
}

int fl_rules_cidr(struct fl_rules_builder *b, const struct fl_cidr *cidr, bool v6)
{
	fl_u128 from = addr_number(&cidr->base), span;

	if (!v6) {
		unsigned bits = cidr->bits < 96 ? 0 : cidr->bits - 96u;

		from = (uint32_t)from;
		span = bits ? (1ull << (32 - bits)) - 1 : UINT32_MAX;
		b->rule_world |= !bits;
		return cover(b, &b->v4, from, from + span, UINT32_MAX);
	}
	span = cidr->bits ? cidr->bits == 128 ? 0 : ((fl_u128)1 << (128 - cidr->bits)) - 1 : ~(fl_u128)0;
	b->rule_world |= cidr->bits ? 0 : 2;
	return cover(b, &b->v6, from, from + span, ~(fl_u128)0);
}

static int compare_events(const void *pa, const void *pb)
{
	const struct event *a = pa, *b = pb;

	return a->at < b->at ? -1 : a->at > b->at;
}

/* ---- from events to classes ---- */

/* The boundaries of one dimension, and the set of rules of each range. */
struct sweep {
	const struct fl_rules *rules;
	struct classes *classes;
	uint64_t *now;    /* the row being kept, summary first */
	uint32_t *cover;  /* how often each rule covers this point */
	uint32_t *index;  /* hash of a row -> class + 1 */
	size_t index_cap; /* power of two */
	fl_u128 *at;
	uint32_t *class;
	size_t n;
};

static void summarise(const struct fl_rules *r, uint64_t *row)
{
	if (!r->sums)
		return;
	memset(row, 0, r->sums * sizeof *row);
	for (uint32_t w = 0; w < r->words; w++)
		if (row[r->sums + w])
			row[w / WORD] |= 1ull << w % WORD;
}

static int grow_index(struct sweep *s)
{
	size_t cap = s->index_cap ? 2 * s->index_cap : 64, bytes = s->rules->stride * sizeof(uint64_t);
	uint32_t *index = calloc(cap, sizeof *index);

	if (!index)
		return -ENOMEM;
	for (size_t c = 0; c < s->classes->n; c++) {
		size_t i = fl_hash_bytes(s->classes->row + c * s->rules->stride, bytes, 0) & (cap - 1);

		while (index[i])
			i = (i + 1) & (cap - 1);
		index[i] = (uint32_t)c + 1;
	}
	free(s->index);
	s->index = index;
	s->index_cap = cap;
	return 0;
}

/* The class whose rules are those of s->now. */
static int class_of(struct sweep *s, uint32_t *ret)
{
	struct classes *c = s->classes;
	size_t stride = s->rules->stride, bytes = stride * sizeof(uint64_t), i;

	if (2 * c->n >= s->index_cap && grow_index(s))
		return -ENOMEM;
	summarise(s->rules, s->now);
	for (i = fl_hash_bytes(s->now, bytes, 0) & (s->index_cap - 1); s->index[i]; i = (i + 1) & (s->index_cap - 1))
		if (!memcmp(c->row + (s->index[i] - 1) * stride, s->now, bytes)) {
			*ret = s->index[i] - 1;
			return 0;
		}
	if (c->n == c->cap) {
		size_t cap = c->cap ? 2 * c->cap : 8;
		uint64_t *more = realloc(c->row, cap * bytes);

		if (!more)
			return -ENOMEM;
		c->row = more;
		c->cap = cap;
	}
	memcpy(c->row + c->n * stride, s->now, bytes);
	s->index[i] = (uint32_t)++c->n;
	*ret = (uint32_t)c->n - 1;
	return 0;
}

static int boundary(struct sweep *s, fl_u128 at)
{
	uint32_t class;
	int r = class_of(s, &class);

	if (r || (s->n && s->class[s->n - 1] == class))
		return r;
	s->at[s->n] = at;
	s->class[s->n++] = class;
	return 0;
}

static void apply(struct sweep *s, const struct event *e)
{
	uint64_t *word = &s->now[s->rules->sums + e->rule / WORD], bit = 1ull << e->rule % WORD;

	s->cover[e->rule] += (uint32_t)e->delta;
	*word = s->cover[e->rule] ? *word | bit : *word & ~bit;
}

static int run_sweep(struct sweep *s, struct events *e)
{
	size_t i = 0;
	int r = 0;

	s->now = calloc(s->rules->stride, sizeof *s->now);
	s->cover = calloc(s->rules->n + 1, sizeof *s->cover);
	s->at = malloc((e->n + 1) * sizeof *s->at);
	s->class = malloc((e->n + 1) * sizeof *s->class);
	if (!s->now || !s->cover || !s->at || !s->class)
		return -ENOMEM;
	if (e->n)
		qsort(e->event, e->n, sizeof *e->event, compare_events);
	if (!e->n || e->event[0].at)
		r = boundary(s, 0);
	while (!r && i < e->n) {
		fl_u128 at = e->event[i].at;

		for (; i < e->n && e->event[i].at == at; i++)
			apply(s, &e->event[i]);
		r = boundary(s, at);
	}
	return r;
}

static int32_t turned(uint32_t key)
{
	return (int32_t)(key ^ 0x80000000u);
}

static int make_tree(struct tree *t, const struct sweep *s)
{
	size_t n = s->n;

	for (t->levels = 0; t->levels < LEVELS; t->levels++) {
		size_t padded = (n + NODE - 1) / NODE * NODE;
		int32_t *keys = aligned_alloc(NODE * sizeof *keys, padded * sizeof *keys);

		if (!keys)
			return -ENOMEM;
		t->level[t->levels] = keys;
		t->keys[t->levels] = (uint32_t)n;
		for (size_t i = 0; i < padded; i++)
			keys[i] = i >= n      ? INT32_MAX
				  : t->levels ? t->level[t->levels - 1][i * NODE]
					      : turned((uint32_t)s->at[i]);
		if (n <= NODE)
			break;
		n = padded / NODE;
	}
	t->levels++;
	t->class = malloc(s->n * sizeof *t->class);
	if (!t->class)
		return -ENOMEM;
	memcpy(t->class, s->class, s->n * sizeof *t->class);
	return 0;
}

static int make_dimension(struct fl_rules_builder *b, struct events *e, struct classes *classes, struct tree *tree,
			  struct wide *wide)
{
	struct sweep s = {.rules = b->rules, .classes = classes};
	int r = run_sweep(&s, e);

	if (!r && tree)
		r = make_tree(tree, &s);
	if (!r && wide) {
		*wide = (struct wide){s.at, s.class, (uint32_t)s.n};
		s.at = NULL;
		s.class = NULL;
	}
	free(s.now);
	free(s.cover);
	free(s.index);
	free(s.at);
	free(s.class);
	return r;
}

static int make_world(struct fl_rules_builder *b)
{
	struct fl_rules *r = b->rules;

	r->world = calloc(r->service_class.n, 1);
	if (!r->world)
		return -ENOMEM;
	for (size_t c = 0; c < r->service_class.n; c++)
		for (uint32_t w = 0; w < r->words && r->n; w++)
			for (unsigned v = 0; v < 2; v++)
				if (r->service_class.row[c * r->stride + r->sums + w] & b->world_rules[v][w])
					r->world[c] |= (uint8_t)(1u << v);
	return 0;
}

int fl_rules_finish(struct fl_rules_builder **builder, struct fl_rules **ret)
{
	struct fl_rules_builder *b = *builder;
	struct fl_rules *r = b->rules;
	int e;

	close_rule(b);
	r->words = FL_MAX((r->n + WORD - 1) / WORD, 1u);
	r->sums = r->words > 1 ? (r->words + WORD - 1) / WORD : 0;
	r->stride = r->words + r->sums;
	e = make_dimension(b, &b->service, &r->service_class, &r->service, NULL);
	e = e ? e : make_dimension(b, &b->v4, &r->v4_class, &r->v4, NULL);
	e = e ? e : make_dimension(b, &b->v6, &r->v6_class, NULL, &r->v6);
	e = e ? e : make_world(b);
	if (!e) {
		*ret = r;
		b->rules = NULL;
	}
	fl_rules_abandon(builder);
	return e;
}

void fl_rules_free(struct fl_rules **rules)
{
	struct fl_rules *r = *rules;

	if (!r)
		return;
	for (unsigned i = 0; i < LEVELS; i++) {
		free(r->service.level[i]);
		free(r->v4.level[i]);
	}
	free(r->service.class);
	free(r->v4.class);
	free(r->v6.at);
	free(r->v6.class);
	free(r->service_class.row);
	free(r->v4_class.row);
	free(r->v6_class.row);
	free(r->world);
	free(r->origin);
	free(r);
	*rules = NULL;
}

/* ---- matching ---- */

typedef int32_t lanes __attribute__((vector_size(16), may_alias));

static inline uint32_t find(const struct tree *t, uint32_t number)
{
	int32_t key = turned(number);
	uint32_t at = 0;

	for (uint32_t l = t->levels; l-- > 0;) {
		const lanes *node = (const lanes *)(const void *)(t->level[l] + (size_t)at * NODE);
		/* How many keys are not above, without a branch: -1 a lane. The first always is not. */
		lanes below = (node[0] <= key) + (node[1] <= key) + (node[2] <= key) + (node[3] <= key);

		at = at * NODE - (uint32_t)(below[0] + below[1] + below[2] + below[3]) - 1;
		at = FL_MIN(at, t->keys[l] - 1); /* the greatest number meets the padding too */
	}
	return t->class[at];
}

static inline uint32_t find_wide(const struct wide *w, fl_u128 key)
{
	uint32_t at = 0, n = w->n;

	while (n > 1) {
		uint32_t half = n / 2;

		at = w->at[at + half] <= key ? at + half : at;
		n -= half;
	}
	return w->class[at];
}

static inline int32_t first_common(const struct fl_rules *r, const uint64_t *a, const uint64_t *b)
{
	if (!r->sums)
		return a[0] & b[0] ? __builtin_ctzll(a[0] & b[0]) : -1;
	for (uint32_t s = 0; s < r->sums; s++)
		for (uint64_t both = a[s] & b[s]; both; both &= both - 1) {
			uint32_t w = s * WORD + (uint32_t)__builtin_ctzll(both);
			uint64_t common = a[r->sums + w] & b[r->sums + w];

			if (common)
				return (int32_t)(w * WORD + (uint32_t)__builtin_ctzll(common));
		}
	return -1;
}

const struct fl_origin *fl_rules_match(const struct fl_rules *r, uint32_t service, const struct fl_addr *peer, bool v6)
{
	const uint64_t *s = r->service_class.row + (size_t)find(&r->service, service) * r->stride, *a;
	int32_t i;

	if (v6) {
		a = r->v6_class.row + (size_t)find_wide(&r->v6, addr_number(peer)) * r->stride;
	} else {
		uint32_t v4;

		memcpy(&v4, peer->b + 12, 4);
		a = r->v4_class.row + (size_t)find(&r->v4, __builtin_bswap32(v4)) * r->stride;
	}
	i = first_common(r, s, a);
	return i < 0 ? NULL : &r->origin[i];
}

bool fl_rules_world(const struct fl_rules *r, uint32_t service, bool v6)
{
	return r->world[find(&r->service, service)] >> v6 & 1;
}

bool fl_rules_all(const struct fl_rules *r, uint32_t slot, bool v6)
{
	return r->all[slot == FL_SVC_UDP] >> v6 & 1;
}
