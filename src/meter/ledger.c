/* SPDX-License-Identifier: Apache-2.0 */
#include "meter/meter.h"

#include "base/json.h"

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

void fl_count_add(struct fl_count *sum, const struct fl_count *c)
{
	sum->packets += c->packets;
	sum->bytes += c->bytes;
}

struct fl_count fl_count_total(const struct fl_count *part, size_t n)
{
	struct fl_count sum = {0};

	for (size_t i = 0; i < n; i++)
		fl_count_add(&sum, &part[i]);
	return sum;
}

void fl_ledger_add(struct fl_ledger *sum, const struct fl_ledger *row)
{
	sum->skbs += row->skbs;
	fl_count_add(&sum->seen, &row->seen);
	fl_count_add(&sum->recorded, &row->recorded);
	fl_count_add(&sum->not_ip, &row->not_ip);
	for (unsigned i = 0; i < FL_RULE_N; i++)
		fl_count_add(&sum->excluded[i], &row->excluded[i]);
	for (unsigned i = 0; i < FL_LOSS_N; i++)
		fl_count_add(&sum->lost[i], &row->lost[i]);
	for (unsigned i = 0; i < FL_VERDICT_N; i++)
		fl_count_add(&sum->verdict[i], &row->verdict[i]);
}

int64_t fl_ledger_gap(const struct fl_ledger *l)
{
	return (int64_t)(l->seen.packets + l->verdict[FL_VERDICT_BEFORE].packets - l->recorded.packets -
			 fl_count_total(l->excluded, FL_RULE_N).packets - fl_count_total(l->lost, FL_LOSS_N).packets);
}

static void json_members(struct fl_json *j, const struct fl_count *c)
{
	fl_json_ku64(j, "packets", c->packets);
	fl_json_ku64(j, "bytes", c->bytes);
}

void fl_count_json(struct fl_json *j, const char *key, const struct fl_count *c)
{
	fl_json_key(j, key);
	fl_json_object(j);
	json_members(j, c);
	fl_json_end_object(j);
}

static void json_parts(struct fl_json *j, const char *key, const char *inner, const struct fl_count *part,
		       const char *const *names, size_t n)
{
	struct fl_count sum = fl_count_total(part, n);

	fl_json_key(j, key);
	fl_json_object(j);
	json_members(j, &sum);
	fl_json_key(j, inner);
	fl_json_object(j);
	for (size_t i = 0; i < n; i++)
		if (part[i].packets || part[i].bytes)
			fl_count_json(j, names[i], &part[i]);
	fl_json_end_object(j);
	fl_json_end_object(j);
}

void fl_ledger_json(struct fl_json *j, const struct fl_ledger *l)
{
	fl_count_json(j, "seen", &l->seen);
	fl_count_json(j, "recorded", &l->recorded);
	json_parts(j, "excluded", "rules", l->excluded, fl_rule_names, FL_RULE_N);
	json_parts(j, "lost", "causes", l->lost, fl_loss_names, FL_LOSS_N);
}
