/* SPDX-License-Identifier: Apache-2.0 */
/* Face of the stage "query", as far as this issue needs it: SQL over the view "flows". */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct fl_query_conf {
	const char *sql;
	const char *const *sources; /* NULL-terminated; empty: the store */
	const char *store;          /* state directory */
	const char *flow_log;       /* NULL: the first */
	bool open_window;           /* include the provisional open window: column provisional is true there */
	bool journal_alone;         /* fl_store_open_journal: every row with what decided */
	const char *output;         /* "table", "json", "csv", "text" */
	int out_fd;
};
/* The library is loaded with dlopen (FL_DUCKDB=/path, else libduckdb.so beside the program or in the usual places).
 * -ENOENT says in one line how to get it. */
int fl_query_run(const struct fl_query_conf *conf);
