/* SPDX-License-Identifier: Apache-2.0 */
#include "query/table.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/error.h"

#define INLINE_MAX 12 /* longest text that a string of a vector holds itself */
#define FAULTS_MAX (64u << 10)

static pthread_mutex_t runs_lock = PTHREAD_MUTEX_INITIALIZER;

int fl_query_run_sql(const struct fl_duckdb *d, fl_duck connection, const char *sql)
{
	struct fl_duck_result result = {0};
	int r = d->query(connection, sql, &result) ? fl_fail(-EINVAL, "%s", d->result_error(&result)) : 0;

	d->destroy_result(&result);
	return r;
}

/* ---- the sources ---- */

static void add_report(struct fl_query_table *t, struct fl_scan *scan)
{
	struct fl_scan_report r;

	fl_scan_report(scan, &r);
	t->report.files += r.files;
	t->report.files_pruned += r.files_pruned;
	t->report.bytes += r.bytes;
	t->report.row_groups_pruned += r.row_groups_pruned;
	t->report.row_groups_bloom += r.row_groups_bloom;
	t->report.rows_pruned += r.rows_pruned;
	t->report.records += r.records;
	t->report.malformed += r.malformed;
	t->report.bad_values += r.bad_values;
	t->report.damaged_files += r.damaged_files;
	t->report.verdicts_observed |= r.verdicts_observed;
	for (size_t i = 0; i < fl_scan_fault_count(scan) && t->n_faults < FL_SCAN_FAULTS; i++, t->n_faults++)
		if (!fl_buf_adds(&t->faults, fl_scan_fault(scan, i)))
			fl_buf_add(&t->faults, "\n", 1);
}

void fl_query_table_report(struct fl_query_table *t, struct fl_scan *scan)
{
	pthread_mutex_lock(&runs_lock);
	add_report(t, scan);
	pthread_mutex_unlock(&runs_lock);
}

int fl_query_table_type(const struct fl_column_def *d)
{
	if (d->own == FL_OWN_PROVISIONAL)
		return FL_DUCK_BOOLEAN;
	if (d->type != FL_COLUMN_U64)
		return FL_DUCK_VARCHAR;
	return d->field && d->field->type == FL_TYPE_INT32 ? FL_DUCK_INTEGER : FL_DUCK_BIGINT;
}

/* Names that differ in case alone are one to SQL. */
static size_t find_column(const struct fl_query_table *t, const char *name)
{
	size_t i = 0;

	while (i < t->n_columns && strcasecmp(t->name[i], name) != 0)
		i++;
	return i;
}

/* Column i's name, with a number behind it where another has it: fields that are published keep theirs. */
static int name_column(struct fl_query_table *t, size_t i, bool numbered)
{
	const struct fl_column_def *d = &t->column[i];
	size_t n = strlen(d->name) + 1, most = n + sizeof "_4294967295";
	char *name = malloc(most + n);

	if (!name)
		return -ENOMEM;
	memcpy(name, d->name, n);
	for (unsigned k = 1; numbered && find_column(t, name) < t->n_columns; k++)
		snprintf(name, most, "%s_%u", d->name, k);
	if (!d->field && !d->own) /* else of the scan, which may end earlier */
		t->column[i].name = memcpy(name + most, d->name, n);
	free(t->name[i]);
	t->name[i] = name;
	return 0;
}

static int keep_column(struct fl_query_table *t, const struct fl_column_def *d)
{
	size_t i = t->n_columns, twin = find_column(t, d->name);
	bool published = d->field || d->own;
	int r;

	if (i == FL_BATCH_COLUMNS)
		return fl_fail(-E2BIG, "the sources have more than %u columns", FL_BATCH_COLUMNS);
	t->column[i] = *d;
	r = name_column(t, i, !published);
	if (!r && published && twin < i)
		r = name_column(t, twin, true);
	t->n_columns += !r;
	return r;
}

/* No source has a record: statements about the fields that most logs have are answered with no row. */
static int keep_default(struct fl_query_table *t)
{
	int r = 0;

	for (unsigned i = 0; !r && i < fl_field_count(FL_LOG_VPC); i++) {
		const struct fl_field *f = fl_field_at(FL_LOG_VPC, i);
		struct fl_column_def d;

		if (f->in_default && fl_column_find(f->column, &d))
			r = keep_column(t, &d);
	}
	return r;
}

static bool any_of_records(const struct fl_column_def *columns, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (columns[i].own == FL_OWN_NONE)
			return true;
	return false;
}

static int keep_columns(struct fl_query_table *t, const struct fl_column_def *columns, size_t n)
{
	int r = any_of_records(columns, n) ? 0 : keep_default(t);

	for (size_t i = 0; !r && i < n; i++)
		r = keep_column(t, &columns[i]);
	return r;
}

static int look(struct fl_query_table *t)
{
	const struct fl_column_def *columns;
	size_t n = 0;
	int r;

	t->once = fl_scan_once(t->conf);
	t->first_filter = t->once ? NULL : t->filter;
	r = fl_scan_open(&t->first, t->conf, t->first_filter);
	if (!r) {
		struct fl_scan_report report;

		fl_scan_report(t->first, &report);
		t->left_out = report.files_pruned || report.directories_pruned;
		r = fl_scan_columns(t->first, &columns, &n);
	}
	if (!r && t->first_filter &&
	    !any_of_records(columns, n)) { /* everything is passed over, and nothing was looked at */
		struct fl_scan *whole FL_CLEANUP(fl_scan_close) = NULL;

		r = fl_scan_open(&whole, t->conf, NULL);
		if (!r)
			r = fl_scan_columns(whole, &columns, &n);
		return r ? r : keep_columns(t, columns, n);
	}
	return r ? r : keep_columns(t, columns, n);
}

static void on_bind(fl_duck info)
{
	const struct fl_duckdb *d = fl_duckdb_loaded();
	const struct fl_query_table *t = d->bind_get_extra_info(info);

	for (size_t i = 0; i < t->n_columns; i++) {
		fl_duck type = d->create_logical_type(fl_query_table_type(&t->column[i]));

		d->bind_add_result_column(info, t->name[i], type);
		d->destroy_logical_type(&type);
	}
}

/* ---- init: which columns are wanted ---- */

struct run {
	struct fl_query_table *table;
	struct fl_scan *scan;
	uint32_t n;                   /* columns of the chunk */
	int16_t at[FL_BATCH_COLUMNS]; /* where a batch has them; -1: nothing is to be filled */
};

static void free_run(void *data)
{
	struct run *run = data;

	if (run->scan)
		fl_query_table_report(run->table, run->scan);
	fl_scan_close(&run->scan);
	free(run);
}

/* A statement may name the view twice, or be carried out twice: each run has a scan of its own. */
int fl_query_table_scan(struct fl_query_table *t, struct fl_scan **ret)
{
	pthread_mutex_lock(&runs_lock);
	*ret = NULL;
	if (t->first && (t->once || t->first_filter == t->filter)) {
		*ret = t->first;
		t->first = NULL;
	}
	pthread_mutex_unlock(&runs_lock);
	if (*ret)
		return 0;
	return t->once ? fl_fail(-ESPIPE,
				 "%s can be read only once, and is to be read again here; name a file, or have "
				 "one SELECT read the view flows",
				 t->once)
		       : fl_scan_open(ret, t->conf, t->filter);
}

static void on_init(fl_duck info)
{
	const struct fl_duckdb *d = fl_duckdb_loaded();
	struct fl_query_table *t = d->init_get_extra_info(info);
	struct fl_column_def want[FL_BATCH_COLUMNS];
	struct run *run = calloc(1, sizeof *run);
	size_t n = 0;
	int r = run ? 0 : -ENOMEM;

	if (!r) {
		run->table = t;
		run->n = (uint32_t)FL_MIN(d->init_get_column_count(info), (idx_t)FL_BATCH_COLUMNS);
		for (uint32_t i = 0; i < run->n; i++) {
			idx_t column = d->init_get_column_index(info, i);

			run->at[i] = -1; /* a row's number, when only their count is asked for */
			if (column >= t->n_columns)
				continue;
			run->at[i] = (int16_t)n;
			want[n++] = t->column[column];
		}
		r = fl_query_table_scan(t, &run->scan);
	}
	if (!r)
		r = fl_scan_select(run->scan, want, n, t->filter);
	if (r) {
		d->init_set_error(info, fl_error_text(r));
		if (run)
			free_run(run);
		return;
	}
	d->init_set_max_threads(info, fl_scan_threads(run->scan));
	d->init_set_init_data(info, run, free_run);
}

/* ---- the rows ---- */

struct local {
	struct fl_scan_reader *reader;
};

static void free_local(void *data)
{
	struct local *l = data;

	fl_scan_reader_free(&l->reader);
	free(l);
}

static void on_local_init(fl_duck info)
{
	const struct fl_duckdb *d = fl_duckdb_loaded();
	struct local *l = calloc(1, sizeof *l);

	if (l)
		d->init_set_init_data(info, l, free_local);
	else
		d->init_set_error(info, "out of memory");
}

static void fill_nulls(const struct fl_duckdb *d, const struct fl_column *c, uint32_t n, fl_duck vector)
{
	uint64_t *validity;

	if (!c->any_null)
		return;
	d->vector_ensure_validity_writable(vector);
	validity = d->vector_get_validity(vector);
	for (uint32_t w = 0; w * 64 < n; w++)
		validity[w] = ~c->null[w];
}

void fl_query_set_text(fl_duck vector, void *data, uint32_t row, const char *p, size_t n)
{
	struct fl_duck_string *at = data;

	if (n > INLINE_MAX) {
		fl_duckdb_loaded()->vector_assign_string_element_len(vector, row, p, n);
		return;
	}
	at[row] = (struct fl_duck_string){.length = (uint32_t)n};
	memcpy((char *)&at[row] + offsetof(struct fl_duck_string, prefix), p, n);
}

void fl_query_set_null(fl_duck vector, uint32_t row)
{
	const struct fl_duckdb *d = fl_duckdb_loaded();

	d->vector_ensure_validity_writable(vector);
	d->vector_get_validity(vector)[row / 64] &= ~(UINT64_C(1) << (row % 64));
}

static void fill_texts(const struct fl_duckdb *d, const struct fl_column *c, uint32_t n, fl_duck vector)
{
	struct fl_duck_string *at = d->vector_get_data(vector);
	char text[FL_ADDR_TEXT_MAX];

	for (uint32_t i = 0; i < n; i++) {
		if (fl_column_is_null(c, i))
			continue;
		switch (c->def.type) {
		case FL_COLUMN_ADDR: {
			const char *end = fl_addr_print(text, &c->addr[i], c->v6 && (c->v6[i / 64] >> (i % 64) & 1));

			fl_query_set_text(vector, at, i, text, (size_t)(end - text));
			break;
		}
		case FL_COLUMN_CODE: {
			const char *name = c->def.codes[c->code[i]];

			fl_query_set_text(vector, at, i, name, strlen(name));
			break;
		}
		default:
			fl_query_set_text(vector, at, i, c->text[i].p, c->text[i].n);
		}
	}
}

static void fill_numbers(const struct fl_duckdb *d, const struct fl_column *c, uint32_t n, fl_duck vector)
{
	void *data = d->vector_get_data(vector);

	switch (fl_query_table_type(&c->def)) {
	case FL_DUCK_BOOLEAN:
		for (uint32_t i = 0; i < n; i++)
			((bool *)data)[i] = c->u64[i] != 0;
		break;
	case FL_DUCK_INTEGER:
		for (uint32_t i = 0; i < n; i++)
			((int32_t *)data)[i] = (int32_t)c->u64[i];
		break;
	default:
		memcpy(data, c->u64, n * sizeof *c->u64);
	}
}

static void on_rows(fl_duck info, fl_duck chunk)
{
	const struct fl_duckdb *d = fl_duckdb_loaded();
	struct run *run = d->function_get_init_data(info);
	struct local *l = d->function_get_local_init_data(info);
	const struct fl_batch *b = NULL;
	int r = l->reader ? 0 : fl_scan_reader_new(&l->reader, run->scan);

	if (!r)
		r = fl_scan_next(l->reader, &b);
	if (r < 0)
		d->function_set_error(info, fl_error_text(r));
	if (r <= 0 || !b) {
		d->data_chunk_set_size(chunk, 0);
		return;
	}
	for (uint32_t i = 0; i < run->n; i++) {
		fl_duck vector = d->data_chunk_get_vector(chunk, i);
		const struct fl_column *c = run->at[i] < 0 ? NULL : &b->column[run->at[i]];

		if (!c)
			continue;
		if (c->def.type == FL_COLUMN_U64)
			fill_numbers(d, c, b->n, vector);
		else
			fill_texts(d, c, b->n, vector);
		fill_nulls(d, c, b->n, vector);
	}
	d->data_chunk_set_size(chunk, b->n);
}

/* ---- registration ---- */

int fl_query_function_register(const struct fl_duckdb *d, fl_duck connection, const struct fl_query_function *f)
{
	fl_duck made = d->create_table_function();
	int r;

	if (!made)
		return -ENOMEM;
	d->table_function_set_name(made, f->name);
	d->table_function_set_extra_info(made, f->extra, NULL);
	d->table_function_set_bind(made, f->bind);
	d->table_function_set_init(made, f->init);
	if (f->local_init)
		d->table_function_set_local_init(made, f->local_init);
	d->table_function_set_function(made, f->rows);
	d->table_function_supports_projection_pushdown(made, true);
	r = d->register_table_function(connection, made) ? fl_fail(-EIO, "DuckDB takes no table function %s", f->name)
							 : 0;
	d->destroy_table_function(&made);
	return r;
}

static bool has_column(const struct fl_query_table *t, const char *name)
{
	for (size_t i = 0; i < t->n_columns; i++)
		if (!strcmp(t->name[i], name))
			return true;
	return false;
}

/* A name that no source has is of a query around the condition, or the engine's to complain of. */
const struct fl_filter *fl_query_table_usable(const struct fl_query_table *t, const struct fl_filter *filter)
{
	const char *name[FL_BATCH_COLUMNS];
	size_t n = filter ? fl_filter_columns(filter, name) : 0;

	for (size_t i = 0; i < n; i++)
		if (!has_column(t, name[i]))
			return NULL;
	return filter;
}

static int make_views(const struct fl_query_table *t, fl_duck connection)
{
	/* Where a record is from can be asked of flowlog_scan(); SELECT * shows the record. */
	int r = fl_query_run_sql(t->d, connection,
				 "CREATE OR REPLACE VIEW flows AS SELECT * EXCLUDE (source) FROM flowlog_scan()");

	/* The name of AWS's guide, with the partition column of its table. */
	if (!r && has_column(t, "start") && !has_column(t, "date"))
		r = fl_query_run_sql(t->d, connection,
				     "CREATE OR REPLACE VIEW vpc_flow_logs AS SELECT *, "
				     "CAST(make_timestamp(start * 1000000) AS DATE) AS date FROM flows");
	return r;
}

int fl_query_table_register(struct fl_query_table *t, fl_duck connection)
{
	int r;

	t->faults.max = FAULTS_MAX;
	r = look(t);
	t->filter = fl_query_table_usable(t, t->filter);
	if (!r)
		r = fl_query_function_register(t->d, connection,
					       &(struct fl_query_function){.name = "flowlog_scan",
									   .extra = t,
									   .bind = on_bind,
									   .init = on_init,
									   .local_init = on_local_init,
									   .rows = on_rows});
	return r ? r : make_views(t, connection);
}

/* ---- columns that are named alone ---- */

/* A field as it is published, or NULL. */
static const char *published(const char *name, size_t n)
{
	for (enum fl_log_kind kind = FL_LOG_VPC; kind <= FL_LOG_TGW; kind++)
		for (unsigned i = 0; i < fl_field_count(kind); i++) {
			const char *column = fl_field_at(kind, i)->column;

			if (strlen(column) == n && !strncasecmp(column, name, n))
				return column;
		}
	return NULL;
}

/* Of the columns of files that were left out. */
static int learn_left_out(struct fl_query_table *t, const char *name, size_t n)
{
	struct fl_scan *whole FL_CLEANUP(fl_scan_close) = NULL;
	const struct fl_column_def *columns;
	size_t n_columns = 0, before = t->n_columns;
	int r = t->once ? 0 : fl_scan_open(&whole, t->conf, NULL);

	t->looked_wide = true;
	if (t->once)
		return 0;
	r = r ? r : fl_scan_columns(whole, &columns, &n_columns);
	for (size_t i = 0; i < n_columns && !r; i++)
		if (strlen(columns[i].name) == n && !strncasecmp(columns[i].name, name, n) &&
		    !has_column(t, columns[i].name))
			r = keep_column(t, &columns[i]);
	return r ? r : t->n_columns > before;
}

static int learn(struct fl_query_table *t, const char *name, size_t n)
{
	const char *column = published(name, n);
	struct fl_column_def d;
	int r;

	if (!column)
		return t->left_out && !t->looked_wide ? learn_left_out(t, name, n) : 0;
	if (has_column(t, column))
		return 0;
	fl_column_find(column, &d);
	r = keep_column(t, &d);
	return r ? r : 1;
}

/* What the engine does not know stands in quotes; what it proposes instead comes behind. */
int fl_query_table_learn(struct fl_query_table *t, fl_duck connection, const char *complaint)
{
	const char *stop = strstr(complaint, "Candidate"), *end;
	int r = 0;

	if (!strstr(complaint, "olumn"))
		return 0;
	for (const char *p = complaint; !r && (p = strchr(p, '"')) && (!stop || p < stop) && (end = strchr(p + 1, '"'));
	     p = end + 1)
		r = learn(t, p + 1, (size_t)(end - p) - 1);
	if (r <= 0)
		return r;
	r = make_views(t, connection);
	return r ? r : 1;
}

/* As far as the listing tells. */
static int explain_files(struct fl_query_table *t, struct fl_buf *out)
{
	struct fl_scan *scan FL_CLEANUP(fl_scan_close) = NULL;
	struct fl_scan_report report;
	int r = fl_query_table_scan(t, &scan);

	if (r)
		return r;
	fl_scan_report(scan, &report);
	return fl_buf_printf(
	    out, "\nfiles to read: %llu; files and directories passed over by the time in their names: %llu\n",
	    (unsigned long long)report.files, (unsigned long long)(report.files_pruned + report.directories_pruned));
}

int fl_query_table_explain(struct fl_query_table *t, struct fl_buf *out)
{
	int r = fl_buf_adds(out, "read by Flowlog where: ");

	r = r ? r : t->filter ? fl_filter_print(t->filter, out) : fl_buf_adds(out, "(every record)");
	/* A pipe that was read has nothing more to tell. */
	if (!r && t->once && !t->first)
		r = fl_buf_adds(out, "\n");
	else
		r = r ? r : explain_files(t, out);
	/* A statement that was analysed was carried out. */
	if (r || !t->report.files)
		return r;
	return fl_buf_printf(out,
			     "read: %llu bytes, %llu records; row groups passed over by statistics: %llu, by Bloom "
			     "filters: %llu; rows passed over by indexes of pages: %llu\n",
			     (unsigned long long)t->report.bytes, (unsigned long long)t->report.records,
			     (unsigned long long)t->report.row_groups_pruned,
			     (unsigned long long)t->report.row_groups_bloom, (unsigned long long)t->report.rows_pruned);
}

void fl_query_table_free(struct fl_query_table *t)
{
	fl_scan_close(&t->first);
	for (size_t i = 0; i < t->n_columns; i++)
		free(t->name[i]);
	fl_buf_free(&t->faults);
}
