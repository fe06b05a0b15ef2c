/* SPDX-License-Identifier: Apache-2.0 */
/* The meter: holds the maps, follows the interfaces, drives the engine. It opens no connection and listens to nobody. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
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
#include "bpf/shared.h"
#include "daemon/daemon.h"
#include "daemon/meter_status.h"
#include "daemon/privilege.h"
#include "daemon/wal.h"

#define TICK_NS (FL_NS_PER_S / 10)

struct meter {
	const struct fl_run *run;
	int channel;
	struct fl_loop *loop;
	struct fl_live *live;
	struct fl_journal *journal;
	struct fl_engine *engine;
	struct fl_discovery *discovery;
	struct fl_interface *interfaces;
	size_t n_interfaces;
	bool attached[FL_K_SLOTS]; /* asked for in this life of the process */
	int64_t started;
	bool finish;
};

static int attach(struct meter *m, uint16_t slot, const struct fl_interface *i)
{
	struct fl_request rq = {.op = FL_REQUEST_ATTACH, .slot = slot, .arphrd = i->arphrd, .ifindex = i->eni.ifindex};

	if (!m->run->privileged)
		return m->run->ops->attach(m->live, slot, i->eni.ifindex, i->arphrd, -1);
	memcpy(rq.netns, i->eni.netns, sizeof rq.netns);
	return fl_channel_call(m->channel, &rq);
}

static int detach(struct meter *m, uint16_t slot)
{
	struct fl_request rq = {.op = FL_REQUEST_DETACH, .slot = slot};

	if (!m->run->privileged)
		return m->run->ops->detach(m->live, slot);
	return fl_channel_call(m->channel, &rq);
}

/* One interface that should be metered. What cannot be attached is said once and left alone. */
static int meter_interface(struct meter *m, struct fl_interface *i, bool present[FL_K_SLOTS])
{
	bool known;
	int slot = fl_engine_slot(m->engine, &i->eni, &known), r;

	if (slot < 0) {
		fl_warn("%s", fl_error_text(slot));
		i->skip = FL_SKIP_UNSUPPORTED;
		return 0;
	}
	if (!known || !m->attached[slot]) {
		r = attach(m, (uint16_t)slot, i);
		if (r == -EPIPE)
			return r;
		if (r) {
			/* It may have gone between the listing and now; the next notification tells. */
			if (r != -ENODEV && r != -ENXIO)
				fl_warn("%s is not metered: %s", i->eni.device, fl_error_text(r));
			i->skip = FL_SKIP_UNSUPPORTED;
			return 0;
		}
	}
	present[slot] = true;
	/* Known from the log of an earlier life and still attached: its counting was never interrupted. */
	if (known && (m->attached[slot] || m->run->reused)) {
		m->attached[slot] = true;
		return fl_engine_update(m->engine, (uint16_t)slot, &i->eni);
	}
	m->attached[slot] = true;
	return fl_engine_attached(m->engine, (uint16_t)slot, &i->eni);
}

static int sync_interfaces(struct meter *m)
{
	bool present[FL_K_SLOTS] = {false};
	struct fl_interface *list = NULL;
	size_t n = 0;
	int r = fl_discovery_list(m->discovery, &list, &n);

	if (r)
		return r;
	free(m->interfaces);
	m->interfaces = list;
	m->n_interfaces = n;
	for (size_t i = 0; !r && i < n; i++)
		if (list[i].skip == FL_SKIP_NONE)
			r = meter_interface(m, &list[i], present);
	for (unsigned slot = 0; !r && slot < FL_K_SLOTS; slot++) {
		if (present[slot] || !fl_engine_eni(m->engine, (uint16_t)slot))
			continue;
		if (m->attached[slot])
			r = detach(m, (uint16_t)slot);
		m->attached[slot] = false;
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

static int on_ring(void *ctx, int fd, uint32_t events)
{
	struct meter *m = ctx;

	(void)fd;
	(void)events;
	return fl_engine_tick(m->engine);
}

static int on_tick(void *ctx, uint64_t expirations)
{
	struct meter *m = ctx;

	(void)expirations;
	return fl_engine_tick(m->engine);
}

static int on_status(void *ctx, uint64_t expirations)
{
	struct meter *m = ctx;
	struct fl_meter_status s = {
		.run = m->run,
		.engine = m->engine,
		.journal = m->journal,
		.interfaces = m->interfaces,
		.n_interfaces = m->n_interfaces,
		.started = m->started,
	};
	int r = fl_meter_status_write(&s);

	(void)expirations;
	/* A status that cannot be written (full disk) must not stop the metering. */
	if (r)
		fl_debug("status: %s", fl_error_text(r));
	return 0;
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
		.reused = m->run->reused,
	};
	int journalfd, r = read_boot_id(ec.boot_id);

	if (!r)
		r = fl_mkdirs(m->run->statefd, "journal", 0750);
	if (!r)
		r = fl_mkdirs(m->run->statefd, "status", 0750);
	if (r)
		return r;
	journalfd = openat(m->run->statefd, "journal", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (journalfd < 0)
		return fl_fail(-errno, "%s/journal: %m", m->run->store);
	r = fl_journal_open(&m->journal, journalfd, &jc);
	ec.journal = m->journal;
	ec.live = m->live;
	return r ? r : fl_engine_new(&m->engine, &ec);
}

static int run_loop(struct meter *m)
{
	static const int signals[] = {SIGTERM, SIGINT, 0};
	struct fl_source *sources[5] = {NULL};
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
	return r ? r : fl_loop_run(m->loop);
}

int fl_role_meter(const struct fl_run *run, int channel)
{
	struct meter m = {
		.run = run,
		.channel = channel,
		.started = (int64_t)(fl_now_ns(&fl_clock_system) / FL_NS_PER_S),
	};
	int r;

	/* What needs privilege: sockets inside other network namespaces, the packet sockets of the fallback. */
	r = fl_discovery_new(&m.discovery, &run->discovery);
	if (!r)
		r = open_backend(&m);
	if (!r)
		r = fl_privilege_drop(run->privileged ? FL_ROLE_METER : FL_ROLE_METER_AFPACKET, run->uid, run->gid);
	if (!r)
		r = open_stages(&m);
	if (!r)
		r = sync_interfaces(&m);
	if (!r)
		r = run_loop(&m);
	if (!r && m.finish)
		r = fl_engine_finish(m.engine);
	if (!r) {
		on_status(&m, 1);
		fl_wal_remove(run->shmfd);
	}
	if (r)
		fl_err("%s", fl_error_text(r));
	fl_engine_free(&m.engine);
	fl_journal_close(&m.journal);
	if (m.live)
		run->ops->close(&m.live, false);
	fl_discovery_free(&m.discovery);
	free(m.interfaces);
	fl_loop_free(&m.loop);
	return r ? 1 : 0;
}
