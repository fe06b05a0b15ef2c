/* SPDX-License-Identifier: Apache-2.0 */
/* What the meter tells: status/meter.json (docs/status.md) and status/open, the open window's frames. */
#pragma once

#include "daemon/daemon.h"
#include "daemon/engine.h"

struct fl_meter_status {
	const struct fl_run *run;
	struct fl_engine *engine;
	const struct fl_journal *journal;
	const struct fl_interface *interfaces;
	size_t n_interfaces;
	int64_t started;
};

int fl_meter_status_write(const struct fl_meter_status *s);
