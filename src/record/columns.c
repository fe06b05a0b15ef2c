/* SPDX-License-Identifier: Apache-2.0 */
#include "record/columns.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "record/fields.h"

static const struct fl_column_def own[FL_OWN_N - 1] = {
    [FL_OWN_SOURCE - 1] = {"source", NULL, FL_COLUMN_TEXT, FL_OWN_SOURCE, 0, NULL},
    [FL_OWN_PROVISIONAL - 1] = {"provisional", NULL, FL_COLUMN_U64, FL_OWN_PROVISIONAL, 0, NULL},
    [FL_OWN_VERDICT_SOURCE - 1] = {"verdict_source", NULL, FL_COLUMN_TEXT, FL_OWN_VERDICT_SOURCE, 0, NULL},
    [FL_OWN_VERDICT_CAUSE - 1] = {"verdict_cause", NULL, FL_COLUMN_TEXT, FL_OWN_VERDICT_CAUSE, 0, NULL},
    [FL_OWN_POLICY_ACTION - 1] = {"policy_action", NULL, FL_COLUMN_TEXT, FL_OWN_POLICY_ACTION, 0, NULL},
    [FL_OWN_POLICY_CAUSE - 1] = {"policy_cause", NULL, FL_COLUMN_TEXT, FL_OWN_POLICY_CAUSE, 0, NULL},
};

const char *fl_own_column_name(enum fl_own_column c)
{
	return own[c - 1].name;
}

static void define(const struct fl_field *f, struct fl_column_def *ret)
{
	*ret = (struct fl_column_def){.name = f->column, .field = f};
	switch (fl_field_origin(f)) {
	case FL_FROM_SRC:
	case FL_FROM_DST:
	case FL_FROM_PKT_SRC:
	case FL_FROM_PKT_DST:
		ret->type = FL_COLUMN_ADDR;
		break;
	case FL_FROM_ACTION:
		ret->type = FL_COLUMN_CODE;
		ret->codes = fl_action_names;
		ret->n_codes = FL_ACTION_N;
		break;
	case FL_FROM_STATUS:
		ret->type = FL_COLUMN_CODE;
		ret->codes = fl_status_names;
		ret->n_codes = FL_STATUS_N;
		break;
	default:
		ret->type = f->type == FL_TYPE_TEXT ? FL_COLUMN_TEXT : FL_COLUMN_U64;
	}
}

bool fl_column_find(const char *name, struct fl_column_def *ret)
{
	for (int kind = FL_LOG_VPC; kind <= FL_LOG_TGW; kind++)
		for (unsigned i = 0; i < fl_field_count((enum fl_log_kind)kind); i++) {
			const struct fl_field *f = fl_field_at((enum fl_log_kind)kind, i);

			if (strcmp(f->column, name) != 0 && strcmp(f->name, name) != 0)
				continue;
			define(f, ret);
			return true;
		}
	for (size_t i = 0; i < FL_ARRAY_LEN(own); i++)
		if (!strcmp(own[i].name, name)) {
			*ret = own[i];
			return true;
		}
	*ret = (struct fl_column_def){.name = name, .type = FL_COLUMN_TEXT};
	return false;
}

bool fl_column_is_named(const struct fl_column_def *d, const char *name)
{
	const char *p = d->name;

	for (; *name && (*name == *p || (*name == '-' && *p == '_')); name++, p++)
		;
	return !*name && !*p;
}

/* ---- batches ---- */

static size_t value_size(uint8_t type)
{
	static const uint8_t size[FL_COLUMN_TYPES] = {sizeof(uint64_t), sizeof(struct fl_addr), sizeof(struct fl_str),
						      sizeof(uint8_t)};

	return size[type];
}

static int allocate(struct fl_column *c)
{
	c->null = calloc(FL_BATCH_WORDS, sizeof *c->null);
	c->v6 = c->def.type == FL_COLUMN_ADDR ? calloc(FL_BATCH_WORDS, sizeof *c->v6) : NULL;
	/* A line of cache more, so that kernels may store whole vectors. */
	c->u64 = aligned_alloc(64, FL_BATCH_ROWS * value_size(c->def.type) + 64);
	if (!c->null || !c->u64 || (c->def.type == FL_COLUMN_ADDR && !c->v6))
		return -ENOMEM;
	memset(c->u64, 0, FL_BATCH_ROWS * value_size(c->def.type) + 64);
	return 0;
}

int fl_batch_new(struct fl_batch **ret, const struct fl_column_def *defs, size_t n)
{
	struct fl_batch *b FL_CLEANUP(fl_batch_free) = NULL;

	if (n > FL_BATCH_COLUMNS)
		return fl_fail(-E2BIG, "%zu columns are asked for, and %u are possible", n, FL_BATCH_COLUMNS);
	b = calloc(1, sizeof *b);
	if (!b)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		b->column[i].def = defs[i];
		b->n_columns = (uint32_t)i + 1;
		if (allocate(&b->column[i]))
			return -ENOMEM;
	}
	*ret = b;
	b = NULL;
	return 0;
}

void fl_batch_free(struct fl_batch **b)
{
	if (!*b)
		return;
	for (uint32_t i = 0; i < (*b)->n_columns; i++) {
		free((*b)->column[i].null);
		free((*b)->column[i].v6);
		free((*b)->column[i].u64);
	}
	free(*b);
	*b = NULL;
}

void fl_batch_clear(struct fl_batch *b)
{
	b->n = 0;
	for (uint32_t i = 0; i < b->n_columns; i++) {
		struct fl_column *c = &b->column[i];

		if (c->any_null)
			memset(c->null, 0, FL_BATCH_WORDS * sizeof *c->null);
		if (c->v6)
			memset(c->v6, 0, FL_BATCH_WORDS * sizeof *c->v6);
		c->any_null = false;
	}
}

/* Rows that stay come in runs, most often long ones: nearly all records pass the usual filters. */
struct run {
	uint16_t from, n;
};

/* Runs of set bits; *ret_rows is how many bits. A run ends with its word. */
static uint32_t find_runs(const uint64_t keep[FL_BATCH_WORDS], uint32_t n, struct run *runs, uint32_t *ret_rows)
{
	uint32_t n_runs = 0;

	*ret_rows = 0;
	for (uint32_t w = 0; w * 64 < n; w++) {
		uint64_t bits = n - w * 64 < 64 ? keep[w] & ~(~UINT64_C(0) << (n - w * 64)) : keep[w];

		while (bits) {
			uint32_t from = (uint32_t)__builtin_ctzll(bits), run = 64 - from;

			if (~(bits >> from))
				run = FL_MIN(run, (uint32_t)__builtin_ctzll(~(bits >> from)));
			runs[n_runs++] = (struct run){(uint16_t)(w * 64 + from), (uint16_t)run};
			*ret_rows += run;
			bits = from + run < 64 ? bits & ~UINT64_C(0) << (from + run) : 0;
		}
	}
	return n_runs;
}

static void compact_bits(uint64_t *bits, const struct run *runs, uint32_t n_runs)
{
	uint64_t moved[FL_BATCH_WORDS + 1] = {0};
	uint32_t to = 0;

	for (uint32_t i = 0; i < n_runs; i++) {
		/* A run is within a word. */
		uint64_t inside = runs[i].n < 64 ? ~(~UINT64_C(0) << runs[i].n) : ~UINT64_C(0);
		uint64_t some = bits[runs[i].from / 64] >> (runs[i].from % 64) & inside;

		moved[to / 64] |= some << (to % 64);
		if (to % 64)
			moved[to / 64 + 1] |= some >> (64 - to % 64);
		to += runs[i].n;
	}
	memcpy(bits, moved, FL_BATCH_WORDS * sizeof *bits);
}

#define MOVE(values)                                                                                                   \
	for (uint32_t i = 0, to = 0; i < n_runs; to += runs[i++].n)                                                    \
		if (runs[i].from == to)                                                                                \
			continue;                                                                                      \
		else if (runs[i].n < 8)                                                                                \
			for (uint32_t k = 0; k < runs[i].n; k++)                                                       \
				(values)[to + k] = (values)[runs[i].from + k];                                         \
		else                                                                                                   \
			memmove((values) + to, (values) + runs[i].from, runs[i].n * sizeof *(values))

static void compact_column(struct fl_column *c, const struct run *runs, uint32_t n_runs)
{
	switch ((enum fl_column_type)c->def.type) {
	case FL_COLUMN_U64:
		MOVE(c->u64);
		break;
	case FL_COLUMN_ADDR:
		MOVE(c->addr);
		compact_bits(c->v6, runs, n_runs);
		break;
	case FL_COLUMN_TEXT:
		MOVE(c->text);
		break;
	case FL_COLUMN_CODE:
		MOVE(c->code);
		break;
	case FL_COLUMN_TYPES:
		break;
	}
	if (c->any_null)
		compact_bits(c->null, runs, n_runs);
}

uint32_t fl_batch_compact(struct fl_batch *b, const uint64_t keep[FL_BATCH_WORDS], const bool *which)
{
	struct run runs[FL_BATCH_ROWS / 2 + FL_BATCH_WORDS];
	uint32_t n, n_runs = find_runs(keep, b->n, runs, &n);

	if (n < b->n)
		for (uint32_t i = 0; i < b->n_columns; i++)
			if (!which || which[i])
				compact_column(&b->column[i], runs, n_runs);
	b->n = n;
	return n;
}

static void gather_column(struct fl_column *to, const struct fl_column *from, const uint16_t *rows, uint32_t n)
{
	size_t size = value_size(to->def.type);
	char *out = (char *)to->u64;

	switch (size) {
	case 8:
		for (uint32_t i = 0; i < n; i++)
			to->u64[i] = from->u64[rows[i]];
		break;
	case 16:
		for (uint32_t i = 0; i < n; i++)
			memcpy(out + 16 * i, (const char *)from->u64 + 16 * (size_t)rows[i], 16);
		break;
	default:
		for (uint32_t i = 0; i < n; i++)
			to->code[i] = from->code[rows[i]];
	}
	to->any_null = from->any_null;
	for (uint32_t i = 0; i < n; i++) {
		if (from->any_null)
			to->null[i / 64] |= (from->null[rows[i] / 64] >> (rows[i] % 64) & 1) << (i % 64);
		if (to->v6)
			to->v6[i / 64] |= (from->v6[rows[i] / 64] >> (rows[i] % 64) & 1) << (i % 64);
	}
}

void fl_batch_gather(struct fl_batch *to, const struct fl_batch *from, const uint16_t *rows, uint32_t n)
{
	fl_batch_clear(to);
	for (uint32_t i = 0; i < to->n_columns; i++)
		gather_column(&to->column[i], &from->column[i], rows, n);
	to->n = n;
}

/* ---- values ---- */

static bool number_from_text(const struct fl_column_def *d, const char *text, size_t n, uint64_t *ret)
{
	uint64_t v = 0, max = d->field && d->field->type == FL_TYPE_INT32 ? INT32_MAX : INT64_MAX;

	for (size_t i = 0; i < n; i++)
		if (text[i] < '0' || text[i] > '9' || __builtin_mul_overflow(v, 10u, &v) ||
		    __builtin_add_overflow(v, (unsigned)(text[i] - '0'), &v))
			return false;
	*ret = v;
	return n && v <= max;
}

static bool code_from_text(const struct fl_column_def *d, const char *text, size_t n, uint8_t *ret)
{
	for (uint8_t i = 0; i < d->n_codes; i++)
		if (strlen(d->codes[i]) == n && !memcmp(d->codes[i], text, n)) {
			*ret = i;
			return true;
		}
	return false;
}

static void store_null(struct fl_column *c, uint32_t row)
{
	memset((char *)c->u64 + row * value_size(c->def.type), 0, value_size(c->def.type));
	fl_column_set_null(c, row);
}

bool fl_column_set_text(struct fl_column *c, uint32_t row, const char *text, size_t n)
{
	struct fl_addr a;
	uint64_t v;
	uint8_t code;
	bool v6;

	if (n == 1 && *text == '-') {
		store_null(c, row);
		return true;
	}
	switch ((enum fl_column_type)c->def.type) {
	case FL_COLUMN_U64:
		if (!number_from_text(&c->def, text, n, &v))
			return false;
		c->u64[row] = v;
		return true;
	case FL_COLUMN_ADDR:
		if (fl_addr_parse(text, n, &a, &v6) < 0)
			return false;
		c->addr[row] = a;
		if (v6 && fl_addr_is_mapped_v4(&a))
			c->v6[row / 64] |= UINT64_C(1) << (row % 64);
		return true;
	case FL_COLUMN_TEXT:
		c->text[row] = (struct fl_str){text, n};
		return n > 0;
	case FL_COLUMN_CODE:
		if (!code_from_text(&c->def, text, n, &code))
			return false;
		c->code[row] = code;
		return true;
	case FL_COLUMN_TYPES:
		break;
	}
	return false;
}

static int print_number(uint64_t v, struct fl_buf *out)
{
	char text[20], *p = text + sizeof text;

	do
		*--p = (char)('0' + v % 10);
	while (v /= 10);
	return fl_buf_add(out, p, (size_t)(text + sizeof text - p));
}

int fl_column_print(const struct fl_column *c, uint32_t row, struct fl_buf *out)
{
	char text[FL_ADDR_TEXT_MAX], *end;

	if (fl_column_is_null(c, row))
		return fl_buf_add(out, "-", 1);
	switch ((enum fl_column_type)c->def.type) {
	case FL_COLUMN_U64:
		return print_number(c->u64[row], out);
	case FL_COLUMN_ADDR:
		end = fl_addr_print(text, &c->addr[row], c->v6[row / 64] >> (row % 64) & 1);
		return fl_buf_add(out, text, (size_t)(end - text));
	case FL_COLUMN_TEXT:
		return fl_buf_add(out, c->text[row].p, c->text[row].n);
	case FL_COLUMN_CODE:
		return fl_buf_adds(out, c->def.codes[c->code[row]]);
	case FL_COLUMN_TYPES:
		break;
	}
	return -EINVAL;
}

const char *fl_column_title(const struct fl_column_def *d)
{
	return d->field ? d->field->name : d->name;
}

int fl_batch_print(const struct fl_batch *b, uint32_t row, size_t n_columns, char separator, struct fl_buf *out)
{
	int r = 0;

	for (size_t i = 0; !r && i < n_columns; i++) {
		if (i)
			r = fl_buf_add(out, &separator, 1);
		if (!r)
			r = fl_column_print(&b->column[i], row, out);
	}
	return r;
}
