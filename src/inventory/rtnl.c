/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Asking the kernel over rtnetlink. A namespace has two sockets, opened inside it once: a netlink
 * socket stays in the namespace it was born in, so later dumps need no privilege.
 */
#include <errno.h>
#include <fcntl.h>
#include <libmnl/libmnl.h>
#include <linux/if_ether.h>
#include <linux/if_link.h>
#include <linux/net_namespace.h>
#include <linux/rtnetlink.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/mem.h"
#include "inventory/discover.h"

#define MAX_INTERFACES 65536
#define DUMP_TRIES 4 /* a dump during changes is inconsistent (EINTR) and asked again */

static int open_socket(unsigned groups, struct mnl_socket **ret)
{
	*ret = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC | SOCK_NONBLOCK * (groups != 0));
	if (!*ret || mnl_socket_bind(*ret, groups, MNL_SOCKET_AUTOPID) < 0)
		return fl_fail(-errno, "rtnetlink socket: %s", strerror(errno));
	return 0;
}

static int add_namespace(struct fl_discovery *d, const char *name, const char *path)
{
	struct fl_netns *ns = &d->ns[d->n];
	struct epoll_event ev = {.events = EPOLLIN};
	struct stat st;
	int r;

	ns->fd = open(path, O_RDONLY | O_CLOEXEC);
	if (ns->fd < 0 || fstat(ns->fd, &st))
		return fl_fail(-errno, "network namespace %s: %s", path, strerror(errno));
	ns->inode = st.st_ino;
	d->n++;
	snprintf(ns->name, sizeof ns->name, "%s", name);
	if (*name && setns(ns->fd, CLONE_NEWNET))
		return fl_fail(-errno, "network namespace %s: cannot enter (%s); run as root", path, strerror(errno));
	r = open_socket(0, &ns->ask);
	if (!r)
		r = open_socket(RTMGRP_LINK | RTMGRP_IPV4_IFADDR, &ns->notify);
	if (!r && epoll_ctl(d->epoll_fd, EPOLL_CTL_ADD, mnl_socket_get_fd(ns->notify), &ev))
		r = fl_fail(-errno, "epoll: %s", strerror(errno));
	return r;
}

/* NETNSA_PID needs no right over the process, unlike its files in /proc. */
static int32_t ask_nsid(const struct fl_discovery *d, size_t from, uint16_t attribute, uint32_t value)
{
	char buf[1024];
	struct nlmsghdr *h = mnl_nlmsg_put_header(buf);
	const struct nlattr *a;
	ssize_t n;

	h->nlmsg_type = RTM_GETNSID;
	h->nlmsg_flags = NLM_F_REQUEST;
	mnl_nlmsg_put_extra_header(h, sizeof(struct rtgenmsg));
	mnl_attr_put_u32(h, attribute, value);
	if (mnl_socket_sendto(d->ns[from].ask, h, h->nlmsg_len) < 0)
		return -1;
	n = mnl_socket_recvfrom(d->ns[from].ask, buf, sizeof buf);
	if (n < (ssize_t)sizeof *h || h->nlmsg_type != RTM_NEWNSID)
		return -1;
	mnl_attr_for_each(a, h, sizeof(struct rtgenmsg)) if (mnl_attr_get_type(a) ==
							     NETNSA_NSID) return (int32_t)mnl_attr_get_u32(a);
	return -1;
}

int32_t fl_rtnl_nsid(const struct fl_discovery *d, size_t from, int fd)
{
	return ask_nsid(d, from, NETNSA_FD, (uint32_t)fd);
}

int32_t fl_rtnl_nsid_of_process(const struct fl_discovery *d, int pid)
{
	return ask_nsid(d, 0, NETNSA_PID, (uint32_t)pid);
}

/* Gives a followed namespace a number in ours, by which its processes are found later, without privilege. */
static void number_namespace(const struct fl_discovery *d, int fd)
{
	char buf[1024];
	struct nlmsghdr *h = mnl_nlmsg_put_header(buf);

	if (fl_rtnl_nsid(d, 0, fd) >= 0)
		return;
	h->nlmsg_type = RTM_NEWNSID;
	h->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
	mnl_nlmsg_put_extra_header(h, sizeof(struct rtgenmsg));
	mnl_attr_put_u32(h, NETNSA_FD, (uint32_t)fd);
	mnl_attr_put_u32(h, NETNSA_NSID, UINT32_MAX); /* any */
	if (mnl_socket_sendto(d->ns[0].ask, h, h->nlmsg_len) >= 0)
		(void)mnl_socket_recvfrom(d->ns[0].ask, buf, sizeof buf);
}

static int add_followed(struct fl_discovery *d, const char *const *names)
{
	int r = 0;

	for (; names && *names && !r; names++) {
		const char *base = strrchr(*names, '/');
		char path[4096];

		if (d->n == FL_NAMESPACES_MAX)
			return fl_fail(-E2BIG, "more than %d network namespaces", FL_NAMESPACES_MAX);
		snprintf(path, sizeof path, "%s%s", base ? "" : "/run/netns/", *names);
		r = add_namespace(d, base ? base + 1 : *names, path);
		if (setns(d->ns[0].fd, CLONE_NEWNET) && !r)
			r = fl_fail(-errno, "cannot return to our network namespace: %s", strerror(errno));
		if (!r && !d->conf.no_names)
			number_namespace(d, d->ns[d->n - 1].fd);
	}
	return r;
}

int fl_discovery_new(struct fl_discovery **ret, const struct fl_discovery_conf *conf)
{
	struct fl_discovery *d = calloc(1, sizeof *d);
	int r;

	if (!d)
		return -ENOMEM;
	d->conf = *conf;
	if (!d->conf.root)
		d->conf.root = "";
	d->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	r = d->epoll_fd < 0 ? -errno : add_namespace(d, "", "/proc/self/ns/net");
	if (!r)
		r = add_followed(d, conf->netns);
	if (r)
		fl_discovery_free(&d);
	*ret = d;
	return r;
}

void fl_discovery_free(struct fl_discovery **d)
{
	if (!*d)
		return;
	for (size_t i = 0; i < (*d)->n; i++) {
		struct fl_netns *ns = &(*d)->ns[i];

		if (ns->ask)
			mnl_socket_close(ns->ask);
		if (ns->notify)
			mnl_socket_close(ns->notify);
		close(ns->fd);
	}
	if ((*d)->epoll_fd >= 0)
		close((*d)->epoll_fd);
	for (size_t i = 0; i < (*d)->n_known; i++)
		free((*d)->known[i]);
	free((*d)->known);
	free(*d);
	*d = NULL;
}

int fl_discovery_fd(const struct fl_discovery *d)
{
	return d->epoll_fd;
}

int fl_discovery_poll(struct fl_discovery *d)
{
	char buf[8192];
	int changed = 0;

	for (size_t i = 0; i < d->n; i++) {
		ssize_t n;

		/* ENOBUFS: notifications were lost, which is a change like any other */
		while ((n = mnl_socket_recvfrom(d->ns[i].notify, buf, sizeof buf)) > 0 ||
		       (n < 0 && (errno == ENOBUFS || errno == ENOSPC || errno == EINTR)))
			changed = 1;
	}
	return changed;
}

int32_t fl_rtnl_followed(const struct fl_discovery *d, size_t from, int32_t nsid)
{
	if (nsid < 0)
		return (int32_t)from;
	for (size_t i = 0; i < d->n; i++)
		if (fl_rtnl_nsid(d, from, d->ns[i].fd) == nsid)
			return (int32_t)i;
	return -1;
}

static void read_vlan(const struct nlattr *data, struct fl_interface *o)
{
	const struct nlattr *a;

	o->vlan_proto = ETH_P_8021Q; /* kernels before 3.10 know no other and do not say */
	mnl_attr_for_each_nested(a, data)
	{
		if (mnl_attr_get_payload_len(a) < sizeof(uint16_t))
			continue;
		if (mnl_attr_get_type(a) == IFLA_VLAN_ID)
			o->vlan_id = mnl_attr_get_u16(a) & 0xfff;
		else if (mnl_attr_get_type(a) == IFLA_VLAN_PROTOCOL)
			o->vlan_proto = __builtin_bswap16(mnl_attr_get_u16(a));
	}
}

static void read_kind(const struct nlattr *info, struct fl_link_row *l)
{
	const struct nlattr *a, *data = NULL;

	mnl_attr_for_each_nested(a, info)
	{
		if (mnl_attr_get_type(a) == IFLA_INFO_KIND)
			snprintf(l->kind, sizeof l->kind, "%s", mnl_attr_get_str(a));
		else if (mnl_attr_get_type(a) == IFLA_INFO_SLAVE_KIND)
			snprintf(l->master_kind, sizeof l->master_kind, "%s", mnl_attr_get_str(a));
		else if (mnl_attr_get_type(a) == IFLA_INFO_DATA)
			data = a;
	}
	if (data && strcmp(l->kind, "vlan") == 0)
		read_vlan(data, &l->out);
}

static void read_stats(const struct nlattr *a, struct fl_interface *o)
{
	struct rtnl_link_stats64 s = {0};

	memcpy(&s, mnl_attr_get_payload(a), FL_MIN(sizeof s, (size_t)mnl_attr_get_payload_len(a)));
	o->rx_packets = s.rx_packets;
	o->rx_bytes = s.rx_bytes;
	o->tx_packets = s.tx_packets;
	o->tx_bytes = s.tx_bytes;
	o->rx_dropped = s.rx_dropped;
	o->tx_dropped = s.tx_dropped;
}

static void read_link_attr(const struct nlattr *a, struct fl_link_row *l)
{
	struct fl_interface *o = &l->out;

	switch (mnl_attr_get_type(a)) {
	case IFLA_IFNAME:
		snprintf(o->eni.device, sizeof o->eni.device, "%s", mnl_attr_get_str(a));
		break;
	case IFLA_ADDRESS:
		if (mnl_attr_get_payload_len(a) == 6)
			memcpy(o->eni.mac, mnl_attr_get_payload(a), 6);
		break;
	case IFLA_MTU:
		o->mtu = mnl_attr_get_u32(a);
		break;
	case IFLA_LINK:
		o->link_ifindex = (int32_t)mnl_attr_get_u32(a);
		break;
	case IFLA_LINK_NETNSID:
		o->link_netnsid = (int32_t)mnl_attr_get_u32(a);
		break;
	case IFLA_MASTER:
		l->master = mnl_attr_get_u32(a);
		break;
	case IFLA_LINKINFO:
		read_kind(a, l);
		break;
	case IFLA_STATS64:
		read_stats(a, o);
		break;
	}
}

int fl_rtnl_on_link(const struct nlmsghdr *h, void *ctx)
{
	struct fl_links *all = ctx;
	const struct ifinfomsg *info = mnl_nlmsg_get_payload(h);
	const struct nlattr *a;
	struct fl_link_row *l;

	if (all->n == all->cap) {
		size_t cap = all->cap ? all->cap * 2 : 64;
		struct fl_link_row *v = cap > MAX_INTERFACES ? NULL : realloc(all->v, cap * sizeof *v);

		if (!v) {
			all->error = cap > MAX_INTERFACES ? -E2BIG : -ENOMEM;
			return MNL_CB_OK; /* read on, so that the socket is empty afterwards */
		}
		all->v = v;
		all->cap = cap;
	}
	l = &all->v[all->n++];
	*l = (struct fl_link_row){.ns = all->ns, .peer_ns = -1, .flags = info->ifi_flags};
	l->out.link_ifindex = l->out.link_netnsid = l->out.vlan_parent = -1;
	l->out.eni.ifindex = (uint32_t)info->ifi_index;
	l->out.arphrd = info->ifi_type;
	memcpy(l->out.eni.netns, all->d->ns[all->ns].name, sizeof l->out.eni.netns);
	mnl_attr_for_each(a, h, sizeof *info) read_link_attr(a, l);
	return MNL_CB_OK;
}

static int on_address(const struct nlmsghdr *h, void *ctx)
{
	struct fl_links *all = ctx;
	const struct ifaddrmsg *info = mnl_nlmsg_get_payload(h);
	const struct nlattr *a, *local = NULL;

	mnl_attr_for_each(a, h, sizeof *info) if (mnl_attr_get_type(a) == IFA_LOCAL && mnl_attr_get_payload_len(a) == 4)
	    local = a;
	for (size_t i = all->ns_first; local && i < all->n; i++) {
		struct fl_link_row *l = &all->v[i];

		if (l->out.eni.ifindex != info->ifa_index || l->out.eni.has_v4 || info->ifa_flags & IFA_F_SECONDARY)
			continue;
		l->out.eni.has_v4 = true;
		l->out.eni.primary_v4 = fl_addr_v4(mnl_attr_get_payload(local));
		l->prefix_bits = (uint8_t)FL_MIN((int)info->ifa_prefixlen, 32);
	}
	return MNL_CB_OK;
}

static int dump(struct fl_netns *ns, uint16_t type, uint8_t family, mnl_cb_t fn, struct fl_links *all)
{
	static unsigned sequence; /* tells a late answer from ours */
	char buf[32768];
	struct nlmsghdr *h = mnl_nlmsg_put_header(buf);
	struct ifinfomsg *info; /* the longer of the two headers; both begin with the family */
	unsigned seq = ++sequence;
	ssize_t n;
	int r = MNL_CB_OK;

	h->nlmsg_type = type;
	h->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	h->nlmsg_seq = seq;
	info = mnl_nlmsg_put_extra_header(h, sizeof *info);
	info->ifi_family = family;
	if (mnl_socket_sendto(ns->ask, h, h->nlmsg_len) < 0)
		return -errno;
	while (r > MNL_CB_STOP) {
		n = mnl_socket_recvfrom(ns->ask, buf, sizeof buf);
		if (n < 0)
			return -errno;
		r = mnl_cb_run(buf, (size_t)n, seq, mnl_socket_get_portid(ns->ask), fn, all);
		if (r < 0)
			return -errno;
	}
	return all->error;
}

static int dump_namespace(struct fl_discovery *d, size_t ns, struct fl_links *all)
{
	int r = -EINTR;

	all->ns = ns;
	all->ns_first = all->n;
	for (unsigned i = 0; i < DUMP_TRIES && r == -EINTR; i++) {
		all->n = all->ns_first;
		r = dump(&d->ns[ns], RTM_GETLINK, AF_UNSPEC, fl_rtnl_on_link, all);
		if (!r)
			r = dump(&d->ns[ns], RTM_GETADDR, AF_INET, on_address, all);
	}
	return r;
}

int fl_rtnl_links(struct fl_discovery *d, struct fl_links *all)
{
	int r = 0;

	for (size_t i = 0; i < d->n && !r; i++)
		r = dump_namespace(d, i, all);
	return r ? fl_fail(r, "the list of interfaces cannot be read: %s", strerror(-r)) : 0;
}
