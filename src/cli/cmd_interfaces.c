/* SPDX-License-Identifier: Apache-2.0 */
/* flowlog interfaces: what is metered, what is not and why. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/json.h"
#include "cli/cli.h"
#include "cli/print.h"
#include "cli/status.h"
#include "inventory/inventory.h"

struct conf {
	const char *store;
	int output;
};

struct row {
	const char *eni, *name, *kind, *device, *netns, *skip, *owner;
	struct fl_labels labels;
	bool metered;
};

struct list {
	struct fl_print print;
	bool json;
};

static const char *const heads[] = {"ENI", "NAME", "KIND", "DEVICE", "NAMESPACE", "METERED"};

static int add_row(struct list *l, const struct row *w)
{
	struct fl_json j = FL_JSON(&l->print.out);
	const char *const cells[] = {w->metered ? w->eni : "-",   w->name, w->kind, w->device, w->netns,
				     w->metered ? "yes" : w->skip};
	const char *key, *value;
	size_t at = 0;
	int r = 0;

	if (!l->json) {
		for (size_t i = 0; !r && i < FL_ARRAY_LEN(cells); i++)
			r = fl_grid_adds(&l->print.grid, i == 4 && !*cells[i] ? "-" : cells[i]);
		return r;
	}
	fl_json_object(&j);
	fl_json_kstr(&j, "eni", w->eni);
	fl_json_kstr(&j, "name", w->name);
	fl_json_kstr(&j, "kind", w->kind);
	fl_json_kstr(&j, "device", w->device);
	fl_json_kstr(&j, "netns", w->netns);
	fl_json_kbool(&j, "metered", w->metered);
	fl_json_kstr(&j, "skip", w->skip);
	if (*w->owner) {
		fl_json_kstr(&j, "owner", w->owner);
		fl_json_key(&j, "labels");
		fl_json_object(&j);
		while (fl_label_next(&w->labels, &at, &key, &value))
			fl_json_kstr(&j, key, value);
		fl_json_end_object(&j);
	}
	fl_json_end_object(&j);
	r = fl_json_done(&j);
	return r ? r : fl_buf_adds(&l->print.out, "\n");
}

static int from_status(struct list *l, struct fl_status_file *s, const char *store)
{
	FL_CLEANUP(fl_identities_free) struct fl_identities *identities = NULL;
	const json_t *all = fl_status_array(s, s->root, "interfaces");
	int r = fl_identities_new(&identities, store);

	for (size_t i = 0; !r && i < json_array_size(all); i++) {
		const json_t *o = json_array_get(all, i);
		const struct fl_identity *who = fl_identities_now(identities, fl_status_str(s, o, "discovered"));

		r = add_row(l, &(struct row){
				   .eni = fl_status_str(s, o, "eni"),
				   .name = fl_status_str(s, o, "name"),
				   .kind = fl_status_str(s, o, "kind"),
				   .device = fl_status_str(s, o, "device"),
				   .netns = fl_status_str(s, o, "netns"),
				   .skip = fl_status_str(s, o, "skip"),
				   .owner = fl_status_str(s, o, "owner"),
				   .labels = who ? who->labels : (struct fl_labels){0},
				   .metered = fl_status_bool(s, o, "metered"),
			       });
	}
	return r ? r : s->error;
}

#ifdef FL_CAPTURE
static int from_discovery(struct list *l)
{
	struct fl_discovery_conf conf = {0};
	struct fl_discovery *d = NULL;
	struct fl_interface *found = NULL;
	size_t n = 0;
	int r;

	fl_identity_defaults(&conf.identity);
	r = fl_discovery_new(&d, &conf);
	if (!r)
		r = fl_discovery_list(d, &found, &n);
	for (size_t i = 0; !r && i < n; i++)
		r = add_row(l, &(struct row){
				   .eni = found[i].eni.interface_id,
				   .name = found[i].eni.name,
				   .kind = found[i].eni.kind,
				   .device = found[i].eni.device,
				   .netns = found[i].eni.netns,
				   .skip = found[i].skip ? fl_skip_reasons[found[i].skip] : "",
				   .owner = fl_discovery_is_named(&found[i]) ? found[i].eni.name : "",
				   .labels = fl_discovery_labels(d, &found[i]),
				   .metered = !found[i].skip,
			       });
	free(found);
	fl_discovery_free(&d);
	return r;
}
#else
static int from_discovery(struct list *l)
{
	(void)l;
	return fl_fail(-ENOTSUP, "no daemon runs on this store, and this flowlog was built without "
				 "live capture: it cannot look itself");
}
#endif

static int run(void *conf, int argc, char **argv)
{
	const struct conf *c = conf;
	struct list l = {.json = c->output == 1};
	struct fl_status_file s;
	bool running;
	int r;

	if (argc) {
		fprintf(stderr, "flowlog interfaces: %s: interfaces takes no operands\n", argv[0]);
		return 2;
	}
	r = fl_print_begin(&l.print, heads, FL_ARRAY_LEN(heads));
	if (!r)
		r = fl_status_read(&s, c->store, "meter");
	running = !r && fl_status_daemon_runs(&s, c->store);
	if (running) {
		r = from_status(&l, &s, c->store);
	} else if (!r || r == -ENOENT) {
		if (isatty(STDERR_FILENO))
			fputs("flowlog interfaces: no daemon runs on this store; this is what one "
			      "would meter\n",
			      stderr);
		r = from_discovery(&l);
	}
	fl_status_free(&s);
	if (!r)
		r = l.json ? fl_print_flush(&l.print) : fl_print_table(&l.print);
	fl_print_end(&l.print);
	if (r)
		fprintf(stderr, "flowlog interfaces: %s\n", fl_error_text(r));
	return r ? 1 : 0;
}

static const struct fl_option options[] = {
    {"store", 0, "store", FL_OPT_STRING, "DIR", FL_STORE_DEFAULT, NULL, "The state directory of the daemon.",
     offsetof(struct conf, store)},
    {"output", 'o', NULL, FL_OPT_ENUM, "FORM", "table", "table|json", "Form of the list; json is one object a line.",
     offsetof(struct conf, output)},
    {0},
};

const struct fl_command fl_cmd_interfaces = {
    .name = "interfaces",
    .summary = "which interfaces are metered, which are not and why",
    .synopsis = "[OPTION]...",
    .description =
	"Lists interfaces with their ENI ids, the names people know them by (container, "
	"VM, else the interface) and, where one is not metered, the "
	"reason. While a daemon runs on the store, its list is shown; else what a "
	"daemon would find.\n\n"
	"A container or VM is known by the files of its runtime: Docker, Podman, containerd, CRI-O, the "
	"results of CNI plugins, libvirt, systemd-nspawn, LXC and Incus. Those files are root's, so without a "
	"daemon only root sees those names. In JSON \"owner\" is that name, also where an inventory calls the "
	"interface something else, with its \"labels\".",
    .options = options,
    .conf_size = sizeof(struct conf),
    .run = run,
    .examples = "flowlog interfaces -o json\n  the list for a script\n",
};
