/* SPDX-License-Identifier: Apache-2.0 */
#include "scan/headers.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"

#define LETTERS 26
#define KEYS_MAX 24 /* first eight bytes of field names with the same first letter */

struct key {
	uint64_t value, mask;
};

struct fl_headers {
	struct key current;
	struct fl_buf text; /* of the current header */
	uint8_t n[LETTERS];
	struct key key[LETTERS][KEYS_MAX];
};

static uint64_t load8(const char *p)
{
	uint64_t x;

	memcpy(&x, p, sizeof x);
	return x;
}

static struct key key_of(const char *name, size_t n)
{
	struct key k = {0};

	n = FL_MIN(n, sizeof k.value);
	memcpy(&k.value, name, n);
	memset(&k.mask, 0xff, n);
	return k;
}

static int add(struct fl_headers *h, const struct fl_field *f)
{
	struct key k = key_of(f->name, strlen(f->name));
	size_t letter = (size_t)(*f->name - 'a');

	if (letter >= LETTERS)
		return fl_fail(-EINVAL, "field %s does not begin with a small letter", f->name);
	for (size_t i = 0; i < h->n[letter]; i++)
		if (h->key[letter][i].value == k.value && h->key[letter][i].mask == k.mask)
			return 0;
	if (h->n[letter] == KEYS_MAX)
		return fl_fail(-E2BIG, "more than %d fields begin like %s", KEYS_MAX, f->name);
	h->key[letter][h->n[letter]++] = k;
	return 0;
}

int fl_headers_new(struct fl_headers **ret)
{
	struct fl_headers *h FL_CLEANUP(fl_headers_free) = calloc(1, sizeof *h);

	if (!h)
		return -ENOMEM;
	h->text = FL_BUF(1 << 20);
	for (int kind = FL_LOG_VPC; kind <= FL_LOG_TGW; kind++)
		for (unsigned i = 0; i < fl_field_count((enum fl_log_kind)kind); i++) {
			int r = add(h, fl_field_at((enum fl_log_kind)kind, i));

			if (r)
				return r;
		}
	*ret = h;
	h = NULL;
	return 0;
}

void fl_headers_free(struct fl_headers **h)
{
	if (!*h)
		return;
	fl_buf_free(&(*h)->text);
	free(*h);
	*h = NULL;
}

int fl_headers_set_current(struct fl_headers *h, const struct fl_format *format)
{
	int r = 0;

	fl_buf_reset(&h->text);
	for (size_t i = 0; !r && i < fl_format_len(format); i++) {
		r = i ? fl_buf_add(&h->text, " ", 1) : 0;
		if (!r)
			r = fl_buf_adds(&h->text, fl_format_name(format, i));
	}
	if (!r)
		h->current = key_of(h->text.data, h->text.len);
	return r;
}

char fl_headers_first(const struct fl_headers *h)
{
	return *h->text.data;
}

bool fl_headers_may_be(const struct fl_headers *h, const char *line)
{
	uint64_t x = load8(line);
	size_t letter = (size_t)(uint8_t)*line - 'a';

	if ((x & h->current.mask) == h->current.value)
		return true;
	for (size_t i = 0; letter < LETTERS && i < h->n[letter]; i++)
		if ((x & h->key[letter][i].mask) == h->key[letter][i].value)
			return true;
	return false;
}

bool fl_headers_is_current(const struct fl_headers *h, const char *line, size_t n)
{
	return n == h->text.len && !memcmp(line, h->text.data, n);
}

static bool is_name(const char *s, size_t n)
{
	if (!n || *s < 'a' || *s > 'z')
		return false;
	for (size_t i = 0; i < n; i++)
		if (!(s[i] >= 'a' && s[i] <= 'z') && !(s[i] >= '0' && s[i] <= '9') && s[i] != '-' && s[i] != '_')
			return false;
	return true;
}

bool fl_headers_is(const struct fl_headers *h, const char *line, size_t n)
{
	const char *end = line + n, *space = memchr(line, ' ', n);
	size_t first = space ? (size_t)(space - line) : n;

	(void)h;
	if (!fl_field_find(FL_LOG_VPC, line, first) && !fl_field_find(FL_LOG_TGW, line, first))
		return false;
	for (const char *p = line; p <= end; p++) {
		const char *stop = memchr(p, ' ', (size_t)(end - p));

		if (!stop)
			stop = end;
		if (!is_name(p, (size_t)(stop - p)))
			return false;
		p = stop;
	}
	return true;
}
