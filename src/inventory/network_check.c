/* SPDX-License-Identifier: Apache-2.0 */
/* What does not fit together although each noun is well by itself; and which answers are not there. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "inventory/network_build.h"

#define NETWORK_TEXT_MAX (FL_ADDR_TEXT_MAX + 5)

static const char *network_text(const struct fl_cidr *c, char ret[NETWORK_TEXT_MAX])
{
	bool v4 = fl_cidr_is_v4(c);
	char *end = fl_addr_print(ret, &c->base, !v4);

	snprintf(end, 5, "/%u", (unsigned)(v4 ? c->bits - 96 : c->bits));
	return ret;
}

static bool inside(const struct fl_cidrs *set, const struct fl_addr *a, unsigned bits)
{
	for (size_t i = 0; i < set->n; i++)
		if (set->cidr[i].bits <= bits && fl_cidr_has(&set->cidr[i], a))
			return true;
	return !set->n; /* not known */
}

/* ---- CIDR blocks of subnets ---- */

struct block {
	const struct fl_subnet *subnet;
	const struct fl_cidr *cidr;
};

static int by_vpc_and_base(const void *a, const void *b)
{
	const struct block *x = a, *y = b;
	int c = strcmp(x->subnet->vpc_id, y->subnet->vpc_id);

	c = c ? c : memcmp(x->cidr->base.b, y->cidr->base.b, 16);
	return c ? c : (x->cidr->bits > y->cidr->bits) - (x->cidr->bits < y->cidr->bits);
}

static void check_subnets(struct fl_reader *r)
{
	size_t n = 0, at = 0;
	struct block *v;
	const struct block *widest = NULL;
	char one[NETWORK_TEXT_MAX], two[NETWORK_TEXT_MAX];

	FL_EACH_NOUN(r->net, FL_NOUN_SUBNET, fl_subnet, count)
	n += count->cidrs.n;
	v = fl_arena_get(&r->scratch, (n + 1) * sizeof *v);
	if (!v || !n)
		return;
	FL_EACH_NOUN(r->net, FL_NOUN_SUBNET, fl_subnet, s)
	for (size_t i = 0; i < s->cidrs.n; i++) {
		v[at++] = (struct block){s, &s->cidrs.cidr[i]};
		if (s->vpc && !inside(&s->vpc->cidrs, &s->cidrs.cidr[i].base, s->cidrs.cidr[i].bits))
			fl_problem_at(r, s->noun.file, s->noun.id, false,
				      "%s is outside the networks of %s; used as given",
				      network_text(&s->cidrs.cidr[i], one), s->vpc_id);
	}
	qsort(v, n, sizeof *v, by_vpc_and_base);
	for (size_t i = 0; i < n; i++) {
		if (widest && widest->subnet != v[i].subnet && !strcmp(widest->subnet->vpc_id, v[i].subnet->vpc_id) &&
		    fl_cidr_has(widest->cidr, &v[i].cidr->base))
			fl_problem_at(r, v[i].subnet->noun.file, v[i].subnet->noun.id, false,
				      "%s overlaps %s of %s in the same VPC; both are used as given",
				      network_text(v[i].cidr, one), network_text(widest->cidr, two),
				      widest->subnet->noun.id);
		else
			widest = &v[i];
	}
}

/* ---- interfaces ---- */

static void check_interfaces(struct fl_reader *r)
{
	const struct fl_network *net = r->net;

	FL_EACH_NOUN(net, FL_NOUN_ENI, fl_net_eni, e)
	{
		const struct fl_noun *n = &e->noun;
		char text[FL_ADDR_TEXT_MAX + 1];

		if (e->vpc && e->subnet && e->subnet->vpc && e->subnet->vpc != e->vpc)
			fl_problem_at(r, n->file, n->id, false, "is in %s, its subnet %s is in %s; used as given",
				      e->vpc_id, e->subnet_id, e->subnet->vpc_id);
		if (!e->n_addrs)
			fl_problem_at(r, n->file, n->id, false, "no address; its records have no primary one");
		for (size_t i = 0; e->subnet && i < e->n_addrs; i++) {
			if (inside(&e->subnet->cidrs, &e->addr[i].addr, 128))
				continue;
			*fl_addr_print(text, &e->addr[i].addr, e->addr[i].v6) = '\0';
			fl_problem_at(r, n->file, n->id, false, "%s is outside its subnet %s; used as given", text,
				      e->subnet_id);
		}
	}
	for (size_t i = 1; i < net->n_by_mac; i++)
		if (!memcmp(net->by_mac[i].mac, net->by_mac[i - 1].mac, 6)) {
			const struct fl_net_eni *v = (const struct fl_net_eni *)net->store[FL_NOUN_ENI].v;
			const struct fl_net_eni *a = &v[net->by_mac[i - 1].eni], *b = &v[net->by_mac[i].eni];

			fl_problem_at(r, b->noun.file, b->noun.id, false,
				      "has the MAC address of %s; neither is bound to an interface by it", a->noun.id);
		}
	for (size_t i = 1; i < net->n_located; i++) {
		const struct fl_located *a = &net->located[i - 1], *b = &net->located[i];
		const struct fl_net_eni *v = (const struct fl_net_eni *)net->store[FL_NOUN_ENI].v;
		char text[FL_ADDR_TEXT_MAX + 1];

		if (a->public || b->public || a->eni == b->eni || !fl_addr_equal(&a->addr, &b->addr) ||
		    strcmp(v[a->eni].vpc_id, v[b->eni].vpc_id))
			continue;
		*fl_addr_print(text, &a->addr, !fl_addr_is_mapped_v4(&a->addr)) = '\0';
		fl_problem_at(r, v[b->eni].noun.file, v[b->eni].noun.id, false, "has %s, which is an address of %s too",
			      text, v[a->eni].noun.id);
	}
}

void fl_network_check(struct fl_reader *r)
{
	check_subnets(r);
	check_interfaces(r);
}

/* ---- what a complete import would have ---- */

#define TABLES                                                                                                         \
	"aws ec2 describe-transit-gateway-route-tables --query "                                                       \
	"'TransitGatewayRouteTables[].TransitGatewayRouteTableId' --output text"

const struct fl_each_command fl_network_each[FL_EACH_N] = {
    [FL_EACH_LIST_ENTRIES] =
	{"aws ec2 describe-managed-prefix-lists --query 'PrefixLists[].PrefixListId' --output text",
	 "aws ec2 get-managed-prefix-list-entries --prefix-list-id @ > @.json"},
    [FL_EACH_TGW_ROUTES] = {TABLES,
			    "aws ec2 search-transit-gateway-routes --transit-gateway-route-table-id @ --filters "
			    "Name=type,Values=static,propagated > @.json"},
    [FL_EACH_TGW_PROPAGATIONS] = {TABLES, "aws ec2 get-transit-gateway-route-table-propagations "
					  "--transit-gateway-route-table-id @ > @.propagations.json"},
    [FL_EACH_TGW_REFERENCES] = {TABLES,
				"aws ec2 get-transit-gateway-prefix-list-references --transit-gateway-route-table-id @ "
				"> @.references.json"},
};

static void say(struct fl_network *net, const char *command)
{
	const char **more = FL_APPEND(&net->arena, net->missing, net->n_missing);

	if (more)
		*more = command;
}

const char *fl_network_command(size_t i)
{
	for (size_t row = 0; row < fl_kinds_n; row++)
		if (fl_kinds[row].command && !i--)
			return fl_kinds[row].command;
	return NULL;
}

/* @ is the id of what is asked for. */
static void say_each(struct fl_network *net, const char *id, const char *command)
{
	char text[320];
	const char *p = command;
	size_t at = 0;

	for (; *p && at + 64 < sizeof text; p++) {
		if (*p == '@')
			at += (size_t)snprintf(text + at, sizeof text - at, "%.40s", id);
		else
			text[at++] = *p;
	}
	text[at] = '\0';
	say(net, fl_network_intern(net, text, SIZE_MAX));
}

void fl_network_say_missing(struct fl_reader *r)
{
	struct fl_network *net = r->net;

	for (size_t i = 0; i < fl_kinds_n; i++)
		if (fl_kinds[i].command && !(r->rows_seen >> i & 1))
			say(net, fl_kinds[i].command);
	FL_EACH_NOUN(net, FL_NOUN_LIST, fl_prefix_list, list)
	if (!list->has_entries)
		say_each(net, list->noun.id, fl_network_each[FL_EACH_LIST_ENTRIES].command);
	FL_EACH_NOUN(net, FL_NOUN_TGW_TABLE, fl_tgw_table, t)
	{
		if (!t->has_routes)
			say_each(net, t->noun.id, fl_network_each[FL_EACH_TGW_ROUTES].command);
		if (!t->has_propagations)
			say_each(net, t->noun.id, fl_network_each[FL_EACH_TGW_PROPAGATIONS].command);
	}
}
