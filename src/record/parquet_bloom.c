/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/hash.h"
#include "record/parquet_format.h"

#define WORDS (FL_BLOOM_BLOCK / 4)

static const uint32_t salt[WORDS] = {0x47b6137bu, 0x44974d91u, 0x8824ad5bu, 0xa2b7289du,
				     0x705495c7u, 0x2df1424bu, 0x9efc4947u, 0x5c6bfb31u};

size_t fl_bloom_size(size_t n_values)
{
	size_t want = n_values + n_values / 4, size = FL_BLOOM_BLOCK; /* ten bits a value */

	/* Rounded to the nearer power: 7 to 14 bits. */
	while (size < FL_BLOOM_MAX && size + size / 2 < want)
		size *= 2;
	return size;
}

size_t fl_bloom_block(size_t size, const void *value, size_t n)
{
	return (size_t)((fl_xxh64(value, n) >> 32) * (size / FL_BLOOM_BLOCK) >> 32) * FL_BLOOM_BLOCK;
}

void fl_bloom_add(uint8_t *bloom, size_t size, const void *value, size_t n)
{
	uint32_t hash = (uint32_t)fl_xxh64(value, n), word[WORDS];
	uint8_t *block = bloom + fl_bloom_block(size, value, n);

	memcpy(word, block, sizeof word);
	for (unsigned i = 0; i < WORDS; i++)
		word[i] |= UINT32_C(1) << (hash * salt[i] >> 27);
	memcpy(block, word, sizeof word);
}

bool fl_bloom_block_has(const uint8_t block[FL_BLOOM_BLOCK], const void *value, size_t n)
{
	uint32_t hash = (uint32_t)fl_xxh64(value, n), word[WORDS];

	memcpy(word, block, sizeof word);
	for (unsigned i = 0; i < WORDS; i++)
		if (!(word[i] >> (hash * salt[i] >> 27) & 1))
			return false;
	return true;
}
