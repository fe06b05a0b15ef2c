/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The program of drops: attached once for all interfaces, when this kernel says why it drops a packet. The numbers of
 * the reasons change between kernels, so they are looked up by name in the kernel's description of itself (BTF).
 */
#include <bpf/btf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/mem.h"
#include "capture/ebpf.h"
#include "drops.skel.h"
#include "meter.skel.h"

#define PIN "drops"
#define REASONS "skb_drop_reason" /* include/net/dropreason-core.h */
#define PREFIX "SKB_DROP_REASON_"
#define REJECT PREFIX FL_LIVE_REJECT

static int unavailable(struct fl_live *l, const char *why)
{
	snprintf(l->no_verdicts, sizeof l->no_verdicts, "%s", why);
	return 0;
}

/* Puts the names into the first CPU's rows. The number of REJECT, -1: this kernel has none. */
int fl_ebpf_resolve_reasons(struct fl_kcause *causes, const struct btf *btf)
{
	int id = btf__find_by_name_kind(btf, REASONS, BTF_KIND_ENUM), reject = -1;
	const struct btf_type *t = id > 0 ? btf__type_by_id(btf, (uint32_t)id) : NULL;

	for (uint16_t i = 0; t && i < btf_vlen(t); i++) {
		const struct btf_enum *e = &btf_enum(t)[i];
		const char *name = btf__name_by_offset(btf, e->name_off);

		if (!name || e->val < 0 || e->val >= FL_K_CAUSES - 1)
			continue;
		if (!strcmp(name, REJECT))
			reject = e->val;
		if (!strncmp(name, PREFIX, strlen(PREFIX)))
			name += strlen(PREFIX);
		snprintf(causes[e->val].name, sizeof causes->name, "%s", name);
	}
	snprintf(causes[FL_K_CAUSES - 1].name, sizeof causes->name, "OTHER");
	return reject;
}

/* The same maps as the meter's, and the same hash: the program looks into the cache. */
static int load(const struct fl_live *l, struct drops_bpf *skel, int reject)
{
	struct bpf_map *map;
	int r = 0;

	bpf_object__for_each_map(map, skel->obj)
	{
		struct bpf_map *own = bpf_object__find_map_by_name(l->skel->obj, bpf_map__name(map));

		if (!r && own && !strncmp(bpf_map__name(map), "fl_", 3))
			r = bpf_map__reuse_fd(map, bpf_map__fd(own));
	}
	skel->rodata->fl_cache_bits = l->cache_bits;
	skel->rodata->fl_drop_bits = l->drop_bits;
	skel->rodata->fl_reject_reason = (uint32_t)reject;
	for (size_t i = 0; i < FL_ARRAY_LEN(skel->rodata->fl_seed); i++)
		skel->rodata->fl_seed[i] = l->skel->rodata->fl_seed[i];
	return r ? r : drops_bpf__load(skel);
}

static int attach(struct fl_live *l, const struct drops_bpf *skel)
{
	struct bpf_link *link = bpf_program__attach(skel->progs.fl_drop);
	int r = 0;

	if (!link)
		return -errno;
	if (l->dirfd >= 0) {
		r = fl_ebpf_pin(l, bpf_link__fd(link), PIN);
	} else {
		l->drops_fd = dup(bpf_link__fd(link));
		r = l->drops_fd < 0 ? -errno : 0;
	}
	/* The pin or our own descriptor holds it. */
	bpf_link__destroy(link);
	return r;
}

static int program_of_pin(const struct fl_live *l)
{
	int fd FL_CLEANUP(fl_closep) = fl_ebpf_get(l->dir, PIN);
	struct bpf_link_info info = {0};
	uint32_t size = sizeof info;

	return fd < 0 || bpf_obj_get_info_by_fd(fd, &info, &size) ? -1 : bpf_prog_get_fd_by_id(info.prog_id);
}

int fl_ebpf_attach_drops(struct fl_live *l)
{
	struct drops_bpf *skel;
	struct btf *btf;
	char text[sizeof l->no_verdicts];
	int reject, r;

	if (l->dirfd >= 0 && !faccessat(l->dirfd, PIN, F_OK, 0)) {
		l->drops_prog = program_of_pin(l);
		return 0;
	}
	l->clock->verdicts = 0;
	fl_ebpf_quiet();
	btf = btf__load_vmlinux_btf();
	if (!btf)
		return unavailable(l, "this kernel does not describe its types (CONFIG_DEBUG_INFO_BTF)");
	reject = fl_ebpf_resolve_reasons(l->causes, btf);
	btf__free(btf);
	if (reject < 0)
		return unavailable(l, "this kernel does not say why it drops a packet (Linux 5.18 and later do)");
	skel = drops_bpf__open();
	r = skel ? load(l, skel, reject) : -ENOMEM;
	if (!r)
		r = attach(l, skel);
	if (!r)
		l->drops_prog = dup(bpf_program__fd(skel->progs.fl_drop));
	/* The link holds the program. */
	drops_bpf__destroy(skel);
	if (r) {
		snprintf(text, sizeof text, "the kernel refuses the program that watches drops (%s): %.80s",
			 strerror(-r), fl_ebpf_libbpf_text());
		return unavailable(l, text);
	}
	l->clock->verdicts = 1;
	return 0;
}

/* What a pin holds is detached by the kernel some time after the pin has gone; nobody reads the counts then. */
void fl_ebpf_detach_drops(struct fl_live *l)
{
	if (l->dirfd >= 0)
		unlinkat(l->dirfd, PIN, 0);
	fl_closep(&l->drops_fd);
}

/* ---- where interfaces are ---- */

int fl_ebpf_set_where(const struct fl_live *l, uint32_t netns, uint32_t ifindex, uint16_t slot, bool other_end)
{
	struct fl_kwhere_key key = {.netns = netns, .ifindex = ifindex};
	struct fl_kwhere value = {.slot = slot, .other_end = other_end};

	if (bpf_map_update_elem(l->map_fd[FL_MAP_WHERE], &key, &value, BPF_ANY))
		return fl_fail(-errno, "noting where slot %u is: %m", slot);
	if (other_end)
		return 0;
	key.ifindex = 0;
	return bpf_map_update_elem(l->map_fd[FL_MAP_WHERE], &key, &value, BPF_ANY) ? fl_fail(-errno, "%m") : 0;
}

/* Every place that leads to the slot; another interface stands for its namespace from now on. */
void fl_ebpf_forget_where(const struct fl_live *l, unsigned slot, const struct fl_ebpf_attachment *gone)
{
	const int fd = l->map_fd[FL_MAP_WHERE];
	struct fl_kwhere_key key, next, *at = NULL;
	struct fl_kwhere value;

	if (!gone->hook)
		return;
	for (unsigned i = 0; i < FL_K_WHERES && !bpf_map_get_next_key(fd, at, &next); i++) {
		if (at && !bpf_map_lookup_elem(fd, at, &value) && value.slot == slot)
			bpf_map_delete_elem(fd, at);
		key = next;
		at = &key;
	}
	if (at && !bpf_map_lookup_elem(fd, at, &value) && value.slot == slot)
		bpf_map_delete_elem(fd, at);
	for (unsigned i = 0; i < FL_K_SLOTS; i++)
		if (i != slot && l->att[i * 2].hook && l->att[i * 2].netns == gone->netns) {
			key = (struct fl_kwhere_key){.netns = (uint32_t)gone->netns};
			value = (struct fl_kwhere){.slot = i};
			bpf_map_update_elem(fd, &key, &value, BPF_ANY);
			return;
		}
}

/* ---- what status shows ---- */

static int by_buffers(const void *a, const void *b)
{
	const struct fl_live_cause *x = a, *y = b;

	return x->buffers < y->buffers ? 1 : x->buffers > y->buffers ? -1 : strcmp(x->name, y->name);
}

/* The privileged side asks, the meter reads. */
static void note_missed(struct fl_live *l)
{
	struct bpf_prog_info info = {0};
	uint32_t size = sizeof info;

	if (l->drops_prog >= 0 && !bpf_obj_get_info_by_fd(l->drops_prog, &info, &size))
		__atomic_store_n(&l->clock->missed, info.recursion_misses, __ATOMIC_RELAXED);
}

bool fl_ebpf_verdicts(struct fl_live *l, struct fl_live_verdicts *ret)
{
	struct fl_live_cause all[FL_K_CAUSES];
	size_t n = 0;

	memset(ret, 0, sizeof *ret);
	ret->why_not = l->no_verdicts;
	note_missed(l);
	ret->lost = l->clock->missed;
	for (unsigned cpu = 0; cpu < l->cpus; cpu++)
		ret->lost += l->drop_rings[cpu].lost;
	for (unsigned i = 0; i < FL_K_CAUSES; i++) {
		uint64_t sum = 0;

		for (unsigned cpu = 0; cpu < l->cpus; cpu++)
			sum += l->causes[(size_t)cpu * FL_K_CAUSES + i].buffers;
		if (sum)
			all[n++] = (struct fl_live_cause){.name = l->causes[i].name, .buffers = sum};
	}
	qsort(all, n, sizeof *all, by_buffers);
	ret->n_causes = FL_MIN(n, (size_t)FL_LIVE_CAUSES_MAX);
	memcpy(ret->cause, all, ret->n_causes * sizeof *all);
	return l->clock->verdicts;
}
