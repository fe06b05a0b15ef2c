/* SPDX-License-Identifier: Apache-2.0 */
/* Memory of a network: an arena, each text once, and the nouns with their index by id. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/grid.h"
#include "base/hash.h"
#include "inventory/network_build.h"

#define CHUNK 262144

struct fl_arena_chunk {
	struct fl_arena_chunk *next;
	size_t used, size;
	max_align_t data[];
};

const struct fl_noun_row fl_noun_rows[FL_NOUN_N] = {
#define FL_NOUN(kind, type, suffix, people_, prefix_) [FL_NOUN_##kind] = {people_, prefix_, sizeof(struct type)},
    FL_NOUNS(FL_NOUN)
#undef FL_NOUN
};

void *fl_arena_get(struct fl_arena *a, size_t n)
{
	struct fl_arena_chunk *c = a->head;
	void *p;

	n = (n + sizeof(max_align_t) - 1) / sizeof(max_align_t) * sizeof(max_align_t);
	if (!c || c->size - c->used < n) {
		size_t size = FL_MAX(n, (size_t)CHUNK);

		c = calloc(1, sizeof *c + size);
		if (!c) {
			a->oom = true;
			return NULL;
		}
		c->size = size;
		/* a large one of its own leaves the chunk that is being filled in front */
		if (a->head && n > CHUNK / 4) {
			c->next = a->head->next;
			a->head->next = c;
		} else {
			c->next = a->head;
			a->head = c;
		}
	}
	p = (char *)c->data + c->used;
	c->used += n;
	return p;
}

void fl_arena_free(struct fl_arena *a)
{
	while (a->head) {
		struct fl_arena_chunk *next = a->head->next;

		free(a->head);
		a->head = next;
	}
	*a = (struct fl_arena){0};
}

void *fl_arena_append(struct fl_arena *a, void *array_pointer, size_t *n, size_t size)
{
	char *array;

	memcpy(&array, array_pointer, sizeof array);
	if ((*n & (*n - 1)) == 0) { /* full: 0, or a power of two */
		char *more = fl_arena_get(a, (*n ? *n * 2 : 1) * size);

		if (!more)
			return NULL;
		if (*n)
			memcpy(more, array, *n * size);
		array = more;
		memcpy(array_pointer, &array, sizeof array);
	}
	return array + (*n)++ * size;
}

static bool grow_strings(struct fl_strings *s)
{
	size_t cap = s->cap ? s->cap * 2 : 4096;
	const char **slot = calloc(cap, sizeof *slot);

	if (!slot)
		return false;
	for (size_t i = 0; i < s->cap; i++) {
		size_t at;

		if (!s->slot[i])
			continue;
		at = fl_hash_bytes(s->slot[i], strlen(s->slot[i]), s->seed) & (cap - 1);
		while (slot[at])
			at = (at + 1) & (cap - 1);
		slot[at] = s->slot[i];
	}
	free((void *)s->slot);
	s->slot = slot;
	s->cap = cap;
	return true;
}

static const char *intern_clean(struct fl_network *net, const char *text, size_t n)
{
	struct fl_buf clean FL_CLEANUP(fl_buf_free) = FL_BUF(n + 1);

	if (!fl_grid_clean(&clean, text, n))
		net->arena.oom = true;
	return fl_network_intern(net, clean.data, clean.len);
}

const char *fl_network_intern(struct fl_network *net, const char *text, size_t n)
{
	struct fl_strings *s = &net->strings;
	size_t at;
	char *copy;

	n = strnlen(text, n);
	if (!n)
		return "";
	/* AWS allows control characters nowhere: whoever prints a name need not think of them. */
	if (!fl_grid_is_clean(text, n))
		return intern_clean(net, text, n);
	if (!s->seed)
		s->seed = fl_random_seed() | 1;
	if (s->n * 2 >= s->cap && !grow_strings(s)) {
		net->arena.oom = true;
		return "";
	}
	at = fl_hash_bytes(text, n, s->seed) & (s->cap - 1);
	for (; s->slot[at]; at = (at + 1) & (s->cap - 1))
		if (!strncmp(s->slot[at], text, n) && !s->slot[at][n])
			return s->slot[at];
	copy = fl_arena_get(&net->arena, n + 1);
	if (!copy)
		return "";
	memcpy(copy, text, n);
	s->slot[at] = copy;
	s->n++;
	return copy;
}

/* ---- nouns ---- */

static const char *id_at(const struct fl_store *s, enum fl_noun_kind kind, size_t i)
{
	return ((const struct fl_noun *)fl_store_at(s, i, fl_noun_rows[kind].size))->id;
}

static uint32_t *slot_of(const struct fl_network *net, enum fl_noun_kind kind, const char *id)
{
	const struct fl_store *s = &net->store[kind];
	size_t at = fl_hash_bytes(id, strlen(id), net->strings.seed) & (s->slots - 1);

	while (s->slot[at] && strcmp(id_at(s, kind, s->slot[at] - 1), id))
		at = (at + 1) & (s->slots - 1);
	return &s->slot[at];
}

void *fl_network_by_id(const struct fl_network *net, enum fl_noun_kind kind, const char *id)
{
	const struct fl_store *s = &net->store[kind];
	uint32_t *slot;

	if (!s->n || !id || !*id)
		return NULL;
	slot = slot_of(net, kind, id);
	return *slot ? fl_store_at(s, *slot - 1, fl_noun_rows[kind].size) : NULL;
}

static bool grow_store(struct fl_network *net, enum fl_noun_kind kind)
{
	struct fl_store *s = &net->store[kind];
	size_t cap = s->cap ? s->cap * 2 : 64;
	char *v = realloc(s->v, cap * fl_noun_rows[kind].size);
	void *state;
	uint32_t *slot;

	if (!v)
		return false;
	s->v = v;
	state = realloc(s->state, cap * sizeof *s->state);
	if (!state)
		return false;
	s->state = state;
	slot = calloc(cap * 2, sizeof *slot);
	if (!slot)
		return false;
	free(s->slot);
	s->slot = slot;
	s->slots = cap * 2;
	s->cap = cap;
	for (size_t i = 0; i < s->n; i++)
		*slot_of(net, kind, id_at(s, kind, i)) = (uint32_t)i + 1;
	return true;
}

/* A prefix and 8 or 17 hex digits, as long as a record's member holds. Gateways are of five kinds with five prefixes,
 * ECS's ids are ARNs. */
static bool id_is_well(struct fl_reader *r, enum fl_noun_kind kind, const char *id)
{
	const struct fl_noun_row *row = &fl_noun_rows[kind];
	size_t prefix = strlen(row->prefix);

	if (!id || !*id) {
		fl_problem(r, true, "a %s without an id; left out", row->people);
		return false;
	}
	if (!prefix || kind == FL_NOUN_TASK)
		return true;
	if (strncmp(id, row->prefix, prefix) || strlen(id) > prefix + 17 ||
	    id[prefix + strspn(id + prefix, "0123456789abcdefghijklmnopqrstuvwxyz-")]) {
		fl_problem(r, true,
			   "\"%.64s\" is not the id of a %s: expected %s and up to 17 letters and digits; left out", id,
			   row->people, row->prefix);
		return false;
	}
	return true;
}

static void settle_pending(struct fl_reader *r, enum fl_noun_kind kind, uint32_t index, uint32_t generation)
{
	for (size_t i = r->item_pending; i < r->n_pending; i++) {
		r->pending[i].owner_kind = (uint8_t)kind;
		r->pending[i].owner = index;
		r->pending[i].generation = generation;
	}
	r->item_pending = r->n_pending;
}

bool fl_noun_store(struct fl_reader *r, enum fl_noun_kind kind, unsigned part, void *noun)
{
	const struct fl_noun_row *row = &fl_noun_rows[kind];
	struct fl_network *net = r->net;
	struct fl_store *s = &net->store[kind];
	struct fl_noun *n = noun;
	uint32_t *slot, i;

	if (!id_is_well(r, kind, n->id)) {
		r->n_pending = r->item_pending;
		return false;
	}
	if (s->n >= s->cap && (s->n >= FL_NETWORK_NOUNS_MAX || !grow_store(net, kind))) {
		net->arena.oom = true;
		r->n_pending = r->item_pending;
		return false;
	}
	n->file = r->file;
	slot = slot_of(net, kind, n->id);
	if (!*slot) {
		i = (uint32_t)s->n++;
		*slot = i + 1;
		s->state[i] = (struct fl_noun_state){0};
	} else {
		i = *slot - 1;
		if (s->state[i].parts >> part & 1) {
			if (!r->over)
				fl_problem(r, false, "%s %s again; the later one is used", row->people, n->id);
			s->state[i].generation += !fl_kinds[part].joins;
			s->state[i].parts &= fl_kinds[part].joins ? ~UINT64_C(0) : 0;
		}
	}
	s->state[i].parts |= UINT64_C(1) << part;
	memcpy(fl_store_at(s, i, row->size), noun, row->size);
	settle_pending(r, kind, i, s->state[i].generation);
	return true;
}
