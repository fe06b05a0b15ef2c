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
	more = FL_MAX(n - have, WINDOW);
	more = (size_t)FL_MIN(s->end - s->at, (uint64_t)more);
	cap = s->window.cap;
	if (have + more + FL_PQ_PAD > cap && *s->held + have + more > FL_PARQUET_READER_MAX) {
		*ret = fl_pq_fail(s, "pages of a row group need more than 1 GiB together");
		return NULL;
	}
	*ret = fl_buf_reserve(&s->window, more + FL_PQ_PAD);
	*s->held += s->window.cap - cap;
	if (!*ret)
		*ret = s->f->input.read(s->f->input.ctx, s->at, s->window.data + have, more);
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

/* The next data page's header, past a dictionary and pages of kinds that are not known. */
static int next_page(struct fl_pq_stream *s)
{
	int r;

	s->rows = s->taken = s->pending = 0;
	s->loaded = false;
	while (s->rows_left) {
		r = chunk_left(s) ? read_header(s) : fl_pq_fail(s, "fewer rows than its row group");
		if (r)
			return r;
		if (s->header.page == FL_PARQUET_DICTIONARY_PAGE && !s->has_dictionary) {
			r = fl_pq_unpack_page(s, &s->header, 0, &s->dictionary.page);
			if (!r)
				r = fl_pq_dictionary_make(s, s->header.values);
			s->has_dictionary = true;
			if (r)
				return r;
			continue;
		}
		if (s->header.page != FL_PARQUET_DATA_PAGE && s->header.page != FL_PARQUET_DATA_PAGE_V2) {
			r = skip_body(s);
			continue;
		}
		if (s->header.values > s->rows_left)
			return fl_pq_fail(s, "more rows than its row group");
		s->rows = s->header.values;
		s->rows_left -= s->rows;
		if (s->rows)
			return 0;
		r = skip_body(s);
	}
	return 0;
}

int fl_pq_stream_group(struct fl_pq_stream *s, const struct fl_pq_chunk *chunk, uint64_t rows)
{
	uint64_t size = s->f->input.size;

	s->chunk = chunk;
	s->rows_left = rows;
	s->has_dictionary = false;
	s->dictionary.n = s->dictionary.n_pass = 0;
	s->window_from = s->window.len = 0;
	s->at = chunk->dictionary_at && chunk->dictionary_at < chunk->data_at ? chunk->dictionary_at : chunk->data_at;
	if (chunk->type != s->column->type)
		return fl_pq_fail(s, "its type is not the schema's");
	if (s->at < 4 || s->at > size || chunk->size > size - s->at)
		return fl_pq_fail(s, "lies outside the file");
	s->end = s->at + chunk->size;
	return next_page(s);
}

/* ---- rows that are passed ---- */

int fl_pq_stream_done(struct fl_pq_stream *s, uint32_t n)
{
	s->taken += n;
	return s->taken == s->rows ? next_page(s) : 0;
}

int fl_pq_stream_skip(struct fl_pq_stream *s, uint32_t n)
{
	int r = 0;

	if (s->loaded)
		s->pending += n;
	else if (s->taken + n == s->rows)
		r = skip_body(s);
	return r ? r : fl_pq_stream_done(s, n);
}
