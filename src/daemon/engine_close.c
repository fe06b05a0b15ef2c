/* SPDX-License-Identifier: Apache-2.0 */
/* A window's end: its flows and counters become one journal frame an interface. Slots come and go
 * here too. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "daemon/engine_state.h"

#define SHRINK_STEP (64u << 20)
#define CHUNK_FLOWS (1u << 15) /* flows a frame: 2 MiB, small beside the journal's segments */
#define CHUNK_BITS 8
#define CHUNKS_MAX ((1u << CHUNK_BITS) - 1)

/* seen = recorded + excluded + lost is not forced here: recorded is summed from the flows
 * themselves. */
static void ledger_of_row(const struct row_dir *row, bool socket, struct fl_ledger *ret)
{
	memset(ret, 0, sizeof *ret);
	ret->skbs = row->skbs;
	ret->seen.packets = row->packets.packets + row->truncated.packets;
	ret->seen.bytes = row->packets.bytes + row->truncated.bytes;
	ret->not_ip = row->not_ip;
	ret->excluded[FL_RULE_VLAN] = row->vlan;
	ret->lost[FL_LOSS_TRUNCATED] = row->truncated;
	ret->lost[socket ? FL_LOSS_SOCKET : FL_LOSS_RING_FULL] = row->ring_full;
	ret->lost[FL_LOSS_TABLE_FULL] = row->table_full;
	ret->verdict[FL_VERDICT_UNMATCHED] = row->untold;
}

/* Rows of one frame, and what decided about each. */
struct rows {
	struct fl_flow *flow;
	struct fl_verdict_cause *cause;
	uint16_t *ground;
	size_t n;
	struct fl_ground *grounds; /* FL_GROUNDS_MAX */
};

static void *make_rows(size_t n, struct rows *ret)
{
	char *room = malloc(n * (sizeof *ret->flow + sizeof *ret->cause + sizeof *ret->ground) +
			    FL_GROUNDS_MAX * sizeof *ret->grounds);

	if (!room)
		return NULL;
	ret->flow = (struct fl_flow *)room;
	ret->cause = (struct fl_verdict_cause *)(ret->flow + n);
	ret->ground = (uint16_t *)(ret->cause + n);
	ret->grounds = (struct fl_ground *)(ret->ground + n);
	return room;
}

static void record_flows(const struct fl_exclusions *x, struct rows *rows, struct fl_ledger ledger[FL_DIR_N])
{
	struct fl_flow *flows = rows->flow;
	size_t kept = 0;

	for (size_t i = 0; i < rows->n; i++) {
		struct fl_ledger *l = &ledger[fl_key_dir(&flows[i].key)];
		int rule = x->on ? fl_exclusions_match(x, &flows[i].key, -1) : -1;
		struct fl_count *c = rule < 0 ? &l->recorded : &l->excluded[rule];

		c->packets += flows[i].packets;
		c->bytes += flows[i].bytes;
		if (rule >= 0)
			continue;
		rows->cause[kept] = rows->cause[i];
		flows[kept++] = flows[i];
	}
	rows->n = kept;
}

static bool was_there(const struct slot *s, uint32_t window)
{
	return s->used && window >= s->first_window && (!s->vanished || window <= s->last_window);
}

static uint16_t number_of(struct fl_frame *f, const struct fl_addr *inside)
{
	for (unsigned i = 0; i < f->n_inside; i++)
		if (fl_addr_equal(&f->inside[i], inside))
			return (uint16_t)(i + 1);
	if (f->n_inside == FL_INSIDE_MAX)
		return 0;
	f->inside[f->n_inside++] = *inside;
	return (uint16_t)f->n_inside;
}

/* Translated addresses: what tc sees come in has them behind its destination, what leaves behind its source. */
static void find_inside(const struct fl_engine *e, const struct slot *slot, struct fl_frame *f, struct fl_flow *flows)
{
	for (size_t i = 0; i < f->n_flows; i++) {
		struct fl_flow *flow = &flows[i];
		bool leaves = (fl_key_dir(&flow->key) == FL_DIR_EGRESS) != slot->eni.flip;
		struct fl_key in = flow->key;
		struct fl_addr inside;

		flow->key.iface = 0;
		if (leaves) {
			in.src = flow->key.dst;
			in.dst = flow->key.src;
			in.sport = flow->key.dport;
			in.dport = flow->key.sport;
		}
		if (e->conf.behind(e->conf.behind_ctx, slot->eni.netns, &in, &inside)) {
			uint16_t number = number_of(f, &inside);

			flow->key.iface = (uint16_t)(number && !leaves ? number | FL_INSIDE_DST : number);
		}
	}
}

/* One frame of an interface; ledger holds what the counters say, the flows' sums are added here. */
static int append_frame(struct fl_engine *e, const struct window *w, unsigned number, unsigned chunk, struct rows *rows,
			struct fl_ledger ledger[FL_DIR_N], uint32_t flags)
{
	struct slot *slot = &e->state.slot[number];
	struct fl_frame f = {
	    .window =
		{
		    .epoch = slot->epoch,
		    .window = w->number,
		    .part = w->part << CHUNK_BITS | chunk,
		    .flags = flags,
		    .start = fl_state_window_wall(&e->state, w->number),
		    .length = fl_state_window_seconds(&e->state, w->number),
		},
	    .eni = *fl_slot_eni(slot, w->number),
	    .flows = rows->flow,
	    .grounds = rows->grounds,
	    .ground = rows->ground,
	};
	int r;

	memcpy(f.window.boot_id, e->conf.boot_id, sizeof f.window.boot_id);
	record_flows(&slot->exclusions, rows, ledger);
	r = fl_verdicts_grounds(w->opinions, rows->cause, rows->flow, rows->n, rows->grounds, &f.n_grounds,
				rows->ground, ledger);
	if (r)
		return r;
	memcpy(f.ledger, ledger, sizeof f.ledger);
	f.n_flows = rows->n;
	if (e->conf.behind)
		find_inside(e, slot, &f, rows->flow);
	r = fl_journal_append(e->conf.journal, &f);
	if (r < 0)
		return fl_wrap(r, "writing window %u of %s to the journal", w->number, slot->eni.interface_id);
	if (r == FL_JOURNAL_DUPLICATE)
		return 0;
	for (unsigned d = 0; d < FL_DIR_N; d++) {
		fl_ledger_add(&slot->total[d], &f.ledger[d]);
		fl_ledger_add(&e->total, &f.ledger[d]);
		if (w->first)
			fl_ledger_add(&e->last.ledger, &f.ledger[d]);
	}
	if (w->first)
		e->last.flows += rows->n;
	return 0;
}

/* Fills a chunk with rows; what the verdicts count goes into the ledger of the chunk. */
static void fill_chunk(struct fl_verdict_walk *walk, struct rows *rows, size_t each, struct fl_ledger ledger[FL_DIR_N],
		       bool *ret_more)
{
	size_t have;

	/* One key may be two rows. */
	for (rows->n = 0; rows->n < each; rows->n += have) {
		*ret_more = fl_verdicts_next(walk, rows->flow + rows->n, rows->cause + rows->n, &have, ledger);
		if (!*ret_more)
			break;
	}
}

/* All of an interface in one window: the counters with the first frame, flows in frames of at most
 * `each`. */
static int append_interface(struct fl_engine *e, const struct window *w, unsigned number, struct fl_verdict_walk walk)
{
	static const enum fl_loss skips[] = {FL_LOSS_RING_FULL, FL_LOSS_TABLE_FULL, FL_LOSS_SOCKET};
	static const struct fl_ledger none[FL_DIR_N];
	const struct gap *gap = &e->state.gap;
	size_t n = fl_verdicts_most(&walk), each = FL_MAX((size_t)CHUNK_FLOWS, n / CHUNKS_MAX + 1);
	struct rows rows = {0};
	void *room FL_CLEANUP(fl_freep) = make_rows(FL_MIN(each, n) + 2, &rows);
	uint32_t flags = w->number >= gap->from && w->number <= gap->to ? FL_WINDOW_SKIPDATA : 0;
	struct fl_ledger ledger[FL_DIR_N] = {0};
	bool more = true;
	int r = room ? 0 : -ENOMEM;

	flags |= (e->conf.verdicts ? FL_WINDOW_VERDICTS : 0) | (w->ruled[number] ? FL_WINDOW_POLICY : 0);
	for (unsigned d = 0; d < FL_DIR_N && number < w->rows; d++) {
		ledger_of_row(&w->row[number].dir[d], e->counts_socket, &ledger[d]);
		for (size_t i = 0; i < FL_ARRAY_LEN(skips); i++)
			if (ledger[d].lost[skips[i]].packets)
				flags |= FL_WINDOW_SKIPDATA;
	}
	for (unsigned part = 0; !r && more; part++) {
		fill_chunk(&walk, &rows, each, ledger, &more);
		if (rows.n || !part || memcmp(ledger, none, sizeof ledger))
			r = append_frame(e, w, number, part, &rows, ledger, flags);
		memset(ledger, 0, sizeof ledger);
	}
	return r;
}

static bool has_counts(const struct window *w, unsigned slot)
{
	static const struct row none;

	return slot < w->rows && memcmp(&w->row[slot], &none, sizeof none);
}

/* The frames of one frozen part. With the first part an interface with nothing to say gets a frame
 * too: NODATA is a fact. */
static int write_part(struct fl_engine *e, struct window *w)
{
	struct window_head head = {.window = w->number, .part = w->part, .first = w->first};
	uint32_t length = fl_state_window_seconds(&e->state, w->number);
	int64_t start = fl_state_window_wall(&e->state, w->number);
	struct fl_verdict_runs runs;
	int r = 0;

	if (!w->flows) {
		r = fl_table_take_sorted(w->table, &w->flows, &w->n_flows);
		if (r)
			return r;
		fl_verdicts_find_ports(&e->state, w->flows, &w->n_flows);
	}
	r = fl_judging_part(e, w);
	if (r)
		return r;
	fl_verdicts_runs(&runs, w->flows, w->n_flows, w->opinion);
	if (w->first)
		memset(&e->last, 0, sizeof e->last);
	for (unsigned i = 0; !r && i < FL_K_SLOTS; i++) {
		struct fl_verdict_walk walk;

		fl_verdicts_take(&runs, i, &walk);
		if (fl_verdicts_most(&walk) || has_counts(w, i) ||
		    (w->first && was_there(&e->state.slot[i], w->number)))
			r = append_interface(e, w, i, walk);
	}
	if (!r)
		r = fl_journal_commit(e->conf.journal, w->number, start, length);
	if (!r)
		r = fl_judging_close(e, head);
	if (r)
		return r;
	e->closed_since_snapshot = true;
	if (w->first) {
		e->last.window = (struct fl_engine_window){.number = w->number, .start = start, .length = length};
		e->last.closed_at = (int64_t)(fl_now_ns(&e->conf.clock) / FL_NS_PER_S);
	}
	fl_state_drop_window(&e->state, w);
	return 0;
}

/* A slot whose interface vanished is free again when no open window can still name it. */
static int free_slots(struct fl_engine *e)
{
	struct state *s = &e->state;
	uint32_t oldest = s->windows ? s->windows->number : UINT32_MAX;
	int r = 0;

	for (unsigned i = 0; i < FL_K_SLOTS && !r; i++) {
		struct slot *slot = &s->slot[i];

		if (!slot->used || !slot->vanished || oldest <= slot->last_window ||
		    s->checked <= slot->last_window + 1)
			continue;
		memset(slot, 0, sizeof *slot);
		r = fl_state_log_slot(s, i, e->wal);
	}
	return r;
}

static bool anyone_there(const struct state *s, uint32_t window)
{
	for (unsigned i = 0; i < FL_K_SLOTS; i++)
		if (was_there(&s->slot[i], window))
			return true;
	return false;
}

static struct window *find_open(const struct state *s, uint32_t number)
{
	struct window *w = s->windows;

	while (w && (w->number != number || w->frozen))
		w = w->next;
	return w;
}

/* The first part of the next window, when its half has been read: also of a window that saw no
 * packet. Positive: there is one. */
static int freeze_next(struct fl_engine *e)
{
	struct state *s = &e->state;
	uint32_t due = FL_MAX(s->drained[0], s->drained[1]), next;
	struct window *w;
	int r;

	for (;;) {
		next = fl_state_next_number(s, s->checked);
		if (!s->n_clocks || next > s->drained[next & 1])
			return 0;
		w = find_open(s, next);
		if (!w && due - next < FL_STATE_SILENT_MAX && anyone_there(s, next)) {
			w = fl_state_window(s, next);
			if (!w)
				return -ENOMEM;
		}
		if (w)
			break;
		s->checked = next;
	}
	r = fl_state_freeze(s, w, true, e->wal);
	return r ? r : 1;
}

/* What came for windows whose first part is written, and what would be too many windows at once. */
static int freeze_late(struct fl_engine *e)
{
	struct state *s = &e->state;
	size_t over = s->n_windows > FL_STATE_WINDOWS_MAX ? s->n_windows - FL_STATE_WINDOWS_MAX : 0;
	int r = 0;

	for (struct window *w = s->windows; w && !r; w = w->next)
		if (!w->frozen && (w->number <= s->checked || over)) {
			over -= over && w->number > s->checked;
			r = fl_state_freeze(s, w, w->number > s->checked, e->wal);
		}
	return r;
}

static int write_frozen(struct fl_engine *e, bool *ret_wrote)
{
	struct window *w = e->state.windows, *next;
	int r = 0;

	for (; w && !r; w = next) {
		next = w->next;
		if (!w->frozen)
			continue;
		r = write_part(e, w);
		*ret_wrote = *ret_wrote || !r;
	}
	return r;
}

int fl_engine_close_due(struct fl_engine *e)
{
	bool wrote = false;
	int r, more;

	do {
		/* What an earlier life or a failed write left frozen goes first. */
		r = write_frozen(e, &wrote);
		more = r ? 0 : freeze_next(e);
		if (!more && !r) {
			r = freeze_late(e);
			if (!r)
				r = write_frozen(e, &wrote);
		}
	} while (!r && more > 0);
	r = r ? r : more;
	if (!r && wrote)
		r = free_slots(e);
	if (r < 0) {
		snprintf(e->trouble, sizeof e->trouble, "%s", fl_error_text(r));
		return FL_ENGINE_RETRY;
	}
	return 0;
}

/* A snapshot instead of a long log: when a window has left it, or when it has become long within
 * one. */
void fl_engine_shrink_log(struct fl_engine *e)
{
	int r;

	if (e->closed_since_snapshot ? fl_wal_size(e->wal) < e->conf.snapshot_bytes
				     : fl_wal_size(e->wal) < e->shrink_at)
		return;
	r = fl_wal_snapshot_begin(e->wal);
	if (!r)
		r = fl_state_snapshot(&e->state, e->wal);
	if (!r)
		r = fl_wal_snapshot_commit(e->wal);
	/* No room for a second log: the first one goes on, and the next try is when it has grown
	 * again. */
	if (r)
		fl_wal_snapshot_abort(e->wal);
	e->closed_since_snapshot = false;
	e->shrink_at = r ? fl_wal_size(e->wal) + SHRINK_STEP : FL_MAX(3 * fl_wal_size(e->wal), (uint64_t)SHRINK_STEP);
}

/* ---- slots ---- */

/* The place and not the id: an inventory may give the same interface another one. */
static bool same_interface(const struct fl_eni *a, const struct fl_eni *b)
{
	static const uint8_t no_mac[6];

	if (a->ifindex != b->ifindex || strcmp(a->netns, b->netns) || memcmp(a->mac, b->mac, 6))
		return false;
	return memcmp(a->mac, no_mac, 6) || !strcmp(a->device, b->device);
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
	return fl_state_window_at(&e->state, fl_mono_ns(&e->conf.clock));
}

int fl_engine_attached(struct fl_engine *e, uint16_t slot, const struct fl_eni *eni)
{
	struct slot *s = &e->state.slot[slot];
	/* Tenths of a second since boot: grows with every attachment, also across restarts of the
	 * meter. */
	uint32_t epoch = (uint32_t)(fl_mono_ns(&e->conf.clock) / (FL_NS_PER_S / 10));

	s->epoch = FL_MAX(epoch, s->epoch + 1);
	s->used = true;
	s->vanished = false;
	s->first_window = window_now(e);
	s->last_window = 0;
	s->since = 0;
	s->eni = *eni;
	s->exclusions = (struct fl_exclusions){.on = e->conf.exclusions};
	return fl_state_log_slot(&e->state, slot, e->wal);
}

int fl_engine_exclude(struct fl_engine *e, uint16_t slot, const struct fl_exclusions *x)
{
	struct slot *s = &e->state.slot[slot];

	if (s->exclusions.on == x->on && fl_addr_equal(&s->exclusions.dns, &x->dns) &&
	    fl_addr_equal(&s->exclusions.router, &x->router))
		return 0;
	s->exclusions = *x;
	return fl_state_log_slot(&e->state, slot, e->wal);
}

int fl_engine_identify(struct fl_engine *e, uint16_t slot, const struct fl_eni *eni)
{
	struct slot *s = &e->state.slot[slot];
	uint32_t next = window_now(e) + 1;

	if (!memcmp(&s->eni, eni, sizeof *eni))
		return 0;
	/* A second change in one window: what is valid in it stays. */
	if (s->since != next)
		s->before = s->eni;
	s->since = next;
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
	    .start = fl_state_window_wall(&e->state, now),
	    .length = fl_state_window_seconds(&e->state, now),
	};
}

const struct fl_ledger *fl_engine_totals(const struct fl_engine *e, uint16_t slot, enum fl_dir dir)
{
	return &e->state.slot[slot].total[dir];
}

const struct fl_ledger *fl_engine_total(const struct fl_engine *e)
{
	return &e->total;
}

const struct fl_engine_last *fl_engine_last(const struct fl_engine *e)
{
	return &e->last;
}

uint64_t fl_engine_memory(const struct fl_engine *e)
{
	uint64_t sum = sizeof *e;

	for (const struct window *w = e->state.windows; w; w = w->next)
		sum += sizeof *w + fl_table_bytes(w->table) + w->rows * sizeof *w->row + fl_state_flow_bytes(w);
	return sum;
}
