/* SPDX-License-Identifier: Apache-2.0 */
/* Text out of files of every packing: what was packed comes back in blocks of whole lines; damage is told behind the
 * lines before it. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <zlib.h>
#include <zstd.h>

#include "base/error.h"
#include "base/mem.h"
#include "scan/inflate.h"
#include "scan/text.h"

static uint64_t seed = 99;

static uint32_t below(uint32_t n)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (uint32_t)((seed >> 32) * n >> 32);
}

static void make_text(struct fl_buf *b, size_t bytes)
{
	while (b->len < bytes)
		fl_buf_printf(b, "2 123456789010 eni-%08x 10.0.%u.%u %u ACCEPT OK%s", below(UINT32_MAX), below(256),
			      below(256), below(1u << (1 + below(31))), below(50) ? "\n" : "\n\n");
}

static void add_gzip(struct fl_buf *out, const char *text, size_t n, int level, bool named)
{
	gz_header h = {.name = (Bytef *)"a name",
		       .comment = (Bytef *)"a comment",
		       .extra = (Bytef *)"extra",
		       .extra_len = 5,
		       .hcrc = 1};
	z_stream z = {0};

	assert_int_equal(deflateInit2(&z, level, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY), Z_OK);
	if (named)
		assert_int_equal(deflateSetHeader(&z, &h), Z_OK);
	assert_int_equal(fl_buf_reserve(out, deflateBound(&z, n) + 100), 0);
	z.next_in = (Bytef *)(uintptr_t)text;
	z.avail_in = (uInt)n;
	z.next_out = (Bytef *)out->data + out->len;
	z.avail_out = (uInt)(out->cap - out->len);
	assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
	out->len += z.total_out;
	deflateEnd(&z);
}

static void add_zstd(struct fl_buf *out, const char *text, size_t n)
{
	size_t got;

	assert_int_equal(fl_buf_reserve(out, ZSTD_compressBound(n)), 0);
	got = ZSTD_compress(out->data + out->len, out->cap - out->len, text, n, 1);
	assert_false(ZSTD_isError(got));
	out->len += got;
}

/* ---- bytes from memory, as many at once as please the test ---- */

struct source {
	const char *p;
	size_t n, step; /* step 0: at random */
	int fault;      /* behind the last byte */
};

static ssize_t read_some(void *ctx, void *buf, size_t n)
{
	struct source *s = ctx;
	size_t most = s->step ? s->step : 1 + below(100000), have = FL_MIN(n, s->n), take = FL_MIN(have, most);

	if (!s->n && s->fault)
		return fl_fail(s->fault, "the disk is gone");
	if (take)
		memcpy(buf, s->p, take);
	s->p += take;
	s->n -= take;
	return (ssize_t)take;
}

/* What came: appended to out. The result of the last call. */
static int collect(struct fl_blocks *b, struct fl_buf *out)
{
	const char *data;
	size_t n;
	bool last, ended = false;
	int r;

	while ((r = fl_blocks_next(b, &data, &n, &last)) == 1) {
		assert_false(ended);
		assert_true(last || n);
		assert_true(last || data[n - 1] == '\n' || n > FL_TEXT_LINE_MAX);
		/* Readable, which the sanitizer sees. */
		for (size_t i = 0; i < FL_TEXT_PAD; i++)
			seed += (uint8_t)((volatile const char *)data)[n + i] == 1;
		assert_int_equal(fl_buf_add(out, data, n), 0);
		ended = last;
	}
	if (!r)
		assert_true(ended);
	return r;
}

static int unpack(const struct fl_buf *stored, size_t step, size_t block, struct fl_buf *out)
{
	struct source s = {stored->data, stored->len, step, 0};
	struct fl_blocks *b = NULL;
	int r;

	fl_buf_reset(out);
	assert_int_equal(fl_blocks_new(&b, block), 0);
	r = fl_blocks_open(b, &(struct fl_bytes){read_some, &s});
	if (!r)
		r = collect(b, out);
	if (!r)
		assert_int_equal(fl_blocks_stored(b), stored->len);
	fl_blocks_free(&b);
	return r;
}

static void assert_same(const struct fl_buf *a, const struct fl_buf *b)
{
	assert_int_equal(a->len, b->len);
	assert_true(!a->len || !memcmp(a->data, b->data, a->len));
}

static void pack(unsigned how, struct fl_buf *out, const char *text, size_t n)
{
	fl_buf_reset(out);
	switch (how) {
	case 0:
		fl_buf_add(out, text, n);
		break;
	case 1:
		add_gzip(out, text, n, 6, false);
		break;
	case 2: /* members, some of nothing, cut where no line ends */
		for (size_t at = 0; at < n;) {
			size_t take = FL_MIN(n - at, (size_t)below(200000));

			add_gzip(out, text + at, take, (int)below(10), below(2));
			at += take;
		}
		add_gzip(out, text, 0, 6, true);
		break;
	case 3:
		add_zstd(out, text, n);
		break;
	case 4:
		for (size_t at = 0; at < n;) {
			size_t take = FL_MIN(n - at, (size_t)below(200000));

			add_zstd(out, text + at, take);
			at += take;
		}
	}
}
#define PACKINGS 5

static void test_what_was_packed_comes_back(void **state)
{
	struct fl_buf text FL_CLEANUP(fl_buf_free) = FL_BUF(1 << 28), stored FL_CLEANUP(fl_buf_free) = FL_BUF(1 << 28),
			   out FL_CLEANUP(fl_buf_free) = FL_BUF(1 << 28);

	(void)state;
	for (unsigned round = 0; round < 40; round++) {
		fl_buf_reset(&text);
		make_text(&text, 1 + below(1u << below(23)));
		if (below(2))
			text.len--;
		for (unsigned how = 0; how < PACKINGS; how++) {
			pack(how, &stored, text.data, text.len);
			assert_int_equal(unpack(&stored, below(4) ? 0 : stored.len / 1000 + 1, below(2) ? 0 : 1, &out),
					 0);
			assert_same(&out, &text);
		}
	}
	fl_buf_reset(&stored);
	assert_int_equal(unpack(&stored, 0, 0, &out), 0); /* an empty file */
	assert_int_equal(out.len, 0);
}

static void test_padding_is_passed_over_and_the_rest_told(void **state)
{
	struct fl_buf text FL_CLEANUP(fl_buf_free) = FL_BUF(1 << 28), stored FL_CLEANUP(fl_buf_free) = FL_BUF(1 << 28),
			   out FL_CLEANUP(fl_buf_free) = FL_BUF(1 << 28);
	char zeros[3000] = {0};

	(void)state;
	make_text(&text, 500000);
	for (unsigned how = 1; how < PACKINGS; how++) {
		pack(how, &stored, text.data, text.len);
		fl_buf_add(&stored, zeros, how % 2 ? sizeof zeros : 1);
		assert_int_equal(unpack(&stored, 0, 0, &out), 0);
		assert_same(&out, &text);
		fl_buf_add(&stored, "x", 1);
		assert_int_equal(unpack(&stored, 0, 0, &out), -EBADMSG);
		assert_non_null(strstr(fl_error_text(-EBADMSG), "what follows"));
		assert_same(&out, &text);
	}
}

/* Text that begins the right one and ends with a line. */
static void assert_whole_lines(const struct fl_buf *out, const struct fl_buf *text)
{
	assert_true(out->len <= text->len);
	assert_true(!out->len || (!memcmp(out->data, text->data, out->len) && out->data[out->len - 1] == '\n'));
}

static void test_truncated(void **state)
{
	struct fl_buf text FL_CLEANUP(fl_buf_free) = FL_BUF(1 << 28), stored FL_CLEANUP(fl_buf_free) = FL_BUF(1 << 28),
			   out FL_CLEANUP(fl_buf_free) = FL_BUF(1 << 28);

	(void)state;
	make_text(&text, 3000);
	for (unsigned how = 1; how < PACKINGS; how += 2) {
		pack(how, &stored, text.data, text.len);
		for (size_t whole = stored.len--; stored.len > 4; stored.len--) {
			assert_int_equal(unpack(&stored, 7, 0, &out), -EBADMSG);
			assert_non_null(strstr(fl_error_text(-EBADMSG), "truncated"));
			assert_whole_lines(&out, &text);
			assert_true(how != 1 || stored.len + 8 < whole || out.len == text.len);
		}
	}
	/* Half of a file is read, not nothing of it. */
	fl_buf_reset(&text);
	make_text(&text, 3000000);
	for (unsigned how = 1; how < PACKINGS; how += 2) {
		pack(how, &stored, text.data, text.len);
		stored.len /= 2;
		assert_int_equal(unpack(&stored, 0, 0, &out), -EBADMSG);
		assert_whole_lines(&out, &text);
		assert_true(out.len > text.len * 2 / 5);
	}
}

static void test_corrupt(void **state)
{
	struct fl_buf text FL_CLEANUP(fl_buf_free) = FL_BUF(1 << 28), stored FL_CLEANUP(fl_buf_free) = FL_BUF(1 << 28),
			   out FL_CLEANUP(fl_buf_free) = FL_BUF(1 << 28);

	(void)state;
	make_text(&text, 100000);
	pack(1, &stored, text.data, text.len);
	for (size_t i = 10; i < stored.len; i += i < 200 || i + 30 > stored.len ? 1 : 97) {
		stored.data[i] = (char)(stored.data[i] ^ (1 << below(8)));
		assert_int_equal(unpack(&stored, 0, 0, &out), -EBADMSG);
		assert_true(!out.len || out.data[out.len - 1] == '\n');
		pack(1, &stored, text.data, text.len);
	}
	/* The checksum alone: all is there, and the fault is told. */
	stored.data[stored.len - 8] = (char)(stored.data[stored.len - 8] ^ 1);
	assert_int_equal(unpack(&stored, 0, 0, &out), -EBADMSG);
	assert_non_null(strstr(fl_error_text(-EBADMSG), "checksum"));
	assert_same(&out, &text);
}

static void test_errors_of_reading(void **state)
{
	struct fl_buf text FL_CLEANUP(fl_buf_free) = FL_BUF(1 << 28), stored FL_CLEANUP(fl_buf_free) = FL_BUF(1 << 28),
			   out FL_CLEANUP(fl_buf_free) = FL_BUF(1 << 28);
	struct fl_blocks *b = NULL;

	(void)state;
	make_text(&text, 600000);
	assert_int_equal(fl_blocks_new(&b, 0), 0);
	for (unsigned how = 0; how < PACKINGS; how++) {
		struct source s;

		pack(how, &stored, text.data, text.len);
		s = (struct source){stored.data, stored.len / 2, 0, -EIO};
		fl_buf_reset(&out);
		assert_int_equal(fl_blocks_open(b, &(struct fl_bytes){read_some, &s}), 0);
		assert_int_equal(collect(b, &out), -EIO);
		assert_string_equal(fl_error_text(-EIO), "the disk is gone");
		assert_whole_lines(&out, &text);
		assert_true(out.len > text.len / 4);
	}
	fl_blocks_free(&b);
}

static void test_a_line_without_end_takes_no_memory(void **state)
{
	struct fl_buf member FL_CLEANUP(fl_buf_free) = FL_BUF(1 << 28);
	char *zeros = calloc(1, 1 << 24);
	struct fl_blocks *b = NULL;
	uint64_t total = 0;
	bool last;

	(void)state;
	assert_non_null(zeros);
	add_gzip(&member, zeros, 1 << 24, 9, false);
	free(zeros);
	assert_int_equal(fl_blocks_new(&b, 0), 0);
	for (unsigned i = 0; i < 8; i++) {
		struct source s = {member.data, member.len, 0, 0};
		const char *data;
		size_t n;

		assert_int_equal(fl_blocks_open(b, &(struct fl_bytes){read_some, &s}), 0);
		do {
			assert_int_equal(fl_blocks_next(b, &data, &n, &last), 1);
			assert_true(n <= FL_BLOCK_BYTES);
			total += n;
		} while (!last);
	}
	assert_int_equal(total, (uint64_t)8 << 24);
	fl_blocks_free(&b);
}

/* ---- descriptors ---- */

static int file_of(const struct fl_buf *stored)
{
	char name[] = "/tmp/flowlog-test-XXXXXX";
	int fd = mkstemp(name);

	assert_true(fd >= 0);
	unlink(name);
	assert_int_equal(write(fd, stored->data, stored->len), (ssize_t)stored->len);
	return fd;
}

static void test_parts_of_a_plain_file(void **state)
{
	struct fl_buf text FL_CLEANUP(fl_buf_free) = FL_BUF(1 << 28), out FL_CLEANUP(fl_buf_free) = FL_BUF(1 << 28);
	struct fl_blocks *b = NULL;

	(void)state;
	assert_int_equal(fl_blocks_new(&b, 1), 0);
	for (unsigned round = 0; round < 60; round++) {
		unsigned parts = 1 + below(20);
		uint64_t from = 0;
		int fd;

		fl_buf_reset(&text);
		fl_buf_reset(&out);
		make_text(&text, 1 + below(1u << below(19)));
		if (below(4) == 0) /* one line longer than a block */
			for (unsigned i = 0; i < 10000; i++)
				fl_buf_adds(&text, "0123456789");
		if (below(4) == 0)
			make_text(&text, text.len + 1000);
		if (below(2))
			fl_buf_adds(&text, "no newline");
		fd = file_of(&text);
		for (unsigned i = 1; i <= parts; i++) {
			uint64_t to = i == parts ? text.len : FL_MAX(from, (uint64_t)below((uint32_t)text.len));

			assert_int_equal(fl_blocks_open_part(b, fd, from, to), 0);
			for (const char *data;;) {
				size_t n;
				bool last;
				int r = fl_blocks_next(b, &data, &n, &last);

				assert_true(r >= 0);
				if (!r)
					break;
				fl_buf_add(&out, data, n);
			}
			from = to;
		}
		close(fd);
		assert_same(&out, &text);
	}
	fl_blocks_free(&b);
}

static void test_files_and_pipes(void **state)
{
	struct fl_buf text FL_CLEANUP(fl_buf_free) = FL_BUF(1 << 28), stored FL_CLEANUP(fl_buf_free) = FL_BUF(1 << 28),
			   out FL_CLEANUP(fl_buf_free) = FL_BUF(1 << 28);
	struct fl_blocks *b = NULL;

	(void)state;
	make_text(&text, 40000);
	assert_int_equal(fl_blocks_new(&b, 0), 0);
	for (unsigned how = 0; how < PACKINGS; how++) {
		int fd, ends[2];

		pack(how, &stored, text.data, text.len);
		fd = file_of(&stored);
		for (unsigned twice = 0; twice < 2; twice++) {
			fl_buf_reset(&out);
			assert_int_equal(fl_blocks_open_fd(b, fd), 0);
			assert_int_equal(collect(b, &out), 0);
			assert_same(&out, &text);
		}
		close(fd);
		assert_int_equal(pipe(ends), 0);
		assert_int_equal(write(ends[1], stored.data, stored.len), (ssize_t)stored.len);
		close(ends[1]);
		fl_buf_reset(&out);
		assert_int_equal(fl_blocks_open_fd(b, ends[0]), 0);
		assert_int_equal(collect(b, &out), 0);
		assert_same(&out, &text);
		close(ends[0]);
	}
	fl_blocks_free(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_what_was_packed_comes_back),
	    cmocka_unit_test(test_padding_is_passed_over_and_the_rest_told),
	    cmocka_unit_test(test_truncated),
	    cmocka_unit_test(test_corrupt),
	    cmocka_unit_test(test_errors_of_reading),
	    cmocka_unit_test(test_a_line_without_end_takes_no_memory),
	    cmocka_unit_test(test_parts_of_a_plain_file),
	    cmocka_unit_test(test_files_and_pipes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
