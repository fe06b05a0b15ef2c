/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records into AWS's keys: a file for five minutes in which records end, as AWS's are, so that whoever passes over
 * files by their names is right. Files are written under names that begin with a dot and get their own when all is
 * done. The last part of a name, which AWS does not explain, is the CRC-32C of the file: the same conversion twice
 * gives the same names, others do not collide.
 *
 * Only so many files are open at a time. When records come in no order of time, the one that was used least recently is
 * closed, and what comes later for its five minutes goes into another file.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"
#include "cli/convert.h"

#define OPEN_MAX_FILES 48u
#define SLOT_S 300
#define YEAR_10000 253402300800ull
#define PATH_BYTES 1280
#define MADE_MAX_BYTES ((size_t)256 << 20) /* names of directories */

struct open_file {
	int64_t slot;
	struct fl_convert_file *file; /* NULL: free */
	uint64_t used;
	char path[PATH_BYTES]; /* below the directory, for now */
};
struct done_file {
	char *path, *name;
	bool replaced; /* another file of that name */
};

struct fl_convert_tree {
	const struct fl_convert *c;
	char *dir;
	int dirfd;
	struct open_file open[OPEN_MAX_FILES];
	struct done_file *done;
	size_t n_done, cap_done, n_named;
	struct fl_buf made, made_below; /* directories: of the path to dir, below it */
	bool finished;
	uint64_t clock, serial, bytes;
	struct fl_batch *part; /* rows of one file */
	size_t end_column;
	int64_t last_slot;
};

static void remove_file(struct fl_convert_tree *t, const char *name, int *r)
{
	if (unlinkat(t->dirfd, name, 0) && errno != ENOENT && !*r)
		*r = fl_fail(-errno, "%s/%s cannot be removed: %m", t->dir, name);
}

int fl_convert_tree_undo(struct fl_convert_tree *t, size_t *ret_replaced)
{
	int r = 0, left;

	*ret_replaced = 0;
	for (size_t i = 0; i < OPEN_MAX_FILES; i++)
		if (t->open[i].file) {
			fl_convert_file_free(&t->open[i].file);
			remove_file(t, t->open[i].path, &r);
		}
	for (size_t i = 0; i < t->n_done; i++) {
		*ret_replaced += t->done[i].replaced;
		if (!t->done[i].replaced)
			remove_file(t, i < t->n_named ? t->done[i].name : t->done[i].path, &r);
		free(t->done[i].path);
		free(t->done[i].name);
	}
	t->n_done = t->n_named = 0;
	left = fl_rmdirs(t->dirfd, &t->made_below);
	left = left ? left : fl_rmdirs(AT_FDCWD, &t->made);
	return r || !left ? r : fl_fail(left, "%s: a directory cannot be removed: %s", t->dir, strerror(-left));
}

void fl_convert_tree_free(struct fl_convert_tree **tree)
{
	struct fl_convert_tree *t = *tree;
	size_t replaced;

	if (!t)
		return;
	/* Of what was finished, directories stay unless they are empty: there were no records. */
	for (; t->finished && t->n_done; t->n_done--) {
		free(t->done[t->n_done - 1].path);
		free(t->done[t->n_done - 1].name);
	}
	fl_convert_tree_undo(t, &replaced);
	free(t->done);
	fl_buf_free(&t->made);
	fl_buf_free(&t->made_below);
	fl_batch_free(&t->part);
	fl_closep(&t->dirfd);
	free(t->dir);
	free(t);
	*tree = NULL;
}

int fl_convert_tree_new(struct fl_convert_tree **ret, const struct fl_convert *c, const char *dir)
{
	struct fl_convert_tree *t FL_CLEANUP(fl_convert_tree_free) = calloc(1, sizeof *t);
	int r;

	if (!t)
		return -ENOMEM;
	t->c = c;
	t->dirfd = -1;
	t->made = t->made_below = FL_BUF(MADE_MAX_BYTES);
	t->dir = strdup(dir);
	if (!t->dir)
		return -ENOMEM;
	while (t->end_column < c->parquet.n_columns && strcmp(c->parquet.columns[t->end_column].name, "end"))
		t->end_column++;
	if (t->end_column == c->parquet.n_columns)
		return fl_fail(-EINVAL, "the records have no field end, which says into which file they belong; write "
					"them into one with --single");
	r = fl_mkdirs_noting(AT_FDCWD, dir, 0777, &t->made);
	if (r)
		return fl_wrap(r, "%s", dir);
	t->dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (t->dirfd < 0)
		return fl_fail(-errno, "%s: %m", dir);
	r = fl_batch_new(&t->part, c->parquet.columns, c->parquet.n_columns);
	if (r)
		return r;
	*ret = t;
	t = NULL;
	return 0;
}

/* ---- files ---- */

static int is_there(const struct fl_convert_tree *t, const char *name)
{
	return fl_fail(-EEXIST, "%s/%s is there already: these records were converted before; --force replaces", t->dir,
		       name);
}

static int close_file(struct fl_convert_tree *t, struct open_file *o)
{
	char ending[32], hash[16], name[PATH_BYTES];
	struct done_file *d;
	int r = fl_convert_file_finish(o->file);

	if (r)
		return fl_wrap(r, "%s/%s", t->dir, o->path);
	fl_convert_ending(t->c, ending);
	snprintf(hash, sizeof hash, "%08x", fl_convert_file_crc(o->file));
	r = fl_object_name(&t->c->log, o->slot, hash, ending, name, sizeof name);
	if (r)
		return r;
	if (!t->c->force && !faccessat(t->dirfd, name, F_OK, AT_SYMLINK_NOFOLLOW))
		return is_there(t, name);
	if (t->n_done == t->cap_done) {
		size_t cap = FL_MAX(2 * t->cap_done, (size_t)64);
		struct done_file *grown = realloc(t->done, cap * sizeof *grown);

		if (!grown)
			return -ENOMEM;
		t->done = grown;
		t->cap_done = cap;
	}
	d = &t->done[t->n_done];
	*d = (struct done_file){strdup(o->path), strdup(name), false};
	if (!d->path || !d->name) {
		free(d->path);
		free(d->name);
		return -ENOMEM;
	}
	t->n_done++;
	t->bytes += fl_convert_file_size(o->file);
	fl_convert_file_free(&o->file);
	return 0;
}

static int open_file(struct fl_convert_tree *t, struct open_file *o, int64_t slot)
{
	char key[PATH_BYTES], *slash;
	int r = fl_object_name(&t->c->log, slot, "", "", key, sizeof key), fd;

	if (r)
		return r;
	slash = strrchr(key, '/');
	*slash = '\0';
	r = fl_mkdirs_noting(t->dirfd, key, 0777, &t->made_below);
	if (r)
		return fl_wrap(r, "%s", t->dir);
	if (snprintf(o->path, sizeof o->path, "%s/.%llu-%d.tmp", key, (unsigned long long)t->serial++, getpid()) >=
	    (int)sizeof o->path)
		return fl_fail(-ENAMETOOLONG, "%s: names become too long", t->dir);
	fd = openat(t->dirfd, o->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	if (fd < 0)
		return fl_fail(-errno, "%s/%s: %m", t->dir, o->path);
	o->slot = slot;
	r = fl_convert_file_new(&o->file, t->c, fd);
	if (r)
		unlinkat(t->dirfd, o->path, 0);
	return r;
}

static int file_at(struct fl_convert_tree *t, int64_t slot, struct fl_convert_file **ret)
{
	struct open_file *oldest = NULL, *unused = NULL;
	int r = 0;

	for (size_t i = 0; i < OPEN_MAX_FILES; i++) {
		struct open_file *o = &t->open[i];

		if (o->file && o->slot == slot) {
			o->used = ++t->clock;
			*ret = o->file;
			return 0;
		}
		if (!o->file)
			unused = o;
		else if (!oldest || o->used < oldest->used)
			oldest = o;
	}
	if (!unused) {
		r = close_file(t, oldest);
		unused = oldest;
	}
	if (!r)
		r = open_file(t, unused, slot);
	if (r)
		return r;
	unused->used = ++t->clock;
	*ret = unused->file;
	return 0;
}

/* ---- rows ---- */

static int64_t slot_of(struct fl_convert_tree *t, const struct fl_column *end, uint32_t row)
{
	/* A record without a time, or with one that no name can have, stays with the one before. */
	if (!fl_column_is_null(end, row) && end->u64[row] < YEAR_10000)
		t->last_slot = (int64_t)(end->u64[row] - end->u64[row] % SLOT_S);
	return t->last_slot;
}

int fl_convert_tree_write(struct fl_convert_tree *t, const struct fl_batch *b)
{
	int64_t slot[FL_BATCH_ROWS];
	uint16_t rows[FL_BATCH_ROWS];
	uint32_t first = 0;
	int r = 0;

	for (uint32_t i = 0; i < b->n; i++)
		slot[i] = slot_of(t, &b->column[t->end_column], i);
	while (!r) {
		struct fl_convert_file *file;
		int64_t now;
		uint32_t n = 0;

		while (first < b->n && slot[first] < 0)
			first++;
		if (first == b->n)
			break;
		now = slot[first];
		for (uint32_t i = first; i < b->n; i++)
			if (slot[i] == now) {
				rows[n++] = (uint16_t)i;
				slot[i] = -1;
			}
		r = file_at(t, now, &file);
		if (r)
			break;
		if (n == b->n) {
			r = fl_convert_file_write(file, b);
		} else {
			fl_batch_gather(t->part, b, rows, n);
			r = fl_convert_file_write(file, t->part);
		}
		if (r != -EINTR)
			r = fl_wrap(r, "%s", t->dir);
	}
	return r;
}

int fl_convert_tree_finish(struct fl_convert_tree *t)
{
	int r = 0;

	/* In the order of time, so that reports and disks see them so. */
	for (;;) {
		struct open_file *next = NULL;

		for (size_t i = 0; i < OPEN_MAX_FILES; i++)
			if (t->open[i].file && (!next || t->open[i].slot < next->slot))
				next = &t->open[i];
		if (!next)
			break;
		r = close_file(t, next);
		if (r)
			return r;
	}
	for (; t->n_named < t->n_done; t->n_named++) {
		struct done_file *d = &t->done[t->n_named];

		r = fl_rename(t->dirfd, d->path, d->name, t->c->force, &d->replaced);
		if (r)
			return r == -EEXIST ? is_there(t, d->name)
					    : fl_fail(r, "%s/%s: %s", t->dir, d->name, strerror(-r));
	}
	t->finished = true;
	return 0;
}

void fl_convert_tree_sum(const struct fl_convert_tree *t, size_t *ret_files, uint64_t *ret_bytes)
{
	*ret_files = t->n_done;
	*ret_bytes = t->bytes;
}
