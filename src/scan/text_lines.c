/* SPDX-License-Identifier: Apache-2.0 */
/* Lines of text: which of them are records. */
#include <string.h>

#include "scan/text_state.h"

bool fl_text_take_regular(struct fl_text *t, const struct block *b, uint32_t *pos, const struct fl_index *ix,
			  uint32_t rows)
{
	size_t nf = t->n_fields, last = nf - 1;
	uint32_t begin = (uint32_t)b->at, newlines = ix->newlines, other = 0, letters = 0, returns = 0, longest = 0;
	const char *text = b->text, first = fl_headers_first(t->headers);

	if (ix->empty)
		return false;
	for (size_t i = rows * nf; i < ix->n; i++)
		newlines -= text[pos[i]] == '\n';
	if (newlines != rows)
		return false;
	for (uint32_t r = 0; r < rows; r++) {
		uint32_t end = pos[r * nf + last];

		other |= text[end] != '\n';
		returns |= text[end - 1] == '\r';
		letters |= ((uint8_t)(text[begin] - 'a') < 26) | (text[begin] == first);
		longest = FL_MAX(longest, end - begin);
		t->before[t->n + r] = begin - 1;
		begin = end + 1;
	}
	if (other || longest > FL_TEXT_LINE_MAX)
		return false;
	for (uint32_t r = 0; letters && r < rows; r++)
		if (fl_headers_may_be(t->headers, text + (uint32_t)(t->before[t->n + r] + 1)))
			return false;
	for (uint32_t r = 0; returns && r < rows; r++) {
		uint32_t end = pos[r * nf + last];

		/* More than one, or a value of nothing else */
		if (text[end - 1] == '\r' &&
		    (end < 2 || (uint8_t)text[end - 2] <= ' ' || end - 1 == t->before[t->n + r] + 1))
			return false;
	}
	for (uint32_t r = 0; returns && r < rows; r++) {
		uint32_t *end = &pos[r * nf + last];

		*end -= text[*end - 1] == '\r';
	}
	return true;
}

enum line fl_text_bad_line(struct fl_text *t, const char *why)
{
	t->counts.malformed++;
	fl_text_tell(t, t->counts.lines + 1, "%s; the line is not used", why);
	return LINE_NONE;
}

static enum line bad_number(struct fl_text *t, size_t values)
{
	t->counts.malformed++;
	fl_text_tell(t, t->counts.lines + 1, "%zu values where the format has %zu; the line is not used", values,
		     t->n_fields);
	return LINE_NONE;
}

/* The line [begin, pos[n - 1]) with its n delimiters; *end is cut before carriage returns. */
static enum line judge(struct fl_text *t, const char *text, uint32_t begin, const uint32_t *pos, size_t n,
		       uint32_t *end)
{
	uint32_t previous = begin - 1;

	*end = pos[n - 1];
	if (*end - begin > FL_TEXT_LINE_MAX)
		return fl_text_bad_line(t, "longer than a record can be");
	while (*end > begin && text[*end - 1] == '\r')
		--*end;
	if (*end == begin)
		return LINE_NONE;
	if (fl_headers_may_be(t->headers, text + begin)) {
		if (fl_headers_is_current(t->headers, text + begin, *end - begin))
			return LINE_NONE;
		if (fl_headers_is(t->headers, text + begin, *end - begin))
			return LINE_HEADER;
	}
	for (size_t i = 0; i < n; i++) {
		uint32_t stop = i + 1 < n ? pos[i] : *end;

		if (stop == previous + 1)
			return fl_text_bad_line(t, "an empty value");
		previous = pos[i];
	}
	return n == t->n_fields ? LINE_ROW : bad_number(t, n);
}

/* Line by line, those that are records moved together. Returns how many; b->at moves on. ret_stop: the
 * line that it stands before, when that needs something else. */
uint32_t fl_text_walk(struct fl_text *t, struct block *b, uint32_t *pos, const struct fl_index *ix, uint32_t rows,
		      enum line *ret_stop)
{
	size_t nf = t->n_fields, from = 0;
	uint32_t out = 0;

	*ret_stop = LINE_NONE;
	while (out < rows) {
		size_t to = from;
		uint32_t begin = (uint32_t)b->at, end;
		enum line kind;

		while (to < ix->n && b->text[pos[to]] != '\n')
			to++;
		if (to == ix->n) {
			if (!from)
				*ret_stop = ix->stop == b->n ? LINE_END : LINE_MORE;
			break;
		}
		kind = judge(t, b->text, begin, pos + from, to + 1 - from, &end);
		if (kind == LINE_HEADER) {
			*ret_stop = LINE_HEADER;
			break;
		}
		b->at = pos[to] + 1;
		t->counts.lines++;
		if (kind == LINE_ROW) {
			memmove(pos + out * nf, pos + from, nf * sizeof *pos);
			pos[out * nf + nf - 1] = end;
			t->before[t->n + out++] = begin - 1;
		}
		from = to + 1;
	}
	return out;
}

/* A line with more delimiters than were indexed. 0: it does not end here. */
int fl_text_pass_over(struct fl_text *t, struct block *b)
{
	const char *end = memchr(b->text + b->at, '\n', b->n - b->at);
	size_t values = 1;

	if (!end)
		return 0;
	if ((size_t)(end - b->text) - b->at > FL_TEXT_LINE_MAX) {
		fl_text_bad_line(t, "longer than a record can be");
	} else {
		for (const char *p = b->text + b->at; p < end; p++)
			values += *p == ' ';
		bad_number(t, values);
	}
	b->at = (size_t)(end - b->text) + 1;
	t->counts.lines++;
	return 1;
}
