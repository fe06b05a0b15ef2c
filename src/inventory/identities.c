/* SPDX-License-Identifier: Apache-2.0 */
/* Labels, and the history of discovered identities: one process appends to it, any number read. */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "inventory/inventory.h"

#define LINE_MAX_BYTES 32768
#define FILE_MAX ((size_t)64 << 20)     /* read; more than the writer lets it become */
#define COMPACT_AT ((uint64_t)32 << 20) /* then the older half of those that have ended goes */
#define DIR_NAME "inventory"

/* ---- labels ---- */

/* Well-formed, without control characters, at most max bytes. */
static size_t copy_clean(char *to, const char *p, size_t max)
{
	size_t at = 0, left = strnlen(p, 4 * max), len;

	for (; left; p += len, left -= len) {
		len = fl_utf8_at(p, left);
		if (!len || (unsigned char)*p < 0x20 || *p == 0x7f) {
			len = 1;
			continue;
		}
		if (at + len > max)
			break;
		memcpy(to + at, p, len);
		at += len;
	}
	to[at] = '\0';
	return at;
}

void fl_label_add(struct fl_label_buf *l, const char *key, const char *value)
{
	char k[FL_LABEL_KEY_MAX + 1], v[FL_LABEL_VALUE_MAX + 1];
	size_t kn, vn;

	if (strnlen(key, FL_LABEL_KEY_MAX + 1) > FL_LABEL_KEY_MAX)
		return; /* no flow log can ask for it */
	kn = copy_clean(k, key, FL_LABEL_KEY_MAX);
	vn = copy_clean(v, value, FL_LABEL_VALUE_MAX);
	if (!kn || kn + vn + 2 > sizeof l->text - l->n || fl_label_value(&(struct fl_labels){l->text, l->n}, k))
		return;
	memcpy(l->text + l->n, k, kn + 1);
	memcpy(l->text + l->n + kn + 1, v, vn + 1);
	l->n = (uint16_t)(l->n + kn + vn + 2);
}

bool fl_label_next(const struct fl_labels *l, size_t *at, const char **ret_key, const char **ret_value)
{
	if (*at >= l->n)
		return false;
	*ret_key = l->text + *at;
	*ret_value = *ret_key + strlen(*ret_key) + 1;
	*at += strlen(*ret_key) + strlen(*ret_value) + 2;
	return true;
}

const char *fl_label_value(const struct fl_labels *l, const char *key)
{
	const char *k, *v;
	size_t at = 0;

	while (fl_label_next(l, &at, &k, &v))
		if (!strcmp(k, key))
			return v;
	return NULL;
}

/* ---- a line ---- */

static void entry_free(struct fl_identity *e)
{
	free((void *)(uintptr_t)e->labels.text);
}

static bool copy_labels(const struct fl_labels *from, struct fl_labels *to)
{
	char *text = from->n ? malloc(from->n) : NULL;

	if (from->n && !text)
		return false;
	if (text)
		memcpy(text, from->text, from->n);
	*to = (struct fl_labels){text, text ? from->n : 0};
	return true;
}

static bool take_text(const json_t *o, const char *key, char *ret, size_t size)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s && (size_t)snprintf(ret, size, "%s", s) < size;
}

/* 1: an identity, 2: the end of one; 0: not a line of ours. ret->labels is malloc'd. */
static int parse_line(const char *p, size_t n, struct fl_identity *ret)
{
	struct fl_label_buf labels = {.n = 0};
	json_t *o = n < LINE_MAX_BYTES ? json_loadb(p, n, 0, NULL) : NULL, *value;
	const json_t *at = json_object_get(o, "at");
	const char *key;
	int r = 0;

	*ret = (struct fl_identity){.since = json_integer_value(at), .until = INT64_MAX};
	if (json_is_integer(at) && take_text(o, "eni", ret->interface_id, sizeof ret->interface_id)) {
		if (json_is_true(json_object_get(o, "gone")))
			r = 2;
		else if (take_text(o, "name", ret->name, sizeof ret->name) &&
			 take_text(o, "kind", ret->kind, sizeof ret->kind) &&
			 take_text(o, "device", ret->device, sizeof ret->device))
			r = 1;
	}
	json_object_foreach(json_object_get(o, "labels"), key, value) if (json_is_string(value))
	    fl_label_add(&labels, key, json_string_value(value));
	json_decref(o);
	if (r == 1 && !copy_labels(&(struct fl_labels){labels.text, labels.n}, &ret->labels))
		r = 0;
	return r;
}

static int put_line(struct fl_buf *out, const struct fl_identity *e)
{
	struct fl_json j = FL_JSON(out);
	const char *key, *value;
	size_t at = 0;
	int r;

	fl_json_object(&j);
	fl_json_ki64(&j, "at", e->since);
	fl_json_kstr(&j, "eni", e->interface_id);
	fl_json_kstr(&j, "device", e->device);
	fl_json_kstr(&j, "name", e->name);
	fl_json_kstr(&j, "kind", e->kind);
	fl_json_key(&j, "labels");
	fl_json_object(&j);
	while (fl_label_next(&e->labels, &at, &key, &value))
		fl_json_kstr(&j, key, value);
	fl_json_end_object(&j);
	fl_json_end_object(&j);
	r = fl_json_done(&j);
	return r ? r : fl_buf_adds(out, "\n");
}

static int put_end(struct fl_buf *out, const char *interface_id, int64_t at)
{
	struct fl_json j = FL_JSON(out);
	int r;

	fl_json_object(&j);
	fl_json_ki64(&j, "at", at);
	fl_json_kstr(&j, "eni", interface_id);
	fl_json_kbool(&j, "gone", true);
	fl_json_end_object(&j);
	r = fl_json_done(&j);
	return r ? r : fl_buf_adds(out, "\n");
}

/* ---- all of them ---- */

/* In the order of their beginnings; of an interface only the last can hold. */
struct entries {
	struct fl_identity *v;
	size_t n, cap;
};

static void entries_free(struct entries *a)
{
	for (size_t i = 0; i < a->n; i++)
		entry_free(&a->v[i]);
	free(a->v);
	*a = (struct entries){0};
}

static struct fl_identity *holding(const struct entries *a, const char *interface_id)
{
	for (size_t i = a->n; i-- > 0;)
		if (!strcmp(a->v[i].interface_id, interface_id))
			return a->v[i].until == INT64_MAX ? &a->v[i] : NULL;
	return NULL;
}

/* Takes e->labels. The clock may have been set back: an identity never ends before it began. */
static bool add_entry(struct entries *a, struct fl_identity *e)
{
	struct fl_identity *before;

	if (a->n == a->cap) {
		struct fl_identity *more = realloc(a->v, (a->cap ? a->cap * 2 : 64) * sizeof *more);

		if (!more) {
			entry_free(e);
			return false;
		}
		a->v = more;
		a->cap = a->cap ? a->cap * 2 : 64;
	}
	before = holding(a, e->interface_id);
	if (before)
		before->until = FL_MAX(e->since, before->since);
	a->v[a->n++] = *e;
	return true;
}

static void end_entry(struct entries *a, const char *interface_id, int64_t at)
{
	struct fl_identity *e = holding(a, interface_id);

	if (e)
		e->until = FL_MAX(at, e->since);
}

/* The oldest that have ended, as many as it takes to have at most `keep`. */
static void forget_oldest(struct entries *a, size_t keep)
{
	size_t drop = a->n > keep ? a->n - keep : 0, to = 0;

	for (size_t i = 0; i < a->n; i++) {
		if (drop && a->v[i].until != INT64_MAX) {
			entry_free(&a->v[i]);
			drop--;
			continue;
		}
		a->v[to++] = a->v[i];
	}
	a->n = to;
}

/* Whole lines; *ret_used: how far. */
static void read_lines(struct entries *a, const char *p, size_t n, size_t *ret_used)
{
	const char *begin = p, *end = p + n, *next;

	for (; p < end && (next = memchr(p, '\n', (size_t)(end - p))); p = next + 1) {
		struct fl_identity e;
		int what = parse_line(p, (size_t)(next - p), &e);

		if (what == 1)
			add_entry(a, &e);
		else if (what == 2)
			end_entry(a, e.interface_id, e.since);
		if (a->n > 2 * FL_IDENTITIES_MAX)
			forget_oldest(a, FL_IDENTITIES_MAX);
	}
	*ret_used = (size_t)(p - begin);
}

#define OPEN_FLAGS (O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW)

static bool read_from(int fd, uint64_t from, struct fl_buf *ret, struct stat *ret_stat)
{
	size_t want;
	ssize_t n;

	if (fd < 0 || fstat(fd, ret_stat) || !S_ISREG(ret_stat->st_mode) || (uint64_t)ret_stat->st_size < from)
		return false;
	want = FL_MIN((size_t)ret_stat->st_size - from, FILE_MAX);
	if (!want)
		return true;
	if (fl_buf_reserve(ret, want))
		return false;
	n = pread(fd, ret->data, want, (off_t)from);
	ret->len = n > 0 ? (size_t)n : 0;
	return n >= 0;
}

/* ---- reading ---- */

struct fl_identities {
	char *path;
	struct entries all;
	const struct fl_identity **order; /* by interface, then time */
	int fd;                           /* held, so that no other file gets its number */
	ino_t ino;
	uint64_t size, used;
};

int fl_identities_new(struct fl_identities **ret, const char *store)
{
	struct fl_identities *i = calloc(1, sizeof *i);

	*ret = i;
	if (!i || asprintf(&i->path, "%s/" FL_IDENTITIES_FILE, store) < 0) {
		free(i);
		*ret = NULL;
		return -ENOMEM;
	}
	i->fd = -1;
	fl_identities_refresh(i);
	return 0;
}

void fl_identities_free(struct fl_identities **i)
{
	if (!*i)
		return;
	entries_free(&(*i)->all);
	fl_closep(&(*i)->fd);
	free((*i)->order);
	free((*i)->path);
	free(*i);
	*i = NULL;
}

static int by_interface(const void *a, const void *b)
{
	const struct fl_identity *x = *(const struct fl_identity *const *)a, *y = *(const struct fl_identity *const *)b;
	int c = strcmp(x->interface_id, y->interface_id);

	if (c)
		return c;
	return x->since != y->since ? (x->since > y->since) - (x->since < y->since) : (x > y) - (x < y);
}

static void sort(struct fl_identities *i)
{
	const struct fl_identity **order = realloc(i->order, (i->all.n + 1) * sizeof(*order));

	if (!order) {
		entries_free(&i->all); /* nothing is known rather than something wrong */
		return;
	}
	i->order = order;
	for (size_t k = 0; k < i->all.n; k++)
		order[k] = &i->all.v[k];
	qsort(order, i->all.n, sizeof(*order), by_interface);
}

bool fl_identities_refresh(struct fl_identities *i)
{
	struct fl_buf text FL_CLEANUP(fl_buf_free) = FL_BUF(FILE_MAX);
	struct stat st;
	size_t used;

	if (stat(i->path, &st) || (i->fd >= 0 && st.st_ino == i->ino && (uint64_t)st.st_size == i->size))
		return false;
	/* The writer has made another file of it. */
	if (i->fd < 0 || st.st_ino != i->ino || (uint64_t)st.st_size < i->used) {
		entries_free(&i->all);
		sort(i);
		i->used = 0;
		fl_closep(&i->fd);
		i->fd = open(i->path, OPEN_FLAGS);
	}
	if (!read_from(i->fd, i->used, &text, &st))
		return false;
	read_lines(&i->all, text.data, text.len, &used);
	i->used += used;
	i->ino = st.st_ino;
	i->size = (uint64_t)st.st_size;
	sort(i);
	return true;
}

/* The first entry of the interface in order[]. */
static size_t first_of(const struct fl_identities *i, const char *interface_id)
{
	size_t low = 0, high = i->all.n;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (strcmp(i->order[middle]->interface_id, interface_id) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

const struct fl_identity *fl_identities_at(struct fl_identities *i, const char *interface_id, int64_t start,
					   int64_t length)
{
	const int64_t from = start * 1000, to = (start + length) * 1000;
	const struct fl_identity *first = NULL;

	fl_identities_refresh(i);
	for (size_t k = first_of(i, interface_id); k < i->all.n && !strcmp(i->order[k]->interface_id, interface_id);
	     k++) {
		const struct fl_identity *e = i->order[k];

		if (e->since <= from && from < e->until)
			return e;
		if (!first && e->since > from && e->since < to)
			first = e;
	}
	return first;
}

const struct fl_identity *fl_identities_now(const struct fl_identities *i, const char *interface_id)
{
	for (size_t k = first_of(i, interface_id); k < i->all.n && !strcmp(i->order[k]->interface_id, interface_id);
	     k++)
		if (i->order[k]->until == INT64_MAX)
			return i->order[k];
	return NULL;
}

const struct fl_identity *fl_identities_next(const struct fl_identities *i, size_t *at)
{
	while (*at < i->all.n) {
		const struct fl_identity *e = &i->all.v[(*at)++];

		if (e->until == INT64_MAX)
			return e;
	}
	return NULL;
}

/* ---- writing ---- */

struct fl_identity_log {
	int statefd, fd; /* fd: of the file, -1: not open */
	uint64_t size;
	struct entries all;
};

static int rewrite(struct fl_identity_log *l)
{
	struct fl_buf out FL_CLEANUP(fl_buf_free) = FL_BUF(2 * FILE_MAX);
	int r = 0;

	/* An end is said where it came: the next of the same interface says it by itself. */
	for (size_t i = 0; !r && i < l->all.n; i++) {
		const struct fl_identity *e = &l->all.v[i];

		r = put_line(&out, e);
		if (!r && e->until != INT64_MAX)
			r = put_end(&out, e->interface_id, e->until);
	}
	if (!r)
		r = fl_mkdirs(l->statefd, DIR_NAME, 0750);
	if (!r)
		r = fl_file_write_atomic(l->statefd, FL_IDENTITIES_FILE, out.data ? out.data : "", out.len, 0640, true);
	if (r)
		return r;
	fl_closep(&l->fd);
	l->fd = openat(l->statefd, FL_IDENTITIES_FILE, O_WRONLY | O_APPEND | O_CLOEXEC | O_NOFOLLOW);
	l->size = out.len;
	return l->fd < 0 ? fl_fail(-errno, FL_IDENTITIES_FILE ": %m") : 0;
}

int fl_identity_log_new(struct fl_identity_log **ret, int statefd)
{
	struct fl_identity_log *l = calloc(1, sizeof *l);
	struct fl_buf text FL_CLEANUP(fl_buf_free) = FL_BUF(FILE_MAX);
	int fd FL_CLEANUP(fl_closep) = -1;
	struct stat st;
	size_t used;

	*ret = l;
	if (!l)
		return -ENOMEM;
	l->statefd = statefd;
	l->fd = -1;
	fd = openat(statefd, FL_IDENTITIES_FILE, OPEN_FLAGS);
	if (read_from(fd, 0, &text, &st))
		read_lines(&l->all, text.data, text.len, &used);
	forget_oldest(&l->all, FL_IDENTITIES_MAX);
	return 0;
}

void fl_identity_log_free(struct fl_identity_log **l)
{
	if (!*l)
		return;
	fl_closep(&(*l)->fd);
	entries_free(&(*l)->all);
	free(*l);
	*l = NULL;
}

/* The first write of a life makes the file anew: what a torn last line had is in it no more. */
static int append(struct fl_identity_log *l, const struct fl_buf *line)
{
	int r;

	if (l->fd < 0 || l->all.n > FL_IDENTITIES_MAX || l->size > COMPACT_AT) {
		forget_oldest(&l->all, l->size > COMPACT_AT ? l->all.n / 2 : FL_IDENTITIES_MAX * 3 / 4);
		r = rewrite(l);
		if (r)
			return r;
	}
	r = fl_write_all(l->fd, line->data, line->len);
	if (r) {
		fl_closep(&l->fd); /* half a line may be there */
		return fl_fail(r, FL_IDENTITIES_FILE ": %s", strerror(-r));
	}
	l->size += line->len;
	return 0;
}

static bool same(const struct fl_identity *a, const struct fl_identity *b)
{
	return !strcmp(a->name, b->name) && !strcmp(a->kind, b->kind) && !strcmp(a->device, b->device) &&
	       a->labels.n == b->labels.n && (!a->labels.n || !memcmp(a->labels.text, b->labels.text, a->labels.n));
}

int fl_identity_log_set(struct fl_identity_log *l, const struct fl_identity *who, int64_t now_ms)
{
	struct fl_buf line FL_CLEANUP(fl_buf_free) = FL_BUF(LINE_MAX_BYTES);
	const struct fl_identity *before = holding(&l->all, who->interface_id);
	struct fl_identity e = *who;
	int r;

	if (before && same(before, who))
		return 0;
	e.since = now_ms;
	e.until = INT64_MAX;
	r = put_line(&line, &e);
	if (!r)
		r = append(l, &line);
	if (r)
		return r;
	if (!copy_labels(&who->labels, &e.labels))
		return -ENOMEM;
	return add_entry(&l->all, &e) ? 0 : -ENOMEM;
}

int fl_identity_log_only(struct fl_identity_log *l, const char (*interface_ids)[22], size_t n, int64_t now_ms)
{
	int r = 0;

	for (size_t i = 0; i < l->all.n && !r; i++) {
		struct fl_buf line FL_CLEANUP(fl_buf_free) = FL_BUF(LINE_MAX_BYTES);
		struct fl_identity *e = &l->all.v[i];
		char id[sizeof e->interface_id];
		size_t k = 0;

		while (k < n && strcmp(interface_ids[k], e->interface_id) != 0)
			k++;
		if (k < n || e->until != INT64_MAX)
			continue;
		memcpy(id, e->interface_id, sizeof id);
		r = put_end(&line, id, now_ms);
		if (!r)
			r = append(l, &line); /* may move the entries */
		if (!r)
			end_entry(&l->all, id, now_ms);
		if (!r)
			i = SIZE_MAX; /* from the first: the entries may have moved */
	}
	return r;
}
