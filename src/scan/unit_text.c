/* SPDX-License-Identifier: Apache-2.0 */
/* Lines of text to the scanner of text. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "scan/set.h"

/* ---- lines of text, wherever they come from ---- */

void fl_lines_tell(void *ctx, uint64_t line, const char *what)
{
	struct fl_scan_reader *r = ctx;
	char text[FL_SCAN_PATHS_MAX + 512];

	line += r->feed ? fl_feed_lines_before(r->feed) : 0;
	if (r->no_lines)
		snprintf(text, sizeof text, "%s: %s", r->path, what);
	else
		snprintf(text, sizeof text, "%s:%llu: %s", r->path, (unsigned long long)line, what);
	fl_scan_add_fault(r->s, text);
}

bool fl_lines_lack(void *ctx, const char *column)
{
	const struct fl_format *format = ctx;
	struct fl_column_def d;

	fl_column_find(column, &d);
	for (size_t i = 0; i < fl_format_len(format); i++)
		if (fl_column_is_named(&d, fl_format_name(format, i)))
			return false;
	return !fl_column_is_beside(&d);
}

static enum fl_line_end line_end(void *ctx)
{
	return fl_feed_line_end(ctx);
}

static int find_lacking(void *ctx, const struct fl_format *format, const bool **ret)
{
	struct fl_scan_reader *r = ctx;
	bool hangs;
	int result = fl_unjudged_find(r, fl_lines_lack, (void *)(uintptr_t)format, &hangs);

	*ret = hangs ? r->lacks : NULL;
	return result;
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
	    .lacks = find_lacking,
	    .line_end = line_end,
	    .fault = fl_lines_tell,
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
	r->report.unjudged += c->unjudged;
}

/* ---- files ---- */

struct text {
	struct fl_feed feed;
	const char *data;
	size_t n, at;
	bool open, last; /* a block is; it is the last one */
};

static void close_text(struct fl_scan_reader *r, void *state)
{
	fl_lines_end(r);
	r->feed = NULL;
	free(state);
}

static int open_text(struct fl_scan_reader *r, struct fl_unit *u, void **ret)
{
	struct text *t = calloc(1, sizeof *t);
	int result = t ? fl_lines_begin(r, u->opened->format, FL_LINES_READ, NULL) : -ENOMEM;

	result = result ? result : fl_feed_open(&t->feed, r, u);
	if (result) {
		r->feed = NULL;
		free(t);
		return result;
	}
	*ret = t;
	return 0;
}

static int next_text(struct fl_scan_reader *r, void *state)
{
	struct text *t = state;
	size_t used = 0;
	int result;

	for (;;) {
		if (!t->open) {
			result = fl_feed_next(&t->feed, &t->data, &t->n, &t->last);
			if (result <= 0)
				return result;
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
