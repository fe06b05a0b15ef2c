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

#define FL_ASK_AT(conf, member) offsetof(conf, ask.member)
/* conf: a struct with a member "ask". */
#define FL_ASK_FILTERS(conf)                                                                                           \
	{"since",                                                                                                      \
	 0,                                                                                                            \
	 NULL,                                                                                                         \
	 FL_OPT_STRING,                                                                                                \
	 "TIME",                                                                                                       \
	 NULL,                                                                                                         \
	 NULL,                                                                                                         \
	 "Only records that reach beyond this time: 2026-11-20T00:00:00Z, 2026-11-20, seconds since 1970, or how "     \
	 "long "                                                                                                       \
	 "before the newest record (1h, 2d); of a store whose daemon runs, before now.",                               \
	 FL_ASK_AT(conf, where.since)},                                                                                \
	    {"until",                                                                                                  \
	     0,                                                                                                        \
	     NULL,                                                                                                     \
	     FL_OPT_STRING,                                                                                            \
	     "TIME",                                                                                                   \
	     NULL,                                                                                                     \
	     NULL,                                                                                                     \
	     "Only records that began before this time.",                                                              \
	     FL_ASK_AT(conf, where.until)},                                                                            \
	    {"eni",                                                                                                    \
	     0,                                                                                                        \
	     NULL,                                                                                                     \
	     FL_OPT_LIST,                                                                                              \
	     "ENI",                                                                                                    \
	     NULL,                                                                                                     \
	     NULL,                                                                                                     \
	     "Only this interface: its id, or a name that the inventory has. Given several times: any of them; so "    \
	     "with "                                                                                                   \
	     "the following.",                                                                                         \
	     FL_ASK_AT(conf, where.eni)},                                                                              \
	    {"vpc",                                                                                                    \
	     0,                                                                                                        \
	     NULL,                                                                                                     \
	     FL_OPT_LIST,                                                                                              \
	     "VPC",                                                                                                    \
	     NULL,                                                                                                     \
	     NULL,                                                                                                     \
	     "Only this VPC, by id or name.",                                                                          \
	     FL_ASK_AT(conf, where.vpc)},                                                                              \
	    {"subnet",                                                                                                 \
	     0,                                                                                                        \
	     NULL,                                                                                                     \
	     FL_OPT_LIST,                                                                                              \
	     "SUBNET",                                                                                                 \
	     NULL,                                                                                                     \
	     NULL,                                                                                                     \
	     "Only this subnet, by id or name.",                                                                       \
	     FL_ASK_AT(conf, where.subnet)},                                                                           \
	    {"instance",                                                                                               \
	     0,                                                                                                        \
	     NULL,                                                                                                     \
	     FL_OPT_LIST,                                                                                              \
	     "INSTANCE",                                                                                               \
	     NULL,                                                                                                     \
	     NULL,                                                                                                     \
	     "Only this instance, by id or name.",                                                                     \
	     FL_ASK_AT(conf, where.instance)},                                                                         \
	    {"src",                                                                                                    \
	     0,                                                                                                        \
	     NULL,                                                                                                     \
	     FL_OPT_LIST,                                                                                              \
	     "ADDRESS",                                                                                                \
	     NULL,                                                                                                     \
	     NULL,                                                                                                     \
	     "Only from this address, network (10.0.0.0/8) or name.",                                                  \
	     FL_ASK_AT(conf, where.src)},                                                                              \
	    {"dst",                                                                                                    \
	     0,                                                                                                        \
	     NULL,                                                                                                     \
	     FL_OPT_LIST,                                                                                              \
	     "ADDRESS",                                                                                                \
	     NULL,                                                                                                     \
	     NULL,                                                                                                     \
	     "Only to this address, network or name.",                                                                 \
	     FL_ASK_AT(conf, where.dst)},                                                                              \
	    {"port",                                                                                                   \
	     0,                                                                                                        \
	     NULL,                                                                                                     \
	     FL_OPT_LIST,                                                                                              \
	     "PORT",                                                                                                   \
	     NULL,                                                                                                     \
	     NULL,                                                                                                     \
	     "Only with this source or destination port, as a number or a service (ssh).",                             \
	     FL_ASK_AT(conf, where.port)},                                                                             \
	    {"protocol",                                                                                               \
	     0,                                                                                                        \
	     NULL,                                                                                                     \
	     FL_OPT_LIST,                                                                                              \
	     "PROTOCOL",                                                                                               \
	     NULL,                                                                                                     \
	     NULL,                                                                                                     \
	     "Only this protocol, by name or number.",                                                                 \
	     FL_ASK_AT(conf, where.protocol)},                                                                         \
	    {"action",                                                                                                 \
	     0,                                                                                                        \
	     NULL,                                                                                                     \
	     FL_OPT_ENUM,                                                                                              \
	     "ACTION",                                                                                                 \
	     "any",                                                                                                    \
	     "any|ACCEPT|REJECT",                                                                                      \
	     "Only records with this action.",                                                                         \
	     FL_ASK_AT(conf, where.action)},                                                                           \
	    {"where",                                                                                                  \
	     'w',                                                                                                      \
	     NULL,                                                                                                     \
	     FL_OPT_LIST,                                                                                              \
	     "WORDS",                                                                                                  \
	     NULL,                                                                                                     \
	     NULL,                                                                                                     \
	     "Only records that these words describe, after tcpdump: 'host 10.0.0.1 and (port ssh or 443) and not "    \
	     "accept', 'src private and dst public and bytes > 1m', 'dst net 10.0.0.0/8 and tcp_flags = 2'. not "      \
	     "binds "                                                                                                  \
	     "before and, and before or. Given several times: all of them.",                                           \
	     FL_ASK_AT(conf, where.words)},                                                                            \
	{                                                                                                              \
		"inventory", 0, "inventory", FL_OPT_STRING, "DIR", NULL, NULL,                                         \
		    "Names of addresses and interfaces (describe output of the AWS CLI); without it the store's "      \
		    "newest import.",                                                                                  \
		    FL_ASK_AT(conf, where.inventory)                                                                   \
	}
#define FL_ASK_OUTPUT(conf, forms)                                                                                     \
	{"output",                                                                                                     \
	 'o',                                                                                                          \
	 NULL,                                                                                                         \
	 FL_OPT_ENUM,                                                                                                  \
	 "FORM",                                                                                                       \
	 "table",                                                                                                      \
	 forms,                                                                                                        \
	 "Form of the answer: a table has units and names, the others are exact (times in seconds since 1970); json "  \
	 "is "                                                                                                         \
	 "one object a line.",                                                                                         \
	 FL_ASK_AT(conf, output)},                                                                                     \
	    {"memory",                                                                                                 \
	     0,                                                                                                        \
	     NULL,                                                                                                     \
	     FL_OPT_SIZE,                                                                                              \
	     "SIZE",                                                                                                   \
	     "1GiB",                                                                                                   \
	     NULL,                                                                                                     \
	     "Memory for groups; 0: a quarter of the machine's, at least 1GiB. What does not fit goes to a temporary " \
	     "file in TMPDIR, and the answer stays exact.",                                                            \
	     FL_ASK_AT(conf, memory)},                                                                                 \
	{                                                                                                              \
		"provenance", 0, NULL, FL_OPT_FLAG, NULL, NULL, NULL,                                                  \
		    "Begin csv and json with a line of what made the answer: version, command, SHA-256 of each "       \
		    "input.",                                                                                          \
		    FL_ASK_AT(conf, provenance)                                                                        \
	}
#define FL_ASK_ROWS(conf)                                                                                              \
	{"limit",                                                                                                      \
	 'n',                                                                                                          \
	 NULL,                                                                                                         \
	 FL_OPT_U64,                                                                                                   \
	 "N",                                                                                                          \
	 "0",                                                                                                          \
	 NULL,                                                                                                         \
	 "How many rows; 0: as many as fit a screen.",                                                                 \
	 FL_ASK_AT(conf, limit)},                                                                                      \
	{                                                                                                              \
		"all", 0, NULL, FL_OPT_FLAG, NULL, NULL, NULL, "All rows.", FL_ASK_AT(conf, all)                       \
	}

/* choice: name of the question; NULL: the command's first. Operands are sources. Returns the exit status. */
int fl_ask_run(const char *command, const char *choice, const struct fl_ask_options *o, int argc, char **argv);
