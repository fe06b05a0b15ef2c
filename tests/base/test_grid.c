/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/grid.h"

static void cleans(void **state)
{
	static const struct {
		const char *in, *out;
		size_t shown;
	} rows[] = {
	    {"plain", "plain", 5},
	    {"", "", 0},
	    {"a\033[31mb", "a?[31mb", 7},
	    {"tab\there\n", "tab?here?", 9},
	    {"\x7f\xc2\x9b", "??", 2},         /* DEL and a C1 control */
	    {"caf\xc3\xa9", "caf\xc3\xa9", 4}, /* two bytes, one character */
	    {"\xc3", "?", 1},                  /* cut */
	    {"\xff\xfe"
	     "a",
	     "??a", 3}, /* never UTF-8 */
	    {"\xe2\x82\xac", "\xe2\x82\xac", 1},
	    {"\xf0\x9f\x98\x80", "\xf0\x9f\x98\x80", 1},
	    {"a\xe2\x80\xae"
	     "b\xe2\x81\xa6",
	     "a?b?", 4}, /* U+202E and U+2066 turn the direction */
	};

	for (size_t i = 0; i < FL_ARRAY_LEN(rows); i++) {
		struct fl_buf out = FL_BUF(100);

		assert_int_equal(fl_grid_clean(&out, rows[i].in, strlen(rows[i].in)), rows[i].shown);
		assert_string_equal(fl_buf_cstr(&out), rows[i].out);
		assert_int_equal(fl_grid_is_clean(rows[i].in, strlen(rows[i].in)), !strcmp(rows[i].in, rows[i].out));
		fl_buf_free(&out);
	}
}

static void lays_out(void **state)
{
	static const struct {
		size_t width;
		const char *out;
	} rows[] = {
	    {0, "NAME             N  WHERE\nshort            1  here\nvery-long-name  20  "
		"elsewhere\n"},
	    {100, "NAME             N  WHERE\nshort            1  here\nvery-long-name  20  "
		  "elsewhere\n"},
	    {22, "NAME      N  WHERE\nshort     1  here\nvery-l~  20  elsewhere\n"},
	    {12, "NAME     N\nshort    1\nvery-~  20\n(1 more columns do not fit)\n"},
	    {3, "NA~\nsh~\nve~\n(2 more columns do not fit)\n"},
	};
	static const char *const cells[] = {"NAME",           "N",  "WHERE",    "short", "1", "here",
					    "very-long-name", "20", "elsewhere"};

	for (size_t i = 0; i < FL_ARRAY_LEN(rows); i++) {
		struct fl_grid g;
		struct fl_buf out = FL_BUF(1000);

		assert_int_equal(fl_grid_init(&g, 3, 1000), 0);
		g.right[1] = true;
		for (size_t k = 0; k < FL_ARRAY_LEN(cells); k++)
			assert_int_equal(fl_grid_adds(&g, cells[k]), 0);
		assert_int_equal(fl_grid_rows(&g), 3);
		assert_int_equal(fl_grid_print(&g, rows[i].width, &out), 0);
		assert_string_equal(fl_buf_cstr(&out), rows[i].out);
		fl_buf_free(&out);
		fl_grid_free(&g);
	}
}

static void refuses(void **state)
{
	struct fl_grid g;

	assert_int_equal(fl_grid_init(&g, 0, 10), -E2BIG);
	assert_int_equal(fl_grid_init(&g, FL_GRID_COLUMNS + 1, 10), -E2BIG);
	assert_int_equal(fl_grid_init(&g, 1, 10), 0);
	assert_int_equal(fl_grid_adds(&g, "more than ten bytes"), -E2BIG);
	fl_grid_free(&g);
}

/* An address without its end is none. */
static void leaves_out_rather_than_shorten(void **state)
{
	struct fl_buf out FL_CLEANUP(fl_buf_free) = FL_BUF(4096);
	struct fl_grid g;

	(void)state;
	assert_int_equal(fl_grid_init(&g, 3, 4096), 0);
	g.whole[0] = g.whole[2] = true;
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(fl_grid_adds(&g, "207.175.148.89"), 0);
		assert_int_equal(fl_grid_adds(&g, "a text that may be shortened"), 0);
		assert_int_equal(fl_grid_adds(&g, "2026-11-20"), 0);
	}
	assert_int_equal(fl_grid_print(&g, 40, &out), 0);
	assert_non_null(strstr(fl_buf_cstr(&out), "207.175.148.89  a text"));
	assert_non_null(strstr(fl_buf_cstr(&out), "~  2026-11-20\n"));
	fl_buf_reset(&out);
	assert_int_equal(fl_grid_print(&g, 30, &out), 0);
	assert_non_null(strstr(fl_buf_cstr(&out), "207.175.148.89  a tex~\n"));
	assert_non_null(strstr(fl_buf_cstr(&out), "(1 more columns do not fit)"));
	fl_grid_free(&g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(cleans), cmocka_unit_test(lays_out),
					   cmocka_unit_test(refuses), cmocka_unit_test(leaves_out_rather_than_shorten)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
