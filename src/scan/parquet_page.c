/* SPDX-License-Identifier: Apache-2.0 */
/* A column of a row group as a stream of pages: headers are read ahead, bodies when a row of theirs is wanted. */
#include <errno.h>
#include <libdeflate.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "scan/parquet_inner.h"

#define WINDOW ((size_t)1 << 20)       /* read at once */
#define HEADER_FIRST ((size_t)1 << 10) /* of a page: enough without statistics of long texts */
#define HEADER_MAX ((size_t)1 << 20)

int fl_pq_fail(const struct fl_pq_stream *s, const char *what)
{
	return fl_fail(-EBADMSG, "%s: column %s: %s", s->f->name, s->target.name, what);
}

int fl_pq_room(struct fl_pq_stream *s, struct fl_buf *b, size_t n)
{
	size_t before = b->cap;
	int r;

	if (n > FL_PARQUET_PAGE_MAX)
		return fl_pq_fail(s, "a page of more than 256 MiB");
	if (n + FL_PQ_PAD > b->cap && *s->held + n > FL_PARQUET_READER_MAX)
		return fl_pq_fail(s, "pages of a row group need more than 1 GiB together");
	fl_buf_reset(b);
	r = fl_buf_reserve(b, n + FL_PQ_PAD);
	*s->held += b->cap - before;
	if (!r)
		memset(b->data + n, 0, FL_PQ_PAD);
	return r;
}

int fl_pq_stream_init(struct fl_pq_stream *s)
{
	s->window = s->body = s->arena = s->printed = s->dictionary.page = s->dictionary.printed =
	    FL_BUF(FL_PARQUET_PAGE_MAX + WINDOW);
	s->ids = calloc(FL_BATCH_ROWS, sizeof *s->ids);
	s->numbers = calloc(FL_BATCH_ROWS, sizeof *s->numbers);
	s->bytes = calloc(FL_BATCH_ROWS, sizeof *s->bytes);
	return s->ids && s->numbers && s->bytes ? 0 : -ENOMEM;
}

void fl_pq_stream_free(struct fl_pq_stream *s)
{
	fl_buf_free(&s->window);
	fl_buf_free(&s->body);
	fl_buf_free(&s->arena);
	fl_buf_free(&s->printed);
	fl_pq_dictionary_free(&s->dictionary, s->held);
	fl_pq_pages_free(&s->pages);
	free(s->texts);
	free(s->ids);
	free(s->numbers);
	free(s->bytes);
}

/* ---- the chunk's bytes ---- */

/* n bytes from the window's beginning on; NULL with an error that is told. The chunk has them, as the caller saw. */
static const uint8_t *look(struct fl_pq_stream *s, size_t n, int *ret)
{
	size_t have = s->window.len - s->window_from, more, cap;

	*ret = 0;
	if (have >= n)
		return (const uint8_t *)s->window.data + s->window_from;
	if (have)
		memmove(s->window.data, s->window.data + s->window_from, have);
	s->window.len = have;
	s->window_from = 0;
	more = WINDOW;
	if (s->input->at_hand)
		more = s->input->at_hand(s->input->ctx, s->at, more);
	more = FL_MAX(n - have, more);
	more = (size_t)FL_MIN(s->end - s->at, (uint64_t)more);
	cap = s->window.cap;
	if (have + more + FL_PQ_PAD > cap && *s->held + have + more > FL_PARQUET_READER_MAX) {
		*ret = fl_pq_fail(s, "pages of a row group need more than 1 GiB together");
		return NULL;
	}
	*ret = fl_buf_reserve(&s->window, more + FL_PQ_PAD);
	*s->held += s->window.cap - cap;
	if (!*ret)
		*ret = s->input->read(s->input->ctx, s->at, s->window.data + have, more);
	if (*ret) {
		fl_wrap(*ret, "%s", s->f->name);
		return NULL;
	}
	s->at += more;
	*s->bytes_read += more;
	s->window.len += more;
	memset(s->window.data + s->window.len, 0, FL_PQ_PAD);
	return (const uint8_t *)s->window.data;
}

static uint64_t chunk_left(const struct fl_pq_stream *s)
{
	return s->window.len - s->window_from + (s->end - s->at);
}

/* ---- bodies ---- */

static int to_codec(const struct fl_pq_stream *s, enum fl_codec *ret)
{
	static const struct {
		uint8_t number, codec;
	} codecs[] = {{FL_PARQUET_UNCOMPRESSED, FL_CODEC_NONE},
		      {FL_PARQUET_SNAPPY, FL_CODEC_SNAPPY},
		      {FL_PARQUET_GZIP, FL_CODEC_GZIP},
		      {FL_PARQUET_ZSTD, FL_CODEC_ZSTD},
		      {FL_PARQUET_LZ4_RAW, FL_CODEC_LZ4}};
	static const char *const others[] = {[FL_PARQUET_LZO] = "LZO",
					     [FL_PARQUET_BROTLI] = "Brotli",
					     [FL_PARQUET_LZ4] = "the deprecated LZ4 of Hadoop"};

	for (size_t i = 0; i < FL_ARRAY_LEN(codecs); i++)
		if (codecs[i].number == s->chunk->codec) {
			*ret = codecs[i].codec;
			return 0;
		}
	return fl_fail(-ENOTSUP,
		       "%s: compressed with %s, which is not read; snappy, gzip, zstd and lz4_raw are: write it again "
		       "with one of them",
		       s->f->name,
		       s->chunk->codec < FL_ARRAY_LEN(others) && others[s->chunk->codec] ? others[s->chunk->codec]
											 : "an unknown codec");
}

int fl_pq_unpack_page(struct fl_pq_stream *s, const struct fl_pq_page_header *h, size_t plain, struct fl_buf *to)
{
	enum fl_codec codec = FL_CODEC_NONE;
	const uint8_t *p;
	int r = to_codec(s, &codec);

	if (r)
		return r;
	p = look(s, h->size, &r);
	if (!p)
		return r;
	if (h->has_crc && libdeflate_crc32(0, p, h->size) != h->crc)
		return fl_pq_fail(s, "a page's checksum does not match");
	r = fl_pq_room(s, to, h->raw_size);
	if (r)
		return r;
	if (plain)
		memcpy(to->data, p, plain);
	if (!h->compressed)
		codec = FL_CODEC_NONE;
	/* Without values nothing was compressed, say some writers. */
	if (h->size > plain || h->raw_size > plain)
		r = fl_decompress(s->coder, codec, p + plain, h->size - plain, to->data + plain, h->raw_size - plain);
	to->len = h->raw_size;
	s->window_from += h->size;
	return r ? fl_wrap(r, "%s: column %s", s->f->name, s->target.name) : 0;
}

/* ---- headers ---- */

static int read_header(struct fl_pq_stream *s)
{
	size_t n = (size_t)FL_MIN(chunk_left(s), (uint64_t)HEADER_FIRST), took;
	const uint8_t *p;
	int r;

	for (;;) {
		p = look(s, n, &r);
		if (!p)
			return r;
		took = fl_pq_parse_page_header(p, n, &s->header);
		if (took || n == chunk_left(s) || n >= HEADER_MAX)
			break;
		n = (size_t)FL_MIN(chunk_left(s), (uint64_t)n * 8);
	}
	s->window_from += took;
	if (!took || s->header.size > chunk_left(s))
		return fl_pq_fail(s, "a page's header is damaged");
	return 0;
}

static int skip_body(struct fl_pq_stream *s)
{
	size_t have = s->window.len - s->window_from;

	if (s->header.size <= have) {
		s->window_from += s->header.size;
		return 0;
	}
	s->at += s->header.size - have;
	s->window_from = s->window.len = 0;
	return 0;
}

/* To a byte of the chunk. */
static void seek(struct fl_pq_stream *s, uint64_t at)
{
	uint64_t begin = s->at - s->window.len;

	if (at >= begin && at <= s->at) {
		s->window_from = (size_t)(at - begin);
		return;
	}
	s->at = at;
	s->window_from = s->window.len = 0;
}

static uint64_t position(const struct fl_pq_stream *s)
{
	return s->at - (s->window.len - s->window_from);
}

static int read_dictionary(struct fl_pq_stream *s)
{
	int r;

	if (s->has_dictionary)
		return skip_body(s);
	r = fl_pq_unpack_page(s, &s->header, 0, &s->dictionary.page);
	if (!r)
		r = fl_pq_dictionary_make(s, s->header.values);
	s->has_dictionary = true;
	return r;
}

/* The next data page's header, past a dictionary and pages of kinds that are not known. */
static int next_page(struct fl_pq_stream *s)
{
	int r = 0;

	s->first_row += s->rows;
	s->rows = s->taken = s->pending = 0;
	s->loaded = false;
	while (!r && s->first_row < s->group_rows) {
		r = chunk_left(s) ? read_header(s) : fl_pq_fail(s, "fewer rows than its row group");
		if (r)
			return r;
		if (s->header.page == FL_PARQUET_DICTIONARY_PAGE) {
			r = read_dictionary(s);
		} else if (s->header.page != FL_PARQUET_DATA_PAGE && s->header.page != FL_PARQUET_DATA_PAGE_V2) {
			r = skip_body(s);
		} else if (s->header.values > s->group_rows - s->first_row) {
			r = fl_pq_fail(s, "more rows than its row group");
		} else if (s->header.values) {
			s->rows = s->header.values;
			return 0;
		} else {
			r = skip_body(s);
		}
	}
	return r;
}

int fl_pq_stream_group(struct fl_pq_stream *s, const struct fl_pq_chunk *chunk, uint64_t rows)
{
	uint64_t size = s->f->input.size;
	int r = 0;

	s->chunk = chunk;
	s->group_rows = rows;
	s->first_row = 0;
	s->rows = s->taken = s->decoded = s->pending = 0;
	s->has_dictionary = s->loaded = false;
	s->dictionary.n = s->dictionary.n_pass = 0;
	s->window_from = s->window.len = 0;
	s->at = fl_pq_chunk_begin(chunk);
	if (chunk->type != s->column->type)
		return fl_pq_fail(s, "its type is not the schema's");
	if (s->at < 4 || s->at > size || chunk->size > size - s->at)
		return fl_pq_fail(s, "lies outside the file");
	s->end = s->at + chunk->size;
	if (!s->pages.n)
		return next_page(s);
	/* What stands before the first page. */
	while (!r && position(s) < s->pages.page[0].at) {
		r = read_header(s);
		if (!r)
			r = s->header.page == FL_PARQUET_DICTIONARY_PAGE ? read_dictionary(s) : skip_body(s);
	}
	return r;
}

/* ---- moving on ---- */

/* The page of this row, by the index. */
static int find_page(struct fl_pq_stream *s, uint64_t row)
{
	const struct fl_pq_pages *p = &s->pages;
	size_t low = 0, high = p->n; /* the page is among these */
	int r;

	while (high - low > 1) {
		size_t middle = low + (high - low) / 2;

		if (p->page[middle].first_row <= row)
			low = middle;
		else
			high = middle;
	}
	seek(s, p->page[low].at);
	s->first_row = p->page[low].first_row;
	s->rows = 0;
	r = next_page(s);
	if (!r && (s->first_row != p->page[low].first_row ||
		   s->first_row + s->rows != (low + 1 < p->n ? p->page[low + 1].first_row : s->group_rows)))
		return fl_pq_fail(s, "its pages are not those of its index");
	return r;
}

int fl_pq_stream_to(struct fl_pq_stream *s, uint64_t row)
{
	uint32_t n;
	int r = 0;

	s->taken += s->decoded;
	s->decoded = 0;
	if (s->pages.n && row >= s->first_row + s->rows)
		r = find_page(s, row);
	while (!r && row >= s->first_row + s->rows) {
		if (s->rows && !s->loaded)
			r = skip_body(s);
		r = r ? r : next_page(s);
		if (!r && !s->rows)
			return fl_pq_fail(s, "fewer rows than its row group");
	}
	if (r)
		return r;
	n = (uint32_t)(row - s->first_row) - s->taken;
	if (s->loaded)
		s->pending += n;
	s->taken += n;
	return 0;
}
