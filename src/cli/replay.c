/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/replay.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/hash.h"
#include "inventory/network.h"
#include "policy/policy.h"

#define CONNECTIONS (1u << 20)
#define PROBLEMS_SHOWN 10
#define OPENERS (1u << 14) /* rejected ones that are remembered, to see whether they are answered */
#define EXPIRE_BUDGET 65536

/* A flow whose opening packet the rules deny. An answer to it says that the rules were not in force. */
struct opener {
	struct fl_key key;
	bool used;
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

static void tell_problems(const struct fl_network *net)
{
	size_t n;
	const struct fl_problem *p = fl_network_problems(net, &n);

	for (size_t i = 0; i < n && i < PROBLEMS_SHOWN; i++)
		fprintf(stderr, "flowlog meter: %s: %s: %s\n", p[i].file, p[i].path, p[i].text);
	if (n > PROBLEMS_SHOWN)
		fprintf(stderr, "flowlog meter: %zu more such problems; \"flowlog inventory import\" lists them all\n",
			n - PROBLEMS_SHOWN);
}

/* The table of connections is made with the first packet: its time is when the looking began. */
static int prepare(struct fl_replay *p, const struct fl_replay_conf *conf)
{
	struct fl_policy_conf pc = {0};
	int r = fl_network_read(&p->network, conf->inventory);

	if (!r)
		r = fl_network_lookup(p->network, conf->interface, &p->eni);
	if (r)
		return fl_wrap(r, "inventory");
	tell_problems(p->network);
	pc.enis = fl_network_enis(p->network, &pc.n_enis);
	fl_network_identity(p->network, p->eni, &p->identity);
	r = fl_policy_new(&p->policy, &pc);
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

static enum fl_dir direction(const struct fl_replay *p, const struct fl_obs *o, const uint8_t *ethernet)
{
	if (ethernet && p->eni->has_mac && !memcmp(ethernet + 6, p->eni->mac, 6))
		return FL_DIR_EGRESS;
	if (ethernet && p->eni->has_mac && !memcmp(ethernet, p->eni->mac, 6))
		return FL_DIR_INGRESS;
	if (has_address(p->eni, &o->key.src))
		return FL_DIR_EGRESS;
	return has_address(p->eni, &o->key.dst) ? FL_DIR_INGRESS : FL_DIR_NONE;
}

static struct opener *opener_of(struct fl_replay *p, const struct fl_key *k)
{
	return &p->opener[fl_hash_bytes(k, sizeof *k, p->seed) % OPENERS];
}

static void note_denied(struct fl_replay *p, const struct fl_obs *o, const struct fl_subject *s,
			const struct fl_decision *d)
{
	p->denied[d->by].packets += o->packets;
	p->denied[d->by].bytes += o->bytes;
	if (fl_subject_asks(s) && d->by != FL_BY_CLOSED)
		*opener_of(p, &o->key) = (struct opener){.key = o->key, .used = true};
}

static void note_answer(struct fl_replay *p, const struct fl_subject *s)
{
	struct fl_key asked = fl_subject_reverse(s).key;
	struct opener *x = opener_of(p, &asked);

	if (!x->used || memcmp(&x->key, &asked, sizeof asked) != 0)
		return;
	p->contradictions++;
	x->used = false; /* one a flow */
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
	if (fl_subject_answers(&s))
		note_answer(p, &s);
	if (d.accept)
		return;
	note_denied(p, o, &s, &d);
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
		fprintf(
		    stderr,
		    "flowlog meter: the rules of %s deny %llu packets; they are ACCEPT, for nobody said that the rules "
		    "were in "
		    "force (--enforced)\n",
		    p->eni->noun.id, (unsigned long long)denied);
	if (p->contradictions)
		fprintf(
		    stderr,
		    "flowlog meter: %llu flows that the rules deny were answered all the same: these rules were not in "
		    "force, or "
		    "not at this time\n",
		    (unsigned long long)p->contradictions);
	if (p->elsewhere.packets)
		fprintf(stderr,
			"flowlog meter: %llu packets are not of %s: neither its MAC address nor one of its addresses\n",
			(unsigned long long)p->elsewhere.packets, p->eni->noun.id);
}
