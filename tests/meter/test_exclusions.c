/* SPDX-License-Identifier: Apache-2.0 */
/* semantics.md section 3, a row a case: what each rule takes, and what stands beside it and must stay. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/error.h"
#include "base/mem.h"
#include "meter/meter.h"

struct row {
	const char *src, *dst;
	uint16_t sport, dport;
	uint8_t proto;
	int icmp_type, want;
};

static const struct row rows[] = {
    {"10.0.0.9", "10.0.0.2", 40000, 53, 17, -1, FL_RULE_AMAZON_DNS},
    {"10.0.0.2", "10.0.0.9", 53, 40000, 17, -1, FL_RULE_AMAZON_DNS},
    {"10.0.0.9", "10.0.0.2", 40000, 53, 6, -1, FL_RULE_AMAZON_DNS},
    {"10.0.0.9", "169.254.169.253", 40000, 53, 17, -1, FL_RULE_AMAZON_DNS},
    {"2001:db8::9", "fd00:ec2::253", 40000, 53, 17, -1, FL_RULE_AMAZON_DNS},
    {"10.0.0.9", "10.0.0.3", 40000, 53, 17, -1, -1}, /* an own DNS server is logged */
    {"10.0.0.9", "10.0.0.2", 40000, 443, 6, -1, -1}, /* another service of that host */
    {"10.0.0.9", "10.0.0.2", 53, 40000, 17, -1, -1}, /* the port is the other side's */
    {"10.0.0.9", "169.254.169.250", 40000, 1688, 6, -1, FL_RULE_WINDOWS_ACTIVATION},
    {"169.254.169.251", "10.0.0.9", 1688, 40000, 6, -1, FL_RULE_WINDOWS_ACTIVATION},
    {"10.0.0.9", "10.0.0.77", 40000, 1688, 6, -1, -1},
    {"10.0.0.9", "169.254.169.254", 40000, 80, 6, -1, FL_RULE_INSTANCE_METADATA},
    {"fd00:ec2::254", "2001:db8::9", 80, 40000, 6, -1, FL_RULE_INSTANCE_METADATA},
    {"10.0.0.9", "169.254.169.123", 123, 123, 17, -1, FL_RULE_TIME_SYNC},
    {"2001:db8::9", "fd00:ec2::123", 123, 123, 17, -1, FL_RULE_TIME_SYNC},
    {"0.0.0.0", "255.255.255.255", 68, 67, 17, -1, FL_RULE_DHCP},
    {"10.0.0.4", "10.0.0.5", 67, 67, 17, -1, FL_RULE_DHCP},
    {"fe80::1", "ff02::1:2", 546, 547, 17, -1, FL_RULE_DHCP},
    {"10.0.0.9", "10.0.0.8", 68, 67, 6, -1, -1},
    {"10.0.0.9", "10.0.0.8", 40000, 67, 17, -1, -1},
    {"10.0.0.9", "10.0.0.1", 0, 0, 1, 8, FL_RULE_DEFAULT_ROUTER},
    {"10.0.0.1", "10.0.0.9", 0, 0, 1, 0, FL_RULE_DEFAULT_ROUTER},
    {"fe80::1", "fe80::2", 0, 0, 58, 135, FL_RULE_NEIGHBOUR_DISCOVERY},
    {"fe80::1", "fe80::2", 0, 0, 58, 137, FL_RULE_NEIGHBOUR_DISCOVERY},
    {"fe80::1", "fe80::2", 0, 0, 58, 128, -1},
    {"fe80::1", "fe80::2", 0, 0, 58, -1, -1}, /* type unknown: not taken away */
    {"10.0.0.9", "198.51.100.7", 40000, 443, 6, -1, -1},
};

static struct fl_addr addr(const char *text)
{
	struct fl_addr a;

	assert_int_equal(fl_addr_parse(text, strlen(text), &a, NULL), 0);
	return a;
}

static struct fl_key key_of(const struct row *r)
{
	return (struct fl_key){
	    .src = addr(r->src), .dst = addr(r->dst), .sport = r->sport, .dport = r->dport, .proto = r->proto};
}

static void every_rule(void **state)
{
	struct fl_exclusions x = {.dns = addr("10.0.0.2"), .router = addr("10.0.0.1")};

	(void)state;
	assert_int_equal(fl_exclusions_parse("aws", &x.on), 0);
	for (size_t i = 0; i < FL_ARRAY_LEN(rows); i++) {
		struct fl_key key = key_of(&rows[i]);
		struct fl_exclusions none = {.dns = x.dns, .router = x.router}, one = x;

		assert_int_equal(fl_exclusions_match(&x, &key, rows[i].icmp_type), rows[i].want);
		assert_int_equal(fl_exclusions_match(&none, &key, rows[i].icmp_type), -1);
		if (rows[i].want < 0)
			continue;
		/* By itself, and with all others but it. */
		one.on = 1u << rows[i].want;
		assert_int_equal(fl_exclusions_match(&one, &key, rows[i].icmp_type), rows[i].want);
		one.on = x.on & ~one.on;
		assert_int_equal(fl_exclusions_match(&one, &key, rows[i].icmp_type), -1);
	}
}

/* Without --local nobody knows base + 1 and base + 2: the all-zero address is not them. */
static void an_unknown_network_excludes_no_host(void **state)
{
	struct fl_exclusions x = {0};
	struct fl_key key = {.sport = 40000, .dport = 53, .proto = 17};

	(void)state;
	assert_int_equal(fl_exclusions_parse("amazon-dns,default-router", &x.on), 0);
	assert_int_equal(fl_exclusions_match(&x, &key, -1), -1);
}

static void names(void **state)
{
	uint32_t on = 7;

	(void)state;
	assert_int_equal(fl_exclusions_parse("none", &on), 0);
	assert_int_equal(on, 0);
	assert_int_equal(fl_exclusions_parse("dhcp,time-sync", &on), 0);
	assert_int_equal(on, 1u << FL_RULE_DHCP | 1u << FL_RULE_TIME_SYNC);
	assert_int_equal(fl_exclusions_parse("aws", &on), 0);
	assert_int_equal(__builtin_popcount(on), FL_RULE_AWS_N);
	assert_true(fl_exclusions_parse("dhcp,", &on) < 0);
	assert_true(fl_exclusions_parse("", &on) < 0);
	assert_true(fl_exclusions_parse("dhpc", &on) < 0);
	assert_non_null(strstr(fl_error_text(-EINVAL), "\"dhpc\" is no rule"));
	assert_non_null(strstr(fl_error_text(-EINVAL), "neighbour-discovery"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(every_rule),
	    cmocka_unit_test(an_unknown_network_excludes_no_host),
	    cmocka_unit_test(names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
