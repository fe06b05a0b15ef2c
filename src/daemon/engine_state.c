/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/engine_state.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#define ROWS_STEP 16
#define LATE_PART (1u << 16) /* parts of windows that were closed too long ago to remember how often */

void fl_state_init(struct state *s, uint64_t memory_limit, uint64_t seed, const uint8_t boot_id[16])
{
	memset(s, 0, sizeof *s);
	s->memory_limit = memory_limit;
	s->seed = seed;
	s->connections = FL_BUF(FL_WAL_RECORD_MAX);
	memcpy(s->boot_id, boot_id, sizeof s->boot_id);
}

void fl_state_deinit(struct state *s)
{
	while (s->windows)
		fl_state_drop_window(s, s->windows);
	fl_table_free(&s->spare);
	fl_table_free(&s->peek);
	fl_buf_free(&s->connections);
	free(s->peeked);
	s->peeked = NULL;
}

/* ---- windows ---- */

/* Two windows are open around a border, so each may take half; when more are waiting, what is left.
 */
static size_t table_limit(const struct state *s)
{
	size_t used = 0;

	if (!s->memory_limit)
		return 0;
	for (const struct window *w = s->windows; w; w = w->next)
		used += fl_table_bytes(w->table) + fl_state_flow_bytes(w);
	return used >= s->memory_limit ? 1 : FL_MIN(s->memory_limit / 2, s->memory_limit - used);
}

struct window *fl_state_window(struct state *s, uint32_t number)
{
	struct fl_table_conf conf = {.seed = s->seed};
	struct window **at = &s->windows, *w;

	while (*at && ((*at)->number < number || ((*at)->number == number && (*at)->frozen)))
		at = &(*at)->next;
	if (*at && (*at)->number == number)
		return *at;
	w = calloc(1, sizeof *w);
	if (!w)
		return NULL;
	conf.memory_limit = w->limit = table_limit(s);
	if (s->spare && s->spare_limit == w->limit) {
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
	s->newest_window = FL_MAX(s->newest_window, number);
	return w;
}

/* Slots are handed out from the lowest, so rows stay few. */
struct row *fl_state_row(struct window *w, unsigned slot)
{
	if (slot >= w->rows) {
		unsigned rows = (slot / ROWS_STEP + 1) * ROWS_STEP;
		struct row *grown = realloc(w->row, rows * sizeof *grown);

		if (!grown)
			return NULL;
		memset(grown + w->rows, 0, (rows - w->rows) * sizeof *grown);
		w->row = grown;
		w->rows = rows;
	}
	return &w->row[slot];
}

void fl_state_drop_window(struct state *s, struct window *w)
{
	struct window **at = &s->windows;

	while (*at != w)
		at = &(*at)->next;
	*at = w->next;
	s->n_windows--;
	if (!s->spare || s->spare_limit < w->limit) {
		fl_table_free(&s->spare);
		fl_table_clear(w->table);
		s->spare = w->table;
		s->spare_limit = w->limit;
		w->table = NULL;
	}
	fl_table_free(&w->table);
	fl_opinions_free(&w->opinions);
	free(w->opinion);
	free(w->flows);
	free(w->row);
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
	row->vlan.packets += c->vlan_packets;
	row->vlan.bytes += c->vlan_bytes;
}

void fl_state_lost(void *ctx, const struct fl_obs *o)
{
	struct window *w = ctx;
	struct row_dir *row = &w->row[fl_state_slot_of(&o->key)].dir[fl_key_dir(&o->key)];
	struct fl_count *lost = o->key.iface & FL_STATE_MARKS ? &row->untold : &row->table_full;

	lost->packets += o->packets;
	lost->bytes += o->bytes;
}

/* ---- freezing ---- */

static uint32_t next_part(const struct state *s, uint32_t window)
{
	for (size_t i = 0; i < FL_ARRAY_LEN(s->closed); i++)
		if (s->closed[i].window == window)
			return s->closed[i].parts;
	return window <= s->checked ? LATE_PART + s->closings : 0;
}

void fl_state_frozen(struct state *s, struct window *w, uint32_t part, bool first)
{
	w->frozen = true;
	w->first = first;
	w->part = part;
	s->closings++;
	if (first)
		s->checked = FL_MAX(s->checked, w->number);
	for (size_t i = 0; i < FL_ARRAY_LEN(s->closed); i++)
		if (s->closed[i].window == w->number) {
			s->closed[i].parts++;
			return;
		}
	if (part < LATE_PART)
		s->closed[s->n_closed++ % FL_ARRAY_LEN(s->closed)] =
		    (struct closed){.window = w->number, .parts = part + 1};
}

int fl_state_freeze(struct state *s, struct window *w, bool first, struct fl_wal *wal)
{
	struct window_head head = {.window = w->number, .part = next_part(s, w->number), .first = first};
	struct iovec iov = {.iov_base = &head, .iov_len = sizeof head};
	int r = fl_wal_append(wal, FL_WAL_CLOSING, &iov, 1);

	if (!r)
		fl_state_frozen(s, w, head.part, first);
	return r;
}

/* ---- clock ---- */

int fl_state_add_clock(struct state *s, const struct fl_clock_row *row)
{
	if (!row->window_ns)
		return -EBADMSG;
	if (s->n_clocks == FL_STATE_CLOCKS_MAX) {
		memmove(s->clock, s->clock + 1, sizeof s->clock - sizeof s->clock[0]);
		s->n_clocks--;
	}
	if (!s->n_clocks)
		s->checked = FL_MAX(s->checked, row->window_base - 1);
	s->clock[s->n_clocks++] = *row;
	s->newest_window = FL_MAX(s->newest_window, row->window_base);
	return 0;
}

const struct fl_clock_row *fl_state_clock(const struct state *s)
{
	return s->n_clocks ? &s->clock[s->n_clocks - 1] : NULL;
}

/* The row a window was numbered by. */
const struct fl_clock_row *fl_state_row_of(const struct state *s, uint32_t window)
{
	for (unsigned i = s->n_clocks; i-- > 0;)
		if (s->clock[i].window_base <= window)
			return &s->clock[i];
	return s->n_clocks ? &s->clock[0] : NULL;
}

uint32_t fl_state_window_at(const struct state *s, uint64_t mono)
{
	const struct fl_clock_row *row = fl_state_clock(s);

	if (!row || mono < row->mono_base)
		return row ? row->window_base : 0;
	return row->window_base + (uint32_t)((mono - row->mono_base) / row->window_ns);
}

uint64_t fl_state_window_mono(const struct state *s, uint32_t window)
{
	const struct fl_clock_row *row = fl_state_row_of(s, window);

	/* Signed: a window may be older than the oldest row that is remembered. */
	return row ? row->mono_base +
			 (uint64_t)((int64_t)((int32_t)(window - row->window_base)) * (int64_t)row->window_ns)
		   : 0;
}

int64_t fl_state_window_wall(const struct state *s, uint32_t window)
{
	const struct fl_clock_row *row = fl_state_row_of(s, window);
	int64_t away = row ? (int32_t)(window - row->window_base) : 0;

	return row ? ((int64_t)row->wall_base + away * (int64_t)row->window_ns) / (int64_t)FL_NS_PER_S : 0;
}

uint32_t fl_state_window_seconds(const struct state *s, uint32_t window)
{
	const struct fl_clock_row *row = fl_state_row_of(s, window);

	return row ? (uint32_t)(row->window_ns / FL_NS_PER_S) : 0;
}

uint32_t fl_state_next_number(const struct state *s, uint32_t number)
{
	uint32_t next = number + 1;

	for (unsigned i = 0; i < s->n_clocks; i++)
		if (s->clock[i].last_before && next > s->clock[i].last_before && next < s->clock[i].window_base)
			next = s->clock[i].window_base;
	return next;
}

void fl_state_fresh(struct state *s, const struct fresh_record *f)
{
	s->ring_position = 0;
	for (unsigned half = 0; half < 2; half++)
		s->drained[half] = FL_MAX(s->drained[half], f->drained[half]);
	/* Two gaps with windows of neither between them do not happen: the first is closed before
	 * the second begins. */
	if (s->gap.to < s->checked)
		s->gap = f->gap;
	else
		s->gap.to = FL_MAX(s->gap.to, f->gap.to);
}
