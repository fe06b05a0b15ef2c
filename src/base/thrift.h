/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Thrift's compact protocol (apache/thrift, doc/specs/thrift-compact-protocol.md), as far as the footers of Parquet
 * need it: structures, lists, numbers, bytes. Read through a bounded cursor, so that a reader goes straight through and
 * asks once whether the cursor is bad.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/cursor.h"
#include "base/mem.h"

enum fl_thrift_type {
	FL_THRIFT_STOP = 0,
	FL_THRIFT_TRUE = 1,
	FL_THRIFT_FALSE = 2,
	FL_THRIFT_I8 = 3,
	FL_THRIFT_I16 = 4,
	FL_THRIFT_I32 = 5,
	FL_THRIFT_I64 = 6,
	FL_THRIFT_DOUBLE = 7,
	FL_THRIFT_BINARY = 8,
	FL_THRIFT_LIST = 9,
	FL_THRIFT_SET = 10,
	FL_THRIFT_MAP = 11,
	FL_THRIFT_STRUCT = 12
};
#define FL_THRIFT_DEPTH 16 /* of structures in one another; Parquet's have 6 */

/* ---- writing ---- */

struct fl_thrift_writer {
	struct fl_buf *out;
	int16_t last[FL_THRIFT_DEPTH]; /* id of the field before, in each open structure */
	unsigned depth;
	int error; /* of out */
};
#define FL_THRIFT_WRITER(buf) ((struct fl_thrift_writer){.out = (buf)})
/* The outermost structure has no beginning of its own, only an end. */
void fl_thrift_end(struct fl_thrift_writer *w);
void fl_thrift_struct(struct fl_thrift_writer *w, int16_t id); /* id 0: an element of a list */
void fl_thrift_bool(struct fl_thrift_writer *w, int16_t id, bool v);
void fl_thrift_i8(struct fl_thrift_writer *w, int16_t id, int8_t v);
void fl_thrift_i16(struct fl_thrift_writer *w, int16_t id, int16_t v);
void fl_thrift_i32(struct fl_thrift_writer *w, int16_t id, int32_t v);
void fl_thrift_i64(struct fl_thrift_writer *w, int16_t id, int64_t v);
void fl_thrift_binary(struct fl_thrift_writer *w, int16_t id, const void *p, size_t n);
void fl_thrift_text(struct fl_thrift_writer *w, int16_t id, const char *s);
/* Elements follow, with id 0. */
void fl_thrift_list(struct fl_thrift_writer *w, int16_t id, enum fl_thrift_type of, size_t n);

/* ---- reading ---- */

struct fl_thrift {
	struct fl_cursor c;
	int16_t last[FL_THRIFT_DEPTH];
	unsigned depth;
};
static inline struct fl_thrift fl_thrift(const void *data, size_t n)
{
	return (struct fl_thrift){.c = fl_cursor(data, n)};
}
/* The next field of the open structure: its type, id in *ret. FL_THRIFT_STOP at its end, and when the input is bad: the
 * structure is then closed. Each field is to be read or skipped. */
enum fl_thrift_type fl_thrift_next(struct fl_thrift *t, int16_t *ret);
/* Opens a structure: a field's value or a list's element. */
void fl_thrift_enter(struct fl_thrift *t);
int64_t fl_thrift_int(struct fl_thrift *t, enum fl_thrift_type type); /* any integer type; others make it bad */
bool fl_thrift_flag(enum fl_thrift_type type);
struct fl_str fl_thrift_bytes(struct fl_thrift *t, enum fl_thrift_type type); /* a view */
/* Number of elements; their type in *ret. Never more than there are bytes left. */
size_t fl_thrift_elements(struct fl_thrift *t, enum fl_thrift_type type, enum fl_thrift_type *ret);
void fl_thrift_skip(struct fl_thrift *t, enum fl_thrift_type type);

/* A structure read by a table: what is not in it is skipped, whatever it holds. */
enum fl_thrift_into {
	FL_INTO_U8, /* any integer type, cut to this width */
	FL_INTO_32,
	FL_INTO_64,
	FL_INTO_FLAG,  /* bool */
	FL_INTO_STR,   /* struct fl_str, a view */
	FL_INTO_CALL,  /* `read` takes the value, whatever its type */
	FL_INTO_STRUCT /* the same, of a structure; other types are skipped */
};
struct fl_thrift_field {
	int16_t id;
	uint8_t into;
	uint16_t at; /* where in the structure that is filled */
	void (*read)(struct fl_thrift *t, enum fl_thrift_type type, void *to); /* to: the structure that is filled */
};
/* The fields of the open structure up to its end. */
void fl_thrift_fields(struct fl_thrift *t, const struct fl_thrift_field *fields, size_t n, void *to);
