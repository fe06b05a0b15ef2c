/* SPDX-License-Identifier: Apache-2.0 */
/* A store's frames beyond its delivered files: as the lines that delivery will write. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "scan/set.h"

#define TEXT_MAX ((size_t)FL_BATCH_ROWS * FL_RECORD_MAX)

struct journal {
	struct fl_store *store;
	struct fl_format *format;
	struct fl_encoder *encoder;
	struct fl_store_writer *writer;
	struct fl_frame frame;
	bool open;   /* a frame is being handed out */
	size_t next; /* of its flows; n_flows: what it says of itself, then done */
	struct fl_buf text;
	size_t end[FL_BATCH_ROWS]; /* of each line */
	size_t n;
	char *damage; /* what was told last */
	/* Our own columns beside each record, when some of them are wanted; text of the frame. */
	struct fl_verdict_values *verdict;
	struct fl_column *column[FL_VERDICT_COLUMNS];
};

static void close_journal(void *state)
{
	struct journal *j = state;

	fl_store_writer_free(&j->writer);
	fl_encoder_free(&j->encoder);
	fl_format_free(&j->format);
	fl_buf_free(&j->text);
	free(j->verdict);
	free(j->damage);
	free(j);
}

static int begin_verdicts(struct fl_scan_reader *r, struct journal *j)
{
	bool wanted = false;

	for (uint32_t k = 0; k < r->batch->n_columns; k++)
		for (size_t i = 0; i < FL_VERDICT_COLUMNS; i++)
			if (r->batch->column[k].def.own &&
			    !strcmp(r->batch->column[k].def.name, fl_verdict_sql_columns[i])) {
				j->column[i] = &r->batch->column[k];
				r->set[k / 64] |= UINT64_C(1) << (k % 64);
				wanted = true;
			}
	if (!wanted)
		return 0;
	j->verdict = calloc(FL_BATCH_ROWS, sizeof *j->verdict);
	return j->verdict ? 0 : -ENOMEM;
}

static void put_verdict(const struct journal *j, size_t i, uint32_t row)
{
	for (size_t k = 0; j->verdict && k < FL_VERDICT_COLUMNS; k++) {
		const char *value = *j->verdict[i].value[k] ? j->verdict[i].value[k] : "-";

		if (j->column[k])
			fl_column_set_text(j->column[k], row, value, strlen(value));
	}
}

static int open_journal(struct fl_scan_reader *r, struct fl_unit *u, void **ret)
{
	struct journal *j = calloc(1, sizeof *j);
	int result;

	if (!j)
		return -ENOMEM;
	j->text = FL_BUF(TEXT_MAX);
	j->store = r->s->store[u->store];
	result = fl_store_rewind(j->store);
	if (!result)
		result = fl_format_parse(&j->format, fl_format_kind_of(fl_store_log(j->store)->format),
					 fl_store_log(j->store)->format);
	if (!result)
		result = fl_encoder_new(&j->encoder, j->format, FL_OUTPUT_TEXT);
	if (!result)
		result = fl_store_writer_new(&j->writer, j->store, j->format, j->encoder);
	if (result) {
		close_journal(j);
		return result;
	}
	fl_lines_begin(r, j->format);
	result = begin_verdicts(r, j);
	if (result) {
		close_journal(j);
		return result;
	}
	*ret = j;
	return 0;
}

static int on_record(void *ctx, const struct fl_frame *frame, const struct fl_record *record)
{
	struct journal *j = ctx;
	int r = fl_store_writer_record(j->writer, frame, record, &j->text);

	if (j->verdict)
		fl_frame_verdict(frame, record, &j->verdict[j->n]);
	j->end[j->n++] = j->text.len;
	return r;
}

/* Some of the frame's flows; with the last of them what it says of itself. */
static int take_flows(struct journal *j)
{
	size_t n = j->frame.flows ? FL_MIN(j->frame.n_flows - j->next, (size_t)FL_BATCH_ROWS - 1 - j->n) : 0;
	struct fl_frame part = j->frame;
	bool last = j->next + n == (j->frame.flows ? j->frame.n_flows : 0);

	part.flows = j->frame.flows ? j->frame.flows + j->next : NULL;
	part.n_flows = j->frame.flows ? n : j->frame.n_flows;
	if (!last)
		part.window.flags &= ~FL_WINDOW_SKIPDATA;
	/* A frame whose flows came in parts is not empty. */
	if (j->next)
		part.window.flags |= FL_WINDOW_SILENT;
	j->next += n;
	j->open = !last;
	return fl_frame_records(&part, on_record, j);
}

/* After a damaged place the reader goes on with the next segment; a damaged snapshot it does not pass. */
static int next_frame(struct fl_scan_reader *r, struct journal *j)
{
	int got;

	while ((got = fl_store_next_frame(j->store, r->s->conf.open_window, &j->frame)) == -EBADMSG) {
		const char *text = fl_error_text(got);

		if (j->damage && !strcmp(j->damage, text))
			return 0;
		free(j->damage);
		j->damage = strdup(text);
		if (!j->damage)
			return -ENOMEM;
		fl_scan_add_fault(r->s, j->damage);
		r->report.damaged_files++;
	}
	return got;
}

/* The next frame or gap. Rows of a batch share what is said beside the record, so a batch is of one frame. */
static int begin_frame(struct fl_scan_reader *r, struct journal *j)
{
	uint32_t told = FL_WINDOW_VERDICTS | FL_WINDOW_POLICY;
	int got;

	do
		got = next_frame(r, j);
	while (got == FL_READER_WINDOW_END);
	if (got <= 0)
		return got;
	j->open = true;
	j->next = 0;
	told &= j->frame.window.flags;
	r->report.verdicts_observed |= told != 0;
	r->provisional = j->frame.window.flags & FL_WINDOW_PROVISIONAL;
	got = fl_store_writer_frame(j->writer, &j->frame);
	return got ? got : 1;
}

static int next_journal(struct fl_scan_reader *r, void *state)
{
	struct journal *j = state;
	int result = j->open ? 1 : begin_frame(r, j);
	size_t from = 0;

	if (result <= 0)
		return result;
	fl_buf_reset(&j->text);
	j->n = 0;
	result = take_flows(j);
	for (size_t i = 0; !result && i < j->n; from = j->end[i++]) {
		uint32_t row = r->batch->n;

		fl_lines_put(r, j->text.data + from, j->end[i] - from - 1, 0, 0);
		if (r->batch->n > row)
			put_verdict(j, i, row);
	}
	return result ? result : 1;
}

const struct fl_unit_ops fl_unit_journal = {open_journal, next_journal, close_journal};
