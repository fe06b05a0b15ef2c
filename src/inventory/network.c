/* SPDX-License-Identifier: Apache-2.0 */
/* Asking a network that has been read. */
#include "inventory/network.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "inventory/network_build.h"

const char *const fl_target_names[FL_TARGET_N] = {
    [FL_TARGET_LOCAL] = "local",
    [FL_TARGET_INTERNET_GATEWAY] = "internet gateway",
    [FL_TARGET_EGRESS_ONLY_GATEWAY] = "egress-only internet gateway",
    [FL_TARGET_NAT_GATEWAY] = "NAT gateway",
    [FL_TARGET_VPN_GATEWAY] = "virtual private gateway",
    [FL_TARGET_PEERING] = "peering connection",
    [FL_TARGET_TRANSIT_GATEWAY] = "transit gateway",
    [FL_TARGET_GATEWAY_ENDPOINT] = "gateway endpoint",
    [FL_TARGET_LOAD_BALANCER_ENDPOINT] = "Gateway Load Balancer endpoint",
    [FL_TARGET_INTERFACE] = "network interface",
    [FL_TARGET_CARRIER_GATEWAY] = "carrier gateway",
    [FL_TARGET_LOCAL_GATEWAY] = "local gateway",
    [FL_TARGET_CORE_NETWORK] = "core network",
    [FL_TARGET_UNKNOWN] = "a target that is not known",
};

const char *fl_tag_value(const struct fl_tags *tags, const char *key)
{
	for (size_t i = 0; i < tags->n; i++)
		if (!strcmp(tags->tag[i].key, key))
			return tags->tag[i].value;
	return NULL;
}

#define FL_NOUN(kind, type, suffix, people, prefix)                                                                    \
	const struct type *fl_network_##suffix(const struct fl_network *net, size_t *ret_n)                            \
	{                                                                                                              \
		*ret_n = net->store[FL_NOUN_##kind].n;                                                                 \
		return (const struct type *)net->store[FL_NOUN_##kind].v;                                              \
	}
FL_NOUNS(FL_NOUN)
#undef FL_NOUN

static const struct fl_net_eni *eni_number(const struct fl_network *net, uint32_t i)
{
	return (const struct fl_net_eni *)net->store[FL_NOUN_ENI].v + i;
}

const struct fl_net_eni *fl_network_eni(const struct fl_network *net, const char *id)
{
	char whole[64];
	const struct fl_net_eni *e = fl_network_by_id(net, FL_NOUN_ENI, id);
	const struct fl_tgw_attachment *a;
	const struct fl_nat_gateway *nat = e ? NULL : fl_network_by_id(net, FL_NOUN_NAT, id);

	if (id && !strncmp(id, FL_ATTACHMENT_SHORT, strlen(FL_ATTACHMENT_SHORT))) {
		snprintf(whole, sizeof whole, FL_ATTACHMENT_PREFIX "%.40s", id + strlen(FL_ATTACHMENT_SHORT));
		id = whole;
	}
	a = e ? NULL : fl_network_by_id(net, FL_NOUN_TGW_ATTACHMENT, id);
	return e ? e : a ? a->port : nat ? nat->port : NULL;
}

size_t fl_network_index_end(const struct fl_network *net)
{
	return net->store[FL_NOUN_ENI].n + net->n_ports;
}

const struct fl_noun *fl_network_find(const struct fl_network *net, const char *id, const char **ret_people)
{
	for (size_t kind = 0; kind < FL_NOUN_N; kind++) {
		const struct fl_noun *n = fl_network_by_id(net, kind, id);

		if (!n)
			continue;
		if (ret_people)
			*ret_people = fl_noun_rows[kind].people;
		return n;
	}
	return NULL;
}

/* ---- what a person may say ---- */

#define CANDIDATES_MAX 8 /* named in the sentence */

struct candidates {
	const struct fl_network *net;
	const struct fl_net_eni *eni[CANDIDATES_MAX];
	size_t n;          /* more than are kept is still more than one */
	bool all_instance; /* each was found by its instance */
	const char *instance;
};

static void add(struct candidates *c, uint32_t index, bool instance)
{
	const struct fl_net_eni *e = eni_number(c->net, index);

	for (size_t i = 0; i < FL_MIN(c->n, (size_t)CANDIDATES_MAX); i++)
		if (c->eni[i] == e)
			return;
	c->all_instance = instance && (!c->n || (c->all_instance && !strcmp(c->instance, e->instance_id)));
	c->instance = e->instance_id;
	/* the first interface of an instance is meant by its name */
	if (c->n >= CANDIDATES_MAX && e->device_index == 0)
		c->eni[CANDIDATES_MAX - 1] = e;
	else if (c->n < CANDIDATES_MAX)
		c->eni[c->n] = e;
	c->n++;
}

static int several(const struct candidates *c, const char *what)
{
	char text[512] = "";

	for (size_t i = 0; i < FL_MIN(c->n, (size_t)CANDIDATES_MAX); i++) {
		size_t at = strlen(text);

		snprintf(text + at, sizeof text - at, "%s%s%s%.40s%s in %s", i ? ", " : "", c->eni[i]->noun.id,
			 *c->eni[i]->noun.name ? " (" : "", c->eni[i]->noun.name, *c->eni[i]->noun.name ? ")" : "",
			 *c->eni[i]->vpc_id ? c->eni[i]->vpc_id : "no VPC");
	}
	return fl_fail(-ENOTUNIQ, "\"%.64s\" is %zu interfaces: %s%s; name one by its id", what, c->n, text,
		       c->n > CANDIDATES_MAX ? ", ..." : "");
}

static size_t first_named(const struct fl_network *net, const char *key)
{
	size_t low = 0, high = net->n_named;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (strcmp(net->named[mid].key, key) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static size_t first_located(const struct fl_network *net, const struct fl_addr *addr)
{
	size_t low = 0, high = net->n_located;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (memcmp(net->located[mid].addr.b, addr->b, 16) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

int fl_network_lookup(const struct fl_network *net, const char *what, const struct fl_net_eni **ret)
{
	struct candidates c = {.net = net};
	struct fl_addr addr;
	const struct fl_net_eni *only = NULL;
	const struct fl_tgw_attachment *attachment;
	size_t primaries = 0;

	*ret = fl_network_eni(net, what);
	if (*ret)
		return 0;
	attachment = fl_network_by_id(net, FL_NOUN_TGW_ATTACHMENT, what);
	for (size_t i = 0; attachment && i < attachment->n_enis; i++)
		add(&c, attachment->eni[i]->index, false);
	if (c.n > 1)
		return several(&c, what);
	for (size_t i = first_named(net, what); i < net->n_named && !strcmp(net->named[i].key, what); i++)
		add(&c, net->named[i].eni, net->named[i].instance);
	if (!c.n && !fl_addr_parse(what, strlen(what), &addr, NULL)) {
		for (size_t i = first_located(net, &addr);
		     i < net->n_located && fl_addr_equal(&net->located[i].addr, &addr); i++)
			add(&c, net->located[i].eni, false);
		if (!c.n) {
			only = fl_network_eni_at(net, NULL, &addr); /* in a delegated prefix */
			if (only)
				add(&c, only->index, false);
		}
	}
	fl_error_clear();
	if (!c.n)
		return fl_fail(-ENOENT,
			       "\"%.64s\" is not an interface, instance, name or address of the inventory; "
			       "flowlog inventory show lists them",
			       what);
	for (size_t i = 0; i < FL_MIN(c.n, (size_t)CANDIDATES_MAX); i++)
		if (c.eni[i]->device_index == 0) {
			only = c.eni[i];
			primaries++;
		}
	if (c.n == 1)
		only = c.eni[0];
	else if (!c.all_instance || primaries != 1)
		return several(&c, what);
	*ret = only;
	return 0;
}

static const struct fl_net_eni *delegated_at(const struct fl_network *net, const struct fl_vpc *vpc,
					     const struct fl_addr *addr)
{
	for (int bits = 128; bits >= 0; bits--) {
		struct fl_addr base = *addr;
		size_t low = 0, high = net->n_delegated;

		if (!(net->delegated_bits[bits / 64] >> bits % 64 & 1))
			continue;
		for (int i = bits; i < 128; i++)
			base.b[i / 8] &= (uint8_t) ~(0x80u >> i % 8);
		while (low < high) {
			size_t mid = low + (high - low) / 2;
			const struct fl_cidr *c = &net->delegated[mid].cidr;

			if (c->bits < bits || (c->bits == bits && memcmp(c->base.b, base.b, 16) < 0))
				low = mid + 1;
			else
				high = mid;
		}
		for (; low < net->n_delegated && net->delegated[low].cidr.bits == bits &&
		       fl_addr_equal(&net->delegated[low].cidr.base, &base);
		     low++)
			if (!vpc || eni_number(net, net->delegated[low].eni)->vpc == vpc)
				return eni_number(net, net->delegated[low].eni);
	}
	return NULL;
}

const struct fl_net_eni *fl_network_eni_at(const struct fl_network *net, const struct fl_vpc *vpc,
					   const struct fl_addr *addr)
{
	for (size_t i = first_located(net, addr); i < net->n_located && fl_addr_equal(&net->located[i].addr, addr); i++)
		if (!net->located[i].public && (!vpc || eni_number(net, net->located[i].eni)->vpc == vpc))
			return eni_number(net, net->located[i].eni);
	return net->n_delegated ? delegated_at(net, vpc, addr) : NULL;
}

const struct fl_net_eni *fl_network_eni_by_mac(const struct fl_network *net, const uint8_t mac[6])
{
	size_t low = 0, high = net->n_by_mac;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (memcmp(net->by_mac[mid].mac, mac, 6) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	if (low == net->n_by_mac || memcmp(net->by_mac[low].mac, mac, 6))
		return NULL;
	if (low + 1 < net->n_by_mac && !memcmp(net->by_mac[low + 1].mac, mac, 6))
		return NULL; /* two have it: said as a problem */
	return eni_number(net, net->by_mac[low].eni);
}

/* ---- life ---- */

const struct fl_problem *fl_network_problems(const struct fl_network *net, size_t *ret_n)
{
	*ret_n = net->n_problems;
	return net->problem;
}

const char *const *fl_network_missing(const struct fl_network *net, size_t *ret_n)
{
	*ret_n = net->n_missing;
	return net->missing;
}

void fl_network_free(struct fl_network **net)
{
	if (!*net)
		return;
	for (size_t i = 0; i < FL_NOUN_N; i++) {
		free((*net)->store[i].v);
		free((*net)->store[i].state);
		free((*net)->store[i].slot);
	}
	free((void *)(*net)->strings.slot);
	fl_arena_free(&(*net)->arena);
	free(*net);
	*net = NULL;
}
