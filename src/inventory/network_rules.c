/* SPDX-License-Identifier: Apache-2.0 */
/* Security groups, network ACLs and route tables: what each rule of them says. */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "flow/flow.h"
#include "inventory/network_build.h"

#define PROTO_ALL (-1)
enum { ICMP = 1, TCP = 6, UDP = 17, ICMP6 = 58 };

/* "tcp", "6" or "-1". false: said what is wrong. */
static bool protocol(struct fl_reader *r, const char *text, int16_t *ret)
{
	char *end;
	long n;

	if (!text || !*text) {
		fl_problem(r, false, "a rule without a protocol; the rule is left out");
		return false;
	}
	n = strtol(text, &end, 10);
	if (*end)
		n = fl_protocol_number(text);
	if (n < (*end ? 0 : PROTO_ALL) || n > 255) {
		fl_problem(
		    r, false,
		    "\"%.32s\" is not a protocol: expected a name, a number up to 255 or -1; the rule is left out",
		    text);
		return false;
	}
	*ret = (int16_t)n;
	return true;
}

static bool in_range(struct fl_reader *r, const char *what, int64_t v, int64_t min, int64_t max)
{
	if (v >= min && v <= max)
		return true;
	fl_problem(r, false, "%s %lld: expected %lld to %lld; the rule is left out", what, (long long)v, (long long)min,
		   (long long)max);
	return false;
}

struct ports {
	uint16_t from, to;
	int16_t icmp_type, icmp_code;
};

/* FromPort and ToPort are ports of TCP and UDP, and type and code of ICMP; -1 and absence are all of them. */
static bool ports(struct fl_reader *r, int16_t proto, int64_t from, int64_t to, struct ports *ret)
{
	*ret = (struct ports){0, 65535, -1, -1};
	if (proto == ICMP || proto == ICMP6) {
		if (!in_range(r, "ICMP type", from, -1, 255) || !in_range(r, "ICMP code", to, -1, 255))
			return false;
		ret->icmp_type = (int16_t)from;
		ret->icmp_code = (int16_t)to;
	} else if ((proto == TCP || proto == UDP) && (from != -1 || to != -1)) {
		if (!in_range(r, "port", from, 0, 65535) || !in_range(r, "port", to, from, 65535))
			return false;
		ret->from = (uint16_t)from;
		ret->to = (uint16_t)to;
	}
	return true;
}

/* ---- security groups ---- */

struct permission {
	const char *proto;
	int64_t from, to;
	const json_t *groups, *v4, *v6, *lists;
};
static const struct fl_member permission_members[] = {
    FL_M_STR("IpProtocol", permission, proto),
    FL_M_INT("FromPort", permission, from),
    FL_M_INT("ToPort", permission, to),
    FL_M_JSON("UserIdGroupPairs", permission, groups),
    FL_M_JSON("IpRanges", permission, v4),
    FL_M_JSON("Ipv6Ranges", permission, v6),
    FL_M_JSON("PrefixListIds", permission, lists),
};
static const struct fl_shape permission_shape = FL_SHAPE("a permission of a security group", permission_members, "");

struct peer {
	const char *group, *cidr, *list, *description;
};
static const struct fl_member peer_members[] = {
    FL_M_STR("GroupId", peer, group),           FL_M_STR("CidrIp", peer, cidr),
    FL_M_STR("CidrIpv6", peer, cidr),           FL_M_STR("PrefixListId", peer, list),
    FL_M_STR("Description", peer, description),
};
static const struct fl_shape peer_shape =
    FL_SHAPE("the peer of a permission", peer_members, " UserId GroupName VpcId VpcPeeringConnectionId PeeringStatus ");

/* What is behind the rule, into rule. false: said what is wrong. */
static bool set_peer(struct fl_reader *r, struct fl_group_rule *rule, const struct peer *p)
{
	rule->description = p->description ? p->description : "";
	if (p->cidr) {
		if (fl_cidr_parse(p->cidr, strlen(p->cidr), &rule->cidr)) {
			fl_problem(r, false, "\"%.64s\" is not a network such as 10.0.0.0/16; the rule is left out",
				   p->cidr);
			return false;
		}
		rule->peer = FL_PEER_CIDR;
		rule->v6 = strchr(p->cidr, ':') != NULL;
		rule->peer_id = p->cidr;
	} else if (p->group) {
		rule->peer = FL_PEER_GROUP;
		rule->peer_id = p->group;
	} else if (p->list) {
		rule->peer = FL_PEER_LIST;
		rule->peer_id = p->list;
	} else {
		fl_problem(r, false, "a rule without a CIDR, group or prefix list; the rule is left out");
		return false;
	}
	return true;
}

static void refer_peer(struct fl_reader *r, struct fl_group_rule *rule)
{
	if (rule->peer == FL_PEER_GROUP)
		fl_refer(r, &rule->group, FL_NOUN_GROUP, rule->peer_id);
	else if (rule->peer == FL_PEER_LIST)
		fl_refer(r, &rule->list, FL_NOUN_LIST, rule->peer_id);
}

struct permission_under_way {
	struct fl_group_rule rule; /* protocol and ports */
	struct fl_group_rule *out;
	size_t n, room;
};

static void permission_peer(struct fl_reader *r, const json_t *item, void *into)
{
	struct permission_under_way *u = into;
	struct fl_group_rule rule = u->rule;
	struct peer p = {0};

	fl_walk(r, item, &peer_shape, &p);
	if (!set_peer(r, &rule, &p) || u->n >= u->room)
		return;
	u->out[u->n] = rule;
	refer_peer(r, &u->out[u->n++]);
}

static const struct {
	const char *name;
	size_t at;
} peer_lists[] = {
    {"UserIdGroupPairs", offsetof(struct permission, groups)},
    {"IpRanges", offsetof(struct permission, v4)},
    {"Ipv6Ranges", offsetof(struct permission, v6)},
    {"PrefixListIds", offsetof(struct permission, lists)},
};

static void permission_item(struct fl_reader *r, const json_t *item, void *into)
{
	struct permission_under_way *u = into;
	struct permission p = {.from = -1, .to = -1};
	struct ports range;

	fl_walk(r, item, &permission_shape, &p);
	u->rule = (struct fl_group_rule){.id = "", .description = ""};
	if (!protocol(r, p.proto, &u->rule.proto) || !ports(r, u->rule.proto, p.from, p.to, &range))
		return;
	u->rule.from = range.from;
	u->rule.to = range.to;
	u->rule.icmp_type = range.icmp_type;
	u->rule.icmp_code = range.icmp_code;
	for (size_t i = 0; i < FL_ARRAY_LEN(peer_lists); i++) {
		size_t mark = fl_path_member(r, peer_lists[i].name);
		const json_t *list;

		memcpy(&list, (char *)&p + peer_lists[i].at, sizeof list);
		fl_each(r, list, permission_peer, u);
		fl_path_pop(r, mark);
	}
}

static size_t count_peers(const json_t *permissions)
{
	size_t n = 0;

	for (size_t i = 0; i < json_array_size(permissions); i++)
		for (size_t j = 0; j < FL_ARRAY_LEN(peer_lists); j++)
			n += json_array_size(json_object_get(json_array_get(permissions, i),
							     peer_lists[j].name)); /* 0 when it is none */
	return n;
}

static const struct fl_group_rule *read_permissions(struct fl_reader *r, const char *member, const json_t *list,
						    size_t *ret_n)
{
	struct permission_under_way u = {.room = count_peers(list)};
	size_t mark = fl_path_member(r, member);

	u.out = u.room ? fl_arena_get(&r->net->arena, u.room * sizeof *u.out) : NULL;
	u.room = u.out ? u.room : 0;
	fl_each(r, list, permission_item, &u);
	fl_path_pop(r, mark);
	*ret_n = u.n;
	return u.out;
}

static const struct fl_member group_members[] = {
    FL_M_ID("GroupId", fl_group),
    FL_M_OWNER(fl_group),
    FL_M_STR("GroupName", fl_group, noun.name),
    FL_M_POINTER("VpcId", fl_group, vpc, FL_NOUN_VPC),
    FL_M_JSON("IpPermissions", fl_group_read, in),
    FL_M_JSON("IpPermissionsEgress", fl_group_read, out),
    FL_M_NOUN_TAGS(fl_group),
};
const struct fl_shape fl_group_shape = FL_SHAPE("a security group", group_members, " SecurityGroupArn Description ");

void fl_group_done(struct fl_reader *r, void *noun)
{
	struct fl_group_read *g = noun;

	g->group.in.rule = read_permissions(r, "IpPermissions", g->in, &g->group.in.n);
	g->group.out.rule = read_permissions(r, "IpPermissionsEgress", g->out, &g->group.out.n);
}

struct group_rule {
	const char *id, *group, *proto;
	bool egress;
	int64_t from, to;
	struct peer peer;
};
static const struct fl_member referenced_members[] = {FL_M_STR("GroupId", group_rule, peer.group)};
static const struct fl_shape referenced =
    FL_SHAPE("a referenced group", referenced_members, " PeeringStatus UserId VpcId VpcPeeringConnectionId ");
static const struct fl_member group_rule_members[] = {
    FL_M_STR("SecurityGroupRuleId", group_rule, id),
    FL_M_STR("GroupId", group_rule, group),
    FL_M_BOOL("IsEgress", group_rule, egress),
    FL_M_STR("IpProtocol", group_rule, proto),
    FL_M_INT("FromPort", group_rule, from),
    FL_M_INT("ToPort", group_rule, to),
    FL_M_STR("CidrIpv4", group_rule, peer.cidr),
    FL_M_STR("CidrIpv6", group_rule, peer.cidr),
    FL_M_STR("PrefixListId", group_rule, peer.list),
    FL_M_OBJECT("ReferencedGroupInfo", referenced),
    FL_M_STR("Description", group_rule, peer.description),
};
static const struct fl_shape group_rule_shape =
    FL_SHAPE("a security group rule", group_rule_members, " GroupOwnerId Tags SecurityGroupRuleArn ");

void fl_group_rule_item(struct fl_reader *r, const json_t *item, void *row)
{
	struct fl_loose_rule *loose = fl_arena_get(&r->scratch, sizeof *loose);
	struct group_rule g = {.from = -1, .to = -1};
	struct ports range;

	fl_walk(r, item, &group_rule_shape, &g);
	if (!g.id || !g.group) {
		fl_problem(r, true, "expected SecurityGroupRuleId and GroupId; left out");
		return;
	}
	if (!loose || !protocol(r, g.proto, &loose->rule.proto) || !ports(r, loose->rule.proto, g.from, g.to, &range) ||
	    !set_peer(r, &loose->rule, &g.peer))
		return;
	loose->egress = g.egress;
	loose->rule.id = g.id;
	loose->rule.from = range.from;
	loose->rule.to = range.to;
	loose->rule.icmp_type = range.icmp_type;
	loose->rule.icmp_code = range.icmp_code;
	refer_peer(r, &loose->rule);
	fl_side_add(r, FL_SIDE_GROUP_RULE, g.group, g.id, (struct fl_tag){0}, loose);
}

/* ---- network ACLs ---- */

struct acl_entry {
	const char *cidr, *cidr6, *proto, *action;
	int64_t number, from, to, icmp_type, icmp_code;
	bool egress;
};
static const struct fl_member icmp_members[] = {FL_M_INT("Type", acl_entry, icmp_type),
						FL_M_INT("Code", acl_entry, icmp_code)};
static const struct fl_shape icmp_shape = FL_SHAPE("an ICMP type and code", icmp_members, "");
static const struct fl_member range_members[] = {FL_M_INT("From", acl_entry, from), FL_M_INT("To", acl_entry, to)};
static const struct fl_shape range_shape = FL_SHAPE("a range of ports", range_members, "");
static const struct fl_member entry_members[] = {
    FL_M_STR("CidrBlock", acl_entry, cidr),    FL_M_STR("Ipv6CidrBlock", acl_entry, cidr6),
    FL_M_BOOL("Egress", acl_entry, egress),    FL_M_OBJECT("IcmpTypeCode", icmp_shape),
    FL_M_OBJECT("PortRange", range_shape),     FL_M_STR("Protocol", acl_entry, proto),
    FL_M_STR("RuleAction", acl_entry, action), FL_M_INT("RuleNumber", acl_entry, number),
};
static const struct fl_shape entry_shape = FL_SHAPE("an entry of a network ACL", entry_members, "");

struct acl_rules {
	struct fl_acl_rule *rule[2]; /* in, out */
	size_t n[2], room;
};

static void acl_entry_item(struct fl_reader *r, const json_t *item, void *into)
{
	struct acl_rules *a = into;
	struct acl_entry e = {.from = -1, .to = -1, .icmp_type = -1, .icmp_code = -1, .number = -1};
	struct fl_acl_rule rule = {0}, *v;
	const char *cidr;
	struct ports range;
	bool icmp;
	size_t at;

	fl_walk(r, item, &entry_shape, &e);
	cidr = e.cidr ? e.cidr : e.cidr6;
	if (!in_range(r, "rule number", e.number, 1, FL_ACL_RULE_NUMBER_MAX) || !protocol(r, e.proto, &rule.proto))
		return;
	if (!e.action || (strcmp(e.action, "allow") && strcmp(e.action, "deny"))) {
		fl_problem(r, false, "RuleAction \"%.16s\": expected allow or deny; the rule is left out",
			   e.action ? e.action : "");
		return;
	}
	if (!cidr || fl_cidr_parse(cidr, strlen(cidr), &rule.cidr)) {
		fl_problem(r, false, "\"%.64s\" is not a network such as 10.0.0.0/16; the rule is left out",
			   cidr ? cidr : "");
		return;
	}
	icmp = rule.proto == ICMP || rule.proto == ICMP6;
	if (!ports(r, rule.proto, icmp ? e.icmp_type : e.from, icmp ? e.icmp_code : e.to, &range) ||
	    a->n[e.egress] >= a->room)
		return;
	rule.number = (uint16_t)e.number;
	rule.allow = e.action[0] == 'a';
	rule.from = range.from;
	rule.to = range.to;
	rule.icmp_type = range.icmp_type;
	rule.icmp_code = range.icmp_code;
	rule.v6 = strchr(cidr, ':') != NULL;
	v = a->rule[e.egress];
	at = a->n[e.egress]++;
	v[at] = rule; /* sorted by acl_done, the order of the file kept among equal numbers */
}

static int by_number(const void *a, const void *b)
{
	const struct fl_acl_rule *x = a, *y = b;

	return (x->number > y->number) - (x->number < y->number);
}

struct acl_association {
	const char *subnet, *acl;
};
static const struct fl_member acl_association_members[] = {FL_M_STR("SubnetId", acl_association, subnet)};
static const struct fl_shape acl_association =
    FL_SHAPE("a network ACL's association", acl_association_members, " NetworkAclAssociationId NetworkAclId ");
static void acl_association_item(struct fl_reader *r, const json_t *item, void *into)
{
	struct acl_association a = {0};

	fl_walk(r, item, &acl_association, &a);
	if (a.subnet)
		fl_side_add(r, FL_SIDE_SUBNET_ACL, a.subnet, ((struct fl_acl *)into)->noun.id, (struct fl_tag){0},
			    NULL);
	else
		fl_problem(r, false, "an association without SubnetId; left out");
}

static const struct fl_member acl_members[] = {
    FL_M_ID("NetworkAclId", fl_acl),
    FL_M_OWNER(fl_acl),
    FL_M_POINTER("VpcId", fl_acl, vpc, FL_NOUN_VPC),
    FL_M_BOOL("IsDefault", fl_acl, is_default),
    FL_M_JSON("Entries", fl_acl_read, entries),
    FL_M_JSON("Associations", fl_acl_read, associations),
    FL_M_NOUN_TAGS(fl_acl),
};
const struct fl_shape fl_acl_shape = FL_SHAPE("a network ACL", acl_members, "");

void fl_acl_done(struct fl_reader *r, void *noun)
{
	struct fl_acl_read *acl = noun;
	struct acl_rules a = {.room = json_array_size(acl->entries)};
	size_t mark;

	for (size_t i = 0; i < 2 && a.room; i++) {
		a.rule[i] = fl_arena_get(&r->net->arena, a.room * sizeof *a.rule[i]);
		if (!a.rule[i])
			return;
	}
	mark = fl_path_member(r, "Entries");
	fl_each(r, acl->entries, acl_entry_item, &a);
	fl_path_pop(r, mark);
	for (size_t i = 0; i < 2; i++)
		if (a.n[i])
			qsort(a.rule[i], a.n[i], sizeof *a.rule[i], by_number);
	acl->acl.in.rule = a.rule[0];
	acl->acl.in.n = a.n[0];
	acl->acl.out.rule = a.rule[1];
	acl->acl.out.n = a.n[1];
	mark = fl_path_member(r, "Associations");
	if (acl->acl.noun.id)
		fl_each(r, acl->associations, acl_association_item, &acl->acl);
	fl_path_pop(r, mark);
}

/* ---- route tables ---- */

struct route_read {
	const char *v4, *v6, *list, *origin, *state, *instance;
	const char *target[10];
};
enum { /* of target: the member that was given says what it is, except for GatewayId */
       T_GATEWAY,
       T_EGRESS_ONLY,
       T_NAT,
       T_TRANSIT,
       T_LOCAL,
       T_CARRIER,
       T_INTERFACE,
       T_PEERING,
       T_CORE,
       T_OTHER
};
static const enum fl_target target_of[10] = {
    [T_GATEWAY] = FL_TARGET_UNKNOWN,     [T_EGRESS_ONLY] = FL_TARGET_EGRESS_ONLY_GATEWAY,
    [T_NAT] = FL_TARGET_NAT_GATEWAY,     [T_TRANSIT] = FL_TARGET_TRANSIT_GATEWAY,
    [T_LOCAL] = FL_TARGET_LOCAL_GATEWAY, [T_CARRIER] = FL_TARGET_CARRIER_GATEWAY,
    [T_INTERFACE] = FL_TARGET_INTERFACE, [T_PEERING] = FL_TARGET_PEERING,
    [T_CORE] = FL_TARGET_CORE_NETWORK,   [T_OTHER] = FL_TARGET_UNKNOWN,
};
static const struct fl_member route_members[] = {
    FL_M_STR("DestinationCidrBlock", route_read, v4),
    FL_M_STR("DestinationIpv6CidrBlock", route_read, v6),
    FL_M_STR("DestinationPrefixListId", route_read, list),
    FL_M_STR("Origin", route_read, origin),
    FL_M_STR("State", route_read, state),
    FL_M_STR("InstanceId", route_read, instance),
    FL_M_STR("GatewayId", route_read, target[T_GATEWAY]),
    FL_M_STR("EgressOnlyInternetGatewayId", route_read, target[T_EGRESS_ONLY]),
    FL_M_STR("NatGatewayId", route_read, target[T_NAT]),
    FL_M_STR("TransitGatewayId", route_read, target[T_TRANSIT]),
    FL_M_STR("LocalGatewayId", route_read, target[T_LOCAL]),
    FL_M_STR("CarrierGatewayId", route_read, target[T_CARRIER]),
    FL_M_STR("NetworkInterfaceId", route_read, target[T_INTERFACE]),
    FL_M_STR("VpcPeeringConnectionId", route_read, target[T_PEERING]),
    FL_M_STR("CoreNetworkArn", route_read, target[T_CORE]),
    FL_M_STR("OdbNetworkArn", route_read, target[T_OTHER]),
};
static const struct fl_shape route_shape = FL_SHAPE("a route", route_members, " InstanceOwnerId IpAddress ");

/* Endpoints are told apart by the list they serve: a gateway endpoint's route names its service's prefix list. */
static enum fl_target gateway_kind(const char *id, bool to_list)
{
	static const struct {
		const char *prefix;
		enum fl_target target;
	} rows[] = {
	    {"local", FL_TARGET_LOCAL},
	    {"igw-", FL_TARGET_INTERNET_GATEWAY},
	    {"eigw-", FL_TARGET_EGRESS_ONLY_GATEWAY},
	    {"vgw-", FL_TARGET_VPN_GATEWAY},
	};

	for (size_t i = 0; i < FL_ARRAY_LEN(rows); i++)
		if (!strncmp(id, rows[i].prefix, strlen(rows[i].prefix)))
			return rows[i].target;
	if (!strncmp(id, "vpce-", 5))
		return to_list ? FL_TARGET_GATEWAY_ENDPOINT : FL_TARGET_LOAD_BALANCER_ENDPOINT;
	return FL_TARGET_UNKNOWN;
}

struct routes_under_way {
	struct fl_route *route;
	size_t n;
};

static void route_item(struct fl_reader *r, const json_t *item, void *into)
{
	struct routes_under_way *u = into;
	struct route_read raw = {0};
	struct fl_route *route = &u->route[u->n];
	const char *cidr;

	fl_walk(r, item, &route_shape, &raw);
	if (fl_is(raw.state, "filtered"))
		return; /* offered to the table, not in it */
	cidr = raw.v4 ? raw.v4 : raw.v6;
	*route = (struct fl_route){.list_id = "", .target = FL_TARGET_UNKNOWN, .target_id = ""};
	for (size_t i = 0; i < FL_ARRAY_LEN(raw.target); i++)
		if (raw.target[i] && *raw.target[i]) {
			route->target = target_of[i];
			route->target_id = raw.target[i];
			break;
		}
	if (raw.target[T_GATEWAY] && *raw.target[T_GATEWAY])
		route->target = gateway_kind(raw.target[T_GATEWAY], raw.list != NULL);
	if (!*route->target_id && raw.instance && *raw.instance)
		route->target_id = raw.instance; /* a stopped instance: no interface */
	route->blackhole = fl_is(raw.state, "blackhole");
	route->propagated = fl_is(raw.origin, "EnableVgwRoutePropagation") || fl_is(raw.origin, "Advertisement");
	if (raw.list) {
		route->list_id = raw.list;
		fl_refer(r, &route->list, FL_NOUN_LIST, raw.list);
	} else if (cidr && !fl_cidr_parse(cidr, strlen(cidr), &route->cidr)) {
		route->v6 = strchr(cidr, ':') != NULL;
	} else {
		fl_problem(r, false, "\"%.64s\" is not a destination such as 10.0.0.0/16; the route is left out",
			   cidr ? cidr : "");
		return;
	}
	u->n++;
}

struct table_association {
	const char *subnet, *state;
	bool main;
};
static const struct fl_member table_state_members[] = {FL_M_STR("State", table_association, state)};
static const struct fl_shape table_state = FL_SHAPE("an association's state", table_state_members, " StatusMessage ");
static const struct fl_member table_association_members[] = {
    FL_M_BOOL("Main", table_association, main),
    FL_M_STR("SubnetId", table_association, subnet),
    FL_M_OBJECT("AssociationState", table_state),
};
static const struct fl_shape table_association =
    FL_SHAPE("a route table's association", table_association_members,
	     " RouteTableAssociationId RouteTableId GatewayId PublicIpv4Pool ");
static void table_association_item(struct fl_reader *r, const json_t *item, void *into)
{
	struct fl_route_table *t = into;
	struct table_association a = {0};

	fl_walk(r, item, &table_association, &a);
	if (fl_is(a.state, "disassociated") || fl_is(a.state, "disassociating") || fl_is(a.state, "failed"))
		return;
	t->main = t->main || a.main;
	fl_side_add(r, FL_SIDE_SUBNET_ROUTES, a.subnet, t->noun.id, (struct fl_tag){0}, NULL);
}

static const struct fl_member table_members[] = {
    FL_M_ID("RouteTableId", fl_route_table),
    FL_M_OWNER(fl_route_table),
    FL_M_POINTER("VpcId", fl_route_table, vpc, FL_NOUN_VPC),
    FL_M_JSON("Routes", fl_routes_read, routes),
    FL_M_JSON("Associations", fl_routes_read, associations),
    FL_M_NOUN_TAGS(fl_route_table),
};
const struct fl_shape fl_routes_shape = FL_SHAPE("a route table", table_members, " PropagatingVgws ");

void fl_routes_done(struct fl_reader *r, void *noun)
{
	struct fl_routes_read *t = noun;
	size_t n = json_array_size(t->routes), mark = fl_path_member(r, "Routes");
	struct routes_under_way u = {.route = n ? fl_arena_get(&r->net->arena, n * sizeof *u.route) : NULL};

	if (u.route || !n)
		fl_each(r, t->routes, route_item, &u);
	fl_path_pop(r, mark);
	t->table.route = u.route;
	t->table.n = u.n;
	mark = fl_path_member(r, "Associations");
	if (t->table.noun.id)
		fl_each(r, t->associations, table_association_item, &t->table);
	fl_path_pop(r, mark);
}

/* The more specific of two networks; among equals static before propagated. */
static bool beats(unsigned bits, bool propagated, int best_bits, bool best_propagated)
{
	return (int)bits > best_bits || ((int)bits == best_bits && best_propagated && !propagated);
}

const struct fl_route *fl_route_find(const struct fl_route_table *t, const struct fl_addr *dst, bool v6)
{
	const struct fl_route *best = NULL;
	int bits = -1;

	for (size_t i = 0; t && i < t->n; i++) {
		const struct fl_route *route = &t->route[i];

		if (!*route->list_id) {
			if (route->v6 == v6 && fl_cidr_has(&route->cidr, dst) &&
			    beats(route->cidr.bits, route->propagated, bits, best && best->propagated)) {
				best = route;
				bits = route->cidr.bits;
			}
			continue;
		}
		for (size_t j = 0; route->list && j < route->list->cidrs.n; j++) {
			const struct fl_cidr *c = &route->list->cidrs.cidr[j];

			if (fl_cidr_is_v4(c) != v6 && fl_cidr_has(c, dst) &&
			    beats(c->bits, route->propagated, bits, best && best->propagated)) {
				best = route;
				bits = c->bits;
			}
		}
	}
	return best;
}
