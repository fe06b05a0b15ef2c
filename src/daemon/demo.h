/* SPDX-License-Identifier: Apache-2.0 */
/* `flowlog demo`: a network of its own, traffic whose size is known, and the meter of the daemon over it. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "meter/meter.h"

#define FL_DEMO_CLIENT "10.0.0.10"
#define FL_DEMO_SERVER "10.0.0.20"
#define FL_DEMO_WEB_PORT 80
#define FL_DEMO_UDP_PORT 514
#define FL_DEMO_SCAN_FIRST 8000 /* nobody listens there */
#define FL_DEMO_SCAN_PORTS 50
#define FL_DEMO_PAGE_BYTES (4u << 20)
#define FL_DEMO_DATAGRAMS 25
#define FL_DEMO_DATAGRAM_BYTES 400
#define FL_DEMO_ECHOES 5

/* ---- demo_net.c: two namespaces and a cable, over rtnetlink ---- */

struct fl_demo_net {
	int server_ns; /* file descriptor of the server's network namespace; ours is the client's */
	uint32_t server_ifindex;
};

/* A user namespace (when we are not root) and a network namespace for this process. */
int fl_demo_enter(void);
/* Lays the cable between our namespace and net->server_ns, without offload, and gives both ends their addresses. */
int fl_demo_cable(struct fl_demo_net *net);
/* Frames and layer-2 bytes by direction as the server's interface counted them. */
int fl_demo_counters(const struct fl_demo_net *net, struct fl_count ret[FL_DIR_N]);

/* ---- demo_traffic.c ---- */

struct fl_demo_truth {
	uint64_t page_bytes, datagrams, refused, echoes;
};

int fl_demo_serve(int ready_fd); /* in the server's namespace; until killed */
int fl_demo_visit(struct fl_demo_truth *ret);
