/* SPDX-License-Identifier: Apache-2.0 */
/* Inside the room "cli": what the journal keeps beside a record that came from elsewhere. */
#pragma once

#include "scan/scan.h"

struct fl_kept {
	bool found;
	uint32_t flags; /* of the window */
	uint8_t action;
	struct fl_ground ground; /* empty: of a window without one */
};
/*
 * The newest flow of this interface, tuple and action in the record's seconds. store: a state directory; what is none,
 * or has no journal that can be read, keeps nothing. other: the tuple under its packet addresses, may be NULL.
 */
void fl_kept_find(const char *store, const char *flow_log, const char *interface_id, const struct fl_record *r,
		  const struct fl_key *other, struct fl_kept *ret);
void fl_kept_values(const struct fl_kept *k, struct fl_verdict_values *ret); /* all "" when nothing was found */
