/* SPDX-License-Identifier: Apache-2.0 */
/* A file's records as lines, whatever it is. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "record/parquet_format.h"
#include "scan/inflate.h"
#include "scan/parquet.h"
#include "scan/scan.h"

#define LINE_MAX_BYTES ((size_t)16 << 20) /* of a Parquet file's row as text */

/* ---- text ---- */

/* A longer line comes in pieces, as one that goes over two blocks does: none of them is a record. */
static int block_lines(const char *data, size_t n, fl_scan_line_fn fn, void *ctx)
{
	char line[FL_RECORD_MAX + 1];
	int r = 0;

	for (const char *end = data + n, *next; !r && data < end; data = next) {
		size_t room = FL_MIN(sizeof line - 1, (size_t)(end - data));
		const char *newline = memchr(data, '\n', room);
		size_t len = newline ? (size_t)(newline - data) : room;

		next = data + len + (newline != NULL);
		while (len && data[len - 1] == '\r')
			len--;
		memcpy(line, data, len);
		line[len] = '\0';
		r = fn(ctx, line, len);
	}
	return r;
}

static int text_lines(int fd, const char *path, fl_scan_line_fn fn, void *ctx)
{
	struct fl_blocks *blocks FL_CLEANUP(fl_blocks_free) = NULL;
	const char *data;
	bool last;
	size_t n;
	int r = fl_blocks_new(&blocks, 0);

	r = r ? r : fl_blocks_open_fd(blocks, fd);
	if (r)
		return r;
	while ((r = fl_blocks_next(blocks, &data, &n, &last)) == 1) {
		r = block_lines(data, n, fn, ctx);
		if (r)
			return r;
	}
	return fl_wrap(r, "%s", path);
}

/* ---- Parquet ---- */

static int hand_out(struct fl_buf *line, fl_scan_line_fn fn, void *ctx)
{
	int r = fl_buf_add(line, "", 1);

	return r ? r : fn(ctx, line->data, line->len - 1);
}

static int header_line(const struct fl_column_def *columns, size_t n, fl_scan_line_fn fn, void *ctx)
{
	struct fl_buf line FL_CLEANUP(fl_buf_free) = FL_BUF(LINE_MAX_BYTES);
	int r = 0;

	for (size_t i = 0; !r && i < n; i++)
		r = fl_buf_printf(&line, "%s%s", i ? " " : "", fl_column_title(&columns[i]));
	return r ? r : hand_out(&line, fn, ctx);
}

static int group_lines(struct fl_parquet_reader *reader, struct fl_batch *b, fl_scan_line_fn fn, void *ctx)
{
	struct fl_buf line FL_CLEANUP(fl_buf_free) = FL_BUF(LINE_MAX_BYTES);
	int r;

	while ((r = fl_parquet_next(reader, b)) == 1)
		for (uint32_t row = 0; row < b->n; row++) {
			fl_buf_reset(&line);
			r = fl_batch_print(b, row, b->n_columns, ' ', &line);
			if (!r)
				r = hand_out(&line, fn, ctx);
			if (r)
				return r;
		}
	return r;
}

static int parquet_lines(int fd, const char *path, fl_scan_line_fn fn, void *ctx)
{
	struct fl_parquet_reader *reader FL_CLEANUP(fl_parquet_reader_free) = NULL;
	struct fl_parquet_file *f FL_CLEANUP(fl_parquet_close) = NULL;
	struct fl_batch *b FL_CLEANUP(fl_batch_free) = NULL;
	const struct fl_column_def *columns;
	struct fl_parquet_input input;
	size_t n;
	int r = fl_parquet_input_fd(&input, fd);

	if (!r)
		r = fl_parquet_open(&f, &input, path);
	if (r)
		return r;
	n = fl_parquet_columns(f, &columns);
	r = fl_parquet_reader_new(&reader, f, columns, n, NULL);
	if (!r)
		r = fl_batch_new(&b, columns, n);
	if (!r)
		r = header_line(columns, n, fn, ctx);
	for (size_t i = 0; !r && i < fl_parquet_groups(f); i++) {
		r = fl_parquet_reader_group(reader, i);
		if (!r)
			r = group_lines(reader, b, fn, ctx);
	}
	return r;
}

int fl_scan_lines(const char *path, fl_scan_line_fn fn, void *ctx)
{
	int fd FL_CLEANUP(fl_closep) = open(path, O_RDONLY | O_CLOEXEC);
	char magic[4];

	if (fd < 0)
		return fl_fail(-errno, "%s: %m", path);
	if (pread(fd, magic, sizeof magic, 0) == sizeof magic && !memcmp(magic, FL_PARQUET_MAGIC, sizeof magic))
		return parquet_lines(fd, path, fn, ctx);
	return text_lines(fd, path, fn, ctx);
}
