/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who an interface belongs to, from the files that container runtimes, CNI and libvirt leave behind: no daemon is
 * asked. Best effort: what cannot be read has no name. root is a prefix for every path ("" in life, a fixture in
 * tests). Everything read here was written by others, some of it by ordinary users: files are regular, links in the
 * last place are not followed, and all sizes and numbers have ceilings.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "inventory/inventory.h"

#define FL_NAME_MAX 64 /* as fl_eni.name */
#define FL_CONTAINER_ID_MAX 128

struct fl_who {
	char name[FL_NAME_MAX], kind[16]; /* kind "container" or "vm" */
	bool sandbox;                     /* of a pod: its name is the pod's, and this container holds the network */
	struct fl_label_buf labels;
	char path[512]; /* the file that said so; "": none */
	uint64_t stamp; /* what the file looked like then (fl_who_stamp) */
};

struct fl_cgroup {
	char id[FL_CONTAINER_ID_MAX]; /* of a container: 64 hex digits, or a name below a containerd namespace */
	char space[64];               /* that namespace; "" */
	char machine[FL_NAME_MAX];    /* of systemd-machined, LXC or Incus */
	bool vm;                      /* that is a virtual machine */
	int32_t uid;                  /* whose login it is in; -1: nobody's */
};
bool fl_cgroup_parse(const char *text, size_t n, struct fl_cgroup *ret);

/* ---- where to look ---- */

/* What the cgroup of a process says of where it lives: false: on the host itself. */
bool fl_cgroup_of_process(const char *root, int pid, struct fl_cgroup *ret);
/* The container or machine of a cgroup, by the runtime's own files. */
bool fl_who_of_cgroup(const char *root, const struct fl_cgroup *c, struct fl_who *ret);
/* The virtual machine or the pod that has this device of the host's; mac: of the device, 6 bytes. */
bool fl_who_of_device(const char *root, const char *device, const uint8_t *mac, struct fl_who *ret);
/* The container that CNI's host-local IPAM gave this address. */
bool fl_who_of_address(const char *root, const struct fl_addr *v4, struct fl_who *ret);
/* A number that changes with the file; 0: it is gone. */
uint64_t fl_who_stamp(const struct fl_who *who);

/* ---- what stands there: pure ---- */

enum fl_names_file {
	FL_NAMES_DOCKER,  /* config.v2.json */
	FL_NAMES_PODMAN,  /* containers.json; wanted: the container's id */
	FL_NAMES_OCI,     /* config.json of a bundle: containerd, CRI-O, Podman */
	FL_NAMES_CNI,     /* cached result of CNI; wanted: the device of the host's, or NULL */
	FL_NAMES_LIBVIRT, /* status or configuration of a domain; wanted: the device, mac: of the device or NULL */
	FL_NAMES_N
};
/* Adds to what ret has: labels that are there stay, the name of a pod wins over another. false: nothing of use. */
bool fl_names_parse(enum fl_names_file file, const char *text, size_t n, const char *wanted, const uint8_t *mac,
		    struct fl_who *ret);
bool fl_names_parse_domain(const char *text, size_t n, const char *device, const uint8_t *mac, struct fl_who *ret);
/* The container id in a cached result of CNI. */
bool fl_names_cni_id(const char *text, size_t n, const char *device, char ret[FL_CONTAINER_ID_MAX]);
bool fl_container_id_is_good(const char *id); /* may be part of a path */
/* Names end up on terminals and in logs: printable, well-formed, cut at a character. */
void fl_name_copy(const char *p, size_t n, char ret[FL_NAME_MAX]);
