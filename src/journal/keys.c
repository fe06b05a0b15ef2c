/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/hash.h"
#include "journal/writer.h"

uint64_t fl_frame_key(const struct fl_frame *f)
{
	struct {
		uint8_t boot[16];
		uint32_t epoch, window, part, pad;
		char interface[24];
	} k = {.epoch = f->window.epoch, .window = f->window.window, .part = f->window.part};
	uint64_t h;

	memcpy(k.boot, f->window.boot_id, sizeof k.boot);
	memcpy(k.interface, f->eni.interface_id, sizeof f->eni.interface_id);
	h = fl_hash_bytes(&k, sizeof k, 0x666c6f776c6f67);
	return h ? h : 1;
}

bool fl_keys_have(const struct keys *k, uint64_t key)
{
	for (size_t i = key & (k->cap - 1); k->cap && k->slot[i]; i = (i + 1) & (k->cap - 1))
		if (k->slot[i] == key)
			return true;
	return false;
}

static void keys_put(struct keys *k, uint64_t key)
{
	size_t i = key & (k->cap - 1);

	while (k->slot[i] && k->slot[i] != key)
		i = (i + 1) & (k->cap - 1);
	k->n += !k->slot[i];
	k->slot[i] = key;
}

int fl_keys_add(struct keys *k, uint64_t key)
{
	if (2 * k->n >= k->cap) {
		struct keys grown = {.cap = FL_MAX(k->cap * 2, (size_t)256)};

		grown.slot = calloc(grown.cap, sizeof *grown.slot);
		if (!grown.slot)
			return fl_fail(-ENOMEM, "journal: no memory for %zu keys", grown.cap);
		for (size_t i = 0; i < k->cap; i++)
			if (k->slot[i])
				keys_put(&grown, k->slot[i]);
		free(k->slot);
		*k = grown;
	}
	keys_put(k, key);
	return 0;
}

void fl_keys_clear(struct keys *k)
{
	free(k->slot);
	*k = (struct keys){0};
}
