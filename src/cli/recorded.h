/* SPDX-License-Identifier: Apache-2.0 */
/* Recorded flows as policy/ judges them: for why, whatif and suggest. */
#pragma once

#include "policy/replay.h"
#include "scan/scan.h"

/* Addresses as in the packet where the record has them; the direction of a record without one by the interface's
 * addresses. meta may be NULL. */
void fl_recorded_subject(const struct fl_record *record, const struct fl_record_meta *meta,
			 const struct fl_net_eni *eni, struct fl_subject *ret);

/* Interface and filter of the last record, because the next one is mostly of the same. */
struct fl_recorded_at {
	char interface_id[24];
	const struct fl_net_eni *eni; /* NULL: the inventory does not have it */
	const struct fl_filter *filter;
};
int fl_recorded_locate(const struct fl_network *net, struct fl_policy *policy, const char *interface_id,
		       struct fl_recorded_at *at);
