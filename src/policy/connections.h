/* SPDX-License-Identifier: Apache-2.0 */
/* Inside policy/: one remembered connection, and how it goes on. */
#pragma once

#include "policy/policy.h"

/* state. A direction's bit is the one of FL_DIR_INGRESS shifted by (dir - 1). */
enum {
	CONN_OPENED = 1 << 0,      /* 1, 2: rules let a packet in this direction begin it */
	CONN_SEEN = 1 << 2,        /* 4, 8 */
	CONN_FIN = 1 << 4,         /* 16, 32 */
	CONN_LAST_EGRESS = 1 << 6, /* the second FIN was an egress packet */
	CONN_CLOSED = 1 << 7
};
#define CONN_NLB 0x10 /* in counts: one end is a Network Load Balancer */
#define CONN_BIT(bit, dir) ((uint8_t)((bit) << ((dir)-1)))
#define CONN_BOTH(bit) ((uint8_t)((bit)*3))

struct conn {
	struct fl_addr local, remote;
	uint64_t eni; /* hash of the interface's id: outlives a reload */
	uint16_t lport, rport;
	uint8_t proto, v6, state;
	uint8_t counts; /* packets ingress (bits 0-1) and egress (bits 2-3), no further than 2; CONN_NLB */
	uint64_t last_ms, end_ms;
};
_Static_assert(sizeof(struct conn) == FL_CONNECTION_BYTES, "a connection is a cache line");

struct conn_timeouts {
	uint32_t tcp_s, udp_s, udp_stream_s;
};

/* One at a time: inserting or expiring moves nothing, but a slot may be given to another. */
struct conn *conn_find(struct fl_connections *c, const struct conn *key, uint64_t now_ms);
struct conn *conn_insert(struct fl_connections *c, const struct conn *key, uint64_t now_ms);
uint64_t conn_start_ms(const struct fl_connections *c);
/* Closed, or idle beyond its time-out. */
bool conn_is_over(const struct conn *e, uint64_t now_ms);
void conn_advance(struct conn *e, enum fl_dir dir, uint8_t tcp, uint32_t packets, uint64_t first_ms, uint64_t last_ms,
		  const struct conn_timeouts *t);
