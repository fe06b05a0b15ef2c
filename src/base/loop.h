/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A small event loop over epoll: file descriptors, timers, signals. A handler returns 0 or a negative
 * errno, which ends fl_loop_run() with that value; fl_loop_stop() ends it with 0.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct fl_loop;
struct fl_source; /* owned by the loop; freed by fl_source_free or with the loop */

int fl_loop_new(struct fl_loop **ret);
void fl_loop_free(struct fl_loop **loop);
int fl_loop_run(struct fl_loop *loop);
int fl_loop_step(struct fl_loop *loop, int timeout_ms); /* one turn; 0 or an error */
void fl_loop_stop(struct fl_loop *loop);

typedef int (*fl_fd_fn)(void *ctx, int fd, uint32_t epoll_events);
typedef int (*fl_timer_fn)(void *ctx, uint64_t expirations);
typedef int (*fl_signal_fn)(void *ctx, int signo);

int fl_loop_add_fd(struct fl_loop *loop, int fd, uint32_t epoll_events, fl_fd_fn fn, void *ctx,
		   struct fl_source **ret); /* the fd stays the caller's */
/* First after first_ns from now, then every period_ns (0: once). CLOCK_MONOTONIC. */
int fl_loop_add_timer(struct fl_loop *loop, uint64_t first_ns, uint64_t period_ns, fl_timer_fn fn, void *ctx,
		      struct fl_source **ret);
int fl_source_set_timer(struct fl_source *s, uint64_t first_ns, uint64_t period_ns);
/* Blocks the signals in the thread and reads them from a signalfd. signos ends with 0. */
int fl_loop_add_signals(struct fl_loop *loop, const int *signos, fl_signal_fn fn, void *ctx, struct fl_source **ret);
void fl_source_free(struct fl_source **s);
