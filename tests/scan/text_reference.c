/* SPDX-License-Identifier: Apache-2.0 */
#include "text_reference.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"

static void must(bool good, const char *what)
{
	if (good)
		return;
	fprintf(stderr, "%s\n", what);
	abort();
}

void scan_result_free(struct scan_result *r)
{
	fl_buf_free(&r->rows);
}

static void print_rows(const struct fl_batch *b, size_t n_columns, uint32_t n, struct fl_buf *out)
{
	for (uint32_t row = 0; row < n; row++) {
		for (size_t i = 0; i < n_columns; i++) {
			const struct fl_column *c = &b->column[i];

			must(!fl_column_print(c, row, out), "print");
			if (c->def.type == FL_COLUMN_ADDR && c->v6[row / 64] >> (row % 64) & 1)
				must(!fl_buf_add(out, "!", 1), "print");
			/* A null is all zero, and a value of text says where it stands. */
			if (fl_column_is_null(c, row) && c->def.type == FL_COLUMN_U64)
				must(c->u64[row] == 0, "null is not zero");
			if (fl_column_is_null(c, row) && c->def.type == FL_COLUMN_TEXT)
				must(!c->text[row].p && !c->text[row].n, "null is not zero");
			must(!fl_buf_add(out, "\t", 1), "print");
		}
		must(!fl_buf_add(out, "\n", 1), "print");
	}
}

static struct fl_format *format_of(const char *text)
{
	struct fl_format *f = NULL;

	must(!fl_format_parse(&f, FL_LOG_VPC, text), "format");
	return f;
}

struct reference {
	const struct scan_case *c;
	struct fl_format *format;
	struct fl_batch *batch;
	struct fl_filter_bound *filter;
	struct scan_result *result;
};

static bool is_header(const char *line, size_t n)
{
	const char *space = memchr(line, ' ', n);
	size_t first = space ? (size_t)(space - line) : n;

	if (!fl_field_find(FL_LOG_VPC, line, first) && !fl_field_find(FL_LOG_TGW, line, first))
		return false;
	for (size_t i = 0; i < n; i++)
		if (!strchr("abcdefghijklmnopqrstuvwxyz0123456789-_ ", line[i]) || !line[i] ||
		    (line[i] == ' ' && (i + 1 == n || line[i + 1] < 'a' || line[i + 1] > 'z')))
			return false;
	return true;
}

static bool is_current(const struct fl_format *f, const char *line, size_t n)
{
	struct fl_buf b FL_CLEANUP(fl_buf_free) = FL_BUF(1 << 20);

	for (size_t i = 0; i < fl_format_len(f); i++)
		must(!fl_buf_printf(&b, "%s%s", i ? " " : "", fl_format_name(f, i)), "header");
	return b.len == n && !memcmp(b.data, line, n);
}

/* Columns have underscores where the names of fields have hyphens. */
static bool is_named(const char *column, const char *name)
{
	while (*column && (*column == *name || (*column == '_' && *name == '-'))) {
		column++;
		name++;
	}
	return *column == *name;
}

static void reference_row(struct reference *r, const struct fl_values *v)
{
	uint64_t keep[FL_BATCH_WORDS];

	fl_batch_clear(r->batch);
	r->batch->n = 1;
	for (uint32_t i = 0; i < r->batch->n_columns; i++) {
		struct fl_column *c = &r->batch->column[i];
		struct fl_str value = {"-", 1};

		for (size_t f = 0; f < fl_format_len(r->format); f++) {
			if (is_named(c->def.name, fl_format_name(r->format, f)))
				value = v->value[f];
		}
		if (r->c->constant && r->c->constant[i].p)
			value = r->c->constant[i];
		if (!fl_column_set_text(c, 0, value.p, value.n)) {
			fl_column_set_text(c, 0, "-", 1);
			r->result->counts.bad_values++;
		}
	}
	r->result->counts.records++;
	if (!r->filter || fl_filter_eval(r->filter, r->batch, keep))
		print_rows(r->batch, r->c->n_columns, 1, &r->result->rows);
}

static void reference_line(struct reference *r, const char *line, size_t n)
{
	struct fl_format *other;
	struct fl_values v;
	size_t raw = n;

	while (n && line[n - 1] == '\r')
		n--;
	if (raw > FL_TEXT_LINE_MAX) {
		r->result->counts.malformed++;
	} else if (!n || is_current(r->format, line, n)) {
		return;
	} else if (is_header(line, n)) {
		if (fl_format_from_header(&other, line, n)) {
			r->result->counts.malformed++;
			return;
		}
		fl_format_free(&r->format);
		r->format = other;
	} else if (fl_decode_line(r->format, line, n, &v) != FL_LINE_OK) {
		r->result->counts.malformed++;
	} else {
		reference_row(r, &v);
	}
}

void scan_reference(const struct scan_case *c, const char *text, size_t n, struct scan_result *ret)
{
	struct reference r = {.c = c, .format = format_of(c->format), .result = ret};

	*ret = (struct scan_result){.rows = FL_BUF(1 << 30)};
	must(!fl_batch_new(&r.batch, c->columns, c->n_columns), "batch");
	if (c->filter)
		must(!fl_filter_bind(&r.filter, c->filter, c->columns, c->n_columns), "bind");
	for (size_t at = 0; at < n;) {
		const char *end = memchr(text + at, '\n', n - at);
		size_t stop = end ? (size_t)(end - text) : n;

		reference_line(&r, text + at, stop - at);
		ret->counts.lines += end != NULL;
		at = stop + 1;
	}
	fl_batch_free(&r.batch);
	fl_filter_bound_free(&r.filter);
	fl_format_free(&r.format);
}

/* Memory of exactly the length that is promised, so that the sanitizer sees a read beyond it. */
static char *padded(const char *data, size_t n, char padding)
{
	char *p = malloc(n + FL_TEXT_PAD);

	must(p != NULL, "memory");
	if (n)
		memcpy(p, data, n);
	memset(p + n, padding, FL_TEXT_PAD);
	return p;
}

static void count_faults(void *ctx, uint64_t line, const char *what)
{
	must(line && *what, "fault");
	++*(unsigned *)ctx;
}

static size_t feed(struct fl_text *t, const struct scan_case *c, struct fl_batch *b, const char *data, size_t n,
		   bool last, struct fl_buf *out)
{
	size_t at = 0, used;
	int r;

	do {
		r = fl_text_next(t, data + at, n - at, last, &used);
		must(r >= 0, "fl_text_next");
		at += used;
		must(at <= n && (r == 0) == (r != 1) && (!r || b->n), "used");
		if (r)
			print_rows(b, c->n_columns, b->n, out);
	} while (r);
	return at;
}

void scan_fast(const struct scan_case *c, const char *kernel, const char *text, size_t n, size_t block, char padding,
	       struct scan_result *ret)
{
	bool of_filter[FL_BATCH_COLUMNS] = {0};
	const char *names[FL_BATCH_COLUMNS];
	struct fl_format *f = format_of(c->format);
	struct fl_filter_bound *bound = NULL;
	struct fl_batch *b = NULL;
	struct fl_text *t = NULL;
	struct fl_addr literals[FL_FILTER_LITERALS];
	unsigned faults = 0;
	size_t n_names = c->filter ? fl_filter_columns(c->filter, names) : 0;
	bool last;

	*ret = (struct scan_result){.rows = FL_BUF(1 << 30)};
	must(!fl_batch_new(&b, c->columns, c->n_columns), "batch");
	if (c->filter)
		must(!fl_filter_bind(&bound, c->filter, c->columns, c->n_columns), "bind");
	for (size_t i = 0; i < n_names; i++)
		for (size_t j = 0; j < c->n_columns; j++)
			of_filter[j] |= !strcmp(names[i], c->columns[j].name);
	must(!fl_text_new(&t, kernel), "kernel");
	must(!fl_text_begin(t, f,
			    &(struct fl_text_want){.batch = b,
						   .constant = c->constant,
						   .filter = bound,
						   .of_filter = of_filter,
						   .literals = literals,
						   .n_literals = fl_filter_literals(c->filter, literals),
						   .fault = count_faults,
						   .ctx = &faults}),
	     "begin");
	fl_format_free(&f); /* not needed after the call */
	for (size_t at = 0, want = block ? block : n;;) {
		size_t have = FL_MIN(want, n - at), used;
		char *copy = padded(text + at, have, padding);

		last = at + have == n;
		used = feed(t, c, b, copy, have, last, &ret->rows);
		free(copy);
		at += used;
		if (last) {
			must(used == have, "the last block is used up");
			break;
		}
		/* Nothing used: the line is longer than the block. */
		must(used || have <= FL_TEXT_LINE_MAX, "a line without end is passed over");
		want = used ? block : want + block;
	}
	ret->counts = *fl_text_counts(t);
	must(faults == FL_MIN(ret->counts.malformed + ret->counts.bad_values, (uint64_t)FL_TEXT_FAULTS), "faults");
	fl_text_free(&t);
	fl_batch_free(&b);
	fl_filter_bound_free(&bound);
}

bool scan_equal(const struct scan_result *a, const struct scan_result *b, bool filtered)
{
	/* Values of rows that the filter refuses are not all converted. */
	return a->rows.len == b->rows.len && (!a->rows.len || !memcmp(a->rows.data, b->rows.data, a->rows.len)) &&
	       a->counts.lines == b->counts.lines && a->counts.records == b->counts.records &&
	       a->counts.malformed == b->counts.malformed &&
	       (filtered ? a->counts.bad_values >= b->counts.bad_values : a->counts.bad_values == b->counts.bad_values);
}
