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

/* The name comes from the unprivileged side: it must be one of those that the configuration names.
 */
int fl_run_open_netns(const struct fl_run *run, const char *name)
{
	if (!*name)
		return -1;
	for (const char *const *n = run->discovery.netns; n && *n; n++) {
		const char *base = strrchr(*n, '/');
		char path[4096];
		int fd;

		/* An interface carries no more of the name than it has room for. */
		if (strncmp(base ? base + 1 : *n, name, sizeof((struct fl_eni *)NULL)->netns - 1))
			continue;
		snprintf(path, sizeof path, "%s%s", base ? "" : "/run/netns/", *n);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		return fd < 0 ? fl_fail(errno == EPERM ? -EACCES : -errno, "network namespace %s: %m", path) : fd;
	}
	return fl_fail(-ENOENT, "network namespace \"%s\" is not followed", name);
}

static int do_attach(const struct fl_run *run, const struct fl_request *rq)
{
	int netns FL_CLEANUP(fl_closep) = fl_run_open_netns(run, rq->netns);

	if (netns < -1)
		return netns;
	return run->ops->attach(run->privileged, rq->slot, rq->ifindex, rq->arphrd, netns);
}

static int do_other_end(const struct fl_run *run, const struct fl_request *rq)
{
	int netns FL_CLEANUP(fl_closep) = fl_run_open_netns(run, rq->netns);

	return netns < -1 ? netns : run->ops->other_end(run->privileged, rq->slot, rq->ifindex, netns);
}

static int do_detach(const struct fl_run *run, const struct fl_request *rq)
{
	return run->ops->detach(run->privileged, rq->slot);
}

static int do_ready(const struct fl_run *run, const struct fl_request *rq)
{
	return 0;
}

/* All that the privileged process does on request. */
static int (*const requests[FL_REQUEST_N])(const struct fl_run *, const struct fl_request *) = {
    [FL_REQUEST_ATTACH] = do_attach,
    [FL_REQUEST_OTHER_END] = do_other_end,
    [FL_REQUEST_DETACH] = do_detach,
    [FL_REQUEST_READY] = do_ready,
};

int fl_channel_answer(int fd, const struct fl_run *run, bool stopping)
{
	struct fl_request rq;
	struct fl_reply reply = {0};
	ssize_t n = recv(fd, &rq, sizeof rq, MSG_DONTWAIT);

	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : FL_CHANNEL_GONE;
	if (!n)
		return FL_CHANNEL_GONE;
	rq.netns[sizeof rq.netns - 1] = '\0';
	if (n != sizeof rq || rq.op >= FL_REQUEST_N || rq.slot >= FL_K_SLOTS ||
	    (!run->privileged && rq.op != FL_REQUEST_READY))
		reply.result = fl_fail(-EINVAL, "the supervisor does not know this request");
	else if (stopping && rq.op == FL_REQUEST_ATTACH)
		reply.result = -ENODEV; /* as if the interface had just gone */
	else
		reply.result = requests[rq.op](run, &rq);
	if (reply.result)
		snprintf(reply.text, sizeof reply.text, "%s", fl_error_text(reply.result));
	if (send(fd, &reply, sizeof reply, MSG_NOSIGNAL) != sizeof reply)
		return FL_CHANNEL_GONE;
	return n == sizeof rq && rq.op == FL_REQUEST_READY ? FL_CHANNEL_READY : 0;
}
