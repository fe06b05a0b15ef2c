/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Programs on interfaces: a TCX link where the kernel has them (6.6), else a filter of our own
 * priority and handle below a clsact qdisc, which is shared and therefore stays.
 *
 * First on ingress and on egress. Last on egress would show what others rewrote, but a program
 * before us that says TC_ACT_OK or TCX_PASS ends the walk, and then its packets would be missed
 * without a trace; what is dropped behind us is a difference that has a name.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_arp.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/mem.h"
#include "capture/ebpf.h"

/* Not in the headers of Debian 12: include/uapi/linux/bpf.h of Linux 6.6. */
#define TCX_INGRESS 46
#define TCX_EGRESS 47
#define TCX_BEFORE (1u << 3)

#define HANDLE 0xf10c
#define PRIORITY_TRIES 16

/* ---- network namespaces ---- */

struct netns_visit {
	int own;
};

static int enter(struct netns_visit *v, int netns_fd)
{
	v->own = -1;
	if (netns_fd < 0)
		return 0;
	v->own = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	if (v->own < 0)
		return fl_fail(-errno, "/proc/thread-self/ns/net: %m");
	if (setns(netns_fd, CLONE_NEWNET)) {
		int r = fl_fail(-errno, "entering the network namespace: %m");

		fl_closep(&v->own);
		return r;
	}
	return 0;
}

static void leave(struct netns_visit *v)
{
	/* Cannot fail: the file descriptor is of the namespace we came from, and we had the
	 * privilege to leave it. */
	if (v->own >= 0 && setns(v->own, CLONE_NEWNET))
		_exit(1);
	fl_closep(&v->own);
}

static uint64_t netns_inode(int netns_fd)
{
	struct stat st;

	return netns_fd >= 0                           ? (fstat(netns_fd, &st) ? 0 : st.st_ino)
	       : stat("/proc/thread-self/ns/net", &st) ? 0
						       : st.st_ino;
}

/* A filter of an earlier life may sit in a namespace that is known by its number only. -1: it is
 * ours. */
static int open_netns(uint64_t inode, int *ret)
{
	DIR *d;
	struct dirent *e;

	*ret = -1;
	if (inode == netns_inode(-1))
		return 0;
	d = opendir("/run/netns");
	while (d && *ret < 0 && (e = readdir(d))) {
		int fd = openat(dirfd(d), e->d_name, O_RDONLY | O_CLOEXEC);

		if (fd >= 0 && netns_inode(fd) == inode)
			*ret = fd;
		else
			fl_closep(&fd);
	}
	if (d)
		closedir(d);
	return *ret < 0 ? -ENOENT : 0;
}

/* ---- one direction ---- */

static int attach_tcx(struct fl_ebpf_attachment *a, int prog, bool egress)
{
	LIBBPF_OPTS(bpf_link_create_opts, opts, .flags = TCX_BEFORE);
	int fd =
	    bpf_link_create(prog, (int)a->ifindex, (enum bpf_attach_type)(egress ? TCX_EGRESS : TCX_INGRESS), &opts);

	if (fd < 0)
		return -errno;
	a->hook = FL_HOOK_TCX;
	a->fd = fd;
	return 0;
}

static int attach_clsact(struct fl_ebpf_attachment *a, int prog, bool egress)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = (int)a->ifindex,
		    .attach_point = egress ? BPF_TC_EGRESS : BPF_TC_INGRESS);
	int r = bpf_tc_hook_create(&hook);

	if (r && r != -EEXIST)
		return fl_fail(r, "no clsact qdisc: %s", strerror(-r));
	for (unsigned i = 0; i < PRIORITY_TRIES; i++) {
		LIBBPF_OPTS(bpf_tc_opts, opts, .handle = HANDLE, .prog_fd = prog, .priority = 1 + i);

		r = bpf_tc_attach(&hook, &opts);
		if (!r) {
			a->hook = FL_HOOK_CLSACT;
			a->priority = opts.priority;
			return 0;
		}
		/* Taken: by a filter with our handle, or by one of another kind. */
		if (r != -EEXIST && r != -EINVAL)
			break;
	}
	return fl_fail(r, "no clsact filter: %s", strerror(-r));
}

static int hook_program(struct fl_live *l, struct fl_ebpf_attachment *a, int prog, bool egress)
{
	int r;

	if (!l->clsact) {
		r = attach_tcx(a, prog, egress);
		/* EINVAL: a kernel before 6.6 does not know the attach type. */
		if (r != -EINVAL)
			return r ? fl_fail(r, "no TCX link: %s", strerror(-r)) : 0;
		l->clsact = true;
	}
	return attach_clsact(a, prog, egress);
}

static int attach_direction(struct fl_live *l, uint16_t slot, bool egress, uint64_t conf,
			    const struct fl_ebpf_attachment *wanted, int netns_fd)
{
	struct fl_ebpf_attachment a = *wanted;
	int prog FL_CLEANUP(fl_closep) = fl_ebpf_program(l, conf | slot | (egress ? FL_K_CONF_EGRESS : 0));
	struct netns_visit v;
	int r = prog < 0 ? prog : enter(&v, netns_fd);

	if (r)
		return r;
	r = hook_program(l, &a, prog, egress);
	leave(&v);
	if (!r && l->dirfd >= 0) {
		fl_ebpf_name_attachment(&a, slot, egress);
		r = fl_ebpf_pin(l, a.hook == FL_HOOK_TCX ? a.fd : prog, a.pin);
		if (r) {
			*a.pin = '\0';
			fl_ebpf_drop(NULL, &a, egress);
		} else {
			/* The pin holds it; the roles that are forked from us get no handle on it.
			 */
			fl_closep(&a.fd);
		}
	}
	if (!r)
		l->att[slot * 2 + egress] = a;
	return r;
}

/* ---- detaching ---- */

static int drop_clsact(const struct fl_ebpf_attachment *a, bool egress)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = (int)a->ifindex,
		    .attach_point = egress ? BPF_TC_EGRESS : BPF_TC_INGRESS);
	LIBBPF_OPTS(bpf_tc_opts, opts, .handle = HANDLE, .priority = a->priority);
	struct netns_visit v;
	int netns FL_CLEANUP(fl_closep) = -1;
	int r = open_netns(a->netns, &netns);

	if (!r)
		r = enter(&v, netns);
	if (r)
		return r == -ENOENT ? 0 : r;
	r = bpf_tc_detach(&hook, &opts);
	leave(&v);
	return r == -ENOENT || r == -ENODEV || r == -EINVAL ? 0 : r;
}

/* Detached before the pin goes, not by its going: the kernel does that later, and the counters must
 * be final now. */
static int drop_tcx(const char *dir, const struct fl_ebpf_attachment *a)
{
	int fd = a->fd >= 0 ? a->fd : dir && *a->pin ? fl_ebpf_get(dir, a->pin) : -1;
	int r = fd < 0 || !bpf_link_detach(fd) ? 0 : -errno;

	fl_closep(&fd);
	return r;
}

int fl_ebpf_drop(const char *dir, struct fl_ebpf_attachment *a, bool egress)
{
	char path[256];
	int r = a->hook == FL_HOOK_TCX ? drop_tcx(dir, a) : a->hook == FL_HOOK_CLSACT ? drop_clsact(a, egress) : 0;

	if (dir && *a->pin) {
		snprintf(path, sizeof path, "%s/%s", dir, a->pin);
		unlink(path);
	}
	*a = (struct fl_ebpf_attachment){.fd = -1};
	return r;
}

int fl_ebpf_detach(struct fl_live *l, uint16_t slot)
{
	struct fl_ebpf_attachment gone = {0};
	int r = 0;

	if (slot >= FL_K_SLOTS)
		return fl_fail(-EINVAL, "slot %u is not one of %d", slot, FL_K_SLOTS);
	for (unsigned egress = 0; egress < 2; egress++) {
		struct fl_ebpf_attachment *a = &l->att[slot * 2 + egress], kept = *a;
		int e = a->hook ? fl_ebpf_drop(l->dirfd >= 0 ? l->dir : NULL, a, egress) : 0;

		if (!egress)
			gone = kept;
		r = r ? r : e;
	}
	fl_ebpf_forget_where(l, slot, &gone);
	return r ? fl_fail(r, "detaching slot %u: %s", slot, strerror(-r)) : 0;
}

/* ---- what is attached already ---- */

/* A link whose interface is gone says ifindex 0. struct bpf_link_info of old headers has no tcx;
 * xdp begins alike. */
static bool link_alive(const struct fl_live *l, const struct fl_ebpf_attachment *a)
{
	int pinned FL_CLEANUP(fl_closep) = a->fd < 0 ? fl_ebpf_get(l->dir, a->pin) : -1;
	struct bpf_link_info info = {0};
	uint32_t size = sizeof info;

	return !bpf_obj_get_info_by_fd(a->fd < 0 ? pinned : a->fd, &info, &size) && info.xdp.ifindex == a->ifindex;
}

static uint32_t program_id(const struct fl_live *l, const char *pin)
{
	int fd FL_CLEANUP(fl_closep) = fl_ebpf_get(l->dir, pin);
	struct bpf_prog_info info = {0};
	uint32_t size = sizeof info;

	return fd < 0 || bpf_obj_get_info_by_fd(fd, &info, &size) ? 0 : info.id;
}

static bool filter_alive(const struct fl_live *l, const struct fl_ebpf_attachment *a, bool egress, int netns_fd)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = (int)a->ifindex,
		    .attach_point = egress ? BPF_TC_EGRESS : BPF_TC_INGRESS);
	LIBBPF_OPTS(bpf_tc_opts, opts, .handle = HANDLE, .priority = a->priority);
	struct netns_visit v;
	int r = enter(&v, netns_fd);

	if (r)
		return false;
	r = bpf_tc_query(&hook, &opts);
	leave(&v);
	return !r && (!*a->pin || opts.prog_id == program_id(l, a->pin));
}

static bool is_attached(const struct fl_live *l, uint16_t slot, const struct fl_ebpf_attachment *wanted, int netns_fd)
{
	for (unsigned egress = 0; egress < 2; egress++) {
		const struct fl_ebpf_attachment *a = &l->att[slot * 2 + egress];

		if (!a->hook || a->ifindex != wanted->ifindex || a->netns != wanted->netns)
			return false;
		if (a->hook == FL_HOOK_TCX ? !link_alive(l, a) : !filter_alive(l, a, egress, netns_fd))
			return false;
	}
	return true;
}

int fl_ebpf_find_attachments(struct fl_live *l)
{
	int fd = openat(l->dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;

	if (!d) {
		int r = fl_fail(-errno, "%s: %m", l->dir);

		fl_closep(&fd);
		return r;
	}
	while ((e = readdir(d))) {
		struct fl_ebpf_attachment a;
		unsigned slot;
		bool egress;

		if (fl_ebpf_parse_attachment(e->d_name, &a, &slot, &egress))
			l->att[slot * 2 + egress] = a;
	}
	closedir(d);
	return 0;
}

/* ---- attaching ---- */

/* Devices without a link-layer header hand IP to tc. */
static int link_conf(uint16_t arphrd, uint64_t *ret)
{
	switch (arphrd) {
	case ARPHRD_ETHER:
	case ARPHRD_LOOPBACK:
		*ret = 0;
		return 0;
	case ARPHRD_NONE:
	case ARPHRD_RAWIP:
	case ARPHRD_PPP:
	case ARPHRD_TUNNEL:
	case ARPHRD_TUNNEL6:
	case ARPHRD_SIT:
	case ARPHRD_IPGRE:
	case ARPHRD_IP6GRE:
		*ret = FL_K_CONF_RAW;
		return 0;
	default:
		return fl_fail(-EOPNOTSUPP, "interfaces of hardware type %u (ARPHRD_*) are not metered", arphrd);
	}
}

int fl_ebpf_attach(struct fl_live *l, uint16_t slot, uint32_t ifindex, uint16_t arphrd, int netns_fd)
{
	struct fl_ebpf_attachment wanted = {.ifindex = ifindex, .netns = netns_inode(netns_fd), .fd = -1};
	uint64_t conf = 0;
	int r;

	if (slot >= FL_K_SLOTS)
		return fl_fail(-EINVAL, "slot %u is not one of %d", slot, FL_K_SLOTS);
	r = link_conf(arphrd, &conf);
	if (r)
		return r;
	if (is_attached(l, slot, &wanted, netns_fd))
		return fl_ebpf_set_where(l, (uint32_t)wanted.netns, ifindex, slot, false);
	/* Another interface, or one that went and came back. */
	fl_ebpf_detach(l, slot);
	/* Before the programs: what is dropped must be known where it is seen. */
	r = fl_ebpf_set_where(l, (uint32_t)wanted.netns, ifindex, slot, false);
	for (unsigned egress = 0; !r && egress < 2; egress++)
		r = attach_direction(l, slot, egress, conf, &wanted, netns_fd);
	if (r) {
		int kept = r;
		char text[256];

		snprintf(text, sizeof text, "%s", fl_error_text(r));
		fl_ebpf_detach(l, slot);
		return fl_fail(kept, "%s", text);
	}
	return 0;
}

int fl_ebpf_other_end(struct fl_live *l, uint16_t slot, uint32_t ifindex, int netns_fd)
{
	if (slot >= FL_K_SLOTS)
		return fl_fail(-EINVAL, "slot %u is not one of %d", slot, FL_K_SLOTS);
	return fl_ebpf_set_where(l, (uint32_t)netns_inode(netns_fd), ifindex, slot, true);
}
