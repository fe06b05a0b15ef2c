/* SPDX-License-Identifier: Apache-2.0 */
/* What questions group by and measure, computed from a batch of records: columns as they are, and what follows from
 * them. */
#pragma once

#include "query/group.h"
#include "record/columns.h"
#include "scan/filter.h"

/* How a value is shown. */
enum fl_show {
	FL_SHOW_COUNT,
	FL_SHOW_BYTES,
	FL_SHOW_NUMBER, /* ports and the like: digits */
	FL_SHOW_PROTOCOL,
	FL_SHOW_TIME,
	FL_SHOW_ADDR,
	FL_SHOW_TEXT,
};

/* Keys. */
enum fl_key_name {
	FL_KEY_SRC,
	FL_KEY_DST,
	FL_KEY_PROTOCOL,
	FL_KEY_DPORT,
	FL_KEY_SERVER,      /* the end that is the server by the ports */
	FL_KEY_SERVER_PORT, /* its port */
	FL_KEY_CLIENT,
	FL_KEY_ENI,
	FL_KEY_TIME, /* start, by buckets of a width */
	FL_KEY_A,    /* of the two ends, the one that sorts first */
	FL_KEY_A_PORT,
	FL_KEY_B,
	FL_KEY_B_PORT,
	FL_KEY_LOCAL, /* of the two ends, the one that was asked about */
	FL_KEY_PEER,
	FL_KEY_ACCOUNT,
	FL_KEY_VPC,
	FL_KEY_VERSION,
	FL_KEY_STATUS,
	FL_KEY_NAMES
};

/* Measures. A and B: of records from A to B, and of those from B to A; OUT and IN of those from LOCAL, and to it. */
enum fl_metric {
	FL_METRIC_FLOWS, /* records */
	FL_METRIC_PACKETS,
	FL_METRIC_BYTES,
	FL_METRIC_FIRST,
	FL_METRIC_LAST,
	FL_METRIC_ACCEPTED,
	FL_METRIC_REJECTED,
	FL_METRIC_SOURCES,
	FL_METRIC_DESTINATIONS,
	FL_METRIC_PORTS,
	FL_METRIC_CLIENTS,
	FL_METRIC_A_PACKETS,
	FL_METRIC_B_PACKETS,
	FL_METRIC_A_BYTES,
	FL_METRIC_B_BYTES,
	FL_METRIC_A_FLAGS,
	FL_METRIC_B_FLAGS,
	FL_METRIC_A_FIRST,
	FL_METRIC_B_FIRST,
	FL_METRIC_A_REJECTED,
	FL_METRIC_B_REJECTED,
	FL_METRIC_OUT_BYTES,
	FL_METRIC_IN_BYTES,
	FL_METRIC_OK, /* records of each status, whether there were flows or not */
	FL_METRIC_NODATA,
	FL_METRIC_SKIPDATA,
	FL_METRICS
};

struct fl_key_def {
	const char *name;
	enum fl_group_type type;
	enum fl_show show;
	uint16_t needs; /* enum fl_need, as bits */
};
struct fl_metric_def {
	const char *name;
	enum fl_measure_kind kind;
	enum fl_group_type type; /* DISTINCT: of the values */
	enum fl_show show;
	uint16_t needs;
};
const struct fl_key_def *fl_key_def(enum fl_key_name k);
const struct fl_metric_def *fl_metric_def(enum fl_metric m);

/* Columns of records that are looked at. */
enum fl_need {
	FL_NEED_SRC,
	FL_NEED_DST,
	FL_NEED_SPORT,
	FL_NEED_DPORT,
	FL_NEED_PROTOCOL,
	FL_NEED_PACKETS,
	FL_NEED_BYTES,
	FL_NEED_START,
	FL_NEED_END,
	FL_NEED_ACTION,
	FL_NEED_FLAGS,
	FL_NEED_ENI,
	FL_NEED_ACCOUNT,
	FL_NEED_VPC,
	FL_NEED_VERSION,
	FL_NEED_STATUS,
	FL_NEEDS
};
extern const char *const fl_need_columns[FL_NEEDS];

struct fl_derive_conf {
	int position[FL_NEEDS];              /* in batches; -1: not there */
	uint64_t bucket;                     /* seconds */
	const struct fl_filter_bound *local; /* records whose source is an end that was asked about; NULL: none is */
};
struct fl_derive; /* of one thread: room for what is computed */
int fl_derive_new(struct fl_derive **ret, const struct fl_derive_conf *conf);
void fl_derive_free(struct fl_derive **d);
void fl_derive_begin(struct fl_derive *d, const struct fl_batch *b); /* what was computed is of another batch */
void fl_derive_key(struct fl_derive *d, enum fl_key_name k, struct fl_group_vector *ret);
/* Times that cannot be (record/columns.h) so far, and the last of them with its column; 0: none. */
uint64_t fl_derive_odd_times(const struct fl_derive *d, const char **ret_column, uint64_t *ret_time);
void fl_derive_metric(struct fl_derive *d, enum fl_metric m, struct fl_group_vector *ret);

/* Which end of a flow is the server, as far as ports tell (detection.md section 3): above 0 the one with port b, below
 * 0 the one with port a, in tenths of its weights. */
int fl_port_evidence(unsigned protocol, uint64_t a, uint64_t b);
