/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/kept.h"

#include <string.h>

/* What a record may not have (ports of ICMP, direction) does not count. */
static bool same_tuple(const struct fl_key *a, const struct fl_key *b)
{
	enum fl_dir x = fl_key_dir(a), y = fl_key_dir(b);

	return fl_addr_equal(&a->src, &b->src) && fl_addr_equal(&a->dst, &b->dst) && a->proto == b->proto &&
	       a->sport == b->sport && a->dport == b->dport && (x == y || x == FL_DIR_NONE || y == FL_DIR_NONE);
}

static void look(const struct fl_frame *f, const struct fl_record *r, const struct fl_key *other, struct fl_kept *ret)
{
	for (size_t i = 0; i < f->n_flows; i++) {
		const struct fl_flow *flow = &f->flows[i];
		const struct fl_ground *g = fl_frame_ground(f, i);

		if (flow->action != r->action ||
		    (!same_tuple(&flow->key, &r->key) && !(other && same_tuple(&flow->key, other))))
			continue;
		*ret = (struct fl_kept){.found = true, .flags = f->window.flags, .action = r->action};
		if (g)
			ret->ground = *g;
	}
}

void fl_kept_find(const char *store, const char *flow_log, const char *interface_id, const struct fl_record *r,
		  const struct fl_key *other, struct fl_kept *ret)
{
	struct fl_store *s FL_CLEANUP(fl_store_close) = NULL;
	struct fl_frame f;
	int what;

	*ret = (struct fl_kept){0};
	if (fl_store_open_journal(&s, store, flow_log))
		return;
	while ((what = fl_store_next_frame(s, false, &f)) > 0)
		if (what == 1 && !strcmp(f.eni.interface_id, interface_id) && f.window.start <= r->end &&
		    f.window.start + (int64_t)f.window.length > r->start)
			look(&f, r, other, ret);
}

void fl_kept_values(const struct fl_kept *k, struct fl_verdict_values *ret)
{
	if (k->found) {
		fl_ground_values(k->flags, k->action, &k->ground, ret);
		return;
	}
	for (unsigned i = 0; i < FL_VERDICT_COLUMNS; i++)
		ret->value[i] = "";
}
