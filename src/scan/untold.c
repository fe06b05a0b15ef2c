/* SPDX-License-Identifier: Apache-2.0 */
/* When records are, from what is known without reading them. */
#include "scan/layout.h"
#include "scan/set.h"

#define SLOT_S 300 /* of the files of AWS's layout */

void fl_told_note(struct fl_scan_report *to, int64_t first, int64_t last)
{
	to->told_first = to->told_first ? FL_MIN(to->told_first, first) : first;
	to->told_last = FL_MAX(to->told_last, last);
}

bool fl_told_by_name(const struct fl_scan *s, const struct fl_scan_file *f, struct fl_scan_report *to)
{
	int64_t first = f->first + FL_LAYOUT_BEFORE_S, last = f->last - FL_LAYOUT_AFTER_S;

	if (s->conf.untold != FL_UNTOLD || f->first == INT64_MIN || f->last == INT64_MAX)
		return false;
	fl_told_note(to, first, last > first ? last : first + SLOT_S);
	to->told_by_names++;
	return true;
}

bool fl_told_by_footer(struct fl_scan_reader *r, const struct fl_parquet_file *f)
{
	uint64_t first = UINT64_MAX, last = 0, min, max;

	if (r->s->conf.untold == FL_UNTOLD_ALL)
		return false;
	for (size_t i = 0; i < fl_parquet_groups(f); i++) {
		if (!fl_parquet_group_rows(f, i))
			continue;
		if (!fl_parquet_group_numbers(f, i, "start", &min, &max) || min < FL_TIME_EARLIEST ||
		    max > FL_TIME_LATEST)
			return false;
		first = FL_MIN(first, min);
		if (!fl_parquet_group_numbers(f, i, "end", &min, &max) || min < FL_TIME_EARLIEST ||
		    max > FL_TIME_LATEST)
			return false;
		last = FL_MAX(last, max);
	}
	if (first <= last)
		fl_told_note(&r->report, (int64_t)first, (int64_t)last);
	r->report.told_exactly++;
	return true;
}
