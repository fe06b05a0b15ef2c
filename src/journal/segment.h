/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside the room "journal": what is in the directory.
 *
 *   seg.000 ...  preallocated files. A header names the segment's number, which only grows; the
 * file with the lowest is recycled for the next. Behind it, records: a 16-byte header, a payload,
 * padding to 8. The checksum covers the segment's number and the record's offset, so nothing that
 * an earlier use of the file left behind can be taken for valid. head         where the last commit
 * ends: readers go no further. Written after the fsync. cursor.NAME  what a consumer has read.
 *
 * The first record of a segment tells what was dropped by recycling, so far; the last is an end
 * mark.
 */
#pragma once

#include "journal/journal.h"

#define FL_SEGMENTS_MAX 64u
#define FL_SEGMENT_MIN (16u << 10)
#define FL_SEGMENT_MAX (1u << 30)
#define FL_SEGMENT_NAME_MAX 16
#define FL_DROPS_MAX 512u
#define FL_CURSORS_MAX 64u

struct fl_segment_head {
	char magic[8];
	uint64_t number; /* 0: free */
	uint64_t size;   /* of the file */
	uint32_t version, pad[8];
	uint32_t crc; /* of all before it */
};
_Static_assert(sizeof(struct fl_segment_head) == 64, "one sector write");
#define FL_SEGMENT_MAGIC "FLJSEG1"

enum fl_rec_type { FL_REC_NONE = 0, FL_REC_FRAME, FL_REC_COMMIT, FL_REC_END, FL_REC_DROPPED, FL_REC_N };
struct fl_rec {
	uint32_t crc;
	uint32_t len; /* payload */
	uint16_t type;
	uint16_t piece; /* of a frame that did not fit into one record */
	uint32_t more;  /* 1: another piece of the same frame follows */
};
_Static_assert(sizeof(struct fl_rec) == 16, "a record's header");
#define FL_REC_SPAN(len) (sizeof(struct fl_rec) + (((uint64_t)(len) + 7) & ~7ull))

struct fl_commit {
	uint32_t window, length;
	int64_t start;
};

struct fl_head {
	char magic[8];
	struct fl_position end; /* of the last commit */
	uint32_t pad, crc;
};
#define FL_HEAD_MAGIC "FLJHEAD"

/* What one interface lost to recycling between two positions. */
struct fl_drop {
	struct fl_position from, to; /* of its frames: first one's start, last one's end */
	int64_t start, end;          /* wall clock seconds */
	uint64_t frames, flows;
	uint64_t unread; /* 1: some consumer had not read it */
	struct fl_count recorded[FL_DIR_N];
	struct fl_eni eni; /* interface_id empty: several, merged because there were too many */
};

void fl_segment_name(unsigned i, char ret[FL_SEGMENT_NAME_MAX]);
uint32_t fl_rec_crc(uint64_t segment, uint64_t offset, const struct fl_rec *r, const void *payload);
/* The number in a segment's header, 0 when it is free or not valid. */
uint64_t fl_segment_number(int fd);
void fl_segment_head_init(struct fl_segment_head *h, uint64_t number, uint64_t size);
int fl_head_write(int fd, struct fl_position end);
int fl_head_read(int dirfd, struct fl_position *ret); /* {0,0} when there is none */
/* All cursors in the directory, ascending. */
int fl_cursors_list(int dirfd, struct fl_position ret[FL_CURSORS_MAX], size_t *ret_n);

/* The list of drops, oldest first; never longer than max. */
struct fl_drops {
	struct fl_drop *drop;
	size_t n, max;
};
void fl_drop_merge(struct fl_drop *into, const struct fl_drop *x);
void fl_drops_free(struct fl_drops *d);
int fl_drops_add(struct fl_drops *d, const struct fl_drop *drop);
int fl_drops_put(const struct fl_drops *d, struct fl_buf *out);
int fl_drops_get(struct fl_drops *d, const void *data, size_t n); /* replaces the list */
