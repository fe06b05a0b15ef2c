/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bounded cursor: the one way to read bytes that came from outside. A read past the end returns
 * zero (or NULL) and makes the cursor bad for good, so a parser reads straight through and asks once.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct fl_cursor {
	const uint8_t *p, *end;
	bool bad;
};

static inline struct fl_cursor fl_cursor(const void *data, size_t n)
{
	return (struct fl_cursor){.p = data, .end = (const uint8_t *)data + n};
}

static inline size_t fl_cur_left(const struct fl_cursor *c)
{
	return (size_t)(c->end - c->p);
}

/* n bytes, or NULL and bad. */
static inline const uint8_t *fl_cur_take(struct fl_cursor *c, size_t n)
{
	const uint8_t *b = c->p;

	if (c->bad || fl_cur_left(c) < n) {
		c->bad = true;
		return NULL;
	}
	c->p += n;
	return b;
}

static inline bool fl_cur_skip(struct fl_cursor *c, size_t n)
{
	return fl_cur_take(c, n) != NULL;
}

#define FL_CUR_READ(name, type, swap)                                                                                  \
	static inline type name(struct fl_cursor *c)                                                                   \
	{                                                                                                              \
		const uint8_t *b = fl_cur_take(c, sizeof(type));                                                       \
		type v;                                                                                                \
                                                                                                                       \
		if (!b)                                                                                                \
			return 0;                                                                                      \
		memcpy(&v, b, sizeof v);                                                                               \
		return (type)swap(v);                                                                                  \
	}
#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the cursor's byte order macros assume a little-endian host"
#endif
FL_CUR_READ(fl_cur_u8, uint8_t, )
FL_CUR_READ(fl_cur_le16, uint16_t, )
FL_CUR_READ(fl_cur_le32, uint32_t, )
FL_CUR_READ(fl_cur_le64, uint64_t, )
FL_CUR_READ(fl_cur_be16, uint16_t, __builtin_bswap16)
FL_CUR_READ(fl_cur_be32, uint32_t, __builtin_bswap32)
FL_CUR_READ(fl_cur_be64, uint64_t, __builtin_bswap64)

/* A sub-cursor of n bytes that cannot reach outside; bad (and empty) when there are fewer. */
static inline struct fl_cursor fl_cur_sub(struct fl_cursor *c, size_t n)
{
	const uint8_t *b = fl_cur_take(c, n);

	return b ? fl_cursor(b, n) : (struct fl_cursor){.p = c->end, .end = c->end, .bad = true};
}
