/* SPDX-License-Identifier: Apache-2.0 */
/* conntrack's messages into translations, without a kernel. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>

#include "base/mem.h"
#include "inventory/nat.h"

#define NOW 1000

static struct fl_clock_sim time_;
static char buf[4096] __attribute__((aligned(8)));

struct side {
	const char *src, *dst;
	uint16_t sport, dport;
};

static void put_tuple(struct nlmsghdr *h, uint16_t type, const struct side *s, uint8_t proto)
{
	struct nlattr *outer = mnl_attr_nest_start(h, type), *inner = mnl_attr_nest_start(h, CTA_TUPLE_IP);
	bool v6 = strchr(s->src, ':');
	uint8_t address[16];

	inet_pton(v6 ? AF_INET6 : AF_INET, s->src, address);
	mnl_attr_put(h, v6 ? CTA_IP_V6_SRC : CTA_IP_V4_SRC, v6 ? 16 : 4, address);
	inet_pton(v6 ? AF_INET6 : AF_INET, s->dst, address);
	mnl_attr_put(h, v6 ? CTA_IP_V6_DST : CTA_IP_V4_DST, v6 ? 16 : 4, address);
	mnl_attr_nest_end(h, inner);
	inner = mnl_attr_nest_start(h, CTA_TUPLE_PROTO);
	mnl_attr_put_u8(h, CTA_PROTO_NUM, proto);
	mnl_attr_put_u16(h, CTA_PROTO_SRC_PORT, htons(s->sport));
	mnl_attr_put_u16(h, CTA_PROTO_DST_PORT, htons(s->dport));
	mnl_attr_nest_end(h, inner);
	mnl_attr_nest_end(h, outer);
}

static struct nlmsghdr *message(uint16_t type, const struct side *original, const struct side *reply, uint32_t status)
{
	struct nlmsghdr *h;

	memset(buf, 0, sizeof buf);
	h = mnl_nlmsg_put_header(buf);
	h->nlmsg_type = (uint16_t)(NFNL_SUBSYS_CTNETLINK << 8 | type);
	mnl_nlmsg_put_extra_header(h, sizeof(struct nfgenmsg));
	put_tuple(h, CTA_TUPLE_ORIG, original, 17);
	put_tuple(h, CTA_TUPLE_REPLY, reply, 17);
	mnl_attr_put_u32(h, CTA_STATUS, htonl(status));
	return h;
}

static struct fl_addr address(const char *text)
{
	uint8_t b[16];
	struct fl_addr a;

	if (inet_pton(AF_INET, text, b) == 1)
		return fl_addr_v4(b);
	assert_int_equal(inet_pton(AF_INET6, text, a.b), 1);
	return a;
}

static bool behind(const struct fl_nat *n, const struct side *in, const char *want)
{
	struct fl_key key = {.src = address(in->src),
			     .dst = address(in->dst),
			     .sport = in->sport,
			     .dport = in->dport,
			     .iface = 77,
			     .proto = 17,
			     .dirfam = strchr(in->src, ':') ? FL_KEY_V6 | FL_DIR_EGRESS : FL_DIR_INGRESS};
	struct fl_addr got, expected = want ? address(want) : (struct fl_addr){0};

	if (!fl_nat_behind(n, "", &key, &got))
		return !want;
	return want && fl_addr_equal(&got, &expected);
}

static struct fl_nat *table(void)
{
	const struct fl_nat_conf conf = {.clock = fl_clock_sim(&time_), .seed = 7, .keep_s = 10};
	struct fl_nat *n = NULL;

	time_.monotonic = NOW * FL_NS_PER_S;
	assert_int_equal(fl_nat_alloc(&n, &conf), 0);
	return n;
}

static const struct side out = {"172.17.0.2", "192.0.2.9", 5001, 53}, out_reply = {"192.0.2.9", "10.0.0.1", 53, 40000};
static const struct side in = {"192.0.2.9", "10.0.0.1", 5002, 8080}, in_reply = {"172.17.0.3", "192.0.2.9", 80, 5002};
static const struct side six = {"fd00::2", "2001:db8::9", 1, 2}, six_reply = {"2001:db8::9", "2001:db8::1", 2, 1};

static void both_kinds(void **state)
{
	struct fl_nat *n = table();

	(void)state;
	assert_true(behind(n, &out_reply, NULL));
	fl_nat_message(n, 0, message(IPCTNL_MSG_CT_NEW, &out, &out_reply, IPS_SRC_NAT | IPS_CONFIRMED), NOW);
	fl_nat_message(n, 0, message(IPCTNL_MSG_CT_NEW, &in, &in_reply, IPS_DST_NAT), NOW);
	fl_nat_message(n, 0, message(IPCTNL_MSG_CT_NEW, &six, &six_reply, IPS_SRC_NAT), NOW);
	assert_true(behind(n, &out_reply, "172.17.0.2"));
	assert_true(behind(n, &in, "172.17.0.3"));
	assert_true(behind(n, &six_reply, "fd00::2"));
	assert_true(behind(n, &out, NULL));
	assert_true(behind(n, &in_reply, NULL));
	/* Of another namespace. */
	fl_nat_message(n, 1, message(IPCTNL_MSG_CT_NEW, &in_reply, &in_reply, IPS_DST_NAT), NOW);
	assert_true(behind(n, &in_reply, NULL));
	/* Not translated. */
	fl_nat_message(n, 0, message(IPCTNL_MSG_CT_NEW, &out, &out, IPS_CONFIRMED), NOW);
	assert_true(behind(n, &out, NULL));
	/* The same tuple again, with somebody else behind it. */
	fl_nat_message(n, 0, message(IPCTNL_MSG_CT_NEW, &in_reply, &out_reply, IPS_SRC_NAT), NOW + 1);
	assert_true(behind(n, &out_reply, "172.17.0.3"));
	fl_nat_free(&n);
}

static void the_end_is_known_for_a_while(void **state)
{
	struct fl_nat *n = table();

	(void)state;
	fl_nat_message(n, 0, message(IPCTNL_MSG_CT_NEW, &out, &out_reply, IPS_SRC_NAT), NOW);
	fl_nat_message(n, 0, message(IPCTNL_MSG_CT_DELETE, &out, &out_reply, IPS_SRC_NAT), NOW + 5);
	time_.monotonic = (NOW + 15) * FL_NS_PER_S;
	assert_true(behind(n, &out_reply, "172.17.0.2"));
	time_.monotonic = (NOW + 16) * FL_NS_PER_S;
	assert_true(behind(n, &out_reply, NULL));
	fl_nat_message(n, 0, message(IPCTNL_MSG_CT_NEW, &out, &out_reply, IPS_SRC_NAT), NOW + 20);
	assert_true(behind(n, &out_reply, "172.17.0.2"));
	fl_nat_free(&n);
}

/* More than the table holds: the newest are there. */
static void many(void **state)
{
	struct fl_nat *n = table();
	unsigned found = 0;

	(void)state;
	for (unsigned i = 0; i < 200000; i++) {
		struct side reply = {"192.0.2.9", "10.0.0.1", (uint16_t)(i & 0xffff), (uint16_t)(i >> 16)};

		fl_nat_message(n, 0, message(IPCTNL_MSG_CT_NEW, &out, &reply, IPS_SRC_NAT), NOW + i / 1000);
	}
	for (unsigned i = 199000; i < 200000; i++) {
		struct side reply = {"192.0.2.9", "10.0.0.1", (uint16_t)(i & 0xffff), (uint16_t)(i >> 16)};

		found += behind(n, &reply, "172.17.0.2");
	}
	assert_int_equal(found, 1000);
	fl_nat_free(&n);
}

/* Every length and every byte of a good message turned: nothing but a translation or none may come of it. */
static void damaged(void **state)
{
	struct fl_nat *n = table();
	struct nlmsghdr *h = message(IPCTNL_MSG_CT_NEW, &out, &out_reply, IPS_SRC_NAT | IPS_DST_NAT);
	uint32_t len = h->nlmsg_len;
	char good[4096];

	(void)state;
	memcpy(good, buf, sizeof good);
	for (uint32_t cut = 0; cut <= len; cut++) {
		char *copy = malloc(FL_MAX(cut, (uint32_t)sizeof *h));

		memcpy(copy, good, FL_MAX(cut, (uint32_t)sizeof *h));
		((struct nlmsghdr *)(void *)copy)->nlmsg_len = FL_MAX(cut, (uint32_t)sizeof *h);
		fl_nat_message(n, 0, (void *)copy, NOW);
		free(copy);
	}
	for (uint32_t at = sizeof *h; at < len; at++)
		for (unsigned bit = 0; bit < 8; bit++) {
			char *copy = malloc(len);

			memcpy(copy, good, len);
			copy[at] = (char)(copy[at] ^ 1 << bit);
			fl_nat_message(n, 0, (void *)copy, NOW);
			free(copy);
		}
	fl_nat_free(&n);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(both_kinds),
	    cmocka_unit_test(the_end_is_known_for_a_while),
	    cmocka_unit_test(many),
	    cmocka_unit_test(damaged),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
