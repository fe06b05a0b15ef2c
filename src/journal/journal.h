/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Face of the stage "journal": the one hand-over of the live path. A durable append-only log of closed windows: one
 * frame a window and interface, sorted by interface and key, length- and checksum-protected, idempotent by (boot id,
 * interface epoch, window, part). Preallocated quota, segments recycled; the oldest unread window is dropped when the
 * quota is reached, counted and reported to the cursor as a gap. One writer; any number of readers in other processes.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "inventory/inventory.h"
#include "meter/meter.h"
#include "base/mem.h"

struct fl_window {
	uint8_t boot_id[16];
	uint32_t epoch;  /* of the interface: grows with every attachment in a slot */
	uint32_t window; /* number; only grows within a boot id */
	uint32_t part;   /* 0; later parts carry what came after the window was closed */
	uint32_t flags;  /* FL_WINDOW_* */
	int64_t start;   /* Unix seconds, wall clock */
	uint32_t length; /* seconds */
};
#define FL_WINDOW_SKIPDATA 1u    /* something of this window on this interface was not captured */
#define FL_WINDOW_PROVISIONAL 2u /* the open window: only in snapshots, never in the journal */
#define FL_WINDOW_VERDICTS 4u    /* the kernel told what it dropped; unset: ACCEPT only means "not seen rejected" */
#define FL_WINDOW_POLICY 16u     /* what the inventory's rules deny is REJECT here */
#define FL_WINDOW_SILENT                                                                                               \
	8u /* set by scan: the flow log has no record of this interface yet, so NODATA is not written */

/* Where a window's verdicts come from, for people and scripts. */
static inline const char *fl_verdict_source(uint32_t flags)
{
	static const char *const names[] = {"none", "kernel", "policy", "kernel+policy"};

	return names[!!(flags & FL_WINDOW_VERDICTS) + 2 * !!(flags & FL_WINDOW_POLICY)];
}

/*
 * A flow's key.iface is meaningless in a frame but for this: when the frame has addresses behind this host's own
 * (masquerade, forwarded ports), it is 0 or FL_INSIDE_DST | number of the address from 1. The address stands behind
 * dst, else behind src.
 */
#define FL_INSIDE_MAX 200 /* of one frame; further ones show the addresses on the wire */
#define FL_INSIDE_DST 0x8000u

/*
 * What decided about a flow, kept beside it; texts are words of printable ASCII without quotes, commas and backslashes.
 * Of a rule: struct fl_opinion's text (policy/policy.h). Where rules are not
 * in force (no FL_WINDOW_POLICY) their opinion is kept all the same and has changed no action.
 */
#define FL_GROUND_DROP 48
#define FL_GROUND_RULE 128
enum fl_opinion_of_rules { FL_OPINION_NONE, FL_OPINION_ACCEPT, FL_OPINION_REJECT, FL_OPINION_N };
struct fl_ground {
	char drop[FL_GROUND_DROP]; /* the kernel's name of why it dropped the packets; "" */
	char rule[FL_GROUND_RULE]; /* of the inventory; "": nothing was judged */
	uint8_t opinion;           /* enum fl_opinion_of_rules */
	uint8_t reason;            /* of the rules: enum fl_reason (record/record.h) */
};
#define FL_GROUNDS_MAX 1000 /* different ones in a frame */

struct fl_frame {
	struct fl_window window;
	struct fl_eni eni;
	struct fl_ledger ledger[FL_DIR_N]; /* by enum fl_dir */
	const struct fl_flow *flows;       /* sorted by key, then action; key.iface is meaningless here */
	size_t n_flows;
	uint32_t n_inside;
	struct fl_addr inside[FL_INSIDE_MAX];
	const struct fl_ground *grounds;
	uint32_t n_grounds;
	const uint16_t *ground; /* by flow: its ground's number from 1, 0: none; NULL: no flow has one */
};

static inline const struct fl_ground *fl_frame_ground(const struct fl_frame *f, size_t flow)
{
	unsigned number = f->ground ? f->ground[flow] : 0;

	return number && number <= f->n_grounds ? &f->grounds[number - 1] : NULL;
}

/* enum fl_reason of the record that the flow becomes. */
static inline uint8_t fl_frame_reason(const struct fl_frame *f, size_t flow)
{
	const struct fl_ground *g = f->window.flags & FL_WINDOW_POLICY ? fl_frame_ground(f, flow) : NULL;

	return g && f->flows[flow].action && g->opinion == FL_OPINION_REJECT ? g->reason : 0;
}

/* What stands behind src or dst of a frame's flow; NULL: nothing else. */
static inline const struct fl_addr *fl_frame_inside(const struct fl_frame *f, const struct fl_key *key, bool dst)
{
	unsigned number = key->iface & ~FL_INSIDE_DST;

	return number && number <= f->n_inside && !!(key->iface & FL_INSIDE_DST) == dst ? &f->inside[number - 1] : NULL;
}

#define FL_JOURNAL_FLOWS_MAX (1u << 24) /* in one frame; a larger window is written in parts */

/* ---- writing ---- */
struct fl_journal;
struct fl_journal_conf {
	uint64_t quota_bytes;   /* preallocated */
	uint64_t segment_bytes; /* 0: quota / 8 */
};
int fl_journal_open(struct fl_journal **ret, int dirfd, const struct fl_journal_conf *conf); /* repairs a torn tail */
void fl_journal_close(struct fl_journal **j);
#define FL_JOURNAL_DUPLICATE 1 /* a frame of this key is there already: nothing written */
int fl_journal_append(struct fl_journal *j, const struct fl_frame *frame);
/* fsync; after it everything appended is durable and visible to readers. Marks the end of the window. */
int fl_journal_commit(struct fl_journal *j, uint32_t window, int64_t start, uint32_t length);
/* Readers' cursors, so that retention knows what is unread: consumer files live in dirfd as cursor.<name>. */
/* Since opening. Dropped counts what some consumer had not read (all of it when there is no consumer). oldest_unread_s:
 * Unix time of the oldest window that some consumer has not read, 0: none. */
struct fl_journal_stats {
	uint64_t frames, flows, bytes, dropped_windows, dropped_flows, oldest_unread_s;
};
void fl_journal_stats(const struct fl_journal *j, struct fl_journal_stats *ret);

/* ---- reading ---- */
struct fl_position {
	uint64_t segment, offset;
}; /* totally ordered; {0,0} is the beginning of what is held */
static inline int fl_position_cmp(struct fl_position a, struct fl_position b)
{
	if (a.segment != b.segment)
		return a.segment < b.segment ? -1 : 1;
	return a.offset < b.offset ? -1 : a.offset > b.offset;
}

struct fl_reader;
int fl_reader_open(struct fl_reader **ret, int dirfd, struct fl_position from);
void fl_reader_close(struct fl_reader **r);
/* 1: a frame (valid until the next call); 0: nothing more that is committed; FL_READER_WINDOW_END: a commit mark;
 * FL_READER_GAP: windows were dropped before this position, one call an interface: ret->window.start/length span what
 * is missing, ret->eni names the interface (interface_id empty: not known any more), ret->n_flows and
 * ret->ledger[].lost[journal-quota] say how much, ret->flows is NULL. The position moves with the last of them. A frame
 * that was too long for a segment comes in pieces, the ledger and FL_WINDOW_SKIPDATA with the first. Negative: damaged
 * (position in the sentence); -EBADMSG moved to the next segment, so that the caller may go on. */
#define FL_READER_WINDOW_END 2
#define FL_READER_GAP 3
int fl_reader_next(struct fl_reader *r, struct fl_frame *ret);
int fl_reader_skim(struct fl_reader *r, struct fl_frame *ret); /* the same without decoding flows: ret->flows is NULL */
struct fl_position fl_reader_position(const struct fl_reader *r); /* after what was returned last */
int fl_journal_begin(int dirfd,
		     struct fl_position *ret); /* where what is held begins; {0,0}: there is no journal yet */
int fl_cursor_save(int dirfd, const char *name, struct fl_position pos);  /* durable */
int fl_cursor_load(int dirfd, const char *name, struct fl_position *ret); /* {0,0} when there is none */

/* One frame to and from bytes: also used for the snapshot of the open window (status/open). */
int fl_frame_encode(const struct fl_frame *f, struct fl_buf *out);
/* 1: frame decoded and the cursor moved; 0: not complete; negative: damaged. flows and grounds point into malloc'd
 * *store, which the caller frees and which is reused. */
struct fl_cursor;
int fl_frame_decode(struct fl_cursor *c, struct fl_frame *ret, void **store, size_t *store_size);
