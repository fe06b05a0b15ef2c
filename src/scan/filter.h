/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which records are asked for: a tree of conditions on columns. Built from options, from words (scan/words.h) or from
 * the WHERE of a statement; evaluated on batches, and asked by scanners what can be passed over unread.
 *
 * Three values, as in SQL: whether a condition on a value that is null holds is not known, and NOT changes nothing
 * about that. Only records for which the whole is true pass: neither "port 22" nor "not port 22" is true of a record
 * without ports. "is null" is always known.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "record/columns.h"

#define FL_FILTER_NODES 4096 /* of one filter */
#define FL_FILTER_DEPTH 64

struct fl_filter; /* NULL is the filter that everything passes */
enum fl_filter_op { FL_OP_EQ, FL_OP_NE, FL_OP_LT, FL_OP_LE, FL_OP_GT, FL_OP_GE };

/* Builders take ownership of their arguments (also when they fail) and return -ENOMEM, -E2BIG, or -EINVAL for a column
 * that has no such values, with *ret NULL. Columns are named as in fl_column_find; one that it does not know holds
 * text, which is read as a number or an address where one is asked for.
 *
 * An IPv4 network means addresses written as IPv4: not the IPv6 address ::ffff:10.0.0.1. */
int fl_filter_and(struct fl_filter **ret, struct fl_filter *a, struct fl_filter *b); /* either may be NULL */
int fl_filter_or(struct fl_filter **ret, struct fl_filter *a, struct fl_filter *b);
int fl_filter_not(struct fl_filter **ret, struct fl_filter *a);
int fl_filter_number(struct fl_filter **ret, const char *column, enum fl_filter_op op, uint64_t value);
int fl_filter_range(struct fl_filter **ret, const char *column, uint64_t first, uint64_t last); /* both within */
int fl_filter_cidr(struct fl_filter **ret, const char *column, const struct fl_cidr *cidr);     /* one address: /128 */
int fl_filter_text(struct fl_filter **ret, const char *column, const char *text,
		   size_t n); /* equal; also CODE columns */
int fl_filter_is_null(struct fl_filter **ret, const char *column);
int fl_filter_not_null(struct fl_filter **ret, const char *column);
int fl_filter_copy(struct fl_filter **ret, const struct fl_filter *f);
void fl_filter_free(struct fl_filter **f);

/* Columns that it looks at: names, each once. */
size_t fl_filter_columns(const struct fl_filter *f, const char *ret[FL_BATCH_COLUMNS]);
/* Binds column names to positions in batches of this shape; a column that the batch lacks is null in every row. The
 * bound filter may be used by several threads at once. */
struct fl_filter_bound;
int fl_filter_bind(struct fl_filter_bound **ret, const struct fl_filter *f, const struct fl_column_def *defs, size_t n);
void fl_filter_bound_free(struct fl_filter_bound **f);
/* Sets the bits of the rows that pass, clears all others; returns their number. */
uint32_t fl_filter_eval(const struct fl_filter_bound *f, const struct fl_batch *b, uint64_t ret[FL_BATCH_WORDS]);
/* The same where a file lacks columns (by position in the batch, null there). *ret_could: how many would pass with the
 * right values in them, those that pass among them: fl_filter_assume in the same walk. */
uint32_t fl_filter_eval_lacking(const struct fl_filter_bound *f, const struct fl_batch *b, const bool *lacks,
				uint64_t ret[FL_BATCH_WORDS], uint32_t *ret_could);

/* Whether a file lacks the column altogether. */
typedef bool (*fl_lacks_fn)(void *ctx, const char *column);
/* What records of a file that lacks columns fulfil when they pass, or would pass if they had the right values there:
 * true of a column that is lacking stands in the place of what is not known. *ret NULL: every record. *ret_hangs false:
 * what it lacks does not matter, *ret is NULL. */
int fl_filter_assume(struct fl_filter **ret, bool *ret_hangs, const struct fl_filter *f, fl_lacks_fn lacks, void *ctx);

/* ---- what scanners may pass over ---- */

/* Records that pass have end >= *ret_since and start <= *ret_until (INT64_MIN, INT64_MAX: no bound), provided that no
 * record ends before it starts. */
void fl_filter_times(const struct fl_filter *f, int64_t *ret_since, int64_t *ret_until);
/* IPv4 addresses of which at least one stands, as text, in every record that passes; 0: none can be named. */
#define FL_FILTER_LITERALS 8
size_t fl_filter_literals(const struct fl_filter *f, struct fl_addr ret[FL_FILTER_LITERALS]);
/* What is known of a column's values in a part of a file. */
struct fl_column_range {
	bool known;               /* false: anything is possible */
	bool may_be_null;         /* there may be nulls */
	bool all_null;            /* there is nothing else */
	uint64_t min, max;        /* U64 */
	struct fl_str tmin, tmax; /* TEXT and ADDR columns as their text, CODE columns as their name: bytewise order */
};
typedef struct fl_column_range (*fl_range_fn)(void *ctx, const char *column);
/* Whether the text of a value may be in the part (a Bloom filter's answer); true when not known. IPv6 addresses are
 * given as RFC 5952 writes them: the answer is true for parts of a writer that may do otherwise. */
typedef bool (*fl_contains_fn)(void *ctx, const char *column, const char *text, size_t n);
/* False: no record of that part can pass. contains may be NULL. */
bool fl_filter_may_pass(const struct fl_filter *f, fl_range_fn range, fl_contains_fn contains, void *ctx);
/* The same over the time that a file's name or directory gives: records in it lie within [first, last]. */
bool fl_filter_may_pass_time(const struct fl_filter *f, int64_t first, int64_t last);
/* As one would write it, for messages and EXPLAIN. */
int fl_filter_print(const struct fl_filter *f, struct fl_buf *out);
