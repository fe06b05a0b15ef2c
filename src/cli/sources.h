/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside the room "cli": what every command shares that takes SOURCE. Its options struct holds a struct fl_source_conf,
 * its table includes cli/source_options.def, its description ends with FL_SOURCE_TEXT.
 */
#pragma once

#include "scan/reader.h"
#include "scan/scan.h"

struct fl_source_conf {
	const char *store, *flow_log, *format, *endpoint_url, *profile, *region;
	uint64_t threads;
	bool open_window, anonymous, requester_pays;
};

#define FL_SOURCE_TEXT                                                                                                 \
	"A SOURCE is a state directory, a directory that is searched with everything below it, a file, - for "         \
	"standard input, or s3://bucket/prefix; without one the store is read: its delivered objects and the "         \
	"journal beyond them, each record once. Read are flow logs as text, CSV with a header line (commas, "          \
	"semicolons or tabs; quotes as in RFC 4180) or JSON with one object a line, plain or packed with gzip or "     \
	"zstd, Parquet, and captures (pcap, pcapng), which are metered in windows of a minute. What a file is is "     \
	"found by looking at it, not by its name. Columns of tables are in any order, and named as fields are in "     \
	"any case, with hyphens, underscores or neither; an empty value and null are -. Sources of all kinds and "     \
	"formats may be mixed: they are joined by the names of their fields, and a file that is named twice is "       \
	"read once. Nothing is ever written to them. Where directories and names follow AWS's layout, what is of "     \
	"another time than asked for is not opened.\n\n"                                                               \
	"A line that is no record of its file's format is left out, a value that is none of its field is taken "       \
	"for -; both are counted and told with file and line. A file that is damaged gives the records up to the "     \
	"fault; it is named, the others are read, and the exit status is 1. What somebody is still writing is "        \
	"read as far as it was there, without a last line that has no end yet.\n\n"                                    \
	"What takes longer shows on a terminal's standard error how much was read, how fast, and how long the "        \
	"rest will take. Ctrl-C ends it at once, with the exit status 130."

/* SIGINT, SIGTERM and SIGHUP set it, unless they are ignored; one that comes when a second has passed ends the program
 * (the first may reach it twice: from the terminal, and from what started it). */
const volatile sig_atomic_t *fl_source_stop(void);
/* From now on they do nothing: what was begun is being removed. */
void fl_source_stop_no_more(void);
/* The exit status of a command that ended with this one: 128 and the signal's number if that is why it failed. */
int fl_source_status(int status);
/* paths: operands, NULL-terminated. What is not of sources stays zero. -EINVAL: the usage is wrong. */
int fl_source_scan(const struct fl_source_conf *c, char *const *paths, struct fl_scan_conf *ret);
/* progress.c: one line on standard error, drawn over; for terminals. */
void fl_progress_draw(const char *before, const struct fl_scan_progress *p);
void fl_progress_show(void *ctx, const struct fl_scan_progress *p); /* fl_scan_progress_fn, ctx is not used */
/* Sentences about faults, a line each, with the name of the command before them. */
void fl_source_tell_lines(const char *command, struct fl_buf *lines);
/* What was wrong with sources, on standard error. The exit status that it calls for. */
int fl_source_tell_report(const char *command, const struct fl_scan_report *r);
/* The same after the faults themselves. */
int fl_source_tell(const char *command, struct fl_scan *s);
/* ACCEPT where nothing looked says less than it seems to. */
void fl_source_tell_unobserved(const char *command);
/* Every record that passes the filter (may be NULL), in order where sources have one. *ret_status: as fl_source_tell.
 */
int fl_source_records(const char *command, const struct fl_source_conf *c, char *const *paths,
		      const struct fl_filter *filter, fl_scan_fn fn, void *ctx, struct fl_scan_report *ret_report,
		      int *ret_status);
