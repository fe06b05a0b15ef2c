/* SPDX-License-Identifier: Apache-2.0 */
/* Delivered lines as a sorted list, and the lines that should be there, written by other code than
 * the encoder's. */
#pragma once

#include <libdeflate.h>

#include "deliver/deliver.h"
#include "journal/make.h"
#include "scan/scan.h"

#define LOG_ID "fl-0123456789abcdef0"
#define FORMAT                                                                                                         \
	"${interface-id} ${srcaddr} ${dstaddr} ${srcport} ${dstport} ${protocol} ${packets} "                          \
	"${bytes} ${start} ${end} ${action} "                                                                          \
	"${tcp-flags} ${log-status}"

struct lines {
	char **line;
	size_t n, cap;
};

static inline void lines_add(struct lines *l, const char *p, size_t n)
{
	if (l->n == l->cap)
		assert_non_null(l->line = realloc(l->line, (l->cap = 2 * l->cap + 64) * sizeof *l->line));
	assert_non_null(l->line[l->n++] = strndup(p, n));
}

static inline void lines_free(struct lines *l)
{
	for (size_t i = 0; i < l->n; i++)
		free(l->line[i]);
	free(l->line);
	*l = (struct lines){0};
}

static inline int lines_order(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static inline void lines_sort(struct lines *l)
{
	if (l->n)
		qsort(l->line, l->n, sizeof *l->line, lines_order);
}

/* Both sorted. Prints the first difference. */
static inline bool lines_equal(const struct lines *got, const struct lines *want, const char *what)
{
	for (size_t i = 0; i < got->n || i < want->n; i++) {
		const char *g = i < got->n ? got->line[i] : "(end)", *w = i < want->n ? want->line[i] : "(end)";

		if (strcmp(g, w)) {
			print_error("%s: line %zu of %zu is \"%s\", of %zu wanted is \"%s\"\n", what, i, got->n, g,
				    want->n, w);
			return false;
		}
	}
	return true;
}

/* The lines of one object without its header. Checks the header, and the last newline. */
static inline void lines_of_gzip(struct lines *l, const char *path)
{
	struct libdeflate_decompressor *d = libdeflate_alloc_decompressor();
	struct fl_buf gz = FL_BUF(100u << 20);
	size_t cap = 64u << 20, n, used;
	char *text = malloc(cap);
	struct fl_format *f = NULL;
	bool header = true;

	assert_int_equal(fl_file_read(AT_FDCWD, path, &gz), 0);
	assert_int_equal(libdeflate_gzip_decompress_ex(d, gz.data, gz.len, text, cap, &used, &n), LIBDEFLATE_SUCCESS);
	assert_int_equal(used, gz.len); /* one gzip stream */
	assert_true(n && text[n - 1] == '\n');
	for (char *p = text, *end; p < text + n; p = end + 1) {
		end = memchr(p, '\n', (size_t)(text + n - p));
		if (header) {
			assert_int_equal(fl_format_from_header(&f, p, (size_t)(end - p)), 0);
			fl_format_free(&f);
		} else {
			lines_add(l, p, (size_t)(end - p));
		}
		header = false;
	}
	libdeflate_free_decompressor(d);
	fl_buf_free(&gz);
	free(text);
}

static inline int parquet_line(void *ctx, char *line, size_t n)
{
	struct lines *l = ctx;

	if (strncmp(line, "interface-id ", 13)) /* the header */
		lines_add(l, line, n);
	return 0;
}

static inline void lines_of_object(struct lines *l, const char *path)
{
	size_t length = strlen(path);

	if (length > 12 && !strcmp(path + length - 12, ".log.parquet")) {
		if (fl_scan_lines(path, parquet_line, l))
			fail_msg("%s", fl_error_text(-EBADMSG));
		return;
	}
	lines_of_gzip(l, path);
}

struct to_lines {
	struct fl_encoder *e;
	struct lines *l;
};

static inline int record_line(void *ctx, const struct fl_frame *frame, const struct fl_record *r)
{
	struct to_lines *t = ctx;
	struct fl_buf b = FL_BUF(1u << 16);

	assert_int_equal(fl_encoder_set_eni(t->e, &frame->eni), 0);
	assert_int_equal(fl_encode(t->e, r, NULL, &b), 0);
	lines_add(t->l, b.data, b.len - 1);
	fl_buf_free(&b);
	return 0;
}

/* Files and the journal beyond them, as a reader without any privilege sees them. */
static inline void lines_of_store(struct lines *l, const char *dir, bool open_window, size_t *ret_files)
{
	struct fl_store *s = NULL;
	struct fl_format *f = NULL;
	struct to_lines t = {.l = l};
	struct fl_frame frame;
	int r = fl_store_open(&s, dir, LOG_ID);

	if (ret_files)
		*ret_files = 0;
	if (r == -ENOENT)
		return;
	if (r)
		fail_msg("%s", fl_error_text(r));
	for (size_t i = 0; i < fl_store_file_count(s); i++)
		lines_of_object(l, fl_store_file(s, i));
	if (ret_files)
		*ret_files = fl_store_file_count(s);
	assert_int_equal(fl_format_parse(&f, FL_LOG_VPC, fl_store_log(s)->format), 0);
	assert_int_equal(fl_encoder_new(&t.e, f, FL_OUTPUT_TEXT), 0);
	while ((r = fl_store_next_frame(s, open_window, &frame)) > 0)
		if (r != FL_READER_WINDOW_END)
			assert_int_equal(fl_frame_records(&frame, record_line, &t), 0);
	assert_int_equal(r, 0);
	fl_encoder_free(&t.e);
	fl_format_free(&f);
	fl_store_close(&s);
	lines_sort(l);
}

static inline void expect_line(struct lines *l, unsigned iface, const struct fl_key *k, uint64_t packets,
			       uint64_t bytes, int64_t start, int64_t end, unsigned tcp, unsigned action)
{
	char src[FL_ADDR_TEXT_MAX + 1], dst[FL_ADDR_TEXT_MAX + 1], text[512];
	bool v6 = k->dirfam & FL_KEY_V6;
	int n;

	*fl_addr_print(src, &k->src, v6) = '\0';
	*fl_addr_print(dst, &k->dst, v6) = '\0';
	n = snprintf(text, sizeof text, "eni-%017x %s %s %u %u %u %llu %llu %lld %lld %s %u OK", iface, src, dst,
		     k->sport, k->dport, k->proto, (unsigned long long)packets, (unsigned long long)bytes,
		     (long long)start, (long long)end, action ? "REJECT" : "ACCEPT", (tcp & 7) | (tcp & 0x40 ? 18 : 0));
	lines_add(l, text, (size_t)n);
}

static inline void expect_status(struct lines *l, unsigned iface, int64_t start, int64_t end, const char *status)
{
	char text[256];
	int n = snprintf(text, sizeof text, "eni-%017x - - - - - - - %lld %lld - - %s", iface, (long long)start,
			 (long long)end, status);

	lines_add(l, text, (size_t)n);
}
