/* SPDX-License-Identifier: Apache-2.0 */
/* flowlog rejects, ports, series, talks, conversations, external, summary: rows of query/questions.def. top is in
 * cmd_top.c, because it also shows the open window. */
#include "cli/ask.h"

struct conf {
	struct fl_ask_options ask;
};

static const char *const reject_kinds[] = {"rejected", "refused", "unanswered"};
static const char *const port_kinds[] = {"ports", "sources", "sweeps", "listeners"};

static int rejects(void *conf, int argc, char **argv)
{
	const struct fl_ask_options *o = &((const struct conf *)conf)->ask;

	return fl_ask_run("rejects", reject_kinds[o->choice], o, argc, argv);
}
static int ports(void *conf, int argc, char **argv)
{
	const struct fl_ask_options *o = &((const struct conf *)conf)->ask;

	return fl_ask_run("ports", port_kinds[o->choice], o, argc, argv);
}

#define RUN(name)                                                                                                      \
	static int name(void *conf, int argc, char **argv)                                                             \
	{                                                                                                              \
		return fl_ask_run(#name, NULL, &((const struct conf *)conf)->ask, argc, argv);                         \
	}
RUN(series)
RUN(talks)
RUN(conversations)
RUN(external)
RUN(summary)

/* Rows of options are the same for all. NOLINTBEGIN(readability-duplicate-include) */
#define FL_ASK_AT(member) offsetof(struct conf, ask.member)
#define FL_SOURCE_AT(member) FL_ASK_AT(source.member)
#define FL_ASK_FORMS "table|csv|json|parquet"
#define FL_ASK_ROWS
#define SOURCES "\n\n" FL_SOURCE_TEXT

static const struct fl_option rejects_options[] = {
    {"kind", 'k', NULL, FL_OPT_ENUM, "KIND", "rejected", "rejected|refused|unanswered",
     "rejected: records with the action REJECT. refused: let through, and answered with a reset. unanswered: let "
     "through, "
     "and no packet came back at the same interface.",
     FL_ASK_AT(choice)},
#include "cli/ask_options.def"
#include "cli/source_options.def"
    {0},
};
const struct fl_command fl_cmd_rejects = {
    .name = "rejects",
    .summary = "who was refused where",
    .synopsis = "[OPTION]... [SOURCE]...",
    .description =
	"Counts what did not get through by source, destination, protocol and port. A REJECT is what rules "
	"denied; a connection that the other end refused, or left unanswered, has the action ACCEPT, and is told "
	"by joining both directions: refused needs the field tcp-flags." SOURCES,
    .options = rejects_options,
    .conf_size = sizeof(struct conf),
    .run = rejects,
    .examples = "flowlog rejects --port ssh --since 1d logs/\n  who tried SSH in vain on the last day\n"
		"flowlog rejects -k unanswered --src 10.0.0.0/8 logs/\n  what our hosts did not reach\n",
};

static const struct fl_option ports_options[] = {
    {"of", 0, NULL, FL_OPT_ENUM, "WHAT", "ports", "ports|sources|sweeps|listeners",
     "ports: each destination port. sources: each source, by the number of ports it tried. sweeps: by the number of "
     "addresses. listeners: each address and port that is the server of accepted traffic, by its clients.",
     FL_ASK_AT(choice)},
#include "cli/ask_options.def"
#include "cli/source_options.def"
    {0},
};
const struct fl_command fl_cmd_ports = {
    .name = "ports",
    .summary = "which ports are used, tried and served",
    .synopsis = "[OPTION]... [SOURCE]...",
    .description =
	"Destination ports with their users; sources with the number of ports and addresses they tried, which "
	"is how scanners are found; or what listens. Which end is the server is judged by the numbers of the "
	"ports. Counts of different values are exact." SOURCES,
    .options = ports_options,
    .conf_size = sizeof(struct conf),
    .run = ports,
    .examples = "flowlog ports --of sources logs/\n  who tries most ports\n"
		"flowlog ports --of listeners --dst 10.0.0.0/8 logs/\n  what our hosts serve\n",
};

#undef FL_ASK_ROWS
static const struct fl_option series_options[] = {
    {"every", 0, NULL, FL_OPT_DURATION, "TIME", "0", NULL,
     "Width of a row, in whole minutes (1m, 1h, 1d); 0: by the span, so that they fit a screen.", FL_ASK_AT(every_ns)},
#include "cli/ask_options.def"
#include "cli/source_options.def"
    {0},
};
const struct fl_command fl_cmd_series = {
    .name = "series",
    .summary = "flows and bytes over time, drawn",
    .synopsis = "[OPTION]... [SOURCE]...",
    .description =
	"Counts flows, rejected ones, packets and bytes by minute, hour or day of their start, and draws the "
	"bytes. A record counts where it starts, also when it lasts longer than a row." SOURCES,
    .options = series_options,
    .conf_size = sizeof(struct conf),
    .run = series,
    .examples = "flowlog series --action REJECT --since 3h logs/\n  rejected flows by the minute\n"
		"flowlog series --every 1d -o csv logs/ >days.csv\n  for a plot\n",
};

#define FL_ASK_ROWS
static const struct fl_option talks_options[] = {
    {"new", 0, NULL, FL_OPT_STRING, "TIME", NULL, NULL,
     "Only peers whose first record of all that are read starts at this time or later. The time is written as for "
     "since, "
     "which is better left out here.",
     FL_ASK_AT(begun)},
#include "cli/ask_options.def"
#include "cli/source_options.def"
    {0},
};
const struct fl_command fl_cmd_talks = {
    .name = "talks",
    .summary = "with whom an address talked, since when, and allowed or not",
    .synopsis = "[OPTION]... A [B] [SOURCE]...",
    .description =
	"Did A and B ever talk? Without B: with whom did A talk? A and B are addresses, networks or names; a "
	"second operand that is the name of a file, a directory or - is a SOURCE. Each pair has its bytes in both "
	"directions, its accepted and rejected records, the first and the last. What two recorded interfaces saw "
	"of one pair is counted once, by the one that saw more." SOURCES,
    .options = talks_options,
    .conf_size = sizeof(struct conf),
    .run = talks,
    .examples = "flowlog talks 10.0.1.5 203.0.113.9 logs/\n  did they ever\n"
		"flowlog talks web-1 --new 2d logs/\n  whom it had never met before\n",
};

static const struct fl_option conversations_options[] = {
#include "cli/ask_options.def"
#include "cli/source_options.def"
    {0},
};
const struct fl_command fl_cmd_conversations = {
    .name = "conversations",
    .summary = "both directions joined: who opened it, what came of it",
    .synopsis = "[OPTION]... [SOURCE]...",
    .description =
	"Joins the records of both directions and all windows of a 5-tuple. Client and server are judged by TCP "
	"flags, rejected openings, ports and times, as far as records have them; ROLES says how certain that is. "
	"STATE is answered, unanswered, refused (a reset without an accepted opening), rejected, or reply "
	"rejected. What two recorded interfaces saw of one conversation is counted once." SOURCES,
    .options = conversations_options,
    .conf_size = sizeof(struct conf),
    .run = conversations,
    .examples = "flowlog conversations -w 'host 10.0.1.5 and port 22' logs/\n  SSH of one host\n",
};

static const struct fl_option external_options[] = {
#include "cli/ask_options.def"
#include "cli/source_options.def"
    {0},
};
const struct fl_command fl_cmd_external = {
    .name = "external",
    .summary = "what left for the internet, by destination",
    .synopsis = "[OPTION]... [SOURCE]...",
    .description =
	"Traffic to addresses of the internet, from private ones or out of a recorded interface. Private and "
	"special addresses are those of RFC 1918, 6598, 3927, 4193, 4291, 1122, 1112 and 5771." SOURCES,
    .options = external_options,
    .conf_size = sizeof(struct conf),
    .run = external,
    .examples = "flowlog external --since 1d logs/\n  where the bytes of the last day went\n",
};

#undef FL_ASK_ROWS
#undef FL_ASK_FORMS
#define FL_ASK_FORMS "table|json"
static const struct fl_option summary_options[] = {
#include "cli/ask_options.def"
#include "cli/source_options.def"
    {0},
};
/* csv is none of its forms. */
static int summary_forms(void *conf, int argc, char **argv)
{
	struct fl_ask_options *o = &((struct conf *)conf)->ask;

	o->output *= 2;
	return summary(conf, argc, argv);
}
const struct fl_command fl_cmd_summary = {
    .name = "summary",
    .summary = "an archive on one page: span, volume, gaps",
    .synopsis = "[OPTION]... [SOURCE]...",
    .description =
	"What the records cover and what they do not: span, volume, windows without data or with flows that were "
	"not captured, gaps, interfaces without a REJECT (whose absence there proves nothing), accounts, VPCs, "
	"versions, and faults of the files." SOURCES,
    .options = summary_options,
    .conf_size = sizeof(struct conf),
    .run = summary_forms,
    .examples = "flowlog summary AWSLogs/\n  before anything else is asked\n",
};
/* NOLINTEND(readability-duplicate-include) */
