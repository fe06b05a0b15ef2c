/* SPDX-License-Identifier: Apache-2.0 */
/* A store with a journal and its delivery, the windows that are put into it, and the lines that come of them. */
#pragma once

#include "deliver/faults.h"
#include "deliver/lines.h"
#include "deliver/log.h"

#define BASE 1735689600 /* 2025-01-01 00:00:00 */

struct rig {
	struct temp t;
	int journalfd;
	struct fl_journal *j;
	struct fl_clock_sim now;
	struct fl_flow_log log;
	struct fl_delivery *d;
	struct fl_identities *identities;
};

extern enum fl_file_format rig_format; /* of the flow logs of a test */
struct fl_flow_log a_log(uint32_t interval);

void rig_open(struct rig *r, struct temp t, struct fl_flow_log log, uint64_t quota, uint64_t segment);
void rig_deliver(struct rig *r); /* opens the delivery again */
void rig_close(struct rig *r);
/* The clock goes to the end of the window with it. */
int rig_run(struct rig *r, int64_t now, bool flush);

/* What interface i has in window w: interface 1 is silent at first, every third window and in the
 * second half of ten minutes, interface 2 always, until 4. */
size_t flows_in(unsigned i, uint32_t w);
struct fl_flow *flows_of(unsigned i, uint32_t w, uint32_t length);
void append(struct fl_journal *j, uint32_t w, uint32_t length, uint32_t flags);

/* Lines of windows [from, to) with an interval as long as the window. seen: interfaces that have
 * had a record. */
void expect(struct lines *l, uint32_t from, uint32_t to, uint32_t length, bool seen[3]);
/* Those of windows of a minute with an interval of ten, but for the missing ones. */
void expect_merged(struct lines *l, uint32_t windows, uint32_t missing_from, uint32_t missing_to);
void check_store(const struct temp *t, const struct lines *want, const char *what);

/* A test, and the same with Parquet. */
int rig_as_parquet(void **state);
int rig_as_text(void **state);
#define BOTH(test)                                                                                                     \
	cmocka_unit_test(test),                                                                                        \
	{                                                                                                              \
#test "_as_parquet", test, rig_as_parquet, rig_as_text, NULL                                           \
	}
