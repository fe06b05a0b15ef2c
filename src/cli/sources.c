/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/sources.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "base/units.h"

#define THREADS_MAX 256u
#define SIGNAL_STATUS 128 /* as shells report what a signal ended */

static volatile sig_atomic_t stopped;

static const int signals[] = {SIGINT, SIGTERM, SIGHUP};

static void on_signal(int number)
{
	static volatile sig_atomic_t first_s;
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	if (!stopped) {
		first_s = (sig_atomic_t)now.tv_sec;
		stopped = number;
	} else if (now.tv_sec - first_s > 1) {
		signal(number, SIG_DFL);
		raise(number);
	}
}

const volatile sig_atomic_t *fl_source_stop(void)
{
	struct sigaction before, action = {.sa_handler = on_signal}; /* without SA_RESTART: what waits returns */

	for (size_t i = 0; i < FL_ARRAY_LEN(signals); i++)
		if (!sigaction(signals[i], NULL, &before) && before.sa_handler != SIG_IGN)
			sigaction(signals[i], &action, NULL);
	return &stopped;
}

void fl_source_stop_no_more(void)
{
	for (size_t i = 0; i < FL_ARRAY_LEN(signals); i++)
		signal(signals[i], SIG_IGN);
}

int fl_source_status(int status)
{
	return status && stopped ? SIGNAL_STATUS + stopped : status;
}

/* What is no format is a mistake also where every source has its own. */
static int check_format(const char *text)
{
	struct fl_format *f FL_CLEANUP(fl_format_free) = NULL;

	return text ? fl_wrap(fl_format_parse(&f, fl_format_kind_of(text), text), "--format") : 0;
}

int fl_source_scan(const struct fl_source_conf *c, char *const *paths, struct fl_scan_conf *ret)
{
	*ret = (struct fl_scan_conf){.paths = (const char *const *)paths,
				     .store = c->store,
				     .flow_log = c->flow_log,
				     .format = c->format,
				     .open_window = c->open_window,
				     .threads = (unsigned)FL_MIN(c->threads, (uint64_t)THREADS_MAX),
				     .progress = isatty(STDERR_FILENO) ? fl_progress_show : NULL,
				     .unjudged = true,
				     .stop = fl_source_stop(),
				     .anonymous = c->anonymous,
				     .requester_pays = c->requester_pays,
				     .endpoint_url = c->endpoint_url,
				     .profile = c->profile,
				     .region = c->region};
	return check_format(c->format);
}

void fl_source_tell_lines(const char *command, struct fl_buf *lines)
{
	const char *at = fl_buf_cstr(lines), *end;

	for (; lines->len && (end = strchr(at, '\n')); at = end + 1)
		fprintf(stderr, "flowlog %s: %.*s\n", command, (int)(end - at), at);
}

int fl_source_tell_report(const char *command, const struct fl_scan_report *r)
{
	if (r->malformed == 1)
		fprintf(stderr, "flowlog %s: 1 line is no record of its file's format and was left out\n", command);
	else if (r->malformed)
		fprintf(stderr, "flowlog %s: %llu lines are no records of their files' formats and were left out\n",
			command, (unsigned long long)r->malformed);
	if (r->bad_values)
		fprintf(stderr, "flowlog %s: %llu value%s none of the field, and taken for -\n", command,
			(unsigned long long)r->bad_values, r->bad_values == 1 ? " is" : "s are");
	if (r->unjudged)
		fprintf(stderr,
			"flowlog %s: %llu record%s of %llu source%s %s no %s: whether they match cannot be told, and "
			"they are left out\n",
			command, (unsigned long long)r->unjudged, fl_plural(r->unjudged),
			(unsigned long long)r->unjudged_files, fl_plural(r->unjudged_files),
			r->unjudged == 1 ? "has" : "have", r->lacking);
	if (r->damaged_files)
		fprintf(stderr,
			"flowlog %s: %llu source%s could not be read to the end; records up to the fault were used\n",
			command, (unsigned long long)r->damaged_files, fl_plural(r->damaged_files));
	return r->damaged_files ? 1 : 0;
}

int fl_source_tell(const char *command, struct fl_scan *s)
{
	size_t n = fl_scan_fault_count(s);
	struct fl_scan_report r;

	fl_scan_report(s, &r);
	for (size_t i = 0; i < FL_MIN(n, (size_t)FL_SCAN_FAULTS); i++)
		fprintf(stderr, "flowlog %s: %s\n", command, fl_scan_fault(s, i));
	if (n > FL_SCAN_FAULTS)
		fprintf(stderr, "flowlog %s: and %zu more faults\n", command, n - FL_SCAN_FAULTS);
	return fl_source_tell_report(command, &r);
}

void fl_source_tell_unobserved(const char *command)
{
	fprintf(stderr, "flowlog %s: note: verdicts were not observed here; ACCEPT means \"not seen rejected\"\n",
		command);
}

int fl_source_records(const char *command, const struct fl_source_conf *c, char *const *paths,
		      const struct fl_filter *filter, fl_scan_fn fn, void *ctx, struct fl_scan_report *ret_report,
		      int *ret_status)
{
	struct fl_scan *s FL_CLEANUP(fl_scan_close) = NULL;
	struct fl_scan_conf conf;
	int r;

	*ret_status = 0;
	r = fl_source_scan(c, paths, &conf);
	r = r ? r : fl_scan_open(&s, &conf, filter);
	r = r ? r : fl_scan_records(s, filter, fn, ctx);
	if (r)
		return r;
	*ret_status = fl_source_tell(command, s);
	fl_scan_report(s, ret_report);
	return 0;
}
