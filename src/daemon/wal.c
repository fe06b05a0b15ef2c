/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/wal.h"

#include <errno.h>
#include <stdio.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cursor.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/mem.h"

#define WAL_NAME "wal"
#define WAL_NEW "wal.new"
#define WAL_MAGIC 0x3257464cu /* "LFW2" */
#define WAL_PARTS 6
#define WAL_ALIGN 8
#define WAL_AHEAD (1u << 20)     /* memory is reserved in steps of this */
#define WAL_SET_ASIDE (1u << 16) /* of it, what only small records may use */

struct wal_header {
	uint32_t magic, type, length, crc; /* crc of type, length and payload */
};

struct fl_wal {
	int dirfd, fd; /* fd: what append writes to */
	int old_fd;    /* during a snapshot: the log still in force */
	uint64_t size, reserved, old_size, old_reserved;
};

static uint32_t header_crc(const struct wal_header *h)
{
	return fl_crc32c(0, &h->type, sizeof h->type + sizeof h->length);
}

/* Returns the length of the good prefix. */
static int replay_all(const uint8_t *map, size_t size, fl_wal_replay_fn replay, void *ctx, size_t *ret_good)
{
	struct fl_cursor c = fl_cursor(map, size);

	*ret_good = 0;
	while (fl_cur_left(&c)) {
		struct wal_header h = {
		    .magic = fl_cur_le32(&c),
		    .type = fl_cur_le32(&c),
		    .length = fl_cur_le32(&c),
		    .crc = fl_cur_le32(&c),
		};
		const uint8_t *payload;
		int r;

		if (c.bad || h.magic != WAL_MAGIC || h.length > FL_WAL_RECORD_MAX)
			return 0;
		payload = fl_cur_take(&c, h.length);
		if (!payload || fl_crc32c(header_crc(&h), payload, h.length) != h.crc)
			return 0;
		r = replay(ctx, h.type, payload, h.length);
		if (r)
			return r;
		*ret_good = (size_t)(c.p - map);
	}
	return 0;
}

int fl_wal_open(struct fl_wal **ret, int dirfd, fl_wal_replay_fn replay, void *ctx)
{
	FL_CLEANUP(fl_wal_close) struct fl_wal *w = calloc(1, sizeof *w);
	struct stat st;
	size_t good = 0;
	int r;

	if (!w)
		return -ENOMEM;
	w->dirfd = dirfd;
	w->old_fd = -1;
	w->fd = openat(dirfd, WAL_NAME, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (w->fd < 0 || fstat(w->fd, &st))
		return fl_fail(-errno, "the meter's log in shared memory cannot be opened: %m");
	unlinkat(dirfd, WAL_NEW, 0); /* a snapshot that was never committed */
	if (st.st_size) {
		void *map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, w->fd, 0);

		if (map == MAP_FAILED)
			return fl_fail(-errno, "the meter's log in shared memory cannot be read: %m");
		r = replay_all(map, (size_t)st.st_size, replay, ctx, &good);
		munmap(map, (size_t)st.st_size);
		if (r)
			return fl_wrap(r, "replaying the meter's log");
		if (good != (size_t)st.st_size && ftruncate(w->fd, (off_t)good))
			return fl_fail(-errno, "the torn end of the meter's log cannot be cut: %m");
	}
	w->size = w->reserved = good;
	*ret = w;
	w = NULL;
	return 0;
}

void fl_wal_close(struct fl_wal **w)
{
	if (!*w)
		return;
	fl_closep(&(*w)->fd);
	fl_closep(&(*w)->old_fd);
	free(*w);
	*w = NULL;
}

/* Memory for n bytes more, so that a write cannot fail half-way and small records find room when
 * there is none left. */
static int reserve(struct fl_wal *w, size_t n)
{
	uint64_t need = w->size + n + (n < FL_WAL_SMALL ? 0 : WAL_SET_ASIDE);

	if (need <= w->reserved)
		return 0;
	for (unsigned ahead = WAL_AHEAD;; ahead = 0) {
		uint64_t to = need + ahead;

		if (!fallocate(w->fd, FALLOC_FL_KEEP_SIZE, (off_t)w->reserved, (off_t)(to - w->reserved))) {
			w->reserved = to;
			return 0;
		}
		if (errno == EOPNOTSUPP)
			return 0;
		if (!ahead)
			return fl_fail(-ENOSPC,
				       "shared memory is full (%s): the meter cannot log what it "
				       "reads; enlarge /dev/shm",
				       strerror(errno));
	}
}

int fl_wal_append(struct fl_wal *w, uint32_t type, const struct iovec *iov, unsigned n)
{
	static const uint8_t zeroes[WAL_ALIGN];
	struct wal_header h = {.magic = WAL_MAGIC, .type = type};
	struct iovec all[WAL_PARTS + 2] = {{.iov_base = &h, .iov_len = sizeof h}};
	size_t length = 0, fill;
	ssize_t done;
	int r;

	if (n > WAL_PARTS)
		return fl_fail(-EINVAL, "a log record has %u parts, at most %d are possible", n, WAL_PARTS);
	for (unsigned i = 0; i < n; i++) {
		all[i + 1] = iov[i];
		length += iov[i].iov_len;
	}
	fill = (WAL_ALIGN - length % WAL_ALIGN) % WAL_ALIGN;
	all[n + 1] = (struct iovec){.iov_base = (void *)zeroes, .iov_len = fill};
	length += fill;
	if (length > FL_WAL_RECORD_MAX)
		return fl_fail(-E2BIG, "a log record of %zu bytes is over the limit of %u", length, FL_WAL_RECORD_MAX);
	h.length = (uint32_t)length;
	h.crc = header_crc(&h);
	for (unsigned i = 1; i <= n + 1; i++)
		h.crc = fl_crc32c(h.crc, all[i].iov_base, all[i].iov_len);
	r = reserve(w, length + sizeof h);
	if (r)
		return r;
	done = pwritev(w->fd, all, (int)n + 2, (off_t)w->size);
	if (done != (ssize_t)(length + sizeof h)) {
		int err = done < 0 ? errno : ENOSPC;

		/* Half a record must not stand where the next one ends. */
		if (done > 0 && !ftruncate(w->fd, (off_t)w->size))
			w->reserved = w->size;
		return fl_fail(-err, "the meter's log in shared memory cannot be written: %s", strerror(err));
	}
	w->size += length + sizeof h;
	w->reserved = FL_MAX(w->reserved, w->size);
	return 0;
}

int fl_wal_snapshot_begin(struct fl_wal *w)
{
	int fd = openat(w->dirfd, WAL_NEW, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	if (fd < 0)
		return fl_fail(-errno, "a fresh meter's log cannot be created: %m");
	w->old_fd = w->fd;
	w->old_size = w->size;
	w->old_reserved = w->reserved;
	w->fd = fd;
	w->size = w->reserved = 0;
	return 0;
}

int fl_wal_snapshot_commit(struct fl_wal *w)
{
	if (renameat(w->dirfd, WAL_NEW, w->dirfd, WAL_NAME))
		return fl_fail(-errno, "the fresh meter's log cannot take the old one's place: %m");
	fl_closep(&w->old_fd);
	return 0;
}

void fl_wal_snapshot_abort(struct fl_wal *w)
{
	if (w->old_fd < 0)
		return;
	fl_closep(&w->fd);
	unlinkat(w->dirfd, WAL_NEW, 0);
	w->fd = w->old_fd;
	w->size = w->old_size;
	w->reserved = w->old_reserved;
	w->old_fd = -1;
}

uint64_t fl_wal_size(const struct fl_wal *w)
{
	return w->size;
}

int fl_wal_remove(int dirfd)
{
	return unlinkat(dirfd, WAL_NAME, 0) && errno != ENOENT ? -errno : 0;
}
