/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whose addresses this host translates. conntrack tells when a translated connection begins and when it ends; those
 * that were there before are asked for once. Nothing happens per packet. Connections are kept in a table of fixed size,
 * in sets whose oldest gives way: one that is forgotten shows the addresses it has on the wire.
 */
#include "inventory/nat.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_compat.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/error.h"
#include "base/hash.h"
#include "base/mem.h"
#include "inventory/discover.h"

#define SETS_BITS 14
#define WAYS 4u /* 65,536 connections, 4 MiB */
#define RECEIVE_BYTES (4 << 20)
#define DUMP_BYTES 32768  /* what the kernel fills at most at a time */
#define MESSAGES_MAX 4096 /* of one poll: the meter has other things to do */
#define STATUS_NAT (IPS_SRC_NAT | IPS_DST_NAT)

/* The tuple that comes in on the wire and what stands behind its destination. */
struct translation {
	struct fl_key in; /* iface: number of the namespace; dirfam: FL_KEY_V6 alone */
	struct fl_addr inside;
	uint32_t born, died; /* monotonic seconds; born 0: empty; died 0: it lives */
};

struct fl_nat {
	struct fl_nat_conf conf;
	int epoll_fd;
	size_t n;
	char name[FL_NAMESPACES_MAX][32];
	struct mnl_socket *socket[FL_NAMESPACES_MAX];
	struct translation *table; /* NULL until there is one */
	uint64_t missed;
};

/* ---- the table ---- */

static struct translation *set_of(const struct fl_nat *n, const struct fl_key *key)
{
	uint64_t hash = fl_hash_bytes(key, sizeof *key, n->conf.seed);

	return n->table + (hash >> (64 - SETS_BITS)) * WAYS;
}

static void begin(struct fl_nat *n, const struct fl_key *in, const struct fl_addr *inside, uint32_t at)
{
	struct translation *set, *best;

	if (!n->table)
		n->table = calloc((size_t)WAYS << SETS_BITS, sizeof *n->table);
	if (!n->table)
		return;
	best = set = set_of(n, in);
	for (struct translation *t = set; t < set + WAYS; t++) {
		if (t->born && !memcmp(&t->in, in, sizeof *in)) {
			best = t;
			break;
		}
		if (best->born && (!t->born || t->born < best->born))
			best = t;
	}
	*best = (struct translation){.in = *in, .inside = *inside, .born = at};
}

static void end(struct fl_nat *n, const struct fl_key *in, uint32_t at)
{
	struct translation *set = n->table ? set_of(n, in) : NULL;

	for (struct translation *t = set; set && t < set + WAYS; t++)
		if (t->born && !memcmp(&t->in, in, sizeof *in))
			t->died = at;
}

bool fl_nat_behind(const struct fl_nat *n, const char *netns, const struct fl_key *in, struct fl_addr *ret)
{
	uint32_t now = (uint32_t)(fl_mono_ns(&n->conf.clock) / FL_NS_PER_S);
	struct fl_key key = *in;
	const struct translation *set;
	size_t ns = 0;

	if (!n->table)
		return false;
	while (ns < n->n && strcmp(n->name[ns], netns) != 0)
		ns++;
	key.iface = (uint16_t)ns;
	key.dirfam &= FL_KEY_V6;
	set = set_of(n, &key);
	for (const struct translation *t = set; t < set + WAYS; t++)
		if (t->born && (!t->died || now - t->died <= n->conf.keep_s) && !memcmp(&t->in, &key, sizeof key)) {
			*ret = t->inside;
			return true;
		}
	return false;
}

/* ---- messages ---- */

struct tuple {
	struct fl_addr src, dst;
	uint16_t sport, dport;
	uint8_t proto;
	bool v6, good;
};

static int on_attribute(const struct nlattr *a, void *ctx)
{
	const struct nlattr **table = ctx;

	/* No set of attributes here has more. */
	if (mnl_attr_get_type(a) <= CTA_MAX)
		table[mnl_attr_get_type(a)] = a;
	return MNL_CB_OK;
}

static void parse_nested(const struct nlattr *nest, const struct nlattr *ret[CTA_MAX + 1])
{
	memset(ret, 0, (CTA_MAX + 1) * sizeof *ret);
	if (nest)
		mnl_attr_parse_nested(nest, on_attribute, ret);
}

static bool get_address(const struct nlattr *a, bool v6, struct fl_addr *ret)
{
	if (!a || mnl_attr_get_payload_len(a) < (v6 ? 16 : 4))
		return false;
	if (v6)
		memcpy(ret->b, mnl_attr_get_payload(a), 16);
	else
		*ret = fl_addr_v4(mnl_attr_get_payload(a));
	return true;
}

static uint16_t get_port(const struct nlattr *a)
{
	uint16_t port = 0;

	if (a && mnl_attr_get_payload_len(a) >= sizeof port)
		memcpy(&port, mnl_attr_get_payload(a), sizeof port);
	return ntohs(port);
}

static struct tuple get_tuple(const struct nlattr *nest)
{
	const struct nlattr *outer[CTA_MAX + 1], *ip[CTA_MAX + 1], *proto[CTA_MAX + 1];
	struct tuple t = {0};

	parse_nested(nest, outer);
	parse_nested(outer[CTA_TUPLE_IP], ip);
	parse_nested(outer[CTA_TUPLE_PROTO], proto);
	t.v6 = ip[CTA_IP_V6_SRC];
	if (!proto[CTA_PROTO_NUM] || !mnl_attr_get_payload_len(proto[CTA_PROTO_NUM]) ||
	    !get_address(ip[t.v6 ? CTA_IP_V6_SRC : CTA_IP_V4_SRC], t.v6, &t.src) ||
	    !get_address(ip[t.v6 ? CTA_IP_V6_DST : CTA_IP_V4_DST], t.v6, &t.dst))
		return t;
	t.proto = mnl_attr_get_u8(proto[CTA_PROTO_NUM]);
	t.sport = get_port(proto[CTA_PROTO_SRC_PORT]);
	t.dport = get_port(proto[CTA_PROTO_DST_PORT]);
	t.good = true;
	return t;
}

static void note(struct fl_nat *n, unsigned ns, const struct tuple *in, const struct tuple *behind, bool began,
		 uint32_t at)
{
	struct fl_key key = {.src = in->src,
			     .dst = in->dst,
			     .sport = in->sport,
			     .dport = in->dport,
			     .iface = (uint16_t)ns,
			     .dirfam = in->v6 ? FL_KEY_V6 : 0,
			     .proto = in->proto};

	if (began)
		begin(n, &key, &behind->src, at);
	else
		end(n, &key, at);
}

void fl_nat_message(struct fl_nat *n, unsigned ns, const struct nlmsghdr *h, uint32_t at)
{
	const struct nlattr *a[CTA_MAX + 1] = {NULL};
	struct tuple original, reply;
	uint32_t status = 0;
	bool began = NFNL_MSG_TYPE(h->nlmsg_type) == IPCTNL_MSG_CT_NEW;

	if (NFNL_SUBSYS_ID(h->nlmsg_type) != NFNL_SUBSYS_CTNETLINK ||
	    h->nlmsg_len < MNL_NLMSG_HDRLEN + sizeof(struct nfgenmsg) ||
	    (!began && NFNL_MSG_TYPE(h->nlmsg_type) != IPCTNL_MSG_CT_DELETE))
		return;
	/* The kernel pads its attributes; libmnl reads on to the next multiple. */
	if (h->nlmsg_len % MNL_ALIGNTO)
		return;
	mnl_attr_parse(h, sizeof(struct nfgenmsg), on_attribute, a);
	if (a[CTA_STATUS] && mnl_attr_get_payload_len(a[CTA_STATUS]) >= sizeof status)
		memcpy(&status, mnl_attr_get_payload(a[CTA_STATUS]), sizeof status);
	status = ntohl(status);
	if (!(status & STATUS_NAT))
		return;
	original = get_tuple(a[CTA_TUPLE_ORIG]);
	reply = get_tuple(a[CTA_TUPLE_REPLY]);
	if (!original.good || !reply.good)
		return;
	/* Answers to a translated source come in as the reply does; calls to a translated destination as the original.
	 */
	if (status & IPS_SRC_NAT)
		note(n, ns, &reply, &original, began, at);
	if (status & IPS_DST_NAT)
		note(n, ns, &original, &reply, began, at);
}

/* ---- sockets ---- */

struct reading {
	struct fl_nat *n;
	unsigned ns;
	uint32_t at;
};

static int on_message(const struct nlmsghdr *h, void *ctx)
{
	const struct reading *r = ctx;

	fl_nat_message(r->n, r->ns, h, r->at);
	return MNL_CB_OK;
}

static uint32_t seconds(const struct fl_nat *n)
{
	return (uint32_t)(fl_mono_ns(&n->conf.clock) / FL_NS_PER_S);
}

/* Connections that are not translated do not wake us: the kernel looks at CTA_STATUS itself. */
static int listen_to(struct fl_nat *n, unsigned ns)
{
	static struct sock_filter code[] = {
	    BPF_STMT(BPF_LD | BPF_IMM, NLMSG_HDRLEN + sizeof(struct nfgenmsg)),
	    BPF_STMT(BPF_LDX | BPF_IMM, CTA_STATUS),
	    BPF_STMT(BPF_LD | BPF_B | BPF_ABS, (uint32_t)(SKF_AD_OFF + SKF_AD_NLATTR)),
	    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 3, 0),
	    BPF_STMT(BPF_MISC | BPF_TAX, 0),
	    BPF_STMT(BPF_LD | BPF_W | BPF_IND, NLA_HDRLEN),
	    BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, STATUS_NAT, 1, 0),
	    BPF_STMT(BPF_RET | BPF_K, 0),
	    BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
	};
	const struct sock_fprog filter = {.len = FL_ARRAY_LEN(code), .filter = code};
	struct epoll_event ev = {.events = EPOLLIN};
	const int bytes = RECEIVE_BYTES;
	int fd;

	n->socket[ns] = mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (!n->socket[ns])
		return -errno;
	fd = mnl_socket_get_fd(n->socket[ns]);
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes);
	if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof filter) ||
	    mnl_socket_bind(n->socket[ns], NF_NETLINK_CONNTRACK_NEW | NF_NETLINK_CONNTRACK_DESTROY,
			    MNL_SOCKET_AUTOPID) < 0)
		return -errno;
	ev.data.u32 = ns;
	return epoll_ctl(n->epoll_fd, EPOLL_CTL_ADD, fd, &ev) ? -errno : 0;
}

static int dump(struct mnl_socket *s, struct fl_nat *n, unsigned ns, uint32_t status)
{
	char buf[DUMP_BYTES] __attribute__((aligned(8)));
	struct nlmsghdr *h = mnl_nlmsg_put_header(buf);
	struct reading reading = {.n = n, .ns = ns, .at = seconds(n)};
	ssize_t got;
	int r = MNL_CB_OK;

	h->nlmsg_type = NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_GET;
	h->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	mnl_nlmsg_put_extra_header(h, sizeof(struct nfgenmsg));
	/* A kernel that does not know the filter sends all of them. */
	mnl_attr_put_u32(h, CTA_STATUS, htonl(status));
	mnl_attr_put_u32(h, CTA_STATUS_MASK, htonl(status));
	if (mnl_socket_sendto(s, h, h->nlmsg_len) < 0)
		return -errno;
	while (r > MNL_CB_STOP) {
		got = mnl_socket_recvfrom(s, buf, sizeof buf);
		if (got < 0)
			return -errno;
		r = mnl_cb_run(buf, (size_t)got, 0, 0, on_message, &reading);
	}
	return r < 0 ? -errno : 0;
}

/* After we listen, so that no connection falls between the two. */
static int ask(struct fl_nat *n, unsigned ns)
{
	struct mnl_socket *s = mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC);
	int r = !s || mnl_socket_bind(s, 0, MNL_SOCKET_AUTOPID) < 0 ? -errno : 0;

	if (!r)
		r = dump(s, n, ns, IPS_SRC_NAT);
	if (!r)
		r = dump(s, n, ns, IPS_DST_NAT);
	if (s)
		mnl_socket_close(s);
	return r;
}

int fl_nat_alloc(struct fl_nat **ret, const struct fl_nat_conf *conf)
{
	struct fl_nat *n = calloc(1, sizeof *n);

	if (!n)
		return -ENOMEM;
	n->conf = *conf;
	n->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	n->n = 1;
	*ret = n;
	return 0;
}

int fl_nat_new(struct fl_nat **ret, const struct fl_discovery *d, const struct fl_nat_conf *conf)
{
	struct fl_nat *n FL_CLEANUP(fl_nat_free) = NULL;
	int r = fl_nat_alloc(&n, conf);

	if (r)
		return r;
	n->n = d->n;
	for (unsigned i = 0; !r && i < d->n; i++) {
		memcpy(n->name[i], d->ns[i].name, sizeof n->name[i]);
		if (i && setns(d->ns[i].fd, CLONE_NEWNET))
			return fl_fail(-errno, "network namespace %s: cannot enter: %m", n->name[i]);
		r = listen_to(n, i);
		if (!r)
			r = ask(n, i);
		if (i && setns(d->ns[0].fd, CLONE_NEWNET))
			return fl_fail(-errno, "cannot return to our network namespace: %m");
	}
	if (r)
		return fl_fail(r, "conntrack does not tell about translated connections (%s)", strerror(-r));
	*ret = n;
	n = NULL;
	return 0;
}

void fl_nat_free(struct fl_nat **n)
{
	if (!*n)
		return;
	for (size_t i = 0; i < (*n)->n; i++)
		if ((*n)->socket[i])
			mnl_socket_close((*n)->socket[i]);
	if ((*n)->epoll_fd >= 0)
		close((*n)->epoll_fd);
	free((*n)->table);
	free(*n);
	*n = NULL;
}

int fl_nat_fd(const struct fl_nat *n)
{
	return n->epoll_fd;
}

static void drain(struct fl_nat *n, unsigned ns)
{
	char buf[DUMP_BYTES] __attribute__((aligned(8)));
	struct reading reading = {.n = n, .ns = ns, .at = seconds(n)};

	for (unsigned i = 0; i < MESSAGES_MAX; i++) {
		ssize_t got = mnl_socket_recvfrom(n->socket[ns], buf, sizeof buf);

		if (got < 0 && errno == ENOBUFS) {
			n->missed++;
			continue;
		}
		if (got <= 0)
			return;
		(void)mnl_cb_run(buf, (size_t)got, 0, 0, on_message, &reading);
	}
}

void fl_nat_poll(struct fl_nat *n)
{
	struct epoll_event ev[16];
	int k = epoll_wait(n->epoll_fd, ev, FL_ARRAY_LEN(ev), 0);

	for (int i = 0; i < k; i++)
		drain(n, ev[i].data.u32);
}

uint64_t fl_nat_missed(const struct fl_nat *n)
{
	return n->missed;
}
