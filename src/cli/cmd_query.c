/* SPDX-License-Identifier: Apache-2.0 */
/* flowlog query: SQL over delivered files and the journal beyond them. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "cli/ask.h"
#include "cli/cli.h"
#include "cli/sources.h"
#include "query/query.h"

static const char *const outputs[] = {"table", "json", "csv", "text"};

struct conf {
	struct fl_source_conf source;
	int output;
	bool verdicts, read_only;
	uint64_t memory;
};

static bool mentions(const char *sql, const char *word)
{
	size_t n = strlen(word);

	for (const char *p = sql; (p = strcasestr(p, word)); p += n)
		if ((p == sql || !(isalnum((unsigned char)p[-1]) || p[-1] == '_')) && !isalnum((unsigned char)p[n]) &&
		    p[n] != '_')
			return true;
	return false;
}

/* The answer stands; what it lacks is said beside it, what ACCEPT means to people alone. Returns the exit status. */
static int tell(const char *sql, struct fl_query_told *told)
{
	if (told->report.records && !told->report.verdicts_observed && isatty(STDERR_FILENO) && mentions(sql, "action"))
		fl_source_tell_unobserved("query");
	fl_source_tell_lines("query", &told->faults);
	return fl_source_tell_report("query", &told->report);
}

static int run(void *conf, int argc, char **argv)
{
	const struct conf *c = conf;
	struct fl_scan_conf scan;
	struct fl_query_conf q = {.scan = &scan,
				  .read_only = c->read_only,
				  .memory = c->memory,
				  .group_memory = fl_ask_memory(),
				  .output = outputs[c->output],
				  .out_fd = STDOUT_FILENO};
	struct fl_query_told told;
	int r, status;

	if (!argc) {
		fputs("flowlog query: no question; for example: flowlog query 'SELECT srcaddr, "
		      "sum(bytes) FROM flows GROUP BY 1 ORDER BY 2 DESC'\n",
		      stderr);
		return 2;
	}
	q.sql = argv[0];
	argv[argc] = NULL; /* there is room for it */
	r = fl_source_scan(&c->source, argv + 1, &scan);
	if (r) {
		fprintf(stderr, "flowlog query: %s\n", fl_error_text(r));
		return 2;
	}
	scan.journal_alone = c->verdicts;
	r = fl_query_run(&q, &told);
	if (r)
		fprintf(stderr, "flowlog query: %s\n", fl_error_text(r));
	status = r ? 1 : tell(q.sql, &told);
	fl_buf_free(&told.faults);
	return status;
}

static const struct fl_option options[] = {
#define FL_SOURCE_AT(member) offsetof(struct conf, source.member)
#include "cli/source_options.def"
    {"verdicts", 0, NULL, FL_OPT_FLAG, NULL, NULL, NULL,
     "Read the journals of stores alone, as far back as they reach: there every row has verdict_source, verdict_cause, "
     "policy_action and policy_cause, which delivered objects have no room for.",
     offsetof(struct conf, verdicts)},
    {"read-only", 0, NULL, FL_OPT_FLAG, NULL, NULL, NULL,
     "For statements of others: SELECT and EXPLAIN alone, and no file but the sources.",
     offsetof(struct conf, read_only)},
    {"memory", 0, NULL, FL_OPT_SIZE, "SIZE", "0", NULL,
     "Memory for DuckDB, and half as much for groups of Flowlog's own engine; 0: what DuckDB takes of the machine, and "
     "a quarter of it. What does not fit goes to temporary files in TMPDIR.",
     offsetof(struct conf, memory)},
    {"output", 'o', NULL, FL_OPT_ENUM, "FORM", "table", "table|json|csv|text",
     "Form of the answer; json is one object a line.", offsetof(struct conf, output)},
    {0},
};

const struct fl_command fl_cmd_query = {
    .name = "query",
    .summary = "SQL over the recorded flows",
    .synopsis = "[OPTION]... SQL [SOURCE]...",
    .description =
	"Answers SQL over the view flows. It has a column for each field of the flow log, hyphens written as "
	"underscores (\"end\" is a word of SQL and needs its quotes); a field that is - is NULL, and so is one that a "
	"record's file does not have. Every published field can be named; * shows those that the files have which are "
	"read, and those that the statement names. Addresses are text. "
	"flowlog_scan() is the same with the column source, where each record is from. Only the columns and files that "
	"a statement needs are read: conditions of its WHERE on single columns are applied while reading, and EXPLAIN "
	"says which. Where a statement groups by plain columns, counts and sums them, and its WHERE is applied while "
	"reading, Flowlog's own engine groups, and DuckDB does the rest.\n\n"
	"Rows of a store's journal also have verdict_source (none, kernel, policy or both), verdict_cause (the rule or "
	"drop that decided), and policy_action and policy_cause (what the inventory's rules say, in force or not); "
	"rows "
	"of delivered objects have NULL there, whose format has no room for them: see --verdicts. With --open the "
	"column provisional is true in the open window.\n\n"
	"Functions: cidr_match(address, '10.0.0.0/8'), is_private(address), service_of(dstport, protocol), "
	"protocol_name(protocol), "
	"tcp_flags_text(tcp_flags). Statements of AWS's guide for Athena run as they are on the view vpc_flow_logs: it "
	"is flows with the column date, the day of start in UTC (in Athena the day of delivery).\n\n" FL_SOURCE_TEXT
	"\n\n"
	"The engine is DuckDB, 1.4 or later, looked for in FL_DUCKDB, beside the program, in ../lib/flowlog, in "
	"/usr/local/lib and on the loader's path. Nothing else of Flowlog needs it.",
    .options = options,
    .conf_size = sizeof(struct conf),
    .run = run,
    .examples = "flowlog query 'SELECT srcaddr, dstaddr, sum(bytes) AS bytes FROM flows GROUP BY "
		"ALL ORDER BY bytes DESC LIMIT 10'\n"
		"  who moved most\n"
		"flowlog query -o csv 'SELECT * FROM flows WHERE dstport = 22' /backup/vpcflowlogs "
		">ssh.csv\n"
		"  records of other files, to a file\n"
		"flowlog query --verdicts \"SELECT verdict_cause, sum(packets) FROM flows WHERE action = "
		"'REJECT' GROUP BY 1\"\n"
		"  what was refused, by rule or drop\n"
		"flowlog query --open 'SELECT provisional, count(*) FROM flows GROUP BY 1'\n"
		"  with the window that is still open\n",
};
