/* SPDX-License-Identifier: Apache-2.0 */
/* Whatever happens to the meter, what the kernel counted is in the journal once, or named as lost.
 */
#include "sim.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"
#include "base/mem.h"
#include "daemon/wal.h"
#include "record/record.h"

#define S FL_NS_PER_S
#define MS FL_NS_PER_MS

static char dir[64];
static int dirfd_ = -1;

static void clean(void)
{
	char command[128];

	snprintf(command, sizeof command, "rm -rf %s", dir);
	if (*dir && system(command))
		fail();
	*dir = '\0';
	if (dirfd_ >= 0)
		close(dirfd_);
	dirfd_ = -1;
}

static void begin(uint64_t window_ns, uint64_t ring)
{
	clean();
	strcpy(dir, "/tmp/fl-engine-XXXXXX");
	assert_non_null(mkdtemp(dir));
	dirfd_ = open(dir, O_RDONLY | O_DIRECTORY);
	sim_new(window_ns, ring);
}

static struct fl_eni eni(unsigned slot)
{
	struct fl_eni e;

	memset(&e, 0, sizeof e);
	e.ifindex = slot + 10;
	e.flip = slot == 1;
	snprintf(e.interface_id, sizeof e.interface_id, "eni-%017u", slot);
	snprintf(e.device, sizeof e.device, "dev%u", slot);
	return e;
}

static struct fl_engine *engine;
static bool (*behind)(void *, const char *, const struct fl_key *, struct fl_addr *);
static void *behind_ctx;
static uint64_t snapshots;   /* 1: after every window */
static unsigned run_name[2]; /* for messages */

static void start_conf(bool reused, uint64_t memory)
{
	struct fl_engine_conf conf = {.shmfd = dirfd_,
				      .ops = &sim_ops,
				      .clock = fl_clock_sim(&sim->time),
				      .window_ns = sim->window_ns,
				      .memory_limit = memory,
				      .seed = (uint64_t)getpid(),
				      .verdicts = true,
				      .behind = behind,
				      .behind_ctx = behind_ctx,
				      .boot_id = {1},
				      .reused = reused,
				      .snapshot_bytes = snapshots};
	int r = fl_engine_new(&engine, &conf);

	if (r)
		fail_msg("%s", fl_error_text(r));
	for (unsigned i = 0; i < 2; i++) {
		struct fl_eni e = eni(i);
		bool known;
		int slot = fl_engine_slot(engine, &e, &known);

		assert_int_equal(slot, i);
		if (!known || !reused)
			assert_int_equal(fl_engine_attached(engine, (uint16_t)i, &e), 0);
	}
}

static void start(bool reused)
{
	start_conf(reused, 64u << 20);
}

static void run(uint64_t ns) /* in ticks of 100 ms */
{
	for (; ns >= 100 * MS; ns -= 100 * MS) {
		int r;

		sim_pass(100 * MS);
		r = fl_engine_tick(engine);
		if (r)
			fail_msg("tick: %s", r < 0 ? fl_error_text(r) : fl_engine_trouble(engine));
	}
}

static void stop(void)
{
	int r = fl_engine_finish(engine);

	if (r)
		fail_msg("finish: %s", fl_error_text(r));
	fl_engine_free(&engine);
}

/* ---- what the journal says ---- */

static struct fl_ledger total(int slot /* -1: all */, enum fl_dir d)
{
	struct fl_ledger sum = {0};
	char id[22];

	snprintf(id, sizeof id, "eni-%017d", slot);
	for (uint32_t i = 0; i < sim->n_frames; i++)
		if (slot < 0 || !strcmp(sim->frame[i].interface_id, id))
			fl_ledger_add(&sum, &sim->frame[i].ledger[d]);
	return sum;
}

static struct fl_count flows_of(unsigned slot, enum fl_dir d)
{
	struct fl_count sum = {0};
	char id[22];

	snprintf(id, sizeof id, "eni-%017u", slot);
	for (uint32_t i = 0; i < sim->n_frames; i++)
		for (uint32_t k = 0; k < sim->frame[i].n_flows && !strcmp(sim->frame[i].interface_id, id); k++) {
			const struct fl_flow *f = &sim->flow[sim->frame[i].first_flow + k];

			if (fl_key_dir(&f->key) == d) {
				sum.packets += f->packets;
				sum.bytes += f->bytes;
			}
		}
	return sum;
}

static uint64_t lost(const struct fl_ledger *l)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < FL_LOSS_N; i++)
		n += l->lost[i].packets;
	return n;
}

static struct fl_count rejected(unsigned slot, enum fl_dir d)
{
	struct fl_count sum = {0};
	char id[22];

	snprintf(id, sizeof id, "eni-%017u", slot);
	for (uint32_t i = 0; i < sim->n_frames; i++)
		for (uint32_t k = 0; k < sim->frame[i].n_flows && !strcmp(sim->frame[i].interface_id, id); k++) {
			const struct fl_flow *f = &sim->flow[sim->frame[i].first_flow + k];

			assert_int_equal(f->key.iface, slot);
			if (f->action == FL_ACTION_REJECT && fl_key_dir(&f->key) == d) {
				sum.packets += f->packets;
				sum.bytes += f->bytes;
			}
		}
	return sum;
}

/* Every drop that was told is a REJECT, or named as one for which nothing was found. */
static void verdicts_are_there(unsigned slot, enum fl_dir d, const struct fl_ledger *l, unsigned egress,
			       bool all_matched)
{
	const struct fl_count *moved = &l->verdict[FL_VERDICT_REJECTED], *before = &l->verdict[FL_VERDICT_BEFORE],
			      *unmatched = &l->verdict[FL_VERDICT_UNMATCHED];
	struct fl_count r = rejected(slot, d);

	if (moved->packets + unmatched->packets != sim->dropped[slot][egress].packets)
		fail_msg("fuse %u, half %u: slot %u egress %u: %llu moved, %llu unmatched of %llu", run_name[0],
			 run_name[1], slot, egress, (unsigned long long)moved->packets,
			 (unsigned long long)unmatched->packets,
			 (unsigned long long)sim->dropped[slot][egress].packets);
	assert_int_equal(before->packets, sim->before[slot][egress].packets);
	assert_int_equal(r.packets, moved->packets + before->packets);
	assert_int_equal(r.bytes, moved->bytes + before->bytes);
	if (all_matched)
		assert_int_equal(unmatched->packets, 0);
}

static void everything_is_there(bool no_loss)
{
	for (uint32_t i = 0; i < sim->n_frames; i++)
		assert_true(sim->frame[i].committed);
	for (unsigned slot = 0; slot < 2; slot++)
		for (unsigned egress = 0; egress < 2; egress++) {
			/* The second interface is the host's end of a cable. */
			enum fl_dir d = (egress != (slot == 1)) ? FL_DIR_EGRESS : FL_DIR_INGRESS;
			struct fl_ledger l = total((int)slot, d);
			struct fl_count f = flows_of(slot, d);

			if (l.seen.packets != sim->sent[slot][egress].packets ||
			    l.seen.bytes != sim->sent[slot][egress].bytes)
				fail_msg("fuse %u, half %u: slot %u egress %u: seen %llu of %llu", run_name[0],
					 run_name[1], slot, egress, (unsigned long long)l.seen.packets,
					 (unsigned long long)sim->sent[slot][egress].packets);
			assert_int_equal(fl_ledger_gap(&l), 0);
			assert_int_equal(f.packets, l.recorded.packets);
			assert_int_equal(f.bytes, l.recorded.bytes);
			verdicts_are_there(slot, d, &l, egress, no_loss);
			if (no_loss)
				assert_int_equal(lost(&l), 0);
		}
}

/* Every window from the first to the last has one first frame of every interface, at the wall time
 * that follows. */
static void no_window_is_missing(uint32_t seconds)
{
	for (unsigned slot = 0; slot < 2; slot++) {
		int64_t next = 0;
		char id[22];

		snprintf(id, sizeof id, "eni-%017u", slot);
		for (uint32_t i = 0; i < sim->n_frames; i++) {
			const struct sim_frame *f = &sim->frame[i];

			if (strcmp(f->interface_id, id) || f->window.part)
				continue;
			assert_int_equal(f->window.length, seconds);
			assert_int_equal(f->window.start % seconds, 0);
			if (next && f->window.start != next)
				fail_msg("slot %u: window %u starts at %lld instead of %lld", slot, f->window.window,
					 (long long)f->window.start, (long long)next);
			next = f->window.start + seconds;
		}
		assert_true(next);
	}
}

static unsigned frames_at(int64_t start, uint32_t flag)
{
	unsigned n = 0;

	for (uint32_t i = 0; i < sim->n_frames; i++)
		n += sim->frame[i].window.start == start && (sim->frame[i].window.flags & flag) == flag;
	return n;
}

/* ---- tests ---- */

static void windows_and_nodata(void **state)
{
	begin(60 * S, SIM_RING);
	start(false);
	sim_send(0, false, 1, 3, 300);
	sim_send(1, false, 1, 2, 200);
	run(10 * S);
	sim_send(0, true, 2, 1, 60);
	run(300 * S); /* five windows without a packet */
	sim_send(0, true, 2, 1, 60);
	run(60 * S);
	stop();
	everything_is_there(true);
	no_window_is_missing(60);
	assert_int_equal(frames_at(1764000000, 0), 2);
	assert_int_equal(sim->frame[0].n_flows, 2);
	assert_int_equal(sim->flow[0].key.iface, 0);
	/* 1764000020 was the start; 20 s into the window, 20 and 30 s */
	assert_int_equal(sim->flow[0].first_ms, 20000);
	/* The cable's host end: what tc calls ingress leaves the guest. */
	assert_int_equal(sim->frame[1].n_flows, 1);
	assert_int_equal(fl_key_dir(&sim->flow[sim->frame[1].first_flow].key), FL_DIR_EGRESS);
}

static void closes_within_a_second(void **state)
{
	begin(1 * S, SIM_RING);
	start(false);
	sim_send(0, false, 1, 1, 100);
	run(2 * S);
	assert_true(sim->n_frames >= 2);
	assert_true(fl_engine_last(engine)->window.number > 0);
	stop();
	everything_is_there(true);
}

static void collisions_and_late_parts(void **state)
{
	begin(10 * S, SIM_RING);
	start(false);
	for (unsigned i = 0; i < 3000; i++) {
		sim_send(i & 1, i & 2, i % 257, 1 + i % 3, 100 + i);
		if (i % 10 == 9)
			run(100 * MS);
	}
	stop();
	everything_is_there(true);
	no_window_is_missing(10);
}

/* The meter sleeps while windows pass; ring and cache keep them, or what they cannot keep is
 * counted. */
static void sleeping_meter(void **state)
{
	for (unsigned full = 0; full < 2; full++) {
		begin(1 * S, full ? 40 : SIM_RING);
		start(false);
		for (unsigned i = 0; i < 20; i++) {
			for (unsigned k = 0; k < 30; k++)
				sim_send(k & 1, k & 2, k, 1, 100);
			sim_pass(700 * MS);
		}
		run(3 * S);
		stop();
		everything_is_there(!full);
		if (full) {
			struct fl_ledger l = total(-1, FL_DIR_INGRESS);

			assert_true(l.lost[FL_LOSS_RING_FULL].packets > 0);
			assert_true(frames_at(sim->frame[0].window.start, FL_WINDOW_SKIPDATA) ||
				    frames_at(sim->frame[2].window.start, FL_WINDOW_SKIPDATA));
		}
	}
}

static void clock_steps(void **state)
{
	static const int64_t steps[] = {3600, -3600, 90, -90, 59, -61, 2, -2};

	for (size_t i = 0; i < FL_ARRAY_LEN(steps); i++) {
		uint32_t last = 0;

		begin(60 * S, SIM_RING);
		start(false);
		for (unsigned k = 0; k < 200; k++) {
			sim_send(0, false, k % 40, 1, 100);
			run(1 * S);
			if (k == 100)
				sim->time.realtime = (uint64_t)((int64_t)sim->time.realtime + steps[i] * (int64_t)S);
		}
		stop();
		everything_is_there(true);
		/* Numbers only grow, and every window is aligned to the wall clock. */
		for (uint32_t f = 0; f < sim->n_frames; f++) {
			assert_int_equal(sim->frame[f].window.start % 60, 0);
			if (sim->frame[f].window.part)
				continue;
			assert_true(sim->frame[f].window.window >= last);
			last = sim->frame[f].window.window;
		}
	}
}

static void vanishing_and_reuse(void **state)
{
	struct fl_eni other = eni(2);
	bool known;

	begin(10 * S, SIM_RING);
	start(false);
	sim_send(0, false, 1, 5, 500);
	run(3 * S);
	assert_int_equal(fl_engine_vanished(engine, 0), 0);
	/* The slot is not free before its last window is written. */
	assert_int_equal(fl_engine_slot(engine, &other, &known), 2);
	run(40 * S);
	assert_int_equal(fl_engine_slot(engine, &other, &known), 0);
	assert_false(known);
	assert_int_equal(fl_engine_attached(engine, 0, &other), 0);
	sim->sent[0][0] = (struct fl_count){0};
	sim_send(0, false, 1, 7, 700);
	run(20 * S);
	stop();
	assert_int_equal(total(0, FL_DIR_INGRESS).recorded.packets, 5);
	assert_int_equal(total(2, FL_DIR_INGRESS).recorded.packets, 7);
	for (uint32_t i = 1; i < sim->n_frames; i++) /* epochs grow */
		if (!strcmp(sim->frame[i].interface_id, other.interface_id))
			assert_true(sim->frame[i].window.epoch > sim->frame[0].window.epoch);
}

static void frames_of_a_vlan_are_seen_and_excluded(void **state)
{
	struct fl_ledger l;

	begin(60 * FL_NS_PER_S, SIM_RING);
	start(false);
	sim_send(0, false, 1, 3, 300);
	sim->to_vlan = true;
	sim_send(0, false, 2, 5, 500);
	run(70 * FL_NS_PER_S);
	sim_send(0, false, 2, 6, 600); /* of two windows later: the row goes through the ring */
	sim->to_vlan = false;
	sim_pass(120 * FL_NS_PER_S);
	sim_send(0, false, 1, 1, 100);
	run(130 * FL_NS_PER_S);
	l = total(0, FL_DIR_INGRESS);
	assert_int_equal(l.seen.packets, 15);
	assert_int_equal(l.recorded.packets, 4);
	assert_int_equal(l.excluded[FL_RULE_VLAN].packets, 11);
	assert_int_equal(l.excluded[FL_RULE_VLAN].bytes, 1100);
	everything_is_there(true);
	stop();
}

/* Another identity holds from the next window on, also when the meter dies before its first window is closed. */
static void identity_changes_at_a_border(void **state)
{
	for (int killed = 0; killed < 2; killed++) {
		struct fl_eni other = eni(0), again;
		unsigned long long before = 0, after = 0;
		uint32_t last = 0, first = UINT32_MAX;
		bool known;

		begin(10 * S, SIM_RING);
		start(false);
		sim_send(0, true, 1, 5, 500);
		run(12 * S);
		sim_send(0, true, 1, 6, 600); /* in the window that is open when it changes */
		snprintf(other.interface_id, sizeof other.interface_id, "eni-%017u", 7);
		other.flip = true; /* and which end it is: what was counted keeps its direction */
		assert_int_equal(fl_engine_identify(engine, 0, &other), 0);
		again = other;
		snprintf(again.interface_id, sizeof again.interface_id, "eni-%017u", 8);
		assert_int_equal(fl_engine_identify(engine, 0, &again), 0);
		assert_int_equal(fl_engine_slot(engine, &other, &known), 0);
		assert_true(known);
		sim_send(0, true, 1, 1, 100);
		if (killed) {
			fl_engine_free(&engine);
			start(true); /* says who the interfaces are as before; the meter asks the inventory again */
			assert_string_equal(fl_engine_eni(engine, 0)->interface_id, again.interface_id);
		}
		run(10 * S);
		sim_send(0, true, 1, 9, 900);
		run(30 * S);
		stop();
		assert_int_equal(total(7, FL_DIR_EGRESS).seen.packets, 0); /* was valid in no window */
		for (uint32_t i = 0; i < sim->n_frames; i++) {
			const struct sim_frame *f = &sim->frame[i];

			if (!strcmp(f->interface_id, again.interface_id)) {
				after += f->ledger[FL_DIR_INGRESS].recorded.packets;
				first = FL_MIN(first, f->window.window);
			} else if (!strcmp(f->interface_id, eni(0).interface_id)) {
				before += f->ledger[FL_DIR_EGRESS].recorded.packets;
				last = FL_MAX(last, f->window.window);
			}
		}
		assert_int_equal(before, 12);
		assert_int_equal(after, 9);
		assert_true(last < first);
	}
}

/* What is not logged is the interface's own, and outlives the meter. */
static void exclusions_of_an_interface(void **state)
{
	struct fl_exclusions x = {0};

	begin(10 * S, SIM_RING);
	start(false);
	assert_int_equal(fl_exclusions_parse("default-router", &x.on), 0);
	x.router = fl_addr_v4((const uint8_t[]){1, 0, 0, 0}); /* the source of flow 1 */
	assert_int_equal(fl_engine_exclude(engine, 0, &x), 0);
	sim_send(0, true, 1, 5, 500);
	sim_send(1, true, 1, 6, 600);
	fl_engine_free(&engine);
	start(true);
	run(30 * S);
	stop();
	assert_int_equal(total(0, FL_DIR_EGRESS).excluded[FL_RULE_DEFAULT_ROUTER].packets, 5);
	assert_int_equal(total(0, FL_DIR_EGRESS).recorded.packets, 0);
	assert_int_equal(total(1, FL_DIR_INGRESS).recorded.packets, 6);
}

static void memory_limit_is_counted(void **state)
{
	struct fl_ledger l;

	begin(60 * S, SIM_RING);
	start_conf(false, 600000);
	for (unsigned i = 0; i < 20000; i++) {
		sim_send(0, false, i, 1, 100);
		if (i % 100 == 99)
			run(100 * MS);
	}
	assert_true(fl_engine_memory(engine) < 3000000);
	stop();
	everything_is_there(false);
	l = total(0, FL_DIR_INGRESS);
	assert_true(l.lost[FL_LOSS_TABLE_FULL].packets > 0);
	assert_true(frames_at(1764000000, FL_WINDOW_SKIPDATA));
	assert_int_equal(l.seen.packets, 20000);
}

/* Shared memory full, then the journal: nothing is taken that cannot be kept, the kernel counts,
 * and it goes on. */
static void refusals_are_retried(void **state)
{
	unsigned refused[2] = {0};

	begin(1 * S, 64);
	start(false);
	for (unsigned i = 0; i < 600; i++) {
		int r;

		sim->shm_full = i > 100 && i < 200;
		sim->journal_refuses = i > 300 && i < 400;
		for (unsigned k = 0; k < 20; k++)
			sim_send(k & 1, false, i * k % 101, 1, 100);
		sim_pass(100 * MS);
		r = fl_engine_tick(engine);
		assert_true(r == 0 || r == FL_ENGINE_RETRY);
		if (r == FL_ENGINE_RETRY)
			refused[i > 250]++;
	}
	stop();
	assert_true(refused[1] > 50);
	everything_is_there(false);
}

static void a_log_that_is_no_log(void **state)
{
	for (unsigned what = 0; what < 3; what++) {
		begin(10 * S, SIM_RING);
		start(false);
		sim_send(0, false, 1, 1, 100);
		run(2 * S);
		fl_engine_free(&engine);
		if (what == 0) { /* another boot */
			struct fl_engine_conf conf = {.shmfd = dirfd_,
						      .ops = &sim_ops,
						      .clock = fl_clock_sim(&sim->time),
						      .window_ns = sim->window_ns,
						      .boot_id = {2}};

			sim_kernel_dies();
			assert_int_equal(fl_engine_new(&engine, &conf), 0);
			assert_false(fl_engine_had_log(engine));
		} else if (what == 1) { /* garbage */
			int fd = openat(dirfd_, "wal", O_WRONLY | O_TRUNC);

			assert_int_equal(write(fd, "garbage garbage garbage", 23), 23);
			close(fd);
			start(true);
		} else { /* a record of another version */
			struct fl_wal *w = NULL;
			uint64_t x = 1;
			struct iovec iov = {&x, 8};
			int fd = openat(dirfd_, "wal", O_WRONLY | O_TRUNC);

			close(fd);
			struct sim *keep = sim;

			sim = NULL;
			assert_int_equal(fl_wal_open(&w, dirfd_, NULL, NULL), 0);
			assert_int_equal(fl_wal_append(w, 99, &iov, 1), 0);
			fl_wal_close(&w);
			sim = keep;
			start(true);
			run(10 * S);
			assert_true(frames_at(sim->frame[0].window.start, FL_WINDOW_SKIPDATA));
		}
		fl_engine_free(&engine);
	}
}

/* A backend without pins: what happened between the lives is a gap that is announced, from the
 * window of the death on. */
static void gap_without_pins(void **state)
{
	int64_t died = 1764000000 + 20;

	begin(10 * S, SIM_RING);
	start(false); /* at 1764000003 */
	sim_send(0, false, 1, 4, 400);
	run(20 * S);
	sim_send(0, false, 1, 4, 400);
	run(2 * S);
	fl_engine_free(&engine);
	sim_kernel_dies();
	sim_pass(30 * S);
	start(false);
	sim_send(0, false, 1, 4, 400);
	run(20 * S);
	stop();
	no_window_is_missing(10);
	for (int64_t at = 1764000000; at <= died + 40; at += 10)
		assert_int_equal(frames_at(at, FL_WINDOW_SKIPDATA), at >= died && at <= died + 30 ? 2 : 0);
	/* What was only in the kernel is gone, what had been read is there. */
	assert_int_equal(total(0, FL_DIR_INGRESS).recorded.packets, 8);
}

/* ---- verdicts ---- */

static const struct fl_flow *row_of(uint32_t flow, enum fl_dir d, unsigned action)
{
	for (uint32_t i = 0; i < sim->n_flows; i++)
		if (!memcmp(sim->flow[i].key.src.b + 12, &flow, 4) && fl_key_dir(&sim->flow[i].key) == d &&
		    sim->flow[i].action == action)
			return &sim->flow[i];
	return NULL;
}

static void drops_move_to_reject(void **state)
{
	const struct fl_flow *f;

	begin(60 * S, SIM_RING);
	start(false);
	sim_send(0, false, 1, 10, 1000); /* a part of it */
	sim_drop(FL_EVICT_DROPPED, 0, false, 1, 3, 300);
	sim_send(0, false, 2, 4, 444); /* all of it; the filter saw fewer bytes */
	sim_drop(FL_EVICT_DROPPED, 0, false, 2, 4, 400);
	sim_send(1, false, 3, 2, 200); /* the host's end: what tc calls ingress leaves the guest */
	sim_drop(FL_EVICT_DROPPED, 1, false, 3, 2, 200);
	sim_drop(FL_EVICT_DROPPED_BEFORE, 0, true, 4, 5, 500); /* the output hook */
	sim_send(0, true, 4, 1, 100);                          /* one got through before the rule */
	run(70 * S);
	stop();
	everything_is_there(true);
	f = row_of(1, FL_DIR_INGRESS, FL_ACTION_ACCEPT);
	assert_true(f && f->packets == 7 && f->bytes == 700);
	f = row_of(1, FL_DIR_INGRESS, FL_ACTION_REJECT);
	assert_true(f && f->packets == 3 && f->bytes == 300);
	assert_null(row_of(2, FL_DIR_INGRESS, FL_ACTION_ACCEPT));
	f = row_of(2, FL_DIR_INGRESS, FL_ACTION_REJECT);
	assert_true(f && f->packets == 4 && f->bytes == 444);
	assert_null(row_of(3, FL_DIR_EGRESS, FL_ACTION_ACCEPT));
	assert_non_null(row_of(3, FL_DIR_EGRESS, FL_ACTION_REJECT));
	f = row_of(4, FL_DIR_EGRESS, FL_ACTION_ACCEPT);
	assert_true(f && f->packets == 1);
	f = row_of(4, FL_DIR_EGRESS, FL_ACTION_REJECT);
	assert_true(f && f->packets == 5 && f->bytes == 500);
	assert_int_equal(total(0, FL_DIR_EGRESS).seen.packets, 1);
	assert_int_equal(total(0, FL_DIR_EGRESS).recorded.packets, 6);
	assert_true(frames_at(1764000000, FL_WINDOW_VERDICTS));
}

/* Never more than was seen; what came too late for its window is named. */
static void drops_without_their_packets(void **state)
{
	struct fl_ledger l;

	begin(10 * S, SIM_RING);
	start(false);
	sim_send(0, false, 1, 2, 200);
	sim_drop(FL_EVICT_DROPPED, 0, false, 1, 5, 500);
	sim_drop(FL_EVICT_DROPPED, 0, true, 9, 1, 60); /* nothing of it was seen */
	run(20 * S);
	stop();
	everything_is_there(false);
	l = total(0, FL_DIR_INGRESS);
	assert_int_equal(l.verdict[FL_VERDICT_REJECTED].packets, 2);
	assert_int_equal(l.verdict[FL_VERDICT_UNMATCHED].packets, 3);
	assert_int_equal(l.verdict[FL_VERDICT_UNMATCHED].bytes, 300);
	assert_int_equal(total(0, FL_DIR_EGRESS).verdict[FL_VERDICT_UNMATCHED].packets, 1);
	assert_null(row_of(9, FL_DIR_EGRESS, FL_ACTION_REJECT));
}

/* Behind a bridge only the flow tells which port it was. */
static void drops_behind_a_bridge(void **state)
{
	begin(10 * S, SIM_RING);
	start(false);
	sim_send(0, false, 1, 2, 200);
	sim_send(1, false, 2, 3, 300);
	sim_send(1, false, 3, 3, 300);
	/* By any interface of the namespace: here the first for all, then the second, whose directions are turned. */
	sim_drop(FL_EVICT_DROPPED_BRIDGED, 0, false, 1, 2, 200);
	sim_drop(FL_EVICT_DROPPED_BRIDGED, 0, false, 2, 2, 200);
	sim_drop(FL_EVICT_DROPPED_BRIDGED, 1, false, 3, 1, 100);
	sim->dropped[1][0].packets += 2; /* where it belongs */
	sim->dropped[0][0].packets -= 2;
	run(20 * S);
	stop();
	everything_is_there(true);
	assert_int_equal(row_of(1, FL_DIR_INGRESS, FL_ACTION_REJECT)->packets, 2);
	assert_int_equal(row_of(2, FL_DIR_EGRESS, FL_ACTION_REJECT)->packets, 2);
	assert_int_equal(row_of(2, FL_DIR_EGRESS, FL_ACTION_ACCEPT)->packets, 1);
	assert_int_equal(row_of(3, FL_DIR_EGRESS, FL_ACTION_REJECT)->packets, 1);
}

/* The look at the open window has verdicts too, and leaves the window as it is. */
static void drops_in_the_open_window(void **state)
{
	struct fl_flow *flows = NULL;
	size_t n = 0;

	begin(60 * S, SIM_RING);
	start(false);
	sim_send(0, false, 1, 10, 1000);
	sim_drop(FL_EVICT_DROPPED, 0, false, 1, 3, 300);
	run(1 * S);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(fl_engine_peek(engine, 1000, &flows, &n), 0);
		assert_int_equal(n, 2);
		assert_true(flows[0].action == FL_ACTION_ACCEPT && flows[0].packets == 7);
		assert_true(flows[1].action == FL_ACTION_REJECT && flows[1].packets == 3 && flows[1].key.iface == 0);
		free(flows);
	}
	run(70 * S);
	stop();
	everything_is_there(true);
}

/* A flood that is dropped fills the table: flows and their drops alike are counted where they do not fit. */
static void drops_in_a_full_table(void **state)
{
	begin(60 * S, SIM_RING);
	start_conf(false, 600000);
	for (unsigned i = 0; i < 20000; i++) {
		sim_send(0, false, i, 1, 100);
		sim_drop(FL_EVICT_DROPPED, 0, false, i, 1, 100);
		if (i % 100 == 99)
			run(100 * MS);
	}
	stop();
	everything_is_there(false);
	assert_true(total(0, FL_DIR_INGRESS).verdict[FL_VERDICT_UNMATCHED].packets > 0);
	assert_true(total(0, FL_DIR_INGRESS).verdict[FL_VERDICT_REJECTED].packets > 0);
}

/* ---- translated addresses ---- */

/* This host hides 172.17.0.7 behind whatever it has, towards flow 1's source. */
static bool hides(void *ctx, const char *netns, const struct fl_key *in, struct fl_addr *ret)
{
	uint32_t flow = 1;

	(void)netns;
	(*(unsigned *)ctx)++;
	*ret = fl_addr_v4((uint8_t[]){172, 17, 0, 7});
	return !memcmp(in->src.b + 12, &flow, 4) && in->sport == 1000 && in->dport == 53;
}

static void what_stands_behind_is_numbered(void **state)
{
	unsigned asked = 0;

	begin(10 * S, SIM_RING);
	behind = hides;
	behind_ctx = &asked;
	start(false);
	sim_send(0, false, 1, 2, 200); /* comes in: behind the destination */
	sim_send(1, false, 1, 2, 200); /* the same at the host's end of a cable, whose directions are turned */
	sim_send(0, true, 1, 2, 200);  /* leaves: the question is turned round, and nothing answers */
	sim_send(0, false, 2, 2, 200);
	run(20 * S);
	stop();
	behind = NULL;
	for (uint32_t i = 0; i < sim->n_flows; i++) {
		const struct fl_flow *f = &sim->flow[i];
		bool first = f->key.src.b[12] == 1, second_frame = i >= sim->frame[1].first_flow;
		bool hidden = first && (fl_key_dir(&f->key) == FL_DIR_INGRESS || second_frame);

		assert_int_equal(f->key.iface, hidden ? FL_INSIDE_DST | 1 : 0);
	}
	assert_int_equal(sim->n_flows, 4);
	assert_int_equal(asked, 4);
}

/* ---- death at every step ---- */

#define STEPS 60

static void live_on(void)
{
	start(sim->step > 0 || sim->burnt > 0);
	for (; sim->step < STEPS; sim->step++) {
		unsigned i = sim->step;

		for (unsigned k = 0; k < 12; k++)
			sim_send(k & 1, k & 2, (i * 5 + k * 3) % 61, 1 + k % 3, 60 + k);
		sim_drop(FL_EVICT_DROPPED, i & 1, i & 2, (i * 5 + (i & 3) * 3) % 61, 1 + (i % 4 == 1), 60);
		sim_drop(FL_EVICT_DROPPED_BEFORE, i & 1, true, i % 61, 2, 99);
		sim_pass(100 * MS);
		if (i == 25)
			sim->time.realtime -= 30 * S;
		/* The step is over for the world before the meter does its part. */
		sim->step = i + 1;
		if (fl_engine_tick(engine))
			_exit(3);
		sim->step = i;
	}
	stop();
}

/* One run: the meter dies when the fuse has burnt down, stays away for `away` steps, and lives on.
 * Returns steps burnt. */
static unsigned one_run(unsigned fuse, unsigned half_write, unsigned away)
{
	int status = 0, lives = 0;

	begin(1 * S, SIM_RING);
	sim->fuse = fuse;
	sim->half_write = half_write;
	do {
		pid_t pid = fork();

		if (!pid) {
			live_on();
			_exit(0);
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		if (!WIFEXITED(status) || (WEXITSTATUS(status) && WEXITSTATUS(status) != 42))
			fail_msg("fuse %u, away %u: status %x in step %u", fuse, away, status, sim->step);
		if (WEXITSTATUS(status) == 42) {
			uint32_t n = 0;

			sim->half_write = 0;
			/* What was not committed is not there any more. */
			while (n < sim->n_frames && sim->frame[n].committed)
				n++;
			sim->n_frames = n;
			for (unsigned i = 0; i < away && sim->row.window_ns; i++) {
				/* Before it finishes the programs are detached. */
				for (unsigned k = 0; k < 12 && sim->step < STEPS; k++)
					sim_send(k & 1, k & 2, (i * 11 + k) % 61, 1, 64);
				if (sim->step < STEPS)
					sim_drop(FL_EVICT_DROPPED, 1, false, (i * 11 + 1) % 61, 1, 64);
				sim_pass(100 * MS);
			}
		}
	} while (WEXITSTATUS(status) == 42 && ++lives < 4);
	assert_int_equal(WEXITSTATUS(status), 0);
	run_name[0] = fuse;
	run_name[1] = half_write;
	everything_is_there(true);
	return sim->burnt;
}

static void death_at_every_step(void **state)
{
	unsigned steps;

	snapshots = *state ? 1 : 0;
	steps = one_run(0, 0, 0);

	assert_true(steps > 300);
	for (unsigned fuse = 1; fuse <= steps; fuse += getenv("FL_ALL_STEPS") ? 1 : 3)
		one_run(fuse, 0, fuse % 4 ? fuse % 4 * 11 : 0);
}

static void death_in_the_middle_of_a_record(void **state)
{
	for (unsigned i = 1; i < 120; i += 5)
		one_run(0, i, i % 3 * 13);
	snapshots = 0;
}

static int end(void **state)
{
	(void)state;
	clean();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(windows_and_nodata),
	    cmocka_unit_test(closes_within_a_second),
	    cmocka_unit_test(collisions_and_late_parts),
	    cmocka_unit_test(sleeping_meter),
	    cmocka_unit_test(clock_steps),
	    cmocka_unit_test(vanishing_and_reuse),
	    cmocka_unit_test(identity_changes_at_a_border),
	    cmocka_unit_test(exclusions_of_an_interface),
	    cmocka_unit_test(frames_of_a_vlan_are_seen_and_excluded),
	    cmocka_unit_test(memory_limit_is_counted),
	    cmocka_unit_test(refusals_are_retried),
	    cmocka_unit_test(a_log_that_is_no_log),
	    cmocka_unit_test(gap_without_pins),
	    cmocka_unit_test(drops_move_to_reject),
	    cmocka_unit_test(drops_without_their_packets),
	    cmocka_unit_test(drops_behind_a_bridge),
	    cmocka_unit_test(drops_in_the_open_window),
	    cmocka_unit_test(drops_in_a_full_table),
	    cmocka_unit_test(what_stands_behind_is_numbered),
	    cmocka_unit_test(death_at_every_step),
	    cmocka_unit_test_prestate(death_at_every_step, (void *)"with snapshots"),
	    cmocka_unit_test(death_in_the_middle_of_a_record),
	};

	return cmocka_run_group_tests(tests, NULL, end);
}
