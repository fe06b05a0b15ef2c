/* SPDX-License-Identifier: Apache-2.0 */
#include "record/fields.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"

#define COLUMNS_MAX 96u
#define NAME_MAX_LEN 255u

struct fl_format {
	enum fl_log_kind kind;
	unsigned version;
	size_t n;
	const struct fl_field *field[COLUMNS_MAX];
	char *name[COLUMNS_MAX];
	char *text;
};

static const struct preset {
	const char *name;
	enum fl_log_kind kind;
	unsigned version; /* every field up to this version */
} presets[] = {
    {"default", FL_LOG_VPC, 2}, {"v5-all", FL_LOG_VPC, 5},   {"v7-all", FL_LOG_VPC, 7},
    {"v8-all", FL_LOG_VPC, 8},  {"v11-all", FL_LOG_VPC, 11}, {"tgw-default", FL_LOG_TGW, 6},
};

void fl_format_free(struct fl_format **f)
{
	if (!*f)
		return;
	for (size_t i = 0; i < (*f)->n; i++)
		free((*f)->name[i]);
	free((*f)->text);
	free(*f);
	*f = NULL;
}

static int add_column(struct fl_format *f, const struct fl_field *field, const char *name, size_t n)
{
	if (f->n == COLUMNS_MAX)
		return fl_fail(-EINVAL, "format: more than %u fields", COLUMNS_MAX);
	for (size_t i = 0; i < f->n; i++)
		if (strlen(f->name[i]) == n && memcmp(f->name[i], name, n) == 0)
			return fl_fail(-EINVAL, "format: field %.*s is there twice", (int)n, name);
	f->name[f->n] = strndup(name, n);
	if (!f->name[f->n])
		return -ENOMEM;
	f->field[f->n++] = field;
	if (field && field->version > f->version)
		f->version = field->version;
	return 0;
}

static int render_text(struct fl_format *f)
{
	size_t len = 1;
	char *p;

	for (size_t i = 0; i < f->n; i++)
		len += strlen(f->name[i]) + strlen("${} ");
	p = f->text = malloc(len);
	if (!p)
		return -ENOMEM;
	for (size_t i = 0; i < f->n; i++) {
		if (i)
			*p++ = ' ';
		p = stpcpy(stpcpy(stpcpy(p, "${"), f->name[i]), "}");
	}
	return 0;
}

static int add_preset(struct fl_format *f, const struct preset *p)
{
	if (p->kind != f->kind)
		return fl_fail(-EINVAL, "format: %s is a preset of the other kind of flow log", p->name);
	for (unsigned i = 0; i < fl_field_count(f->kind); i++) {
		const struct fl_field *field = fl_field_at(f->kind, i);
		int r = 0;

		if (field->version <= p->version)
			r = add_column(f, field, field->name, strlen(field->name));
		if (r < 0)
			return r;
	}
	return 0;
}

static int no_item(const struct fl_format *f, const char *text)
{
	char known[128] = "";
	size_t n = 0;

	for (size_t i = 0; i < FL_ARRAY_LEN(presets); i++)
		if (presets[i].kind == f->kind)
			n += (size_t)snprintf(known + n, sizeof known - n, "%s%s", n ? ", " : "", presets[i].name);
	return fl_fail(-EINVAL,
		       "format: expected ${field} at \"%.40s\"; a format is '${srcaddr} ${dstaddr} ...' or one of %s",
		       text, known);
}

/* One "${name}" at text; returns its length in *ret_len. */
static int add_item(struct fl_format *f, const char *text, size_t *ret_len)
{
	const char *name = text + 2, *end = strncmp(text, "${", 2) == 0 ? strchr(name, '}') : NULL;
	const struct fl_field *field;
	size_t n;

	if (!end)
		return no_item(f, text);
	n = FL_MIN((size_t)(end - name), (size_t)NAME_MAX_LEN);
	field = fl_field_find(f->kind, name, n);
	if (!field)
		return fl_fail(-EINVAL, "format: unknown field %.*s; the nearest is %s", (int)n, name,
			       fl_field_nearest(f->kind, name, n)->name);
	*ret_len = n + strlen("${}");
	return add_column(f, field, name, n);
}

static int add_items(struct fl_format *f, const char *text)
{
	size_t len = 0;

	if (!*text)
		return fl_fail(-EINVAL, "format: empty; at least one field is needed");
	for (;;) {
		int r = add_item(f, text, &len);

		if (r < 0)
			return r;
		text += len;
		if (!*text)
			return 0;
		if (*text++ != ' ')
			return fl_fail(-EINVAL, "format: expected a space before \"%.40s\"", text - 1);
		if (!*text)
			return fl_fail(-EINVAL, "format: trailing space");
		if (*text == ' ')
			return fl_fail(-EINVAL, "format: more than one space before \"%.40s\"", text);
	}
}

enum fl_log_kind fl_format_kind_of(const char *text)
{
	return !strcmp(text, "tgw-default") || strstr(text, "${tgw-") || strstr(text, "${resource-type}") ||
		       strstr(text, "${packets-lost-")
		   ? FL_LOG_TGW
		   : FL_LOG_VPC;
}

int fl_format_parse(struct fl_format **ret, enum fl_log_kind kind, const char *text)
{
	struct fl_format *f FL_CLEANUP(fl_format_free) = calloc(1, sizeof(*f));
	const struct preset *preset = NULL;
	int r;

	if (!f)
		return -ENOMEM;
	f->kind = kind;
	for (size_t i = 0; i < FL_ARRAY_LEN(presets); i++)
		if (strcmp(text, presets[i].name) == 0)
			preset = &presets[i];
	r = preset ? add_preset(f, preset) : add_items(f, text);
	if (r == 0)
		r = render_text(f);
	if (r < 0)
		return r;
	*ret = f;
	f = NULL;
	return 0;
}

int fl_format_from_header(struct fl_format **ret, const char *line, size_t n)
{
	struct fl_format *f FL_CLEANUP(fl_format_free) = calloc(1, sizeof(*f));
	const char *end;
	int r;

	if (!f)
		return -ENOMEM;
	while (n && (line[n - 1] == '\n' || line[n - 1] == '\r'))
		n--;
	end = line + n;
	/* resource-type and the tgw-* names exist only in the transit gateway's table */
	f->kind = memmem(line, n, "tgw-", 4) || memmem(line, n, "resource-type", 13) ? FL_LOG_TGW : FL_LOG_VPC;
	for (const char *p = line; p <= end; p++) {
		const char *stop = memchr(p, ' ', (size_t)(end - p));
		size_t len = (size_t)((stop ? stop : end) - p);

		if (len == 0 || len > NAME_MAX_LEN)
			return fl_fail(-EINVAL, "header: empty or overlong name in column %zu", f->n + 1);
		r = add_column(f, fl_field_find(f->kind, p, len), p, len);
		if (r < 0)
			return r;
		p += len;
	}
	r = render_text(f);
	if (r < 0)
		return r;
	*ret = f;
	f = NULL;
	return 0;
}

enum fl_log_kind fl_format_kind(const struct fl_format *f)
{
	return f->kind;
}

size_t fl_format_len(const struct fl_format *f)
{
	return f->n;
}

const struct fl_field *fl_format_field(const struct fl_format *f, size_t i)
{
	return i < f->n ? f->field[i] : NULL;
}

const char *fl_format_name(const struct fl_format *f, size_t i)
{
	return i < f->n ? f->name[i] : NULL;
}

const char *fl_format_text(const struct fl_format *f)
{
	return f->text;
}

unsigned fl_format_version(const struct fl_format *f)
{
	return f->version;
}

const char *fl_format_warning(const struct fl_format *f)
{
	/* Elastic tells these layouts apart by their number of values alone */
	static const size_t elastic_counts[] = {14, 29, 39, 40};

	if (f->kind != FL_LOG_VPC)
		return NULL;
	for (size_t k = 0; k < FL_ARRAY_LEN(elastic_counts); k++)
		for (size_t i = 0; f->n == elastic_counts[k] && i < f->n; i++)
			if (f->field[i] != fl_field_at(f->kind, (unsigned)i))
				return "Elastic takes a record with this number of fields for the "
				       "fields in "
				       "documentation order; use a preset or another number of "
				       "fields";
	return NULL;
}
