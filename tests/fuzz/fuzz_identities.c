/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as the history of identities: read, asked, written anew and read again. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "inventory/inventory.h"

static char store[64];
static int dirfd = -1;

static void forget_store(void)
{
	unlinkat(dirfd, FL_IDENTITIES_FILE, 0);
	unlinkat(dirfd, "inventory", AT_REMOVEDIR);
	rmdir(store);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t n);
int LLVMFuzzerTestOneInput(const unsigned char *data, size_t n)
{
	struct fl_identity who = {.interface_id = "eni-1", .name = "last", .kind = "vm"};
	struct fl_identities *i = NULL;
	struct fl_identity_log *l = NULL;
	const struct fl_identity *e;
	size_t at = 0, before = 0, after = 0;

	if (dirfd < 0) {
		/* in memory: the writer waits for the disk */
		snprintf(store, sizeof store, "%s/fl-fuzz-XXXXXX", access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm");
		if (!mkdtemp(store) || (dirfd = open(store, O_RDONLY | O_DIRECTORY)) < 0 ||
		    fl_mkdirs(dirfd, "inventory", 0700))
			abort();
		atexit(forget_store);
	}
	if (fl_file_write_atomic(dirfd, FL_IDENTITIES_FILE, data, n, 0600, false) || fl_identities_new(&i, store) ||
	    fl_identity_log_new(&l, dirfd))
		abort();
	while ((e = fl_identities_next(i, &at))) {
		before += strcmp(e->interface_id, "eni-1") != 0;
		if (fl_identities_now(i, e->interface_id) != e &&
		    fl_identities_now(i, e->interface_id)->until != INT64_MAX)
			abort();
		fl_identities_at(i, e->interface_id, 0, 60);
	}
	if (fl_identity_log_set(l, &who, 1000))
		abort();
	fl_identities_refresh(i);
	for (at = 0; (e = fl_identities_next(i, &at));)
		after += strcmp(e->interface_id, "eni-1") != 0;
	if (before != after || !fl_identities_now(i, "eni-1"))
		abort();
	fl_identity_log_free(&l);
	fl_identities_free(&i);
	return 0;
}
