/* SPDX-License-Identifier: Apache-2.0 */
/* Time comes in through this interface, so that tests own it. */
#pragma once

#include <stdint.h>

#define FL_NS_PER_S 1000000000ull
#define FL_NS_PER_MS 1000000ull

struct fl_clock {
	uint64_t (*realtime_ns)(void *ctx);  /* CLOCK_REALTIME_COARSE */
	uint64_t (*monotonic_ns)(void *ctx); /* CLOCK_MONOTONIC_COARSE, as the kernel side */
	void *ctx;
};

extern const struct fl_clock fl_clock_system;

/* A clock that stands still until it is moved. */
struct fl_clock_sim {
	uint64_t realtime, monotonic;
};
struct fl_clock fl_clock_sim(struct fl_clock_sim *state);

static inline uint64_t fl_now_ns(const struct fl_clock *c)
{
	return c->realtime_ns(c->ctx);
}
static inline uint64_t fl_mono_ns(const struct fl_clock *c)
{
	return c->monotonic_ns(c->ctx);
}
