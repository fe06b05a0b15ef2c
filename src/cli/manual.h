/* SPDX-License-Identifier: Apache-2.0 */
/* What is printed from the commands' tables: --help, manual pages in roff (man macros), bash
 * completion. */
#pragma once

#include <stdio.h>

#include "cli/cli.h"

void fl_manual_list(const struct fl_command *const *commands, FILE *to);
void fl_manual_help(const struct fl_command *cmd);
void fl_manual_page(const struct fl_command *cmd);                 /* flowlog-NAME(1) */
void fl_manual_overview(const struct fl_command *const *commands); /* flowlog(1) */
void fl_manual_bash(const struct fl_command *const *commands);
