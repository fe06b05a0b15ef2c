/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"

#include <stddef.h>
#include <time.h>

static uint64_t read_clock(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (uint64_t)ts.tv_sec * FL_NS_PER_S + (uint64_t)ts.tv_nsec;
}

/*
 * The coarse clocks: the ones that the program in the kernel reads (bpf_ktime_get_coarse_ns). They move with the timer
 * tick, which a busy host may hold back; read any other clock, and a window would seem to be over while the kernel
 * still adds to it.
 */
static uint64_t system_realtime(void *ctx)
{
	(void)ctx;
	return read_clock(CLOCK_REALTIME_COARSE);
}

static uint64_t system_monotonic(void *ctx)
{
	(void)ctx;
	return read_clock(CLOCK_MONOTONIC_COARSE);
}

const struct fl_clock fl_clock_system = {.realtime_ns = system_realtime, .monotonic_ns = system_monotonic};

static uint64_t sim_realtime(void *ctx)
{
	return ((struct fl_clock_sim *)ctx)->realtime;
}

static uint64_t sim_monotonic(void *ctx)
{
	return ((struct fl_clock_sim *)ctx)->monotonic;
}

struct fl_clock fl_clock_sim(struct fl_clock_sim *state)
{
	return (struct fl_clock){.realtime_ns = sim_realtime, .monotonic_ns = sim_monotonic, .ctx = state};
}
