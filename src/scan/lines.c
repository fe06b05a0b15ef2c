/* SPDX-License-Identifier: Apache-2.0 */
/* Lines of a format into the columns of a batch: slow and obvious. */
#include <stdio.h>
#include <string.h>

#include "scan/set.h"

void fl_lines_begin(struct fl_scan_reader *r, const struct fl_format *f)
{
	struct fl_lines *l = &r->lines;

	l->format = f;
	memset(l->column, 0, sizeof l->column);
	for (uint32_t k = 0; k < r->batch->n_columns; k++) {
		const struct fl_column_def *d = &r->batch->column[k].def;

		for (size_t i = 0; i < fl_format_len(f) && d->own == FL_OWN_NONE; i++)
			if (fl_column_is_named(d, fl_format_name(f, i))) {
				l->column[i] = &r->batch->column[k];
				r->set[k / 64] |= UINT64_C(1) << (k % 64);
				break;
			}
	}
}

static void tell(struct fl_scan_reader *r, uint64_t number, const char *what)
{
	char text[512];

	if (number)
		snprintf(text, sizeof text, "%s:%llu: %s", r->path, (unsigned long long)number, what);
	else
		snprintf(text, sizeof text, "%s: %s", r->path, what);
	fl_scan_add_fault(r->s, text);
}

void fl_lines_put(struct fl_scan_reader *r, const char *line, size_t n, uint64_t number, uint64_t offset)
{
	struct fl_lines *l = &r->lines;
	struct fl_values v;
	char what[200];

	while (n && line[n - 1] == '\r')
		n--;
	if (!n)
		return;
	if (fl_decode_line(l->format, line, n, &v) != FL_LINE_OK) {
		r->report.malformed++;
		snprintf(what, sizeof what, "not %zu values with one space between them; the line was left out",
			 fl_format_len(l->format));
		tell(r, number, what);
		return;
	}
	for (size_t i = 0; i < v.n; i++) {
		struct fl_column *c = l->column[i];

		if (!c || fl_column_set_text(c, r->batch->n, v.value[i].p, v.value[i].n))
			continue;
		fl_column_set_text(c, r->batch->n, "-", 1);
		r->report.bad_values++;
		snprintf(what, sizeof what, "%s: \"%.*s\" is not a value of this field", fl_format_name(l->format, i),
			 (int)FL_MIN(v.value[i].n, (size_t)80), v.value[i].p);
		tell(r, number, what);
	}
	r->batch->n++;
}
