/* SPDX-License-Identifier: Apache-2.0 */
/* Through a transit gateway: in by one attachment, looked up in its table, out by another; on from there. */
#include <stdio.h>

#include "policy/trace_hops.h"

#define GATEWAYS_MAX 4 /* peered with each other, one behind the other */

static const struct fl_tgw_attachment *attachment_of(const struct walker *w, const char *tgw, const struct fl_vpc *vpc)
{
	size_t n;
	const struct fl_tgw_attachment *all = fl_network_tgw_attachments(w->net, &n);

	for (size_t i = 0; i < n; i++)
		if (!strcmp(all[i].tgw_id, tgw) && all[i].vpc == vpc)
			return &all[i];
	return NULL;
}

static bool any_attachment(const struct walker *w)
{
	size_t n;

	fl_network_tgw_attachments(w->net, &n);
	return n;
}

static bool has_zone(const struct fl_tgw_attachment *a, const struct fl_subnet *subnet)
{
	for (size_t i = 0; i < a->n_subnets; i++)
		if (!a->subnet[i] || !subnet || !strcmp(a->subnet[i]->az, subnet->az))
			return true;
	return !a->n_subnets;
}

static bool is_available(struct fl_step *s, const struct fl_tgw_attachment *a)
{
	if (!*a->state || !strcmp(a->state, "available"))
		return true;
	step_text(s, "attachment %s of %s is %s", a->noun.id, a->resource_id, a->state);
	step_fix(s, "wait for the attachment, or accept it");
	return walk_block(s, FL_CAUSE_ATTACHMENT_STATE);
}

static bool check_attachment(struct walker *w, struct fl_step *s, const char *tgw, const struct fl_vpc *vpc,
			     const struct fl_subnet *from)
{
	const struct fl_tgw_attachment *a = attachment_of(w, tgw, vpc);

	if (!a) {
		step_text(s, "%s is not attached to transit gateway %s", vpc->noun.id, tgw);
		step_fix(s, "attach %s to %s", vpc->noun.id, tgw);
		return walk_block(s, FL_CAUSE_ATTACHMENT);
	}
	if (!is_available(s, a))
		return false;
	if (from && !has_zone(a, from)) {
		step_text(s, "attachment %s has no subnet in %s, where %s is", a->noun.id, from->az, from->noun.id);
		step_fix(s, "add a subnet of %s to the attachment", from->az);
		return walk_block(s, FL_CAUSE_ATTACHMENT_ZONE);
	}
	return true;
}

/* Its peers may have what it has not. */
static bool has_peers(const struct walker *w, const char *tgw)
{
	size_t n;
	const struct fl_tgw_attachment *all = fl_network_tgw_attachments(w->net, &n);

	for (size_t i = 0; i < n; i++)
		if (*all[i].peer_tgw_id && (!strcmp(all[i].tgw_id, tgw) || !strcmp(all[i].peer_tgw_id, tgw)))
			return true;
	return false;
}

/* ---- VPN connections ---- */

static bool vpn_is_down(struct fl_step *s, const struct fl_vpn *v)
{
	bool wrong = *v->state && strcmp(v->state, "available") != 0;

	if (!wrong && (!v->n_tunnels || v->n_up))
		return false;
	step_at(s, &v->noun);
	if (wrong)
		step_text(s, "VPN connection %s is %s", v->noun.id, v->state);
	else
		step_text(s, "VPN connection %s: none of its %zu tunnels is up", v->noun.id, v->n_tunnels);
	step_fix(s, "bring up a tunnel of %s, at the customer gateway or here", v->noun.id);
	walk_block(s, FL_CAUSE_VPN_DOWN);
	return true;
}

bool walk_vpn_is_down(struct walker *w, struct fl_step *s, const char *gateway_id)
{
	size_t n, of_gateway = 0;
	const struct fl_vpn *all = fl_network_vpns(w->net, &n), *down = NULL;

	for (size_t i = 0; i < n; i++) {
		if (strcmp(all[i].gateway_id, gateway_id) != 0)
			continue;
		of_gateway++;
		if ((*all[i].state && strcmp(all[i].state, "available") != 0) || (all[i].n_tunnels && !all[i].n_up))
			down = &all[i];
		else
			return false; /* one that may carry it */
	}
	return of_gateway && down && vpn_is_down(s, down);
}

static bool by_vpn(struct walker *w, const struct fl_tgw_attachment *a)
{
	size_t n;
	const struct fl_vpn *all = fl_network_vpns(w->net, &n);
	struct fl_step *s = walk_step(w, FL_STEP_HOP);

	step_at(s, &a->noun);
	s->outcome = FL_NOT_KNOWN;
	step_text(s, "VPN connection %s; what stands behind it is not known", a->resource_id);
	for (size_t i = 0; i < n; i++)
		if (!strcmp(all[i].noun.id, a->resource_id)) {
			if (vpn_is_down(s, &all[i]))
				return false;
			if (all[i].n_tunnels)
				step_text(
				    s, "VPN connection %s, %zu of %zu tunnels up; what stands behind it is not known",
				    a->resource_id, all[i].n_up, all[i].n_tunnels);
		}
	return true;
}

/* ---- a gateway's tables ---- */

static const struct fl_tgw_table *table_of(struct walker *w, const struct fl_tgw_attachment *a, const char *tgw)
{
	const struct fl_tgw_table *t = fl_tgw_table_of(a, tgw);
	size_t n, known = 0;
	const struct fl_tgw_attachment *all = fl_network_tgw_attachments(w->net, &n);
	struct fl_step *s;

	if (t && (t->has_routes || t->n))
		return t;
	s = walk_step(w, FL_STEP_HOP);
	snprintf(s->at, sizeof s->at, "%s", tgw);
	s->outcome = FL_NOT_KNOWN;
	for (size_t i = 0; i < n; i++)
		known += !strcmp(all[i].tgw_id, tgw) && *all[i].table_id;
	if (t) {
		step_text(s, "transit gateway; the routes of its table %s are not in the inventory", t->noun.id);
	} else if (*a->table_id || !known || *a->peer_tgw_id) {
		step_text(s, "transit gateway; the route table of attachment %s is not in the inventory", a->noun.id);
	} else {
		step_text(s, "attachment %s is associated with no route table: what comes in by it is dropped",
			  a->noun.id);
		step_fix(s, "associate %s with a route table of %s", a->noun.id, tgw);
		walk_block(s, FL_CAUSE_TGW_NOT_ASSOCIATED);
	}
	return NULL;
}

static bool propagates(const struct fl_tgw_table *t, const struct fl_tgw_attachment *a)
{
	for (size_t i = 0; i < t->n_propagations; i++)
		if (t->propagation[i] == a)
			return true;
	return false;
}

static void no_route(struct walker *w, struct fl_step *s, const struct fl_tgw_table *t, const char *dst)
{
	const struct fl_vpc *vpc = w->to->eni ? w->to->eni->vpc : NULL;
	const struct fl_tgw_attachment *a = vpc ? attachment_of(w, t->tgw_id, vpc) : NULL;

	step_text(s, "no route of the transit gateway covers %s", dst);
	if (vpc && !a) {
		step_text(s, "no route of the transit gateway covers %s, and %s is not attached to it", dst,
			  vpc->noun.id);
		step_fix(s, "attach %s to %s", vpc->noun.id, t->tgw_id);
		walk_block(s, FL_CAUSE_ATTACHMENT);
		return;
	}
	if (a && t->has_propagations && !propagates(t, a)) {
		step_text(s, "no route of the transit gateway covers %s: %s of %s does not propagate into this table",
			  dst, a->noun.id, vpc->noun.id);
		step_fix(s, "let %s propagate into %s, or add a static route for %s", a->noun.id, t->noun.id, dst);
	} else {
		step_fix(s, "add a static route for %s to %s", dst, t->noun.id);
	}
	walk_block(s, FL_CAUSE_TGW_NO_ROUTE);
}

/* The step for the route that gateway tgw takes for what comes in by a; NULL when there is none that leads on, or it is
 * not known: then the last step tells which. */
static const struct fl_tgw_route *route_step(struct walker *w, const struct fl_tgw_attachment *a, const char *tgw)
{
	const struct fl_tgw_table *t = table_of(w, a, tgw);
	const struct fl_tgw_route *route;
	struct fl_step *s;
	char dst[FL_ADDR_TEXT_MAX + 1], cidr[FL_ADDR_TEXT_MAX + 5];

	if (!t)
		return NULL;
	route = fl_tgw_route_find(t, &w->s.key.dst, walk_is_v6(w));
	s = walk_step(w, FL_STEP_ROUTE);
	step_at(s, &t->noun);
	addr_text(&w->s.key.dst, walk_is_v6(w), dst);
	if (!route) {
		no_route(w, s, t, dst);
		return NULL;
	}
	snprintf(s->rule, sizeof s->rule, "%s",
		 *route->list_id ? route->list_id : cidr_text(&route->cidr, route->v6, cidr));
	if (route->blackhole) {
		step_text(s, "the route for %s is a blackhole: what it covers is dropped", s->rule);
		step_fix(s, "give the route for %s in %s an attachment, or delete it", s->rule, t->noun.id);
		walk_block(s, FL_CAUSE_TGW_BLACKHOLE);
		return NULL;
	}
	step_text(s, "%s goes to %s%s%s%s%s (%s)", s->rule, route->attachment_id, *route->resource_type ? ", " : "",
		  route->resource_type, *route->resource_id ? " " : "", route->resource_id,
		  route->propagated ? "propagated" : "static");
	return route;
}

/* ---- out of it ---- */

/* AWS, "Network ACLs for transit gateways": the ACL of the gateway's subnet sees what comes from an instance inbound
 * and what goes to one outbound, in another subnet than the instance's. */
static void gateway_acl(struct walker *w, const struct fl_net_eni *tgw, const struct fl_net_eni *instance,
			enum fl_step_kind kind)
{
	struct fl_subject s = w->s;

	if (!tgw || !tgw->subnet || (instance && tgw->subnet == instance->subnet))
		return;
	if (kind == FL_STEP_ACL_IN)
		s.key.dirfam ^= FL_KEY_DIR;
	walk_filter(w, kind, tgw, &s, w->needed, w->wished);
}

static bool into_vpc(struct walker *w, const struct fl_tgw_attachment *a, const struct fl_net_eni *from)
{
	const struct fl_net_eni *e = fl_tgw_interface(a, from ? from->az : "", from ? from->az_id : "");
	struct fl_step *s;

	e = e || !a->n_enis ? e : a->eni[0]; /* whichever zone it is */
	if (e && (e->routes || e->subnet)) {
		gateway_acl(w, e, w->to->eni, FL_STEP_ACL_OUT);
		return walk_route(w, e);
	}
	if (w->to->eni && a->vpc && w->to->eni->vpc == a->vpc)
		return true;
	s = walk_step(w, FL_STEP_HOP);
	step_at(s, &a->noun);
	s->outcome = FL_NOT_KNOWN;
	step_text(s, "arrives in %s; the subnets of the attachment are not in the inventory", a->resource_id);
	return true;
}

static bool out_by(struct walker *w, const struct fl_tgw_attachment *a, const struct fl_net_eni *from)
{
	struct fl_step *s;

	if (!strcmp(a->resource_type, "vpc"))
		return into_vpc(w, a, from);
	if (w->to->eni) {
		s = walk_step(w, FL_STEP_HOP);
		step_at(s, &a->noun);
		step_text(s, "leaves by %s %s; the receiver is in %s", a->resource_type, a->resource_id,
			  w->to->eni->vpc_id);
		step_fix(s, "add a more specific route to the attachment of %s", w->to->eni->vpc_id);
		return walk_block(s, FL_CAUSE_TGW_ELSEWHERE);
	}
	if (!strcmp(a->resource_type, "vpn"))
		return by_vpn(w, a);
	s = walk_step(w, FL_STEP_HOP);
	step_at(s, &a->noun);
	s->outcome = FL_NOT_KNOWN;
	step_text(s, "%s %s; what stands behind it is not known", a->resource_type, a->resource_id);
	return true;
}

/* The gateway at the other end of a peering attachment; NULL: not one, or not known. */
static const char *other_gateway(const struct fl_tgw_attachment *a, const char *tgw)
{
	if (!*a->peer_tgw_id)
		return NULL;
	return strcmp(a->tgw_id, tgw) ? a->tgw_id : a->peer_tgw_id;
}

static bool through(struct walker *w, const struct fl_tgw_attachment *in, const char *tgw,
		    const struct fl_net_eni *from)
{
	struct fl_step *s;

	for (unsigned i = 0; i < GATEWAYS_MAX; i++) {
		const struct fl_tgw_route *route = route_step(w, in, tgw);
		const struct fl_tgw_attachment *out = route ? route->attachment : NULL;
		const char *next = out ? other_gateway(out, tgw) : NULL;

		if (!route)
			return w->out->step[w->out->n - 1].outcome != FL_BLOCKS;
		s = &w->out->step[w->out->n - 1];
		if (!out) {
			s->outcome = FL_NOT_KNOWN;
			step_text(s, "%s goes to %s, which is not in the inventory", s->rule, route->attachment_id);
			return true;
		}
		if (!is_available(s, out))
			return false;
		if (!next || (!fl_tgw_table_of(out, next) && !w->to->eni))
			return out_by(w, out, from);
		in = out;
		tgw = next;
		from = NULL; /* another region has other zones */
	}
	s = walk_step(w, FL_STEP_ROUTE);
	step_text(s, "after %d transit gateways the packet is still under way", GATEWAYS_MAX);
	return walk_block(s, FL_CAUSE_LOOP);
}

bool walk_transit(struct walker *w, const struct fl_net_eni *eni, const struct fl_route *route)
{
	const char *tgw = route->target_id;
	struct fl_step *s = walk_step(w, FL_STEP_HOP);
	const struct fl_vpc *to = w->to->eni ? w->to->eni->vpc : NULL;
	const struct fl_tgw_attachment *in;
	const struct fl_noun *noun = fl_network_find(w->net, tgw, NULL);

	snprintf(s->at, sizeof s->at, "%s", tgw);
	if (noun)
		step_at(s, noun);
	if (!any_attachment(w)) {
		s->outcome = FL_NOT_KNOWN;
		step_text(s, "transit gateway; its attachments are not part of the inventory");
		return true;
	}
	if (!check_attachment(w, s, tgw, eni->vpc, eni->subnet))
		return false;
	in = attachment_of(w, tgw, eni->vpc);
	/* where the gateway's routes are known they say more */
	if (to && !has_peers(w, tgw) && (attachment_of(w, tgw, to) || !fl_tgw_table_of(in, tgw)) &&
	    !check_attachment(w, s, tgw, to, NULL))
		return false;
	step_text(s, "transit gateway, in by %s", in->noun.id);
	gateway_acl(w, fl_tgw_interface(in, eni->az, eni->az_id), eni, FL_STEP_ACL_IN);
	return through(w, in, tgw, eni);
}

/* ---- from outside ---- */

bool walk_arrive_by_transit(struct walker *w, const struct fl_net_eni *eni, const struct fl_route *route)
{
	const char *tgw = route->target_id;
	struct fl_step *s = walk_step(w, FL_STEP_HOP);
	const struct fl_tgw_attachment *to = attachment_of(w, tgw, eni->vpc);
	const struct fl_tgw_route *back;
	char src[FL_ADDR_TEXT_MAX + 1];

	snprintf(s->at, sizeof s->at, "%s", tgw);
	s->outcome = FL_NOT_KNOWN;
	step_text(s, "comes in by transit gateway; what stands behind it is not known");
	if (!any_attachment(w))
		return true;
	s->outcome = FL_PASSES;
	if (!check_attachment(w, s, tgw, eni->vpc, NULL))
		return false;
	back = fl_tgw_route_find(fl_tgw_table_of(to, tgw), &w->s.key.src, walk_is_v6(w));
	if (!back || back->blackhole || !back->attachment) {
		s->outcome = FL_NOT_KNOWN;
		step_text(s, "comes in by transit gateway; by which attachment %s does is not known",
			  addr_text(&w->s.key.src, walk_is_v6(w), src));
		return true;
	}
	step_text(s, "comes in by transit gateway, attachment %s (%s %s)", back->attachment_id,
		  back->attachment->resource_type, back->attachment->resource_id);
	if (!is_available(s, back->attachment))
		return false;
	if (!strcmp(back->attachment->resource_type, "vpn") && !by_vpn(w, back->attachment))
		return false;
	return through(w, back->attachment, tgw, NULL);
}
