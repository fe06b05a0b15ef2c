/* SPDX-License-Identifier: Apache-2.0 */
/* The engine's state: slots, open windows, clock rows. Private to engine*.c. Everything here can be rebuilt from the log. */
#pragma once

#include "base/cursor.h"
#include "bpf/shared.h"
#include "daemon/engine.h"
#include "daemon/wal.h"

#define FL_STATE_WINDOWS_MAX 4096 /* open at once: after days of a dead meter with a living kernel side */
#define FL_STATE_CLOCKS_MAX 64

/* What one (slot, ENI direction) saw in one window. */
struct row_dir {
	uint64_t skbs;
	struct fl_count packets, not_ip, truncated, ring_full, table_full;
};
struct row {
	struct row_dir dir[FL_DIR_N];
};

struct window {
	struct window *next; /* ascending numbers */
	uint32_t number;
	struct fl_table *table;
	struct row row[FL_K_SLOTS];
};

struct slot {
	bool used;
	bool vanished;		/* the interface is gone; the slot is freed once its windows are closed */
	uint32_t epoch;		/* grows with every attachment */
	uint32_t first_window, last_window;
	struct fl_eni eni;
	struct fl_ledger total[FL_DIR_N];
};

/* A row of the kernel's clock with the wall time its first window starts at. */
struct fl_clock_row {
	uint64_t mono_base, wall_base;
	uint32_t window_base, pad;
};

/* How often a window was written: the number of its next part. */
struct closed {
	uint32_t window, parts;
};

struct state {
	struct slot slot[FL_K_SLOTS];
	struct window *windows;
	size_t n_windows;
	struct fl_clock_row clock[FL_STATE_CLOCKS_MAX];
	unsigned n_clocks;
	struct closed closed[64]; /* the newest, as a ring */
	unsigned n_closed;
	uint32_t drained[2], newest_window;
	uint64_t ring_position, memory_limit, seed;
	struct fl_table *spare, *peek;
	struct fl_partial *peeked;
};

struct fl_engine {
	struct fl_engine_conf conf;
	struct state state;
	struct fl_wal *wal;
	struct fl_live_sink sink;
	struct fl_engine_last last;
};

int fl_state_init(struct state *s, uint64_t memory_limit, uint64_t seed);
void fl_state_deinit(struct state *s);

struct window *fl_state_window(struct state *s, uint32_t number); /* created when there is none; NULL: no memory */
void fl_state_drop_window(struct state *s, struct window *w);
void fl_state_count(struct row_dir *row, const struct fl_live_counts *c);
unsigned fl_state_part(const struct state *s, uint32_t window);
void fl_state_note_closed(struct state *s, uint32_t window);

int fl_state_add_clock(struct state *s, const struct fl_clock_row *row);
const struct fl_clock_row *fl_state_clock(const struct state *s); /* newest, NULL: none */
uint32_t fl_state_window_at(const struct state *s, uint64_t mono, uint64_t window_ns);
uint64_t fl_state_window_mono(const struct state *s, uint32_t window, uint64_t window_ns); /* its start */
uint64_t fl_state_window_wall(const struct state *s, uint32_t window, uint64_t window_ns);
uint32_t fl_state_newest_window(const struct state *s);
void fl_state_note_window(struct state *s, uint32_t window);

int fl_state_replay(struct state *s, uint32_t type, struct fl_cursor *c);
int fl_state_log_slot(const struct state *s, unsigned number, struct fl_wal *wal);
int fl_state_snapshot(const struct state *s, struct fl_wal *wal);

const struct fl_table *fl_state_peek(struct state *s, uint32_t window, const struct fl_live_ops *ops, struct fl_live *live,
				     size_t max,
				     void (*convert)(const struct slot *, const struct fl_partial *, struct fl_obs *));

/* engine_close.c */
int fl_engine_close_due(struct fl_engine *e);
