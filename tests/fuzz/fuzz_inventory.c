/* SPDX-License-Identifier: Apache-2.0 */
/* AWS's JSON: any bytes as a file of an inventory, then every question that can be asked of it. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "inventory/network_build.h"

static void ask(const struct fl_network *net)
{
	size_t n, groups;
	const struct fl_net_eni *e = fl_network_enis(net, &n), *found;
	const struct fl_group *g = fl_network_groups(net, &groups);

	for (size_t i = 0; i < n; i++) {
		struct fl_eni id = {0};

		if (fl_network_eni(net, e[i].noun.id) != &e[i])
			abort();
		fl_network_identity(net, &e[i], &id);
		memcpy(id.mac, e[i].mac, 6);
		fl_network_bind(net, &id, NULL, NULL);
		fl_network_lookup(net, e[i].noun.name, &found);
		for (size_t j = 0; j < e[i].n_addrs; j++) {
			if (!fl_network_eni_at(net, NULL, &e[i].addr[j].addr))
				abort();
			fl_network_service(net, &e[i].addr[j].addr);
			fl_route_find(e[i].routes, &e[i].addr[j].addr, e[i].addr[j].v6);
		}
	}
	for (size_t i = 0; i < groups; i++)
		for (size_t j = 0; j < g[i].in.n; j++)
			if (!g[i].in.rule[j].id || (g[i].in.rule[j].group && !g[i].in.rule[j].group->noun.id))
				abort();
}

static void ask_transit(const struct fl_network *net)
{
	static const struct fl_addr a = {{[10] = 0xff, [11] = 0xff, 10, 20, 1, 9}},
				    b = {{[10] = 0xff, [11] = 0xff, 10, 40}};
	size_t n;
	const struct fl_tgw_attachment *all = fl_network_tgw_attachments(net, &n);

	for (size_t i = 0; i < n; i++)
		for (unsigned enters = 0; enters < 2; enters++) {
			const struct fl_net_eni *e = all[i].n_enis ? all[i].eni[0] : all[i].port;
			struct fl_tgw_way w;

			if (!e || (e->is_port && fl_network_eni(net, all[i].noun.id) != e) ||
			    e->index >= fl_network_index_end(net))
				abort();
			fl_tgw_find_way(net, e, enters, &a, &b, false, &w);
			if (!w.in_id || !w.out_id)
				abort();
		}
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t n);
int LLVMFuzzerTestOneInput(const unsigned char *data, size_t n)
{
	struct fl_network *net;
	size_t problems;

	if (fl_network_from_text(&net, "pl-0123.json", (const char *)data, n))
		return 0;
	ask(net);
	ask_transit(net);
	fl_network_problems(net, &problems);
	if (problems > FL_NETWORK_PROBLEMS_MAX)
		abort();
	fl_network_free(&net);
	return 0;
}
