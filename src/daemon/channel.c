/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/error.h"
#include "base/mem.h"
#include "bpf/shared.h"
#include "daemon/daemon.h"

int fl_channel_call(int fd, const struct fl_request *rq)
{
	struct fl_reply reply;
	ssize_t n;

	if (send(fd, rq, sizeof *rq, MSG_NOSIGNAL) != sizeof *rq)
		return fl_fail(-EPIPE, "the supervisor does not answer");
	do
		n = recv(fd, &reply, sizeof reply, 0);
	while (n < 0 && errno == EINTR);
	if (n != sizeof reply)
		return fl_fail(-EPIPE, "the supervisor does not answer");
	if (!reply.result)
		return 0;
	reply.text[sizeof reply.text - 1] = '\0';
	return fl_fail(reply.result < 0 ? reply.result : -EIO, "%s", reply.text);
}

/* The namespace's file by name; the name comes from the unprivileged side and must not leave the directory. */
static int open_netns(const char *name)
{
	char path[64];
	int fd;

	if (!*name)
		return -1;
	if (strchr(name, '/') || !strcmp(name, ".."))
		return fl_fail(-EINVAL, "network namespace \"%s\": not a name below /run/netns", name);
	snprintf(path, sizeof path, "/run/netns/%s", name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? fl_fail(-errno, "network namespace %s: %m", path) : fd;
}

static int do_attach(const struct fl_run *run, const struct fl_request *rq)
{
	int netns FL_CLEANUP(fl_closep) = open_netns(rq->netns);

	if (netns < -1)
		return netns;
	return run->ops->attach(run->privileged, rq->slot, rq->ifindex, rq->arphrd, netns);
}

static int do_detach(const struct fl_run *run, const struct fl_request *rq)
{
	return run->ops->detach(run->privileged, rq->slot);
}

/* All that the privileged process does on request. */
static int (*const requests[FL_REQUEST_N])(const struct fl_run *, const struct fl_request *) = {
	[FL_REQUEST_ATTACH] = do_attach,
	[FL_REQUEST_DETACH] = do_detach,
};

int fl_channel_answer(int fd, const struct fl_run *run)
{
	struct fl_request rq;
	struct fl_reply reply = {0};
	ssize_t n = recv(fd, &rq, sizeof rq, MSG_DONTWAIT);

	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : 1;
	if (!n)
		return 1;
	rq.netns[sizeof rq.netns - 1] = '\0';
	if (n != sizeof rq || rq.op >= FL_REQUEST_N || rq.slot >= FL_K_SLOTS || !run->privileged)
		reply.result = fl_fail(-EINVAL, "the supervisor does not know this request");
	else
		reply.result = requests[rq.op](run, &rq);
	if (reply.result)
		snprintf(reply.text, sizeof reply.text, "%s", fl_error_text(reply.result));
	return send(fd, &reply, sizeof reply, MSG_NOSIGNAL) == sizeof reply ? 0 : 1;
}
