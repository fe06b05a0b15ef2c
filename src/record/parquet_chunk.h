/* SPDX-License-Identifier: Apache-2.0 */
/* Inside the Parquet writer: a column of the row group that is being built, and how it becomes pages. */
#pragma once

#include "record/parquet.h"
#include "record/parquet_format.h"

#define FL_PARQUET_PAGE_ROWS 20480u /* ten batches; parquet-mr's pages have 20,000 rows */
#define FL_PARQUET_NULL UINT32_MAX  /* in the place of an index */
#define FL_PARQUET_STAT_MAX 128u    /* longer values are not put into statistics */

/*
 * Values by number, and the number of each row's value. Each distinct value stands once until there are so many that a
 * dictionary makes no sense; from then on (`loose`) each row adds its own.
 */
struct fl_chunk {
	struct fl_column_def def;
	bool text_null, int32;
	uint8_t type; /* enum fl_parquet_type */
	/* values */
	union {
		uint64_t *u64;
		struct fl_addr *addr;
		uint32_t *end; /* text: where each ends in `text` */
	};
	uint8_t *v6; /* addresses: printed as IPv6 */
	struct fl_buf text;
	uint32_t n, cap;
	uint32_t dash;   /* the value "-" of an address column, which is no address; FL_PARQUET_NULL: not there */
	uint32_t *table; /* of numbers + 1, by hash */
	uint32_t table_mask;
	uint64_t seed;
	bool loose;
	/* rows */
	uint32_t *index;
	uint32_t rows, nulls, rows_cap;
};

int fl_chunk_init(struct fl_chunk *c, const struct fl_column_def *def, bool text_null);
void fl_chunk_free(struct fl_chunk *c);
void fl_chunk_reset(struct fl_chunk *c);
int fl_chunk_add(struct fl_chunk *c, const struct fl_column *column, uint32_t from, uint32_t n);
size_t fl_chunk_bytes(const struct fl_chunk *c); /* held, about */
/* Value as its bytes in the file without a length; scratch is for those that are made on the way. */
#define FL_CHUNK_SCRATCH FL_ADDR_TEXT_MAX
struct fl_str fl_chunk_value(const struct fl_chunk *c, uint32_t number, char scratch[FL_CHUNK_SCRATCH]);

/* ---- pages ---- */

struct fl_page_meta {
	uint64_t offset; /* in the chunk */
	uint32_t size;   /* with header */
	uint32_t first_row, rows, nulls;
	bool has; /* min and max are known */
	uint8_t min_n, max_n;
	char *range; /* min, max */
};
struct fl_chunk_meta {
	uint64_t offset, dictionary_offset; /* in the file; 0: no dictionary */
	uint64_t data_offset, size, raw_size;
	uint32_t values, nulls, distinct; /* distinct 0: not known */
	uint8_t encoding;                 /* of the data pages */
	struct fl_page_meta whole;        /* min and max of the chunk */
	struct fl_page_meta *page;
	size_t n_pages;
	uint64_t bloom_offset;
	uint32_t bloom_size; /* with its header */
	bool rising;         /* numbers without nulls, each not less than the one before */
};
void fl_chunk_meta_free(struct fl_chunk_meta *m);

struct fl_pager { /* what making pages needs, of one writer */
	struct fl_coder *coder;
	uint8_t codec;
	int level;
	struct fl_buf body, packed; /* of one page */
	struct fl_buf text;         /* of the values of a column */
	uint32_t *end;              /* where each ends in it */
	uint64_t *order;            /* by value: what comes first in order is smaller; equal ones are to be looked at */
	size_t values_cap;
	uint32_t *ids, *levels; /* FL_PARQUET_PAGE_ROWS */
	uint64_t *numbers;
};
int fl_pager_init(struct fl_pager *p, uint8_t codec, int level);
void fl_pager_free(struct fl_pager *p);
/* All pages of the chunk appended to out; m is zeroed, offsets are from out's beginning of the chunk. */
int fl_pager_chunk(struct fl_pager *p, const struct fl_chunk *c, struct fl_buf *out, struct fl_chunk_meta *m);

/* ---- encodings ---- */
int fl_put_hybrid(struct fl_buf *out, const uint32_t *v, uint32_t n, unsigned width);
int fl_put_delta(struct fl_buf *out, const uint64_t *v, uint32_t n, bool int32);
unsigned fl_bit_width(uint64_t max);

/* ---- footer ---- */
struct fl_group_meta {
	struct fl_chunk_meta *chunk; /* one a column */
	uint64_t rows;
	int sorted_by; /* column, -1: none */
};
int fl_put_page_header(struct fl_buf *out, enum fl_parquet_page type, uint32_t raw, uint32_t size, uint32_t crc,
		       uint32_t values, uint8_t encoding);
int fl_put_bloom_header(struct fl_buf *out, uint32_t size);
/* Page indexes and footer; `at` is the offset of out's first byte in the file. */
int fl_put_footer(struct fl_buf *out, uint64_t at, const struct fl_chunk *columns, size_t n_columns,
		  const struct fl_group_meta *groups, size_t n_groups, const struct fl_parquet_conf *conf);
