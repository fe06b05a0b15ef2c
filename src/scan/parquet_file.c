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
	*ret = (struct fl_parquet_input){.read = read_fd, .ctx = (void *)(intptr_t)fd, .size = (uint64_t)st.st_size};
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
	uint8_t tail[TAIL], head[4] = {'P', 'A', 'R', '1'};
	uint32_t n;
	int r;

	if (f->input.size < sizeof head + TAIL)
		return fl_fail(-EBADMSG, "%s: too short to be Parquet", f->name);
	r = f->input.far ? 0 : f->input.read(f->input.ctx, 0, head, sizeof head);
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

uint64_t fl_parquet_group_rows(const struct fl_parquet_file *f, size_t group)
{
	return f->group[group].rows;
}
