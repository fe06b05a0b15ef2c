/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* The maps of both programs, and what both do with clock, cache and rings. Sizes are set when the maps are made;
 * what each is for is told in shared.h. */
#ifndef FL_BPF_MAPS_H
#define FL_BPF_MAPS_H

const volatile __u32 fl_cache_bits = FL_K_CACHE_BITS;
const volatile __u32 fl_ring_bits = 12;
const volatile __u32 fl_drop_bits = 12;
const volatile __u64 fl_seed[6]; /* odd multipliers: multiply-shift hashing, the sender does not know them */

#define MAPPED_ARRAY(name, type_)                                                                                      \
	struct {                                                                                                       \
		__uint(type, BPF_MAP_TYPE_ARRAY);                                                                      \
		__uint(map_flags, BPF_F_MMAPABLE);                                                                     \
		__uint(max_entries, 1);                                                                                \
		__type(key, __u32);                                                                                    \
		__type(value, type_);                                                                                  \
	} name SEC(".maps")

MAPPED_ARRAY(fl_clock, struct fl_kclock);
MAPPED_ARRAY(fl_cache, struct fl_partial);   /* [cpu][half][hash] */
MAPPED_ARRAY(fl_counts, struct fl_kcount);   /* [cpu][half][slot][egress] */
MAPPED_ARRAY(fl_rings, struct fl_kring);     /* [cpu] */
MAPPED_ARRAY(fl_entries, struct fl_partial); /* [cpu][position] */
MAPPED_ARRAY(fl_drop_rings, struct fl_kring);
MAPPED_ARRAY(fl_drops, struct fl_partial);
MAPPED_ARRAY(fl_causes, struct fl_kcause); /* [cpu][reason] */
/* Wakes the reader: a few bytes whenever another quarter of a ring is in use. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} fl_bell SEC(".maps");
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, FL_K_WHERES);
	__type(key, struct fl_kwhere_key);
	__type(value, struct fl_kwhere);
} fl_where SEC(".maps");

struct fragment_key {
	__u64 address[4];
	__u32 id, proto;
};
struct fragment_ports {
	__u64 seen_ns;
	__u32 sport, dport;
};
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, FL_K_FRAGMENTS);
	__type(key, struct fragment_key);
	__type(value, struct fragment_ports);
} fl_fragments SEC(".maps");

struct place {
	__u32 cpu, window, drained, time;
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

static __always_inline struct fl_partial *ring_entry(void *entries, __u32 bits, __u32 cpu, __u64 at)
{
	__u32 i = cpu << bits | ((__u32)at & ((1u << bits) - 1));

	return bpf_map_lookup_elem(entries, &i);
}

/* The ring of this CPU if it has room for n entries. */
static __always_inline struct fl_kring *ring_with_room(void *rings, __u32 bits, __u32 cpu, __u32 n, __u64 *ret_prod)
{
	struct fl_kring *ring = bpf_map_lookup_elem(rings, &cpu);

	if (!ring)
		return 0;
	*ret_prod = ring->prod;
	if (ring->prod + n - *(volatile __u64 *)&ring->cons > 1ull << bits)
		return 0;
	return ring;
}

static __always_inline void ring_push(struct fl_kring *ring, __u32 bits, __u32 cpu, __u64 prod, __u32 n)
{
	__u64 used = prod + n - *(volatile __u64 *)&ring->cons;

	publish(&ring->prod, prod + n);
	if ((used ^ (used - n)) >> (bits - 2))
		bpf_ringbuf_output(&fl_bell, &cpu, sizeof cpu, BPF_RB_FORCE_WAKEUP);
}

/* 0: counting has not begun. */
static __always_inline int find_place(__u64 now, struct place *ret)
{
	__u32 zero = 0;
	struct fl_kclock *clock = bpf_map_lookup_elem(&fl_clock, &zero);
	struct fl_kclock_row *row;
	__u64 since, n, length;

	if (!clock)
		return 0;
	row = &clock->row[clock->current & 1];
	length = row->window_ns;
	if (!length)
		return 0;
	since = now > row->mono_base ? now - row->mono_base : 0;
	n = since / length;
	ret->window = row->window_base + (__u32)n;
	since = (since - n * length) / FL_K_TIME_UNIT_NS;
	ret->time = since > 0xffff ? 0xffff : since;
	ret->drained = *(volatile __u32 *)&clock->drained[ret->window & 1];
	ret->cpu = bpf_get_smp_processor_id();
	return 1;
}

/* A flow's place in the cache; key: the first 40 bytes of struct fl_partial. */
static __always_inline __u32 slot_of(const __u64 key[5], __u32 cpu, __u32 window)
{
	__u64 h =
	    key[0] * fl_seed[0] + key[1] * fl_seed[1] + key[2] * fl_seed[2] + key[3] * fl_seed[3] + key[4] * fl_seed[4];

	h = (h ^ h >> 32) * fl_seed[5];
	return (cpu << 1 | (window & 1)) << fl_cache_bits | (__u32)(h >> (64 - fl_cache_bits));
}
#endif
