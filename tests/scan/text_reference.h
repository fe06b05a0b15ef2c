/* SPDX-License-Identifier: Apache-2.0 */
/* The slow and obvious scanner that the fast one must equal, and a driver of the fast one over blocks of any size. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/mem.h"
#include "scan/text.h"

struct scan_result {
	struct fl_buf rows; /* a line each, values as they print, "!" behind addresses written as mapped IPv6 */
	struct fl_text_counts counts;
};
struct scan_case {
	const char *format;
	const struct fl_column_def *columns;
	size_t n_columns;
	const struct fl_filter *filter;
	const struct fl_str *constant;
};
void scan_result_free(struct scan_result *r);
/* Aborts when memory ends. */
void scan_reference(const struct scan_case *c, const char *text, size_t n, struct scan_result *ret);
/* Blocks of at most `block` bytes (0: one); `padding` stands behind each. */
void scan_fast(const struct scan_case *c, const char *kernel, const char *text, size_t n, size_t block, char padding,
	       struct scan_result *ret);
bool scan_equal(const struct scan_result *a, const struct scan_result *b, bool filtered);
