/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names for people, from the files that container runtimes and libvirt leave behind: no daemon is
 * asked. Best effort: what cannot be read has no name. root is a prefix for every path ("" in life,
 * a fixture in tests).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FL_NAME_MAX 64

/* The container a process lives in: by its cgroup, then by the runtime's own files. */
bool fl_name_of_process(const char *root, int pid, char ret[FL_NAME_MAX]);
/* The virtual machine that has this tap device. */
bool fl_name_of_tap(const char *root, const char *device, char ret[FL_NAME_MAX]);
/* The container id in a cgroup file's text: 64 hex digits as docker, podman and containerd write
 * them. */
bool fl_container_id(const char *cgroup, char ret[65]);
