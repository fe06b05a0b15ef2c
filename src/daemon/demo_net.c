/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <libmnl/libmnl.h>
#include <linux/ethtool.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/sockios.h>
#include <linux/veth.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"
#include "base/mem.h"
#include "daemon/demo.h"

#define MESSAGE_BYTES 4096
#define CLIENT_DEVICE "client0"
#define SERVER_DEVICE "server0"

/* ---- namespaces ---- */

static int write_proc(const char *path, const char *text)
{
	int fd FL_CLEANUP(fl_closep) = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return fl_fail(-errno, "%s: %m", path);
	return fl_wrap(fl_write_all(fd, text, strlen(text)), "%s", path);
}

static int map_to_root(uid_t uid, gid_t gid)
{
	char map[64];
	int r = write_proc("/proc/self/setgroups", "deny");

	snprintf(map, sizeof map, "0 %u 1", uid);
	if (!r)
		r = write_proc("/proc/self/uid_map", map);
	snprintf(map, sizeof map, "0 %u 1", gid);
	return r ? r : write_proc("/proc/self/gid_map", map);
}

int fl_demo_enter(void)
{
	uid_t uid = geteuid();
	gid_t gid = getegid();

	if (!unshare(CLONE_NEWUSER | CLONE_NEWNET))
		return map_to_root(uid, gid);
	if (!uid && !unshare(CLONE_NEWNET))
		return 0;
	return fl_fail(-errno,
		       "this kernel refuses user namespaces to user %u (%m), so there can be no network without root: "
		       "run the demo "
		       "as root, or allow them with \"sysctl user.max_user_namespaces=1000\" (Debian 10: "
		       "kernel.unprivileged_userns_clone=1, "
		       "Ubuntu: kernel.apparmor_restrict_unprivileged_userns=0)",
		       uid);
}

/* Runs fn inside the namespace. Not to be able to return would make everything after it wrong. */
static int inside(int ns, int (*fn)(void *ctx), void *ctx)
{
	int home FL_CLEANUP(fl_closep) = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC), r;

	if (home < 0 || setns(ns, CLONE_NEWNET))
		return fl_fail(-errno, "the server's network namespace cannot be entered: %m");
	r = fn(ctx);
	if (setns(home, CLONE_NEWNET))
		abort();
	return r;
}

/* ---- rtnetlink ---- */

/* One request in the current namespace; cb sees the answer, NULL: an acknowledgement is awaited. */
static int ask(struct nlmsghdr *n, mnl_cb_t cb, void *ctx)
{
	struct mnl_socket *s = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
	static uint8_t answer[32768];
	ssize_t got = -1;
	int r;

	if (!s)
		return fl_fail(-errno, "rtnetlink: %m");
	n->nlmsg_seq = 1;
	if (!mnl_socket_bind(s, 0, MNL_SOCKET_AUTOPID) && mnl_socket_sendto(s, n, n->nlmsg_len) >= 0)
		got = mnl_socket_recvfrom(s, answer, sizeof answer);
	r = got < 0 ? -1 : mnl_cb_run(answer, (size_t)got, 1, mnl_socket_get_portid(s), cb, ctx);
	r = r < 0 ? -errno : 0;
	mnl_socket_close(s);
	return r;
}

static struct nlmsghdr *link_message(void *buf, uint16_t type, uint16_t flags, int ifindex, unsigned up)
{
	struct nlmsghdr *n = mnl_nlmsg_put_header(buf);
	struct ifinfomsg *i;

	n->nlmsg_type = type;
	n->nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags);
	i = mnl_nlmsg_put_extra_header(n, sizeof *i);
	i->ifi_family = AF_UNSPEC;
	i->ifi_index = ifindex;
	i->ifi_flags = i->ifi_change = up;
	return n;
}

static int add_veth(int server_ns)
{
	uint8_t buf[MESSAGE_BYTES];
	struct nlmsghdr *n = link_message(buf, RTM_NEWLINK, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, 0, 0);
	struct nlattr *info, *data, *peer;

	mnl_attr_put_strz(n, IFLA_IFNAME, CLIENT_DEVICE);
	info = mnl_attr_nest_start(n, IFLA_LINKINFO);
	mnl_attr_put_strz(n, IFLA_INFO_KIND, "veth");
	data = mnl_attr_nest_start(n, IFLA_INFO_DATA);
	peer = mnl_attr_nest_start(n, VETH_INFO_PEER);
	mnl_nlmsg_put_extra_header(n, sizeof(struct ifinfomsg));
	mnl_attr_put_strz(n, IFLA_IFNAME, SERVER_DEVICE);
	mnl_attr_put_u32(n, IFLA_NET_NS_FD, (uint32_t)server_ns);
	mnl_attr_nest_end(n, peer);
	mnl_attr_nest_end(n, data);
	mnl_attr_nest_end(n, info);
	return fl_wrap(ask(n, NULL, NULL), "a veth pair (kernel option CONFIG_VETH)");
}

static int add_address(int ifindex, const char *address)
{
	uint8_t buf[MESSAGE_BYTES];
	struct nlmsghdr *n = mnl_nlmsg_put_header(buf);
	struct ifaddrmsg *a;
	struct in_addr in;

	n->nlmsg_type = RTM_NEWADDR;
	n->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL;
	a = mnl_nlmsg_put_extra_header(n, sizeof *a);
	a->ifa_family = AF_INET;
	a->ifa_prefixlen = 24;
	a->ifa_index = (uint32_t)ifindex;
	inet_pton(AF_INET, address, &in);
	mnl_attr_put(n, IFA_LOCAL, sizeof in, &in);
	mnl_attr_put(n, IFA_ADDRESS, sizeof in, &in);
	return fl_wrap(ask(n, NULL, NULL), "address %s", address);
}

static int set_up(int ifindex)
{
	uint8_t buf[MESSAGE_BYTES];

	return fl_wrap(ask(link_message(buf, RTM_NEWLINK, NLM_F_ACK, ifindex, IFF_UP), NULL, NULL), "interface up");
}

/* Buffers of many segments would be one packet in the interface's counters, and there would be nothing to compare with.
 */
static int no_offload(const char *device)
{
	static const uint32_t commands[] = {ETHTOOL_STSO, ETHTOOL_SGSO, ETHTOOL_SGRO};
	int fd FL_CLEANUP(fl_closep) = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	for (size_t i = 0; i < FL_ARRAY_LEN(commands); i++) {
		struct ethtool_value v = {.cmd = commands[i]};
		struct ifreq rq = {.ifr_data = (void *)&v};

		snprintf(rq.ifr_name, sizeof rq.ifr_name, "%s", device);
		if (ioctl(fd, SIOCETHTOOL, &rq))
			return fl_fail(-errno, "segmentation offload of %s cannot be switched off: %m", device);
	}
	return 0;
}

struct host {
	const char *device, *address;
	uint32_t ifindex;
};

static int configure(void *ctx)
{
	struct host *h = ctx;
	int r;

	/* Without IPv6 a fresh interface says nothing by itself. Where /proc is read-only it says a little, which is
	 * counted. */
	(void)write_proc("/proc/sys/net/ipv6/conf/all/disable_ipv6", "1");
	(void)write_proc("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1");
	h->ifindex = if_nametoindex(h->device);
	if (!h->ifindex)
		return fl_fail(-errno, "%s: %m", h->device);
	r = no_offload(h->device);
	if (!r)
		r = add_address((int)h->ifindex, h->address);
	return r ? r : set_up((int)h->ifindex);
}

int fl_demo_cable(struct fl_demo_net *net)
{
	struct host client = {.device = CLIENT_DEVICE, .address = FL_DEMO_CLIENT};
	struct host server = {.device = SERVER_DEVICE, .address = FL_DEMO_SERVER};
	int r = add_veth(net->server_ns);

	if (!r)
		r = configure(&client);
	if (!r)
		r = inside(net->server_ns, configure, &server);
	net->server_ifindex = server.ifindex;
	return r;
}

/* ---- counters ---- */

struct stats {
	uint32_t ifindex;
	struct rtnl_link_stats64 value;
	bool there;
};

static int on_link(const struct nlmsghdr *n, void *ctx)
{
	struct stats *s = ctx;
	struct nlattr *a;

	mnl_attr_for_each(a, n, sizeof(struct ifinfomsg)) if (mnl_attr_get_type(a) == IFLA_STATS64)
	{
		memcpy(&s->value, mnl_attr_get_payload(a),
		       FL_MIN((size_t)mnl_attr_get_payload_len(a), sizeof s->value));
		s->there = true;
	}
	return MNL_CB_OK;
}

static int read_stats(void *ctx)
{
	struct stats *s = ctx;
	uint8_t buf[MESSAGE_BYTES];
	int r = ask(link_message(buf, RTM_GETLINK, 0, (int)s->ifindex, 0), on_link, s);

	return r          ? fl_wrap(r, "the interface's counters")
	       : s->there ? 0
			  : fl_fail(-ENODATA, "the interface has no counters");
}

int fl_demo_counters(const struct fl_demo_net *net, struct fl_count ret[FL_DIR_N])
{
	struct stats s = {.ifindex = net->server_ifindex};
	int r = inside(net->server_ns, read_stats, &s);

	memset(ret, 0, FL_DIR_N * sizeof *ret);
	ret[FL_DIR_INGRESS] = (struct fl_count){.packets = s.value.rx_packets, .bytes = s.value.rx_bytes};
	ret[FL_DIR_EGRESS] = (struct fl_count){.packets = s.value.tx_packets, .bytes = s.value.tx_bytes};
	return r;
}
