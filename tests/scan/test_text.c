/* SPDX-License-Identifier: Apache-2.0 */
/* The scanner of text: each kernel against the slow and obvious one over lines of every kind of trouble, and what is
 * told of it. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "scan/kernels.h"
#include "text_reference.h"

static uint64_t seed;

static uint32_t below(uint32_t n)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (uint32_t)((seed >> 32) * n >> 32);
}

static const char *const addresses[] = {
    "10.0.0.1", "255.255.255.255", "0.0.0.0", "192.168.100.200", "1.2.3.4", "2001:db8::1", "::", "::1", "fe80::1:2:3:4",
    "1:2:3:4:5:6:7:8", "::ffff:10.0.0.1", "::ffff:a00:1", "1:2:3:4:5:6:7::", "::2:3:4:5:6:7:8", "ABCD::ef01", "-",
    /* none: */
    "10.0.0.256", "01.2.3.4", "1.2.3.04", "1.2.3", "1.2.3.4.5", "1..3.4", "1.2.3.4x", ".1.2.3.4", "1.2.3.4.", "::1::2",
    "1:2:3:4:5:6:7:8:9", "12345::", ":1", "1:", ":", ":::", "1:2:3:4:5:6:7:8::", "00.0.0.0", "1.2.3.1000", "1111.2.3.4",
    "a.b.c.d", "--", "255.255.255.255.255", "10.0.0.1/32", "1.2.3.4\t", "\x80.1.1.1"};
static const char *const numbers[] = {
    "0", "1", "9", "10", "99999999", "100000000", "1735689600", "9999999999999999", "10000000000000000",
    "9223372036854775807", "2147483647", "00000001", "000000000000000000001", "12345678", "123456789", "-",
    /* none, of some or all: */
    "2147483648", "9223372036854775808", "99999999999999999999", "1a", "a1", "1/", ":1", "+1", "-1", "--", "1.0",
    "1234567:", "/2345678", "\xb0", "12345678\xff", "\x01", "1-", "123456789012345x", "x234567890123456"};
static const char *const words[] = {
    "ACCEPT",           "REJECT",   "OK",        "NODATA", "SKIPDATA", "-",
    "accept",           "ACCEPTED", "SKIPDATAX", "O",      "OKAY",     "eni-0123456789abcdef0",
    "version",          "v",        "srcaddr",   "end",    "-x",       "\x01\x02",
    "\xf0\x9f\x92\xa9", "\t",       "\r",        "a\rb",   "\v",       "us-east-1"};

#define PICK(list) list[below(FL_ARRAY_LEN(list))]

/* IPv6, often nearly */
static void add_groups(struct fl_buf *b)
{
	unsigned n = below(4) ? 8 : below(10), gap = below(2) ? below(10) : 99;

	for (unsigned i = 0; i < n; i++) {
		if (i == gap)
			fl_buf_adds(b, i ? ":" : "::");
		else if (below(20) || i + 1 < n)
			fl_buf_printf(b, below(8) ? "%x" : "%X",
				      (unsigned)below(1u << below(17)) << (below(60) ? 0 : 4));
		if (i + 1 < n || !below(20))
			fl_buf_adds(b, ":");
	}
	if (!below(10) && b->len)
		b->data[b->len - 1] = "g.:-0f\x80"[below(7)];
}

static void add_value(struct fl_buf *b, const struct fl_column_def *d)
{
	unsigned kind = below(40) ? d->type : below(3);
	uint8_t quad[4] = {(uint8_t)below(256), (uint8_t)below(256), (uint8_t)below(256), (uint8_t)below(256)};
	char n[16] = {'0'};

	if (below(200) == 0)
		return; /* empty */
	if (kind == FL_COLUMN_ADDR && below(3))
		fl_buf_printf(b, "%u.%u.%u.%u", quad[0] >> below(8), quad[1], quad[2], quad[3] >> below(8));
	else if (kind == FL_COLUMN_ADDR && below(2))
		add_groups(b);
	else if (kind == FL_COLUMN_ADDR)
		fl_buf_adds(b, PICK(addresses));
	else if (kind == FL_COLUMN_U64 && below(3))
		fl_buf_printf(b, "%llu", (unsigned long long)(((uint64_t)below(UINT32_MAX) << 20) >> below(52)));
	else if (kind == FL_COLUMN_U64)
		fl_buf_adds(b, PICK(numbers));
	else
		fl_buf_adds(b, PICK(words));
	if (below(500) == 0)
		fl_buf_add(b, n, sizeof n); /* a NUL and more */
}

static const char *const formats[] = {"default",
				      "v5-all",
				      "v11-all",
				      "${srcaddr}",
				      "${bytes}",
				      "${interface-id} ${srcaddr} ${bytes}",
				      "${end} ${action} ${log-status} ${pkt-dstaddr}",
				      "${action}",
				      "${vpc-id} ${version}"};

static void add_header(struct fl_buf *b, const char *format)
{
	struct fl_format *f = NULL;

	assert_int_equal(fl_format_parse(&f, FL_LOG_VPC, format), 0);
	for (size_t i = 0; i < fl_format_len(f); i++)
		fl_buf_printf(b, "%s%s", i ? " " : "", fl_format_name(f, i));
	fl_format_free(&f);
}

/* trouble: one line in so many has some; 0: none. */
static void make_text(struct fl_buf *b, const char *format, size_t lines, unsigned trouble, bool crlf)
{
	struct fl_format *f = NULL;

	assert_int_equal(fl_format_parse(&f, FL_LOG_VPC, format), 0);
	if (below(2)) {
		add_header(b, format);
		fl_buf_adds(b, crlf ? "\r\n" : "\n");
	}
	for (size_t line = 0; line < lines; line++) {
		size_t fields = fl_format_len(f);

		switch (trouble && !below(trouble) ? below(12) : 99) {
		case 0:
			fields = below((uint32_t)fields + 4);
			break;
		case 1:
			fl_buf_add(b, " ", 1);
			break;
		case 2:
			fl_buf_adds(b, crlf ? "\r\n" : "\n");
			break;
		case 3:
			add_header(b, format);
			fl_buf_adds(b, "\n");
			break;
		case 4:
			add_header(b, PICK(formats));
			fl_buf_adds(b, "\r\n");
			break;
		case 5:
			for (unsigned i = 0, n = below(300); i < n; i++)
				fl_buf_printf(b, "%c", (char)below(256));
			break;
		case 6:
			fl_buf_adds(b, "\r");
			break;
		case 7:
			for (unsigned i = 0, n = below(4) ? 1 : FL_TEXT_LINE_MAX - 200 + below(300); i < n; i++)
				fl_buf_adds(b, "x");
			break;
		case 8:
			fl_buf_adds(b, "version version\n");
			break;
		case 9:
			fields += 5000;
			break;
		}
		for (size_t i = 0; i < fields; i++) {
			struct fl_column_def d;

			fl_column_find(fl_format_name(f, i % fl_format_len(f)), &d);
			if (i)
				fl_buf_add(b, trouble && !below(4000) ? "  " : " ", trouble && !below(4000) ? 2 : 1);
			add_value(b, &d);
		}
		if (trouble && !below(trouble * 3))
			fl_buf_adds(b, below(2) ? " " : "\r");
		fl_buf_adds(b, crlf || (trouble && !below(100)) ? "\r\n" : "\n");
	}
	if (below(3) == 0)
		b->len--; /* no newline at the end */
	fl_format_free(&f);
}

static size_t some_columns(const char *format, struct fl_column_def *ret)
{
	struct fl_format *f = NULL;
	size_t n = 0;

	assert_int_equal(fl_format_parse(&f, FL_LOG_VPC, below(4) ? format : PICK(formats)), 0);
	for (size_t i = 0; i < fl_format_len(f); i++) {
		if (below(3) == 0)
			continue;
		fl_column_find(fl_format_name(f, i), &ret[n]);
		if (ret[n].field)
			ret[n].name = ret[n].field->column;
		n++;
	}
	if (!n)
		fl_column_find("srcaddr", &ret[n++]);
	fl_format_free(&f);
	return n;
}

static struct fl_filter *some_filter(const struct fl_column_def *d, size_t n)
{
	struct fl_filter *f = NULL;
	struct fl_cidr cidr;
	bool one;

	d += below((uint32_t)n);
	switch ((enum fl_column_type)d->type) {
	case FL_COLUMN_U64:
		fl_filter_number(&f, d->name, (enum fl_filter_op)below(6), below(3) ? below(100000) : 0);
		break;
	case FL_COLUMN_ADDR:
		one = below(2);
		assert_int_equal(fl_cidr_parse(one ? "10.0.0.1" : "0.0.0.0/1", one ? 8 : 9, &cidr), 0);
		fl_filter_cidr(&f, d->name, &cidr);
		break;
	default:
		fl_filter_text(&f, d->name, "ACCEPT", 6);
	}
	assert_non_null(f);
	return f;
}

static void check(const struct scan_case *c, const struct fl_buf *text, const char *what)
{
	struct scan_result expected;

	scan_reference(c, text->data, text->len, &expected);
	for (size_t k = 0; fl_kernel_at(k); k++) {
		static const size_t blocks[] = {0, 1, 63, 64, 65, 1000, 20000, 300000};
		size_t block = PICK(blocks);
		struct scan_result got;

		if (!fl_kernel_at(k)->supported())
			continue;
		if (text->len > 100000 && block && block < 1000)
			block = 4096;
		scan_fast(c, fl_kernel_at(k)->name, text->data, text->len, block, "\n 0a.\xff"[below(6)], &got);
		if (!scan_equal(&expected, &got, c->filter)) {
			FILE *f = fopen("/tmp/scan-text-failed", "wb");

			if (f) {
				fwrite(text->data, 1, text->len, f);
				fclose(f);
			}
			print_error(
			    "kernel %s, blocks of %zu, format %s, seed %s: lines %llu %llu, records %llu %llu, "
			    "malformed "
			    "%llu %llu, bad %llu %llu, rows of %zu %zu bytes\n",
			    fl_kernel_at(k)->name, block, c->format, what, (unsigned long long)expected.counts.lines,
			    (unsigned long long)got.counts.lines, (unsigned long long)expected.counts.records,
			    (unsigned long long)got.counts.records, (unsigned long long)expected.counts.malformed,
			    (unsigned long long)got.counts.malformed, (unsigned long long)expected.counts.bad_values,
			    (unsigned long long)got.counts.bad_values, expected.rows.len, got.rows.len);
			fail();
		}
		scan_result_free(&got);
	}
	scan_result_free(&expected);
}

static void random_texts(unsigned rounds, size_t lines, unsigned trouble)
{
	for (unsigned round = 0; round < rounds; round++) {
		struct fl_buf text FL_CLEANUP(fl_buf_free) = FL_BUF(1 << 28);
		struct fl_column_def columns[FL_BATCH_COLUMNS];
		struct scan_case c = {.format = PICK(formats), .columns = columns};
		struct fl_filter *filter = NULL;
		char what[40];

		snprintf(what, sizeof what, "%llu", (unsigned long long)seed);
		c.n_columns = some_columns(c.format, columns);
		make_text(&text, c.format, lines, trouble, below(4) == 0);
		if (below(3) == 0)
			c.filter = filter = some_filter(columns, c.n_columns);
		check(&c, &text, what);
		fl_filter_free(&filter);
	}
}

static void test_kernels_equal_the_reference(void **state)
{
	(void)state;
	seed = 0x2545f4914f6cdd1d;
	random_texts(150, 40, 3);
	random_texts(16, 3000, 200);
	random_texts(8, 3000, 0);
}

static void test_bytes_of_any_kind(void **state)
{
	static const char *const alphabets[] = {" \n", "0 \n", "- \n\r", "1. \n", "version \n", "a:0 \n", NULL};
	struct fl_column_def columns[2];

	(void)state;
	seed = 77;
	fl_column_find("srcaddr", &columns[0]);
	fl_column_find("bytes", &columns[1]);
	for (unsigned round = 0; round < 400; round++) {
		struct fl_buf text FL_CLEANUP(fl_buf_free) = FL_BUF(1 << 20);
		struct scan_case c = {
		    .format = below(2) ? "${srcaddr} ${bytes}" : "${bytes}", .columns = columns, .n_columns = 2};
		const char *alphabet = PICK(alphabets);

		for (unsigned i = 0, n = below(3000); i < n; i++) {
			char byte = alphabet ? alphabet[below((uint32_t)strlen(alphabet))] : (char)below(256);

			fl_buf_add(&text, &byte, 1);
		}
		check(&c, &text, "bytes");
	}
}

/* ---- what is told ---- */

struct told {
	struct fl_buf text;
};

static void note(void *ctx, uint64_t line, const char *what)
{
	fl_buf_printf(&((struct told *)ctx)->text, "%llu: %s\n", (unsigned long long)line, what);
}

static void test_faults_are_told_by_line(void **state)
{
	static const char text[] =
	    "srcaddr bytes\n10.0.0.1 1\n10.0.0.1\n\n10.0.0.2 2 2\r\n10.0.0.3  3\n 10.0.0.4 4\n10.0.0.5 5 \n"
	    "10.0.0.6 six\n10.0.0.7 7\nbytes srcaddr\n8 10.0.0.8\n9 10.0.0.999" /* and padding */
	    "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
	    "\0\0\0\0"
	    "\0\0\0\0\0\0\0";
	struct told told = {FL_BUF(1 << 16)};
	struct fl_column_def columns[2];
	struct fl_format *f = NULL;
	struct fl_batch *b = NULL;
	struct fl_text *t = NULL;
	uint64_t sum = 0;
	size_t n = strlen(text), used, at = 0;
	int r;

	(void)state;
	fl_column_find("srcaddr", &columns[0]);
	fl_column_find("bytes", &columns[1]);
	assert_int_equal(fl_format_parse(&f, FL_LOG_VPC, "${srcaddr} ${bytes}"), 0);
	assert_int_equal(fl_batch_new(&b, columns, 2), 0);
	assert_int_equal(fl_text_new(&t, NULL), 0);
	assert_int_equal(fl_text_begin(t, f, &(struct fl_text_want){.batch = b, .fault = note, .ctx = &told}), 0);
	while ((r = fl_text_next(t, text + at, n - at, true, &used)) == 1) {
		at += used;
		for (uint32_t i = 0; i < b->n; i++)
			sum += b->column[1].u64[i];
	}
	assert_int_equal(r, 0);
	assert_int_equal(sum, 1 + 7 + 8 + 9);
	assert_int_equal(fl_text_counts(t)->records, 5);
	assert_int_equal(fl_text_counts(t)->malformed, 5);
	assert_int_equal(fl_text_counts(t)->bad_values, 2);
	assert_string_equal(fl_buf_cstr(&told.text),
			    "3: 1 values where the format has 2; the line is not used\n"
			    "5: 3 values where the format has 2; the line is not used\n"
			    "6: an empty value; the line is not used\n"
			    "7: an empty value; the line is not used\n"
			    "8: an empty value; the line is not used\n"
			    "9: bytes: \"six\" is not a value of this field; it is taken as \"-\"\n"
			    "13: srcaddr: \"10.0.0.999\" is not a value of this field; it is taken as \"-\"\n");
	fl_buf_free(&told.text);
	fl_text_free(&t);
	fl_batch_free(&b);
	fl_format_free(&f);
}

static void test_columns_that_the_text_lacks(void **state)
{
	static const struct fl_str constant[4] = {[1] = {"a file", 6}, [2] = {"0", 1}};
	struct fl_buf text FL_CLEANUP(fl_buf_free) = FL_BUF(1 << 16);
	struct fl_column_def columns[4];
	struct scan_case c = {.format = "${srcaddr}", .columns = columns, .n_columns = 4, .constant = constant};

	(void)state;
	fl_column_find("srcaddr", &columns[0]);
	fl_column_find("source", &columns[1]);
	fl_column_find("provisional", &columns[2]);
	fl_column_find("pkt_dstaddr", &columns[3]);
	for (unsigned i = 0; i < 3000; i++)
		fl_buf_printf(&text, "10.0.%u.%u\n", i >> 8, i & 255);
	check(&c, &text, "constants");
}

static void test_a_line_without_end_takes_no_memory(void **state)
{
	struct fl_column_def column;
	struct fl_format *f = NULL;
	struct fl_batch *b = NULL;
	struct fl_text *t = NULL;
	char *block = malloc((1 << 20) + FL_TEXT_PAD);
	size_t used;

	(void)state;
	assert_non_null(block);
	memset(block, 'x', 1 << 20);
	fl_column_find("srcaddr", &column);
	assert_int_equal(fl_format_parse(&f, FL_LOG_VPC, "${srcaddr}"), 0);
	assert_int_equal(fl_batch_new(&b, &column, 1), 0);
	assert_int_equal(fl_text_new(&t, "scalar"), 0);
	assert_int_equal(fl_text_begin(t, f, &(struct fl_text_want){.batch = b}), 0);
	for (unsigned i = 0; i < 200; i++) {
		assert_int_equal(fl_text_next(t, block, 1 << 20, false, &used), 0);
		assert_int_equal(used, 1 << 20);
	}
	memcpy(block, "y\n10.0.0.1", 10);
	assert_int_equal(fl_text_next(t, block, 10, true, &used), 1);
	assert_int_equal(used, 10);
	assert_int_equal(b->n, 1);
	assert_int_equal(fl_text_counts(t)->malformed, 1);
	assert_int_equal(fl_text_counts(t)->records, 1);
	assert_int_equal(fl_text_counts(t)->lines, 1);
	fl_text_free(&t);
	fl_batch_free(&b);
	fl_format_free(&f);
	free(block);
}

static void test_kernels_by_name(void **state)
{
	struct fl_text *t = NULL;

	(void)state;
	assert_int_equal(fl_text_new(&t, "sse9"), -EINVAL);
	assert_int_equal(fl_text_new(&t, "scalar"), 0);
	assert_string_equal(fl_text_kernel(t), "scalar");
	fl_text_free(&t);
	assert_int_equal(fl_text_new(&t, NULL), 0);
	assert_ptr_equal(fl_kernel_find(fl_text_kernel(t)), fl_kernel_find(NULL));
	fl_text_free(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_kernels_equal_the_reference),
	    cmocka_unit_test(test_bytes_of_any_kind),
	    cmocka_unit_test(test_faults_are_told_by_line),
	    cmocka_unit_test(test_columns_that_the_text_lacks),
	    cmocka_unit_test(test_a_line_without_end_takes_no_memory),
	    cmocka_unit_test(test_kernels_by_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
