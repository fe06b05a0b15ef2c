/* SPDX-License-Identifier: Apache-2.0 */
/* Segments on disk: what readers see of them, torn, damaged, cut and over their quota. Frames alone: test_frame.c. */
#include "journal/make.h"

#include <errno.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/cursor.h"

#define BASE 1735689600

static struct fl_journal *journal_at(int fd, uint64_t quota, uint64_t segment)
{
	struct fl_journal *j = NULL;
	int r = fl_journal_open(&j, fd, &(struct fl_journal_conf){quota, segment});

	if (r)
		fail_msg("%s", fl_error_text(r));
	return j;
}

/* A window that is longer than a segment comes back in pieces, each with the grounds of its flows. */
static void grounds_in_pieces(void **state)
{
	static struct fl_ground grounds[2] = {{.drop = "NETFILTER_DROP"}, {.rule = "acl-1/inbound/*", .opinion = 2}};
	const size_t n = 60000;
	struct fl_flow *flows = make_flows(n, 1, 60000);
	uint16_t *ground = calloc(n, sizeof *ground);
	struct fl_frame f = make_frame(1, 0, BASE, 60, flows, n), got;
	struct fl_journal *j = NULL;
	struct fl_reader *r = NULL;
	size_t at = 0, pieces = 0;
	struct temp t = temp_new();

	(void)state;
	f.grounds = grounds;
	f.n_grounds = 2;
	f.ground = ground;
	for (size_t i = 0; i < n; i++)
		ground[i] = (uint16_t)(i % 3);
	j = journal_at(t.fd, 16 << 20, 1 << 20);
	assert_int_equal(fl_journal_append(j, &f), 0);
	assert_int_equal(fl_journal_commit(j, 0, BASE, 60), 0);
	assert_int_equal(fl_reader_open(&r, t.fd, (struct fl_position){0}), 0);
	while (fl_reader_next(r, &got) == 1) {
		for (size_t i = 0; i < got.n_flows; i++, at++) {
			const struct fl_ground *g = fl_frame_ground(&got, i);

			assert_int_equal(!g, at % 3 == 0);
			if (g)
				assert_memory_equal(g, &grounds[at % 3 - 1], sizeof *g);
		}
		pieces++;
	}
	assert_int_equal(at, n);
	assert_true(pieces > 2);
	fl_reader_close(&r);
	fl_journal_close(&j);
	temp_remove(&t);
	free(flows);
	free(ground);
}

/* All that a new reader sees; stops at the first thing that is neither frame nor mark. */
static int read_all(int fd, struct fl_position from, unsigned *ret_frames, uint64_t *ret_flows, unsigned *ret_marks)
{
	struct fl_reader *r = NULL;
	struct fl_frame f;
	int what;

	*ret_frames = *ret_marks = 0;
	*ret_flows = 0;
	assert_int_equal(fl_reader_open(&r, fd, from), 0);
	while ((what = fl_reader_next(r, &f)) == 1 || what == FL_READER_WINDOW_END) {
		*ret_frames += what == 1;
		*ret_flows += what == 1 ? f.n_flows : 0;
		*ret_marks += what == FL_READER_WINDOW_END;
	}
	fl_reader_close(&r);
	return what;
}

static void readers_see_commits_only(void **state)
{
	struct temp t = temp_new();
	struct fl_journal *j = journal_at(t.fd, 1 << 20, 0);
	struct fl_flow *flows = make_flows(50, 1, 60000);
	struct fl_frame f = make_frame(0, 5, BASE, 60, flows, 50), got;
	struct fl_reader *a = NULL, *b = NULL;
	struct fl_position p;

	assert_int_equal(fl_reader_open(&a, t.fd, (struct fl_position){0}), 0);
	assert_int_equal(fl_reader_next(a, &got), 0);
	assert_int_equal(fl_journal_append(j, &f), 0);
	assert_int_equal(fl_reader_next(a, &got), 0);
	assert_int_equal(fl_journal_commit(j, 5, f.window.start, 60), 0);
	assert_int_equal(fl_reader_next(a, &got), 1);
	assert_frame(&got, &f);
	assert_int_equal(fl_reader_next(a, &got), FL_READER_WINDOW_END);
	assert_int_equal(got.window.window, 5);
	assert_int_equal(got.window.start, f.window.start);
	p = fl_reader_position(a);
	assert_int_equal(fl_reader_next(a, &got), 0);
	/* The same frame again is refused, also after opening again; another part is not. */
	assert_int_equal(fl_journal_append(j, &f), FL_JOURNAL_DUPLICATE);
	fl_journal_close(&j);
	j = journal_at(t.fd, 1 << 20, 0);
	assert_int_equal(fl_journal_append(j, &f), FL_JOURNAL_DUPLICATE);
	assert_int_equal(fl_journal_commit(j, 5, f.window.start, 60), 0); /* no second mark */
	assert_int_equal(fl_reader_next(a, &got), 0);
	f.window.part = 1;
	assert_int_equal(fl_journal_append(j, &f), 0);
	f.window.part = 0;
	f.window.epoch++;
	assert_int_equal(fl_journal_append(j, &f), 0);
	assert_int_equal(fl_journal_commit(j, 5, f.window.start, 60), 0);
	/* A second reader from the position of the first, and the cursor file. */
	fl_reader_close(&a);
	assert_int_equal(fl_reader_open(&b, t.fd, (struct fl_position){0}), 0);
	assert_int_equal(fl_reader_next(b, &got), 1);
	assert_int_equal(fl_reader_next(b, &got), FL_READER_WINDOW_END);
	p = fl_reader_position(b);
	assert_int_equal(fl_cursor_save(t.fd, "x", p), 0);
	memset(&p, 0, sizeof p);
	assert_int_equal(fl_cursor_load(t.fd, "x", &p), 0);
	assert_int_equal(fl_reader_open(&a, t.fd, p), 0);
	assert_int_equal(fl_reader_next(a, &got), 1);
	assert_int_equal(got.window.part, 1);
	assert_int_equal(fl_cursor_save(t.fd, "a/b", p), -EINVAL);
	fl_reader_close(&a);
	fl_reader_close(&b);
	fl_journal_close(&j);
	free(flows);
	temp_remove(&t);
}

/* Cut the last frame's bytes at every offset: what was before stays, and the journal goes on. */
static void torn_tail(void **state)
{
	struct temp t = temp_new();
	struct fl_journal *j = journal_at(t.fd, 64 << 10, 32 << 10);
	struct fl_flow *flows = make_flows(9, 1, 60000);
	struct fl_frame f = make_frame(0, 2, BASE, 60, flows, 9);
	char *image = malloc(32 << 10), *zero = calloc(1, 32 << 10);
	int seg = openat(t.fd, "seg.000", O_RDWR), head = openat(t.fd, "head", O_RDWR);
	size_t begin, end;
	struct fl_reader *r = NULL;
	struct fl_frame got;
	unsigned frames, marks;
	uint64_t n;
	struct stat st;
	char headimage[64];

	append_window(j, 1, 0, BASE, 60, 5);
	append_window(j, 1, 1, BASE, 60, 5);
	assert_int_equal(pread(head, headimage, sizeof headimage, 0) > 0, 1);
	fstat(head, &st);
	assert_int_equal(pread(seg, image, 32 << 10, 0), 32 << 10);
	assert_int_equal(fl_reader_open(&r, t.fd, (struct fl_position){0}), 0);
	while (fl_reader_next(r, &got))
		;
	begin = fl_reader_position(r).offset;
	fl_reader_close(&r);
	assert_int_equal(fl_journal_append(j, &f), 0);
	fl_journal_close(&j);
	assert_int_equal(pread(seg, image, 32 << 10, 0), 32 << 10);
	for (end = (32 << 10); end && !image[end - 1];)
		end--;
	assert_true(end > begin + 100);
	for (size_t cut = begin; cut <= end; cut++)
		for (int garbage = 0; garbage < 2; garbage++) {
			memset(zero, garbage ? 0xa5 : 0, 32 << 10);
			assert_int_equal(pwrite(seg, image, cut, 0), cut);
			assert_int_equal(pwrite(seg, zero, (32 << 10) - cut, (off_t)cut), (32 << 10) - cut);
			assert_int_equal(pwrite(head, headimage, (size_t)st.st_size, 0), st.st_size);
			j = journal_at(t.fd, 64 << 10, 32 << 10);
			assert_int_equal(read_all(t.fd, (struct fl_position){0}, &frames, &n, &marks), 0);
			assert_int_equal(frames, 2);
			assert_int_equal(marks, 2);
			/* Written again, whether it was there or not, it is there once. */
			assert_in_range(fl_journal_append(j, &f), 0, FL_JOURNAL_DUPLICATE);
			assert_int_equal(fl_journal_append(j, &f), FL_JOURNAL_DUPLICATE);
			assert_int_equal(fl_journal_commit(j, 2, f.window.start, 60), 0);
			assert_int_equal(read_all(t.fd, (struct fl_position){0}, &frames, &n, &marks), 0);
			assert_int_equal(frames, 3);
			assert_int_equal(n, 19);
			assert_int_equal(marks, 3);
			fl_journal_close(&j);
		}
	close(seg);
	close(head);
	free(image);
	free(zero);
	free(flows);
	temp_remove(&t);
}

/* Damage in what was committed is told once, and the segments after it are read. */
static void damage_is_told(void **state)
{
	struct temp t = temp_new();
	struct fl_journal *j = journal_at(t.fd, 256 << 10, 32 << 10);
	struct fl_reader *r = NULL;
	struct fl_frame f;
	int seg, what, damages = 0, after = 0;
	char b;

	for (uint32_t w = 0; w < 8; w++)
		append_window(j, 1, w, BASE, 60, 1000);
	seg = openat(t.fd, "seg.000", O_RDWR);
	assert_int_equal(pread(seg, &b, 1, 9000), 1);
	b ^= 1;
	assert_int_equal(pwrite(seg, &b, 1, 9000), 1);
	for (int again = 0; again < 2; again++) {
		assert_int_equal(fl_reader_open(&r, t.fd, (struct fl_position){0}), 0);
		damages = after = 0;
		while ((what = fl_reader_next(r, &f))) {
			damages += what == -EBADMSG;
			after += damages && what == 1;
			assert_true(what > 0 || what == -EBADMSG);
		}
		fl_reader_close(&r);
		assert_int_equal(damages, 1);
		assert_true(after > 4);
		fl_journal_close(&j);
		j = journal_at(t.fd, 256 << 10, 32 << 10);
		append_window(j, 1, 20 + (uint32_t)again, BASE, 60, 3);
	}
	fl_journal_close(&j);
	close(seg);
	temp_remove(&t);
}

/* The last segment's committed part is damaged: it is not taken for a torn tail. */
static void damage_at_the_end(void **state)
{
	struct temp t = temp_new();
	struct fl_journal *j = journal_at(t.fd, 64 << 10, 32 << 10);
	struct fl_reader *r = NULL;
	struct fl_frame f;
	int seg = openat(t.fd, "seg.000", O_RDWR), what, damages = 0;
	uint32_t last = 0;

	for (uint32_t w = 0; w < 3; w++)
		append_window(j, 1, w, BASE, 60, 5);
	fl_journal_close(&j);
	assert_int_equal(pwrite(seg, "x", 1, 300), 1);
	j = journal_at(t.fd, 64 << 10, 32 << 10);
	append_window(j, 1, 3, BASE, 60, 5);
	assert_int_equal(fl_reader_open(&r, t.fd, (struct fl_position){0}), 0);
	while ((what = fl_reader_next(r, &f))) {
		damages += what == -EBADMSG;
		last = what == 1 ? f.window.window : last;
	}
	assert_int_equal(damages, 1);
	assert_int_equal(last, 3);
	fl_reader_close(&r);
	fl_journal_close(&j);
	close(seg);
	temp_remove(&t);
}

/* A frame larger than a segment comes in pieces that add up; all of it or nothing after a crash in
 * the middle. */
static void pieces(void **state)
{
	struct temp t = temp_new();
	struct fl_journal *j = journal_at(t.fd, 1 << 20, 64 << 10);
	size_t n = 20000, at = 0;
	struct fl_flow *flows = make_flows(n, 4, 60000);
	struct fl_frame f = make_frame(1, 0, BASE, 60, flows, n), got;
	struct fl_reader *r = NULL;
	struct fl_ledger sum[FL_DIR_N] = {0};
	unsigned frames = 0, skips = 0;

	f.window.flags = FL_WINDOW_SKIPDATA;
	assert_int_equal(fl_journal_append(j, &f), 0);
	assert_int_equal(fl_journal_append(j, &f), FL_JOURNAL_DUPLICATE);
	assert_int_equal(fl_journal_commit(j, 0, BASE, 60), 0);
	fl_journal_close(&j);
	j = journal_at(t.fd, 1 << 20, 64 << 10);
	assert_int_equal(fl_journal_append(j, &f), FL_JOURNAL_DUPLICATE);
	assert_int_equal(fl_reader_open(&r, t.fd, (struct fl_position){0}), 0);
	while (fl_reader_next(r, &got) == 1) {
		frames++;
		skips += got.window.flags & FL_WINDOW_SKIPDATA;
		assert_true(at + got.n_flows <= n);
		assert_memory_equal(got.flows, flows + at, got.n_flows * sizeof *flows);
		at += got.n_flows;
		for (unsigned d = 0; d < FL_DIR_N; d++)
			fl_ledger_add(&sum[d], &got.ledger[d]);
	}
	assert_int_equal(at, n);
	assert_true(frames > 5);
	assert_int_equal(skips, 1);
	assert_memory_equal(sum, f.ledger, sizeof sum);
	fl_reader_close(&r);
	fl_journal_close(&j);
	free(flows);
	temp_remove(&t);
}

/* Recycling: what nobody has read is counted and told to the reader, interface by interface; what
 * all have read is no loss. */
static void quota(void **state)
{
	struct temp t = temp_new();
	struct fl_journal *j = journal_at(t.fd, 128 << 10, 32 << 10);
	struct fl_reader *slow = NULL, *quick = NULL;
	struct fl_frame f;
	struct fl_journal_stats st;
	unsigned marks = 0, quick_frames = 0, gaps = 0, slow_frames = 0, slow_marks = 0;
	uint64_t lost_flows = 0;
	struct stat before, after;
	int what;

	append_window(j, 3, 0, BASE, 60, 100);
	fstatat(t.fd, "seg.003", &before, 0);
	assert_int_equal(fl_reader_open(&slow, t.fd, (struct fl_position){0}), 0);
	assert_int_equal(fl_reader_open(&quick, t.fd, (struct fl_position){0}), 0);
	assert_int_equal(fl_reader_next(slow, &f), 1);
	assert_int_equal(fl_cursor_save(t.fd, "slow", fl_reader_position(slow)), 0);
	for (uint32_t w = 0; w < 60; w++) {
		if (w)
			append_window(j, 3, w, BASE, 60, 100);
		while ((what = fl_reader_next(quick, &f))) {
			assert_in_range(what, 1, FL_READER_WINDOW_END);
			quick_frames += what == 1;
			marks += what == FL_READER_WINDOW_END;
		}
		assert_int_equal(fl_cursor_save(t.fd, "quick", fl_reader_position(quick)), 0);
	}
	assert_int_equal(quick_frames, 180);
	assert_int_equal(marks, 60);
	fl_journal_stats(j, &st);
	assert_true(st.dropped_windows > 20);
	assert_true(st.oldest_unread_s >= BASE);
	while ((what = fl_reader_next(slow, &f))) {
		if (what == FL_READER_GAP) {
			gaps++;
			lost_flows += f.n_flows;
			assert_int_equal(strncmp(f.eni.interface_id, "eni-", 4), 0);
			assert_null(f.flows);
			assert_true(f.window.start >= BASE && f.window.length % 60 == 0 && f.window.length > 20 * 60);
			assert_true(f.ledger[1].lost[FL_LOSS_JOURNAL_QUOTA].packets > 0);
		}
		slow_frames += what == 1;
		slow_marks += what == FL_READER_WINDOW_END;
	}
	assert_int_equal(gaps, 3);
	assert_int_equal(st.dropped_flows, lost_flows);
	/* Every frame was read or reported: the first was read before. */
	assert_int_equal(1 + slow_frames + lost_flows / 100, 180);
	/* A window's mark may lie in a segment behind its frames. */
	assert_int_equal(slow_marks + st.dropped_windows, 60);
	fstatat(t.fd, "seg.003", &after, 0);
	assert_int_equal(before.st_ino, after.st_ino);
	assert_int_equal(before.st_blocks, after.st_blocks);
	/* When the slow one has caught up, recycling is no loss any more. */
	assert_int_equal(fl_cursor_save(t.fd, "slow", fl_reader_position(slow)), 0);
	append_window(j, 3, 60, BASE, 60, 100);
	fl_journal_close(&j);
	j = journal_at(t.fd, 128 << 10, 32 << 10);
	for (uint32_t w = 61; w < 90; w++) {
		append_window(j, 3, w, BASE, 60, 100);
		while ((what = fl_reader_next(slow, &f)))
			assert_in_range(what, 1, FL_READER_WINDOW_END);
		assert_int_equal(fl_cursor_save(t.fd, "slow", fl_reader_position(slow)), 0);
		assert_int_equal(fl_cursor_save(t.fd, "quick", fl_reader_position(slow)), 0);
	}
	fl_journal_stats(j, &st);
	assert_int_equal(st.dropped_windows, 0);
	assert_int_equal(st.oldest_unread_s, 0);
	fl_reader_close(&slow);
	fl_reader_close(&quick);
	fl_journal_close(&j);
	temp_remove(&t);
}

/* A reader in another process while the writer recycles under it: each window once, or told to be
 * missing; never out of order. */
static void reader_in_another_process(void **state)
{
	struct temp t = temp_new();
	struct fl_journal *j = journal_at(t.fd, 128 << 10, 32 << 10);
	int status;
	pid_t pid;

	append_window(j, 2, 0, BASE, 60, 50);
	pid = fork();
	if (!pid) {
		struct fl_reader *r = NULL;
		struct fl_frame f;
		int64_t next = 0;

		if (fl_reader_open(&r, t.fd, (struct fl_position){0}))
			_exit(2);
		for (unsigned idle = 0; next < 2000;) {
			int what = fl_reader_next(r, &f);

			if (what == 1) {
				idle = 0;
				if (f.window.window < next)
					_exit(3);
				next = f.window.window;
			} else if (what == FL_READER_WINDOW_END) {
				next = f.window.window + 1;
			} else if (!what) {
				if (idle++ > 3000)
					_exit(4);
				usleep(1000);
			} else if (what < 0 && what != -EAGAIN) {
				fprintf(stderr, "%s\n", fl_error_text(what));
				_exit(5);
			}
		}
		fl_reader_close(&r);
		_exit(0);
	}
	for (uint32_t w = 1; w < 2000; w++)
		append_window(j, 2, w, BASE, 60, 50);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	fl_journal_close(&j);
	temp_remove(&t);
}

static void sizes(void **state)
{
	struct temp t = temp_new();
	struct fl_journal *j = NULL;
	struct stat st;
	unsigned frames, marks;
	uint64_t n;

	assert_int_equal(fl_journal_open(&j, t.fd, &(struct fl_journal_conf){.quota_bytes = 1000}), -EINVAL);
	assert_non_null(strstr(fl_error_text(-EINVAL), "1000 bytes"));
	j = journal_at(t.fd, 1 << 20, 0);
	assert_int_equal(fstatat(t.fd, "seg.007", &st, 0), 0);
	assert_int_equal(st.st_size, 128 << 10);
	assert_true((uint64_t)st.st_blocks * 512 >= 128u << 10);
	append_window(j, 2, 0, BASE, 60, 10);
	fl_journal_close(&j);
	/* Smaller, then larger again: what is in it stays. */
	j = journal_at(t.fd, 256 << 10, 128 << 10);
	assert_int_equal(read_all(t.fd, (struct fl_position){0}, &frames, &n, &marks), 0);
	assert_int_equal(frames, 2);
	for (unsigned i = frames = 0; i < 8; i++) {
		char name[16];

		snprintf(name, sizeof name, "seg.%03u", i);
		frames += !fstatat(t.fd, name, &st, 0);
	}
	assert_int_equal(frames, 2);
	fl_journal_close(&j);
	j = journal_at(t.fd, 2 << 20, 0);
	append_window(j, 2, 1, BASE, 60, 10);
	assert_int_equal(read_all(t.fd, (struct fl_position){0}, &frames, &n, &marks), 0);
	assert_int_equal(frames, 4);
	fl_journal_close(&j);
	temp_remove(&t);
}

/* Deleted and made anew: an old cursor is not ahead of it. */
static void replaced(void **state)
{
	struct temp t = temp_new(), u = temp_new();
	struct fl_journal *j = journal_at(t.fd, 64 << 10, 32 << 10);
	struct fl_reader *r = NULL;
	struct fl_frame f;
	struct fl_position p;

	for (uint32_t w = 0; w < 9; w++)
		append_window(j, 1, w, BASE, 60, 100);
	assert_int_equal(fl_reader_open(&r, t.fd, (struct fl_position){0}), 0);
	while (fl_reader_next(r, &f))
		;
	p = fl_reader_position(r);
	fl_reader_close(&r);
	fl_journal_close(&j);
	sleep(1);
	j = journal_at(u.fd, 64 << 10, 32 << 10);
	append_window(j, 1, 0, BASE, 60, 1);
	assert_int_equal(fl_reader_open(&r, u.fd, p), 0);
	assert_int_equal(fl_reader_next(r, &f), 1);
	fl_reader_close(&r);
	fl_journal_close(&j);
	temp_remove(&t);
	temp_remove(&u);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(grounds_in_pieces),
	    cmocka_unit_test(readers_see_commits_only),
	    cmocka_unit_test(torn_tail),
	    cmocka_unit_test(damage_is_told),
	    cmocka_unit_test(damage_at_the_end),
	    cmocka_unit_test(pieces),
	    cmocka_unit_test(quota),
	    cmocka_unit_test(reader_in_another_process),
	    cmocka_unit_test(sizes),
	    cmocka_unit_test(replaced),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
