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
	char path[4096];

	w->fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (w->fd >= 0)
		return 0;
	if (snprintf(path, sizeof path, "%s/flowlog-XXXXXX", dir) >= (int)sizeof path)
		return fl_fail(-ENAMETOOLONG, "%s: too long for the name of a directory", dir);
	w->fd = mkostemp(path, O_CLOEXEC);
	if (w->fd < 0)
		return fl_fail(-errno, "%s: no temporary file: %s; set TMPDIR, or raise --memory", dir,
			       strerror(errno));
	unlink(path);
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

int fl_group_spill(struct fl_group_worker *w)
{
	int r = w->fd < 0 ? open_file(w) : 0;

	for (size_t i = 0; i < w->groups->n_parts && !r; i++) {
		if (!w->part[i].table.rows)
			continue;
		r = write_table(w, &w->part[i]);
		fl_group_table_reset(&w->part[i].table);
	}
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
