/* SPDX-License-Identifier: Apache-2.0 */
/* Tables: where records and values end, what names mean. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>

#include "base/error.h"
#include "scan/table.h"
#include "scan/text.h"

/* Values between bars, or what is wrong. */
static const char *record(const char *text, bool last, size_t *ret_used)
{
	static char out[4096];
	struct fl_cell cells[FL_TABLE_CELLS_MAX];
	const char *why = NULL;
	char value[1024];
	size_t n;
	int r = fl_csv_record(text, strlen(text), last, ',', cells, &n, ret_used, &why);

	if (r <= 0)
		return r ? why : "more";
	*out = '\0';
	for (size_t i = 0; i < n; i++) {
		size_t len = fl_cell_copy(value, &cells[i]);

		snprintf(out + strlen(out), sizeof out - strlen(out), "%s%.*s", i ? "|" : "", (int)len, value);
	}
	return out;
}

static void records_end_where_rfc_4180_says(void **state)
{
	static const struct {
		const char *text;
		bool last;
		const char *is;
		size_t used;
	} cases[] = {
	    {"a,b\nc", false, "a|b", 4},
	    {"a,b", false, "more", 0},
	    {"a,b", true, "a|b", 3},
	    {"a,\r\n", false, "a|", 4},
	    {",,", true, "||", 2},
	    {"\n", false, "", 1},
	    {"\"\"\n", false, "", 3},
	    {"\"a,b\",c\n", false, "a,b|c", 8},
	    {"\"a\nb\"\r\nc", false, "a\nb", 7},
	    {"\"say \"\"x\"\"\",1\n", false, "say \"x\"|1", 14},
	    {"a\"b\"\"c,1\n", false, "a\"b\"\"c|1", 9},
	    {"\"a\"", false, "more", 0},
	    {"\"a\"", true, "a", 3},
	    {"\"a\nb", false, "more", 0},
	    {"\"a\nb", true, "a quoted value does not end", 3},
	    {"\"a\"b,c\nd\n", false, "text behind a quoted value", 7},
	    {"\"\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\"\n", false, "a quoted value goes over too many lines", 2},
	};

	(void)state;
	for (size_t i = 0; i < FL_ARRAY_LEN(cases); i++) {
		size_t used = 0;

		assert_string_equal(record(cases[i].text, cases[i].last, &used), cases[i].is);
		if (cases[i].used)
			assert_int_equal(used, cases[i].used);
	}
}

static void a_record_has_a_ceiling(void **state)
{
	static char text[3 * FL_TEXT_LINE_MAX];
	struct fl_cell cells[FL_TABLE_CELLS_MAX];
	const char *why = NULL;
	size_t n, used;

	(void)state;
	memset(text, 'x', sizeof text);
	text[FL_TEXT_LINE_MAX] = '\n';
	assert_int_equal(fl_csv_record(text, sizeof text, false, ',', cells, &n, &used, &why), 1);
	assert_int_equal(used, FL_TEXT_LINE_MAX + 1);
	text[FL_TEXT_LINE_MAX] = 'x';
	assert_int_equal(fl_csv_record(text, sizeof text, false, ',', cells, &n, &used, &why), -EBADMSG);
	assert_int_equal(used, sizeof text);
	/* More values than any format has are counted, and no more. */
	memset(text, ',', 1000);
	text[1000] = '\n';
	assert_int_equal(fl_csv_record(text, sizeof text, false, ',', cells, &n, &used, &why), 1);
	assert_int_equal(n, 1001);
}

static void names_are_those_of_fields(void **state)
{
	static const struct {
		const char *name, *is;
		bool field;
	} cases[] = {
	    {"srcaddr", "srcaddr", true},
	    {"SrcAddr", "srcaddr", true},
	    {"src_addr", "srcaddr", true},
	    {"interface_id", "interface-id", true},
	    {"interfaceId", "interface-id", true},
	    {" LOG-STATUS ", "log-status", true},
	    {"tgw_src_vpc_id", "tgw-src-vpc-id", true},
	    {"verdict_source", "verdict_source", false},
	    {"a b", "a%20b", false},
	    {"e\nf", "e%0Af", false},
	    {"", "column7", false},
	    {"srcaddr2", "srcaddr2", false},
	};
	char name[FL_TABLE_NAME_MAX], longest[400];

	(void)state;
	for (size_t i = 0; i < FL_ARRAY_LEN(cases); i++) {
		assert_int_equal(fl_table_name(cases[i].name, strlen(cases[i].name), 7, name), cases[i].field);
		assert_string_equal(name, cases[i].is);
	}
	memset(longest, 'x', sizeof longest);
	assert_false(fl_table_name(longest, sizeof longest, 9, name));
	assert_string_equal(name, "column9");
}

static void plain_objects_are_read_without_a_tree(void **state)
{
	struct fl_pair p[FL_TABLE_CELLS_MAX];
	static const char *const others[] = {"",
					     "{",
					     "{}",
					     "{\"a\":1",
					     "{\"a\":1}x",
					     "{\"a\":\"\\u0031\"}",
					     "{\"a\":1.5}",
					     "{\"a\":-1}",
					     "{\"a\":01}",
					     "{\"a\":[1]}",
					     "{\"a\":1234567890123456789}",
					     "{\"a\" \"b\"}",
					     "{a:1}",
					     "{\"\303\274\":1}",
					     "{\"a\":1,}",
					     "{\"a\":nul}"};
	const char text[] = " {\"a\" : \"x y\",\"b\":443, \"c\":null,\"d\":true,\"e\":\"\"}\r";

	(void)state;
	assert_int_equal(fl_json_pairs(text, strlen(text), p), 5);
	assert_int_equal(p[0].kind, FL_PAIR_TEXT);
	assert_memory_equal(p[0].value.p, "x y", p[0].value.n);
	assert_int_equal(p[0].value.n, 3);
	assert_int_equal(p[1].kind, FL_PAIR_NUMBER);
	assert_memory_equal(p[1].value.p, "443", p[1].value.n);
	assert_int_equal(p[2].kind, FL_PAIR_NULL);
	assert_int_equal(p[3].kind, FL_PAIR_WORD);
	assert_int_equal(p[4].value.n, 0);
	for (size_t i = 0; i < FL_ARRAY_LEN(others); i++)
		assert_int_equal(fl_json_pairs(others[i], strlen(others[i]), p), -1);
}

static void what_is_a_table_of_records(void **state)
{
	static const struct {
		const char *head;
		char delimiter; /* 0: none */
	} cases[] = {
	    {"srcaddr,dstaddr,x,y,z,a,b\n", ','},
	    {"srcaddr;bytes\n1;2\n", ';'},
	    {"srcaddr\tbytes", '\t'},
	    {"\"srcaddr\"\n", ','},
	    {"\xef\xbb\xbf\"start\",\"end\"\n", ','},
	    {"srcaddr dstaddr bytes\n", 0},
	    {"bytes,a,b\n", 0},
	    {"a,b\n", 0},
	    {"", 0},
	    {"\xef\xbb\xbf", 0},
	    {"srcaddr\n", 0},
	};
	struct fl_format *f = NULL;
	const char lines[] = "{\"src_addr\":1,\"x\":2}\n{\"bytes\":3,\"src_addr\":4}\n{\"pack";
	char delimiter;

	(void)state;
	for (size_t i = 0; i < FL_ARRAY_LEN(cases); i++) {
		assert_int_equal(fl_csv_is(cases[i].head, strlen(cases[i].head), &delimiter), cases[i].delimiter != 0);
		if (cases[i].delimiter)
			assert_int_equal(delimiter, cases[i].delimiter);
	}
	assert_true(fl_json_lines_is(lines, strlen(lines)));
	assert_int_equal(fl_json_lines_format("p", lines, strlen(lines), &f), 0);
	assert_int_equal(fl_format_len(f), 3);
	assert_string_equal(fl_format_name(f, 0), "srcaddr");
	assert_string_equal(fl_format_name(f, 1), "x");
	assert_string_equal(fl_format_name(f, 2), "bytes");
	fl_format_free(&f);
	assert_int_equal(fl_json_lines_format("p", "{\n", 2, &f), -EINVAL);
	assert_non_null(strstr(fl_error_text(-EINVAL), "jq"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(records_end_where_rfc_4180_says), cmocka_unit_test(a_record_has_a_ceiling),
	    cmocka_unit_test(names_are_those_of_fields),       cmocka_unit_test(plain_objects_are_read_without_a_tree),
	    cmocka_unit_test(what_is_a_table_of_records),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
