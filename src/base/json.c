/* SPDX-License-Identifier: Apache-2.0 */
#include "base/json.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static void put(struct fl_json *j, const void *p, size_t n)
{
	if (!j->error)
		j->error = fl_buf_add(j->out, p, n);
}

static void puts_(struct fl_json *j, const char *s)
{
	put(j, s, strlen(s));
}

static void newline(struct fl_json *j)
{
	if (!j->pretty || !j->depth)
		return;
	puts_(j, "\n");
	for (unsigned i = 0; i < j->depth; i++)
		puts_(j, "  ");
}

/* Before a value or a key. */
static void separate(struct fl_json *j)
{
	if (j->comma)
		puts_(j, ",");
	newline(j);
	j->comma = true;
}

/* A value after a key stands on the key's line: nothing but a key ends in a colon. */
static void begin_value(struct fl_json *j)
{
	if (!j->error && j->out->len && j->out->data[j->out->len - 1] == ':') {
		j->comma = true;
		return;
	}
	separate(j);
}

static void open_(struct fl_json *j, const char *bracket)
{
	begin_value(j);
	puts_(j, bracket);
	j->depth++;
	j->comma = false;
}

static void close_(struct fl_json *j, const char *bracket)
{
	bool empty = !j->comma;

	j->depth--;
	if (!empty && j->pretty) {
		puts_(j, "\n");
		for (unsigned i = 0; i < j->depth; i++)
			puts_(j, "  ");
	}
	puts_(j, bracket);
	j->comma = true;
}

void fl_json_object(struct fl_json *j)
{
	open_(j, "{");
}

void fl_json_end_object(struct fl_json *j)
{
	close_(j, "}");
}

void fl_json_array(struct fl_json *j)
{
	open_(j, "[");
}

void fl_json_end_array(struct fl_json *j)
{
	close_(j, "]");
}

size_t fl_utf8_at(const void *text, size_t n)
{
	const unsigned char *p = text;
	size_t len = *p < 0x80                  ? 1
		     : *p >= 0xc2 && *p <= 0xdf ? 2
		     : (*p & 0xf0) == 0xe0      ? 3
		     : *p >= 0xf0 && *p <= 0xf4 ? 4
						: 0;

	if (!len || len > n)
		return 0;
	for (size_t i = 1; i < len; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	if ((*p == 0xe0 && p[1] < 0xa0) || (*p == 0xed && p[1] > 0x9f) || (*p == 0xf0 && p[1] < 0x90) ||
	    (*p == 0xf4 && p[1] > 0x8f))
		return 0;
	return len;
}

static void put_string(struct fl_json *j, const char *s, size_t n)
{
	const unsigned char *p = (const unsigned char *)s, *end = p + n;

	puts_(j, "\"");
	while (p < end) {
		size_t len = fl_utf8_at(p, (size_t)(end - p));
		char escape[8];

		if (!len) {
			puts_(j, "\xef\xbf\xbd");
			p++;
		} else if (*p == '"' || *p == '\\' || *p < 0x20 || *p == 0x7f) {
			snprintf(escape, sizeof escape, *p == '"' || *p == '\\' ? "\\%c" : "\\u%04x", *p);
			puts_(j, escape);
			p++;
		} else {
			put(j, p, len);
			p += len;
		}
	}
	puts_(j, "\"");
}

void fl_json_key(struct fl_json *j, const char *key)
{
	separate(j);
	put_string(j, key, strlen(key));
	puts_(j, ":");
}

void fl_json_strn(struct fl_json *j, const char *s, size_t n)
{
	begin_value(j);
	put_string(j, s, n);
}

void fl_json_str(struct fl_json *j, const char *s)
{
	if (s)
		fl_json_strn(j, s, strlen(s));
	else
		fl_json_null(j);
}

static void put_value(struct fl_json *j, const char *text)
{
	begin_value(j);
	puts_(j, text);
}

void fl_json_u64(struct fl_json *j, uint64_t v)
{
	char text[24];

	snprintf(text, sizeof text, "%" PRIu64, v);
	put_value(j, text);
}

void fl_json_i64(struct fl_json *j, int64_t v)
{
	char text[24];

	snprintf(text, sizeof text, "%" PRId64, v);
	put_value(j, text);
}

void fl_json_bool(struct fl_json *j, bool v)
{
	put_value(j, v ? "true" : "false");
}

void fl_json_null(struct fl_json *j)
{
	put_value(j, "null");
}

void fl_json_kstr(struct fl_json *j, const char *key, const char *s)
{
	fl_json_key(j, key);
	fl_json_str(j, s);
}

void fl_json_ku64(struct fl_json *j, const char *key, uint64_t v)
{
	fl_json_key(j, key);
	fl_json_u64(j, v);
}

void fl_json_ki64(struct fl_json *j, const char *key, int64_t v)
{
	fl_json_key(j, key);
	fl_json_i64(j, v);
}

void fl_json_kbool(struct fl_json *j, const char *key, bool v)
{
	fl_json_key(j, key);
	fl_json_bool(j, v);
}

int fl_json_done(struct fl_json *j)
{
	return j->error;
}
