/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Further face of the stage "record": batches as one Parquet file, with AWS's column names and types (destinations.md
 * 1.4). A file is a function of its batches' rows and of the configuration, byte for byte.
 *
 * Memory: one row group, which is cut by rows and by bytes.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/codec.h"
#include "record/columns.h"

#define FL_PARQUET_GROUP_ROWS (256u << 10)
#define FL_PARQUET_GROUP_BYTES ((size_t)128 << 20) /* of values and indices held */

struct fl_parquet_conf {
	const struct fl_column_def *columns; /* of the batches, in this order; batches may have more behind them */
	size_t n_columns;
	uint8_t codec;          /* enum fl_codec, not LZ4 */
	int level;              /* 0: the codec's usual one */
	uint32_t group_rows;    /* 0: FL_PARQUET_GROUP_ROWS */
	size_t group_bytes;     /* 0: FL_PARQUET_GROUP_BYTES */
	bool text_null;         /* missing text is null; else "-", as AWS writes it. Missing numbers are null always. */
	bool no_bloom;          /* without Bloom filters on addresses */
	const char *log_format; /* "${version} ...", into the file's key-value metadata; NULL: none */
};

/* Takes the file's bytes in their order. Not 0: ends the writing and is its result. */
typedef int (*fl_parquet_sink)(void *ctx, const void *data, size_t n);
/* A sink into a struct fl_buf. */
int fl_parquet_into_buf(void *buf, const void *data, size_t n);

struct fl_parquet_writer;
int fl_parquet_writer_new(struct fl_parquet_writer **ret, const struct fl_parquet_conf *conf, fl_parquet_sink sink,
			  void *ctx); /* conf's columns are copied, their names and codes are not */
void fl_parquet_writer_free(struct fl_parquet_writer **w);
int fl_parquet_write(struct fl_parquet_writer *w, const struct fl_batch *b);
uint64_t fl_parquet_written(const struct fl_parquet_writer *w); /* bytes that went into the sink */
uint64_t fl_parquet_rows(const struct fl_parquet_writer *w);
/* The last row group and the footer. A file without rows is valid too. */
int fl_parquet_finish(struct fl_parquet_writer *w);
