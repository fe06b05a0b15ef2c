/* SPDX-License-Identifier: Apache-2.0 */
/* A question: the library opened, the view "flows" built over the sources, the statements carried
 * out one by one. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"
#include "query/functions.h"
#include "query/grouped.h"
#include "query/library.h"
#include "query/lift.h"
#include "query/output.h"
#include "query/query.h"
#include "query/table.h"
#include "query/tree.h"

#define NAP_MS 1
#define WATCH_MS 50
#define EXPLAIN_MAX (1u << 20)
#define FAULTS_MAX (64u << 10)

struct query {
	const struct fl_query_conf *conf;
	struct fl_duckdb d;
	fl_duck database, connection;
	struct fl_scan_conf scan;
	struct fl_query_table table;
	struct fl_lift *lift;
	struct fl_grouped grouped;
	const volatile sig_atomic_t *stop;
	sigset_t mask; /* the caller's */
	pthread_t waiter;
	bool waiting;
	int ended[2];             /* a pipe: closed when nothing is to be waited for */
	char temporary[PATH_MAX]; /* directory of this run alone; "": none yet */
};

/* ---- Ctrl-C ---- */

static void *wait_for_interrupt(void *ctx)
{
	struct query *q = ctx;
	struct pollfd ended = {.fd = q->ended[0], .events = POLLIN};

	pthread_sigmask(SIG_SETMASK, &q->mask, NULL);
	while (poll(&ended, 1, WATCH_MS) <= 0) /* a signal ends it, too */
		if (*q->stop)
			q->d.interrupt(q->connection);
	return NULL;
}

/* Without this thread nothing but the end of a batch looks at the flag. */
static void start_waiting(struct query *q)
{
	if (!pipe2(q->ended, O_CLOEXEC))
		q->waiting = !pthread_create(&q->waiter, NULL, wait_for_interrupt, q);
	if (!q->waiting)
		pthread_sigmask(SIG_SETMASK, &q->mask, NULL);
}

static void stop_waiting(struct query *q)
{
	fl_closep(&q->ended[1]);
	if (q->waiting)
		pthread_join(q->waiter, NULL);
	fl_closep(&q->ended[0]);
}

/* Signals are blocked before the library starts its threads, whose system calls they must not end: the thread that
 * waits has the caller's mask, and takes them. */
static void block_signals(struct query *q)
{
	static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
	sigset_t set;

	sigemptyset(&set);
	for (size_t i = 0; i < FL_ARRAY_LEN(signals); i++)
		sigaddset(&set, signals[i]);
	pthread_sigmask(SIG_BLOCK, &set, &q->mask);
}

/* ---- open ---- */

/* What memory does not hold goes where only this user looks, not into the working directory. */
static int make_temporary(struct query *q)
{
	char path[PATH_MAX];

	if (snprintf(path, sizeof path, "%s/flowlog-XXXXXX", fl_temp_dir()) >= (int)sizeof path)
		return fl_fail(-ENAMETOOLONG, "TMPDIR: the path is too long");
	if (!mkdtemp(path))
		return fl_fail(-errno, "%s: %m; TMPDIR names a directory for what memory does not hold", path);
	memcpy(q->temporary, path, sizeof path);
	return 0;
}

static int open_database(struct query *q)
{
	/* Order costs the reader its parallelism and a view has none; nothing is fetched from the
	 * network. */
	static const char *const settings[][2] = {
	    {"preserve_insertion_order", "false"},
	    {"autoinstall_known_extensions", "false"},
	};
	fl_duck config = NULL;
	char *why = NULL;
	char threads[16], memory[32];
	int r = q->d.create_config(&config) ? -ENOMEM : 0;

	for (size_t i = 0; !r && i < FL_ARRAY_LEN(settings); i++)
		if (q->d.set_config(config, settings[i][0], settings[i][1]))
			r = fl_fail(-EINVAL, "DuckDB refuses the setting %s", settings[i][0]);
	if (!r)
		r = make_temporary(q);
	if (!r && q->d.set_config(config, "temp_directory", q->temporary))
		r = fl_fail(-EINVAL, "DuckDB refuses the directory %s", q->temporary);
	snprintf(threads, sizeof threads, "%u", q->conf->scan->threads);
	if (!r && q->conf->scan->threads && q->d.set_config(config, "threads", threads))
		r = fl_fail(-EINVAL, "DuckDB refuses %s threads", threads);
	snprintf(memory, sizeof memory, "%lluB", (unsigned long long)q->conf->memory);
	if (!r && q->conf->memory && q->d.set_config(config, "memory_limit", memory))
		r = fl_fail(-EINVAL, "DuckDB refuses %s of memory", memory);
	if (!r && q->d.open_ext(NULL, &q->database, config, &why))
		r = fl_fail(-EIO, "DuckDB cannot be opened: %s", why ? why : "no reason given");
	q->d.free(why);
	q->d.destroy_config(&config);
	if (!r && q->d.connect(q->database, &q->connection))
		r = fl_fail(-EIO, "DuckDB gives no connection");
	return r;
}

/* Names of the statements that AWS's guide shows for Athena, which is Trino; destinations.md 6.3. */
static const char *const athena[] = {
    "CREATE MACRO from_unixtime(seconds) AS to_timestamp(seconds)",
    "CREATE MACRO day_of_week(day) AS isodow(day)",
    "CREATE MACRO to_iso8601(moment) AS strftime(moment, '%Y-%m-%dT%H:%M:%S.%gZ')",
};

/* Statements of others get answers, and nothing else: no file but the sources, no setting, no extension. */
static const char *const locks[] = {"SET enable_external_access = false", "SET lock_configuration = true"};

static int prepare(struct query *q)
{
	const struct fl_query_conf *c = q->conf;
	int r;

	q->scan = *c->scan;
	q->scan.unjudged = false; /* NULL is what SQL has for it */
	q->table.d = &q->d;
	q->table.conf = &q->scan;
	q->table.filter = fl_lift_filter(q->lift, 0);
	q->grouped = (struct fl_grouped){.table = &q->table, .memory = c->memory ? c->memory / 2 : c->group_memory};
	r = fl_query_table_register(&q->table, q->connection);
	if (!r)
		r = fl_grouped_register(&q->grouped, q->connection);
	if (!r)
		r = fl_query_functions_register(&q->d, q->connection);
	for (size_t i = 0; !r && i < FL_ARRAY_LEN(athena); i++)
		r = fl_query_run_sql(&q->d, q->connection, athena[i]);
	for (size_t i = 0; !r && c->read_only && i < FL_ARRAY_LEN(locks); i++)
		r = fl_query_run_sql(&q->d, q->connection, locks[i]);
	return r;
}

/* ---- ask ---- */

static int failed(struct query *q, const char *why)
{
	if (*q->stop)
		return fl_fail(-EINTR, "interrupted");
	return fl_fail(-EINVAL, "%s", why && *why ? why : "DuckDB gives no reason");
}

/* This thread works, too, and naps while others have all there is to do: the library itself would spin. */
static void work(const struct query *q, fl_duck pending)
{
	int state = FL_DUCK_PENDING_MORE;

	while (!*q->stop && (state == FL_DUCK_PENDING_MORE || state == FL_DUCK_PENDING_NO_TASKS)) {
		state = q->d.pending_execute_task(pending);
		if (state == FL_DUCK_PENDING_NO_TASKS)
			poll(NULL, 0, NAP_MS);
	}
}

static int run_pending(struct query *q, fl_duck statement)
{
	struct fl_duck_result result = {0};
	fl_duck pending = NULL;
	int r;

	r = q->d.pending_prepared_streaming(statement, &pending) ? failed(q, q->d.pending_error(pending)) : 0;
	if (!r)
		work(q, pending);
	if (!r && q->d.execute_pending(pending, &result))
		r = failed(q, q->d.result_error(&result));
	else if (!r && q->d.result_return_type(result) == FL_DUCK_RESULT_ROWS)
		r = fl_query_print(&q->d, &result, q->conf->output, q->conf->out_fd, q->stop);
	if (!r && *q->stop)
		r = failed(q, NULL);
	q->d.destroy_result(&result);
	q->d.destroy_pending(&pending);
	return r;
}

/* A plan is followed by what the scanner does below it. */
static int explain(struct query *q)
{
	struct fl_buf out FL_CLEANUP(fl_buf_free) = FL_BUF(EXPLAIN_MAX);
	int r = fl_query_table_explain(&q->table, &out);

	if (!r && q->grouped.push)
		r = fl_push_print(q->grouped.push, &q->table, &out);
	return r ? r : fl_write_all(q->conf->out_fd, out.data, out.len);
}

/* An extracted statement can be prepared once. */
static bool prepare_again(struct query *q, idx_t i, fl_duck *ret)
{
	fl_duck statements = NULL;
	bool ok = q->d.extract_statements(q->connection, q->conf->sql, &statements) > i &&
		  !q->d.prepare_extracted_statement(q->connection, statements, i, ret);

	q->d.destroy_extracted(&statements);
	return ok;
}

static int prepare_one(struct query *q, fl_duck statements, idx_t i, fl_duck *ret)
{
	bool ok = !q->d.prepare_extracted_statement(q->connection, statements, i, ret);

	/* Each turn knows a column more. */
	while (!ok) {
		const char *why = q->d.prepare_error(*ret);
		int r = why && !*q->stop ? fl_query_table_learn(&q->table, q->connection, why) : 0;

		if (r <= 0)
			return r ? r : failed(q, why);
		q->d.destroy_prepare(ret);
		*ret = NULL;
		ok = prepare_again(q, i, ret);
	}
	return 0;
}

/* r: of its preparation. */
static int carry_out(struct query *q, int r, fl_duck *statement)
{
	int type = 0;

	if (!r) {
		type = q->d.prepared_statement_type(*statement);
		r = run_pending(q, *statement);
	}
	/* With the statement ends what it read: only then is that counted. */
	q->d.destroy_prepare(statement);
	return r || type != FL_DUCK_STATEMENT_EXPLAIN || strcmp(q->conf->output, "table") ? r : explain(q);
}

/* By our own engine, with what DuckDB then makes of the groups. *ret_left: the statement as it was asked is DuckDB's,
 * which also has the better words for what is wrong with it. */
static int ask_groups(struct query *q, const struct fl_push *push, bool *ret_left)
{
	fl_duck statements = NULL, statement = NULL;
	int r = 0;

	q->grouped.push = push;
	q->grouped.too_large = false;
	if (q->d.extract_statements(q->connection, push->sql, &statements) != 1)
		r = failed(q, q->d.extract_statements_error(statements));
	else if (q->d.prepare_extracted_statement(q->connection, statements, 0, &statement))
		r = failed(q, q->d.prepare_error(statement));
	*ret_left = r;
	r = carry_out(q, r, &statement);
	*ret_left |= q->grouped.too_large;
	q->grouped.push = NULL;
	q->d.destroy_extracted(&statements);
	return r;
}

static int ask_engine(struct query *q, fl_duck statements, idx_t i)
{
	fl_duck statement = NULL;
	int r = prepare_one(q, statements, i, &statement);

	q->table.filter = fl_query_table_usable(&q->table, fl_lift_filter(q->lift, i));
	return carry_out(q, r, &statement);
}

static int ask_one(struct query *q, fl_duck statements, idx_t i)
{
	struct fl_push *push FL_CLEANUP(fl_push_free) = NULL;
	const struct fl_filter *lifted = fl_lift_filter(q->lift, i);
	const char *sql = q->conf->sql;
	size_t explain_n = i ? 0 : (size_t)(fl_tree_after_explain(sql) - sql); /* of the first statement alone */
	int r = 0;

	q->table.filter = fl_query_table_usable(&q->table, lifted);
	/* Groups that are too many are for the engine, which then reads again. */
	if (!q->table.once && fl_lift_is_exact(q->lift, i) && q->table.filter == lifted)
		r = fl_push_new(&push, &q->table, q->connection, fl_lift_statement(q->lift, i), sql, explain_n);
	if (!r && push) {
		bool left;

		r = ask_groups(q, push, &left);
		if (!r || !left || q->stop)
			return r;
		fl_error_clear();
		r = 0;
	}
	return r ? r : ask_engine(q, statements, i);
}

static int ask(struct query *q)
{
	fl_duck statements = NULL;
	idx_t n = q->d.extract_statements(q->connection, q->conf->sql, &statements);
	const char *why = q->d.extract_statements_error(statements);
	int r = 0;

	if (!n)
		r = failed(q, why && *why ? why : "there is no statement in the question");
	if (!r && q->conf->read_only)
		r = fl_tree_only_asks(&q->d, q->connection, q->conf->sql);
	for (idx_t i = 0; !r && i < n; i++)
		r = ask_one(q, statements, i);
	q->d.destroy_extracted(&statements);
	return r;
}

/* Runs end with what they are of: only then is the report complete. */
static void close_database(struct query *q)
{
	if (!q->d.handle)
		return;
	q->d.disconnect(&q->connection);
	q->d.close(&q->database);
	if (*q->temporary)
		rmdir(q->temporary);
}

int fl_query_run(const struct fl_query_conf *conf, struct fl_query_told *ret)
{
	static const volatile sig_atomic_t never;
	struct query q = {.conf = conf, .stop = conf->scan->stop ? conf->scan->stop : &never, .ended = {-1, -1}};
	int r = fl_query_output_known(conf->output);

	*ret = (struct fl_query_told){.faults = FL_BUF(FAULTS_MAX)};
	if (r)
		return r;
	block_signals(&q);
	r = fl_duckdb_load(&q.d);
	if (!r)
		r = open_database(&q);
	if (!r)
		start_waiting(&q);
	if (!r)
		r = fl_lift_new(&q.lift, &q.d, q.connection, conf->sql);
	if (!r)
		r = prepare(&q);
	if (!r)
		r = ask(&q);
	stop_waiting(&q);
	close_database(&q);
	if (!r) {
		ret->report = q.table.report;
		r = fl_buf_add(&ret->faults, q.table.faults.data, q.table.faults.len);
	}
	fl_query_table_free(&q.table);
	fl_lift_free(&q.lift);
	pthread_sigmask(SIG_SETMASK, &q.mask, NULL);
	return r;
}
