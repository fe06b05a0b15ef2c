/* SPDX-License-Identifier: Apache-2.0 */
/* What goes into the meter comes out of its windows, or is counted as lost: for any order, any growth, any limit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "meter/meter.h"

struct out {
	struct fl_count sum;
	unsigned windows, lossy;
	uint32_t number[64];
	size_t flows;
};

static int sum_flow(void *ctx, const struct fl_flow *f)
{
	struct out *o = ctx;

	o->sum.packets += f->packets;
	o->sum.bytes += f->bytes;
	o->flows++;
	return 0;
}

static int on_window(void *ctx, uint32_t window, const struct fl_table *flows, bool lossy)
{
	struct out *o = ctx;

	if (o->windows < 64)
		o->number[o->windows] = window;
	o->windows++;
	o->lossy += lossy;
	return fl_table_each(flows, sum_flow, o);
}

static struct fl_obs obs(uint32_t flow, uint32_t window, uint32_t ms)
{
	struct fl_obs o = {.bytes = 100, .packets = 1, .window = window, .first_ms = ms, .last_ms = ms};

	memcpy(o.key.src.b, &flow, sizeof flow);
	o.key.proto = 17;
	return o;
}

static void order_and_lateness(void **state)
{
	struct out o = {0};
	struct fl_meter_conf conf = {.interval_s = 60, .seed = 1, .lateness = 1, .on_window = on_window, .ctx = &o};
	struct fl_obs in[] = {obs(1, 10, 0), obs(1, 11, 0), obs(2, 10, 5), obs(1, 12, 0),
			      obs(1, 10, 9), obs(1, 12, 1), obs(1, 13, 0)};
	struct fl_meter *m = NULL;

	(void)state;
	assert_int_equal(fl_meter_new(&m, &conf), 0);
	assert_int_equal(fl_meter_add(m, in, 7), 0);
	assert_int_equal(fl_meter_finish(m), 0);
	assert_int_equal(o.sum.packets, 7);
	assert_int_equal(o.sum.bytes, 700);
	assert_int_equal(o.number[0], 10);
	fl_meter_free(&m);
}

/* With a grace the older window goes as soon as the newest is that old, and the newest moves into the freed table
 * whole. */
static void grace_closes_by_time(void **state)
{
	struct out o = {0};
	struct fl_meter_conf conf = {
	    .interval_s = 60, .seed = 4, .lateness = 1, .grace_ms = 2000, .on_window = on_window, .ctx = &o};
	struct fl_meter *m = NULL;

	(void)state;
	assert_int_equal(fl_meter_new(&m, &conf), 0);
	for (uint32_t i = 0; i < 5000; i++) {
		struct fl_obs one = obs(i, 10, i);

		assert_int_equal(fl_meter_add(m, &one, 1), 0);
	}
	for (uint32_t i = 0; i < 300; i++) {
		struct fl_obs young = obs(i, 11, 1999), late = obs(7, 10, 59999);

		assert_int_equal(fl_meter_add(m, &young, 1), 0);
		assert_int_equal(fl_meter_add(m, &late, 1), 0);
	}
	assert_int_equal(o.windows, 0);
	for (uint32_t i = 0; i < 300; i++) {
		struct fl_obs one = obs(i, 11, 2000);

		assert_int_equal(fl_meter_add(m, &one, 1), 0);
	}
	assert_int_equal(o.windows, 1);
	assert_int_equal(o.number[0], 10);
	assert_int_equal(o.sum.packets, 5300);
	assert_int_equal(o.flows, 5000);
	/* Too late: its window opens again and closes by itself. */
	{
		struct fl_obs one = obs(9, 10, 3), next = obs(9, 11, 2001);

		assert_int_equal(fl_meter_add(m, &one, 1), 0);
		assert_int_equal(fl_meter_add(m, &next, 1), 0);
	}
	assert_int_equal(o.windows, 2);
	assert_int_equal(fl_meter_finish(m), 0);
	assert_int_equal(o.windows, 3);
	assert_int_equal(o.sum.packets, 5300 + 1 + 601);
	assert_int_equal(o.flows, 5000 + 1 + 300);
	fl_meter_free(&m);
}

/* What does not fit is counted, and only its own window says so. */
static void loss_belongs_to_its_window(void **state)
{
	struct out o = {0};
	struct fl_meter_conf conf = {
	    .interval_s = 60, .memory_limit = 68 << 10, .seed = 4, .lateness = 1, .on_window = on_window, .ctx = &o};
	struct fl_ledger ledger;
	struct fl_meter *m = NULL;

	(void)state;
	assert_int_equal(fl_meter_new(&m, &conf), 0);
	for (uint32_t i = 0; i < 5000; i++) {
		struct fl_obs one = obs(i, 10, i);

		assert_int_equal(fl_meter_add(m, &one, 1), 0);
	}
	for (uint32_t window = 11; window < 14; window++) {
		struct fl_obs one = obs(1, window, 1);

		assert_int_equal(fl_meter_add(m, &one, 1), 0);
	}
	assert_int_equal(fl_meter_finish(m), 0);
	fl_meter_ledger(m, &ledger);
	assert_int_equal(o.windows, 4);
	assert_int_equal(o.lossy, 1);
	assert_true(ledger.lost[FL_LOSS_TABLE_FULL].packets > 0);
	assert_int_equal(o.sum.packets + ledger.lost[FL_LOSS_TABLE_FULL].packets, 5003);
	fl_meter_free(&m);
}

/* The times, flags and counts of one flow, whatever the order of its packets. */
static int keep_flow(void *ctx, uint32_t window, const struct fl_table *flows, bool lossy)
{
	struct fl_flow *ret;
	size_t n;

	(void)window;
	assert_false(lossy);
	assert_int_equal(fl_table_take_sorted((struct fl_table *)(uintptr_t)flows, &ret, &n), 0);
	assert_int_equal(n, 1);
	*(struct fl_flow *)ctx = ret[0];
	free(ret);
	return 0;
}

static void facts_of_a_flow(void **state)
{
	struct fl_flow f;
	struct fl_meter_conf conf = {.interval_s = 16777, .seed = 4, .lateness = 1, .on_window = keep_flow, .ctx = &f};
	struct fl_obs in[] = {obs(1, 5, 700), obs(1, 5, 16776999), obs(1, 5, 3)};
	struct fl_meter *m = NULL;

	(void)state;
	in[0].tcp = 0x12 | FL_TCP_SYNACK;
	in[1].tcp = 0x80;
	in[2].packets = 4000000000;
	in[2].bytes = UINT64_C(1) << 40;
	assert_int_equal(fl_meter_new(&m, &conf), 0);
	assert_int_equal(fl_meter_add(m, in, 3), 0);
	assert_int_equal(fl_meter_finish(m), 0);
	assert_int_equal(f.first_ms, 3);
	assert_int_equal(f.last_ms, 16776999);
	assert_int_equal(f.tcp, 0x12 | FL_TCP_SYNACK | 0x80);
	assert_int_equal(f.action, 0);
	assert_int_equal(f.packets, 4000000002);
	assert_int_equal(f.bytes, (UINT64_C(1) << 40) + 200);
	fl_meter_free(&m);
}

static void many_flows_and_growth(void **state)
{
	struct out o = {0};
	struct fl_meter_conf conf = {.interval_s = 60, .seed = 2, .lateness = 1, .on_window = on_window, .ctx = &o};
	struct fl_meter *m = NULL;

	(void)state;
	assert_int_equal(fl_meter_new(&m, &conf), 0);
	for (unsigned round = 0; round < 2; round++)
		for (uint32_t i = 0; i < 200000; i++) {
			struct fl_obs one = obs(i, 7, i % 60000);

			assert_int_equal(fl_meter_add(m, &one, 1), 0);
		}
	assert_int_equal(fl_meter_finish(m), 0);
	assert_int_equal(o.flows, 200000);
	assert_int_equal(o.sum.packets, 400000);
	assert_int_equal(o.windows, 1);
	fl_meter_free(&m);
}

static void limit_is_counted(void **state)
{
	struct out o = {0};
	struct fl_meter_conf conf = {
	    .interval_s = 60, .memory_limit = 1 << 20, .seed = 3, .lateness = 0, .on_window = on_window, .ctx = &o};
	struct fl_ledger l;
	struct fl_meter *m = NULL;

	(void)state;
	assert_int_equal(fl_meter_new(&m, &conf), 0);
	for (uint32_t i = 0; i < 100000; i++) {
		struct fl_obs one = obs(i, 7, 0);

		assert_int_equal(fl_meter_add(m, &one, 1), 0);
	}
	assert_int_equal(fl_meter_finish(m), 0);
	fl_meter_ledger(m, &l);
	l.recorded = o.sum;
	assert_int_equal(l.seen.packets, 100000);
	assert_true(l.lost[FL_LOSS_TABLE_FULL].packets > 0);
	assert_int_equal(fl_ledger_gap(&l), 0);
	fl_meter_free(&m);
}

static void sorted_and_complete(void **state)
{
	struct fl_table_conf conf = {.seed = 4};
	struct fl_table *t = NULL;
	struct fl_flow *flows;
	size_t n;

	(void)state;
	assert_int_equal(fl_table_new(&t, &conf), 0);
	for (uint32_t i = 0; i < 1000; i++) {
		struct fl_obs a = obs(i * 7919 % 1000, 1, 500 - i % 500);

		a.key.iface = (uint16_t)(i % 3);
		a.tcp = (uint8_t)(1u << i % 6);
		fl_table_add(t, &a, 1, NULL, NULL);
	}
	n = fl_table_count(t);
	assert_int_equal(fl_table_take_sorted(t, &flows, &n), 0);
	for (size_t i = 1; i < n; i++)
		assert_true(flows[i - 1].key.iface < flows[i].key.iface ||
			    (flows[i - 1].key.iface == flows[i].key.iface &&
			     memcmp(&flows[i - 1].key, &flows[i].key, sizeof flows[i].key) < 0));
	assert_int_equal(fl_table_count(t), 0);
	free(flows);
	fl_table_free(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(order_and_lateness),         cmocka_unit_test(grace_closes_by_time),
	    cmocka_unit_test(loss_belongs_to_its_window), cmocka_unit_test(facts_of_a_flow),
	    cmocka_unit_test(many_flows_and_growth),      cmocka_unit_test(limit_is_counted),
	    cmocka_unit_test(sorted_and_complete),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
