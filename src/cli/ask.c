/* SPDX-License-Identifier: Apache-2.0 */
/* The way of a ready question: filter, pass, answer, and what has to be said beside it. */
#include "cli/ask.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "base/units.h"
#include "cli/answer.h"
#include "query/ask.h"

struct ask {
	const char *command;
	const struct fl_ask_options *o;
	struct fl_where_conf where;
	const struct fl_question *question; /* NULL: summary */
	struct fl_names *names;
	struct fl_filter *filter, *local;
	const char *other; /* the second operand of talks; NULL: none */
	struct fl_ask_conf conf;
	enum fl_answer_form form;
	struct fl_buf provenance;
	size_t unread; /* inputs without a digest */
};

#define PROVENANCE_MAX (512u << 20)

uint64_t fl_ask_memory(void)
{
	uint64_t bytes = (uint64_t)FL_MAX(sysconf(_SC_PHYS_PAGES), 0) * (uint64_t)sysconf(_SC_PAGESIZE) / 4;

	return FL_MAX(bytes, UINT64_C(1) << 30);
}

/* ---- what is asked ---- */

static bool is_source(const char *text)
{
	struct stat st;

	return !strcmp(text, "-") || !strncmp(text, "s3://", 5) || !stat(text, &st);
}

static int one_end(struct fl_filter **ret, const char *side, const char *who, const struct ask *a)
{
	int r = fl_words_condition(ret, side, who, fl_names_words(a->names));

	return r == -EINVAL ? fl_fail(r, "%s is neither an address, a network nor a name that the inventory has%s", who,
				      who == a->other ? ", and there is no such file" : "")
			    : r;
}

static int from_to(struct fl_filter **ret, const char *from, const char *to, const struct ask *a)
{
	struct fl_filter *f = NULL, *g = NULL;
	int r = one_end(&f, "src net", from, a);

	r = r ? r : one_end(&g, "dst net", to, a);
	if (r) {
		fl_filter_free(&f);
		return r;
	}
	return fl_filter_and(ret, f, g);
}

/* talks A [B]: between the two in either direction, or whatever has A at one end. Takes operands off argv. */
static int talks_filter(struct ask *a, int *argc, char ***argv)
{
	struct fl_filter *f = NULL, *g = NULL;
	const char *one;
	int r;

	if (!*argc)
		return fl_fail(
		    -EINVAL,
		    "whose talks? name an address, a network or a name: flowlog talks 10.0.0.1 [PEER] [SOURCE]...");
	one = (*argv)[0];
	a->other = *argc > 1 && !is_source((*argv)[1]) ? (*argv)[1] : NULL;
	*argc -= a->other ? 2 : 1;
	*argv += a->other ? 2 : 1;
	r = one_end(&a->local, "src net", one, a);
	if (r)
		return r;
	if (!a->other) {
		r = one_end(&f, "net", one, a);
	} else {
		r = from_to(&f, one, a->other, a);
		r = r ? r : from_to(&g, a->other, one, a);
		r = r ? r : fl_filter_or(&f, f, g);
	}
	if (r) {
		fl_filter_free(&f);
		return r;
	}
	return fl_filter_and(&a->filter, a->filter, f);
}

static int new_since(struct ask *a)
{
	int64_t newest = 0, at;
	int r;

	if (!a->o->begun)
		return 0;
	r = fl_where_time("--new", a->o->begun, &a->where, &a->conf.scan, &newest, &at);
	a->conf.since_first = at > 0 ? (uint64_t)at : 1;
	return r;
}

/* What options cannot be together, or not at all. */
static int check(const struct fl_ask_options *o, enum fl_answer_form form)
{
	if (o->every_ns % (60 * FL_NS_PER_S))
		return fl_fail(-EINVAL, "--every: rows are whole minutes: 1m, 5m, 1h, 1d");
	if (o->provenance && form != FL_ANSWER_CSV && form != FL_ANSWER_JSON)
		return fl_fail(-EINVAL, "--provenance is a line before csv or json: add -o json");
	return 0;
}

static int prepare(struct ask *a, int argc, char **argv)
{
	static const enum fl_metric by[] = {FL_METRICS, FL_METRIC_BYTES, FL_METRIC_PACKETS, FL_METRIC_FLOWS};
	const struct fl_ask_options *o = a->o;
	bool talks = a->question && a->question->pipe == FL_PIPE_TALKS;
	int r;

	a->form = (enum fl_answer_form)o->output;
	r = check(o, a->form);
	r = r ? r : fl_names_new(&a->names, o->where.inventory, o->source.store);
	a->conf = (struct fl_ask_conf){.order = (int)by[o->by],
				       .limit = o->all     ? 0
						: o->limit ? o->limit
							   : UINT64_MAX,
				       .bucket = 60,
				       .memory = o->memory ? FL_MAX(o->memory, UINT64_C(1) << 20) : fl_ask_memory(),
				       .tmp = fl_temp_dir()};
	if (!r && talks)
		r = talks_filter(a, &argc, &argv);
	argv[argc] = NULL; /* argv has room for it */
	if (!r)
		r = fl_source_scan(&o->source, argv, &a->conf.scan);
	a->where = o->where;
	a->where.store = o->source.store;
	if (!r) {
		struct fl_filter *f = NULL;

		r = fl_where_filter(&f, &a->where, a->names, &a->conf.scan);
		r = r ? r : fl_filter_and(&a->filter, a->filter, f);
	}
	r = r ? r : new_since(a);
	a->conf.filter = a->filter;
	a->conf.local = a->local;
	return r;
}

/* ---- what is said beside the answer ---- */

static int tell_faults(const struct ask *a, const struct fl_answer *answer)
{
	size_t n = fl_answer_faults(answer);

	for (size_t i = 0; i < FL_MIN(n, (size_t)FL_SCAN_FAULTS); i++)
		fprintf(stderr, "flowlog %s: %s\n", a->command, fl_answer_fault(answer, i));
	if (n > FL_SCAN_FAULTS)
		fprintf(stderr, "flowlog %s: and %zu more faults\n", a->command, n - FL_SCAN_FAULTS);
	return fl_source_tell_report(a->command, fl_answer_report(answer));
}

static void span_text(char ret[64], bool any, uint64_t first, uint64_t last)
{
	char a[24], b[24];

	if (any && first > last)
		snprintf(ret, 64, "records without times");
	else if (any)
		snprintf(ret, 64, "%s .. %s", fl_time_rfc3339((int64_t)first, a), fl_time_rfc3339((int64_t)last, b));
	else
		snprintf(ret, 64, "no records");
}

/* A condition on a field that no record has is never met: absence of rows then proves nothing. */
static int tell_missing(const struct ask *a, const struct fl_scan_conf *scan)
{
	struct fl_buf missing FL_CLEANUP(fl_buf_free) = FL_BUF(1 << 16);
	int r = fl_ask_missing(scan, a->question, a->filter, &missing);

	if (!r && missing.len)
		fprintf(stderr,
			"flowlog %s: no source has the fields that this looks at (%s): that nothing was found says "
			"nothing\n",
			a->command, fl_buf_cstr(&missing));
	return r;
}

/* Nothing found is an answer only together with where was looked. */
static int tell_empty(const struct ask *a)
{
	FILE *to = a->form == FL_ANSWER_TABLE ? stdout : stderr;
	struct fl_held span;
	int64_t since, until;
	char held[64], from[24] = "the first record", to_text[24] = "the last record";
	struct fl_scan_conf scan = a->conf.scan;
	int r;

	fl_filter_times(a->filter, &since, &until);
	if (since != INT64_MIN)
		fl_time_rfc3339(since, from);
	if (until != INT64_MAX)
		fl_time_rfc3339(until, to_text);
	fflush(stdout);
	fprintf(to, "nothing found; searched: %s .. %s\n", from, to_text);
	if (fl_scan_once(&scan)) /* the span held may take another reading */
		return fflush(to) ? fl_fail(-errno, "standard output: %m") : 0;
	r = fl_ask_held(&scan, &span);
	if (r)
		return r;
	span_text(held, span.any, span.first, span.last);
	if (span.by_names)
		fprintf(to, "held: %s, by the times in the names of %llu file%s\n", held,
			(unsigned long long)span.by_names, fl_plural(span.by_names));
	else
		fprintf(to, "held: %s\n", held);
	if (fflush(to))
		return fl_fail(-errno, "standard output: %m");
	return tell_missing(a, &scan);
}

/* What the records cannot tell, where the question needs it. */
static void tell_limits(const struct ask *a, const struct fl_answer *answer)
{
	static const struct {
		enum fl_need need;
		const char *said;
	} limits[] = {
	    {FL_NEED_ACTION, "action: what was rejected cannot be told"},
	    {FL_NEED_BYTES, "bytes: a volume of 0 means that it is not known"},
	    {FL_NEED_PACKETS, "packets: a count of 0 means that it is not known"},
	    {FL_NEED_START, "start: when it was cannot be told"},
	};
	const struct fl_question *q = a->question;
	bool rows = fl_answer_rows(answer) > 0;

	if ((q->pipe == FL_PIPE_REFUSED) && !fl_answer_saw(answer, FL_NEED_FLAGS))
		fprintf(stderr,
			"flowlog %s: the records have no tcp-flags: refused connections cannot be told from others\n",
			a->command);
	else if ((q->pipe == FL_PIPE_CONVERSATIONS || q->pipe == FL_PIPE_UNANSWERED) && rows &&
		 !fl_answer_saw(answer, FL_NEED_FLAGS))
		fprintf(stderr,
			"flowlog %s: the records have no tcp-flags: who opened a connection is judged by the ports, "
			"and what "
			"was refused counts as answered\n",
			a->command);
	for (size_t i = 0; i < FL_ARRAY_LEN(limits) && rows; i++)
		if (fl_answer_uses(answer, limits[i].need) && !fl_answer_saw(answer, limits[i].need))
			fprintf(stderr, "flowlog %s: the records have no %s\n", a->command, limits[i].said);
}

/* ACCEPT of a source that looks at no filter means less than it says. */
static void tell_verdicts(const struct ask *a, const struct fl_answer *answer)
{
	bool store = !a->conf.scan.paths || !a->conf.scan.paths[0];

	if (!store || fl_answer_report(answer)->verdicts_observed ||
	    (!fl_answer_uses(answer, FL_NEED_ACTION) && strcmp(a->command, "rejects")))
		return;
	fl_source_tell_unobserved(a->command);
}

/* Neither in spans nor in rows by time. */
static void tell_odd_times(const struct ask *a, const struct fl_odd_times *odd)
{
	struct fl_buf example FL_CLEANUP(fl_buf_free) = FL_BUF(1024);

	fl_grid_clean(&example, odd->example, strlen(odd->example));
	if (odd->n)
		fprintf(stderr, "flowlog %s: %llu time%s of records cannot be, as %s: taken for not known\n",
			a->command, (unsigned long long)odd->n, fl_plural(odd->n), fl_buf_cstr(&example));
}

/* ---- answering ---- */

/* Before the answer, once there is one. */
static int print_provenance(const struct ask *a)
{
	int r = fl_grid_write(STDOUT_FILENO, a->provenance.data, a->provenance.len);

	return r ? fl_fail(r, "standard output: %s", strerror(-r)) : 0;
}

static int tell_unread(const struct ask *a)
{
	if (a->unread)
		fprintf(stderr, "flowlog %s: --provenance: %zu input%s could not be read, and %s no digest\n",
			a->command, a->unread, fl_plural(a->unread), a->unread == 1 ? "has" : "have");
	return a->unread ? 1 : 0;
}

static int print_answer(const struct ask *a, const struct fl_answer *answer)
{
	struct fl_rows rows;
	int r = print_provenance(a);

	if (r)
		return r;
	if (!fl_answer_rows(answer) && a->form == FL_ANSWER_TABLE)
		return 0;
	if (!strcmp(a->command, "series"))
		return fl_series_print(answer, a->form, a->o->every_ns / FL_NS_PER_S);
	fl_rows_of(answer, &rows);
	return fl_rows_print(&rows, a->form);
}

static int ask_question(struct ask *a, int *ret_status)
{
	struct fl_answer *answer FL_CLEANUP(fl_answer_free) = NULL;
	char size[16];
	int r = fl_ask(&answer, a->question, &a->conf);

	if (r)
		return r;
	if (fl_answer_spilled(answer))
		fprintf(stderr, "flowlog %s: %s of groups went through %s; --memory would keep them in memory\n",
			a->command, fl_human_bytes(fl_answer_spilled(answer), size), a->conf.tmp);
	r = print_answer(a, answer);
	if (r)
		return r;
	*ret_status = tell_faults(a, answer) | tell_unread(a);
	tell_odd_times(a, fl_answer_odd_times(answer));
	tell_limits(a, answer);
	tell_verdicts(a, answer);
	if (!fl_answer_rows(answer))
		return tell_empty(a);
	/* Who named a number knows that there may be more. */
	if (fl_answer_groups(answer) > fl_answer_rows(answer) && (!a->o->limit || isatty(STDERR_FILENO)))
		fprintf(stderr, "flowlog %s: %zu of %llu rows; -n N or --all gives more\n", a->command,
			fl_answer_rows(answer), (unsigned long long)fl_answer_groups(answer));
	return 0;
}

static int ask_summary(struct ask *a, int *ret_status)
{
	struct fl_summary s;
	int r = fl_ask_summary(&s, &a->conf);

	r = r ? r : print_provenance(a);
	r = r ? r : fl_summary_print(&s, a->form);
	if (!r) {
		fl_source_tell_lines(a->command, &s.faults);
		tell_odd_times(a, &s.odd);
		*ret_status = fl_source_tell_report(a->command, &s.report) | tell_unread(a);
	}
	fl_summary_free(&s);
	return r;
}

int fl_ask_run(const char *command, const char *choice, const struct fl_ask_options *o, int argc, char **argv)
{
	struct ask a = {.command = command,
			.o = o,
			.question = fl_question_find(command, choice),
			.provenance = FL_BUF(PROVENANCE_MAX)};
	int status = 0, r;

	r = prepare(&a, argc, argv);
	if (r == -EINVAL) {
		fprintf(stderr, "flowlog %s: %s\n", command, fl_error_text(r));
		status = 2;
	}
	if (!r && o->provenance)
		r = fl_provenance(a.conf.scan.paths, a.conf.scan.store, a.form, &a.provenance, &a.unread);
	if (!r)
		r = a.question ? ask_question(&a, &status) : ask_summary(&a, &status);
	fl_filter_free(&a.filter);
	fl_filter_free(&a.local);
	fl_names_free(&a.names);
	fl_buf_free(&a.provenance);
	if (!r || status == 2 || r == -EPIPE)
		return status;
	fprintf(stderr, "flowlog %s: %s\n", command, fl_error_text(r));
	return 1;
}
