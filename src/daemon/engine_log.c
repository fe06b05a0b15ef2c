/* SPDX-License-Identifier: Apache-2.0 */
/* The state as records of the log: what each of them does when it is read again, and a snapshot, all of it at once. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "daemon/engine_state.h"

/* ---- replay ---- */

struct slot_record {
	uint32_t slot, used, vanished, epoch, first_window, last_window, since, pad;
	struct fl_eni eni, before;
	struct fl_exclusions exclusions;
};
struct position_record {
	uint64_t ring_position;
	uint32_t drained[2], newest_window, checked, n_closed, closings;
	struct gap gap;
	struct closed closed[FL_STATE_CLOSED_MAX];
};
struct rows_record {
	uint32_t slot, pad;
	struct row row;
};

static bool take(struct fl_cursor *c, void *to, size_t n)
{
	const uint8_t *b = fl_cur_take(c, n);

	if (b)
		memcpy(to, b, n);
	return b;
}

/* The part a head names; a part of a snapshot that is not there yet is made. */
static struct window *find_part(struct state *s, const struct window_head *h, bool make)
{
	struct window *w;

	for (w = s->windows; w; w = w->next)
		if (w->number == h->window && w->frozen && w->part == h->part)
			return w;
	return make ? fl_state_window(s, h->window) : NULL;
}

static int replay_flows(struct state *s, struct fl_cursor *c)
{
	struct window_head h;
	const uint8_t *flows = NULL;
	struct window *w;

	if (take(c, &h, sizeof h))
		flows = fl_cur_take(c, (size_t)h.n * sizeof(struct fl_flow));
	w = flows ? fl_state_window(s, h.window) : NULL;
	for (uint32_t i = 0; w && i < h.n; i++) {
		struct fl_flow f;
		struct fl_obs o = {.window = h.window};

		memcpy(&f, flows + i * sizeof f, sizeof f);
		if (fl_state_slot_of(&f.key) >= FL_K_SLOTS || !fl_state_row(w, fl_state_slot_of(&f.key)))
			return -EBADMSG;
		o.key = f.key;
		o.bytes = f.bytes;
		o.first_ms = f.first_ms;
		o.last_ms = f.last_ms;
		o.tcp = f.tcp;
		/* An observation counts packets in 32 bits, a flow in 64. */
		do {
			o.packets = (uint32_t)FL_MIN(f.packets, (uint64_t)UINT32_MAX);
			fl_table_add(w->table, &o, 1, fl_state_lost, w);
			f.packets -= o.packets;
			o.bytes = 0;
		} while (f.packets);
	}
	return w ? 0 : -EBADMSG;
}

static int replay_rows(struct state *s, struct fl_cursor *c)
{
	struct window_head h;
	struct rows_record r;
	struct window *w;
	struct row *row;

	if (!take(c, &h, sizeof h) || !take(c, &r, sizeof r) || r.slot >= FL_K_SLOTS)
		return -EBADMSG;
	w = fl_state_window(s, h.window);
	row = w ? fl_state_row(w, r.slot) : NULL;
	if (!row)
		return -ENOMEM;
	*row = r.row;
	return 0;
}

static int replay_slot(struct state *s, struct fl_cursor *c)
{
	struct slot_record r;
	struct slot *slot;

	if (!take(c, &r, sizeof r) || r.slot >= FL_K_SLOTS)
		return -EBADMSG;
	slot = &s->slot[r.slot];
	slot->used = r.used;
	slot->vanished = r.vanished;
	slot->epoch = r.epoch;
	slot->first_window = r.first_window;
	slot->last_window = r.last_window;
	slot->since = r.since;
	slot->eni = r.eni;
	slot->before = r.before;
	slot->exclusions = r.exclusions;
	return 0;
}

static int replay_position(struct state *s, struct fl_cursor *c)
{
	struct position_record r;

	if (!take(c, &r, sizeof r))
		return -EBADMSG;
	s->ring_position = r.ring_position;
	memcpy(s->drained, r.drained, sizeof s->drained);
	s->newest_window = r.newest_window;
	s->checked = r.checked;
	s->n_closed = r.n_closed;
	s->closings = r.closings;
	s->gap = r.gap;
	memcpy(s->closed, r.closed, sizeof s->closed);
	return 0;
}

static int replay_clock(struct state *s, struct fl_cursor *c)
{
	struct fl_clock_row row;

	if (!take(c, &row, sizeof row))
		return -EBADMSG;
	s->had_log = true;
	return fl_state_add_clock(s, &row);
}

static int replay_closing(struct state *s, struct fl_cursor *c)
{
	struct window_head h;
	struct window *w;

	if (!take(c, &h, sizeof h))
		return -EBADMSG;
	w = fl_state_window(s, h.window);
	if (!w)
		return -ENOMEM;
	fl_state_frozen(s, w, h.part, h.first);
	return 0;
}

static int keep_connections(struct state *s, struct fl_cursor *c, uint32_t n)
{
	const uint8_t *b = fl_cur_take(c, n);

	fl_buf_reset(&s->connections);
	return b ? fl_buf_add(&s->connections, b, n) : -EBADMSG;
}

static int replay_connections(struct state *s, struct fl_cursor *c)
{
	struct window_head h;

	return take(c, &h, sizeof h) ? keep_connections(s, c, h.n) : -EBADMSG;
}

static int replay_closed(struct state *s, struct fl_cursor *c)
{
	struct window_head h;
	struct window *w;
	int r;

	if (!take(c, &h, sizeof h))
		return -EBADMSG;
	r = h.n ? keep_connections(s, c, h.n) : 0;
	if (r)
		return r;
	w = find_part(s, &h, false);
	if (w)
		fl_state_drop_window(s, w);
	return 0;
}

static int replay_fresh(struct state *s, struct fl_cursor *c)
{
	struct fresh_record f;

	if (!take(c, &f, sizeof f))
		return -EBADMSG;
	fl_state_fresh(s, &f);
	return 0;
}

static int replay_boot(struct state *s, struct fl_cursor *c)
{
	uint8_t id[16];

	if (!take(c, id, sizeof id))
		return -EBADMSG;
	if (!memcmp(id, s->boot_id, sizeof id))
		return 0;
	s->other_boot = true;
	return fl_fail(-EBADMSG, "the meter's log in shared memory is of another boot");
}

static int (*const replays[])(struct state *, struct fl_cursor *) = {
    [FL_WAL_CLOCK] = replay_clock,     [FL_WAL_SLOT] = replay_slot,
    [FL_WAL_CLOSING] = replay_closing, [FL_WAL_CLOSED] = replay_closed,
    [FL_WAL_FRESH] = replay_fresh,     [FL_WAL_FLOWS] = replay_flows,
    [FL_WAL_COUNTS] = replay_rows,     [FL_WAL_POSITION] = replay_position,
    [FL_WAL_BOOT] = replay_boot,       [FL_WAL_CONNECTIONS] = replay_connections,
};

int fl_state_replay(struct state *s, uint32_t type, struct fl_cursor *c)
{
	if (type >= FL_ARRAY_LEN(replays) || !replays[type])
		return fl_fail(-EBADMSG, "record type %u is not known: the log was written by another version", type);
	return replays[type](s, c);
}

/* ---- writing the snapshot ---- */

int fl_state_log_slot(const struct state *s, unsigned number, struct fl_wal *wal)
{
	const struct slot *slot = &s->slot[number];
	struct slot_record r = {
	    .slot = number,
	    .used = slot->used,
	    .vanished = slot->vanished,
	    .epoch = slot->epoch,
	    .first_window = slot->first_window,
	    .last_window = slot->last_window,
	    .since = slot->since,
	    .eni = slot->eni,
	    .before = slot->before,
	    .exclusions = slot->exclusions,
	};
	struct iovec iov = {.iov_base = &r, .iov_len = sizeof r};

	return fl_wal_append(wal, FL_WAL_SLOT, &iov, 1);
}

int fl_state_log_boot(const struct state *s, struct fl_wal *wal)
{
	struct iovec iov = {.iov_base = (void *)s->boot_id, .iov_len = sizeof s->boot_id};

	return fl_wal_append(wal, FL_WAL_BOOT, &iov, 1);
}

int fl_state_log_connections(const struct state *s, struct fl_wal *wal)
{
	struct window_head head = {.n = (uint32_t)s->connections.len};
	struct iovec iov[2] = {
	    {.iov_base = &head, .iov_len = sizeof head},
	    {.iov_base = s->connections.data, .iov_len = s->connections.len},
	};

	return s->connections.len ? fl_wal_append(wal, FL_WAL_CONNECTIONS, iov, 2) : 0;
}

#define SNAPSHOT_FLOWS 65536 /* flows a record */

struct flow_writer {
	struct fl_wal *wal;
	struct fl_flow *buffer;
	uint32_t window, n;
	int error;
};

static int write_flows(struct flow_writer *fw)
{
	struct window_head head = {.window = fw->window, .n = fw->n};
	struct iovec iov[2] = {
	    {.iov_base = &head, .iov_len = sizeof head},
	    {.iov_base = fw->buffer, .iov_len = fw->n * sizeof *fw->buffer},
	};

	fw->n = 0;
	return fl_wal_append(fw->wal, FL_WAL_FLOWS, iov, 2);
}

static int collect_flow(void *ctx, const struct fl_flow *f)
{
	struct flow_writer *fw = ctx;

	fw->buffer[fw->n++] = *f;
	if (fw->n == SNAPSHOT_FLOWS)
		fw->error = write_flows(fw);
	return fw->error;
}

/* Rows first: what then no longer fits into a table is added to them. A frozen part ends with its
 * CLOSING record. */
static int snapshot_window(const struct window *w, struct fl_wal *wal, struct fl_flow *buffer)
{
	static const struct row no_row;
	struct flow_writer fw = {.wal = wal, .buffer = buffer, .window = w->number};
	struct window_head head = {.window = w->number, .part = w->part, .first = w->first};
	struct iovec closing = {.iov_base = &head, .iov_len = sizeof head};
	int r = 0;

	for (unsigned i = 0; !r && i < w->rows; i++) {
		struct rows_record record = {.slot = i, .row = w->row[i]};
		struct iovec iov[2] = {closing, {.iov_base = &record, .iov_len = sizeof record}};

		if (memcmp(&w->row[i], &no_row, sizeof no_row))
			r = fl_wal_append(wal, FL_WAL_COUNTS, iov, 2);
	}
	if (!r && !fl_table_each(w->table, collect_flow, &fw))
		for (size_t i = 0; i < w->n_flows && !fw.error; i++)
			collect_flow(&fw, &w->flows[i]);
	r = r ? r : fw.error;
	if (!r && fw.n)
		r = write_flows(&fw);
	return r || !w->frozen ? r : fl_wal_append(wal, FL_WAL_CLOSING, &closing, 1);
}

static int snapshot_position(const struct state *s, struct fl_wal *wal)
{
	struct position_record pos = {
	    .ring_position = s->ring_position,
	    .drained = {s->drained[0], s->drained[1]},
	    .newest_window = s->newest_window,
	    .checked = s->checked,
	    .n_closed = s->n_closed,
	    .closings = s->closings,
	    .gap = s->gap,
	};
	struct iovec iov = {.iov_base = &pos, .iov_len = sizeof pos};

	memcpy(pos.closed, s->closed, sizeof pos.closed);
	return fl_wal_append(wal, FL_WAL_POSITION, &iov, 1);
}

int fl_state_snapshot(const struct state *s, struct fl_wal *wal)
{
	struct fl_flow *buffer FL_CLEANUP(fl_freep) = malloc(SNAPSHOT_FLOWS * sizeof *buffer);
	int r = buffer ? fl_state_log_boot(s, wal) : -ENOMEM;

	for (unsigned i = 0; !r && i < s->n_clocks; i++) {
		struct iovec iov = {.iov_base = (void *)&s->clock[i], .iov_len = sizeof s->clock[i]};

		r = fl_wal_append(wal, FL_WAL_CLOCK, &iov, 1);
	}
	for (unsigned i = 0; !r && i < FL_K_SLOTS; i++)
		if (s->slot[i].used)
			r = fl_state_log_slot(s, i, wal);
	for (const struct window *w = s->windows; !r && w; w = w->next)
		r = snapshot_window(w, wal, buffer);
	if (!r)
		r = fl_state_log_connections(s, wal);
	/* Last: replaying the parts above counts closings, which this puts right. */
	return r ? r : snapshot_position(s, wal);
}
