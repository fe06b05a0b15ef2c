/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Second face of the stage "record": the fields that an inventory knows beyond the packet. What is the same for all
 * records of an interface (tags, ECS, sublocation, interface type) is rendered once; what differs from flow to flow
 * (logged against packet addresses, services, traffic path, next hop) is computed here, and only when the format asks.
 */
#pragma once

#include "inventory/network.h"
#include "record/record.h"

#define FL_TAG_FIELDS 6
extern const char *const fl_tag_fields[FL_TAG_FIELDS]; /* instance-tag, instance-tag-2, interface-tag, ... */

struct fl_enrich_conf {
	/* TagFieldSpecifications of the flow log: the tag keys behind fl_tag_fields; NULL: none */
	const char *tag_key[FL_TAG_FIELDS];
	/* records.md 2.3, undocumented when AWS does which: 2 for internet gateway and gateway endpoint, not 8 and 7 */
	bool generic_path;
	/* records.md 2.2: editions differ on egress from a secondary address. false: the primary one is logged (2023)
	 */
	bool keep_secondary;
};

struct fl_enricher;
int fl_enricher_new(struct fl_enricher **ret, const struct fl_format *format, const struct fl_enrich_conf *conf);
void fl_enricher_free(struct fl_enricher **x);

/*
 * The interface whose records come next; renders the encoder's constants as fl_encoder_set_eni does. net_eni NULL (and
 * net then unused): the interface is in no inventory, records are those of fl_encode_line, with the labels of its
 * container or VM (may be NULL) for tags of instance and interface. net must live until the next call.
 */
int fl_enricher_set(struct fl_enricher *x, struct fl_encoder *e, const struct fl_eni *eni, const struct fl_network *net,
		    const struct fl_net_eni *net_eni, const struct fl_labels *labels);
int fl_enrich_line(struct fl_enricher *x, struct fl_encoder *e, const struct fl_flow_line *l, struct fl_buf *out);
