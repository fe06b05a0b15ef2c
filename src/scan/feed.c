/* SPDX-License-Identifier: Apache-2.0 */
/* What lines of a unit are made of: of plain files by ranges, of packed ones and of pipes from their beginning. */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "scan/set.h"

#define WAIT_MS 100 /* for a pipe, before somebody is asked whether to stop */
#define FRESH_S 60  /* somebody may be writing a file for so long after its last change */
#define ACTIVE_S 2  /* somebody is */
#define NAP_MS 20   /* for what comes next */
#define NAPS 5

/* Of a pipe: what was looked at, then what comes. */
static ssize_t read_pipe(void *ctx, void *buf, size_t n)
{
	struct fl_feed *f = ctx;
	struct fl_opened *o = f->unit->opened;
	struct pollfd ready = {.fd = o->fd, .events = POLLIN};
	ssize_t got;

	if (f->told < o->n_head) {
		n = FL_MIN(n, o->n_head - f->told);
		memcpy(buf, o->head + f->told, n);
		f->told += n;
		fl_scan_add_bytes(f->r, n);
		return (ssize_t)n;
	}
	for (;;) {
		if (fl_scan_stopped(f->r->s))
			return fl_fail(-EINTR, FL_SCAN_STOPPED);
		if (poll(&ready, 1, WAIT_MS) <= 0)
			continue;
		got = read(o->fd, buf, n);
		if (got >= 0) {
			fl_scan_add_bytes(f->r, (uint64_t)got); /* at once: a block of it may be long in coming */
			return got;
		}
		if (errno != EINTR && errno != EAGAIN)
			return fl_fail(-errno, "%m");
	}
}

int fl_feed_open(struct fl_feed *f, struct fl_scan_reader *r, struct fl_unit *u)
{
	struct fl_opened *o = u->opened;
	int result = r->blocks ? 0 : fl_blocks_new(&r->blocks, 0);

	*f = (struct fl_feed){.r = r, .unit = u};
	r->feed = f;
	if (result)
		return result;
	if (!o->regular)
		return fl_blocks_open(r->blocks, &(struct fl_bytes){read_pipe, f});
	if (o->packing)
		return fl_blocks_open_fd(r->blocks, o->fd);
	return fl_blocks_open_part(r->blocks, o->fd, u->from, u->to);
}

/* A plain file whose end is not where it was. */
static int became_shorter(const struct fl_unit *u)
{
	struct stat st;

	if (!u->opened->regular || u->opened->packing || fstat(u->opened->fd, &st) || (uint64_t)st.st_size >= u->to)
		return 0;
	return fl_fail(-EIO, "the file became shorter while it was read");
}

int fl_feed_next(struct fl_feed *f, const char **ret_data, size_t *ret_n, bool *ret_last)
{
	int result = fl_blocks_next(f->r->blocks, ret_data, ret_n, ret_last);
	/* Of a pipe: as it is read. */
	uint64_t stored = f->unit->opened->regular ? fl_blocks_stored(f->r->blocks) : 0;

	fl_scan_add_bytes(f->r, stored - f->counted);
	f->counted = stored;
	return fl_wrap(result ? result : became_shorter(f->unit), "%s", f->r->path);
}

/* Lines before the range: those that end before it, and the one that goes over into it. */
uint64_t fl_feed_lines_before(struct fl_feed *f)
{
	uint64_t at = 0, end = f->unit->from - 1;
	char block[65536];

	if (f->base || !f->unit->from)
		return f->base;
	f->base = 1;
	while (at < end) {
		ssize_t n = pread(f->unit->opened->fd, block, FL_MIN(sizeof block, end - at), (off_t)at);

		if (n <= 0)
			break;
		for (const char *p = block; (p = memchr(p, '\n', (size_t)(block + n - p))); p++)
			f->base++;
		at += (uint64_t)n;
	}
	return f->base;
}

static int64_t age(const struct stat *st)
{
	int64_t now = time(NULL);

	return now > st->st_mtime ? now - st->st_mtime : 0;
}

/* A plain file that grows: its last line is the beginning of one. */
enum fl_line_end fl_feed_line_end(const struct fl_scan_reader *r)
{
	const struct fl_opened *o = r->unit->opened;
	struct stat st;

	if (!o || !fl_kind_has_lines(o->kind) || o->packing || !o->regular)
		return FL_LINE_IS_WHOLE;
	for (unsigned i = 0; i <= NAPS; i++) {
		if (fstat(o->fd, &st))
			return FL_LINE_IS_WHOLE;
		if ((uint64_t)st.st_size > o->size)
			return FL_LINE_GOES_ON;
		if (age(&st) > ACTIVE_S)
			break;
		poll(NULL, 0, NAP_MS);
	}
	return age(&st) <= FRESH_S ? FL_LINE_MAY_GO_ON : FL_LINE_IS_WHOLE;
}
