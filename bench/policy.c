/* SPDX-License-Identifier: Apache-2.0 */
/* Verdicts a second of one core, at 10 and at 1,000 rules: in a group and in an ACL, in each direction.
 *   build/bench/bench_policy [MILLIONS]
 * new: every packet is a flow of its own, so that the rules are asked; known: packets of tracked connections. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/mem.h"
#include "policy/policy.h"

#define SUBJECTS 65536

static uint64_t random_number(void)
{
	static uint64_t x = 0x2545f4914f6cdd1d;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	return x;
}

static double cpu_seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static struct fl_noun noun(const char *id)
{
	return (struct fl_noun){.id = id, .name = "", .owner = "", .file = ""};
}

/* Networks of a few sizes, a port range each: nothing two rules could share. */
static struct fl_cidr network(bool v6)
{
	struct fl_cidr c = {.bits = (uint8_t)(v6 ? 32 + random_number() % 33 : 96 + 12 + random_number() % 21)};
	uint64_t a = random_number();

	if (v6) {
		memcpy(c.base.b, &a, 8);
		c.base.b[0] = 0x20;
	} else {
		c.base = fl_addr_v4((const uint8_t *)&a);
	}
	for (unsigned i = c.bits; i < 128; i++)
		c.base.b[i / 8] &= (uint8_t) ~(0x80u >> i % 8);
	return c;
}

struct network {
	struct fl_vpc vpc;
	struct fl_subnet subnet;
	struct fl_acl acl;
	struct fl_group group;
	struct fl_net_eni eni;
	struct fl_cidr cidr;
	struct fl_net_addr addr[2];
	const struct fl_group *groups[1];
};

static void make_network(struct network *n, struct fl_group_rule *group, struct fl_acl_rule *acl, size_t rules)
{
	for (size_t i = 0; i < rules; i++) {
		bool v6 = i % 4 == 3;
		uint16_t port = (uint16_t)random_number(), more = (uint16_t)(random_number() % 500);

		group[i] = (struct fl_group_rule){.id = "",
						  .proto = i % 3 ? 6 : 17,
						  .from = port,
						  .to = (uint16_t)(port < 65000 ? port + more : 65535),
						  .cidr = network(v6),
						  .v6 = v6,
						  .peer_id = ""};
		acl[i] = (struct fl_acl_rule){.number = (uint16_t)(i + 1),
					      .allow = i % 5,
					      .proto = group[i].proto,
					      .from = group[i].from,
					      .to = group[i].to,
					      .cidr = group[i].cidr,
					      .v6 = v6};
	}
	n->cidr = (struct fl_cidr){fl_addr_v4((const uint8_t[]){10, 0, 0, 0}), 120};
	n->addr[0].addr = fl_addr_v4((const uint8_t[]){10, 0, 0, 5});
	n->addr[1] = (struct fl_net_addr){.addr = {{0x20, 1, 0xd, 0xb8, [15] = 5}}, .v6 = true};
	n->vpc = (struct fl_vpc){.noun = noun("vpc"), .cidrs = {&n->cidr, 1}};
	n->acl = (struct fl_acl){.noun = noun("acl"), .in = {acl, rules}, .out = {acl, rules}};
	n->subnet = (struct fl_subnet){.noun = noun("subnet"), .vpc = &n->vpc, .cidrs = {&n->cidr, 1}, .acl = &n->acl};
	n->group = (struct fl_group){.noun = noun("sg"), .in = {group, rules}, .out = {group, rules}};
	n->groups[0] = &n->group;
	n->eni = (struct fl_net_eni){.noun = noun("eni"),
				     .vpc = &n->vpc,
				     .subnet = &n->subnet,
				     .type = "",
				     .record_type = "",
				     .nat_gateway_id = "",
				     .addr = n->addr,
				     .n_addrs = 2,
				     .group = n->groups,
				     .n_groups = 1};
}

/* Half of the packets are made to match some rule. */
static void make_subjects(struct fl_subject *s, const struct network *n, const struct fl_group_rule *rule, size_t rules)
{
	for (size_t i = 0; i < SUBJECTS; i++) {
		const struct fl_group_rule *like = &rule[random_number() % rules];
		struct fl_cidr net = i % 2 ? like->cidr : network(like->v6);
		uint64_t a = random_number();

		s[i] = (struct fl_subject){.icmp_type = -1, .icmp_code = -1, .tcp = 2, .packets = 1};
		s[i].key.src = net.base;
		for (unsigned k = net.bits; k < 128; k++)
			if (a >> (k & 63) & 1)
				s[i].key.src.b[k / 8] |= (uint8_t)(0x80u >> k % 8);
		s[i].key.dst = n->addr[like->v6].addr;
		s[i].key.proto = (uint8_t)like->proto;
		s[i].key.sport = (uint16_t)random_number();
		s[i].key.dport = i % 2 ? like->from : (uint16_t)random_number();
		s[i].key.dirfam = (uint8_t)(FL_DIR_INGRESS | (like->v6 ? FL_KEY_V6 : 0));
	}
}

static double judge_all(const struct fl_filter *f, struct fl_connections *c, const struct fl_subject *s, size_t total,
			struct fl_opinions *names, size_t *ret_accepted)
{
	double start = cpu_seconds();
	size_t accepted = 0;

	for (size_t i = 0; i < total; i++) {
		struct fl_decision d;

		fl_judge(f, c, &s[i % SUBJECTS], &d);
		accepted += d.accept;
		if (names && !fl_opinions_add(names, f, &s[i % SUBJECTS], &d))
			exit(1);
	}
	*ret_accepted = accepted;
	return (double)total / (cpu_seconds() - start);
}

static int measure(size_t rules, size_t total, double ret[2])
{
	struct fl_group_rule *group = calloc(rules, sizeof *group);
	struct fl_acl_rule *acl = calloc(rules, sizeof *acl);
	struct fl_subject *s = calloc(SUBJECTS, sizeof *s);
	struct network *n = calloc(1, sizeof *n);
	struct fl_connections *c = NULL;
	struct fl_policy *policy = NULL;
	const struct fl_filter *f = NULL;
	double start;
	size_t accepted[2] = {0};
	struct fl_opinions *names = NULL;
	double named;
	int r = group && acl && s && n ? 0 : -1;

	if (!r) {
		make_network(n, group, acl, rules);
		make_subjects(s, n, group, rules);
		r = fl_policy_new(&policy, &(struct fl_policy_conf){0});
	}
	start = cpu_seconds();
	r = r ? r : fl_policy_filter(policy, &n->eni, &f);
	start = cpu_seconds() - start;
	r = r ? r : fl_connections_new(&c, &(struct fl_connections_conf){.capacity = 4 * SUBJECTS, .seed = 1});
	r = r ? r : fl_opinions_new(&names);
	if (!r) {
		judge_all(f, NULL, s, total / 8, NULL, &accepted[0]);
		ret[0] = judge_all(f, NULL, s, total, NULL, &accepted[0]);
		judge_all(f, c, s, SUBJECTS, NULL, &accepted[1]);
		ret[1] = judge_all(f, c, s, total, NULL, &accepted[1]);
		named = judge_all(f, c, s, total, names, &accepted[1]);
		printf("%5zu rules: compiled in %.2f ms; new %6.1f M/s (%4.1f ns, %zu %% accepted); tracked %6.1f M/s "
		       "(%4.1f ns), named %6.1f M/s (%4.1f ns)\n",
		       rules, start * 1e3, ret[0] * 1e-6, 1e9 / ret[0], 100 * accepted[0] / total, ret[1] * 1e-6,
		       1e9 / ret[1], named * 1e-6, 1e9 / named);
	}
	fl_opinions_free(&names);
	fl_connections_free(&c);
	fl_policy_free(&policy);
	free(group);
	free(acl);
	free(s);
	free(n);
	return r;
}

int main(int argc, char **argv)
{
	size_t total = (size_t)(argc > 1 ? atoi(argv[1]) : 20) * 1000000;
	double few[2], many[2];

	if (measure(10, total, few) || measure(100, total, many) || measure(1000, total, many))
		return 1;
	printf("1,000 rules cost %.2f times 10 rules (tracked: %.2f)\n", few[0] / many[0], few[1] / many[1]);
	return 0;
}
