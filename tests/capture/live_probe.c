/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A live backend alone, without the daemon: attach, count, sum, print JSON. What the engine keeps
 * in its log the probe keeps in --state FILE, so that a probe killed at any instruction can be
 * started again and the sums must be the same.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/addr.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/units.h"
#include "bpf/shared.h"
#include "capture/capture.h"
#include "capture/ebpf.h"

#define SETTLE_NS (FL_NS_PER_S / 2)
#define INTERFACES_MAX 64
#define DROPPED_UID 65534

static const struct fl_live_ops *const backends[] = {
    &fl_live_ebpf,
    &fl_live_ebpf_clsact,
    &fl_live_afpacket,
};

enum record_type { RECORD_CLOCK = 1, RECORD_RING, RECORD_HALF };
struct record {
	uint32_t type, window;
	uint64_t from, to; /* RECORD_CLOCK: mono_base, window_base */
	uint64_t n, n_counts;
};

struct probe {
	const struct fl_live_ops *ops;
	struct fl_live_conf conf;
	struct fl_live *live;
	const char *names[INTERFACES_MAX];
	unsigned n_names;
	const char *netns, *state_path;
	struct fl_kvlans vlans; /* of every interface */
	int statefd;
	bool drop, reused, keep;
	long crash_after, sink_calls; /* die in this call of the sink, after it became durable */
	uint64_t seconds, ring_delay_ns;
	uint64_t mono_base, ring_position;
	uint32_t window_base, drained[2];
	struct fl_partial *partials;
	size_t n_partials, cap_partials;
	struct fl_live_counts *counts;
	size_t n_counts, cap_counts;
	uint64_t evicted[8], dropped; /* dropped: packets, by the packet filter */
};

static volatile sig_atomic_t stop;

static void on_signal(int signo)
{
	(void)signo;
	stop = 1;
}

static void *grow(void *p, size_t need, size_t *cap, size_t size)
{
	if (need <= *cap)
		return p;
	*cap = FL_MAX(need, *cap * 2);
	p = realloc(p, *cap * size);
	if (!p)
		abort();
	return p;
}

/* ---- what the engine does with a batch ---- */

static void keep_partials(struct probe *pr, const struct fl_partial *p, size_t n, bool ring)
{
	pr->partials = grow(pr->partials, pr->n_partials + n, &pr->cap_partials, sizeof *p);
	for (size_t i = 0; i < n; i++) {
		bool read = p[i].window <= pr->drained[p[i].window & 1];

		pr->evicted[p[i].evict & 7] += ring;
		/* Of packets that are among the flows too, or were never seen. */
		if (FL_EVICT_IS_DROP(p[i].evict)) {
			pr->dropped += p[i].packets;
			continue;
		}
		if (read && (!ring || p[i].evict == FL_EVICT_STALE))
			continue;
		pr->partials[pr->n_partials++] = p[i];
	}
}

static void keep_counts(struct probe *pr, const struct fl_live_counts *c, size_t n)
{
	pr->counts = grow(pr->counts, pr->n_counts + n, &pr->cap_counts, sizeof *c);
	for (size_t i = 0; i < n; i++)
		if (c[i].window > pr->drained[c[i].window & 1])
			pr->counts[pr->n_counts++] = c[i];
}

static void apply(struct probe *pr, const struct record *r, const struct fl_partial *p, const struct fl_live_counts *c)
{
	keep_partials(pr, p, r->n, r->type == RECORD_RING);
	keep_counts(pr, c, r->n_counts);
	if (r->type == RECORD_RING)
		pr->ring_position = r->to;
	else if (pr->drained[r->window & 1] < r->window)
		pr->drained[r->window & 1] = r->window;
}

static int log_record(struct probe *pr, const struct record *r, const struct fl_partial *p,
		      const struct fl_live_counts *c)
{
	int e = 0;

	if (pr->statefd < 0)
		return 0;
	e = fl_write_all(pr->statefd, r, sizeof *r);
	if (!e && r->n)
		e = fl_write_all(pr->statefd, p, r->n * sizeof *p);
	if (!e && r->n_counts)
		e = fl_write_all(pr->statefd, c, r->n_counts * sizeof *c);
	return e;
}

static int sink(struct probe *pr, const struct record *r, const struct fl_partial *p, const struct fl_live_counts *c)
{
	int e = log_record(pr, r, p, c);

	if (e)
		return e;
	if (pr->crash_after && ++pr->sink_calls >= pr->crash_after)
		kill(getpid(), SIGKILL);
	apply(pr, r, p, c);
	return 0;
}

static int sink_ring(void *ctx, uint64_t from, uint64_t to, const struct fl_partial *p, size_t n,
		     const struct fl_live_counts *c, size_t n_counts)
{
	struct record r = {.type = RECORD_RING, .from = from, .to = to, .n = n, .n_counts = n_counts};

	return sink(ctx, &r, p, c);
}

static int sink_half(void *ctx, uint32_t window, uint64_t ring_to, const struct fl_partial *p, size_t n,
		     const struct fl_live_counts *c, size_t n_counts)
{
	struct record r = {.type = RECORD_HALF, .window = window, .to = ring_to, .n = n, .n_counts = n_counts};

	return sink(ctx, &r, p, c);
}

/* Batches of an earlier life; a torn one at the end was not acknowledged and is cut off. */
static int replay(struct probe *pr)
{
	struct record r;
	off_t good = 0;

	while (pread(pr->statefd, &r, sizeof r, good) == sizeof r) {
		size_t bytes = r.n * sizeof(struct fl_partial), more = r.n_counts * sizeof(struct fl_live_counts);
		char *data FL_CLEANUP(fl_freep) = malloc(bytes + more + 1);

		if (r.type == RECORD_CLOCK) {
			pr->mono_base = r.from;
			pr->window_base = (uint32_t)r.to;
		} else {
			if (pread(pr->statefd, data, bytes + more, good + (off_t)sizeof r) != (ssize_t)(bytes + more))
				break;
			apply(pr, &r, (const void *)data, (const void *)(data + bytes));
		}
		good += (off_t)(sizeof r + bytes + more);
	}
	if (ftruncate(pr->statefd, good) || lseek(pr->statefd, good, SEEK_SET) != good)
		return fl_fail(-errno, "%s: %m", pr->state_path);
	return 0;
}

/* ---- life ---- */

static int start_clock(struct probe *pr)
{
	uint64_t now = fl_now_ns(&fl_clock_system), mono = fl_mono_ns(&fl_clock_system),
		 into = now % pr->conf.window_ns;
	struct record r = {.type = RECORD_CLOCK};

	if (pr->reused && pr->window_base)
		return 0;
	pr->mono_base = mono - into;
	pr->window_base = (uint32_t)(now / pr->conf.window_ns);
	r.from = pr->mono_base;
	r.to = pr->window_base;
	if (log_record(pr, &r, NULL, NULL))
		return -EIO;
	return pr->ops->set_clock(pr->live, pr->mono_base, pr->window_base);
}

static uint32_t window_at(const struct probe *pr, uint64_t mono)
{
	return pr->window_base + (uint32_t)((mono - pr->mono_base) / pr->conf.window_ns);
}

static int enter_netns(int fd)
{
	return setns(fd, CLONE_NEWNET) ? fl_fail(-errno, "setns: %m") : 0;
}

static int attach_all(struct probe *pr, struct fl_live *live)
{
	int own FL_CLEANUP(fl_closep) = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	int there FL_CLEANUP(fl_closep) = -1;
	char path[128];
	int r;

	if (pr->netns) {
		snprintf(path, sizeof path, "/run/netns/%s", pr->netns);
		there = open(path, O_RDONLY | O_CLOEXEC);
		if (there < 0)
			return fl_fail(-errno, "%s: %m", path);
	}
	for (unsigned i = 0; i < pr->n_names; i++) {
		struct ifreq ifr = {0};
		int s;

		if (there >= 0 && (r = enter_netns(there)))
			return r;
		snprintf(ifr.ifr_name, sizeof ifr.ifr_name, "%s", pr->names[i]);
		s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
		r = ioctl(s, SIOCGIFHWADDR, &ifr) ? fl_fail(-errno, "%s: %m", pr->names[i]) : 0;
		close(s);
		s = (int)if_nametoindex(pr->names[i]);
		if (there >= 0)
			enter_netns(own);
		if (!r)
			r = pr->ops->attach(live, (uint16_t)i, (uint32_t)s, ifr.ifr_hwaddr.sa_family, there);
		if (r)
			return fl_wrap(r, "attaching to %s", pr->names[i]);
	}
	return 0;
}

/* The meter's side: fds only, no privilege. */
static int become_meter(struct probe *pr, struct fl_live *privileged)
{
	int fds[64], r;
	size_t n = 0;

	r = pr->ops->export_fds(privileged, fds, FL_ARRAY_LEN(fds), &n);
	for (size_t i = 0; !r && i < n; i++)
		fds[i] = dup(fds[i]);
	if (!r)
		r = pr->ops->import_fds(&pr->live, &pr->conf, fds, n);
	return r;
}

static int run(struct probe *pr)
{
	const struct fl_live_sink s = {.ring = sink_ring, .half = sink_half, .ctx = pr};
	const uint64_t begin = fl_mono_ns(&fl_clock_system), end = begin + pr->seconds * FL_NS_PER_S;
	int r = 0;

	while (!r && !stop && (!pr->seconds || fl_mono_ns(&fl_clock_system) < end)) {
		struct pollfd fd = {.fd = pr->ops->poll_fd(pr->live), .events = POLLIN};
		uint64_t mono, window_end;
		uint32_t now;

		poll(&fd, fd.fd >= 0, 50);
		mono = fl_mono_ns(&fl_clock_system);
		now = window_at(pr, mono);
		window_end = pr->mono_base + (now - pr->window_base) * pr->conf.window_ns;
		/* Always before a half is read: what the ring holds of it would count as read already. The
		 * clock is coarse, begin may still be now. */
		if (mono >= begin + pr->ring_delay_ns)
			r = pr->ops->drain_ring(pr->live, &s);
		if (r || mono < window_end + SETTLE_NS || pr->drained[(now - 1) & 1] >= now - 1)
			continue;
		r = pr->ops->drain_half(pr->live, now - 1, window_end + pr->conf.window_ns, &s);
		if (r == -EAGAIN)
			r = 0;
	}
	return r;
}

static int finish(struct probe *pr)
{
	const struct fl_live_sink s = {.ring = sink_ring, .half = sink_half, .ctx = pr};
	uint32_t now = window_at(pr, fl_mono_ns(&fl_clock_system));
	int r = pr->ops->drain_ring(pr->live, &s);

	for (uint32_t w = now - 1; !r && w != now + 1; w++)
		r = pr->ops->drain_half(pr->live, w, UINT64_MAX, &s);
	return r;
}

/* ---- output ---- */

static int by_flow(const void *a, const void *b)
{
	const struct fl_partial *x = a, *y = b;
	int c = memcmp(x, y, offsetof(struct fl_partial, window));

	return c ? c : x->window < y->window ? -1 : x->window > y->window;
}

static size_t merge(struct fl_partial *p, size_t n)
{
	size_t kept = 0;

	if (n)
		qsort(p, n, sizeof *p, by_flow);
	for (size_t i = 0; i < n; i++) {
		struct fl_partial *last = kept ? &p[kept - 1] : NULL;

		if (!last || by_flow(last, &p[i])) {
			p[kept++] = p[i];
			continue;
		}
		last->packets += p[i].packets;
		last->bytes += p[i].bytes;
		last->tcp |= p[i].tcp;
		last->first = FL_MIN(last->first, p[i].first);
		last->last = FL_MAX(last->last, p[i].last);
	}
	return kept;
}

static void print_flow(struct fl_json *j, const struct probe *pr, const struct fl_partial *p)
{
	char text[FL_ADDR_TEXT_MAX + 1];
	struct fl_addr a;

	fl_json_object(j);
	fl_json_kstr(j, "interface", p->slot < pr->n_names ? pr->names[p->slot] : "?");
	fl_json_kstr(j, "direction", p->dirfam & FL_K_TC_EGRESS ? "egress" : "ingress");
	fl_json_ku64(j, "window", p->window);
	memcpy(a.b, p->src, 16);
	*fl_addr_print(text, &a, p->dirfam & FL_KEY_V6) = '\0';
	fl_json_kstr(j, "src", text);
	memcpy(a.b, p->dst, 16);
	*fl_addr_print(text, &a, p->dirfam & FL_KEY_V6) = '\0';
	fl_json_kstr(j, "dst", text);
	fl_json_ku64(j, "sport", p->sport);
	fl_json_ku64(j, "dport", p->dport);
	fl_json_ku64(j, "proto", p->proto);
	fl_json_ku64(j, "packets", p->packets);
	fl_json_ku64(j, "bytes", p->bytes);
	fl_json_ku64(j, "tcp", p->tcp);
	fl_json_ku64(j, "first", p->first);
	fl_json_ku64(j, "last", p->last);
	fl_json_end_object(j);
}

static void print_counts(struct fl_json *j, const struct probe *pr, const struct fl_live_counts *c)
{
	fl_json_object(j);
	fl_json_kstr(j, "interface", c->slot < pr->n_names ? pr->names[c->slot] : "?");
	fl_json_kstr(j, "direction", c->egress ? "egress" : "ingress");
	fl_json_ku64(j, "window", c->window);
	fl_json_ku64(j, "skbs", c->skbs);
	fl_json_ku64(j, "packets", c->packets);
	fl_json_ku64(j, "bytes", c->bytes);
	fl_json_ku64(j, "not_ip_packets", c->not_ip_packets);
	fl_json_ku64(j, "not_ip_bytes", c->not_ip_bytes);
	fl_json_ku64(j, "truncated_packets", c->truncated_packets);
	fl_json_ku64(j, "truncated_bytes", c->truncated_bytes);
	fl_json_ku64(j, "vlan_packets", c->vlan_packets);
	fl_json_ku64(j, "vlan_bytes", c->vlan_bytes);
	fl_json_ku64(j, "lost_packets", c->lost_packets);
	fl_json_ku64(j, "lost_bytes", c->lost_bytes);
	fl_json_end_object(j);
}

static int print(struct probe *pr)
{
	struct fl_buf buf FL_CLEANUP(fl_buf_free) = FL_BUF(1ull << 30);
	struct fl_json j = FL_JSON(&buf);
	size_t n = merge(pr->partials, pr->n_partials);

	fl_json_object(&j);
	fl_json_kstr(&j, "backend", pr->ops->name);
	fl_json_kbool(&j, "reused", pr->reused);
	fl_json_ku64(&j, "window_ns", pr->conf.window_ns);
	fl_json_ku64(&j, "mono_base", pr->mono_base);
	fl_json_ku64(&j, "window_base", pr->window_base);
	fl_json_ku64(&j, "ring_collision", pr->evicted[FL_EVICT_COLLISION]);
	fl_json_ku64(&j, "ring_stale", pr->evicted[FL_EVICT_STALE]);
	fl_json_ku64(&j, "ring_full", pr->evicted[FL_EVICT_FULL]);
	fl_json_ku64(&j, "dropped", pr->dropped);
	fl_json_key(&j, "counts");
	fl_json_array(&j);
	for (size_t i = 0; i < pr->n_counts; i++)
		print_counts(&j, pr, &pr->counts[i]);
	fl_json_end_array(&j);
	fl_json_key(&j, "flows");
	fl_json_array(&j);
	for (size_t i = 0; i < n; i++)
		print_flow(&j, pr, &pr->partials[i]);
	fl_json_end_array(&j);
	fl_json_end_object(&j);
	if (fl_json_done(&j) || fl_buf_adds(&buf, "\n"))
		return fl_fail(-ENOMEM, "the result is too large");
	return fl_write_all(STDOUT_FILENO, buf.data, buf.len);
}

/* ---- options ---- */

static int usage(void)
{
	fprintf(stderr, "usage: live_probe BACKEND IFNAME[,IFNAME...] [--netns NAME] [--window-ms "
			"N] [--seconds N]\n"
			"  [--pin NAME] [--ring BYTES] [--cache-bits N] [--afpacket-bytes N] "
			"[--inner] [--state FILE]\n"
			"  [--crash-after N] [--ring-delay-ms N] [--keep] [--drop]\n"
			"or: live_probe detach PINS\n"
			"backends:");
	for (size_t i = 0; i < FL_ARRAY_LEN(backends); i++)
		fprintf(stderr, " %s", backends[i]->name);
	fprintf(stderr, "\nRuns until --seconds have passed or SIGTERM. \"ready\" on standard "
			"error when attached.\n"
			"--keep: leave pins and programs. --drop: give up all privilege after the "
			"start (needs a backend whose "
			"meter is unprivileged).\n");
	return 2;
}

static int parse(struct probe *pr, int argc, char **argv)
{
	static const struct option options[] = {
	    {"netns", 1, NULL, 'n'},          {"window-ms", 1, NULL, 'w'},
	    {"seconds", 1, NULL, 's'},        {"pin", 1, NULL, 'p'},
	    {"ring", 1, NULL, 'r'},           {"cache-bits", 1, NULL, 'b'},
	    {"afpacket-bytes", 1, NULL, 'a'}, {"inner", 0, NULL, 'i'},
	    {"state", 1, NULL, 'f'},          {"crash-after", 1, NULL, 'c'},
	    {"keep", 0, NULL, 'k'},           {"drop", 0, NULL, 'd'},
	    {"ring-delay-ms", 1, NULL, 'D'},  {"vlan", 1, NULL, 'v'},
	    {"svlan", 1, NULL, 'V'},          {0},
	};
	int o;

	while ((o = getopt_long(argc, argv, "", options, NULL)) >= 0) {
		uint64_t v = optarg ? strtoull(optarg, NULL, 0) : 0;

		switch (o) {
		case 'n':
			pr->netns = optarg;
			break;
		case 'w':
			pr->conf.window_ns = v * FL_NS_PER_MS;
			break;
		case 's':
			pr->seconds = v;
			break;
		case 'p':
			pr->conf.pin_name = optarg;
			break;
		case 'r':
			pr->conf.ring_bytes = v;
			break;
		case 'b':
			pr->conf.cache_bits = (unsigned)v;
			break;
		case 'a':
			pr->conf.afpacket_bytes = v;
			break;
		case 'i':
			pr->conf.inner = true;
			break;
		case 'f':
			pr->state_path = optarg;
			break;
		case 'c':
			pr->crash_after = (long)v;
			break;
		case 'k':
			pr->keep = true;
			break;
		case 'd':
			pr->drop = true;
			break;
		case 'D':
			pr->ring_delay_ns = v * FL_NS_PER_MS;
			break;
		case 'v':
		case 'V':
			pr->vlans.id[o == 'V'][(v & 0xfff) / 64] |= 1ull << v % 64;
			break;
		default:
			return -EINVAL;
		}
	}
	if (argc - optind != 2 || pr->conf.window_ns <= SETTLE_NS)
		return -EINVAL;
	for (size_t i = 0; i < FL_ARRAY_LEN(backends); i++)
		if (!strcmp(backends[i]->name, argv[optind]))
			pr->ops = backends[i];
	for (char *t = strtok(argv[optind + 1], ","); t && pr->n_names < INTERFACES_MAX; t = strtok(NULL, ","))
		pr->names[pr->n_names++] = t;
	return pr->ops ? 0 : -EINVAL;
}

/* Everything between opening and the last detach. */
static int meter(struct probe *pr, struct fl_live *privileged)
{
	int r = 0;

	pr->live = privileged;
	if (pr->drop)
		r = become_meter(pr, privileged);
	if (!r && pr->reused && pr->ring_position > pr->ops->ring_position(pr->live))
		pr->ops->set_ring_position(pr->live, pr->ring_position);
	for (unsigned half = 0; !r && pr->reused && half < 2; half++)
		if (pr->drained[half])
			pr->ops->set_drained(pr->live, half, pr->drained[half]);
	if (!r)
		r = start_clock(pr);
	for (unsigned i = 0; !r && i < pr->n_names; i++)
		r = pr->ops->set_vlans(pr->live, (uint16_t)i, &pr->vlans);
	if (!r)
		r = attach_all(pr, privileged);
	if (!r && pr->drop && (setresgid(DROPPED_UID, DROPPED_UID, 0) || setresuid(DROPPED_UID, DROPPED_UID, 0)))
		r = fl_fail(-errno, "giving up privilege: %m");
	if (r)
		return r;
	fprintf(stderr, "ready\n");
	r = run(pr);
	/* Detaching needs the privilege back: the saved user id plays the supervisor. */
	if (pr->drop && (setresuid(0, 0, 0) || setresgid(0, 0, 0)))
		return fl_fail(-errno, "taking privilege back: %m");
	for (unsigned i = 0; !r && !pr->keep && i < pr->n_names; i++)
		r = pr->ops->detach(privileged, (uint16_t)i);
	if (pr->drop && (setresgid(DROPPED_UID, DROPPED_UID, 0) || setresuid(DROPPED_UID, DROPPED_UID, 0)))
		return fl_fail(-errno, "giving up privilege: %m");
	if (!r)
		r = finish(pr);
	if (pr->drop && (setresuid(0, 0, 0) || setresgid(0, 0, 0)))
		return fl_fail(-errno, "taking privilege back: %m");
	return r;
}

int main(int argc, char **argv)
{
	struct probe pr = {.statefd = -1,
			   .conf = {.window_ns = FL_NS_PER_S, .ring_bytes = 16u << 20, .afpacket_bytes = 16u << 20}};
	struct sigaction sa = {.sa_handler = on_signal};
	struct fl_live *privileged = NULL;
	int r;

	if (argc == 3 && !strcmp(argv[1], "detach")) {
		r = fl_live_detach_pins(argv[2]);
		if (r < 0)
			fprintf(stderr, "live_probe: %s\n", fl_error_text(r));
		else
			printf("%d\n", r);
		return r < 0;
	}
	r = parse(&pr, argc, argv);
	if (r)
		return usage();
	sigaction(SIGTERM, &sa, NULL);
	sigaction(SIGINT, &sa, NULL);
	if (pr.state_path) {
		pr.statefd = open(pr.state_path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
		r = pr.statefd < 0 ? fl_fail(-errno, "%s: %m", pr.state_path) : replay(&pr);
	}
	if (!r)
		r = pr.ops->open(&privileged, &pr.conf, &pr.reused);
	if (r == FL_LIVE_UNAVAILABLE) {
		fprintf(stderr, "live_probe: unavailable: %s\n", fl_error_text(r));
		return 77;
	}
	if (!r)
		r = meter(&pr, privileged);
	if (r)
		fprintf(stderr, "live_probe: %s\n", fl_error_text(r));
	if (pr.live && pr.live != privileged)
		pr.ops->close(&pr.live, false);
	if (privileged)
		pr.ops->close(&privileged, !pr.keep);
	if (!r)
		r = print(&pr);
	free(pr.partials);
	free(pr.counts);
	fl_closep(&pr.statefd);
	return r ? 1 : 0;
}
