/* SPDX-License-Identifier: Apache-2.0 */
#include "base/loop.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/mem.h"

#define EVENTS_A_TURN 32

enum kind { KIND_FD, KIND_TIMER, KIND_SIGNAL };

struct fl_source {
	struct fl_loop *loop;
	struct fl_source *next;
	enum kind kind;
	int fd;
	bool own_fd, dead;
	union {
		fl_fd_fn fd_fn;
		fl_timer_fn timer_fn;
		fl_signal_fn signal_fn;
	};
	void *ctx;
};

struct fl_loop {
	int epoll;
	bool stop;
	struct fl_source *sources;
};

int fl_loop_new(struct fl_loop **ret)
{
	struct fl_loop *l = calloc(1, sizeof *l);

	if (!l)
		return -ENOMEM;
	l->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (l->epoll < 0) {
		free(l);
		return fl_fail(-errno, "no event loop: %m");
	}
	*ret = l;
	return 0;
}

static void destroy(struct fl_source *s)
{
	if (s->own_fd)
		fl_closep(&s->fd);
	free(s);
}

/* Sources freed inside a handler may still stand in the turn's events: they go when the turn is over. */
static void sweep(struct fl_loop *l)
{
	struct fl_source **at = &l->sources;

	while (*at) {
		struct fl_source *s = *at;

		if (!s->dead) {
			at = &s->next;
			continue;
		}
		*at = s->next;
		destroy(s);
	}
}

void fl_loop_free(struct fl_loop **loop)
{
	struct fl_loop *l = *loop;

	if (!l)
		return;
	while (l->sources) {
		struct fl_source *s = l->sources;

		l->sources = s->next;
		destroy(s);
	}
	fl_closep(&l->epoll);
	free(l);
	*loop = NULL;
}

void fl_loop_stop(struct fl_loop *loop)
{
	loop->stop = true;
}

static int on_timer(struct fl_source *s)
{
	uint64_t expirations;

	if (read(s->fd, &expirations, sizeof expirations) != sizeof expirations)
		return 0;
	return s->timer_fn(s->ctx, expirations);
}

static int on_signal(struct fl_source *s)
{
	struct signalfd_siginfo si;

	if (read(s->fd, &si, sizeof si) != sizeof si)
		return 0;
	return s->signal_fn(s->ctx, (int)si.ssi_signo);
}

static int dispatch(struct fl_source *s, uint32_t events)
{
	switch (s->kind) {
	case KIND_TIMER:
		return on_timer(s);
	case KIND_SIGNAL:
		return on_signal(s);
	default:
		return s->fd_fn(s->ctx, s->fd, events);
	}
}

int fl_loop_step(struct fl_loop *loop, int timeout_ms)
{
	struct epoll_event events[EVENTS_A_TURN];
	int n = epoll_wait(loop->epoll, events, EVENTS_A_TURN, timeout_ms), r = 0;

	if (n < 0)
		return errno == EINTR ? 0 : fl_fail(-errno, "waiting for events: %m");
	for (int i = 0; i < n && !r; i++) {
		struct fl_source *s = events[i].data.ptr;

		if (!s->dead)
			r = dispatch(s, events[i].events);
	}
	sweep(loop);
	return r < 0 ? r : 0;
}

int fl_loop_run(struct fl_loop *loop)
{
	int r = 0;

	loop->stop = false;
	while (!r && !loop->stop)
		r = fl_loop_step(loop, -1);
	return r;
}

static int add(struct fl_loop *loop, const struct fl_source *template, uint32_t events, struct fl_source **ret)
{
	struct fl_source *s = malloc(sizeof *s);
	struct epoll_event ev = {.events = events, .data.ptr = s};

	if (!s)
		return -ENOMEM;
	*s = *template;
	if (epoll_ctl(loop->epoll, EPOLL_CTL_ADD, s->fd, &ev)) {
		int r = fl_fail(-errno, "an event source cannot be added: %m");

		destroy(s);
		return r;
	}
	s->loop = loop;
	s->next = loop->sources;
	loop->sources = s;
	*ret = s;
	return 0;
}

int fl_loop_add_fd(struct fl_loop *loop, int fd, uint32_t epoll_events, fl_fd_fn fn, void *ctx, struct fl_source **ret)
{
	struct fl_source s = {.kind = KIND_FD, .fd = fd, .fd_fn = fn, .ctx = ctx};

	return add(loop, &s, epoll_events, ret);
}

static struct timespec timespec_of(uint64_t ns)
{
	return (struct timespec){.tv_sec = (time_t)(ns / FL_NS_PER_S), .tv_nsec = (long)(ns % FL_NS_PER_S)};
}

int fl_source_set_timer(struct fl_source *s, uint64_t first_ns, uint64_t period_ns)
{
	struct itimerspec its = {.it_value = timespec_of(first_ns), .it_interval = timespec_of(period_ns)};

	/* Both zero disarms, as timerfd has it. */
	return timerfd_settime(s->fd, 0, &its, NULL) ? fl_fail(-errno, "a timer cannot be set: %m") : 0;
}

int fl_loop_add_timer(struct fl_loop *loop, uint64_t first_ns, uint64_t period_ns, fl_timer_fn fn, void *ctx,
		      struct fl_source **ret)
{
	struct fl_source s = {.kind = KIND_TIMER, .own_fd = true, .timer_fn = fn, .ctx = ctx};
	int r;

	s.fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (s.fd < 0)
		return fl_fail(-errno, "no timer: %m");
	r = add(loop, &s, EPOLLIN, ret);
	return r ? r : fl_source_set_timer(*ret, first_ns, period_ns);
}

int fl_loop_add_signals(struct fl_loop *loop, const int *signos, fl_signal_fn fn, void *ctx, struct fl_source **ret)
{
	struct fl_source s = {.kind = KIND_SIGNAL, .own_fd = true, .signal_fn = fn, .ctx = ctx};
	sigset_t set;

	sigemptyset(&set);
	for (; *signos; signos++)
		sigaddset(&set, *signos);
	if (sigprocmask(SIG_BLOCK, &set, NULL))
		return fl_fail(-errno, "signals cannot be blocked: %m");
	s.fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (s.fd < 0)
		return fl_fail(-errno, "no signals: %m");
	return add(loop, &s, EPOLLIN, ret);
}

void fl_source_free(struct fl_source **s)
{
	if (!*s)
		return;
	epoll_ctl((*s)->loop->epoll, EPOLL_CTL_DEL, (*s)->fd, NULL);
	(*s)->dead = true;
	*s = NULL;
}
