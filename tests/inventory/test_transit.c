/* SPDX-License-Identifier: Apache-2.0 */
/* Transit gateways, regional NAT gateways and Block Public Access: the golden inventory, and what is said of bad input.
 */
#include "problems.h"

#define T "tgw-0dd00000000000001"
#define TABLE "tgw-rtb-0dd00000000000009"
#define EMPTY "tgw-rtb-0dd00000000000008"
#define PROD "tgw-attach-0dd00000000000001"
#define SHARED "tgw-attach-0dd00000000000002"
#define OFFICE "tgw-attach-0dd00000000000003"
#define FAR "tgw-attach-0dd00000000000004"
#define NAT "nat-0d100000000000002"

static const char *golden; /* its directory */
static struct fl_network *net;

static int begin(void **state)
{
	(void)state;
	return fl_network_read(&net, golden);
}

static int end(void **state)
{
	(void)state;
	fl_network_free(&net);
	return 0;
}

static struct fl_addr addr(const char *text)
{
	struct fl_addr a;

	assert_int_equal(fl_addr_parse(text, strlen(text), &a, NULL), 0);
	return a;
}

static const void *noun(const char *id)
{
	const void *n = fl_network_find(net, id, NULL);

	assert_non_null(n);
	return n;
}

static void gateways_and_attachments(void **state)
{
	const struct fl_tgw *t = noun(T);
	const struct fl_tgw_attachment *prod = noun(PROD), *office = noun(OFFICE), *far = noun(FAR),
				       *shared = noun(SHARED);
	const struct fl_tgw_table *table = noun(TABLE), *empty = noun(EMPTY);
	const struct fl_vpn *vpn = noun("vpn-0aa00000000000001");

	(void)state;
	assert_string_equal(t->region, "us-east-1");
	assert_string_equal(t->noun.name, "hub");
	assert_ptr_equal(prod->tgw, t);
	assert_ptr_equal(prod->table, table);
	assert_string_equal(prod->tgw_owner, "111122223333");
	assert_ptr_equal(office->table, empty);
	assert_string_equal(far->peer_tgw_id, "tgw-0dd00000000000002");
	assert_string_equal(far->peer_region, "eu-west-1");
	assert_ptr_equal(fl_tgw_table_of(far, T), empty);
	assert_null(fl_tgw_table_of(far, "tgw-0dd00000000000002"));
	assert_true(table->has_routes && empty->has_routes && table->has_propagations && empty->has_propagations);
	assert_int_equal(table->n, 6); /* the deleted one is not there */
	assert_int_equal(table->n_propagations, 3);
	assert_ptr_equal(table->propagation[1], shared);
	assert_int_equal(empty->n_propagations, 0);
	assert_int_equal(vpn->n_tunnels, 2);
	assert_int_equal(vpn->n_up, 1);
	assert_string_equal(vpn->gateway_id, T);
}

static void tables_are_asked(void **state)
{
	static const struct {
		const char *table, *dst, *attachment; /* NULL: no route, "": blackhole */
	} rows[] = {
	    {TABLE, "10.20.1.9", PROD},     {TABLE, "10.40.2.236", SHARED}, /* a VPC's route before a VPN's */
	    {TABLE, "172.20.8.1", OFFICE},  {TABLE, "172.20.9.1", ""},      {TABLE, "10.60.0.1", FAR},
	    {TABLE, "10.70.0.1", NULL},     {TABLE, "2001:db8::1", NULL},   {EMPTY, "10.20.1.9", NULL},
	    {EMPTY, "192.0.2.129", SHARED}, /* by the prefix list */
	};

	(void)state;
	for (size_t i = 0; i < FL_ARRAY_LEN(rows); i++) {
		struct fl_addr a = addr(rows[i].dst);
		const struct fl_tgw_route *r =
		    fl_tgw_route_find(noun(rows[i].table), &a, strchr(rows[i].dst, ':') != NULL);

		if (!rows[i].attachment) {
			assert_null(r);
			continue;
		}
		assert_non_null(r);
		assert_int_equal(r->blackhole, !*rows[i].attachment);
		assert_string_equal(r->attachment_id, rows[i].attachment);
	}
}

/* The interface eni-...6 is the gateway's in the shared VPC; the others have ports. */
static void ways(void **state)
{
	static const struct {
		const char *at, *src, *dst;
		bool enters;
		enum fl_tgw_fate fate;
		const char *in, *out, *in_eni, *out_eni;
	} rows[] = {
	    {"eni-0e100000000000006", "10.40.2.236", "10.20.1.9", true, FL_TGW_FORWARDED, SHARED, PROD,
	     "eni-0e100000000000006", PROD},
	    {"eni-0e100000000000006", "10.20.1.9", "10.40.2.236", false, FL_TGW_FORWARDED, PROD, SHARED, PROD,
	     "eni-0e100000000000006"},
	    {"eni-0e100000000000006", "10.40.2.236", "172.20.9.1", true, FL_TGW_BLACKHOLE, SHARED, "",
	     "eni-0e100000000000006", NULL},
	    {"eni-0e100000000000006", "10.40.2.236", "10.99.0.1", true, FL_TGW_NO_ROUTE, SHARED, "",
	     "eni-0e100000000000006", NULL},
	    {"eni-0e100000000000006", "10.40.2.236", "10.60.0.1", true, FL_TGW_FORWARDED, SHARED, FAR,
	     "eni-0e100000000000006", FAR},
	    {"eni-0e100000000000006", "172.20.8.1", "10.40.2.236", false, FL_TGW_FORWARDED, OFFICE, SHARED, OFFICE,
	     "eni-0e100000000000006"},
	    {OFFICE, "172.20.8.1", "192.0.2.129", true, FL_TGW_FORWARDED, OFFICE, SHARED, OFFICE,
	     "eni-0e100000000000006"},
	    {OFFICE, "172.20.8.1", "10.20.1.9", true, FL_TGW_NO_ROUTE, OFFICE, "", OFFICE, NULL},
	    {OFFICE, "198.51.100.1", "172.20.8.1", false, FL_TGW_FORWARDED, "", OFFICE, NULL, OFFICE},
	    {"eni-0e100000000000001", "10.20.0.10", "10.40.2.236", true, FL_TGW_NOT_KNOWN, "", "", NULL, NULL},
	};

	(void)state;
	for (size_t i = 0; i < FL_ARRAY_LEN(rows); i++) {
		struct fl_addr src = addr(rows[i].src), dst = addr(rows[i].dst);
		struct fl_tgw_way w;

		fl_tgw_find_way(net, fl_network_eni(net, rows[i].at), rows[i].enters, &src, &dst, false, &w);
		assert_int_equal(w.fate, rows[i].fate);
		assert_string_equal(w.in_id, rows[i].in);
		assert_string_equal(w.out_id, rows[i].out);
		assert_ptr_equal(w.in_eni, rows[i].in_eni ? fl_network_eni(net, rows[i].in_eni) : NULL);
		assert_ptr_equal(w.out_eni, rows[i].out_eni ? fl_network_eni(net, rows[i].out_eni) : NULL);
	}
}

static void ports(void **state)
{
	const struct fl_net_eni *office, *nat, *eni;
	const struct fl_nat_gateway *gateway = noun(NAT);
	struct fl_eni id = {.device = "wg0"};

	(void)state;
	assert_int_equal(fl_network_lookup(net, OFFICE, &office), 0);
	assert_true(office->is_port);
	assert_int_equal(office->index, 10); /* behind nine interfaces and the port of prod */
	assert_true(office->index < fl_network_index_end(net));
	assert_string_equal(office->region, "us-east-1");
	assert_int_equal(fl_network_lookup(net, SHARED, &eni), 0);
	assert_string_equal(eni->noun.id, "eni-0e100000000000006");
	assert_int_equal(fl_network_lookup(net, NAT, &nat), 0);
	assert_string_equal(nat->record_type, "regional_nat_gateway");
	assert_string_equal(nat->noun.owner, "111122223333");
	assert_ptr_equal(nat->routes, noun("rtb-0b100000000000004"));
	assert_ptr_equal(gateway->port, nat);
	fl_network_identity(net, nat, &id);
	assert_string_equal(id.vpc_id, "vpc-0b20000000000000b");
	assert_string_equal(id.region, "us-east-1");
}

static void access_blocks(void **state)
{
	const struct fl_vpc *a = noun("vpc-0a10000000000000a"), *b = noun("vpc-0b20000000000000b");
	const struct fl_subnet *s = noun("subnet-0a110000000000001");

	(void)state;
	assert_ptr_equal(a->bpa.exclusion, noun("vpcbpa-exclude-0bb00000000000001"));
	assert_true(a->bpa.exclusion->egress_only);
	assert_ptr_equal(s->bpa.exclusion, noun("vpcbpa-exclude-0bb00000000000002"));
	assert_null(b->bpa.exclusion); /* deleted */
	assert_true(b->encryption_enforced);
	assert_false(a->encryption_enforced);
}

#define OPTIONS(region, mode)                                                                                          \
	"{\"VpcBlockPublicAccessOptions\":{\"AwsAccountId\":\"111122223333\",\"AwsRegion\":\"" region                  \
	"\",\"InternetGatewayBlockMode\":\"" mode "\"}}"
#define VPC(more) "{\"Vpcs\":[{\"VpcId\":\"vpc-1\",\"OwnerId\":\"111122223333\"" more "}]}"

/* A VPC's own word before its account's. */
static void account_modes(void **state)
{
	static const struct {
		const char *text;
		bool ingress, both;
	} rows[] = {
	    {OPTIONS("us-east-1", "block-ingress") VPC(""), true, false},
	    {OPTIONS("us-east-1", "block-bidirectional") VPC(""), true, true},
	    {OPTIONS("us-east-1", "block-ingress")
		 VPC(",\"BlockPublicAccessStates\":{\"InternetGatewayBlockMode\":\"off\"}"),
	     false, false},
	    {OPTIONS("us-east-1", "off")
		 VPC(",\"BlockPublicAccessStates\":{\"InternetGatewayBlockMode\":\"block-bidirectional\"}"),
	     true, true},
	    {OPTIONS("us-east-1", "off") VPC(""), false, false},
	};

	(void)state;
	for (size_t i = 0; i < FL_ARRAY_LEN(rows); i++) {
		struct fl_network *one;
		const struct fl_vpc *v;
		size_t n;

		assert_int_equal(fl_network_from_text(&one, "x.json", rows[i].text, strlen(rows[i].text)), 0);
		v = fl_network_vpcs(one, &n);
		assert_int_equal(n, 1);
		assert_int_equal(v->bpa.ingress, rows[i].ingress);
		assert_int_equal(v->bpa.both, rows[i].both);
		fl_network_free(&one);
	}
}

#define ROUTES(items) "{\"TransitGatewayRouteTableId\":\"tgw-rtb-1\",\"Routes\":[" items "]}"
#define EXCLUSION(arn, mode)                                                                                           \
	"{\"VpcBlockPublicAccessExclusions\":[{\"ExclusionId\":\"vpcbpa-exclude-1\",\"State\":\"create-complete\","    \
	"\"ResourceArn\":\"" arn "\",\"InternetGatewayExclusionMode\":\"" mode "\"}]}"
#define ATTACHMENT(n, more)                                                                                            \
	"{\"TransitGatewayAttachmentId\":\"tgw-attach-" n "\",\"TransitGatewayId\":\"tgw-1\"" more "}"
#define TABLES                                                                                                         \
	"{\"TransitGatewayRouteTables\":[{\"TransitGatewayRouteTableId\":\"tgw-rtb-1\",\"TransitGatewayId\":\"tgw-"    \
	"1\"},"                                                                                                        \
	"{\"TransitGatewayRouteTableId\":\"tgw-rtb-2\",\"TransitGatewayId\":\"tgw-1\"}]}"

static void problems(void **state)
{
	static const struct problem_row rows[] = {
	    {"{\"Routes\":[]}", "Routes", "routes of which transit gateway route table?", true},
	    {"{\"Routes\":[{\"DestinationCidrBlock\":\"10.0.0.0/8\"}]}", "Routes",
	     "routes of which transit gateway route table?", true},
	    {"{\"Routes\":[]}", "Routes", "routes of which transit gateway route table?", true, .file = "pl-1.json"},
	    {"{\"Entries\":[{\"Cidr\":\"10.0.0.0/8\"}]}", "Entries[0]", "entries of which prefix list", true,
	     .file = "tgw-rtb-1.json"},
	    {"{\"TransitGatewayRouteTablePropagations\":[{}]}", "TransitGatewayRouteTablePropagations",
	     "propagations of which", true},
	    {"{\"Associations\":[{}]}", "Associations[0]", "an association of which", true},
	    {ROUTES("{\"DestinationCidrBlock\":\"ten\",\"State\":\"active\"}"), "Routes[0]", "not a destination",
	     false},
	    {ROUTES("{\"DestinationCidrBlock\":\"10.0.0.0/8\",\"State\":\"active\"}"), "Routes[0]",
	     "without an attachment", false},
	    {ROUTES("{\"DestinationCidrBlock\":\"10.0.0.0/8\",\"State\":\"active\",\"TransitGatewayAttachments\":{}}"),
	     "Routes[0].TransitGatewayAttachments", "expected a list, found an object", false, .n = 2},
	    {"{\"TransitGatewayRouteTableId\":\"tgw-rtb-1\",\"AdditionalRoutesAvailable\":true}",
	     "AdditionalRoutesAvailable", "more routes than were printed", false},
	    {TABLES "{\"TransitGatewayRouteTableId\":\"tgw-rtb-7\",\"Routes\":[]}", "Routes",
	     "tgw-rtb-7 is not in the inventory", true},
	    {TABLES "{\"TransitGatewayRouteTableId\":\"tgw-rtb-1\",\"Routes\":[{\"PrefixListId\":\"pl-9\",\"State\":"
		    "\"blackhole\"}]}",
	     "Routes[0]", "prefix list pl-9 is not in the inventory", false},
	    {"{\"TransitGatewayPrefixListReferences\":[{\"PrefixListId\":\"pl-1\"}]}",
	     "TransitGatewayPrefixListReferences[0]", "expected TransitGatewayRouteTableId and PrefixListId", true},
	    {"{\"TransitGatewayPrefixListReferences\":[{\"PrefixListId\":\"pl-1\",\"TransitGatewayRouteTableId\":"
	     "\"tgw-rtb-1\"}]}",
	     "TransitGatewayPrefixListReferences[0]", "neither Blackhole nor an attachment", false},
	    {"{\"TransitGatewayPeeringAttachments\":[{\"TransitGatewayAttachmentId\":\"tgw-attach-1\","
	     "\"RequesterTgwInfo\":{\"TransitGatewayId\":\"tgw-1\"}}]}",
	     "TransitGatewayPeeringAttachments[0].AccepterTgwInfo", "no TransitGatewayId", false},
	    {TABLES "{\"TransitGatewayAttachments\":[" ATTACHMENT("1", ",\"ResourceType\":\"vpn\",\"Association\":{"
								       "\"TransitGatewayRouteTableId\":\"tgw-rtb-"
								       "1\"}") "]}"
									       "{\"TransitGatewayRouteTableId\":"
									       "\"tgw-rtb-2\",\"Associations\":[{"
									       "\"TransitGatewayAttachmentId\":"
									       "\"tgw-attach-1\",\"State\":"
									       "\"associated\"}]}",
	     "Associations[0]", "associated with tgw-rtb-2, and before that with tgw-rtb-1", false},
	    {"{\"TransitGatewayRouteTables\":[{\"TransitGatewayRouteTableId\":\"rtb-1\"}]}",
	     "TransitGatewayRouteTables[0]", "expected tgw-rtb-", true},
	    {"{\"TransitGateways\":[{\"TransitGatewayId\":\"vpc-1\"}]}", "TransitGateways[0]", "expected tgw-", true},
	    {"{\"VpnConnections\":[{\"VpnConnectionId\":\"vpn-1\",\"CustomerGatewayConfiguration\":\"<xml/>\"}]}",
	     "VpnConnections[0].CustomerGatewayConfiguration", "the tunnels' keys", false},
	    {"{\"VpnConnections\":[{\"VpnConnectionId\":\"vpn-1\",\"VgwTelemetry\":[7]}]}",
	     "VpnConnections[0].VgwTelemetry[0]", "expected an object, found a number", false},
	    {"{\"VpcBlockPublicAccessOptions\":[]}", "VpcBlockPublicAccessOptions", "expected an object", true},
	    {"{\"VpcBlockPublicAccessOptions\":{}}", "VpcBlockPublicAccessOptions", "which account", true},
	    {OPTIONS("us-east-1", "soon"), "VpcBlockPublicAccessOptions", "expected off, block-ingress", false},
	    {OPTIONS("us-east-1", "off") OPTIONS("eu-west-1", "block-ingress") VPC(""), "VpcBlockPublicAccessOptions",
	     "regions us-east-1 and eu-west-1", false},
	    {VPC(",\"BlockPublicAccessStates\":{\"InternetGatewayBlockMode\":\"on\"}"),
	     "Vpcs[0].BlockPublicAccessStates", "expected off, block-ingress", false},
	    {EXCLUSION("arn:aws:ec2:us-east-1:111122223333:vpc/vpc-1", "allow-all"),
	     "VpcBlockPublicAccessExclusions[0]", "expected allow-bidirectional or allow-egress", false},
	    {EXCLUSION("vpc-1", "allow-egress"), "VpcBlockPublicAccessExclusions[0]",
	     "expected one of a VPC or a subnet", false},
	    {EXCLUSION("arn:aws:ec2:us-east-1:111122223333:vpc/vpc-1", "allow-egress"), "vpcbpa-exclude-1",
	     "vpc-1 is not in the inventory", false},
	    {"{\"VpcEncryptionControls\":[{\"Mode\":\"enforce\"}]}", "VpcEncryptionControls[0]", "of which VPC?", true},
	    {"{\"TransitGatewayAttachments\":[" ATTACHMENT(
		 "1", "") "],\"NetworkInterfaces\":["
			  "{\"NetworkInterfaceId\":\"eni-1\",\"PrivateIpAddress\":\"10.0.0.1\",\"InterfaceType\":"
			  "\"transit_gateway\","
			  "\"Description\":\"Network Interface for Transit Gateway Attachment tgw-attach-1\"},"
			  "{\"NetworkInterfaceId\":\"eni-2\",\"PrivateIpAddress\":\"10.0.0.2\",\"InterfaceType\":"
			  "\"transit_gateway\","
			  "\"Description\":\"Network Interface for Transit Gateway Attachment tgw-attach-1\"}],"
			  "\"Bindings\":[{\"TransitGatewayAttachmentId\":\"tgw-attach-1\",\"Interface\":\"eth0\"}]}",
	     "Bindings[0]", "has 2 interfaces, one a zone", true},
	};

	(void)state;
	check_problems(rows, FL_ARRAY_LEN(rows));
}

static void missing_answers_are_named(void **state)
{
	struct fl_network *one;
	const char *const *m;
	bool routes = false, propagations = false;
	size_t n;

	(void)state;
	assert_int_equal(fl_network_from_text(&one, "x.json", TABLES, strlen(TABLES)), 0);
	m = fl_network_missing(one, &n);
	for (size_t i = 0; i < n; i++) {
		routes |=
		    !strcmp(m[i], "aws ec2 search-transit-gateway-routes --transit-gateway-route-table-id tgw-rtb-2 "
				  "--filters Name=type,Values=static,propagated > tgw-rtb-2.json");
		propagations |= !strcmp(
		    m[i], "aws ec2 get-transit-gateway-route-table-propagations --transit-gateway-route-table-id "
			  "tgw-rtb-1 > tgw-rtb-1.propagations.json");
	}
	assert_true(routes && propagations);
	fl_network_free(&one);
}

int main(int argc, char **argv)
{
#define G(f) cmocka_unit_test_setup_teardown(f, begin, end)
	const struct CMUnitTest tests[] = {
	    G(gateways_and_attachments),
	    G(tables_are_asked),
	    G(ways),
	    G(ports),
	    G(access_blocks),
	    cmocka_unit_test(account_modes),
	    cmocka_unit_test(problems),
	    cmocka_unit_test(missing_answers_are_named),
	};

	golden = argc > 1 ? argv[1] : "tests/inventory/data/golden";
	return cmocka_run_group_tests(tests, NULL, NULL);
}
