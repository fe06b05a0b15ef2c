/* SPDX-License-Identifier: Apache-2.0 */
/* Inside flowlog whatif: what would change, by the rules that decide. */
#pragma once

#include "base/mem.h"
#include "policy/replay.h"

#define FL_CHANGES_MAX 65536
#define FL_CHANGE_PEERS_MAX 65536
#define FL_CHANGE_SERVICES_MAX 64

struct fl_peer {
	struct fl_addr addr;
	bool used, v6;
	uint64_t bytes;
};
struct fl_change_service {
	uint8_t proto;
	uint16_t port; /* of the server */
	uint64_t bytes;
};

/* Which rules: what makes two records the same change. Compared as bytes. */
struct fl_change_key {
	const struct fl_group *old_group, *new_group;
	const struct fl_group_rule *old_rule, *new_rule;
	const struct fl_acl_rule *old_acl, *new_acl;
	const struct fl_route *new_route;
	uint8_t rejected; /* 1: would newly be rejected, 0: accepted */
	uint8_t old_by, new_by, no_route, had_no_route;
	uint8_t dir; /* enum fl_dir; FL_DIR_NONE: both */
	uint8_t pad[2];
};
struct fl_change {
	struct fl_change_key key;
	uint64_t records, packets, bytes;
	struct fl_peer *peer; /* hash table */
	size_t peers, peer_cap;
	bool more_peers, more_services;
	struct fl_change_service service[FL_CHANGE_SERVICES_MAX];
	size_t services;
	const struct fl_net_eni *eni; /* the first */
	bool more_enis;
};

struct fl_whatif {
	uint64_t records, unknown_interface, unexplained;
	uint64_t same[2];                          /* by accept */
	uint64_t changed[2], packets[2], bytes[2]; /* 0: newly accepted, 1: newly rejected */
	int64_t first, last;
	struct fl_change *change; /* in the order they were found */
	size_t n, cap;
	uint32_t *index;
	size_t index_cap;
};
int fl_whatif_text(struct fl_whatif *w, struct fl_buf *out);
int fl_whatif_json(struct fl_whatif *w, struct fl_buf *out);
