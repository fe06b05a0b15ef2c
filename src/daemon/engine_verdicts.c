/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ACCEPT or REJECT. The programs at the interfaces count what arrives, the program of drops tells what the packet
 * filter took out of it; both are flows of the same window. When the window is written, what was dropped is taken from
 * what was seen, never more than that. Pure: the same flows give the same rows however often a part is written.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "daemon/engine_state.h"
#include "record/record.h"

/* Two flows of the same interface, whatever their marks: the order of the table. */
int fl_verdicts_by_tuple(const void *x, const void *y)
{
	const struct fl_flow *a = x, *b = y;
	int c = memcmp(&a->key, &b->key, offsetof(struct fl_key, iface));

	if (c)
		return c;
	if (a->key.dirfam != b->key.dirfam)
		return a->key.dirfam < b->key.dirfam ? -1 : 1;
	return (int)a->key.proto - (int)b->key.proto;
}

static int by_key(const void *x, const void *y)
{
	const struct fl_flow *a = x, *b = y;

	if (a->key.iface != b->key.iface)
		return a->key.iface < b->key.iface ? -1 : 1;
	return fl_verdicts_by_tuple(a, b);
}

static void join(struct fl_flow *to, const struct fl_flow *from)
{
	to->packets += from->packets;
	to->bytes += from->bytes;
	to->first_ms = FL_MIN((uint32_t)to->first_ms, (uint32_t)from->first_ms);
	to->last_ms = FL_MAX((uint32_t)to->last_ms, (uint32_t)from->last_ms);
	to->tcp |= from->tcp;
}

/* ---- behind a bridge ---- */

static const struct fl_flow *find_seen(const struct state *s, const struct fl_flow *flows, size_t n,
				       const struct fl_flow *drop)
{
	const struct slot *any = &s->slot[fl_state_slot_of(&drop->key)];
	bool tc_egress = (fl_key_dir(&drop->key) == FL_DIR_EGRESS) != any->eni.flip;
	struct fl_flow wanted = *drop;

	for (unsigned i = 0; i < FL_K_SLOTS; i++) {
		const struct slot *slot = &s->slot[i];
		const struct fl_flow *found;

		if (!slot->used || strcmp(slot->eni.netns, any->eni.netns) != 0)
			continue;
		wanted.key.iface = (uint16_t)i;
		wanted.key.dirfam = (uint8_t)((drop->key.dirfam & FL_KEY_V6) |
					      (tc_egress != slot->eni.flip ? FL_DIR_EGRESS : FL_DIR_INGRESS));
		found = bsearch(&wanted, flows, n, sizeof wanted, by_key);
		if (found && found->packets >= drop->packets)
			return found;
	}
	return NULL;
}

void fl_verdicts_find_ports(const struct state *s, struct fl_flow *flows, size_t *n)
{
	size_t seen = 0, bridged = *n, kept;

	while (bridged && (flows[bridged - 1].key.iface & FL_STATE_MARKS) == FL_STATE_BRIDGED)
		bridged--;
	if (bridged == *n)
		return;
	while (seen < bridged && !(flows[seen].key.iface & FL_STATE_MARKS))
		seen++;
	for (size_t i = bridged; i < *n; i++) {
		const struct fl_flow *f = find_seen(s, flows, seen, &flows[i]);

		if (f)
			flows[i].key = f->key;
		flows[i].key.iface = (uint16_t)(FL_STATE_DROPPED | fl_state_slot_of(&flows[i].key));
	}
	qsort(flows + seen, *n - seen, sizeof *flows, by_key);
	kept = seen + 1;
	for (size_t i = kept; i < *n; i++) {
		if (by_key(&flows[kept - 1], &flows[i]))
			flows[kept++] = flows[i];
		else
			join(&flows[kept - 1], &flows[i]);
	}
	*n = kept;
}

/* ---- an interface's rows ---- */

void fl_verdicts_runs(struct fl_verdict_runs *r, const struct fl_flow *flows, size_t n, const uint16_t *opinion)
{
	static const uint16_t marks[3] = {0, FL_STATE_DROPPED, FL_STATE_BEFORE};
	const struct fl_flow *at = flows, *end = flows + n;

	r->flows = flows;
	r->opinion = opinion;
	for (unsigned i = 0; i < 3; i++) {
		r->at[i] = at;
		while (at < end && (at->key.iface & FL_STATE_MARKS) == marks[i])
			at++;
		r->end[i] = at;
	}
}

void fl_verdicts_take(struct fl_verdict_runs *r, unsigned slot, struct fl_verdict_walk *ret)
{
	const struct fl_flow **const from[3] = {&ret->seen, &ret->dropped, &ret->before},
				     **const to[3] = {&ret->seen_end, &ret->dropped_end, &ret->before_end};

	for (unsigned i = 0; i < 3; i++) {
		*from[i] = r->at[i];
		while (r->at[i] < r->end[i] && fl_state_slot_of(&r->at[i]->key) == slot)
			r->at[i]++;
		*to[i] = r->at[i];
	}
	ret->opinion = r->opinion ? r->opinion + (ret->seen - r->flows) : NULL;
}

static void count(struct fl_ledger ledger[FL_DIR_N], const struct fl_flow *f, enum fl_verdict v, uint64_t packets,
		  uint64_t bytes)
{
	struct fl_count *c = &ledger[fl_key_dir(&f->key)].verdict[v];

	c->packets += packets;
	c->bytes += bytes;
}

static uint32_t within(uint32_t ms, const struct fl_flow *f)
{
	return ms < f->first_ms ? (uint32_t)f->first_ms : ms > f->last_ms ? (uint32_t)f->last_ms : ms;
}

/* Takes the drops out of the flow. All of a flow takes its bytes as they were counted at the interface: the filter may
 * have seen the packets without their options, or merged. */
static bool move(struct fl_flow *seen, const struct fl_flow *dropped, struct fl_flow *ret,
		 struct fl_ledger ledger[FL_DIR_N])
{
	*ret = *seen;
	if (dropped->packets < seen->packets) {
		ret->packets = dropped->packets;
		ret->bytes = FL_MIN(dropped->bytes, seen->bytes);
		/* The clocks of both sides are a tick apart. */
		ret->first_ms = within((uint32_t)dropped->first_ms, seen);
		ret->last_ms = within((uint32_t)dropped->last_ms, seen);
		ret->tcp = dropped->tcp;
	}
	seen->packets -= ret->packets;
	seen->bytes -= ret->bytes;
	count(ledger, dropped, FL_VERDICT_REJECTED, ret->packets, ret->bytes);
	if (dropped->packets > ret->packets)
		count(ledger, dropped, FL_VERDICT_UNMATCHED, dropped->packets - ret->packets,
		      dropped->bytes > ret->bytes ? dropped->bytes - ret->bytes : 0);
	return ret->packets;
}

bool fl_verdicts_next(struct fl_verdict_walk *w, struct fl_flow ret[2], struct fl_verdict_cause ret_cause[2],
		      size_t *ret_n, struct fl_ledger ledger[FL_DIR_N])
{
	const struct fl_flow *key = w->seen < w->seen_end ? w->seen : NULL;
	struct fl_flow seen = {0}, rejected = {0};
	struct fl_verdict_cause cause = {0};

	*ret_n = 0;
	if (w->dropped < w->dropped_end && (!key || fl_verdicts_by_tuple(w->dropped, key) < 0))
		key = w->dropped;
	if (w->before < w->before_end && (!key || fl_verdicts_by_tuple(w->before, key) < 0))
		key = w->before;
	if (!key)
		return false;
	if (w->seen < w->seen_end && !fl_verdicts_by_tuple(w->seen, key)) {
		seen = *w->seen++;
		cause.opinion = w->opinion ? *w->opinion++ : 0;
	}
	if (w->dropped < w->dropped_end && !fl_verdicts_by_tuple(w->dropped, key)) {
		const struct fl_flow *dropped = w->dropped++;

		if (!seen.packets)
			count(ledger, dropped, FL_VERDICT_UNMATCHED, dropped->packets, dropped->bytes);
		else
			move(&seen, dropped, &rejected, ledger);
	}
	if (w->before < w->before_end && !fl_verdicts_by_tuple(w->before, key)) {
		const struct fl_flow *before = w->before++;

		count(ledger, before, FL_VERDICT_BEFORE, before->packets, before->bytes);
		if (rejected.packets)
			join(&rejected, before);
		else
			rejected = *before;
	}
	cause.dropped = rejected.packets != 0;
	if (seen.action & FL_STATE_ANSWERS)
		count(ledger, &seen, FL_VERDICT_CONTRADICTED, seen.packets, seen.bytes);
	if (seen.action & FL_ACTION_REJECT && seen.packets) {
		count(ledger, &seen, FL_VERDICT_DENIED, seen.packets, seen.bytes);
		if (rejected.packets)
			join(&rejected, &seen);
		else
			rejected = seen;
		seen.packets = 0;
	}
	seen.action = FL_ACTION_ACCEPT;
	if (seen.packets) {
		ret_cause[*ret_n] = (struct fl_verdict_cause){.opinion = cause.opinion};
		ret[(*ret_n)++] = seen;
	}
	if (rejected.packets) {
		ret_cause[*ret_n] = cause;
		rejected.key.iface = (uint16_t)fl_state_slot_of(&rejected.key);
		rejected.action = FL_ACTION_REJECT;
		ret[(*ret_n)++] = rejected;
	}
	return true;
}

/* ---- what decided, by name ---- */

/* Of each kind one row is spared for what is only called "other". */
#define OTHERS 4

struct naming {
	const struct fl_opinions *opinions;
	struct fl_ground *table;
	uint32_t n;
	uint16_t *number; /* by opinion, twice: without and with a drop */
};

static uint16_t add_ground(struct naming *g, struct fl_verdict_cause cause)
{
	const struct fl_opinion *o = fl_opinions_at(g->opinions, cause.opinion);
	struct fl_ground *row = &g->table[g->n];

	memset(row, 0, sizeof *row);
	if (cause.dropped)
		memcpy(row->drop, FL_LIVE_REJECT, sizeof FL_LIVE_REJECT);
	if (o) {
		_Static_assert(sizeof row->rule == sizeof o->text, "a name fits");
		memcpy(row->rule, o->text, strnlen(o->text, sizeof o->text - 1));
		row->opinion = o->accept ? FL_OPINION_ACCEPT : FL_OPINION_REJECT;
		row->reason = o->bpa ? FL_REASON_BPA : FL_REASON_NONE;
	}
	return (uint16_t)++g->n;
}

static bool is_other(uint16_t opinion)
{
	return opinion == FL_OPINION_OTHER_ACCEPT || opinion == FL_OPINION_OTHER_REJECT;
}

static uint16_t ground_of(struct naming *g, struct fl_verdict_cause *cause)
{
	uint16_t *number;

	if (!cause->opinion && !cause->dropped)
		return 0;
	number = &g->number[2 * cause->opinion + cause->dropped];
	if (!*number && g->n >= FL_GROUNDS_MAX - OTHERS && cause->opinion && !is_other(cause->opinion)) {
		cause->opinion = fl_opinions_at(g->opinions, cause->opinion)->accept ? FL_OPINION_OTHER_ACCEPT
										     : FL_OPINION_OTHER_REJECT;
		number = &g->number[2 * cause->opinion + cause->dropped];
	}
	if (!*number)
		*number = add_ground(g, *cause);
	return *number;
}

int fl_verdicts_grounds(const struct fl_opinions *opinions, const struct fl_verdict_cause *cause,
			const struct fl_flow *rows, size_t n, struct fl_ground *table, uint32_t *ret_n,
			uint16_t *ret_ground, struct fl_ledger ledger[FL_DIR_N])
{
	size_t most = opinions ? fl_opinions_count(opinions) : 0;
	uint16_t *number FL_CLEANUP(fl_freep) = calloc(2 * (most + 1), sizeof *number);
	struct naming g = {.opinions = opinions, .table = table, .number = number};

	if (!number)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		struct fl_verdict_cause c = cause[i];

		ret_ground[i] = ground_of(&g, &c);
		if (is_other(c.opinion))
			count(ledger, &rows[i], FL_VERDICT_UNNAMED, rows[i].packets, rows[i].bytes);
	}
	*ret_n = g.n;
	return 0;
}
