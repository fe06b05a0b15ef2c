/* SPDX-License-Identifier: Apache-2.0 */
/* The imports of a store: which one is valid when, and how another one joins them. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"
#include "base/owner.h"
#include "base/units.h"
#include "inventory/network_build.h"

#define NAME_FORMAT "%Y%m%dT%H%M%SZ"
#define VERSIONS_MAX 100000
#define IMPORT_FILES_MAX 10000
#define COPY_STEP 1048576

/* ---- names ---- */

static void name_of(int64_t since, char ret[24])
{
	time_t t = (time_t)since;
	struct tm tm;

	*ret = '\0';
	if (gmtime_r(&t, &tm))
		strftime(ret, 24, NAME_FORMAT, &tm);
}

static bool time_of(const char *name, int64_t *ret)
{
	struct tm tm = {0};
	const char *end = strptime(name, NAME_FORMAT, &tm);
	char again[24];

	if (!end || *end)
		return false;
	*ret = timegm(&tm);
	name_of(*ret, again);
	return !strcmp(name, again);
}

static int by_time(const void *a, const void *b)
{
	const struct fl_inventory_version *x = a, *y = b;

	return (x->since > y->since) - (x->since < y->since);
}

int fl_inventory_history(const char *store, struct fl_inventory_version **ret, size_t *ret_n)
{
	struct fl_inventory_version *v = NULL;
	size_t n = 0, cap = 0;
	char path[4096];
	struct dirent *d;
	DIR *dir;

	*ret = NULL;
	*ret_n = 0;
	snprintf(path, sizeof path, "%s/" FL_INVENTORY_DIR, store);
	dir = opendir(path);
	if (!dir)
		return errno == ENOENT ? 0 : fl_fail(-errno, "%s: %m", path);
	while (n < VERSIONS_MAX && (d = readdir(dir))) {
		int64_t since;

		if (!time_of(d->d_name, &since))
			continue; /* one under way, or somebody else's */
		if (n == cap) {
			struct fl_inventory_version *more = realloc(v, (cap = cap ? cap * 2 : 16) * sizeof *v);

			if (!more) {
				free(v);
				closedir(dir);
				return -ENOMEM;
			}
			v = more;
		}
		v[n] = (struct fl_inventory_version){.since = since};
		snprintf(v[n++].name, sizeof v->name, "%.23s", d->d_name);
	}
	closedir(dir);
	if (n)
		qsort(v, n, sizeof *v, by_time);
	*ret = v;
	*ret_n = n;
	return 0;
}

int fl_inventory_at(const char *store, int64_t at, char *ret_path, size_t size)
{
	struct fl_inventory_version *v FL_CLEANUP(fl_freep) = NULL;
	char asked[24], first[24];
	size_t n, i;
	int r = fl_inventory_history(store, &v, &n);

	if (r)
		return r;
	if (!n)
		return fl_fail(-ENOENT, "%s has no inventory; flowlog inventory import DIR takes one over", store);
	for (i = n; i && v[i - 1].since > at; i--)
		;
	if (!i)
		return fl_fail(-ENOENT, "%s has no inventory for %s: the first import is of %s", store,
			       fl_time_rfc3339(at, asked), fl_time_rfc3339(v[0].since, first));
	if ((size_t)snprintf(ret_path, size, "%s/" FL_INVENTORY_DIR "/%s", store, v[i - 1].name) >= size)
		return fl_fail(-ENAMETOOLONG, "%s: the path is too long", store);
	return 0;
}

int fl_inventory_open(const char *store, const char *dir, int64_t at, struct fl_network **ret)
{
	char path[4096];
	int r;

	*ret = NULL;
	if (dir && *dir)
		return fl_network_read(ret, dir);
	r = fl_inventory_at(store, at, path, sizeof path);
	return r ? r : fl_network_read(ret, path);
}

/* ---- import ---- */

#define LEFT_OUT 1 /* of copy: this file could not be read; the others still can */
#define LEFT_OUT_MAX 1000

struct left_out {
	char *file, *why;
};
struct import {
	int dirfd;
	uid_t uid;
	gid_t gid;
	size_t files;
	struct left_out *left_out;
	size_t n_left_out;
};

/* Keeps the sentence of an error for the import's problems. */
static int leave_out(struct import *im, const char *file, int r)
{
	struct left_out *more;

	if (im->n_left_out == LEFT_OUT_MAX)
		return fl_fail(-EFBIG, "more than %d files cannot be read", LEFT_OUT_MAX);
	more = realloc(im->left_out, (im->n_left_out + 1) * sizeof *more);
	if (!more)
		return -ENOMEM;
	im->left_out = more;
	more[im->n_left_out] = (struct left_out){strdup(file), strdup(fl_error_text(r))};
	im->n_left_out++;
	fl_error_clear();
	return more[im->n_left_out - 1].file && more[im->n_left_out - 1].why ? LEFT_OUT : -ENOMEM;
}

static void import_free(struct import *im)
{
	for (size_t i = 0; i < im->n_left_out; i++) {
		free(im->left_out[i].file);
		free(im->left_out[i].why);
	}
	free(im->left_out);
	im->left_out = NULL;
	im->n_left_out = 0;
}

/* root writes with the rights of whom the store belongs to: a link in it must not lead root elsewhere. */
static void enter(const struct import *im)
{
	if (!geteuid()) {
		setfsgid(im->gid);
		setfsuid(im->uid);
	}
}

static void leave(void)
{
	if (!geteuid()) {
		setfsuid(geteuid());
		setfsgid(getegid());
	}
}

/* vpcs.json, vpcs.2.json, ...: two directories may have files of one name. */
static int create_owned(const struct import *im, const char *name, char ret_name[NAME_MAX + 1])
{
	size_t stem = strcspn(name, ".");
	char *other = ret_name;
	int fd = openat(im->dirfd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0640);

	for (unsigned i = 2; fd < 0 && errno == EEXIST && i < 1000; i++) {
		if (snprintf(other, NAME_MAX + 1, "%.*s.%u%s", (int)stem, name, i, name + stem) > NAME_MAX)
			return fl_fail(-ENAMETOOLONG, "%s: the name is too long", name);
		fd = openat(im->dirfd, other, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
	}
	return fd < 0 ? fl_fail(-errno, "%s: %m", name) : fd;
}

static int create(const struct import *im, const char *name, char ret_name[NAME_MAX + 1])
{
	int fd;

	snprintf(ret_name, NAME_MAX + 1, "%s", name);
	enter(im);
	fd = create_owned(im, name, ret_name);
	leave();
	return fd;
}

/* Half of a file would be read as if it were the whole. */
static int take_back(struct import *im, const char *made, const char *name, int r)
{
	enter(im);
	unlinkat(im->dirfd, made, 0);
	leave();
	im->files--;
	return leave_out(im, name, r);
}

static int copy(struct import *im, int fromfd, const char *path, const char *name)
{
	int from FL_CLEANUP(fl_closep) = openat(fromfd, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	int to FL_CLEANUP(fl_closep) = -1;
	char *step FL_CLEANUP(fl_freep) = malloc(COPY_STEP);
	char made[NAME_MAX + 1];
	struct stat st;
	uint64_t total = 0;
	ssize_t n;

	if (!step)
		return -ENOMEM;
	if (from < 0 || fstat(from, &st))
		return leave_out(im, name, fl_fail(-errno, "%m"));
	if (!S_ISREG(st.st_mode))
		return leave_out(im, name, fl_fail(-EINVAL, "not a regular file"));
	if (im->files++ >= IMPORT_FILES_MAX)
		return fl_fail(-EFBIG, "more than %d files", IMPORT_FILES_MAX);
	to = create(im, name, made);
	if (to < 0)
		return to;
	while ((n = read(from, step, COPY_STEP))) {
		int r = n < 0 ? 0 : fl_write_all(to, step, (size_t)n);

		if (n < 0)
			return take_back(im, made, name, fl_fail(-errno, "%m"));
		if (r)
			return fl_fail(r, "%s: %s", path, strerror(-r));
		total += (uint64_t)n;
		if (total > FL_NETWORK_FILE_MAX)
			return take_back(im, made, name,
					 fl_fail(-EFBIG, "larger than %llu bytes", FL_NETWORK_FILE_MAX));
	}
	return fsync(to) ? fl_fail(-errno, "%s: %m", name) : 0;
}

static int visible(const struct dirent *d)
{
	return d->d_name[0] != '.';
}

static int copy_all(struct import *im, const char *path)
{
	int fd FL_CLEANUP(fl_closep) = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	const char *name = strrchr(path, '/');
	struct dirent **list = NULL;
	struct stat st;
	int n, r = 0;

	if (fd < 0 || fstat(fd, &st))
		return leave_out(im, path, fl_fail(-errno, "%m"));
	if (!S_ISDIR(st.st_mode))
		return copy(im, AT_FDCWD, path, name ? name + 1 : path);
	n = scandirat(fd, ".", &list, visible, alphasort);
	if (n < 0)
		return leave_out(im, path, fl_fail(-errno, "%m"));
	for (int i = 0; i < n; i++) {
		if (r >= 0 && (fstatat(fd, list[i]->d_name, &st, 0) || S_ISREG(st.st_mode)))
			r = copy(im, fd, list[i]->d_name, list[i]->d_name);
		free(list[i]);
	}
	free(list);
	return r < 0 ? fl_wrap(r, "%s", path) : 0;
}

static void remove_all(int parent, const char *name)
{
	int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *d;

	while (dir && (d = readdir(dir)))
		if (strcmp(d->d_name, ".") && strcmp(d->d_name, ".."))
			unlinkat(fd, d->d_name, 0);
	if (dir)
		closedir(dir);
	unlinkat(parent, name, AT_REMOVEDIR);
}

/* The directory of imports, owned by whom the store belongs to. */
static int open_imports(const char *store, struct import *im)
{
	bool fresh = access(store, F_OK) != 0;
	int r = fl_store_owner(NULL, store, &im->uid, &im->gid), fd = -1, dir FL_CLEANUP(fl_closep) = -1;
	struct stat st;

	if (!r)
		r = fl_wrap(fl_mkdirs(AT_FDCWD, store, 0750), "%s", store);
	if (!r && fresh && !geteuid() && chown(store, im->uid, im->gid))
		r = fl_fail(-errno, "%s: %m", store);
	if (!r)
		dir = open(store, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (!r && (dir < 0 || fstat(dir, &st)))
		r = fl_fail(-errno, "%s: %m", store);
	if (r)
		return r;
	im->uid = st.st_uid;
	im->gid = st.st_gid;
	enter(im);
	if (!mkdirat(dir, FL_INVENTORY_DIR, 0750) || errno == EEXIST)
		fd = openat(dir, FL_INVENTORY_DIR, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		r = fl_fail(-errno, "%s/" FL_INVENTORY_DIR ": %m", store);
	leave();
	return fd < 0 ? r : fd;
}

static bool usable(const struct fl_network *net)
{
	size_t n, all = 0;

#define FL_NOUN(kind, type, suffix, people, prefix)                                                                    \
	fl_network_##suffix(net, &n);                                                                                  \
	all += n;
	FL_NOUNS(FL_NOUN)
#undef FL_NOUN
	return all || fl_network_has_ranges(net);
}

/* The time in the name: later than every import before, so that the newest is the current one. */
static int keep(const struct import *im, int imports, const char *staged, const char *store, int64_t now,
		char *ret_path, size_t size)
{
	struct fl_inventory_version *v FL_CLEANUP(fl_freep) = NULL;
	char name[24];
	size_t n;
	int r = fl_inventory_history(store, &v, &n);

	if (r)
		return r;
	name_of(n ? FL_MAX(now, v[n - 1].since + 1) : now, name);
	enter(im);
	r = renameat(imports, staged, imports, name) ? -errno : fl_fsync_dir(imports, ".");
	leave();
	if (r)
		return fl_fail(r, "%s/" FL_INVENTORY_DIR "/%s: %s", store, name, strerror(-r));
	snprintf(ret_path, size, "%s/" FL_INVENTORY_DIR "/%s", store, name);
	return 0;
}

/* An empty directory beside the imports; a process of the same number may have been killed in the middle. */
static int stage(struct import *im, int imports, const char *staged)
{
	int r = 0;

	enter(im);
	remove_all(imports, staged);
	if (mkdirat(imports, staged, 0750))
		r = -errno;
	im->dirfd = r ? -1 : openat(imports, staged, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (!r && im->dirfd < 0)
		r = -errno;
	leave();
	return r ? fl_fail(r, "%s: %s", staged, strerror(-r)) : 0;
}

int fl_inventory_import(const char *store, char *const *paths, size_t n, int64_t now, struct fl_network **ret,
			char *ret_path, size_t size)
{
	struct import im = {.dirfd = -1};
	int imports FL_CLEANUP(fl_closep) = open_imports(store, &im), r;
	char staged[64], path[4224];

	*ret = NULL;
	*ret_path = '\0';
	if (imports < 0)
		return imports;
	snprintf(staged, sizeof staged, ".new-%ld", (long)getpid());
	r = stage(&im, imports, staged);
	for (size_t i = 0; r >= 0 && i < n; i++)
		r = copy_all(&im, paths[i]);
	r = r > 0 ? 0 : r;
	if (!r && fsync(im.dirfd))
		r = fl_fail(-errno, "%s: %m", staged);
	fl_closep(&im.dirfd);
	snprintf(path, sizeof path, "%s/" FL_INVENTORY_DIR "/%s", store, staged);
	if (!r && !im.files && im.n_left_out)
		r = fl_fail(-ENOENT, "%s: %s", im.left_out[0].file, im.left_out[0].why);
	else if (!r && !im.files)
		r = fl_fail(-ENOENT,
			    "%s%s: no files; expected the output of aws ec2 describe-network-interfaces and its like, "
			    "a file each",
			    paths[0], n > 1 ? " ..." : "");
	if (!r)
		r = fl_network_read(ret, path);
	for (size_t i = 0; !r && i < im.n_left_out; i++)
		fl_network_add_problem(*ret, im.left_out[i].file, im.left_out[i].why);
	if (!r && usable(*ret))
		r = keep(&im, imports, staged, store, now, ret_path, size);
	enter(&im);
	if (r || !*ret_path)
		remove_all(imports, staged);
	leave();
	import_free(&im);
	if (r)
		fl_network_free(ret);
	return r;
}
