/* SPDX-License-Identifier: Apache-2.0 */
/* What names say of time, and that leaving files out by it never loses a row. */
#include "scan/rows.h"

#include <time.h>

#include "base/units.h"
#include "scan/layout.h"

#define HOUR 3600
#define DAY 86400
#define T0 1735689600 /* 2025-01-01T00:00:00Z, a Wednesday of a common year */

static void check_dir(const char *path, enum fl_layout_level level, int64_t from, int64_t to)
{
	struct fl_layout_span s;

	assert_int_equal(fl_layout_of_dir(path, &s), level);
	if (level <= FL_LAYOUT_REGION) {
		assert_true(s.first == INT64_MIN && s.last == INT64_MAX);
		return;
	}
	assert_int_equal(s.first, from - FL_LAYOUT_BEFORE_S);
	assert_int_equal(s.last, to - 1 + FL_LAYOUT_AFTER_S);
}

static void directories(void **state)
{
#define AWS "b/AWSLogs/123456789012/vpcflowlogs/eu-central-1"
#define HIVE "AWSLogs/aws-account-id=123456789012/aws-service=vpcflowlogs/aws-region=us-gov-west-1"
	check_dir(AWS, FL_LAYOUT_REGION, 0, 0);
	check_dir(AWS "/", FL_LAYOUT_REGION, 0, 0);
	check_dir(AWS "/2025", FL_LAYOUT_YEAR, T0, T0 + 365 * DAY);
	check_dir(AWS "/2024/", FL_LAYOUT_YEAR, T0 - 366 * DAY, T0);
	check_dir(AWS "/2025/02/", FL_LAYOUT_MONTH, T0 + 31 * DAY, T0 + 59 * DAY);
	check_dir(AWS "/2024/02", FL_LAYOUT_MONTH, T0 - 335 * DAY, T0 - 306 * DAY);
	check_dir(AWS "/2024/12", FL_LAYOUT_MONTH, T0 - 31 * DAY, T0);
	check_dir(AWS "/2025/01/31/", FL_LAYOUT_DAY, T0 + 30 * DAY, T0 + 31 * DAY);
	check_dir(AWS "//2025/01/31/23", FL_LAYOUT_HOUR, T0 + 31 * DAY - HOUR, T0 + 31 * DAY);
	check_dir(AWS "/2025/01/31/23/more/2020/", FL_LAYOUT_HOUR, T0 + 31 * DAY - HOUR, T0 + 31 * DAY);
	check_dir(HIVE "/year=2025/month=01/day=01/hour=00", FL_LAYOUT_HOUR, T0, T0 + HOUR);
	check_dir("AWSLogs/aws-account-id=123456789012/service=vpcflowlogs/aws-region=x/year=2025/month=01",
		  FL_LAYOUT_MONTH, T0, T0 + 31 * DAY);
	/* What is no date says nothing; what stands before it still counts. */
	check_dir(AWS "/2025/13/01", FL_LAYOUT_YEAR, T0, T0 + 365 * DAY);
	check_dir(AWS "/2025/02/29", FL_LAYOUT_MONTH, T0 + 31 * DAY, T0 + 59 * DAY);
	check_dir(AWS "/2025/01/1", FL_LAYOUT_MONTH, T0, T0 + 31 * DAY);
	check_dir(AWS "/2025/01/01/24", FL_LAYOUT_DAY, T0, T0 + DAY);
	check_dir(AWS "/year=2025/month=01", FL_LAYOUT_REGION, 0, 0);
	check_dir(HIVE "/2025/01", FL_LAYOUT_REGION, 0, 0);
	check_dir(HIVE "/month=01/year=2025", FL_LAYOUT_REGION, 0, 0);
	/* No layout of AWS's. */
	check_dir("logs/2025/01/01", FL_LAYOUT_NONE, 0, 0);
	check_dir("AWSLogs/12345678901/vpcflowlogs/eu-central-1/2025/01/01", FL_LAYOUT_NONE, 0, 0);
	check_dir("AWSLogs/123456789012/CloudTrail/eu-central-1/2025/01/01", FL_LAYOUT_NONE, 0, 0);
	check_dir("123456789012/vpcflowlogs", FL_LAYOUT_NONE, 0, 0);
	check_dir("", FL_LAYOUT_NONE, 0, 0);
	check_dir("/", FL_LAYOUT_NONE, 0, 0);
}

static void names(void **state)
{
	static const char *const not [] = {
	    "",
	    "flow.log",
	    "123456789012_vpcflowlogs_us-east-1_fl-1234abcd_20250101T0000Z",
	    "123456789012_vpcflowlogs_us-east-1_fl-1234abcd_20250229T0000Z_12345678.log.gz",
	    "123456789012_vpcflowlogs_us-east-1_fl-1234abcd_20250101T2400Z_12345678.log.gz",
	    "123456789012_vpcflowlogs_us-east-1_fl-1234abcd_20250101T0060Z_12345678.log.gz",
	    "123456789012_vpcflowlogs_us-east-1_1234abcd_20250101T0000Z_12345678.log.gz",
	    "12345678901_vpcflowlogs_us-east-1_fl-1234abcd_20250101T0000Z_12345678.log.gz",
	    "123456789012_CloudTrail_us-east-1_20250101T0000Z_12345678.json.gz",
	    "123456789012_vpcflowlogs_",
	    "123456789012_vpcflowlogs_us-east-1_fl-1",
	};
	struct fl_layout_span s;
	struct fl_str log;
	int64_t slot;

	assert_true(fl_layout_of_name("123456789012_vpcflowlogs_us-east-1_fl-1234abcd_20250101T0005Z_fe123456.log.gz",
				      &s, &log, &slot));
	assert_int_equal(slot, T0 + 300);
	assert_int_equal(s.first, slot - FL_LAYOUT_BEFORE_S);
	assert_int_equal(s.last, slot + FL_LAYOUT_AFTER_S);
	assert_int_equal(log.n, 11);
	assert_memory_equal(log.p, "fl-1234abcd", 11);
	assert_true(
	    fl_layout_of_name("123456789012_vpcflowlogs_x_fl-1_20240229T2355Z_1.log.parquet", NULL, NULL, &slot));
	assert_int_equal(slot, T0 - 306 * DAY - 300);
	for (size_t i = 0; i < FL_ARRAY_LEN(not ); i++)
		assert_false(fl_layout_of_name(not [i], &s, &log, &slot));
}

/* The calendar against the C library's. */
static void every_day(void **state)
{
	char path[128];
	struct fl_layout_span s;

	for (int64_t at = 0; at < 4102444800; at += DAY) {
		time_t t = (time_t)at;
		struct tm tm;

		gmtime_r(&t, &tm);
		snprintf(path, sizeof path, AWS "/%04d/%02d/%02d", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday);
		assert_int_equal(fl_layout_of_dir(path, &s), FL_LAYOUT_DAY);
		assert_int_equal(s.first + FL_LAYOUT_BEFORE_S, at);
	}
}

/* ---- no row is lost ---- */

static uint64_t random_state = 88172645463325252;

static uint64_t pick(uint64_t n)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state % n;
}

/* A file of a slot somewhere in 40 days, in any of the layouts, in its place or in another directory. */
static void put_random_file(const struct temp *t, unsigned number)
{
	static const char *const layouts[] = {
	    "AWSLogs/123456789012/vpcflowlogs/us-east-1/%Y/%m/%d/",
	    "p/AWSLogs/123456789012/vpcflowlogs/us-east-1/%Y/%m/%d/%H/",
	    "AWSLogs/aws-account-id=123456789012/aws-service=vpcflowlogs/aws-region=us-east-1/year=%Y/month=%m/day=%d/",
	    ("q/AWSLogs/aws-account-id=123456789012/aws-service=vpcflowlogs/aws-region=us-east-1/year=%Y/month=%m/"
	     "day=%d/hour=%H/"),
	    "copied/",
	    "2019/01/01/",
	};
	time_t slot = T0 - 20 * DAY + (time_t)pick(40 * DAY / 300) * 300;
	char dir[256], at[32], name[512], text[2048];
	size_t n = (size_t)snprintf(text, sizeof text, "srcport start end\n");
	struct tm tm;

	gmtime_r(&slot, &tm);
	strftime(dir, sizeof dir, layouts[pick(FL_ARRAY_LEN(layouts))], &tm);
	strftime(at, sizeof at, "%Y%m%dT%H%MZ", &tm);
	if (pick(10))
		snprintf(name, sizeof name, "%s123456789012_vpcflowlogs_us-east-1_fl-%llu_%s_%08x.log.gz", dir,
			 (unsigned long long)pick(3), at, number);
	else
		snprintf(name, sizeof name, "%snote-%u.log", dir, number); /* its directory's time counts */
	for (unsigned i = 0; i < 5; i++) {
		int64_t end = slot + (int64_t)pick(300), start = end - (int64_t)pick(600);

		n += (size_t)snprintf(text + n, sizeof text - n, "%u %lld %lld\n", number, (long long)start,
				      (long long)end);
	}
	put_gz(t, name, text);
}

static int select_time(struct fl_filter **ret, int64_t since, int64_t until)
{
	struct fl_filter *a = NULL, *b = NULL;

	assert_int_equal(fl_filter_number(&a, "end", FL_OP_GE, (uint64_t)since), 0);
	assert_int_equal(fl_filter_number(&b, "start", FL_OP_LE, (uint64_t)until), 0);
	return fl_filter_and(ret, a, b);
}

static void no_row_is_lost(void **state)
{
	struct temp t = temp_new();
	struct fl_scan_conf conf = {.paths = (const char *const[]){t.path, NULL}, .threads = 2};
	struct fl_scan *s = NULL;
	struct lines all = {0};
	uint64_t pruned = 0;

	for (unsigned i = 0; i < 300; i++)
		put_random_file(&t, i);
	assert_int_equal(fl_scan_open(&s, &conf, NULL), 0);
	assert_int_equal(rows_of(s, "srcport start end", NULL, &all), 0);
	assert_int_equal(all.n, 1500);
	fl_scan_close(&s);
	for (unsigned round = 0; round < 200; round++) {
		int64_t since = T0 - 21 * DAY + (int64_t)pick(42 * DAY), until = since + (int64_t)pick(1u << pick(22));
		struct fl_filter *f = NULL;
		struct fl_scan_report report;
		struct lines want = {0}, got = {0};

		for (size_t i = 0; i < all.n; i++) {
			long long start, end;

			assert_int_equal(sscanf(all.line[i], "%*u %lld %lld", &start, &end), 2);
			if (end >= since && start <= until)
				lines_add(&want, all.line[i], strlen(all.line[i]));
		}
		assert_int_equal(select_time(&f, since, until), 0);
		/* Left out while listing, or when it is known what is asked for. */
		assert_int_equal(fl_scan_open(&s, &conf, round % 2 ? f : NULL), 0);
		assert_int_equal(rows_of(s, "srcport start end", f, &got), 0);
		assert_true(lines_equal(&got, &want, "a span"));
		fl_scan_report(s, &report);
		pruned += report.files_pruned + report.directories_pruned;
		assert_true(report.files + report.files_pruned <= 300);
		assert_true(round % 2 || report.files + report.files_pruned == 300);
		fl_scan_close(&s);
		fl_filter_free(&f);
		lines_free(&want);
		lines_free(&got);
	}
	assert_true(pruned > 10000);
	lines_free(&all);
	temp_remove(&t);
}

/* Directories outside the span are not opened: one that could not be opened shows it. */
static void outside_is_not_opened(void **state)
{
	struct temp t = temp_new();
	struct fl_scan_conf conf = {.paths = (const char *const[]){t.path, NULL}, .threads = 1};
	struct fl_scan *s = NULL;
	struct fl_scan_report report;
	struct fl_filter *f = NULL;
	struct lines got = {0};

	put_text(&t, "AWSLogs/123456789012/vpcflowlogs/us-east-1/2025/01/01/a.log",
		 "srcport start end\n1 1735689600 1735689659\n");
	/* It leads to itself: whoever opens it is told so. */
	assert_int_equal(fl_mkdirs(t.fd, "AWSLogs/123456789012/vpcflowlogs/us-east-1/2023", 0755), 0);
	assert_int_equal(symlinkat("06", t.fd, "AWSLogs/123456789012/vpcflowlogs/us-east-1/2023/06"), 0);
	assert_int_equal(select_time(&f, T0, T0 + 60), 0);
	assert_int_equal(fl_scan_open(&s, &conf, f), 0);
	assert_int_equal(rows_of(s, "srcport", f, &got), 0);
	assert_int_equal(got.n, 1);
	assert_int_equal(fl_scan_fault_count(s), 0);
	fl_scan_report(s, &report);
	assert_int_equal(report.directories_pruned, 1);
	fl_scan_close(&s);
	assert_int_equal(fl_scan_open(&s, &conf, NULL), 0);
	assert_int_equal(fl_scan_fault_count(s), 1);
	fl_scan_close(&s);
	fl_filter_free(&f);
	lines_free(&got);
	temp_remove(&t);
}

static void links_lead_nowhere(void **state)
{
	struct temp t = temp_new();
	struct fl_scan_conf conf = {.paths = (const char *const[]){t.path, NULL}, .threads = 2};
	struct fl_scan *s = NULL;
	struct lines got = {0};

	put_text(&t, "a/b/c.log", "srcport\n1\n");
	put_text(&t, "d.log", "srcport\n2\n");
	assert_int_equal(symlinkat("../..", t.fd, "a/b/up"), 0);
	assert_int_equal(symlinkat(".", t.fd, "self"), 0);
	assert_int_equal(symlinkat("a", t.fd, "again"), 0);
	assert_int_equal(symlinkat("../../d.log", t.fd, "a/b/file"), 0);
	assert_int_equal(symlinkat("nowhere", t.fd, "broken"), 0);
	assert_int_equal(fl_scan_open(&s, &conf, NULL), 0);
	assert_int_equal(rows_of(s, "srcport", NULL, &got), 0);
	assert_int_equal(got.n, 2);
	assert_int_equal(fl_scan_fault_count(s), 0);
	lines_free(&got);
	fl_scan_close(&s);
	temp_remove(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(directories),
	    cmocka_unit_test(names),
	    cmocka_unit_test(every_day),
	    cmocka_unit_test(no_row_is_lost),
	    cmocka_unit_test(outside_is_not_opened),
	    cmocka_unit_test(links_lead_nowhere),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
