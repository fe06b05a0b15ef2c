/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The backend for where BPF is not to be had: packet sockets with a TPACKET_V3 ring and the virtio-net header, which
 * tells segmentation offload. Two sockets an interface, one a tc direction, so that what a full ring drops is counted
 * in its own direction. PACKET_OUTGOING is what tc egress sees; everything else, frames for other hosts included, is
 * what tc ingress sees. Promiscuous mode is left as it is: we meter what the interface's stack sees.
 *
 * Differences to eBPF that stay: the taps sit behind the qdisc on egress (what it drops is not seen here) and the
 * kernel does not show multicast looped back to its sender (PACKET_LOOPBACK) to packet sockets.
 *
 * Counter rows go to the sink together with the partials they count, not with the half: a meter that is killed leaves a
 * log that adds up. drain_half therefore hands over an empty half after everything of the window was read from the
 * sockets.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/if_arp.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/mem.h"
#include "capture/afpacket_batch.h"
#include "capture/capture.h"

#define RING_BYTES_DEFAULT (8u << 20) /* an interface, both directions */
#define BLOCK_BYTES_MIN (64u << 10)
#define BLOCK_BYTES_MAX (1u << 20)
#define BLOCKS_WANTED 64 /* a quiet interface fills one each RETIRE_MS: 6.4 s without a reader lose nothing */
#define RETIRE_MS 100
/* A frame is in a readable block at most two turns of the kernel's timer after it arrived; and some for a busy machine.
 */
#define SETTLE_NS (250 * FL_NS_PER_MS)
#define HOLD_NS (50 * FL_NS_PER_MS) /* partials stay in the cache this long, so that small blocks still aggregate */
/* Headers: Ethernet, tags, IPv6 with some extension headers, TCP. Tunnels stack them. */
#define SNAP_BYTES 256
#define SNAP_BYTES_INNER 512
#define EVENTS 64
#define ROUNDS_MAX 64 /* of EVENTS sockets in one drain */

struct ring {
	struct ring *next; /* of those closing */
	int fd;
	uint8_t *map;
	size_t block_bytes;
	unsigned n_blocks, current;
	uint16_t slot;
	bool egress, ethernet;
	bool in_block; /* the sink refused in the middle of the current block */
	struct fl_afp_block block;
	uint64_t stats_mono, close_at; /* close_at 0: open */
};

struct fl_live {
	struct fl_live_conf conf;
	struct fl_clock clock;
	struct {
		struct ring *ring[2]; /* by tc direction: ingress, egress */
		uint32_t ifindex;
		struct fl_kvlans *vlans; /* NULL: none */
	} slot[FL_K_SLOTS];
	struct ring *closing;
	int epollfd;
	struct fl_afp_clock time;
	struct fl_afp_batch *batch;
	uint64_t flushed_mono;
};

static void read_clocks(struct fl_live *l)
{
	l->time.now_mono = fl_mono_ns(&l->clock);
	l->time.real_minus_mono = (int64_t)(fl_now_ns(&l->clock) - l->time.now_mono);
}

/* ---- one ring ---- */

static void ring_free(struct ring **r)
{
	if (!*r)
		return;
	if ((*r)->map)
		munmap((*r)->map, (*r)->block_bytes * (*r)->n_blocks);
	fl_closep(&(*r)->fd);
	free(*r);
	*r = NULL;
}

/* Frames of one direction, cut to their headers; snap 0: none at all. */
static int set_filter(int fd, bool egress, uint32_t snap)
{
	struct sock_filter code[] = {
	    BPF_STMT(BPF_LD | BPF_B | BPF_ABS, (uint32_t)(SKF_AD_OFF + SKF_AD_PKTTYPE)),
	    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, PACKET_OUTGOING, egress ? 0 : 1, egress ? 1 : 0),
	    BPF_STMT(BPF_RET | BPF_K, snap),
	    BPF_STMT(BPF_RET | BPF_K, 0),
	};
	struct sock_fprog program = {.len = FL_ARRAY_LEN(code), .filter = code};

	if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program))
		return fl_fail(-errno, "a packet socket's filter is refused: %m");
	return 0;
}

static int set_option(int fd, int option, int value, const char *what)
{
	if (setsockopt(fd, SOL_PACKET, option, &value, sizeof value))
		return fl_fail(-errno, "this kernel's packet sockets have no %s: %m", what);
	return 0;
}

static int map_ring(struct ring *r, uint64_t bytes)
{
	size_t block = BLOCK_BYTES_MIN;
	struct tpacket_req3 rq;

	while (block < BLOCK_BYTES_MAX && block * BLOCKS_WANTED * 2 <= bytes)
		block *= 2;
	r->block_bytes = block;
	bytes = FL_MAX(bytes / block, (uint64_t)2);
	r->n_blocks = (unsigned)FL_MIN(bytes, (uint64_t)65536);
	rq = (struct tpacket_req3){
	    .tp_block_size = (unsigned)block,
	    .tp_block_nr = r->n_blocks,
	    .tp_frame_size = 2048,
	    .tp_frame_nr = (unsigned)(block / 2048 * r->n_blocks),
	    .tp_retire_blk_tov = RETIRE_MS,
	};
	if (setsockopt(r->fd, SOL_PACKET, PACKET_RX_RING, &rq, sizeof rq))
		return fl_fail(-errno,
			       "the kernel gives no packet ring of %zu bytes: %m; a smaller afpacket ring may help",
			       block * r->n_blocks);
	r->map = mmap(NULL, block * r->n_blocks, PROT_READ | PROT_WRITE, MAP_SHARED, r->fd, 0);
	if (r->map == MAP_FAILED) {
		r->map = NULL;
		return fl_fail(-errno, "a packet ring of %zu bytes cannot be mapped: %m", block * r->n_blocks);
	}
	return 0;
}

static int configure(struct ring *r, const struct fl_live_conf *conf)
{
	int result = set_option(r->fd, PACKET_VERSION, TPACKET_V3, "TPACKET_V3 rings");

	if (!result)
		result = set_option(r->fd, PACKET_VNET_HDR, 1, "virtio-net header");
	/* Spares the clone of every frame sent; kernels before 4.20 lack it, and the filter alone decides. */
	if (!result && !r->egress)
		(void)set_option(r->fd, PACKET_IGNORE_OUTGOING, 1, "option to ignore outgoing frames");
	if (!result)
		result = set_filter(r->fd, r->egress, conf->inner ? SNAP_BYTES_INNER : SNAP_BYTES);
	if (!result)
		result = map_ring(r, (conf->afpacket_bytes ? conf->afpacket_bytes : RING_BYTES_DEFAULT) / 2);
	return result;
}

/* In the current network namespace, where the socket stays. Bound last: no frame arrives unfiltered. */
static int ring_new(struct ring **ret, const struct fl_live_conf *conf, uint16_t slot, bool egress, uint32_t ifindex,
		    bool ethernet)
{
	FL_CLEANUP(ring_free) struct ring *r = calloc(1, sizeof *r);
	struct sockaddr_ll to = {
	    .sll_family = AF_PACKET,
	    .sll_protocol = __builtin_bswap16(ETH_P_ALL),
	    .sll_ifindex = (int)ifindex,
	};
	int result;

	if (!r)
		return -ENOMEM;
	r->slot = slot;
	r->egress = egress;
	r->ethernet = ethernet;
	r->fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (r->fd < 0)
		return fl_fail(-errno, "no packet socket: %m%s", errno == EPERM ? "; CAP_NET_RAW is needed" : "");
	result = configure(r, conf);
	if (result)
		return result;
	if (bind(r->fd, (const struct sockaddr *)&to, sizeof to))
		return fl_fail(-errno, "interface %u cannot be listened to: %m", ifindex);
	*ret = r;
	r = NULL;
	return 0;
}

/* What the socket dropped since the last look. It happened after the ring was last found empty. */
static int ring_drops(struct fl_live *l, struct ring *r, const struct fl_live_sink *sink)
{
	struct tpacket_stats_v3 stats = {0};
	socklen_t n = sizeof stats;
	uint64_t when = FL_MAX(r->stats_mono, l->time.oldest_mono);
	uint32_t window = fl_afp_window_at(&l->time, FL_MIN(when, l->time.now_mono));

	r->stats_mono = l->time.now_mono;
	if (getsockopt(r->fd, SOL_PACKET, PACKET_STATISTICS, &stats, &n) || !stats.tp_drops)
		return 0;
	return fl_afp_batch_lost(l->batch, r->slot, r->egress, FL_MAX(window, l->time.first_window), stats.tp_drops,
				 sink);
}

static int read_block(struct fl_live *l, struct ring *r, void *base, const struct fl_live_sink *sink)
{
	const struct fl_afp_source source = {
	    .slot = r->slot,
	    .egress = r->egress,
	    .ethernet = r->ethernet,
	    .vlans = r->ethernet ? l->slot[r->slot].vlans : NULL,
	};
	uint32_t unreadable = 0;
	int result;

	if (!r->in_block) {
		result = fl_afp_block_open(&r->block, base, r->block_bytes);
		if (result)
			return result;
		r->in_block = true;
	}
	result = fl_afp_batch_block(l->batch, &r->block, &l->time, &source, sink, &unreadable);
	if (result)
		return result;
	r->in_block = false;
	if (!unreadable)
		return 0;
	return fl_afp_batch_lost(l->batch, r->slot, r->egress,
				 FL_MAX(fl_afp_window_at(&l->time, l->time.now_mono), l->time.first_window), unreadable,
				 sink);
}

/* Every block the kernel has handed over. Each is given back as soon as its frames are counted in our memory. */
static int ring_read(struct fl_live *l, struct ring *r, const struct fl_live_sink *sink)
{
	int result = 0;

	for (unsigned i = 0; i < r->n_blocks; i++) {
		struct tpacket_block_desc *d = (void *)(r->map + (size_t)r->current * r->block_bytes);

		if (!(__atomic_load_n(&d->hdr.bh1.block_status, __ATOMIC_ACQUIRE) & TP_STATUS_USER))
			break;
		result = read_block(l, r, d, sink);
		if (result)
			return result;
		__atomic_store_n(&d->hdr.bh1.block_status, TP_STATUS_KERNEL, __ATOMIC_RELEASE);
		r->current = r->current + 1 == r->n_blocks ? 0 : r->current + 1;
	}
	return ring_drops(l, r, sink);
}

/* ---- life ---- */

/* Two sockets an interface: the default limit of 1,024 descriptors is too small for 1,024 slots. */
static void raise_descriptor_limit(void)
{
	struct rlimit limit;

	if (!getrlimit(RLIMIT_NOFILE, &limit) && limit.rlim_cur < limit.rlim_max) {
		limit.rlim_cur = limit.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &limit);
	}
}

static void afp_close(struct fl_live **live, bool unpin)
{
	struct fl_live *l = *live;

	(void)unpin;
	if (!l)
		return;
	for (unsigned i = 0; i < FL_K_SLOTS; i++) {
		for (unsigned d = 0; d < 2; d++)
			ring_free(&l->slot[i].ring[d]);
		free(l->slot[i].vlans);
	}
	while (l->closing) {
		struct ring *r = l->closing;

		l->closing = r->next;
		ring_free(&r);
	}
	fl_afp_batch_free(&l->batch);
	fl_closep(&l->epollfd);
	free(l);
	*live = NULL;
}

static void cleanup_live(struct fl_live **l)
{
	afp_close(l, false);
}

static int afp_open(struct fl_live **ret, const struct fl_live_conf *conf, bool *ret_reused)
{
	FL_CLEANUP(cleanup_live) struct fl_live *l = NULL;
	int fd FL_CLEANUP(fl_closep) = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0), r;

	*ret_reused = false;
	if (fd < 0)
		return fl_fail(FL_LIVE_UNAVAILABLE, "packet sockets are not to be had: %m%s",
			       errno == EPERM ? "; run as root or with CAP_NET_RAW" : "");
	if (!conf->window_ns)
		return fl_fail(-EINVAL, "the window length is 0");
	l = calloc(1, sizeof *l);
	if (!l)
		return -ENOMEM;
	l->conf = *conf;
	l->clock = fl_clock_system;
	l->time.window_ns = conf->window_ns;
	l->time.first_window = 1;
	l->time.oldest_mono = fl_mono_ns(&l->clock);
	l->epollfd = epoll_create1(EPOLL_CLOEXEC);
	if (l->epollfd < 0)
		return fl_fail(-errno, "epoll: %m");
	r = fl_afp_batch_new(&l->batch, conf->cache_bits ? conf->cache_bits : FL_K_CACHE_BITS, conf->inner,
			     fl_random_seed());
	if (r)
		return r;
	raise_descriptor_limit();
	*ret = l;
	l = NULL;
	return 0;
}

static int watch(struct fl_live *l, struct ring *r)
{
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = r};

	if (epoll_ctl(l->epollfd, EPOLL_CTL_ADD, r->fd, &event))
		return fl_fail(-errno, "epoll: %m");
	return 0;
}

static int attach_here(struct fl_live *l, uint16_t slot, uint32_t ifindex, uint16_t arphrd)
{
	bool ethernet = arphrd == ARPHRD_ETHER || arphrd == ARPHRD_LOOPBACK;
	struct ring *ring[2] = {NULL};
	int r = 0;

	for (unsigned d = 0; !r && d < 2; d++) {
		r = ring_new(&ring[d], &l->conf, slot, d, ifindex, ethernet);
		if (!r)
			r = watch(l, ring[d]);
	}
	for (unsigned d = 0; d < 2; d++) {
		if (r)
			ring_free(&ring[d]);
		else
			ring[d]->stats_mono = fl_mono_ns(&l->clock);
		l->slot[slot].ring[d] = ring[d];
	}
	l->slot[slot].ifindex = ifindex;
	return r;
}

static int attach_there(struct fl_live *l, uint16_t slot, uint32_t ifindex, uint16_t arphrd, int netns_fd)
{
	int home FL_CLEANUP(fl_closep) = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC), r;

	if (home < 0)
		return fl_fail(-errno, "/proc/thread-self/ns/net: %m");
	if (setns(netns_fd, CLONE_NEWNET))
		return fl_fail(-errno, "the network namespace cannot be entered: %m%s",
			       errno == EPERM ? "; CAP_SYS_ADMIN is needed" : "");
	r = attach_here(l, slot, ifindex, arphrd);
	/* In the wrong namespace nothing that follows would be right. */
	if (setns(home, CLONE_NEWNET))
		abort();
	return r;
}

/* Frames that arrived before stay readable: the ring closes when the kernel has handed over its last block. */
static int afp_detach(struct fl_live *l, uint16_t slot)
{
	for (unsigned d = 0; d < 2; d++) {
		struct ring *r = l->slot[slot].ring[d];

		if (!r)
			continue;
		(void)set_filter(r->fd, r->egress, 0);
		r->close_at = fl_mono_ns(&l->clock) + SETTLE_NS;
		r->next = l->closing;
		l->closing = r;
		l->slot[slot].ring[d] = NULL;
	}
	l->slot[slot].ifindex = 0;
	return 0;
}

static int afp_attach(struct fl_live *l, uint16_t slot, uint32_t ifindex, uint16_t arphrd, int netns_fd)
{
	if (slot >= FL_K_SLOTS)
		return fl_fail(-EINVAL, "slot %u does not exist", slot);
	if (l->slot[slot].ring[0]) {
		int error = 0;
		socklen_t n = sizeof error;

		/* A device that vanished leaves its sockets with an error; the same number is then another device. */
		(void)getsockopt(l->slot[slot].ring[0]->fd, SOL_SOCKET, SO_ERROR, &error, &n);
		if (l->slot[slot].ifindex == ifindex && !error)
			return 0;
		afp_detach(l, slot);
	}
	return netns_fd < 0 ? attach_here(l, slot, ifindex, arphrd) : attach_there(l, slot, ifindex, arphrd, netns_fd);
}

/* The meter opens its sockets itself: nothing is passed. */
static int afp_export(struct fl_live *l, int *fds, size_t max, size_t *ret_n)
{
	(void)l;
	(void)fds;
	(void)max;
	*ret_n = 0;
	return 0;
}

static int afp_import(struct fl_live **ret, const struct fl_live_conf *conf, const int *fds, size_t n)
{
	bool reused;
	int r;

	(void)fds;
	if (n)
		return fl_fail(-EINVAL, "%zu file descriptors for packet sockets, which the meter opens itself", n);
	r = afp_open(ret, conf, &reused);
	return r > 0 ? fl_fail(-EPERM, "%s", fl_error_text(r)) : r;
}

/* ---- reading ---- */

static int afp_set_clock(struct fl_live *l, uint64_t mono_base, uint32_t window_base)
{
	fl_afp_clock_set(&l->time, mono_base, window_base);
	return 0;
}

/* Frames that wait in the ring, at most RETIRE_MS old, are judged by the new set. */
static int afp_set_vlans(struct fl_live *l, uint16_t slot, const struct fl_kvlans *vlans)
{
	static const struct fl_kvlans none;
	struct fl_kvlans **own = &l->slot[slot].vlans;

	if (!*own && !memcmp(vlans, &none, sizeof none))
		return 0;
	if (!*own)
		*own = malloc(sizeof **own);
	if (!*own)
		return -ENOMEM;
	memcpy(*own, vlans, sizeof **own);
	return 0;
}

static int afp_poll_fd(struct fl_live *l)
{
	return l->epollfd;
}

static int read_closing(struct fl_live *l, const struct fl_live_sink *sink)
{
	struct ring **at = &l->closing;

	while (*at) {
		struct ring *r = *at;
		int result = ring_read(l, r, sink);

		if (result)
			return result;
		if (l->time.now_mono < r->close_at) {
			at = &r->next;
			continue;
		}
		*at = r->next;
		ring_free(&r);
	}
	return 0;
}

/* Every ring, ready or not. After it nothing older than SETTLE_NS is in any of them. */
static int read_all(struct fl_live *l, const struct fl_live_sink *sink)
{
	uint64_t complete;
	int r = 0;

	read_clocks(l);
	complete = l->time.now_mono - FL_MIN(l->time.now_mono, SETTLE_NS);
	for (unsigned i = 0; !r && i < FL_K_SLOTS; i++)
		for (unsigned d = 0; !r && d < 2; d++)
			if (l->slot[i].ring[d])
				r = ring_read(l, l->slot[i].ring[d], sink);
	if (!r)
		r = read_closing(l, sink);
	if (!r)
		l->time.oldest_mono = FL_MAX(l->time.oldest_mono, complete);
	return r;
}

/* An interface that went down or away says so once (ENETDOWN); reading the error clears it, and the discovery tells the
 * rest. */
static void clear_error(const struct ring *r)
{
	int error;
	socklen_t n = sizeof error;

	(void)getsockopt(r->fd, SOL_SOCKET, SO_ERROR, &error, &n);
}

static int read_ready(struct fl_live *l, const struct fl_live_sink *sink)
{
	struct epoll_event events[EVENTS];
	int n = EVENTS, r = 0;
	uint64_t complete;

	read_clocks(l);
	complete = l->time.now_mono - FL_MIN(l->time.now_mono, SETTLE_NS);
	for (unsigned round = 0; !r && n == EVENTS && round < ROUNDS_MAX; round++) {
		n = epoll_wait(l->epollfd, events, EVENTS, 0);
		for (int i = 0; !r && i < n; i++) {
			r = ring_read(l, events[i].data.ptr, sink);
			if (events[i].events & (EPOLLERR | EPOLLHUP))
				clear_error(events[i].data.ptr);
		}
	}
	if (!r && l->closing)
		r = read_closing(l, sink);
	if (!r && n != EVENTS)
		l->time.oldest_mono = FL_MAX(l->time.oldest_mono, complete);
	return r;
}

static int afp_drain_ring(struct fl_live *l, const struct fl_live_sink *sink)
{
	int r;

	/* Without a clock a frame has no window; the rings hold them until there is one. */
	if (!l->time.has_row)
		return 0;
	r = read_ready(l, sink);
	if (r || l->time.now_mono - l->flushed_mono < HOLD_NS)
		return r;
	r = fl_afp_batch_flush(l->batch, sink);
	if (!r)
		l->flushed_mono = l->time.now_mono;
	return r;
}

static void sleep_until(const struct fl_live *l, uint64_t mono)
{
	uint64_t now = fl_mono_ns(&l->clock);
	struct timespec ts;

	if (now >= mono)
		return;
	ts.tv_sec = (time_t)((mono - now) / FL_NS_PER_S);
	ts.tv_nsec = (long)((mono - now) % FL_NS_PER_S);
	while (clock_nanosleep(CLOCK_MONOTONIC, 0, &ts, &ts) == EINTR)
		;
}

/*
 * The memory is ours, so no deadline can be missed. A window that has not ended half a second ago is only asked for at
 * the end of metering: then the kernel is given the time to hand over what arrived before the call.
 */
static int afp_drain_half(struct fl_live *l, uint32_t window, uint64_t deadline_mono_ns,
			  const struct fl_live_sink *sink)
{
	uint64_t end = fl_afp_window_end(&l->time, window), now = fl_mono_ns(&l->clock);
	int r;

	(void)deadline_mono_ns;
	if (!l->time.has_row)
		return fl_fail(-EINVAL, "a window is to be read before there is a clock");
	sleep_until(l, FL_MIN(now, end) + SETTLE_NS);
	r = read_all(l, sink);
	if (!r)
		r = fl_afp_batch_flush(l->batch, sink);
	if (r)
		return r;
	l->flushed_mono = l->time.now_mono;
	r = sink->half(sink->ctx, window, fl_afp_batch_position(l->batch), NULL, 0, NULL, 0);
	if (!r)
		l->time.first_window = FL_MAX(l->time.first_window, window + 1);
	return r;
}

static void afp_set_drained(struct fl_live *l, unsigned half, uint32_t window)
{
	(void)half;
	l->time.first_window = FL_MAX(l->time.first_window, window + 1);
}

static uint64_t afp_ring_position(struct fl_live *l)
{
	return fl_afp_batch_position(l->batch);
}

static void afp_set_ring_position(struct fl_live *l, uint64_t pos)
{
	fl_afp_batch_set_position(l->batch, pos);
}

static size_t afp_peek(struct fl_live *l, uint32_t window, struct fl_partial *ret, size_t max)
{
	return fl_afp_batch_peek(l->batch, window, ret, max);
}

static bool afp_verdicts(struct fl_live *l, struct fl_live_verdicts *ret)
{
	(void)l;
	*ret = (struct fl_live_verdicts){.why_not = "AF_PACKET sees packets arrive, not what becomes of them"};
	return false;
}

const struct fl_live_ops fl_live_afpacket = {
    .name = "afpacket",
    .open = afp_open,
    .attach = afp_attach,
    .detach = afp_detach,
    .export_fds = afp_export,
    .import_fds = afp_import,
    .set_clock = afp_set_clock,
    .set_vlans = afp_set_vlans,
    .poll_fd = afp_poll_fd,
    .drain_ring = afp_drain_ring,
    .drain_half = afp_drain_half,
    .set_drained = afp_set_drained,
    .ring_position = afp_ring_position,
    .set_ring_position = afp_set_ring_position,
    .peek = afp_peek,
    .verdicts = afp_verdicts,
    .close = afp_close,
};
