/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A kernel side, a journal and a clock for tests of the engine. They live in memory that outlives
 * the process, as the real ones do: a "meter" is a forked child, which may be made to die at any of
 * its steps.
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "bpf/shared.h"
#include "capture/capture.h"
#include "daemon/engine.h"

#define SIM_SLOTS 4
#define SIM_CACHE 16
#define SIM_RING 4096
#define SIM_FRAMES 4096
#define SIM_FLOWS 65536
#define SIM_GROUNDS 4096 /* different ones of all frames */

struct sim_entry {
	bool is_count;
	struct fl_partial partial;
	struct fl_live_counts count;
};

struct sim_frame {
	struct fl_window window;
	char interface_id[22];
	struct fl_ledger ledger[FL_DIR_N];
	uint32_t first_flow, n_flows;
	bool committed;
};

struct sim {
	/* the clock */
	struct fl_clock_sim time;
	/* the kernel */
	struct fl_kclock_row row;
	uint64_t window_ns;
	uint32_t drained[2];
	struct fl_partial cache[2][SIM_CACHE];
	struct fl_live_counts counts[2][SIM_SLOTS][2];
	struct sim_entry ring[SIM_RING];
	uint64_t prod, cons, ring_size;
	/* the journal */
	struct sim_frame frame[SIM_FRAMES];
	struct fl_flow flow[SIM_FLOWS];
	uint16_t ground[SIM_FLOWS]; /* by flow: number from 1 in grounds */
	struct fl_ground grounds[SIM_GROUNDS];
	uint32_t n_grounds;
	uint32_t n_frames, n_flows;
	unsigned duplicates;
	bool journal_refuses;
	/* death: the fuse burns down with every step; 0: it does not burn */
	unsigned fuse, burnt;
	/* shared memory */
	bool shm_full;
	unsigned half_write; /* a pwritev writes half and the process dies: with this fuse */
	bool to_vlan;        /* what is sent belongs to a VLAN's own interface */
	/* truth, by slot and tc direction */
	struct fl_count sent[SIM_SLOTS][2];
	struct fl_count dropped[SIM_SLOTS][2], before[SIM_SLOTS][2]; /* told by the program of drops */
	unsigned step;
};

extern struct sim *sim;
extern const struct fl_live_ops sim_ops;

extern int sim_dir; /* a new directory, for the log */
void sim_place(void);
void sim_leave(void);                                 /* removes it */
int sim_end(void **state);                            /* the same, as a group's teardown */
void sim_new(uint64_t window_ns, uint64_t ring_size); /* at a wall time in the middle of a window */
void sim_send(unsigned slot, bool egress, uint32_t flow, uint32_t packets, uint64_t bytes);
/* A packet of 60 bytes. */
void sim_tuple(unsigned slot, bool egress, uint8_t proto, const struct fl_addr *src, uint16_t sport,
	       const struct fl_addr *dst, uint16_t dport, uint8_t tcp);
/* The packet filter drops packets of a flow; evict is FL_EVICT_DROPPED*. What the ring cannot take is not told. */
void sim_drop(uint8_t evict, unsigned slot, bool egress, uint32_t flow, uint32_t packets, uint64_t bytes);
void sim_pass(uint64_t ns);
void sim_step(void);        /* one step towards death */
void sim_kernel_dies(void); /* pins gone: maps and programs are new */
