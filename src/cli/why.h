/* SPDX-License-Identifier: Apache-2.0 */
/* Inside flowlog why: printing of steps, and the records beside them. */
#pragma once

#include "base/json.h"
#include "base/mem.h"
#include "cli/kept.h"
#include "policy/trace.h"
#include "record/record.h"

/* One step as lines for people, or as a member of an array. */
int fl_why_step_text(struct fl_buf *out, const struct fl_step *s);
void fl_why_step_json(struct fl_json *j, const struct fl_step *s);

/* What a store says about the two ends. */
struct fl_why_seen {
	uint64_t flows[2], packets[2], bytes[2]; /* by enum fl_action */
	int64_t last;                            /* end of the newest record; 0: none */
	uint8_t last_action;
	char last_eni[24];
	struct fl_record last_record;
	struct fl_kept kept; /* beside the newest record */
	uint64_t records;    /* that were looked at */
};
int fl_why_records(const struct fl_trace_question *q, const char *store, const char *flow_log, int64_t at,
		   struct fl_why_seen *ret);

/* flowlog why --record: 0 when the rules let the flow pass, 1 when they do not; negative as usual. */
struct fl_why_record_conf {
	const char *format, *line;
	const char *store, *flow_log; /* where the journal may have kept what decided */
	bool json;
};
int fl_why_record(const struct fl_network *net, struct fl_policy *policy, const struct fl_why_record_conf *conf,
		  struct fl_buf *out);
/* What decided about a record, where the journal has kept it. */
int fl_why_kept_text(struct fl_buf *out, const struct fl_kept *k);
void fl_why_kept_json(struct fl_json *j, const char *key, const struct fl_kept *k);
