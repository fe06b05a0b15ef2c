/* SPDX-License-Identifier: Apache-2.0 */
/* Inside policy/: a compiled interface. */
#pragma once

#include "policy/connections.h"
#include "policy/rules.h"

#define FILTER_LOCAL_MAX 16

struct fl_filter {
	const struct fl_net_eni *eni;
	uint64_t eni_hash;
	/* By enum fl_dir; NULL: nothing is known, nothing is decided. */
	const struct fl_rules *group[FL_DIR_N], *acl[FL_DIR_N], *route;
	bool unknown_group; /* one of the groups is not in the inventory */
	bool always_tracked, is_nlb;
	bool bpa_ingress, bpa_both, is_nat;
	struct conn_timeouts timeouts;
	struct fl_addr dns[FILTER_LOCAL_MAX], router[FILTER_LOCAL_MAX]; /* reserved addresses */
	size_t n_dns, n_routers;
	const struct fl_policy *policy;
};

/* The interface of this VPC that has the address is of a kind that AWS always tracks; ret_nlb: a load balancer. */
bool fl_policy_tracks_peer(const struct fl_policy *p, const struct fl_vpc *vpc, const struct fl_addr *addr,
			   bool *ret_nlb);
