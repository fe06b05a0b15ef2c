/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fourth face of the stage "policy": the least rules of a security group that cover what was seen, and what was seen of
 * the rules there are. Pure. Peers become group references where a group holds them, else networks; ports with the same
 * peers become ranges.
 */
#pragma once

#include "policy/policy.h"

/* Traffic that must stay possible, seen as its opener's packet. */
struct fl_need {
	enum fl_dir dir; /* FL_DIR_INGRESS: the inbound rules */
	uint8_t proto;
	bool v6;
	uint16_t port; /* of the server; 0 without ports */
	struct fl_addr peer;
};

struct fl_suggested {
	enum fl_dir dir;
	struct fl_group_rule rule; /* id "": it has none yet */
	uint64_t flows, bytes;
	size_t peers; /* that were seen */
};
/* What was seen of a rule that is there. */
struct fl_rule_use {
	enum fl_dir dir;
	const struct fl_group *group;
	const struct fl_group_rule *rule;
	uint64_t flows, bytes;
	int64_t last; /* 0: never */
	size_t peers, ports;
	uint16_t port_from, port_to; /* the lowest and highest that were seen */
	double addresses;            /* that it allows (of a group: its members') */
	bool kept;                   /* what it allows, one suggested rule allows as well */
};

#define FL_SUGGEST_NEEDS_MAX (1u << 20)
#define FL_SUGGEST_QUOTA 60 /* AWS's default: rules a direction of a group */
struct fl_suggest;
struct fl_suggest_conf {
	const struct fl_network *net;
	const struct fl_vpc *vpc;            /* of the group that the rules are for */
	const struct fl_net_eni *eni;        /* that leaves its groups for the new one; NULL: the group stays */
	const struct fl_group *const *group; /* whose rules there are now */
	size_t n_groups;
	size_t networks_max; /* CIDRs for one port range; more are joined into shorter prefixes */
	size_t world_at;     /* this many public peers of one port are the world: 0.0.0.0/0; 0: never */
};
int fl_suggest_new(struct fl_suggest **ret, const struct fl_suggest_conf *conf);
void fl_suggest_free(struct fl_suggest **s);
/* -E2BIG with a sentence after FL_SUGGEST_NEEDS_MAX different needs. */
int fl_suggest_add(struct fl_suggest *s, const struct fl_need *need, uint64_t flows, uint64_t bytes, int64_t last);
/* Once, after the last need. */
int fl_suggest_finish(struct fl_suggest *s);
const struct fl_suggested *fl_suggest_rules(const struct fl_suggest *s, size_t *ret_n);
const struct fl_rule_use *fl_suggest_uses(const struct fl_suggest *s, size_t *ret_n);
