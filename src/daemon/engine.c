/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/engine.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "bpf/shared.h"
#include "daemon/engine_state.h"
#include "daemon/wal.h"

#define SETTLE_NS (FL_NS_PER_S / 2) /* after a window's end nobody writes to its half any more */
#define OBS_BATCH 256
#define SNAPSHOT_BYTES (1u << 20)
#define FIRST_SHRINK (64ull << 20) /* a log may grow to this before it is rewritten within a window */

/* ---- observations into windows ---- */

static enum fl_dir eni_dir(const struct slot *s, uint32_t window, bool tc_egress)
{
	return tc_egress != fl_slot_eni(s, window)->flip ? FL_DIR_EGRESS : FL_DIR_INGRESS;
}

static void obs_of_partial(const struct slot *s, const struct fl_partial *p, struct fl_obs *ret)
{
	const uint64_t unit_ms = FL_K_TIME_UNIT_NS / FL_NS_PER_MS;

	memset(ret, 0, sizeof *ret);
	memcpy(ret->key.src.b, p->src, 16);
	memcpy(ret->key.dst.b, p->dst, 16);
	ret->key.sport = p->sport;
	ret->key.dport = p->dport;
	ret->key.iface = p->slot;
	ret->key.proto = p->proto;
	ret->key.dirfam = (uint8_t)((p->dirfam & FL_KEY_V6) | eni_dir(s, p->window, p->dirfam & FL_K_TC_EGRESS));
	ret->bytes = p->bytes;
	ret->packets = p->packets;
	ret->window = p->window;
	ret->first_ms = (uint32_t)(p->first * unit_ms);
	ret->last_ms = (uint32_t)(p->last * unit_ms);
	ret->tcp = p->tcp;
	if (p->evict == FL_EVICT_DROPPED)
		ret->key.iface |= FL_STATE_DROPPED;
	else if (p->evict == FL_EVICT_DROPPED_BEFORE)
		ret->key.iface |= FL_STATE_BEFORE;
	else if (p->evict == FL_EVICT_DROPPED_BRIDGED)
		ret->key.iface |= FL_STATE_BRIDGED;
}

static int flush(struct window *w, struct fl_obs *batch, size_t *have)
{
	if (*have)
		fl_table_add(w->table, batch, *have, fl_state_lost, w);
	*have = 0;
	return 0;
}

/* Partials come in runs of the same window, so batches are cut where it changes. */
static int add_partials(struct fl_engine *e, const struct fl_partial *p, size_t n,
			bool (*skip)(const struct fl_engine *, const struct fl_partial *))
{
	struct fl_obs batch[OBS_BATCH];
	struct window *w = NULL;
	size_t have = 0;

	for (size_t i = 0; i < n; i++) {
		if (p[i].slot >= FL_K_SLOTS || !p[i].window || skip(e, &p[i]))
			continue;
		if (!w || w->number != p[i].window) {
			flush(w, batch, &have);
			w = fl_state_window(&e->state, p[i].window);
		}
		/* The row must be there before the table says what it lost. */
		if (!w || !fl_state_row(w, p[i].slot))
			return fl_fail(-ENOMEM, "no memory for window %u", p[i].window);
		obs_of_partial(&e->state.slot[p[i].slot], &p[i], &batch[have++]);
		if (have == OBS_BATCH)
			flush(w, batch, &have);
	}
	return flush(w, batch, &have);
}

static int add_counts(struct fl_engine *e, const struct fl_live_counts *c, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct window *w;
		struct row *row;

		/* Already read with its half: the kernel had not been told yet when it needed the
		 * place. */
		if (c[i].slot >= FL_K_SLOTS || !c[i].window || c[i].window <= e->state.drained[c[i].window & 1])
			continue;
		w = fl_state_window(&e->state, c[i].window);
		row = w ? fl_state_row(w, c[i].slot) : NULL;
		if (!row)
			return fl_fail(-ENOMEM, "no memory for window %u", c[i].window);
		fl_state_count(&row->dir[eni_dir(&e->state.slot[c[i].slot], c[i].window, c[i].egress)], &c[i]);
	}
	return 0;
}

/*
 * A stale partial whose half has been read already: the process died between logging the half and
 * telling the kernel. Collisions are never duplicates, they left the cache before it was read.
 */
static bool skip_in_ring(const struct fl_engine *e, const struct fl_partial *p)
{
	return p->evict == FL_EVICT_STALE && p->window <= e->state.drained[p->window & 1];
}

/* A slot of the cache that was read before and that no packet has needed since. */
static bool skip_in_half(const struct fl_engine *e, const struct fl_partial *p)
{
	return p->window <= e->state.drained[p->window & 1];
}

static int apply_ring(struct fl_engine *e, uint64_t to, const struct fl_partial *p, size_t n,
		      const struct fl_live_counts *c, size_t n_counts)
{
	int r = add_partials(e, p, n, skip_in_ring);

	if (!r)
		r = add_counts(e, c, n_counts);
	if (!r)
		e->state.ring_position = to;
	return r;
}

static int apply_half(struct fl_engine *e, uint32_t window, const struct fl_partial *p, size_t n,
		      const struct fl_live_counts *c, size_t n_counts)
{
	int r = add_partials(e, p, n, skip_in_half);

	if (!r)
		r = add_counts(e, c, n_counts);
	if (!r && e->state.drained[window & 1] < window)
		e->state.drained[window & 1] = window;
	return r;
}

/* ---- the sink: into the log first, then into the tables ---- */

struct batch_head {
	uint64_t from, to;
	uint32_t window, n_partials, n_counts, pad;
};

static int log_batch(struct fl_engine *e, uint32_t type, struct batch_head head, const struct fl_partial *p,
		     const struct fl_live_counts *c)
{
	struct iovec iov[3] = {
	    {.iov_base = &head, .iov_len = sizeof head},
	    {.iov_base = (void *)p, .iov_len = head.n_partials * sizeof *p},
	    {.iov_base = (void *)c, .iov_len = head.n_counts * sizeof *c},
	};

	int r = fl_wal_append(e->wal, type, iov, 3);

	e->retry = r < 0;
	return r;
}

static int sink_ring(void *ctx, uint64_t from, uint64_t to, const struct fl_partial *p, size_t n,
		     const struct fl_live_counts *c, size_t n_counts)
{
	struct fl_engine *e = ctx;
	struct batch_head head = {.from = from, .to = to, .n_partials = (uint32_t)n, .n_counts = (uint32_t)n_counts};
	int r = log_batch(e, FL_WAL_RING, head, p, c);

	return r ? r : apply_ring(e, to, p, n, c, n_counts);
}

static int sink_half(void *ctx, uint32_t window, uint64_t ring_to, const struct fl_partial *p, size_t n,
		     const struct fl_live_counts *c, size_t n_counts)
{
	struct fl_engine *e = ctx;
	struct batch_head head = {
	    .to = ring_to, .window = window, .n_partials = (uint32_t)n, .n_counts = (uint32_t)n_counts};
	int r = log_batch(e, FL_WAL_HALF, head, p, c);

	return r ? r : apply_half(e, window, p, n, c, n_counts);
}

/* ---- replay ---- */

static int replay_batch(struct fl_engine *e, uint32_t type, struct fl_cursor *c)
{
	struct batch_head head;
	const uint8_t *h = fl_cur_take(c, sizeof head), *partials, *counts;

	if (!h)
		return -EBADMSG;
	memcpy(&head, h, sizeof head);
	partials = fl_cur_take(c, (size_t)head.n_partials * sizeof(struct fl_partial));
	counts = fl_cur_take(c, (size_t)head.n_counts * sizeof(struct fl_live_counts));
	if (!partials || !counts)
		return -EBADMSG;
	/* The log keeps payloads at 8 bytes, as these structures need it. */
	if (type == FL_WAL_RING)
		return apply_ring(e, head.to, (const void *)partials, head.n_partials, (const void *)counts,
				  head.n_counts);
	return apply_half(e, head.window, (const void *)partials, head.n_partials, (const void *)counts, head.n_counts);
}

static int replay(void *ctx, uint32_t type, const void *data, size_t n)
{
	struct fl_engine *e = ctx;
	struct fl_cursor c = fl_cursor(data, n);

	if (type == FL_WAL_RING || type == FL_WAL_HALF)
		return replay_batch(e, type, &c);
	return fl_state_replay(&e->state, type, &c);
}

/* ---- the kernel's clock ---- */

/*
 * Publishes a row whose first window ends at the next multiple of the window length after now.
 * Numbers only grow, also when the wall clock was set back; and they change sides: what the last
 * window of the old row left in its half can then be read at once, while the first of the new row
 * fills the other.
 */
static int start_clock(struct fl_engine *e)
{
	const struct fl_clock_row *old = fl_state_clock(&e->state);
	uint64_t now = fl_now_ns(&e->conf.clock), mono = fl_mono_ns(&e->conf.clock);
	uint64_t into = now % e->conf.window_ns;
	struct fl_clock_row row = {
	    .mono_base = mono - FL_MIN(into, mono),
	    .wall_base = now - into,
	    .window_ns = e->conf.window_ns,
	    .window_base = (uint32_t)(now / e->conf.window_ns),
	};
	struct iovec iov = {.iov_base = &row, .iov_len = sizeof row};
	int r;

	if (old) {
		uint32_t last = fl_state_window_at(&e->state, mono), after;

		row.last_before = last;
		/* + 3: the border may pass while we are at it. */
		after = FL_MAX(last, e->state.newest_window) + 3;
		row.window_base = FL_MAX(row.window_base, after);
		row.window_base += (row.window_base & 1) == (last & 1);
		e->settled_at = mono + SETTLE_NS;
	}
	r = fl_wal_append(e->wal, FL_WAL_CLOCK, &iov, 1);
	if (!r)
		r = fl_state_add_clock(&e->state, &row);
	if (!r)
		r = e->conf.ops->set_clock(e->conf.live, row.mono_base, row.window_base);
	return r;
}

/* A step of the wall clock of more than a second starts a new row; slewing is left alone (a window
 * is then as long as the monotonic clock says). Another window length than the log's is a step too.
 */
static int follow_clock(struct fl_engine *e)
{
	const struct fl_clock_row *row = fl_state_clock(&e->state);
	uint64_t now = fl_now_ns(&e->conf.clock), mono = fl_mono_ns(&e->conf.clock);
	uint64_t expected = row->wall_base + (mono - row->mono_base);
	uint64_t off = now > expected ? now - expected : expected - now;

	return off <= FL_NS_PER_S && row->window_ns == e->conf.window_ns ? 0 : start_clock(e);
}

/* ---- life ---- */

/* What the log holds; a log that cannot be used is put away, and the window that is open has a gap.
 */
static int open_log(struct fl_engine *e, bool *ret_lost)
{
	int r = fl_wal_open(&e->wal, e->conf.shmfd, replay, e);

	*ret_lost = false;
	if (r == -EBADMSG) {
		*ret_lost = !e->state.other_boot;
		fl_warn("%s; it is put away%s", fl_error_text(r), *ret_lost ? " and the open window has a gap" : "");
		fl_state_deinit(&e->state);
		fl_state_init(&e->state, e->conf.memory_limit, e->conf.seed, e->conf.boot_id);
		r = fl_wal_remove(e->conf.shmfd);
		if (!r)
			r = fl_wal_open(&e->wal, e->conf.shmfd, replay, e);
	}
	e->shrink_at = FIRST_SHRINK;
	return !r && !fl_wal_size(e->wal) ? fl_state_log_boot(&e->state, e->wal) : r;
}

/* The kernel side has begun anew while a log tells of an earlier life: nobody counted in between.
 */
static int note_gap(struct fl_engine *e, uint32_t from)
{
	uint32_t now = fl_state_window_at(&e->state, fl_mono_ns(&e->conf.clock));
	struct fresh_record f = {.gap = {.from = FL_MIN(from, now), .to = now}};
	struct iovec iov = {.iov_base = &f, .iov_len = sizeof f};
	int r;

	f.drained[(now - 1) & 1] = now - 1;
	f.drained[now & 1] = now - 2;
	r = fl_wal_append(e->wal, FL_WAL_FRESH, &iov, 1);
	if (!r)
		fl_state_fresh(&e->state, &f);
	return r;
}

/* The other side of the border: what it must know of what the log says. */
static int tell_kernel(struct fl_engine *e)
{
	const struct fl_live_ops *ops = e->conf.ops;
	const struct fl_clock_row *row = fl_state_clock(&e->state);

	if (e->conf.reused && e->state.ring_position > ops->ring_position(e->conf.live))
		ops->set_ring_position(e->conf.live, e->state.ring_position);
	for (unsigned half = 0; e->conf.reused && half < 2; half++)
		if (e->state.drained[half])
			ops->set_drained(e->conf.live, half, e->state.drained[half]);
	if (!row)
		return start_clock(e);
	if (row->window_ns != e->conf.window_ns)
		return start_clock(e);
	/* Again, because the process may have died between logging a row and publishing it. */
	return ops->set_clock(e->conf.live, row->mono_base, row->window_base);
}

int fl_engine_new(struct fl_engine **ret, const struct fl_engine_conf *conf)
{
	FL_CLEANUP(fl_engine_free) struct fl_engine *e = calloc(1, sizeof *e);
	bool lost_log;
	int r;

	if (!e)
		return -ENOMEM;
	e->conf = *conf;
	if (!e->conf.snapshot_bytes)
		e->conf.snapshot_bytes = SNAPSHOT_BYTES;
	e->counts_socket = !strcmp(conf->ops->name, "afpacket");
	fl_state_init(&e->state, conf->memory_limit, conf->seed, conf->boot_id);
	e->sink = (struct fl_live_sink){.ring = sink_ring, .half = sink_half, .ctx = e};
	r = open_log(e, &lost_log);
	if (!r)
		r = fl_judging_begin(e);
	if (!r && !conf->reused && e->state.had_log)
		r = note_gap(e, e->state.checked + 1);
	e->conf.connections = NULL; /* the log has them */
	if (!r)
		r = tell_kernel(e);
	if (!r && lost_log)
		r = note_gap(e, UINT32_MAX);
	/* What the log held is written before anything new is read. A journal that refuses is asked
	 * again with the next tick. */
	if (!r)
		(void)fl_engine_close_due(e);
	if (r)
		return r;
	*ret = e;
	e = NULL;
	return 0;
}

void fl_engine_free(struct fl_engine **e)
{
	if (!*e)
		return;
	fl_judging_end(*e);
	fl_wal_close(&(*e)->wal);
	fl_state_deinit(&(*e)->state);
	free(*e);
	*e = NULL;
}

const char *fl_engine_trouble(const struct fl_engine *e)
{
	return e->trouble;
}

bool fl_engine_had_log(const struct fl_engine *e)
{
	return e->state.had_log;
}

/* Shared memory that is full, or a late turn: the kernel keeps it, and counts what it cannot keep.
 */
static int outcome(struct fl_engine *e, int r)
{
	if (r == -EAGAIN)
		return 0;
	if (r >= 0 || !e->retry)
		return r;
	snprintf(e->trouble, sizeof e->trouble, "%s", fl_error_text(r));
	return FL_ENGINE_RETRY;
}

static int drain_last_half(struct fl_engine *e)
{
	uint64_t mono = fl_mono_ns(&e->conf.clock), border;
	uint32_t now = fl_state_window_at(&e->state, mono);

	border = fl_state_window_mono(&e->state, now);
	if (mono < border + SETTLE_NS || mono < e->settled_at || e->state.drained[(now - 1) & 1] >= now - 1)
		return 0;
	/* The half of the last window is ours until the next window begins. */
	return e->conf.ops->drain_half(e->conf.live, now - 1, border + fl_state_clock(&e->state)->window_ns, &e->sink);
}

int fl_engine_tick(struct fl_engine *e)
{
	int r, closed;

	e->retry = false;
	r = follow_clock(e);
	if (!r)
		r = outcome(e, e->conf.ops->drain_ring(e->conf.live, &e->sink));
	if (!r)
		r = outcome(e, drain_last_half(e));
	if (r < 0)
		return r;
	closed = fl_engine_close_due(e);
	fl_engine_shrink_log(e);
	return closed ? closed : r;
}

int fl_engine_finish(struct fl_engine *e)
{
	const struct fl_live_ops *ops = e->conf.ops;
	uint32_t now = fl_state_window_at(&e->state, fl_mono_ns(&e->conf.clock));
	int r = ops->drain_ring(e->conf.live, &e->sink);

	for (uint32_t w = now - 1; !r && w != now + 1; w++)
		r = ops->drain_half(e->conf.live, w, UINT64_MAX, &e->sink);
	if (!r)
		r = fl_engine_close_due(e);
	return r == FL_ENGINE_RETRY ? fl_fail(-EIO, "%s", e->trouble) : r;
}

int fl_engine_peek(struct fl_engine *e, size_t max, struct fl_flow **ret, size_t *ret_n)
{
	uint32_t now = fl_state_window_at(&e->state, fl_mono_ns(&e->conf.clock));

	return fl_state_peek(&e->state, now, e->conf.ops, e->conf.live, max, obs_of_partial, ret, ret_n);
}
