/* SPDX-License-Identifier: Apache-2.0 */
/* Inside policy/: the state of a walk, and what a route's target does with a packet (trace_hops.c). */
#pragma once

#include "policy/trace_inner.h"

struct walker {
	const struct fl_network *net;
	struct fl_policy *policy;
	const struct fl_trace_question *q;
	struct fl_trace *out;
	struct fl_step scratch; /* what does not fit */
	enum fl_leg leg;
	int error;
	unsigned depth;
	const struct fl_nat_gateway *nat; /* that the packet went through */
	const struct fl_vpc *by_internet; /* whose internet gateway it left or entered by */
	struct fl_subject s;              /* the packet as it now is, seen as leaving */
	struct fl_trace_end seen;         /* the sender, as the receiver sees it */
	const struct fl_trace_end *to;    /* where it shall arrive */
	/* Of an answer: the client's ports that must pass, and those that should; NULL: the subject's own. */
	const struct port_range *needed, *wished;
};

struct fl_step *walk_step(struct walker *w, enum fl_step_kind kind);
/* As fl_trace_filter, into the walk. */
void walk_filter(struct walker *w, enum fl_step_kind kind, const struct fl_net_eni *eni, const struct fl_subject *s,
		 const struct port_range *needed, const struct port_range *wished);
/* From the subnet of an interface to w->to. true: the packet arrives there, or where nobody sees it. */
bool walk_route(struct walker *w, const struct fl_net_eni *eni);
/* From outside the inventory to w->to, by the gateway that its own route to the sender names. */
bool walk_arrive(struct walker *w);
/* Block Public Access where eni's VPC meets the internet; true: it blocks. Names the exclusion that lets pass. */
bool walk_bpa(struct walker *w, const struct fl_net_eni *eni, bool inbound);
/* What the encryption controls of an endpoint's VPC leave open. */
void walk_encryption(struct walker *w, const struct fl_net_eni *eni);
/* s blocks; false, for a hop to return. */
bool walk_block(struct fl_step *s, enum fl_cause cause);
static inline bool walk_is_v6(const struct walker *w)
{
	return w->s.key.dirfam & FL_KEY_V6;
}

/* Transit gateways and VPN connections (trace_transit.c): from a subnet into one, and out of one from outside. */
bool walk_transit(struct walker *w, const struct fl_net_eni *eni, const struct fl_route *route);
bool walk_arrive_by_transit(struct walker *w, const struct fl_net_eni *eni, const struct fl_route *route);
/* true: VPN connections of the gateway are known, and none of them has a tunnel that is up; s then says so. */
bool walk_vpn_is_down(struct walker *w, struct fl_step *s, const char *gateway_id);
