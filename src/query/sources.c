/* SPDX-License-Identifier: Apache-2.0 */
#include "query/sources.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "base/error.h"
#include "record/record.h"

#define HEADER_MAX 8192        /* 96 names are far shorter */
#define FILES_MAX (256u << 20) /* bytes of path names in one statement */
#define DEPTH_MAX 32

struct fl_file_id {
	dev_t dev;
	ino_t ino; /* 0: free */
};

static struct fl_file_id *slot(struct fl_file_id *table, size_t cap, const struct fl_file_id *id)
{
	size_t at = (size_t)((id->ino ^ (uint64_t)id->dev << 32) * UINT64_C(0x9e3779b97f4a7c15) >> 20) & (cap - 1);

	while (table[at].ino && (table[at].ino != id->ino || table[at].dev != id->dev))
		at = (at + 1) & (cap - 1);
	return &table[at];
}

/* 1: new; 0: seen before; -ENOMEM */
static int first_time(struct fl_sources *s, const struct stat *st)
{
	struct fl_file_id id = {st->st_dev, st->st_ino}, *at;

	if (2 * s->n_seen >= s->cap_seen) {
		size_t cap = s->cap_seen ? 2 * s->cap_seen : 256;
		struct fl_file_id *grown = calloc(cap, sizeof *grown);

		if (!grown)
			return -ENOMEM;
		for (size_t i = 0; i < s->cap_seen; i++)
			if (s->seen[i].ino)
				*slot(grown, cap, &s->seen[i]) = s->seen[i];
		free(s->seen);
		s->seen = grown;
		s->cap_seen = cap;
	}
	at = slot(s->seen, s->cap_seen, &id);
	if (at->ino)
		return 0;
	*at = id;
	s->n_seen++;
	return 1;
}

int fl_sql_quote(struct fl_buf *out, const char *text, char quote)
{
	int r = fl_buf_add(out, &quote, 1);

	for (; !r && *text; text++) {
		r = fl_buf_add(out, text, 1);
		if (!r && *text == quote)
			r = fl_buf_add(out, text, 1);
	}
	return r ? r : fl_buf_add(out, &quote, 1);
}

const char *fl_source_sql_type(const struct fl_field *f)
{
	static const char *const types[] = {
	    [FL_TYPE_INT32] = "INTEGER", [FL_TYPE_INT64] = "BIGINT", [FL_TYPE_TEXT] = "VARCHAR"};

	return f ? types[f->type] : "VARCHAR";
}

int fl_source_column(const struct fl_format *f, size_t i, char quote, struct fl_buf *out)
{
	const struct fl_field *field = fl_format_field(f, i);
	char *name = strdup(field ? field->column : fl_format_name(f, i));
	int r;

	if (!name)
		return -ENOMEM;
	for (char *p = name; *p; p++)
		if (*p == '-')
			*p = '_';
	r = fl_sql_quote(out, name, quote);
	free(name);
	return r;
}

/* The group of these fields, made when it is the first of its kind. Takes the format over. */
static int group_of(struct fl_sources *s, struct fl_format *format, bool gzip, struct fl_source_group **ret)
{
	struct fl_buf header = FL_BUF(HEADER_MAX * 2);
	struct fl_source_group *g;
	int r = 0;

	for (size_t i = 0; !r && i < fl_format_len(format); i++)
		r = fl_buf_printf(&header, "%s%s", i ? " " : "", fl_format_name(format, i));
	for (size_t i = 0; !r && i < s->n_groups; i++) {
		g = &s->group[i];
		if (g->gzip == gzip && g->header.len == header.len &&
		    !memcmp(g->header.data, header.data, header.len)) {
			fl_buf_free(&header);
			fl_format_free(&format);
			*ret = g;
			return 0;
		}
	}
	if (!r && s->n_groups == FL_SOURCE_GROUPS)
		r = fl_fail(-E2BIG, "the files have more than %d different formats; ask about fewer at once",
			    FL_SOURCE_GROUPS);
	if (r) {
		fl_buf_free(&header);
		fl_format_free(&format);
		return r;
	}
	*ret = &s->group[s->n_groups++];
	**ret = (struct fl_source_group){format, header, gzip, FL_BUF(FILES_MAX), 0};
	return 0;
}

static int add_to_group(struct fl_source_group *g, const char *path)
{
	int r = g->n_files++ ? fl_buf_adds(&g->files, ",") : 0;

	return r ? r : fl_sql_quote(&g->files, path, '\'');
}

static int read_header(const char *path, struct fl_format **ret, bool *ret_gzip)
{
	char line[HEADER_MAX];
	gzFile f = gzopen(path, "rbe");
	size_t n;
	int r;

	if (!f)
		return fl_fail(errno ? -errno : -ENOMEM, "%s: %s", path, strerror(errno ? errno : ENOMEM));
	if (!gzgets(f, line, sizeof line)) {
		int code;
		const char *why = gzerror(f, &code);

		r = fl_fail(-EINVAL, "%s: %s", path,
			    code ? why : "an empty file; a flow log begins with a line that names its fields");
		gzclose(f);
		return r;
	}
	*ret_gzip = !gzdirect(f);
	gzclose(f);
	n = strcspn(line, "\r\n");
	if (!line[n] && n == sizeof line - 1)
		return fl_fail(-EINVAL,
			       "%s: the first line is longer than %d bytes; a flow log begins with "
			       "a line that names its fields",
			       path, HEADER_MAX);
	return fl_scan_header(path, line, n, ret);
}

static int add_file(struct fl_sources *s, const char *path, const struct stat *st)
{
	struct fl_source_group *g;
	struct fl_format *format = NULL;
	bool gzip;
	int r = first_time(s, st);

	if (r <= 0)
		return r;
	r = read_header(path, &format, &gzip);
	if (!r)
		r = group_of(s, format, gzip, &g);
	return r ? r : add_to_group(g, path);
}

static int no_dots(const struct dirent *d)
{
	return d->d_name[0] != '.';
}

static int add_directory(struct fl_sources *s, const char *dir, unsigned depth)
{
	struct dirent **names;
	int n = scandir(dir, &names, no_dots, alphasort), r = 0;

	if (n < 0)
		return fl_fail(-errno, "%s: %m", dir);
	for (int i = 0; i < n; i++) {
		char *path = NULL;
		struct stat st;

		if (!r && asprintf(&path, "%s/%s", dir, names[i]->d_name) < 0)
			r = -ENOMEM;
		/* Links are not followed below a named directory: no circles. */
		if (!r && !lstat(path, &st)) {
			if (S_ISDIR(st.st_mode))
				r = depth < DEPTH_MAX
					? add_directory(s, path, depth + 1)
					: fl_fail(-ELOOP, "%s: nested more than %d deep", path, DEPTH_MAX);
			else if (S_ISREG(st.st_mode) && fl_scan_is_log_name(names[i]->d_name))
				r = add_file(s, path, &st);
		}
		free(path);
		free(names[i]);
	}
	free(names);
	return r;
}

static bool is_store(const char *dir)
{
	static const char *const signs[] = {"journal", "deliver"};
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct stat st;
	bool found = false;

	for (size_t i = 0; fd >= 0 && !found && i < FL_ARRAY_LEN(signs); i++)
		found = !fstatat(fd, signs[i], &st, 0) && S_ISDIR(st.st_mode);
	if (fd >= 0)
		close(fd);
	return found;
}

int fl_sources_add_store(struct fl_sources *s, const char *dir, const char *flow_log)
{
	struct fl_source_group *g;
	struct fl_format *format = NULL;
	struct fl_store *store = NULL;
	struct stat st;
	int r;

	if (s->n_stores == FL_SOURCE_STORES)
		return fl_fail(-E2BIG, "more than %d stores in one question", FL_SOURCE_STORES);
	if (stat(dir, &st))
		return fl_fail(-errno, "%s: %s; start 'flowlog run' or name what to read", dir, strerror(errno));
	if (first_time(s, &st) == 0)
		return 0; /* the same store twice */
	r = fl_store_open(&store, dir, flow_log);
	if (r)
		return fl_wrap(r, "%s", dir);
	s->store[s->n_stores++] = store;
	/* A flow log never changes its format: its objects need not be opened to know it. */
	r = fl_format_parse(&format, fl_format_kind_of_text(fl_store_log(store)->format), fl_store_log(store)->format);
	if (!r)
		r = group_of(s, format, true, &g);
	for (size_t i = 0; !r && i < fl_store_file_count(store); i++) {
		const char *path = fl_store_file(store, i);

		r = stat(path, &st) ? fl_fail(-errno, "%s: %m", path) : first_time(s, &st);
		if (r > 0)
			r = add_to_group(g, path);
	}
	return r;
}

int fl_sources_add(struct fl_sources *s, const char *path, const char *flow_log)
{
	struct stat st;

	if (stat(path, &st))
		return fl_fail(-errno, "%s: %m", path);
	if (!S_ISDIR(st.st_mode))
		return add_file(s, path, &st);
	return is_store(path) ? fl_sources_add_store(s, path, flow_log) : add_directory(s, path, 0);
}

void fl_sources_free(struct fl_sources *s)
{
	for (size_t i = 0; i < s->n_groups; i++) {
		fl_format_free(&s->group[i].format);
		fl_buf_free(&s->group[i].header);
		fl_buf_free(&s->group[i].files);
	}
	for (size_t i = 0; i < s->n_stores; i++)
		fl_store_close(&s->store[i]);
	free(s->seen);
	*s = (struct fl_sources){0};
}
