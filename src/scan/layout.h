/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside the room "scan": what directories and names say of the records in files, where they follow AWS's layout
 * (destinations.md 1.1, 1.2):
 *	AWSLogs/ACCOUNT/vpcflowlogs/REGION/YYYY/MM/DD[/HH]/
 *	AWSLogs/aws-account-id=ACCOUNT/aws-service=vpcflowlogs/aws-region=REGION/year=YYYY/month=MM/day=DD[/hour=HH]/
 *	ACCOUNT_vpcflowlogs_REGION_FLOWLOG_YYYYMMDDTHHmmZ_HASH.log.gz
 * Pure; everything else is no layout and says nothing.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/mem.h"

/*
 * A name's time is the beginning of the five minutes in which the records of the file end. To be safe, records may have
 * begun half an hour before it: an aggregation interval is ten minutes at most, the rest is for names that mean the
 * time of writing, and for late delivery. They may end an hour and five minutes after it: files that somebody put
 * together by the hour bear the first name.
 */
#define FL_LAYOUT_BEFORE_S 1800
#define FL_LAYOUT_AFTER_S (3600 + 300)

struct fl_layout_span { /* Unix seconds, both within; INT64_MIN, INT64_MAX: not known */
	int64_t first, last;
};
#define FL_LAYOUT_ANY ((struct fl_layout_span){INT64_MIN, INT64_MAX})

enum fl_layout_level {
	FL_LAYOUT_NONE,
	FL_LAYOUT_REGION,
	FL_LAYOUT_YEAR,
	FL_LAYOUT_MONTH,
	FL_LAYOUT_DAY,
	FL_LAYOUT_HOUR
};

/* A directory's path or a prefix of keys, with or without a slash at its end: how far into the layout it is, and the
 * time that records of files in it and below it have. Further directories below change nothing. */
enum fl_layout_level fl_layout_of_dir(const char *path, struct fl_layout_span *ret);
/* A file's name without directories. False: it is none of AWS's. ret_log: the flow log's id, inside name; ret_slot: its
 * time. Any may be NULL. */
bool fl_layout_of_name(const char *name, struct fl_layout_span *ret, struct fl_str *ret_log, int64_t *ret_slot);
