/* SPDX-License-Identifier: Apache-2.0 */
#include "aws/xml.h"

#include <ctype.h>
#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "base/error.h"

struct parser {
	const char *start, *p, *end;
	char names[FL_XML_DEPTH_MAX][FL_XML_NAME_MAX];
	const char *path[FL_XML_DEPTH_MAX];
	unsigned depth;
	bool seen_root;
	struct fl_buf text;
	fl_xml_fn fn;
	void *ctx;
};

static int bad(const struct parser *x, const char *what)
{
	return fl_fail(-EPROTO, "the answer is not the XML it should be: %s at byte %zu", what,
		       (size_t)(x->p - x->start));
}

static bool starts(const struct parser *x, const char *with)
{
	size_t n = strlen(with);

	return (size_t)(x->end - x->p) >= n && !memcmp(x->p, with, n);
}

/* To behind the next `what`. */
static int skip_past(struct parser *x, const char *what)
{
	char *at = memmem(x->p, (size_t)(x->end - x->p), what, strlen(what));

	if (!at)
		return bad(x, "no end of what begins");
	x->p = at + strlen(what);
	return 0;
}

static bool is_name(char c)
{
	return isalnum((unsigned char)c) || c == '_' || c == '-' || c == '.' || c == ':' || (unsigned char)c >= 0x80;
}

/* The name without its prefix. */
static int take_name(struct parser *x, char ret[FL_XML_NAME_MAX])
{
	const char *from = x->p, *colon;
	size_t n;

	while (x->p < x->end && is_name(*x->p))
		x->p++;
	colon = memrchr(from, ':', (size_t)(x->p - from));
	if (colon)
		from = colon + 1;
	n = (size_t)(x->p - from);
	if (!n || n >= FL_XML_NAME_MAX)
		return bad(x, "no name, or one that is too long,");
	memcpy(ret, from, n);
	ret[n] = '\0';
	return 0;
}

static int add_utf8(struct fl_buf *out, uint32_t c)
{
	uint8_t b[4];
	size_t n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;

	if (n == 1) {
		b[0] = (uint8_t)c;
	} else {
		for (size_t i = n; i-- > 1; c >>= 6)
			b[i] = (uint8_t)(0x80 | (c & 0x3f));
		b[0] = (uint8_t)((0xf00 >> n) | c);
	}
	return fl_buf_add(out, b, n);
}

/* &#10; &#xA; What XML has no character for is refused: 0 would cut the text. */
static int take_number(struct parser *x, const char *from, size_t n)
{
	uint32_t v = 0, base = 10;

	if (n && *from == 'x') {
		base = 16;
		from++;
		n--;
	}
	if (!n || n > 7)
		return bad(x, "a character's number");
	for (size_t i = 0; i < n; i++) {
		int c = tolower((unsigned char)from[i]);
		uint32_t digit = isdigit(c)             ? (uint32_t)(c - '0')
				 : c >= 'a' && c <= 'f' ? (uint32_t)(c - 'a' + 10)
							: 99;

		if (digit >= base)
			return bad(x, "a character's number");
		v = v * base + digit;
	}
	if (!v || v > 0x10ffff || (v >= 0xd800 && v < 0xe000))
		return bad(x, "a character's number");
	return add_utf8(&x->text, v);
}

static int take_entity(struct parser *x)
{
	static const struct {
		const char *name;
		char is;
	} known[] = {{"lt", '<'}, {"gt", '>'}, {"amp", '&'}, {"quot", '"'}, {"apos", '\''}};
	const char *from = x->p + 1, *semicolon = memchr(from, ';', FL_MIN((size_t)(x->end - from), (size_t)12));
	size_t n = semicolon ? (size_t)(semicolon - from) : 0;
	int r = -1;

	if (!n)
		return bad(x, "an ampersand");
	if (*from == '#')
		r = take_number(x, from + 1, n - 1);
	for (size_t i = 0; *from != '#' && i < FL_ARRAY_LEN(known); i++)
		if (strlen(known[i].name) == n && !memcmp(known[i].name, from, n))
			r = fl_buf_add(&x->text, &known[i].is, 1);
	if (r == -1)
		return bad(x, "an unknown entity");
	x->p = semicolon + 1;
	return r;
}

static int take_text(struct parser *x)
{
	const char *from = x->p;
	int r;

	if (*x->p == '&')
		return x->depth ? take_entity(x) : bad(x, "text outside the root");
	while (x->p < x->end && *x->p != '<' && *x->p != '&')
		if (!*x->p++)
			return bad(x, "a NUL");
	if (!x->depth) {
		while (from < x->p)
			if (!strchr(" \t\r\n\xef\xbb\xbf", *from++))
				return bad(x, "text outside the root");
		return 0;
	}
	r = fl_buf_add(&x->text, from, (size_t)(x->p - from));
	return r == -E2BIG ? bad(x, "an element's text is too long") : r;
}

static int take_cdata(struct parser *x)
{
	const char *from = x->p + strlen("<![CDATA[");
	int r = skip_past(x, "]]>");

	if (r)
		return r;
	if (!x->depth || memchr(from, 0, (size_t)(x->p - 3 - from)))
		return bad(x, "a CDATA section");
	r = fl_buf_add(&x->text, from, (size_t)(x->p - 3 - from));
	return r == -E2BIG ? bad(x, "an element's text is too long") : r;
}

static int leave(struct parser *x)
{
	const char *text = fl_buf_cstr(&x->text);
	int r = x->fn(x->ctx, x->path, x->depth, text);

	fl_buf_reset(&x->text);
	x->depth--;
	return r;
}

static int take_close(struct parser *x)
{
	char name[FL_XML_NAME_MAX];
	int r;

	x->p += 2;
	r = take_name(x, name);
	if (r)
		return r;
	while (x->p < x->end && isspace((unsigned char)*x->p))
		x->p++;
	if (x->p == x->end || *x->p != '>' || !x->depth || strcmp(name, x->names[x->depth - 1]))
		return bad(x, "an end that closes nothing");
	x->p++;
	return leave(x);
}

/* Attributes are passed over, with what is in their quotes. */
static int skip_attributes(struct parser *x, bool *ret_empty)
{
	char quote = 0, before = 0;

	for (; x->p < x->end; before = *x->p++) {
		if (quote) {
			quote = *x->p == quote ? 0 : quote;
		} else if (*x->p == '"' || *x->p == '\'') {
			quote = *x->p;
		} else if (*x->p == '<') {
			return bad(x, "a tag inside a tag");
		} else if (*x->p == '>') {
			*ret_empty = before == '/';
			x->p++;
			return 0;
		}
	}
	return bad(x, "no end of a tag");
}

static int take_open(struct parser *x)
{
	bool empty = false;
	int r;

	if (x->depth == FL_XML_DEPTH_MAX)
		return bad(x, "elements too deep in each other");
	if (!x->depth && x->seen_root)
		return bad(x, "a second root");
	x->p++;
	r = take_name(x, x->names[x->depth]);
	if (!r)
		r = skip_attributes(x, &empty);
	if (r)
		return r;
	x->path[x->depth] = x->names[x->depth];
	x->depth++;
	x->seen_root = true;
	fl_buf_reset(&x->text);
	r = x->fn(x->ctx, x->path, x->depth, NULL);
	return !r && empty ? leave(x) : r;
}

static int step(struct parser *x)
{
	if (*x->p != '<')
		return take_text(x);
	if (starts(x, "<?"))
		return skip_past(x, "?>");
	if (starts(x, "<!--"))
		return skip_past(x, "-->");
	if (starts(x, "<![CDATA["))
		return take_cdata(x);
	if (starts(x, "<!"))
		return bad(x, "a document type");
	return starts(x, "</") ? take_close(x) : take_open(x);
}

int fl_xml_parse(const char *data, size_t n, fl_xml_fn fn, void *ctx)
{
	struct parser x = {
	    .start = data, .p = data, .end = data + n, .text = FL_BUF(FL_XML_TEXT_MAX), .fn = fn, .ctx = ctx};
	int r = 0;

	while (!r && x.p < x.end)
		r = step(&x);
	if (!r && (x.depth || !x.seen_root))
		r = bad(&x, "the end, too early,");
	fl_buf_free(&x.text);
	return r;
}
