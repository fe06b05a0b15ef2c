/* SPDX-License-Identifier: Apache-2.0 */
/* A question: the library opened, the view "flows" built over the sources, the statements carried
 * out one by one. */
#include <ctype.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "query/library.h"
#include "query/output.h"
#include "query/query.h"
#include "query/sources.h"
#include "query/view.h"

struct query {
	const struct fl_query_conf *conf;
	struct fl_duckdb d;
	fl_duck database, connection;
	struct fl_sources sources;
	struct fl_query_seen seen;
	volatile sig_atomic_t stop;
};

/* ---- Ctrl-C ---- */

static void *wait_for_interrupt(void *ctx)
{
	struct query *q = ctx;
	sigset_t set;
	int signo, state;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	while (!sigwait(&set, &signo)) {
		/* The library's locks must not be left held by a cancelled thread. */
		pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
		q->stop = 1;
		q->d.interrupt(q->connection);
		pthread_setcancelstate(state, NULL);
	}
	return NULL;
}

/* SIGINT is blocked before the library starts its threads, so that only ours receives it. */
static void block_interrupt(sigset_t *ret_old)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	pthread_sigmask(SIG_BLOCK, &set, ret_old);
}

/* ---- open ---- */

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
	int r = q->d.create_config(&config) ? -ENOMEM : 0;

	for (size_t i = 0; !r && i < FL_ARRAY_LEN(settings); i++)
		if (q->d.set_config(config, settings[i][0], settings[i][1]))
			r = fl_fail(-EINVAL, "DuckDB refuses the setting %s", settings[i][0]);
	if (!r && q->d.open_ext(NULL, &q->database, config, &why))
		r = fl_fail(-EIO, "DuckDB cannot be opened: %s", why ? why : "no reason given");
	q->d.free(why);
	q->d.destroy_config(&config);
	if (!r && q->d.connect(q->database, &q->connection))
		r = fl_fail(-EIO, "DuckDB gives no connection");
	return r;
}

static int add_sources(struct query *q)
{
	const struct fl_query_conf *c = q->conf;
	int r = 0;

	q->sources.journal_alone = c->journal_alone;
	if (!c->sources || !c->sources[0])
		return fl_sources_add_store(&q->sources, c->store, c->flow_log);
	for (size_t i = 0; !r && c->sources[i]; i++)
		r = fl_sources_add(&q->sources, c->sources[i], c->flow_log);
	return r;
}

/* ---- ask ---- */

static int failed(struct query *q, const char *why)
{
	if (q->stop)
		return fl_fail(-EINTR, "interrupted");
	return fl_fail(-EINVAL, "%s", why && *why ? why : "DuckDB gives no reason");
}

static int run_pending(struct query *q, fl_duck statement)
{
	struct fl_duck_result result = {0};
	fl_duck pending = NULL;
	int r;

	if (q->d.pending_prepared_streaming(statement, &pending))
		r = failed(q, q->d.pending_error(pending));
	else if (q->d.execute_pending(pending, &result))
		r = failed(q, q->d.result_error(&result));
	else if (q->d.result_return_type(result) == FL_DUCK_RESULT_ROWS)
		r = fl_query_print(&q->d, &result, q->conf->output, q->conf->out_fd, &q->stop);
	else
		r = 0;
	if (!r && q->stop)
		r = failed(q, NULL);
	q->d.destroy_result(&result);
	q->d.destroy_pending(&pending);
	return r;
}

static int ask(struct query *q)
{
	fl_duck statements = NULL, statement = NULL;
	idx_t n = q->d.extract_statements(q->connection, q->conf->sql, &statements);
	const char *why = q->d.extract_statements_error(statements);
	int r = 0;

	if (!n)
		r = failed(q, why && *why ? why : "there is no statement in the question");
	for (idx_t i = 0; !r && i < n; i++) {
		if (q->d.prepare_extracted_statement(q->connection, statements, i, &statement))
			r = failed(q, q->d.prepare_error(statement));
		else
			r = run_pending(q, statement);
		q->d.destroy_prepare(&statement);
	}
	q->d.destroy_extracted(&statements);
	return r;
}

static bool mentions(const char *sql, const char *word)
{
	size_t n = strlen(word);

	for (const char *p = sql; (p = strcasestr(p, word)); p += n)
		if ((p == sql || !(isalnum((unsigned char)p[-1]) || p[-1] == '_')) && !isalnum((unsigned char)p[n]) &&
		    p[n] != '_')
			return true;
	return false;
}

/* Nobody should read ACCEPT as "was let in" where nothing looked. Scripts are spared the line. */
static void note_verdicts(const struct query *q)
{
	if (q->sources.n_stores && !q->seen.verdicts && isatty(STDERR_FILENO) && mentions(q->conf->sql, "action"))
		fputs("flowlog: note: verdicts were not observed here; ACCEPT means \"not seen "
		      "rejected\"\n",
		      stderr);
}

static void release(struct query *q)
{
	if (q->d.handle) {
		q->d.disconnect(&q->connection);
		q->d.close(&q->database);
	}
	fl_sources_free(&q->sources);
}

int fl_query_run(const struct fl_query_conf *conf)
{
	struct query q = {.conf = conf};
	pthread_t waiter;
	sigset_t old;
	int r = fl_query_output_known(conf->output), threaded = 0;

	if (r)
		return r;
	block_interrupt(&old);
	r = fl_duckdb_load(&q.d);
	if (!r)
		r = open_database(&q);
	if (!r)
		threaded = !pthread_create(&waiter, NULL, wait_for_interrupt, &q);
	if (!r)
		r = add_sources(&q);
	if (!r)
		r = fl_query_make_view(&q.d, q.connection, &q.sources, conf->open_window, &q.seen, &q.stop);
	if (!r) {
		note_verdicts(&q);
		r = ask(&q);
	}
	if (!r && *q.seen.damage)
		r = fl_fail(-EBADMSG, "%s; the answer lacks what stood there", q.seen.damage);
	if (threaded) {
		pthread_cancel(waiter);
		pthread_join(waiter, NULL);
	}
	release(&q);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return r;
}
