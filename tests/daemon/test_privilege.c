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
    {"/etc/shadow", do_shadow, 0},
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
	const struct CMUnitTest tests[] = {cmocka_unit_test(each_role), cmocka_unit_test(owners)};

	if (geteuid()) {
		puts("SKIP: needs root to drop privilege");
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
