/* SPDX-License-Identifier: Apache-2.0 */
/* Inside the room "scan": header lines in the middle of text, where files were put together. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "record/record.h"

struct fl_headers;
int fl_headers_new(struct fl_headers **ret);
void fl_headers_free(struct fl_headers **h);
int fl_headers_set_current(struct fl_headers *h, const struct fl_format *format);
char fl_headers_first(const struct fl_headers *h); /* byte that the current one begins with */
/* Whether a line could be a header; looks at 8 bytes. Headers of known fields begin with a small letter, the current
 * one with fl_headers_first. */
bool fl_headers_may_be(const struct fl_headers *h, const char *line);
bool fl_headers_is_current(const struct fl_headers *h, const char *line, size_t n);
bool fl_headers_is(const struct fl_headers *h, const char *line, size_t n); /* names, the first that of a field */
