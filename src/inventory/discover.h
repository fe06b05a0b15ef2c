/* SPDX-License-Identifier: Apache-2.0 */
/* Private to discover.c and rtnl.c: the links of all namespaces followed, as the kernel tells them.
 */
#pragma once

#include <libmnl/libmnl.h>
#include <sys/types.h>

#include "inventory/inventory.h"
#include "inventory/names.h"

#define FL_NAMESPACES_MAX 256
#define FL_NAMES_MAX 4096 /* names remembered */

struct fl_netns {
	int fd; /* names the namespace for RTM_GETNSID */
	ino_t inode;
	char name[32];
	struct mnl_socket *ask, *notify;
};

/* Who an interface belongs to, once found, until the file that says so changes. */
struct fl_known_name {
	size_t ns;
	uint32_t ifindex;
	uint8_t mac[6];
	bool stale;  /* to be looked for again; what is known holds until somebody is found */
	bool listed; /* in the last list */
	struct fl_who who;
};

struct fl_discovery {
	struct fl_discovery_conf conf;
	int epoll_fd;
	size_t n;
	struct fl_netns ns[FL_NAMESPACES_MAX];
	struct fl_known_name **known;
	size_t n_known;
};

struct fl_link_row {
	struct fl_interface out;
	size_t ns;
	int32_t peer_ns; /* index into the namespaces followed; -1: not visible */
	uint32_t flags, master;
	uint8_t prefix_bits;
	char kind[16], master_kind[16];
};

struct fl_links {
	const struct fl_discovery *d;
	struct fl_link_row *v;
	size_t n, cap, ns, ns_first; /* the dump under way: namespace and its first row */
	int error;
};

/* One RTM_NEWLINK into the list that ctx is (struct fl_links *). */
int fl_rtnl_on_link(const struct nlmsghdr *h, void *ctx);
int fl_rtnl_links(struct fl_discovery *d, struct fl_links *all); /* all->v is malloc'd */
/* The followed namespace that is called nsid in namespace `from`; -1: none of them. */
int32_t fl_rtnl_followed(const struct fl_discovery *d, size_t from, int32_t nsid);
/* discover.c: which of the links are metered, and which take frames of others. */
void fl_discovery_judge(struct fl_links *all);
/* What the namespace that a process is in is called in ours; negative: it has no number there, or the process is gone.
 */
int32_t fl_rtnl_nsid_of_process(const struct fl_discovery *d, int pid);
/* What the namespace behind fd is called in namespace `from`; negative: it has no number there. */
int32_t fl_rtnl_nsid(const struct fl_discovery *d, size_t from, int fd);
