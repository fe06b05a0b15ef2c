/* SPDX-License-Identifier: Apache-2.0 */
/* What a query reads: stores, and files grouped by the fields that their header lines name. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/mem.h"
#include "record/record.h"
#include "scan/scan.h"

#define FL_SOURCE_GROUPS 64 /* different formats in one question */
#define FL_SOURCE_STORES 16

struct fl_source_group {
	struct fl_format *format;
	struct fl_buf header; /* the names, as in a header line */
	bool gzip;
	struct fl_buf files; /* 'path','path': ready for SQL */
	size_t n_files;
};

struct fl_sources {
	struct fl_source_group group[FL_SOURCE_GROUPS];
	size_t n_groups;
	struct fl_store *store[FL_SOURCE_STORES];
	size_t n_stores;
	struct fl_file_id *seen; /* a file named twice is read once */
	size_t n_seen, cap_seen;
	bool journal_alone; /* of stores */
};

/* path: a state directory, a .log or .log.gz file (any name when it is named itself), or a
 * directory that is searched for them. */
int fl_sources_add(struct fl_sources *s, const char *path, const char *flow_log);
int fl_sources_add_store(struct fl_sources *s, const char *dir, const char *flow_log);
void fl_sources_free(struct fl_sources *s);

/* The SQL type and the quoted column name of a format's field. */
const char *fl_source_sql_type(const struct fl_field *f);
int fl_source_column(const struct fl_format *f, size_t i, char quote, struct fl_buf *out);
/* text between quotes, with quotes inside doubled */
int fl_sql_quote(struct fl_buf *out, const char *text, char quote);
