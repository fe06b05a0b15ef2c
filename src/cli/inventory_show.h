/* SPDX-License-Identifier: Apache-2.0 */
/* Interfaces of an inventory for people and for programs. */
#pragma once

#include "base/mem.h"
#include "inventory/network.h"

enum { FL_INVENTORY_TABLE, FL_INVENTORY_JSON };
int fl_inventory_show_all(const struct fl_network *net, int form, struct fl_buf *out);
/* What of the inventory could not be used, on standard error, the first few: an answer from half of it would mislead.
 */
void fl_inventory_tell(const char *command, const struct fl_network *net);
int fl_inventory_show_one(const struct fl_network *net, const char *what, int form, struct fl_buf *out);
