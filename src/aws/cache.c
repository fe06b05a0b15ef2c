/* SPDX-License-Identifier: Apache-2.0 */
#include "aws/cache.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"
#include "base/hash.h"

#define TEMPORARY ".tmp-"
#define LOCK_NAME ".lock"
#define STALE_S 3600  /* a temporary file that nobody writes any more */
#define SHARE_MAX 4   /* an object has at most this part of the whole */
#define LOOK_EVERY 16 /* part of the whole, added since the directory was looked through */
#define KEEP_OF_TEN 9 /* what stays when something has to go */
#define ENTRIES_MAX 4000000u
#define FILES_DIR_MODE 0700
#define IN_MEMORY_MAX (256u << 10) /* of objects that are not kept: most of a bucket's are small */

struct fl_cache {
	char path[FL_AWS_PATH_MAX];
	uint64_t max;
	struct fl_aws_host host;
	pthread_mutex_t lock;
	int dir; /* -1: not open yet, -2: there is no place */
	bool looked;
	uint64_t total; /* what the directory held when it was looked through, and what was added since */
	uint64_t added; /* since then */
};

int fl_cache_new(struct fl_cache **ret, const struct fl_aws_settings *settings, const struct fl_s3_options *options)
{
	struct fl_cache *c = calloc(1, sizeof *c);
	const char *xdg = fl_aws_env(settings, "XDG_CACHE_HOME");
	int n, r = 0;

	if (!c)
		return -ENOMEM;
	c->max = options->cache_bytes ? options->cache_bytes : FL_S3_CACHE_BYTES;
	c->host = settings->host;
	c->dir = -1;
	pthread_mutex_init(&c->lock, NULL);
	if (options->cache_dir || (xdg && *xdg == '/')) {
		n = snprintf(c->path, sizeof c->path, "%s%s", options->cache_dir ? options->cache_dir : xdg,
			     options->cache_dir ? "" : "/flowlog/s3");
		if (n >= (int)sizeof c->path)
			r = fl_fail(-ENAMETOOLONG, "the cache's directory has a name of %d bytes", n);
	} else if (fl_aws_home(settings, ".cache/flowlog/s3", c->path)) {
		fl_error_clear();
		c->dir = -2;
	}
	if (r)
		fl_cache_free(&c);
	*ret = c;
	return r;
}

void fl_cache_free(struct fl_cache **pointer)
{
	struct fl_cache *c = *pointer;

	*pointer = NULL;
	if (!c)
		return;
	if (c->dir >= 0)
		close(c->dir);
	pthread_mutex_destroy(&c->lock);
	free(c);
}

void fl_cache_name(const char *const *parts, size_t n, char ret[FL_SHA256_HEX])
{
	struct fl_buf text FL_CLEANUP(fl_buf_free) = FL_BUF(64u << 10);

	/* With the NULs, so that no two lists of parts are one text. */
	for (size_t i = 0; i < n; i++)
		(void)fl_buf_add(&text, parts[i], strlen(parts[i]) + 1);
	fl_sha256_hex(text.data, text.len, ret);
}

/* Ours, and nobody else's to write: what others could put there would be taken for AWS's. */
static bool is_ours(const struct stat *st)
{
	return st->st_uid == geteuid() && !(st->st_mode & 022);
}

/* -1 when there is no place. The directory is made when it is first needed. */
static int directory(struct fl_cache *c)
{
	struct stat st;
	int fd;

	pthread_mutex_lock(&c->lock);
	if (c->dir == -1) {
		c->dir = -2;
		fd = fl_mkdirs(AT_FDCWD, c->path, FILES_DIR_MODE) ? -1
								  : open(c->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (fd >= 0 && !fstat(fd, &st) && is_ours(&st))
			c->dir = fd;
		else if (fd >= 0)
			close(fd);
		fl_error_clear();
	}
	fd = c->dir;
	pthread_mutex_unlock(&c->lock);
	return fd < 0 ? -1 : fd;
}

bool fl_cache_open(struct fl_cache *c, const char *name, uint64_t size, int64_t older_s, int *ret_fd)
{
	static const struct timespec used_now[2] = {{.tv_nsec = UTIME_NOW}, {.tv_nsec = UTIME_OMIT}};
	int dir = c ? directory(c) : -1;
	int fd = dir < 0 ? -1 : openat(dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	int64_t now;
	struct stat st;

	if (fd < 0)
		return false;
	now = (int64_t)(fl_now_ns(c->host.clock) / FL_NS_PER_S);
	if (fstat(fd, &st) || !S_ISREG(st.st_mode) || !is_ours(&st) ||
	    (size != UINT64_MAX && (uint64_t)st.st_size != size) ||
	    (older_s && (st.st_mtime > now + older_s || st.st_mtime + older_s < now))) {
		close(fd);
		return false;
	}
	(void)futimens(fd, used_now);
	*ret_fd = fd;
	return true;
}

void fl_cache_remove(struct fl_cache *c, const char *name)
{
	int dir = c ? directory(c) : -1;

	if (dir >= 0)
		unlinkat(dir, name, 0);
}

/* ---- writing ---- */

static int unnamed(uint64_t size)
{
	const char *dir = fl_temp_dir();
	int fd = size <= IN_MEMORY_MAX ? memfd_create("flowlog", MFD_CLOEXEC) : -1;

	if (fd >= 0)
		return fd;
	fd = fl_temp_file(dir);
	return fd >= 0 ? fd
		       : fl_fail(fd, "%s: %s; TMPDIR names where objects of %llu bytes are put", dir, strerror(-fd),
				 (unsigned long long)size);
}

int fl_cache_begin(struct fl_cache *c, uint64_t size, struct fl_cache_file *ret)
{
	int dir = c && size <= c->max / SHARE_MAX ? directory(c) : -1;

	*ret = (struct fl_cache_file){.fd = -1};
	if (dir >= 0) {
		snprintf(ret->temporary, sizeof ret->temporary, TEMPORARY "%d-%016llx", (int)getpid(),
			 (unsigned long long)fl_random_seed());
		ret->fd = openat(dir, ret->temporary, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
		ret->cache = ret->fd >= 0 ? c : NULL;
	}
	if (ret->fd < 0)
		ret->fd = unnamed(size);
	return ret->fd < 0 ? ret->fd : 0;
}

void fl_cache_abort(struct fl_cache_file *f)
{
	if (f->cache)
		unlinkat(f->cache->dir, f->temporary, 0);
	if (f->fd >= 0)
		close(f->fd);
	*f = (struct fl_cache_file){.fd = -1};
}

/* ---- what goes ---- */

struct entry {
	struct timespec used;
	uint64_t size;
	char name[FL_SHA256_HEX];
};

/* To the nanosecond: a second may hold the use of a hundred objects. */
static bool later(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec > b->tv_sec || (a->tv_sec == b->tv_sec && a->tv_nsec > b->tv_nsec);
}

static int by_use(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;

	return later(&x->used, &y->used) - later(&y->used, &x->used);
}

/* Adds a file to the list, or takes it away when it is a writer's that is gone. */
static bool note(int dir, const char *name, int64_t now, struct entry *ret)
{
	struct stat st;

	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) || !S_ISREG(st.st_mode))
		return false;
	if (!strncmp(name, TEMPORARY, strlen(TEMPORARY)) && st.st_mtime + STALE_S < now)
		unlinkat(dir, name, 0);
	if (*name == '.' || strlen(name) >= sizeof ret->name)
		return false;
	snprintf(ret->name, sizeof ret->name, "%s", name);
	ret->used = later(&st.st_atim, &st.st_mtim) ? st.st_atim : st.st_mtim;
	ret->size = (uint64_t)st.st_size;
	return true;
}

static struct entry *look_through(int fd, int64_t now, size_t *ret_n, uint64_t *ret_total)
{
	struct entry *list = NULL;
	size_t n = 0, cap = 0;
	DIR *dir = fdopendir(fd);
	struct dirent *d;

	*ret_total = 0;
	while (dir && n < ENTRIES_MAX && (d = readdir(dir))) {
		if (n == cap) {
			struct entry *more = reallocarray(list, cap ? 2 * cap : 256, sizeof *more);

			if (!more)
				break;
			list = more;
			cap = cap ? 2 * cap : 256;
		}
		if (note(dirfd(dir), d->d_name, now, &list[n]))
			*ret_total += list[n++].size;
	}
	if (dir)
		closedir(dir);
	else
		close(fd);
	*ret_n = n;
	return list;
}

/* The cache's lock is held. Another process that is at it does it for us. */
static void evict(struct fl_cache *c)
{
	int lock FL_CLEANUP(fl_closep) = openat(c->dir, LOCK_NAME, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	int fd = openat(c->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct entry *list;
	uint64_t total, keep = c->max / 10 * KEEP_OF_TEN;
	size_t n;

	if (fd < 0 || lock < 0 || flock(lock, LOCK_EX | LOCK_NB)) {
		if (fd >= 0)
			close(fd);
		return;
	}
	list = look_through(fd, (int64_t)(fl_now_ns(c->host.clock) / FL_NS_PER_S), &n, &total);
	if (total > c->max) {
		qsort(list, n, sizeof *list, by_use);
		for (size_t i = 0; i < n && total > keep; i++)
			if (!unlinkat(c->dir, list[i].name, 0))
				total -= list[i].size;
	}
	free(list);
	c->looked = true;
	c->total = total;
	c->added = 0;
}

static void count(struct fl_cache *c, uint64_t size)
{
	pthread_mutex_lock(&c->lock);
	c->total += size;
	c->added += size;
	if (!c->looked || c->total > c->max || c->added > c->max / LOOK_EVERY)
		evict(c);
	pthread_mutex_unlock(&c->lock);
}

/* Parts of a file may be on the disk before others: without this its size would vouch for holes after a crash. */
static int settle(const struct fl_cache_file *f, const char *name, bool durable)
{
	if (durable && fdatasync(f->fd))
		return -errno;
	return renameat(f->cache->dir, f->temporary, f->cache->dir, name) ? -errno : 0;
}

int fl_cache_commit(struct fl_cache_file *f, const char *name, uint64_t size, bool durable, int *ret_fd)
{
	char self[64];
	int fd;

	if (f->cache) {
		int r = settle(f, name, durable);

		if (r) {
			fl_cache_abort(f);
			return fl_fail(r, "%s: %s", name, strerror(-r));
		}
		count(f->cache, size);
	}
	/* Open anew: who reads it cannot write it. */
	snprintf(self, sizeof self, "/proc/self/fd/%d", f->fd);
	fd = open(self, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		fd = f->fd;
		f->fd = -1;
		(void)lseek(fd, 0, SEEK_SET);
	}
	f->cache = NULL;
	fl_cache_abort(f);
	*ret_fd = fd;
	return 0;
}
