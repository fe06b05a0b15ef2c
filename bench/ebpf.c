/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Nanoseconds a packet of the tc program, beside an empty one: BPF_PROG_TEST_RUN repeats a packet whose destination the
 * program varies, and the ring is read between the runs, outside the time that counts. The cost of varying is measured
 * and taken off. usage: bench_ebpf [MILLION_PACKETS]
 */
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <linux/bpf.h>

#include "base/error.h"
#include "base/mem.h"
#include "capture/ebpf.h"

#define CHUNK 50000 /* packets of one test run: fewer than a ring holds */

static const uint8_t tcp[] = "\2\0\0\0\0\1\2\0\0\0\0\2\x08\0\x45\0\0\x2e\0\7\0\0\x40\6\0\0\12\0\0\1\12\0\0\2"
			     "\xc3\x50\0\x50\0\0\0\1\0\0\0\0\x50\x10\0\0\0\0\0\0pload";

static uint64_t in_ring, in_cache, counted, lost;

static int count_ring(void *ctx, uint64_t from, uint64_t to, const struct fl_partial *p, size_t n,
		      const struct fl_live_counts *counts, size_t n_counts)
{
	(void)ctx;
	(void)from;
	(void)to;
	for (size_t i = 0; i < n; i++)
		in_ring += p[i].packets;
	for (size_t i = 0; i < n_counts; i++) {
		counted += counts[i].packets;
		lost += counts[i].lost_packets;
	}
	return 0;
}

static int count_half(void *ctx, uint32_t window, uint64_t to, const struct fl_partial *p, size_t n,
		      const struct fl_live_counts *counts, size_t n_counts)
{
	uint64_t ring = in_ring;
	int r = count_ring(ctx, window, to, p, n, counts, n_counts);

	in_cache += in_ring - ring;
	in_ring = ring;
	return r;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

/* Median over the runs, in nanoseconds a packet. */
static double measure(struct fl_live *l, uint64_t conf, uint32_t flows, unsigned runs)
{
	const struct fl_live_sink sink = {.ring = count_ring, .half = count_half};
	double *ns = calloc(runs, sizeof *ns), median;
	int prog = fl_ebpf_program(l, conf);

	if (!ns || prog < 0)
		exit(1);
	for (unsigned i = 0; i < runs; i++) {
		struct __sk_buff ctx = {.mark = flows - 1};
		LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = tcp, .data_size_in = sizeof tcp - 1, .ctx_in = &ctx,
			    .ctx_size_in = sizeof ctx, .repeat = CHUNK);

		if (bpf_prog_test_run_opts(prog, &opts)) {
			perror("test run");
			exit(1);
		}
		ns[i] = opts.duration;
		if (fl_live_ebpf.drain_ring(l, &sink))
			exit(1);
	}
	qsort(ns, runs, sizeof *ns, compare);
	median = ns[runs / 2];
	free(ns);
	close(prog);
	return median;
}

int main(int argc, char **argv)
{
	static const uint32_t flows[] = {1024, 131072, 1048576};
	static const unsigned bars[] = {100, 220, 250};
	unsigned runs = (argc > 1 ? (unsigned)atoi(argv[1]) : 5) * 1000000u / CHUNK;
	struct fl_live_conf conf = {.window_ns = 1000000000000000000ull, .ring_bytes = 64u << 20};
	const struct fl_live_sink sink = {.ring = count_ring, .half = count_half};
	struct fl_live *l = NULL;
	double empty, parse, varied;
	uint64_t sent = 0;
	cpu_set_t one;
	bool reused;
	int r = fl_live_ebpf.open(&l, &conf, &reused);

	if (r) {
		fprintf(stderr, "%s\n", fl_error_text(r));
		return 1;
	}
	CPU_ZERO(&one);
	CPU_SET(1 % sysconf(_SC_NPROCESSORS_ONLN), &one);
	sched_setaffinity(0, sizeof one, &one);
	fl_live_ebpf.set_clock(l, 0, 2);
	empty = measure(l, FL_K_CONF_EMPTY, 1, runs);
	parse = measure(l, FL_K_CONF_PARSE_ONLY, 1, runs);
	varied = measure(l, FL_K_CONF_PARSE_ONLY | FL_K_CONF_VARY, 1024, runs);
	printf("empty %.0f ns, parse only %.0f, varied %.0f\n", empty, parse, varied);
	for (size_t i = 0; i < FL_ARRAY_LEN(flows); i++) {
		uint64_t before = in_ring;
		double ns = measure(l, FL_K_CONF_VARY, flows[i], runs) - (varied - parse);

		sent += (uint64_t)runs * CHUNK;
		printf("%7u flows: %.0f ns a packet with test run's own, %.0f above an empty program (bar %u), %.0f %% through "
		       "the ring\n", flows[i], ns, ns - empty, bars[i], 100.0 * (double)(in_ring - before) / runs / CHUNK);
	}
	fl_live_ebpf.drain_half(l, 2, UINT64_MAX, &sink);
	printf("%llu packets: %llu through the ring, %llu in the cache, %llu lost; counted %llu\n", (unsigned long long)sent,
	       (unsigned long long)in_ring, (unsigned long long)in_cache, (unsigned long long)lost, (unsigned long long)counted);
	fl_live_ebpf.close(&l, true);
	return in_ring + in_cache + lost == sent && counted == sent ? 0 : 1;
}
