/* SPDX-License-Identifier: Apache-2.0 */
#include "record/enrich.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/hash.h"
#include "record/fields.h"
#include "record/transit.h"

#define TAG_VALUE_MAX 256 /* characters; three bytes each when percent-encoded */
#define HOPS 256          /* remembered ways to an address */

/* The way to (or from) an address: what traffic-path and the next-hop fields are made of. */
struct hop {
	struct fl_addr addr;
	bool used, v6, egress;
	const char *path; /* "" : none applies */
	const struct fl_net_eni *eni;
};

enum row {
	ROW_SUBLOCATION_TYPE,
	ROW_SUBLOCATION_ID,
	ROW_ECS_CLUSTER_ARN,
	ROW_ECS_CLUSTER_NAME,
	ROW_ECS_CONTAINER_INSTANCE_ARN,
	ROW_ECS_CONTAINER_INSTANCE_ID,
	ROW_ECS_CONTAINER_ID,
	ROW_ECS_SECOND_CONTAINER_ID,
	ROW_ECS_SERVICE_NAME,
	ROW_ECS_TASK_DEFINITION_ARN,
	ROW_ECS_TASK_ARN,
	ROW_ECS_TASK_ID,
	ROW_RESOURCE_ID,
	ROW_INSTANCE_TAG,
	ROW_INSTANCE_TAG_2,
	ROW_INTERFACE_TAG,
	ROW_INTERFACE_TAG_2,
	ROW_ASG_TAG,
	ROW_ASG_TAG_2,
	ROW_INTERFACE_TYPE,
	/* from here on by flow */
	ROW_REJECT_REASON,
	ROW_SRC_SERVICE,
	ROW_DST_SERVICE,
	ROW_TRAFFIC_PATH,
	ROW_NEXT_INTERFACE,
	ROW_NEXT_SUBNET,
	ROW_NEXT_AZ,
	ROW_NEXT_VPC,
	ROW_NEXT_TYPE,
	ROW_N
};

struct fl_enricher {
	struct fl_enrich_conf conf;
	int16_t number[ROW_N]; /* of the field; -1: the format has it not */
	bool by_flow;          /* the format has one of those */
	const struct fl_network *net;
	const struct fl_net_eni *eni;
	const struct fl_net_addr *primary;
	char tag[FL_TAG_FIELDS][3 * TAG_VALUE_MAX + 1];
	struct hop hop[HOPS];
	struct fl_record_meta meta;
	struct fl_transit *transit; /* of a transit gateway's flow log; its rows are not those above */
};

const struct fl_enrich_switch fl_enrich_switches[FL_ENRICH_SWITCH_N] = {
#define FL_SWITCH(member, option, help) {#member, option, help, offsetof(struct fl_enrich_conf, member)},
    FL_ENRICH_SWITCHES(FL_SWITCH)
#undef FL_SWITCH
};

const char *const fl_tag_fields[FL_TAG_FIELDS] = {"instance-tag",    "instance-tag-2", "interface-tag",
						  "interface-tag-2", "asg-tag",        "asg-tag-2"};

bool fl_enrich_get(const struct fl_enrich_conf *conf, size_t i)
{
	return *(const bool *)((const char *)conf + fl_enrich_switches[i].at);
}

void fl_enrich_put(struct fl_enrich_conf *conf, size_t i, bool on)
{
	*(bool *)((char *)conf + fl_enrich_switches[i].at) = on;
}

static const char *of_task(const struct fl_net_eni *e, size_t offset)
{
	return e->task ? *(const char *const *)((const char *)e->task + offset) : "";
}

/* ---- fields of the interface ---- */

#define TASK(member) .offset = offsetof(struct fl_task, member), .task = true
#define TAG(n) .tag = (n) + 1
static const struct field_source {
	const char *field;
	size_t offset; /* of a const char * in the task */
	bool task;
	uint8_t tag; /* 1 + index of the tag field */
} sources[ROW_N] = {
    [ROW_SUBLOCATION_TYPE] = {"sublocation-type"},
    [ROW_SUBLOCATION_ID] = {"sublocation-id"},
    [ROW_ECS_CLUSTER_ARN] = {"ecs-cluster-arn", TASK(cluster_arn)},
    [ROW_ECS_CLUSTER_NAME] = {"ecs-cluster-name", TASK(cluster_name)},
    [ROW_ECS_CONTAINER_INSTANCE_ARN] = {"ecs-container-instance-arn", TASK(container_instance_arn)},
    [ROW_ECS_CONTAINER_INSTANCE_ID] = {"ecs-container-instance-id", TASK(container_instance_id)},
    [ROW_ECS_CONTAINER_ID] = {"ecs-container-id", TASK(container_id)},
    [ROW_ECS_SECOND_CONTAINER_ID] = {"ecs-second-container-id", TASK(second_container_id)},
    [ROW_ECS_SERVICE_NAME] = {"ecs-service-name", TASK(service_name)},
    [ROW_ECS_TASK_DEFINITION_ARN] = {"ecs-task-definition-arn", TASK(definition_arn)},
    [ROW_ECS_TASK_ARN] = {"ecs-task-arn", TASK(noun.id)},
    [ROW_ECS_TASK_ID] = {"ecs-task-id", TASK(task_id)},
    [ROW_RESOURCE_ID] = {"resource-id"},
    [ROW_INSTANCE_TAG] = {"instance-tag", TAG(0)},
    [ROW_INSTANCE_TAG_2] = {"instance-tag-2", TAG(1)},
    [ROW_INTERFACE_TAG] = {"interface-tag", TAG(2)},
    [ROW_INTERFACE_TAG_2] = {"interface-tag-2", TAG(3)},
    [ROW_ASG_TAG] = {"asg-tag", TAG(4)},
    [ROW_ASG_TAG_2] = {"asg-tag-2", TAG(5)},
    [ROW_INTERFACE_TYPE] = {"interface-type"},
    [ROW_REJECT_REASON] = {"reject-reason"},
    [ROW_SRC_SERVICE] = {"pkt-src-aws-service"},
    [ROW_DST_SERVICE] = {"pkt-dst-aws-service"},
    [ROW_TRAFFIC_PATH] = {"traffic-path"},
    [ROW_NEXT_INTERFACE] = {"next-hop-interface-id"},
    [ROW_NEXT_SUBNET] = {"next-hop-subnet-id"},
    [ROW_NEXT_AZ] = {"next-hop-az-id"},
    [ROW_NEXT_VPC] = {"next-hop-vpc-id"},
    [ROW_NEXT_TYPE] = {"next-hop-interface-type"},
};

/* Everything but RFC 3986's unreserved characters (records.md 2.3: which ones AWS leaves bare is not documented). */
static const char *percent_encode(const char *s, char *ret)
{
	static const char hex[] = "0123456789ABCDEF";
	static const char bare[] = "-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
	char *p = ret;

	for (size_t i = 0; s[i] && i < TAG_VALUE_MAX; i++) {
		unsigned char c = (unsigned char)s[i];

		if (strchr(bare, c)) {
			*p++ = (char)c;
			continue;
		}
		*p++ = '%';
		*p++ = hex[c >> 4];
		*p++ = hex[c & 15];
	}
	*p = '\0';
	return ret;
}

static bool is_regional(const struct fl_net_eni *eni)
{
	return !strcmp(eni->record_type, "regional_nat_gateway");
}

static bool same_owner(const struct fl_net_eni *eni, const char *owner)
{
	return !*owner || !*eni->noun.owner || !strcmp(owner, eni->noun.owner);
}

/* Tags of a resource somebody else owns are not shown, nor those of an Auto Scaling group named "-". */
static const char *tag_text(struct fl_enricher *x, const struct fl_net_eni *eni, unsigned tag)
{
	const char *key = x->conf.tag_key[tag], *value = NULL;
	const struct fl_instance *i = eni->instance;

	if (!key)
		return "";
	if (tag / 2 == 0 && i && same_owner(eni, i->noun.owner))
		value = fl_tag_value(&i->noun.tags, key);
	else if (tag / 2 == 1)
		value = fl_tag_value(&eni->noun.tags, key);
	else if (tag / 2 == 2 && i && same_owner(eni, i->noun.owner) && strcmp(i->asg, "-") != 0)
		value = fl_tag_value(&i->asg_tags, key);
	return value ? percent_encode(value, x->tag[tag]) : "";
}

static const char *eni_text(struct fl_enricher *x, const struct fl_net_eni *eni, enum row row)
{
	const struct field_source *s = &sources[row];

	if (s->tag)
		return tag_text(x, eni, s->tag - 1u);
	if (s->task)
		return same_owner(eni, eni->task ? eni->task->noun.owner : "") ? of_task(eni, s->offset) : "";
	switch (row) {
	case ROW_SUBLOCATION_TYPE:
		return eni->subnet ? eni->subnet->sublocation_type : "";
	case ROW_SUBLOCATION_ID:
		return eni->subnet ? eni->subnet->sublocation_id : "";
	case ROW_RESOURCE_ID:
		return is_regional(eni) ? eni->nat_gateway_id : "";
	case ROW_INTERFACE_TYPE:
		return eni->record_type;
	default:
		return "";
	}
}

/* ---- the way to an address ---- */

#define FIND_BY_ID(array, n, wanted)                                                                                   \
	({                                                                                                             \
		__typeof__(&(array)[0]) fl_found_ = NULL;                                                              \
		for (size_t fl_i_ = 0; !fl_found_ && fl_i_ < (n); fl_i_++)                                             \
			if (!strcmp((array)[fl_i_].noun.id, (wanted)))                                                 \
				fl_found_ = &(array)[fl_i_];                                                           \
		fl_found_;                                                                                             \
	})

static void over_peering(const struct fl_enricher *x, const char *id, struct hop *h)
{
	size_t n, n_vpcs;
	const struct fl_peering *all = fl_network_peerings(x->net, &n), *p = FIND_BY_ID(all, n, id);
	const struct fl_vpc *vpcs = fl_network_vpcs(x->net, &n_vpcs), *far;
	unsigned other;

	if (!p)
		return;
	other = strcmp(p->vpc_id[0], x->eni->vpc_id) == 0;
	if (strcmp(p->region[0], p->region[1]) != 0) {
		h->path = "5";
		return; /* the next hop is not shown across regions */
	}
	h->path = "4";
	far = FIND_BY_ID(vpcs, n_vpcs, p->vpc_id[other]);
	if (far)
		h->eni = fl_network_eni_at(x->net, far, &h->addr);
}

/* The transit gateway's interface in this VPC: that of our zone, else any. */
static const struct fl_net_eni *tgw_interface(const struct fl_enricher *x)
{
	size_t n;
	const struct fl_net_eni *e = fl_network_enis(x->net, &n), *any = NULL;

	for (size_t i = 0; i < n; i++) {
		if (strcmp(e[i].record_type, "transit_gateway") != 0 || e[i].vpc != x->eni->vpc)
			continue;
		if (e[i].subnet && x->eni->subnet && !strcmp(e[i].subnet->az, x->eni->subnet->az))
			return &e[i];
		any = any ? any : &e[i];
	}
	return any;
}

/* The endpoint's interface of our zone, else the first. */
static const struct fl_net_eni *endpoint_interface(const struct fl_enricher *x, const char *id)
{
	size_t n;
	const struct fl_endpoint *all = fl_network_endpoints(x->net, &n), *p = FIND_BY_ID(all, n, id);

	for (size_t i = 0; p && i < p->n_enis; i++)
		if (p->eni[i]->subnet && x->eni->subnet && !strcmp(p->eni[i]->subnet->az, x->eni->subnet->az))
			return p->eni[i];
	return p && p->n_enis ? p->eni[0] : NULL;
}

/* records.md table row 29 and section 2.3 */
static void follow(const struct fl_enricher *x, const struct fl_route *r, struct hop *h)
{
	const char *const internet = x->conf.generic_path ? "2" : "8", *const endpoint =
									   x->conf.generic_path ? "2" : "7";
	size_t n;

	switch (r->target) {
	case FL_TARGET_LOCAL:
		h->path = "1";
		h->eni = fl_network_eni_at(x->net, x->eni->vpc, &h->addr);
		break;
	case FL_TARGET_INTERNET_GATEWAY:
	case FL_TARGET_EGRESS_ONLY_GATEWAY:
		h->path = internet;
		break;
	case FL_TARGET_NAT_GATEWAY: {
		const struct fl_nat_gateway *all = fl_network_nat_gateways(x->net, &n),
					    *nat = FIND_BY_ID(all, n, r->target_id);

		h->path = "1";
		h->eni = nat ? nat->eni : NULL;
		break;
	}
	case FL_TARGET_VPN_GATEWAY:
		h->path = "3";
		break;
	case FL_TARGET_PEERING:
		over_peering(x, r->target_id, h);
		break;
	case FL_TARGET_TRANSIT_GATEWAY:
		h->path = "1";
		/* what a transit gateway sent in has no next hop */
		h->eni = h->egress ? tgw_interface(x) : NULL;
		break;
	case FL_TARGET_GATEWAY_ENDPOINT:
		h->path = endpoint;
		break;
	case FL_TARGET_LOAD_BALANCER_ENDPOINT:
		h->path = "1";
		h->eni = endpoint_interface(x, r->target_id);
		break;
	case FL_TARGET_INTERFACE:
		h->path = "1";
		h->eni = fl_network_eni(x->net, r->target_id);
		break;
	case FL_TARGET_CARRIER_GATEWAY:
		h->path = "6";
		break;
	case FL_TARGET_LOCAL_GATEWAY:
		h->path = "1";
		break;
	default:
		break;
	}
	if (h->eni && !h->egress && !strcmp(h->eni->record_type, "network_load_balancer"))
		h->eni = NULL;
}

static const struct hop *hop_to(struct fl_enricher *x, const struct fl_addr *addr, bool v6, bool egress)
{
	struct hop *h = &x->hop[fl_hash_bytes(addr, sizeof *addr, egress) % HOPS];
	const struct fl_route_table *routes = x->eni->routes;
	const struct fl_route *r;

	if (h->used && h->egress == egress && h->v6 == v6 && fl_addr_equal(&h->addr, addr))
		return h;
	*h = (struct hop){.addr = *addr, .used = true, .v6 = v6, .egress = egress, .path = ""};
	r = routes ? fl_route_find(routes, addr, v6) : NULL;
	if (r && !r->blackhole)
		follow(x, r, h);
	return h;
}

/* ---- one flow ---- */

static const char *const reasons[FL_REASON_N] = {"", "BPA", "EC"};

static void put(struct fl_enricher *x, enum row row, const char *s)
{
	if (x->number[row] >= 0)
		x->meta.text[x->number[row]] = (struct fl_str){s, s ? strlen(s) : 0};
}

static void put_hop(struct fl_enricher *x, const struct hop *h)
{
	const struct fl_net_eni *e = h->eni, *shown = e && same_owner(x->eni, e->noun.owner) ? e : NULL;

	put(x, ROW_TRAFFIC_PATH, h->egress ? h->path : "");
	put(x, ROW_NEXT_INTERFACE, shown ? shown->noun.id : "");
	put(x, ROW_NEXT_SUBNET, shown ? shown->subnet_id : "");
	put(x, ROW_NEXT_AZ, e && e->subnet ? e->subnet->az_id : "");
	put(x, ROW_NEXT_VPC, shown ? shown->vpc_id : "");
	put(x, ROW_NEXT_TYPE, shown ? shown->record_type : "");
}

static bool is_own(const struct fl_net_eni *e, const struct fl_addr *a)
{
	for (size_t i = 0; i < e->n_addrs; i++)
		if (fl_addr_equal(&e->addr[i].addr, a))
			return true;
	return false;
}

/* The interface's side of an IPv4 flow shows the primary private address (records.md 2.2). */
static void rewrite(const struct fl_enricher *x, struct fl_key *key, enum fl_dir dir)
{
	struct fl_addr *own = dir == FL_DIR_EGRESS ? &key->src : &key->dst;

	if (!x->primary || key->dirfam & FL_KEY_V6 || dir == FL_DIR_NONE || is_regional(x->eni))
		return;
	if (dir == FL_DIR_EGRESS && x->conf.keep_secondary && is_own(x->eni, own))
		return;
	*own = x->primary->addr;
}

int fl_enrich_line(struct fl_enricher *x, struct fl_encoder *e, const struct fl_flow_line *l, struct fl_buf *out)
{
	enum fl_dir dir = fl_key_dir(l->key);
	struct fl_key key = *l->key;
	struct fl_flow_line logged = *l;
	bool v6 = key.dirfam & FL_KEY_V6;

	x->meta.pkt_src = l->pkt_src ? l->pkt_src : &l->key->src;
	x->meta.pkt_dst = l->pkt_dst ? l->pkt_dst : &l->key->dst;
	if (!x->eni && !l->pkt_src && !l->pkt_dst && !l->reason)
		return fl_encode_line(e, l, out);
	x->meta.no_bytes = l->reason == FL_REASON_BPA;
	put(x, ROW_REJECT_REASON, reasons[l->reason < FL_REASON_N ? l->reason : FL_REASON_NONE]);
	if (!x->eni) {
		struct fl_record_meta meta = {
		    .pkt_src = l->pkt_src, .pkt_dst = l->pkt_dst, .no_bytes = x->meta.no_bytes};

		if (x->number[ROW_REJECT_REASON] >= 0)
			meta.text[x->number[ROW_REJECT_REASON]] = x->meta.text[x->number[ROW_REJECT_REASON]];
		return fl_encode_line_meta(e, l, &meta, out);
	}
	if (x->transit) {
		fl_transit_flow(x->transit, &x->conf, l, &x->meta, &logged);
		return fl_encode_line_meta(e, &logged, &x->meta, out);
	}
	rewrite(x, &key, dir);
	logged.key = &key;
	if (x->by_flow) {
		put(x, ROW_SRC_SERVICE, fl_network_service(x->net, x->meta.pkt_src));
		put(x, ROW_DST_SERVICE, fl_network_service(x->net, x->meta.pkt_dst));
		if (dir != FL_DIR_NONE)
			put_hop(
			    x, hop_to(x, dir == FL_DIR_EGRESS ? &l->key->dst : &l->key->src, v6, dir == FL_DIR_EGRESS));
		else
			put_hop(x, &(struct hop){.path = ""});
	}
	return fl_encode_line_meta(e, &logged, &x->meta, out);
}

/* A container is both the instance and what the interface belongs to; it is in no Auto Scaling group. */
static const char *label_text(struct fl_enricher *x, const struct fl_labels *labels, unsigned tag)
{
	const char *key = x->conf.tag_key[tag], *value = key && tag / 2 < 2 ? fl_label_value(labels, key) : NULL;

	return value ? percent_encode(value, x->tag[tag]) : "";
}

static int set_labels(struct fl_enricher *x, struct fl_encoder *e, const struct fl_eni *eni,
		      const struct fl_labels *labels)
{
	struct fl_record_meta constant = {0};

	for (unsigned row = 0; row < ROW_REJECT_REASON; row++) {
		const char *s =
		    x->number[row] >= 0 && sources[row].tag ? label_text(x, labels, sources[row].tag - 1u) : "";

		if (*s)
			constant.text[x->number[row]] = (struct fl_str){s, strlen(s)};
	}
	return fl_encoder_set_constants(e, eni, &constant);
}

int fl_enricher_set(struct fl_enricher *x, struct fl_encoder *e, const struct fl_eni *eni, const struct fl_network *net,
		    const struct fl_net_eni *net_eni, const struct fl_labels *labels)
{
	struct fl_record_meta constants = {0};

	struct fl_eni identity;

	x->net = net;
	x->eni = net_eni;
	x->primary = NULL;
	if (!net_eni)
		return labels && labels->n ? set_labels(x, e, eni, labels) : fl_encoder_set_eni(e, eni);
	identity = *eni;
	if (x->transit) {
		fl_transit_set(x->transit, net, net_eni, &identity, &constants);
		return fl_encoder_set_constants(e, &identity, &constants);
	}
	/* what has no interface of its own: its records name none (records.md 2, fields 3, 16 and 17) */
	if (net_eni->is_port || is_regional(net_eni))
		*identity.interface_id = *identity.subnet_id = *identity.instance_id = '\0';
	memset(x->hop, 0, sizeof x->hop);
	for (size_t i = 0; !x->primary && i < net_eni->n_addrs; i++)
		if (!net_eni->addr[i].v6)
			x->primary = &net_eni->addr[i];
	for (unsigned row = 0; row < ROW_REJECT_REASON; row++) {
		const char *s = x->number[row] < 0 ? "" : eni_text(x, net_eni, (enum row)row);

		if (*s)
			constants.text[x->number[row]] = (struct fl_str){s, strlen(s)};
	}
	return fl_encoder_set_constants(e, &identity, &constants);
}

bool fl_enricher_covers(const struct fl_enricher *x)
{
	return !x->transit || (x->eni && x->eni->attachment);
}

void fl_enricher_free(struct fl_enricher **x)
{
	if (*x)
		fl_transit_free(&(*x)->transit);
	free(*x);
	*x = NULL;
}

int fl_enricher_new(struct fl_enricher **ret, const struct fl_format *format, const struct fl_enrich_conf *conf)
{
	FL_CLEANUP(fl_enricher_free) struct fl_enricher *x = calloc(1, sizeof *x);
	bool vpc = fl_format_kind(format) == FL_LOG_VPC;

	if (!x)
		return -ENOMEM;
	x->conf = *conf;
	x->transit = vpc ? NULL : fl_transit_new(format);
	if (!vpc && !x->transit)
		return -ENOMEM;
	for (unsigned row = 0; row < ROW_N; row++) {
		const char *name = sources[row].field;

		x->number[row] = -1;
		for (size_t i = 0; vpc && i < fl_format_len(format); i++)
			if (fl_format_field(format, i) && !strcmp(fl_format_name(format, i), name))
				x->number[row] = (int16_t)fl_field_number(fl_format_field(format, i));
		x->by_flow |= row > ROW_REJECT_REASON && x->number[row] >= 0;
	}
	*ret = x;
	x = NULL;
	return 0;
}
