/* SPDX-License-Identifier: Apache-2.0 */
/* Our writer and our reader: encodings both ways, rows that come back, filters against rows read without, damage. */
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
#include "base/hash.h"
#include "record/parquet.h"
#include "record/parquet_chunk.h"
#include "scan/parquet_inner.h"

static uint64_t state = 1;

static uint64_t any(void)
{
	state = fl_mum(state ^ 0xa0761d6478bd642full, 0xe7037ed1a0b428dbull) + 1;
	return state;
}

static uint32_t below(uint32_t n)
{
	return (uint32_t)(any() % n);
}

static void good(int r)
{
	if (r)
		fail_msg("%s", fl_error_text(r));
}

/* ---- encodings ---- */

/* Readers load whole words: behind the data there is room. */
static void pad(struct fl_buf *b)
{
	good(fl_buf_reserve(b, FL_PQ_PAD));
	memset(b->data + b->len, 0xff, FL_PQ_PAD);
}

static void hybrid_of_every_width(void **unused)
{
	static uint32_t v[5000], got[5000];

	(void)unused;
	for (unsigned width = 0; width <= 32; width++)
		for (uint32_t n = 0; n < 5000; n += 1 + n * 2) {
			struct fl_buf b FL_CLEANUP(fl_buf_free) = FL_BUF(1 << 20);
			const uint32_t mask = width == 32 ? UINT32_MAX : (1u << width) - 1;
			struct fl_hybrid h;
			uint32_t at = 0;

			for (uint32_t i = 0; i < n;) {
				uint32_t run = below(3) ? 1 + below(4) : 1 + below(70), value = (uint32_t)any() & mask;

				for (; run && i < n; run--, i++)
					v[i] = value;
			}
			good(fl_put_hybrid(&b, v, n, width));
			pad(&b);
			fl_hybrid_begin(&h, (uint8_t *)b.data, (uint8_t *)b.data + b.len, width);
			while (at < n) {
				uint32_t k = FL_MIN(1 + below(300), n - at);

				if (below(4)) {
					assert_true(fl_hybrid_get(&h, got, k));
					assert_memory_equal(got, v + at, k * sizeof *v);
				} else {
					assert_true(fl_hybrid_skip(&h, k));
				}
				at += k;
			}
			fl_hybrid_begin(&h, (uint8_t *)b.data, (uint8_t *)b.data + b.len, width);
			assert_true(fl_hybrid_get(&h, got, n));
			assert_memory_equal(got, v, n * sizeof *v);
			/* Not more than the padding of the last eight. */
			assert_false(fl_hybrid_get(&h, got, 8) && width && n % 8 == 0);
		}
}

static void zeroes_as_bits(void **unused)
{
	static uint32_t v[4000];

	(void)unused;
	for (unsigned round = 0; round < 200; round++) {
		struct fl_buf b FL_CLEANUP(fl_buf_free) = FL_BUF(1 << 20);
		uint64_t bits[FL_BATCH_WORDS];
		uint32_t n = 1 + below(4000);
		struct fl_hybrid h;

		for (uint32_t i = 0, run = 0, value = 0; i < n; i++, run--) {
			if (!run) {
				run = 1 + below(round % 2 ? 3 : 200);
				value = below(2);
			}
			v[i] = value;
		}
		good(fl_put_hybrid(&b, v, n, 1));
		pad(&b);
		fl_hybrid_begin(&h, (uint8_t *)b.data, (uint8_t *)b.data + b.len, 1);
		for (uint32_t at = 0, k; at < n; at += k) {
			k = FL_MIN(1 + below(FL_BATCH_ROWS), n - at);
			memset(bits, 0, sizeof bits);
			assert_true(fl_hybrid_zeroes(&h, bits, k));
			for (uint32_t i = 0; i < FL_BATCH_ROWS; i++)
				assert_int_equal(bits[i / 64] >> (i % 64) & 1, i < k && !v[at + i]);
		}
	}
}

static void delta_of_anything(void **unused)
{
	static uint64_t v[3000], got[3000];

	(void)unused;
	for (unsigned round = 0; round < 300; round++) {
		struct fl_buf b FL_CLEANUP(fl_buf_free) = FL_BUF(1 << 20);
		bool int32 = round % 2;
		uint32_t n = below(round < 20 ? 4 : 3000);
		unsigned bits = 1 + below(int32 ? 32 : 64);
		struct fl_delta d;

		for (uint32_t i = 0; i < n; i++) {
			v[i] = any() >> (64 - bits);
			if (int32)
				v[i] = (uint64_t)(int64_t)(int32_t)v[i];
		}
		good(fl_put_delta(&b, v, n, int32));
		pad(&b);
		assert_true(fl_delta_begin(&d, (uint8_t *)b.data, (uint8_t *)b.data + b.len, int32));
		assert_int_equal(d.left, n);
		for (uint32_t at = 0, k; at < n; at += k) {
			k = FL_MIN(1 + below(500), n - at);
			assert_true(fl_delta_get(&d, got + at, k));
		}
		assert_memory_equal(got, v, n * sizeof *v);
		assert_ptr_equal(fl_delta_end(&d), b.data + b.len);
		assert_false(fl_delta_get(&d, got, 1));
	}
}

static void bloom_filters_forget_nothing(void **unused)
{
	static uint8_t bloom[1 << 16];
	size_t n = 20000, size = fl_bloom_size(n), wrong = 0;
	char text[32];

	(void)unused;
	assert_in_range(size, 1 << 14, sizeof bloom);
	for (unsigned i = 0; i < n; i++)
		fl_bloom_add(bloom, size, text, (size_t)snprintf(text, sizeof text, "10.%u.%u", i >> 8, i & 255));
	for (unsigned i = 0; i < 2 * n; i++) {
		size_t length = (size_t)snprintf(text, sizeof text, "10.%u.%u", i >> 8, i & 255);
		bool has = fl_bloom_block_has(bloom + fl_bloom_block(size, text, length), text, length);

		assert_true(has || i >= n);
		wrong += has && i >= n;
	}
	assert_in_range(wrong, 0, n / 20);
}

static void xxhash_of_its_specification(void **unused)
{
	/* xxh64sum of the xxHash tools. */
	assert_int_equal(fl_xxh64("", 0), 0xef46db3751d8e999ull);
	assert_int_equal(fl_xxh64("a", 1), 0xd24ec4f1a98c6e5bull);
	assert_int_equal(fl_xxh64("abc", 3), 0x44bc2cf5ad770999ull);
	assert_int_equal(fl_xxh64("Nobody inspects the spammish repetition", 39), 0xfbcea83c8a378bf1ull);
	(void)unused;
}

/* ---- files ---- */

static const char *const names[] = {
    "version", "account_id",   "srcaddr", "dstaddr",   "srcport", "bytes",      "start",   "end",
    "action",  "instance_tag", "xyz",     "tcp_flags", "type",    "log_status", "packets", "pkt_dst_aws_service"};
#define N_NAMES FL_ARRAY_LEN(names)

static void define(struct fl_column_def defs[N_NAMES])
{
	for (size_t i = 0; i < N_NAMES; i++)
		fl_column_find(names[i], &defs[i]);
}

static void set(struct fl_column *c, uint32_t row, const char *text)
{
	assert_true(fl_column_set_text(c, row, text, strlen(text)));
}

/* Text lives in `texts`. */
static void random_row(struct fl_batch *b, uint32_t row, uint64_t number, char (*texts)[N_NAMES][64])
{
	bool flow = below(50), wide = number / 5000 % 2;

	for (size_t i = 0; i < N_NAMES; i++) {
		char *t = texts[row][i];
		const char *name = names[i];

		if (!strcmp(name, "version"))
			strcpy(t, "5");
		else if (!strcmp(name, "account_id"))
			strcpy(t, "000123456789");
		else if (!strcmp(name, "start") || !strcmp(name, "end"))
			snprintf(t, 64, "%llu", 1700000000ull + number / 7 + (wide ? number * 1000 : 0));
		else if (!strcmp(name, "log_status"))
			strcpy(t, flow ? "OK" : "NODATA");
		else if (!flow)
			strcpy(t, "-");
		else if (!strcmp(name, "srcaddr"))
			snprintf(t, 64, below(10) ? "10.0.%u.%u" : "2001:db8::%x:%x", 1 + below(3), 1 + below(200));
		else if (!strcmp(name, "dstaddr"))
			below(20) ? snprintf(t, 64, "%u.%u.%u.%u", below(256), below(256), below(256), below(256))
				  : snprintf(t, 64, "::ffff:a00:%x", 1 + below(9));
		else if (!strcmp(name, "srcport"))
			snprintf(t, 64, "%u", below(65536));
		else if (!strcmp(name, "bytes"))
			snprintf(t, 64, "%llu", (unsigned long long)(any() >> (1 + below(62))));
		else if (!strcmp(name, "packets"))
			snprintf(t, 64, "%u", 1 + below(4));
		else if (!strcmp(name, "action"))
			strcpy(t, below(9) ? "ACCEPT" : "REJECT");
		else if (!strcmp(name, "instance_tag"))
			snprintf(t, 64, "%s%u", "tag-of-some-length-", below(wide ? 1000000 : 5));
		else if (!strcmp(name, "tcp_flags"))
			snprintf(t, 64, "%u", below(20));
		else if (!strcmp(name, "type"))
			strcpy(t, "IPv4");
		else
			strcpy(t, "-");
		set(&b->column[i], row, t);
	}
}

struct made {
	struct fl_buf file;
	char **line; /* as text */
	size_t n;
};

static void made_free(struct made *m)
{
	for (size_t i = 0; i < m->n; i++)
		free(m->line[i]);
	free(m->line);
	fl_buf_free(&m->file);
}

static char *line_of(const struct fl_batch *b, uint32_t row)
{
	struct fl_buf line FL_CLEANUP(fl_buf_free) = FL_BUF(1 << 16);

	good(fl_batch_print(b, row, N_NAMES, ' ', &line));
	return strdup(fl_buf_cstr(&line));
}

static void make(struct made *m, const struct fl_parquet_conf *conf, size_t rows)
{
	struct fl_parquet_writer *w = NULL;
	struct fl_batch *b = NULL;
	char(*texts)[N_NAMES][64] = malloc(FL_BATCH_ROWS * sizeof *texts);

	*m = (struct made){.file = FL_BUF(64u << 20), .line = calloc(rows + 1, sizeof *m->line), .n = rows};
	good(fl_batch_new(&b, conf->columns, conf->n_columns));
	good(fl_parquet_writer_new(&w, conf, fl_parquet_into_buf, &m->file));
	for (size_t at = 0; at < rows; at += b->n) {
		fl_batch_clear(b);
		b->n = (uint32_t)FL_MIN(rows - at, (size_t)(below(3) ? FL_BATCH_ROWS : 1 + below(FL_BATCH_ROWS)));
		for (uint32_t i = 0; i < b->n; i++) {
			random_row(b, i, at + i, texts);
			m->line[at + i] = line_of(b, i);
		}
		good(fl_parquet_write(w, b));
	}
	good(fl_parquet_finish(w));
	assert_int_equal(fl_parquet_written(w), m->file.len);
	assert_int_equal(fl_parquet_rows(w), rows);
	fl_parquet_writer_free(&w);
	fl_batch_free(&b);
	free(texts);
}

static int read_made(void *ctx, uint64_t at, void *to, size_t n)
{
	const struct fl_buf *b = ctx;

	if (at > b->len || n > b->len - at)
		return fl_fail(-EBADMSG, "beyond the end");
	memcpy(to, b->data + at, n);
	return 0;
}

static struct fl_parquet_input input_of(struct fl_buf *b)
{
	return (struct fl_parquet_input){.read = read_made, .ctx = b, .size = b->len};
}

static void check_lines(struct made *m, const struct fl_column_def *defs)
{
	struct fl_parquet_input in = input_of(&m->file);
	struct fl_parquet_reader *r = NULL;
	struct fl_parquet_file *f = NULL;
	const struct fl_column_def *columns;
	struct fl_batch *b = NULL;
	size_t at = 0;
	int got = 0;

	good(fl_parquet_open(&f, &in, "made"));
	assert_int_equal(fl_parquet_file_rows(f), m->n);
	assert_int_equal(fl_parquet_columns(f, &columns), N_NAMES);
	for (size_t i = 0; i < N_NAMES; i++)
		assert_string_equal(columns[i].name, defs[i].name);
	assert_null(fl_parquet_note(f));
	good(fl_parquet_reader_new(&r, f, defs, N_NAMES, NULL));
	good(fl_batch_new(&b, defs, N_NAMES));
	for (size_t g = 0; g < fl_parquet_groups(f); g++) {
		good(fl_parquet_reader_group(r, g));
		while ((got = fl_parquet_next(r, b)) == 1)
			for (uint32_t i = 0; i < b->n; i++, at++) {
				char *line = line_of(b, i);

				assert_true(at < m->n);
				assert_string_equal(line, m->line[at]);
				free(line);
			}
		good(got);
	}
	assert_int_equal(at, m->n);
	fl_batch_free(&b);
	fl_parquet_reader_free(&r);
	fl_parquet_close(&f);
}

static void rows_come_back(void **unused)
{
	static const uint8_t codecs[] = {FL_CODEC_NONE, FL_CODEC_SNAPPY, FL_CODEC_GZIP, FL_CODEC_ZSTD};
	static const size_t sizes[] = {0, 1, 63, 2048, 2049, 30000};
	struct fl_column_def defs[N_NAMES];

	(void)unused;
	define(defs);
	for (size_t k = 0; k < FL_ARRAY_LEN(codecs) * FL_ARRAY_LEN(sizes); k++) {
		struct fl_parquet_conf conf = {.columns = defs,
					       .n_columns = N_NAMES,
					       .codec = codecs[k % 4],
					       .text_null = k % 2,
					       .group_rows = k % 3 ? 0 : 7000};
		struct made m;

		make(&m, &conf, sizes[k / 4]);
		check_lines(&m, defs);
		made_free(&m);
	}
}

static void same_bytes_again(void **unused)
{
	struct fl_column_def defs[N_NAMES];
	struct fl_parquet_conf conf = {
	    .columns = defs, .n_columns = N_NAMES, .codec = FL_CODEC_GZIP, .group_bytes = 100000, .log_format = "${x}"};
	struct made a, b;

	(void)unused;
	define(defs);
	state = 7;
	make(&a, &conf, 20000);
	state = 7;
	make(&b, &conf, 20000);
	assert_int_equal(a.file.len, b.file.len);
	assert_memory_equal(a.file.data, b.file.data, a.file.len);
	made_free(&a);
	made_free(&b);
}

/* ---- filters ---- */

static struct fl_filter *filter_of(unsigned number)
{
	struct fl_filter *f = NULL, *g = NULL;
	struct fl_cidr c;

	switch (number) {
	case 0:
		good(fl_filter_text(&f, "action", "REJECT", 6));
		break;
	case 1:
		good(fl_cidr_parse("10.0.2.0/28", 11, &c));
		good(fl_filter_cidr(&f, "srcaddr", &c));
		good(fl_filter_range(&g, "srcport", 0, 30000));
		good(fl_filter_and(&f, f, g));
		break;
	case 2:
		good(fl_filter_text(&f, "action", "ACCEPT", 6));
		good(fl_filter_not(&f, f));
		break;
	case 3:
		good(fl_filter_is_null(&f, "srcaddr"));
		break;
	case 4:
		good(fl_filter_range(&f, "start", 1700001500, 1700001700));
		good(fl_filter_number(&g, "packets", FL_OP_GE, 3));
		good(fl_filter_and(&f, f, g));
		good(fl_filter_number(&g, "packets", FL_OP_NE, 4));
		good(fl_filter_and(&f, f, g));
		break;
	case 5:
		good(fl_filter_range(&f, "srcport", 22, 22));
		good(fl_filter_text(&g, "log_status", "NODATA", 6));
		good(fl_filter_or(&f, f, g));
		break;
	case 6: /* nowhere */
		good(fl_cidr_parse("192.0.2.77", 10, &c));
		good(fl_filter_cidr(&f, "srcaddr", &c));
		break;
	case 7: /* a column that the file lacks */
		good(fl_filter_is_null(&f, "vpc_id"));
		good(fl_filter_text(&g, "instance_tag", "tag-of-some-length-3", 20));
		good(fl_filter_and(&f, f, g));
		break;
	default:
		return NULL;
	}
	return f;
}

/* Lines of the rows that pass, one after the other. */
static uint64_t unread; /* rows, by the index of pages */

static size_t select_rows(struct fl_parquet_file *f, const struct fl_column_def *defs, size_t n,
			  const struct fl_filter *filter, bool after, struct fl_buf *lines)
{
	struct fl_parquet_reader *r = NULL;
	struct fl_filter_bound *bound = NULL;
	struct fl_parquet_counts counts;
	struct fl_batch *b = NULL;
	size_t pruned = 0;
	int got;

	good(fl_filter_bind(&bound, filter, defs, n));
	good(fl_parquet_reader_new(&r, f, defs, n, after ? NULL : filter));
	good(fl_batch_new(&b, defs, n));
	for (size_t g = 0; g < fl_parquet_groups(f); g++) {
		if (!after && !fl_parquet_group_may_pass(f, g, filter, NULL)) {
			pruned++;
			continue;
		}
		good(fl_parquet_reader_group(r, g));
		while ((got = fl_parquet_next(r, b)) == 1) {
			uint64_t keep[FL_BATCH_WORDS];

			assert_true(b->n > 0);
			if (after) {
				fl_filter_eval(bound, b, keep);
				fl_batch_compact(b, keep, NULL);
			}
			for (uint32_t i = 0; i < b->n; i++) {
				good(fl_batch_print(b, i, n, ' ', lines));
				good(fl_buf_add(lines, "\n", 1));
			}
		}
		good(got);
	}
	fl_parquet_reader_counts(r, &counts);
	unread += counts.unread;
	fl_filter_bound_free(&bound);
	fl_batch_free(&b);
	fl_parquet_reader_free(&r);
	return pruned;
}

static void filters_find_the_same(void **unused)
{
	struct fl_column_def defs[N_NAMES + 1];
	struct fl_parquet_conf conf = {
	    .columns = defs, .n_columns = N_NAMES, .codec = FL_CODEC_ZSTD, .group_rows = 9000};
	struct fl_parquet_file *f = NULL;
	struct fl_parquet_input in;
	struct made m;
	size_t pruned = 0;

	(void)unused;
	for (unsigned k = 0; k < 3; k++) {
		struct fl_filter *filter;

		define(defs);
		conf.text_null = k == 1;
		/* Then one row group of five pages. */
		conf.group_rows = k < 2 ? 9000 : 0;
		make(&m, &conf, k < 2 ? 40000 : 90000);
		fl_column_find("vpc_id", &defs[N_NAMES]);
		in = input_of(&m.file);
		good(fl_parquet_open(&f, &in, "made"));
		for (unsigned i = 0; (filter = filter_of(i)); i++) {
			struct fl_buf want FL_CLEANUP(fl_buf_free) = FL_BUF(64u << 20),
					   got FL_CLEANUP(fl_buf_free) = FL_BUF(64u << 20);

			select_rows(f, defs, N_NAMES + 1, filter, true, &want);
			pruned += select_rows(f, defs, N_NAMES + 1, filter, false, &got);
			if (i != 6)
				assert_true(want.len > 0);
			assert_string_equal(fl_buf_cstr(&got), fl_buf_cstr(&want));
			fl_filter_free(&filter);
		}
		fl_parquet_close(&f);
		made_free(&m);
	}
	assert_true(pruned > 4); /* by Bloom filter and by time */
	assert_true(unread > 40000);
}

/* ---- what is fetched ---- */

struct sieve { /* gives what was asked for beforehand */
	struct fl_buf *file;
	struct fl_parquet_extents hints, data;
	size_t footer_at, missed, given;
};

static size_t there(const struct sieve *s, uint64_t at)
{
	const struct fl_parquet_extents *of[] = {&s->hints, &s->data};

	for (size_t k = 0; k < 2; k++)
		for (size_t i = 0; i < of[k]->n; i++)
			if (at >= of[k]->extent[i].at && at < of[k]->extent[i].at + of[k]->extent[i].n)
				return of[k]->extent[i].n - (size_t)(at - of[k]->extent[i].at);
	return at >= s->footer_at ? s->file->len - (size_t)at : 0;
}

static size_t sieve_at_hand(void *ctx, uint64_t at, size_t n)
{
	size_t have = 0, k;

	while (have < n && (k = there(ctx, at + have)))
		have += k;
	return FL_MIN(have, n);
}

static int sieve_read(void *ctx, uint64_t at, void *to, size_t n)
{
	struct sieve *s = ctx;

	if (sieve_at_hand(s, at, n) < n)
		s->missed++;
	s->given += n;
	return read_made(s->file, at, to, n);
}

static size_t bytes_of(const struct fl_parquet_extents *x)
{
	size_t n = 0;

	for (size_t i = 0; i < x->n; i++)
		n += x->extent[i].n;
	return n;
}

/* Rows of a group read from what was said to be needed, and nothing else. Returns how many bytes that is. */
static size_t read_sifted(struct fl_parquet_file *f, struct fl_buf *file, size_t group,
			  const struct fl_column_def *defs, size_t n, const struct fl_filter *filter,
			  struct fl_buf *lines)
{
	struct sieve s = {.file = file, .footer_at = file->len};
	struct fl_parquet_input in = {
	    .read = sieve_read, .ctx = &s, .size = file->len, .at_hand = sieve_at_hand, .far = true};
	struct fl_parquet_reader *r = NULL;
	struct fl_batch *b = NULL;
	size_t total;
	int got = 0;

	good(fl_parquet_group_hints(f, group, defs, n, filter, &s.hints));
	fl_parquet_extents_sort(&s.hints);
	if (fl_parquet_group_may_pass(f, group, filter, &in)) {
		good(fl_parquet_group_data(f, group, defs, n, filter, &in, &s.data));
		fl_parquet_extents_sort(&s.data);
		good(fl_parquet_reader_new(&r, f, defs, n, filter));
		fl_parquet_reader_from(r, &in);
		good(fl_batch_new(&b, defs, n));
		good(fl_parquet_reader_group(r, group));
		while ((got = fl_parquet_next(r, b)) == 1)
			for (uint32_t i = 0; i < b->n; i++) {
				good(fl_batch_print(b, i, n, ' ', lines));
				good(fl_buf_add(lines, "\n", 1));
			}
		good(got);
	}
	assert_int_equal(s.missed, 0);
	total = bytes_of(&s.hints) + bytes_of(&s.data);
	fl_parquet_extents_free(&s.hints);
	fl_parquet_extents_free(&s.data);
	fl_batch_free(&b);
	fl_parquet_reader_free(&r);
	return total;
}

static void what_is_fetched_is_what_is_read(void **unused)
{
	static const uint32_t groups[] = {9000, 0};
	struct fl_column_def defs[N_NAMES], few[4];

	(void)unused;
	define(defs);
	for (unsigned k = 0; k < 2; k++) {
		struct fl_parquet_conf conf = {
		    .columns = defs, .n_columns = N_NAMES, .codec = FL_CODEC_SNAPPY, .group_rows = groups[k]};
		struct fl_parquet_file *f = NULL;
		struct fl_parquet_input in;
		struct fl_filter *filter;
		struct made m;

		make(&m, &conf, 70000);
		in = input_of(&m.file);
		good(fl_parquet_open(&f, &in, "made"));
		for (unsigned i = 0; (filter = filter_of(i)); i++) {
			struct fl_buf want FL_CLEANUP(fl_buf_free) = FL_BUF(64u << 20),
					   got FL_CLEANUP(fl_buf_free) = FL_BUF(64u << 20);
			const char *name[FL_BATCH_COLUMNS];
			size_t n = fl_filter_columns(filter, name), bytes = 0;

			for (size_t c = 0; c < n; c++)
				fl_column_find(name[c], &few[c]);
			fl_column_find("bytes", &few[n++]);
			select_rows(f, few, n, filter, true, &want);
			for (size_t g = 0; g < fl_parquet_groups(f); g++)
				bytes += read_sifted(f, &m.file, g, few, n, filter, &got);
			assert_string_equal(fl_buf_cstr(&got), fl_buf_cstr(&want));
			assert_in_range(bytes, 1, m.file.len / 2);
			fl_filter_free(&filter);
		}
		fl_parquet_close(&f);
		made_free(&m);
	}
}

/* A question about some pages of a damaged file: its rows, or a sentence. */
static void damaged_indexes(void **unused)
{
	struct fl_column_def defs[N_NAMES];
	struct fl_parquet_conf conf = {.columns = defs, .n_columns = N_NAMES, .codec = FL_CODEC_SNAPPY};
	struct fl_filter *filter = filter_of(4);
	size_t from, to, bad = 0;
	uint32_t footer;
	struct made m;

	(void)unused;
	define(defs);
	make(&m, &conf, 70000);
	memcpy(&footer, m.file.data + m.file.len - 8, sizeof footer);
	to = m.file.len - 8 - footer;
	from = to - 3000; /* both kinds of index */
	for (unsigned i = 0; i < 300; i++) {
		struct fl_parquet_input in = input_of(&m.file);
		struct fl_parquet_reader *r = NULL;
		struct fl_parquet_file *f = NULL;
		struct fl_batch *b = NULL;
		size_t at = from + below((uint32_t)(to - from));
		char before = m.file.data[at];
		int got;

		m.file.data[at] = (char)(i % 2 ? below(256) : (uint32_t)(before ^ 1 << below(8)));
		good(fl_parquet_open(&f, &in, "damaged"));
		good(fl_parquet_reader_new(&r, f, defs, N_NAMES, filter));
		good(fl_batch_new(&b, defs, N_NAMES));
		got = fl_parquet_reader_group(r, 0);
		while (!got && (got = fl_parquet_next(r, b)) == 1)
			got = 0;
		bad += got < 0;
		fl_batch_free(&b);
		fl_parquet_reader_free(&r);
		fl_parquet_close(&f);
		m.file.data[at] = before;
	}
	assert_in_range(bad, 1, 299);
	fl_filter_free(&filter);
	made_free(&m);
}

/* ---- damage ---- */

/* Reads what can be read; returns the rows. */
static size_t read_all(struct fl_buf *file, const struct fl_column_def *defs, size_t *ret_damaged)
{
	struct fl_parquet_input in = input_of(file);
	struct fl_parquet_reader *r = NULL;
	struct fl_parquet_file *f = NULL;
	struct fl_batch *b = NULL;
	size_t rows = 0;
	int got;

	*ret_damaged = 0;
	if (fl_parquet_open(&f, &in, "damaged"))
		return 0;
	good(fl_parquet_reader_new(&r, f, defs, N_NAMES, NULL));
	good(fl_batch_new(&b, defs, N_NAMES));
	for (size_t g = 0; g < fl_parquet_groups(f); g++) {
		got = fl_parquet_reader_group(r, g);
		while (!got && (got = fl_parquet_next(r, b)) == 1) {
			rows += b->n;
			got = 0;
		}
		*ret_damaged += got < 0;
	}
	fl_batch_free(&b);
	fl_parquet_reader_free(&r);
	fl_parquet_close(&f);
	return rows;
}

static void a_damaged_row_group_is_one(void **unused)
{
	struct fl_column_def defs[N_NAMES];
	struct fl_parquet_conf conf = {
	    .columns = defs, .n_columns = N_NAMES, .codec = FL_CODEC_ZSTD, .group_rows = 3000, .no_bloom = true};
	struct made m;
	size_t damaged;

	(void)unused;
	define(defs);
	make(&m, &conf, 9000);
	assert_int_equal(read_all(&m.file, defs, &damaged), 9000);
	m.file.data[2000] ^= 1; /* in the first group's pages */
	assert_int_equal(read_all(&m.file, defs, &damaged), 6000);
	assert_int_equal(damaged, 1);
	made_free(&m);
}

static void damage_anywhere(void **unused)
{
	struct fl_column_def defs[N_NAMES];
	struct fl_parquet_conf conf = {.columns = defs, .n_columns = N_NAMES, .group_rows = 300};
	size_t damaged, footer;
	struct made m;

	(void)unused;
	define(defs);
	make(&m, &conf, 900);
	footer = m.file.len - 4000;
	for (unsigned i = 0; i < 3000; i++) {
		/* Half of it in the footer. */
		size_t at = i % 2 ? below((uint32_t)m.file.len) : footer + below(4000);
		char before = m.file.data[at];

		m.file.data[at] = (char)(i % 3 ? below(256) : (uint32_t)(before ^ 1 << below(8)));
		assert_in_range(read_all(&m.file, defs, &damaged), 0, 1 << 20);
		m.file.data[at] = before;
	}
	for (size_t n = m.file.len; n-- > m.file.len - 3000;) {
		struct fl_buf cut = {.data = m.file.data, .len = n};

		assert_int_equal(read_all(&cut, defs, &damaged), 0);
	}
	made_free(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(hybrid_of_every_width),
	    cmocka_unit_test(zeroes_as_bits),
	    cmocka_unit_test(delta_of_anything),
	    cmocka_unit_test(bloom_filters_forget_nothing),
	    cmocka_unit_test(xxhash_of_its_specification),
	    cmocka_unit_test(rows_come_back),
	    cmocka_unit_test(same_bytes_again),
	    cmocka_unit_test(filters_find_the_same),
	    cmocka_unit_test(what_is_fetched_is_what_is_read),
	    cmocka_unit_test(damaged_indexes),
	    cmocka_unit_test(a_damaged_row_group_is_one),
	    cmocka_unit_test(damage_anywhere),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
