/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the packet socket's backend does with bytes and numbers, apart from sockets: a block of the ring into frames, a
 * frame's time into a window, frames into partial flows. No system call; the caller brings the clocks.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bpf/shared.h"
#include "capture/capture.h"

/* ---- blocks of a TPACKET_V3 ring, laid out by the kernel (linux/if_packet.h) ---- */

#define FL_AFP_VNET_BYTES 10 /* struct virtio_net_hdr, in front of the frame */

struct fl_afp_block {
	const uint8_t *base;
	size_t size;
	uint32_t at, left; /* offset of the next frame, frames not yet returned */
};

struct fl_afp_frame {
	const uint8_t *mac; /* link-layer header, where there is one */
	uint32_t caplen, wire_len;
	uint32_t network;            /* offset of the network header in the frame; at most caplen */
	uint64_t time_ns;            /* Unix time */
	uint32_t gso_size, gso_segs; /* gso_segs 0: to be derived */
	uint16_t vlan_proto;         /* 0: no tag was moved out of the frame */
	uint16_t vlan_tci;           /* of that tag */
	uint16_t protocol;           /* ethertype of what follows the link-layer header */
	bool outgoing;
};

/* -EBADMSG: the header does not fit the block. */
int fl_afp_block_open(struct fl_afp_block *ret, const void *base, size_t size);
/* 1: a frame; 0: no more; -EBADMSG: the rest (left frames) cannot be read. */
int fl_afp_block_next(struct fl_afp_block *b, struct fl_afp_frame *ret);

/* ---- time to window ---- */

/*
 * The kernel stamps frames with the wall clock, windows are numbered by the monotonic one; the offset between both is
 * read once a drain. Two guards make a step of the wall clock harmless: a frame cannot be older than `oldest_mono`
 * (everything older was read before) nor younger than `now_mono`; and no frame lands in a window that was closed (<
 * first_window).
 */
struct fl_afp_clock {
	struct {
		uint64_t mono_base;
		uint32_t window_base;
	} row[2]; /* the row in force and the one before */
	bool has_previous, has_row;
	uint64_t window_ns;
	int64_t real_minus_mono;
	uint64_t oldest_mono, now_mono;
	uint32_t first_window; /* newest drained + 1; never 0 */
};

struct fl_afp_when {
	uint32_t window;
	uint16_t unit; /* FL_K_TIME_UNIT_NS from the window's start */
	/* Every wall clock time in [from_ns, to_ns) has the same answer; empty when a guard bent it. */
	uint64_t from_ns, to_ns;
};

void fl_afp_clock_set(struct fl_afp_clock *c, uint64_t mono_base, uint32_t window_base);
uint32_t fl_afp_window_at(const struct fl_afp_clock *c, uint64_t mono);
uint64_t fl_afp_window_end(const struct fl_afp_clock *c, uint32_t window); /* monotonic; of the row in force */
void fl_afp_when(const struct fl_afp_clock *c, uint64_t real_ns, struct fl_afp_when *ret);

/* ---- aggregation ---- */

/*
 * A direct-mapped cache of partial flows, as in the kernel: a collision moves the older partial to the output. Counter
 * rows are summed from the partials as they move there, so that whatever the sink holds adds up at any instant.
 */
struct fl_afp_batch;
int fl_afp_batch_new(struct fl_afp_batch **ret, unsigned bits, bool inner, uint64_t seed);
void fl_afp_batch_free(struct fl_afp_batch **b);

/* Where a block's frames come from. */
struct fl_afp_source {
	uint16_t slot;
	bool egress;
	bool ethernet; /* frames begin with an Ethernet header; else only the network layer is looked at */
	const struct fl_kvlans *vlans; /* those with an interface of their own; NULL: none */
};

/* All frames of a block of one socket. Returns frames that could not be read (0 but for a kernel gone wrong). Negative:
 * the sink refused; what it did not take is kept for the next call. */
int fl_afp_batch_block(struct fl_afp_batch *b, struct fl_afp_block *block, const struct fl_afp_clock *clock,
		       const struct fl_afp_source *source, const struct fl_live_sink *sink, uint32_t *ret_unreadable);
/* Frames the socket dropped; how many packets and bytes they were nobody knows: each counts as one packet of no bytes.
 */
int fl_afp_batch_lost(struct fl_afp_batch *b, uint16_t slot, bool egress, uint32_t window, uint32_t frames,
		      const struct fl_live_sink *sink);
/* Hands everything to the sink. */
int fl_afp_batch_flush(struct fl_afp_batch *b, const struct fl_live_sink *sink);
bool fl_afp_batch_empty(const struct fl_afp_batch *b);
uint64_t fl_afp_batch_position(const struct fl_afp_batch *b); /* partials and rows handed over since the beginning */
void fl_afp_batch_set_position(struct fl_afp_batch *b, uint64_t position);
size_t fl_afp_batch_peek(const struct fl_afp_batch *b, uint32_t window, struct fl_partial *ret, size_t max);
