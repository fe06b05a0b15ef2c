/* SPDX-License-Identifier: Apache-2.0 */
/* 64 bytes of delimiters, four addresses or numbers, or eight small numbers at a time. */
#include "scan/kernels_sse.h"

#define SET "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,avx2,bmi,bmi2,popcnt"
#define FL_AVX512 __attribute__((target(SET)))
#define FL_AVX512_INLINE static inline __attribute__((always_inline, target(SET)))

static bool has_avx512(void)
{
	return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
	       __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
	       __builtin_cpu_supports("avx512vbmi") && __builtin_cpu_supports("avx512vbmi2") &&
	       __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2") &&
	       __builtin_cpu_supports("popcnt");
}

/* Sixteen positions from byte numbers within a block. */
FL_AVX512_INLINE void put16(uint32_t *pos, __m128i numbers, __m512i block)
{
	_mm512_storeu_si512(pos, _mm512_add_epi32(block, _mm512_cvtepu8_epi32(numbers)));
}

FL_AVX512 static struct fl_index index_avx512(const char *text, size_t from, size_t to, size_t want, uint32_t *pos)
{
	static const uint8_t numbers[64] = {0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15,
					    16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31,
					    32, 33, 34, 35, 36, 37, 38, 39, 40, 41, 42, 43, 44, 45, 46, 47,
					    48, 49, 50, 51, 52, 53, 54, 55, 56, 57, 58, 59, 60, 61, 62, 63};
	const __m512i each = _mm512_loadu_si512(numbers), space = _mm512_set1_epi8(' '),
		      newline = _mm512_set1_epi8('\n');
	struct fl_index r = {0};
	uint64_t before = 1, doubled = 0;
	size_t i = from;

	for (; i < to && r.n < want; i += 64) {
		__m512i x = _mm512_loadu_si512(text + i), block = _mm512_set1_epi32((int)(uint32_t)i), found;
		uint64_t newlines = _mm512_cmpeq_epi8_mask(x, newline),
			 all = newlines | _mm512_cmpeq_epi8_mask(x, space);
		size_t n;

		if (to - i < 64) {
			all = _bzhi_u64(all, (uint32_t)(to - i));
			newlines = _bzhi_u64(newlines, (uint32_t)(to - i));
		}
		doubled |= all & (all << 1 | before);
		before = all >> 63;
		r.newlines += (uint32_t)_mm_popcnt_u64(newlines);
		n = (size_t)_mm_popcnt_u64(all);
		found = _mm512_maskz_compress_epi8(all, each);
		put16(pos + r.n, _mm512_castsi512_si128(found), block);
		if (fl_unlikely(n > 16)) {
			put16(pos + r.n + 16, _mm512_extracti32x4_epi32(found, 1), block);
			put16(pos + r.n + 32, _mm512_extracti32x4_epi32(found, 2), block);
			put16(pos + r.n + 48, _mm512_extracti32x4_epi32(found, 3), block);
		}
		r.n += n;
	}
	r.stop = FL_MIN(i, to);
	r.empty = doubled;
	return r;
}

/* 16 bytes at each of four places, 8 at each of eight. */
FL_AVX512_INLINE __m512i four(const char *p, const uint32_t at[4])
{
	__m512i x = _mm512_castsi128_si512(_mm_loadu_si128((const __m128i *)(p + at[0])));

	x = _mm512_inserti32x4(x, _mm_loadu_si128((const __m128i *)(p + at[1])), 1);
	x = _mm512_inserti32x4(x, _mm_loadu_si128((const __m128i *)(p + at[2])), 2);
	return _mm512_inserti32x4(x, _mm_loadu_si128((const __m128i *)(p + at[3])), 3);
}

FL_AVX512_INLINE __m128i two(const char *a, const char *b)
{
	__m128i x = _mm_loadl_epi64((const __m128i *)a);

	return _mm_castps_si128(_mm_loadh_pi(_mm_castsi128_ps(x), (const __m64 *)b));
}

FL_AVX512_INLINE __m512i eight(const char *p, const uint32_t at[8])
{
	__m512i x = _mm512_castsi128_si512(two(p + at[0], p + at[1]));

	x = _mm512_inserti32x4(x, two(p + at[2], p + at[3]), 1);
	x = _mm512_inserti32x4(x, two(p + at[4], p + at[5]), 2);
	return _mm512_inserti32x4(x, two(p + at[6], p + at[7]), 3);
}

/* Bit i: 16-byte part i is not all zero. */
FL_AVX512_INLINE uint64_t parts_set(__m512i x)
{
	uint32_t halves = _mm512_test_epi64_mask(x, x);

	return _pext_u32(halves | halves >> 1, 0x55);
}

/* Values from i on, n of the `most` that a group has; what is missing is the last one again. */
struct some {
	const char *text;
	uint32_t begin[8], end[8], n[8]; /* n: bytes */
};
FL_AVX512_INLINE void get(struct some *ret, struct fl_spans *sp, uint32_t i, uint32_t n, uint32_t most)
{
	struct fl_span p = {0};

	ret->text = sp->text;
	for (uint32_t k = 0; k < most; k++) {
		if (k < n)
			p = sp->end_at ? fl_span_listed(sp, i + k) : fl_span_next(sp, i + k);
		ret->begin[k] = p.begin;
		ret->end[k] = p.end;
		ret->n[k] = p.end - p.begin;
	}
}

/* Four numbers of up to 16 digits: in the even 64-bit parts. */
FL_AVX512_INLINE __m512i numbers4(const struct some *v, uint32_t k, uint64_t *odd)
{
	uint64_t inside = 0, wrong = 0;
	__m512i d = four(v->text - 16, v->end + k), high;

	for (uint32_t j = 0; j < 4; j++) {
		inside |= (uint64_t)(uint16_t)(0xffff0000u >> (v->n[k + j] & 31)) << (16 * j);
		wrong |= (uint64_t)(v->n[k + j] > 16) << j;
	}
	d = _mm512_maskz_sub_epi8(inside, d, _mm512_set1_epi8('0'));
	high = _mm512_subs_epu8(d, _mm512_set1_epi8(9));
	*odd = wrong | parts_set(high);
	d = _mm512_maddubs_epi16(d, _mm512_set1_epi16(0x010a));
	d = _mm512_madd_epi16(d, _mm512_set1_epi32(0x00010064));
	d = _mm512_packus_epi32(d, d);
	d = _mm512_madd_epi16(d, _mm512_set1_epi32(0x00012710));
	return _mm512_add_epi64(_mm512_mul_epu32(d, _mm512_set1_epi64(100000000)), _mm512_srli_epi64(d, 32));
}

FL_AVX512_INLINE uint64_t number8(struct fl_spans *sp, uint32_t i, uint32_t n, uint64_t *values)
{
	const __m512i even = _mm512_set_epi64(14, 12, 10, 8, 6, 4, 2, 0);
	uint64_t low, high;
	struct some v;
	__m512i a, b;

	get(&v, sp, i, n, 8);
	a = numbers4(&v, 0, &low);
	b = numbers4(&v, 4, &high);
	_mm512_storeu_si512(values + i, _mm512_permutex2var_epi64(a, even, b));
	return low | high << 4;
}

FL_AVX512_INLINE uint64_t small8(struct fl_spans *sp, uint32_t i, uint32_t n, uint64_t *values)
{
	uint64_t inside = 0, wrong = 0;
	struct some v;
	__m512i d, high;

	get(&v, sp, i, n, 8);
	for (uint32_t j = 0; j < 8; j++) {
		inside |= (uint64_t)(uint8_t)(0xff00u >> (v.n[j] & 31)) << (8 * j);
		wrong |= (uint64_t)(v.n[j] > 8) << j;
	}
	d = eight(v.text - 8, v.end);
	d = _mm512_maskz_sub_epi8(inside, d, _mm512_set1_epi8('0'));
	high = _mm512_subs_epu8(d, _mm512_set1_epi8(9));
	d = _mm512_maddubs_epi16(d, _mm512_set1_epi16(0x010a));
	d = _mm512_madd_epi16(d, _mm512_set1_epi32(0x00010064));
	d = _mm512_add_epi64(_mm512_mul_epu32(d, _mm512_set1_epi64(10000)), _mm512_srli_epi64(d, 32));
	_mm512_storeu_si512(values + i, d);
	return wrong | _mm512_test_epi64_mask(high, high);
}

FL_AVX512_INLINE uint64_t address4(struct fl_spans *sp, uint32_t i, uint32_t n, struct fl_addr *values)
{
	const __m512i last =
	    _mm512_broadcast_i32x4(_mm_set_epi8(12, 8, 4, 0, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1));
	const __m512i mapped = _mm512_broadcast_i32x4(_mm_set_epi8(0, 0, 0, 0, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0));
	const uint64_t ones = UINT64_C(0x0001000100010001);
	uint64_t stops = 0, inside, wrong = 0;
	uint32_t slot[4]; /* times 16: in bytes */
	struct some v;
	__m512i x, d, high;

	get(&v, sp, i, n, 4);
	x = four(v.text, v.begin);
	for (uint32_t j = 0; j < 4; j++) {
		stops |= UINT64_C(1) << (16 * j + (v.n[j] & 15));
		wrong |= (uint64_t)(v.n[j] > 15) << j;
	}
	inside = stops - ones;
	stops |= _mm512_cmpeq_epi8_mask(x, _mm512_set1_epi8('.')) & inside;
	for (uint32_t j = 0; j < 4; j++) {
		uint16_t shape = (uint16_t)(stops >> (16 * j));

		slot[j] = 16u * FL_QUAD_SLOT(shape);
		wrong |= (uint64_t)(fl_quad_shape[slot[j] / 16] != shape) << j;
	}
	d = four((const char *)fl_quad_shuffle, slot);
	d = _mm512_shuffle_epi8(_mm512_sub_epi8(x, _mm512_set1_epi8('0')), d);
	x = _mm512_maskz_mov_epi8(
	    fl_leading_zeros(_mm512_cmpeq_epi8_mask(x, _mm512_set1_epi8('0')), stops, inside, ones), x);
	high = _mm512_or_si512(x, _mm512_subs_epu8(d, _mm512_set1_epi8(9)));
	d = _mm512_madd_epi16(_mm512_maddubs_epi16(d, _mm512_set1_epi32(0x010a6400)), _mm512_set1_epi16(1));
	high = _mm512_or_si512(high, _mm512_srli_epi32(d, 8));
	_mm512_storeu_si512(values + i, _mm512_or_si512(_mm512_shuffle_epi8(d, last), mapped));
	return wrong | parts_set(high);
}

/* Groups of `step` values; what the last group has too many is not odd and lies behind the last value. */
#define EACH_GROUP_(sp, n, odd, step, group)                                                                           \
	for (uint32_t at_ = 0; at_ < (n); at_ += 64) {                                                                 \
		uint32_t stop_ = FL_MIN((n), at_ + 64);                                                                \
		uint64_t word_ = 0;                                                                                    \
		uint32_t i_ = at_;                                                                                     \
                                                                                                                       \
		for (; i_ + (step) <= stop_; i_ += (step))                                                             \
			word_ |= group(&(sp), i_, step, values) << (i_ % 64);                                          \
		if (i_ < stop_)                                                                                        \
			word_ |= (group(&(sp), i_, stop_ - i_, values) & ~(~UINT64_C(0) << (stop_ - i_)))              \
				 << (i_ % 64);                                                                         \
		(odd)[at_ / 64] = word_;                                                                               \
	}
#define EACH_GROUP(spans, n, odd, step, group)                                                                         \
	do {                                                                                                           \
		struct fl_spans sp_ = *(spans);                                                                        \
                                                                                                                       \
		if (sp_.end_at) {                                                                                      \
			EACH_GROUP_(sp_, n, odd, step, group)                                                          \
		} else {                                                                                               \
			sp_.end_at = NULL;                                                                             \
			EACH_GROUP_(sp_, n, odd, step, group)                                                          \
		}                                                                                                      \
	} while (0)

FL_AVX512 static void number_avx512(const struct fl_spans *spans, uint32_t n, uint64_t *values, uint64_t *odd)
{
	EACH_GROUP(spans, n, odd, 8, number8);
}

FL_AVX512 static void small_avx512(const struct fl_spans *spans, uint32_t n, uint64_t *values, uint64_t *odd)
{
	EACH_GROUP(spans, n, odd, 8, small8);
}

FL_AVX512 static void address_avx512(const struct fl_spans *spans, uint32_t n, struct fl_addr *values, uint64_t *odd)
{
	EACH_GROUP(spans, n, odd, 4, address4);
}

/* Eight names: masked to their bytes, and compared with one code's name after the other. */
FL_AVX512_INLINE uint64_t code8(struct fl_spans *sp, uint32_t i, uint32_t n, const struct fl_code_keys *keys,
				uint8_t *values)
{
	uint64_t inside = 0, wrong = 0;
	__m512i x, codes = _mm512_setzero_si512();
	uint32_t found = 0;
	struct some v;
	__m128i bytes;

	get(&v, sp, i, n, 8);
	for (uint32_t j = 0; j < 8; j++) {
		inside |= (uint64_t)_bzhi_u32(0xff, v.n[j]) << (8 * j);
		wrong |= (uint64_t)(v.n[j] > 8) << j;
	}
	bytes = _mm_cvtsi64_si128((long long)inside);
	x = _mm512_maskz_mov_epi8(inside, eight(v.text, v.begin));
	for (uint32_t k = 0; k < FL_KERNEL_CODES; k++) {
		uint32_t same = _mm512_cmpeq_epi64_mask(x, _mm512_set1_epi64((int64_t)keys->key[k])) &
				_mm_cmpeq_epi8_mask(bytes, _mm_set1_epi8((char)((1u << keys->n[k]) - 1)));

		codes = _mm512_mask_mov_epi64(codes, (__mmask8)same, _mm512_set1_epi64(k));
		found |= same;
	}
	_mm_storel_epi64((__m128i *)(values + i), _mm512_cvtepi64_epi8(codes));
	return wrong | (~found & 0xff);
}
#define CODE8(sp, i, n, values) code8(sp, i, n, &k, values)

FL_AVX512 static void code_avx512(const struct fl_spans *spans, uint32_t n, const struct fl_code_keys *keys,
				  uint8_t *values, uint64_t *odd)
{
	struct fl_code_keys k = *keys;

	EACH_GROUP(spans, n, odd, 8, CODE8);
}

FL_AVX512 static void text_avx512(const struct fl_spans *spans, uint32_t n, struct fl_str *values, uint64_t *odd)
{
	FL_EACH_VALUE(spans, n, odd, values[i] = (struct fl_str){s, (size_t)(end - s)};
		      bad = end - s == 1 && *s == '-');
}

FL_AVX512 static void match_avx512(const struct fl_spans *spans, uint32_t n, const struct fl_literals *l,
				   uint64_t *found)
{
	FL_EACH_VALUE(spans, n, found, bad = fl_sse_match(s, end, l));
}

const struct fl_kernel fl_kernel_avx512 = {
    .name = "avx512",
    .supported = has_avx512,
    .index = index_avx512,
    .number = number_avx512,
    .small = small_avx512,
    .address = address_avx512,
    .groups = fl_avx2_groups,
    .code = code_avx512,
    .text = text_avx512,
    .match = match_avx512,
};
