/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/error.h"
#include "base/units.h"

static void durations_and_sizes(void **state)
{
	uint64_t v;

	(void)state;
	assert_int_equal(fl_parse_duration_ns("60s", &v), 0);
	assert_int_equal(v, 60000000000ull);
	assert_int_equal(fl_parse_duration_ns("500ms", &v), 0);
	assert_int_equal(v, 500000000ull);
	assert_int_equal(fl_parse_duration_ns("2", &v), 0);
	assert_int_equal(v, 2000000000ull);
	assert_true(fl_parse_duration_ns("5 s", &v) < 0);
	assert_true(fl_parse_duration_ns("-5s", &v) < 0);
	assert_true(fl_parse_duration_ns("99999999999d", &v) < 0);
	assert_int_equal(fl_parse_size("64MiB", &v), 0);
	assert_int_equal(v, 64ull << 20);
	assert_true(fl_parse_size("64mib", &v) < 0);
	assert_true(strstr(fl_error_text(-22), "64mib") != NULL);
}

static void times(void **state)
{
	int64_t t;
	char text[24];

	(void)state;
	assert_int_equal(fl_parse_time("2026-11-24T11:20:00Z", &t), 0);
	assert_string_equal(fl_time_rfc3339(t, text), "2026-11-24T11:20:00Z");
	assert_int_equal(fl_parse_time("1735689600", &t), 0);
	assert_string_equal(fl_time_rfc3339(t, text), "2025-01-01T00:00:00Z");
	assert_true(fl_parse_time("yesterday", &t) < 0);
}

static void for_people(void **state)
{
	char text[16];

	(void)state;
	assert_string_equal(fl_human_bytes(999, text), "999 B");
	assert_string_equal(fl_human_bytes(1234, text), "1.2 kB");
	assert_string_equal(fl_human_bytes(3400000000ull, text), "3.4 GB");
	assert_string_equal(fl_human_bytes(999999, text), "1.0 MB");
	assert_string_equal(fl_human_count(12, text), "12");
	assert_string_equal(fl_human_bytes(UINT64_MAX, text), "18 EB");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(durations_and_sizes),
	    cmocka_unit_test(times),
	    cmocka_unit_test(for_people),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
