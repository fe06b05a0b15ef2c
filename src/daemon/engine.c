/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/engine.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "bpf/shared.h"
#include "daemon/engine_state.h"
#include "daemon/wal.h"

#define SETTLE_NS (FL_NS_PER_S / 2) /* after a window's end nobody writes to its half any more */
#define OBS_BATCH 256

/* ---- observations into windows ---- */

static enum fl_dir eni_dir(const struct slot *s, bool tc_egress)
{
	return tc_egress != s->eni.flip ? FL_DIR_EGRESS : FL_DIR_INGRESS;
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
	ret->key.dirfam = (uint8_t)((p->dirfam & FL_KEY_V6) | eni_dir(s, p->dirfam & FL_K_TC_EGRESS));
	ret->bytes = p->bytes;
	ret->packets = p->packets;
	ret->window = p->window;
	ret->first_ms = (uint32_t)(p->first * unit_ms);
	ret->last_ms = (uint32_t)(p->last * unit_ms);
	ret->tcp = p->tcp;
}

static void lost_to_memory(void *ctx, const struct fl_obs *o)
{
	struct window *w = ctx;
	struct fl_count *lost = &w->row[o->key.iface].dir[fl_key_dir(&o->key)].table_full;

	lost->packets += o->packets;
	lost->bytes += o->bytes;
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
		if (!w || w->number != p[i].window || have == OBS_BATCH) {
			if (have)
				fl_table_add(w->table, batch, have, lost_to_memory, w);
			have = 0;
			w = fl_state_window(&e->state, p[i].window);
			if (!w)
				return fl_fail(-ENOMEM, "no memory for window %u", p[i].window);
		}
		obs_of_partial(&e->state.slot[p[i].slot], &p[i], &batch[have++]);
	}
	if (have)
		fl_table_add(w->table, batch, have, lost_to_memory, w);
	return 0;
}

static int add_counts(struct fl_engine *e, const struct fl_live_counts *c, size_t n, bool from_half)
{
	for (size_t i = 0; i < n; i++) {
		struct window *w;

		if (c[i].slot >= FL_K_SLOTS || !c[i].window)
			continue;
		/* Already read with its half: the kernel had not been told yet when it needed the place. */
		if (c[i].window <= e->state.drained[c[i].window & 1])
			continue;
		w = fl_state_window(&e->state, c[i].window);
		if (!w)
			return fl_fail(-ENOMEM, "no memory for window %u", c[i].window);
		fl_state_count(&w->row[c[i].slot].dir[eni_dir(&e->state.slot[c[i].slot], c[i].egress)], &c[i]);
	}
	(void)from_half;
	return 0;
}

/*
 * A stale partial whose half has been read already: the process died between logging the half and telling the kernel.
 * Collisions are never duplicates, they left the cache before it was read.
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
		r = add_counts(e, c, n_counts, false);
	if (!r)
		e->state.ring_position = to;
	return r;
}

static int apply_half(struct fl_engine *e, uint32_t window, const struct fl_partial *p, size_t n,
		      const struct fl_live_counts *c, size_t n_counts)
{
	int r = add_partials(e, p, n, skip_in_half);

	if (!r)
		r = add_counts(e, c, n_counts, true);
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

	return fl_wal_append(e->wal, type, iov, 3);
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
	struct batch_head head = {.to = ring_to, .window = window, .n_partials = (uint32_t)n, .n_counts = (uint32_t)n_counts};
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
	/* Payloads start 16 bytes into a record of the mapping; every member is read through memcpy-sized
	 * structures of 8-byte alignment, which record lengths keep. */
	if (type == FL_WAL_RING)
		return apply_ring(e, head.to, (const void *)partials, head.n_partials, (const void *)counts,
				  head.n_counts);
	return apply_half(e, head.window, (const void *)partials, head.n_partials, (const void *)counts,
			  head.n_counts);
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

/* Publishes a row whose first window ends at the next multiple of the window length after now. */
static int start_clock(struct fl_engine *e)
{
	uint64_t now = fl_now_ns(&e->conf.clock), mono = fl_mono_ns(&e->conf.clock);
	uint64_t into = now % e->conf.window_ns;
	struct fl_clock_row row = {
		.mono_base = mono - FL_MIN(into, mono),
		.wall_base = now - into,
		.window_base = (uint32_t)(now / e->conf.window_ns),
	};
	struct iovec iov = {.iov_base = &row, .iov_len = sizeof row};
	int r;

	/* Numbers only grow, also when the wall clock was set back. */
	if (row.window_base <= fl_state_newest_window(&e->state))
		row.window_base = fl_state_newest_window(&e->state) + 2;
	r = fl_wal_append(e->wal, FL_WAL_CLOCK, &iov, 1);
	if (!r)
		r = fl_state_add_clock(&e->state, &row);
	if (!r)
		r = e->conf.ops->set_clock(e->conf.live, row.mono_base, row.window_base);
	return r;
}

/* A step of the wall clock of more than a second starts a new row; slewing is left alone (a window is then as
 * long as the monotonic clock says). */
static int follow_clock(struct fl_engine *e)
{
	const struct fl_clock_row *row = fl_state_clock(&e->state);
	uint64_t now = fl_now_ns(&e->conf.clock), mono = fl_mono_ns(&e->conf.clock);
	uint64_t expected = row->wall_base + (mono - row->mono_base);
	uint64_t off = now > expected ? now - expected : expected - now;

	if (off <= FL_NS_PER_S)
		return 0;
	fl_state_note_window(&e->state, fl_state_window_at(&e->state, mono, e->conf.window_ns));
	return start_clock(e);
}

/* ---- life ---- */

int fl_engine_new(struct fl_engine **ret, const struct fl_engine_conf *conf)
{
	FL_CLEANUP(fl_engine_free) struct fl_engine *e = calloc(1, sizeof *e);
	int r;

	if (!e)
		return -ENOMEM;
	e->conf = *conf;
	r = fl_state_init(&e->state, conf->memory_limit, conf->seed);
	if (!r)
		r = fl_wal_open(&e->wal, conf->shmfd, replay, e);
	if (r)
		return r;
	e->sink = (struct fl_live_sink){.ring = sink_ring, .half = sink_half, .ctx = e};
	if (conf->reused && e->state.ring_position > conf->ops->ring_position(conf->live))
		conf->ops->set_ring_position(conf->live, e->state.ring_position);
	for (unsigned half = 0; conf->reused && half < 2; half++)
		if (e->state.drained[half])
			conf->ops->set_drained(conf->live, half, e->state.drained[half]);
	if (!conf->reused)
		e->state.ring_position = 0;
	/* What the log held is closed before anything new is read, so that a window that was already written
	 * is recognised as the duplicate it is. */
	r = fl_engine_close_due(e);
	if (!r && (!conf->reused || !fl_state_clock(&e->state)))
		r = start_clock(e);
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
	fl_wal_close(&(*e)->wal);
	fl_state_deinit(&(*e)->state);
	free(*e);
	*e = NULL;
}

int fl_engine_tick(struct fl_engine *e)
{
	const struct fl_live_ops *ops = e->conf.ops;
	uint64_t mono, window_end;
	uint32_t now_window;
	int r = follow_clock(e);

	if (!r)
		r = ops->drain_ring(e->conf.live, &e->sink);
	if (r)
		return r;
	mono = fl_mono_ns(&e->conf.clock);
	now_window = fl_state_window_at(&e->state, mono, e->conf.window_ns);
	window_end = fl_state_window_mono(&e->state, now_window, e->conf.window_ns);
	if (mono < window_end + SETTLE_NS || e->state.drained[(now_window - 1) & 1] >= now_window - 1)
		return fl_engine_close_due(e);
	/* The half of the last window is ours until the next window begins. */
	r = ops->drain_half(e->conf.live, now_window - 1, window_end + e->conf.window_ns, &e->sink);
	if (r && r != -EAGAIN)
		return r;
	return fl_engine_close_due(e);
}

int fl_engine_finish(struct fl_engine *e)
{
	const struct fl_live_ops *ops = e->conf.ops;
	uint32_t now = fl_state_window_at(&e->state, fl_mono_ns(&e->conf.clock), e->conf.window_ns);
	int r = ops->drain_ring(e->conf.live, &e->sink);

	for (uint32_t w = now - 1; !r && w != now + 1; w++)
		r = ops->drain_half(e->conf.live, w, UINT64_MAX, &e->sink);
	if (r)
		return r;
	e->state.drained[0] = e->state.drained[1] = UINT32_MAX;
	return fl_engine_close_due(e);
}

const struct fl_table *fl_engine_peek(struct fl_engine *e, size_t max)
{
	uint32_t now = fl_state_window_at(&e->state, fl_mono_ns(&e->conf.clock), e->conf.window_ns);

	return fl_state_peek(&e->state, now, e->conf.ops, e->conf.live, max, obs_of_partial);
}
