/* SPDX-License-Identifier: Apache-2.0 */
/*
 * file://: a directory that stands in for S3. A bucket is a directory, a key a path below it.
 * Objects are written beside, synced and renamed; directories are opened one by one without
 * following links, so a key cannot leave its bucket.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"
#include "deliver/log.h"

#define NAME_PART_MAX 255
#define DEPTH_MAX 32
#define RESERVE 10 /* percent of the disk that are never taken */

struct file_sink {
	int root;
};

static void file_close(void **sink)
{
	struct file_sink *s = *sink;

	if (!s)
		return;
	fl_closep(&s->root);
	free(s);
	*sink = NULL;
}

static int file_open(void **ret, int statefd, const char *endpoint)
{
	const char *path = "s3";
	struct file_sink *s;
	int r;

	if (endpoint && strncmp(endpoint, "file://", 7))
		return fl_fail(-EINVAL, "endpoint %s: expected file:///directory", endpoint);
	if (endpoint)
		path = endpoint + 7;
	r = fl_mkdirs(statefd, path, 0750);
	if (r)
		return r;
	s = calloc(1, sizeof *s);
	if (!s)
		return -ENOMEM;
	s->root = openat(statefd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (s->root < 0) {
		r = fl_fail(-errno, "%s: %m", path);
		free(s);
		return r;
	}
	*ret = s;
	return 0;
}

/* ---- paths ---- */

static bool good_part(const char *p, size_t n)
{
	return n && n <= NAME_PART_MAX && !(n == 1 && *p == '.') && !(n == 2 && p[0] == '.' && p[1] == '.');
}

static int step_into(int *fd, const char *part, bool create)
{
	int next;

	if (create && !mkdirat(*fd, part, 0750)) {
		if (fsync(*fd))
			return -errno;
	} else if (create && errno != EEXIST) {
		return -errno;
	}
	next = openat(*fd, part, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (next < 0)
		return -errno;
	close(*fd);
	*fd = next;
	return 0;
}

/* The directory of bucket/key (key may be a directory's, ending in "/") and the last part of the
 * key. */
static int walk(const struct file_sink *s, const char *bucket, const char *key, bool create, int *ret_fd,
		const char **ret_name)
{
	int fd FL_CLEANUP(fl_closep) = fcntl(s->root, F_DUPFD_CLOEXEC, 3);
	char part[NAME_PART_MAX + 1];
	const char *end;
	int r = fd < 0 ? -errno : 0;

	if (!good_part(bucket, strlen(bucket)) || strchr(bucket, '/'))
		return fl_fail(-EINVAL, "bucket \"%.64s\": not a name", bucket);
	if (!r)
		r = step_into(&fd, bucket, create);
	for (; !r && (end = strchr(key, '/')); key = end + 1) {
		size_t n = (size_t)(end - key);

		if (!good_part(key, n))
			return fl_fail(-EINVAL, "key: \"%.64s\" has an empty, overlong or dot part", key);
		memcpy(part, key, n);
		part[n] = '\0';
		r = step_into(&fd, part, create);
	}
	if (r)
		return r == -ENOENT && !create ? r : fl_fail(r, "bucket %s: %s", bucket, strerror(-r));
	if (ret_name && !good_part(key, strlen(key)))
		return fl_fail(-EINVAL, "key: \"%.64s\" is not a name", key);
	if (ret_name)
		*ret_name = key;
	*ret_fd = fd;
	fd = -1;
	return 0;
}

/* ---- put ---- */

static int room_for(int fd, size_t n)
{
	struct statvfs v;
	uint64_t reserve, left;

	if (fstatvfs(fd, &v))
		return fl_fail(-errno, "statvfs: %m");
	reserve = (uint64_t)v.f_blocks * v.f_frsize / 100 * RESERVE;
	left = (uint64_t)v.f_bavail * v.f_frsize;
	if (left < n || left - n < reserve)
		return fl_fail(-ENOSPC,
			       "%" PRIu64 " MB are left on the disk, and its last %d %% (%" PRIu64
			       " MB) are not taken; make room or set a smaller max_size",
			       left / 1000000, RESERVE, reserve / 1000000);
	return 0;
}

/* The kernel's own stamp is as coarse as its tick, and readers order the objects of one slot by it. */
static void stamp(int dir, const char *name)
{
	struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}};

	if (!clock_gettime(CLOCK_REALTIME, &times[1]))
		(void)utimensat(dir, name, times, 0); /* without it, the order within a tick is by name */
}

static int file_put(void *sink, const char *bucket, const char *key, const void *data, size_t n)
{
	int dir FL_CLEANUP(fl_closep) = -1;
	const char *name;
	int r = room_for(((struct file_sink *)sink)->root, n);

	if (!r)
		r = walk(sink, bucket, key, true, &dir, &name);
	if (!r)
		r = fl_file_write_atomic(dir, name, data, n, 0640, true);
	if (!r)
		stamp(dir, name);
	return r;
}

static int file_has(void *sink, const char *bucket, const char *key)
{
	int dir FL_CLEANUP(fl_closep) = -1;
	const char *name;
	struct stat st;
	int r = walk(sink, bucket, key, false, &dir, &name);

	if (r == -ENOENT)
		return 0;
	if (r)
		return r;
	if (!fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW))
		return 1;
	return errno == ENOENT ? 0 : fl_fail(-errno, "%s: %m", key);
}

/* ---- retention ---- */

struct kept {
	char *path; /* below the flow log's directory */
	int64_t time;
	uint64_t size;
};
struct listing {
	const char *id;
	struct kept *file;
	size_t n, cap;
	uint64_t total;
};

static int list_add(struct listing *l, const char *path, int64_t time, uint64_t size)
{
	if (l->n == l->cap) {
		size_t cap = FL_MAX(l->cap * 2, (size_t)256);
		struct kept *grown = realloc(l->file, cap * sizeof *grown);

		if (!grown)
			return -ENOMEM;
		l->file = grown;
		l->cap = cap;
	}
	l->file[l->n] = (struct kept){.path = strdup(path), .time = time, .size = size};
	if (!l->file[l->n].path)
		return -ENOMEM;
	l->n++;
	l->total += size;
	return 0;
}

/* Left-overs of an interrupted write are removed: no write is under way while this runs. */
static int on_file(void *ctx, int dirfd, char *path, char *name)
{
	struct listing *l = ctx;
	size_t n = strlen(name);
	int64_t time = fl_object_time(name, l->id);
	struct stat st;

	if (time >= 0)
		return fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) || !S_ISREG(st.st_mode)
			   ? 0
			   : list_add(l, path, time, (uint64_t)st.st_size);
	if (n > 4 && !strcmp(name + n - 4, ".tmp")) {
		char whole[FL_KEY_MAX];

		snprintf(whole, sizeof whole, "%.*s", (int)(n - 4), name);
		if (fl_object_time(whole, l->id) >= 0)
			(void)unlinkat(dirfd, name, 0);
	}
	return 0;
}

static int by_age(const void *a, const void *b)
{
	const struct kept *x = a, *y = b;

	return x->time != y->time ? (x->time < y->time ? -1 : 1) : strcmp(x->path, y->path);
}

/* The object and the directories that are empty without it. */
static int remove_object(int dir, char *path)
{
	if (unlinkat(dir, path, 0) && errno != ENOENT)
		return fl_fail(-errno, "%s: %m", path);
	for (char *slash = strrchr(path, '/'); slash; slash = strrchr(path, '/')) {
		*slash = '\0';
		if (unlinkat(dir, path, AT_REMOVEDIR))
			break;
	}
	return 0;
}

static int file_retain(void *sink, const struct fl_flow_log *log, int64_t now_s)
{
	struct listing l = {.id = log->id};
	int dir FL_CLEANUP(fl_closep) = -1;
	char path[FL_KEY_MAX + NAME_PART_MAX + 2];
	int r, sub;

	fl_log_dir(log, path);
	memcpy(path + strlen(path), "/", 2);
	r = walk(sink, log->bucket, path, false, &dir, NULL);
	if (r)
		return r == -ENOENT ? 0 : r;
	sub = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	r = sub < 0 ? -errno : fl_walk_files(sub, path, 0, FL_KEY_MAX, DEPTH_MAX, on_file, NULL, &l);
	if (!r && l.n)
		qsort(l.file, l.n, sizeof *l.file, by_age);
	for (size_t i = 0; !r && i < l.n; i++) {
		/* A file of a slot is as old as the slot's end. */
		bool old = log->max_age_s && now_s - (l.file[i].time + FL_SLOT_S) > (int64_t)log->max_age_s;

		if (!old && !(log->max_bytes && l.total > log->max_bytes))
			break;
		l.total -= l.file[i].size;
		r = remove_object(dir, l.file[i].path);
	}
	for (size_t i = 0; i < l.n; i++)
		free(l.file[i].path);
	free(l.file);
	return r;
}

const struct fl_sink_ops fl_sink_file = {
    .scheme = "file",
    .open = file_open,
    .put = file_put,
    .has = file_has,
    .retain = file_retain,
    .close = file_close,
};
