/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two ends of bench/live.py, each run inside a network namespace:
 *   bench_live blast DEVICE FLOWS SECONDS   60-byte UDP frames as fast as one core sends them; prints how many went out
 *   bench_live meter BACKEND DEVICE         meters until SIGTERM with a sink that only adds; prints packets, losses,
 * CPU and without any network, what packet sockets cost in user space once the kernel has filled a ring of 4 MiB:
 *   bench_live feed FLOWS                   nanoseconds a packet, the least of 15 runs
 */
#include <errno.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/mem.h"
#include "bpf/shared.h"
#include "capture/afpacket_batch.h"
#include "capture/capture.h"

#define BATCH 64
#define BLOCK_BYTES 65536u
#define BLOCKS 64u
#define FEED_RUNS 15
#define FEED_ROUNDS 8 /* of the ring in a run: about 20 ms */
#define WINDOW_NS FL_NS_PER_S
#define SETTLE_NS (FL_NS_PER_S / 2)

static volatile sig_atomic_t stop;

static void on_signal(int signo)
{
	(void)signo;
	stop = 1;
}

static const uint8_t head[] = "\2\0\0\0\0\1\2\0\0\0\0\2\x08\0\x45\0\0\x2e\0\0\x40\0\x40\x11\0\0\12\115\0\1\12\115\0\2";

/* ---- feed ---- */

static int drop(void *ctx, uint64_t from, uint64_t to, const struct fl_partial *p, size_t n,
		const struct fl_live_counts *c, size_t n_counts)
{
	*(uint64_t *)ctx += n;
	return 0;
}

/* Laid out as af_packet.c does. Returns the number of frames. */
static unsigned fill_block(uint8_t *block, unsigned flows)
{
	struct tpacket_block_desc *d = (void *)block;
	uint32_t at = sizeof *d;

	d->hdr.bh1.offset_to_first_pkt = at;
	while (at + 256 < BLOCK_BYTES) {
		struct tpacket3_hdr *h = (void *)(block + at);
		uint32_t flow = (uint32_t)rand() % flows;

		h->tp_sec = 4;
		h->tp_snaplen = h->tp_len = 60;
		h->tp_net = TPACKET_ALIGN(TPACKET3_HDRLEN + 16) + FL_AFP_VNET_BYTES;
		h->tp_mac = (uint16_t)(h->tp_net - 14);
		h->tp_next_offset = (h->tp_mac + 60u + 7) & ~7u;
		memcpy(block + at + h->tp_mac, head, sizeof head - 1);
		memcpy(block + at + h->tp_mac + 34, &flow, 4);
		at += h->tp_next_offset;
		d->hdr.bh1.num_pkts++;
		d->hdr.bh1.blk_len = at;
	}
	return d->hdr.bh1.num_pkts;
}

static uint64_t cpu_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * FL_NS_PER_S + (uint64_t)ts.tv_nsec;
}

static int feed(unsigned flows)
{
	uint8_t *ring = fl_map_alloc(BLOCKS * BLOCK_BYTES);
	struct fl_afp_clock clock = {.window_ns = 60 * FL_NS_PER_S, .now_mono = 10 * FL_NS_PER_S, .first_window = 1};
	struct fl_afp_batch *batch = NULL;
	uint64_t frames = 0, partials = 0, best = UINT64_MAX;
	const struct fl_live_sink sink = {.ring = drop, .ctx = &partials};

	if (!flows || !ring || fl_afp_batch_new(&batch, FL_K_CACHE_BITS, false, 77))
		return 1;
	for (unsigned i = 0; i < BLOCKS; i++)
		frames += fill_block(ring + i * BLOCK_BYTES, flows);
	fl_afp_clock_set(&clock, 0, 5);
	for (unsigned run = 0; run < FEED_RUNS; run++) {
		uint64_t start = cpu_ns();

		for (unsigned i = 0; i < FEED_ROUNDS * BLOCKS; i++) {
			struct fl_afp_block block;
			uint32_t unreadable;

			if (fl_afp_block_open(&block, ring + i % BLOCKS * BLOCK_BYTES, BLOCK_BYTES) ||
			    fl_afp_batch_block(batch, &block, &clock, 1, false, true, &sink, &unreadable))
				return 1;
			if (i % BLOCKS == BLOCKS - 1 && fl_afp_batch_flush(batch, &sink))
				return 1;
		}
		start = cpu_ns() - start;
		best = FL_MIN(best, start);
	}
	printf("feed, %u flows: %.1f ns/packet, %.1f packets a partial\n", flows,
	       (double)best / (double)(FEED_ROUNDS * frames),
	       (double)(FEED_RUNS * FEED_ROUNDS * frames) / (double)partials);
	fl_afp_batch_free(&batch);
	fl_map_free(ring, BLOCKS * BLOCK_BYTES);
	return 0;
}

/* ---- blast ---- */

static int blast(const char *device, unsigned flows, double seconds)
{
	static uint8_t frame[BATCH][60];
	struct sockaddr_ll to = {.sll_family = AF_PACKET, .sll_ifindex = (int)if_nametoindex(device)};
	struct mmsghdr message[BATCH] = {0};
	struct iovec iov[BATCH];
	int fd = socket(AF_PACKET, SOCK_RAW, 0);
	uint64_t end = fl_mono_ns(&fl_clock_system) + (uint64_t)(seconds * 1e9), sent = 0;
	uint32_t flow = 0;

	for (unsigned i = 0; i < BATCH; i++) {
		memcpy(frame[i], head, sizeof head - 1);
		frame[i][39] = 26; /* UDP length */
		iov[i] = (struct iovec){.iov_base = frame[i], .iov_len = sizeof frame[i]};
		message[i].msg_hdr =
		    (struct msghdr){.msg_name = &to, .msg_namelen = sizeof to, .msg_iov = &iov[i], .msg_iovlen = 1};
	}
	while (fl_mono_ns(&fl_clock_system) < end) {
		int n;

		for (unsigned i = 0; i < BATCH; i++) {
			flow = flow + 1 >= flows ? 0 : flow + 1;
			memcpy(&frame[i][34], &flow, 4);
		}
		n = sendmmsg(fd, message, BATCH, 0);
		if (n < 0 && errno != ENOBUFS) {
			perror("sendmmsg");
			return 1;
		}
		sent += n > 0 ? (uint64_t)n : 0;
	}
	printf("{\"sent\": %llu}\n", (unsigned long long)sent);
	return 0;
}

/* ---- meter ---- */

struct sums {
	uint64_t partials, in_partials, skbs, packets, lost, not_ip;
	uint32_t drained[2];
};

static int take(void *ctx, uint64_t from, uint64_t to, const struct fl_partial *p, size_t n,
		const struct fl_live_counts *c, size_t n_counts)
{
	struct sums *s = ctx;

	(void)from;
	(void)to;
	s->partials += n;
	for (size_t i = 0; i < n; i++)
		s->in_partials += p[i].packets;
	for (size_t i = 0; i < n_counts; i++) {
		s->skbs += c[i].skbs;
		s->packets += c[i].packets;
		s->lost += c[i].lost_packets;
		s->not_ip += c[i].not_ip_packets;
	}
	return 0;
}

static int take_half(void *ctx, uint32_t window, uint64_t to, const struct fl_partial *p, size_t n,
		     const struct fl_live_counts *c, size_t n_counts)
{
	struct sums *s = ctx;
	/* Slots of windows that were read before stay in the cache until a packet needs them. */
	uint32_t drained = s->drained[window & 1];

	s->drained[window & 1] = window;
	for (size_t i = 0; i < n; i++)
		if (p[i].window > drained)
			take(ctx, 0, to, &p[i], 1, NULL, 0);
	for (size_t i = 0; i < n_counts; i++)
		if (c[i].window > drained)
			take(ctx, 0, to, NULL, 0, &c[i], 1);
	return 0;
}

static int meter_loop(const struct fl_live_ops *ops, struct fl_live *live, struct sums *sums)
{
	const struct fl_live_sink sink = {.ring = take, .half = take_half, .ctx = sums};
	uint64_t base = fl_mono_ns(&fl_clock_system), now;
	uint32_t window = 1000;
	int r = ops->set_clock(live, base, window);

	fprintf(stderr, "ready\n");
	while (!r && !stop) {
		struct pollfd fd = {.fd = ops->poll_fd(live), .events = POLLIN};

		poll(&fd, fd.fd >= 0, 50);
		r = ops->drain_ring(live, &sink);
		now = fl_mono_ns(&fl_clock_system);
		if (r || now < base + WINDOW_NS + SETTLE_NS)
			continue;
		r = ops->drain_half(live, window, base + 2 * WINDOW_NS, &sink);
		/* A half that could not be read in time comes through the ring or with the next one of its parity. */
		if (r == -EAGAIN)
			r = 0;
		window++;
		base += WINDOW_NS;
	}
	ops->detach(live, 0);
	if (!r)
		r = ops->drain_ring(live, &sink);
	now = window + (uint32_t)((fl_mono_ns(&fl_clock_system) - base) / WINDOW_NS);
	for (uint32_t w = (uint32_t)now - 1; !r && w != now + 1; w++)
		r = ops->drain_half(live, w, UINT64_MAX, &sink);
	return r;
}

static int meter(const char *backend, const char *device)
{
	static const struct fl_live_ops *const all[] = {&fl_live_ebpf, &fl_live_afpacket};
	struct fl_live_conf conf = {.ring_bytes = 64u << 20, .afpacket_bytes = 0, .window_ns = WINDOW_NS};
	const struct fl_live_ops *ops = NULL;
	struct fl_live *live = NULL;
	struct sums sums = {0};
	struct rusage u;
	bool reused;
	int r;

	for (size_t i = 0; i < FL_ARRAY_LEN(all); i++)
		if (!strcmp(all[i]->name, backend))
			ops = all[i];
	if (!ops)
		return 2;
	signal(SIGTERM, on_signal);
	r = ops->open(&live, &conf, &reused);
	if (!r)
		r = ops->attach(live, 0, if_nametoindex(device), ARPHRD_ETHER, -1);
	if (!r)
		r = meter_loop(ops, live, &sums);
	if (r) {
		fprintf(stderr, "bench_live: %s\n", fl_error_text(r));
		return 1;
	}
	getrusage(RUSAGE_SELF, &u);
	printf("{\"packets\": %llu, \"recorded\": %llu, \"lost\": %llu, \"not_ip\": %llu, \"partials\": %llu, "
	       "\"user_ns\": %llu, \"sys_ns\": %llu}\n",
	       (unsigned long long)sums.packets, (unsigned long long)sums.in_partials, (unsigned long long)sums.lost,
	       (unsigned long long)sums.not_ip, (unsigned long long)sums.partials,
	       u.ru_utime.tv_sec * 1000000000ull + (unsigned long long)u.ru_utime.tv_usec * 1000,
	       u.ru_stime.tv_sec * 1000000000ull + (unsigned long long)u.ru_stime.tv_usec * 1000);
	ops->close(&live, true);
	return 0;
}

/* ---- empty ---- */

#define TCX_INGRESS 46
#define TCX_EGRESS 47

static int empty(const char *device)
{
	static const struct bpf_insn insns[] = {
	    {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = -1}, /* TCX_NEXT */
	    {.code = BPF_JMP | BPF_EXIT},
	};
	int prog = bpf_prog_load(BPF_PROG_TYPE_SCHED_CLS, "empty", "GPL", insns, FL_ARRAY_LEN(insns), NULL);
	int in = bpf_link_create(prog, (int)if_nametoindex(device), (enum bpf_attach_type)TCX_INGRESS, NULL);
	int out = bpf_link_create(prog, (int)if_nametoindex(device), (enum bpf_attach_type)TCX_EGRESS, NULL);

	if (prog < 0 || in < 0 || out < 0) {
		perror("bench_live: empty");
		return 1;
	}
	signal(SIGTERM, on_signal);
	fprintf(stderr, "ready\n");
	while (!stop)
		pause();
	printf("{}\n");
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 5 && !strcmp(argv[1], "blast"))
		return blast(argv[2], (unsigned)atoi(argv[3]), atof(argv[4]));
	if (argc == 4 && !strcmp(argv[1], "meter"))
		return meter(argv[2], argv[3]);
	if (argc == 3 && !strcmp(argv[1], "empty"))
		return empty(argv[2]);
	if (argc == 3 && !strcmp(argv[1], "feed"))
		return feed((unsigned)atoi(argv[2]));
	fprintf(stderr,
		"usage: bench_live feed FLOWS | blast DEVICE FLOWS SECONDS | meter BACKEND DEVICE | empty DEVICE\n");
	return 2;
}
