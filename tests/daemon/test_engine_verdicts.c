/* SPDX-License-Identifier: Apache-2.0 */
/* Every drop of the packet filter is a REJECT, or named as one for which nothing was found; what stands behind
 * translated addresses is numbered. */
#include "life.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"

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

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(drops_move_to_reject),  cmocka_unit_test(drops_without_their_packets),
	    cmocka_unit_test(drops_behind_a_bridge), cmocka_unit_test(drops_in_the_open_window),
	    cmocka_unit_test(drops_in_a_full_table), cmocka_unit_test(what_stands_behind_is_numbered),
	};

	return cmocka_run_group_tests(tests, NULL, sim_end);
}
