/* SPDX-License-Identifier: Apache-2.0 */
/* Inside the kernels for x86-64: what they share of 16-byte vectors. */
#pragma once

#include <immintrin.h>

#include "scan/kernels_swar.h"

#define FL_AVX2 __attribute__((target("avx2,bmi,bmi2,popcnt")))
#define FL_AVX2_INLINE static inline __attribute__((always_inline, target("avx2,bmi,bmi2,popcnt")))

/*
 * Shapes of IPv4 addresses: four numbers of one to three digits, 81 in all. A shape is the set of positions of its
 * three dots and of its end as bits 0 to 15; this product hashes the 81 sets to different bytes (fl_quad_shape tells
 * whether a set is one of them). fl_quad_shuffle brings the digits of number i to the end of bytes 4 i to 4 i + 3.
 */
#define FL_QUAD_SLOT(shape) ((uint8_t)(((uint32_t)(shape)*0xe104d345u) >> 24))
extern const uint16_t fl_quad_shape[256];
extern const uint8_t fl_quad_shuffle[256][16];

/* '0' is the first of several digits: inet_pton refuses that. Bits of `inside` are the address, of `stops` its dots and
 * the byte behind it, of `zeros` the bytes '0', of `starts` the first byte. */
FL_INLINE uint64_t fl_leading_zeros(uint64_t zeros, uint64_t stops, uint64_t inside, uint64_t starts)
{
	return zeros & (stops << 1 | starts) & ~(stops >> 1) & inside;
}

/* The last n (1 to 16) of 16 bytes: loaded at fl_last_bytes + n. */
extern const uint8_t fl_last_bytes[33];

FL_AVX2_INLINE uint64_t fl_sse_number(const char *s, const char *end, uint64_t *odd)
{
	size_t n = (size_t)(end - s), wrong = n - 1 >= 16;
	__m128i x = _mm_loadu_si128((const __m128i *)(end - 16));
	__m128i mask = _mm_loadu_si128((const __m128i *)(fl_last_bytes + (wrong ? 16 : n)));
	__m128i d = _mm_and_si128(_mm_sub_epi8(x, _mm_set1_epi8('0')), mask), high = _mm_subs_epu8(d, _mm_set1_epi8(9));
	uint64_t v;

	*odd |= wrong | !_mm_testz_si128(high, high);
	d = _mm_maddubs_epi16(d, _mm_set1_epi16(0x010a));
	d = _mm_madd_epi16(d, _mm_set1_epi32(0x00010064));
	d = _mm_packus_epi32(d, d);
	d = _mm_madd_epi16(d, _mm_set1_epi32(0x00012710));
	v = (uint64_t)_mm_cvtsi128_si64(d);
	return (v & UINT32_MAX) * 100000000 + (v >> 32);
}

FL_AVX2_INLINE void fl_sse_address(const char *s, const char *end, struct fl_addr *ret, uint64_t *odd)
{
	const __m128i mapped = _mm_set_epi8(0, 0, 0, 0, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
	size_t n = (size_t)(end - s);
	__m128i x = _mm_loadu_si128((const __m128i *)s), d, v, high;
	uint32_t dots = (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(x, _mm_set1_epi8('.')));
	uint32_t zeros = (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(x, _mm_set1_epi8('0')));
	uint32_t stop = 1u << (n & 15), inside = stop - 1, shape = (dots & inside) | stop;
	uint8_t slot = FL_QUAD_SLOT(shape);

	d = _mm_shuffle_epi8(_mm_sub_epi8(x, _mm_set1_epi8('0')),
			     _mm_loadu_si128((const __m128i *)fl_quad_shuffle[slot]));
	v = _mm_madd_epi16(_mm_maddubs_epi16(d, _mm_set1_epi32(0x010a6400)), _mm_set1_epi16(1));
	high = _mm_or_si128(_mm_subs_epu8(d, _mm_set1_epi8(9)), _mm_srli_epi32(v, 8));
	*odd |= (n > 15) | (fl_quad_shape[slot] != shape) | fl_leading_zeros(zeros, shape, inside, 1) |
		!_mm_testz_si128(high, high);
	v = _mm_shuffle_epi8(v, _mm_set_epi8(12, 8, 4, 0, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1));
	_mm_storeu_si128((__m128i *)ret, _mm_or_si128(v, mapped));
}

FL_AVX2_INLINE uint64_t fl_sse_match(const char *s, const char *end, const struct fl_literals *l)
{
	size_t n = (size_t)(end - s);
	__m128i x = _mm_loadu_si128((const __m128i *)s);
	uint64_t found = (*s == ':') | (*s == '0');

	for (uint32_t i = 0; i < l->count; i++) {
		__m128i literal = _mm_loadu_si128((const __m128i *)l->text[i]);
		uint32_t other = (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(x, literal)) ^ 0xffff;

		found |= (n == l->n[i]) & !(other & l->bytes[i]);
	}
	return found;
}

bool fl_avx2_groups(const char *s, size_t n, struct fl_addr *ret);
