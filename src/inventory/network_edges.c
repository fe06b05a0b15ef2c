/* SPDX-License-Identifier: Apache-2.0 */
/* What leads out of a VPC: NAT gateways, endpoints, prefix lists, peering, gateways. */
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "inventory/network_build.h"

/* ---- NAT gateways ---- */

struct nat_read {
	struct fl_nat_gateway nat;
	const char *connectivity, *mode;
	const json_t *addresses;
};
struct nat_address {
	const char *eni_id, *private_ip, *public_ip, *status, *az;
	bool primary;
};
static const struct fl_member nat_address_members[] = {
    FL_M_STR("NetworkInterfaceId", nat_address, eni_id), FL_M_STR("PrivateIp", nat_address, private_ip),
    FL_M_STR("PublicIp", nat_address, public_ip),        FL_M_STR("Status", nat_address, status),
    FL_M_BOOL("IsPrimary", nat_address, primary),        FL_M_STR("AvailabilityZone", nat_address, az),
};
static const struct fl_shape nat_address_shape = FL_SHAPE(
    "a NAT gateway's address", nat_address_members, " AllocationId AssociationId FailureMessage AvailabilityZoneId ");
static const struct fl_member nat_members[] = {
    FL_M_ID("NatGatewayId", fl_nat_gateway),
    FL_M_POINTER("VpcId", fl_nat_gateway, vpc, FL_NOUN_VPC),
    FL_M_POINTER("SubnetId", fl_nat_gateway, subnet, FL_NOUN_SUBNET),
    FL_M_STR("State", fl_nat_gateway, state),
    FL_M_STR("ConnectivityType", nat_read, connectivity),
    FL_M_STR("AvailabilityMode", nat_read, mode),
    FL_M_JSON("NatGatewayAddresses", nat_read, addresses),
    FL_M_POINTER("RouteTableId", fl_nat_gateway, routes, FL_NOUN_ROUTES),
    FL_M_NOUN_TAGS(fl_nat_gateway),
};
const struct fl_shape fl_nat_shape =
    FL_SHAPE("a NAT gateway", nat_members,
	     " CreateTime DeleteTime FailureCode FailureMessage ProvisionedBandwidth AutoScalingIps AutoProvisionZones "
	     "AttachedAppliances ");

struct nat_primary {
	struct nat_read *nat;
	const char *eni_id;
	bool flagged;
};
static void nat_address(struct fl_reader *r, const json_t *item, void *into)
{
	struct nat_primary *p = into;
	struct nat_address a = {0};
	struct fl_net_addr na = {0};
	bool v6;

	fl_walk(r, item, &nat_address_shape, &a);
	if (fl_is(a.status, "failed"))
		return;
	fl_side_add(r, FL_SIDE_ENI_NAT, a.eni_id, p->nat->nat.noun.id, (struct fl_tag){0}, NULL);
	if (p->nat->nat.regional && a.public_ip) {
		struct fl_net_addr *more = FL_APPEND(&r->net->arena, p->nat->nat.addr, p->nat->nat.n_addrs);

		if (more && fl_addr_parse(a.public_ip, strlen(a.public_ip), &more->addr, &more->v6))
			p->nat->nat.n_addrs--;
	}
	if (p->eni_id && (p->flagged || !a.primary))
		return; /* AWS flags one; else the first is it */
	if (a.private_ip && fl_addr_parse(a.private_ip, strlen(a.private_ip), &na.addr, &na.v6))
		fl_problem(r, false, "\"%.64s\" is not an address; left out", a.private_ip);
	na.has_public = a.public_ip && !fl_addr_parse(a.public_ip, strlen(a.public_ip), &na.public, &v6);
	p->nat->nat.primary = na;
	p->nat->nat.az = a.az;
	p->eni_id = a.eni_id;
	p->flagged = a.primary;
}

void fl_nat_done(struct fl_reader *r, void *noun)
{
	struct nat_read *n = noun;
	struct nat_primary p = {.nat = n};
	size_t mark;

	n->nat.is_private = fl_is(n->connectivity, "private");
	n->nat.regional = fl_is(n->mode, "regional");
	mark = fl_path_member(r, "NatGatewayAddresses");
	if (n->nat.noun.id && !fl_is(n->nat.state, "deleted") && !fl_is(n->nat.state, "failed"))
		fl_each(r, n->addresses, nat_address, &p);
	fl_refer(r, &n->nat.eni, FL_NOUN_ENI, p.eni_id);
	fl_path_pop(r, mark);
}

_Static_assert(sizeof(struct nat_read) <= FL_READ_ROOM, "room for what is only needed while it is read");

/* ---- VPC endpoints ---- */

struct endpoint_read {
	struct fl_endpoint endpoint;
	const json_t *enis;
};
static const struct fl_member endpoint_members[] = {
    FL_M_ID("VpcEndpointId", fl_endpoint),
    FL_M_OWNER(fl_endpoint),
    FL_M_STR("VpcEndpointType", fl_endpoint, type),
    FL_M_POINTER("VpcId", fl_endpoint, vpc, FL_NOUN_VPC),
    FL_M_STR("ServiceName", fl_endpoint, service),
    FL_M_STR("State", fl_endpoint, state),
    FL_M_JSON("NetworkInterfaceIds", endpoint_read, enis),
    FL_M_NOUN_TAGS(fl_endpoint),
};
const struct fl_shape fl_endpoint_shape = FL_SHAPE(
    "a VPC endpoint", endpoint_members,
    " PolicyDocument RouteTableIds SubnetIds Groups IpAddressType DnsOptions PrivateDnsEnabled RequesterManaged "
    "DnsEntries CreationTimestamp LastError Ipv4Prefixes Ipv6Prefixes FailureReason ServiceNetworkArn "
    "ResourceConfigurationArn ServiceRegion ");
void fl_endpoint_done(struct fl_reader *r, void *noun)
{
	struct endpoint_read *e = noun;

	e->endpoint.eni = (const struct fl_net_eni *const *)fl_refer_list(r, "NetworkInterfaceIds", e->enis,
									  FL_NOUN_ENI, &e->endpoint.n_enis);
}

_Static_assert(sizeof(struct endpoint_read) <= FL_READ_ROOM, "room for what is only needed while it is read");

/* ---- prefix lists ---- */

static const struct fl_member list_members[] = {
    FL_M_ID("PrefixListId", fl_prefix_list),
    FL_M_OWNER(fl_prefix_list),
    FL_M_STR("PrefixListName", fl_prefix_list, noun.name),
    FL_M_NOUN_TAGS(fl_prefix_list),
};
const struct fl_shape fl_list_shape =
    FL_SHAPE("a prefix list", list_members,
	     " AddressFamily State StateMessage PrefixListArn MaxEntries Version IpamPrefixListResolverTargetId "
	     "IpamPrefixListResolverSyncEnabled ");

static const struct fl_member list_entry_members[] = {FL_M_CIDR("Cidr", fl_prefix_list, cidrs)};
static const struct fl_shape list_entry_shape =
    FL_SHAPE("an entry of a prefix list", list_entry_members, " Description ");
void fl_list_entry(struct fl_reader *r, const json_t *item, void *row)
{
	struct fl_prefix_list *list, fresh = {.noun = {.id = r->list_id, .name = "", .owner = ""}};

	if (!r->list_id || strncmp(r->list_id, "pl-", 3) != 0) {
		fl_problem(r, true,
			   "entries of which prefix list? expected the file to be named by its id, such as "
			   "pl-0123456789abcdef0.json, or a member PrefixListId beside; left out");
		return;
	}
	list = fl_network_by_id(r->net, FL_NOUN_LIST, r->list_id);
	if (!list) {
		r->item_pending = r->n_pending;
		if (!fl_noun_store(r, FL_NOUN_LIST, (unsigned)((const struct fl_kind *)row - fl_kinds), &fresh))
			return;
		list = fl_network_by_id(r->net, FL_NOUN_LIST, r->list_id);
	}
	list->has_entries = true;
	fl_walk(r, item, &list_entry_shape, list);
}

/* ---- peering connections ---- */

struct peering_read {
	struct fl_peering peering;
	const json_t *end[2];
};
struct peer_read {
	const char *vpc_id, *region, *owner;
	struct fl_cidrs cidrs;
};
static void peer_block(struct fl_reader *r, const json_t *item, void *into)
{
	fl_add_block(r, item, &((struct peer_read *)into)->cidrs);
}
static const struct fl_member peer_members[] = {
    FL_M_STR("VpcId", peer_read, vpc_id),  FL_M_STR("Region", peer_read, region),
    FL_M_STR("OwnerId", peer_read, owner), FL_M_CIDR("CidrBlock", peer_read, cidrs),
    FL_M_EACH("CidrBlockSet", peer_block), FL_M_EACH("Ipv6CidrBlockSet", peer_block),
};
static const struct fl_shape peer_shape = FL_SHAPE("an end of a peering connection", peer_members, " PeeringOptions ");
static const struct fl_member peering_status_members[] = {FL_M_STR("Code", fl_peering, status)};
static const struct fl_shape peering_status =
    FL_SHAPE("a peering connection's status", peering_status_members, " Message ");
static const struct fl_member peering_members[] = {
    FL_M_ID("VpcPeeringConnectionId", fl_peering),
    FL_M_JSON("RequesterVpcInfo", peering_read, end[0]),
    FL_M_JSON("AccepterVpcInfo", peering_read, end[1]),
    FL_M_OBJECT("Status", peering_status),
    FL_M_NOUN_TAGS(fl_peering),
};
const struct fl_shape fl_peering_shape = FL_SHAPE("a peering connection", peering_members, " ExpirationTime ");
void fl_peering_done(struct fl_reader *r, void *noun)
{
	static const char *const names[2] = {"RequesterVpcInfo", "AccepterVpcInfo"};
	struct peering_read *p = noun;

	for (size_t i = 0; i < 2; i++) {
		struct peer_read end = {.vpc_id = "", .region = "", .owner = ""};
		size_t mark = fl_path_member(r, names[i]);

		if (p->end[i])
			fl_walk(r, p->end[i], &peer_shape, &end);
		if (!*end.vpc_id)
			fl_problem(r, false, "no VpcId; traffic to that end has no route here");
		p->peering.vpc_id[i] = end.vpc_id;
		p->peering.region[i] = end.region;
		p->peering.owner_of[i] = end.owner;
		p->peering.cidrs[i] = end.cidrs;
		fl_path_pop(r, mark);
	}
}

_Static_assert(sizeof(struct peering_read) <= FL_READ_ROOM, "room for what is only needed while it is read");

/* ---- gateways ---- */

struct gateway_attachment {
	const char *vpc_id, *state;
};
static const struct fl_member gateway_attachment_members[] = {FL_M_STR("VpcId", gateway_attachment, vpc_id),
							      FL_M_STR("State", gateway_attachment, state)};
static const struct fl_shape gateway_attachment = FL_SHAPE("a gateway's attachment", gateway_attachment_members, "");
static void gateway_attached(struct fl_reader *r, const json_t *item, void *into)
{
	struct fl_gateway *g = into;
	struct gateway_attachment a = {0};

	fl_walk(r, item, &gateway_attachment, &a);
	/* the model says "attached"; internet gateways are printed as "available" */
	if (a.vpc_id && !fl_is(a.state, "detached") && !fl_is(a.state, "detaching"))
		g->vpc_id = a.vpc_id;
}
static const struct fl_member gateway_members[] = {
    FL_M_ID("InternetGatewayId", fl_gateway),      FL_M_ID("EgressOnlyInternetGatewayId", fl_gateway),
    FL_M_ID("VpnGatewayId", fl_gateway),           FL_M_ID("CarrierGatewayId", fl_gateway),
    FL_M_ID("LocalGatewayId", fl_gateway),         FL_M_OWNER(fl_gateway),
    FL_M_STR("VpcId", fl_gateway, vpc_id),         FL_M_EACH("Attachments", gateway_attached),
    FL_M_EACH("VpcAttachments", gateway_attached), FL_M_NOUN_TAGS(fl_gateway),
};
const struct fl_shape fl_gateway_shape =
    FL_SHAPE("a gateway", gateway_members, " AmazonSideAsn State Type AvailabilityZone OutpostArn ");
void fl_gateway_done(struct fl_reader *r, void *noun)
{
	static const struct {
		const char *prefix;
		enum fl_target kind;
	} kinds[] = {
	    {"igw-", FL_TARGET_INTERNET_GATEWAY}, {"eigw-", FL_TARGET_EGRESS_ONLY_GATEWAY},
	    {"vgw-", FL_TARGET_VPN_GATEWAY},      {"cagw-", FL_TARGET_CARRIER_GATEWAY},
	    {"lgw-", FL_TARGET_LOCAL_GATEWAY},
	};
	struct fl_gateway *g = noun;

	g->kind = FL_TARGET_UNKNOWN;
	for (size_t i = 0; g->noun.id && i < FL_ARRAY_LEN(kinds); i++)
		if (!strncmp(g->noun.id, kinds[i].prefix, strlen(kinds[i].prefix)))
			g->kind = kinds[i].kind;
	if (g->noun.id && g->kind == FL_TARGET_UNKNOWN)
		fl_problem(r, false,
			   "\"%.64s\" is not the id of a gateway (igw-, eigw-, vgw-, cagw-, lgw-); used as given",
			   g->noun.id);
}
