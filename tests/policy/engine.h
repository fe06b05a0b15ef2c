/* SPDX-License-Identifier: Apache-2.0 */
/* One world of make.h under the policy engine, packets by hand, and what is decided about them. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "make.h"

#define START ((uint64_t)1700000000000)
#define SYN 2
#define ACK 16
#define FIN 17
#define RST 4
#define SYNACK (18 | FL_TCP_SYNACK)

static struct make_world w;

static inline void engine(void)
{
	assert_int_equal(fl_policy_new(&w.policy, &(struct fl_policy_conf){&w.eni, 1}), 0);
	assert_int_equal(
	    fl_connections_new(&w.connections,
			       &(struct fl_connections_conf){.capacity = 1024, .seed = 5, .start_ms = START}),
	    0);
	assert_int_equal(fl_policy_filter(w.policy, &w.eni, &w.filter), 0);
}

/* The rules have changed; the connections stay. */
static inline void reload(void)
{
	fl_policy_free(&w.policy);
	assert_int_equal(fl_policy_new(&w.policy, &(struct fl_policy_conf){&w.eni, 1}), 0);
	assert_int_equal(fl_policy_filter(w.policy, &w.eni, &w.filter), 0);
}

static inline int begin(void **state)
{
	(void)state;
	make_world(&w);
	return 0;
}

static inline int end(void **state)
{
	(void)state;
	fl_policy_free(&w.policy);
	fl_connections_free(&w.connections);
	return 0;
}

/* Seconds after START, well beyond the grace of the beginning unless asked otherwise. */
static uint64_t clock_s = 100000;

static inline struct fl_subject subject(const char *src, unsigned sport, const char *dst, unsigned dport, int proto,
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

static inline struct fl_decision judge(const char *src, unsigned sport, const char *dst, unsigned dport, int proto,
				       uint8_t tcp)
{
	struct fl_subject s = subject(src, sport, dst, dport, proto, tcp);
	struct fl_decision d;

	fl_judge(w.filter, w.connections, &s, &d);
	return d;
}

static inline struct fl_decision icmp(const char *src, const char *dst, int type)
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
