/* SPDX-License-Identifier: Apache-2.0 */
/* Finding what there is to read. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "scan/set.h"

#define NAMES_MAX ((size_t)UINT32_MAX)

void fl_places_free(struct fl_places *p)
{
	for (size_t i = 0; i < p->n; i++) {
		fl_buf_free(&p->place[i]->names);
		free(p->place[i]->path);
		free(p->place[i]->file);
		free(p->place[i]);
	}
	free(p->place);
	*p = (struct fl_places){0};
}

int fl_place_new(struct fl_places *p, const char *path, struct fl_place **ret)
{
	struct fl_place *x;

	if (p->n == p->cap) {
		size_t cap = FL_MAX(2 * p->cap, (size_t)16);
		struct fl_place **more = realloc(p->place, cap * sizeof *more);

		if (!more)
			return -ENOMEM;
		p->place = more;
		p->cap = cap;
	}
	x = calloc(1, sizeof *x);
	if (!x || !(x->path = strdup(path))) {
		free(x);
		return -ENOMEM;
	}
	x->names = FL_BUF(NAMES_MAX);
	p->place[p->n++] = *ret = x;
	return 0;
}

int fl_place_add(struct fl_place *p, const char *name, size_t n, struct fl_scan_file file)
{
	int r;

	if (p->n == p->cap) {
		size_t cap = FL_MAX(2 * p->cap, (size_t)8);
		struct fl_scan_file *more = cap > FL_SCAN_FILES_MAX ? NULL : realloc(p->file, cap * sizeof *more);

		if (!more)
			return fl_fail(-ENOMEM, "%s: too many files", p->path);
		p->file = more;
		p->cap = cap;
	}
	file.name = (uint32_t)p->names.len;
	r = fl_buf_add(&p->names, name, n);
	r = r ? r : fl_buf_add(&p->names, "", 1);
	if (!r)
		p->file[p->n++] = file;
	return r;
}

char *fl_place_path(const struct fl_place *p, const struct fl_scan_file *f)
{
	char *path;

	return asprintf(&path, "%s%s", p->path, p->names.data + f->name) < 0 ? NULL : path;
}

#define ANY_TIME .first = INT64_MIN, .last = INT64_MAX

static int add_store(struct fl_scan *s, const char *dir)
{
	struct fl_store **more = realloc(s->store, (s->n_stores + 1) * sizeof *more);
	struct fl_place *place = NULL;
	int r;

	if (!more)
		return -ENOMEM;
	s->store = more;
	s->store[s->n_stores] = NULL;
	r = (s->conf.journal_alone ? fl_store_open_journal : fl_store_open)(&s->store[s->n_stores], dir,
									    s->conf.flow_log);
	if (r)
		return fl_wrap(r, "%s", dir);
	s->n_stores++;
	r = fl_place_new(&s->places, "", &place);
	for (size_t i = 0; !r && i < fl_store_file_count(s->store[s->n_stores - 1]); i++) {
		const char *path = fl_store_file(s->store[s->n_stores - 1], i);

		r = fl_place_add(place, path, strlen(path), (struct fl_scan_file){.where = FL_WHERE_FILE, ANY_TIME});
	}
	return r ? r
		 : fl_place_add(place, dir, strlen(dir),
				(struct fl_scan_file){
				    .where = FL_WHERE_JOURNAL, .store = (uint32_t)(s->n_stores - 1), ANY_TIME});
}

static bool is_store(const char *dir)
{
	static const char *const signs[] = {"journal", "deliver"};
	char path[FL_SCAN_PATHS_MAX];
	struct stat st;

	for (size_t i = 0; i < FL_ARRAY_LEN(signs); i++)
		if (snprintf(path, sizeof path, "%s/%s", dir, signs[i]) < (int)sizeof path && !stat(path, &st) &&
		    S_ISDIR(st.st_mode))
			return true;
	return false;
}

static int visible(const struct dirent *d)
{
	return d->d_name[0] != '.';
}

static int add_directory(struct fl_scan *s, const char *dir, unsigned depth)
{
	struct fl_place *place = NULL;
	struct dirent **entry;
	char *path = NULL;
	int n, r;

	if (fl_scan_stopped(s))
		return fl_fail(-EINTR, FL_SCAN_STOPPED);
	n = scandir(dir, &entry, visible, alphasort);
	if (n < 0)
		return fl_fail(-errno, "%s: %m", dir);
	r = asprintf(&path, "%s%s", dir, dir[strlen(dir) - 1] == '/' ? "" : "/") < 0 ? -ENOMEM : 0;
	r = r ? r : fl_place_new(&s->places, path, &place);
	for (int i = 0; i < n; i++) {
		const char *name = entry[i]->d_name;
		char *sub = NULL;
		struct stat st;

		if (!r && asprintf(&sub, "%s%s", path, name) < 0)
			r = -ENOMEM;
		if (!r && !lstat(sub, &st)) {
			if (S_ISREG(st.st_mode))
				r = fl_place_add(place, name, strlen(name),
						 (struct fl_scan_file){.where = FL_WHERE_FILE, ANY_TIME});
			else if (S_ISDIR(st.st_mode) && depth < FL_SCAN_DEPTH && add_directory(s, sub, depth + 1))
				fl_scan_add_fault(s, fl_error_text(-errno));
		}
		free(sub);
		free(entry[i]);
	}
	free(entry);
	free(path);
	return r;
}

static int add_path(struct fl_scan *s, const char *path)
{
	struct fl_scan_file file = {.where = FL_WHERE_FILE, .named = true, ANY_TIME};
	struct fl_place *place = NULL;
	struct stat st;
	int r;

	if (!strcmp(path, "-"))
		file.where = FL_WHERE_STDIN;
	else if (stat(path, &st))
		return fl_fail(-errno, "%s: %m", path);
	else if (S_ISDIR(st.st_mode))
		return is_store(path) ? add_store(s, path) : add_directory(s, path, 0);
	r = fl_place_new(&s->places, "", &place);
	return r ? r : fl_place_add(place, path, strlen(path), file);
}

int fl_scan_list(struct fl_scan *s)
{
	const char *const *paths = s->conf.paths;
	int r = 0;

	if (!paths || !*paths)
		return add_store(s, s->conf.store);
	for (; !r && *paths; paths++)
		r = add_path(s, *paths);
	return r;
}
