/* SPDX-License-Identifier: Apache-2.0 */
/* A data page of a Parquet file, unpacked and made ready for its values to be taken out. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "scan/parquet_inner.h"

unsigned fl_pq_plain_width(const struct fl_pq_stream *s)
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
	unsigned width = fl_pq_plain_width(s);
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

int fl_pq_load(struct fl_pq_stream *s)
{
	const struct fl_pq_page_header *h = &s->header;
	bool v2 = h->page == FL_PARQUET_DATA_PAGE_V2;
	size_t plain = v2 ? (size_t)h->def_bytes + h->rep_bytes : 0;
	const uint8_t *p, *level;
	uint32_t length = 0;
	int r;

	if (plain > h->size || plain > h->raw_size || (v2 && h->rep_bytes))
		return fl_pq_fail(s, "a page's header is damaged");
	r = fl_pq_unpack_page(s, h, plain, &s->body);
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
