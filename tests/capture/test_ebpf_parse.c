/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The parser in the kernel against the one in C: every packet of the corpus goes through both, and
 * key, bytes, packets, flags and outcome are the same. BPF_PROG_TEST_RUN runs the very program that
 * is attached to interfaces.
 */
#include <errno.h>
#include <ftw.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>
#include <linux/bpf.h>

#include "base/error.h"
#include "base/mem.h"
#include "capture/ebpf.h"
#include "flow/flow.h"

#define SLOT 5
#define FRAME_MIN 14   /* BPF_PROG_TEST_RUN refuses less than an Ethernet header */
#define FRAME_MAX 3520 /* and more than fits into a page beside head and tail room (kernels before 6.19) */
#define MISMATCHES_SHOWN 20

/* How a frame is presented. GSO values are those of a socket buffer before segmentation. */
static const struct mode {
	const char *name;
	uint64_t conf;
	uint32_t gso_segs, gso_size;
	bool inner;
} modes[] = {
    {"linear", 0, 0, 0, false},     {"egress, not linear", FL_K_CONF_NONLINEAR | FL_K_CONF_EGRESS, 0, 0, false},
    {"gso_size", 0, 0, 536, false}, {"gso_segs", FL_K_CONF_EGRESS, 7, 100, false},
    {"inner", 0, 0, 0, true},       {"inner, not linear, gso_segs", FL_K_CONF_NONLINEAR, 3, 0, true},
};

/* [inner] */
static struct fl_live *lives[2];
static struct fl_partial *caches[2];
static size_t cache_entries;
static int programs[FL_ARRAY_LEN(modes)][2]; /* Ethernet, raw IP */
static struct fl_fragments *fragments[FL_ARRAY_LEN(modes)];
static unsigned files, checked, refused, unsupported, mismatches;

static struct fl_kcount counters(const struct mode *m)
{
	const struct fl_live *l = lives[m->inner];
	unsigned half = l->clock->row[l->clock->current].window_base & 1;

	/* CPU 0 */
	return l->counts[half * FL_K_SLOTS * 2 + SLOT * 2 + !!(m->conf & FL_K_CONF_EGRESS)];
}

/* What the program made of one frame: the outcome, and its only partial flow when it is IP. */
static int run_program(int prog, const struct mode *m, const uint8_t *frame, uint32_t n, struct fl_partial *ret,
		       struct fl_kcount *ret_delta)
{
	struct __sk_buff ctx = {.gso_segs = m->gso_segs, .gso_size = m->gso_size};
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = frame, .data_size_in = n, .ctx_in = &ctx,
		    .ctx_size_in = sizeof ctx, .repeat = 1);
	struct fl_kcount before = counters(m), after;
	struct fl_partial *cache = caches[m->inner];
	int r;

	memset(cache, 0, cache_entries * sizeof *cache);
	r = bpf_prog_test_run_opts(prog, &opts);
	if (r)
		return r;
	after = counters(m);
	*ret_delta = (struct fl_kcount){
	    .skbs = after.skbs - before.skbs,
	    .packets = after.packets - before.packets,
	    .bytes = after.bytes - before.bytes,
	    .not_ip_packets = after.not_ip_packets - before.not_ip_packets,
	    .not_ip_bytes = after.not_ip_bytes - before.not_ip_bytes,
	    .truncated_packets = after.truncated_packets - before.truncated_packets,
	    .lost_packets = after.lost_packets - before.lost_packets,
	};
	memset(ret, 0, sizeof *ret);
	for (size_t i = 0; i < cache_entries; i++)
		if (cache[i].window)
			*ret = cache[i];
	/* Passed on to whoever is next, always. */
	return (int)opts.retval == -1 ? 0 : -EPROTO;
}

static bool same(const struct mode *m, enum fl_decoded outcome, const struct fl_packet *c, const struct fl_partial *k,
		 const struct fl_kcount *d, uint32_t n)
{
	if (d->lost_packets || d->skbs + d->not_ip_packets + d->truncated_packets != 1)
		return false;
	switch (outcome) {
	case FL_DECODED_NOT_IP:
		return d->not_ip_packets == 1 && d->not_ip_bytes == n;
	case FL_DECODED_TRUNCATED:
		return d->truncated_packets == 1;
	case FL_DECODED_IP:
		break;
	}
	return d->skbs == 1 && d->packets == c->packets && d->bytes == c->bytes && k->packets == c->packets &&
	       k->bytes == c->bytes && k->tcp == c->tcp && k->proto == c->key.proto && k->sport == c->key.sport &&
	       k->dport == c->key.dport && k->slot == SLOT && !memcmp(k->src, &c->key.src, 16) &&
	       !memcmp(k->dst, &c->key.dst, 16) &&
	       k->dirfam == ((c->key.dirfam & FL_KEY_V6) | (m->conf & FL_K_CONF_EGRESS ? FL_K_TC_EGRESS : 0));
}

static void check_frame(const char *path, unsigned number, enum fl_link link, const uint8_t *frame, uint32_t n)
{
	for (size_t i = 0; i < FL_ARRAY_LEN(modes); i++) {
		const struct mode *m = &modes[i];
		struct fl_frame_meta meta = {.wire_len = n, .gso_segs = m->gso_segs, .gso_size = m->gso_size};
		struct fl_packet c;
		struct fl_partial k;
		struct fl_kcount d;
		enum fl_decoded outcome = fl_decode(link, frame, n, &meta, m->inner, fragments[i], &c);
		int r = run_program(programs[i][link == FL_LINK_RAW_IP], m, frame, n, &k, &d);

		/* Newer kernels refuse to test a frame whose EtherType promises an IP header that
		 * is not there. */
		if (r == -EINVAL && outcome == FL_DECODED_TRUNCATED && n < 14 + 40) {
			refused += i == 0;
			continue;
		}
		if (!r && same(m, outcome, &c, &k, &d, n))
			continue;
		if (mismatches++ < MISMATCHES_SHOWN)
			fprintf(stderr,
				"%s: packet %u, %u bytes, %s: run %d; C: outcome %d proto %u ports "
				"%u %u packets %u bytes %llu "
				"tcp %x; kernel: ip %llu not %llu truncated %llu proto %u ports %u "
				"%u packets %u bytes %llu tcp %x\n",
				path, number, n, m->name, r, outcome, c.key.proto, c.key.sport, c.key.dport, c.packets,
				(unsigned long long)c.bytes, c.tcp, (unsigned long long)d.skbs,
				(unsigned long long)d.not_ip_packets, (unsigned long long)d.truncated_packets, k.proto,
				k.sport, k.dport, k.packets, (unsigned long long)k.bytes, k.tcp);
	}
	checked++;
}

/* Both sides begin a file without fragments. */
static void forget_fragments(void)
{
	for (unsigned i = 0; i < 2; i++) {
		int fd = fl_ebpf_map_fd(lives[i], "fl_fragments");
		uint64_t key[5];

		assert_true(fd >= 0);
		while (!bpf_map_get_next_key(fd, NULL, key))
			bpf_map_delete_elem(fd, key);
	}
	for (size_t i = 0; i < FL_ARRAY_LEN(modes); i++) {
		fl_fragments_free(&fragments[i]);
		assert_int_equal(fl_fragments_new(&fragments[i], FL_FRAGMENT_CAPACITY, 0, i), 0);
	}
}

static int check_file(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	struct fl_pcap *p = NULL;
	struct fl_pcap_packet packet;
	unsigned number = 0;

	(void)st;
	(void)ftw;
	if (type != FTW_F || !(strstr(path, ".pcap") || strstr(path, ".cap")) || fl_pcap_open(&p, path))
		return 0;
	forget_fragments();
	files++;
	while (fl_pcap_next(p, &packet) > 0) {
		uint32_t n = FL_MIN(packet.caplen, (uint32_t)FRAME_MAX);

		number++;
		if (packet.link != FL_LINK_ETHERNET && packet.link != FL_LINK_RAW_IP)
			unsupported++;
		else if (n < FRAME_MIN)
			refused++;
		else
			check_frame(path, number, packet.link, packet.data, n);
	}
	fl_pcap_close(&p);
	return 0;
}

static const char *corpus(void)
{
	return getenv("FLOWLOG_CORPUS") ? getenv("FLOWLOG_CORPUS") : FL_CORPUS;
}

static void test_corpus(void **state)
{
	char path[512];

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		snprintf(path, sizeof path, "%s/%s", corpus(), i ? "malformed" : "pcap");
		assert_int_equal(nftw(path, check_file, 16, FTW_PHYS), 0);
	}
	fprintf(stderr,
		"%u files, %u packets in %zu modes, %u mismatches; %u packets of other link types, "
		"%u too short for a test run\n",
		files, checked, FL_ARRAY_LEN(modes), mismatches, unsupported, refused);
	assert_true(checked > 10000);
	assert_true(refused < 50);
	assert_int_equal(mismatches, 0);
}

/* Every frame of a seed cut at every length, and with every byte flipped: the parsers must not part
 * there either. */
static void test_mutations(void **state)
{
	static const uint8_t v6[] = "\2\0\0\0\0\1\2\0\0\0\0\2\x81\0\0\7\x86\xdd\x60\0\0\0\0\x30\0\x40"
				    "\x20\1\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\1\x20\1\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\2"
				    "\x3c\0\1\4\0\0\0\0\x2c\0\1\4\0\0\0\0\6\0\0\1\0\0\0\7"
				    "\xc3\x50\0\x50\0\0\0\1\0\0\0\0\x50\x12\0\0\0\0\0\0payload";
	static const uint8_t v4[] = "\2\0\0\0\0\1\2\0\0\0\0\2\x88\x64\x11\0\0\1\0\x30\0\x21"
				    "\x46\0\0\x2e\0\7\x20\0\x40\x11\0\0\12\0\0\1\12\0\0\2\1\1\1\0"
				    "\xc3\x50\0\x35\0\x14\0\0payload";
	static const uint8_t mpls[] = "\2\0\0\0\0\1\2\0\0\0\0\2\x88\x47\0\1\0\x40\0\2\1\x40"
				      "\x45\0\0\x28\0\7\0\0\x40\x84\0\0\12\0\0\1\12\0\0\2\0\7\0\x50\0\0\0\1\0\0\0\0";
	static const struct {
		const uint8_t *frame;
		uint32_t n;
	} seeds[] = {{v6, sizeof v6 - 1}, {v4, sizeof v4 - 1}, {mpls, sizeof mpls - 1}};

	(void)state;
	mismatches = checked = 0;
	forget_fragments();
	for (size_t s = 0; s < FL_ARRAY_LEN(seeds); s++)
		for (uint32_t at = 0; at < seeds[s].n; at++) {
			uint8_t frame[256];

			memcpy(frame, seeds[s].frame, seeds[s].n);
			for (unsigned v = 1; v < 256; v += 7) {
				frame[at] = (uint8_t)(seeds[s].frame[at] ^ v);
				check_frame("mutation", at, FL_LINK_ETHERNET, frame, seeds[s].n);
			}
			if (at >= FRAME_MIN) {
				check_frame("cut", at, FL_LINK_ETHERNET, seeds[s].frame, at);
				if (seeds[s].n - at >= FRAME_MIN)
					check_frame("raw", at, FL_LINK_RAW_IP, seeds[s].frame + at, seeds[s].n - at);
			}
		}
	assert_true(checked > 1000);
	assert_int_equal(mismatches, 0);
}

struct sums {
	uint64_t packets, bytes, full;
};

static int sum_ring(void *ctx, uint64_t from, uint64_t to, const struct fl_partial *p, size_t n,
		    const struct fl_live_counts *counts, size_t n_counts)
{
	struct sums *s = ctx;

	(void)to;
	(void)from;
	(void)counts;
	(void)n_counts;
	for (size_t i = 0; i < n; i++) {
		s->packets += p[i].packets;
		s->bytes += p[i].bytes;
		s->full += p[i].evict == FL_EVICT_FULL;
	}
	return 0;
}

static int sum_half(void *ctx, uint32_t window, uint64_t ring_to, const struct fl_partial *p, size_t n,
		    const struct fl_live_counts *counts, size_t n_counts)
{
	(void)window;
	return sum_ring(ctx, 0, ring_to, p, n, counts, n_counts);
}

/* More packets than 32 bits count in one flow and one window. */
static void test_counter_overflow(void **state)
{
	static const uint8_t frame[] = "\2\0\0\0\0\1\2\0\0\0\0\2\x08\0\x45\0\0\x2e\0\7\0\0\x40\6\0\0\12\0\0\1\12\0\0\2"
				       "\xc3\x50\0\x50\0\0\0\1\0\0\0\0\x50\x10\0\0\0\0\0\0pload";
	struct __sk_buff ctx = {.gso_segs = 65535};
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = frame, .data_size_in = sizeof frame - 1, .ctx_in = &ctx,
		    .ctx_size_in = sizeof ctx, .repeat = 70000);
	struct sums s = {0};
	const struct fl_live_sink sink = {.ring = sum_ring, .half = sum_half, .ctx = &s};
	struct fl_kcount before = counters(&modes[0]), after;

	(void)state;
	memset(caches[0], 0, cache_entries * sizeof *caches[0]);
	lives[0]->clock->drained[0] = 0;
	assert_int_equal(bpf_prog_test_run_opts(programs[0][0], &opts), 0);
	after = counters(&modes[0]);
	assert_int_equal(fl_live_ebpf.drain_ring(lives[0], &sink), 0);
	assert_int_equal(fl_live_ebpf.drain_half(lives[0], 2, UINT64_MAX, &sink), 0);
	assert_int_equal(after.packets - before.packets, 70000ull * 65535);
	assert_int_equal(s.packets, after.packets - before.packets);
	assert_int_equal(s.bytes, after.bytes - before.bytes);
	assert_int_equal(s.full, 1);
}

static int open_side(bool inner)
{
	struct fl_live_conf conf = {
	    .window_ns = 1000000000000000000ull, .cache_bits = 1, .ring_bytes = 4096, .inner = inner};
	bool reused;
	struct fl_live *l;
	int r = fl_live_ebpf.open(&lives[inner], &conf, &reused);

	if (r)
		return r;
	l = lives[inner];
	/* Window 2 for years, announced as read: every packet begins its partial flow anew. */
	fl_live_ebpf.set_clock(l, 0, 2);
	fl_live_ebpf.set_drained(l, 0, 2);
	cache_entries = (size_t)l->cpus * 2 << l->cache_bits;
	caches[inner] = mmap(NULL, cache_entries * sizeof *caches[0], PROT_READ | PROT_WRITE, MAP_SHARED,
			     l->map_fd[FL_MAP_CACHE], 0);
	return caches[inner] == MAP_FAILED ? fl_fail(-errno, "mmap: %m") : 0;
}

static int setup(void)
{
	int r = open_side(false);

	if (!r)
		r = open_side(true);
	if (r)
		return r;
	for (size_t i = 0; i < FL_ARRAY_LEN(modes); i++)
		for (unsigned raw = 0; raw < 2; raw++) {
			programs[i][raw] =
			    fl_ebpf_program(lives[modes[i].inner], modes[i].conf | SLOT | (raw ? FL_K_CONF_RAW : 0));
			if (programs[i][raw] < 0)
				return programs[i][raw];
		}
	return 0;
}

int main(void)
{
	static const struct CMUnitTest tests[] = {cmocka_unit_test(test_corpus), cmocka_unit_test(test_mutations),
						  cmocka_unit_test(test_counter_overflow)};
	cpu_set_t one;
	int r;

	if (geteuid()) {
		puts("skipped: loading BPF programs needs root");
		return 77;
	}
	if (access(corpus(), R_OK)) {
		printf("skipped: no corpus at %s\n", corpus());
		return 77;
	}
	CPU_ZERO(&one);
	CPU_SET(0, &one);
	sched_setaffinity(0, sizeof one, &one);
	r = setup();
	if (r == FL_LIVE_UNAVAILABLE) {
		printf("skipped: %s\n", fl_error_text(r));
		return 77;
	}
	if (r) {
		fprintf(stderr, "%s\n", fl_error_text(r));
		return 1;
	}
	r = cmocka_run_group_tests(tests, NULL, NULL);
	for (size_t i = 0; i < FL_ARRAY_LEN(modes); i++) {
		close(programs[i][0]);
		close(programs[i][1]);
		fl_fragments_free(&fragments[i]);
	}
	for (unsigned i = 0; i < 2; i++) {
		munmap(caches[i], cache_entries * sizeof *caches[i]);
		fl_live_ebpf.close(&lives[i], true);
	}
	return r;
}
