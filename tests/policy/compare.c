/* SPDX-License-Identifier: Apache-2.0 */
/* Engine against oracle over an inventory from files: random packets between its interfaces and the world. Then the
 * explanation against the engine: what `why` says of a filter, `meter --enforced` says of the packet.
 *   compare DIR [PACKETS] */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "oracle.h"
#include "policy/trace.h"

#define START 1700000000000u
#define BATCH 2000       /* packets until both forget everything, so that the oracle's list stays short */
#define SETTLED 3600000u /* by then, what nobody saw begin is no longer taken for the middle of a conversation */

static uint64_t state = 88172645463325252u;

static uint32_t pick(uint32_t n)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (uint32_t)((state >> 11) % n);
}

static struct fl_addr some_address(const struct fl_net_eni *enis, size_t n, bool v6)
{
	struct fl_addr a = {0};

	for (unsigned tries = 0; tries < 8 && pick(4); tries++) {
		const struct fl_net_eni *e = &enis[pick((uint32_t)n)];

		for (size_t i = 0; i < e->n_addrs; i++)
			if (e->addr[i].v6 == v6)
				return e->addr[i].addr;
	}
	if (v6) {
		a.b[0] = 0x20;
		a.b[15] = (uint8_t)pick(256);
		return a;
	}
	return fl_addr_v4(
	    (const uint8_t[]){pick(2) ? 10 : 203, (uint8_t)pick(3), (uint8_t)pick(256), (uint8_t)pick(256)});
}

static struct fl_subject some_packet(const struct fl_net_eni *eni, const struct fl_net_eni *enis, size_t n,
				     uint64_t now)
{
	static const uint8_t flags[] = {2, 2, 18 | FL_TCP_SYNACK, 16, 17, 4, 0}, protos[] = {6, 6, 6, 17, 1, 47};
	static const uint16_t ports[] = {22, 53, 80, 443, 1024, 40000};
	struct fl_subject s = {.icmp_type = -1, .icmp_code = -1, .packets = 1, .first_ms = now};
	const struct fl_net_addr *own = &eni->addr[pick((uint32_t)eni->n_addrs)];

	s.key.src = own->addr;
	s.key.dst = some_address(enis, n, own->v6);
	s.key.proto = protos[pick(sizeof protos)];
	if (s.key.proto == 6 || s.key.proto == 17) {
		s.key.sport = ports[pick(6)];
		s.key.dport = ports[pick(6)];
	}
	if (s.key.proto == 6)
		s.tcp = flags[pick(sizeof flags)];
	if (s.key.proto == 1)
		s.icmp_type = pick(2) ? 8 : 0;
	s.key.dirfam = (uint8_t)(FL_DIR_EGRESS | (own->v6 ? FL_KEY_V6 : 0));
	return pick(2) ? s : fl_subject_reverse(&s);
}

static bool differ(const struct fl_decision *a, const struct fl_decision *b)
{
	return a->accept != b->accept || a->by != b->by || a->tracked != b->tracked || a->opener != b->opener ||
	       a->group_rule != b->group_rule || a->acl_rule != b->acl_rule;
}

/* ---- questions ---- */

struct asked {
	const struct fl_network *net;
	struct fl_policy *policy;
	struct fl_trace_question q;
	struct fl_trace trace;
	struct fl_connections *c;
	size_t n, allowed, filters;
	int status;
};

/* Whether a filter of these two kinds blocks among the steps from..to-1. */
static bool filters_block(const struct fl_trace *t, size_t from, size_t to, enum fl_step_kind a, enum fl_step_kind b)
{
	for (size_t i = from; i < to; i++)
		if ((t->step[i].kind == a || t->step[i].kind == b) && t->step[i].outcome == FL_BLOCKS)
			return true;
	return false;
}

static void hold_against(struct asked *a, const char *where, const struct fl_net_eni *eni, struct fl_subject *s,
			 bool blocked, uint64_t now)
{
	const struct fl_filter *f = NULL;
	struct fl_decision got = {0};
	char src[FL_ADDR_TEXT_MAX + 1] = "", dst[FL_ADDR_TEXT_MAX + 1] = "";
	bool v6 = s->key.dirfam & FL_KEY_V6;

	s->first_ms = now;
	if (fl_policy_filter(a->policy, eni, &f)) {
		a->status = 2;
		return;
	}
	fl_judge(f, a->c, s, &got);
	a->filters++;
	if (got.accept != blocked)
		return;
	*fl_addr_print(src, &s->key.src, v6) = '\0';
	*fl_addr_print(dst, &s->key.dst, v6) = '\0';
	fprintf(stderr, "question %zu, %s at %s: %s:%u > %s:%u proto %u: the engine says %s by %s, the explanation:\n",
		a->n, where, eni->noun.id, src, s->key.sport, dst, s->key.dport, s->key.proto,
		got.accept ? "ACCEPT" : "REJECT", fl_decider_names[got.by]);
	for (size_t i = 0; i < a->trace.n; i++)
		fprintf(stderr, "  %s %s %s %s: %s\n", a->trace.step[i].leg ? "back" : "there",
			fl_outcome_names[a->trace.step[i].outcome], fl_step_names[a->trace.step[i].kind],
			a->trace.step[i].at, a->trace.step[i].text);
	a->status = 1;
}

static size_t first_of(const struct fl_trace *t, enum fl_leg leg, enum fl_step_kind kind)
{
	size_t i = 0;

	while (i < t->n && (t->step[i].leg != leg || (kind != FL_STEP_N && t->step[i].kind != kind)))
		i++;
	return i;
}

/* No gateway changed the packet on its way, and no appliance has filters of its own there. */
static bool is_direct(const struct asked *a, size_t end)
{
	for (size_t i = 0; i < end; i++)
		if (a->trace.step[i].kind == FL_STEP_HOP)
			return a->q.from.eni && strstr(a->trace.step[i].text, "peering connection with ");
	return true;
}

static void hold_there(struct asked *a, struct fl_subject *s, size_t back, uint64_t now)
{
	const struct fl_trace *t = &a->trace;
	size_t route = first_of(t, FL_LEG_THERE, FL_STEP_ROUTE);
	bool out = a->q.from.eni, reached = t->n && back && t->step[back - 1].kind == FL_STEP_GROUP_IN;

	/* The filters before the route are the sender's own; Block Public Access stands behind it. */
	if (out)
		hold_against(a, "leaving", a->q.from.eni, s,
			     filters_block(t, 0, route, FL_STEP_GROUP_OUT, FL_STEP_ACL_OUT) ||
				 filters_block(t, 0, back, FL_STEP_BPA, FL_STEP_BPA),
			     now);
	if (!a->q.to.eni || !reached || (!is_direct(a, back) && out))
		return;
	s->key.dirfam = (uint8_t)((s->key.dirfam & ~FL_KEY_DIR) | FL_DIR_INGRESS);
	hold_against(a, "arriving", a->q.to.eni, s,
		     filters_block(t, out ? route : 0, back, FL_STEP_GROUP_IN, FL_STEP_ACL_IN), now + 1);
}

static void hold_back(struct asked *a, struct fl_subject *s, size_t back, uint64_t now)
{
	const struct fl_trace *t = &a->trace;
	size_t route = first_of(t, FL_LEG_BACK, FL_STEP_ROUTE);
	struct fl_subject r = fl_subject_reverse(s);

	for (size_t i = 0; i < back; i++)
		if (t->step[i].outcome == FL_BLOCKS)
			return; /* there is no answer */
	if (back == t->n || !is_direct(a, t->n) || !a->q.from.eni || !a->q.to.eni)
		return;
	if (r.tcp)
		r.tcp = 18 | FL_TCP_SYNACK;
	r.key.dirfam = (uint8_t)((r.key.dirfam & ~FL_KEY_DIR) | FL_DIR_EGRESS);
	hold_against(a, "answer leaving", a->q.to.eni, &r,
		     filters_block(t, back, route, FL_STEP_GROUP_OUT, FL_STEP_ACL_OUT), now + 2);
	if (t->step[t->n - 1].kind != FL_STEP_GROUP_IN)
		return;
	r.key.dirfam = (uint8_t)((r.key.dirfam & ~FL_KEY_DIR) | FL_DIR_INGRESS);
	hold_against(a, "answer arriving", a->q.from.eni, &r,
		     filters_block(t, route, t->n, FL_STEP_GROUP_IN, FL_STEP_ACL_IN), now + 3);
}

static struct fl_trace_end some_end(const struct fl_network *net, const struct fl_addr *addr, bool v6)
{
	char text[FL_ADDR_TEXT_MAX + 1] = "";
	struct fl_trace_end end;

	*fl_addr_print(text, addr, v6) = '\0';
	if (fl_trace_end(net, text, &end))
		end = (struct fl_trace_end){0}; /* an address of two VPCs is no question */
	return end;
}

static int ask(const struct fl_network *net, struct fl_policy *policy, const struct fl_net_eni *enis, size_t n,
	       size_t questions)
{
	static struct asked a;

	a = (struct asked){.net = net, .policy = policy};
	while (a.n < questions && !a.status) {
		const struct fl_net_eni *eni = &enis[pick((uint32_t)n)];
		uint64_t now = START + SETTLED + a.n * 100;
		struct fl_subject s;
		size_t back;

		a.n++;
		fl_connections_free(&a.c); /* a question is about a connection that nobody opened yet */
		if (fl_connections_new(&a.c,
				       &(struct fl_connections_conf){.capacity = 64, .seed = a.n, .start_ms = START}))
			return 2;
		if (!eni->n_addrs)
			continue;
		s = some_packet(eni, enis, n, now);
		a.q = (struct fl_trace_question){.from = some_end(net, &s.key.src, s.key.dirfam & FL_KEY_V6),
						 .to = some_end(net, &s.key.dst, s.key.dirfam & FL_KEY_V6),
						 .proto = s.key.proto,
						 .sport = s.key.sport,
						 .dport = s.key.dport,
						 .icmp_type = s.icmp_type = s.key.proto == 1 ? 8 : -1,
						 .icmp_code = -1};
		if ((!a.q.from.eni && !a.q.to.eni) || a.q.from.eni == a.q.to.eni ||
		    (s.key.proto == 1 && s.key.dirfam & FL_KEY_V6))
			continue;
		s.tcp = s.key.proto == 6 ? 2 : 0;
		s.key.dirfam = (uint8_t)((s.key.dirfam & FL_KEY_V6) | FL_DIR_EGRESS);
		if (fl_trace(net, policy, &a.q, &a.trace))
			return 2;
		a.allowed += !a.trace.blocker;
		back = first_of(&a.trace, FL_LEG_BACK, FL_STEP_N);
		hold_there(&a, &s, back, now);
		hold_back(&a, &s, back, now);
	}
	fl_connections_free(&a.c);
	printf("%zu questions, %zu allowed, %zu filters\n", a.n, a.allowed, a.filters);
	return a.status;
}

int main(int argc, char **argv)
{
	static struct oracle oracle;
	struct fl_network *net = NULL;
	struct fl_policy *policy = NULL;
	struct fl_connections *c = NULL;
	size_t n = 0, packets = argc > 2 ? strtoul(argv[2], NULL, 10) : 100000, by[FL_BY_N] = {0};
	const struct fl_net_eni *enis;
	struct fl_subject last = {0};
	size_t last_eni = 0;
	int status = 0;

	if (argc < 2 || fl_network_read(&net, argv[1])) {
		fprintf(stderr, "%s\n", argc < 2 ? "compare DIR [PACKETS]" : fl_error_text(-1));
		return 2;
	}
	enis = fl_network_enis(net, &n);
	if (!n || fl_policy_new(&policy, &(struct fl_policy_conf){enis, n}))
		return 2;
	oracle = (struct oracle){.enis = enis, .n_enis = n, .start = START, .remembers = true};
	for (size_t i = 0; i < packets && !status; i++) {
		const struct fl_filter *f = NULL;
		struct fl_decision got, want;
		size_t e = pick((uint32_t)n);
		struct fl_subject s;

		if (i % BATCH == 0) {
			fl_connections_free(&c);
			oracle.n = 0;
			if (fl_connections_new(
				&c, &(struct fl_connections_conf){.capacity = 1u << 15, .seed = i, .start_ms = START}))
				return 2;
		}
		if (!enis[e].n_addrs)
			continue;
		s = some_packet(&enis[e], enis, n, START + i * 100);
		if (i % BATCH && pick(2)) { /* the one before again, or its answer */
			e = last_eni;
			s = pick(2) ? last : fl_subject_reverse(&last);
			s.first_ms = START + i * 100;
		}
		last = s;
		last_eni = e;
		if (fl_policy_filter(policy, &enis[e], &f))
			return 2;
		fl_judge(f, c, &s, &got);
		oracle_judge(&oracle, &enis[e], &s, &want);
		by[got.by]++;
		if (differ(&got, &want)) {
			fprintf(stderr, "packet %zu at %s: engine %s by %s, oracle %s by %s\n", i, enis[e].noun.id,
				got.accept ? "ACCEPT" : "REJECT", fl_decider_names[got.by],
				want.accept ? "ACCEPT" : "REJECT", fl_decider_names[want.by]);
			status = 1;
		}
	}
	printf("%zu interfaces, %zu packets", n, packets);
	for (unsigned b = 0; b < FL_BY_N; b++)
		if (by[b])
			printf(", %s %zu", fl_decider_names[b], by[b]);
	printf("\n");
	if (!status)
		status = ask(net, policy, enis, n, packets / 2);
	fl_connections_free(&c);
	fl_policy_free(&policy);
	fl_network_free(&net);
	return status;
}
