/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * The only types both sides see. Fixed-width members, no pointers, explicit padding, asserted sizes.
 * The kernel side counts; meaning is added in user space.
 *
 * Time. The program reads the coarse monotonic clock and turns it into a window number with the current
 * row of `struct fl_kclock`: window = window_base + (now - mono_base) / window_ns. User space aligns
 * mono_base to the epoch; when the wall clock steps it publishes a new row whose window_base is larger
 * than every number used before, so window numbers only grow and two windows never share a number.
 *
 * Halves. Cache slots and counters exist twice, and window w uses half w & 1. Half a second after w has
 * ended nobody writes to its half any more until w + 2 begins: that is when user space reads it. What it
 * has made durable it announces in fl_kclock.drained[half] = w; the program then overwrites slots of
 * windows <= drained. A slot of an older window that was not drained is pushed to the ring (FL_EVICT_STALE)
 * when a packet needs the place.
 *
 * Full ring. The packet that needs the place is counted as lost in the counters of its own interface,
 * direction and window; what the cache holds stays.
 */
#ifndef FL_BPF_SHARED_H
#define FL_BPF_SHARED_H

#ifndef __VMLINUX_H__
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

#define FL_K_SLOTS 1024	       /* interfaces metered at once */
#define FL_K_CACHE_BITS 14     /* per CPU and half: 16,384 partial flows */
#define FL_K_CACHE (1u << FL_K_CACHE_BITS)
#define FL_K_TIME_UNIT_NS 10000000ull /* first and last are counted in 10 ms from the window's start */

enum fl_evict { FL_EVICT_NONE = 0, FL_EVICT_COLLISION = 1, FL_EVICT_STALE = 2, FL_EVICT_FULL = 3 /* counter near overflow */ };

/* A partial flow: one cache line. window 0 means an empty slot (user space never hands out window 0). */
struct fl_partial {
	FL_U8 src[16], dst[16];	   /* IPv4 mapped */
	FL_U16 sport, dport;	   /* host order */
	FL_U16 slot;		   /* interface slot */
	FL_U8 dirfam;		   /* bit 0: tc egress; bit 7: IPv6 */
	FL_U8 proto;
	FL_U32 window;
	FL_U16 first, last;	   /* FL_K_TIME_UNIT_NS from the window's start */
	FL_U32 packets;
	FL_U8 tcp;		   /* as struct fl_obs */
	FL_U8 evict;		   /* enum fl_evict, in ring records */
	FL_U16 cpu;		   /* in ring records */
	FL_U64 bytes;
};

#define FL_K_TC_EGRESS 0x01

/* Counters of one interface slot, tc direction and half, on one CPU. */
struct fl_kcount {
	FL_U32 window;
	FL_U32 pad;
	FL_U64 skbs, packets, bytes;		/* every IP packet: recorded or lost */
	FL_U64 not_ip_packets, not_ip_bytes;	/* frames; bytes are layer 2 */
	FL_U64 truncated_packets, truncated_bytes; /* IP header impossible */
	FL_U64 lost_packets, lost_bytes;	/* ring full */
	FL_U64 pad2[6];
};

/* Ring records: a type in the first word's place is not needed, sizes differ. */
struct fl_kcount_record { /* a counter row whose window was not drained in time */
	FL_U16 slot;
	FL_U8 egress;
	FL_U8 pad;
	FL_U32 cpu;
	struct fl_kcount count;
};

/* One page that user space writes and the program reads (array of one, mmapable). */
struct fl_kclock_row {
	FL_U64 mono_base, window_ns;
	FL_U32 window_base, pad;
};
struct fl_kclock {
	struct fl_kclock_row row[2];
	FL_U32 current;	   /* index of the row in force: the single word that is switched */
	FL_U32 drained[2]; /* per half: windows <= this are free to overwrite */
	FL_U32 pad;
};

_Static_assert(sizeof(struct fl_partial) == 64, "a partial flow is one cache line");
_Static_assert(sizeof(struct fl_kcount) == 128, "counters keep to their own lines");
#endif
