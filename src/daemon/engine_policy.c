/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the inventory's rules deny, where they are declared to be in force, and their opinion where they are not: it is
 * kept beside the flows and changes no action. A part of a window is judged once, when it
 * is written, flow by flow in the order they began, with the connections as the part before left them. The log has the
 * connections with the end of every part, so that after a death the same part gets the same verdicts.
 *
 * A flow is all packets of a tuple in the window, with the OR of their TCP flags. So first everything is judged as if
 * nothing closed, and then what closes a connection is told to it: it holds from the next window on.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "daemon/engine_state.h"
#include "policy/policy.h"
#include "record/record.h"

#define CONNECTIONS (1u << 18) /* 16 MiB, in the log too while they are all in use */
#define EXPIRE_BUDGET 65536
#define P_TCP 6
#define TCP_ENDS 5 /* FIN, RST */

/* One interface's flows of a part. */
struct judged {
	const struct fl_filter *filter;
	struct fl_connections *connections;
	struct fl_flow *flow;
	size_t n;
	bool *done, *tracked, *goes_on; /* goes_on: of a connection that its own side opened in an earlier window */
	bool enforced;
	struct fl_opinions *opinions;
	uint16_t *opinion;
	int64_t start;
};

static struct fl_subject subject_of(const struct judged *j, const struct fl_flow *f)
{
	return (struct fl_subject){
	    .key = f->key,
	    .icmp_type = -1,
	    .icmp_code = -1,
	    .tcp = (uint8_t)(f->tcp & ~TCP_ENDS),
	    .packets = (uint32_t)FL_MIN(f->packets, (uint64_t)UINT32_MAX),
	    .first_ms = (uint64_t)j->start * 1000 + f->first_ms,
	    .last_ms = (uint64_t)j->start * 1000 + f->last_ms,
	};
}

static struct fl_flow *reverse_of(const struct judged *j, const struct fl_subject *s)
{
	struct fl_flow wanted = {.key = fl_subject_reverse(s).key};

	return bsearch(&wanted, j->flow, j->n, sizeof wanted, fl_verdicts_by_tuple);
}

static void judge_one(struct judged *j, struct fl_flow *f, const struct fl_subject *s, struct fl_decision *ret)
{
	size_t i = (size_t)(f - j->flow);

	fl_judge(j->filter, j->connections, s, ret);
	j->done[i] = true;
	j->tracked[i] = ret->tracked && ret->accept;
	j->goes_on[i] = ret->by == FL_BY_CONNECTION && ret->opener == fl_key_dir(&f->key);
	j->opinion[i] = fl_opinions_add(j->opinions, j->filter, s, ret);
	if (j->enforced)
		f->action = ret->accept ? FL_ACTION_ACCEPT : FL_ACTION_REJECT;
}

/* A flow and, when that is what it answers or may answer, its reverse before it. */
static void judge_flow(struct judged *j, struct fl_flow *f)
{
	struct fl_subject s = subject_of(j, f), back;
	struct fl_flow *g = reverse_of(j, &s);
	struct fl_decision d, before;
	int asks = 1;

	if (j->done[f - j->flow])
		return;
	if (g) {
		back = subject_of(j, g);
		asks = fl_subject_asks_first(&s, &back);
	}
	if (g && asks < 0 && !j->done[g - j->flow])
		judge_one(j, g, &back, &before);
	judge_one(j, f, &s, &d);
	if (d.accept || !g || asks || j->done[g - j->flow])
		return;
	/* Of two that began together either may be the answer: in favour of the packets. */
	judge_one(j, g, &back, &before);
	if (before.accept)
		judge_one(j, f, &s, &d);
}

static void find_answers(struct judged *j)
{
	for (size_t i = 0; i < j->n; i++) {
		struct fl_flow *f = &j->flow[i], *g;
		struct fl_subject s, back;

		if (!(f->action & FL_ACTION_REJECT))
			continue;
		s = subject_of(j, f);
		g = fl_subject_asks(&s) ? reverse_of(j, &s) : NULL;
		if (!g)
			continue;
		back = subject_of(j, g);
		/* A denied reply asks nothing of those who opened the connection, whichever came first in this window.
		 */
		if (fl_subject_answers(&back) && !j->goes_on[g - j->flow] && fl_subject_asks_first(&s, &back) > 0)
			g->action |= FL_STATE_ANSWERS;
	}
}

struct order {
	uint64_t ms;
	struct fl_flow *flow;
};

/* What began together stays in the order of the table. */
static int by_time(const void *x, const void *y)
{
	const struct order *a = x, *b = y;

	if (a->ms != b->ms)
		return a->ms < b->ms ? -1 : 1;
	return a->flow < b->flow ? -1 : a->flow > b->flow;
}

static void close_connections(struct judged *j, struct order *order)
{
	size_t n = 0;

	for (size_t i = 0; i < j->n; i++)
		if (j->tracked[i] && j->flow[i].key.proto == P_TCP && j->flow[i].tcp & TCP_ENDS)
			order[n++] = (struct order){j->flow[i].last_ms, &j->flow[i]};
	qsort(order, n, sizeof *order, by_time);
	for (size_t i = 0; i < n; i++) {
		struct fl_subject s = subject_of(j, order[i].flow);
		struct fl_decision unused;

		s.tcp = (uint8_t)((order[i].flow->tcp & TCP_ENDS) | 16);
		s.packets = 1;
		s.first_ms = s.last_ms;
		fl_judge(j->filter, j->connections, &s, &unused);
	}
}

static void judge_interface(struct judged *j, struct order *order)
{
	for (size_t i = 0; i < j->n; i++)
		order[i] = (struct order){j->flow[i].first_ms, &j->flow[i]};
	qsort(order, j->n, sizeof *order, by_time);
	for (size_t i = 0; i < j->n; i++)
		judge_flow(j, order[i].flow);
	if (j->enforced)
		find_answers(j);
	close_connections(j, order);
}

/* ---- the table ---- */

/* When looking began: earlier than this life, if the kernel side went on without a gap. */
static uint64_t begin_ms(const struct fl_engine *e, struct fl_cursor *c, int64_t window_start)
{
	uint64_t logged = fl_cur_le64(c);

	if (!c->bad && e->conf.reused)
		return logged;
	return FL_MAX(e->judging.born_ms, (uint64_t)window_start * 1000);
}

static int open_table(struct fl_engine *e, int64_t window_start)
{
	struct fl_cursor c = fl_cursor(e->state.connections.data, e->state.connections.len);
	struct fl_connections_conf conf = {.capacity = CONNECTIONS, .seed = e->conf.seed};
	int r, bad;

	if (e->judging.connections)
		return 0;
	conf.start_ms = begin_ms(e, &c, window_start);
	r = fl_connections_new(&e->judging.connections, &conf);
	e->judging.begin_ms = conf.start_ms;
	bad = !r && fl_cur_left(&c) ? fl_connections_decode(e->judging.connections, &c) : 0;
	if (bad)
		fl_warn("%s; connections that are open are judged anew", fl_error_text(bad));
	return r;
}

static int encode(struct fl_engine *e, uint64_t now_ms)
{
	struct judging *j = &e->judging;
	int r;

	fl_buf_reset(&j->next);
	r = fl_buf_add(&j->next, &j->begin_ms, sizeof j->begin_ms);
	return r ? r : fl_connections_encode(j->connections, now_ms, &j->next);
}

int fl_judging_begin(struct fl_engine *e)
{
	const struct fl_buf *last = e->conf.connections;
	int r;

	e->judging.born_ms = fl_now_ns(&e->conf.clock) / FL_NS_PER_MS;
	e->judging.next = FL_BUF(FL_WAL_RECORD_MAX);
	if (!last || !last->len || e->state.connections.len)
		return 0;
	r = fl_buf_add(&e->state.connections, last->data, last->len);
	return r ? r : fl_state_log_connections(&e->state, e->wal);
}

void fl_judging_end(struct fl_engine *e)
{
	fl_connections_free(&e->judging.connections);
	fl_buf_free(&e->judging.next);
}

/* ---- a part ---- */

/* The rules of every interface that has some. false: there are none anywhere. */
static bool find_rules(struct fl_engine *e, struct window *w, int64_t start, const struct fl_filter *ret[FL_K_SLOTS])
{
	bool any = false;

	for (unsigned i = 0; i < FL_K_SLOTS; i++) {
		const struct slot *s = &e->state.slot[i];

		bool enforced = false;

		ret[i] =
		    s->used ? e->conf.filter(e->conf.filter_ctx, fl_slot_eni(s, w->number), start, &enforced) : NULL;
		w->ruled[i] = ret[i] && enforced;
		any = any || ret[i];
	}
	return any;
}

int fl_judging_part(struct fl_engine *e, struct window *w)
{
	const int64_t start = fl_state_window_wall(&e->state, w->number);
	const struct fl_filter *filter[FL_K_SLOTS];
	struct order *order FL_CLEANUP(fl_freep) = NULL;
	bool *marks FL_CLEANUP(fl_freep) = NULL;
	int r;

	if (!e->conf.filter || w->judged)
		return 0;
	if (!find_rules(e, w, start, filter)) {
		w->judged = true;
		return 0;
	}
	/* All memory first: a part is not judged by halves. */
	order = malloc((w->n_flows + 1) * sizeof *order);
	marks = calloc(3 * w->n_flows + 1, sizeof *marks);
	free(w->opinion);
	w->opinion = calloc(w->n_flows + 1, sizeof *w->opinion);
	r = order && marks && w->opinion ? open_table(e, start) : -ENOMEM;
	if (!r && w->n_flows && !w->opinions)
		r = fl_opinions_new(&w->opinions);
	if (r)
		return r;
	for (size_t i = 0, to; i < w->n_flows && !(w->flows[i].key.iface & FL_STATE_MARKS); i = to) {
		uint16_t slot = w->flows[i].key.iface;
		struct judged j = {.filter = filter[slot],
				   .connections = e->judging.connections,
				   .flow = &w->flows[i],
				   .done = marks + i,
				   .tracked = marks + w->n_flows + i,
				   .goes_on = marks + 2 * w->n_flows + i,
				   .enforced = w->ruled[slot],
				   .opinions = w->opinions,
				   .opinion = w->opinion + i,
				   .start = start};

		for (to = i; to < w->n_flows && w->flows[to].key.iface == slot;)
			to++;
		j.n = to - i;
		if (j.filter)
			judge_interface(&j, order);
	}
	w->judged = true;
	fl_connections_expire(e->judging.connections, (uint64_t)start * 1000, EXPIRE_BUDGET);
	r = encode(e, (uint64_t)start * 1000);
	if (r) /* the log keeps what was before: after a death some connections would be judged anew */
		fl_buf_reset(&e->judging.next);
	return 0;
}

int fl_judging_close(struct fl_engine *e, struct window_head head)
{
	struct judging *j = &e->judging;
	struct iovec iov[2] = {
	    {.iov_base = &head, .iov_len = sizeof head},
	    {.iov_base = j->next.data, .iov_len = j->next.len},
	};
	struct fl_buf old = e->state.connections;
	int r;

	head.n = (uint32_t)j->next.len;
	r = fl_wal_append(e->wal, FL_WAL_CLOSED, iov, head.n ? 2 : 1);
	/* Shared memory is full, and closing is what makes room: then without. */
	if (r == -ENOSPC && head.n) {
		head.n = 0;
		fl_buf_reset(&j->next);
		r = fl_wal_append(e->wal, FL_WAL_CLOSED, iov, 1);
	}
	if (r || !head.n)
		return r;
	e->state.connections = j->next;
	j->next = old;
	fl_buf_reset(&j->next);
	return 0;
}

const struct fl_buf *fl_engine_connections(const struct fl_engine *e)
{
	return &e->state.connections;
}
