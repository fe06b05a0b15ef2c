/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/suggest.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/error.h"
#include "base/hash.h"
#include "policy/peers.h"
#include "policy/trace_hops.h"

#define P_TCP 6
#define P_UDP 17

struct need {
	struct fl_need n;
	uint64_t flows, bytes;
	int64_t last;
};

/* The peers of one service, then of all services that have the same: first..first+n of the sorted needs. */
struct service {
	size_t first, n;
	uint64_t peers_hash;
	uint16_t from, to; /* ports */
	uint64_t flows, bytes;
};

struct fl_suggest {
	struct fl_suggest_conf conf;
	struct need *need;
	size_t n, cap;
	uint32_t *index; /* hash -> need + 1 */
	size_t index_cap;
	uint64_t seed;
	struct fl_suggested *rule;
	size_t n_rules, rule_cap;
	struct fl_rule_use *use;
	size_t n_uses;
	char **text; /* of the rules' CIDRs */
	size_t n_texts;
};

int fl_suggest_new(struct fl_suggest **ret, const struct fl_suggest_conf *conf)
{
	struct fl_suggest *s = calloc(1, sizeof *s);

	if (!s)
		return fl_fail(-ENOMEM, "no memory for a suggestion");
	s->conf = *conf;
	s->seed = fl_random_seed();
	*ret = s;
	return 0;
}

void fl_suggest_free(struct fl_suggest **suggest)
{
	struct fl_suggest *s = *suggest;

	if (!s)
		return;
	for (size_t i = 0; i < s->n_texts; i++)
		free(s->text[i]);
	free(s->text);
	free(s->need);
	free(s->index);
	free(s->rule);
	free(s->use);
	free(s);
	*suggest = NULL;
}

/* ---- needs ---- */

static bool same(const struct fl_need *a, const struct fl_need *b)
{
	return a->dir == b->dir && a->proto == b->proto && a->v6 == b->v6 && a->port == b->port &&
	       fl_addr_equal(&a->peer, &b->peer);
}

static size_t hash(const struct fl_suggest *s, const struct fl_need *n)
{
	uint64_t words[3];

	memcpy(words, n->peer.b, 16);
	words[2] = (uint64_t)n->dir << 32 | (uint64_t)n->proto << 24 | (uint64_t)n->v6 << 16 | n->port;
	return fl_hash_bytes(words, sizeof words, s->seed);
}

static int grow(struct fl_suggest *s)
{
	size_t cap = s->cap ? 2 * s->cap : 1024;
	struct need *more = realloc(s->need, cap * sizeof *more);
	uint32_t *index;

	if (!more)
		return fl_fail(-ENOMEM, "no memory for %zu needs", cap);
	s->need = more;
	s->cap = cap;
	index = calloc(2 * cap, sizeof *index);
	if (!index)
		return fl_fail(-ENOMEM, "no memory for %zu needs", cap);
	free(s->index);
	s->index = index;
	s->index_cap = 2 * cap;
	for (size_t i = 0; i < s->n; i++) {
		size_t at = hash(s, &s->need[i].n) & (s->index_cap - 1);

		while (index[at])
			at = (at + 1) & (s->index_cap - 1);
		index[at] = (uint32_t)i + 1;
	}
	return 0;
}

int fl_suggest_add(struct fl_suggest *s, const struct fl_need *need, uint64_t flows, uint64_t bytes, int64_t last)
{
	struct need *n = NULL;
	size_t at;
	int r = s->n == s->cap ? grow(s) : 0;

	if (r)
		return r;
	for (at = hash(s, need) & (s->index_cap - 1); s->index[at] && !n; at = (at + 1) & (s->index_cap - 1))
		if (same(&s->need[s->index[at] - 1].n, need))
			n = &s->need[s->index[at] - 1];
	if (!n) {
		if (s->n == FL_SUGGEST_NEEDS_MAX)
			return fl_fail(-E2BIG,
				       "more than %u different peers and ports; narrow the source, or suggest for a "
				       "single interface",
				       FL_SUGGEST_NEEDS_MAX);
		s->index[at] = (uint32_t)s->n + 1;
		n = &s->need[s->n++];
		*n = (struct need){.n = *need};
	}
	n->flows += flows;
	n->bytes += bytes;
	n->last = FL_MAX(n->last, last);
	return 0;
}

/* ---- services and their peers ---- */

static int by_service(const void *pa, const void *pb)
{
	const struct fl_need *a = &((const struct need *)pa)->n, *b = &((const struct need *)pb)->n;

	if (a->dir != b->dir)
		return a->dir < b->dir ? -1 : 1;
	if (a->proto != b->proto)
		return a->proto < b->proto ? -1 : 1;
	if (a->port != b->port)
		return a->port < b->port ? -1 : 1;
	if (a->v6 != b->v6)
		return a->v6 ? 1 : -1;
	return memcmp(a->peer.b, b->peer.b, 16);
}

static bool same_peers(const struct fl_suggest *s, const struct service *a, const struct service *b)
{
	if (a->n != b->n || a->peers_hash != b->peers_hash)
		return false;
	for (size_t i = 0; i < a->n; i++) {
		const struct fl_need *x = &s->need[a->first + i].n, *y = &s->need[b->first + i].n;

		if (x->v6 != y->v6 || !fl_addr_equal(&x->peer, &y->peer))
			return false;
	}
	return true;
}

/* Sorted needs -> one service a port, neighbours with the same peers joined. */
static int find_services(struct fl_suggest *s, struct service **ret, size_t *ret_n)
{
	struct service *v = calloc(s->n + 1, sizeof *v);
	size_t n = 0;

	if (!v)
		return -ENOMEM;
	for (size_t i = 0; i < s->n;) {
		const struct fl_need *first = &s->need[i].n;
		struct service *now = &v[n], *before = n ? &v[n - 1] : NULL;

		*now = (struct service){.first = i, .from = first->port, .to = first->port};
		for (; i < s->n && s->need[i].n.dir == first->dir && s->need[i].n.proto == first->proto &&
		       s->need[i].n.port == first->port;
		     i++) {
			now->n++;
			now->flows += s->need[i].flows;
			now->bytes += s->need[i].bytes;
			now->peers_hash = fl_hash_bytes(s->need[i].n.peer.b, 16, now->peers_hash + s->need[i].n.v6);
		}
		if (before && s->need[before->first].n.dir == first->dir &&
		    s->need[before->first].n.proto == first->proto && before->to + 1 == now->from &&
		    same_peers(s, before, now)) {
			before->to = now->to;
			before->flows += now->flows;
			before->bytes += now->bytes;
		} else {
			n++;
		}
	}
	*ret = v;
	*ret_n = n;
	return 0;
}

/* ---- rules ---- */

static const char *keep_text(struct fl_suggest *s, const char *text)
{
	char **more = realloc(s->text, (s->n_texts + 1) * sizeof *more);

	if (!more)
		return NULL;
	s->text = more;
	s->text[s->n_texts] = strdup(text);
	return s->text[s->n_texts] ? s->text[s->n_texts++] : NULL;
}

static int emit(struct fl_suggest *s, const struct service *v, const struct fl_cidr *cidr, bool v6,
		const struct fl_group *group, size_t peers)
{
	const struct fl_need *n = &s->need[v->first].n;
	bool ports = n->proto == P_TCP || n->proto == P_UDP;
	char text[FL_ADDR_TEXT_MAX + 5];
	struct fl_suggested *out;

	if (s->n_rules == s->rule_cap) {
		size_t cap = s->rule_cap ? 2 * s->rule_cap : 64;
		struct fl_suggested *more = realloc(s->rule, cap * sizeof *more);

		if (!more)
			return -ENOMEM;
		s->rule = more;
		s->rule_cap = cap;
	}
	out = &s->rule[s->n_rules];
	*out = (struct fl_suggested){.dir = n->dir, .flows = v->flows, .bytes = v->bytes, .peers = peers};
	out->rule = (struct fl_group_rule){.id = "",
					   .description = "",
					   .proto = n->proto,
					   .from = ports ? v->from : 0,
					   .to = ports ? v->to : 65535,
					   .icmp_type = -1,
					   .icmp_code = -1,
					   .peer = group ? FL_PEER_GROUP : FL_PEER_CIDR,
					   .v6 = v6,
					   .group = group};
	if (cidr)
		out->rule.cidr = *cidr;
	out->rule.peer_id = keep_text(s, group ? group->noun.id : cidr_text(cidr, v6, text));
	if (!out->rule.peer_id)
		return -ENOMEM;
	s->n_rules++;
	return 0;
}

static bool is_peered(const struct fl_suggest *s, const struct fl_vpc *a, const struct fl_vpc *b)
{
	size_t n;
	const struct fl_peering *p = fl_network_peerings(s->conf.net, &n);

	if (a == b)
		return true;
	for (size_t i = 0; a && b && i < n; i++)
		if (!strcmp(p[i].status, "active") &&
		    ((!strcmp(p[i].vpc_id[0], a->noun.id) && !strcmp(p[i].vpc_id[1], b->noun.id)) ||
		     (!strcmp(p[i].vpc_id[1], a->noun.id) && !strcmp(p[i].vpc_id[0], b->noun.id))))
			return true;
	return false;
}

static const struct fl_net_eni *member_at(const struct fl_suggest *s, const struct fl_need *n)
{
	const struct fl_net_eni *eni = fl_network_eni_at(s->conf.net, s->conf.vpc, &n->peer);

	eni = eni ? eni : fl_network_eni_at(s->conf.net, NULL, &n->peer);
	return eni && eni != s->conf.eni && is_peered(s, s->conf.vpc, eni->vpc) ? eni : NULL;
}

static bool is_in(const struct fl_net_eni *eni, const struct fl_group *g)
{
	for (size_t i = 0; eni && i < eni->n_groups; i++)
		if (eni->group[i] == g)
			return true;
	return false;
}

/* A peer that no rule covers yet, and a group that its interface is in. */
struct pair {
	const struct fl_group *group;
	const struct fl_net_eni *eni;
};

static int by_group(const void *pa, const void *pb)
{
	const struct pair *a = pa, *b = pb;
	int d = strcmp(a->group->noun.id, b->group->noun.id);

	if (d)
		return d;
	return a->eni->index < b->eni->index ? -1 : a->eni->index > b->eni->index;
}

static size_t list_pairs(const struct fl_net_eni *const *eni, const bool *covered, size_t n, struct pair *ret)
{
	size_t pairs = 0;

	for (size_t i = 0; i < n; i++)
		for (size_t g = 0; !covered[i] && eni[i] && g < eni[i]->n_groups; g++)
			if (eni[i]->group[g])
				ret[pairs++] = (struct pair){eni[i]->group[g], eni[i]};
	if (pairs)
		qsort(ret, pairs, sizeof *ret, by_group);
	return pairs;
}

/* The group that holds the most of them, if no more than half of its members were not seen. pair: room. */
static const struct fl_group *best_group(const struct fl_net_eni *const *eni, const bool *covered, size_t n,
					 struct pair *pair, size_t *ret_peers)
{
	size_t pairs = list_pairs(eni, covered, n, pair);
	const struct fl_group *best = NULL;

	*ret_peers = 0;
	for (size_t i = 0, k; i < pairs; i = k) {
		size_t members = 0;

		for (k = i; k < pairs && pair[k].group == pair[i].group; k++)
			members += k == i || pair[k].eni != pair[k - 1].eni;
		if (2 * members < pair[i].group->n_members || k - i <= *ret_peers)
			continue;
		best = pair[i].group;
		*ret_peers = k - i;
	}
	return best;
}

static int cover_by_groups(struct fl_suggest *s, const struct service *v, bool *covered)
{
	const struct fl_net_eni **eni = calloc(v->n, sizeof *eni);
	const struct fl_group *group;
	struct pair *pair = NULL;
	size_t peers, room = 1;
	int r = eni ? 0 : -ENOMEM;

	for (size_t i = 0; !r && i < v->n; i++) {
		eni[i] = member_at(s, &s->need[v->first + i].n);
		room += eni[i] ? eni[i]->n_groups : 0;
	}
	pair = r ? NULL : calloc(room, sizeof *pair);
	r = r || pair ? r : -ENOMEM;
	while (!r && (group = best_group(eni, covered, v->n, pair, &peers))) {
		r = emit(s, v, NULL, false, group, peers);
		for (size_t i = 0; i < v->n; i++)
			covered[i] |= is_in(eni[i], group);
	}
	free(pair);
	free(eni);
	return r;
}

/* Bits that both have from the left. */
static unsigned common_bits(const struct fl_addr *a, const struct fl_addr *b)
{
	for (unsigned i = 0; i < 16; i++)
		if (a->b[i] != b->b[i])
			return 8 * i + (unsigned)__builtin_clz((unsigned)(a->b[i] ^ b->b[i]) << 24);
	return 128;
}

static struct fl_cidr shorten(const struct fl_addr *a, unsigned bits)
{
	struct fl_cidr c = {.base = *a, .bits = (uint8_t)bits};

	for (unsigned i = bits; i < 128; i++)
		c.base.b[i / 8] &= (uint8_t) ~(0x80u >> i % 8);
	return c;
}

/* The longest prefix length by which the sorted addresses fall into no more than max networks. */
static unsigned cut_at(const struct fl_addr *a, size_t n, size_t max, unsigned least)
{
	size_t at[129] = {0}, networks = 1;
	unsigned bits;

	for (size_t i = 1; i < n; i++)
		at[common_bits(&a[i - 1], &a[i])]++;
	/* Each pair of neighbours that shares fewer bits is a border. */
	for (bits = least; bits < 128 && networks + at[bits] <= max; bits++)
		networks += at[bits];
	return bits;
}

static int cover_by_networks(struct fl_suggest *s, const struct service *v, const bool *covered, bool v6)
{
	struct fl_addr *a = calloc(v->n, sizeof *a);
	unsigned least = v6 ? 0 : 96, cut;
	size_t n = 0, public = 0;
	int r = a ? 0 : -ENOMEM;

	for (size_t i = 0; !r && i < v->n; i++)
		if (!covered[i] && s->need[v->first + i].n.v6 == v6) {
			a[n] = s->need[v->first + i].n.peer;
			public += !fl_addr_is_private(&a[n++], v6);
		}
	if (!r && n && s->conf.world_at && public >= s->conf.world_at) {
		struct fl_cidr world = shorten(&a[0], least);

		r = emit(s, v, &world, v6, NULL, n);
		n = 0;
	}
	cut = n ? cut_at(a, n, FL_MAX(s->conf.networks_max, (size_t)1), least) : 128;
	for (size_t i = 0, k; !r && i < n; i = k) {
		unsigned bits = 128;
		struct fl_cidr c;

		for (k = i + 1; k < n && common_bits(&a[k - 1], &a[k]) >= cut; k++)
			bits = FL_MIN(bits, common_bits(&a[k - 1], &a[k]));
		c = shorten(&a[i], bits);
		r = emit(s, v, &c, v6, NULL, k - i);
	}
	free(a);
	return r;
}

static int make_rules(struct fl_suggest *s)
{
	struct service *v = NULL;
	size_t n = 0;
	int r = find_services(s, &v, &n);

	for (size_t i = 0; !r && i < n; i++) {
		bool *covered = calloc(v[i].n, sizeof *covered);

		r = covered ? cover_by_groups(s, &v[i], covered) : -ENOMEM;
		r = r ? r : cover_by_networks(s, &v[i], covered, false);
		r = r ? r : cover_by_networks(s, &v[i], covered, true);
		free(covered);
	}
	free(v);
	return r;
}

/* ---- the rules there are ---- */

static bool has_ports(int proto)
{
	return proto == P_TCP || proto == P_UDP;
}

static bool rule_serves(const struct fl_group_rule *r, const struct fl_need *n)
{
	return (r->proto < 0 || r->proto == n->proto) &&
	       (!has_ports(r->proto) || (r->from <= n->port && n->port <= r->to)) &&
	       fl_peer_of_rule(r, &n->peer, n->v6);
}

static double list_size(const struct fl_cidrs *list)
{
	double n = 0;

	for (size_t i = 0; i < list->n; i++)
		n += exp2(128 - list->cidr[i].bits);
	return n;
}

static double rule_size(const struct fl_group_rule *r)
{
	double n = 0;

	if (r->peer == FL_PEER_CIDR)
		return exp2(128 - r->cidr.bits);
	if (r->peer == FL_PEER_LIST)
		return r->list ? list_size(&r->list->cidrs) : 0;
	for (size_t m = 0; r->group && m < r->group->n_members; m++)
		n += (double)r->group->member[m]->n_addrs + list_size(&r->group->member[m]->prefixes);
	return n;
}

/* Does one suggested rule allow all that this one does? */
static bool is_kept(const struct fl_suggest *s, enum fl_dir dir, const struct fl_group_rule *old)
{
	for (size_t i = 0; i < s->n_rules; i++) {
		const struct fl_group_rule *r = &s->rule[i].rule;

		if (s->rule[i].dir != dir || r->proto != old->proto ||
		    (has_ports(r->proto) && (r->from > old->from || r->to < old->to)))
			continue;
		if (old->peer == FL_PEER_GROUP && r->peer == FL_PEER_GROUP && r->group == old->group && old->group)
			return true;
		if (old->peer == FL_PEER_CIDR && r->peer == FL_PEER_CIDR && r->v6 == old->v6 &&
		    r->cidr.bits <= old->cidr.bits && fl_cidr_has(&r->cidr, &old->cidr.base))
			return true;
	}
	return false;
}

static int by_peer(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct fl_addr));
}

static int measure_use(const struct fl_suggest *s, struct fl_rule_use *use, struct fl_addr *peers)
{
	uint16_t port = 0;
	bool any = false;
	size_t n = 0;

	use->addresses = rule_size(use->rule);
	use->kept = is_kept(s, use->dir, use->rule);
	for (size_t i = 0; i < s->n; i++) {
		const struct need *need = &s->need[i];

		if (need->n.dir != use->dir || !rule_serves(use->rule, &need->n))
			continue;
		use->flows += need->flows;
		use->bytes += need->bytes;
		use->last = FL_MAX(use->last, need->last);
		peers[n++] = need->n.peer;
		/* Needs are sorted by port within a protocol. */
		if (!any || need->n.port != port)
			use->ports++;
		port = need->n.port;
		use->port_from = any ? FL_MIN(use->port_from, port) : port;
		use->port_to = any ? FL_MAX(use->port_to, port) : port;
		any = true;
	}
	if (n)
		qsort(peers, n, sizeof *peers, by_peer);
	for (size_t i = 0; i < n; i++)
		use->peers += !i || !fl_addr_equal(&peers[i - 1], &peers[i]);
	return 0;
}

static int measure_uses(struct fl_suggest *s)
{
	struct fl_addr *peers = malloc((s->n + 1) * sizeof *peers);
	size_t total = 0;

	for (size_t g = 0; g < s->conf.n_groups; g++)
		total += s->conf.group[g] ? s->conf.group[g]->in.n + s->conf.group[g]->out.n : 0;
	s->use = calloc(total + 1, sizeof *s->use);
	for (size_t g = 0; s->use && peers && g < s->conf.n_groups; g++) {
		const struct fl_group *group = s->conf.group[g];

		for (size_t i = 0; group && i < group->in.n + group->out.n; i++) {
			bool in = i < group->in.n;
			struct fl_rule_use *use = &s->use[s->n_uses++];

			*use =
			    (struct fl_rule_use){.dir = in ? FL_DIR_INGRESS : FL_DIR_EGRESS,
						 .group = group,
						 .rule = in ? &group->in.rule[i] : &group->out.rule[i - group->in.n]};
			measure_use(s, use, peers);
		}
	}
	free(peers);
	return s->use && peers ? 0 : -ENOMEM;
}

int fl_suggest_finish(struct fl_suggest *s)
{
	int r;

	if (s->n)
		qsort(s->need, s->n, sizeof *s->need, by_service);
	r = make_rules(s);
	return r ? r : measure_uses(s);
}

const struct fl_suggested *fl_suggest_rules(const struct fl_suggest *s, size_t *ret_n)
{
	*ret_n = s->n_rules;
	return s->rule;
}

const struct fl_rule_use *fl_suggest_uses(const struct fl_suggest *s, size_t *ret_n)
{
	*ret_n = s->n_uses;
	return s->use;
}
