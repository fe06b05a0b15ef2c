/* SPDX-License-Identifier: Apache-2.0 */
#include "record/fields.h"

#include <string.h>

struct field_row {
	struct fl_field field;
	uint8_t origin;
	uint16_t eni_offset, eni_size;
};

#define FL_FIELD(kind_, column_, name_, version_, type_, default_, origin_, member_, source_, help_)                   \
	{{name_, #column_, FL_LOG_##kind_, version_, FL_TYPE_##type_, default_, source_, help_},                       \
	 FL_FROM_##origin_,                                                                                            \
	 offsetof(struct fl_eni, member_),                                                                             \
	 sizeof(((struct fl_eni *)0)->member_)},
static const struct field_row rows[] = {
#include "record/fields.def"
};
#undef FL_FIELD

#define VPC_N 54u
#define TGW_N 36u
_Static_assert(FL_ARRAY_LEN(rows) == VPC_N + TGW_N, "fields.def has every field once");

const char *const fl_action_names[FL_ACTION_N] = {"ACCEPT", "REJECT"};
const char *const fl_status_names[FL_STATUS_N] = {"OK", "NODATA", "SKIPDATA"};

static const struct field_row *row_of(const struct fl_field *f)
{
	return (const struct field_row *)f; /* field is the first member */
}

size_t fl_field_count(enum fl_log_kind kind)
{
	return kind == FL_LOG_VPC ? VPC_N : TGW_N;
}

const struct fl_field *fl_field_at(enum fl_log_kind kind, unsigned number)
{
	if (number >= fl_field_count(kind))
		return NULL;
	return &rows[(kind == FL_LOG_VPC ? 0 : VPC_N) + number].field;
}

const struct fl_field *fl_field_find(enum fl_log_kind kind, const char *name, size_t n)
{
	for (unsigned i = 0; i < fl_field_count(kind); i++) {
		const struct fl_field *f = fl_field_at(kind, i);

		if (strlen(f->name) == n && memcmp(f->name, name, n) == 0)
			return f;
	}
	return NULL;
}

/* Levenshtein distance with one row; names longer than any field are compared by their start. */
static unsigned edit_distance(const char *a, size_t an, const char *b)
{
	unsigned row[64];
	size_t bn = FL_MIN(strlen(b), (size_t)63);

	an = FL_MIN(an, (size_t)63);
	for (size_t j = 0; j <= bn; j++)
		row[j] = (unsigned)j;
	for (size_t i = 1; i <= an; i++) {
		unsigned diagonal = row[0];

		row[0] = (unsigned)i;
		for (size_t j = 1; j <= bn; j++) {
			unsigned replace = diagonal + (a[i - 1] != b[j - 1]);
			unsigned insert = FL_MIN(row[j], row[j - 1]) + 1;

			diagonal = row[j];
			row[j] = FL_MIN(replace, insert);
		}
	}
	return row[bn];
}

const struct fl_field *fl_field_nearest(enum fl_log_kind kind, const char *name, size_t n)
{
	const struct fl_field *best = fl_field_at(kind, 0);
	unsigned best_distance = edit_distance(name, n, best->name);

	for (unsigned i = 1; i < fl_field_count(kind); i++) {
		const struct fl_field *f = fl_field_at(kind, i);
		unsigned distance = edit_distance(name, n, f->name);

		if (distance < best_distance) {
			best = f;
			best_distance = distance;
		}
	}
	return best;
}

enum fl_origin fl_field_origin(const struct fl_field *f)
{
	return (enum fl_origin)row_of(f)->origin;
}

unsigned fl_field_number(const struct fl_field *f)
{
	return (unsigned)(row_of(f) - rows) - (f->kind == FL_LOG_VPC ? 0 : VPC_N);
}

char *fl_field_eni_text(const struct fl_field *f, struct fl_eni *eni, size_t *ret_size)
{
	*ret_size = row_of(f)->eni_size;
	return (char *)eni + row_of(f)->eni_offset;
}
