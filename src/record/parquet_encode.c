/* SPDX-License-Identifier: Apache-2.0 */
/* Parquet's encodings of integers (Encodings.md). */
#include <string.h>

#include "record/parquet_chunk.h"

unsigned fl_bit_width(uint64_t max)
{
	return max ? 64 - (unsigned)__builtin_clzll(max) : 0;
}

static uint8_t *put_varint(uint8_t *o, uint64_t v)
{
	for (; v >= 128; v >>= 7)
		*o++ = (uint8_t)(v | 128);
	*o++ = (uint8_t)v;
	return o;
}

static uint8_t *put_zigzag(uint8_t *o, int64_t v)
{
	return put_varint(o, (uint64_t)v << 1 ^ (uint64_t)(v >> 63));
}

/* ---- RLE / bit-packed hybrid ---- */

/* n is a multiple of eight; values beyond `there` are zero. */
static uint8_t *pack(uint8_t *o, const uint32_t *v, uint32_t n, uint32_t there, unsigned width)
{
	uint64_t word = 0;
	unsigned fill = 0;

	for (uint32_t i = 0; i < n; i++) {
		word |= (i < there ? (uint64_t)v[i] : 0) << fill;
		fill += width;
		if (fill >= 32) {
			uint32_t low = (uint32_t)word;

			memcpy(o, &low, sizeof low);
			o += sizeof low;
			word >>= 32;
			fill -= 32;
		}
	}
	for (; fill; fill = fill > 8 ? fill - 8 : 0) {
		*o++ = (uint8_t)word;
		word >>= 8;
	}
	return o;
}

static uint8_t *put_packed(uint8_t *o, const uint32_t *v, uint32_t n, unsigned width)
{
	uint32_t groups = (n + 7) / 8;

	if (!n)
		return o;
	o = put_varint(o, (uint64_t)groups << 1 | 1);
	return pack(o, v, groups * 8, n, width);
}

static bool all_same(const uint32_t *v)
{
	uint32_t other = 0;

	for (unsigned i = 1; i < 8; i++)
		other |= v[i] ^ v[0];
	return !other;
}

int fl_put_hybrid(struct fl_buf *out, const uint32_t *v, uint32_t n, unsigned width)
{
	uint32_t i = 0, packed = 0; /* where the values that wait to be packed begin */
	uint8_t *o;
	/* A run costs at most ten bytes and stands for eight values or more. */
	int r = fl_buf_reserve(out, (size_t)n * (width + 10) / 8 + width + 32);

	if (r)
		return r;
	o = (uint8_t *)out->data + out->len;
	while (i < n) {
		uint32_t end = i + 8;

		if (n - i < 8 || !all_same(v + i)) {
			i += FL_MIN(n - i, 8u);
			continue;
		}
		while (end < n && v[end] == v[i])
			end++;
		o = put_packed(o, v + packed, i - packed, width);
		o = put_varint(o, (uint64_t)(end - i) << 1);
		for (unsigned bit = 0; bit < width; bit += 8)
			*o++ = (uint8_t)(v[i] >> bit);
		packed = i = end;
	}
	o = put_packed(o, v + packed, n - packed, width);
	out->len = (size_t)(o - (uint8_t *)out->data);
	return 0;
}

/* ---- DELTA_BINARY_PACKED ---- */

#define BLOCK 128u
#define MINI 32u
#define MINIS (BLOCK / MINI)

static uint8_t *pack_mini(uint8_t *o, const uint64_t v[MINI], unsigned width)
{
	unsigned __int128 word = 0;
	unsigned fill = 0;

	for (unsigned i = 0; i < MINI; i++) {
		word |= (unsigned __int128)v[i] << fill;
		fill += width;
		for (; fill >= 8; fill -= 8) {
			*o++ = (uint8_t)word;
			word >>= 8;
		}
	}
	return o;
}

/* Differences wrap round in the type's own width. */
static int64_t difference(uint64_t a, uint64_t b, bool int32)
{
	return int32 ? (int32_t)((uint32_t)a - (uint32_t)b) : (int64_t)(a - b);
}

static uint8_t *put_block(uint8_t *o, const uint64_t *v, uint32_t n, uint64_t before, bool int32)
{
	uint64_t delta[BLOCK] = {0};
	int64_t least = INT64_MAX;
	uint8_t *widths;

	for (uint32_t i = 0; i < n; i++) {
		int64_t d = difference(v[i], i ? v[i - 1] : before, int32);

		delta[i] = (uint64_t)d;
		least = FL_MIN(least, d);
	}
	for (uint32_t i = 0; i < n; i++)
		delta[i] = int32 ? (uint32_t)(delta[i] - (uint64_t)least) : delta[i] - (uint64_t)least;
	o = put_zigzag(o, least);
	widths = o;
	memset(widths, 0, MINIS);
	o += MINIS;
	for (unsigned m = 0; m < MINIS && m * MINI < n; m++) {
		uint64_t any = 0;

		for (unsigned i = 0; i < MINI; i++)
			any |= delta[m * MINI + i];
		widths[m] = (uint8_t)fl_bit_width(any);
		o = pack_mini(o, delta + m * MINI, widths[m]);
	}
	return o;
}

int fl_put_delta(struct fl_buf *out, const uint64_t *v, uint32_t n, bool int32)
{
	uint8_t *o;
	int r = fl_buf_reserve(out, 64 + ((size_t)n / BLOCK + 1) * (16 + MINIS + BLOCK * 8));

	if (r)
		return r;
	o = (uint8_t *)out->data + out->len;
	o = put_varint(o, BLOCK);
	o = put_varint(o, MINIS);
	o = put_varint(o, n);
	o = put_zigzag(o, n ? difference(v[0], 0, int32) : 0);
	for (uint32_t i = 1; i < n; i += BLOCK)
		o = put_block(o, v + i, FL_MIN(n - i, BLOCK), v[i - 1], int32);
	out->len = (size_t)(o - (uint8_t *)out->data);
	return 0;
}
