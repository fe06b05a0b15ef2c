/* SPDX-License-Identifier: Apache-2.0 */
/* What is an ENI, in network namespaces of the test's own. Needs root; exits 77 (skipped) without.
 */
#include <linux/if_arp.h>
#include <linux/rtnetlink.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "inventory/discover.h"
#include "inventory/inventory.h"

static char guest[32], hidden[32];

static int sh(const char *format, ...)
{
	char command[512];
	va_list ap;

	va_start(ap, format);
	vsnprintf(command, sizeof command, format, ap);
	va_end(ap);
	return system(command);
}

static const struct fl_interface *find(const struct fl_interface *v, size_t n, const char *netns, const char *device)
{
	for (size_t i = 0; i < n; i++)
		if (!strcmp(v[i].eni.netns, netns) && !strcmp(v[i].eni.device, device))
			return &v[i];
	fail_msg("%s/%s is not in the list", netns, device);
	return NULL;
}

static int make_world(void **state)
{
	(void)state;
	snprintf(guest, sizeof guest, "fldg%d", getpid());
	snprintf(hidden, sizeof hidden, "fldh%d", getpid());
	return unshare(CLONE_NEWNET) || sh("ip netns add %s && ip netns add %s && ip link set lo up", guest, hidden) ||
	       sh("ip link add br0 type bridge && ip addr add 10.9.0.1/24 dev br0 && ip link set "
		  "br0 up") ||
	       /* a cable to a namespace that is followed, and one to a namespace that is not */
	       sh("ip link add vg type veth peer name eth0 netns %s && ip link set vg master br0 "
		  "up",
		  guest) ||
	       sh("ip link add vh type veth peer name eth0 netns %s && ip link set vh master br0 "
		  "up",
		  hidden) ||
	       sh("ip -n %s addr add 10.9.0.2/24 dev eth0 && ip -n %s link set eth0 up && ip -n %s "
		  "link set eth0 up",
		  guest, guest, hidden) ||
	       /* both ends here */
	       sh("ip link add va type veth peer name vb && ip addr add 10.8.0.1/16 dev vb && ip "
		  "link set va up && ip link set vb up") ||
	       sh("ip link add br1 type bridge && ip link set br1 up") ||
	       sh("ip link add d0 type ifb && ip addr add 192.0.2.5/28 dev d0 && ip link set d0 up "
		  "&& ip link add d1 type ifb") ||
	       sh("ip link add mv0 link d0 type macvlan mode bridge && ip link set mv0 up") ||
	       sh("ip link add vx0 type vxlan id 7 dev d0 dstport 4789 && ip link set vx0 up") ||
	       sh("ip tuntap add tun7 mode tun && ip link set tun7 up && ip link add x-skip type "
		  "ifb && ip link set x-skip up");
}

static int end_world(void **state)
{
	(void)state;
	return sh("ip netns del %s; ip netns del %s", guest, hidden);
}

static struct fl_discovery_conf conf_for(const char *const *netns)
{
	static const char *const exclude[] = {"x-*", NULL};
	struct fl_discovery_conf c = {.exclude = exclude, .netns = netns};

	fl_identity_defaults(&c.identity);
	return c;
}

static void each_rule(void **state)
{
	const char *netns[] = {guest, NULL};
	const struct {
		const char *netns, *device;
		enum fl_skip skip;
		bool flip;
		const char *kind, *name;
	} rows[] = {
	    {"", "lo", FL_SKIP_LOOPBACK, false, "host", "lo"},
	    {"", "br0", FL_SKIP_BRIDGE, false, "bridge", "br0"},
	    {"", "vg", FL_SKIP_PEER_METERED, false, "host", "vg"},
	    {guest, "eth0", FL_SKIP_NONE, false, "host", NULL},
	    {"", "vh", FL_SKIP_NONE, true, "host", "vh"},
	    {"", "va", FL_SKIP_PEER_METERED, false, "host", "va"},
	    {"", "vb", FL_SKIP_NONE, false, "host", "vb"},
	    {"", "br1", FL_SKIP_NONE, false, "bridge", "br1"}, /* no ports: metered itself */
	    {"", "d0", FL_SKIP_NONE, false, "host", "d0"},
	    {"", "d1", FL_SKIP_DOWN, false, "host", "d1"},
	    {"", "mv0", FL_SKIP_NONE, false, "host", "mv0"},
	    {"", "vx0", FL_SKIP_NONE, false, "tunnel", "vx0"},
	    {"", "tun7", FL_SKIP_NONE, false, "tunnel", "tun7"},
	    {"", "x-skip", FL_SKIP_CONFIGURED, false, "host", "x-skip"},
	};
	struct fl_discovery_conf conf = conf_for(netns);
	struct fl_discovery *d = NULL;
	struct fl_interface *v = NULL;
	size_t n = 0;

	(void)state;
	assert_int_equal(fl_discovery_new(&d, &conf), 0);
	assert_int_equal(fl_discovery_list(d, &v, &n), 0);
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		const struct fl_interface *f = find(v, n, rows[i].netns, rows[i].device);

		if (f->skip != rows[i].skip || f->eni.flip != rows[i].flip || strcmp(f->eni.kind, rows[i].kind))
			fail_msg("%s/%s: %s, flip %d, kind %s", rows[i].netns, rows[i].device, fl_skip_reasons[f->skip],
				 f->eni.flip, f->eni.kind);
		if (rows[i].name)
			assert_string_equal(f->eni.name, rows[i].name);
		assert_int_equal(strlen(f->eni.interface_id), 21);
		assert_string_equal(f->eni.account_id, "000000000000");
		for (size_t j = 0; j < n; j++)
			assert_true(f == &v[j] || strcmp(f->eni.interface_id, v[j].eni.interface_id));
	}
	/* One network, one subnet: the guest's and the hidden guest's, whose bridge tells it. */
	assert_string_equal(find(v, n, guest, "eth0")->eni.subnet_id, find(v, n, "", "vh")->eni.subnet_id);
	assert_string_equal(find(v, n, "", "br0")->eni.vpc_id, find(v, n, "", "vh")->eni.vpc_id);
	assert_int_equal(strlen(find(v, n, "", "d0")->eni.subnet_id), 24);
	assert_true(strcmp(find(v, n, "", "d0")->eni.subnet_id, find(v, n, "", "vh")->eni.subnet_id));
	assert_string_equal(find(v, n, "", "tun7")->eni.subnet_id, "");
	assert_true(find(v, n, "", "d0")->eni.has_v4);
	assert_int_equal(find(v, n, "", "d0")->eni.primary_v4.b[15], 5);
	free(v);
	fl_discovery_free(&d);
}

static void ids_survive_a_rename_and_changes_are_told(void **state)
{
	struct fl_discovery_conf conf = conf_for(NULL);
	struct fl_discovery *d = NULL;
	struct fl_interface *v = NULL;
	char before[22];
	size_t n = 0;

	(void)state;
	assert_int_equal(fl_discovery_new(&d, &conf), 0);
	assert_int_equal(fl_discovery_list(d, &v, &n), 0);
	/* The guest's namespace is not followed now: the host's end stands for it. */
	assert_int_equal(find(v, n, "", "vg")->skip, FL_SKIP_NONE);
	assert_true(find(v, n, "", "vg")->eni.flip);
	strcpy(before, find(v, n, "", "d0")->eni.interface_id);
	free(v);
	while (fl_discovery_poll(d) > 0)
		;
	assert_int_equal(sh("ip link set d0 down && ip link set d0 name d9 && ip link set d9 up"), 0);
	assert_true(fl_discovery_poll(d) > 0);
	assert_int_equal(fl_discovery_list(d, &v, &n), 0);
	assert_string_equal(find(v, n, "", "d9")->eni.interface_id, before);
	free(v);
	fl_discovery_free(&d);
}

static void an_unknown_namespace_is_an_error(void **state)
{
	static const char *const netns[] = {"no-such-namespace", NULL};
	struct fl_discovery_conf conf = conf_for(netns);
	struct fl_discovery *d = NULL;

	(void)state;
	assert_true(fl_discovery_new(&d, &conf) < 0);
	assert_null(d);
}

/* What the kernel says of a link; a kernel without the 8021q module cannot be made to say it. */
static void tell_link(struct fl_links *all, int32_t ifindex, const char *device, int32_t below, const char *kind,
		      uint16_t proto, uint16_t id, bool up)
{
	char buf[1024];
	struct nlmsghdr *h = mnl_nlmsg_put_header(buf);
	struct ifinfomsg *info = mnl_nlmsg_put_extra_header(h, sizeof *info);
	struct nlattr *link, *data;

	h->nlmsg_type = RTM_NEWLINK;
	*info = (struct ifinfomsg){.ifi_index = ifindex, .ifi_type = ARPHRD_ETHER, .ifi_flags = up ? IFF_UP : 0};
	mnl_attr_put_strz(h, IFLA_IFNAME, device);
	if (below)
		mnl_attr_put_u32(h, IFLA_LINK, (uint32_t)below);
	link = mnl_attr_nest_start(h, IFLA_LINKINFO);
	mnl_attr_put_strz(h, IFLA_INFO_KIND, kind);
	data = mnl_attr_nest_start(h, IFLA_INFO_DATA);
	if (proto)
		mnl_attr_put_u16(h, IFLA_VLAN_PROTOCOL, __builtin_bswap16(proto));
	mnl_attr_put_u16(h, IFLA_VLAN_ID, id); /* of another kind the same number means another thing */
	mnl_attr_nest_end(h, data);
	mnl_attr_nest_end(h, link);
	assert_int_equal(fl_rtnl_on_link(h, all), MNL_CB_OK);
}

static void vlans_take_their_frames_from_the_link_below(void **state)
{
	struct fl_discovery_conf conf = conf_for(NULL);
	struct fl_discovery *d = NULL;
	struct fl_links all = {0};
	const struct {
		int32_t parent;
		uint16_t proto, id;
		bool has_vlans;
	} want[] = {
	    {-1, 0, 0, true},       {0, 0x8100, 5, false}, {0, 0x88a8, 6, true},   {2, 0x8100, 4095, false},
	    {-1, 0x8100, 7, false}, {-1, 0, 0, false},     {-1, 0x8100, 9, false}, {-1, 0, 0, false},
	};

	(void)state;
	assert_int_equal(fl_discovery_new(&d, &conf), 0);
	all.d = d;
	tell_link(&all, 900, "e0", 0, "dummy", 0, 3, true);
	tell_link(&all, 901, "e0.5", 900, "vlan", 0x8100, 5, true);
	tell_link(&all, 902, "e0.6", 900, "vlan", 0x88a8, 6, true);
	tell_link(&all, 903, "e0.6.4095", 902, "vlan", 0, 4095, true);
	tell_link(&all, 904, "e0.7", 900, "vlan", 0x8100, 7, false); /* down: nobody else records its frames */
	tell_link(&all, 905, "x-0", 0, "dummy", 0, 3, true);         /* left out by the configuration */
	tell_link(&all, 906, "x0.9", 905, "vlan", 0x8100, 9, true);
	tell_link(&all, 907, "mv", 900, "macvlan", 0, 8, true);
	fl_discovery_judge(&all);
	assert_int_equal(all.n, 8);
	for (size_t i = 0; i < 8; i++) {
		assert_int_equal(all.v[i].out.vlan_parent, want[i].parent);
		assert_int_equal(all.v[i].out.vlan_proto, want[i].proto);
		assert_int_equal(all.v[i].out.vlan_id, want[i].id);
		assert_int_equal(all.v[i].out.has_vlans, want[i].has_vlans);
	}
	free(all.v);
	fl_discovery_free(&d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(each_rule),
	    cmocka_unit_test(ids_survive_a_rename_and_changes_are_told),
	    cmocka_unit_test(an_unknown_namespace_is_an_error),
	    cmocka_unit_test(vlans_take_their_frames_from_the_link_below),
	};

	if (geteuid()) {
		puts("SKIP: needs root to make network namespaces");
		return 77;
	}
	return cmocka_run_group_tests(tests, make_world, end_world);
}
