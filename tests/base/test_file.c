/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"

static void whole_or_nothing(void **state)
{
	char dir[] = "/tmp/fl-test-XXXXXX";
	struct fl_buf buf = FL_BUF(16);
	struct stat st;
	int fd;

	(void)state;
	assert_non_null(mkdtemp(dir));
	fd = open(dir, O_RDONLY | O_DIRECTORY);
	assert_int_equal(fl_mkdirs(fd, "a/b", 0755), 0);
	assert_int_equal(fl_file_write_atomic(fd, "a/b/f", "hello", 5, 0640, true), 0);
	assert_int_equal(fl_file_read(fd, "a/b/f", &buf), 0);
	assert_int_equal(buf.len, 5);
	assert_memory_equal(buf.data, "hello", 5);
	assert_true(fstatat(fd, "a/b/f.tmp", &st, 0) < 0);
	/* Over the reader's ceiling. */
	assert_int_equal(fl_file_write_atomic(fd, "a/b/f", "0123456789abcdefX", 17, 0640, false), 0);
	fl_buf_reset(&buf);
	assert_int_equal(fl_file_read(fd, "a/b/f", &buf), -EFBIG);
	/* A directory that is not there: nothing is left behind, and the sentence names the file. */
	assert_true(fl_file_write_atomic(fd, "x/f", "h", 1, 0640, false) < 0);
	assert_non_null(strstr(fl_error_text(-ENOENT), "x/f"));
	fl_buf_free(&buf);
	unlinkat(fd, "a/b/f", 0);
	unlinkat(fd, "a/b", AT_REMOVEDIR);
	unlinkat(fd, "a", AT_REMOVEDIR);
	close(fd);
	rmdir(dir);
}

static void only_what_was_made_is_removed(void **state)
{
	char dir[] = "/tmp/fl-test-XXXXXX";
	struct fl_buf made = FL_BUF(4096);
	bool replaced;
	int fd;

	(void)state;
	assert_non_null(mkdtemp(dir));
	fd = open(dir, O_RDONLY | O_DIRECTORY);
	assert_int_equal(mkdirat(fd, "a", 0755), 0);
	assert_int_equal(fl_mkdirs_noting(fd, "a/b/c", 0755, &made), 0);
	assert_int_equal(fl_mkdirs_noting(fd, "a/b/d/", 0755, &made), 0);
	assert_int_equal(fl_mkdirs_noting(fd, "a/b/d", 0755, &made), 0);
	assert_int_equal(made.len, strlen("a/b") + 1 + strlen("a/b/c") + 1 + strlen("a/b/d") + 1);
	/* Somebody else put a file there: what it is in stays, the rest goes. */
	assert_int_equal(fl_file_write_atomic(fd, "a/b/d/f", "x", 1, 0640, false), 0);
	assert_int_equal(fl_rmdirs(fd, &made), -ENOTEMPTY);
	assert_int_equal(made.len, 0);
	assert_int_equal(faccessat(fd, "a/b/c", F_OK, 0), -1);
	assert_int_equal(fl_rename(fd, "a/b/d/f", "a/f", false, &replaced), 0);
	assert_false(replaced);
	assert_int_equal(fl_file_write_atomic(fd, "a/g", "y", 1, 0640, false), 0);
	assert_int_equal(fl_rename(fd, "a/g", "a/f", false, &replaced), -EEXIST);
	assert_false(replaced);
	assert_int_equal(fl_rename(fd, "a/g", "a/f", true, &replaced), 0);
	assert_true(replaced);
	assert_int_equal(fl_rename(fd, "a/none", "a/h", true, &replaced), -ENOENT);
	fl_buf_free(&made);
	unlinkat(fd, "a/f", 0);
	unlinkat(fd, "a/b/d", AT_REMOVEDIR);
	unlinkat(fd, "a/b", AT_REMOVEDIR);
	unlinkat(fd, "a", AT_REMOVEDIR);
	close(fd);
	assert_int_equal(rmdir(dir), 0);
}

static int note(void *ctx, int dirfd, char *path, char *name)
{
	struct stat st;

	assert_int_equal(fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW), 0);
	assert_ptr_equal(name, strrchr(path, '/') + 1);
	strcat(strcat(ctx, path), " ");
	return !strcmp(name, "stop") ? 7 : 0;
}

static void a_walk_sees_files_alone(void **state)
{
	char dir[] = "/tmp/fl-test-XXXXXX", seen[1024] = "", path[64] = "/";
	static const char *const files[] = {"a/b/f", "a/.hidden",
					    "a/b/a-name-that-is-too-long-for-the-room-that-there-is"};
	int fd;

	(void)state;
	assert_non_null(mkdtemp(dir));
	fd = open(dir, O_RDONLY | O_DIRECTORY);
	assert_int_equal(fl_mkdirs(fd, "a/b/c", 0755), 0);
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(fl_file_write_atomic(fd, files[i], "x", 1, 0640, false), 0);
	assert_int_equal(symlinkat("..", fd, "a/b/c/up"), 0);
	assert_int_equal(fl_walk_files(dup(fd), path, 1, 50, 9, note, NULL, seen), 0);
	assert_true(!strcmp(seen, "/a/b/f /a/b/c/up ") || !strcmp(seen, "/a/b/c/up /a/b/f "));
	/* Not deeper than it may, and not further than it is told. */
	*seen = '\0';
	lseek(fd, 0, SEEK_SET);
	assert_int_equal(fl_walk_files(dup(fd), path, 1, 50, 2, note, NULL, seen), 0);
	assert_string_equal(seen, "/a/b/f ");
	assert_int_equal(fl_file_write_atomic(fd, "stop", "x", 1, 0640, false), 0);
	lseek(fd, 0, SEEK_SET);
	assert_int_equal(fl_walk_files(dup(fd), path, 1, 50, 0, note, NULL, seen), 7);
	unlinkat(fd, "a/b/c/up", 0);
	unlinkat(fd, "stop", 0);
	for (size_t i = 0; i < 3; i++)
		unlinkat(fd, files[i], 0);
	unlinkat(fd, "a/b/c", AT_REMOVEDIR);
	unlinkat(fd, "a/b", AT_REMOVEDIR);
	unlinkat(fd, "a", AT_REMOVEDIR);
	close(fd);
	rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(whole_or_nothing),
	    cmocka_unit_test(only_what_was_made_is_removed),
	    cmocka_unit_test(a_walk_sees_files_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
