/* SPDX-License-Identifier: Apache-2.0 */
/* What decided about a record, as columns. */
#include <stdio.h>

#include "record/columns.h"
#include "scan/scan.h"

const char *const fl_verdict_columns[FL_VERDICT_COLUMNS] = {
    [FL_VALUE_SOURCE] = "verdict-source",
    [FL_VALUE_CAUSE] = "verdict-cause",
    [FL_VALUE_POLICY] = "policy-action",
    [FL_VALUE_RULE] = "policy-cause",
};

const char *fl_verdict_sql_column(enum fl_verdict_value v)
{
	return fl_own_column_name(FL_OWN_VERDICT_SOURCE + v);
}

/* Of a REJECT: who did it. Windows of older versions do not say, then it is who looked. */
static uint32_t rejected_by(uint32_t flags, const struct fl_ground *g)
{
	uint32_t by = (*g->drop ? FL_WINDOW_VERDICTS : 0) |
		      (flags & FL_WINDOW_POLICY && g->opinion == FL_OPINION_REJECT ? FL_WINDOW_POLICY : 0);

	return by ? by : flags;
}

void fl_ground_values(uint32_t flags, uint8_t action, const struct fl_ground *g, struct fl_verdict_values *ret)
{
	static const char *const actions[FL_OPINION_N] = {"", "ACCEPT", "REJECT"};
	const bool reject = action == FL_ACTION_REJECT;
	const char *drop, *rule;

	ret->value[FL_VALUE_SOURCE] = fl_verdict_source(flags);
	ret->value[FL_VALUE_CAUSE] = ret->value[FL_VALUE_POLICY] = ret->value[FL_VALUE_RULE] = "";
	if (!g)
		return;
	if (reject)
		ret->value[FL_VALUE_SOURCE] = fl_verdict_source(rejected_by(flags, g));
	ret->value[FL_VALUE_POLICY] = actions[g->opinion];
	ret->value[FL_VALUE_RULE] = g->rule;
	drop = g->drop;
	rule = flags & FL_WINDOW_POLICY && (!reject || g->opinion == FL_OPINION_REJECT) ? g->rule : "";
	snprintf(ret->both, sizeof ret->both, "%s%s%s", drop, *drop && *rule ? ";" : "", rule);
	ret->value[FL_VALUE_CAUSE] = ret->both;
}

void fl_frame_verdict(const struct fl_frame *frame, const struct fl_record *r, struct fl_verdict_values *ret)
{
	const struct fl_ground *g = r->ground && r->ground <= frame->n_grounds ? &frame->grounds[r->ground - 1] : NULL;

	if (r->status == FL_STATUS_OK) {
		fl_ground_values(frame->window.flags, r->action, g, ret);
		return;
	}
	for (unsigned i = 0; i < FL_VERDICT_COLUMNS; i++)
		ret->value[i] = "";
}
