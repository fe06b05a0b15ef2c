/* SPDX-License-Identifier: Apache-2.0 */
/* The fragment table, private to decoding: a first fragment leaves its ports for the later ones. */
#pragma once

#include "flow/flow.h"

struct fl_fragment_key { /* RFC 791 section 3.2, RFC 8200 section 4.5; no padding */
	struct fl_addr src, dst;
	uint32_t id, proto;
};
_Static_assert(sizeof(struct fl_fragment_key) == 40, "hashed as bytes");

void fl_fragments_first(struct fl_fragments *f, const struct fl_fragment_key *key, uint64_t now_ns, uint16_t sport,
			uint16_t dport);
bool fl_fragments_find(struct fl_fragments *f, const struct fl_fragment_key *key, uint64_t now_ns, uint16_t *ret_sport,
		       uint16_t *ret_dport);
