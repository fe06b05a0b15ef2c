/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Face of the stage "scan", as far as this issue needs it: our own store read as one. Delivered files up to the delivery cursor, the
 * journal beyond it, and on request the snapshot of the open window, without duplicates.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "journal/journal.h"
#include "record/record.h"

/* deliver/<flow-log-id>.json: written by deliver alone, read here. JSON members: id, format, bucket_dir (relative to the state directory), interval,
 * traffic_type, cursor {segment, offset} (all before it is delivered), plan (null, or {name, from {..}, to {..}}: an object being written
 * whose rows are still to be read from the journal). */
struct fl_store_log {
	char id[24];
	char *format;	  /* "${...}" */
	char *prefix_dir; /* directory of the objects below the state directory: s3/BUCKET/PREFIX/AWSLogs */
	uint32_t interval;
	struct fl_position cursor;
	char *plan_name;  /* NULL: no plan */
};
struct fl_store;
/* dir: the state directory ("./flowlog-data"). A consistent picture: cursor read, files listed, cursor read again until it stood still. */
int fl_store_open(struct fl_store **ret, const char *dir, const char *flow_log_id /* NULL: the only or first one */);
void fl_store_close(struct fl_store **s);
const struct fl_store_log *fl_store_log(const struct fl_store *s);
size_t fl_store_file_count(const struct fl_store *s);
const char *fl_store_file(const struct fl_store *s, size_t i); /* path of a delivered object, oldest first */
/* Journal frames beyond the delivered ones; then, with open_window, the snapshot's frames (FL_WINDOW_PROVISIONAL). As fl_reader_next. */
int fl_store_next_frame(struct fl_store *s, bool open_window, struct fl_frame *ret);

/* A frame as records: calls fn for each flow (status OK), or once with NODATA / SKIPDATA as the frame says. */
typedef int (*fl_frame_record_fn)(void *ctx, const struct fl_frame *frame, const struct fl_record *r);
int fl_frame_records(const struct fl_frame *frame, fl_frame_record_fn fn, void *ctx);
