/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The meter's log of what it has taken from the kernel and not yet written to the journal. It lives
 * in shared memory (a directory below /dev/shm): it survives the death of every process, not a
 * power cut. A record is written with one writev before the kernel is told that its data may be
 * forgotten; a record cut short by kill -9 fails its checksum and ends the replay.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

struct fl_wal;

enum fl_wal_type {
	FL_WAL_CLOCK = 1,   /* struct fl_clock_row */
	FL_WAL_SLOT,        /* an interface came, changed or went */
	FL_WAL_RING,        /* batch head, partials, counts */
	FL_WAL_HALF,        /* batch head, partials, counts */
	FL_WAL_CLOSING,     /* a window is frozen as a part: what comes after it is another part */
	FL_WAL_CLOSED,      /* the part is in the journal: forget it; window head, connections */
	FL_WAL_FRESH,       /* the kernel side began anew: what it knew is gone, some windows have a gap
			     */
	FL_WAL_FLOWS,       /* snapshot: window head, struct fl_flow[n] */
	FL_WAL_COUNTS,      /* snapshot: window head, one row */
	FL_WAL_POSITION,    /* snapshot: everything small */
	FL_WAL_BOOT,        /* first record: of which boot the log tells */
	FL_WAL_CONNECTIONS, /* what the rules in force remember */
};

#define FL_WAL_RECORD_MAX (256u << 20)

typedef int (*fl_wal_replay_fn)(void *ctx, uint32_t type, const void *data, size_t n);

/* Replays what is there, oldest first, and cuts a torn tail off. Payloads are aligned to 8 bytes,
 * and so is their length (zeroes fill up): a payload's own length is its type's business. */
int fl_wal_open(struct fl_wal **ret, int dirfd, fl_wal_replay_fn replay, void *ctx);
void fl_wal_close(struct fl_wal **w);
/* Appended when it returns 0; -ENOSPC: shared memory is full, nothing was appended. iov may have at
 * most 6 parts. Small records (below FL_WAL_SMALL) have memory set aside, so that windows can still
 * be closed when there is no room for more data. */
#define FL_WAL_SMALL 1024
int fl_wal_append(struct fl_wal *w, uint32_t type, const struct iovec *iov, unsigned n);
/* A fresh log beside the old one: append the state between begin and commit; commit puts it in its
 * place. */
int fl_wal_snapshot_begin(struct fl_wal *w);
int fl_wal_snapshot_commit(struct fl_wal *w);
void fl_wal_snapshot_abort(struct fl_wal *w); /* the old log stays in force */
uint64_t fl_wal_size(const struct fl_wal *w);
int fl_wal_remove(int dirfd); /* after a clean stop */
