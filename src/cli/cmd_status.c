/* SPDX-License-Identifier: Apache-2.0 */
/* flowlog status: roles, backend, lag, journal, errors. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/units.h"
#include "cli/cli.h"
#include "cli/print.h"
#include "cli/status.h"

struct conf {
	const char *store;
	int output;
};

static const char *const roles[] = {"supervisor", "meter", "names", "deliver"};
#define ROLES FL_ARRAY_LEN(roles)
enum { SUPERVISOR, METER, NAMES, DELIVER };

struct picture {
	struct fl_status_file role[ROLES];
	bool there[ROLES];
};

static int read_all(struct picture *p, const char *store)
{
	static const size_t order[ROLES] = {METER, SUPERVISOR, NAMES, DELIVER};

	for (size_t i = 0; i < ROLES; i++) {
		size_t k = order[i];
		int r = fl_status_read(&p->role[k], store, roles[k]);

		p->there[k] = !r;
		if (r && (r != -ENOENT || k == METER))
			return r;
	}
	return 0;
}

/* Whole documents, one a line: what a script wants is already JSON. */
static int print_json(const struct picture *p, struct fl_buf *out)
{
	int r = 0;

	for (size_t i = 0; !r && i < ROLES; i++) {
		char *text = p->there[i] ? json_dumps(p->role[i].root, JSON_COMPACT) : NULL;

		if (!text)
			continue;
		r = fl_buf_adds(out, text);
		r = r ? r : fl_buf_adds(out, "\n");
		free(text);
	}
	return r;
}

static int add_roles(struct picture *p, const char *store, struct fl_print *print)
{
	struct fl_status_file *sup = &p->role[SUPERVISOR];
	const json_t *list = fl_status_array(sup, sup->root, "roles");
	int r = 0;

	for (size_t i = 0; !r && i < ROLES; i++) {
		struct fl_status_file *s = &p->role[i];
		int64_t age = p->there[i] ? fl_status_age(s) : 0;
		bool running = p->there[i] && fl_status_role_runs(s, store);
		uint64_t restarts = 0;

		for (size_t k = 0; k < json_array_size(list); k++)
			if (!strcmp(fl_status_str(sup, json_array_get(list, k), "name"), roles[i]))
				restarts = fl_status_u64(sup, json_array_get(list, k), "restarts");
		r = fl_grid_adds(&print->grid, roles[i]);
		r = r ? r : fl_grid_adds(&print->grid, running ? "running" : "not running");
		r = r ? r : fl_grid_addf(&print->grid, "%" PRIu64, fl_status_u64(s, s->root, "pid"));
		r = r ? r : fl_grid_addf(&print->grid, "%" PRIu64, restarts);
		r = r             ? r
		    : p->there[i] ? fl_grid_addf(&print->grid, "%" PRId64 " s ago", age)
				  : fl_grid_adds(&print->grid, "never");
		if (s->error)
			return s->error;
	}
	return r;
}

/* Where verdicts come from; what is dropped behind the interfaces for other reasons is no verdict. */
static int add_denied(const struct fl_status_file *s, const struct fl_status_ledger *l, struct fl_buf *out)
{
	const json_t *interfaces = json_object_get(s->root, "interfaces");
	const uint64_t answered = l->verdict[FL_VERDICT_CONTRADICTED].packets;
	size_t enforced = 0, i;
	json_t *o;
	int r;

	json_array_foreach(interfaces, i, o) enforced += json_is_true(json_object_get(o, "enforced"));
	if (!enforced && !l->verdict[FL_VERDICT_DENIED].packets && !answered)
		return 0;
	r = fl_buf_printf(out, "rules       in force on %zu interface%s: %" PRIu64 " packets denied", enforced,
			  fl_plural(enforced), l->verdict[FL_VERDICT_DENIED].packets);
	if (!r && answered)
		r = fl_buf_printf(out,
				  "; but %" PRIu64
				  " packets answer what they deny: they were not in force (flowlog audit names them)",
				  answered);
	return r ? r : fl_buf_adds(out, "\n");
}

static int add_verdicts(struct fl_status_file *s, const struct fl_status_ledger *l, struct fl_buf *out)
{
	const json_t *v = fl_status_object(s, s->root, "verdicts"), *others = fl_status_object(s, v, "other_drops");
	const char *source = fl_status_str(s, v, "source"), *name;
	uint64_t untold = fl_status_u64(s, v, "untold");
	json_t *n;
	int r;

	if (!v)
		return 0;
	if (strcmp(source, "kernel") != 0)
		return fl_buf_printf(out, "verdicts    not observed: %s; ACCEPT only means \"not seen rejected\"\n",
				     fl_status_str(s, v, "reason"));
	r = fl_buf_printf(out,
			  "verdicts    from the kernel: %" PRIu64 " packets rejected, %" PRIu64
			  " more before the interface, %" PRIu64 " unmatched%s",
			  l->verdict[FL_VERDICT_REJECTED].packets, l->verdict[FL_VERDICT_BEFORE].packets,
			  l->verdict[FL_VERDICT_UNMATCHED].packets + untold,
			  json_object_size(others) ? "; dropped for other reasons:" : "");
	json_object_foreach((json_t *)others, name, n) r =
	    r ? r : fl_buf_printf(out, " %s %" PRIu64, name, fl_status_u64(s, others, name));
	return r ? r : fl_buf_adds(out, "\n");
}

/* Nothing when the interfaces carry what was discovered. */
static int add_inventory(struct fl_status_file *s, struct fl_buf *out)
{
	const json_t *v = fl_status_object(s, s->root, "inventory");
	uint64_t problems = fl_status_u64(s, v, "problems");
	int r;

	if (!v)
		return 0;
	r = fl_buf_printf(out, "inventory   %s: %" PRIu64 " of its %" PRIu64 " interfaces are here",
			  fl_status_str(s, v, "name"), fl_status_u64(s, v, "bound"), fl_status_u64(s, v, "interfaces"));
	if (!r && problems)
		r = fl_buf_printf(out, "; %" PRIu64 " problems in it", problems);
	return r ? r : fl_buf_adds(out, "\n");
}

static int add_meter(struct fl_status_file *s, struct fl_buf *out)
{
	const json_t *journal = fl_status_object(s, s->root, "journal"),
		     *list = fl_status_array(s, s->root, "interfaces");
	const char *reason = fl_status_str(s, s->root, "reason");
	struct fl_status_ledger l;
	char memory[16], bytes[16];
	uint64_t frames = fl_status_u64(s, journal, "frames"), flows = fl_status_u64(s, journal, "flows"),
		 dropped = fl_status_u64(s, journal, "dropped_windows"),
		 open = fl_status_u64(s, s->root, "flows_active");
	size_t metered = 0;
	int r;

	for (size_t i = 0; i < json_array_size(list); i++)
		metered += fl_status_bool(s, json_array_get(list, i), "metered");
	fl_status_ledger(s, s->root, "totals", &l);
	r = fl_buf_printf(out, "\nbackend     %s%s%s%s\n", fl_status_str(s, s->root, "backend"), *reason ? " (" : "",
			  reason, *reason ? ")" : "");
	r = r ? r : fl_buf_printf(out, "interfaces  %zu metered of %zu\n", metered, json_array_size(list));
	r = r ? r : add_inventory(s, out);
	r = r ? r
	      : fl_buf_printf(
		    out, "packets     %" PRIu64 " seen, %" PRIu64 " recorded, %" PRIu64 " excluded, %" PRIu64 " lost\n",
		    l.seen.packets, l.recorded.packets, l.excluded.packets, l.lost.packets);
	r = r ? r
	      : fl_buf_printf(out, "open        %" PRIu64 " flow%s, %s of memory\n", open, fl_plural(open),
			      fl_human_bytes(fl_status_u64(s, s->root, "memory_bytes"), memory));
	r = r ? r
	      : fl_buf_printf(out,
			      "journal     %" PRIu64 " frame%s, %" PRIu64 " flow%s, %s written; %" PRIu64
			      " window%s dropped unread\n",
			      frames, fl_plural(frames), flows, fl_plural(flows),
			      fl_human_bytes(fl_status_u64(s, journal, "bytes"), bytes), dropped, fl_plural(dropped));
	r = r ? r : add_verdicts(s, &l, out);
	r = r ? r : add_denied(s, &l, out);
	return r ? r : s->error;
}

static int add_deliver(struct fl_status_file *s, struct fl_buf *out)
{
	const json_t *logs = fl_status_array(s, s->root, "flow_logs");
	int r = 0;

	for (size_t i = 0; !r && i < json_array_size(logs); i++) {
		const json_t *o = json_array_get(logs, i);
		const char *error = fl_status_str(s, o, "last_error");
		uint64_t objects = fl_status_u64(s, o, "objects"), records = fl_status_u64(s, o, "records"),
			 failures = fl_status_u64(s, o, "failures");

		r = fl_buf_printf(out,
				  "flow log    %s: %" PRIu64 " object%s, %" PRIu64 " record%s, %" PRIu64
				  " failure%s, %" PRIu64 " s behind\n",
				  fl_status_str(s, o, "id"), objects, fl_plural(objects), records, fl_plural(records),
				  failures, fl_plural(failures), fl_status_u64(s, o, "lag_seconds"));
		if (!r && *error)
			r = fl_buf_printf(out, "            %s\n", error);
	}
	return r ? r : s->error;
}

/* Strings of the status go through the grid or are cleaned here: they must not drive the terminal.
 */
static int clean(struct fl_buf *text)
{
	struct fl_buf out = FL_BUF(text->max);
	int r = 0;

	for (const char *p = text->data, *end = p + text->len; !r && p < end;) {
		const char *stop = memchr(p, '\n', (size_t)(end - p));

		fl_grid_clean(&out, p, (size_t)(stop - p));
		r = fl_buf_adds(&out, "\n");
		p = stop + 1;
	}
	fl_buf_free(text);
	*text = out;
	return r;
}

static int print_table(struct picture *p, const char *store, struct fl_print *print)
{
	int r = add_roles(p, store, print);

	if (!r)
		r = add_meter(&p->role[METER], &print->out);
	if (!r && p->there[DELIVER])
		r = add_deliver(&p->role[DELIVER], &print->out);
	if (!r)
		r = clean(&print->out);
	return r ? r : fl_print_table(print);
}

static int run(void *conf, int argc, char **argv)
{
	static const char *const heads[] = {"ROLE", "STATE", "PID", "RESTARTS", "WRITTEN"};
	const struct conf *c = conf;
	struct picture p = {0};
	struct fl_print print;
	int r;

	if (argc) {
		fprintf(stderr,
			"flowlog status: %s: status takes no operands; name a state directory with "
			"--store\n",
			argv[0]);
		return 2;
	}
	r = fl_print_begin(&print, heads, FL_ARRAY_LEN(heads));
	if (!r)
		r = read_all(&p, c->store);
	if (!r && c->output == 1) {
		r = print_json(&p, &print.out);
		r = r ? r : fl_print_flush(&print);
	} else if (!r) {
		r = print_table(&p, c->store, &print);
	}
	for (size_t i = 0; i < ROLES; i++)
		fl_status_free(&p.role[i]);
	fl_print_end(&print);
	if (r)
		fprintf(stderr, "flowlog status: %s\n", fl_error_text(r));
	return r ? 1 : 0;
}

static const struct fl_option options[] = {
    {"store", 0, "store", FL_OPT_STRING, "DIR", FL_STORE_DEFAULT, NULL, "The state directory of the daemon.",
     offsetof(struct conf, store)},
    {"output", 'o', NULL, FL_OPT_ENUM, "FORM", "table", "table|json",
     "table for people; json is each role's status file, one a line.", offsetof(struct conf, output)},
    {0},
};

const struct fl_command fl_cmd_status = {
    .name = "status",
    .summary = "how the daemon is doing",
    .synopsis = "[OPTION]...",
    .description = "Shows the daemon's roles and when each last wrote its status, the capture backend, the "
		   "ledger of all closed windows, the journal, and "
		   "for each flow log what was delivered, how far delivery is behind and its last error.",
    .options = options,
    .conf_size = sizeof(struct conf),
    .run = run,
    .examples = "flowlog status\n  the state at a glance\n",
};
