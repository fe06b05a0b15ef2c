/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Enough of XML for libvirt's files (formatdomain.html; the status files wrap the same in <domstatus>): elements,
 * attributes, text, entities, comments. Labels are title, description and the leaves below <metadata>, by the name that
 * is written there: <nova:project>web</nova:project> is nova:project=web.
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "inventory/names.h"

#define DEPTH_MAX 64
#define ELEMENT_MAX 128 /* longest name that is told apart */
#define TEXT_MAX 1024

struct xml {
	const char *p, *end;
	char path[DEPTH_MAX][ELEMENT_MAX];
	unsigned depth;
	char text[TEXT_MAX]; /* of the innermost element so far */
	size_t n_text;
	bool leaf;
	/* what is looked for */
	const char *device;
	const uint8_t *mac;
	struct fl_who *who;
	bool named, match;
};

static bool skip_past(struct xml *x, const char *what)
{
	const char *at = memmem(x->p, (size_t)(x->end - x->p), what, strlen(what));

	x->p = at ? at + strlen(what) : x->end;
	return at;
}

static void put_text(struct xml *x, const char *p, size_t n)
{
	n = FL_MIN(n, sizeof x->text - 1 - x->n_text);
	memcpy(x->text + x->n_text, p, n);
	x->n_text += n;
	x->text[x->n_text] = '\0';
}

/* Decodes in place; what is no entity of XML stays as it is. */
static void decode(char *s)
{
	static const struct {
		const char *name;
		char c;
	} entities[] = {{"&lt;", '<'}, {"&gt;", '>'}, {"&quot;", '"'}, {"&apos;", '\''}, {"&amp;", '&'}};
	char *to = s;

	while (*s) {
		size_t i = 0;
		char *after;
		unsigned long c;

		while (i < FL_ARRAY_LEN(entities) && strncmp(s, entities[i].name, strlen(entities[i].name)) != 0)
			i++;
		if (*s == '&' && i < FL_ARRAY_LEN(entities)) {
			s += strlen(entities[i].name);
			*to++ = entities[i].c;
			continue;
		}
		c = s[0] == '&' && s[1] == '#' ? strtoul(s + 2 + (s[2] == 'x'), &after, s[2] == 'x' ? 16 : 10) : 0;
		if (c >= 0x20 && c < 0x7f && *after == ';') {
			*to++ = (char)c;
			s = after + 1;
			continue;
		}
		*to++ = *s++;
	}
	*to = '\0';
}

static bool below(const struct xml *x, unsigned from_end, const char *name)
{
	return x->depth >= from_end && !strcmp(x->path[x->depth - from_end], name);
}

/* The value of an attribute between p and end, "" when there is none. */
static void attribute(const char *p, const char *end, const char *name, char *ret, size_t size)
{
	size_t n = strlen(name);

	*ret = '\0';
	while (p < end) {
		const char *key = p, *value;
		char quote;

		while (p < end && *p != '=')
			p++;
		while (key < p && isspace((unsigned char)*key))
			key++;
		if (p >= end || ++p >= end || (*p != '"' && *p != '\''))
			return;
		quote = *p++;
		value = p;
		while (p < end && *p != quote)
			p++;
		if (!strncmp(key, name, n) && key[n] == '=') {
			snprintf(ret, size, "%.*s", (int)FL_MIN((size_t)(p - value), size - 1), value);
			decode(ret);
			return;
		}
		p += p < end;
	}
}

/* A tap carries its guest's address with fe in front (virnetdevtap.c). */
static bool same_mac(const char *text, const uint8_t *mac)
{
	unsigned b[6];
	char more;

	if (!mac || sscanf(text, "%2x:%2x:%2x:%2x:%2x:%2x%c", &b[0], &b[1], &b[2], &b[3], &b[4], &b[5], &more) != 6)
		return false;
	for (unsigned i = 1; i < 6; i++)
		if (b[i] != mac[i])
			return false;
	return mac[0] == b[0] || mac[0] == 0xfe;
}

static void opened(struct xml *x, const char *attributes, const char *end)
{
	char value[64];

	if (!below(x, 2, "interface"))
		return;
	if (below(x, 1, "target")) {
		attribute(attributes, end, "dev", value, sizeof value);
		x->match |= x->device && *value && !strcmp(value, x->device);
	} else if (below(x, 1, "mac")) {
		attribute(attributes, end, "address", value, sizeof value);
		x->match |= same_mac(value, x->mac);
	}
}

static bool in_metadata(const struct xml *x)
{
	for (unsigned i = 1; i + 1 < x->depth; i++)
		if (!strcmp(x->path[i], "metadata") && !strcmp(x->path[i - 1], "domain"))
			return true;
	return false;
}

static void closed(struct xml *x)
{
	const char *name = x->path[x->depth - 1];

	decode(x->text);
	if (below(x, 2, "domain") && !strcmp(name, "name") && !x->named) {
		fl_name_copy(x->text, strlen(x->text), x->who->name);
		x->named = *x->who->name;
	} else if (below(x, 2, "domain") && (!strcmp(name, "title") || !strcmp(name, "description"))) {
		fl_label_add(&x->who->labels, name, x->text);
	} else if (x->leaf && in_metadata(x) && *x->text) {
		fl_label_add(&x->who->labels, name, x->text);
	}
	x->depth--;
	x->n_text = 0;
	*x->text = '\0';
	x->leaf = false;
}

static bool open_element(struct xml *x)
{
	const char *name = x->p, *end = x->p, *attributes;
	char quote = '\0';
	bool empty;

	while (end < x->end && (quote || *end != '>')) {
		if (quote ? *end == quote : *end == '"' || *end == '\'')
			quote = quote ? '\0' : *end;
		end++;
	}
	if (end >= x->end || x->depth == DEPTH_MAX)
		return false;
	x->p = end + 1;
	empty = end > name && end[-1] == '/';
	attributes = name;
	while (attributes < end && !isspace((unsigned char)*attributes) && *attributes != '/')
		attributes++;
	snprintf(x->path[x->depth++], ELEMENT_MAX, "%.*s",
		 (int)FL_MIN((size_t)(attributes - name), (size_t)ELEMENT_MAX - 1), name);
	x->n_text = 0;
	*x->text = '\0';
	x->leaf = true;
	opened(x, attributes, end);
	if (empty)
		closed(x);
	return true;
}

/* One piece of text or markup; false: the end, or not XML. */
static bool step(struct xml *x)
{
	const char *at = memchr(x->p, '<', (size_t)(x->end - x->p));

	if (!at)
		return false;
	put_text(x, x->p, (size_t)(at - x->p));
	x->p = at + 1;
	if (x->end - x->p >= 3 && !strncmp(x->p, "!--", 3))
		return skip_past(x, "-->");
	if (x->end - x->p >= 8 && !strncmp(x->p, "![CDATA[", 8)) {
		const char *from = x->p + 8;
		bool good = skip_past(x, "]]>");

		if (good)
			put_text(x, from, (size_t)(x->p - 3 - from));
		return good;
	}
	if (x->p < x->end && (*x->p == '?' || *x->p == '!'))
		return skip_past(x, ">");
	if (x->p < x->end && *x->p == '/') {
		if (!x->depth)
			return false;
		closed(x);
		return skip_past(x, ">");
	}
	return open_element(x);
}

bool fl_names_parse_domain(const char *text, size_t n, const char *device, const uint8_t *mac, struct fl_who *ret)
{
	struct xml *x = calloc(1, sizeof *x);
	bool found;

	if (!x)
		return false;
	x->p = text;
	x->end = text + n;
	x->device = device;
	x->mac = mac;
	x->who = ret;
	while (step(x))
		;
	found = x->named && x->match;
	free(x);
	if (found)
		snprintf(ret->kind, sizeof ret->kind, "vm");
	return found;
}
