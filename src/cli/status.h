/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading status/<role>.json (docs/status.md). The files are other processes' and may be torn by a
 * crash, old or hostile: a ceiling on the size, and members of another type than documented are an
 * error that names them. A member that is missing reads as zero, "" or nothing, so that old and new
 * versions understand each other.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "meter/meter.h"

#define FL_STATUS_FILE_MAX (16u << 20)
#define FL_STATUS_STALE_S 5 /* written each second: older than this, nobody writes it */

struct fl_status_file {
	json_t *root;
	char role[16];
	int error; /* sticky: the first member of a wrong type */
};

/* -ENOENT: there is no such file (nobody has run here). */
int fl_status_read(struct fl_status_file *ret, const char *store, const char *role);
void fl_status_free(struct fl_status_file *s);

uint64_t fl_status_u64(struct fl_status_file *s, const json_t *object, const char *key);
bool fl_status_bool(struct fl_status_file *s, const json_t *object, const char *key);
const char *fl_status_str(struct fl_status_file *s, const json_t *object, const char *key);      /* never NULL */
const json_t *fl_status_object(struct fl_status_file *s, const json_t *object, const char *key); /* NULL when missing */
const json_t *fl_status_array(struct fl_status_file *s, const json_t *object, const char *key);

/* A LEDGER of docs/status.md. */
struct fl_status_ledger {
	uint64_t skbs;
	struct fl_count seen, recorded, excluded, lost, not_ip;
	struct fl_count verdict[FL_VERDICT_N];
	const json_t *rules, *causes;
};
void fl_status_ledger(struct fl_status_file *s, const json_t *object, const char *key, struct fl_status_ledger *ret);
void fl_status_ledger_add(struct fl_status_ledger *sum, const struct fl_status_ledger *l);

int64_t fl_status_age(struct fl_status_file *s); /* seconds since the file was written */

/* Whether the daemon of the store, and the role of this file, run. The store's lock tells: a daemon that cannot write
 * its status (full disk) runs, and one that has just ended does not. A store without a lock that can be read goes by
 * the age. */
bool fl_status_daemon_runs(struct fl_status_file *s, const char *store);
bool fl_status_role_runs(struct fl_status_file *s, const char *store);
