/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/error.h"
#include "base/mem.h"

#define READ_FILES LANDLOCK_ACCESS_FS_READ_FILE
#define READ_ALL (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
#define WRITE_ALL                                                                                                      \
	(READ_ALL | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE |   \
	 LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG)
/* What the first version of Landlock knows. */
#define HANDLED                                                                                                        \
	(WRITE_ALL | LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_MAKE_CHAR | LANDLOCK_ACCESS_FS_MAKE_SOCK |        \
	 LANDLOCK_ACCESS_FS_MAKE_FIFO | LANDLOCK_ACCESS_FS_MAKE_BLOCK | LANDLOCK_ACCESS_FS_MAKE_SYM)

static int allow(int rules, int fd, uint64_t what)
{
	struct landlock_path_beneath_attr beneath = {.allowed_access = what, .parent_fd = fd};
	struct stat st;

	if (fstat(fd, &st))
		return -errno;
	if (!S_ISDIR(st.st_mode))
		beneath.allowed_access &= READ_FILES;
	return syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &beneath, 0) ? -errno : 0;
}

int fl_confine_files(const char *const *readable, size_t n, int writable_fd)
{
	const struct landlock_ruleset_attr handled = {.handled_access_fs = HANDLED};
	int rules FL_CLEANUP(fl_closep) =
	    (int)syscall(SYS_landlock_create_ruleset, &handled, sizeof handled.handled_access_fs, 0);
	int r = 0;

	if (rules < 0)
		return errno == ENOSYS || errno == EOPNOTSUPP ? FL_CONFINE_UNAVAILABLE
							      : fl_fail(-errno, "Landlock refuses its rules: %m");
	for (size_t i = 0; i < n && !r; i++) {
		int fd FL_CLEANUP(fl_closep) = open(readable[i], O_PATH | O_CLOEXEC);

		if (fd >= 0)
			r = allow(rules, fd, READ_ALL);
	}
	if (!r)
		r = allow(rules, writable_fd, WRITE_ALL);
	if (!r && (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || syscall(SYS_landlock_restrict_self, rules, 0)))
		r = -errno;
	return r ? fl_fail(r, "the files of this process cannot be confined: %m") : 0;
}
