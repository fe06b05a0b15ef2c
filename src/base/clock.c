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

static uint64_t system_realtime(void *ctx)
{
	(void)ctx;
	return read_clock(CLOCK_REALTIME);
}

static uint64_t system_monotonic(void *ctx)
{
	(void)ctx;
	return read_clock(CLOCK_MONOTONIC);
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
