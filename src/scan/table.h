/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside the room "scan": tables that tools export records to. CSV as in RFC 4180, between commas, semicolons or tabs,
 * the first line naming the columns; and JSON, one object a line. Names are those of fields whatever their case, with
 * hyphens, underscores or neither (interface-id, interface_id, interfaceId). Pure.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/mem.h"
#include "record/record.h"

#define FL_TABLE_CELLS_MAX 160u /* of a record; what a format may have is less */
#define FL_TABLE_NAME_MAX 256
/* Lines over which a quoted value may go: one that is never closed is looked for no further. */
#define FL_TABLE_CELL_LINES 16u

struct fl_cell {
	struct fl_str text; /* between the quotes */
	bool doubled;       /* quotes in it are written twice */
};

/* 1: a record at the beginning of p, *ret_n cells (0: a blank line; above FL_TABLE_CELLS_MAX: so many, the others are
 * not in cells). 0: it does not end in these bytes, and more follow (!last). Negative: it is none; *ret_why says what
 * it has. *ret_used: its bytes, or those of the first line of what is none. */
int fl_csv_record(const char *p, size_t n, bool last, char delimiter, struct fl_cell cells[FL_TABLE_CELLS_MAX],
		  size_t *ret_n, size_t *ret_used, const char **ret_why);
/* Its value, with quotes once, to `to`, which has room for it. */
size_t fl_cell_copy(char *to, const struct fl_cell *c);

/* An object of JSON whose values are plain, which is how records are written: no escapes, ASCII, integers. */
enum fl_pair_kind { FL_PAIR_TEXT, FL_PAIR_NUMBER, FL_PAIR_WORD /* true, false */, FL_PAIR_NULL };
struct fl_pair {
	struct fl_str key, value; /* of the line */
	uint8_t kind;
};
/* How many there are, the same key perhaps twice; -1: the line is something else, which jansson reads or refuses. */
int fl_json_pairs(const char *p, size_t n, struct fl_pair pairs[FL_TABLE_CELLS_MAX]);

/* A column's name as formats have it: that of the field it means; any other with what a header line cannot hold written
 * as %XX; "columnN" where there is none. Returns whether it is a field. */
bool fl_table_name(const char *p, size_t n, size_t number, char ret[FL_TABLE_NAME_MAX]);

/* Whether a file that begins so is a table of records; both addresses, or half of the names, are fields. */
bool fl_csv_is(const char *head, size_t n, char *ret_delimiter);
bool fl_json_lines_is(const char *head, size_t n); /* begins as an object does; of records or not */
/* Its columns. -EINVAL with a sentence about path. JSON: of all whole lines in head. */
int fl_csv_format(const char *path, const char *head, size_t n, char delimiter, struct fl_format **ret);
int fl_json_lines_format(const char *path, const char *head, size_t n, struct fl_format **ret);
/* Bytes of a byte order mark, which Windows puts in front. */
size_t fl_table_mark(const char *head, size_t n);
