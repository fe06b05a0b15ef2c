/* SPDX-License-Identifier: Apache-2.0 */
/* Text: of plain files by ranges, of packed ones and of pipes from their beginning. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "scan/set.h"

#define WAIT_MS 100 /* for a pipe, before somebody is asked whether to stop */

/* ---- lines of text, wherever they come from ---- */

static void tell(void *ctx, uint64_t line, const char *what)
{
	struct fl_scan_reader *r = ctx;
	char text[FL_SCAN_PATHS_MAX + 512];

	line += r->line_base ? r->line_base(r) : 0;
	if (r->no_lines)
		snprintf(text, sizeof text, "%s: %s", r->path, what);
	else
		snprintf(text, sizeof text, "%s:%llu: %s", r->path, (unsigned long long)line, what);
	fl_scan_add_fault(r->s, text);
}

int fl_lines_begin(struct fl_scan_reader *r, const struct fl_format *format, enum fl_lines_of of, const char *version)
{
	struct fl_str constant[FL_BATCH_COLUMNS] = {0};
	struct fl_text_want want = {
	    .batch = r->batch,
	    .constant = constant,
	    .filter = r->pass->bound,
	    .of_filter = r->pass->of_filter,
	    .literals = r->pass->literal,
	    .n_literals = r->pass->n_literals,
	    .fault = tell,
	    .ctx = r,
	};
	int result = r->text ? 0 : fl_text_new(&r->text, r->s->conf.kernel);

	for (uint32_t i = 0; i < r->batch->n_columns; i++) {
		const struct fl_column_def *d = &r->batch->column[i].def;

		if (d->own == FL_OWN_SOURCE)
			constant[i] = (struct fl_str){r->path, strlen(r->path)};
		else if (of != FL_LINES_OWN && d->own == FL_OWN_PROVISIONAL)
			constant[i] = (struct fl_str){"0", 1};
		else if (version && !strcmp(d->name, "version"))
			constant[i] = (struct fl_str){version, strlen(version)};
	}
	r->no_lines = of != FL_LINES_READ;
	return result ? result : fl_text_begin(r->text, format, &want);
}

void fl_lines_end(struct fl_scan_reader *r)
{
	const struct fl_text_counts *c = r->text ? fl_text_counts(r->text) : NULL;

	if (!c)
		return;
	r->report.records += c->records;
	r->report.malformed += c->malformed;
	r->report.bad_values += c->bad_values;
}

/* ---- files ---- */

struct text {
	struct fl_unit *unit;
	const char *data;
	size_t n, at, told;     /* told: bytes of a pipe's head that were handed out */
	bool open, last;        /* a block is; it is the last one */
	uint64_t counted, base; /* bytes stored that the report has; lines before a range, 0: not counted yet */
	struct fl_scan_reader *r;
};

static void close_text(struct fl_scan_reader *r, void *state)
{
	fl_lines_end(r);
	r->line_base = NULL;
	free(state);
}

/* Of a pipe: what was looked at, then what comes. */
static ssize_t read_pipe(void *ctx, void *buf, size_t n)
{
	struct text *t = ctx;
	struct fl_opened *o = t->unit->opened;
	struct pollfd ready = {.fd = o->fd, .events = POLLIN};
	ssize_t got;

	if (t->told < o->n_head) {
		n = FL_MIN(n, o->n_head - t->told);
		memcpy(buf, o->head + t->told, n);
		t->told += n;
		fl_scan_add_bytes(t->r, n);
		return (ssize_t)n;
	}
	for (;;) {
		if (fl_scan_stopped(t->r->s))
			return fl_fail(-EINTR, FL_SCAN_STOPPED);
		if (poll(&ready, 1, WAIT_MS) <= 0)
			continue;
		got = read(o->fd, buf, n);
		if (got >= 0) {
			fl_scan_add_bytes(t->r, (uint64_t)got); /* at once: a block of it may be long in coming */
			return got;
		}
		if (errno != EINTR && errno != EAGAIN)
			return fl_fail(-errno, "%m");
	}
}

/* Lines before the range: those that end before it, and the one that goes over into it. */
static uint64_t lines_before(struct fl_scan_reader *r)
{
	struct text *t = r->state;
	uint64_t at = 0, end = t->unit->from - 1;
	char block[65536];

	if (t->base)
		return t->base;
	t->base = 1;
	while (at < end) {
		ssize_t n = pread(t->unit->opened->fd, block, FL_MIN(sizeof block, end - at), (off_t)at);

		if (n <= 0)
			break;
		for (const char *p = block; (p = memchr(p, '\n', (size_t)(block + n - p))); p++)
			t->base++;
		at += (uint64_t)n;
	}
	return t->base;
}

static int open_text(struct fl_scan_reader *r, struct fl_unit *u, void **ret)
{
	struct fl_opened *o = u->opened;
	struct text *t = calloc(1, sizeof *t);
	int result = t ? fl_lines_begin(r, o->format, FL_LINES_READ, NULL) : -ENOMEM;

	if (!result && !r->blocks)
		result = fl_blocks_new(&r->blocks, 0);
	if (result) {
		free(t);
		return result;
	}
	t->unit = u;
	t->r = r;
	if (!o->regular)
		result = fl_blocks_open(r->blocks, &(struct fl_bytes){read_pipe, t});
	else if (o->packing)
		result = fl_blocks_open_fd(r->blocks, o->fd);
	else
		result = fl_blocks_open_part(r->blocks, o->fd, u->from, u->to);
	if (u->from)
		r->line_base = lines_before;
	*ret = t;
	return result;
}

/* A plain file whose end is not where it was. */
static int became_shorter(const struct fl_unit *u)
{
	struct stat st;

	if (!u->opened->regular || u->opened->packing || fstat(u->opened->fd, &st) || (uint64_t)st.st_size >= u->to)
		return 0;
	return fl_fail(-EIO, "the file became shorter while it was read");
}

static void count_bytes(struct fl_scan_reader *r, struct text *t)
{
	uint64_t stored = t->unit->opened->regular ? fl_blocks_stored(r->blocks) : 0; /* of a pipe: as it is read */

	fl_scan_add_bytes(r, stored - t->counted);
	t->counted = stored;
}

static int next_text(struct fl_scan_reader *r, void *state)
{
	struct text *t = state;
	size_t used = 0;
	int result;

	for (;;) {
		if (!t->open) {
			result = fl_blocks_next(r->blocks, &t->data, &t->n, &t->last);
			count_bytes(r, t);
			if (!result)
				result = became_shorter(t->unit);
			if (result <= 0)
				return fl_wrap(result, "%s", r->path);
			t->open = true;
			t->at = 0;
		}
		result = fl_text_next(r->text, t->data + t->at, t->n - t->at, t->last, &used);
		t->at += used;
		if (result)
			return result;
		t->open = false;
		if (fl_scan_stopped(r->s))
			return fl_fail(-EINTR, FL_SCAN_STOPPED);
	}
}

const struct fl_unit_ops fl_unit_text = {open_text, next_text, close_text};
