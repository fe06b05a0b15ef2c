/* SPDX-License-Identifier: Apache-2.0 */
/* Each sentence of ../shared/spec/semantics.md sections 4.1 to 4.4, one test. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/error.h"
#include "make.h"

#define START ((uint64_t)1700000000000)
#define SYN 2
#define ACK 16
#define FIN 17
#define RST 4
#define SYNACK (18 | FL_TCP_SYNACK)

static struct make_world w;

static void engine(void)
{
	assert_int_equal(fl_policy_new(&w.policy, &(struct fl_policy_conf){&w.eni, 1}), 0);
	assert_int_equal(
	    fl_connections_new(&w.connections,
			       &(struct fl_connections_conf){.capacity = 1024, .seed = 5, .start_ms = START}),
	    0);
	assert_int_equal(fl_policy_filter(w.policy, &w.eni, &w.filter), 0);
}

/* The rules have changed; the connections stay. */
static void reload(void)
{
	fl_policy_free(&w.policy);
	assert_int_equal(fl_policy_new(&w.policy, &(struct fl_policy_conf){&w.eni, 1}), 0);
	assert_int_equal(fl_policy_filter(w.policy, &w.eni, &w.filter), 0);
}

static int begin(void **state)
{
	(void)state;
	make_world(&w);
	return 0;
}

static int end(void **state)
{
	(void)state;
	fl_policy_free(&w.policy);
	fl_connections_free(&w.connections);
	return 0;
}

/* Seconds after START, well beyond the grace of the beginning unless asked otherwise. */
static uint64_t clock_s = 100000;

static struct fl_subject subject(const char *src, unsigned sport, const char *dst, unsigned dport, int proto,
				 uint8_t tcp)
{
	struct fl_subject s = {
	    .icmp_type = -1, .icmp_code = -1, .tcp = tcp, .packets = 1, .first_ms = START + clock_s * 1000};
	bool v6;

	s.key.src = make_addr(src, &v6);
	s.key.dst = make_addr(dst, NULL);
	s.key.sport = (uint16_t)sport;
	s.key.dport = (uint16_t)dport;
	s.key.proto = (uint8_t)proto;
	s.key.dirfam = (uint8_t)((v6 ? FL_KEY_V6 : 0) | (!strncmp(dst, "10.0.1.5", 9) || !strcmp(dst, "10.0.1.6") ||
								 !strcmp(dst, "2001:db8:1::5")
							     ? FL_DIR_INGRESS
							     : FL_DIR_EGRESS));
	return s;
}

static struct fl_decision judge(const char *src, unsigned sport, const char *dst, unsigned dport, int proto,
				uint8_t tcp)
{
	struct fl_subject s = subject(src, sport, dst, dport, proto, tcp);
	struct fl_decision d;

	fl_judge(w.filter, w.connections, &s, &d);
	return d;
}

static struct fl_decision icmp(const char *src, const char *dst, int type)
{
	struct fl_subject s = subject(src, 0, dst, 0, 1, 0);
	struct fl_decision d;

	s.icmp_type = (int16_t)type;
	s.icmp_code = 0;
	fl_judge(w.filter, w.connections, &s, &d);
	return d;
}

#define assert_decides(decision, accepts, decider)                                                                     \
	do {                                                                                                           \
		struct fl_decision d_ = (decision);                                                                    \
		assert_string_equal(fl_decider_names[d_.by], fl_decider_names[FL_BY_##decider]);                       \
		assert_int_equal(d_.accept, accepts);                                                                  \
	} while (0)

#define OUTSIDE "203.0.113.12"
#define HOST "10.0.1.5"

/* ---- 4.1 ---- */

static void groups_unite_and_only_allow(void **state)
{
	struct fl_group_rule more = make_rule("tcp 22", "203.0.113.0/24");
	struct fl_group second = {.noun = make_noun("sg-2"), .in = {&more, 1}};
	const struct fl_group *both[] = {&w.group, &second};
	struct fl_decision d;

	(void)state;
	make_acl_open(&w);
	make_group_in(&w, "tcp 443", "0.0.0.0/0");
	w.eni.group = both;
	w.eni.n_groups = 2;
	engine();
	d = judge(OUTSIDE, 50000, HOST, 22, 6, SYN);
	assert_decides(d, true, GROUP);
	assert_ptr_equal(d.group, &second);
	assert_ptr_equal(d.group_rule, &more);
	d = judge(OUTSIDE, 50000, HOST, 443, 6, SYN);
	assert_ptr_equal(d.group_rule, &w.group_in[0]);
	d = judge(OUTSIDE, 50000, HOST, 80, 6, SYN);
	assert_decides(d, false, GROUP);
	assert_null(d.group_rule);
	assert_decides(judge("198.51.100.1", 50000, HOST, 22, 6, SYN), false, GROUP);
}

static void groups_are_stateful_both_ways(void **state)
{
	(void)state;
	make_acl_open(&w);
	make_group_in(&w, "tcp 443", "203.0.113.0/24");
	make_group_out(&w, "tcp 25", "203.0.113.0/24");
	engine();
	assert_decides(judge(OUTSIDE, 50000, HOST, 443, 6, SYN), true, GROUP);
	assert_decides(judge(HOST, 443, OUTSIDE, 50000, 6, SYNACK), true, CONNECTION);
	assert_decides(judge(HOST, 443, OUTSIDE, 50001, 6, SYN), false, GROUP);
	assert_decides(judge(HOST, 40000, OUTSIDE, 25, 6, SYN), true, GROUP);
	assert_decides(judge(OUTSIDE, 25, HOST, 40000, 6, SYNACK), true, CONNECTION);
	assert_decides(judge(OUTSIDE, 25, HOST, 40001, 6, SYN), false, GROUP);
}

static void acls_are_stateless(void **state)
{
	struct fl_decision d;

	(void)state;
	make_group_in(&w, "all", "0.0.0.0/0");
	make_acl_in(&w, 100, true, "tcp 443", "0.0.0.0/0");
	make_acl_out(&w, 100, true, "tcp 1024-40000", "0.0.0.0/0");
	engine();
	assert_decides(judge(OUTSIDE, 50000, HOST, 443, 6, SYN), true, GROUP);
	d = judge(HOST, 443, OUTSIDE, 50000, 6, SYNACK);
	assert_decides(d, false, ACL);
	assert_null(d.acl_rule); /* "*" */
	assert_decides(judge(OUTSIDE, 40000, HOST, 443, 6, SYN), true, GROUP);
	assert_decides(judge(HOST, 443, OUTSIDE, 40000, 6, SYNACK), true, CONNECTION);
}

static void the_lowest_acl_number_that_matches_decides(void **state)
{
	struct fl_decision d;

	(void)state;
	make_group_in(&w, "all", "0.0.0.0/0");
	make_acl_in(&w, 90, true, "tcp 443", "203.0.113.12/32");
	make_acl_in(&w, 100, false, "tcp 443", "203.0.113.0/24");
	make_acl_in(&w, 110, true, "all", "0.0.0.0/0");
	engine();
	d = judge(OUTSIDE, 1, HOST, 443, 6, SYN);
	assert_decides(d, true, GROUP);
	assert_int_equal(d.acl_rule->number, 90);
	d = judge("203.0.113.13", 1, HOST, 443, 6, SYN);
	assert_decides(d, false, ACL);
	assert_int_equal(d.acl_rule->number, 100);
	d = judge("203.0.113.13", 1, HOST, 80, 6, SYN);
	assert_int_equal(d.acl_rule->number, 110);
}

static void the_acl_is_not_asked_inside_the_subnet(void **state)
{
	(void)state;
	make_group_in(&w, "all", "0.0.0.0/0");
	make_group_in(&w, "all", "::/0");
	make_acl_in(&w, 1, false, "all", "0.0.0.0/0");
	engine();
	assert_decides(judge("10.0.1.77", 1, HOST, 443, 6, SYN), true, GROUP);
	assert_decides(judge("10.0.2.77", 1, HOST, 443, 6, SYN), false, ACL);
	assert_decides(judge("2001:db8:1::77", 1, "2001:db8:1::5", 443, 6, SYN), true, GROUP);
	assert_decides(judge("2001:db8:2::77", 1, "2001:db8:1::5", 443, 6, SYN), false, ACL);
}

static void what_neither_filters(void **state)
{
	static const struct {
		const char *peer;
		unsigned port;
		int proto;
	} rows[] = {{"10.0.0.2", 53, 17},         {"10.0.0.2", 53, 6},          {"169.254.169.253", 53, 17},
		    {"fd00:ec2::253", 53, 17},    {"169.254.169.254", 80, 6},   {"fd00:ec2::254", 80, 6},
		    {"169.254.170.2", 80, 6},     {"169.254.169.123", 123, 17}, {"fd00:ec2::123", 123, 17},
		    {"169.254.169.250", 1688, 6}, {"10.0.1.1", 9, 17}};

	(void)state;
	engine(); /* no rule at all */
	for (size_t i = 0; i < FL_ARRAY_LEN(rows); i++) {
		const char *host = strchr(rows[i].peer, ':') ? "2001:db8:1::5" : HOST;

		assert_decides(judge(host, 50000, rows[i].peer, rows[i].port, rows[i].proto, SYN), true, UNFILTERED);
		assert_decides(judge(rows[i].peer, rows[i].port, host, 50000, rows[i].proto, SYNACK), true, UNFILTERED);
	}
	assert_decides(judge(HOST, 68, "10.0.1.9", 67, 17, 0), true, UNFILTERED);
	assert_decides(judge("10.0.1.9", 67, HOST, 68, 17, 0), true, UNFILTERED);
	/* near them */
	assert_decides(judge(HOST, 50000, "10.0.0.2", 54, 17, 0), false, GROUP);
	assert_decides(judge(HOST, 50000, "169.254.169.252", 53, 17, 0), false, GROUP);
	assert_decides(judge(HOST, 50000, "169.254.169.250", 1689, 6, SYN), false, GROUP);
	assert_decides(judge(HOST, 50000, "8.8.8.8", 53, 17, 0), false, GROUP);
}

static void icmp_rules_go_by_type_and_code(void **state)
{
	struct fl_subject s;
	struct fl_decision d;

	(void)state;
	make_acl_open(&w);
	make_group_in(&w, "icmp 8/0", "0.0.0.0/0");
	engine();
	assert_decides(icmp(OUTSIDE, HOST, 8), true, GROUP);
	assert_decides(icmp("203.0.113.99", HOST, 13), false, GROUP);
	s = subject("203.0.113.98", 0, HOST, 0, 1, 0);
	s.icmp_type = 8;
	s.icmp_code = 1;
	fl_judge(w.filter, w.connections, &s, &d);
	assert_decides(d, false, GROUP);
	/* Not known, as in a record: an allow rule is read in its favour. */
	assert_decides(judge("203.0.113.97", 0, HOST, 0, 1, 0), true, GROUP);
}

static void an_unknown_type_is_not_denied_by_a_rule_for_one_type(void **state)
{
	(void)state;
	make_group_in(&w, "all", "0.0.0.0/0");
	make_acl_in(&w, 10, false, "icmp 8", "0.0.0.0/0");
	make_acl_in(&w, 20, true, "all", "0.0.0.0/0");
	engine();
	assert_decides(icmp(OUTSIDE, HOST, 8), false, ACL);
	assert_decides(judge(OUTSIDE, 0, HOST, 0, 1, 0), true, GROUP);
}

static void families_do_not_meet(void **state)
{
	(void)state;
	make_acl_open(&w);
	make_group_in(&w, "tcp 443", "::/0");
	make_group_out(&w, "tcp 443", "0.0.0.0/0");
	engine();
	assert_decides(judge(OUTSIDE, 1, HOST, 443, 6, SYN), false, GROUP);
	assert_decides(judge("2001:4860::8", 1, "2001:db8:1::5", 443, 6, SYN), true, GROUP);
	assert_decides(judge("2001:db8:1::5", 1, "2001:4860::8", 443, 6, SYN), false, GROUP);
	/* An IPv6 packet with a mapped address is an IPv6 packet. */
	assert_decides(judge("::ffff:203.0.113.12", 1, "2001:db8:1::5", 443, 6, SYN), true, GROUP);
}

static void references_become_addresses(void **state)
{
	struct fl_cidr prefix = make_cidr("10.0.9.0/28"),
		       listed[] = {make_cidr("198.51.100.0/24"), make_cidr("2001:4860::/32")};
	struct fl_net_addr addrs[] = {{.addr = make_addr("10.7.0.4", NULL)},
				      {.addr = make_addr("10.7.0.5", NULL)},
				      {.addr = make_addr("2001:db8:7::4", NULL), .v6 = true}};
	struct fl_vpc peer = {.noun = make_noun("vpc-2")};
	struct fl_net_eni other = {.noun = make_noun("eni-2"),
				   .vpc = &peer,
				   .type = "",
				   .addr = addrs,
				   .n_addrs = 3,
				   .prefixes = {&prefix, 1}};
	const struct fl_net_eni *members[] = {&other};
	struct fl_group theirs = {.noun = make_noun("sg-2"), .vpc = &peer, .member = members, .n_members = 1};
	struct fl_prefix_list list = {.noun = make_noun("pl-1"), .cidrs = {listed, 2}, .has_entries = true};

	(void)state;
	make_acl_open(&w);
	make_group_in(&w, "tcp 443", "0.0.0.0/32");
	w.group_in[0].peer = FL_PEER_GROUP;
	w.group_in[0].group = &theirs;
	make_group_in(&w, "tcp 22", "0.0.0.0/32");
	w.group_in[1].peer = FL_PEER_LIST;
	w.group_in[1].list = &list;
	make_group_in(&w, "tcp 25", "0.0.0.0/0");
	w.group_in[2].peer = FL_PEER_GROUP; /* of a group that the inventory does not have */
	engine();
	assert_decides(judge("10.7.0.4", 1, HOST, 443, 6, SYN), true, GROUP);
	assert_decides(judge("10.7.0.5", 1, HOST, 443, 6, SYN), true, GROUP);
	assert_decides(judge("10.0.9.3", 1, HOST, 443, 6, SYN), true, GROUP);
	assert_decides(judge("2001:db8:7::4", 1, "2001:db8:1::5", 443, 6, SYN), true, GROUP);
	assert_decides(judge("10.7.0.6", 1, HOST, 443, 6, SYN), false, GROUP);
	assert_decides(judge("198.51.100.9", 1, HOST, 22, 6, SYN), true, GROUP);
	assert_decides(judge("2001:4860::9", 1, "2001:db8:1::5", 22, 6, SYN), true, GROUP);
	assert_decides(judge("198.51.101.9", 1, HOST, 22, 6, SYN), false, GROUP);
	assert_decides(judge("198.51.101.9", 1, HOST, 25, 6, SYN), false, GROUP);
}

static void ingress_asks_the_acl_first_egress_the_group(void **state)
{
	(void)state;
	engine();
	assert_decides(judge(OUTSIDE, 1, HOST, 443, 6, SYN), false, ACL);
	assert_decides(judge(HOST, 1, OUTSIDE, 443, 6, SYN), false, GROUP);
}

/* ---- 4.2: the ping ---- */

static void ping_row(bool group_in, bool acl_out, int request, int reply)
{
	make_world(&w);
	if (group_in)
		make_group_in(&w, "icmp", "0.0.0.0/0");
	make_acl_in(&w, 100, true, "icmp", "0.0.0.0/0");
	if (acl_out)
		make_acl_out(&w, 100, true, "icmp", "0.0.0.0/0");
	engine();
	assert_int_equal(icmp(OUTSIDE, HOST, 8).accept, request);
	if (reply >= 0)
		assert_int_equal(icmp(HOST, OUTSIDE, 0).accept, reply);
	end(NULL);
}

static void the_documented_ping(void **state)
{
	(void)state;
	ping_row(true, false, true, false);
	ping_row(true, true, true, true);
	ping_row(false, true, false, -1);
}

static void packets_after_the_close_are_rejected(void **state)
{
	(void)state;
	make_acl_open(&w);
	make_group_in(&w, "tcp 443", "203.0.113.0/24");
	engine();
	assert_decides(judge(OUTSIDE, 50000, HOST, 443, 6, SYN), true, GROUP);
	assert_decides(judge(HOST, 443, OUTSIDE, 50000, 6, SYNACK), true, CONNECTION);
	assert_decides(judge(OUTSIDE, 50000, HOST, 443, 6, ACK), true, CONNECTION);
	assert_decides(judge(OUTSIDE, 50000, HOST, 443, 6, FIN), true, CONNECTION);
	assert_decides(judge(HOST, 443, OUTSIDE, 50000, 6, ACK), true, CONNECTION);
	assert_decides(judge(HOST, 443, OUTSIDE, 50000, 6, FIN), true, CONNECTION);
	assert_decides(judge(OUTSIDE, 50000, HOST, 443, 6, ACK), true, CONNECTION);
	clock_s++;
	assert_decides(judge(OUTSIDE, 50000, HOST, 443, 6, ACK), false, CLOSED); /* late */
	assert_decides(judge(OUTSIDE, 50000, HOST, 443, 6, FIN), false, CLOSED);
	assert_decides(judge(HOST, 443, OUTSIDE, 50000, 6, ACK), false, CLOSED);
	/* The ports are free for a new one. */
	assert_decides(judge(OUTSIDE, 50000, HOST, 443, 6, SYN), true, GROUP);
	assert_decides(judge(HOST, 443, OUTSIDE, 50000, 6, SYNACK), true, CONNECTION);
	assert_decides(judge(HOST, 443, OUTSIDE, 50000, 6, RST), true, CONNECTION);
	assert_decides(judge(OUTSIDE, 50000, HOST, 443, 6, ACK), false, CLOSED);
}

static void a_refused_connection_is_over(void **state)
{
	(void)state;
	make_acl_open(&w);
	make_group_in(&w, "tcp 443", "203.0.113.0/24");
	engine();
	assert_decides(judge(OUTSIDE, 50000, HOST, 443, 6, SYN), true, GROUP);
	assert_decides(judge(HOST, 443, OUTSIDE, 50000, 6, RST | ACK), true, CONNECTION);
	assert_decides(judge(OUTSIDE, 50000, HOST, 443, 6, ACK), false, CLOSED);
}

/* The packets of a whole connection as one flow of each side. */
static void a_window_may_hold_a_whole_connection(void **state)
{
	(void)state;
	make_acl_open(&w);
	make_group_in(&w, "tcp 443", "203.0.113.0/24");
	engine();
	assert_decides(judge(OUTSIDE, 50000, HOST, 443, 6, SYN | FIN), true, GROUP);
	assert_decides(judge(HOST, 443, OUTSIDE, 50000, 6, SYNACK | FIN), true, CONNECTION);
	clock_s += 61;
	assert_decides(judge(OUTSIDE, 50000, HOST, 443, 6, ACK), false, CLOSED);
}

/* ---- 4.3 ---- */

static void open_to_the_world_both_ways_is_not_tracked(void **state)
{
	(void)state;
	make_acl_open(&w);
	make_group_in(&w, "tcp 443", "0.0.0.0/0");
	make_group_in(&w, "tcp 22", "203.0.113.0/24");
	make_group_in(&w, "icmp", "0.0.0.0/0");
	make_group_out(&w, "all", "0.0.0.0/0");
	engine();
	assert_false(judge(OUTSIDE, 50000, HOST, 443, 6, SYN).tracked);
	assert_false(judge(HOST, 443, OUTSIDE, 50000, 6, SYNACK).tracked);
	assert_decides(judge(HOST, 443, OUTSIDE, 50000, 6, ACK), true, GROUP);
	assert_true(judge(OUTSIDE, 50000, HOST, 22, 6, SYN).tracked);
	assert_true(icmp(OUTSIDE, HOST, 8).tracked);
	/* The other direction does not open everything to it. */
	assert_true(judge(HOST, 50001, OUTSIDE, 25, 6, SYN).tracked);
	/* IPv6 is not open. */
	assert_decides(judge("2001:4860::8", 1, "2001:db8:1::5", 443, 6, SYN), false, GROUP);
}

static void all_ports_of_one_protocol_must_be_open_for_answers(void **state)
{
	(void)state;
	make_acl_open(&w);
	make_group_in(&w, "tcp 443", "0.0.0.0/0");
	make_group_in(&w, "udp 443", "0.0.0.0/0");
	make_group_out(&w, "tcp 1024-65535", "0.0.0.0/0");
	make_group_out(&w, "udp 0-65535", "0.0.0.0/0");
	engine();
	assert_true(judge(OUTSIDE, 50000, HOST, 443, 6, SYN).tracked);
	assert_false(judge(OUTSIDE, 50000, HOST, 443, 17, 0).tracked);
}

static void some_ways_are_always_tracked(void **state)
{
	struct fl_prefix_list dynamodb = {.noun = make_noun("pl-1"), .has_entries = true};
	struct fl_cidr far = make_cidr("52.94.0.0/22");

	(void)state;
	make_acl_open(&w);
	make_group_in(&w, "all", "0.0.0.0/0");
	make_group_out(&w, "all", "0.0.0.0/0");
	make_group_in(&w, "all", "::/0");
	make_group_out(&w, "all", "::/0");
	make_route(&w, "0.0.0.0/0", FL_TARGET_INTERNET_GATEWAY, "igw-1");
	make_route(&w, "198.51.100.0/24", FL_TARGET_NAT_GATEWAY, "nat-1");
	make_route(&w, "192.0.2.0/24", FL_TARGET_LOAD_BALANCER_ENDPOINT, "vpce-1");
	make_route(&w, "0.0.0.0/32", FL_TARGET_GATEWAY_ENDPOINT, "vpce-2");
	make_route(&w, "::/0", FL_TARGET_EGRESS_ONLY_GATEWAY, "eigw-1");
	dynamodb.noun.name = "com.amazonaws.us-east-1.dynamodb";
	dynamodb.cidrs = (struct fl_cidrs){&far, 1};
	w.route[3].list = &dynamodb;
	w.route[3].list_id = "pl-1";
	engine();
	assert_false(judge(HOST, 1, OUTSIDE, 443, 6, SYN).tracked);
	assert_true(judge(HOST, 1, "198.51.100.4", 443, 6, SYN).tracked);
	assert_true(judge(HOST, 1, "192.0.2.4", 443, 6, SYN).tracked);
	assert_true(judge(HOST, 1, "52.94.0.9", 443, 6, SYN).tracked);
	assert_true(judge("2001:db8:1::5", 1, "2001:4860::8", 443, 6, SYN).tracked);
	w.eni.type = "lambda";
	reload();
	assert_true(judge(HOST, 2, OUTSIDE, 443, 6, SYN).tracked);
}

static void a_removed_rule_leaves_its_tracked_connections(void **state)
{
	(void)state;
	make_acl_open(&w);
	make_group_in(&w, "tcp 22", "203.0.113.0/24");
	engine();
	assert_decides(judge(OUTSIDE, 50000, HOST, 22, 6, SYN), true, GROUP);
	assert_decides(judge(HOST, 22, OUTSIDE, 50000, 6, SYNACK), true, CONNECTION);
	w.group.in.n = 0;
	reload();
	assert_decides(judge(OUTSIDE, 50000, HOST, 22, 6, ACK), true, CONNECTION);
	clock_s += 5000;
	assert_decides(judge(OUTSIDE, 50000, HOST, 22, 6, ACK), true, CONNECTION);
	assert_decides(judge(OUTSIDE, 50001, HOST, 22, 6, SYN), false, GROUP);
	clock_s += FL_CONN_TCP_S;
	assert_decides(judge(OUTSIDE, 50000, HOST, 22, 6, ACK), false, CLOSED);
}

static void a_removed_rule_interrupts_untracked_flows(void **state)
{
	(void)state;
	make_acl_open(&w);
	make_group_in(&w, "tcp 443", "0.0.0.0/0");
	make_group_out(&w, "all", "0.0.0.0/0");
	engine();
	assert_decides(judge(OUTSIDE, 50000, HOST, 443, 6, SYN), true, GROUP);
	w.group.in.n = w.group.out.n = 0;
	reload();
	assert_decides(judge(OUTSIDE, 50000, HOST, 443, 6, ACK), false, GROUP);
}

static void idle_for(uint32_t limit_s, int proto, unsigned requests, unsigned replies)
{
	static unsigned port = 1000;
	bool over = false;

	for (unsigned late = 0; late < 2; late++) {
		port++;
		for (unsigned i = 0; i < requests; i++)
			assert_true(judge(HOST, port, OUTSIDE, 99, proto, proto == 6 ? i ? ACK : SYN : 0).accept);
		for (unsigned i = 0; i < replies; i++)
			assert_decides(judge(OUTSIDE, 99, HOST, port, proto, i ? ACK : SYNACK), true, CONNECTION);
		clock_s += limit_s;
		clock_s -= !late;
		over = late;
		assert_int_equal(judge(OUTSIDE, 99, HOST, port, proto, ACK).accept, !over);
		clock_s += 1000000;
	}
}

static void idle_time_outs(void **state)
{
	(void)state;
	make_acl_open(&w);
	make_group_out(&w, "all", "203.0.113.0/24");
	engine();
	idle_for(432000, 6, 2, 2);
	idle_for(FL_CONN_SYN_S, 6, 1, 0);
	idle_for(30, 17, 1, 0);
	idle_for(30, 17, 1, 1);
	idle_for(30, 17, 5, 1);
	idle_for(180, 17, 2, 2);
	idle_for(600, 47, 2, 2);
	w.eni.tcp_timeout_s = 350;
	w.eni.udp_timeout_s = 60;
	w.eni.udp_stream_timeout_s = 120;
	reload();
	idle_for(350, 6, 2, 2);
	idle_for(60, 17, 1, 1);
	idle_for(120, 17, 2, 2);
}

static void load_balancers_have_time_outs_of_their_own(void **state)
{
	struct fl_net_addr addr = {.addr = make_addr("203.0.113.12", NULL)};
	struct fl_net_eni both[2];

	(void)state;
	make_acl_open(&w);
	make_group_out(&w, "all", "203.0.113.0/24");
	both[0] = w.eni;
	both[1] = (struct fl_net_eni){
	    .noun = make_noun("eni-2"), .vpc = &w.vpc, .type = "network_load_balancer", .addr = &addr, .n_addrs = 1};
	engine();
	fl_policy_free(&w.policy);
	assert_int_equal(fl_policy_new(&w.policy, &(struct fl_policy_conf){both, 2}), 0);
	assert_int_equal(fl_policy_filter(w.policy, &w.eni, &w.filter), 0);
	idle_for(350, 6, 2, 2);
	idle_for(120, 17, 1, 1);
	idle_for(120, 17, 2, 2);
}

static void ping_answers_and_nothing_else_come_back(void **state)
{
	(void)state;
	make_acl_open(&w);
	make_group_out(&w, "icmp 8", "0.0.0.0/0");
	engine();
	assert_decides(icmp(OUTSIDE, HOST, 0), false, GROUP);
	assert_decides(icmp(HOST, OUTSIDE, 8), true, GROUP);
	assert_decides(icmp(OUTSIDE, HOST, 0), true, CONNECTION);
	assert_decides(icmp(OUTSIDE, HOST, 8), false, GROUP);
	clock_s += FL_CONN_ICMP_S;
	assert_decides(icmp(OUTSIDE, HOST, 0), false, GROUP);
}

static void other_protocols_go_by_addresses(void **state)
{
	(void)state;
	make_acl_open(&w);
	make_group_out(&w, "47", "203.0.113.0/24");
	engine();
	assert_decides(judge(OUTSIDE, 0, HOST, 0, 47, 0), false, GROUP);
	assert_decides(judge(HOST, 0, OUTSIDE, 0, 47, 0), true, GROUP);
	assert_decides(judge(OUTSIDE, 0, HOST, 0, 47, 0), true, CONNECTION);
	assert_decides(judge(OUTSIDE, 0, HOST, 0, 50, 0), false, GROUP);
}

/* ---- the beginning ---- */

static void what_was_under_way_is_read_kindly(void **state)
{
	(void)state;
	make_acl_open(&w);
	make_group_in(&w, "tcp 443", "203.0.113.0/24");
	make_group_in(&w, "udp 514", "203.0.113.0/24");
	engine();
	/* TCP: by its flags, at any time. */
	assert_decides(judge(HOST, 443, OUTSIDE, 50000, 6, ACK), true, GROUP);
	assert_decides(judge(OUTSIDE, 50000, HOST, 443, 6, ACK), true, CONNECTION);
	assert_decides(judge(HOST, 444, OUTSIDE, 50000, 6, ACK), false, GROUP);
	/* What has no flags: for one time-out from the start. */
	assert_decides(judge(HOST, 514, OUTSIDE, 50000, 17, 0), false, GROUP);
	clock_s = FL_CONN_UDP_STREAM_S - 1;
	assert_decides(judge(HOST, 514, OUTSIDE, 50000, 17, 0), true, GROUP);
	assert_int_equal(judge(HOST, 514, OUTSIDE, 50001, 17, 0).opener, FL_DIR_INGRESS);
	clock_s = 100000;
}

/* ---- 4.4 ---- */

static void block_public_access(void **state)
{
	(void)state;
	make_acl_open(&w);
	make_group_in(&w, "all", "0.0.0.0/0");
	make_group_out(&w, "all", "0.0.0.0/0");
	make_group_out(&w, "all", "::/0");
	make_route(&w, "0.0.0.0/0", FL_TARGET_INTERNET_GATEWAY, "igw-1");
	make_route(&w, "10.0.0.0/16", FL_TARGET_LOCAL, "local");
	make_route(&w, "::/0", FL_TARGET_EGRESS_ONLY_GATEWAY, "eigw-1");
	w.vpc.bpa_both = true;
	engine();
	assert_decides(judge(OUTSIDE, 1, HOST, 443, 6, SYN), false, BPA);
	assert_decides(judge(HOST, 1, OUTSIDE, 443, 6, SYN), false, BPA);
	assert_decides(judge("2001:db8:1::5", 1, "2001:4860::8", 443, 6, SYN), false, BPA);
	assert_decides(judge(HOST, 1, "10.0.2.9", 443, 6, SYN), true, GROUP);
	w.vpc.bpa_both = false;
	w.vpc.bpa_ingress = true;
	reload();
	assert_decides(judge(OUTSIDE, 2, HOST, 443, 6, SYN), false, BPA);
	assert_decides(judge(HOST, 2, OUTSIDE, 443, 6, SYN), true, GROUP);
	assert_decides(judge("2001:db8:1::5", 2, "2001:4860::8", 443, 6, SYN), true, GROUP);
	w.eni.nat_gateway_id = "nat-1";
	reload();
	assert_decides(judge(OUTSIDE, 3, HOST, 443, 6, SYN), true, GROUP);
}

/* ---- what the inventory does not have ---- */

static void unknown_filters_decide_nothing(void **state)
{
	const struct fl_group *groups[] = {&w.group, NULL};

	(void)state;
	make_group_in(&w, "tcp 443", "0.0.0.0/0");
	w.eni.group = groups;
	w.eni.n_groups = 2;
	w.subnet.acl = NULL;
	engine();
	assert_decides(judge(OUTSIDE, 1, HOST, 443, 6, SYN), true, GROUP);
	assert_decides(judge(OUTSIDE, 1, HOST, 80, 6, SYN), true, UNKNOWN_GROUP);
	w.eni.n_groups = 0;
	reload();
	assert_decides(judge(OUTSIDE, 1, HOST, 80, 6, SYN), true, NOTHING);
	w.subnet.acl = &w.acl;
	reload();
	assert_decides(judge(OUTSIDE, 1, HOST, 80, 6, SYN), false, ACL);
}

/* ---- the table ---- */

static void the_table_is_bounded(void **state)
{
	struct fl_connections_stats stats;

	(void)state;
	make_acl_open(&w);
	make_group_in(&w, "tcp 443", "203.0.113.0/24");
	engine();
	for (unsigned port = 1; port <= 20000; port++)
		assert_true(judge(OUTSIDE, port, HOST, 443, 6, SYN).accept);
	fl_connections_stats(w.connections, &stats);
	assert_int_equal(stats.capacity, 1024);
	assert_in_range(stats.used, 1000, 1024);
	assert_int_equal(stats.evicted, 20000 - stats.used);
	clock_s += FL_CONN_SYN_S + FL_CONN_REMEMBER_S;
	fl_connections_expire(w.connections, START + clock_s * 1000 - 1, SIZE_MAX);
	fl_connections_stats(w.connections, &stats);
	assert_true(stats.used > 0);
	fl_connections_expire(w.connections, START + clock_s * 1000, 512);
	fl_connections_expire(w.connections, START + clock_s * 1000, 512);
	fl_connections_stats(w.connections, &stats);
	assert_int_equal(stats.used, 0);
}

static void evicting_takes_what_ends_first(void **state)
{
	struct fl_connections_stats stats;
	unsigned alive = 0;

	(void)state;
	make_acl_open(&w);
	make_group_in(&w, "all", "203.0.113.0/24");
	engine();
	for (unsigned port = 1; port <= 300; port++) { /* established */
		judge(OUTSIDE, port, HOST, 443, 6, SYN);
		judge(HOST, 443, OUTSIDE, port, 6, SYNACK);
	}
	for (unsigned port = 1; port <= 20000; port++)
		judge(OUTSIDE, port, HOST, 444, 17, 0);
	fl_connections_stats(w.connections, &stats);
	assert_true(stats.evicted > 18000);
	for (unsigned port = 1; port <= 300; port++)
		alive += judge(HOST, 443, OUTSIDE, port, 6, ACK).by == FL_BY_CONNECTION;
	assert_int_equal(alive, 300);
}

static void connections_survive_as_bytes(void **state)
{
	struct fl_connections *next = NULL;
	struct fl_buf bytes = FL_BUF(1u << 20);
	struct fl_cursor cursor;

	(void)state;
	make_acl_open(&w);
	make_group_in(&w, "tcp 22", "203.0.113.0/24");
	engine();
	judge(OUTSIDE, 50000, HOST, 22, 6, SYN);
	judge(HOST, 22, OUTSIDE, 50000, 6, SYNACK);
	assert_int_equal(fl_connections_encode(w.connections, START + clock_s * 1000, &bytes), 0);
	assert_int_equal(bytes.len, 5 + FL_CONNECTION_BYTES);
	for (size_t cut = 0; cut < bytes.len; cut++) {
		fl_connections_free(&next);
		assert_int_equal(fl_connections_new(&next, &(struct fl_connections_conf){.capacity = 64, .seed = 9}),
				 0);
		cursor = fl_cursor(bytes.data, cut);
		assert_int_equal(fl_connections_decode(next, &cursor), -EBADMSG);
	}
	cursor = fl_cursor(bytes.data, bytes.len);
	assert_int_equal(fl_connections_decode(next, &cursor), 0);
	fl_buf_free(&bytes);
	w.group.in.n = 0;
	reload();
	fl_connections_free(&w.connections);
	w.connections = next;
	assert_decides(judge(OUTSIDE, 50000, HOST, 22, 6, ACK), true, CONNECTION);
}

static void too_many_rules_are_refused(void **state)
{
	static struct fl_group_rule rules[FL_POLICY_RULES_MAX + 1];
	const struct fl_filter *f = NULL;

	(void)state;
	for (size_t i = 0; i < FL_ARRAY_LEN(rules); i++)
		rules[i] = make_rule("tcp 1", "10.0.0.0/8");
	w.group.in.rule = rules;
	w.group.in.n = FL_ARRAY_LEN(rules);
	assert_int_equal(fl_policy_new(&w.policy, &(struct fl_policy_conf){0}), 0);
	assert_int_equal(fl_policy_filter(w.policy, &w.eni, &f), -E2BIG);
	assert_non_null(strstr(fl_error_text(-E2BIG), "sg-1"));
	w.group.in.n--;
	assert_int_equal(fl_policy_filter(w.policy, &w.eni, &f), 0);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, begin, end)
	const struct CMUnitTest tests[] = {
	    T(groups_unite_and_only_allow),
	    T(groups_are_stateful_both_ways),
	    T(acls_are_stateless),
	    T(the_lowest_acl_number_that_matches_decides),
	    T(the_acl_is_not_asked_inside_the_subnet),
	    T(what_neither_filters),
	    T(icmp_rules_go_by_type_and_code),
	    T(an_unknown_type_is_not_denied_by_a_rule_for_one_type),
	    T(families_do_not_meet),
	    T(references_become_addresses),
	    T(ingress_asks_the_acl_first_egress_the_group),
	    T(the_documented_ping),
	    T(packets_after_the_close_are_rejected),
	    T(a_refused_connection_is_over),
	    T(a_window_may_hold_a_whole_connection),
	    T(open_to_the_world_both_ways_is_not_tracked),
	    T(all_ports_of_one_protocol_must_be_open_for_answers),
	    T(some_ways_are_always_tracked),
	    T(a_removed_rule_leaves_its_tracked_connections),
	    T(a_removed_rule_interrupts_untracked_flows),
	    T(idle_time_outs),
	    T(load_balancers_have_time_outs_of_their_own),
	    T(ping_answers_and_nothing_else_come_back),
	    T(other_protocols_go_by_addresses),
	    T(what_was_under_way_is_read_kindly),
	    T(block_public_access),
	    T(unknown_filters_decide_nothing),
	    T(the_table_is_bounded),
	    T(evicting_takes_what_ends_first),
	    T(connections_survive_as_bytes),
	    T(too_many_rules_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
