/* SPDX-License-Identifier: Apache-2.0 */
/* 32 bytes of delimiters and 16 of a value at a time. */
#include "scan/kernels_sse.h"

const uint8_t fl_last_bytes[33] = {[16 ... 32] = 0xff};

#define DOTS(a, b, c, d)                                                                                               \
	(1u << (a) | 1u << ((a) + (b) + 1) | 1u << ((a) + (b) + (c) + 2) | 1u << ((a) + (b) + (c) + (d) + 3))
#define BYTE(at, n, i) ((i) < 4 - (n) ? 0x80 : (at) + (i) - (4 - (n)))
#define NUMBER(at, n) BYTE(at, n, 0), BYTE(at, n, 1), BYTE(at, n, 2), BYTE(at, n, 3)
#define SHAPE(a, b, c, d) [FL_QUAD_SLOT(DOTS(a, b, c, d))] = DOTS(a, b, c, d),
#define SHUFFLE(a, b, c, d)                                                                                            \
	[FL_QUAD_SLOT(DOTS(a, b, c, d))] = {NUMBER(0, a), NUMBER((a) + 1, b), NUMBER((a) + (b) + 2, c),                \
					    NUMBER((a) + (b) + (c) + 3, d)},
#define LAST(m, a, b, c) m(a, b, c, 1) m(a, b, c, 2) m(a, b, c, 3)
#define THIRD(m, a, b) LAST(m, a, b, 1) LAST(m, a, b, 2) LAST(m, a, b, 3)
#define SECOND(m, a) THIRD(m, a, 1) THIRD(m, a, 2) THIRD(m, a, 3)
#define ALL(m) SECOND(m, 1) SECOND(m, 2) SECOND(m, 3)

/* Two shapes in one slot would be an initializer that overrides another: refused by -Wextra. */
const uint16_t fl_quad_shape[256] = {ALL(SHAPE)};
const uint8_t fl_quad_shuffle[256][16] = {ALL(SHUFFLE)};

static bool has_avx2(void)
{
	return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2") &&
	       __builtin_cpu_supports("popcnt");
}

FL_AVX2 static uint64_t mask64(__m256i low, __m256i high, char c)
{
	__m256i same = _mm256_set1_epi8(c);

	return (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(low, same)) |
	       (uint64_t)(uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(high, same)) << 32;
}

FL_AVX2 static struct fl_index index_avx2(const char *text, size_t from, size_t to, size_t want, uint32_t *pos)
{
	struct fl_index r = {0};
	uint64_t before = 1, doubled = 0;
	size_t i = from;

	for (; i < to && r.n < want; i += 64) {
		__m256i low = _mm256_loadu_si256((const __m256i *)(text + i));
		__m256i high = _mm256_loadu_si256((const __m256i *)(text + i + 32));
		uint64_t newlines = mask64(low, high, '\n'), all = newlines | mask64(low, high, ' ');
		uint32_t *p = pos + r.n;

		if (to - i < 64) {
			all = _bzhi_u64(all, (uint32_t)(to - i));
			newlines = _bzhi_u64(newlines, (uint32_t)(to - i));
		}
		doubled |= all & (all << 1 | before);
		before = all >> 63;
		r.newlines += (uint32_t)_mm_popcnt_u64(newlines);
		r.n += (size_t)_mm_popcnt_u64(all);
		/* Sixteen at a time, the last of them for nothing: their number is known too late to be foreseen. */
		do {
			for (unsigned k = 0; k < 16; k++, all = _blsr_u64(all))
				p[k] = (uint32_t)(i + _tzcnt_u64(all));
			p += 16;
		} while (fl_unlikely(all));
	}
	r.stop = FL_MIN(i, to);
	r.empty = doubled;
	return r;
}

FL_AVX2 static void number_avx2(const struct fl_spans *spans, uint32_t n, uint64_t *values, uint64_t *odd)
{
	FL_EACH_VALUE(spans, n, odd, values[i] = fl_sse_number(s, end, &bad));
}

FL_AVX2 static void small_avx2(const struct fl_spans *spans, uint32_t n, uint64_t *values, uint64_t *odd)
{
	FL_EACH_VALUE(spans, n, odd, values[i] = fl_swar_small(s, end, &bad));
}

FL_AVX2 static void address_avx2(const struct fl_spans *spans, uint32_t n, struct fl_addr *values, uint64_t *odd)
{
	FL_EACH_VALUE(spans, n, odd, fl_sse_address(s, end, &values[i], &bad));
}

/* Classes of 48 bytes at once, then a step for each colon. */
struct classes {
	uint64_t colons, digits; /* a bit a byte */
	uint8_t room[8];         /* read before the first nibble */
	uint8_t nibble[48];
};

FL_AVX2_INLINE void classify(const char *s, struct classes *ret)
{
	const __m256i first = _mm256_loadu_si256((const __m256i *)s);
	const __m256i second = _mm256_castsi128_si256(_mm_loadu_si128((const __m128i *)(s + 32)));

	ret->colons = mask64(first, second, ':') & 0xffffffffffff;
	ret->digits = 0;
	for (unsigned half = 0; half < 2; half++) {
		__m256i x = half ? second : first;
		__m256i digit = _mm256_sub_epi8(x, _mm256_set1_epi8('0'));
		__m256i letter = _mm256_sub_epi8(_mm256_or_si256(x, _mm256_set1_epi8(0x20)), _mm256_set1_epi8('a'));
		__m256i is_digit = _mm256_cmpeq_epi8(_mm256_min_epu8(digit, _mm256_set1_epi8(9)), digit);
		__m256i is_letter = _mm256_cmpeq_epi8(_mm256_min_epu8(letter, _mm256_set1_epi8(5)), letter);
		__m256i nibble = _mm256_add_epi8(_mm256_and_si256(x, _mm256_set1_epi8(15)),
						 _mm256_and_si256(is_letter, _mm256_set1_epi8(9)));

		ret->digits |= (uint64_t)(uint32_t)_mm256_movemask_epi8(_mm256_or_si256(is_digit, is_letter))
			       << (32 * half);
		if (half)
			_mm_storeu_si128((__m128i *)(ret->nibble + 32), _mm256_castsi256_si128(nibble));
		else
			_mm256_storeu_si256((__m256i *)ret->nibble, nibble);
	}
}

FL_AVX2 bool fl_avx2_groups(const char *s, size_t n, struct fl_addr *ret)
{
	uint64_t inside, twice, stops;
	uint16_t group[8] = {0};
	uint32_t k = 0, gap = 0, from = 0;
	struct classes c;

	if (n < 2 || n > FL_GROUPS_MAX)
		return false;
	classify(s, &c);
	inside = _bzhi_u64(~UINT64_C(0), (uint32_t)n);
	c.colons &= inside;
	twice = c.colons & c.colons >> 1;
	/* Nothing else, at most one "::", and no single colon at either end */
	if ((~(c.colons | c.digits) & inside) || (twice & (twice - 1)) || (c.colons & 3) == 1 ||
	    (c.colons >> (n - 2) & 3) == 2)
		return false;
	for (stops = c.colons | UINT64_C(1) << n; stops; stops = _blsr_u64(stops)) {
		uint32_t to = (uint32_t)_tzcnt_u64(stops), digits = to - from, x;

		if (digits) {
			if (digits > 4 || k == 8)
				return false;
			memcpy(&x, c.nibble + to - 4, sizeof x); /* four before `to`, the last one in the lowest byte */
			x = _bzhi_u32(__builtin_bswap32(x), 8 * digits);
			group[k++] = __builtin_bswap16((uint16_t)_pext_u32(x, 0x0f0f0f0f));
		} else {
			gap = k;
		}
		from = to + 1;
	}
	if (twice ? k > 7 : k != 8)
		return false;
	if (!twice)
		gap = 8;
	*ret = (struct fl_addr){0};
	memcpy(ret->b, group, 2 * gap);
	if (k > gap)
		memcpy(ret->b + 16 - 2 * (k - gap), group + gap, 2 * (k - gap));
	return true;
}

/* The four names of a column at once. */
FL_AVX2_INLINE uint8_t find_code(const char *s, const char *end, __m256i names, __m256i lengths, uint64_t *odd)
{
	uint64_t n = (uint64_t)(end - s), x = _bzhi_u64(fl_load8(s), (uint32_t)(8 * FL_MIN(n, (uint64_t)8)));
	__m256i same = _mm256_and_si256(_mm256_cmpeq_epi64(_mm256_set1_epi64x((long long)x), names),
					_mm256_cmpeq_epi64(_mm256_set1_epi64x((long long)n), lengths));
	uint32_t found = (uint32_t)_mm256_movemask_pd(_mm256_castsi256_pd(same));

	*odd |= !found;
	return (uint8_t)_tzcnt_u32(found | 1u << FL_KERNEL_CODES);
}

FL_AVX2 static void code_avx2(const struct fl_spans *spans, uint32_t n, const struct fl_code_keys *keys,
			      uint8_t *values, uint64_t *odd)
{
	const __m256i names = _mm256_loadu_si256((const __m256i *)keys->key);
	int lengths4;
	__m256i lengths;

	_Static_assert(sizeof keys->n == sizeof lengths4 && sizeof keys->key == sizeof names, "four names");
	memcpy(&lengths4, keys->n, sizeof lengths4);
	lengths = _mm256_cvtepu8_epi64(_mm_cvtsi32_si128(lengths4));
	FL_EACH_VALUE(spans, n, odd, values[i] = find_code(s, end, names, lengths, &bad));
}

FL_AVX2 static void text_avx2(const struct fl_spans *spans, uint32_t n, struct fl_str *values, uint64_t *odd)
{
	FL_EACH_VALUE(spans, n, odd, values[i] = (struct fl_str){s, (size_t)(end - s)};
		      bad = end - s == 1 && *s == '-');
}

FL_AVX2 static void match_avx2(const struct fl_spans *spans, uint32_t n, const struct fl_literals *l, uint64_t *found)
{
	FL_EACH_VALUE(spans, n, found, bad = fl_sse_match(s, end, l));
}

const struct fl_kernel fl_kernel_avx2 = {
    .name = "avx2",
    .supported = has_avx2,
    .index = index_avx2,
    .number = number_avx2,
    .small = small_avx2,
    .address = address_avx2,
    .groups = fl_avx2_groups,
    .code = code_avx2,
    .text = text_avx2,
    .match = match_avx2,
};
