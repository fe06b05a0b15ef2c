/* SPDX-License-Identifier: Apache-2.0 */
/* The linker sends the tested code's system calls here (--wrap): the n-th can be the last of the process, or the disk can be full. */
#include "deliver/faults.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

struct fl_faults fl_faults;

/* Torn: only writes count. */
static void count(void)
{
	if (!fl_faults.torn && ++fl_faults.count == fl_faults.die_at)
		_exit(FL_FAULTS_DIED);
}

static int torn(void)
{
	return fl_faults.torn && ++fl_faults.count == fl_faults.die_at;
}

ssize_t __real_write(int fd, const void *p, size_t n);
ssize_t __wrap_write(int fd, const void *p, size_t n);
ssize_t __wrap_write(int fd, const void *p, size_t n)
{
	count();
	if (torn()) {
		(void)!__real_write(fd, p, n / 2);
		_exit(FL_FAULTS_DIED);
	}
	if (fl_faults.full) {
		fl_faults.refused++;
		errno = ENOSPC;
		return -1;
	}
	return __real_write(fd, p, n);
}

ssize_t __real_pwrite64(int fd, const void *p, size_t n, off_t at);
ssize_t __wrap_pwrite64(int fd, const void *p, size_t n, off_t at);
ssize_t __wrap_pwrite64(int fd, const void *p, size_t n, off_t at)
{
	count();
	if (torn()) {
		(void)!__real_pwrite64(fd, p, n / 2, at);
		_exit(FL_FAULTS_DIED);
	}
	return __real_pwrite64(fd, p, n, at);
}

/* A kill loses nothing that the kernel has, so syncing only costs time here. */
int __wrap_fsync(int fd);
int __wrap_fsync(int fd)
{
	count();
	return 0;
}

int __wrap_fdatasync(int fd);
int __wrap_fdatasync(int fd)
{
	count();
	return 0;
}

int __real_renameat(int a, const char *b, int c, const char *d);
int __wrap_renameat(int a, const char *b, int c, const char *d);
int __wrap_renameat(int a, const char *b, int c, const char *d)
{
	count();
	return __real_renameat(a, b, c, d);
}

int __real_unlinkat(int a, const char *b, int c);
int __wrap_unlinkat(int a, const char *b, int c);
int __wrap_unlinkat(int a, const char *b, int c)
{
	count();
	return __real_unlinkat(a, b, c);
}

int __real_mkdirat(int a, const char *b, mode_t c);
int __wrap_mkdirat(int a, const char *b, mode_t c);
int __wrap_mkdirat(int a, const char *b, mode_t c)
{
	count();
	return __real_mkdirat(a, b, c);
}

int __real_posix_fallocate64(int fd, off_t a, off_t b);
int __wrap_posix_fallocate64(int fd, off_t a, off_t b);
int __wrap_posix_fallocate64(int fd, off_t a, off_t b)
{
	count();
	return __real_posix_fallocate64(fd, a, b);
}
