/* SPDX-License-Identifier: Apache-2.0 */
/* Inside "query": one pass over sources that feeds groupings, and groupings that feed others. */
#pragma once

#include "query/ask.h"

#define FL_PASS_JOBS 8

/* A grouping of what comes from records (keys and metrics) or from the grouping before it (map). */
struct fl_stage {
	struct fl_groups *groups;
	struct fl_stage *next;
	/* A group of this stage as a row of the next: 1 with key and measure filled in, 0 to leave it out. */
	int (*map)(const struct fl_groups *g, const char *row, struct fl_group_value *key, uint64_t *measure);
	struct fl_stage_feed *feed[FL_GROUP_THREADS]; /* of the next stage, by thread */
};

struct fl_pass_job {
	uint8_t key[FL_GROUP_KEYS], n_keys;
	uint8_t metric[FL_GROUP_MEASURES], n_metrics;
	struct fl_stage *stage;
};

struct fl_pass_conf {
	struct fl_scan_conf scan;
	const struct fl_filter *filter;
	const struct fl_filter *local;
	uint64_t bucket;
	struct fl_pass_job job[FL_PASS_JOBS];
	size_t n_jobs;
};

struct fl_passed {
	bool saw[FL_NEEDS];
	struct fl_scan_report report;
	char *fault[FL_SCAN_FAULTS];
	size_t faults;
	struct fl_odd_times odd;
};
void fl_passed_free(struct fl_passed *p);

/* fn for every batch, by several threads, each with its number; the first failure ends all. */
typedef int (*fl_batch_fn)(void *ctx, unsigned thread, const struct fl_scan_reader *reader, const struct fl_batch *b);
int fl_pass_batches(struct fl_scan *scan, unsigned threads, fl_batch_fn fn, void *ctx);

/* Opens the sources; *ret_threads is for the groupings' conf. Then runs the pass, which ends it. */
int fl_pass_open(struct fl_scan **ret, const struct fl_pass_conf *conf, unsigned *ret_threads);
int fl_pass_run(struct fl_scan *scan, const struct fl_pass_conf *conf, unsigned threads, struct fl_passed *ret);

/* stage->groups with conf, whose emit and ctx are set here when there is a next stage (made before this one). */
int fl_stage_make(struct fl_stage *s, struct fl_group_conf *conf);
void fl_stage_free(struct fl_stage *s);
int fl_stage_finish(struct fl_stage *s); /* and those behind it */

/* ---- pipes.c ---- */

struct fl_pipe_def {
	uint8_t key[FL_GROUP_KEYS], n_keys;
	uint8_t metric[FL_GROUP_MEASURES], n_metrics;
	size_t n_stages; /* behind that of the records */
	struct {
		int (*map)(const struct fl_groups *g, const char *row, struct fl_group_value *key, uint64_t *measure);
		enum fl_group_type key[FL_GROUP_KEYS];
		size_t n_keys;
		enum fl_measure_kind kind[FL_GROUP_MEASURES];
		size_t n_measures;
	} stage[2];
	const struct fl_answer_column *column;
	size_t n_columns;
	int order;    /* measure of the last stage */
	size_t first; /* measure of the last stage: when it began */
	void (*cell)(const struct fl_groups *g, size_t row, size_t column, struct fl_cell *ret);
};
const struct fl_pipe_def *fl_pipe_def(enum fl_pipe p); /* NULL: PLAIN */
