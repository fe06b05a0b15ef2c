/* SPDX-License-Identifier: Apache-2.0 */
/* Whatever happens to the meter, what the kernel counted is in the journal once, or named as lost. */
#include "life.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"

#define STEPS 60

static void live_on(void)
{
	start(sim->step > 0 || sim->burnt > 0);
	for (; sim->step < STEPS; sim->step++) {
		unsigned i = sim->step;

		for (unsigned k = 0; k < 12; k++)
			sim_send(k & 1, k & 2, (i * 5 + k * 3) % 61, 1 + k % 3, 60 + k);
		sim_drop(FL_EVICT_DROPPED, i & 1, i & 2, (i * 5 + (i & 3) * 3) % 61, 1 + (i % 4 == 1), 60);
		sim_drop(FL_EVICT_DROPPED_BEFORE, i & 1, true, i % 61, 2, 99);
		sim_pass(100 * MS);
		if (i == 25)
			sim->time.realtime -= 30 * S;
		/* The step is over for the world before the meter does its part. */
		sim->step = i + 1;
		if (fl_engine_tick(engine))
			_exit(3);
		sim->step = i;
	}
	stop();
}

/* One run: the meter dies when the fuse has burnt down, stays away for `away` steps, and lives on.
 * Returns steps burnt. */
static unsigned one_run(unsigned fuse, unsigned half_write, unsigned away)
{
	int status = 0, lives = 0;

	begin(1 * S, SIM_RING);
	sim->fuse = fuse;
	sim->half_write = half_write;
	do {
		pid_t pid = fork();

		if (!pid) {
			live_on();
			_exit(0);
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		if (!WIFEXITED(status) || (WEXITSTATUS(status) && WEXITSTATUS(status) != 42))
			fail_msg("fuse %u, away %u: status %x in step %u", fuse, away, status, sim->step);
		if (WEXITSTATUS(status) == 42) {
			uint32_t n = 0;

			sim->half_write = 0;
			/* What was not committed is not there any more. */
			while (n < sim->n_frames && sim->frame[n].committed)
				n++;
			sim->n_frames = n;
			for (unsigned i = 0; i < away && sim->row.window_ns; i++) {
				/* Before it finishes the programs are detached. */
				for (unsigned k = 0; k < 12 && sim->step < STEPS; k++)
					sim_send(k & 1, k & 2, (i * 11 + k) % 61, 1, 64);
				if (sim->step < STEPS)
					sim_drop(FL_EVICT_DROPPED, 1, false, (i * 11 + 1) % 61, 1, 64);
				sim_pass(100 * MS);
			}
		}
	} while (WEXITSTATUS(status) == 42 && ++lives < 4);
	assert_int_equal(WEXITSTATUS(status), 0);
	run_name[0] = fuse;
	run_name[1] = half_write;
	everything_is_there(true);
	return sim->burnt;
}

static void death_at_every_step(void **state)
{
	unsigned steps;

	snapshots = *state ? 1 : 0;
	steps = one_run(0, 0, 0);

	assert_true(steps > 300);
	for (unsigned fuse = 1; fuse <= steps; fuse += getenv("FL_ALL_STEPS") ? 1 : 3)
		one_run(fuse, 0, fuse % 4 ? fuse % 4 * 11 : 0);
}

static void death_in_the_middle_of_a_record(void **state)
{
	for (unsigned i = 1; i < 120; i += 5)
		one_run(0, i, i % 3 * 13);
	snapshots = 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(death_at_every_step),
	    cmocka_unit_test_prestate(death_at_every_step, (void *)"with snapshots"),
	    cmocka_unit_test(death_in_the_middle_of_a_record),
	};

	return cmocka_run_group_tests(tests, NULL, sim_end);
}
