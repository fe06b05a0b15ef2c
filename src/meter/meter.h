/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Face of the stage "meter": observations in, closed windows out, and the ledger that makes them add up.
 * It never asks the time; windows are numbers that come with the observations.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "flow/flow.h"

/* ---- the ledger: seen + dropped before the interface = recorded + excluded (by rule) + lost (by cause) ---- */

enum fl_rule {
#define FL_RULE(id, name, help) FL_RULE_##id,
#define FL_LOSS(id, name, help)
#define FL_VERDICT(id, name, help)
#include "meter/ledger.def"
#undef FL_RULE
#undef FL_LOSS
#undef FL_VERDICT
	FL_RULE_N,
	FL_RULE_AWS_N = FL_RULE_VLAN /* those before it are AWS's exclusions, to be switched on and off */
};
enum fl_loss {
#define FL_RULE(id, name, help)
#define FL_LOSS(id, name, help) FL_LOSS_##id,
#define FL_VERDICT(id, name, help)
#include "meter/ledger.def"
#undef FL_RULE
#undef FL_LOSS
#undef FL_VERDICT
	FL_LOSS_N
};
enum fl_verdict {
#define FL_RULE(id, name, help)
#define FL_LOSS(id, name, help)
#define FL_VERDICT(id, name, help) FL_VERDICT_##id,
#include "meter/ledger.def"
#undef FL_RULE
#undef FL_LOSS
#undef FL_VERDICT
	FL_VERDICT_N
};
extern const char *const fl_rule_names[FL_RULE_N];
extern const char *const fl_loss_names[FL_LOSS_N];
extern const char *const fl_verdict_names[FL_VERDICT_N], *const fl_verdict_helps[FL_VERDICT_N];

struct fl_count {
	uint64_t packets, bytes;
};

void fl_count_add(struct fl_count *sum, const struct fl_count *c);
struct fl_count fl_count_total(const struct fl_count *part, size_t n);

/* One row: interface, direction, window. Sums of rows are rows. */
struct fl_ledger {
	uint64_t skbs;                          /* buffers the kernel handed us; capture files: frames */
	struct fl_count seen, recorded, not_ip; /* not_ip bytes are layer 2 */
	struct fl_count excluded[FL_RULE_N], lost[FL_LOSS_N];
	struct fl_count verdict[FL_VERDICT_N]; /* all but UNMATCHED are among what was recorded or excluded */
};
void fl_ledger_add(struct fl_ledger *sum, const struct fl_ledger *row);
/* seen + before the interface - recorded - excluded - lost, for packets; 0 when it balances. */
int64_t fl_ledger_gap(const struct fl_ledger *l);
/* As JSON, within an object: "key":{"packets","bytes"}; and of a ledger seen, recorded, excluded with its rules and
 * lost with its causes, those that are not zero. */
struct fl_json;
void fl_count_json(struct fl_json *j, const char *key, const struct fl_count *c);
void fl_ledger_json(struct fl_json *j, const struct fl_ledger *l);

/* ---- flows of a closed window ---- */

/* 64 bytes, one cache line. Times in ms from the window's start (24 bits: windows up to 4.6 hours). */
struct fl_flow {
	struct fl_key key;
	uint64_t packets, bytes;
	uint64_t first_ms : 24, last_ms : 24, tcp : 8, action : 8; /* action: enum fl_action of record/, 0 = ACCEPT */
};
_Static_assert(sizeof(struct fl_flow) == 64, "a flow is one cache line");

/* ---- one window's table ---- */

/*
 * Open addressing, 64-byte lines, seeded hash, batches with prefetch, growth in steps small enough to
 * stay under 120 bytes a live flow (measurements.md), huge pages, reuse across windows.
 */
struct fl_table;
struct fl_table_conf {
	size_t memory_limit; /* bytes; 0: none */
	uint64_t seed;
	bool ordered; /* remembers in which order flows came, for 4 bytes a flow and half as many in reserve */
};
int fl_table_new(struct fl_table **ret, const struct fl_table_conf *conf);
void fl_table_free(struct fl_table **t);
/* Adds n observations (their window is not looked at). What does not fit is not added and is summed per
 * interface and direction through lost (may be NULL): called once per observation that did not fit. */
typedef void (*fl_table_lost_fn)(void *ctx, const struct fl_obs *obs);
void fl_table_add(struct fl_table *t, const struct fl_obs *obs, size_t n, fl_table_lost_fn lost, void *ctx);
size_t fl_table_count(const struct fl_table *t);
size_t fl_table_bytes(const struct fl_table *t);
/* A walk in the order flows came where the table is ordered, else in that of their hashes; fn returns non-zero to stop.
 */
int fl_table_each(const struct fl_table *t, int (*fn)(void *ctx, const struct fl_flow *f), void *ctx);
/* All flows sorted by (iface, key); malloc'd, *ret_n entries; the table is left empty with its memory kept. */
int fl_table_take_sorted(struct fl_table *t, struct fl_flow **ret, size_t *ret_n);
void fl_table_clear(struct fl_table *t);
/* Adds the flows of from to the empty table to and empties from. false: to has not enough lines without growing;
 * nothing changed. */
bool fl_table_move(struct fl_table *to, struct fl_table *from);

/* ---- windows by packet time, for capture files and other offline sources ---- */

/*
 * Observations name their window; a window closes when one that is `lateness` later appears, or at the end. An
 * observation of a window already closed opens it again: its flows become further records of that window.
 */
struct fl_meter;
struct fl_meter_conf {
	uint32_t interval_s;
	size_t memory_limit;
	uint64_t seed;
	unsigned lateness; /* windows kept open beside the newest; default 1 */
	uint32_t grace_ms; /* older windows close when the newest is that old; 0: when lateness says so */
	/* A window has closed. The table is the meter's and ordered; walk it, then return. lossy: not everything fitted
	 * into the memory. */
	int (*on_window)(void *ctx, uint32_t window, const struct fl_table *flows, bool lossy);
	void *ctx;
};
int fl_meter_new(struct fl_meter **ret, const struct fl_meter_conf *conf);
void fl_meter_free(struct fl_meter **m);
/* 0 or what on_window returned. Losses to the memory limit go into the ledger row of (iface, dir). */
int fl_meter_add(struct fl_meter *m, const struct fl_obs *obs, size_t n);
int fl_meter_finish(struct fl_meter *m);                               /* closes all windows */
void fl_meter_ledger(const struct fl_meter *m, struct fl_ledger *ret); /* seen and lost summed over everything added */

/* AWS's exclusions as rules. Pure. */
struct fl_exclusions {
	uint32_t on;                /* bit per enum fl_rule */
	struct fl_addr dns, router; /* base + 2 and base + 1 of the interface's network, or all zero */
};
/* -1: not excluded, else the first rule that matches. icmp_type is -1 when unknown. */
int fl_exclusions_match(const struct fl_exclusions *x, const struct fl_key *key, int icmp_type);
int fl_exclusions_parse(const char *names, uint32_t *ret_on); /* "none", "aws", or comma-separated rule names */
