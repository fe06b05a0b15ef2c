/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a role may do. Before its first untrusted byte a role becomes an ordinary user, keeps the
 * capabilities of its row and no more, and can make only the system calls of its row; nothing of
 * that can be undone.
 */
#pragma once

#include <sys/types.h>

enum fl_privilege_role {
	FL_ROLE_METER,                /* maps come as file descriptors */
	FL_ROLE_METER_AFPACKET,       /* opens packet sockets as interfaces appear */
	FL_ROLE_METER_AFPACKET_NETNS, /* the same, also in other network namespaces */
	FL_ROLE_NAMES,                /* reads files of root, those of container runtimes (confine.h says where) */
	FL_ROLE_DELIVER,
	FL_ROLE_VIEW,
	FL_ROLE_N
};

/* For good. Without the right to change the user (a user namespace, no root) the user stays and the
 * rest is done. */
int fl_privilege_drop(enum fl_privilege_role role, uid_t uid, gid_t gid);
