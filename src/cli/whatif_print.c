/* SPDX-License-Identifier: Apache-2.0 */
/* What flowlog whatif prints. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/units.h"
#include "cli/whatif.h"
#include "policy/trace.h"

#define PEERS_SHOWN 5
#define SERVICES_SHOWN 6

static const char *const kinds[] = {"accepted", "rejected"};

static int by_weight(const void *pa, const void *pb)
{
	const struct fl_change *a = pa, *b = pb;

	if (a->key.rejected != b->key.rejected)
		return a->key.rejected ? -1 : 1;
	if (a->records != b->records)
		return a->records > b->records ? -1 : 1;
	return a->bytes < b->bytes ? 1 : a->bytes > b->bytes ? -1 : 0;
}

static int by_bytes(const void *pa, const void *pb)
{
	const struct fl_peer *a = pa, *b = pb;

	if (a->used != b->used)
		return a->used ? -1 : 1;
	if (a->bytes != b->bytes)
		return a->bytes > b->bytes ? -1 : 1;
	return memcmp(a->addr.b, b->addr.b, 16);
}

static int service_by_bytes(const void *pa, const void *pb)
{
	const struct fl_change_service *a = pa, *b = pb;

	return a->bytes < b->bytes ? 1 : a->bytes > b->bytes ? -1 : 0;
}

/* The table of a change is a list from here on, the greatest first. */
static void sort(struct fl_whatif *w)
{
	for (size_t i = 0; i < w->n; i++) {
		struct fl_change *c = &w->change[i];

		if (c->peer_cap)
			qsort(c->peer, c->peer_cap, sizeof *c->peer, by_bytes);
		qsort(c->service, c->services, sizeof *c->service, service_by_bytes);
	}
	if (w->n)
		qsort(w->change, w->n, sizeof *w->change, by_weight);
}

/* "sg-1: tcp 443 from 0.0.0.0/0", "network ACL rule 90 denies ...", "no rule of the security groups" */
static void decider_text(enum fl_decider by, const struct fl_group *group, const struct fl_group_rule *rule,
			 const struct fl_acl_rule *acl, bool no_route, const struct fl_route *route, enum fl_dir dir,
			 bool accepts, char ret[256])
{
	char text[FL_RULE_TEXT];
	/* An answer is allowed by the rule of the other direction; its text names that way round. */
	enum fl_dir way = dir;

	for (size_t i = 0; group && i < group->out.n + group->in.n; i++)
		if ((i < group->in.n ? &group->in.rule[i] : &group->out.rule[i - group->in.n]) == rule)
			way = i < group->in.n ? FL_DIR_INGRESS : FL_DIR_EGRESS;
	if (no_route)
		snprintf(ret, 256, route ? "the route's target %s is gone (blackhole)" : "no route%s",
			 route ? route->target_id : "");
	else if (by == FL_BY_ACL && !accepts)
		snprintf(ret, 256, "network ACL, %s",
			 acl ? fl_acl_rule_text(acl, dir, text) : "rule * denies the rest");
	else if (rule)
		snprintf(ret, 256, "%s %s: %s%s%s", group->noun.id, way == FL_DIR_INGRESS ? "inbound" : "outbound",
			 fl_group_rule_text(rule, way, text), *rule->id ? " " : "", rule->id);
	else if (by == FL_BY_GROUP)
		snprintf(ret, 256, "no rule of the security groups");
	else
		snprintf(ret, 256, "%s", fl_decider_texts[by]);
}

static void texts(const struct fl_change *c, char old[256], char new[256])
{
	const struct fl_change_key *k = &c->key;

	decider_text(k->old_by, k->old_group, k->old_rule, k->old_acl, k->had_no_route, NULL, k->dir, k->rejected, old);
	decider_text(k->new_by, k->new_group, k->new_rule, k->new_acl, k->no_route, k->new_route, k->dir, !k->rejected,
		     new);
}

static int print_change(struct fl_buf *out, const struct fl_change *c)
{
	char old[256], new[256], bytes[16], count[16], text[FL_ADDR_TEXT_MAX + 1], what[48];
	int r;

	texts(c, old, new);
	r = fl_buf_printf(out, "\n  %s\n    now: %s\n    %s records, %s packets, %s at %s%s\n    services", old, new,
			  fl_human_count(c->records, (char[16]){0}), fl_human_count(c->packets, count),
			  fl_human_bytes(c->bytes, bytes), c->eni ? c->eni->noun.id : "-",
			  c->more_enis ? " and others" : "");
	for (size_t i = 0; !r && i < FL_MIN(c->services, (size_t)SERVICES_SHOWN); i++)
		r = fl_buf_printf(out, "%s %s", i ? "," : "",
				  fl_service_text(c->service[i].proto, c->service[i].port, -1, -1, what));
	if (!r && (c->services > SERVICES_SHOWN || c->more_services))
		r = fl_buf_printf(out, " and %s%zu others", c->more_services ? "more than " : "",
				  c->services - SERVICES_SHOWN);
	r = r ? r : fl_buf_adds(out, "\n    peers");
	for (size_t i = 0; !r && i < FL_MIN(c->peers, (size_t)PEERS_SHOWN); i++) {
		*fl_addr_print(text, &c->peer[i].addr, c->peer[i].v6) = '\0';
		r = fl_buf_printf(out, "%s %s (%s)", i ? "," : "", text, fl_human_bytes(c->peer[i].bytes, bytes));
	}
	if (!r && c->peers > PEERS_SHOWN)
		r = fl_buf_printf(out, " and %s%zu others", c->more_peers ? "more than " : "", c->peers - PEERS_SHOWN);
	return r ? r : fl_buf_adds(out, "\n");
}

int fl_whatif_text(struct fl_whatif *w, struct fl_buf *out)
{
	char from[24], to[24], bytes[16];
	int r;

	sort(w);
	r = fl_buf_printf(out, "%llu records from %s to %s\n", (unsigned long long)w->records,
			  fl_time_rfc3339(w->first, from), fl_time_rfc3339(w->last, to));
	r = r ? r
	      : fl_buf_printf(out, "  %llu accepted as before, %llu rejected as before\n",
			      (unsigned long long)w->same[1], (unsigned long long)w->same[0]);
	if (!r && w->unexplained)
		r = fl_buf_printf(
		    out,
		    "  %llu that the rules in force do not explain: late packets, or rules that were others "
		    "then; left out\n",
		    (unsigned long long)w->unexplained);
	if (!r && w->unknown_interface)
		r = fl_buf_printf(out, "  %llu of interfaces that the inventory does not have; left out\n",
				  (unsigned long long)w->unknown_interface);
	for (unsigned k = 2; !r && k-- > 0;) {
		r = fl_buf_printf(out, "\nnewly %s: %llu records", kinds[k], (unsigned long long)w->changed[k]);
		if (!r && w->changed[k])
			r = fl_buf_printf(out, ", %llu packets, %s", (unsigned long long)w->packets[k],
					  fl_human_bytes(w->bytes[k], bytes));
		r = r ? r : fl_buf_adds(out, "\n");
		for (size_t i = 0; !r && i < w->n; i++)
			if (w->change[i].key.rejected == k)
				r = print_change(out, &w->change[i]);
	}
	return r;
}

static void json_rule(struct fl_json *j, const char *key, const char *text, enum fl_decider by,
		      const struct fl_group *group, const struct fl_group_rule *rule, const struct fl_acl_rule *acl,
		      bool no_route)
{
	fl_json_key(j, key);
	fl_json_object(j);
	fl_json_kstr(j, "by", no_route ? "route" : fl_decider_names[by]);
	fl_json_kstr(j, "text", text);
	fl_json_kstr(j, "group", group ? group->noun.id : NULL);
	fl_json_kstr(j, "rule", rule ? rule->id : NULL);
	fl_json_key(j, "acl_rule");
	if (acl)
		fl_json_u64(j, acl->number);
	else
		fl_json_null(j);
	fl_json_end_object(j);
}

static void json_change(struct fl_json *j, const struct fl_change *c)
{
	const struct fl_change_key *k = &c->key;
	char old[256], new[256], text[FL_ADDR_TEXT_MAX + 1];

	texts(c, old, new);
	fl_json_object(j);
	fl_json_kstr(j, "change", kinds[k->rejected]);
	json_rule(j, "before", old, k->old_by, k->old_group, k->old_rule, k->old_acl, k->had_no_route);
	json_rule(j, "after", new, k->new_by, k->new_group, k->new_rule, k->new_acl, k->no_route);
	fl_json_kstr(j, "direction",
		     k->dir == FL_DIR_INGRESS  ? "ingress"
		     : k->dir == FL_DIR_EGRESS ? "egress"
					       : "both");
	fl_json_ku64(j, "records", c->records);
	fl_json_ku64(j, "packets", c->packets);
	fl_json_ku64(j, "bytes", c->bytes);
	fl_json_kstr(j, "interface", c->eni ? c->eni->noun.id : NULL);
	fl_json_kbool(j, "other_interfaces", c->more_enis);
	fl_json_key(j, "services");
	fl_json_array(j);
	for (size_t i = 0; i < c->services; i++) {
		fl_json_object(j);
		fl_json_ku64(j, "protocol", c->service[i].proto);
		fl_json_ku64(j, "port", c->service[i].port);
		fl_json_ku64(j, "bytes", c->service[i].bytes);
		fl_json_end_object(j);
	}
	fl_json_end_array(j);
	fl_json_ku64(j, "peer_count", c->peers);
	fl_json_kbool(j, "peers_complete", !c->more_peers);
	fl_json_key(j, "peers");
	fl_json_array(j);
	for (size_t i = 0; i < FL_MIN(c->peers, (size_t)1000); i++) {
		*fl_addr_print(text, &c->peer[i].addr, c->peer[i].v6) = '\0';
		fl_json_object(j);
		fl_json_kstr(j, "address", text);
		fl_json_ku64(j, "bytes", c->peer[i].bytes);
		fl_json_end_object(j);
	}
	fl_json_end_array(j);
	fl_json_end_object(j);
}

static void json_total(struct fl_json *j, const char *key, const struct fl_whatif *w, unsigned kind)
{
	fl_json_key(j, key);
	fl_json_object(j);
	fl_json_ku64(j, "records", w->changed[kind]);
	fl_json_ku64(j, "packets", w->packets[kind]);
	fl_json_ku64(j, "bytes", w->bytes[kind]);
	fl_json_end_object(j);
}

int fl_whatif_json(struct fl_whatif *w, struct fl_buf *out)
{
	struct fl_json j = FL_JSON(out);
	int r;

	sort(w);
	j.pretty = true;
	fl_json_object(&j);
	fl_json_ku64(&j, "records", w->records);
	fl_json_ki64(&j, "first", w->first);
	fl_json_ki64(&j, "last", w->last);
	fl_json_ku64(&j, "accepted_as_before", w->same[1]);
	fl_json_ku64(&j, "rejected_as_before", w->same[0]);
	fl_json_ku64(&j, "unexplained", w->unexplained);
	fl_json_ku64(&j, "unknown_interface", w->unknown_interface);
	json_total(&j, "newly_rejected", w, 1);
	json_total(&j, "newly_accepted", w, 0);
	fl_json_key(&j, "changes");
	fl_json_array(&j);
	for (size_t i = 0; i < w->n; i++)
		json_change(&j, &w->change[i]);
	fl_json_end_array(&j);
	fl_json_end_object(&j);
	r = fl_json_done(&j);
	return r ? r : fl_buf_adds(out, "\n");
}
