/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/manual.h"

#include <ctype.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/mem.h"
#include "cli/options.h"

#define MANUAL_DATE "2026-11-24"
#define HELP_WIDTH 100
#define HELP_NARROWEST 40
#define ROFF_LINE 66 /* with room for escapes */

/* Accepted by every command beside its own. */
static const struct fl_option help_option = {
    .name = "help", .letter = 'h', .help = "Show the options and examples of the command."};

void fl_manual_list(const struct fl_command *const *commands, FILE *to)
{
	fputs("Usage: flowlog COMMAND [OPTION]... [OPERAND]...\n\nCommands:\n", to);
	for (; *commands; commands++)
		fprintf(to, "  %-13s %s\n", (*commands)->name, (*commands)->summary);
	fputs("\n'flowlog COMMAND --help' shows its options.\n", to);
}

/* ---- --help ---- */

static size_t help_width(void)
{
	struct winsize size = {0};

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) || !size.ws_col)
		return HELP_WIDTH;
	if (size.ws_col > HELP_WIDTH)
		return HELP_WIDTH;
	return FL_MAX((size_t)size.ws_col, (size_t)HELP_NARROWEST);
}

/* Words of text, broken at the width; a blank line stays one. */
static void wrap(const char *text, unsigned indent, size_t width)
{
	size_t column = 0;

	while (*text) {
		size_t n = strcspn(text, " \n");

		if (column && column + 1 + n > width) {
			putchar('\n');
			column = 0;
		}
		if (n && !column)
			column = (size_t)printf("%*s", (int)indent, "");
		else if (n)
			column += (size_t)printf(" ");
		column += (size_t)printf("%.*s", (int)n, text);
		text += n;
		if (text[0] == '\n' && text[1] == '\n') {
			fputs("\n\n", stdout);
			column = 0;
		}
		text += strspn(text, " \n");
	}
	if (column)
		putchar('\n');
}

static void help_option_line(const struct fl_option *o, size_t width)
{
	struct fl_buf text FL_CLEANUP(fl_buf_free) = FL_BUF(65536);
	char env[FL_OPT_ENV_MAX];

	printf(o->letter ? "  -%c, " : "      ", o->letter);
	printf("--%s%s%s\n", o->name, o->arg ? " " : "", o->arg ? o->arg : "");
	fl_buf_adds(&text, o->help);
	if (o->choices)
		fl_buf_printf(&text, " One of %s.", o->choices);
	if (o->deflt)
		fl_buf_printf(&text, " Default: %s.", o->deflt);
	if (o->key)
		fl_buf_printf(&text, " Environment: %s.", fl_opt_env_name(o->key, env));
	wrap(fl_buf_cstr(&text), 10, width);
}

void fl_manual_help(const struct fl_command *cmd)
{
	size_t width = help_width();

	printf("Usage: flowlog %s %s\n\n%s: %s\n\n", cmd->name, cmd->synopsis, cmd->name, cmd->summary);
	if (cmd->description) {
		wrap(cmd->description, 0, width);
		putchar('\n');
	}
	fputs("Options:\n", stdout);
	for (const struct fl_option *o = cmd->options; o && o->name; o++)
		help_option_line(o, width);
	help_option_line(&help_option, width);
	if (cmd->examples)
		printf("\nExamples:\n%s", cmd->examples);
}

/* ---- manual pages ---- */

/* Text that roff shall not read as requests, escapes or typographic hyphens. */
static void roff(const char *text, size_t n)
{
	bool begin = true;

	for (size_t i = 0; i < n; i++) {
		if (begin && (text[i] == '.' || text[i] == '\''))
			fputs("\\&", stdout);
		begin = text[i] == '\n';
		switch (text[i]) {
		case '\\':
			fputs("\\e", stdout);
			break;
		case '-':
			fputs("\\-", stdout);
			break;
		case '\'':
			fputs("\\(aq", stdout);
			break;
		case '^':
			fputs("\\(ha", stdout);
			break;
		case '~':
			fputs("\\(ti", stdout);
			break;
		default:
			putchar(text[i]);
		}
	}
}

static void roffs(const char *text)
{
	roff(text, strlen(text));
}

/* One sentence, its lines short as roff's source wants them. */
static void sentence(const char *text, size_t n)
{
	while (n) {
		size_t take = n;

		if (take > ROFF_LINE) {
			take = ROFF_LINE;
			while (take && text[take] != ' ')
				take--;
			/* A word longer than a line stays whole. */
			if (!take)
				take = strcspn(text, " \n");
			take = FL_MIN(take, n);
		}
		roff(text, take);
		putchar('\n');
		while (take < n && text[take] == ' ')
			take++;
		text += take;
		n -= take;
	}
}

/* Sentences begin a line; paragraphs are parted by .PP. */
static void prose(const char *text)
{
	while (*text) {
		size_t n = strcspn(text, "\n");
		const char *stop = text;

		while ((stop = memchr(stop, '.', n - (size_t)(stop - text))) &&
		       !(stop[1] == ' ' && isupper((unsigned char)stop[2])))
			stop++;
		if (stop) {
			sentence(text, (size_t)(stop + 1 - text));
			text = stop + 2;
			continue;
		}
		sentence(text, n);
		text += n + strspn(text + n, "\n");
		if (*text)
			puts(".PP");
	}
}

static void title(const char *name, const char *summary)
{
	printf(".\\\" Written by flowlog help \\-\\-man from the table of options.\n.TH ");
	for (const char *p = name; *p; p++)
		putchar(toupper((unsigned char)*p));
	printf(" 1 \"" MANUAL_DATE "\" \"flowlog " FL_VERSION "\" \"Flowlog\"\n.SH NAME\n%s \\- ", name);
	roffs(summary);
	puts("\n.SH SYNOPSIS");
}

static void page_option(const struct fl_option *o)
{
	char env[FL_OPT_ENV_MAX];

	puts(".TP");
	if (o->letter)
		printf("\\fB\\-%c\\fR, ", o->letter);
	fputs("\\fB\\-\\-", stdout);
	roffs(o->name);
	fputs("\\fR", stdout);
	if (o->arg) {
		fputs(" \\fI", stdout);
		roffs(o->arg);
		fputs("\\fR", stdout);
	}
	putchar('\n');
	prose(o->help);
	if (o->choices) {
		fputs("One of ", stdout);
		roffs(o->choices);
		puts(".");
	}
	if (o->deflt) {
		fputs("Default: ", stdout);
		roffs(o->deflt);
		puts(".");
	}
	if (o->key)
		printf("Environment: %s.\n", fl_opt_env_name(o->key, env));
}

static void page_examples(const char *text)
{
	const char *paragraph = ".nf";

	puts(".SH EXAMPLES");
	while (*text) {
		size_t n = strcspn(text, "\n");

		/* A command, then indented what it does. */
		if (text[0] != ' ') {
			puts(paragraph);
			paragraph = ".PP\n.nf";
			roff(text, n);
			puts("\n.fi");
		} else {
			size_t skip = strspn(text, " ");

			puts(".RS");
			roff(text + skip, n - skip);
			puts("\n.RE");
		}
		text += n + (text[n] == '\n');
	}
}

static void page_end(void)
{
	puts(".SH EXIT STATUS\n0: done; 1: failed; 2: the command was not understood.\n"
	     "Nothing found is 0 with an empty result.");
}

void fl_manual_page(const struct fl_command *cmd)
{
	char name[64];

	snprintf(name, sizeof name, "flowlog-%s", cmd->name);
	title(name, cmd->summary);
	printf("\\fBflowlog %s\\fR ", cmd->name);
	roffs(cmd->synopsis);
	puts("\n.SH DESCRIPTION");
	prose(cmd->description ? cmd->description : cmd->summary);
	puts(".SH OPTIONS");
	for (const struct fl_option *o = cmd->options; o && o->name; o++)
		page_option(o);
	page_option(&help_option);
	page_end();
	if (cmd->examples)
		page_examples(cmd->examples);
	puts(".SH SEE ALSO\n.BR flowlog (1)");
}

void fl_manual_overview(const struct fl_command *const *commands)
{
	title("flowlog", "AWS VPC Flow Logs for any Linux network");
	puts("\\fBflowlog\\fR \\fICOMMAND\\fR [OPTION]... [OPERAND]...\n.SH DESCRIPTION\n"
	     "Meters the traffic of network interfaces or capture files and writes\nflow log "
	     "records in the formats of AWS.\n"
	     "Its numbers add up: what was seen is recorded, excluded by a named\nrule or lost by "
	     "a named cause.\n.SH COMMANDS");
	for (const struct fl_command *const *c = commands; *c; c++) {
		printf(".TP\n\\fB%s\\fR\n", (*c)->name);
		roffs((*c)->summary);
		putchar('\n');
	}
	page_end();
	puts(".SH SEE ALSO");
	for (; *commands; commands++)
		printf(".BR flowlog\\-%s (1)%s\n", (*commands)->name, commands[1] ? "," : "");
}

/* ---- bash ---- */

static void bash_words(const struct fl_option *o)
{
	if (o->letter)
		printf(" -%c", o->letter);
	printf(" --%s", o->name);
}

static void bash_values(const struct fl_command *cmd)
{
	for (const struct fl_option *o = cmd->options; o && o->name; o++) {
		if (!o->choices)
			continue;
		printf("\t\t%s,--%s", cmd->name, o->name);
		if (o->letter)
			printf("|%s,-%c", cmd->name, o->letter);
		fputs(") words=\"", stdout);
		for (const char *p = o->choices; *p; p++)
			putchar(*p == '|' ? ' ' : *p);
		puts("\" ;;");
	}
}

void fl_manual_bash(const struct fl_command *const *commands)
{
	puts("# Written by flowlog help --completion bash from the table of "
	     "options.\n_flowlog()\n{\n"
	     "\tlocal current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]} "
	     "command=${COMP_WORDS[1]} words=\n"
	     "\tif [ \"$COMP_CWORD\" = 1 ]; then");
	fputs("\t\twords=\"--help --version", stdout);
	for (const struct fl_command *const *c = commands; *c; c++)
		printf(" %s", (*c)->name);
	puts("\"\n\telse\n\t\tcase $command,$previous in");
	for (const struct fl_command *const *c = commands; *c; c++)
		bash_values(*c);
	puts("\t\t*) case $command in");
	for (const struct fl_command *const *c = commands; *c; c++) {
		printf("\t\t\t%s) words=\"", (*c)->name);
		for (const struct fl_option *o = (*c)->options; o && o->name; o++)
			bash_words(o);
		bash_words(&help_option);
		puts("\" ;;");
	}
	puts("\t\t\tesac\n\t\t\t[[ $current == -* ]] || words= ;;\n\t\tesac\n\tfi\n"
	     "\tmapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$current\")\n}\ncomplete -o "
	     "default -o bashdefault -F _flowlog flowlog");
}
