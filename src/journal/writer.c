/* SPDX-License-Identifier: Apache-2.0 */
/* The journal's one writer: append, commit, recycle. */
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

#define TRAILER sizeof(struct fl_rec) /* a zero header behind the last record: ends the scan */

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

static int drop_frame(struct drop_pass *p, const struct fl_frame *f, struct fl_position from, struct fl_position to,
		      bool unread)
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
		*d = (struct fl_drop){
		    .from = from, .start = f->window.start, .end = f->window.start, .eni = f->eni, .unread = unread};
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

/* What recycling this segment takes away: into the list for readers, and counted where a consumer
 * had not read it. */
static int account_drop(struct fl_journal *j, const struct segment *s)
{
	struct drop_pass p = {0};
	struct fl_cursor payload;
	const struct fl_rec *rec;
	struct walk w;
	int r = fl_cursors_list(j->dirfd, p.cursor, &p.n_cursors);

	if (!r)
		r = fl_walk_open(&w, s);
	if (r)
		return r;
	for (uint64_t at = w.at; !r && at < s->end && (rec = fl_walk_next(&w, &payload)); at = w.at) {
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
	fl_walk_close(&w);
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
	rec.len = (uint32_t)(b->len - FL_SEGMENT_DATA - sizeof rec);
	rec.crc = fl_rec_crc(number, FL_SEGMENT_DATA, &rec, b->data + FL_SEGMENT_DATA + sizeof rec);
	memcpy(b->data + FL_SEGMENT_DATA, &rec, sizeof rec);
	span = FL_REC_SPAN(rec.len);
	memset(b->data + b->len, 0, FL_SEGMENT_DATA + span + TRAILER - b->len);
	r = fl_write_all_at(s->fd, b->data, FL_SEGMENT_DATA + span + TRAILER, 0);
	if (r)
		return r;
	fl_keys_clear(&s->keys);
	s->number = number;
	s->end = FL_SEGMENT_DATA + span;
	return 0;
}

int fl_segment_next(struct fl_journal *j)
{
	uint64_t number = j->number_floor;
	struct segment *s = NULL;
	int r = 0;

	for (unsigned i = 0; i < j->n; i++) {
		number = FL_MAX(number, j->seg[i].number);
		if (i != j->current && (!s || j->seg[i].number < s->number))
			s = &j->seg[i];
	}
	if (!s)
		return fl_fail(-EINVAL, "the journal has one segment, at least two are needed");
	if (s->number)
		r = account_drop(j, s);
	if (!r)
		r = start_segment(j, s, number + 1);
	if (!r)
		j->current = (unsigned)(s - j->seg);
	return r;
}

/* ---- appending ---- */

/* j->buf holds room for a header, then the payload. Written at the segment's end, which the caller
 * has made sure of. */
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
	r = fl_write_all_at(s->fd, j->buf.data, FL_MIN((uint64_t)span + TRAILER, s->size - s->end), s->end);
	if (!r)
		s->end += span;
	return r;
}

/* Makes room for n payload bytes: at the end of this segment there is always room for an end mark.
 */
static int make_room(struct fl_journal *j, size_t n)
{
	struct segment *s = &j->seg[j->current];
	struct fl_rec end = {.type = FL_REC_END};
	int r;

	if (s->end + FL_REC_SPAN(n) + sizeof end <= s->size)
		return 0;
	end.crc = fl_rec_crc(s->number, s->end, &end, "");
	r = fl_write_all_at(s->fd, &end, sizeof end, s->end);
	/* What it holds is as durable as a commit needs it before the next one is begun. */
	if (!r && fdatasync(s->fd))
		r = fl_fail(-errno, "journal: %m");
	return r ? r : fl_segment_next(j);
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
		if (j->seg[j->current].end + FL_REC_SPAN(j->buf.len - sizeof rec) + sizeof rec >
		    j->seg[j->current].size) {
			/* next_segment uses the buffer. */
			piece = j->buf;
			j->buf = FL_BUF(FL_BUFFER_MAX);
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
			return fl_fail(-E2BIG, "journal: a frame of %zu flows is longer than %u pieces", frame->n_flows,
				       UINT16_MAX);
		rec.piece++;
	} while (at < frame->n_flows);
	return 0;
}

int fl_journal_append(struct fl_journal *j, const struct fl_frame *frame)
{
	struct segment *s = &j->seg[j->current];
	struct fl_position before = {s->number, s->end};
	uint64_t key = fl_frame_key(frame);
	unsigned current = j->current;
	int r;

	for (unsigned i = 0; i < j->n; i++)
		if (j->seg[i].number && fl_keys_have(&j->seg[i].keys, key))
			return FL_JOURNAL_DUPLICATE;
	r = append_pieces(j, frame);
	if (!r)
		r = fl_keys_add(&j->seg[j->current].keys, key);
	if (r) {
		/* As if nothing had been written: the next append overwrites the pieces. */
		static const struct fl_rec zero;

		if (j->current != current && j->seg[current].number == before.segment)
			for (unsigned i = 0; i < j->n; i++)
				if (j->seg[i].number > before.segment && fl_segment_free(j, i))
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
	return fl_journal_publish(j);
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
