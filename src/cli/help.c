/* SPDX-License-Identifier: Apache-2.0 */
/* Dispatch and --help, from the commands' tables. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "cli/options.h"

enum { EXIT_USAGE = 2 };

static void print_commands(const struct fl_command *const *commands, FILE *to)
{
	fputs("Usage: flowlog COMMAND [OPTION]... [OPERAND]...\n\nCommands:\n", to);
	for (; *commands; commands++)
		fprintf(to, "  %-12s %s\n", (*commands)->name, (*commands)->summary);
	fputs("\n'flowlog COMMAND --help' shows its options.\n", to);
}

static void print_help(const struct fl_command *cmd)
{
	char env[FL_OPT_ENV_MAX];

	printf("Usage: flowlog %s\n\n%s\n\nOptions:\n", cmd->synopsis, cmd->summary);
	for (const struct fl_option *o = cmd->options; o && o->name; o++) {
		printf(o->letter ? "  -%c, " : "      ", o->letter);
		printf("--%s%s%s\n          %s", o->name, o->arg ? " " : "", o->arg ? o->arg : "",
		       o->help);
		if (o->choices)
			printf(" One of %s.", o->choices);
		if (o->deflt)
			printf(" Default: %s.", o->deflt);
		if (o->key)
			printf(" Environment: %s.", fl_opt_env_name(o->key, env));
		putchar('\n');
	}
	if (cmd->examples)
		printf("\nExamples:\n%s\n", cmd->examples);
}

static const struct fl_command *find_command(const struct fl_command *const *commands,
					     const char *name)
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
	fprintf(stderr, "flowlog: unknown command '%s'; %s%s\n", name,
		nearest ? "did you mean " : "see flowlog help", nearest ? nearest : "");
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
		status = cmd->run(conf, argc, argv);
	}
	fl_opt_release(cmd, conf);
	free(conf);
	return status;
}

int fl_cli_main(const struct fl_command *const *commands, int argc, char **argv)
{
	const struct fl_command *cmd;
	const char *name = argc > 1 ? argv[1] : NULL;

	if (!name) {
		print_commands(commands, stderr);
		return EXIT_USAGE;
	}
	if (strcmp(name, "--version") == 0) {
		puts("flowlog " FL_VERSION);
		return EXIT_SUCCESS;
	}
	if (strcmp(name, "help") == 0 || strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0) {
		if (argc < 3) {
			print_commands(commands, stdout);
			return EXIT_SUCCESS;
		}
		cmd = find_command(commands, argv[2]);
		if (!cmd)
			return EXIT_USAGE;
		print_help(cmd);
		return EXIT_SUCCESS;
	}
	cmd = find_command(commands, name);
	if (!cmd)
		return EXIT_USAGE;
	if (wants_help(argc - 2, argv + 2)) {
		print_help(cmd);
		return EXIT_SUCCESS;
	}
	return run_command(cmd, argc - 2, argv + 2);
}
