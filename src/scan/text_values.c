/* SPDX-License-Identifier: Apache-2.0 */
/* Values to columns: kernels do the usual ones, fl_column_set_text the others. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "scan/text_state.h"

void fl_text_tell(struct fl_text *t, uint64_t line, const char *fmt, ...)
{
	char what[256];
	va_list ap;

	if (!t->want.fault || t->told >= FL_TEXT_FAULTS)
		return;
	t->told++;
	va_start(ap, fmt);
	vsnprintf(what, sizeof what, fmt, ap);
	va_end(ap);
	t->want.fault(t->want.ctx, line, what);
}

static uint64_t line_at(const struct fl_text *t, const struct block *b, const char *p)
{
	uint64_t line = t->lines_before + 1;

	for (const char *q = b->text; (q = memchr(q, '\n', (size_t)(p - q))); q++)
		line++;
	return line;
}

void fl_text_set_null(struct fl_column *c, uint32_t row)
{
	switch ((enum fl_column_type)c->def.type) {
	case FL_COLUMN_U64:
		c->u64[row] = 0;
		break;
	case FL_COLUMN_ADDR:
		c->addr[row] = (struct fl_addr){0};
		break;
	case FL_COLUMN_TEXT:
		c->text[row] = (struct fl_str){0};
		break;
	case FL_COLUMN_CODE:
		c->code[row] = 0;
		break;
	case FL_COLUMN_TYPES:
		break;
	}
	fl_column_set_null(c, row);
}

/* One value whose shape the kernel does not know. */
static void settle(struct fl_text *t, const struct block *b, struct fl_column *c, uint32_t row, struct fl_span at)
{
	const char *s = b->text + at.begin;
	size_t n = at.end - at.begin;

	if (n == 1 && *s == '-') {
		fl_text_set_null(c, row);
		return;
	}
	if (c->def.type == FL_COLUMN_ADDR && t->kernel->groups(s, n, &c->addr[row])) {
		if (fl_addr_is_mapped_v4(&c->addr[row]))
			c->v6[row / 64] |= UINT64_C(1) << (row % 64);
		return;
	}
	if (fl_column_set_text(c, row, s, n))
		return;
	fl_text_set_null(c, row);
	t->counts.bad_values++;
	if (t->told < FL_TEXT_FAULTS)
		fl_text_tell(t, line_at(t, b, s), "%s: \"%.*s\" is not a value of this field; it is taken as \"-\"",
			     c->def.name, (int)FL_MIN(n, (size_t)80), s);
}

/* The values that were odd become null or go the slow way. */
static void settle_all(struct fl_text *t, const struct block *b, struct fl_column *c, const struct fl_spans *spans,
		       uint32_t first, uint32_t n, const uint64_t *odd)
{
	for (uint32_t w = 0; w < WORDS(n); w++)
		for (uint64_t bits = odd[w]; bits; bits &= bits - 1) {
			uint32_t i = w * 64 + (uint32_t)__builtin_ctzll(bits);

			settle(t, b, c, first + i, fl_span_of(spans, i));
		}
}

static bool is_small(const struct fl_column_def *d)
{
	return d->field && d->field->type == FL_TYPE_INT32;
}

/* n values into the column's rows from `first`. */
void fl_text_convert(struct fl_text *t, const struct block *b, const struct plan *p, const struct fl_spans *all,
		     uint32_t first, uint32_t n)
{
	struct fl_column *c = &t->want.batch->column[p->column];
	uint64_t odd[FL_BATCH_WORDS];
	struct fl_spans spans = *all;

	/* At the front of the block there is nothing that a kernel could read before a value. */
	while (n && fl_span_of(&spans, 0).begin < FL_KERNEL_BEFORE) {
		settle(t, b, c, first, fl_span_of(&spans, 0));
		first++;
		n--;
		if (spans.end_at) {
			spans.before_at++;
			spans.end_at++;
		} else {
			spans.before += spans.before_step;
			spans.end += spans.end_step;
		}
	}
	if (!n)
		return;
	switch ((enum fl_column_type)c->def.type) {
	case FL_COLUMN_U64:
		(is_small(&c->def) ? t->kernel->small : t->kernel->number)(&spans, n, c->u64 + first, odd);
		break;
	case FL_COLUMN_ADDR:
		t->kernel->address(&spans, n, c->addr + first, odd);
		break;
	case FL_COLUMN_TEXT:
		t->kernel->text(&spans, n, c->text + first, odd);
		break;
	case FL_COLUMN_CODE:
		t->kernel->code(&spans, n, &p->keys, c->code + first, odd);
		break;
	case FL_COLUMN_TYPES:
		return;
	}
	settle_all(t, b, c, &spans, first, n, odd);
}

struct fl_spans fl_text_spans(const struct fl_text *t, const struct block *b, const struct plan *p, const uint32_t *pos,
			      uint32_t first)
{
	struct fl_spans s = {.text = b->text, .end = pos + p->field, .end_step = t->n_fields};

	if (p->field) {
		s.before = s.end - 1;
		s.before_step = t->n_fields;
	} else {
		s.before = t->before + first;
		s.before_step = 1;
	}
	return s;
}
