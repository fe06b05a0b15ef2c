/* SPDX-License-Identifier: Apache-2.0 */
/* Inside the room "record": what the compiler of formats needs to know of a field beyond its
 * description. */
#pragma once

#include "record/record.h"

/* Where a value comes from. Origins before FL_FROM_SRC are the same for all records of an ENI. */
enum fl_origin {
	FL_FROM_VERSION,
	FL_FROM_RESOURCE,
	FL_FROM_ENI,
	FL_FROM_STATUS,
	FL_FROM_START, /* START and END are written in every status */
	FL_FROM_END,
	FL_FROM_SRC,
	FL_FROM_DST,
	FL_FROM_PKT_SRC,
	FL_FROM_PKT_DST,
	FL_FROM_SPORT,
	FL_FROM_DPORT,
	FL_FROM_PROTO,
	FL_FROM_PACKETS,
	FL_FROM_BYTES,
	FL_FROM_ACTION,
	FL_FROM_TCP,
	FL_FROM_TYPE,
	FL_FROM_DIR,
	FL_FROM_META,
	FL_FROM_N
};

enum fl_origin fl_field_origin(const struct fl_field *f);
unsigned fl_field_number(const struct fl_field *f);
char *fl_field_eni_text(const struct fl_field *f, struct fl_eni *eni, size_t *ret_size); /* FL_FROM_ENI only */

extern const char *const fl_action_names[FL_ACTION_N], *const fl_status_names[FL_STATUS_N];
