/* SPDX-License-Identifier: Apache-2.0 */
/* Batches into a file: Parquet, or lines, which may be compressed. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"
#include "base/grid.h"
#include "base/gz.h"
#include "base/hash.h"
#include "base/json.h"
#include "cli/convert.h"

#define STEP ((size_t)256 << 10) /* written at once */
#define LINE_MAX_BYTES ((size_t)64 << 20)

struct fl_convert_file {
	const struct fl_convert *c;
	int fd;
	bool terminal;
	struct fl_parquet_writer *parquet;
	struct fl_gz *gz;
	struct fl_buf text, packed;
	uint64_t size;
	uint32_t crc;
};

void fl_convert_ending(const struct fl_convert *c, char ret[32])
{
	static const char *const endings[FL_CONVERT_FORMS] = {".log.parquet", ".log", ".csv", ".json"};

	snprintf(ret, 32, "%s%s", endings[c->form],
		 c->form != FL_CONVERT_PARQUET && c->parquet.codec == FL_CODEC_GZIP ? ".gz" : "");
}

static int to_fd(void *ctx, const void *data, size_t n)
{
	struct fl_convert_file *f = ctx;
	const char *p = data;

	if (f->terminal) { /* lines: Parquet is not written to one */
		f->size += n;
		return fl_grid_write(f->fd, data, n);
	}

	for (size_t left = n; left;) {
		ssize_t done = write(f->fd, p, left);

		if (done < 0 && errno != EINTR)
			return -errno;
		done = FL_MAX(done, (ssize_t)0);
		f->size += (uint64_t)done;
		p += done;
		left -= (size_t)done;
		if (left && *f->c->stop)
			return fl_fail(-EINTR, "stopped before everything was written");
	}
	f->crc = fl_crc32c(f->crc, data, n);
	return 0;
}

void fl_convert_file_free(struct fl_convert_file **f)
{
	if (!*f)
		return;
	fl_parquet_writer_free(&(*f)->parquet);
	fl_gz_free(&(*f)->gz);
	fl_buf_free(&(*f)->text);
	fl_buf_free(&(*f)->packed);
	fl_closep(&(*f)->fd);
	free(*f);
	*f = NULL;
}

/* ---- lines ---- */

static int drain(struct fl_convert_file *f, bool end)
{
	const struct fl_buf *out = &f->text;
	int r = 0;

	if (f->gz) {
		fl_buf_reset(&f->packed);
		r = fl_gz_add(f->gz, f->text.data, f->text.len, end, &f->packed);
		out = &f->packed;
	}
	if (!r && out->len)
		r = to_fd(f, out->data, out->len);
	fl_buf_reset(&f->text);
	return r;
}

/* A value of a flow log has no spaces. Others' tables may: then they are written as AWS writes tags. */
static int put_escaped(struct fl_buf *out, struct fl_str s)
{
	int r = 0;

	for (size_t i = 0; !r && i < s.n; i++)
		r = (unsigned char)s.p[i] <= ' ' ? fl_buf_printf(out, "%%%02X", (unsigned char)s.p[i])
						 : fl_buf_add(out, &s.p[i], 1);
	return r;
}

static int put_quoted(struct fl_buf *out, struct fl_str s)
{
	int r = fl_buf_add(out, "\"", 1);

	for (size_t i = 0; !r && i < s.n; i++)
		r = fl_buf_add(out, s.p[i] == '"' ? "\"\"" : &s.p[i], s.p[i] == '"' ? 2 : 1);
	return r ? r : fl_buf_add(out, "\"", 1);
}

static bool has_any(struct fl_str s, enum fl_convert_form form)
{
	for (size_t i = 0; i < s.n; i++)
		if (form == FL_CONVERT_CSV ? strchr(",\"\r\n", s.p[i]) != NULL : (unsigned char)s.p[i] <= ' ')
			return true;
	return false;
}

static int put_text(struct fl_buf *out, struct fl_str s, enum fl_convert_form form)
{
	if (!has_any(s, form))
		return fl_buf_add(out, s.p, s.n);
	return form == FL_CONVERT_CSV ? put_quoted(out, s) : put_escaped(out, s);
}

static int put_header(struct fl_convert_file *f)
{
	const struct fl_parquet_conf *p = &f->c->parquet;
	int r = 0;

	if (f->c->form == FL_CONVERT_JSON)
		return 0;
	for (size_t i = 0; !r && i < p->n_columns; i++) {
		const char *title = fl_column_title(&p->columns[i]);

		if (i)
			r = fl_buf_add(&f->text, f->c->form == FL_CONVERT_CSV ? "," : " ", 1);
		if (!r)
			r = put_text(&f->text, (struct fl_str){title, strlen(title)}, f->c->form);
	}
	return r ? r : fl_buf_add(&f->text, "\n", 1);
}

static int put_value(struct fl_convert_file *f, const struct fl_column *c, uint32_t row)
{
	if (c->def.type != FL_COLUMN_TEXT || fl_column_is_null(c, row))
		return fl_column_print(c, row, &f->text);
	return put_text(&f->text, c->text[row], f->c->form);
}

static void put_json_value(struct fl_json *j, const struct fl_column *c, uint32_t row)
{
	char text[FL_ADDR_TEXT_MAX];

	if (fl_column_is_null(c, row))
		fl_json_null(j);
	else if (c->def.type == FL_COLUMN_U64)
		fl_json_u64(j, c->u64[row]);
	else if (c->def.type == FL_COLUMN_TEXT)
		fl_json_strn(j, c->text[row].p, c->text[row].n);
	else if (c->def.type == FL_COLUMN_CODE)
		fl_json_str(j, c->def.codes[c->code[row]]);
	else
		fl_json_strn(j, text,
			     (size_t)(fl_addr_print(text, &c->addr[row], c->v6[row / 64] >> (row % 64) & 1) - text));
}

static int put_line(struct fl_convert_file *f, const struct fl_batch *b, uint32_t row)
{
	size_t n = f->c->parquet.n_columns;
	struct fl_json j = FL_JSON(&f->text);
	int r = 0;

	if (f->c->form == FL_CONVERT_JSON) {
		fl_json_object(&j);
		for (size_t i = 0; i < n; i++) {
			fl_json_key(&j, fl_column_title(&b->column[i].def));
			put_json_value(&j, &b->column[i], row);
		}
		fl_json_end_object(&j);
		r = fl_json_done(&j);
	}
	for (size_t i = 0; !r && i < n && f->c->form != FL_CONVERT_JSON; i++) {
		if (i)
			r = fl_buf_add(&f->text, f->c->form == FL_CONVERT_CSV ? "," : " ", 1);
		if (!r)
			r = put_value(f, &b->column[i], row);
	}
	return r ? r : fl_buf_add(&f->text, "\n", 1);
}

/* ---- both ---- */

int fl_convert_file_new(struct fl_convert_file **ret, const struct fl_convert *c, int fd)
{
	struct fl_convert_file *f FL_CLEANUP(fl_convert_file_free) = calloc(1, sizeof *f);
	int r = 0;

	if (!f) {
		fl_closep(&fd);
		return -ENOMEM;
	}
	f->c = c;
	f->fd = fd;
	f->terminal = isatty(fd);
	f->text = f->packed = FL_BUF(LINE_MAX_BYTES);
	if (c->form == FL_CONVERT_PARQUET)
		r = fl_parquet_writer_new(&f->parquet, &c->parquet, to_fd, f);
	else
		r = put_header(f);
	if (!r && c->form != FL_CONVERT_PARQUET && c->parquet.codec == FL_CODEC_GZIP)
		r = fl_gz_new(&f->gz);
	if (r)
		return r;
	*ret = f;
	f = NULL;
	return 0;
}

int fl_convert_file_write(struct fl_convert_file *f, const struct fl_batch *b)
{
	int r = 0;

	if (f->parquet)
		return fl_parquet_write(f->parquet, b);
	for (uint32_t row = 0; !r && row < b->n; row++) {
		r = put_line(f, b, row);
		if (!r && f->text.len >= STEP)
			r = drain(f, false);
	}
	return r;
}

int fl_convert_file_finish(struct fl_convert_file *f)
{
	int r = f->parquet ? fl_parquet_finish(f->parquet) : drain(f, true);

	if (!r && close(f->fd) && errno != EINTR)
		r = fl_fail(-errno, "%m");
	f->fd = -1;
	return r;
}

uint64_t fl_convert_file_size(const struct fl_convert_file *f)
{
	return f->size;
}

uint32_t fl_convert_file_crc(const struct fl_convert_file *f)
{
	return f->crc;
}
