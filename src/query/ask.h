/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Second face of the stage "query": ready questions, without DuckDB. A question is a row of questions.def; asking
 * reads the sources once, by several threads, and leaves an answer of rows in order.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "query/derive.h"
#include "scan/reader.h"

enum fl_pipe { FL_PIPE_PLAIN, FL_PIPE_CONVERSATIONS, FL_PIPE_REFUSED, FL_PIPE_UNANSWERED, FL_PIPE_TALKS };
#define FL_ORDER_TIME (-1) /* by the keys */

struct fl_question {
	const char *command, *name;
	const char *filter; /* words */
	uint8_t key[FL_GROUP_KEYS], n_keys;
	uint8_t metric[FL_GROUP_MEASURES], n_metrics;
	int order; /* enum fl_metric, FL_ORDER_TIME */
	uint64_t limit;
	enum fl_pipe pipe;
	const char *help;
};
const struct fl_question *fl_question_find(const char *command, const char *name); /* name NULL: the first */

/* Start and end that cannot be (record/columns.h): records are counted, but not when they were. */
struct fl_odd_times {
	uint64_t n;
	char example[320]; /* "start 9223372036854775807 in FILE" */
};

struct fl_ask_conf {
	struct fl_scan_conf scan;
	const struct fl_filter *filter; /* beside the question's; NULL: none */
	const struct fl_filter *local;  /* TALKS: records whose source is the end that is asked about */
	int order;                      /* enum fl_metric, or FL_METRICS: the question's */
	uint64_t limit;                 /* UINT64_MAX: the question's; 0: all */
	uint64_t bucket;                /* seconds: of FL_KEY_TIME */
	uint64_t since_first;           /* TALKS: only pairs whose first record starts then or later */
	uint64_t memory;
	const char *tmp;
};

struct fl_answer_column {
	const char *name;
	enum fl_show show;
};
struct fl_cell {
	bool null, v6;
	enum fl_show show;
	union {
		uint64_t number;
		struct fl_addr addr;
		struct fl_str text;
	};
};

struct fl_answer;
int fl_ask(struct fl_answer **ret, const struct fl_question *q, const struct fl_ask_conf *conf);
void fl_answer_free(struct fl_answer **a);
size_t fl_answer_columns(const struct fl_answer *a, const struct fl_answer_column **ret);
size_t fl_answer_rows(const struct fl_answer *a);
void fl_answer_cell(const struct fl_answer *a, size_t row, size_t column, struct fl_cell *ret);
uint64_t fl_answer_groups(const struct fl_answer *a); /* before limit */
uint64_t fl_answer_spilled(const struct fl_answer *a);
/* Whether any record had the field: false also when there was no record. */
bool fl_answer_saw(const struct fl_answer *a, enum fl_need need);
bool fl_answer_uses(const struct fl_answer *a, enum fl_need need); /* a key or a measure comes from the field */
const struct fl_odd_times *fl_answer_odd_times(const struct fl_answer *a);
const struct fl_scan_report *fl_answer_report(const struct fl_answer *a);
size_t fl_answer_faults(const struct fl_answer *a);
const char *fl_answer_fault(const struct fl_answer *a, size_t i); /* the first FL_SCAN_FAULTS */

/* When the records are that there are, from footers, journals and names; only where those tell nothing they are read.
 */
struct fl_held {
	bool any;             /* records: first > last: without times */
	uint64_t first, last; /* start, end */
	uint64_t by_names;    /* files of which only the name is known: the span is not exact */
};
int fl_ask_held(const struct fl_scan_conf *scan, struct fl_held *ret);

/* Fields without which no record can pass the question's filter and the user's, and which no source has, joined by
 * ", "; nothing: there are none. */
int fl_ask_missing(const struct fl_scan_conf *scan, const struct fl_question *q, const struct fl_filter *user,
		   struct fl_buf *ret);

/* The end of the newest record, as cheaply as the sources allow, of the future only where there is no other; 0: there
 * is none. */
int fl_ask_newest(const struct fl_scan_conf *scan, uint64_t *ret);

/* ---- one page about an archive ---- */

#define FL_SUMMARY_GAPS 20
#define FL_SUMMARY_GAP_S 1200 /* windows are of 10 minutes at most: two of them without a record are a gap */
#define FL_SUMMARY_LIST 20
struct fl_summary {
	uint64_t first, last, flows, packets, bytes; /* first > last: no records */
	uint64_t ok, nodata, skipdata, accepted, rejected;
	uint64_t interfaces, silent;            /* without any flow; */
	uint64_t without_rejects;               /* with flows and no REJECT */
	struct fl_buf names_without_rejects;    /* the first FL_SUMMARY_LIST, joined by ", " */
	struct fl_buf versions, accounts, vpcs; /* with their flows */
	uint64_t n_accounts, n_vpcs;
	struct {
		uint64_t from, to;
	} gap[FL_SUMMARY_GAPS];
	size_t gaps; /* of all */
	uint64_t busy_minutes;
	bool saw[FL_NEEDS];
	struct fl_scan_report report;
	struct fl_odd_times odd;
	struct fl_buf faults; /* sentences, a line each */
};
int fl_ask_summary(struct fl_summary *ret, const struct fl_ask_conf *conf);
void fl_summary_free(struct fl_summary *s);
