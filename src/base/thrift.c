/* SPDX-License-Identifier: Apache-2.0 */
#include "base/thrift.h"

#include <errno.h>
#include <string.h>

/* ---- writing ---- */

static void put(struct fl_thrift_writer *w, const void *p, size_t n)
{
	if (!w->error)
		w->error = fl_buf_add(w->out, p, n);
}

static void put_byte(struct fl_thrift_writer *w, uint8_t b)
{
	put(w, &b, 1);
}

static void put_varint(struct fl_thrift_writer *w, uint64_t v)
{
	uint8_t b[10];
	size_t n = 0;

	for (; v >= 128; v >>= 7)
		b[n++] = (uint8_t)(v | 128);
	b[n++] = (uint8_t)v;
	put(w, b, n);
}

static void put_zigzag(struct fl_thrift_writer *w, int64_t v)
{
	put_varint(w, (uint64_t)v << 1 ^ (uint64_t)(v >> 63));
}

static void put_field(struct fl_thrift_writer *w, int16_t id, enum fl_thrift_type type)
{
	int16_t step;

	if (!id)
		return; /* an element of a list */
	step = (int16_t)(id - w->last[w->depth]);
	w->last[w->depth] = id;
	if (step > 0 && step < 16) {
		put_byte(w, (uint8_t)((unsigned)step << 4 | type));
		return;
	}
	put_byte(w, (uint8_t)type);
	put_zigzag(w, id);
}

void fl_thrift_struct(struct fl_thrift_writer *w, int16_t id)
{
	put_field(w, id, FL_THRIFT_STRUCT);
	if (w->depth + 1 == FL_THRIFT_DEPTH) {
		w->error = -E2BIG;
		return;
	}
	w->last[++w->depth] = 0;
}

void fl_thrift_end(struct fl_thrift_writer *w)
{
	put_byte(w, FL_THRIFT_STOP);
	if (w->depth)
		w->depth--;
}

void fl_thrift_bool(struct fl_thrift_writer *w, int16_t id, bool v)
{
	enum fl_thrift_type type = v ? FL_THRIFT_TRUE : FL_THRIFT_FALSE;

	if (id)
		put_field(w, id, type);
	else
		put_byte(w, (uint8_t)type);
}

void fl_thrift_i8(struct fl_thrift_writer *w, int16_t id, int8_t v)
{
	put_field(w, id, FL_THRIFT_I8);
	put_byte(w, (uint8_t)v);
}

static void put_int(struct fl_thrift_writer *w, int16_t id, enum fl_thrift_type type, int64_t v)
{
	put_field(w, id, type);
	put_zigzag(w, v);
}

void fl_thrift_i16(struct fl_thrift_writer *w, int16_t id, int16_t v)
{
	put_int(w, id, FL_THRIFT_I16, v);
}

void fl_thrift_i32(struct fl_thrift_writer *w, int16_t id, int32_t v)
{
	put_int(w, id, FL_THRIFT_I32, v);
}

void fl_thrift_i64(struct fl_thrift_writer *w, int16_t id, int64_t v)
{
	put_int(w, id, FL_THRIFT_I64, v);
}

void fl_thrift_binary(struct fl_thrift_writer *w, int16_t id, const void *p, size_t n)
{
	put_field(w, id, FL_THRIFT_BINARY);
	put_varint(w, n);
	put(w, p, n);
}

void fl_thrift_text(struct fl_thrift_writer *w, int16_t id, const char *s)
{
	fl_thrift_binary(w, id, s, strlen(s));
}

void fl_thrift_list(struct fl_thrift_writer *w, int16_t id, enum fl_thrift_type of, size_t n)
{
	put_field(w, id, FL_THRIFT_LIST);
	if (n < 15) {
		put_byte(w, (uint8_t)(n << 4 | of));
		return;
	}
	put_byte(w, (uint8_t)(15 << 4 | of));
	put_varint(w, n);
}

/* ---- reading ---- */

static uint64_t get_varint(struct fl_thrift *t)
{
	uint64_t v = 0;

	for (unsigned shift = 0; shift < 64; shift += 7) {
		uint8_t b = fl_cur_u8(&t->c);

		v |= (uint64_t)(b & 127) << shift;
		if (!(b & 128))
			return v;
	}
	t->c.bad = true;
	return 0;
}

static int64_t get_zigzag(struct fl_thrift *t)
{
	uint64_t v = get_varint(t);

	return (int64_t)(v >> 1 ^ (~(v & 1) + 1));
}

void fl_thrift_enter(struct fl_thrift *t)
{
	if (t->depth + 1 >= FL_THRIFT_DEPTH) {
		t->c.bad = true;
		return;
	}
	t->last[++t->depth] = 0;
}

static enum fl_thrift_type close_struct(struct fl_thrift *t)
{
	if (t->depth)
		t->depth--;
	return FL_THRIFT_STOP;
}

enum fl_thrift_type fl_thrift_next(struct fl_thrift *t, int16_t *ret)
{
	uint8_t b = fl_cur_u8(&t->c);

	*ret = 0;
	if (t->c.bad || !b)
		return close_struct(t);
	if ((b & 15) > FL_THRIFT_STRUCT || !(b & 15)) {
		t->c.bad = true;
		return close_struct(t);
	}
	*ret = b >> 4 ? (int16_t)(t->last[t->depth] + (b >> 4)) : (int16_t)get_zigzag(t);
	t->last[t->depth] = *ret;
	return (enum fl_thrift_type)(b & 15);
}

int64_t fl_thrift_int(struct fl_thrift *t, enum fl_thrift_type type)
{
	switch (type) {
	case FL_THRIFT_I8:
		return (int8_t)fl_cur_u8(&t->c);
	case FL_THRIFT_I16:
	case FL_THRIFT_I32:
	case FL_THRIFT_I64:
		return get_zigzag(t);
	default:
		t->c.bad = true;
		return 0;
	}
}

bool fl_thrift_flag(enum fl_thrift_type type)
{
	return type == FL_THRIFT_TRUE;
}

struct fl_str fl_thrift_bytes(struct fl_thrift *t, enum fl_thrift_type type)
{
	uint64_t n = 0;
	const uint8_t *p = NULL;

	if (type == FL_THRIFT_BINARY) {
		n = get_varint(t);
		p = n > fl_cur_left(&t->c) ? NULL : fl_cur_take(&t->c, (size_t)n);
	}
	if (!p) {
		t->c.bad = true;
		return (struct fl_str){0};
	}
	return (struct fl_str){(const char *)p, (size_t)n};
}

size_t fl_thrift_elements(struct fl_thrift *t, enum fl_thrift_type type, enum fl_thrift_type *ret)
{
	uint8_t b = type == FL_THRIFT_LIST || type == FL_THRIFT_SET ? fl_cur_u8(&t->c) : 0;
	uint64_t n = b >> 4 == 15 ? get_varint(t) : b >> 4;

	*ret = (enum fl_thrift_type)(b & 15);
	if ((type != FL_THRIFT_LIST && type != FL_THRIFT_SET) || *ret > FL_THRIFT_STRUCT || n > fl_cur_left(&t->c))
		t->c.bad = true;
	return t->c.bad ? 0 : (size_t)n;
}

static void skip_element(struct fl_thrift *t, enum fl_thrift_type type)
{
	if (type == FL_THRIFT_TRUE || type == FL_THRIFT_FALSE)
		fl_cur_skip(&t->c, 1);
	else
		fl_thrift_skip(t, type);
}

static void skip_map(struct fl_thrift *t)
{
	uint64_t n = get_varint(t);
	uint8_t types = n ? fl_cur_u8(&t->c) : 0;

	for (uint64_t i = 0; i < n && !t->c.bad; i++) {
		skip_element(t, (enum fl_thrift_type)(types >> 4));
		skip_element(t, (enum fl_thrift_type)(types & 15));
	}
}

void fl_thrift_skip(struct fl_thrift *t, enum fl_thrift_type type)
{
	enum fl_thrift_type of;
	int16_t id;
	size_t n;

	switch (type) {
	case FL_THRIFT_TRUE:
	case FL_THRIFT_FALSE:
		return;
	case FL_THRIFT_I8:
	case FL_THRIFT_I16:
	case FL_THRIFT_I32:
	case FL_THRIFT_I64:
		fl_thrift_int(t, type);
		return;
	case FL_THRIFT_DOUBLE:
		fl_cur_skip(&t->c, 8);
		return;
	case FL_THRIFT_BINARY:
		fl_thrift_bytes(t, type);
		return;
	case FL_THRIFT_LIST:
	case FL_THRIFT_SET:
	case FL_THRIFT_MAP:
		/* Containers count as a level too: a list of lists of lists is as deep as structures are. */
		fl_thrift_enter(t);
		if (t->c.bad)
			return;
		if (type == FL_THRIFT_MAP) {
			skip_map(t);
		} else {
			n = fl_thrift_elements(t, type, &of);
			for (size_t i = 0; i < n && !t->c.bad; i++)
				skip_element(t, of);
		}
		t->depth--;
		return;
	case FL_THRIFT_STRUCT:
		fl_thrift_enter(t);
		while (!t->c.bad && (type = fl_thrift_next(t, &id)) != FL_THRIFT_STOP)
			fl_thrift_skip(t, type);
		return;
	case FL_THRIFT_STOP:
		break;
	}
	t->c.bad = true;
}

/* ---- by a table ---- */

static const struct fl_thrift_field *find_field(const struct fl_thrift_field *fields, size_t n, int16_t id)
{
	for (size_t i = 0; i < n; i++)
		if (fields[i].id == id)
			return &fields[i];
	return NULL;
}

static void take_field(struct fl_thrift *t, enum fl_thrift_type type, const struct fl_thrift_field *f, void *to)
{
	char *at = (char *)to + f->at;
	int64_t v;

	switch ((enum fl_thrift_into)f->into) {
	case FL_INTO_U8:
		*(uint8_t *)at = (uint8_t)fl_thrift_int(t, type);
		return;
	case FL_INTO_32:
		*(uint32_t *)(void *)at = (uint32_t)fl_thrift_int(t, type);
		return;
	case FL_INTO_64:
		v = fl_thrift_int(t, type);
		memcpy(at, &v, sizeof v);
		return;
	case FL_INTO_FLAG:
		*(bool *)at = fl_thrift_flag(type);
		if (type != FL_THRIFT_TRUE && type != FL_THRIFT_FALSE)
			fl_thrift_skip(t, type);
		return;
	case FL_INTO_STR:
		*(struct fl_str *)(void *)at = fl_thrift_bytes(t, type);
		return;
	case FL_INTO_STRUCT:
	case FL_INTO_CALL:
		f->read(t, type, to);
		return;
	}
}

void fl_thrift_fields(struct fl_thrift *t, const struct fl_thrift_field *fields, size_t n, void *to)
{
	enum fl_thrift_type type;
	int16_t id;

	while ((type = fl_thrift_next(t, &id)) != FL_THRIFT_STOP) {
		const struct fl_thrift_field *f = find_field(fields, n, id);

		if (f && (f->into != FL_INTO_STRUCT || type == FL_THRIFT_STRUCT))
			take_field(t, type, f, to);
		else
			fl_thrift_skip(t, type);
	}
}
