/* SPDX-License-Identifier: Apache-2.0 */
/* Random networks and packets, small enough that rules, addresses and times meet. */
#pragma once

#include "make.h"

struct random_state {
	uint64_t x;
};
static inline uint32_t pick(struct random_state *r, uint32_t n)
{
	r->x ^= r->x << 13;
	r->x ^= r->x >> 7;
	r->x ^= r->x << 17;
	return (uint32_t)((r->x >> 11) % n);
}

#define RANDOM_ENIS 3
#define RANDOM_GROUPS 4
#define RANDOM_RULES 1000
struct random_network {
	struct fl_vpc vpc[2];
	struct fl_subnet subnet[2];
	struct fl_acl acl[2];
	struct fl_route_table routes[2];
	struct fl_prefix_list list[2];
	struct fl_group group[RANDOM_GROUPS];
	struct fl_net_eni eni[RANDOM_ENIS];
	struct fl_cidr vpc_cidr[2][3], subnet_cidr[2][2], list_cidr[2][6], prefix[RANDOM_ENIS][1];
	struct fl_acl_rule acl_rule[2][2][RANDOM_RULES];
	struct fl_group_rule group_rule[RANDOM_GROUPS][2][RANDOM_RULES];
	struct fl_route route[2][8];
	struct fl_net_addr addr[RANDOM_ENIS][4];
	const struct fl_group *groups[RANDOM_ENIS][3];
	const struct fl_net_eni *member[RANDOM_GROUPS][RANDOM_ENIS];
};
/* rules: about how many a list. */
void random_network(struct random_network *n, struct random_state *r, unsigned rules);

/* A handful of conversations, so that packets belong together. */
#define RANDOM_FLOWS 6
struct random_traffic {
	struct fl_subject flow[RANDOM_FLOWS];
	unsigned eni[RANDOM_FLOWS];
	uint64_t now;
};
void random_traffic(struct random_traffic *t, const struct random_network *n, struct random_state *r, uint64_t start);
/* The next packet; returns the number of the interface that sees it. */
unsigned random_packet(struct random_traffic *t, struct random_state *r, struct fl_subject *ret);
