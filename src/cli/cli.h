/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Face of "cli": the table of commands and their options, from which --help, manual pages, shell completion, the
 * environment names and the configuration file's keys all come. One file a command (cmd_<name>.c).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum fl_opt_type {
	FL_OPT_FLAG,
	FL_OPT_STRING,
	FL_OPT_U64,
	FL_OPT_DURATION,
	FL_OPT_SIZE,
	FL_OPT_ENUM,
	FL_OPT_LIST /* repeatable */,
	FL_OPT_CONFIG /* the configuration file: cli/config.h */
};

struct fl_option {
	const char *name; /* long option without dashes */
	char letter;      /* 0: none */
	const char *
	    key; /* configuration key ("journal.max_size"); NULL: command line only. Environment: FL_JOURNAL_MAX_SIZE */
	uint8_t type;
	const char *arg;     /* placeholder in help: "SIZE" */
	const char *deflt;   /* as text, also printed; NULL: none */
	const char *choices; /* ENUM: "text|json|csv" */
	const char *help;    /* one sentence */
	size_t offset;       /* in the command's options struct (see fl_opt_parse) */
};

struct fl_command {
	const char *name, *summary, *synopsis, *description; /* description: paragraphs for the manual page */
	const struct fl_option *options;                     /* ends with name NULL */
	size_t conf_size;                                    /* of the options struct */
	int (*run)(void *conf, int argc, char **argv);       /* remaining operands; returns the exit status */
	const char *examples;                                /* lines "command\n  what it does" for help and manual */
};

/* Strings point into argv, the environment or the configuration; lists are NULL-terminated arrays.
 * Offsets point to: bool, const char *, uint64_t, uint64_t (ns), uint64_t (bytes), int (index of the choice), const
 * char *const *, struct fl_config * (NULL: no file). */

#define FL_STORE_DEFAULT "./flowlog-data"

/* How this program was called ("build/flowlog", "flowlog"): for what is to be typed next. */
const char *fl_cli_program(void);

/* Dispatch: returns the exit status. commands ends with name NULL; `run` comes from daemon/. */
int fl_cli_main(const struct fl_command *const *commands, int argc, char **argv);

extern const struct fl_command fl_cmd_convert, fl_cmd_meter, fl_cmd_query, fl_cmd_tail, fl_cmd_top, fl_cmd_audit,
    fl_cmd_interfaces, fl_cmd_status, fl_cmd_why, fl_cmd_whatif, fl_cmd_suggest, fl_cmd_detach, fl_cmd_demo,
    fl_cmd_fields, fl_cmd_inventory, fl_cmd_rejects, fl_cmd_ports, fl_cmd_series, fl_cmd_talks, fl_cmd_conversations,
    fl_cmd_external, fl_cmd_summary, fl_cmd_help;

/* The live view of the open window, drawn from status/meter.json: used by run and top --live. */
struct fl_view;
int fl_view_new(struct fl_view **ret, const char *state_dir, const char *shown,
		int out_fd); /* shown: the directory as one would type it */
void fl_view_free(struct fl_view **v);
void fl_view_plain(struct fl_view *v); /* plain lines even on a terminal */
int fl_view_draw(struct fl_view *v);   /* one frame; adapts to the terminal's size */
