/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `flowlog demo`: two hosts in network namespaces of a user namespace, traffic between them, and the daemon's own
 * engine and journal metering the server's interface through packet sockets. Beside the records stands the truth: what
 * the client knows it did and what the interface counted.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/if_arp.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/mem.h"
#include "daemon/daemon.h"
#include "daemon/demo.h"
#include "daemon/engine.h"
#include "record/record.h"

#define WINDOW_NS (2 * FL_NS_PER_S)
#define TICK_MS 50
#define SETTLE_TICKS 6 /* after the client is done: the last segments of closing connections */
#define ETHERNET_BYTES 14
#define SCAN_SHOWN 3

struct conf {
	bool all;
};

/* What the records say, by what they are about. */
struct told {
	struct fl_count dir[FL_DIR_N];
	struct fl_count web, datagrams, echoes;
	uint64_t probed, records, hidden;
};

struct demo {
	const struct conf *conf;
	struct fl_demo_net net;
	pid_t server, client;
	int client_fd;
	char dir[64];
	int dirfd, journalfd;
	struct fl_live *live;
	struct fl_journal *journal;
	struct fl_engine *engine;
	struct fl_eni eni;
	struct fl_demo_truth truth;
	struct fl_count before[FL_DIR_N], after[FL_DIR_N];
	struct fl_ledger ledger[FL_DIR_N];
	struct told told;
};

/* ---- hosts ---- */

/* A child that dies with us; in it, the return value is 0. */
static pid_t child(void)
{
	pid_t parent = getpid(), pid;

	fflush(NULL);
	pid = fork();
	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	return 0;
}

static int start_server(struct demo *d)
{
	int ready[2], go[2];
	char path[64], byte;
	int r;

	if (pipe2(ready, O_CLOEXEC) || pipe2(go, O_CLOEXEC))
		return fl_fail(-errno, "pipe: %m");
	d->server = child();
	if (!d->server) {
		/* The namespace first, then the cable is laid, then the ports are opened. */
		if (unshare(CLONE_NEWNET) || write(ready[1], "n", 1) != 1 || read(go[0], &byte, 1) != 1)
			_exit(1);
		_exit(fl_demo_serve(ready[1]) ? 1 : 0);
	}
	close(ready[1]);
	close(go[0]);
	if (d->server < 0 || read(ready[0], &byte, 1) != 1)
		return fl_fail(-EIO, "the demo's second host could not be made");
	snprintf(path, sizeof path, "/proc/%d/ns/net", d->server);
	d->net.server_ns = open(path, O_RDONLY | O_CLOEXEC);
	if (d->net.server_ns < 0)
		return fl_fail(-errno, "%s: %m", path);
	r = fl_demo_cable(&d->net);
	if (r)
		return fl_wrap(r, "the demo's cable");
	if (write(go[1], "g", 1) != 1 || read(ready[0], &byte, 1) != 1)
		return fl_fail(-EIO, "the demo's server did not start");
	close(ready[0]);
	close(go[1]);
	return 0;
}

static int start_client(struct demo *d)
{
	int fd[2];

	if (pipe2(fd, O_CLOEXEC))
		return fl_fail(-errno, "pipe: %m");
	d->client = child();
	if (!d->client) {
		struct fl_demo_truth truth = {0};
		int r = fl_demo_visit(&truth);

		if (r)
			fprintf(stderr, "flowlog: %s\n", fl_error_text(r));
		_exit(r || fl_write_all(fd[1], &truth, sizeof truth) ? 1 : 0);
	}
	close(fd[1]);
	d->client_fd = fd[0];
	return d->client < 0 ? fl_fail(-errno, "fork: %m") : 0;
}

/* ---- metering ---- */

static int open_engine(struct demo *d)
{
	struct fl_live_conf lc = {.window_ns = WINDOW_NS};
	struct fl_journal_conf jc = {.quota_bytes = 16u << 20};
	struct fl_engine_conf ec = {
	    .ops = &fl_live_afpacket,
	    .clock = fl_clock_system,
	    .window_ns = WINDOW_NS,
	    .memory_limit = 64u << 20,
	    .seed = fl_random_seed(),
	};
	const char *tmp = getenv("TMPDIR");
	bool reused;
	int r;

	snprintf(d->dir, sizeof d->dir, "%.40s/flowlog-demo-XXXXXX", tmp && strlen(tmp) <= 40 ? tmp : "/tmp");
	if (!mkdtemp(d->dir))
		return fl_fail(-errno, "%s: %m", d->dir);
	d->dirfd = open(d->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	r = fl_mkdirs(d->dirfd, "journal", 0700);
	if (r)
		return r;
	d->journalfd = openat(d->dirfd, "journal", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	r = fl_journal_open(&d->journal, d->journalfd, &jc);
	if (!r)
		r = fl_live_afpacket.open(&d->live, &lc, &reused);
	if (r)
		return r > 0 ? fl_fail(-EPERM, "%s", fl_error_text(r)) : r;
	ec.shmfd = d->dirfd;
	ec.journal = d->journal;
	ec.live = d->live;
	return fl_engine_new(&d->engine, &ec);
}

static int attach(struct demo *d)
{
	struct fl_identity_conf identity;
	bool known;
	int slot, r;

	fl_identity_defaults(&identity);
	fl_eni_for_capture(&identity, "server", &d->eni);
	snprintf(d->eni.kind, sizeof d->eni.kind, "demo");
	d->eni.ifindex = d->net.server_ifindex;
	slot = fl_engine_slot(d->engine, &d->eni, &known);
	if (slot < 0)
		return slot;
	r = fl_engine_attached(d->engine, (uint16_t)slot, &d->eni);
	if (!r)
		r = fl_live_afpacket.attach(d->live, (uint16_t)slot, d->net.server_ifindex, ARPHRD_ETHER,
					    d->net.server_ns);
	return r;
}

static int meter_traffic(struct demo *d)
{
	struct pollfd fd = {.fd = d->client_fd, .events = POLLIN};
	unsigned after = 0;
	int r = 0;

	while (!r && after < SETTLE_TICKS) {
		if (!after && poll(&fd, 1, TICK_MS) > 0) {
			if (read(d->client_fd, &d->truth, sizeof d->truth) != sizeof d->truth)
				return fl_fail(-EIO, "the demo's client failed");
			after = 1;
		} else if (after) {
			usleep(TICK_MS * 1000);
			after++;
		}
		r = fl_engine_tick(d->engine);
		if (r == FL_ENGINE_RETRY)
			r = fl_fail(-EIO, "%s", fl_engine_trouble(d->engine));
	}
	if (!r)
		r = fl_demo_counters(&d->net, d->after);
	return r ? r : fl_engine_finish(d->engine);
}

static int measure(struct demo *d)
{
	int r = start_server(d);

	if (!r)
		r = open_engine(d);
	if (!r)
		r = fl_demo_counters(&d->net, d->before);
	if (!r)
		r = attach(d);
	if (!r)
		r = start_client(d);
	return r ? r : meter_traffic(d);
}

/* ---- telling ---- */

static void add(struct fl_count *sum, const struct fl_flow *f)
{
	sum->packets += f->packets;
	sum->bytes += f->bytes;
}

static bool is_scan_port(uint16_t port)
{
	return port >= FL_DEMO_SCAN_FIRST && port < FL_DEMO_SCAN_FIRST + FL_DEMO_SCAN_PORTS;
}

/* false: one of the many that a person need not see. */
static bool classify(struct told *t, const struct fl_flow *f)
{
	const struct fl_key *k = &f->key;
	enum fl_dir dir = fl_key_dir(k);

	add(&t->dir[dir], f);
	t->records++;
	if (k->proto == IPPROTO_TCP && is_scan_port(dir == FL_DIR_INGRESS ? k->dport : k->sport)) {
		t->probed += dir == FL_DIR_INGRESS;
		return t->probed <= SCAN_SHOWN && dir == FL_DIR_INGRESS;
	}
	if (k->proto == IPPROTO_TCP && k->sport == FL_DEMO_WEB_PORT)
		add(&t->web, f);
	if (k->proto == IPPROTO_UDP && k->dport == FL_DEMO_UDP_PORT)
		add(&t->datagrams, f);
	if (k->proto == IPPROTO_ICMP && dir == FL_DIR_INGRESS)
		add(&t->echoes, f);
	return true;
}

static int tell_frame(struct demo *d, const struct fl_frame *frame, struct fl_encoder *encoder, struct fl_buf *out)
{
	int r = 0;

	for (unsigned dir = 0; dir < FL_DIR_N; dir++)
		fl_ledger_add(&d->ledger[dir], &frame->ledger[dir]);
	for (size_t i = 0; !r && i < frame->n_flows; i++) {
		const struct fl_flow *f = &frame->flows[i];
		struct fl_flow_line line = {
		    .key = &f->key,
		    .packets = f->packets,
		    .bytes = f->bytes,
		    .start = frame->window.start + (int64_t)(f->first_ms / 1000),
		    .end = frame->window.start + (int64_t)(f->last_ms / 1000),
		    .tcp = f->tcp,
		    .action = f->action,
		};

		if (classify(&d->told, f) || d->conf->all)
			r = fl_encode_line(encoder, &line, out);
		else
			d->told.hidden++;
	}
	return r;
}

static int tell_records(struct demo *d)
{
	FL_CLEANUP(fl_format_free) struct fl_format *format = NULL;
	FL_CLEANUP(fl_encoder_free) struct fl_encoder *encoder = NULL;
	FL_CLEANUP(fl_reader_close) struct fl_reader *reader = NULL;
	struct fl_buf out FL_CLEANUP(fl_buf_free) = FL_BUF(1u << 20);
	struct fl_frame frame;
	int r = fl_format_parse(&format, FL_LOG_VPC, "default");

	if (!r)
		r = fl_encoder_new(&encoder, format, FL_OUTPUT_TEXT);
	if (!r)
		r = fl_encoder_set_eni(encoder, &d->eni);
	if (!r)
		r = fl_encode_header(encoder, &out);
	if (!r)
		r = fl_reader_open(&reader, d->journalfd, (struct fl_position){0});
	while (!r && (r = fl_reader_next(reader, &frame)) > 0)
		r = r == 1 ? tell_frame(d, &frame, encoder, &out) : 0;
	if (r)
		return r;
	printf("The journal has %" PRIu64 " flow log records of them%s:\n\n%.*s", d->told.records,
	       d->told.hidden ? " (--all shows all)" : "", (int)out.len, out.data);
	if (d->told.hidden)
		printf("... and %" PRIu64 " more of the scan: each port's refusal, and the other ports\n",
		       d->told.hidden);
	return 0;
}

/* One line of the comparison; true when both sides are the same. */
static bool compare(const char *what, const char *left, const char *right, struct fl_count truth, struct fl_count told)
{
	bool same = truth.packets == told.packets && truth.bytes == told.bytes;

	printf("  %-22s %-20s %8" PRIu64 " %10" PRIu64 "   %-8s %8" PRIu64 " %10" PRIu64 "  %s\n", what, left,
	       truth.packets, truth.bytes, right, told.packets, told.bytes, same ? "=" : "DIFFERS");
	return same;
}

/* What the interface counted, without the frames that are not IP and without Ethernet headers. */
static bool compare_direction(const struct demo *d, enum fl_dir dir, const char *what)
{
	struct fl_count not_ip = d->ledger[dir].not_ip, frames = {
							    .packets = d->after[dir].packets - d->before[dir].packets,
							    .bytes = d->after[dir].bytes - d->before[dir].bytes,
							};
	struct fl_count ip = {.packets = frames.packets - not_ip.packets};

	ip.bytes = frames.bytes - not_ip.bytes - ip.packets * ETHERNET_BYTES;
	return compare(what, "interface counters", "records", ip, d->told.dir[dir]);
}

static bool tell_truth(const struct demo *d)
{
	const struct fl_demo_truth *t = &d->truth;
	struct fl_count datagrams = {t->datagrams, t->datagrams * (FL_DEMO_DATAGRAM_BYTES + 28)};
	struct fl_count echoes = {t->echoes, t->echoes * (64 + 20)};
	bool good = true;

	printf("\nThe truth beside them:                        packets      bytes             packets      bytes\n");
	good &= compare_direction(d, FL_DIR_INGRESS, "into the server");
	good &= compare_direction(d, FL_DIR_EGRESS, "out of the server");
	good &= compare("datagrams", "client sent", "records", datagrams, d->told.datagrams);
	good &= compare("pings", "client had answers", "records", echoes, d->told.echoes);
	printf("  %-22s %-20s %8" PRIu64 " %10s   %-8s %8" PRIu64 " %10s  %s\n", "ports knocked at",
	       "client was refused", t->refused, "", "records", d->told.probed, "",
	       t->refused == d->told.probed ? "=" : "DIFFERS");
	good &= t->refused == d->told.probed;
	/* The record has the headers of every packet on top of the page. */
	printf("  %-22s %-20s %8s %10" PRIu64 "   %-8s %8" PRIu64 " %10" PRIu64 "  %s\n", "web page", "client received",
	       "", t->page_bytes, "records", d->told.web.packets, d->told.web.bytes,
	       d->told.web.bytes > t->page_bytes ? "= page + headers" : "DIFFERS");
	good &= d->told.web.bytes > t->page_bytes && t->page_bytes == FL_DEMO_PAGE_BYTES;
	for (unsigned dir = 0; dir < FL_DIR_N; dir++)
		good &=
		    !fl_ledger_gap(&d->ledger[dir]) && d->ledger[dir].seen.packets == d->ledger[dir].recorded.packets;
	printf("\n%s\n", good ? "It adds up: every packet and every byte is in a record; none was lost."
			      : "It does NOT add up. Please report this with the lines above.");
	return good;
}

/* ---- life ---- */

static void remove_directory(int fd)
{
	DIR *dir = fdopendir(dup(fd));
	struct dirent *e;

	while (dir && (e = readdir(dir)))
		if (*e->d_name != '.')
			unlinkat(fd, e->d_name, 0);
	if (dir)
		closedir(dir);
}

static void clean_up(struct demo *d)
{
	pid_t children[] = {d->client, d->server};

	for (size_t i = 0; i < FL_ARRAY_LEN(children); i++)
		if (children[i] > 0) {
			kill(children[i], SIGKILL);
			waitpid(children[i], NULL, 0);
		}
	fl_engine_free(&d->engine);
	fl_journal_close(&d->journal);
	if (d->live)
		fl_live_afpacket.close(&d->live, true);
	if (d->journalfd >= 0)
		remove_directory(d->journalfd);
	if (d->dirfd >= 0) {
		unlinkat(d->dirfd, "journal", AT_REMOVEDIR);
		remove_directory(d->dirfd);
		rmdir(d->dir);
	}
	fl_closep(&d->journalfd);
	fl_closep(&d->dirfd);
	fl_closep(&d->client_fd);
	fl_closep(&d->net.server_ns);
}

static int run(void *conf, int argc, char **argv)
{
	struct demo d = {.conf = conf, .net.server_ns = -1, .client_fd = -1, .dirfd = -1, .journalfd = -1};
	bool good = false;
	int r;

	if (argc) {
		fprintf(stderr, "flowlog demo: %s: demo takes no operands\n", argv[0]);
		return 2;
	}
	r = fl_demo_enter();
	if (!r) {
		printf("Two hosts in namespaces of this process, one cable, no root, nothing of your network:\n\n"
		       "  client " FL_DEMO_CLIENT " ======== server " FL_DEMO_SERVER
		       "   metered here, by packet socket, windows of %llu s\n\n",
		       WINDOW_NS / FL_NS_PER_S);
		r = measure(&d);
	}
	if (!r) {
		printf("The client fetched a page of %u MiB, sent %u datagrams, pinged %u times and knocked at %u "
		       "closed ports.\n",
		       FL_DEMO_PAGE_BYTES >> 20, FL_DEMO_DATAGRAMS, FL_DEMO_ECHOES, FL_DEMO_SCAN_PORTS);
		r = tell_records(&d);
	}
	if (!r)
		good = tell_truth(&d);
	if (good)
		printf("Next: sudo %s run       meters this machine\n"
		       "      %s meter FILE     turns a capture into such records\n",
		       fl_cli_program(), fl_cli_program());
	if (fflush(stdout) || ferror(stdout)) {
		fprintf(stderr, "flowlog demo: standard output: %m\n");
		good = false;
	}
	if (r)
		fprintf(stderr, "flowlog demo: %s\n", fl_error_text(r));
	clean_up(&d);
	return good ? 0 : 1;
}

static const struct fl_option options[] = {
    {"all", 0, NULL, FL_OPT_FLAG, NULL, NULL, NULL, "show every record, also all of the port scan",
     offsetof(struct conf, all)},
    {0},
};

const struct fl_command fl_cmd_demo = {
    .name = "demo",
    .summary = "see it work: traffic, its records, the truth beside them",
    .synopsis = "[--all]",
    .description = "Makes two hosts in network namespaces of a user namespace, joins them by a virtual cable, moves a "
		   "web page, datagrams, pings "
		   "and a port scan across it, and meters them with the daemon's own engine. Beside the records it "
		   "prints what the client did "
		   "and what the interface counted. Needs neither root nor a network, and touches nothing of yours. "
		   "Exit status 1 when the numbers "
		   "do not add up or the kernel refuses user namespaces.",
    .options = options,
    .conf_size = sizeof(struct conf),
    .run = run,
    .examples = "flowlog demo\n  four seconds, one screen\n",
};
