/* SPDX-License-Identifier: Apache-2.0 */
#include "query/value.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/json.h"

#define NESTING_MAX 32
#define DIGITS_MAX 40 /* of a 128-bit number, with sign */
#define US_PER_S 1000000
#define S_PER_DAY 86400

typedef __int128 i128;
typedef unsigned __int128 u128;

struct vector { /* what a printer needs: data of one vector and its type */
	const struct fl_duckdb *d;
	const void *data;
	fl_duck vector, type;
	int id;
	unsigned depth;
};

static int print_nested(const struct vector *v, idx_t row, struct fl_buf *out);

static char *digits(char buf[DIGITS_MAX + 2], u128 value)
{
	char *p = buf + DIGITS_MAX + 1;

	*p = '\0';
	do
		*--p = (char)('0' + (int)(value % 10));
	while (value /= 10);
	return p;
}

static int print_i128(i128 value, struct fl_buf *out)
{
	char buf[DIGITS_MAX + 2], *p = digits(buf, value < 0 ? -(u128)value : (u128)value);

	if (value < 0)
		*--p = '-';
	return fl_buf_adds(out, p);
}

static i128 huge(const struct vector *v, idx_t row)
{
	const struct fl_duck_hugeint *h = (const struct fl_duck_hugeint *)v->data + row;

	return (i128)(((u128)(uint64_t)h->upper << 64) | h->lower);
}

/* Any integer, by the width of its type. */
static i128 integer(const struct vector *v, int id, idx_t row)
{
	switch (id) {
	case FL_DUCK_TINYINT:
		return ((const int8_t *)v->data)[row];
	case FL_DUCK_SMALLINT:
		return ((const int16_t *)v->data)[row];
	case FL_DUCK_INTEGER:
	case FL_DUCK_DATE:
		return ((const int32_t *)v->data)[row];
	case FL_DUCK_UTINYINT:
		return ((const uint8_t *)v->data)[row];
	case FL_DUCK_USMALLINT:
		return ((const uint16_t *)v->data)[row];
	case FL_DUCK_UINTEGER:
		return ((const uint32_t *)v->data)[row];
	case FL_DUCK_UBIGINT:
		return ((const uint64_t *)v->data)[row];
	case FL_DUCK_HUGEINT:
	case FL_DUCK_UUID:
		return huge(v, row);
	default: /* BIGINT and the 64-bit times */
		return ((const int64_t *)v->data)[row];
	}
}

static int print_bool(const struct vector *v, idx_t row, struct fl_buf *out)
{
	return fl_buf_adds(out, ((const uint8_t *)v->data)[row] ? "true" : "false");
}

static int print_integer(const struct vector *v, idx_t row, struct fl_buf *out)
{
	return print_i128(integer(v, v->id, row), out);
}

static int print_uhuge(const struct vector *v, idx_t row, struct fl_buf *out)
{
	char buf[DIGITS_MAX + 2];

	return fl_buf_adds(out, digits(buf, (u128)huge(v, row)));
}

/* The shortest text that reads back as the same number. */
static int print_double(double value, int most, struct fl_buf *out)
{
	char text[40];

	if (!isfinite(value))
		return fl_buf_adds(out, isnan(value) ? "nan" : value < 0 ? "-inf" : "inf");
	for (int precision = most == 9 ? 6 : 15; precision <= most; precision++) {
		snprintf(text, sizeof text, "%.*g", precision, value);
		if (most == 9 ? strtof(text, NULL) == (float)value : strtod(text, NULL) == value)
			break;
	}
	if (!strpbrk(text, ".e"))
		memcpy(text + strlen(text), ".0", 3);
	return fl_buf_adds(out, text);
}

static int print_float(const struct vector *v, idx_t row, struct fl_buf *out)
{
	return v->id == FL_DUCK_FLOAT ? print_double((double)((const float *)v->data)[row], 9, out)
				      : print_double(((const double *)v->data)[row], 17, out);
}

static int print_decimal(const struct vector *v, idx_t row, struct fl_buf *out)
{
	int scale = v->d->decimal_scale(v->type);
	i128 value = integer(v, v->d->decimal_internal_type(v->type), row);
	char buf[DIGITS_MAX + 2], *p = digits(buf, value < 0 ? -(u128)value : (u128)value);

	while ((int)strlen(p) <= scale && p > buf)
		*--p = '0';
	return fl_buf_printf(out, "%s%.*s%s%s", value < 0 ? "-" : "", (int)strlen(p) - scale, p, scale ? "." : "",
			     p + strlen(p) - scale);
}

/* Days since 1970 to a date: Howard Hinnant's civil_from_days, in eras of 400 years beginning on 1
 * March. */
static int print_date(int64_t days, struct fl_buf *out)
{
	int64_t z = days + 719468, era = (z >= 0 ? z : z - 146096) / 146097;
	int64_t doe = z - era * 146097, yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153;
	int64_t month = mp < 10 ? mp + 3 : mp - 9, year = yoe + era * 400 + (month <= 2);

	return fl_buf_printf(out, "%04" PRId64 "-%02" PRId64 "-%02" PRId64 "%s", year > 0 ? year : 1 - year, month,
			     doy - (153 * mp + 2) / 5 + 1, year > 0 ? "" : " (BC)");
}

static int print_clock(int64_t us, struct fl_buf *out)
{
	int64_t s = us / US_PER_S, fraction = us % US_PER_S;
	int r = fl_buf_printf(out, "%02" PRId64 ":%02d:%02d", s / 3600, (int)(s / 60 % 60), (int)(s % 60));

	if (!r && fraction) {
		r = fl_buf_printf(out, ".%06" PRId64, fraction);
		while (!r && out->data[out->len - 1] == '0')
			out->len--;
	}
	return r;
}

static int print_time(const struct vector *v, idx_t row, struct fl_buf *out)
{
	return print_clock((int64_t)integer(v, v->id, row), out);
}

static int print_day(const struct vector *v, idx_t row, struct fl_buf *out)
{
	return print_date((int64_t)integer(v, v->id, row), out);
}

static int print_timestamp(const struct vector *v, idx_t row, struct fl_buf *out)
{
	int64_t value = (int64_t)integer(v, v->id, row), day_us = (int64_t)S_PER_DAY * US_PER_S;
	i128 us = v->id == FL_DUCK_TIMESTAMP_S    ? (i128)value * US_PER_S
		  : v->id == FL_DUCK_TIMESTAMP_MS ? (i128)value * 1000
		  : v->id == FL_DUCK_TIMESTAMP_NS ? value / 1000 - (value % 1000 < 0)
						  : value;
	int64_t day = (int64_t)(us / day_us), rest = (int64_t)(us % day_us);
	int r;

	if (value == INT64_MAX || value == -INT64_MAX)
		return fl_buf_adds(out, value > 0 ? "infinity" : "-infinity");
	if (rest < 0) {
		rest += day_us;
		day--;
	}
	r = print_date(day, out);
	if (!r)
		r = fl_buf_adds(out, " ");
	if (!r)
		r = print_clock(rest, out);
	return r || v->id != FL_DUCK_TIMESTAMP_TZ ? r : fl_buf_adds(out, "+00");
}

static int print_interval(const struct vector *v, idx_t row, struct fl_buf *out)
{
	const struct fl_duck_interval *i = (const struct fl_duck_interval *)v->data + row;
	const struct {
		int32_t n;
		const char *unit;
	} parts[] = {{i->months / 12, "year"}, {i->months % 12, "month"}, {i->days, "day"}};
	size_t before = out->len;
	int r = 0;

	for (size_t k = 0; !r && k < FL_ARRAY_LEN(parts); k++)
		if (parts[k].n)
			r = fl_buf_printf(out, "%s%d %s%s", out->len > before ? " " : "", parts[k].n, parts[k].unit,
					  parts[k].n == 1 || parts[k].n == -1 ? "" : "s");
	if (!r && (i->micros || out->len == before)) {
		r = fl_buf_printf(out, "%s%s", out->len > before ? " " : "", i->micros < 0 ? "-" : "");
		r = r ? r : print_clock(i->micros < 0 ? -i->micros : i->micros, out);
	}
	return r;
}

static int print_string(const struct vector *v, idx_t row, struct fl_buf *out)
{
	struct fl_duck_string *s = (struct fl_duck_string *)v->data + row;
	uint32_t n = v->d->string_t_length(*s);

	return fl_buf_add(out, v->d->string_t_data(s), n);
}

static int print_blob(const struct vector *v, idx_t row, struct fl_buf *out)
{
	struct fl_duck_string *s = (struct fl_duck_string *)v->data + row;
	const unsigned char *p = (const unsigned char *)v->d->string_t_data(s);
	uint32_t n = v->d->string_t_length(*s);
	int r = 0;

	for (uint32_t i = 0; !r && i < n; i++)
		r = p[i] >= 0x20 && p[i] < 0x7f && p[i] != '\\' ? fl_buf_add(out, p + i, 1)
								: fl_buf_printf(out, "\\x%02X", p[i]);
	return r;
}

static int print_uuid(const struct vector *v, idx_t row, struct fl_buf *out)
{
	u128 value = (u128)huge(v, row) ^ (u128)1 << 127; /* stored with the top bit flipped so that it sorts */
	uint64_t high = (uint64_t)(value >> 64), low = (uint64_t)value;

	return fl_buf_printf(out, "%08" PRIx64 "-%04" PRIx64 "-%04" PRIx64 "-%04" PRIx64 "-%012" PRIx64, high >> 32,
			     high >> 16 & 0xffff, high & 0xffff, low >> 48, low & 0xffffffffffff);
}

static int print_enum(const struct vector *v, idx_t row, struct fl_buf *out)
{
	char *text = v->d->enum_dictionary_value(v->type, (idx_t)integer(v, v->d->enum_internal_type(v->type), row));
	int r = fl_buf_adds(out, text ? text : "");

	v->d->free(text);
	return r;
}

static int print_null(const struct vector *v, idx_t row, struct fl_buf *out)
{
	(void)v;
	(void)row;
	return fl_buf_adds(out, "null");
}

enum shape { NONE, NUMBER, BARE /* JSON's own words */, TEXT, NESTED };
static const struct {
	enum shape shape;
	int (*print)(const struct vector *v, idx_t row, struct fl_buf *out);
} types[FL_DUCK_TYPE_N] = {
    [FL_DUCK_BOOLEAN] = {BARE, print_bool},
    [FL_DUCK_TINYINT] = {NUMBER, print_integer},
    [FL_DUCK_SMALLINT] = {NUMBER, print_integer},
    [FL_DUCK_INTEGER] = {NUMBER, print_integer},
    [FL_DUCK_BIGINT] = {NUMBER, print_integer},
    [FL_DUCK_UTINYINT] = {NUMBER, print_integer},
    [FL_DUCK_USMALLINT] = {NUMBER, print_integer},
    [FL_DUCK_UINTEGER] = {NUMBER, print_integer},
    [FL_DUCK_UBIGINT] = {NUMBER, print_integer},
    [FL_DUCK_HUGEINT] = {NUMBER, print_integer},
    [FL_DUCK_UHUGEINT] = {NUMBER, print_uhuge},
    [FL_DUCK_FLOAT] = {NUMBER, print_float},
    [FL_DUCK_DOUBLE] = {NUMBER, print_float},
    [FL_DUCK_DECIMAL] = {NUMBER, print_decimal},
    [FL_DUCK_TIMESTAMP] = {TEXT, print_timestamp},
    [FL_DUCK_TIMESTAMP_S] = {TEXT, print_timestamp},
    [FL_DUCK_TIMESTAMP_MS] = {TEXT, print_timestamp},
    [FL_DUCK_TIMESTAMP_NS] = {TEXT, print_timestamp},
    [FL_DUCK_TIMESTAMP_TZ] = {TEXT, print_timestamp},
    [FL_DUCK_DATE] = {TEXT, print_day},
    [FL_DUCK_TIME] = {TEXT, print_time},
    [FL_DUCK_INTERVAL] = {TEXT, print_interval},
    [FL_DUCK_VARCHAR] = {TEXT, print_string},
    [FL_DUCK_BLOB] = {TEXT, print_blob},
    [FL_DUCK_UUID] = {TEXT, print_uuid},
    [FL_DUCK_ENUM] = {TEXT, print_enum},
    [FL_DUCK_SQLNULL] = {BARE, print_null},
    [FL_DUCK_LIST] = {NESTED, print_nested},
    [FL_DUCK_ARRAY] = {NESTED, print_nested},
    [FL_DUCK_STRUCT] = {NESTED, print_nested},
    [FL_DUCK_MAP] = {NESTED, print_nested},
};

static bool known(int id)
{
	return id > 0 && id < FL_DUCK_TYPE_N && types[id].print;
}

bool fl_duck_is_number(int id)
{
	return known(id) && types[id].shape == NUMBER;
}

static struct vector view(const struct fl_duckdb *d, fl_duck vector, fl_duck type, unsigned depth)
{
	return (struct vector){d, d->vector_get_data(vector), vector, type, d->get_type_id(type), depth};
}

static int print_json(const struct vector *v, idx_t row, struct fl_buf *out)
{
	struct fl_buf text FL_CLEANUP(fl_buf_free) = FL_BUF(out->max);
	struct fl_json j = FL_JSON(out);
	int r;

	if (!known(v->id))
		return fl_fail(-ENOTSUP,
			       "a value of DuckDB's type number %d inside a list or struct cannot "
			       "be shown; cast it to VARCHAR",
			       v->id);
	if (types[v->id].shape == NESTED || types[v->id].shape == BARE)
		return types[v->id].print(v, row, out);
	r = types[v->id].print(v, row, &text);
	if (r)
		return r;
	/* JSON has no infinities. */
	if (types[v->id].shape == NUMBER && !memchr(text.data, 'n', text.len))
		return fl_buf_add(out, text.data, text.len);
	fl_json_strn(&j, text.data ? text.data : "", text.len);
	return fl_json_done(&j);
}

/* An element of a child vector, with its own NULL. */
static int print_child(const struct vector *parent, fl_duck child, idx_t row, struct fl_buf *out)
{
	const struct fl_duckdb *d = parent->d;
	fl_duck type = d->vector_get_column_type(child);
	struct vector v = view(d, child, type, parent->depth + 1);
	int r = v.depth > NESTING_MAX ? fl_fail(-E2BIG, "a value is nested more than %d deep", NESTING_MAX)
		: fl_duck_valid(d->vector_get_validity(child), row) ? print_json(&v, row, out)
								    : fl_buf_adds(out, "null");

	d->destroy_logical_type(&type);
	return r;
}

static int print_struct(const struct vector *v, idx_t row, struct fl_buf *out)
{
	idx_t n = v->d->struct_type_child_count(v->type);
	int r = fl_buf_adds(out, "{");

	for (idx_t i = 0; !r && i < n; i++) {
		char *name = v->d->struct_type_child_name(v->type, i);
		struct fl_json j = FL_JSON(out);

		if (i)
			r = fl_buf_adds(out, ",");
		fl_json_str(&j, name ? name : "");
		v->d->free(name);
		r = r ? r : fl_json_done(&j);
		r = r ? r : fl_buf_adds(out, ":");
		r = r ? r : print_child(v, v->d->struct_vector_get_child(v->vector, i), row, out);
	}
	return r ? r : fl_buf_adds(out, "}");
}

/* Lists and arrays; a map is a list of {key, value}. */
static int print_nested(const struct vector *v, idx_t row, struct fl_buf *out)
{
	struct fl_duck_list range;
	fl_duck child;
	int r;

	if (v->id == FL_DUCK_STRUCT)
		return print_struct(v, row, out);
	if (v->id == FL_DUCK_ARRAY) {
		range.length = v->d->array_type_array_size(v->type);
		range.offset = row * range.length;
		child = v->d->array_vector_get_child(v->vector);
	} else {
		range = ((const struct fl_duck_list *)v->data)[row];
		child = v->d->list_vector_get_child(v->vector);
	}
	r = fl_buf_adds(out, "[");
	for (uint64_t i = 0; !r && i < range.length; i++) {
		r = i ? fl_buf_adds(out, ",") : 0;
		r = r ? r : print_child(v, child, range.offset + i, out);
	}
	return r ? r : fl_buf_adds(out, "]");
}

int fl_duck_printable(const struct fl_duckdb *d, fl_duck type, const char *column)
{
	int id = d->get_type_id(type);

	return known(id) ? 0
			 : fl_fail(-ENOTSUP,
				   "column %s has DuckDB's type number %d, which cannot be shown; "
				   "use CAST(%s AS VARCHAR)",
				   column, id, column);
}

int fl_duck_print(const struct fl_duckdb *d, const struct fl_duck_column *c, idx_t row, struct fl_buf *out)
{
	struct vector v = view(d, c->vector, c->type, 0);

	return types[v.id].print(&v, row, out);
}

int fl_duck_print_json(const struct fl_duckdb *d, const struct fl_duck_column *c, idx_t row, struct fl_buf *out)
{
	struct vector v = view(d, c->vector, c->type, 0);

	return print_json(&v, row, out);
}

int fl_sql_quote(struct fl_buf *out, const char *text, char quote)
{
	int r = fl_buf_add(out, &quote, 1);

	for (; !r && *text; text++) {
		r = fl_buf_add(out, text, 1);
		if (!r && *text == quote)
			r = fl_buf_add(out, text, 1);
	}
	return r ? r : fl_buf_add(out, &quote, 1);
}
