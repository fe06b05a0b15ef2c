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
			if (e[i].subnet)
				fl_route_find(e[i].subnet->routes, &e[i].addr[j].addr, e[i].addr[j].v6);
		}
	}
	for (size_t i = 0; i < groups; i++)
		for (size_t j = 0; j < g[i].in.n; j++)
			if (!g[i].in.rule[j].id || (g[i].in.rule[j].group && !g[i].in.rule[j].group->noun.id))
				abort();
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t n);
int LLVMFuzzerTestOneInput(const unsigned char *data, size_t n)
{
	struct fl_network *net;
	size_t problems;

	if (fl_network_from_text(&net, "pl-0123.json", (const char *)data, n))
		return 0;
	ask(net);
	fl_network_problems(net, &problems);
	if (problems > FL_NETWORK_PROBLEMS_MAX)
		abort();
	fl_network_free(&net);
	return 0;
}
