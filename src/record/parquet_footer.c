/* SPDX-License-Identifier: Apache-2.0 */
/* Parquet's structures: page headers, page indexes, the footer. Field numbers are those of parquet.thrift. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/thrift.h"
#include "record/parquet_chunk.h"

int fl_put_page_header(struct fl_buf *out, enum fl_parquet_page type, uint32_t raw, uint32_t size, uint32_t crc,
		       uint32_t values, uint8_t encoding)
{
	struct fl_thrift_writer w = FL_THRIFT_WRITER(out);

	fl_thrift_i32(&w, 1, type);
	fl_thrift_i32(&w, 2, (int32_t)raw);
	fl_thrift_i32(&w, 3, (int32_t)size);
	fl_thrift_i32(&w, 4, (int32_t)crc);
	fl_thrift_struct(&w, type == FL_PARQUET_DICTIONARY_PAGE ? 7 : 5);
	fl_thrift_i32(&w, 1, (int32_t)values);
	fl_thrift_i32(&w, 2, encoding);
	if (type == FL_PARQUET_DATA_PAGE) {
		fl_thrift_i32(&w, 3, FL_PARQUET_RLE); /* definition levels */
		fl_thrift_i32(&w, 4, FL_PARQUET_RLE); /* repetition levels, of which there are none */
	}
	fl_thrift_end(&w);
	fl_thrift_end(&w);
	return w.error;
}

int fl_put_bloom_header(struct fl_buf *out, uint32_t size)
{
	struct fl_thrift_writer w = FL_THRIFT_WRITER(out);

	fl_thrift_i32(&w, 1, (int32_t)size);
	for (int16_t id = 2; id <= 4; id++) { /* split blocks, xxHash, uncompressed: each the one member of its union */
		fl_thrift_struct(&w, id);
		fl_thrift_struct(&w, 1);
		fl_thrift_end(&w);
		fl_thrift_end(&w);
	}
	fl_thrift_end(&w);
	return w.error;
}

/* ---- schema ---- */

static void put_string_type(struct fl_thrift_writer *w)
{
	fl_thrift_i32(w, 6, FL_PARQUET_UTF8);
	fl_thrift_struct(w, 10);
	fl_thrift_struct(w, 1);
	fl_thrift_end(w);
	fl_thrift_end(w);
}

static void put_integer_type(struct fl_thrift_writer *w, bool int32)
{
	fl_thrift_i32(w, 6, int32 ? FL_PARQUET_INT_32 : FL_PARQUET_INT_64);
	fl_thrift_struct(w, 10);
	fl_thrift_struct(w, 10);
	fl_thrift_i8(w, 1, int32 ? 32 : 64);
	fl_thrift_bool(w, 2, true);
	fl_thrift_end(w);
	fl_thrift_end(w);
}

static void put_schema(struct fl_thrift_writer *w, const struct fl_chunk *columns, size_t n)
{
	fl_thrift_list(w, 2, FL_THRIFT_STRUCT, n + 1);
	fl_thrift_struct(w, 0);
	fl_thrift_text(w, 4, "flow_log");
	fl_thrift_i32(w, 5, (int32_t)n);
	fl_thrift_end(w);
	for (size_t i = 0; i < n; i++) {
		fl_thrift_struct(w, 0);
		fl_thrift_i32(w, 1, columns[i].type);
		fl_thrift_i32(w, 3, FL_PARQUET_OPTIONAL);
		fl_thrift_text(w, 4, columns[i].def.name);
		if (columns[i].type == FL_PARQUET_BYTE_ARRAY)
			put_string_type(w);
		else
			put_integer_type(w, columns[i].int32);
		fl_thrift_end(w);
	}
}

/* ---- row groups ---- */

static int32_t codec_number(uint8_t codec)
{
	static const uint8_t number[FL_CODEC_N] = {FL_PARQUET_UNCOMPRESSED, FL_PARQUET_SNAPPY, FL_PARQUET_GZIP,
						   FL_PARQUET_ZSTD, FL_PARQUET_LZ4_RAW};

	return number[codec];
}

static void put_statistics(struct fl_thrift_writer *w, const struct fl_chunk_meta *m)
{
	fl_thrift_struct(w, 12);
	fl_thrift_i64(w, 3, m->nulls);
	if (m->distinct)
		fl_thrift_i64(w, 4, m->distinct);
	if (m->whole.has) {
		fl_thrift_binary(w, 5, m->whole.range + m->whole.min_n, m->whole.max_n);
		fl_thrift_binary(w, 6, m->whole.range, m->whole.min_n);
		fl_thrift_bool(w, 7, true);
		fl_thrift_bool(w, 8, true);
	}
	fl_thrift_end(w);
}

static void put_encodings(struct fl_thrift_writer *w, const struct fl_chunk_meta *m)
{
	bool dictionary = m->encoding == FL_PARQUET_RLE_DICTIONARY;
	const uint8_t all[] = {FL_PARQUET_RLE, m->encoding, FL_PARQUET_PLAIN};
	size_t n = m->encoding == FL_PARQUET_PLAIN ? 2 : dictionary ? 3 : 2;

	fl_thrift_list(w, 2, FL_THRIFT_I32, n);
	for (size_t i = 0; i < n; i++)
		fl_thrift_i32(w, 0, all[i]);
}

/* From these a reader knows that every page uses the dictionary. */
static void put_encoding_counts(struct fl_thrift_writer *w, const struct fl_chunk_meta *m)
{
	bool dictionary = m->encoding == FL_PARQUET_RLE_DICTIONARY;

	fl_thrift_list(w, 13, FL_THRIFT_STRUCT, dictionary ? 2 : 1);
	for (int i = dictionary ? 0 : 1; i < 2; i++) {
		fl_thrift_struct(w, 0);
		fl_thrift_i32(w, 1, i ? FL_PARQUET_DATA_PAGE : FL_PARQUET_DICTIONARY_PAGE);
		fl_thrift_i32(w, 2, i ? m->encoding : FL_PARQUET_PLAIN);
		fl_thrift_i32(w, 3, i ? (int32_t)m->n_pages : 1);
		fl_thrift_end(w);
	}
}

static void put_column_meta(struct fl_thrift_writer *w, const struct fl_chunk *c, const struct fl_chunk_meta *m,
			    uint8_t codec)
{
	fl_thrift_struct(w, 3);
	fl_thrift_i32(w, 1, c->type);
	put_encodings(w, m);
	fl_thrift_list(w, 3, FL_THRIFT_BINARY, 1);
	fl_thrift_text(w, 0, c->def.name);
	fl_thrift_i32(w, 4, codec_number(codec));
	fl_thrift_i64(w, 5, m->values);
	fl_thrift_i64(w, 6, (int64_t)m->raw_size);
	fl_thrift_i64(w, 7, (int64_t)m->size);
	fl_thrift_i64(w, 9, (int64_t)(m->offset + m->data_offset));
	if (m->encoding == FL_PARQUET_RLE_DICTIONARY)
		fl_thrift_i64(w, 11, (int64_t)m->offset);
	put_statistics(w, m);
	put_encoding_counts(w, m);
	if (m->bloom_size) {
		fl_thrift_i64(w, 14, (int64_t)m->bloom_offset);
		fl_thrift_i32(w, 15, (int32_t)m->bloom_size);
	}
	fl_thrift_end(w);
}

struct index_place {
	uint64_t column_at, offsets_at;
	uint32_t column_size, offsets_size;
};

static void put_group(struct fl_thrift_writer *w, const struct fl_chunk *columns, size_t n,
		      const struct fl_group_meta *g, const struct index_place *index, size_t ordinal, uint8_t codec)
{
	uint64_t raw = 0, size = 0;

	fl_thrift_struct(w, 0);
	fl_thrift_list(w, 1, FL_THRIFT_STRUCT, n);
	for (size_t i = 0; i < n; i++) {
		raw += g->chunk[i].raw_size;
		size += g->chunk[i].size;
		fl_thrift_struct(w, 0);
		fl_thrift_i64(w, 2, 0); /* nothing of the column's metadata stands elsewhere */
		put_column_meta(w, &columns[i], &g->chunk[i], codec);
		fl_thrift_i64(w, 4, (int64_t)index[i].offsets_at);
		fl_thrift_i32(w, 5, (int32_t)index[i].offsets_size);
		if (index[i].column_size) {
			fl_thrift_i64(w, 6, (int64_t)index[i].column_at);
			fl_thrift_i32(w, 7, (int32_t)index[i].column_size);
		}
		fl_thrift_end(w);
	}
	fl_thrift_i64(w, 2, (int64_t)raw);
	fl_thrift_i64(w, 3, (int64_t)g->rows);
	if (g->sorted_by >= 0) {
		fl_thrift_list(w, 4, FL_THRIFT_STRUCT, 1);
		fl_thrift_struct(w, 0);
		fl_thrift_i32(w, 1, g->sorted_by);
		fl_thrift_bool(w, 2, false);
		fl_thrift_bool(w, 3, true);
		fl_thrift_end(w);
	}
	fl_thrift_i64(w, 5, n ? (int64_t)g->chunk[0].offset : 0);
	fl_thrift_i64(w, 6, (int64_t)size);
	if (ordinal <= INT16_MAX)
		fl_thrift_i16(w, 7, (int16_t)ordinal);
	fl_thrift_end(w);
}

/* ---- page indexes ---- */

/* Without the range of each page that has values there is no index. */
static bool has_column_index(const struct fl_chunk_meta *m)
{
	for (size_t i = 0; i < m->n_pages; i++)
		if (!m->page[i].has && m->page[i].nulls < m->page[i].rows)
			return false;
	return true;
}

static int put_column_index(struct fl_buf *out, const struct fl_chunk_meta *m)
{
	struct fl_thrift_writer w = FL_THRIFT_WRITER(out);

	fl_thrift_list(&w, 1, FL_THRIFT_TRUE, m->n_pages);
	for (size_t i = 0; i < m->n_pages; i++)
		fl_thrift_bool(&w, 0, !m->page[i].has);
	fl_thrift_list(&w, 2, FL_THRIFT_BINARY, m->n_pages);
	for (size_t i = 0; i < m->n_pages; i++)
		fl_thrift_binary(&w, 0, m->page[i].range, m->page[i].min_n);
	fl_thrift_list(&w, 3, FL_THRIFT_BINARY, m->n_pages);
	for (size_t i = 0; i < m->n_pages; i++)
		fl_thrift_binary(&w, 0, m->page[i].range ? m->page[i].range + m->page[i].min_n : NULL,
				 m->page[i].max_n);
	fl_thrift_i32(&w, 4, m->rising ? 1 : 0); /* ascending, unordered */
	fl_thrift_list(&w, 5, FL_THRIFT_I64, m->n_pages);
	for (size_t i = 0; i < m->n_pages; i++)
		fl_thrift_i64(&w, 0, m->page[i].nulls);
	fl_thrift_end(&w);
	return w.error;
}

static int put_offset_index(struct fl_buf *out, const struct fl_chunk_meta *m)
{
	struct fl_thrift_writer w = FL_THRIFT_WRITER(out);

	fl_thrift_list(&w, 1, FL_THRIFT_STRUCT, m->n_pages);
	for (size_t i = 0; i < m->n_pages; i++) {
		fl_thrift_struct(&w, 0);
		fl_thrift_i64(&w, 1, (int64_t)m->page[i].offset);
		fl_thrift_i32(&w, 2, (int32_t)m->page[i].size);
		fl_thrift_i64(&w, 3, m->page[i].first_row);
		fl_thrift_end(&w);
	}
	fl_thrift_end(&w);
	return w.error;
}

static int put_indexes(struct fl_buf *out, uint64_t at, size_t n_columns, const struct fl_group_meta *groups,
		       size_t n_groups, struct index_place *place)
{
	int r = 0;

	for (size_t i = 0; i < n_groups * n_columns && !r; i++) {
		const struct fl_chunk_meta *m = &groups[i / n_columns].chunk[i % n_columns];

		place[i].column_at = at + out->len;
		if (has_column_index(m))
			r = put_column_index(out, m);
		place[i].column_size = (uint32_t)(at + out->len - place[i].column_at);
	}
	for (size_t i = 0; i < n_groups * n_columns && !r; i++) {
		place[i].offsets_at = at + out->len;
		r = put_offset_index(out, &groups[i / n_columns].chunk[i % n_columns]);
		place[i].offsets_size = (uint32_t)(at + out->len - place[i].offsets_at);
	}
	return r;
}

/* ---- footer ---- */

static void put_key_value(struct fl_thrift_writer *w, const char *key, const char *value)
{
	fl_thrift_struct(w, 0);
	fl_thrift_text(w, 1, key);
	fl_thrift_text(w, 2, value);
	fl_thrift_end(w);
}

static int put_file_meta(struct fl_buf *out, const struct fl_chunk *columns, size_t n_columns,
			 const struct fl_group_meta *groups, size_t n_groups, const struct index_place *place,
			 const struct fl_parquet_conf *conf)
{
	struct fl_thrift_writer w = FL_THRIFT_WRITER(out);
	uint64_t rows = 0;

	for (size_t i = 0; i < n_groups; i++)
		rows += groups[i].rows;
	fl_thrift_i32(&w, 1, 1);
	put_schema(&w, columns, n_columns);
	fl_thrift_i64(&w, 3, (int64_t)rows);
	fl_thrift_list(&w, 4, FL_THRIFT_STRUCT, n_groups);
	for (size_t i = 0; i < n_groups; i++)
		put_group(&w, columns, n_columns, &groups[i], place + i * n_columns, i, conf->codec);
	fl_thrift_list(&w, 5, FL_THRIFT_STRUCT, conf->log_format ? 2 : 1);
	put_key_value(&w, "flowlog.version", FL_VERSION);
	if (conf->log_format)
		put_key_value(&w, "flowlog.format", conf->log_format);
	fl_thrift_text(&w, 6, "flowlog version " FL_VERSION);
	fl_thrift_list(&w, 7, FL_THRIFT_STRUCT, n_columns);
	for (size_t i = 0; i < n_columns; i++) { /* the order of the type */
		fl_thrift_struct(&w, 0);
		fl_thrift_struct(&w, 1);
		fl_thrift_end(&w);
		fl_thrift_end(&w);
	}
	fl_thrift_end(&w);
	return w.error;
}

int fl_put_footer(struct fl_buf *out, uint64_t at, const struct fl_chunk *columns, size_t n_columns,
		  const struct fl_group_meta *groups, size_t n_groups, const struct fl_parquet_conf *conf)
{
	struct index_place *place FL_CLEANUP(fl_freep) = calloc(n_groups * n_columns + 1, sizeof *place);
	size_t before;
	uint32_t size;
	int r;

	if (!place)
		return -ENOMEM;
	r = put_indexes(out, at - out->len, n_columns, groups, n_groups, place);
	before = out->len;
	if (!r)
		r = put_file_meta(out, columns, n_columns, groups, n_groups, place, conf);
	if (r)
		return r;
	size = (uint32_t)(out->len - before);
	return fl_buf_add(out, &size, sizeof size) ?: fl_buf_adds(out, FL_PARQUET_MAGIC);
}
