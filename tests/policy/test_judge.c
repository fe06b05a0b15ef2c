/* SPDX-License-Identifier: Apache-2.0 */
/* Sentences of ../shared/spec/semantics.md sections 4.1, 4.2 and 4.4, a test each. */
#include <errno.h>

#include "base/error.h"
#include "engine.h"

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
	w.vpc.bpa.both = w.vpc.bpa.ingress = true;
	engine();
	assert_decides(judge(OUTSIDE, 1, HOST, 443, 6, SYN), false, BPA);
	assert_decides(judge(HOST, 1, OUTSIDE, 443, 6, SYN), false, BPA);
	assert_decides(judge("2001:db8:1::5", 1, "2001:4860::8", 443, 6, SYN), false, BPA);
	assert_decides(judge(HOST, 1, "10.0.2.9", 443, 6, SYN), true, GROUP);
	w.vpc.bpa.both = false;
	reload();
	assert_decides(judge(OUTSIDE, 2, HOST, 443, 6, SYN), false, BPA);
	assert_decides(judge(HOST, 2, OUTSIDE, 443, 6, SYN), true, GROUP);
	assert_decides(judge("2001:db8:1::5", 2, "2001:4860::8", 443, 6, SYN), true, GROUP);
	w.eni.nat_gateway_id = "nat-1";
	reload();
	assert_decides(judge(OUTSIDE, 3, HOST, 443, 6, SYN), true, GROUP);
}

/* What holds for an interface: its subnet's word before its VPC's, and what an exclusion leaves of it. */
static void exclusions(void **state)
{
	static const struct fl_bpa_exclusion whole = {.in_force = true},
					     outwards = {.in_force = true, .egress_only = true};
	static const struct fl_bpa off = {.said = true}, in = {.said = true, .ingress = true},
				   both = {.said = true, .ingress = true, .both = true}, silent = {0};
	static const struct {
		const struct fl_bpa *vpc, *subnet;
		const struct fl_bpa_exclusion *of_vpc, *of_subnet;
		bool in, out; /* pass */
		const struct fl_bpa_exclusion *named;
	} rows[] = {
	    {&both, &silent, NULL, NULL, false, false, NULL},
	    {&both, &silent, &whole, NULL, true, true, &whole},
	    {&both, &silent, NULL, &whole, true, true, &whole},
	    {&both, &silent, &outwards, NULL, false, true, &outwards},
	    {&both, &silent, NULL, &outwards, false, true, &outwards},
	    {&both, &silent, &whole, &outwards, true, true, &whole},
	    {&both, &silent, &outwards, &whole, true, true, &whole},
	    {&in, &silent, NULL, NULL, false, true, NULL},
	    {&in, &silent, &outwards, NULL, false, true, NULL}, /* it lets out, which passes anyway */
	    {&in, &silent, NULL, &whole, true, true, &whole},
	    {&both, &off, NULL, NULL, true, true, NULL},
	    {&off, &both, NULL, NULL, false, false, NULL},
	    {&off, &in, NULL, NULL, false, true, NULL},
	    {&silent, &silent, &whole, &whole, true, true, NULL},
	};

	(void)state;
	make_acl_open(&w);
	make_group_in(&w, "all", "0.0.0.0/0");
	make_group_out(&w, "all", "0.0.0.0/0");
	make_route(&w, "0.0.0.0/0", FL_TARGET_INTERNET_GATEWAY, "igw-1");
	engine();
	for (size_t i = 0; i < FL_ARRAY_LEN(rows); i++) {
		w.vpc.bpa = *rows[i].vpc;
		w.subnet.bpa = *rows[i].subnet;
		w.vpc.bpa.exclusion = rows[i].of_vpc;
		w.subnet.bpa.exclusion = rows[i].of_subnet;
		reload();
		assert_int_equal(judge(OUTSIDE, 1, HOST, 443, 6, SYN).accept, rows[i].in);
		assert_int_equal(judge(HOST, 2, OUTSIDE, 443, 6, SYN).accept, rows[i].out);
		assert_ptr_equal(fl_policy_bpa(&w.eni).exclusion, rows[i].named);
	}
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
	    T(block_public_access),
	    T(exclusions),
	    T(unknown_filters_decide_nothing),
	    T(too_many_rules_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
