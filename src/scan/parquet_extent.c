/* SPDX-License-Identifier: Apache-2.0 */
/* Which bytes of a file a question about a row group takes. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "scan/parquet_inner.h"

#define BLOOM_WHOLE (128u << 10) /* longer ones: their header, and the block that tells when it is asked for */
#define BLOOM_HEADER 64u

void fl_parquet_extents_free(struct fl_parquet_extents *x)
{
	free(x->extent);
	*x = (struct fl_parquet_extents){0};
}

static int add(struct fl_parquet_extents *x, const struct fl_parquet_file *f, uint64_t at, uint64_t n)
{
	size_t cap = x->cap ? 2 * x->cap : 64;
	void *more;

	if (!at || !n || at >= f->input.size || n > f->input.size - at)
		return 0; /* who reads it is told */
	if (x->n == x->cap) {
		more = reallocarray(x->extent, cap, sizeof *x->extent);
		if (!more)
			return -ENOMEM;
		x->extent = more;
		x->cap = cap;
	}
	x->extent[x->n++] = (struct fl_parquet_extent){at, (size_t)n};
	return 0;
}

static int by_offset(const void *a, const void *b)
{
	const struct fl_parquet_extent *x = a, *y = b;

	return x->at < y->at ? -1 : x->at > y->at;
}

void fl_parquet_extents_sort(struct fl_parquet_extents *x)
{
	uint64_t end = 0;
	size_t n = 0;

	if (x->n)
		qsort(x->extent, x->n, sizeof *x->extent, by_offset);
	for (size_t i = 0; i < x->n; i++) {
		struct fl_parquet_extent e = x->extent[i];
		uint64_t cut = e.at < end ? end - e.at : 0;

		if (cut >= e.n)
			continue;
		x->extent[n++] = (struct fl_parquet_extent){e.at + cut, e.n - (size_t)cut};
		end = e.at + e.n;
	}
	x->n = n;
}

static const struct fl_pq_chunk *chunk_of(const struct fl_parquet_file *f, size_t group, const char *name,
					  const struct fl_pq_column **ret)
{
	const struct fl_pq_column *c = fl_pq_column_find(f, name);

	if (ret)
		*ret = c;
	return c ? &f->group[group].chunk[c->leaf] : NULL;
}

uint64_t fl_parquet_columns_bytes(const struct fl_parquet_file *f, size_t group, const struct fl_column_def *columns,
				  size_t n)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < n; i++) {
		const struct fl_pq_chunk *c = chunk_of(f, group, columns[i].name, NULL);

		sum += c ? FL_MIN(c->size, f->input.size) : 0;
	}
	return sum;
}

int fl_parquet_group_hints(const struct fl_parquet_file *f, size_t group, const struct fl_column_def *columns, size_t n,
			   const struct fl_filter *filter, struct fl_parquet_extents *ret)
{
	const char *name[FL_BATCH_COLUMNS];
	size_t n_names = filter ? fl_filter_columns(filter, name) : 0;
	bool indexed = false;
	int r = 0;

	for (size_t i = 0; i < n_names && !r; i++) {
		const struct fl_pq_chunk *c = chunk_of(f, group, name[i], NULL);

		if (!c)
			continue;
		r = add(ret, f, c->bloom_at,
			c->bloom_size && c->bloom_size <= BLOOM_WHOLE ? c->bloom_size : BLOOM_HEADER);
		if (r || !c->index.at || !c->offsets.at)
			continue;
		indexed = true;
		r = add(ret, f, c->index.at, c->index.size);
		r = r ? r : add(ret, f, c->offsets.at, c->offsets.size);
	}
	for (size_t i = 0; i < n && !r && indexed; i++) {
		const struct fl_pq_chunk *c = chunk_of(f, group, columns[i].name, NULL);

		r = c ? add(ret, f, c->offsets.at, c->offsets.size) : 0;
	}
	return r;
}

/* Pieces of a chunk, which begin at its beginning. */
struct cutter {
	const struct fl_parquet_file *f;
	uint64_t begin, end;
	uint64_t next; /* piece that was not added yet */
	struct fl_parquet_extents *to;
};

/* Those that have bytes of [from, to). */
static int cut(struct cutter *c, uint64_t from, uint64_t to)
{
	uint64_t last = (FL_MIN(to, c->end) - c->begin + FL_PARQUET_PIECE - 1) / FL_PARQUET_PIECE;
	int r = 0;

	for (c->next = FL_MAX(c->next, (from - c->begin) / FL_PARQUET_PIECE); c->next < last && !r; c->next++) {
		uint64_t at = c->begin + c->next * FL_PARQUET_PIECE;

		r = add(c->to, c->f, at, FL_MIN(c->end - at, (uint64_t)FL_PARQUET_PIECE));
	}
	return r;
}

static int cut_pages(struct cutter *c, const struct fl_pq_pages *p, const struct fl_pq_selection *s, uint64_t rows)
{
	size_t span = 0;
	int r = cut(c, c->begin, p->page[0].at); /* a dictionary */

	for (size_t i = 0; i < p->n && !r; i++) {
		uint64_t end = i + 1 < p->n ? p->page[i + 1].first_row : rows;

		while (span < s->n && s->span[span].to <= p->page[i].first_row)
			span++;
		if (span < s->n && s->span[span].from < end)
			r = cut(c, p->page[i].at, p->page[i].at + p->page[i].size);
	}
	return r;
}

int fl_parquet_group_data(const struct fl_parquet_file *f, size_t group, const struct fl_column_def *columns, size_t n,
			  const struct fl_filter *filter, const struct fl_parquet_input *input,
			  struct fl_parquet_extents *ret)
{
	const struct fl_pq_group *g = &f->group[group];
	const struct fl_parquet_input *in = input ? input : &f->input;
	struct fl_pq_selection s = {0};
	int r = fl_pq_select(&s, f, group, filter, in);
	bool all = s.n == 1 && !s.span[0].from && s.span[0].to == g->rows;

	for (size_t i = 0; i < n && !r && s.n; i++) {
		const struct fl_pq_column *column;
		const struct fl_pq_chunk *c = chunk_of(f, group, columns[i].name, &column);
		struct fl_pq_pages pages = {0};
		struct cutter to = {.f = f, .to = ret};

		if (!c || fl_pq_chunk_begin(c) > f->input.size || c->size > f->input.size - fl_pq_chunk_begin(c))
			continue;
		to.begin = fl_pq_chunk_begin(c);
		to.end = to.begin + c->size;
		if (!all && fl_pq_pages_read(&pages, f, g, column, in, false))
			r = cut_pages(&to, &pages, &s, g->rows);
		else
			r = cut(&to, to.begin, to.end);
		fl_pq_pages_free(&pages);
	}
	free(s.span);
	return r;
}
