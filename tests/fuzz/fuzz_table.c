/* SPDX-License-Identifier: Apache-2.0 */
/* Tables of any bytes. The first byte chooses the delimiter and where the text is cut: a record is the same wherever
 * its bytes end, what is none costs one line, and every value is within the record. Names of columns are such that a
 * header line can hold them. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "scan/set.h"
#include "scan/table.h"
#include "scan/text.h"

#define INPUT_MAX 65536

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check(bool ok)
{
	if (!ok)
		abort();
}

static void names(const struct fl_cell *cells, size_t n)
{
	char name[FL_TABLE_NAME_MAX], text[FL_TEXT_LINE_MAX + 2], again[FL_TABLE_NAME_MAX];

	for (size_t i = 0; i < n; i++) {
		size_t len = fl_cell_copy(text, &cells[i]);
		bool field;

		check(len <= cells[i].text.n && (cells[i].doubled || (len == cells[i].text.n)));
		field = fl_table_name(text, len, i + 1, name);
		check(*name && !strpbrk(name, " \t\r\n"));
		/* A name that is one already stays as it is. */
		check(fl_table_name(name, strlen(name), i + 1, again) == field && !strcmp(name, again));
	}
}

/* A record, first of all the bytes, then of fewer of them. */
static size_t record(const char *p, size_t n, bool last, char delimiter, size_t cut)
{
	struct fl_cell cells[FL_TABLE_CELLS_MAX], fewer[FL_TABLE_CELLS_MAX];
	size_t found, used = 0, found_fewer, used_fewer;
	const char *why = NULL;
	int r = fl_csv_record(p, n, last, delimiter, cells, &found, &used, &why), s;

	if (!r) {
		check(!last);
		return 0;
	}
	check(used > 0 && used <= n);
	if (r < 0) {
		const char *end = memchr(p, '\n', n);

		check(why && used == (end ? (size_t)(end - p) + 1 : n));
		return used;
	}
	check(used <= FL_TEXT_LINE_MAX + 2);
	check(p[used - 1] == '\n' || (last && used == n));
	for (size_t i = 0; i < FL_MIN(found, (size_t)FL_TABLE_CELLS_MAX); i++)
		check(cells[i].text.p >= p && cells[i].text.p + cells[i].text.n <= p + used);
	if (found)
		names(cells, FL_MIN(found, (size_t)FL_TABLE_CELLS_MAX));
	s = fl_csv_record(p, FL_MIN(cut, used), false, delimiter, fewer, &found_fewer, &used_fewer, &why);
	if (cut < used)
		check(s <= 0); /* its end is not there */
	else if (p[used - 1] == '\n')
		check(s == 1 && used_fewer == used && found_fewer == found);
	return used;
}

static void look(const char *p, size_t n)
{
	struct fl_format *f = NULL;
	char delimiter;

	if (fl_csv_is(p, n, &delimiter) && !fl_csv_format("x", p, n, delimiter, &f))
		check(fl_format_len(f) > 0);
	fl_format_free(&f);
	if (fl_json_lines_is(p, n) && !fl_json_lines_format("x", p, n, &f))
		check(fl_format_len(f) > 0);
	fl_format_free(&f);
}

/* What is read without jansson is what jansson reads; of a key that is there twice, the last. */
static void pairs(const char *p, size_t n)
{
	struct fl_pair pair[FL_TABLE_CELLS_MAX];
	int found = fl_json_pairs(p, n, pair);
	json_t *o = found >= 0 ? json_loadb(p, n, 0, NULL) : NULL;
	char key[INPUT_MAX];

	if (found < 0)
		return;
	check(json_is_object(o) && found > 0 && json_object_size(o) <= (size_t)found);
	for (int i = 0; i < found; i++) {
		json_t *v;
		bool later = false;

		for (int k = i + 1; k < found; k++)
			later |= pair[k].key.n == pair[i].key.n && !memcmp(pair[k].key.p, pair[i].key.p, pair[i].key.n);
		memcpy(key, pair[i].key.p, pair[i].key.n);
		key[pair[i].key.n] = '\0';
		v = json_object_get(o, key);
		check(v != NULL);
		if (later)
			continue;
		check((pair[i].kind == FL_PAIR_NULL) == json_is_null(v) &&
		      (pair[i].kind == FL_PAIR_WORD) == json_is_boolean(v));
		if (pair[i].kind == FL_PAIR_TEXT)
			check(json_string_length(v) == pair[i].value.n &&
			      !memcmp(json_string_value(v), pair[i].value.p, pair[i].value.n));
		if (pair[i].kind == FL_PAIR_NUMBER)
			check(json_integer_value(v) == strtoll(pair[i].value.p, NULL, 10) && json_is_integer(v));
	}
	json_decref(o);
}

/* Every value is read, so that the sanitizer sees one that is no longer there. */
static uint64_t touch(const struct fl_batch *b)
{
	struct fl_buf line FL_CLEANUP(fl_buf_free) = FL_BUF(1 << 20);

	check(b->n > 0 && b->n <= FL_BATCH_ROWS);
	for (uint32_t row = 0; row < b->n; row++) {
		fl_buf_reset(&line);
		check(!fl_batch_print(b, row, b->n_columns, ',', &line) && line.len > 0);
	}
	return b->n;
}

/* The same bytes as a source. */
static void scan(const char *p, size_t n)
{
	char path[64];
	const char *paths[] = {path, NULL};
	struct fl_scan_conf conf = {.paths = paths, .threads = 1};
	struct fl_scan *s = NULL;
	struct fl_scan_reader *r = NULL;
	struct fl_scan_report report;
	const struct fl_column_def *columns;
	const struct fl_batch *b;
	uint64_t rows = 0;
	size_t n_columns;
	int fd = memfd_create("table", MFD_CLOEXEC), more;

	check(fd >= 0 && write(fd, p, n) == (ssize_t)n);
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	if (!fl_scan_open(&s, &conf, NULL) && !fl_scan_columns(s, &columns, &n_columns)) {
		check(!fl_scan_select(s, columns, n_columns, NULL) && !fl_scan_reader_new(&r, s));
		while ((more = fl_scan_next(r, &b)) == 1)
			rows += touch(b);
		check(!more);
		fl_scan_report(s, &report);
		check(rows == report.records && !report.damaged_files);
		fl_scan_reader_free(&r);
	}
	fl_scan_close(&s);
	close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	const char *p = (const char *)data + 1;
	unsigned choice = n ? *data : 0;
	static struct fl_looked looked;

	if (!n || n >= INPUT_MAX)
		return 0;
	n--;
	look(p, n);
	for (const char *q = p, *end; q < p + n; q = end + 1) {
		end = memchr(q, '\n', (size_t)(p + n - q));
		end = end ? end : p + n;
		pairs(q, (size_t)(end - q));
	}
	fl_look(p, n, &looked);
	if (looked.kind == FL_KIND_CSV || looked.kind == FL_KIND_JSON)
		scan(p, n);
	while (n) {
		size_t used = record(p, n, (choice & 4) != 0, ",;\t,"[choice & 3], choice >> 3);

		if (!used)
			break;
		p += used;
		n -= used;
	}
	return 0;
}
