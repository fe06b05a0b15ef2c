/* SPDX-License-Identifier: Apache-2.0 */
#include "flow/fragments.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/mem.h"

#define WAYS 4 /* places an entry can stand in; the oldest gives way */

struct entry {
	struct fl_fragment_key key;
	uint64_t seen_ns; /* of the first fragment; entries with used = 0 are free */
	uint16_t sport, dport;
	uint8_t used;
};

struct fl_fragments {
	struct entry *entry;
	size_t sets;
	uint64_t timeout_ns, seed;
};

int fl_fragments_new(struct fl_fragments **ret, size_t capacity, uint64_t timeout_ns, uint64_t seed)
{
	struct fl_fragments *f = calloc(1, sizeof *f);

	if (!f)
		return -ENOMEM;
	f->sets = 1;
	while (f->sets * WAYS < capacity)
		f->sets *= 2;
	f->entry = calloc(f->sets * WAYS, sizeof *f->entry);
	f->timeout_ns = timeout_ns;
	f->seed = seed;
	if (!f->entry) {
		free(f);
		return -ENOMEM;
	}
	*ret = f;
	return 0;
}

void fl_fragments_free(struct fl_fragments **f)
{
	if (!*f)
		return;
	free((*f)->entry);
	free(*f);
	*f = NULL;
}

static struct entry *set_of(struct fl_fragments *f, const struct fl_fragment_key *key)
{
	return &f->entry[(fl_hash_bytes(key, sizeof *key, f->seed) & (f->sets - 1)) * WAYS];
}

void fl_fragments_first(struct fl_fragments *f, const struct fl_fragment_key *key, uint64_t now_ns, uint16_t sport,
			uint16_t dport)
{
	struct entry *set = set_of(f, key), *at = set;

	for (unsigned i = 0; i < WAYS; i++) {
		if (!set[i].used || !memcmp(&set[i].key, key, sizeof *key)) {
			at = &set[i];
			break;
		}
		if (set[i].seen_ns < at->seen_ns)
			at = &set[i];
	}
	*at = (struct entry){.key = *key, .seen_ns = now_ns, .sport = sport, .dport = dport, .used = 1};
}

bool fl_fragments_find(struct fl_fragments *f, const struct fl_fragment_key *key, uint64_t now_ns, uint16_t *ret_sport,
		       uint16_t *ret_dport)
{
	const struct entry *set = set_of(f, key);

	for (unsigned i = 0; i < WAYS; i++) {
		if (!set[i].used || memcmp(&set[i].key, key, sizeof *key))
			continue;
		if (f->timeout_ns && now_ns > set[i].seen_ns && now_ns - set[i].seen_ns > f->timeout_ns)
			return false;
		*ret_sport = set[i].sport;
		*ret_dport = set[i].dport;
		return true;
	}
	return false;
}
