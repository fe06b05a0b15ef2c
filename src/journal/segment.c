/* SPDX-License-Identifier: Apache-2.0 */
#include "journal/segment.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cursor.h"
#include "base/error.h"
#include "base/file.h"
#include "base/hash.h"

#define CURSOR_NAME_MAX 128
#define HEAD_TRIES 1000 /* a reader meets a head that is just being written */

void fl_segment_name(unsigned i, char ret[FL_SEGMENT_NAME_MAX])
{
	snprintf(ret, FL_SEGMENT_NAME_MAX, "seg.%03u", i % 1000);
}

uint32_t fl_rec_crc(uint64_t segment, uint64_t offset, const struct fl_rec *r, const void *payload)
{
	uint64_t where[2] = {segment, offset};
	uint32_t crc = fl_crc32c(0, where, sizeof where);

	crc = fl_crc32c(crc, (const uint8_t *)r + sizeof r->crc, sizeof *r - sizeof r->crc);
	return fl_crc32c(crc, payload, r->len);
}

void fl_segment_head_init(struct fl_segment_head *h, uint64_t number, uint64_t size)
{
	*h = (struct fl_segment_head){.magic = FL_SEGMENT_MAGIC, .number = number, .size = size, .version = 1};
	h->crc = fl_crc32c(0, h, offsetof(struct fl_segment_head, crc));
}

uint64_t fl_segment_number(int fd)
{
	struct fl_segment_head h;

	if (pread(fd, &h, sizeof h, 0) != sizeof h || memcmp(h.magic, FL_SEGMENT_MAGIC, sizeof h.magic) ||
	    h.crc != fl_crc32c(0, &h, offsetof(struct fl_segment_head, crc)))
		return 0;
	return h.number;
}

/* ---- head ---- */

int fl_head_write(int fd, struct fl_position end)
{
	struct fl_head h = {.magic = FL_HEAD_MAGIC, .end = end};

	h.crc = fl_crc32c(0, &h, offsetof(struct fl_head, crc));
	if (pwrite(fd, &h, sizeof h, 0) != sizeof h)
		return fl_fail(errno ? -errno : -EIO, "journal/head: %m");
	return 0;
}

int fl_head_read(int dirfd, struct fl_position *ret)
{
	int fd FL_CLEANUP(fl_closep) = openat(dirfd, "head", O_RDONLY | O_CLOEXEC);
	struct fl_head h;
	ssize_t n;

	*ret = (struct fl_position){0};
	if (fd < 0)
		return errno == ENOENT ? 0 : fl_fail(-errno, "journal/head: %m");
	for (unsigned i = 0; i < HEAD_TRIES; i++) {
		n = pread(fd, &h, sizeof h, 0);
		if (n == sizeof h && !memcmp(h.magic, FL_HEAD_MAGIC, sizeof h.magic) &&
		    h.crc == fl_crc32c(0, &h, offsetof(struct fl_head, crc))) {
			*ret = h.end;
			return 0;
		}
		if (n == 0)
			return 0; /* just created */
	}
	return fl_fail(-EBADMSG, "journal/head: checksum mismatch; the meter writes it anew when it starts");
}

/* ---- cursors ---- */

static int cursor_name(const char *name, char ret[CURSOR_NAME_MAX])
{
	if (!*name || strchr(name, '/') || snprintf(ret, CURSOR_NAME_MAX, "cursor.%s", name) >= CURSOR_NAME_MAX)
		return fl_fail(-EINVAL, "cursor \"%.40s\": a name is a word of at most %d letters", name,
			       CURSOR_NAME_MAX - 8);
	return 0;
}

int fl_cursor_save(int dirfd, const char *name, struct fl_position pos)
{
	char file[CURSOR_NAME_MAX], text[64];
	int n = snprintf(text, sizeof text, "%" PRIu64 " %" PRIu64 "\n", pos.segment, pos.offset),
	    r = cursor_name(name, file);

	return r ? r : fl_wrap(fl_file_write_atomic(dirfd, file, text, (size_t)n, 0640, true), "journal");
}

static int cursor_read(int dirfd, const char *file, struct fl_position *ret)
{
	struct fl_buf buf FL_CLEANUP(fl_buf_free) = FL_BUF(64);
	int end = 0, r = fl_file_read(dirfd, file, &buf);

	if (r)
		return r;
	if (sscanf(fl_buf_cstr(&buf), "%" SCNu64 " %" SCNu64 "\n%n", &ret->segment, &ret->offset, &end) != 2 ||
	    (size_t)end != buf.len)
		return fl_fail(-EBADMSG,
			       "journal/%s: expected a segment and an offset; remove it to start "
			       "at the oldest window",
			       file);
	return 0;
}

int fl_cursor_load(int dirfd, const char *name, struct fl_position *ret)
{
	char file[CURSOR_NAME_MAX];
	int r = cursor_name(name, file);

	*ret = (struct fl_position){0};
	if (!r)
		r = cursor_read(dirfd, file, ret);
	if (r)
		*ret = (struct fl_position){0};
	return r == -ENOENT ? 0 : r;
}

static int by_position(const void *a, const void *b)
{
	return fl_position_cmp(*(const struct fl_position *)a, *(const struct fl_position *)b);
}

int fl_cursors_list(int dirfd, struct fl_position ret[FL_CURSORS_MAX], size_t *ret_n)
{
	int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;

	*ret_n = 0;
	if (!d) {
		int r = fl_fail(-errno, "journal: %m");

		fl_closep(&fd);
		return r;
	}
	while ((e = readdir(d)) && *ret_n < FL_CURSORS_MAX) {
		size_t n = strlen(e->d_name);

		if (strncmp(e->d_name, "cursor.", 7) || (n > 4 && !strcmp(e->d_name + n - 4, ".tmp")))
			continue;
		/* One that cannot be read has read nothing. */
		if (cursor_read(dirfd, e->d_name, &ret[*ret_n]))
			ret[*ret_n] = (struct fl_position){0};
		(*ret_n)++;
	}
	closedir(d);
	qsort(ret, *ret_n, sizeof *ret, by_position);
	return 0;
}

/* ---- drops ---- */

void fl_drops_free(struct fl_drops *d)
{
	free(d->drop);
	*d = (struct fl_drops){.max = d->max};
}

void fl_drop_merge(struct fl_drop *into, const struct fl_drop *x)
{
	if (fl_position_cmp(x->from, into->from) < 0)
		into->from = x->from;
	if (fl_position_cmp(x->to, into->to) > 0)
		into->to = x->to;
	into->start = FL_MIN(into->start, x->start);
	into->end = FL_MAX(into->end, x->end);
	into->frames += x->frames;
	into->flows += x->flows;
	for (unsigned i = 0; i < FL_DIR_N; i++) {
		into->recorded[i].packets += x->recorded[i].packets;
		into->recorded[i].bytes += x->recorded[i].bytes;
	}
}

/* Merge the older half by interface (what was read apart from what was not); where that does not
 * help, into entries without one. */
static void shrink(struct fl_drops *d)
{
	size_t half = (d->n + 1) / 2, kept = 0;

	for (unsigned by_interface = 2; by_interface-- > 0 && (!kept || kept == half);) {
		size_t end = kept ? kept : half;

		kept = 0;
		for (size_t i = 0; i < end; i++) {
			size_t at = 0;

			while (at < kept &&
			       (d->drop[at].unread != d->drop[i].unread ||
				(by_interface && strcmp(d->drop[at].eni.interface_id, d->drop[i].eni.interface_id))))
				at++;
			if (at == kept) {
				d->drop[kept++] = d->drop[i];
				continue;
			}
			fl_drop_merge(&d->drop[at], &d->drop[i]);
			if (!by_interface)
				memset(&d->drop[at].eni, 0, sizeof d->drop[at].eni);
		}
	}
	memmove(d->drop + kept, d->drop + half, (d->n - half) * sizeof *d->drop);
	d->n -= half - kept;
}

int fl_drops_add(struct fl_drops *d, const struct fl_drop *drop)
{
	if (!d->drop)
		d->drop = calloc(d->max, sizeof *d->drop);
	if (!d->drop)
		return fl_fail(-ENOMEM, "no memory for %zu dropped spans", d->max);
	while (d->n >= d->max)
		shrink(d);
	d->drop[d->n++] = *drop;
	return 0;
}

int fl_drops_put(const struct fl_drops *d, struct fl_buf *out)
{
	uint32_t head[2] = {sizeof(struct fl_drop), (uint32_t)d->n};
	int r = fl_buf_add(out, head, sizeof head);

	return r ? r : fl_buf_add(out, d->drop, d->n * sizeof *d->drop);
}

int fl_drops_get(struct fl_drops *d, const void *data, size_t n)
{
	struct fl_cursor c = fl_cursor(data, n);
	uint32_t size = fl_cur_le32(&c), count = fl_cur_le32(&c);
	int r = 0;

	d->n = 0;
	if (c.bad || size != sizeof(struct fl_drop) || fl_cur_left(&c) != (uint64_t)size * count)
		return fl_fail(-EBADMSG, "journal: the list of what was dropped is damaged");
	for (uint32_t i = 0; !r && i < count; i++) {
		struct fl_drop drop;

		memcpy(&drop, fl_cur_take(&c, size), sizeof drop);
		drop.eni.interface_id[sizeof drop.eni.interface_id - 1] = '\0';
		r = fl_drops_add(d, &drop);
	}
	return r;
}
