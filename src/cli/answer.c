/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/answer.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/units.h"
#include "flow/flow.h"
#include "record/parquet.h"

#define FLUSH_BYTES (1u << 16)

static void answer_cell(const void *ctx, size_t row, size_t column, struct fl_cell *ret)
{
	fl_answer_cell(ctx, row, column, ret);
}

void fl_rows_of(const struct fl_answer *a, struct fl_rows *ret)
{
	ret->n_columns = fl_answer_columns(a, &ret->column);
	ret->n_rows = fl_answer_rows(a);
	ret->cell = answer_cell;
	ret->ctx = a;
}

/* ---- values ---- */

int fl_cell_exact(const struct fl_cell *c, struct fl_buf *out)
{
	char text[FL_ADDR_TEXT_MAX], *end;

	switch (c->show) {
	case FL_SHOW_ADDR:
		end = fl_addr_print(text, &c->addr, c->v6);
		return fl_buf_add(out, text, (size_t)(end - text));
	case FL_SHOW_TEXT:
		return fl_buf_add(out, c->text.p, c->text.n);
	default:
		return fl_buf_printf(out, "%" PRIu64, c->number);
	}
}

/* For people: units, names, dates. protocol: of the same row, for names of ports. */
static int cell_human(const struct fl_cell *c, const struct fl_cell *protocol, struct fl_buf *out)
{
	const char *name;
	char text[24];

	if (c->null)
		return fl_buf_adds(out, "-");
	switch (c->show) {
	case FL_SHOW_COUNT:
		return c->number < 100000 ? fl_buf_printf(out, "%" PRIu64, c->number)
					  : fl_buf_adds(out, fl_human_count(c->number, text));
	case FL_SHOW_BYTES:
		return fl_buf_adds(out, fl_human_bytes(c->number, text));
	case FL_SHOW_TIME:
		return fl_buf_adds(out, fl_time_rfc3339((int64_t)c->number, text));
	case FL_SHOW_PROTOCOL:
		name = c->number <= UINT8_MAX ? fl_protocol_name((uint8_t)c->number) : NULL;
		return name ? fl_buf_adds(out, name) : fl_buf_printf(out, "%" PRIu64, c->number);
	case FL_SHOW_NUMBER:
		name = protocol && !protocol->null ? fl_service_name((unsigned)protocol->number, c->number) : NULL;
		return fl_buf_printf(out, name ? "%" PRIu64 " %s" : "%" PRIu64, c->number, name);
	default:
		return fl_cell_exact(c, out);
	}
}

static bool is_number(enum fl_show show)
{
	return show == FL_SHOW_COUNT || show == FL_SHOW_BYTES;
}

/* ---- forms ---- */

static int table(const struct fl_rows *rows)
{
	struct fl_buf text FL_CLEANUP(fl_buf_free) = FL_BUF(1 << 20);
	const char *heads[FL_GRID_COLUMNS];
	char upper[FL_GRID_COLUMNS][32];
	size_t protocol = rows->n_columns;
	struct fl_print p;
	int r;

	for (size_t i = 0; i < rows->n_columns; i++) {
		size_t n = 0;

		for (const char *c = rows->column[i].name; *c && n + 1 < sizeof upper[i]; c++)
			upper[i][n++] = *c == '_' ? ' ' : *c >= 'a' && *c <= 'z' ? (char)(*c - 32) : *c;
		upper[i][n] = '\0';
		heads[i] = upper[i];
		if (rows->column[i].show == FL_SHOW_PROTOCOL)
			protocol = i;
	}
	r = fl_print_begin(&p, heads, rows->n_columns);
	for (size_t i = 0; i < rows->n_columns && !r; i++) {
		enum fl_show show = rows->column[i].show;

		p.grid.right[i] = is_number(show);
		p.grid.whole[i] = show == FL_SHOW_ADDR || show == FL_SHOW_TIME;
	}
	for (size_t row = 0; row < rows->n_rows && !r; row++) {
		struct fl_cell proto = {.null = true};

		if (protocol < rows->n_columns)
			rows->cell(rows->ctx, row, protocol, &proto);
		for (size_t i = 0; i < rows->n_columns && !r; i++) {
			struct fl_cell c;

			rows->cell(rows->ctx, row, i, &c);
			fl_buf_reset(&text);
			r = cell_human(&c, &proto, &text);
			r = r ? r : fl_grid_add(&p.grid, text.data, text.len);
		}
	}
	r = r ? r : fl_print_table(&p);
	fl_print_end(&p);
	return r;
}

static int csv_text(struct fl_buf *out, const char *text, size_t n)
{
	int r;

	if (n && !memchr(text, ',', n) && !memchr(text, '"', n) && !memchr(text, '\n', n) && !memchr(text, '\r', n))
		return fl_buf_add(out, text, n);
	r = fl_buf_adds(out, "\"");
	for (size_t i = 0; i < n && !r; i++) {
		r = text[i] == '"' ? fl_buf_adds(out, "\"") : 0;
		r = r ? r : fl_buf_add(out, text + i, 1);
	}
	return r ? r : fl_buf_adds(out, "\"");
}

static int csv_row(const struct fl_rows *rows, size_t row, struct fl_buf *out)
{
	int r = 0;

	for (size_t i = 0; i < rows->n_columns && !r; i++) {
		struct fl_cell c;

		rows->cell(rows->ctx, row, i, &c);
		r = i ? fl_buf_adds(out, ",") : 0;
		if (r || c.null)
			continue;
		r = c.show == FL_SHOW_TEXT ? csv_text(out, c.text.p, c.text.n) : fl_cell_exact(&c, out);
	}
	return r ? r : fl_buf_adds(out, "\n");
}

static int json_row(const struct fl_rows *rows, size_t row, struct fl_buf *out)
{
	struct fl_json j = FL_JSON(out);
	int r;

	fl_json_object(&j);
	for (size_t i = 0; i < rows->n_columns; i++) {
		struct fl_cell c;
		char text[FL_ADDR_TEXT_MAX];

		rows->cell(rows->ctx, row, i, &c);
		fl_json_key(&j, rows->column[i].name);
		if (c.null)
			fl_json_null(&j);
		else if (c.show == FL_SHOW_TEXT)
			fl_json_strn(&j, c.text.p, c.text.n);
		else if (c.show == FL_SHOW_ADDR)
			fl_json_strn(&j, text, (size_t)(fl_addr_print(text, &c.addr, c.v6) - text));
		else
			fl_json_u64(&j, c.number);
	}
	fl_json_end_object(&j);
	r = fl_json_done(&j);
	return r ? r : fl_buf_adds(out, "\n");
}

/* ---- Parquet ---- */

static int to_output(void *ctx, const void *data, size_t n)
{
	int r = fl_write_all(STDOUT_FILENO, data, n);

	(void)ctx;
	return r ? fl_fail(r, "standard output: %s", strerror(-r)) : 0;
}

static void set_cell(struct fl_column *to, uint32_t row, const struct fl_cell *c)
{
	if (c->null) {
		fl_column_set_null(to, row);
	} else if (to->def.type == FL_COLUMN_TEXT) {
		to->text[row] = c->text;
	} else if (to->def.type == FL_COLUMN_ADDR) {
		to->addr[row] = c->addr;
		to->v6[row / 64] |= (uint64_t)c->v6 << (row % 64);
	} else {
		to->u64[row] = FL_MIN(c->number, (uint64_t)INT64_MAX);
	}
}

static int parquet(const struct fl_rows *rows)
{
	struct fl_column_def def[FL_GRID_COLUMNS];
	struct fl_parquet_conf conf = {
	    .columns = def, .n_columns = rows->n_columns, .codec = FL_CODEC_ZSTD, .text_null = true};
	struct fl_parquet_writer *w FL_CLEANUP(fl_parquet_writer_free) = NULL;
	struct fl_batch *b FL_CLEANUP(fl_batch_free) = NULL;
	int r = 0;

	if (isatty(STDOUT_FILENO))
		return fl_fail(-EINVAL, "-o parquet: not to a terminal; write to a file: >answer.parquet");
	for (size_t i = 0; i < rows->n_columns; i++)
		def[i] = (struct fl_column_def){.name = rows->column[i].name,
						.type = rows->column[i].show == FL_SHOW_ADDR   ? FL_COLUMN_ADDR
							: rows->column[i].show == FL_SHOW_TEXT ? FL_COLUMN_TEXT
											       : FL_COLUMN_U64};
	r = fl_batch_new(&b, def, rows->n_columns);
	r = r ? r : fl_parquet_writer_new(&w, &conf, to_output, NULL);
	for (size_t row = 0; row < rows->n_rows && !r; row++) {
		for (size_t i = 0; i < rows->n_columns; i++) {
			struct fl_cell c;

			rows->cell(rows->ctx, row, i, &c);
			set_cell(&b->column[i], b->n, &c);
		}
		if (++b->n == FL_BATCH_ROWS || row + 1 == rows->n_rows) {
			r = fl_parquet_write(w, b);
			fl_batch_clear(b);
		}
	}
	return r ? r : fl_parquet_finish(w);
}

int fl_rows_print(const struct fl_rows *rows, enum fl_answer_form form)
{
	struct fl_print p = {.out = FL_BUF(FLUSH_BYTES * 4)};
	int r = 0;

	if (form == FL_ANSWER_TABLE)
		return table(rows);
	if (form == FL_ANSWER_PARQUET)
		return parquet(rows);
	for (size_t i = 0; i < rows->n_columns && !r && form == FL_ANSWER_CSV; i++)
		r = fl_buf_printf(&p.out, "%s%s", i ? "," : "", rows->column[i].name);
	if (!r && form == FL_ANSWER_CSV)
		r = fl_buf_adds(&p.out, "\n");
	for (size_t row = 0; row < rows->n_rows && !r; row++) {
		r = form == FL_ANSWER_CSV ? csv_row(rows, row, &p.out) : json_row(rows, row, &p.out);
		if (!r && p.out.len > FLUSH_BYTES)
			r = fl_print_flush(&p);
	}
	r = r ? r : fl_print_flush(&p);
	fl_print_end(&p);
	return r;
}

/* ---- series ---- */

#define MINUTE 60u
#define HOUR 3600u
#define DAY 86400u
#define MINUTES_DRAWN (3 * HOUR)
#define HOURS_DRAWN (14 * DAY)
#define BUCKETS_MAX 1000000u
#define BAR_WIDTH 40u
enum series { SERIES_TIME, SERIES_FLOWS, SERIES_BYTES, SERIES_PACKETS, SERIES_REJECTED, SERIES_N };

struct series_row {
	uint64_t v[SERIES_N];
};
struct series_rows {
	struct series_row *row;
	size_t n;
};

static void series_cell(const void *ctx, size_t row, size_t column, struct fl_cell *ret)
{
	static const enum fl_show show[SERIES_N] = {FL_SHOW_TIME, FL_SHOW_COUNT, FL_SHOW_BYTES, FL_SHOW_COUNT,
						    FL_SHOW_COUNT};

	*ret = (struct fl_cell){.show = show[column], .number = ((const struct series_rows *)ctx)->row[row].v[column]};
}

/* Eighths of a block. */
static int bar(struct fl_buf *out, uint64_t v, uint64_t most)
{
	static const char *const part[] = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
	uint64_t eighths = most ? (uint64_t)((double)v / (double)most * (BAR_WIDTH * 8) + 0.5) : 0;
	int r = 0;

	if (v && !eighths)
		eighths = 1;
	for (uint64_t i = 0; i < eighths / 8 && !r; i++)
		r = fl_buf_adds(out, "█");
	return r ? r : fl_buf_adds(out, part[eighths % 8]);
}

static int draw(const struct series_rows *s)
{
	static const char *const heads[] = {"TIME", "FLOWS", "REJECTED", "BYTES", ""};
	static const uint8_t shown[] = {SERIES_TIME, SERIES_FLOWS, SERIES_REJECTED, SERIES_BYTES};
	struct fl_buf text FL_CLEANUP(fl_buf_free) = FL_BUF(4096);
	uint64_t most = 0;
	struct fl_print p;
	int r = fl_print_begin(&p, heads, FL_ARRAY_LEN(heads));

	for (size_t i = 0; i < s->n; i++)
		most = FL_MAX(most, s->row[i].v[SERIES_BYTES]);
	p.grid.right[1] = p.grid.right[2] = p.grid.right[3] = true;
	for (size_t i = 0; i < s->n && !r; i++) {
		for (size_t k = 0; k < FL_ARRAY_LEN(shown) && !r; k++) {
			struct fl_cell c;

			series_cell(s, i, shown[k], &c);
			fl_buf_reset(&text);
			r = cell_human(&c, NULL, &text);
			r = r ? r : fl_grid_add(&p.grid, text.data, text.len);
		}
		fl_buf_reset(&text);
		r = r ? r : bar(&text, s->row[i].v[SERIES_BYTES], most);
		r = r ? r : fl_grid_add(&p.grid, text.data ? text.data : "", text.len);
	}
	r = r ? r : fl_print_table(&p);
	fl_print_end(&p);
	return r;
}

/* The minutes of the answer into buckets; empty ones between them are shown too, as far as they are not too many. */
static int add_up(const struct fl_answer *a, uint64_t bucket, struct series_rows *ret)
{
	size_t rows = fl_answer_rows(a), cap = 0;
	struct fl_cell c;

	for (size_t i = 0; i < rows; i++) {
		uint64_t at;
		size_t missing;

		fl_answer_cell(a, i, SERIES_TIME, &c);
		if (c.null)
			continue;
		at = c.number / bucket * bucket;
		missing = ret->n ? (size_t)((at - ret->row[ret->n - 1].v[SERIES_TIME]) / bucket) : 1;
		if (ret->n + missing > BUCKETS_MAX)
			missing = missing ? 1 : 0;
		while (missing--) {
			if (ret->n == cap) {
				struct series_row *grown;

				cap = cap ? cap * 2 : 256;
				grown = realloc(ret->row, cap * sizeof *grown);
				if (!grown)
					return -ENOMEM;
				ret->row = grown;
			}
			ret->row[ret->n] = (struct series_row){{at - missing * bucket}};
			ret->n++;
		}
		for (size_t k = SERIES_FLOWS; k < SERIES_N; k++) {
			fl_answer_cell(a, i, k, &c);
			ret->row[ret->n - 1].v[k] += c.number;
		}
	}
	return 0;
}

int fl_series_print(const struct fl_answer *a, enum fl_answer_form form, uint64_t bucket)
{
	struct series_rows s = {0};
	struct fl_rows rows = {.n_columns = SERIES_N, .cell = series_cell, .ctx = &s};
	size_t n = fl_answer_rows(a);
	struct fl_cell first, last;
	int r;

	if (!bucket && n) {
		fl_answer_cell(a, 0, SERIES_TIME, &first);
		fl_answer_cell(a, n - 1, SERIES_TIME, &last);
		bucket = last.number - first.number < MINUTES_DRAWN ? MINUTE
			 : last.number - first.number < HOURS_DRAWN ? HOUR
								    : DAY;
	}
	r = add_up(a, bucket ? bucket : MINUTE, &s);
	fl_answer_columns(a, &rows.column);
	rows.n_rows = s.n;
	if (!r)
		r = form == FL_ANSWER_TABLE ? draw(&s) : fl_rows_print(&rows, form);
	free(s.row);
	return r;
}
