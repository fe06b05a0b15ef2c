/* SPDX-License-Identifier: Apache-2.0 */
/* Engine against oracle over an inventory from files: random packets between its interfaces and the world.
 *   compare DIR [PACKETS] */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "oracle.h"

#define START 1700000000000u
#define BATCH 2000 /* packets until both forget everything, so that the oracle's list stays short */

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
	fl_connections_free(&c);
	fl_policy_free(&policy);
	fl_network_free(&net);
	return status;
}
