/* SPDX-License-Identifier: Apache-2.0 */
#include "aws/page.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "aws/sigv4.h"
#include "aws/xml.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/units.h"

static int hex_value(char c)
{
	return isdigit((unsigned char)c)    ? c - '0'
	       : isxdigit((unsigned char)c) ? (tolower((unsigned char)c) - 'a') + 10
					    : -1;
}

/* -1: longer than a key, or with a NUL in it. plus: a plus is a space (encoding-type=url). */
static int decode(const char *text, size_t n, bool encoded, bool plus, char ret[FL_S3_KEY_MAX])
{
	size_t len = 0;

	for (size_t i = 0; i < n; i++) {
		char c = text[i];

		if (encoded && c == '+' && plus)
			c = ' ';
		if (encoded && c == '%' && n - i > 2 && hex_value(text[i + 1]) >= 0 && hex_value(text[i + 2]) >= 0) {
			c = (char)(16 * hex_value(text[i + 1]) + hex_value(text[i + 2]));
			i += 2;
		}
		if (!c || len + 1 == FL_S3_KEY_MAX)
			return -1;
		ret[len++] = c;
	}
	ret[len] = '\0';
	return 0;
}

static int take_key(struct fl_s3_page *p, const char *text)
{
	if (decode(text, strlen(text), p->encoded, true, p->key))
		return fl_fail(-EPROTO, "the listing has a key of more than %d bytes, or with a NUL",
			       FL_S3_KEY_MAX - 1);
	if (strncmp(p->key, p->prefix, strlen(p->prefix)) != 0)
		return fl_fail(-EPROTO, "the listing of \"%s\" has \"%.100s\" in it", p->prefix, p->key);
	return 0;
}

static int64_t parse_modified(const char *text)
{
	struct tm tm = {0};

	return strptime(text, "%Y-%m-%dT%H:%M:%S", &tm) ? (int64_t)timegm(&tm) : 0;
}

static int give(struct fl_s3_page *p, bool is_prefix)
{
	int r;
	struct fl_s3_object o = {.key = p->key,
				 .etag = is_prefix ? "" : p->etag,
				 .size = p->size,
				 .modified = p->modified,
				 .is_prefix = is_prefix};

	/* One that is no longer than what was asked for would be asked for again without end. */
	if (is_prefix && (!p->delimited || strlen(p->key) <= strlen(p->prefix)))
		return fl_fail(-EPROTO, "the listing of \"%s\" names \"%.100s\" as a part of it", p->prefix, p->key);
	if (!*p->key)
		return fl_fail(-EPROTO, "the listing has an object without a key");
	p->entries++;
	r = p->fn(p->ctx, &o);
	p->ended = r != 0;
	return r;
}

static int on_object(struct fl_s3_page *p, const char *name, const char *text)
{
	if (!strcmp(name, "Key"))
		return take_key(p, text);
	if (!strcmp(name, "Size"))
		return fl_wrap(fl_parse_u64(text, 0, UINT64_MAX, &p->size), "the listing's size of \"%.100s\"", p->key);
	if (!strcmp(name, "ETag"))
		snprintf(p->etag, sizeof p->etag, "%s", text);
	else if (!strcmp(name, "LastModified"))
		p->modified = parse_modified(text);
	return 0;
}

static int on_top(struct fl_s3_page *p, const char *name, const char *text)
{
	if (!text && (!strcmp(name, "Contents") || !strcmp(name, "CommonPrefixes"))) {
		*p->key = *p->etag = '\0';
		p->size = 0;
		p->modified = 0;
	} else if (text && !strcmp(name, "Contents")) {
		return give(p, false);
	} else if (text && !strcmp(name, "CommonPrefixes")) {
		return give(p, true);
	} else if (text && !strcmp(name, "IsTruncated")) {
		p->truncated = !strcmp(text, "true");
	} else if (text && !strcmp(name, "NextContinuationToken")) {
		if (strlen(text) >= sizeof p->token)
			return fl_fail(-EPROTO, "the listing's continuation token is longer than %zu bytes",
				       sizeof p->token);
		snprintf(p->token, sizeof p->token, "%s", text);
	}
	return 0;
}

static int on_element(void *ctx, const char *const *path, unsigned depth, const char *text)
{
	struct fl_s3_page *p = ctx;

	if (strcmp(path[0], "ListBucketResult") != 0)
		return fl_fail(-EPROTO, "the answer is <%s>, not a listing; is this S3?", path[0]);
	if (depth == 2)
		return on_top(p, path[1], text);
	if (depth == 3 && text && !strcmp(path[1], "Contents"))
		return on_object(p, path[2], text);
	if (depth == 3 && text && !strcmp(path[1], "CommonPrefixes") && !strcmp(path[2], "Prefix"))
		return take_key(p, text);
	return 0;
}

int fl_s3_page_read(struct fl_s3_page *page, const char *xml, size_t n)
{
	static const char mark[] = "EncodingType>url<"; /* some write it behind the keys it is about */
	int r;

	page->encoded = memmem(xml, n, mark, strlen(mark)) != NULL;
	r = fl_xml_parse(xml, n, on_element, page);
	if (!r && page->truncated && !*page->token)
		r = fl_fail(-EPROTO, "the listing goes on, but the server does not say where");
	return r;
}

/* ---- as it is kept ---- */

#define LAST_LINE "end %08" PRIx32 "\n"
#define LAST_LINE_N 13

int fl_s3_listing_add(struct fl_buf *out, const struct fl_s3_object *o)
{
	int r = fl_buf_printf(out, "%" PRIu64 " %" PRId64 " ", o->size, o->modified);

	if (!r)
		r = fl_uri_encode(out, o->etag, strlen(o->etag), false);
	if (!r)
		r = fl_buf_adds(out, " ");
	if (!r)
		r = fl_uri_encode(out, o->key, strlen(o->key), true);
	return r ? r : fl_buf_adds(out, "\n");
}

int fl_s3_listing_end(struct fl_buf *out)
{
	return fl_buf_printf(out, LAST_LINE, fl_crc32c(0, out->data, out->len));
}

bool fl_s3_listing_check(const char *text, size_t n)
{
	char want[LAST_LINE_N + 1];

	if (n < LAST_LINE_N)
		return false;
	snprintf(want, sizeof want, LAST_LINE, fl_crc32c(0, text, n - LAST_LINE_N));
	return !memcmp(text + n - LAST_LINE_N, want, LAST_LINE_N);
}

static int bad_line(void)
{
	return fl_fail(-EPROTO, "a kept listing cannot be read; remove the cache (~/.cache/flowlog/s3)");
}

/* size modified etag key */
static int take_line(char *line, fl_s3_object_fn fn, void *ctx)
{
	char key[FL_S3_KEY_MAX], etag[FL_S3_KEY_MAX], *end;
	struct fl_s3_object o = {.key = key, .etag = etag};
	char *space;

	o.size = strtoull(line, &end, 10);
	if (end == line || *end != ' ')
		return bad_line();
	o.modified = strtoll(end + 1, &end, 10);
	if (*end != ' ')
		return bad_line();
	space = strchr(end + 1, ' ');
	if (!space || decode(end + 1, (size_t)(space - end - 1), true, false, etag) ||
	    decode(space + 1, strlen(space + 1), true, false, key) || !*key)
		return bad_line();
	return fn(ctx, &o);
}

int fl_s3_listing_read(const char *text, size_t n, fl_s3_object_fn fn, void *ctx)
{
	const char *p = text, *end = text + n - FL_MIN(n, (size_t)LAST_LINE_N);
	int r = 0;

	while (!r && p < end) {
		const char *newline = memchr(p, '\n', (size_t)(end - p));
		char line[2 * 3 * FL_S3_KEY_MAX + 64];
		size_t len = newline ? (size_t)(newline - p) : 0;

		if (!newline || len >= sizeof line || memchr(p, 0, len))
			return bad_line();
		memcpy(line, p, len);
		line[len] = '\0';
		r = take_line(line, fn, ctx);
		p = newline + 1;
	}
	return r;
}
