/* SPDX-License-Identifier: Apache-2.0 */
/* Inside "query": what adding, spilling and finishing of groups share. */
#pragma once

#include "query/group_table.h"
#include "query/intern.h"
#include "query/sets.h"

#define FL_GROUP_SPILL_RUNS 65536u /* of one thread's table */

/* Rows of a table written away, sorted by part: where the rows of each part begin, and how many they are. */
struct fl_group_run {
	uint64_t at;
	uint32_t rows[FL_GROUP_PARTS];
};

struct fl_group_part { /* one table of a worker: all measures, or the values of one distinct count */
	struct fl_group_table table;
	struct fl_group_run *run;
	size_t n_runs, cap_runs;
	/* for merging: numbers of the rows by part */
	uint32_t *by_part;
	uint32_t begin[FL_GROUP_PARTS + 1];
};

struct fl_group_worker {
	struct fl_groups *groups;
	struct fl_intern_cache *cache;
	struct fl_group_part part[FL_GROUP_DISTINCT + 1];
	struct fl_set_store sets; /* measures of the first table that count ports and the like */
	int fd;                   /* temporary file; -1: none yet */
	uint64_t written;
	char *keys; /* FL_GROUP_AHEAD of them, packed */
};

struct fl_groups {
	struct fl_group_conf conf;
	uint64_t seed;
	struct fl_interner *texts;
	/* Tables of a worker: one of all measures that need no values, then one for each distinct count, whose rows are
	 * read far more often than written. */
	size_t n_parts;
	struct fl_group_layout in[FL_GROUP_DISTINCT + 1];
	size_t in_measure[FL_GROUP_MEASURES]; /* the first's measures: which of conf's */
	struct fl_group_layout out;           /* all of conf's measures */
	struct fl_group_worker *worker[FL_GROUP_THREADS];
	/* the answer: rows of `out`, and their order */
	char *rows;
	size_t n_rows;
	uint64_t count, total[FL_GROUP_MEASURES];
};

/* Rows of all of a worker's tables to its temporary file; the tables are empty after it. */
int fl_group_spill(struct fl_group_worker *w);
int fl_group_spill_table(struct fl_group_worker *w, size_t table); /* of one */
bool fl_group_is_full(const struct fl_group_worker *w);
/* Values of sets into the tables of values, which then have all of them. */
int fl_group_expand(struct fl_group_worker *w);
/* Rows of one part of a table that were written: fn for each, and with NULL before they are gone. */
typedef int (*fl_group_row_fn)(void *ctx, const char *row);
int fl_group_spilled_rows(struct fl_group_worker *w, size_t table, unsigned part, fl_group_row_fn fn, void *ctx);
/* Fills by_part and begin. */
int fl_group_sort_parts(struct fl_group_part *p, unsigned parts);
static inline unsigned fl_group_part_of(uint64_t hash, unsigned parts)
{
	return (unsigned)(hash >> 58) & (parts - 1); /* parts: 1 or FL_GROUP_PARTS */
}
/* Which of two rows of the answer comes first: <0, 0, >0. */
int fl_group_compare(const struct fl_groups *g, const char *a, const char *b);
