/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/where.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/units.h"
#include "cli/sources.h"
#include "cli/status.h"
#include "inventory/network.h"
#include "query/ask.h"

/* ---- names ---- */

struct fl_names {
	struct fl_words_names words;
	const char *inventory, *store;
	struct fl_network *net;
	struct fl_identities *identities;
	bool looked;
};

static void look(struct fl_names *n)
{
	char path[4096];

	if (n->looked)
		return;
	n->looked = true;
	if (n->inventory)
		snprintf(path, sizeof path, "%s", n->inventory);
	if (n->inventory || !fl_inventory_at(n->store, FL_INVENTORY_NOW, path, sizeof path)) {
		int r = fl_network_read(&n->net, path);

		if (r)
			fprintf(stderr, "flowlog: no names from the inventory: %s\n", fl_error_text(r));
	}
	if (fl_identities_new(&n->identities, n->store))
		n->identities = NULL;
	fl_error_clear();
}

static bool is_called(const struct fl_noun *noun, const char *name)
{
	return noun && (!strcmp(noun->id, name) || (*noun->name && !strcmp(noun->name, name)));
}

static bool is_eni(const struct fl_net_eni *e, const char *name)
{
	return is_called(&e->noun, name) || !strcmp(e->instance_id, name) ||
	       (e->instance && is_called(&e->instance->noun, name));
}

static size_t addresses(void *ctx, const char *name, void (*fn)(void *to, const struct fl_addr *a), void *to)
{
	struct fl_names *n = ctx;
	const struct fl_net_eni *e;
	size_t found = 0, enis = 0;

	look(n);
	e = n->net ? fl_network_enis(n->net, &enis) : NULL;
	for (size_t i = 0; i < enis; i++)
		for (size_t k = 0; k < e[i].n_addrs && is_eni(&e[i], name); k++) {
			fn(to, &e[i].addr[k].addr);
			found++;
			if (!e[i].addr[k].has_public)
				continue;
			fn(to, &e[i].addr[k].public);
			found++;
		}
	return found;
}

#define IDS_OF(type, getter)                                                                                           \
	do {                                                                                                           \
		size_t count;                                                                                          \
		const struct type *noun = getter(n->net, &count);                                                      \
                                                                                                                       \
		for (size_t i = 0; i < count; i++)                                                                     \
			if (is_called(&noun[i].noun, name)) {                                                          \
				fn(to, noun[i].noun.id);                                                               \
				found++;                                                                               \
			}                                                                                              \
	} while (0)

static size_t ids(void *ctx, const char *column, const char *name, void (*fn)(void *to, const char *id), void *to)
{
	struct fl_names *n = ctx;
	const struct fl_identity *who;
	size_t found = 0, enis = 0, at = 0;

	look(n);
	if (n->net && !strcmp(column, "vpc_id"))
		IDS_OF(fl_vpc, fl_network_vpcs);
	if (n->net && !strcmp(column, "subnet_id"))
		IDS_OF(fl_subnet, fl_network_subnets);
	if (n->net && !strcmp(column, "instance_id"))
		IDS_OF(fl_instance, fl_network_instances);
	if (strcmp(column, "interface_id"))
		return found;
	if (n->net) {
		const struct fl_net_eni *e = fl_network_enis(n->net, &enis);

		for (size_t i = 0; i < enis; i++)
			if (is_eni(&e[i], name)) {
				fn(to, e[i].noun.id);
				found++;
			}
	}
	while (n->identities && (who = fl_identities_next(n->identities, &at)))
		if (!strcmp(who->name, name) || !strcmp(who->device, name)) {
			fn(to, who->interface_id);
			found++;
		}
	return found;
}

int fl_names_new(struct fl_names **ret, const char *inventory, const char *store)
{
	struct fl_names *n = calloc(1, sizeof *n);

	if (!n)
		return -ENOMEM;
	n->inventory = inventory;
	n->store = store;
	n->words = (struct fl_words_names){addresses, ids, n};
	*ret = n;
	return 0;
}

void fl_names_free(struct fl_names **n)
{
	if (!*n)
		return;
	fl_network_free(&(*n)->net);
	fl_identities_free(&(*n)->identities);
	free(*n);
	*n = NULL;
}

const struct fl_words_names *fl_names_words(struct fl_names *n)
{
	return &n->words;
}

/* ---- times ---- */

/* The daemon of the one source, the store, runs: what is newest is now. */
static bool is_live(const struct fl_where_conf *conf, const struct fl_scan_conf *scan)
{
	struct fl_status_file s;
	bool runs;

	if (scan->paths && scan->paths[0])
		return false;
	if (fl_status_read(&s, conf->store, "meter")) {
		fl_error_clear();
		return false;
	}
	runs = fl_status_daemon_runs(&s, conf->store);
	fl_status_free(&s);
	return runs;
}

static int find_newest(const struct fl_where_conf *conf, const struct fl_scan_conf *scan, int64_t *ret)
{
	uint64_t newest;
	int r;

	if (is_live(conf, scan)) {
		*ret = time(NULL);
		return 0;
	}
	r = fl_ask_newest(scan, &newest);
	*ret = (int64_t)newest;
	if (r == -EINVAL) { /* of a source: the usage is right */
		char text[512];

		snprintf(text, sizeof text, "%s", fl_error_text(r));
		r = fl_fail(-EBADMSG, "%s", text);
	}
	return r;
}

int fl_where_time(const char *option, const char *text, const struct fl_where_conf *conf,
		  const struct fl_scan_conf *scan, int64_t *newest, int64_t *ret)
{
	uint64_t back;
	int r;

	if (!fl_parse_time(text, ret))
		return 0;
	if (fl_parse_duration_ns(text, &back))
		return fl_fail(
		    -EINVAL,
		    "%s: \"%s\" is neither a time (2026-11-20T00:00:00Z, 2026-11-20, seconds since 1970) nor how "
		    "long before the newest record (90s, 10m, 1h, 2d)",
		    option, text);
	if (fl_scan_once(scan))
		return fl_fail(-EINVAL,
			       "%s %s: to find the newest record takes a reading of its own, and %s can be read only "
			       "once; name a time (2026-11-20T00:00:00Z), or a file",
			       option, text, fl_scan_once(scan));
	r = *newest ? 0 : find_newest(conf, scan, newest);
	*ret = *newest - (int64_t)(back / FL_NS_PER_S);
	*ret = *ret < 0 ? 0 : *ret;
	return r;
}

/* Records that overlap [since, until). */
static int add_times(struct fl_filter **f, const struct fl_where_conf *c, const struct fl_scan_conf *scan)
{
	struct fl_filter *g = NULL;
	int64_t newest = 0, at, since = 0;
	int r = 0;

	if (c->since) {
		r = fl_where_time("--since", c->since, c, scan, &newest, &at);
		since = at;
		r = r ? r : fl_filter_number(&g, "end", FL_OP_GE, at < 0 ? 0 : (uint64_t)at);
		r = r ? r : fl_filter_and(f, *f, g);
	}
	if (!r && c->until) {
		r = fl_where_time("--until", c->until, c, scan, &newest, &at);
		if (!r && c->since && since >= at)
			r = fl_fail(-EINVAL, "--since %s is not before --until %s", c->since, c->until);
		r = r ? r : fl_filter_number(&g, "start", FL_OP_LT, at < 0 ? 0 : (uint64_t)at);
		r = r ? r : fl_filter_and(f, *f, g);
	}
	return r;
}

/* ---- conditions: of one option any, of several all ---- */

static int add_any(struct fl_filter **f, const char *option, const char *keyword, const char *const *values,
		   const struct fl_words_names *names)
{
	struct fl_filter *any = NULL, *one = NULL;
	int r = 0;

	for (size_t i = 0; values && values[i] && !r; i++) {
		r = keyword ? fl_words_condition(&one, keyword, values[i], names)
			    : fl_words_parse(&one, values[i], names);
		r = fl_wrap(r, "%s", option);
		if (!r && one)
			r = any && keyword ? fl_filter_or(&any, any, one) : fl_filter_and(&any, any, one);
	}
	if (r) {
		fl_filter_free(&any);
		return r;
	}
	return fl_filter_and(f, *f, any);
}

int fl_where_filter(struct fl_filter **ret, const struct fl_where_conf *c, struct fl_names *names,
		    const struct fl_scan_conf *scan)
{
	const struct {
		const char *option, *keyword;
		const char *const *values;
	} lists[] = {
	    {"--eni", "eni", c->eni},          {"--vpc", "vpc", c->vpc},
	    {"--subnet", "subnet", c->subnet}, {"--instance", "instance", c->instance},
	    {"--src", "src net", c->src},      {"--dst", "dst net", c->dst},
	    {"--port", "port", c->port},       {"--protocol", "proto", c->protocol},
	    {"--where", NULL, c->words},
	};
	struct fl_filter *f = NULL, *g = NULL;
	int r = 0;

	*ret = NULL;
	for (size_t i = 0; i < FL_ARRAY_LEN(lists) && !r; i++)
		r = add_any(&f, lists[i].option, lists[i].keyword, lists[i].values, fl_names_words(names));
	if (!r && c->action) {
		r = fl_words_parse(&g, c->action == 1 ? "accept" : "reject", NULL);
		r = r ? r : fl_filter_and(&f, f, g);
	}
	r = r ? r : add_times(&f, c, scan);
	if (r) {
		fl_filter_free(&f);
		return r;
	}
	*ret = f;
	return 0;
}
