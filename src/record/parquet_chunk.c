/* SPDX-License-Identifier: Apache-2.0 */
/* A column of a row group while it is filled: values by number. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/hash.h"
#include "record/parquet_chunk.h"

#define TEXT_MAX ((size_t)1 << 30) /* of one column and row group; the writer cuts groups far before */
#define LOOSE_FROM 16384u          /* distinct values before it is asked whether they repeat at all */
#define TABLE_FIRST 1024u

static size_t value_size(const struct fl_chunk *c)
{
	return c->def.type == FL_COLUMN_ADDR   ? sizeof *c->addr
	       : c->def.type == FL_COLUMN_TEXT ? sizeof *c->end
					       : sizeof *c->u64;
}

int fl_chunk_init(struct fl_chunk *c, const struct fl_column_def *def, bool text_null)
{
	*c = (struct fl_chunk){.def = *def, .text_null = text_null, .dash = FL_PARQUET_NULL, .text = FL_BUF(TEXT_MAX)};
	c->int32 = def->type == FL_COLUMN_U64 && def->field && def->field->type == FL_TYPE_INT32;
	c->type = def->type != FL_COLUMN_U64 ? FL_PARQUET_BYTE_ARRAY : c->int32 ? FL_PARQUET_INT32 : FL_PARQUET_INT64;
	c->table = calloc(TABLE_FIRST, sizeof *c->table);
	c->table_mask = TABLE_FIRST - 1;
	c->seed = fl_random_seed(); /* addresses come from the wire; numbers do not depend on it */
	return c->table ? 0 : -ENOMEM;
}

void fl_chunk_free(struct fl_chunk *c)
{
	free(c->u64);
	free(c->v6);
	free(c->table);
	free(c->index);
	fl_buf_free(&c->text);
	*c = (struct fl_chunk){0};
}

void fl_chunk_reset(struct fl_chunk *c)
{
	c->n = c->rows = c->nulls = 0;
	c->dash = FL_PARQUET_NULL;
	c->loose = false;
	fl_buf_reset(&c->text);
	memset(c->table, 0, (c->table_mask + 1) * sizeof *c->table);
}

size_t fl_chunk_bytes(const struct fl_chunk *c)
{
	return c->rows * sizeof *c->index + c->n * (value_size(c) + 8) + c->text.len;
}

/* ---- values ---- */

static struct fl_str text_at(const struct fl_chunk *c, uint32_t i)
{
	uint32_t from = i ? c->end[i - 1] : 0;

	return (struct fl_str){c->text.data + from, c->end[i] - from};
}

struct fl_str fl_chunk_value(const struct fl_chunk *c, uint32_t i, char scratch[FL_CHUNK_SCRATCH])
{
	const char *name;
	uint32_t half;

	switch ((enum fl_column_type)c->def.type) {
	case FL_COLUMN_U64:
		if (!c->int32)
			return (struct fl_str){(const char *)&c->u64[i], sizeof *c->u64};
		half = (uint32_t)c->u64[i];
		memcpy(scratch, &half, sizeof half);
		return (struct fl_str){scratch, sizeof half};
	case FL_COLUMN_ADDR:
		if (i == c->dash)
			return (struct fl_str){"-", 1};
		return (struct fl_str){scratch, (size_t)(fl_addr_print(scratch, &c->addr[i], c->v6[i] & 1) - scratch)};
	case FL_COLUMN_TEXT:
		return text_at(c, i);
	case FL_COLUMN_CODE:
		name = c->u64[i] < c->def.n_codes ? c->def.codes[c->u64[i]] : "-";
		return (struct fl_str){name, strlen(name)};
	case FL_COLUMN_TYPES:
		break;
	}
	return (struct fl_str){"", 0};
}

static int grow_values(struct fl_chunk *c)
{
	uint32_t cap = FL_MAX(2 * c->cap, 1024u);
	void *grown = realloc(c->u64, cap * value_size(c));

	if (!grown)
		return -ENOMEM;
	c->u64 = grown;
	if (c->def.type == FL_COLUMN_ADDR) {
		grown = realloc(c->v6, cap);
		if (!grown)
			return -ENOMEM;
		c->v6 = grown;
	}
	c->cap = cap;
	return 0;
}

struct value { /* one to be looked up */
	uint64_t u64;
	const struct fl_addr *addr;
	bool v6, dash;
	struct fl_str text;
};

static inline uint64_t hash_of(const struct fl_chunk *c, const struct value *v)
{
	uint64_t half[2];

	switch (c->def.type) {
	case FL_COLUMN_ADDR:
		memcpy(half, v->addr, sizeof half);
		return fl_mum(half[0] ^ c->seed ^ v->v6, half[1] ^ 0xe7037ed1a0b428dbull) + v->dash;
	case FL_COLUMN_TEXT:
		return fl_hash_bytes(v->text.p, v->text.n, c->seed);
	default:
		return fl_mum(v->u64 ^ c->seed, 0xe7037ed1a0b428dbull);
	}
}

static inline bool is_value(const struct fl_chunk *c, uint32_t i, const struct value *v)
{
	struct fl_str t;

	switch (c->def.type) {
	case FL_COLUMN_ADDR:
		return fl_addr_equal(&c->addr[i], v->addr) && c->v6[i] == (v->v6 | v->dash << 1);
	case FL_COLUMN_TEXT:
		t = text_at(c, i);
		return t.n == v->text.n && !memcmp(t.p, v->text.p, t.n);
	default:
		return c->u64[i] == v->u64;
	}
}

static int append(struct fl_chunk *c, const struct value *v)
{
	int r = c->n < c->cap ? 0 : grow_values(c);

	if (r)
		return r;
	switch (c->def.type) {
	case FL_COLUMN_ADDR:
		c->addr[c->n] = *v->addr;
		c->v6[c->n] = (uint8_t)(v->v6 | v->dash << 1);
		if (v->dash && c->dash == FL_PARQUET_NULL)
			c->dash = c->n;
		break;
	case FL_COLUMN_TEXT:
		r = fl_buf_add(&c->text, v->text.p, v->text.n);
		c->end[c->n] = (uint32_t)c->text.len;
		break;
	default:
		c->u64[c->n] = v->u64;
	}
	c->n += !r;
	return r;
}

static struct value value_at(const struct fl_chunk *c, uint32_t i)
{
	switch (c->def.type) {
	case FL_COLUMN_ADDR:
		return (struct value){.addr = &c->addr[i], .v6 = c->v6[i] & 1, .dash = c->v6[i] >> 1};
	case FL_COLUMN_TEXT:
		return (struct value){.text = text_at(c, i)};
	default:
		return (struct value){.u64 = c->u64[i]};
	}
}

static int grow_table(struct fl_chunk *c)
{
	uint32_t mask = 2 * c->table_mask + 1;
	uint32_t *table = calloc((size_t)mask + 1, sizeof *table);

	if (!table)
		return -ENOMEM;
	for (uint32_t i = 0; i < c->n; i++) {
		struct value v = value_at(c, i);
		uint32_t at = (uint32_t)hash_of(c, &v) & mask;

		while (table[at])
			at = (at + 1) & mask;
		table[at] = i + 1;
	}
	free(c->table);
	c->table = table;
	c->table_mask = mask;
	return 0;
}

/* Number of the value, which is added when it is new. */
static inline int number_of(struct fl_chunk *c, const struct value *v, uint32_t *ret)
{
	uint32_t at;

	if (!c->loose) {
		at = (uint32_t)hash_of(c, v) & c->table_mask;
		for (; c->table[at]; at = (at + 1) & c->table_mask)
			if (is_value(c, c->table[at] - 1, v)) {
				*ret = c->table[at] - 1;
				return 0;
			}
		c->table[at] = c->n + 1;
		if (c->n >= c->table_mask / 2) {
			int r = append(c, v);

			*ret = c->n - 1;
			c->loose = c->n > LOOSE_FROM && c->n > c->rows - c->rows / 4;
			return r ? r : c->loose ? 0 : grow_table(c);
		}
	}
	*ret = c->n;
	return append(c, v);
}

/* ---- rows ---- */

static bool is_null(const struct fl_column *column, uint32_t row)
{
	return column->any_null && (column->null[row / 64] >> (row % 64) & 1);
}

static int add_numbers(struct fl_chunk *c, const struct fl_column *column, uint32_t from, uint32_t n)
{
	uint32_t *index = c->index + c->rows, number = 0;
	struct value v = {0};
	bool any = false;
	int r = 0;

	for (uint32_t i = 0; i < n && !r; i++) {
		if (fl_unlikely(is_null(column, from + i))) {
			index[i] = FL_PARQUET_NULL;
			c->nulls++;
			continue;
		}
		if (!any || column->u64[from + i] != v.u64 || c->loose) {
			v.u64 = column->u64[from + i];
			any = true;
			r = number_of(c, &v, &number);
		}
		index[i] = number;
	}
	return r;
}

static int add_addresses(struct fl_chunk *c, const struct fl_column *column, uint32_t from, uint32_t n)
{
	static const struct fl_addr none;
	uint32_t *index = c->index + c->rows;
	int r = 0;

	for (uint32_t i = 0; i < n && !r; i++) {
		uint32_t row = from + i;
		bool null = is_null(column, row);
		struct value v = {.addr = null ? &none : &column->addr[row],
				  .v6 = column->v6 && !null && column->v6[row / 64] >> (row % 64) & 1,
				  .dash = null};

		if (null && c->text_null) {
			index[i] = FL_PARQUET_NULL;
			c->nulls++;
			continue;
		}
		if (null && c->dash != FL_PARQUET_NULL)
			index[i] = c->dash;
		else
			r = number_of(c, &v, &index[i]);
	}
	return r;
}

static int add_texts(struct fl_chunk *c, const struct fl_column *column, uint32_t from, uint32_t n)
{
	uint32_t *index = c->index + c->rows, number = 0;
	struct value v = {0};
	bool any = false;
	int r = 0;

	for (uint32_t i = 0; i < n && !r; i++) {
		struct fl_str t = column->text[from + i];

		if (fl_unlikely(is_null(column, from + i))) {
			if (c->text_null) {
				index[i] = FL_PARQUET_NULL;
				c->nulls++;
				continue;
			}
			t = (struct fl_str){"-", 1};
		}
		if (!any || t.n != v.text.n || c->loose || memcmp(t.p, v.text.p, t.n) != 0) {
			v.text = t;
			any = true;
			r = number_of(c, &v, &number);
		}
		index[i] = number;
	}
	return r;
}

/* Codes are few: the table is by code (n_codes for "-") and not by hash. */
static int add_codes(struct fl_chunk *c, const struct fl_column *column, uint32_t from, uint32_t n)
{
	uint32_t *index = c->index + c->rows;
	int r = 0;

	for (uint32_t i = 0; i < n && !r; i++) {
		uint32_t code = column->code[from + i];

		if (fl_unlikely(is_null(column, from + i))) {
			if (c->text_null) {
				index[i] = FL_PARQUET_NULL;
				c->nulls++;
				continue;
			}
			code = c->def.n_codes;
		}
		if (fl_unlikely(!c->table[code])) {
			r = append(c, &(struct value){.u64 = code});
			c->table[code] = c->n;
		}
		index[i] = c->table[code] - 1;
	}
	return r;
}

static int room_for_rows(struct fl_chunk *c, uint32_t n)
{
	uint32_t cap = FL_MAX(2 * c->rows_cap, c->rows + n);
	uint32_t *grown;

	if (c->rows + n <= c->rows_cap)
		return 0;
	grown = realloc(c->index, cap * sizeof *grown);
	if (!grown)
		return -ENOMEM;
	c->index = grown;
	c->rows_cap = cap;
	return 0;
}

int fl_chunk_add(struct fl_chunk *c, const struct fl_column *column, uint32_t from, uint32_t n)
{
	int r = room_for_rows(c, n);

	if (r)
		return r;
	switch ((enum fl_column_type)c->def.type) {
	case FL_COLUMN_U64:
		r = add_numbers(c, column, from, n);
		break;
	case FL_COLUMN_ADDR:
		r = add_addresses(c, column, from, n);
		break;
	case FL_COLUMN_TEXT:
		r = add_texts(c, column, from, n);
		break;
	case FL_COLUMN_CODE:
		r = add_codes(c, column, from, n);
		break;
	default:
		r = -EINVAL;
	}
	c->rows += n;
	return r;
}
