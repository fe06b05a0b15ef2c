/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Third face of the stage "record": records by column. What scanners produce, questions and SQL consume, and the
 * Parquet writer writes. Addresses are 16 bytes inside, text at the edge; "-" is null everywhere.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/mem.h"
#include "record/record.h"

#define FL_BATCH_ROWS 2048u   /* what a chunk of DuckDB holds */
#define FL_BATCH_COLUMNS 160u /* of one scan: 54 + 36 fields, our own, and what unknown headers name */
#define FL_BATCH_WORDS (FL_BATCH_ROWS / 64)

/* No flow was recorded outside of these (1980, 2100): such a time is milliseconds, a field that was shifted, a clock
 * that was never set, and must not make a span of centuries. */
#define FL_TIME_EARLIEST 315532800
#define FL_TIME_LATEST 4102444800

enum fl_column_type {
	FL_COLUMN_U64,  /* numbers; never above INT64_MAX (AWS's widest type), ports and protocols within theirs */
	FL_COLUMN_ADDR, /* struct fl_addr */
	FL_COLUMN_TEXT, /* struct fl_str into memory of the batch's producer */
	FL_COLUMN_CODE, /* uint8_t: index into the column's names (action, log-status); no other value exists */
	FL_COLUMN_TYPES
};

/* What a column is. Columns of records carry the names of fields with underscores (src "start", "pkt_srcaddr"). */
struct fl_column_def {
	const char *name;             /* not owned: static, or of the format it came from */
	const struct fl_field *field; /* NULL: our own column, or a name that AWS does not have */
	uint8_t type;                 /* enum fl_column_type */
	uint8_t own;                  /* enum fl_own_column, FL_OWN_NONE for fields and unknown names */
	uint8_t n_codes;
	const char *const *codes; /* FL_COLUMN_CODE: names of its values */
};

/* Columns that no format has: what Flowlog knows beside the record. */
enum fl_own_column {
	FL_OWN_NONE = 0,
	FL_OWN_SOURCE,         /* text: the file, object or store that the record is from */
	FL_OWN_PROVISIONAL,    /* 1 in the open window, whose numbers still grow; else 0 */
	FL_OWN_VERDICT_SOURCE, /* text: kernel, policy, ...; null: verdicts were not observed, or the carrier does not
				  say */
	FL_OWN_VERDICT_CAUSE,  /* text: deciding rule or cause of the drop */
	FL_OWN_POLICY_ACTION,  /* text: opinion of a policy that is not enforced */
	FL_OWN_POLICY_CAUSE,
	FL_OWN_N
};

/* By column or field name ("pkt_srcaddr", "pkt-srcaddr"): fields of VPC flow logs first, then of transit gateways',
 * then our own. Returns false and a text column of that name when it is none of them. name must outlive ret. */
bool fl_column_find(const char *name, struct fl_column_def *ret);
/* Formats write the same name with hyphens. */
bool fl_column_is_named(const struct fl_column_def *d, const char *name);
const char *fl_own_column_name(enum fl_own_column c); /* not FL_OWN_NONE */

struct fl_column {
	struct fl_column_def def;
	bool any_null;  /* false: null need not be looked at, and is all zero */
	uint64_t *null; /* FL_BATCH_WORDS words, bit set: null; the value is then zero (0, ::, {NULL, 0}) */
	uint64_t *v6;   /* ADDR, bit set: was written as IPv6 though it has the mapped IPv4 form; else NULL or zero */
	union {
		uint64_t *u64;
		struct fl_addr *addr;
		struct fl_str *text;
		uint8_t *code;
	};
};

struct fl_batch {
	uint32_t n; /* rows */
	uint32_t n_columns;
	struct fl_column column[FL_BATCH_COLUMNS];
};

/* Memory for FL_BATCH_ROWS rows of each column; n = 0. -E2BIG: too many columns. */
int fl_batch_new(struct fl_batch **ret, const struct fl_column_def *defs, size_t n);
void fl_batch_free(struct fl_batch **b);
void fl_batch_clear(struct fl_batch *b); /* no rows, no nulls */
/* Rows whose bit in keep is set move to the front, in their order; returns their number. Only columns whose bit in
 * `which` (by position; NULL: all) is set are moved; b->n is set. */
uint32_t fl_batch_compact(struct fl_batch *b, const uint64_t keep[FL_BATCH_WORDS], const bool *which);
/* These rows of another batch, whose first columns are the same; text is not copied. */
void fl_batch_gather(struct fl_batch *to, const struct fl_batch *from, const uint16_t *rows, uint32_t n);
/* Sets a value from its text; "-" is null. False: not a value of this type (nothing is set then). text must outlive the
 * batch's rows when the column is TEXT. The one slow and obvious conversion that all fast ones must equal. */
bool fl_column_set_text(struct fl_column *c, uint32_t row, const char *text, size_t n);
static inline bool fl_column_is_null(const struct fl_column *c, uint32_t row)
{
	return c->any_null && (c->null[row / 64] >> (row % 64) & 1);
}
static inline void fl_column_set_null(struct fl_column *c, uint32_t row)
{
	c->any_null = true;
	c->null[row / 64] |= UINT64_C(1) << (row % 64);
}
/* Name as a header line has it: of a field with hyphens. */
const char *fl_column_title(const struct fl_column_def *d);
/* The first n_columns values of a row with a separator between them; no newline. */
int fl_batch_print(const struct fl_batch *b, uint32_t row, size_t n_columns, char separator, struct fl_buf *out);
/* Append the value as a record has it; "-" when null. */
int fl_column_print(const struct fl_column *c, uint32_t row, struct fl_buf *out);
