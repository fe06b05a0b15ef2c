/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Face of the stage "scan", as far as this issue needs it: our own store read as one. Delivered files up to the
 * delivery cursor, the journal beyond it, and on request the snapshot of the open window, without duplicates.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "journal/journal.h"
#include "record/enrich.h"
#include "record/record.h"

/* deliver/<flow-log-id>.json: written by deliver alone, read here. JSON members: id, format, bucket_dir (s3/BUCKET,
 * relative to the state directory), prefix (PREFIX/AWSLogs), interval, traffic_type, file_format (plain-text, parquet),
 * nodata_always, tags {tag field: key}, switches {generic_path ...: true}, inventory (a directory: what "run" was given
 * instead of imports), cursor {segment, offset} (all before it is delivered), plan (null, or {name, names [keys], from
 * {..}, to {..}, salt}: objects being written whose rows are still to be read from the journal), lost {flows, delivery
 * {packets, bytes}, journal-quota
 * {..}} (totals), newest_end (of the delivered windows), seen [interface ids that have had a record]. */
struct fl_store_log {
	char id[24];
	char *format;     /* "${...}" */
	char *prefix_dir; /* directory of the objects below the state directory: s3/BUCKET/PREFIX/AWSLogs */
	uint32_t interval;
	struct fl_position cursor;
	char *plan_name;       /* NULL: no plan */
	const char *inventory; /* directory that delivery reads instead of imports; NULL: none */
	struct fl_enrich_conf enrich;
};
struct fl_store;
/* dir: the state directory ("./flowlog-data"). A consistent picture: cursor read, files listed, cursor read again until
 * it stood still. */
int fl_store_open(struct fl_store **ret, const char *dir,
		  const char *flow_log_id /* NULL: the first of the configuration, else by name */);
/*
 * The journal alone, as far back as it reaches, delivered or not: only there is what decided about each flow. No files;
 * an interface that had no record when a window was written may have a NODATA record of it here.
 */
int fl_store_open_journal(struct fl_store **ret, const char *dir, const char *flow_log_id);
void fl_store_close(struct fl_store **s);
/* Frames from the first one on again. */
int fl_store_rewind(struct fl_store *s);
const char *fl_store_dir(const struct fl_store *s);
const struct fl_store_log *fl_store_log(const struct fl_store *s);
size_t fl_store_file_count(const struct fl_store *s);
const char *fl_store_file(const struct fl_store *s, size_t i); /* path of a delivered object, oldest first */
/* Journal frames beyond the delivered ones; then, with open_window, the snapshot's frames (FL_WINDOW_PROVISIONAL). As
 * fl_reader_next (also FL_READER_GAP, FL_READER_WINDOW_END). Only flows of the flow log's traffic type;
 * FL_WINDOW_SILENT is set where delivery will not write NODATA. Frames are metering windows, also where the flow log's
 * interval is longer. */
int fl_store_next_frame(struct fl_store *s, bool open_window, struct fl_frame *ret);

/* A frame as records, the same as delivery writes: fn for each flow (status OK), then once more with SKIPDATA when
 * something was not captured (a FL_READER_GAP's frame too), or with NODATA when there was nothing. */
typedef int (*fl_frame_record_fn)(void *ctx, const struct fl_frame *frame, const struct fl_record *r);
int fl_frame_records(const struct fl_frame *frame, fl_frame_record_fn fn, void *ctx);
void fl_frame_record(const struct fl_frame *frame, size_t i, struct fl_record *ret); /* of flow i */
bool fl_frame_itself(const struct fl_frame *frame, struct fl_record *ret);           /* that once more; false: none */

/*
 * Our own columns beside a record (../shared/design/architecture.md, "Verdicts"): where the verdict comes from and what
 * decided, and what the inventory's rules say, in force or not. Of a record that is a REJECT the source is what
 * rejected it, of an ACCEPT what looked.
 */
enum fl_verdict_value { FL_VALUE_SOURCE, FL_VALUE_CAUSE, FL_VALUE_POLICY, FL_VALUE_RULE, FL_VERDICT_COLUMNS };
extern const char *const fl_verdict_columns[FL_VERDICT_COLUMNS]; /* as fields are named in a format */
const char *fl_verdict_sql_column(enum fl_verdict_value v);      /* of SQL, of JSON */
struct fl_verdict_values {
	const char *value[FL_VERDICT_COLUMNS]; /* "": not known */
	char both[FL_GROUND_DROP + FL_GROUND_RULE + 1];
};
void fl_frame_verdict(const struct fl_frame *frame, const struct fl_record *r, struct fl_verdict_values *ret);
/* The same of parts: flags of the window, may be without a ground. */
void fl_ground_values(uint32_t flags, uint8_t action, const struct fl_ground *ground, struct fl_verdict_values *ret);

/*
 * Text of those records with what the inventory knew of their interface at that time, as delivery writes it. encoder:
 * of the flow log's format, the caller's; it renders the identity of the frame.
 */
struct fl_store_writer;
int fl_store_writer_new(struct fl_store_writer **ret, const struct fl_store *s, const struct fl_format *format,
			struct fl_encoder *encoder);
void fl_store_writer_free(struct fl_store_writer **w);
/* Positive: the flow log is a transit gateway's, and the frame is of another interface: it has no records of it. */
#define FL_STORE_OTHER_INTERFACE 1
int fl_store_writer_frame(struct fl_store_writer *w, const struct fl_frame *frame);
int fl_store_writer_record(struct fl_store_writer *w, const struct fl_frame *frame, const struct fl_record *r,
			   struct fl_buf *out);

/* ---- any source, record by record ---- */

/* A record with what its carrier knew. Valid during the call. */
struct fl_scanned {
	const struct fl_record *record;    /* status OK alone is passed on; a value that is - is zero */
	const struct fl_eni *eni;          /* its id */
	const struct fl_record_meta *meta; /* addresses of packets alone */
	bool has_flags;                    /* the carrier has tcp-flags */
};
typedef int (*fl_scan_fn)(void *ctx, const struct fl_scanned *s); /* not 0: ends the scan, and is its result */
struct fl_scan;                                                   /* scan/reader.h */
struct fl_filter;                                                 /* scan/filter.h */
/* The records of an opened scan, by this thread, in the order of the sources and of the names of their files. */
int fl_scan_records(struct fl_scan *s, const struct fl_filter *filter, fl_scan_fn fn, void *ctx);
/* Each line of a flow log file: text, packed or not, or Parquet as text with a header line. Lines end with NUL, without
 * newline, and may be written to; not 0: ends it, and is its result. */
typedef int (*fl_scan_line_fn)(void *ctx, char *line, size_t n);
int fl_scan_lines(const char *path, fl_scan_line_fn fn, void *ctx);
/* The format that a header line names; path is for the sentence. -EINVAL when it names no field at all. */
int fl_scan_header(const char *path, const char *line, size_t n, struct fl_format **ret);
