/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/engine_state.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/mem.h"

#define ROWS_STEP 16
#define PEEK_BYTES (32u << 20) /* the look at the open window may not cost more */
#define LATE_PART (1u << 16)   /* parts of windows that were closed too long ago to remember how often */

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

static void freeze(struct state *s, struct window *w, uint32_t part, bool first)
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
		freeze(s, w, head.part, first);
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
	freeze(s, w, h.part, h.first);
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
