/* SPDX-License-Identifier: Apache-2.0 */
#include "scan/table.h"

#include <ctype.h>
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/cursor.h"
#include "base/error.h"
#include "scan/text.h"

#define HEADER_MAX (64u << 10)

size_t fl_table_mark(const char *head, size_t n)
{
	return n >= 3 && !memcmp(head, "\xef\xbb\xbf", 3) ? 3 : 0;
}

/* ---- CSV ---- */

struct csv {
	const char *p;
	size_t n, at;
	bool last;
	char delimiter;
	unsigned lines; /* newlines in quotes */
	const char *why;
};
enum csv_end { CSV_CELL, CSV_RECORD, CSV_MORE, CSV_BAD };

static enum csv_end bad(struct csv *c, const char *why)
{
	c->why = why;
	return CSV_BAD;
}

/* At what ends a value. */
static enum csv_end end_of_value(struct csv *c)
{
	while (c->at < c->n && c->p[c->at] == '\r')
		c->at++;
	if (c->at == c->n)
		return c->last ? CSV_RECORD : CSV_MORE;
	if (c->p[c->at] == '\n') {
		c->at++;
		return CSV_RECORD;
	}
	if (c->p[c->at] != c->delimiter || c->p[c->at - 1] == '\r')
		return bad(c, "text behind a quoted value");
	c->at++;
	return CSV_CELL;
}

static enum csv_end quoted(struct csv *c, struct fl_cell *cell)
{
	size_t from = ++c->at;

	cell->doubled = false;
	for (; c->at < c->n; c->at++) {
		if (c->at > FL_TEXT_LINE_MAX)
			return bad(c, "longer than a record can be");
		if (c->p[c->at] == '\n' && ++c->lines == FL_TABLE_CELL_LINES)
			return bad(c, "a quoted value goes over too many lines");
		if (c->p[c->at] != '"')
			continue;
		if (c->at + 1 == c->n && !c->last)
			return CSV_MORE; /* the next one may be another */
		if (c->at + 1 == c->n || c->p[c->at + 1] != '"')
			break;
		cell->doubled = true;
		c->at++;
	}
	if (c->at >= c->n)
		return c->last ? bad(c, "a quoted value does not end") : CSV_MORE;
	cell->text = (struct fl_str){c->p + from, c->at - from};
	c->at++;
	return end_of_value(c);
}

static enum csv_end plain(struct csv *c, struct fl_cell *cell)
{
	size_t from = c->at;

	while (c->at < c->n && c->p[c->at] != c->delimiter && c->p[c->at] != '\n')
		c->at++;
	if (c->at == c->n && !c->last)
		return CSV_MORE;
	cell->doubled = false;
	cell->text = (struct fl_str){c->p + from, c->at - from};
	if (c->at < c->n && c->p[c->at] == c->delimiter) {
		c->at++;
		return CSV_CELL;
	}
	c->at += c->at < c->n;
	while (cell->text.n && cell->text.p[cell->text.n - 1] == '\r')
		cell->text.n--;
	return CSV_RECORD;
}

static int first_line(struct csv *c, size_t *ret_used, const char **ret_why)
{
	const char *end = memchr(c->p, '\n', c->n);

	*ret_used = end ? (size_t)(end - c->p) + 1 : c->n;
	*ret_why = c->why;
	return -EBADMSG;
}

int fl_csv_record(const char *p, size_t n, bool last, char delimiter, struct fl_cell cells[FL_TABLE_CELLS_MAX],
		  size_t *ret_n, size_t *ret_used, const char **ret_why)
{
	struct csv c = {.p = p, .n = n, .last = last, .delimiter = delimiter};
	struct fl_cell spare;
	enum csv_end end;

	*ret_n = 0;
	do {
		struct fl_cell *cell = *ret_n < FL_TABLE_CELLS_MAX ? &cells[*ret_n] : &spare;

		end = c.at < n && p[c.at] == '"' ? quoted(&c, cell) : plain(&c, cell);
		++*ret_n;
	} while (end == CSV_CELL);
	if (end == CSV_RECORD && c.at > FL_TEXT_LINE_MAX + 2)
		end = bad(&c, "longer than a record can be");
	if (end == CSV_MORE && n > FL_TEXT_LINE_MAX + 2)
		end = bad(&c, "longer than a record can be");
	if (end == CSV_BAD)
		return first_line(&c, ret_used, ret_why);
	*ret_used = c.at;
	if (*ret_n == 1 && !cells[0].text.n && (!n || p[0] != '"'))
		*ret_n = 0;
	return end == CSV_RECORD;
}

size_t fl_cell_copy(char *to, const struct fl_cell *c)
{
	size_t out = 0;

	for (size_t i = 0; i < c->text.n; i++) {
		to[out++] = c->text.p[i];
		i += c->doubled && c->text.p[i] == '"'; /* the second of two */
	}
	return out;
}

/* ---- names ---- */

/* Letters and digits of a name, small. False: it has others, or too many. */
static bool squeeze(const char *p, size_t n, char ret[64])
{
	size_t out = 0;

	for (size_t i = 0; i < n; i++) {
		if (p[i] == '-' || p[i] == '_')
			continue;
		if (!isalnum((unsigned char)p[i]) || out == 63)
			return false;
		ret[out++] = (char)tolower((unsigned char)p[i]);
	}
	ret[out] = '\0';
	return out > 0;
}

static const char *field_of(const char *p, size_t n)
{
	char wanted[64], have[64];

	if (!squeeze(p, n, wanted))
		return NULL;
	for (int kind = FL_LOG_VPC; kind <= FL_LOG_TGW; kind++)
		for (unsigned i = 0; i < fl_field_count((enum fl_log_kind)kind); i++) {
			const char *name = fl_field_at((enum fl_log_kind)kind, i)->name;

			if (squeeze(name, strlen(name), have) && !strcmp(have, wanted))
				return name;
		}
	return NULL;
}

bool fl_table_name(const char *p, size_t n, size_t number, char ret[FL_TABLE_NAME_MAX])
{
	const char *field;
	size_t out = 0;

	for (; n && *p == ' '; p++)
		n--;
	while (n && p[n - 1] == ' ')
		n--;
	field = field_of(p, n);
	if (field) {
		snprintf(ret, FL_TABLE_NAME_MAX, "%s", field);
		return true;
	}
	for (size_t i = 0; i < n && out + 4 < FL_TABLE_NAME_MAX; i++)
		out += (size_t)snprintf(ret + out, FL_TABLE_NAME_MAX - out,
					(unsigned char)p[i] <= ' ' ? "%%%02X" : "%c", (unsigned char)p[i]);
	if (!n || out + 4 >= FL_TABLE_NAME_MAX)
		snprintf(ret, FL_TABLE_NAME_MAX, "column%zu", number);
	return false;
}

/* Names of a table, and how many of them are fields. */
struct table_names {
	struct fl_buf line; /* as a header line */
	size_t n, fields;
	bool src, dst;
};

static int add_name(struct table_names *t, const char *p, size_t n)
{
	char name[FL_TABLE_NAME_MAX];

	t->fields += fl_table_name(p, n, ++t->n, name);
	t->src |= !strcmp(name, "srcaddr");
	t->dst |= !strcmp(name, "dstaddr");
	return fl_buf_printf(&t->line, "%s%s", t->line.len ? " " : "", name);
}

static bool is_of_records(const struct table_names *t)
{
	return (t->src && t->dst) || (t->fields && 2 * t->fields >= t->n);
}

static int format_of(const char *path, struct table_names *t, struct fl_format **ret)
{
	return fl_wrap(fl_format_from_header(ret, t->line.data, t->line.len), "%s", path);
}

/* Names in the first line. False: it is no line of that. */
static bool csv_names(const char *head, size_t n, char delimiter, struct table_names *ret)
{
	struct fl_cell cells[FL_TABLE_CELLS_MAX];
	size_t mark = fl_table_mark(head, n), cells_n, used;
	char text[FL_TABLE_NAME_MAX];
	const char *why;

	*ret = (struct table_names){.line = FL_BUF(HEADER_MAX)};
	if (fl_csv_record(head + mark, n - mark, n < FL_TEXT_LINE_MAX, delimiter, cells, &cells_n, &used, &why) != 1 ||
	    !cells_n || cells_n > FL_TABLE_CELLS_MAX || (cells_n < 2 && head[mark] != '"'))
		return false;
	for (size_t i = 0; i < cells_n; i++) {
		size_t len = cells[i].text.n < sizeof text ? fl_cell_copy(text, &cells[i]) : 0;

		if (add_name(ret, text, len))
			return false;
	}
	return true;
}

bool fl_csv_is(const char *head, size_t n, char *ret_delimiter)
{
	static const char delimiters[] = ",\t;";
	bool is = false;

	for (const char *d = delimiters; n && *d && !is; d++) {
		struct table_names names;

		is = csv_names(head, n, *d, &names) && is_of_records(&names);
		fl_buf_free(&names.line);
		*ret_delimiter = *d;
	}
	return is;
}

int fl_csv_format(const char *path, const char *head, size_t n, char delimiter, struct fl_format **ret)
{
	struct table_names names;
	int r = csv_names(head, n, delimiter, &names)
		    ? format_of(path, &names, ret)
		    : fl_fail(-EINVAL, "%s: its first line is no header of CSV", path);

	fl_buf_free(&names.line);
	return r;
}

/* ---- JSON ---- */

bool fl_json_lines_is(const char *head, size_t n)
{
	size_t at = fl_table_mark(head, n);

	while (at < n && (head[at] == ' ' || head[at] == '\t' || head[at] == '\r' || head[at] == '\n'))
		at++;
	return at < n && head[at] == '{';
}

/* Up to here an integer of so many digits is one for everybody. */
#define DIGITS_MAX 18

static void skip_blanks(struct fl_cursor *c)
{
	while (c->p < c->end && (*c->p == ' ' || *c->p == '\t' || *c->p == '\r'))
		c->p++;
}

static bool take_char(struct fl_cursor *c, char wanted)
{
	skip_blanks(c);
	if (c->p == c->end || *c->p != (uint8_t)wanted)
		return false;
	c->p++;
	return true;
}

static bool take_string(struct fl_cursor *c, struct fl_str *ret)
{
	const uint8_t *from;

	if (!take_char(c, '"'))
		return false;
	from = c->p;
	while (c->p < c->end && *c->p != '"' && *c->p != '\\' && *c->p >= ' ' && *c->p < 0x7f)
		c->p++;
	*ret = (struct fl_str){(const char *)from, (size_t)(c->p - from)};
	return take_char(c, '"') && c->p == from + ret->n + 1;
}

static bool take_word(struct fl_cursor *c, const char *word, struct fl_str *ret)
{
	size_t n = strlen(word);

	if (fl_cur_left(c) < n || memcmp(c->p, word, n) != 0)
		return false;
	*ret = (struct fl_str){(const char *)c->p, n};
	c->p += n;
	return true;
}

static bool take_integer(struct fl_cursor *c, struct fl_str *ret)
{
	const uint8_t *from = c->p;

	while (c->p < c->end && *c->p >= '0' && *c->p <= '9')
		c->p++;
	*ret = (struct fl_str){(const char *)from, (size_t)(c->p - from)};
	return ret->n && ret->n <= DIGITS_MAX && (ret->n == 1 || *from != '0');
}

static bool take_plain_value(struct fl_cursor *c, struct fl_pair *ret)
{
	skip_blanks(c);
	if (c->p == c->end)
		return false;
	switch (*c->p) {
	case '"':
		ret->kind = FL_PAIR_TEXT;
		return take_string(c, &ret->value);
	case 'n':
		ret->kind = FL_PAIR_NULL;
		return take_word(c, "null", &ret->value);
	case 't':
	case 'f':
		ret->kind = FL_PAIR_WORD;
		return take_word(c, *c->p == 't' ? "true" : "false", &ret->value);
	default:
		ret->kind = FL_PAIR_NUMBER;
		return take_integer(c, &ret->value);
	}
}

int fl_json_pairs(const char *p, size_t n, struct fl_pair pairs[FL_TABLE_CELLS_MAX])
{
	struct fl_cursor c = fl_cursor(p, n);
	size_t found = 0;

	if (!take_char(&c, '{'))
		return -1;
	do {
		if (found == FL_TABLE_CELLS_MAX || !take_string(&c, &pairs[found].key) || !take_char(&c, ':') ||
		    !take_plain_value(&c, &pairs[found]))
			return -1;
		found++;
	} while (take_char(&c, ','));
	if (!take_char(&c, '}'))
		return -1;
	skip_blanks(&c);
	return c.p == c.end ? (int)found : -1;
}

static int add_keys(json_t *seen, json_t *object, struct table_names *t)
{
	const char *key;
	json_t *value;
	int r = 0;

	json_object_foreach(object, key, value)
	{
		char name[FL_TABLE_NAME_MAX];

		fl_table_name(key, strlen(key), t->n + 1, name);
		if (r || json_object_get(seen, name))
			continue;
		r = json_object_set_new_nocheck(seen, name, json_true()) ? -ENOMEM : add_name(t, key, strlen(key));
	}
	return r;
}

int fl_json_lines_format(const char *path, const char *head, size_t n, struct fl_format **ret)
{
	struct table_names names = {.line = FL_BUF(HEADER_MAX)};
	json_t *seen = json_object();
	size_t at = fl_table_mark(head, n), objects = 0;
	int r = seen ? 0 : -ENOMEM;

	while (!r && at < n) {
		const char *end = memchr(head + at, '\n', n - at);
		size_t len = end ? (size_t)(end - head) - at : n - at;
		json_t *line = json_loadb(head + at, len, JSON_REJECT_DUPLICATES, NULL);

		if (json_is_object(line)) {
			objects++;
			r = add_keys(seen, line, &names);
		}
		json_decref(line);
		at += len + 1;
	}
	json_decref(seen);
	if (!r && !objects)
		r = fl_fail(
		    -EINVAL,
		    "%s: JSON that is not one object a line; jq -c . writes it so, jq -c '.[]' what is in a list",
		    path);
	else if (!r && !is_of_records(&names))
		r = fl_fail(-EINVAL, "%s: the keys of its objects are not those of flow logs", path);
	r = r ? r : format_of(path, &names, ret);
	fl_buf_free(&names.line);
	return r;
}
