/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>

#define FL_FAULTS_DIED 77

struct fl_faults {
	unsigned count, die_at; /* 0: never */
	bool torn;              /* half of the write is done */
	bool full;              /* write(2) says ENOSPC; the journal's preallocated segments take pwrite(2) */
	unsigned refused;
};
extern struct fl_faults fl_faults;
