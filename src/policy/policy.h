/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Face of the stage "policy": what AWS's security groups, network ACLs and Block Public Access decide about a packet
 * (../shared/spec/semantics.md section 4). Pure: no I/O, no clock; time comes with the packet.
 *
 * Order, as AWS has it. Ingress: Block Public Access, network ACL inbound (when the peer is outside the subnet),
 * security groups inbound. Egress: security groups outbound, network ACL outbound (when the peer is outside the
 * subnet), Block Public Access. The first that denies decides; a later one does not see the packet.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cursor.h"
#include "base/mem.h"
#include "flow/flow.h"
#include "inventory/network.h"

/* ---- what is judged ---- */

/* A packet, or the packets of one flow inside one window. */
struct fl_subject {
	struct fl_key key; /* addresses as in the packet; direction and family in dirfam; iface is not looked at */
	/* -1: not known. An ICMP rule for a type that may be this one is then read in favour of the packet: an allow
	 * rule matches, a deny rule does not. */
	int16_t icmp_type, icmp_code;
	uint8_t tcp;                /* as struct fl_obs; 0: not known, read as the middle of a connection */
	uint32_t packets;           /* 0 is read as 1 */
	uint64_t first_ms, last_ms; /* Unix time; last_ms below first_ms is read as first_ms */
};

/* ---- what is decided ---- */

/* One row a decider: FL_DECIDER(enum, name in JSON, sentence). */
#define FL_DECIDERS(FL_DECIDER)                                                                                        \
	FL_DECIDER(NOTHING, "nothing", "no filter is known for this interface")                                        \
	FL_DECIDER(UNFILTERED, "not-filtered", "AWS filters neither by group nor by ACL")                              \
	FL_DECIDER(GROUP, "security-group", "the security groups' rules")                                              \
	FL_DECIDER(CONNECTION, "connection", "part of a connection that a security group let pass")                    \
	FL_DECIDER(CLOSED, "closed-connection", "the connection was closed or idle too long")                          \
	FL_DECIDER(ACL, "network-acl", "the subnet's network ACL")                                                     \
	FL_DECIDER(BPA, "block-public-access", "VPC Block Public Access")                                              \
	FL_DECIDER(UNKNOWN_GROUP, "unknown-group", "a security group of the interface is not in the inventory")
enum fl_decider {
#define FL_DECIDER(id, name, text) FL_BY_##id,
	FL_DECIDERS(FL_DECIDER)
#undef FL_DECIDER
	    FL_BY_N
};
extern const char *const fl_decider_names[FL_BY_N], *const fl_decider_texts[FL_BY_N];

struct fl_decision {
	bool accept;
	bool tracked; /* a connection was found or made in the table */
	uint8_t by;   /* enum fl_decider; of an accepted packet the groups' part, else the ACL's */
	/* Who opened what this belongs to, as far as the groups say: the packet's direction, or the other one for a
	 * reply. FL_DIR_NONE when no group decided. */
	uint8_t opener;
	/* The rules that matched on the way; NULL: none (a reject by GROUP never has one; a reject by ACL has none
	 * when no rule matched, AWS's rule "*"). */
	const struct fl_group *group;
	const struct fl_group_rule *group_rule;
	const struct fl_acl_rule *acl_rule;
};

/* ---- rules, compiled ---- */

/*
 * Group references become the members' private addresses (primary, secondary, IPv6, delegated prefixes), whatever
 * VPC the group is in; prefix lists become their networks. What several interfaces have in common is compiled once.
 * The nouns must live as long as the policy. Not for several threads while filters are being made.
 */
#define FL_POLICY_RULES_MAX (1u << 15)  /* rules of all groups of an interface in one direction; of an ACL */
#define FL_POLICY_RANGES_MAX (1u << 22) /* address ranges of one such set after references are resolved */
struct fl_policy;
struct fl_policy_conf {
	/* All interfaces of the inventory: traffic with some of them (load balancers, endpoints, Lambda) is tracked
	 * whatever the rules are. May be NULL. */
	const struct fl_net_eni *enis;
	size_t n_enis;
};
int fl_policy_new(struct fl_policy **ret, const struct fl_policy_conf *conf);
int fl_policy_of(struct fl_policy **ret, const struct fl_network *net); /* of all its interfaces */
void fl_policy_free(struct fl_policy **p);

struct fl_filter; /* everything about one interface; the policy's */
int fl_policy_filter(struct fl_policy *p, const struct fl_net_eni *eni, const struct fl_filter **ret);

/* ---- connections ---- */

/*
 * What security groups remember. Bounded: at its capacity the entry that would end first makes room, and is counted.
 * Independent of the rules: a rule that goes leaves its tracked connections as they are. Times in seconds; those of
 * established TCP and of UDP are the interface's.
 */
#define FL_CONN_SYN_S 60       /* TCP until both sides were seen (AWS documents no value) */
#define FL_CONN_CLOSE_S 60     /* from the second FIN to the last ACK */
#define FL_CONN_REMEMBER_S 120 /* an ended TCP connection rejects what comes late; then it is forgotten */
#define FL_CONN_ICMP_S 30      /* AWS documents no value */
#define FL_CONN_OTHER_S 600    /* other protocols */
#define FL_CONN_TCP_S 432000   /* when the interface does not say */
#define FL_CONN_UDP_S 30
#define FL_CONN_UDP_STREAM_S 180
#define FL_CONN_NLB_TCP_S 350 /* with a Network Load Balancer */
#define FL_CONN_NLB_UDP_S 120

struct fl_connections;
struct fl_connections_conf {
	size_t capacity; /* connections; rounded up to a power of two of at least 16 */
	uint64_t seed;   /* of the table's hash: fl_random_seed() */
	/* When the engine began to look. For one time-out from here on, a flow that is not TCP may be the middle of a
	 * conversation, and either direction's rules may allow it (for TCP the flags tell). */
	uint64_t start_ms;
};
struct fl_connections_stats {
	size_t used, capacity; /* used counts ended ones that are still remembered */
	uint64_t evicted;      /* live or remembered entries that made room */
};
int fl_connections_new(struct fl_connections **ret, const struct fl_connections_conf *conf);
void fl_connections_free(struct fl_connections **c);
void fl_connections_stats(const struct fl_connections *c, struct fl_connections_stats *ret);
/* Frees what is over. Looks at no more than budget entries and goes on there with the next call. */
void fl_connections_expire(struct fl_connections *c, uint64_t now_ms, size_t budget);
/* The live and remembered entries as bytes, for a journal's frame; and back, into a table that may hold others.
 * Decoding trusts nothing: -EBADMSG with a sentence, and the table then holds what came before the bad place. */
#define FL_CONNECTION_BYTES 64
int fl_connections_encode(const struct fl_connections *c, uint64_t now_ms, struct fl_buf *out);
int fl_connections_decode(struct fl_connections *c, struct fl_cursor *from);

/* ---- judging ---- */

/* c NULL: nothing is remembered, each subject is the first of its flow. */
void fl_judge(const struct fl_filter *f, struct fl_connections *c, const struct fl_subject *s, struct fl_decision *ret);

/* The parts, for those who explain. dir: whose rules; the subject's own direction is not looked at, its source is the
 * peer when dir is FL_DIR_INGRESS, else its destination. false: no rule matches (or, of an ACL, none is known). */
bool fl_filter_group_rule(const struct fl_filter *f, enum fl_dir dir, const struct fl_subject *s,
			  const struct fl_group **ret_group, const struct fl_group_rule **ret_rule);
bool fl_filter_acl_rule(const struct fl_filter *f, enum fl_dir dir, const struct fl_subject *s,
			const struct fl_acl_rule **ret_rule);
const struct fl_route *fl_filter_route(const struct fl_filter *f, const struct fl_addr *peer, bool v6);
bool fl_filter_unfiltered(const struct fl_filter *f, const struct fl_subject *s); /* by the subject's direction */
bool fl_filter_crosses(const struct fl_filter *f, const struct fl_addr *peer,
		       bool v6); /* leaves or enters the subnet */
bool fl_filter_tracks(const struct fl_filter *f, const struct fl_subject *s);
bool fl_filter_bpa(const struct fl_filter *f, const struct fl_subject *s);
/* ---- decisions by name ---- */

/*
 * One word for what decided: "sg-1/inbound/sgr-2" is a rule (without an id its text), "sg-1+sg-2/inbound/none" says
 * that no rule of these groups lets it pass, "acl-1/outbound/100" is a rule of the ACL, with a star for the number the
 * last one. What goes on in a tracked connection has the rule that lets its opener pass,
 * "sg-1/inbound/sgr-2/connection", or "connection" when there is none any more. "late" is what comes after a connection
 * has closed, the rest are fl_decider_names.
 */
#define FL_OPINION_TEXT 128
struct fl_opinion {
	bool accept, bpa; /* bpa: Block Public Access */
	char text[FL_OPINION_TEXT];
};
#define FL_OPINIONS_MAX 8192 /* different ones in a table; further ones are called "other" */
enum { FL_OPINION_OTHER_ACCEPT = 1, FL_OPINION_OTHER_REJECT };
struct fl_opinions;
int fl_opinions_new(struct fl_opinions **ret);
void fl_opinions_free(struct fl_opinions **o);
/* The number of a decision, from 1; 0: nothing decided. Needs the rules no more once it has returned. */
uint16_t fl_opinions_add(struct fl_opinions *o, const struct fl_filter *f, const struct fl_subject *s,
			 const struct fl_decision *d);
unsigned fl_opinions_count(const struct fl_opinions *o);
const struct fl_opinion *fl_opinions_at(const struct fl_opinions *o, unsigned number); /* NULL: there is none */

/*
 * Block Public Access as it holds for an interface: its subnet's word before its VPC's; an exclusion of either lifts
 * it, and one for outbound traffic alone makes block-bidirectional block-ingress.
 */
struct fl_bpa_state {
	bool ingress, both;
	const struct fl_noun *of;                 /* the subnet or VPC whose mode it is; NULL: neither says one */
	const struct fl_bpa_exclusion *exclusion; /* that made it less; NULL: none */
};
struct fl_bpa_state fl_policy_bpa(const struct fl_net_eni *eni);
/*
 * Whose rules were in force? Nobody answers what was denied; an answer contradicts the rules. Of TCP a SYN asks and a
 * SYN with ACK answers; of other protocols every packet may do either, and time tells.
 */
bool fl_subject_asks(const struct fl_subject *s);
bool fl_subject_answers(const struct fl_subject *s);
/* Of two flows of a conversation: did s begin it? The kernel's time is too coarse to tell of quick answers. 1: yes, -1:
 * no, 0: who knows. */
int fl_subject_asks_first(const struct fl_subject *s, const struct fl_subject *reverse);
/* The same packet by packet, in their order: the last n questions are remembered. */
struct fl_questions;
int fl_questions_new(struct fl_questions **ret, size_t n, uint64_t seed);
void fl_questions_free(struct fl_questions **q);
/* true: it answers a question that was denied, for the first time. */
bool fl_questions_note(struct fl_questions *q, const struct fl_subject *s, bool denied);
/* The same flow the other way round: addresses, ports, direction, ICMP request for reply. */
struct fl_subject fl_subject_reverse(const struct fl_subject *s);
