/* SPDX-License-Identifier: Apache-2.0 */
/* Every kind of source gives the same rows; what is wrong with one is told and does not hide the others. */
#include "scan/rows.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "base/file.h"

#define COLUMNS                                                                                                        \
	"version account_id interface_id srcaddr dstaddr srcport dstport protocol packets bytes start end action "     \
	"log_status"
#define HEADER                                                                                                         \
	"version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action "     \
	"log-status\n"
#define MANY 40000 /* records: several batches, several blocks, several ranges */

static char *records(unsigned from, unsigned n, const char *header, const char *end)
{
	size_t room = (size_t)n * 160 + 1024, at = (size_t)snprintf(NULL, 0, "%s", header);
	char *text = malloc(room);

	memcpy(text, header, at + 1);
	for (unsigned i = from; i < from + n; i++)
		at +=
		    (size_t)snprintf(text + at, room - at,
				     "2 123456789012 eni-%017u 10.%u.%u.%u 2001:db8::%x %u 443 6 %u %llu %u %u %s OK%s",
				     i % 7, i >> 16 & 255, i >> 8 & 255, i & 255, 1 + (i & 0xfff), 1024 + i % 60000, i,
				     1000ull * i, 1700000000 + i, 1700000059 + i, i % 5 ? "ACCEPT" : "REJECT", end);
	return text;
}

static struct fl_scan *open_paths(const char *const *paths, unsigned threads)
{
	struct fl_scan_conf conf = {.paths = paths, .threads = threads, .store = "./flowlog-data"};
	struct fl_scan *s = NULL;
	int r = fl_scan_open(&s, &conf, NULL);

	if (r)
		print_error("%s\n", fl_error_text(r));
	assert_int_equal(r, 0);
	return s;
}

static struct lines wanted(const char *text)
{
	struct lines l = {0};

	for (const char *p = strchr(text, '\n') + 1, *end; *p; p = end + 1) {
		end = strchr(p, '\n');
		lines_add(&l, p, (size_t)(end - p));
	}
	lines_sort(&l);
	return l;
}

static char *path_in(const struct temp *t, const char *name)
{
	char *p = NULL;

	assert_true(asprintf(&p, "%s/%s", t->path, name) > 0);
	return p;
}

/* Reads one name of t and compares with what text holds. */
static void expect(const struct temp *t, const char *name, const struct lines *want, unsigned threads)
{
	char *path = path_in(t, name);
	struct fl_scan *s = open_paths((const char *const[]){path, NULL}, threads);
	struct lines got = {0};
	struct fl_scan_report report;

	assert_int_equal(rows_of(s, COLUMNS, NULL, &got), 0);
	fl_scan_report(s, &report);
	if (fl_scan_fault_count(s))
		print_error("%s\n", fl_scan_fault(s, 0));
	assert_int_equal(fl_scan_fault_count(s), 0);
	assert_true(lines_equal(&got, want, name));
	assert_int_equal(report.records, want->n);
	assert_int_equal(report.malformed + report.bad_values + report.damaged_files, 0);
	lines_free(&got);
	fl_scan_close(&s);
	free(path);
}

static void kinds_give_the_same(void **state)
{
	struct temp t = temp_new();
	char *text = records(0, MANY, HEADER, "\n"), *crlf = records(0, MANY, HEADER, "\r\n"), *two;
	struct lines want = wanted(text), none = {0};
	size_t n = strlen(text), half = (size_t)(strchr(text + n / 2, '\n') - text) + 1, room = n + 4096, at;

	put_text(&t, "plain", text);
	put_text(&t, "crlf.log", crlf);
	put_text(&t, "no-header", strchr(text, '\n') + 1);
	put_gz(&t, "gz", text);
	put_zstd(&t, "zstd.log.gz", text);
	/* Two members, the cut not at a line's end. */
	two = malloc(room);
	at = gzip(text, half - 10, two, room);
	at += gzip(text + half - 10, n - half + 10, two + at, room - at);
	put_file(&t, "members", two, at);
	text[n - 1] = '\0'; /* the last newline is missing */
	put_text(&t, "unended", text);
	put_gz(&t, "dir/2025/a.log.gz", text);
	put_text(&t, "dir/.hidden", "not looked at");
	put_text(&t, "empty", "");
	put_text(&t, "header", HEADER);
	for (unsigned threads = 1; threads <= 4; threads += 3) {
		static const char *const names[] = {"plain",       "crlf.log", "no-header", "gz",
						    "zstd.log.gz", "members",  "unended",   "dir"};

		for (size_t i = 0; i < FL_ARRAY_LEN(names); i++)
			expect(&t, names[i], &want, threads);
		expect(&t, "empty", &none, threads);
		expect(&t, "header", &none, threads);
	}
	lines_free(&want);
	free(two);
	free(text);
	free(crlf);
	temp_remove(&t);
}

static void big_files_are_shared(void **state)
{
	struct temp t = temp_new();
	char *text = records(0, 250000, HEADER, "\n");
	struct lines want = wanted(text);

	assert_true(strlen(text) > (24u << 20));
	put_text(&t, "big", text);
	expect(&t, "big", &want, 1);
	expect(&t, "big", &want, 5);
	lines_free(&want);
	free(text);
	temp_remove(&t);
}

static void a_file_is_read_once(void **state)
{
	struct temp t = temp_new();
	char *text = records(0, 10, HEADER, "\n"), *file = path_in(&t, "dir/a"), *link = path_in(&t, "link"),
	     *dir = path_in(&t, "dir");
	struct lines want = wanted(text), got = {0};
	struct fl_scan *s;

	put_text(&t, "dir/a", text);
	assert_int_equal(symlinkat(file, t.fd, "link"), 0);
	s = open_paths((const char *const[]){file, dir, link, file, NULL}, 2);
	assert_int_equal(rows_of(s, COLUMNS, NULL, &got), 0);
	assert_true(lines_equal(&got, &want, "named twice"));
	fl_scan_close(&s);
	lines_free(&got);
	lines_free(&want);
	free(text);
	free(file);
	free(link);
	free(dir);
	temp_remove(&t);
}

static void columns_of_mixed_formats(void **state)
{
	struct temp t = temp_new();
	const struct fl_column_def *c;
	size_t n;
	struct fl_scan *s;
	struct lines got = {0};

	put_text(&t, "a.log", "srcaddr my-own bytes\n10.0.0.1 x 5\n- - -\n");
	put_text(&t, "b.log", "bytes dstaddr pkt-srcaddr\n7 ::1 ::ffff:1.2.3.4\n");
	s = open_paths((const char *const[]){t.path, NULL}, 2);
	assert_int_equal(fl_scan_columns(s, &c, &n), 0);
	assert_int_equal(n, 6);
	assert_string_equal(c[0].name, "srcaddr");
	assert_string_equal(c[1].name, "my_own");
	assert_null(c[1].field);
	assert_string_equal(c[2].name, "bytes");
	assert_string_equal(c[3].name, "dstaddr");
	assert_string_equal(c[4].name, "pkt_srcaddr");
	assert_int_equal(c[5].own, FL_OWN_SOURCE);
	assert_int_equal(rows_of(s, "dstaddr my_own bytes pkt_srcaddr", NULL, &got), 0);
	assert_int_equal(got.n, 3);
	assert_string_equal(got.line[0], "- - - -");
	assert_string_equal(got.line[1], "- x 5 -");
	assert_string_equal(got.line[2], "::1 - 7 ::ffff:102:304");
	lines_free(&got);
	fl_scan_close(&s);
	temp_remove(&t);
}

static bool some_fault(const struct fl_scan *s, const char *part)
{
	for (size_t i = 0; i < fl_scan_fault_count(s); i++)
		if (strstr(fl_scan_fault(s, i), part))
			return true;
	return false;
}

static void faults_are_told(void **state)
{
	struct temp t = temp_new();
	char *text = records(0, MANY, HEADER, "\n"), *gz = malloc(1u << 24), *path;
	size_t n = gzip(text, strlen(text), gz, 1u << 24);
	struct lines got = {0}, want = wanted(text);
	struct fl_scan_report report;
	struct fl_scan *s;

	put_file(&t, "cut.gz", gz, n / 2);
	put_file(&t, "binary", "\0\1\2\3", 4);
	put_text(&t, "other.txt", "once upon a time\n");
	put_text(&t, "lines.log", "srcaddr bytes\n10.0.0.1 5\n10.0.0.2  6\n10.0.0.3 7 8\n10.0.0.4 x\n\n10.0.0.5 9\n");
	assert_int_equal(mkfifoat(t.fd, "pipe", 0644), 0); /* passed over: it would never end */
	s = open_paths((const char *const[]){t.path, NULL}, 2);
	assert_int_equal(rows_of(s, "srcaddr bytes", NULL, &got), 0);
	fl_scan_report(s, &report);
	assert_int_equal(report.malformed, 2);
	assert_int_equal(report.bad_values, 1);
	assert_int_equal(report.damaged_files, 1);
	assert_int_equal(report.unknown_files, 2);
	assert_int_equal(report.records, got.n);
	assert_true(got.n > 100 && got.n < MANY); /* what came before the cut */
	assert_true(some_fault(s, "/cut.gz"));
	assert_true(some_fault(s, "/binary: "));
	assert_true(some_fault(s, "/other.txt: "));
	assert_true(some_fault(s, "/lines.log:3: "));
	assert_true(some_fault(s, "/lines.log:4: "));
	assert_true(some_fault(s, "/lines.log:5: bytes: \"x\""));
	assert_int_equal(fl_scan_fault_count(s), 6);
	lines_free(&got);
	fl_scan_close(&s);
	/* Named itself it is no use to go on. */
	path = path_in(&t, "binary");
	assert_int_equal(fl_scan_open(&s, &(struct fl_scan_conf){.paths = (const char *const[]){path, NULL}}, NULL),
			 -EINVAL);
	assert_non_null(strstr(fl_error_text(-EINVAL), "/binary: "));
	free(path);
	path = path_in(&t, "nowhere");
	assert_int_equal(fl_scan_open(&s, &(struct fl_scan_conf){.paths = (const char *const[]){path, NULL}}, NULL),
			 -ENOENT);
	free(path);
	free(text);
	free(gz);
	lines_free(&want);
	temp_remove(&t);
}

static void filters_select(void **state)
{
	struct temp t = temp_new();
	char *text = records(0, MANY, HEADER, "\n");
	struct fl_filter *f = NULL;
	struct fl_scan *s;
	struct lines got = {0};
	struct fl_scan_report report;

	put_text(&t, "plain", text);
	assert_int_equal(fl_filter_range(&f, "packets", 4096, 6000), 0);
	s = open_paths((const char *const[]){t.path, NULL}, 2);
	assert_int_equal(rows_of(s, "packets srcaddr", f, &got), 0);
	assert_int_equal(got.n, 6000 - 4096 + 1);
	assert_string_equal(got.line[0], "4096 10.0.16.0");
	lines_free(&got);
	fl_scan_report(s, &report);
	assert_int_equal(report.records, MANY);
	fl_scan_close(&s);
	/* The filter's column is none of those that are asked for. */
	s = open_paths((const char *const[]){t.path, NULL}, 2);
	assert_int_equal(rows_of(s, "srcaddr", f, &got), 0);
	assert_int_equal(got.n, 6000 - 4096 + 1);
	assert_string_equal(got.line[0], "10.0.16.0");
	lines_free(&got);
	fl_scan_close(&s);
	fl_filter_free(&f);
	free(text);
	temp_remove(&t);
}

/* Between listing and reading a file vanishes, and another one shrinks. */
static void what_changes_meanwhile(void **state)
{
	struct temp t = temp_new();
	char *text = records(0, 1000, HEADER, "\n");
	struct lines got = {0};
	struct fl_scan_report report;
	struct fl_scan *s;

	put_text(&t, "gone.log", text);
	put_text(&t, "stays.log", text);
	s = open_paths((const char *const[]){t.path, NULL}, 1);
	assert_int_equal(unlinkat(t.fd, "gone.log", 0), 0);
	put_text(&t, "new.log", text); /* was not there */
	assert_int_equal(rows_of(s, "packets", NULL, &got), 0);
	assert_int_equal(got.n, 1000);
	assert_int_equal(fl_scan_fault_count(s), 1);
	assert_true(some_fault(s, "/gone.log: No such file"));
	fl_scan_report(s, &report);
	assert_int_equal(report.damaged_files, 1);
	assert_int_equal(report.files, 1);
	lines_free(&got);
	fl_scan_close(&s);
	free(text);
	temp_remove(&t);
}

static void append(const struct temp *t, const char *name, const char *text, size_t n)
{
	int fd = openat(t->fd, name, O_WRONLY | O_APPEND);

	assert_true(fd >= 0);
	assert_int_equal(fl_write_all(fd, text, n), 0);
	close(fd);
}

/* Somebody writes a file that is read, not always whole lines. What it held when it was opened counts, to the end of
 * the line that had begun by then. */
static void files_that_grow(void **state)
{
	static const struct {
		const char *name;
		size_t had, later; /* bytes of the record after the first ones: at first, then while it is read */
		int age;           /* seconds: of its last change */
		unsigned rows, malformed;
		bool told;
	} cases[] = {
	    {"the line is finished meanwhile, and others follow", 20, 400, 0, 10001, 0, false},
	    {"it goes on", 20, 50, 0, 10000, 0, true},
	    {"it has all values already, as it seems", 119, 120, 0, 10000, 0, true},
	    {"half a line, and nobody is seen to write", 20, 0, 30, 10000, 0, true},
	    {"half a line that nobody writes any more", 20, 0, 3600, 10000, 1, true},
	    {"a last line without newline, just written", 0, 0, 0, 10000, 0, false},
	    {"whole lines, and more of them", 0, 400, 0, 10000, 0, false},
	};

	(void)state;
	for (size_t i = 0; i < FL_ARRAY_LEN(cases); i++) {
		struct temp t = temp_new();
		char *text = records(0, 10000, HEADER, "\n"), *more = records(20000, 10, "", "\n"), *path;
		size_t n = strlen(text) - (!cases[i].had && !cases[i].later);
		struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = time(NULL) - cases[i].age}};
		struct fl_scan_reader *r;
		struct fl_scan_report report;
		struct fl_column_def d;
		const struct fl_batch *b;
		struct fl_scan *s;
		unsigned rows = 0;
		int got;

		put_file(&t, "a.log", text, n);
		append(&t, "a.log", more, cases[i].had);
		if (cases[i].age)
			assert_int_equal(utimensat(t.fd, "a.log", times, 0), 0);
		path = path_in(&t, "a.log");
		s = open_paths((const char *const[]){path, NULL}, 1);
		fl_column_find("packets", &d);
		assert_int_equal(fl_scan_select(s, &d, 1, NULL), 0);
		assert_int_equal(fl_scan_reader_new(&r, s), 0);
		while ((got = fl_scan_next(r, &b)) == 1) {
			if (!rows && cases[i].later)
				append(&t, "a.log", more + cases[i].had, cases[i].later - cases[i].had);
			rows += b->n;
		}
		assert_int_equal(got, 0);
		fl_scan_report(s, &report);
		if (rows != cases[i].rows || report.malformed != cases[i].malformed ||
		    fl_scan_fault_count(s) != cases[i].told)
			fail_msg("%s: %u rows, %u malformed; %s", cases[i].name, rows, (unsigned)report.malformed,
				 fl_scan_fault(s, 0));
		assert_int_equal(report.damaged_files, 0);
		assert_true(!cases[i].told || some_fault(s, "a.log:10002: "));
		fl_scan_reader_free(&r);
		fl_scan_close(&s);
		free(path);
		free(text);
		free(more);
		temp_remove(&t);
	}
}

/* A pipe is looked at for its columns, and then all of it is read. */
static void standard_input(void **state)
{
	char *text = records(0, MANY, HEADER, "\n");
	struct lines want = wanted(text), got = {0};
	const struct fl_column_def *c;
	int fd[2], before = dup(0);
	struct fl_scan *s;
	pid_t child;
	size_t n;

	assert_int_equal(pipe(fd), 0);
	child = fork();
	if (!child) {
		close(fd[0]);
		_exit(fl_write_all(fd[1], text, strlen(text)) != 0);
	}
	close(fd[1]);
	assert_int_equal(dup2(fd[0], 0), 0);
	close(fd[0]);
	s = open_paths((const char *const[]){"-", "-", NULL}, 2);
	assert_int_equal(fl_scan_columns(s, &c, &n), 0);
	assert_int_equal(n, 15);
	assert_int_equal(rows_of(s, COLUMNS, NULL, &got), 0);
	assert_true(lines_equal(&got, &want, "standard input"));
	fl_scan_close(&s);
	dup2(before, 0);
	close(before);
	assert_int_equal(waitpid(child, NULL, 0), child);
	lines_free(&want);
	lines_free(&got);
	free(text);
}

/* Of each flow log one file is looked at for its columns; when that one is damaged, another. */
static void columns_by_flow_log(void **state)
{
	struct temp t = temp_new();
	const struct fl_column_def *c;
	struct fl_scan *s;
	size_t n;

	put_text(&t, "123456789012_vpcflowlogs_r_fl-a_20250101T0000Z_1.log", "not a flow log\n");
	put_text(&t, "123456789012_vpcflowlogs_r_fl-a_20250101T0005Z_1.log", "srcaddr bytes\n");
	put_text(&t, "123456789012_vpcflowlogs_r_fl-a_20250101T0010Z_1.log",
		 "dstaddr\n"); /* cannot be, and is not looked at */
	put_text(&t, "123456789012_vpcflowlogs_r_fl-b_20250101T0000Z_1.log", "bytes packets\n");
	s = open_paths((const char *const[]){t.path, NULL}, 3);
	assert_int_equal(fl_scan_columns(s, &c, &n), 0);
	assert_int_equal(n, 4);
	assert_string_equal(c[0].name, "srcaddr");
	assert_string_equal(c[1].name, "bytes");
	assert_string_equal(c[2].name, "packets");
	fl_scan_close(&s);
	temp_remove(&t);
}

static void stops_at_once(void **state)
{
	struct temp t = temp_new();
	volatile sig_atomic_t stop = 1;
	struct fl_scan_conf conf = {.paths = (const char *const[]){t.path, NULL}, .stop = &stop};
	struct fl_scan *s = NULL;
	struct lines got = {0};

	put_text(&t, "plain", HEADER);
	assert_int_equal(fl_scan_open(&s, &conf, NULL), -EINTR);
	stop = 0;
	assert_int_equal(fl_scan_open(&s, &conf, NULL), 0);
	stop = 1;
	assert_int_equal(rows_of(s, "bytes", NULL, &got), -EINTR);
	fl_scan_close(&s);
	temp_remove(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(kinds_give_the_same), cmocka_unit_test(big_files_are_shared),
	    cmocka_unit_test(a_file_is_read_once), cmocka_unit_test(columns_of_mixed_formats),
	    cmocka_unit_test(faults_are_told),     cmocka_unit_test(filters_select),
	    cmocka_unit_test(stops_at_once),       cmocka_unit_test(what_changes_meanwhile),
	    cmocka_unit_test(files_that_grow),     cmocka_unit_test(standard_input),
	    cmocka_unit_test(columns_by_flow_log),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
