/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Third face of the stage "policy": recorded flows against rules. A record does not keep the order of packets within
 * its interval, so nothing is tracked here: who opened a connection is found out once (its role), and an answer passes
 * the groups when its question does. Pure.
 */
#pragma once

#include "policy/policy.h"

enum fl_role {
	FL_ROLE_EITHER, /* not known: groups let it pass when either direction's rules do */
	FL_ROLE_OPENER,
	FL_ROLE_REPLY
};

/* Decides about one flow. Like fl_judge without a table, for this role. A sender without a route is a reject by
 * FL_BY_NOTHING with no_route. */
struct fl_replayed {
	struct fl_decision decision;
	bool no_route;
	const struct fl_route *route; /* of no_route: the blackhole; NULL: none matched */
};
void fl_replay(const struct fl_filter *f, const struct fl_subject *s, enum fl_role role, struct fl_replayed *ret);

/*
 * By the flags where they tell; by what they told of the same connection before; else the lower port is the server's,
 * unless it was accepted and only the other reading is under the rules f that were in force (NULL: not known).
 * Remembers the openers of the last connections (lossy, of fixed size), the same for the same records.
 */
#define FL_ROLES_CONNECTIONS (1u << 20)
struct fl_roles;
int fl_roles_new(struct fl_roles **ret);
void fl_roles_free(struct fl_roles **r);
enum fl_role fl_role_of(struct fl_roles *r, const struct fl_filter *f, const struct fl_subject *s, bool has_flags,
			bool accepted);
