/* SPDX-License-Identifier: Apache-2.0 */
/* Face of the stage "query", SQL over the view "flows". */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/mem.h"
#include "scan/reader.h"

struct fl_query_conf {
	const char *sql;
	const struct fl_scan_conf *scan; /* the sources, and what stops the question */
	bool read_only;                  /* SELECT and EXPLAIN alone, and no file but the sources */
	uint64_t memory;       /* bytes for DuckDB, half as many for groups of our own engine; 0: DuckDB's default */
	uint64_t group_memory; /* bytes, where memory is 0 */
	const char *output;    /* "table", "json", "csv", "text" */
	int out_fd;
};
/* What the sources had wrong: the answer stands, without what could not be read. */
struct fl_query_told {
	struct fl_scan_report report;
	struct fl_buf faults; /* sentences, a line each; the caller's to free */
};
/* The library is loaded with dlopen (FL_DUCKDB=/path, else libduckdb.so beside the program or in the usual places).
 * -ENOENT says in one line how to get it. */
int fl_query_run(const struct fl_query_conf *conf, struct fl_query_told *ret);
