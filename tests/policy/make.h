/* SPDX-License-Identifier: Apache-2.0 */
/* Nouns by hand: a small network whose arrays can be filled one by one. */
#pragma once

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policy/policy.h"

#define MAKE_MAX 16

static inline struct fl_noun make_noun(const char *id)
{
	return (struct fl_noun){.id = id, .name = "", .owner = "", .file = ""};
}

static inline struct fl_addr make_addr(const char *text, bool *ret_v6)
{
	struct fl_addr a = {0};

	if (fl_addr_parse(text, strlen(text), &a, ret_v6))
		abort();
	return a;
}

static inline struct fl_cidr make_cidr(const char *text)
{
	struct fl_cidr c = {0};

	if (fl_cidr_parse(text, strlen(text), &c))
		abort();
	return c;
}

static inline bool make_is_v6(const char *text)
{
	return strchr(text, ':');
}

/* "tcp 443", "tcp 1-2", "icmp 8/0", "icmp 8", "icmp", "all", "50" */
struct make_service {
	int16_t proto, type, code;
	uint16_t from, to;
};
static inline struct make_service make_service(const char *text)
{
	struct make_service s = {.proto = -1, .type = -1, .code = -1, .from = 0, .to = 65535};
	unsigned a = 0, b = 0;
	int n;

	if (!strncmp(text, "tcp", 3) || !strncmp(text, "udp", 3)) {
		s.proto = *text == 't' ? 6 : 17;
		n = sscanf(text + 3, " %u-%u", &a, &b);
		if (n >= 1) {
			s.from = (uint16_t)a;
			s.to = (uint16_t)(n == 2 ? b : a);
		}
	} else if (!strncmp(text, "icmp", 4)) {
		s.proto = text[4] == '6' ? 58 : 1;
		n = sscanf(text + 4 + (text[4] == '6'), " %u/%u", &a, &b);
		s.type = n >= 1 ? (int16_t)a : -1;
		s.code = n >= 2 ? (int16_t)b : -1;
		s.from = s.to = 0;
	} else if (strcmp(text, "all") != 0) {
		s.proto = (int16_t)atoi(text);
	}
	return s;
}

static inline struct fl_group_rule make_rule(const char *service, const char *cidr)
{
	struct make_service s = make_service(service);

	return (struct fl_group_rule){.id = "",
				      .description = "",
				      .proto = s.proto,
				      .from = s.from,
				      .to = s.to,
				      .icmp_type = s.type,
				      .icmp_code = s.code,
				      .peer = FL_PEER_CIDR,
				      .cidr = make_cidr(cidr),
				      .v6 = make_is_v6(cidr),
				      .peer_id = cidr};
}

static inline struct fl_acl_rule make_acl_rule(uint16_t number, bool allow, const char *service, const char *cidr)
{
	struct make_service s = make_service(service);

	return (struct fl_acl_rule){.number = number,
				    .allow = allow,
				    .proto = s.proto,
				    .from = s.from,
				    .to = s.to,
				    .icmp_type = s.type,
				    .icmp_code = s.code,
				    .cidr = make_cidr(cidr),
				    .v6 = make_is_v6(cidr)};
}

/* One interface, 10.0.1.5 and 2001:db8:1::5, in 10.0.1.0/24 of VPC 10.0.0.0/16. */
struct make_world {
	struct fl_vpc vpc;
	struct fl_subnet subnet;
	struct fl_acl acl;
	struct fl_route_table routes;
	struct fl_group group;
	struct fl_net_eni eni;
	struct fl_cidr vpc_cidr[2], subnet_cidr[2];
	struct fl_acl_rule acl_in[MAKE_MAX], acl_out[MAKE_MAX];
	struct fl_group_rule group_in[MAKE_MAX], group_out[MAKE_MAX];
	struct fl_route route[MAKE_MAX];
	struct fl_net_addr addr[4];
	const struct fl_group *groups[1];
	const struct fl_net_eni *members[1];

	struct fl_policy *policy;
	struct fl_connections *connections;
	const struct fl_filter *filter;
};

static inline void make_group_in(struct make_world *w, const char *service, const char *cidr)
{
	w->group_in[w->group.in.n++] = make_rule(service, cidr);
}
static inline void make_group_out(struct make_world *w, const char *service, const char *cidr)
{
	w->group_out[w->group.out.n++] = make_rule(service, cidr);
}
static inline void make_acl_in(struct make_world *w, uint16_t number, bool allow, const char *service, const char *cidr)
{
	w->acl_in[w->acl.in.n++] = make_acl_rule(number, allow, service, cidr);
}
static inline void make_acl_out(struct make_world *w, uint16_t number, bool allow, const char *service,
				const char *cidr)
{
	w->acl_out[w->acl.out.n++] = make_acl_rule(number, allow, service, cidr);
}
static inline void make_route(struct make_world *w, const char *cidr, enum fl_target target, const char *id)
{
	w->route[w->routes.n++] = (struct fl_route){
	    .cidr = make_cidr(cidr), .v6 = make_is_v6(cidr), .list_id = "", .target = target, .target_id = id};
}
static inline void make_acl_open(struct make_world *w)
{
	static const char *const all[] = {"0.0.0.0/0", "::/0"};

	for (unsigned i = 0; i < 2; i++) {
		make_acl_in(w, (uint16_t)(100 + i), true, "all", all[i]);
		make_acl_out(w, (uint16_t)(100 + i), true, "all", all[i]);
	}
}

/* w must not move afterwards. Rules are added after it, make_engine() compiles them. */
static inline void make_world(struct make_world *w)
{
	memset(w, 0, sizeof *w);
	w->vpc_cidr[0] = make_cidr("10.0.0.0/16");
	w->vpc_cidr[1] = make_cidr("2001:db8::/32");
	w->subnet_cidr[0] = make_cidr("10.0.1.0/24");
	w->subnet_cidr[1] = make_cidr("2001:db8:1::/64");
	w->addr[0] = (struct fl_net_addr){.addr = make_addr("10.0.1.5", NULL)};
	w->addr[1] = (struct fl_net_addr){.addr = make_addr("10.0.1.6", NULL)};
	w->addr[2] = (struct fl_net_addr){.addr = make_addr("2001:db8:1::5", NULL), .v6 = true};
	w->vpc = (struct fl_vpc){.noun = make_noun("vpc-1"), .cidrs = {w->vpc_cidr, 2}};
	w->acl =
	    (struct fl_acl){.noun = make_noun("acl-1"), .vpc = &w->vpc, .in = {w->acl_in, 0}, .out = {w->acl_out, 0}};
	w->routes = (struct fl_route_table){.noun = make_noun("rtb-1"), .vpc = &w->vpc, .route = w->route};
	w->subnet = (struct fl_subnet){.noun = make_noun("subnet-1"),
				       .vpc = &w->vpc,
				       .vpc_id = "vpc-1",
				       .az = "",
				       .az_id = "",
				       .outpost_arn = "",
				       .sublocation_type = "",
				       .sublocation_id = "",
				       .cidrs = {w->subnet_cidr, 2},
				       .acl = &w->acl,
				       .routes = &w->routes};
	w->group = (struct fl_group){.noun = make_noun("sg-1"),
				     .vpc = &w->vpc,
				     .in = {w->group_in, 0},
				     .out = {w->group_out, 0},
				     .member = w->members,
				     .n_members = 1};
	w->groups[0] = &w->group;
	w->members[0] = &w->eni;
	w->eni = (struct fl_net_eni){.noun = make_noun("eni-1"),
				     .vpc = &w->vpc,
				     .subnet = &w->subnet,
				     .vpc_id = "vpc-1",
				     .subnet_id = "subnet-1",
				     .instance_id = "",
				     .type = "interface",
				     .record_type = "",
				     .description = "",
				     .source_dest_check = true,
				     .addr = w->addr,
				     .n_addrs = 3,
				     .group = w->groups,
				     .n_groups = 1,
				     .nat_gateway_id = "",
				     .attachment_id = ""};
}
