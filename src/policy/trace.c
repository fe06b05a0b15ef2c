/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/trace.h"

#include <errno.h>
#include <stdio.h>

#include "base/error.h"
#include "policy/trace_hops.h"

#define P_TCP 6
#define P_UDP 17
#define P_ICMP 1
#define P_ICMPV6 58

struct fl_step *walk_step(struct walker *w, enum fl_step_kind kind)
{
	struct fl_step *s = w->out->n < FL_TRACE_STEPS ? &w->out->step[w->out->n++] : &w->scratch;

	*s = (struct fl_step){.leg = w->leg, .kind = kind};
	return s;
}

void walk_filter(struct walker *w, enum fl_step_kind kind, const struct fl_net_eni *eni, const struct fl_subject *s,
		 const struct port_range *needed, const struct port_range *wished)
{
	enum fl_dir dir = kind == FL_STEP_GROUP_IN || kind == FL_STEP_ACL_IN ? FL_DIR_INGRESS : FL_DIR_EGRESS;
	const struct fl_filter *f;
	int r = fl_policy_filter(w->policy, eni, &f);

	if (r) {
		w->error = r;
		return;
	}
	if (kind == FL_STEP_ACL_IN || kind == FL_STEP_ACL_OUT)
		explain_acl(walk_step(w, kind), f, dir, s, needed, wished);
	else
		explain_group(walk_step(w, kind), f, dir, s);
}

/* ---- the ends ---- */

static void label(struct fl_trace_end *e)
{
	char text[FL_ADDR_TEXT_MAX + 1];

	addr_text(&e->addr, e->v6, text);
	if (e->eni && *e->eni->noun.name)
		snprintf(e->label, sizeof e->label, "%.20s (%.22s, %s)", e->eni->noun.name, e->eni->noun.id, text);
	else if (e->eni)
		snprintf(e->label, sizeof e->label, "%.24s (%s)", e->eni->noun.id, text);
	else
		snprintf(e->label, sizeof e->label, "%s%s%s", e->internet ? "internet (as " : "", text,
			 e->internet ? ")" : "");
}

int fl_trace_end(const struct fl_network *net, const char *what, struct fl_trace_end *ret)
{
	int r;

	*ret = (struct fl_trace_end){0};
	if (!strcmp(what, "internet")) {
		ret->any = ret->internet = true;
		return 0;
	}
	r = fl_network_lookup(net, what, &ret->eni);
	ret->any = fl_addr_parse(what, strlen(what), &ret->addr, &ret->v6) < 0;
	fl_error_clear();
	if (r == -ENOENT && !ret->any) {
		ret->eni = NULL;
		label(ret);
		return 0;
	}
	if (r)
		return fl_network_lookup(net, what, &ret->eni); /* its sentence */
	if (ret->eni->is_port)
		return fl_fail(-EINVAL, "\"%.64s\" has no address of its own; ask about one behind it", what);
	for (size_t i = 0; !ret->any && i < ret->eni->n_addrs; i++)
		ret->is_public |= ret->eni->addr[i].has_public && fl_addr_equal(&ret->eni->addr[i].public, &ret->addr);
	return 0;
}

static bool choose(struct fl_trace_end *e, bool v6)
{
	/* RFC 5737 and RFC 9637: addresses that nobody has */
	static const struct fl_addr nobody[] = {{{[10] = 0xff, [11] = 0xff, 203, 0, 113, 1}}, {{0x3f, 0xff, [15] = 1}}};

	if (!e->any)
		return e->v6 == v6;
	if (e->internet) {
		e->addr = nobody[v6];
		e->v6 = v6;
		return true;
	}
	for (size_t i = 0; i < e->eni->n_addrs; i++)
		if (e->eni->addr[i].v6 == v6) {
			e->addr = e->eni->addr[i].addr;
			e->v6 = v6;
			return true;
		}
	return false;
}

static bool choose_addresses(struct walker *w, struct fl_trace_question *q)
{
	struct fl_step *s;

	for (unsigned v6 = q->proto == P_ICMPV6; v6 < 2; v6++)
		if (choose(&q->from, v6) && choose(&q->to, v6)) {
			label(&q->from);
			label(&q->to);
			if (v6 && q->proto == P_ICMP) { /* a ping is a ping */
				q->proto = P_ICMPV6;
				q->icmp_type = q->icmp_type == 8 ? 128 : q->icmp_type;
			}
			return true;
		}
	s = walk_step(w, FL_STEP_INSTANCE);
	step_text(s, "one end has IPv4 addresses alone, the other IPv6 alone");
	step_fix(s, "give both ends an address of the same IP version");
	step_block(s, FL_CAUSE_FAMILY);
	return false;
}

static void check_instance(struct walker *w, const struct fl_net_eni *eni)
{
	struct fl_step *s;

	if (!eni || !eni->instance || !*eni->instance->state || !strcmp(eni->instance->state, "running"))
		return;
	s = walk_step(w, FL_STEP_INSTANCE);
	step_at(s, &eni->instance->noun);
	step_text(s, "the instance is %s", eni->instance->state);
	step_fix(s, "start %s", eni->instance->noun.id);
	step_block(s, FL_CAUSE_STOPPED);
}

/* ---- there ---- */

static bool is_unfiltered(struct walker *w)
{
	const struct fl_filter *f;
	struct fl_step *s;

	if (!w->q->from.eni)
		return false;
	w->error = fl_policy_filter(w->policy, w->q->from.eni, &f);
	if (w->error || !fl_filter_unfiltered(f, &w->s))
		return false;
	s = walk_step(w, FL_STEP_UNFILTERED);
	step_at(s, &w->q->from.eni->noun);
	step_text(s, "Amazon DNS, DHCP, instance metadata, time and the router are not filtered, and not logged");
	return true;
}

static bool same_subnet(const struct fl_trace_question *q)
{
	return q->from.eni && q->to.eni && q->from.eni->subnet && q->from.eni->subnet == q->to.eni->subnet &&
	       !q->to.is_public;
}

static struct fl_subject arriving(const struct walker *w)
{
	struct fl_subject in = w->s;

	in.key.dirfam = (uint8_t)((in.key.dirfam & ~FL_KEY_DIR) | FL_DIR_INGRESS);
	return in;
}

static bool walk_there(struct walker *w)
{
	const struct fl_trace_question *q = w->q;
	struct fl_subject in;
	bool arrives;

	w->to = &q->to;
	if (q->from.eni) {
		walk_filter(w, FL_STEP_GROUP_OUT, q->from.eni, &w->s, NULL, NULL);
		walk_filter(w, FL_STEP_ACL_OUT, q->from.eni, &w->s, NULL, NULL);
		arrives = walk_route(w, q->from.eni);
	} else {
		arrives = walk_arrive(w);
	}
	if (!arrives || !q->to.eni)
		return arrives;
	in = arriving(w);
	if (!same_subnet(q))
		walk_filter(w, FL_STEP_ACL_IN, q->to.eni, &in, NULL, NULL);
	walk_filter(w, FL_STEP_GROUP_IN, q->to.eni, &in, NULL, NULL);
	if (!strcmp(q->to.eni->record_type, "vpc_endpoint"))
		walk_encryption(w, q->to.eni);
	return true;
}

/* ---- back ---- */

static void stateful(struct walker *w, enum fl_step_kind kind, const struct fl_net_eni *eni)
{
	struct fl_step *s = walk_step(w, kind);

	step_at(s, &eni->noun);
	step_text(s, "stateful: the answer passes whatever the rules say");
}

static struct fl_subject between(const struct fl_subject *s, const struct fl_addr *src, const struct fl_addr *dst,
				 enum fl_dir dir)
{
	struct fl_subject r = *s;

	r.key.src = *src;
	r.key.dst = *dst;
	r.key.dirfam = (uint8_t)((r.key.dirfam & ~FL_KEY_DIR) | dir);
	return r;
}

/* A NAT gateway in another VPC sends the answer on by its own subnet's route. */
static bool home_from_nat(struct walker *w, const struct fl_addr *server)
{
	const struct fl_nat_gateway *nat = w->nat;
	const struct fl_net_eni *at = nat->eni ? nat->eni : nat->port;
	bool arrives;

	if (!at)
		return true;
	w->s = between(&w->s, server, &w->q->from.addr, FL_DIR_EGRESS);
	w->to = &w->q->from;
	w->nat = NULL; /* the answer does not go through one again */
	arrives = walk_route(w, at);
	w->nat = nat;
	return arrives;
}

/* The answer is back at the sender's side: server as it was asked for, the last hops to the sender. */
static void walk_home(struct walker *w, const struct fl_addr *server, const struct port_range *needed,
		      const struct port_range *wished)
{
	const struct fl_net_eni *client = w->q->from.eni;
	const struct fl_nat_gateway *nat = w->nat;
	struct fl_subject s;

	if (w->by_internet == client->vpc && client->vpc && fl_policy_bpa(client).ingress && !nat) {
		struct fl_step *bpa = walk_step(w, FL_STEP_BPA);

		step_at(bpa, fl_policy_bpa(client).of);
		step_text(bpa, "Block Public Access is on: only NAT gateways and egress-only gateways let answers in");
		step_fix(bpa, "exclude the VPC or subnet from Block Public Access, or use a NAT gateway");
		step_block(bpa, FL_CAUSE_BPA);
	}
	if (nat && nat->eni && nat->subnet) {
		s = between(&w->s, server, &nat->primary.addr, FL_DIR_INGRESS);
		walk_filter(w, FL_STEP_ACL_IN, nat->eni, &s, needed ? wished : NULL, wished);
		if (nat->subnet != client->subnet) {
			s = between(&w->s, server, &w->q->from.addr, FL_DIR_EGRESS);
			walk_filter(w, FL_STEP_ACL_OUT, nat->eni, &s, needed, wished);
		}
	}
	if (nat && nat->vpc && nat->vpc != client->vpc && !home_from_nat(w, server))
		return;
	if (!same_subnet(w->q)) {
		s = between(&w->s, server, &w->q->from.addr, FL_DIR_INGRESS);
		walk_filter(w, FL_STEP_ACL_IN, client, &s, needed, wished);
	}
	stateful(w, FL_STEP_GROUP_IN, client);
}

static bool is_answered(const struct fl_trace_question *q)
{
	if (q->proto == P_ICMP)
		return q->icmp_type < 0 || q->icmp_type == 8;
	return q->proto != P_ICMPV6 || q->icmp_type < 0 || q->icmp_type == 128;
}

static void walk_answer(struct walker *w)
{
	const struct fl_trace_question *q = w->q;
	struct fl_subject asked = w->s;
	struct fl_addr server = q->to.addr;

	w->leg = FL_LEG_BACK;
	w->depth = 0;
	w->to = &q->from;
	w->s = fl_subject_reverse(&asked);
	w->s.key.dirfam = (uint8_t)((w->s.key.dirfam & ~FL_KEY_DIR) | FL_DIR_EGRESS);
	if (q->to.eni) {
		const struct fl_nat_gateway *nat = w->nat;
		bool public_nat = nat && w->by_internet;

		stateful(w, FL_STEP_GROUP_OUT, q->to.eni);
		if (!same_subnet(q))
			walk_filter(w, FL_STEP_ACL_OUT, q->to.eni, &w->s, w->needed, w->wished);
		/* What asked is the NAT gateway, or the interface's public address. */
		w->seen = q->from;
		if (nat && nat->eni)
			w->seen.eni = nat->eni;
		w->seen.is_public = w->by_internet != NULL;
		if (public_nat && !nat->eni)
			w->seen.eni = NULL;
		w->to = &w->seen;
		w->nat = NULL;
		if (q->from.eni ? !walk_route(w, q->to.eni) : false)
			return;
		w->nat = nat;
	}
	if (!q->from.eni)
		return;
	w->s = fl_subject_reverse(&asked);
	walk_home(w, &server, w->needed, w->wished);
}

static void walk_back(struct walker *w)
{
	const struct fl_trace_question *q = w->q;
	const struct port_range all = {FL_EPHEMERAL_FROM, FL_EPHEMERAL_TO}, own = {q->sport, q->sport},
				linux_own = {FL_EPHEMERAL_LINUX_FROM, FL_EPHEMERAL_LINUX_TO};
	bool ports = q->proto == P_TCP || q->proto == P_UDP;
	const struct port_range *needed = !ports     ? NULL
					  : q->sport ? &own
					  : w->nat   ? &all
						     : &linux_own,
				*wished = q->sport ? &own : &all;

	w->needed = needed;
	w->wished = wished;
	walk_answer(w);
	w->needed = w->wished = NULL;
}

/* Who asked about the internet does not want a rule for the address that stands for it. */
static void widen(struct fl_step *s, const struct fl_addr *addr, bool v6)
{
	char text[FL_ADDR_TEXT_MAX + 1], rest[sizeof s->fix];
	char *at = strstr(s->fix, addr_text(addr, v6, text));

	if (!at)
		return;
	memcpy(rest, at + strlen(text), strlen(at + strlen(text)) + 1);
	snprintf(at, sizeof s->fix - (size_t)(at - s->fix), "%s%s", v6 ? "::/0" : "0.0.0.0/0", rest);
}

int fl_trace(const struct fl_network *net, struct fl_policy *policy, struct fl_trace_question *q, struct fl_trace *ret)
{
	struct walker w = {.net = net, .policy = policy, .q = q, .out = ret};

	*ret = (struct fl_trace){0};
	if (choose_addresses(&w, q)) {
		w.s = (struct fl_subject){.icmp_type = q->icmp_type, .icmp_code = q->icmp_code, .tcp = 2, .packets = 1};
		w.s.key.src = q->from.addr;
		w.s.key.dst = q->to.addr;
		w.s.key.sport = q->sport;
		w.s.key.dport = q->dport;
		w.s.key.proto = q->proto;
		w.s.key.dirfam = (uint8_t)(FL_DIR_EGRESS | (q->from.v6 ? FL_KEY_V6 : 0));
		check_instance(&w, q->from.eni);
		check_instance(&w, q->to.eni);
		if (!is_unfiltered(&w) && walk_there(&w) && is_answered(q))
			walk_back(&w);
	}
	for (size_t i = 0; i < ret->n; i++) {
		if (ret->step[i].outcome == FL_BLOCKS && !ret->blocker)
			ret->blocker = &ret->step[i];
		ret->unknown |= ret->step[i].outcome == FL_NOT_KNOWN;
		if (q->from.internet)
			widen(&ret->step[i], &q->from.addr, q->from.v6);
		if (q->to.internet)
			widen(&ret->step[i], &q->to.addr, q->to.v6);
	}
	return w.error;
}
