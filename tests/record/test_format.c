/* SPDX-License-Identifier: Apache-2.0 */
/* Format strings as AWS validates them (records.md sections 1 and 5, api.md section 2), and the table of fields. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/error.h"
#include "record/record.h"

static const char *spec; /* records.tsv, or NULL */

static struct fl_format *parse(enum fl_log_kind kind, const char *text)
{
	struct fl_format *f = NULL;

	assert_int_equal(fl_format_parse(&f, kind, text), 0);
	return f;
}

struct preset_row {
	const char *name;
	enum fl_log_kind kind;
	size_t fields;
	unsigned version;
};

static void presets(void **state)
{
	static const struct preset_row rows[] = {
	    {"default", FL_LOG_VPC, 14, 2}, {"v5-all", FL_LOG_VPC, 29, 5},   {"v7-all", FL_LOG_VPC, 39, 7},
	    {"v8-all", FL_LOG_VPC, 40, 8},  {"v11-all", FL_LOG_VPC, 54, 11}, {"tgw-default", FL_LOG_TGW, 36, 6},
	};
	struct fl_format *f;

	(void)state;
	for (size_t i = 0; i < FL_ARRAY_LEN(rows); i++) {
		f = parse(rows[i].kind, rows[i].name);
		assert_int_equal(fl_format_len(f), rows[i].fields);
		assert_int_equal(fl_format_version(f), rows[i].version);
		fl_format_free(&f);
	}
	f = parse(FL_LOG_VPC, "default");
	assert_string_equal(
	    fl_format_text(f),
	    "${version} ${account-id} ${interface-id} ${srcaddr} ${dstaddr} ${srcport} ${dstport} ${protocol} "
	    "${packets} ${bytes} ${start} ${end} ${action} ${log-status}");
	fl_format_free(&f);
}

/* "A mix of v2, v3 and v4 fields: 4. Adding one v11 field makes every record of that flow log say 11." */
static void version_is_the_highest_of_its_fields(void **state)
{
	static const struct {
		const char *text;
		unsigned version;
	} rows[] = {
	    {"${srcaddr}", 2},
	    {"${srcaddr} ${tcp-flags}", 3},
	    {"${bytes} ${tcp-flags} ${region}", 4},
	    {"${flow-direction} ${bytes}", 5},
	    {"${bytes} ${region} ${interface-type}", 11},
	    {"${encryption-status}", 10},
	};

	(void)state;
	for (size_t i = 0; i < FL_ARRAY_LEN(rows); i++) {
		struct fl_format *f = parse(FL_LOG_VPC, rows[i].text);

		assert_int_equal(fl_format_version(f), rows[i].version);
		assert_string_equal(fl_format_text(f), rows[i].text);
		fl_format_free(&f);
	}
}

static void what_aws_rejects(void **state)
{
	static const struct {
		enum fl_log_kind kind;
		const char *text, *says;
	} rows[] = {
	    {FL_LOG_VPC, "", "empty"},
	    {FL_LOG_VPC, " ${bytes}", "expected ${field}"},
	    {FL_LOG_VPC, "${bytes} ", "trailing space"},
	    {FL_LOG_VPC, "${bytes}  ${packets}", "more than one space"},
	    {FL_LOG_VPC, "${bytes}${packets}", "expected a space"},
	    {FL_LOG_VPC, "${bytes}\t${packets}", "expected a space"},
	    {FL_LOG_VPC, "${bytes} ${bytes}", "there twice"},
	    {FL_LOG_VPC, "${bytes", "expected ${field}"},
	    {FL_LOG_VPC, "bytes packets", "expected ${field}"},
	    {FL_LOG_VPC, "${Bytes}", "nearest is bytes"},
	    {FL_LOG_VPC, "${scraddr}", "unknown field scraddr; the nearest is srcaddr"},
	    {FL_LOG_VPC, "${tcp_flags}", "nearest is tcp-flags"},
	    {FL_LOG_VPC, "${flow-directoin}", "nearest is flow-direction"},
	    {FL_LOG_VPC, "${}", "unknown field"},
	    {FL_LOG_VPC, "${tgw-id}", "unknown field tgw-id"},
	    {FL_LOG_TGW, "${vpc-id}", "unknown field vpc-id"},
	    {FL_LOG_TGW, "${tgw-attachement-id}", "nearest is tgw-attachment-id"},
	    {FL_LOG_VPC, "tgw-default", "other kind"},
	};

	(void)state;
	for (size_t i = 0; i < FL_ARRAY_LEN(rows); i++) {
		struct fl_format *f = NULL;

		assert_int_equal(fl_format_parse(&f, rows[i].kind, rows[i].text), -EINVAL);
		assert_null(f);
		if (!strstr(fl_error_text(-EINVAL), rows[i].says))
			fail_msg("%s: \"%s\" does not say \"%s\"", rows[i].text, fl_error_text(-EINVAL), rows[i].says);
	}
}

static void headers(void **state)
{
	static const char line[] = "srcaddr something-new bytes\r\n", tgw[] = "version resource-type tgw-id";
	struct fl_format *f = NULL;

	(void)state;
	assert_int_equal(fl_format_from_header(&f, line, sizeof line - 1), 0);
	assert_int_equal(fl_format_len(f), 3);
	assert_non_null(fl_format_field(f, 0));
	assert_null(fl_format_field(f, 1));
	assert_string_equal(fl_format_name(f, 1), "something-new");
	fl_format_free(&f);
	assert_int_equal(fl_format_from_header(&f, tgw, sizeof tgw - 1), 0);
	assert_int_equal(fl_format_kind(f), FL_LOG_TGW);
	fl_format_free(&f);
	assert_true(fl_format_from_header(&f, "a  b", 4) < 0);
	assert_true(fl_format_from_header(&f, "", 0) < 0);
}

static void elastic_counts(void **state)
{
	char text[2048] = "";
	struct fl_format *f = parse(FL_LOG_VPC, "default");

	(void)state;
	assert_null(fl_format_warning(f));
	/* The same fourteen, the last two swapped. */
	for (size_t i = 0; i < 14; i++)
		snprintf(text + strlen(text), sizeof text - strlen(text), "%s${%s}", i ? " " : "",
			 fl_format_name(f, i < 12 ? i : 25 - i));
	fl_format_free(&f);
	f = parse(FL_LOG_VPC, text);
	assert_non_null(fl_format_warning(f));
	fl_format_free(&f);
}

/* Every row of ../shared/spec/records.tsv is a field here, in the same order and version. */
static void the_table_is_the_specification(void **state)
{
	static const char *const kinds[] = {"vpc", "tgw"};
	FILE *file = spec ? fopen(spec, "r") : NULL;
	char line[8192];
	unsigned seen[2] = {0};

	(void)state;
	if (!file)
		skip();
	assert_non_null(fgets(line, sizeof line, file));
	while (fgets(line, sizeof line, file)) {
		char *rest = line, *column[8];
		unsigned kind;
		const struct fl_field *f;

		for (unsigned i = 0; i < 8; i++)
			column[i] = strsep(&rest, "\t");
		kind = strcmp(column[0], kinds[0]) != 0;
		f = fl_field_at((enum fl_log_kind)kind, (unsigned)atoi(column[1]) - 1);
		assert_non_null(f);
		assert_string_equal(f->name, column[2]);
		assert_string_equal(f->column, column[3]);
		assert_int_equal(f->version, atoi(column[6]));
		assert_int_equal(f->in_default, !strcmp(column[7], "yes"));
		seen[kind]++;
	}
	fclose(file);
	assert_int_equal(seen[FL_LOG_VPC], fl_field_count(FL_LOG_VPC));
	assert_int_equal(seen[FL_LOG_TGW], fl_field_count(FL_LOG_TGW));
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(presets),          cmocka_unit_test(version_is_the_highest_of_its_fields),
	    cmocka_unit_test(what_aws_rejects), cmocka_unit_test(headers),
	    cmocka_unit_test(elastic_counts),   cmocka_unit_test(the_table_is_the_specification),
	};

	spec = argc > 1 ? argv[1] : NULL;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
