/* SPDX-License-Identifier: Apache-2.0 */
/* When all files are read: references become pointers, facts from other answers join their nouns. */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "inventory/network_build.h"

/* ---- references ---- */

static void resolve(struct fl_reader *r)
{
	struct fl_network *net = r->net;

	for (size_t i = 0; i < r->n_pending; i++) {
		const struct fl_pending *p = &r->pending[i];
		void *target, *slot = p->slot;

		if (p->owner_kind < FL_NOUN_N) {
			const struct fl_store *s = &net->store[p->owner_kind];

			if (s->state[p->owner].generation != p->generation)
				continue; /* a later file has replaced the noun */
			if (!slot)
				slot = (char *)fl_store_at(s, p->owner, fl_noun_rows[p->owner_kind].size) + p->at;
		}
		target = fl_network_by_id(net, p->kind, p->id);
		memcpy(slot, &target, sizeof target);
		/* with none of the kind the answer as a whole is missing, which is said once */
		if (!target && net->store[p->kind].n)
			fl_problem_at(r, p->file, p->path, false, "%s %.64s is not in the inventory; used without it",
				      fl_noun_rows[p->kind].people, p->id);
	}
}

/* Takes out what leads nowhere and what comes twice. */
static void compact(const void *const *list, size_t *n)
{
	const void **v = (const void **)list;
	size_t kept = 0;

	for (size_t i = 0; i < *n; i++) {
		bool again = !v[i];

		for (size_t j = 0; j < kept && kept < 64; j++)
			again = again || v[j] == v[i];
		if (!again)
			v[kept++] = v[i];
	}
	*n = kept;
}

static int by_key(const void *a, const void *b)
{
	const struct fl_side *x = a, *y = b;
	int c = strcmp(x->key, y->key);

	return c ? c : (x->order > y->order) - (x->order < y->order);
}

/* ---- subnets: their ACL, their route table, their zone ---- */

static size_t vpc_index(const struct fl_network *net, const struct fl_vpc *vpc)
{
	return (size_t)(vpc - (const struct fl_vpc *)net->store[FL_NOUN_VPC].v);
}

/* The last one said; two that differ are a contradiction. */
static const char *associated(struct fl_reader *r, enum fl_side_kind kind, const struct fl_subnet *s, const char *what)
{
	size_t n;
	const struct fl_side *side = fl_side_find(r, kind, s->noun.id, &n);

	for (size_t i = 1; i < n; i++)
		if (strcmp(side[i].value, side[i - 1].value))
			fl_problem_at(r, side[i].file, side[i].path, false,
				      "%s has the %s %s, and before that %s; the later one is used", s->noun.id, what,
				      side[i].value, side[i - 1].value);
	return n ? side[n - 1].value : NULL;
}

static void subnet_tables(struct fl_reader *r)
{
	struct fl_network *net = r->net;
	size_t n = net->store[FL_NOUN_VPC].n;
	const struct fl_acl **acl = fl_arena_get(&r->scratch, (n + 1) * sizeof *acl);
	const struct fl_route_table **table = fl_arena_get(&r->scratch, (n + 1) * sizeof *table);

	if (!acl || !table)
		return;
	FL_EACH_NOUN(net, FL_NOUN_ACL, fl_acl, a)
	if (a->is_default && a->vpc)
		acl[vpc_index(net, a->vpc)] = a;
	FL_EACH_NOUN(net, FL_NOUN_ROUTES, fl_route_table, t)
	if (t->main && t->vpc)
		table[vpc_index(net, t->vpc)] = t;
	FL_EACH_NOUN(net, FL_NOUN_SUBNET, fl_subnet, s)
	{
		s->acl = fl_network_by_id(net, FL_NOUN_ACL, associated(r, FL_SIDE_SUBNET_ACL, s, "network ACL"));
		s->routes =
		    fl_network_by_id(net, FL_NOUN_ROUTES, associated(r, FL_SIDE_SUBNET_ROUTES, s, "route table"));
		if (!s->acl && s->vpc)
			s->acl = acl[vpc_index(net, s->vpc)];
		if (!s->routes && s->vpc)
			s->routes = table[vpc_index(net, s->vpc)];
	}
}

/* us-east-1a -> us-east-1, us-west-2-lax-1a -> us-west-2: words, then the first number. */
static const char *region_of_zone(struct fl_network *net, const char *zone)
{
	size_t n = strcspn(zone, "0123456789"), digits = strspn(zone + n, "0123456789");

	return n && digits && zone[n - 1] == '-' ? fl_network_intern(net, zone, n + digits) : "";
}

static const struct fl_zone *zone_named(const struct fl_reader *r, const char *name)
{
	size_t n;
	const struct fl_side *side = fl_side_find(r, FL_SIDE_ZONE, name, &n);

	return n ? side[n - 1].what : NULL;
}

static void subnet_zones(struct fl_reader *r)
{
	FL_EACH_NOUN(r->net, FL_NOUN_SUBNET, fl_subnet, s)
	{
		const struct fl_zone *z = zone_named(r, s->az);

		s->region = z && *z->region ? z->region : region_of_zone(r->net, s->az);
		if (z && *z->id && !*s->az_id)
			s->az_id = z->id;
		if (*s->outpost_arn) {
			const char *slash = strrchr(s->outpost_arn, '/');

			s->sublocation_type = "outpost";
			s->sublocation_id = slash ? slash + 1 : s->outpost_arn;
		} else if (z && (fl_is(z->type, "local-zone") || fl_is(z->type, "wavelength-zone"))) {
			s->sublocation_type = fl_is(z->type, "local-zone") ? "localzone" : "wavelength";
			s->sublocation_id = s->az_id;
		}
	}
}

/* ---- security groups: ids of their rules, members ---- */

static int rule_order(const struct fl_group_rule *a, const struct fl_group_rule *b)
{
	const int ia[] = {a->proto, a->from, a->to, a->icmp_type, a->icmp_code, (int)a->peer, a->cidr.bits};
	const int ib[] = {b->proto, b->from, b->to, b->icmp_type, b->icmp_code, (int)b->peer, b->cidr.bits};

	for (size_t i = 0; i < FL_ARRAY_LEN(ia); i++)
		if (ia[i] != ib[i])
			return ia[i] < ib[i] ? -1 : 1;
	return a->peer == FL_PEER_CIDR ? memcmp(a->cidr.base.b, b->cidr.base.b, 16) : strcmp(a->peer_id, b->peer_id);
}

static int by_rule(const void *a, const void *b)
{
	const struct fl_group_rule *const *x = a, *const *y = b;

	return rule_order(*x, *y);
}

struct loose_list { /* of one group and direction */
	const struct fl_group_rule **rule;
	const struct fl_side **side;
	size_t n;
};

/* Gives the group's own rules the ids of the same loose ones; what is only among the loose ones joins behind. */
static void merge_rules(struct fl_reader *r, const struct fl_group *g, const struct fl_side *side, size_t n_side,
			bool egress)
{
	struct fl_group_rule *v = (struct fl_group_rule *)(egress ? g->out.rule : g->in.rule), *all;
	size_t n = egress ? g->out.n : g->in.n, extra = 0, *count = (size_t *)(egress ? &g->out.n : &g->in.n);
	const struct fl_group_rule **order = fl_arena_get(&r->scratch, (n + 1) * sizeof *order);
	const struct fl_group_rule **only = fl_arena_get(&r->scratch, (n_side + 1) * sizeof *only);

	if (!order || !only)
		return;
	for (size_t i = 0; i < n; i++)
		order[i] = &v[i];
	if (n)
		qsort(order, n, sizeof *order, by_rule);
	for (size_t i = 0; i < n_side; i++) {
		const struct fl_loose_rule *loose = side[i].what;
		const struct fl_group_rule *key = &loose->rule, **hit;

		if (loose->egress != egress)
			continue;
		hit = n ? bsearch(&key, order, n, sizeof *order, by_rule) : NULL;
		if (hit) {
			struct fl_group_rule *found = &v[*hit - v];

			found->id = loose->rule.id;
			if (!*found->description)
				found->description = loose->rule.description;
			continue;
		}
		only[extra++] = &loose->rule;
		fl_problem_at(r, side[i].file, side[i].path, false,
			      "rule %s is not among the permissions of %s; both are used", loose->rule.id, g->noun.id);
	}
	if (!extra)
		return;
	all = fl_arena_get(&r->net->arena, (n + extra) * sizeof *all);
	if (!all)
		return;
	if (n)
		memcpy(all, v, n * sizeof *all);
	for (size_t i = 0; i < extra; i++)
		all[n + i] = *only[i];
	*(const struct fl_group_rule **)(egress ? &g->out.rule : &g->in.rule) = all;
	*count = n + extra;
}

static void group_rules(struct fl_reader *r)
{
	struct fl_network *net = r->net;
	const struct fl_side *v = r->side[FL_SIDE_GROUP_RULE].v;

	for (size_t i = 0, n; i < r->side[FL_SIDE_GROUP_RULE].n; i += n) {
		const struct fl_group *g = fl_network_by_id(net, FL_NOUN_GROUP, v[i].key);

		fl_side_find(r, FL_SIDE_GROUP_RULE, v[i].key, &n);
		if (g) {
			merge_rules(r, g, &v[i], n, false);
			merge_rules(r, g, &v[i], n, true);
		} else if (net->store[FL_NOUN_GROUP].n) {
			fl_problem_at(r, v[i].file, v[i].path, true,
				      "security group %.64s is not in the inventory; its %zu rule%s left out", v[i].key,
				      n, n == 1 ? " is" : "s are");
		}
	}
}

static void group_members(struct fl_reader *r)
{
	struct fl_network *net = r->net;

	FL_EACH_NOUN(net, FL_NOUN_ENI, fl_net_eni, e)
	for (size_t i = 0; i < e->n_groups; i++) {
		struct fl_group *g = (struct fl_group *)e->group[i];
		const struct fl_net_eni **more = (const struct fl_net_eni **)fl_arena_append(
		    &net->arena, (void *)&g->member, &g->n_members, sizeof *more);

		if (more)
			*more = e;
	}
}

/* ---- tags, Auto Scaling, tasks, NAT gateways ---- */

static void add_tags(struct fl_reader *r, struct fl_tags *tags, enum fl_side_kind kind, const char *key)
{
	size_t n;
	const struct fl_side *side = fl_side_find(r, kind, key, &n);

	for (size_t i = 0; i < n; i++) {
		struct fl_tag *more;

		if (fl_tag_value(tags, side[i].tag.key))
			continue; /* describe-tags repeats what the noun's own answer says */
		more = FL_APPEND(&r->net->arena, tags->tag, tags->n);
		if (more)
			*more = side[i].tag;
	}
}

static void all_tags(struct fl_reader *r)
{
	if (!r->side[FL_SIDE_TAG].n)
		return;
	for (size_t kind = 0; kind < FL_NOUN_N; kind++)
		for (size_t i = 0; i < r->net->store[kind].n; i++) {
			struct fl_noun *n = fl_store_at(&r->net->store[kind], i, fl_noun_rows[kind].size);
			const char *name;

			add_tags(r, &n->tags, FL_SIDE_TAG, n->id);
			name = fl_tag_value(&n->tags, "Name");
			if (name && *name)
				n->name = name;
		}
}

static void instances(struct fl_reader *r)
{
	FL_EACH_NOUN(r->net, FL_NOUN_INSTANCE, fl_instance, i)
	{
		size_t n;
		const struct fl_side *side = fl_side_find(r, FL_SIDE_INSTANCE_ASG, i->noun.id, &n);

		if (n)
			i->asg = side[n - 1].value;
		/* AWS puts this tag on what a group launches */
		else if (fl_tag_value(&i->noun.tags, "aws:autoscaling:groupName"))
			i->asg = fl_tag_value(&i->noun.tags, "aws:autoscaling:groupName");
		if (*i->asg)
			add_tags(r, &i->asg_tags, FL_SIDE_ASG_TAG, i->asg);
	}
}

static void tasks(struct fl_reader *r)
{
	FL_EACH_NOUN(r->net, FL_NOUN_TASK, fl_task, t)
	{
		size_t n;
		char key[512];
		const struct fl_side *side = fl_side_find(r, FL_SIDE_CONTAINER_HOST, t->container_instance_arn, &n);

		if (n)
			t->instance_id = side[n - 1].value;
		snprintf(key, sizeof key, "%s/%s", t->cluster_arn, t->service_name);
		if (*t->service_name && r->side[FL_SIDE_SERVICE].n && !fl_side_find(r, FL_SIDE_SERVICE, key, &n))
			fl_problem_at(r, t->noun.file, t->noun.id, false,
				      "service %.64s is not in the inventory; the task's own word is taken",
				      t->service_name);
	}
}

const char *fl_zone_region(const struct fl_reader *r, const char *zone)
{
	const struct fl_zone *z = zone_named(r, zone);

	return z && *z->region ? z->region : region_of_zone(r->net, zone);
}

static void interfaces(struct fl_reader *r)
{
	uint32_t index = 0;

	FL_EACH_NOUN(r->net, FL_NOUN_ENI, fl_net_eni, e)
	{
		size_t n;
		const struct fl_side *side = fl_side_find(r, FL_SIDE_ENI_NAT, e->noun.id, &n);
		const struct fl_nat_gateway *nat;
		const struct fl_zone *z;

		e->index = index++;
		if (n)
			e->nat_gateway_id = side[n - 1].value;
		e->nat = nat = fl_network_by_id(r->net, FL_NOUN_NAT, e->nat_gateway_id);
		if (nat && fl_is(e->record_type, "nat_gateway") && nat->regional)
			e->record_type = "regional_nat_gateway";
		e->routes = nat && nat->regional && nat->routes ? nat->routes : e->subnet ? e->subnet->routes : NULL;
		side = fl_side_find(r, FL_SIDE_ENI_TASK, e->noun.id, &n);
		if (n)
			e->task = fl_network_by_id(r->net, FL_NOUN_TASK, side[n - 1].value);
		if (!*e->az && e->subnet)
			e->az = e->subnet->az;
		z = zone_named(r, e->az);
		if (!*e->az_id)
			e->az_id = e->subnet ? e->subnet->az_id : z ? z->id : "";
		e->region = e->subnet && *e->subnet->region ? e->subnet->region
			    : z && *z->region               ? z->region
							    : region_of_zone(r->net, e->az);
	}
}

static void dangling_sides(struct fl_reader *r)
{
	static const struct {
		enum fl_side_kind side;
		enum fl_noun_kind kind;
	} rows[] = {
	    {FL_SIDE_SUBNET_ACL, FL_NOUN_SUBNET},
	    {FL_SIDE_SUBNET_ROUTES, FL_NOUN_SUBNET},
	    {FL_SIDE_ENI_NAT, FL_NOUN_ENI},
	    {FL_SIDE_ENI_TASK, FL_NOUN_ENI},
	};

	for (size_t i = 0; i < FL_ARRAY_LEN(rows); i++)
		for (size_t j = 0; j < r->side[rows[i].side].n; j++) {
			const struct fl_side *s = &r->side[rows[i].side].v[j];

			if (r->net->store[rows[i].kind].n && !fl_network_by_id(r->net, rows[i].kind, s->key))
				fl_problem_at(r, s->file, s->path, false, "%s %.64s is not in the inventory; left out",
					      fl_noun_rows[rows[i].kind].people, s->key);
		}
}

/* Endpoints in routes: their own answer knows better than the route what they are. */
static void route_targets(struct fl_reader *r)
{
	FL_EACH_NOUN(r->net, FL_NOUN_ROUTES, fl_route_table, t)
	for (size_t i = 0; i < t->n; i++) {
		struct fl_route *route = (struct fl_route *)&t->route[i];
		const struct fl_endpoint *e = NULL;

		if (route->target == FL_TARGET_GATEWAY_ENDPOINT || route->target == FL_TARGET_LOAD_BALANCER_ENDPOINT)
			e = fl_network_by_id(r->net, FL_NOUN_ENDPOINT, route->target_id);
		if (e && *e->type)
			route->target =
			    fl_is(e->type, "Gateway") ? FL_TARGET_GATEWAY_ENDPOINT : FL_TARGET_LOAD_BALANCER_ENDPOINT;
	}
}

/* ---- indexes ---- */

static int by_name(const void *a, const void *b)
{
	const struct fl_named *x = a, *y = b;
	int c = strcmp(x->key, y->key);

	return c ? c : (x->eni > y->eni) - (x->eni < y->eni);
}
static int by_addr(const void *a, const void *b)
{
	const struct fl_located *x = a, *y = b;
	int c = memcmp(x->addr.b, y->addr.b, 16);

	return c ? c : (x->eni > y->eni) - (x->eni < y->eni);
}
static int by_prefix(const void *a, const void *b)
{
	const struct fl_delegated *x = a, *y = b;
	int c = (int)x->cidr.bits - (int)y->cidr.bits;

	c = c ? c : memcmp(x->cidr.base.b, y->cidr.base.b, 16);
	return c ? c : (x->eni > y->eni) - (x->eni < y->eni);
}
static int by_mac(const void *a, const void *b)
{
	return memcmp(((const struct fl_by_mac *)a)->mac, ((const struct fl_by_mac *)b)->mac, 6);
}

static void add_name(struct fl_network *net, const char *key, uint32_t eni, bool instance)
{
	struct fl_named *more = *key ? FL_APPEND(&net->arena, net->named, net->n_named) : NULL;

	if (more)
		*more = (struct fl_named){key, eni, instance};
}

static void add_addr(struct fl_network *net, const struct fl_addr *addr, uint32_t eni, bool public)
{
	struct fl_located *more = FL_APPEND(&net->arena, net->located, net->n_located);

	if (more)
		*more = (struct fl_located){*addr, eni, public};
}

static void sort(void *v, size_t n, size_t size, int (*compare)(const void *, const void *))
{
	if (n)
		qsort(v, n, size, compare);
}

static void make_indexes(struct fl_network *net)
{
	FL_EACH_NOUN(net, FL_NOUN_ENI, fl_net_eni, e)
	{
		add_name(net, e->noun.id, e->index, false);
		add_name(net, e->noun.name, e->index, false);
		add_name(net, e->instance_id, e->index, true);
		if (e->instance)
			add_name(net, e->instance->noun.name, e->index, true);
		for (size_t i = 0; i < e->n_addrs; i++) {
			add_addr(net, &e->addr[i].addr, e->index, false);
			if (e->addr[i].has_public)
				add_addr(net, &e->addr[i].public, e->index, true);
		}
		for (size_t i = 0; i < e->prefixes.n; i++) {
			struct fl_delegated *more = FL_APPEND(&net->arena, net->delegated, net->n_delegated);

			if (more)
				*more = (struct fl_delegated){e->prefixes.cidr[i], e->index};
			net->delegated_bits[e->prefixes.cidr[i].bits / 64] |= 1ull << e->prefixes.cidr[i].bits % 64;
		}
		if (e->has_mac) {
			struct fl_by_mac *more = FL_APPEND(&net->arena, net->by_mac, net->n_by_mac);

			if (more) {
				memcpy(more->mac, e->mac, 6);
				more->eni = e->index;
			}
		}
	}
	sort(net->named, net->n_named, sizeof *net->named, by_name);
	sort(net->located, net->n_located, sizeof *net->located, by_addr);
	sort(net->delegated, net->n_delegated, sizeof *net->delegated, by_prefix);
	sort(net->by_mac, net->n_by_mac, sizeof *net->by_mac, by_mac);
}

/* ---- the whole ---- */

static int by_place(const void *a, const void *b)
{
	const struct fl_problem *x = a, *y = b;
	const char *p = x->path, *q = y->path;
	int c = strcmp(x->file, y->file);

	if (c)
		return c;
	while (*p && *p == *q) {
		p++;
		q++;
	}
	/* [9] before [10] */
	if (isdigit((unsigned char)*p) && isdigit((unsigned char)*q)) {
		size_t n = strspn(p, "0123456789"), m = strspn(q, "0123456789");

		return n != m ? (n < m ? -1 : 1) : *p - *q;
	}
	if (*p != *q) /* one has more digits behind the ones that are equal */
		return isdigit((unsigned char)*p) ? 1 : isdigit((unsigned char)*q) ? -1 : *p < *q ? -1 : 1;
	return strcmp(x->text, y->text);
}

int fl_network_finish(struct fl_reader *r)
{
	struct fl_network *net = r->net;
	int e;

	for (size_t i = 0; i < FL_SIDE_N; i++)
		sort(r->side[i].v, r->side[i].n, sizeof *r->side[i].v, by_key);
	resolve(r);
	FL_EACH_NOUN(net, FL_NOUN_ENI, fl_net_eni, eni)
	{
		for (size_t i = 0; i < eni->n_groups; i++)
			eni->unknown_group |= !eni->group[i];
		compact((const void *const *)eni->group, &eni->n_groups);
	}
	FL_EACH_NOUN(net, FL_NOUN_ENDPOINT, fl_endpoint, endpoint)
	compact((const void *const *)endpoint->eni, &endpoint->n_enis);
	FL_EACH_NOUN(net, FL_NOUN_TGW_ATTACHMENT, fl_tgw_attachment, a)
	compact((const void *const *)a->subnet, &a->n_subnets);
	all_tags(r);
	subnet_tables(r);
	subnet_zones(r);
	group_rules(r);
	group_members(r);
	instances(r);
	tasks(r);
	interfaces(r);
	fl_transit_finish(r);
	fl_ports_finish(r);
	fl_access_finish(r);
	dangling_sides(r);
	route_targets(r);
	make_indexes(net);
	e = fl_ranges_finish(net);
	if (e)
		return e;
	fl_bindings_finish(r);
	fl_network_check(r);
	fl_network_say_missing(r);
	if (net->problems_left_out) {
		size_t left_out = net->problems_left_out;

		net->n_problems--;
		fl_problem_at(r, "", "", false, "%zu further problems are not listed", left_out + 1);
	}
	sort(net->problem, net->n_problems, sizeof *net->problem, by_place);
	return 0;
}
