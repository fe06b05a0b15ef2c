/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Errors. A function returns 0, a negative errno, or a positive outcome that its header documents.
 * The sentence for people travels beside the number, in thread-local storage inside error.c:
 * the place that knows what went wrong writes it once with fl_fail(), callers put their own
 * context in front with fl_wrap(), and only a program prints it. A sentence names the thing, the
 * value and the remedy: "journal/000003.seg: checksum mismatch at offset 4096; ...".
 */
#pragma once

#define FL_PRINTF(fmt_at, args_at) __attribute__((format(printf, fmt_at, args_at)))

/* Remember the sentence and return err (which must be negative). */
int fl_fail(int err, const char *fmt, ...) FL_PRINTF(2, 3);

/* If r is negative, put "context: " in front of the sentence (or of strerror when there is none).
 * Returns r unchanged. */
int fl_wrap(int r, const char *fmt, ...) FL_PRINTF(2, 3);

#ifdef __clang_analyzer__
/* The analyzer does not see into error.c: err is negative. */
#define fl_fail(err, ...) (fl_fail(err, __VA_ARGS__), -1)
#endif

/* The sentence for r: what fl_fail/fl_wrap left for this error number, else strerror(-r).
 * Valid until the next call of this module in the same thread. */
const char *fl_error_text(int r);

void fl_error_clear(void);
