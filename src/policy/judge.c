/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/filter.h"

#define P_ICMP 1
#define P_TCP 6
#define P_UDP 17
#define P_ICMPV6 58
#define TCP_SYN 2

/* ---- one end and the other ---- */

static bool is_v6(const struct fl_subject *s)
{
	return s->key.dirfam & FL_KEY_V6;
}

static const struct fl_addr *peer_of(const struct fl_subject *s, enum fl_dir dir)
{
	return dir == FL_DIR_INGRESS ? &s->key.src : &s->key.dst;
}

static enum fl_dir other(enum fl_dir dir)
{
	return (enum fl_dir)(3 - dir);
}

static bool is_icmp(const struct fl_subject *s)
{
	return s->key.proto == P_ICMP || s->key.proto == P_ICMPV6;
}

static const struct {
	uint8_t proto;
	int16_t request, reply;
} icmp_pairs[] = {
    {P_ICMP, 8, 0}, {P_ICMP, 13, 14}, {P_ICMP, 15, 16}, {P_ICMP, 17, 18}, {P_ICMPV6, 128, 129}, {P_ICMPV6, 139, 140},
};

static bool is_request(const struct fl_subject *s)
{
	for (size_t i = 0; i < FL_ARRAY_LEN(icmp_pairs); i++)
		if (icmp_pairs[i].proto == s->key.proto && icmp_pairs[i].request == s->icmp_type)
			return true;
	return false;
}

struct fl_subject fl_subject_reverse(const struct fl_subject *s)
{
	struct fl_subject r = *s;

	r.key.src = s->key.dst;
	r.key.dst = s->key.src;
	r.key.sport = s->key.dport;
	r.key.dport = s->key.sport;
	if (fl_key_dir(&s->key) != FL_DIR_NONE)
		r.key.dirfam ^= FL_KEY_DIR;
	for (size_t i = 0; i < FL_ARRAY_LEN(icmp_pairs); i++)
		if (icmp_pairs[i].proto == s->key.proto) {
			if (s->icmp_type == icmp_pairs[i].request)
				r.icmp_type = icmp_pairs[i].reply;
			else if (s->icmp_type == icmp_pairs[i].reply)
				r.icmp_type = icmp_pairs[i].request;
		}
	return r;
}

static uint32_t service_of(const struct fl_subject *s)
{
	return fl_svc_key(s->key.proto, s->key.dport, s->icmp_type, s->icmp_code);
}

/* ---- what AWS does not filter (semantics.md 4.1) ---- */

bool fl_filter_unfiltered(const struct fl_filter *f, const struct fl_subject *s)
{
	const struct fl_key *k = &s->key;
	const struct fl_addr *peer = peer_of(s, fl_key_dir(k));
	uint16_t port = fl_key_dir(k) == FL_DIR_INGRESS ? k->sport : k->dport;

	if (fl_is_dhcp(k) || fl_reserved_at(peer, k->proto, port) >= 0)
		return true;
	for (size_t n = 0; n < f->n_dns && fl_is_dns(k->proto, port); n++)
		if (fl_addr_equal(peer, &f->dns[n]))
			return true;
	for (size_t n = 0; n < f->n_routers; n++)
		if (fl_addr_equal(peer, &f->router[n]))
			return true;
	return false;
}

/* ---- rules ---- */

bool fl_filter_group_rule(const struct fl_filter *f, enum fl_dir dir, const struct fl_subject *s,
			  const struct fl_group **ret_group, const struct fl_group_rule **ret_rule)
{
	const struct fl_origin *o =
	    f->group[dir] ? fl_rules_match(f->group[dir], service_of(s), peer_of(s, dir), is_v6(s)) : NULL;

	*ret_group = o ? o->of : NULL;
	*ret_rule = o ? o->rule : NULL;
	return o;
}

bool fl_filter_acl_rule(const struct fl_filter *f, enum fl_dir dir, const struct fl_subject *s,
			const struct fl_acl_rule **ret_rule)
{
	const struct fl_origin *o =
	    f->acl[dir] ? fl_rules_match(f->acl[dir], service_of(s), peer_of(s, dir), is_v6(s)) : NULL;

	*ret_rule = o ? o->rule : NULL;
	return o;
}

const struct fl_route *fl_filter_route(const struct fl_filter *f, const struct fl_addr *peer, bool v6)
{
	const struct fl_origin *o = f->route ? fl_rules_match(f->route, FL_SVC_OTHER, peer, v6) : NULL;

	return o ? o->rule : NULL;
}

bool fl_filter_crosses(const struct fl_filter *f, const struct fl_addr *peer, bool v6)
{
	const struct fl_subnet *subnet = f->eni->subnet;

	for (size_t i = 0; subnet && i < subnet->cidrs.n; i++)
		if (fl_cidr_is_v4(&subnet->cidrs.cidr[i]) != v6 && fl_cidr_has(&subnet->cidrs.cidr[i], peer))
			return false;
	return true;
}

/*
 * Block Public Access sits at internet gateways. block-bidirectional stops all that passes one; block-ingress what
 * comes in by one, except to NAT gateways: those and egress-only gateways let only answers in.
 */
bool fl_filter_bpa(const struct fl_filter *f, const struct fl_subject *s)
{
	enum fl_dir dir = fl_key_dir(&s->key);
	const struct fl_route *route;

	if (!f->bpa_both && (!f->bpa_ingress || dir == FL_DIR_EGRESS || f->is_nat))
		return false;
	route = fl_filter_route(f, peer_of(s, dir), is_v6(s));
	return route && (route->target == FL_TARGET_INTERNET_GATEWAY ||
			 (f->bpa_both && route->target == FL_TARGET_EGRESS_ONLY_GATEWAY));
}

/* ---- tracking (semantics.md 4.3) ---- */

static bool is_opener(const struct fl_subject *s)
{
	return s->tcp & TCP_SYN && !(s->tcp & FL_TCP_SYNACK);
}

static bool is_dynamodb(const struct fl_route *route)
{
	static const char end[] = ".dynamodb";
	const char *name = route->list ? route->list->noun.name : "";
	size_t n = strlen(name);

	return n >= sizeof end - 1 && !strcmp(name + n - (sizeof end - 1), end);
}

/* By the way it takes, or by whom it is with. */
static bool always_tracked(const struct fl_filter *f, const struct fl_addr *peer, bool v6)
{
	const struct fl_route *route = fl_filter_route(f, peer, v6);
	bool nlb;

	if (f->always_tracked || fl_policy_tracks_peer(f->policy, f->eni->vpc, peer, &nlb))
		return true;
	switch (route ? route->target : FL_TARGET_UNKNOWN) {
	case FL_TARGET_EGRESS_ONLY_GATEWAY:
	case FL_TARGET_NAT_GATEWAY:
	case FL_TARGET_LOAD_BALANCER_ENDPOINT:
		return true;
	case FL_TARGET_GATEWAY_ENDPOINT:
		return is_dynamodb(route);
	default:
		return false;
	}
}

/* s is open to the world in dir, and every answer to it in the other direction. */
static bool is_open(const struct fl_filter *f, enum fl_dir dir, const struct fl_subject *s)
{
	uint32_t service = service_of(s);

	return fl_rules_all(f->group[other(dir)], s->key.proto == P_UDP ? FL_SVC_UDP : FL_SVC_TCP, is_v6(s)) &&
	       fl_rules_world(f->group[dir], service, is_v6(s));
}

bool fl_filter_tracks(const struct fl_filter *f, const struct fl_subject *s)
{
	enum fl_dir dir = fl_key_dir(&s->key);
	struct fl_subject back;

	if ((s->key.proto != P_TCP && s->key.proto != P_UDP) || !f->group[dir])
		return true;
	/* The middle of a flow may be the answer to one that is not tracked. */
	back = fl_subject_reverse(s);
	if (!is_open(f, dir, s) && ((s->key.proto == P_TCP && is_opener(s)) || !is_open(f, other(dir), &back)))
		return true;
	return always_tracked(f, peer_of(s, dir), is_v6(s));
}

/* ---- security groups ---- */

static uint32_t idle_s(const struct fl_filter *f, const struct fl_subject *s)
{
	if (s->key.proto == P_UDP)
		return f->timeouts.udp_stream_s;
	return is_icmp(s) ? FL_CONN_ICMP_S : FL_CONN_OTHER_S;
}

/* May this be the middle of a conversation whose beginning nobody saw? */
static bool is_midstream(const struct fl_filter *f, const struct fl_connections *c, const struct fl_subject *s)
{
	if (s->key.proto == P_TCP)
		return !is_opener(s);
	return c && !is_request(s) && s->first_ms < conn_start_ms(c) + idle_s(f, s) * 1000ull;
}

/* A live connection lets everything pass, except ICMP requests of the side that has not opened it. */
static bool lets_pass(const struct conn *e, const struct fl_subject *s)
{
	return !is_request(s) || e->state & CONN_BIT(CONN_OPENED, fl_key_dir(&s->key));
}

static void advance(const struct fl_filter *f, struct conn *e, const struct fl_subject *s)
{
	conn_advance(e, fl_key_dir(&s->key), s->tcp, s->packets, s->first_ms, s->last_ms, &f->timeouts);
}

static struct conn key_of(const struct fl_filter *f, const struct fl_subject *s)
{
	const struct fl_key *k = &s->key;
	bool in = fl_key_dir(k) == FL_DIR_INGRESS, ports = k->proto == P_TCP || k->proto == P_UDP;

	return (struct conn){
	    .local = in ? k->dst : k->src,
	    .remote = in ? k->src : k->dst,
	    .eni = f->eni_hash,
	    .lport = ports ? in ? k->dport : k->sport : 0,
	    .rport = ports ? in ? k->sport : k->dport : 0,
	    .proto = k->proto,
	    .v6 = is_v6(s),
	};
}

static void remember(const struct fl_filter *f, struct fl_connections *c, struct conn *e, const struct conn *key,
		     const struct fl_subject *s, enum fl_dir opener)
{
	bool nlb;

	if (!e) {
		e = conn_insert(c, key, s->first_ms);
	} else if (conn_is_over(e, s->first_ms)) {
		e->state = e->counts = 0;
		e->last_ms = 0;
	}
	e->state |= CONN_BIT(CONN_OPENED, opener);
	fl_policy_tracks_peer(f->policy, f->eni->vpc, &key->remote, &nlb);
	e->counts |= nlb || f->is_nlb ? CONN_NLB : 0;
	/* Who first saw it in the middle need not wait for the other side. */
	if (s->key.proto == P_TCP && !is_opener(s))
		e->state |= CONN_BOTH(CONN_SEEN);
	advance(f, e, s);
}

static void judge_new(const struct fl_filter *f, struct fl_connections *c, struct conn *e, const struct conn *key,
		      const struct fl_subject *s, struct fl_decision *ret)
{
	enum fl_dir dir = fl_key_dir(&s->key), opener = dir;

	ret->accept = fl_filter_group_rule(f, dir, s, &ret->group, &ret->group_rule);
	if (!ret->accept && is_midstream(f, c, s)) {
		struct fl_subject back = fl_subject_reverse(s);

		opener = other(dir);
		ret->accept = fl_filter_group_rule(f, opener, &back, &ret->group, &ret->group_rule);
	}
	ret->by = FL_BY_GROUP;
	if (!ret->accept && f->unknown_group) {
		ret->accept = true;
		ret->by = FL_BY_UNKNOWN_GROUP;
		return;
	}
	if (!ret->accept)
		return;
	ret->opener = (uint8_t)opener;
	if (!c || !fl_filter_tracks(f, s))
		return;
	ret->tracked = true;
	remember(f, c, e, key, s, opener);
}

static void judge_groups(const struct fl_filter *f, struct fl_connections *c, const struct fl_subject *s,
			 struct fl_decision *ret)
{
	enum fl_dir dir = fl_key_dir(&s->key);
	struct conn key = key_of(f, s), *e = c ? conn_find(c, &key, s->first_ms) : NULL;

	if (!f->group[dir]) {
		ret->by = f->unknown_group ? FL_BY_UNKNOWN_GROUP : FL_BY_NOTHING;
		return;
	}
	if (e && !conn_is_over(e, s->first_ms) && lets_pass(e, s)) {
		ret->tracked = true;
		ret->by = FL_BY_CONNECTION;
		ret->opener = e->state & CONN_BIT(CONN_OPENED, dir) ? dir : (uint8_t)other(dir);
		advance(f, e, s);
		return;
	}
	if (e && s->key.proto == P_TCP && !is_opener(s)) {
		ret->accept = false;
		ret->by = FL_BY_CLOSED;
		ret->tracked = true;
		return;
	}
	judge_new(f, c, e, &key, s, ret);
}

/* ---- all of it ---- */

static bool judge_acl(const struct fl_filter *f, enum fl_dir dir, const struct fl_subject *s, struct fl_decision *ret)
{
	if (!f->acl[dir] || !fl_filter_crosses(f, peer_of(s, dir), is_v6(s)))
		return true;
	if (fl_filter_acl_rule(f, dir, s, &ret->acl_rule) && ret->acl_rule->allow) {
		if (ret->by == FL_BY_NOTHING)
			ret->by = FL_BY_ACL;
		return true;
	}
	ret->accept = false;
	ret->by = FL_BY_ACL;
	return false;
}

static void reject_by_bpa(struct fl_decision *ret)
{
	ret->accept = false;
	ret->by = FL_BY_BPA;
}

void fl_judge(const struct fl_filter *f, struct fl_connections *c, const struct fl_subject *s, struct fl_decision *ret)
{
	enum fl_dir dir = fl_key_dir(&s->key);

	*ret = (struct fl_decision){.accept = true, .by = FL_BY_NOTHING};
	if (dir != FL_DIR_INGRESS && dir != FL_DIR_EGRESS)
		return;
	if (fl_filter_unfiltered(f, s)) {
		ret->by = FL_BY_UNFILTERED;
		return;
	}
	if (dir == FL_DIR_INGRESS) {
		if (fl_filter_bpa(f, s)) {
			reject_by_bpa(ret);
			return;
		}
		if (judge_acl(f, dir, s, ret)) {
			uint8_t by = ret->by;

			judge_groups(f, c, s, ret);
			if (ret->by == FL_BY_NOTHING)
				ret->by = by;
		}
		return;
	}
	judge_groups(f, c, s, ret);
	if (ret->accept && judge_acl(f, dir, s, ret) && fl_filter_bpa(f, s))
		reject_by_bpa(ret);
}
