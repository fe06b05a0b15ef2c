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

/* The page at the window's beginning, decompressed into `to`; the first `plain` bytes of it never are. */
static int unpack_page(struct fl_pq_stream *s, const struct fl_pq_page_header *h, size_t plain, struct fl_buf *to)
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
			r = unpack_page(s, &s->header, 0, &s->dictionary.page);
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

/* ---- loading a page ---- */

static unsigned plain_width(const struct fl_pq_stream *s)
{
	switch (s->column->type) {
	case FL_PARQUET_INT32:
	case FL_PARQUET_FLOAT:
		return 4;
	case FL_PARQUET_INT64:
	case FL_PARQUET_DOUBLE:
		return 8;
	case FL_PARQUET_INT96:
		return 12;
	case FL_PARQUET_FIXED:
		return s->column->width;
	default:
		return 0; /* each has its own */
	}
}

static int room_for_texts(struct fl_pq_stream *s, size_t n)
{
	struct fl_str *grown;

	if (n > FL_PARQUET_DICTIONARY_VALUES || n > s->rows)
		return fl_pq_fail(s, "a page of too many texts");
	if (n > s->texts_cap) {
		if (*s->held + n * sizeof *grown > FL_PARQUET_READER_MAX)
			return fl_pq_fail(s, "pages of a row group need more than 1 GiB together");
		grown = realloc(s->texts, n * sizeof *grown);
		if (!grown)
			return -ENOMEM;
		*s->held += (n - s->texts_cap) * sizeof *grown;
		s->texts = grown;
		s->texts_cap = n;
	}
	s->texts_n = n;
	s->texts_at = 0;
	return 0;
}

/* Lengths into texts[].n; *p moves behind them. */
static int read_lengths(struct fl_pq_stream *s, const uint8_t **p)
{
	struct fl_delta d;
	uint64_t step[256];
	int r;

	if (!fl_delta_begin(&d, *p, s->data_end, true))
		return fl_pq_fail(s, "lengths of texts are damaged");
	r = room_for_texts(s, d.left);
	if (r)
		return r;
	for (size_t i = 0; i < s->texts_n;) {
		uint32_t n = (uint32_t)FL_MIN(s->texts_n - i, FL_ARRAY_LEN(step));

		if (!fl_delta_get(&d, step, n))
			return fl_pq_fail(s, "lengths of texts are damaged");
		for (uint32_t k = 0; k < n; k++)
			s->texts[i++].n = (size_t)step[k];
	}
	*p = fl_delta_end(&d);
	return 0;
}

static int load_delta_length(struct fl_pq_stream *s)
{
	const uint8_t *p = s->data;
	int r = read_lengths(s, &p);

	for (size_t i = 0; !r && i < s->texts_n; i++) {
		if (s->texts[i].n > (size_t)(s->data_end - p))
			return fl_pq_fail(s, "a text goes beyond its page");
		s->texts[i].p = (const char *)p;
		p += s->texts[i].n;
	}
	return r;
}

/* Each text: so many bytes of the one before, then its own. */
static int load_delta_bytes(struct fl_pq_stream *s)
{
	const uint8_t *p = s->data;
	uint32_t *prefix FL_CLEANUP(fl_freep) = NULL;
	size_t total = 0, at = 0, n;
	int r = read_lengths(s, &p);

	if (r)
		return r;
	n = s->texts_n;
	prefix = malloc((n + 1) * sizeof *prefix);
	if (!prefix)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		prefix[i] = (uint32_t)s->texts[i].n;
	r = read_lengths(s, &p);
	if (r)
		return r;
	if (s->texts_n != n)
		return fl_pq_fail(s, "prefixes and texts differ in number");
	for (size_t i = 0; i < n; i++) {
		size_t before = i ? prefix[i - 1] + s->texts[i - 1].n : 0;

		if (prefix[i] > before || s->texts[i].n > (size_t)(s->data_end - p))
			return fl_pq_fail(s, "a text goes beyond its page");
		total += prefix[i] + s->texts[i].n;
		if (total > FL_PARQUET_PAGE_MAX)
			return fl_pq_fail(s, "a page of more than 256 MiB");
	}
	r = fl_pq_room(s, &s->arena, total);
	for (size_t i = 0; !r && i < n; i++) {
		size_t own = s->texts[i].n;
		char *to = s->arena.data + at;

		if (own > (size_t)(s->data_end - p))
			return fl_pq_fail(s, "a text goes beyond its page");
		if (prefix[i])
			memcpy(to, s->texts[i - 1].p, prefix[i]);
		if (own)
			memcpy(to + prefix[i], p, own);
		p += own;
		s->texts[i] = (struct fl_str){to, prefix[i] + own};
		at += s->texts[i].n;
	}
	return r;
}

static int load_split(struct fl_pq_stream *s)
{
	unsigned width = plain_width(s);
	size_t n = (size_t)(s->data_end - s->data);

	if (!width || width == 12 || n % width)
		return fl_pq_fail(s, "BYTE_STREAM_SPLIT of another type");
	s->split_n = (uint32_t)(n / width);
	s->split_at = 0;
	if (s->column->type != FL_PARQUET_FIXED)
		return 0;
	/* Texts are put together at once. */
	if (room_for_texts(s, s->split_n) || fl_pq_room(s, &s->arena, n))
		return -EBADMSG;
	for (size_t i = 0; i < s->split_n; i++) {
		char *to = s->arena.data + i * width;

		for (unsigned k = 0; k < width; k++)
			to[k] = (char)s->data[k * (size_t)s->split_n + i];
		s->texts[i] = (struct fl_str){to, width};
	}
	return 0;
}

static int load_values(struct fl_pq_stream *s)
{
	bool bytes = s->column->kind == FL_PQ_BYTES;
	uint32_t length;

	s->raw = bytes ? FL_RAW_BYTES : FL_RAW_NUMBER;
	s->texts_n = 0;
	switch (s->header.encoding) {
	case FL_PARQUET_PLAIN_DICTIONARY:
	case FL_PARQUET_RLE_DICTIONARY:
		s->raw = FL_RAW_INDEX;
		if (!s->has_dictionary)
			return fl_pq_fail(s, "there is no dictionary");
		if (s->data == s->data_end) { /* nulls only */
			fl_hybrid_begin(&s->index, s->data, s->data, 0);
			return 0;
		}
		if (*s->data > 32)
			return fl_pq_fail(s, "indices of more than 32 bits");
		fl_hybrid_begin(&s->index, s->data + 1, s->data_end, *s->data);
		return 0;
	case FL_PARQUET_PLAIN:
		s->index.bit = 0; /* of booleans */
		return 0;
	case FL_PARQUET_RLE:
		if (s->column->type != FL_PARQUET_BOOLEAN || s->data_end - s->data < 4)
			break;
		memcpy(&length, s->data, sizeof length);
		if (length > (size_t)(s->data_end - s->data) - 4)
			return fl_pq_fail(s, "its booleans go beyond their page");
		fl_hybrid_begin(&s->index, s->data + 4, s->data + 4 + length, 1);
		return 0;
	case FL_PARQUET_DELTA_BINARY_PACKED:
		if (s->column->type != FL_PARQUET_INT32 && s->column->type != FL_PARQUET_INT64)
			break;
		if (!fl_delta_begin(&s->delta, s->data, s->data_end, s->column->type == FL_PARQUET_INT32))
			return fl_pq_fail(s, "its numbers are damaged");
		return 0;
	case FL_PARQUET_DELTA_LENGTH_BYTE_ARRAY:
		if (s->column->type != FL_PARQUET_BYTE_ARRAY)
			break;
		return load_delta_length(s);
	case FL_PARQUET_DELTA_BYTE_ARRAY:
		if (!bytes)
			break;
		return load_delta_bytes(s);
	case FL_PARQUET_BYTE_STREAM_SPLIT:
		return load_split(s);
	default:
		break;
	}
	return fl_pq_fail(s, "an encoding that its type does not have");
}

static int load(struct fl_pq_stream *s)
{
	const struct fl_pq_page_header *h = &s->header;
	bool v2 = h->page == FL_PARQUET_DATA_PAGE_V2;
	size_t plain = v2 ? (size_t)h->def_bytes + h->rep_bytes : 0;
	const uint8_t *p, *level;
	uint32_t length = 0;
	int r;

	if (plain > h->size || plain > h->raw_size || (v2 && h->rep_bytes))
		return fl_pq_fail(s, "a page's header is damaged");
	r = unpack_page(s, h, plain, &s->body);
	if (r)
		return r;
	p = (const uint8_t *)s->body.data;
	s->data_end = p + h->raw_size;
	s->levels = s->column->optional;
	level = p;
	if (v2) {
		length = h->def_bytes;
		p += plain;
	} else if (s->levels) {
		if (h->level_encoding != FL_PARQUET_RLE)
			return fl_pq_fail(s, "levels in the deprecated encoding BIT_PACKED");
		if (h->raw_size < sizeof length)
			return fl_pq_fail(s, "a page is too short");
		memcpy(&length, p, sizeof length);
		if (length > h->raw_size - sizeof length)
			return fl_pq_fail(s, "levels go beyond their page");
		level = p + sizeof length;
		p = level + length;
	}
	if (s->levels)
		fl_hybrid_begin(&s->level, level, level + length, 1);
	s->data = p;
	r = load_values(s);
	s->loaded = !r;
	s->pending = s->taken;
	return r;
}

/* ---- rows ---- */

/* How many of the next n rows have values; nulls into s->null. */
static int read_levels(struct fl_pq_stream *s, uint32_t n, uint32_t *ret)
{
	uint32_t same = 0;

	*ret = n;
	s->any_null = false;
	if (!s->levels)
		return 0;
	if (fl_hybrid_same(&s->level, n, &same)) {
		*ret = same ? n : 0;
		s->any_null = !same;
		if (!same)
			memset(s->null, 0xff, sizeof s->null);
		return 0;
	}
	memset(s->null, 0, sizeof s->null);
	if (!fl_hybrid_zeroes(&s->level, s->null, n))
		return fl_pq_fail(s, "there are fewer levels than rows");
	for (uint32_t i = 0; i < FL_BATCH_WORDS; i++)
		*ret -= (uint32_t)__builtin_popcountll(s->null[i]);
	s->any_null = *ret < n;
	return 0;
}

static bool get_plain_numbers(struct fl_pq_stream *s, uint32_t n)
{
	unsigned width = plain_width(s);
	bool is_signed = s->column->kind == FL_PQ_SIGNED;
	uint32_t half;
	int32_t day;
	int64_t nanos;

	if (s->column->type == FL_PARQUET_BOOLEAN) {
		if (s->index.bit + n > (uint64_t)(s->data_end - s->data) * 8)
			return false;
		for (uint32_t i = 0; i < n; i++, s->index.bit++)
			s->numbers[i] = s->data[s->index.bit / 8] >> (s->index.bit % 8) & 1;
		return true;
	}
	if ((size_t)(s->data_end - s->data) < (size_t)n * width)
		return false;
	if (width == 8) {
		memcpy(s->numbers, s->data, (size_t)n * 8);
	} else if (width == 4) {
		for (uint32_t i = 0; i < n; i++) {
			memcpy(&half, s->data + i * 4, sizeof half);
			s->numbers[i] = is_signed ? (uint64_t)(int64_t)(int32_t)half : half;
		}
	} else {
		for (uint32_t i = 0; i < n; i++) { /* nanoseconds of a day, Julian day; here seconds */
			memcpy(&nanos, s->data + i * 12, sizeof nanos);
			memcpy(&day, s->data + i * 12 + 8, sizeof day);
			s->numbers[i] = (uint64_t)(((int64_t)day - 2440588) * 86400 + nanos / 1000000000);
		}
	}
	s->data += (size_t)n * width;
	return true;
}

static bool get_split_numbers(struct fl_pq_stream *s, uint32_t n)
{
	unsigned width = plain_width(s);

	if (n > s->split_n - s->split_at)
		return false;
	for (uint32_t i = 0; i < n; i++) {
		uint64_t v = 0;

		for (unsigned k = 0; k < width; k++)
			v |= (uint64_t)s->data[k * (size_t)s->split_n + s->split_at + i] << (8 * k);
		s->numbers[i] = width == 4 && s->column->kind == FL_PQ_SIGNED ? (uint64_t)(int64_t)(int32_t)v : v;
	}
	s->split_at += n;
	return true;
}

static bool get_numbers(struct fl_pq_stream *s, uint32_t n)
{
	switch (s->header.encoding) {
	case FL_PARQUET_RLE:
		if (!fl_hybrid_get(&s->index, s->ids, n))
			return false;
		for (uint32_t i = 0; i < n; i++)
			s->numbers[i] = s->ids[i];
		return true;
	case FL_PARQUET_DELTA_BINARY_PACKED:
		if (!fl_delta_get(&s->delta, s->numbers, n))
			return false;
		if (s->column->kind == FL_PQ_UNSIGNED && s->column->type == FL_PARQUET_INT32)
			for (uint32_t i = 0; i < n; i++)
				s->numbers[i] = (uint32_t)s->numbers[i];
		return true;
	case FL_PARQUET_BYTE_STREAM_SPLIT:
		return get_split_numbers(s, n);
	default:
		return get_plain_numbers(s, n);
	}
}

static bool get_bytes(struct fl_pq_stream *s, uint32_t n)
{
	unsigned fixed = plain_width(s);

	if (s->header.encoding != FL_PARQUET_PLAIN) {
		if (n > s->texts_n - s->texts_at)
			return false;
		memcpy(s->bytes, s->texts + s->texts_at, n * sizeof *s->bytes);
		s->texts_at += n;
		return true;
	}
	for (uint32_t i = 0; i < n; i++) {
		uint32_t length = fixed;

		if (!fixed) {
			if (s->data_end - s->data < 4)
				return false;
			memcpy(&length, s->data, sizeof length);
			s->data += sizeof length;
		}
		if (length > (size_t)(s->data_end - s->data))
			return false;
		s->bytes[i] = (struct fl_str){(const char *)s->data, length};
		s->data += length;
	}
	return true;
}

static bool get_ids(struct fl_pq_stream *s, uint32_t n)
{
	uint32_t most = 0;

	if (!fl_hybrid_get(&s->index, s->ids, n))
		return false;
	for (uint32_t i = 0; i < n; i++)
		most = FL_MAX(most, s->ids[i]);
	return !n || most < s->dictionary.n;
}

static void move(struct fl_pq_stream *s, uint32_t to, uint32_t from, uint32_t n)
{
	if (s->raw == FL_RAW_INDEX)
		memmove(s->ids + to, s->ids + from, n * sizeof *s->ids);
	else if (s->raw == FL_RAW_NUMBER)
		memmove(s->numbers + to, s->numbers + from, n * sizeof *s->numbers);
	else
		memmove(s->bytes + to, s->bytes + from, n * sizeof *s->bytes);
}

static void clear(struct fl_pq_stream *s, uint32_t i)
{
	if (s->raw == FL_RAW_INDEX)
		s->ids[i] = 0;
	else if (s->raw == FL_RAW_NUMBER)
		s->numbers[i] = 0;
	else
		s->bytes[i] = (struct fl_str){0};
}

/* Values that stand together move to their rows, from the last one on: those between two nulls at once. */
static void spread(struct fl_pq_stream *s, uint32_t n, uint32_t values)
{
	uint32_t end = n; /* of the rows that are not in place */

	for (uint32_t w = FL_BATCH_WORDS; w-- > 0 && values < end;)
		for (uint64_t bits = s->null[w]; bits && values < end;) {
			unsigned bit = 63 - (unsigned)__builtin_clzll(bits);
			uint32_t row = w * 64 + bit;

			bits &= ~(UINT64_C(1) << bit);
			if (row >= end)
				continue;
			values -= end - row - 1;
			move(s, row + 1, values, end - row - 1);
			clear(s, row);
			end = row;
		}
}

static int decode(struct fl_pq_stream *s, uint32_t n)
{
	uint32_t values;
	bool good;
	int r = read_levels(s, n, &values);

	if (r)
		return r;
	good = s->raw == FL_RAW_INDEX    ? get_ids(s, values)
	       : s->raw == FL_RAW_NUMBER ? get_numbers(s, values)
					 : get_bytes(s, values);
	if (!good)
		return fl_pq_fail(s, "a page's values are damaged");
	if (s->any_null)
		spread(s, n, values);
	return 0;
}

static int catch_up(struct fl_pq_stream *s)
{
	uint32_t same;
	int r = 0;

	while (!r && s->pending) {
		uint32_t n = FL_MIN(s->pending, FL_BATCH_ROWS);

		if (s->raw == FL_RAW_INDEX && (!s->levels || fl_hybrid_same(&s->level, s->pending, &same))) {
			if ((!s->levels || same) && !fl_hybrid_skip(&s->index, s->pending))
				return fl_pq_fail(s, "a page's values are damaged");
			s->pending = 0;
			break;
		}
		r = decode(s, n);
		s->pending -= n;
	}
	return r;
}

int fl_pq_stream_decode(struct fl_pq_stream *s, uint32_t n)
{
	int r = s->loaded ? 0 : load(s);

	if (!r)
		r = catch_up(s);
	return r ? r : decode(s, n);
}

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
