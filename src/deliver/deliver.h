/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Face of the stage "deliver": closed windows from the journal become objects at a destination. Delivery keeps no
 * queue: an object is a function of (flow log, journal range). Range and name are recorded durably before the object is
 * written, the bytes follow from them, so a retry encodes again, overwrites the same name, and can neither lose nor
 * duplicate.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "inventory/network.h"
#include "journal/journal.h"
#include "record/enrich.h"
#include "record/record.h"

enum fl_file_format { FL_FILE_TEXT = 0, FL_FILE_PARQUET, FL_FILE_N };
extern const char *const fl_file_formats[FL_FILE_N]; /* as AWS names them: plain-text, parquet */
enum fl_traffic { FL_TRAFFIC_ALL = 0, FL_TRAFFIC_ACCEPT, FL_TRAFFIC_REJECT };

struct fl_flow_log { /* immutable */
	char id[24]; /* fl-0123456789abcdef0 */
	char account_id[13], region[32];
	const char *format; /* as given; expanded by fl_format_text */
	struct fl_enrich_conf enrich;
	uint32_t interval; /* 60 or 600; a multiple of the metering window */
	enum fl_traffic traffic;
	char bucket[64], prefix[256];
	bool hive, per_hour;
	enum fl_file_format file_format;
	uint32_t publish_every_s; /* at most 300: how soon an object is written; AWS's own cycle is 300 */
	/* false, as AWS (inferred, semantics.md section 1): NODATA begins after an interface's first record; true: at
	 * once */
	bool nodata_always;
	uint64_t max_age_s, max_bytes; /* of the embedded store; 0: no limit. Never takes the last 10 % of the disk. */
};

/* Key of an object whose records end in the five minutes from slot on. hash: the last part of its name, ending:
 * ".log.gz",
 * ".log.parquet", ... */
int fl_object_name(const struct fl_flow_log *log, int64_t slot, const char *hash, const char *ending, char *ret,
		   size_t size);

/* A sink is a small table of functions; `file` is the embedded stand-in for S3. */
struct fl_sink_ops {
	const char *scheme; /* "file" */
	int (*open)(void **ret, int statefd, const char *endpoint);
	/* The whole object or nothing. -ENOSPC and friends are retried by the caller with back-off. */
	int (*put)(void *sink, const char *bucket, const char *key, const void *data, size_t n);
	/* 1: there is such an object, 0: there is none. Names are not used twice. */
	int (*has)(void *sink, const char *bucket, const char *key);
	int (*retain)(void *sink, const struct fl_flow_log *log, int64_t now_s); /* max_age, max_size */
	void (*close)(void **sink);
};
extern const struct fl_sink_ops fl_sink_file;

struct fl_delivery;
struct fl_delivery_conf {
	int statefd; /* the state directory */
	const struct fl_flow_log *logs;
	size_t n_logs;
	struct fl_clock clock;
	/* The inventory that was valid at a time (Unix seconds), so that a record carries what was so then and a retry
	 * makes the same bytes; NULL: none. It must live until the next call. at NULL: no inventory at all. */
	const struct fl_network *(*network_at)(void *ctx, int64_t time);
	void *network_ctx;
	/* Who else was found to be behind an interface; NULL: nobody. */
	struct fl_identities *identities;
	const char
	    *inventory; /* the directory that network_at reads instead of imports, for readers of the journal; NULL */
};
int fl_delivery_open(struct fl_delivery **ret, const struct fl_delivery_conf *conf);
void fl_delivery_close(struct fl_delivery **d);
/* Do what is due: finish the recorded plan, then deliver complete slots; flush: also slots that are not yet due
 * (shutdown). Returns 0, or positive FL_DELIVERY_RETRY when a destination refused (ret_wait_ms says when to come
 * again). */
#define FL_DELIVERY_RETRY 1
int fl_delivery_run(struct fl_delivery *d, bool flush, uint32_t *ret_wait_ms);
/* Since opening, except lost*, which are totals of the flow log: what left the journal before it was delivered, by the
 * ledger's cause: delivery (the destination was refusing) or journal-quota. Each such span is a SKIPDATA record. */
struct fl_delivery_stats {
	uint64_t objects, records, bytes, attempts, failures, undelivered_windows;
	uint64_t lost_flows;
	struct fl_count lost_delivery, lost_quota;
	int64_t newest_end;
	char last_object[256], last_error[256];
};
void fl_delivery_stats(const struct fl_delivery *d, size_t log, struct fl_delivery_stats *ret);
