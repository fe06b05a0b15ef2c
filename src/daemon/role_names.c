/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who the interfaces belong to: reads the files of container runtimes, which are root's or a user's, and keeps the
 * history of what it found. It may read every file and nothing else: no socket but rtnetlink, no right over a process.
 * The meter and all readers take names and labels from the history, so that a runtime's odd file cannot disturb them.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/mem.h"
#include "daemon/confine.h"
#include "daemon/daemon.h"
#include "daemon/privilege.h"

#define TURN_NS FL_NS_PER_S
#define LOOK_EVERY_NS (30 * FL_NS_PER_S)
#define LOOK_SHARE 50 /* a look at everything takes at most this part of the time */

struct names {
	const struct fl_run *run;
	struct fl_loop *loop;
	struct fl_discovery *discovery;
	struct fl_identity_log *log;
	struct fl_source *look;
	unsigned looks; /* since the interfaces changed */
	uint64_t looked_at, look_ns;
	size_t named;
	char said[256], error[256];
};

static uint64_t now_ns(void)
{
	return fl_mono_ns(&fl_clock_system);
}

static int write_history(struct names *s)
{
	struct fl_interface *list FL_CLEANUP(fl_freep) = NULL;
	char(*ids)[22] FL_CLEANUP(fl_freep) = NULL;
	int64_t now = (int64_t)(fl_now_ns(&fl_clock_system) / FL_NS_PER_MS);
	size_t n = 0, named = 0;
	int r = fl_discovery_list(s->discovery, &list, &n);

	ids = r ? NULL : calloc(n + 1, sizeof *ids);
	if (!r && !ids)
		r = -ENOMEM;
	for (size_t i = 0; !r && i < n; i++)
		if (fl_discovery_is_named(&list[i]))
			memcpy(ids[named++], list[i].eni.interface_id, sizeof *ids);
	/* First who has gone, so that an id that is taken over ends before it begins again. */
	if (!r)
		r = fl_identity_log_only(s->log, (const char(*)[22])ids, named, now);
	for (size_t i = 0; !r && i < n; i++) {
		const struct fl_eni *e = &list[i].eni;
		struct fl_identity who = {.labels = fl_discovery_labels(s->discovery, &list[i])};

		if (!fl_discovery_is_named(&list[i]))
			continue;
		memcpy(who.interface_id, e->interface_id, sizeof who.interface_id);
		memcpy(who.device, e->device, sizeof who.device);
		memcpy(who.name, e->name, sizeof who.name);
		memcpy(who.kind, e->kind, sizeof who.kind);
		r = fl_identity_log_set(s->log, &who, now);
	}
	s->named = r ? s->named : named;
	return r;
}

/* A full disk or a kernel that is busy is no reason to end: it is tried again, and said once. */
static void update(struct names *s)
{
	int r = write_history(s);

	snprintf(s->error, sizeof s->error, "%s", r ? fl_error_text(r) : "");
	if (r && strcmp(s->error, s->said) != 0)
		fl_warn("names of interfaces: %s; it is tried again", s->error);
	if (r || *s->said)
		snprintf(s->said, sizeof s->said, "%s", s->error);
}

static void write_status(struct names *s)
{
	struct fl_buf buf FL_CLEANUP(fl_buf_free) = FL_BUF(65536);
	struct fl_json j = FL_JSON(&buf);

	fl_json_object(&j);
	fl_json_kstr(&j, "role", "names");
	fl_json_ki64(&j, "pid", getpid());
	fl_json_ku64(&j, "time", fl_now_ns(&fl_clock_system) / FL_NS_PER_S);
	fl_json_ku64(&j, "named", s->named);
	fl_json_ku64(&j, "look_ms", s->look_ns / FL_NS_PER_MS);
	fl_json_kstr(&j, "last_error", s->error);
	fl_json_end_object(&j);
	if (!fl_json_done(&j))
		(void)fl_file_write_atomic(s->run->statefd, "status/names.json", buf.data, buf.len, 0640, false);
}

static void look(struct names *s)
{
	uint64_t begin = now_ns();

	(void)fl_discovery_look_again(s->discovery, true);
	update(s);
	s->looked_at = now_ns();
	s->look_ns = s->looked_at - begin;
}

/* An interface is often there before its container's process and files are. */
static int on_look(void *ctx, uint64_t expirations)
{
	static const uint64_t after[] = {FL_NS_PER_S, 3 * FL_NS_PER_S, 10 * FL_NS_PER_S};
	struct names *s = ctx;
	uint64_t next;

	(void)expirations;
	look(s);
	if (s->looks >= FL_ARRAY_LEN(after))
		return 0;
	next = after[s->looks++];
	return fl_source_set_timer(s->look, FL_MAX(next, LOOK_SHARE * s->look_ns), 0);
}

static int on_discovery(void *ctx, int fd, uint32_t events)
{
	struct names *s = ctx;
	int r = fl_discovery_poll(s->discovery);

	(void)fd;
	(void)events;
	if (r <= 0)
		return r;
	s->looks = 0;
	return fl_source_set_timer(s->look, FL_MAX(FL_NS_PER_S / 5, LOOK_SHARE * s->look_ns), 0);
}

static int on_turn(void *ctx, uint64_t expirations)
{
	struct names *s = ctx;

	(void)expirations;
	if (now_ns() - s->looked_at >= FL_MAX(LOOK_EVERY_NS, LOOK_SHARE * s->look_ns))
		look(s);
	else if (fl_discovery_look_again(s->discovery, false) || *s->error)
		update(s);
	write_status(s);
	return 0;
}

static int on_signal(void *ctx, int signo)
{
	struct names *s = ctx;

	(void)signo;
	fl_loop_stop(s->loop);
	return 0;
}

static int run_loop(struct names *s)
{
	static const int signals[] = {SIGTERM, 0};
	struct fl_source *sources[3] = {NULL};
	int r = fl_loop_new(&s->loop);

	if (!r)
		r = fl_loop_add_signals(s->loop, signals, on_signal, s, &sources[0]);
	if (!r)
		r = fl_loop_add_timer(s->loop, 1, 0, on_look, s, &s->look);
	if (!r)
		r = fl_loop_add_timer(s->loop, TURN_NS, TURN_NS, on_turn, s, &sources[1]);
	if (!r)
		r = fl_loop_add_fd(s->loop, fl_discovery_fd(s->discovery), EPOLLIN, on_discovery, s, &sources[2]);
	return r ? r : fl_loop_run(s->loop);
}

int fl_names_drop(const struct fl_run *run)
{
	char(*places)[1024] FL_CLEANUP(fl_freep) = calloc(FL_NAMES_PLACES_MAX, sizeof *places);
	const char *readable[FL_NAMES_PLACES_MAX];
	size_t n = places ? fl_names_places("", places, FL_NAMES_PLACES_MAX) : 0;
	int r = places ? 0 : -ENOMEM;

	for (size_t i = 0; i < n; i++)
		readable[i] = places[i];
	if (!r)
		r = fl_confine_files(readable, n, run->statefd);
	if (r == FL_CONFINE_UNAVAILABLE)
		fl_debug("the kernel has no Landlock: the role that finds names may read all files");
	return r < 0 ? r : fl_privilege_drop(FL_ROLE_NAMES, run->uid, run->gid);
}

int fl_role_names(const struct fl_run *run)
{
	struct names s = {.run = run};
	int r = fl_discovery_new(&s.discovery, &run->discovery);

	if (!r)
		r = fl_names_drop(run);
	if (!r)
		r = fl_mkdirs(run->statefd, "status", 0750);
	if (!r)
		r = fl_identity_log_new(&s.log, run->statefd);
	if (!r)
		write_status(&s);
	if (!r)
		r = run_loop(&s);
	if (r)
		fl_err("%s", fl_error_text(r));
	fl_identity_log_free(&s.log);
	fl_discovery_free(&s.discovery);
	fl_loop_free(&s.loop);
	return r ? 1 : 0;
}
