/* SPDX-License-Identifier: Apache-2.0 */
#include "meter/meter.h"

#define FL_RULE(id, name, help) [FL_RULE_##id] = name,
#define FL_LOSS(id, name, help)
#define FL_VERDICT(id, name, help)
const char *const fl_rule_names[FL_RULE_N] = {
#include "meter/ledger.def"
};
#undef FL_RULE
#undef FL_LOSS
#define FL_RULE(id, name, help)
#define FL_LOSS(id, name, help) [FL_LOSS_##id] = name,
const char *const fl_loss_names[FL_LOSS_N] = {
#include "meter/ledger.def"
};
#undef FL_LOSS
#undef FL_VERDICT
#define FL_LOSS(id, name, help)
#define FL_VERDICT(id, name, help) [FL_VERDICT_##id] = name,
const char *const fl_verdict_names[FL_VERDICT_N] = {
#include "meter/ledger.def"
};
#undef FL_VERDICT
#define FL_VERDICT(id, name, help) [FL_VERDICT_##id] = help,
const char *const fl_verdict_helps[FL_VERDICT_N] = {
#include "meter/ledger.def"
};
#undef FL_RULE
#undef FL_LOSS
#undef FL_VERDICT

static void add(struct fl_count *sum, const struct fl_count *c)
{
	sum->packets += c->packets;
	sum->bytes += c->bytes;
}

void fl_ledger_add(struct fl_ledger *sum, const struct fl_ledger *row)
{
	sum->skbs += row->skbs;
	add(&sum->seen, &row->seen);
	add(&sum->recorded, &row->recorded);
	add(&sum->not_ip, &row->not_ip);
	for (unsigned i = 0; i < FL_RULE_N; i++)
		add(&sum->excluded[i], &row->excluded[i]);
	for (unsigned i = 0; i < FL_LOSS_N; i++)
		add(&sum->lost[i], &row->lost[i]);
	for (unsigned i = 0; i < FL_VERDICT_N; i++)
		add(&sum->verdict[i], &row->verdict[i]);
}

int64_t fl_ledger_gap(const struct fl_ledger *l)
{
	uint64_t known = l->recorded.packets;

	for (unsigned i = 0; i < FL_RULE_N; i++)
		known += l->excluded[i].packets;
	for (unsigned i = 0; i < FL_LOSS_N; i++)
		known += l->lost[i].packets;
	return (int64_t)(l->seen.packets + l->verdict[FL_VERDICT_BEFORE].packets - known);
}
