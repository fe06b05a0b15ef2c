/* SPDX-License-Identifier: Apache-2.0 */
/* Records out and in: text that is read prints as itself, over every field of both kinds; JSON and CSV; the real logs
 * of the corpus. */
#include <errno.h>
#include <fts.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "base/error.h"
#include "record/record.h"

static const char *corpus; /* vpcflow, or NULL */

/* A value of each field that differs from every neighbour's. */
static void sample_value(const struct fl_field *f, unsigned number, bool v6, char *ret, size_t size)
{
	static const struct {
		const char *name, *value, *value6;
	} fixed[] = {
	    {"resource-type", "TransitGateway", NULL},
	    {"log-status", "OK", NULL},
	    {"action", "REJECT", NULL},
	    {"flow-direction", "egress", NULL},
	    {"type", "IPv4", "IPv6"},
	    {"srcaddr", "192.0.2.1", "2001:db8::1"},
	    {"dstaddr", "198.51.100.255", "2001:db8:0:1::"},
	    {"pkt-srcaddr", "203.0.113.9", "::1"},
	    {"pkt-dstaddr", "0.0.0.0", "::"},
	    {"srcport", "65535", NULL},
	    {"dstport", "0", NULL},
	    {"protocol", "255", NULL},
	    {"packets", "18446744073709551615", NULL},
	    {"bytes", "1234567890123", NULL},
	    {"start", "1735689600", NULL},
	    {"end", "1735689659", NULL},
	    {"tcp-flags", "19", NULL},
	    {"account-id", "111122223333", NULL},
	    {"interface-id", "eni-0a1b2c3d4e5f60718", NULL},
	};

	for (size_t i = 0; i < FL_ARRAY_LEN(fixed); i++)
		if (!strcmp(fixed[i].name, f->name)) {
			snprintf(ret, size, "%s", v6 && fixed[i].value6 ? fixed[i].value6 : fixed[i].value);
			return;
		}
	snprintf(ret, size, "%u", 100 + number); /* fits the shortest member and is a number where one is due */
}

static void print_line(const struct fl_format *f, enum fl_output output, const char *line, struct fl_buf *out)
{
	struct fl_record_meta *meta = calloc(1, sizeof *meta);
	struct fl_encoder *e = NULL;
	struct fl_values v;
	struct fl_record r;
	struct fl_eni eni;

	assert_int_equal(fl_decode_line(f, line, strlen(line), &v), FL_LINE_OK);
	assert_int_equal(fl_decode_record(f, &v, &r, &eni, meta), 0);
	assert_int_equal(fl_encoder_new(&e, f, output), 0);
	assert_int_equal(fl_encoder_set_eni(e, &eni), 0);
	assert_int_equal(fl_encode(e, &r, meta, out), 0);
	assert_non_null(fl_buf_cstr(out));
	fl_encoder_free(&e);
	free(meta);
}

static void sample_line(const struct fl_format *f, bool v6, char *ret, size_t size)
{
	size_t n = 0;

	for (size_t i = 0; i < fl_format_len(f); i++) {
		const struct fl_field *field = fl_format_field(f, i);
		char value[64];

		sample_value(field, (unsigned)i, v6, value, sizeof value);
		if (!strcmp(field->name, "version"))
			snprintf(value, sizeof value, "%u", fl_format_version(f));
		n += (size_t)snprintf(ret + n, size - n, "%s%s", i ? " " : "", value);
	}
	snprintf(ret + n, size - n, "\n");
}

static const struct {
	enum fl_log_kind kind;
	const char *preset;
} everything[] = {{FL_LOG_VPC, "v11-all"}, {FL_LOG_TGW, "tgw-default"}};

static void every_field_prints_as_it_was_read(void **state)
{
	(void)state;
	for (unsigned k = 0; k < 4; k++) {
		struct fl_buf out = FL_BUF(1 << 16);
		struct fl_format *f = NULL;
		char line[4096];

		assert_int_equal(fl_format_parse(&f, everything[k / 2].kind, everything[k / 2].preset), 0);
		sample_line(f, k % 2, line, sizeof line);
		print_line(f, FL_OUTPUT_TEXT, line, &out);
		assert_string_equal(fl_buf_cstr(&out), line);
		fl_buf_free(&out);
		fl_format_free(&f);
	}
}

/* One field at a time, so that no neighbour helps: the value, and "-". */
static void every_field_alone(void **state)
{
	(void)state;
	for (unsigned k = 0; k < 2; k++)
		for (unsigned i = 0; i < fl_field_count(everything[k].kind); i++) {
			const struct fl_field *field = fl_field_at(everything[k].kind, i);
			struct fl_buf out = FL_BUF(1 << 16);
			struct fl_format *f = NULL;
			char text[128], line[128];

			snprintf(text, sizeof text, "${%s}", field->name);
			assert_int_equal(fl_format_parse(&f, everything[k].kind, text), 0);
			sample_line(f, false, line, sizeof line);
			print_line(f, FL_OUTPUT_TEXT, line, &out);
			assert_string_equal(fl_buf_cstr(&out), line);
			fl_buf_free(&out);
			fl_format_free(&f);
		}
}

static void json_has_every_key_and_the_right_types(void **state)
{
	(void)state;
	for (unsigned k = 0; k < 2; k++) {
		struct fl_buf out = FL_BUF(1 << 16);
		struct fl_format *f = NULL;
		json_error_t error;
		json_t *object;
		char line[4096];

		assert_int_equal(fl_format_parse(&f, everything[k].kind, everything[k].preset), 0);
		sample_line(f, false, line, sizeof line);
		/* JSON integers are 64-bit signed for most readers. */
		memcpy(strstr(line, "18446744073709551615"), "00000000000000000001", 20);
		print_line(f, FL_OUTPUT_JSON, line, &out);
		object = json_loads(fl_buf_cstr(&out), JSON_REJECT_DUPLICATES, &error);
		assert_non_null(object);
		assert_int_equal(json_object_size(object), fl_format_len(f));
		assert_int_equal(json_integer_value(json_object_get(object, "bytes")), 1234567890123);
		assert_int_equal(json_integer_value(json_object_get(object, "packets")), 1);
		assert_string_equal(json_string_value(json_object_get(object, "srcaddr")), "192.0.2.1");
		if (k == FL_LOG_VPC)
			assert_string_equal(json_string_value(json_object_get(object, "account-id")), "111122223333");
		json_decref(object);
		fl_buf_free(&out);
		fl_format_free(&f);
	}
}

static void json_null_and_escapes(void **state)
{
	struct fl_buf out = FL_BUF(1 << 16);
	struct fl_format *f = NULL;
	json_t *object;

	(void)state;
	assert_int_equal(fl_format_parse(&f, FL_LOG_VPC, "${instance-tag} ${traffic-path} ${vpc-id} ${bytes}"), 0);
	print_line(f, FL_OUTPUT_JSON, "a\"b\\c - - 7", &out);
	object = json_loads(fl_buf_cstr(&out), 0, NULL);
	assert_string_equal(json_string_value(json_object_get(object, "instance-tag")), "a\"b\\c");
	assert_true(json_is_null(json_object_get(object, "traffic-path")));
	assert_true(json_is_null(json_object_get(object, "vpc-id")));
	json_decref(object);
	fl_buf_reset(&out);
	print_line(f, FL_OUTPUT_CSV, "a\"b,c 8 vpc-1 7", &out);
	assert_string_equal(fl_buf_cstr(&out), "\"a\"\"b,c\",8,vpc-1,7\n");
	fl_buf_free(&out);
	fl_format_free(&f);
}

/* records.md section 4: seven dashes, the times, a dash for the action. */
static void nodata_and_skipdata(void **state)
{
	static const char *const lines[] = {
	    "2 111122223333 eni-0a1b2c3d4e5f60718 - - - - - - - 1735689600 1735689658 - NODATA\n",
	    "2 111122223333 eni-0a1b2c3d4e5f60718 - - - - - - - 1735689600 1735689658 - SKIPDATA\n"};
	struct fl_buf out = FL_BUF(1 << 16);
	struct fl_encoder *e = NULL;
	struct fl_format *f = NULL;
	struct fl_eni eni = {.account_id = "111122223333", .interface_id = "eni-0a1b2c3d4e5f60718"};

	(void)state;
	assert_int_equal(fl_format_parse(&f, FL_LOG_VPC, "default"), 0);
	assert_int_equal(fl_encoder_new(&e, f, FL_OUTPUT_TEXT), 0);
	assert_int_equal(fl_encoder_set_eni(e, &eni), 0);
	for (unsigned i = 0; i < 2; i++) {
		struct fl_record r = {
		    .status = (uint8_t)(FL_STATUS_NODATA + i), .start = 1735689600, .end = 1735689658, .packets = 9};

		fl_buf_reset(&out);
		assert_int_equal(fl_encode(e, &r, NULL, &out), 0);
		assert_string_equal(fl_buf_cstr(&out), lines[i]);
		fl_buf_reset(&out);
		print_line(f, FL_OUTPUT_TEXT, lines[i], &out);
		assert_string_equal(fl_buf_cstr(&out), lines[i]);
	}
	fl_buf_free(&out);
	fl_encoder_free(&e);
	fl_format_free(&f);
}

/* records.md 2.1, row by row. */
static void tcp_flags(void **state)
{
	static const struct {
		uint8_t packets[3]; /* flags of up to three packets, 0 ends */
		unsigned vpc, tgw;
	} rows[] = {
	    {{0x02}, 2, 2},
	    {{0x12}, 18, 18},
	    {{0x11}, 1, 17},
	    {{0x14}, 4, 20},
	    {{0x02, 0x10, 0x11}, 3, 19},
	    {{0x12, 0x11}, 19, 19},
	    {{0x10}, 0, 0},
	    {{0x18}, 0, 24},
	    {{0x02, 0x10}, 2, 18},
	    {{0x20}, 0, 32},
	    {{0x00}, 0, 0},
	};

	(void)state;
	for (size_t i = 0; i < FL_ARRAY_LEN(rows); i++) {
		uint8_t sum = 0;

		for (unsigned k = 0; k < 3; k++) {
			uint8_t flags = rows[i].packets[k];

			sum |= (uint8_t)((flags & 63) | ((flags & 0x12) == 0x12 ? FL_TCP_SYNACK : 0));
		}
		assert_int_equal(fl_tcp_flags_vpc(sum), rows[i].vpc);
		assert_int_equal(fl_tcp_flags_tgw(sum), rows[i].tgw);
	}
}

/* The two ways to encode a flow give the same bytes, for numbers of every length and both families, in every output. */
static void the_hot_path_equals_the_general_one(void **state)
{
	uint64_t number = 1;

	(void)state;
	for (unsigned i = 0; i < 400; i++) {
		struct fl_record r = {.packets = number,
				      .bytes = number * 10 + 9,
				      .start = (int64_t)(number >> 1),
				      .end = -(int64_t)(i % 7),
				      .tcp = (uint8_t)i,
				      .action = i % 2};
		struct fl_flow_line l = {&r.key, r.packets, r.bytes, r.start, r.end, r.tcp, r.action};
		struct fl_buf one = FL_BUF(1 << 16), two = FL_BUF(1 << 16);
		struct fl_encoder *e = NULL;
		struct fl_format *f = NULL;
		struct fl_eni eni = {.account_id = "1", .name = "x"};
		char want[32];

		number = i % 20 ? number * 10 + i % 10 : i;
		r.key.sport = (uint16_t)(i * 164);
		r.key.proto = (uint8_t)i;
		r.key.dirfam = (uint8_t)((i % 3) | (i % 2 ? FL_KEY_V6 : 0));
		for (unsigned k = 0; k < 16; k++)
			r.key.src.b[k] = (uint8_t)(i % 5 ? i * (k + 7) : 0);
		assert_int_equal(fl_format_parse(&f, everything[i % 2].kind, everything[i % 2].preset), 0);
		assert_int_equal(fl_encoder_new(&e, f, (enum fl_output)(i % FL_OUTPUT_N)), 0);
		assert_int_equal(fl_encoder_set_eni(e, &eni), 0);
		assert_int_equal(fl_encode(e, &r, NULL, &one), 0);
		assert_int_equal(fl_encode_line(e, &l, &two), 0);
		assert_int_equal(one.len, two.len);
		assert_memory_equal(one.data, two.data, one.len);
		snprintf(want, sizeof want, "%" PRIu64, r.bytes);
		assert_non_null(strstr(fl_buf_cstr(&one), want));
		snprintf(want, sizeof want, "%" PRIi64, r.start);
		assert_non_null(strstr(fl_buf_cstr(&one), want));
		fl_buf_free(&one);
		fl_buf_free(&two);
		fl_encoder_free(&e);
		fl_format_free(&f);
	}
}

static void bad_lines(void **state)
{
	static const char *const wrong[] = {"1 2", "", "1", "1 2 3 4", " 1 2 3", "1 2 3 ", "1  2 3"};
	static const struct {
		const char *line, *field;
	} values[] = {{"1.2.3 1 2", "srcaddr"},
		      {"::1 65536 2", "srcport"},
		      {"::1 -1 2", "srcport"},
		      {"::1 1 184467440737095516160", "bytes"},
		      {"::1 1 0x7", "bytes"}};
	struct fl_format *f = NULL;
	struct fl_record_meta *meta = calloc(1, sizeof *meta);
	struct fl_values v;
	struct fl_record r;
	struct fl_eni eni;

	(void)state;
	assert_int_equal(fl_format_parse(&f, FL_LOG_VPC, "${srcaddr} ${srcport} ${bytes}"), 0);
	for (size_t i = 0; i < FL_ARRAY_LEN(wrong); i++)
		assert_int_equal(fl_decode_line(f, wrong[i], strlen(wrong[i]), &v), FL_LINE_FIELDS);
	for (size_t i = 0; i < FL_ARRAY_LEN(values); i++) {
		assert_int_equal(fl_decode_line(f, values[i].line, strlen(values[i].line), &v), FL_LINE_OK);
		assert_int_equal(fl_decode_record(f, &v, &r, &eni, meta), -EINVAL);
		assert_non_null(strstr(fl_error_text(-EINVAL), values[i].field));
	}
	fl_format_free(&f);
	free(meta);
}

static size_t values_of(const char *line)
{
	size_t n = 1;

	for (; *line; line++)
		n += *line == ' ';
	return n;
}

static unsigned check_file(const char *path)
{
	FILE *file = fopen(path, "r");
	struct fl_format *f = NULL;
	char line[8192];
	unsigned records = 0;

	assert_non_null(file);
	while (fgets(line, sizeof line, file)) {
		struct fl_buf out = FL_BUF(1 << 16);
		size_t n = strcspn(line, "\r\n");

		line[n] = '\0';
		if (!f && strstr(line, "addr")) {
			assert_int_equal(fl_format_from_header(&f, line, n), 0);
			continue;
		}
		if (!f)
			assert_int_equal(fl_format_parse(&f, FL_LOG_VPC, "default"), 0);
		/* Some lines of the corpus have fewer values than their header has names: they are refused, not
		 * shifted. */
		if (n && values_of(line) != fl_format_len(f)) {
			struct fl_values v;

			assert_int_equal(fl_decode_line(f, line, n, &v), FL_LINE_FIELDS);
		} else if (n) {
			print_line(f, FL_OUTPUT_TEXT, line, &out);
			out.len--; /* the line's end */
			assert_string_equal(fl_buf_cstr(&out), line);
			records++;
		}
		fl_buf_free(&out);
	}
	fl_format_free(&f);
	fclose(file);
	return records;
}

/* Flow logs that AWS or others wrote, versions 2 to 11: read, and printed as they were. */
static void the_corpus_prints_as_it_was_read(void **state)
{
	char *paths[] = {(char *)(uintptr_t)corpus, NULL};
	unsigned records = 0;
	FTSENT *e;
	FTS *fts = NULL;

	(void)state;
	if (!corpus || !(fts = fts_open(paths, FTS_PHYSICAL | FTS_NOCHDIR, NULL)))
		skip();
	while ((e = fts_read(fts)))
		if (e->fts_info == FTS_F && e->fts_namelen > 4 && !strcmp(e->fts_name + e->fts_namelen - 4, ".log"))
			records += check_file(e->fts_path);
	fts_close(fts);
	assert_true(records >= 40);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(every_field_prints_as_it_was_read),
	    cmocka_unit_test(every_field_alone),
	    cmocka_unit_test(json_has_every_key_and_the_right_types),
	    cmocka_unit_test(json_null_and_escapes),
	    cmocka_unit_test(nodata_and_skipdata),
	    cmocka_unit_test(tcp_flags),
	    cmocka_unit_test(the_hot_path_equals_the_general_one),
	    cmocka_unit_test(bad_lines),
	    cmocka_unit_test(the_corpus_prints_as_it_was_read),
	};

	corpus = argc > 1 ? argv[1] : NULL;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
