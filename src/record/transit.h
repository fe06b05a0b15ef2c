/* SPDX-License-Identifier: Apache-2.0 */
/* Inside the room "record": the fields of transit gateway flow logs that only an inventory knows. */
#pragma once

#include "record/enrich.h"

struct fl_transit;
struct fl_transit *fl_transit_new(const struct fl_format *format); /* NULL: no memory */
void fl_transit_free(struct fl_transit **t);
/* The interface whose records come next: what is the same for all of them goes into constants and *identity. */
void fl_transit_set(struct fl_transit *t, const struct fl_network *net, const struct fl_net_eni *eni,
		    struct fl_eni *identity, struct fl_record_meta *constants);
/* What is of one flow goes into meta. Valid until the next call. */
void fl_transit_flow(struct fl_transit *t, const struct fl_enrich_conf *conf, const struct fl_flow_line *l,
		     struct fl_record_meta *meta, struct fl_flow_line *logged);
