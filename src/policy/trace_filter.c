/* SPDX-License-Identifier: Apache-2.0 */
/* Which rule decides, or which comes nearest and in what it fails. */
#include <stdio.h>
#include <stdlib.h>

#include "policy/peers.h"
#include "policy/trace_inner.h"

/* How a rule and a packet meet, part by part. */
struct fit {
	bool family, proto, service, peer;
};

static bool is_v6(const struct fl_subject *s)
{
	return s->key.dirfam & FL_KEY_V6;
}

static const struct fl_addr *peer_of(const struct fl_subject *s, enum fl_dir dir)
{
	return dir == FL_DIR_INGRESS ? &s->key.src : &s->key.dst;
}

static const char *way(enum fl_dir dir)
{
	return dir == FL_DIR_INGRESS ? "inbound" : "outbound";
}

static const char *word(enum fl_dir dir)
{
	return dir == FL_DIR_INGRESS ? "from" : "to";
}

static struct fit fit_service(int proto, unsigned from, unsigned to, int type, int code, const struct fl_subject *s)
{
	struct fit f = {.proto = proto < 0 || proto == s->key.proto};

	if (proto < 0 || !f.proto)
		f.service = f.proto;
	else if (proto == 6 || proto == 17)
		f.service = from <= s->key.dport && s->key.dport <= to;
	else if (proto == 1 || proto == 58)
		f.service = type < 0 || s->icmp_type < 0 ||
			    (type == s->icmp_type && (code < 0 || s->icmp_code < 0 || code == s->icmp_code));
	else
		f.service = true;
	return f;
}

static struct fit fit_group(const struct fl_group_rule *r, enum fl_dir dir, const struct fl_subject *s)
{
	struct fit f = fit_service(r->proto, r->from, r->to, r->icmp_type, r->icmp_code, s);

	f.family = r->peer != FL_PEER_CIDR || r->v6 == is_v6(s);
	f.peer = fl_peer_of_rule(r, peer_of(s, dir), is_v6(s));
	return f;
}

static struct fit fit_acl(const struct fl_acl_rule *r, enum fl_dir dir, const struct fl_subject *s)
{
	struct fit f = fit_service(r->proto, r->from, r->to, r->icmp_type, r->icmp_code, s);

	f.family = r->v6 == is_v6(s);
	f.peer = fl_peer_in_cidr(&r->cidr, r->v6, peer_of(s, dir), is_v6(s));
	return f;
}

/* The service first: who opened the port had this traffic in mind. */
static unsigned nearness(const struct fit *f)
{
	if (f->service && f->proto)
		return 5 + f->family;
	if (f->peer && f->proto)
		return 4;
	return f->peer ? 3 : 0;
}

/* ---- security groups ---- */

struct near_rule {
	const struct fl_group *group;
	const struct fl_group_rule *rule;
	struct fit fit;
	unsigned score;
};

static size_t nearest_group_rule(const struct fl_net_eni *eni, enum fl_dir dir, const struct fl_subject *s,
				 struct near_rule *ret)
{
	size_t rules = 0;

	for (size_t g = 0; g < eni->n_groups; g++) {
		const struct fl_group *group = eni->group[g];
		size_t n = !group ? 0 : dir == FL_DIR_INGRESS ? group->in.n : group->out.n;

		rules += n;
		for (size_t i = 0; i < n; i++) {
			const struct fl_group_rule *r =
			    dir == FL_DIR_INGRESS ? &group->in.rule[i] : &group->out.rule[i];
			struct fit f = fit_group(r, dir, s);
			unsigned score = 2 * nearness(&f);

			/* A rule for this port alone says more than one for all of them. */
			if (score)
				score += r->proto >= 0;
			if (score > ret->score)
				*ret = (struct near_rule){group, r, f, score};
		}
	}
	return rules;
}

static enum fl_cause group_cause(const struct near_rule *near)
{
	const struct fl_group_rule *r = near->rule;

	if (!r)
		return FL_CAUSE_GROUP_NOTHING;
	if (near->fit.peer)
		return !near->fit.proto                  ? FL_CAUSE_GROUP_PROTOCOL
		       : r->proto == 1 || r->proto == 58 ? FL_CAUSE_GROUP_ICMP
							 : FL_CAUSE_GROUP_PORT;
	if (!near->fit.family)
		return FL_CAUSE_GROUP_FAMILY;
	switch (r->peer) {
	case FL_PEER_GROUP:
		return r->group ? FL_CAUSE_GROUP_MEMBER : FL_CAUSE_GROUP_DANGLING;
	case FL_PEER_LIST:
		return r->list && r->list->has_entries ? FL_CAUSE_GROUP_LIST : FL_CAUSE_GROUP_DANGLING;
	default:
		return FL_CAUSE_GROUP_ADDRESS;
	}
}

static void list_groups(const struct fl_net_eni *eni, char *ret, size_t size)
{
	size_t n = 0;

	*ret = '\0';
	for (size_t i = 0; i < eni->n_groups && n < size; i++)
		if (eni->group[i])
			n += (size_t)snprintf(ret + n, size - n, "%s%s", n ? ", " : "", eni->group[i]->noun.id);
}

static void explain_no_group_rule(struct fl_step *step, const struct fl_net_eni *eni, enum fl_dir dir,
				  const struct fl_subject *s)
{
	struct near_rule near = {0};
	size_t rules = nearest_group_rule(eni, dir, s, &near);
	char groups[96], what[48], peer[FL_ADDR_TEXT_MAX + 1], rule[FL_RULE_TEXT];

	list_groups(eni, groups, sizeof groups);
	fl_service_text(s->key.proto, s->key.dport, s->icmp_type, s->icmp_code, what);
	addr_text(peer_of(s, dir), is_v6(s), peer);
	step_fix(step, "allow %s %s %s in the %s rules of %s", what, word(dir), peer, way(dir),
		 near.group ? near.group->noun.id : groups);
	if (!rules) {
		step_block(step, FL_CAUSE_GROUP_EMPTY);
		step_text(step, "%s has no %s rule, so nothing may %s", groups, way(dir),
			  dir == FL_DIR_INGRESS ? "come in" : "go out");
		return;
	}
	step_block(step, group_cause(&near));
	if (!near.rule) {
		step_text(step, "no %s rule of %s is for %s or for %s", way(dir), groups, what, peer);
		return;
	}
	fl_group_rule_text(near.rule, dir, rule);
	snprintf(step->rule, sizeof step->rule, "%s", *near.rule->id ? near.rule->id : near.rule->peer_id);
	switch (step->cause) {
	case FL_CAUSE_GROUP_MEMBER:
		step_text(step, "%s allows %s, and %s is not one of them", near.group->noun.id, rule, peer);
		/* Only an interface of the same VPC can join. */
		if (near.rule->group->vpc && fl_peer_in_list(&near.rule->group->vpc->cidrs, peer_of(s, dir), is_v6(s)))
			step_fix(step, "put the peer into %s, or allow %s %s %s in the %s rules of %s",
				 near.rule->peer_id, what, word(dir), peer, way(dir), near.group->noun.id);
		break;
	case FL_CAUSE_GROUP_DANGLING:
		step_text(step, "%s allows %s, and what that holds is not in the inventory", near.group->noun.id, rule);
		step_fix(step, "add %s to the inventory, or allow %s by its address", near.rule->peer_id, peer);
		break;
	default:
		step_text(step, "the nearest rule of %s allows %s; this is %s %s %s", near.group->noun.id, rule, what,
			  word(dir), peer);
	}
}

void explain_group(struct fl_step *step, const struct fl_filter *f, enum fl_dir dir, const struct fl_subject *s)
{
	const struct fl_group *group;
	const struct fl_group_rule *rule;
	char text[FL_RULE_TEXT];

	step_at(step, &f->eni->noun);
	if (!f->group[dir]) {
		step->outcome = f->unknown_group ? FL_NOT_KNOWN : FL_NOT_ASKED;
		step_text(step, f->unknown_group ? "its security groups are not in the inventory"
						 : "the interface has no security group");
	} else if (fl_filter_group_rule(f, dir, s, &group, &rule)) {
		step->outcome = FL_PASSES;
		snprintf(step->rule, sizeof step->rule, "%s", *rule->id ? rule->id : rule->peer_id);
		step_text(step, "%s allows %s", group->noun.id, fl_group_rule_text(rule, dir, text));
	} else if (f->unknown_group) {
		step->outcome = FL_NOT_KNOWN;
		step_text(step, "no rule allows it, and one of its security groups is not in the inventory");
	} else {
		explain_no_group_rule(step, f->eni, dir, s);
	}
}

/* ---- network ACLs ---- */

static const struct fl_acl_rule *acl_rules(const struct fl_acl *acl, enum fl_dir dir, size_t *ret_n)
{
	*ret_n = dir == FL_DIR_INGRESS ? acl->in.n : acl->out.n;
	return dir == FL_DIR_INGRESS ? acl->in.rule : acl->out.rule;
}

static void acl_fix(struct fl_step *step, const struct fl_acl *acl, enum fl_dir dir, const struct fl_subject *s,
		    const struct fl_acl_rule *before)
{
	char what[48], peer[FL_ADDR_TEXT_MAX + 1];

	fl_service_text(s->key.proto, s->key.dport, s->icmp_type, s->icmp_code, what);
	addr_text(peer_of(s, dir), is_v6(s), peer);
	if (before && before->number < FL_ACL_LAST)
		step_fix(step, "allow %s %s %s in %s, %s, with a number below %u", what, word(dir), peer, acl->noun.id,
			 way(dir), before->number);
	else
		step_fix(step, "allow %s %s %s in %s, %s", what, word(dir), peer, acl->noun.id, way(dir));
}

static void explain_acl_deny(struct fl_step *step, const struct fl_acl *acl, enum fl_dir dir,
			     const struct fl_subject *s, const struct fl_acl_rule *deny)
{
	char text[FL_RULE_TEXT], later[FL_RULE_TEXT];
	size_t n;
	const struct fl_acl_rule *rule = acl_rules(acl, dir, &n);

	snprintf(step->rule, sizeof step->rule, "%u", deny->number);
	fl_acl_rule_text(deny, dir, text);
	step_block(step, FL_CAUSE_ACL_DENY);
	step_text(step, "%s", text);
	for (size_t i = (size_t)(deny - rule) + 1; i < n; i++) {
		struct fit f = fit_acl(&rule[i], dir, s);

		if (!rule[i].allow || !f.service || !f.peer)
			continue;
		step->cause = FL_CAUSE_ACL_ORDER;
		step_text(step, "%s; %s, but the lowest number that matches decides", text,
			  fl_acl_rule_text(&rule[i], dir, later));
		break;
	}
	acl_fix(step, acl, dir, s, deny);
}

/* The rule "*", which the inventory may list as number 32767, says no more than that nothing matched. */
static bool is_final(const struct fl_acl_rule *r)
{
	return r->number >= FL_ACL_LAST;
}

static void explain_no_acl_rule(struct fl_step *step, const struct fl_acl *acl, enum fl_dir dir,
				const struct fl_subject *s)
{
	const struct fl_acl_rule *rule, *near = NULL;
	struct fit near_fit = {0};
	char text[FL_RULE_TEXT], what[48], peer[FL_ADDR_TEXT_MAX + 1];
	unsigned best = 0;
	size_t n, own = 0;

	rule = acl_rules(acl, dir, &n);
	for (size_t i = 0; i < n; i++) {
		struct fit f = fit_acl(&rule[i], dir, s);
		unsigned score = 2 * nearness(&f);

		own += !is_final(&rule[i]);
		if (!rule[i].allow || is_final(&rule[i]) || !score)
			continue;
		score += rule[i].proto >= 0;
		if (score > best) {
			best = score;
			near = &rule[i];
			near_fit = f;
		}
	}
	acl_fix(step, acl, dir, s, NULL);
	fl_service_text(s->key.proto, s->key.dport, s->icmp_type, s->icmp_code, what);
	addr_text(peer_of(s, dir), is_v6(s), peer);
	if (!near) {
		step_block(step, own ? FL_CAUSE_ACL_NOTHING : FL_CAUSE_ACL_EMPTY);
		step_text(step, "no %s rule allows anything like %s %s %s; rule * denies what is left", way(dir), what,
			  word(dir), peer);
		return;
	}
	snprintf(step->rule, sizeof step->rule, "%u", near->number);
	step_block(step, near_fit.peer     ? !near_fit.proto                         ? FL_CAUSE_ACL_PROTOCOL
					     : near->proto == 1 || near->proto == 58 ? FL_CAUSE_ACL_ICMP
										     : FL_CAUSE_ACL_PORT
			 : near_fit.family ? FL_CAUSE_ACL_ADDRESS
					   : FL_CAUSE_ACL_FAMILY);
	step_text(step, "no %s rule matches %s %s %s; the nearest, %s, does not; rule * denies what is left", way(dir),
		  what, word(dir), peer, fl_acl_rule_text(near, dir, text));
}

static bool acl_allows(const struct fl_filter *f, enum fl_dir dir, const struct fl_subject *s,
		       const struct fl_acl_rule **ret)
{
	return fl_filter_acl_rule(f, dir, s, ret) && (*ret)->allow;
}

/* The first port of the range that does not pass, and how far that goes; ports change only where a rule begins or ends.
 */
static bool first_blocked(const struct fl_filter *f, enum fl_dir dir, const struct fl_subject *s,
			  const struct port_range *range, struct fl_subject *ret, uint16_t *ret_to)
{
	const struct fl_acl_rule *rule, *found;
	size_t n;
	uint32_t port = range->from;
	bool blocked = false;

	rule = acl_rules(f->eni->subnet->acl, dir, &n);
	*ret = *s;
	while (port <= range->to) {
		struct fl_subject probe = *s;
		uint32_t next = range->to + 1u;
		bool allows;

		probe.key.dport = (uint16_t)port;
		allows = acl_allows(f, dir, &probe, &found);
		for (size_t i = 0; i < n; i++)
			if (rule[i].proto == s->key.proto) {
				if (rule[i].from > port && rule[i].from < next)
					next = rule[i].from;
				if (rule[i].to >= port && rule[i].to + 1u < next)
					next = rule[i].to + 1u;
			}
		if (!allows && !blocked) {
			blocked = true;
			*ret = probe;
		} else if (allows && blocked) {
			break;
		}
		*ret_to = (uint16_t)(next - 1);
		port = next;
	}
	if (blocked && port <= range->to)
		*ret_to = (uint16_t)(port - 1);
	return blocked;
}

static void explain_ephemeral(struct fl_step *step, const struct fl_filter *f, enum fl_dir dir,
			      const struct fl_subject *s, const struct port_range *needed,
			      const struct port_range *wished)
{
	const struct fl_acl *acl = f->eni->subnet->acl;
	struct fl_subject at;
	const struct fl_acl_rule *rule;
	char peer[FL_ADDR_TEXT_MAX + 1];
	uint16_t to = 0;
	const char *proto = fl_protocol_name(s->key.proto);

	addr_text(peer_of(s, dir), is_v6(s), peer);
	if (first_blocked(f, dir, s, needed, &at, &to)) {
		bool denied = fl_filter_acl_rule(f, dir, &at, &rule) && !is_final(rule);

		if (denied)
			snprintf(step->rule, sizeof step->rule, "%u", rule->number);
		step_block(step, FL_CAUSE_ACL_EPHEMERAL);
		step_text(step,
			  "answers %s %s go to the client's ephemeral ports (%u-%u); %u-%u are not allowed %s%s%s",
			  word(dir), peer, needed->from, needed->to, at.key.dport, to, way(dir),
			  denied ? ": rule " : "", denied ? step->rule : "");
		step_fix(step, "allow %s %u-%u %s %s in %s, %s: an ACL keeps no state", proto ? proto : "",
			 wished->from, wished->to, word(dir), peer, acl->noun.id, way(dir));
		return;
	}
	step->outcome = FL_PASSES;
	at = *s;
	at.key.dport = needed->from;
	acl_allows(f, dir, &at, &rule);
	snprintf(step->rule, sizeof step->rule, "%u", rule ? rule->number : 0);
	if (first_blocked(f, dir, s, wished, &at, &to))
		step_text(step, "ephemeral ports %u-%u pass; clients that use others of %u-%u would not (%u-%u)",
			  needed->from, needed->to, wished->from, wished->to, at.key.dport, to);
	else
		step_text(step, "ephemeral ports %u-%u pass, rule %s", wished->from, wished->to, step->rule);
}

void explain_acl(struct fl_step *step, const struct fl_filter *f, enum fl_dir dir, const struct fl_subject *s,
		 const struct port_range *needed, const struct port_range *wished)
{
	const struct fl_subnet *subnet = f->eni->subnet;
	const struct fl_acl_rule *rule;
	char text[FL_RULE_TEXT];

	if (!f->acl[dir]) {
		step->outcome = FL_NOT_KNOWN;
		step_at(step, subnet ? &subnet->noun : &f->eni->noun);
		step_text(step, "the network ACL of the subnet is not in the inventory");
		return;
	}
	step_at(step, &subnet->acl->noun);
	if (!fl_filter_crosses(f, peer_of(s, dir), is_v6(s))) {
		step->outcome = FL_NOT_ASKED;
		step_text(step, "both ends are in %s; an ACL is asked where traffic enters or leaves a subnet",
			  subnet->noun.id);
	} else if (needed) {
		explain_ephemeral(step, f, dir, s, needed, wished);
	} else if (acl_allows(f, dir, s, &rule)) {
		step->outcome = FL_PASSES;
		snprintf(step->rule, sizeof step->rule, "%u", rule->number);
		step_text(step, "%s", fl_acl_rule_text(rule, dir, text));
	} else if (rule && !is_final(rule)) {
		explain_acl_deny(step, subnet->acl, dir, s, rule);
	} else {
		explain_no_acl_rule(step, subnet->acl, dir, s);
	}
}

int fl_trace_filter(struct fl_policy *policy, const struct fl_net_eni *eni, enum fl_step_kind kind,
		    const struct fl_subject *s, struct fl_step *ret)
{
	const struct fl_filter *f;
	enum fl_dir dir = kind == FL_STEP_GROUP_IN || kind == FL_STEP_ACL_IN ? FL_DIR_INGRESS : FL_DIR_EGRESS;
	int r = fl_policy_filter(policy, eni, &f);

	if (r)
		return r;
	*ret = (struct fl_step){.kind = kind};
	if (kind == FL_STEP_ACL_IN || kind == FL_STEP_ACL_OUT)
		explain_acl(ret, f, dir, s, NULL, NULL);
	else
		explain_group(ret, f, dir, s);
	return 0;
}
