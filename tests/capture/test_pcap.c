/* SPDX-License-Identifier: Apache-2.0 */
/* Capture files built in memory: both byte orders and precisions, pcapng with several interfaces, and every cut of
 * each. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/error.h"
#include "base/mem.h"
#include "capture/capture.h"

struct file {
	uint8_t data[4096];
	size_t n;
	bool big;
	size_t end[8]; /* offset behind each packet */
	unsigned packets;
};

static void put(struct file *f, uint64_t v, unsigned bytes)
{
	for (unsigned i = 0; i < bytes; i++)
		f->data[f->n++] = (uint8_t)(v >> 8 * (f->big ? bytes - 1 - i : i));
}

static void put_bytes(struct file *f, const char *s, size_t n)
{
	memcpy(f->data + f->n, s, n);
	f->n += n;
}

static void classic(struct file *f, bool big, bool nano, bool wide)
{
	*f = (struct file){.big = big};
	put(f, wide ? 0xa1b2cd34 : nano ? 0xa1b23c4d : 0xa1b2c3d4, 4);
	put(f, 2, 2);
	put(f, 4, 2);
	put(f, 0, 8);
	put(f, 65535, 4);
	put(f, 1, 4);
	for (unsigned i = 0; i < 3; i++) {
		put(f, 1700000000 + i, 4);
		put(f, 250, 4);
		put(f, 5 + i, 4);
		put(f, 1500, 4);
		if (wide)
			put(f, 0, 8);
		put_bytes(f, "packets", 5 + i);
		f->end[f->packets++] = f->n;
	}
}

static void begin_block(struct file *f, uint32_t type, size_t *ret_at)
{
	*ret_at = f->n;
	put(f, type, 4);
	put(f, 0, 4);
}

static void end_block(struct file *f, size_t at)
{
	size_t length, end;

	while ((f->n - at) % 4)
		put(f, 0, 1);
	length = f->n - at + 4;
	put(f, length, 4);
	end = f->n;
	f->n = at + 4;
	put(f, length, 4);
	f->n = end;
}

static void next_generation(struct file *f, bool big)
{
	size_t at;

	*f = (struct file){.big = big};
	begin_block(f, 0x0a0d0d0a, &at);
	put(f, 0x1a2b3c4d, 4);
	put(f, 1, 2);
	put(f, 0, 2);
	put(f, UINT64_MAX, 8);
	end_block(f, at);
	for (unsigned i = 0; i < 2; i++) {
		begin_block(f, 1, &at);
		put(f, i ? 101 : 1, 2);
		put(f, 0, 2);
		put(f, 0, 4);
		put(f, 2, 2); /* name */
		put(f, 4, 2);
		put_bytes(f, i ? "raw1" : "eth0", 4);
		if (i) {
			put(f, 9, 2); /* nanoseconds, an hour later */
			put(f, 1, 2);
			put(f, 9, 1);
			put(f, 0, 3);
			put(f, 14, 2);
			put(f, 8, 2);
			put(f, 3600, 8);
		}
		put(f, 0, 4);
		end_block(f, at);
	}
	for (unsigned i = 0; i < 2; i++) {
		uint64_t ticks = i ? 1700000000ull * 1000000000 + 7 : 1700000000ull * 1000000 + 7;

		begin_block(f, 6, &at);
		put(f, i, 4);
		put(f, ticks >> 32, 4);
		put(f, ticks & 0xffffffff, 4);
		put(f, 5, 4);
		put(f, 60, 4);
		put_bytes(f, "bytes\0\0\0", 8);
		put(f, 2, 2); /* flags: outbound */
		put(f, 4, 2);
		put(f, 2, 4);
		put(f, 0, 4);
		end_block(f, at);
		f->end[f->packets++] = f->n;
	}
}

static struct fl_pcap *open_bytes(const struct file *f, size_t n, int *fd)
{
	struct fl_pcap *p = NULL;
	char path[64];

	*fd = memfd_create("capture", MFD_CLOEXEC);
	assert_int_equal(write(*fd, f->data, n), n);
	snprintf(path, sizeof path, "/proc/self/fd/%d", *fd);
	fl_pcap_open(&p, path);
	return p;
}

static void times_and_lengths(void **state)
{
	(void)state;
	for (unsigned k = 0; k < 8; k++) {
		struct fl_pcap_packet packet;
		struct fl_pcap *p;
		struct file f;
		int fd;

		classic(&f, k & 1, k & 2, k & 4);
		p = open_bytes(&f, f.n, &fd);
		assert_non_null(p);
		for (unsigned i = 0; i < f.packets; i++) {
			assert_int_equal(fl_pcap_next(p, &packet), 1);
			assert_int_equal(packet.caplen, 5 + i);
			assert_int_equal(packet.wire_len, 1500);
			assert_memory_equal(packet.data, "packets", 5 + i);
			assert_int_equal(packet.time_ns,
					 (1700000000ull + i) * 1000000000 + ((k & 2) && !(k & 4) ? 250 : 250000));
			assert_int_equal(packet.link, FL_LINK_ETHERNET);
			assert_int_equal(fl_pcap_offset(p), f.end[i]);
		}
		assert_int_equal(fl_pcap_next(p, &packet), 0);
		assert_int_equal(fl_pcap_next(p, &packet), 0);
		fl_pcap_close(&p);
		close(fd);
	}
}

static void interfaces_of_pcapng(void **state)
{
	(void)state;
	for (unsigned big = 0; big < 2; big++) {
		struct fl_pcap_packet packet[4];
		struct fl_pcap *p;
		struct file f;
		size_t n;
		int fd;

		next_generation(&f, big);
		p = open_bytes(&f, f.n, &fd);
		assert_non_null(p);
		assert_int_equal(fl_pcap_next_batch(p, packet, 4, &n), 1);
		assert_int_equal(n, 2);
		assert_int_equal(packet[0].link, FL_LINK_ETHERNET);
		assert_int_equal(packet[0].time_ns, 1700000000ull * 1000000000 + 7000);
		assert_int_equal(packet[1].link, FL_LINK_RAW_IP);
		assert_int_equal(packet[1].link_type, 101);
		assert_int_equal(packet[1].iface, 1);
		assert_int_equal(packet[1].time_ns, (1700000000ull + 3600) * 1000000000 + 7);
		assert_memory_equal(packet[1].data, "bytes", 5);
		assert_string_equal(fl_pcap_interface_name(p, 0), "eth0");
		assert_string_equal(fl_pcap_interface_name(p, 1), "raw1");
		assert_string_equal(fl_pcap_interface_name(p, 2), "");
		assert_int_equal(fl_pcap_next_batch(p, packet, 4, &n), 0);
		assert_int_equal(n, 0);
		fl_pcap_close(&p);
		close(fd);
	}
}

static void outbound_packets_say_so(void **state)
{
	struct fl_pcap_packet packet;
	struct fl_pcap *p;
	struct file f;
	int fd;

	(void)state;
	next_generation(&f, false);
	p = open_bytes(&f, f.n, &fd);
	assert_int_equal(fl_pcap_next(p, &packet), 1);
	assert_int_equal(packet.direction, FL_DIR_EGRESS);
	fl_pcap_close(&p);
	close(fd);
}

/* Whole packets come, then an end or one sentence with the offset; never less, never more, never a byte from beyond. */
static void every_cut(void **state)
{
	(void)state;
	for (unsigned k = 0; k < 6; k++) {
		struct file f;

		if (k < 4)
			classic(&f, k & 1, k & 2, false);
		else
			next_generation(&f, k & 1);
		for (size_t n = 0; n <= f.n; n++) {
			struct fl_pcap_packet packet;
			unsigned whole = 0, got = 0;
			struct fl_pcap *p;
			int fd, r = -EBADMSG;

			while (whole < f.packets && f.end[whole] <= n)
				whole++;
			p = open_bytes(&f, n, &fd);
			while (p && (r = fl_pcap_next(p, &packet)) > 0)
				got++;
			assert_int_equal(got, whole);
			if (r < 0)
				assert_non_null(strstr(fl_error_text(r), "/proc/self/fd/"));
			if (p && r < 0)
				assert_non_null(strstr(fl_error_text(r), "at offset "));
			if (n == f.n)
				assert_int_equal(r, 0);
			fl_pcap_close(&p);
			close(fd);
		}
	}
}

static void damage(void **state)
{
	static const struct {
		unsigned byte;
		const char *says;
	} rows[] = {{0, "not a capture file"},
		    {8, "byte order"},
		    {12, "pcapng version"},
		    {4, "impossible length"},
		    {24, "two lengths differ"}};

	(void)state;
	for (size_t i = 0; i < FL_ARRAY_LEN(rows); i++) {
		struct fl_pcap_packet packet;
		struct fl_pcap *p;
		struct file f;
		int fd, r = -EBADMSG;

		next_generation(&f, false);
		f.data[rows[i].byte] ^= 0x55;
		p = open_bytes(&f, f.n, &fd);
		if (p)
			r = fl_pcap_next(p, &packet);
		assert_true(r < 0);
		if (!strstr(fl_error_text(r), rows[i].says))
			fail_msg("\"%s\" does not say \"%s\"", fl_error_text(r), rows[i].says);
		fl_pcap_close(&p);
		close(fd);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(times_and_lengths),
	    cmocka_unit_test(interfaces_of_pcapng),
	    cmocka_unit_test(outbound_packets_say_so),
	    cmocka_unit_test(every_cut),
	    cmocka_unit_test(damage),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
