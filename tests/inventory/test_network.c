/* SPDX-License-Identifier: Apache-2.0 */
/* AWS's JSON into a network: the golden inventory as a whole, and what is said of bad input. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/error.h"
#include "problems.h"

#define VPC_A "vpc-0a10000000000000a"
#define VPC_B "vpc-0b20000000000000b"
#define WEB "eni-0e100000000000001"
#define APP "eni-0e100000000000002"
#define NAT_ENI "eni-0e100000000000003"
#define DB "eni-0e100000000000005"
#define TGW_ENI "eni-0e100000000000006"
#define TASK_ENI "eni-0e100000000000007"
#define WEB_BACK "eni-0e100000000000008"
#define EDGE "eni-0e100000000000009"

static const char *golden; /* its directory */

static struct fl_network *read_golden(void)
{
	struct fl_network *net;

	assert_int_equal(fl_network_read(&net, golden), 0);
	return net;
}

static struct fl_addr addr(const char *text)
{
	struct fl_addr a;

	assert_int_equal(fl_addr_parse(text, strlen(text), &a, NULL), 0);
	return a;
}

static const void *noun(const struct fl_network *net, const char *id)
{
	const void *n = fl_network_find(net, id, NULL);

	assert_non_null(n);
	return n;
}

static void golden_is_whole(void **state)
{
	static const size_t want[FL_NOUN_N] = {
	    [FL_NOUN_VPC] = 2,      [FL_NOUN_SUBNET] = 5,        [FL_NOUN_ENI] = 9,
	    [FL_NOUN_GROUP] = 4,    [FL_NOUN_ACL] = 3,           [FL_NOUN_ROUTES] = 4,
	    [FL_NOUN_INSTANCE] = 3, [FL_NOUN_NAT] = 2,           [FL_NOUN_ENDPOINT] = 2,
	    [FL_NOUN_LIST] = 2,     [FL_NOUN_PEERING] = 1,       [FL_NOUN_GATEWAY] = 3,
	    [FL_NOUN_TGW] = 1,      [FL_NOUN_TGW_TABLE] = 2,     [FL_NOUN_TGW_ATTACHMENT] = 4,
	    [FL_NOUN_VPN] = 1,      [FL_NOUN_BPA_EXCLUSION] = 3, [FL_NOUN_TASK] = 1,
	};
	struct fl_network *net = read_golden();
	const struct fl_problem *p;
	size_t n;

	(void)state;
	p = fl_network_problems(net, &n);
	for (size_t i = 0; i < n; i++)
		print_error("%s: %s: %s\n", p[i].file, p[i].path, p[i].text);
	assert_int_equal(n, 0);
	fl_network_missing(net, &n);
	assert_int_equal(n, 0);
	for (size_t kind = 0; kind < FL_NOUN_N; kind++)
		assert_int_equal(net->store[kind].n, want[kind]);
	fl_network_free(&net);
	assert_null(net);
	fl_network_free(&net);
}

static void interfaces(void **state)
{
	struct fl_network *net = read_golden();
	const struct fl_net_eni *web = noun(net, WEB), *back = noun(net, WEB_BACK), *task = noun(net, TASK_ENI),
				*nat = noun(net, NAT_ENI), *tgw = noun(net, TGW_ENI), *edge = noun(net, EDGE);
	struct fl_addr a = addr("198.51.100.10");
	struct fl_eni id = {.name = "eth0", .device = "eth0"};

	(void)state;
	assert_string_equal(web->noun.name, "web-1");
	assert_int_equal(web->n_addrs, 3);
	a = addr("10.20.0.10"); /* the file lists the secondary one first */
	assert_true(fl_addr_equal(&web->addr[0].addr, &a));
	a = addr("198.51.100.10");
	assert_true(web->addr[0].has_public && fl_addr_equal(&web->addr[0].public, &a));
	assert_true(web->addr[2].v6);
	assert_string_equal(web->instance->noun.name, "web");
	assert_string_equal(web->subnet->acl->noun.id, "acl-0a100000000000002");
	assert_string_equal(web->subnet->routes->noun.name, "public");
	assert_int_equal(web->tcp_timeout_s, 432000);
	assert_int_equal(back->n_groups, 2);
	assert_int_equal(back->tcp_timeout_s, 350);
	assert_int_equal(back->udp_timeout_s, 45);
	assert_int_equal(back->udp_stream_timeout_s, 180);
	assert_string_equal(nat->record_type, "nat_gateway");
	assert_string_equal(nat->instance_id, "");
	assert_string_equal(nat->nat_gateway_id, "nat-0d100000000000001");
	assert_false(nat->source_dest_check);
	assert_string_equal(tgw->attachment_id, "tgw-attach-0dd00000000000002");
	assert_string_equal(tgw->subnet->acl->noun.id, "acl-0b100000000000003");    /* the VPC's default */
	assert_string_equal(tgw->subnet->routes->noun.id, "rtb-0b100000000000004"); /* the VPC's main */
	assert_string_equal(task->task->service_name, "orders");
	assert_string_equal(task->task->container_id, "1f0c-111");
	assert_string_equal(task->task->second_container_id, "1f0c-222");
	assert_string_equal(task->task->task_id, "0123456789abcdef0123456789abcdef");
	assert_string_equal(task->task->cluster_name, "prod");
	assert_string_equal(task->task->instance_id, "i-01000000000000002");
	assert_string_equal(edge->subnet->sublocation_type, "localzone");
	fl_network_identity(net, edge, &id);
	assert_string_equal(id.az_id, "");
	assert_string_equal(id.region, "us-east-1");
	fl_network_identity(net, web, &id);
	assert_string_equal(id.az_id, "use1-az1");
	assert_string_equal(id.interface_id, WEB);
	assert_string_equal(id.subnet_id, "subnet-0a110000000000001");
	assert_string_equal(id.name, "eth0"); /* Linux's */
	fl_network_free(&net);
}

static void rules(void **state)
{
	struct fl_network *net = read_golden();
	const struct fl_group *app = noun(net, "sg-05000000000000002"), *web = noun(net, "sg-05000000000000001");
	const struct fl_acl *acl = noun(net, "acl-0a100000000000002");

	(void)state;
	assert_int_equal(app->in.n, 2);
	assert_ptr_equal(app->in.rule[0].group, web);
	assert_int_equal(app->in.rule[0].from, 8080);
	assert_int_equal(app->in.rule[0].to, 8090);
	assert_string_equal(app->in.rule[0].id, "sgr-07000000000000007");
	assert_ptr_equal(app->in.rule[1].group, app); /* itself */
	assert_int_equal(app->in.rule[1].proto, -1);
	assert_int_equal(app->out.n, 4);
	for (size_t i = 0; i < app->out.n; i++)
		assert_memory_equal(app->out.rule[i].id, "sgr-", 4);
	assert_int_equal(app->n_members, 4);
	assert_int_equal(web->in.n, 4);
	assert_string_equal(web->in.rule[0].description, "the world");
	assert_true(web->in.rule[1].v6);
	assert_int_equal(web->in.rule[2].peer, FL_PEER_LIST);
	assert_int_equal(web->in.rule[2].list->cidrs.n, 2);
	assert_int_equal(web->in.rule[3].icmp_type, 8);
	assert_int_equal(web->in.rule[3].icmp_code, -1);
	for (size_t i = 1; i < acl->in.n; i++)
		assert_true(acl->in.rule[i - 1].number < acl->in.rule[i].number);
	assert_int_equal(acl->in.rule[0].number, 90);
	assert_false(acl->in.rule[0].allow);
	assert_int_equal(acl->in.rule[acl->in.n - 1].number, 32767);
	assert_int_equal(acl->out.n, 4);
	fl_network_free(&net);
}

static void routes(void **state)
{
	static const struct {
		const char *table, *dst;
		enum fl_target want;
		const char *id;
	} rows[] = {
	    {"rtb-0a100000000000003", "10.20.7.7", FL_TARGET_LOCAL, "local"},
	    {"rtb-0a100000000000003", "10.40.2.236", FL_TARGET_PEERING, "pcx-0cc00000000000001"},
	    {"rtb-0a100000000000003", "10.40.1.175", FL_TARGET_TRANSIT_GATEWAY, "tgw-0dd00000000000001"},
	    {"rtb-0a100000000000003", "203.0.113.5", FL_TARGET_NAT_GATEWAY, "nat-0d100000000000001"},
	    {"rtb-0a100000000000003", "198.19.0.1", FL_TARGET_GATEWAY_ENDPOINT, "vpce-0ee00000000000002"},
	    {"rtb-0a100000000000003", "172.20.0.1", FL_TARGET_VPN_GATEWAY, "vgw-01300000000000001"},
	    {"rtb-0a100000000000003", "10.99.1.1", FL_TARGET_INTERFACE, "eni-0e1000000000000ff"},
	    {"rtb-0a100000000000002", "2001:db8::1", FL_TARGET_EGRESS_ONLY_GATEWAY, "eigw-01200000000000001"},
	    {"rtb-0a100000000000002", "2001:db8:20::5", FL_TARGET_LOCAL, "local"},
	    {"rtb-0a100000000000002", "203.0.113.5", FL_TARGET_INTERNET_GATEWAY, "igw-01100000000000001"},
	    {"rtb-0a100000000000001", "203.0.113.5", FL_TARGET_N, NULL},
	    {"rtb-0b100000000000004", "2001:db8::1", FL_TARGET_N, NULL},
	};
	struct fl_network *net = read_golden();

	(void)state;
	for (size_t i = 0; i < FL_ARRAY_LEN(rows); i++) {
		struct fl_addr a = addr(rows[i].dst);
		const struct fl_route *r =
		    fl_route_find(noun(net, rows[i].table), &a, strchr(rows[i].dst, ':') != NULL);

		if (!rows[i].id) {
			assert_null(r);
			continue;
		}
		assert_non_null(r);
		assert_int_equal(r->target, rows[i].want);
		assert_string_equal(r->target_id, rows[i].id);
		assert_int_equal(r->blackhole, rows[i].want == FL_TARGET_INTERFACE);
		assert_int_equal(r->propagated, rows[i].want == FL_TARGET_VPN_GATEWAY);
	}
	fl_network_free(&net);
}

static void lookups(void **state)
{
	static const struct {
		const char *what, *eni; /* NULL: nothing */
	} rows[] = {
	    {WEB, WEB},
	    {"web-1", WEB},
	    {"web", WEB}, /* the instance: its first interface */
	    {"i-01000000000000001", WEB},
	    {"app", APP},
	    {"10.20.0.11", WEB},
	    {"198.51.100.10", WEB},
	    {"198.51.100.20", NAT_ENI},
	    {"2001:db8:20::10", WEB},
	    {"10.20.0.70", WEB}, /* of its delegated prefix */
	    {"10.20.0.80", NULL},
	    {"db-", NULL},
	    {"", NULL},
	    {VPC_A, NULL},
	};
	struct fl_network *net = read_golden();
	const struct fl_net_eni *e;
	struct fl_addr a = addr("10.20.1.20");

	(void)state;
	for (size_t i = 0; i < FL_ARRAY_LEN(rows); i++) {
		int r = fl_network_lookup(net, rows[i].what, &e);

		assert_int_equal(r, rows[i].eni ? 0 : -ENOENT);
		if (rows[i].eni)
			assert_string_equal(e->noun.id, rows[i].eni);
		else
			assert_non_null(strstr(fl_error_text(r), "flowlog inventory show"));
	}
	assert_string_equal(fl_network_eni_at(net, noun(net, VPC_A), &a)->noun.id, APP);
	assert_null(fl_network_eni_at(net, noun(net, VPC_B), &a));
	a = addr("198.51.100.10");
	assert_null(fl_network_eni_at(net, NULL, &a)); /* not a private address */
	assert_string_equal(fl_network_eni_by_mac(net, (const uint8_t[]){2, 11, 0, 0, 0, 5})->noun.id, DB);
	assert_null(fl_network_eni_by_mac(net, (const uint8_t[6]){0}));
	fl_network_free(&net);
}

static void services(void **state)
{
	static const struct {
		const char *addr, *service;
	} rows[] = {
	    {"198.17.255.255", NULL},
	    {"198.18.0.0", "EC2"},
	    {"198.18.3.255", "EC2"},
	    {"198.18.4.1", "S3"}, /* S3 before the EC2 /24 inside it */
	    {"198.18.7.255", "S3"},
	    {"198.18.8.0", "EC2"},
	    {"198.18.255.255", "EC2"},
	    {"198.19.0.0", "AMAZON"},
	    {"198.19.255.255", "AMAZON"},
	    {"198.20.0.0", NULL},
	    {"2001:db8:aa00::1", "S3"},
	    {"2001:db8:aa01::1", "AMAZON"},
	    {"2001:db8:ab00::1", NULL},
	    {"0.0.0.0", NULL},
	    {"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", NULL},
	};
	struct fl_network *net = read_golden();

	(void)state;
	assert_true(fl_network_has_ranges(net));
	for (size_t i = 0; i < FL_ARRAY_LEN(rows); i++) {
		struct fl_addr a = addr(rows[i].addr);
		const char *s = fl_network_service(net, &a);

		if (rows[i].service)
			assert_string_equal(s, rows[i].service);
		else
			assert_null(s);
	}
	fl_network_free(&net);
}

/* The spans against the obvious way: every range is asked, at random addresses and at the edges. */
static void services_are_those_of_a_slow_search(void **state)
{
	static const char *const names[] = {"AMAZON", "EC2", "S3", "DYNAMODB", "CLOUDFRONT"};
	enum { RANGES = 300 };
	struct {
		struct fl_cidr cidr;
		const char *service;
	} v[RANGES];
	char text[RANGES * 80 + 64];
	size_t at = (size_t)snprintf(text, sizeof text, "{\"prefixes\":[");
	struct fl_network *net;
	unsigned seed = 7;

	(void)state;
	for (size_t i = 0; i < RANGES; i++) {
		char cidr[32];

		snprintf(cidr, sizeof cidr, "%u.%u.%u.0/%u", i % 2 ? 255 : 10,
			 (unsigned)(rand_r(&seed) % 3 + 253) % 256, (unsigned)rand_r(&seed) % 256,
			 (unsigned)(rand_r(&seed) % 25));
		assert_int_equal(fl_cidr_parse(cidr, strlen(cidr), &v[i].cidr), 0);
		v[i].service = names[rand_r(&seed) % FL_ARRAY_LEN(names)];
		at += (size_t)snprintf(text + at, sizeof text - at, "%s{\"ip_prefix\":\"%s\",\"service\":\"%s\"}",
				       i ? "," : "", cidr, v[i].service);
	}
	snprintf(text + at, sizeof text - at, "]}");
	assert_int_equal(fl_network_from_text(&net, "ip-ranges.json", text, strlen(text)), 0);
	for (size_t n = 0; n < 20000; n++) {
		uint8_t b[4] = {n % 2 ? 255 : 10, (uint8_t)(rand_r(&seed) % 4 + 252), (uint8_t)rand_r(&seed),
				(uint8_t)(n % 3   ? rand_r(&seed)
					  : n % 2 ? 255
						  : 0)};
		struct fl_addr a = fl_addr_v4(b);
		const char *best = NULL, *got = fl_network_service(net, &a);
		int best_rank = -1, best_bits = -1;

		for (size_t i = 0; i < RANGES; i++) {
			int rank = strcmp(v[i].service, "AMAZON") == 0 ? 0 : strcmp(v[i].service, "EC2") == 0 ? 1 : 2;

			if (!fl_cidr_has(&v[i].cidr, &a))
				continue;
			if (rank > best_rank ||
			    (rank == best_rank && (v[i].cidr.bits > best_bits ||
						   (v[i].cidr.bits == best_bits && strcmp(v[i].service, best) < 0)))) {
				best = v[i].service;
				best_rank = rank;
				best_bits = v[i].cidr.bits;
			}
		}
		if (best) {
			assert_non_null(got);
			assert_string_equal(got, best);
		} else {
			assert_null(got);
		}
	}
	fl_network_free(&net);
}

static void bindings(void **state)
{
	struct fl_network *net = read_golden();
	struct fl_eni host = {.device = "veth-app", .name = "web", .account_id = "000000000000"};
	struct fl_eni guest = {.device = "eth0", .mac = {2, 11, 0, 0, 0, 5}, .flip = true};
	struct fl_eni by_itself = {.device = "eth1", .mac = {2, 10, 0, 0, 0, 1}, .flip = true};
	struct fl_eni other = {.device = "eth1", .interface_id = "eni-1", .mac = {2, 99, 0, 0, 0, 1}};
	const struct fl_net_eni *e;
	bool enforced;
	size_t n;

	(void)state;
	fl_network_bindings(net, &n);
	assert_int_equal(n, 2);
	assert_true(fl_network_bind(net, &host, &e, &enforced));
	assert_string_equal(e->noun.id, APP);
	assert_true(enforced && host.flip);
	assert_string_equal(host.account_id, "111122223333");
	assert_string_equal(host.instance_id, "i-01000000000000002");
	assert_string_equal(host.name, "app"); /* its instance's: it has none of its own */
	assert_true(host.has_v4);
	assert_true(fl_network_bind(net, &guest, &e, &enforced));
	assert_string_equal(guest.interface_id, DB);
	assert_string_equal(guest.name, "db-1");
	assert_false(enforced || guest.flip);
	assert_true(fl_network_bind(net, &by_itself, NULL, NULL));
	assert_string_equal(by_itself.interface_id, WEB);
	assert_false(by_itself.flip);
	assert_false(fl_network_bind(net, &other, &e, &enforced));
	assert_string_equal(other.interface_id, "eni-1");
	fl_network_free(&net);
}

#define GROUP(id, more) "{\"GroupId\":\"sg-" id "\"" more "}"
#define RULE(more) "{\"SecurityGroups\":[" GROUP("1", ",\"IpPermissions\":[{" more "}]") "]}"
#define SUBNETS(one, two)                                                                                              \
	"{\"Vpcs\":[{\"VpcId\":\"vpc-1\",\"CidrBlock\":\"10.0.0.0/16\"}],\"Subnets\":["                                \
	"{\"SubnetId\":\"subnet-1\",\"VpcId\":\"vpc-1\",\"CidrBlock\":\"" one "\"},"                                   \
	"{\"SubnetId\":\"subnet-2\",\"VpcId\":\"vpc-1\",\"CidrBlock\":\"" two "\"}]}"
#define ENI(id, more) "{\"NetworkInterfaceId\":\"eni-" id "\",\"PrivateIpAddress\":\"10.0.0." id "\"" more "}"

static void problems(void **state)
{
	static const struct problem_row rows[] = {
	    {"", "", "empty", true},
	    {"[]", "", "line 1: expected an object", true},
	    {"\n\n{\"Vpcs\":[", "Vpcs", "line 3: expected a value", true},
	    {"{\"Vpcs\":[]", "", "line 1: expected \",\" or \"}\"", true},
	    {"{\"Vpcs\" []}", "", "expected \":\"", true},
	    {"{\"Vpcs\":{}}", "Vpcs", "expected a list", true},
	    {"{\"Vpcs\":[7]}", "Vpcs[0]", "expected an object", true},
	    {"{\"Vpcs\":[{\"VpcId\":\"\\u0000\"}]}", "Vpcs[0]", "not JSON", true},
	    {"{\"Vpcs\":[{\"VpcId\":tru}]}", "Vpcs[0]", "not JSON", true},
	    {"{\"Vpcs\":[{\"CidrBlock\":\"10.0.0.0/8\"}]}", "Vpcs[0]", "without an id", true},
	    {"{\"Vpcs\":[{\"VpcId\":\"subnet-1\"}]}", "Vpcs[0]", "expected vpc-", true},
	    {"{\"Vpcs\":[{\"VpcId\":\"vpc-012345678901234567\"}]}", "Vpcs[0]", "up to 17", true},
	    {"{\"Vpcs\":[{\"VpcId\":\"vpc-1\\u001b[31m\"}]}", "Vpcs[0]", "not the id", true},
	    {"{\"Vpcs\":[{\"VpcId\":\"vpc-1\",\"OwnerId\":\"me\"}]}", "Vpcs[0].OwnerId", "12 digits", false},
	    {"{\"Vpcs\":[{\"VpcId\":\"vpc-1\",\"OwnerId\":7}]}", "Vpcs[0].OwnerId", "expected a string, found a number",
	     false},
	    {"{\"Vpcs\":[{\"VpcId\":\"vpc-1\",\"CidrBlock\":\"10.0.0.0/33\"}]}", "Vpcs[0].CidrBlock", "not a network",
	     false},
	    {"{\"Vpcs\":[{\"VpcId\":\"vpc-1\",\"Fresh\":1},{\"VpcId\":\"vpc-2\",\"Fresh\":2}]}", "Vpcs[0].Fresh",
	     "not known as a member of a VPC", false},
	    {"{\"Vpcs\":[{\"VpcId\":\"vpc-1\",\"Tags\":[{\"Value\":\"x\"}]}]}", "Vpcs[0].Tags[0]", "without a key",
	     false},
	    {"{\"Vpcs\":[{\"VpcId\":\"vpc-1\"},{\"VpcId\":\"vpc-1\"}]}", "Vpcs[1]", "VPC vpc-1 again", false},
	    {"{\"Fresh\":[]}", "Fresh", "not known as a member of an answer", false},
	    {SUBNETS("10.0.0.0/23", "10.0.1.0/24"), "subnet-2", "10.0.1.0/24 overlaps 10.0.0.0/23 of subnet-1", false},
	    {SUBNETS("10.0.0.0/24", "10.1.0.0/24"), "subnet-2", "outside the networks of vpc-1", false},
	    {"{\"SecurityGroups\":[" GROUP("1", "") "],\"NetworkInterfaces\":[" ENI(
		 "1", ",\"Groups\":[{\"GroupId\":\"sg-9\"},{\"GroupId\":\"sg-1\"}]") "]}",
	     "NetworkInterfaces[0].Groups[0]", "sg-9 is not in the inventory", false},
	    {RULE("\"IpProtocol\":\"tcp\",\"FromPort\":1,\"ToPort\":1,\"UserIdGroupPairs\":[{\"GroupId\":\"sg-9\"}]"),
	     "SecurityGroups[0].IpPermissions[0].UserIdGroupPairs[0]", "sg-9 is not in the inventory", false},
	    {RULE("\"IpProtocol\":\"tcp\",\"FromPort\":70000,\"ToPort\":70000"), "SecurityGroups[0].IpPermissions[0]",
	     "port 70000: expected 0 to 65535", false},
	    {RULE("\"IpProtocol\":\"tcp\",\"FromPort\":9,\"ToPort\":8"), "SecurityGroups[0].IpPermissions[0]",
	     "port 8: expected 9 to 65535", false},
	    {RULE("\"IpProtocol\":\"tcp\",\"FromPort\":\"9\",\"ToPort\":9"),
	     "SecurityGroups[0].IpPermissions[0].FromPort", "expected a whole number, found a string", false, 2},
	    {RULE("\"IpProtocol\":\"quick\""), "SecurityGroups[0].IpPermissions[0]", "not a protocol", false},
	    {RULE("\"IpProtocol\":\"-1\",\"IpRanges\":[{\"CidrIp\":\"ten\"}]"),
	     "SecurityGroups[0].IpPermissions[0].IpRanges[0]", "not a network", false},
	    {"{\"SecurityGroups\":[" GROUP(
		 "1", "") "],\"SecurityGroupRules\":[{\"SecurityGroupRuleId\":\"sgr-1\","
			  "\"GroupId\":\"sg-1\",\"IpProtocol\":\"-1\",\"CidrIpv4\":\"0.0.0.0/0\"}]}",
	     "SecurityGroupRules[0]", "not among the permissions of sg-1", false},
	    {"{\"SecurityGroups\":[" GROUP(
		 "1", "") "],\"SecurityGroupRules\":[{\"SecurityGroupRuleId\":\"sgr-1\","
			  "\"GroupId\":\"sg-2\",\"IpProtocol\":\"-1\",\"CidrIpv4\":\"0.0.0.0/0\"}]}",
	     "SecurityGroupRules[0]", "sg-2 is not in the inventory; its 1 rule is left out", true},
	    {"{\"NetworkAcls\":[{\"NetworkAclId\":\"acl-1\",\"Entries\":[{\"RuleNumber\":40000,\"Protocol\":\"6\"}]}]}",
	     "NetworkAcls[0].Entries[0]", "rule number 40000", false},
	    {"{\"NetworkAcls\":[{\"NetworkAclId\":\"acl-1\",\"Entries\":[{\"RuleNumber\":1,\"Protocol\":\"6\","
	     "\"RuleAction\":\"maybe\",\"CidrBlock\":\"0.0.0.0/0\"}]}]}",
	     "NetworkAcls[0].Entries[0]", "expected allow or deny", false},
	    {"{\"RouteTables\":[{\"RouteTableId\":\"rtb-1\",\"Routes\":[{\"GatewayId\":\"local\"}]}]}",
	     "RouteTables[0].Routes[0]", "not a destination", false},
	    {"{\"Subnets\":[{\"SubnetId\":\"subnet-1\"}],\"NetworkAcls\":[{\"NetworkAclId\":\"acl-1\",\"Associations\":"
	     "["
	     "{\"SubnetId\":\"subnet-1\"}]},{\"NetworkAclId\":\"acl-2\",\"Associations\":[{\"SubnetId\":\"subnet-1\"}]}"
	     "]}",
	     "NetworkAcls[1].Associations[0]", "acl-2, and before that acl-1", false},
	    {"{\"NetworkInterfaces\":[" ENI("1", ",\"MacAddress\":\"soon\"") "]}", "NetworkInterfaces[0].MacAddress",
	     "not a MAC address", false},
	    {"{\"NetworkInterfaces\":[" ENI("1", ",\"ConnectionTrackingConfiguration\":{\"UdpTimeout\":900}") "]}",
	     "NetworkInterfaces[0].UdpTimeout", "900 s: expected 1 to 60; AWS's 30 s is used", false},
	    {"{\"NetworkInterfaces\":[" ENI("1", ",\"MacAddress\":\"02:00:00:00:00:01\"") "," ENI(
		 "2", ",\"MacAddress\":\"02:00:00:00:00:01\"") "]}",
	     "eni-2", "has the MAC address of eni-1", false},
	    {"{\"NetworkInterfaces\":[" ENI(
		 "1", ",\"VpcId\":\"vpc-1\"") ",{\"NetworkInterfaceId\":\"eni-2\","
					      "\"PrivateIpAddress\":\"10.0.0.1\",\"VpcId\":\"vpc-1\"}]}",
	     "eni-2", "has 10.0.0.1, which is an address of eni-1 too", false},
	    {"{\"NetworkInterfaces\":[{\"NetworkInterfaceId\":\"eni-1\"}]}", "eni-1", "no address", false},
	    {"{\"Entries\":[{\"Cidr\":\"10.0.0.0/8\"}]}", "Entries[0]", "entries of which prefix list", true},
	    {"{\"Bindings\":[{\"NetworkInterfaceId\":\"eni-1\"}]}", "Bindings[0]", "expected NetworkInterfaceId (or",
	     true},
	    {"{\"Bindings\":[{\"NetworkInterfaceId\":\"eni-1\",\"Interface\":\"eth0\"}]}", "Bindings[0]",
	     "eni-1 is not in the inventory", true},
	    {"{\"NetworkInterfaces\":[" ENI("1", "") "," ENI(
		 "2", "") "],\"Bindings\":[{\"NetworkInterfaceId\":\"eni-1\","
			  "\"Interface\":\"eth0\"},{\"NetworkInterfaceId\":\"eni-2\",\"Interface\":\"eth0\"}]}",
	     "Bindings[1]", "bound before, to eni-1", false},
	    {"{\"NetworkInterfaces\":[" ENI(
		 "1", "") "],\"Bindings\":[{\"NetworkInterfaceId\":\"eni-1\","
			  "\"Interface\":\"eth0\"},{\"NetworkInterfaceId\":\"eni-1\",\"Interface\":\"eth1\"}]}",
	     "Bindings[1]", "eni-1 was bound before", false},
	    {"{\"NetworkInterfaces\":[" ENI("1", "") "],\"Bindings\":[{\"NetworkInterfaceId\":\"eni-1\","
						     "\"Interface\":\"eth0\",\"End\":\"both\"}]}",
	     "Bindings[0]", "expected guest or host", false},
	};

	(void)state;
	check_problems(rows, FL_ARRAY_LEN(rows));
}

/* A broken element costs only itself, a later noun wins, pages in one file are joined. */
static void what_is_usable_is_used(void **state)
{
	static const char text[] =
	    "{\"Vpcs\":[{\"VpcId\":\"vpc-1\",\"CidrBlock\":\"10.0.0.0/8\",\"Tags\":["
	    "{\"Key\":\"Name\",\"Value\":\"old\"}]},{\"VpcId\":nul},"
	    "{\"VpcId\":\"vpc-1\",\"Tags\":[{\"Key\":\"Name\",\"Value\":\"new\"}]}],"
	    "\"NextToken\":\"t\"}\n{\"Vpcs\":[{\"VpcId\":\"vpc-2\"}]}{\"Vpcs\":[{\"VpcId\":\"vpc-3\"}";
	struct fl_network *net;
	const struct fl_vpc *v;
	size_t n;

	(void)state;
	assert_int_equal(fl_network_from_text(&net, "vpcs.json", text, strlen(text)), 0);
	v = fl_network_vpcs(net, &n);
	assert_int_equal(n, 3);
	assert_string_equal(v[0].noun.name, "new");
	assert_int_equal(v[0].cidrs.n, 0); /* the later answer has none */
	assert_string_equal(v[2].noun.id, "vpc-3");
	fl_network_problems(net, &n);
	assert_int_equal(n, 3); /* nul, again, cut off */
	fl_network_free(&net);
}

static void groups_may_refer_to_each_other(void **state)
{
	static const char text[] = "{\"SecurityGroups\":[" GROUP(
	    "1",
	    ",\"IpPermissions\":[{\"IpProtocol\":\"-1\",\"UserIdGroupPairs\":["
	    "{\"GroupId\":\"sg-2\"},{\"GroupId\":\"sg-1\"}]}]") "," GROUP("2", ",\"IpPermissions\":[{\"IpProtocol\":\"-"
									       "1\",\"UserIdGroupPairs\":[{\"GroupId\":"
									       "\"sg-1\"}]}]") "]}";
	struct fl_network *net;
	const struct fl_group *g;
	size_t n;

	(void)state;
	assert_int_equal(fl_network_from_text(&net, "g.json", text, strlen(text)), 0);
	g = fl_network_groups(net, &n);
	assert_int_equal(n, 2);
	assert_ptr_equal(g[0].in.rule[0].group, &g[1]);
	assert_ptr_equal(g[0].in.rule[1].group, &g[0]);
	assert_ptr_equal(g[1].in.rule[0].group, &g[0]);
	fl_network_problems(net, &n);
	assert_int_equal(n, 0);
	fl_network_free(&net);
}

static void missing_answers_are_named(void **state)
{
	static const char text[] = "{\"Vpcs\":[],\"PrefixLists\":[{\"PrefixListId\":\"pl-1\"}]}";
	struct fl_network *net;
	const char *const *m;
	bool entries = false, groups = false;
	size_t n;

	(void)state;
	assert_int_equal(fl_network_from_text(&net, "v.json", text, strlen(text)), 0);
	m = fl_network_missing(net, &n);
	for (size_t i = 0; i < n; i++) {
		assert_null(strstr(m[i], "describe-vpcs "));
		entries |= !strcmp(m[i], "aws ec2 get-managed-prefix-list-entries --prefix-list-id pl-1 > pl-1.json");
		groups |= !strcmp(m[i], "aws ec2 describe-security-groups > security-groups.json");
	}
	assert_true(entries && groups);
	fl_network_free(&net);
}

static void nothing_to_read(void **state)
{
	struct fl_network *net;

	(void)state;
	assert_int_equal(fl_network_read(&net, "/nonexistent"), -ENOENT);
	assert_null(net);
	assert_int_equal(fl_network_read(&net, "/dev/null"), -EINVAL);
	assert_int_equal(fl_network_read(&net, "/sys/kernel/security"), -ENOENT);
	assert_null(net);
}

/* More problems than are kept: they are counted. Many levels of brackets cost no stack. */
static void ceilings(void **state)
{
	size_t items = FL_NETWORK_PROBLEMS_MAX + 100, depth = 100000;
	char *text = test_malloc(items * 3 + depth * 2 + 64);
	struct fl_network *net;
	const struct fl_problem *p;
	size_t n, at = (size_t)sprintf(text, "{\"Vpcs\":[");

	(void)state;
	for (size_t i = 0; i < items; i++)
		at += (size_t)sprintf(text + at, "%s7", i ? "," : "");
	sprintf(text + at, "]}");
	assert_int_equal(fl_network_from_text(&net, "v.json", text, strlen(text)), 0);
	p = fl_network_problems(net, &n);
	assert_int_equal(n, FL_NETWORK_PROBLEMS_MAX);
	assert_string_equal(p[0].text, "101 further problems are not listed");
	fl_network_free(&net);

	at = (size_t)sprintf(text, "{\"Vpcs\":[{\"VpcId\":\"vpc-1\",\"Tags\":");
	for (size_t i = 0; i < depth; i++) {
		text[at + i] = '[';
		text[at + depth + i] = ']';
	}
	strcpy(text + at + 2 * depth, "}]}");
	assert_int_equal(fl_network_from_text(&net, "v.json", text, strlen(text)), 0);
	p = fl_network_problems(net, &n);
	assert_int_equal(n, 1);
	assert_non_null(strstr(p[0].text, "maximum parsing depth reached"));
	fl_network_free(&net);
	test_free(text);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(golden_is_whole),
	    cmocka_unit_test(interfaces),
	    cmocka_unit_test(rules),
	    cmocka_unit_test(routes),
	    cmocka_unit_test(lookups),
	    cmocka_unit_test(services),
	    cmocka_unit_test(services_are_those_of_a_slow_search),
	    cmocka_unit_test(bindings),
	    cmocka_unit_test(problems),
	    cmocka_unit_test(what_is_usable_is_used),
	    cmocka_unit_test(groups_may_refer_to_each_other),
	    cmocka_unit_test(missing_answers_are_named),
	    cmocka_unit_test(nothing_to_read),
	    cmocka_unit_test(ceilings),
	};

	golden = argc > 1 ? argv[1] : "tests/inventory/data/golden";
	return cmocka_run_group_tests(tests, NULL, NULL);
}
