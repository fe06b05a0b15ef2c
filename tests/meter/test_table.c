/* SPDX-License-Identifier: Apache-2.0 */
/* The table against arithmetic: nothing lost in growth, sorting by (iface, key) as bytes, moving, the memory bar. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "meter/meter.h"

static uint64_t state = 88172645463325252u;

static uint64_t random_number(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

/* kind 0: IPv4 in one /16, 1: IPv6, 2: nearly equal keys, 3: bytes of any value. */
static struct fl_obs random_obs(unsigned kind)
{
	struct fl_obs o = {.packets = 1, .bytes = 60, .first_ms = 5, .last_ms = 9, .tcp = 2};
	uint8_t v4[4] = {10, 0, (uint8_t)random_number(), (uint8_t)random_number()};
	uint64_t r = random_number();

	o.key.proto = 6;
	o.key.iface = (uint16_t)(r % 3);
	o.key.sport = (uint16_t)(r >> 8);
	switch (kind) {
	case 0:
		o.key.src = fl_addr_v4(v4);
		o.key.dst = fl_addr_v4((const uint8_t[4]){10, 0, 0, 1});
		break;
	case 1:
		o.key.dirfam = FL_KEY_V6;
		for (unsigned i = 0; i < 16; i += 8) {
			r = random_number();
			memcpy(o.key.src.b + i, &r, 8);
		}
		break;
	case 2:
		o.key.sport = 0;
		o.key.proto = (uint8_t)(r >> 40);
		break;
	default:
		for (unsigned i = 0; i < sizeof o.key; i += 8) {
			r = random_number() & random_number() & random_number();
			memcpy((char *)&o.key + i, &r, 8);
		}
	}
	return o;
}

static void sorted_and_complete(void **unused)
{
	static const size_t counts[] = {0, 1, 2, 23, 24, 25, 26, 1000, 60000};
	struct fl_table_conf conf = {.seed = 42};

	(void)unused;
	for (size_t k = 0; k < FL_ARRAY_LEN(counts); k++) {
		struct fl_table *t = NULL;
		struct fl_flow *flow;
		uint64_t packets = 0;
		size_t n, want;

		assert_int_equal(fl_table_new(&t, &conf), 0);
		for (size_t i = 0; i < counts[k]; i++) {
			struct fl_obs o = random_obs((unsigned)(i % 4));

			fl_table_add(t, &o, 1, NULL, NULL);
		}
		want = fl_table_count(t);
		assert_int_equal(fl_table_take_sorted(t, &flow, &n), 0);
		assert_int_equal(n, want);
		assert_int_equal(fl_table_count(t), 0);
		for (size_t i = 0; i < n; i++) {
			packets += flow[i].packets;
			if (i && flow[i - 1].key.iface == flow[i].key.iface)
				assert_true(memcmp(&flow[i - 1].key, &flow[i].key, sizeof flow[i].key) < 0);
			else if (i)
				assert_true(flow[i - 1].key.iface < flow[i].key.iface);
		}
		assert_int_equal(packets, counts[k]);
		free(flow);
		fl_table_free(&t);
	}
}

static int sum(void *ctx, const struct fl_flow *f)
{
	*(uint64_t *)ctx += f->packets;
	return 0;
}

static void moving_keeps_every_flow(void **unused)
{
	struct fl_table_conf conf = {.seed = 7}, other = {.seed = 8};
	struct fl_table *large = NULL, *small = NULL, *stranger = NULL;
	uint64_t packets = 0;

	(void)unused;
	assert_int_equal(fl_table_new(&large, &conf), 0);
	assert_int_equal(fl_table_new(&small, &conf), 0);
	assert_int_equal(fl_table_new(&stranger, &other), 0);
	for (unsigned i = 0; i < 50000; i++) {
		struct fl_obs o = random_obs(i % 2);

		fl_table_add(i < 47000 ? large : small, &o, 1, NULL, NULL);
	}
	assert_false(fl_table_move(large, small)); /* not empty */
	assert_false(fl_table_move(stranger, small));
	assert_int_equal(fl_table_each(small, sum, &packets), 0);
	assert_int_equal(packets, 3000);
	fl_table_clear(large);
	assert_true(fl_table_move(large, small));
	packets = 0;
	assert_int_equal(fl_table_each(large, sum, &packets), 0);
	assert_int_equal(packets, 3000);
	assert_int_equal(fl_table_count(small), 0);
	/* The same keys are found where they were put. */
	assert_int_equal(fl_table_count(large), 3000);
	fl_table_free(&large);
	fl_table_free(&small);
	fl_table_free(&stranger);
}

struct walk {
	const struct fl_obs *came;
	size_t n;
};

static int is_next(void *ctx, const struct fl_flow *f)
{
	struct walk *w = ctx;

	return memcmp(&w->came[w->n++].key, &f->key, sizeof f->key);
}

/* Through growth, moves and reuse, and whatever the seed. */
static void an_ordered_table_is_walked_as_flows_came(void **unused)
{
	static struct fl_obs came[30000];

	(void)unused;
	for (uint64_t seed = 1; seed <= 3; seed++) {
		struct fl_table_conf conf = {.seed = seed, .ordered = true};
		struct fl_table *large = NULL, *small = NULL;
		struct walk w = {.came = came};

		assert_int_equal(fl_table_new(&large, &conf), 0);
		assert_int_equal(fl_table_new(&small, &conf), 0);
		for (unsigned round = 0; round < 2; round++) {
			fl_table_clear(large);
			for (size_t n = 0; n < FL_ARRAY_LEN(came);) {
				size_t before = fl_table_count(large);

				came[n] = random_obs(round ? 1 : (unsigned)(random_number() % 4));
				fl_table_add(large, &came[n], 1, NULL, NULL);
				n += fl_table_count(large) > before; /* nearly equal keys come again */
				if (n > 2 && n % 3 == 0)
					fl_table_add(large, &came[n / 2], 1, NULL, NULL);
			}
			w.n = 0;
			assert_int_equal(fl_table_each(large, is_next, &w), 0);
			assert_int_equal(w.n, FL_ARRAY_LEN(came));
		}
		fl_table_add(small, came, 2000, NULL, NULL);
		fl_table_clear(large);
		assert_true(fl_table_move(large, small));
		fl_table_add(large, came + 1000, FL_ARRAY_LEN(came) - 1000, NULL, NULL);
		w.n = 0;
		assert_int_equal(fl_table_each(large, is_next, &w), 0);
		assert_int_equal(w.n, FL_ARRAY_LEN(came));
		fl_table_free(&large);
		fl_table_free(&small);
	}
}

/* measurements.md: at most 120 bytes a live flow plus 64 MiB; of those the table takes four broken huge pages at most.
 */
static void memory_stays_under_the_bar(void **unused)
{
	struct fl_table_conf conf = {.seed = 99};
	struct fl_table *t = NULL;

	(void)unused;
	assert_int_equal(fl_table_new(&t, &conf), 0);
	for (uint32_t i = 1; i <= 600000; i++) {
		struct fl_obs o = {.packets = 1};

		memcpy(o.key.src.b, &i, sizeof i);
		fl_table_add(t, &o, 1, NULL, NULL);
		if (i > 1000)
			assert_true(fl_table_bytes(t) <= 120 * (size_t)i + (8u << 20));
	}
	assert_int_equal(fl_table_count(t), 600000);
	fl_table_free(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(sorted_and_complete),
	    cmocka_unit_test(moving_keeps_every_flow),
	    cmocka_unit_test(an_ordered_table_is_walked_as_flows_came),
	    cmocka_unit_test(memory_stays_under_the_bar),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
