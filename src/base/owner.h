/* SPDX-License-Identifier: Apache-2.0 */
/* Whose files a store's are: the same answer for every command that may be the first to write there. */
#pragma once

#include <sys/types.h>

/*
 * Who owns the store and runs the roles: `user` when given; under sudo who called it; else the
 * owner of a store that exists; for root the user "flowlog" when there is one, else "nobody"; for
 * everyone else themselves.
 */
int fl_store_owner(const char *user, const char *store, uid_t *ret_uid, gid_t *ret_gid);
