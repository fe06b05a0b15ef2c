/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A filter on a field that a file lacks passes none of its records, and nobody would see it where other files have the
 * field. Such records are counted as far as the rest of the filter lets them pass. Files that have every field cost one
 * look at their header.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "scan/set.h"

void fl_unjudged_free(struct fl_scan_reader *r)
{
	fl_filter_free(&r->could);
}

struct one {
	const char *column;
};

static bool is_one(void *ctx, const char *column)
{
	return !strcmp(((const struct one *)ctx)->column, column);
}

/* Which of the columns alone make a difference. */
static int name_lacking(struct fl_scan_reader *r)
{
	const struct fl_pass *p = r->pass;
	bool any = false;
	int result = 0;

	for (size_t i = 0; i < p->n_columns && !result; i++) {
		struct fl_filter *f = NULL;
		bool hangs = false;

		if (r->lacks[i])
			result = fl_filter_assume(&f, &hangs, p->filter, is_one, &(struct one){p->column[i].name});
		fl_filter_free(&f);
		r->lacking[i] |= hangs;
		any |= hangs;
	}
	for (size_t i = 0; i < p->n_columns && !any; i++)
		r->lacking[i] |= r->lacks[i];
	return result;
}

int fl_unjudged_find(struct fl_scan_reader *r, fl_lacks_fn lacks, void *ctx, bool *ret_hangs)
{
	const struct fl_pass *p = r->pass;
	bool any = false;
	int result;

	fl_unjudged_free(r);
	*ret_hangs = false;
	if (!r->s->conf.unjudged || !p->filter)
		return 0;
	for (size_t i = 0; i < p->n_columns; i++) {
		r->lacks[i] = p->of_filter[i] && !fl_column_is_beside(&p->column[i]) && lacks(ctx, p->column[i].name);
		any |= r->lacks[i];
	}
	if (!any)
		return 0;
	result = fl_filter_assume(&r->could, ret_hangs, p->filter, lacks, ctx);
	if (result == -E2BIG) { /* thousands of conditions under one not: they are not counted, but carried out */
		fl_error_clear();
		return 0;
	}
	return result || !*ret_hangs ? result : name_lacking(r);
}

bool fl_unjudged_pass(struct fl_scan_reader *r, bool hangs)
{
	uint64_t keep[FL_BATCH_WORDS];
	uint32_t could = 0, passed = hangs ? fl_filter_eval_lacking(r->pass->bound, r->batch, r->lacks, keep, &could)
					   : fl_filter_eval(r->pass->bound, r->batch, keep);

	r->report.unjudged += hangs ? could - passed : 0;
	return passed && fl_batch_compact(r->batch, keep, NULL);
}

void fl_unjudged_unit_ends(struct fl_scan_reader *r)
{
	struct fl_pass *p = r->pass;

	if (r->report.unjudged) {
		r->report.unjudged_files +=
		    !r->unit || !r->unit->opened || !atomic_exchange(&r->unit->opened->unjudged, true);
		pthread_mutex_lock(&p->lock);
		for (size_t i = 0; i < p->n_columns; i++)
			p->lacked[i] |= r->lacking[i];
		pthread_mutex_unlock(&p->lock);
	}
	memset(r->lacking, 0, sizeof r->lacking);
}
