/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <strings.h>

#include "policy/peers.h"
#include "policy/trace_hops.h"

#define DEPTH_MAX 6 /* middleboxes and NAT gateways one behind the other */

bool walk_block(struct fl_step *s, enum fl_cause cause)
{
	step_block(s, cause);
	return false;
}

static const struct fl_net_addr *row_of(const struct fl_net_eni *eni, const struct fl_addr *a, bool v6)
{
	for (size_t i = 0; eni && i < eni->n_addrs; i++)
		if (eni->addr[i].v6 == v6 && fl_addr_equal(&eni->addr[i].addr, a))
			return &eni->addr[i];
	return NULL;
}

/* ---- internet gateways ---- */

static const struct fl_gateway *gateway_of(struct walker *w, const char *id)
{
	size_t n;
	const struct fl_gateway *g = fl_network_gateways(w->net, &n);

	for (size_t i = 0; i < n; i++)
		if (!strcmp(g[i].noun.id, id))
			return &g[i];
	return NULL;
}

/* Says which gateway; false: it cannot carry anything of this VPC. */
static bool enter_gateway(struct walker *w, struct fl_step *s, const struct fl_vpc *vpc, const struct fl_route *route)
{
	const struct fl_gateway *g = gateway_of(w, route->target_id);
	const char *people = fl_target_names[route->target];

	snprintf(s->at, sizeof s->at, "%s", route->target_id);
	step_text(s, "%s", people);
	if (!g) {
		s->outcome = FL_NOT_KNOWN;
		step_text(s, "%s; the inventory does not say whether it is attached", people);
		return true;
	}
	step_at(s, &g->noun);
	if (!strcmp(g->vpc_id, vpc->noun.id))
		return true;
	step_text(s, "%s %s is attached to %s, not to %s", people, g->noun.id, *g->vpc_id ? g->vpc_id : "no VPC",
		  vpc->noun.id);
	step_fix(s, "attach %s to %s", g->noun.id, vpc->noun.id);
	return walk_block(s, FL_CAUSE_DETACHED);
}

bool walk_bpa(struct walker *w, const struct fl_net_eni *eni, bool inbound)
{
	struct fl_bpa_state bpa = fl_policy_bpa(eni);
	struct fl_step *s;

	if (bpa.both || (inbound && bpa.ingress && !w->nat)) {
		s = walk_step(w, FL_STEP_BPA);
		step_at(s, bpa.of);
		step_text(s, "Block Public Access is on (%s)%s%s: nothing passes an internet gateway%s",
			  bpa.both        ? "block-bidirectional"
			  : bpa.exclusion ? "block-bidirectional"
					  : "block-ingress",
			  bpa.exclusion ? ", and exclusion " : "", bpa.exclusion ? bpa.exclusion->noun.id : "",
			  bpa.both        ? ""
			  : bpa.exclusion ? " inwards: it lets out only"
					  : " inwards");
		step_fix(s, bpa.exclusion ? "make it an exclusion of both directions (allow-bidirectional)"
					  : "exclude the VPC or subnet from Block Public Access");
		step_block(s, FL_CAUSE_BPA);
		return true;
	}
	if (bpa.exclusion) {
		s = walk_step(w, FL_STEP_BPA);
		step_at(s, bpa.of);
		snprintf(s->rule, sizeof s->rule, "%s", bpa.exclusion->noun.id);
		step_text(s, "on, but %s is excluded from it by %s (%s)", bpa.exclusion->resource_id,
			  bpa.exclusion->noun.id, bpa.exclusion->egress_only ? "allow-egress" : "allow-bidirectional");
	}
	return false;
}

/* IPv4 leaves with the public address of its interface; IPv6 addresses are public. */
static bool translate_source(struct walker *w, struct fl_step *s, const struct fl_net_eni *eni)
{
	const struct fl_net_addr *row = row_of(eni, &w->s.key.src, false);
	char private[FL_ADDR_TEXT_MAX + 1], public[FL_ADDR_TEXT_MAX + 1];

	if (walk_is_v6(w))
		return true;
	addr_text(&w->s.key.src, false, private);
	if (w->nat && !w->nat->is_private && w->nat->primary.has_public) {
		w->s.key.src = w->nat->primary.public;
	} else if (w->nat) {
		step_text(s, "%s has no Elastic IP address", w->nat->noun.id);
		step_fix(s, "use a public NAT gateway");
		return walk_block(s, FL_CAUSE_NAT_ADDRESS);
	} else if (row && row->has_public) {
		w->s.key.src = row->public;
	} else {
		step_text(s,
			  "%s has no public IPv4 address, and an internet gateway translates only those that have one",
			  private);
		step_fix(s, "give %s an Elastic IP address, or route through a NAT gateway", eni->noun.id);
		return walk_block(s, FL_CAUSE_PUBLIC_ADDRESS);
	}
	step_text(s, "internet gateway; %s goes out as %s", private, addr_text(&w->s.key.src, false, public));
	return true;
}

/* The public address of an interface becomes the private one on the way in. */
static void translate_destination(struct walker *w)
{
	const struct fl_net_eni *eni = w->to->eni;

	for (size_t i = 0; eni && w->to->is_public && i < eni->n_addrs; i++)
		if (eni->addr[i].has_public && fl_addr_equal(&eni->addr[i].public, &w->s.key.dst)) {
			w->s.key.dst = eni->addr[i].addr;
			return;
		}
}

static bool via_internet(struct walker *w, const struct fl_net_eni *eni, const struct fl_route *route)
{
	struct fl_step *s = walk_step(w, FL_STEP_HOP);
	char text[FL_ADDR_TEXT_MAX + 1];

	if (!enter_gateway(w, s, eni->vpc, route))
		return false;
	if (fl_addr_is_private(&w->s.key.dst, walk_is_v6(w))) {
		step_text(s, "%s is a private address; behind an internet gateway nobody has it",
			  addr_text(&w->s.key.dst, walk_is_v6(w), text));
		step_fix(s, "add a route for it through a peering connection, a transit gateway or a VPN");
		return walk_block(s, FL_CAUSE_PRIVATE_BEYOND);
	}
	if (!translate_source(w, s, eni))
		return false;
	w->by_internet = eni->vpc;
	if (walk_bpa(w, eni, false))
		return false;
	translate_destination(w);
	return true;
}

static bool via_egress_only(struct walker *w, const struct fl_net_eni *eni, const struct fl_route *route)
{
	struct fl_step *s = walk_step(w, FL_STEP_HOP);

	if (!enter_gateway(w, s, eni->vpc, route))
		return false;
	if (!walk_is_v6(w)) {
		step_text(s, "an egress-only internet gateway carries IPv6 alone");
		step_fix(s, "route IPv4 through a NAT gateway");
		return walk_block(s, FL_CAUSE_EGRESS_ONLY_V4);
	}
	return !walk_bpa(w, eni, false);
}

/* ---- NAT gateways ---- */

static const struct fl_nat_gateway *nat_of(struct walker *w, const char *id)
{
	size_t n;
	const struct fl_nat_gateway *g = fl_network_nat_gateways(w->net, &n);

	for (size_t i = 0; i < n; i++)
		if (!strcmp(g[i].noun.id, id))
			return &g[i];
	return NULL;
}

static bool nat_is_usable(struct walker *w, struct fl_step *s, const struct fl_nat_gateway *nat)
{
	static const uint8_t nat64[12] = {0x00, 0x64, 0xff, 0x9b};

	if (w->leg == FL_LEG_BACK) {
		step_text(s, "the answer would go through a NAT gateway that the question did not come through");
		step_fix(s, "route the answer by the way of the question");
		return walk_block(s, FL_CAUSE_ROUTE_BACK);
	}
	if (walk_is_v6(w) && memcmp(w->s.key.dst.b, nat64, sizeof nat64) != 0) {
		step_text(s, "a NAT gateway translates IPv6 only towards 64:ff9b::/96");
		step_fix(s, "route IPv6 through an egress-only internet gateway");
		return walk_block(s, FL_CAUSE_NAT_V6);
	}
	if (*nat->state && strcmp(nat->state, "available") != 0) {
		step_text(s, "%s is %s", nat->noun.id, nat->state);
		step_fix(s, "make a NAT gateway that is available the route's target");
		return walk_block(s, FL_CAUSE_NAT_STATE);
	}
	return true;
}

/* In no subnet: no network ACL, and a route table of its own. */
static bool via_regional_nat(struct walker *w, struct fl_step *s, const struct fl_nat_gateway *nat)
{
	const struct fl_net_eni *at = nat->port ? nat->port : nat->eni;

	w->nat = nat;
	if (!at || !at->routes) {
		step_text(s, "regional NAT gateway; its own route table is not in the inventory");
		s->outcome = FL_NOT_KNOWN;
		return true;
	}
	step_text(s, "regional NAT gateway");
	return walk_route(w, at);
}

static bool via_nat(struct walker *w, const struct fl_net_eni *eni, const struct fl_route *route)
{
	const struct fl_nat_gateway *nat = nat_of(w, route->target_id);
	struct fl_step *s = walk_step(w, FL_STEP_HOP);
	char text[FL_ADDR_TEXT_MAX + 1];
	const struct fl_route *on;
	struct fl_subject in;

	snprintf(s->at, sizeof s->at, "%s", route->target_id);
	if (!nat) {
		step_text(s, "NAT gateway %s is not in the inventory", route->target_id);
		step_fix(s, "make a NAT gateway that exists the route's target");
		return walk_block(s, FL_CAUSE_NAT_UNKNOWN);
	}
	step_at(s, &nat->noun);
	if (!nat_is_usable(w, s, nat))
		return false;
	if (!nat->eni || !nat->subnet) /* regional: it has neither */
		return via_regional_nat(w, s, nat);
	step_text(s, "NAT gateway; goes on as %s", addr_text(&nat->primary.addr, false, text));
	in = w->s;
	if (nat->subnet != eni->subnet) {
		in.key.dirfam ^= FL_KEY_DIR;
		walk_filter(w, FL_STEP_ACL_IN, nat->eni, &in, NULL, NULL);
	}
	on = nat->subnet->routes ? fl_route_find(nat->subnet->routes, &w->s.key.dst, walk_is_v6(w)) : NULL;
	if (nat->subnet->routes && (!on || (on->target == FL_TARGET_NAT_GATEWAY))) {
		s = walk_step(w, FL_STEP_ROUTE);
		step_at(s, &nat->subnet->routes->noun);
		step_text(s, "the NAT gateway's own subnet %s %s", nat->subnet->noun.id,
			  on ? "routes this to a NAT gateway again" : "has no route for this");
		step_fix(s, "put the NAT gateway into a subnet whose route leads to an internet gateway");
		return walk_block(s, on ? FL_CAUSE_LOOP : FL_CAUSE_NAT_NO_ROUTE);
	}
	w->nat = nat;
	w->s.key.src = nat->primary.addr;
	walk_filter(w, FL_STEP_ACL_OUT, nat->eni, &w->s, NULL, NULL);
	return walk_route(w, nat->eni);
}

/* ---- other networks ---- */

static bool arrives_in(struct walker *w, struct fl_step *s, const char *vpc_id)
{
	char text[FL_ADDR_TEXT_MAX + 1];

	if (!w->to->eni && !fl_network_find(w->net, vpc_id, NULL)) {
		s->outcome = FL_NOT_KNOWN;
		return true; /* somebody else's VPC */
	}
	if (w->to->eni && !strcmp(w->to->eni->vpc_id, vpc_id))
		return true;
	step_text(s, "no interface in %s has the address %s", vpc_id, addr_text(&w->s.key.dst, walk_is_v6(w), text));
	return walk_block(s, FL_CAUSE_NO_INTERFACE);
}

static bool via_peering(struct walker *w, const struct fl_net_eni *eni, const struct fl_route *route)
{
	size_t n;
	const struct fl_peering *all = fl_network_peerings(w->net, &n), *p = NULL;
	struct fl_step *s = walk_step(w, FL_STEP_HOP);
	char text[FL_ADDR_TEXT_MAX + 1];
	unsigned far;

	for (size_t i = 0; i < n; i++)
		if (!strcmp(all[i].noun.id, route->target_id))
			p = &all[i];
	snprintf(s->at, sizeof s->at, "%s", route->target_id);
	if (!p || (strcmp(p->vpc_id[0], eni->vpc->noun.id) != 0 && strcmp(p->vpc_id[1], eni->vpc->noun.id) != 0)) {
		step_text(s,
			  p ? "this peering connection does not belong to %s"
			    : "this peering connection is not in the inventory; the route is of %s",
			  eni->vpc->noun.id);
		step_fix(s, "make a peering connection of both VPCs the route's target");
		return walk_block(s, FL_CAUSE_PEERING_UNKNOWN);
	}
	step_at(s, &p->noun);
	far = !strcmp(p->vpc_id[0], eni->vpc->noun.id);
	if (strcmp(p->status, "active") != 0) {
		step_text(s, "the peering connection with %s is %s, not active", p->vpc_id[far], p->status);
		step_fix(s, "%s",
			 !strcmp(p->status, "pending-acceptance") ? "have its other owner accept it"
								  : "make a new peering connection");
		return walk_block(s, FL_CAUSE_PEERING_INACTIVE);
	}
	if (p->cidrs[far].n && !fl_peer_in_list(&p->cidrs[far], &w->s.key.dst, walk_is_v6(w))) {
		step_text(s, "%s is not in %s, and a peering connection leads no further (not transitive)",
			  addr_text(&w->s.key.dst, walk_is_v6(w), text), p->vpc_id[far]);
		step_fix(s, "peer with the VPC that has the address, or use a transit gateway");
		return walk_block(s, FL_CAUSE_PEERING_BEYOND);
	}
	step_text(s, "peering connection with %s", p->vpc_id[far]);
	return arrives_in(w, s, p->vpc_id[far]);
}

/* The facts say that an endpoint rejects what is not encrypted; which packets are is in no inventory and in no header.
 */
void walk_encryption(struct walker *w, const struct fl_net_eni *eni)
{
	struct fl_step *s;

	if (!eni->vpc || !eni->vpc->encryption_enforced)
		return;
	s = walk_step(w, FL_STEP_HOP);
	step_at(s, &eni->vpc->noun);
	s->outcome = FL_NOT_KNOWN;
	step_text(s, "encryption in transit is enforced; whether the endpoint rejects this (reject-reason EC) does not "
		     "follow from addresses and ports");
}

static bool via_endpoint(struct walker *w, const struct fl_net_eni *eni, const struct fl_route *route)
{
	size_t n;
	const struct fl_endpoint *all = fl_network_endpoints(w->net, &n);
	struct fl_step *s = walk_step(w, FL_STEP_HOP);

	snprintf(s->at, sizeof s->at, "%s", route->target_id);
	s->outcome = FL_NOT_KNOWN;
	step_text(s, "VPC endpoint; the inventory does not have it");
	for (size_t i = 0; i < n; i++) {
		if (strcmp(all[i].noun.id, route->target_id) != 0)
			continue;
		step_at(s, &all[i].noun);
		if (*all[i].state && strcasecmp(all[i].state, "available") != 0) {
			step_text(s, "the endpoint for %s is %s", all[i].service, all[i].state);
			step_fix(s, "make the endpoint available, or remove its route");
			return walk_block(s, FL_CAUSE_ENDPOINT);
		}
		s->outcome = route->target == FL_TARGET_GATEWAY_ENDPOINT ? FL_PASSES : FL_NOT_KNOWN;
		step_text(s, "%s for %s%s", fl_target_names[route->target], all[i].service,
			  s->outcome == FL_PASSES ? "" : "; what stands behind it is not known");
	}
	walk_encryption(w, eni);
	return true;
}

static bool via_interface(struct walker *w, const struct fl_net_eni *eni, const struct fl_route *route)
{
	const struct fl_net_eni *box = fl_network_eni(w->net, route->target_id);
	struct fl_step *s = walk_step(w, FL_STEP_HOP);
	struct fl_subject in = w->s;

	snprintf(s->at, sizeof s->at, "%s", route->target_id);
	if (!box) {
		s->outcome = FL_NOT_KNOWN;
		step_text(s, "an interface that the inventory does not have");
		return true;
	}
	step_at(s, &box->noun);
	if (box == w->to->eni) {
		step_text(s, "the receiver itself");
		return true;
	}
	if (box->source_dest_check) {
		step_text(s, "forwards what is not for itself, and its source/destination check drops that");
		step_fix(s, "turn the source/destination check of %s off", box->noun.id);
		return walk_block(s, FL_CAUSE_CHECK);
	}
	step_text(s, "an appliance that forwards");
	in.key.dirfam ^= FL_KEY_DIR;
	if (box->subnet != eni->subnet)
		walk_filter(w, FL_STEP_ACL_IN, box, &in, w->needed, w->wished);
	if (w->leg == FL_LEG_THERE) {
		walk_filter(w, FL_STEP_GROUP_IN, box, &in, NULL, NULL);
		walk_filter(w, FL_STEP_GROUP_OUT, box, &w->s, NULL, NULL);
	}
	walk_filter(w, FL_STEP_ACL_OUT, box, &w->s, w->needed, w->wished);
	return walk_route(w, box);
}

/* ---- routes ---- */

static bool via_local(struct walker *w, const struct fl_net_eni *eni)
{
	struct fl_step *s;
	char text[FL_ADDR_TEXT_MAX + 1];

	if (w->to->eni && w->to->eni->vpc == eni->vpc)
		return true;
	s = walk_step(w, FL_STEP_HOP);
	step_at(s, &eni->vpc->noun);
	addr_text(&w->s.key.dst, walk_is_v6(w), text);
	if (w->to->eni)
		step_text(s, "%s is in the range of %s as well, and its local route keeps it; the receiver is in %s",
			  text, eni->vpc->noun.id, w->to->eni->vpc_id);
	else
		step_text(s, "%s is in %s, and no interface has it", text, eni->vpc->noun.id);
	step_fix(s, "ask for an address that an interface has");
	return walk_block(s, FL_CAUSE_NO_INTERFACE);
}

static bool via(struct walker *w, const struct fl_net_eni *eni, const struct fl_route *route)
{
	struct fl_step *s;

	switch (route->target) {
	case FL_TARGET_LOCAL:
		return via_local(w, eni);
	case FL_TARGET_INTERNET_GATEWAY:
		return via_internet(w, eni, route);
	case FL_TARGET_EGRESS_ONLY_GATEWAY:
		return via_egress_only(w, eni, route);
	case FL_TARGET_NAT_GATEWAY:
		return via_nat(w, eni, route);
	case FL_TARGET_PEERING:
		return via_peering(w, eni, route);
	case FL_TARGET_TRANSIT_GATEWAY:
		return walk_transit(w, eni, route);
	case FL_TARGET_GATEWAY_ENDPOINT:
	case FL_TARGET_LOAD_BALANCER_ENDPOINT:
		return via_endpoint(w, eni, route);
	case FL_TARGET_INTERFACE:
		return via_interface(w, eni, route);
	case FL_TARGET_VPN_GATEWAY:
	case FL_TARGET_CARRIER_GATEWAY:
		s = walk_step(w, FL_STEP_HOP);
		if (!enter_gateway(w, s, eni->vpc, route) || walk_vpn_is_down(w, s, route->target_id))
			return false;
		s->outcome = FL_NOT_KNOWN;
		return true;
	default:
		s = walk_step(w, FL_STEP_HOP);
		snprintf(s->at, sizeof s->at, "%s", route->target_id);
		s->outcome = FL_NOT_KNOWN;
		step_text(s, "%s; what stands behind it is not known", fl_target_names[route->target]);
		return true;
	}
}

static void route_rule(struct fl_step *s, const struct fl_route *route)
{
	char text[FL_ADDR_TEXT_MAX + 5];

	if (*route->list_id)
		snprintf(s->rule, sizeof s->rule, "%s", route->list_id);
	else
		snprintf(s->rule, sizeof s->rule, "%s", cidr_text(&route->cidr, route->v6, text));
}

/* The step for the route that is taken; NULL when there is none that leads on. */
static const struct fl_route *route_step(struct walker *w, const struct fl_net_eni *eni, const struct fl_addr *dst)
{
	const struct fl_route_table *t = eni->routes ? eni->routes : eni->subnet ? eni->subnet->routes : NULL;
	const struct fl_route *route = t ? fl_route_find(t, dst, walk_is_v6(w)) : NULL;
	struct fl_step *s = walk_step(w, FL_STEP_ROUTE);
	char text[FL_ADDR_TEXT_MAX + 1];

	addr_text(dst, walk_is_v6(w), text);
	if (!t) {
		step_at(s, &eni->noun);
		step_text(s, "the route table of its subnet is not in the inventory");
		s->outcome = FL_NOT_KNOWN;
		return NULL;
	}
	step_at(s, &t->noun);
	if (!route) {
		step_text(s, "no route of %s covers %s", eni->subnet ? eni->subnet->noun.id : eni->noun.id, text);
		step_fix(s, "add a route for %s to %s", text, t->noun.id);
		step_block(s, FL_CAUSE_NO_ROUTE);
		return NULL;
	}
	route_rule(s, route);
	if (route->blackhole) {
		step_text(s, "the route for %s leads to %s, which is gone (blackhole)", s->rule, route->target_id);
		step_fix(s, "give the route for %s in %s a target that exists", s->rule, t->noun.id);
		step_block(s, FL_CAUSE_BLACKHOLE);
		return NULL;
	}
	step_text(s, "%s goes to %s%s%s", s->rule, fl_target_names[route->target],
		  route->target == FL_TARGET_LOCAL ? "" : " ",
		  route->target == FL_TARGET_LOCAL ? "" : route->target_id);
	return route;
}

static bool last_blocks(const struct walker *w)
{
	return w->out->n && w->out->step[w->out->n - 1].outcome == FL_BLOCKS;
}

bool walk_route(struct walker *w, const struct fl_net_eni *eni)
{
	const struct fl_route *route;
	struct fl_step *s;

	if (++w->depth > DEPTH_MAX) {
		s = walk_step(w, FL_STEP_ROUTE);
		step_at(s, &eni->noun);
		step_text(s, "after %d hops the packet is still under way", DEPTH_MAX);
		return walk_block(s, FL_CAUSE_LOOP);
	}
	route = route_step(w, eni, &w->s.key.dst);
	if (!route)
		return !last_blocks(w);
	return via(w, eni, route);
}

/* ---- from outside ---- */

static bool inbound_by_internet(struct walker *w, const struct fl_net_eni *eni, const struct fl_route *route)
{
	struct fl_step *s = walk_step(w, FL_STEP_HOP);
	const struct fl_net_addr *row;
	char text[FL_ADDR_TEXT_MAX + 1], public[FL_ADDR_TEXT_MAX + 1];

	if (!enter_gateway(w, s, eni->vpc, route))
		return false;
	w->by_internet = eni->vpc;
	if (fl_addr_is_private(&w->s.key.src, walk_is_v6(w))) {
		step_text(s, "%s is a private address; it cannot come in by an internet gateway",
			  addr_text(&w->s.key.src, walk_is_v6(w), text));
		step_fix(s, "add a route for it through a peering connection, a transit gateway or a VPN");
		return walk_block(s, FL_CAUSE_PRIVATE_BEYOND);
	}
	translate_destination(w);
	row = row_of(eni, &w->s.key.dst, walk_is_v6(w));
	if (!walk_is_v6(w)) {
		addr_text(&w->s.key.dst, false, text);
		if (!row || !row->has_public) {
			step_text(s, "%s has no public address by which the internet could reach it", text);
			step_fix(s, "give %s an Elastic IP address, or put a load balancer before it", eni->noun.id);
			return walk_block(s, FL_CAUSE_PUBLIC_ADDRESS);
		}
		step_text(s, "internet gateway; %s comes in to %s", addr_text(&row->public, false, public), text);
	}
	return !walk_bpa(w, eni, true);
}

bool walk_arrive(struct walker *w)
{
	const struct fl_net_eni *eni = w->to->eni;
	const struct fl_route *route;
	struct fl_step *s;
	char text[FL_ADDR_TEXT_MAX + 1];

	if (!eni)
		return true;
	route = route_step(w, eni, &w->s.key.src);
	if (!route)
		return !last_blocks(w);
	switch (route->target) {
	case FL_TARGET_INTERNET_GATEWAY:
		return inbound_by_internet(w, eni, route);
	case FL_TARGET_NAT_GATEWAY:
		s = walk_step(w, FL_STEP_HOP);
		snprintf(s->at, sizeof s->at, "%s", route->target_id);
		step_text(s, "%s is in a private subnet: a NAT gateway lets only answers in", eni->noun.id);
		step_fix(s, "put a load balancer in a public subnet before it, or move it to one");
		return walk_block(s, FL_CAUSE_NAT_INBOUND);
	case FL_TARGET_EGRESS_ONLY_GATEWAY:
		s = walk_step(w, FL_STEP_HOP);
		snprintf(s->at, sizeof s->at, "%s", route->target_id);
		step_text(s, "an egress-only internet gateway lets only answers in");
		step_fix(s, "route ::/0 to an internet gateway");
		return walk_block(s, FL_CAUSE_EGRESS_ONLY);
	case FL_TARGET_LOCAL:
		s = walk_step(w, FL_STEP_HOP);
		step_at(s, &eni->vpc->noun);
		step_text(s, "%s is in %s, and no interface has it", addr_text(&w->s.key.src, walk_is_v6(w), text),
			  eni->vpc->noun.id);
		return walk_block(s, FL_CAUSE_NO_INTERFACE);
	case FL_TARGET_TRANSIT_GATEWAY:
		return walk_arrive_by_transit(w, eni, route);
	default:
		s = walk_step(w, FL_STEP_HOP);
		snprintf(s->at, sizeof s->at, "%s", route->target_id);
		s->outcome = FL_NOT_KNOWN;
		step_text(s, "comes in by %s; what stands behind it is not known", fl_target_names[route->target]);
		return true;
	}
}
