/* SPDX-License-Identifier: Apache-2.0 */
/* Buckets of eight slots, two buckets a key; a byte of the hash for each slot tells most misses without looking. */
#include "policy/connections.h"

#include <errno.h>
#include <stdlib.h>

#include "base/error.h"
#include "base/hash.h"

#define BUCKET 8
#define VERSION 1
#define ENCODED_HEAD 5 /* version, count */
#define ENCODED_MAX (1u << 26)
#define P_TCP 6
#define P_UDP 17

struct fl_connections {
	struct conn *slot;
	uint8_t *tag;              /* 0: free */
	size_t capacity, used, at; /* at: where expiry goes on */
	uint64_t seed, start_ms, evicted;
};

int fl_connections_new(struct fl_connections **ret, const struct fl_connections_conf *conf)
{
	struct fl_connections *c = calloc(1, sizeof *c);
	size_t capacity = 2 * BUCKET;

	if (conf->capacity > ENCODED_MAX) {
		free(c);
		return fl_fail(-EINVAL, "%zu connections: at most %u", conf->capacity, ENCODED_MAX);
	}
	while (capacity < conf->capacity)
		capacity *= 2;
	if (c) {
		*c = (struct fl_connections){.capacity = capacity, .seed = conf->seed, .start_ms = conf->start_ms};
		c->slot = fl_map_alloc(capacity * sizeof *c->slot);
		c->tag = calloc(capacity, 1);
	}
	if (!c || !c->slot || !c->tag) {
		fl_connections_free(&c);
		return fl_fail(-ENOMEM, "no memory for %zu connections", capacity);
	}
	*ret = c;
	return 0;
}

void fl_connections_free(struct fl_connections **connections)
{
	struct fl_connections *c = *connections;

	if (!c)
		return;
	if (c->slot)
		fl_map_free(c->slot, c->capacity * sizeof *c->slot);
	free(c->tag);
	free(c);
	*connections = NULL;
}

void fl_connections_stats(const struct fl_connections *c, struct fl_connections_stats *ret)
{
	*ret = (struct fl_connections_stats){c->used, c->capacity, c->evicted};
}

uint64_t conn_start_ms(const struct fl_connections *c)
{
	return c->start_ms;
}

/* ---- one connection ---- */

/* An ended TCP connection is remembered for what comes late. */
static uint64_t forget_ms(const struct conn *e)
{
	uint64_t more = e->proto == P_TCP ? FL_CONN_REMEMBER_S * 1000ull : 0;

	return e->end_ms > UINT64_MAX - more ? UINT64_MAX : e->end_ms + more;
}

static bool is_forgotten(const struct conn *e, uint64_t now_ms)
{
	return now_ms >= forget_ms(e);
}

bool conn_is_over(const struct conn *e, uint64_t now_ms)
{
	return e->state & CONN_CLOSED || now_ms >= e->end_ms;
}

static unsigned count_of(const struct conn *e, enum fl_dir dir)
{
	return e->counts >> 2 * (dir - 1) & 3;
}

static void count(struct conn *e, enum fl_dir dir, uint32_t packets)
{
	unsigned shift = 2 * (dir - 1u), n = packets > 1 ? 2 : FL_MIN(count_of(e, dir) + packets, 2u);

	e->counts = (uint8_t)((e->counts & ~(3u << shift)) | n << shift);
}

/* Without sequence numbers the last ACK is the first packet that the side of the first FIN sends after the second. */
static void advance_tcp(struct conn *e, enum fl_dir dir, uint8_t tcp)
{
	enum { FIN = 1, RST = 4 };
	uint8_t both = CONN_BOTH(CONN_FIN);
	enum fl_dir last = e->state & CONN_LAST_EGRESS ? FL_DIR_EGRESS : FL_DIR_INGRESS;

	if (tcp & RST) {
		e->state |= CONN_CLOSED;
	} else if (tcp & FIN) {
		bool second = (e->state & both) == CONN_BIT(CONN_FIN, 3 - dir);

		e->state |= CONN_BIT(CONN_FIN, dir);
		if (second && dir == FL_DIR_EGRESS)
			e->state |= CONN_LAST_EGRESS;
	} else if ((e->state & both) == both && dir != last) {
		e->state |= CONN_CLOSED;
	}
}

static uint32_t timeout_s(const struct conn *e, const struct conn_timeouts *t)
{
	bool nlb = e->counts & CONN_NLB;

	switch (e->proto) {
	case P_TCP:
		if ((e->state & CONN_BOTH(CONN_FIN)) == CONN_BOTH(CONN_FIN))
			return FL_CONN_CLOSE_S;
		return (e->state & CONN_BOTH(CONN_SEEN)) == CONN_BOTH(CONN_SEEN) ? nlb ? FL_CONN_NLB_TCP_S : t->tcp_s
										 : FL_CONN_SYN_S;
	case P_UDP:
		if (nlb)
			return FL_CONN_NLB_UDP_S;
		return count_of(e, FL_DIR_INGRESS) == 2 && count_of(e, FL_DIR_EGRESS) == 2 ? t->udp_stream_s : t->udp_s;
	case 1:
	case 58:
		return FL_CONN_ICMP_S;
	default:
		return FL_CONN_OTHER_S;
	}
}

void conn_advance(struct conn *e, enum fl_dir dir, uint8_t tcp, uint32_t packets, uint64_t first_ms, uint64_t last_ms,
		  const struct conn_timeouts *t)
{
	last_ms = FL_MAX(first_ms, last_ms);
	e->last_ms = FL_MAX(e->last_ms, last_ms);
	e->state |= CONN_BIT(CONN_SEEN, dir);
	count(e, dir, FL_MAX(packets, 1u));
	if (e->proto == P_TCP)
		advance_tcp(e, dir, tcp);
	e->end_ms = e->last_ms + (e->state & CONN_CLOSED ? 0 : timeout_s(e, t) * 1000ull);
}

/* ---- the table ---- */

/* The key is the first 38 bytes of a slot, v6 with them. */
#define KEY_WORDS 5

static inline uint64_t key_word(const struct conn *k, unsigned i)
{
	uint64_t w;

	memcpy(&w, (const char *)k + 8 * i, 8);
	return w;
}

static inline uint64_t key_tail(const struct conn *k)
{
	return (uint64_t)k->lport << 32 | (uint64_t)k->rport << 16 | (uint64_t)k->proto << 8 | k->v6;
}

static inline uint64_t hash_key(const struct fl_connections *c, const struct conn *k)
{
	uint64_t a = fl_mum(key_word(k, 0) ^ c->seed, key_word(k, 1) ^ 0xa0761d6478bd642full),
		 b = fl_mum(key_word(k, 2) ^ 0xe7037ed1a0b428dbull, key_word(k, 3) ^ ~c->seed);

	return fl_mum(fl_mum(a ^ key_word(k, 4), b ^ 0x8ebc6af09c88c6e3ull) ^ c->seed,
		      key_tail(k) ^ 0x589965cc75374cc3ull);
}

static inline bool same_key(const struct conn *a, const struct conn *b)
{
	uint64_t differs = key_tail(a) ^ key_tail(b);

	for (unsigned i = 0; i < KEY_WORDS; i++)
		differs |= key_word(a, i) ^ key_word(b, i);
	return !differs;
}

struct place {
	size_t bucket[2]; /* first slots */
	uint8_t tag;
};

static struct place place_of(const struct fl_connections *c, const struct conn *key)
{
	uint64_t h = hash_key(c, key);
	size_t mask = c->capacity / BUCKET - 1;

	return (struct place){{(h & mask) * BUCKET, (h >> 28 & mask) * BUCKET}, (uint8_t)(h >> 56 | 1)};
}

static void release(struct fl_connections *c, size_t i)
{
	c->tag[i] = 0;
	c->used--;
}

struct conn *conn_find(struct fl_connections *c, const struct conn *key, uint64_t now_ms)
{
	struct place p = place_of(c, key);

	for (unsigned b = 0; b < 2; b++) {
		uint64_t tags, hits;

		/* Bytes equal to the tag become zero; the classic test for a zero byte may name a byte above a real
		 * one too, and comparing the key settles that. */
		memcpy(&tags, c->tag + p.bucket[b], 8);
		tags ^= 0x0101010101010101ull * p.tag;
		hits = (tags - 0x0101010101010101ull) & ~tags & 0x8080808080808080ull;
		for (; hits; hits &= hits - 1) {
			size_t i = p.bucket[b] + (size_t)__builtin_ctzll(hits) / 8;

			if (!same_key(&c->slot[i], key))
				continue;
			if (!is_forgotten(&c->slot[i], now_ms))
				return &c->slot[i];
			release(c, i);
			return NULL;
		}
	}
	return NULL;
}

/* A free slot in the emptier bucket; else the one that will be, or was, forgotten first. */
static size_t make_room(struct fl_connections *c, const struct place *p, uint64_t now_ms)
{
	size_t first = p->bucket[0], free_at[2] = {SIZE_MAX, SIZE_MAX}, free_n[2] = {0};

	for (unsigned b = 0; b < 2; b++)
		for (size_t i = p->bucket[b]; i < p->bucket[b] + BUCKET; i++)
			if (!c->tag[i]) {
				free_at[b] = i;
				free_n[b]++;
			} else if (c->tag[first] && forget_ms(&c->slot[i]) < forget_ms(&c->slot[first])) {
				first = i;
			}
	if (free_n[0] || free_n[1])
		return free_n[0] >= free_n[1] ? free_at[0] : free_at[1];
	c->evicted += !is_forgotten(&c->slot[first], now_ms);
	release(c, first);
	return first;
}

struct conn *conn_insert(struct fl_connections *c, const struct conn *key, uint64_t now_ms)
{
	struct place p = place_of(c, key);
	size_t i = make_room(c, &p, now_ms);

	c->tag[i] = p.tag;
	c->used++;
	c->slot[i] = *key;
	c->slot[i].state = c->slot[i].counts = 0;
	c->slot[i].last_ms = c->slot[i].end_ms = 0;
	return &c->slot[i];
}

void fl_connections_expire(struct fl_connections *c, uint64_t now_ms, size_t budget)
{
	for (budget = FL_MIN(budget, c->capacity); budget; budget--) {
		if (c->tag[c->at] && is_forgotten(&c->slot[c->at], now_ms))
			release(c, c->at);
		c->at = (c->at + 1) & (c->capacity - 1);
	}
}

/* ---- as bytes ---- */

int fl_connections_encode(const struct fl_connections *c, uint64_t now_ms, struct fl_buf *out)
{
	uint8_t head[ENCODED_HEAD] = {VERSION};
	size_t at = out->len;
	uint32_t n = 0;
	int r = fl_buf_add(out, head, sizeof head);

	for (size_t i = 0; !r && i < c->capacity; i++)
		if (c->tag[i] && !is_forgotten(&c->slot[i], now_ms)) {
			r = fl_buf_add(out, &c->slot[i], sizeof c->slot[i]); /* little-endian, as base/cursor.h asks */
			n++;
		}
	if (!r)
		memcpy(out->data + at + 1, &n, sizeof n);
	return r;
}

static void decode_one(struct fl_cursor *from, struct conn *e)
{
	const uint8_t *addrs = fl_cur_take(from, 32);

	if (addrs) {
		memcpy(e->local.b, addrs, 16);
		memcpy(e->remote.b, addrs + 16, 16);
	}
	e->eni = fl_cur_le64(from);
	e->lport = fl_cur_le16(from);
	e->rport = fl_cur_le16(from);
	e->proto = fl_cur_u8(from);
	e->v6 = fl_cur_u8(from);
	e->state = fl_cur_u8(from);
	e->counts = fl_cur_u8(from);
	e->last_ms = fl_cur_le64(from);
	e->end_ms = fl_cur_le64(from);
}

static const char *what_is_wrong(const struct conn *e)
{
	if (e->v6 > 1 || (!e->v6 && (!fl_addr_is_mapped_v4(&e->local) || !fl_addr_is_mapped_v4(&e->remote))))
		return "its family does not fit its addresses";
	if ((e->lport || e->rport) && e->proto != P_TCP && e->proto != P_UDP)
		return "its protocol has no ports";
	if (!(e->state & CONN_BOTH(CONN_OPENED)) || !(e->state & CONN_BOTH(CONN_SEEN)))
		return "nobody opened it";
	if (e->proto != P_TCP && e->state & (CONN_CLOSED | CONN_LAST_EGRESS | CONN_BOTH(CONN_FIN)))
		return "only TCP closes";
	if (e->counts >> 5 || (e->counts & 3) == 3 || (e->counts >> 2 & 3) == 3)
		return "its counts are out of range";
	if (e->end_ms < e->last_ms || e->end_ms - e->last_ms > (uint64_t)UINT32_MAX * 1000)
		return "its end is out of range";
	return NULL;
}

int fl_connections_decode(struct fl_connections *c, struct fl_cursor *from)
{
	uint8_t version = fl_cur_u8(from);
	uint32_t n = fl_cur_le32(from);

	if (from->bad || version != VERSION)
		return fl_fail(-EBADMSG, "connections: version %u instead of %u", version, VERSION);
	if (n > fl_cur_left(from) / FL_CONNECTION_BYTES)
		return fl_fail(-EBADMSG, "connections: %u are announced, %zu bytes are there", n, fl_cur_left(from));
	for (uint32_t i = 0; i < n; i++) {
		struct conn e = {0}, *slot;
		const char *wrong;

		decode_one(from, &e);
		wrong = what_is_wrong(&e);
		if (wrong)
			return fl_fail(-EBADMSG, "connections: entry %u: %s", i, wrong);
		slot = conn_find(c, &e, 0);
		slot = slot ? slot : conn_insert(c, &e, 0);
		*slot = e;
	}
	return 0;
}
