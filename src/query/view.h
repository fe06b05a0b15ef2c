/* SPDX-License-Identifier: Apache-2.0 */
/* The view "flows": delivered files by DuckDB's own reader, the journal beyond them as a table. */
#pragma once

#include <signal.h>
#include <stdbool.h>

#include "query/library.h"
#include "query/sources.h"

/* What was met while the journal was read. */
struct fl_query_seen {
	bool verdicts;    /* some frame had them */
	char damage[512]; /* the journal's sentence about a damaged place, which was passed over; ""
			   */
};

int fl_query_make_view(const struct fl_duckdb *d, fl_duck connection, const struct fl_sources *sources,
		       bool open_window, struct fl_query_seen *ret_seen, const volatile sig_atomic_t *stop);
