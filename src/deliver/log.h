/* SPDX-License-Identifier: Apache-2.0 */
/* Inside the room "deliver": one flow log at work. */
#pragma once

#include <jansson.h>

#include "base/gz.h"
#include "deliver/deliver.h"
#include "record/parquet.h"
#include "scan/text.h"

#define FL_SLOT_S                                                                                                      \
	300                            /* destinations.md 1.2: a file holds records whose end lies in five minutes     \
					*/
#define FL_OBJECT_MAX (75u * 1000000u) /* destinations.md 1.2 */
#define FL_KEY_MAX 1024
#define FL_SEEN_MAX 4096      /* interfaces of which we remember that they had a record */
#define FL_GAP_LINES_MAX 1440 /* SKIPDATA lines an interface and gap */

/* ---- object.c: records of one slot on their way into a file ---- */
struct fl_object {
	int64_t slot;
	unsigned part; /* a slot's text over FL_OBJECT_MAX goes on in another object */
	uint64_t records;
	struct fl_buf text, body; /* records that are still text; the object's bytes */
	struct fl_gz *stream;
	struct fl_parquet_writer *parquet;
	bool full, put;
	char key[FL_KEY_MAX];
};
/* What all objects of a flow log have in common, when they are Parquet. */
struct fl_object_columns {
	struct fl_text *text; /* lines as columns; NULL: objects are text */
	const struct fl_format *format;
	struct fl_batch *batch;
	struct fl_parquet_conf conf;
	struct fl_column_def def[FL_BATCH_COLUMNS];
};
int fl_object_columns_init(struct fl_object_columns *c, const struct fl_format *format);
void fl_object_columns_free(struct fl_object_columns *c);
struct fl_objects {
	struct fl_object_columns *columns;
	struct fl_object **object;
	size_t n;
	uint64_t records, bytes;
	struct fl_object *last;
};
void fl_objects_free(struct fl_objects *o);
/* Where records that end in this slot go now: header written, room in text. NULL: no memory. */
struct fl_object *fl_objects_at(struct fl_objects *o, int64_t slot, const struct fl_encoder *e);
int fl_object_flush(struct fl_objects *o,
		    struct fl_object *x); /* after each record: cheap until there is enough to compress */
int fl_objects_finish(struct fl_objects *o);

/* ---- naming.c ---- */
int fl_object_key(const struct fl_flow_log *log, int64_t slot, unsigned part, struct fl_position from,
		  struct fl_position to, unsigned salt, char ret[FL_KEY_MAX]);
int64_t fl_object_time(const char *name,
		       const char *log_id); /* slot of an object's name; -1: not one of this flow log */
void fl_log_dir(const struct fl_flow_log *log, char ret[FL_KEY_MAX]); /* PREFIX/AWSLogs */

/* ---- plan.c: deliver/<id>.json ---- */
struct fl_plan {
	bool on;
	struct fl_position from, to;
	unsigned salt;
	char **name;
	size_t n;
};
struct fl_seen {
	char (*id)[22];
	size_t n, kept; /* kept: those that the file has */
};
struct fl_log_state {
	struct fl_position cursor;
	struct fl_plan plan;
	struct fl_seen seen;
	int64_t newest_end;    /* of the delivered windows */
	const char *inventory; /* borrowed: fl_delivery_conf's */
	uint64_t lost_flows;
	struct fl_count lost_delivery, lost_quota;
};
void fl_plan_clear(struct fl_plan *p);
int fl_plan_add(struct fl_plan *p, const char *name); /* once */
int fl_log_state_load(int statefd, const struct fl_flow_log *log, const char *format, struct fl_log_state *ret);
int fl_log_state_save(int statefd, const struct fl_flow_log *log, const char *format, const struct fl_log_state *s);
void fl_log_state_free(struct fl_log_state *s);
bool fl_seen_has(const struct fl_seen *s, const char *id);
int fl_seen_add(struct fl_seen *s, const char *id);

/* ---- batch.c: frames into records into objects ---- */
struct fl_merged {
	struct fl_key key; /* iface 0 */
	uint64_t packets, bytes;
	int64_t first_ms, last_ms;
	uint8_t tcp, action, reason; /* reason: enum fl_reason */
	bool inside, inside_dst;
	struct fl_addr pkt; /* when inside: behind src, or behind dst */
};
struct fl_interval_eni {
	struct fl_eni eni;
	struct fl_merged *flow;
	size_t n;
	int64_t last; /* start of its newest window with traffic */
	uint32_t last_length;
	bool skip, traffic;
};
struct fl_interval { /* an interval that is not complete */
	int64_t start;
	struct fl_interval_eni *eni;
	size_t n;
};
struct fl_known { /* for the span that a damaged segment leaves open */
	struct fl_eni eni;
	int64_t end;
};
struct fl_intake {
	const struct fl_flow_log *log;
	struct fl_encoder *encoder;
	struct fl_enricher *enricher;
	const struct fl_delivery_conf *conf; /* for network_at */
	struct fl_seen *seen;
	struct fl_objects objects;
	struct fl_interval *group;
	size_t n_groups;
	struct fl_known *known;
	size_t n_known;
	bool damaged;
	bool any; /* a frame or a gap was read */
	bool gap;
	int64_t first_start; /* of the first window */
	int64_t newest_end;  /* of the newest window */
	uint64_t windows;
};
void fl_intake_reset(struct fl_intake *b); /* known interfaces are kept */
void fl_intake_free(struct fl_intake *b);
int fl_intake_frame(struct fl_intake *b, const struct fl_frame *f);
int fl_intake_gap(struct fl_intake *b, const struct fl_frame *f);
int fl_intake_close_groups(struct fl_intake *b);
bool fl_intake_groups_complete(const struct fl_intake *b, int64_t end); /* a window that ended at `end` was marked */
