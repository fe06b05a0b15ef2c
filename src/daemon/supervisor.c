/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/mem.h"
#include "cli/cli.h"
#include "daemon/daemon.h"
#include "daemon/notify.h"
#include "daemon/privilege.h"

#define RESTART_DELAY_NS FL_NS_PER_S
#define STOP_TIMEOUT_S 20
#define TRIES_BEFORE_READY 3 /* a meter that never came up will not come up */

struct supervisor;

/* A role: how its process begins. The order is that of stopping: what fills the journal before what
 * empties it. */
static int start_meter(struct supervisor *s);
static int start_names(struct supervisor *s);
static int start_deliver(struct supervisor *s);
static int start_view(struct supervisor *s);

enum { ROLE_METER, ROLE_NAMES, ROLE_DELIVER, ROLE_VIEW, ROLE_N };
static const struct {
	const char *name;
	int (*body)(struct supervisor *s);
} roles[ROLE_N] = {
    [ROLE_METER] = {"meter", start_meter},
    [ROLE_NAMES] = {"names", start_names},
    [ROLE_DELIVER] = {"deliver", start_deliver},
    [ROLE_VIEW] = {"view", start_view},
};

struct supervisor {
	struct fl_run *run;
	struct fl_loop *loop;
	struct fl_source *channel_source, *restart_timer;
	int channel, child_channel; /* our end and, between socketpair and fork, the meter's */
	bool view, stopping, ready, failed;
	pid_t pid[ROLE_N];
	unsigned restarts[ROLE_N];
};

static int start_meter(struct supervisor *s)
{
	fl_closep(&s->channel);
	/* A meter that starts again finds the kernel's side as the one before left it. */
	if (s->run->privileged && s->restarts[ROLE_METER])
		s->run->reused = true;
	return fl_role_meter(s->run, s->child_channel);
}

/* What only the meter may hold: maps with everybody's traffic. */
static void forget_capture(struct supervisor *s)
{
	fl_closep(&s->channel);
	if (s->run->privileged)
		s->run->ops->close(&s->run->privileged, false);
	fl_closep(&s->run->shmfd);
}

static int start_names(struct supervisor *s)
{
	forget_capture(s);
	return fl_role_names(s->run);
}

static int start_deliver(struct supervisor *s)
{
	forget_capture(s);
	return fl_role_deliver(s->run);
}

static int start_view(struct supervisor *s)
{
	struct fl_view *view = NULL;
	int r;

	forget_capture(s);
	/* The user may be able to read the store but not the way to it. */
	r = fchdir(s->run->statefd) ? fl_fail(-errno, "%s: %m", s->run->store)
				    : fl_view_new(&view, ".", s->run->store, STDOUT_FILENO);
	if (!r)
		r = fl_privilege_drop(FL_ROLE_VIEW, s->run->uid, s->run->gid);
	while (!r) {
		sleep(1);
		r = fl_view_draw(view);
	}
	fl_err("view: %s", fl_error_text(r));
	fl_view_free(&view);
	return 1;
}

static int on_channel(void *ctx, int fd, uint32_t events)
{
	struct supervisor *s = ctx;
	int r = fl_channel_answer(fd, s->run, s->stopping);

	(void)events;
	if (r == FL_CHANNEL_GONE) {
		fl_source_free(&s->channel_source);
		fl_closep(&s->channel);
	} else if (r == FL_CHANNEL_READY && !s->ready) {
		s->ready = true;
		fl_notify(s->run->privileged ? "READY=1\nSTATUS=metering with eBPF"
					     : "READY=1\nSTATUS=metering with AF_PACKET");
	}
	return 0;
}

static int open_channel(struct supervisor *s)
{
	int pair[2];
	int r;

	fl_source_free(&s->channel_source);
	fl_closep(&s->channel);
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
		return fl_fail(-errno, "the meter's channel cannot be opened: %m");
	s->channel = pair[0];
	s->child_channel = pair[1];
	r = fl_loop_add_fd(s->loop, s->channel, EPOLLIN, on_channel, s, &s->channel_source);
	return r;
}

static int spawn(struct supervisor *s, unsigned role)
{
	int r = role == ROLE_METER ? open_channel(s) : 0;
	pid_t pid, parent = getpid();
	sigset_t none;

	if (r)
		return r;
	fflush(NULL);
	pid = fork();
	if (pid < 0)
		return fl_fail(-errno, "%s cannot be started: %m", roles[role].name);
	if (!pid) {
		/* The parent may have died before this took effect. */
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(1);
		/* Ctrl-C and the end of a terminal reach every process of ours at once; the order of ending is the
		 * supervisor's. */
		signal(SIGINT, SIG_IGN);
		signal(SIGHUP, SIG_IGN);
		sigemptyset(&none);
		sigprocmask(SIG_SETMASK, &none, NULL);
		fl_log_set_role(roles[role].name);
		_exit(roles[role].body(s));
	}
	if (role == ROLE_METER)
		fl_closep(&s->child_channel);
	s->pid[role] = pid;
	return 0;
}

static int on_restart(void *ctx, uint64_t expirations)
{
	struct supervisor *s = ctx;
	int r = 0;

	(void)expirations;
	for (unsigned i = 0; !r && i < ROLE_N && !s->stopping; i++)
		if (!s->pid[i] && (i != ROLE_VIEW || s->view)) {
			s->restarts[i]++;
			r = spawn(s, i);
		}
	return r;
}

static void reap(struct supervisor *s)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		for (unsigned i = 0; i < ROLE_N; i++) {
			if (s->pid[i] != pid)
				continue;
			s->pid[i] = 0;
			if (s->stopping)
				continue;
			if (i == ROLE_METER && !s->ready && s->restarts[i] + 1 >= TRIES_BEFORE_READY) {
				s->failed = true;
				fl_err("the meter does not come up; what it said last is why");
				fl_loop_stop(s->loop);
				continue;
			}
			if (WIFSIGNALED(status))
				fl_warn("%s (pid %d) was killed by signal %d; it starts again in a "
					"second",
					roles[i].name, pid, WTERMSIG(status));
			else
				fl_warn("%s (pid %d) ended with status %d; it starts again in a second", roles[i].name,
					pid, WEXITSTATUS(status));
			fl_source_set_timer(s->restart_timer, RESTART_DELAY_NS, 0);
		}
}

static int on_signal(void *ctx, int signo)
{
	struct supervisor *s = ctx;

	if (signo == SIGCHLD)
		reap(s);
	else
		fl_loop_stop(s->loop);
	return 0;
}

static int write_status(void *ctx, uint64_t expirations)
{
	struct supervisor *s = ctx;
	struct fl_buf buf FL_CLEANUP(fl_buf_free) = FL_BUF(65536);
	struct fl_json j = FL_JSON(&buf);
	struct fl_live_verdicts v;

	(void)expirations;
	if (s->run->privileged)
		(void)s->run->ops->verdicts(s->run->privileged, &v);
	fl_json_object(&j);
	fl_json_kstr(&j, "role", "supervisor");
	fl_json_ki64(&j, "pid", getpid());
	fl_json_ku64(&j, "time", fl_now_ns(&fl_clock_system) / FL_NS_PER_S);
	fl_json_kstr(&j, "backend", s->run->ops->name);
	fl_json_kstr(&j, "pins", s->run->live.pin_name ? s->run->live.pin_name : "");
	fl_json_key(&j, "roles");
	fl_json_array(&j);
	for (unsigned i = 0; i < ROLE_N; i++) {
		if (i == ROLE_VIEW)
			continue;
		fl_json_object(&j);
		fl_json_kstr(&j, "name", roles[i].name);
		fl_json_ki64(&j, "pid", s->pid[i]);
		fl_json_ku64(&j, "restarts", s->restarts[i]);
		fl_json_end_object(&j);
	}
	fl_json_end_array(&j);
	fl_json_end_object(&j);
	/* With the user's rights: the directory is theirs, and so is whatever they put into our
	 * way. A status that cannot be written (full disk) must not stop anything. */
	setfsgid(s->run->gid);
	setfsuid(s->run->uid);
	if (!fl_json_done(&j))
		(void)fl_file_write_atomic(s->run->statefd, "status/supervisor.json", buf.data, buf.len, 0640, false);
	setfsuid(geteuid());
	setfsgid(getegid());
	return 0;
}

/* Ask one role to finish and wait for it; kill it when it takes too long. */
static void stop_role(struct supervisor *s, unsigned role)
{
	if (!s->pid[role])
		return;
	kill(s->pid[role], SIGTERM);
	for (unsigned i = 0; s->pid[role] && i < STOP_TIMEOUT_S * 20; i++) {
		usleep(50000);
		/* A meter that waits for an answer could not end. */
		if (role == ROLE_METER && s->channel >= 0 &&
		    fl_channel_answer(s->channel, s->run, true) == FL_CHANNEL_GONE)
			fl_closep(&s->channel);
		reap(s);
	}
	if (s->pid[role]) {
		fl_warn("%s did not end within %d s and is killed; its log is kept for the next start",
			roles[role].name, STOP_TIMEOUT_S);
		kill(s->pid[role], SIGKILL);
		s->failed = true;
	}
}

static void stop_all(struct supervisor *s)
{
	fl_notify("STOPPING=1\nSTATUS=closing the open window");
	/* The programs go first: what the meter then reads is final. */
	if (s->run->privileged)
		for (unsigned slot = 0; slot < 1024; slot++)
			s->run->ops->detach(s->run->privileged, (uint16_t)slot);
	/* While the meter writes its last window, nothing is left to name. */
	if (s->pid[ROLE_NAMES])
		kill(s->pid[ROLE_NAMES], SIGTERM);
	stop_role(s, ROLE_METER);
	stop_role(s, ROLE_NAMES);
	stop_role(s, ROLE_DELIVER);
}

int fl_supervise(struct fl_run *run, bool view)
{
	static const int signals[] = {SIGTERM, SIGINT, SIGHUP, SIGCHLD, 0};
	struct supervisor s = {.run = run, .channel = -1, .child_channel = -1, .view = view};
	struct fl_source *signal_source = NULL, *status_source = NULL;
	int r = fl_loop_new(&s.loop);

	if (!r)
		r = fl_loop_add_signals(s.loop, signals, on_signal, &s, &signal_source);
	if (!r)
		r = fl_loop_add_timer(s.loop, 0, 0, on_restart, &s, &s.restart_timer);
	if (!r)
		r = fl_loop_add_timer(s.loop, FL_NS_PER_S, FL_NS_PER_S, write_status, &s, &status_source);
	for (unsigned i = 0; !r && i < ROLE_N; i++)
		if (i != ROLE_VIEW || view)
			r = spawn(&s, i);
	if (!r)
		r = fl_loop_run(s.loop);
	if (r)
		fl_err("%s", fl_error_text(r));
	s.stopping = true;
	stop_role(&s, ROLE_VIEW);
	if (view)
		fputs("\nclosing the open window ...\n", stderr);
	stop_all(&s);
	if (view && !r && !s.failed)
		fprintf(stderr, "nothing is attached any more; what was recorded is in %s, '%s audit%s%s' checks it\n",
			run->store, fl_cli_program(), strcmp(run->store, FL_STORE_DEFAULT) ? " --store " : "",
			strcmp(run->store, FL_STORE_DEFAULT) ? run->store : "");
	fl_source_free(&s.channel_source);
	fl_closep(&s.channel);
	fl_loop_free(&s.loop);
	return r || s.failed ? 1 : 0;
}
