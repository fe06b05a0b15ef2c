/* SPDX-License-Identifier: Apache-2.0 */
/* flowlog run: from the configuration to a running supervisor. */
#include <cap-ng.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/owner.h"
#include "base/units.h"
#include "cli/config.h"
#include "daemon/daemon.h"
#include "daemon/store_dir.h"
#include "record/record.h"

struct conf {
	struct fl_config *config;
	bool check_config;
	const char *store, *user, *format, *destination, *exclusions, *inventory;
	const char *const *include, *const *exclude, *const *netns;
	uint64_t window_ns, interval_ns, publish_ns, max_age_ns;
	uint64_t memory, journal, ring, max_size;
	int backend;
	bool inner;
};

enum { BACKEND_AUTO, BACKEND_EBPF, BACKEND_AFPACKET };

#define OPT(member) offsetof(struct conf, member)
static const struct fl_option options[] = {
    {"config", 'c', NULL, FL_OPT_CONFIG, "FILE", NULL, NULL,
     "Read the configuration from this YAML file (else " FL_CONFIG_DEFAULT_PATH " when there is one).", OPT(config)},
    {"check-config", 0, NULL, FL_OPT_FLAG, NULL, NULL, NULL,
     "Check the configuration, say what is wrong with it, and end.", OPT(check_config)},
    {"store", 's', "store", FL_OPT_STRING, "DIR", FL_STORE_DEFAULT, NULL,
     "The state directory: journal, status and delivered files.", OPT(store)},
    {"include", 'i', "interfaces.include", FL_OPT_LIST, "PATTERN", NULL, NULL,
     "Meter only interfaces whose name matches this shell pattern; repeatable.", OPT(include)},
    {"exclude", 'x', "interfaces.exclude", FL_OPT_LIST, "PATTERN", NULL, NULL,
     "Leave out interfaces that match; repeatable.", OPT(exclude)},
    {"netns", 'n', "interfaces.netns", FL_OPT_LIST, "NAME", NULL, NULL,
     "Follow this network namespace too: a name below /run/netns or a path; repeatable.", OPT(netns)},
    {"backend", 'b', "capture.backend", FL_OPT_ENUM, "NAME", "auto", "auto|ebpf|afpacket", "How packets are counted.",
     OPT(backend)},
    {"ring-size", 0, "capture.ring_size", FL_OPT_SIZE, "SIZE", "16MiB", NULL, "Memory between kernel and meter.",
     OPT(ring)},
    {"inner", 0, "capture.inner", FL_OPT_FLAG, NULL, NULL, NULL, "Log what is inside tunnels instead of the tunnels.",
     OPT(inner)},
    {"window", 'w', "window", FL_OPT_DURATION, "TIME", "60s", NULL,
     "Length of the metering window; whole seconds that divide a minute, or minutes.", OPT(window_ns)},
    {"memory", 'm', "memory", FL_OPT_SIZE, "SIZE", "512MiB", NULL,
     "Memory for flows; what does not fit is counted as lost.", OPT(memory)},
    {"exclusions", 0, "exclusions", FL_OPT_STRING, "RULES", NULL, NULL,
     "Traffic that AWS does not log either: none, aws, or names of rules with commas; default: aws for interfaces of "
     "an "
     "inventory, none for others.",
     OPT(exclusions)},
    {"inventory", 0, "inventory", FL_OPT_STRING, "DIR", NULL, NULL,
     "Directory of AWS's JSON that names the interfaces; default: the current import of the store (flowlog inventory).",
     OPT(inventory)},
    {"journal-size", 0, "journal.max_size", FL_OPT_SIZE, "SIZE", "256MiB", NULL,
     "Disk for windows that are not delivered yet; taken at start.", OPT(journal)},
    {"format", 'f', "format", FL_OPT_STRING, "FORMAT", "default", NULL,
     "Format of the flow log, when the file has no flow_logs.", OPT(format)},
    {"interval", 0, "interval", FL_OPT_DURATION, "TIME", "60s", NULL, "Its aggregation interval: 60s or 600s.",
     OPT(interval_ns)},
    {"destination", 0, "destination", FL_OPT_STRING, "BUCKET", "flowlog", NULL,
     "Its destination: bucket/prefix or arn:aws:s3:::bucket/prefix, below the store's s3 "
     "directory.",
     OPT(destination)},
    {"publish-every", 0, "delivery.publish_every", FL_OPT_DURATION, "TIME", "60s", NULL,
     "How soon closed windows are written to files; at most 300s.", OPT(publish_ns)},
    {"max-age", 0, "delivery.max_age", FL_OPT_DURATION, "TIME", "30d", NULL,
     "Delivered files older than this are removed; 0 keeps them.", OPT(max_age_ns)},
    {"max-size", 0, "delivery.max_size", FL_OPT_SIZE, "SIZE", "10GiB", NULL,
     "The oldest delivered files go when there are more bytes; 0 for no limit.", OPT(max_size)},
    {"user", 'u', "user", FL_OPT_STRING, "NAME", NULL, NULL,
     "Who owns the store and runs everything but the supervisor; default: who called sudo.", OPT(user)},
    {0},
};

/* ---- checks that a table cannot make ---- */

/* "file:line: " of a key that the configuration file sets. */
static const char *where(const struct conf *c, const char *key, char ret[512])
{
	size_t n = 0;
	const struct fl_config_value *v = c->config ? fl_config_values(c->config, &n) : NULL;

	*ret = '\0';
	for (size_t i = 0; i < n; i++)
		if (!strcmp(v[i].key, key))
			snprintf(ret, 512, "%.400s:%u: ", fl_config_file(c->config), v[i].line);
	return ret;
}

static int bad(const struct conf *c, const char *key, const char *value, const char *sentence)
{
	char at[512];

	return fl_fail(-EINVAL, "%s%s %s: it must be %s", where(c, key, at), key, value, sentence);
}

/* Puts the place in the file before the sentence of an error, if it came from there. */
static int located(const struct conf *c, const char *key, int r)
{
	char at[512];
	size_t n = strlen(where(c, key, at));

	return r < 0 && n ? fl_wrap(r, "%.*s", (int)n - 2, at) : r;
}

static const char *duration(uint64_t ns, char ret[32])
{
	bool whole = ns % FL_NS_PER_S == 0;

	snprintf(ret, 32, "%llu%s", whole ? ns / FL_NS_PER_S : ns / 1000000, whole ? "s" : "ms");
	return ret;
}

static int check_numbers(const struct conf *c)
{
	uint64_t s = c->window_ns / FL_NS_PER_S, interval = c->interval_ns / FL_NS_PER_S;
	char value[32];

	if (c->window_ns % FL_NS_PER_S || !s || s > 600 || (s < 60 ? 60 % s : s % 60 || 600 % s))
		return bad(c, "window", duration(c->window_ns, value),
			   "whole seconds that divide a minute, or minutes that divide ten (1s, "
			   "10s, 60s, 600s)");
	/* A window shorter than a minute is for tests, and so is an interval of its length. */
	if (interval != 60 && interval != 600 && !(s < 60 && interval == s))
		return bad(c, "interval", duration(c->interval_ns, value), "60s or 600s, as AWS has it");
	if (interval % s)
		return bad(c, "interval", duration(c->interval_ns, value), "a multiple of the window");
	if (c->publish_ns < FL_NS_PER_S || c->publish_ns > 300 * FL_NS_PER_S)
		return bad(c, "delivery.publish_every", duration(c->publish_ns, value), "from 1s to 300s");
	if (c->memory < (1u << 20))
		return bad(c, "memory", fl_human_bytes(c->memory, value), "at least 1MiB");
	if (c->journal < (8u << 20))
		return bad(c, "journal.max_size", fl_human_bytes(c->journal, value), "at least 8MiB");
	if (c->ring < 65536 || c->ring > (1u << 30))
		return bad(c, "capture.ring_size", fl_human_bytes(c->ring, value), "from 64KiB to 1GiB");
	return 0;
}

struct logs {
	struct fl_flow_log v[FL_CONFIG_FLOW_LOGS_MAX];
	size_t n;
};

static int default_log(const struct conf *c, struct fl_flow_log *log)
{
	struct fl_format *format = NULL;
	int r = fl_format_parse(&format, fl_format_kind_of(c->format), c->format);

	fl_format_free(&format);
	if (r < 0)
		return located(c, "format", r);
	log->format = c->format;
	log->interval = (uint32_t)(c->interval_ns / FL_NS_PER_S);
	r = fl_flow_log_check_kind(log);
	if (r)
		return located(c, "interval", r);
	r = fl_flow_log_set_destination(log, c->destination);
	if (r)
		return located(c, "destination", r);
	return fl_flow_log_derive_id(log);
}

/* The format itself was checked where it was read. */
static void warn_of_format(const struct fl_flow_log *log)
{
	struct fl_format *format = NULL;

	const char *text = log->format ? log->format : "default";

	if (!fl_format_parse(&format, fl_format_kind_of(text), text) && fl_format_warning(format))
		fl_warn("flow log %s: format: %s", log->id, fl_format_warning(format));
	fl_format_free(&format);
}

/* Listening to conntrack costs something a connection: only for those who ask for it. */
static bool wants_packet_addresses(const struct fl_flow_log *log)
{
	struct fl_format *format = NULL;
	bool wants = false;

	if (fl_format_parse(&format, fl_format_kind_of(log->format), log->format) < 0)
		return false;
	for (size_t i = 0; i < fl_format_len(format); i++)
		wants |= !strcmp(fl_format_name(format, i), "pkt-srcaddr") ||
			 !strcmp(fl_format_name(format, i), "pkt-dstaddr");
	fl_format_free(&format);
	return wants;
}

static int make_logs(const struct conf *c, const struct fl_identity_conf *id, struct logs *ret)
{
	const struct fl_flow_log *given = c->config ? fl_config_flow_logs(c->config, &ret->n) : NULL;
	int r = 0;

	if (given && ret->n)
		memcpy(ret->v, given, ret->n * sizeof *given);
	if (!given) {
		ret->n = 1;
		r = default_log(c, &ret->v[0]);
	}
	for (size_t i = 0; !r && i < ret->n; i++) {
		warn_of_format(&ret->v[i]);
		struct fl_flow_log *log = &ret->v[i];

		memcpy(log->account_id, id->account_id, sizeof log->account_id);
		memcpy(log->region, id->region, sizeof log->region);
		log->publish_every_s = (uint32_t)(c->publish_ns / FL_NS_PER_S);
		log->max_age_s = c->max_age_ns / FL_NS_PER_S;
		log->max_bytes = c->max_size;
		if (log->interval % (c->window_ns / FL_NS_PER_S))
			r = fl_fail(-EINVAL, "flow log %s: its interval of %u s is no multiple of the window", log->id,
				    log->interval);
	}
	return r;
}

/* ---- the backend ---- */

static int check_privilege(void)
{
	capng_get_caps_process();
	if (capng_have_capability(CAPNG_EFFECTIVE, CAP_NET_RAW))
		return 0;
	if (geteuid())
		return fl_fail(-EPERM, "watching interfaces needs root; start it with: sudo %s run", fl_cli_program());
	return fl_fail(
	    -EPERM, "watching interfaces needs the capability CAP_NET_RAW, which root does not have here; a container "
		    "gets it with --cap-add NET_RAW --cap-add NET_ADMIN (and BPF, PERFMON for eBPF)");
}

static int open_ebpf(struct fl_run *run, bool has_log)
{
	int r = fl_live_ebpf.open(&run->privileged, &run->live, &run->reused);

	/* What an earlier life counted cannot be attributed without its log: it begins anew. */
	if (!r && run->reused && !has_log) {
		fl_warn("programs of an earlier run are still attached but its log is gone; what "
			"they counted is given up");
		fl_live_ebpf.close(&run->privileged, true);
		r = fl_live_ebpf.open(&run->privileged, &run->live, &run->reused);
	}
	if (!r)
		run->ops = &fl_live_ebpf;
	return r;
}

static int open_backend(struct fl_run *run, int backend, bool has_log, char reason[256])
{
	char pins[64];
	int r = backend == BACKEND_AFPACKET ? FL_LIVE_UNAVAILABLE : open_ebpf(run, has_log);

	if (r <= 0)
		return r;
	if (backend == BACKEND_EBPF)
		return fl_fail(-ENOTSUP, "eBPF is not to be had: %s", fl_error_text(r));
	if (backend == BACKEND_AUTO) {
		snprintf(reason, 256, "%s", fl_error_text(r));
		run->fallback_reason = reason;
	}
	/* A try that failed may have left its directory; one that holds pins of an earlier run stays. */
	snprintf(pins, sizeof pins, "/sys/fs/bpf/%s", run->live.pin_name);
	rmdir(pins);
	run->ops = &fl_live_afpacket;
	run->live.pin_name = NULL;
	return 0;
}

static void ask_verdicts(struct fl_run *run)
{
	struct fl_live_verdicts v;

	run->verdicts = run->ops->verdicts(run->privileged, &v);
	snprintf(run->no_verdicts, sizeof run->no_verdicts, "%s", run->verdicts ? "" : v.why_not);
}

/* ---- what is said at the start ---- */

static void say_skipped(const struct fl_interface *v, size_t n, bool terminal)
{
	for (size_t i = 0; i < n; i++) {
		const struct fl_eni *e = &v[i].eni;

		if (v[i].skip == FL_SKIP_NONE)
			continue;
		if (terminal)
			printf("  not metered: %s%s%s (%s)\n", e->netns, *e->netns ? "/" : "", e->device,
			       fl_skip_reasons[v[i].skip]);
		else
			fl_info("%s%s%s is not metered: %s", e->netns, *e->netns ? "/" : "", e->device,
				fl_skip_reasons[v[i].skip]);
	}
}

/* In a process of its own: names come from files that others wrote. */
static int list_interfaces(const struct fl_run *run, bool terminal)
{
	struct fl_interface *v FL_CLEANUP(fl_freep) = NULL;
	struct fl_discovery *d = NULL;
	size_t n = 0, metered = 0;
	int r = fl_discovery_new(&d, &run->discovery);

	if (!r)
		r = fl_names_drop(run);
	if (!r)
		r = fl_discovery_list(d, &v, &n);
	fl_discovery_free(&d);
	for (size_t i = 0; i < n; i++) {
		const struct fl_eni *e = &v[i].eni;

		if (v[i].skip != FL_SKIP_NONE)
			continue;
		metered++;
		if (terminal)
			printf("  %s  %-10s %-24s %s\n", e->interface_id, e->kind, e->name,
			       strcmp(e->name, e->device) ? e->device : "");
		else
			fl_info("%s is metered as %s (%s %s)", e->device, e->interface_id, e->kind, e->name);
	}
	say_skipped(v, n, terminal);
	if (!r && !metered)
		fl_warn("no interface to meter yet; one that appears is followed");
	fflush(stdout);
	return r;
}

static int say_interfaces(const struct fl_run *run, bool terminal)
{
	int status = 0, r;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (!pid) {
		struct fl_live *maps = run->privileged; /* with everybody's traffic: not for this process */

		if (maps)
			run->ops->close(&maps, false);
		r = list_interfaces(run, terminal);
		if (r)
			fl_err("%s", fl_error_text(r));
		_exit(r ? 1 : 0);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return fl_fail(-errno, "the interfaces cannot be listed: %m");
	return status ? fl_fail(-EIO, "the interfaces cannot be listed; what was said last is why") : 0;
}

static int say_start(const struct fl_run *run, const struct fl_store_dir *dir, bool terminal)
{
	const char *backend = run->privileged ? "eBPF on tc" : "AF_PACKET";
	const char *because = run->fallback_reason ? run->fallback_reason : "";
	unsigned window = (unsigned)(run->live.window_ns / FL_NS_PER_S);
	int r;

	if (terminal)
		printf("flowlog " FL_VERSION ": %s, windows of %u s, store %s (user %u)\n", backend, window, dir->path,
		       run->uid);
	else
		fl_info("flowlog " FL_VERSION ": %s, windows of %u s, store %s (user %u)", backend, window, dir->path,
			run->uid);
	if (*because)
		fl_warn("falling back to AF_PACKET: %s", because);
	if (!run->verdicts)
		fl_warn("verdicts are not observed, ACCEPT only means \"not seen rejected\": %s", run->no_verdicts);
	else if (terminal)
		printf("  REJECT: what this host's packet filter drops\n");
	else
		fl_info("verdicts: what this host's packet filter drops is REJECT");
	if (run->reused)
		fl_info("taking over what an earlier run left attached");
	r = say_interfaces(run, terminal);
	for (size_t i = 0; !r && i < run->n_logs; i++)
		if (!terminal)
			fl_info("flow log %s: every %u s to s3/%s%s%s", run->logs[i].id, run->logs[i].interval,
				run->logs[i].bucket, *run->logs[i].prefix ? "/" : "", run->logs[i].prefix);
	if (terminal)
		printf("  next: %s tail --store %s    %s query 'SELECT * FROM flows' --store %s\n\n", fl_cli_program(),
		       run->store, fl_cli_program(), run->store);
	fflush(stdout);
	return r;
}

/* ---- run ---- */

static int check(const struct conf *c, struct fl_run *run, struct logs *logs)
{
	int r = check_numbers(c);

	if (!r)
		r = located(c, "exclusions",
			    fl_exclusions_parse(c->exclusions ? c->exclusions : "none", &run->exclusions));
	if (r)
		return r;
	return make_logs(c, &run->discovery.identity, logs);
}

static int supervise(const struct conf *c, struct fl_run *run)
{
	FL_CLEANUP(fl_freep) char *reason = calloc(1, 256);
	FL_CLEANUP(fl_freep) struct fl_store_dir *dir = malloc(sizeof *dir);
	bool terminal = isatty(STDOUT_FILENO);
	int r, status = 1;

	if (!dir || !reason)
		return -ENOMEM;
	*dir = FL_STORE_DIR;
	r = check_privilege();
	if (!r)
		r = fl_store_owner(c->user, c->store, &run->uid, &run->gid);
	if (!r)
		r = fl_store_dir_open(dir, c->store, run->uid, run->gid);
	if (!r) {
		run->statefd = dir->statefd;
		run->shmfd = dir->shmfd;
		run->live.pin_name = dir->id;
		r = open_backend(run, c->backend, dir->has_log, reason);
	}
	run->quiet = terminal;
	if (!r)
		ask_verdicts(run);
	if (!r)
		r = say_start(run, dir, terminal);
	if (!r)
		status = fl_supervise(run, terminal);
	if (run->privileged)
		run->ops->close(&run->privileged, true);
	fl_store_dir_close(dir, !r && !status);
	return r ? r : status;
}

static int run_command(void *conf, int argc, char **argv)
{
	static const char *const everything[] = {"*", NULL};
	struct conf *c = conf;
	struct logs *logs FL_CLEANUP(fl_freep) = calloc(1, sizeof *logs);
	struct fl_run run = {
	    .store = c->store,
	    .statefd = -1,
	    .shmfd = -1,
	    .discovery = {.include = c->include, .exclude = c->exclude, .netns = c->netns},
	    .live = {.ring_bytes = c->ring, .window_ns = c->window_ns, .afpacket_bytes = c->ring, .inner = c->inner},
	    .memory_limit = c->memory,
	    .exclusions_given = c->exclusions != NULL,
	    .inventory = c->inventory,
	    .journal_bytes = c->journal,
	};
	int r;

	if (argc) {
		fprintf(stderr, "flowlog run: %s: run takes no operands\n", argv[0]);
		return 2;
	}
	fl_identity_defaults(&run.discovery.identity);
	r = logs ? check(c, &run, logs) : -ENOMEM;
	if (!r && c->check_config) {
		if (c->config)
			printf("%s: good\n", fl_config_file(c->config));
		return 0;
	}
	if (!r) {
		run.logs = logs->v;
		run.n_logs = logs->n;
		for (size_t i = 0; i < logs->n; i++)
			run.translations |= wants_packet_addresses(&logs->v[i]);
		/* flow_logs: [] is the state of a fresh package: nothing attached, nothing changed.
		 */
		if (!logs->n)
			run.discovery.exclude = everything;
		r = supervise(c, &run);
	}
	if (r < 0)
		fprintf(stderr, c->check_config ? "%s%s\n" : "flowlog run: %s%s\n", "", fl_error_text(r));
	return r < 0 ? 1 : r;
}

const struct fl_command fl_cmd_run = {
    .name = "run",
    .summary = "meter every interface and write flow logs",
    .synopsis = "[OPTION]...",
    .description = "Without any configuration one flow log over every interface: windows of 60 "
		   "seconds, AWS's default format, below ./flowlog-data. "
		   "On a terminal the open window is shown live; otherwise what happens is logged, "
		   "a line an event. It needs root to attach to interfaces; "
		   "everything that reads packets or writes files runs as the user who called "
		   "sudo, to whom the store belongs.\n\n"
		   "REJECT is what this host's packet filter (nftables, iptables) dropped: a packet that "
		   "came in under the addresses it came in with, one on its way out at the interface "
		   "it would have left by. Where the kernel does not tell, which is said at the start "
		   "and by \"flowlog status\", ACCEPT only means that nothing was seen rejected.\n\n"
		   "A run that is killed loses nothing: what the kernel counts meanwhile is taken "
		   "over by the next run. When there is not to be a next "
		   "one, \"flowlog detach\" removes what is attached. SIGTERM ends a run: the open "
		   "window is closed and delivered, nothing stays attached.",
    .options = options,
    .conf_size = sizeof(struct conf),
    .run = run_command,
    .examples = "sudo flowlog run\n  meter everything, here and now\n"
		"sudo flowlog run --config /etc/flowlog/flowlog.yaml --check-config\n  is the file good?\n",
};
