/* SPDX-License-Identifier: Apache-2.0 */
/* bindings.json: which Linux interface is which network interface of the inventory. */
#include <stdio.h>
#include <string.h>

#include "inventory/network_build.h"

static const struct fl_member binding_members[] = {
    FL_M_STR("NetworkInterfaceId", fl_raw_binding, eni_id),
    FL_M_STR("TransitGatewayAttachmentId", fl_raw_binding, eni_id),
    FL_M_STR("NatGatewayId", fl_raw_binding, eni_id),
    FL_M_STR("Interface", fl_raw_binding, interface),
    FL_M_STR("MacAddress", fl_raw_binding, mac),
    FL_M_STR("NetNs", fl_raw_binding, netns),
    FL_M_STR("End", fl_raw_binding, end),
    FL_M_BOOL("Enforced", fl_raw_binding, enforced),
};
static const struct fl_shape binding_shape = FL_SHAPE("a binding", binding_members, "");

void fl_binding_item(struct fl_reader *r, const json_t *item, void *row)
{
	struct fl_raw_binding raw = {.netns = ""}, *more;

	fl_walk(r, item, &binding_shape, &raw);
	raw.interface = raw.interface && *raw.interface ? raw.interface : NULL;
	raw.mac = raw.mac && *raw.mac ? raw.mac : NULL;
	if (!raw.eni_id || (!raw.interface && !raw.mac)) {
		fl_problem(r, true,
			   "expected NetworkInterfaceId (or TransitGatewayAttachmentId, NatGatewayId) and one of "
			   "Interface and "
			   "MacAddress; left out");
		return;
	}
	if (raw.end && strcmp(raw.end, "guest") && strcmp(raw.end, "host")) {
		fl_problem(r, false, "End \"%.16s\": expected guest or host; discovery decides", raw.end);
		raw.end = NULL;
	}
	raw.file = r->file;
	raw.path = fl_network_intern(r->net, r->path, SIZE_MAX);
	more = FL_APPEND(&r->scratch, r->binding, r->n_bindings);
	if (more)
		*more = raw;
}

static bool mac_of(struct fl_reader *r, const struct fl_raw_binding *raw, struct fl_binding *b)
{
	if (!raw->mac)
		return true;
	b->has_mac = fl_mac_parse(raw->mac, b->mac);
	if (!b->has_mac)
		fl_problem_at(r, raw->file, raw->path, true,
			      "\"%.40s\" is not a MAC address such as 02:0a:00:00:00:01; left out", raw->mac);
	return b->has_mac;
}

/* Both say something of the same Linux interface. */
static bool same_interface(const struct fl_binding *a, const struct fl_binding *b)
{
	if (*a->interface && *b->interface)
		return !strcmp(a->interface, b->interface) && !strcmp(a->netns, b->netns);
	return a->has_mac && b->has_mac && !memcmp(a->mac, b->mac, 6);
}

/* An interface, or what has none or only one. NULL, and the problem was said. */
static const struct fl_net_eni *named(struct fl_reader *r, const struct fl_raw_binding *raw)
{
	const struct fl_tgw_attachment *a = fl_network_by_id(r->net, FL_NOUN_TGW_ATTACHMENT, raw->eni_id);
	const struct fl_nat_gateway *nat = fl_network_by_id(r->net, FL_NOUN_NAT, raw->eni_id);
	const struct fl_net_eni *e = fl_network_eni(r->net, raw->eni_id);

	if (!e && a && a->n_enis > 1)
		fl_problem_at(r, raw->file, raw->path, true,
			      "%s has %zu interfaces, one a zone; name one of them as NetworkInterfaceId; left out",
			      raw->eni_id, a->n_enis);
	else if (!e && a)
		e = a->eni[0];
	else if (!e && nat && nat->eni)
		e = nat->eni;
	else if (!e)
		fl_problem_at(r, raw->file, raw->path, true,
			      "network interface %.64s is not in the inventory; left out", raw->eni_id);
	return e;
}

void fl_bindings_finish(struct fl_reader *r)
{
	struct fl_network *net = r->net;

	for (size_t i = 0; i < r->n_bindings; i++) {
		const struct fl_raw_binding *raw = &r->binding[i];
		struct fl_binding b = {.interface = raw->interface ? raw->interface : "",
				       .netns = raw->netns,
				       .has_end = raw->end != NULL,
				       .host_end = raw->end && raw->end[0] == 'h',
				       .enforced = raw->enforced};
		struct fl_binding *more;

		b.eni = named(r, raw);
		if (!b.eni)
			continue;
		if (!mac_of(r, raw, &b))
			continue;
		if (b.has_mac && b.eni->has_mac && memcmp(b.mac, b.eni->mac, 6))
			fl_problem_at(r, raw->file, raw->path, false,
				      "%s has another MAC address in the inventory; the binding's is used",
				      raw->eni_id);
		for (size_t j = 0; j < net->n_bindings && net->n_bindings < 10000; j++) {
			struct fl_binding *old = &net->binding[j];

			if (!old->eni || (!same_interface(old, &b) && old->eni != b.eni))
				continue;
			fl_problem_at(r, raw->file, raw->path, false,
				      old->eni == b.eni
					  ? "%s was bound before, to another interface; the later binding is used"
					  : "this interface was bound before, to %s; the later binding is used",
				      old->eni->noun.id);
			old->eni = NULL;
		}
		more = FL_APPEND(&net->arena, net->binding, net->n_bindings);
		if (more)
			*more = b;
	}
	for (size_t i = 0, n = net->n_bindings, kept = 0; i < n; i++) {
		if (net->binding[i].eni)
			net->binding[kept++] = net->binding[i];
		net->n_bindings = kept;
	}
}

const struct fl_binding *fl_network_bindings(const struct fl_network *net, size_t *ret_n)
{
	*ret_n = net->n_bindings;
	return net->binding;
}

/* ---- identity ---- */

#define PUT(to, from) snprintf(to, sizeof(to), "%.*s", (int)sizeof(to) - 1, from)

void fl_network_identity(const struct fl_network *net, const struct fl_net_eni *e, struct fl_eni *ret)
{
	PUT(ret->account_id, e->noun.owner);
	if (e->is_port && e->attachment) /* the whole id is longer than an interface's */
		snprintf(ret->interface_id, sizeof ret->interface_id, FL_ATTACHMENT_SHORT "%.*s",
			 (int)(sizeof ret->interface_id - sizeof FL_ATTACHMENT_SHORT),
			 e->noun.id + strlen(FL_ATTACHMENT_PREFIX));
	else
		PUT(ret->interface_id, e->noun.id);
	PUT(ret->vpc_id, e->vpc_id);
	PUT(ret->subnet_id, e->subnet_id);
	PUT(ret->instance_id, e->instance_id);
	PUT(ret->region, e->region);
	/* traffic of a sublocation has no zone id (records.md, field 23) */
	PUT(ret->az_id, e->subnet && *e->subnet->sublocation_type ? "" : e->az_id);
	ret->has_v4 = e->n_addrs && !e->addr[0].v6;
	ret->primary_v4 = ret->has_v4 ? e->addr[0].addr : (struct fl_addr){0};
}

static const struct fl_binding *binding_of(const struct fl_network *net, const struct fl_eni *eni)
{
	static const uint8_t none[6];
	const struct fl_binding *by_mac = NULL;

	for (size_t i = 0; i < net->n_bindings; i++) {
		const struct fl_binding *b = &net->binding[i];

		if (*b->interface && !strcmp(b->interface, eni->device) && !strcmp(b->netns, eni->netns))
			return b;
		if (!*b->interface && b->has_mac && !memcmp(b->mac, eni->mac, 6) && memcmp(eni->mac, none, 6))
			by_mac = b;
	}
	return by_mac;
}

bool fl_network_bind(const struct fl_network *net, struct fl_eni *eni, const struct fl_net_eni **ret,
		     bool *ret_enforced)
{
	const struct fl_binding *b = binding_of(net, eni);
	const struct fl_net_eni *e = b ? b->eni : fl_network_eni_by_mac(net, eni->mac);

	for (size_t i = 0; !b && e && i < net->n_bindings; i++)
		if (net->binding[i].eni == e)
			e = NULL; /* the table says that it is another one */
	if (!e)
		return false;
	fl_network_identity(net, e, eni);
	if (b && b->has_end)
		eni->flip = b->host_end;
	else if (!b || !*b->interface)
		eni->flip = false; /* who has its address is the guest's end */
	if (*e->noun.name || (e->instance && *e->instance->noun.name))
		PUT(eni->name, *e->noun.name ? e->noun.name : e->instance->noun.name);
	if (ret)
		*ret = e;
	if (ret_enforced)
		*ret_enforced = b && b->enforced;
	return true;
}
