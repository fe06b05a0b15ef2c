/* SPDX-License-Identifier: Apache-2.0 */
/* Asking a network that has been read about its transit gateways. */
#include <string.h>

#include "inventory/network.h"

static bool beats(const struct fl_tgw_route *route, unsigned bits, const struct fl_tgw_route *best, int best_bits)
{
	return (int)bits > best_bits || ((int)bits == best_bits && route->rank < best->rank);
}

const struct fl_tgw_route *fl_tgw_route_find(const struct fl_tgw_table *t, const struct fl_addr *dst, bool v6)
{
	const struct fl_tgw_route *best = NULL;
	int bits = -1;

	for (size_t i = 0; t && i < t->n; i++) {
		const struct fl_tgw_route *route = &t->route[i];
		const struct fl_cidrs one = {&route->cidr, 1}, none = {0},
				      *set = !*route->list_id ? &one
					     : route->list    ? &route->list->cidrs
							      : &none;

		for (size_t j = 0; j < set->n; j++) {
			const struct fl_cidr *c = &set->cidr[j];
			bool family = *route->list_id ? !fl_cidr_is_v4(c) : route->v6;

			if (family == v6 && fl_cidr_has(c, dst) && beats(route, c->bits, best, bits)) {
				best = route;
				bits = c->bits;
			}
		}
	}
	return best;
}

const struct fl_tgw_table *fl_tgw_table_of(const struct fl_tgw_attachment *a, const char *tgw_id)
{
	if (a->peer_table && !strcmp(a->peer_tgw_id, tgw_id))
		return a->peer_table;
	/* the table may be of the other gateway, when only that one's account was described */
	return a->table && !strcmp(a->table->tgw_id, tgw_id) ? a->table : NULL;
}

/* Zones have another name in every account, and one id. */
static bool same_zone(const struct fl_net_eni *e, const char *az, const char *az_id)
{
	if (*e->az_id && *az_id)
		return !strcmp(e->az_id, az_id);
	return *az && !strcmp(e->az, az);
}

const struct fl_net_eni *fl_tgw_interface(const struct fl_tgw_attachment *a, const char *az, const char *az_id)
{
	for (size_t i = 0; i < a->n_enis; i++)
		if (same_zone(a->eni[i], az, az_id))
			return a->eni[i];
	return a->n_enis == 1 ? a->eni[0] : a->port;
}

static void go_forward(const struct fl_addr *dst, bool v6, struct fl_tgw_way *ret)
{
	const struct fl_tgw_table *t = fl_tgw_table_of(ret->in, ret->in->tgw_id);
	const struct fl_tgw_route *route = fl_tgw_route_find(t, dst, v6);

	if (!t || (!route && !t->has_routes))
		return;
	if (!route || route->blackhole) {
		ret->fate = route ? FL_TGW_BLACKHOLE : FL_TGW_NO_ROUTE;
		return;
	}
	ret->fate = FL_TGW_FORWARDED;
	ret->out_id = route->attachment_id;
	ret->out = route->attachment;
	/* in appliance mode the zone follows from a hash of the flow, which AWS does not document */
	if (ret->out && (!ret->out->appliance_mode || ret->out->n_enis < 2))
		ret->out_eni = fl_tgw_interface(ret->out, ret->in_eni->az, ret->in_eni->az_id);
}

static bool has_address(const struct fl_vpc *vpc, const struct fl_addr *a, bool v6)
{
	for (size_t i = 0; vpc && i < vpc->cidrs.n; i++)
		if (fl_cidr_is_v4(&vpc->cidrs.cidr[i]) != v6 && fl_cidr_has(&vpc->cidrs.cidr[i], a))
			return true;
	return false;
}

bool fl_network_is_before(const struct fl_network *net, const struct fl_net_eni *e, const struct fl_addr *a, bool v6)
{
	size_t n;
	const struct fl_tgw_table *t = fl_network_tgw_tables(net, &n);

	if (e->vpc || !e->attachment)
		return has_address(e->vpc, a, v6);
	for (size_t i = 0; i < n; i++) {
		const struct fl_tgw_route *route =
		    strcmp(t[i].tgw_id, e->attachment->tgw_id) ? NULL : fl_tgw_route_find(&t[i], a, v6);

		if (route && route->attachment == e->attachment)
			return true;
	}
	return false;
}

static bool may_lead_to(const struct fl_tgw_attachment *from, const struct fl_tgw_attachment *to,
			const struct fl_addr *dst, bool v6)
{
	const struct fl_tgw_table *t = fl_tgw_table_of(from, to->tgw_id);
	const struct fl_tgw_route *route = fl_tgw_route_find(t, dst, v6);

	if (!t || (!route && !t->has_routes))
		return true; /* as far as is known */
	return route && !strcmp(route->attachment_id, to->noun.id);
}

/* By which attachment it came: that of the VPC which has the sender, if its table leads here; else where the answer
 * would go. */
static const struct fl_tgw_attachment *find_origin(const struct fl_network *net, const struct fl_tgw_attachment *to,
						   const struct fl_addr *src, const struct fl_addr *dst, bool v6)
{
	size_t n, found = 0;
	const struct fl_tgw_attachment *all = fl_network_tgw_attachments(net, &n), *from = NULL;
	const struct fl_tgw_route *back;

	for (size_t i = 0; i < n; i++)
		if (&all[i] != to && !strcmp(all[i].tgw_id, to->tgw_id) && has_address(all[i].vpc, src, v6) &&
		    may_lead_to(&all[i], to, dst, v6)) {
			from = &all[i];
			found++;
		}
	if (found)
		return found == 1 ? from : NULL;
	back = fl_tgw_route_find(fl_tgw_table_of(to, to->tgw_id), src, v6);
	return back && !back->blackhole ? back->attachment : NULL;
}

/* A sender's packets enter the gateway in the sender's zone. */
static const struct fl_net_eni *origin_interface(const struct fl_network *net, const struct fl_tgw_attachment *from,
						 const struct fl_addr *src)
{
	const struct fl_net_eni *sender = from->vpc ? fl_network_eni_at(net, from->vpc, src) : NULL;
	size_t n;
	const struct fl_subnet *s = fl_network_subnets(net, &n);

	if (sender)
		return fl_tgw_interface(from, sender->az, sender->az_id);
	for (size_t i = 0; from->vpc && i < n; i++)
		for (size_t k = 0; s[i].vpc == from->vpc && k < s[i].cidrs.n; k++)
			if (fl_cidr_has(&s[i].cidrs.cidr[k], src))
				return fl_tgw_interface(from, s[i].az, s[i].az_id);
	return fl_tgw_interface(from, "", "");
}

void fl_tgw_find_way(const struct fl_network *net, const struct fl_net_eni *e, bool enters, const struct fl_addr *src,
		     const struct fl_addr *dst, bool v6, struct fl_tgw_way *ret)
{
	*ret = (struct fl_tgw_way){.in_id = "", .out_id = ""};
	if (!e->attachment)
		return;
	if (enters) {
		ret->in = e->attachment;
		ret->in_id = e->attachment_id;
		ret->in_eni = e;
		go_forward(dst, v6, ret);
		return;
	}
	ret->fate = FL_TGW_FORWARDED;
	ret->out = e->attachment;
	ret->out_id = e->attachment_id;
	ret->out_eni = e;
	ret->in = find_origin(net, e->attachment, src, dst, v6);
	if (!ret->in)
		return;
	ret->in_id = ret->in->noun.id;
	ret->in_eni = origin_interface(net, ret->in, src);
}
