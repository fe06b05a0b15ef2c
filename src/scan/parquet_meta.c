/* SPDX-License-Identifier: Apache-2.0 */
/* Structures of parquet.thrift, read. Fields that are not needed are skipped, whatever they hold. */
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/thrift.h"
#include "scan/parquet_inner.h"

#define FIELD(kind, structure, member, number)                                                                         \
	{                                                                                                              \
		.id = (number), .into = (kind), .at = offsetof(structure, member)                                      \
	}
#define CALL(function, number)                                                                                         \
	{                                                                                                              \
		.id = (number), .into = FL_INTO_CALL, .read = (function)                                               \
	}
#define STRUCTURE(function, number)                                                                                    \
	{                                                                                                              \
		.id = (number), .into = FL_INTO_STRUCT, .read = (function)                                             \
	}
#define READ(t, fields, to) fl_thrift_fields(t, fields, FL_ARRAY_LEN(fields), to)

/* ---- schema ---- */

struct meaning { /* of a leaf's values */
	uint32_t per_second;
	bool timestamp, date, integer, is_signed, other;
};
struct element {
	struct fl_str name;
	int32_t type, repetition, converted, children; /* -1: not there */
	int32_t width;
	struct meaning is;
};

static void time_unit(struct fl_thrift *t, enum fl_thrift_type type, void *to)
{
	static const uint32_t per_second[] = {0, 1000, 1000000, 1000000000};
	struct element *e = to;
	int16_t unit;

	fl_thrift_enter(t);
	while ((type = fl_thrift_next(t, &unit)) != FL_THRIFT_STOP) {
		if (unit >= 1 && unit <= 3)
			e->is.per_second = per_second[unit];
		fl_thrift_skip(t, type);
	}
}

static void logical_timestamp(struct fl_thrift *t, enum fl_thrift_type type, void *to)
{
	static const struct fl_thrift_field fields[] = {STRUCTURE(time_unit, 2)};
	struct element *e = to;

	(void)type;
	fl_thrift_enter(t);
	READ(t, fields, e);
	e->is.timestamp = e->is.per_second;
}

static void logical_integer(struct fl_thrift *t, enum fl_thrift_type type, void *to)
{
	static const struct fl_thrift_field fields[] = {FIELD(FL_INTO_FLAG, struct element, is.is_signed, 2)};

	(void)type;
	((struct element *)to)->is.integer = true;
	fl_thrift_enter(t);
	READ(t, fields, to);
}

static void logical_date(struct fl_thrift *t, enum fl_thrift_type type, void *to)
{
	((struct element *)to)->is.date = true;
	fl_thrift_skip(t, type);
}

static void logical_other(struct fl_thrift *t, enum fl_thrift_type type, void *to)
{
	((struct element *)to)->is.other = true;
	fl_thrift_skip(t, type);
}

static void logical_type(struct fl_thrift *t, enum fl_thrift_type type, void *to)
{
	static const struct fl_thrift_field fields[] = {
	    CALL(logical_other, 5),                                                                   /* decimal */
	    CALL(logical_date, 6),           CALL(logical_other, 7),                                  /* time */
	    STRUCTURE(logical_timestamp, 8), STRUCTURE(logical_integer, 10), CALL(logical_other, 14), /* UUID */
	    CALL(logical_other, 15),                                                                  /* half */
	};

	(void)type;
	fl_thrift_enter(t);
	READ(t, fields, to);
}

static void schema_element(struct fl_thrift *t, struct element *e)
{
	static const struct fl_thrift_field fields[] = {
	    FIELD(FL_INTO_32, struct element, type, 1),
	    FIELD(FL_INTO_32, struct element, width, 2),
	    FIELD(FL_INTO_32, struct element, repetition, 3),
	    FIELD(FL_INTO_STR, struct element, name, 4),
	    FIELD(FL_INTO_32, struct element, children, 5),
	    FIELD(FL_INTO_32, struct element, converted, 6),
	    STRUCTURE(logical_type, 10),
	};

	*e = (struct element){.type = -1, .repetition = FL_PARQUET_REQUIRED, .converted = -1};
	fl_thrift_enter(t);
	READ(t, fields, e);
}

/* What writers said before there were logical types, and mostly still do beside them. */
static void converted_type(struct element *e)
{
	static const struct meaning means[] = {
	    [FL_PARQUET_DECIMAL] = {.other = true},
	    [FL_PARQUET_DATE] = {.date = true},
	    [FL_PARQUET_TIME_MILLIS] = {.other = true},
	    [FL_PARQUET_TIME_MICROS] = {.other = true},
	    [FL_PARQUET_TIMESTAMP_MILLIS] = {.timestamp = true, .per_second = 1000},
	    [FL_PARQUET_TIMESTAMP_MICROS] = {.timestamp = true, .per_second = 1000000},
	    [FL_PARQUET_UINT_8] = {.integer = true},
	    [FL_PARQUET_UINT_16] = {.integer = true},
	    [FL_PARQUET_UINT_32] = {.integer = true},
	    [FL_PARQUET_UINT_64] = {.integer = true},
	};
	const struct meaning *m;

	if (e->converted < 0 || (size_t)e->converted >= FL_ARRAY_LEN(means))
		return;
	m = &means[e->converted];
	if (m->timestamp)
		e->is.per_second = m->per_second;
	e->is.timestamp |= m->timestamp;
	e->is.date |= m->date;
	e->is.integer |= m->integer;
	e->is.is_signed &= !m->integer;
	e->is.other |= m->other;
}

static enum fl_pq_kind kind_of(const struct element *e)
{
	if (e->is.other)
		return FL_PQ_NONE;
	switch (e->type) {
	case FL_PARQUET_BOOLEAN:
		return FL_PQ_BOOL;
	case FL_PARQUET_INT32:
	case FL_PARQUET_INT64:
		return e->is.integer && !e->is.is_signed ? FL_PQ_UNSIGNED : FL_PQ_SIGNED;
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
				   .days = e->is.date,
				   .per_second = e->is.date        ? 1
						 : e->is.timestamp ? e->is.per_second
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

static void statistics(struct fl_thrift *t, enum fl_thrift_type type, void *to)
{
	struct range { /* the deprecated members, and those that took their place */
		int64_t nulls;
		struct fl_str old_max, old_min, max, min;
	} r = {.nulls = -1};
	static const struct fl_thrift_field fields[] = {
	    FIELD(FL_INTO_STR, struct range, old_max, 1), FIELD(FL_INTO_STR, struct range, old_min, 2),
	    FIELD(FL_INTO_64, struct range, nulls, 3),    FIELD(FL_INTO_STR, struct range, max, 5),
	    FIELD(FL_INTO_STR, struct range, min, 6),
	};
	struct fl_pq_stats *s = &((struct fl_pq_chunk *)to)->stats;
	bool has;

	(void)type;
	fl_thrift_enter(t);
	READ(t, fields, &r);
	has = r.max.p && r.min.p;
	s->nulls = r.nulls;
	s->old_range = !has && r.old_max.p && r.old_min.p;
	s->has_range = has || s->old_range;
	s->max = s->old_range ? r.old_max : r.max;
	s->min = s->old_range ? r.old_min : r.min;
}

/* Whether every data page uses the dictionary; false also when nothing is said. */
static void encoding_stats(struct fl_thrift *t, enum fl_thrift_type list, void *to)
{
	struct pages {
		uint32_t page, encoding;
	};
	static const struct fl_thrift_field fields[] = {FIELD(FL_INTO_32, struct pages, page, 1),
							FIELD(FL_INTO_32, struct pages, encoding, 2)};
	enum fl_thrift_type of;
	size_t n = fl_thrift_elements(t, list, &of);
	bool any = false, all = true;

	t->c.bad |= n && of != FL_THRIFT_STRUCT;
	for (size_t i = 0; i < n && !t->c.bad; i++) {
		struct pages p = {UINT32_MAX, UINT32_MAX};

		fl_thrift_enter(t);
		READ(t, fields, &p);
		if (p.page != FL_PARQUET_DATA_PAGE && p.page != FL_PARQUET_DATA_PAGE_V2)
			continue;
		any = true;
		all &= p.encoding == FL_PARQUET_RLE_DICTIONARY || p.encoding == FL_PARQUET_PLAIN_DICTIONARY;
	}
	((struct fl_pq_chunk *)to)->all_dictionary = any && all;
}

static void column_meta(struct fl_thrift *t, enum fl_thrift_type type, void *to)
{
	static const struct fl_thrift_field fields[] = {
	    FIELD(FL_INTO_U8, struct fl_pq_chunk, type, 1),
	    FIELD(FL_INTO_U8, struct fl_pq_chunk, codec, 4),
	    FIELD(FL_INTO_64, struct fl_pq_chunk, values, 5),
	    FIELD(FL_INTO_64, struct fl_pq_chunk, size, 7),
	    FIELD(FL_INTO_64, struct fl_pq_chunk, data_at, 9),
	    FIELD(FL_INTO_64, struct fl_pq_chunk, dictionary_at, 11),
	    STRUCTURE(statistics, 12),
	    CALL(encoding_stats, 13),
	    FIELD(FL_INTO_64, struct fl_pq_chunk, bloom_at, 14),
	    FIELD(FL_INTO_32, struct fl_pq_chunk, bloom_size, 15),
	};

	(void)type;
	fl_thrift_enter(t);
	READ(t, fields, to);
}

static void is_elsewhere(struct fl_thrift *t, enum fl_thrift_type type, void *to)
{
	((struct fl_pq_chunk *)to)->elsewhere = true;
	fl_thrift_skip(t, type);
}

static void column_chunk(struct fl_thrift *t, struct fl_pq_chunk *c)
{
	static const struct fl_thrift_field fields[] = {
	    CALL(is_elsewhere, 1), /* in another file */
	    STRUCTURE(column_meta, 3),
	    FIELD(FL_INTO_64, struct fl_pq_chunk, offsets.at, 4),
	    FIELD(FL_INTO_32, struct fl_pq_chunk, offsets.size, 5),
	    FIELD(FL_INTO_64, struct fl_pq_chunk, index.at, 6),
	    FIELD(FL_INTO_32, struct fl_pq_chunk, index.size, 7),
	    CALL(is_elsewhere, 8), /* encrypted */
	};

	*c = (struct fl_pq_chunk){.stats.nulls = -1};
	fl_thrift_enter(t);
	READ(t, fields, c);
}

struct group_reading {
	const struct fl_parquet_file *f;
	struct fl_pq_group group;
	bool elsewhere;
	int error; /* its sentence is told */
};

static void group_columns(struct fl_thrift *t, enum fl_thrift_type type, void *to)
{
	struct group_reading *x = to;
	struct fl_pq_group *g = &x->group;
	enum fl_thrift_type of;
	size_t n = fl_thrift_elements(t, type, &of);

	if (g->chunk || of != FL_THRIFT_STRUCT || !n || n != x->f->n_leaves)
		x->error = fl_fail(-EBADMSG, "%s: a row group of %zu columns, and the schema has %zu", x->f->name, n,
				   x->f->n_leaves);
	else if (!(g->chunk = calloc(n, sizeof *g->chunk)))
		x->error = -ENOMEM;
	t->c.bad |= x->error != 0;
	for (size_t i = 0; i < n && !t->c.bad; i++) {
		column_chunk(t, &g->chunk[i]);
		g->bytes += g->chunk[i].size;
		x->elsewhere |= g->chunk[i].elsewhere;
	}
}

static int row_group(struct fl_parquet_file *f, struct fl_thrift *t, struct fl_pq_group *g)
{
	static const struct fl_thrift_field fields[] = {CALL(group_columns, 1),
							FIELD(FL_INTO_64, struct group_reading, group.rows, 3)};
	struct group_reading x = {.f = f};

	fl_thrift_enter(t);
	READ(t, fields, &x);
	*g = x.group;
	if (x.error)
		return x.error;
	if (x.elsewhere)
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

struct footer {
	struct fl_parquet_file *f;
	struct fl_str created_by;
	int error;
};

static void footer_schema(struct fl_thrift *t, enum fl_thrift_type type, void *to)
{
	struct footer *x = to;

	x->error = x->error ? x->error : parse_schema(x->f, t, type);
	t->c.bad |= x->error != 0;
}

static void footer_groups(struct fl_thrift *t, enum fl_thrift_type type, void *to)
{
	struct footer *x = to;

	x->error = x->error ? x->error : parse_groups(x->f, t, type);
	t->c.bad |= x->error != 0;
}

static void footer_encryption(struct fl_thrift *t, enum fl_thrift_type type, void *to)
{
	struct footer *x = to;

	(void)type;
	x->error = x->error ? x->error : fl_fail(-ENOTSUP, "%s: encrypted", x->f->name);
	t->c.bad = true;
}

int fl_pq_parse_footer(struct fl_parquet_file *f)
{
	static const struct fl_thrift_field fields[] = {
	    CALL(footer_schema, 2),
	    CALL(footer_groups, 4),
	    FIELD(FL_INTO_STR, struct footer, created_by, 6),
	    CALL(footer_encryption, 8),
	};
	struct fl_thrift t = fl_thrift(f->footer.data, f->footer.len);
	struct footer x = {.f = f};

	READ(&t, fields, &x);
	if (x.error)
		return x.error;
	if (t.c.bad || !f->column || !f->group)
		return fl_fail(-EBADMSG, "%s: the footer is damaged", f->name);
	for (size_t i = 0; i < f->n_groups; i++)
		f->rows += f->group[i].rows;
	f->flowlog = x.created_by.n > 8 && !memcmp(x.created_by.p, "flowlog ", 8);
	return 0;
}

/* ---- page headers ---- */

#define PAGE(kind, member, number) FIELD(kind, struct fl_pq_page_header, member, number)

static void data_page(struct fl_thrift *t, enum fl_thrift_type type, void *to)
{
	static const struct fl_thrift_field fields[] = {PAGE(FL_INTO_32, values, 1), PAGE(FL_INTO_U8, encoding, 2),
							PAGE(FL_INTO_U8, level_encoding, 3)};

	(void)type;
	fl_thrift_enter(t);
	READ(t, fields, to);
}

static void dictionary_page(struct fl_thrift *t, enum fl_thrift_type type, void *to)
{
	static const struct fl_thrift_field fields[] = {PAGE(FL_INTO_32, values, 1), PAGE(FL_INTO_U8, encoding, 2)};

	(void)type;
	fl_thrift_enter(t);
	READ(t, fields, to);
}

static void data_page_v2(struct fl_thrift *t, enum fl_thrift_type type, void *to)
{
	static const struct fl_thrift_field fields[] = {
	    PAGE(FL_INTO_32, values, 1),    PAGE(FL_INTO_32, nulls, 2),     PAGE(FL_INTO_U8, encoding, 4),
	    PAGE(FL_INTO_32, def_bytes, 5), PAGE(FL_INTO_32, rep_bytes, 6), PAGE(FL_INTO_FLAG, compressed, 7),
	};

	(void)type;
	fl_thrift_enter(t);
	READ(t, fields, to);
}

static void page_crc(struct fl_thrift *t, enum fl_thrift_type type, void *to)
{
	struct fl_pq_page_header *h = to;

	h->crc = (uint32_t)fl_thrift_int(t, type);
	h->has_crc = true;
}

size_t fl_pq_parse_page_header(const void *data, size_t n, struct fl_pq_page_header *ret)
{
	static const struct fl_thrift_field fields[] = {
	    PAGE(FL_INTO_U8, page, 1), PAGE(FL_INTO_32, raw_size, 2), PAGE(FL_INTO_32, size, 3),  CALL(page_crc, 4),
	    STRUCTURE(data_page, 5),   STRUCTURE(dictionary_page, 7), STRUCTURE(data_page_v2, 8),
	};
	struct fl_thrift t = fl_thrift(data, n);

	*ret = (struct fl_pq_page_header){.page = 255, .compressed = true, .level_encoding = FL_PARQUET_RLE};
	READ(&t, fields, ret);
	return t.c.bad ? 0 : (size_t)(t.c.p - (const uint8_t *)data);
}

/* ---- Bloom filters ---- */

struct bloom {
	int64_t size;
	bool unknown;
};

/* Split blocks, xxHash, uncompressed: each the first member of its union. */
static void bloom_choice(struct fl_thrift *t, enum fl_thrift_type type, void *to)
{
	struct bloom *b = to;
	int16_t choice;

	fl_thrift_enter(t);
	while ((type = fl_thrift_next(t, &choice)) != FL_THRIFT_STOP) {
		b->unknown |= choice != 1;
		fl_thrift_skip(t, type);
	}
}

bool fl_pq_parse_bloom_header(const void *data, size_t n, size_t *ret_header, size_t *ret_size)
{
	static const struct fl_thrift_field fields[] = {FIELD(FL_INTO_64, struct bloom, size, 1),
							STRUCTURE(bloom_choice, 2), STRUCTURE(bloom_choice, 3),
							STRUCTURE(bloom_choice, 4)};
	struct fl_thrift t = fl_thrift(data, n);
	struct bloom b = {0};

	READ(&t, fields, &b);
	*ret_header = (size_t)(t.c.p - (const uint8_t *)data);
	*ret_size = (size_t)b.size;
	return !t.c.bad && !b.unknown && b.size >= FL_BLOOM_BLOCK && b.size <= INT32_MAX &&
	       b.size % FL_BLOOM_BLOCK == 0;
}
