/* SPDX-License-Identifier: Apache-2.0 */
/* Temporary directories and made-up windows for the tests of journal, deliver and scan. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"
#include "base/hash.h"
#include "journal/journal.h"

struct temp {
	char path[64];
	int fd;
};

static inline struct temp temp_new(void)
{
	struct temp t;

	/* In memory where there is such a place: the tests sync a lot. */
	strcpy(t.path, access("/dev/shm", W_OK) ? "/tmp/fl-store-XXXXXX" : "/dev/shm/fl-store-XXXXXX");
	assert_non_null(mkdtemp(t.path));
	t.fd = open(t.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(t.fd >= 0);
	return t;
}

static inline int temp_visit(const char *path, const struct stat *st, int type, struct FTW *f)
{
	return remove(path);
}

static inline void temp_remove(struct temp *t)
{
	close(t->fd);
	nftw(t->path, temp_visit, 32, FTW_DEPTH | FTW_PHYS);
}

static inline uint64_t mix(uint64_t a, uint64_t b)
{
	return fl_mum(a ^ 0x9e3779b97f4a7c15ull, b ^ 0xd1342543de82ef95ull);
}

static inline int flow_order(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct fl_key));
}

/* n flows, sorted, that follow from the seed: IPv4 and IPv6, repeated addresses, small and huge
 * counts. */
static inline struct fl_flow *make_flows(size_t n, uint64_t seed, uint32_t window_ms)
{
	struct fl_flow *f = calloc(n + 1, sizeof *f);
	size_t kept = 0;

	assert_non_null(f);
	for (size_t i = 0; i < n; i++) {
		uint64_t r = mix(seed, i);
		uint8_t src[4] = {10, 0, 0, (uint8_t)(r % 7)}, dst[4] = {192, 0, (uint8_t)(r >> 3), (uint8_t)(i >> 8)};

		f[i].key.src = fl_addr_v4(src);
		f[i].key.dst = fl_addr_v4(dst);
		if (r % 5 == 0) {
			f[i].key.src = (struct fl_addr){.b = {0x20, 1, 0xd, 0xb8, [15] = (uint8_t)(r >> 8)}};
			f[i].key.dst = (struct fl_addr){.b = {0x20, 1, 0xd, 0xb8, 1, [15] = (uint8_t)(r >> 16)}};
			f[i].key.dirfam = FL_KEY_V6;
		}
		f[i].key.sport = (uint16_t)i;
		f[i].key.dport = (uint16_t)(r % 3 ? 443 : r);
		f[i].key.proto = r % 4 ? 6 : 17;
		f[i].key.dirfam |= 1 + (r >> 7) % 2;
		f[i].packets = 1 + (r % 11 ? r % 1000 : r >> (r % 64));
		f[i].bytes = 40 + (r % 13 ? r % 100000 : r >> (r % 60));
		f[i].first_ms = (uint32_t)(r % window_ms) & 0xffffff;
		f[i].last_ms = f[i].first_ms + (uint32_t)((r >> 20) % (window_ms - f[i].first_ms));
		f[i].tcp = f[i].key.proto == 6 ? r >> 40 & 0x7f : 0;
		f[i].action = r % 17 == 0;
	}
	qsort(f, n, sizeof *f, flow_order);
	for (size_t i = 0; i < n; i++)
		if (!kept || flow_order(&f[kept - 1], &f[i]))
			f[kept++] = f[i];
	assert_int_equal(kept, n); /* sport is i */
	return f;
}

static inline struct fl_eni make_eni(unsigned i)
{
	struct fl_eni e = {.account_id = "123456789012",
			   .region = "eu-central-1",
			   .vpc_id = "vpc-0a1b2c3d4e5f60718",
			   .has_v4 = true,
			   .ifindex = i + 2,
			   .mac = {2, 0, 0, 0, 0, (uint8_t)i},
			   .primary_v4 = {.b = {[10] = 0xff, 0xff, 10, 0, 0, 1}}};

	snprintf(e.interface_id, sizeof e.interface_id, "eni-%017x", i);
	snprintf(e.name, sizeof e.name, "web-%u", i);
	snprintf(e.device, sizeof e.device, "veth%u", i % 1000);
	strcpy(e.kind, "container");
	return e;
}

/* Interface i in window w (start = base + w * length); the ledger's recorded follows from the
 * flows. */
static inline struct fl_frame make_frame(unsigned i, uint32_t w, int64_t base, uint32_t length, struct fl_flow *flows,
					 size_t n)
{
	struct fl_frame f = {.window = {.epoch = 7, .window = w, .start = base + (int64_t)w * length, .length = length},
			     .eni = make_eni(i),
			     .flows = flows,
			     .n_flows = n};

	memcpy(f.window.boot_id, "0123456789abcdef", 16);
	for (size_t k = 0; k < n; k++) {
		struct fl_ledger *l = &f.ledger[fl_key_dir(&flows[k].key)];

		l->seen.packets += flows[k].packets;
		l->seen.bytes += flows[k].bytes;
	}
	for (unsigned d = 0; d < FL_DIR_N; d++) {
		f.ledger[d].recorded = f.ledger[d].seen;
		f.ledger[d].skbs = f.ledger[d].seen.packets;
	}
	return f;
}

static inline void append_window(struct fl_journal *j, unsigned interfaces, uint32_t w, int64_t base, uint32_t length,
				 size_t n)
{
	for (unsigned i = 0; i < interfaces; i++) {
		struct fl_flow *flows = make_flows(n, mix(i, w), length * 1000);
		struct fl_frame f = make_frame(i, w, base, length, flows, n);

		assert_int_equal(fl_journal_append(j, &f), 0);
		free(flows);
	}
	assert_int_equal(fl_journal_commit(j, w, base + (int64_t)w * length, length), 0);
}

/* Member by member: padding is nobody's. */
static inline void assert_frame(const struct fl_frame *got, const struct fl_frame *want)
{
	const struct fl_eni *e = &got->eni, *x = &want->eni;

	assert_memory_equal(&got->window, &want->window,
			    offsetof(struct fl_window, length) + sizeof got->window.length);
	assert_string_equal(e->account_id, x->account_id);
	assert_string_equal(e->interface_id, x->interface_id);
	assert_string_equal(e->vpc_id, x->vpc_id);
	assert_string_equal(e->subnet_id, x->subnet_id);
	assert_string_equal(e->instance_id, x->instance_id);
	assert_string_equal(e->region, x->region);
	assert_string_equal(e->az_id, x->az_id);
	assert_string_equal(e->name, x->name);
	assert_string_equal(e->kind, x->kind);
	assert_string_equal(e->device, x->device);
	assert_string_equal(e->netns, x->netns);
	assert_int_equal(e->ifindex, x->ifindex);
	assert_memory_equal(e->mac, x->mac, sizeof e->mac);
	assert_int_equal(e->flip, x->flip);
	assert_int_equal(e->has_v4, x->has_v4);
	assert_memory_equal(&e->primary_v4, &x->primary_v4, sizeof e->primary_v4);
	assert_memory_equal(got->ledger, want->ledger, sizeof got->ledger);
	assert_int_equal(got->n_flows, want->n_flows);
	if (want->n_flows)
		assert_memory_equal(got->flows, want->flows, want->n_flows * sizeof *want->flows);
}
