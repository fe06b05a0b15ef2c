/* SPDX-License-Identifier: Apache-2.0 */
/* How far a scan is, on one line of standard error that is drawn over. */
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/units.h"
#include "cli/sources.h"

#define WIDTH_UNKNOWN 80
#define CLEAR_LINE "\r\033[K"

/* A line that wraps could not be drawn over. */
static int width(void)
{
	struct winsize size = {0};

	return !ioctl(STDERR_FILENO, TIOCGWINSZ, &size) && size.ws_col ? size.ws_col : WIDTH_UNKNOWN;
}

void fl_progress_draw(const char *before, const struct fl_scan_progress *p)
{
	char done[16], all[16], rate[16], line[256], of[32] = "", left[48] = "";

	if (p->over) {
		fputs(CLEAR_LINE, stderr);
		return;
	}
	if (p->total > p->bytes && p->bytes) {
		double seconds =
		    (double)(p->total - p->bytes) / (double)p->bytes * (double)p->spent_ns / (double)FL_NS_PER_S;

		snprintf(of, sizeof of, " of %s", fl_human_bytes(p->total, all));
		snprintf(left, sizeof left, ", %llu s left", (unsigned long long)seconds + 1);
	}
	fl_human_bytes((uint64_t)((double)p->bytes * FL_NS_PER_S / (double)FL_MAX(p->spent_ns, UINT64_C(1))), rate);
	snprintf(line, sizeof line, "%s%s%s, %llu file%s, %s/s%s", before, fl_human_bytes(p->bytes, done), of,
		 (unsigned long long)p->files, fl_plural(p->files), rate, left);
	fprintf(stderr, CLEAR_LINE "%.*s", width() - 1, line);
}

void fl_progress_show(void *ctx, const struct fl_scan_progress *p)
{
	(void)ctx;
	fl_progress_draw("", p);
}
