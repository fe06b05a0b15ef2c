/* SPDX-License-Identifier: Apache-2.0 */
/* What a file is by its first bytes, and what names say of time: any bytes. */
#include <stdlib.h>
#include <string.h>

#include "scan/layout.h"
#include "scan/set.h"

#define INPUT_MAX 65536

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check(bool ok)
{
	if (!ok)
		abort();
}

static void look(const uint8_t *data, size_t n, const char *format)
{
	static struct fl_looked l;
	struct fl_format *f = NULL;

	fl_look(data, n, &l);
	check(l.n <= sizeof l.head && l.kind <= FL_KIND_BINARY);
	check(l.kind != FL_KIND_EMPTY || !n);
	if (fl_kind_has_lines(l.kind) && !fl_look_format("x", &l, format, &f))
		check(f && fl_format_len(f) > 0);
	fl_format_free(&f);
}

/* A day's span lies within its month's, and that within its year's. */
static void place(const char *path)
{
	struct fl_layout_span above = FL_LAYOUT_ANY, span;
	char part[INPUT_MAX + 1];
	enum fl_layout_level level = FL_LAYOUT_NONE, now;

	for (const char *p = path; *p; p++) {
		if (*p != '/' && p[1])
			continue;
		memcpy(part, path, (size_t)(p - path) + 1);
		part[p - path + 1] = '\0';
		now = fl_layout_of_dir(part, &span);
		check(span.first < span.last);
		check((now <= FL_LAYOUT_REGION) == (span.first == INT64_MIN));
		if (now > level && level > FL_LAYOUT_REGION)
			check(span.first >= above.first && span.last <= above.last);
		level = now;
		above = span;
	}
}

static void name(const char *text)
{
	struct fl_layout_span span;
	struct fl_str log;
	int64_t slot;

	if (!fl_layout_of_name(text, &span, &log, &slot))
		return;
	check(log.p > text && log.n >= 3 && log.p + log.n < text + strlen(text));
	check(span.first == slot - FL_LAYOUT_BEFORE_S && span.last == slot + FL_LAYOUT_AFTER_S);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	char *text;

	if (n > INPUT_MAX)
		return 0;
	look(data, n, NULL);
	look(data, n, "${srcaddr} ${dstaddr}");
	text = malloc(n + 1);
	check(text != NULL);
	if (n)
		memcpy(text, data, n);
	text[n] = '\0';
	place(text);
	name(text);
	free(text);
	return 0;
}
