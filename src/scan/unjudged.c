/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A filter on a field that a file lacks passes none of its records, and nobody would see it where other files have the
 * field. Such records are counted as far as the rest of the filter lets them pass. Files that have every field cost one
 * look at their header.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "scan/set.h"

void fl_unjudged_free(struct fl_scan_reader *r)
{
	fl_filter_free(&r->could_tree);
	fl_filter_bound_free(&r->could);
}

struct one {
	const char *column;
};

static bool is_one(void *ctx, const char *column)
{
	return !strcmp(((const struct one *)ctx)->column, column);
}

/* Which of the columns alone make a difference. */
static int name_lacking(struct fl_scan_reader *r, const bool *lacks)
{
	const struct fl_pass *p = r->pass;
	bool any = false;
	int result = 0;

	for (size_t i = 0; i < p->n_columns && !result; i++) {
		struct fl_filter *f = NULL;
		bool hangs = false;

		if (lacks[i])
			result = fl_filter_assume(&f, &hangs, p->filter, is_one, &(struct one){p->column[i].name});
		fl_filter_free(&f);
		r->lacking[i] |= hangs;
		any |= hangs;
	}
	for (size_t i = 0; i < p->n_columns && !any; i++)
		r->lacking[i] |= lacks[i];
	return result;
}

int fl_unjudged_find(struct fl_scan_reader *r, fl_lacks_fn lacks, void *ctx, bool *ret_hangs)
{
	const struct fl_pass *p = r->pass;
	bool lacking[FL_BATCH_COLUMNS] = {0}, any = false;
	int result;

	fl_unjudged_free(r);
	*ret_hangs = false;
	if (!r->s->conf.unjudged || !p->filter)
		return 0;
	for (size_t i = 0; i < p->n_columns; i++) {
		lacking[i] = p->of_filter[i] && !fl_column_is_beside(&p->column[i]) && lacks(ctx, p->column[i].name);
		any |= lacking[i];
	}
	if (!any)
		return 0;
	result = fl_filter_assume(&r->could_tree, ret_hangs, p->filter, lacks, ctx);
	if (result || !*ret_hangs)
		return result;
	result = name_lacking(r, lacking);
	return result ? result : fl_filter_bind(&r->could, r->could_tree, p->column, p->n_columns);
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
