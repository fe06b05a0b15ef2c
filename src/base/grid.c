/* SPDX-License-Identifier: Apache-2.0 */
#include "base/grid.h"

#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"

#define GAP 2       /* spaces between columns */
#define NARROWEST 6 /* a column is not cut below this */
#define CELL_MAX 4096

/* Length of the UTF-8 sequence at p, or 0 when it is none. Overlong forms and surrogates do not
 * matter here. */
static size_t sequence(const char *p, size_t left)
{
	unsigned char c = (unsigned char)*p;
	size_t n = c < 0x80 ? 1 : c >= 0xc2 && c < 0xe0 ? 2 : c >= 0xe0 && c < 0xf0 ? 3 : c >= 0xf0 && c < 0xf5 ? 4 : 0;

	if (n > left)
		return 0;
	for (size_t i = 1; i < n; i++)
		if (((unsigned char)p[i] & 0xc0) != 0x80)
			return 0;
	return n;
}

static bool is_control(const char *p, size_t n)
{
	unsigned char c = (unsigned char)*p;

	/* C1 controls (U+0080..U+009F) are two bytes in UTF-8 and drive some terminals as well. */
	if (c < 0x20 || c == 0x7f || (n == 2 && c == 0xc2 && (unsigned char)p[1] < 0xa0))
		return true;
	/* U+202A..U+202E and U+2066..U+2069 turn the direction of text */
	return n == 3 && c == 0xe2 &&
	       (((unsigned char)p[1] == 0x80 && (unsigned char)p[2] >= 0xaa && (unsigned char)p[2] <= 0xae) ||
		((unsigned char)p[1] == 0x81 && (unsigned char)p[2] >= 0xa6 && (unsigned char)p[2] <= 0xa9));
}

bool fl_grid_is_clean(const char *text, size_t n)
{
	for (size_t i = 0; i < n;) {
		size_t len = sequence(text + i, n - i);

		if (!len || is_control(text + i, len))
			return false;
		i += len;
	}
	return true;
}

size_t fl_grid_clean(struct fl_buf *out, const char *text, size_t n)
{
	size_t shown = 0;

	for (size_t i = 0; i < n; shown++) {
		size_t len = sequence(text + i, n - i);
		bool bad = !len || is_control(text + i, len);

		if (fl_buf_add(out, bad ? "?" : text + i, bad ? 1 : len))
			return shown;
		i += len ? len : 1;
	}
	return shown;
}

int fl_grid_write(int fd, const char *text, size_t n)
{
	struct fl_buf out FL_CLEANUP(fl_buf_free) = FL_BUF(n);

	if (!isatty(fd))
		return fl_write_all(fd, text, n);
	for (size_t i = 0; i < n;) {
		size_t end = i;

		while (end < n && text[end] != '\n' && text[end] != '\t')
			end++;
		fl_grid_clean(&out, text + i, end - i);
		if (end < n && fl_buf_add(&out, text + end, 1))
			return -ENOMEM;
		i = end + 1;
	}
	return fl_write_all(fd, out.data, out.len);
}

int fl_grid_init(struct fl_grid *g, size_t columns, size_t max_bytes)
{
	*g = (struct fl_grid){.columns = columns, .text = FL_BUF(max_bytes)};
	if (!columns || columns > FL_GRID_COLUMNS)
		return fl_fail(-E2BIG,
			       "a table of %zu columns cannot be shown (1 to %d); choose fewer or "
			       "another output",
			       columns, FL_GRID_COLUMNS);
	return 0;
}

void fl_grid_free(struct fl_grid *g)
{
	fl_buf_free(&g->text);
}

int fl_grid_add(struct fl_grid *g, const char *text, size_t n)
{
	size_t column = g->cells % g->columns, shown;
	int r = fl_buf_reserve(&g->text, 3 * FL_MIN(n, (size_t)CELL_MAX) + 1);

	if (r)
		return r;
	shown = fl_grid_clean(&g->text, text, FL_MIN(n, (size_t)CELL_MAX));
	g->width[column] = FL_MAX(g->width[column], shown);
	g->cells++;
	return fl_buf_add(&g->text, "", 1);
}

int fl_grid_adds(struct fl_grid *g, const char *text)
{
	return fl_grid_add(g, text, strlen(text));
}

int fl_grid_addf(struct fl_grid *g, const char *fmt, ...)
{
	char text[CELL_MAX];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	return n < 0 ? -EINVAL : fl_grid_add(g, text, FL_MIN((size_t)n, sizeof text - 1));
}

size_t fl_grid_rows(const struct fl_grid *g)
{
	return g->cells / g->columns;
}

static size_t total(const size_t *width, size_t n)
{
	size_t sum = n ? GAP * (n - 1) : 0;

	for (size_t i = 0; i < n; i++)
		sum += width[i];
	return sum;
}

/* Returns how many columns are shown. */
static size_t fit(const struct fl_grid *g, size_t limit, size_t *width)
{
	size_t n = g->columns;

	memcpy(width, g->width, n * sizeof *width);
	while (limit && n > 1 && total(width, n) > limit) {
		size_t widest = 0, over = total(width, n) - limit, cut;

		for (size_t i = 1; i < n; i++)
			if (!g->whole[i] && (g->whole[widest] || width[i] > width[widest]))
				widest = i;
		if (g->whole[widest] || width[widest] <= NARROWEST) {
			n--;
			continue;
		}
		cut = FL_MIN(over, width[widest] - NARROWEST);
		/* Little by little, so that two wide columns share what must go. */
		width[widest] -= FL_MIN(cut, (size_t)4);
	}
	if (limit && n == 1)
		width[0] = FL_MIN(width[0], limit);
	return n;
}

static size_t shown_length(const char *cell)
{
	size_t n = 0;

	for (; *cell; cell++)
		n += ((unsigned char)*cell & 0xc0) != 0x80;
	return n;
}

static int print_cell(const char *cell, size_t width, bool right, bool last, struct fl_buf *out)
{
	size_t shown = shown_length(cell), keep = 0, bytes = 0;
	size_t pad = shown < width ? width - shown : 0;
	int r = 0;

	if (right && pad)
		r = fl_buf_printf(out, "%*s", (int)pad, "");
	if (shown > width) {
		while (keep < width - 1) {
			bytes++;
			while (((unsigned char)cell[bytes] & 0xc0) == 0x80)
				bytes++;
			keep++;
		}
		r = r ? r : fl_buf_add(out, cell, bytes);
		r = r ? r : fl_buf_adds(out, "~");
	} else {
		r = r ? r : fl_buf_adds(out, cell);
	}
	if (!r && !right && pad && !last)
		r = fl_buf_printf(out, "%*s", (int)pad, "");
	return r || last ? r : fl_buf_printf(out, "%*s", GAP, "");
}

int fl_grid_print(const struct fl_grid *g, size_t limit, struct fl_buf *out)
{
	size_t width[FL_GRID_COLUMNS], n = fit(g, limit, width), rows = fl_grid_rows(g);
	const char *cell = g->text.data;
	int r = 0;

	for (size_t row = 0; !r && row < rows; row++) {
		for (size_t i = 0; !r && i < g->columns; i++, cell += strlen(cell) + 1)
			if (i < n)
				r = print_cell(cell, width[i], g->right[i], i == n - 1, out);
		if (!r)
			r = fl_buf_adds(out, "\n");
	}
	if (!r && n < g->columns)
		r = fl_buf_printf(out, "(%zu more columns do not fit)\n", g->columns - n);
	return r;
}
