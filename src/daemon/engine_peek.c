/* SPDX-License-Identifier: Apache-2.0 */
/* A look at the open window: what was logged of it and what the kernel side still holds, with verdicts. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "daemon/engine_state.h"

#define PEEK_BYTES (32u << 20) /* the look may not cost more */

static int add_to_peek(void *ctx, const struct fl_flow *f)
{
	struct fl_table *peek = ctx;
	struct fl_obs o = {
	    .key = f->key,
	    .bytes = f->bytes,
	    .packets = (uint32_t)FL_MIN(f->packets, (uint64_t)UINT32_MAX),
	    .first_ms = f->first_ms,
	    .last_ms = f->last_ms,
	    .tcp = f->tcp,
	};

	fl_table_add(peek, &o, 1, NULL, NULL);
	return 0;
}

/* Rows with their action, out of sorted flows. */
static int with_verdicts(const struct fl_flow *flows, size_t n, struct fl_flow **ret, size_t *ret_n)
{
	struct fl_ledger unused[FL_DIR_N] = {0};
	struct fl_flow *rows = malloc((n + 1) * sizeof *rows);
	struct fl_verdict_runs runs;
	size_t at = 0;

	if (!rows)
		return -ENOMEM;
	fl_verdicts_runs(&runs, flows, n, NULL);
	for (unsigned slot = 0; slot < FL_K_SLOTS; slot++) {
		struct fl_verdict_walk walk;
		struct fl_verdict_cause unneeded[2];
		struct fl_flow pair[2];
		size_t have;

		fl_verdicts_take(&runs, slot, &walk);
		/* Never more rows than flows: a REJECT stands for a flow of drops. */
		while (fl_verdicts_next(&walk, pair, unneeded, &have, unused)) {
			memcpy(rows + at, pair, have * sizeof *rows);
			at += have;
		}
	}
	*ret = rows;
	*ret_n = at;
	return 0;
}

int fl_state_peek(struct state *s, uint32_t window, const struct fl_live_ops *ops, struct fl_live *live, size_t max,
		  void (*convert)(const struct slot *, const struct fl_partial *, struct fl_obs *),
		  struct fl_flow **ret, size_t *ret_n)
{
	struct fl_table_conf conf = {.memory_limit = PEEK_BYTES, .seed = s->seed};
	struct fl_flow *flows FL_CLEANUP(fl_freep) = NULL;
	size_t n;
	int r;

	if (!s->peek && fl_table_new(&s->peek, &conf))
		return -ENOMEM;
	if (!s->peeked)
		s->peeked = malloc(max * sizeof *s->peeked);
	if (!s->peeked)
		return -ENOMEM;
	fl_table_clear(s->peek);
	n = ops->peek(live, window, s->peeked, max);
	for (size_t i = 0; i < n; i++) {
		struct fl_obs o;

		if (s->peeked[i].slot >= FL_K_SLOTS || !s->slot[s->peeked[i].slot].used)
			continue;
		convert(&s->slot[s->peeked[i].slot], &s->peeked[i], &o);
		fl_table_add(s->peek, &o, 1, NULL, NULL);
	}
	for (const struct window *w = s->windows; w; w = w->next)
		if (w->number == window)
			fl_table_each(w->table, add_to_peek, s->peek);
	r = fl_table_take_sorted(s->peek, &flows, &n);
	if (r)
		return r;
	fl_verdicts_find_ports(s, flows, &n);
	return with_verdicts(flows, n, ret, ret_n);
}
