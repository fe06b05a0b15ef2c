/* SPDX-License-Identifier: Apache-2.0 */
/* What the kernel counted is in the journal once, or named as lost: windows, clocks, slots, refusals. */
#include "life.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"

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
			struct fl_engine_conf conf = {.shmfd = sim_dir,
						      .ops = &sim_ops,
						      .clock = fl_clock_sim(&sim->time),
						      .window_ns = sim->window_ns,
						      .boot_id = {2}};

			sim_kernel_dies();
			assert_int_equal(fl_engine_new(&engine, &conf), 0);
			assert_false(fl_engine_had_log(engine));
		} else if (what == 1) { /* garbage */
			int fd = openat(sim_dir, "wal", O_WRONLY | O_TRUNC);

			assert_int_equal(write(fd, "garbage garbage garbage", 23), 23);
			close(fd);
			start(true);
		} else { /* a record of another version */
			struct fl_wal *w = NULL;
			uint64_t x = 1;
			struct iovec iov = {&x, 8};
			int fd = openat(sim_dir, "wal", O_WRONLY | O_TRUNC);

			close(fd);
			struct sim *keep = sim;

			sim = NULL;
			assert_int_equal(fl_wal_open(&w, sim_dir, NULL, NULL), 0);
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
	};

	return cmocka_run_group_tests(tests, NULL, sim_end);
}
