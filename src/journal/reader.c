/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A reader of the journal, in any process. It goes no further than the published head, so what it
 * reads is durable and does not change, except that the writer may recycle the segment: then the
 * checksum, which covers the segment's number, does not fit any more.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "journal/frame.h"
#include "journal/segment.h"

#define DATA sizeof(struct fl_segment_head)
#define READ_MAX ((size_t)80 << 20) /* longer than any record */
#define TRIES 100                   /* a writer that recycles faster than we look */

struct fl_reader {
	int dirfd, fd;
	uint64_t number; /* of the segment that fd is, 0: none */
	uint64_t size;
	struct fl_position at, head;
	struct fl_buf buf;
	void *store;
	size_t store_size;
	struct fl_drops gap; /* entries that were not yet returned, from gap_next on */
	size_t gap_next;
	struct fl_position after_gap;
};

int fl_reader_open(struct fl_reader **ret, int dirfd, struct fl_position from)
{
	struct fl_reader *r = calloc(1, sizeof *r);

	if (!r)
		return -ENOMEM;
	r->fd = -1;
	r->at = from;
	r->buf = FL_BUF(READ_MAX);
	r->gap.max = FL_DROPS_MAX;
	r->dirfd = fcntl(dirfd, F_DUPFD_CLOEXEC, 3);
	if (r->dirfd < 0) {
		free(r);
		return fl_fail(-errno, "journal: %m");
	}
	*ret = r;
	return 0;
}

void fl_reader_close(struct fl_reader **r)
{
	if (!*r)
		return;
	fl_closep(&(*r)->fd);
	fl_closep(&(*r)->dirfd);
	fl_buf_free(&(*r)->buf);
	fl_drops_free(&(*r)->gap);
	free((*r)->store);
	free(*r);
	*r = NULL;
}

struct fl_position fl_reader_position(const struct fl_reader *r)
{
	return r->at;
}

/* ---- segments ---- */

struct held {
	uint64_t oldest, newest, next; /* next: lowest number >= wanted, 0: none */
	int oldest_fd, newest_fd, next_fd;
};

static void held_close(struct held *h)
{
	fl_closep(&h->oldest_fd);
	fl_closep(&h->newest_fd);
	fl_closep(&h->next_fd);
}

static int keep(int *into, int fd)
{
	fl_closep(into);
	*into = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	return *into < 0 ? fl_fail(-errno, "journal: %m") : 0;
}

static int look(int dirfd, uint64_t wanted, struct held *ret)
{
	char name[FL_SEGMENT_NAME_MAX];
	int e = 0;

	*ret = (struct held){.oldest_fd = -1, .newest_fd = -1, .next_fd = -1};
	for (unsigned i = 0; !e && i < FL_SEGMENTS_MAX; i++) {
		int fd FL_CLEANUP(fl_closep) = -1;
		uint64_t number;

		fl_segment_name(i, name);
		fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC);
		if (fd < 0 && errno != ENOENT)
			return fl_fail(-errno, "journal/%s: %m", name);
		number = fd < 0 ? 0 : fl_segment_number(fd);
		if (!number)
			continue;
		if (!ret->oldest || number < ret->oldest) {
			ret->oldest = number;
			e = keep(&ret->oldest_fd, fd);
		}
		if (!e && number > ret->newest) {
			ret->newest = number;
			e = keep(&ret->newest_fd, fd);
		}
		if (!e && number >= wanted && (!ret->next || number < ret->next)) {
			ret->next = number;
			e = keep(&ret->next_fd, fd);
		}
	}
	return e;
}

int fl_journal_begin(int dirfd, struct fl_position *ret)
{
	struct held h;
	int r = look(dirfd, 0, &h);

	*ret = r || !h.oldest ? (struct fl_position){0} : (struct fl_position){h.oldest, DATA};
	held_close(&h);
	return r;
}

/* The record at offset into r->buf: 1, or 0 when there is none that is valid. */
static int read_record(struct fl_reader *r, int fd, uint64_t number, uint64_t size, uint64_t offset, struct fl_rec *ret)
{
	int e;

	if (offset + sizeof *ret > size || pread(fd, ret, sizeof *ret, (off_t)offset) != sizeof *ret)
		return 0;
	if (!ret->type || ret->type >= FL_REC_N || FL_REC_SPAN(ret->len) > size - offset)
		return 0;
	fl_buf_reset(&r->buf);
	e = fl_buf_reserve(&r->buf, (size_t)ret->len + 1);
	if (e)
		return e;
	if (pread(fd, r->buf.data, ret->len, (off_t)(offset + sizeof *ret)) != (ssize_t)ret->len)
		return 0;
	r->buf.len = ret->len;
	return fl_rec_crc(number, offset, ret, r->buf.data) == ret->crc;
}

/* ---- gaps ---- */

static void gap_frame(const struct fl_drop *d, struct fl_frame *ret)
{
	memset(ret, 0, sizeof *ret);
	ret->eni = d->eni;
	ret->window.start = d->start;
	ret->window.length = (uint32_t)FL_MIN(d->end - d->start, (int64_t)UINT32_MAX);
	ret->window.flags = FL_WINDOW_SKIPDATA;
	ret->n_flows = d->flows;
	for (unsigned i = 0; i < FL_DIR_N; i++) {
		ret->ledger[i].seen = d->recorded[i];
		ret->ledger[i].lost[FL_LOSS_JOURNAL_QUOTA] = d->recorded[i];
	}
}

static int next_of_gap(struct fl_reader *r, struct fl_frame *ret)
{
	gap_frame(&r->gap.drop[r->gap_next++], ret);
	if (r->gap_next == r->gap.n) {
		r->gap.n = r->gap_next = 0;
		r->at = r->after_gap;
	}
	return FL_READER_GAP;
}

/* What was dropped behind our position, one entry an interface. */
static int keep_relevant(struct fl_reader *r, const struct fl_drops *all)
{
	int e = 0;

	r->gap.n = r->gap_next = 0;
	for (size_t i = 0; !e && i < all->n; i++) {
		const struct fl_drop *d = &all->drop[i];
		size_t at = 0;

		if (fl_position_cmp(d->to, r->at) <= 0 || d->from.segment >= r->after_gap.segment)
			continue;
		while (at < r->gap.n && strcmp(r->gap.drop[at].eni.interface_id, d->eni.interface_id))
			at++;
		if (at == r->gap.n)
			e = fl_drops_add(&r->gap, d);
		else
			fl_drop_merge(&r->gap.drop[at], d);
	}
	return e;
}

/* Our segment is not held any more. 0: go on at r->at; FL_READER_GAP: the first entry. */
static int enter_gap(struct fl_reader *r, const struct held *h, struct fl_frame *ret)
{
	struct fl_drops all = {.max = FL_DROPS_MAX};
	struct fl_rec rec;
	struct stat st;
	int e = fstat(h->newest_fd, &st) ? fl_fail(-errno, "journal: %m") : 0;

	if (!e)
		e = read_record(r, h->newest_fd, h->newest, (uint64_t)st.st_size, DATA, &rec);
	if (e <= 0)
		return e ? e : -EAGAIN; /* just being written */
	r->after_gap = (struct fl_position){h->oldest, DATA};
	e = rec.type == FL_REC_DROPPED ? fl_drops_get(&all, r->buf.data, r->buf.len) : 0;
	if (!e)
		e = keep_relevant(r, &all);
	fl_drops_free(&all);
	if (e)
		return e;
	if (r->gap.n)
		return next_of_gap(r, ret);
	/* All of it had been read, or it is the cursor of a journal that is no more: then nothing
	 * can be said about the span. */
	r->at = r->after_gap;
	return 0;
}

/* Makes fd the segment of r->at. 0; FL_READER_GAP; -EAGAIN: look again; 1: not there yet. */
static int enter_segment(struct fl_reader *r, struct fl_frame *ret)
{
	struct held h;
	struct stat st;
	int e = look(r->dirfd, r->at.segment, &h);

	if (!e && !h.oldest)
		e = 1;
	if (!e && !r->at.segment)
		r->at = (struct fl_position){h.oldest, DATA};
	else if (!e && r->at.segment < h.oldest)
		e = enter_gap(r, &h, ret);
	if (!e && r->at.segment > h.newest)
		e = 1;
	if (!e && r->at.segment != h.oldest && r->at.segment != h.next)
		r->at = (struct fl_position){h.next, DATA}; /* numbers that a repair has left out */
	if (!e) {
		fl_closep(&r->fd);
		r->number = r->at.segment;
		e = keep(&r->fd, r->at.segment == h.oldest ? h.oldest_fd : h.next_fd);
	}
	if (!e && fstat(r->fd, &st))
		e = fl_fail(-errno, "journal: %m");
	if (!e)
		r->size = (uint64_t)st.st_size;
	if (e)
		r->number = 0;
	held_close(&h);
	return e;
}

/* ---- records ---- */

static int damaged(struct fl_reader *r)
{
	struct fl_position at = r->at;

	r->at = (struct fl_position){at.segment + 1, DATA};
	return fl_fail(-EBADMSG,
		       "journal: segment %" PRIu64 " is damaged at offset %" PRIu64 "; the rest of it is skipped",
		       at.segment, at.offset);
}

static int deliver(struct fl_reader *r, const struct fl_rec *rec, bool decode, struct fl_frame *ret)
{
	struct fl_cursor c = fl_cursor(r->buf.data, r->buf.len);
	struct fl_commit commit;
	int e;

	if (rec->type == FL_REC_FRAME) {
		e = fl_frame_get(&c, ret, &r->store, &r->store_size, decode);
		if (e)
			return e == -EBADMSG ? damaged(r) : e;
		r->at.offset += FL_REC_SPAN(rec->len);
		return 1;
	}
	if (rec->len != sizeof commit)
		return damaged(r);
	memcpy(&commit, r->buf.data, sizeof commit);
	memset(ret, 0, sizeof *ret);
	ret->window.window = commit.window;
	ret->window.start = commit.start;
	ret->window.length = commit.length;
	r->at.offset += FL_REC_SPAN(rec->len);
	return FL_READER_WINDOW_END;
}

static int next(struct fl_reader *r, bool decode, struct fl_frame *ret)
{
	struct fl_rec rec;
	int e;

	if (r->gap_next < r->gap.n)
		return next_of_gap(r, ret);
	for (unsigned tries = 0; tries < TRIES;) {
		if (fl_position_cmp(r->at, r->head) >= 0) {
			e = fl_head_read(r->dirfd, &r->head);
			if (e || fl_position_cmp(r->at, r->head) >= 0)
				return e;
		}
		if (!r->number || r->number != r->at.segment) {
			e = enter_segment(r, ret);
			if (e == -EAGAIN) {
				tries++;
				usleep(1000);
				continue;
			}
			if (e)
				return e == 1 ? 0 : e;
			continue; /* the position may have moved to or over the head */
		}
		e = read_record(r, r->fd, r->number, r->size, r->at.offset, &rec);
		if (e < 0)
			return e;
		if (!e) {
			bool recycled = fl_segment_number(r->fd) != r->number;

			r->number = 0;
			if (!recycled)
				return damaged(r);
			tries++;
		} else if (rec.type == FL_REC_END) {
			r->at = (struct fl_position){r->at.segment + 1, DATA};
		} else if (rec.type == FL_REC_DROPPED) {
			r->at.offset += FL_REC_SPAN(rec.len);
		} else {
			return deliver(r, &rec, decode, ret);
		}
	}
	return fl_fail(-EAGAIN, "journal: segments are recycled faster than they are read");
}

int fl_reader_next(struct fl_reader *r, struct fl_frame *ret)
{
	return next(r, true, ret);
}

int fl_reader_skim(struct fl_reader *r, struct fl_frame *ret)
{
	return next(r, false, ret);
}
