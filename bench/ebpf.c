/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Nanoseconds a packet of the tc program, beside an empty one: BPF_PROG_TEST_RUN repeats a packet
 * whose destination the program varies, and the ring is read between the runs, outside the time
 * that counts. The cost of varying is measured and taken off. usage: bench_ebpf [MILLION_PACKETS]
 * "bench_ebpf veth [MILLION_PACKETS]": the same on real packets, through a cable in a network
 * namespace of its own; the kernel's run time statistics of the metering program beside those of an
 * empty one at the other end.
 */
#include <net/if.h>
#include <netpacket/packet.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/bpf.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/mem.h"
#include "capture/ebpf.h"

#define CHUNK 50000 /* packets of one test run: fewer than a ring holds */

static const uint8_t tcp[] = "\2\0\0\0\0\1\2\0\0\0\0\2\x08\0\x45\0\0\x2e\0\7\0\0\x40\6\0\0\12\0\0\1\12\0\0\2"
			     "\xc3\x50\0\x50\0\0\0\1\0\0\0\0\x50\x10\0\0\0\0\0\0pload";

static uint64_t in_ring, in_cache, entries, counted, lost;

static int count_ring(void *ctx, uint64_t from, uint64_t to, const struct fl_partial *p, size_t n,
		      const struct fl_live_counts *counts, size_t n_counts)
{
	(void)ctx;
	(void)from;
	(void)to;
	entries += n;
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

/* ---- real packets ---- */

#define MESSAGES 64

struct frame {
	uint8_t eth[14], ip[20], udp[8], data[18];
};

static int open_socket(const char *dev)
{
	struct sockaddr_ll to = {.sll_family = AF_PACKET, .sll_ifindex = (int)if_nametoindex(dev)};
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);

	return fd < 0 || bind(fd, (struct sockaddr *)&to, sizeof to) ? -1 : fd;
}

/* Datagrams to `flows` destinations in a random order; the ring is read in between. */
static void send_packets(struct fl_live *l, int fd, uint32_t flows, uint64_t packets)
{
	const struct fl_live_sink sink = {.ring = count_ring, .half = count_half};
	static const struct frame model = {
	    .eth = {2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0},
	    .ip = {0x45, 0, 0, 46, 0, 7, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2},
	    .udp = {0xc3, 0x50, 0, 80, 0, 26, 0, 0},
	};
	struct frame frames[MESSAGES];
	struct iovec iov[MESSAGES];
	struct mmsghdr messages[MESSAGES] = {0};
	uint64_t state = 1;

	for (unsigned i = 0; i < MESSAGES; i++) {
		frames[i] = model;
		iov[i] = (struct iovec){&frames[i], sizeof frames[i]};
		messages[i].msg_hdr.msg_iov = &iov[i];
		messages[i].msg_hdr.msg_iovlen = 1;
	}
	for (uint64_t sent = 0; sent < packets; sent += MESSAGES) {
		for (unsigned i = 0; i < MESSAGES; i++) {
			uint32_t v;

			state = state * 6364136223846793005ull + 1442695040888963407ull;
			v = (uint32_t)(state >> 33) & (flows - 1);
			memcpy(frames[i].ip + 16, &v, sizeof v);
		}
		if (sendmmsg(fd, messages, MESSAGES, 0) != MESSAGES) {
			perror("sendmmsg");
			exit(1);
		}
		if (sent % 16384 == 0)
			fl_live_ebpf.drain_ring(l, &sink);
	}
	fl_live_ebpf.drain_ring(l, &sink);
}

/* Run time statistics summed over the loaded programs of this process that ran: by name. */
static void read_stats(int fd, uint64_t *ret_ns, uint64_t *ret_n)
{
	struct bpf_prog_info info = {0};
	uint32_t size = sizeof info;

	bpf_obj_get_info_by_fd(fd, &info, &size);
	*ret_ns = info.run_time_ns;
	*ret_n = info.run_cnt;
}

static int attached_program(uint32_t ifindex)
{
	/* The metering program on egress: the newest of its name that is not ours. */
	int best = -1;

	for (uint32_t id = 0; !bpf_prog_get_next_id(id, &id);) {
		struct bpf_prog_info info = {0};
		uint32_t size = sizeof info;
		int fd = bpf_prog_get_fd_by_id(id);

		if (fd >= 0 && !bpf_obj_get_info_by_fd(fd, &info, &size) && !strcmp(info.name, "fl_meter")) {
			fl_closep(&best);
			best = fd;
		} else {
			fl_closep(&fd);
		}
	}
	(void)ifindex;
	return best;
}

static int bench_veth(struct fl_live *l, uint64_t packets)
{
	static const uint32_t flows[] = {1024, 131072, 1048576};
	static const unsigned bars[] = {100, 220, 250};
	LIBBPF_OPTS(bpf_link_create_opts, opts);
	int empty, meter, fd, stats;

	if (unshare(CLONE_NEWNET) ||
	    system("ip link add va type veth peer name vb && ip link set va up && ip link set vb up"))
		return 1;
	if (fl_live_ebpf.attach(l, 0, if_nametoindex("va"), 1, -1))
		return 1;
	meter = attached_program(if_nametoindex("va")); /* egress is attached last */
	empty = fl_ebpf_program(l, FL_K_CONF_EMPTY);
	if (bpf_link_create(empty, (int)if_nametoindex("vb"), (enum bpf_attach_type)46, &opts) < 0)
		return 1;
	fd = open_socket("va");
	stats = bpf_enable_stats(BPF_STATS_RUN_TIME);
	for (size_t i = 0; i < FL_ARRAY_LEN(flows); i++) {
		uint64_t ns[4], n[4], before = entries;

		read_stats(meter, &ns[0], &n[0]);
		read_stats(empty, &ns[1], &n[1]);
		send_packets(l, fd, flows[i], packets);
		read_stats(meter, &ns[2], &n[2]);
		read_stats(empty, &ns[3], &n[3]);
		if (n[2] - n[0] < packets || n[2] - n[0] > packets + 1000) {
			fprintf(stderr, "another process loaded programs meanwhile; try again\n");
			fl_live_ebpf.close(&l, true);
			return 1;
		}
		printf("%7u flows: %.0f ns a packet, empty program %.0f, difference %.0f (bar %u), "
		       "%.0f %% evict another\n",
		       flows[i], (double)(ns[2] - ns[0]) / (double)(n[2] - n[0]),
		       (double)(ns[3] - ns[1]) / (double)(n[3] - n[1]),
		       (double)(ns[2] - ns[0]) / (double)(n[2] - n[0]) -
			   (double)(ns[3] - ns[1]) / (double)(n[3] - n[1]),
		       bars[i], 100.0 * (double)(entries - before) / (double)packets);
	}
	close(stats);
	close(fd);
	fl_live_ebpf.close(&l, true);
	return 0;
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
	uint64_t sent = 0, start;
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
	if (argc > 1 && !strcmp(argv[1], "veth"))
		return bench_veth(l, (argc > 2 ? (uint64_t)atoi(argv[2]) : 3) * 1000000 / MESSAGES * MESSAGES);
	start = fl_mono_ns(&fl_clock_system);
	for (unsigned i = 0; i < 20; i++)
		close(fl_ebpf_program(l, i));
	printf("a copy of the program is loaded in %.1f ms\n", (double)(fl_mono_ns(&fl_clock_system) - start) / 20e6);
	empty = measure(l, FL_K_CONF_EMPTY, 1, runs);
	parse = measure(l, FL_K_CONF_PARSE_ONLY, 1, runs);
	varied = measure(l, FL_K_CONF_PARSE_ONLY | FL_K_CONF_VARY, 1024, runs);
	printf("empty %.0f ns, parse only %.0f, varied %.0f\n", empty, parse, varied);
	for (size_t i = 0; i < FL_ARRAY_LEN(flows); i++) {
		uint64_t before = entries;
		double ns = measure(l, FL_K_CONF_VARY, flows[i], runs) - (varied - parse);

		sent += (uint64_t)runs * CHUNK;
		printf("%7u flows: %.0f ns a packet with test run's own, %.0f above an empty "
		       "program (bar %u), %.0f %% evict "
		       "another\n",
		       flows[i], ns, ns - empty, bars[i], 100.0 * (double)(entries - before) / runs / CHUNK);
	}
	fl_live_ebpf.drain_half(l, 2, UINT64_MAX, &sink);
	printf("%llu packets: %llu through the ring, %llu in the cache, %llu lost; counted %llu\n",
	       (unsigned long long)sent, (unsigned long long)in_ring, (unsigned long long)in_cache,
	       (unsigned long long)lost, (unsigned long long)counted);
	fl_live_ebpf.close(&l, true);
	return in_ring + in_cache + lost == sent && counted == sent ? 0 : 1;
}
