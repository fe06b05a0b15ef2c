/* SPDX-License-Identifier: Apache-2.0 */
#include "query/sets.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#define BLOCK (1u << 20)
#define FIRST_BITS 3u   /* 8 slots */
#define BITMAP_BITS 12u /* 4096 slots are as large as a bitmap of all values */
#define WORDS (FL_SET_VALUES / 64)

struct fl_set_block {
	struct fl_set_block *before;
	uint64_t pad;
};

/* Slots hold values, 0 being free; the value 0 is told apart. */
struct table {
	uint32_t n;
	uint8_t bits;
	bool zero;
	uint16_t pad;
	uint16_t slot[];
};

/* The lowest bits of a set's word: 1: values in it, their number in the next two bits; else a pointer. */
static bool is_inline(uint64_t set)
{
	return set & 1;
}
static struct table *table_of(uint64_t set)
{
	return (struct table *)(uintptr_t)set;
}
static bool is_bitmap(const struct table *t)
{
	return t->bits == BITMAP_BITS;
}
static uint64_t *bitmap_of(struct table *t)
{
	return (uint64_t *)(void *)t->slot; /* behind 8 bytes of a 16-byte boundary */
}

void fl_set_store_free(struct fl_set_store *s)
{
	for (struct fl_set_block *b = s->block, *before; b; b = before) {
		before = b->before;
		free(b);
	}
	memset(s, 0, sizeof *s);
}

static struct table *new_table(struct fl_set_store *s, unsigned bits)
{
	size_t size = (sizeof(struct table) + ((size_t)2 << bits) + 15) & ~(size_t)15;
	struct table *t = s->unused[bits];

	if (t) {
		memcpy(&s->unused[bits], t, sizeof(void *));
	} else {
		if (s->left < size) {
			struct fl_set_block *b = aligned_alloc(16, BLOCK);

			if (!b)
				return NULL;
			b->before = s->block;
			s->block = b;
			s->at = (char *)(b + 1);
			s->left = BLOCK - sizeof *b;
			s->bytes += BLOCK;
		}
		t = (struct table *)(void *)s->at;
		s->at += size;
		s->left -= size;
	}
	memset(t, 0, size);
	t->bits = (uint8_t)bits;
	return t;
}

static void release(struct fl_set_store *s, struct table *t)
{
	unsigned bits = t->bits;

	memcpy(t, &s->unused[bits], sizeof(void *));
	s->unused[bits] = t;
}

/* Whether it is new. There is room. */
static bool put(struct table *t, uint16_t v)
{
	uint32_t mask = (1u << t->bits) - 1, at = (v * 0x9e3779b1u) >> (32 - t->bits);
	bool is_new;

	if (is_bitmap(t)) {
		uint64_t *word = &bitmap_of(t)[v / 64], bit = UINT64_C(1) << (v % 64);

		is_new = !(*word & bit);
		*word |= bit;
	} else if (!v) {
		is_new = !t->zero;
		t->zero = true;
	} else {
		while (t->slot[at] && t->slot[at] != v)
			at = (at + 1) & mask;
		is_new = !t->slot[at];
		t->slot[at] = v;
	}
	t->n += is_new;
	return is_new;
}

static int put_in(void *ctx, uint16_t v)
{
	put(ctx, v);
	return 0;
}

static int grow(struct fl_set_store *s, uint64_t *set, unsigned bits)
{
	struct table *t = new_table(s, bits);

	if (!t)
		return -ENOMEM;
	fl_set_each(*set, put_in, t);
	if (*set && !is_inline(*set))
		release(s, table_of(*set));
	*set = (uint64_t)(uintptr_t)t;
	return 0;
}

int fl_set_add(struct fl_set_store *s, uint64_t *set, uint16_t v)
{
	struct table *t;
	int r;

	if (!*set) {
		*set = 1 | 1 << 1 | (uint64_t)v << 16;
		return 0;
	}
	if (is_inline(*set)) {
		unsigned n = *set >> 1 & 3;

		for (unsigned i = 1; i <= n; i++)
			if ((uint16_t)(*set >> (16 * i)) == v)
				return 0;
		if (n < 3) {
			*set = (*set + (1 << 1)) | (uint64_t)v << (16 * (n + 1));
			return 0;
		}
		r = grow(s, set, FIRST_BITS);
		if (r)
			return r;
	}
	t = table_of(*set);
	if (!is_bitmap(t) && t->n + 1 > (1u << t->bits) / 4 * 3) {
		r = grow(s, set, t->bits + 1u);
		if (r)
			return r;
		t = table_of(*set);
	}
	put(t, v);
	return 0;
}

uint32_t fl_set_count(uint64_t set)
{
	return !set ? 0 : is_inline(set) ? set >> 1 & 3 : table_of(set)->n;
}

int fl_set_each(uint64_t set, int (*fn)(void *ctx, uint16_t v), void *ctx)
{
	struct table *t;
	int r = 0;

	if (!set)
		return 0;
	if (is_inline(set)) {
		for (unsigned i = 1; i <= (set >> 1 & 3) && !r; i++)
			r = fn(ctx, (uint16_t)(set >> (16 * i)));
		return r;
	}
	t = table_of(set);
	if (is_bitmap(t)) {
		for (uint32_t w = 0; w < WORDS; w++)
			for (uint64_t bits = bitmap_of(t)[w]; bits && !r; bits &= bits - 1)
				r = fn(ctx, (uint16_t)(w * 64 + (uint32_t)__builtin_ctzll(bits)));
		return r;
	}
	r = t->zero ? fn(ctx, 0) : 0;
	for (uint32_t i = 0; i < 1u << t->bits && !r; i++)
		r = t->slot[i] ? fn(ctx, t->slot[i]) : 0;
	return r;
}
