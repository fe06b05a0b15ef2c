/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside the room "cli": a capture read as one interface of an inventory. The inventory gives the interface its
 * identity and its records the fields that only it knows, and its rules are replayed packet by packet.
 */
#pragma once

#include "base/json.h"
#include "flow/flow.h"
#include "meter/meter.h"
#include "record/enrich.h"
#include "scan/scan.h"

struct fl_replay;
struct fl_replay_conf {
	const char *inventory; /* directory or file */
	const char *interface; /* anything fl_network_lookup understands */
	bool enforced;         /* the rules were in force: what they deny is REJECT */
	bool verdicts;         /* what decided is kept for fl_replay_verdict() */
	const struct fl_format *format;
	struct fl_enrich_conf enrich;
};
/* "instance-tag=Team": the keys behind tag fields, NULL-terminated; may be NULL. */
int fl_replay_tags(const char *const *tags, struct fl_enrich_conf *ret);
/* Reads the inventory; problems go to standard error, as many as a person reads. */
int fl_replay_new(struct fl_replay **ret, const struct fl_replay_conf *conf);
void fl_replay_free(struct fl_replay **p);
int fl_replay_begin(struct fl_replay *p, struct fl_encoder *e); /* the interface's constants */

/*
 * One packet: sets the direction in o's key, judges, and when the rules are enforced and deny it sets FL_KEY_REJECT.
 * o's window counts for fl_replay_verdict(). ethernet: its frame when it has an Ethernet header, else NULL; the
 * interface's own MAC address tells the direction, without one its addresses do. time_ms: Unix.
 */
void fl_replay_packet(struct fl_replay *p, struct fl_obs *o, const uint8_t *ethernet, int icmp_type, uint64_t time_ms);
/* What decided about a flow of a window that is being written; key as in the meter's table. Rules of which a flow broke
 * some say REJECT, with the first that did; else it is the first of its window. */
void fl_replay_verdict(const struct fl_replay *p, uint32_t window, const struct fl_key *key,
		       struct fl_verdict_values *ret);
int fl_replay_line(struct fl_replay *p, struct fl_encoder *e, const struct fl_flow_line *l, struct fl_buf *out);
/* A window has been written: time to forget. */
void fl_replay_window(struct fl_replay *p, uint32_t window, uint64_t end_ms);

/* "policy": {"interface", "enforced", "denied": by decider, "contradictions", "connections"} */
void fl_replay_json(const struct fl_replay *p, struct fl_json *j);
/* The same for people, a line or two. */
void fl_replay_tell(const struct fl_replay *p);
