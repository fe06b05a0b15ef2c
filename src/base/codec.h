/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Blocks compressed with the codecs of Parquet. Sizes are known beforehand on both sides: a decoder writes what was
 * announced or fails, so that no input grows beyond what its caller allows.
 *
 * zstd and gzip are libzstd's and libdeflate's. snappy and LZ4 blocks are ours: the formats are a page each, and the
 * libraries would bring the C++ runtime (libsnappy) or another dependency (liblz4) for a hundred lines.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/mem.h"

enum fl_codec { FL_CODEC_NONE, FL_CODEC_SNAPPY, FL_CODEC_GZIP, FL_CODEC_ZSTD, FL_CODEC_LZ4, FL_CODEC_N };
extern const char *const fl_codec_names[FL_CODEC_N];

struct fl_coder; /* tables of one thread, made when a codec is first used */
int fl_coder_new(struct fl_coder **ret);
void fl_coder_free(struct fl_coder **c);
/* Appends to out. level: 0 is the codec's usual one. Not for LZ4. */
int fl_compress(struct fl_coder *c, enum fl_codec codec, int level, const void *data, size_t n, struct fl_buf *out);
/* Exactly n_out bytes, or -EBADMSG with a sentence. */
int fl_decompress(struct fl_coder *c, enum fl_codec codec, const void *data, size_t n, void *out, size_t n_out);

/* ---- the two of our own ---- */
#define FL_SNAPPY_TABLE_BITS 14
int fl_snappy_compress(uint16_t table[1 << FL_SNAPPY_TABLE_BITS], const void *data, size_t n, struct fl_buf *out);
int fl_snappy_decompress(const void *data, size_t n, void *out, size_t n_out);
int fl_lz4_decompress(const void *data, size_t n, void *out, size_t n_out); /* one block without a frame */

/* A match of n bytes from `back` bytes before: out + n must be within the buffer, back >= 1 within what is written.
 * Copies in eights where end leaves room for it. */
static inline void fl_copy_match(uint8_t *out, size_t back, size_t n, const uint8_t *end)
{
	const uint8_t *from = out - back;

	if (back >= 8 && (size_t)(end - out) >= n + 8) {
		for (size_t i = 0; i < n; i += 8)
			__builtin_memcpy(out + i, from + i, 8);
		return;
	}
	for (size_t i = 0; i < n; i++)
		out[i] = from[i];
}
