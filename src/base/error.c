/* SPDX-License-Identifier: Apache-2.0 */
#include "base/error.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#undef fl_fail /* error.h has a macro of this name for the analyzer */
#define TEXT_MAX 1024

static _Thread_local struct {
	int number;
	char text[TEXT_MAX];
} last;

/* What a sentence quotes may be from outside, and must not drive the terminal. */
static void keep(int number, const char *text)
{
	size_t n = 0;

	for (; text[n]; n++) {
		unsigned char c = (unsigned char)text[n], before = n ? (unsigned char)text[n - 1] : 0;
		bool c1 = before == 0xc2 && c < 0xa0; /* U+0080..U+009F */

		last.text[n] = c == '\n' || c == '\t' || (c >= 0x20 && c != 0x7f && !c1) ? text[n] : '?';
	}
	last.text[n] = '\0';
	last.number = number;
}

int fl_fail(int err, const char *fmt, ...)
{
	va_list ap;
	char text[TEXT_MAX]; /* an argument may be the previous sentence */

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	keep(err, text);
	return err;
}

int fl_wrap(int r, const char *fmt, ...)
{
	va_list ap;
	char context[TEXT_MAX / 2], text[TEXT_MAX];

	if (r >= 0)
		return r;
	va_start(ap, fmt);
	vsnprintf(context, sizeof context, fmt, ap);
	va_end(ap);
	snprintf(text, sizeof text, "%s: %.*s", context, TEXT_MAX / 2 - 4, fl_error_text(r));
	keep(r, text);
	return r;
}

const char *fl_error_text(int r)
{
	return last.number == r && *last.text ? last.text : strerror(r < 0 ? -r : r);
}

void fl_error_clear(void)
{
	last.number = 0;
	*last.text = '\0';
}
