/* SPDX-License-Identifier: Apache-2.0 */
/* Reading what the kernel side counted. Mapped memory only; the protocol is told in bpf/shared.h.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/mem.h"
#include "capture/ebpf.h"

#define BATCH 16384 /* ring entries of one call of the sink */

static int reserve(void **p, size_t *cap, size_t n, size_t size)
{
	size_t more = FL_MAX(n, *cap * 2);
	void *grown;

	if (n <= *cap)
		return 0;
	grown = realloc(*p, more * size);
	if (!grown)
		return fl_fail(-ENOMEM, "no memory for %zu partial flows or counter rows", more);
	*p = grown;
	*cap = more;
	return 0;
}

static int reserve_partials(struct fl_live *l, size_t n)
{
	return reserve((void **)&l->partials, &l->cap_partials, n, sizeof *l->partials);
}

static int reserve_rows(struct fl_live *l, size_t n)
{
	return reserve((void **)&l->rows, &l->cap_rows, n, sizeof *l->rows);
}

/* ---- ring ---- */

static void row_of_record(const struct fl_partial *head, const struct fl_partial *tail, struct fl_live_counts *ret)
{
	struct fl_kcount_record r;

	memcpy(&r, head, sizeof *head);
	memcpy((char *)&r + sizeof *head, tail, sizeof *tail);
	*ret = (struct fl_live_counts){
	    .slot = r.slot,
	    .egress = r.egress,
	    .window = r.window,
	    .skbs = r.skbs,
	    .packets = r.packets,
	    .bytes = r.bytes,
	    .not_ip_packets = r.not_ip_packets,
	    .not_ip_bytes = r.not_ip_bytes,
	    .truncated_packets = r.truncated_packets,
	    .truncated_bytes = r.truncated_bytes,
	    .lost_packets = r.lost_packets,
	    .lost_bytes = r.lost_bytes,
	    .vlan_packets = r.vlan_packets,
	    .vlan_bytes = r.vlan_bytes,
	};
}

/* Copies entries of one CPU and notes where its consumer will stand. */
static void read_ring(struct fl_live *l, struct fl_kring *ring, const struct fl_partial *entries, unsigned bits,
		      size_t *n, size_t *n_rows)
{
	const uint64_t mask = (1ull << bits) - 1;
	uint64_t at = ring->cons, prod = __atomic_load_n(&ring->prod, __ATOMIC_ACQUIRE);

	while (at != prod && *n < BATCH && *n_rows < l->cap_rows) {
		const struct fl_partial *e = &entries[at & mask];

		/* A row's two entries are published together. */
		if (e->evict == FL_EVICT_COUNT && prod - at >= 2) {
			row_of_record(e, &entries[(at + 1) & mask], &l->rows[(*n_rows)++]);
			at += 2;
			continue;
		}
		l->partials[(*n)++] = *e;
		at++;
	}
	ring->next = at;
}

static void read_rings(struct fl_live *l, size_t *n, size_t *n_rows)
{
	for (unsigned cpu = 0; cpu < l->cpus; cpu++) {
		read_ring(l, &l->rings[cpu], l->entries + ((size_t)cpu << l->ring_bits), l->ring_bits, n, n_rows);
		read_ring(l, &l->drop_rings[cpu], l->drops + ((size_t)cpu << l->drop_bits), l->drop_bits, n, n_rows);
	}
}

static void take_next(struct fl_live *l)
{
	for (unsigned cpu = 0; cpu < l->cpus; cpu++) {
		__atomic_store_n(&l->rings[cpu].cons, l->rings[cpu].next, __ATOMIC_RELEASE);
		__atomic_store_n(&l->drop_rings[cpu].cons, l->drop_rings[cpu].next, __ATOMIC_RELEASE);
	}
	__atomic_store_n(&l->clock->position, l->clock->announced, __ATOMIC_RELEASE);
}

int fl_ebpf_drain_ring(struct fl_live *l, const struct fl_live_sink *sink)
{
	/* More than the rings hold is not read in one call: the producers may be faster than we
	 * are. */
	uint64_t budget = ((uint64_t)l->cpus << l->ring_bits) + ((uint64_t)l->cpus << l->drop_bits);
	int r = reserve_partials(l, BATCH);

	if (!r)
		r = reserve_rows(l, BATCH);
	__atomic_store_n(l->bell_cons, __atomic_load_n(l->bell_prod, __ATOMIC_ACQUIRE), __ATOMIC_RELEASE);
	while (!r) {
		size_t n = 0, n_rows = 0;
		uint64_t from = l->clock->position;

		read_rings(l, &n, &n_rows);
		if (!n && !n_rows)
			break;
		__atomic_store_n(&l->clock->announced, from + 1, __ATOMIC_RELEASE);
		r = sink->ring(sink->ctx, from, from + 1, l->partials, n, l->rows, n_rows);
		if (r)
			break;
		take_next(l);
		if (n + n_rows < BATCH || budget < BATCH)
			break;
		budget -= BATCH;
	}
	return r;
}

void fl_ebpf_set_position(struct fl_live *l, uint64_t pos)
{
	if (pos <= l->clock->position)
		return;
	if (pos == l->clock->announced)
		take_next(l);
	else
		l->clock->position = pos;
}

/* ---- halves ---- */

static int read_cache(struct fl_live *l, uint32_t window, size_t *ret_n)
{
	size_t per_half = (size_t)1 << l->cache_bits, n = 0;
	uint32_t drained = l->clock->drained[window & 1];

	for (unsigned cpu = 0; cpu < l->cpus; cpu++) {
		const struct fl_partial *p = l->cache + (((size_t)cpu << 1 | (window & 1)) << l->cache_bits);
		int r = reserve_partials(l, n + per_half);

		if (r)
			return r;
		for (size_t i = 0; i < per_half; i++)
			if (p[i].window > drained && p[i].window <= window)
				l->partials[n++] = p[i];
	}
	*ret_n = n;
	return 0;
}

static void add_row(struct fl_live *l, unsigned slot, bool egress, const struct fl_kcount *c, size_t *n)
{
	struct fl_live_counts *row = *n ? &l->rows[*n - 1] : NULL;

	if (!row || row->slot != slot || row->egress != egress || row->window != c->window) {
		row = &l->rows[(*n)++];
		*row = (struct fl_live_counts){.slot = (uint16_t)slot, .egress = egress, .window = c->window};
	}
	row->skbs += c->skbs;
	row->packets += c->packets;
	row->bytes += c->bytes;
	row->not_ip_packets += c->not_ip_packets;
	row->not_ip_bytes += c->not_ip_bytes;
	row->truncated_packets += c->truncated_packets;
	row->truncated_bytes += c->truncated_bytes;
	row->lost_packets += c->lost_packets;
	row->lost_bytes += c->lost_bytes;
	row->vlan_packets += c->vlan_packets;
	row->vlan_bytes += c->vlan_bytes;
}

static int read_counts(struct fl_live *l, uint32_t window, size_t *ret_n)
{
	uint32_t drained = l->clock->drained[window & 1];
	size_t n = 0;

	for (unsigned i = 0; i < FL_K_SLOTS * 2; i++) {
		int r = reserve_rows(l, n + l->cpus);

		if (r)
			return r;
		for (unsigned cpu = 0; cpu < l->cpus; cpu++) {
			const struct fl_kcount *c = &l->counts[((size_t)cpu << 1 | (window & 1)) * FL_K_SLOTS * 2 + i];

			if (c->window > drained && c->window <= window)
				add_row(l, i / 2, i & 1, c, &n);
		}
	}
	*ret_n = n;
	return 0;
}

int fl_ebpf_drain_half(struct fl_live *l, uint32_t window, uint64_t deadline_mono_ns, const struct fl_live_sink *sink)
{
	uint64_t position = l->clock->position;
	size_t n = 0, n_rows = 0;
	int r;

	if (l->clock->drained[window & 1] >= window)
		return 0;
	if (fl_mono_ns(&fl_clock_system) >= deadline_mono_ns)
		return -EAGAIN;
	r = read_cache(l, window, &n);
	if (!r)
		r = read_counts(l, window, &n_rows);
	/* Too slow: a packet of the next window may have been added to what was copied. */
	if (!r && fl_mono_ns(&fl_clock_system) >= deadline_mono_ns)
		r = -EAGAIN;
	if (!r)
		r = sink->half(sink->ctx, window, position, l->partials, n, l->rows, n_rows);
	if (!r)
		__atomic_store_n(&l->clock->drained[window & 1], window, __ATOMIC_RELEASE);
	return r;
}

/* ---- a look ---- */

size_t fl_ebpf_peek(struct fl_live *l, uint32_t window, struct fl_partial *ret, size_t max)
{
	size_t per_half = (size_t)1 << l->cache_bits, n = 0;

	for (unsigned cpu = 0; cpu < l->cpus; cpu++) {
		const struct fl_partial *p = l->cache + (((size_t)cpu << 1 | (window & 1)) << l->cache_bits);

		for (size_t i = 0; i < per_half && n < max; i++) {
			if (__atomic_load_n(&p[i].window, __ATOMIC_ACQUIRE) != window)
				continue;
			memcpy(&ret[n], &p[i], sizeof *ret);
			__atomic_thread_fence(__ATOMIC_ACQUIRE);
			/* Another flow took the place meanwhile: half of this copy is its. */
			if (!memcmp(&ret[n], &p[i], offsetof(struct fl_partial, first)))
				n++;
		}
	}
	return n;
}
