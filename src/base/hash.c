/* SPDX-License-Identifier: Apache-2.0 */
#include "base/hash.h"

#include <string.h>
#include <sys/random.h>
#include <time.h>
#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

#define HASH_A 0xa0761d6478bd642full
#define HASH_B 0xe7037ed1a0b428dbull

uint64_t fl_hash_bytes(const void *data, size_t n, uint64_t seed)
{
	const uint8_t *p = data;
	uint64_t h = seed ^ fl_mum(n ^ HASH_A, HASH_B), word[2];

	for (; n >= sizeof word; n -= sizeof word, p += sizeof word) {
		memcpy(word, p, sizeof word);
		h = fl_mum(word[0] ^ HASH_A ^ h, word[1] ^ HASH_B);
	}
	memset(word, 0, sizeof word);
	memcpy(word, p, n);
	return fl_mum(word[0] ^ h ^ HASH_B, word[1] ^ HASH_A);
}

#define XXH_1 0x9e3779b185ebca87ull
#define XXH_2 0xc2b2ae3d27d4eb4full
#define XXH_3 0x165667b19e3779f9ull
#define XXH_4 0x85ebca77c2b2ae63ull
#define XXH_5 0x27d4eb2f165667c5ull

static uint64_t rotate(uint64_t v, unsigned n)
{
	return v << n | v >> (64 - n);
}

static uint64_t xxh_round(uint64_t lane, uint64_t word)
{
	return rotate(lane + word * XXH_2, 31) * XXH_1;
}

static uint64_t xxh_long(const uint8_t **p, size_t *n)
{
	uint64_t lane[4] = {XXH_1 + XXH_2, XXH_2, 0, 0 - XXH_1}, word, h;

	for (; *n >= 32; *n -= 32, *p += 32)
		for (unsigned i = 0; i < 4; i++) {
			memcpy(&word, *p + 8 * i, sizeof word);
			lane[i] = xxh_round(lane[i], word);
		}
	h = rotate(lane[0], 1) + rotate(lane[1], 7) + rotate(lane[2], 12) + rotate(lane[3], 18);
	for (unsigned i = 0; i < 4; i++)
		h = (h ^ xxh_round(0, lane[i])) * XXH_1 + XXH_4;
	return h;
}

uint64_t fl_xxh64(const void *data, size_t n)
{
	const uint8_t *p = data;
	size_t length = n;
	uint64_t h = n >= 32 ? xxh_long(&p, &n) : XXH_5, word;
	uint32_t half;

	h += length;
	for (; n >= 8; n -= 8, p += 8) {
		memcpy(&word, p, sizeof word);
		h = rotate(h ^ xxh_round(0, word), 27) * XXH_1 + XXH_4;
	}
	if (n >= 4) {
		memcpy(&half, p, sizeof half);
		h = rotate(h ^ half * XXH_1, 23) * XXH_2 + XXH_3;
		n -= 4;
		p += 4;
	}
	for (; n; n--, p++)
		h = rotate(h ^ *p * XXH_5, 11) * XXH_1;
	h = (h ^ h >> 33) * XXH_2;
	h = (h ^ h >> 29) * XXH_3;
	return h ^ h >> 32;
}

/* CRC-32C (RFC 3720 appendix B.4): reflected polynomial. */
#define CRC32C_POLY 0x82f63b78u

static uint32_t crc_table[256];

__attribute__((constructor)) static void make_crc_table(void)
{
	for (uint32_t i = 0; i < 256; i++) {
		uint32_t c = i;

		for (unsigned bit = 0; bit < 8; bit++)
			c = c >> 1 ^ (c & 1 ? CRC32C_POLY : 0);
		crc_table[i] = c;
	}
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) static uint32_t crc_sse42(uint32_t crc, const uint8_t *p, size_t n)
{
	uint64_t c = crc, word;

	for (; n >= 8; n -= 8, p += 8) {
		memcpy(&word, p, 8);
		c = _mm_crc32_u64(c, word);
	}
	while (n--)
		c = _mm_crc32_u8((uint32_t)c, *p++);
	return (uint32_t)c;
}
#endif

uint32_t fl_crc32c(uint32_t crc, const void *data, size_t n)
{
	const uint8_t *p = data;

	crc = ~crc;
#if defined(__x86_64__)
	if (__builtin_cpu_supports("sse4.2"))
		return ~crc_sse42(crc, p, n);
#endif
	while (n--)
		crc = crc >> 8 ^ crc_table[(crc ^ *p++) & 0xff];
	return ~crc;
}

uint64_t fl_random_seed(void)
{
	uint64_t v;
	struct timespec ts;

	if (getrandom(&v, sizeof v, GRND_NONBLOCK) == sizeof v)
		return v;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return fl_mum((uint64_t)ts.tv_nsec ^ HASH_A, (uint64_t)(uintptr_t)&v ^ (uint64_t)ts.tv_sec ^ HASH_B);
}

/* ---- SHA-256, FIPS 180-4 ---- */

static const uint32_t sha_k[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static uint32_t rotr(uint32_t v, unsigned n)
{
	return v >> n | v << (32 - n);
}

static void sha_block(uint32_t h[8], const uint8_t *p)
{
	uint32_t w[64], s[8];

	for (unsigned i = 0; i < 16; i++) {
		memcpy(&w[i], p + 4 * i, 4);
		w[i] = __builtin_bswap32(w[i]);
	}
	for (unsigned i = 16; i < 64; i++) {
		uint32_t a = rotr(w[i - 15], 7) ^ rotr(w[i - 15], 18) ^ w[i - 15] >> 3;
		uint32_t b = rotr(w[i - 2], 17) ^ rotr(w[i - 2], 19) ^ w[i - 2] >> 10;

		w[i] = w[i - 16] + a + w[i - 7] + b;
	}
	memcpy(s, h, sizeof s);
	for (unsigned i = 0; i < 64; i++) {
		uint32_t t1 = s[7] + (rotr(s[4], 6) ^ rotr(s[4], 11) ^ rotr(s[4], 25)) +
			      ((s[4] & s[5]) ^ (~s[4] & s[6])) + sha_k[i] + w[i];
		uint32_t t2 =
		    (rotr(s[0], 2) ^ rotr(s[0], 13) ^ rotr(s[0], 22)) + ((s[0] & s[1]) ^ (s[0] & s[2]) ^ (s[1] & s[2]));

		memmove(s + 1, s, 7 * sizeof s[0]);
		s[4] += t1;
		s[0] = t1 + t2;
	}
	for (unsigned i = 0; i < 8; i++)
		h[i] += s[i];
}

void fl_sha256(const void *data, size_t n, uint8_t ret[32])
{
	uint32_t h[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
			 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
	const uint8_t *p = data;
	uint64_t bits = __builtin_bswap64((uint64_t)n * 8);
	uint8_t tail[128] = {0};
	size_t rest = n % 64, tail_n = rest < 56 ? 64 : 128;

	for (size_t i = 0; i + 64 <= n; i += 64)
		sha_block(h, p + i);
	if (rest)
		memcpy(tail, p + n - rest, rest);
	tail[rest] = 0x80;
	memcpy(tail + tail_n - 8, &bits, 8);
	for (size_t i = 0; i < tail_n; i += 64)
		sha_block(h, tail + i);
	for (unsigned i = 0; i < 8; i++) {
		h[i] = __builtin_bswap32(h[i]);
		memcpy(ret + 4 * i, &h[i], 4);
	}
}

void fl_hex(const uint8_t *data, size_t n, char *ret_hex)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < n; i++) {
		*ret_hex++ = digits[data[i] >> 4];
		*ret_hex++ = digits[data[i] & 15];
	}
	*ret_hex = '\0';
}
