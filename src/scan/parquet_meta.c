/* SPDX-License-Identifier: Apache-2.0 */
/* Structures of parquet.thrift, read. Fields that are not needed are skipped, whatever they hold. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/thrift.h"
#include "scan/parquet_inner.h"

/* ---- schema ---- */

struct element {
	struct fl_str name;
	int type, repetition, converted, children; /* -1: not there */
	int width;
	/* logical type */
	uint32_t per_second;
	bool timestamp, date, integer, is_signed, other;
};

static void logical_timestamp(struct fl_thrift *t, struct element *e)
{
	static const uint32_t per_second[] = {0, 1000, 1000000, 1000000000};
	enum fl_thrift_type type, of;
	int16_t id, unit;

	fl_thrift_enter(t);
	while ((type = fl_thrift_next(t, &id)) != FL_THRIFT_STOP) {
		if (id != 2 || type != FL_THRIFT_STRUCT) {
			fl_thrift_skip(t, type);
			continue;
		}
		fl_thrift_enter(t);
		while ((of = fl_thrift_next(t, &unit)) != FL_THRIFT_STOP) {
			if (unit >= 1 && unit <= 3)
				e->per_second = per_second[unit];
			fl_thrift_skip(t, of);
		}
	}
	e->timestamp = e->per_second;
}

static void logical_integer(struct fl_thrift *t, struct element *e)
{
	enum fl_thrift_type type;
	int16_t id;

	e->integer = true;
	fl_thrift_enter(t);
	while ((type = fl_thrift_next(t, &id)) != FL_THRIFT_STOP) {
		if (id == 2)
			e->is_signed = fl_thrift_flag(type);
		fl_thrift_skip(t, type);
	}
}

enum { LOGICAL_DECIMAL = 5, LOGICAL_DATE = 6, LOGICAL_TIME = 7, LOGICAL_TIMESTAMP = 8, LOGICAL_INTEGER = 10 };

static void logical_type(struct fl_thrift *t, struct element *e)
{
	enum fl_thrift_type type;
	int16_t id;

	fl_thrift_enter(t);
	while ((type = fl_thrift_next(t, &id)) != FL_THRIFT_STOP) {
		e->date |= id == LOGICAL_DATE;
		e->other |= id == LOGICAL_DECIMAL || id == LOGICAL_TIME || id == 14 /* UUID */ || id == 15; /* half */
		if (type == FL_THRIFT_STRUCT && id == LOGICAL_TIMESTAMP)
			logical_timestamp(t, e);
		else if (type == FL_THRIFT_STRUCT && id == LOGICAL_INTEGER)
			logical_integer(t, e);
		else
			fl_thrift_skip(t, type);
	}
}

static void schema_element(struct fl_thrift *t, struct element *e)
{
	enum fl_thrift_type type;
	int16_t id;

	*e = (struct element){.type = -1, .repetition = FL_PARQUET_REQUIRED, .converted = -1};
	fl_thrift_enter(t);
	while ((type = fl_thrift_next(t, &id)) != FL_THRIFT_STOP) {
		switch (id) {
		case 1:
			e->type = (int)fl_thrift_int(t, type);
			break;
		case 2:
			e->width = (int)fl_thrift_int(t, type);
			break;
		case 3:
			e->repetition = (int)fl_thrift_int(t, type);
			break;
		case 4:
			e->name = fl_thrift_bytes(t, type);
			break;
		case 5:
			e->children = (int)fl_thrift_int(t, type);
			break;
		case 6:
			e->converted = (int)fl_thrift_int(t, type);
			break;
		case 10:
			if (type == FL_THRIFT_STRUCT)
				logical_type(t, e);
			else
				fl_thrift_skip(t, type);
			break;
		default:
			fl_thrift_skip(t, type);
		}
	}
}

static void converted_type(struct element *e)
{
	switch (e->converted) {
	case FL_PARQUET_TIMESTAMP_MILLIS:
		e->timestamp = true;
		e->per_second = 1000;
		break;
	case FL_PARQUET_TIMESTAMP_MICROS:
		e->timestamp = true;
		e->per_second = 1000000;
		break;
	case FL_PARQUET_DATE:
		e->date = true;
		break;
	case FL_PARQUET_UINT_8:
	case FL_PARQUET_UINT_16:
	case FL_PARQUET_UINT_32:
	case FL_PARQUET_UINT_64:
		e->integer = true;
		e->is_signed = false;
		break;
	case FL_PARQUET_DECIMAL:
	case FL_PARQUET_TIME_MILLIS:
	case FL_PARQUET_TIME_MICROS:
		e->other = true;
		break;
	default:
		break;
	}
}

static enum fl_pq_kind kind_of(const struct element *e)
{
	if (e->other)
		return FL_PQ_NONE;
	switch (e->type) {
	case FL_PARQUET_BOOLEAN:
		return FL_PQ_BOOL;
	case FL_PARQUET_INT32:
	case FL_PARQUET_INT64:
		return e->integer && !e->is_signed ? FL_PQ_UNSIGNED : FL_PQ_SIGNED;
	case FL_PARQUET_INT96:
		return FL_PQ_SIGNED;
	case FL_PARQUET_FLOAT:
		return FL_PQ_FLOAT;
	case FL_PARQUET_DOUBLE:
		return FL_PQ_DOUBLE;
	case FL_PARQUET_BYTE_ARRAY:
		return FL_PQ_BYTES;
	case FL_PARQUET_FIXED:
		return e->width > 0 && e->width <= 4096 ? FL_PQ_BYTES : FL_PQ_NONE;
	default:
		return FL_PQ_NONE;
	}
}

static int note_column(struct fl_parquet_file *f, const struct element *e, const char *why)
{
	size_t n = FL_MIN(e->name.n, (size_t)64);

	if (f->note.len > 900)
		return 0;
	return fl_buf_printf(&f->note, "%s%.*s (%s)", f->note.len ? ", " : "", (int)n, e->name.n ? e->name.p : "", why);
}

static int add_column(struct fl_parquet_file *f, struct element *e, uint32_t leaf)
{
	char name[256];
	struct fl_pq_column *c = &f->column[f->n_columns];

	converted_type(e);
	/* A name with a space could be in no format. */
	if (!e->name.n || e->name.n >= sizeof name || memchr(e->name.p, 0, e->name.n) ||
	    memchr(e->name.p, ' ', e->name.n))
		return note_column(f, e, "its name");
	memcpy(name, e->name.p, e->name.n);
	name[e->name.n] = '\0';
	*c = (struct fl_pq_column){.leaf = leaf,
				   .type = (uint8_t)e->type,
				   .kind = kind_of(e),
				   .optional = e->repetition == FL_PARQUET_OPTIONAL,
				   .width = (uint32_t)e->width,
				   .days = e->date,
				   .per_second = e->date        ? 1
						 : e->timestamp ? e->per_second
								: 0};
	if (c->kind == FL_PQ_NONE)
		return note_column(f, e, "its type");
	if (!fl_column_find(name, &c->def)) {
		/* Unknown names get the hyphens of their kin out. */
		for (char *p = name; *p; p++)
			*p = *p == '-' ? '_' : *p;
		c->def.name = f->own_name[f->n_columns] = strdup(name);
		if (!c->def.name)
			return -ENOMEM;
	}
	if (fl_pq_column_find(f, c->def.name)) {
		free(f->own_name[f->n_columns]);
		f->own_name[f->n_columns] = NULL;
		return note_column(f, e, "there is another of that name");
	}
	f->def[f->n_columns] = c->def;
	f->n_columns++;
	return 0;
}

/* Elements in depth-first order: children of the root are columns, what is below a group is not. */
static int parse_schema(struct fl_parquet_file *f, struct fl_thrift *t, enum fl_thrift_type type)
{
	enum fl_thrift_type of;
	size_t n = fl_thrift_elements(t, type, &of), nested = 0; /* elements left below a group of the root */
	struct element e;
	uint32_t leaf = 0;
	int r = 0;

	if (of != FL_THRIFT_STRUCT || n < 2 || n > FL_PARQUET_LEAVES_MAX || f->column)
		return fl_fail(-EBADMSG, "%s: a schema of %zu elements, and 2 to %u are possible", f->name, n,
			       FL_PARQUET_LEAVES_MAX);
	f->column = calloc(n, sizeof *f->column);
	f->def = calloc(n, sizeof *f->def);
	f->own_name = calloc(n, sizeof *f->own_name);
	if (!f->column || !f->def || !f->own_name)
		return -ENOMEM;
	schema_element(t, &e);
	for (size_t i = 1; i < n && !t->c.bad && !r; i++) {
		bool top = !nested;

		schema_element(t, &e);
		nested -= !top;
		if (e.children > 0 && (size_t)e.children < n)
			nested += (size_t)e.children;
		else if (e.children)
			return fl_fail(-EBADMSG, "%s: an element of the schema has %d children", f->name, e.children);
		if (top && (e.children || e.repetition == FL_PARQUET_REPEATED))
			r = note_column(f, &e, "nested");
		else if (top)
			r = add_column(f, &e, leaf);
		leaf += !e.children;
	}
	f->n_leaves = leaf;
	return r;
}

/* ---- row groups ---- */

static void statistics(struct fl_thrift *t, struct fl_pq_chunk *c)
{
	struct fl_str range[7] = {0};
	bool has[7] = {0};
	enum fl_thrift_type type;
	int16_t id;

	fl_thrift_enter(t);
	while ((type = fl_thrift_next(t, &id)) != FL_THRIFT_STOP) {
		if (id == 3) {
			c->nulls = fl_thrift_int(t, type);
		} else if ((id == 1 || id == 2 || id == 5 || id == 6) && type == FL_THRIFT_BINARY) {
			range[id] = fl_thrift_bytes(t, type);
			has[id] = true;
		} else {
			fl_thrift_skip(t, type);
		}
	}
	c->old_range = !(has[5] && has[6]) && has[1] && has[2];
	c->has_range = (has[5] && has[6]) || c->old_range;
	c->max = range[c->old_range ? 1 : 5];
	c->min = range[c->old_range ? 2 : 6];
}

/* Whether every data page uses the dictionary; false also when nothing is said. */
static bool all_dictionary(struct fl_thrift *t, enum fl_thrift_type list)
{
	enum fl_thrift_type type, of;
	size_t n = fl_thrift_elements(t, list, &of);
	bool any = false, all = of == FL_THRIFT_STRUCT;

	for (size_t i = 0; i < n && !t->c.bad; i++) {
		int64_t page = -1, encoding = -1;
		int16_t id;

		if (of != FL_THRIFT_STRUCT) {
			t->c.bad = true;
			break;
		}
		fl_thrift_enter(t);
		while ((type = fl_thrift_next(t, &id)) != FL_THRIFT_STOP) {
			if (id == 1)
				page = fl_thrift_int(t, type);
			else if (id == 2)
				encoding = fl_thrift_int(t, type);
			else
				fl_thrift_skip(t, type);
		}
		if (page != FL_PARQUET_DATA_PAGE && page != FL_PARQUET_DATA_PAGE_V2)
			continue;
		any = true;
		all &= encoding == FL_PARQUET_RLE_DICTIONARY || encoding == FL_PARQUET_PLAIN_DICTIONARY;
	}
	return any && all;
}

static void column_meta(struct fl_thrift *t, struct fl_pq_chunk *c)
{
	enum fl_thrift_type type;
	int16_t id;

	fl_thrift_enter(t);
	while ((type = fl_thrift_next(t, &id)) != FL_THRIFT_STOP) {
		switch (id) {
		case 1:
			c->type = (uint8_t)fl_thrift_int(t, type);
			break;
		case 4:
			c->codec = (uint8_t)fl_thrift_int(t, type);
			break;
		case 5:
			c->values = (uint64_t)fl_thrift_int(t, type);
			break;
		case 7:
			c->size = (uint64_t)fl_thrift_int(t, type);
			break;
		case 9:
			c->data_at = (uint64_t)fl_thrift_int(t, type);
			break;
		case 11:
			c->dictionary_at = (uint64_t)fl_thrift_int(t, type);
			break;
		case 12:
			if (type == FL_THRIFT_STRUCT)
				statistics(t, c);
			else
				fl_thrift_skip(t, type);
			break;
		case 13:
			c->all_dictionary = all_dictionary(t, type);
			break;
		case 14:
			c->bloom_at = (uint64_t)fl_thrift_int(t, type);
			break;
		default:
			fl_thrift_skip(t, type);
		}
	}
}

static void column_chunk(struct fl_thrift *t, struct fl_pq_chunk *c, bool *elsewhere)
{
	enum fl_thrift_type type;
	int16_t id;

	*c = (struct fl_pq_chunk){.nulls = -1};
	fl_thrift_enter(t);
	while ((type = fl_thrift_next(t, &id)) != FL_THRIFT_STOP) {
		if (id == 3 && type == FL_THRIFT_STRUCT) {
			column_meta(t, c);
			continue;
		}
		*elsewhere |= id == 1 || id == 8; /* in another file; encrypted */
		fl_thrift_skip(t, type);
	}
}

static int row_group(struct fl_parquet_file *f, struct fl_thrift *t, struct fl_pq_group *g)
{
	enum fl_thrift_type type, of;
	bool elsewhere = false;
	int16_t id;

	fl_thrift_enter(t);
	while ((type = fl_thrift_next(t, &id)) != FL_THRIFT_STOP) {
		size_t n;

		if (id == 3) {
			g->rows = (uint64_t)fl_thrift_int(t, type);
			continue;
		}
		if (id != 1 || g->chunk) {
			fl_thrift_skip(t, type);
			continue;
		}
		n = fl_thrift_elements(t, type, &of);
		if (of != FL_THRIFT_STRUCT || !n || n != f->n_leaves)
			return fl_fail(-EBADMSG, "%s: a row group of %zu columns, and the schema has %zu", f->name, n,
				       f->n_leaves);
		g->chunk = calloc(n, sizeof *g->chunk);
		if (!g->chunk)
			return -ENOMEM;
		for (size_t i = 0; i < n && !t->c.bad; i++) {
			column_chunk(t, &g->chunk[i], &elsewhere);
			g->bytes += g->chunk[i].size;
		}
	}
	if (elsewhere)
		return fl_fail(-ENOTSUP, "%s: its columns are encrypted or in other files", f->name);
	if (t->c.bad || !g->chunk || g->rows > INT32_MAX)
		return fl_fail(-EBADMSG, "%s: the metadata of a row group is damaged", f->name);
	return 0;
}

static int parse_groups(struct fl_parquet_file *f, struct fl_thrift *t, enum fl_thrift_type type)
{
	enum fl_thrift_type of;
	size_t n = fl_thrift_elements(t, type, &of);
	int r = 0;

	if (!f->column || f->group)
		return fl_fail(-EBADMSG, "%s: row groups before a schema, or twice", f->name);
	if ((n && of != FL_THRIFT_STRUCT) || n * f->n_leaves > FL_PARQUET_CHUNKS_MAX)
		return fl_fail(-E2BIG, "%s: %zu row groups of %zu columns, and %u pieces are possible", f->name, n,
			       f->n_leaves, FL_PARQUET_CHUNKS_MAX);
	f->group = calloc(n + 1, sizeof *f->group);
	if (!f->group)
		return -ENOMEM;
	f->n_groups = n;
	for (size_t i = 0; i < n && !r; i++)
		r = row_group(f, t, &f->group[i]);
	return r;
}

/* ---- the whole ---- */

int fl_pq_parse_footer(struct fl_parquet_file *f)
{
	struct fl_thrift t = fl_thrift(f->footer.data, f->footer.len);
	enum fl_thrift_type type;
	int16_t id;
	int r = 0;

	while (!r && (type = fl_thrift_next(&t, &id)) != FL_THRIFT_STOP) {
		switch (id) {
		case 2:
			r = parse_schema(f, &t, type);
			break;
		case 4:
			r = parse_groups(f, &t, type);
			break;
		case 6:
			f->created_by = fl_thrift_bytes(&t, type);
			break;
		case 8:
			r = fl_fail(-ENOTSUP, "%s: encrypted", f->name);
			break;
		default:
			fl_thrift_skip(&t, type);
		}
	}
	if (!r && (t.c.bad || !f->column || !f->group))
		r = fl_fail(-EBADMSG, "%s: the footer is damaged", f->name);
	if (r)
		return r;
	for (size_t i = 0; i < f->n_groups; i++)
		f->rows += f->group[i].rows;
	f->flowlog = f->created_by.n > 8 && !memcmp(f->created_by.p, "flowlog ", 8);
	return 0;
}

/* ---- page headers ---- */

static void data_page_header(struct fl_thrift *t, struct fl_pq_page_header *h)
{
	enum fl_thrift_type type;
	int16_t id;

	fl_thrift_enter(t);
	while ((type = fl_thrift_next(t, &id)) != FL_THRIFT_STOP) {
		if (id == 1)
			h->values = (uint32_t)fl_thrift_int(t, type);
		else if (id == 2)
			h->encoding = (uint8_t)fl_thrift_int(t, type);
		else if (id == 3 && h->page == FL_PARQUET_DATA_PAGE)
			h->level_encoding = (uint8_t)fl_thrift_int(t, type);
		else
			fl_thrift_skip(t, type);
	}
}

static void data_page_header_v2(struct fl_thrift *t, struct fl_pq_page_header *h)
{
	enum fl_thrift_type type;
	int16_t id;

	fl_thrift_enter(t);
	while ((type = fl_thrift_next(t, &id)) != FL_THRIFT_STOP) {
		uint32_t v = 0;

		if (id == 7) {
			h->compressed = fl_thrift_flag(type);
			continue;
		}
		if (id < 1 || id > 6) {
			fl_thrift_skip(t, type);
			continue;
		}
		v = (uint32_t)fl_thrift_int(t, type);
		if (id == 1)
			h->values = v;
		else if (id == 2)
			h->nulls = v;
		else if (id == 4)
			h->encoding = (uint8_t)v;
		else if (id == 5)
			h->def_bytes = v;
		else if (id == 6)
			h->rep_bytes = v;
	}
}

size_t fl_pq_parse_page_header(const void *data, size_t n, struct fl_pq_page_header *ret)
{
	struct fl_thrift t = fl_thrift(data, n);
	enum fl_thrift_type type;
	int16_t id;

	*ret = (struct fl_pq_page_header){.page = 255, .compressed = true, .level_encoding = FL_PARQUET_RLE};
	while ((type = fl_thrift_next(&t, &id)) != FL_THRIFT_STOP) {
		if (id == 1) {
			ret->page = (uint8_t)fl_thrift_int(&t, type);
		} else if (id == 2) {
			ret->raw_size = (uint32_t)fl_thrift_int(&t, type);
		} else if (id == 3) {
			ret->size = (uint32_t)fl_thrift_int(&t, type);
		} else if (id == 4) {
			ret->crc = (uint32_t)fl_thrift_int(&t, type);
			ret->has_crc = true;
		} else if ((id == 5 || id == 7) && type == FL_THRIFT_STRUCT) {
			data_page_header(&t, ret); /* a dictionary's has the same first two fields */
		} else if (id == 8 && type == FL_THRIFT_STRUCT) {
			data_page_header_v2(&t, ret);
		} else {
			fl_thrift_skip(&t, type);
		}
	}
	return t.c.bad ? 0 : (size_t)(t.c.p - (const uint8_t *)data);
}

bool fl_pq_parse_bloom_header(const void *data, size_t n, size_t *ret_header, size_t *ret_size)
{
	struct fl_thrift t = fl_thrift(data, n);
	int64_t size = 0;
	bool known = true;
	enum fl_thrift_type type, of;
	int16_t id, choice;

	while ((type = fl_thrift_next(&t, &id)) != FL_THRIFT_STOP) {
		if (id == 1) {
			size = fl_thrift_int(&t, type);
		} else if (type == FL_THRIFT_STRUCT) {
			/* Split blocks, xxHash, uncompressed: each the first member of its union. */
			fl_thrift_enter(&t);
			while ((of = fl_thrift_next(&t, &choice)) != FL_THRIFT_STOP) {
				known &= choice == 1;
				fl_thrift_skip(&t, of);
			}
		} else {
			fl_thrift_skip(&t, type);
		}
	}
	*ret_header = (size_t)(t.c.p - (const uint8_t *)data);
	*ret_size = (size_t)size;
	return !t.c.bad && known && size >= FL_BLOOM_BLOCK && size <= INT32_MAX && size % FL_BLOOM_BLOCK == 0;
}
