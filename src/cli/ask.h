/* SPDX-License-Identifier: Apache-2.0 */
/* Inside the room "cli": commands that are rows of query/questions.def share their options and their way. */
#pragma once

#include "cli/cli.h"
#include "cli/sources.h"
#include "cli/where.h"

struct fl_ask_options {
	struct fl_where_conf where; /* its store is the source's */
	struct fl_source_conf source;
	const char *begun;
	int output, choice, by;
	uint64_t limit, memory, every_ns;
	bool all, provenance;
};

/* Tables of options: #define FL_ASK_AT(member), FL_ASK_FORMS and, when there is a choice of rows, FL_ASK_ROWS; then
 * include cli/ask_options.def and cli/source_options.def. */

uint64_t fl_ask_memory(void); /* bytes that groups may take where nothing is said */
/* choice: name of the question; NULL: the command's first. Operands are sources. Returns the exit status. */
int fl_ask_run(const char *command, const char *choice, const struct fl_ask_options *o, int argc, char **argv);
