/* SPDX-License-Identifier: Apache-2.0 */
/* A window's end: its flows and counters become one journal frame an interface. Slots come and go here too. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "daemon/engine_state.h"

#define SNAPSHOT_BYTES (1u << 20) /* a log smaller than this is not worth rewriting */

/* seen = recorded + excluded + lost is not forced here: recorded is summed from the flows themselves. */
static void ledger_of_row(const struct row_dir *row, struct fl_ledger *ret)
{
	memset(ret, 0, sizeof *ret);
	ret->skbs = row->skbs;
	ret->seen.packets = row->packets.packets + row->truncated.packets;
	ret->seen.bytes = row->packets.bytes + row->truncated.bytes;
	ret->not_ip = row->not_ip;
	ret->lost[FL_LOSS_TRUNCATED] = row->truncated;
	ret->lost[FL_LOSS_RING_FULL] = row->ring_full;
	ret->lost[FL_LOSS_TABLE_FULL] = row->table_full;
}

static void record_flows(struct fl_engine *e, const struct slot *slot, struct fl_flow *flows, size_t *n,
			 struct fl_ledger ledger[FL_DIR_N])
{
	struct fl_exclusions x = {.on = e->conf.exclusions};
	size_t kept = 0;

	(void)slot;
	for (size_t i = 0; i < *n; i++) {
		struct fl_ledger *l = &ledger[fl_key_dir(&flows[i].key)];
		int rule = x.on ? fl_exclusions_match(&x, &flows[i].key, -1) : -1;
		struct fl_count *c = rule < 0 ? &l->recorded : &l->excluded[rule];

		c->packets += flows[i].packets;
		c->bytes += flows[i].bytes;
		if (rule < 0)
			flows[kept++] = flows[i];
	}
	*n = kept;
}

static bool was_there(const struct slot *s, uint32_t window)
{
	return s->used && window >= s->first_window && (!s->vanished || window <= s->last_window);
}

static int append_frame(struct fl_engine *e, const struct window *w, unsigned number, struct fl_flow *flows, size_t n)
{
	static const enum fl_loss skips[] = {FL_LOSS_RING_FULL, FL_LOSS_TABLE_FULL, FL_LOSS_SOCKET};
	struct slot *slot = &e->state.slot[number];
	uint32_t part = fl_state_part(&e->state, w->number);
	struct fl_frame f = {
		.window = {
			.epoch = slot->epoch,
			.window = w->number,
			.part = part,
			.start = (int64_t)(fl_state_window_wall(&e->state, w->number, e->conf.window_ns) / FL_NS_PER_S),
			.length = (uint32_t)(e->conf.window_ns / FL_NS_PER_S),
		},
		.eni = slot->eni,
		.flows = flows,
	};
	int r;

	memcpy(f.window.boot_id, e->conf.boot_id, sizeof f.window.boot_id);
	for (unsigned d = 0; d < FL_DIR_N; d++) {
		ledger_of_row(&w->row[number].dir[d], &f.ledger[d]);
		for (size_t i = 0; i < FL_ARRAY_LEN(skips); i++)
			if (f.ledger[d].lost[skips[i]].packets)
				f.window.flags |= FL_WINDOW_SKIPDATA;
	}
	record_flows(e, slot, flows, &n, f.ledger);
	f.n_flows = n;
	r = fl_journal_append(e->conf.journal, &f);
	if (r < 0)
		return fl_wrap(r, "writing window %u of %s to the journal", w->number, slot->eni.interface_id);
	if (r == FL_JOURNAL_DUPLICATE)
		return 0;
	for (unsigned d = 0; d < FL_DIR_N; d++) {
		fl_ledger_add(&slot->total[d], &f.ledger[d]);
		fl_ledger_add(&e->last.ledger, &f.ledger[d]);
	}
	e->last.flows += n;
	return 0;
}

/* The frames of one window. An interface with nothing to say gets a frame too: NODATA is a fact. */
static int close_window(struct fl_engine *e, struct window *w)
{
	struct fl_flow *flows FL_CLEANUP(fl_freep) = NULL;
	size_t n = 0, at = 0;
	int64_t start = (int64_t)(fl_state_window_wall(&e->state, w->number, e->conf.window_ns) / FL_NS_PER_S);
	uint32_t length = (uint32_t)(e->conf.window_ns / FL_NS_PER_S);
	struct iovec iov = {.iov_base = &w->number, .iov_len = sizeof w->number};
	int r = fl_table_take_sorted(w->table, &flows, &n);

	if (r)
		return r;
	memset(&e->last, 0, sizeof e->last);
	for (unsigned i = 0; !r && i < FL_K_SLOTS; i++) {
		size_t from = at;

		while (at < n && flows[at].key.iface == i)
			at++;
		if (at > from || was_there(&e->state.slot[i], w->number))
			r = append_frame(e, w, i, flows + from, at - from);
	}
	if (!r)
		r = fl_journal_commit(e->conf.journal, w->number, start, length);
	if (!r)
		r = fl_wal_append(e->wal, FL_WAL_CLOSED, &iov, 1);
	if (r)
		return r;
	e->last.window = (struct fl_engine_window){.number = w->number, .start = start, .length = length};
	e->last.closed_at = (int64_t)(fl_now_ns(&e->conf.clock) / FL_NS_PER_S);
	fl_state_note_closed(&e->state, w->number);
	fl_state_drop_window(&e->state, w);
	return 0;
}

/* A slot whose interface vanished is free again when no open window can still name it. */
static void free_slots(struct state *s)
{
	uint32_t oldest = s->windows ? s->windows->number : UINT32_MAX;

	for (unsigned i = 0; i < FL_K_SLOTS; i++) {
		struct slot *slot = &s->slot[i];

		if (slot->used && slot->vanished && slot->last_window + 2 < oldest &&
		    s->drained[0] > slot->last_window && s->drained[1] > slot->last_window)
			memset(slot, 0, sizeof *slot);
	}
}

static int shrink_log(struct fl_engine *e)
{
	int r;

	if (fl_wal_size(e->wal) < SNAPSHOT_BYTES)
		return 0;
	r = fl_wal_snapshot_begin(e->wal);
	if (!r)
		r = fl_state_snapshot(&e->state, e->wal);
	if (!r)
		r = fl_wal_snapshot_commit(e->wal);
	return r;
}

/* Windows that have passed without a packet have no table yet, but their interfaces still say NODATA. */
static int open_silent_windows(struct state *s)
{
	uint32_t last = FL_MIN(s->drained[0], s->drained[1]);

	if (last == UINT32_MAX || !last || fl_state_part(s, last))
		return 0;
	for (unsigned i = 0; i < FL_K_SLOTS; i++)
		if (was_there(&s->slot[i], last))
			return fl_state_window(s, last) ? 0 : -ENOMEM;
	return 0;
}

int fl_engine_close_due(struct fl_engine *e)
{
	bool closed = false;
	int r = open_silent_windows(&e->state);

	while (!r && e->state.windows && e->state.windows->number <= e->state.drained[e->state.windows->number & 1]) {
		r = close_window(e, e->state.windows);
		closed = true;
	}
	if (r || !closed)
		return r;
	free_slots(&e->state);
	return shrink_log(e);
}

/* ---- slots ---- */

static bool same_interface(const struct fl_eni *a, const struct fl_eni *b)
{
	return a->ifindex == b->ifindex && !strcmp(a->interface_id, b->interface_id) && !strcmp(a->netns, b->netns);
}

int fl_engine_slot(struct fl_engine *e, const struct fl_eni *eni, bool *ret_known)
{
	int free_slot = -1;

	*ret_known = false;
	for (int i = 0; i < FL_K_SLOTS; i++) {
		const struct slot *s = &e->state.slot[i];

		if (s->used && !s->vanished && same_interface(&s->eni, eni)) {
			*ret_known = true;
			return i;
		}
		if (!s->used && free_slot < 0)
			free_slot = i;
	}
	if (free_slot < 0)
		return fl_fail(-ENOSPC, "%s is not metered: all %d slots are in use", eni->device, FL_K_SLOTS);
	return free_slot;
}

static uint32_t window_now(const struct fl_engine *e)
{
	return fl_state_window_at(&e->state, fl_mono_ns(&e->conf.clock), e->conf.window_ns);
}

int fl_engine_attached(struct fl_engine *e, uint16_t slot, const struct fl_eni *eni)
{
	struct slot *s = &e->state.slot[slot];
	/* Tenths of a second since boot: grows with every attachment, also across restarts of the meter. */
	uint32_t epoch = (uint32_t)(fl_mono_ns(&e->conf.clock) / (FL_NS_PER_S / 10));

	s->epoch = FL_MAX(epoch, s->epoch + 1);
	s->used = true;
	s->vanished = false;
	s->first_window = window_now(e);
	s->last_window = 0;
	s->eni = *eni;
	return fl_state_log_slot(&e->state, slot, e->wal);
}

int fl_engine_update(struct fl_engine *e, uint16_t slot, const struct fl_eni *eni)
{
	struct slot *s = &e->state.slot[slot];

	if (!memcmp(&s->eni, eni, sizeof *eni))
		return 0;
	s->eni = *eni;
	return fl_state_log_slot(&e->state, slot, e->wal);
}

int fl_engine_vanished(struct fl_engine *e, uint16_t slot)
{
	struct slot *s = &e->state.slot[slot];

	if (!s->used || s->vanished)
		return 0;
	s->vanished = true;
	s->last_window = window_now(e);
	return fl_state_log_slot(&e->state, slot, e->wal);
}

/* ---- status ---- */

const struct fl_eni *fl_engine_eni(const struct fl_engine *e, uint16_t slot)
{
	return slot < FL_K_SLOTS && e->state.slot[slot].used ? &e->state.slot[slot].eni : NULL;
}

struct fl_engine_window fl_engine_open_window(const struct fl_engine *e)
{
	uint32_t now = window_now(e);

	return (struct fl_engine_window){
		.number = now,
		.start = (int64_t)(fl_state_window_wall(&e->state, now, e->conf.window_ns) / FL_NS_PER_S),
		.length = (uint32_t)(e->conf.window_ns / FL_NS_PER_S),
	};
}

const struct fl_ledger *fl_engine_totals(const struct fl_engine *e, uint16_t slot, enum fl_dir dir)
{
	return &e->state.slot[slot].total[dir];
}

const struct fl_engine_last *fl_engine_last(const struct fl_engine *e)
{
	return &e->last;
}

uint64_t fl_engine_memory(const struct fl_engine *e)
{
	uint64_t sum = sizeof *e;

	for (const struct window *w = e->state.windows; w; w = w->next)
		sum += sizeof *w + fl_table_bytes(w->table);
	return sum;
}
