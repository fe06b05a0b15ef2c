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

#define V4(a, b, c, d)                                                                                                 \
	{                                                                                                              \
		{                                                                                                      \
			[10] = 0xff, [11] = 0xff, [12] = a, [13] = b, [14] = c, [15] = d                               \
		}                                                                                                      \
	}
#define FD00_EC2(last)                                                                                                 \
	{                                                                                                              \
		{                                                                                                      \
			0xfd, 0x00, 0x0e, 0xc2, [14] = (last) >> 8, [15] = (last)&0xff                                 \
		}                                                                                                      \
	}

static const struct fl_addr dns_v4 = V4(169, 254, 169, 253), dns_v6 = FD00_EC2(0x253),
			    activation[] = {V4(169, 254, 169, 250), V4(169, 254, 169, 251)},
			    metadata[] = {V4(169, 254, 169, 254), FD00_EC2(0x254)},
			    time_sync[] = {V4(169, 254, 169, 123), FD00_EC2(0x123)};

enum { P_ICMPV6 = 58, P_TCP = 6, P_UDP = 17 };

static bool is_one_of(const struct fl_addr *a, const struct fl_addr *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (fl_addr_equal(a, &list[i]))
			return true;
	return false;
}

static bool is_set(const struct fl_addr *a)
{
	static const struct fl_addr none;

	return !fl_addr_equal(a, &none);
}

/* One side of the flow is the server. */
struct side {
	const struct fl_addr *addr;
	uint16_t port;
};

static bool matches_side(const struct fl_exclusions *x, enum fl_rule rule, const struct fl_key *key, struct side s)
{
	switch (rule) {
	case FL_RULE_AMAZON_DNS:
		return s.port == 53 && (key->proto == P_UDP || key->proto == P_TCP) &&
		       (fl_addr_equal(s.addr, &dns_v4) || fl_addr_equal(s.addr, &dns_v6) ||
			(is_set(&x->dns) && fl_addr_equal(s.addr, &x->dns)));
	case FL_RULE_WINDOWS_ACTIVATION:
		return s.port == 1688 && key->proto == P_TCP && is_one_of(s.addr, activation, FL_ARRAY_LEN(activation));
	case FL_RULE_INSTANCE_METADATA:
		return is_one_of(s.addr, metadata, FL_ARRAY_LEN(metadata));
	case FL_RULE_TIME_SYNC:
		return is_one_of(s.addr, time_sync, FL_ARRAY_LEN(time_sync));
	case FL_RULE_DEFAULT_ROUTER:
		return is_set(&x->router) && fl_addr_equal(s.addr, &x->router);
	default:
		return false;
	}
}

static bool is_dhcp_pair(uint16_t a, uint16_t b)
{
	/* A relay speaks from and to 67 (RFC 2131 section 4.1); DHCPv6 has 546 and 547 (RFC 8415 section 7.2). */
	return ((a == 67 || a == 68) && (b == 67 || b == 68)) || ((a == 546 || a == 547) && (b == 546 || b == 547));
}

static bool matches(const struct fl_exclusions *x, enum fl_rule rule, const struct fl_key *key, int icmp_type)
{
	if (rule == FL_RULE_DHCP)
		return key->proto == P_UDP && is_dhcp_pair(key->sport, key->dport);
	if (rule == FL_RULE_NEIGHBOUR_DISCOVERY)
		return key->proto == P_ICMPV6 && icmp_type >= 133 && icmp_type <= 137;
	return matches_side(x, rule, key, (struct side){&key->dst, key->dport}) ||
	       matches_side(x, rule, key, (struct side){&key->src, key->sport});
}

int fl_exclusions_match(const struct fl_exclusions *x, const struct fl_key *key, int icmp_type)
{
	for (unsigned rule = 0; x->on && rule < FL_RULE_AWS_N; rule++)
		if (x->on & 1u << rule && matches(x, (enum fl_rule)rule, key, icmp_type))
			return (int)rule;
	return -1;
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
