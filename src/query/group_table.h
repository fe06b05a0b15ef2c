/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside "query": one table of groups. A row is [hash 8][flags 4 and keys, padded to 8][measures 8 each]; rows do not
 * move. Slots hold the upper half of the hash and the number of the row.
 *
 * The upper 16 bits of a hash come from the keys of the group alone, also where the last key is a value to be counted
 * distinct: all values of a group fall into the same part.
 */
#pragma once

#include "query/group.h"

#define FL_GROUP_PARTS 64u                              /* of spilled and merged rows: by the upper bits of the hash */
#define FL_GROUP_KEY_MOST (8 * (2 * FL_GROUP_KEYS + 4)) /* bytes of packed keys */
#define FL_GROUP_KEY_SHORT 24u                          /* one address, and up to eight bytes */
#define FL_GROUP_CHUNK 4096u                            /* rows allocated at once */

struct fl_group_layout {
	size_t n_keys; /* with the value to be counted */
	uint8_t type[FL_GROUP_KEYS + 1];
	uint32_t offset[FL_GROUP_KEYS + 1]; /* from the flags */
	bool counts;                        /* the last key is a value to be counted distinct */
	size_t counted_measure;             /* which measure of the answer counts them */
	bool as_sets;      /* values are kept as sets (sets.h) by the first table, as long as they can be */
	bool value_inside; /* it lies in what rounding left behind the group's keys */
	uint32_t value_bytes;
	uint32_t group_bytes; /* of flags and keys of the group; a multiple of 8 */
	uint32_t key_bytes;   /* with the value */
	size_t n_measures;
	uint8_t kind[FL_GROUP_MEASURES];
	uint32_t row_bytes;
};
/* flags: bit i: key i is null; bit 16 + i: written as IPv6 */
#define FL_GROUP_FLAG_NULL(i) (UINT32_C(1) << (i))
#define FL_GROUP_FLAG_V6(i) (UINT32_C(1) << (16 + (i)))

void fl_group_layout(struct fl_group_layout *l, const enum fl_group_type *key, size_t n_keys,
		     const enum fl_group_type *counted, const uint8_t *kind, size_t n_measures);

struct fl_group_table {
	const struct fl_group_layout *layout;
	uint64_t *slot;
	uint64_t mask;
	char **chunk;
	size_t n_chunks, cap_chunks;
	struct fl_group_block *block; /* what chunks lie in, the newest first */
	uint64_t bytes;               /* of all blocks */
	char *free_at;                /* of the newest block: what is no chunk yet */
	size_t free_bytes;
	uint32_t rows;
};
int fl_group_table_init(struct fl_group_table *t, const struct fl_group_layout *l);
void fl_group_table_free(struct fl_group_table *t);
void fl_group_table_reset(struct fl_group_table *t); /* no rows; memory is kept */
uint64_t fl_group_table_bytes(const struct fl_group_table *t);
static inline char *fl_group_row(const struct fl_group_table *t, uint32_t row)
{
	return t->chunk[row / FL_GROUP_CHUNK] + (size_t)(row % FL_GROUP_CHUNK) * t->layout->row_bytes;
}
static inline uint64_t fl_group_row_hash(const char *row)
{
	return *(const uint64_t *)(const void *)row;
}
static inline uint64_t *fl_group_row_measures(char *row, const struct fl_group_layout *l)
{
	return (uint64_t *)(void *)(row + 8 + l->key_bytes);
}
/* Leaves the group's own keys in a packed key that has a value to be counted; whether that counts, being no null. */
bool fl_group_take_value(const struct fl_group_layout *l, char *key);
uint64_t fl_group_hash(const struct fl_group_layout *l, const char *key, uint64_t seed);
/* Rows of the keys, n at most FL_GROUP_AHEAD; what is new has its measures at their beginning. */
#define FL_GROUP_AHEAD 256u
int fl_group_table_find(struct fl_group_table *t, const char *keys, const uint64_t *hash, uint32_t n, char **ret_row);
void fl_group_merge_measures(const struct fl_group_layout *l, uint64_t *to, const uint64_t *from);
static inline uint64_t fl_group_add_u64(uint64_t a, uint64_t b)
{
	uint64_t sum = a + b;

	/* Only what was made to overflow does; the greatest number of all is the least of nothing. */
	return sum < a || sum == UINT64_MAX ? UINT64_MAX - 1 : sum;
}
