/* SPDX-License-Identifier: Apache-2.0 */
/* Inside flowlog audit: findings, and the checks of the journal and of what was delivered from it.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/mem.h"
#include "cli/print.h"
#include "meter/meter.h"

#define FL_AUDIT_FINDINGS_SHOWN 50

struct fl_audit {
	const char *store, *flow_log;
	bool json, windows;
	struct fl_print print;     /* the grid has the rows of the table */
	struct fl_buf notes;       /* lines below the table */
	uint64_t findings, before; /* before: packets dropped on the way out, in any row */
};

/* Something does not balance. */
int fl_audit_finding(struct fl_audit *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
int fl_audit_note(struct fl_audit *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

struct fl_audit_row {
	int64_t start; /* of the window; 0: all closed windows since the meter's start */
	const char *eni, *name, *direction;
	uint64_t skbs;
	struct fl_count seen, recorded, excluded, lost, not_ip, verdict[FL_VERDICT_N];
	const char *system, *causes, *source; /* of verdicts, NULL: not known */
};
int fl_audit_contradictions(struct fl_audit *a, const char *where, const struct fl_count *answers);
int fl_audit_row(struct fl_audit *a, const struct fl_audit_row *row);

/* Every frame that the journal holds: balance, sums, duplicates; and the delivered objects against
 * the frames they were made from. */
int fl_audit_journal(struct fl_audit *a);
