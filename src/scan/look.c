/* SPDX-License-Identifier: Apache-2.0 */
/* What a file is, from how it begins; names say nothing. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include "base/error.h"
#include "base/file.h"
#include "base/hash.h"
#include "scan/remote.h"
#include "scan/set.h"
#include "scan/table.h"

#define HEAD_BYTES (8u << 10) /* read of a file to look at it */
#define MAGIC_BYTES 4
/* When that is not enough: zstd gives nothing of a block before all of it is there, and a block may be of 128 KiB. */
#define MORE_BYTES (256u << 10)

static const struct magic {
	uint8_t n, bytes[4];
	uint8_t kind, packing;
} magics[] = {
    {2, {0x1f, 0x8b}, FL_KIND_TEXT, FL_PACK_GZIP},
    {4, {0x28, 0xb5, 0x2f, 0xfd}, FL_KIND_TEXT, FL_PACK_ZSTD},
    {4, {'P', 'A', 'R', '1'}, FL_KIND_PARQUET, FL_PACK_NONE},
    {4, {0x0a, 0x0d, 0x0d, 0x0a}, FL_KIND_CAPTURE, FL_PACK_NONE}, /* pcapng */
    {4, {0xa1, 0xb2, 0xc3, 0xd4}, FL_KIND_CAPTURE, FL_PACK_NONE},
    {4, {0xd4, 0xc3, 0xb2, 0xa1}, FL_KIND_CAPTURE, FL_PACK_NONE},
    {4, {0xa1, 0xb2, 0x3c, 0x4d}, FL_KIND_CAPTURE, FL_PACK_NONE}, /* nanoseconds */
    {4, {0x4d, 0x3c, 0xb2, 0xa1}, FL_KIND_CAPTURE, FL_PACK_NONE},
    {4, {0xa1, 0xb2, 0xcd, 0x34}, FL_KIND_CAPTURE, FL_PACK_NONE}, /* Kuznetzov's */
    {4, {0x34, 0xcd, 0xb2, 0xa1}, FL_KIND_CAPTURE, FL_PACK_NONE},
};

static const struct magic *magic_of(const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < FL_ARRAY_LEN(magics); i++)
		if (n >= magics[i].n && !memcmp(p, magics[i].bytes, magics[i].n))
			return &magics[i];
	return NULL;
}

/* As much of it as fits; what is damaged further on shows when it is read. */
static size_t unpack_gzip(const uint8_t *p, size_t n, char *out, size_t room)
{
	z_stream z = {.next_in = (uint8_t *)(uintptr_t)p, .avail_in = (uInt)n};

	z.next_out = (uint8_t *)out;
	z.avail_out = (uInt)room;
	if (inflateInit2(&z, 15 + 16) != Z_OK)
		return 0;
	inflate(&z, Z_SYNC_FLUSH);
	inflateEnd(&z);
	return room - z.avail_out;
}

static size_t unpack_zstd(const uint8_t *p, size_t n, char *out, size_t room)
{
	ZSTD_inBuffer from = {.src = p, .size = n};
	ZSTD_outBuffer to = {.dst = out, .size = room};
	ZSTD_DStream *z = ZSTD_createDStream();

	while (z && from.pos < from.size && to.pos < to.size) {
		size_t r = ZSTD_decompressStream(z, &to, &from);

		if (ZSTD_isError(r))
			break;
	}
	ZSTD_freeDStream(z);
	return to.pos;
}

static bool is_text(const char *p, size_t n)
{
	for (size_t i = 0; i < n && p[i] != '\n'; i++)
		if ((unsigned char)p[i] < ' ' && p[i] != '\t' && p[i] != '\r')
			return false;
	return true;
}

static enum fl_kind kind_of_text(const char *p, size_t n, char *ret_delimiter)
{
	if (!is_text(p, n))
		return FL_KIND_BINARY;
	if (fl_json_lines_is(p, n))
		return FL_KIND_JSON;
	return fl_csv_is(p, n, ret_delimiter) ? FL_KIND_CSV : FL_KIND_TEXT;
}

void fl_look(const void *data, size_t n, struct fl_looked *ret)
{
	const struct magic *m = magic_of(data, n);

	ret->delimiter = 0;
	ret->packing = m ? m->packing : FL_PACK_NONE;
	switch ((enum fl_packing)ret->packing) {
	case FL_PACK_GZIP:
		ret->n = unpack_gzip(data, n, ret->head, sizeof ret->head);
		break;
	case FL_PACK_ZSTD:
		ret->n = unpack_zstd(data, n, ret->head, sizeof ret->head);
		break;
	case FL_PACK_NONE:
		ret->n = FL_MIN(n, sizeof ret->head);
		if (ret->n)
			memcpy(ret->head, data, ret->n);
		break;
	}
	if (ret->packing)
		m = magic_of((const uint8_t *)ret->head, ret->n);
	if (!ret->n) /* nothing in it, or nothing to be had: who reads it is told */
		ret->kind = ret->packing ? FL_KIND_TEXT : FL_KIND_EMPTY;
	else if (m)
		/* Packed twice, or Parquet in gzip: nobody writes that. */
		ret->kind = m->packing || (ret->packing && m->kind == FL_KIND_PARQUET) ? FL_KIND_BINARY : m->kind;
	else
		ret->kind = kind_of_text(ret->head, ret->n, &ret->delimiter);
}

static int look_text_format(const char *path, const struct fl_looked *l, const char *format, struct fl_format **ret)
{
	const char *end = memchr(l->head, '\n', l->n);
	size_t n = end ? (size_t)(end - l->head) : l->n;
	bool digit = l->n && l->head[0] >= '0' && l->head[0] <= '9';
	int r = -EINVAL;

	if (!end && l->n == sizeof l->head)
		return fl_fail(-EINVAL, "%s: the first line is longer than %zu bytes: not a flow log", path,
			       sizeof l->head);
	while (n && l->head[n - 1] == '\r')
		n--;
	if (!digit && l->n)
		r = fl_scan_header(path, l->head, n, ret);
	if (!r || (r == -EINVAL && !digit && !format && l->n))
		return r;
	return fl_wrap(
	    fl_format_parse(ret, fl_format_kind_of(format ? format : "default"), format ? format : "default"),
	    "--format");
}

int fl_look_format(const char *path, const struct fl_looked *l, const char *format, struct fl_format **ret)
{
	switch ((enum fl_kind)l->kind) {
	case FL_KIND_CSV:
		return fl_csv_format(path, l->head, l->n, l->delimiter, ret);
	case FL_KIND_JSON:
		return fl_json_lines_format(path, l->head, l->n, ret);
	default:
		return look_text_format(path, l, format, ret);
	}
}

/* ---- files ---- */

void fl_opened_release(struct fl_opened **o)
{
	struct fl_opened *x = *o;

	*o = NULL;
	if (!x || atomic_fetch_sub(&x->users, 1) > 1)
		return;
	fl_closep(&x->fd);
	fl_parquet_close(&x->parquet);
	fl_remote_free(&x->remote);
	fl_format_free(&x->format);
	free(x->path);
	free(x->head);
	free(x);
}

/* Of a file its beginning; of a pipe as much as tells. */
static ssize_t read_some(const struct fl_scan *s, const struct fl_opened *o, void *buf, size_t n, size_t at)
{
	for (;;) {
		ssize_t got = o->regular ? pread(o->fd, buf, n, (off_t)at) : read(o->fd, buf, n);

		if (got >= 0)
			return got;
		if (errno != EINTR)
			return fl_fail(-errno, "%s: %m", o->path);
		if (fl_scan_stopped(s))
			return fl_fail(-EINTR, FL_SCAN_STOPPED);
	}
}

static bool tells(const struct fl_looked *l)
{
	return l->kind != FL_KIND_EMPTY && (!fl_kind_has_lines(l->kind) || memchr(l->head, '\n', l->n));
}

static int look_further(const struct fl_scan *s, struct fl_opened *o, struct fl_looked *l)
{
	char *head FL_CLEANUP(fl_freep) = malloc(MORE_BYTES);
	ssize_t n = head ? read_some(s, o, head, MORE_BYTES, 0) : -ENOMEM;

	if (n < 0)
		return (int)n;
	fl_look(head, (size_t)n, l);
	return 0;
}

static int look_at_file(const struct fl_scan *s, struct fl_opened *o, struct fl_looked *l)
{
	char head[HEAD_BYTES];
	ssize_t n = read_some(s, o, head, sizeof head, 0);

	if (n < 0)
		return (int)n;
	fl_look(head, (size_t)n, l);
	return l->packing && !l->n && n == sizeof head ? look_further(s, o, l) : 0;
}

static int look_at_pipe(const struct fl_scan *s, struct fl_opened *o, struct fl_looked *l)
{
	ssize_t n;

	o->head = malloc(MORE_BYTES);
	if (!o->head)
		return -ENOMEM;
	do {
		n = read_some(s, o, o->head + o->n_head, MORE_BYTES - o->n_head, 0);
		if (n < 0)
			return (int)n;
		o->n_head += (size_t)n;
		fl_look(o->head, o->n_head, l);
	} while (n && o->n_head < MORE_BYTES && (o->n_head < MAGIC_BYTES || !tells(l)));
	return 0;
}

static int judge(const struct fl_scan *s, struct fl_opened *o)
{
	struct fl_looked l;
	int r = o->regular ? look_at_file(s, o, &l) : look_at_pipe(s, o, &l);

	if (r)
		return r;
	o->kind = l.kind;
	o->packing = l.packing;
	o->delimiter = l.delimiter;
	if (o->kind == FL_KIND_BINARY)
		return fl_fail(-EINVAL, "%s: binary data that is no flow log, Parquet or capture file", o->path);
	return fl_kind_has_lines(o->kind) ? fl_look_format(o->path, &l, s->conf.format, &o->format) : 0;
}

/* Parquet is read from its end: what comes through a pipe goes into an unnamed file first. */
static int spool(const struct fl_scan *s, struct fl_opened *o)
{
	const char *dir = fl_temp_dir();
	int fd FL_CLEANUP(fl_closep) = fl_temp_file(dir);
	char block[65536];
	ssize_t n;
	int r;

	if (fd < 0)
		return fl_fail(fd, "%s: Parquet needs a file, and there can be none in %s (TMPDIR): %s", o->path, dir,
			       strerror(-fd));
	r = fl_write_all(fd, o->head, o->n_head);
	o->size = o->n_head;
	while (!r && (n = read_some(s, o, block, sizeof block, 0)) != 0) {
		if (n < 0)
			return (int)n;
		r = fl_write_all(fd, block, (size_t)n);
		o->size += (uint64_t)n;
	}
	if (r)
		return fl_fail(r, "%s: in %s (TMPDIR): %s", o->path, dir, strerror(-r));
	fl_closep(&o->fd);
	o->fd = fd;
	fd = -1;
	o->regular = true;
	return 0;
}

static int open_parquet(const struct fl_scan *s, struct fl_opened *o)
{
	struct fl_parquet_input in;
	int r = o->regular || o->remote ? 0 : spool(s, o);

	if (o->remote) {
		fl_remote_input(o->remote, &in);
		return fl_parquet_open(&o->parquet, &in, o->path);
	}

	r = r ? r : fl_parquet_input_fd(&in, o->fd);
	return r ? r : fl_parquet_open(&o->parquet, &in, o->path);
}

/* An object by its name, whatever version of it is read. */
static void name_object(const char *path, struct stat *ret_id)
{
	ret_id->st_mode = S_IFREG;
	ret_id->st_dev = (dev_t)fl_hash_bytes(path, strlen(path), 1);
	ret_id->st_ino = (ino_t)fl_hash_bytes(path, strlen(path), 2) | 1;
}

/* A big Parquet object that stays where it is. 1: it is none, and is to be fetched. */
static int open_remote(struct fl_scan *s, const struct fl_ticket *t, struct fl_opened *o, struct stat *ret_id)
{
	int r;

	o->remote = t->remote;
	if (t->file->where != FL_WHERE_S3 || t->fd >= 0)
		return 1;
	r = o->remote ? 0 : fl_remote_open(&o->remote, s, t);
	if (r)
		return r;
	o->path = fl_place_path(t->place, t->file);
	if (!o->path)
		return -ENOMEM;
	o->kind = FL_KIND_PARQUET;
	o->fetched = true;
	o->size = fl_remote_size(o->remote);
	name_object(o->path, ret_id);
	r = open_parquet(s, o);
	if (r != -EBADMSG)
		return r;
	/* What it is then shows when all of it is here. */
	fl_remote_free(&o->remote);
	o->fetched = false;
	free(o->path);
	o->path = NULL;
	return 1;
}

/* Descriptor, path, and which file it is: an object by its key. */
static int open_ticket(struct fl_scan *s, const struct fl_ticket *t, struct fl_opened *o, struct stat *ret_id)
{
	const struct fl_scan_file *f = t->file;
	const char *name = t->place->names.data + f->name;
	bool standard = f->where == FL_WHERE_STDIN;
	int r = 0;

	o->fd = t->fd;
	o->path = standard ? strdup("standard input") : fl_place_path(t->place, f);
	if (!o->path)
		return -ENOMEM;
	if (f->where == FL_WHERE_S3 && o->fd < 0)
		r = fl_s3_fetch(s->s3, t->place->bucket, name, f->size, name + strlen(name) + 1, &o->fd);
	else if (o->fd < 0)
		/* Nobody's pipe in a directory shall hold us up. */
		o->fd =
		    standard ? dup(STDIN_FILENO) : open(o->path, O_RDONLY | O_CLOEXEC | (f->named ? 0 : O_NONBLOCK));
	if (r)
		return r == -ECANCELED ? fl_fail(-EINTR, FL_SCAN_STOPPED) : r;
	if (o->fd < 0 || fstat(o->fd, ret_id))
		return fl_fail(-errno, "%s: %m", o->path);
	o->regular = S_ISREG(ret_id->st_mode);
	o->size = (uint64_t)ret_id->st_size;
	if (f->where == FL_WHERE_S3) {
		o->fetched = true;
		name_object(o->path, ret_id);
	}
	return o->regular || f->named ? 0 : fl_fail(-EINVAL, "%s: neither a file nor a directory", o->path);
}

static bool find_pipe(struct fl_pipe_list *l, const struct fl_scan_file *f, struct fl_opened **ret, struct stat *ret_id)
{
	for (size_t i = 0; i < l->n; i++)
		if (l->file[i] == f) {
			*ret = l->opened[i];
			*ret_id = l->id[i];
			atomic_fetch_add(&(*ret)->users, 1);
			return true;
		}
	return false;
}

static void keep_pipe(struct fl_pipe_list *l, const struct fl_scan_file *f, struct fl_opened *o, const struct stat *id)
{
	if (l->n == FL_SCAN_PIPES)
		return;
	l->file[l->n] = f;
	l->id[l->n] = *id;
	l->opened[l->n++] = o;
	atomic_fetch_add(&o->users, 1);
}

static int open_new(struct fl_opened **ret, struct fl_scan *s, const struct fl_ticket *t, struct stat *ret_id)
{
	struct fl_opened *o FL_CLEANUP(fl_opened_release) = calloc(1, sizeof *o);
	struct fl_remote *remote = t->remote;
	int r, fd = t->fd;

	if (!o) {
		fl_closep(&fd);
		fl_remote_free(&remote);
		return -ENOMEM;
	}
	o->users = 1;
	o->fd = -1;
	r = open_remote(s, t, o, ret_id);
	if (r == 1) {
		r = open_ticket(s, t, o, ret_id);
		r = r ? r : judge(s, o);
		if (!r && o->kind == FL_KIND_PARQUET)
			r = open_parquet(s, o);
	}
	if (r)
		return r == -ECANCELED ? fl_fail(-EINTR, FL_SCAN_STOPPED) : r;
	*ret = o;
	o = NULL;
	return 0;
}

static bool may_be_pipe(const struct fl_ticket *t)
{
	struct stat st;

	return t->file->where == FL_WHERE_STDIN ||
	       (t->file->named && !stat(t->place->names.data + t->file->name, &st) && !S_ISREG(st.st_mode));
}

int fl_opened_new(struct fl_opened **ret, struct fl_scan *s, const struct fl_ticket *t, struct stat *ret_id)
{
	struct fl_pipe_list *l = &s->pipes;
	int r = 0;

	if (!may_be_pipe(t))
		return open_new(ret, s, t, ret_id);
	pthread_mutex_lock(&l->lock);
	if (!find_pipe(l, t->file, ret, ret_id)) {
		r = open_new(ret, s, t, ret_id);
		/* Also of Parquet, which is a file by now. */
		if (!r && !S_ISREG(ret_id->st_mode))
			keep_pipe(l, t->file, *ret, ret_id);
	}
	pthread_mutex_unlock(&l->lock);
	return r;
}
