/* SPDX-License-Identifier: Apache-2.0 */
#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#undef fl_fail /* error.h has a macro of this name for the analyzer */
#define TEXT_MAX 1024

static _Thread_local struct {
	int number;
	char text[TEXT_MAX];
} last;

int fl_fail(int err, const char *fmt, ...)
{
	va_list ap;
	char text[TEXT_MAX]; /* an argument may be the previous sentence */

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	memcpy(last.text, text, sizeof text);
	last.number = err;
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
	memcpy(last.text, text, sizeof text);
	last.number = r;
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
