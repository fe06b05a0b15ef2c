/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/peers.h"

bool fl_peer_in_cidr(const struct fl_cidr *c, bool cidr_v6, const struct fl_addr *a, bool v6)
{
	return cidr_v6 == v6 && fl_cidr_has(c, a);
}

bool fl_peer_in_list(const struct fl_cidrs *list, const struct fl_addr *a, bool v6)
{
	for (size_t i = 0; i < list->n; i++)
		if (fl_peer_in_cidr(&list->cidr[i], !fl_cidr_is_v4(&list->cidr[i]), a, v6))
			return true;
	return false;
}

static bool is_member(const struct fl_group *g, const struct fl_addr *a, bool v6)
{
	for (size_t m = 0; g && m < g->n_members; m++) {
		const struct fl_net_eni *e = g->member[m];

		for (size_t i = 0; i < e->n_addrs; i++)
			if (e->addr[i].v6 == v6 && fl_addr_equal(&e->addr[i].addr, a))
				return true;
		if (fl_peer_in_list(&e->prefixes, a, v6))
			return true;
	}
	return false;
}

bool fl_peer_of_rule(const struct fl_group_rule *r, const struct fl_addr *a, bool v6)
{
	switch (r->peer) {
	case FL_PEER_CIDR:
		return fl_peer_in_cidr(&r->cidr, r->v6, a, v6);
	case FL_PEER_GROUP:
		return is_member(r->group, a, v6);
	default:
		return r->list && fl_peer_in_list(&r->list->cidrs, a, v6);
	}
}
