/* SPDX-License-Identifier: Apache-2.0 */
/* flowlog detach: removes what a crashed daemon left attached. Built with live capture only. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "capture/capture.h"
#include "cli/cli.h"
#include "cli/status.h"

struct conf {
	const char *store;
	bool force;
};

/* The supervisor wrote the name it pinned under; nobody guesses it. */
static int pins_of(const struct conf *c, struct fl_status_file *s, const char **ret)
{
	int r = fl_status_read(s, c->store, "supervisor");

	if (r)
		return r;
	*ret = fl_status_str(s, s->root, "pins");
	if (s->error)
		return s->error;
	if (!c->force && fl_status_daemon_runs(s, c->store))
		return fl_fail(-EBUSY,
			       "the daemon of %s is running (pid %lld) and removes its programs "
			       "itself when it ends; --force takes them away "
			       "under it",
			       c->store, (long long)fl_status_u64(s, s->root, "pid"));
	return 0;
}

static int run(void *conf, int argc, char **argv)
{
	const struct conf *c = conf;
	struct fl_status_file s = {0};
	const char *pins = "";
	int r;

	if (argc) {
		fprintf(stderr,
			"flowlog detach: %s: detach takes no operands; name a state directory with "
			"--store\n",
			argv[0]);
		return 2;
	}
	r = pins_of(c, &s, &pins);
	if (!r)
		r = *pins ? fl_live_detach_pins(pins) : 0;
	if (r >= 0)
		printf("%d link%s detached\n", r, r == 1 ? "" : "s");
	else
		fprintf(stderr, "flowlog detach: %s\n", fl_error_text(r));
	fl_status_free(&s);
	return r < 0 ? 1 : 0;
}

static const struct fl_option options[] = {
    {"store", 0, "store", FL_OPT_STRING, "DIR", FL_STORE_DEFAULT, NULL,
     "The state directory of the daemon that is gone.", offsetof(struct conf, store)},
    {"force", 0, NULL, FL_OPT_FLAG, NULL, NULL, NULL, "Detach even while the daemon runs.",
     offsetof(struct conf, force)},
    {0},
};

const struct fl_command fl_cmd_detach = {
    .name = "detach",
    .summary = "remove what a crashed daemon left attached",
    .synopsis = "[OPTION]...",
    .description = "A daemon that is killed leaves its programs attached, so that nothing is "
		   "missed until it starts again. When it is not to start again, detach "
		   "removes the programs and the pins below the BPF file system, by the name that "
		   "the daemon wrote into its state directory. It needs root.",
    .options = options,
    .conf_size = sizeof(struct conf),
    .run = run,
    .examples = "sudo flowlog detach --store /var/lib/flowlog\n  clean up after a crash\n",
};
