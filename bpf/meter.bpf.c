// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/* The meter in the kernel: every frame that passes tc is counted, and added to the cache of partial
 * flows. See shared.h. */
#include <linux/bpf.h>
#include <linux/if_packet.h>
#include <linux/types.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>

#include "shared.h"
#include "maps.h"
#include "parse.h"

#define PACKETS_FULL 0xff000000u /* of a partial: no socket buffer has more segments than what is left */

char LICENSE[] SEC("license") = "GPL";

static __always_inline int evict(const struct fl_partial *p, __u32 cpu, __u32 reason)
{
	__u64 prod;
	struct fl_kring *ring = ring_with_room(&fl_rings, fl_ring_bits, cpu, 1, &prod);
	struct fl_partial *e;

	if (!ring)
		return 0;
	e = ring_entry(&fl_entries, fl_ring_bits, cpu, prod);
	if (!e)
		return 0;
	*e = *p;
	e->evict = reason;
	e->cpu = cpu;
	ring_push(ring, fl_ring_bits, cpu, prod, 1);
	return 1;
}

static __always_inline int evict_count(const struct fl_kcount *c, __u64 conf, __u32 cpu)
{
	__u64 prod;
	struct fl_kring *ring = ring_with_room(&fl_rings, fl_ring_bits, cpu, 2, &prod);
	struct fl_kcount_record *head;
	__u64 *tail;

	if (!ring)
		return 0;
	head = (void *)ring_entry(&fl_entries, fl_ring_bits, cpu, prod);
	tail = (void *)ring_entry(&fl_entries, fl_ring_bits, cpu, prod + 1);
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
	ring_push(ring, fl_ring_bits, cpu, prod, 2);
	return 1;
}

static __always_inline int find_count(__u64 conf, __u64 now, struct place *ret, struct fl_kcount **ret_count)
{
	__u32 i;

	if (!find_place(now, ret))
		return 0;
	i = (ret->cpu << 1 | (ret->window & 1)) * (FL_K_SLOTS * 2) + (conf & FL_K_CONF_SLOT) * 2 +
	    !!(conf & FL_K_CONF_EGRESS);
	*ret_count = bpf_map_lookup_elem(&fl_counts, &i);
	return !!*ret_count;
}

/* Puts the packet's window into the counter row. 0: the row of an older window could not be handed
 * over and stays. */
static __always_inline int open_count(__u64 conf, const struct place *at, struct fl_kcount *c)
{
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

/* 0: the ring is full and the packet is lost. */
static __always_inline int add(const struct packet *p, const struct place *at)
{
	__u32 i = slot_of(p->key, at->cpu, at->window), reason;
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
	struct fl_kcount *count;
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
	if (!find_count(conf, now, &at, &count))
		return -1;
	mine = open_count(conf, &at, count);
	if (outcome == NOT_IP) {
		count->not_ip_packets++;
		count->not_ip_bytes += skb->len;
	} else if (p.tagged && belongs_to_vlan(skb, conf)) {
		count->skbs++;
		count->packets += p.packets;
		count->bytes += p.bytes;
		count->vlan_packets += p.packets;
		count->vlan_bytes += p.bytes;
	} else if (outcome == TRUNCATED) {
		count->truncated_packets++;
		count->truncated_bytes += p.bytes;
	} else {
		count->skbs++;
		count->packets += p.packets;
		count->bytes += p.bytes;
		if (!mine || !add(&p, &at)) {
			count->lost_packets += p.packets;
			count->lost_bytes += p.bytes;
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
