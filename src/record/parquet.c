/* SPDX-License-Identifier: Apache-2.0 */
/* Batches into row groups, row groups into the sink, the footer at the end. */
#include "record/parquet.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "record/parquet_chunk.h"

#define OUT_MAX ((size_t)4 << 30) /* one row group, or the footer */
#define GROUPS_MAX (1u << 20)

struct fl_parquet_writer {
	struct fl_parquet_conf conf;
	fl_parquet_sink sink;
	void *ctx;
	struct fl_chunk *chunk;
	struct fl_pager pager;
	struct fl_buf out;
	struct fl_group_meta *group;
	size_t n_groups;
	uint32_t rows; /* of the open group */
	uint64_t at;   /* bytes in the sink */
	uint64_t all_rows;
	char *log_format;
	bool begun;
};

int fl_parquet_into_buf(void *buf, const void *data, size_t n)
{
	return fl_buf_add(buf, data, n);
}

void fl_parquet_writer_free(struct fl_parquet_writer **w)
{
	if (!*w)
		return;
	for (size_t i = 0; i < (*w)->n_groups; i++) {
		for (size_t k = 0; k < (*w)->conf.n_columns; k++)
			fl_chunk_meta_free(&(*w)->group[i].chunk[k]);
		free((*w)->group[i].chunk);
	}
	free((*w)->group);
	for (size_t i = 0; (*w)->chunk && i < (*w)->conf.n_columns; i++)
		fl_chunk_free(&(*w)->chunk[i]);
	free((*w)->chunk);
	fl_pager_free(&(*w)->pager);
	fl_buf_free(&(*w)->out);
	free((*w)->log_format);
	free(*w);
	*w = NULL;
}

int fl_parquet_writer_new(struct fl_parquet_writer **ret, const struct fl_parquet_conf *conf, fl_parquet_sink sink,
			  void *ctx)
{
	struct fl_parquet_writer *w FL_CLEANUP(fl_parquet_writer_free) = calloc(1, sizeof *w);
	int r = 0;

	if (!conf->n_columns || conf->n_columns > FL_BATCH_COLUMNS)
		return fl_fail(-EINVAL, "a Parquet file has 1 to %u columns, not %zu", FL_BATCH_COLUMNS,
			       conf->n_columns);
	if (!w)
		return -ENOMEM;
	w->conf = *conf;
	w->conf.group_rows = conf->group_rows ? conf->group_rows : FL_PARQUET_GROUP_ROWS;
	w->conf.group_bytes = conf->group_bytes ? conf->group_bytes : FL_PARQUET_GROUP_BYTES;
	w->sink = sink;
	w->ctx = ctx;
	w->out = FL_BUF(OUT_MAX);
	w->log_format = conf->log_format ? strdup(conf->log_format) : NULL;
	w->conf.log_format = w->log_format;
	w->chunk = calloc(conf->n_columns, sizeof *w->chunk);
	if (!w->chunk || (conf->log_format && !w->log_format))
		return -ENOMEM;
	for (size_t i = 0; i < conf->n_columns && !r; i++)
		r = fl_chunk_init(&w->chunk[i], &conf->columns[i], conf->text_null);
	if (!r)
		r = fl_pager_init(&w->pager, conf->codec, conf->level);
	if (r)
		return r;
	w->conf.columns = NULL; /* the chunks have them */
	*ret = w;
	w = NULL;
	return 0;
}

static int drain(struct fl_parquet_writer *w)
{
	int r = w->out.len ? w->sink(w->ctx, w->out.data, w->out.len) : 0;

	w->at += w->out.len;
	fl_buf_reset(&w->out);
	return r;
}

static int begin(struct fl_parquet_writer *w)
{
	if (w->begun)
		return 0;
	w->begun = true;
	return fl_buf_adds(&w->out, FL_PARQUET_MAGIC);
}

/* ---- Bloom filters ---- */

static int put_bloom(struct fl_parquet_writer *w, const struct fl_chunk *c, struct fl_chunk_meta *m)
{
	size_t size = fl_bloom_size(c->n), before = w->out.len;
	char scratch[FL_CHUNK_SCRATCH];
	uint8_t *bloom;
	int r = fl_put_bloom_header(&w->out, (uint32_t)size);

	if (!r)
		r = fl_buf_reserve(&w->out, size);
	if (r)
		return r;
	bloom = (uint8_t *)w->out.data + w->out.len;
	memset(bloom, 0, size);
	w->out.len += size;
	for (uint32_t i = 0; i < c->n; i++) {
		struct fl_str t = fl_chunk_value(c, i, scratch);

		fl_bloom_add(bloom, size, t.p, t.n);
	}
	m->bloom_offset = w->at + before;
	m->bloom_size = (uint32_t)(w->out.len - before);
	return 0;
}

/* ---- row groups ---- */

/* The first column of times that rises, else any that does and is no constant. */
static int sorted_by(const struct fl_parquet_writer *w, const struct fl_group_meta *g)
{
	for (size_t i = 0; i < w->conf.n_columns; i++) {
		const char *name = w->chunk[i].def.name;

		if (g->chunk[i].rising && (!strcmp(name, "start") || !strcmp(name, "end")))
			return (int)i;
	}
	return -1;
}

static int add_group(struct fl_parquet_writer *w, struct fl_group_meta **ret)
{
	struct fl_group_meta *grown;

	if (w->n_groups == GROUPS_MAX)
		return fl_fail(-E2BIG, "a file of more than %u row groups: make them larger", GROUPS_MAX);
	grown = realloc(w->group, (w->n_groups + 1) * sizeof *grown);
	if (!grown)
		return -ENOMEM;
	w->group = grown;
	grown += w->n_groups;
	*grown = (struct fl_group_meta){.rows = w->rows, .chunk = calloc(w->conf.n_columns, sizeof *grown->chunk)};
	if (!grown->chunk)
		return -ENOMEM;
	w->n_groups++;
	*ret = grown;
	return 0;
}

static int put_chunk(struct fl_parquet_writer *w, struct fl_chunk *c, struct fl_chunk_meta *m)
{
	int r;

	m->offset = w->at + w->out.len;
	r = fl_pager_chunk(&w->pager, c, &w->out, m);
	for (size_t i = 0; i < m->n_pages; i++)
		m->page[i].offset += w->at;
	return r ? r : drain(w);
}

static int flush(struct fl_parquet_writer *w)
{
	struct fl_group_meta *g = NULL;
	int r = w->rows ? add_group(w, &g) : 0;

	if (r || !w->rows)
		return r;
	for (size_t i = 0; i < w->conf.n_columns && !r; i++)
		r = put_chunk(w, &w->chunk[i], &g->chunk[i]);
	for (size_t i = 0; i < w->conf.n_columns && !r && !w->conf.no_bloom; i++)
		if (w->chunk[i].def.type == FL_COLUMN_ADDR && w->chunk[i].n)
			r = put_bloom(w, &w->chunk[i], &g->chunk[i]);
	g->sorted_by = sorted_by(w, g);
	for (size_t i = 0; i < w->conf.n_columns; i++)
		fl_chunk_reset(&w->chunk[i]);
	w->rows = 0;
	return r ? r : drain(w);
}

int fl_parquet_write(struct fl_parquet_writer *w, const struct fl_batch *b)
{
	int r = begin(w);

	if (b->n_columns < w->conf.n_columns)
		return fl_fail(-EINVAL, "a batch of %u columns for a file of %zu", b->n_columns, w->conf.n_columns);
	for (uint32_t from = 0, n; from < b->n && !r; from += n) {
		size_t bytes = 0;

		n = FL_MIN(b->n - from, w->conf.group_rows - w->rows);
		for (size_t i = 0; i < w->conf.n_columns && !r; i++) {
			r = fl_chunk_add(&w->chunk[i], &b->column[i], from, n);
			bytes += fl_chunk_bytes(&w->chunk[i]);
		}
		w->rows += n;
		w->all_rows += n;
		if (!r && (w->rows == w->conf.group_rows || bytes >= w->conf.group_bytes))
			r = flush(w);
	}
	return r;
}

uint64_t fl_parquet_written(const struct fl_parquet_writer *w)
{
	return w->at;
}

uint64_t fl_parquet_rows(const struct fl_parquet_writer *w)
{
	return w->all_rows;
}

int fl_parquet_finish(struct fl_parquet_writer *w)
{
	int r = begin(w);

	if (!r)
		r = flush(w);
	if (!r)
		r = fl_put_footer(&w->out, w->at + w->out.len, w->chunk, w->conf.n_columns, w->group, w->n_groups,
				  &w->conf);
	return r ? r : drain(w);
}
