/* SPDX-License-Identifier: Apache-2.0 */
/* A second policy engine, slow and obvious, from ../shared/spec/semantics.md sections 4.1 and 4.3 and the sentences of
 * policy.h: every rule is looked at, every connection is a row of a list. Shares no code with src/policy. */
#pragma once

#include "policy/policy.h"

#define ORACLE_CONNECTIONS 4096

struct oracle_connection {
	const struct fl_net_eni *eni;
	struct fl_addr local, remote;
	unsigned lport, rport, proto;
	bool v6;
	bool opened[3], seen[3], fin[3]; /* by direction */
	unsigned packets[3], last_fin;
	bool closed, nlb;
	uint64_t last, end;
};
struct oracle {
	const struct fl_net_eni *enis;
	size_t n_enis;
	uint64_t start;
	bool remembers; /* false: no table */
	struct oracle_connection c[ORACLE_CONNECTIONS];
	size_t n;
};
void oracle_judge(struct oracle *o, const struct fl_net_eni *eni, const struct fl_subject *s, struct fl_decision *ret);
