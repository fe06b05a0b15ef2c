/* SPDX-License-Identifier: Apache-2.0 */
/* Transit gateways as the describe, get and search calls print them: tables, their routes, what is attached to what. */
#include <stddef.h>
#include <string.h>

#include "inventory/network_build.h"

/* ---- gateways ---- */

static const struct fl_member tgw_members[] = {
    FL_M_ID("TransitGatewayId", fl_tgw), FL_M_OWNER(fl_tgw),     FL_M_STR("TransitGatewayArn", fl_tgw, arn),
    FL_M_STR("State", fl_tgw, state),    FL_M_NOUN_TAGS(fl_tgw),
};
const struct fl_shape fl_tgw_shape =
    FL_SHAPE("a transit gateway", tgw_members, " Description CreationTime Options EncryptionSupport ");

/* arn:aws:ec2:us-east-1:111122223333:transit-gateway/tgw-... */
void fl_tgw_done(struct fl_reader *r, void *noun)
{
	struct fl_tgw *t = noun;
	const char *p = t->arn;

	for (unsigned i = 0; p && i < 3; i++) {
		p = strchr(p, ':');
		p = p ? p + 1 : NULL;
	}
	t->region = p ? fl_network_intern(r->net, p, strcspn(p, ":")) : "";
}

/* ---- attachments ---- */

struct attachment_read {
	struct fl_tgw_attachment attachment;
	const json_t *subnets;
	const char *table_id, *table_state, *appliance;
};
static const struct fl_member association_members[] = {
    FL_M_STR("TransitGatewayRouteTableId", attachment_read, table_id),
    FL_M_STR("State", attachment_read, table_state),
};
static const struct fl_shape association =
    FL_SHAPE("an attachment's association", association_members, " TransitGatewayPolicyTableId ");
static const struct fl_member option_members[] = {FL_M_STR("ApplianceModeSupport", attachment_read, appliance)};
static const struct fl_shape attachment_options =
    FL_SHAPE("an attachment's options", option_members, " DnsSupport SecurityGroupReferencingSupport Ipv6Support ");
static const struct fl_member attachment_members[] = {
    FL_M_ID("TransitGatewayAttachmentId", fl_tgw_attachment),
    FL_M_REF("TransitGatewayId", fl_tgw_attachment, tgw_id, tgw, FL_NOUN_TGW),
    FL_M_STR("TransitGatewayOwnerId", fl_tgw_attachment, tgw_owner),
    FL_M_STR("ResourceOwnerId", fl_tgw_attachment, noun.owner),
    FL_M_STR("VpcOwnerId", fl_tgw_attachment, noun.owner),
    FL_M_STR("ResourceType", fl_tgw_attachment, resource_type),
    FL_M_STR("ResourceId", fl_tgw_attachment, resource_id),
    FL_M_STR("VpcId", fl_tgw_attachment, resource_id),
    FL_M_STR("State", fl_tgw_attachment, state),
    FL_M_JSON("SubnetIds", attachment_read, subnets),
    FL_M_OBJECT("Association", association),
    FL_M_OBJECT("Options", attachment_options),
    FL_M_NOUN_TAGS(fl_tgw_attachment),
};
const struct fl_shape fl_tgw_attachment_shape =
    FL_SHAPE("a transit gateway attachment", attachment_members, " CreationTime ");

static bool is_in_force(const char *state, const char *done, const char *doing)
{
	return !state || fl_is(state, done) || fl_is(state, doing);
}

static void associate(struct fl_reader *r, const char *attachment, const char *table, const char *state)
{
	if (table && *table && is_in_force(state, "associated", "associating"))
		fl_side_add(r, FL_SIDE_TGW_TABLE, attachment, table, (struct fl_tag){0}, NULL);
}

void fl_tgw_attachment_done(struct fl_reader *r, void *noun)
{
	struct attachment_read *t = noun;
	struct fl_tgw_attachment *a = &t->attachment;

	if (t->subnets) {
		a->resource_type = "vpc";
		a->subnet = (const struct fl_subnet *const *)fl_refer_list(r, "SubnetIds", t->subnets, FL_NOUN_SUBNET,
									   &a->n_subnets);
	}
	if (t->appliance)
		a->appliance_mode = fl_is(t->appliance, "enable");
	if (fl_is(a->resource_type, "vpc"))
		fl_refer(r, &a->vpc, FL_NOUN_VPC, a->resource_id);
	associate(r, a->noun.id, t->table_id, t->table_state);
}
_Static_assert(sizeof(struct attachment_read) <= FL_READ_ROOM, "room for what is only needed while it is read");

struct peering_end {
	const char *tgw_id, *region, *owner;
};
struct peering_read {
	struct fl_tgw_attachment attachment;
	const json_t *end[2];
	const char *state;
};
static const struct fl_member end_members[] = {
    FL_M_STR("TransitGatewayId", peering_end, tgw_id),
    FL_M_STR("Region", peering_end, region),
    FL_M_STR("OwnerId", peering_end, owner),
};
static const struct fl_shape end_shape = FL_SHAPE("an end of a peering attachment", end_members, " CoreNetworkId ");
static const struct fl_member peering_members[] = {
    FL_M_ID("TransitGatewayAttachmentId", fl_tgw_attachment),
    FL_M_JSON("RequesterTgwInfo", peering_read, end[0]),
    FL_M_JSON("AccepterTgwInfo", peering_read, end[1]),
    FL_M_STR("State", peering_read, state),
    FL_M_NOUN_TAGS(fl_tgw_attachment),
};
const struct fl_shape fl_tgw_peering_shape =
    FL_SHAPE("a transit gateway peering attachment", peering_members,
	     " AccepterTransitGatewayAttachmentId Options Status CreationTime ");

void fl_tgw_peering_done(struct fl_reader *r, void *noun)
{
	static const char *const names[2] = {"RequesterTgwInfo", "AccepterTgwInfo"};
	struct peering_read *p = noun;
	struct fl_tgw_attachment *a = &p->attachment;
	struct peering_end end[2] = {{"", "", ""}, {"", "", ""}};

	for (size_t i = 0; i < 2; i++) {
		size_t mark = fl_path_member(r, names[i]);

		if (p->end[i])
			fl_walk(r, p->end[i], &end_shape, &end[i]);
		if (!*end[i].tgw_id)
			fl_problem(r, false, "no TransitGatewayId; what goes to that end is not known");
		fl_path_pop(r, mark);
	}
	a->resource_type = "peering";
	a->state = p->state ? p->state : a->state;
	a->tgw_id = end[0].tgw_id;
	a->tgw_owner = end[0].owner;
	a->peer_tgw_id = a->resource_id = end[1].tgw_id;
	a->peer_region = end[1].region;
	fl_refer(r, &a->tgw, FL_NOUN_TGW, a->tgw_id);
}
_Static_assert(sizeof(struct peering_read) <= FL_READ_ROOM, "room for what is only needed while it is read");

/* ---- route tables ---- */

static const struct fl_member table_members[] = {
    FL_M_ID("TransitGatewayRouteTableId", fl_tgw_table),
    FL_M_STR("TransitGatewayId", fl_tgw_table, tgw_id),
    FL_M_STR("State", fl_tgw_table, state),
    FL_M_NOUN_TAGS(fl_tgw_table),
};
const struct fl_shape fl_tgw_table_shape =
    FL_SHAPE("a transit gateway route table", table_members,
	     " DefaultAssociationRouteTable DefaultPropagationRouteTable CreationTime ");

/* "Route evaluation order" of AWS's page "How AWS Transit Gateway works". */
static uint8_t rank_of(const char *resource_type, bool propagated, bool of_list)
{
	static const char *const order[] = {"vpc", "direct-connect-gateway", "connect", "vpn"};
	uint8_t rank = 2;

	if (!propagated)
		return of_list ? 1 : 0;
	for (size_t i = 0; i < FL_ARRAY_LEN(order) && !fl_is(resource_type, order[i]); i++)
		rank++;
	return rank;
}

struct way_read {
	const char *attachment, *resource, *type;
};
struct tgw_route_read {
	const char *cidr, *list, *type, *state;
	const json_t *ways;
};
static const struct fl_member way_members[] = {
    FL_M_STR("TransitGatewayAttachmentId", way_read, attachment),
    FL_M_STR("ResourceId", way_read, resource),
    FL_M_STR("ResourceType", way_read, type),
};
static const struct fl_shape way_shape = FL_SHAPE("the attachment of a route", way_members, "");
static const struct fl_member tgw_route_members[] = {
    FL_M_STR("DestinationCidrBlock", tgw_route_read, cidr),
    FL_M_STR("PrefixListId", tgw_route_read, list),
    FL_M_STR("Type", tgw_route_read, type),
    FL_M_STR("State", tgw_route_read, state),
    FL_M_JSON("TransitGatewayAttachments", tgw_route_read, ways),
};
static const struct fl_shape tgw_route_shape =
    FL_SHAPE("a transit gateway's route", tgw_route_members, " TransitGatewayRouteTableAnnouncementId ");

/* The first of several: of equal ones (ECMP) which is taken is not known beforehand. */
static void first_way(struct fl_reader *r, const json_t *item, void *into)
{
	struct way_read *w = into, next = {0};

	fl_walk(r, item, &way_shape, &next);
	if (!w->attachment)
		*w = next;
}

static bool is_of_table(const struct fl_reader *r)
{
	return r->list_id && !strncmp(r->list_id, "tgw-rtb-", 8);
}

static bool has_table(struct fl_reader *r, const char *what)
{
	if (is_of_table(r))
		return true;
	fl_problem(r, true,
		   "%s of which transit gateway route table? expected the file to be named by its id, such as "
		   "tgw-rtb-0123456789abcdef0.json, or a member TransitGatewayRouteTableId beside; left out",
		   what);
	return false;
}

static void add_route(struct fl_reader *r, const char *table, const struct fl_tgw_route *route)
{
	struct fl_tgw_route *kept = fl_arena_get(&r->scratch, sizeof *kept);

	if (!kept)
		return;
	*kept = *route;
	fl_side_add(r, FL_SIDE_TGW_ROUTE, table, NULL, (struct fl_tag){0}, kept);
}

/* Also an empty list says something: that the table has no routes. */
void fl_tgw_routes_begin(struct fl_reader *r)
{
	if (has_table(r, "routes"))
		fl_side_add(r, FL_SIDE_TGW_ROUTE, r->list_id, NULL, (struct fl_tag){0}, NULL);
}

void fl_tgw_propagations_begin(struct fl_reader *r)
{
	if (has_table(r, "propagations"))
		fl_side_add(r, FL_SIDE_TGW_PROPAGATES, r->list_id, NULL, (struct fl_tag){0}, NULL);
}

static void set_way(struct fl_tgw_route *route, const struct way_read *w)
{
	route->attachment_id = w->attachment ? w->attachment : "";
	route->resource_type = w->type ? w->type : "";
	route->resource_id = w->resource ? w->resource : "";
}

void fl_tgw_route_item(struct fl_reader *r, const json_t *item, void *row)
{
	struct tgw_route_read raw = {0};
	struct fl_tgw_route route = {.list_id = ""};
	struct way_read w = {0};
	size_t mark;

	if (!is_of_table(r))
		return; /* said once, where the list begins */
	fl_walk(r, item, &tgw_route_shape, &raw);
	if (!is_in_force(raw.state, "active", "blackhole"))
		return;
	mark = fl_path_member(r, "TransitGatewayAttachments");
	fl_each(r, raw.ways, first_way, &w);
	fl_path_pop(r, mark);
	set_way(&route, &w);
	route.blackhole = fl_is(raw.state, "blackhole");
	route.propagated = fl_is(raw.type, "propagated");
	route.rank = rank_of(route.resource_type, route.propagated, raw.list != NULL);
	if (raw.cidr && !fl_cidr_parse(raw.cidr, strlen(raw.cidr), &route.cidr)) {
		route.v6 = strchr(raw.cidr, ':') != NULL;
	} else if (!raw.cidr && raw.list && *raw.list) {
		route.list_id = raw.list;
	} else {
		fl_problem(r, false, "\"%.64s\" is not a destination such as 10.0.0.0/16; the route is left out",
			   raw.cidr ? raw.cidr : "");
		return;
	}
	if (!route.blackhole && !*route.attachment_id) {
		fl_problem(r, false, "a route without an attachment; left out");
		return;
	}
	add_route(r, r->list_id, &route);
}

struct reference_read {
	const char *table, *list, *state;
	bool blackhole;
	const json_t *way;
};
static const struct fl_member reference_members[] = {
    FL_M_STR("TransitGatewayRouteTableId", reference_read, table),
    FL_M_STR("PrefixListId", reference_read, list),
    FL_M_STR("State", reference_read, state),
    FL_M_BOOL("Blackhole", reference_read, blackhole),
    FL_M_JSON("TransitGatewayAttachment", reference_read, way),
};
static const struct fl_shape reference_shape =
    FL_SHAPE("a prefix list reference", reference_members, " PrefixListOwnerId ");

void fl_tgw_reference_item(struct fl_reader *r, const json_t *item, void *row)
{
	struct reference_read raw = {0};
	struct fl_tgw_route route = {.rank = 1};
	struct way_read w = {0};

	fl_walk(r, item, &reference_shape, &raw);
	if (!raw.table || !raw.list || !*raw.list) {
		fl_problem(r, true, "expected TransitGatewayRouteTableId and PrefixListId; left out");
		return;
	}
	if (raw.way)
		fl_walk(r, raw.way, &way_shape, &w);
	if (fl_is(raw.state, "deleting"))
		return;
	route.list_id = raw.list;
	route.blackhole = raw.blackhole;
	set_way(&route, &w);
	if (route.blackhole || *route.attachment_id)
		add_route(r, raw.table, &route);
	else
		fl_problem(r, false, "neither Blackhole nor an attachment; left out");
}

struct propagation_read {
	const char *attachment, *state;
};
static const struct fl_member propagation_members[] = {
    FL_M_STR("TransitGatewayAttachmentId", propagation_read, attachment),
    FL_M_STR("State", propagation_read, state),
};
static const struct fl_shape propagation_shape =
    FL_SHAPE("a propagation", propagation_members, " ResourceId ResourceType TransitGatewayRouteTableAnnouncementId ");

void fl_tgw_propagation_item(struct fl_reader *r, const json_t *item, void *row)
{
	struct propagation_read p = {0};

	if (!is_of_table(r))
		return;
	fl_walk(r, item, &propagation_shape, &p);
	if (is_in_force(p.state, "enabled", "enabling"))
		fl_side_add(r, FL_SIDE_TGW_PROPAGATES, r->list_id, p.attachment, (struct fl_tag){0}, NULL);
}

/* get-transit-gateway-route-table-associations says again what the attachments say. */
void fl_tgw_association_item(struct fl_reader *r, const json_t *item, void *row)
{
	struct propagation_read p = {0};

	fl_walk(r, item, &propagation_shape, &p);
	if (has_table(r, "an association"))
		associate(r, p.attachment, r->list_id, p.state);
}

/* ---- VPN connections ---- */

struct tunnel_read {
	const char *status;
};
static const struct fl_member tunnel_members[] = {FL_M_STR("Status", tunnel_read, status)};
static const struct fl_shape tunnel_shape =
    FL_SHAPE("a tunnel of a VPN connection", tunnel_members,
	     " AcceptedRouteCount LastStatusChange OutsideIpAddress StatusMessage CertificateArn ");
static void tunnel(struct fl_reader *r, const json_t *item, void *into)
{
	struct fl_vpn *v = into;
	struct tunnel_read t = {0};

	fl_walk(r, item, &tunnel_shape, &t);
	v->n_tunnels++;
	v->n_up += fl_is(t.status, "UP");
}

struct vpn_read {
	struct fl_vpn vpn;
	const char *secret;
};
static const struct fl_member vpn_members[] = {
    FL_M_ID("VpnConnectionId", fl_vpn),
    FL_M_STR("State", fl_vpn, state),
    FL_M_STR("TransitGatewayId", fl_vpn, gateway_id),
    FL_M_STR("VpnGatewayId", fl_vpn, gateway_id),
    FL_M_EACH("VgwTelemetry", tunnel),
    FL_M_STR("CustomerGatewayConfiguration", vpn_read, secret),
    FL_M_NOUN_TAGS(fl_vpn),
};
const struct fl_shape fl_vpn_shape =
    FL_SHAPE("a VPN connection", vpn_members,
	     " Category VpnConcentratorId CoreNetworkArn CoreNetworkAttachmentArn GatewayAssociationState Options "
	     "Routes PreSharedKeyArn Type CustomerGatewayId ");
void fl_vpn_done(struct fl_reader *r, void *noun)
{
	struct vpn_read *v = noun;
	size_t mark;

	if (!v->secret)
		return;
	mark = fl_path_member(r, "CustomerGatewayConfiguration");
	fl_problem(r, false,
		   "the tunnels' keys, which nobody needs here; \"flowlog inventory commands\" prints VPN "
		   "connections without them");
	fl_path_pop(r, mark);
}
_Static_assert(sizeof(struct vpn_read) <= FL_READ_ROOM, "room for what is only needed while it is read");

/* ---- when all is read ---- */

static struct fl_tgw_attachment *attachment_named(const struct fl_reader *r, const char *id)
{
	return fl_network_by_id(r->net, FL_NOUN_TGW_ATTACHMENT, id);
}

static void fill_table(struct fl_reader *r, struct fl_tgw_table *t)
{
	size_t n;
	const struct fl_side *side = fl_side_find(r, FL_SIDE_TGW_ROUTE, t->noun.id, &n);
	struct fl_tgw_route *v = n ? fl_arena_get(&r->net->arena, n * sizeof *v) : NULL;
	const struct fl_tgw_attachment **p;

	for (size_t i = 0; v && i < n; i++) {
		const struct fl_tgw_route *from = side[i].what;

		if (!from) {
			t->has_routes = true;
			continue;
		}
		v[t->n] = *from;
		v[t->n].attachment = attachment_named(r, from->attachment_id);
		v[t->n].list = fl_network_by_id(r->net, FL_NOUN_LIST, from->list_id);
		if (*from->list_id && !v[t->n].list)
			fl_problem_at(r, side[i].file, side[i].path, false,
				      "prefix list %.64s is not in the inventory; the route covers nothing here",
				      from->list_id);
		t->n++;
	}
	t->route = v;
	side = fl_side_find(r, FL_SIDE_TGW_PROPAGATES, t->noun.id, &n);
	p = n ? fl_arena_get(&r->net->arena, n * sizeof(void *)) : NULL;
	for (size_t i = 0; p && i < n; i++) {
		const struct fl_tgw_attachment *a = attachment_named(r, side[i].value);

		t->has_propagations = true;
		if (a)
			p[t->n_propagations++] = a;
	}
	t->propagation = p;
}

static void unknown_tables(struct fl_reader *r)
{
	static const enum fl_side_kind kinds[] = {FL_SIDE_TGW_ROUTE, FL_SIDE_TGW_PROPAGATES};

	for (size_t k = 0; k < FL_ARRAY_LEN(kinds); k++)
		for (size_t i = 0, n; i < r->side[kinds[k]].n; i += n) {
			const struct fl_side *s = &r->side[kinds[k]].v[i];

			fl_side_find(r, kinds[k], s->key, &n);
			if (r->net->store[FL_NOUN_TGW_TABLE].n && !fl_network_by_id(r->net, FL_NOUN_TGW_TABLE, s->key))
				fl_problem_at(r, s->file, s->path, true,
					      "transit gateway route table %.64s is not in the inventory; left out",
					      s->key);
		}
}

static void find_tables(struct fl_reader *r, struct fl_tgw_attachment *a)
{
	size_t n;
	const struct fl_side *side = fl_side_find(r, FL_SIDE_TGW_TABLE, a->noun.id, &n);

	if (fl_is(a->resource_type, "peering") && !*a->peer_tgw_id)
		a->peer_tgw_id = a->resource_id;
	for (size_t i = 0; i < n; i++) {
		const struct fl_tgw_table *t = fl_network_by_id(r->net, FL_NOUN_TGW_TABLE, side[i].value);

		if (t && *a->peer_tgw_id && !strcmp(t->tgw_id, a->peer_tgw_id)) {
			a->peer_table = t;
			continue;
		}
		if (a->table && t && a->table != t)
			fl_problem_at(r, side[i].file, side[i].path, false,
				      "%s is associated with %s, and before that with %s; the later one is used",
				      a->noun.id, t->noun.id, a->table->noun.id);
		a->table_id = side[i].value;
		a->table = t ? t : a->table;
	}
}

/* AWS's description of the interface names the attachment; without one, its subnet does. */
static struct fl_tgw_attachment *attachment_of(const struct fl_reader *r, const struct fl_net_eni *e)
{
	struct fl_tgw_attachment *found = NULL;

	if (*e->attachment_id)
		return attachment_named(r, e->attachment_id);
	FL_EACH_NOUN(r->net, FL_NOUN_TGW_ATTACHMENT, fl_tgw_attachment, a)
	for (size_t i = 0; e->subnet && i < a->n_subnets; i++)
		if (a->subnet[i] == e->subnet) {
			if (found && found != a)
				return NULL; /* of two transit gateways: nobody says which */
			found = a;
		}
	return found;
}

void fl_transit_finish(struct fl_reader *r)
{
	FL_EACH_NOUN(r->net, FL_NOUN_TGW_TABLE, fl_tgw_table, t)
	fill_table(r, t);
	unknown_tables(r);
	FL_EACH_NOUN(r->net, FL_NOUN_TGW_ATTACHMENT, fl_tgw_attachment, each)
	find_tables(r, each);
	FL_EACH_NOUN(r->net, FL_NOUN_ENI, fl_net_eni, e)
	{
		struct fl_tgw_attachment *a = fl_is(e->record_type, "transit_gateway") ? attachment_of(r, e) : NULL;
		const struct fl_net_eni **more;

		if (!a)
			continue;
		e->attachment = a;
		e->attachment_id = a->noun.id;
		more = (const struct fl_net_eni **)fl_arena_append(&r->net->arena, (void *)&a->eni, &a->n_enis,
								   sizeof *more);
		if (more)
			*more = e;
	}
}

/* ---- what has no interface, as one to bind a Linux interface to ---- */

static struct fl_net_eni *new_port(struct fl_reader *r, const struct fl_noun *noun)
{
	struct fl_net_eni *p = &r->net->port[r->net->n_ports];

	*p = (struct fl_net_eni){.noun = *noun,
				 .index = (uint32_t)(r->net->store[FL_NOUN_ENI].n + r->net->n_ports),
				 .is_port = true,
				 .device_index = UINT32_MAX,
				 .vpc_id = "",
				 .subnet_id = "",
				 .az = "",
				 .az_id = "",
				 .region = "",
				 .instance_id = "",
				 .type = "",
				 .record_type = "",
				 .description = "",
				 .nat_gateway_id = "",
				 .attachment_id = "",
				 .requester_managed = true};
	r->net->n_ports++;
	return p;
}

static void set_place(struct fl_net_eni *p, const struct fl_vpc *vpc, const struct fl_subnet *subnet)
{
	p->vpc = vpc;
	p->vpc_id = vpc ? vpc->noun.id : "";
	p->subnet = subnet;
	if (!subnet)
		return;
	p->subnet_id = subnet->noun.id;
	p->az = subnet->az;
	p->az_id = subnet->az_id;
	p->region = subnet->region;
	p->routes = subnet->routes;
}

void fl_ports_finish(struct fl_reader *r)
{
	size_t n = r->net->store[FL_NOUN_TGW_ATTACHMENT].n + r->net->store[FL_NOUN_NAT].n;

	r->net->port = n ? fl_arena_get(&r->net->arena, n * sizeof *r->net->port) : NULL;
	if (!r->net->port)
		return;
	FL_EACH_NOUN(r->net, FL_NOUN_TGW_ATTACHMENT, fl_tgw_attachment, a)
	{
		struct fl_net_eni *p;

		if (a->n_enis)
			continue;
		p = new_port(r, &a->noun);
		set_place(p, a->vpc, a->n_subnets == 1 ? a->subnet[0] : NULL);
		p->region = *p->region ? p->region : a->tgw ? a->tgw->region : "";
		p->record_type = "transit_gateway";
		p->attachment = a;
		p->attachment_id = a->noun.id;
		a->port = p;
	}
	FL_EACH_NOUN(r->net, FL_NOUN_NAT, fl_nat_gateway, g)
	{
		struct fl_net_eni *p;

		if (!g->regional || g->eni)
			continue;
		p = new_port(r, &g->noun);
		set_place(p, g->vpc, NULL);
		p->noun.owner = *p->noun.owner ? p->noun.owner : g->vpc ? g->vpc->noun.owner : "";
		p->region = fl_zone_region(r, g->az);
		p->az = g->az;
		p->record_type = "regional_nat_gateway";
		p->nat_gateway_id = g->noun.id;
		p->nat = g;
		p->routes = g->routes;
		p->addr = g->addr;
		p->n_addrs = g->n_addrs;
		g->port = p;
	}
}
