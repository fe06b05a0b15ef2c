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

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(whole_or_nothing)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
