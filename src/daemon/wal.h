/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The meter's log of what it has taken from the kernel and not yet written to the journal. It lives in shared memory
 * (a directory below /dev/shm): it survives the death of every process, not a power cut. A record is
 * written with one writev before the kernel is told that its data may be forgotten; a record cut short by
 * kill -9 fails its checksum and ends the replay.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

struct fl_wal;

enum fl_wal_type {
	FL_WAL_CLOCK = 1, /* struct fl_wal_clock */
	FL_WAL_SLOT,	  /* struct fl_wal_slot */
	FL_WAL_RING,	  /* struct fl_wal_batch, partials, counts */
	FL_WAL_HALF,	  /* struct fl_wal_batch, partials, counts */
	FL_WAL_CLOSED,	  /* uint32_t window: in the journal, forget it */
	FL_WAL_FLOWS,	  /* snapshot: uint32_t window, uint32_t n, struct fl_flow[n] */
	FL_WAL_COUNTS,	  /* snapshot: uint32_t window, uint32_t n, rows */
	FL_WAL_POSITION,  /* snapshot: struct fl_wal_position */
};

#define FL_WAL_RECORD_MAX (256u << 20)

typedef int (*fl_wal_replay_fn)(void *ctx, uint32_t type, const void *data, size_t n);

/* Replays what is there, oldest first, and cuts a torn tail off. */
int fl_wal_open(struct fl_wal **ret, int dirfd, fl_wal_replay_fn replay, void *ctx);
void fl_wal_close(struct fl_wal **w);
/* Appended when it returns 0. iov may have at most 7 parts. */
int fl_wal_append(struct fl_wal *w, uint32_t type, const struct iovec *iov, unsigned n);
/* A fresh log beside the old one: append the state between begin and commit; commit puts it in its place. */
int fl_wal_snapshot_begin(struct fl_wal *w);
int fl_wal_snapshot_commit(struct fl_wal *w);
uint64_t fl_wal_size(const struct fl_wal *w);
int fl_wal_remove(int dirfd); /* after a clean stop */
