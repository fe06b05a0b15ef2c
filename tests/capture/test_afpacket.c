/* SPDX-License-Identifier: Apache-2.0 */
/* The packet socket's backend without sockets: blocks as the kernel lays them out, damaged blocks, clocks that step. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/virtio_net.h>

#include "base/clock.h"
#include "base/mem.h"
#include "capture/afpacket_batch.h"

#define BLOCK 65536
#define SECOND FL_NS_PER_S
#define EPOCH (1700000000ull * SECOND) /* the wall clock when the monotonic one says 1000 s */
#define MONO (1000 * SECOND)

/* ---- a block by hand ---- */

struct builder {
	uint8_t *block;
	uint32_t at, last;
};

static struct tpacket_block_desc *desc(struct builder *b)
{
	return (void *)b->block;
}

static struct builder block_new(void)
{
	struct builder b = {.block = aligned_alloc(16, BLOCK), .at = TPACKET_ALIGN(sizeof(struct tpacket_block_desc))};

	assert_non_null(b.block);
	memset(b.block, 0, BLOCK);
	desc(&b)->hdr.bh1.block_status = TP_STATUS_USER;
	desc(&b)->hdr.bh1.offset_to_first_pkt = b.at;
	return b;
}

static struct tpacket3_hdr *add_frame(struct builder *b, const uint8_t *frame, uint32_t caplen, uint32_t wire_len,
				      uint64_t when, struct virtio_net_hdr vnet)
{
	struct tpacket3_hdr *h = (void *)(b->block + b->at);
	struct sockaddr_ll sll = {.sll_family = AF_PACKET, .sll_protocol = __builtin_bswap16(ETH_P_IP)};
	uint32_t net = TPACKET_ALIGN(TPACKET3_HDRLEN + 16) + (uint32_t)sizeof vnet, mac = net - 14;

	h->tp_sec = (uint32_t)(when / SECOND);
	h->tp_nsec = (uint32_t)(when % SECOND);
	h->tp_snaplen = caplen;
	h->tp_len = wire_len;
	h->tp_mac = (uint16_t)mac;
	h->tp_net = (uint16_t)net;
	h->tp_next_offset = (mac + caplen + 7) & ~7u; /* as af_packet.c does */
	memcpy(b->block + b->at + TPACKET_ALIGN(sizeof *h), &sll, sizeof sll);
	memcpy(b->block + b->at + mac - sizeof vnet, &vnet, sizeof vnet);
	memcpy(b->block + b->at + mac, frame, caplen);
	b->last = b->at;
	b->at += h->tp_next_offset;
	desc(b)->hdr.bh1.num_pkts++;
	desc(b)->hdr.bh1.blk_len = b->at;
	return h;
}

/* An Ethernet frame with a TCP segment; total is the IP header's length field. */
static uint32_t tcp_frame(uint8_t *f, uint16_t sport, uint16_t total)
{
	static const uint8_t head[] = {2, 0, 0, 0,    0, 1,  2, 0, 0, 0,  0, 2, 8, 0,  0x45, 0, 0,
				       0, 0, 0, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0,    0, 2};

	memset(f, 0, 64);
	memcpy(f, head, sizeof head);
	f[16] = (uint8_t)(total >> 8);
	f[17] = (uint8_t)total;
	f[34] = (uint8_t)(sport >> 8);
	f[35] = (uint8_t)sport;
	f[37] = 80;
	f[46] = 0x80; /* 32 bytes of TCP header */
	f[47] = 0x10;
	return 66;
}

static void add_tcp(struct builder *b, uint16_t sport, uint64_t when)
{
	uint8_t f[66] = {0};

	tcp_frame(f, sport, 52);
	add_frame(b, f, sizeof f, sizeof f, when, (struct virtio_net_hdr){0});
}

/* ---- a sink that remembers ---- */

struct taken {
	struct fl_partial partial[1024];
	struct fl_live_counts count[64];
	size_t n, n_counts;
	unsigned calls, refuse;
	uint64_t position;
};

static int take_ring(void *ctx, uint64_t from, uint64_t to, const struct fl_partial *p, size_t n,
		     const struct fl_live_counts *c, size_t n_counts)
{
	struct taken *t = ctx;

	if (t->refuse) {
		t->refuse--;
		return -EIO;
	}
	assert_true(from == t->position);
	assert_true(to > from);
	assert_true(t->n + n <= FL_ARRAY_LEN(t->partial) && t->n_counts + n_counts <= FL_ARRAY_LEN(t->count));
	memcpy(t->partial + t->n, p, n * sizeof *p);
	memcpy(t->count + t->n_counts, c, n_counts * sizeof *c);
	t->n += n;
	t->n_counts += n_counts;
	t->position = to;
	t->calls++;
	return 0;
}

static struct fl_afp_clock clock_at(uint64_t mono)
{
	struct fl_afp_clock c = {
	    .window_ns = 10 * SECOND,
	    .real_minus_mono = (int64_t)(EPOCH - MONO),
	    .oldest_mono = mono - SECOND,
	    .now_mono = mono,
	    .first_window = 1,
	};

	fl_afp_clock_set(&c, MONO, 500);
	return c;
}

static struct taken *feed(struct builder *b, const struct fl_afp_clock *clock, bool egress)
{
	static struct taken t;
	struct fl_live_sink sink = {.ring = take_ring, .ctx = &t};
	struct fl_afp_batch *batch;
	struct fl_afp_block block;
	uint32_t unreadable;

	memset(&t, 0, sizeof t);
	assert_int_equal(fl_afp_batch_new(&batch, 8, false, 1), 0);
	assert_int_equal(fl_afp_block_open(&block, b->block, BLOCK), 0);
	assert_int_equal(fl_afp_batch_block(batch, &block, clock,
					    &(struct fl_afp_source){.slot = 7, .egress = egress, .ethernet = true},
					    &sink, &unreadable),
			 0);
	assert_int_equal(unreadable, 0);
	assert_int_equal(fl_afp_batch_flush(batch, &sink), 0);
	assert_true(fl_afp_batch_empty(batch));
	fl_afp_batch_free(&batch);
	return &t;
}

/* ---- blocks ---- */

static void test_frames_become_flows_and_counts(void **state)
{
	struct fl_afp_clock clock = clock_at(MONO + 5 * SECOND);
	struct builder b = block_new();
	uint8_t arp[60] = {[12] = 8, [13] = 6}, cut[34] = {[12] = 8, [14] = 0x43};
	struct taken *t;

	(void)state;
	for (unsigned i = 0; i < 200; i++)
		add_tcp(&b, (uint16_t)(1000 + i % 4), EPOCH + 4500 * FL_NS_PER_MS + i * FL_NS_PER_MS);
	add_frame(&b, arp, sizeof arp, sizeof arp, EPOCH + 4900 * FL_NS_PER_MS, (struct virtio_net_hdr){0});
	add_frame(&b, cut, sizeof cut, sizeof cut, EPOCH + 4900 * FL_NS_PER_MS, (struct virtio_net_hdr){0});
	t = feed(&b, &clock, true);
	assert_int_equal(t->n, 4);
	for (unsigned i = 0; i < 4; i++) {
		const struct fl_partial *p = &t->partial[i];

		assert_int_equal(p->packets, 50);
		assert_int_equal(p->bytes, 50 * 52);
		assert_int_equal(p->slot, 7);
		assert_int_equal(p->dirfam, FL_K_TC_EGRESS);
		assert_int_equal(p->window, 500);
		assert_int_equal(p->first, 450);
		assert_int_equal(p->last, 469);
		assert_int_equal(p->tcp, 0x10);
	}
	assert_int_equal(t->n_counts, 1);
	assert_int_equal(t->count[0].skbs, 200);
	assert_int_equal(t->count[0].packets, 200);
	assert_int_equal(t->count[0].bytes, 200 * 52);
	assert_int_equal(t->count[0].not_ip_packets, 1);
	assert_int_equal(t->count[0].not_ip_bytes, 60);
	assert_int_equal(t->count[0].truncated_packets, 1);
	assert_true(t->count[0].egress);
	free(b.block);
}

/* 3 segments of 1,448 and one of 100 bytes behind 52 bytes of headers each; the checksum tells where TCP begins. */
static void test_offload_is_counted_in_segments(void **state)
{
	static const struct {
		struct virtio_net_hdr vnet;
		uint32_t packets;
	} rows[] = {
	    {{.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
	      .gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
	      .gso_size = 1448,
	      .csum_start = 34},
	     4},
	    {{.gso_type = VIRTIO_NET_HDR_GSO_TCPV4, .gso_size = 1448}, 4},
	    /* A checksum that would begin outside of the frame is not believed. */
	    {{.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
	      .gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
	      .gso_size = 1448,
	      .csum_start = 60000},
	     4},
	    {{.gso_type = VIRTIO_NET_HDR_GSO_NONE, .gso_size = 1448}, 1},
	    {{.gso_type = VIRTIO_NET_HDR_GSO_TCPV4, .gso_size = 0}, 1},
	};
	struct fl_afp_clock clock = clock_at(MONO + 5 * SECOND);
	const uint32_t payload = 3 * 1448 + 100;

	(void)state;
	for (size_t i = 0; i < FL_ARRAY_LEN(rows); i++) {
		struct builder b = block_new();
		uint8_t f[66] = {0};
		struct taken *t;

		tcp_frame(f, 1000, (uint16_t)(payload + 52));
		add_frame(&b, f, sizeof f, payload + 66, EPOCH + 4 * SECOND, rows[i].vnet);
		t = feed(&b, &clock, false);
		assert_int_equal(t->n, 1);
		assert_int_equal(t->partial[0].packets, rows[i].packets);
		assert_int_equal(t->partial[0].bytes, payload + 52 * rows[i].packets);
		assert_int_equal(t->count[0].packets, rows[i].packets);
		assert_int_equal(t->count[0].skbs, 1);
		free(b.block);
	}
}

static void test_devices_without_ethernet_show_the_network_layer(void **state)
{
	static struct taken t;
	struct fl_live_sink sink = {.ring = take_ring, .ctx = &t};
	struct fl_afp_clock clock = clock_at(MONO + 5 * SECOND);
	struct builder b = block_new();
	struct fl_afp_batch *batch;
	struct fl_afp_block block;
	struct tpacket3_hdr *h;
	struct sockaddr_ll sll = {.sll_protocol = __builtin_bswap16(0x1234)};
	uint32_t unreadable;
	uint8_t f[66] = {0};

	(void)state;
	memset(&t, 0, sizeof t);
	tcp_frame(f, 1000, 52);
	memset(f, 0xee, 14); /* whatever that device's header is */
	add_frame(&b, f, sizeof f, sizeof f, EPOCH + 4 * SECOND, (struct virtio_net_hdr){0});
	h = add_frame(&b, f, sizeof f, sizeof f, EPOCH + 4 * SECOND, (struct virtio_net_hdr){0});
	memcpy((uint8_t *)h + TPACKET_ALIGN(sizeof *h), &sll, sizeof sll);
	assert_int_equal(fl_afp_batch_new(&batch, 8, false, 1), 0);
	assert_int_equal(fl_afp_block_open(&block, b.block, BLOCK), 0);
	assert_int_equal(fl_afp_batch_block(batch, &block, &clock, &(struct fl_afp_source){0}, &sink, &unreadable), 0);
	assert_int_equal(fl_afp_batch_flush(batch, &sink), 0);
	assert_int_equal(t.n, 1);
	assert_int_equal(t.partial[0].bytes, 52);
	assert_int_equal(t.partial[0].sport, 1000);
	assert_int_equal(t.count[0].not_ip_packets, 1);
	fl_afp_batch_free(&batch);
	free(b.block);
}

/* Every header member in turn is set to values no kernel writes: nothing is read outside of the block (the sanitizer
 * watches), the walk ends, and every frame is either returned or left over. */
static void test_damaged_blocks_are_read_to_the_damage(void **state)
{
	static const uint32_t values[] = {0,     1,     15,    16,    47,         48,         4096,
					  65519, 65520, 65535, 65536, 0x7fffffff, 0xfffffff0, 0xffffffff};
	static const size_t members[] = {
	    offsetof(struct tpacket3_hdr, tp_next_offset), offsetof(struct tpacket3_hdr, tp_snaplen),
	    offsetof(struct tpacket3_hdr, tp_len), offsetof(struct tpacket3_hdr, tp_mac), /* and tp_net */
	};

	(void)state;
	for (size_t m = 0; m < FL_ARRAY_LEN(members); m++)
		for (size_t v = 0; v < FL_ARRAY_LEN(values); v++)
			for (unsigned which = 0; which < 2; which++) {
				struct fl_afp_clock clock = clock_at(MONO + 5 * SECOND);
				struct builder b = block_new();
				struct fl_afp_batch *batch;
				struct fl_afp_block block;
				static struct taken t;
				struct fl_live_sink sink = {.ring = take_ring, .ctx = &t};
				uint32_t first, unreadable;
				uint64_t skbs = 0;

				memset(&t, 0, sizeof t);
				add_tcp(&b, 1, EPOCH + SECOND * 5);
				first = b.last;
				add_tcp(&b, 2, EPOCH + SECOND * 5);
				add_tcp(&b, 3, EPOCH + SECOND * 5);
				memcpy(b.block + (which ? b.last : first) + members[m], &values[v], 4);
				assert_int_equal(fl_afp_batch_new(&batch, 4, false, 1), 0);
				assert_int_equal(fl_afp_block_open(&block, b.block, BLOCK), 0);
				assert_int_equal(fl_afp_batch_block(batch, &block, &clock,
								    &(struct fl_afp_source){.ethernet = true}, &sink,
								    &unreadable),
						 0);
				assert_int_equal(fl_afp_batch_flush(batch, &sink), 0);
				for (size_t i = 0; i < t.n_counts; i++)
					skbs +=
					    t.count[i].skbs + t.count[i].not_ip_packets + t.count[i].truncated_packets;
				assert_int_equal(skbs + unreadable, 3);
				fl_afp_batch_free(&batch);
				free(b.block);
			}
}

static void test_a_block_that_lies_about_its_length(void **state)
{
	struct builder b = block_new();
	struct fl_afp_block block;
	struct fl_afp_frame f;

	(void)state;
	add_tcp(&b, 1, EPOCH);
	desc(&b)->hdr.bh1.blk_len = BLOCK + 1;
	assert_int_equal(fl_afp_block_open(&block, b.block, BLOCK), -EBADMSG);
	assert_int_equal(fl_afp_block_open(&block, b.block, 8), -EBADMSG);
	desc(&b)->hdr.bh1.blk_len = BLOCK;
	desc(&b)->hdr.bh1.offset_to_first_pkt = BLOCK - 16;
	assert_int_equal(fl_afp_block_open(&block, b.block, BLOCK), 0);
	assert_int_equal(fl_afp_block_next(&block, &f), -EBADMSG);
	desc(&b)->hdr.bh1.offset_to_first_pkt = 0xfffffff0;
	assert_int_equal(fl_afp_block_open(&block, b.block, BLOCK), 0);
	assert_int_equal(fl_afp_block_next(&block, &f), -EBADMSG);
	desc(&b)->hdr.bh1.offset_to_first_pkt = 49;
	assert_int_equal(fl_afp_block_open(&block, b.block, BLOCK), 0);
	assert_int_equal(fl_afp_block_next(&block, &f), -EBADMSG);
	desc(&b)->hdr.bh1.num_pkts = 0;
	assert_int_equal(fl_afp_block_open(&block, b.block, BLOCK), 0);
	assert_int_equal(fl_afp_block_next(&block, &f), 0);
	free(b.block);
}

/* ---- aggregation ---- */

/* With a cache of two lines nearly everything collides; nothing may be lost, and rows must equal partials in each call.
 */
static void test_collisions_lose_nothing(void **state)
{
	struct fl_afp_clock clock = clock_at(MONO + 5 * SECOND);
	static struct taken t;
	struct fl_live_sink sink = {.ring = take_ring, .ctx = &t};
	struct builder b = block_new();
	struct fl_afp_batch *batch;
	struct fl_afp_block block;
	uint32_t unreadable;
	uint64_t packets = 0, bytes = 0, counted = 0;

	(void)state;
	memset(&t, 0, sizeof t);
	for (unsigned i = 0; i < 300; i++)
		add_tcp(&b, (uint16_t)(i * 7), EPOCH + 4 * SECOND);
	assert_int_equal(fl_afp_batch_new(&batch, 1, false, 99), 0);
	assert_int_equal(fl_afp_block_open(&block, b.block, BLOCK), 0);
	assert_int_equal(fl_afp_batch_block(batch, &block, &clock, &(struct fl_afp_source){.slot = 1, .ethernet = true},
					    &sink, &unreadable),
			 0);
	assert_int_equal(fl_afp_batch_lost(batch, 1, false, 500, 17, &sink), 0);
	/* What the sink refuses stays. */
	t.refuse = 1;
	assert_int_equal(fl_afp_batch_flush(batch, &sink), -EIO);
	assert_false(fl_afp_batch_empty(batch));
	assert_int_equal(fl_afp_batch_flush(batch, &sink), 0);
	for (size_t i = 0; i < t.n; i++) {
		packets += t.partial[i].packets;
		bytes += t.partial[i].bytes;
	}
	assert_int_equal(packets, 300);
	assert_int_equal(bytes, 300 * 52);
	for (size_t i = 0; i < t.n_counts; i++)
		counted += t.count[i].packets - t.count[i].lost_packets;
	assert_int_equal(counted, 300);
	assert_int_equal(t.count[0].lost_packets, 17);
	assert_int_equal(t.count[0].skbs, 317);
	fl_afp_batch_free(&batch);
	free(b.block);
}

static void test_peek_shows_what_was_not_handed_over(void **state)
{
	struct fl_afp_clock clock = clock_at(MONO + 15 * SECOND);
	static struct taken t;
	struct fl_live_sink sink = {.ring = take_ring, .ctx = &t};
	struct builder b = block_new();
	struct fl_afp_batch *batch;
	struct fl_afp_block block;
	struct fl_partial seen[4];
	uint64_t packets[2] = {0};
	uint32_t unreadable;

	(void)state;
	memset(&t, 0, sizeof t);
	clock.oldest_mono = MONO;
	add_tcp(&b, 1, EPOCH + 9 * SECOND);
	add_tcp(&b, 1, EPOCH + 11 * SECOND);
	assert_int_equal(fl_afp_batch_new(&batch, 8, false, 1), 0);
	assert_int_equal(fl_afp_block_open(&block, b.block, BLOCK), 0);
	assert_int_equal(fl_afp_batch_block(batch, &block, &clock, &(struct fl_afp_source){.slot = 1, .ethernet = true},
					    &sink, &unreadable),
			 0);
	assert_int_equal(fl_afp_batch_peek(batch, 500, seen, 4), 1);
	assert_int_equal(fl_afp_batch_peek(batch, 501, seen, 4), 1);
	assert_int_equal(fl_afp_batch_peek(batch, 502, seen, 4), 0);
	assert_int_equal(fl_afp_batch_peek(batch, 501, seen, 0), 0);
	assert_int_equal(fl_afp_batch_flush(batch, &sink), 0);
	assert_int_equal(fl_afp_batch_peek(batch, 501, seen, 4), 0);
	for (size_t i = 0; i < t.n_counts; i++)
		packets[t.count[i].window - 500] += t.count[i].packets;
	assert_int_equal(packets[0], 1);
	assert_int_equal(packets[1], 1);
	fl_afp_batch_free(&batch);
	free(b.block);
}

/* ---- time ---- */

static void test_times_find_their_window(void **state)
{
	static const struct {
		int64_t real_ms;            /* from EPOCH */
		uint64_t oldest_ms, now_ms; /* from MONO */
		uint32_t first_window, window;
		uint16_t unit;
	} rows[] = {
	    {0, 0, 5000, 1, 500, 0},
	    {9, 0, 5000, 1, 500, 0},
	    {10, 0, 5000, 1, 500, 1},
	    {9999, 0, 15000, 1, 500, 999},
	    {10000, 0, 15000, 1, 501, 0},
	    {10000, 0, 10000, 1, 501, 0},
	    /* Older than anything that was not yet read: as old as that. */
	    {-3600000, 12000, 15000, 1, 501, 200},
	    /* Younger than now: now. */
	    {3600000, 12000, 15000, 1, 501, 500},
	    /* Its window was closed: the next one, from its beginning. */
	    {9900, 9000, 12000, 501, 501, 0},
	    {9900, 9000, 12000, 503, 503, 0},
	};

	(void)state;
	for (size_t i = 0; i < FL_ARRAY_LEN(rows); i++) {
		struct fl_afp_clock c = clock_at(MONO + rows[i].now_ms * FL_NS_PER_MS);
		struct fl_afp_when when;
		uint64_t t = EPOCH + (uint64_t)rows[i].real_ms * FL_NS_PER_MS;

		c.oldest_mono = MONO + rows[i].oldest_ms * FL_NS_PER_MS;
		c.first_window = rows[i].first_window;
		fl_afp_when(&c, t, &when);
		assert_int_equal(when.window, rows[i].window);
		assert_int_equal(when.unit, rows[i].unit);
	}
}

/* The range that is said to have the same answer has it, and does not reach over a window's end. */
static void test_ranges_hold_what_they_promise(void **state)
{
	struct fl_afp_clock c = clock_at(MONO + 30 * SECOND);

	(void)state;
	c.window_ns = 1234567891; /* no multiple of the unit */
	c.oldest_mono = MONO + 3 * SECOND + 777;
	for (uint64_t t = EPOCH; t < EPOCH + 40 * SECOND; t += 3333333) {
		struct fl_afp_when when, edge;

		fl_afp_when(&c, t, &when);
		if (when.from_ns == when.to_ns)
			continue;
		assert_true(when.from_ns <= t && t < when.to_ns);
		fl_afp_when(&c, when.from_ns, &edge);
		assert_int_equal(edge.window, when.window);
		assert_int_equal(edge.unit, when.unit);
		fl_afp_when(&c, when.to_ns - 1, &edge);
		assert_int_equal(edge.window, when.window);
		assert_int_equal(edge.unit, when.unit);
	}
}

/* The wall clock goes back an hour; the engine publishes a row with larger numbers. Frames from before the step keep
 * theirs. */
static void test_a_step_of_the_clock_never_reuses_a_window(void **state)
{
	struct fl_afp_clock c = clock_at(MONO + 25 * SECOND);
	struct fl_afp_when when;

	(void)state;
	fl_afp_clock_set(&c, MONO + 24 * SECOND, 504);
	assert_int_equal(fl_afp_window_at(&c, MONO + 23 * SECOND), 502);
	assert_int_equal(fl_afp_window_at(&c, MONO + 24 * SECOND), 504);
	assert_int_equal(fl_afp_window_at(&c, MONO + 34 * SECOND), 505);
	assert_true(fl_afp_window_end(&c, 501) == MONO + 20 * SECOND);
	assert_true(fl_afp_window_end(&c, 504) == MONO + 34 * SECOND);
	/* Stamped before the step, read with the offset after it: bounded by what can be true. */
	c.real_minus_mono -= 3600 * (int64_t)SECOND;
	c.oldest_mono = MONO + 24 * SECOND + SECOND / 2;
	fl_afp_when(&c, EPOCH + 24 * SECOND, &when);
	assert_int_equal(when.window, 504);
	/* Stamped after the step. */
	fl_afp_when(&c, EPOCH - 3600 * SECOND + 24 * SECOND + SECOND * 6 / 10, &when);
	assert_int_equal(when.window, 504);
	assert_int_equal(when.unit, 60);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_frames_become_flows_and_counts),
	    cmocka_unit_test(test_offload_is_counted_in_segments),
	    cmocka_unit_test(test_devices_without_ethernet_show_the_network_layer),
	    cmocka_unit_test(test_damaged_blocks_are_read_to_the_damage),
	    cmocka_unit_test(test_a_block_that_lies_about_its_length),
	    cmocka_unit_test(test_collisions_lose_nothing),
	    cmocka_unit_test(test_peek_shows_what_was_not_handed_over),
	    cmocka_unit_test(test_times_find_their_window),
	    cmocka_unit_test(test_ranges_hold_what_they_promise),
	    cmocka_unit_test(test_a_step_of_the_clock_never_reuses_a_window),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
