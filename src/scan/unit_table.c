/* SPDX-License-Identifier: Apache-2.0 */
/* Tables that tools export records to: CSV with a header line, JSON by lines. One record after the other, through the
 * one slow and obvious conversion; what it gives is what the same values in text give. */
#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "scan/set.h"
#include "scan/table.h"
#include "scan/text_state.h"

#define ARENA_BYTES ((size_t)256 << 10)     /* of values that are not as they stand in the file, a batch */
#define RECORD_BYTES (2 * FL_TEXT_LINE_MAX) /* of one record, at most */
#define JOINED_BYTES (FL_BLOCK_BYTES + 2 * FL_TEXT_LINE_MAX) /* a block behind what the one before it left */
#define KEYS_MAX 256                                         /* that are remembered */
#define NUMBER_TEXT 32
#define STILL_WRITTEN "still being written, so without an end; the line is not used"
#define EXACT_MAX 9007199254740992.0 /* up to here a double holds every integer */

struct key {
	char *text; /* NULL: free */
	size_t n;
	int column; /* -1: it is not asked for */
};

struct table {
	struct fl_feed feed;
	bool json, hangs; /* hangs: the filter, on columns that the file lacks */
	char delimiter;
	const char *data; /* of the block */
	size_t n, at;
	bool began, open, last, skipping;
	uint64_t line; /* that ended before data + at */
	char *joined;  /* a block with what the one before it left in front */
	size_t carried, joined_size;
	char *arena;
	size_t used;
	unsigned told;
	size_t n_fields;
	int16_t column[FL_TABLE_CELLS_MAX]; /* CSV: of the cell; -1: it is not asked for */
	bool seen[FL_BATCH_COLUMNS];        /* in the record at hand */
	char *header;
	size_t header_n;
	struct key key[KEYS_MAX];
	size_t n_keys;
	struct fl_scan_report *report;
};

static void close_table(struct fl_scan_reader *r, void *state)
{
	struct table *t = state;

	r->feed = NULL;
	for (size_t i = 0; i < KEYS_MAX; i++)
		free(t->key[i].text);
	free(t->header);
	free(t->joined);
	free(t->arena);
	free(t);
}

static int column_of(const struct fl_batch *b, const char *name)
{
	for (uint32_t i = 0; i < b->n_columns; i++)
		if (fl_column_is_named(&b->column[i].def, name) && b->column[i].def.own != FL_OWN_SOURCE &&
		    b->column[i].def.own != FL_OWN_PROVISIONAL) /* those two are of the reading */
			return (int)i;
	return -1;
}

static int open_table(struct fl_scan_reader *r, struct fl_unit *u, void **ret)
{
	struct table *t = calloc(1, sizeof *t);
	const struct fl_opened *o = u->opened;
	int result = t ? fl_feed_open(&t->feed, r, u) : -ENOMEM;

	r->no_lines = false;
	if (!result) {
		t->json = o->kind == FL_KIND_JSON;
		t->delimiter = o->delimiter;
		t->report = &r->report;
		t->n_fields = FL_MIN(fl_format_len(o->format), (size_t)FL_TABLE_CELLS_MAX);
		for (size_t i = 0; i < t->n_fields; i++)
			t->column[i] = (int16_t)column_of(r->batch, fl_format_name(o->format, i));
		t->arena = malloc(ARENA_BYTES);
		result = t->arena ? fl_unjudged_find(r, fl_lines_lack, o->format, &t->hangs) : -ENOMEM;
	}
	if (result) {
		r->feed = NULL;
		free(t ? t->arena : NULL);
		free(t);
		return result;
	}
	*ret = t;
	return 0;
}

/* ---- values ---- */

static void tell(struct fl_scan_reader *r, struct table *t, uint64_t line, const char *fmt, ...) FL_PRINTF(4, 5);
static void tell(struct fl_scan_reader *r, struct table *t, uint64_t line, const char *fmt, ...)
{
	char what[256];
	va_list ap;

	if (t->told++ >= FL_TEXT_FAULTS)
		return;
	va_start(ap, fmt);
	vsnprintf(what, sizeof what, fmt, ap);
	va_end(ap);
	fl_lines_tell(r, line, what);
}

/* Tools that know no missing integers write them with a fraction: 443.0 */
static size_t without_fraction(const char *p, size_t n)
{
	size_t end = n;

	while (end > 2 && p[end - 1] == '0')
		end--;
	return end < n && end > 1 && p[end - 1] == '.' ? end - 1 : n;
}

/* text: of the block, or of the arena. */
static void set(struct fl_scan_reader *r, struct table *t, int column, const char *p, size_t n)
{
	struct fl_column *c = &r->batch->column[column];
	uint32_t row = r->batch->n;

	t->seen[column] = true;
	if (!n || (n == 1 && *p == '-')) {
		fl_text_set_null(c, row);
		return;
	}
	if (fl_column_set_text(c, row, p, n) ||
	    (c->def.type == FL_COLUMN_U64 && fl_column_set_text(c, row, p, without_fraction(p, n))))
		return;
	fl_text_set_null(c, row);
	t->report->bad_values++;
	tell(r, t, t->line + 1, "%s: \"%.*s\" is not a value of this field; it is taken as \"-\"", c->def.name,
	     (int)FL_MIN(n, (size_t)80), p);
}

static const char *keep(struct table *t, const char *p, size_t n)
{
	char *to = t->arena + t->used;

	memcpy(to, p, n); /* there is room for a record, and that is no longer than its line */
	t->used += n;
	return to;
}

/* Columns that the record does not name. */
static void end_row(struct fl_scan_reader *r, struct table *t)
{
	struct fl_batch *b = r->batch;

	for (uint32_t i = 0; i < b->n_columns; i++)
		if (!t->seen[i])
			fl_text_set_null(&b->column[i], b->n);
	memset(t->seen, 0, sizeof t->seen);
	b->n++;
	t->report->records++;
}

static void malformed(struct fl_scan_reader *r, struct table *t, const char *why)
{
	t->report->malformed++;
	tell(r, t, t->line + 1, "%s; the line is not used", why);
}

static uint64_t newlines(const char *p, size_t n)
{
	uint64_t count = 0;

	for (const char *end = p + n; p < end && (p = memchr(p, '\n', (size_t)(end - p))); p++)
		count++;
	return count;
}

/* ---- CSV ---- */

/* The first line, and the same again where files were put together. */
static int is_header(struct table *t, const char *p, size_t n, bool *ret)
{
	while (n && (p[n - 1] == '\n' || p[n - 1] == '\r'))
		n--;
	*ret = true;
	if (t->header) {
		*ret = n == t->header_n && !memcmp(p, t->header, n);
		return 0;
	}
	t->header = malloc(n + 1);
	if (!t->header)
		return -ENOMEM;
	memcpy(t->header, p, n);
	t->header_n = n;
	return 0;
}

static void take_cells(struct fl_scan_reader *r, struct table *t, const struct fl_cell *cells)
{
	for (size_t i = 0; i < t->n_fields; i++) {
		const struct fl_cell *c = &cells[i];
		const char *p = c->text.p;
		size_t n = c->text.n;

		if (t->column[i] < 0)
			continue;
		if (c->doubled) {
			p = t->arena + t->used;
			n = fl_cell_copy(t->arena + t->used, c);
			t->used += n;
		}
		set(r, t, t->column[i], p, n);
	}
	end_row(r, t);
}

/* Of a last line without newline. has_all: it may be a record as it is. */
static bool goes_on(const struct fl_scan_reader *r, bool has_all)
{
	enum fl_line_end end = fl_feed_line_end(r);

	return end == FL_LINE_GOES_ON || (end == FL_LINE_MAY_GO_ON && !has_all);
}

/* 1: a record or what is none was taken; 0: its end is not in the block. */
static int take_csv(struct fl_scan_reader *r, struct table *t)
{
	struct fl_cell cells[FL_TABLE_CELLS_MAX];
	const char *p = t->data + t->at, *why = NULL;
	size_t n, used;
	char text[96];
	bool header = false, ends;
	int got = fl_csv_record(p, t->n - t->at, t->last, t->delimiter, cells, &n, &used, &why), result;

	if (!got)
		return 0;
	ends = p[used - 1] == '\n';
	result = got > 0 && n ? is_header(t, p, used, &header) : 0;
	if (result)
		return result;
	if (t->last && !ends && !header && goes_on(r, got > 0 && n >= t->n_fields && p[used - 1] != t->delimiter)) {
		tell(r, t, t->line + 1, STILL_WRITTEN);
	} else if (got < 0) {
		malformed(r, t, why);
	} else if (n && !header && n != t->n_fields) {
		snprintf(text, sizeof text, "%zu values where the header has %zu", n, t->n_fields);
		malformed(r, t, text);
	} else if (n && !header) {
		take_cells(r, t, cells);
	}
	/* The end of a line that is too long may be in a block to come. */
	t->skipping = got < 0 && !ends && !t->last;
	t->at += used;
	t->line += newlines(p, used);
	return 1;
}

/* ---- JSON ---- */

static bool is_of_format(const struct fl_format *f, const char *name)
{
	for (size_t i = 0; i < fl_format_len(f); i++)
		if (!strcmp(fl_format_name(f, i), name))
			return true;
	return false;
}

static int add_key(struct fl_scan_reader *r, struct table *t, struct fl_str key, size_t at)
{
	char name[FL_TABLE_NAME_MAX], *copy = strndup(key.p, key.n);
	int column;

	if (!copy)
		return -ENOMEM;
	fl_table_name(key.p, key.n, at + 1, name);
	column = column_of(r->batch, name);
	if (!is_of_format(t->feed.unit->opened->format, name)) {
		t->hangs = false; /* on a column that is not lacking, perhaps */
		if (column < 0)
			tell(r, t, t->line + 1,
			     "\"%.80s\" is in no object at the beginning of the file, and is not read", copy);
	}
	free(t->key[at].text);
	t->key[at] = (struct key){copy, key.n, column};
	t->n_keys = FL_MAX(t->n_keys, at + 1);
	return 0;
}

/* Where the key is among those remembered. They come in the same order in every object, most often, or some are left
 * out; hint: where the one before it is. */
static int find_key(struct fl_scan_reader *r, struct table *t, struct fl_str key, size_t hint, size_t *ret)
{
	for (size_t i = 0, at = hint; i < t->n_keys; i++, at++) {
		at = at < t->n_keys ? at : 0;
		if (t->key[at].n == key.n && !memcmp(t->key[at].text, key.p, key.n)) {
			*ret = at;
			return 0;
		}
	}
	*ret = t->n_keys < KEYS_MAX ? t->n_keys : hint % KEYS_MAX;
	return add_key(r, t, key, *ret);
}

/* 1: taken; 0: it is for jansson to judge. */
static int take_pairs(struct fl_scan_reader *r, struct table *t, const char *p, size_t n)
{
	struct fl_pair pair[FL_TABLE_CELLS_MAX];
	uint16_t column[FL_TABLE_CELLS_MAX];
	bool again[KEYS_MAX] = {false};
	int found = fl_json_pairs(p, n, pair), result;
	size_t at = (size_t)-1;

	for (int i = 0; i < found; i++) {
		result = find_key(r, t, pair[i].key, at + 1, &at);
		if (result)
			return result;
		if (again[at])
			return 0;
		again[at] = true;
		column[i] = (uint16_t)at;
	}
	for (int i = 0; i < found; i++) {
		int c = t->key[column[i]].column;

		/* Two spellings of one name: the first counts. */
		if (c >= 0 && !t->seen[c])
			set(r, t, c, pair[i].value.p, pair[i].kind == FL_PAIR_NULL ? 0 : pair[i].value.n);
	}
	if (found > 0)
		end_row(r, t);
	return found > 0;
}

static void take_value(struct fl_scan_reader *r, struct table *t, int column, const json_t *v)
{
	char text[NUMBER_TEXT];
	const char *p = text;
	double real;
	size_t n = 0;

	switch (json_typeof(v)) {
	case JSON_STRING:
		p = json_string_value(v);
		n = json_string_length(v);
		break;
	case JSON_INTEGER:
		n = (size_t)snprintf(text, sizeof text, "%lld", (long long)json_integer_value(v));
		break;
	case JSON_REAL:
		real = json_real_value(v);
		n = (size_t)snprintf(text, sizeof text, fabs(real) < EXACT_MAX && real == trunc(real) ? "%.0f" : "%g",
				     real);
		break;
	case JSON_TRUE:
	case JSON_FALSE:
		p = json_is_true(v) ? "true" : "false";
		n = strlen(p);
		break;
	case JSON_NULL:
		break;
	case JSON_OBJECT:
	case JSON_ARRAY:
		p = "(a list or an object)";
		n = r->batch->column[column].def.type == FL_COLUMN_TEXT ? 0 : strlen(p);
		break;
	}
	if (r->batch->column[column].def.type == FL_COLUMN_TEXT)
		p = keep(t, p, n);
	set(r, t, column, p, n);
}

static int take_object(struct fl_scan_reader *r, struct table *t, json_t *o)
{
	const char *key;
	size_t at = (size_t)-1;
	json_t *v;

	json_object_foreach(o, key, v)
	{
		int column, result = find_key(r, t, (struct fl_str){key, strlen(key)}, at + 1, &at);

		if (result)
			return result;
		column = t->key[at].column;
		if (column >= 0 && !t->seen[column])
			take_value(r, t, column, v);
	}
	end_row(r, t);
	return 0;
}

static bool is_blank(const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (p[i] != ' ' && p[i] != '\t' && p[i] != '\r')
			return false;
	return true;
}

static int take_json(struct fl_scan_reader *r, struct table *t)
{
	const char *p = t->data + t->at, *end = memchr(p, '\n', t->n - t->at);
	size_t n = end ? (size_t)(end - p) : t->n - t->at;
	json_error_t why;
	json_t *o;
	int result = 0;

	if (!end && !t->last && n <= FL_TEXT_LINE_MAX)
		return 0;
	if (n > FL_TEXT_LINE_MAX) {
		malformed(r, t, "longer than a record can be");
		t->skipping = !end && !t->last;
	} else if (!(result = take_pairs(r, t, p, n)) && !is_blank(p, n)) {
		o = json_loadb(p, n, JSON_REJECT_DUPLICATES, &why);
		if (json_is_object(o))
			result = take_object(r, t, o);
		else if (!end && goes_on(r, false))
			tell(r, t, t->line + 1, STILL_WRITTEN);
		else
			malformed(r, t, o ? "no object" : "no object of JSON");
		json_decref(o);
	}
	t->at += n + (end != NULL);
	t->line += end != NULL;
	return result < 0 ? result : 1;
}

/* ---- blocks ---- */

/* What a block left belongs in front of the next one. */
static int join(struct table *t)
{
	if (!t->carried)
		return 0;
	if (t->joined_size < t->carried + t->n) {
		char *grown = realloc(t->joined, t->carried + t->n);

		if (!grown)
			return -ENOMEM;
		t->joined = grown;
		t->joined_size = t->carried + t->n;
	}
	memcpy(t->joined + t->carried, t->data, t->n);
	t->data = t->joined;
	t->n += t->carried;
	t->carried = 0;
	return 0;
}

/* What is left of a block, before that is gone. */
static int carry(struct table *t)
{
	size_t n = t->n - t->at;

	t->carried = 0;
	if (!n)
		return 0;
	if (!t->joined) {
		t->joined = malloc(JOINED_BYTES);
		if (!t->joined)
			return -ENOMEM;
		t->joined_size = JOINED_BYTES;
	}
	memmove(t->joined, t->data + t->at, n); /* a record that may become one: FL_TEXT_LINE_MAX and its end at most */
	t->carried = n;
	return 0;
}

/* Within a line that is too long: up to and with its newline. */
static void skip(struct table *t)
{
	const char *end = memchr(t->data + t->at, '\n', t->n - t->at);

	t->at = end ? (size_t)(end - t->data) + 1 : t->n;
	t->line += end != NULL;
	t->skipping = !end;
}

static int next_block(struct table *t)
{
	int result = carry(t);

	result = result ? result : fl_feed_next(&t->feed, &t->data, &t->n, &t->last);
	if (result <= 0)
		return result;
	result = join(t);
	if (result)
		return result;
	t->at = t->began || t->feed.unit->from ? 0 : fl_table_mark(t->data, t->n);
	t->began = t->open = true;
	return 1;
}

/* Records of the block, as many as the batch has rows and the arena room. 1: there may be more; 0: not in this block.
 */
static int fill(struct fl_scan_reader *r, struct table *t)
{
	int result = 1;

	fl_batch_clear(r->batch);
	t->used = 0;
	while (result == 1 && r->batch->n < FL_BATCH_ROWS && t->used + RECORD_BYTES <= ARENA_BYTES) {
		if (t->skipping)
			skip(t);
		if (t->at == t->n)
			return 0;
		result = t->json ? take_json(r, t) : take_csv(r, t);
	}
	return result;
}

/* Rows of the batch that pass are left in it. */
static bool pass_rows(struct fl_scan_reader *r, const struct table *t)
{
	fl_batch_fill_own(r);
	return !r->pass->bound || fl_unjudged_pass(r, t->hangs);
}

static int next_table(struct fl_scan_reader *r, void *state)
{
	struct table *t = state;
	int result;

	for (;;) {
		result = t->open ? 1 : next_block(t);
		if (result <= 0)
			return result;
		result = fill(r, t);
		if (result < 0)
			return result;
		t->open = result;
		result = r->batch->n && pass_rows(r, t);
		if (result)
			return 1;
		if (fl_scan_stopped(r->s))
			return fl_fail(-EINTR, FL_SCAN_STOPPED);
	}
}

const struct fl_unit_ops fl_unit_table = {open_table, next_table, close_table};
