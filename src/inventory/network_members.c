/* SPDX-License-Identifier: Apache-2.0 */
/* Members of a JSON object into members of a struct, by tables. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "inventory/network_build.h"

static const char *type_name(const json_t *v)
{
	switch (json_typeof(v)) {
	case JSON_OBJECT:
		return "an object";
	case JSON_ARRAY:
		return "a list";
	case JSON_STRING:
		return "a string";
	case JSON_INTEGER:
		return "a number";
	case JSON_REAL:
		return "a fraction";
	case JSON_NULL:
		return "null";
	default:
		return "true or false";
	}
}

static void wrong_type(struct fl_reader *r, const char *expected, const json_t *found)
{
	fl_problem(r, false, "expected %s, found %s; left out", expected, type_name(found));
}

const char *fl_text(struct fl_reader *r, const json_t *value)
{
	if (json_is_string(value))
		return fl_network_intern(r->net, json_string_value(value), json_string_length(value));
	wrong_type(r, "a string", value);
	return NULL;
}

void fl_each(struct fl_reader *r, const json_t *array, fl_each_fn *each, void *into)
{
	const json_t *item;
	size_t i;

	if (!array || json_is_null(array))
		return;
	if (!json_is_array(array)) {
		wrong_type(r, "a list", array);
		return;
	}
	json_array_foreach((json_t *)array, i, item)
	{
		size_t mark = fl_path_index(r, i);

		each(r, item, into);
		fl_path_pop(r, mark);
	}
}

void fl_unknown_member(struct fl_reader *r, const char *people, const char *name)
{
	char both[192];
	const char *said, **slot;

	snprintf(both, sizeof both, "%s/%.100s", people, name);
	said = fl_network_intern(r->net, both, SIZE_MAX);
	for (size_t i = 0; i < r->n_unknown; i++)
		if (r->unknown[i] == said)
			return;
	if (r->n_unknown >= FL_NETWORK_UNKNOWN_MAX)
		return;
	slot = FL_APPEND(&r->scratch, r->unknown, r->n_unknown);
	if (slot)
		*slot = said;
	fl_problem(r, false, "\"%.100s\" is not known as a member of %s; left out here and wherever it comes again",
		   name, people);
}

void fl_refer(struct fl_reader *r, void *slot, enum fl_noun_kind kind, const char *id)
{
	struct fl_pending *p;
	bool inside = r->base && (char *)slot >= r->base && (char *)slot < r->base + r->base_size;

	if (!id || !*id)
		return;
	if (r->n_pending == r->cap_pending) {
		size_t cap = r->cap_pending ? r->cap_pending * 2 : 1024;

		p = realloc(r->pending, cap * sizeof *p);
		if (!p) {
			r->scratch.oom = true;
			return;
		}
		r->pending = p;
		r->cap_pending = cap;
	}
	p = &r->pending[r->n_pending++];
	*p = (struct fl_pending){.slot = inside ? NULL : slot,
				 .at = inside ? (uint32_t)((char *)slot - r->base) : 0,
				 .kind = (uint8_t)kind,
				 .owner_kind = FL_NOUN_N, /* until the noun under way is kept */
				 .id = id,
				 .file = r->file};
	p->path = "";
	if (r->path_len) {
		char *copy = fl_arena_get(&r->scratch, r->path_len + 1);

		if (copy) {
			memcpy(copy, r->path, r->path_len + 1);
			p->path = copy;
		}
	}
}

bool fl_mac_parse(const char *text, uint8_t ret[6])
{
	static const char digits[] = "00112233445566778899aAbBcCdDeEfF";

	for (size_t i = 0; i < 18; i++) {
		const char *d = i % 3 == 2 || !text[i] ? NULL : strchr(digits, text[i]);

		if (i % 3 == 2 ? text[i] != (i < 17 ? ':' : '\0') : !d)
			return false;
		if (d)
			ret[i / 3] = (uint8_t)(ret[i / 3] << 4 | (d - digits) / 2);
	}
	return true;
}

bool fl_cidr_add(struct fl_reader *r, struct fl_cidrs *set, const char *text)
{
	struct fl_cidr c, *more;

	if (!text)
		return false;
	if (fl_cidr_parse(text, strlen(text), &c)) {
		fl_problem(r, false, "\"%.64s\" is not a network such as 10.0.0.0/16; left out", text);
		return false;
	}
	for (size_t i = 0; i < set->n && set->n < 16; i++) /* the first one is listed among the associated ones */
		if (set->cidr[i].bits == c.bits && fl_addr_equal(&set->cidr[i].base, &c.base))
			return true;
	more = FL_APPEND(&r->net->arena, set->cidr, set->n);
	if (more)
		*more = c;
	return true;
}

static const struct fl_member tag_members[] = {
    FL_M_STR("Key", fl_tag, key),
    FL_M_STR("key", fl_tag, key), /* ECS */
    FL_M_STR("Value", fl_tag, value),
    FL_M_STR("value", fl_tag, value),
};
static const struct fl_shape tag_shape = FL_SHAPE("a tag", tag_members, " ResourceId ResourceType PropagateAtLaunch ");

static void read_tag(struct fl_reader *r, const json_t *item, void *into)
{
	struct fl_tags *tags = into;
	struct fl_tag t = {.value = ""}, *more;

	fl_walk(r, item, &tag_shape, &t);
	if (!t.key) {
		fl_problem(r, false, "a tag without a key; left out");
		return;
	}
	more = FL_APPEND(&r->net->arena, tags->tag, tags->n);
	if (more)
		*more = t;
}

static void read_member(struct fl_reader *r, const struct fl_member *m, const json_t *v, char *into)
{
	const char *text;

	switch (m->kind) {
	case FL_MEMBER_STR:
		text = fl_text(r, v);
		if (text)
			memcpy(into + m->at, &text, sizeof text);
		break;
	case FL_MEMBER_REF:
		text = fl_text(r, v);
		if (text && m->at != FL_NOWHERE)
			memcpy(into + m->at, &text, sizeof text);
		fl_refer(r, into + m->to, m->noun, text);
		break;
	case FL_MEMBER_BOOL:
		if (json_is_boolean(v))
			*(bool *)(into + m->at) = json_is_true(v);
		else
			wrong_type(r, "true or false", v);
		break;
	case FL_MEMBER_INT:
		if (json_is_integer(v)) {
			int64_t n = json_integer_value(v);

			memcpy(into + m->at, &n, sizeof n);
		} else {
			wrong_type(r, "a whole number", v);
		}
		break;
	case FL_MEMBER_CIDR:
		text = fl_text(r, v);
		fl_cidr_add(r, (struct fl_cidrs *)(into + m->at), text && *text ? text : NULL);
		break;
	case FL_MEMBER_JSON:
		memcpy(into + m->at, &v, sizeof v);
		break;
	case FL_MEMBER_OBJECT:
		fl_walk(r, v, m->shape, into);
		break;
	case FL_MEMBER_EACH:
		fl_each(r, v, m->each, into);
		break;
	case FL_MEMBER_TAGS:
		fl_each(r, v, read_tag, into + m->at);
		break;
	}
}

static bool is_other(const char *others, const char *key)
{
	size_t n = strlen(key);

	for (const char *p = others; n && p && (p = strstr(p, key)); p += n)
		if (p > others && p[-1] == ' ' && p[n] == ' ')
			return true;
	return false;
}

void fl_walk(struct fl_reader *r, const json_t *object, const struct fl_shape *shape, void *into)
{
	const char *key;
	json_t *value;

	if (!json_is_object(object)) {
		wrong_type(r, "an object", object);
		return;
	}
	json_object_foreach((json_t *)object, key, value)
	{
		const struct fl_member *m = shape->member, *end = m + shape->n;
		size_t mark;

		while (m < end && strcmp(m->name, key))
			m++;
		if (m == end && is_other(shape->others, key))
			continue;
		mark = fl_path_member(r, key);
		if (m == end)
			fl_unknown_member(r, shape->people, key);
		else if (!json_is_null(value))
			read_member(r, m, value, into);
		fl_path_pop(r, mark);
	}
}

/* ---- facts kept for later ---- */

void fl_side_add(struct fl_reader *r, enum fl_side_kind kind, const char *key, const char *value, struct fl_tag tag,
		 void *what)
{
	struct fl_side *s;
	char *path;

	if (!key || !*key)
		return;
	s = FL_APPEND(&r->scratch, r->side[kind].v, r->side[kind].n);
	path = fl_arena_get(&r->scratch, r->path_len + 1);
	if (!s || !path)
		return;
	memcpy(path, r->path, r->path_len + 1);
	*s = (struct fl_side){.key = key,
			      .value = value ? value : "",
			      .tag = tag,
			      .what = what,
			      .file = r->file,
			      .path = path,
			      .order = r->side[kind].n};
}

const struct fl_side *fl_side_find(const struct fl_reader *r, enum fl_side_kind kind, const char *key, size_t *ret_n)
{
	const struct fl_side *v = r->side[kind].v;
	size_t low = 0, high = r->side[kind].n, n = high;

	*ret_n = 0;
	if (!key || !*key)
		return NULL;
	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (strcmp(v[mid].key, key) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	while (low + *ret_n < n && !strcmp(v[low + *ret_n].key, key))
		++*ret_n;
	return *ret_n ? &v[low] : NULL;
}

/* ---- parts that several nouns have: CIDR blocks, associated ones only ---- */

struct block {
	const char *cidr, *state;
};
static const struct fl_member block_state_members[] = {FL_M_STR("State", block, state)};
static const struct fl_shape block_state =
    FL_SHAPE("the state of a CIDR block", block_state_members, " StatusMessage ");
static const struct fl_member block_members[] = {
    FL_M_STR("CidrBlock", block, cidr),
    FL_M_STR("Ipv6CidrBlock", block, cidr),
    FL_M_OBJECT("CidrBlockState", block_state),
    FL_M_OBJECT("Ipv6CidrBlockState", block_state),
};
static const struct fl_shape block_shape = FL_SHAPE("a CIDR block's association", block_members,
						    " AssociationId NetworkBorderGroup Ipv6Pool Ipv6AddressAttribute "
						    "IpSource ");

void fl_add_block(struct fl_reader *r, const json_t *item, struct fl_cidrs *set)
{
	struct block b = {0};

	fl_walk(r, item, &block_shape, &b);
	if (!b.cidr)
		fl_problem(r, false, "an association without a CIDR block; left out");
	else if (!b.state || fl_is(b.state, "associated") || fl_is(b.state, "associating"))
		fl_cidr_add(r, set, b.cidr);
}

/* ---- lists of ids: strings, or objects with an id ---- */

struct listed {
	const char *id;
};
static const struct fl_member listed_members[] = {FL_M_STR("GroupId", listed, id)};
static const struct fl_shape listed_shape = FL_SHAPE("a group that is referred to", listed_members, " GroupName ");

/* Pointers that are filled when all is read; those that lead nowhere are then taken out. */
const void **fl_refer_list(struct fl_reader *r, const char *member, const json_t *array, enum fl_noun_kind kind,
			   size_t *ret_n)
{
	size_t n = json_is_array(array) ? json_array_size(array) : 0, mark = fl_path_member(r, member);
	const void **v = n ? fl_arena_get(&r->net->arena, n * sizeof *v) : NULL;

	if (array && !json_is_array(array))
		fl_each(r, array, NULL, NULL); /* says what is wrong with it */
	for (size_t i = 0; v && i < n; i++) {
		const json_t *item = json_array_get(array, i);
		struct listed l = {0};
		size_t at = fl_path_index(r, i);

		if (json_is_object(item))
			fl_walk(r, item, &listed_shape, &l);
		else
			l.id = fl_text(r, item);
		if (l.id)
			fl_refer(r, &v[i], kind, l.id);
		fl_path_pop(r, at);
	}
	fl_path_pop(r, mark);
	*ret_n = v ? n : 0;
	return v;
}
