/* SPDX-License-Identifier: Apache-2.0 */
/* Rows out of a page that is loaded: levels, then values of any encoding, each in its place. */
#include <string.h>

#include "base/error.h"
#include "scan/parquet_inner.h"

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
	unsigned width = fl_pq_plain_width(s);
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
	unsigned width = fl_pq_plain_width(s);

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
	unsigned fixed = fl_pq_plain_width(s);

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
	int r = s->loaded ? 0 : fl_pq_load(s);

	r = r ? r : catch_up(s);
	r = r ? r : decode(s, n);
	s->decoded = r ? 0 : n;
	return r;
}
