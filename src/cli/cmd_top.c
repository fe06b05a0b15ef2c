/* SPDX-License-Identifier: Apache-2.0 */
/* flowlog top: the open window, once or live; with a source, a filter or a choice the largest of recorded flows. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"
#include "base/mem.h"
#include "cli/ask.h"
#include "query/ask.h"

#define REDRAW_MS 1000 /* the status is rewritten each second */
#define SCREEN_ENTER "\033[?1049h\033[?25l\033[H\033[2J"
#define SCREEN_LEAVE "\033[?25h\033[?1049l"

struct conf {
	struct fl_ask_options ask;
	bool live;
};
/* --of: the open window, or a row of query/questions.def. */
static const char *const choices[] = {NULL, "talkers", "destinations", "pairs", "ports", "services", "interfaces"};

static volatile sig_atomic_t ended;

static void on_end(int signo)
{
	(void)signo;
	ended = 1;
}

static void on_resize(int signo)
{
	(void)signo; /* poll returns: the next frame has the new size */
}

static void catch_signals(void)
{
	static const int ends[] = {SIGINT, SIGTERM, SIGHUP, SIGPIPE};
	struct sigaction sa = {.sa_handler = on_end};

	for (size_t i = 0; i < FL_ARRAY_LEN(ends); i++)
		sigaction(ends[i], &sa, NULL);
	sa.sa_handler = on_resize;
	sigaction(SIGWINCH, &sa, NULL);
	/* Stopped, the terminal would be left in the other screen. */
	sa.sa_handler = SIG_IGN;
	sigaction(SIGTSTP, &sa, NULL);
}

/* Keys arrive one by one and are not shown. Returns whether there is a keyboard to restore. */
static bool keyboard_open(struct termios *ret_before)
{
	struct termios raw;

	if (!isatty(STDIN_FILENO) || tcgetattr(STDIN_FILENO, ret_before))
		return false;
	raw = *ret_before;
	raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
	return !tcsetattr(STDIN_FILENO, TCSANOW, &raw);
}

/* Waits for the next frame's time; q ends. */
static void wait_or_key(bool keyboard)
{
	struct pollfd fd = {.fd = keyboard ? STDIN_FILENO : -1, .events = POLLIN};
	char key;

	if (poll(&fd, 1, REDRAW_MS) == 1 && (read(STDIN_FILENO, &key, 1) != 1 || key == 'q'))
		ended = 1;
}

static int live(struct fl_view *view)
{
	struct termios before;
	bool keyboard;
	int r;

	catch_signals();
	keyboard = keyboard_open(&before);
	r = fl_write_all(STDOUT_FILENO, SCREEN_ENTER, strlen(SCREEN_ENTER));
	while (!r && !ended) {
		r = fl_view_draw(view);
		if (!r)
			wait_or_key(keyboard);
	}
	if (keyboard)
		tcsetattr(STDIN_FILENO, TCSANOW, &before);
	(void)fl_write_all(STDOUT_FILENO, SCREEN_LEAVE, strlen(SCREEN_LEAVE));
	return r;
}

static int open_window(const struct conf *c)
{
	struct fl_view *view = NULL;
	int r = fl_view_new(&view, c->ask.source.store, c->ask.source.store, STDOUT_FILENO);

	if (!r && c->live && isatty(STDOUT_FILENO)) {
		r = live(view);
	} else if (!r) {
		fl_view_plain(view);
		r = fl_view_draw(view);
	}
	fl_view_free(&view);
	if (r)
		fprintf(stderr, "flowlog top: %s\n", fl_error_text(r));
	return r ? 1 : 0;
}

/* Whether anything was asked that the open window's status cannot answer. */
static bool of_records(const struct fl_ask_options *o, int argc)
{
	const struct fl_where_conf *w = &o->where;

	return argc || o->choice || o->by || o->output || o->limit || o->all || o->source.open_window ||
	       o->source.flow_log || o->source.format || w->since || w->until || w->eni || w->vpc || w->subnet ||
	       w->instance || w->src || w->dst || w->port || w->protocol || w->words || w->action;
}

static int run(void *conf, int argc, char **argv)
{
	const struct conf *c = conf;

	if (!of_records(&c->ask, argc))
		return open_window(c);
	if (c->live) {
		fputs("flowlog top: --live shows the open window alone: without SOURCE, filter and choice\n", stderr);
		return 2;
	}
	return fl_ask_run("top", choices[c->ask.choice], &c->ask, argc, argv);
}

#define FL_ASK_AT(member) offsetof(struct conf, ask.member)
#define FL_SOURCE_AT(member) FL_ASK_AT(source.member)
#define FL_ASK_FORMS "table|csv|json|parquet"
#define FL_ASK_ROWS
static const struct fl_option options[] = {
    {"live", 0, NULL, FL_OPT_FLAG, NULL, NULL, NULL,
     "Draw again each second until q or Ctrl-C; without a terminal one frame is printed.", offsetof(struct conf, live)},
    {"of", 0, NULL, FL_OPT_ENUM, "WHAT", "window", "window|talkers|destinations|pairs|ports|services|interfaces",
     "What is compared. window: the open window, or talkers where there is a SOURCE or a filter. talkers: sources. "
     "ports: destination ports. services: the port of the end that is the server by its number, both directions "
     "together.",
     FL_ASK_AT(choice)},
    {"by", 0, NULL, FL_OPT_ENUM, "WHAT", "auto", "auto|bytes|packets|flows", "What the order goes by; auto: bytes.",
     FL_ASK_AT(by)},
#include "cli/ask_options.def"
#include "cli/source_options.def"
    {0},
};

const struct fl_command fl_cmd_top = {
    .name = "top",
    .summary = "who is talking to whom: in the open window, or in any records",
    .synopsis = "[OPTION]... [SOURCE]...",
    .description =
	"Without SOURCE, filter and choice shows the largest flows of the window that is still open: who opened the "
	"connection, to whom, bytes, packets and the interface. The "
	"numbers are provisional: they still grow. Below them stand the ledger of the "
	"window that closed last and of all windows.\n\n"
	"With a SOURCE, a filter or --of, the largest of the records there; without SOURCE those of the "
	"store. Records are counted as they are: what two recorded interfaces saw counts twice.\n\n" FL_SOURCE_TEXT,
    .options = options,
    .conf_size = sizeof(struct conf),
    .run = run,
    .examples = "flowlog top --live\n  keep looking; q ends\n"
		"flowlog top logs/\n  who sent most, of delivered flow logs\n"
		"flowlog top --of pairs --by flows --since 1h -w 'not port https' logs/\n  pairs with most flows of "
		"the last hour\n",
};
