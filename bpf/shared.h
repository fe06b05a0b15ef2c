/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * The only types both sides see. Fixed-width members, no pointers, explicit padding, asserted
 * sizes. The kernel side counts; meaning is added in user space.
 *
 * Time. The program reads the coarse monotonic clock and turns it into a window number with the
 * current row of `struct fl_kclock`: window = window_base + (now - mono_base) / window_ns. User
 * space aligns mono_base to the epoch; when the wall clock steps it publishes a new row whose
 * window_base is larger than every number used before, so window numbers only grow and two windows
 * never share a number.
 *
 * Halves. Cache slots and counters exist twice, and window w uses half w & 1. Half a second after w
 * has ended nobody writes to its half any more until w + 2 begins: that is when user space reads
 * it. What it has made durable it announces in fl_kclock.drained[half] = w; the program then
 * overwrites slots of windows <= drained. A slot of an older window that was not drained is pushed
 * to the ring (FL_EVICT_STALE) when a packet needs the place.
 *
 * Full ring. The packet that needs the place is counted as lost in the counters of its own
 * interface, direction and window; what the cache holds stays. When not even the counters of an
 * older window can be handed over, the packet is seen and lost in that older window: every window
 * still balances.
 *
 * Memory. Every map is a plain array that is mapped into user space and indexed by CPU first, not a
 * per-CPU map: those cannot be mapped, and the meter must not need bpf(2). A CPU writes its own
 * entries only. That is enough because a tc program runs with bottom halves disabled, on ingress
 * (softirq) and on egress
 * (__dev_queue_xmit holds rcu_read_lock_bh) alike: no other packet is handled on the CPU until it
 * returns, hard interrupts and NMIs never enter tc (netpoll calls the driver directly), and the
 * program calls no helper that sends. A PREEMPT_RT kernel keeps none of this, and open refuses it.
 *
 * Rings. One a CPU, of 64-byte entries: a partial, or a counter row in two. No lock and no header:
 * only the CPU writes prod, only user space writes cons.
 *
 * Verdicts. What the host's packet filter drops is told by a second program (drops.bpf.c) through rings
 * of its own: it also runs in process context, where a packet may interrupt it. Its entries are
 * partials too, of one buffer each: interface, direction and tuple as tc saw them, evict FL_EVICT_DROPPED*.
 * Their window is the one the packet was seen in, as far as the cache of this CPU tells.
 *
 * Positions. A batch of user space moves the consumers of all CPUs at once; its number is the ring
 * position that capture.h speaks of, and covers both kinds of rings. The consumers' new places (next) and the batch's
 * number (announced) are in this memory before the batch is made durable, position follows after. A process that died
 * in between finds out from its own log whether batch `announced` was durable and applies `next` then.
 */
#ifndef FL_BPF_SHARED_H
#define FL_BPF_SHARED_H

#ifndef __bpf__
#include <stdint.h>
#define FL_U8 uint8_t
#define FL_U16 uint16_t
#define FL_U32 uint32_t
#define FL_U64 uint64_t
#else
#define FL_U8 __u8
#define FL_U16 __u16
#define FL_U32 __u32
#define FL_U64 __u64
#endif

#define FL_K_SLOTS 1024    /* interfaces metered at once */
#define FL_K_CACHE_BITS 14 /* per CPU and half: 16,384 partial flows */
#define FL_K_CACHE (1u << FL_K_CACHE_BITS)
#define FL_K_TIME_UNIT_NS 10000000ull /* first and last are counted in 10 ms from the window's start */

enum fl_evict {
	FL_EVICT_NONE = 0,
	FL_EVICT_COLLISION = 1,
	FL_EVICT_STALE = 2,
	FL_EVICT_FULL = 3,  /* counter near overflow */
	FL_EVICT_COUNT = 4, /* not a partial: first entry of a struct fl_kcount_record */
	/* From the rings of drops: */
	FL_EVICT_DROPPED = 5,         /* it had been seen at this interface */
	FL_EVICT_DROPPED_BEFORE = 6,  /* on its way out, before the interface: it was never seen */
	FL_EVICT_DROPPED_BRIDGED = 7, /* it had come in by some port of a bridge; slot is any interface of the
					 same network namespace */
};
#define FL_EVICT_IS_DROP(evict) ((evict) >= FL_EVICT_DROPPED)

/* A partial flow: one cache line. window 0 means an empty slot (user space never hands out window
 * 0). */
struct fl_partial {
	FL_U8 src[16], dst[16]; /* IPv4 mapped */
	FL_U16 sport, dport;    /* host order */
	FL_U16 slot;            /* interface slot */
	FL_U8 dirfam;           /* bit 0: tc egress; bit 7: IPv6 */
	FL_U8 proto;
	FL_U32 window;
	FL_U16 first, last; /* FL_K_TIME_UNIT_NS from the window's start */
	FL_U32 packets;
	FL_U8 tcp;   /* as struct fl_obs */
	FL_U8 evict; /* enum fl_evict, in ring records */
	FL_U16 cpu;  /* in ring records */
	FL_U64 bytes;
};

#define FL_K_TC_EGRESS 0x01

/* Counters of one interface slot, tc direction and half, on one CPU. */
struct fl_kcount {
	FL_U32 window;
	FL_U32 pad;
	FL_U64 skbs, packets, bytes;               /* every IP packet: recorded or lost */
	FL_U64 not_ip_packets, not_ip_bytes;       /* frames; bytes are layer 2 */
	FL_U64 truncated_packets, truncated_bytes; /* IP header impossible */
	FL_U64 lost_packets, lost_bytes;           /* ring full */
	FL_U64 vlan_packets, vlan_bytes;           /* not recorded: a VLAN interface meters them */
	FL_U64 pad2[4];
};

/* A counter row whose window was not drained in time: two ring entries. slot, window, evict and cpu
 * stand where a partial has them. */
struct fl_kcount_record {
	FL_U64 skbs, packets, bytes, not_ip_packets;
	FL_U32 pad;
	FL_U16 slot;
	FL_U8 egress;
	FL_U8 pad2;
	FL_U32 window;
	FL_U32 pad3[2];
	FL_U8 pad4;
	FL_U8 evict; /* FL_EVICT_COUNT */
	FL_U16 cpu;
	FL_U64 not_ip_bytes;
	FL_U64 truncated_packets, truncated_bytes, lost_packets, lost_bytes, vlan_packets, vlan_bytes, pad5[2];
};

/* The ring of one CPU. Positions are in entries and only grow. */
struct fl_kring {
	FL_U64 prod; /* the program's */
	FL_U64 lost; /* of drops: packets whose drop was not told, because the ring was full */
	FL_U64 pad[6];
	FL_U64 cons, next; /* user space's */
	FL_U64 pad2[6];
};

/* One page that user space writes and the program reads (array of one, mmapable). */
struct fl_kclock_row {
	FL_U64 mono_base, window_ns;
	FL_U32 window_base, pad;
};
struct fl_kclock {
	struct fl_kclock_row row[2];
	FL_U32 current;    /* index of the row in force: the single word that is switched */
	FL_U32 drained[2]; /* per half: windows <= this are free to overwrite */
	FL_U32 cpus;
	/* Written by user space for user space: what a later process must know to read the rest. */
	FL_U32 abi, cache_bits, ring_bits, drop_bits;
	FL_U64 window_ns;
	FL_U64 position, announced;
	FL_U32 verdicts, pad; /* 1: the program of drops is attached */
	FL_U64 missed;        /* its runs that the kernel left out, because one was interrupted */
};

/* VLANs of one slot that are metered by themselves, a bit each: [802.1ad][id / 64]. Frames that carry
 * such an outermost tag are seen at the slot, and recorded at the VLAN's own interface alone. Written
 * by user space at any time, a word at a time. */
struct fl_kvlans {
	FL_U64 id[2][4096 / 64];
};

#define FL_K_ABI 2 /* of the maps' contents; also in the pins' names */

/* What makes one copy of the program the one for an interface and a direction: a constant that is
 * put into its instructions before it is loaded, so that it costs nothing. */
#define FL_K_CONF_MAGIC 0x464c574c4f470000ull /* in the compiled program; the low 16 bits are zero */
#define FL_K_CONF_SLOT 0x03ffull
#define FL_K_CONF_EGRESS 0x0400ull
#define FL_K_CONF_RAW 0x0800ull        /* no link-layer header: the version nibble decides */
#define FL_K_CONF_NONLINEAR 0x1000ull  /* for tests: every read as if the bytes were not in the linear part */
#define FL_K_CONF_PARSE_ONLY 0x2000ull /* for benchmarks */
#define FL_K_CONF_EMPTY 0x4000ull      /* for benchmarks: return at once */
#define FL_K_CONF_VARY 0x8000ull       /* for benchmarks: one of skb->mark + 1 destinations, a power of two */

/* Where the program of drops finds an interface by what a buffer knows. ifindex 0: any metered interface of the
 * namespace. */
struct fl_kwhere_key {
	FL_U32 netns, ifindex; /* inode of the network namespace */
};
struct fl_kwhere {
	FL_U32 slot;
	FL_U32 other_end; /* the cable's end that is not metered: directions are the other way round */
};
#define FL_K_WHERES (4 * FL_K_SLOTS)

/* Buffers that came in by a metered interface and were dropped for another reason than the packet filter, by
 * the kernel's number of the reason; one row of each a CPU. The name is in the first CPU's. */
#define FL_K_CAUSES 256 /* the last one takes the numbers beyond */
struct fl_kcause {
	FL_U64 buffers;
	char name[56];
};

#define FL_K_FRAGMENTS 8192 /* first fragments remembered; the oldest give way */
#define FL_K_FRAGMENT_NS 30000000000ull

_Static_assert(sizeof(struct fl_partial) == 64, "a partial flow is one cache line");
_Static_assert(sizeof(struct fl_kcount) == 128, "counters keep to their own lines");
_Static_assert(sizeof(struct fl_kcount_record) == 128, "two ring entries");
_Static_assert(__builtin_offsetof(struct fl_kcount_record, evict) == __builtin_offsetof(struct fl_partial, evict) &&
		   __builtin_offsetof(struct fl_kcount_record, window) == __builtin_offsetof(struct fl_partial, window),
	       "a reader tells them apart");
_Static_assert(sizeof(struct fl_kvlans) == 1024, "no padding");
_Static_assert(sizeof(struct fl_kring) == 128, "producer and consumer keep to their own lines");
_Static_assert(sizeof(struct fl_kcause) == 64, "causes keep to their own lines");
_Static_assert(sizeof(struct fl_kclock) <= 4096, "one page");
#endif
