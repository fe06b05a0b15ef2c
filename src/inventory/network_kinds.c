/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the describe calls print, a table a noun (member names: the service models of EC2, ECS and Auto Scaling,
 * inventory.md and api.md section 7). The members that are not needed are named too, so that only truly unknown ones
 * are reported.
 */
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "inventory/network_build.h"

/* Connection tracking of a security group, when the interface sets nothing else (semantics.md 4.3). */
#define TCP_ESTABLISHED_S 432000
#define UDP_S 30
#define UDP_STREAM_S 180

static bool is(const char *a, const char *b)
{
	return a && !strcmp(a, b);
}

/* The part of an ARN behind the last slash. */
static const char *last_part(const char *arn)
{
	const char *slash = arn ? strrchr(arn, '/') : NULL;

	return slash ? slash + 1 : "";
}

/* ---- CIDR blocks: associated ones only ---- */

struct block {
	const char *cidr, *state;
};
static const struct fl_member block_state_members[] = {FL_M_STR("State", block, state)};
static const struct fl_shape block_state =
    FL_SHAPE("the state of a CIDR block", block_state_members, " StatusMessage ");
static const struct fl_member block_members[] = {
    FL_M_STR("CidrBlock", block, cidr),
    FL_M_STR("Ipv6CidrBlock", block, cidr),
    FL_M_OBJECT("CidrBlockState", block_state),
    FL_M_OBJECT("Ipv6CidrBlockState", block_state),
};
static const struct fl_shape block_shape = FL_SHAPE("a CIDR block's association", block_members,
						    " AssociationId NetworkBorderGroup Ipv6Pool Ipv6AddressAttribute "
						    "IpSource ");

static void add_block(struct fl_reader *r, const json_t *item, struct fl_cidrs *set)
{
	struct block b = {0};

	fl_walk(r, item, &block_shape, &b);
	if (!b.cidr)
		fl_problem(r, false, "an association without a CIDR block; left out");
	else if (!b.state || is(b.state, "associated") || is(b.state, "associating"))
		fl_cidr_add(r, set, b.cidr);
}

/* ---- lists of ids: strings, or objects with an id ---- */

struct listed {
	const char *id;
};
static const struct fl_member listed_members[] = {FL_M_STR("GroupId", listed, id)};
static const struct fl_shape listed_shape = FL_SHAPE("a group that is referred to", listed_members, " GroupName ");

/* Pointers that are filled when all is read; those that lead nowhere are then taken out. */
static const void **refer_list(struct fl_reader *r, const char *member, const json_t *array, enum fl_noun_kind kind,
			       size_t *ret_n)
{
	size_t n = json_is_array(array) ? json_array_size(array) : 0, mark = fl_path_member(r, member);
	const void **v = n ? fl_arena_get(&r->net->arena, n * sizeof *v) : NULL;

	if (array && !json_is_array(array))
		fl_each(r, array, NULL, NULL); /* says what is wrong with it */
	for (size_t i = 0; v && i < n; i++) {
		const json_t *item = json_array_get(array, i);
		struct listed l = {0};
		size_t at = fl_path_index(r, i);

		if (json_is_object(item))
			fl_walk(r, item, &listed_shape, &l);
		else
			l.id = fl_text(r, item);
		if (l.id)
			fl_refer(r, &v[i], kind, l.id);
		fl_path_pop(r, at);
	}
	fl_path_pop(r, mark);
	*ret_n = v ? n : 0;
	return v;
}

/* ---- VPCs ---- */

struct vpc_read {
	struct fl_vpc vpc; /* first: what is kept */
	const char *block_mode, *encryption_mode, *encryption_state;
};
static void vpc_block(struct fl_reader *r, const json_t *item, void *into)
{
	add_block(r, item, &((struct fl_vpc *)into)->cidrs);
}
static const struct fl_member block_access_members[] = {FL_M_STR("InternetGatewayBlockMode", vpc_read, block_mode)};
static const struct fl_shape block_access = FL_SHAPE("Block Public Access", block_access_members, "");
static const struct fl_member encryption_members[] = {FL_M_STR("Mode", vpc_read, encryption_mode),
						      FL_M_STR("State", vpc_read, encryption_state)};
static const struct fl_shape encryption = FL_SHAPE("encryption control", encryption_members,
						   " VpcId VpcEncryptionControlId StateMessage ResourceExclusions "
						   "Tags ");
static const struct fl_member vpc_members[] = {
    FL_M_ID("VpcId", fl_vpc),
    FL_M_OWNER(fl_vpc),
    FL_M_CIDR("CidrBlock", fl_vpc, cidrs),
    FL_M_EACH("CidrBlockAssociationSet", vpc_block),
    FL_M_EACH("Ipv6CidrBlockAssociationSet", vpc_block),
    FL_M_OBJECT("EncryptionControl", encryption),
    FL_M_OBJECT("BlockPublicAccessStates", block_access),
    FL_M_NOUN_TAGS(fl_vpc),
};
static const struct fl_shape vpc_shape =
    FL_SHAPE("a VPC", vpc_members, " InstanceTenancy IsDefault State DhcpOptionsId ");

static void vpc_done(struct fl_reader *r, void *noun)
{
	struct vpc_read *v = noun;

	v->vpc.bpa_both = is(v->block_mode, "block-bidirectional");
	v->vpc.bpa_ingress = v->vpc.bpa_both || is(v->block_mode, "block-ingress");
	if (is(v->encryption_state, "available") || is(v->encryption_state, "enforce-in-progress")) {
		v->vpc.encryption_enforced = is(v->encryption_mode, "enforce");
		v->vpc.encryption_monitored = is(v->encryption_mode, "monitor");
	}
}

/* ---- subnets ---- */

static void subnet_block(struct fl_reader *r, const json_t *item, void *into)
{
	add_block(r, item, &((struct fl_subnet *)into)->cidrs);
}
static const struct fl_member subnet_members[] = {
    FL_M_ID("SubnetId", fl_subnet),
    FL_M_OWNER(fl_subnet),
    FL_M_REF("VpcId", fl_subnet, vpc_id, vpc, FL_NOUN_VPC),
    FL_M_STR("AvailabilityZone", fl_subnet, az),
    FL_M_STR("AvailabilityZoneId", fl_subnet, az_id),
    FL_M_STR("OutpostArn", fl_subnet, outpost_arn),
    FL_M_CIDR("CidrBlock", fl_subnet, cidrs),
    FL_M_EACH("Ipv6CidrBlockAssociationSet", subnet_block),
    FL_M_NOUN_TAGS(fl_subnet),
};
static const struct fl_shape subnet_shape = FL_SHAPE(
    "a subnet", subnet_members,
    " EnableLniAtDeviceIndex MapCustomerOwnedIpOnLaunch CustomerOwnedIpv4Pool AssignIpv6AddressOnCreation SubnetArn "
    "EnableDns64 Ipv6Native PrivateDnsNameOptionsOnLaunch BlockPublicAccessStates Type State "
    "AvailableIpAddressCount DefaultForAz MapPublicIpOnLaunch ");

/* ---- network interfaces ---- */

struct eni_read {
	struct fl_net_eni eni;
	const char *instance_id, *attach_status, *private_ip, *public_ip, *mac;
	int64_t tcp_s, udp_s, udp_stream_s, device_index;
	const json_t *groups;
};
struct address {
	const char *text, *public;
	bool primary;
};
static const struct fl_member eni_public_members[] = {FL_M_STR("PublicIp", eni_read, public_ip)};
#define ASSOCIATION_OTHERS " AllocationId AssociationId IpOwnerId PublicDnsName CustomerOwnedIp CarrierIp "
static const struct fl_shape eni_public = FL_SHAPE("an address association", eni_public_members, ASSOCIATION_OTHERS);
static const struct fl_member address_public_members[] = {FL_M_STR("PublicIp", address, public)};
static const struct fl_shape address_public =
    FL_SHAPE("an address association", address_public_members, ASSOCIATION_OTHERS);
static const struct fl_member address_members[] = {
    FL_M_STR("PrivateIpAddress", address, text), FL_M_STR("Ipv6Address", address, text),
    FL_M_BOOL("Primary", address, primary),      FL_M_BOOL("IsPrimaryIpv6", address, primary),
    FL_M_OBJECT("Association", address_public),
};
static const struct fl_shape address_shape =
    FL_SHAPE("an interface's address", address_members, " PrivateDnsName PublicIpv6DnsName ");

/* IPv4 before IPv6, and the primary one first of its family: the order of the struct. */
static void add_address(struct fl_reader *r, struct fl_net_eni *e, const struct address *a)
{
	struct fl_net_addr na = {0}, *more, *v;
	size_t at = 0;
	bool v6;

	if (fl_addr_parse(a->text, strlen(a->text), &na.addr, &na.v6)) {
		fl_problem(r, false, "\"%.64s\" is not an address; left out", a->text);
		return;
	}
	if (a->public) {
		na.has_public = !fl_addr_parse(a->public, strlen(a->public), &na.public, &v6);
		if (!na.has_public)
			fl_problem(r, false, "\"%.64s\" is not an address; left out", a->public);
	}
	for (size_t i = 0; i < e->n_addrs; i++)
		if (fl_addr_equal(&e->addr[i].addr, &na.addr))
			return; /* PrivateIpAddress says the primary one again */
	more = FL_APPEND(&r->net->arena, e->addr, e->n_addrs);
	if (!more)
		return;
	v = (struct fl_net_addr *)e->addr;
	while (at < e->n_addrs - 1 && (v[at].v6 < na.v6 || (v[at].v6 == na.v6 && !a->primary)))
		at++;
	memmove(&v[at + 1], &v[at], (e->n_addrs - 1 - at) * sizeof *v);
	v[at] = na;
}

static void eni_address(struct fl_reader *r, const json_t *item, void *into)
{
	struct address a = {0};

	fl_walk(r, item, &address_shape, &a);
	if (a.text)
		add_address(r, into, &a);
	else
		fl_problem(r, false, "an address without PrivateIpAddress or Ipv6Address; left out");
}

static const struct fl_member prefix_members[] = {FL_M_CIDR("Ipv4Prefix", fl_net_eni, prefixes),
						  FL_M_CIDR("Ipv6Prefix", fl_net_eni, prefixes)};
static const struct fl_shape prefix_shape = FL_SHAPE("a delegated prefix", prefix_members, "");
static void eni_prefix(struct fl_reader *r, const json_t *item, void *into)
{
	fl_walk(r, item, &prefix_shape, into);
}

static const struct fl_member attachment_members[] = {
    FL_M_STR("InstanceId", eni_read, instance_id),
    FL_M_INT("DeviceIndex", eni_read, device_index),
    FL_M_STR("Status", eni_read, attach_status),
};
static const struct fl_shape attachment = FL_SHAPE("an attachment", attachment_members,
						   " AttachTime AttachmentId DeleteOnTermination NetworkCardIndex "
						   "InstanceOwnerId EnaSrdSpecification EnaQueueCount ");
static const struct fl_member tracking_members[] = {
    FL_M_INT("TcpEstablishedTimeout", eni_read, tcp_s),
    FL_M_INT("UdpTimeout", eni_read, udp_s),
    FL_M_INT("UdpStreamTimeout", eni_read, udp_stream_s),
};
static const struct fl_shape tracking = FL_SHAPE("connection tracking", tracking_members, "");
static const struct fl_member eni_members[] = {
    FL_M_ID("NetworkInterfaceId", fl_net_eni),
    FL_M_OWNER(fl_net_eni),
    FL_M_REF("VpcId", fl_net_eni, vpc_id, vpc, FL_NOUN_VPC),
    FL_M_REF("SubnetId", fl_net_eni, subnet_id, subnet, FL_NOUN_SUBNET),
    FL_M_STR("AvailabilityZone", fl_net_eni, az),
    FL_M_STR("AvailabilityZoneId", fl_net_eni, az_id),
    FL_M_STR("InterfaceType", fl_net_eni, type),
    FL_M_STR("Description", fl_net_eni, description),
    FL_M_BOOL("RequesterManaged", fl_net_eni, requester_managed),
    FL_M_BOOL("SourceDestCheck", fl_net_eni, source_dest_check),
    FL_M_STR("MacAddress", eni_read, mac),
    FL_M_STR("PrivateIpAddress", eni_read, private_ip),
    FL_M_EACH("PrivateIpAddresses", eni_address),
    FL_M_EACH("Ipv6Addresses", eni_address),
    FL_M_EACH("Ipv4Prefixes", eni_prefix),
    FL_M_EACH("Ipv6Prefixes", eni_prefix),
    FL_M_OBJECT("Association", eni_public),
    FL_M_OBJECT("Attachment", attachment),
    FL_M_OBJECT("ConnectionTrackingConfiguration", tracking),
    FL_M_JSON("Groups", eni_read, groups),
    FL_M_TAGS("TagSet", fl_net_eni, noun.tags),
};
static const struct fl_shape eni_shape = FL_SHAPE(
    "a network interface", eni_members,
    " OutpostArn PrivateDnsName PublicDnsName PublicIpDnsNameOptions RequesterId Status DenyAllIgwTraffic Ipv6Native "
    "Ipv6Address Operator AssociatedSubnets ");

static uint32_t timeout_s(struct fl_reader *r, const char *member, int64_t v, int64_t max, uint32_t otherwise)
{
	size_t mark;

	if (!v)
		return otherwise;
	if (v >= 1 && v <= max)
		return (uint32_t)v;
	mark = fl_path_member(r, member);
	fl_problem(r, false, "%lld s: expected 1 to %lld; AWS's %u s is used", (long long)v, (long long)max, otherwise);
	fl_path_pop(r, mark);
	return otherwise;
}

static void eni_mac(struct fl_reader *r, struct fl_net_eni *e, const char *mac)
{
	unsigned b[6];
	char rest;
	size_t mark;

	if (!mac || !*mac)
		return;
	e->has_mac = sscanf(mac, "%2x:%2x:%2x:%2x:%2x:%2x%c", &b[0], &b[1], &b[2], &b[3], &b[4], &b[5], &rest) == 6;
	for (size_t i = 0; e->has_mac && i < 6; i++)
		e->mac[i] = (uint8_t)b[i];
	if (e->has_mac)
		return;
	mark = fl_path_member(r, "MacAddress");
	fl_problem(r, false, "\"%.40s\" is not a MAC address such as 02:0a:00:00:00:01; left out", mac);
	fl_path_pop(r, mark);
}

static const struct {
	const char *api, *record;
} record_types[] = {
    {"natGateway", "nat_gateway"},
    {"nat_gateway", "nat_gateway"},
    {"network_load_balancer", "network_load_balancer"},
    {"transit_gateway", "transit_gateway"},
    {"vpc_endpoint", "vpc_endpoint"},
};

static void eni_done(struct fl_reader *r, void *noun)
{
	struct eni_read *e = noun;
	struct fl_net_eni *eni = &e->eni;
	const char *id;

	if (e->private_ip)
		add_address(r, eni, &(struct address){.text = e->private_ip, .public = e->public_ip, .primary = true});
	eni_mac(r, eni, e->mac);
	if (e->instance_id && !eni->requester_managed && !is(e->attach_status, "detached")) {
		eni->instance_id = e->instance_id;
		eni->device_index = (uint32_t)e->device_index;
		fl_refer(r, &eni->instance, FL_NOUN_INSTANCE, e->instance_id);
	}
	eni->tcp_timeout_s = timeout_s(r, "TcpEstablishedTimeout", e->tcp_s, 432000, TCP_ESTABLISHED_S);
	eni->udp_timeout_s = timeout_s(r, "UdpTimeout", e->udp_s, 60, UDP_S);
	eni->udp_stream_timeout_s = timeout_s(r, "UdpStreamTimeout", e->udp_stream_s, 180, UDP_STREAM_S);
	for (size_t i = 0; i < FL_ARRAY_LEN(record_types); i++)
		if (is(eni->type, record_types[i].api))
			eni->record_type = record_types[i].record;
	/* what AWS writes into the descriptions of interfaces it makes */
	id = is(eni->record_type, "transit_gateway") && eni->description ? strstr(eni->description, "tgw-attach-")
									 : NULL;
	if (id)
		eni->attachment_id = fl_network_intern(r->net, id, strcspn(id, " "));
	id = is(eni->record_type, "nat_gateway") && eni->description ? strstr(eni->description, "nat-") : NULL;
	if (id)
		eni->nat_gateway_id = fl_network_intern(r->net, id, strcspn(id, " "));
	eni->group = (const struct fl_group *const *)refer_list(r, "Groups", e->groups, FL_NOUN_GROUP, &eni->n_groups);
}

/* ---- instances ---- */

static const struct fl_member instance_state_members[] = {FL_M_STR("Name", fl_instance, state)};
static const struct fl_shape instance_state = FL_SHAPE("an instance's state", instance_state_members, " Code ");
static const struct fl_member instance_members[] = {
    FL_M_ID("InstanceId", fl_instance),
    FL_M_OBJECT("State", instance_state),
    FL_M_NOUN_TAGS(fl_instance),
};
static const struct fl_shape instance_shape = FL_SHAPE(
    "an instance", instance_members,
    " Architecture BlockDeviceMappings ClientToken EbsOptimized EnaSupport Hypervisor IamInstanceProfile "
    "InstanceLifecycle ElasticGpuAssociations ElasticInferenceAcceleratorAssociations NetworkInterfaces OutpostArn "
    "RootDeviceName RootDeviceType SecurityGroups SourceDestCheck SpotInstanceRequestId SriovNetSupport StateReason "
    "VirtualizationType CpuOptions CapacityBlockId CapacityReservationId CapacityReservationSpecification "
    "HibernationOptions Licenses MetadataOptions EnclaveOptions BootMode PlatformDetails UsageOperation "
    "UsageOperationUpdateTime PrivateDnsNameOptions Ipv6Address TpmSupport MaintenanceOptions "
    "CurrentInstanceBootMode NetworkPerformanceOptions Operator SecondaryInterfaces ImageId PrivateDnsName "
    "PublicDnsName StateTransitionReason KeyName AmiLaunchIndex ProductCodes InstanceType LaunchTime Placement "
    "KernelId RamdiskId Platform Monitoring SubnetId VpcId PrivateIpAddress PublicIpAddress ");
static void read_instance(struct fl_reader *r, const json_t *item, void *row);

struct reservation {
	const char *owner;
	const json_t *instances;
};
static const struct fl_member reservation_members[] = {FL_M_STR("OwnerId", reservation, owner),
						       FL_M_JSON("Instances", reservation, instances)};
static const struct fl_shape reservation_shape =
    FL_SHAPE("a reservation", reservation_members, " ReservationId RequesterId Groups ");

static void reservation_item(struct fl_reader *r, const json_t *item, void *row)
{
	struct reservation v = {0};
	size_t mark;

	fl_walk(r, item, &reservation_shape, &v);
	r->owner = v.owner;
	mark = fl_path_member(r, "Instances");
	fl_each(r, v.instances, read_instance, row);
	fl_path_pop(r, mark);
	r->owner = NULL;
}

/* ---- NAT gateways ---- */

struct nat_read {
	struct fl_nat_gateway nat;
	const char *connectivity, *mode;
	const json_t *addresses;
};
struct nat_address {
	const char *eni_id, *private_ip, *public_ip, *status;
	bool primary;
};
static const struct fl_member nat_address_members[] = {
    FL_M_STR("NetworkInterfaceId", nat_address, eni_id), FL_M_STR("PrivateIp", nat_address, private_ip),
    FL_M_STR("PublicIp", nat_address, public_ip),        FL_M_STR("Status", nat_address, status),
    FL_M_BOOL("IsPrimary", nat_address, primary),
};
static const struct fl_shape nat_address_shape =
    FL_SHAPE("a NAT gateway's address", nat_address_members,
	     " AllocationId AssociationId FailureMessage AvailabilityZone AvailabilityZoneId ");
static const struct fl_member nat_members[] = {
    FL_M_ID("NatGatewayId", fl_nat_gateway),
    FL_M_POINTER("VpcId", fl_nat_gateway, vpc, FL_NOUN_VPC),
    FL_M_POINTER("SubnetId", fl_nat_gateway, subnet, FL_NOUN_SUBNET),
    FL_M_STR("State", fl_nat_gateway, state),
    FL_M_STR("ConnectivityType", nat_read, connectivity),
    FL_M_STR("AvailabilityMode", nat_read, mode),
    FL_M_JSON("NatGatewayAddresses", nat_read, addresses),
    FL_M_NOUN_TAGS(fl_nat_gateway),
};
static const struct fl_shape nat_shape =
    FL_SHAPE("a NAT gateway", nat_members,
	     " CreateTime DeleteTime FailureCode FailureMessage ProvisionedBandwidth AutoScalingIps AutoProvisionZones "
	     "AttachedAppliances RouteTableId ");

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
	if (is(a.status, "failed"))
		return;
	fl_side_add(r, FL_SIDE_ENI_NAT, a.eni_id, p->nat->nat.noun.id, (struct fl_tag){0}, NULL);
	if (p->eni_id && (p->flagged || !a.primary))
		return; /* AWS flags one; else the first is it */
	if (a.private_ip && fl_addr_parse(a.private_ip, strlen(a.private_ip), &na.addr, &na.v6))
		fl_problem(r, false, "\"%.64s\" is not an address; left out", a.private_ip);
	na.has_public = a.public_ip && !fl_addr_parse(a.public_ip, strlen(a.public_ip), &na.public, &v6);
	p->nat->nat.primary = na;
	p->eni_id = a.eni_id;
	p->flagged = a.primary;
}

static void nat_done(struct fl_reader *r, void *noun)
{
	struct nat_read *n = noun;
	struct nat_primary p = {.nat = n};
	size_t mark;

	n->nat.is_private = is(n->connectivity, "private");
	n->nat.regional = is(n->mode, "regional");
	mark = fl_path_member(r, "NatGatewayAddresses");
	if (n->nat.noun.id && !is(n->nat.state, "deleted") && !is(n->nat.state, "failed"))
		fl_each(r, n->addresses, nat_address, &p);
	fl_refer(r, &n->nat.eni, FL_NOUN_ENI, p.eni_id);
	fl_path_pop(r, mark);
}

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
static const struct fl_shape endpoint_shape = FL_SHAPE(
    "a VPC endpoint", endpoint_members,
    " PolicyDocument RouteTableIds SubnetIds Groups IpAddressType DnsOptions PrivateDnsEnabled RequesterManaged "
    "DnsEntries CreationTimestamp LastError Ipv4Prefixes Ipv6Prefixes FailureReason ServiceNetworkArn "
    "ResourceConfigurationArn ServiceRegion ");
static void endpoint_done(struct fl_reader *r, void *noun)
{
	struct endpoint_read *e = noun;

	e->endpoint.eni = (const struct fl_net_eni *const *)refer_list(r, "NetworkInterfaceIds", e->enis, FL_NOUN_ENI,
								       &e->endpoint.n_enis);
}

/* ---- prefix lists ---- */

struct list_read {
	struct fl_prefix_list list;
	const char *own_name;
};
static const struct fl_member list_members[] = {
    FL_M_ID("PrefixListId", fl_prefix_list),
    FL_M_OWNER(fl_prefix_list),
    FL_M_STR("PrefixListName", fl_prefix_list, noun.name),
    FL_M_NOUN_TAGS(fl_prefix_list),
};
static const struct fl_shape list_shape =
    FL_SHAPE("a prefix list", list_members,
	     " AddressFamily State StateMessage PrefixListArn MaxEntries Version IpamPrefixListResolverTargetId "
	     "IpamPrefixListResolverSyncEnabled ");

static const struct fl_member list_entry_members[] = {FL_M_CIDR("Cidr", fl_prefix_list, cidrs)};
static const struct fl_shape list_entry_shape =
    FL_SHAPE("an entry of a prefix list", list_entry_members, " Description ");
static void list_entry(struct fl_reader *r, const json_t *item, void *row)
{
	struct fl_prefix_list *list, fresh = {.noun = {.id = r->list_id, .name = "", .owner = ""}};

	if (!r->list_id) {
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
	add_block(r, item, &((struct peer_read *)into)->cidrs);
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
static const struct fl_shape peering_shape = FL_SHAPE("a peering connection", peering_members, " ExpirationTime ");
static void peering_done(struct fl_reader *r, void *noun)
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
	if (a.vpc_id && !is(a.state, "detached") && !is(a.state, "detaching"))
		g->vpc_id = a.vpc_id;
}
static const struct fl_member gateway_members[] = {
    FL_M_ID("InternetGatewayId", fl_gateway),      FL_M_ID("EgressOnlyInternetGatewayId", fl_gateway),
    FL_M_ID("VpnGatewayId", fl_gateway),           FL_M_ID("CarrierGatewayId", fl_gateway),
    FL_M_ID("LocalGatewayId", fl_gateway),         FL_M_OWNER(fl_gateway),
    FL_M_STR("VpcId", fl_gateway, vpc_id),         FL_M_EACH("Attachments", gateway_attached),
    FL_M_EACH("VpcAttachments", gateway_attached), FL_M_NOUN_TAGS(fl_gateway),
};
static const struct fl_shape gateway_shape =
    FL_SHAPE("a gateway", gateway_members, " AmazonSideAsn State Type AvailabilityZone OutpostArn ");
static void gateway_done(struct fl_reader *r, void *noun)
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

/* ---- transit gateways ---- */

struct tgw_read {
	struct fl_tgw_attachment attachment;
	const json_t *subnets;
};
static const struct fl_member tgw_members[] = {
    FL_M_ID("TransitGatewayAttachmentId", fl_tgw_attachment),
    FL_M_STR("TransitGatewayId", fl_tgw_attachment, tgw_id),
    FL_M_STR("ResourceOwnerId", fl_tgw_attachment, noun.owner),
    FL_M_STR("VpcOwnerId", fl_tgw_attachment, noun.owner),
    FL_M_STR("ResourceType", fl_tgw_attachment, resource_type),
    FL_M_STR("ResourceId", fl_tgw_attachment, resource_id),
    FL_M_STR("VpcId", fl_tgw_attachment, resource_id),
    FL_M_STR("State", fl_tgw_attachment, state),
    FL_M_JSON("SubnetIds", tgw_read, subnets),
    FL_M_NOUN_TAGS(fl_tgw_attachment),
};
static const struct fl_shape tgw_shape =
    FL_SHAPE("a transit gateway attachment", tgw_members, " TransitGatewayOwnerId Association CreationTime Options ");
static void tgw_done(struct fl_reader *r, void *noun)
{
	struct tgw_read *t = noun;
	struct fl_tgw_attachment *a = &t->attachment;

	if (t->subnets) {
		a->resource_type = "vpc";
		a->subnet = (const struct fl_subnet *const *)refer_list(r, "SubnetIds", t->subnets, FL_NOUN_SUBNET,
									&a->n_subnets);
	}
	if (is(a->resource_type, "vpc"))
		fl_refer(r, &a->vpc, FL_NOUN_VPC, a->resource_id);
}

/* ---- ECS ---- */

struct task_read {
	struct fl_task task;
	const char *group, *status;
	const json_t *attachments;
};
struct container {
	const char *runtime_id;
};
static const struct fl_member container_members[] = {FL_M_STR("runtimeId", container, runtime_id)};
static const struct fl_shape container_shape = FL_SHAPE(
    "a container", container_members,
    " containerArn taskArn name image imageDigest lastStatus exitCode reason networkBindings networkInterfaces "
    "healthStatus managedAgents cpu memory memoryReservation gpuIds ");
static void task_container(struct fl_reader *r, const json_t *item, void *into)
{
	struct fl_task *t = into;
	struct container c = {0};

	fl_walk(r, item, &container_shape, &c);
	if (!c.runtime_id)
		return; /* not started yet */
	if (!t->container_id)
		t->container_id = c.runtime_id;
	else if (!t->second_container_id)
		t->second_container_id = c.runtime_id;
}

struct task_attachment {
	const char *type, *status, *eni_id;
};
struct detail {
	const char *name, *value;
};
static const struct fl_member detail_members[] = {FL_M_STR("name", detail, name), FL_M_STR("value", detail, value)};
static const struct fl_shape detail_shape = FL_SHAPE("a detail of an attachment", detail_members, "");
static void attachment_detail(struct fl_reader *r, const json_t *item, void *into)
{
	struct detail d = {0};

	fl_walk(r, item, &detail_shape, &d);
	if (is(d.name, "networkInterfaceId"))
		((struct task_attachment *)into)->eni_id = d.value;
}
static const struct fl_member task_attachment_members[] = {
    FL_M_STR("type", task_attachment, type),
    FL_M_STR("status", task_attachment, status),
    FL_M_EACH("details", attachment_detail),
};
static const struct fl_shape task_attachment_shape = FL_SHAPE("a task's attachment", task_attachment_members, " id ");
static void task_attachment(struct fl_reader *r, const json_t *item, void *into)
{
	struct fl_task *t = into;
	struct task_attachment a = {0};

	fl_walk(r, item, &task_attachment_shape, &a);
	if (a.eni_id && !is(a.status, "DELETED"))
		fl_side_add(r, FL_SIDE_ENI_TASK, a.eni_id, t->noun.id, (struct fl_tag){0}, NULL);
}

static const struct fl_member task_members[] = {
    FL_M_ID("taskArn", fl_task),
    FL_M_STR("clusterArn", fl_task, cluster_arn),
    FL_M_STR("containerInstanceArn", fl_task, container_instance_arn),
    FL_M_STR("taskDefinitionArn", fl_task, definition_arn),
    FL_M_STR("group", task_read, group),
    FL_M_STR("lastStatus", task_read, status),
    FL_M_EACH("containers", task_container),
    FL_M_JSON("attachments", task_read, attachments),
    FL_M_TAGS("tags", fl_task, noun.tags),
};
static const struct fl_shape task_shape = FL_SHAPE(
    "an ECS task", task_members,
    " attributes availabilityZone capacityProviderName connectivity connectivityAt cpu createdAt desiredStatus "
    "enableExecuteCommand executionStoppedAt healthStatus inferenceAccelerators launchType memory overrides "
    "platformVersion platformFamily pullStartedAt pullStoppedAt startedAt startedBy stopCode stoppedAt "
    "stoppedReason stoppingAt version ephemeralStorage fargateEphemeralStorage ");
static void task_done(struct fl_reader *r, void *noun)
{
	struct task_read *t = noun;
	struct fl_task *task = &t->task;
	size_t mark = fl_path_member(r, "attachments");

	task->task_id = last_part(task->noun.id);
	task->cluster_name = last_part(task->cluster_arn);
	task->container_instance_id = last_part(task->container_instance_arn);
	if (t->group && !strncmp(t->group, "service:", 8))
		task->service_name = fl_network_intern(r->net, t->group + 8, SIZE_MAX);
	if (!is(t->status, "STOPPED") && task->noun.id)
		fl_each(r, t->attachments, task_attachment, task);
	fl_path_pop(r, mark);
}

struct service {
	const char *name, *cluster;
};
static const struct fl_member service_members[] = {FL_M_STR("serviceName", service, name),
						   FL_M_STR("clusterArn", service, cluster)};
static const struct fl_shape service_shape = FL_SHAPE(
    "an ECS service", service_members,
    " serviceArn loadBalancers serviceRegistries status desiredCount runningCount pendingCount launchType "
    "capacityProviderStrategy platformVersion platformFamily taskDefinition deploymentConfiguration taskSets "
    "deployments roleArn events createdAt currentServiceDeployment currentServiceRevisions placementConstraints "
    "placementStrategy networkConfiguration healthCheckGracePeriodSeconds schedulingStrategy deploymentController "
    "tags createdBy enableECSManagedTags propagateTags enableExecuteCommand availabilityZoneRebalancing "
    "resourceManagementType ");
static void service_item(struct fl_reader *r, const json_t *item, void *row)
{
	struct service s = {0};
	char key[512];

	fl_walk(r, item, &service_shape, &s);
	snprintf(key, sizeof key, "%s/%s", s.cluster ? s.cluster : "", s.name ? s.name : "");
	if (s.name)
		fl_side_add(r, FL_SIDE_SERVICE, fl_network_intern(r->net, key, SIZE_MAX), "", (struct fl_tag){0}, NULL);
	else
		fl_problem(r, true, "a service without serviceName; left out");
}

struct container_host {
	const char *arn, *instance_id;
};
static const struct fl_member container_host_members[] = {FL_M_STR("containerInstanceArn", container_host, arn),
							  FL_M_STR("ec2InstanceId", container_host, instance_id)};
static const struct fl_shape container_host_shape = FL_SHAPE(
    "a container instance", container_host_members,
    " capacityProviderName version versionInfo remainingResources registeredResources status statusReason "
    "agentConnected runningTasksCount pendingTasksCount agentUpdateStatus attributes registeredAt attachments tags "
    "healthStatus ");
static void container_host_item(struct fl_reader *r, const json_t *item, void *row)
{
	struct container_host h = {0};

	fl_walk(r, item, &container_host_shape, &h);
	if (h.arn)
		fl_side_add(r, FL_SIDE_CONTAINER_HOST, h.arn, h.instance_id, (struct fl_tag){0}, NULL);
	else
		fl_problem(r, true, "a container instance without containerInstanceArn; left out");
}

/* ---- Auto Scaling, zones, tags ---- */

struct scaled {
	const char *instance_id, *group, *arn;
	struct fl_tags tags;
	const json_t *instances;
};
static const struct fl_member scaled_members[] = {FL_M_STR("InstanceId", scaled, instance_id),
						  FL_M_STR("AutoScalingGroupName", scaled, group)};
static const struct fl_shape scaled_shape =
    FL_SHAPE("an Auto Scaling instance", scaled_members,
	     " InstanceType AvailabilityZone AvailabilityZoneId LifecycleState HealthStatus LaunchConfigurationName "
	     "LaunchTemplate ImageId ProtectedFromScaleIn WeightedCapacity ");
static void scaled_instance_item(struct fl_reader *r, const json_t *item, void *group)
{
	struct scaled s = {.group = group};

	fl_walk(r, item, &scaled_shape, &s);
	if (s.instance_id && s.group)
		fl_side_add(r, FL_SIDE_INSTANCE_ASG, s.instance_id, s.group, (struct fl_tag){0}, NULL);
	else
		fl_problem(r, true, "expected InstanceId and AutoScalingGroupName; left out");
}
static void auto_scaling_instance_item(struct fl_reader *r, const json_t *item, void *row)
{
	scaled_instance_item(r, item, NULL);
}

static const struct fl_member asg_members[] = {
    FL_M_STR("AutoScalingGroupName", scaled, group),
    FL_M_TAGS("Tags", scaled, tags),
    FL_M_JSON("Instances", scaled, instances),
};
static const struct fl_shape asg_shape = FL_SHAPE(
    "an Auto Scaling group", asg_members,
    " AutoScalingGroupARN LaunchConfigurationName LaunchTemplate MixedInstancesPolicy MinSize MaxSize "
    "DesiredCapacity PredictedCapacity DefaultCooldown AvailabilityZones AvailabilityZoneIds LoadBalancerNames "
    "TargetGroupARNs HealthCheckType HealthCheckGracePeriod CreatedTime SuspendedProcesses PlacementGroup "
    "VPCZoneIdentifier EnabledMetrics Status TerminationPolicies NewInstancesProtectedFromScaleIn "
    "ServiceLinkedRoleARN MaxInstanceLifetime CapacityRebalance WarmPoolConfiguration WarmPoolSize Context "
    "DesiredCapacityType DefaultInstanceWarmup TrafficSources InstanceMaintenancePolicy DeletionProtection "
    "AvailabilityZoneDistribution AvailabilityZoneImpairmentPolicy CapacityReservationSpecification "
    "InstanceLifecyclePolicy ");
static void asg_item(struct fl_reader *r, const json_t *item, void *row)
{
	struct scaled s = {0};
	size_t mark;

	fl_walk(r, item, &asg_shape, &s);
	if (!s.group) {
		fl_problem(r, true, "an Auto Scaling group without AutoScalingGroupName; left out");
		return;
	}
	for (size_t i = 0; i < s.tags.n; i++)
		fl_side_add(r, FL_SIDE_ASG_TAG, s.group, "", s.tags.tag[i], NULL);
	mark = fl_path_member(r, "Instances");
	fl_each(r, s.instances, scaled_instance_item, (void *)s.group);
	fl_path_pop(r, mark);
}

static const struct fl_member zone_members[] = {
    FL_M_STR("RegionName", fl_zone, region),
    FL_M_STR("ZoneId", fl_zone, id),
    FL_M_STR("ZoneName", fl_zone, name),
    FL_M_STR("ZoneType", fl_zone, type),
};
static const struct fl_shape zone_shape =
    FL_SHAPE("an Availability Zone", zone_members,
	     " OptInStatus Messages GroupName NetworkBorderGroup ParentZoneName ParentZoneId GroupLongName Geography "
	     "SubGeography State ");
static void zone_item(struct fl_reader *r, const json_t *item, void *row)
{
	struct fl_zone *z = fl_arena_get(&r->scratch, sizeof *z);

	if (!z)
		return;
	*z = (struct fl_zone){.region = "", .id = "", .type = ""};
	fl_walk(r, item, &zone_shape, z);
	if (z->name)
		fl_side_add(r, FL_SIDE_ZONE, z->name, z->id, (struct fl_tag){0}, z);
	else
		fl_problem(r, true, "an Availability Zone without ZoneName; left out");
}

struct loose_tag {
	const char *resource, *type;
	struct fl_tag tag;
};
static const struct fl_member loose_tag_members[] = {
    FL_M_STR("ResourceId", loose_tag, resource), FL_M_STR("ResourceType", loose_tag, type),
    FL_M_STR("Key", loose_tag, tag.key), FL_M_STR("Value", loose_tag, tag.value)};
static const struct fl_shape loose_tag_shape = FL_SHAPE("a tag", loose_tag_members, " PropagateAtLaunch ");
static void loose_tag_item(struct fl_reader *r, const json_t *item, void *row)
{
	struct loose_tag t = {.tag.value = ""};

	fl_walk(r, item, &loose_tag_shape, &t);
	if (t.resource && t.tag.key)
		fl_side_add(r, is(t.type, "auto-scaling-group") ? FL_SIDE_ASG_TAG : FL_SIDE_TAG, t.resource, "", t.tag,
			    NULL);
	else
		fl_problem(r, true, "expected ResourceId and Key; left out");
}

static void ignored_item(struct fl_reader *r, const json_t *item, void *row)
{
}

/* ---- the rows ---- */

#define EC2(call, file) "aws ec2 " call " > " file ".json"
#define ECS_OF_CLUSTER(describe, option, list, ids)                                                                    \
	"aws ecs " describe " --cluster CLUSTER " option " $(aws ecs " list " --cluster CLUSTER --query '" ids         \
	"' --output text) > " describe ".json"
const struct fl_kind fl_kinds[] = {
    {"Vpcs", FL_NOUN_VPC, &vpc_shape, .done = vpc_done, .command = EC2("describe-vpcs", "vpcs")},
    {"Subnets", FL_NOUN_SUBNET, &subnet_shape, .command = EC2("describe-subnets", "subnets")},
    {"NetworkInterfaces", FL_NOUN_ENI, &eni_shape, .done = eni_done,
     .command = EC2("describe-network-interfaces", "network-interfaces")},
    {"SecurityGroups", FL_NOUN_GROUP, &fl_group_shape, .done = fl_group_done,
     .command = EC2("describe-security-groups", "security-groups")},
    {"SecurityGroupRules", FL_NOUN_N, .item = fl_group_rule_item,
     .command = EC2("describe-security-group-rules", "security-group-rules")},
    {"NetworkAcls", FL_NOUN_ACL, &fl_acl_shape, .done = fl_acl_done,
     .command = EC2("describe-network-acls", "network-acls")},
    {"RouteTables", FL_NOUN_ROUTES, &fl_routes_shape, .done = fl_routes_done,
     .command = EC2("describe-route-tables", "route-tables")},
    {"Reservations", FL_NOUN_N, .item = reservation_item, .command = EC2("describe-instances", "instances")},
    {"NatGateways", FL_NOUN_NAT, &nat_shape, .done = nat_done, .command = EC2("describe-nat-gateways", "nat-gateways")},
    {"VpcEndpoints", FL_NOUN_ENDPOINT, &endpoint_shape, .done = endpoint_done,
     .command = EC2("describe-vpc-endpoints", "vpc-endpoints")},
    {"PrefixLists", FL_NOUN_LIST, &list_shape, .joins = true,
     .command = EC2("describe-managed-prefix-lists", "managed-prefix-lists")},
    {"Entries", FL_NOUN_N, .item = list_entry, .joins = true},
    {"VpcPeeringConnections", FL_NOUN_PEERING, &peering_shape, .done = peering_done,
     .command = EC2("describe-vpc-peering-connections", "vpc-peering-connections")},
    {"InternetGateways", FL_NOUN_GATEWAY, &gateway_shape, .done = gateway_done,
     .command = EC2("describe-internet-gateways", "internet-gateways")},
    {"EgressOnlyInternetGateways", FL_NOUN_GATEWAY, &gateway_shape, .done = gateway_done,
     .command = EC2("describe-egress-only-internet-gateways", "egress-only-internet-gateways")},
    {"VpnGateways", FL_NOUN_GATEWAY, &gateway_shape, .done = gateway_done,
     .command = EC2("describe-vpn-gateways", "vpn-gateways")},
    {"CarrierGateways", FL_NOUN_GATEWAY, &gateway_shape, .done = gateway_done,
     .command = EC2("describe-carrier-gateways", "carrier-gateways")},
    {"LocalGateways", FL_NOUN_GATEWAY, &gateway_shape, .done = gateway_done,
     .command = EC2("describe-local-gateways", "local-gateways")},
    {"TransitGatewayAttachments", FL_NOUN_TGW_ATTACHMENT, &tgw_shape, .done = tgw_done, .joins = true,
     .command = EC2("describe-transit-gateway-attachments", "transit-gateway-attachments")},
    {"TransitGatewayVpcAttachments", FL_NOUN_TGW_ATTACHMENT, &tgw_shape, .done = tgw_done, .joins = true,
     .command = EC2("describe-transit-gateway-vpc-attachments", "transit-gateway-vpc-attachments")},
    {"TransitGateways", FL_NOUN_N, .item = ignored_item}, /* its attachments say all that is needed */
    {"tasks", FL_NOUN_TASK, &task_shape, .done = task_done,
     .command = ECS_OF_CLUSTER("describe-tasks", "--tasks", "list-tasks", "taskArns[]")},
    {"services", FL_NOUN_N, .item = service_item,
     .command = ECS_OF_CLUSTER("describe-services", "--services", "list-services", "serviceArns[]")},
    {"containerInstances", FL_NOUN_N, .item = container_host_item,
     .command = ECS_OF_CLUSTER("describe-container-instances", "--container-instances", "list-container-instances",
			       "containerInstanceArns[]")},
    {"AutoScalingInstances", FL_NOUN_N, .item = auto_scaling_instance_item,
     .command = "aws autoscaling describe-auto-scaling-instances > auto-scaling-instances.json"},
    {"AutoScalingGroups", FL_NOUN_N, .item = asg_item,
     .command = "aws autoscaling describe-auto-scaling-groups > auto-scaling-groups.json"},
    {"AvailabilityZones", FL_NOUN_N, .item = zone_item,
     .command = EC2("describe-availability-zones --all-availability-zones", "availability-zones")},
    {"Tags", FL_NOUN_N, .item = loose_tag_item}, /* the nouns carry their own: asked for by nobody, read when there */
    {"prefixes", FL_NOUN_N, .item = fl_range_item,
     .command = "curl -fsSO https://ip-ranges.amazonaws.com/ip-ranges.json"},
    {"ipv6_prefixes", FL_NOUN_N, .item = fl_range_item},
    {"Bindings", FL_NOUN_N, .item = fl_binding_item},
};
const size_t fl_kinds_n = FL_ARRAY_LEN(fl_kinds);
_Static_assert(FL_ARRAY_LEN(fl_kinds) <= 32, "rows_seen and parts are bit masks");

/* ---- reading one ---- */

static const char *own_id(const struct fl_shape *s, const json_t *item)
{
	for (size_t i = 0; i < s->n; i++)
		if (s->member[i].kind == FL_MEMBER_STR && s->member[i].at == offsetof(struct fl_noun, id)) {
			const char *id = json_string_value(json_object_get(item, s->member[i].name));

			if (id)
				return id;
		}
	return NULL;
}

/* A string that was not given is "" (the face's promise). Members that are pointers to text, by noun. */
#define TEXT(kind, type, m)                                                                                            \
	{                                                                                                              \
		FL_NOUN_##kind, offsetof(struct type, m)                                                               \
	}
static const struct {
	enum fl_noun_kind kind;
	size_t at;
} texts[] = {
    TEXT(SUBNET, fl_subnet, vpc_id),
    TEXT(SUBNET, fl_subnet, az),
    TEXT(SUBNET, fl_subnet, az_id),
    TEXT(SUBNET, fl_subnet, region),
    TEXT(SUBNET, fl_subnet, outpost_arn),
    TEXT(SUBNET, fl_subnet, sublocation_type),
    TEXT(SUBNET, fl_subnet, sublocation_id),
    TEXT(ENI, fl_net_eni, vpc_id),
    TEXT(ENI, fl_net_eni, subnet_id),
    TEXT(ENI, fl_net_eni, az),
    TEXT(ENI, fl_net_eni, az_id),
    TEXT(ENI, fl_net_eni, region),
    TEXT(ENI, fl_net_eni, instance_id),
    TEXT(ENI, fl_net_eni, type),
    TEXT(ENI, fl_net_eni, record_type),
    TEXT(ENI, fl_net_eni, description),
    TEXT(ENI, fl_net_eni, nat_gateway_id),
    TEXT(ENI, fl_net_eni, attachment_id),
    TEXT(INSTANCE, fl_instance, state),
    TEXT(INSTANCE, fl_instance, asg),
    TEXT(NAT, fl_nat_gateway, state),
    TEXT(ENDPOINT, fl_endpoint, type),
    TEXT(ENDPOINT, fl_endpoint, service),
    TEXT(ENDPOINT, fl_endpoint, state),
    TEXT(PEERING, fl_peering, status),
    TEXT(GATEWAY, fl_gateway, vpc_id),
    TEXT(TGW_ATTACHMENT, fl_tgw_attachment, tgw_id),
    TEXT(TGW_ATTACHMENT, fl_tgw_attachment, resource_type),
    TEXT(TGW_ATTACHMENT, fl_tgw_attachment, resource_id),
    TEXT(TGW_ATTACHMENT, fl_tgw_attachment, state),
    TEXT(TASK, fl_task, cluster_arn),
    TEXT(TASK, fl_task, cluster_name),
    TEXT(TASK, fl_task, container_instance_arn),
    TEXT(TASK, fl_task, container_instance_id),
    TEXT(TASK, fl_task, instance_id),
    TEXT(TASK, fl_task, container_id),
    TEXT(TASK, fl_task, second_container_id),
    TEXT(TASK, fl_task, service_name),
    TEXT(TASK, fl_task, definition_arn),
    TEXT(TASK, fl_task, task_id),
};

static void fill_texts(enum fl_noun_kind kind, char *noun)
{
	struct fl_noun *n = (struct fl_noun *)noun;

	n->owner = n->owner ? n->owner : "";
	n->name = n->name ? n->name : "";
	for (size_t i = 0; i < FL_ARRAY_LEN(texts); i++)
		if (texts[i].kind == kind) {
			const char *s;

			memcpy(&s, noun + texts[i].at, sizeof s);
			s = s ? s : "";
			memcpy(noun + texts[i].at, &s, sizeof s);
		}
}

static void settle_noun(struct fl_reader *r, enum fl_noun_kind kind, struct fl_noun *n)
{
	const char *name = fl_tag_value(&n->tags, "Name");

	if (name && *name)
		n->name = name;
	if (n->owner && *n->owner && (strlen(n->owner) != 12 || n->owner[strspn(n->owner, "0123456789")])) {
		size_t mark = fl_path_member(r, "OwnerId");

		if (kind != FL_NOUN_LIST) /* AWS's own lists belong to "AWS" */
			fl_problem(r, false, "\"%.40s\" is not an account of 12 digits; left out", n->owner);
		fl_path_pop(r, mark);
		n->owner = NULL;
	}
}

union scratch { /* the noun under way, with what is only needed while it is read */
	struct vpc_read vpc;
	struct fl_subnet subnet;
	struct eni_read eni;
	struct fl_group_read group;
	struct fl_acl_read acl;
	struct fl_routes_read routes;
	struct fl_instance instance;
	struct nat_read nat;
	struct endpoint_read endpoint;
	struct list_read list;
	struct peering_read peering;
	struct fl_gateway gateway;
	struct tgw_read tgw;
	struct task_read task;
	struct fl_noun noun;
};

static void read_noun(struct fl_reader *r, const struct fl_kind *k, const struct fl_shape *shape,
		      enum fl_noun_kind kind, const json_t *item)
{
	union scratch s;
	const void *before = k->joins ? fl_network_by_id(r->net, kind, own_id(shape, item)) : NULL;

	memset(&s, 0, sizeof s);
	if (before)
		memcpy(&s, before, fl_noun_rows[kind].size);
	else if (kind == FL_NOUN_ENI) {
		s.eni.eni.device_index = UINT32_MAX;
		s.eni.eni.source_dest_check = true;
	}
	r->base = (char *)&s;
	r->base_size = sizeof s;
	r->item_pending = r->n_pending;
	s.noun.owner = s.noun.owner ? s.noun.owner : r->owner;
	fl_walk(r, item, shape, &s);
	settle_noun(r, kind, &s.noun);
	if (k->done)
		k->done(r, &s);
	fill_texts(kind, (char *)&s);
	fl_noun_store(r, kind, (unsigned)(k - fl_kinds), &s);
	r->base = NULL;
}

static void read_instance(struct fl_reader *r, const json_t *item, void *row)
{
	read_noun(r, row, &instance_shape, FL_NOUN_INSTANCE, item);
}

void fl_kind_read(struct fl_reader *r, unsigned row, const json_t *item)
{
	const struct fl_kind *k = &fl_kinds[row];

	if (k->item)
		k->item(r, item, (void *)k);
	else
		read_noun(r, k, k->shape, k->noun, item);
}
