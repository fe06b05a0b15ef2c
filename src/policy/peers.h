/* SPDX-License-Identifier: Apache-2.0 */
/* Inside policy/: whether an address is one of those that a rule is about. */
#pragma once

#include "policy/policy.h"

bool fl_peer_in_cidr(const struct fl_cidr *c, bool cidr_v6, const struct fl_addr *a, bool v6);
bool fl_peer_in_list(const struct fl_cidrs *list, const struct fl_addr *a, bool v6);
/* A group's rule: its CIDR, its prefix list, or the members of the group it names with their delegated prefixes. */
bool fl_peer_of_rule(const struct fl_group_rule *r, const struct fl_addr *a, bool v6);
