/* SPDX-License-Identifier: Apache-2.0 */
/* Inside flowlog suggest: what was found, and its forms. */
#pragma once

#include "base/mem.h"
#include "policy/suggest.h"

struct fl_suggestion {
	const struct fl_suggest *suggest;
	const struct fl_network *net;
	const struct fl_group *group; /* that it is for; NULL: for an interface, a group of its own */
	const struct fl_net_eni *eni;
	const struct fl_vpc *vpc;
	char group_id[32], group_name[80];
	size_t interfaces;
	uint64_t records, accepted, covered, unexplained;
	int64_t first, last;
};
int fl_suggestion_text(const struct fl_suggestion *s, struct fl_buf *out);
int fl_suggestion_json(const struct fl_suggestion *s, struct fl_buf *out);
int fl_suggestion_aws(const struct fl_suggestion *s, struct fl_buf *out); /* as describe-security-groups */
int fl_suggestion_terraform(const struct fl_suggestion *s, struct fl_buf *out);
