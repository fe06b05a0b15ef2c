/* SPDX-License-Identifier: Apache-2.0 */
#include "query/group_table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"

#define SLOTS_FIRST 4096u
#define SLOTS_LARGE (4u << 20)
#define BLOCK_MOST (16u << 20) /* blocks grow up to this, on huge pages */

struct fl_group_block {
	struct fl_group_block *before;
	size_t bytes;
	char pad[48]; /* rows begin at a line of cache */
};

static const uint8_t type_bytes[] = {
    [FL_GROUP_U64] = 8, [FL_GROUP_U32] = 4, [FL_GROUP_ADDR] = 16, [FL_GROUP_TEXT] = 4, [FL_GROUP_CODE] = 1,
};

static uint32_t round8(uint32_t n)
{
	return (n + 7) & ~UINT32_C(7);
}

void fl_group_layout(struct fl_group_layout *l, const enum fl_group_type *key, size_t n_keys,
		     const enum fl_group_type *counted, const uint8_t *kind, size_t n_measures)
{
	uint32_t at = sizeof(uint32_t);

	*l = (struct fl_group_layout){.n_keys = n_keys, .n_measures = n_measures};
	for (size_t i = 0; i < n_keys; i++) {
		l->type[i] = (uint8_t)key[i];
		l->offset[i] = at;
		at += type_bytes[key[i]];
	}
	l->group_bytes = l->key_bytes = round8(at);
	if (counted) {
		l->counts = true;
		l->type[n_keys] = (uint8_t)*counted;
		l->value_bytes = type_bytes[*counted];
		l->value_inside = l->group_bytes - at >= l->value_bytes;
		l->offset[n_keys] = l->value_inside ? at : l->group_bytes;
		l->key_bytes = l->value_inside ? l->group_bytes : round8(l->group_bytes + l->value_bytes);
		l->n_keys++;
	}
	for (size_t i = 0; i < n_measures; i++)
		l->kind[i] = kind[i];
	l->row_bytes = 8 + l->key_bytes + (uint32_t)n_measures * 8;
}

int fl_group_table_init(struct fl_group_table *t, const struct fl_group_layout *l)
{
	*t = (struct fl_group_table){.layout = l, .mask = SLOTS_FIRST - 1};
	t->slot = fl_map_alloc(SLOTS_FIRST * sizeof *t->slot);
	return t->slot ? 0 : -ENOMEM;
}

void fl_group_table_free(struct fl_group_table *t)
{
	if (t->slot)
		fl_map_free(t->slot, (t->mask + 1) * sizeof *t->slot);
	for (struct fl_group_block *b = t->block, *before; b; b = before) {
		before = b->before;
		fl_map_free(b, b->bytes);
	}
	free(t->chunk);
	*t = (struct fl_group_table){.layout = t->layout};
}

void fl_group_table_reset(struct fl_group_table *t)
{
	if (t->rows)
		memset(t->slot, 0, (t->mask + 1) * sizeof *t->slot);
	t->rows = 0;
}

uint64_t fl_group_table_bytes(const struct fl_group_table *t)
{
	return (t->mask + 1) * sizeof *t->slot + t->bytes - t->free_bytes;
}

static inline __attribute__((always_inline)) uint64_t hash_words(const char *key, uint32_t bytes, uint64_t h)
{
	uint64_t v;

	for (uint32_t i = 0; i < bytes; i += 8) {
		memcpy(&v, key + i, 8);
		h = fl_mum(h ^ v, UINT64_C(0x9e3779b97f4a7c15));
	}
	return h;
}

bool fl_group_take_value(const struct fl_group_layout *l, char *key)
{
	uint32_t flags, of_value = FL_GROUP_FLAG_NULL(l->n_keys - 1) | FL_GROUP_FLAG_V6(l->n_keys - 1);
	bool counts;

	memcpy(&flags, key, 4);
	counts = !(flags & FL_GROUP_FLAG_NULL(l->n_keys - 1));
	flags &= ~of_value;
	memcpy(key, &flags, 4);
	if (l->value_inside)
		memset(key + l->offset[l->n_keys - 1], 0, l->value_bytes);
	return counts;
}

uint64_t fl_group_hash(const struct fl_group_layout *l, const char *key, uint64_t seed)
{
	char group[FL_GROUP_KEY_MOST];
	uint64_t of_group, value[2] = {0}, h;
	uint32_t flags;

	if (!l->counts && l->group_bytes == FL_GROUP_KEY_SHORT)
		return fl_mum(hash_words(key, FL_GROUP_KEY_SHORT, seed), UINT64_C(0xd6e8feb86659fd93));
	if (!l->counts)
		return fl_mum(hash_words(key, l->group_bytes, seed), UINT64_C(0xd6e8feb86659fd93));
	memcpy(&flags, key, 4);
	memcpy(group, key, l->group_bytes);
	fl_group_take_value(l, group);
	/* The usual width, unrolled. */
	h = l->group_bytes == FL_GROUP_KEY_SHORT ? hash_words(group, FL_GROUP_KEY_SHORT, seed)
						 : hash_words(group, l->group_bytes, seed);
	of_group = fl_mum(h, UINT64_C(0xd6e8feb86659fd93));
	if (l->value_bytes == 4) {
		uint32_t narrow;

		memcpy(&narrow, key + l->offset[l->n_keys - 1], 4);
		value[0] = narrow;
	} else {
		memcpy(value, key + l->offset[l->n_keys - 1], l->value_bytes);
	}
	h = fl_mum(h ^ value[0] ^ (uint64_t)flags << 32, UINT64_C(0x9e3779b97f4a7c15));
	h = fl_mum(h ^ value[1], UINT64_C(0xd6e8feb86659fd93));
	return (of_group & ~(UINT64_MAX >> 16)) | (h & (UINT64_MAX >> 16));
}

static uint64_t slot_of(uint64_t hash, uint32_t row)
{
	return (hash & ~UINT64_C(0xffffffff)) | (row + 1);
}

static int grow(struct fl_group_table *t)
{
	/* Fewer steps while they are cheap: each is memory to be cleared. */
	uint64_t slots = (t->mask + 1) * (t->mask < SLOTS_LARGE ? 4 : 2), *slot = fl_map_alloc(slots * sizeof *slot);

	if (!slot)
		return -ENOMEM;
	fl_map_free(t->slot, (t->mask + 1) * sizeof *t->slot);
	t->slot = slot;
	t->mask = slots - 1;
	for (uint32_t row = 0; row < t->rows; row++) {
		uint64_t hash = fl_group_row_hash(fl_group_row(t, row)), at = hash & t->mask;

		while (slot[at])
			at = (at + 1) & t->mask;
		slot[at] = slot_of(hash, row);
	}
	return 0;
}

static int add_chunk(struct fl_group_table *t)
{
	size_t bytes = (size_t)FL_GROUP_CHUNK * t->layout->row_bytes;

	if (t->n_chunks == t->cap_chunks) {
		size_t cap = t->cap_chunks ? t->cap_chunks * 2 : 64;
		char **grown = realloc(t->chunk, cap * sizeof *grown);

		if (!grown)
			return -ENOMEM;
		t->chunk = grown;
		t->cap_chunks = cap;
	}
	if (t->free_bytes < bytes) {
		size_t want = sizeof(struct fl_group_block) + bytes;
		size_t size = (size_t)FL_MIN(t->bytes, (uint64_t)BLOCK_MOST);
		struct fl_group_block *b;

		size = FL_MAX(size, want);
		b = fl_map_alloc(size);
		if (!b)
			return -ENOMEM;
		b->before = t->block;
		b->bytes = size;
		t->block = b;
		t->bytes += size;
		t->free_at = (char *)(b + 1);
		t->free_bytes = size - sizeof *b;
	}
	t->chunk[t->n_chunks] = t->free_at;
	t->free_at += bytes;
	t->free_bytes -= bytes;
	t->n_chunks++;
	return 0;
}

/* The next row, its measures at their beginning. */
static char *new_row(struct fl_group_table *t, const char *key, uint64_t hash)
{
	const struct fl_group_layout *l = t->layout;
	char *row;
	uint64_t *m;

	if (t->rows == UINT32_MAX - 1 || (t->rows / FL_GROUP_CHUNK == t->n_chunks && add_chunk(t)))
		return NULL;
	row = fl_group_row(t, t->rows++);
	memcpy(row, &hash, 8);
	memcpy(row + 8, key, l->key_bytes);
	m = fl_group_row_measures(row, l);
	for (size_t i = 0; i < l->n_measures; i++)
		m[i] = l->kind[i] == FL_MEASURE_MIN ? UINT64_MAX : 0;
	return row;
}

static inline __attribute__((always_inline)) bool same_key(const char *a, const char *b, uint32_t bytes)
{
	uint64_t differ = 0, x, y;

	for (uint32_t i = 0; i < bytes; i += 8) {
		memcpy(&x, a + i, 8);
		memcpy(&y, b + i, 8);
		differ |= x ^ y;
	}
	return !differ;
}

static inline __attribute__((always_inline)) int
find_all(struct fl_group_table *t, const char *keys, const uint64_t *hash, uint32_t n, char **ret_row, uint32_t bytes)
{
	for (uint32_t i = 0; i < n; i++)
		__builtin_prefetch(&t->slot[hash[i] & t->mask]);
	for (uint32_t i = 0; i < n; i++) {
		uint64_t s = t->slot[hash[i] & t->mask];

		if (s && (s ^ hash[i]) >> 32 == 0)
			__builtin_prefetch(fl_group_row(t, (uint32_t)s - 1), 1);
	}
	for (uint32_t i = 0; i < n; i++) {
		const char *key = keys + (size_t)i * bytes;
		uint64_t at = hash[i] & t->mask, s;
		char *row = NULL;

		while ((s = t->slot[at])) {
			row = (s ^ hash[i]) >> 32 ? NULL : fl_group_row(t, (uint32_t)s - 1);
			if (row && same_key(row + 8, key, bytes))
				break;
			at = (at + 1) & t->mask;
		}
		if (!s) {
			row = new_row(t, key, hash[i]);
			if (!row)
				return -ENOMEM;
			t->slot[at] = slot_of(hash[i], t->rows - 1);
		}
		ret_row[i] = row;
	}
	return 0;
}

int fl_group_table_find(struct fl_group_table *t, const char *keys, const uint64_t *hash, uint32_t n, char **ret_row)
{
	/* At most two thirds full, whatever comes. */
	while ((uint64_t)t->rows + n > (t->mask + 1) / 3 * 2) {
		int r = grow(t);

		if (r)
			return r;
	}
	switch (t->layout->key_bytes) {
	case 8:
		return find_all(t, keys, hash, n, ret_row, 8);
	case 16:
		return find_all(t, keys, hash, n, ret_row, 16);
	case 24:
		return find_all(t, keys, hash, n, ret_row, 24);
	case 32:
		return find_all(t, keys, hash, n, ret_row, 32);
	case 40:
		return find_all(t, keys, hash, n, ret_row, 40);
	default:
		return find_all(t, keys, hash, n, ret_row, t->layout->key_bytes);
	}
}

void fl_group_merge_measures(const struct fl_group_layout *l, uint64_t *to, const uint64_t *from)
{
	for (size_t i = 0; i < l->n_measures; i++)
		switch ((enum fl_measure_kind)l->kind[i]) {
		case FL_MEASURE_MIN:
			to[i] = FL_MIN(to[i], from[i]);
			break;
		case FL_MEASURE_MAX:
			to[i] = FL_MAX(to[i], from[i]);
			break;
		case FL_MEASURE_OR:
			to[i] |= from[i];
			break;
		case FL_MEASURE_COUNT:
		case FL_MEASURE_SUM:
		case FL_MEASURE_DISTINCT:
			to[i] = fl_group_add_u64(to[i], from[i]);
			break;
		}
}
