/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside the kernels: conversions in plain C, eight bytes at a time, which each kernel compiles for its own instruction
 * set. Loops over rows are written once; the list of rows is known to be there or not when they are inlined.
 */
#pragma once

#include <endian.h>
#include <string.h>

#include "scan/kernels.h"

#define FL_GROUPS_MAX 39 /* eight groups of four digits */

#define FL_INLINE static inline __attribute__((always_inline))

FL_INLINE uint64_t fl_load8(const char *p)
{
	uint64_t x;

	memcpy(&x, p, sizeof x);
	return le64toh(x);
}

FL_INLINE struct fl_span fl_span_listed(const struct fl_spans *sp, uint32_t i)
{
	return (struct fl_span){sp->before[sp->before_at[i]] + 1, sp->end[sp->end_at[i]]};
}
/* In their order, without a list: sp is moved to the value behind. */
FL_INLINE struct fl_span fl_span_next(struct fl_spans *sp, uint32_t i)
{
	struct fl_span p = {*sp->before + 1, *sp->end};

	(void)i;
	sp->before += sp->before_step;
	sp->end += sp->end_step;
	return p;
}

/* Bytes of x that are c, as their high bits. */
FL_INLINE uint64_t fl_bytes_equal(uint64_t x, uint8_t c)
{
	const uint64_t low7 = UINT64_C(0x7f7f7f7f7f7f7f7f);
	uint64_t y = x ^ UINT64_C(0x0101010101010101) * c;

	return ~(((y & low7) + low7) | y | low7);
}

/* Eight ASCII digits, the first in the lowest byte; *odd is not zero in its high bits when one is none. */
FL_INLINE uint64_t fl_digits8(uint64_t x, uint64_t *odd)
{
	uint64_t d = x ^ UINT64_C(0x3030303030303030);

	*odd |= ((d + UINT64_C(0x7676767676767676)) | d) & UINT64_C(0x8080808080808080);
	d = d * 10 + (d >> 8);
	return ((d & UINT64_C(0x000000ff000000ff)) * UINT64_C(0x000f424000000064) +
		((d >> 16) & UINT64_C(0x000000ff000000ff)) * UINT64_C(0x0000271000000001)) >>
	       32;
}

/* The last n (1 to 8) bytes before end, with '0' in front. */
FL_INLINE uint64_t fl_tail8(const char *end, size_t n)
{
	uint64_t keep = ~UINT64_C(0) << (64 - 8 * n);

	return (fl_load8(end - 8) & keep) | (UINT64_C(0x3030303030303030) & ~keep);
}

FL_INLINE uint64_t fl_swar_small(const char *s, const char *end, uint64_t *odd)
{
	size_t n = (size_t)(end - s), wrong = n - 1 >= 8;

	*odd |= wrong;
	return fl_digits8(fl_tail8(end, wrong ? 8 : n), odd);
}

FL_INLINE uint64_t fl_swar_number(const char *s, const char *end, uint64_t *odd)
{
	size_t n = (size_t)(end - s);

	if (n <= 8)
		return fl_swar_small(s, end, odd);
	if (n > 16) {
		*odd |= 1;
		return 0;
	}
	return fl_digits8(fl_load8(end - 8), odd) + 100000000 * fl_digits8(fl_tail8(end - 8, n - 8), odd);
}

#define FL_EACH_ROW_(sp, n, odd, place, ...)                                                                           \
	for (uint32_t at_ = 0; at_ < (n); at_ += 64) {                                                                 \
		uint32_t stop_ = FL_MIN((n), at_ + 64);                                                                \
		uint64_t word_ = 0;                                                                                    \
                                                                                                                       \
		for (uint32_t i = at_; i < stop_; i++) {                                                               \
			struct fl_span place_ = place(&(sp), i);                                                       \
			const char *s = (sp).text + place_.begin, *end = (sp).text + place_.end;                       \
			uint64_t bad = 0;                                                                              \
                                                                                                                       \
			__VA_ARGS__;                                                                                   \
			word_ |= (uint64_t)(bad != 0) << (i % 64);                                                     \
		}                                                                                                      \
		(odd)[at_ / 64] = word_;                                                                               \
	}
/* What is done is of s, end and i, and sets bad. Twice, so that the common way has no list of rows in it; from a copy,
 * because what is stored could otherwise be the spans. */
#define FL_EACH_VALUE(spans, n, odd, ...)                                                                              \
	do {                                                                                                           \
		struct fl_spans sp_ = *(spans);                                                                        \
                                                                                                                       \
		if (sp_.end_at) {                                                                                      \
			FL_EACH_ROW_(sp_, n, odd, fl_span_listed, __VA_ARGS__)                                         \
		} else {                                                                                               \
			FL_EACH_ROW_(sp_, n, odd, fl_span_next, __VA_ARGS__)                                           \
		}                                                                                                      \
	} while (0)

/* Values are never empty. */
FL_INLINE uint64_t fl_swar_code(const char *s, const char *end, const struct fl_code_keys *k, uint64_t *odd)
{
	size_t n = (size_t)(end - s);
	uint64_t x = fl_load8(s) & ~UINT64_C(0) >> (64 - 8 * FL_MIN(n, (size_t)8)), code = 0, found = 0;

	for (unsigned i = 0; i < FL_KERNEL_CODES; i++) {
		uint64_t same = (x == k->key[i]) & (n == k->n[i]);

		code |= same * i;
		found |= same;
	}
	*odd |= !found;
	return code;
}
