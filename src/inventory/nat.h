/* SPDX-License-Identifier: Apache-2.0 */
/* Private to nat.c and its tests: one conntrack message. */
#pragma once

#include <libmnl/libmnl.h>

#include "inventory/inventory.h"

int fl_nat_alloc(struct fl_nat **ret, const struct fl_nat_conf *conf); /* a table without sockets */
/* The followed namespace ns says that a connection began or ended; at: monotonic seconds. What is no such message, or
 * not of a translated connection, changes nothing. */
void fl_nat_message(struct fl_nat *n, unsigned ns, const struct nlmsghdr *h, uint32_t at);
