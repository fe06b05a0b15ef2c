/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Face of "daemon": one supervisor and its roles. The supervisor holds the privilege to attach and
 * answers a table of requests; it parses nothing from outside. Every other role drops to an
 * unprivileged user before its first untrusted byte.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "capture/capture.h"
#include "cli/cli.h"
#include "deliver/deliver.h"
#include "inventory/inventory.h"

extern const struct fl_command fl_cmd_run;

/* What the roles need to know; filled by cmd_run.c from the configuration. Strings are the
 * caller's. */
struct fl_run {
	const char *store; /* as given, for messages */
	int statefd, shmfd;
	uid_t uid;
	gid_t gid;
	struct fl_discovery_conf discovery;
	struct fl_live_conf live;
	const struct fl_live_ops *ops;
	struct fl_live *privileged; /* the supervisor's side; NULL when the meter opens its sockets itself */
	bool reused;                /* the backend went on counting while no meter was there */
	bool quiet;                 /* the live view has the terminal: only warnings are logged */
	const char *fallback_reason;
	bool translations;     /* some flow log has pkt-srcaddr or pkt-dstaddr */
	bool verdicts;         /* the kernel tells what its packet filter drops */
	char no_verdicts[192]; /* else why not */
	uint64_t memory_limit, journal_bytes;
	uint32_t exclusions;
	bool exclusions_given; /* else those of AWS hold for interfaces of an inventory */
	const char *inventory; /* directory; NULL: the store's current import */
	const struct fl_flow_log *logs;
	size_t n_logs;
};

/* ---- requests of the meter to the supervisor, over a SOCK_SEQPACKET pair ---- */
enum fl_request_op { FL_REQUEST_ATTACH, FL_REQUEST_OTHER_END, FL_REQUEST_DETACH, FL_REQUEST_READY, FL_REQUEST_N };
struct fl_request {
	uint32_t op;
	uint16_t slot, arphrd;
	uint32_t ifindex;
	char netns[32]; /* empty: ours */
};
struct fl_reply {
	int32_t result;
	char text[252];
};
int fl_channel_call(int fd, const struct fl_request *rq); /* meter: 0 or the supervisor's error, with its sentence */
/* Supervisor: one request. stopping: attach nothing any more. */
#define FL_CHANNEL_GONE 1
#define FL_CHANNEL_READY 2 /* the meter meters */
int fl_channel_answer(int fd, const struct fl_run *run, bool stopping);
/* A followed namespace by the name its interfaces carry; -1: ours. -ENOENT: not one that is
 * followed. */
int fl_run_open_netns(const struct fl_run *run, const char *name);

/* Bodies of the roles: called in the forked child, return its exit status. */
int fl_role_meter(const struct fl_run *run, int channel);
int fl_role_names(const struct fl_run *run);
/* Becomes an ordinary user who may read the files that names come from, and write the store. */
int fl_names_drop(const struct fl_run *run);
int fl_role_deliver(const struct fl_run *run);

/* Runs until SIGTERM or SIGINT; exit status. view: draw the live view on the terminal. */
int fl_supervise(struct fl_run *run, bool view);
