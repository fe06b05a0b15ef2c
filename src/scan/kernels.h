/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside the room "scan": the loops that touch every byte or every value of flow-log text, once for each kind of CPU.
 * All kernels give the same results, byte for byte, on any input; only their speed differs.
 *
 * Text may be read up to FL_KERNEL_BEFORE bytes before a value and up to 64 bytes behind the block.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/mem.h"

#define FL_KERNEL_BEFORE 16
#define FL_KERNEL_SLACK 192 /* entries that index may write behind `want` */

/* Delimiters: spaces and newlines. */
struct fl_index {
	size_t n;          /* positions written */
	size_t stop;       /* the text is indexed up to here */
	uint32_t newlines; /* among them */
	bool empty;        /* two delimiters side by side, or one at the front: a blank line or an empty value */
};

/* Value i of a column: the bytes between a delimiter before it and the one that ends it; at least one. */
struct fl_spans {
	const char *text;
	const uint32_t *before, *end; /* positions in text; UINT32_MAX is the one before the first byte */
	size_t before_step, end_step; /* entries from one row to the next */
	/* NULL: rows 0, 1, 2 ...; else at which entry value i has the one and the other */
	const uint32_t *before_at, *end_at;
};
/* Where a value stands in the text. */
struct fl_span {
	uint32_t begin, end;
};
static inline struct fl_span fl_span_of(const struct fl_spans *s, size_t i)
{
	if (s->end_at)
		return (struct fl_span){s->before[s->before_at[i]] + 1, s->end[s->end_at[i]]};
	return (struct fl_span){s->before[i * s->before_step] + 1, s->end[i * s->end_step]};
}

#define FL_KERNEL_CODES 4
struct fl_code_keys { /* names of at most 8 bytes as numbers, unused ones zero */
	uint64_t key[FL_KERNEL_CODES];
	uint8_t n[FL_KERNEL_CODES]; /* bytes; 0: unused */
};
void fl_code_keys_set(struct fl_code_keys *ret, const char *const *names, size_t n);

/* IPv4 addresses as text, to find rows without converting addresses. */
#define FL_KERNEL_LITERALS 8
struct fl_literals {
	char text[FL_KERNEL_LITERALS][16];
	uint32_t bytes[FL_KERNEL_LITERALS]; /* bit k: text has a byte k */
	uint8_t n[FL_KERNEL_LITERALS];
	uint32_t count;
};

/*
 * Converters write n values, and set bit i of odd ((n + 63) / 64 words) when value i is not of the usual shape: what
 * was written there means nothing, and the slow path decides. Whole vectors may be written: 64 bytes behind the last
 * value.
 */
struct fl_kernel {
	const char *name;
	bool (*supported)(void);
	/* Delimiters of text[from, to) into pos, from a line's first byte. Ends once there are at least `want`, at most
	 * 63 more. */
	struct fl_index (*index)(const char *text, size_t from, size_t to, size_t want, uint32_t *pos);
	void (*number)(const struct fl_spans *s, uint32_t n, uint64_t *values, uint64_t *odd); /* 1 to 16 digits */
	void (*small)(const struct fl_spans *s, uint32_t n, uint64_t *values, uint64_t *odd);  /* 1 to 8 digits */
	void (*address)(const struct fl_spans *s, uint32_t n, struct fl_addr *values, uint64_t *odd); /* IPv4 */
	/* IPv6 in hexadecimal groups alone, n bytes; false: not that, and *ret is not changed. */
	bool (*groups)(const char *s, size_t n, struct fl_addr *ret);
	void (*code)(const struct fl_spans *s, uint32_t n, const struct fl_code_keys *keys, uint8_t *values,
		     uint64_t *odd);
	void (*text)(const struct fl_spans *s, uint32_t n, struct fl_str *values, uint64_t *odd); /* not "-" */
	/* Bit i of found: value i is one of the literals, or begins as an IPv6 address must that is an IPv4 one: with a
	 * colon or a zero. */
	void (*match)(const struct fl_spans *s, uint32_t n, const struct fl_literals *l, uint64_t *found);
};

extern const struct fl_kernel fl_kernel_scalar, fl_kernel_avx2, fl_kernel_avx512;
/* NULL: the best that this CPU has; else by name. Returns NULL when there is none of that name. */
const struct fl_kernel *fl_kernel_find(const char *name);
const struct fl_kernel *fl_kernel_at(size_t i); /* NULL behind the last; best first */
