/* SPDX-License-Identifier: Apache-2.0 */
#include "query/ask.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/error.h"
#include "base/file.h"
#include "query/pass.h"
#include "scan/words.h"

/* ---- the table ---- */

/* Names as questions.def has them. */
enum {
	SRC = FL_KEY_SRC,
	DST = FL_KEY_DST,
	PROTOCOL = FL_KEY_PROTOCOL,
	DPORT = FL_KEY_DPORT,
	SERVER = FL_KEY_SERVER,
	SERVER_PORT = FL_KEY_SERVER_PORT,
	ENI = FL_KEY_ENI,
	TIME = FL_KEY_TIME,
	FLOWS = FL_METRIC_FLOWS,
	PACKETS = FL_METRIC_PACKETS,
	BYTES = FL_METRIC_BYTES,
	FIRST = FL_METRIC_FIRST,
	LAST = FL_METRIC_LAST,
	REJECTED = FL_METRIC_REJECTED,
	SOURCES = FL_METRIC_SOURCES,
	DESTINATIONS = FL_METRIC_DESTINATIONS,
	PORTS = FL_METRIC_PORTS,
	CLIENTS = FL_METRIC_CLIENTS,
	ORDER_BYTES = FL_METRIC_BYTES,
	ORDER_FLOWS = FL_METRIC_FLOWS,
	ORDER_PORTS = FL_METRIC_PORTS,
	ORDER_DESTINATIONS = FL_METRIC_DESTINATIONS,
	ORDER_CLIENTS = FL_METRIC_CLIENTS,
	ORDER_TIME = FL_ORDER_TIME,
};
#define LIST(...) {__VA_ARGS__}, sizeof((uint8_t[]){__VA_ARGS__})
#define KEYS LIST
#define METRICS LIST
static const struct fl_question questions[] = {
#define FL_QUESTION(command, name, filter, keys, metrics, order, limit, pipe, help)                                    \
	{#command, #name, filter, keys, metrics, ORDER_##order, limit, FL_PIPE_##pipe, help},
#include "query/questions.def"
#undef FL_QUESTION
};
#undef KEYS
#undef METRICS
#undef LIST

const struct fl_question *fl_question_find(const char *command, const char *name)
{
	for (size_t i = 0; i < FL_ARRAY_LEN(questions); i++)
		if (!strcmp(questions[i].command, command) && (!name || !strcmp(questions[i].name, name)))
			return &questions[i];
	return NULL;
}

/* ---- asking ---- */

#define STAGES 3

struct fl_answer {
	const struct fl_question *question;
	const struct fl_pipe_def *pipe; /* NULL: plain */
	struct fl_stage stage[STAGES];
	size_t n_stages;
	struct fl_filter *filter; /* the question's and the user's */
	struct fl_answer_column column[FL_GROUP_KEYS + FL_GROUP_MEASURES];
	size_t n_columns;
	struct fl_passed passed;
	size_t first; /* measure of the last stage */
	uint64_t since_first;
};

void fl_answer_free(struct fl_answer **a)
{
	if (!*a)
		return;
	for (size_t i = 0; i < STAGES; i++)
		fl_stage_free(&(*a)->stage[i]);
	fl_filter_free(&(*a)->filter);
	fl_passed_free(&(*a)->passed);
	free(*a);
	*a = NULL;
}

static bool is_new(void *ctx, const uint64_t *measures)
{
	const struct fl_answer *a = ctx;

	return measures[a->first] >= a->since_first;
}

/* The question's and the user's. */
static int whole_filter(struct fl_filter **ret, const struct fl_question *q, const struct fl_filter *user)
{
	struct fl_filter *own = NULL;
	int r = fl_words_parse(ret, q->filter, NULL);

	if (r || !user)
		return r;
	r = fl_filter_copy(&own, user);
	return r ? r : fl_filter_and(ret, *ret, own);
}

/* Groupings of records, then of what comes out of them; the last has order and limit. */
static void describe(const struct fl_answer *a, const struct fl_ask_conf *conf, size_t stage, struct fl_group_conf *c)
{
	const struct fl_question *q = a->question;
	const struct fl_pipe_def *p = a->pipe;
	const uint8_t *key = p ? p->key : q->key, *metric = p ? p->metric : q->metric;

	if (stage && p) {
		c->n_keys = p->stage[stage - 1].n_keys;
		c->n_measures = p->stage[stage - 1].n_measures;
		memcpy(c->key, p->stage[stage - 1].key, sizeof c->key);
		for (size_t i = 0; i < c->n_measures; i++)
			c->measure[i].kind = p->stage[stage - 1].kind[i];
	} else {
		c->n_keys = p ? p->n_keys : q->n_keys;
		c->n_measures = p ? p->n_metrics : q->n_metrics;
		for (size_t i = 0; i < c->n_keys; i++)
			c->key[i] = fl_key_def((enum fl_key_name)key[i])->type;
		for (size_t i = 0; i < c->n_measures; i++) {
			const struct fl_metric_def *m = fl_metric_def((enum fl_metric)metric[i]);

			c->measure[i] = (struct fl_group_measure){m->kind, m->type};
		}
	}
	c->order = FL_GROUP_BY_KEYS;
	if (stage + 1 < a->n_stages)
		return;
	c->limit = conf->limit == UINT64_MAX ? q->limit : conf->limit;
	if (p) {
		c->order = p->order;
	} else {
		int order = conf->order == FL_METRICS ? q->order : conf->order;

		for (size_t i = 0; i < q->n_metrics; i++)
			if (order == q->metric[i])
				c->order = (int)i;
	}
}

static int make_stages(struct fl_answer *a, const struct fl_ask_conf *conf, unsigned threads)
{
	int r = 0;

	/* The last first: each hands over to the one behind it. */
	for (size_t i = a->n_stages; i-- > 0 && !r;) {
		struct fl_group_conf c = {.memory = conf->memory / a->n_stages, .tmp = conf->tmp, .threads = threads};

		describe(a, conf, i, &c);
		if (i + 1 < a->n_stages) {
			a->stage[i].next = &a->stage[i + 1];
			a->stage[i].map = a->pipe->stage[i].map;
		} else if (conf->since_first) {
			a->first = a->pipe ? a->pipe->first : 0;
			a->since_first = conf->since_first;
			c.keep = is_new;
			c.ctx = a;
		}
		r = fl_stage_make(&a->stage[i], &c);
	}
	return r;
}

static void name_columns(struct fl_answer *a)
{
	const struct fl_question *q = a->question;

	if (a->pipe) {
		memcpy(a->column, a->pipe->column, a->pipe->n_columns * sizeof a->column[0]);
		a->n_columns = a->pipe->n_columns;
		return;
	}
	for (size_t i = 0; i < q->n_keys; i++) {
		const struct fl_key_def *d = fl_key_def((enum fl_key_name)q->key[i]);

		a->column[a->n_columns++] = (struct fl_answer_column){d->name, d->show};
	}
	for (size_t i = 0; i < q->n_metrics; i++) {
		const struct fl_metric_def *d = fl_metric_def((enum fl_metric)q->metric[i]);

		a->column[a->n_columns++] = (struct fl_answer_column){d->name, d->show};
	}
}

int fl_ask(struct fl_answer **ret, const struct fl_question *q, const struct fl_ask_conf *conf)
{
	struct fl_answer *a FL_CLEANUP(fl_answer_free) = calloc(1, sizeof *a);
	struct fl_scan *scan FL_CLEANUP(fl_scan_close) = NULL;
	struct fl_pass_conf pass = {.scan = conf->scan, .local = conf->local, .bucket = conf->bucket, .n_jobs = 1};
	struct fl_pass_job *job = &pass.job[0];
	unsigned threads;
	int r;

	*ret = NULL;
	if (!a)
		return -ENOMEM;
	a->question = q;
	a->pipe = fl_pipe_def(q->pipe);
	a->n_stages = a->pipe ? 1 + a->pipe->n_stages : 1;
	name_columns(a);
	r = whole_filter(&a->filter, q, conf->filter);
	pass.filter = a->filter;
	job->stage = &a->stage[0];
	job->n_keys = a->pipe ? a->pipe->n_keys : q->n_keys;
	job->n_metrics = a->pipe ? a->pipe->n_metrics : q->n_metrics;
	memcpy(job->key, a->pipe ? a->pipe->key : q->key, sizeof job->key);
	memcpy(job->metric, a->pipe ? a->pipe->metric : q->metric, sizeof job->metric);
	r = r ? r : fl_pass_open(&scan, &pass, &threads);
	r = r ? r : make_stages(a, conf, threads);
	r = r ? r : fl_pass_run(scan, &pass, threads, &a->passed);
	if (r)
		return r;
	*ret = a;
	a = NULL;
	return 0;
}

/* ---- the answer ---- */

static const struct fl_groups *last(const struct fl_answer *a)
{
	return a->stage[a->n_stages - 1].groups;
}

size_t fl_answer_columns(const struct fl_answer *a, const struct fl_answer_column **ret)
{
	*ret = a->column;
	return a->n_columns;
}

size_t fl_answer_rows(const struct fl_answer *a)
{
	return fl_groups_rows(last(a));
}

uint64_t fl_answer_groups(const struct fl_answer *a)
{
	return fl_groups_count(last(a));
}

uint64_t fl_answer_spilled(const struct fl_answer *a)
{
	uint64_t bytes = 0;

	for (size_t i = 0; i < a->n_stages; i++)
		bytes += fl_groups_spilled(a->stage[i].groups);
	return bytes;
}

bool fl_answer_saw(const struct fl_answer *a, enum fl_need need)
{
	return a->passed.saw[need];
}

bool fl_answer_uses(const struct fl_answer *a, enum fl_need need)
{
	const uint8_t *key = a->pipe ? a->pipe->key : a->question->key;
	const uint8_t *metric = a->pipe ? a->pipe->metric : a->question->metric;
	size_t n_keys = a->pipe ? a->pipe->n_keys : a->question->n_keys;
	size_t n_metrics = a->pipe ? a->pipe->n_metrics : a->question->n_metrics;
	unsigned needs = 0;

	for (size_t i = 0; i < n_keys; i++)
		needs |= fl_key_def((enum fl_key_name)key[i])->needs;
	for (size_t i = 0; i < n_metrics; i++)
		needs |= fl_metric_def((enum fl_metric)metric[i])->needs;
	return needs >> need & 1;
}

const struct fl_odd_times *fl_answer_odd_times(const struct fl_answer *a)
{
	return &a->passed.odd;
}

const struct fl_scan_report *fl_answer_report(const struct fl_answer *a)
{
	return &a->passed.report;
}

size_t fl_answer_faults(const struct fl_answer *a)
{
	return a->passed.faults;
}

const char *fl_answer_fault(const struct fl_answer *a, size_t i)
{
	return i < FL_SCAN_FAULTS && a->passed.fault[i] ? a->passed.fault[i] : "";
}

void fl_answer_cell(const struct fl_answer *a, size_t row, size_t column, struct fl_cell *ret)
{
	const struct fl_groups *g = last(a);
	struct fl_group_value v;

	*ret = (struct fl_cell){.show = a->column[column].show};
	if (a->pipe) {
		a->pipe->cell(g, row, column, ret);
		return;
	}
	if (column >= a->question->n_keys) {
		ret->number = fl_groups_measures(g, row)[column - a->question->n_keys];
		/* the least and the most of nothing */
		ret->null = ret->number == UINT64_MAX || (!ret->number && ret->show == FL_SHOW_TIME);
		return;
	}
	fl_groups_key(g, row, column, &v);
	ret->null = v.null;
	ret->v6 = v.v6;
	if (ret->show == FL_SHOW_ADDR)
		ret->addr = v.addr;
	else if (ret->show == FL_SHOW_TEXT)
		ret->text = v.text;
	else
		ret->number = v.u64;
}

/* ---- spans ---- */

static int span(const struct fl_scan_conf *scan_conf, const struct fl_filter *filter, uint64_t *ret_first,
		uint64_t *ret_last, uint64_t *ret_records, struct fl_scan_report *ret_report)
{
	struct fl_scan *scan FL_CLEANUP(fl_scan_close) = NULL;
	struct fl_stage stage = {0};
	struct fl_passed passed = {0};
	struct fl_pass_conf pass = {
	    .scan = *scan_conf,
	    .filter = filter,
	    .n_jobs = 1,
	    .job = {{.metric = {FL_METRIC_FIRST, FL_METRIC_LAST, FL_METRIC_FLOWS}, .n_metrics = 3, .stage = &stage}}};
	struct fl_group_conf c = {
	    .measure = {{.kind = FL_MEASURE_MIN}, {.kind = FL_MEASURE_MAX}, {.kind = FL_MEASURE_COUNT}},
	    .n_measures = 3,
	    .order = FL_GROUP_BY_KEYS,
	    .memory = 1 << 20,
	    .tmp = fl_temp_dir()};
	int r = fl_pass_open(&scan, &pass, &c.threads);

	r = r ? r : fl_stage_make(&stage, &c);
	r = r ? r : fl_pass_run(scan, &pass, c.threads, &passed);
	*ret_first = UINT64_MAX;
	*ret_last = *ret_records = 0;
	if (!r && fl_groups_rows(stage.groups)) {
		const uint64_t *m = fl_groups_measures(stage.groups, 0);

		*ret_first = m[0];
		*ret_last = m[1];
		*ret_records = m[2];
	}
	*ret_report = passed.report;
	fl_stage_free(&stage);
	fl_passed_free(&passed);
	return r;
}

static int span_of(const struct fl_scan_conf *conf, enum fl_untold untold, struct fl_held *ret)
{
	struct fl_scan_conf scan = *conf;
	struct fl_scan_report report;
	uint64_t records;
	int r;

	scan.untold = untold;
	r = span(&scan, NULL, &ret->first, &ret->last, &records, &report);
	if (r)
		return r;
	if (report.told_first) {
		ret->first = FL_MIN(ret->first, (uint64_t)report.told_first);
		ret->last = FL_MAX(ret->last, (uint64_t)report.told_last);
	}
	ret->any = records || report.told_first;
	ret->by_names = report.told_by_names;
	return 0;
}

int fl_ask_held(const struct fl_scan_conf *conf, struct fl_held *ret)
{
	return span_of(conf, FL_UNTOLD, ret);
}

#define FIELDS_MISSED 64

struct missed {
	const char *column[FIELDS_MISSED];
	size_t n, only; /* only: n, or the one that is looked at */
};

static struct fl_column_range missed_range(void *ctx, const char *column)
{
	const struct missed *m = ctx;

	for (size_t i = 0; i < m->n; i++)
		if ((m->only == m->n || m->only == i) && !strcmp(m->column[i], column))
			return (struct fl_column_range){.known = true, .may_be_null = true, .all_null = true};
	return (struct fl_column_range){0};
}

/* Fields that the filter looks at and no source has. */
static void find_missed(struct missed *m, const struct fl_filter *f, const struct fl_column_def *def, size_t columns)
{
	const char *asked[FL_BATCH_COLUMNS];
	size_t n = fl_filter_columns(f, asked);

	for (size_t i = 0; i < n && m->n < FIELDS_MISSED; i++) {
		bool found = false;

		for (size_t k = 0; k < columns && !found; k++)
			found = fl_column_is_named(&def[k], asked[i]);
		if (!found)
			m->column[m->n++] = asked[i];
	}
	m->only = m->n;
}

int fl_ask_missing(const struct fl_scan_conf *conf, const struct fl_question *q, const struct fl_filter *user,
		   struct fl_buf *ret)
{
	struct fl_scan *scan FL_CLEANUP(fl_scan_close) = NULL;
	struct fl_filter *f FL_CLEANUP(fl_filter_free) = NULL;
	const struct fl_column_def *def;
	size_t columns = 0, fields = 0;
	struct missed m = {0};
	int r = fl_scan_open(&scan, conf, NULL);

	r = r ? r : fl_scan_columns(scan, &def, &columns);
	r = r ? r : whole_filter(&f, q, user);
	if (r)
		return r;
	for (size_t i = 0; i < columns; i++)
		fields += def[i].own == FL_OWN_NONE;
	if (!fields)
		return 0;
	find_missed(&m, f, def, columns);
	/* Whether any record could pass without them. */
	if (!m.n || fl_filter_may_pass(f, missed_range, NULL, &m))
		return 0;
	for (size_t i = 0; i < m.n && !r; i++) {
		struct fl_column_def column;

		m.only = i;
		if (fl_filter_may_pass(f, missed_range, NULL, &m))
			continue;
		fl_column_find(m.column[i], &column);
		r = fl_buf_printf(ret, "%s%s", ret->len ? ", " : "", fl_column_title(&column));
	}
	return r || ret->len ? r : fl_buf_adds(ret, "several of the filter");
}

static int find_newest(const struct fl_scan_conf *conf, uint64_t *ret)
{
	struct fl_scan *scan FL_CLEANUP(fl_scan_close) = NULL;
	struct fl_filter *f FL_CLEANUP(fl_filter_free) = NULL;
	struct fl_scan_report report = {0};
	uint64_t first, records;
	struct fl_held held;
	int r = fl_scan_open(&scan, conf, NULL);

	if (r)
		return r;
	fl_scan_report(scan, &report);
	/* Names of objects tell when they began: only the newest are read. */
	if (report.held_last > 0) {
		r = fl_filter_number(&f, "end", FL_OP_GE, (uint64_t)report.held_last);
		r = r ? r : span(conf, f, &first, ret, &records, &report);
		if (r || records)
			return r;
	}
	r = span_of(conf, FL_UNTOLD_EXACTLY, &held);
	*ret = held.last;
	return r;
}

/* One record of a wrong clock (milliseconds, say) must not be what all others are too old for. */
int fl_ask_newest(const struct fl_scan_conf *conf, uint64_t *ret)
{
	struct fl_filter *f FL_CLEANUP(fl_filter_free) = NULL;
	struct fl_scan_report report;
	uint64_t first, before, records, tomorrow = (uint64_t)time(NULL) + 86400;
	int r = find_newest(conf, ret);

	if (r || *ret <= tomorrow)
		return r;
	r = fl_filter_number(&f, "end", FL_OP_LE, tomorrow);
	r = r ? r : span(conf, f, &first, &before, &records, &report);
	if (!r && records && before)
		*ret = before;
	return r;
}
