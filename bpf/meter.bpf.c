// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/* The meter in the kernel: every frame that passes tc is counted, and added to the cache of partial
 * flows. See shared.h. */
#include <linux/bpf.h>
#include <linux/if_packet.h>
#include <linux/types.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>

#include "shared.h"
#include "parse.h"

#define PACKETS_FULL 0xff000000u /* of a partial: no socket buffer has more segments than what is left */

char LICENSE[] SEC("license") = "GPL";

const volatile __u32 fl_cache_bits = FL_K_CACHE_BITS;
const volatile __u32 fl_ring_bits = 12;
const volatile __u64 fl_seed[6]; /* odd multipliers: multiply-shift hashing, the sender does not know them */

/* Sizes are set when the maps are made. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct fl_kclock);
} fl_clock SEC(".maps");
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct fl_partial);
} fl_cache SEC(".maps"); /* [cpu][half][hash] */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct fl_kcount);
} fl_counts SEC(".maps"); /* [cpu][half][slot][egress] */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct fl_kring);
} fl_rings SEC(".maps"); /* [cpu] */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct fl_partial);
} fl_entries SEC(".maps"); /* [cpu][position] */
/* Wakes the reader: a few bytes whenever another quarter of a ring is in use. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} fl_bell SEC(".maps");

struct place {
	__u32 cpu, window, drained, time;
	struct fl_kcount *count;
};

/* Entries must be seen before the producer position that covers them. */
static __always_inline void publish(__u64 *prod, __u64 value)
{
#ifdef FL_TSO
	barrier();
	*(volatile __u64 *)prod = value;
#else
	__sync_lock_test_and_set(prod, value);
#endif
}

static __always_inline struct fl_partial *ring_entry(__u32 cpu, __u64 at)
{
	__u32 i = cpu << fl_ring_bits | ((__u32)at & ((1u << fl_ring_bits) - 1));

	return bpf_map_lookup_elem(&fl_entries, &i);
}

/* The ring of this CPU if it has room for n entries. */
static __always_inline struct fl_kring *ring_with_room(__u32 cpu, __u32 n, __u64 *ret_prod)
{
	struct fl_kring *ring = bpf_map_lookup_elem(&fl_rings, &cpu);

	if (!ring)
		return 0;
	*ret_prod = ring->prod;
	if (ring->prod + n - *(volatile __u64 *)&ring->cons > 1ull << fl_ring_bits)
		return 0;
	return ring;
}

static __always_inline void ring_push(struct fl_kring *ring, __u32 cpu, __u64 prod, __u32 n)
{
	__u64 used = prod + n - *(volatile __u64 *)&ring->cons;

	publish(&ring->prod, prod + n);
	if ((used ^ (used - n)) >> (fl_ring_bits - 2))
		bpf_ringbuf_output(&fl_bell, &cpu, sizeof cpu, BPF_RB_FORCE_WAKEUP);
}

static __always_inline int evict(const struct fl_partial *p, __u32 cpu, __u32 reason)
{
	__u64 prod;
	struct fl_kring *ring = ring_with_room(cpu, 1, &prod);
	struct fl_partial *e;

	if (!ring)
		return 0;
	e = ring_entry(cpu, prod);
	if (!e)
		return 0;
	*e = *p;
	e->evict = reason;
	e->cpu = cpu;
	ring_push(ring, cpu, prod, 1);
	return 1;
}

static __always_inline int evict_count(const struct fl_kcount *c, __u64 conf, __u32 cpu)
{
	__u64 prod;
	struct fl_kring *ring = ring_with_room(cpu, 2, &prod);
	struct fl_kcount_record *head;
	__u64 *tail;

	if (!ring)
		return 0;
	head = (void *)ring_entry(cpu, prod);
	tail = (void *)ring_entry(cpu, prod + 1);
	if (!head || !tail)
		return 0;
	head->skbs = c->skbs;
	head->packets = c->packets;
	head->bytes = c->bytes;
	head->not_ip_packets = c->not_ip_packets;
	head->slot = conf & FL_K_CONF_SLOT;
	head->egress = !!(conf & FL_K_CONF_EGRESS);
	head->window = c->window;
	head->evict = FL_EVICT_COUNT;
	head->cpu = cpu;
	head->not_ip_bytes = c->not_ip_bytes;
	tail[0] = c->truncated_packets;
	tail[1] = c->truncated_bytes;
	tail[2] = c->lost_packets;
	tail[3] = c->lost_bytes;
	tail[4] = c->vlan_packets;
	tail[5] = c->vlan_bytes;
	ring_push(ring, cpu, prod, 2);
	return 1;
}

static __always_inline int find_place(__u64 conf, __u64 now, struct place *ret)
{
	__u32 zero = 0, i;
	struct fl_kclock *clock = bpf_map_lookup_elem(&fl_clock, &zero);
	struct fl_kclock_row *row;
	__u64 since, n, length;

	if (!clock)
		return 0;
	row = &clock->row[clock->current & 1];
	length = row->window_ns;
	if (!length) /* not started */
		return 0;
	since = now > row->mono_base ? now - row->mono_base : 0;
	n = since / length;
	ret->window = row->window_base + (__u32)n;
	since = (since - n * length) / FL_K_TIME_UNIT_NS;
	ret->time = since > 0xffff ? 0xffff : since;
	ret->drained = *(volatile __u32 *)&clock->drained[ret->window & 1];
	ret->cpu = bpf_get_smp_processor_id();
	i = (ret->cpu << 1 | (ret->window & 1)) * (FL_K_SLOTS * 2) + (conf & FL_K_CONF_SLOT) * 2 +
	    !!(conf & FL_K_CONF_EGRESS);
	ret->count = bpf_map_lookup_elem(&fl_counts, &i);
	return !!ret->count;
}

/* Puts the packet's window into the counter row. 0: the row of an older window could not be handed
 * over and stays. */
static __always_inline int open_count(__u64 conf, const struct place *at)
{
	struct fl_kcount *c = at->count;

	if (c->window == at->window)
		return 1;
	if (c->window > at->drained && !evict_count(c, conf, at->cpu))
		return 0;
	c->skbs = c->packets = c->bytes = 0;
	c->not_ip_packets = c->not_ip_bytes = 0;
	c->truncated_packets = c->truncated_bytes = 0;
	c->lost_packets = c->lost_bytes = 0;
	c->vlan_packets = c->vlan_bytes = 0;
	c->window = at->window;
	return 1;
}

static __always_inline __u32 slot_of(const struct packet *p, const struct place *at)
{
	__u64 h = p->key[0] * fl_seed[0] + p->key[1] * fl_seed[1] + p->key[2] * fl_seed[2] + p->key[3] * fl_seed[3] +
		  p->key[4] * fl_seed[4];

	h = (h ^ h >> 32) * fl_seed[5];
	return (at->cpu << 1 | (at->window & 1)) << fl_cache_bits | (__u32)(h >> (64 - fl_cache_bits));
}

/* 0: the ring is full and the packet is lost. */
static __always_inline int add(const struct packet *p, const struct place *at)
{
	__u32 i = slot_of(p, at), reason;
	struct fl_partial *f = bpf_map_lookup_elem(&fl_cache, &i);
	__u64 *key = (void *)f;

	if (!f)
		return 0;
	if (f->window > at->drained) {
		int same = f->window == at->window && key[4] == p->key[4] && key[3] == p->key[3] &&
			   key[1] == p->key[1] && key[2] == p->key[2] && key[0] == p->key[0];

		if (same && f->packets < PACKETS_FULL) {
			f->packets += p->packets;
			f->bytes += p->bytes;
			f->tcp |= p->tcp;
			f->last = at->time;
			return 1;
		}
		reason = same ? FL_EVICT_FULL : f->window == at->window ? FL_EVICT_COLLISION : FL_EVICT_STALE;
		if (!evict(f, at->cpu, reason))
			return 0;
	}
	key[0] = p->key[0];
	key[1] = p->key[1];
	key[2] = p->key[2];
	key[3] = p->key[3];
	key[4] = p->key[4];
	f->window = at->window;
	f->first = f->last = at->time;
	f->packets = p->packets;
	f->tcp = p->tcp;
	f->evict = FL_EVICT_NONE;
	f->cpu = at->cpu;
	f->bytes = p->bytes;
	return 1;
}

/* A test run repeats one packet; benchmarks make many flows of it. Not in the copies that are
 * attached. */
static __u64 fl_vary;

static __always_inline void vary(struct packet *p, __u32 mask)
{
	fl_vary = fl_vary * 6364136223846793005ull + 1442695040888963407ull;
	p->key[3] ^= (fl_vary >> 33 & mask) << 32;
}

static __always_inline int meter(struct __sk_buff *skb, const int inner)
{
	struct packet p;
	struct place at;
	enum outcome outcome;
	__u64 conf, now;
	int mine;

	asm volatile("%0 = %1 ll" : "=r"(conf) : "i"(FL_K_CONF_MAGIC));
	if (conf & FL_K_CONF_EMPTY)
		return -1;
	/* The stack's copy of own multicast for own members: it crossed no cable, and has no link-layer header. */
	if (skb->pkt_type == PACKET_LOOPBACK)
		return -1;
	now = bpf_ktime_get_coarse_ns();
	outcome = parse(skb, conf, now, inner, &p);
	if (conf & FL_K_CONF_VARY && outcome == IS_IP)
		vary(&p, skb->mark);
	/* Stored so that the compiler does not leave the parsing out. */
	if (conf & FL_K_CONF_PARSE_ONLY) {
		if (outcome == IS_IP)
			fl_vary += p.key[3] + p.key[4] + p.bytes;
		return -1;
	}
	if (!find_place(conf, now, &at))
		return -1;
	mine = open_count(conf, &at);
	if (outcome == NOT_IP) {
		at.count->not_ip_packets++;
		at.count->not_ip_bytes += skb->len;
	} else if (p.tagged && belongs_to_vlan(skb, conf)) {
		at.count->skbs++;
		at.count->packets += p.packets;
		at.count->bytes += p.bytes;
		at.count->vlan_packets += p.packets;
		at.count->vlan_bytes += p.bytes;
	} else if (outcome == TRUNCATED) {
		at.count->truncated_packets++;
		at.count->truncated_bytes += p.bytes;
	} else {
		at.count->skbs++;
		at.count->packets += p.packets;
		at.count->bytes += p.bytes;
		if (!mine || !add(&p, &at)) {
			at.count->lost_packets += p.packets;
			at.count->lost_bytes += p.bytes;
		}
	}
	/* TC_ACT_UNSPEC and TCX_NEXT: whatever the others decide. */
	return -1;
}

SEC("tc")
int fl_meter(struct __sk_buff *skb)
{
	return meter(skb, 0);
}

/* The same where a tunnel's inner packets are the flows. */
SEC("tc")
int fl_meter_inner(struct __sk_buff *skb)
{
	return meter(skb, 1);
}
