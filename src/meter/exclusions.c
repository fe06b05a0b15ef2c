/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Traffic that AWS does not log, ../shared/spec/semantics.md section 3, as rules over a flow's key. A rule looks at
 * both sides: the answers of a server that is not logged are not logged either.
 */
#include "meter/meter.h"

#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "inventory/inventory.h"

#define P_ICMPV6 58

/* By enum fl_reserved; negative: flow logs have it. */
static const int rule_of[FL_RESERVED_N] = {
    [FL_RESERVED_DNS] = FL_RULE_AMAZON_DNS,
    [FL_RESERVED_METADATA] = FL_RULE_INSTANCE_METADATA,
    [FL_RESERVED_TIME] = FL_RULE_TIME_SYNC,
    [FL_RESERVED_TASKS] = -1,
    [FL_RESERVED_ACTIVATION] = FL_RULE_WINDOWS_ACTIVATION,
};

static bool is_set(const struct fl_addr *a)
{
	static const struct fl_addr none;

	return !fl_addr_equal(a, &none);
}

/* One side of the flow is the server: the rules that say so, a bit each. */
static uint32_t rules_of_side(const struct fl_exclusions *x, const struct fl_addr *addr, uint8_t proto, uint16_t port)
{
	int service = fl_reserved_at(addr, proto, port);
	uint32_t rules = service >= 0 && rule_of[service] >= 0 ? 1u << rule_of[service] : 0;

	if (fl_is_dns(proto, port) && is_set(&x->dns) && fl_addr_equal(addr, &x->dns))
		rules |= 1u << FL_RULE_AMAZON_DNS;
	if (is_set(&x->router) && fl_addr_equal(addr, &x->router))
		rules |= 1u << FL_RULE_DEFAULT_ROUTER;
	return rules;
}

int fl_exclusions_match(const struct fl_exclusions *x, const struct fl_key *key, int icmp_type)
{
	uint32_t rules;

	if (!x->on)
		return -1;
	rules =
	    rules_of_side(x, &key->dst, key->proto, key->dport) | rules_of_side(x, &key->src, key->proto, key->sport);
	if (fl_is_dhcp(key))
		rules |= 1u << FL_RULE_DHCP;
	if (key->proto == P_ICMPV6 && icmp_type >= 133 && icmp_type <= 137)
		rules |= 1u << FL_RULE_NEIGHBOUR_DISCOVERY;
	rules &= x->on & ((1u << FL_RULE_AWS_N) - 1);
	return rules ? __builtin_ctz(rules) : -1; /* the first of several */
}

static int rule_number(const char *name, size_t n)
{
	for (unsigned rule = 0; rule < FL_RULE_AWS_N; rule++)
		if (strlen(fl_rule_names[rule]) == n && !memcmp(fl_rule_names[rule], name, n))
			return (int)rule;
	return -1;
}

static int unknown_rule(const char *name, size_t n)
{
	char known[256] = "";

	for (unsigned rule = 0; rule < FL_RULE_AWS_N; rule++) {
		size_t len = strlen(known);

		if (len + strlen(fl_rule_names[rule]) + 3 < sizeof known)
			stpcpy(stpcpy(known + len, rule ? ", " : ""), fl_rule_names[rule]);
	}
	return fl_fail(-EINVAL, "exclusions: \"%.*s\" is no rule; there are %s, and none and aws for all",
		       (int)FL_MIN(n, (size_t)40), name, known);
}

int fl_exclusions_parse(const char *names, uint32_t *ret_on)
{
	uint32_t on = 0;

	if (!strcmp(names, "none") || !strcmp(names, "aws")) {
		*ret_on = *names == 'a' ? (1u << FL_RULE_AWS_N) - 1 : 0;
		return 0;
	}
	for (;;) {
		size_t n = strcspn(names, ",");
		int rule = rule_number(names, n);

		if (rule < 0)
			return unknown_rule(names, n);
		on |= 1u << rule;
		if (!names[n])
			break;
		names += n + 1;
	}
	*ret_on = on;
	return 0;
}
