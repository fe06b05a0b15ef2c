/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sets of numbers below 65,536, many and mostly small: what counts distinct ports. A set is one word: nothing, up to
 * three values, or a pointer to a table that ends as a bitmap of 8 KiB.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define FL_SET_VALUES 65536u

struct fl_set_store { /* of one thread; null value: zero */
	struct fl_set_block *block;
	size_t left;
	char *at;
	void *unused[16]; /* by size */
	uint64_t bytes;
};
void fl_set_store_free(struct fl_set_store *s); /* with all sets */
int fl_set_add(struct fl_set_store *s, uint64_t *set, uint16_t v);
uint32_t fl_set_count(uint64_t set);
/* fn for each value, until it returns something else than 0, which is returned. */
int fl_set_each(uint64_t set, int (*fn)(void *ctx, uint16_t v), void *ctx);
