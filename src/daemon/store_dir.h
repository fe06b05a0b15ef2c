/* SPDX-License-Identifier: Apache-2.0 */
/* The directories of a running daemon: the store, and in shared memory the meter's log of the same
 * store. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#define FL_STORE_ID_MAX 32

struct fl_store_dir {
	char path[4096];          /* resolved */
	char id[FL_STORE_ID_MAX]; /* "flowlog-0123456789abcdef": the name of the pins and in shared
				     memory */
	int statefd, shmfd, lockfd;
	bool has_log; /* an earlier life left its log */
};
#define FL_STORE_DIR ((struct fl_store_dir){.statefd = -1, .shmfd = -1, .lockfd = -1})

/* Makes what is missing, owned by uid, and takes the lock; a directory that is not ours to use is
 * refused. */
int fl_store_dir_open(struct fl_store_dir *d, const char *store, uid_t uid, gid_t gid);
/* clean: the meter has finished and its directory in shared memory goes. */
void fl_store_dir_close(struct fl_store_dir *d, bool clean);
