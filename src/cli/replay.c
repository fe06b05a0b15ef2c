/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/replay.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/hash.h"
#include "cli/inventory_show.h"
#include "inventory/network.h"
#include "policy/policy.h"

#define CONNECTIONS (1u << 20)
#define QUESTIONS (1u << 18) /* that are remembered, to see whether denied ones are answered */
#define EXPIRE_BUDGET 65536

/* What decided about the flows of a window that is not written yet. */
#define DECIDED_MAX ((size_t)1 << 22) /* flows of one window; of further ones nothing is said */
struct decided {
	struct fl_key key;
	uint16_t opinion; /* 0: free */
};
struct decided_window {
	struct decided_window *next;
	uint32_t window;
	struct decided *line;
	size_t lines, used;
};

struct fl_replay {
	struct fl_opinions *opinions; /* NULL: nothing is kept */
	struct decided_window *decided;
	uint64_t not_kept;
	struct fl_network *network;
	struct fl_policy *policy;
	struct fl_connections *connections;
	struct fl_enricher *enricher;
	const struct fl_filter *filter;
	const struct fl_net_eni *eni;
	struct fl_eni identity;
	bool enforced;
	bool started;
	uint64_t seed;
	struct fl_count denied[FL_BY_N], judged, elsewhere;
	uint64_t contradictions;
	struct fl_questions *questions;
};

/* ---- what decided ---- */

static struct decided *find_line(const struct fl_replay *p, const struct decided_window *w, const struct fl_key *key)
{
	size_t at = fl_hash_bytes(key, sizeof *key, p->seed) & (w->lines - 1);

	while (w->line[at].opinion && memcmp(&w->line[at].key, key, sizeof *key))
		at = (at + 1) & (w->lines - 1);
	return &w->line[at];
}

static struct decided_window *find_window(const struct fl_replay *p, uint32_t window)
{
	struct decided_window *w = p->decided;

	while (w && w->window != window)
		w = w->next;
	return w;
}

static void forget(struct fl_replay *p, uint32_t window)
{
	for (struct decided_window **at = &p->decided, *w; (w = *at);) {
		if (w->window != window) {
			at = &w->next;
			continue;
		}
		*at = w->next;
		free(w->line);
		free(w);
	}
}

/* Three quarters full at most. */
static bool has_room(const struct fl_replay *p, struct decided_window *w)
{
	struct decided_window bigger = {.lines = w->lines ? 2 * w->lines : 1024};

	if (4 * (w->used + 1) <= 3 * w->lines)
		return true;
	if (w->used >= DECIDED_MAX)
		return false;
	bigger.line = calloc(bigger.lines, sizeof *bigger.line);
	if (!bigger.line)
		return false;
	for (size_t i = 0; i < w->lines; i++)
		if (w->line[i].opinion)
			*find_line(p, &bigger, &w->line[i].key) = w->line[i];
	free(w->line);
	w->line = bigger.line;
	w->lines = bigger.lines;
	return true;
}

static void note_decision(struct fl_replay *p, const struct fl_obs *o, const struct fl_subject *s,
			  const struct fl_decision *d)
{
	struct decided_window *w = find_window(p, o->window);
	uint16_t opinion = fl_opinions_add(p->opinions, p->filter, s, d);
	struct decided *line;

	if (!opinion)
		return;
	if (!w) {
		w = calloc(1, sizeof *w);
		if (!w) {
			p->not_kept++;
			return;
		}
		*w = (struct decided_window){.next = p->decided, .window = o->window};
		p->decided = w;
	}
	line = w->lines ? find_line(p, w, &o->key) : NULL;
	if (line && line->opinion) {
		if (!d->accept && fl_opinions_at(p->opinions, line->opinion)->accept)
			line->opinion = opinion;
		return;
	}
	if (!has_room(p, w)) {
		p->not_kept++;
		return;
	}
	line = find_line(p, w, &o->key);
	*line = (struct decided){.key = o->key, .opinion = opinion};
	w->used++;
}

void fl_replay_verdict(const struct fl_replay *p, uint32_t window, const struct fl_key *key,
		       struct fl_verdict_values *ret)
{
	const struct decided_window *w = find_window(p, window);
	const struct fl_opinion *o = w && w->lines ? fl_opinions_at(p->opinions, find_line(p, w, key)->opinion) : NULL;
	const uint32_t flags = p->enforced ? FL_WINDOW_POLICY : 0;
	struct fl_ground g = {0};

	if (o) {
		g.opinion = o->accept ? FL_OPINION_ACCEPT : FL_OPINION_REJECT;
		memcpy(g.rule, o->text, sizeof g.rule);
	}
	fl_ground_values(flags, key->dirfam & FL_KEY_REJECT ? FL_ACTION_REJECT : FL_ACTION_ACCEPT, o ? &g : NULL, ret);
}

void fl_replay_free(struct fl_replay **p)
{
	if (!*p)
		return;
	fl_connections_free(&(*p)->connections);
	fl_policy_free(&(*p)->policy);
	fl_enricher_free(&(*p)->enricher);
	fl_network_free(&(*p)->network);
	fl_opinions_free(&(*p)->opinions);
	while ((*p)->decided)
		forget(*p, (*p)->decided->window);
	fl_questions_free(&(*p)->questions);
	free(*p);
	*p = NULL;
}

/* The table of connections is made with the first packet: its time is when the looking began. */
static int prepare(struct fl_replay *p, const struct fl_replay_conf *conf)
{
	int r = fl_network_read(&p->network, conf->inventory);

	if (!r)
		r = fl_network_lookup(p->network, conf->interface, &p->eni);
	if (r)
		return fl_wrap(r, "inventory");
	fl_inventory_tell("meter", p->network);
	fl_network_identity(p->network, p->eni, &p->identity);
	if (fl_format_kind(conf->format) == FL_LOG_TGW) {
		if (!p->eni->attachment)
			return fl_fail(-EINVAL,
				       "--interface %s is of no transit gateway attachment in the inventory, and the "
				       "format is that of a transit gateway's flow log",
				       conf->interface);
		if (conf->enforced)
			return fl_fail(-EINVAL, "--enforced: transit gateway flow logs have no action");
	}
	r = fl_policy_of(&p->policy, p->network);
	if (!r)
		r = fl_policy_filter(p->policy, p->eni, &p->filter);
	return r ? r : fl_enricher_new(&p->enricher, conf->format, &conf->enrich);
}

int fl_replay_new(struct fl_replay **ret, const struct fl_replay_conf *conf)
{
	FL_CLEANUP(fl_replay_free) struct fl_replay *p = calloc(1, sizeof *p);
	int r;

	if (!p)
		return -ENOMEM;
	p->enforced = conf->enforced;
	p->seed = fl_random_seed();
	r = fl_questions_new(&p->questions, QUESTIONS, p->seed);
	if (!r)
		r = prepare(p, conf);
	if (!r && conf->verdicts)
		r = fl_opinions_new(&p->opinions);
	if (r)
		return r;
	*ret = p;
	p = NULL;
	return 0;
}

int fl_replay_tags(const char *const *tags, struct fl_enrich_conf *ret)
{
	for (; tags && *tags; tags++) {
		size_t n = strcspn(*tags, "="), i = 0;

		while (i < FL_TAG_FIELDS && (strlen(fl_tag_fields[i]) != n || strncmp(fl_tag_fields[i], *tags, n) != 0))
			i++;
		if (i == FL_TAG_FIELDS || !(*tags)[n] || !(*tags)[n + 1])
			return fl_fail(-EINVAL,
				       "--tag %s: expected FIELD=KEY, where FIELD is instance-tag, interface-tag, "
				       "asg-tag or one of these with -2",
				       *tags);
		ret->tag_key[i] = *tags + n + 1;
	}
	return 0;
}

int fl_replay_begin(struct fl_replay *p, struct fl_encoder *e)
{
	return fl_enricher_set(p->enricher, e, &p->identity, p->network, p->eni, NULL);
}

static bool has_address(const struct fl_net_eni *e, const struct fl_addr *a)
{
	for (size_t i = 0; i < e->n_addrs; i++)
		if (fl_addr_equal(&e->addr[i].addr, a))
			return true;
	for (size_t i = 0; i < e->prefixes.n; i++)
		if (fl_cidr_has(&e->prefixes.cidr[i], a))
			return true;
	return false;
}

/* A router's interface has the rest of the world behind it: what comes from the networks before it goes into it. */
static enum fl_dir by_networks(const struct fl_replay *p, const struct fl_key *k)
{
	bool v6 = k->dirfam & FL_KEY_V6, from, to;

	if (!p->eni->is_port && !p->eni->attachment)
		return FL_DIR_NONE;
	from = fl_network_is_before(p->network, p->eni, &k->src, v6);
	to = fl_network_is_before(p->network, p->eni, &k->dst, v6);
	return from == to ? FL_DIR_NONE : from ? FL_DIR_INGRESS : FL_DIR_EGRESS;
}

static enum fl_dir direction(const struct fl_replay *p, const struct fl_obs *o, const uint8_t *ethernet)
{
	if (ethernet && p->eni->has_mac && !memcmp(ethernet + 6, p->eni->mac, 6))
		return FL_DIR_EGRESS;
	if (ethernet && p->eni->has_mac && !memcmp(ethernet, p->eni->mac, 6))
		return FL_DIR_INGRESS;
	if (has_address(p->eni, &o->key.src))
		return FL_DIR_EGRESS;
	if (has_address(p->eni, &o->key.dst))
		return FL_DIR_INGRESS;
	return by_networks(p, &o->key);
}

static void start(struct fl_replay *p, uint64_t time_ms)
{
	struct fl_connections_conf cc = {.capacity = CONNECTIONS, .seed = p->seed, .start_ms = time_ms};

	p->started = true;
	if (fl_connections_new(&p->connections, &cc))
		fprintf(stderr, "flowlog meter: no memory for %u connections: rules are replayed without any\n",
			CONNECTIONS);
}

void fl_replay_packet(struct fl_replay *p, struct fl_obs *o, const uint8_t *ethernet, int icmp_type, uint64_t time_ms)
{
	struct fl_subject s = {.icmp_type = (int16_t)icmp_type, .icmp_code = -1, .tcp = o->tcp, .packets = o->packets};
	struct fl_decision d;

	if (fl_unlikely(!p->started))
		start(p, time_ms);
	o->key.dirfam |= direction(p, o, ethernet);
	if (fl_key_dir(&o->key) == FL_DIR_NONE) { /* the capture holds somebody else's traffic too */
		p->elsewhere.packets += o->packets;
		p->elsewhere.bytes += o->bytes;
		return;
	}
	s.key = o->key;
	s.first_ms = s.last_ms = time_ms;
	fl_judge(p->filter, p->connections, &s, &d);
	p->judged.packets += o->packets;
	p->judged.bytes += o->bytes;
	p->contradictions += fl_questions_note(p->questions, &s, !d.accept && d.by != FL_BY_CLOSED);
	if (!d.accept) {
		p->denied[d.by].packets += o->packets;
		p->denied[d.by].bytes += o->bytes;
		if (p->enforced)
			o->key.dirfam |= FL_KEY_REJECT | (d.by == FL_BY_BPA ? FL_KEY_BPA : 0);
	}
	if (fl_unlikely(p->opinions))
		note_decision(p, o, &s, &d);
}

int fl_replay_line(struct fl_replay *p, struct fl_encoder *e, const struct fl_flow_line *l, struct fl_buf *out)
{
	return fl_enrich_line(p->enricher, e, l, out);
}

void fl_replay_window(struct fl_replay *p, uint32_t window, uint64_t end_ms)
{
	forget(p, window);
	if (p->connections)
		fl_connections_expire(p->connections, end_ms, EXPIRE_BUDGET);
}

void fl_replay_json(const struct fl_replay *p, struct fl_json *j)
{
	struct fl_connections_stats s = {0};

	if (p->connections)
		fl_connections_stats(p->connections, &s);
	fl_json_key(j, "policy");
	fl_json_object(j);
	fl_json_kstr(j, "interface", p->eni->noun.id);
	fl_json_kbool(j, "enforced", p->enforced);
	fl_count_json(j, "judged", &p->judged);
	fl_count_json(j, "not_this_interface", &p->elsewhere);
	fl_json_key(j, "denied");
	fl_json_object(j);
	for (unsigned i = 0; i < FL_BY_N; i++)
		if (p->denied[i].packets)
			fl_count_json(j, fl_decider_names[i], &p->denied[i]);
	fl_json_end_object(j);
	fl_json_ku64(j, "contradictions", p->contradictions);
	fl_json_ku64(j, "connections_evicted", s.evicted);
	fl_json_end_object(j);
}

void fl_replay_tell(const struct fl_replay *p)
{
	uint64_t denied = 0;

	for (unsigned i = 0; i < FL_BY_N; i++)
		denied += p->denied[i].packets;
	if (!p->enforced && denied)
		fprintf(stderr,
			"flowlog meter: the rules of %s deny %llu packet%s; ACCEPT all the same, for nobody said that "
			"the rules "
			"were in "
			"force (--enforced)\n",
			p->eni->noun.id, (unsigned long long)denied, denied == 1 ? "" : "s");
	if (p->not_kept)
		fprintf(stderr,
			"flowlog meter: what decided about %llu packets is not said: their windows have more flows "
			"than are "
			"remembered\n",
			(unsigned long long)p->not_kept);
	if (p->contradictions)
		fprintf(stderr,
			"flowlog meter: %llu flow%s that the rules deny %s answered all the same: these rules were not "
			"in force, or "
			"not at this time\n",
			(unsigned long long)p->contradictions, p->contradictions == 1 ? "" : "s",
			p->contradictions == 1 ? "was" : "were");
	if (p->elsewhere.packets)
		fprintf(stderr,
			"flowlog meter: %llu of the packets are not of %s: neither its MAC address nor one of its "
			"addresses\n",
			(unsigned long long)p->elsewhere.packets, p->eni->noun.id);
}
