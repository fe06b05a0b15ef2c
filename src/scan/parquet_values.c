/* SPDX-License-Identifier: Apache-2.0 */
/* From what Parquet stores to what columns of records hold. Values of a dictionary are converted once. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cursor.h"
#include "base/error.h"
#include "scan/parquet_inner.h"

#define NUMBER_TEXT 32 /* no number is longer in print */

/* ---- single values ---- */

/* 0, FL_PQ_NULL or FL_PQ_BAD. */
static unsigned number_of(const struct fl_pq_column *c, uint64_t raw, uint64_t max, uint64_t *ret)
{
	float single;
	double v;

	*ret = 0;
	switch ((enum fl_pq_kind)c->kind) {
	case FL_PQ_FLOAT:
	case FL_PQ_DOUBLE:
		memcpy(&v, &raw, sizeof v);
		if (c->kind == FL_PQ_FLOAT) {
			memcpy(&single, &raw, sizeof single);
			v = (double)single;
		}
		if (isnan(v))
			return FL_PQ_NULL; /* how data frames write a missing number */
		if (v < 0 || v > 9e18 || v != floor(v) || (uint64_t)v > max)
			return FL_PQ_BAD;
		*ret = (uint64_t)v;
		return 0;
	case FL_PQ_SIGNED:
		if ((int64_t)raw < 0)
			return FL_PQ_BAD;
		break;
	default:
		break;
	}
	if (c->days && __builtin_mul_overflow(raw, 86400u, &raw))
		return FL_PQ_BAD;
	if (c->per_second > 1)
		raw /= c->per_second;
	if (raw > max)
		return FL_PQ_BAD;
	*ret = raw;
	return 0;
}

static uint64_t max_of(const struct fl_column_def *d)
{
	return d->field && d->field->type == FL_TYPE_INT32 ? INT32_MAX : INT64_MAX;
}

static size_t print_number(const struct fl_pq_column *c, uint64_t raw, char text[NUMBER_TEXT])
{
	float single;
	double v;

	switch ((enum fl_pq_kind)c->kind) {
	case FL_PQ_FLOAT:
		memcpy(&single, &raw, sizeof single);
		return (size_t)snprintf(text, NUMBER_TEXT, "%.9g", (double)single);
	case FL_PQ_DOUBLE:
		memcpy(&v, &raw, sizeof v);
		return (size_t)snprintf(text, NUMBER_TEXT, "%.17g", v);
	case FL_PQ_BOOL:
		return (size_t)snprintf(text, NUMBER_TEXT, "%s", raw ? "true" : "false");
	case FL_PQ_UNSIGNED:
		return (size_t)snprintf(text, NUMBER_TEXT, "%llu", (unsigned long long)raw);
	default:
		return (size_t)snprintf(text, NUMBER_TEXT, "%lld", (long long)raw);
	}
}

static bool is_nan(const struct fl_pq_column *c, uint64_t raw)
{
	uint64_t v;

	return (c->kind == FL_PQ_DOUBLE || c->kind == FL_PQ_FLOAT) && number_of(c, raw, UINT64_MAX, &v) == FL_PQ_NULL;
}

/* Into row `at` of the column. printed has room for the text. */
static unsigned put_number(const struct fl_pq_column *c, struct fl_column *out, uint32_t at, uint64_t raw,
			   struct fl_buf *printed)
{
	char text[NUMBER_TEXT], *kept;
	uint64_t v;
	unsigned flag = 0;
	size_t n;

	switch ((enum fl_column_type)out->def.type) {
	case FL_COLUMN_U64:
		flag = number_of(c, raw, max_of(&out->def), &v);
		out->u64[at] = v;
		return flag;
	case FL_COLUMN_TEXT:
		if (is_nan(c, raw))
			return FL_PQ_NULL;
		n = print_number(c, raw, text);
		kept = printed->data + printed->len;
		memcpy(kept, text, n);
		printed->len += n;
		out->text[at] = (struct fl_str){kept, n};
		return 0;
	default:
		return FL_PQ_BAD; /* no number is an address or an action */
	}
}

static unsigned put_bytes(const struct fl_pq_column *c, struct fl_column *out, uint32_t at, struct fl_str t)
{
	if (t.n == 1 && *t.p == '-')
		return FL_PQ_NULL;
	if (out->def.type == FL_COLUMN_ADDR && c->type == FL_PARQUET_FIXED && (t.n == 4 || t.n == 16)) {
		if (t.n == 4)
			out->addr[at] = fl_addr_v4((const uint8_t *)t.p);
		else
			memcpy(&out->addr[at], t.p, 16);
		return 0;
	}
	if (out->def.type == FL_COLUMN_TEXT) {
		out->text[at] = t;
		return t.n ? 0 : FL_PQ_BAD;
	}
	return fl_column_set_text(out, at, t.p ? t.p : "", t.n) ? 0 : FL_PQ_BAD;
}

static void put_flag(struct fl_pq_stream *s, struct fl_column *out, uint32_t at, unsigned flag)
{
	switch ((enum fl_column_type)out->def.type) {
	case FL_COLUMN_U64:
		out->u64[at] = 0;
		break;
	case FL_COLUMN_ADDR:
		out->addr[at] = (struct fl_addr){0};
		break;
	case FL_COLUMN_TEXT:
		out->text[at] = (struct fl_str){0};
		break;
	default:
		out->code[at] = 0;
	}
	fl_column_set_null(out, at);
	*s->bad_values += flag == FL_PQ_BAD;
}

/* ---- dictionaries ---- */

static size_t value_size(uint8_t type)
{
	static const uint8_t size[FL_COLUMN_TYPES] = {sizeof(uint64_t), sizeof(struct fl_addr), sizeof(struct fl_str),
						      sizeof(uint8_t)};

	return size[type];
}

static size_t dictionary_bytes(const struct fl_pq_dictionary *d)
{
	return d->cap * (value_size(d->values.def.type) + 3);
}

void fl_pq_dictionary_free(struct fl_pq_dictionary *d, size_t *held)
{
	if (d->cap)
		*held -= dictionary_bytes(d);
	free(d->values.u64);
	free(d->values.null);
	free(d->values.v6);
	free(d->flag);
	free(d->pass);
	fl_buf_free(&d->page);
	fl_buf_free(&d->printed);
	*d = (struct fl_pq_dictionary){0};
}

/* Room for n values, in whole batches: filters look at them as batches. */
static int room(struct fl_pq_stream *s, uint32_t n)
{
	struct fl_pq_dictionary *d = &s->dictionary;
	struct fl_buf page = d->page, printed = d->printed;
	size_t cap = ((size_t)n / FL_BATCH_ROWS + 1) * FL_BATCH_ROWS;

	d->values.any_null = false;
	if (cap > d->cap) {
		d->page = d->printed = (struct fl_buf){0};
		fl_pq_dictionary_free(d, s->held);
		d->page = page;
		d->printed = printed;
		d->values.def = s->target;
		if (*s->held + cap * (value_size(s->target.type) + 3) > FL_PARQUET_READER_MAX)
			return fl_pq_fail(s, "dictionaries of a row group need more than 1 GiB together");
		d->values.u64 = aligned_alloc(64, cap * value_size(s->target.type) + 64);
		d->values.null = calloc(cap / 64, sizeof *d->values.null);
		d->values.v6 = calloc(cap / 64, sizeof *d->values.v6);
		d->flag = calloc(cap, 1);
		d->pass = calloc(cap, 1);
		if (!d->values.u64 || !d->values.null || !d->values.v6 || !d->flag || !d->pass)
			return -ENOMEM;
		d->cap = (uint32_t)cap;
		*s->held += dictionary_bytes(d);
	}
	memset(d->values.u64, 0, cap * value_size(s->target.type));
	memset(d->values.null, 0, cap / 8);
	memset(d->values.v6, 0, cap / 8);
	memset(d->flag, 0, cap);
	memset(d->pass, 0, cap);
	return 0;
}

static bool plain_value(struct fl_cursor *c, const struct fl_pq_column *column, uint64_t *ret, struct fl_str *ret_text)
{
	uint32_t half;
	int64_t nanos;

	*ret = 0;
	switch ((enum fl_parquet_type)column->type) {
	case FL_PARQUET_INT32:
		half = fl_cur_le32(c);
		*ret = column->kind == FL_PQ_SIGNED ? (uint64_t)(int64_t)(int32_t)half : half;
		return !c->bad;
	case FL_PARQUET_FLOAT:
		*ret = fl_cur_le32(c);
		return !c->bad;
	case FL_PARQUET_INT64:
	case FL_PARQUET_DOUBLE:
		*ret = fl_cur_le64(c);
		return !c->bad;
	case FL_PARQUET_INT96:
		nanos = (int64_t)fl_cur_le64(c);
		*ret = (uint64_t)(((int64_t)(int32_t)fl_cur_le32(c) - 2440588) * 86400 + nanos / 1000000000);
		return !c->bad;
	case FL_PARQUET_BYTE_ARRAY:
	case FL_PARQUET_FIXED:
		ret_text->n = column->width;
		if (column->type == FL_PARQUET_BYTE_ARRAY)
			ret_text->n = fl_cur_le32(c);
		ret_text->p = (const char *)fl_cur_take(c, ret_text->n);
		return !c->bad;
	default:
		return false;
	}
}

int fl_pq_dictionary_make(struct fl_pq_stream *s, uint32_t n)
{
	struct fl_pq_dictionary *d = &s->dictionary;
	struct fl_cursor c = fl_cursor(d->page.data, d->page.len);
	int r;

	if (s->header.encoding != FL_PARQUET_PLAIN && s->header.encoding != FL_PARQUET_PLAIN_DICTIONARY)
		return fl_pq_fail(s, "a dictionary in another encoding than PLAIN");
	if (n > FL_PARQUET_DICTIONARY_VALUES || n > d->page.len)
		return fl_pq_fail(s, "a dictionary of too many values");
	r = room(s, n);
	if (r)
		return r;
	if (s->column->kind != FL_PQ_BYTES && s->target.type == FL_COLUMN_TEXT) {
		fl_buf_reset(&d->printed);
		r = fl_buf_reserve(&d->printed, (size_t)n * NUMBER_TEXT);
		if (r)
			return r;
	}
	d->any_flag = d->any_v6 = false;
	d->n = n;
	for (uint32_t i = 0; i < n; i++) {
		struct fl_str t = {0};
		uint64_t raw;

		if (!plain_value(&c, s->column, &raw, &t))
			return fl_pq_fail(s, "a dictionary is damaged");
		d->flag[i] =
		    (uint8_t)(s->column->kind == FL_PQ_BYTES ? put_bytes(s->column, &d->values, i, t)
							     : put_number(s->column, &d->values, i, raw, &d->printed));
		if (d->flag[i]) {
			d->any_flag = true;
			fl_column_set_null(&d->values, i);
		}
	}
	for (uint32_t i = 0; i <= n / 64 && !d->any_v6; i++)
		d->any_v6 = d->values.v6[i];
	return 0;
}

/* ---- rows ---- */

#define EACH(what)                                                                                                     \
	do {                                                                                                           \
		if (rows)                                                                                              \
			for (uint32_t i = 0; i < n_out; i++) {                                                         \
				uint32_t from = rows[i];                                                               \
				what;                                                                                  \
			}                                                                                              \
		else                                                                                                   \
			for (uint32_t i = 0; i < n_out; i++) {                                                         \
				uint32_t from = i;                                                                     \
				what;                                                                                  \
			}                                                                                              \
	} while (0)

static void from_dictionary(struct fl_pq_stream *s, struct fl_column *out, const uint16_t *rows, uint32_t n_out)
{
	const struct fl_pq_dictionary *d = &s->dictionary;
	const uint32_t *ids = s->ids;

	switch ((enum fl_column_type)out->def.type) {
	case FL_COLUMN_U64:
		EACH(out->u64[i] = d->values.u64[ids[from]]);
		break;
	case FL_COLUMN_ADDR:
		EACH(out->addr[i] = d->values.addr[ids[from]]);
		if (d->any_v6)
			EACH(out->v6[i / 64] |= (d->values.v6[ids[from] / 64] >> (ids[from] % 64) & 1) << (i % 64));
		break;
	case FL_COLUMN_TEXT:
		EACH(out->text[i] = d->values.text[ids[from]]);
		break;
	default:
		EACH(out->code[i] = d->values.code[ids[from]]);
	}
	if (d->any_flag)
		EACH(if (d->flag[ids[from]]) put_flag(s, out, i, d->flag[ids[from]]));
}

/* Plain numbers into a column of numbers, most often as they are. */
static void from_numbers(struct fl_pq_stream *s, struct fl_column *out, const uint16_t *rows, uint32_t n_out)
{
	const struct fl_pq_column *c = s->column;
	uint64_t all = 0;

	if (out->def.type == FL_COLUMN_U64 && (c->kind == FL_PQ_SIGNED || c->kind == FL_PQ_UNSIGNED) &&
	    c->per_second <= 1 && !c->days) {
		EACH(out->u64[i] = s->numbers[from]; all |= out->u64[i]);
		if (all <= max_of(&out->def))
			return;
	}
	EACH(unsigned flag = put_number(c, out, i, s->numbers[from], &s->printed); if (flag) put_flag(s, out, i, flag));
}

int fl_pq_put_rows(struct fl_pq_stream *s, struct fl_column *out, uint32_t n, const uint16_t *rows, uint32_t n_rows)
{
	uint32_t n_out = rows ? n_rows : n;
	int r;

	switch ((enum fl_pq_raw)s->raw) {
	case FL_RAW_INDEX:
		from_dictionary(s, out, rows, n_out);
		break;
	case FL_RAW_NUMBER:
		if (out->def.type == FL_COLUMN_TEXT) {
			fl_buf_reset(&s->printed);
			r = fl_buf_reserve(&s->printed, (size_t)FL_BATCH_ROWS * NUMBER_TEXT);
			if (r)
				return r;
		}
		from_numbers(s, out, rows, n_out);
		break;
	case FL_RAW_BYTES:
		EACH(unsigned flag = s->bytes[from].p ? put_bytes(s->column, out, i, s->bytes[from]) : FL_PQ_NULL;
		     if (flag) put_flag(s, out, i, flag));
		break;
	}
	if (s->any_null)
		EACH(if (s->null[from / 64] >> (from % 64) & 1) put_flag(s, out, i, FL_PQ_NULL));
	return 0;
}
