/* SPDX-License-Identifier: Apache-2.0 */
/* Sources for tests, and what a scan says of them as sorted lines. */
#pragma once

#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include "base/error.h"
#include "deliver/lines.h"
#include "scan/reader.h"

static inline void put_file(const struct temp *t, const char *name, const void *data, size_t n)
{
	char dir[512];
	const char *slash = strrchr(name, '/');

	if (slash) {
		snprintf(dir, sizeof dir, "%.*s", (int)(slash - name), name);
		assert_int_equal(fl_mkdirs(t->fd, dir, 0755), 0);
	}
	assert_int_equal(fl_file_write_atomic(t->fd, name, data, n, 0644, false), 0);
}

static inline void put_text(const struct temp *t, const char *name, const char *text)
{
	put_file(t, name, text, strlen(text));
}

/* One gzip member. */
static inline size_t gzip(const void *data, size_t n, void *out, size_t room)
{
	z_stream z = {.next_in = (void *)(uintptr_t)data, .avail_in = (uInt)n};

	z.next_out = out;
	z.avail_out = (uInt)room;
	assert_int_equal(deflateInit2(&z, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
	assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
	deflateEnd(&z);
	return room - z.avail_out;
}

static inline void put_gz(const struct temp *t, const char *name, const char *text)
{
	size_t room = strlen(text) + 1024;
	char *out = malloc(room);

	put_file(t, name, out, gzip(text, strlen(text), out, room));
	free(out);
}

static inline void put_zstd(const struct temp *t, const char *name, const char *text)
{
	size_t room = ZSTD_compressBound(strlen(text)), n;
	char *out = malloc(room);

	n = ZSTD_compress(out, room, text, strlen(text), 3);
	assert_false(ZSTD_isError(n));
	put_file(t, name, out, n);
	free(out);
}

struct row_thread {
	struct fl_scan *s;
	size_t n_columns;
	struct lines rows;
	int result;
};

static inline void *row_thread(void *ctx)
{
	struct row_thread *t = ctx;
	struct fl_scan_reader *r = NULL;
	const struct fl_batch *b;
	struct fl_buf line = FL_BUF(1u << 20);

	t->result = fl_scan_reader_new(&r, t->s);
	while (!t->result && (t->result = fl_scan_next(r, &b)) == 1) {
		t->result = 0;
		for (uint32_t i = 0; i < b->n; i++) {
			fl_buf_reset(&line);
			for (size_t k = 0; k < t->n_columns; k++) {
				assert_int_equal(fl_buf_add(&line, " ", k > 0), 0);
				assert_int_equal(fl_column_print(&b->column[k], i, &line), 0);
			}
			lines_add(&t->rows, line.data, line.len);
		}
	}
	fl_buf_free(&line);
	fl_scan_reader_free(&r);
	return NULL;
}

/* The rows of an opened scan, sorted. columns: names with spaces between them. */
static inline int rows_of(struct fl_scan *s, const char *columns, const struct fl_filter *filter, struct lines *ret)
{
	struct fl_column_def def[FL_BATCH_COLUMNS];
	char *names = strdup(columns), *save = NULL;
	size_t n = 0;
	struct row_thread *t;
	pthread_t *id;
	unsigned threads = fl_scan_threads(s);
	int r;

	for (char *p = strtok_r(names, " ", &save); p; p = strtok_r(NULL, " ", &save))
		fl_column_find(p, &def[n++]);
	r = fl_scan_select(s, def, n, filter);
	t = calloc(threads, sizeof *t);
	id = calloc(threads, sizeof *id);
	for (unsigned i = 0; !r && i < threads; i++) {
		t[i].s = s;
		t[i].n_columns = n;
		assert_int_equal(pthread_create(&id[i], NULL, row_thread, &t[i]), 0);
	}
	for (unsigned i = 0; !r && i < threads; i++)
		assert_int_equal(pthread_join(id[i], NULL), 0);
	for (unsigned i = 0; i < threads; i++) {
		r = r ? r : t[i].result;
		for (size_t k = 0; k < t[i].rows.n; k++)
			lines_add(ret, t[i].rows.line[k], strlen(t[i].rows.line[k]));
		lines_free(&t[i].rows);
	}
	free(t);
	free(id);
	free(names);
	lines_sort(ret);
	return r;
}
