/* SPDX-License-Identifier: Apache-2.0 */
/* Windows by the packets' own time: a few are open, the oldest closes when a later one needs its place. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "meter/meter.h"

#define OPEN_MAX 8

struct open_window {
	uint32_t number;
	bool lossy; /* something did not fit */
	struct fl_table *table;
};

struct fl_meter {
	struct fl_meter_conf conf;
	struct open_window open[OPEN_MAX]; /* ascending */
	unsigned n, limit;
	uint32_t newest;
	struct fl_table *spare;
	struct fl_ledger ledger;
};

int fl_meter_new(struct fl_meter **ret, const struct fl_meter_conf *conf)
{
	struct fl_meter *m;

	if (conf->lateness >= OPEN_MAX)
		return fl_fail(-EINVAL, "lateness %u: at most %d windows are kept open", conf->lateness, OPEN_MAX - 1);
	m = calloc(1, sizeof *m);
	if (!m)
		return -ENOMEM;
	m->conf = *conf;
	m->limit = conf->lateness + 1;
	*ret = m;
	return 0;
}

void fl_meter_free(struct fl_meter **m)
{
	if (!*m)
		return;
	for (unsigned i = 0; i < (*m)->n; i++)
		fl_table_free(&(*m)->open[i].table);
	fl_table_free(&(*m)->spare);
	free(*m);
	*m = NULL;
}

static void lost(void *ctx, const struct fl_obs *o)
{
	struct fl_meter *m = ctx;

	m->ledger.lost[FL_LOSS_TABLE_FULL].packets += o->packets;
	m->ledger.lost[FL_LOSS_TABLE_FULL].bytes += o->bytes;
	for (unsigned i = 0; i < m->n; i++)
		m->open[i].lossy |= m->open[i].number == o->window;
}

static int close_oldest(struct fl_meter *m)
{
	struct fl_table *t = m->open[0].table;
	bool lossy = m->open[0].lossy;
	int r = fl_table_count(t) || lossy ? m->conf.on_window(m->conf.ctx, m->open[0].number, t, lossy) : 0;

	m->n--;
	memmove(m->open, m->open + 1, m->n * sizeof m->open[0]);
	fl_table_clear(t);
	if (m->spare)
		fl_table_free(&t);
	else
		m->spare = t;
	return r;
}

/* The few flows of the newest window's first seconds move into the large table that has become free. */
static void take_spare(struct fl_meter *m)
{
	struct fl_table **newest = &m->open[m->n - 1].table, *small = *newest;

	if (!m->spare || fl_table_bytes(m->spare) <= fl_table_bytes(small) || !fl_table_move(m->spare, small))
		return;
	*newest = m->spare;
	m->spare = small; /* for the first seconds of the next window */
}

static int close_before(struct fl_meter *m, uint32_t number)
{
	int r = 0;

	while (!r && m->n > 1 && m->open[0].number < number)
		r = close_oldest(m);
	if (!r)
		take_spare(m);
	return r;
}

static int open_window(struct fl_meter *m, uint32_t number, struct fl_table **ret)
{
	struct fl_table_conf conf = {
	    .memory_limit = m->conf.memory_limit / m->limit, .seed = m->conf.seed, .ordered = true};
	unsigned at = 0;
	int r = 0;

	m->newest = FL_MAX(m->newest, number);
	while (!r && m->n && (uint64_t)m->open[0].number + m->conf.lateness < m->newest && m->open[0].number != number)
		r = close_oldest(m);
	/* A window older than all that may stay open displaces nothing newer for long: it closes with the next one. */
	if (!r && m->n == m->limit)
		r = close_oldest(m);
	while (at < m->n && m->open[at].number < number)
		at++;
	if (r)
		return r;
	if (at < m->n && m->open[at].number == number) {
		*ret = m->open[at].table;
		return 0;
	}
	memmove(m->open + at + 1, m->open + at, (m->n - at) * sizeof m->open[0]);
	m->open[at] = (struct open_window){.number = number, .table = m->spare};
	m->spare = NULL;
	m->n++;
	if (!m->open[at].table)
		r = fl_table_new(&m->open[at].table, &conf);
	if (r) {
		m->n--;
		memmove(m->open + at, m->open + at + 1, (m->n - at) * sizeof m->open[0]);
		return r;
	}
	*ret = m->open[at].table;
	return 0;
}

static struct fl_table *find(struct fl_meter *m, uint32_t number)
{
	for (unsigned i = m->n; i-- > 0;)
		if (m->open[i].number == number)
			return m->open[i].table;
	return NULL;
}

int fl_meter_add(struct fl_meter *m, const struct fl_obs *obs, size_t n)
{
	for (size_t i = 0; i < n;) {
		struct fl_table *t = find(m, obs[i].window);
		size_t end = i;
		int r = 0;

		if (!t || obs[i].window > m->newest) {
			r = open_window(m, obs[i].window, &t);
			if (r)
				return r;
		}
		for (; end < n && obs[end].window == obs[i].window; end++) {
			m->ledger.seen.packets += obs[end].packets;
			m->ledger.seen.bytes += obs[end].bytes;
		}
		fl_table_add(t, obs + i, end - i, lost, m);
		if (fl_unlikely(m->n > 1) && m->conf.grace_ms && obs[end - 1].window == m->newest &&
		    obs[end - 1].last_ms >= m->conf.grace_ms) {
			r = close_before(m, m->newest);
			if (r)
				return r;
		}
		i = end;
	}
	return 0;
}

int fl_meter_finish(struct fl_meter *m)
{
	int r = 0;

	while (!r && m->n)
		r = close_oldest(m);
	return r;
}

void fl_meter_ledger(const struct fl_meter *m, struct fl_ledger *ret)
{
	*ret = m->ledger;
}
