/* SPDX-License-Identifier: Apache-2.0 */
/* A row group of a Parquet file. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "scan/remote.h"
#include "scan/set.h"

struct group {
	struct fl_parquet_reader *reader;
	bool own_filter; /* the filter looks at columns that are ours: it is asked afterwards */
	bool hangs;      /* on columns that the file lacks: so it is, too */
};

bool fl_unit_parquet_lacks(void *file, const char *column)
{
	const struct fl_column_def *d;
	size_t n = fl_parquet_columns(file, &d);

	for (size_t i = 0; i < n; i++)
		if (fl_column_is_named(&d[i], column))
			return false;
	return true;
}

static void close_group(struct fl_scan_reader *r, void *state)
{
	struct group *g = state;
	struct fl_parquet_counts c = {0};

	if (g->reader)
		fl_parquet_reader_counts(g->reader, &c);
	r->report.records += c.records;
	r->report.rows_pruned += c.unread;
	r->report.bad_values += c.bad_values;
	fl_scan_add_bytes(r, c.bytes);
	fl_parquet_reader_free(&g->reader);
	free(g);
}

static int open_group(struct fl_scan_reader *r, struct fl_unit *u, void **ret)
{
	struct fl_pass *p = r->pass;
	struct group *g = calloc(1, sizeof *g);
	const struct fl_filter *filter;
	int result;

	if (!g)
		return -ENOMEM;
	result = fl_unjudged_find(r, fl_unit_parquet_lacks, u->opened->parquet, &g->hangs);
	g->own_filter = fl_pass_parquet_filter(p) != p->filter;
	filter = g->own_filter ? NULL : g->hangs ? r->could : p->filter;
	result =
	    result ? result : fl_parquet_reader_new(&g->reader, u->opened->parquet, p->column, p->n_columns, filter);
	if (!result && u->pieces)
		fl_parquet_reader_from(g->reader, fl_pieces_input(u->pieces));
	result = result ? result : fl_parquet_reader_group(g->reader, u->group);
	if (result) {
		close_group(r, g);
		return result;
	}
	*ret = g;
	return 0;
}

void fl_batch_fill_own(struct fl_scan_reader *r)
{
	struct fl_batch *b = r->batch;

	for (uint32_t i = 0; i < b->n_columns; i++) {
		struct fl_column *c = &b->column[i];
		const char *text = c->def.own == FL_OWN_SOURCE        ? r->path
				   : c->def.own == FL_OWN_PROVISIONAL ? "0"
								      : NULL;

		if (!text)
			continue;
		c->any_null = false;
		memset(c->null, 0, FL_BATCH_WORDS * sizeof *c->null);
		for (uint32_t k = 0; k < b->n; k++)
			fl_column_set_text(c, k, text, strlen(text));
	}
}

static int next_group(struct fl_scan_reader *r, void *state)
{
	struct group *g = state;
	int got;

	while ((got = fl_parquet_next(g->reader, r->batch)) == 1) {
		fl_batch_fill_own(r);
		if (!g->own_filter && !g->hangs)
			return 1;
		if (fl_unjudged_pass(r, g->hangs))
			return 1;
		if (fl_scan_stopped(r->s))
			return fl_fail(-EINTR, FL_SCAN_STOPPED);
	}
	return got;
}

const struct fl_unit_ops fl_unit_parquet = {open_group, next_group, close_group};
