/* SPDX-License-Identifier: Apache-2.0 */
/* Parquet's encodings of integers, read (Encodings.md). Loads of eight bytes may go beyond the end by less than
 * FL_PQ_PAD, which buffers have behind them. */
#include <string.h>
#ifdef __x86_64__
#include <immintrin.h>
#endif

#include "scan/parquet_inner.h"

static inline uint64_t load64(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof v);
	return v;
}

static bool get_varint(const uint8_t **p, const uint8_t *end, uint64_t *ret)
{
	uint64_t v = 0;

	for (unsigned shift = 0; shift < 64 && *p < end; shift += 7) {
		uint8_t b = *(*p)++;

		v |= (uint64_t)(b & 127) << shift;
		if (!(b & 128)) {
			*ret = v;
			return true;
		}
	}
	return false;
}

static bool get_zigzag(const uint8_t **p, const uint8_t *end, uint64_t *ret)
{
	uint64_t v;

	if (!get_varint(p, end, &v))
		return false;
	*ret = v >> 1 ^ (~(v & 1) + 1);
	return true;
}

/* ---- RLE / bit-packed hybrid ---- */

void fl_hybrid_begin(struct fl_hybrid *h, const uint8_t *p, const uint8_t *end, unsigned width)
{
	*h = (struct fl_hybrid){.p = p, .end = end, .width = width};
}

static bool next_run(struct fl_hybrid *h)
{
	uint64_t header, bytes, left;

	if (!get_varint(&h->p, h->end, &header) || header >> 1 > UINT32_MAX)
		return false;
	left = (uint64_t)(h->end - h->p);
	if (header & 1) {
		/* Some writers cut the last group short. */
		bytes = FL_MIN((header >> 1) * h->width, left);
		h->packed = h->p;
		h->bit = 0;
		h->packed_left = h->width ? FL_MIN((header >> 1) * 8, bytes * 8 / h->width) : (header >> 1) * 8;
		h->p += bytes;
		return h->packed_left;
	}
	bytes = (h->width + 7) / 8;
	if (left < bytes || !(header >> 1))
		return false;
	h->value = 0;
	memcpy(&h->value, h->p, bytes);
	h->p += bytes;
	h->run = header >> 1;
	return true;
}

#ifdef __x86_64__
/* Eight values a step: a word of four bytes is gathered for each, which holds up to 25 bits at any place. */
__attribute__((target("avx2"))) static uint32_t unpack_avx2(const uint8_t *p, uint64_t bit, unsigned width,
							    uint32_t *ret, uint32_t n)
{
	const __m256i step = _mm256_set1_epi32((int)(8 * width)), mask = _mm256_set1_epi32((int)((1u << width) - 1)),
		      seven = _mm256_set1_epi32(7);
	__m256i at = _mm256_add_epi32(
	    _mm256_mullo_epi32(_mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7), _mm256_set1_epi32((int)width)),
	    _mm256_set1_epi32((int)bit));
	uint32_t i = 0;

	for (; i + 8 <= n; i += 8) {
		__m256i words = _mm256_i32gather_epi32((const int *)p, _mm256_srli_epi32(at, 3), 1);

		words = _mm256_and_si256(_mm256_srlv_epi32(words, _mm256_and_si256(at, seven)), mask);
		_mm256_storeu_si256((__m256i *)(ret + i), words);
		at = _mm256_add_epi32(at, step);
	}
	return i;
}
#endif

static inline void unpack(const uint8_t *p, uint64_t bit, unsigned width, uint32_t *ret, uint32_t n)
{
	uint64_t mask = (UINT64_C(1) << width) - 1;
	uint32_t i = 0;

	p += bit >> 3;
	bit &= 7;
#ifdef __x86_64__
	if (n >= 16 && width && width <= 25 && __builtin_cpu_supports("avx2")) {
		i = unpack_avx2(p, bit, width, ret, n);
		bit += (uint64_t)i * width;
	}
#endif
	for (; i < n; i++) {
		ret[i] = (uint32_t)(load64(p + (bit >> 3)) >> (bit & 7) & mask);
		bit += width;
	}
}

bool fl_hybrid_get(struct fl_hybrid *h, uint32_t *ret, uint32_t n)
{
	while (n) {
		uint32_t k;

		if (h->run) {
			k = (uint32_t)FL_MIN(h->run, (uint64_t)n);
			for (uint32_t i = 0; i < k; i++)
				ret[i] = h->value;
			h->run -= k;
		} else if (h->packed_left) {
			k = (uint32_t)FL_MIN(h->packed_left, (uint64_t)n);
			unpack(h->packed, h->bit, h->width, ret, k);
			h->bit += (uint64_t)k * h->width;
			h->packed_left -= k;
		} else if (!next_run(h)) {
			return false;
		} else {
			continue;
		}
		ret += k;
		n -= k;
	}
	return true;
}

/* The low n bits, up to 64. */
static uint64_t low_bits(uint32_t n)
{
	return n >= 64 ? UINT64_MAX : (UINT64_C(1) << n) - 1;
}

static void set_bits(uint64_t *bits, uint32_t at, uint64_t v)
{
	bits[at / 64] |= v << (at % 64);
	if (at % 64 && v >> (64 - at % 64))
		bits[at / 64 + 1] |= v >> (64 - at % 64);
}

bool fl_hybrid_zeroes(struct fl_hybrid *h, uint64_t *bits, uint32_t n)
{
	for (uint32_t at = 0, k; at < n; at += k) {
		if (h->run) {
			k = (uint32_t)FL_MIN(h->run, (uint64_t)(n - at));
			for (uint32_t i = 0; !h->value && i < k; i += 64)
				set_bits(bits, at + i, low_bits(k - i));
			h->run -= k;
		} else if (h->packed_left) {
			k = (uint32_t)FL_MIN(h->packed_left, (uint64_t)(n - at));
			k = FL_MIN(k, 56u); /* what a load holds at any bit */
			set_bits(bits, at, ~(load64(h->packed + h->bit / 8) >> (h->bit % 8)) & low_bits(k));
			h->bit += k;
			h->packed_left -= k;
		} else if (!next_run(h)) {
			return false;
		} else {
			k = 0;
		}
	}
	return true;
}

bool fl_hybrid_skip(struct fl_hybrid *h, uint32_t n)
{
	while (n) {
		uint32_t k = (uint32_t)FL_MIN(h->run, (uint64_t)n);

		h->run -= k;
		n -= k;
		k = (uint32_t)FL_MIN(h->packed_left, (uint64_t)n);
		h->bit += (uint64_t)k * h->width;
		h->packed_left -= k;
		n -= k;
		if (n && !next_run(h))
			return false;
	}
	return true;
}

bool fl_hybrid_same(struct fl_hybrid *h, uint32_t n, uint32_t *ret)
{
	if (!h->run && !h->packed_left && !next_run(h))
		return false;
	if (h->run < n)
		return false;
	h->run -= n;
	*ret = h->value;
	return true;
}

/* ---- DELTA_BINARY_PACKED ---- */

bool fl_delta_begin(struct fl_delta *d, const uint8_t *p, const uint8_t *end, bool int32)
{
	uint64_t block, minis;

	memset(d, 0, sizeof *d);
	if (!get_varint(&p, end, &block) || !get_varint(&p, end, &minis) || !get_varint(&p, end, &d->left) ||
	    !get_zigzag(&p, end, &d->value))
		return false;
	if (!minis || !block || block % minis || block / minis > FL_DELTA_MINI_MAX || block / minis % 8 || minis > 1024)
		return false;
	d->p = p;
	d->end = end;
	d->int32 = int32;
	d->first = true;
	d->block = (uint32_t)block;
	d->minis = d->mini = (uint32_t)minis;
	d->mini_values = (uint32_t)(block / minis);
	return true;
}

static bool next_mini(struct fl_delta *d)
{
	uint64_t bytes;

	if (d->mini == d->minis) {
		if (!get_zigzag(&d->p, d->end, &d->least) || (size_t)(d->end - d->p) < d->minis)
			return false;
		d->widths = d->p;
		d->p += d->minis;
		d->mini = 0;
	}
	d->width = d->widths[d->mini++];
	bytes = (uint64_t)d->width * d->mini_values / 8;
	if (d->width > 64)
		return false;
	/* The last one of all may be cut where its values end. */
	if ((uint64_t)(d->end - d->p) < bytes) {
		uint64_t need = (FL_MIN(d->left, (uint64_t)d->mini_values) * d->width + 7) / 8;

		if ((uint64_t)(d->end - d->p) < need)
			return false;
		bytes = need;
	}
	d->packed = d->p;
	d->bit = 0;
	d->p += bytes;
	d->mini_left = d->mini_values;
	return true;
}

static inline uint64_t unpack_wide(const uint8_t *p, uint64_t bit, unsigned width)
{
	unsigned shift = bit & 7;
	uint64_t v;

	p += bit >> 3;
	if (!width)
		return 0;
	v = load64(p) >> shift;
	if (shift + width > 64)
		v |= (uint64_t)p[8] << (64 - shift);
	return width == 64 ? v : v & ((UINT64_C(1) << width) - 1);
}

bool fl_delta_get(struct fl_delta *d, uint64_t *ret, uint32_t n)
{
	if (n > d->left)
		return false;
	if (n && d->first) {
		*ret++ = d->value;
		d->first = false;
		d->left--;
		n--;
	}
	while (n) {
		uint32_t k;

		if (!d->mini_left && !next_mini(d))
			return false;
		k = FL_MIN(d->mini_left, n);
		for (uint32_t i = 0; i < k; i++) {
			d->value += d->least + unpack_wide(d->packed, d->bit, d->width);
			d->bit += d->width;
			ret[i] = d->int32 ? (uint64_t)(int64_t)(int32_t)d->value : d->value;
		}
		d->mini_left -= k;
		d->left -= k;
		ret += k;
		n -= k;
	}
	return true;
}

const uint8_t *fl_delta_end(struct fl_delta *d)
{
	return d->p;
}
