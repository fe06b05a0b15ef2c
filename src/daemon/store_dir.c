/* SPDX-License-Identifier: Apache-2.0 */
/*
 * We may be root and the directory a user's: everything is done through descriptors that follow no
 * link, and what is written below is written with the user's own rights.
 */
#include "daemon/store_dir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/fsuid.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/mem.h"

#define SHM "/dev/shm"
#define PREFIX "flowlog-"
#define LOCK_TRIES 20
#define OURS (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)

static const char *const known_names[] = {".",  "..",   "journal", "deliver",    "status",
					  "s3", "logs", "lock",    "flowlog.db", "inventory"};

/* ret_other: a name that no store has; empty: there is none. ret_empty: nothing at all in it. */
static int look_inside(int fd, const char *path, char ret_other[256], bool *ret_empty)
{
	int copy = openat(fd, ".", OURS);
	DIR *dir = copy < 0 ? NULL : fdopendir(copy);
	struct dirent *e;

	if (!dir) {
		fl_closep(&copy);
		return fl_fail(-errno, "%s: %m", path);
	}
	*ret_other = '\0';
	*ret_empty = true;
	while ((e = readdir(dir))) {
		size_t i = 0;

		while (i < FL_ARRAY_LEN(known_names) && strcmp(known_names[i], e->d_name))
			i++;
		*ret_empty = *ret_empty && i < 2;
		if (i == FL_ARRAY_LEN(known_names))
			snprintf(ret_other, 256, "%s", e->d_name);
	}
	closedir(dir);
	return 0;
}

static int open_owned(const char *path, uid_t uid, gid_t gid, mode_t mode, int *ret)
{
	int fd FL_CLEANUP(fl_closep) = -1;
	struct stat st;
	bool made = !mkdir(path, mode);

	if (!made && errno != EEXIST)
		return fl_fail(-errno, "%s cannot be made: %m", path);
	fd = open(path, OURS);
	if (fd < 0 && (errno == ENOTDIR || errno == ELOOP))
		return fl_fail(-ENOTDIR, "%s is not a directory; name another with --store", path);
	if (fd < 0 || fstat(fd, &st))
		return fl_fail(-errno, "%s: %m", path);
	if (made && st.st_uid == geteuid() && !geteuid() && fchown(fd, uid, gid))
		return fl_fail(-errno, "%s cannot be given to user %u: %m", path, uid);
	if (!made && st.st_uid != uid)
		return fl_fail(-EPERM,
			       "%s belongs to user %u and not to user %u, who would write it; name "
			       "another with --store, or "
			       "that user with --user",
			       path, st.st_uid, uid);
	if (made && fchmod(fd, mode))
		return fl_fail(-errno, "%s: %m", path);
	*ret = fd;
	fd = -1;
	return 0;
}

static int take_lock(struct fl_store_dir *d)
{
	char text[32];
	int n, r;

	d->lockfd = openat(d->statefd, "lock", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0640);
	if (d->lockfd < 0)
		return fl_fail(-errno, "%s/lock: %m", d->path);
	/* Somebody who only asks whether it is held has it for an instant. */
	for (int i = 0; (r = flock(d->lockfd, LOCK_EX | LOCK_NB)) && errno == EWOULDBLOCK && i < LOCK_TRIES; i++)
		usleep(10000);
	if (r) {
		ssize_t got = errno == EWOULDBLOCK ? pread(d->lockfd, text, sizeof text - 1, 0) : -1;

		if (got < 0)
			return fl_fail(-errno, "%s/lock: %m", d->path);
		text[strcspn((text[got] = '\0', text), "\n")] = '\0';
		return fl_fail(-EBUSY,
			       "%s is in use by another flowlog (process %s); stop it first, or "
			       "name another store with --store",
			       d->path, *text ? text : "unknown");
	}
	n = snprintf(text, sizeof text, "%d\n", getpid());
	if (ftruncate(d->lockfd, 0) || pwrite(d->lockfd, text, (size_t)n, 0) != n)
		return fl_fail(-errno, "%s/lock: %m", d->path);
	return 0;
}

static void remove_shm(int dirfd, const char *name)
{
	static const char *const files[] = {"wal", "wal.new", "store", "store.tmp"};
	int fd FL_CLEANUP(fl_closep) = openat(dirfd, name, OURS);

	for (size_t i = 0; fd >= 0 && i < FL_ARRAY_LEN(files); i++)
		unlinkat(fd, files[i], 0);
	unlinkat(dirfd, name, AT_REMOVEDIR);
}

/* Logs of stores that are no more. What belongs to others is left alone. */
static void sweep_shm(uid_t uid)
{
	int fd = open(SHM, OURS);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;

	while (dir && (e = readdir(dir))) {
		struct fl_buf path FL_CLEANUP(fl_buf_free) = FL_BUF(4096);
		char name[300];
		struct stat st;

		if (strncmp(e->d_name, PREFIX, strlen(PREFIX)) || fstatat(fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) ||
		    st.st_uid != uid)
			continue;
		snprintf(name, sizeof name, "%s/store", e->d_name);
		if (!fl_file_read(fd, name, &path) && stat(fl_buf_cstr(&path), &st) && errno == ENOENT)
			remove_shm(fd, e->d_name);
	}
	if (dir)
		closedir(dir);
}

static int open_shm(struct fl_store_dir *d, uid_t uid, gid_t gid)
{
	char path[64];
	struct stat st;
	int r;

	sweep_shm(uid);
	snprintf(path, sizeof path, SHM "/%s", d->id);
	r = open_owned(path, uid, gid, 0700, &d->shmfd);
	if (r)
		return r;
	d->has_log = !fstatat(d->shmfd, "wal", &st, AT_SYMLINK_NOFOLLOW) && st.st_size > 0;
	setfsgid(gid);
	setfsuid(uid);
	r = fl_file_write_atomic(d->shmfd, "store", d->path, strlen(d->path), 0600, false);
	setfsuid(geteuid());
	setfsgid(getegid());
	return r;
}

int fl_store_dir_open(struct fl_store_dir *d, const char *store, uid_t uid, gid_t gid)
{
	char other[256];
	uint8_t digest[32];
	bool empty;
	int r = open_owned(store, uid, gid, 0750, &d->statefd);

	if (r)
		return r;
	if (!realpath(store, d->path))
		return fl_fail(-errno, "%s: %m", store);
	r = look_inside(d->statefd, d->path, other, &empty);
	if (r)
		return r;
	if (*other)
		return fl_fail(-ENOTEMPTY,
			       "%s is not a flowlog store: it holds \"%s\"; name an empty "
			       "directory with --store",
			       d->path, other);
	fl_sha256(d->path, strlen(d->path), digest);
	strcpy(d->id, PREFIX);
	fl_hex(digest, 8, d->id + strlen(PREFIX));
	/* From here on with the rights of the user whose directories these are. */
	setfsgid(gid);
	setfsuid(uid);
	r = take_lock(d);
	if (!r)
		r = fl_mkdirs(d->statefd, "status", 0750);
	setfsuid(geteuid());
	setfsgid(getegid());
	if (r)
		return r;
	return open_shm(d, uid, gid);
}

void fl_store_dir_close(struct fl_store_dir *d, bool clean)
{
	if (clean && d->shmfd >= 0) {
		int fd FL_CLEANUP(fl_closep) = open(SHM, OURS);

		if (fd >= 0)
			remove_shm(fd, d->id);
	}
	fl_closep(&d->shmfd);
	fl_closep(&d->lockfd);
	fl_closep(&d->statefd);
}
