/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lines are taken in strips that fit the first-level cache: delimiters are indexed, the strip is found regular (each
 * line has as many delimiters as the format) or is walked line by line, and the columns that the filter needs (without
 * a filter: all) are converted. When the batch is full the filter is asked, and the other columns are converted for the
 * rows that are left.
 */
#include "scan/text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "scan/text_state.h"

#define STRIP_DELIMITERS 2048u /* of a strip: their positions take 8 KiB */
#define STRIP_ROWS_MIN 32u

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

static void clear_values(struct fl_column *c)
{
	for (uint32_t row = 0; row < FL_BATCH_ROWS; row++)
		fl_text_set_null(c, row);
}

/* Columns of this format; early: those that the filter needs, or (with all) the others. */
static void plan_columns(struct fl_text *t, const struct fl_format *format, bool early)
{
	struct fl_batch *b = t->want.batch;

	for (uint32_t i = 0; i < b->n_columns; i++) {
		struct plan *p = &t->plan[t->n_plan];

		if (t->needed[i] != early || t->fixed[i])
			continue;
		if (!find_field(format, &b->column[i].def, &p->field)) {
			t->missing[i] = true;
			clear_values(&b->column[i]);
			continue;
		}
		p->column = (uint16_t)i;
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
	t->lacks = NULL;
	return t->want.lacks ? t->want.lacks(t->want.ctx, format, &t->lacks) : 0;
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
	for (uint32_t i = 0; i < want->batch->n_columns; i++) {
		t->needed[i] = !want->filter || !want->of_filter || want->of_filter[i];
		t->fixed[i] = want->constant && want->constant[i].p;
		if (t->fixed[i])
			fill_constant(&want->batch->column[i], want->constant[i]);
	}
	keep_literals(t);
	t->want.constant = NULL;
	t->want.of_filter = NULL;
	t->want.literals = NULL;
	return use_format(t, format);
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
		fl_text_bad_line(t, "a header line that names a field twice or too many");
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
		struct fl_spans spans = fl_text_spans(t, b, &t->plan[i], pos, t->n);

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
	if (rows && fl_text_take_regular(t, b, pos, &ix, rows)) {
		uint32_t end = pos[rows * t->n_fields - 1];

		b->at = end + 1 + (b->text[end] == '\r');
		t->counts.lines += rows;
	} else {
		rows = fl_text_walk(t, b, pos, &ix, limit, &stop);
	}
	t->counts.records += rows;
	/* What cannot be judged is counted: the address that is looked for may be in none of its columns. */
	if (t->literals.count && !t->lacks)
		rows = keep_found(t, b, pos, rows);
	for (size_t i = 0; rows && i < t->n_early; i++) {
		struct fl_spans spans = fl_text_spans(t, b, &t->plan[i], pos, t->n);

		fl_text_convert(t, b, &t->plan[i], &spans, t->n, rows);
	}
	t->n += rows;
	if (stop == LINE_MORE)
		return fl_text_pass_over(t, b);
	if (stop == LINE_HEADER)
		return t->n ? 0 : switch_format(t, b);
	return stop != LINE_END;
}

/* Rows that pass: in runs, because most do. */
static void list_rows(struct fl_text *t, const uint64_t *keep, uint32_t n)
{
	uint32_t out = 0, step = (uint32_t)t->n_fields;

	for (uint32_t w = 0; w < WORDS(n); w++)
		for (uint64_t bits = keep[w]; bits;) {
			uint32_t from = (uint32_t)__builtin_ctzll(bits), row = w * 64 + from, run = 64 - from;

			if (~(bits >> from))
				run = FL_MIN(run, (uint32_t)__builtin_ctzll(~(bits >> from)));
			for (uint32_t k = 0; k < run; k++) {
				t->rows[out + k] = row + k;
				t->offsets[out + k] = (row + k) * step;
			}
			out += run;
			bits = from + run < 64 ? bits & ~UINT64_C(0) << (from + run) : 0;
		}
}

/* Rows of the batch that pass, moved to its front, with all columns. */
static uint32_t finish(struct fl_text *t, const struct block *b)
{
	struct fl_batch *batch = t->want.batch;
	uint64_t keep[FL_BATCH_WORDS];
	uint32_t n = batch->n = t->n, passed = n, could = 0;

	for (uint32_t i = 0; i < batch->n_columns; i++)
		if (t->missing[i])
			set_all_null(&batch->column[i], n);
	if (!n || !t->want.filter)
		return n;
	passed = t->lacks ? fl_filter_eval_lacking(t->want.filter, batch, t->lacks, keep, &could)
			  : fl_filter_eval(t->want.filter, batch, keep);
	t->counts.unjudged += t->lacks ? could - passed : 0;
	if (passed < n) {
		list_rows(t, keep, n);
		fl_batch_compact(batch, keep, t->early);
		for (uint32_t i = 0; i < batch->n_columns; i++)
			if (t->missing[i])
				set_all_null(&batch->column[i], passed);
	}
	for (size_t i = t->n_early; passed && i < t->n_plan; i++) {
		struct fl_spans spans = fl_text_spans(t, b, &t->plan[i], t->pos, 0);

		if (passed < n) {
			spans.end_at = t->offsets;
			spans.before_at = t->plan[i].field ? t->offsets : t->rows;
		}
		fl_text_convert(t, b, &t->plan[i], &spans, 0, passed);
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

/* Of a last line without newline: has values for all fields. */
static bool has_all(const struct fl_text *t, const char *data, size_t n)
{
	size_t values = 1;

	for (size_t i = 0; i < n; i++)
		values += data[i] == ' ';
	return values >= t->n_fields && data[n - 1] != ' ';
}

static bool goes_on(const struct fl_text *t, const char *data, size_t n)
{
	enum fl_line_end end = t->want.line_end ? t->want.line_end(t->want.ctx) : FL_LINE_IS_WHOLE;

	return end == FL_LINE_GOES_ON || (end == FL_LINE_MAY_GO_ON && !has_all(t, data, n));
}

/* What is left when no newline follows. */
static int scan_rest(struct fl_text *t, const char *data, size_t n, bool last, size_t *ret_used)
{
	struct block b = {.text = t->tail};
	int r;

	*ret_used = 0;
	if (n > FL_TEXT_LINE_MAX) {
		fl_text_bad_line(t, "longer than a record can be");
		t->skipping = !last;
		*ret_used = n;
		return 0;
	}
	if (!last || !n)
		return 0;
	if (goes_on(t, data, n)) {
		fl_text_tell(t, t->counts.lines + 1, "still being written, so without an end; the line is not used");
		*ret_used = n;
		return 0;
	}
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
