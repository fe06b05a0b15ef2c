/* SPDX-License-Identifier: Apache-2.0 */
/* Delivery: journal in, objects out. Sees no packets, listens to nobody. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/mem.h"
#include "daemon/daemon.h"
#include "daemon/privilege.h"
#include "inventory/network.h"

#define TURN_NS (FL_NS_PER_S / 2)

struct deliver {
	const struct fl_run *run;
	struct fl_loop *loop;
	struct fl_delivery *delivery;
	struct fl_source *turn;
	char said[256]; /* last error that was logged, so that a full disk is one line and not a
			   thousand */
};

static void write_status(struct deliver *d)
{
	struct fl_buf buf FL_CLEANUP(fl_buf_free) = FL_BUF(1u << 20);
	struct fl_json j = FL_JSON(&buf);
	int64_t now = (int64_t)(fl_now_ns(&fl_clock_system) / FL_NS_PER_S);

	fl_json_object(&j);
	fl_json_kstr(&j, "role", "deliver");
	fl_json_ki64(&j, "pid", getpid());
	fl_json_ki64(&j, "time", now);
	fl_json_key(&j, "flow_logs");
	fl_json_array(&j);
	for (size_t i = 0; i < d->run->n_logs; i++) {
		struct fl_delivery_stats s;

		fl_delivery_stats(d->delivery, i, &s);
		fl_json_object(&j);
		fl_json_kstr(&j, "id", d->run->logs[i].id);
		fl_json_ku64(&j, "objects", s.objects);
		fl_json_ku64(&j, "records", s.records);
		fl_json_ku64(&j, "bytes", s.bytes);
		fl_json_ku64(&j, "attempts", s.attempts);
		fl_json_ku64(&j, "failures", s.failures);
		fl_json_ku64(&j, "undelivered_windows", s.undelivered_windows);
		fl_json_ki64(&j, "newest_end", s.newest_end);
		/* The window that a stop closes early ends after now. */
		fl_json_ki64(&j, "lag_seconds", s.newest_end ? FL_MAX(now - s.newest_end, 0) : 0);
		fl_json_kstr(&j, "last_object", s.last_object);
		fl_json_kstr(&j, "last_error", s.last_error);
		fl_json_key(&j, "lost");
		fl_json_object(&j);
		fl_json_ku64(&j, "flows", s.lost_flows);
		fl_count_json(&j, fl_loss_names[FL_LOSS_DELIVERY], &s.lost_delivery);
		fl_count_json(&j, fl_loss_names[FL_LOSS_JOURNAL_QUOTA], &s.lost_quota);
		fl_json_end_object(&j);
		fl_json_end_object(&j);
	}
	fl_json_end_array(&j);
	fl_json_end_object(&j);
	if (!fl_json_done(&j))
		(void)fl_file_write_atomic(d->run->statefd, "status/deliver.json", buf.data, buf.len, 0640, false);
}

static void say_once(struct deliver *d)
{
	for (size_t i = 0; i < d->run->n_logs; i++) {
		struct fl_delivery_stats s;

		fl_delivery_stats(d->delivery, i, &s);
		if (*s.last_error && strcmp(s.last_error, d->said)) {
			snprintf(d->said, sizeof d->said, "%s", s.last_error);
			fl_warn("%s: %s; it is tried again, the journal keeps the windows", d->run->logs[i].id,
				s.last_error);
		}
	}
}

static int on_turn(void *ctx, uint64_t expirations)
{
	struct deliver *d = ctx;
	uint32_t wait_ms = 0;
	int r = fl_delivery_run(d->delivery, false, &wait_ms);

	(void)expirations;
	if (r < 0)
		return r;
	if (r == FL_DELIVERY_RETRY)
		say_once(d);
	write_status(d);
	return fl_source_set_timer(d->turn, FL_MAX(wait_ms * FL_NS_PER_MS, TURN_NS), 0);
}

static int on_signal(void *ctx, int signo)
{
	struct deliver *d = ctx;

	(void)signo;
	fl_loop_stop(d->loop);
	return 0;
}

int fl_role_deliver(const struct fl_run *run)
{
	static const int signals[] = {SIGTERM, 0};
	struct deliver d = {.run = run};
	struct fl_delivery_conf conf = {
	    .statefd = run->statefd, .logs = run->logs, .n_logs = run->n_logs, .clock = fl_clock_system};
	struct fl_source *signal_source = NULL;
	FL_CLEANUP(fl_network_times_free) struct fl_network_times *times = NULL;
	char store[64], dir[64] = "";
	int dirfd FL_CLEANUP(fl_closep) =
	    run->inventory && *run->inventory ? open(run->inventory, O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
	char *inventory FL_CLEANUP(fl_freep) = dirfd >= 0 ? realpath(run->inventory, NULL) : NULL;
	uint32_t wait_ms;
	int r = fl_privilege_drop(FL_ROLE_DELIVER, run->uid, run->gid);

	snprintf(store, sizeof store, "/proc/self/fd/%d", run->statefd);
	if (dirfd >= 0)
		snprintf(dir, sizeof dir, "/proc/self/fd/%d", dirfd);
	if (!r)
		r = fl_network_times_new(&times, store, dir);
	conf.network_at = fl_network_times_at;
	conf.network_ctx = times;
	if (!r)
		r = fl_identities_new(&conf.identities, store);
	conf.inventory = inventory;
	if (!r)
		r = fl_mkdirs(run->statefd, "status", 0750);
	if (!r)
		r = fl_delivery_open(&d.delivery, &conf);
	if (!r)
		r = fl_loop_new(&d.loop);
	if (!r)
		r = fl_loop_add_signals(d.loop, signals, on_signal, &d, &signal_source);
	if (!r)
		r = fl_loop_add_timer(d.loop, TURN_NS, 0, on_turn, &d, &d.turn);
	if (!r)
		r = fl_loop_run(d.loop);
	if (!r) {
		/* The last window has just been closed: deliver what can be delivered. */
		r = fl_delivery_run(d.delivery, true, &wait_ms);
		write_status(&d);
	}
	if (r < 0)
		fl_err("%s", fl_error_text(r));
	fl_delivery_close(&d.delivery);
	fl_identities_free(&conf.identities);
	fl_loop_free(&d.loop);
	return r < 0 ? 1 : 0;
}
