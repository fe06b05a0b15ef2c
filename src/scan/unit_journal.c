/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A store's frames beyond its delivered files: as the lines that delivery will write, with what is known beside the
 * record behind them. So a row reads the same before and after delivery.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "scan/set.h"

#define BLOCK_FULL (256u << 10)                                  /* then it is scanned */
#define BLOCK_MAX (BLOCK_FULL + 4 * FL_RECORD_MAX + FL_TEXT_PAD) /* a record more, and what stands behind it */
#define OWN_COLUMNS (FL_VERDICT_COLUMNS + 1)

struct journal {
	struct fl_store *store;
	struct fl_format *format;  /* the flow log's, then our own columns */
	struct fl_format *encoded; /* what of them is encoded */
	struct fl_encoder *encoder;
	struct fl_store_writer *writer;
	struct fl_frame frame;
	struct fl_buf text;
	size_t at, next; /* of text; of the frame's flows */
	bool frame_open, scanning, ended;
	char *damage; /* what was told last */
	int fault;
	char version[12]; /* "": the format has none */
};

static void free_journal(struct journal *j)
{
	fl_store_writer_free(&j->writer);
	fl_encoder_free(&j->encoder);
	fl_format_free(&j->encoded);
	fl_format_free(&j->format);
	fl_buf_free(&j->text);
	free(j->damage);
	free(j);
}

static void close_journal(struct fl_scan_reader *r, void *state)
{
	if (r->text)
		fl_lines_end(r);
	free_journal(state);
}

/* What the journal knows beyond the format, when it is asked for by name. */
static int add_asked(const struct fl_scan_reader *r, const struct fl_format *f, struct fl_buf *text)
{
	int result = fl_buf_adds(text, fl_format_text(f));

	for (uint32_t i = 0; !result && fl_format_kind(f) == FL_LOG_VPC && i < r->batch->n_columns; i++) {
		const struct fl_column_def *d = &r->batch->column[i].def;
		bool there = !d->field || d->field->kind != FL_LOG_VPC || !strcmp(d->field->name, "version");

		for (size_t k = 0; !there && k < fl_format_len(f); k++)
			there = fl_format_field(f, k) == d->field;
		if (!there)
			result = fl_buf_printf(text, " ${%s}", d->field->name);
	}
	return result;
}

/* The fields of the lines: those that are encoded, then our own. */
static int make_format(const struct fl_format *f, struct fl_format **ret)
{
	struct fl_buf names FL_CLEANUP(fl_buf_free) = FL_BUF(FL_RECORD_MAX);
	int r = 0;

	for (size_t i = 0; !r && i < fl_format_len(f); i++)
		r = fl_buf_printf(&names, "%s ", fl_format_name(f, i));
	for (unsigned i = 0; !r && i < FL_VERDICT_COLUMNS; i++)
		r = fl_buf_printf(&names, "%s ", fl_verdict_sql_column(i));
	r = r ? r : fl_buf_adds(&names, "provisional");
	return r ? r : fl_format_from_header(ret, names.data, names.len);
}

static int prepare(struct fl_scan_reader *r, struct journal *j)
{
	struct fl_format *log FL_CLEANUP(fl_format_free) = NULL;
	struct fl_buf fields FL_CLEANUP(fl_buf_free) = FL_BUF(FL_RECORD_MAX);
	const char *text = fl_store_log(j->store)->format;
	int result = fl_store_rewind(j->store);

	result = result ? result : fl_format_parse(&log, fl_format_kind_of(text), text);
	result = result ? result : add_asked(r, log, &fields);
	result = result ? result : fl_format_parse(&j->encoded, fl_format_kind(log), fl_buf_cstr(&fields));
	result = result ? result : fl_encoder_new(&j->encoder, j->encoded, FL_OUTPUT_TEXT);
	result = result ? result : fl_store_writer_new(&j->writer, j->store, j->encoded, j->encoder);
	result = result ? result : make_format(j->encoded, &j->format);
	if (!result) /* that of the flow log, whatever else was asked for */
		for (size_t i = 0; i < fl_format_len(log); i++)
			if (!strcmp(fl_format_name(log, i), "version"))
				snprintf(j->version, sizeof j->version, "%u", fl_format_version(log));
	return result;
}

static int new_journal(struct fl_scan_reader *r, uint32_t store, struct journal **ret)
{
	struct journal *j = calloc(1, sizeof *j);
	int result;

	if (!j)
		return -ENOMEM;
	j->text = FL_BUF(BLOCK_MAX);
	j->store = r->s->store[store];
	result = prepare(r, j);
	if (result)
		free_journal(j);
	else
		*ret = j;
	return result;
}

static int open_journal(struct fl_scan_reader *r, struct fl_unit *u, void **ret)
{
	struct journal *j;
	int result = new_journal(r, u->store, &j);

	if (result)
		return result;
	result = fl_buf_reserve(&j->text, BLOCK_MAX);
	result = result ? result : fl_lines_begin(r, j->format, FL_LINES_OWN, *j->version ? j->version : NULL);
	if (result) {
		free_journal(j);
		return result;
	}
	*ret = j;
	return 0;
}

/* ---- lines ---- */

static int write_line(struct journal *j, const struct fl_record *record)
{
	struct fl_verdict_values v;
	int r = fl_store_writer_record(j->writer, &j->frame, record, &j->text);

	fl_frame_verdict(&j->frame, record, &v);
	if (!r)
		j->text.len--; /* the newline */
	for (unsigned i = 0; !r && i < FL_VERDICT_COLUMNS; i++)
		r = fl_buf_printf(&j->text, " %s", *v.value[i] ? v.value[i] : "-");
	return r ? r : fl_buf_printf(&j->text, " %d\n", !!(j->frame.window.flags & FL_WINDOW_PROVISIONAL));
}

/* The next flow; after the last one what the frame says of itself. */
static int write_record(struct journal *j)
{
	struct fl_record record;

	if (j->frame.flows && j->next < j->frame.n_flows) {
		fl_frame_record(&j->frame, j->next++, &record);
		return write_line(j, &record);
	}
	j->frame_open = false;
	return fl_frame_itself(&j->frame, &record) ? write_line(j, &record) : 0;
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

/* The next frame or gap that the flow log has records of. */
static int begin_frame(struct fl_scan_reader *r, struct journal *j)
{
	int got, other;

	do {
		got = next_frame(r, j);
		other = got <= 0 || got == FL_READER_WINDOW_END ? 0 : fl_store_writer_frame(j->writer, &j->frame);
	} while (got == FL_READER_WINDOW_END || other > 0);
	if (got <= 0 || other < 0)
		return other < 0 ? other : got;
	j->frame_open = true;
	j->next = 0;
	r->report.verdicts_observed |= !!(j->frame.window.flags & (FL_WINDOW_VERDICTS | FL_WINDOW_POLICY));
	return 1;
}

/* ---- times alone ---- */

static void note_times(struct fl_scan_reader *r, const struct fl_record *record)
{
	if (record->start >= FL_TIME_EARLIEST && record->end <= FL_TIME_LATEST)
		fl_told_note(&r->report, record->start, record->end);
}

int fl_journal_times(struct fl_scan_reader *r, uint32_t store)
{
	struct fl_record record;
	struct journal *j;
	int result = new_journal(r, store, &j);

	if (result)
		return result;
	while ((result = begin_frame(r, j)) > 0 && !fl_scan_stopped(r->s)) {
		for (size_t i = 0; j->frame.flows && i < j->frame.n_flows; i++) {
			fl_frame_record(&j->frame, i, &record);
			note_times(r, &record);
		}
		if (fl_frame_itself(&j->frame, &record))
			note_times(r, &record);
	}
	free_journal(j);
	r->report.told_exactly++;
	return fl_scan_stopped(r->s) ? fl_fail(-EINTR, FL_SCAN_STOPPED) : result;
}

/* ---- batches ---- */

static int fill(struct fl_scan_reader *r, struct journal *j)
{
	int got = 1;

	fl_buf_reset(&j->text);
	j->at = 0;
	while (got > 0 && j->text.len < BLOCK_FULL) {
		got = j->frame_open ? 1 : begin_frame(r, j);
		if (got > 0) {
			int failed = write_record(j);

			got = failed ? failed : 1;
		}
	}
	j->ended = got <= 0;
	return got;
}

static int next_journal(struct fl_scan_reader *r, void *state)
{
	struct journal *j = state;
	size_t used = 0;
	int got;

	for (;;) {
		if (j->scanning) {
			got = fl_text_next(r->text, j->text.data + j->at, j->text.len - j->at, false, &used);
			j->at += used;
			if (got)
				return got;
			j->scanning = false;
		}
		if (j->ended)
			return j->fault;
		if (fl_scan_stopped(r->s))
			return fl_fail(-EINTR, FL_SCAN_STOPPED);
		got = fill(r, j);
		/* What was good before a fault counts. */
		j->fault = FL_MIN(got, 0);
		j->scanning = true;
	}
}

const struct fl_unit_ops fl_unit_journal = {open_journal, next_journal, close_journal};
