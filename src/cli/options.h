/* SPDX-License-Identifier: Apache-2.0 */
/* A command's options, read from its table: default < configuration file < environment < command line. */
#pragma once

#include "cli/cli.h"

/* Fill conf (zeroed, cmd->conf_size bytes). Operands move to the front of argv in their order,
 * *argc becomes their number. -EINVAL with a sentence for a usage error, -EBADMSG with
 * "file:line: message" for the configuration file, -ENOMEM. */
int fl_opt_parse(const struct fl_command *cmd, void *conf, int *argc, char **argv);
/* Free the lists that fl_opt_parse made. */
void fl_opt_release(const struct fl_command *cmd, void *conf);

/* "journal.max_size" -> "FL_JOURNAL_MAX_SIZE". ret must hold FL_OPT_ENV_MAX bytes. */
#define FL_OPT_ENV_MAX 64
const char *fl_opt_env_name(const char *key, char ret[FL_OPT_ENV_MAX]);

/* Edits between two names, for "did you mean"; names over 63 bytes are cut. */
unsigned fl_opt_distance(const char *a, const char *b);
