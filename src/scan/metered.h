/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Third face of the stage "scan": a capture's packets through the meter, window by window. `flowlog meter` writes what
 * comes out; as a source, captures are read by the same code.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "capture/capture.h"
#include "meter/meter.h"

#define FL_METERED_INTERVAL_MAX 16777 /* seconds: times in a flow are 24 bits of milliseconds */

struct fl_metered_conf {
	uint32_t interval_s;
	uint64_t memory; /* for flows; what does not fit is lost, and its window lossy */
	bool inner;      /* what is inside tunnels */
	/* Each packet; may set direction and verdict in o's key. False: it is not metered. NULL: all are. */
	bool (*packet)(void *ctx, struct fl_obs *o, const struct fl_pcap_packet *in, int icmp_type);
	/* A window has closed. start: Unix seconds. The table is walked, then given back. */
	int (*window)(void *ctx, int64_t start, const struct fl_table *flows, bool lossy);
	/* A frame of a link type that is not decoded; may be NULL. */
	void (*unknown_link)(void *ctx, uint16_t type);
	void *ctx;
};

struct fl_metered;
int fl_metered_new(struct fl_metered **ret, const struct fl_metered_conf *conf);
void fl_metered_free(struct fl_metered **m);
/* Some packets more. 1: there may be others; 0: that was all. Negative: what a callback returned, or with *ret_damaged
 * the file is damaged or cannot be read, and what was good before counts. */
int fl_metered_read(struct fl_metered *m, struct fl_pcap *pcap, bool *ret_damaged);
int fl_metered_finish(struct fl_metered *m); /* closes all windows */
/* What was seen and lost; excluded and recorded are the caller's to add. */
struct fl_ledger *fl_metered_ledger(struct fl_metered *m);
/* Half of the machine's memory. */
uint64_t fl_metered_memory(void);
