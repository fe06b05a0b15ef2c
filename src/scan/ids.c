/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>

#include "scan/set.h"

static size_t slot_of(const struct fl_file_id *table, size_t cap, const struct fl_file_id *id)
{
	uint64_t mixed = ((uint64_t)id->ino ^ (uint64_t)id->dev << 32) * UINT64_C(0x9e3779b97f4a7c15);
	size_t at = (size_t)(mixed >> 20) & (cap - 1);

	while (table[at].ino && (table[at].ino != id->ino || table[at].dev != id->dev))
		at = (at + 1) & (cap - 1);
	return at;
}

int fl_ids_add(struct fl_file_id **ids, size_t *n, size_t *cap, const struct stat *st)
{
	struct fl_file_id id = {st->st_dev, st->st_ino};
	size_t at;

	if (2 * *n >= *cap) {
		size_t more = *cap ? 2 * *cap : 256;
		struct fl_file_id *grown = calloc(more, sizeof *grown);

		if (!grown)
			return -ENOMEM;
		for (size_t i = 0; i < *cap; i++)
			if ((*ids)[i].ino)
				grown[slot_of(grown, more, &(*ids)[i])] = (*ids)[i];
		free(*ids);
		*ids = grown;
		*cap = more;
	}
	at = slot_of(*ids, *cap, &id);
	if ((*ids)[at].ino)
		return 0;
	(*ids)[at] = id;
	++*n;
	return 1;
}
