/* SPDX-License-Identifier: Apache-2.0 */
/* credential_process: a program that prints credentials as JSON (AWS CLI "Sourcing credentials with an external
 * process"). */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "aws/credentials.h"
#include "base/error.h"

#define OUTPUT_MAX (64u << 10)
#define TIME_MS 60000
#define POLL_MS 50
#define COMMAND_SHOWN 40

/* -EINTR, -ETIMEDOUT, -E2BIG; 0 at the end of the output. */
static int read_output(struct fl_lookup *l, int fd, struct fl_buf *out)
{
	for (unsigned waited = 0; waited < TIME_MS;) {
		struct pollfd p = {.fd = fd, .events = POLLIN};
		char part[4096];
		ssize_t n;
		int r;

		if (fl_http_stopped(l->http))
			return fl_fail(-EINTR, "stopped");
		r = poll(&p, 1, POLL_MS);
		if (r <= 0) {
			waited += POLL_MS;
			continue;
		}
		n = read(fd, part, sizeof part);
		if (n < 0 && errno != EINTR)
			return -errno;
		if (!n)
			return 0;
		r = n > 0 ? fl_buf_add(out, part, (size_t)n) : 0;
		explicit_bzero(part, sizeof part);
		if (r)
			return fl_fail(r, "credential_process prints more than %u KiB", OUTPUT_MAX >> 10);
	}
	return fl_fail(-ETIMEDOUT, "credential_process did not end within %d s", TIME_MS / 1000);
}

static int start(const char *command, int *ret_fd, pid_t *ret_pid)
{
	char *argv[] = {"sh", "-c", (char *)command, NULL};
	posix_spawn_file_actions_t actions;
	int fds[2], r;

	if (pipe2(fds, O_CLOEXEC))
		return -errno;
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, fds[1], STDOUT_FILENO);
	r = posix_spawn(ret_pid, "/bin/sh", &actions, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	close(fds[1]);
	if (r) {
		close(fds[0]);
		return fl_fail(-r, "/bin/sh: %s", strerror(r));
	}
	*ret_fd = fds[0];
	return 0;
}

int fl_from_process(struct fl_lookup *l, const char *command, struct fl_credentials *ret)
{
	struct fl_buf out = FL_BUF(OUTPUT_MAX);
	int fd = -1, status = 0, r;
	pid_t pid = -1;

	r = start(command, &fd, &pid);
	if (r)
		return r;
	r = read_output(l, fd, &out);
	close(fd);
	if (r)
		kill(pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	/* The command may have a secret in its arguments: only its beginning is shown. */
	if (!r && !(WIFEXITED(status) && !WEXITSTATUS(status)))
		r = fl_fail(-EIO, "credential_process \"%.*s%s\" failed; run it by hand to see why",
			    (int)FL_MIN(strcspn(command, " "), (size_t)COMMAND_SHOWN), command,
			    strchr(command, ' ') ? " ..." : "");
	if (!r)
		r = fl_keys_from_json("credential_process", out.data, out.len, "SessionToken", ret);
	snprintf(ret->from, sizeof ret->from, "credential_process of the profile");
	if (out.data)
		explicit_bzero(out.data, out.len);
	fl_buf_free(&out);
	return r;
}
