/* SPDX-License-Identifier: Apache-2.0 */
/* From the inventory's nouns to compiled filters; what interfaces have in common is compiled once. */
#include <errno.h>
#include <search.h>
#include <stdlib.h>

#include "base/error.h"
#include "base/hash.h"
#include "policy/filter.h"

enum kind { KIND_GROUPS, KIND_ACL, KIND_ROUTES };

/* A set of rules that several interfaces may share. */
struct shared {
	enum kind kind;
	enum fl_dir dir;
	size_t n;
	const void **of; /* groups in the order of their ids; one ACL; one route table */
	struct fl_rules *rules;
};
struct special { /* an address whose traffic is always tracked */
	const struct fl_vpc *vpc;
	struct fl_addr addr;
	bool nlb;
};

struct fl_policy {
	void *shared, *filters; /* trees of tsearch(3) */
	struct special *special;
	size_t n_special;
};

const char *const fl_decider_names[FL_BY_N] = {
#define FL_DECIDER(id, name, text) [FL_BY_##id] = name,
    FL_DECIDERS(FL_DECIDER)
#undef FL_DECIDER
};
const char *const fl_decider_texts[FL_BY_N] = {
#define FL_DECIDER(id, name, text) [FL_BY_##id] = text,
    FL_DECIDERS(FL_DECIDER)
#undef FL_DECIDER
};

/* ---- what is always tracked ---- */

static bool is_always_tracked(const struct fl_net_eni *eni)
{
	/* interfaceType of the API; semantics.md 4.3 */
	static const char *const types[] = {"natGateway",
					    "nat_gateway",
					    "network_load_balancer",
					    "vpc_endpoint",
					    "lambda",
					    "gateway_load_balancer_endpoint",
					    "global_accelerator_managed"};

	for (size_t i = 0; i < FL_ARRAY_LEN(types); i++)
		if (!strcmp(eni->type, types[i]))
			return true;
	return false;
}

static int compare_special(const void *pa, const void *pb)
{
	const struct special *a = pa, *b = pb;

	if (a->vpc != b->vpc)
		return (uintptr_t)a->vpc < (uintptr_t)b->vpc ? -1 : 1;
	return memcmp(a->addr.b, b->addr.b, 16);
}

bool fl_policy_tracks_peer(const struct fl_policy *p, const struct fl_vpc *vpc, const struct fl_addr *addr,
			   bool *ret_nlb)
{
	struct special key = {.vpc = vpc, .addr = *addr}, *found;

	found = p->n_special ? bsearch(&key, p->special, p->n_special, sizeof key, compare_special) : NULL;
	*ret_nlb = found && found->nlb;
	return found;
}

static bool is_nlb(const struct fl_net_eni *eni)
{
	return !strcmp(eni->type, "network_load_balancer");
}

static int find_specials(struct fl_policy *p, const struct fl_policy_conf *conf)
{
	size_t n = 0;

	for (size_t i = 0; i < conf->n_enis; i++)
		n += is_always_tracked(&conf->enis[i]) ? conf->enis[i].n_addrs : 0;
	if (!n)
		return 0;
	p->special = calloc(n, sizeof *p->special);
	if (!p->special)
		return -ENOMEM;
	for (size_t i = 0; i < conf->n_enis; i++)
		for (size_t a = 0; is_always_tracked(&conf->enis[i]) && a < conf->enis[i].n_addrs; a++)
			p->special[p->n_special++] =
			    (struct special){conf->enis[i].vpc, conf->enis[i].addr[a].addr, is_nlb(&conf->enis[i])};
	qsort(p->special, p->n_special, sizeof *p->special, compare_special);
	return 0;
}

int fl_policy_new(struct fl_policy **ret, const struct fl_policy_conf *conf)
{
	struct fl_policy *p = calloc(1, sizeof *p);
	int r = p ? find_specials(p, conf) : -ENOMEM;

	if (r) {
		fl_policy_free(&p);
		return fl_fail(r, "no memory for a policy");
	}
	*ret = p;
	return 0;
}

int fl_policy_of(struct fl_policy **ret, const struct fl_network *net)
{
	struct fl_policy_conf conf;

	conf.enis = fl_network_enis(net, &conf.n_enis);
	return fl_policy_new(ret, &conf);
}

static void free_shared(void *node)
{
	struct shared *s = node;

	fl_rules_free(&s->rules);
	free(s->of);
	free(s);
}

void fl_policy_free(struct fl_policy **policy)
{
	struct fl_policy *p = *policy;

	if (!p)
		return;
	tdestroy(p->shared, free_shared);
	tdestroy(p->filters, free);
	free(p->special);
	free(p);
	*policy = NULL;
}

/* ---- rules from nouns ---- */

static int add_cidrs(struct fl_rules_builder *b, const struct fl_cidrs *list)
{
	int r = 0;

	for (size_t i = 0; !r && i < list->n; i++)
		r = fl_rules_cidr(b, &list->cidr[i], !fl_cidr_is_v4(&list->cidr[i]));
	return r;
}

static int add_members(struct fl_rules_builder *b, const struct fl_group *group)
{
	int r = 0;

	for (size_t m = 0; !r && m < group->n_members; m++) {
		const struct fl_net_eni *eni = group->member[m];

		for (size_t a = 0; !r && a < eni->n_addrs; a++)
			r = fl_rules_cidr(b, &(struct fl_cidr){eni->addr[a].addr, 128}, eni->addr[a].v6);
		r = r ? r : add_cidrs(b, &eni->prefixes);
	}
	return r;
}

static int add_group_rule(struct fl_rules_builder *b, const struct fl_group *group, const struct fl_group_rule *rule)
{
	int r = fl_rules_add(b, (struct fl_origin){rule, group});

	r = r ? r : fl_rules_service(b, rule->proto, rule->from, rule->to, rule->icmp_type, rule->icmp_code, true);
	if (r)
		return r;
	switch (rule->peer) {
	case FL_PEER_CIDR:
		return fl_rules_cidr(b, &rule->cidr, rule->v6);
	case FL_PEER_GROUP:
		return rule->group ? add_members(b, rule->group) : 0;
	case FL_PEER_LIST:
		return rule->list ? add_cidrs(b, &rule->list->cidrs) : 0;
	}
	return 0;
}

static int build_groups(struct fl_rules_builder *b, const struct shared *s)
{
	int r = 0;

	for (size_t g = 0; !r && g < s->n; g++) {
		const struct fl_group *group = s->of[g];
		const struct fl_group_rule *rule = s->dir == FL_DIR_INGRESS ? group->in.rule : group->out.rule;
		size_t n = s->dir == FL_DIR_INGRESS ? group->in.n : group->out.n;

		for (size_t i = 0; !r && i < n; i++)
			r = fl_wrap(add_group_rule(b, group, &rule[i]), "security group %s", group->noun.id);
	}
	return r;
}

static int build_acl(struct fl_rules_builder *b, const struct shared *s)
{
	const struct fl_acl *acl = s->of[0];
	const struct fl_acl_rule *rule = s->dir == FL_DIR_INGRESS ? acl->in.rule : acl->out.rule;
	size_t n = s->dir == FL_DIR_INGRESS ? acl->in.n : acl->out.n;
	int r = 0;

	for (size_t i = 0; !r && i < n; i++) {
		r = fl_rules_add(b, (struct fl_origin){&rule[i], acl});
		r = r ? r
		      : fl_rules_service(b, rule[i].proto, rule[i].from, rule[i].to, rule[i].icmp_type,
					 rule[i].icmp_code, rule[i].allow);
		r = r ? r : fl_rules_cidr(b, &rule[i].cidr, rule[i].v6);
		fl_wrap(r, "network ACL %s", acl->noun.id);
	}
	return r;
}

/* Longest prefix first; among equals static before propagated, then the table's order. */
struct route_cidr {
	struct fl_cidr cidr;
	const struct fl_route *route;
	size_t at;
	bool v6;
};

static int compare_routes(const void *pa, const void *pb)
{
	const struct route_cidr *a = pa, *b = pb;

	if (a->cidr.bits != b->cidr.bits)
		return a->cidr.bits > b->cidr.bits ? -1 : 1;
	if (a->route->propagated != b->route->propagated)
		return a->route->propagated ? 1 : -1;
	return a->at < b->at ? -1 : a->at > b->at;
}

static int build_routes(struct fl_rules_builder *b, const struct shared *s)
{
	const struct fl_route_table *t = s->of[0];
	struct route_cidr *all;
	size_t n = 0, cap = 1;
	int r = 0;

	for (size_t i = 0; i < t->n; i++)
		cap += t->route[i].list ? t->route[i].list->cidrs.n : 1;
	all = calloc(cap, sizeof *all);
	if (!all)
		return -ENOMEM;
	for (size_t i = 0; i < t->n; i++) {
		const struct fl_route *route = &t->route[i];

		for (size_t k = 0; route->list && k < route->list->cidrs.n; k++, n++)
			all[n] = (struct route_cidr){route->list->cidrs.cidr[k], route, n,
						     !fl_cidr_is_v4(&route->list->cidrs.cidr[k])};
		if (!route->list && !*route->list_id) {
			all[n] = (struct route_cidr){route->cidr, route, n, route->v6};
			n++;
		}
	}
	qsort(all, n, sizeof *all, compare_routes);
	for (size_t i = 0; !r && i < n; i++) {
		r = fl_rules_add(b, (struct fl_origin){all[i].route, t});
		r = r ? r : fl_rules_any_service(b);
		r = r ? r : fl_rules_cidr(b, &all[i].cidr, all[i].v6);
	}
	free(all);
	return fl_wrap(r, "route table %s", t->noun.id);
}

static int compare_shared(const void *pa, const void *pb)
{
	const struct shared *a = pa, *b = pb;

	if (a->kind != b->kind)
		return a->kind < b->kind ? -1 : 1;
	if (a->dir != b->dir)
		return a->dir < b->dir ? -1 : 1;
	if (a->n != b->n)
		return a->n < b->n ? -1 : 1;
	return memcmp(a->of, b->of, a->n * sizeof *a->of);
}

static int build(struct shared *s)
{
	struct fl_rules_builder *b FL_CLEANUP(fl_rules_abandon) = NULL;
	int r = fl_rules_begin(&b);

	if (!r)
		r = s->kind == KIND_GROUPS ? build_groups(b, s)
		    : s->kind == KIND_ACL  ? build_acl(b, s)
					   : build_routes(b, s);
	return r ? r : fl_rules_finish(&b, &s->rules);
}

static int get_shared(struct fl_policy *p, enum kind kind, enum fl_dir dir, const void *const *of, size_t n,
		      const struct fl_rules **ret)
{
	struct shared key = {kind, dir, n, (const void **)of, NULL}, *s, **node;
	int r = -ENOMEM;

	node = tfind(&key, &p->shared, compare_shared);
	if (node) {
		*ret = (*node)->rules;
		return 0;
	}
	s = calloc(1, sizeof *s);
	if (!s)
		return -ENOMEM;
	*s = key;
	s->of = malloc(n * sizeof *s->of);
	if (s->of) {
		memcpy(s->of, of, n * sizeof *s->of);
		r = build(s);
	}
	if (!r && !tsearch(s, &p->shared, compare_shared))
		r = -ENOMEM;
	if (r) {
		free_shared(s);
		return r;
	}
	*ret = s->rules;
	return 0;
}

/* ---- an interface ---- */

static int compare_groups(const void *pa, const void *pb)
{
	const struct fl_group *const *a = pa, *const *b = pb;

	return strcmp((*a)->noun.id, (*b)->noun.id);
}

static int get_groups(struct fl_policy *p, struct fl_filter *f)
{
	const struct fl_net_eni *eni = f->eni;
	const void **of;
	size_t n = 0;
	int r = 0;

	f->unknown_group = eni->unknown_group;
	if (!eni->n_groups)
		return 0;
	of = malloc(eni->n_groups * sizeof *of);
	if (!of)
		return -ENOMEM;
	for (size_t i = 0; i < eni->n_groups; i++)
		if (eni->group[i])
			of[n++] = eni->group[i];
		else
			f->unknown_group = true;
	if (n) {
		qsort(of, n, sizeof *of, compare_groups);
		r = get_shared(p, KIND_GROUPS, FL_DIR_INGRESS, of, n, &f->group[FL_DIR_INGRESS]);
		r = r ? r : get_shared(p, KIND_GROUPS, FL_DIR_EGRESS, of, n, &f->group[FL_DIR_EGRESS]);
	}
	free(of);
	return r;
}

static struct fl_addr plus(const struct fl_cidr *c, uint8_t n)
{
	struct fl_addr a = c->base;

	a.b[15] = (uint8_t)(a.b[15] + n);
	return a;
}

/* The DNS server is at the base of the VPC's networks + 2, the router at the subnet's base + 1. */
static void find_reserved(struct fl_filter *f)
{
	const struct fl_net_eni *e = f->eni;

	for (size_t i = 0; e->vpc && i < e->vpc->cidrs.n && f->n_dns < FILTER_LOCAL_MAX; i++)
		if (fl_cidr_is_v4(&e->vpc->cidrs.cidr[i]))
			f->dns[f->n_dns++] = plus(&e->vpc->cidrs.cidr[i], 2);
	for (size_t i = 0; e->subnet && i < e->subnet->cidrs.n && f->n_routers < FILTER_LOCAL_MAX; i++)
		if (fl_cidr_is_v4(&e->subnet->cidrs.cidr[i]))
			f->router[f->n_routers++] = plus(&e->subnet->cidrs.cidr[i], 1);
}

struct fl_bpa_state fl_policy_bpa(const struct fl_net_eni *eni)
{
	const struct fl_bpa *vpc = eni->vpc ? &eni->vpc->bpa : NULL, *subnet = eni->subnet ? &eni->subnet->bpa : NULL,
			    *mode = subnet && subnet->said ? subnet : vpc;
	const struct fl_bpa_exclusion *x[2] = {vpc ? vpc->exclusion : NULL, subnet ? subnet->exclusion : NULL}, *most;
	struct fl_bpa_state s = {0};

	if (!mode || !mode->ingress)
		return s;
	s.of = mode == vpc ? &eni->vpc->noun : &eni->subnet->noun;
	s.ingress = true;
	s.both = mode->both;
	/* the one that lets more pass; of two equal ones the subnet's, which is nearer */
	most = x[1] && (!x[0] || x[0]->egress_only || !x[1]->egress_only) ? x[1] : x[0];
	if (!most || (most->egress_only && !s.both))
		return s;
	s.exclusion = most;
	s.ingress = most->egress_only;
	s.both = false;
	return s;
}

static int fill(struct fl_policy *p, struct fl_filter *f)
{
	const struct fl_net_eni *e = f->eni;
	const void *acl = e->subnet ? e->subnet->acl : NULL, *routes = e->routes   ? e->routes
								       : e->subnet ? e->subnet->routes
										   : NULL;
	struct fl_bpa_state bpa = fl_policy_bpa(e);
	int r = get_groups(p, f);

	if (!r && acl)
		r = get_shared(p, KIND_ACL, FL_DIR_INGRESS, &acl, 1, &f->acl[FL_DIR_INGRESS]);
	if (!r && acl)
		r = get_shared(p, KIND_ACL, FL_DIR_EGRESS, &acl, 1, &f->acl[FL_DIR_EGRESS]);
	if (!r && routes)
		r = get_shared(p, KIND_ROUTES, FL_DIR_NONE, &routes, 1, &f->route);
	if (r)
		return r;
	f->policy = p;
	f->eni_hash = fl_hash_bytes(e->noun.id, strlen(e->noun.id), 0);
	f->always_tracked = is_always_tracked(e);
	f->is_nlb = is_nlb(e);
	f->is_nat = *e->nat_gateway_id || !strcmp(e->record_type, "nat_gateway");
	f->bpa_ingress = bpa.ingress;
	f->bpa_both = bpa.both;
	f->timeouts = (struct conn_timeouts){
	    e->tcp_timeout_s ? e->tcp_timeout_s : FL_CONN_TCP_S,
	    e->udp_timeout_s ? e->udp_timeout_s : FL_CONN_UDP_S,
	    e->udp_stream_timeout_s ? e->udp_stream_timeout_s : FL_CONN_UDP_STREAM_S,
	};
	find_reserved(f);
	return 0;
}

static int compare_filters(const void *pa, const void *pb)
{
	const struct fl_filter *a = pa, *b = pb;

	return (uintptr_t)a->eni < (uintptr_t)b->eni ? -1 : a->eni != b->eni;
}

int fl_policy_filter(struct fl_policy *p, const struct fl_net_eni *eni, const struct fl_filter **ret)
{
	struct fl_filter key = {.eni = eni}, *f, **node = tfind(&key, &p->filters, compare_filters);
	int r;

	if (node) {
		*ret = *node;
		return 0;
	}
	f = calloc(1, sizeof *f);
	if (!f)
		return -ENOMEM;
	f->eni = eni;
	r = fill(p, f);
	if (!r && !tsearch(f, &p->filters, compare_filters))
		r = -ENOMEM;
	if (r) {
		free(f);
		return fl_wrap(r, "%s", eni->noun.id);
	}
	*ret = f;
	return 0;
}
