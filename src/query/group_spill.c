/* SPDX-License-Identifier: Apache-2.0 */
/* Groups that memory does not hold, in a file without a name, by parts of the hash. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"
#include "query/group_inner.h"

#define SPILL_BUFFER (1u << 20)

int fl_group_sort_parts(struct fl_group_part *p, unsigned parts)
{
	const struct fl_group_table *t = &p->table;
	uint32_t at[FL_GROUP_PARTS + 1] = {0};

	free(p->by_part);
	p->by_part = malloc((t->rows ? t->rows : 1) * sizeof *p->by_part);
	if (!p->by_part)
		return -ENOMEM;
	for (uint32_t i = 0; i < t->rows; i++)
		at[fl_group_part_of(fl_group_row_hash(fl_group_row(t, i)), parts) + 1]++;
	for (unsigned i = 0; i < FL_GROUP_PARTS; i++)
		at[i + 1] += at[i];
	memcpy(p->begin, at, sizeof at);
	for (uint32_t i = 0; i < t->rows; i++)
		p->by_part[at[fl_group_part_of(fl_group_row_hash(fl_group_row(t, i)), parts)]++] = i;
	return 0;
}

static int open_file(struct fl_group_worker *w)
{
	const char *dir = w->groups->conf.tmp;
	int fd = fl_temp_file(dir);

	if (fd < 0)
		return fl_fail(fd, "%s: no temporary file: %s; set TMPDIR, or raise --memory", dir, strerror(-fd));
	w->fd = fd;
	return 0;
}

static int write_table(struct fl_group_worker *w, struct fl_group_part *p)
{
	struct fl_buf out FL_CLEANUP(fl_buf_free) = FL_BUF(2 * SPILL_BUFFER);
	struct fl_group_run *run;
	int r = 0;

	if (p->n_runs == FL_GROUP_SPILL_RUNS)
		return fl_fail(-E2BIG, "the answer has too many groups for its memory; filter, or raise --memory");
	if (p->n_runs == p->cap_runs) {
		size_t cap = p->cap_runs ? p->cap_runs * 2 : 16;

		run = realloc(p->run, cap * sizeof *run);
		if (!run)
			return -ENOMEM;
		p->run = run;
		p->cap_runs = cap;
	}
	r = fl_group_sort_parts(p, FL_GROUP_PARTS);
	if (r)
		return r;
	run = &p->run[p->n_runs++];
	run->at = w->written;
	for (unsigned i = 0; i < FL_GROUP_PARTS; i++)
		run->rows[i] = p->begin[i + 1] - p->begin[i];
	for (uint32_t i = 0; i < p->table.rows && !r; i++) {
		r = fl_buf_add(&out, fl_group_row(&p->table, p->by_part[i]), p->table.layout->row_bytes);
		if (!r && (out.len >= SPILL_BUFFER || i + 1 == p->table.rows)) {
			r = fl_write_all(w->fd, out.data, out.len);
			if (r)
				return fl_fail(r, "%s: temporary file: %s; set TMPDIR, or raise --memory",
					       w->groups->conf.tmp, strerror(-r));
			w->written += out.len;
			fl_buf_reset(&out);
		}
	}
	free(p->by_part);
	p->by_part = NULL;
	return r;
}

int fl_group_spill_table(struct fl_group_worker *w, size_t table)
{
	int r = w->fd < 0 ? open_file(w) : 0;

	if (r || !w->part[table].table.rows)
		return r;
	r = write_table(w, &w->part[table]);
	fl_group_table_reset(&w->part[table].table);
	return r;
}

int fl_group_spill(struct fl_group_worker *w)
{
	int r = fl_group_expand(w);

	for (size_t i = 0; i < w->groups->n_parts && !r; i++)
		r = fl_group_spill_table(w, i);
	return r;
}

/* ---- sets to tables ---- */

struct expansion {
	struct fl_group_worker *w;
	const struct fl_group_layout *l;
	size_t table;
	const char *key; /* of the group */
	uint32_t n;
	uint64_t hash[FL_GROUP_AHEAD];
	char *row[FL_GROUP_AHEAD];
};

static int flush_values(struct expansion *e)
{
	int r;

	for (uint32_t i = 0; i < e->n; i++)
		e->hash[i] = fl_group_hash(e->l, e->w->keys + (size_t)i * e->l->key_bytes, e->w->groups->seed);
	r = fl_group_table_find(&e->w->part[e->table].table, e->w->keys, e->hash, e->n, e->row);
	e->n = 0;
	return r || !fl_group_is_full(e->w) ? r : fl_group_spill_table(e->w, e->table);
}

static int on_value(void *ctx, uint16_t v)
{
	struct expansion *e = ctx;
	char *key = e->w->keys + (size_t)e->n * e->l->key_bytes;
	uint32_t wide = v;

	memset(key, 0, e->l->key_bytes);
	memcpy(key, e->key, e->l->group_bytes);
	memcpy(key + e->l->offset[e->l->n_keys - 1], &wide, sizeof wide);
	return ++e->n == FL_GROUP_AHEAD ? flush_values(e) : 0;
}

int fl_group_expand(struct fl_group_worker *w)
{
	const struct fl_groups *g = w->groups;
	struct fl_group_table *first = &w->part[0].table;
	int r = 0;

	for (size_t t = 1; t < g->n_parts && !r; t++) {
		struct expansion e = {.w = w, .l = &g->in[t], .table = t};
		size_t m = 0;

		if (!e.l->as_sets)
			continue;
		while (g->in_measure[m] != e.l->counted_measure)
			m++;
		for (uint32_t i = 0; i < first->rows && !r; i++) {
			char *row = fl_group_row(first, i);
			uint64_t *set = &fl_group_row_measures(row, first->layout)[m];

			e.key = row + 8;
			r = fl_set_each(*set, on_value, &e);
			*set = 0;
		}
		r = r || !e.n ? r : flush_values(&e);
	}
	fl_set_store_free(&w->sets);
	return r;
}

static int read_rows(struct fl_group_worker *w, char *buffer, uint64_t at, uint64_t bytes, uint32_t row_bytes,
		     fl_group_row_fn fn, void *ctx)
{
	uint64_t whole = SPILL_BUFFER / row_bytes * row_bytes;
	int r = 0;

	while (bytes && !r) {
		size_t n = (size_t)FL_MIN(bytes, whole), got = 0;

		while (got < n) {
			ssize_t k = pread(w->fd, buffer + got, n - got, (off_t)(at + got));

			if (k < 0 && errno == EINTR)
				continue;
			if (k <= 0)
				return fl_fail(k ? -errno : -EIO, "%s: temporary file: %s", w->groups->conf.tmp,
					       k ? strerror(errno) : "it became shorter");
			got += (size_t)k;
		}
		for (size_t i = 0; i < n && !r; i += row_bytes)
			r = fn(ctx, buffer + i);
		r = r ? r : fn(ctx, NULL);
		at += n;
		bytes -= n;
	}
	return r;
}

int fl_group_spilled_rows(struct fl_group_worker *w, size_t table, unsigned part, fl_group_row_fn fn, void *ctx)
{
	const struct fl_group_part *p = &w->part[table];
	uint32_t row_bytes = p->table.layout->row_bytes;
	char *buffer FL_CLEANUP(fl_freep) = p->n_runs ? aligned_alloc(64, SPILL_BUFFER) : NULL;
	int r = p->n_runs && !buffer ? -ENOMEM : 0;

	for (size_t i = 0; i < p->n_runs && !r; i++) {
		uint64_t before = 0;

		for (unsigned k = 0; k < part; k++)
			before += p->run[i].rows[k];
		r = read_rows(w, buffer, p->run[i].at + before * row_bytes, (uint64_t)p->run[i].rows[part] * row_bytes,
			      row_bytes, fn, ctx);
	}
	return r;
}
