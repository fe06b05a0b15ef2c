/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Row groups as batches of rows that pass. The filter is taken apart into the conditions that it joins with AND: one
 * that looks at a single column is asked once for each value of that column's dictionary, and rows are then judged by
 * their indices. Columns without a part in the filter are passed over where no row is left, whole pages unread.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "scan/filter_tree.h"
#include "scan/parquet_inner.h"

struct condition { /* one of those joined by AND */
	const struct fl_filter *filter;
	struct fl_filter_bound *bound;  /* to the reader's columns */
	struct fl_filter_bound *single; /* to its only column alone; NULL: it has several, or the file lacks it */
	size_t stream;
	bool uses[FL_BATCH_COLUMNS];
};

enum stage { AHEAD, DECODED, WHOLE }; /* of a column in the batch: not looked at, decoded, all its rows are put */

struct fl_parquet_reader {
	const struct fl_parquet_file *f;
	struct fl_pq_stream *stream; /* one a column of the batch */
	size_t n;
	struct condition *condition;
	size_t n_conditions;
	struct fl_batch *dictionary; /* a view of a dictionary as a batch of one column */
	const struct fl_filter *filter;
	const struct fl_parquet_input *input;
	struct fl_pq_selection selection;
	size_t span;   /* of the selection, in which the next row is */
	uint64_t row;  /* the next one */
	uint64_t rows; /* of the row group; 0: none is left */
	size_t held;
	struct fl_parquet_counts counts;
	struct fl_coder *coder;
	uint8_t stage[FL_BATCH_COLUMNS];
};

/* ---- making one ---- */

void fl_parquet_reader_free(struct fl_parquet_reader **r)
{
	struct fl_parquet_reader *x = *r;

	if (!x)
		return;
	for (size_t i = 0; x->stream && i < x->n; i++)
		fl_pq_stream_free(&x->stream[i]);
	for (size_t i = 0; i < x->n_conditions; i++) {
		fl_filter_bound_free(&x->condition[i].bound);
		fl_filter_bound_free(&x->condition[i].single);
	}
	free(x->condition);
	free(x->selection.span);
	free(x->stream);
	free(x->dictionary);
	fl_coder_free(&x->coder);
	free(x);
	*r = NULL;
}

static int open_stream(struct fl_parquet_reader *r, size_t i, const struct fl_column_def *def)
{
	struct fl_pq_stream *s = &r->stream[i];

	s->f = r->f;
	s->input = r->input;
	s->target = *def;
	s->column = fl_pq_column_find(r->f, def->name);
	s->held = &r->held;
	s->coder = r->coder;
	s->bytes_read = &r->counts.bytes;
	s->bad_values = &r->counts.bad_values;
	return s->column ? fl_pq_stream_init(s) : 0;
}

static int add_condition(struct fl_parquet_reader *r, const struct fl_filter *f, const struct fl_column_def *columns)
{
	struct condition *c = &r->condition[r->n_conditions++];
	const char *name[FL_BATCH_COLUMNS];
	size_t n = fl_filter_columns(f, name);
	int result = fl_filter_bind(&c->bound, f, columns, r->n);

	c->filter = f;
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < r->n; k++)
			if (!strcmp(columns[k].name, name[i])) {
				c->uses[k] = true;
				c->stream = k;
			}
	if (!result && n == 1 && c->uses[c->stream] && r->stream[c->stream].column)
		result = fl_filter_bind(&c->single, f, &columns[c->stream], 1);
	return result;
}

static int add_conditions(struct fl_parquet_reader *r, const struct fl_filter *f, const struct fl_column_def *columns)
{
	size_t n = f->kind == FL_FILTER_AND ? f->n : 1;
	int result = 0;

	r->condition = calloc(n, sizeof *r->condition);
	r->dictionary = calloc(1, sizeof *r->dictionary);
	if (!r->condition || !r->dictionary)
		return -ENOMEM;
	for (size_t i = 0; i < n && !result; i++)
		result = add_condition(r, f->kind == FL_FILTER_AND ? f->child[i] : f, columns);
	return result;
}

int fl_parquet_reader_new(struct fl_parquet_reader **ret, const struct fl_parquet_file *f,
			  const struct fl_column_def *columns, size_t n, const struct fl_filter *filter)
{
	struct fl_parquet_reader *r FL_CLEANUP(fl_parquet_reader_free) = NULL;
	int result = 0;

	if (n > FL_BATCH_COLUMNS)
		return fl_fail(-E2BIG, "%zu columns are asked for, and %u are possible", n, FL_BATCH_COLUMNS);
	r = calloc(1, sizeof *r);
	if (!r)
		return -ENOMEM;
	r->f = f;
	r->filter = filter;
	r->input = &f->input;
	r->stream = calloc(n + 1, sizeof *r->stream);
	result = r->stream ? fl_coder_new(&r->coder) : -ENOMEM;
	for (; !result && r->n < n; r->n++)
		result = open_stream(r, r->n, &columns[r->n]);
	if (!result && filter)
		result = add_conditions(r, filter, columns);
	if (result)
		return result;
	*ret = r;
	r = NULL;
	return 0;
}

void fl_parquet_reader_from(struct fl_parquet_reader *r, const struct fl_parquet_input *input)
{
	r->input = input;
	for (size_t i = 0; i < r->n; i++)
		r->stream[i].input = input;
}

/* ---- row groups ---- */

static bool null_passes(struct fl_parquet_reader *r, const struct condition *c)
{
	uint64_t null[FL_BATCH_WORDS] = {1}, v6[FL_BATCH_WORDS] = {0}, bits[FL_BATCH_WORDS];

	r->dictionary->column[0] = (struct fl_column){.def = r->stream[c->stream].target,
						      .any_null = true,
						      .null = null,
						      .v6 = v6,
						      .u64 = r->stream[c->stream].dictionary.values.u64};
	r->dictionary->n = 1;
	return fl_filter_eval(c->single, r->dictionary, bits);
}

/* Which values of the dictionary pass all conditions on their column alone. */
static void judge_dictionary(struct fl_parquet_reader *r, const struct condition *c, bool first)
{
	struct fl_pq_dictionary *d = &r->stream[c->stream].dictionary;
	struct fl_column *view = &r->dictionary->column[0];
	size_t width = d->values.def.type == FL_COLUMN_U64    ? sizeof(uint64_t)
		       : d->values.def.type == FL_COLUMN_ADDR ? sizeof(struct fl_addr)
		       : d->values.def.type == FL_COLUMN_TEXT ? sizeof(struct fl_str)
							      : sizeof(uint8_t);

	d->n_pass = 0;
	r->dictionary->n_columns = 1;
	d->null_pass = null_passes(r, c) && (first || d->null_pass);
	for (uint32_t from = 0; from < d->n; from += FL_BATCH_ROWS) {
		uint64_t bits[FL_BATCH_WORDS];

		*view = d->values;
		view->u64 = (uint64_t *)((char *)d->values.u64 + from * width);
		view->null += from / 64;
		view->v6 += from / 64;
		r->dictionary->n = FL_MIN(d->n - from, FL_BATCH_ROWS);
		fl_filter_eval(c->single, r->dictionary, bits);
		for (uint32_t i = 0; i < r->dictionary->n; i++) {
			uint8_t pass = bits[i / 64] >> (i % 64) & 1;

			d->pass[from + i] = first ? pass : d->pass[from + i] & pass;
			d->n_pass += d->pass[from + i];
		}
	}
}

static bool is_first_on_stream(const struct fl_parquet_reader *r, size_t condition)
{
	for (size_t i = 0; i < condition; i++)
		if (r->condition[i].single && r->condition[i].stream == r->condition[condition].stream)
			return false;
	return true;
}

static bool can_use_dictionary(const struct fl_parquet_reader *r, const struct condition *c)
{
	return c->single && r->stream[c->stream].has_dictionary;
}

/* No row of the row group can. */
static bool none_passes(const struct fl_pq_stream *s)
{
	return !s->dictionary.n_pass && s->chunk->all_dictionary &&
	       (!s->dictionary.null_pass || !s->chunk->stats.nulls);
}

static uint64_t rows_selected(const struct fl_parquet_reader *r)
{
	uint64_t n = 0;

	for (size_t i = 0; i < r->selection.n; i++)
		n += r->selection.span[i].to - r->selection.span[i].from;
	return n;
}

/* Which rows are to be looked at, and where the pages are that have them. */
static int select_rows(struct fl_parquet_reader *r, size_t group)
{
	const struct fl_pq_group *g = &r->f->group[group];
	int result = fl_pq_select(&r->selection, r->f, group, r->filter, r->input);

	r->row = r->span = r->rows = 0;
	for (size_t i = 0; i < r->n; i++)
		fl_pq_pages_free(&r->stream[i].pages);
	if (result)
		return result;
	r->counts.unread += g->rows - rows_selected(r);
	/* Where all is read, pages are found one after the other. */
	if (r->selection.n == 1 && !r->selection.span[0].from && r->selection.span[0].to == g->rows)
		return 0;
	for (size_t i = 0; i < r->n && r->selection.n; i++)
		if (r->stream[i].column)
			(void)fl_pq_pages_read(&r->stream[i].pages, r->f, g, r->stream[i].column, r->input, false);
	return 0;
}

int fl_parquet_reader_group(struct fl_parquet_reader *r, size_t group)
{
	const struct fl_pq_group *g = &r->f->group[group];
	bool empty = false;
	int result = select_rows(r, group);

	if (result || !r->selection.n)
		return result;
	/* The filter's columns first: their dictionaries may settle it. */
	for (size_t i = 0; i < r->n_conditions && !result && !empty; i++) {
		struct condition *c = &r->condition[i];
		struct fl_pq_stream *s = &r->stream[c->stream];

		if (!c->single)
			continue;
		if (is_first_on_stream(r, i))
			result = fl_pq_stream_group(s, &g->chunk[s->column->leaf], g->rows);
		if (result || !can_use_dictionary(r, c))
			continue;
		judge_dictionary(r, c, is_first_on_stream(r, i));
		empty = none_passes(s);
	}
	if (empty)
		r->counts.records += rows_selected(r);
	for (size_t i = 0; i < r->n && !result && !empty; i++) {
		struct fl_pq_stream *s = &r->stream[i];
		bool begun = false;

		for (size_t k = 0; k < r->n_conditions; k++)
			begun |= r->condition[k].single && r->condition[k].stream == i;
		if (s->column && !begun)
			result = fl_pq_stream_group(s, &g->chunk[s->column->leaf], g->rows);
	}
	if (!result && !empty)
		r->rows = g->rows;
	return result ? fl_wrap(result, "row group %zu", group) : 0;
}

/* ---- batches ---- */

/* No page of any column ends within a batch: what texts point into is the page. */
static uint32_t batch_rows(const struct fl_parquet_reader *r)
{
	uint32_t n = (uint32_t)FL_MIN(r->selection.span[r->span].to - r->row, (uint64_t)FL_BATCH_ROWS);

	for (size_t i = 0; i < r->n; i++)
		if (r->stream[i].column)
			n = FL_MIN(n, fl_pq_page_left(&r->stream[i]));
	return n;
}

static int decode(struct fl_parquet_reader *r, size_t i, uint32_t n)
{
	int result = 0;

	if (r->stage[i] == AHEAD && r->stream[i].column)
		result = fl_pq_stream_decode(&r->stream[i], n);
	r->stage[i] = FL_MAX(r->stage[i], (uint8_t)DECODED);
	return result;
}

static void put_nulls(struct fl_column *c, uint32_t n)
{
	size_t width = c->def.type == FL_COLUMN_ADDR || c->def.type == FL_COLUMN_TEXT ? 16
		       : c->def.type == FL_COLUMN_U64                                 ? 8
										      : 1;

	memset(c->u64, 0, n * width);
	for (uint32_t i = 0; i < n; i += 64)
		c->null[i / 64] = n - i >= 64 ? UINT64_MAX : (UINT64_C(1) << (n - i)) - 1;
	c->any_null = true;
}

static int put(struct fl_parquet_reader *r, struct fl_batch *b, size_t i, uint32_t n, const uint16_t *rows,
	       uint32_t n_rows)
{
	if (r->stream[i].column)
		return fl_pq_put_rows(&r->stream[i], &b->column[i], n, rows, n_rows);
	put_nulls(&b->column[i], rows ? n_rows : n);
	return 0;
}

/* Clears the bits of rows whose value does not pass. */
static uint32_t judge_ids(const struct fl_pq_stream *s, uint32_t n, uint64_t keep[FL_BATCH_WORDS])
{
	const uint8_t *pass = s->dictionary.pass;
	uint32_t left = 0;

	for (uint32_t from = 0; from < n; from += 64) {
		uint32_t m = FL_MIN(n - from, 64u);
		uint64_t bits = 0;

		if (!keep[from / 64])
			continue;
		for (uint32_t i = 0; i < m; i++)
			bits |= (uint64_t)pass[s->ids[from + i]] << i;
		if (s->any_null)
			bits = s->dictionary.null_pass ? bits | s->null[from / 64] : bits & ~s->null[from / 64];
		keep[from / 64] &= bits;
		left += (uint32_t)__builtin_popcountll(keep[from / 64]);
	}
	return left;
}

static int judge_by_dictionary(struct fl_parquet_reader *r, uint32_t n, uint64_t keep[FL_BATCH_WORDS], uint32_t *left)
{
	int result = 0;

	for (size_t i = 0; i < r->n_conditions && !result && *left; i++) {
		const struct condition *c = &r->condition[i];
		struct fl_pq_stream *s = &r->stream[c->stream];

		if (!can_use_dictionary(r, c) || !is_first_on_stream(r, i))
			continue;
		if (!s->loaded && none_passes(s)) {
			*left = 0;
			break;
		}
		result = decode(r, c->stream, n);
		if (!result && s->raw == FL_RAW_INDEX)
			*left = judge_ids(s, n, keep);
	}
	return result;
}

static int judge_by_value(struct fl_parquet_reader *r, struct fl_batch *b, uint32_t n, uint64_t keep[FL_BATCH_WORDS],
			  uint32_t *left)
{
	int result = 0;

	for (size_t i = 0; i < r->n_conditions && !result && *left; i++) {
		const struct condition *c = &r->condition[i];
		uint64_t pass[FL_BATCH_WORDS];

		if (can_use_dictionary(r, c) && r->stream[c->stream].raw == FL_RAW_INDEX)
			continue;
		for (size_t k = 0; k < r->n && !result; k++) {
			if (!c->uses[k] || r->stage[k] == WHOLE)
				continue;
			result = decode(r, k, n);
			if (!result)
				result = put(r, b, k, n, NULL, 0);
			r->stage[k] = WHOLE;
		}
		if (result)
			break;
		fl_filter_eval(c->bound, b, pass);
		*left = 0;
		for (uint32_t w = 0; w < FL_BATCH_WORDS; w++) {
			keep[w] &= pass[w];
			*left += (uint32_t)__builtin_popcountll(keep[w]);
		}
	}
	return result;
}

static uint32_t list_rows(const uint64_t keep[FL_BATCH_WORDS], uint16_t rows[FL_BATCH_ROWS])
{
	uint32_t n = 0;

	for (uint32_t w = 0; w < FL_BATCH_WORDS; w++)
		for (uint64_t bits = keep[w]; bits; bits &= bits - 1)
			rows[n++] = (uint16_t)(w * 64 + (uint32_t)__builtin_ctzll(bits));
	return n;
}

/* The columns that are not there yet, of the rows that are left. */
static int fill(struct fl_parquet_reader *r, struct fl_batch *b, uint32_t n, uint64_t keep[FL_BATCH_WORDS],
		uint32_t left)
{
	uint16_t rows[FL_BATCH_ROWS];
	bool whole[FL_BATCH_COLUMNS] = {0};
	int result = 0;

	if (left < n)
		list_rows(keep, rows);
	for (size_t i = 0; i < r->n && !result; i++) {
		whole[i] = r->stage[i] == WHOLE;
		if (whole[i])
			continue;
		result = decode(r, i, n);
		if (!result)
			result = put(r, b, i, n, left < n ? rows : NULL, left);
	}
	if (!result && left < n)
		fl_batch_compact(b, keep, whole);
	b->n = left;
	return result;
}

/* To the next row that is to be looked at. False: there is none. */
static bool find_row(struct fl_parquet_reader *r)
{
	const struct fl_pq_selection *s = &r->selection;

	while (r->span < s->n && r->row >= s->span[r->span].to)
		r->span++;
	if (r->span == s->n)
		return false;
	r->row = FL_MAX(r->row, (uint64_t)s->span[r->span].from);
	return true;
}

/* Pages of the batch before end here: its texts pointed into them. */
static int move_on(struct fl_parquet_reader *r)
{
	int result = 0;

	for (size_t i = 0; i < r->n && !result; i++)
		if (r->stream[i].column)
			result = fl_pq_stream_to(&r->stream[i], r->row);
	return result;
}

static int next(struct fl_parquet_reader *r, struct fl_batch *b)
{
	uint64_t keep[FL_BATCH_WORDS] = {0};
	uint32_t n = batch_rows(r), left = n;
	int result;

	if (!n)
		return fl_fail(-EBADMSG, "%s: a column ends before its row group", r->f->name);
	fl_batch_clear(b);
	b->n = n;
	memset(r->stage, AHEAD, sizeof r->stage);
	for (uint32_t i = 0; i < n; i += 64)
		keep[i / 64] = n - i >= 64 ? UINT64_MAX : (UINT64_C(1) << (n - i)) - 1;
	result = judge_by_dictionary(r, n, keep, &left);
	if (!result)
		result = judge_by_value(r, b, n, keep, &left);
	if (!result && left)
		result = fill(r, b, n, keep, left);
	b->n = left;
	r->counts.records += n;
	r->row += n;
	return result;
}

int fl_parquet_next(struct fl_parquet_reader *r, struct fl_batch *b)
{
	int result = 0;

	b->n = 0;
	while (!result && !b->n && r->rows) {
		if (!find_row(r))
			r->rows = 0;
		else if (!(result = move_on(r)))
			result = next(r, b);
	}
	if (!result)
		return b->n ? 1 : 0;
	r->rows = 0;
	b->n = 0;
	return result;
}

void fl_parquet_reader_counts(const struct fl_parquet_reader *r, struct fl_parquet_counts *ret)
{
	*ret = r->counts;
}
