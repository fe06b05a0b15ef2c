/* SPDX-License-Identifier: Apache-2.0 */
/* What decided, as a word. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "make.h"

#define START ((uint64_t)1700000000000)
#define HOST "10.0.1.5"
#define OUTSIDE "203.0.113.12"
enum { SYN = 2, RST = 4, ACK = 16 };

static struct make_world w;
static struct fl_opinions *opinions;
static uint64_t now = START + 1000000;

static int begin(void **state)
{
	(void)state;
	make_world(&w);
	return fl_opinions_new(&opinions);
}

static int end(void **state)
{
	(void)state;
	fl_policy_free(&w.policy);
	fl_connections_free(&w.connections);
	fl_opinions_free(&opinions);
	return 0;
}

static void engine(void)
{
	fl_policy_free(&w.policy);
	assert_int_equal(fl_policy_new(&w.policy, &(struct fl_policy_conf){&w.eni, 1}), 0);
	assert_int_equal(fl_policy_filter(w.policy, &w.eni, &w.filter), 0);
	if (!w.connections)
		assert_int_equal(fl_connections_new(&w.connections,
						    &(struct fl_connections_conf){.capacity = 64, .start_ms = START}),
				 0);
}

static uint16_t number(const char *src, uint16_t sport, const char *dst, uint16_t dport, uint8_t tcp)
{
	struct fl_subject s = {.icmp_type = -1, .icmp_code = -1, .tcp = tcp, .packets = 1, .first_ms = now};
	struct fl_decision d;

	s.key.src = make_addr(src, NULL);
	s.key.dst = make_addr(dst, NULL);
	s.key.sport = sport;
	s.key.dport = dport;
	s.key.proto = 6;
	s.key.dirfam = !strcmp(dst, HOST) ? FL_DIR_INGRESS : FL_DIR_EGRESS;
	fl_judge(w.filter, w.connections, &s, &d);
	return fl_opinions_add(opinions, w.filter, &s, &d);
}

#define assert_opinion(number_, accept_, text_)                                                                        \
	do {                                                                                                           \
		const struct fl_opinion *o_ = fl_opinions_at(opinions, number_);                                       \
		assert_non_null(o_);                                                                                   \
		assert_string_equal(o_->text, text_);                                                                  \
		assert_int_equal(o_->accept, accept_);                                                                 \
	} while (0)

static void rules_and_their_absence(void **state)
{
	(void)state;
	make_acl_in(&w, 90, false, "tcp 25", "0.0.0.0/0");
	make_acl_open(&w);
	make_acl_in(&w, FL_ACL_LAST, false, "all", "0.0.0.0/0");
	w.acl_out[w.acl.out.n - 2] = make_acl_rule(100, true, "tcp 1-1000", "0.0.0.0/0");
	make_group_in(&w, "tcp 22", "203.0.113.0/24");
	make_group_in(&w, "tcp 25", "0.0.0.0/0");
	w.group_in[0].id = "sgr-0ssh";
	make_group_out(&w, "all", "0.0.0.0/0");
	engine();
	assert_opinion(number(OUTSIDE, 40000, HOST, 22, SYN), true, "sg-1/inbound/sgr-0ssh");
	assert_opinion(number(OUTSIDE, 40001, HOST, 23, SYN), false, "sg-1/inbound/none");
	assert_opinion(number(OUTSIDE, 40002, HOST, 25, SYN), false, "acl-1/inbound/90");
	assert_opinion(number(HOST, 40003, OUTSIDE, 443, SYN), true, "sg-1/outbound/all_traffic_to_0.0.0.0/0");
	assert_opinion(number(HOST, 40004, OUTSIDE, 8443, SYN), false, "acl-1/outbound/*");
	/* Numbers are of rules, not of flows. */
	assert_int_equal(number(OUTSIDE, 1, HOST, 22, SYN), number("203.0.113.99", 2, HOST, 22, SYN));
	assert_int_not_equal(number(OUTSIDE, 1, HOST, 22, SYN), number(OUTSIDE, 1, HOST, 23, SYN));
	assert_null(fl_opinions_at(opinions, 0));
	assert_null(fl_opinions_at(opinions, fl_opinions_count(opinions) + 1));
}

static void connections_name_the_rule_that_opens_them(void **state)
{
	(void)state;
	make_acl_open(&w);
	make_group_in(&w, "tcp 80", "0.0.0.0/0");
	w.group_in[0].id = "sgr-0web";
	engine();
	assert_opinion(number(OUTSIDE, 40000, HOST, 80, SYN), true, "sg-1/inbound/sgr-0web");
	assert_opinion(number(HOST, 80, OUTSIDE, 40000, SYN | ACK | FL_TCP_SYNACK), true,
		       "sg-1/inbound/sgr-0web/connection");
	assert_opinion(number(OUTSIDE, 40000, HOST, 80, ACK), true, "sg-1/inbound/sgr-0web/connection");
	/* A connection outlives its rule, and comes late when it is closed. */
	w.group.in.n = 0;
	engine();
	assert_opinion(number(OUTSIDE, 40000, HOST, 80, ACK), true, "connection");
	assert_opinion(number(OUTSIDE, 40000, HOST, 80, RST), true, "connection");
	assert_opinion(number(HOST, 80, OUTSIDE, 40000, ACK), false, "late");
	/* Names are older than the rules: a table outlives them. */
	assert_opinion(FL_OPINION_OTHER_REJECT + 1, true, "sg-1/inbound/sgr-0web");
}

static void block_public_access(void **state)
{
	const struct fl_opinion *o;

	(void)state;
	make_acl_open(&w);
	make_route(&w, "0.0.0.0/0", FL_TARGET_INTERNET_GATEWAY, "igw-1");
	make_group_in(&w, "all", "0.0.0.0/0");
	w.vpc.bpa.ingress = true;
	engine();
	o = fl_opinions_at(opinions, number(OUTSIDE, 40000, HOST, 80, SYN));
	assert_string_equal(o->text, "block-public-access");
	assert_true(o->bpa && !o->accept);
}

/* A group is named as its owner likes, and an interface has many. */
static void words_stay_words(void **state)
{
	static const struct fl_group_rule rule = {.id = "sgr \"a\",b;\\\n\x7f\xc3"};
	static struct fl_group many[16];
	static const struct fl_group *groups[16];
	const struct fl_opinion *o;

	(void)state;
	make_acl_open(&w);
	make_group_in(&w, "tcp 80", "0.0.0.0/0");
	w.group_in[0].id = rule.id;
	engine();
	assert_opinion(number(OUTSIDE, 40000, HOST, 80, SYN), true, "sg-1/inbound/sgr__a__b_____");
	for (unsigned i = 0; i < 16; i++) {
		many[i].noun = make_noun("sg-0123456789abcdef0");
		groups[i] = &many[i];
	}
	w.eni.group = groups;
	w.eni.n_groups = 16;
	engine();
	o = fl_opinions_at(opinions, number(OUTSIDE, 40000, HOST, 81, SYN));
	assert_int_equal(strlen(o->text), 5 * 21 - 1 + strlen("+.../inbound/none"));
	assert_non_null(strstr(o->text, "+.../inbound/none"));
}

/* More rules than numbers: the verdict stays right, the name is "other". */
static void a_table_is_bounded(void **state)
{
	static struct fl_group_rule rules[FL_OPINIONS_MAX];
	struct fl_subject s = {.key = {.dirfam = FL_DIR_INGRESS}};
	struct fl_decision d = {.accept = true, .by = FL_BY_GROUP, .opener = FL_DIR_INGRESS, .group = &w.group};

	(void)state;
	engine();
	for (unsigned i = 0; i < FL_OPINIONS_MAX; i++) {
		rules[i].id = "sgr-1";
		d.group_rule = &rules[i];
		assert_int_equal(fl_opinions_add(opinions, w.filter, &s, &d),
				 i < FL_OPINIONS_MAX - 2 ? i + 3 : FL_OPINION_OTHER_ACCEPT);
	}
	d = (struct fl_decision){.by = FL_BY_BPA};
	assert_opinion(fl_opinions_add(opinions, w.filter, &s, &d), false, "other");
	d = (struct fl_decision){.by = FL_BY_NOTHING, .accept = true};
	assert_int_equal(fl_opinions_add(opinions, w.filter, &s, &d), 0);
	assert_int_equal(fl_opinions_count(opinions), FL_OPINIONS_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(rules_and_their_absence, begin, end),
	    cmocka_unit_test_setup_teardown(connections_name_the_rule_that_opens_them, begin, end),
	    cmocka_unit_test_setup_teardown(block_public_access, begin, end),
	    cmocka_unit_test_setup_teardown(words_stay_words, begin, end),
	    cmocka_unit_test_setup_teardown(a_table_is_bounded, begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
