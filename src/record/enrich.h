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
	/* records.md 5.1, not documented: packets that a transit gateway drops are in packets-lost-* alone. false: in
	 * packets and bytes as well */
	bool lost_apart;
};
/* The switches by the names that configuration, options and state files have for them. */
#define FL_ENRICH_SWITCHES(FL_SWITCH)                                                                                  \
	FL_SWITCH(                                                                                                     \
	    generic_path, "generic-path",                                                                              \
	    "Write traffic-path 2 for internet gateways and gateway endpoints, not 8 and 7; AWS documents both.")      \
	FL_SWITCH(keep_secondary, "keep-secondary",                                                                    \
		  "Log an interface's secondary address as source where it sends from it; AWS's editions differ, the " \
		  "default is the primary one.")                                                                       \
	FL_SWITCH(lost_apart, "lost-apart",                                                                            \
		  "Count what a transit gateway drops in packets-lost-* only, not in packets and bytes as well; AWS "  \
		  "does not say.")
struct fl_enrich_switch {
	const char *key, *option, *help;
	size_t at; /* of the bool in struct fl_enrich_conf */
};
#define FL_ENRICH_SWITCH_N 3
extern const struct fl_enrich_switch fl_enrich_switches[FL_ENRICH_SWITCH_N];
bool fl_enrich_get(const struct fl_enrich_conf *conf, size_t i);
void fl_enrich_put(struct fl_enrich_conf *conf, size_t i, bool on);

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
/* Whether the flow log has records of this interface: one of a transit gateway only of the gateway's. */
bool fl_enricher_covers(const struct fl_enricher *x);
int fl_enrich_line(struct fl_enricher *x, struct fl_encoder *e, const struct fl_flow_line *l, struct fl_buf *out);
