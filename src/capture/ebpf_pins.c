/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What stays when the process goes: maps as "v<abi>_<map>", attachments as
 * "<t|c>_<slot>_<i|e>_<netns>_<ifindex>_<priority>", where t pins the TCX link itself and c the
 * program whose filter of clsact is known by the rest of the name, the link of the program of drops as
 * "drops". The clock is pinned last: a
 * directory without it is the rest of a start that did not come to its end.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/error.h"
#include "base/mem.h"
#include "capture/ebpf.h"

#define BPFFS_MAGIC 0xcafe4a11 /* linux/magic.h, BPF_FS_MAGIC */

static void map_pin_name(enum fl_ebpf_map m, char ret[64])
{
	snprintf(ret, 64, "v%d_%s", FL_K_ABI, fl_ebpf_map_names[m]);
}

static int mount_bpffs(void)
{
	struct statfs fs;

	if (!statfs(FL_EBPF_BPFFS, &fs) && (uint32_t)fs.f_type == BPFFS_MAGIC)
		return 0;
	if (mount("bpf", FL_EBPF_BPFFS, "bpf", MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_RELATIME, "mode=0700"))
		return fl_fail(FL_LIVE_UNAVAILABLE, "no BPF file system at " FL_EBPF_BPFFS
						    " and none can be mounted (%m): \"mount -t bpf bpf " FL_EBPF_BPFFS
						    "\" as root makes one");
	return 0;
}

static int dir_of(const char *name, char *ret, size_t size)
{
	/* bpffs refuses names with dots. */
	if (!*name || strpbrk(name, "/.") || strlen(name) > 64)
		return fl_fail(-EINVAL, "\"%s\" is no name for a directory of pins: letters, digits, - and _", name);
	snprintf(ret, size, FL_EBPF_BPFFS "/%s", name);
	return 0;
}

int fl_ebpf_get(const char *dir, const char *name)
{
	char path[256];
	int fd;

	snprintf(path, sizeof path, "%s/%s", dir, name);
	fd = bpf_obj_get(path);
	return fd < 0 ? fl_fail(-errno, "%s: %m", path) : fd;
}

/* Calls fn for every name that starts with prefix; the names are collected first, fn may remove
 * them. */
static int each_name(int dirfd, const char *prefix, int (*fn)(void *ctx, const char *name), void *ctx)
{
	struct dirent **list = NULL;
	int n = scandirat(dirfd, ".", &list, NULL, alphasort), r = 0;

	if (n < 0)
		return fl_fail(-errno, "the directory of pins cannot be read: %m");
	for (int i = 0; i < n; i++) {
		if (!r && list[i]->d_name[0] != '.' && !strncmp(list[i]->d_name, prefix, strlen(prefix)))
			r = fn(ctx, list[i]->d_name);
		free(list[i]);
	}
	free(list);
	return r;
}

static int other_version(void *ctx, const char *name)
{
	char own[16];

	snprintf(own, sizeof own, "v%d_", FL_K_ABI);
	if (!strncmp(name, own, strlen(own)))
		return 0;
	return fl_fail(-EBUSY,
		       "%s holds what another version of flowlog counted: stop that one, or give it up with "
		       "\"flowlog detach\"",
		       (const char *)ctx);
}

int fl_ebpf_open_dir(struct fl_live *l, const char *name, bool *ret_found)
{
	char clock[64];
	int r = dir_of(name, l->dir, sizeof l->dir);

	if (!r)
		r = mount_bpffs();
	if (r)
		return r;
	if (mkdir(l->dir, 0700) && errno != EEXIST)
		return fl_fail(errno == EPERM || errno == EACCES ? FL_LIVE_UNAVAILABLE : -errno, "%s: %m", l->dir);
	l->dirfd = open(l->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (l->dirfd < 0)
		return fl_fail(-errno, "%s: %m", l->dir);
	map_pin_name(FL_MAP_CLOCK, clock);
	*ret_found = !faccessat(l->dirfd, clock, F_OK, 0);
	r = each_name(l->dirfd, "v", other_version, l->dir);
	if (!r && !*ret_found)
		fl_ebpf_wipe(l, "");
	return r;
}

int fl_ebpf_open_pins(struct fl_live *l)
{
	for (unsigned m = 0; m < FL_MAP_N; m++) {
		char name[64];

		map_pin_name(m, name);
		l->map_fd[m] = fl_ebpf_get(l->dir, name);
		if (l->map_fd[m] < 0)
			return fl_wrap(l->map_fd[m], "taking over what an earlier run counted");
	}
	return 0;
}

int fl_ebpf_pin(const struct fl_live *l, int fd, const char *name)
{
	char path[256];

	snprintf(path, sizeof path, "%s/%s", l->dir, name);
	return bpf_obj_pin(fd, path) ? fl_fail(-errno, "pinning %s: %m", path) : 0;
}

int fl_ebpf_pin_maps(struct fl_live *l)
{
	int r = 0;

	for (int m = FL_MAP_N - 1; !r && m >= 0; m--) {
		char name[64];

		_Static_assert(FL_MAP_CLOCK == 0, "pinned last");
		map_pin_name((enum fl_ebpf_map)m, name);
		r = fl_ebpf_pin(l, l->map_fd[m], name);
	}
	return r;
}

/* ---- names of attachments ---- */

void fl_ebpf_name_attachment(struct fl_ebpf_attachment *a, unsigned slot, bool egress)
{
	snprintf(a->pin, sizeof a->pin, "%c_%u_%c_%" PRIu64 "_%u_%u", a->hook == FL_HOOK_TCX ? 't' : 'c', slot,
		 egress ? 'e' : 'i', a->netns, a->ifindex, a->priority);
}

bool fl_ebpf_parse_attachment(const char *name, struct fl_ebpf_attachment *ret, unsigned *ret_slot, bool *ret_egress)
{
	char hook, way;

	*ret = (struct fl_ebpf_attachment){.fd = -1};
	if (sscanf(name, "%c_%u_%c_%" SCNu64 "_%u_%u", &hook, ret_slot, &way, &ret->netns, &ret->ifindex,
		   &ret->priority) != 6)
		return false;
	if ((hook != 't' && hook != 'c') || (way != 'i' && way != 'e') || *ret_slot >= FL_K_SLOTS)
		return false;
	ret->hook = hook == 't' ? FL_HOOK_TCX : FL_HOOK_CLSACT;
	*ret_egress = way == 'e';
	snprintf(ret->pin, sizeof ret->pin, "%s", name);
	return true;
}

/* ---- removal ---- */

struct wipe {
	const char *dir;
	int dirfd, n;
};

static int wipe_one(void *ctx, const char *name)
{
	struct wipe *w = ctx;
	struct fl_ebpf_attachment a;
	unsigned slot;
	bool egress;

	if (fl_ebpf_parse_attachment(name, &a, &slot, &egress)) {
		w->n++;
		fl_ebpf_drop(w->dir, &a, egress);
	}
	unlinkat(w->dirfd, name, 0);
	return 0;
}

void fl_ebpf_wipe(struct fl_live *l, const char *only_prefix)
{
	struct wipe w = {.dir = l->dir, .dirfd = l->dirfd};

	each_name(l->dirfd, only_prefix, wipe_one, &w);
}

int fl_live_detach_pins(const char *pin_name)
{
	char dir[128];
	struct wipe w = {.dir = dir};
	int fd FL_CLEANUP(fl_closep) = -1;
	int r = dir_of(pin_name, dir, sizeof dir);

	if (r)
		return r;
	fl_ebpf_quiet();
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? 0 : fl_fail(-errno, "%s: %m", dir);
	w.dirfd = fd;
	r = each_name(fd, "", wipe_one, &w);
	if (!r && rmdir(dir))
		r = fl_fail(-errno, "%s: %m", dir);
	return r ? r : w.n;
}
