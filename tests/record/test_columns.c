/* SPDX-License-Identifier: Apache-2.0 */
/* Values of columns: every text that is set prints as it was; nulls and compaction. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "record/columns.h"

static void assert_prints(struct fl_batch *b, uint32_t column, uint32_t row, const char *text)
{
	struct fl_buf out FL_CLEANUP(fl_buf_free) = FL_BUF(1 << 16);

	assert_int_equal(fl_column_print(&b->column[column], row, &out), 0);
	assert_string_equal(fl_buf_cstr(&out), text);
}

static void test_values_come_back(void **state)
{
	static const struct {
		const char *column, *text;
	} cases[] = {
	    {"srcaddr", "10.0.0.1"},
	    {"pkt-dstaddr", "2001:db8::1"},
	    {"dstaddr", "::ffff:a00:1"},
	    {"dstaddr", "-"},
	    {"bytes", "9223372036854775807"},
	    {"bytes", "0"},
	    {"dstport", "-"},
	    {"action", "REJECT"},
	    {"action", "-"},
	    {"log_status", "SKIPDATA"},
	    {"interface_id", "eni-0123456789abcdef0"},
	    {"instance_tag", "a%20b"},
	    {"something_else", "x"},
	    {"tgw_id", "-"},
	    {"packets_lost_blackhole", "7"},
	};

	(void)state;
	for (size_t i = 0; i < FL_ARRAY_LEN(cases); i++) {
		struct fl_batch *b FL_CLEANUP(fl_batch_free) = NULL;
		struct fl_column_def d;

		fl_column_find(cases[i].column, &d);
		assert_int_equal(fl_batch_new(&b, &d, 1), 0);
		assert_true(fl_column_set_text(&b->column[0], 77, cases[i].text, strlen(cases[i].text)));
		assert_int_equal(fl_column_is_null(&b->column[0], 77), !strcmp(cases[i].text, "-"));
		assert_prints(b, 0, 77, cases[i].text);
	}
}

static void test_what_is_no_value(void **state)
{
	static const struct {
		const char *column, *text;
	} cases[] = {
	    {"srcaddr", "10.0.0.256"},
	    {"srcaddr", ""},
	    {"bytes", "9223372036854775808"},
	    {"bytes", "1x"},
	    {"bytes", ""},
	    {"bytes", "-1"},
	    {"dstport", "2147483648"},
	    {"action", "accept"},
	    {"log_status", "NODATA "},
	    {"vpc_id", ""},
	};

	(void)state;
	for (size_t i = 0; i < FL_ARRAY_LEN(cases); i++) {
		struct fl_batch *b FL_CLEANUP(fl_batch_free) = NULL;
		struct fl_column_def d;

		assert_true(fl_column_find(cases[i].column, &d));
		assert_int_equal(fl_batch_new(&b, &d, 1), 0);
		assert_false(fl_column_set_text(&b->column[0], 0, cases[i].text, strlen(cases[i].text)));
	}
}

static void test_compaction_keeps_order_nulls_and_forms(void **state)
{
	struct fl_batch *b FL_CLEANUP(fl_batch_free) = NULL;
	struct fl_column_def d[2];
	uint64_t keep[FL_BATCH_WORDS] = {0};

	(void)state;
	fl_column_find("srcaddr", &d[0]);
	fl_column_find("bytes", &d[1]);
	assert_int_equal(fl_batch_new(&b, d, 2), 0);
	b->n = FL_BATCH_ROWS;
	for (uint32_t i = 0; i < b->n; i++) {
		const char *address = i % 3 ? "10.0.0.1" : "::ffff:a00:1";
		char number[16];

		snprintf(number, sizeof number, "%u", i);
		assert_true(fl_column_set_text(&b->column[0], i, address, strlen(address)));
		assert_true(fl_column_set_text(&b->column[1], i, i % 5 ? number : "-", i % 5 ? strlen(number) : 1));
		if (i % 7 == 0)
			keep[i / 64] |= UINT64_C(1) << (i % 64);
	}
	assert_int_equal(fl_batch_compact(b, keep, NULL), (FL_BATCH_ROWS + 6) / 7);
	for (uint32_t i = 0; i < b->n; i++) {
		char number[16];

		snprintf(number, sizeof number, "%u", i * 7);
		assert_prints(b, 0, i, (i * 7) % 3 ? "10.0.0.1" : "::ffff:a00:1");
		assert_prints(b, 1, i, (i * 7) % 5 ? number : "-");
	}
}

static void test_compaction_of_any_rows(void **state)
{
	struct fl_batch *b FL_CLEANUP(fl_batch_free) = NULL;
	struct fl_column_def d[4];
	uint64_t random = 88172645463325252u;

	(void)state;
	fl_column_find("srcaddr", &d[0]);
	fl_column_find("bytes", &d[1]);
	fl_column_find("vpc_id", &d[2]);
	fl_column_find("log_status", &d[3]);
	assert_int_equal(fl_batch_new(&b, d, 4), 0);
	for (uint32_t round = 0; round < 60; round++) {
		static const uint32_t kept[] = {0, 1, 3, 50, 97, 99, 100, 100};
		uint64_t keep[FL_BATCH_WORDS];
		uint16_t expected[FL_BATCH_ROWS];
		uint32_t n = 0, rows = round % 3 ? FL_BATCH_ROWS : round * 31, percent = kept[round % 8];

		fl_batch_clear(b);
		memset(keep, round % 2 ? 0xff : 0, sizeof keep); /* bits behind the last row mean nothing */
		b->n = rows;
		for (uint32_t i = 0; i < rows; i++) {
			bool stays;

			random ^= random << 13;
			random ^= random >> 7;
			random ^= random << 17;
			stays = (random >> 33) % 100 < percent;
			keep[i / 64] = (keep[i / 64] & ~(UINT64_C(1) << i % 64)) | (uint64_t)stays << i % 64;
			if (stays)
				expected[n++] = (uint16_t)i;
			b->column[0].addr[i] = (struct fl_addr){.b = {[14] = (uint8_t)(i >> 8), [15] = (uint8_t)i}};
			b->column[0].v6[i / 64] |= (uint64_t)(i % 3 == 0) << i % 64;
			b->column[1].u64[i] = i;
			b->column[2].text[i] = (struct fl_str){NULL, i};
			b->column[3].code[i] = (uint8_t)i;
			if (i % 5 == 0)
				fl_column_set_null(&b->column[1], i);
		}
		assert_int_equal(fl_batch_compact(b, keep, NULL), n);
		for (uint32_t i = 0; i < n; i++) {
			uint32_t from = expected[i];

			assert_int_equal(b->column[0].addr[i].b[14] << 8 | b->column[0].addr[i].b[15], from);
			assert_int_equal(b->column[0].v6[i / 64] >> i % 64 & 1, from % 3 == 0);
			assert_int_equal(b->column[1].u64[i], from);
			assert_int_equal(fl_column_is_null(&b->column[1], i), from % 5 == 0);
			assert_int_equal(b->column[2].text[i].n, from);
			assert_int_equal(b->column[3].code[i], from & 0xff);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_values_come_back),
	    cmocka_unit_test(test_what_is_no_value),
	    cmocka_unit_test(test_compaction_keeps_order_nulls_and_forms),
	    cmocka_unit_test(test_compaction_of_any_rows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
