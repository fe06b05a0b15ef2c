/* SPDX-License-Identifier: Apache-2.0 */
#include "random_policy.h"

static const char *const places[] = {
    "10.0.1.1",        "10.0.1.2",        "10.0.1.5",        "10.0.1.6",    "10.0.1.7",   "10.0.2.5",        "10.0.0.2",
    "10.0.2.9",        "10.1.0.4",        "10.1.0.2",        "8.8.8.8",     "8.8.8.9",    "255.255.255.255", "0.0.0.0",
    "169.254.169.254", "169.254.169.253", "169.254.169.250", "169.254.1.1", "203.0.113.7"};
static const char *const places6[] = {"2001:db8:1::5",
				      "2001:db8:1::6",
				      "2001:db8:2::5",
				      "2001:4860::8",
				      "fd00:ec2::253",
				      "fd00:ec2::254",
				      "::",
				      "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"};
static const uint16_t ports[] = {0, 22, 53, 67, 68, 80, 443, 546, 547, 1023, 1024, 1688, 32768, 40000, 60999, 65535};
static const int16_t protos[] = {6, 6, 6, 6, 17, 17, 17, 1, 1, 58, 47, 50};
static const int16_t types[] = {-1, 0, 3, 8, 11, 13, 14, 128, 129, 135, 255};

static uint16_t port(struct random_state *r)
{
	return pick(r, 8) ? ports[pick(r, FL_ARRAY_LEN(ports))] : (uint16_t)pick(r, 65536);
}

static struct fl_addr place(struct random_state *r, bool v6)
{
	return v6 ? make_addr(places6[pick(r, FL_ARRAY_LEN(places6))], NULL)
		  : make_addr(places[pick(r, FL_ARRAY_LEN(places))], NULL);
}

static struct fl_cidr network(struct random_state *r, bool v6)
{
	static const uint8_t lengths[] = {0, 0, 0, 8, 16, 24, 29, 30, 31, 32},
			     lengths6[] = {0, 0, 16, 32, 48, 64, 127, 128};
	struct fl_cidr c = {.base = place(r, v6)};

	c.bits =
	    (uint8_t)(v6 ? lengths6[pick(r, FL_ARRAY_LEN(lengths6))] : 96 + lengths[pick(r, FL_ARRAY_LEN(lengths))]);
	for (unsigned i = c.bits; i < 128; i++)
		c.base.b[i / 8] &= (uint8_t) ~(0x80u >> i % 8);
	return c;
}

static struct make_service service(struct random_state *r)
{
	struct make_service s = {.proto = pick(r, 5) ? protos[pick(r, FL_ARRAY_LEN(protos))] : (int16_t)-1};

	s.from = pick(r, 3) ? port(r) : 0;
	s.to = pick(r, 3) ? (uint16_t)FL_MAX(s.from, port(r)) : 65535;
	if (!pick(r, 30))
		s.to = port(r); /* perhaps the wrong way round */
	s.type = types[pick(r, FL_ARRAY_LEN(types))];
	s.code = pick(r, 2) ? -1 : (int16_t)pick(r, 3);
	return s;
}

static unsigned how_many(struct random_state *r, unsigned rules)
{
	return rules > 20 ? FL_MIN(rules - pick(r, rules / 4), (unsigned)RANDOM_RULES) : pick(r, rules + 1);
}

static void random_group(struct random_network *n, struct random_state *r, unsigned g, unsigned rules)
{
	static const char *const ids[] = {"sg-b", "sg-a", "sg-d", "sg-c"};
	struct fl_group *group = &n->group[g];
	size_t count[2];

	for (unsigned d = 0; d < 2; d++) {
		count[d] = how_many(r, rules);
		for (size_t i = 0; i < count[d]; i++) {
			struct make_service s = service(r);
			struct fl_group_rule rule = {.id = "",
						     .description = "",
						     .proto = s.proto,
						     .from = s.from,
						     .to = s.to,
						     .icmp_type = s.type,
						     .icmp_code = s.code,
						     .peer_id = ""};

			rule.v6 = !pick(r, 4);
			rule.cidr = network(r, rule.v6);
			rule.peer = pick(r, 4) ? FL_PEER_CIDR : pick(r, 3) ? FL_PEER_GROUP : FL_PEER_LIST;
			if (rule.peer == FL_PEER_GROUP && pick(r, 8))
				rule.group = &n->group[pick(r, RANDOM_GROUPS)];
			if (rule.peer == FL_PEER_LIST && pick(r, 8))
				rule.list = &n->list[pick(r, 2)];
			n->group_rule[g][d][i] = rule;
		}
	}
	*group = (struct fl_group){.noun = make_noun(ids[g]),
				   .vpc = &n->vpc[0],
				   .in = {n->group_rule[g][0], count[0]},
				   .out = {n->group_rule[g][1], count[1]},
				   .member = n->member[g]};
}

static void random_acl(struct random_network *n, struct random_state *r, unsigned a, unsigned rules)
{
	size_t count[2];

	for (unsigned d = 0; d < 2; d++) {
		count[d] = how_many(r, rules);
		for (size_t i = 0; i < count[d]; i++) {
			struct make_service s = service(r);
			bool v6 = !pick(r, 4);

			n->acl_rule[a][d][i] = (struct fl_acl_rule){.number = (uint16_t)(i + 1),
								    .allow = pick(r, 3),
								    .proto = s.proto,
								    .from = s.from,
								    .to = s.to,
								    .icmp_type = s.type,
								    .icmp_code = s.code,
								    .cidr = network(r, v6),
								    .v6 = v6};
		}
		if (pick(r, 2)) /* many real ones end open */
			for (unsigned v6 = 0; v6 < 2 && count[d] < RANDOM_RULES; v6++)
				n->acl_rule[a][d][count[d]++] =
				    make_acl_rule(1000, true, "all", v6 ? "::/0" : "0.0.0.0/0");
	}
	n->acl[a] = (struct fl_acl){
	    .noun = make_noun("acl"), .in = {n->acl_rule[a][0], count[0]}, .out = {n->acl_rule[a][1], count[1]}};
}

static void random_routes(struct random_network *n, struct random_state *r, unsigned t)
{
	size_t count = pick(r, 8);

	for (size_t i = 0; i < count; i++) {
		struct fl_route *route = &n->route[t][i];

		*route =
		    (struct fl_route){.v6 = !pick(r, 3), .list_id = "", .target_id = "", .propagated = !pick(r, 3)};
		route->cidr = network(r, route->v6);
		route->target = (enum fl_target)pick(r, FL_TARGET_N);
		if (!pick(r, 5)) {
			route->list_id = "pl";
			route->list = pick(r, 4) ? &n->list[pick(r, 2)] : NULL;
		}
	}
	n->routes[t] = (struct fl_route_table){.noun = make_noun("rtb"), .route = n->route[t], .n = count};
}

static void random_eni(struct random_network *n, struct random_state *r, unsigned e)
{
	static const char *const ids[] = {"eni-0", "eni-1", "eni-2"};
	static const char *const types_of[] = {"interface",
					       "",
					       "interface",
					       "lambda",
					       "natGateway",
					       "vpc_endpoint",
					       "network_load_balancer",
					       "network_load_balancer"};
	static const char *const own[][3] = {{"10.0.1.5", "10.0.1.6", "2001:db8:1::5"},
					     {"10.0.2.5", "10.0.2.9", "2001:db8:2::5"},
					     {"10.1.0.4", "10.1.0.2", "2001:db8:1::6"}};
	static const uint32_t timeouts[] = {0, 0, 60, 350};
	struct fl_net_eni *eni = &n->eni[e];
	unsigned groups = pick(r, 4);

	for (unsigned a = 0; a < 3; a++)
		n->addr[e][a] = (struct fl_net_addr){.addr = make_addr(own[e][a], NULL), .v6 = a == 2};
	n->prefix[e][0] = network(r, false);
	*eni = (struct fl_net_eni){.noun = make_noun(ids[e]),
				   .index = e,
				   .vpc = pick(r, 20) ? &n->vpc[e / 2] : NULL,
				   .subnet = pick(r, 20) ? &n->subnet[e % 2] : NULL,
				   .vpc_id = "",
				   .subnet_id = "",
				   .instance_id = "",
				   .type = types_of[pick(r, 8)],
				   .record_type = pick(r, 8) ? "" : "nat_gateway",
				   .description = "",
				   .addr = n->addr[e],
				   .n_addrs = 1 + pick(r, 3),
				   .prefixes = {n->prefix[e], !pick(r, 4)},
				   .group = n->groups[e],
				   .unknown_group = !pick(r, 30),
				   .nat_gateway_id = "",
				   .attachment_id = "",
				   .tcp_timeout_s = timeouts[pick(r, 4)],
				   .udp_timeout_s = pick(r, 2) ? 0 : 60,
				   .udp_stream_timeout_s = pick(r, 2) ? 0 : 60};
	for (unsigned g = 0; g < groups; g++) {
		unsigned which = (e + g) % RANDOM_GROUPS;

		n->groups[e][eni->n_groups++] = pick(r, 25) ? &n->group[which] : NULL;
		n->member[which][n->group[which].n_members++] = eni;
	}
}

static struct fl_bpa random_bpa(struct random_state *r)
{
	static const struct fl_bpa_exclusion exclusion[] = {{.in_force = true},
							    {.in_force = true, .egress_only = true}};
	struct fl_bpa b = {.said = pick(r, 2), .both = !pick(r, 8)};

	b.ingress = b.both || !pick(r, 8);
	b.exclusion = pick(r, 4) ? NULL : &exclusion[pick(r, 2)];
	return b;
}

void random_network(struct random_network *n, struct random_state *r, unsigned rules)
{
	static const char *const vpcs[][3] = {{"10.0.0.0/16", "2001:db8::/32", "10.9.0.0/16"},
					      {"10.1.0.0/16", "2001:db8:1::/48", "10.8.0.0/16"}},
				 *const subnets[][2] = {{"10.0.1.0/29", "2001:db8:1::/64"},
							{"10.0.2.0/29", "2001:db8:2::/64"}},
				 *const names[] = {"com.amazonaws.us-east-1.dynamodb", "office"};

	for (unsigned i = 0; i < 2; i++) {
		for (unsigned k = 0; k < 3; k++)
			n->vpc_cidr[i][k] = make_cidr(vpcs[i][k]);
		n->vpc[i] =
		    (struct fl_vpc){.noun = make_noun("vpc"), .cidrs = {n->vpc_cidr[i], 3}, .bpa = random_bpa(r)};
		for (unsigned k = 0; k < 6; k++)
			n->list_cidr[i][k] = network(r, !pick(r, 3));
		n->list[i] = (struct fl_prefix_list){
		    .noun = make_noun("pl"), .cidrs = {n->list_cidr[i], pick(r, 7)}, .has_entries = true};
		n->list[i].noun.name = names[i];
		random_acl(n, r, i, rules);
		random_routes(n, r, i);
		for (unsigned k = 0; k < 2; k++)
			n->subnet_cidr[i][k] = make_cidr(subnets[i][k]);
		n->subnet[i] = (struct fl_subnet){.noun = make_noun("subnet"),
						  .vpc = &n->vpc[0],
						  .cidrs = {n->subnet_cidr[i], 2},
						  .bpa = pick(r, 3) ? (struct fl_bpa){0} : random_bpa(r),
						  .acl = pick(r, 8) ? &n->acl[i] : NULL,
						  .routes = pick(r, 8) ? &n->routes[i] : NULL};
	}
	for (unsigned g = 0; g < RANDOM_GROUPS; g++)
		random_group(n, r, g, rules);
	for (unsigned e = 0; e < RANDOM_ENIS; e++)
		random_eni(n, r, e);
}

void random_traffic(struct random_traffic *t, const struct random_network *n, struct random_state *r, uint64_t start)
{
	t->now = start + (pick(r, 2) ? pick(r, 700000) : 0);
	for (unsigned i = 0; i < RANDOM_FLOWS; i++) {
		struct fl_subject *s = &t->flow[i];
		bool v6 = !pick(r, 4);

		t->eni[i] = pick(r, RANDOM_ENIS);
		*s = (struct fl_subject){.icmp_type = -1, .icmp_code = -1};
		s->key.src = n->addr[t->eni[i]][v6 ? 2 : pick(r, 2)].addr;
		s->key.dst = place(r, v6);
		s->key.proto = pick(r, 20) ? (uint8_t)protos[pick(r, FL_ARRAY_LEN(protos))] : (uint8_t)pick(r, 256);
		if (s->key.proto == 6 || s->key.proto == 17) {
			s->key.sport = port(r);
			s->key.dport = port(r);
		}
		s->key.dirfam = (uint8_t)(FL_DIR_EGRESS | (v6 ? FL_KEY_V6 : 0));
	}
}

unsigned random_packet(struct random_traffic *t, struct random_state *r, struct fl_subject *ret)
{
	static const uint8_t flags[] = {0, 2, 2, 18 | FL_TCP_SYNACK, 16, 16, 24, 17, 1, 4, 20, 3, 19 | FL_TCP_SYNACK};
	static const uint32_t steps[] = {0,      1,      500,    1000,   10000,  29999,    30000,  30001,
					 59999,  60000,  60001,  119999, 120000, 120001,   179999, 180000,
					 180001, 350000, 599999, 600000, 600001, 432000000};
	unsigned i = pick(r, RANDOM_FLOWS);

	t->now += pick(r, 3) ? steps[pick(r, 5)] : steps[pick(r, FL_ARRAY_LEN(steps))];
	*ret = pick(r, 2) ? t->flow[i] : fl_subject_reverse(&t->flow[i]);
	ret->first_ms = t->now - (pick(r, 20) ? 0 : FL_MIN(t->now, (uint64_t)pick(r, 2000)));
	ret->last_ms = pick(r, 4) ? 0 : ret->first_ms + pick(r, 60000);
	ret->packets = pick(r, 3) ? 1 : pick(r, 4);
	if (ret->key.proto == 6)
		ret->tcp = flags[pick(r, FL_ARRAY_LEN(flags))];
	if (ret->key.proto == 1 || ret->key.proto == 58) {
		ret->icmp_type = types[pick(r, FL_ARRAY_LEN(types))];
		ret->icmp_code = pick(r, 2) ? -1 : (int16_t)pick(r, 3);
	}
	return t->eni[i];
}
