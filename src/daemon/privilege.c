/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/privilege.h"

#include <cap-ng.h>
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/mem.h"
#include "base/units.h"

#define BIT(role) (1u << (role))
#define EBPF BIT(FL_ROLE_METER)
#define AFPACKET (BIT(FL_ROLE_METER_AFPACKET) | BIT(FL_ROLE_METER_AFPACKET_NETNS))
#define NETNS BIT(FL_ROLE_METER_AFPACKET_NETNS)
#define METER (EBPF | AFPACKET)
#define NAMES BIT(FL_ROLE_NAMES)
#define DELIVER BIT(FL_ROLE_DELIVER)
#define VIEW BIT(FL_ROLE_VIEW)
#define WRITERS (METER | NAMES | DELIVER)
#define ALL (WRITERS | VIEW)

/* ---- capabilities ---- */

static const struct {
	unsigned roles;
	unsigned capability;
} capabilities[] = {
    {AFPACKET, CAP_NET_RAW},
    {NETNS, CAP_SYS_ADMIN}, /* setns(2) */
    {NAMES, CAP_DAC_READ_SEARCH},
};

/* ---- system calls: a row is allowed to the roles it names; whatever has no row answers EPERM ----
 */

#define CALL(roles, name)                                                                                              \
	{                                                                                                              \
		roles, SCMP_SYS(name), 0,                                                                              \
		{                                                                                                      \
			{                                                                                              \
				0                                                                                      \
			}                                                                                              \
		}                                                                                                      \
	}
#define CALL_IF(roles, name, ...)                                                                                      \
	{                                                                                                              \
		roles, SCMP_SYS(name), 1,                                                                              \
		{                                                                                                      \
			__VA_ARGS__                                                                                    \
		}                                                                                                      \
	}
#define FAMILY(roles, domain) CALL_IF(roles, socket, SCMP_A0(SCMP_CMP_EQ, domain))
#define NOT_EXECUTABLE SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0)

static const struct {
	unsigned roles;
	int call;
	unsigned n;
	struct scmp_arg_cmp arg[1];
} calls[] = {
    /* files: only below descriptors and paths that the user may open */
    CALL(ALL, read),
    CALL(ALL, write),
    CALL(ALL, readv),
    CALL(ALL, writev),
    CALL(ALL, pread64),
    CALL(ALL, pwrite64),
    CALL(ALL, preadv),
    CALL(ALL, pwritev),
    CALL(ALL, pwritev2),
    CALL(ALL, close),
    CALL(ALL, open),
    CALL(ALL, openat),
    CALL(ALL, fstat),
    CALL(ALL, stat),
    CALL(ALL, lstat),
    CALL(ALL, newfstatat),
    CALL(ALL, statx),
    CALL(ALL, statfs),
    CALL(ALL, fstatfs),
    CALL(ALL, lseek),
    CALL(ALL, access),
    CALL(ALL, faccessat),
    CALL(ALL, faccessat2),
    CALL(ALL, readlink),
    CALL(ALL, readlinkat),
    CALL(ALL, getdents64),
    CALL(ALL, fcntl),
    CALL(ALL, dup),
    CALL(ALL, dup2),
    CALL(ALL, dup3),
    CALL(ALL, pipe2),
    CALL(ALL, fadvise64),
    CALL(ALL, getcwd),
    CALL(ALL, ioctl),
    CALL(ALL, umask),
    CALL(WRITERS, mkdir),
    CALL(WRITERS, mkdirat),
    CALL(WRITERS, unlink),
    CALL(WRITERS, unlinkat),
    CALL(WRITERS, rmdir),
    CALL(WRITERS, rename),
    CALL(WRITERS, renameat),
    CALL(WRITERS, renameat2),
    CALL(WRITERS, link),
    CALL(WRITERS, linkat),
    CALL(WRITERS, ftruncate),
    CALL(WRITERS, fallocate),
    CALL(WRITERS, fsync),
    CALL(WRITERS, fdatasync),
    CALL(WRITERS, sync_file_range),
    CALL(WRITERS, flock),
    CALL(WRITERS, fchmod),
    CALL(WRITERS, utimensat),
    /* memory: nothing becomes executable */
    CALL_IF(ALL, mmap, NOT_EXECUTABLE),
    CALL_IF(ALL, mprotect, NOT_EXECUTABLE),
    CALL(ALL, munmap),
    CALL(ALL, mremap),
    CALL(ALL, madvise),
    CALL(ALL, msync),
    CALL(ALL, brk),
    /* time and events */
    CALL(ALL, epoll_create1),
    CALL(ALL, epoll_ctl),
    CALL(ALL, epoll_wait),
    CALL(ALL, epoll_pwait),
    CALL(ALL, epoll_pwait2),
    CALL(ALL, poll),
    CALL(ALL, ppoll),
    CALL(ALL, select),
    CALL(ALL, pselect6),
    CALL(ALL, timerfd_create),
    CALL(ALL, timerfd_settime),
    CALL(ALL, signalfd4),
    CALL(ALL, eventfd2),
    CALL(ALL, clock_gettime),
    CALL(ALL, clock_getres),
    CALL(ALL, clock_nanosleep),
    CALL(ALL, nanosleep),
    CALL(ALL, gettimeofday),
    CALL(ALL, time),
    CALL(ALL, futex),
    CALL(ALL, rt_sigaction),
    CALL(ALL, rt_sigprocmask),
    CALL(ALL, rt_sigreturn),
    CALL(ALL, rt_sigtimedwait),
    CALL(ALL, sigaltstack),
    CALL(ALL, restart_syscall),
    /* itself; threads but no processes */
    CALL(ALL, getpid),
    CALL(ALL, getppid),
    CALL(ALL, gettid),
    CALL(ALL, getuid),
    CALL(ALL, geteuid),
    CALL(ALL, getgid),
    CALL(ALL, getegid),
    CALL(ALL, getrandom),
    CALL(ALL, getrusage),
    CALL(ALL, prlimit64),
    CALL(ALL, sysinfo),
    CALL(ALL, uname),
    CALL(ALL, getcpu),
    CALL(ALL, sched_yield),
    CALL(ALL, sched_getaffinity),
    CALL(ALL, set_robust_list),
    CALL(ALL, rseq),
    CALL(ALL, membarrier),
    CALL(ALL, set_tid_address),
    CALL(ALL, tgkill),
    CALL(ALL, exit),
    CALL(ALL, exit_group),
    CALL_IF(ALL, clone, SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD)),
    /* sockets that are open already: rtnetlink and the supervisor's channel */
    CALL(METER | NAMES, sendto),
    CALL(METER | NAMES, recvfrom),
    CALL(METER | NAMES, sendmsg),
    CALL(METER | NAMES, recvmsg),
    CALL(METER | NAMES, getsockname),
    CALL(METER, getsockopt),
    CALL(METER, setsockopt),
    CALL(EBPF, bpf),
    FAMILY(AFPACKET, AF_PACKET),
    FAMILY(AFPACKET, AF_UNIX),
    FAMILY(AFPACKET, AF_INET),
    CALL(AFPACKET, bind),
    CALL(NETNS, setns),
    /* destinations: connections out, nobody comes in */
    FAMILY(DELIVER, AF_INET),
    FAMILY(DELIVER, AF_INET6),
    FAMILY(DELIVER, AF_UNIX),
    CALL(DELIVER, connect),
    CALL(DELIVER, sendto),
    CALL(DELIVER, recvfrom),
    CALL(DELIVER, sendmsg),
    CALL(DELIVER, recvmsg),
    CALL(DELIVER, sendmmsg),
    CALL(DELIVER, getsockname),
    CALL(DELIVER, getpeername),
    CALL(DELIVER, getsockopt),
    CALL(DELIVER, setsockopt),
    CALL(DELIVER, shutdown),
};

static int load_filter(unsigned role)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	int r = filter ? 0 : -ENOMEM;

	for (size_t i = 0; !r && i < FL_ARRAY_LEN(calls); i++)
		if (calls[i].roles & BIT(role)) {
			r = seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, calls[i].call, calls[i].n, calls[i].arg);
			/* Some architectures never had the older calls. */
			if (r == -EDOM || r == -EINVAL)
				r = 0;
		}
	/* The C library falls back to clone, whose flags a filter can read. */
	if (!r)
		r = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
	if (!r)
		r = seccomp_load(filter);
	seccomp_release(filter);
	return r ? fl_fail(r, "the system call filter cannot be loaded: %s", strerror(-r)) : 0;
}

static int drop_capabilities(unsigned role, uid_t uid, gid_t gid)
{
	bool change = uid != geteuid() || gid != getegid();
	bool may;

	capng_get_caps_process();
	may = capng_have_capability(CAPNG_EFFECTIVE, CAP_SETUID);
	if (change && !may)
		change = false;
	capng_clear(CAPNG_SELECT_BOTH);
	for (size_t i = 0; i < FL_ARRAY_LEN(capabilities); i++)
		if (capabilities[i].roles & BIT(role))
			capng_update(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED, capabilities[i].capability);
	if (change) {
		int r = capng_change_id((int)uid, (int)gid, CAPNG_DROP_SUPP_GRP | CAPNG_CLEAR_BOUNDING);

		return r ? fl_fail(-EPERM, "becoming user %u, group %u failed (step %d)", uid, gid, -r) : 0;
	}
	/* Staying root, without its powers and groups. A user namespace may refuse the groups; they
	 * carry no right there. */
	if (may && setgroups(0, NULL) && errno != EPERM)
		return fl_fail(-errno, "supplementary groups cannot be dropped: %m");
	if (capng_apply(CAPNG_SELECT_CAPS))
		return fl_fail(-EPERM, "capabilities cannot be dropped");
	return 0;
}

int fl_privilege_drop(enum fl_privilege_role role, uid_t uid, gid_t gid)
{
	pid_t parent = getppid();
	int r = drop_capabilities(role, uid, gid);

	if (r)
		return r;
	/* A role does not outlive its supervisor. The kernel forgets that wish with every change of
	 * credentials. */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) || getppid() != parent)
		return fl_fail(-ESRCH, "the supervisor is gone");
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return fl_fail(-errno, "no_new_privs: %m");
	/* Other processes of the same user cannot attach to it: deliver holds credentials, the
	 * meter everybody's traffic. */
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0))
		return fl_fail(-errno, "PR_SET_DUMPABLE: %m");
	return load_filter(role);
}
