/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames become records, records become objects. What comes out depends on the frames that went in
 * since the last reset (and on the interfaces seen before), on nothing else: a retry makes the same
 * bytes.
 *
 * A window as long as the flow log's interval is written as it is. Shorter ones are merged: each
 * interval, aligned to the epoch, is a group, and an interface's flows in it are a sorted list into
 * which each window's sorted flows are merged.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "deliver/log.h"

static void group_free(struct fl_interval *g)
{
	for (size_t i = 0; i < g->n; i++)
		free(g->eni[i].flow);
	free(g->eni);
}

void fl_intake_reset(struct fl_intake *b)
{
	fl_objects_free(&b->objects);
	for (size_t i = 0; i < b->n_groups; i++)
		group_free(&b->group[i]);
	b->n_groups = 0;
	b->any = b->gap = b->damaged = false;
	b->first_start = b->newest_end = 0;
	b->windows = 0;
}

void fl_intake_free(struct fl_intake *b)
{
	fl_intake_reset(b);
	free(b->group);
	free(b->known);
	b->group = NULL;
	b->known = NULL;
	b->n_known = 0;
}

static int64_t floor_to(int64_t v, int64_t step)
{
	int64_t r = v % step;

	return v - (r < 0 ? r + step : r);
}

static bool wanted(const struct fl_intake *b, unsigned action)
{
	return b->log->traffic == FL_TRAFFIC_ALL ||
	       (b->log->traffic == FL_TRAFFIC_REJECT) == (action == FL_ACTION_REJECT);
}

/* ---- records into objects ---- */

static struct fl_object *object_at(struct fl_intake *b, int64_t end)
{
	struct fl_object *x = fl_objects_at(&b->objects, floor_to(end, FL_SLOT_S), b->encoder);

	if (!x)
		fl_fail(-ENOMEM, "no memory for an object");
	return x;
}

/* The records that come next are this interface's, as the inventory knew it at that time, and whoever was behind it in
 * a window. 1: the flow log does not cover it. */
static int begin_interface(struct fl_intake *b, const struct fl_eni *eni, int64_t time, int64_t start, int64_t length)
{
	const struct fl_network *net = b->conf->network_at ? b->conf->network_at(b->conf->network_ctx, time) : NULL;
	const struct fl_identity *who =
	    b->conf->identities ? fl_identities_at(b->conf->identities, eni->interface_id, start, length) : NULL;
	int r = fl_enricher_set(b->enricher, b->encoder, eni, net, net ? fl_network_eni(net, eni->interface_id) : NULL,
				who ? &who->labels : NULL);

	return r ? r : !fl_enricher_covers(b->enricher);
}

static int line(struct fl_intake *b, const struct fl_flow_line *l)
{
	struct fl_object *x = object_at(b, l->end);
	int r = x ? fl_enrich_line(b->enricher, b->encoder, l, &x->text) : -ENOMEM;

	if (fl_unlikely(r))
		return r;
	x->records++;
	b->objects.records++;
	return fl_object_flush(&b->objects, x);
}

/* NODATA and SKIPDATA; the encoder has the interface. */
static int status_line(struct fl_intake *b, enum fl_status status, int64_t start, int64_t end)
{
	struct fl_record rec = {.start = start, .end = end, .status = status};
	struct fl_object *x = object_at(b, end);
	int r = x ? fl_encode(b->encoder, &rec, NULL, &x->text) : -ENOMEM;

	if (r)
		return r;
	x->records++;
	b->objects.records++;
	return fl_object_flush(&b->objects, x);
}

/* NODATA says that there was no traffic, whatever kind the flow log selects. It begins after an
 * interface's first record. */
static int end_of_interface(struct fl_intake *b, const struct fl_eni *eni, bool written, bool skip, bool silent,
			    int64_t start, int64_t end)
{
	int r = 0;

	if (skip)
		r = status_line(b, FL_STATUS_SKIPDATA, start, end - 1);
	else if (silent && (b->log->nodata_always || fl_seen_has(b->seen, eni->interface_id)))
		r = status_line(b, FL_STATUS_NODATA, start, end - 1);
	if (!r && (written || skip))
		r = fl_seen_add(b->seen, eni->interface_id);
	return r;
}

/* ---- windows as long as the interval ---- */

static int direct(struct fl_intake *b, const struct fl_frame *f)
{
	int64_t start = f->window.start;
	uint64_t before = b->objects.records;
	int r = begin_interface(b, &f->eni, start, start, f->window.length);

	if (r > 0)
		return 0;
	for (size_t i = 0; !r && i < f->n_flows; i++) {
		const struct fl_flow *w = &f->flows[i];
		struct fl_flow_line l = {
		    .key = &w->key,
		    .packets = w->packets,
		    .bytes = w->bytes,
		    .start = start + w->first_ms / 1000,
		    .end = start + w->last_ms / 1000,
		    .tcp = w->tcp,
		    .action = w->action,
		    .reason = fl_frame_reason(f, i),
		    .pkt_src = fl_frame_inside(f, &w->key, false),
		    .pkt_dst = fl_frame_inside(f, &w->key, true),
		};

		if (wanted(b, w->action))
			r = line(b, &l);
	}
	return r ? r
		 : end_of_interface(b, &f->eni, b->objects.records > before, f->window.flags & FL_WINDOW_SKIPDATA,
				    !f->n_flows && !f->window.part, start, start + f->window.length);
}

/* ---- windows shorter than the interval ---- */

static struct fl_interval *group_at(struct fl_intake *b, int64_t start)
{
	struct fl_interval *grown;

	for (size_t i = b->n_groups; i-- > 0;)
		if (b->group[i].start == start)
			return &b->group[i];
	grown = realloc(b->group, (b->n_groups + 1) * sizeof *grown);
	if (!grown)
		return NULL;
	b->group = grown;
	grown[b->n_groups] = (struct fl_interval){.start = start};
	return &grown[b->n_groups++];
}

/* The interface as it was named last in the interval. */
static struct fl_interval_eni *group_eni(struct fl_intake *b, int64_t start, const struct fl_eni *eni)
{
	struct fl_interval *g = group_at(b, start);
	struct fl_interval_eni *grown;

	if (!g)
		return NULL;
	for (size_t i = 0; i < g->n; i++)
		if (!strcmp(g->eni[i].eni.interface_id, eni->interface_id)) {
			g->eni[i].eni = *eni;
			return &g->eni[i];
		}
	grown = realloc(g->eni, (g->n + 1) * sizeof *grown);
	if (!grown)
		return NULL;
	g->eni = grown;
	grown[g->n] = (struct fl_interval_eni){.eni = *eni};
	return &grown[g->n++];
}

static struct fl_merged merged_of(const struct fl_frame *f, size_t i)
{
	const struct fl_flow *w = &f->flows[i];
	struct fl_merged m = {
	    .key = w->key,
	    .packets = w->packets,
	    .bytes = w->bytes,
	    .first_ms = f->window.start * 1000 + w->first_ms,
	    .last_ms = f->window.start * 1000 + w->last_ms,
	    .tcp = w->tcp,
	    .action = w->action,
	    .reason = fl_frame_reason(f, i),
	};

	m.inside_dst = fl_frame_inside(f, &w->key, true);
	m.inside = m.inside_dst || fl_frame_inside(f, &w->key, false);
	if (m.inside)
		m.pkt = *fl_frame_inside(f, &w->key, m.inside_dst);
	m.key.iface = 0;
	return m;
}

static int by_flow(const struct fl_merged *a, const struct fl_merged *b)
{
	int c = memcmp(&a->key, &b->key, sizeof a->key);

	c = c ? c : (int)a->action - (int)b->action;
	return c ? c : (int)a->reason - (int)b->reason;
}

static int merge_flows(struct fl_intake *b, struct fl_interval_eni *g, const struct fl_frame *f)
{
	struct fl_merged *out = malloc((g->n + f->n_flows + 1) * sizeof *out);
	size_t n = 0, i = 0;

	if (!out)
		return fl_fail(-ENOMEM, "no memory to merge %zu flows", g->n + f->n_flows);
	for (size_t k = 0; k < f->n_flows; k++) {
		struct fl_merged m = merged_of(f, k);
		int c = -1;

		if (!wanted(b, m.action))
			continue;
		while (i < g->n && (c = by_flow(&g->flow[i], &m)) < 0)
			out[n++] = g->flow[i++];
		if (i < g->n && !c) {
			m.packets += g->flow[i].packets;
			m.bytes += g->flow[i].bytes;
			m.first_ms = FL_MIN(m.first_ms, g->flow[i].first_ms);
			m.last_ms = FL_MAX(m.last_ms, g->flow[i].last_ms);
			m.tcp |= g->flow[i].tcp;
			if (!m.inside) {
				m.inside = g->flow[i].inside;
				m.inside_dst = g->flow[i].inside_dst;
				m.pkt = g->flow[i].pkt;
			}
			i++;
		}
		out[n++] = m;
	}
	for (; i < g->n; i++)
		out[n++] = g->flow[i];
	free(g->flow);
	g->flow = out;
	g->n = n;
	return 0;
}

static int add_to_group(struct fl_intake *b, const struct fl_frame *f)
{
	struct fl_interval_eni *g = group_eni(b, floor_to(f->window.start, b->log->interval), &f->eni);

	if (!g)
		return fl_fail(-ENOMEM, "no memory for another interface");
	/* Whose traffic it is: who has the interface afterwards has not sent it. */
	if (f->n_flows || !g->last_length) {
		g->last = f->window.start;
		g->last_length = f->window.length;
	}
	g->skip |= f->window.flags & FL_WINDOW_SKIPDATA;
	g->traffic |= f->n_flows || f->window.part;
	return f->n_flows ? merge_flows(b, g, f) : 0;
}

static int close_group_eni(struct fl_intake *b, int64_t start, struct fl_interval_eni *g)
{
	/* Labels of its last window with traffic, inventory of the interval's end. */
	int r = begin_interface(b, &g->eni, start + b->log->interval - 1, g->last, g->last_length);

	if (r > 0)
		return 0;
	for (size_t i = 0; !r && i < g->n; i++) {
		const struct fl_merged *m = &g->flow[i];
		struct fl_flow_line l = {
		    .key = &m->key,
		    .packets = m->packets,
		    .bytes = m->bytes,
		    .start = floor_to(m->first_ms, 1000) / 1000,
		    .end = floor_to(m->last_ms, 1000) / 1000,
		    .tcp = m->tcp,
		    .action = m->action,
		    .reason = m->reason,
		    .pkt_src = m->inside && !m->inside_dst ? &m->pkt : NULL,
		    .pkt_dst = m->inside && m->inside_dst ? &m->pkt : NULL,
		};

		r = line(b, &l);
	}
	return r ? r : end_of_interface(b, &g->eni, g->n, g->skip, !g->traffic, start, start + b->log->interval);
}

int fl_intake_close_groups(struct fl_intake *b)
{
	int r = 0;

	for (size_t i = 0; !r && i < b->n_groups; i++)
		for (size_t k = 0; !r && k < b->group[i].n; k++)
			r = close_group_eni(b, b->group[i].start, &b->group[i].eni[k]);
	if (r)
		return r;
	for (size_t i = 0; i < b->n_groups; i++)
		group_free(&b->group[i]);
	b->n_groups = 0;
	return 0;
}

bool fl_intake_groups_complete(const struct fl_intake *b, int64_t end)
{
	for (size_t i = 0; i < b->n_groups; i++)
		if (b->group[i].start + b->log->interval > end)
			return false;
	return true;
}

/* ---- gaps ---- */

/* The span of an interface that left the journal unread: SKIPDATA for each interval, or coarser
 * when there are too many. */
static int gap_lines(struct fl_intake *b, const struct fl_eni *eni, int64_t start, int64_t end)
{
	int64_t step = b->log->interval;
	int r = begin_interface(b, eni, start, start, end - start);

	if (r > 0)
		return 0;
	while ((end - start) / step >= FL_GAP_LINES_MAX)
		step *= 2;
	for (int64_t t = floor_to(start, step); !r && t < end; t += step) {
		struct fl_interval_eni *g;

		if (step == b->log->interval &&
		    b->n_groups < 2 * FL_GAP_LINES_MAX) { /* joins what is there of the interval */
			g = group_eni(b, t, eni);
			if (!g)
				return -ENOMEM;
			g->skip = true;
			continue;
		}
		r = status_line(b, FL_STATUS_SKIPDATA, FL_MAX(t, start), FL_MIN(t + step, end) - 1);
	}
	return r ? r : fl_seen_add(b->seen, eni->interface_id);
}

int fl_intake_gap(struct fl_intake *b, const struct fl_frame *f)
{
	int64_t end = f->window.start + f->window.length;

	b->first_start = b->any ? b->first_start : f->window.start;
	b->newest_end = FL_MAX(b->newest_end, end);
	b->any = b->gap = true;
	return *f->eni.interface_id && f->window.length ? gap_lines(b, &f->eni, f->window.start, end) : 0;
}

static int note_known(struct fl_intake *b, const struct fl_frame *f)
{
	int64_t end = f->window.start + f->window.length;
	struct fl_known *k = NULL;
	int r = 0;

	for (size_t i = 0; i < b->n_known && !k; i++)
		if (!strcmp(b->known[i].eni.interface_id, f->eni.interface_id))
			k = &b->known[i];
	if (!k) {
		struct fl_known *grown =
		    b->n_known < FL_SEEN_MAX ? realloc(b->known, (b->n_known + 1) * sizeof *grown) : NULL;

		if (!grown)
			return 0; /* then a damaged segment is a gap without SKIPDATA for this
				     interface */
		b->known = grown;
		k = &grown[b->n_known++];
		k->end = f->window.start;
	}
	if (b->damaged && k->end < f->window.start)
		r = gap_lines(b, &k->eni, k->end, f->window.start);
	k->eni = f->eni;
	k->end = FL_MAX(k->end, end);
	return r;
}

int fl_intake_frame(struct fl_intake *b, const struct fl_frame *f)
{
	int r;

	b->first_start = b->any ? b->first_start : f->window.start;
	b->any = true;
	b->newest_end = FL_MAX(b->newest_end, f->window.start + f->window.length);
	r = note_known(b, f);
	if (r)
		return r;
	return f->window.length < b->log->interval ? add_to_group(b, f) : direct(b, f);
}
