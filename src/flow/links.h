/* SPDX-License-Identifier: Apache-2.0 */
/* From the first byte of a frame to its IP header. Private to decoding. */
#pragma once

#include "base/cursor.h"
#include "flow/flow.h"

/* false: no IP packet in it. */
bool fl_link_skip(enum fl_link link, struct fl_cursor *c);
/* The same behind an Ethernet type, tags included; transparent Ethernet bridging holds a whole frame. */
bool fl_link_skip_type(struct fl_cursor *c, uint16_t ethertype);
