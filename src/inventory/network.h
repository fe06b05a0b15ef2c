/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Second face of the stage "inventory": AWS's nouns, as the CLI's describe-* commands print them
 * (../shared/spec/inventory.md, api.md section 7). A network is immutable once read: a reload makes a new one,
 * and whoever holds the old one keeps it. All pointers into it live as long as it does.
 *
 * References that lead nowhere are NULL beside the id that was given, and are listed as problems; what is usable
 * is used.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "inventory/inventory.h"

struct fl_network;

struct fl_tag {
	const char *key, *value;
};
struct fl_tags {
	const struct fl_tag *tag;
	size_t n;
};
const char *fl_tag_value(const struct fl_tags *tags, const char *key); /* NULL: not tagged with it */

struct fl_cidrs {
	const struct fl_cidr *cidr;
	size_t n;
};

/* What every noun has. name: tag "Name", else the resource's own name, else "". */
struct fl_noun {
	const char *id, *name, *owner; /* owner "": not given */
	struct fl_tags tags;
	const char *file; /* where it was read, for messages */
};

/* Block Public Access, as a VPC or a subnet itself says it. What holds for an interface: fl_policy_bpa. */
struct fl_bpa_exclusion {
	struct fl_noun noun;
	const char *arn, *state;
	const char *resource_id; /* vpc-... or subnet-... */
	bool in_force;
	bool egress_only; /* lets out what block-bidirectional would stop; inwards nothing */
};
struct fl_bpa {
	bool said; /* a subnet that says nothing is as its VPC, a VPC that says nothing as its account */
	bool ingress, both;
	const struct fl_bpa_exclusion *exclusion; /* in force for this resource; NULL: none */
};

struct fl_vpc {
	struct fl_noun noun;
	struct fl_cidrs cidrs; /* IPv4 and IPv6, associated ones only */
	struct fl_bpa bpa;
	bool encryption_monitored, encryption_enforced;
};

#define FL_ACL_LAST 32767
struct fl_acl_rule {
	uint16_t number; /* FL_ACL_LAST and above: the final deny, which people know as "*" */
	bool allow;
	int16_t proto;                /* -1: all */
	uint16_t from, to;            /* TCP and UDP; 0..65535 when all */
	int16_t icmp_type, icmp_code; /* -1: all */
	struct fl_cidr cidr;
	bool v6;
};
struct fl_acl {
	struct fl_noun noun;
	const struct fl_vpc *vpc;
	bool is_default;
	struct {
		const struct fl_acl_rule *rule; /* ascending numbers */
		size_t n;
	} in, out;
};

enum fl_target { /* of a route */
		 FL_TARGET_LOCAL,
		 FL_TARGET_INTERNET_GATEWAY,
		 FL_TARGET_EGRESS_ONLY_GATEWAY,
		 FL_TARGET_NAT_GATEWAY,
		 FL_TARGET_VPN_GATEWAY,
		 FL_TARGET_PEERING,
		 FL_TARGET_TRANSIT_GATEWAY,
		 FL_TARGET_GATEWAY_ENDPOINT,       /* vpce-... in GatewayId, of type Gateway */
		 FL_TARGET_LOAD_BALANCER_ENDPOINT, /* vpce-... of type GatewayLoadBalancer */
		 FL_TARGET_INTERFACE,
		 FL_TARGET_CARRIER_GATEWAY,
		 FL_TARGET_LOCAL_GATEWAY,
		 FL_TARGET_CORE_NETWORK,
		 FL_TARGET_UNKNOWN,
		 FL_TARGET_N
};
extern const char *const fl_target_names[FL_TARGET_N]; /* for people: "internet gateway" */

struct fl_prefix_list {
	struct fl_noun noun;
	struct fl_cidrs cidrs;
	bool has_entries; /* false: get-managed-prefix-list-entries is missing */
};
struct fl_route {
	struct fl_cidr cidr; /* when list is NULL */
	bool v6;
	const struct fl_prefix_list *list;
	const char *list_id; /* "" when the destination is a CIDR */
	enum fl_target target;
	const char *target_id; /* as given; an instance's route names its interface beside */
	bool blackhole;
	bool propagated;
};
struct fl_route_table {
	struct fl_noun noun;
	const struct fl_vpc *vpc;
	bool main;
	const struct fl_route *route;
	size_t n;
};

struct fl_subnet {
	struct fl_noun noun;
	const struct fl_vpc *vpc;
	const char *vpc_id;
	const char *az, *az_id, *outpost_arn;          /* "" when not given */
	const char *region;                            /* of the zone, "" when not known */
	const char *sublocation_type, *sublocation_id; /* "wavelength", "localzone", "outpost", or "" */
	struct fl_cidrs cidrs;
	struct fl_bpa bpa;
	const struct fl_acl *acl;            /* associated, else the VPC's default; NULL: not known */
	const struct fl_route_table *routes; /* associated, else the VPC's main; NULL: not known */
};

struct fl_instance {
	struct fl_noun noun;
	const char *state;
	const char *asg; /* Auto Scaling group name, "" */
	struct fl_tags asg_tags;
};

struct fl_group;
enum fl_peer_kind { FL_PEER_CIDR, FL_PEER_GROUP, FL_PEER_LIST };
struct fl_group_rule {
	const char *id; /* sgr-..., "" when only describe-security-groups was given */
	const char *description;
	int16_t proto;                /* -1: all */
	uint16_t from, to;            /* TCP, UDP */
	int16_t icmp_type, icmp_code; /* -1: all; ICMP and ICMPv6 */
	enum fl_peer_kind peer;
	struct fl_cidr cidr;
	bool v6;                      /* of cidr */
	const char *peer_id;          /* sg-..., pl-..., or the CIDR as written */
	const struct fl_group *group; /* NULL: not in the inventory */
	const struct fl_prefix_list *list;
};
struct fl_group {
	struct fl_noun noun;
	const struct fl_vpc *vpc;
	struct {
		const struct fl_group_rule *rule;
		size_t n;
	} in, out;
	const struct fl_net_eni *const *member;
	size_t n_members;
};

struct fl_net_addr {
	struct fl_addr addr;
	bool v6;
	bool has_public;
	struct fl_addr public; /* its Elastic or public address */
};
struct fl_net_prefix { /* delegated prefix */
	struct fl_cidr cidr;
};
struct fl_task; /* ECS */
struct fl_net_eni {
	struct fl_noun noun; /* owner as in records */
	uint32_t index;      /* position among the interfaces of this network */
	const struct fl_vpc *vpc;
	const struct fl_subnet *subnet;
	const char *vpc_id, *subnet_id;
	const char *az, *az_id, *region; /* the subnet's when the interface does not say; "" */
	uint32_t device_index;           /* at its instance; UINT32_MAX: not attached */
	const char *instance_id;         /* "" when none; never of a requester-managed interface */
	const struct fl_instance *instance;
	const char *type;        /* the API's interfaceType, "" = interface */
	const char *record_type; /* the record's interface-type: "nat_gateway" ..., "" = "-" */
	const char *description;
	bool requester_managed, source_dest_check;
	bool has_mac;
	uint8_t mac[6];
	const struct fl_net_addr *addr; /* IPv4 first, the primary before all; then IPv6 */
	size_t n_addrs;
	struct fl_cidrs prefixes;
	const struct fl_group *const *group;
	size_t n_groups;
	bool unknown_group; /* it is in one more, which the inventory does not have */
	const struct fl_task *task;
	const char *nat_gateway_id;                 /* of a NAT gateway's interface, else "" */
	const char *attachment_id;                  /* of a transit gateway's interface, when known */
	const struct fl_tgw_attachment *attachment; /* the same; NULL: not in the inventory */
	const struct fl_nat_gateway *nat;           /* of nat_gateway_id; NULL likewise */
	const struct fl_route_table *routes; /* the subnet's; a regional NAT gateway has its own; NULL: not known */
	/* Not one of AWS's interfaces: what stands for a regional NAT gateway, or for a transit gateway attachment that
	 * has none (VPN, peering), so that a Linux interface can be bound to it. Its id is theirs. */
	bool is_port;
	uint32_t tcp_timeout_s, udp_timeout_s, udp_stream_timeout_s; /* connection tracking; AWS's defaults filled in */
};

struct fl_nat_gateway {
	struct fl_noun noun;
	const struct fl_vpc *vpc;
	const struct fl_subnet *subnet;
	bool regional, is_private;
	const char *state;
	const struct fl_net_eni *eni;        /* of the primary address; NULL for regional ones */
	const struct fl_net_eni *port;       /* of a regional one without an interface */
	const struct fl_route_table *routes; /* a regional one's own */
	const char *az;                      /* of an address of a regional one, "" */
	struct fl_net_addr primary;
	const struct fl_net_addr *addr; /* a regional one's public addresses */
	size_t n_addrs;
};
struct fl_endpoint {
	struct fl_noun noun;
	const struct fl_vpc *vpc;
	const char *type, *service, *state;
	const struct fl_net_eni *const *eni;
	size_t n_enis;
};
struct fl_peering {
	struct fl_noun noun;
	const char *status; /* "active" ... */
	const char *vpc_id[2], *region[2], *owner_of[2];
	struct fl_cidrs cidrs[2];
};
struct fl_gateway { /* internet, egress-only, VPN, carrier, local */
	struct fl_noun noun;
	enum fl_target kind;
	const char *vpc_id; /* attached to; "" when detached */
};
/* ---- transit gateways ---- */

struct fl_tgw {
	struct fl_noun noun;
	const char *state, *arn;
	const char *region; /* from the ARN; "" */
};
struct fl_tgw_route {
	struct fl_cidr cidr; /* when list is NULL */
	bool v6;
	const struct fl_prefix_list *list;
	const char *list_id;       /* "" when the destination is a CIDR */
	const char *attachment_id; /* "" of a blackhole */
	const struct fl_tgw_attachment *attachment;
	const char *resource_type, *resource_id; /* of the attachment, as the route says it */
	bool blackhole, propagated;
	uint8_t rank; /* among routes to the same network the lowest wins */
};
struct fl_tgw_table {
	struct fl_noun noun;
	const char *tgw_id, *state;
	const struct fl_tgw_route *route;
	size_t n;
	bool has_routes;                                    /* false: search-transit-gateway-routes is missing */
	const struct fl_tgw_attachment *const *propagation; /* whose networks become routes here */
	size_t n_propagations;
	bool has_propagations; /* false: get-transit-gateway-route-table-propagations is missing */
};
struct fl_tgw_attachment {
	struct fl_noun noun; /* owner: of the resource */
	const char *tgw_id, *tgw_owner, *resource_type, *resource_id, *state;
	const struct fl_tgw *tgw;
	const struct fl_vpc *vpc;
	const struct fl_subnet *const *subnet;
	size_t n_subnets;
	bool appliance_mode;
	const char *table_id; /* associated: where what comes in by this is looked up; "" */
	const struct fl_tgw_table *table;
	/* of a peering attachment: the gateway at its other end, and where that one looks up */
	const char *peer_tgw_id, *peer_region;
	const struct fl_tgw_table *peer_table;
	const struct fl_net_eni *const *eni; /* one a zone */
	size_t n_enis;
	const struct fl_net_eni *port; /* when it has no interface */
};
struct fl_vpn {
	struct fl_noun noun;
	const char *state, *gateway_id; /* tgw-... or vgw-... */
	size_t n_tunnels, n_up;
};
struct fl_task {
	struct fl_noun noun; /* id: the task's ARN */
	const char *cluster_arn, *cluster_name, *container_instance_arn, *container_instance_id;
	const char *instance_id; /* under the container instance; "" on Fargate */
	const char *container_id, *second_container_id, *service_name, *definition_arn, *task_id;
};

/* An attachment's port has the short form as interface id of its identity: struct fl_eni has no room for more. */
#define FL_ATTACHMENT_PREFIX "tgw-attach-"
#define FL_ATTACHMENT_SHORT "att-"

/* One row a kind of noun: FL_NOUN(enum, struct, accessor suffix, what people call it, id prefix). */
#define FL_NOUNS(FL_NOUN)                                                                                              \
	FL_NOUN(VPC, fl_vpc, vpcs, "VPC", "vpc-")                                                                      \
	FL_NOUN(SUBNET, fl_subnet, subnets, "subnet", "subnet-")                                                       \
	FL_NOUN(ENI, fl_net_eni, enis, "network interface", "eni-")                                                    \
	FL_NOUN(GROUP, fl_group, groups, "security group", "sg-")                                                      \
	FL_NOUN(ACL, fl_acl, acls, "network ACL", "acl-")                                                              \
	FL_NOUN(ROUTES, fl_route_table, route_tables, "route table", "rtb-")                                           \
	FL_NOUN(INSTANCE, fl_instance, instances, "instance", "i-")                                                    \
	FL_NOUN(NAT, fl_nat_gateway, nat_gateways, "NAT gateway", "nat-")                                              \
	FL_NOUN(ENDPOINT, fl_endpoint, endpoints, "VPC endpoint", "vpce-")                                             \
	FL_NOUN(LIST, fl_prefix_list, prefix_lists, "prefix list", "pl-")                                              \
	FL_NOUN(PEERING, fl_peering, peerings, "peering connection", "pcx-")                                           \
	FL_NOUN(GATEWAY, fl_gateway, gateways, "gateway", "")                                                          \
	FL_NOUN(TGW, fl_tgw, tgws, "transit gateway", "tgw-")                                                          \
	FL_NOUN(TGW_TABLE, fl_tgw_table, tgw_tables, "transit gateway route table", "tgw-rtb-")                        \
	FL_NOUN(TGW_ATTACHMENT, fl_tgw_attachment, tgw_attachments, "transit gateway attachment",                      \
		FL_ATTACHMENT_PREFIX)                                                                                  \
	FL_NOUN(VPN, fl_vpn, vpns, "VPN connection", "vpn-")                                                           \
	FL_NOUN(BPA_EXCLUSION, fl_bpa_exclusion, bpa_exclusions, "Block Public Access exclusion", "vpcbpa-exclude-")   \
	FL_NOUN(TASK, fl_task, tasks, "ECS task", "arn:")

/* const struct fl_vpc *fl_network_vpcs(net, &n), and so on: arrays in the order of the files. */
#define FL_NOUN(kind, type, suffix, people, prefix)                                                                    \
	const struct type *fl_network_##suffix(const struct fl_network *, size_t *ret_n);
FL_NOUNS(FL_NOUN)
#undef FL_NOUN
/* By id; NULL when there is none. One such function a noun would be a dozen: fl_network_find's says what it is.
 * Ports answer to the id of what they stand for, and to its short form. */
const struct fl_net_eni *fl_network_eni(const struct fl_network *, const char *id);
/* Interfaces have an index below this, ports included. */
size_t fl_network_index_end(const struct fl_network *);
const struct fl_noun *fl_network_find(const struct fl_network *, const char *id, const char **ret_people);

/*
 * What a person may call an interface: its id, its name, an instance (id or name), a private or public address.
 * 0 and *ret; -ENOENT; -ENOTUNIQ with the candidates in the sentence.
 */
int fl_network_lookup(const struct fl_network *, const char *what, const struct fl_net_eni **ret);
/* The interface that has this private address in this VPC (NULL: any), else NULL. Peered VPCs are the caller's. */
const struct fl_net_eni *fl_network_eni_at(const struct fl_network *, const struct fl_vpc *vpc,
					   const struct fl_addr *addr);
const struct fl_net_eni *fl_network_eni_by_mac(const struct fl_network *, const uint8_t mac[6]);
/* The most specific route for dst; among equals static before propagated. NULL: no route. */
const struct fl_route *fl_route_find(const struct fl_route_table *, const struct fl_addr *dst, bool v6);
/* The same in a transit gateway's table; among equals AWS's order: static, prefix list, VPC, Direct Connect, Connect,
 * VPN. */
const struct fl_tgw_route *fl_tgw_route_find(const struct fl_tgw_table *, const struct fl_addr *dst, bool v6);
/* The table where gateway tgw_id looks up what comes in by a; NULL: not known. */
const struct fl_tgw_table *fl_tgw_table_of(const struct fl_tgw_attachment *a, const char *tgw_id);
/* Its interface in the zone; else its only one, or its port; NULL: cannot be told. */
const struct fl_net_eni *fl_tgw_interface(const struct fl_tgw_attachment *a, const char *az, const char *az_id);

/* Is the address on the near side of a router's interface or port: in its VPC, else where its gateway's tables lead to
 * this attachment. */
bool fl_network_is_before(const struct fl_network *, const struct fl_net_eni *e, const struct fl_addr *a, bool v6);

/*
 * What a transit gateway does with a packet that one of its interfaces (or ports) sees: in by one attachment, looked up
 * in its table, out by another in the same zone. enters: at e the packet goes into the gateway, else it comes out.
 */
enum fl_tgw_fate { FL_TGW_NOT_KNOWN, FL_TGW_FORWARDED, FL_TGW_NO_ROUTE, FL_TGW_BLACKHOLE };
struct fl_tgw_way {
	enum fl_tgw_fate fate;
	const char *in_id, *out_id; /* "": none, or it cannot be told */
	const struct fl_tgw_attachment *in, *out;
	const struct fl_net_eni *in_eni, *out_eni; /* NULL: none, or it cannot be told */
};
void fl_tgw_find_way(const struct fl_network *, const struct fl_net_eni *e, bool enters, const struct fl_addr *src,
		     const struct fl_addr *dst, bool v6, struct fl_tgw_way *ret);

/* ---- reading ---- */

/* Something in the files that could not be used. Ordered by file and path. */
struct fl_problem {
	const char *file, *path; /* "security-groups.json", "SecurityGroups[3].IpPermissions[0].FromPort" */
	const char *text;        /* what was found, what was expected, what was done */
	bool fatal;              /* the noun was left out; false: it is used without this */
};
/*
 * Reads a directory of JSON files (any names: the top-level member says what a file holds; several files of a kind
 * and the CLI's pages are joined), or one file. A file over FL_NETWORK_FILE_MAX or nested too deep is a problem.
 * Negative only when nothing can be read at all.
 */
#define FL_NETWORK_FILE_MAX (1ull << 30)
int fl_network_read(struct fl_network **ret, const char *path);
/* The same with changes: a noun of over takes the place of path's with the same id (a group with its rules). */
int fl_network_read_over(struct fl_network **ret, const char *path, const char *over);
void fl_network_free(struct fl_network **net);
const struct fl_problem *fl_network_problems(const struct fl_network *, size_t *ret_n);
/* Describe calls whose answer is not there: what a complete import would have, one command line each. */
const char *const *fl_network_missing(const struct fl_network *, size_t *ret_n);
/* All of them, for somebody who has no inventory yet: the i-th, NULL behind the last. */
const char *fl_network_command(size_t i);
/* Those for each prefix list and each transit gateway route table: ids prints them, @ in command is one of them. */
enum { FL_EACH_LIST_ENTRIES, FL_EACH_TGW_ROUTES, FL_EACH_TGW_PROPAGATIONS, FL_EACH_TGW_REFERENCES, FL_EACH_N };
struct fl_each_command {
	const char *ids, *command;
};
extern const struct fl_each_command fl_network_each[FL_EACH_N];

/* ---- public address ranges (ip-ranges.json), read with the rest when the file is there ---- */

/* "S3", "EC2", ..., "AMAZON"; NULL: not in a published range. A more specific service beats AMAZON, then the
 * longest prefix (records.md 2.4: not documented, our reading). */
const char *fl_network_service(const struct fl_network *, const struct fl_addr *addr);
bool fl_network_has_ranges(const struct fl_network *);

/* ---- the Linux side: which interface is which ENI ---- */

/*
 * A row of bindings.json beside the inventory: {"Bindings": [{"NetworkInterfaceId", "Interface" | "MacAddress",
 * "NetNs", "End": "guest" | "host", "Enforced": bool}]}. A MAC address in the inventory binds by itself. Instead of
 * NetworkInterfaceId there may be TransitGatewayAttachmentId (its only interface, or the attachment itself when it has
 * none, as of a VPN or a peering) or NatGatewayId (of a regional one).
 */
struct fl_binding {
	const struct fl_net_eni *eni;
	const char *interface, *netns; /* "" when bound by MAC */
	bool has_mac;
	uint8_t mac[6];
	bool has_end;  /* the table says which end it is; else discovery's opinion stands */
	bool host_end; /* the metered end is the host's */
	bool enforced;
};
const struct fl_binding *fl_network_bindings(const struct fl_network *, size_t *ret_n);
/* Puts the inventory's identity over a discovered one. false: this interface is not in the inventory. */
bool fl_network_bind(const struct fl_network *, struct fl_eni *eni, const struct fl_net_eni **ret, bool *ret_enforced);
/* The identity that records carry (without device, name and kind, which are Linux's). */
void fl_network_identity(const struct fl_network *, const struct fl_net_eni *, struct fl_eni *ret);

/* ---- history: what was valid when ---- */

/*
 * An import is a directory STATE/inventory/20261124T112000Z with the files as they were given; it is valid from the
 * time in its name until the next one. It is made beside and renamed, so that a reader sees all of it or nothing.
 */
#define FL_INVENTORY_DIR "inventory"
struct fl_inventory_version {
	int64_t since; /* Unix seconds */
	char name[24]; /* of the directory */
};
/* Oldest first; malloc'd. A store without imports: 0 and *ret_n 0. */
int fl_inventory_history(const char *store, struct fl_inventory_version **ret, size_t *ret_n);
#define FL_INVENTORY_NOW INT64_MAX
/* Path of the import valid at that time. -ENOENT with a sentence: none yet, or none so early. */
int fl_inventory_at(const char *store, int64_t at, char *ret_path, size_t size);
/*
 * The import that was valid at a time, read when it is asked for and kept while the same one is. For readers and for
 * delivery: an object must be the same when it is written again.
 */
struct fl_network_times;
int fl_network_times_new(struct fl_network_times **ret, const char *store,
			 const char *dir /* may be NULL: no history */);
void fl_network_times_free(struct fl_network_times **t);
/* ctx: a struct fl_network_times. NULL: none, or it cannot be read. Valid until the next call. */
const struct fl_network *fl_network_times_at(void *ctx, int64_t at);
/* Reads dir when it is given, else the import valid at that time. */
int fl_inventory_open(const char *store, const char *dir, int64_t at, struct fl_network **ret);
/*
 * Copies the files of each path (directories and files) into the store as the import of that time and reads it. The
 * import is kept when anything in it is usable; else 0 with *ret set and ret_path empty. *ret is never NULL after 0.
 */
int fl_inventory_import(const char *store, char *const *paths, size_t n, int64_t now, struct fl_network **ret,
			char *ret_path, size_t size);
