/* SPDX-License-Identifier: Apache-2.0 */
#include "scan/kernels.h"

#include "scan/kernels_swar.h"

static const struct fl_kernel *const kernels[] = {
#ifdef __x86_64__
    &fl_kernel_avx512,
    &fl_kernel_avx2,
#endif
    &fl_kernel_scalar,
};

const struct fl_kernel *fl_kernel_at(size_t i)
{
	return i < FL_ARRAY_LEN(kernels) ? kernels[i] : NULL;
}

const struct fl_kernel *fl_kernel_find(const char *name)
{
	for (size_t i = 0; i < FL_ARRAY_LEN(kernels); i++)
		if (name ? !strcmp(kernels[i]->name, name) : kernels[i]->supported())
			return kernels[i];
	return NULL;
}

void fl_code_keys_set(struct fl_code_keys *ret, const char *const *names, size_t n)
{
	*ret = (struct fl_code_keys){0};
	for (size_t i = 0; i < n && i < FL_KERNEL_CODES; i++) {
		size_t len = strlen(names[i]);

		if (!len || len > sizeof ret->key[i])
			continue; /* the slow path knows it */
		memcpy(&ret->key[i], names[i], len);
		ret->key[i] = le64toh(ret->key[i]);
		ret->n[i] = (uint8_t)len;
	}
}

/* ---- the kernel of any CPU, which the others must equal ---- */

static bool always(void)
{
	return true;
}

/* Bit i: byte i of the 64 is c. */
static uint64_t mask64(const char *p, uint8_t c)
{
	uint64_t m = 0;

	for (unsigned i = 0; i < 8; i++)
		m |= ((fl_bytes_equal(fl_load8(p + 8 * i), c) >> 7) * UINT64_C(0x0102040810204080) >> 56) << (8 * i);
	return m;
}

static struct fl_index index_scalar(const char *text, size_t from, size_t to, size_t want, uint32_t *pos)
{
	struct fl_index r = {0};
	uint64_t before = 1, doubled = 0;
	size_t i = from;

	for (; i < to && r.n < want; i += 64) {
		uint64_t newlines = mask64(text + i, '\n'), all = newlines | mask64(text + i, ' ');

		if (to - i < 64) {
			uint64_t inside = ~(~UINT64_C(0) << (to - i));

			all &= inside;
			newlines &= inside;
		}
		doubled |= all & (all << 1 | before);
		before = all >> 63;
		r.newlines += (uint32_t)__builtin_popcountll(newlines);
		for (; all; all &= all - 1)
			pos[r.n++] = (uint32_t)i + (uint32_t)__builtin_ctzll(all);
	}
	r.stop = FL_MIN(i, to);
	r.empty = doubled;
	return r;
}

static void number_scalar(const struct fl_spans *spans, uint32_t n, uint64_t *values, uint64_t *odd)
{
	FL_EACH_VALUE(spans, n, odd, values[i] = fl_swar_number(s, end, &bad));
}

static void small_scalar(const struct fl_spans *spans, uint32_t n, uint64_t *values, uint64_t *odd)
{
	FL_EACH_VALUE(spans, n, odd, values[i] = fl_swar_small(s, end, &bad));
}

/* As inet_pton: four numbers up to 255 without leading zeros. False: none. */
static bool quad(const char *s, const char *end, uint8_t ret[4])
{
	for (unsigned i = 0; i < 4; i++) {
		unsigned v = 0, digits = 0;

		for (; s < end && digits < 3 && (uint8_t)(*s - '0') < 10; s++, digits++) {
			if (digits && !v)
				return false;
			v = v * 10 + (uint8_t)(*s - '0');
		}
		if (!digits || v > 255 || (i < 3 && (s == end || *s++ != '.')))
			return false;
		ret[i] = (uint8_t)v;
	}
	return s == end;
}

static void address_scalar(const struct fl_spans *spans, uint32_t n, struct fl_addr *values, uint64_t *odd)
{
	uint8_t b[4] = {0};

	FL_EACH_VALUE(spans, n, odd, bad = !quad(s, end, b); values[i] = fl_addr_v4(b));
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)(c | 0x20);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

#define NO_GAP 9 /* more than there are groups */
static bool groups_scalar(const char *s, size_t len, struct fl_addr *ret)
{
	const char *end = s + len;
	unsigned n = 0, gap = NO_GAP;
	uint8_t b[16] = {0};

	if (len < 2 || len > FL_GROUPS_MAX)
		return false;
	if (s[0] == ':' && s[1] == ':') {
		gap = 0;
		s += 2;
	}
	while (s < end) {
		unsigned v = 0, digits = 0;

		for (int d; s < end && digits < 4 && (d = hex_digit(*s)) >= 0; s++, digits++)
			v = v << 4 | (unsigned)d;
		if (!digits || n == 8)
			return false;
		b[2 * n] = (uint8_t)(v >> 8);
		b[2 * n++ + 1] = (uint8_t)v;
		if (s == end)
			break;
		if (*s++ != ':' || s == end)
			return false;
		if (*s == ':') {
			if (gap != NO_GAP)
				return false;
			gap = n;
			s++;
		}
	}
	if (gap == NO_GAP ? n != 8 : n > 7)
		return false;
	*ret = (struct fl_addr){0};
	memcpy(ret->b, b, gap == NO_GAP ? 16 : 2 * gap);
	if (gap != NO_GAP)
		memcpy(ret->b + 16 - 2 * (n - gap), b + 2 * gap, 2 * (n - gap));
	return true;
}

static void code_scalar(const struct fl_spans *spans, uint32_t n, const struct fl_code_keys *keys, uint8_t *values,
			uint64_t *odd)
{
	FL_EACH_VALUE(spans, n, odd, values[i] = (uint8_t)fl_swar_code(s, end, keys, &bad));
}

static void text_scalar(const struct fl_spans *spans, uint32_t n, struct fl_str *values, uint64_t *odd)
{
	FL_EACH_VALUE(spans, n, odd, values[i] = (struct fl_str){s, (size_t)(end - s)};
		      bad = end - s == 1 && *s == '-');
}

static bool is_literal(const char *s, size_t n, const struct fl_literals *l)
{
	for (uint32_t i = 0; i < l->count; i++)
		if (n == l->n[i] && !memcmp(s, l->text[i], n))
			return true;
	return *s == ':' || *s == '0';
}

static void match_scalar(const struct fl_spans *spans, uint32_t n, const struct fl_literals *l, uint64_t *found)
{
	FL_EACH_VALUE(spans, n, found, bad = is_literal(s, (size_t)(end - s), l));
}

const struct fl_kernel fl_kernel_scalar = {
    .name = "scalar",
    .supported = always,
    .index = index_scalar,
    .number = number_scalar,
    .small = small_scalar,
    .address = address_scalar,
    .groups = groups_scalar,
    .code = code_scalar,
    .text = text_scalar,
    .match = match_scalar,
};
