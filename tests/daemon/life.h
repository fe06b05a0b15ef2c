/* SPDX-License-Identifier: Apache-2.0 */
/* The engine's lives over the simulated kernel and journal, and what must hold after them. Two interfaces; the second
 * is the host's end of a cable. */
#pragma once

#include "sim.h"

#include "base/mem.h"
#include "daemon/wal.h"
#include "record/record.h"

#define S FL_NS_PER_S
#define MS FL_NS_PER_MS

extern struct fl_engine *engine;
extern bool (*behind)(void *, const char *, const struct fl_key *, struct fl_addr *);
extern void *behind_ctx;
extern uint64_t snapshots;   /* 1: after every window */
extern unsigned run_name[2]; /* for messages */

void begin(uint64_t window_ns, uint64_t ring);
struct fl_eni eni(unsigned slot);
void start_conf(bool reused, uint64_t memory);
void start(bool reused);
void run(uint64_t ns); /* in ticks of 100 ms */
void stop(void);

/* What the journal says. */
struct fl_ledger total(int slot /* -1: all */, enum fl_dir d);
struct fl_count flows_of(unsigned slot, enum fl_dir d);
uint64_t lost(const struct fl_ledger *l);
unsigned frames_at(int64_t start, uint32_t flag);
void everything_is_there(bool no_loss);
void no_window_is_missing(uint32_t seconds);
