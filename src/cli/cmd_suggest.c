/* SPDX-License-Identifier: Apache-2.0 */
/* flowlog suggest: the least rules that recorded traffic needs. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/grid.h"
#include "cli/cli.h"
#include "cli/inventory_show.h"
#include "cli/recorded.h"
#include "cli/sources.h"
#include "cli/suggest.h"

#define OUT_MAX (64u << 20)
#define NETWORKS_MAX 1000

struct conf {
	struct fl_source_conf source;
	const char *inventory, *target;
	uint64_t networks, world;
	int output;
};

struct run {
	struct fl_network *net;
	struct fl_policy *policy;
	struct fl_roles *roles;
	struct fl_suggest *suggest;
	struct fl_recorded_at at;
	struct fl_suggestion s;
};

static bool is_target(const struct run *run, const struct fl_net_eni *eni)
{
	if (run->s.eni)
		return eni == run->s.eni;
	for (size_t i = 0; i < eni->n_groups; i++)
		if (eni->group[i] == run->s.group)
			return true;
	return false;
}

/* An accepted flow as the opener's packet, if the rules in question let it pass. */
static bool find_need(struct run *run, const struct fl_subject *s, enum fl_role role, struct fl_need *ret)
{
	struct fl_replayed now;
	struct fl_subject asked = *s;
	enum fl_dir dir = fl_key_dir(&s->key);

	fl_replay(run->at.filter, s, role, &now);
	if (!now.decision.accept) {
		run->s.unexplained++;
		return false;
	}
	/* Another group may allow it as well as this one; then it is that one's business. */
	if (!now.decision.group_rule || (run->s.group && now.decision.group != run->s.group))
		return false;
	if (now.decision.opener != dir) {
		asked = fl_subject_reverse(s);
		dir = (enum fl_dir)now.decision.opener;
	}
	memset(ret, 0, sizeof *ret);
	ret->dir = dir;
	ret->proto = asked.key.proto;
	ret->v6 = asked.key.dirfam & FL_KEY_V6;
	ret->port = asked.key.proto == 6 || asked.key.proto == 17 ? asked.key.dport : 0;
	ret->peer = dir == FL_DIR_INGRESS ? asked.key.src : asked.key.dst;
	return true;
}

static int on_record(void *ctx, const struct fl_scanned *scanned)
{
	struct run *run = ctx;
	const struct fl_record *record = scanned->record;
	bool accepted = record->action == FL_ACTION_ACCEPT;
	struct fl_subject s;
	struct fl_need need;
	enum fl_role role;
	int r = fl_recorded_locate(run->net, run->policy, scanned->eni->interface_id, &run->at);

	if (r || !run->at.eni || !is_target(run, run->at.eni))
		return r;
	run->s.first = run->s.records++ ? FL_MIN(run->s.first, record->start) : record->start;
	run->s.last = FL_MAX(run->s.last, record->end);
	fl_recorded_subject(record, scanned->meta, run->at.eni, &s);
	/* Of rejected ones too: their flags tell who opened. */
	role = fl_role_of(run->roles, run->at.filter, &s, scanned->has_flags, accepted);
	if (!accepted)
		return 0;
	run->s.accepted++;
	if (!find_need(run, &s, role, &need))
		return 0;
	run->s.covered++;
	return fl_suggest_add(run->suggest, &need, 1, record->bytes, record->end);
}

/* ---- for whom ---- */

static const struct fl_group *group_named(const struct fl_network *net, const char *what)
{
	size_t n;
	const struct fl_group *g = fl_network_groups(net, &n), *found = NULL;

	for (size_t i = 0; i < n; i++) {
		if (!strcmp(g[i].noun.id, what))
			return &g[i];
		if (!strcmp(g[i].noun.name, what)) {
			if (found)
				return NULL; /* two of that name: the id tells */
			found = &g[i];
		}
	}
	return found;
}

static int find_target(struct run *run, const char *what)
{
	struct fl_suggestion *s = &run->s;
	int r;

	s->group = group_named(run->net, what);
	if (s->group) {
		s->vpc = s->group->vpc;
		s->interfaces = s->group->n_members;
		snprintf(s->group_id, sizeof s->group_id, "%s", s->group->noun.id);
		snprintf(s->group_name, sizeof s->group_name, "%s", s->group->noun.name);
		return 0;
	}
	r = fl_network_lookup(run->net, what, &s->eni);
	if (r == -ENOENT)
		return fl_fail(
		    r,
		    "--for %s: neither a security group nor an interface of the inventory, by id or by a name that "
		    "only one has",
		    what);
	if (r)
		return fl_wrap(r, "--for");
	s->vpc = s->eni->vpc;
	s->interfaces = 1;
	snprintf(s->group_id, sizeof s->group_id, "sg-%.20s",
		 strncmp(s->eni->noun.id, "eni-", 4) ? "" : s->eni->noun.id + 4);
	snprintf(s->group_name, sizeof s->group_name, "flowlog-%.40s", s->eni->noun.id);
	return 0;
}

/* ---- the command ---- */

static int begin(struct run *run, const struct conf *c)
{
	int r = fl_inventory_open(c->source.store, c->inventory, FL_INVENTORY_NOW, &run->net);

	if (r)
		return r;
	fl_inventory_tell("suggest", run->net);
	run->s.net = run->net;
	r = fl_policy_of(&run->policy, run->net);
	r = r ? r : find_target(run, c->target);
	r = r ? r : fl_roles_new(&run->roles);
	if (r)
		return r;
	return fl_suggest_new(&run->suggest, &(struct fl_suggest_conf){
						 .net = run->net,
						 .vpc = run->s.vpc,
						 .eni = run->s.eni,
						 .group = run->s.group ? &run->s.group : run->s.eni->group,
						 .n_groups = run->s.group ? 1 : run->s.eni->n_groups,
						 .networks_max = c->networks,
						 .world_at = c->world,
					     });
}

static int work(struct run *run, const struct conf *c, char *const *sources, int *ret_status)
{
	static int (*const forms[])(const struct fl_suggestion *, struct fl_buf *) = {
	    fl_suggestion_text, fl_suggestion_json, fl_suggestion_aws, fl_suggestion_terraform};
	struct fl_buf out FL_CLEANUP(fl_buf_free) = FL_BUF(OUT_MAX);
	struct fl_scan_report report;
	int r = begin(run, c);

	r = r ? r : fl_source_records("suggest", &c->source, sources, NULL, on_record, run, &report, ret_status);
	if (!r && !run->s.records)
		r = fl_fail(-ENODATA, "%s: no record of %s's interfaces; without traffic every rule would seem unused",
			    *sources ? *sources : c->source.store, c->target);
	r = r ? r : fl_suggest_finish(run->suggest);
	run->s.suggest = run->suggest;
	r = r ? r : forms[c->output](&run->s, &out);
	if (!r)
		r = fl_grid_write(STDOUT_FILENO, out.data, out.len);
	return r == -EPIPE ? 0 : r;
}

static int run_command(void *conf, int argc, char **argv)
{
	const struct conf *c = conf;
	struct run run = {0};
	const char *usage = !c->target ? "--for names a security group or an interface"
			    : !c->networks || c->networks > NETWORKS_MAX ? "--networks goes from 1 to 1000"
									 : NULL;
	int r, status = 0;

	if (usage) {
		fprintf(stderr, "flowlog suggest: %s\n", usage);
		return 2;
	}
	argv[argc] = NULL; /* there is room for it */
	r = work(&run, c, argv, &status);
	if (r)
		fprintf(stderr, "flowlog suggest: %s\n", fl_error_text(r));
	fl_suggest_free(&run.suggest);
	fl_roles_free(&run.roles);
	fl_policy_free(&run.policy);
	fl_network_free(&run.net);
	return r ? 1 : status;
}

static const struct fl_option options[] = {
    {"for", 0, NULL, FL_OPT_STRING, "GROUP|ENI", NULL, NULL,
     "The security group, or the interface, whose traffic the rules shall cover: an id, or a name (a group's before an "
     "interface's).",
     offsetof(struct conf, target)},
    {"inventory", 0, "inventory", FL_OPT_STRING, "DIR", NULL, NULL,
     "The inventory (describe output of the AWS CLI); without it the store's newest import.",
     offsetof(struct conf, inventory)},
    {"output", 'o', NULL, FL_OPT_ENUM, "FORM", "text", "text|json|aws|terraform",
     "Form of the answer; aws is what describe-security-groups would print, and for an interface its own description "
     "with the new group beside it, to be tried with whatif --rules.",
     offsetof(struct conf, output)},
    {"networks", 0, NULL, FL_OPT_U64, "N", "8", NULL,
     "At most so many networks a port range and IP version; more peers are joined into larger networks.",
     offsetof(struct conf, networks)},
    {"world", 0, NULL, FL_OPT_U64, "N", "100", NULL,
     "So many public peers of one port are taken for everybody (0.0.0.0/0, ::/0); 0: never.",
     offsetof(struct conf, world)},
#define FL_SOURCE_AT(member) offsetof(struct conf, source.member)
#include "cli/source_options.def"
    {0},
};

const struct fl_command fl_cmd_suggest = {
    .name = "suggest",
    .summary = "the least rules that recorded traffic needs",
    .synopsis = "[OPTION]... --for GROUP|ENI [SOURCE]...",
    .description = "Writes the security group rules that cover the accepted traffic of a group's interfaces, or of one "
		   "interface: peers "
		   "become references to groups where those hold them, else networks; neighbouring ports with the same "
		   "peers become a "
		   "range. Beside them the rules there are: which were not used at all, which allow much more than was "
		   "used, and what "
		   "would no longer be allowed. Traffic that was not recorded is not covered: choose a source that is "
		   "long enough.\n\n"
		   "A record holds no ICMP type, so ICMP rules are for all types.\n\n" FL_SOURCE_TEXT,
    .options = options,
    .conf_size = sizeof(struct conf),
    .run = run_command,
    .examples = "flowlog suggest --for web --inventory aws logs/\n  what group web needs, and what it has\nflowlog "
		"suggest --for web -o "
		"aws > new.json && flowlog whatif --rules new.json\n  try the suggestion on the same traffic\n",
};
