/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The inventory of a running meter: found in the store or in a directory, looked at once a second, read again by a
 * thread of its own when it has changed, so that no packet waits for it.
 */
#pragma once

#include "inventory/network.h"
#include "meter/meter.h"
#include "policy/policy.h"

struct fl_meter_inventory;

/* dir NULL: the current import of the store, whose directory is statefd. dirfd: of dir, or -1. None there is not an
 * error. Unreadable ones are said and metering goes on with what is discovered. */
int fl_meter_inventory_new(struct fl_meter_inventory **ret, int statefd, const char *dir, int dirfd);
void fl_meter_inventory_free(struct fl_meter_inventory **i);
/* NULL: none. Valid until the second poll after it that returned true. */
const struct fl_network *fl_meter_inventory_network(const struct fl_meter_inventory *i);
const char *fl_meter_inventory_name(const struct fl_meter_inventory *i); /* of the directory, for people; "" */
bool fl_meter_inventory_poll(struct fl_meter_inventory *i);              /* true: another network is in place */

/*
 * Gives every interface that the inventory knows its identity there. An ENI is one interface: of several that could be
 * it (a VLAN shares its parent's address) the first one is. ret_enis, of n: the ENI of each, NULL when unknown.
 */
void fl_meter_inventory_bind(const struct fl_meter_inventory *i, struct fl_interface *list, size_t n,
			     const struct fl_net_eni **ret_enis);
/* The rules of this interface, as they were when a window began (Unix seconds), and whether bindings.json declares them
 * enforced; NULL: none. Another inventory counts from the next window on, as its identities do. Compiled when first
 * asked for. */
const struct fl_filter *fl_meter_inventory_filter(struct fl_meter_inventory *i, const struct fl_eni *eni,
						  int64_t window_start, bool *ret_enforced);
/* What AWS does not log of this ENI: semantics.md section 3, with the addresses of its network. */
struct fl_exclusions fl_meter_inventory_exclusions(const struct fl_net_eni *e);
