/* SPDX-License-Identifier: Apache-2.0 */
#include "oracle.h"

#include <stdlib.h>
#include <string.h>

enum { IN = FL_DIR_INGRESS, OUT = FL_DIR_EGRESS };

static bool v6_packet(const struct fl_subject *s)
{
	return (s->key.dirfam & 0x80) != 0;
}

static bool bit(const struct fl_addr *a, unsigned i)
{
	return a->b[i / 8] >> (7 - i % 8) & 1;
}

static bool in_cidr(const struct fl_cidr *c, bool cidr_v6, const struct fl_addr *a, bool v6)
{
	if (cidr_v6 != v6)
		return false;
	for (unsigned i = v6 ? 0 : 96; i < c->bits; i++)
		if (bit(&c->base, i) != bit(a, i))
			return false;
	return true;
}

/* Lists carry no family: IPv4 is what is written below ::ffff:0:0/96. */
static bool list_v6(const struct fl_cidr *c)
{
	static const uint8_t v4[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255};

	return c->bits < 96 || memcmp(c->base.b, v4, 12) != 0;
}

static bool in_list(const struct fl_cidrs *list, const struct fl_addr *a, bool v6)
{
	for (size_t i = 0; i < list->n; i++)
		if (in_cidr(&list->cidr[i], list_v6(&list->cidr[i]), a, v6))
			return true;
	return false;
}

static bool service_matches(int proto, unsigned from, unsigned to, int type, int code, bool allow,
			    const struct fl_subject *s)
{
	if (proto == -1)
		return true;
	if (proto != s->key.proto)
		return false;
	if (proto == 6 || proto == 17)
		return from <= s->key.dport && s->key.dport <= to;
	if (proto != 1 && proto != 58)
		return true;
	if (type == -1)
		return true;
	if (s->icmp_type == -1)
		return allow;
	if (type != s->icmp_type)
		return false;
	return code == -1 || (s->icmp_code == -1 ? allow : code == s->icmp_code);
}

static bool group_rule_matches(const struct fl_group_rule *r, const struct fl_subject *s, const struct fl_addr *peer)
{
	bool v6 = v6_packet(s);

	if (!service_matches(r->proto, r->from, r->to, r->icmp_type, r->icmp_code, true, s))
		return false;
	if (r->peer == FL_PEER_CIDR)
		return in_cidr(&r->cidr, r->v6, peer, v6);
	if (r->peer == FL_PEER_LIST)
		return r->list && in_list(&r->list->cidrs, peer, v6);
	for (size_t m = 0; r->group && m < r->group->n_members; m++) {
		const struct fl_net_eni *e = r->group->member[m];

		for (size_t a = 0; a < e->n_addrs; a++)
			if (e->addr[a].v6 == v6 && !memcmp(e->addr[a].addr.b, peer->b, 16))
				return true;
		if (in_list(&e->prefixes, peer, v6))
			return true;
	}
	return false;
}

static const struct fl_addr *peer_in(const struct fl_subject *s, int dir)
{
	return dir == IN ? &s->key.src : &s->key.dst;
}

/* Groups by their ids, rules in their order. */
static bool groups_allow(const struct fl_net_eni *eni, int dir, const struct fl_subject *s, struct fl_decision *d)
{
	const struct fl_group *done = NULL;

	for (;;) {
		const struct fl_group *g = NULL;

		for (size_t i = 0; i < eni->n_groups; i++) {
			const struct fl_group *x = eni->group[i];

			if (x && (!done || strcmp(x->noun.id, done->noun.id) > 0) &&
			    (!g || strcmp(x->noun.id, g->noun.id) < 0))
				g = x;
		}
		if (!g)
			return false;
		for (size_t i = 0; i < (dir == IN ? g->in.n : g->out.n); i++) {
			const struct fl_group_rule *r = dir == IN ? &g->in.rule[i] : &g->out.rule[i];

			if (group_rule_matches(r, s, peer_in(s, dir))) {
				d->group = g;
				d->group_rule = r;
				return true;
			}
		}
		done = g;
	}
}

static bool has_world(const struct fl_cidrs *list, bool v6)
{
	for (size_t i = 0; i < list->n; i++)
		if (list_v6(&list->cidr[i]) == v6 && list->cidr[i].bits == (v6 ? 0 : 96))
			return true;
	return false;
}

/* All addresses of the family by one CIDR; through a list or a member's delegated prefix as well. */
static bool rule_is_world(const struct fl_group_rule *r, bool v6)
{
	unsigned none = v6 ? 0 : 96;

	if (r->peer == FL_PEER_CIDR)
		return r->v6 == v6 && r->cidr.bits == none;
	if (r->peer == FL_PEER_LIST)
		return r->list && has_world(&r->list->cidrs, v6);
	for (size_t m = 0; r->group && m < r->group->n_members; m++)
		if (has_world(&r->group->member[m]->prefixes, v6))
			return true;
	return false;
}

/* "a TCP or UDP rule allows all addresses and a rule in the other direction allows all addresses and all ports" */
static bool is_open(const struct fl_net_eni *eni, int dir, const struct fl_subject *s)
{
	bool world = false, back = false;

	for (size_t g = 0; g < eni->n_groups; g++) {
		const struct fl_group *x = eni->group[g];

		if (!x)
			continue;
		for (size_t i = 0; i < x->in.n + x->out.n; i++) {
			const struct fl_group_rule *r = i < x->in.n ? &x->in.rule[i] : &x->out.rule[i - x->in.n];
			int rule_dir = i < x->in.n ? IN : OUT;

			if (!rule_is_world(r, v6_packet(s)))
				continue;
			if (rule_dir == dir)
				world |= service_matches(r->proto, r->from, r->to, r->icmp_type, r->icmp_code, true, s);
			else
				back |= r->proto == -1 || (r->proto == s->key.proto && r->from == 0 && r->to == 65535);
		}
	}
	return world && back;
}

static int reversed_type(int proto, int type)
{
	static const int pairs[][3] = {{1, 8, 0},   {1, 13, 14},    {1, 15, 16},
				       {1, 17, 18}, {58, 128, 129}, {58, 139, 140}};

	for (unsigned i = 0; i < 6; i++) {
		if (pairs[i][0] == proto && pairs[i][1] == type)
			return pairs[i][2];
		if (pairs[i][0] == proto && pairs[i][2] == type)
			return pairs[i][1];
	}
	return type;
}

static bool asks(const struct fl_subject *s)
{
	int t = s->icmp_type;

	return s->key.proto == 1 ? t == 8 || t == 13 || t == 15 || t == 17
				 : s->key.proto == 58 && (t == 128 || t == 139);
}

static struct fl_subject reversed(const struct fl_subject *s)
{
	struct fl_subject r = *s;

	r.key.src = s->key.dst;
	r.key.dst = s->key.src;
	r.key.sport = s->key.dport;
	r.key.dport = s->key.sport;
	r.key.dirfam = (uint8_t)((s->key.dirfam & 0x80) | (3 - (s->key.dirfam & 3)));
	r.icmp_type = (int16_t)reversed_type(s->key.proto, s->icmp_type);
	return r;
}

/* The most specific; static before propagated; the earlier. */
static const struct fl_route *route_for(const struct fl_net_eni *eni, const struct fl_addr *peer, bool v6)
{
	const struct fl_route_table *t = eni->subnet ? eni->subnet->routes : NULL;
	const struct fl_route *best = NULL;
	int best_bits = -1;

	for (size_t i = 0; t && i < t->n; i++) {
		const struct fl_route *r = &t->route[i];
		int bits = -1;

		if (!r->list && r->list_id[0] == '\0' && in_cidr(&r->cidr, r->v6, peer, v6))
			bits = r->cidr.bits;
		for (size_t k = 0; r->list && k < r->list->cidrs.n; k++) {
			const struct fl_cidr *c = &r->list->cidrs.cidr[k];

			if (in_cidr(c, list_v6(c), peer, v6) && c->bits > bits)
				bits = c->bits;
		}
		if (bits >= 0 && (bits > best_bits || (bits == best_bits && best->propagated && !r->propagated))) {
			best = r;
			best_bits = bits;
		}
	}
	return best;
}

static bool special(const struct fl_net_eni *e)
{
	return !strcmp(e->type, "natGateway") || !strcmp(e->type, "nat_gateway") ||
	       !strcmp(e->type, "network_load_balancer") || !strcmp(e->type, "vpc_endpoint") ||
	       !strcmp(e->type, "lambda") || !strcmp(e->type, "gateway_load_balancer_endpoint") ||
	       !strcmp(e->type, "global_accelerator_managed");
}

static bool opener(const struct fl_subject *s)
{
	return (s->tcp & 2) && !(s->tcp & 0x40);
}

static bool is_tracked(const struct oracle *o, const struct fl_net_eni *eni, const struct fl_subject *s)
{
	int dir = s->key.dirfam & 3;
	const struct fl_addr *peer = peer_in(s, dir);
	struct fl_subject back = reversed(s);
	const struct fl_route *route;

	if (s->key.proto != 6 && s->key.proto != 17)
		return true;
	if (!is_open(eni, dir, s) && (is_open(eni, 3 - dir, &back) == false || (s->key.proto == 6 && opener(s))))
		return true;
	if (special(eni))
		return true;
	for (size_t i = 0; i < o->n_enis; i++)
		for (size_t a = 0; a < o->enis[i].n_addrs; a++)
			if (special(&o->enis[i]) && o->enis[i].vpc == eni->vpc &&
			    !memcmp(o->enis[i].addr[a].addr.b, peer->b, 16))
				return true;
	route = route_for(eni, peer, v6_packet(s));
	if (!route)
		return false;
	if (route->target == FL_TARGET_GATEWAY_ENDPOINT) {
		const char *dot = route->list ? strrchr(route->list->noun.name, '.') : NULL;

		return dot && !strcmp(dot, ".dynamodb");
	}
	return route->target == FL_TARGET_EGRESS_ONLY_GATEWAY || route->target == FL_TARGET_NAT_GATEWAY ||
	       route->target == FL_TARGET_LOAD_BALANCER_ENDPOINT;
}

static bool addr_is(const struct fl_addr *a, const char *text)
{
	struct fl_addr b;

	return !fl_addr_parse(text, strlen(text), &b, NULL) && !memcmp(a->b, b.b, 16);
}

static bool unfiltered(const struct fl_net_eni *eni, const struct fl_subject *s)
{
	static const char *const any[] = {"169.254.169.254", "fd00:ec2::254", "169.254.169.123", "fd00:ec2::123",
					  "169.254.170.2"};
	int dir = s->key.dirfam & 3, proto = s->key.proto;
	const struct fl_addr *peer = peer_in(s, dir);
	unsigned port = dir == IN ? s->key.sport : s->key.dport, x = s->key.sport, y = s->key.dport;

	if (proto == 17 &&
	    (((x == 67 || x == 68) && (y == 67 || y == 68)) || ((x == 546 || x == 547) && (y == 546 || y == 547))))
		return true;
	for (unsigned i = 0; i < 5; i++)
		if (addr_is(peer, any[i]))
			return true;
	if (port == 53 && (proto == 17 || proto == 6) &&
	    (addr_is(peer, "169.254.169.253") || addr_is(peer, "fd00:ec2::253")))
		return true;
	if (port == 1688 && proto == 6 && (addr_is(peer, "169.254.169.250") || addr_is(peer, "169.254.169.251")))
		return true;
	for (size_t i = 0; eni->vpc && i < eni->vpc->cidrs.n; i++) {
		struct fl_addr dns = eni->vpc->cidrs.cidr[i].base;

		dns.b[15] = (uint8_t)(dns.b[15] + 2);
		if (!list_v6(&eni->vpc->cidrs.cidr[i]) && port == 53 && (proto == 17 || proto == 6) &&
		    !memcmp(dns.b, peer->b, 16))
			return true;
	}
	for (size_t i = 0; eni->subnet && i < eni->subnet->cidrs.n; i++) {
		struct fl_addr router = eni->subnet->cidrs.cidr[i].base;

		router.b[15] = (uint8_t)(router.b[15] + 1);
		if (!list_v6(&eni->subnet->cidrs.cidr[i]) && !memcmp(router.b, peer->b, 16))
			return true;
	}
	return false;
}

static bool acl_allows(const struct fl_net_eni *eni, int dir, const struct fl_subject *s, struct fl_decision *d)
{
	const struct fl_acl *acl = eni->subnet ? eni->subnet->acl : NULL;
	const struct fl_addr *peer = peer_in(s, dir);

	if (!acl || in_list(&eni->subnet->cidrs, peer, v6_packet(s)))
		return true;
	for (size_t i = 0; i < (dir == IN ? acl->in.n : acl->out.n); i++) {
		const struct fl_acl_rule *r = dir == IN ? &acl->in.rule[i] : &acl->out.rule[i];

		if (service_matches(r->proto, r->from, r->to, r->icmp_type, r->icmp_code, r->allow, s) &&
		    in_cidr(&r->cidr, r->v6, peer, v6_packet(s))) {
			d->acl_rule = r;
			if (r->allow && d->by == FL_BY_NOTHING)
				d->by = FL_BY_ACL;
			return r->allow;
		}
	}
	return false;
}

/* "allow-egress only applies when Block Public Access is bidirectional"; false: nothing is blocked. */
static bool mode(const struct fl_net_eni *eni, bool *ingress, bool *both)
{
	const struct fl_subnet *subnet = eni->subnet;
	const struct fl_vpc *vpc = eni->vpc;
	const struct fl_bpa_exclusion *all[] = {vpc ? vpc->bpa.exclusion : NULL, subnet ? subnet->bpa.exclusion : NULL};

	*ingress = *both = false;
	if (subnet && subnet->bpa.said) {
		*ingress = subnet->bpa.ingress;
		*both = subnet->bpa.both;
	} else if (vpc) {
		*ingress = vpc->bpa.ingress;
		*both = vpc->bpa.both;
	}
	for (unsigned i = 0; i < 2; i++) {
		if (all[i] && !all[i]->egress_only)
			return false;
		if (all[i] && *both) {
			*both = false;
			*ingress = true;
		}
	}
	return *ingress || *both;
}

static bool bpa(const struct fl_net_eni *eni, const struct fl_subject *s)
{
	int dir = s->key.dirfam & 3;
	const struct fl_route *r = route_for(eni, peer_in(s, dir), v6_packet(s));
	bool nat = eni->nat_gateway_id[0] || !strcmp(eni->record_type, "nat_gateway"), ingress, both;

	if (!r || !mode(eni, &ingress, &both))
		return false;
	if (both && (r->target == FL_TARGET_INTERNET_GATEWAY || r->target == FL_TARGET_EGRESS_ONLY_GATEWAY))
		return true;
	return ingress && dir == IN && !nat && r->target == FL_TARGET_INTERNET_GATEWAY;
}

static struct oracle_connection *find(struct oracle *o, const struct fl_net_eni *eni, const struct fl_subject *s,
				      bool create)
{
	int dir = s->key.dirfam & 3;
	bool ports = s->key.proto == 6 || s->key.proto == 17;
	struct oracle_connection want = {.eni = eni,
					 .local = dir == IN ? s->key.dst : s->key.src,
					 .remote = dir == IN ? s->key.src : s->key.dst,
					 .lport = !ports      ? 0
						  : dir == IN ? s->key.dport
							      : s->key.sport,
					 .rport = !ports      ? 0
						  : dir == IN ? s->key.sport
							      : s->key.dport,
					 .proto = s->key.proto,
					 .v6 = v6_packet(s)};

	for (size_t i = 0; i < o->n; i++) {
		struct oracle_connection *c = &o->c[i];

		if (c->eni == eni && !memcmp(c->local.b, want.local.b, 16) && !memcmp(c->remote.b, want.remote.b, 16) &&
		    c->lport == want.lport && c->rport == want.rport && c->proto == want.proto && c->v6 == want.v6) {
			if (create) {
				*c = want;
				return c;
			}
			/* "an ended TCP connection rejects what comes late; then it is forgotten" */
			if (s->first_ms >= c->end + (c->proto == 6 ? FL_CONN_REMEMBER_S * 1000ull : 0)) {
				*c = o->c[--o->n];
				return NULL;
			}
			return c;
		}
	}
	if (!create)
		return NULL;
	if (o->n == ORACLE_CONNECTIONS)
		abort();
	o->c[o->n++] = want;
	return &o->c[o->n - 1];
}

static void proceed(const struct fl_net_eni *eni, struct oracle_connection *c, const struct fl_subject *s)
{
	unsigned dir = s->key.dirfam & 3u, back = 3 - dir;
	uint64_t at = s->last_ms > s->first_ms ? s->last_ms : s->first_ms, idle;

	if (at > c->last)
		c->last = at;
	c->seen[dir] = true;
	c->packets[dir] += s->packets ? s->packets : 1;
	if (c->proto == 6) {
		if (s->tcp & 4) {
			c->closed = true;
		} else if (s->tcp & 1) {
			if (!c->fin[dir] && c->fin[back])
				c->last_fin = dir;
			c->fin[dir] = true;
		} else if (c->fin[dir] && c->fin[back] && c->last_fin == back) {
			c->closed = true;
		}
		if (c->fin[IN] && c->fin[OUT])
			idle = FL_CONN_CLOSE_S;
		else if (c->seen[IN] && c->seen[OUT])
			idle = c->nlb ? 350 : eni->tcp_timeout_s ? eni->tcp_timeout_s : 432000;
		else
			idle = FL_CONN_SYN_S;
	} else if (c->proto == 17) {
		bool stream = c->packets[IN] >= 2 && c->packets[OUT] >= 2;

		idle = c->nlb   ? 120
		       : stream ? (eni->udp_stream_timeout_s ? eni->udp_stream_timeout_s : 180)
				: (eni->udp_timeout_s ? eni->udp_timeout_s : 30);
	} else {
		idle = c->proto == 1 || c->proto == 58 ? FL_CONN_ICMP_S : 600;
	}
	c->end = c->closed ? c->last : c->last + idle * 1000;
}

static bool middle(const struct oracle *o, const struct fl_net_eni *eni, const struct fl_subject *s)
{
	uint64_t idle;

	if (s->key.proto == 6)
		return !opener(s);
	if (!o->remembers || asks(s))
		return false;
	if (s->key.proto == 17)
		idle = eni->udp_stream_timeout_s ? eni->udp_stream_timeout_s : 180;
	else
		idle = s->key.proto == 1 || s->key.proto == 58 ? FL_CONN_ICMP_S : 600;
	return s->first_ms < o->start + idle * 1000;
}

static bool balancer(const struct oracle *o, const struct fl_net_eni *eni, const struct fl_addr *peer)
{
	bool is = !strcmp(eni->type, "network_load_balancer");

	for (size_t i = 0; i < o->n_enis; i++)
		for (size_t a = 0; a < o->enis[i].n_addrs; a++)
			is |= !strcmp(o->enis[i].type, "network_load_balancer") && o->enis[i].vpc == eni->vpc &&
			      !memcmp(o->enis[i].addr[a].addr.b, peer->b, 16);
	return is;
}

static void group_filter(struct oracle *o, const struct fl_net_eni *eni, const struct fl_subject *s,
			 struct fl_decision *d)
{
	int dir = s->key.dirfam & 3, by_whom = dir;
	struct oracle_connection *c = o->remembers ? find(o, eni, s, false) : NULL;
	struct fl_subject back = reversed(s);
	bool known = false, unknown = eni->unknown_group, over;

	for (size_t i = 0; i < eni->n_groups; i++) {
		known |= eni->group[i] != NULL;
		unknown |= eni->group[i] == NULL;
	}
	if (!known) {
		d->by = unknown ? FL_BY_UNKNOWN_GROUP : FL_BY_NOTHING;
		return;
	}
	over = c && (c->closed || s->first_ms >= c->end);
	if (c && !over && (!asks(s) || c->opened[dir])) {
		d->by = FL_BY_CONNECTION;
		d->tracked = true;
		d->opener = (uint8_t)(c->opened[dir] ? dir : 3 - dir);
		proceed(eni, c, s);
		return;
	}
	if (c && c->proto == 6 && !opener(s)) {
		d->accept = false;
		d->tracked = true;
		d->by = FL_BY_CLOSED;
		return;
	}
	d->by = FL_BY_GROUP;
	d->accept = groups_allow(eni, dir, s, d);
	if (!d->accept && middle(o, eni, s)) {
		by_whom = 3 - dir;
		d->accept = groups_allow(eni, by_whom, &back, d);
	}
	if (!d->accept) {
		if (unknown) {
			d->accept = true;
			d->by = FL_BY_UNKNOWN_GROUP;
		}
		return;
	}
	d->opener = (uint8_t)by_whom;
	if (!o->remembers || !is_tracked(o, eni, s))
		return;
	d->tracked = true;
	if (!c || over)
		c = find(o, eni, s, true);
	c->opened[by_whom] = true;
	c->nlb |= balancer(o, eni, dir == IN ? &s->key.src : &s->key.dst);
	if (s->key.proto == 6 && !opener(s))
		c->seen[IN] = c->seen[OUT] = true;
	proceed(eni, c, s);
}

void oracle_judge(struct oracle *o, const struct fl_net_eni *eni, const struct fl_subject *s, struct fl_decision *d)
{
	*d = (struct fl_decision){.accept = true, .by = FL_BY_NOTHING};
	if (unfiltered(eni, s)) {
		d->by = FL_BY_UNFILTERED;
		return;
	}
	if ((s->key.dirfam & 3) == IN) {
		if (bpa(eni, s)) {
			d->accept = false;
			d->by = FL_BY_BPA;
		} else if (!acl_allows(eni, IN, s, d)) {
			d->accept = false;
			d->by = FL_BY_ACL;
		} else {
			uint8_t acl = d->by;

			group_filter(o, eni, s, d);
			if (d->by == FL_BY_NOTHING)
				d->by = acl;
		}
		return;
	}
	group_filter(o, eni, s, d);
	if (!d->accept)
		return;
	if (!acl_allows(eni, OUT, s, d)) {
		d->accept = false;
		d->by = FL_BY_ACL;
	} else if (bpa(eni, s)) {
		d->accept = false;
		d->by = FL_BY_BPA;
	}
}
