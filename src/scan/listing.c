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
#include "scan/layout.h"
#include "scan/set.h"

#define NAMES_MAX ((size_t)UINT32_MAX)
#define LISTERS_MAX 16u /* threads */

void fl_place_free(struct fl_place *p)
{
	fl_buf_free(&p->names);
	free(p->path);
	free(p->bucket);
	free(p->file);
	free(p);
}

void fl_places_free(struct fl_places *p)
{
	for (size_t i = 0; i < p->n; i++)
		fl_place_free(p->place[i]);
	free(p->place);
	*p = (struct fl_places){0};
}

struct fl_place *fl_place_alloc(const char *path, size_t source)
{
	struct fl_place *x = calloc(1, sizeof *x);

	if (!x)
		return NULL;
	x->names = FL_BUF(NAMES_MAX);
	x->source = source;
	x->path = strdup(path);
	if (!x->path) {
		free(x);
		return NULL;
	}
	return x;
}

int fl_places_keep(struct fl_places *p, struct fl_place *x)
{
	if (p->n == p->cap) {
		size_t cap = FL_MAX(2 * p->cap, (size_t)16);
		struct fl_place **more = realloc(p->place, cap * sizeof *more);

		if (!more) {
			fl_place_free(x);
			return -ENOMEM;
		}
		p->place = more;
		p->cap = cap;
	}
	p->place[p->n++] = x;
	return 0;
}

int fl_place_new(struct fl_places *p, const char *path, struct fl_place **ret)
{
	*ret = fl_place_alloc(path, 0);
	return *ret ? fl_places_keep(p, *ret) : -ENOMEM;
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

/* ---- directories: a stack of them, emptied by several threads ---- */

struct todo {
	struct todo *next;
	size_t source; /* number of the operand */
	unsigned depth;
	char path[]; /* with the slash */
};

struct listing {
	struct fl_scan *s;
	pthread_mutex_t lock; /* of everything below and of the set */
	pthread_cond_t more;
	struct todo *todo;
	unsigned busy;
	size_t source;
	struct fl_file_id *seen; /* directories: a link may lead back up */
	size_t n_seen, cap_seen;
	int result;
	char error[512];
};

bool fl_scan_may_pass(const struct fl_scan *s, int64_t first, int64_t last)
{
	return !s->filter || (first == INT64_MIN && last == INT64_MAX) ||
	       fl_filter_may_pass_time(s->filter, first, last);
}

static int add_file(struct fl_scan *s, struct fl_place *place, const char *path, struct fl_scan_file file)
{
	const char *slash = strrchr(path, '/');
	struct fl_layout_span span;

	if (fl_layout_of_name(slash ? slash + 1 : path, &span, NULL, NULL)) {
		file.first = span.first;
		file.last = span.last;
	}
	if (fl_scan_may_pass(s, file.first, file.last))
		return fl_place_add(place, path, strlen(path), file);
	place->pruned++;
	return 0;
}

/* Not read before under another name. */
static int first_store(struct fl_scan *s, const char *dir)
{
	struct stat st;

	if (stat(dir, &st))
		return s->conf.paths && *s->conf.paths
			   ? fl_fail(-errno, "%s: %m", dir)
			   : fl_fail(-errno, "%s: %m; start 'flowlog run', or name what to read", dir);
	return fl_ids_add(&s->store_seen, &s->n_store_seen, &s->cap_store_seen, &st);
}

static int open_store(struct fl_scan *s, const char *dir)
{
	struct fl_store **more = realloc(s->store, (s->n_stores + 1) * sizeof *more);
	int r;

	if (!more)
		return -ENOMEM;
	s->store = more;
	s->store[s->n_stores] = NULL;
	r = (s->conf.journal_alone ? fl_store_open_journal : fl_store_open)(&s->store[s->n_stores], dir,
									    s->conf.flow_log);
	s->n_stores += !r;
	return r;
}

static int add_store(struct fl_scan *s, const char *dir)
{
	struct fl_place *place = NULL;
	const struct fl_store *store;
	int r = first_store(s, dir);

	if (r <= 0)
		return r;
	r = open_store(s, dir);
	r = r ? r : fl_place_new(&s->places, "", &place);
	if (r)
		return r;
	store = s->store[s->n_stores - 1];
	for (size_t i = 0; !r && i < fl_store_file_count(store); i++)
		r = add_file(s, place, fl_store_file(store, i),
			     (struct fl_scan_file){.where = FL_WHERE_FILE, ANY_TIME});
	return r ? r
		 : fl_place_add(place, dir, strlen(dir),
				(struct fl_scan_file){
				    .where = FL_WHERE_JOURNAL, .store = (uint32_t)(s->n_stores - 1), ANY_TIME});
}

static const char *const store_signs[] = {"journal", "deliver"};

static bool is_store(const char *dir)
{
	char path[FL_SCAN_PATHS_MAX];
	struct stat st;

	for (size_t i = 0; i < FL_ARRAY_LEN(store_signs); i++)
		if (snprintf(path, sizeof path, "%s/%s", dir, store_signs[i]) < (int)sizeof path && !stat(path, &st) &&
		    S_ISDIR(st.st_mode))
			return true;
	return false;
}

static int push(struct listing *l, struct todo **list, const char *dir, size_t n, const char *name, unsigned depth)
{
	size_t len = strlen(name);
	struct todo *t;

	if (n + len + 2 > FL_SCAN_PATHS_MAX)
		return fl_fail(-ENAMETOOLONG, "%.64s...: the path is too long", dir);
	t = malloc(sizeof *t + n + len + 2);
	if (!t)
		return -ENOMEM;
	*t = (struct todo){.next = *list, .source = l->source, .depth = depth};
	memcpy(t->path, dir, n);
	memcpy(t->path + n, name, len);
	memcpy(t->path + n + len, "/", 2);
	*list = t;
	return 0;
}

struct visit { /* one directory, by one thread, without the lock */
	struct listing *l;
	const struct todo *t;
	struct fl_place *place;
	struct fl_layout_span span;
	struct todo *below;
	size_t pruned; /* directories */
	bool sign[FL_ARRAY_LEN(store_signs)];
	int fd;
};

static int visit_dir(struct visit *v, const char *name)
{
	size_t n = strlen(v->t->path);
	struct fl_layout_span span;
	struct todo *sub;
	int r;

	for (size_t i = 0; i < FL_ARRAY_LEN(store_signs); i++)
		v->sign[i] |= !strcmp(name, store_signs[i]);
	if (v->t->depth == FL_SCAN_DEPTH)
		return fl_fail(-ELOOP, "%s%s: nested more than %d deep", v->t->path, name, FL_SCAN_DEPTH);
	r = push(v->l, &v->below, v->t->path, n, name, v->t->depth + 1);
	if (r)
		return r;
	sub = v->below;
	fl_layout_of_dir(sub->path, &span);
	if (fl_scan_may_pass(v->l->s, span.first, span.last))
		return 0;
	v->below = sub->next;
	free(sub);
	v->pruned++;
	return 0;
}

static int visit_entry(struct visit *v, const struct dirent *e)
{
	mode_t mode = DTTOIF(e->d_type);
	struct stat st;

	if (e->d_name[0] == '.')
		return 0;
	if (e->d_type == DT_UNKNOWN || e->d_type == DT_LNK) {
		/* A link may lead to a directory too; what vanishes meanwhile was not there. */
		if (fstatat(v->fd, e->d_name, &st, 0))
			return errno == ENOENT ? 0 : fl_fail(-errno, "%s%s: %m", v->t->path, e->d_name);
		mode = st.st_mode;
	}
	if (S_ISDIR(mode))
		return visit_dir(v, e->d_name);
	/* Pipes, sockets and devices hold no files. */
	return S_ISREG(mode) ? add_file(v->l->s, v->place, e->d_name,
					(struct fl_scan_file){
					    .where = FL_WHERE_FILE, .first = v->span.first, .last = v->span.last})
			     : 0;
}

/* Not visited before. Ids of directories, also of those that are reached by links. */
static int first_visit(struct listing *l, int fd)
{
	struct stat st;
	int r;

	if (fstat(fd, &st))
		return -errno;
	pthread_mutex_lock(&l->lock);
	r = fl_ids_add(&l->seen, &l->n_seen, &l->cap_seen, &st);
	pthread_mutex_unlock(&l->lock);
	return r;
}

/* What one directory has wrong is told, and the others are read. */
static int told(struct fl_scan *s, int r)
{
	if (!r || r == -EINTR || r == -ENOMEM)
		return r;
	fl_scan_add_fault(s, fl_error_text(r));
	pthread_mutex_lock(&s->faults.lock);
	s->listed.damaged_files++;
	pthread_mutex_unlock(&s->faults.lock);
	return 0;
}

static int read_entries(struct visit *v)
{
	DIR *d;
	struct dirent *e;
	int r = 0;

	v->fd = open(v->t->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (v->fd < 0)
		return errno == ENOENT && v->t->depth ? 0 : fl_fail(-errno, "%s: %m", v->t->path);
	r = first_visit(v->l, v->fd);
	d = r > 0 ? fdopendir(v->fd) : NULL;
	if (!d) {
		close(v->fd);
		return r > 0 ? fl_fail(-errno, "%s: %m", v->t->path) : r;
	}
	r = 0;
	while (!r && (e = readdir(d)))
		r = fl_scan_stopped(v->l->s) ? fl_fail(-EINTR, FL_SCAN_STOPPED) : told(v->l->s, visit_entry(v, e));
	closedir(d);
	return r;
}

static void free_todo(struct todo *t)
{
	while (t) {
		struct todo *next = t->next;

		free(t);
		t = next;
	}
}

static int by_name(const void *a, const void *b, void *names)
{
	const struct fl_scan_file *x = a, *y = b;

	return strcmp((const char *)names + x->name, (const char *)names + y->name);
}

void fl_place_sort(struct fl_place *p)
{
	if (p->n)
		qsort_r(p->file, p->n, sizeof *p->file, by_name, p->names.data);
}

/* With the lock held: what was found becomes part of the set. */
static int keep(struct visit *v)
{
	struct listing *l = v->l;
	struct fl_place *p = v->place;

	if (v->sign[0] && v->sign[1] && v->t->depth) {
		/* Somebody's state directory among the files. */
		fl_place_free(p);
		free_todo(v->below);
		return add_store(l->s, v->t->path);
	}
	l->s->listed.directories_pruned += v->pruned;
	if (v->below) {
		struct todo **end = &v->below;

		while (*end)
			end = &(*end)->next;
		*end = l->todo;
		l->todo = v->below;
		pthread_cond_broadcast(&l->more);
	}
	if (p->n)
		return fl_places_keep(&l->s->places, p);
	l->s->listed.files_pruned += p->pruned;
	fl_place_free(p);
	return 0;
}

static int visit(struct listing *l, const struct todo *t)
{
	struct visit v = {.l = l, .t = t, .place = fl_place_alloc(t->path, t->source)};
	int r;

	if (!v.place)
		return -ENOMEM;
	fl_layout_of_dir(t->path, &v.span);
	r = read_entries(&v);
	fl_place_sort(v.place);
	if (t->depth)
		r = told(l->s, r);
	pthread_mutex_lock(&l->lock);
	r = r ? (fl_place_free(v.place), free_todo(v.below), r) : keep(&v);
	pthread_mutex_unlock(&l->lock);
	return r;
}

static void *list_thread(void *ctx)
{
	struct listing *l = ctx;

	pthread_mutex_lock(&l->lock);
	while (!l->result && (l->todo || l->busy)) {
		struct todo *t = l->todo;
		int r;

		if (!t) {
			pthread_cond_wait(&l->more, &l->lock);
			continue;
		}
		l->todo = t->next;
		l->busy++;
		pthread_mutex_unlock(&l->lock);
		r = visit(l, t);
		free(t);
		pthread_mutex_lock(&l->lock);
		l->busy--;
		if (r && !l->result) {
			l->result = r;
			snprintf(l->error, sizeof l->error, "%s", fl_error_text(r));
		}
		if (l->result || (!l->busy && !l->todo))
			pthread_cond_broadcast(&l->more);
	}
	pthread_mutex_unlock(&l->lock);
	return NULL;
}

static int list_directory(struct listing *l, const char *path)
{
	pthread_t id[LISTERS_MAX];
	unsigned n = 0, wanted = FL_MIN(l->s->threads, LISTERS_MAX);
	size_t len = strlen(path);
	int r = 0;

	while (len && path[len - 1] == '/')
		len--;
	r = push(l, &l->todo, path, len, "", 0);
	if (r)
		return r;
	/* This thread is one of them. */
	while (n + 1 < wanted && !pthread_create(&id[n], NULL, list_thread, l))
		n++;
	list_thread(l);
	while (n)
		pthread_join(id[--n], NULL);
	free_todo(l->todo);
	l->todo = NULL;
	return l->result ? fl_fail(l->result, "%s", l->error) : 0;
}

/* ---- operands ---- */

static int add_path(struct listing *l, const char *path)
{
	struct fl_scan *s = l->s;
	struct fl_scan_file file = {.where = FL_WHERE_FILE, .named = true, ANY_TIME};
	struct fl_place *place = NULL;
	struct stat st;
	int r;

	if (!strncmp(path, FL_S3_SCHEME, strlen(FL_S3_SCHEME)))
		return fl_scan_list_s3(s, path, l->source);
	if (!strcmp(path, "-")) {
		/* Named twice it is read once, as files are. */
		if (s->standard_input)
			return 0;
		s->standard_input = true;
		file.where = FL_WHERE_STDIN;
	}
	if (file.where == FL_WHERE_FILE && stat(path, &st))
		return fl_fail(-errno, "%s: %m", path);
	if (file.where == FL_WHERE_FILE && S_ISDIR(st.st_mode))
		return is_store(path) ? add_store(s, path) : list_directory(l, path);
	r = fl_place_new(&s->places, "", &place);
	if (r)
		return r;
	place->source = l->source;
	return add_file(s, place, path, file);
}

const char *fl_scan_once(const struct fl_scan_conf *conf)
{
	struct stat st;

	for (const char *const *path = conf->paths; path && *path; path++)
		if (!(strcmp(*path, "-") ? stat(*path, &st) : fstat(STDIN_FILENO, &st)) && !S_ISREG(st.st_mode) &&
		    !S_ISDIR(st.st_mode))
			return *path;
	return NULL;
}

static int by_place(const void *a, const void *b)
{
	const struct fl_place *x = *(struct fl_place *const *)a, *y = *(struct fl_place *const *)b;

	return x->source != y->source ? (x->source < y->source ? -1 : 1) : strcmp(x->path, y->path);
}

int fl_scan_list(struct fl_scan *s)
{
	const char *const *paths = s->conf.paths;
	struct listing l = {.s = s};
	int r = 0;

	if (!paths || !*paths)
		return add_store(s, s->conf.store);
	pthread_mutex_init(&l.lock, NULL);
	pthread_cond_init(&l.more, NULL);
	for (; !r && *paths; paths++, l.source++)
		r = add_path(&l, *paths);
	pthread_cond_destroy(&l.more);
	pthread_mutex_destroy(&l.lock);
	free(l.seen);
	for (size_t i = 0; i < s->places.n; i++)
		s->listed.files_pruned += s->places.place[i]->pruned;
	/* Threads found them in any order; this one is the same each time. */
	if (s->places.n)
		qsort(s->places.place, s->places.n, sizeof *s->places.place, by_place);
	return r;
}
