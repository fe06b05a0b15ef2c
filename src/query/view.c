/* SPDX-License-Identifier: Apache-2.0 */
#include "query/view.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "record/record.h"

#define CHUNK_ROWS 2048 /* what a data chunk holds; a longer one is not checked */
#define SQL_MAX (512u << 20)
#define COLUMNS_MAX 128

/* ---- a store's frames beyond its delivered objects ---- */

struct loader {
	const struct fl_duckdb *d;
	fl_duck appender, chunk, vector[COLUMNS_MAX];
	struct fl_format *format;
	struct fl_encoder *encoder;
	struct fl_store_writer *writer;
	struct fl_buf line;
	idx_t row;
	size_t columns; /* of the format; one more when open_window */
	bool open_window, provisional;
};

static int run_sql(const struct fl_duckdb *d, fl_duck connection, const char *sql)
{
	struct fl_duck_result result = {0};
	int r = d->query(connection, sql, &result) ? fl_fail(-EINVAL, "%s", d->result_error(&result)) : 0;

	d->destroy_result(&result);
	return r;
}

static int flush_chunk(struct loader *l)
{
	int r = 0;

	l->d->data_chunk_set_size(l->chunk, l->row);
	if (l->row && l->d->append_data_chunk(l->appender, l->chunk))
		r = fl_fail(-EIO, "journal rows cannot be handed to DuckDB: %s", l->d->appender_error(l->appender));
	l->d->data_chunk_reset(l->chunk);
	l->row = 0;
	/* A reset may move the vectors' memory. */
	for (size_t i = 0; i < l->columns + l->open_window; i++)
		l->vector[i] = l->d->data_chunk_get_vector(l->chunk, i);
	return r;
}

static void set_null(const struct loader *l, fl_duck vector)
{
	uint64_t *validity;

	l->d->vector_ensure_validity_writable(vector);
	validity = l->d->vector_get_validity(vector);
	validity[l->row / 64] &= ~(UINT64_C(1) << (l->row % 64));
}

/* The record's own text decides, so that a row reads the same before and after delivery. */
static void set_cell(const struct loader *l, size_t column, struct fl_str s)
{
	const struct fl_field *f = fl_format_field(l->format, column);
	int64_t value = 0;

	if (s.n == 1 && *s.p == '-') {
		set_null(l, l->vector[column]);
		return;
	}
	if (f->type == FL_TYPE_TEXT) {
		l->d->vector_assign_string_element_len(l->vector[column], l->row, s.p, s.n);
		return;
	}
	for (size_t i = 0; i < s.n; i++)
		value = value * 10 + (s.p[i] - '0');
	if (f->type == FL_TYPE_INT32)
		((int32_t *)l->d->vector_get_data(l->vector[column]))[l->row] = (int32_t)value;
	else
		((int64_t *)l->d->vector_get_data(l->vector[column]))[l->row] = value;
}

static int load_record(void *ctx, const struct fl_frame *frame, const struct fl_record *record)
{
	struct loader *l = ctx;
	struct fl_values values;
	int r;

	fl_buf_reset(&l->line);
	r = fl_store_writer_record(l->writer, frame, record, &l->line);
	if (r)
		return r;
	if (fl_decode_line(l->format, l->line.data, l->line.len, &values) != FL_LINE_OK)
		return fl_fail(-EPROTO, "a journal record does not fit its flow log's format");
	for (size_t i = 0; i < values.n; i++)
		set_cell(l, i, values.value[i]);
	if (l->open_window)
		((bool *)l->d->vector_get_data(l->vector[l->columns]))[l->row] = l->provisional;
	return ++l->row == CHUNK_ROWS ? flush_chunk(l) : 0;
}

static int load_frames(struct loader *l, struct fl_store *store, struct fl_query_seen *ret_seen,
		       const volatile sig_atomic_t *stop)
{
	struct fl_frame frame;
	int r;

	while ((r = fl_store_next_frame(store, l->open_window, &frame)) != 0) {
		if (*stop)
			return fl_fail(-EINTR, "interrupted");
		if (r < 0 && r != -EBADMSG)
			return r;
		/* After a damaged place the reader goes on with the next segment; a damaged
		 * snapshot it does not pass. */
		if (r == -EBADMSG && !strcmp(ret_seen->damage, fl_error_text(r)))
			break;
		if (r == -EBADMSG)
			snprintf(ret_seen->damage, sizeof ret_seen->damage, "%s", fl_error_text(r));
		if (r < 0 || r == FL_READER_WINDOW_END)
			continue;
		ret_seen->verdicts |= (frame.window.flags & (FL_WINDOW_VERDICTS | FL_WINDOW_POLICY)) != 0;
		l->provisional = frame.window.flags & FL_WINDOW_PROVISIONAL;
		r = fl_store_writer_frame(l->writer, &frame);
		if (r == FL_STORE_OTHER_INTERFACE)
			continue;
		if (!r)
			r = fl_frame_records(&frame, load_record, l);
		if (r)
			return r;
	}
	return flush_chunk(l);
}

static int create_table(const struct loader *l, fl_duck connection, const char *table)
{
	struct fl_buf sql FL_CLEANUP(fl_buf_free) = FL_BUF(SQL_MAX);
	int r = fl_buf_printf(&sql, "CREATE TABLE %s(", table);

	for (size_t i = 0; !r && i < l->columns; i++) {
		r = i ? fl_buf_adds(&sql, ",") : 0;
		r = r ? r : fl_source_column(l->format, i, '"', &sql);
		r = r ? r : fl_buf_printf(&sql, " %s", fl_source_sql_type(fl_format_field(l->format, i)));
	}
	r = r ? r : fl_buf_adds(&sql, l->open_window ? ",provisional BOOLEAN)" : ")");
	return r ? r : run_sql(l->d, connection, fl_buf_cstr(&sql));
}

static int make_chunk(struct loader *l)
{
	static const int ids[] = {
	    [FL_TYPE_INT32] = FL_DUCK_INTEGER, [FL_TYPE_INT64] = FL_DUCK_BIGINT, [FL_TYPE_TEXT] = FL_DUCK_VARCHAR};
	fl_duck types[COLUMNS_MAX];
	size_t n = l->columns + l->open_window;

	for (size_t i = 0; i < n; i++)
		types[i] = l->d->create_logical_type(i < l->columns ? ids[fl_format_field(l->format, i)->type]
								    : FL_DUCK_BOOLEAN);
	l->chunk = l->d->create_data_chunk(types, n);
	for (size_t i = 0; i < n; i++)
		l->d->destroy_logical_type(&types[i]);
	return l->chunk ? flush_chunk(l) : -ENOMEM;
}

static int load_store(const struct fl_duckdb *d, fl_duck connection, struct fl_store *store, const char *table,
		      bool open_window, struct fl_query_seen *ret_seen, const volatile sig_atomic_t *stop)
{
	struct loader l = {.d = d, .line = FL_BUF(FL_RECORD_MAX), .open_window = open_window};
	int r = fl_format_parse(&l.format, fl_format_kind_of_text(fl_store_log(store)->format),
				fl_store_log(store)->format);

	l.columns = r ? 0 : fl_format_len(l.format);
	if (!r && l.columns >= COLUMNS_MAX)
		r = fl_fail(-E2BIG, "a format of %zu fields", l.columns);
	if (!r)
		r = fl_encoder_new(&l.encoder, l.format, FL_OUTPUT_TEXT);
	if (!r)
		r = fl_store_writer_new(&l.writer, store, l.format, l.encoder);
	if (!r)
		r = create_table(&l, connection, table);
	if (!r && d->appender_create(connection, NULL, table, &l.appender))
		r = fl_fail(-EIO, "DuckDB: %s", d->appender_error(l.appender));
	if (!r)
		r = make_chunk(&l);
	if (!r)
		r = load_frames(&l, store, ret_seen, stop);
	if (l.chunk)
		d->destroy_data_chunk(&l.chunk);
	if (!r && d->appender_close(l.appender))
		r = fl_fail(-EIO, "journal rows cannot be handed to DuckDB: %s", d->appender_error(l.appender));
	if (l.appender)
		d->appender_destroy(&l.appender);
	fl_store_writer_free(&l.writer);
	fl_encoder_free(&l.encoder);
	fl_format_free(&l.format);
	fl_buf_free(&l.line);
	return r;
}

/* ---- the view ---- */

static int add_columns(const struct fl_format *format, struct fl_buf *sql)
{
	int r = fl_buf_adds(sql, "columns={");

	for (size_t i = 0; !r && i < fl_format_len(format); i++) {
		r = i ? fl_buf_adds(sql, ",") : 0;
		r = r ? r : fl_source_column(format, i, '\'', sql);
		r = r ? r : fl_buf_printf(sql, ":'%s'", fl_source_sql_type(fl_format_field(format, i)));
	}
	return r ? r : fl_buf_adds(sql, "}");
}

static int add_group(const struct fl_source_group *g, bool open_window, struct fl_buf *sql)
{
	int r = fl_buf_printf(sql, "SELECT *%s FROM read_csv([", open_window ? ",false AS provisional" : "");

	r = r ? r : fl_buf_add(sql, g->files.data, g->files.len);
	r = r ? r
	      : fl_buf_printf(sql,
			      "],auto_detect=false,header=true,delim=' "
			      "',quote='',escape='',nullstr='-',compression='%s',",
			      g->gzip ? "gzip" : "none");
	r = r ? r : add_columns(g->format, sql);
	return r ? r : fl_buf_adds(sql, ")");
}

/* No file and no store: the columns of the default format, and no row. */
static int add_nothing(struct fl_buf *sql)
{
	struct fl_format *format = NULL;
	int r = fl_format_parse(&format, FL_LOG_VPC, "default");

	r = r ? r : fl_buf_adds(sql, "SELECT ");
	for (size_t i = 0; !r && i < fl_format_len(format); i++) {
		r = fl_buf_printf(sql, "%sNULL::%s AS ", i ? "," : "", fl_source_sql_type(fl_format_field(format, i)));
		r = r ? r : fl_source_column(format, i, '"', sql);
	}
	fl_format_free(&format);
	return r ? r : fl_buf_adds(sql, " WHERE false");
}

int fl_query_make_view(const struct fl_duckdb *d, fl_duck connection, const struct fl_sources *s, bool open_window,
		       struct fl_query_seen *ret_seen, const volatile sig_atomic_t *stop)
{
	struct fl_buf sql FL_CLEANUP(fl_buf_free) = FL_BUF(SQL_MAX);
	const char *between = "";
	int r = fl_buf_adds(&sql, "CREATE VIEW flows AS ");

	for (size_t i = 0; !r && i < s->n_groups; i++) {
		if (!s->group[i].n_files)
			continue;
		r = fl_buf_adds(&sql, between);
		r = r ? r : add_group(&s->group[i], open_window, &sql);
		between = " UNION ALL BY NAME ";
	}
	for (size_t i = 0; !r && i < s->n_stores; i++) {
		char table[48];

		snprintf(table, sizeof table, "flowlog_journal_%zu", i);
		r = load_store(d, connection, s->store[i], table, open_window, ret_seen, stop);
		r = r ? r : fl_buf_printf(&sql, "%sSELECT * FROM %s", between, table);
		between = " UNION ALL BY NAME ";
	}
	if (!r && !*between)
		r = add_nothing(&sql);
	return r ? r : run_sql(d, connection, fl_buf_cstr(&sql));
}
