/* SPDX-License-Identifier: Apache-2.0 */
/* Files, journal and open window as one; what delivery does with them is tests/deliver's. */
#include "deliver/lines.h"

#include <errno.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define BASE 1735689600

static int count_status(void *ctx, const struct fl_frame *f, const struct fl_record *r)
{
	unsigned *n = ctx;

	n[r->status]++;
	n[3] += r->start == f->window.start && r->end == f->window.start + f->window.length - 1;
	return 0;
}

static void frames_as_records(void **state)
{
	struct fl_flow *flows = make_flows(5, 1, 60000);
	struct fl_frame f = make_frame(0, 0, BASE, 60, flows, 5);
	unsigned n[4] = {0};

	assert_int_equal(fl_frame_records(&f, count_status, n), 0);
	assert_int_equal(n[FL_STATUS_OK], 5);
	assert_int_equal(n[FL_STATUS_NODATA] + n[FL_STATUS_SKIPDATA], 0);
	f.window.flags = FL_WINDOW_SKIPDATA;
	assert_int_equal(fl_frame_records(&f, count_status, n), 0);
	assert_int_equal(n[FL_STATUS_OK], 10);
	assert_int_equal(n[FL_STATUS_SKIPDATA], 1);
	f.window.flags = 0;
	f.n_flows = 0;
	memset(n, 0, sizeof n);
	assert_int_equal(fl_frame_records(&f, count_status, n), 0);
	assert_int_equal(n[FL_STATUS_NODATA], 1);
	assert_int_equal(n[3], 1);
	f.window.part = 1; /* what came late is nothing: that says nothing about the window */
	assert_int_equal(fl_frame_records(&f, count_status, n), 0);
	f.window.part = 0;
	f.window.flags = FL_WINDOW_SILENT;
	assert_int_equal(fl_frame_records(&f, count_status, n), 0);
	assert_int_equal(n[FL_STATUS_NODATA], 1);
	free(flows);
}

static void nothing_there(void **state)
{
	struct temp t = temp_new();
	struct fl_store *s = NULL;

	assert_int_equal(fl_store_open(&s, t.path, NULL), -ENOENT);
	assert_non_null(strstr(fl_error_text(-ENOENT), "flowlog run"));
	assert_int_equal(fl_store_open(&s, "/nonexistent", NULL), -ENOENT);
	assert_int_equal(fl_store_open(&s, t.path, "../../etc/passwd"), -EINVAL);
	assert_int_equal(fl_mkdirs(t.fd, "deliver", 0750), 0);
	assert_int_equal(fl_file_write_atomic(t.fd, "deliver/fl-1.json", "{\"cursor\":", 10, 0640, false), 0);
	assert_int_equal(fl_store_open(&s, t.path, NULL), -EBADMSG);
	temp_remove(&t);
}

static struct fl_delivery *delivery_at(struct temp *t, struct fl_flow_log *log, struct fl_clock_sim *now)
{
	struct fl_delivery_conf conf = {t->fd, log, 1, fl_clock_sim(now)};
	struct fl_delivery *d = NULL;

	assert_int_equal(fl_delivery_open(&d, &conf), 0);
	return d;
}

static struct fl_journal *journal_in(struct temp *t)
{
	struct fl_journal *j = NULL;
	int fd;

	assert_int_equal(fl_mkdirs(t->fd, "journal", 0750), 0);
	fd = openat(t->fd, "journal", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(fl_journal_open(&j, fd, &(struct fl_journal_conf){.quota_bytes = 1 << 20}), 0);
	close(fd);
	return j;
}

static const struct fl_flow_log a_log = {.id = LOG_ID,
					 .account_id = "123456789012",
					 .region = "eu-central-1",
					 .format = FORMAT,
					 .interval = 60,
					 .bucket = "b",
					 .prefix = "p/q",
					 .publish_every_s = 60};

static void write_open(struct temp *t, uint32_t w, size_t n)
{
	struct fl_buf b = FL_BUF(1u << 20);

	assert_int_equal(fl_mkdirs(t->fd, "status", 0750), 0);
	for (unsigned i = 0; i < 2; i++) {
		struct fl_flow *flows = make_flows(n, mix(i, w), 60000);
		struct fl_frame f = make_frame(i, w, BASE, 60, flows, n);

		f.window.flags = FL_WINDOW_PROVISIONAL;
		assert_int_equal(fl_frame_encode(&f, &b), 0);
		free(flows);
	}
	assert_int_equal(fl_file_write_atomic(t->fd, "status/open", b.data, b.len, 0640, false), 0);
	fl_buf_free(&b);
}

/* The open window is added; as soon as it is closed the snapshot of it is not, whether the window
 * is in the journal or in a file. */
static void open_window(void **state)
{
	struct temp t = temp_new();
	struct fl_journal *j = journal_in(&t);
	struct fl_clock_sim now = {BASE * FL_NS_PER_S, 1};
	struct fl_flow_log log = a_log;
	struct fl_delivery *d = delivery_at(&t, &log, &now);
	struct lines l = {0};
	uint32_t wait;

	append_window(j, 2, 0, BASE, 60, 10);
	write_open(&t, 1, 4);
	lines_of_store(&l, t.path, false, NULL);
	assert_int_equal(l.n, 20);
	lines_free(&l);
	lines_of_store(&l, t.path, true, NULL);
	assert_int_equal(l.n, 28);
	lines_free(&l);
	append_window(j, 2, 1, BASE, 60, 6);
	lines_of_store(&l, t.path, true, NULL);
	assert_int_equal(l.n, 32);
	lines_free(&l);
	assert_int_equal(fl_delivery_run(d, true, &wait), 0);
	lines_of_store(&l, t.path, true, NULL);
	assert_int_equal(l.n, 32);
	lines_free(&l);
	write_open(&t, 2, 4);
	lines_of_store(&l, t.path, true, NULL);
	assert_int_equal(l.n, 40);
	lines_free(&l);
	fl_delivery_close(&d);
	fl_journal_close(&j);
	temp_remove(&t);
}

/* Another process reads again and again while windows are closed and delivered: always whole
 * windows, each once. */
static void while_delivery_works(void **state)
{
	struct temp t = temp_new();
	struct fl_journal *j = journal_in(&t);
	struct fl_clock_sim now = {BASE * FL_NS_PER_S, 1};
	struct fl_flow_log log = a_log;
	struct fl_delivery *d = delivery_at(&t, &log, &now);
	int status;
	uint32_t wait;
	int looked[2];
	char c;
	pid_t pid;

	assert_int_equal(pipe(looked), 0);
	pid = fork();
	if (!pid) {
		size_t before = 0, n = 0, looks = 0;

		close(looked[0]);
		for (; n < 60 * 20; looks++) {
			struct lines l = {0};

			if (write(looked[1], "", 1) != 1)
				_exit(6);

			lines_of_store(&l, t.path, false, NULL);
			n = l.n;
			for (size_t i = 1; i < n; i++)
				if (!strcmp(l.line[i], l.line[i - 1]))
					_exit(3);
			if (n < before || n % 20)
				_exit(4);
			before = n;
			lines_free(&l);
		}
		_exit(looks > 3 ? 0 : 5);
	}
	close(looked[1]);
	for (uint32_t w = 0; w < 60; w++) {
		append_window(j, 2, w, BASE, 60, 10);
		now.realtime += 60 * FL_NS_PER_S;
		assert_int_equal(fl_delivery_run(d, false, &wait), 0);
		/* At the reader's pace, in step with it and out of step. */
		if (w % 4 == 0)
			(void)!read(looked[0], &c, 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	close(looked[0]);
	assert_int_equal(status, 0);
	fl_delivery_close(&d);
	fl_journal_close(&j);
	temp_remove(&t);
}

static void what_the_log_is(void **state)
{
	struct temp t = temp_new();
	struct fl_journal *j = journal_in(&t);
	struct fl_clock_sim now = {BASE * FL_NS_PER_S, 1};
	struct fl_flow_log log = a_log;
	struct fl_delivery *d;
	struct fl_store *s = NULL;
	uint32_t wait;
	int alive = 0;

	log.format = "default";
	d = delivery_at(&t, &log, &now);
	for (uint32_t w = 0; w < 7; w++) {
		append_window(j, 1, w, BASE, 60, 1);
		assert_int_equal(fl_delivery_run(d, false, &wait), 0);
	}
	assert_int_equal(fl_store_open(&s, t.path, NULL), 0);
	assert_string_equal(fl_store_log(s)->id, LOG_ID);
	assert_string_equal(fl_store_log(s)->prefix_dir, "s3/b/p/q/AWSLogs");
	assert_int_equal(strncmp(fl_store_log(s)->format, "${version} ${account-id}", 24), 0);
	assert_int_equal(fl_store_log(s)->interval, 60);
	assert_null(fl_store_log(s)->plan_name);
	assert_int_equal(fl_store_file_count(s), 7);
	for (size_t i = 0; i < 7; i++) {
		struct stat st;
		const char *at = strstr(fl_store_file(s, i), "_2025");

		alive += !stat(fl_store_file(s, i), &st);
		assert_true(!i || strncmp(strstr(fl_store_file(s, i - 1), "_2025"), at, 15) <= 0);
	}
	assert_int_equal(alive, 7);
	fl_store_close(&s);
	fl_delivery_close(&d);
	fl_journal_close(&j);
	temp_remove(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(frames_as_records), cmocka_unit_test(nothing_there),        cmocka_unit_test(open_window),
	    cmocka_unit_test(what_the_log_is),   cmocka_unit_test(while_delivery_works),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
