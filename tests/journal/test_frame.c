/* SPDX-License-Identifier: Apache-2.0 */
/* A window's frame, written and read back. */
#include "journal/make.h"

#include <errno.h>

#include "base/cursor.h"

#define BASE 1735689600

static void frames_round_trip(void **state)
{
	static const size_t sizes[] = {0, 1, 2, 3, 5, 64, 1000, 20000};
	struct fl_buf buf = FL_BUF(1u << 24);
	void *store = NULL;
	size_t store_size = 0;

	for (size_t s = 0; s < FL_ARRAY_LEN(sizes); s++) {
		struct fl_flow *flows = make_flows(sizes[s], s, 60000);
		struct fl_frame f = make_frame(3, 9, BASE, 60, flows, sizes[s]), got;
		struct fl_cursor c;

		f.window.flags = FL_WINDOW_SKIPDATA;
		f.window.part = 2;
		f.ledger[1].lost[FL_LOSS_RING_FULL] = (struct fl_count){UINT64_MAX, 5};
		f.ledger[2].excluded[FL_RULE_DHCP].bytes = 1u << 31;
		if (sizes[s]) {
			flows[0].packets = UINT64_MAX;
			flows[0].bytes = 1ull << 33;
			flows[0].first_ms = 0xffffff;
			flows[0].last_ms = 0xffffff;
		}
		fl_buf_reset(&buf);
		assert_int_equal(fl_frame_encode(&f, &buf), 0);
		assert_int_equal(fl_frame_encode(&f, &buf), 0);
		/* Cut anywhere it is not complete, and nothing is read beyond the cut. */
		for (size_t n = 0; n < buf.len / 2; n += 1 + buf.len / 997) {
			char *cut = malloc(n + 1);

			memcpy(cut, buf.data, n);
			c = fl_cursor(cut, n);
			assert_int_equal(fl_frame_decode(&c, &got, &store, &store_size), 0);
			assert_ptr_equal(c.p, cut);
			free(cut);
		}
		c = fl_cursor(buf.data, buf.len);
		for (int i = 0; i < 2; i++) {
			assert_int_equal(fl_frame_decode(&c, &got, &store, &store_size), 1);
			assert_frame(&got, &f);
		}
		assert_int_equal(fl_frame_decode(&c, &got, &store, &store_size), 0);
		/* One bit wrong anywhere: an error or, in the length, not complete; never a frame.
		 */
		for (size_t at = 0; at < buf.len / 2; at += 1 + buf.len / 499) {
			buf.data[at] ^= 0x10;
			c = fl_cursor(buf.data, buf.len / 2);
			assert_true(fl_frame_decode(&c, &got, &store, &store_size) <= 0);
			buf.data[at] ^= 0x10;
		}
		free(flows);
	}
	fl_buf_free(&buf);
	free(store);
}

/* Addresses behind this host's own ride beside the flows that have them. */
static void addresses_behind(void **state)
{
	struct fl_buf buf FL_CLEANUP(fl_buf_free) = FL_BUF(1u << 20);
	struct fl_flow flows[3] = {0};
	struct fl_frame f = {.flows = flows, .n_flows = 3, .n_inside = 2}, g;
	struct fl_cursor c;
	void *store = NULL;
	size_t size = 0;

	(void)state;
	for (uint8_t i = 0; i < 3; i++) {
		flows[i].key.src = fl_addr_v4((uint8_t[]){10, 0, 0, i});
		flows[i].key.dst = fl_addr_v4((uint8_t[]){192, 0, 2, i});
		flows[i].key.dirfam = FL_DIR_INGRESS;
		flows[i].packets = 1;
		flows[i].bytes = 60;
	}
	f.inside[0] = fl_addr_v4((uint8_t[]){172, 17, 0, 2});
	f.inside[1] = fl_addr_v4((uint8_t[]){172, 17, 0, 3});
	flows[0].key.iface = 2;
	flows[2].key.iface = FL_INSIDE_DST | 1;
	assert_int_equal(fl_frame_encode(&f, &buf), 0);
	c = fl_cursor(buf.data, buf.len);
	assert_int_equal(fl_frame_decode(&c, &g, &store, &size), 1);
	assert_memory_equal(g.flows, flows, sizeof flows);
	assert_true(fl_addr_equal(fl_frame_inside(&g, &g.flows[0].key, false), &f.inside[1]));
	assert_null(fl_frame_inside(&g, &g.flows[0].key, true));
	assert_null(fl_frame_inside(&g, &g.flows[1].key, false));
	assert_null(fl_frame_inside(&g, &g.flows[1].key, true));
	assert_true(fl_addr_equal(fl_frame_inside(&g, &g.flows[2].key, true), &f.inside[0]));
	/* A number that names none. */
	flows[1].key.iface = 3;
	fl_buf_reset(&buf);
	assert_int_equal(fl_frame_encode(&f, &buf), 0);
	c = fl_cursor(buf.data, buf.len);
	assert_int_equal(fl_frame_decode(&c, &g, &store, &size), -EBADMSG);
	f.n_inside = FL_INSIDE_MAX + 1;
	assert_int_equal(fl_frame_encode(&f, &buf), -E2BIG);
	/* Without addresses the number is something else's and is not written. */
	f.n_inside = 0;
	fl_buf_reset(&buf);
	assert_int_equal(fl_frame_encode(&f, &buf), 0);
	c = fl_cursor(buf.data, buf.len);
	assert_int_equal(fl_frame_decode(&c, &g, &store, &size), 1);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(g.flows[i].key.iface, 0);
	free(store);
}

/* What decided rides beside the flows, in pieces too, and a frame without it costs a byte. */
static void grounds_ride_beside_flows(void **state)
{
	struct fl_buf buf FL_CLEANUP(fl_buf_free) = FL_BUF(1u << 20);
	static struct fl_ground grounds[FL_GROUNDS_MAX];
	const size_t n = 3000;
	struct fl_flow *flows = make_flows(n, 3, 60000);
	uint16_t *ground = calloc(n, sizeof *ground);
	struct fl_frame f = make_frame(1, 2, BASE, 60, flows, n), g;
	struct fl_cursor c;
	void *store = NULL;
	size_t size = 0, plain;

	(void)state;
	assert_int_equal(fl_frame_encode(&f, &buf), 0);
	plain = buf.len;
	for (size_t i = 0; i < FL_GROUNDS_MAX; i++) {
		snprintf(grounds[i].rule, sizeof grounds[i].rule, "sg-%zu/inbound/sgr-%0*zu", i, (int)(i % 100), i);
		snprintf(grounds[i].drop, sizeof grounds[i].drop, "%s", i % 3 ? "" : "NETFILTER_DROP");
		grounds[i].opinion = (uint8_t)(i % FL_OPINION_N);
		grounds[i].reason = i % 7 == 0;
	}
	f.grounds = grounds;
	f.n_grounds = FL_GROUNDS_MAX;
	f.ground = ground;
	for (size_t i = 0; i < n; i++)
		ground[i] = (uint16_t)(i < 1000 ? 0 : i < 2000 ? 7 : 1 + i % FL_GROUNDS_MAX);
	fl_buf_reset(&buf);
	assert_int_equal(fl_frame_encode(&f, &buf), 0);
	c = fl_cursor(buf.data, buf.len);
	assert_int_equal(fl_frame_decode(&c, &g, &store, &size), 1);
	assert_frame(&g, &f);
	assert_int_equal(g.n_grounds, FL_GROUNDS_MAX);
	for (size_t i = 0; i < n; i++) {
		const struct fl_ground *a = fl_frame_ground(&f, i), *b = fl_frame_ground(&g, i);

		assert_int_equal(!a, !b);
		if (a)
			assert_memory_equal(a, b, sizeof *a);
	}
	/* One rule for all of them. */
	for (size_t i = 0; i < n; i++)
		ground[i] = 1;
	fl_buf_reset(&buf);
	assert_int_equal(fl_frame_encode(&f, &buf), 0);
	assert_in_range(buf.len, plain, plain + 40);
	c = fl_cursor(buf.data, buf.len);
	assert_int_equal(fl_frame_decode(&c, &g, &store, &size), 1);
	assert_int_equal(g.n_grounds, 1);
	assert_string_equal(fl_frame_ground(&g, n - 1)->rule, grounds[0].rule);
	/* Numbers of nothing, and too many. */
	ground[5] = FL_GROUNDS_MAX + 1;
	assert_int_equal(fl_frame_encode(&f, &buf), -EINVAL);
	f.n_grounds = FL_GROUNDS_MAX + 1;
	assert_int_equal(fl_frame_encode(&f, &buf), -E2BIG);
	free(store);
	free(flows);
	free(ground);
}

/* Frames of version 3, as they were before there were grounds: without the count behind the flows. */
static void frames_without_grounds_still_read(void **state)
{
	struct fl_buf buf FL_CLEANUP(fl_buf_free) = FL_BUF(1u << 20);
	struct fl_flow *flows = make_flows(50, 3, 60000);
	struct fl_frame f = make_frame(1, 2, BASE, 60, flows, 50), g;
	struct fl_cursor c;
	void *store = NULL;
	size_t size = 0;
	uint32_t word;

	(void)state;
	assert_int_equal(fl_frame_encode(&f, &buf), 0);
	assert_int_equal(buf.data[12], 4);
	buf.data[12] = 3;
	for (unsigned extra = 0; extra < 2; extra++) { /* the count itself would be too much there */
		buf.len -= !extra;
		word = (uint32_t)(buf.len + extra - 12);
		memcpy(buf.data + 4, &word, 4);
		word = fl_crc32c(0, buf.data + 12, word);
		memcpy(buf.data + 8, &word, 4);
		c = fl_cursor(buf.data, buf.len + extra);
		assert_int_equal(fl_frame_decode(&c, &g, &store, &size), extra ? -EBADMSG : 1);
		if (!extra)
			assert_frame(&g, &f);
		if (!extra)
			assert_null(fl_frame_ground(&g, 0));
	}
	free(store);
	free(flows);
}

static void impossible_flows_are_refused(void **state)
{
	struct fl_flow *flows = make_flows(2, 1, 60000);
	struct fl_frame f = make_frame(0, 0, BASE, 60, flows, 2);
	struct fl_buf buf = FL_BUF(1u << 20);

	flows[1].key.dirfam = 3;
	assert_int_equal(fl_frame_encode(&f, &buf), -EINVAL);
	assert_int_equal(buf.len, 0);
	flows[1].key.dirfam = 1;
	flows[1].first_ms = 2;
	flows[1].last_ms = 1;
	assert_int_equal(fl_frame_encode(&f, &buf), -EINVAL);
	fl_buf_free(&buf);
	free(flows);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(frames_round_trip),
	    cmocka_unit_test(addresses_behind),
	    cmocka_unit_test(grounds_ride_beside_flows),
	    cmocka_unit_test(frames_without_grounds_still_read),
	    cmocka_unit_test(impossible_flows_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
