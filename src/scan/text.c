/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lines are taken in strips that fit the first-level cache: delimiters are indexed, the strip is found regular (each
 * line has as many delimiters as the format) or is walked line by line, and the columns that the filter needs (without
 * a filter: all) are converted. When the batch is full the filter is asked, and the other columns are converted for the
 * rows that are left.
 */
#include "scan/text.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "scan/headers.h"
#include "scan/kernels.h"

#define STRIP_DELIMITERS 4096u /* of a strip: their positions take 16 KiB */
#define STRIP_ROWS_MIN 32u
#define WORDS(n) (((n) + 63) / 64)

/* How one column of the batch is made. */
struct plan {
	uint16_t column, field; /* position in the batch, in the line */
	struct fl_code_keys keys;
};

/* Text that is scanned: the caller's, or our copy of a last line. */
struct block {
	const char *text;
	size_t n, at; /* at: up to here lines are used */
};

struct fl_text {
	const struct fl_kernel *kernel;
	struct fl_headers *headers;
	struct fl_text_want want;
	struct fl_text_counts counts;
	unsigned told; /* faults */

	size_t n_fields, strip_rows;
	struct plan plan[FL_BATCH_COLUMNS]; /* what the filter needs first */
	size_t n_plan, n_early;
	bool early[FL_BATCH_COLUMNS], missing[FL_BATCH_COLUMNS]; /* by position in the batch */
	struct fl_literals literals;                             /* count 0: rows are not looked for */

	bool skipping;         /* within a line that is too long */
	uint64_t lines_before; /* of the block that is scanned */

	uint32_t n;                     /* rows in the making */
	uint32_t before[FL_BATCH_ROWS]; /* position before their first byte */
	uint16_t rows[FL_BATCH_ROWS];   /* that passed */
	uint32_t *pos;                  /* n_fields a row: where its values end */
	size_t pos_size;
	char *tail; /* FL_TEXT_LINE_MAX + 1 + FL_TEXT_PAD */
};

int fl_text_new(struct fl_text **ret, const char *kernel)
{
	const struct fl_kernel *k = fl_kernel_find(kernel);
	struct fl_text *t FL_CLEANUP(fl_text_free) = NULL;
	int r;

	if (!k)
		return fl_fail(-EINVAL, "there is no kernel \"%s\"; scalar is on every CPU, avx2 and avx512 on x86-64",
			       kernel);
	if (!k->supported())
		return fl_fail(-ENOTSUP, "this CPU does not have what kernel %s needs; scalar works everywhere",
			       kernel);
	t = calloc(1, sizeof *t);
	if (!t)
		return -ENOMEM;
	t->kernel = k;
	t->tail = calloc(1, FL_TEXT_LINE_MAX + 1 + FL_TEXT_PAD);
	r = t->tail ? fl_headers_new(&t->headers) : -ENOMEM;
	if (r)
		return r;
	*ret = t;
	t = NULL;
	return 0;
}

void fl_text_free(struct fl_text **t)
{
	if (!*t)
		return;
	fl_headers_free(&(*t)->headers);
	free((*t)->pos);
	free((*t)->tail);
	free(*t);
	*t = NULL;
}

const char *fl_text_kernel(const struct fl_text *t)
{
	return t->kernel->name;
}

const struct fl_text_counts *fl_text_counts(const struct fl_text *t)
{
	return &t->counts;
}

/* ---- plan ---- */

static bool find_field(const struct fl_format *f, const struct fl_column_def *d, uint16_t *ret)
{
	for (size_t i = 0; i < fl_format_len(f); i++)
		if (fl_column_is_named(d, fl_format_name(f, i))) {
			*ret = (uint16_t)i;
			return true;
		}
	return false;
}

static void fill_constant(struct fl_column *c, struct fl_str value)
{
	for (uint32_t row = 0; row < FL_BATCH_ROWS; row++)
		fl_column_set_text(c, row, value.p, value.n);
}

static void set_all_null(struct fl_column *c, uint32_t n)
{
	c->any_null = true;
	for (uint32_t w = 0; w < FL_BATCH_WORDS; w++)
		c->null[w] = n >= w * 64 + 64 ? ~UINT64_C(0) : n > w * 64 ? ~(~UINT64_C(0) << n % 64) : 0;
}

static void set_null(struct fl_column *c, uint32_t row)
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

static void clear_values(struct fl_column *c)
{
	for (uint32_t row = 0; row < FL_BATCH_ROWS; row++)
		set_null(c, row);
}

/* Columns of this format; early: those that the filter needs, or (with all) the others. */
static void plan_columns(struct fl_text *t, const struct fl_format *format, bool early)
{
	struct fl_batch *b = t->want.batch;

	for (uint16_t i = 0; i < b->n_columns; i++) {
		struct plan *p = &t->plan[t->n_plan];
		bool needed = !t->want.filter || !t->want.of_filter || t->want.of_filter[i];

		if (needed != early || (t->want.constant && t->want.constant[i].p))
			continue;
		if (!find_field(format, &b->column[i].def, &p->field)) {
			t->missing[i] = true;
			clear_values(&b->column[i]);
			continue;
		}
		p->column = i;
		t->early[i] = early;
		if (b->column[i].def.type == FL_COLUMN_CODE)
			fl_code_keys_set(&p->keys, b->column[i].def.codes, b->column[i].def.n_codes);
		t->n_plan++;
	}
}

static int use_format(struct fl_text *t, const struct fl_format *format)
{
	size_t size;
	int r = fl_headers_set_current(t->headers, format);

	if (r)
		return r;
	t->n_fields = fl_format_len(format);
	t->strip_rows = FL_MAX(STRIP_DELIMITERS / t->n_fields, (size_t)STRIP_ROWS_MIN);
	if (t->strip_rows > FL_BATCH_ROWS)
		t->strip_rows = FL_BATCH_ROWS;
	size = t->n_fields * FL_BATCH_ROWS + FL_KERNEL_SLACK;
	if (size > t->pos_size) {
		free(t->pos);
		t->pos_size = 0;
		t->pos = malloc(size * sizeof *t->pos);
		if (!t->pos)
			return -ENOMEM;
		t->pos_size = size;
	}
	t->n_plan = 0;
	memset(t->early, 0, sizeof t->early);
	memset(t->missing, 0, sizeof t->missing);
	plan_columns(t, format, true);
	t->n_early = t->n_plan;
	plan_columns(t, format, false);
	fl_batch_clear(t->want.batch);
	return 0;
}

/* Only where all of them are written as IPv4 and can be looked for. */
static void keep_literals(struct fl_text *t)
{
	struct fl_literals *l = &t->literals;

	*l = (struct fl_literals){0};
	if (t->want.n_literals > FL_KERNEL_LITERALS || !t->want.of_filter)
		return;
	for (size_t i = 0; i < t->want.n_literals; i++) {
		char text[FL_ADDR_TEXT_MAX];

		if (!fl_addr_is_mapped_v4(&t->want.literals[i])) {
			l->count = 0;
			return;
		}
		l->n[i] = (uint8_t)(fl_addr_print(text, &t->want.literals[i], false) - text);
		memcpy(l->text[i], text, l->n[i]);
		l->bytes[i] = (1u << l->n[i]) - 1;
		l->count++;
	}
}

int fl_text_begin(struct fl_text *t, const struct fl_format *format, const struct fl_text_want *want)
{
	t->want = *want;
	t->counts = (struct fl_text_counts){0};
	t->told = 0;
	t->skipping = false;
	t->n = 0;
	fl_batch_clear(want->batch);
	for (uint32_t i = 0; want->constant && i < want->batch->n_columns; i++)
		if (want->constant[i].p)
			fill_constant(&want->batch->column[i], want->constant[i]);
	keep_literals(t);
	return use_format(t, format);
}

/* ---- faults ---- */

static void tell(struct fl_text *t, uint64_t line, const char *fmt, ...) FL_PRINTF(3, 4);
static void tell(struct fl_text *t, uint64_t line, const char *fmt, ...)
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

/* ---- columns ---- */

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)(c | 0x20);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

#define NO_GAP 9
/* IPv6 in hexadecimal groups alone; what is refused here is left to the slow path. */
static bool groups(const char *s, const char *end, struct fl_addr *ret)
{
	unsigned n = 0, gap = NO_GAP;
	uint8_t b[16] = {0};

	if (end - s < 2 || end - s > 39)
		return false;
	if (s[0] == ':' && s[1] == ':') {
		gap = 0;
		s += 2;
	}
	while (s < end) {
		unsigned v = 0, digits = 0;

		for (int d; s < end && digits < 4 && (d = hex_digit(*s)) >= 0; s++, digits++)
			v = v << 4 | (unsigned)d;
		if (!digits || n == 8)
			return false;
		b[2 * n] = (uint8_t)(v >> 8);
		b[2 * n++ + 1] = (uint8_t)v;
		if (s == end)
			break;
		if (*s++ != ':' || s == end)
			return false;
		if (*s == ':') {
			if (gap != NO_GAP)
				return false;
			gap = n;
			s++;
		}
	}
	if (gap == NO_GAP ? n != 8 : n > 7)
		return false;
	*ret = (struct fl_addr){0};
	memcpy(ret->b, b, gap == NO_GAP ? 16 : 2 * gap);
	if (gap != NO_GAP)
		memcpy(ret->b + 16 - 2 * (n - gap), b + 2 * gap, 2 * (n - gap));
	return true;
}

/* One value whose shape the kernel does not know. */
static void settle(struct fl_text *t, const struct block *b, struct fl_column *c, uint32_t row, const char *s,
		   const char *end)
{
	size_t n = (size_t)(end - s);

	if (n == 1 && *s == '-') {
		set_null(c, row);
		return;
	}
	if (c->def.type == FL_COLUMN_ADDR && groups(s, end, &c->addr[row])) {
		if (fl_addr_is_mapped_v4(&c->addr[row]))
			c->v6[row / 64] |= UINT64_C(1) << (row % 64);
		return;
	}
	if (fl_column_set_text(c, row, s, n))
		return;
	set_null(c, row);
	t->counts.bad_values++;
	if (t->told < FL_TEXT_FAULTS)
		tell(t, line_at(t, b, s), "%s: \"%.*s\" is not a value of this field; it is taken as \"-\"",
		     c->def.name, (int)FL_MIN(n, (size_t)80), s);
}

/* The values that were odd become null or go the slow way. */
static void settle_all(struct fl_text *t, const struct block *b, struct fl_column *c, const struct fl_spans *spans,
		       uint32_t first, uint32_t n, const uint64_t *odd)
{
	for (uint32_t w = 0; w < WORDS(n); w++)
		for (uint64_t bits = odd[w]; bits; bits &= bits - 1) {
			uint32_t i = w * 64 + (uint32_t)__builtin_ctzll(bits);

			settle(t, b, c, first + i, fl_span_begin(spans, i), fl_span_end(spans, i));
		}
}

static bool is_small(const struct fl_column_def *d)
{
	return d->field && d->field->type == FL_TYPE_INT32;
}

/* n values into the column's rows from `first`. */
static void convert(struct fl_text *t, const struct block *b, const struct plan *p, const struct fl_spans *all,
		    uint32_t first, uint32_t n)
{
	struct fl_column *c = &t->want.batch->column[p->column];
	uint64_t odd[FL_BATCH_WORDS];
	struct fl_spans spans = *all;

	/* At the front of the block there is nothing that a kernel could read before a value. */
	while (n && fl_span_begin(&spans, 0) < b->text + FL_KERNEL_BEFORE) {
		settle(t, b, c, first, fl_span_begin(&spans, 0), fl_span_end(&spans, 0));
		first++;
		n--;
		if (spans.rows) {
			spans.rows++;
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

static struct fl_spans spans_of(const struct fl_text *t, const struct block *b, const struct plan *p,
				const uint32_t *pos, uint32_t first)
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

/* ---- lines ---- */

/* Every line of the strip has n_fields values and no carriage return needs more than to be cut off. Sets before[];
 * returns false when the lines must be walked. pos is changed only when true is returned. */
static bool take_regular(struct fl_text *t, const struct block *b, uint32_t *pos, const struct fl_index *ix,
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

enum line {
	LINE_ROW,
	LINE_NONE,   /* not used */
	LINE_HEADER, /* of another format */
	LINE_MORE,   /* its end was not indexed */
	LINE_END,    /* its end is not in the block */
};

static enum line bad_line(struct fl_text *t, const char *why)
{
	t->counts.malformed++;
	tell(t, t->counts.lines + 1, "%s; the line is not used", why);
	return LINE_NONE;
}

static enum line bad_number(struct fl_text *t, size_t values)
{
	t->counts.malformed++;
	tell(t, t->counts.lines + 1, "%zu values where the format has %zu; the line is not used", values, t->n_fields);
	return LINE_NONE;
}

/* The line [begin, pos[n - 1]) with its n delimiters; *end is cut before carriage returns. */
static enum line judge(struct fl_text *t, const char *text, uint32_t begin, const uint32_t *pos, size_t n,
		       uint32_t *end)
{
	uint32_t previous = begin - 1;

	*end = pos[n - 1];
	if (*end - begin > FL_TEXT_LINE_MAX)
		return bad_line(t, "longer than a record can be");
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
			return bad_line(t, "an empty value");
		previous = pos[i];
	}
	return n == t->n_fields ? LINE_ROW : bad_number(t, n);
}

/* Line by line, those that are records moved together. Returns how many; b->at moves on. ret_stop: the
 * line that it stands before, when that needs something else. */
static uint32_t walk(struct fl_text *t, struct block *b, uint32_t *pos, const struct fl_index *ix, uint32_t rows,
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
static int pass_over(struct fl_text *t, struct block *b)
{
	const char *end = memchr(b->text + b->at, '\n', b->n - b->at);
	size_t values = 1;

	if (!end)
		return 0;
	if ((size_t)(end - b->text) - b->at > FL_TEXT_LINE_MAX) {
		bad_line(t, "longer than a record can be");
	} else {
		for (const char *p = b->text + b->at; p < end; p++)
			values += *p == ' ';
		bad_number(t, values);
	}
	b->at = (size_t)(end - b->text) + 1;
	t->counts.lines++;
	return 1;
}

/* The line at b->at is a header of another format. 1 or -ENOMEM. */
static int switch_format(struct fl_text *t, struct block *b)
{
	const char *line = b->text + b->at, *end = memchr(line, '\n', b->n - b->at);
	struct fl_format *format FL_CLEANUP(fl_format_free) = NULL;
	int r = fl_format_from_header(&format, line, (size_t)(end - line));

	if (r == -ENOMEM)
		return r;
	if (r)
		bad_line(t, "a header line that names a field twice or too many");
	else
		r = use_format(t, format);
	if (!format)
		r = 0;
	b->at = (size_t)(end - b->text) + 1;
	t->counts.lines++;
	return r < 0 ? r : 1;
}

/* Only rows of the strip in which an address that the filter looks at could be one of the literals. */
static uint32_t keep_found(struct fl_text *t, const struct block *b, uint32_t *pos, uint32_t n)
{
	uint64_t found[FL_BATCH_WORDS] = {0}, here[FL_BATCH_WORDS];
	size_t nf = t->n_fields;
	uint32_t out = 0;

	for (size_t i = 0; i < t->n_early; i++) {
		struct fl_spans spans = spans_of(t, b, &t->plan[i], pos, t->n);

		if (t->want.batch->column[t->plan[i].column].def.type != FL_COLUMN_ADDR)
			continue;
		t->kernel->match(&spans, n, &t->literals, here);
		for (uint32_t w = 0; w < WORDS(n); w++)
			found[w] |= here[w];
	}
	for (uint32_t w = 0; w < WORDS(n); w++)
		for (uint64_t bits = found[w]; bits; bits &= bits - 1, out++) {
			uint32_t row = w * 64 + (uint32_t)__builtin_ctzll(bits);

			memmove(pos + out * nf, pos + row * nf, nf * sizeof *pos);
			t->before[t->n + out] = t->before[t->n + row];
		}
	return out;
}

/* One strip more. 1: go on; 0: no whole line is left, or the batch is full; -ENOMEM. */
static int take_strip(struct fl_text *t, struct block *b)
{
	uint32_t limit = FL_MIN((uint32_t)t->strip_rows, FL_BATCH_ROWS - t->n), rows;
	uint32_t *pos = t->pos + (t->n_early < t->n_plan ? t->n * t->n_fields : 0);
	enum line stop = LINE_NONE;
	struct fl_index ix;

	if (!limit || b->at == b->n)
		return 0;
	ix = t->kernel->index(b->text, b->at, b->n, limit * t->n_fields, pos);
	rows = (uint32_t)FL_MIN((size_t)limit, ix.n / t->n_fields);
	if (rows && take_regular(t, b, pos, &ix, rows)) {
		uint32_t end = pos[rows * t->n_fields - 1];

		b->at = end + 1 + (b->text[end] == '\r');
		t->counts.lines += rows;
	} else {
		rows = walk(t, b, pos, &ix, limit, &stop);
	}
	t->counts.records += rows;
	if (t->literals.count)
		rows = keep_found(t, b, pos, rows);
	for (size_t i = 0; rows && i < t->n_early; i++) {
		struct fl_spans spans = spans_of(t, b, &t->plan[i], pos, t->n);

		convert(t, b, &t->plan[i], &spans, t->n, rows);
	}
	t->n += rows;
	if (stop == LINE_MORE)
		return pass_over(t, b);
	if (stop == LINE_HEADER)
		return t->n ? 0 : switch_format(t, b);
	return stop != LINE_END;
}

/* Rows of the batch that pass, moved to its front, with all columns. */
static uint32_t finish(struct fl_text *t, const struct block *b)
{
	struct fl_batch *batch = t->want.batch;
	uint64_t keep[FL_BATCH_WORDS];
	uint32_t n = batch->n = t->n, passed = n;

	for (uint32_t i = 0; i < batch->n_columns; i++)
		if (t->missing[i])
			set_all_null(&batch->column[i], n);
	if (!n || !t->want.filter)
		return n;
	passed = fl_filter_eval(t->want.filter, batch, keep);
	if (passed < n) {
		uint32_t out = 0;

		for (uint32_t w = 0; w < WORDS(n); w++)
			for (uint64_t bits = keep[w]; bits; bits &= bits - 1)
				t->rows[out++] = (uint16_t)(w * 64 + (uint32_t)__builtin_ctzll(bits));
		fl_batch_compact(batch, keep, t->early);
		for (uint32_t i = 0; i < batch->n_columns; i++)
			if (t->missing[i])
				set_all_null(&batch->column[i], passed);
	}
	for (size_t i = t->n_early; passed && i < t->n_plan; i++) {
		struct fl_spans spans = spans_of(t, b, &t->plan[i], t->pos, 0);

		spans.rows = passed < n ? t->rows : NULL;
		convert(t, b, &t->plan[i], &spans, 0, passed);
	}
	return passed;
}

/* Batches until one has rows (1) or no whole line is left in the block (0). */
static int scan(struct fl_text *t, struct block *b)
{
	int r;

	do {
		size_t began = b->at;

		fl_batch_clear(t->want.batch);
		t->n = 0;
		while ((r = take_strip(t, b)) == 1)
			;
		if (r < 0)
			return r;
		if (finish(t, b))
			return 1;
		r = b->at > began;
	} while (r);
	return 0;
}

/* Within a line that is too long: bytes up to and with its newline. */
static size_t skip(struct fl_text *t, const char *data, size_t n, bool last)
{
	const char *end = n ? memchr(data, '\n', n) : NULL;

	t->skipping = !end && !last;
	t->counts.lines += end != NULL;
	return end ? (size_t)(end - data) + 1 : n;
}

/* What is left when no newline follows. */
static int scan_rest(struct fl_text *t, const char *data, size_t n, bool last, size_t *ret_used)
{
	struct block b = {.text = t->tail};
	int r;

	*ret_used = 0;
	if (n > FL_TEXT_LINE_MAX) {
		bad_line(t, "longer than a record can be");
		t->skipping = !last;
		*ret_used = n;
		return 0;
	}
	if (!last || !n)
		return 0;
	memcpy(t->tail, data, n);
	t->tail[n] = '\n';
	b.n = n + 1;
	t->lines_before = t->counts.lines;
	r = scan(t, &b);
	t->counts.lines--; /* the newline is ours */
	*ret_used = n;
	return r;
}

int fl_text_next(struct fl_text *t, const char *data, size_t n, bool last, size_t *ret_used)
{
	struct block b = {.text = data, .n = n};
	size_t rest;
	int r;

	*ret_used = 0;
	if (n > FL_TEXT_BLOCK_MAX)
		return fl_fail(-E2BIG, "a block of %zu bytes of text is longer than %u", n, FL_TEXT_BLOCK_MAX);
	if (t->skipping)
		b.at = skip(t, data, n, last);
	if (t->skipping || !n) {
		*ret_used = n;
		return 0;
	}
	t->lines_before = t->counts.lines - (b.at != 0);
	r = scan(t, &b);
	*ret_used = b.at;
	if (r)
		return r;
	r = scan_rest(t, data + b.at, n - b.at, last, &rest);
	*ret_used += rest;
	return r;
}
