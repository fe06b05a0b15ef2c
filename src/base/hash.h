/* SPDX-License-Identifier: Apache-2.0 */
/* Seeded hashing for tables (keys come from the wire, so the seed is random per process), CRC-32C for
 * frames on disk and in shared memory, SHA-256-based identifiers. */
#pragma once

#include <stddef.h>
#include <stdint.h>

static inline uint64_t fl_mum(uint64_t a, uint64_t b)
{
	__uint128_t r = (__uint128_t)a * b;

	return (uint64_t)r ^ (uint64_t)(r >> 64);
}

uint64_t fl_hash_bytes(const void *data, size_t n, uint64_t seed);
uint32_t fl_crc32c(uint32_t crc, const void *data, size_t n); /* start with 0; SSE4.2 when there */

/* xxHash64 with seed 0 (Cyan4973/xxHash, doc/xxhash_spec.md), which Parquet's Bloom filters are made with. */
uint64_t fl_xxh64(const void *data, size_t n);

/* From getrandom(2). Never fails (falls back to the clock and addresses). */
uint64_t fl_random_seed(void);

/* FIPS 180-4. */
void fl_sha256(const void *data, size_t n, uint8_t ret[32]);
/* hex must hold 2 * n + 1 bytes. */
void fl_hex(const uint8_t *data, size_t n, char *ret_hex);
