/* SPDX-License-Identifier: Apache-2.0 */
/* flowlog inventory: take AWS's own description of a network over, and show what was understood of it. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/units.h"
#include "cli/cli.h"
#include "cli/inventory_show.h"
#include "cli/print.h"
#include "inventory/network.h"

#define PROBLEMS_SHOWN 20 /* -o json has them all */

struct conf {
	const char *store, *inventory, *at;
	int output;
};

/* ---- what an import says ---- */

struct noun_count {
	const char *people;
	size_t n;
};

static size_t count_nouns(const struct fl_network *net, struct noun_count *ret, size_t max)
{
	size_t kinds = 0, n;

#define FL_NOUN(kind, type, suffix, people_, prefix)                                                                   \
	fl_network_##suffix(net, &n);                                                                                  \
	if (kinds < max)                                                                                               \
		ret[kinds++] = (struct noun_count){people_, n};
	FL_NOUNS(FL_NOUN)
#undef FL_NOUN
	return kinds;
}

static int report_json(struct fl_buf *out, const struct fl_network *net, const char *path)
{
	struct fl_json j = FL_JSON(out);
	struct noun_count counts[32];
	size_t kinds = count_nouns(net, counts, FL_ARRAY_LEN(counts)), n;
	const struct fl_problem *p = fl_network_problems(net, &n);
	const char *const *missing;

	fl_json_object(&j);
	fl_json_kstr(&j, "import", *path ? path : NULL);
	fl_json_key(&j, "read");
	fl_json_object(&j);
	for (size_t i = 0; i < kinds; i++)
		fl_json_ku64(&j, counts[i].people, counts[i].n);
	fl_json_kbool(&j, "public address ranges", fl_network_has_ranges(net));
	fl_json_end_object(&j);
	fl_json_key(&j, "problems");
	fl_json_array(&j);
	for (size_t i = 0; i < n; i++) {
		fl_json_object(&j);
		fl_json_kstr(&j, "file", p[i].file);
		fl_json_kstr(&j, "path", p[i].path);
		fl_json_kstr(&j, "text", p[i].text);
		fl_json_kbool(&j, "left_out", p[i].fatal);
		fl_json_end_object(&j);
	}
	fl_json_end_array(&j);
	missing = fl_network_missing(net, &n);
	fl_json_key(&j, "missing");
	fl_json_array(&j);
	for (size_t i = 0; i < n; i++)
		fl_json_str(&j, missing[i]);
	fl_json_end_array(&j);
	fl_json_end_object(&j);
	return fl_json_done(&j) ? fl_json_done(&j) : fl_buf_adds(out, "\n");
}

/* The texts come from files of others: nothing in them may drive the terminal. */
static void add_clean(struct fl_buf *out, const char *text)
{
	fl_grid_clean(out, text, strlen(text));
}

static int report_text(struct fl_buf *out, const struct fl_network *net, const char *path)
{
	struct noun_count counts[32];
	size_t kinds = count_nouns(net, counts, FL_ARRAY_LEN(counts)), n, shown;
	const struct fl_problem *p = fl_network_problems(net, &n);
	const char *const *missing;

	for (size_t i = 0; i < kinds; i++)
		if (counts[i].n)
			fl_buf_printf(out, "%7zu %s%s\n", counts[i].n, counts[i].people, counts[i].n == 1 ? "" : "s");
	if (fl_network_has_ranges(net))
		fl_buf_adds(out, "        public address ranges\n");
	shown = FL_MIN(n, (size_t)PROBLEMS_SHOWN);
	if (n)
		fl_buf_printf(out, "\n%zu problem%s:\n", n, n == 1 ? "" : "s");
	for (size_t i = 0; i < shown; i++) {
		fl_buf_adds(out, "  ");
		add_clean(out, p[i].file);
		fl_buf_adds(out, *p[i].path ? ": " : "");
		add_clean(out, p[i].path);
		fl_buf_adds(out, ": ");
		add_clean(out, p[i].text);
		fl_buf_adds(out, "\n");
	}
	if (shown < n)
		fl_buf_printf(out, "  and %zu more: -o json lists them all\n", n - shown);
	missing = fl_network_missing(net, &n);
	if (n)
		fl_buf_adds(out, "\nNot there; these commands print it:\n");
	for (size_t i = 0; i < n; i++)
		fl_buf_printf(out, "  %s\n", missing[i]);
	return *path ? fl_buf_printf(out, "\nImported as %s.\n", path) : 0;
}

static int import(const struct conf *c, int argc, char **argv, struct fl_buf *out)
{
	struct fl_network *net = NULL;
	char path[4096];
	int r;

	if (!argc)
		return fl_fail(
		    -EDOM,
		    "import needs a directory or files: what the commands of \"flowlog inventory commands\" print");
	r = fl_inventory_import(c->store, argv, (size_t)argc, time(NULL), &net, path, sizeof path);
	if (!r)
		r = c->output == FL_INVENTORY_JSON ? report_json(out, net, path) : report_text(out, net, path);
	fl_network_free(&net);
	return r || *path ? r : fl_fail(-ENODATA, "nothing in it could be used; nothing was imported");
}

/* ---- the other verbs ---- */

static int show(const struct conf *c, int argc, char **argv, struct fl_buf *out)
{
	struct fl_network *net = NULL;
	int64_t at = FL_INVENTORY_NOW;
	int r = c->at ? fl_parse_time(c->at, &at) : 0;

	if (r)
		return fl_fail(-EDOM, "--at: %s", fl_error_text(r));
	if (argc > 1)
		return fl_fail(-EDOM, "%s: show takes one name", argv[1]);
	r = fl_inventory_open(c->store, c->inventory, at, &net);
	if (!r)
		fl_inventory_tell("inventory", net);
	if (!r)
		r = argc ? fl_inventory_show_one(net, argv[0], c->output, out)
			 : fl_inventory_show_all(net, c->output, out);
	fl_network_free(&net);
	return r;
}

static int history(const struct conf *c, int argc, char **argv, struct fl_buf *out)
{
	struct fl_inventory_version *v FL_CLEANUP(fl_freep) = NULL;
	size_t n;
	int r = fl_inventory_history(c->store, &v, &n);

	if (argc)
		return fl_fail(-EDOM, "%s: history takes no operands", argv[0]);
	for (size_t i = 0; !r && i < n; i++) {
		struct fl_json j = FL_JSON(out);
		char since[24];

		fl_time_rfc3339(v[i].since, since);
		if (c->output != FL_INVENTORY_JSON) {
			r = fl_buf_printf(out, "%s  %s/" FL_INVENTORY_DIR "/%s\n", since, c->store, v[i].name);
			continue;
		}
		fl_json_object(&j);
		fl_json_kstr(&j, "since", since);
		fl_json_kstr(&j, "name", v[i].name);
		fl_json_end_object(&j);
		r = fl_json_done(&j);
		r = r ? r : fl_buf_adds(out, "\n");
	}
	return r;
}

/* All that a complete inventory has, as a script to run in an empty directory. */
static int commands(const struct conf *c, int argc, char **argv, struct fl_buf *out)
{
	const char *command;

	(void)c;
	if (argc)
		return fl_fail(-EDOM, "%s: commands takes no operands", argv[0]);
	for (size_t i = 0; (command = fl_network_command(i)); i++)
		fl_buf_printf(out, "%s\n", command);
	for (size_t i = 0; i < FL_EACH_N; i++) {
		fl_buf_printf(out, "for id in $(%s); do ", fl_network_each[i].ids);
		for (const char *p = fl_network_each[i].command; *p; p++)
			fl_buf_add(out, *p == '@' ? "$id" : p, *p == '@' ? 3 : 1);
		fl_buf_adds(out, "; done\n");
	}
	return out->len ? 0 : -ENOMEM;
}

static const struct verb {
	const char *name;
	int (*run)(const struct conf *c, int argc, char **argv, struct fl_buf *out);
} verbs[] = {{"import", import}, {"show", show}, {"history", history}, {"commands", commands}};

static int run(void *conf, int argc, char **argv)
{
	struct fl_print p = {.out = FL_BUF(256u << 20)};
	const struct verb *v = NULL;
	int r, flushed;

	for (size_t i = 0; argc && i < FL_ARRAY_LEN(verbs); i++)
		if (!strcmp(argv[0], verbs[i].name))
			v = &verbs[i];
	if (!v) {
		fprintf(stderr, "flowlog inventory: %s%sexpected import, show, history or commands\n",
			argc ? argv[0] : "", argc ? ": " : "");
		return 2;
	}
	r = v->run(conf, argc - 1, argv + 1, &p.out);
	/* an import of nothing still says why */
	flushed = p.out.len ? fl_write_all(1, p.out.data, p.out.len) : 0;
	if (r)
		fprintf(stderr, "flowlog inventory: %s\n", fl_error_text(r));
	else if (flushed)
		fprintf(stderr, "flowlog inventory: standard output: %s\n", strerror(-flushed));
	fl_buf_free(&p.out);
	return r == -EDOM ? 2 : r || flushed ? 1 : 0;
}

static const struct fl_option options[] = {
    {"store", 's', "store", FL_OPT_STRING, "DIR", "./flowlog-data", NULL,
     "The state directory; imports are kept below it.", offsetof(struct conf, store)},
    {"inventory", 0, "inventory", FL_OPT_STRING, "DIR", NULL, NULL,
     "show: read this directory of JSON files instead of an import.", offsetof(struct conf, inventory)},
    {"at", 0, NULL, FL_OPT_STRING, "TIME", NULL, NULL,
     "show: what was valid then (2026-11-24T11:20:00Z) instead of now.", offsetof(struct conf, at)},
    {"output", 'o', NULL, FL_OPT_ENUM, "FORM", "table", "table|json",
     "Form of the output; lists are one object a line.", offsetof(struct conf, output)},
    {0},
};

const struct fl_command fl_cmd_inventory = {
    .name = "inventory",
    .summary = "AWS's own description of a network: import it, show it",
    .synopsis = "[OPTION]... import DIR|FILE... | show [NAME] | history | commands",
    .description =
	"import copies files that the AWS CLI's describe commands print into the store, as they are, and says what was "
	"read, what could not be used (with its place in the file) and what is missing, with the command that prints "
	"it. "
	"What is usable is used. Every import is kept: the newest is the current one, and what was valid at an earlier "
	"time can still be asked for. Files may have any names and may be the pages of one call; entries of a prefix "
	"list "
	"are in a file of the list's name (pl-0123456789abcdef0.json), routes and propagations of a transit gateway "
	"route table in files of that table's (tgw-rtb-0123456789abcdef0.json). A file that cannot be read is named, "
	"and "
	"the others are taken.\n\n"
	"bindings.json beside them says which Linux interface is which network interface: {\"Bindings\": "
	"[{\"NetworkInterfaceId\": \"eni-...\", \"Interface\": \"veth1\" or \"MacAddress\": \"02:...\", \"NetNs\": "
	"\"\", "
	"\"End\": \"guest\" or \"host\", \"Enforced\": true}]}. One whose MAC address is that of the inventory needs "
	"no "
	"row. Instead of NetworkInterfaceId there may be TransitGatewayAttachmentId, for the only interface of an "
	"attachment, or for the attachment itself where it has none (VPN, peering): the metered interface is then the "
	"gateway's end, and what comes in by it enters the gateway; or NatGatewayId, for a regional NAT gateway. The "
	"running daemon takes a new import over with its next window. With \"Enforced\" what the interface's "
	"groups, ACLs and Block Public Access deny is recorded REJECT. A window's flows are judged when it closes, in "
	"the order they began; the packets of a tuple in one window have one verdict, from the OR of their TCP flags, "
	"so packets that come late within the window a connection closed in are not told apart. An answer to what was "
	"denied says that the rules were not in force: flowlog audit fails and names the interface.\n\n"
	"Encryption controls of a VPC are read, but decide nothing: whether an endpoint rejects a packet because of "
	"them "
	"does not follow from its addresses and ports, so reject-reason is never EC.\n\n"
	"show lists the interfaces, or shows one with all that applies to it: NAME is its id, its name, an instance or "
	"an "
	"address. history lists the imports. commands prints a script that makes a complete directory.",
    .options = options,
    .conf_size = sizeof(struct conf),
    .run = run,
    .examples = "mkdir aws && cd aws && flowlog inventory commands | sh\n  ask AWS for everything (CLUSTER stands for "
		"each ECS cluster)\n"
		"flowlog inventory import aws\n  take it over, and see what is missing\n"
		"flowlog inventory show web-1\n  one interface with its groups, ACL and routes\n",
};
