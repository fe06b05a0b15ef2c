/* SPDX-License-Identifier: Apache-2.0 */
#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"

#define READ_STEP 65536
#define PATH_LIMIT 4096

int fl_file_read(int dirfd, const char *path, struct fl_buf *buf)
{
	int fd FL_CLEANUP(fl_closep) = openat(dirfd, path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return fl_fail(-errno, "%s: %m", path);
	for (;;) {
		size_t room = FL_MIN((size_t)READ_STEP, buf->max - buf->len);
		char probe;
		ssize_t n;

		if (!room) {
			n = read(fd, &probe, 1);
			return n > 0 ? fl_fail(-EFBIG, "%s: larger than the limit of %zu bytes", path, buf->max) : 0;
		}
		if (fl_buf_reserve(buf, room))
			return -ENOMEM;
		n = read(fd, buf->data + buf->len, room);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return fl_fail(-errno, "%s: %m", path);
		if (!n)
			return 0;
		buf->len += (size_t)n;
	}
}

int fl_write_all(int fd, const void *data, size_t n)
{
	const char *p = data;

	while (n) {
		ssize_t done = write(fd, p, n);

		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0)
			return -errno;
		p += done;
		n -= (size_t)done;
	}
	return 0;
}

int fl_fsync_dir(int dirfd, const char *path)
{
	int fd FL_CLEANUP(fl_closep) = openat(dirfd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0 || fsync(fd))
		return fl_fail(-errno, "%s: %m", path);
	return 0;
}

/* The directory part of name, "." when there is none. */
static void parent_of(const char *name, char ret[PATH_LIMIT])
{
	const char *slash = strrchr(name, '/');
	size_t n = slash ? (size_t)(slash - name) : 1;

	memcpy(ret, slash ? name : ".", n);
	ret[n] = '\0';
}

int fl_file_write_atomic(int dirfd, const char *name, const void *data, size_t n, mode_t mode, bool durable)
{
	char temporary[PATH_LIMIT], parent[PATH_LIMIT];
	int fd FL_CLEANUP(fl_closep) = -1;
	int r;

	if (snprintf(temporary, sizeof temporary, "%s.tmp", name) >= (int)sizeof temporary)
		return fl_fail(-ENAMETOOLONG, "%.64s...: the name is too long", name);
	fd = openat(dirfd, temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
	if (fd < 0)
		return fl_fail(-errno, "%s: %m", temporary);
	r = fl_write_all(fd, data, n);
	if (!r && durable && fsync(fd))
		r = -errno;
	if (!r && renameat(dirfd, temporary, dirfd, name))
		r = -errno;
	if (r) {
		unlinkat(dirfd, temporary, 0);
		return fl_fail(r, "%s: %s", name, strerror(-r));
	}
	if (!durable)
		return 0;
	parent_of(name, parent);
	return fl_fsync_dir(dirfd, parent);
}

int fl_mkdirs(int dirfd, const char *path, mode_t mode)
{
	return fl_mkdirs_noting(dirfd, path, mode, NULL);
}

int fl_mkdirs_noting(int dirfd, const char *path, mode_t mode, struct fl_buf *made)
{
	char part[PATH_LIMIT];
	size_t n = strlen(path);

	if (n >= sizeof part)
		return fl_fail(-ENAMETOOLONG, "%.64s...: the name is too long", path);
	for (size_t i = 1; i <= n; i++) {
		if (path[i] != '/' && path[i] != '\0')
			continue;
		memcpy(part, path, i);
		part[i] = '\0';
		if (!mkdirat(dirfd, part, mode)) {
			int r = made ? fl_buf_add(made, part, i + 1) : 0;

			if (r) {
				unlinkat(dirfd, part, AT_REMOVEDIR);
				return r;
			}
		} else if (errno != EEXIST) {
			return fl_fail(-errno, "%s: %m", part);
		}
	}
	return 0;
}

int fl_rmdirs(int dirfd, struct fl_buf *made)
{
	int r = 0;

	while (made->len) {
		size_t at = made->len - 1;

		while (at && made->data[at - 1])
			at--;
		if (unlinkat(dirfd, made->data + at, AT_REMOVEDIR) && errno != ENOENT)
			r = -errno;
		made->len = at;
	}
	return r;
}

int fl_rename(int dirfd, const char *from, const char *to, bool replace, bool *ret_replaced)
{
	*ret_replaced = false;
	if (!renameat2(dirfd, from, dirfd, to, RENAME_NOREPLACE))
		return 0;
	/* Some file systems cannot do that: then the name is looked at before. */
	if (errno == EEXIST ||
	    ((errno == EINVAL || errno == ENOSYS) && !faccessat(dirfd, to, F_OK, AT_SYMLINK_NOFOLLOW)))
		*ret_replaced = true;
	else if (errno != EINVAL && errno != ENOSYS && errno != ENOENT)
		return -errno;
	if (*ret_replaced && !replace) {
		*ret_replaced = false;
		return -EEXIST;
	}
	return renameat(dirfd, from, dirfd, to) ? -errno : 0;
}

static bool is_dir(int dirfd, const struct dirent *e)
{
	struct stat st;

	if (e->d_type != DT_UNKNOWN)
		return e->d_type == DT_DIR;
	return !fstatat(dirfd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) && S_ISDIR(st.st_mode);
}

static int not_opened(const char *path, int error, fl_walk_closed_fn closed, void *ctx)
{
	if (error == ENOENT) /* vanished meanwhile */
		return 0;
	return closed ? closed(ctx, path, -error) : fl_fail(-error, "%s: %s", path, strerror(error));
}

int fl_walk_files(int fd, char *path, size_t len, size_t size, unsigned depth, fl_walk_fn fn, fl_walk_closed_fn closed,
		  void *ctx)
{
	DIR *d = fdopendir(fd);
	struct dirent *e;
	int r = 0;

	if (!d) {
		r = -errno;
		close(fd);
		return r;
	}
	while (!r && (e = readdir(d))) {
		size_t n = strlen(e->d_name);
		int sub;

		if (e->d_name[0] == '.' || n + 2 > size || len > size - n - 2)
			continue;
		memcpy(path + len, e->d_name, n + 1);
		if (!is_dir(dirfd(d), e)) {
			r = fn(ctx, dirfd(d), path, path + len);
			continue;
		}
		if (!depth)
			continue;
		sub = openat(dirfd(d), e->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (sub < 0) {
			r = not_opened(path, errno, closed, ctx);
			continue;
		}
		path[len + n] = '/';
		r = fl_walk_files(sub, path, len + n + 1, size, depth - 1, fn, closed, ctx);
	}
	closedir(d);
	return r;
}

const char *fl_temp_dir(void)
{
	const char *dir = getenv("TMPDIR");

	return dir && *dir ? dir : access("/var/tmp", W_OK) ? "/tmp" : "/var/tmp";
}

int fl_temp_file(const char *dir)
{
	int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	char path[PATH_MAX];

	if (fd >= 0)
		return fd;
	/* Not every file system has files without a name. */
	if (snprintf(path, sizeof path, "%s/flowlog-XXXXXX", dir) >= (int)sizeof path)
		return -ENAMETOOLONG;
	fd = mkostemp(path, O_CLOEXEC);
	if (fd < 0)
		return -errno;
	unlink(path);
	return fd;
}
