/* SPDX-License-Identifier: Apache-2.0 */
/* The index of a column's pages: where each is and which rows it has, and the range of its values. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/thrift.h"
#include "scan/parquet_inner.h"

#define PAGES_MAX (1u << 20) /* of a column of a row group */

void fl_pq_pages_free(struct fl_pq_pages *p)
{
	free(p->page);
	free(p->stats);
	fl_buf_free(&p->bytes);
	*p = (struct fl_pq_pages){0};
}

static int read_bytes(const struct fl_parquet_input *in, const struct fl_pq_place *place, struct fl_buf *ret)
{
	int r;

	if (!place->at || !place->size || place->size > FL_PQ_INDEX_MAX || place->at > in->size ||
	    place->size > in->size - place->at)
		return -ENOENT;
	fl_buf_reset(ret);
	r = fl_buf_reserve(ret, place->size);
	if (!r)
		r = in->read(in->ctx, place->at, ret->data, place->size);
	if (!r)
		ret->len = place->size;
	return r;
}

/* ---- where pages are ---- */

struct location {
	uint64_t at;
	uint32_t size;
	uint64_t first_row;
};

/* Pages follow one another in the chunk, and so do their rows. */
static bool fits(const struct fl_pq_pages *p, const struct location *l, const struct fl_pq_group *g,
		 const struct fl_pq_chunk *c)
{
	const struct fl_pq_page *before = p->n ? &p->page[p->n - 1] : NULL;
	uint64_t begin = before ? before->at + before->size : fl_pq_chunk_begin(c),
		 end = fl_pq_chunk_begin(c) + c->size;

	return l->at >= begin && l->at <= end && l->size <= end - l->at && l->first_row < g->rows &&
	       (before ? l->first_row > before->first_row : !l->first_row);
}

struct locations {
	struct fl_pq_pages *pages;
	const struct fl_pq_group *g;
	const struct fl_pq_chunk *c;
	bool good;
};

static void page_locations(struct fl_thrift *t, enum fl_thrift_type type, void *to)
{
	static const struct fl_thrift_field fields[] = {{1, FL_INTO_64, offsetof(struct location, at), NULL},
							{2, FL_INTO_32, offsetof(struct location, size), NULL},
							{3, FL_INTO_64, offsetof(struct location, first_row), NULL}};
	struct locations *x = to;
	struct fl_pq_pages *p = x->pages;
	enum fl_thrift_type of;
	size_t n = fl_thrift_elements(t, type, &of);

	t->c.bad |= p->page || !n || n > PAGES_MAX || of != FL_THRIFT_STRUCT;
	if (t->c.bad)
		return;
	p->page = calloc(n, sizeof *p->page);
	x->good = p->page;
	for (size_t i = 0; i < n && !t->c.bad && x->good; i++) {
		struct location l = {0};

		fl_thrift_enter(t);
		fl_thrift_fields(t, fields, FL_ARRAY_LEN(fields), &l);
		x->good = fits(p, &l, x->g, x->c);
		p->page[p->n++] = (struct fl_pq_page){l.at, l.size, (uint32_t)l.first_row};
	}
	t->c.bad |= !x->good;
}

static bool parse_locations(struct fl_pq_pages *p, const struct fl_pq_group *g, const struct fl_pq_chunk *c)
{
	static const struct fl_thrift_field fields[] = {{1, FL_INTO_CALL, 0, page_locations}};
	struct fl_thrift t = fl_thrift(p->bytes.data, p->bytes.len);
	struct locations x = {p, g, c, false};

	fl_thrift_fields(&t, fields, FL_ARRAY_LEN(fields), &x);
	return x.good && !t.c.bad;
}

/* ---- what is in them ---- */

struct contents {
	struct fl_pq_stats *stats;
	size_t n;
	unsigned seen; /* members, by bit */
};

static bool begin_list(struct fl_thrift *t, enum fl_thrift_type type, struct contents *x, unsigned member,
		       enum fl_thrift_type wanted)
{
	enum fl_thrift_type of;
	size_t n = fl_thrift_elements(t, type, &of);

	/* Lists of bool are marked by either of its types. */
	if (of == FL_THRIFT_FALSE)
		of = FL_THRIFT_TRUE;
	t->c.bad |= n != x->n || of != wanted;
	x->seen |= 1u << member;
	return !t->c.bad;
}

static void null_pages(struct fl_thrift *t, enum fl_thrift_type type, void *to)
{
	struct contents *x = to;

	if (begin_list(t, type, x, 1, FL_THRIFT_TRUE))
		for (size_t i = 0; i < x->n; i++)
			x->stats[i].all_null = fl_cur_u8(&t->c) == FL_THRIFT_TRUE;
}

static void least_values(struct fl_thrift *t, enum fl_thrift_type type, void *to)
{
	struct contents *x = to;

	if (begin_list(t, type, x, 2, FL_THRIFT_BINARY))
		for (size_t i = 0; i < x->n && !t->c.bad; i++)
			x->stats[i].min = fl_thrift_bytes(t, FL_THRIFT_BINARY);
}

static void most_values(struct fl_thrift *t, enum fl_thrift_type type, void *to)
{
	struct contents *x = to;

	if (begin_list(t, type, x, 3, FL_THRIFT_BINARY))
		for (size_t i = 0; i < x->n && !t->c.bad; i++)
			x->stats[i].max = fl_thrift_bytes(t, FL_THRIFT_BINARY);
}

static void null_counts(struct fl_thrift *t, enum fl_thrift_type type, void *to)
{
	struct contents *x = to;

	if (begin_list(t, type, x, 5, FL_THRIFT_I64))
		for (size_t i = 0; i < x->n && !t->c.bad; i++)
			x->stats[i].nulls = fl_thrift_int(t, FL_THRIFT_I64);
}

static bool parse_contents(struct fl_pq_pages *p)
{
	static const struct fl_thrift_field fields[] = {{1, FL_INTO_CALL, 0, null_pages},
							{2, FL_INTO_CALL, 0, least_values},
							{3, FL_INTO_CALL, 0, most_values},
							{5, FL_INTO_CALL, 0, null_counts}};
	const unsigned needed = 1u << 1 | 1u << 2 | 1u << 3;
	struct fl_thrift t = fl_thrift(p->bytes.data, p->bytes.len);
	struct contents x = {p->stats, p->n, 0};

	for (size_t i = 0; i < p->n; i++)
		p->stats[i] = (struct fl_pq_stats){.nulls = -1, .has_range = true};
	fl_thrift_fields(&t, fields, FL_ARRAY_LEN(fields), &x);
	return !t.c.bad && (x.seen & needed) == needed;
}

bool fl_pq_pages_read(struct fl_pq_pages *ret, const struct fl_parquet_file *f, const struct fl_pq_group *g,
		      const struct fl_pq_column *c, const struct fl_parquet_input *in, bool contents)
{
	const struct fl_pq_chunk *chunk = &g->chunk[c->leaf];

	*ret = (struct fl_pq_pages){.bytes = FL_BUF(FL_PQ_INDEX_MAX)};
	if (chunk->type != c->type || fl_pq_chunk_begin(chunk) > f->input.size || chunk->size > f->input.size ||
	    read_bytes(in, &chunk->offsets, &ret->bytes) || !parse_locations(ret, g, chunk)) {
		fl_pq_pages_free(ret);
		return false;
	}
	if (contents && !read_bytes(in, &chunk->index, &ret->bytes)) {
		ret->stats = calloc(ret->n, sizeof *ret->stats);
		if (ret->stats && !parse_contents(ret)) {
			free(ret->stats);
			ret->stats = NULL;
		}
	}
	return true;
}
