/* SPDX-License-Identifier: Apache-2.0 */
/* Which interfaces are ENIs, and whose (../shared/design/architecture.md, "What is an ENI here").
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <linux/if_arp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/mem.h"
#include "inventory/discover.h"
#include "inventory/names.h"

#define NAMED_NS_MAX 1024 /* namespaces of processes that are looked at for names */

const char *const fl_skip_reasons[FL_SKIP_N] = {
    [FL_SKIP_NONE] = "metered",
    [FL_SKIP_LOOPBACK] = "loopback never leaves the host",
    [FL_SKIP_DOWN] = "the interface is down",
    [FL_SKIP_BOND_MEMBER] = "member of a bond; the bond is metered",
    [FL_SKIP_BRIDGE] = "bridge; its ports are metered",
    [FL_SKIP_PEER_METERED] = "the other end of the same cable is metered",
    [FL_SKIP_CONFIGURED] = "left out by the configuration",
    [FL_SKIP_UNSUPPORTED] = "link type without IP frames",
};

/* ---- which are ENIs ---- */

static bool matches(const char *const *patterns, const char *device)
{
	for (; patterns && *patterns; patterns++)
		if (fnmatch(*patterns, device, 0) == 0)
			return true;
	return false;
}

/* Link types whose frames the decoder reads. */
static bool carries_ip(uint16_t arphrd)
{
	static const uint16_t known[] = {ARPHRD_ETHER,   ARPHRD_NONE, ARPHRD_RAWIP, ARPHRD_PPP,   ARPHRD_TUNNEL,
					 ARPHRD_TUNNEL6, ARPHRD_SIT,  ARPHRD_IPGRE, ARPHRD_IP6GRE};

	for (size_t i = 0; i < FL_ARRAY_LEN(known); i++)
		if (known[i] == arphrd)
			return true;
	return false;
}

static enum fl_skip skip_of(const struct fl_discovery_conf *conf, const struct fl_link_row *l)
{
	const char *device = l->out.eni.device;

	if (l->flags & IFF_LOOPBACK)
		return FL_SKIP_LOOPBACK;
	if ((conf->include && *conf->include && !matches(conf->include, device)) || matches(conf->exclude, device))
		return FL_SKIP_CONFIGURED;
	if (!(l->flags & IFF_UP))
		return FL_SKIP_DOWN;
	if (strcmp(l->master_kind, "bond") == 0)
		return FL_SKIP_BOND_MEMBER;
	if (!carries_ip(l->out.arphrd))
		return FL_SKIP_UNSUPPORTED;
	return FL_SKIP_NONE;
}

/* The guest's end: outside our namespace, else not in a bridge, else with an address, else the
 * later one. */
static int guest_rank(const struct fl_link_row *l)
{
	return (l->ns != 0) * 4 + (l->master == 0) * 2 + l->out.eni.has_v4;
}

static struct fl_link_row *find_peer(struct fl_links *all, struct fl_link_row *l)
{
	if (l->out.link_ifindex < 0)
		return NULL;
	l->peer_ns = fl_rtnl_followed(all->d, l->ns, l->out.link_netnsid);
	for (size_t j = 0; j < all->n && l->peer_ns >= 0; j++)
		if (all->v[j].ns == (size_t)l->peer_ns && (int32_t)all->v[j].out.eni.ifindex == l->out.link_ifindex)
			return &all->v[j];
	return NULL;
}

static bool is_candidate(const struct fl_link_row *l)
{
	return l->out.skip == FL_SKIP_NONE || l->out.skip == FL_SKIP_PEER_METERED;
}

static void judge_pairs(struct fl_links *all)
{
	for (size_t i = 0; i < all->n; i++) {
		struct fl_link_row *l = &all->v[i], *peer;
		int mine, its;

		if (strcmp(l->kind, "veth") != 0)
			continue;
		peer = find_peer(all, l);
		mine = guest_rank(l);
		its = peer ? guest_rank(peer) : 0;
		if (!peer || !is_candidate(peer)) {
			/* Only one end can be metered. With the far end in a namespace that we do
			 * not see, this is the host's. */
			l->out.eni.flip = peer ? mine < its : l->out.link_netnsid >= 0 && l->ns == 0;
			continue;
		}
		if (l->out.skip == FL_SKIP_NONE && (mine < its || (mine == its && l < peer))) {
			l->out.skip = FL_SKIP_PEER_METERED;
			peer->out.other_ifindex = l->out.eni.ifindex;
			memcpy(peer->out.other_netns, l->out.eni.netns, sizeof peer->out.other_netns);
		}
	}
}

/* A bridge is left out only when a port of it is metered: here, or at the far end of its cable. */
static void judge_bridges(struct fl_links *all)
{
	for (size_t i = 0; i < all->n; i++) {
		struct fl_link_row *b = &all->v[i];

		if (b->out.skip != FL_SKIP_NONE || strcmp(b->kind, "bridge") != 0)
			continue;
		for (size_t j = 0; j < all->n; j++) {
			const struct fl_link_row *p = &all->v[j];

			if (p->ns == b->ns && p->master == b->out.eni.ifindex && is_candidate(p))
				b->out.skip = FL_SKIP_BRIDGE;
		}
	}
}

/* Tagged frames belong to the VLAN's own interface when both it and the one below are metered. */
static void judge_vlans(struct fl_links *all)
{
	for (size_t i = 0; i < all->n; i++) {
		struct fl_link_row *l = &all->v[i], *below;

		if (!l->out.vlan_proto || l->out.skip != FL_SKIP_NONE)
			continue;
		below = find_peer(all, l);
		if (!below || below->out.skip != FL_SKIP_NONE)
			continue;
		l->out.vlan_parent = (int32_t)(below - all->v);
		below->out.has_vlans = true;
	}
}

void fl_discovery_judge(struct fl_links *all)
{
	for (size_t i = 0; i < all->n; i++)
		all->v[i].out.skip = skip_of(&all->d->conf, &all->v[i]);
	judge_pairs(all);
	judge_bridges(all);
	judge_vlans(all);
}

/* ---- whose ---- */

static const char *kind_of(const struct fl_link_row *l)
{
	static const char *const tunnels[] = {"vxlan",     "geneve",    "gre",    "gretap",    "ip6gre",
					      "ip6gretap", "ipip",      "sit",    "ip6tnl",    "vti",
					      "vti6",      "wireguard", "erspan", "ip6erspan", "fou"};

	if (!strcmp(l->kind, "bridge"))
		return "bridge";
	for (size_t i = 0; i < FL_ARRAY_LEN(tunnels); i++)
		if (!strcmp(l->kind, tunnels[i]))
			return "tunnel";
	return !strcmp(l->kind, "tun") && l->out.arphrd == ARPHRD_NONE ? "tunnel" : "host";
}

/* The network an interface is in: its own, else that of the bridge it is plugged into. */
static void network_of(const struct fl_links *all, const struct fl_link_row *l, char *ret, size_t size)
{
	const struct fl_link_row *from = l->out.eni.has_v4 ? l : NULL;
	char text[FL_ADDR_TEXT_MAX + 1];
	struct fl_addr net;

	for (size_t i = 0; !from && l->master && i < all->n; i++)
		if (all->v[i].ns == l->ns && all->v[i].out.eni.ifindex == l->master && all->v[i].out.eni.has_v4)
			from = &all->v[i];
	*ret = '\0';
	if (!from)
		return;
	net = from->out.eni.primary_v4;
	for (unsigned bit = from->prefix_bits; bit < 32; bit++)
		net.b[12 + bit / 8] = (uint8_t)(net.b[12 + bit / 8] & ~(0x80u >> bit % 8));
	*fl_addr_print(text, &net, false) = '\0';
	snprintf(ret, size, "%s/%u", text, from->prefix_bits);
}

static bool id_taken(const struct fl_links *all, const struct fl_link_row *l)
{
	for (const struct fl_link_row *other = all->v; other < l; other++)
		if (!strcmp(other->out.eni.interface_id, l->out.eni.interface_id))
			return true;
	return false;
}

/* Ids from machine, MAC and network. Devices stacked on another often share its address: those are
 * told apart by name. */
static void identify(const struct fl_identity_conf *conf, struct fl_links *all, struct fl_link_row *l)
{
	static const uint8_t no_mac[6];
	struct fl_eni *e = &l->out.eni;
	char what[160], net[64];

	memcpy(e->account_id, conf->account_id, sizeof e->account_id);
	memcpy(e->region, conf->region, sizeof e->region);
	if (memcmp(e->mac, no_mac, 6))
		snprintf(what, sizeof what, "%s/%02x:%02x:%02x:%02x:%02x:%02x", e->netns, e->mac[0], e->mac[1],
			 e->mac[2], e->mac[3], e->mac[4], e->mac[5]);
	else
		snprintf(what, sizeof what, "%s/%s", e->netns, e->device);
	fl_derive_id(conf, "eni", what, e->interface_id, sizeof e->interface_id);
	if (id_taken(all, l)) {
		snprintf(what + strlen(what), sizeof what - strlen(what), "/%s", e->device);
		fl_derive_id(conf, "eni", what, e->interface_id, sizeof e->interface_id);
	}
	network_of(all, l, net, sizeof net);
	if (*net) {
		fl_derive_id(conf, "subnet", net, e->subnet_id, sizeof e->subnet_id);
		fl_derive_id(conf, "vpc", net, e->vpc_id, sizeof e->vpc_id);
	}
	fl_derive_id(conf, "i", "host", e->instance_id, sizeof e->instance_id);
	snprintf(e->az_id, sizeof e->az_id, "%s", strcmp(e->region, "us-east-1") ? "" : "use1-az1");
}

/* ---- names ---- */

/* Network namespaces of running processes, one process each. */
struct process_ns {
	ino_t inode;
	int pid;
	int32_t nsid; /* as our namespace calls it; negative: not at all */
};
struct processes {
	struct process_ns v[NAMED_NS_MAX];
	size_t n;
	bool read;
};

static void read_processes(const struct fl_discovery *d, struct processes *p)
{
	DIR *dir = opendir("/proc");
	struct dirent *e;

	p->read = true;
	while (dir && p->n < NAMED_NS_MAX && (e = readdir(dir))) {
		char path[300];
		struct stat st;
		size_t i = 0;
		int fd;

		if (!isdigit((unsigned char)e->d_name[0]))
			continue;
		snprintf(path, sizeof path, "/proc/%s/ns/net", e->d_name);
		if (stat(path, &st) || st.st_ino == d->ns[0].inode)
			continue;
		while (i < p->n && p->v[i].inode != st.st_ino)
			i++;
		if (i < p->n)
			continue;
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			continue;
		p->v[p->n++] =
		    (struct process_ns){.inode = st.st_ino, .pid = atoi(e->d_name), .nsid = fl_rtnl_nsid(d, 0, fd)};
		close(fd);
	}
	if (dir)
		closedir(dir);
}

static bool container_name(const struct fl_discovery *d, const struct fl_link_row *l, struct processes *p, char *ret)
{
	if (!l->ns && (l->peer_ns >= 0 || l->out.link_netnsid < 0))
		return false;
	if (!p->read)
		read_processes(d, p);
	for (size_t i = 0; i < p->n; i++)
		if ((l->ns ? p->v[i].inode == d->ns[l->ns].inode : p->v[i].nsid == l->out.link_netnsid) &&
		    fl_name_of_process("", p->v[i].pid, ret))
			return true;
	return false;
}

static const struct fl_known_name *known_name(const struct fl_discovery *d, const struct fl_link_row *l)
{
	for (size_t i = 0; i < d->n_known; i++)
		if (d->known[i].ns == l->ns && d->known[i].ifindex == l->out.eni.ifindex &&
		    !memcmp(d->known[i].mac, l->out.eni.mac, 6))
			return &d->known[i];
	return NULL;
}

static void remember(struct fl_discovery *d, const struct fl_link_row *l)
{
	struct fl_known_name *k = d->n_known < FL_NAMES_MAX ? realloc(d->known, (d->n_known + 1) * sizeof *k) : NULL;

	if (!k)
		return; /* it is looked for again */
	d->known = k;
	k = &d->known[d->n_known++];
	*k = (struct fl_known_name){.ns = l->ns, .ifindex = l->out.eni.ifindex};
	memcpy(k->mac, l->out.eni.mac, 6);
	memcpy(k->name, l->out.eni.name, sizeof k->name);
	memcpy(k->kind, l->out.eni.kind, sizeof k->kind);
}

static void name(struct fl_discovery *d, struct fl_link_row *l, struct processes *p)
{
	const struct fl_known_name *k = known_name(d, l);
	struct fl_eni *e = &l->out.eni;

	snprintf(e->kind, sizeof e->kind, "%s", kind_of(l));
	if (k) {
		memcpy(e->name, k->name, sizeof e->name);
		memcpy(e->kind, k->kind, sizeof e->kind);
	} else if (container_name(d, l, p, e->name)) {
		snprintf(e->kind, sizeof e->kind, "container");
		remember(d, l);
	} else if (!strcmp(l->kind, "tun") && fl_name_of_tap("", e->device, e->name)) {
		snprintf(e->kind, sizeof e->kind, "vm");
		remember(d, l);
	} else {
		snprintf(e->name, sizeof e->name, "%s%s%s", e->netns, *e->netns ? "/" : "", e->device);
	}
}

/* ---- the list ---- */

int fl_discovery_list(struct fl_discovery *d, struct fl_interface **ret, size_t *ret_n)
{
	struct fl_links all = {.d = d};
	struct processes *p FL_CLEANUP(fl_freep) = calloc(1, sizeof *p);
	struct fl_interface *out;
	int r = p ? fl_rtnl_links(d, &all) : -ENOMEM;

	out = r ? NULL : calloc(FL_MAX(all.n, (size_t)1), sizeof *out);
	if (!out) {
		free(all.v);
		return r ? r : -ENOMEM;
	}
	fl_discovery_judge(&all);
	/* The kernel lists each namespace by ifindex and we ask them in their order: the list is
	 * sorted as the face says. */
	for (size_t i = 0; i < all.n; i++) {
		identify(&d->conf.identity, &all, &all.v[i]);
		name(d, &all.v[i], p);
		out[i] = all.v[i].out;
	}
	free(all.v);
	*ret = out;
	*ret_n = all.n;
	return 0;
}
