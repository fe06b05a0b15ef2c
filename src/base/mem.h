/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ownership helpers. Every type has a null value that its destructor accepts, so cleanup attributes
 * are safe on a half-built object.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FL_CLEANUP(fn) __attribute__((cleanup(fn)))
#define FL_ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define FL_MIN(a, b)                                                                                                   \
	({                                                                                                             \
		__typeof__(a) fl_a_ = (a);                                                                             \
		__typeof__(b) fl_b_ = (b);                                                                             \
		fl_a_ < fl_b_ ? fl_a_ : fl_b_;                                                                         \
	})
#define FL_MAX(a, b)                                                                                                   \
	({                                                                                                             \
		__typeof__(a) fl_a_ = (a);                                                                             \
		__typeof__(b) fl_b_ = (b);                                                                             \
		fl_a_ > fl_b_ ? fl_a_ : fl_b_;                                                                         \
	})
#define fl_likely(x) __builtin_expect(!!(x), 1)
#define fl_unlikely(x) __builtin_expect(!!(x), 0)

/* For FL_CLEANUP: char *p FL_CLEANUP(fl_freep) = NULL; int fd FL_CLEANUP(fl_closep) = -1; */
void fl_freep(void *pointer_to_pointer);
void fl_closep(int *fd); /* keeps errno; sets *fd = -1 */

/* A growing byte buffer with a ceiling. The null value is zero-initialised with max set, or
 * FL_BUF(max). data is not NUL-terminated except after fl_buf_cstr(). */
struct fl_buf {
	char *data;
	size_t len, cap, max;
};
#define FL_BUF(limit) ((struct fl_buf){.max = (limit)})

void fl_buf_free(struct fl_buf *b);                /* leaves the null value, max kept */
void fl_buf_reset(struct fl_buf *b);               /* len = 0, memory kept */
int fl_buf_reserve(struct fl_buf *b, size_t more); /* -ENOMEM, -E2BIG over max */
int fl_buf_add(struct fl_buf *b, const void *p, size_t n);
int fl_buf_adds(struct fl_buf *b, const char *s);
int fl_buf_printf(struct fl_buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
const char *fl_buf_cstr(struct fl_buf *b); /* NUL-terminated view; "" when empty or out of memory */

/* Large tables: anonymous, zeroed, 2 MiB aligned with MADV_HUGEPAGE when len is large. NULL on failure. */
void *fl_map_alloc(size_t len);
void fl_map_free(void *p, size_t len);

/* A view of bytes that somebody else owns. */
struct fl_str {
	const char *p;
	size_t n;
};
