/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reading side on memory of the test's own: no kernel, no privilege. A process is "killed" at
 * every point of a batch by throwing its struct fl_live away; the maps stay, as pins do.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "capture/ebpf.h"

#define CPUS 3
#define CACHE_BITS 2
#define RING_BITS 6
#define DROP_BITS 4

/* What the kernel holds. */
struct kernel {
	struct fl_kclock clock;
	struct fl_partial cache[CPUS * 2 << CACHE_BITS], entries[CPUS << RING_BITS];
	struct fl_kcount counts[CPUS * 2 * FL_K_SLOTS * 2];
	struct fl_kring rings[CPUS], drop_rings[CPUS];
	struct fl_partial drops[CPUS << DROP_BITS];
	uint64_t bell_cons, bell_prod;
};

static struct fl_live process(struct kernel *k)
{
	return (struct fl_live){
	    .clock = &k->clock,
	    .cache = k->cache,
	    .entries = k->entries,
	    .counts = k->counts,
	    .rings = k->rings,
	    .drop_rings = k->drop_rings,
	    .drops = k->drops,
	    .drop_bits = DROP_BITS,
	    .bell_cons = &k->bell_cons,
	    .bell_prod = &k->bell_prod,
	    .cpus = CPUS,
	    .cache_bits = CACHE_BITS,
	    .ring_bits = RING_BITS,
	};
}

static void die(struct fl_live *l)
{
	free(l->partials);
	free(l->rows);
	memset(l, 0, sizeof *l);
}

static void push(struct kernel *k, unsigned cpu, uint32_t packets)
{
	struct fl_kring *r = &k->rings[cpu];
	struct fl_partial *e = &k->entries[cpu << RING_BITS | (r->prod++ & ((1 << RING_BITS) - 1))];

	assert_true(r->prod - r->cons <= 1 << RING_BITS);
	*e = (struct fl_partial){.window = 9, .packets = packets, .evict = FL_EVICT_COLLISION, .cpu = (uint16_t)cpu};
}

static void push_drop(struct kernel *k, unsigned cpu, uint32_t packets)
{
	struct fl_kring *r = &k->drop_rings[cpu];
	struct fl_partial *e = &k->drops[cpu << DROP_BITS | (r->prod++ & ((1 << DROP_BITS) - 1))];

	assert_true(r->prod - r->cons <= 1 << DROP_BITS);
	*e = (struct fl_partial){.window = 9, .packets = packets, .evict = FL_EVICT_DROPPED, .cpu = (uint16_t)cpu};
}

static void push_count(struct kernel *k, unsigned cpu, uint16_t slot, uint64_t packets)
{
	struct fl_kcount_record r = {
	    .slot = slot, .egress = 1, .window = 8, .evict = FL_EVICT_COUNT, .packets = packets, .lost_bytes = 77};
	struct fl_kring *ring = &k->rings[cpu];
	unsigned mask = (1 << RING_BITS) - 1;

	memcpy(&k->entries[cpu << RING_BITS | (ring->prod & mask)], &r, 64);
	memcpy(&k->entries[cpu << RING_BITS | ((ring->prod + 1) & mask)], (char *)&r + 64, 64);
	ring->prod += 2;
}

/* What the caller made durable. */
struct durable {
	uint64_t position, packets, rows, row_packets;
	unsigned batches, partials;
	uint32_t window;
	int result;
	bool lose; /* fails before anything is durable */
};

static int on_ring(void *ctx, uint64_t from, uint64_t to, const struct fl_partial *p, size_t n,
		   const struct fl_live_counts *c, size_t n_counts)
{
	struct durable *d = ctx;

	if (d->lose)
		return d->result;
	assert_true(to > from);
	assert_true(from >= d->position);
	d->position = to;
	d->batches++;
	for (size_t i = 0; i < n; i++)
		d->packets += p[i].packets;
	for (size_t i = 0; i < n_counts; i++) {
		assert_int_equal(c[i].window, 8);
		assert_true(c[i].egress);
		assert_int_equal(c[i].lost_bytes, 77);
		d->row_packets += c[i].packets;
	}
	d->partials += (unsigned)n;
	d->rows += n_counts;
	return d->result;
}

static int on_half(void *ctx, uint32_t window, uint64_t ring_to, const struct fl_partial *p, size_t n,
		   const struct fl_live_counts *c, size_t n_counts)
{
	struct durable *d = ctx;

	(void)ring_to;
	d->window = window;
	d->partials = (unsigned)n;
	d->rows = n_counts;
	d->packets = d->row_packets = 0;
	for (size_t i = 0; i < n; i++)
		d->packets += p[i].packets;
	for (size_t i = 0; i < n_counts; i++)
		d->row_packets += c[i].packets;
	return d->result;
}

static void test_ring_of_all_cpus(void **state)
{
	struct kernel *k = calloc(1, sizeof *k);
	struct fl_live l = process(k);
	struct durable d = {0};
	const struct fl_live_sink sink = {.ring = on_ring, .half = on_half, .ctx = &d};

	(void)state;
	/* Three times around the ring, rows across its end. */
	for (unsigned round = 0; round < 30; round++) {
		for (unsigned i = 0; i < 7; i++)
			push(k, round % CPUS, 1);
		push_count(k, 1, 5, 100);
		push_drop(k, round % 2, 1000);
		k->bell_prod += 16;
		assert_int_equal(fl_ebpf_drain_ring(&l, &sink), 0);
		assert_int_equal(k->bell_cons, k->bell_prod);
	}
	assert_int_equal(d.packets, 30 * 1007);
	assert_int_equal(d.rows, 30);
	assert_int_equal(d.row_packets, 3000);
	assert_int_equal(d.position, k->clock.position);
	/* Nothing there: nobody is called. */
	assert_int_equal(fl_ebpf_drain_ring(&l, &sink), 0);
	assert_int_equal(d.batches, 30);
	die(&l);
	free(k);
}

static void restart(struct kernel *k, struct fl_live *l, const struct durable *d)
{
	die(l);
	*l = process(k);
	if (d->position > k->clock.position)
		fl_ebpf_set_position(l, d->position);
}

static void test_death_around_a_batch(void **state)
{
	struct kernel *k = calloc(1, sizeof *k);
	struct fl_live l = process(k);
	struct durable d = {0};
	const struct fl_live_sink sink = {.ring = on_ring, .half = on_half, .ctx = &d};

	(void)state;
	for (unsigned i = 0; i < 10; i++)
		push(k, i % CPUS, 1);
	/* Before it was durable: read again. */
	d.lose = true;
	d.result = -EIO;
	assert_int_equal(fl_ebpf_drain_ring(&l, &sink), -EIO);
	restart(k, &l, &d);
	push_drop(k, 0, 1);
	d.lose = false;
	d.result = 0;
	assert_int_equal(fl_ebpf_drain_ring(&l, &sink), 0);
	assert_int_equal(d.packets, 11);
	/* After it was durable and before the positions moved: not read again, and what came since
	 * is. */
	push(k, 1, 1);
	push_drop(k, 1, 1);
	d.result = -EINTR; /* the kill */
	assert_int_equal(fl_ebpf_drain_ring(&l, &sink), -EINTR);
	assert_int_equal(d.packets, 13);
	push_drop(k, 1, 1);
	push(k, 0, 1);
	d.result = 0;
	restart(k, &l, &d);
	assert_int_equal(k->clock.position, d.position);
	assert_int_equal(fl_ebpf_drain_ring(&l, &sink), 0);
	assert_int_equal(d.packets, 15);
	/* While the positions moved: some consumers are new, some old. */
	push(k, 0, 1);
	push_drop(k, 2, 1);
	d.result = -EINTR;
	assert_int_equal(fl_ebpf_drain_ring(&l, &sink), -EINTR);
	k->rings[0].cons = k->rings[0].next;
	d.result = 0;
	restart(k, &l, &d);
	assert_int_equal(fl_ebpf_drain_ring(&l, &sink), 0);
	assert_int_equal(d.packets, 17);
	/* A death in the reading of the next batch must not bring back the last one. */
	push(k, 1, 1);
	d.lose = true;
	d.result = -EIO;
	assert_int_equal(fl_ebpf_drain_ring(&l, &sink), -EIO);
	restart(k, &l, &d);
	d.lose = false;
	d.result = 0;
	assert_int_equal(fl_ebpf_drain_ring(&l, &sink), 0);
	assert_int_equal(d.packets, 18);
	for (unsigned cpu = 0; cpu < CPUS; cpu++) {
		assert_int_equal(k->rings[cpu].cons, k->rings[cpu].prod);
		assert_int_equal(k->drop_rings[cpu].cons, k->drop_rings[cpu].prod);
	}
	die(&l);
	free(k);
}

static struct fl_kcount *row(struct kernel *k, unsigned cpu, unsigned half, unsigned slot, bool egress)
{
	return &k->counts[(cpu * 2 + half) * FL_K_SLOTS * 2 + slot * 2 + egress];
}

static void test_half(void **state)
{
	struct kernel *k = calloc(1, sizeof *k);
	struct fl_live l = process(k);
	struct durable d = {0};
	const struct fl_live_sink sink = {.ring = on_ring, .half = on_half, .ctx = &d};
	const unsigned half = 1u << CACHE_BITS;

	(void)state;
	k->clock.drained[1] = 5;
	k->cache[half] = (struct fl_partial){.window = 7, .packets = 1};            /* CPU 0, odd half */
	k->cache[half + 1] = (struct fl_partial){.window = 5, .packets = 10};       /* read before */
	k->cache[half * 5] = (struct fl_partial){.window = 7, .packets = 100};      /* CPU 2 */
	k->cache[half * 5 + 3] = (struct fl_partial){.window = 9, .packets = 1000}; /* not over yet */
	k->cache[0] = (struct fl_partial){.window = 8, .packets = 10000};           /* the other half */
	*row(k, 0, 1, 3, true) = (struct fl_kcount){.window = 7, .packets = 1};
	*row(k, 2, 1, 3, true) = (struct fl_kcount){.window = 7, .packets = 2};
	*row(k, 1, 1, 3, true) = (struct fl_kcount){.window = 5, .packets = 100};
	*row(k, 1, 1, 1023, false) = (struct fl_kcount){.window = 7, .packets = 4};
	*row(k, 0, 0, 3, true) = (struct fl_kcount){.window = 8, .packets = 100};
	/* Too late: not a word. */
	assert_int_equal(fl_ebpf_drain_half(&l, 7, fl_mono_ns(&fl_clock_system), &sink), -EAGAIN);
	assert_int_equal(d.window, 0);
	/* Not durable: not announced. */
	d.result = -EIO;
	assert_int_equal(fl_ebpf_drain_half(&l, 7, UINT64_MAX, &sink), -EIO);
	assert_int_equal(k->clock.drained[1], 5);
	d.result = 0;
	assert_int_equal(fl_ebpf_drain_half(&l, 7, UINT64_MAX, &sink), 0);
	assert_int_equal(d.window, 7);
	assert_int_equal(d.partials, 2);
	assert_int_equal(d.packets, 101);
	assert_int_equal(d.rows, 2);
	assert_int_equal(d.row_packets, 7);
	assert_int_equal(k->clock.drained[1], 7);
	assert_int_equal(k->clock.drained[0], 0);
	/* Once. */
	d.window = 0;
	assert_int_equal(fl_ebpf_drain_half(&l, 7, UINT64_MAX, &sink), 0);
	assert_int_equal(d.window, 0);
	die(&l);
	free(k);
}

static void test_peek(void **state)
{
	struct kernel *k = calloc(1, sizeof *k);
	struct fl_live l = process(k);
	struct fl_partial seen[2];

	(void)state;
	for (unsigned cpu = 0; cpu < CPUS; cpu++)
		k->cache[cpu * 2 << CACHE_BITS] = (struct fl_partial){.window = 8, .packets = cpu};
	assert_int_equal(fl_ebpf_peek(&l, 8, seen, 2), 2);
	assert_int_equal(seen[1].packets, 1);
	assert_int_equal(fl_ebpf_peek(&l, 10, seen, 2), 0);
	die(&l);
	free(k);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_ring_of_all_cpus),
	    cmocka_unit_test(test_death_around_a_batch),
	    cmocka_unit_test(test_half),
	    cmocka_unit_test(test_peek),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
