/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Private to the eBPF backend. The privileged side (ebpf_maps.c, ebpf_attach.c, ebpf_pins.c) speaks
 * to libbpf; the reading side (ebpf_read.c) knows mapped memory only, so that it runs without any
 * privilege.
 */
#pragma once

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "bpf/shared.h"
#include "capture/capture.h"

enum fl_ebpf_map {
	FL_MAP_CLOCK,
	FL_MAP_CACHE,
	FL_MAP_COUNTS,
	FL_MAP_RINGS,
	FL_MAP_ENTRIES,
	FL_MAP_VLANS,
	FL_MAP_BELL,
	FL_MAP_DROP_RINGS,
	FL_MAP_DROPS,
	FL_MAP_CAUSES,
	FL_MAP_WHERE,
	FL_MAP_N
};
extern const char *const fl_ebpf_map_names[FL_MAP_N]; /* in the object and, behind the version, of the pins */

enum fl_ebpf_hook { FL_HOOK_NONE, FL_HOOK_TCX, FL_HOOK_CLSACT };

/* One direction of one slot. */
struct fl_ebpf_attachment {
	enum fl_ebpf_hook hook;
	uint32_t ifindex;
	uint64_t netns;    /* inode */
	int fd;            /* TCX link while nothing is pinned, else -1 */
	uint32_t priority; /* clsact */
	char pin[64];      /* file name, "" when nothing is pinned */
};

struct meter_bpf;

struct fl_live {
	bool clsact; /* TCX is not to be used: the kernel has none, or a test says so */
	uint64_t window_ns;
	int map_fd[FL_MAP_N];

	/* mapped */
	struct fl_kclock *clock;
	const struct fl_partial *cache, *entries;
	const struct fl_kcount *counts;
	struct fl_kring *rings, *drop_rings;
	const struct fl_partial *drops;
	struct fl_kcause *causes;
	struct fl_kvlans *vlans; /* [slot] */
	uint64_t *bell_cons;
	const uint64_t *bell_prod;
	unsigned cpus, cache_bits, ring_bits, drop_bits;

	/* reading */
	struct fl_partial *partials;
	size_t cap_partials;
	struct fl_live_counts *rows;
	size_t cap_rows;

	/* privileged */
	struct meter_bpf *skel;
	int drops_prog;        /* to ask the kernel how often it was left out; -1: not the privileged side */
	int drops_fd;          /* link of the program of drops while nothing is pinned, else -1 */
	char no_verdicts[160]; /* why there is none; "" when it is attached */
	const struct bpf_insn *insns;
	size_t n_insns, conf_at; /* conf_at: the instruction that loads FL_K_CONF_MAGIC */
	int dirfd;               /* of the pins, -1: nothing is pinned */
	char dir[128];
	struct fl_ebpf_attachment *att; /* [slot][egress] */
};

#define FL_EBPF_BPFFS "/sys/fs/bpf"

/* The same backend without TCX, for tests on kernels that have it. */
extern const struct fl_live_ops fl_live_ebpf_clsact;

/* ebpf_maps.c */
int fl_ebpf_load(struct fl_live *l, const struct fl_live_conf *conf, bool reuse);
int fl_ebpf_map(struct fl_live *l); /* from map_fd */
void fl_ebpf_unmap(struct fl_live *l);
void fl_ebpf_unload(struct fl_live *l);
int fl_ebpf_map_fd(const struct fl_live *l, const char *name); /* of any map of the object; for tests */
int fl_ebpf_program(const struct fl_live *l, uint64_t conf);   /* a copy of the program: its fd */
const char *fl_ebpf_libbpf_text(void);                         /* what libbpf said last */
void fl_ebpf_quiet(void);                                      /* libbpf speaks to us, not to standard error */

/* ebpf_pins.c */
int fl_ebpf_open_dir(struct fl_live *l, const char *name, bool *ret_found);
int fl_ebpf_open_pins(struct fl_live *l); /* map fds from the pins */
int fl_ebpf_pin_maps(struct fl_live *l);
int fl_ebpf_pin(const struct fl_live *l, int fd, const char *name);
int fl_ebpf_get(const char *dir, const char *name); /* fd */
void fl_ebpf_name_attachment(struct fl_ebpf_attachment *a, unsigned slot, bool egress);
bool fl_ebpf_parse_attachment(const char *name, struct fl_ebpf_attachment *ret, unsigned *ret_slot, bool *ret_egress);
void fl_ebpf_wipe(struct fl_live *l, const char *only_prefix);

/* ebpf_attach.c */
int fl_ebpf_attach(struct fl_live *l, uint16_t slot, uint32_t ifindex, uint16_t arphrd, int netns_fd);
int fl_ebpf_other_end(struct fl_live *l, uint16_t slot, uint32_t ifindex, int netns_fd);
int fl_ebpf_detach(struct fl_live *l, uint16_t slot);
int fl_ebpf_find_attachments(struct fl_live *l);
/* Detaches one direction; dir may be NULL. Gone already: 0. */
int fl_ebpf_drop(const char *dir, struct fl_ebpf_attachment *a, bool egress);

/* ebpf_drops.c */
struct btf;
int fl_ebpf_resolve_reasons(struct fl_kcause *causes, const struct btf *btf); /* number of REJECT, -1: none */
int fl_ebpf_attach_drops(struct fl_live *l); /* what cannot be had is no error: no_verdicts says why */
void fl_ebpf_detach_drops(struct fl_live *l);
int fl_ebpf_set_where(const struct fl_live *l, uint32_t netns, uint32_t ifindex, uint16_t slot, bool other_end);
void fl_ebpf_forget_where(const struct fl_live *l, unsigned slot, const struct fl_ebpf_attachment *gone);
bool fl_ebpf_verdicts(struct fl_live *l, struct fl_live_verdicts *ret);

/* ebpf_read.c */
int fl_ebpf_drain_ring(struct fl_live *l, const struct fl_live_sink *sink);
int fl_ebpf_drain_half(struct fl_live *l, uint32_t window, uint64_t deadline_mono_ns, const struct fl_live_sink *sink);
size_t fl_ebpf_peek(struct fl_live *l, uint32_t window, struct fl_partial *ret, size_t max);
void fl_ebpf_set_position(struct fl_live *l, uint64_t pos);
