/* SPDX-License-Identifier: Apache-2.0 */
/* Opening the journal: files made or found, contents scanned, a torn tail cut off. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "base/hash.h"
#include "journal/frame.h"
#include "journal/writer.h"

#define PIECE_MAX ((size_t)4 << 20) /* a longer frame is written in pieces of this */
#define DEFAULT_SEGMENTS 8u

/* ---- walking a segment ---- */

int fl_walk_open(struct walk *w, const struct segment *s)
{
	*w = (struct walk){.number = s->number, .size = s->size, .at = FL_SEGMENT_DATA};
	w->map = mmap(NULL, s->size, PROT_READ, MAP_SHARED, s->fd, 0);
	return w->map == MAP_FAILED ? fl_fail(-errno, "journal: mapping a segment: %m") : 0;
}

void fl_walk_close(struct walk *w)
{
	munmap((void *)w->map, w->size);
}

/* The next record; NULL: none that is valid. */
const struct fl_rec *fl_walk_next(struct walk *w, struct fl_cursor *ret_payload)
{
	const struct fl_rec *r = (const void *)(w->map + w->at);

	if (w->at + sizeof *r > w->size || !r->type || r->type >= FL_REC_N || FL_REC_SPAN(r->len) > w->size - w->at ||
	    fl_rec_crc(w->number, w->at, r, r + 1) != r->crc)
		return NULL;
	*ret_payload = fl_cursor(r + 1, r->len);
	w->at += FL_REC_SPAN(r->len);
	return r;
}

/* ---- opening ---- */

int fl_write_all_at(int fd, const void *data, size_t n, uint64_t at)
{
	const char *p = data;

	while (n) {
		ssize_t done = pwrite(fd, p, n, (off_t)at);

		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0)
			return fl_fail(done ? -errno : -EIO, "journal: writing a segment: %m");
		p += done;
		at += (uint64_t)done;
		n -= (size_t)done;
	}
	return 0;
}

/* 1: there is none and none was wanted. */
static int open_segment(struct fl_journal *j, unsigned i, bool create)
{
	struct segment *s = &j->seg[j->n];
	char name[FL_SEGMENT_NAME_MAX];
	struct stat st;
	int r;

	fl_segment_name(i, name);
	*s = (struct segment){.file = i,
			      .fd = openat(j->dirfd, name, O_RDWR | O_CLOEXEC | (create ? O_CREAT : 0), 0640)};
	if (s->fd < 0)
		return errno == ENOENT ? 1 : fl_fail(-errno, "journal/%s: %m", name);
	if (fstat(s->fd, &st)) {
		r = fl_fail(-errno, "journal/%s: %m", name);
		fl_closep(&s->fd);
		return r;
	}
	s->size = (uint64_t)st.st_size;
	s->number = fl_segment_number(s->fd);
	/* One that is not in use may be of another size: made by an earlier configuration, or its
	 * making was interrupted. */
	if (!s->number && s->size != j->segment_bytes) {
		r = ftruncate(s->fd, 0) ? errno : posix_fallocate(s->fd, 0, (off_t)j->segment_bytes);
		if (r) {
			fl_closep(&s->fd);
			unlinkat(j->dirfd, name, 0);
			return fl_fail(
			    -r, "journal/%s: reserving %" PRIu64 " bytes: %s; set a smaller journal size or make room",
			    name, j->segment_bytes, strerror(r));
		}
		s->size = j->segment_bytes;
	}
	if (s->size < FL_SEGMENT_MIN || s->size > FL_SEGMENT_MAX) {
		fl_closep(&s->fd);
		return fl_fail(-EBADMSG, "journal/%s: %" PRIu64 " bytes is no size of a segment", name, s->size);
	}
	s->end = FL_SEGMENT_DATA;
	j->n++;
	return 0;
}

static int by_number(const void *a, const void *b)
{
	const struct segment *x = a, *y = b;

	return x->number < y->number ? -1 : x->number > y->number;
}

/* The quota was made smaller: files go that are free or that every consumer has read. */
static int remove_surplus(struct fl_journal *j, unsigned wanted)
{
	struct fl_position cursor[FL_CURSORS_MAX];
	char name[FL_SEGMENT_NAME_MAX];
	size_t n;
	int r = fl_cursors_list(j->dirfd, cursor, &n);

	while (!r && j->n > wanted && (!j->seg[0].number || (n && cursor[0].segment > j->seg[0].number))) {
		fl_segment_name(j->seg[0].file, name);
		fl_closep(&j->seg[0].fd);
		if (unlinkat(j->dirfd, name, 0))
			return fl_fail(-errno, "journal/%s: %m", name);
		memmove(j->seg, j->seg + 1, --j->n * sizeof *j->seg);
	}
	return r;
}

static int open_segments(struct fl_journal *j, unsigned wanted)
{
	bool there[FL_SEGMENTS_MAX] = {false};
	int r = 0, failed = 0;

	for (unsigned i = 0; i < FL_SEGMENTS_MAX; i++) {
		r = open_segment(j, i, false);
		if (r < 0)
			return r;
		there[i] = !r;
	}
	for (unsigned i = 0; i < FL_SEGMENTS_MAX && j->n < wanted && !failed; i++) {
		r = there[i] ? 0 : open_segment(j, i, true);
		if (r == -ENOSPC || r == -EDQUOT)
			failed = r; /* those that are there must do */
		else if (r < 0)
			return r;
	}
	if (j->n < 2)
		return failed ? failed : fl_fail(-ENOENT, "journal: two segments are needed, there are %u", j->n);
	qsort(j->seg, j->n, sizeof *j->seg, by_number);
	return remove_surplus(j, wanted);
}

/* ---- repair ---- */

struct scan {
	unsigned tail_seg; /* index */
	uint64_t tail;     /* where the next record goes */
	bool in_frame;     /* a frame's pieces are not complete */
	uint16_t piece;
	unsigned begin_seg; /* of that frame */
	uint64_t begin;
};

static int scan_frame(struct segment *s, struct fl_cursor payload)
{
	struct fl_frame f;
	int r = fl_frame_get(&payload, &f, NULL, NULL, false);

	return r ? r : fl_keys_add(&s->keys, fl_frame_key(&f));
}

static int scan_segment(struct fl_journal *j, unsigned i, struct scan *sc)
{
	struct segment *s = &j->seg[i];
	struct fl_cursor payload;
	const struct fl_rec *rec;
	struct walk w;
	uint64_t at;
	int r = fl_walk_open(&w, s);

	if (r)
		return r;
	for (at = w.at; !r && (rec = fl_walk_next(&w, &payload)); at = w.at) {
		if (rec->type == FL_REC_FRAME && rec->piece && !(sc->in_frame && rec->piece == sc->piece + 1))
			break; /* left behind by a repair: not ours */
		if (rec->type == FL_REC_COMMIT && fl_cur_left(&payload) != sizeof j->last_commit)
			break;
		if (rec->type == FL_REC_FRAME) {
			if (!rec->piece) {
				sc->begin_seg = i;
				sc->begin = at;
			}
			sc->piece = rec->piece;
			sc->in_frame = rec->more;
			r = rec->more ? 0 : scan_frame(s, payload);
			j->since_commit = true;
		} else if (rec->type == FL_REC_COMMIT) {
			memcpy(&j->last_commit, payload.p, sizeof j->last_commit);
			j->committed = (struct fl_position){s->number, w.at};
			j->since_commit = false;
			sc->in_frame = false; /* the rest of a frame was damaged */
		} else if (rec->type == FL_REC_DROPPED) {
			r = fl_drops_get(&j->drops, payload.p, fl_cur_left(&payload));
		} else {
			break; /* the end mark */
		}
		if (!sc->in_frame && rec->type != FL_REC_DROPPED) {
			sc->tail_seg = i;
			sc->tail = w.at;
		}
	}
	s->end = sc->in_frame ? at : FL_MAX(s->end, at);
	if (!sc->in_frame) {
		sc->tail_seg = i;
		sc->tail = at;
	}
	fl_walk_close(&w);
	return r;
}

int fl_journal_publish(struct fl_journal *j)
{
	int r = fl_head_write(j->headfd, j->committed);

	if (!r && fdatasync(j->headfd))
		r = fl_fail(-errno, "journal/head: %m");
	return r;
}

int fl_segment_free(struct fl_journal *j, unsigned i)
{
	static const struct fl_segment_head none;

	j->number_floor = FL_MAX(j->number_floor, j->seg[i].number);
	j->seg[i].number = 0;
	fl_keys_clear(&j->seg[i].keys);
	return fl_write_all_at(j->seg[i].fd, &none, sizeof none, 0);
}

/* Everything behind the tail is not there: it never was acknowledged. */
static int cut_tail(struct fl_journal *j, const struct scan *sc)
{
	static const struct fl_rec zero;
	struct fl_position published;
	struct segment *s = &j->seg[sc->tail_seg];
	int r = 0;

	for (unsigned i = sc->tail_seg + 1; !r && i < j->n; i++)
		r = fl_segment_free(j, i);
	j->current = sc->tail_seg;
	s->end = sc->tail;
	if (!r)
		r = fl_head_read(j->dirfd, &published) == -ENOMEM ? -ENOMEM : 0;
	if (r)
		return r;
	if (published.segment >= s->number && (published.segment > s->number || published.offset > s->end)) {
		/* Not a torn tail: what was committed is damaged. Readers are told when they come
		 * to it. */
		j->committed = published;
		j->number_floor = FL_MAX(j->number_floor, published.segment);
		r = fl_segment_next(j);
	} else {
		r = fl_write_all_at(s->fd, &zero, sizeof zero, s->end);
	}
	if (!r && fdatasync(j->seg[j->current].fd))
		r = fl_fail(-errno, "journal: %m");
	return r ? r : fl_journal_publish(j);
}

static int repair(struct fl_journal *j)
{
	struct scan sc = {.tail = FL_SEGMENT_DATA};
	unsigned first = 0;
	int r = 0;

	while (first < j->n && !j->seg[first].number)
		first++;
	if (first == j->n) {
		/* Numbers begin with the time, so that a cursor of a journal that was deleted is
		 * never ahead of its successor. */
		j->number_floor = (fl_now_ns(&fl_clock_system) / FL_NS_PER_S) << 20;
		j->current = UINT32_MAX;
		r = fl_segment_next(j);
		j->committed =
		    r ? j->committed : (struct fl_position){j->seg[j->current].number, j->seg[j->current].end};
		return r ? r : fl_journal_publish(j);
	}
	for (unsigned i = first; !r && i < j->n; i++)
		r = scan_segment(j, i, &sc);
	if (!r && sc.in_frame) {
		sc.tail_seg = sc.begin_seg;
		sc.tail = sc.begin;
	}
	return r ? r : cut_tail(j, &sc);
}

int fl_journal_open(struct fl_journal **ret, int dirfd, const struct fl_journal_conf *conf)
{
	struct fl_journal *j FL_CLEANUP(fl_journal_close) = NULL;
	uint64_t segment = conf->segment_bytes ? conf->segment_bytes : conf->quota_bytes / DEFAULT_SEGMENTS, wanted;
	int r;

	segment &= ~(uint64_t)4095;
	/* More than FL_SEGMENTS_MAX files help nobody. */
	segment = FL_MAX(segment, (conf->quota_bytes / FL_SEGMENTS_MAX + 4095) & ~(uint64_t)4095);
	wanted = segment ? conf->quota_bytes / segment : 0;
	if (segment < FL_SEGMENT_MIN || segment > FL_SEGMENT_MAX || wanted < 2)
		return fl_fail(-EINVAL,
			       "journal: %" PRIu64 " bytes in segments of %" PRIu64
			       ": at least two segments of %u bytes to 1 GiB",
			       conf->quota_bytes, segment, FL_SEGMENT_MIN);
	j = calloc(1, sizeof *j);
	if (!j)
		return -ENOMEM;
	j->buf = FL_BUF(FL_BUFFER_MAX);
	j->headfd = -1;
	j->segment_bytes = segment;
	j->dirfd = fcntl(dirfd, F_DUPFD_CLOEXEC, 3);
	if (j->dirfd < 0)
		return fl_fail(-errno, "journal: %m");
	r = open_segments(j, (unsigned)wanted);
	if (r)
		return r;
	j->piece_max = PIECE_MAX;
	j->drops.max = FL_DROPS_MAX;
	for (unsigned i = 0; i < j->n; i++) {
		j->piece_max = FL_MIN(j->piece_max, (size_t)(j->seg[i].size / 4));
		j->drops.max = FL_MIN(j->drops.max, (size_t)(j->seg[i].size / 4 / sizeof(struct fl_drop)));
	}
	j->headfd = openat(j->dirfd, "head", O_RDWR | O_CREAT | O_CLOEXEC, 0640);
	if (j->headfd < 0)
		return fl_fail(-errno, "journal/head: %m");
	r = repair(j);
	if (!r)
		r = fl_fsync_dir(j->dirfd, ".");
	if (r)
		return r;
	*ret = j;
	j = NULL;
	return 0;
}

void fl_journal_close(struct fl_journal **j)
{
	if (!*j)
		return;
	for (unsigned i = 0; i < (*j)->n; i++) {
		fl_closep(&(*j)->seg[i].fd);
		fl_keys_clear(&(*j)->seg[i].keys);
	}
	fl_buf_free(&(*j)->buf);
	fl_drops_free(&(*j)->drops);
	fl_closep(&(*j)->headfd);
	fl_closep(&(*j)->dirfd);
	free(*j);
	*j = NULL;
}
