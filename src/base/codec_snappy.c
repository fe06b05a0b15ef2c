/* SPDX-License-Identifier: Apache-2.0 */
/* The Snappy block format (google/snappy, format_description.txt): a varint of the length, then literals and copies. */
#include <errno.h>
#include <string.h>

#include "base/codec.h"
#include "base/error.h"

#define BLOCK ((size_t)1 << 16) /* matched within: offsets fit 16 bits, positions fit the table */
#define MATCH_MIN 4
#define TAIL 15 /* bytes at a block's end that are not looked up, so that loads stay inside */

enum { LITERAL = 0, COPY_1 = 1, COPY_2 = 2, COPY_4 = 3 };

static uint32_t load32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof v);
	return v;
}

static uint64_t load64(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof v);
	return v;
}

/* ---- out ---- */

static uint8_t *put_literal(uint8_t *o, const uint8_t *p, size_t n)
{
	size_t m = n - 1;

	if (m < 60) {
		*o++ = (uint8_t)(m << 2 | LITERAL);
	} else if (m < 256) {
		*o++ = 60 << 2 | LITERAL;
		*o++ = (uint8_t)m;
	} else {
		*o++ = 61 << 2 | LITERAL;
		*o++ = (uint8_t)m;
		*o++ = (uint8_t)(m >> 8);
	}
	memcpy(o, p, n);
	return o + n;
}

static uint8_t *put_copy(uint8_t *o, size_t back, size_t n)
{
	while (n) {
		/* Never leaves less than a copy can carry. */
		size_t part = n <= 64 ? n : n < 68 ? 60 : 64;

		if (part >= 4 && part < 12 && back < 2048) {
			*o++ = (uint8_t)((back >> 8) << 5 | (part - 4) << 2 | COPY_1);
			*o++ = (uint8_t)back;
		} else {
			*o++ = (uint8_t)((part - 1) << 2 | COPY_2);
			*o++ = (uint8_t)back;
			*o++ = (uint8_t)(back >> 8);
		}
		n -= part;
	}
	return o;
}

static size_t match_length(const uint8_t *a, const uint8_t *b, const uint8_t *end)
{
	const uint8_t *start = b;

	while (end - b >= 8) {
		uint64_t x = load64(a) ^ load64(b);

		if (x)
			return (size_t)(b - start) + (size_t)__builtin_ctzll(x) / 8;
		a += 8;
		b += 8;
	}
	while (b < end && *a == *b) {
		a++;
		b++;
	}
	return (size_t)(b - start);
}

static uint8_t *compress_block(uint16_t *table, const uint8_t *in, size_t n, uint8_t *o)
{
	const uint8_t *p = in + 1, *from = in, *end = in + n, *limit = n > TAIL ? end - TAIL : in;
	uint32_t misses = 32; /* the longer nothing is found, the wider the steps */

	memset(table, 0, sizeof *table << FL_SNAPPY_TABLE_BITS);
	while (p < limit) {
		uint32_t v = load32(p), h = v * 0x1e35a7bdu >> (32 - FL_SNAPPY_TABLE_BITS);
		const uint8_t *candidate = in + table[h];
		size_t length;

		table[h] = (uint16_t)(p - in);
		if (load32(candidate) != v) {
			p += misses++ >> 5;
			continue;
		}
		misses = 32;
		length = MATCH_MIN + match_length(candidate + MATCH_MIN, p + MATCH_MIN, end);
		if (p > from)
			o = put_literal(o, from, (size_t)(p - from));
		o = put_copy(o, (size_t)(p - candidate), length);
		p += length;
		from = p;
		if (p < limit)
			table[load32(p - 1) * 0x1e35a7bdu >> (32 - FL_SNAPPY_TABLE_BITS)] = (uint16_t)(p - 1 - in);
	}
	return from < end ? put_literal(o, from, (size_t)(end - from)) : o;
}

int fl_snappy_compress(uint16_t table[1 << FL_SNAPPY_TABLE_BITS], const void *data, size_t n, struct fl_buf *out)
{
	const uint8_t *in = data;
	uint8_t *o;
	size_t v = n;
	int r;

	if (n > UINT32_MAX)
		return fl_fail(-E2BIG, "snappy has blocks of up to 4 GiB");
	/* A literal costs at most three bytes in 64 KiB, a copy is never longer than what it stands for. */
	r = fl_buf_reserve(out, 32 + n + n / 6);
	if (r)
		return r;
	o = (uint8_t *)out->data + out->len;
	for (; v >= 128; v >>= 7)
		*o++ = (uint8_t)(v | 128);
	*o++ = (uint8_t)v;
	for (size_t i = 0; i < n; i += BLOCK)
		o = compress_block(table, in + i, FL_MIN(n - i, BLOCK), o);
	out->len = (size_t)(o - (uint8_t *)out->data);
	return 0;
}

/* ---- in ---- */

static int damaged(void)
{
	return fl_fail(-EBADMSG, "snappy: damaged, or not as long as announced");
}

static const uint8_t *get_length(const uint8_t *p, const uint8_t *end, uint64_t *ret)
{
	*ret = 0;
	for (unsigned shift = 0; p < end && shift < 35; shift += 7) {
		*ret |= (uint64_t)(*p & 127) << shift;
		if (!(*p++ & 128))
			return p;
	}
	return NULL;
}

int fl_snappy_decompress(const void *data, size_t n, void *out, size_t n_out)
{
	const uint8_t *p = data, *end = p + n;
	uint8_t *o = out, *o_end = o + n_out;
	uint64_t announced;

	p = get_length(p, end, &announced);
	if (!p || announced != n_out)
		return damaged();
	while (p < end) {
		uint8_t tag = *p++;
		size_t length, back, extra;

		if ((tag & 3) == LITERAL) {
			length = (size_t)(tag >> 2) + 1;
			if (length > 60) {
				extra = length - 60;
				if ((size_t)(end - p) < extra)
					return damaged();
				length = 0;
				for (size_t i = 0; i < extra; i++)
					length |= (size_t)p[i] << (8 * i);
				length++;
				p += extra;
			}
			if ((size_t)(end - p) < length || (size_t)(o_end - o) < length)
				return damaged();
			memcpy(o, p, length);
			o += length;
			p += length;
			continue;
		}
		extra = (tag & 3) == COPY_1 ? 1 : (tag & 3) == COPY_2 ? 2 : 4;
		if ((size_t)(end - p) < extra)
			return damaged();
		if (extra == 1) {
			length = (size_t)(tag >> 2 & 7) + 4;
			back = (size_t)(tag >> 5) << 8 | *p;
		} else {
			length = (size_t)(tag >> 2) + 1;
			back = extra == 2 ? (size_t)p[0] | (size_t)p[1] << 8 : load32(p);
		}
		p += extra;
		if (!back || back > (size_t)(o - (uint8_t *)out) || length > (size_t)(o_end - o))
			return damaged();
		fl_copy_match(o, back, length, o_end);
		o += length;
	}
	return o == o_end ? 0 : damaged();
}
