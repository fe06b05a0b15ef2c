/* SPDX-License-Identifier: Apache-2.0 */
/* The journal's one writer: append, commit, recycle, repair. */
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
#include "journal/segment.h"

#define DATA sizeof(struct fl_segment_head)
#define TRAILER sizeof(struct fl_rec)	  /* a zero header behind the last record: ends the scan */
#define PIECE_MAX ((size_t)4 << 20)	  /* a longer frame is written in pieces of this */
#define BUFFER_MAX ((size_t)64 << 20)
#define DEFAULT_SEGMENTS 8u

/* Keys of the frames in one segment, as 64-bit hashes: a set with open addressing. */
struct keys {
	uint64_t *slot;
	size_t n, cap;
};

struct segment {
	int fd;
	unsigned file; /* seg.NNN */
	uint64_t number, size;
	uint64_t end; /* behind the last valid record */
	struct keys keys;
};

struct fl_journal {
	int dirfd, headfd;
	struct segment seg[FL_SEGMENTS_MAX];
	unsigned n, current;
	uint64_t segment_bytes;
	struct fl_position committed;
	struct fl_commit last_commit;
	bool since_commit; /* frames were appended after the last commit mark */
	size_t piece_max;
	struct fl_buf buf;
	struct fl_drops drops;
	uint64_t number_floor; /* segments freed by a repair do not get their numbers again */
	struct fl_journal_stats stats;
};

/* ---- keys ---- */

static uint64_t key_of(const struct fl_frame *f)
{
	struct {
		uint8_t boot[16];
		uint32_t epoch, window, part, pad;
		char interface[24];
	} k = {.epoch = f->window.epoch, .window = f->window.window, .part = f->window.part};
	uint64_t h;

	memcpy(k.boot, f->window.boot_id, sizeof k.boot);
	memcpy(k.interface, f->eni.interface_id, sizeof f->eni.interface_id);
	h = fl_hash_bytes(&k, sizeof k, 0x666c6f776c6f67);
	return h ? h : 1;
}

static bool keys_have(const struct keys *k, uint64_t key)
{
	for (size_t i = key & (k->cap - 1); k->cap && k->slot[i]; i = (i + 1) & (k->cap - 1))
		if (k->slot[i] == key)
			return true;
	return false;
}

static void keys_put(struct keys *k, uint64_t key)
{
	size_t i = key & (k->cap - 1);

	while (k->slot[i] && k->slot[i] != key)
		i = (i + 1) & (k->cap - 1);
	k->n += !k->slot[i];
	k->slot[i] = key;
}

static int keys_add(struct keys *k, uint64_t key)
{
	if (2 * k->n >= k->cap) {
		struct keys grown = {.cap = FL_MAX(k->cap * 2, (size_t)256)};

		grown.slot = calloc(grown.cap, sizeof *grown.slot);
		if (!grown.slot)
			return fl_fail(-ENOMEM, "journal: no memory for %zu keys", grown.cap);
		for (size_t i = 0; i < k->cap; i++)
			if (k->slot[i])
				keys_put(&grown, k->slot[i]);
		free(k->slot);
		*k = grown;
	}
	keys_put(k, key);
	return 0;
}

static void keys_clear(struct keys *k)
{
	free(k->slot);
	*k = (struct keys){0};
}

/* ---- walking a segment ---- */

struct walk {
	const uint8_t *map;
	uint64_t number, size, at; /* at: the record that follows */
};

static int walk_open(struct walk *w, const struct segment *s)
{
	*w = (struct walk){.number = s->number, .size = s->size, .at = DATA};
	w->map = mmap(NULL, s->size, PROT_READ, MAP_SHARED, s->fd, 0);
	return w->map == MAP_FAILED ? fl_fail(-errno, "journal: mapping a segment: %m") : 0;
}

static void walk_close(struct walk *w)
{
	munmap((void *)w->map, w->size);
}

/* The next record; NULL: none that is valid. */
static const struct fl_rec *walk_next(struct walk *w, struct fl_cursor *ret_payload)
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

static int write_all_at(int fd, const void *data, size_t n, uint64_t at)
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
	*s = (struct segment){.file = i, .fd = openat(j->dirfd, name, O_RDWR | O_CLOEXEC | (create ? O_CREAT : 0), 0640)};
	if (s->fd < 0)
		return errno == ENOENT ? 1 : fl_fail(-errno, "journal/%s: %m", name);
	if (fstat(s->fd, &st)) {
		r = fl_fail(-errno, "journal/%s: %m", name);
		fl_closep(&s->fd);
		return r;
	}
	s->size = (uint64_t)st.st_size;
	s->number = fl_segment_number(s->fd);
	/* One that is not in use may be of another size: made by an earlier configuration, or its making was interrupted. */
	if (!s->number && s->size != j->segment_bytes) {
		r = ftruncate(s->fd, 0) ? errno : posix_fallocate(s->fd, 0, (off_t)j->segment_bytes);
		if (r) {
			fl_closep(&s->fd);
			unlinkat(j->dirfd, name, 0);
			return fl_fail(-r, "journal/%s: reserving %" PRIu64 " bytes: %s; set a smaller journal size or make room", name,
				       j->segment_bytes, strerror(r));
		}
		s->size = j->segment_bytes;
	}
	if (s->size < FL_SEGMENT_MIN || s->size > FL_SEGMENT_MAX) {
		fl_closep(&s->fd);
		return fl_fail(-EBADMSG, "journal/%s: %" PRIu64 " bytes is no size of a segment", name, s->size);
	}
	s->end = DATA;
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
	uint64_t tail;	   /* where the next record goes */
	bool in_frame;	   /* a frame's pieces are not complete */
	uint16_t piece;
	unsigned begin_seg; /* of that frame */
	uint64_t begin;
};

static int scan_frame(struct segment *s, struct fl_cursor payload)
{
	struct fl_frame f;
	int r = fl_frame_get(&payload, &f, NULL, NULL, false);

	return r ? r : keys_add(&s->keys, key_of(&f));
}

static int scan_segment(struct fl_journal *j, unsigned i, struct scan *sc)
{
	struct segment *s = &j->seg[i];
	struct fl_cursor payload;
	const struct fl_rec *rec;
	struct walk w;
	uint64_t at;
	int r = walk_open(&w, s);

	if (r)
		return r;
	for (at = w.at; !r && (rec = walk_next(&w, &payload)); at = w.at) {
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
	walk_close(&w);
	return r;
}

static int publish(struct fl_journal *j)
{
	int r = fl_head_write(j->headfd, j->committed);

	if (!r && fdatasync(j->headfd))
		r = fl_fail(-errno, "journal/head: %m");
	return r;
}

static int free_segment(struct fl_journal *j, unsigned i)
{
	static const struct fl_segment_head none;

	j->number_floor = FL_MAX(j->number_floor, j->seg[i].number);
	j->seg[i].number = 0;
	keys_clear(&j->seg[i].keys);
	return write_all_at(j->seg[i].fd, &none, sizeof none, 0);
}

static int next_segment(struct fl_journal *j);

/* Everything behind the tail is not there: it never was acknowledged. */
static int cut_tail(struct fl_journal *j, const struct scan *sc)
{
	static const struct fl_rec zero;
	struct fl_position published;
	struct segment *s = &j->seg[sc->tail_seg];
	int r = 0;

	for (unsigned i = sc->tail_seg + 1; !r && i < j->n; i++)
		r = free_segment(j, i);
	j->current = sc->tail_seg;
	s->end = sc->tail;
	if (!r)
		r = fl_head_read(j->dirfd, &published) == -ENOMEM ? -ENOMEM : 0;
	if (r)
		return r;
	if (published.segment >= s->number && (published.segment > s->number || published.offset > s->end)) {
		/* Not a torn tail: what was committed is damaged. Readers are told when they come to it. */
		j->committed = published;
		j->number_floor = FL_MAX(j->number_floor, published.segment);
		r = next_segment(j);
	} else {
		r = write_all_at(s->fd, &zero, sizeof zero, s->end);
	}
	if (!r && fdatasync(j->seg[j->current].fd))
		r = fl_fail(-errno, "journal: %m");
	return r ? r : publish(j);
}

static int repair(struct fl_journal *j)
{
	struct scan sc = {.tail = DATA};
	unsigned first = 0;
	int r = 0;

	while (first < j->n && !j->seg[first].number)
		first++;
	if (first == j->n) {
		/* Numbers begin with the time, so that a cursor of a journal that was deleted is never ahead of its successor. */
		j->number_floor = (fl_now_ns(&fl_clock_system) / FL_NS_PER_S) << 20;
		j->current = UINT32_MAX;
		r = next_segment(j);
		j->committed = r ? j->committed : (struct fl_position){j->seg[j->current].number, j->seg[j->current].end};
		return r ? r : publish(j);
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
		return fl_fail(-EINVAL, "journal: %" PRIu64 " bytes in segments of %" PRIu64 ": at least two segments of %u bytes to 1 GiB",
			       conf->quota_bytes, segment, FL_SEGMENT_MIN);
	j = calloc(1, sizeof *j);
	if (!j)
		return -ENOMEM;
	j->buf = FL_BUF(BUFFER_MAX);
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
		keys_clear(&(*j)->seg[i].keys);
	}
	fl_buf_free(&(*j)->buf);
	fl_drops_free(&(*j)->drops);
	fl_closep(&(*j)->headfd);
	fl_closep(&(*j)->dirfd);
	free(*j);
	*j = NULL;
}

/* ---- recycling ---- */

struct drop_pass {
	struct fl_drop *drop;
	size_t n, cap;
	struct fl_position cursor[FL_CURSORS_MAX];
	size_t n_cursors;
};

/* Between which cursors a position lies: what one has read and another has not is told apart. */
static size_t region_of(const struct drop_pass *p, struct fl_position at)
{
	size_t i = 0;

	while (i < p->n_cursors && fl_position_cmp(p->cursor[i], at) <= 0)
		i++;
	return i;
}

static int drop_frame(struct drop_pass *p, const struct fl_frame *f, struct fl_position from, struct fl_position to, bool unread)
{
	struct fl_drop *d = NULL;

	/* The same interfaces come again in every window, so the search begins at the newest. */
	for (size_t i = p->n; i-- > 0;)
		if (!strcmp(p->drop[i].eni.interface_id, f->eni.interface_id)) {
			d = region_of(p, p->drop[i].from) == region_of(p, from) ? &p->drop[i] : NULL;
			break;
		}
	if (!d) {
		if (p->n == p->cap) {
			size_t cap = FL_MAX(p->cap * 2, (size_t)64);
			struct fl_drop *grown = realloc(p->drop, cap * sizeof *grown);

			if (!grown)
				return fl_fail(-ENOMEM, "journal: no memory for %zu dropped spans", cap);
			p->drop = grown;
			p->cap = cap;
		}
		d = &p->drop[p->n++];
		*d = (struct fl_drop){.from = from, .start = f->window.start, .end = f->window.start, .eni = f->eni, .unread = unread};
	}
	d->to = to;
	d->start = FL_MIN(d->start, f->window.start);
	d->end = FL_MAX(d->end, f->window.start + f->window.length);
	d->frames++;
	d->flows += f->n_flows;
	for (unsigned i = 0; i < FL_DIR_N; i++) {
		d->recorded[i].packets += f->ledger[i].recorded.packets;
		d->recorded[i].bytes += f->ledger[i].recorded.bytes;
	}
	return 0;
}

/* What recycling this segment takes away: into the list for readers, and counted where a consumer had not read it. */
static int account_drop(struct fl_journal *j, const struct segment *s)
{
	struct drop_pass p = {0};
	struct fl_cursor payload;
	const struct fl_rec *rec;
	struct walk w;
	int r = fl_cursors_list(j->dirfd, p.cursor, &p.n_cursors);

	if (!r)
		r = walk_open(&w, s);
	if (r)
		return r;
	for (uint64_t at = w.at; !r && at < s->end && (rec = walk_next(&w, &payload)); at = w.at) {
		struct fl_position from = {s->number, at}, to = {s->number, w.at};
		bool unread = !p.n_cursors || fl_position_cmp(p.cursor[0], from) <= 0;
		struct fl_frame f;

		if (rec->type == FL_REC_COMMIT)
			j->stats.dropped_windows += unread;
		if (rec->type != FL_REC_FRAME || fl_frame_get(&payload, &f, NULL, NULL, false))
			continue;
		j->stats.dropped_flows += unread ? f.n_flows : 0;
		r = drop_frame(&p, &f, from, to, unread);
	}
	walk_close(&w);
	for (size_t i = 0; !r && i < p.n; i++)
		r = fl_drops_add(&j->drops, &p.drop[i]);
	free(p.drop);
	return r;
}

/* Header and list of drops go out in one write: a reader sees both or neither. */
static int start_segment(struct fl_journal *j, struct segment *s, uint64_t number)
{
	struct fl_buf *b = &j->buf;
	struct fl_segment_head h;
	struct fl_rec rec = {.type = FL_REC_DROPPED};
	size_t span;
	int r;

	fl_segment_head_init(&h, number, s->size);
	fl_buf_reset(b);
	r = fl_buf_add(b, &h, sizeof h);
	if (!r)
		r = fl_buf_add(b, &rec, sizeof rec);
	if (!r)
		r = fl_drops_put(&j->drops, b);
	if (!r)
		r = fl_buf_reserve(b, 8 + TRAILER);
	if (r)
		return r;
	rec.len = (uint32_t)(b->len - DATA - sizeof rec);
	rec.crc = fl_rec_crc(number, DATA, &rec, b->data + DATA + sizeof rec);
	memcpy(b->data + DATA, &rec, sizeof rec);
	span = FL_REC_SPAN(rec.len);
	memset(b->data + b->len, 0, DATA + span + TRAILER - b->len);
	r = write_all_at(s->fd, b->data, DATA + span + TRAILER, 0);
	if (r)
		return r;
	keys_clear(&s->keys);
	s->number = number;
	s->end = DATA + span;
	return 0;
}

static int next_segment(struct fl_journal *j)
{
	uint64_t number = j->number_floor;
	struct segment *s = NULL;
	int r = 0;

	for (unsigned i = 0; i < j->n; i++) {
		number = FL_MAX(number, j->seg[i].number);
		if (i != j->current && (!s || j->seg[i].number < s->number))
			s = &j->seg[i];
	}
	if (s->number)
		r = account_drop(j, s);
	if (!r)
		r = start_segment(j, s, number + 1);
	if (!r)
		j->current = (unsigned)(s - j->seg);
	return r;
}

/* ---- appending ---- */

/* j->buf holds room for a header, then the payload. Written at the segment's end, which the caller has made sure of. */
static int write_record(struct fl_journal *j, struct fl_rec rec)
{
	struct segment *s = &j->seg[j->current];
	size_t span;
	int r = fl_buf_reserve(&j->buf, 8 + TRAILER);

	if (r)
		return r;
	rec.len = (uint32_t)(j->buf.len - sizeof rec);
	rec.crc = fl_rec_crc(s->number, s->end, &rec, j->buf.data + sizeof rec);
	memcpy(j->buf.data, &rec, sizeof rec);
	span = FL_REC_SPAN(rec.len);
	memset(j->buf.data + j->buf.len, 0, span + TRAILER - j->buf.len);
	r = write_all_at(s->fd, j->buf.data, FL_MIN((uint64_t)span + TRAILER, s->size - s->end), s->end);
	if (!r)
		s->end += span;
	return r;
}

/* Makes room for n payload bytes: at the end of this segment there is always room for an end mark. */
static int make_room(struct fl_journal *j, size_t n)
{
	struct segment *s = &j->seg[j->current];
	struct fl_rec end = {.type = FL_REC_END};
	int r;

	if (s->end + FL_REC_SPAN(n) + sizeof end <= s->size)
		return 0;
	end.crc = fl_rec_crc(s->number, s->end, &end, "");
	r = write_all_at(s->fd, &end, sizeof end, s->end);
	/* What it holds is as durable as a commit needs it before the next one is begun. */
	if (!r && fdatasync(s->fd))
		r = fl_fail(-errno, "journal: %m");
	return r ? r : next_segment(j);
}

static int append_pieces(struct fl_journal *j, const struct fl_frame *frame)
{
	size_t at = 0, to = 0;
	struct fl_rec rec = {.type = FL_REC_FRAME};
	struct fl_buf piece;
	int r;

	do {
		fl_buf_reset(&j->buf);
		r = fl_buf_add(&j->buf, &rec, sizeof rec);
		if (!r)
			r = fl_frame_put(frame, at, j->piece_max, &j->buf, &to);
		if (r)
			return r;
		if (j->seg[j->current].end + FL_REC_SPAN(j->buf.len - sizeof rec) + sizeof rec > j->seg[j->current].size) {
			/* next_segment uses the buffer. */
			piece = j->buf;
			j->buf = FL_BUF(BUFFER_MAX);
			r = make_room(j, piece.len - sizeof rec);
			fl_buf_free(&j->buf);
			j->buf = piece;
			if (r)
				return r;
		}
		rec.more = to < frame->n_flows;
		r = write_record(j, rec);
		if (r)
			return r;
		j->stats.bytes += j->buf.len;
		at = to;
		if (rec.piece == UINT16_MAX)
			return fl_fail(-E2BIG, "journal: a frame of %zu flows is longer than %u pieces", frame->n_flows, UINT16_MAX);
		rec.piece++;
	} while (at < frame->n_flows);
	return 0;
}

int fl_journal_append(struct fl_journal *j, const struct fl_frame *frame)
{
	struct segment *s = &j->seg[j->current];
	struct fl_position before = {s->number, s->end};
	uint64_t key = key_of(frame);
	unsigned current = j->current;
	int r;

	for (unsigned i = 0; i < j->n; i++)
		if (j->seg[i].number && keys_have(&j->seg[i].keys, key))
			return FL_JOURNAL_DUPLICATE;
	r = append_pieces(j, frame);
	if (!r)
		r = keys_add(&j->seg[j->current].keys, key);
	if (r) {
		/* As if nothing had been written: the next append overwrites the pieces. */
		static const struct fl_rec zero;

		if (j->current != current && j->seg[current].number == before.segment)
			for (unsigned i = 0; i < j->n; i++)
				if (j->seg[i].number > before.segment && free_segment(j, i))
					break;
		if (j->seg[current].number == before.segment) {
			j->current = current;
			j->seg[current].end = before.offset;
			(void)pwrite(j->seg[current].fd, &zero, sizeof zero, (off_t)before.offset);
		}
		return fl_wrap(r, "journal: window %u of %s", frame->window.window, frame->eni.interface_id);
	}
	j->stats.frames++;
	j->stats.flows += frame->n_flows;
	j->since_commit = true;
	return 0;
}

int fl_journal_commit(struct fl_journal *j, uint32_t window, int64_t start, uint32_t length)
{
	struct fl_commit c = {.window = window, .start = start, .length = length};
	struct segment *s;
	int r;

	/* The same window again with nothing new: a restart between commit and what follows it. */
	if (!j->since_commit && !memcmp(&c, &j->last_commit, sizeof c))
		return 0;
	r = make_room(j, sizeof c);
	if (r)
		return r;
	fl_buf_reset(&j->buf);
	r = fl_buf_add(&j->buf, &(struct fl_rec){0}, sizeof(struct fl_rec));
	if (!r)
		r = fl_buf_add(&j->buf, &c, sizeof c);
	if (!r)
		r = write_record(j, (struct fl_rec){.type = FL_REC_COMMIT});
	s = &j->seg[j->current];
	if (!r && fdatasync(s->fd))
		r = fl_fail(-errno, "journal: %m");
	if (r)
		return fl_wrap(r, "journal: end of window %u", window);
	j->committed = (struct fl_position){s->number, s->end};
	j->last_commit = c;
	j->since_commit = false;
	return publish(j);
}

/* ---- statistics ---- */

/* Start of the first frame that the slowest consumer has not read; 0 when all is read. */
static int64_t oldest_unread(const struct fl_journal *j)
{
	struct fl_position cursor[FL_CURSORS_MAX], oldest = {0};
	struct fl_reader *r = NULL;
	struct fl_frame f;
	size_t n;
	int64_t start = 0;

	if (fl_cursors_list(j->dirfd, cursor, &n))
		return 0;
	if (n)
		oldest = cursor[0];
	if (fl_position_cmp(oldest, j->committed) >= 0 || fl_reader_open(&r, j->dirfd, oldest))
		return 0;
	if (fl_reader_skim(r, &f) > 0)
		start = f.window.start;
	fl_reader_close(&r);
	return start;
}

void fl_journal_stats(const struct fl_journal *j, struct fl_journal_stats *ret)
{
	*ret = j->stats;
	ret->oldest_unread_s = (uint64_t)oldest_unread(j);
}
