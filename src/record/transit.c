/* SPDX-License-Identifier: Apache-2.0 */
#include "record/transit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "record/fields.h"

#define WAYS 1024     /* remembered ways of pairs of addresses */
#define MTU 8500      /* of a transit gateway, and of what is attached to it except VPNs (AWS's quotas) */
#define MTU_VPN 1500  /* the same */
#define PACKET_MIN 20 /* bytes: an IP header */
#define NUMBER_MAX 24 /* characters of a count */

enum row {
	ROW_TGW,
	ROW_ATTACHMENT,
	/* from here on by flow; SRC and DST alternate */
	ROW_SRC_ACCOUNT,
	ROW_DST_ACCOUNT,
	ROW_SRC_VPC,
	ROW_DST_VPC,
	ROW_SRC_SUBNET,
	ROW_DST_SUBNET,
	ROW_SRC_ENI,
	ROW_DST_ENI,
	ROW_SRC_AZ,
	ROW_DST_AZ,
	ROW_SRC_SERVICE,
	ROW_DST_SERVICE,
	ROW_PAIR,
	ROW_LOST_NO_ROUTE,
	ROW_LOST_BLACKHOLE,
	ROW_LOST_MTU,
	ROW_LOST_TTL,
	ROW_N
};
static const char *const fields[ROW_N] = {
    [ROW_TGW] = "tgw-id",
    [ROW_ATTACHMENT] = "tgw-attachment-id",
    [ROW_SRC_ACCOUNT] = "tgw-src-vpc-account-id",
    [ROW_DST_ACCOUNT] = "tgw-dst-vpc-account-id",
    [ROW_SRC_VPC] = "tgw-src-vpc-id",
    [ROW_DST_VPC] = "tgw-dst-vpc-id",
    [ROW_SRC_SUBNET] = "tgw-src-subnet-id",
    [ROW_DST_SUBNET] = "tgw-dst-subnet-id",
    [ROW_SRC_ENI] = "tgw-src-eni",
    [ROW_DST_ENI] = "tgw-dst-eni",
    [ROW_SRC_AZ] = "tgw-src-az-id",
    [ROW_DST_AZ] = "tgw-dst-az-id",
    [ROW_SRC_SERVICE] = "pkt-src-aws-service",
    [ROW_DST_SERVICE] = "pkt-dst-aws-service",
    [ROW_PAIR] = "tgw-pair-attachment-id",
    [ROW_LOST_NO_ROUTE] = "packets-lost-no-route",
    [ROW_LOST_BLACKHOLE] = "packets-lost-blackhole",
    [ROW_LOST_MTU] = "packets-lost-mtu-exceeded",
    [ROW_LOST_TTL] = "packets-lost-ttl-expired",
};

struct way {
	struct fl_addr src, dst;
	uint8_t dirfam;
	bool used;
	struct fl_tgw_way way;
	const char *service[2];
};

struct fl_transit {
	int16_t number[ROW_N]; /* of the field; -1: the format has it not */
	const struct fl_network *net;
	const struct fl_net_eni *eni;
	struct way way[WAYS];
	char lost[NUMBER_MAX];
};

struct fl_transit *fl_transit_new(const struct fl_format *format)
{
	struct fl_transit *t = calloc(1, sizeof *t);

	for (unsigned row = 0; t && row < ROW_N; row++) {
		t->number[row] = -1;
		for (size_t i = 0; i < fl_format_len(format); i++)
			if (fl_format_field(format, i) && !strcmp(fl_format_name(format, i), fields[row]))
				t->number[row] = (int16_t)fl_field_number(fl_format_field(format, i));
	}
	return t;
}

void fl_transit_free(struct fl_transit **t)
{
	free(*t);
	*t = NULL;
}

static void put(const struct fl_transit *t, struct fl_record_meta *meta, unsigned row, const char *s)
{
	if (t->number[row] >= 0)
		meta->text[t->number[row]] = (struct fl_str){s, strlen(s)};
}

#define PUT(to, from) snprintf(to, sizeof(to), "%.*s", (int)sizeof(to) - 1, from)

void fl_transit_set(struct fl_transit *t, const struct fl_network *net, const struct fl_net_eni *eni,
		    struct fl_eni *identity, struct fl_record_meta *constants)
{
	const struct fl_tgw_attachment *a = eni->attachment;
	const struct fl_tgw *tgw = a ? a->tgw : NULL;

	t->net = net;
	t->eni = eni;
	memset(t->way, 0, sizeof t->way);
	if (!a)
		return;
	put(t, constants, ROW_TGW, a->tgw_id);
	put(t, constants, ROW_ATTACHMENT, a->noun.id);
	/* account and region are the gateway's, not the interface's */
	PUT(identity->account_id, *a->tgw_owner ? a->tgw_owner : tgw ? tgw->noun.owner : "");
	if (tgw && *tgw->region)
		PUT(identity->region, tgw->region);
}

static const struct way *way_of(struct fl_transit *t, const struct fl_key *key)
{
	struct way *w = &t->way[fl_hash_bytes(&key->src, 2 * sizeof key->src, key->dirfam) % WAYS];
	uint8_t dirfam = key->dirfam & (FL_KEY_DIR | FL_KEY_V6);

	if (w->used && w->dirfam == dirfam && fl_addr_equal(&w->src, &key->src) && fl_addr_equal(&w->dst, &key->dst))
		return w;
	*w = (struct way){.src = key->src, .dst = key->dst, .dirfam = dirfam, .used = true};
	if (fl_key_dir(key) != FL_DIR_NONE)
		fl_tgw_find_way(t->net, t->eni, fl_key_dir(key) == FL_DIR_INGRESS, &key->src, &key->dst,
				key->dirfam & FL_KEY_V6, &w->way);
	else
		w->way.in_id = w->way.out_id = "";
	w->service[0] = fl_network_service(t->net, &key->src);
	w->service[1] = fl_network_service(t->net, &key->dst);
	return w;
}

/* records.md 5.4: the list for transit gateways is the older one. A range of a newer service is in AMAZON as well. */
static const char *service_text(const char *service)
{
	static const char *const newer[] = {"AURORA_DSQL", "CLOUDFRONT_ORIGIN_FACING", "IVS_LOW_LATENCY",
					    "IVS_REALTIME", "MEDIA_PACKAGE_V2"};

	for (size_t i = 0; service && i < FL_ARRAY_LEN(newer); i++)
		if (!strcmp(service, newer[i]))
			return "AMAZON";
	return service ? service : "";
}

/* Rows of one side: side 0 is where the flow comes from. */
static void put_side(const struct fl_transit *t, struct fl_record_meta *meta, unsigned side,
		     const struct fl_tgw_attachment *a, const struct fl_net_eni *e)
{
	bool vpc = a && !strcmp(a->resource_type, "vpc");
	/* traffic of a sublocation has no zone id where it comes from */
	bool hidden = e && !side && e->subnet && *e->subnet->sublocation_type;

	put(t, meta, ROW_SRC_ACCOUNT + side, vpc ? a->noun.owner : "");
	put(t, meta, ROW_SRC_VPC + side, vpc ? a->resource_id : "");
	put(t, meta, ROW_SRC_SUBNET + side, vpc && e ? e->subnet_id : "");
	put(t, meta, ROW_SRC_ENI + side, vpc && e && !e->is_port ? e->noun.id : "");
	put(t, meta, ROW_SRC_AZ + side, vpc && e && !hidden ? e->az_id : "");
}

/* Can no packet of the flow have been longer than what the way takes? Of a flow only the sum is known. */
static bool all_fit(const struct fl_flow_line *l, const struct fl_tgw_way *w)
{
	uint64_t limit = w->out && strcmp(w->out->resource_type, "vpn") != 0 ? MTU : MTU_VPN,
		 others = l->packets ? (l->packets - 1) * PACKET_MIN : 0;

	return l->bytes <= limit || (others < l->bytes && l->bytes - others <= limit);
}

/*
 * What left the gateway was not dropped by it; what has no route was, all of it. What was forwarded may have been
 * dropped for its size or time to live: those of single packets are not in a flow, so that "-" is all that can be said,
 * except where no packet can have been too long.
 */
static void put_lost(struct fl_transit *t, struct fl_record_meta *meta, const struct fl_flow_line *l,
		     const struct fl_tgw_way *w, bool leaves)
{
	const char *route = w->fate == FL_TGW_NOT_KNOWN ? "" : "0", *other = leaves || !*route ? route : "";
	bool dropped = w->fate == FL_TGW_NO_ROUTE || w->fate == FL_TGW_BLACKHOLE;

	snprintf(t->lost, sizeof t->lost, "%llu", (unsigned long long)l->packets);
	put(t, meta, ROW_LOST_NO_ROUTE, w->fate == FL_TGW_NO_ROUTE ? t->lost : route);
	put(t, meta, ROW_LOST_BLACKHOLE, w->fate == FL_TGW_BLACKHOLE ? t->lost : route);
	put(t, meta, ROW_LOST_MTU, dropped || (w->fate == FL_TGW_FORWARDED && all_fit(l, w)) ? "0" : other);
	put(t, meta, ROW_LOST_TTL, dropped ? "0" : other);
}

void fl_transit_flow(struct fl_transit *t, const struct fl_enrich_conf *conf, const struct fl_flow_line *l,
		     struct fl_record_meta *meta, struct fl_flow_line *logged)
{
	const struct way *w = way_of(t, l->key);
	const struct fl_tgw_way *way = &w->way;
	bool leaves = fl_key_dir(l->key) == FL_DIR_EGRESS;

	put_side(t, meta, 0, way->in, way->in_eni);
	put_side(t, meta, 1, way->out, way->out_eni);
	put(t, meta, ROW_SRC_SERVICE, service_text(w->service[0]));
	put(t, meta, ROW_DST_SERVICE, service_text(w->service[1]));
	put(t, meta, ROW_PAIR, leaves ? way->in_id : way->out_id);
	put_lost(t, meta, l, way, leaves);
	if (conf->lost_apart && (way->fate == FL_TGW_NO_ROUTE || way->fate == FL_TGW_BLACKHOLE))
		logged->packets = logged->bytes = 0;
}
