/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Group-by over batches: hash tables of fixed-width rows, one set a thread, merged at the end; exact in bounded memory,
 * because what does not fit is written to a temporary file by parts of the hash and merged part by part.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/mem.h"

#define FL_GROUP_KEYS 8
#define FL_GROUP_MEASURES 16
#define FL_GROUP_DISTINCT 4 /* measures that count distinct values */
#define FL_GROUP_THREADS 256

enum fl_group_type {
	FL_GROUP_U64,  /* uint64_t */
	FL_GROUP_U32,  /* the same, of which no value is above UINT32_MAX */
	FL_GROUP_ADDR, /* struct fl_addr */
	FL_GROUP_TEXT, /* struct fl_str */
	FL_GROUP_CODE, /* uint8_t */
};
enum fl_measure_kind {
	FL_MEASURE_COUNT,
	FL_MEASURE_SUM,
	FL_MEASURE_MIN,
	FL_MEASURE_MAX,
	FL_MEASURE_OR,
	FL_MEASURE_DISTINCT
};

struct fl_group_measure {
	enum fl_measure_kind kind;
	enum fl_group_type type; /* DISTINCT: of the values */
};

struct fl_groups;

/* Ordered by a measure, the greatest first, or by the keys; what is equal always by the keys. */
#define FL_GROUP_BY_KEYS (-1)
#define FL_GROUP_UNORDERED (-2) /* no order, and no limit */
struct fl_group_conf {
	enum fl_group_type key[FL_GROUP_KEYS];
	size_t n_keys;
	struct fl_group_measure measure[FL_GROUP_MEASURES];
	size_t n_measures;
	int order;       /* a measure's number, FL_GROUP_BY_KEYS, or FL_GROUP_UNORDERED */
	uint64_t limit;  /* groups; 0: all */
	uint64_t memory; /* bytes of all tables together */
	const char *tmp; /* directory of temporary files */
	unsigned threads;
	bool (*keep)(void *ctx, const uint64_t *measures); /* NULL: every group */
	/* NULL: groups become rows of the answer. Else each is handed over by the thread that merged it, in no order,
	 * and none is kept; row is for fl_group_row_*. */
	int (*emit)(void *ctx, unsigned thread, const struct fl_groups *g, const char *row);
	void *ctx;
};

/* What a batch has of one key or measure, FL_BATCH_ROWS at most. */
struct fl_group_vector {
	const void *value;    /* of its type; NULL: COUNT */
	const uint64_t *null; /* bit set: null; NULL: none */
	const uint64_t *v6;   /* ADDR: written as IPv6 though mapped; NULL: none */
	const uint64_t *only; /* measures: bit set: counts here; NULL: all */
};

struct fl_group_worker; /* of one thread; belongs to its groups */
int fl_groups_new(struct fl_groups **ret, const struct fl_group_conf *conf);
void fl_groups_free(struct fl_groups **g);
const struct fl_group_conf *fl_groups_conf(const struct fl_groups *g);
struct fl_group_worker *fl_groups_worker(struct fl_groups *g, unsigned thread);
/* -E2BIG: more texts than memory allows. */
int fl_group_add(struct fl_group_worker *w, uint32_t n, const struct fl_group_vector *keys,
		 const struct fl_group_vector *measures);

/* After the last row of the last thread: by several threads. */
int fl_groups_finish(struct fl_groups *g);
uint64_t fl_groups_count(const struct fl_groups *g);                       /* all groups that were kept */
uint64_t fl_groups_total(const struct fl_groups *g, size_t measure);       /* over all: SUM, COUNT; else 0 */
uint64_t fl_groups_spilled(const struct fl_groups *g);                     /* bytes written to temporary files */
size_t fl_groups_rows(const struct fl_groups *g);                          /* after limit */
const uint64_t *fl_groups_measures(const struct fl_groups *g, size_t row); /* MIN of nothing: UINT64_MAX */
struct fl_group_value {
	bool null, v6;
	union {
		uint64_t u64;
		struct fl_addr addr;
		struct fl_str text;
		uint8_t code;
	};
};
void fl_groups_key(const struct fl_groups *g, size_t row, size_t key, struct fl_group_value *ret);
const char *fl_groups_row(const struct fl_groups *g, size_t row);
void fl_group_row_key_of(const struct fl_groups *g, const char *row, size_t key, struct fl_group_value *ret);
const uint64_t *fl_group_row_measures_of(const struct fl_groups *g, const char *row);
