/* SPDX-License-Identifier: Apache-2.0 */
/* flowlog whatif: recorded traffic against other rules. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/grid.h"
#include "base/hash.h"
#include "cli/cli.h"
#include "cli/inventory_show.h"
#include "cli/recorded.h"
#include "cli/sources.h"
#include "cli/whatif.h"

#define OUT_MAX (64u << 20)
#define PROBLEMS_TOLD 20

struct conf {
	struct fl_source_conf source;
	const char *inventory, *rules;
	int output;
	bool check, complete;
};

/* Rules of one time: nouns, and what they compile to. */
struct side {
	struct fl_network *net;
	struct fl_policy *policy;
	struct fl_recorded_at at;
};
struct run {
	struct side old, new; /* old.net NULL: not known */
	struct fl_roles *roles;
	struct fl_whatif w;
};

/* ---- changes ---- */

static size_t hash_key(const struct fl_change_key *k)
{
	return fl_hash_bytes(k, sizeof *k, 0);
}

static int grow_changes(struct fl_whatif *w)
{
	size_t cap = w->cap ? 2 * w->cap : 64;
	struct fl_change *more = realloc(w->change, cap * sizeof *more);
	uint32_t *index;

	if (!more)
		return -ENOMEM;
	w->change = more;
	w->cap = cap;
	index = calloc(2 * cap, sizeof *index);
	if (!index)
		return -ENOMEM;
	free(w->index);
	w->index = index;
	w->index_cap = 2 * cap;
	for (size_t i = 0; i < w->n; i++) {
		size_t at = hash_key(&w->change[i].key) & (w->index_cap - 1);

		while (index[at])
			at = (at + 1) & (w->index_cap - 1);
		index[at] = (uint32_t)i + 1;
	}
	return 0;
}

static int find_change(struct fl_whatif *w, const struct fl_change_key *key, struct fl_change **ret)
{
	size_t at;
	int r = w->n == w->cap ? grow_changes(w) : 0;

	if (r)
		return r;
	for (at = hash_key(key) & (w->index_cap - 1); w->index[at]; at = (at + 1) & (w->index_cap - 1))
		if (!memcmp(&w->change[w->index[at] - 1].key, key, sizeof *key)) {
			*ret = &w->change[w->index[at] - 1];
			return 0;
		}
	if (w->n == FL_CHANGES_MAX)
		return fl_fail(-E2BIG, "more than %u different changes; narrow the source", FL_CHANGES_MAX);
	w->index[at] = (uint32_t)w->n + 1;
	*ret = &w->change[w->n++];
	**ret = (struct fl_change){.key = *key};
	return 0;
}

static struct fl_peer *peer_slot(struct fl_peer *table, size_t cap, const struct fl_addr *a)
{
	size_t at = fl_hash_bytes(a->b, 16, 0) & (cap - 1);

	while (table[at].used && !fl_addr_equal(&table[at].addr, a))
		at = (at + 1) & (cap - 1);
	return &table[at];
}

static int add_peer(struct fl_change *c, const struct fl_addr *a, bool v6, uint64_t bytes)
{
	struct fl_peer *p;

	if (2 * c->peers >= c->peer_cap && c->peers < FL_CHANGE_PEERS_MAX) {
		size_t cap = c->peer_cap ? 2 * c->peer_cap : 8;
		struct fl_peer *more = calloc(cap, sizeof *more);

		if (!more)
			return -ENOMEM;
		for (size_t i = 0; i < c->peer_cap; i++)
			if (c->peer[i].used)
				*peer_slot(more, cap, &c->peer[i].addr) = c->peer[i];
		free(c->peer);
		c->peer = more;
		c->peer_cap = cap;
	}
	p = peer_slot(c->peer, c->peer_cap, a);
	if (!p->used) {
		if (c->peers == FL_CHANGE_PEERS_MAX) {
			c->more_peers = true;
			return 0;
		}
		*p = (struct fl_peer){.addr = *a, .used = true, .v6 = v6};
		c->peers++;
	}
	p->bytes += bytes;
	return 0;
}

static void add_service(struct fl_change *c, uint8_t proto, uint16_t port, uint64_t bytes)
{
	for (size_t i = 0; i < c->services; i++)
		if (c->service[i].proto == proto && c->service[i].port == port) {
			c->service[i].bytes += bytes;
			return;
		}
	if (c->services == FL_CHANGE_SERVICES_MAX)
		c->more_services = true;
	else
		c->service[c->services++] = (struct fl_change_service){proto, port, bytes};
}

static int add_change(struct run *run, const struct fl_scanned *s, const struct fl_subject *subject, enum fl_role role,
		      const struct fl_replayed *old, const struct fl_replayed *new)
{
	const struct fl_decision *o = &old->decision, *n = &new->decision;
	struct fl_change_key key;
	struct fl_change *c = NULL;
	bool in = fl_key_dir(&subject->key) == FL_DIR_INGRESS;
	uint16_t port = role == FL_ROLE_REPLY ? subject->key.sport : subject->key.dport;
	int r;

	memset(&key, 0, sizeof key);
	key.rejected = !n->accept;
	key.old_group = o->group;
	key.old_rule = o->group_rule;
	key.old_acl = o->by == FL_BY_ACL ? o->acl_rule : NULL;
	key.old_by = o->by;
	key.had_no_route = old->no_route;
	key.new_group = n->group;
	key.new_rule = n->group_rule;
	key.new_acl = n->by == FL_BY_ACL ? n->acl_rule : NULL;
	key.new_by = n->by;
	key.no_route = new->no_route;
	key.new_route = new->no_route ? new->route : NULL;
	/* A group decides about question and answer alike; an ACL and a route about each by itself. */
	if (o->by == FL_BY_ACL || n->by == FL_BY_ACL || old->no_route || new->no_route)
		key.dir = fl_key_dir(&subject->key);
	r = find_change(&run->w, &key, &c);
	if (r || !c)
		return r;
	c->records++;
	c->packets += s->record->packets;
	c->bytes += s->record->bytes;
	c->more_enis |= c->eni && c->eni != run->new.at.eni;
	c->eni = c->eni ? c->eni : run->new.at.eni;
	add_service(c, subject->key.proto, port, s->record->bytes);
	return add_peer(c, in ? &subject->key.src : &subject->key.dst, subject->key.dirfam & FL_KEY_V6,
			s->record->bytes);
}

/* ---- records ---- */

static int on_record(void *ctx, const struct fl_scanned *s)
{
	struct run *run = ctx;
	struct fl_whatif *w = &run->w;
	bool accepted = s->record->action == FL_ACTION_ACCEPT, rejects;
	struct fl_replayed old = {.decision = {.accept = accepted}}, new;
	struct fl_subject subject;
	enum fl_role role;
	int r = fl_recorded_locate(run->new.net, run->new.policy, s->eni->interface_id, &run->new.at);

	if (!r && run->old.net)
		r = fl_recorded_locate(run->old.net, run->old.policy, s->eni->interface_id, &run->old.at);
	if (r)
		return r;
	w->first = w->records++ ? FL_MIN(w->first, s->record->start) : s->record->start;
	w->last = FL_MAX(w->last, s->record->end);
	if (!run->new.at.eni) {
		w->unknown_interface++;
		return 0;
	}
	fl_recorded_subject(s->record, s->meta, run->new.at.eni, &subject);
	role = fl_role_of(run->roles, run->old.at.filter, &subject, s->has_flags, accepted);
	if (run->old.at.filter)
		fl_replay(run->old.at.filter, &subject, role, &old);
	fl_replay(run->new.at.filter, &subject, role, &new);
	if (old.decision.accept != accepted) {
		w->unexplained++;
		return 0;
	}
	if (new.decision.accept == accepted) {
		w->same[accepted]++;
		return 0;
	}
	rejects = accepted;
	w->changed[rejects]++;
	w->packets[rejects] += s->record->packets;
	w->bytes[rejects] += s->record->bytes;
	return add_change(run, s, &subject, role, &old, &new);
}

/* ---- the command ---- */

/* A wrong file would change nothing, and that would read as "nothing is rejected". */
static int check_new(const char *rules)
{
	struct fl_network *net FL_CLEANUP(fl_network_free) = NULL;
	const char *const *missing;
	size_t n, found = 0;
	int r = fl_network_read(&net, rules);

	if (r)
		return r;
#define COUNT(what) (fl_network_##what(net, &n), found += n)
	COUNT(groups);
	COUNT(acls);
	COUNT(route_tables);
	COUNT(prefix_lists);
	COUNT(enis);
	COUNT(subnets);
	COUNT(vpcs);
	COUNT(bpa_exclusions);
	COUNT(problems); /* those are told */
#undef COUNT
	found++; /* rules without their groups are no nouns */
	missing = fl_network_missing(net, &n);
	for (size_t i = 0; i < n; i++)
		found -= strstr(missing[i], "describe-security-group-rules ") != NULL;
	if (found)
		return 0;
	return fl_fail(-ENODATA,
		       "%s: neither security groups nor network ACLs nor route tables are in it; nothing would change",
		       rules);
}

static int prepare(struct run *run, const struct conf *c)
{
	char path[4096];
	int r = 0;

	/* The inventory as it is, and over it what would change. */
	if (c->complete)
		return fl_wrap(fl_network_read(&run->new.net, c->rules), "--rules");
	if (c->inventory)
		snprintf(path, sizeof path, "%s", c->inventory);
	else
		r = fl_inventory_at(c->source.store, FL_INVENTORY_NOW, path, sizeof path);
	r = r ? r : fl_network_read(&run->old.net, path);
	if (!r)
		fl_inventory_tell("whatif", run->old.net);
	r = r ? r : fl_policy_of(&run->old.policy, run->old.net);
	r = r ? r : fl_wrap(check_new(c->rules), "--rules");
	return r ? r : fl_wrap(fl_network_read_over(&run->new.net, path, c->rules), "--rules");
}

/* A group of its own for an interface comes without the interface that shall have it. */
static void tell_unused(const struct run *run)
{
	size_t n;
	const struct fl_group *g = fl_network_groups(run->new.net, &n);

	for (size_t i = 0; i < n; i++)
		if (!g[i].n_members && !fl_network_find(run->old.net, g[i].noun.id, NULL))
			fprintf(stderr,
				"flowlog whatif: %s is new, and no interface has it: it changes nothing; put the "
				"interface with "
				"its new Groups beside it\n",
				g[i].noun.id);
}

static void release(struct run *run)
{
	for (size_t i = 0; i < run->w.n; i++)
		free(run->w.change[i].peer);
	free(run->w.change);
	free(run->w.index);
	fl_roles_free(&run->roles);
	fl_policy_free(&run->old.policy);
	fl_policy_free(&run->new.policy);
	fl_network_free(&run->old.net);
	fl_network_free(&run->new.net);
}

static bool has_problem(const struct fl_network *net, const struct fl_problem *wanted)
{
	size_t n = 0;
	const struct fl_problem *p = net ? fl_network_problems(net, &n) : NULL;

	for (size_t i = 0; i < n; i++)
		if (!strcmp(p[i].file, wanted->file) && !strcmp(p[i].path, wanted->path) &&
		    !strcmp(p[i].text, wanted->text))
			return true;
	return false;
}

/* What of NEW could not be used: an answer about half of the rules would mislead. */
static void tell_problems(const struct run *run)
{
	size_t n, told = 0;
	const struct fl_problem *p = fl_network_problems(run->new.net, &n);

	for (size_t i = 0; i < n; i++) {
		if (has_problem(run->old.net, &p[i]))
			continue;
		if (++told <= PROBLEMS_TOLD)
			fprintf(stderr, "flowlog whatif: %s: %s: %s\n", p[i].file, p[i].path, p[i].text);
	}
	if (told > PROBLEMS_TOLD)
		fprintf(stderr, "flowlog whatif: and %zu more\n", told - PROBLEMS_TOLD);
}

static int work(struct run *run, const struct conf *c, char *const *sources, int *ret_status)
{
	struct fl_buf out FL_CLEANUP(fl_buf_free) = FL_BUF(OUT_MAX);
	struct fl_scan_report report;
	int r = prepare(run, c);

	r = r ? r : fl_policy_of(&run->new.policy, run->new.net);
	if (!r)
		tell_problems(run);
	if (!r && run->old.net)
		tell_unused(run);
	r = r ? r : fl_roles_new(&run->roles);
	r = r ? r : fl_source_records("whatif", &c->source, sources, NULL, on_record, run, &report, ret_status);
	if (r)
		return r;
	if (run->w.records == run->w.unknown_interface)
		return fl_fail(-ENODATA,
			       "%s: no record of an interface of the inventory; nothing can be said of the rules",
			       *sources ? *sources : c->source.store);
	r = c->output ? fl_whatif_json(&run->w, &out) : fl_whatif_text(&run->w, &out);
	if (!r)
		r = fl_grid_write(STDOUT_FILENO, out.data, out.len);
	return r == -EPIPE ? 0 : r;
}

static int run_command(void *conf, int argc, char **argv)
{
	const struct conf *c = conf;
	struct run run = {0};
	int r, status = 0;

	if (!c->rules) {
		fputs("flowlog whatif: --rules names the changed groups, ACLs or routes, as the AWS CLI prints them\n",
		      stderr);
		return 2;
	}
	argv[argc] = NULL; /* there is room for it */
	r = work(&run, c, argv, &status);
	if (r)
		fprintf(stderr, "flowlog whatif: %s\n", fl_error_text(r));
	else if (c->check && run.w.changed[1])
		r = 1;
	release(&run);
	return r ? 1 : status;
}

static const struct fl_option options[] = {
    {"rules", 0, NULL, FL_OPT_STRING, "NEW", NULL, NULL,
     "File or directory with the changed security groups, network ACLs or route tables, as the describe calls print "
     "them; a resource takes the place of the inventory's with the same id.",
     offsetof(struct conf, rules)},
    {"inventory", 0, "inventory", FL_OPT_STRING, "DIR", NULL, NULL,
     "The inventory as it is (describe output of the AWS CLI); without it the store's newest import.",
     offsetof(struct conf, inventory)},
    {"complete", 0, NULL, FL_OPT_FLAG, NULL, NULL, NULL,
     "NEW is a whole inventory, and the rules that were in force are not known: hold it against the recorded actions.",
     offsetof(struct conf, complete)},
    {"check", 0, NULL, FL_OPT_FLAG, NULL, NULL, NULL,
     "Exit with status 1 when traffic that was accepted would be rejected.", offsetof(struct conf, check)},
    {"output", 'o', NULL, FL_OPT_ENUM, "FORM", "text", "text|json", "Form of the answer.",
     offsetof(struct conf, output)},
#define FL_SOURCE_AT(member) offsetof(struct conf, source.member)
#include "cli/source_options.def"
    {0},
};

const struct fl_command fl_cmd_whatif = {
    .name = "whatif",
    .summary = "what other rules would have done to recorded traffic",
    .synopsis = "[OPTION]... --rules NEW [SOURCE]...",
    .description =
	"Replays recorded flows against changed security groups, network ACLs and routes, and says by rule what would "
	"newly "
	"be rejected or accepted: records, packets, bytes and peers. An answer passes a security group when its "
	"question does; who asked is told by the "
	"TCP "
	"flags, else by the lower port; an ICMP record does not tell, and passes when either reading of it would. What "
	"the rules of the inventory do not explain (packets that came after their "
	"connection was closed, rules that were others then) is counted apart.\n\n" FL_SOURCE_TEXT,
    .options = options,
    .conf_size = sizeof(struct conf),
    .run = run_command,
    .examples =
	"flowlog whatif --rules sg.json --inventory aws logs/\n  the effect of a changed security group on the traffic "
	"in "
	"logs/\nflowlog whatif --check --rules sg.json\n  fail when accepted traffic of the store would be rejected\n",
};
