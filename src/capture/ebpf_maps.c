/* SPDX-License-Identifier: Apache-2.0 */
/* The object: its maps made or taken from the pins, mapped, and its program copied with an
 * interface's constant. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/error.h"
#include "base/hash.h"
#include "base/mem.h"
#include "capture/ebpf.h"
#include "meter.skel.h"

#define CACHE_BITS_MAX 20
#define RING_BITS_MIN 6
#define RING_BITS_MAX 24
#define RING_BYTES (16u << 20)        /* default, all CPUs */
#define HALF_BYTES_MAX (128ull << 20) /* all CPUs: one half is one record of the meter's log */

const char *const fl_ebpf_map_names[FL_MAP_N] = {
    [FL_MAP_CLOCK] = "fl_clock",           [FL_MAP_CACHE] = "fl_cache",     [FL_MAP_COUNTS] = "fl_counts",
    [FL_MAP_RINGS] = "fl_rings",           [FL_MAP_ENTRIES] = "fl_entries", [FL_MAP_BELL] = "fl_bell",
    [FL_MAP_DROP_RINGS] = "fl_drop_rings", [FL_MAP_DROPS] = "fl_drops",     [FL_MAP_CAUSES] = "fl_causes",
    [FL_MAP_WHERE] = "fl_where",           [FL_MAP_VLANS] = "fl_vlans",
};

/* ---- libbpf's sentences ---- */

static _Thread_local char libbpf_text[512];

/* The first warning is the cause, what follows is its echo; verifier logs are many lines and start
 * with a marker. */
static int on_libbpf(enum libbpf_print_level level, const char *format, va_list ap)
{
	/* Where bpf(2) is refused, libbpf also fails to raise a limit that no kernel of ours has; that is no cause. */
	if (level != LIBBPF_WARN || *libbpf_text || strstr(format, "RLIMIT_MEMLOCK"))
		return 0;
	vsnprintf(libbpf_text, sizeof libbpf_text, format, ap);
	libbpf_text[strcspn(libbpf_text, "\n")] = '\0';
	return 0;
}

void fl_ebpf_quiet(void)
{
	*libbpf_text = '\0';
	libbpf_set_print(on_libbpf);
}

const char *fl_ebpf_libbpf_text(void)
{
	return *libbpf_text ? libbpf_text : "no reason given";
}

/* ---- sizes ---- */

static unsigned cache_bits(const struct fl_live_conf *conf, unsigned cpus)
{
	unsigned bits = conf->cache_bits ? FL_MIN(conf->cache_bits, (unsigned)CACHE_BITS_MAX) : FL_K_CACHE_BITS;

	while (bits > 1 && ((uint64_t)cpus * sizeof(struct fl_partial) << bits) > HALF_BYTES_MAX)
		bits--;
	return bits;
}

static unsigned ring_bits(const struct fl_live_conf *conf, unsigned cpus)
{
	uint64_t entries = (conf->ring_bytes ? conf->ring_bytes : RING_BYTES) / cpus / sizeof(struct fl_partial);
	unsigned bits = RING_BITS_MIN;

	while (bits < RING_BITS_MAX && 1ull << bits < entries)
		bits++;
	return bits;
}

/* Entries of each map; 0: not ours to say. */
static uint64_t map_entries(const struct fl_live *l, enum fl_ebpf_map m)
{
	switch (m) {
	case FL_MAP_CACHE:
		return (uint64_t)l->cpus * 2 << l->cache_bits;
	case FL_MAP_COUNTS:
		return (uint64_t)l->cpus * 2 * FL_K_SLOTS * 2;
	case FL_MAP_VLANS:
		return FL_K_SLOTS;
	case FL_MAP_RINGS:
		return l->cpus;
	case FL_MAP_ENTRIES:
		return (uint64_t)l->cpus << l->ring_bits;
	case FL_MAP_DROP_RINGS:
		return l->cpus;
	case FL_MAP_DROPS:
		return (uint64_t)l->cpus << l->drop_bits;
	case FL_MAP_CAUSES:
		return (uint64_t)l->cpus * FL_K_CAUSES;
	default:
		return 0;
	}
}

/* ---- mapping ---- */

static int map_one(void **ret, int fd, size_t size, int prot, off_t offset, const char *what)
{
	void *p = mmap(NULL, size, prot, MAP_SHARED, fd, offset);

	if (p == MAP_FAILED)
		return fl_fail(-errno, "the map %s cannot be mapped: %m", what);
	*ret = p;
	return 0;
}

static size_t map_bytes(const struct fl_live *l, enum fl_ebpf_map m)
{
	static const size_t size[FL_MAP_N] = {
	    [FL_MAP_CACHE] = sizeof(struct fl_partial),    [FL_MAP_COUNTS] = sizeof(struct fl_kcount),
	    [FL_MAP_RINGS] = sizeof(struct fl_kring),      [FL_MAP_ENTRIES] = sizeof(struct fl_partial),
	    [FL_MAP_DROP_RINGS] = sizeof(struct fl_kring), [FL_MAP_DROPS] = sizeof(struct fl_partial),
	    [FL_MAP_CAUSES] = sizeof(struct fl_kcause),    [FL_MAP_VLANS] = sizeof(struct fl_kvlans),
	};

	return (size_t)map_entries(l, m) * size[m];
}

int fl_ebpf_map(struct fl_live *l)
{
	const size_t page = (size_t)sysconf(_SC_PAGESIZE);
	const int rw = PROT_READ | PROT_WRITE;
	int r = map_one((void **)&l->clock, l->map_fd[FL_MAP_CLOCK], page, rw, 0, "fl_clock");

	if (r)
		return r;
	if (!l->clock->abi) {
		/* Made by fl_ebpf_load() just now. */
		l->clock->cpus = l->cpus;
		l->clock->cache_bits = l->cache_bits;
		l->clock->ring_bits = l->ring_bits;
		l->clock->drop_bits = l->drop_bits;
		l->clock->window_ns = l->window_ns;
		l->clock->abi = FL_K_ABI;
	}
	if (l->clock->abi != FL_K_ABI || l->clock->cache_bits > CACHE_BITS_MAX || l->clock->ring_bits > RING_BITS_MAX ||
	    l->clock->drop_bits > RING_BITS_MAX)
		return fl_fail(-EPROTO,
			       "the maps in the kernel are of another version of flowlog (%u): "
			       "\"flowlog detach\" "
			       "removes them",
			       l->clock->abi);
	l->cpus = l->clock->cpus;
	l->cache_bits = l->clock->cache_bits;
	l->ring_bits = l->clock->ring_bits;
	l->drop_bits = l->clock->drop_bits;
	{
		const struct {
			void **to;
			enum fl_ebpf_map m;
			int prot;
		} arrays[] = {
		    {(void **)&l->cache, FL_MAP_CACHE, PROT_READ},    {(void **)&l->counts, FL_MAP_COUNTS, PROT_READ},
		    {(void **)&l->rings, FL_MAP_RINGS, rw},           {(void **)&l->entries, FL_MAP_ENTRIES, PROT_READ},
		    {(void **)&l->drop_rings, FL_MAP_DROP_RINGS, rw}, {(void **)&l->drops, FL_MAP_DROPS, PROT_READ},
		    {(void **)&l->causes, FL_MAP_CAUSES, rw},         {(void **)&l->vlans, FL_MAP_VLANS, rw},
		};

		for (size_t i = 0; !r && i < FL_ARRAY_LEN(arrays); i++)
			r = map_one(arrays[i].to, l->map_fd[arrays[i].m], map_bytes(l, arrays[i].m), arrays[i].prot, 0,
				    fl_ebpf_map_names[arrays[i].m]);
	}
	/* A BPF ring buffer is a page with the consumer position, a page with the producer
	 * position, and data. */
	if (!r)
		r = map_one((void **)&l->bell_cons, l->map_fd[FL_MAP_BELL], page, rw, 0, "fl_bell");
	if (!r)
		r = map_one((void **)&l->bell_prod, l->map_fd[FL_MAP_BELL], page, PROT_READ, (off_t)page, "fl_bell");
	return r;
}

void fl_ebpf_unmap(struct fl_live *l)
{
	const size_t page = (size_t)sysconf(_SC_PAGESIZE);
	const struct {
		const void *p;
		size_t n;
	} maps[] = {
	    {l->clock, page},
	    {l->cache, map_bytes(l, FL_MAP_CACHE)},
	    {l->counts, map_bytes(l, FL_MAP_COUNTS)},
	    {l->rings, map_bytes(l, FL_MAP_RINGS)},
	    {l->entries, map_bytes(l, FL_MAP_ENTRIES)},
	    {l->vlans, map_bytes(l, FL_MAP_VLANS)},
	    {l->drop_rings, map_bytes(l, FL_MAP_DROP_RINGS)},
	    {l->drops, map_bytes(l, FL_MAP_DROPS)},
	    {l->causes, map_bytes(l, FL_MAP_CAUSES)},
	    {l->bell_cons, page},
	    {l->bell_prod, page},
	};

	for (size_t i = 0; i < FL_ARRAY_LEN(maps); i++)
		if (maps[i].p)
			munmap((void *)(uintptr_t)maps[i].p, maps[i].n);
}

/* ---- loading ---- */

/* The constant's place: a 64-bit load is two instructions, the low half in the first. */
static int find_conf(struct fl_live *l)
{
	for (size_t i = 0; i + 1 < l->n_insns; i++)
		if (l->insns[i].code == (BPF_LD | BPF_IMM | BPF_DW) && !l->insns[i].src_reg &&
		    (uint32_t)l->insns[i].imm == (uint32_t)FL_K_CONF_MAGIC &&
		    (uint32_t)l->insns[i + 1].imm == (uint32_t)(FL_K_CONF_MAGIC >> 32)) {
			l->conf_at = i;
			return 0;
		}
	return fl_fail(-EPROTO, "the program in this binary has no place for its constant");
}

static int size_maps(struct fl_live *l, const struct fl_live_conf *conf, bool reuse)
{
	int cpus = libbpf_num_possible_cpus();

	if (cpus <= 0)
		return fl_fail(-EIO, "the number of CPUs cannot be told: %s", strerror(-cpus));
	if (reuse)
		return 0;
	l->cpus = (unsigned)cpus;
	l->cache_bits = cache_bits(conf, l->cpus);
	l->ring_bits = ring_bits(conf, l->cpus);
	l->drop_bits = l->ring_bits; /* a flood is dropped where it is seen */
	return 0;
}

static int prepare_map(struct fl_live *l, enum fl_ebpf_map m, bool reuse)
{
	struct bpf_map *map = bpf_object__find_map_by_name(l->skel->obj, fl_ebpf_map_names[m]);

	if (!map)
		return fl_fail(-EPROTO, "the program in this binary has no map %s", fl_ebpf_map_names[m]);
	if (reuse)
		return bpf_map__reuse_fd(map, l->map_fd[m]);
	return map_entries(l, m) ? bpf_map__set_max_entries(map, (uint32_t)map_entries(l, m)) : 0;
}

static int load(struct fl_live *l, bool reuse, bool inner)
{
	struct bpf_program *program = inner ? l->skel->progs.fl_meter_inner : l->skel->progs.fl_meter;
	int r = 0;

	bpf_program__set_autoload(l->skel->progs.fl_meter, !inner);
	bpf_program__set_autoload(l->skel->progs.fl_meter_inner, inner);

	for (unsigned m = 0; !r && m < FL_MAP_N; m++)
		r = prepare_map(l, m, reuse);
	if (r)
		return fl_fail(FL_LIVE_UNAVAILABLE, "BPF maps cannot be prepared: %s", fl_ebpf_libbpf_text());
	l->skel->rodata->fl_cache_bits = l->cache_bits;
	l->skel->rodata->fl_ring_bits = l->ring_bits;
	l->skel->rodata->fl_drop_bits = l->drop_bits;
	for (size_t i = 0; i < FL_ARRAY_LEN(l->skel->rodata->fl_seed); i++)
		l->skel->rodata->fl_seed[i] = fl_random_seed() | 1;
	r = meter_bpf__load(l->skel);
	if (r)
		return fl_fail(FL_LIVE_UNAVAILABLE, "the kernel refuses the BPF program (%s): %s", strerror(-r),
			       fl_ebpf_libbpf_text());
	for (unsigned m = 0; m < FL_MAP_N && !reuse; m++) {
		l->map_fd[m] = dup(bpf_object__find_map_fd_by_name(l->skel->obj, fl_ebpf_map_names[m]));
		if (l->map_fd[m] < 0)
			return fl_fail(-errno, "map %s: %m", fl_ebpf_map_names[m]);
	}
	l->insns = bpf_program__insns(program);
	l->n_insns = bpf_program__insn_cnt(program);
	return find_conf(l);
}

int fl_ebpf_load(struct fl_live *l, const struct fl_live_conf *conf, bool reuse)
{
	int r = size_maps(l, conf, reuse);

	if (r)
		return r;
	l->skel = meter_bpf__open();
	if (!l->skel)
		return fl_fail(FL_LIVE_UNAVAILABLE, "the BPF program in this binary cannot be opened: %s",
			       fl_ebpf_libbpf_text());
	return load(l, reuse, conf->inner);
}

void fl_ebpf_unload(struct fl_live *l)
{
	if (l->skel)
		meter_bpf__destroy(l->skel);
	l->skel = NULL;
}

int fl_ebpf_map_fd(const struct fl_live *l, const char *name)
{
	return bpf_object__find_map_fd_by_name(l->skel->obj, name);
}

int fl_ebpf_program(const struct fl_live *l, uint64_t conf)
{
	struct bpf_insn *copy FL_CLEANUP(fl_freep) = malloc(l->n_insns * sizeof *copy);
	const uint64_t value = FL_K_CONF_MAGIC | conf;
	LIBBPF_OPTS(bpf_prog_load_opts, opts);
	int fd;

	if (!copy)
		return fl_fail(-ENOMEM, "no memory for a copy of the BPF program");
	memcpy(copy, l->insns, l->n_insns * sizeof *copy);
	copy[l->conf_at].imm = (int32_t)(uint32_t)value;
	copy[l->conf_at + 1].imm = (int32_t)(uint32_t)(value >> 32);
	fd = bpf_prog_load(BPF_PROG_TYPE_SCHED_CLS, "fl_meter", "GPL", copy, l->n_insns, &opts);
	return fd < 0 ? fl_fail(-errno, "the kernel refuses the BPF program: %m") : fd;
}
