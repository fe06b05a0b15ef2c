/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Second face of the stage "scan": any sources, several, mixed, read as batches of typed columns by several threads.
 * Sources are never written to. What a source is is found by looking at it, not by its name.
 */
#pragma once

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "record/columns.h"
#include "scan/filter.h"

/* How far a scan is. Bytes are those stored; an object's count as they arrive. */
struct fl_scan_progress {
	uint64_t bytes, total; /* total: of all files that will be read; 0: not known */
	uint64_t files, spent_ns;
	bool over; /* nothing more comes */
};
/* By whatever thread finds that it is time: some five times a second, never two at once. A scan that is soon over has
 * no call; one that had any ends with one that says `over`. */
typedef void (*fl_scan_progress_fn)(void *ctx, const struct fl_scan_progress *p);
/* Of which files the records are read, when only their times matter. */
enum fl_untold {
	FL_UNTOLD_ALL,     /* of all */
	FL_UNTOLD_EXACTLY, /* not of those whose footer or frames tell the times: report.told_* */
	FL_UNTOLD,         /* nor of those whose name or directory does, to some minutes, or the day */
};

struct fl_scan_conf {
	const char *const *paths; /* NULL-terminated: state directory, directory, file, "-", s3://bucket/prefix; empty
				     or NULL: the store */
	const char *store;        /* state directory */
	const char *flow_log;     /* of stores; NULL: the first */
	const char *format;       /* of text without a header line; NULL: AWS's default format */
	bool open_window;         /* stores: with the open window */
	bool journal_alone;       /* stores: fl_store_open_journal, every row with what decided */
	unsigned threads;         /* 0: as many as CPUs may be used */
	const char *kernel;       /* NULL: the best; "scalar", "avx2", "avx512": for tests and measurements */
	fl_scan_progress_fn progress; /* NULL: nobody wants to know */
	void *progress_ctx;
	enum fl_untold untold;
	bool unjudged;                     /* count records that the filter cannot judge (report) */
	const volatile sig_atomic_t *stop; /* NULL: cannot be stopped; set: calls return -EINTR soon */
	/* s3:// */
	bool anonymous, requester_pays;
	const char *endpoint_url, *profile, *region;
};

struct fl_scan; /* an opened set of sources */
/* Lists and looks (by several threads, objects in pages); records are not read. -ENOENT and others with a sentence that
 * names the source. filter: what lies wholly outside may be left out of the list; may be NULL; must outlive it. */
int fl_scan_open(struct fl_scan **ret, const struct fl_scan_conf *conf, const struct fl_filter *filter);
/* The source among those named that can be read only once (standard input, a pipe); NULL: there is none. */
const char *fl_scan_once(const struct fl_scan_conf *conf);
void fl_scan_close(struct fl_scan **s);

/* Columns of the sources: fields in the order of their first appearance, our own last. Read from header lines and
 * schemas: of every file, or of one a flow log where a layout as AWS's names the flow log (immutable, so has one
 * format). Our own ones alone when no source names any.
 */
int fl_scan_columns(struct fl_scan *s, const struct fl_column_def **ret, size_t *ret_n);
/* Opens the sources for one pass: these columns, of records that pass the filter. Columns that a file lacks are null.
 * Call once a scan; then one reader a thread (at most fl_scan_threads). */
int fl_scan_select(struct fl_scan *s, const struct fl_column_def *columns, size_t n, const struct fl_filter *filter);
unsigned fl_scan_threads(const struct fl_scan *s);

struct fl_scan_reader; /* of one thread */
int fl_scan_reader_new(struct fl_scan_reader **ret, struct fl_scan *s);
void fl_scan_reader_free(struct fl_scan_reader **r);
/* 1: a batch of at least one row, its columns in the order selected (the batch may have more behind them, of the
 * filter); valid until the next call. 0: nothing is left. -EINTR: stopped. -errno: no sense in going on; what one file
 * has wrong is told in the report and does not end the scan. Rows of files come in no particular order between readers.
 */
int fl_scan_next(struct fl_scan_reader *r, const struct fl_batch **ret);

/* Where the rows of the last batch are from. */
const char *fl_scan_reader_source(const struct fl_scan_reader *r);

/* What was read, and what was not. Complete once every reader has had its 0; before fl_scan_select, what the listing
 * found: files to read and files passed over. */
struct fl_scan_report {
	uint64_t files, files_pruned, bytes, bytes_pruned; /* bytes as stored */
	uint64_t directories_pruned; /* by the time in AWS's layout; nobody knows how many files they hold */
	/* Of Parquet: row groups by their statistics, then by their Bloom filters; rows of others by the index of pages
	 */
	uint64_t row_groups_pruned, row_groups_bloom, rows_pruned;
	uint64_t records;       /* looked at, before the filter */
	uint64_t malformed;     /* lines with another number of fields, or empty values: not used */
	uint64_t bad_values;    /* values that are none of their column, of the columns that were read: null */
	uint64_t damaged_files; /* and directories: not read, or not to the end; rows up to the fault were used */
	uint64_t unknown_files; /* in directories, that are no flow logs: left out */
	/* fl_scan_conf.unjudged: records that could pass, but for a field of the filter that their file lacks; how many
	 * sources have such records; names of those fields, separated by ", ". What is - in a record is not counted. */
	uint64_t unjudged, unjudged_files;
	char lacking[256];
	/* fl_scan_conf.untold: the first start and the last end of what was not read; 0: none. How many sources told.
	 */
	int64_t told_first, told_last;
	uint64_t told_by_names, told_exactly;
	bool verdicts_observed;        /* false: no source has verdicts (captures): ACCEPT means "not seen rejected" */
	int64_t held_first, held_last; /* as names tell: no record began before the one, some record ended at or
					  after the other; 0: not known */
};
void fl_scan_report(struct fl_scan *s, struct fl_scan_report *ret);
/* Sentences about faults (file, line, what), the first FL_SCAN_FAULTS of them, and how many more there were. */
#define FL_SCAN_FAULTS 20
size_t fl_scan_fault_count(const struct fl_scan *s);
const char *fl_scan_fault(const struct fl_scan *s, size_t i);
