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
#define OPENERS (1u << 18) /* questions that are remembered, to see whether denied ones are answered */
#define EXPIRE_BUDGET 65536

/* The opening packet of a flow. An answer to one that the rules deny says that they were not in force. */
struct opener {
	struct fl_key key;
	bool used, denied;
};

struct fl_replay {
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
	struct opener *opener;
};

void fl_replay_free(struct fl_replay **p)
{
	if (!*p)
		return;
	fl_connections_free(&(*p)->connections);
	fl_policy_free(&(*p)->policy);
	fl_enricher_free(&(*p)->enricher);
	fl_network_free(&(*p)->network);
	free((*p)->opener);
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
	p->opener = calloc(OPENERS, sizeof *p->opener);
	r = p->opener ? prepare(p, conf) : -ENOMEM;
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
	return fl_enricher_set(p->enricher, e, &p->identity, p->network, p->eni);
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

static struct opener *opener_of(struct fl_replay *p, const struct fl_key *k)
{
	return &p->opener[fl_hash_bytes(k, sizeof *k, p->seed) % OPENERS];
}

static struct fl_key reversed(const struct fl_key *k)
{
	struct fl_key r = *k;

	r.src = k->dst;
	r.dst = k->src;
	r.sport = k->dport;
	r.dport = k->sport;
	r.dirfam ^= FL_DIR_INGRESS | FL_DIR_EGRESS; /* one of the two bits is set */
	return r;
}

static bool holds(const struct opener *x, const struct fl_key *k)
{
	return x->used && !memcmp(&x->key, k, sizeof *k);
}

/*
 * A question that the rules deny and that was answered: they were not in force. TCP says which is which; of the rest
 * the first that was seen is the question, and an answer that is denied asks for nothing.
 */
static void note_question(struct fl_replay *p, const struct fl_obs *o, int icmp_type, bool denied)
{
	struct fl_key asked = reversed(&o->key);
	struct opener *question = opener_of(p, &asked), *own;
	bool tcp = o->key.proto == 6,
	     echo_reply = (o->key.proto == 1 && icmp_type == 0) || (o->key.proto == 58 && icmp_type == 129);

	if (tcp && !(o->tcp & 2))
		return;
	if (tcp ? o->tcp & FL_TCP_SYNACK : echo_reply || holds(question, &asked)) {
		if (!holds(question, &asked) || !question->denied)
			return;
		p->contradictions++;
		question->denied = false; /* one a flow */
		return;
	}
	own = opener_of(p, &o->key);
	if (!holds(own, &o->key) || tcp)
		*own = (struct opener){.key = o->key, .used = true, .denied = denied};
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
	note_question(p, o, icmp_type, !d.accept && d.by != FL_BY_CLOSED);
	if (d.accept)
		return;
	p->denied[d.by].packets += o->packets;
	p->denied[d.by].bytes += o->bytes;
	if (p->enforced)
		o->key.dirfam |= FL_KEY_REJECT | (d.by == FL_BY_BPA ? FL_KEY_BPA : 0);
}

int fl_replay_line(struct fl_replay *p, struct fl_encoder *e, const struct fl_flow_line *l, struct fl_buf *out)
{
	return fl_enrich_line(p->enricher, e, l, out);
}

void fl_replay_window(struct fl_replay *p, uint64_t end_ms)
{
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
