/* SPDX-License-Identifier: Apache-2.0 */
/* Delivery that is killed at every system call, and beside a disk that is full: each line once, and what is lost is
 * said. */
#include "deliver/rig.h"

#include <sys/wait.h>

/* ---- a crash at every system call ---- */

static uint32_t closed_windows(const struct temp *t)
{
	uint32_t w = 0;
	int fd = openat(t->fd, "closed", O_RDONLY);

	if (fd >= 0 && pread(fd, &w, sizeof w, 0) != sizeof w)
		w = 0;
	close(fd);
	return w;
}

/* As the engine does: a window is appended until it is known to be closed. */
static void script(struct temp t, uint32_t interval, uint32_t windows)
{
	struct rig r;
	uint32_t w = closed_windows(&t);
	int fd = openat(t.fd, "closed", O_RDWR | O_CREAT, 0600);

	rig_open(&r, t, a_log(interval), 128 << 10, 16 << 10);
	for (; w < windows; w++) {
		uint32_t next = w + 1;
		struct fl_faults kept;

		append(r.j, w, 60, 0);
		kept = fl_faults;
		fl_faults = (struct fl_faults){0};
		if (pwrite(fd, &next, sizeof next, 0) != sizeof next)
			_exit(9);
		fl_faults = kept;
		if (rig_run(&r, BASE + (w + 1) * 60, false))
			_exit(8);
	}
	if (rig_run(&r, BASE + windows * 60, true))
		_exit(8);
	rig_close(&r);
	close(fd);
}

/* Exit status of the script in a process of its own. */
static int run_script(struct temp t, uint32_t interval, uint32_t windows, unsigned die_at, bool torn)
{
	int status;
	pid_t pid = fork();

	if (!pid) {
		fl_faults = (struct fl_faults){.die_at = die_at, .torn = torn};
		script(t, interval, windows);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void crash_everywhere(uint32_t interval, uint32_t windows, bool torn, unsigned step)
{
	unsigned crashes = 0;
	int status = FL_FAULTS_DIED;

	for (unsigned n = 1; status == FL_FAULTS_DIED; n += step) {
		struct temp t = temp_new();
		struct lines want = {0}, got = {0};
		bool seen[3] = {false};
		char what[64];

		status = run_script(t, interval, windows, n, torn);
		assert_true(status == 0 || status == FL_FAULTS_DIED);
		snprintf(what, sizeof what, "%s at call %u", torn ? "torn" : "killed", n);
		/* What a reader sees now are whole windows, once. */
		if (interval == 60) {
			uint32_t k = closed_windows(&t);

			lines_of_store(&got, t.path, false, NULL);
			expect(&want, 0, k, 60, seen);
			if (got.n > want.n)
				expect(&want, k, k + 1, 60,
				       seen); /* committed, but the script did not note it any more */
			/* Before the flow log's file is there, there is nothing to read. */
			if (got.n && !lines_equal(&got, &want, what))
				fail();
			lines_free(&want);
			lines_free(&got);
		}
		assert_int_equal(run_script(t, interval, windows, 0, false), 0);
		memset(seen, 0, sizeof seen);
		if (interval == 60)
			expect(&want, 0, windows, 60, seen);
		else
			expect_merged(&want, windows, 0, 0);
		check_store(&t, &want, what);
		lines_free(&want);
		temp_remove(&t);
		crashes += status == FL_FAULTS_DIED;
	}
	print_message("%u crashes\n", crashes);
	assert_true(crashes > 25);
}

static void crash_at_every_call(void **state)
{
	crash_everywhere(60, 3, false, 1);
}

static void crash_in_every_write(void **state)
{
	crash_everywhere(60, 6, true, 1);
}

static void crash_while_merging(void **state)
{
	crash_everywhere(600, 20, false, 4);
}

/* ---- a full disk ---- */

static void full_disk_for_a_while(void **state)
{
	struct rig r;
	struct lines want = {0};
	bool seen[3] = {false};
	struct fl_delivery_stats st;

	rig_open(&r, temp_new(), a_log(60), 1 << 20, 0);
	for (uint32_t w = 0; w < 12; w++) {
		fl_faults.full = w >= 3 && w < 7;
		append(r.j, w, 60, 0); /* metering goes on */
		expect(&want, w, w + 1, 60, seen);
		assert_int_equal(rig_run(&r, BASE + (w + 1) * 60, false), fl_faults.full ? FL_DELIVERY_RETRY : 0);
		fl_delivery_stats(r.d, 0, &st);
		assert_int_equal(st.undelivered_windows, fl_faults.full ? w - 2 : 0);
		assert_int_equal(*st.last_error != 0, fl_faults.full);
		check_store(&r.t, &want, "full disk");
	}
	assert_true(st.failures >= 4);
	assert_int_equal(st.lost_flows, 0);
	lines_free(&want);
	rig_close(&r);
	temp_remove(&r.t);
}

/* Longer than the journal holds: what is gone is SKIPDATA, counted to the packet; the rest is there
 * once. */
static void full_disk_for_too_long(uint32_t interval)
{
	struct rig r;
	struct lines got = {0}, want = {0};
	struct fl_delivery_stats st;
	bool seen[3] = {false};
	size_t ok = 0, skips = 0, all_ok = 0;
	uint64_t packets = 0, got_packets = 0;
	uint32_t windows = 120;

	rig_open(&r, temp_new(), a_log(interval), 64 << 10, 16 << 10);
	for (uint32_t w = 0; w < windows; w++) {
		fl_faults.full = w >= 5 && w < 100;
		append(r.j, w, 60, 0);
		rig_run(&r, BASE + (w + 1) * 60, false);
	}
	assert_int_equal(rig_run(&r, BASE + windows * 60, true), 0);
	fl_delivery_stats(r.d, 0, &st);
	assert_true(st.lost_flows > 100);
	assert_true(st.lost_delivery.packets > 0);
	lines_of_store(&got, r.t.path, false, NULL);
	for (size_t i = 0; i < got.n; i++) {
		unsigned long long p;
		long long start, end;

		if (strstr(got.line[i], " SKIPDATA")) {
			assert_int_equal(sscanf(got.line[i], "%*s - - - - - - - %lld %lld", &start, &end), 2);
			assert_int_equal((start - BASE) % interval, 0);
			assert_int_equal(end - start, interval - 1);
			skips++;
		}
		if (strstr(got.line[i], " OK")) {
			assert_int_equal(sscanf(got.line[i], "%*s %*s %*s %*s %*s %*s %llu", &p), 1);
			got_packets += p;
			ok++;
		}
		assert_true(!i || strcmp(got.line[i], got.line[i - 1])); /* nothing twice */
	}
	expect(&want, 0, windows, 60, seen);
	for (size_t i = 0; i < want.n; i++) {
		unsigned long long p;

		if (strstr(want.line[i], " OK")) {
			assert_int_equal(sscanf(want.line[i], "%*s %*s %*s %*s %*s %*s %llu", &p), 1);
			packets += p;
			all_ok++;
		}
	}
	assert_int_equal(got_packets + st.lost_delivery.packets + st.lost_quota.packets, packets);
	if (interval == 60)
		assert_int_equal(ok + st.lost_flows, all_ok);
	assert_true(skips >= 3 * (interval == 60 ? 10u : 1u));
	lines_free(&want);
	lines_free(&got);
	rig_close(&r);
	temp_remove(&r.t);
}

static void journal_runs_over(void **state)
{
	full_disk_for_too_long(60);
}

static void journal_runs_over_while_merging(void **state)
{
	full_disk_for_too_long(600);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    BOTH(crash_at_every_call),
	    cmocka_unit_test(crash_in_every_write),
	    cmocka_unit_test(crash_while_merging),
	    cmocka_unit_test(full_disk_for_a_while),
	    cmocka_unit_test(journal_runs_over),
	    cmocka_unit_test(journal_runs_over_while_merging),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
