/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside policy/: an ordered list of rules compiled so that the first match costs about the same for ten and for a
 * thousand. Service (protocol and port, or ICMP type and code) and address are cut into ranges within which the same
 * rules match; a range leads to a class, a class to the set of its rules as bits. A match is the first bit that both
 * classes have; a summary bit for 64 others keeps that short.
 */
#pragma once

#include "policy/policy.h"

typedef unsigned __int128 fl_u128;

/* Which rule of what: the caller's. */
struct fl_origin {
	const void *rule, *of;
};

/* Services in one space of numbers: protocol slot above, port or ICMP type and code below. */
#define FL_SVC_SLOT 20
#define FL_SVC_OTHER 0u /* | protocol */
#define FL_SVC_TCP (1u << FL_SVC_SLOT)
#define FL_SVC_UDP (2u << FL_SVC_SLOT)
#define FL_SVC_ICMP (3u << FL_SVC_SLOT) /* | type << 8 | code */
#define FL_SVC_ICMP6 (4u << FL_SVC_SLOT)
#define FL_SVC_ANY_CODE 0x10000u /* | type: the code is not known */
#define FL_SVC_ANY_TYPE 0x10100u /* neither is */
#define FL_SVC_END (5u << FL_SVC_SLOT)
uint32_t fl_svc_key(uint8_t proto, uint16_t port, int icmp_type, int icmp_code);

struct fl_rules;
struct fl_rules_builder;
int fl_rules_begin(struct fl_rules_builder **ret);
void fl_rules_abandon(struct fl_rules_builder **b);
/* The next rule; what follows belongs to it. */
int fl_rules_add(struct fl_rules_builder *b, struct fl_origin origin);
int fl_rules_service(struct fl_rules_builder *b, int proto, uint16_t from, uint16_t to, int icmp_type, int icmp_code,
		     bool allow);
int fl_rules_any_service(struct fl_rules_builder *b);
int fl_rules_cidr(struct fl_rules_builder *b, const struct fl_cidr *cidr, bool v6);
/* Consumes the builder, also when it fails. */
int fl_rules_finish(struct fl_rules_builder **b, struct fl_rules **ret);
void fl_rules_free(struct fl_rules **r);

/* NULL: none matches. */
const struct fl_origin *fl_rules_match(const struct fl_rules *r, uint32_t service, const struct fl_addr *peer, bool v6);
/* Some rule that covers this service covers every address of the family in one network. */
bool fl_rules_world(const struct fl_rules *r, uint32_t service, bool v6);
/* Some rule covers every port of FL_SVC_TCP or FL_SVC_UDP and every address of the family. */
bool fl_rules_all(const struct fl_rules *r, uint32_t slot, bool v6);
