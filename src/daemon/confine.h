/* SPDX-License-Identifier: Apache-2.0 */
/* Which files a role may open at all, whatever its capabilities say (Landlock, Linux 5.13). */
#pragma once

#include <stddef.h>

#define FL_CONFINE_UNAVAILABLE 1
/*
 * For good: only what is below these directories (or is one of these files) can be read, and only what is below
 * writable_fd can be written as well. Paths that are not there are left out. FL_CONFINE_UNAVAILABLE: the kernel does
 * not know how; nothing has changed.
 */
int fl_confine_files(const char *const *readable, size_t n, int writable_fd);
