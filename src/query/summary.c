/* SPDX-License-Identifier: Apache-2.0 */
/* One page about an archive: several groupings of one pass. */
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "query/group_table.h"
#include "query/pass.h"

#define TEXT_MAX (1u << 20)

enum job { BY_INTERFACE, BY_VERSION, BY_ACCOUNT, BY_VPC, BY_MINUTE, JOBS };
static const struct {
	uint8_t key;
	uint8_t metric[12];
	size_t n_metrics;
	int order; /* metric, or by the keys */
} jobs[JOBS] = {
    [BY_INTERFACE] = {FL_KEY_ENI,
		      {FL_METRIC_FLOWS, FL_METRIC_OK, FL_METRIC_NODATA, FL_METRIC_SKIPDATA, FL_METRIC_ACCEPTED,
		       FL_METRIC_REJECTED, FL_METRIC_PACKETS, FL_METRIC_BYTES, FL_METRIC_FIRST, FL_METRIC_LAST},
		      10,
		      FL_GROUP_BY_KEYS},
    [BY_VERSION] = {FL_KEY_VERSION, {FL_METRIC_FLOWS}, 1, 0},
    [BY_ACCOUNT] = {FL_KEY_ACCOUNT, {FL_METRIC_FLOWS}, 1, 0},
    [BY_VPC] = {FL_KEY_VPC, {FL_METRIC_FLOWS}, 1, 0},
    [BY_MINUTE] = {FL_KEY_TIME, {FL_METRIC_LAST}, 1, FL_GROUP_BY_KEYS},
};
enum { M_RECORDS, M_OK, M_NODATA, M_SKIPDATA, M_ACCEPTED, M_REJECTED, M_PACKETS, M_BYTES, M_FIRST, M_LAST };

void fl_summary_free(struct fl_summary *s)
{
	fl_buf_free(&s->names_without_rejects);
	fl_buf_free(&s->versions);
	fl_buf_free(&s->accounts);
	fl_buf_free(&s->vpcs);
	fl_buf_free(&s->faults);
}

static int add_name(struct fl_buf *to, const struct fl_group_value *v)
{
	return fl_buf_printf(to, "%s%.*s", to->len ? ", " : "", (int)FL_MIN(v->text.n, (size_t)256),
			     v->text.p ? v->text.p : "");
}

static int add_interfaces(struct fl_summary *s, const struct fl_groups *g)
{
	int r = 0;

	s->first = UINT64_MAX;
	for (size_t i = 0; i < fl_groups_rows(g) && !r; i++) {
		const uint64_t *m = fl_groups_measures(g, i);
		/* Without log-status every record is of a flow. */
		uint64_t flows = m[M_RECORDS] - m[M_NODATA] - m[M_SKIPDATA];
		struct fl_group_value name;

		fl_groups_key(g, i, 0, &name);
		s->flows += flows;
		s->ok += m[M_OK];
		s->nodata += m[M_NODATA];
		s->skipdata += m[M_SKIPDATA];
		s->accepted += m[M_ACCEPTED];
		s->rejected += m[M_REJECTED];
		s->packets = fl_group_add_u64(s->packets, m[M_PACKETS]);
		s->bytes = fl_group_add_u64(s->bytes, m[M_BYTES]);
		s->first = FL_MIN(s->first, m[M_FIRST]);
		s->last = FL_MAX(s->last, m[M_LAST]);
		if (name.null)
			continue;
		s->interfaces++;
		s->silent += !flows;
		if (!flows || m[M_REJECTED])
			continue;
		if (s->without_rejects++ < FL_SUMMARY_LIST)
			r = add_name(&s->names_without_rejects, &name);
	}
	return r;
}

/* Values with their records, the most frequent first. */
static int add_values(struct fl_buf *to, const struct fl_groups *g, bool text, uint64_t *ret_n)
{
	uint64_t n = 0;
	int r = 0;

	for (size_t i = 0; i < fl_groups_rows(g) && !r; i++) {
		struct fl_group_value v;
		unsigned long long flows = fl_groups_measures(g, i)[0];

		fl_groups_key(g, i, 0, &v);
		if (v.null || n++ >= FL_SUMMARY_LIST)
			continue;
		r = text ? add_name(to, &v)
			 : fl_buf_printf(to, "%s%llu", to->len ? ", " : "", (unsigned long long)v.u64);
		r = r ? r : fl_buf_printf(to, " (%llu)", flows);
	}
	if (ret_n)
		*ret_n = n;
	return r;
}

static void add_gaps(struct fl_summary *s, const struct fl_groups *g)
{
	uint64_t until = 0;

	for (size_t i = 0; i < fl_groups_rows(g); i++) {
		struct fl_group_value v;
		uint64_t end = fl_groups_measures(g, i)[0];

		fl_groups_key(g, i, 0, &v);
		if (v.null)
			continue;
		s->busy_minutes++;
		if (until && v.u64 > until + FL_SUMMARY_GAP_S) {
			if (s->gaps < FL_SUMMARY_GAPS) {
				s->gap[s->gaps].from = until;
				s->gap[s->gaps].to = v.u64;
			}
			s->gaps++;
		}
		/* A record of the far future would hide every gap behind it. */
		if (end != UINT64_MAX && end <= v.u64 + 2 * FL_SUMMARY_GAP_S)
			until = FL_MAX(until, end);
		until = FL_MAX(until, v.u64 + 60);
	}
}

static int collect(struct fl_summary *s, struct fl_stage *stage, struct fl_passed *passed)
{
	int r = add_interfaces(s, stage[BY_INTERFACE].groups);

	r = r ? r : add_values(&s->versions, stage[BY_VERSION].groups, false, NULL);
	r = r ? r : add_values(&s->accounts, stage[BY_ACCOUNT].groups, true, &s->n_accounts);
	r = r ? r : add_values(&s->vpcs, stage[BY_VPC].groups, true, &s->n_vpcs);
	add_gaps(s, stage[BY_MINUTE].groups);
	memcpy(s->saw, passed->saw, sizeof s->saw);
	s->report = passed->report;
	s->odd = passed->odd;
	for (size_t i = 0; i < FL_MIN(passed->faults, (size_t)FL_SCAN_FAULTS) && !r; i++)
		r = fl_buf_printf(&s->faults, "%s\n", passed->fault[i] ? passed->fault[i] : "");
	if (!r && passed->faults > FL_SCAN_FAULTS)
		r = fl_buf_printf(&s->faults, "and %zu more\n", passed->faults - FL_SCAN_FAULTS);
	return r;
}

static int make_jobs(struct fl_pass_conf *pass, struct fl_stage *stage, const struct fl_ask_conf *conf,
		     unsigned threads)
{
	int r = 0;

	for (size_t i = 0; i < JOBS && !r; i++) {
		struct fl_group_conf c = {.key = {fl_key_def((enum fl_key_name)jobs[i].key)->type},
					  .n_keys = 1,
					  .n_measures = jobs[i].n_metrics,
					  .order = jobs[i].order,
					  .memory = conf->memory / JOBS,
					  .tmp = conf->tmp,
					  .threads = threads};

		for (size_t m = 0; m < jobs[i].n_metrics; m++)
			c.measure[m].kind = fl_metric_def((enum fl_metric)jobs[i].metric[m])->kind;
		r = fl_stage_make(&stage[i], &c);
		pass->job[i] = (struct fl_pass_job){
		    .key = {jobs[i].key}, .n_keys = 1, .n_metrics = jobs[i].n_metrics, .stage = &stage[i]};
		memcpy(pass->job[i].metric, jobs[i].metric, sizeof jobs[i].metric);
	}
	return r;
}

int fl_ask_summary(struct fl_summary *ret, const struct fl_ask_conf *conf)
{
	struct fl_scan *scan FL_CLEANUP(fl_scan_close) = NULL;
	struct fl_stage stage[JOBS] = {0};
	struct fl_passed passed = {0};
	struct fl_pass_conf pass = {.scan = conf->scan, .filter = conf->filter, .bucket = 60, .n_jobs = JOBS};
	unsigned threads;
	int r = fl_pass_open(&scan, &pass, &threads);

	*ret = (struct fl_summary){.names_without_rejects = FL_BUF(TEXT_MAX),
				   .versions = FL_BUF(TEXT_MAX),
				   .accounts = FL_BUF(TEXT_MAX),
				   .vpcs = FL_BUF(TEXT_MAX),
				   .faults = FL_BUF(TEXT_MAX)};
	r = r ? r : make_jobs(&pass, stage, conf, threads);
	r = r ? r : fl_pass_run(scan, &pass, threads, &passed);
	r = r ? r : collect(ret, stage, &passed);
	for (size_t i = 0; i < JOBS; i++)
		fl_stage_free(&stage[i]);
	fl_passed_free(&passed);
	return r;
}
