/* SPDX-License-Identifier: Apache-2.0 */
/* Text, line by line: of plain files by ranges, of packed ones from their beginning. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "capture/pcap_input.h"
#include "scan/set.h"

#define BLOCK (256u << 10)
#define LINE_MAX_BYTES (64u << 10) /* a longer line is no record */
_Static_assert(LINE_MAX_BYTES < BLOCK, "a line fits into a block");

struct text {
	struct fl_opened *opened;
	struct fl_input *input; /* packed, or a pipe; NULL: plain */
	uint64_t at;            /* plain: where the block begins in the file */
	uint64_t to;            /* plain: lines that begin before it */
	uint64_t number;        /* of the line; 0: not known */
	bool end, too_long;     /* too_long: in the middle of such a line */
	size_t from, have;
	char block[BLOCK];
};

static void close_text(void *state)
{
	struct text *t = state;

	fl_input_close(&t->input);
	free(t);
}

static int skip_bytes(struct text *t, size_t n)
{
	const uint8_t *p;
	size_t have;
	int r = fl_input_peek(t->input, n, &p, &have);

	fl_input_advance(t->input, have);
	return r;
}

static int open_text(struct fl_scan_reader *r, struct fl_unit *u, void **ret)
{
	struct fl_opened *o = u->opened;
	struct text *t = malloc(sizeof *t);
	int result = 0;

	if (!t)
		return -ENOMEM;
	memset(t, 0, offsetof(struct text, block));
	t->opened = o;
	fl_lines_begin(r, o->format);
	if (o->looked.packing || !o->regular) {
		t->number = 1 + (o->data_at > 0);
		result = fl_input_open_fd(&t->input, dup(o->fd), o->path, o->head, o->n_head);
		if (!result)
			result = skip_bytes(t, o->data_at);
	} else {
		t->to = u->to;
		t->at = FL_MAX(u->from, (uint64_t)o->data_at);
		if (t->at > o->data_at)
			t->at--; /* a line that begins here is ours */
		else
			t->number = 1 + (o->data_at > 0);
		t->too_long = t->at > o->data_at; /* passed over up to the next line */
	}
	if (result) {
		close_text(t);
		return result;
	}
	*ret = t;
	return 0;
}

static int fill(struct text *t)
{
	char *p = t->block + t->have;
	size_t room = BLOCK - t->have;
	const uint8_t *from;
	size_t n = 0;
	ssize_t got;
	int r = 0;

	if (t->input) {
		r = fl_input_peek(t->input, room, &from, &n);
		memcpy(p, from, n);
		fl_input_advance(t->input, n);
		t->end = n < room;
	} else {
		do
			got = pread(t->opened->fd, p, room, (off_t)(t->at + t->have));
		while (got < 0 && errno == EINTR);
		if (got < 0)
			return fl_fail(-errno, "%s: %m", t->opened->path);
		n = (size_t)got;
		t->end = !n;
		if (t->end && t->at + t->have < t->to)
			r = fl_fail(-EIO, "%s: the file became shorter while it was read", t->opened->path);
	}
	t->have += n;
	return r;
}

/* The block begins with what is not done yet. */
static void shift(struct text *t)
{
	memmove(t->block, t->block + t->from, t->have - t->from);
	t->at += t->from;
	t->have -= t->from;
	t->from = 0;
}

/* One line at t->from of n bytes. */
static void take(struct fl_scan_reader *r, struct text *t, size_t n)
{
	if (t->too_long)
		t->too_long = false;
	else
		fl_lines_put(r, t->block + t->from, n, t->number, t->at + t->from);
	t->number += t->number > 0;
}

static int next_text(struct fl_scan_reader *r, void *state)
{
	struct text *t = state;
	int result = 0;

	while (r->batch->n < FL_BATCH_ROWS) {
		const char *line = t->block + t->from, *end = memchr(line, '\n', t->have - t->from);

		if (!t->input && t->at + t->from >= t->to)
			return 0;
		if (end) {
			take(r, t, (size_t)(end - line));
			t->from = (size_t)(end - t->block) + 1;
			continue;
		}
		if (t->end || result) {
			if (t->from < t->have && !result)
				take(r, t, t->have - t->from);
			t->from = t->have;
			return result;
		}
		if (r->batch->n)
			return 1; /* the rows' text must stay where it is */
		if (t->have - t->from > LINE_MAX_BYTES) {
			if (!t->too_long)
				fl_lines_put(r, line, t->have - t->from, t->number, t->at + t->from);
			t->too_long = true;
			t->from = t->have;
		}
		shift(t);
		result = fill(t);
	}
	return 1;
}

const struct fl_unit_ops fl_unit_text = {open_text, next_text, close_text};
