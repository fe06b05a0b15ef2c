/* SPDX-License-Identifier: Apache-2.0 */
/* A column of a row group as a dictionary page and data pages (version 1, which every reader has), and what footers
 * tell of them. */
#include <errno.h>
#include <libdeflate.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "record/parquet_chunk.h"

#define PAGE_MAX ((size_t)1 << 30)
#define PAGE_TEXT ((size_t)4 << 20)      /* a page of text is cut here */
#define DICTIONARY_MAX ((size_t)4 << 20) /* bytes; readers hold it whole */

int fl_pager_init(struct fl_pager *p, uint8_t codec, int level)
{
	*p = (struct fl_pager){.codec = codec, .level = level};
	p->body = p->packed = p->text = FL_BUF(PAGE_MAX);
	p->ids = malloc(FL_PARQUET_PAGE_ROWS * sizeof *p->ids);
	p->levels = malloc(FL_PARQUET_PAGE_ROWS * sizeof *p->levels);
	p->numbers = malloc(FL_PARQUET_PAGE_ROWS * sizeof *p->numbers);
	return p->ids && p->levels && p->numbers ? fl_coder_new(&p->coder) : -ENOMEM;
}

void fl_pager_free(struct fl_pager *p)
{
	fl_coder_free(&p->coder);
	fl_buf_free(&p->body);
	fl_buf_free(&p->packed);
	fl_buf_free(&p->text);
	free(p->end);
	free(p->order);
	free(p->ids);
	free(p->levels);
	free(p->numbers);
	*p = (struct fl_pager){0};
}

static void page_free(struct fl_page_meta *m)
{
	free(m->range);
	m->range = NULL;
}

void fl_chunk_meta_free(struct fl_chunk_meta *m)
{
	for (size_t i = 0; i < m->n_pages; i++)
		page_free(&m->page[i]);
	free(m->page);
	page_free(&m->whole);
	*m = (struct fl_chunk_meta){0};
}

/* ---- values of the chunk, in order and as text ---- */

static bool is_text(const struct fl_chunk *c)
{
	return c->type == FL_PARQUET_BYTE_ARRAY;
}

static struct fl_str text_at(const struct fl_pager *p, uint32_t i)
{
	uint32_t from = i ? p->end[i - 1] : 0;

	return (struct fl_str){p->text.data + from, p->end[i] - from};
}

/* The first eight bytes, so that most comparisons are one of numbers. */
static uint64_t first_bytes(struct fl_str t)
{
	uint64_t v = 0;

	memcpy(&v, t.p, FL_MIN(t.n, sizeof v));
	return __builtin_bswap64(v);
}

static int render(struct fl_pager *p, const struct fl_chunk *c)
{
	char scratch[FL_CHUNK_SCRATCH];
	int r = 0;

	if (c->n > p->values_cap) {
		uint32_t *end = realloc(p->end, c->n * sizeof *end);
		uint64_t *order = end ? realloc(p->order, c->n * sizeof *order) : NULL;

		p->end = end ? end : p->end;
		p->order = order ? order : p->order;
		if (!order)
			return -ENOMEM;
		p->values_cap = c->n;
	}
	fl_buf_reset(&p->text);
	for (uint32_t i = 0; i < c->n && !r; i++) {
		struct fl_str t;

		if (!is_text(c)) {
			p->order[i] = c->u64[i];
			continue;
		}
		t = fl_chunk_value(c, i, scratch);
		p->order[i] = first_bytes(t);
		r = fl_buf_add(&p->text, t.p, t.n);
		p->end[i] = (uint32_t)p->text.len;
	}
	return r;
}

static bool is_before(const struct fl_pager *p, const struct fl_chunk *c, uint32_t a, uint32_t b)
{
	struct fl_str x, y;
	int order;

	if (p->order[a] != p->order[b] || !is_text(c) || a == b)
		return p->order[a] < p->order[b];
	x = text_at(p, a);
	y = text_at(p, b);
	order = memcmp(x.p, y.p, FL_MIN(x.n, y.n));
	return order ? order < 0 : x.n < y.n;
}

/* ---- statistics ---- */

static int keep_range(struct fl_page_meta *m, struct fl_str min, struct fl_str max)
{
	m->has = false;
	if (min.n > FL_PARQUET_STAT_MAX || max.n > FL_PARQUET_STAT_MAX)
		return 0;
	m->range = malloc(min.n + max.n + 1);
	if (!m->range)
		return -ENOMEM;
	memcpy(m->range, min.p, min.n);
	memcpy(m->range + min.n, max.p, max.n);
	m->min_n = (uint8_t)min.n;
	m->max_n = (uint8_t)max.n;
	m->has = true;
	return 0;
}

struct extent { /* numbers of the least and the greatest value; n 0: none */
	uint32_t least, most, n;
};

static void widen(const struct fl_pager *p, const struct fl_chunk *c, struct extent *e, uint32_t number)
{
	if (!e->n || is_before(p, c, number, e->least))
		e->least = number;
	if (!e->n || is_before(p, c, e->most, number))
		e->most = number;
	e->n++;
}

static int range_of(const struct fl_chunk *c, const struct extent *e, struct fl_page_meta *m)
{
	char a[FL_CHUNK_SCRATCH], b[FL_CHUNK_SCRATCH];

	return e->n ? keep_range(m, fl_chunk_value(c, e->least, a), fl_chunk_value(c, e->most, b)) : 0;
}

/* ---- pages ---- */

static int put_page(struct fl_pager *p, struct fl_buf *out, enum fl_parquet_page type, uint32_t values,
		    uint8_t encoding, struct fl_chunk_meta *m)
{
	const struct fl_buf *body = &p->body;
	size_t before = out->len;
	int r;

	if (p->codec != FL_CODEC_NONE) {
		fl_buf_reset(&p->packed);
		r = fl_compress(p->coder, p->codec, p->level, p->body.data, p->body.len, &p->packed);
		if (r)
			return r;
		body = &p->packed;
	}
	r = fl_put_page_header(out, type, (uint32_t)p->body.len, (uint32_t)body->len,
			       libdeflate_crc32(0, body->data, body->len), values, encoding);
	if (r)
		return r;
	m->raw_size += out->len - before + p->body.len;
	return fl_buf_add(out, body->data, body->len);
}

static int put_value(struct fl_pager *p, const struct fl_chunk *c, uint32_t number)
{
	char scratch[FL_CHUNK_SCRATCH];
	struct fl_str t;
	uint32_t length;

	if (!is_text(c)) {
		t = fl_chunk_value(c, number, scratch);
		return fl_buf_add(&p->body, t.p, t.n);
	}
	t = text_at(p, number);
	length = (uint32_t)t.n;
	return fl_buf_add(&p->body, &length, sizeof length) ?: fl_buf_add(&p->body, t.p, t.n);
}

static int put_dictionary(struct fl_pager *p, const struct fl_chunk *c, struct fl_buf *out, struct fl_chunk_meta *m)
{
	int r = 0;

	fl_buf_reset(&p->body);
	for (uint32_t i = 0; i < c->n && !r; i++)
		r = put_value(p, c, i);
	return r ? r : put_page(p, out, FL_PARQUET_DICTIONARY_PAGE, c->n, FL_PARQUET_PLAIN, m);
}

/* Definition levels: their length, then 1 for a value, 0 for a null. */
static int put_levels(struct fl_pager *p, uint32_t rows, uint32_t nulls)
{
	uint32_t length = 0;
	size_t at = p->body.len;
	int r = fl_buf_add(&p->body, &length, sizeof length);

	if (!nulls)
		for (uint32_t i = 0; i < rows; i++)
			p->levels[i] = 1;
	if (!r)
		r = fl_put_hybrid(&p->body, p->levels, rows, 1);
	if (r)
		return r;
	length = (uint32_t)(p->body.len - at - sizeof length);
	memcpy(p->body.data + at, &length, sizeof length);
	return 0;
}

static int put_values(struct fl_pager *p, const struct fl_chunk *c, uint32_t n, uint8_t encoding)
{
	uint8_t width;
	int r = 0;

	switch (encoding) {
	case FL_PARQUET_RLE_DICTIONARY:
		width = (uint8_t)fl_bit_width(c->n ? c->n - 1 : 0);
		r = fl_buf_add(&p->body, &width, 1);
		return r ? r : fl_put_hybrid(&p->body, p->ids, n, width);
	case FL_PARQUET_DELTA_BINARY_PACKED:
		for (uint32_t i = 0; i < n; i++)
			p->numbers[i] = c->u64[p->ids[i]];
		return fl_put_delta(&p->body, p->numbers, n, c->int32);
	default:
		for (uint32_t i = 0; i < n && !r; i++)
			r = put_value(p, c, p->ids[i]);
		return r;
	}
}

/* How many of the rows from `from` on make a page. */
static uint32_t page_rows(const struct fl_pager *p, const struct fl_chunk *c, uint32_t from, uint8_t encoding)
{
	uint32_t n = FL_MIN(c->rows - from, FL_PARQUET_PAGE_ROWS);
	size_t bytes = 0;

	if (encoding != FL_PARQUET_PLAIN || !is_text(c))
		return n;
	for (uint32_t i = 0; i < n; i++) {
		uint32_t number = c->index[from + i];

		bytes += number == FL_PARQUET_NULL ? 0 : 4 + text_at(p, number).n;
		if (bytes > PAGE_TEXT)
			return i + 1;
	}
	return n;
}

static int put_data_page(struct fl_pager *p, const struct fl_chunk *c, uint32_t from, uint32_t rows, uint8_t encoding,
			 struct fl_buf *out, struct fl_chunk_meta *m, struct extent *whole)
{
	struct fl_page_meta *page = &m->page[m->n_pages];
	struct extent e = {0};
	uint32_t n = 0;
	int r;

	for (uint32_t i = 0; i < rows; i++) {
		uint32_t number = c->index[from + i];

		p->levels[i] = number != FL_PARQUET_NULL;
		p->ids[n] = number;
		n += number != FL_PARQUET_NULL;
	}
	for (uint32_t i = 0; i < n; i++)
		if (!i || p->ids[i] != p->ids[i - 1])
			widen(p, c, &e, p->ids[i]);
	*page = (struct fl_page_meta){.offset = out->len, .first_row = from, .rows = rows, .nulls = rows - n};
	m->n_pages++;
	if (e.n) {
		widen(p, c, whole, e.least);
		widen(p, c, whole, e.most);
	}
	fl_buf_reset(&p->body);
	r = range_of(c, &e, page);
	if (!r)
		r = put_levels(p, rows, rows - n);
	if (!r)
		r = put_values(p, c, n, encoding);
	if (!r)
		r = put_page(p, out, FL_PARQUET_DATA_PAGE, rows, encoding, m);
	page->size = (uint32_t)(out->len - page->offset);
	return r;
}

/* ---- which encoding ---- */

static size_t values_bytes(const struct fl_pager *p, const struct fl_chunk *c)
{
	return is_text(c) ? p->text.len + (size_t)4 * c->n : (size_t)c->n * (c->int32 ? 4 : 8);
}

/*
 * A dictionary where values repeat: readers parse and compare each once. Of numbers that do not, those that rise (times
 * over a long span) are told by their differences; sizes of flows, which are anything, are smaller as they are, by the
 * general compression.
 */
static uint8_t choose(const struct fl_pager *p, const struct fl_chunk *c, bool rising)
{
	size_t values = values_bytes(p, c), whole = c->n ? values / c->n * c->rows : 0;
	size_t with = values + (size_t)c->rows * fl_bit_width(c->n) / 8;

	if (!c->loose && c->n && values <= DICTIONARY_MAX && (c->n < 256 || with < whole - whole / 8))
		return FL_PARQUET_RLE_DICTIONARY;
	return !is_text(c) && rising ? FL_PARQUET_DELTA_BINARY_PACKED : FL_PARQUET_PLAIN;
}

static bool is_rising(const struct fl_chunk *c)
{
	if (is_text(c) || c->nulls)
		return false;
	for (uint32_t i = 1; i < c->rows; i++)
		if (c->u64[c->index[i]] < c->u64[c->index[i - 1]])
			return false;
	return true;
}

int fl_pager_chunk(struct fl_pager *p, const struct fl_chunk *c, struct fl_buf *out, struct fl_chunk_meta *m)
{
	struct extent whole = {0};
	size_t begin = out->len;
	int r = render(p, c);

	if (r)
		return r;
	m->rising = is_rising(c);
	m->encoding = choose(p, c, m->rising);
	m->values = c->rows;
	m->nulls = c->nulls;
	m->distinct = c->loose ? 0 : c->n;
	if (m->encoding == FL_PARQUET_RLE_DICTIONARY)
		r = put_dictionary(p, c, out, m);
	m->data_offset = out->len - begin;
	for (uint32_t from = 0, n; from < c->rows && !r; from += n) {
		struct fl_page_meta *grown = realloc(m->page, (m->n_pages + 1) * sizeof *grown);

		if (!grown)
			return -ENOMEM;
		m->page = grown;
		n = page_rows(p, c, from, m->encoding);
		r = put_data_page(p, c, from, n, m->encoding, out, m, &whole);
	}
	m->size = out->len - begin;
	m->whole.nulls = c->nulls;
	return r ? r : range_of(c, &whole, &m->whole);
}
