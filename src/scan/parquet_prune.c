/* SPDX-License-Identifier: Apache-2.0 */
/* What need not be read: row groups by statistics and Bloom filters, pages by the index of a column. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "scan/parquet_inner.h"

/* ---- ranges of values ---- */

static bool stored_number(const struct fl_pq_column *c, struct fl_str s, int64_t *ret)
{
	int32_t half;

	if (c->type == FL_PARQUET_INT32 && s.n == sizeof half) {
		memcpy(&half, s.p, sizeof half);
		*ret = c->kind == FL_PQ_UNSIGNED ? (int64_t)(uint32_t)half : half;
	} else if (c->type == FL_PARQUET_INT64 && s.n == sizeof *ret) {
		memcpy(ret, s.p, sizeof *ret);
	} else {
		return false;
	}
	if (c->days)
		return !__builtin_mul_overflow(*ret, 86400, ret) && *ret >= 0;
	if (c->per_second && *ret >= 0)
		*ret /= c->per_second;
	return *ret >= 0;
}

static struct fl_column_range number_range(const struct fl_pq_column *c, const struct fl_pq_stats *s)
{
	struct fl_column_range range = {.may_be_null = true};
	int64_t min, max, limit;

	if ((c->kind != FL_PQ_SIGNED && c->kind != FL_PQ_UNSIGNED) || (s->old_range && c->kind == FL_PQ_UNSIGNED) ||
	    !stored_number(c, s->min, &min) || !stored_number(c, s->max, &max) || min > max)
		return range;
	limit = c->def.field && c->def.field->type == FL_TYPE_INT32 ? INT32_MAX : INT64_MAX;
	range.known = true;
	range.may_be_null = s->nulls != 0 || max > limit; /* what is beyond is no value */
	range.min = (uint64_t)min;
	range.max = (uint64_t)max;
	return range;
}

static int compare(struct fl_str a, struct fl_str b)
{
	size_t n = FL_MIN(a.n, b.n);
	int order = n ? memcmp(a.p, b.p, n) : 0;

	return order ? order : a.n < b.n ? -1 : a.n > b.n;
}

static bool has_colon(struct fl_str s)
{
	return s.n && memchr(s.p, ':', s.n);
}

static struct fl_column_range text_range(const struct fl_parquet_file *f, const struct fl_pq_column *c,
					 const struct fl_pq_stats *s)
{
	struct fl_column_range range = {.may_be_null = true};
	static const struct fl_str dash = {"-", 1};

	if (c->kind != FL_PQ_BYTES || c->type != FL_PARQUET_BYTE_ARRAY || s->old_range)
		return range;
	/* Others may print IPv6 otherwise than we do. */
	if (c->def.type == FL_COLUMN_ADDR && !f->flowlog && (has_colon(s->min) || has_colon(s->max)))
		return range;
	range.known = true;
	range.tmin = s->min;
	range.tmax = s->max;
	/* What is no value of the column is null, too: others may have put anything there. */
	range.may_be_null = s->nulls != 0 || !range.tmin.n || (c->def.type != FL_COLUMN_TEXT && !f->flowlog) ||
			    (compare(range.tmin, dash) <= 0 && compare(range.tmax, dash) >= 0);
	range.all_null = !compare(range.tmin, dash) && !compare(range.tmax, dash);
	return range;
}

static const struct fl_column_range unknown = {.may_be_null = true};

static struct fl_column_range range_of_stats(const struct fl_parquet_file *f, const struct fl_pq_column *c,
					     const struct fl_pq_stats *s)
{
	if (s->all_null)
		return (struct fl_column_range){.known = true, .may_be_null = true, .all_null = true};
	if (!s->has_range)
		return unknown;
	return c->def.type == FL_COLUMN_U64 ? number_range(c, s) : text_range(f, c, s);
}

/* ---- row groups ---- */

struct place { /* of a question about a row group */
	const struct fl_parquet_file *f;
	const struct fl_pq_group *g;
	const struct fl_parquet_input *in; /* of Bloom filters */
};

static struct fl_column_range range_of(void *ctx, const char *column)
{
	const struct place *p = ctx;
	const struct fl_pq_column *c = fl_pq_column_find(p->f, column);
	const struct fl_pq_chunk *chunk = c ? &p->g->chunk[c->leaf] : NULL;
	struct fl_pq_stats s = {.all_null = true};
	struct fl_column_def d;

	/* Our own columns are put beside the file's. */
	if (!c && fl_column_find(column, &d) && d.own != FL_OWN_NONE)
		return unknown;
	if (!c ||
	    (chunk->stats.nulls >= 0 && (uint64_t)chunk->stats.nulls == chunk->values && chunk->values == p->g->rows))
		return range_of_stats(p->f, c, &s);
	return chunk->type == c->type ? range_of_stats(p->f, c, &chunk->stats) : unknown;
}

static bool may_contain(void *ctx, const char *column, const char *text, size_t n)
{
	const struct place *p = ctx;
	const struct fl_pq_column *c = fl_pq_column_find(p->f, column);
	const struct fl_parquet_input *in = p->in;
	uint64_t at = c && c->kind == FL_PQ_BYTES ? p->g->chunk[c->leaf].bloom_at : 0;
	uint8_t head[64];
	size_t header, size, block, room;
	uint8_t bytes[FL_BLOOM_BLOCK];

	if (!at || at >= in->size || (!p->f->flowlog && memchr(text, ':', n)))
		return true;
	room = (size_t)FL_MIN(in->size - at, (uint64_t)sizeof head);
	if (in->read(in->ctx, at, head, room) || !fl_pq_parse_bloom_header(head, room, &header, &size) ||
	    size > in->size - at - header)
		return true;
	/* One block tells: it alone is read. */
	block = fl_bloom_block(size, text, n);
	if (in->read(in->ctx, at + header + block, bytes, sizeof bytes))
		return true;
	return fl_bloom_block_has(bytes, text, n);
}

bool fl_parquet_group_is_in_range(const struct fl_parquet_file *f, size_t group, const struct fl_filter *filter)
{
	struct place p = {f, &f->group[group], NULL};

	return fl_filter_may_pass(filter, range_of, NULL, &p);
}

bool fl_parquet_group_may_pass(const struct fl_parquet_file *f, size_t group, const struct fl_filter *filter,
			       const struct fl_parquet_input *input)
{
	struct place p = {f, &f->group[group], input ? input : &f->input};

	return fl_filter_may_pass(filter, range_of, may_contain, &p);
}

bool fl_parquet_group_numbers(const struct fl_parquet_file *f, size_t group, const char *column, uint64_t *ret_min,
			      uint64_t *ret_max)
{
	struct place p = {f, &f->group[group], NULL};
	struct fl_column_range r = range_of(&p, column);
	struct fl_column_def d;

	*ret_min = r.min;
	*ret_max = r.max;
	return fl_column_find(column, &d) && d.type == FL_COLUMN_U64 && r.known && !r.all_null;
}

/* ---- pages ---- */

struct paged { /* a column of the filter */
	const struct fl_pq_column *column;
	struct fl_pq_pages pages;
	size_t at; /* the page that is asked about */
};
struct page_place {
	struct place group;
	struct paged *paged;
	size_t n;
};

static struct fl_column_range page_range(void *ctx, const char *column)
{
	struct page_place *p = ctx;

	for (size_t i = 0; i < p->n; i++)
		if (!strcmp(p->paged[i].column->def.name, column))
			return range_of_stats(p->group.f, p->paged[i].column, &p->paged[i].pages.stats[p->paged[i].at]);
	return range_of(&p->group, column);
}

static int add_span(struct fl_pq_selection *s, uint32_t from, uint32_t to)
{
	struct fl_pq_span *more;
	size_t cap = s->cap ? 2 * s->cap : 64;

	if (s->n && s->span[s->n - 1].to == from) {
		s->span[s->n - 1].to = to;
		return 0;
	}
	if (s->n == s->cap) {
		more = reallocarray(s->span, cap, sizeof *more);
		if (!more)
			return -ENOMEM;
		s->span = more;
		s->cap = cap;
	}
	s->span[s->n++] = (struct fl_pq_span){from, to};
	return 0;
}

/* Moves each column to the page of this row; where the first of those pages ends. */
static uint32_t common_end(struct page_place *p, uint32_t row, uint32_t rows)
{
	uint32_t end = rows;

	for (size_t i = 0; i < p->n; i++) {
		struct paged *x = &p->paged[i];

		while (x->at + 1 < x->pages.n && x->pages.page[x->at + 1].first_row <= row)
			x->at++;
		if (x->at + 1 < x->pages.n)
			end = FL_MIN(end, x->pages.page[x->at + 1].first_row);
	}
	return end;
}

static int select_rows(struct fl_pq_selection *ret, struct page_place *p, const struct fl_filter *filter)
{
	uint32_t rows = (uint32_t)p->group.g->rows, end;
	int r = 0;

	for (uint32_t row = 0; row < rows && !r; row = end) {
		end = common_end(p, row, rows);
		if (fl_filter_may_pass(filter, page_range, NULL, p))
			r = add_span(ret, row, end);
	}
	return r;
}

int fl_pq_select(struct fl_pq_selection *ret, const struct fl_parquet_file *f, size_t group,
		 const struct fl_filter *filter, const struct fl_parquet_input *in)
{
	struct page_place p = {.group = {f, &f->group[group], in}};
	const char *name[FL_BATCH_COLUMNS];
	size_t n = filter ? fl_filter_columns(filter, name) : 0;
	int r = 0;

	ret->n = 0;
	p.paged = calloc(n + 1, sizeof *p.paged);
	if (!p.paged)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		struct paged *x = &p.paged[p.n];

		x->column = fl_pq_column_find(f, name[i]);
		if (!x->column || !fl_pq_pages_read(&x->pages, f, p.group.g, x->column, in, true))
			continue;
		if (x->pages.stats && x->pages.n > 1)
			p.n++;
		else
			fl_pq_pages_free(&x->pages);
	}
	if (p.n)
		r = select_rows(ret, &p, filter);
	else if (p.group.g->rows)
		r = add_span(ret, 0, (uint32_t)p.group.g->rows);
	for (size_t i = 0; i < p.n; i++)
		fl_pq_pages_free(&p.paged[i].pages);
	free(p.paged);
	return r;
}
