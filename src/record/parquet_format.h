/* SPDX-License-Identifier: Apache-2.0 */
/* What writer and reader of Parquet both know: numbers of parquet.thrift (apache/parquet-format) and its Bloom filter.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/mem.h"

#define FL_PARQUET_MAGIC "PAR1"

enum fl_parquet_type {
	FL_PARQUET_BOOLEAN = 0,
	FL_PARQUET_INT32 = 1,
	FL_PARQUET_INT64 = 2,
	FL_PARQUET_INT96 = 3,
	FL_PARQUET_FLOAT = 4,
	FL_PARQUET_DOUBLE = 5,
	FL_PARQUET_BYTE_ARRAY = 6,
	FL_PARQUET_FIXED = 7,
	FL_PARQUET_TYPES
};
enum fl_parquet_encoding {
	FL_PARQUET_PLAIN = 0,
	FL_PARQUET_PLAIN_DICTIONARY = 2,
	FL_PARQUET_RLE = 3,
	FL_PARQUET_BIT_PACKED = 4,
	FL_PARQUET_DELTA_BINARY_PACKED = 5,
	FL_PARQUET_DELTA_LENGTH_BYTE_ARRAY = 6,
	FL_PARQUET_DELTA_BYTE_ARRAY = 7,
	FL_PARQUET_RLE_DICTIONARY = 8,
	FL_PARQUET_BYTE_STREAM_SPLIT = 9
};
enum fl_parquet_page {
	FL_PARQUET_DATA_PAGE = 0,
	FL_PARQUET_INDEX_PAGE = 1,
	FL_PARQUET_DICTIONARY_PAGE = 2,
	FL_PARQUET_DATA_PAGE_V2 = 3
};
enum fl_parquet_repetition { FL_PARQUET_REQUIRED = 0, FL_PARQUET_OPTIONAL = 1, FL_PARQUET_REPEATED = 2 };
/* ConvertedType, as far as columns of flow logs may have it. */
enum fl_parquet_converted {
	FL_PARQUET_UTF8 = 0,
	FL_PARQUET_DECIMAL = 5,
	FL_PARQUET_DATE = 6,
	FL_PARQUET_TIME_MILLIS = 7,
	FL_PARQUET_TIME_MICROS = 8,
	FL_PARQUET_TIMESTAMP_MILLIS = 9,
	FL_PARQUET_TIMESTAMP_MICROS = 10,
	FL_PARQUET_UINT_8 = 11,
	FL_PARQUET_UINT_16 = 12,
	FL_PARQUET_UINT_32 = 13,
	FL_PARQUET_UINT_64 = 14,
	FL_PARQUET_INT_32 = 17,
	FL_PARQUET_INT_64 = 18
};
/* CompressionCodec */
enum fl_parquet_codec {
	FL_PARQUET_UNCOMPRESSED = 0,
	FL_PARQUET_SNAPPY = 1,
	FL_PARQUET_GZIP = 2,
	FL_PARQUET_LZO = 3,
	FL_PARQUET_BROTLI = 4,
	FL_PARQUET_LZ4 = 5, /* Hadoop's framing; deprecated */
	FL_PARQUET_ZSTD = 6,
	FL_PARQUET_LZ4_RAW = 7
};

/* ---- split-block Bloom filter (BloomFilter.md), over the bytes of a value ---- */
#define FL_BLOOM_BLOCK 32u
#define FL_BLOOM_MAX (1u << 20)        /* bytes */
size_t fl_bloom_size(size_t n_values); /* about 1 % wrong; a power of two, which Arrow asks for */
void fl_bloom_add(uint8_t *bloom, size_t size, const void *value, size_t n);
/* Offset of the one block that tells of a value, and what it says: false, it was not added. */
size_t fl_bloom_block(size_t size, const void *value, size_t n);
bool fl_bloom_block_has(const uint8_t block[FL_BLOOM_BLOCK], const void *value, size_t n);
