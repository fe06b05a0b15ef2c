/* SPDX-License-Identifier: Apache-2.0 */
/* The meter: holds the maps, follows the interfaces, drives the engine. It opens no connection and
 * listens to nobody. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/if_ether.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/units.h"
#include "bpf/shared.h"
#include "daemon/daemon.h"
#include "daemon/last_window.h"
#include "daemon/meter_inventory.h"
#include "daemon/meter_status.h"
#include "daemon/privilege.h"
#include "daemon/wal.h"

#define NAT_KEEP_WINDOWS 2 /* the window a connection ended in is written in the next one */
#define NAT_KEEP_S 5
#define CONNECTIONS_FILE "connections" /* in the journal, between two runs */
#define CONNECTIONS_MAX (64u << 20)
#define TICK_NS (FL_NS_PER_S / 10)

struct meter {
	const struct fl_run *run;
	int channel;
	struct fl_loop *loop;
	struct fl_live *live;
	struct fl_journal *journal;
	struct fl_engine *engine;
	struct fl_discovery *discovery;
	struct fl_nat *nat; /* NULL: nobody asks, or conntrack does not tell */
	struct fl_interface *interfaces;
	size_t n_interfaces;
	struct fl_identities *identities; /* names that another role finds */
	struct fl_meter_inventory *inventory;
	size_t n_bound;            /* interfaces that it names */
	bool another_inventory;    /* identities change with the next window */
	bool attached[FL_K_SLOTS]; /* asked for in this life of the process */
	int journalfd;
	uint8_t boot_id[16];
	struct fl_meter_system system[FL_K_SLOTS];
	bool gone[FL_K_SLOTS]; /* said so */
	int64_t started;
	bool finish, ready;
	bool quiet_so_far;    /* no packet yet */
	uint32_t said_window; /* whose ledger was told */
	char said[256];       /* the last trouble, so that a full disk is one line and not a thousand */
};

static int attach(struct meter *m, uint16_t slot, const struct fl_interface *i)
{
	struct fl_request rq = {.op = FL_REQUEST_ATTACH, .slot = slot, .arphrd = i->arphrd, .ifindex = i->eni.ifindex};
	int netns FL_CLEANUP(fl_closep) = -1;

	if (m->run->privileged) {
		memcpy(rq.netns, i->eni.netns, sizeof rq.netns);
		return fl_channel_call(m->channel, &rq);
	}
	netns = fl_run_open_netns(m->run, i->eni.netns);
	return netns < -1 ? netns : m->run->ops->attach(m->live, slot, i->eni.ifindex, i->arphrd, netns);
}

/* What goes in at the metered end may be dropped behind the other one. */
static int note_other_end(struct meter *m, uint16_t slot, const struct fl_interface *i)
{
	struct fl_request rq = {.op = FL_REQUEST_OTHER_END, .slot = slot, .ifindex = i->other_ifindex};

	if (!i->other_ifindex || !m->run->privileged || !m->run->ops->other_end)
		return 0;
	memcpy(rq.netns, i->other_netns, sizeof rq.netns);
	return fl_channel_call(m->channel, &rq);
}

static int detach(struct meter *m, uint16_t slot)
{
	struct fl_request rq = {.op = FL_REQUEST_DETACH, .slot = slot};

	if (!m->run->privileged)
		return m->run->ops->detach(m->live, slot);
	return fl_channel_call(m->channel, &rq);
}

static struct fl_system_counts system_counts(const struct fl_interface *i)
{
	return (struct fl_system_counts){
	    .since = (int64_t)(fl_now_ns(&fl_clock_system) / FL_NS_PER_S),
	    .rx_packets = i->rx_packets,
	    .rx_bytes = i->rx_bytes,
	    .rx_dropped = i->rx_dropped,
	    .tx_packets = i->tx_packets,
	    .tx_bytes = i->tx_bytes,
	    .tx_dropped = i->tx_dropped,
	};
}

/* The names that are known of the discovered interfaces. */
static void name_interfaces(const struct meter *m, struct fl_interface *list, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const struct fl_identity *who = fl_identities_now(m->identities, list[i].eni.interface_id);

		memcpy(list[i].discovered_id, list[i].eni.interface_id, sizeof list[i].discovered_id);
		if (!who)
			continue;
		memcpy(list[i].owner, who->name, sizeof list[i].owner);
		memcpy(list[i].eni.name, who->name, sizeof list[i].eni.name);
		memcpy(list[i].eni.kind, who->kind, sizeof list[i].eni.kind);
	}
}

/* The interfaces, with the inventory's identities over the discovered ones. */
static int list_interfaces(struct meter *m, struct fl_interface **ret, size_t *ret_n,
			   const struct fl_net_eni ***ret_enis)
{
	int r = fl_discovery_list(m->discovery, ret, ret_n);

	*ret_enis = r ? NULL : calloc(*ret_n + 1, sizeof(**ret_enis));
	if (!r && !*ret_enis)
		r = -ENOMEM;
	if (!r) {
		name_interfaces(m, *ret, *ret_n);
		fl_meter_inventory_bind(m->inventory, *ret, *ret_n, *ret_enis);
	}
	return r;
}

/* With each window the system's counters, so that an audit compares like with like. */
static void sample_system(struct meter *m)
{
	struct fl_interface *list FL_CLEANUP(fl_freep) = NULL;
	const struct fl_net_eni **enis FL_CLEANUP(fl_freep) = NULL;
	size_t n = 0;
	int r = list_interfaces(m, &list, &n, &enis);

	for (size_t i = 0; !r && i < n; i++) {
		bool known;
		int slot = list[i].skip == FL_SKIP_NONE ? fl_engine_slot(m->engine, &list[i].eni, &known) : -1;

		if (slot >= 0 && known)
			m->system[slot].now = system_counts(&list[i]);
	}
}

/* The VLANs of an interface that are metered by themselves. */
static int set_vlans(struct meter *m, uint16_t slot, size_t interface)
{
	const struct fl_interface *list = m->interfaces;
	struct fl_kvlans vlans = {0};

	for (size_t i = 0; list[interface].has_vlans && i < m->n_interfaces; i++)
		if (list[i].vlan_parent == (int32_t)interface && list[i].skip == FL_SKIP_NONE)
			vlans.id[list[i].vlan_proto == ETH_P_8021AD][list[i].vlan_id / 64] |= 1ull
											      << list[i].vlan_id % 64;
	return m->run->ops->set_vlans(m->live, slot, &vlans);
}

static int exclude(struct meter *m, uint16_t slot, const struct fl_net_eni *e)
{
	struct fl_exclusions x = {.on = m->run->exclusions};

	if (e) {
		x = fl_meter_inventory_exclusions(e);
		x.on = m->run->exclusions_given ? m->run->exclusions : x.on;
	}
	return fl_engine_exclude(m->engine, slot, &x);
}

/* Somebody else, whom it has become from the next window on: not a first name, which the open window has too. */
static bool is_another(const struct fl_eni *before, const struct fl_interface *now)
{
	const struct fl_interface was = {.eni = *before};

	return fl_discovery_is_named(&was) &&
	       (strcmp(before->name, now->eni.name) != 0 || strcmp(before->kind, now->eni.kind) != 0);
}

/* One interface that should be metered. What cannot be attached is said once and left alone. */
static int meter_interface(struct meter *m, size_t number, const struct fl_net_eni *e, bool present[FL_K_SLOTS])
{
	struct fl_interface *i = &m->interfaces[number];
	bool known;
	int slot = fl_engine_slot(m->engine, &i->eni, &known), r = 0;

	if (slot < 0) {
		fl_warn("%s", fl_error_text(slot));
		i->skip = FL_SKIP_UNSUPPORTED;
		return 0;
	}
	if (e && m->another_inventory &&
	    (!known || strcmp(fl_engine_eni(m->engine, (uint16_t)slot)->interface_id, i->eni.interface_id)))
		fl_info("%s is %s (%s) in the inventory%s", i->eni.device, i->eni.interface_id, i->eni.name,
			known ? ": from the next window on" : "");
	/* Known from the log of an earlier life and still attached: its counting was never
	 * interrupted. */
	if (known && (m->attached[slot] || m->run->reused))
		r = m->another_inventory || is_another(fl_engine_eni(m->engine, (uint16_t)slot), i)
			? fl_engine_identify(m->engine, (uint16_t)slot, &i->eni)
			: fl_engine_update(m->engine, (uint16_t)slot, &i->eni);
	else
		r = fl_engine_attached(m->engine, (uint16_t)slot, &i->eni);
	if (!r)
		r = exclude(m, (uint16_t)slot, e);
	if (r)
		return r;
	present[slot] = true;
	r = set_vlans(m, (uint16_t)slot, number);
	if (r || m->attached[slot])
		return r;
	r = attach(m, (uint16_t)slot, i);
	if (!r)
		r = note_other_end(m, (uint16_t)slot, i);
	m->attached[slot] = !r;
	m->system[slot] = (struct fl_meter_system){.begin = system_counts(i)};
	if (!r || r == -EPIPE) {
		if (!r && m->ready)
			fl_info("%s (%s) appeared and is metered as %s", i->eni.device, i->eni.name,
				i->eni.interface_id);
		return r;
	}
	/* It may have gone between the listing and now; the next notification tells. */
	if (r != -ENODEV && r != -ENXIO)
		fl_warn("%s is not metered: %s", i->eni.device, fl_error_text(r));
	i->skip = FL_SKIP_UNSUPPORTED;
	present[slot] = false;
	return 0;
}

static int sync_interfaces(struct meter *m)
{
	bool present[FL_K_SLOTS] = {false};
	const struct fl_net_eni **enis FL_CLEANUP(fl_freep) = NULL;
	struct fl_interface *list = NULL;
	size_t n = 0;
	int r = list_interfaces(m, &list, &n, &enis);

	if (r) {
		free(list);
		return r;
	}
	free(m->interfaces);
	m->interfaces = list;
	m->n_interfaces = n;
	m->n_bound = 0;
	for (size_t i = 0; i < n; i++)
		m->n_bound += enis[i] != NULL;
	/* From the last: a VLAN's interface is younger than the one below, so that its frames have
	 * changed sides before the one below is metered. */
	for (size_t i = n; !r && i-- > 0;)
		if (list[i].skip == FL_SKIP_NONE)
			r = meter_interface(m, i, enis[i], present);
	for (unsigned slot = 0; !r && slot < FL_K_SLOTS; slot++) {
		if (present[slot] || !fl_engine_eni(m->engine, (uint16_t)slot)) {
			m->gone[slot] = false;
			continue;
		}
		if (!m->gone[slot] && m->ready)
			fl_info("%s is gone", fl_engine_eni(m->engine, (uint16_t)slot)->device);
		/* After a restart the kernel may still have what is not to be metered any more. */
		if (m->attached[slot] || (m->run->reused && !m->ready))
			r = detach(m, (uint16_t)slot);
		m->attached[slot] = false;
		m->gone[slot] = true;
		if (r != -EPIPE)
			r = fl_engine_vanished(m->engine, (uint16_t)slot);
	}
	return r;
}

static int on_discovery(void *ctx, int fd, uint32_t events)
{
	struct meter *m = ctx;
	int r = fl_discovery_poll(m->discovery);

	(void)fd;
	(void)events;
	return r > 0 ? sync_interfaces(m) : r;
}

/* Each closed window's ledger as one line. */
static void say_window(struct meter *m)
{
	const struct fl_engine_last *last = fl_engine_last(m->engine);
	const struct fl_ledger *l = &last->ledger;
	const uint64_t before = l->verdict[FL_VERDICT_BEFORE].packets;
	char start[24], bytes[16], and_before[64] = "";

	if (!last->window.number || last->window.number == m->said_window)
		return;
	m->said_window = last->window.number;
	sample_system(m);
	/* A full disk must not stop the metering. */
	(void)fl_last_window_note(m->journalfd, m->engine, m->boot_id);
	if (before)
		snprintf(and_before, sizeof and_before, " + %" PRIu64 " dropped before the interface", before);
	fl_info("window %s %u s: %" PRIu64 " flows, %s; %" PRIu64 " packets seen%s = %" PRIu64 " recorded + %" PRIu64
		" excluded + %" PRIu64 " lost%s",
		fl_time_rfc3339(last->window.start, start), last->window.length, last->flows,
		fl_human_bytes(l->seen.bytes, bytes), l->seen.packets, and_before, l->recorded.packets,
		fl_count_total(l->excluded, FL_RULE_N).packets, fl_count_total(l->lost, FL_LOSS_N).packets,
		fl_ledger_gap(l) ? " (and the late parts of other windows)" : "");
	if (l->seen.packets)
		m->quiet_so_far = false;
	else if (m->quiet_so_far)
		fl_info("no packet seen yet; try \"ping -c 3\" to another host, or \"flowlog demo\"");
}

static int turn(struct meter *m)
{
	int r = fl_engine_tick(m->engine);
	const char *trouble = r > 0 ? fl_engine_trouble(m->engine) : "";

	if (r < 0)
		return r;
	if (r > 0 && strcmp(trouble, m->said))
		fl_warn("%s; metering goes on, it is tried again", trouble);
	else if (!r && *m->said)
		fl_warn("what was refused before works again");
	snprintf(m->said, sizeof m->said, "%s", trouble);
	say_window(m);
	return 0;
}

static int on_ring(void *ctx, int fd, uint32_t events)
{
	(void)fd;
	(void)events;
	return turn(ctx);
}

static int on_tick(void *ctx, uint64_t expirations)
{
	(void)expirations;
	return turn(ctx);
}

/* Another inventory, or other names: who the interfaces are from the next window on. */
static int look_at_inventory(struct meter *m)
{
	bool renamed = fl_identities_refresh(m->identities);
	int r;

	m->another_inventory = fl_meter_inventory_poll(m->inventory);
	if (!m->another_inventory && !renamed)
		return 0;
	r = sync_interfaces(m);
	m->another_inventory = false;
	return r;
}

static void write_status(struct meter *m)
{
	struct fl_meter_status s = {
	    .run = m->run,
	    .live = m->live,
	    .nat = m->nat,
	    .verdicts = m->run->verdicts,
	    .engine = m->engine,
	    .journal = m->journal,
	    .interfaces = m->interfaces,
	    .n_interfaces = m->n_interfaces,
	    .inventory = m->inventory,
	    .n_bound = m->n_bound,
	    .system = m->system,
	    .started = m->started,
	};
	int r = fl_meter_status_write(&s);

	/* A status that cannot be written (full disk) must not stop the metering. */
	if (r)
		fl_debug("status: %s", fl_error_text(r));
}

static int on_status(void *ctx, uint64_t expirations)
{
	(void)expirations;
	write_status(ctx);
	return look_at_inventory(ctx);
}

static int on_signal(void *ctx, int signo)
{
	struct meter *m = ctx;

	(void)signo;
	m->finish = true;
	fl_loop_stop(m->loop);
	return 0;
}

static int read_boot_id(uint8_t ret[16])
{
	struct fl_buf text FL_CLEANUP(fl_buf_free) = FL_BUF(64);
	unsigned digit = 0;
	int r = fl_file_read(AT_FDCWD, "/proc/sys/kernel/random/boot_id", &text);

	if (r)
		return r;
	memset(ret, 0, 16);
	for (size_t i = 0; i < text.len && digit < 32; i++) {
		char c = text.data[i];
		int v = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;

		if (v < 0)
			continue;
		ret[digit / 2] = (uint8_t)(ret[digit / 2] | v << (digit & 1 ? 0 : 4));
		digit++;
	}
	return 0;
}

static const struct fl_filter *filter_of(void *ctx, const struct fl_eni *eni, int64_t window_start, bool *ret_enforced)
{
	return fl_meter_inventory_filter(ctx, eni, window_start, ret_enforced);
}

static bool behind(void *ctx, const char *netns, const struct fl_key *in, struct fl_addr *ret)
{
	return fl_nat_behind(ctx, netns, in, ret);
}

static int on_nat(void *ctx, int fd, uint32_t events)
{
	struct meter *m = ctx;

	(void)fd;
	(void)events;
	fl_nat_poll(m->nat);
	return 0;
}

/* A kernel without conntrack, or one that does not let us listen, is no reason not to meter. */
static void open_nat(struct meter *m)
{
	const struct fl_nat_conf conf = {
	    .clock = fl_clock_system,
	    .seed = fl_random_seed(),
	    .keep_s = (uint32_t)(NAT_KEEP_WINDOWS * m->run->live.window_ns / FL_NS_PER_S) + NAT_KEEP_S,
	};
	int r = m->run->translations ? fl_nat_new(&m->nat, m->discovery, &conf) : 0;

	if (r)
		fl_warn("%s: pkt-srcaddr and pkt-dstaddr are the addresses on the wire", fl_error_text(r));
}

static int open_backend(struct meter *m)
{
	const struct fl_live_ops *ops = m->run->ops;
	int fds[64];
	size_t n = 0;
	bool reused;
	int r;

	if (!m->run->privileged)
		return ops->open(&m->live, &m->run->live, &reused);
	r = ops->export_fds(m->run->privileged, fds, FL_ARRAY_LEN(fds), &n);
	return r ? r : ops->import_fds(&m->live, &m->run->live, fds, n);
}

static int open_stages(struct meter *m)
{
	struct fl_journal_conf jc = {.quota_bytes = m->run->journal_bytes};
	struct fl_engine_conf ec = {
	    .shmfd = m->run->shmfd,
	    .ops = m->run->ops,
	    .clock = fl_clock_system,
	    .window_ns = m->run->live.window_ns,
	    .memory_limit = m->run->memory_limit,
	    .seed = fl_random_seed(),
	    .exclusions = m->run->exclusions,
	    .behind = m->nat ? behind : NULL,
	    .behind_ctx = m->nat,
	    .filter = filter_of,
	    .filter_ctx = m->inventory,
	    .verdicts = m->run->verdicts,
	    .reused = m->run->reused,
	};
	struct fl_buf connections FL_CLEANUP(fl_buf_free) = FL_BUF(CONNECTIONS_MAX);
	int r = read_boot_id(m->boot_id);

	if (!r)
		r = fl_mkdirs(m->run->statefd, "journal", 0750);
	if (!r)
		r = fl_mkdirs(m->run->statefd, "status", 0750);
	if (r)
		return r;
	memcpy(ec.boot_id, m->boot_id, sizeof ec.boot_id);
	m->journalfd = openat(m->run->statefd, "journal", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (m->journalfd < 0)
		return fl_fail(-errno, "%s/journal: %m", m->run->store);
	r = fl_journal_open(&m->journal, m->journalfd, &jc);
	ec.journal = m->journal;
	ec.live = m->live;
	/* Taken over by the engine's log; without one, what is open is the middle of something. */
	if (!r && !fl_file_read(m->journalfd, CONNECTIONS_FILE, &connections))
		ec.connections = &connections;
	if (!r)
		r = fl_engine_new(&m->engine, &ec);
	ec.connections = NULL;
	if (!r)
		unlinkat(m->journalfd, CONNECTIONS_FILE, 0);
	if (r || fl_engine_had_log(m->engine))
		return r;
	r = fl_last_window_settle(m->journalfd, m->journal);
	if (r > 0)
		fl_warn("the last run ended with the power or without its log: the window that was "
			"open then is marked SKIPDATA");
	else if (r < 0)
		fl_warn("%s", fl_error_text(r));
	return 0;
}

static int run_loop(struct meter *m)
{
	static const int signals[] = {SIGTERM, 0};
	struct fl_source *sources[6] = {NULL};
	int ring = m->run->ops->poll_fd(m->live), r;

	r = fl_loop_new(&m->loop);
	if (!r)
		r = fl_loop_add_signals(m->loop, signals, on_signal, m, &sources[0]);
	if (!r)
		r = fl_loop_add_timer(m->loop, TICK_NS, TICK_NS, on_tick, m, &sources[1]);
	if (!r)
		r = fl_loop_add_timer(m->loop, TICK_NS, FL_NS_PER_S, on_status, m, &sources[2]);
	if (!r)
		r = fl_loop_add_fd(m->loop, fl_discovery_fd(m->discovery), EPOLLIN, on_discovery, m, &sources[3]);
	if (!r && ring >= 0)
		r = fl_loop_add_fd(m->loop, ring, EPOLLIN, on_ring, m, &sources[4]);
	if (!r && m->nat)
		r = fl_loop_add_fd(m->loop, fl_nat_fd(m->nat), EPOLLIN, on_nat, m, &sources[5]);
	return r ? r : fl_loop_run(m->loop);
}

/* Connections outlive the meter; lost ones are taken for the middle of something, which costs little. */
static void keep_connections(const struct meter *m)
{
	const struct fl_buf *b = fl_engine_connections(m->engine);
	int r = b->len ? fl_file_write_atomic(m->journalfd, CONNECTIONS_FILE, b->data, b->len, 0640, false) : 0;

	if (r)
		fl_warn("%s", fl_error_text(r));
}

int fl_role_meter(const struct fl_run *run, int channel)
{
	enum fl_privilege_role role = run->privileged                                 ? FL_ROLE_METER
				      : run->discovery.netns && *run->discovery.netns ? FL_ROLE_METER_AFPACKET_NETNS
										      : FL_ROLE_METER_AFPACKET;
	struct fl_request ready = {.op = FL_REQUEST_READY};
	struct fl_discovery_conf discovery = run->discovery;
	char store[64];
	int inventoryfd FL_CLEANUP(fl_closep) =
	    run->inventory && *run->inventory ? open(run->inventory, O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
	struct meter m = {
	    .run = run,
	    .channel = channel,
	    .quiet_so_far = true,
	    .journalfd = -1,
	    .started = (int64_t)(fl_now_ns(&fl_clock_system) / FL_NS_PER_S),
	};
	int r;

	if (run->quiet)
		fl_log_set_level(FL_LOG_WARNING);
	/* What needs privilege: sockets inside other network namespaces, the packet sockets of the
	 * fallback. */
	discovery.no_names = true;
	r = fl_discovery_new(&m.discovery, &discovery);
	if (!r)
		open_nat(&m);
	if (!r)
		r = open_backend(&m);
	if (!r)
		r = fl_privilege_drop(role, run->uid, run->gid);
	snprintf(store, sizeof store, "/proc/self/fd/%d", run->statefd);
	if (!r)
		r = fl_identities_new(&m.identities, store);
	/* What was metered before the meter died is judged by its rules. */
	if (!r)
		r = fl_meter_inventory_new(&m.inventory, run->statefd, run->inventory, inventoryfd);
	if (!r)
		r = open_stages(&m);
	/* What was read from the log of an earlier life may have had another one. */
	m.another_inventory = true;
	if (!r)
		r = sync_interfaces(&m);
	m.another_inventory = false;
	if (!r)
		r = fl_channel_call(channel, &ready);
	m.ready = true;
	if (!r)
		r = run_loop(&m);
	if (!r && m.finish)
		r = fl_engine_finish(m.engine);
	if (!r) {
		/* The live view is gone: the last window's ledger is said, as without a terminal. */
		fl_log_set_level(FL_LOG_INFO);
		m.quiet_so_far = false;
		say_window(&m);
		write_status(&m);
		keep_connections(&m);
		fl_wal_remove(run->shmfd);
		fl_last_window_forget(m.journalfd);
	}
	if (r)
		fl_err("%s", fl_error_text(r));
	fl_engine_free(&m.engine);
	fl_journal_close(&m.journal);
	fl_closep(&m.journalfd);
	if (m.live)
		run->ops->close(&m.live, false);
	fl_nat_free(&m.nat);
	fl_discovery_free(&m.discovery);
	fl_meter_inventory_free(&m.inventory);
	fl_identities_free(&m.identities);
	free(m.interfaces);
	fl_loop_free(&m.loop);
	return r ? 1 : 0;
}
