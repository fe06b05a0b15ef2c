/* SPDX-License-Identifier: Apache-2.0 */
/* Real flow logs, with the values that their origin expects (shared/corpus/vpcflow): by every kernel. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "base/error.h"
#include "base/mem.h"
#include "scan/inflate.h"
#include "scan/kernels.h"
#include "scan/set.h"
#include "scan/text.h"

static const char *corpus;
static const char *kernel; /* of this round */

/* ---- a text as an array of objects: column name -> value as a record has it ---- */

static json_t *object_of(const struct fl_batch *b, uint32_t row)
{
	json_t *o = json_object();

	for (uint32_t i = 0; i < b->n_columns; i++) {
		struct fl_buf text FL_CLEANUP(fl_buf_free) = FL_BUF(1 << 16);

		assert_int_equal(fl_column_print(&b->column[i], row, &text), 0);
		assert_int_equal(json_object_set_new(o, b->column[i].def.name, json_stringn(text.data, text.len)), 0);
	}
	return o;
}

struct reading {
	struct fl_format *format;
	struct fl_batch *batch;
	struct fl_text *text;
	json_t *rows;
};

static void begin(struct reading *r, struct fl_format *format)
{
	struct fl_column_def defs[FL_BATCH_COLUMNS];

	r->format = format;
	r->rows = json_array();
	for (size_t i = 0; i < fl_format_len(format); i++)
		fl_column_find(fl_format_name(format, i), &defs[i]);
	assert_int_equal(fl_batch_new(&r->batch, defs, fl_format_len(format)), 0);
	assert_int_equal(fl_text_new(&r->text, kernel), 0);
	assert_int_equal(fl_text_begin(r->text, format, &(struct fl_text_want){.batch = r->batch}), 0);
}

static void take(struct reading *r, const char *data, size_t n, bool last)
{
	size_t used;

	while (fl_text_next(r->text, data, n, last, &used) == 1) {
		for (uint32_t row = 0; row < r->batch->n; row++)
			json_array_append_new(r->rows, object_of(r->batch, row));
		data += used;
		n -= used;
	}
}

static json_t *end(struct reading *r, struct fl_text_counts *ret)
{
	*ret = *fl_text_counts(r->text);
	fl_text_free(&r->text);
	fl_batch_free(&r->batch);
	fl_format_free(&r->format);
	return r->rows;
}

static json_t *read_log(const char *name, struct fl_text_counts *ret)
{
	struct fl_blocks *b = NULL;
	struct reading r = {0};
	const char *data;
	char path[4096];
	size_t n;
	bool last;
	int fd;

	snprintf(path, sizeof path, "%s/%s", corpus, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(fl_blocks_new(&b, 0), 0);
	assert_int_equal(fl_blocks_open_fd(b, fd), 0);
	while (fl_blocks_next(b, &data, &n, &last) == 1) {
		struct fl_looked looked;
		struct fl_format *f = NULL;

		if (!r.format) {
			fl_look(data, n, &looked);
			assert_int_equal(fl_look_format(path, &looked, NULL, &f), 0);
			begin(&r, f);
		}
		take(&r, data, n, last);
	}
	fl_blocks_free(&b);
	close(fd);
	return end(&r, ret);
}

static json_t *read_expected(const char *name)
{
	char path[4096];
	json_t *j;

	snprintf(path, sizeof path, "%s/%s", corpus, name);
	j = json_load_file(path, 0, NULL);
	assert_non_null(j);
	return j;
}

/* The expected value as a record would have it. */
static void value_text(const char *column, const json_t *v, char *ret, size_t size)
{
	struct tm tm = {0};

	if (!v || json_is_null(v))
		snprintf(ret, size, "-");
	else if (json_is_integer(v))
		snprintf(ret, size, "%lld", (long long)json_integer_value(v));
	else if ((!strcmp(column, "start") || !strcmp(column, "end")) &&
		 strptime(json_string_value(v), "%Y-%m-%dT%H:%M:%SZ", &tm))
		snprintf(ret, size, "%lld", (long long)timegm(&tm));
	else
		snprintf(ret, size, "%s", json_string_value(v));
}

static void assert_row(const json_t *row, const json_t *expected)
{
	const char *column;
	json_t *v, *w;

	json_object_foreach((json_t *)(uintptr_t)row, column, v)
	{
		char text[256];

		value_text(column, json_object_get(expected, column), text, sizeof text);
		assert_string_equal(json_string_value(v), text);
	}
	/* and nothing is expected that is not there */
	json_object_foreach((json_t *)(uintptr_t)expected, column, w)
	    assert_true(json_is_null(w) || json_object_get(row, column));
}

static void skip_without(void)
{
	if (corpus && !access(corpus, R_OK))
		return;
	print_message("%s is not there: nothing to compare with\n", corpus ? corpus : "the corpus");
	skip();
}

#define EACH_KERNEL                                                                                                    \
	for (size_t k_ = 0; fl_kernel_at(k_); k_++)                                                                    \
		if ((kernel = fl_kernel_at(k_)->name, fl_kernel_at(k_)->supported()))

static void test_every_text_has_its_records(void **state)
{
	/* As MANIFEST.tsv has them, where that counts records; lines with another number of values are the origins'
	 * own. */
	static const struct {
		const char *name;
		unsigned records, malformed;
	} files[] = {
	    {"flowlogs-reader/v2_records.log", 5, 0},
	    {"flowlogs-reader/v2_millisecond_timestamps.log", 1, 0},
	    {"flowlogs-reader/v3.log", 2, 0},
	    {"flowlogs-reader/v5.log", 2, 1},
	    {"flowlogs-reader/v5.log.gz", 2, 1},
	    {"grafana/aws-analyzer_sorting_test.log", 3, 0},
	    {"grafana/aws-test_flow_logs.log", 6, 0},
	    {"m-mizutani/sample1.log", 2, 0},
	    {"m-mizutani/sample2.log.gz", 2, 0},
	    {"vrl/nat-gateway.log", 6, 0},
	    {"vrl/v11-fields.log", 2, 0},
	    {"vrl/v2-default.log", 7, 0},
	    {"vrl/v3-tcp-flags.log", 8, 0},
	    {"vrl/v3-transit.log", 4, 0},
	    {"vrl/v5-service-path.log", 2, 0},
	    {"vrl/v7-ecs.log", 1, 0},
	};

	(void)state;
	skip_without();
	EACH_KERNEL for (size_t i = 0; i < FL_ARRAY_LEN(files); i++)
	{
		struct fl_text_counts counts;
		json_t *rows = read_log(files[i].name, &counts);

		if (counts.records != files[i].records || counts.malformed != files[i].malformed || counts.bad_values)
			print_error("%s: %llu records, %llu malformed, %llu bad values\n", files[i].name,
				    (unsigned long long)counts.records, (unsigned long long)counts.malformed,
				    (unsigned long long)counts.bad_values);
		assert_int_equal(counts.records, files[i].records);
		assert_int_equal(counts.malformed, files[i].malformed);
		assert_int_equal(counts.bad_values, 0);
		assert_int_equal(json_array_size(rows), files[i].records);
		json_decref(rows);
	}
}

static void test_flowlogs_reader(void **state)
{
	static const char *const pairs[][2] = {{"flowlogs-reader/v3.log", "flowlogs-reader/expected/v3.json"},
					       {"flowlogs-reader/v5.log", "flowlogs-reader/expected/v5.json"},
					       {"flowlogs-reader/v5.log.gz", "flowlogs-reader/expected/v5.json"}};

	(void)state;
	skip_without();
	EACH_KERNEL for (size_t i = 0; i < FL_ARRAY_LEN(pairs); i++)
	{
		struct fl_text_counts counts;
		json_t *rows = read_log(pairs[i][0], &counts), *expected = read_expected(pairs[i][1]);

		assert_int_equal(json_array_size(rows), json_array_size(expected));
		for (size_t row = 0; row < json_array_size(rows); row++)
			assert_row(json_array_get(rows, row), json_array_get(expected, row));
		json_decref(rows);
		json_decref(expected);
	}
}

static long long number(const json_t *row, const char *column)
{
	return strtoll(json_string_value(json_object_get(row, column)), NULL, 10);
}

static void test_flowlogs_reader_sums(void **state)
{
	static const char *const key[] = {"srcaddr", "dstaddr", "srcport", "dstport", "protocol"};
	struct fl_text_counts counts;
	json_t *rows, *expected, *e;
	size_t i;

	(void)state;
	skip_without();
	kernel = NULL;
	rows = read_log("flowlogs-reader/v2_records.log", &counts);
	expected = read_expected("flowlogs-reader/expected/v2_records.first4.5tuple-aggregate.json");
	json_array_foreach(expected, i, e)
	{
		long long packets = 0, bytes = 0, start = INT64_MAX, stop = 0;
		char text[64];

		for (size_t row = 0; row < 4; row++) {
			const json_t *r = json_array_get(rows, row);
			bool same = true;

			for (size_t k = 0; k < FL_ARRAY_LEN(key); k++) {
				value_text(key[k], json_object_get(e, key[k]), text, sizeof text);
				same &= !strcmp(text, json_string_value(json_object_get(r, key[k])));
			}
			if (!same)
				continue;
			packets += number(r, "packets");
			bytes += number(r, "bytes");
			start = FL_MIN(start, number(r, "start"));
			stop = FL_MAX(stop, number(r, "end"));
		}
		assert_int_equal(packets, json_integer_value(json_object_get(e, "packets")));
		assert_int_equal(bytes, json_integer_value(json_object_get(e, "bytes")));
		value_text("start", json_object_get(e, "start"), text, sizeof text);
		assert_int_equal(start, strtoll(text, NULL, 10));
		value_text("end", json_object_get(e, "end"), text, sizeof text);
		assert_int_equal(stop, strtoll(text, NULL, 10));
	}
	json_decref(rows);
	json_decref(expected);
}

/* The string in quotes at or behind p, copied; *p moves behind it. False: there is none. */
static bool quoted(const char **p, char *ret, size_t size)
{
	const char *from = strchr(*p, '"'), *to = from ? strchr(from + 1, '"') : NULL;

	if (!to || (size_t)(to - from) > size)
		return false;
	memcpy(ret, from + 1, (size_t)(to - from) - 1);
	ret[to - from - 1] = '\0';
	*p = to + 1;
	return true;
}

static void test_vector_examples(void **state)
{
	size_t i;
	json_t *e, *examples;

	(void)state;
	skip_without();
	examples = read_expected("vrl/parse_aws_vpc_flow_log.examples.json");
	assert_true(json_array_size(examples) >= 4);
	EACH_KERNEL json_array_foreach(examples, i, e)
	{
		const char *source = json_string_value(json_object_get(e, "source"));
		char line[4096 + FL_TEXT_PAD], header[4096];
		struct fl_format *f = NULL;
		struct reading r = {0};
		struct fl_text_counts counts;
		json_t *rows;

		assert_true(quoted(&source, line, 4096));
		if (quoted(&source, header, sizeof header)) {
			for (char *c = header; *c; c++)
				*c = *c == '_' ? '-' : *c;
			assert_int_equal(fl_format_from_header(&f, header, strlen(header)), 0);
		} else {
			assert_int_equal(fl_format_parse(&f, FL_LOG_VPC, "default"), 0);
		}
		begin(&r, f);
		take(&r, line, strlen(line), true);
		rows = end(&r, &counts);
		assert_int_equal(counts.bad_values, 0);
		assert_int_equal(json_array_size(rows), 1);
		assert_row(json_array_get(rows, 0), json_object_get(e, "return"));
		json_decref(rows);
	}
	json_decref(examples);
}

static void test_packed_and_plain_are_the_same(void **state)
{
	struct fl_text_counts counts;
	json_t *plain, *packed;

	(void)state;
	skip_without();
	kernel = NULL;
	plain = read_log("m-mizutani/sample1.log", &counts);
	packed = read_log("m-mizutani/sample2.log.gz", &counts);
	assert_true(json_equal(plain, packed));
	json_decref(plain);
	json_decref(packed);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_every_text_has_its_records),    cmocka_unit_test(test_flowlogs_reader),
	    cmocka_unit_test(test_flowlogs_reader_sums),          cmocka_unit_test(test_vector_examples),
	    cmocka_unit_test(test_packed_and_plain_are_the_same),
	};

	corpus = argc > 1 ? argv[1] : NULL;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
