/* SPDX-License-Identifier: Apache-2.0 */
/* Sentences of ../shared/spec/semantics.md section 4.3, a test each, and the table of connections. */
#include <errno.h>

#include "engine.h"

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

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, begin, end)
	const struct CMUnitTest tests[] = {
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
	    T(the_table_is_bounded),
	    T(evicting_takes_what_ends_first),
	    T(connections_survive_as_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
