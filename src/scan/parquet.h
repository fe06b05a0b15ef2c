/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside the room "scan": flat Parquet files of anybody (AWS, DuckDB, Polars, Arrow, Spark, ours) as batches. A file is
 * opened once and read by row groups, each by a thread. Data pages of both versions, all encodings that Parquet has for
 * flat columns; snappy, gzip, zstd and LZ4 (raw). Nothing in a file is believed: sizes have ceilings, everything is
 * read through bounded cursors, and what is damaged ends its row group with a sentence.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "record/columns.h"
#include "scan/filter.h"

#define FL_PARQUET_FOOTER_MAX ((size_t)64 << 20)
#define FL_PARQUET_LEAVES_MAX 4096u             /* columns of a schema */
#define FL_PARQUET_CHUNKS_MAX (1u << 20)        /* row groups times columns */
#define FL_PARQUET_PAGE_MAX ((size_t)256 << 20) /* decompressed */
#define FL_PARQUET_READER_MAX ((size_t)1 << 30) /* of all pages and dictionaries that a reader holds at a time */
#define FL_PARQUET_DICTIONARY_VALUES (16u << 20)

/* Where the bytes are: all n of them, or -errno with a sentence. May be called by several threads. */
struct fl_parquet_input {
	int (*read)(void *ctx, uint64_t at, void *to, size_t n);
	void *ctx;
	uint64_t size;
	/* How many of the n bytes there are at hand, without waiting for a network; NULL: all. */
	size_t (*at_hand)(void *ctx, uint64_t at, size_t n);
	bool far; /* small reads are dear: what can be told from the end alone is */
};
/* Of an open file, which must live as long. */
int fl_parquet_input_fd(struct fl_parquet_input *ret, int fd);

struct fl_parquet_file; /* immutable once opened */
/* name is for sentences. -EBADMSG: not a Parquet file, or one that cannot be read (encrypted, ...). */
int fl_parquet_open(struct fl_parquet_file **ret, const struct fl_parquet_input *input, const char *name);
void fl_parquet_close(struct fl_parquet_file **f);
/* Flat columns, in the file's order, each name once. Names live as long as the file. */
size_t fl_parquet_columns(const struct fl_parquet_file *f, const struct fl_column_def **ret);
/* A sentence about columns that are not read (nested, of types that no field has); NULL: all are. */
const char *fl_parquet_note(const struct fl_parquet_file *f);
uint64_t fl_parquet_file_rows(const struct fl_parquet_file *f);
size_t fl_parquet_groups(const struct fl_parquet_file *f);
/* As stored, of all columns. */
uint64_t fl_parquet_group_bytes(const struct fl_parquet_file *f, size_t group);
/* Least and greatest value of a column of numbers in a row group. False: not known, or there are only nulls. */
bool fl_parquet_group_numbers(const struct fl_parquet_file *f, size_t group, const char *column, uint64_t *ret_min,
			      uint64_t *ret_max);
uint64_t fl_parquet_group_rows(const struct fl_parquet_file *f, size_t group);
/* By its statistics alone, which the footer has. */
bool fl_parquet_group_is_in_range(const struct fl_parquet_file *f, size_t group, const struct fl_filter *filter);
/* And by Bloom filters, which are read from this input; NULL: the file's. */
bool fl_parquet_group_may_pass(const struct fl_parquet_file *f, size_t group, const struct fl_filter *filter,
			       const struct fl_parquet_input *input);

/* ---- for those who fetch what a row group takes, before it is read ---- */
#define FL_PARQUET_PIECE (256u << 10)
struct fl_parquet_extents {
	struct fl_parquet_extent {
		uint64_t at;
		size_t n;
	} * extent;
	size_t n, cap;
};
void fl_parquet_extents_free(struct fl_parquet_extents *x);
/* First what tells which parts may pass: indexes of pages and Bloom filters. Nothing when filter is NULL. */
int fl_parquet_group_hints(const struct fl_parquet_file *f, size_t group, const struct fl_column_def *columns, size_t n,
			   const struct fl_filter *filter, struct fl_parquet_extents *ret);
/* Then what the reader of these columns and this filter will read, in pieces that depend on nothing but the file: the
 * same ones for every question. input: where the indexes are read from; NULL: the file's. */
int fl_parquet_group_data(const struct fl_parquet_file *f, size_t group, const struct fl_column_def *columns, size_t n,
			  const struct fl_filter *filter, const struct fl_parquet_input *input,
			  struct fl_parquet_extents *ret);
/* By offset, without what overlaps. */
void fl_parquet_extents_sort(struct fl_parquet_extents *x);
/* Bytes of these columns: at most so many are fetched. */
uint64_t fl_parquet_columns_bytes(const struct fl_parquet_file *f, size_t group, const struct fl_column_def *columns,
				  size_t n);

/* ---- of one thread ---- */
struct fl_parquet_reader;
/* Batches have these columns; those that the file lacks are null. Rows that pass the filter (NULL: all); every column
 * it looks at must be among the columns. columns and filter must outlive the reader. */
int fl_parquet_reader_new(struct fl_parquet_reader **ret, const struct fl_parquet_file *f,
			  const struct fl_column_def *columns, size_t n, const struct fl_filter *filter);
void fl_parquet_reader_free(struct fl_parquet_reader **r);
/* Bytes come from this input from now on, and not from the file's. */
void fl_parquet_reader_from(struct fl_parquet_reader *r, const struct fl_parquet_input *input);
int fl_parquet_reader_group(struct fl_parquet_reader *r, size_t group);
/* 1: rows in b (which has the reader's columns in front), at least one, valid until the next call. 0: the row group has
 * no more. -EBADMSG and others with a sentence: nor has it then. */
int fl_parquet_next(struct fl_parquet_reader *r, struct fl_batch *b);
struct fl_parquet_counts {
	uint64_t records;    /* looked at: also those that were passed over by their dictionary */
	uint64_t unread;     /* rows that were passed over by the index of pages */
	uint64_t bad_values; /* that are none of their column's: null */
	uint64_t bytes;      /* read */
};
void fl_parquet_reader_counts(const struct fl_parquet_reader *r, struct fl_parquet_counts *ret);
