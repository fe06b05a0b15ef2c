/* SPDX-License-Identifier: Apache-2.0 */
#include "inventory/network.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/mem.h"

#define PATH_LIMIT 4096

struct fl_network_times {
	char *store, *dir;
	char path[PATH_LIMIT]; /* of what is read; "": nothing */
	struct fl_network *network;
	int64_t asked;
	bool answered;
};

void fl_network_times_free(struct fl_network_times **t)
{
	if (!*t)
		return;
	fl_network_free(&(*t)->network);
	free((*t)->store);
	free((*t)->dir);
	free(*t);
	*t = NULL;
}

int fl_network_times_new(struct fl_network_times **ret, const char *store, const char *dir)
{
	FL_CLEANUP(fl_network_times_free) struct fl_network_times *t = calloc(1, sizeof *t);

	if (!t)
		return -ENOMEM;
	t->store = strdup(store);
	t->dir = dir && *dir ? strdup(dir) : NULL;
	if (!t->store || (dir && *dir && !t->dir))
		return -ENOMEM;
	*ret = t;
	t = NULL;
	return 0;
}

const struct fl_network *fl_network_times_at(void *ctx, int64_t at)
{
	struct fl_network_times *t = ctx;
	char path[PATH_LIMIT] = "";

	/* Interfaces of one window are asked for one after the other. */
	if (t->answered && t->asked == at)
		return t->network;
	if (t->dir)
		snprintf(path, sizeof path, "%s", t->dir);
	else if (fl_inventory_at(t->store, at, path, sizeof path))
		*path = '\0';
	if (!t->answered || strcmp(path, t->path) != 0) {
		fl_network_free(&t->network);
		if (*path && fl_network_read(&t->network, path))
			t->network = NULL;
	}
	memcpy(t->path, path, sizeof t->path);
	t->asked = at;
	t->answered = true;
	return t->network;
}
