/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The live meter's bookkeeping: what a backend hands over becomes windows, windows become journal
 * frames. Nothing is acknowledged to the kernel before it is in the log in shared memory, nothing
 * leaves that log before it is durable in the journal; so the process may die at any instruction.
 * No privilege, no network, no clock of its own: the role that drives it brings all of them.
 *
 * A window may be closed once the half it lives in has been read at or after its end (drained >=
 * window); what turns up later is written as a further part of the same window.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "capture/capture.h"
#include "inventory/inventory.h"
#include "journal/journal.h"
#include "meter/meter.h"

struct fl_engine;

struct fl_filter; /* policy/policy.h */
struct fl_engine_conf {
	int shmfd; /* directory of the log */
	struct fl_journal *journal;
	const struct fl_live_ops *ops;
	struct fl_live *live;
	struct fl_clock clock;
	uint64_t window_ns;
	uint64_t memory_limit;
	uint64_t seed;
	uint32_t exclusions;     /* bit per enum fl_rule */
	uint64_t snapshot_bytes; /* a log shorter than this is not rewritten when a window has left
				    it; 0: 1 MiB */
	uint8_t boot_id[16];
	/* What stands behind dst of a tuple that came in on the wire in a network namespace; NULL: never known. */
	bool (*behind)(void *ctx, const char *netns, const struct fl_key *in, struct fl_addr *ret);
	void *behind_ctx;
	/* The rules of an interface in a window that began at start (Unix seconds); NULL: none, nothing is judged.
	 * *ret_enforced: they were in force, and what they deny is REJECT; else their opinion is kept beside the flows.
	 */
	const struct fl_filter *(*filter)(void *ctx, const struct fl_eni *eni, int64_t start, bool *ret_enforced);
	void *filter_ctx;
	const struct fl_buf *connections; /* of the last run, which ended in order; may be NULL */
	bool verdicts;                    /* the backend tells what the packet filter drops */
	bool reused;                      /* the backend went on counting while we were away */
};

int fl_engine_new(struct fl_engine **ret, const struct fl_engine_conf *conf);
void fl_engine_free(struct fl_engine **e);

/* A free slot for this interface, or the one it already has (same ifindex, namespace and address).
 * Negative: none free. */
int fl_engine_slot(struct fl_engine *e, const struct fl_eni *eni, bool *ret_known);
/* The slot is this interface's from now on. Before the attachment, so that no packet is counted in
 * a slot that nobody knows. */
int fl_engine_attached(struct fl_engine *e, uint16_t slot, const struct fl_eni *eni);
/* New name or address of an interface that stays attached. */
int fl_engine_update(struct fl_engine *e, uint16_t slot, const struct fl_eni *eni);
/* Another identity, from the next window on: the open one keeps what it began with. */
int fl_engine_identify(struct fl_engine *e, uint16_t slot, const struct fl_eni *eni);
/* What is not logged of this interface; fl_engine_attached sets the configuration's exclusions. */
int fl_engine_exclude(struct fl_engine *e, uint16_t slot, const struct fl_exclusions *x);
int fl_engine_vanished(struct fl_engine *e, uint16_t slot);
const struct fl_eni *fl_engine_eni(const struct fl_engine *e, uint16_t slot); /* NULL: slot not in use */

/*
 * Read the ring; close what is due. Call at least twice a second. FL_ENGINE_RETRY: the journal or
 * shared memory refused (fl_engine_trouble says why); nothing was lost here, the next tick tries
 * again, and the kernel counts what it cannot keep meanwhile. Negative: this process cannot go on;
 * the next one can.
 */
#define FL_ENGINE_RETRY 1
int fl_engine_tick(struct fl_engine *e);
const char *fl_engine_trouble(const struct fl_engine *e); /* the sentence for FL_ENGINE_RETRY */
/* An earlier life of the meter left its log. */
bool fl_engine_had_log(const struct fl_engine *e);
/* The end of metering, after the programs are detached: read everything, close every window. */
int fl_engine_finish(struct fl_engine *e);

/* ---- what status shows ---- */
struct fl_engine_window {
	uint32_t number;
	int64_t start;
	uint32_t length;
};
struct fl_engine_window fl_engine_open_window(const struct fl_engine *e);
const struct fl_ledger *fl_engine_totals(const struct fl_engine *e, uint16_t slot,
					 enum fl_dir dir); /* closed windows */
const struct fl_ledger *
fl_engine_total(const struct fl_engine *e); /* closed windows, also of interfaces that are gone */
struct fl_engine_last {
	struct fl_engine_window window;
	uint64_t flows;
	int64_t closed_at;
	struct fl_ledger ledger;
};
const struct fl_engine_last *fl_engine_last(const struct fl_engine *e); /* number 0: none yet */
/* Flows of the open window, with action: what is summed already and a racy look at the kernel's cache. malloc'd,
 * sorted by interface and key. */
int fl_engine_peek(struct fl_engine *e, size_t max, struct fl_flow **ret, size_t *ret_n);
/* What the rules' state is as of the last window written, for conf.connections of the next run; empty: nothing. */
const struct fl_buf *fl_engine_connections(const struct fl_engine *e);
uint64_t fl_engine_memory(const struct fl_engine *e);
