/* SPDX-License-Identifier: Apache-2.0 */
/* Dispatch and flowlog help, from the commands' tables. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "cli/manual.h"
#include "cli/options.h"
#include "cli/sources.h"

enum { EXIT_USAGE = 2 };

/* What fl_cli_main was called with: help speaks about all of them. */
static const struct fl_command *const *table;

static const struct fl_command *find_command(const struct fl_command *const *commands, const char *name)
{
	const char *nearest = NULL;
	unsigned least = 4;

	for (; *commands; commands++) {
		unsigned d = fl_opt_distance(name, (*commands)->name);

		if (d == 0)
			return *commands;
		if (d < least) {
			least = d;
			nearest = (*commands)->name;
		}
	}
#ifndef FL_CAPTURE
	if (!strcmp(name, "run") || !strcmp(name, "demo") || !strcmp(name, "detach")) {
		fprintf(stderr,
			"flowlog: this flowlog was built without live capture (-Dcapture=false): it has no '%s'\n",
			name);
		return NULL;
	}
#endif
	fprintf(stderr, "flowlog: unknown command '%s'; %s%s%s\n", name, nearest ? "did you mean " : "see flowlog help",
		nearest ? nearest : "", nearest ? "?" : "");
	return NULL;
}

static bool wants_help(int argc, char **argv)
{
	for (int i = 0; i < argc && strcmp(argv[i], "--") != 0; i++)
		if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
			return true;
	return false;
}

static int run_command(const struct fl_command *cmd, int argc, char **argv)
{
	void *conf = calloc(1, cmd->conf_size ? cmd->conf_size : 1);
	int r, status;

	if (!conf) {
		fputs("flowlog: out of memory\n", stderr);
		return EXIT_FAILURE;
	}
	r = fl_opt_parse(cmd, conf, &argc, argv);
	if (r == -EBADMSG) {
		fprintf(stderr, "%s\n", fl_error_text(r));
		status = EXIT_FAILURE;
	} else if (r < 0) {
		fprintf(stderr, "flowlog %s: %s\n", cmd->name, fl_error_text(r));
		status = EXIT_USAGE;
	} else {
		status = fl_source_status(cmd->run(conf, argc, argv));
	}
	fl_opt_release(cmd, conf);
	free(conf);
	return status;
}

const char *fl_cli_program(void)
{
	return strchr(program_invocation_name, '/') ? program_invocation_name : "flowlog";
}

int fl_cli_main(const struct fl_command *const *commands, int argc, char **argv)
{
	const struct fl_command *cmd;
	const char *name = argc > 1 ? argv[1] : NULL;

	table = commands;
	if (!name) {
		fl_manual_list(commands, stderr);
		return EXIT_USAGE;
	}
	if (strcmp(name, "--version") == 0) {
		puts("flowlog " FL_VERSION);
		return EXIT_SUCCESS;
	}
	if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0)
		name = "help";
	cmd = find_command(commands, name);
	if (!cmd)
		return EXIT_USAGE;
	if (wants_help(argc - 2, argv + 2)) {
		fl_manual_help(cmd);
		return EXIT_SUCCESS;
	}
	return run_command(cmd, argc - 2, argv + 2);
}

/* ---- flowlog help ---- */

struct help_conf {
	bool man;
	int completion;
};
enum { COMPLETION_NONE, COMPLETION_BASH };

static int help(void *conf, int argc, char **argv)
{
	const struct help_conf *c = conf;
	const struct fl_command *cmd = NULL;

	if (argc > 1) {
		fprintf(stderr, "flowlog help: one command at a time\n");
		return EXIT_USAGE;
	}
	if (argc && !(cmd = find_command(table, argv[0])))
		return EXIT_USAGE;
	if (c->completion == COMPLETION_BASH)
		fl_manual_bash(table);
	else if (c->man && cmd)
		fl_manual_page(cmd);
	else if (c->man)
		fl_manual_overview(table);
	else if (cmd)
		fl_manual_help(cmd);
	else
		fl_manual_list(table, stdout);
	return fflush(stdout) ? EXIT_FAILURE : EXIT_SUCCESS;
}

static const struct fl_option help_options[] = {
    {"man", 0, NULL, FL_OPT_FLAG, NULL, NULL, NULL, "Print the manual page of the command, or of flowlog, in roff.",
     offsetof(struct help_conf, man)},
    {"completion", 0, NULL, FL_OPT_ENUM, "SHELL", "none", "none|bash",
     "Print a script that completes commands and options in a shell.", offsetof(struct help_conf, completion)},
    {0},
};

const struct fl_command fl_cmd_help = {
    .name = "help",
    .summary = "the commands, and the options of one",
    .synopsis = "[OPTION]... [COMMAND]",
    .description = "Without COMMAND lists the commands. Help, manual pages and completion are "
		   "printed from one table, so that they always agree.",
    .options = help_options,
    .conf_size = sizeof(struct help_conf),
    .run = help,
    .examples = "flowlog help --man query | man -l -\n  the manual page, without installing it\n"
		"source <(flowlog help --completion bash)\n  complete options in this shell\n",
};
