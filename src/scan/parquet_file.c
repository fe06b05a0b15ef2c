/* SPDX-License-Identifier: Apache-2.0 */
/* A Parquet file that is open, and what its footer lets one pass over. */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "scan/parquet_inner.h"

#define TAIL 8 /* length of the footer and the magic */

static int read_fd(void *ctx, uint64_t at, void *to, size_t n)
{
	int fd = (int)(intptr_t)ctx;

	while (n) {
		ssize_t got = pread(fd, to, n, (off_t)at);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return fl_fail(-errno, "reading: %m");
		if (!got)
			return fl_fail(-EBADMSG, "the file ends before byte %llu", (unsigned long long)(at + n));
		to = (char *)to + got;
		at += (uint64_t)got;
		n -= (size_t)got;
	}
	return 0;
}

int fl_parquet_input_fd(struct fl_parquet_input *ret, int fd)
{
	struct stat st;

	if (fstat(fd, &st))
		return fl_fail(-errno, "%m");
	*ret = (struct fl_parquet_input){read_fd, (void *)(intptr_t)fd, (uint64_t)st.st_size};
	return 0;
}

void fl_parquet_close(struct fl_parquet_file **f)
{
	struct fl_parquet_file *x = *f;

	if (!x)
		return;
	for (size_t i = 0; i < x->n_groups; i++)
		free(x->group[i].chunk);
	free(x->group);
	for (size_t i = 0; x->own_name && i < x->n_columns; i++)
		free(x->own_name[i]);
	free(x->own_name);
	free(x->column);
	free(x->def);
	fl_buf_free(&x->footer);
	fl_buf_free(&x->note);
	free(x->name);
	free(x);
	*f = NULL;
}

static int read_footer(struct fl_parquet_file *f)
{
	uint8_t tail[TAIL], head[4];
	uint32_t n;
	int r;

	if (f->input.size < sizeof head + TAIL)
		return fl_fail(-EBADMSG, "%s: too short to be Parquet", f->name);
	r = f->input.read(f->input.ctx, 0, head, sizeof head);
	if (!r)
		r = f->input.read(f->input.ctx, f->input.size - TAIL, tail, TAIL);
	if (r)
		return fl_wrap(r, "%s", f->name);
	if (!memcmp(tail + 4, "PARE", 4))
		return fl_fail(-ENOTSUP, "%s: encrypted", f->name);
	if (memcmp(head, FL_PARQUET_MAGIC, 4) != 0 || memcmp(tail + 4, FL_PARQUET_MAGIC, 4) != 0)
		return fl_fail(-EBADMSG, "%s: not Parquet, or cut short: its end is missing", f->name);
	memcpy(&n, tail, sizeof n);
	if (n > FL_PARQUET_FOOTER_MAX || n > f->input.size - TAIL - sizeof head)
		return fl_fail(-EBADMSG, "%s: a footer of %u bytes", f->name, n);
	r = fl_buf_reserve(&f->footer, n);
	if (!r && n)
		r = f->input.read(f->input.ctx, f->input.size - TAIL - n, f->footer.data, n);
	f->footer.len = n;
	return r ? fl_wrap(r, "%s", f->name) : 0;
}

int fl_parquet_open(struct fl_parquet_file **ret, const struct fl_parquet_input *input, const char *name)
{
	struct fl_parquet_file *f FL_CLEANUP(fl_parquet_close) = calloc(1, sizeof *f);
	int r;

	if (!f)
		return -ENOMEM;
	f->input = *input;
	f->footer = FL_BUF(FL_PARQUET_FOOTER_MAX);
	f->note = FL_BUF(2048);
	f->name = strdup(name);
	if (!f->name)
		return -ENOMEM;
	r = read_footer(f);
	if (!r)
		r = fl_pq_parse_footer(f);
	if (r)
		return r;
	*ret = f;
	f = NULL;
	return 0;
}

const struct fl_pq_column *fl_pq_column_find(const struct fl_parquet_file *f, const char *name)
{
	for (size_t i = 0; i < f->n_columns; i++)
		if (!strcmp(f->column[i].def.name, name))
			return &f->column[i];
	return NULL;
}

size_t fl_parquet_columns(const struct fl_parquet_file *f, const struct fl_column_def **ret)
{
	*ret = f->def;
	return f->n_columns;
}

const char *fl_parquet_note(const struct fl_parquet_file *f)
{
	return f->note.len ? fl_buf_cstr((struct fl_buf *)(uintptr_t)&f->note) : NULL;
}

uint64_t fl_parquet_file_rows(const struct fl_parquet_file *f)
{
	return f->rows;
}

size_t fl_parquet_groups(const struct fl_parquet_file *f)
{
	return f->n_groups;
}

uint64_t fl_parquet_group_bytes(const struct fl_parquet_file *f, size_t group)
{
	return f->group[group].bytes;
}

/* ---- pruning ---- */

struct place { /* of a question about a row group */
	const struct fl_parquet_file *f;
	const struct fl_pq_group *g;
};

static bool stored_number(const struct fl_pq_column *c, struct fl_str s, int64_t *ret)
{
	int32_t half;

	if (c->type == FL_PARQUET_INT32 && s.n == sizeof half) {
		memcpy(&half, s.p, sizeof half);
		*ret = c->kind == FL_PQ_UNSIGNED ? (int64_t)(uint32_t)half : half;
	} else if (c->type == FL_PARQUET_INT64 && s.n == sizeof *ret) {
		memcpy(ret, s.p, sizeof *ret);
	} else {
		return false;
	}
	if (c->days)
		return !__builtin_mul_overflow(*ret, 86400, ret) && *ret >= 0;
	if (c->per_second && *ret >= 0)
		*ret /= c->per_second;
	return *ret >= 0;
}

static struct fl_column_range number_range(const struct fl_pq_column *c, const struct fl_pq_chunk *chunk)
{
	struct fl_column_range range = {.may_be_null = true};
	int64_t min, max, limit;

	if ((c->kind != FL_PQ_SIGNED && c->kind != FL_PQ_UNSIGNED) || (chunk->old_range && c->kind == FL_PQ_UNSIGNED) ||
	    !stored_number(c, chunk->min, &min) || !stored_number(c, chunk->max, &max) || min > max)
		return range;
	limit = c->def.field && c->def.field->type == FL_TYPE_INT32 ? INT32_MAX : INT64_MAX;
	range.known = true;
	range.may_be_null = chunk->nulls != 0 || max > limit; /* what is beyond is no value */
	range.min = (uint64_t)min;
	range.max = (uint64_t)max;
	return range;
}

static int compare(struct fl_str a, struct fl_str b)
{
	size_t n = FL_MIN(a.n, b.n);
	int order = n ? memcmp(a.p, b.p, n) : 0;

	return order ? order : a.n < b.n ? -1 : a.n > b.n;
}

static bool has_colon(struct fl_str s)
{
	return s.n && memchr(s.p, ':', s.n);
}

static struct fl_column_range text_range(const struct place *p, const struct fl_pq_column *c,
					 const struct fl_pq_chunk *chunk)
{
	struct fl_column_range range = {.may_be_null = true};
	static const struct fl_str dash = {"-", 1};

	if (c->kind != FL_PQ_BYTES || c->type != FL_PARQUET_BYTE_ARRAY || chunk->old_range)
		return range;
	/* Others may print IPv6 otherwise than we do. */
	if (c->def.type == FL_COLUMN_ADDR && !p->f->flowlog && (has_colon(chunk->min) || has_colon(chunk->max)))
		return range;
	range.known = true;
	range.tmin = chunk->min;
	range.tmax = chunk->max;
	/* What is no value of the column is null, too: others may have put anything there. */
	range.may_be_null = chunk->nulls != 0 || !range.tmin.n || (c->def.type != FL_COLUMN_TEXT && !p->f->flowlog) ||
			    (compare(range.tmin, dash) <= 0 && compare(range.tmax, dash) >= 0);
	range.all_null = !compare(range.tmin, dash) && !compare(range.tmax, dash);
	return range;
}

static struct fl_column_range range_of(void *ctx, const char *column)
{
	const struct place *p = ctx;
	const struct fl_pq_column *c = fl_pq_column_find(p->f, column);
	const struct fl_pq_chunk *chunk = c ? &p->g->chunk[c->leaf] : NULL;
	struct fl_column_def d;

	/* Our own columns are put beside the file's. */
	if (!c && fl_column_find(column, &d) && d.own != FL_OWN_NONE)
		return (struct fl_column_range){.may_be_null = true};
	if (!c || (chunk->nulls >= 0 && (uint64_t)chunk->nulls == chunk->values && chunk->values == p->g->rows))
		return (struct fl_column_range){.known = true, .may_be_null = true, .all_null = true};
	if (!chunk->has_range || chunk->type != c->type)
		return (struct fl_column_range){.may_be_null = true};
	return c->def.type == FL_COLUMN_U64 ? number_range(c, chunk) : text_range(p, c, chunk);
}

static bool may_contain(void *ctx, const char *column, const char *text, size_t n)
{
	const struct place *p = ctx;
	const struct fl_pq_column *c = fl_pq_column_find(p->f, column);
	const struct fl_parquet_input *in = &p->f->input;
	uint64_t at = c && c->kind == FL_PQ_BYTES ? p->g->chunk[c->leaf].bloom_at : 0;
	uint8_t head[64];
	size_t header, size, block, room;
	uint8_t bytes[FL_BLOOM_BLOCK];

	if (!at || at >= in->size || (!p->f->flowlog && memchr(text, ':', n)))
		return true;
	room = (size_t)FL_MIN(in->size - at, (uint64_t)sizeof head);
	if (in->read(in->ctx, at, head, room) || !fl_pq_parse_bloom_header(head, room, &header, &size) ||
	    size > in->size - at - header)
		return true;
	/* One block tells: it alone is read. */
	block = fl_bloom_block(size, text, n);
	if (in->read(in->ctx, at + header + block, bytes, sizeof bytes))
		return true;
	return fl_bloom_block_has(bytes, text, n);
}

bool fl_parquet_group_may_pass(const struct fl_parquet_file *f, size_t group, const struct fl_filter *filter)
{
	struct place p = {f, &f->group[group]};

	return fl_filter_may_pass(filter, range_of, may_contain, &p);
}

bool fl_parquet_group_numbers(const struct fl_parquet_file *f, size_t group, const char *column, uint64_t *ret_min,
			      uint64_t *ret_max)
{
	struct place p = {f, &f->group[group]};
	struct fl_column_range r = range_of(&p, column);
	struct fl_column_def d;

	*ret_min = r.min;
	*ret_max = r.max;
	return fl_column_find(column, &d) && d.type == FL_COLUMN_U64 && r.known && !r.all_null;
}

uint64_t fl_parquet_group_rows(const struct fl_parquet_file *f, size_t group)
{
	return f->group[group].rows;
}
