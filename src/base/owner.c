/* SPDX-License-Identifier: Apache-2.0 */
#include "base/owner.h"

#include <errno.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/mem.h"
#include "base/units.h"

static int take_user(const struct passwd *pw, uid_t *ret_uid, gid_t *ret_gid)
{
	*ret_uid = pw->pw_uid;
	*ret_gid = pw->pw_gid;
	return 0;
}

static bool env_id(const char *name, uint64_t *ret)
{
	const char *text = getenv(name);

	return text && !fl_parse_u64(text, 0, UINT32_MAX - 1, ret);
}

/* In a user namespace most users do not exist; there we stay who we are. */
static bool is_mapped(uint64_t id)
{
	FILE *f = fopen("/proc/self/uid_map", "re");
	unsigned long long inside, outside, count;
	bool found = !f;

	while (f && !found && fscanf(f, "%llu %llu %llu", &inside, &outside, &count) == 3)
		found = id >= inside && id - inside < count;
	if (f)
		fclose(f);
	return found;
}

int fl_store_owner(const char *user, const char *store, uid_t *ret_uid, gid_t *ret_gid)
{
	static const char *const system_users[] = {"flowlog", "nobody"};
	const struct passwd *pw;
	uint64_t uid, gid;
	struct stat st;

	*ret_uid = geteuid();
	*ret_gid = getegid();
	if (user && *user) {
		pw = getpwnam(user);
		return pw ? take_user(pw, ret_uid, ret_gid)
			  : fl_fail(-EINVAL, "user \"%s\" does not exist on this machine", user);
	}
	if (*ret_uid)
		return 0;
	if (env_id("SUDO_UID", &uid) && env_id("SUDO_GID", &gid) && uid && is_mapped(uid)) {
		*ret_uid = (uid_t)uid;
		*ret_gid = (gid_t)gid;
		return 0;
	}
	if (!stat(store, &st) && st.st_uid && is_mapped(st.st_uid)) {
		*ret_uid = st.st_uid;
		*ret_gid = st.st_gid;
		return 0;
	}
	for (size_t i = 0; i < FL_ARRAY_LEN(system_users); i++) {
		pw = getpwnam(system_users[i]);
		if (pw && is_mapped(pw->pw_uid))
			return take_user(pw, ret_uid, ret_gid);
	}
	return 0;
}
