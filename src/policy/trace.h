/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Second face of the stage "policy": the way of a connection through a network, step by step, as a person would explain
 * it. Pure: from the inventory's nouns to sentences. There: the sender's groups, its subnet's ACL, the route and what
 * it leads through, the receiver's ACL and groups. Back: the ACLs with the client's ephemeral ports, the route back;
 * groups are stateful.
 */
#pragma once

#include "policy/policy.h"

/* Linux picks the client's port from here (net.ipv4.ip_local_port_range); a NAT gateway from 1024-65535, and others
 * (Windows, load balancers) from other parts of that. */
#define FL_EPHEMERAL_LINUX_FROM 32768
#define FL_EPHEMERAL_LINUX_TO 60999
#define FL_EPHEMERAL_FROM 1024
#define FL_EPHEMERAL_TO 65535

/* Whose problem it is: FL_AREA(enum, name). */
#define FL_AREAS(FL_AREA)                                                                                              \
	FL_AREA(NONE, "")                                                                                              \
	FL_AREA(GROUP, "security-group")                                                                               \
	FL_AREA(ACL, "network-acl")                                                                                    \
	FL_AREA(ROUTE, "route")                                                                                        \
	FL_AREA(GATEWAY, "gateway")                                                                                    \
	FL_AREA(ADDRESS, "address")                                                                                    \
	FL_AREA(INTERFACE, "interface")                                                                                \
	FL_AREA(BPA, "block-public-access")
enum fl_area {
#define FL_AREA(id, name) FL_AREA_##id,
	FL_AREAS(FL_AREA)
#undef FL_AREA
	    FL_AREA_N
};
extern const char *const fl_area_names[FL_AREA_N];

/* FL_CAUSE(enum, area, name in JSON, headline for people) */
#define FL_CAUSES(FL_CAUSE)                                                                                            \
	FL_CAUSE(NONE, NONE, "", "")                                                                                   \
	FL_CAUSE(GROUP_EMPTY, GROUP, "group-no-rules", "the security groups have no rule for this direction")          \
	FL_CAUSE(GROUP_NOTHING, GROUP, "group-no-near-rule", "no security group rule comes near this traffic")         \
	FL_CAUSE(GROUP_PORT, GROUP, "group-port", "the security group allows this peer, but not this port")            \
	FL_CAUSE(GROUP_PROTOCOL, GROUP, "group-protocol",                                                              \
		 "the security group allows this peer, but not this protocol")                                         \
	FL_CAUSE(GROUP_ICMP, GROUP, "group-icmp-type", "the security group allows another ICMP type")                  \
	FL_CAUSE(GROUP_ADDRESS, GROUP, "group-address", "the security group allows this port, but not for this peer")  \
	FL_CAUSE(GROUP_MEMBER, GROUP, "group-not-member", "the peer is not in the security group that is referred to") \
	FL_CAUSE(GROUP_DANGLING, GROUP, "group-unknown-reference",                                                     \
		 "the rule refers to what the inventory does not have")                                                \
	FL_CAUSE(GROUP_LIST, GROUP, "group-prefix-list", "the peer is not in the prefix list that is referred to")     \
	FL_CAUSE(GROUP_FAMILY, GROUP, "group-family", "the security group allows this for the other IP version only")  \
	FL_CAUSE(ACL_EMPTY, ACL, "acl-no-rules", "the network ACL has no rule for this direction")                     \
	FL_CAUSE(ACL_NOTHING, ACL, "acl-no-near-rule", "no network ACL rule comes near this traffic")                  \
	FL_CAUSE(ACL_DENY, ACL, "acl-deny", "a network ACL rule denies this")                                          \
	FL_CAUSE(ACL_ORDER, ACL, "acl-order", "a network ACL rule denies this before a later one could allow it")      \
	FL_CAUSE(ACL_PORT, ACL, "acl-port", "the network ACL allows this peer, but not this port")                     \
	FL_CAUSE(ACL_PROTOCOL, ACL, "acl-protocol", "the network ACL allows this peer, but not this protocol")         \
	FL_CAUSE(ACL_ICMP, ACL, "acl-icmp-type", "the network ACL allows another ICMP type")                           \
	FL_CAUSE(ACL_ADDRESS, ACL, "acl-address", "the network ACL allows this port, but not for this peer")           \
	FL_CAUSE(ACL_FAMILY, ACL, "acl-family", "the network ACL allows this for the other IP version only")           \
	FL_CAUSE(ACL_EPHEMERAL, ACL, "acl-ephemeral-ports", "the network ACL keeps back answers to ephemeral ports")   \
	FL_CAUSE(NO_ROUTE, ROUTE, "no-route", "no route covers the destination")                                       \
	FL_CAUSE(BLACKHOLE, ROUTE, "blackhole", "the route's target is gone")                                          \
	FL_CAUSE(ROUTE_BACK, ROUTE, "asymmetric-route", "the answer would take another way")                           \
	FL_CAUSE(PEERING_UNKNOWN, GATEWAY, "peering-unknown", "the peering connection does not fit the route")         \
	FL_CAUSE(PEERING_INACTIVE, GATEWAY, "peering-not-active", "the peering connection is not active")              \
	FL_CAUSE(PEERING_BEYOND, GATEWAY, "peering-not-transitive",                                                    \
		 "a peering connection leads into the peer VPC only")                                                  \
	FL_CAUSE(NAT_UNKNOWN, GATEWAY, "nat-gateway-unknown", "the route names a NAT gateway that is not there")       \
	FL_CAUSE(NAT_STATE, GATEWAY, "nat-gateway-state", "the NAT gateway is not available")                          \
	FL_CAUSE(NAT_NO_ROUTE, ROUTE, "nat-gateway-no-route", "the NAT gateway's subnet has no way on")                \
	FL_CAUSE(NAT_ADDRESS, ADDRESS, "nat-gateway-no-public-address", "the NAT gateway has no public address")       \
	FL_CAUSE(NAT_INBOUND, GATEWAY, "nat-gateway-inbound", "a NAT gateway lets only answers in")                    \
	FL_CAUSE(NAT_V6, GATEWAY, "nat-gateway-ipv6", "a NAT gateway does not translate IPv6")                         \
	FL_CAUSE(DETACHED, GATEWAY, "gateway-not-attached", "the gateway is not attached to this VPC")                 \
	FL_CAUSE(EGRESS_ONLY, GATEWAY, "egress-only-inbound", "an egress-only gateway lets only answers in")           \
	FL_CAUSE(EGRESS_ONLY_V4, GATEWAY, "egress-only-ipv4", "an egress-only gateway carries IPv6 alone")             \
	FL_CAUSE(ATTACHMENT, GATEWAY, "transit-gateway-no-attachment",                                                 \
		 "the VPC is not attached to the transit gateway")                                                     \
	FL_CAUSE(ATTACHMENT_STATE, GATEWAY, "transit-gateway-attachment-state", "the attachment is not available")     \
	FL_CAUSE(ATTACHMENT_ZONE, GATEWAY, "transit-gateway-zone",                                                     \
		 "the attachment has no subnet in the Availability Zone of the sender")                                \
	FL_CAUSE(TGW_NOT_ASSOCIATED, GATEWAY, "transit-gateway-not-associated",                                        \
		 "the transit gateway attachment is associated with no route table")                                   \
	FL_CAUSE(TGW_NO_ROUTE, ROUTE, "transit-gateway-no-route",                                                      \
		 "the transit gateway's route table has no route for this")                                            \
	FL_CAUSE(TGW_BLACKHOLE, ROUTE, "transit-gateway-blackhole", "the transit gateway's route is a blackhole")      \
	FL_CAUSE(TGW_ELSEWHERE, ROUTE, "transit-gateway-elsewhere",                                                    \
		 "the transit gateway's route leads to another attachment")                                            \
	FL_CAUSE(VPN_DOWN, GATEWAY, "vpn-down", "the VPN connection is down")                                          \
	FL_CAUSE(ENDPOINT, GATEWAY, "endpoint-state", "the VPC endpoint is not available")                             \
	FL_CAUSE(PUBLIC_ADDRESS, ADDRESS, "no-public-address", "an internet gateway needs a public address")           \
	FL_CAUSE(PRIVATE_BEYOND, ADDRESS, "private-address-to-internet",                                               \
		 "the internet does not carry private addresses")                                                      \
	FL_CAUSE(FAMILY, ADDRESS, "no-common-family", "the two ends have no IP version in common")                     \
	FL_CAUSE(NO_INTERFACE, ADDRESS, "no-interface", "no interface has the destination address")                    \
	FL_CAUSE(CHECK, INTERFACE, "source-dest-check", "the interface drops what is not for itself")                  \
	FL_CAUSE(STOPPED, INTERFACE, "instance-not-running", "the instance is not running")                            \
	FL_CAUSE(LOOP, ROUTE, "route-loop", "the routes lead in a circle")                                             \
	FL_CAUSE(BPA, BPA, "block-public-access", "VPC Block Public Access")
enum fl_cause {
#define FL_CAUSE(id, area, name, text) FL_CAUSE_##id,
	FL_CAUSES(FL_CAUSE)
#undef FL_CAUSE
	    FL_CAUSE_N
};
struct fl_cause_text {
	const char *name, *text;
	enum fl_area area;
};
extern const struct fl_cause_text fl_causes[FL_CAUSE_N];

/* FL_STEP(enum, name, heading for people) */
#define FL_STEPS(FL_STEP)                                                                                              \
	FL_STEP(INSTANCE, "instance", "instance")                                                                      \
	FL_STEP(UNFILTERED, "not-filtered", "not filtered")                                                            \
	FL_STEP(GROUP_OUT, "group-outbound", "security groups, outbound")                                              \
	FL_STEP(GROUP_IN, "group-inbound", "security groups, inbound")                                                 \
	FL_STEP(ACL_OUT, "acl-outbound", "network ACL, outbound")                                                      \
	FL_STEP(ACL_IN, "acl-inbound", "network ACL, inbound")                                                         \
	FL_STEP(ROUTE, "route", "route")                                                                               \
	FL_STEP(HOP, "hop", "through")                                                                                 \
	FL_STEP(BPA, "block-public-access", "Block Public Access")
enum fl_step_kind {
#define FL_STEP(id, name, text) FL_STEP_##id,
	FL_STEPS(FL_STEP)
#undef FL_STEP
	    FL_STEP_N
};
extern const char *const fl_step_names[FL_STEP_N], *const fl_step_headings[FL_STEP_N];

enum fl_leg { FL_LEG_THERE, FL_LEG_BACK };
enum fl_outcome { FL_PASSES, FL_BLOCKS, FL_NOT_ASKED, FL_NOT_KNOWN, FL_OUTCOME_N };
extern const char *const fl_outcome_names[FL_OUTCOME_N];

struct fl_step {
	enum fl_leg leg;
	enum fl_step_kind kind;
	enum fl_outcome outcome;
	enum fl_cause cause; /* of a block */
	char at[64];         /* the resource: an interface, an ACL, a route table, a gateway */
	char rule[64];       /* the rule that decides or comes nearest: sgr-..., a number, a CIDR; "" */
	char text[384];      /* what decides */
	char fix[256];       /* what would have to change; "" */
};
#define FL_TRACE_STEPS 64
struct fl_trace {
	struct fl_step step[FL_TRACE_STEPS];
	size_t n;
	const struct fl_step *blocker; /* the first; NULL: allowed as far as the inventory knows */
	bool unknown;                  /* something on the way is not in the inventory */
};

struct fl_trace_end {
	const struct fl_net_eni *eni; /* NULL: an address that no interface of the inventory has */
	struct fl_addr addr;          /* as it was named; of an interface named otherwise the one of the family used */
	bool v6, is_public;           /* is_public: the interface's public address was named */
	bool any;                     /* named by something else than an address: any of the interface's */
	bool internet;                /* some public address of the IP version that the other end has */
	char label[96];               /* for people: "web (eni-1, 10.0.1.5)" */
};
/* What is asked: an interface, name or address; "internet" is an address on it. Negative as fl_network_lookup. */
int fl_trace_end(const struct fl_network *net, const char *what, struct fl_trace_end *ret);

struct fl_trace_question {
	struct fl_trace_end from, to;
	uint8_t proto;
	uint16_t sport; /* 0: an ephemeral port */
	uint16_t dport;
	int16_t icmp_type, icmp_code;
};
/* q's ends are completed with the addresses that are used. Negative only for lack of memory or too many rules. */
int fl_trace(const struct fl_network *net, struct fl_policy *policy, struct fl_trace_question *q, struct fl_trace *ret);

/* One filter by itself, for a recorded flow: the step for whose rules (GROUP_IN ... ACL_OUT) decide about s. */
int fl_trace_filter(struct fl_policy *policy, const struct fl_net_eni *eni, enum fl_step_kind kind,
		    const struct fl_subject *s, struct fl_step *ret);

/* "tcp 443 from 10.0.0.0/8"; ret holds FL_RULE_TEXT bytes; returns ret. */
#define FL_RULE_TEXT 160
char *fl_group_rule_text(const struct fl_group_rule *r, enum fl_dir dir, char ret[FL_RULE_TEXT]);
char *fl_acl_rule_text(const struct fl_acl_rule *r, enum fl_dir dir, char ret[FL_RULE_TEXT]);
char *fl_service_text(uint8_t proto, uint16_t port, int icmp_type, int icmp_code, char ret[48]);
