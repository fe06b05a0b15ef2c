/* SPDX-License-Identifier: Apache-2.0 */
#include "aws/ini.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/mem.h"

struct reader {
	struct fl_ini *ini;
	const char *file;
	unsigned line;
	char *section; /* of the lines that come; NULL before the first */
	long at;       /* entry of the last name at the margin, -1: none */
};

static int bad(const struct reader *x, const char *what)
{
	return fl_fail(-EINVAL, "%s:%u: %s", x->file, x->line, what);
}

static struct fl_str trim(struct fl_str s)
{
	while (s.n && isspace((unsigned char)*s.p)) {
		s.p++;
		s.n--;
	}
	while (s.n && isspace((unsigned char)s.p[s.n - 1]))
		s.n--;
	return s;
}

static struct fl_str without_comment(struct fl_str s)
{
	for (size_t i = 1; i < s.n; i++)
		if ((s.p[i] == '#' || s.p[i] == ';') && isspace((unsigned char)s.p[i - 1]))
			s.n = i;
	return trim(s);
}

/* Takes name and value. */
static int add(struct reader *x, char *name, char *value)
{
	struct fl_ini *ini = x->ini;
	char *section = strdup(x->section);

	if (ini->n == ini->cap) {
		size_t cap = ini->cap ? 2 * ini->cap : 32;
		struct fl_ini_entry *more =
		    ini->n < FL_INI_ENTRIES_MAX ? reallocarray(ini->entries, cap, sizeof *more) : NULL;

		if (more) {
			ini->entries = more;
			ini->cap = cap;
		}
	}
	if (!name || !value || !section || ini->n == ini->cap) {
		bool many = ini->n >= FL_INI_ENTRIES_MAX;

		free(name);
		free(value);
		free(section);
		return many ? bad(x, "too many settings in one file") : -ENOMEM;
	}
	ini->entries[ini->n++] = (struct fl_ini_entry){section, name, value};
	return 0;
}

/* [profile "x y"] -> profile x y */
static int take_section(struct reader *x, struct fl_str s)
{
	const char *close = memchr(s.p, ']', s.n);
	char *name;
	size_t len = 0;

	if (!close)
		return bad(x, "a section has no closing bracket");
	s = trim((struct fl_str){s.p + 1, (size_t)(close - s.p - 1)});
	name = malloc(s.n + 1);
	if (!name)
		return -ENOMEM;
	for (size_t i = 0; i < s.n; i++) {
		bool space = isspace((unsigned char)s.p[i]);

		if (s.p[i] == '"' || (space && len && name[len - 1] == ' '))
			continue;
		name[len++] = space ? ' ' : s.p[i];
	}
	name[len] = '\0';
	free(x->section);
	x->section = name;
	x->at = -1;
	return add(x, strdup(""), strdup(""));
}

static char *lower(const char *prefix, struct fl_str s)
{
	size_t n = strlen(prefix);
	char *name = malloc(n + s.n + 2);

	if (!name)
		return NULL;
	memcpy(name, prefix, n);
	if (n)
		name[n++] = '.';
	for (size_t i = 0; i < s.n; i++)
		name[n + i] = (char)tolower((unsigned char)s.p[i]);
	name[n + s.n] = '\0';
	return name;
}

static int take_setting(struct reader *x, struct fl_str s, const char *below)
{
	const char *equal = memchr(s.p, '=', s.n);
	struct fl_str name, value;

	if (!equal)
		return bad(x, "neither a [section] nor a setting (name = value)");
	name = trim((struct fl_str){s.p, (size_t)(equal - s.p)});
	/* The space before it may be what makes a # a comment. */
	value = without_comment((struct fl_str){equal + 1, s.n - (size_t)(equal + 1 - s.p)});
	if (!name.n)
		return bad(x, "a setting without a name");
	if (value.n == 1 && (*value.p == '#' || *value.p == ';'))
		value.n = 0;
	if (!below)
		x->at = (long)x->ini->n;
	return add(x, lower(below ? below : "", name), strndup(value.p, value.n));
}

/* An indented line: a setting below a name without a value, else more of the value. */
static int take_indented(struct reader *x, struct fl_str s)
{
	struct fl_ini_entry *e;
	char *more;
	size_t n;

	if (x->at < 0)
		return bad(x, "an indented line follows no setting");
	e = &x->ini->entries[x->at];
	if (!*e->value)
		return take_setting(x, s, e->name);
	n = strlen(e->value);
	more = realloc(e->value, n + s.n + 2);
	if (!more)
		return -ENOMEM;
	e->value = more;
	more[n] = '\n';
	memcpy(more + n + 1, s.p, s.n);
	more[n + 1 + s.n] = '\0';
	return 0;
}

static int take_line(struct reader *x, struct fl_str raw)
{
	struct fl_str s = trim(raw);

	if (memchr(raw.p, 0, raw.n))
		return bad(x, "a NUL byte: this is no text file");
	if (!s.n || *s.p == '#' || *s.p == ';')
		return 0;
	if (*raw.p == '[')
		return take_section(x, s);
	if (!x->section)
		return bad(x, "a setting before the first [section]");
	return isspace((unsigned char)*raw.p) ? take_indented(x, s) : take_setting(x, s, NULL);
}

int fl_ini_parse(struct fl_ini *ini, const char *file, const char *text, size_t n)
{
	struct reader x = {.ini = ini, .file = file, .at = -1};
	const char *p = text, *end = text + n;
	int r = 0;

	if (n >= 3 && !memcmp(p, "\xef\xbb\xbf", 3))
		p += 3;
	while (!r && p < end) {
		const char *newline = memchr(p, '\n', (size_t)(end - p));
		const char *stop = newline ? newline : end;

		x.line++;
		r = take_line(&x, (struct fl_str){p, (size_t)(stop - p)});
		p = newline ? newline + 1 : end;
	}
	free(x.section);
	return r;
}

void fl_ini_free(struct fl_ini *ini)
{
	for (size_t i = 0; i < ini->n; i++) {
		struct fl_ini_entry *e = &ini->entries[i];

		free(e->section);
		free(e->name);
		explicit_bzero(e->value, strlen(e->value)); /* it may be a key */
		free(e->value);
	}
	free(ini->entries);
	*ini = (struct fl_ini){0};
}

const char *fl_ini_get(const struct fl_ini *ini, const char *section, const char *name)
{
	for (size_t i = ini->n; i-- > 0;)
		if (*ini->entries[i].name && !strcmp(ini->entries[i].section, section) &&
		    !strcmp(ini->entries[i].name, name))
			return ini->entries[i].value;
	return NULL;
}

bool fl_ini_has(const struct fl_ini *ini, const char *section)
{
	for (size_t i = 0; i < ini->n; i++)
		if (!strcmp(ini->entries[i].section, section))
			return true;
	return false;
}
