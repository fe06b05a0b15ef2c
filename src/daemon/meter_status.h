/* SPDX-License-Identifier: Apache-2.0 */
/* What the meter tells: status/meter.json (docs/status.md) and status/open, the open window's
 * frames. */
#pragma once

#include "daemon/daemon.h"
#include "daemon/engine.h"
#include "daemon/meter_inventory.h"

/* The kernel's own counters of an interface: when its ledger began, and at the newest window's
 * close. */
struct fl_system_counts {
	int64_t since; /* 0: not known */
	uint64_t rx_packets, rx_bytes, rx_dropped, tx_packets, tx_bytes, tx_dropped;
};
struct fl_meter_system {
	struct fl_system_counts begin, now;
};

struct fl_meter_status {
	const struct fl_run *run;
	struct fl_live *live;
	const struct fl_nat *nat; /* NULL: translations are not asked for */
	bool verdicts;
	struct fl_engine *engine;
	const struct fl_journal *journal;
	const struct fl_interface *interfaces;
	size_t n_interfaces;
	struct fl_meter_inventory *inventory;
	size_t n_bound;                       /* interfaces that it names */
	const struct fl_meter_system *system; /* by slot */
	int64_t started;
};

int fl_meter_status_write(const struct fl_meter_status *s);
