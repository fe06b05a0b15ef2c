/* SPDX-License-Identifier: Apache-2.0 */
/* flowlog top: the open window, once or live. */
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
#include "cli/cli.h"

#define REDRAW_MS 1000 /* the status is rewritten each second */
#define SCREEN_ENTER "\033[?1049h\033[?25l\033[H\033[2J"
#define SCREEN_LEAVE "\033[?25h\033[?1049l"

struct conf {
	const char *store;
	bool live;
};

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

static int run(void *conf, int argc, char **argv)
{
	const struct conf *c = conf;
	struct fl_view *view = NULL;
	int r;

	if (argc) {
		fprintf(stderr, "flowlog top: %s: top takes no operands; name a state directory with --store\n",
			argv[0]);
		return 2;
	}
	r = fl_view_new(&view, c->store, c->store, STDOUT_FILENO);
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

static const struct fl_option options[] = {
    {"store", 0, "store", FL_OPT_STRING, "DIR", FL_STORE_DEFAULT, NULL, "The state directory of the running daemon.",
     offsetof(struct conf, store)},
    {"live", 0, NULL, FL_OPT_FLAG, NULL, NULL, NULL,
     "Draw again each second until q or Ctrl-C; without a terminal one frame is printed.", offsetof(struct conf, live)},
    {0},
};

const struct fl_command fl_cmd_top = {
    .name = "top",
    .summary = "who is talking to whom in the open window",
    .synopsis = "[OPTION]...",
    .description = "Shows the largest flows of the window that is still open: who opened the "
		   "connection, to whom, bytes, packets and the interface. The "
		   "numbers are provisional: they still grow. Below them stand the ledger of the "
		   "window that closed last and of all windows.",
    .options = options,
    .conf_size = sizeof(struct conf),
    .run = run,
    .examples = "flowlog top --live\n  keep looking; q ends\n",
};
