/* SPDX-License-Identifier: Apache-2.0 */
/* Inside the Parquet reader. */
#pragma once

#include "base/codec.h"
#include "record/parquet_format.h"
#include "scan/parquet.h"

/* ---- metadata ---- */

/* What is said of the values of a chunk or page. */
struct fl_pq_stats {
	int64_t nulls;             /* -1: not known */
	struct fl_str min, max;    /* n = 0: not known (or empty text) */
	bool has_range, old_range; /* old: of the deprecated members, good for signed numbers only */
	bool all_null;             /* of pages: nothing else is in it */
};
struct fl_pq_place {
	uint64_t at;
	uint32_t size;
};
struct fl_pq_chunk {
	uint8_t codec; /* enum fl_parquet_codec; may be a number that nobody knows */
	uint8_t type;
	bool all_dictionary; /* every data page uses the dictionary, says encoding_stats */
	bool elsewhere;      /* encrypted, or in another file */
	uint64_t values, size;
	uint64_t data_at, dictionary_at;   /* dictionary_at 0: none named */
	uint64_t bloom_at;                 /* 0: none */
	uint32_t bloom_size;               /* with its header; 0: not said */
	struct fl_pq_place offsets, index; /* of its pages: where they are, what is in them; at 0: not said */
	struct fl_pq_stats stats;
};

/* What a leaf of the schema holds, as numbers or bytes. */
enum fl_pq_kind {
	FL_PQ_SIGNED,
	FL_PQ_UNSIGNED,
	FL_PQ_FLOAT,
	FL_PQ_DOUBLE,
	FL_PQ_BOOL,
	FL_PQ_BYTES,
	FL_PQ_NONE /* nothing that a flow log has */
};
struct fl_pq_column {
	struct fl_column_def def; /* by its name */
	uint32_t leaf;
	uint8_t type; /* enum fl_parquet_type */
	uint8_t kind; /* enum fl_pq_kind */
	bool optional;
	uint32_t width;      /* FIXED */
	uint32_t per_second; /* of a timestamp; 0: a plain number. 1 with `days`: days */
	bool days;
};
struct fl_pq_group {
	uint64_t rows, bytes;
	struct fl_pq_chunk *chunk; /* one a leaf; NULL: the group's metadata makes no sense */
};
struct fl_parquet_file {
	struct fl_parquet_input input;
	char *name;
	struct fl_buf footer; /* views point into it */
	struct fl_pq_column *column;
	struct fl_column_def *def; /* the columns' */
	char **own_name;           /* of unknown ones */
	size_t n_columns, n_leaves;
	struct fl_pq_group *group;
	size_t n_groups;
	uint64_t rows;
	struct fl_buf note;
	bool flowlog; /* ours: addresses are printed as ours */
};
const struct fl_pq_column *fl_pq_column_find(const struct fl_parquet_file *f, const char *name);
int fl_pq_parse_footer(struct fl_parquet_file *f);
struct fl_pq_page_header {
	uint8_t page; /* enum fl_parquet_page */
	uint32_t size, raw_size, values, nulls;
	uint8_t encoding, level_encoding;
	uint32_t def_bytes, rep_bytes; /* version 2 */
	bool compressed;
	bool has_crc;
	uint32_t crc;
};
/* Bytes that the header took; 0: bad or longer than n. */
size_t fl_pq_parse_page_header(const void *data, size_t n, struct fl_pq_page_header *ret);
/* Length of the header and size of the filter; false: not one that is understood. */
bool fl_pq_parse_bloom_header(const void *data, size_t n, size_t *ret_header, size_t *ret_size);

/* ---- page indexes (PageIndex.md) ---- */

#define FL_PQ_INDEX_MAX (16u << 20) /* bytes of one */
struct fl_pq_pages {
	struct fl_pq_page {
		uint64_t at;
		uint32_t size, first_row;
	} * page;
	size_t n;
	struct fl_pq_stats *stats; /* one a page; NULL: only where pages are is known */
	struct fl_buf bytes;       /* what those point into */
};
void fl_pq_pages_free(struct fl_pq_pages *p);
/* Of a column of a row group, with what is in its pages when that is wanted and known. False: there is no index, or
 * none that fits the chunk: *ret is empty. */
bool fl_pq_pages_read(struct fl_pq_pages *ret, const struct fl_parquet_file *f, const struct fl_pq_group *g,
		      const struct fl_pq_column *c, const struct fl_parquet_input *in, bool contents);
static inline uint64_t fl_pq_chunk_begin(const struct fl_pq_chunk *c)
{
	return c->dictionary_at && c->dictionary_at < c->data_at ? c->dictionary_at : c->data_at;
}

/* Rows of a row group in which, by the index of pages, some may pass. */
struct fl_pq_span {
	uint32_t from, to;
};
struct fl_pq_selection {
	struct fl_pq_span *span; /* in order, apart from one another */
	size_t n, cap;
};
int fl_pq_select(struct fl_pq_selection *ret, const struct fl_parquet_file *f, size_t group,
		 const struct fl_filter *filter, const struct fl_parquet_input *in);

/* ---- encodings: from memory with FL_PQ_PAD readable bytes behind it ---- */
#define FL_PQ_PAD 16

struct fl_hybrid { /* RLE / bit-packed */
	const uint8_t *p, *end;
	unsigned width;
	uint64_t run; /* values left of a run */
	uint32_t value;
	const uint8_t *packed;
	uint64_t packed_left, bit;
};
void fl_hybrid_begin(struct fl_hybrid *h, const uint8_t *p, const uint8_t *end, unsigned width);
/* False: there are not so many. */
bool fl_hybrid_get(struct fl_hybrid *h, uint32_t *ret, uint32_t n);
/* Sets a bit for each of the next n values, of width 1, that is zero; bits are zero before. */
bool fl_hybrid_zeroes(struct fl_hybrid *h, uint64_t *bits, uint32_t n);
bool fl_hybrid_skip(struct fl_hybrid *h, uint32_t n);
/* The next n are one value: they are taken. */
bool fl_hybrid_same(struct fl_hybrid *h, uint32_t n, uint32_t *ret);

#define FL_DELTA_MINI_MAX 4096u
struct fl_delta { /* DELTA_BINARY_PACKED */
	const uint8_t *p, *end;
	bool int32, first;
	uint32_t block, minis, mini_values;
	uint64_t left; /* of all values */
	uint64_t value;
	uint64_t least;
	const uint8_t *widths;
	uint32_t mini; /* next one of the block; minis: a new block */
	unsigned width;
	const uint8_t *packed;
	uint64_t bit;
	uint32_t mini_left;
};
bool fl_delta_begin(struct fl_delta *d, const uint8_t *p, const uint8_t *end, bool int32);
bool fl_delta_get(struct fl_delta *d, uint64_t *ret, uint32_t n);
/* After the last value: where the encoding ends. */
const uint8_t *fl_delta_end(struct fl_delta *d);

/* ---- a column of a row group ---- */

enum fl_pq_raw { FL_RAW_INDEX, FL_RAW_NUMBER, FL_RAW_BYTES };
struct fl_pq_dictionary {
	struct fl_column values; /* of the target's type, converted once */
	uint32_t n, cap;
	uint8_t *flag; /* FL_PQ_NULL, FL_PQ_BAD */
	bool any_flag, any_v6;
	struct fl_buf page, printed; /* what texts point into */
	uint8_t *pass;               /* by the filter's conditions on this column */
	uint32_t n_pass;
	bool null_pass; /* a null of the column does */
};
#define FL_PQ_NULL 1u
#define FL_PQ_BAD 2u

struct fl_pq_stream {
	const struct fl_parquet_file *f;
	const struct fl_parquet_input *input;
	const struct fl_pq_column *column; /* NULL: the file has no such column */
	const struct fl_pq_chunk *chunk;
	struct fl_column_def target;
	struct fl_coder *coder;
	size_t *held; /* of the reader, against FL_PARQUET_READER_MAX */
	uint64_t *bytes_read, *bad_values;
	/* the chunk's bytes */
	uint64_t at, end; /* of what is not in the window yet */
	struct fl_buf window;
	size_t window_from;
	struct fl_pq_pages pages; /* where they are; empty: they are found one after the other */
	uint64_t group_rows;
	/* the page */
	struct fl_pq_page_header header;
	uint64_t first_row;   /* of the row group */
	uint32_t rows, taken; /* of the page; taken: passed, read or not */
	uint32_t decoded;     /* behind those taken: what is handed out stays until the stream moves on */
	bool loaded;
	uint32_t pending; /* rows of a loaded page that are still to be passed over */
	struct fl_buf body;
	const uint8_t *data, *data_end; /* values */
	uint8_t raw;                    /* enum fl_pq_raw */
	bool levels;                    /* there are definition levels */
	struct fl_hybrid level, index;
	struct fl_delta delta;
	uint32_t split_n, split_at; /* BYTE_STREAM_SPLIT */
	struct fl_str *texts;       /* of the delta encodings of texts */
	size_t texts_n, texts_cap, texts_at;
	struct fl_buf arena; /* what those point into */
	bool has_dictionary;
	struct fl_pq_dictionary dictionary;
	/* rows that were decoded: by position, nulls included */
	uint32_t *ids;        /* FL_BATCH_ROWS */
	uint64_t *numbers;    /* same */
	struct fl_str *bytes; /* same */
	uint64_t null[FL_BATCH_WORDS];
	bool any_null;
	struct fl_buf printed; /* texts made from numbers, of one batch */
};

int fl_pq_stream_init(struct fl_pq_stream *s);
void fl_pq_stream_free(struct fl_pq_stream *s);
/* Begins a row group: its dictionary is read. */
int fl_pq_stream_group(struct fl_pq_stream *s, const struct fl_pq_chunk *chunk, uint64_t rows);
/* To this row, which none decoded before comes after: the header of its page is read. */
int fl_pq_stream_to(struct fl_pq_stream *s, uint64_t row);
static inline uint32_t fl_pq_page_left(const struct fl_pq_stream *s)
{
	return s->rows - s->taken;
}
/* Decodes rows of the current page (at most FL_BATCH_ROWS) into ids, numbers or bytes. */
int fl_pq_stream_decode(struct fl_pq_stream *s, uint32_t n);
/* The decoded rows into a column from row 0 on: all n, or those named. */
int fl_pq_put_rows(struct fl_pq_stream *s, struct fl_column *out, uint32_t n, const uint16_t *rows, uint32_t n_rows);
int fl_pq_dictionary_make(struct fl_pq_stream *s, uint32_t n);
void fl_pq_dictionary_free(struct fl_pq_dictionary *d, size_t *held);
int fl_pq_fail(const struct fl_pq_stream *s, const char *what);
/* Makes room in a buffer against the reader's ceiling; with FL_PQ_PAD bytes behind. */
int fl_pq_room(struct fl_pq_stream *s, struct fl_buf *b, size_t n);
/* The page at the window's beginning, decompressed into `to`; the first `plain` bytes of it never are. */
int fl_pq_unpack_page(struct fl_pq_stream *s, const struct fl_pq_page_header *h, size_t plain, struct fl_buf *to);
/* The page whose header was read, unpacked: its values can be taken out. */
int fl_pq_load(struct fl_pq_stream *s);
/* Bytes of a value in the encoding PLAIN; 0: each has its own. */
unsigned fl_pq_plain_width(const struct fl_pq_stream *s);
