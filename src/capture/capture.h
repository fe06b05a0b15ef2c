/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Face of the stage "capture": where observations come from. Capture files are pulled packet by packet;
 * the live backends hand over partial flows and counters. Nothing of libbpf or of the packet socket leaks out.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "flow/flow.h"

/* ---- capture files: pcap, pcapng; plain, gzip or zstd; a path or "-" ---- */

struct fl_pcap;
struct fl_pcap_packet {
	const uint8_t *data; /* valid until the next call */
	uint32_t caplen, wire_len;
	uint64_t time_ns; /* Unix time */
	enum fl_link link;
	uint16_t iface;     /* pcapng interface number, 0 in pcap */
	uint8_t direction;  /* enum fl_dir; pcapng epb_flags when the file has them */
	uint16_t link_type; /* LINKTYPE_ number, for messages */
};
int fl_pcap_open(struct fl_pcap **ret, const char *path);
struct fl_input; /* capture/pcap_input.h */
/* The input is taken, also when this fails. */
int fl_pcap_open_input(struct fl_pcap **ret, struct fl_input *in, const char *name);
void fl_pcap_close(struct fl_pcap **p);
/* 1: a packet; 0: end of file; negative: damaged at the offset the sentence names (packets before it are good). */
int fl_pcap_next(struct fl_pcap *p, struct fl_pcap_packet *ret);
/* As many as are at hand, at most max, *ret_n of them; all valid until the next call. 1: go on; 0 and negative as
 * above, and the *ret_n packets before the end or the damage are good. */
int fl_pcap_next_batch(struct fl_pcap *p, struct fl_pcap_packet *ret, size_t max, size_t *ret_n);
uint64_t fl_pcap_offset(const struct fl_pcap *p); /* bytes of (decompressed) input consumed */
const char *fl_pcap_interface_name(const struct fl_pcap *p, unsigned iface); /* "" when the file has none */

/* ---- live ---- */

/*
 * A live backend meters interfaces in numbered slots. Everything it reports carries the slot, the tc direction
 * (ENI direction is user-space meaning) and the window number; see bpf/shared.h for clock, halves and draining.
 */
struct fl_live;

struct fl_live_counts { /* of one slot, direction and window; all CPUs summed */
	uint16_t slot;
	bool egress; /* tc direction */
	uint32_t window;
	uint64_t skbs, packets, bytes, not_ip_packets, not_ip_bytes, truncated_packets, truncated_bytes, lost_packets,
	    lost_bytes, vlan_packets, vlan_bytes; /* vlan: of packets, those that a VLAN interface records */
};

struct fl_partial; /* bpf/shared.h; evict FL_EVICT_DROPPED*: what the host's packet filter dropped */
struct fl_kvlans;  /* bpf/shared.h */

/* What becomes of packets behind the interface. */
struct fl_live_cause {
	const char *name; /* the kernel's, without SKB_DROP_REASON_ */
	uint64_t buffers;
};
#define FL_LIVE_REJECT "NETFILTER_DROP" /* the cause that is a verdict: FL_EVICT_DROPPED* */
#define FL_LIVE_CAUSES_MAX 32
struct fl_live_verdicts {
	const char *why_not; /* a sentence; "" when verdicts are observed */
	uint64_t lost;       /* drops that were not told: the ring was full, or the program was itself interrupted */
	/* Came in and were dropped for other reasons than the filter; the most frequent ones. */
	struct fl_live_cause cause[FL_LIVE_CAUSES_MAX];
	size_t n_causes;
};

struct fl_live_sink {
	/* A batch from the ring: ring positions [from, to). Must be durable when it returns 0: the backend then moves
	 * the consumer position to `to`. counts are late counter rows that came through the ring. */
	int (*ring)(void *ctx, uint64_t from, uint64_t to, const struct fl_partial *partials, size_t n,
		    const struct fl_live_counts *counts, size_t n_counts);
	/* A closed half: every partial of windows <= window with its parity, and the counter rows. ring_to: producer
	 * position when the reading began. Must be durable when it returns 0: the backend then publishes drained. */
	int (*half)(void *ctx, uint32_t window, uint64_t ring_to, const struct fl_partial *partials, size_t n,
		    const struct fl_live_counts *counts, size_t n_counts);
	void *ctx;
};

struct fl_live_conf {
	const char *pin_name; /* directory below bpffs; NULL: nothing is pinned */
	uint64_t ring_bytes;  /* rounded up to a power of two */
	uint64_t window_ns;
	unsigned cache_bits;     /* 0: FL_K_CACHE_BITS */
	uint64_t afpacket_bytes; /* ring of one packet socket */
	bool inner;
};

struct fl_live_ops {
	const char *name; /* "ebpf", "afpacket" */
	/* Privileged part, in the supervisor: load, pin or reuse pins. Positive FL_LIVE_UNAVAILABLE: not to be had here
	 * (sentence says why). *ret_reused: pins of an earlier life were found. */
	int (*open)(struct fl_live **ret, const struct fl_live_conf *conf, bool *ret_reused);
	/* Privileged: meter the interface (in the current network namespace, or in the one of netns_fd >= 0) in the
	 * slot. Already attached with the same identity (after a restart): 0. */
	int (*attach)(struct fl_live *l, uint16_t slot, uint32_t ifindex, uint16_t arphrd, int netns_fd);
	/* Privileged: the end of the slot's cable that is not metered, where packets are dropped too. Until detach.
	 * NULL: the backend tells no drops. */
	int (*other_end)(struct fl_live *l, uint16_t slot, uint32_t ifindex, int netns_fd);
	int (*detach)(struct fl_live *l, uint16_t slot);
	/* File descriptors the unprivileged meter needs, to be passed over a socket; and its side of the same backend.
	 */
	int (*export_fds)(struct fl_live *l, int *fds, size_t max, size_t *ret_n);
	int (*import_fds)(struct fl_live **ret, const struct fl_live_conf *conf, const int *fds, size_t n);
	/* Unprivileged, in the meter. */
	int (*set_clock)(struct fl_live *l, uint64_t mono_base, uint32_t window_base);
	/* The slot's frames of these VLANs are recorded by interfaces of their own; replaces the set before. */
	int (*set_vlans)(struct fl_live *l, uint16_t slot, const struct fl_kvlans *vlans);
	int (*poll_fd)(struct fl_live *l); /* readable when the ring wants reading; -1: poll by timer */
	int (*drain_ring)(struct fl_live *l, const struct fl_live_sink *sink);
	/* Half of `window`, which must have ended half a second ago and whose half must not be live before
	 * deadline_mono_ns; -EAGAIN when that could not be kept (nothing was handed over). */
	int (*drain_half)(struct fl_live *l, uint32_t window, uint64_t deadline_mono_ns,
			  const struct fl_live_sink *sink);
	void (*set_drained)(struct fl_live *l, unsigned half, uint32_t window); /* replay after a restart */
	uint64_t (*ring_position)(struct fl_live *l);                           /* consumer */
	void (*set_ring_position)(struct fl_live *l, uint64_t pos);             /* replay after a restart */
	/* Provisional look at the open window: racy by nature, never summed. max entries. */
	size_t (*peek)(struct fl_live *l, uint32_t window, struct fl_partial *ret, size_t max);
	/* Whether drops of the packet filter are told. l may be NULL where the backend never tells. The privileged side
	 * calls it each second too: only it can ask the kernel what its program missed. */
	bool (*verdicts)(struct fl_live *l, struct fl_live_verdicts *ret);
	void (*close)(struct fl_live **l, bool unpin); /* unpin: detach everything and remove the pins */
};
#define FL_LIVE_UNAVAILABLE 1

extern const struct fl_live_ops fl_live_ebpf, fl_live_afpacket;

/* flowlog detach: remove links and pins below bpffs for this name without loading anything. Returns how many links
 * there were. */
int fl_live_detach_pins(const char *pin_name);
