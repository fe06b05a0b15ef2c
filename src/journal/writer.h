/* SPDX-License-Identifier: Apache-2.0 */
/* Inside the room "journal": the writer's own state. open.c makes and repairs it, writer.c appends
 * to it. */
#pragma once

#include "base/cursor.h"
#include "journal/segment.h"

#define FL_BUFFER_MAX ((size_t)64 << 20)
#define FL_SEGMENT_DATA sizeof(struct fl_segment_head)

/* Keys of the frames in one segment, as 64-bit hashes: a set with open addressing. */
struct keys {
	uint64_t *slot;
	size_t n, cap;
};

struct segment {
	int fd;
	unsigned file; /* seg.NNN */
	uint64_t number, size;
	uint64_t end; /* behind the last valid record */
	struct keys keys;
};

struct fl_journal {
	int dirfd, headfd;
	struct segment seg[FL_SEGMENTS_MAX];
	unsigned n, current;
	uint64_t segment_bytes;
	struct fl_position committed;
	struct fl_commit last_commit;
	bool since_commit; /* frames were appended after the last commit mark */
	size_t piece_max;
	struct fl_buf buf;
	struct fl_drops drops;
	uint64_t number_floor; /* segments freed by a repair do not get their numbers again */
	struct fl_journal_stats stats;
};

struct walk {
	const uint8_t *map;
	uint64_t number, size, at; /* at: the record that follows */
};

uint64_t fl_frame_key(const struct fl_frame *f);
bool fl_keys_have(const struct keys *k, uint64_t key);
int fl_keys_add(struct keys *k, uint64_t key);
void fl_keys_clear(struct keys *k);

int fl_walk_open(struct walk *w, const struct segment *s);
void fl_walk_close(struct walk *w);
const struct fl_rec *fl_walk_next(struct walk *w, struct fl_cursor *ret_payload);

int fl_write_all_at(int fd, const void *data, size_t n, uint64_t at);
int fl_journal_publish(struct fl_journal *j);
int fl_segment_free(struct fl_journal *j, unsigned i);
int fl_segment_next(struct fl_journal *j); /* recycles */
