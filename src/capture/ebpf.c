/* SPDX-License-Identifier: Apache-2.0 */
/* The eBPF backend: its life, its clock, and the table of its operations. */
#include "capture/ebpf.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"
#include "base/mem.h"

static struct fl_live *new_live(void)
{
	struct fl_live *l = calloc(1, sizeof *l);

	if (!l)
		return NULL;
	l->dirfd = l->drops_fd = l->drops_prog = -1;
	for (unsigned i = 0; i < FL_MAP_N; i++)
		l->map_fd[i] = -1;
	return l;
}

static void close_live(struct fl_live **live, bool unpin)
{
	struct fl_live *l = *live;

	if (!l)
		return;
	for (unsigned slot = 0; l->att && slot < FL_K_SLOTS; slot++) {
		/* With pins the programs stay when they shall; a filter of clsact without a pin
		 * would outlive us. */
		if (unpin || l->dirfd < 0)
			fl_ebpf_detach(l, (uint16_t)slot);
	}
	if (unpin)
		fl_ebpf_detach_drops(l);
	if (unpin && l->dirfd >= 0) {
		fl_ebpf_wipe(l, "");
		rmdir(l->dir);
	}
	fl_closep(&l->drops_fd);
	fl_closep(&l->drops_prog);
	fl_ebpf_unmap(l);
	fl_ebpf_unload(l);
	for (unsigned i = 0; i < FL_MAP_N; i++)
		fl_closep(&l->map_fd[i]);
	fl_closep(&l->dirfd);
	free(l->att);
	free(l->partials);
	free(l->rows);
	free(l);
	*live = NULL;
}

static void cleanup_live(struct fl_live **live)
{
	/* What was found pinned stays for the next try. */
	close_live(live, false);
}

/* A PREEMPT_RT kernel runs two packets on one CPU at a time; the arrays are not made for that. */
static bool kernel_is_rt(void)
{
	struct fl_buf text FL_CLEANUP(fl_buf_free) = FL_BUF(16);

	return access("/sys/kernel/realtime", R_OK) == 0 && !fl_file_read(AT_FDCWD, "/sys/kernel/realtime", &text) &&
	       text.len && text.data[0] == '1';
}

static int open_live(struct fl_live **ret, const struct fl_live_conf *conf, bool clsact, bool *ret_reused)
{
	struct fl_live *l FL_CLEANUP(cleanup_live) = new_live();
	bool found = false;
	int r;

	*ret_reused = false;
	fl_ebpf_quiet();
	if (kernel_is_rt())
		return fl_fail(FL_LIVE_UNAVAILABLE,
			       "this kernel is PREEMPT_RT, where the eBPF program cannot count exactly");
	if (!l || !(l->att = calloc(FL_K_SLOTS * 2, sizeof *l->att)))
		return fl_fail(-ENOMEM, "no memory for the eBPF backend");
	l->clsact = clsact;
	l->window_ns = conf->window_ns;
	r = conf->pin_name ? fl_ebpf_open_dir(l, conf->pin_name, &found) : 0;
	if (!r && found)
		r = fl_ebpf_open_pins(l);
	if (!r && found)
		r = fl_ebpf_map(l);
	if (!r && found && l->clock->window_ns != conf->window_ns)
		r = fl_fail(-EBUSY,
			    "%s still counts in windows of %llu ms from a run that was killed: "
			    "start with that window length, "
			    "or give up what it counted with \"flowlog detach\"",
			    l->dir, (unsigned long long)(l->clock->window_ns / 1000000));
	if (!r)
		r = fl_ebpf_load(l, conf, found);
	if (!r && !found)
		r = fl_ebpf_map(l);
	if (!r && !found && l->dirfd >= 0)
		r = fl_ebpf_pin_maps(l);
	if (!r && l->dirfd >= 0)
		r = fl_ebpf_find_attachments(l);
	if (!r)
		r = fl_ebpf_attach_drops(l);
	if (r)
		return r;
	*ret_reused = found;
	*ret = l;
	l = NULL;
	return 0;
}

static int open_ebpf(struct fl_live **ret, const struct fl_live_conf *conf, bool *ret_reused)
{
	return open_live(ret, conf, false, ret_reused);
}

static int open_ebpf_clsact(struct fl_live **ret, const struct fl_live_conf *conf, bool *ret_reused)
{
	return open_live(ret, conf, true, ret_reused);
}

static int export_fds(struct fl_live *l, int *fds, size_t max, size_t *ret_n)
{
	if (max < FL_MAP_N)
		return -E2BIG;
	memcpy(fds, l->map_fd, sizeof l->map_fd);
	*ret_n = FL_MAP_N;
	return 0;
}

static int import_fds(struct fl_live **ret, const struct fl_live_conf *conf, const int *fds, size_t n)
{
	struct fl_live *l FL_CLEANUP(cleanup_live) = new_live();
	int r;

	if (!l)
		return fl_fail(-ENOMEM, "no memory for the eBPF backend");
	if (n != FL_MAP_N)
		return fl_fail(-EINVAL, "the meter got %zu file descriptors instead of %d", n, FL_MAP_N);
	l->window_ns = conf->window_ns;
	for (unsigned i = 0; i < FL_MAP_N; i++)
		l->map_fd[i] = fds[i];
	r = fl_ebpf_map(l);
	if (r)
		return r;
	*ret = l;
	l = NULL;
	return 0;
}

/* The row that is not in force is written, then put in force by one store. */
static int set_clock(struct fl_live *l, uint64_t mono_base, uint32_t window_base)
{
	uint32_t other = !(l->clock->current & 1);

	l->clock->row[other] =
	    (struct fl_kclock_row){.mono_base = mono_base, .window_ns = l->window_ns, .window_base = window_base};
	__atomic_store_n(&l->clock->current, other, __ATOMIC_RELEASE);
	return 0;
}

static int set_vlans(struct fl_live *l, uint16_t slot, const struct fl_kvlans *vlans)
{
	struct fl_kvlans *to = &l->vlans[slot];

	for (size_t ad = 0; ad < FL_ARRAY_LEN(to->id); ad++)
		for (size_t i = 0; i < FL_ARRAY_LEN(to->id[ad]); i++)
			if (to->id[ad][i] != vlans->id[ad][i])
				__atomic_store_n(&to->id[ad][i], vlans->id[ad][i], __ATOMIC_RELAXED);
	return 0;
}

static int poll_fd(struct fl_live *l)
{
	return l->map_fd[FL_MAP_BELL];
}

static void set_drained(struct fl_live *l, unsigned half, uint32_t window)
{
	if (l->clock->drained[half & 1] < window)
		__atomic_store_n(&l->clock->drained[half & 1], window, __ATOMIC_RELEASE);
}

static uint64_t ring_position(struct fl_live *l)
{
	return l->clock->position;
}

#define OPS(name_, open_)                                                                                              \
	{                                                                                                              \
		.name = name_, .open = open_, .attach = fl_ebpf_attach, .other_end = fl_ebpf_other_end,                \
		.detach = fl_ebpf_detach, .export_fds = export_fds, .import_fds = import_fds, .set_clock = set_clock,  \
		.set_vlans = set_vlans, .poll_fd = poll_fd, .drain_ring = fl_ebpf_drain_ring,                          \
		.drain_half = fl_ebpf_drain_half, .set_drained = set_drained, .ring_position = ring_position,          \
		.set_ring_position = fl_ebpf_set_position, .peek = fl_ebpf_peek, .verdicts = fl_ebpf_verdicts,         \
		.close = close_live,                                                                                   \
	}

const struct fl_live_ops fl_live_ebpf = OPS("ebpf", open_ebpf);
const struct fl_live_ops fl_live_ebpf_clsact = OPS("ebpf-clsact", open_ebpf_clsact);
