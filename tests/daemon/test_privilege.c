/* SPDX-License-Identifier: Apache-2.0 */
/* What each role is refused once it has dropped its privilege. Needs root; exits 77 (skipped)
 * without. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/error.h"
#include "base/owner.h"
#include "daemon/confine.h"
#include "daemon/privilege.h"

#define UID 65534

static int prepared = -1; /* a TCP socket from before the drop */

static int refused(int result)
{
	return result < 0 && (errno == EPERM || errno == EACCES);
}

static int packet_socket(void)
{
	return socket(AF_PACKET, SOCK_RAW, 0);
}
static int inet_socket(void)
{
	return socket(AF_INET, SOCK_STREAM, 0);
}
static int inet6_socket(void)
{
	return socket(AF_INET6, SOCK_DGRAM, 0);
}
static int do_listen(void)
{
	return listen(prepared, 1);
}
static int do_connect(void)
{
	struct sockaddr_in to = {
	    .sin_family = AF_INET, .sin_port = htons(9), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int r = connect(prepared, (struct sockaddr *)&to, sizeof to);

	return r && errno == ECONNREFUSED ? 0 : r; /* it was allowed to try */
}
static int do_exec(void)
{
	return execl("/bin/true", "true", NULL);
}
static int do_fork(void)
{
	return (int)fork();
}
static int do_setuid(void)
{
	return setuid(0);
}
static int do_ptrace(void)
{
	return (int)ptrace(PTRACE_TRACEME, 0, NULL, NULL);
}
static int do_shadow(void)
{
	return open("/etc/shadow", O_RDONLY);
}
static int do_code(void)
{
	return mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED ? -1 : 0;
}
static int do_setns(void)
{
	int fd = open("/proc/1/ns/net", O_RDONLY);

	/* The descriptor may be out of reach: what is asked is whether the call exists. */
	return syscall(308 /* setns */, fd < 0 ? STDIN_FILENO : fd, 0) && errno == EPERM ? -1 : 0;
}
static int do_file(void)
{
	return open("/dev/null", O_RDONLY);
}
static int do_mkdir(void)
{
	return mkdir("/tmp/fl-privilege-dir", 0700) && errno != EEXIST ? -1 : rmdir("/tmp/fl-privilege-dir");
}

#define M(role) (1u << (role))
#define EVERYONE (M(FL_ROLE_N) - 1)
static const struct {
	const char *what;
	int (*try)(void);
	unsigned allowed; /* roles */
} rows[] = {
    {"packet socket", packet_socket, M(FL_ROLE_METER_AFPACKET) | M(FL_ROLE_METER_AFPACKET_NETNS)},
    {"IPv6 socket", inet6_socket, M(FL_ROLE_DELIVER)},
    {"IPv4 socket", inet_socket, M(FL_ROLE_DELIVER) | M(FL_ROLE_METER_AFPACKET) | M(FL_ROLE_METER_AFPACKET_NETNS)},
    {"listen", do_listen, 0},
    {"connect", do_connect, M(FL_ROLE_DELIVER)},
    {"exec", do_exec, 0},
    {"fork", do_fork, 0},
    {"setuid(0)", do_setuid, 0},
    {"ptrace", do_ptrace, 0},
    {"/etc/shadow", do_shadow, M(FL_ROLE_NAMES)}, /* but for confinement */
    {"executable memory", do_code, 0},
    {"setns", do_setns, M(FL_ROLE_METER_AFPACKET_NETNS)},
    {"open", do_file, EVERYONE},
    {"mkdir", do_mkdir, EVERYONE & ~M(FL_ROLE_VIEW)},
};

static int status_has(const char *line)
{
	char text[8192] = "";
	int fd = open("/proc/self/status", O_RDONLY);
	ssize_t n = read(fd, text, sizeof text - 1);

	close(fd);
	return n > 0 && strstr(text, line);
}

/* Status of the child: 0, or 1 + the row that behaved otherwise than the table says. */
static int child(enum fl_privilege_role role)
{
	int r = fl_privilege_drop(role, UID, UID);

	if (r) {
		fprintf(stderr, "%s\n", fl_error_text(r));
		return 200;
	}
	if (getuid() != UID || geteuid() != UID || getegid() != UID || !status_has("NoNewPrivs:\t1") ||
	    !status_has("Groups:\t \n"))
		return 201;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		int got;

		errno = 0;
		got = rows[i].try();
		if (rows[i].allowed & M(role) ? got < 0 : !refused(got))
			return (int)i + 1;
	}
	return 0;
}

static void each_role(void **state)
{
	(void)state;
	prepared = socket(AF_INET, SOCK_STREAM, 0);
	for (unsigned role = 0; role < FL_ROLE_N; role++) {
		int status;
		pid_t pid = fork();

		if (!pid)
			_exit(child(role));
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFEXITED(status));
		if (WEXITSTATUS(status) && WEXITSTATUS(status) < 200)
			fail_msg("role %u: %s", role, rows[WEXITSTATUS(status) - 1].what);
		assert_int_equal(WEXITSTATUS(status), 0);
	}
	close(prepared);
}

/* Below a directory of root's, a file in it, and what is beside; the status says which went wrong. */
static int confined(const char *readable, int writable)
{
	const char *const places[] = {"/proc", readable, "/no/such/place"};
	int r = fl_confine_files(places, 3, writable);

	if (r == FL_CONFINE_UNAVAILABLE)
		return 77;
	if (r || fl_privilege_drop(FL_ROLE_NAMES, UID, UID))
		return 1;
	if (!refused(do_shadow()) || !refused(open("/etc/passwd", O_RDONLY)) || !refused(open("/", O_RDONLY)))
		return 2;
	if (open(readable, O_RDONLY) < 0 || open("/proc/1/cgroup", O_RDONLY) < 0)
		return 3;
	if (!refused(open(readable, O_WRONLY)) || !refused(mkdir("/tmp/fl-privilege-dir", 0700)))
		return 4;
	if (mkdirat(writable, "d", 0700) || openat(writable, "f", O_WRONLY | O_CREAT | O_EXCL, 0600) < 0 ||
	    renameat(writable, "f", writable, "g") || unlinkat(writable, "d", AT_REMOVEDIR) ||
	    unlinkat(writable, "g", 0))
		return 5;
	return 0;
}

static void names_are_confined(void **state)
{
	char dir[] = "/tmp/fl-confined-XXXXXX", file[64];
	int status, fd;
	pid_t pid;

	(void)state;
	assert_non_null(mkdtemp(dir));
	assert_int_equal(chown(dir, UID, UID), 0);
	snprintf(file, sizeof file, "/tmp/fl-readable-%d", (int)getpid());
	fd = open(file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	close(fd);
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	pid = fork();
	if (!pid)
		_exit(confined(file, fd));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	close(fd);
	unlink(file);
	rmdir(dir);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == 77)
		print_message("CONFIG_SECURITY_LANDLOCK: this kernel cannot confine\n");
	else
		assert_int_equal(WEXITSTATUS(status), 0);
}

static void owners(void **state)
{
	char dir[] = "/tmp/fl-owner-XXXXXX";
	uid_t uid;
	gid_t gid;

	(void)state;
	unsetenv("SUDO_UID");
	assert_non_null(mkdtemp(dir));
	assert_int_equal(fl_store_owner(NULL, dir, &uid, &gid), 0);
	assert_int_not_equal(uid, 0); /* root's store is not run by root */
	assert_int_equal(chown(dir, 1234, 5678), 0);
	assert_int_equal(fl_store_owner(NULL, dir, &uid, &gid), 0);
	assert_int_equal(uid, 1234);
	assert_int_equal(gid, 5678);
	setenv("SUDO_UID", "1000", 1);
	setenv("SUDO_GID", "100", 1);
	assert_int_equal(fl_store_owner(NULL, dir, &uid, &gid), 0);
	assert_int_equal(uid, 1000);
	assert_int_equal(gid, 100);
	assert_int_equal(fl_store_owner("root", dir, &uid, &gid), 0);
	assert_int_equal(uid, 0);
	assert_true(fl_store_owner("no-such-user", dir, &uid, &gid) < 0);
	unsetenv("SUDO_UID");
	rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(each_role), cmocka_unit_test(names_are_confined),
					   cmocka_unit_test(owners)};

	if (geteuid()) {
		puts("SKIP: needs root to drop privilege");
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
