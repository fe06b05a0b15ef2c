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

/* ---- VPCs ---- */

struct vpc_read {
	struct fl_vpc vpc; /* first: what is kept */
	const json_t *block_states, *encryption;
};
static void vpc_block(struct fl_reader *r, const json_t *item, void *into)
{
	fl_add_block(r, item, &((struct fl_vpc *)into)->cidrs);
}
static const struct fl_member vpc_members[] = {
    FL_M_ID("VpcId", fl_vpc),
    FL_M_OWNER(fl_vpc),
    FL_M_CIDR("CidrBlock", fl_vpc, cidrs),
    FL_M_EACH("CidrBlockAssociationSet", vpc_block),
    FL_M_EACH("Ipv6CidrBlockAssociationSet", vpc_block),
    FL_M_JSON("EncryptionControl", vpc_read, encryption),
    FL_M_JSON("BlockPublicAccessStates", vpc_read, block_states),
    FL_M_NOUN_TAGS(fl_vpc),
};
static const struct fl_shape vpc_shape =
    FL_SHAPE("a VPC", vpc_members, " InstanceTenancy IsDefault State DhcpOptionsId ");

static void vpc_done(struct fl_reader *r, void *noun)
{
	struct vpc_read *v = noun;

	v->vpc.bpa = fl_bpa_states(r, v->block_states);
	fl_encryption_of_vpc(r, v->encryption, &v->vpc);
}

/* ---- subnets ---- */

struct subnet_read {
	struct fl_subnet subnet;
	const json_t *block_states;
};
static void subnet_block(struct fl_reader *r, const json_t *item, void *into)
{
	fl_add_block(r, item, &((struct fl_subnet *)into)->cidrs);
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
    FL_M_JSON("BlockPublicAccessStates", subnet_read, block_states),
    FL_M_NOUN_TAGS(fl_subnet),
};
static const struct fl_shape subnet_shape = FL_SHAPE(
    "a subnet", subnet_members,
    " EnableLniAtDeviceIndex MapCustomerOwnedIpOnLaunch CustomerOwnedIpv4Pool AssignIpv6AddressOnCreation SubnetArn "
    "EnableDns64 Ipv6Native PrivateDnsNameOptionsOnLaunch Type State "
    "AvailableIpAddressCount DefaultForAz MapPublicIpOnLaunch ");

static void subnet_done(struct fl_reader *r, void *noun)
{
	struct subnet_read *s = noun;

	s->subnet.bpa = fl_bpa_states(r, s->block_states);
}

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
	size_t mark;

	if (!mac || !*mac)
		return;
	e->has_mac = fl_mac_parse(mac, e->mac);
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
	if (e->instance_id && !eni->requester_managed && !fl_is(e->attach_status, "detached")) {
		eni->instance_id = e->instance_id;
		eni->device_index = (uint32_t)e->device_index;
		fl_refer(r, &eni->instance, FL_NOUN_INSTANCE, e->instance_id);
	}
	eni->tcp_timeout_s = timeout_s(r, "TcpEstablishedTimeout", e->tcp_s, 432000, TCP_ESTABLISHED_S);
	eni->udp_timeout_s = timeout_s(r, "UdpTimeout", e->udp_s, 60, UDP_S);
	eni->udp_stream_timeout_s = timeout_s(r, "UdpStreamTimeout", e->udp_stream_s, 180, UDP_STREAM_S);
	for (size_t i = 0; i < FL_ARRAY_LEN(record_types); i++)
		if (fl_is(eni->type, record_types[i].api))
			eni->record_type = record_types[i].record;
	/* what AWS writes into the descriptions of interfaces it makes */
	id = fl_is(eni->record_type, "transit_gateway") && eni->description ? strstr(eni->description, "tgw-attach-")
									    : NULL;
	if (id)
		eni->attachment_id = fl_network_intern(r->net, id, strcspn(id, " "));
	id = fl_is(eni->record_type, "nat_gateway") && eni->description ? strstr(eni->description, "nat-") : NULL;
	if (id)
		eni->nat_gateway_id = fl_network_intern(r->net, id, strcspn(id, " "));
	eni->group =
	    (const struct fl_group *const *)fl_refer_list(r, "Groups", e->groups, FL_NOUN_GROUP, &eni->n_groups);
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

/* ---- the rows ---- */

#define EC2(call, file) "aws ec2 " call " > " file ".json"
#define ECS_OF_CLUSTER(describe, option, list, ids)                                                                    \
	"aws ecs " describe " --cluster CLUSTER " option " $(aws ecs " list " --cluster CLUSTER --query '" ids         \
	"' --output text) > " describe ".json"
const struct fl_kind fl_kinds[] = {
    {"Vpcs", FL_NOUN_VPC, &vpc_shape, .done = vpc_done, .command = EC2("describe-vpcs", "vpcs")},
    {"Subnets", FL_NOUN_SUBNET, &subnet_shape, .done = subnet_done, .command = EC2("describe-subnets", "subnets")},
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
    {"NatGateways", FL_NOUN_NAT, &fl_nat_shape, .done = fl_nat_done,
     .command = EC2("describe-nat-gateways", "nat-gateways")},
    {"VpcEndpoints", FL_NOUN_ENDPOINT, &fl_endpoint_shape, .done = fl_endpoint_done,
     .command = EC2("describe-vpc-endpoints", "vpc-endpoints")},
    {"PrefixLists", FL_NOUN_LIST, &fl_list_shape, .joins = true,
     .command = EC2("describe-managed-prefix-lists", "managed-prefix-lists")},
    {"Entries", FL_NOUN_N, .item = fl_list_entry, .joins = true},
    {"VpcPeeringConnections", FL_NOUN_PEERING, &fl_peering_shape, .done = fl_peering_done,
     .command = EC2("describe-vpc-peering-connections", "vpc-peering-connections")},
    {"InternetGateways", FL_NOUN_GATEWAY, &fl_gateway_shape, .done = fl_gateway_done,
     .command = EC2("describe-internet-gateways", "internet-gateways")},
    {"EgressOnlyInternetGateways", FL_NOUN_GATEWAY, &fl_gateway_shape, .done = fl_gateway_done,
     .command = EC2("describe-egress-only-internet-gateways", "egress-only-internet-gateways")},
    {"VpnGateways", FL_NOUN_GATEWAY, &fl_gateway_shape, .done = fl_gateway_done,
     .command = EC2("describe-vpn-gateways", "vpn-gateways")},
    {"CarrierGateways", FL_NOUN_GATEWAY, &fl_gateway_shape, .done = fl_gateway_done,
     .command = EC2("describe-carrier-gateways", "carrier-gateways")},
    {"LocalGateways", FL_NOUN_GATEWAY, &fl_gateway_shape, .done = fl_gateway_done,
     .command = EC2("describe-local-gateways", "local-gateways")},
    {"TransitGateways", FL_NOUN_TGW, &fl_tgw_shape, .done = fl_tgw_done,
     .command = EC2("describe-transit-gateways", "transit-gateways")},
    {"TransitGatewayAttachments", FL_NOUN_TGW_ATTACHMENT, &fl_tgw_attachment_shape, .done = fl_tgw_attachment_done,
     .joins = true, .command = EC2("describe-transit-gateway-attachments", "transit-gateway-attachments")},
    {"TransitGatewayVpcAttachments", FL_NOUN_TGW_ATTACHMENT, &fl_tgw_attachment_shape, .done = fl_tgw_attachment_done,
     .joins = true, .command = EC2("describe-transit-gateway-vpc-attachments", "transit-gateway-vpc-attachments")},
    {"TransitGatewayPeeringAttachments", FL_NOUN_TGW_ATTACHMENT, &fl_tgw_peering_shape, .done = fl_tgw_peering_done,
     .joins = true,
     .command = EC2("describe-transit-gateway-peering-attachments", "transit-gateway-peering-attachments")},
    {"TransitGatewayRouteTables", FL_NOUN_TGW_TABLE, &fl_tgw_table_shape,
     .command = EC2("describe-transit-gateway-route-tables", "transit-gateway-route-tables")},
    /* of a table each: the same commands for each of them, network_check.c */
    {"Routes", FL_NOUN_N, .item = fl_tgw_route_item, .begin = fl_tgw_routes_begin},
    {"TransitGatewayRouteTablePropagations", FL_NOUN_N, .item = fl_tgw_propagation_item,
     .begin = fl_tgw_propagations_begin},
    {"TransitGatewayPrefixListReferences", FL_NOUN_N, .item = fl_tgw_reference_item},
    {"Associations", FL_NOUN_N, .item = fl_tgw_association_item},
    /* not CustomerGatewayConfiguration and Options: they hold the tunnels' keys */
    {"VpnConnections", FL_NOUN_VPN, &fl_vpn_shape, .done = fl_vpn_done,
     .command = "aws ec2 describe-vpn-connections --query '{VpnConnections: VpnConnections[].{VpnConnectionId: "
		"VpnConnectionId, State: State, TransitGatewayId: TransitGatewayId, VpnGatewayId: VpnGatewayId, "
		"VgwTelemetry: VgwTelemetry, Tags: Tags}}' > vpn-connections.json"},
    {"VpcBlockPublicAccessOptions", FL_NOUN_N, .item = fl_bpa_options_item, .single = true,
     .command = EC2("describe-vpc-block-public-access-options", "vpc-block-public-access-options")},
    {"VpcBlockPublicAccessExclusions", FL_NOUN_BPA_EXCLUSION, &fl_bpa_exclusion_shape, .done = fl_bpa_exclusion_done,
     .command = EC2("describe-vpc-block-public-access-exclusions", "vpc-block-public-access-exclusions")},
    {"VpcEncryptionControls", FL_NOUN_N, .item = fl_encryption_item,
     .command = EC2("describe-vpc-encryption-controls", "vpc-encryption-controls")},
    {"tasks", FL_NOUN_TASK, &fl_task_shape, .done = fl_task_done,
     .command = ECS_OF_CLUSTER("describe-tasks", "--tasks", "list-tasks", "taskArns[]")},
    {"services", FL_NOUN_N, .item = fl_service_item,
     .command = ECS_OF_CLUSTER("describe-services", "--services", "list-services", "serviceArns[]")},
    {"containerInstances", FL_NOUN_N, .item = fl_container_host_item,
     .command = ECS_OF_CLUSTER("describe-container-instances", "--container-instances", "list-container-instances",
			       "containerInstanceArns[]")},
    {"AutoScalingInstances", FL_NOUN_N, .item = fl_auto_scaling_instance_item,
     .command = "aws autoscaling describe-auto-scaling-instances > auto-scaling-instances.json"},
    {"AutoScalingGroups", FL_NOUN_N, .item = fl_asg_item,
     .command = "aws autoscaling describe-auto-scaling-groups > auto-scaling-groups.json"},
    {"AvailabilityZones", FL_NOUN_N, .item = fl_zone_item,
     .command = EC2("describe-availability-zones --all-availability-zones", "availability-zones")},
    {"Tags", FL_NOUN_N,
     .item = fl_loose_tag_item}, /* the nouns carry their own: asked for by nobody, read when there */
    {"prefixes", FL_NOUN_N, .item = fl_range_item,
     .command = "curl -fsSO https://ip-ranges.amazonaws.com/ip-ranges.json"},
    {"ipv6_prefixes", FL_NOUN_N, .item = fl_range_item},
    {"Bindings", FL_NOUN_N, .item = fl_binding_item},
};
const size_t fl_kinds_n = FL_ARRAY_LEN(fl_kinds);
_Static_assert(FL_ARRAY_LEN(fl_kinds) <= 64, "rows_seen and parts are bit masks");

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
    TEXT(NAT, fl_nat_gateway, az),
    TEXT(TGW, fl_tgw, state),
    TEXT(TGW, fl_tgw, arn),
    TEXT(TGW, fl_tgw, region),
    TEXT(TGW_TABLE, fl_tgw_table, tgw_id),
    TEXT(TGW_TABLE, fl_tgw_table, state),
    TEXT(TGW_ATTACHMENT, fl_tgw_attachment, tgw_id),
    TEXT(TGW_ATTACHMENT, fl_tgw_attachment, tgw_owner),
    TEXT(TGW_ATTACHMENT, fl_tgw_attachment, table_id),
    TEXT(TGW_ATTACHMENT, fl_tgw_attachment, peer_tgw_id),
    TEXT(TGW_ATTACHMENT, fl_tgw_attachment, peer_region),
    TEXT(TGW_ATTACHMENT, fl_tgw_attachment, resource_type),
    TEXT(TGW_ATTACHMENT, fl_tgw_attachment, resource_id),
    TEXT(TGW_ATTACHMENT, fl_tgw_attachment, state),
    TEXT(VPN, fl_vpn, state),
    TEXT(VPN, fl_vpn, gateway_id),
    TEXT(BPA_EXCLUSION, fl_bpa_exclusion, arn),
    TEXT(BPA_EXCLUSION, fl_bpa_exclusion, state),
    TEXT(BPA_EXCLUSION, fl_bpa_exclusion, resource_id),
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
	struct subnet_read subnet;
	struct eni_read eni;
	struct fl_group_read group;
	struct fl_acl_read acl;
	struct fl_routes_read routes;
	struct fl_instance instance;
	struct fl_gateway gateway;
	struct fl_noun noun;
	char room[FL_READ_ROOM];
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
