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

#define NAMED_PROCESSES_MAX 8192 /* containers that are looked at for names */

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

/* The containers that processes live in, with the number of their network namespace in ours. */
struct process {
	int pid;
	int32_t nsid; /* never negative */
	struct fl_cgroup cgroup;
};
struct processes {
	struct process *v;
	size_t n, cap;
	bool read;
};

/* One process of each container and namespace is enough. */
static bool is_known(const struct processes *p, int32_t nsid, const struct fl_cgroup *c)
{
	for (size_t i = 0; i < p->n; i++)
		if (p->v[i].nsid == nsid && !strcmp(p->v[i].cgroup.id, c->id) &&
		    !strcmp(p->v[i].cgroup.machine, c->machine))
			return true;
	return false;
}

static void note_process(const struct fl_discovery *d, struct processes *p, int pid, int32_t own)
{
	struct fl_cgroup c;
	int32_t nsid;

	if (!fl_cgroup_of_process(d->conf.root, pid, &c))
		return;
	nsid = fl_rtnl_nsid_of_process(d, pid);
	if (nsid < 0 || nsid == own || is_known(p, nsid, &c))
		return;
	if (p->n == p->cap) {
		struct process *more = realloc(p->v, (p->cap + 256) * sizeof *more);

		if (!more)
			return;
		p->v = more;
		p->cap += 256;
	}
	p->v[p->n++] = (struct process){pid, nsid, c};
}

static void read_processes(const struct fl_discovery *d, struct processes *p)
{
	int32_t own = fl_rtnl_nsid(d, 0, d->ns[0].fd); /* a namespace may have a number in itself */
	char path[4096];
	struct dirent *e;
	DIR *dir;

	p->read = true;
	snprintf(path, sizeof path, "%s/proc", d->conf.root);
	dir = opendir(path);
	while (dir && p->n < NAMED_PROCESSES_MAX && (e = readdir(dir)))
		if (isdigit((unsigned char)e->d_name[0]))
			note_process(d, p, atoi(e->d_name), own);
	if (dir)
		closedir(dir);
}

/* Of several containers in one namespace the pod's own; else the first that its runtime knows, else any. */
static bool by_process(const struct fl_discovery *d, int32_t nsid, struct processes *p, struct fl_who *ret)
{
	struct fl_who *who FL_CLEANUP(fl_freep) = malloc(sizeof *who);
	unsigned best = 0;

	for (size_t i = 0; who && i < p->n && best < 3; i++) {
		unsigned rank;

		if (p->v[i].nsid != nsid || !fl_who_of_cgroup(d->conf.root, &p->v[i].cgroup, who))
			continue;
		rank = who->sandbox ? 3 : *who->path ? 2 : 1;
		if (rank > best)
			*ret = *who;
		best = FL_MAX(best, rank);
	}
	return best;
}

/* Who is at the end that we do not see, or in the namespace that we follow. */
static bool by_namespace(const struct fl_discovery *d, const struct fl_link_row *l, struct processes *p,
			 struct fl_who *ret)
{
	int32_t nsid = l->ns ? fl_rtnl_nsid(d, 0, d->ns[l->ns].fd) : l->peer_ns < 0 ? l->out.link_netnsid : -1;

	if (nsid < 0)
		return false;
	if (!p->read)
		read_processes(d, p);
	return by_process(d, nsid, p, ret);
}

static bool find_who(const struct fl_discovery *d, const struct fl_link_row *l, struct processes *p, struct fl_who *ret)
{
	const struct fl_eni *e = &l->out.eni;
	bool veth = !strcmp(l->kind, "veth"), found;

	found = by_namespace(d, l, p, ret);
	if (found && *ret->path)
		return true;
	if (!l->ns && (veth || !strcmp(l->kind, "tun") || !strncmp(l->kind, "macv", 4))) {
		struct fl_who *who FL_CLEANUP(fl_freep) = malloc(sizeof *who);

		if (who && fl_who_of_device(d->conf.root, e->device, e->mac, who)) {
			*ret = *who;
			return true;
		}
	}
	if (!found && l->ns && e->has_v4)
		found = fl_who_of_address(d->conf.root, &e->primary_v4, ret);
	return found;
}

static struct fl_known_name *known_name(const struct fl_discovery *d, size_t ns, const struct fl_eni *e)
{
	for (size_t i = 0; i < d->n_known; i++)
		if (d->known[i]->ns == ns && d->known[i]->ifindex == e->ifindex && !memcmp(d->known[i]->mac, e->mac, 6))
			return d->known[i];
	return NULL;
}

static struct fl_known_name *remember(struct fl_discovery *d, const struct fl_link_row *l, const struct fl_who *who)
{
	struct fl_known_name **all =
	    d->n_known < FL_NAMES_MAX ? realloc(d->known, (d->n_known + 1) * sizeof(*all)) : NULL;
	struct fl_known_name *k = all ? calloc(1, sizeof *k) : NULL;

	if (all)
		d->known = all;
	if (!k)
		return NULL; /* it is looked for again */
	*k = (struct fl_known_name){.ns = l->ns, .ifindex = l->out.eni.ifindex, .who = *who};
	memcpy(k->mac, l->out.eni.mac, 6);
	return d->known[d->n_known++] = k;
}

/* Looks for who it is when that is not known or to be looked for again. That there is nobody is remembered too. */
static const struct fl_known_name *find_known(struct fl_discovery *d, const struct fl_link_row *l, struct processes *p,
					      struct fl_who *room)
{
	struct fl_known_name *k = known_name(d, l->ns, &l->out.eni);

	if (!k || k->stale) {
		if (!find_who(d, l, p, room))
			memset(room, 0, sizeof *room);
		if (!k)
			k = remember(d, l, room);
		else if (*room->name && (*room->path || !*k->who.path)) /* what has a file is better known */
			k->who = *room;
	}
	if (k) {
		k->stale = false;
		k->listed = true;
	}
	return k && *k->who.name ? k : NULL;
}

static void name(struct fl_discovery *d, struct fl_link_row *l, struct processes *p, struct fl_who *room)
{
	struct fl_eni *e = &l->out.eni;
	const struct fl_known_name *k = d->conf.no_names ? NULL : find_known(d, l, p, room);

	snprintf(e->kind, sizeof e->kind, "%s", k ? k->who.kind : kind_of(l));
	if (k)
		memcpy(e->name, k->who.name, sizeof e->name);
	else
		snprintf(e->name, sizeof e->name, "%s%s%s", e->netns, *e->netns ? "/" : "", e->device);
}

/* Who is in the list no more is forgotten. */
static void forget(struct fl_discovery *d)
{
	size_t to = 0;

	for (size_t i = 0; i < d->n_known; i++) {
		if (d->known[i]->listed)
			d->known[to++] = d->known[i];
		else
			free(d->known[i]);
	}
	d->n_known = to;
}

bool fl_discovery_look_again(struct fl_discovery *d, bool everything)
{
	bool any = everything;

	for (size_t i = 0; i < d->n_known; i++) {
		struct fl_known_name *k = d->known[i];

		k->stale |= everything || (*k->who.path && fl_who_stamp(&k->who) != k->who.stamp);
		any |= k->stale;
	}
	return any;
}

struct fl_labels fl_discovery_labels(const struct fl_discovery *d, const struct fl_interface *i)
{
	size_t ns = 0;
	const struct fl_known_name *k;

	while (ns < d->n && strcmp(d->ns[ns].name, i->eni.netns) != 0)
		ns++;
	k = ns < d->n ? known_name(d, ns, &i->eni) : NULL;
	return k ? (struct fl_labels){k->who.labels.text, k->who.labels.n} : (struct fl_labels){0};
}

bool fl_discovery_is_named(const struct fl_interface *i)
{
	return !strcmp(i->eni.kind, "container") || !strcmp(i->eni.kind, "vm");
}

/* ---- the list ---- */

int fl_discovery_list(struct fl_discovery *d, struct fl_interface **ret, size_t *ret_n)
{
	struct fl_links all = {.d = d};
	struct processes p = {0};
	struct fl_who *room FL_CLEANUP(fl_freep) = malloc(sizeof *room);
	struct fl_interface *out;
	int r = room ? fl_rtnl_links(d, &all) : -ENOMEM;

	out = r ? NULL : calloc(FL_MAX(all.n, (size_t)1), sizeof *out);
	if (!out) {
		free(all.v);
		return r ? r : -ENOMEM;
	}
	fl_discovery_judge(&all);
	/* The kernel lists each namespace by ifindex and we ask them in their order: the list is
	 * sorted as the face says. */
	for (size_t i = 0; i < d->n_known; i++)
		d->known[i]->listed = false;
	for (size_t i = 0; i < all.n; i++) {
		identify(&d->conf.identity, &all, &all.v[i]);
		name(d, &all.v[i], &p, room);
		out[i] = all.v[i].out;
	}
	forget(d);
	free(p.v);
	free(all.v);
	*ret = out;
	*ret_n = all.n;
	return 0;
}
