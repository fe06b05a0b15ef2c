/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/engine_state.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/mem.h"

int fl_state_init(struct state *s, uint64_t memory_limit, uint64_t seed)
{
	memset(s, 0, sizeof *s);
	/* Two windows are open around a border, so each may take half. */
	s->memory_limit = memory_limit / 2;
	s->seed = seed;
	return 0;
}

void fl_state_deinit(struct state *s)
{
	while (s->windows)
		fl_state_drop_window(s, s->windows);
	fl_table_free(&s->spare);
	fl_table_free(&s->peek);
	free(s->peeked);
	s->peeked = NULL;
}

/* ---- windows ---- */

struct window *fl_state_window(struct state *s, uint32_t number)
{
	struct fl_table_conf conf = {.memory_limit = s->memory_limit, .seed = s->seed};
	struct window **at = &s->windows, *w;

	while (*at && (*at)->number < number)
		at = &(*at)->next;
	if (*at && (*at)->number == number)
		return *at;
	if (s->n_windows == FL_STATE_WINDOWS_MAX)
		return NULL;
	w = calloc(1, sizeof *w);
	if (!w)
		return NULL;
	if (s->spare) {
		w->table = s->spare;
		s->spare = NULL;
	} else if (fl_table_new(&w->table, &conf)) {
		free(w);
		return NULL;
	}
	w->number = number;
	w->next = *at;
	*at = w;
	s->n_windows++;
	fl_state_note_window(s, number);
	return w;
}

void fl_state_drop_window(struct state *s, struct window *w)
{
	struct window **at = &s->windows;

	while (*at != w)
		at = &(*at)->next;
	*at = w->next;
	s->n_windows--;
	if (!s->spare) {
		fl_table_clear(w->table);
		s->spare = w->table;
		w->table = NULL;
	}
	fl_table_free(&w->table);
	free(w);
}

void fl_state_count(struct row_dir *row, const struct fl_live_counts *c)
{
	row->skbs += c->skbs;
	row->packets.packets += c->packets;
	row->packets.bytes += c->bytes;
	row->not_ip.packets += c->not_ip_packets;
	row->not_ip.bytes += c->not_ip_bytes;
	row->truncated.packets += c->truncated_packets;
	row->truncated.bytes += c->truncated_bytes;
	row->ring_full.packets += c->lost_packets;
	row->ring_full.bytes += c->lost_bytes;
}

unsigned fl_state_part(const struct state *s, uint32_t window)
{
	for (size_t i = 0; i < FL_ARRAY_LEN(s->closed); i++)
		if (s->closed[i].window == window)
			return s->closed[i].parts;
	return 0;
}

void fl_state_note_closed(struct state *s, uint32_t window)
{
	for (size_t i = 0; i < FL_ARRAY_LEN(s->closed); i++)
		if (s->closed[i].window == window) {
			s->closed[i].parts++;
			return;
		}
	s->closed[s->n_closed++ % FL_ARRAY_LEN(s->closed)] = (struct closed){.window = window, .parts = 1};
}

/* ---- clock ---- */

int fl_state_add_clock(struct state *s, const struct fl_clock_row *row)
{
	if (s->n_clocks == FL_STATE_CLOCKS_MAX) {
		memmove(s->clock, s->clock + 1, sizeof s->clock - sizeof s->clock[0]);
		s->n_clocks--;
	}
	s->clock[s->n_clocks++] = *row;
	fl_state_note_window(s, row->window_base);
	return 0;
}

const struct fl_clock_row *fl_state_clock(const struct state *s)
{
	return s->n_clocks ? &s->clock[s->n_clocks - 1] : NULL;
}

/* The row a window was numbered by. */
static const struct fl_clock_row *row_of(const struct state *s, uint32_t window)
{
	for (unsigned i = s->n_clocks; i-- > 0;)
		if (s->clock[i].window_base <= window)
			return &s->clock[i];
	return s->n_clocks ? &s->clock[0] : NULL;
}

uint32_t fl_state_window_at(const struct state *s, uint64_t mono, uint64_t window_ns)
{
	const struct fl_clock_row *row = fl_state_clock(s);

	return row ? row->window_base + (uint32_t)((mono - row->mono_base) / window_ns) : 0;
}

uint64_t fl_state_window_mono(const struct state *s, uint32_t window, uint64_t window_ns)
{
	const struct fl_clock_row *row = row_of(s, window);

	return row ? row->mono_base + (uint64_t)(window - row->window_base) * window_ns : 0;
}

uint64_t fl_state_window_wall(const struct state *s, uint32_t window, uint64_t window_ns)
{
	const struct fl_clock_row *row = row_of(s, window);

	return row ? row->wall_base + (uint64_t)(window - row->window_base) * window_ns : 0;
}

uint32_t fl_state_newest_window(const struct state *s)
{
	return s->newest_window;
}

void fl_state_note_window(struct state *s, uint32_t window)
{
	s->newest_window = FL_MAX(s->newest_window, window);
}

/* ---- the log's snapshot records ---- */

struct slot_record {
	uint32_t slot, used, vanished, epoch, first_window, last_window;
	struct fl_eni eni;
};
struct position_record {
	uint64_t ring_position;
	uint32_t drained[2], newest_window, n_closed;
	struct closed closed[64];
};
struct rows_record {
	uint32_t slot, pad;
	struct row row;
};

static int replay_flows(struct state *s, struct fl_cursor *c)
{
	uint32_t number = fl_cur_le32(c), n = fl_cur_le32(c);
	const uint8_t *flows = fl_cur_take(c, (size_t)n * sizeof(struct fl_flow));
	struct window *w = flows ? fl_state_window(s, number) : NULL;

	if (!w)
		return -EBADMSG;
	for (uint32_t i = 0; i < n; i++) {
		struct fl_flow f;
		struct fl_obs o = {.window = number};

		memcpy(&f, flows + i * sizeof f, sizeof f);
		o.key = f.key;
		o.bytes = f.bytes;
		o.first_ms = f.first_ms;
		o.last_ms = f.last_ms;
		o.tcp = f.tcp;
		/* An observation counts packets in 32 bits, a flow in 64. */
		do {
			o.packets = (uint32_t)FL_MIN(f.packets, (uint64_t)UINT32_MAX);
			fl_table_add(w->table, &o, 1, NULL, NULL);
			f.packets -= o.packets;
			o.bytes = 0;
		} while (f.packets);
	}
	return 0;
}

static int replay_rows(struct state *s, struct fl_cursor *c)
{
	uint32_t number = fl_cur_le32(c), n = fl_cur_le32(c);
	struct window *w = fl_state_window(s, number);

	for (uint32_t i = 0; w && i < n; i++) {
		const uint8_t *b = fl_cur_take(c, sizeof(struct rows_record));
		struct rows_record r;

		if (!b)
			return -EBADMSG;
		memcpy(&r, b, sizeof r);
		if (r.slot < FL_K_SLOTS)
			w->row[r.slot] = r.row;
	}
	return w ? 0 : -EBADMSG;
}

static int replay_slot(struct state *s, struct fl_cursor *c)
{
	const uint8_t *b = fl_cur_take(c, sizeof(struct slot_record));
	struct slot_record r;

	if (!b)
		return -EBADMSG;
	memcpy(&r, b, sizeof r);
	if (r.slot >= FL_K_SLOTS)
		return -EBADMSG;
	s->slot[r.slot].used = r.used;
	s->slot[r.slot].vanished = r.vanished;
	s->slot[r.slot].epoch = r.epoch;
	s->slot[r.slot].first_window = r.first_window;
	s->slot[r.slot].last_window = r.last_window;
	s->slot[r.slot].eni = r.eni;
	return 0;
}

static int replay_position(struct state *s, struct fl_cursor *c)
{
	const uint8_t *b = fl_cur_take(c, sizeof(struct position_record));
	struct position_record r;

	if (!b)
		return -EBADMSG;
	memcpy(&r, b, sizeof r);
	s->ring_position = r.ring_position;
	memcpy(s->drained, r.drained, sizeof s->drained);
	s->newest_window = r.newest_window;
	s->n_closed = r.n_closed;
	memcpy(s->closed, r.closed, sizeof s->closed);
	return 0;
}

int fl_state_replay(struct state *s, uint32_t type, struct fl_cursor *c)
{
	struct fl_clock_row row;
	const uint8_t *b;
	uint32_t window;

	switch (type) {
	case FL_WAL_CLOCK:
		b = fl_cur_take(c, sizeof row);
		if (!b)
			return -EBADMSG;
		memcpy(&row, b, sizeof row);
		return fl_state_add_clock(s, &row);
	case FL_WAL_SLOT:
		return replay_slot(s, c);
	case FL_WAL_CLOSED:
		window = fl_cur_le32(c);
		for (struct window *w = s->windows; w; w = w->next)
			if (w->number == window) {
				fl_state_drop_window(s, w);
				break;
			}
		fl_state_note_closed(s, window);
		return 0;
	case FL_WAL_FLOWS:
		return replay_flows(s, c);
	case FL_WAL_COUNTS:
		return replay_rows(s, c);
	case FL_WAL_POSITION:
		return replay_position(s, c);
	default:
		return fl_fail(-EBADMSG, "record type %u is not known: the log was written by another version", type);
	}
}

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
		.eni = slot->eni,
	};
	struct iovec iov = {.iov_base = &r, .iov_len = sizeof r};

	return fl_wal_append(wal, FL_WAL_SLOT, &iov, 1);
}

/* ---- writing the snapshot ---- */

#define SNAPSHOT_FLOWS 65536 /* flows a record */

struct flow_writer {
	struct fl_wal *wal;
	struct fl_flow *buffer;
	uint32_t window, n;
	int error;
};

static int write_flows(struct flow_writer *fw)
{
	uint32_t head[2] = {fw->window, fw->n};
	struct iovec iov[2] = {
		{.iov_base = head, .iov_len = sizeof head},
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

static int snapshot_window(const struct window *w, struct fl_wal *wal, struct fl_flow *buffer)
{
	static const struct row no_row;
	struct flow_writer fw = {.wal = wal, .buffer = buffer, .window = w->number};
	uint32_t head[2] = {w->number, 1};
	int r;

	fl_table_each(w->table, collect_flow, &fw);
	r = fw.error;
	if (!r && fw.n)
		r = write_flows(&fw);
	for (unsigned i = 0; !r && i < FL_K_SLOTS; i++) {
		struct rows_record record = {.slot = i, .row = w->row[i]};
		struct iovec iov[2] = {
			{.iov_base = head, .iov_len = sizeof head},
			{.iov_base = &record, .iov_len = sizeof record},
		};

		if (memcmp(&w->row[i], &no_row, sizeof no_row))
			r = fl_wal_append(wal, FL_WAL_COUNTS, iov, 2);
	}
	return r;
}

int fl_state_snapshot(const struct state *s, struct fl_wal *wal)
{
	struct fl_flow *buffer FL_CLEANUP(fl_freep) = malloc(SNAPSHOT_FLOWS * sizeof *buffer);
	struct position_record pos = {
		.ring_position = s->ring_position,
		.drained = {s->drained[0], s->drained[1]},
		.newest_window = s->newest_window,
		.n_closed = s->n_closed,
	};
	struct iovec iov = {.iov_base = &pos, .iov_len = sizeof pos};
	int r;

	if (!buffer)
		return -ENOMEM;
	memcpy(pos.closed, s->closed, sizeof pos.closed);
	r = fl_wal_append(wal, FL_WAL_POSITION, &iov, 1);
	for (unsigned i = 0; !r && i < s->n_clocks; i++) {
		iov = (struct iovec){.iov_base = (void *)&s->clock[i], .iov_len = sizeof s->clock[i]};
		r = fl_wal_append(wal, FL_WAL_CLOCK, &iov, 1);
	}
	for (unsigned i = 0; !r && i < FL_K_SLOTS; i++)
		if (s->slot[i].used)
			r = fl_state_log_slot(s, i, wal);
	for (const struct window *w = s->windows; !r && w; w = w->next)
		r = snapshot_window(w, wal, buffer);
	return r;
}

/* ---- a look at the open window ---- */

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

const struct fl_table *fl_state_peek(struct state *s, uint32_t window, const struct fl_live_ops *ops, struct fl_live *live,
				     size_t max,
				     void (*convert)(const struct slot *, const struct fl_partial *, struct fl_obs *))
{
	struct fl_table_conf conf = {.memory_limit = s->memory_limit, .seed = s->seed};
	size_t n;

	if (!s->peek && fl_table_new(&s->peek, &conf))
		return NULL;
	if (!s->peeked)
		s->peeked = malloc(max * sizeof *s->peeked);
	if (!s->peeked)
		return NULL;
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
	return s->peek;
}
