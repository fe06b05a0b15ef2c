/* SPDX-License-Identifier: Apache-2.0 */
/* Parquet by row groups: those that may hold what is asked for, some a unit. */
#include <errno.h>
#include <stdlib.h>

#include "base/error.h"
#include "scan/set.h"

struct parquet {
	struct fl_parquet_reader *reader;
	const struct fl_unit *unit;
	size_t group, end; /* the next one */
	bool open;
	struct fl_parquet_counts counted;
};

int fl_opened_parquet(struct fl_opened *o)
{
	struct fl_parquet_input input;
	int r;

	if (!o->regular)
		return fl_fail(-ESPIPE, "%s: Parquet is read from its end, which a pipe cannot; write it to a file",
			       o->path);
	r = fl_parquet_input_fd(&input, o->fd);
	return r ? fl_wrap(r, "%s", o->path) : fl_parquet_open(&o->parquet, &input, o->path);
}

static void close_parquet(struct fl_scan_reader *r, void *state)
{
	struct parquet *p = state;

	(void)r;
	fl_parquet_reader_free(&p->reader);
	free(p);
}

static int open_parquet(struct fl_scan_reader *r, struct fl_unit *u, void **ret)
{
	const struct fl_pass *pass = r->pass;
	struct parquet *p = calloc(1, sizeof *p);
	int result =
	    p ? fl_parquet_reader_new(&p->reader, u->opened->parquet, pass->column, pass->n_columns, pass->filter)
	      : -ENOMEM;

	if (result) {
		free(p);
		return result;
	}
	for (size_t i = 0; i < pass->n_columns; i++)
		if (pass->column[i].own == FL_OWN_SOURCE)
			fl_parquet_reader_constant(p->reader, i, r->path);
		else if (pass->column[i].own == FL_OWN_PROVISIONAL)
			fl_parquet_reader_constant(p->reader, i, "0");
	p->unit = u;
	p->group = u->from;
	p->end = u->to;
	*ret = p;
	return 0;
}

static void count(struct fl_scan_reader *r, struct parquet *p)
{
	struct fl_parquet_counts now;

	fl_parquet_reader_counts(p->reader, &now);
	r->report.records += now.records - p->counted.records;
	r->report.bad_values += now.bad_values - p->counted.bad_values;
	fl_scan_add_bytes(r, now.bytes - p->counted.bytes);
	p->counted = now;
}

/* A damaged row group is told; others are kept. */
static int damaged(struct fl_scan_reader *r, int result)
{
	if (result != -EBADMSG)
		return result;
	fl_scan_add_fault(r->s, fl_error_text(result));
	r->report.damaged_files++;
	return 0;
}

static int next_group(struct fl_scan_reader *r, struct parquet *p)
{
	const struct fl_parquet_file *f = p->unit->opened->parquet;
	size_t group = p->group++;

	if (!fl_parquet_group_may_pass(f, group, r->pass->filter)) {
		r->report.row_groups_pruned++;
		r->report.bytes_pruned += fl_parquet_group_bytes(f, group);
		return 0;
	}
	p->open = true;
	return fl_parquet_reader_group(p->reader, group);
}

static int next_parquet(struct fl_scan_reader *r, void *state)
{
	struct parquet *p = state;
	int result;

	while (p->open || p->group < p->end) {
		if (fl_scan_stopped(r->s))
			return fl_fail(-EINTR, FL_SCAN_STOPPED);
		result = p->open ? 0 : next_group(r, p);
		if (!result && p->open)
			result = fl_parquet_next(p->reader, r->batch);
		count(r, p);
		if (result == 1)
			return 1;
		p->open = false;
		result = damaged(r, result);
		if (result)
			return result;
	}
	return 0;
}

const struct fl_unit_ops fl_unit_parquet = {open_parquet, next_parquet, close_parquet};
