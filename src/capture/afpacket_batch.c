/* SPDX-License-Identifier: Apache-2.0 */
#include "capture/afpacket_batch.h"

#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/virtio_net.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/mem.h"

#define STAGE 64     /* frames decoded before the cache is touched: their lines arrive meanwhile */
#define OUT_MAX 4096 /* partials in one hand-over: 256 KiB of log */
#define ROWS_MAX 4096
#define PACKETS_FULL (1u << 31)
#define FRAME_ALIGNMENT 8 /* V3_ALIGNMENT in the kernel's af_packet.c: not TPACKET_ALIGNMENT */
#define GSO_UDP_L4 5      /* VIRTIO_NET_HDR_GSO_UDP_L4, Linux 6.2; not in Debian 12's headers */

_Static_assert(sizeof(struct virtio_net_hdr) == FL_AFP_VNET_BYTES, "the header the kernel writes");

/* ---- blocks ---- */

int fl_afp_block_open(struct fl_afp_block *ret, const void *base, size_t size)
{
	const struct tpacket_block_desc *d = base;

	*ret = (struct fl_afp_block){.base = base, .size = size};
	if (size < sizeof *d || d->hdr.bh1.blk_len > size)
		return fl_fail(-EBADMSG, "a block of the packet ring is damaged: it says %u of %zu bytes",
			       size < sizeof *d ? 0 : d->hdr.bh1.blk_len, size);
	if (d->hdr.bh1.blk_len >= sizeof *d)
		ret->size = d->hdr.bh1.blk_len;
	ret->at = d->hdr.bh1.offset_to_first_pkt;
	ret->left = d->hdr.bh1.num_pkts;
	return 0;
}

/*
 * The number of segments of a buffer. The socket hands out gso_size but not gso_segs; what the last segment lacks is
 * found from where the innermost transport header begins (the checksum to be completed). 0: the decoder derives it from
 * the IP header.
 */
static uint32_t segments_of(const struct virtio_net_hdr *v, const uint8_t *frame, uint32_t caplen, uint32_t wire_len)
{
	uint32_t transport = v->csum_start, payload;
	bool udp = (v->gso_type & ~VIRTIO_NET_HDR_GSO_ECN) == GSO_UDP_L4;

	if (!(v->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) || !v->gso_size || transport + 20 > caplen)
		return 0;
	transport += udp ? 8 : (uint32_t)(frame[transport + 12] >> 4) * 4;
	if (wire_len <= transport)
		return 0;
	payload = wire_len - transport;
	return (payload + v->gso_size - 1) / v->gso_size;
}

static void read_vnet(const uint8_t *mac, struct fl_afp_frame *f)
{
	struct virtio_net_hdr v;

	memcpy(&v, mac - sizeof v, sizeof v);
	f->gso_size = f->gso_segs = 0;
	if (v.gso_type == VIRTIO_NET_HDR_GSO_NONE)
		return;
	f->gso_size = v.gso_size;
	f->gso_segs = segments_of(&v, mac, f->caplen, f->wire_len);
}

int fl_afp_block_next(struct fl_afp_block *b, struct fl_afp_frame *ret)
{
	const struct tpacket3_hdr *h;
	const struct sockaddr_ll *sll;
	size_t room;

	if (!b->left)
		return 0;
	if (b->at % FRAME_ALIGNMENT || b->at > b->size || b->size - b->at < TPACKET3_HDRLEN)
		return -EBADMSG;
	room = b->size - b->at;
	h = (const void *)(b->base + b->at);
	if (h->tp_mac < TPACKET3_HDRLEN + FL_AFP_VNET_BYTES || h->tp_mac > room || room - h->tp_mac < h->tp_snaplen ||
	    h->tp_net < h->tp_mac)
		return -EBADMSG;
	/* A step that does not reach behind this header would walk in circles. */
	if (b->left > 1 && h->tp_next_offset < TPACKET3_HDRLEN)
		return -EBADMSG;
	sll = (const void *)(b->base + b->at + TPACKET_ALIGN(sizeof *h));
	ret->mac = b->base + b->at + h->tp_mac;
	ret->caplen = h->tp_snaplen;
	ret->wire_len = h->tp_len;
	ret->network = FL_MIN((uint32_t)(h->tp_net - h->tp_mac), h->tp_snaplen);
	ret->time_ns = h->tp_sec * FL_NS_PER_S + h->tp_nsec;
	ret->vlan_proto = 0;
	ret->vlan_tci = (uint16_t)h->hv1.tp_vlan_tci;
	if (h->tp_status & TP_STATUS_VLAN_VALID)
		ret->vlan_proto = h->tp_status & TP_STATUS_VLAN_TPID_VALID ? h->hv1.tp_vlan_tpid : ETH_P_8021Q;
	ret->protocol = __builtin_bswap16(sll->sll_protocol);
	ret->outgoing = sll->sll_pkttype == PACKET_OUTGOING;
	read_vnet(ret->mac, ret);
	b->left--;
	if (b->left && h->tp_next_offset > room)
		b->at = UINT32_MAX; /* the next call finds it damaged */
	else
		b->at += h->tp_next_offset;
	return 1;
}

/* ---- time ---- */

void fl_afp_clock_set(struct fl_afp_clock *c, uint64_t mono_base, uint32_t window_base)
{
	if (c->has_row) {
		c->row[1] = c->row[0];
		c->has_previous = true;
	}
	c->row[0].mono_base = mono_base;
	c->row[0].window_base = window_base;
	c->has_row = true;
}

/* Before the row in force began, the one before it counts; before that, its first window. */
uint32_t fl_afp_window_at(const struct fl_afp_clock *c, uint64_t mono)
{
	unsigned i = mono < c->row[0].mono_base && c->has_previous;

	if (mono <= c->row[i].mono_base)
		return c->row[i].window_base;
	return c->row[i].window_base + (uint32_t)((mono - c->row[i].mono_base) / c->window_ns);
}

uint64_t fl_afp_window_end(const struct fl_afp_clock *c, uint32_t window)
{
	unsigned i = window < c->row[0].window_base && c->has_previous;
	uint64_t n = window < c->row[i].window_base ? 0 : (uint64_t)(window - c->row[i].window_base) + 1;
	uint64_t end = c->row[i].mono_base + n * c->window_ns;

	/* A row that was replaced ends where the next begins. */
	return i ? FL_MIN(end, c->row[0].mono_base + c->window_ns) : end;
}

void fl_afp_when(const struct fl_afp_clock *c, uint64_t real_ns, struct fl_afp_when *ret)
{
	int64_t since_boot = (int64_t)real_ns - c->real_minus_mono;
	uint64_t mono = since_boot > 0 ? (uint64_t)since_boot : 0, start, into, unit;
	bool bent = mono < c->oldest_mono || mono > c->now_mono;
	unsigned i;

	mono = FL_MAX(mono, c->oldest_mono);
	mono = FL_MIN(mono, c->now_mono);
	ret->window = fl_afp_window_at(c, mono);
	i = mono < c->row[0].mono_base && c->has_previous;
	start = c->row[i].mono_base + (uint64_t)(ret->window - c->row[i].window_base) * c->window_ns;
	into = mono > start ? mono - start : 0;
	unit = into / FL_K_TIME_UNIT_NS;
	ret->unit = (uint16_t)FL_MIN(unit, (uint64_t)UINT16_MAX);
	if (ret->window < c->first_window) {
		ret->window = c->first_window;
		ret->unit = 0;
		bent = true;
	}
	ret->from_ns = ret->to_ns = real_ns;
	if (bent || mono < start)
		return;
	ret->from_ns = real_ns - into % FL_K_TIME_UNIT_NS;
	ret->to_ns = ret->from_ns + FL_K_TIME_UNIT_NS;
	/* The last unit of a window that is no multiple of the unit, and the guards' own borders. */
	ret->to_ns = FL_MIN(ret->to_ns, real_ns - into + c->window_ns);
	ret->to_ns = FL_MIN(ret->to_ns, real_ns + (c->now_mono - mono) + 1);
	ret->from_ns = FL_MAX(ret->from_ns, real_ns - (mono - c->oldest_mono));
}

/* ---- aggregation ---- */

struct staged {
	struct fl_partial partial;
	uint64_t hash;
};

struct fl_afp_batch {
	struct fl_partial *line; /* window 0: empty */
	uint32_t *used;          /* numbers of the lines in use */
	size_t n_used, lines;
	unsigned bits;
	bool inner;
	uint64_t seed, position;
	struct fl_fragments *fragments;
	size_t n_out, n_rows, n_staged;
	struct fl_partial out[OUT_MAX + STAGE];
	struct fl_live_counts row[ROWS_MAX];
	uint16_t row_at[FL_K_SLOTS][2]; /* 1 + the newest row of the slot and direction; 0: none */
	struct staged staged[STAGE] __attribute__((aligned(64)));
};

int fl_afp_batch_new(struct fl_afp_batch **ret, unsigned bits, bool inner, uint64_t seed)
{
	FL_CLEANUP(fl_afp_batch_free) struct fl_afp_batch *b = NULL;
	int r;

	if (posix_memalign((void **)&b, 64, sizeof *b))
		return -ENOMEM;
	memset(b, 0, sizeof *b);
	b->bits = bits;
	b->lines = (size_t)1 << bits;
	b->inner = inner;
	b->seed = seed;
	b->line = fl_map_alloc(b->lines * sizeof *b->line);
	b->used = malloc(b->lines * sizeof *b->used);
	if (!b->line || !b->used)
		return -ENOMEM;
	r = fl_fragments_new(&b->fragments, FL_FRAGMENT_CAPACITY, FL_FRAGMENT_TIMEOUT_NS, seed);
	if (r)
		return r;
	*ret = b;
	b = NULL;
	return 0;
}

void fl_afp_batch_free(struct fl_afp_batch **b)
{
	if (!*b)
		return;
	fl_map_free((*b)->line, (*b)->lines * sizeof *(*b)->line);
	free((*b)->used);
	fl_fragments_free(&(*b)->fragments);
	free(*b);
	*b = NULL;
}

uint64_t fl_afp_batch_position(const struct fl_afp_batch *b)
{
	return b->position;
}

void fl_afp_batch_set_position(struct fl_afp_batch *b, uint64_t position)
{
	b->position = position;
}

/* Gives the output to the sink. The rows go with the partials they were summed from. */
static int hand_over(struct fl_afp_batch *b, const struct fl_live_sink *sink)
{
	uint64_t to = b->position + b->n_out + b->n_rows;
	int r;

	if (!b->n_out && !b->n_rows)
		return 0;
	r = sink->ring(sink->ctx, b->position, to, b->out, b->n_out, b->row, b->n_rows);
	if (r)
		return r;
	for (size_t i = 0; i < b->n_rows; i++)
		b->row_at[b->row[i].slot][b->row[i].egress] = 0;
	b->position = to;
	b->n_out = b->n_rows = 0;
	return 0;
}

/* Room for what the next staged frames can push: a partial each, and two rows. */
static int make_room(struct fl_afp_batch *b, const struct fl_live_sink *sink)
{
	if (b->n_out <= OUT_MAX && b->n_rows + 3 * STAGE <= ROWS_MAX)
		return 0;
	return hand_over(b, sink);
}

static struct fl_live_counts *row_of(struct fl_afp_batch *b, uint16_t slot, bool egress, uint32_t window)
{
	uint16_t *at = &b->row_at[slot][egress];
	struct fl_live_counts *row;

	if (*at && b->row[*at - 1].window == window)
		return &b->row[*at - 1];
	row = &b->row[b->n_rows++];
	*row = (struct fl_live_counts){.slot = slot, .egress = egress, .window = window};
	*at = (uint16_t)b->n_rows;
	return row;
}

static void push(struct fl_afp_batch *b, const struct fl_partial *p)
{
	struct fl_live_counts *row = row_of(b, p->slot, p->dirfam & FL_K_TC_EGRESS, p->window);

	row->packets += p->packets;
	row->bytes += p->bytes;
	b->out[b->n_out] = *p;
	b->out[b->n_out++].evict = FL_EVICT_COLLISION;
}

/* The key of a partial is its first 40 bytes, and the window. */
#define KEY_BYTES 40
_Static_assert(offsetof(struct fl_partial, window) == KEY_BYTES, "the window follows the key");
_Static_assert(sizeof(struct fl_key) == KEY_BYTES &&
		   offsetof(struct fl_key, sport) == offsetof(struct fl_partial, sport) &&
		   offsetof(struct fl_key, iface) == offsetof(struct fl_partial, slot) &&
		   offsetof(struct fl_key, dirfam) == offsetof(struct fl_partial, dirfam) &&
		   offsetof(struct fl_key, proto) == offsetof(struct fl_partial, proto),
	       "a partial begins with the flow key");

/* The key's last word as one register: reading back what was just stored in smaller pieces stalls. */
static uint64_t last_word(const struct fl_key *k, uint16_t slot, uint8_t dirfam)
{
	return (uint64_t)k->sport | (uint64_t)k->dport << 16 | (uint64_t)slot << 32 | (uint64_t)dirfam << 48 |
	       (uint64_t)k->proto << 56;
}

static uint64_t hash_partial(const uint64_t k[5], uint32_t window, uint64_t seed)
{
	return fl_mum(fl_mum(k[0] ^ seed, k[1] ^ 0x9e3779b97f4a7c15ull) ^
			  fl_mum(k[2] ^ 0xc2b2ae3d27d4eb4full, k[3] ^ ~seed),
		      k[4] ^ window ^ 0x165667b19e3779f9ull);
}

static void add_staged(struct fl_afp_batch *b, const struct staged *s)
{
	size_t at = (size_t)(s->hash >> (64 - b->bits));
	struct fl_partial *line = &b->line[at];

	if (line->window && (line->window != s->partial.window || memcmp(line, &s->partial, KEY_BYTES) ||
			     line->packets >= PACKETS_FULL)) {
		push(b, line);
		*line = s->partial;
		return;
	}
	if (!line->window) {
		b->used[b->n_used++] = (uint32_t)at;
		*line = s->partial;
		return;
	}
	line->packets += s->partial.packets;
	line->bytes += s->partial.bytes;
	line->tcp |= s->partial.tcp;
	line->first = FL_MIN(line->first, s->partial.first);
	line->last = FL_MAX(line->last, s->partial.last);
}

static void add_all(struct fl_afp_batch *b)
{
	for (size_t i = 0; i < b->n_staged; i++)
		add_staged(b, &b->staged[i]);
	b->n_staged = 0;
}

static void stage(struct fl_afp_batch *b, const struct fl_packet *p, const struct fl_afp_when *when, uint16_t slot,
		  bool egress)
{
	struct staged *s = &b->staged[b->n_staged++];
	uint64_t key[5];

	memcpy(key, &p->key, 32);
	key[4] = last_word(&p->key, slot, (uint8_t)((p->key.dirfam & FL_KEY_V6) | (egress ? FL_K_TC_EGRESS : 0)));
	memcpy(&s->partial, key, KEY_BYTES);
	s->partial.window = when->window;
	s->partial.first = s->partial.last = when->unit;
	s->partial.packets = p->packets;
	s->partial.tcp = p->tcp;
	s->partial.evict = FL_EVICT_NONE;
	s->partial.cpu = 0;
	s->partial.bytes = p->bytes;
	s->hash = hash_partial(key, when->window, b->seed);
	__builtin_prefetch(&b->line[s->hash >> (64 - b->bits)], 1);
}

static enum fl_decoded decode(const struct fl_afp_batch *b, const struct fl_afp_frame *f, bool ethernet,
			      struct fl_packet *ret)
{
	struct fl_frame_meta meta = {
	    .wire_len = f->wire_len,
	    .gso_segs = f->gso_segs,
	    .gso_size = f->gso_size,
	    .vlan_proto = f->vlan_proto,
	    .time_ns = f->time_ns,
	};

	if (ethernet)
		return fl_decode(FL_LINK_ETHERNET, f->mac, f->caplen, &meta, b->inner, b->fragments, ret);
	if (f->protocol != ETH_P_IP && f->protocol != ETH_P_IPV6)
		return FL_DECODED_NOT_IP;
	meta.wire_len -= FL_MIN(f->network, meta.wire_len);
	return fl_decode(FL_LINK_RAW_IP, f->mac + f->network, f->caplen - f->network, &meta, b->inner, b->fragments,
			 ret);
}

/* A frame whose outermost tag, beside it or in it, is that of a VLAN with an interface of its own. */
static bool belongs_to_vlan(const struct fl_kvlans *vlans, const struct fl_afp_frame *f)
{
	uint16_t type = f->vlan_proto, tci = f->vlan_tci;

	if (!type) {
		if (f->caplen < 2 * ETH_ALEN + 4)
			return false;
		type = (uint16_t)(f->mac[12] << 8 | f->mac[13]);
		tci = (uint16_t)(f->mac[14] << 8 | f->mac[15]);
	}
	if (type != ETH_P_8021Q && type != ETH_P_8021AD)
		return false;
	tci &= 0xfff;
	return vlans->id[type == ETH_P_8021AD][tci / 64] >> tci % 64 & 1;
}

/* Counted like a partial's packets, but never staged. */
static void count_for_vlan(struct fl_live_counts *row, uint64_t packets, uint64_t bytes)
{
	row->skbs++;
	row->packets += packets;
	row->bytes += bytes;
	row->vlan_packets += packets;
	row->vlan_bytes += bytes;
}

/* Frames of one stage's length. Positive: the block has more. */
static int stage_frames(struct fl_afp_batch *b, struct fl_afp_block *block, const struct fl_afp_clock *clock,
			const struct fl_afp_source *s)
{
	struct fl_afp_when when = {0};
	struct fl_live_counts *row = NULL;
	struct fl_afp_frame f;
	struct fl_packet packet;
	int r = 0;

	for (unsigned i = 0; i < STAGE && (r = fl_afp_block_next(block, &f)) > 0; i++) {
		if (f.time_ns < when.from_ns || f.time_ns >= when.to_ns)
			fl_afp_when(clock, f.time_ns, &when);
		if (!row || row->window != when.window)
			row = row_of(b, s->slot, s->egress, when.window);
		switch (decode(b, &f, s->ethernet, &packet)) {
		case FL_DECODED_IP:
			if (s->vlans && belongs_to_vlan(s->vlans, &f)) {
				count_for_vlan(row, packet.packets, packet.bytes);
				break;
			}
			row->skbs++;
			stage(b, &packet, &when, s->slot, s->egress);
			break;
		case FL_DECODED_NOT_IP:
			row->not_ip_packets++;
			row->not_ip_bytes += f.wire_len;
			break;
		case FL_DECODED_TRUNCATED:
			if (s->vlans && belongs_to_vlan(s->vlans, &f)) {
				count_for_vlan(row, 1, f.wire_len - FL_MIN(f.network, f.wire_len));
				break;
			}
			row->truncated_packets++;
			row->truncated_bytes += f.wire_len - FL_MIN(f.network, f.wire_len);
			break;
		}
	}
	add_all(b);
	return r;
}

int fl_afp_batch_block(struct fl_afp_batch *b, struct fl_afp_block *block, const struct fl_afp_clock *clock,
		       const struct fl_afp_source *source, const struct fl_live_sink *sink, uint32_t *ret_unreadable)
{
	int r;

	*ret_unreadable = 0;
	do {
		r = make_room(b, sink);
		if (r)
			return r;
		r = stage_frames(b, block, clock, source);
	} while (r > 0);
	if (r < 0) {
		*ret_unreadable = block->left;
		block->left = 0;
	}
	return 0;
}

int fl_afp_batch_lost(struct fl_afp_batch *b, uint16_t slot, bool egress, uint32_t window, uint32_t frames,
		      const struct fl_live_sink *sink)
{
	struct fl_live_counts *row;
	int r = make_room(b, sink);

	if (r || !frames)
		return r;
	row = row_of(b, slot, egress, window);
	row->skbs += frames;
	row->packets += frames;
	row->lost_packets += frames;
	return 0;
}

int fl_afp_batch_flush(struct fl_afp_batch *b, const struct fl_live_sink *sink)
{
	int r;

	while (b->n_used) {
		struct fl_partial *line = &b->line[b->used[b->n_used - 1]];

		r = make_room(b, sink);
		if (r)
			return r;
		push(b, line);
		line->window = 0;
		b->n_used--;
	}
	return hand_over(b, sink);
}

bool fl_afp_batch_empty(const struct fl_afp_batch *b)
{
	return !b->n_used && !b->n_out && !b->n_rows;
}

size_t fl_afp_batch_peek(const struct fl_afp_batch *b, uint32_t window, struct fl_partial *ret, size_t max)
{
	size_t n = 0;

	for (size_t i = 0; i < b->n_out && n < max; i++)
		if (b->out[i].window == window)
			ret[n++] = b->out[i];
	for (size_t i = 0; i < b->n_used && n < max; i++)
		if (b->line[b->used[i]].window == window)
			ret[n++] = b->line[b->used[i]];
	return n;
}
