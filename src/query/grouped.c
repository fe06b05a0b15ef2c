/* SPDX-License-Identifier: Apache-2.0 */
#include "query/grouped.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/file.h"
#include "query/pass.h"

#define ROWS 2048u /* of a chunk */

/* ---- columns ---- */

static int type_of(const struct fl_grouped *g, size_t column)
{
	const struct fl_push *p = g->push;

	if (column < p->n_keys)
		return fl_query_table_type(&g->table->column[p->key[column]]);
	switch (p->measure[column - p->n_keys].kind) {
	case FL_MEASURE_SUM:
		return FL_DUCK_HUGEINT;
	case FL_MEASURE_MIN:
	case FL_MEASURE_MAX:
		return fl_query_table_type(&g->table->column[p->measure[column - p->n_keys].column]);
	default:
		return FL_DUCK_BIGINT;
	}
}

static void on_bind(fl_duck info)
{
	const struct fl_duckdb *d = fl_duckdb_loaded();
	const struct fl_grouped *g = d->bind_get_extra_info(info);
	const struct fl_push *p = g->push;

	if (!p) {
		d->bind_set_error(info, "flowlog_groups() is Flowlog's own: ask the view flows");
		return;
	}
	for (size_t i = 0; i < p->n_keys + p->n_measures; i++) {
		fl_duck type = d->create_logical_type(type_of(g, i));
		char name[FL_PUSH_NAME_MAX];

		fl_push_name(name, i - p->n_keys);
		d->bind_add_result_column(info, i < p->n_keys ? g->table->name[p->key[i]] : name, type);
		d->destroy_logical_type(&type);
	}
}

/* ---- from records to groups ---- */

struct groups {
	const struct fl_grouped *of;
	struct fl_groups *made;
	size_t position[FL_BATCH_COLUMNS]; /* of the table's columns in batches */
	_Atomic(size_t) next;              /* row that nobody has taken */
	uint32_t n;                        /* columns of the chunk */
	size_t at[FL_GROUP_KEYS + FL_GROUP_MEASURES];
};

static void free_groups(void *data)
{
	struct groups *g = data;

	fl_groups_free(&g->made);
	free(g);
}

static void vector_of(const struct fl_batch *b, const struct groups *g, size_t column, struct fl_group_vector *ret)
{
	const struct fl_column *c = &b->column[g->position[column]];

	*ret = (struct fl_group_vector){.null = c->any_null ? c->null : NULL, .v6 = c->v6};
	switch (c->def.type) {
	case FL_COLUMN_U64:
		ret->value = c->u64;
		break;
	case FL_COLUMN_ADDR:
		ret->value = c->addr;
		break;
	case FL_COLUMN_CODE:
		ret->value = c->code;
		break;
	default:
		ret->value = c->text;
	}
}

static int feed(void *ctx, unsigned thread, const struct fl_scan_reader *reader, const struct fl_batch *b)
{
	struct groups *g = ctx;
	const struct fl_push *p = g->of->push;
	struct fl_group_vector key[FL_GROUP_KEYS], measure[FL_GROUP_MEASURES];

	(void)reader;
	for (size_t i = 0; i < p->n_keys; i++)
		vector_of(b, g, p->key[i], &key[i]);
	for (size_t i = 0; i < p->n_measures; i++) {
		measure[i] = (struct fl_group_vector){0};
		if (p->measure[i].column >= 0)
			vector_of(b, g, (size_t)p->measure[i].column, &measure[i]);
	}
	return fl_group_add(fl_groups_worker(g->made, thread), b->n, key, measure);
}

static size_t wanted(struct groups *g, struct fl_column_def want[FL_BATCH_COLUMNS])
{
	const struct fl_push *p = g->of->push;
	const struct fl_query_table *t = g->of->table;
	size_t n = 0;

	for (size_t i = 0; i < t->n_columns; i++) {
		bool is = false;

		for (size_t k = 0; k < p->n_keys; k++)
			is |= p->key[k] == i;
		for (size_t m = 0; m < p->n_measures; m++)
			is |= p->measure[m].column == (int)i;
		if (!is)
			continue;
		g->position[i] = n;
		want[n++] = t->column[i];
	}
	return n;
}

static void lay_out(const struct fl_grouped *of, struct fl_group_conf *ret)
{
	const struct fl_push *p = of->push;

	ret->n_keys = p->n_keys;
	for (size_t i = 0; i < p->n_keys; i++)
		fl_push_type(&of->table->column[p->key[i]], &ret->key[i]);
	ret->n_measures = p->n_measures;
	for (size_t i = 0; i < p->n_measures; i++) {
		ret->measure[i].kind = p->measure[i].kind;
		if (p->measure[i].kind == FL_MEASURE_DISTINCT)
			fl_push_type(&of->table->column[p->measure[i].column], &ret->measure[i].type);
	}
}

/* A sum that stands at the end of its numbers may be more. */
static bool sums_are_whole(const struct groups *g)
{
	const struct fl_push *p = g->of->push;

	for (size_t m = 0; m < p->n_measures; m++)
		for (size_t row = 0; p->measure[m].kind == FL_MEASURE_SUM && row < fl_groups_rows(g->made); row++)
			if (fl_groups_measures(g->made, row)[m] >= UINT64_MAX - 1)
				return false;
	return true;
}

static int make(struct groups *g)
{
	struct fl_query_table *t = g->of->table;
	struct fl_scan *scan FL_CLEANUP(fl_scan_close) = NULL;
	struct fl_column_def want[FL_BATCH_COLUMNS];
	struct fl_group_conf conf = {
	    .order = FL_GROUP_UNORDERED, .memory = g->of->memory, .tmp = fl_temp_dir(), .ctx = g};
	size_t n = wanted(g, want);
	int r = fl_query_table_scan(t, &scan);

	r = r ? r : fl_scan_select(scan, want, n, t->filter);
	if (r)
		return r;
	conf.threads = FL_MIN(fl_scan_threads(scan), (unsigned)FL_GROUP_THREADS);
	lay_out(g->of, &conf);
	r = fl_groups_new(&g->made, &conf);
	r = r ? r : fl_pass_batches(scan, conf.threads, feed, g);
	r = r ? r : fl_groups_finish(g->made);
	if (!r && !sums_are_whole(g))
		r = fl_fail(-E2BIG, "a sum is more than 64 bits hold");
	if (r != -E2BIG)
		fl_query_table_report(t, scan);
	return r;
}

static void on_init(fl_duck info)
{
	const struct fl_duckdb *d = fl_duckdb_loaded();
	struct fl_grouped *of = d->init_get_extra_info(info);
	struct groups *g = calloc(1, sizeof *g);
	int r = g ? 0 : -ENOMEM;

	if (!r) {
		g->of = of;
		g->n = (uint32_t)FL_MIN(d->init_get_column_count(info), (idx_t)FL_ARRAY_LEN(g->at));
		for (uint32_t i = 0; i < g->n; i++)
			g->at[i] = d->init_get_column_index(info, i);
		r = make(g);
	}
	if (r) {
		of->too_large = r == -E2BIG;
		d->init_set_error(info, fl_error_text(r));
		if (g)
			free_groups(g);
		return;
	}
	d->init_set_max_threads(info, fl_groups_conf(g->made)->threads);
	d->init_set_init_data(info, g, free_groups);
}

/* ---- the rows ---- */

static void fill_key(const struct groups *g, size_t key, size_t from, uint32_t n, fl_duck vector)
{
	const struct fl_duckdb *d = fl_duckdb_loaded();
	const struct fl_column_def *def = &g->of->table->column[g->of->push->key[key]];
	bool narrow = fl_query_table_type(def) == FL_DUCK_INTEGER;
	void *data = d->vector_get_data(vector);
	char text[FL_ADDR_TEXT_MAX];

	for (uint32_t i = 0; i < n; i++) {
		struct fl_group_value v;

		fl_groups_key(g->made, from + i, key, &v);
		if (v.null)
			fl_query_set_null(vector, i);
		else if (def->type == FL_COLUMN_U64 && narrow)
			((int32_t *)data)[i] = (int32_t)v.u64;
		else if (def->type == FL_COLUMN_U64)
			((uint64_t *)data)[i] = v.u64;
		else if (def->type == FL_COLUMN_ADDR)
			fl_query_set_text(vector, data, i, text, (size_t)(fl_addr_print(text, &v.addr, v.v6) - text));
		else if (def->type == FL_COLUMN_CODE)
			fl_query_set_text(vector, data, i, def->codes[v.code], strlen(def->codes[v.code]));
		else
			fl_query_set_text(vector, data, i, v.text.p, v.text.n);
	}
}

/* The measure that counts the values of another. */
static size_t count_of(const struct fl_push *p, int column)
{
	for (size_t i = 0; i < p->n_measures; i++)
		if (p->measure[i].kind == FL_MEASURE_COUNT && p->measure[i].column == column)
			return i;
	return p->n_measures;
}

static void fill_measure(const struct groups *g, size_t measure, size_t from, uint32_t n, fl_duck vector)
{
	const struct fl_push *p = g->of->push;
	const struct fl_push_measure *m = &p->measure[measure];
	size_t count = count_of(p, m->column);
	bool narrow = type_of(g->of, p->n_keys + measure) == FL_DUCK_INTEGER;
	void *data = fl_duckdb_loaded()->vector_get_data(vector);

	for (uint32_t i = 0; i < n; i++) {
		const uint64_t *all = fl_groups_measures(g->made, from + i);
		uint64_t v = all[measure];

		if (m->kind == FL_MEASURE_MIN ? v == UINT64_MAX
					      : (m->kind == FL_MEASURE_SUM || m->kind == FL_MEASURE_MAX) && !all[count])
			fl_query_set_null(vector, i);
		else if (m->kind == FL_MEASURE_SUM)
			((struct fl_duck_hugeint *)data)[i] = (struct fl_duck_hugeint){.lower = v};
		else if (narrow)
			((int32_t *)data)[i] = (int32_t)v;
		else
			((uint64_t *)data)[i] = v;
	}
}

static void on_rows(fl_duck info, fl_duck chunk)
{
	const struct fl_duckdb *d = fl_duckdb_loaded();
	struct groups *g = d->function_get_init_data(info);
	size_t rows = fl_groups_rows(g->made), from = atomic_fetch_add(&g->next, ROWS);
	uint32_t n = from < rows ? (uint32_t)FL_MIN(rows - from, (size_t)ROWS) : 0;
	size_t keys = g->of->push->n_keys, columns = keys + g->of->push->n_measures;

	for (uint32_t i = 0; n && i < g->n; i++) {
		fl_duck vector = d->data_chunk_get_vector(chunk, i);

		if (g->at[i] < keys)
			fill_key(g, g->at[i], from, n, vector);
		else if (g->at[i] < columns) /* else a row's number, when only their count is asked for */
			fill_measure(g, g->at[i] - keys, from, n, vector);
	}
	d->data_chunk_set_size(chunk, n);
}

int fl_grouped_register(struct fl_grouped *g, fl_duck connection)
{
	return fl_query_function_register(
	    g->table->d, connection,
	    &(struct fl_query_function){
		.name = "flowlog_groups", .extra = g, .bind = on_bind, .init = on_init, .rows = on_rows});
}
