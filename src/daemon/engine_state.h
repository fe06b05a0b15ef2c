/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The engine's state: slots, open windows, clock rows. Private to engine*.c. Everything here can be
 * rebuilt from the log: what changes it is either a logged record or a function of logged records
 * alone.
 */
#pragma once

#include "base/cursor.h"
#include "bpf/shared.h"
#include "daemon/engine.h"
#include "daemon/wal.h"
#include "policy/policy.h"

#define FL_STATE_WINDOWS_MAX 4096 /* open at once: after days of a dead meter with a living kernel side */
#define FL_STATE_SILENT_MAX                                                                                            \
	1500 /* windows in a row that are written without having seen a packet: a day of minutes                       \
	      */
#define FL_STATE_CLOCKS_MAX 64
#define FL_STATE_CLOSED_MAX 64

/* What one (slot, ENI direction) saw in one window. */
struct row_dir {
	uint64_t skbs;
	struct fl_count packets, not_ip, truncated, ring_full, table_full, vlan;
	struct fl_count untold; /* drops for which the table had no room */
};
struct row {
	struct row_dir dir[FL_DIR_N];
};

/*
 * A window, or a part of one: once frozen it takes nothing more, and what comes later for the same
 * number goes into another object, so that a part has the same content however often it is written.
 */
struct window {
	struct window *next; /* ascending numbers, frozen ones first */
	uint32_t number, part;
	bool frozen;
	bool judged;
	bool ruled[FL_K_SLOTS]; /* rules are in force on it */
	uint16_t *opinion;      /* of the rules, by flow of flows; NULL: there were none anywhere */
	struct fl_opinions *opinions;
	bool first; /* the part in which every interface says something, were it NODATA */
	struct fl_table *table;
	size_t limit;    /* of the table */
	struct row *row; /* by slot */
	unsigned rows;
	struct fl_flow *flows; /* sorted, once writing has begun */
	size_t n_flows;
};

static inline size_t fl_state_flow_bytes(const struct window *w)
{
	return w->n_flows * (sizeof *w->flows + (w->opinion ? sizeof *w->opinion : 0));
}

/* Drops are flows too, in the same table: a mark beside the slot number keeps them apart, and sorts them behind what
 * was seen, in the same order. */
#define FL_STATE_DROPPED 0x4000 /* of packets that were seen */
#define FL_STATE_BEFORE 0x8000  /* never seen at the interface */
#define FL_STATE_BRIDGED 0xc000 /* seen at one of the interfaces in the slot's network namespace */
#define FL_STATE_MARKS 0xc000

static inline unsigned fl_state_slot_of(const struct fl_key *key)
{
	return key->iface & ~FL_STATE_MARKS;
}

/* In a flow's action beside FL_ACTION_REJECT, until its row is written: it answers what was denied. */
#define FL_STATE_ANSWERS 0x80

struct slot {
	bool used;
	bool vanished;  /* the interface is gone; the slot is freed once its windows are closed */
	uint32_t epoch; /* grows with every attachment */
	uint32_t first_window, last_window;
	struct fl_eni eni, before; /* before: what it was in windows older than since */
	uint32_t since;            /* 0: eni holds for all of them */
	struct fl_exclusions exclusions;
	struct fl_ledger total[FL_DIR_N];
};

/* Who the interface is in a window: a record carries the identity that was valid at its time. */
static inline const struct fl_eni *fl_slot_eni(const struct slot *s, uint32_t window)
{
	return window < s->since ? &s->before : &s->eni;
}

/* A row of the kernel's clock with the wall time its first window starts at. */
struct fl_clock_row {
	uint64_t mono_base, wall_base, window_ns;
	uint32_t window_base, last_before; /* the last window of the row before; numbers between the
					      two do not exist */
};

/* How often a window was written: the number of its next part. */
struct closed {
	uint32_t window, parts;
};

/* Windows in which something was not captured because nobody was there: from .. to. */
struct gap {
	uint32_t from, to;
};

struct state {
	struct slot slot[FL_K_SLOTS];
	struct window *windows;
	size_t n_windows;
	struct fl_clock_row clock[FL_STATE_CLOCKS_MAX];
	unsigned n_clocks;
	struct closed closed[FL_STATE_CLOSED_MAX]; /* the newest, as a ring */
	uint32_t n_closed, closings;
	uint32_t drained[2], newest_window;
	uint32_t checked; /* every window up to this one has had its first part frozen, or had
			     nothing to say */
	struct gap gap;
	uint64_t ring_position, memory_limit, seed;
	uint8_t boot_id[16];
	bool other_boot, had_log;
	struct fl_buf connections; /* of the rules in force, as of the last part that was closed */
	struct fl_table *spare, *peek;
	size_t spare_limit;
	struct fl_partial *peeked;
};

/* Beside the state: the table that state.connections is made of, one part ahead while that is being written. */
struct judging {
	struct fl_connections *connections;
	struct fl_buf next;         /* what state.connections is when the part is closed; empty: no change */
	uint64_t born_ms, begin_ms; /* of this life; of the table */
};

struct fl_engine {
	struct fl_engine_conf conf;
	struct judging judging;
	struct state state;
	struct fl_wal *wal;
	struct fl_live_sink sink;
	struct fl_engine_last last;
	struct fl_ledger total; /* of all closed windows; a slot's own goes with its interface */
	uint64_t settled_at;    /* monotonic: before it no half is read, the numbering has just been
				   changed */
	uint64_t shrink_at;     /* size of the log that calls for a snapshot */
	bool counts_socket;     /* what the backend lost, its socket lost */
	bool closed_since_snapshot;
	char trouble[256]; /* why FL_ENGINE_RETRY */
	bool retry;        /* shared memory was full: nothing was taken, it may be tried again */
};

void fl_state_init(struct state *s, uint64_t memory_limit, uint64_t seed, const uint8_t boot_id[16]);
void fl_state_deinit(struct state *s);

struct window *fl_state_window(struct state *s,
			       uint32_t number);           /* not frozen; made when there is none; NULL: no memory */
struct row *fl_state_row(struct window *w, unsigned slot); /* NULL: no memory */
void fl_state_drop_window(struct state *s, struct window *w);
void fl_state_count(struct row_dir *row, const struct fl_live_counts *c);
void fl_state_lost(void *ctx, const struct fl_obs *o); /* fl_table_lost_fn; ctx: a window that has the row */

struct window_head {                     /* in the log */
	uint32_t window, part, first, n; /* n: flows; of FL_WAL_CLOSED bytes of connections, 0: as they were */
};
/* Logs that the window is frozen, and freezes it. */
int fl_state_freeze(struct state *s, struct window *w, bool first, struct fl_wal *wal);
void fl_state_frozen(struct state *s, struct window *w, uint32_t part, bool first); /* when it is in the log already */

int fl_state_add_clock(struct state *s, const struct fl_clock_row *row);
const struct fl_clock_row *fl_state_clock(const struct state *s); /* newest, NULL: none */
const struct fl_clock_row *fl_state_row_of(const struct state *s, uint32_t window);
uint32_t fl_state_window_at(const struct state *s, uint64_t mono);
uint64_t fl_state_window_mono(const struct state *s, uint32_t window); /* its start */
int64_t fl_state_window_wall(const struct state *s, uint32_t window);  /* its start, Unix seconds */
uint32_t fl_state_window_seconds(const struct state *s, uint32_t window);
uint32_t fl_state_next_number(const struct state *s, uint32_t number); /* skips numbers that do not exist */

struct fresh_record {
	struct gap gap;
	uint32_t drained[2];
};
void fl_state_fresh(struct state *s, const struct fresh_record *f);

/* engine_log.c */
int fl_state_replay(struct state *s, uint32_t type, struct fl_cursor *c);
int fl_state_log_slot(const struct state *s, unsigned number, struct fl_wal *wal);
int fl_state_log_boot(const struct state *s, struct fl_wal *wal);
int fl_state_log_connections(const struct state *s, struct fl_wal *wal);
int fl_state_snapshot(const struct state *s, struct fl_wal *wal);

/* engine_peek.c */
int fl_state_peek(struct state *s, uint32_t window, const struct fl_live_ops *ops, struct fl_live *live, size_t max,
		  void (*convert)(const struct slot *, const struct fl_partial *, struct fl_obs *),
		  struct fl_flow **ret, size_t *ret_n);

/* engine_verdicts.c */
int fl_verdicts_by_tuple(const void *x, const void *y); /* of one interface */
/* Gives drops behind a bridge to the interface that saw them. flows: sorted; all of a window. */
void fl_verdicts_find_ports(const struct state *s, struct fl_flow *flows, size_t *n);
/* One interface's flows: what was seen, what of it was dropped, what was dropped before. */
struct fl_verdict_walk {
	const struct fl_flow *seen, *seen_end, *dropped, *dropped_end, *before, *before_end;
	const uint16_t *opinion; /* of seen; NULL: nothing was judged */
};
/* What decided about a row. */
struct fl_verdict_cause {
	uint16_t opinion; /* number in the window's table; 0: not judged */
	bool dropped;     /* by the packet filter, at least in part */
};
/* The next key's rows, with action: at most an ACCEPT and a REJECT. May be none; false: at the end. */
bool fl_verdicts_next(struct fl_verdict_walk *w, struct fl_flow ret[2], struct fl_verdict_cause ret_cause[2],
		      size_t *ret_n, struct fl_ledger ledger[FL_DIR_N]);
/* The causes of a frame's rows by name, as many as a frame takes: *ret_table with room for FL_GROUNDS_MAX, and a number
 * a row. What is only called "other" is counted. */
int fl_verdicts_grounds(const struct fl_opinions *opinions, const struct fl_verdict_cause *cause,
			const struct fl_flow *rows, size_t n, struct fl_ground *table, uint32_t *ret_n,
			uint16_t *ret_ground, struct fl_ledger ledger[FL_DIR_N]);
/* The interfaces of sorted flows one after another, from slot 0. opinion: by flow, may be NULL. */
struct fl_verdict_runs {
	const struct fl_flow *flows, *at[3], *end[3];
	const uint16_t *opinion;
};
void fl_verdicts_runs(struct fl_verdict_runs *r, const struct fl_flow *flows, size_t n, const uint16_t *opinion);
void fl_verdicts_take(struct fl_verdict_runs *r, unsigned slot, struct fl_verdict_walk *ret);
static inline size_t fl_verdicts_most(const struct fl_verdict_walk *w)
{
	return (size_t)(w->seen_end - w->seen) + (size_t)(w->dropped_end - w->dropped) +
	       (size_t)(w->before_end - w->before);
}

/* engine_policy.c */
int fl_judging_begin(struct fl_engine *e);
void fl_judging_end(struct fl_engine *e);
/* Marks what the rules deny among a frozen part's flows. */
int fl_judging_part(struct fl_engine *e, struct window *w);
/* Logs that the part is in the journal, and the connections with it. */
int fl_judging_close(struct fl_engine *e, struct window_head head);

/* engine_close.c */
int fl_engine_close_due(struct fl_engine *e);
void fl_engine_shrink_log(struct fl_engine *e);
