/* SPDX-License-Identifier: Apache-2.0 */
#include "sim.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/error.h"
#include "journal/journal.h"

struct sim *sim;

static char path[64];
int sim_dir = -1;

void sim_leave(void)
{
	char command[128];

	snprintf(command, sizeof command, "rm -rf %s", path);
	if (*path && system(command))
		fail();
	*path = '\0';
	if (sim_dir >= 0)
		close(sim_dir);
	sim_dir = -1;
}

void sim_place(void)
{
	sim_leave();
	strcpy(path, "/tmp/fl-engine-XXXXXX");
	assert_non_null(mkdtemp(path));
	sim_dir = open(path, O_RDONLY | O_DIRECTORY);
}

int sim_end(void **state)
{
	(void)state;
	sim_leave();
	return 0;
}

void sim_new(uint64_t window_ns, uint64_t ring_size)
{
	if (!sim)
		sim = mmap(NULL, sizeof *sim, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	memset(sim, 0, sizeof *sim);
	sim->window_ns = window_ns;
	sim->ring_size = ring_size;
	sim->time = (struct fl_clock_sim){.realtime = 1764000000ull * FL_NS_PER_S + window_ns / 3,
					  .monotonic = 5000 * FL_NS_PER_S};
}

void sim_pass(uint64_t ns)
{
	sim->time.realtime += ns;
	sim->time.monotonic += ns;
}

void sim_step(void)
{
	sim->burnt++;
	if (sim->fuse && !--sim->fuse)
		_exit(42);
}

/* ---- death and a full disk inside system calls; the linker puts these in the way ---- */

ssize_t __real_pwritev64(int fd, const struct iovec *iov, int n, off_t at);
ssize_t __wrap_pwritev64(int fd, const struct iovec *iov, int n, off_t at);
ssize_t __wrap_pwritev64(int fd, const struct iovec *iov, int n, off_t at)
{
	ssize_t done;

	if (sim && sim->half_write && !--sim->half_write) {
		done = __real_pwritev64(fd, iov, n > 2 ? 2 : 1, at);
		_exit(done < 0 ? 1 : 42);
	}
	if (sim)
		sim_step();
	done = __real_pwritev64(fd, iov, n, at);
	if (sim)
		sim_step();
	return done;
}

int __real_fallocate64(int fd, int mode, off_t at, off_t n);
int __wrap_fallocate64(int fd, int mode, off_t at, off_t n);
int __wrap_fallocate64(int fd, int mode, off_t at, off_t n)
{
	if (sim && sim->shm_full) {
		errno = ENOSPC;
		return -1;
	}
	return __real_fallocate64(fd, mode, at, n);
}

int __real_renameat(int from, const char *a, int to, const char *b);
int __wrap_renameat(int from, const char *a, int to, const char *b);
int __wrap_renameat(int from, const char *a, int to, const char *b)
{
	int r;

	sim_step();
	r = __real_renameat(from, a, to, b);
	sim_step();
	return r;
}

/* ---- the kernel ---- */

static bool push(const struct sim_entry *e)
{
	if (sim->prod - sim->cons >= sim->ring_size)
		return false;
	sim->ring[sim->prod++ % SIM_RING] = *e;
	return true;
}

/* Puts the window into the counter row; false: the older row stays, because the ring is full. */
static bool open_count(struct fl_live_counts *c, unsigned slot, bool egress, uint32_t window, uint32_t drained)
{
	struct sim_entry e = {.is_count = true, .count = *c};

	if (c->window == window)
		return true;
	if (c->window > drained && !push(&e))
		return false;
	*c = (struct fl_live_counts){.slot = (uint16_t)slot, .egress = egress, .window = window};
	return true;
}

static bool add(struct fl_partial *at, const struct fl_partial *p, uint32_t drained)
{
	struct sim_entry e = {.partial = *at};

	if (at->window > drained) {
		if (at->window == p->window && !memcmp(at, p, offsetof(struct fl_partial, window))) {
			at->packets += p->packets;
			at->bytes += p->bytes;
			at->last = p->last;
			at->tcp |= p->tcp;
			return true;
		}
		e.partial.evict = at->window == p->window ? FL_EVICT_COLLISION : FL_EVICT_STALE;
		if (!push(&e))
			return false;
	}
	*at = *p;
	return true;
}

static struct fl_partial partial(unsigned slot, bool egress, uint32_t flow, uint32_t packets, uint64_t bytes)
{
	uint64_t since = sim->time.monotonic - sim->row.mono_base;
	uint16_t time = (uint16_t)(since % sim->row.window_ns / FL_K_TIME_UNIT_NS);
	struct fl_partial p = {.slot = (uint16_t)slot,
			       .dirfam = egress,
			       .proto = 17,
			       .window = sim->row.window_base + (uint32_t)(since / sim->row.window_ns),
			       .packets = packets,
			       .bytes = bytes,
			       .first = time,
			       .last = time,
			       .sport = 1000,
			       .dport = 53};

	memcpy(p.src + 10, "\xff\xff", 2);
	memcpy(p.dst + 10, "\xff\xff", 2);
	memcpy(p.src + 12, &flow, 4);
	return p;
}

static void put(const struct fl_partial *p, uint32_t place)
{
	unsigned slot = p->slot;
	bool egress = p->dirfam & FL_K_TC_EGRESS;
	uint32_t half = p->window & 1;
	struct fl_live_counts *c = &sim->counts[half][slot][egress];
	bool mine;

	sim->sent[slot][egress].packets += p->packets;
	sim->sent[slot][egress].bytes += p->bytes;
	mine = open_count(c, slot, egress, p->window, sim->drained[half]);
	c->skbs++;
	c->packets += p->packets;
	c->bytes += p->bytes;
	if (sim->to_vlan) {
		c->vlan_packets += p->packets;
		c->vlan_bytes += p->bytes;
		return;
	}
	if (!mine || !add(&sim->cache[half][place % SIM_CACHE], p, sim->drained[half])) {
		c->lost_packets += p->packets;
		c->lost_bytes += p->bytes;
	}
}

void sim_send(unsigned slot, bool egress, uint32_t flow, uint32_t packets, uint64_t bytes)
{
	struct fl_partial p = partial(slot, egress, flow, packets, bytes);

	put(&p, flow * 7 + slot);
}

void sim_tuple(unsigned slot, bool egress, uint8_t proto, const struct fl_addr *src, uint16_t sport,
	       const struct fl_addr *dst, uint16_t dport, uint8_t tcp)
{
	struct fl_partial p = partial(slot, egress, 0, 1, 60);

	memcpy(p.src, src->b, sizeof p.src);
	memcpy(p.dst, dst->b, sizeof p.dst);
	p.proto = proto;
	p.sport = sport;
	p.dport = dport;
	p.tcp = tcp;
	put(&p, sport * 3u + dport * 5u + slot + egress);
}

void sim_drop(uint8_t evict, unsigned slot, bool egress, uint32_t flow, uint32_t packets, uint64_t bytes)
{
	struct fl_count *told =
	    evict == FL_EVICT_DROPPED_BEFORE ? &sim->before[slot][egress] : &sim->dropped[slot][egress];
	struct sim_entry e = {.partial = partial(slot, egress, flow, packets, bytes)};

	e.partial.evict = evict;
	if (!push(&e))
		return;
	told->packets += packets;
	told->bytes += bytes;
}

void sim_kernel_dies(void)
{
	memset(&sim->row, 0, sizeof sim->row);
	memset(sim->drained, 0, sizeof sim->drained);
	memset(sim->cache, 0, sizeof sim->cache);
	memset(sim->counts, 0, sizeof sim->counts);
	sim->prod = sim->cons = 0;
}

static int set_clock(struct fl_live *l, uint64_t mono_base, uint32_t window_base)
{
	sim_step();
	sim->row =
	    (struct fl_kclock_row){.mono_base = mono_base, .window_ns = sim->window_ns, .window_base = window_base};
	return 0;
}

static int drain_ring(struct fl_live *l, const struct fl_live_sink *sink)
{
	static struct fl_partial partials[SIM_RING];
	static struct fl_live_counts counts[SIM_RING];
	size_t n = 0, n_counts = 0;
	uint64_t from = sim->cons, to = sim->prod;
	int r;

	for (uint64_t at = from; at < to; at++)
		if (sim->ring[at % SIM_RING].is_count)
			counts[n_counts++] = sim->ring[at % SIM_RING].count;
		else
			partials[n++] = sim->ring[at % SIM_RING].partial;
	if (from == to)
		return 0;
	r = sink->ring(sink->ctx, from, to, partials, n, counts, n_counts);
	if (r)
		return r;
	sim_step();
	sim->cons = to;
	sim_step();
	return 0;
}

static int drain_half(struct fl_live *l, uint32_t window, uint64_t deadline, const struct fl_live_sink *sink)
{
	struct fl_partial partials[SIM_CACHE];
	struct fl_live_counts counts[SIM_SLOTS * 2];
	uint32_t half = window & 1, drained = sim->drained[half];
	size_t n = 0, n_counts = 0;
	int r;

	if (drained >= window)
		return 0;
	if (sim->time.monotonic >= deadline)
		return -EAGAIN;
	for (unsigned i = 0; i < SIM_CACHE; i++)
		if (sim->cache[half][i].window > drained && sim->cache[half][i].window <= window)
			partials[n++] = sim->cache[half][i];
	for (unsigned i = 0; i < SIM_SLOTS * 2; i++) {
		const struct fl_live_counts *c = &sim->counts[half][i / 2][i % 2];

		if (c->window > drained && c->window <= window)
			counts[n_counts++] = *c;
	}
	r = sink->half(sink->ctx, window, sim->prod, partials, n, counts, n_counts);
	if (r)
		return r;
	sim_step();
	sim->drained[half] = window;
	return 0;
}

static void set_drained(struct fl_live *l, unsigned half, uint32_t window)
{
	sim_step();
	if (sim->drained[half] < window)
		sim->drained[half] = window;
}

static uint64_t ring_position(struct fl_live *l)
{
	return sim->cons;
}

static void set_ring_position(struct fl_live *l, uint64_t pos)
{
	sim_step();
	sim->cons = pos;
}

static size_t peek(struct fl_live *l, uint32_t window, struct fl_partial *ret, size_t max)
{
	size_t n = 0;

	for (unsigned i = 0; i < SIM_CACHE && n < max; i++)
		if (sim->cache[window & 1][i].window == window)
			ret[n++] = sim->cache[window & 1][i];
	return n;
}

const struct fl_live_ops sim_ops = {
    .name = "sim",
    .set_clock = set_clock,
    .drain_ring = drain_ring,
    .drain_half = drain_half,
    .set_drained = set_drained,
    .ring_position = ring_position,
    .set_ring_position = set_ring_position,
    .peek = peek,
};

/* ---- the journal: what was not committed is gone with the process ---- */

static bool same_key(const struct fl_window *a, const struct fl_window *b)
{
	return a->epoch == b->epoch && a->window == b->window && a->part == b->part &&
	       !memcmp(a->boot_id, b->boot_id, 16);
}

static uint16_t keep_ground(const struct fl_ground *g)
{
	uint32_t i = 0;

	if (!g)
		return 0;
	while (i < sim->n_grounds && memcmp(&sim->grounds[i], g, sizeof *g))
		i++;
	if (i == SIM_GROUNDS)
		abort();
	sim->grounds[i] = *g;
	sim->n_grounds = FL_MAX(sim->n_grounds, i + 1);
	return (uint16_t)(i + 1);
}

int fl_journal_append(struct fl_journal *j, const struct fl_frame *f)
{
	struct sim_frame *at = &sim->frame[sim->n_frames];

	sim_step();
	if (sim->journal_refuses)
		return fl_fail(-EIO, "the journal refuses");
	for (uint32_t i = 0; i < sim->n_frames; i++)
		if (same_key(&sim->frame[i].window, &f->window) &&
		    !strcmp(sim->frame[i].interface_id, f->eni.interface_id)) {
			sim->duplicates++;
			return FL_JOURNAL_DUPLICATE;
		}
	*at = (struct sim_frame){.window = f->window, .first_flow = sim->n_flows, .n_flows = (uint32_t)f->n_flows};
	strcpy(at->interface_id, f->eni.interface_id);
	memcpy(at->ledger, f->ledger, sizeof at->ledger);
	if (sim->n_flows + f->n_flows > SIM_FLOWS || sim->n_frames == SIM_FRAMES)
		abort();
	if (f->n_flows)
		memcpy(&sim->flow[sim->n_flows], f->flows, f->n_flows * sizeof *f->flows);
	for (size_t i = 0; i < f->n_flows; i++)
		sim->ground[sim->n_flows + i] = keep_ground(fl_frame_ground(f, i));
	sim->n_flows += (uint32_t)f->n_flows;
	sim->n_frames++;
	sim_step();
	return 0;
}

int fl_journal_commit(struct fl_journal *j, uint32_t window, int64_t start, uint32_t length)
{
	sim_step();
	if (sim->journal_refuses)
		return fl_fail(-EIO, "the journal refuses");
	for (uint32_t i = 0; i < sim->n_frames; i++)
		sim->frame[i].committed = true;
	sim_step();
	return 0;
}
