/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "cli/options.h"

struct conf {
	bool on;
	uint64_t count;
	int output;
};

static const struct fl_option options[] = {
    {"on", 0, NULL, FL_OPT_FLAG, NULL, "true", NULL, "On.", offsetof(struct conf, on)},
    {"count", 'n', "test.count", FL_OPT_U64, "N", "60", NULL, "N.", offsetof(struct conf, count)},
    {"output", 'o', NULL, FL_OPT_ENUM, "F", "text", "text|json", "F.", offsetof(struct conf, output)},
    {0},
};
static const struct fl_command command = {.name = "test", .options = options};

static void parses_rows(void **state)
{
	static const struct {
		const char *env, *argv[4];
		int r, operands;
		struct conf want;
	} rows[] = {
	    {NULL, {NULL}, 0, 0, {true, 60, 0}},
	    {"9", {NULL}, 0, 0, {true, 9, 0}},
	    {"9", {"--count=7", "a"}, 0, 1, {true, 7, 0}},
	    {NULL, {"a", "-n7", "--no-on", "-ojson"}, 0, 1, {false, 7, 1}},
	    {NULL, {"--", "--no-on"}, 0, 1, {true, 60, 0}},
	    {NULL, {"--cuont=1"}, -EINVAL, 0, {0}},
	    {NULL, {"--count"}, -EINVAL, 0, {0}},
	    {NULL, {"-o", "xml"}, -EINVAL, 0, {0}},
	};

	for (size_t i = 0; i < FL_ARRAY_LEN(rows); i++) {
		struct conf got = {0};
		char *argv[4];
		int argc = 0;

		for (; argc < 4 && rows[i].argv[argc]; argc++)
			argv[argc] = (char *)rows[i].argv[argc];
		unsetenv("FL_TEST_COUNT");
		if (rows[i].env)
			setenv("FL_TEST_COUNT", rows[i].env, 1);
		assert_int_equal(fl_opt_parse(&command, &got, &argc, argv), rows[i].r);
		if (rows[i].r < 0)
			continue;
		assert_int_equal(argc, rows[i].operands);
		assert_int_equal(got.on, rows[i].want.on);
		assert_int_equal(got.count, rows[i].want.count);
		assert_int_equal(got.output, rows[i].want.output);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(parses_rows)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
