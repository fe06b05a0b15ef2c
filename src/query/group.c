/* SPDX-License-Identifier: Apache-2.0 */
/* Adding rows to groups: keys are packed by column, hashed, looked up with their memory on its way, then measured. */
#include "query/group.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/hash.h"
#include "query/group_inner.h"
#include "record/columns.h"

static void free_worker(struct fl_group_worker **w)
{
	if (!*w)
		return;
	for (size_t i = 0; i <= FL_GROUP_DISTINCT; i++) {
		fl_group_table_free(&(*w)->part[i].table);
		free((*w)->part[i].run);
		free((*w)->part[i].by_part);
	}
	fl_set_store_free(&(*w)->sets);
	fl_intern_cache_free(&(*w)->cache);
	fl_closep(&(*w)->fd);
	free((*w)->keys);
	free(*w);
	*w = NULL;
}

void fl_groups_free(struct fl_groups **g)
{
	if (!*g)
		return;
	for (unsigned i = 0; i < FL_GROUP_THREADS; i++)
		free_worker(&(*g)->worker[i]);
	fl_interner_free(&(*g)->texts);
	free((*g)->rows);
	free(*g);
	*g = NULL;
}

static int new_worker(struct fl_groups *g, unsigned thread)
{
	struct fl_group_worker *w = calloc(1, sizeof *w);
	uint32_t widest = 0;
	int r;

	if (!w)
		return -ENOMEM;
	g->worker[thread] = w;
	w->groups = g;
	w->fd = -1;
	for (size_t i = 0; i < g->n_parts; i++) {
		widest = FL_MAX(widest, g->in[i].key_bytes);
		r = fl_group_table_init(&w->part[i].table, &g->in[i]);
		if (r)
			return r;
	}
	w->keys = aligned_alloc(64, (size_t)FL_GROUP_AHEAD * widest);
	return w->keys ? fl_intern_cache_new(&w->cache, g->texts) : -ENOMEM;
}

static int lay_out(struct fl_groups *g)
{
	const struct fl_group_conf *c = &g->conf;
	uint8_t all[FL_GROUP_MEASURES], first[FL_GROUP_MEASURES];
	size_t n = 0, counted[FL_GROUP_DISTINCT], distinct = 0;

	for (size_t i = 0; i < c->n_measures; i++) {
		all[i] = (uint8_t)c->measure[i].kind;
		if (c->measure[i].kind != FL_MEASURE_DISTINCT) {
			g->in_measure[n] = i;
			first[n++] = all[i];
			continue;
		}
		if (c->measure[i].type == FL_GROUP_U32) {
			g->in_measure[n] = i;
			first[n++] = all[i];
		}
		if (distinct == FL_GROUP_DISTINCT)
			return fl_fail(-E2BIG, "more than %d distinct counts in one question", FL_GROUP_DISTINCT);
		counted[distinct++] = i;
	}
	fl_group_layout(&g->out, c->key, c->n_keys, NULL, all, c->n_measures);
	if (n || !distinct)
		fl_group_layout(&g->in[g->n_parts++], c->key, c->n_keys, NULL, first, n);
	for (size_t i = 0; i < distinct; i++) {
		struct fl_group_layout *l = &g->in[g->n_parts++];

		fl_group_layout(l, c->key, c->n_keys, &c->measure[counted[i]].type, first, 0);
		l->counted_measure = counted[i];
		l->as_sets = c->measure[counted[i]].type == FL_GROUP_U32;
	}
	return 0;
}

int fl_groups_new(struct fl_groups **ret, const struct fl_group_conf *conf)
{
	struct fl_groups *g FL_CLEANUP(fl_groups_free) = calloc(1, sizeof *g);
	int r;

	*ret = NULL;
	if (!g)
		return -ENOMEM;
	g->conf = *conf;
	g->seed = fl_random_seed();
	if (!conf->threads || conf->threads > FL_GROUP_THREADS || conf->n_keys > FL_GROUP_KEYS ||
	    conf->n_measures > FL_GROUP_MEASURES)
		return fl_fail(-E2BIG, "%u threads, %zu keys, %zu measures: too many", conf->threads, conf->n_keys,
			       conf->n_measures);
	r = fl_interner_new(&g->texts, conf->memory / 2);
	r = r ? r : lay_out(g);
	for (unsigned i = 0; i < conf->threads && !r; i++)
		r = new_worker(g, i);
	if (r)
		return r;
	*ret = g;
	g = NULL;
	return 0;
}

const struct fl_group_conf *fl_groups_conf(const struct fl_groups *g)
{
	return &g->conf;
}

struct fl_group_worker *fl_groups_worker(struct fl_groups *g, unsigned thread)
{
	return g->worker[thread];
}

/* ---- keys ---- */

static int pack_texts(struct fl_group_worker *w, const struct fl_str *text, uint32_t n, char *to, uint32_t stride)
{
	int r = 0;

	for (uint32_t i = 0; i < n && !r; i++) {
		uint32_t id = 0;

		/* Files of one interface repeat themselves. */
		if (i && text[i].n == text[i - 1].n &&
		    (text[i].p == text[i - 1].p || !text[i].n || !memcmp(text[i].p, text[i - 1].p, text[i].n)))
			memcpy(&id, to + (size_t)(i - 1) * stride, 4);
		else if (text[i].p)
			r = fl_intern(w->cache, text[i].p, text[i].n, &id);
		memcpy(to + (size_t)i * stride, &id, 4);
	}
	return r;
}

static int pack_values(struct fl_group_worker *w, enum fl_group_type type, const struct fl_group_vector *v,
		       uint32_t from, uint32_t n, char *to, uint32_t stride)
{
	const uint64_t *u64 = (const uint64_t *)v->value + from;
	const struct fl_addr *addr = (const struct fl_addr *)v->value + from;
	const uint8_t *code = (const uint8_t *)v->value + from;

	switch (type) {
	case FL_GROUP_U64:
		for (uint32_t i = 0; i < n; i++)
			memcpy(to + (size_t)i * stride, &u64[i], 8);
		return 0;
	case FL_GROUP_U32:
		for (uint32_t i = 0; i < n; i++) {
			uint32_t narrow = (uint32_t)u64[i];

			memcpy(to + (size_t)i * stride, &narrow, 4);
		}
		return 0;
	case FL_GROUP_ADDR:
		for (uint32_t i = 0; i < n; i++)
			memcpy(to + (size_t)i * stride, &addr[i], 16);
		return 0;
	case FL_GROUP_CODE:
		for (uint32_t i = 0; i < n; i++)
			to[(size_t)i * stride] = (char)code[i];
		return 0;
	case FL_GROUP_TEXT:
		return pack_texts(w, (const struct fl_str *)v->value + from, n, to, stride);
	}
	return -EINVAL;
}

static bool bit(const uint64_t *bits, uint32_t i)
{
	return bits[i / 64] >> (i % 64) & 1;
}

static void flag(char *keys, uint32_t stride, const uint64_t *bits, uint32_t from, uint32_t n, uint32_t value)
{
	for (uint32_t i = 0; bits && i < n; i++)
		if (bit(bits, from + i)) {
			uint32_t flags;

			memcpy(&flags, keys + (size_t)i * stride, 4);
			flags |= value;
			memcpy(keys + (size_t)i * stride, &flags, 4);
		}
}

/* A value that is counted only in some rows is null in the others. */
static void drop_values(const struct fl_group_layout *l, char *keys, const uint64_t *only, uint32_t from, uint32_t n)
{
	size_t key = l->n_keys ? l->n_keys - 1 : 0;

	for (uint32_t i = 0; only && i < n; i++)
		if (!bit(only, from + i)) {
			char *at = keys + (size_t)i * l->key_bytes;
			uint32_t flags;

			memcpy(&flags, at, 4);
			flags = (flags | FL_GROUP_FLAG_NULL(key)) & ~FL_GROUP_FLAG_V6(key);
			memcpy(at, &flags, 4);
			memset(at + l->offset[key], 0, l->value_bytes);
		}
}

static int pack(struct fl_group_worker *w, const struct fl_group_layout *l, const struct fl_group_vector *keys,
		const struct fl_group_vector *counted, uint32_t from, uint32_t n)
{
	int r = 0;

	memset(w->keys, 0, (size_t)n * l->key_bytes);
	for (size_t k = 0; k < l->n_keys && !r; k++) {
		const struct fl_group_vector *v = counted && k == l->n_keys - 1 ? counted : &keys[k];

		r = pack_values(w, (enum fl_group_type)l->type[k], v, from, n, w->keys + l->offset[k], l->key_bytes);
		flag(w->keys, l->key_bytes, v->null, from, n, FL_GROUP_FLAG_NULL(k));
		if (l->type[k] == FL_GROUP_ADDR)
			flag(w->keys, l->key_bytes, v->v6, from, n, FL_GROUP_FLAG_V6(k));
	}
	if (counted)
		drop_values(l, w->keys, counted->only, from, n);
	return r;
}

/* ---- measures ---- */

static inline __attribute__((always_inline)) void measure_rows(enum fl_measure_kind kind,
							       const struct fl_group_vector *v, uint32_t from,
							       uint32_t n, char **row, uint32_t offset, bool some)
{
	const uint64_t *value = v->value ? (const uint64_t *)v->value + from : NULL;

	if (!value && kind != FL_MEASURE_COUNT)
		return;
	for (uint32_t i = 0; i < n; i++) {
		uint64_t *m = (uint64_t *)(void *)(row[i] + offset);

		if (some && ((v->only && !bit(v->only, from + i)) || (v->null && bit(v->null, from + i))))
			continue;
		switch (kind) {
		case FL_MEASURE_COUNT:
			++*m;
			break;
		case FL_MEASURE_SUM:
			*m = fl_group_add_u64(*m, value[i]);
			break;
		case FL_MEASURE_MIN:
			*m = FL_MIN(*m, value[i]);
			break;
		case FL_MEASURE_MAX:
			*m = FL_MAX(*m, value[i]);
			break;
		case FL_MEASURE_OR:
			*m |= value[i];
			break;
		case FL_MEASURE_DISTINCT:
			break;
		}
	}
}

static void measure(enum fl_measure_kind kind, const struct fl_group_vector *v, uint32_t from, uint32_t n, char **row,
		    uint32_t offset)
{
	bool some = v->only || v->null;

#define MEASURE(k)                                                                                                     \
	case k:                                                                                                        \
		if (some)                                                                                              \
			measure_rows(k, v, from, n, row, offset, true);                                                \
		else                                                                                                   \
			measure_rows(k, v, from, n, row, offset, false);                                               \
		break;
	switch (kind) {
		MEASURE(FL_MEASURE_COUNT)
		MEASURE(FL_MEASURE_SUM)
		MEASURE(FL_MEASURE_MIN)
		MEASURE(FL_MEASURE_MAX)
		MEASURE(FL_MEASURE_OR)
	case FL_MEASURE_DISTINCT:
		break;
	}
#undef MEASURE
}

/* ---- rows ---- */

static int find_rows(struct fl_group_worker *w, size_t part, uint32_t from, uint32_t n,
		     const struct fl_group_vector *keys, const struct fl_group_vector *counted, char **ret_row)
{
	const struct fl_group_layout *l = &w->groups->in[part];
	uint64_t hash[FL_GROUP_AHEAD];
	int r = pack(w, l, keys, counted, from, n);

	for (uint32_t i = 0; i < n && !r; i++)
		hash[i] = fl_group_hash(l, w->keys + (size_t)i * l->key_bytes, w->groups->seed);
	return r ? r : fl_group_table_find(&w->part[part].table, w->keys, hash, n, ret_row);
}

/* Values into their groups' sets; those that no set holds are marked. */
static int add_to_sets(struct fl_group_worker *w, const struct fl_group_vector *v, uint32_t from, uint32_t n,
		       char **row, uint32_t offset, uint64_t ret_wide[FL_BATCH_WORDS], bool *ret_any)
{
	const uint64_t *value = (const uint64_t *)v->value + from;
	int r = 0;

	for (uint32_t i = 0; i < n && !r; i++) {
		if ((v->only && !bit(v->only, from + i)) || (v->null && bit(v->null, from + i)))
			continue;
		if (fl_likely(value[i] < FL_SET_VALUES)) {
			r = fl_set_add(&w->sets, (uint64_t *)(void *)(row[i] + offset), (uint16_t)value[i]);
			continue;
		}
		if (!*ret_any)
			memset(ret_wide, 0, FL_BATCH_WORDS * sizeof *ret_wide);
		*ret_any = true;
		ret_wide[(from + i) / 64] |= UINT64_C(1) << ((from + i) % 64);
	}
	return r;
}

static size_t table_of_values(const struct fl_groups *g, size_t counted_measure)
{
	size_t part = 1;

	while (g->in[part].counted_measure != counted_measure)
		part++;
	return part;
}

static int add_measures(struct fl_group_worker *w, uint32_t from, uint32_t n, const struct fl_group_vector *keys,
			const struct fl_group_vector *measures)
{
	const struct fl_groups *g = w->groups;
	const struct fl_group_layout *l = &g->in[0];
	char *row[FL_GROUP_AHEAD], *unused[FL_GROUP_AHEAD];
	int r = find_rows(w, 0, from, n, keys, NULL, row);

	for (size_t m = 0; m < l->n_measures && !r; m++) {
		const struct fl_group_vector *v = &measures[g->in_measure[m]];
		uint32_t offset = 8 + l->key_bytes + (uint32_t)m * 8;
		uint64_t wide[FL_BATCH_WORDS];
		bool any = false;

		if (l->kind[m] != FL_MEASURE_DISTINCT) {
			measure((enum fl_measure_kind)l->kind[m], v, from, n, row, offset);
			continue;
		}
		r = add_to_sets(w, v, from, n, row, offset, wide, &any);
		if (!r && any) {
			struct fl_group_vector some = *v;

			some.only = wide;
			r = find_rows(w, table_of_values(g, g->in_measure[m]), from, n, keys, &some, unused);
		}
	}
	return r;
}

bool fl_group_is_full(const struct fl_group_worker *w)
{
	const struct fl_groups *g = w->groups;
	uint64_t bytes = w->sets.bytes, rows = 0, most = g->conf.memory / 2 / g->conf.threads;

	/* A table doubles its slots when it is two thirds full; rows of the last chunk may not be used yet. */
	for (size_t i = 0; i < g->n_parts; i++) {
		bytes += fl_group_table_bytes(&w->part[i].table);
		rows += w->part[i].table.rows;
	}
	return bytes > most && rows > FL_GROUP_CHUNK / 2;
}

int fl_group_add(struct fl_group_worker *w, uint32_t n, const struct fl_group_vector *keys,
		 const struct fl_group_vector *measures)
{
	const struct fl_groups *g = w->groups;
	char *row[FL_GROUP_AHEAD];
	int r = 0;

	for (uint32_t from = 0; from < n && !r; from += FL_GROUP_AHEAD) {
		uint32_t some = FL_MIN(n - from, FL_GROUP_AHEAD);

		for (size_t part = 0; part < g->n_parts && !r; part++) {
			const struct fl_group_layout *l = &g->in[part];

			if (!l->counts)
				r = add_measures(w, from, some, keys, measures);
			else if (!l->as_sets)
				r = find_rows(w, part, from, some, keys, &measures[l->counted_measure], row);
		}
	}
	if (r || !fl_group_is_full(w))
		return r;
	r = fl_group_spill(w);
	for (size_t part = 0; part < w->groups->n_parts && !r; part++) {
		/* Small again: else the next batch would find it full at once. */
		fl_group_table_free(&w->part[part].table);
		r = fl_group_table_init(&w->part[part].table, &w->groups->in[part]);
	}
	return r;
}

/* ---- the answer ---- */

uint64_t fl_groups_count(const struct fl_groups *g)
{
	return g->count;
}

uint64_t fl_groups_total(const struct fl_groups *g, size_t measure)
{
	return g->total[measure];
}

uint64_t fl_groups_spilled(const struct fl_groups *g)
{
	uint64_t bytes = 0;

	for (unsigned i = 0; i < g->conf.threads; i++)
		bytes += g->worker[i]->written;
	return bytes;
}

size_t fl_groups_rows(const struct fl_groups *g)
{
	return g->n_rows;
}

const char *fl_groups_row(const struct fl_groups *g, size_t row)
{
	return g->rows + row * g->out.row_bytes;
}

const uint64_t *fl_group_row_measures_of(const struct fl_groups *g, const char *row)
{
	return (const uint64_t *)(const void *)(row + 8 + g->out.key_bytes);
}

const uint64_t *fl_groups_measures(const struct fl_groups *g, size_t row)
{
	return fl_group_row_measures_of(g, fl_groups_row(g, row));
}

void fl_group_row_key_of(const struct fl_groups *g, const char *row, size_t key, struct fl_group_value *ret)
{
	const char *at = row + 8 + g->out.offset[key];
	uint32_t flags, narrow;

	memset(ret, 0, sizeof *ret);
	memcpy(&flags, row + 8, 4);
	ret->null = flags & FL_GROUP_FLAG_NULL(key);
	ret->v6 = flags & FL_GROUP_FLAG_V6(key);
	if (ret->null)
		return;
	switch ((enum fl_group_type)g->out.type[key]) {
	case FL_GROUP_U64:
		memcpy(&ret->u64, at, 8);
		break;
	case FL_GROUP_U32:
		memcpy(&narrow, at, 4);
		ret->u64 = narrow;
		break;
	case FL_GROUP_ADDR:
		memcpy(&ret->addr, at, 16);
		break;
	case FL_GROUP_CODE:
		ret->code = (uint8_t)*at;
		break;
	case FL_GROUP_TEXT:
		memcpy(&narrow, at, 4);
		ret->text = narrow ? fl_interner_text(g->texts, narrow) : (struct fl_str){"", 0};
		break;
	}
}

void fl_groups_key(const struct fl_groups *g, size_t row, size_t key, struct fl_group_value *ret)
{
	fl_group_row_key_of(g, fl_groups_row(g, row), key, ret);
}

static int compare_values(enum fl_group_type type, const struct fl_group_value *a, const struct fl_group_value *b)
{
	int r;

	if (a->null || b->null)
		return (int)a->null - (int)b->null;
	switch (type) {
	case FL_GROUP_ADDR:
		r = memcmp(&a->addr, &b->addr, 16);
		return r ? r : (int)a->v6 - (int)b->v6;
	case FL_GROUP_TEXT:
		r = memcmp(a->text.p, b->text.p, FL_MIN(a->text.n, b->text.n));
		return r ? r : (a->text.n > b->text.n) - (a->text.n < b->text.n);
	case FL_GROUP_CODE:
		return (int)a->code - (int)b->code;
	case FL_GROUP_U64:
	case FL_GROUP_U32:
		break;
	}
	return (a->u64 > b->u64) - (a->u64 < b->u64);
}

int fl_group_compare(const struct fl_groups *g, const char *a, const char *b)
{
	int order = g->conf.order;

	if (order >= 0) {
		uint64_t va, vb;

		memcpy(&va, a + 8 + g->out.key_bytes + (size_t)order * 8, 8);
		memcpy(&vb, b + 8 + g->out.key_bytes + (size_t)order * 8, 8);
		if (va != vb)
			return va > vb ? -1 : 1;
	}
	for (size_t k = 0; k < g->out.n_keys; k++) {
		struct fl_group_value x, y;
		int r;

		fl_group_row_key_of(g, a, k, &x);
		fl_group_row_key_of(g, b, k, &y);
		r = compare_values((enum fl_group_type)g->out.type[k], &x, &y);
		if (r)
			return r;
	}
	return 0;
}
