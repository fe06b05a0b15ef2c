/* SPDX-License-Identifier: Apache-2.0 */
/* Filters as people write them: what they mean, printed; and where the complaint points. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/error.h"
#include "base/mem.h"
#include "flow/flow.h"
#include "scan/words.h"

static size_t addresses(void *ctx, const char *name, void (*fn)(void *to, const struct fl_addr *a), void *to)
{
	static const uint8_t a[4] = {10, 0, 1, 5}, b[4] = {10, 0, 1, 6};
	struct fl_addr v;

	(void)ctx;
	if (strcmp(name, "web-1"))
		return 0;
	v = fl_addr_v4(a);
	fn(to, &v);
	v = fl_addr_v4(b);
	fn(to, &v);
	return 2;
}

static size_t ids(void *ctx, const char *column, const char *name, void (*fn)(void *to, const char *id), void *to)
{
	(void)ctx;
	if (strcmp(name, "web-1") || strcmp(column, "interface_id"))
		return 0;
	fn(to, "eni-0a1");
	return 1;
}

static const struct fl_words_names names = {addresses, ids, NULL};

#define PACKET(column, a) "(" column " is not null and " column " = " a ")"
#define SRC(a) "srcaddr = " a " or " PACKET("pkt_srcaddr", a)
#define DST(a) "dstaddr = " a " or " PACKET("pkt_dstaddr", a)
#define HOST(a) SRC(a) " or " DST(a)
#define PORT(n) "srcport = " n " or dstport = " n

static void test_meaning(void **state)
{
	static const struct {
		const char *words, *meaning;
	} cases[] = {
	    {"host 10.0.0.1 and (port ssh or 443) and not accept",
	     "(" HOST("10.0.0.1") ") and (" PORT("22") " or " PORT("443") ") and not action = ACCEPT"},
	    {"src 10.0.0.1", SRC("10.0.0.1")},
	    {"dst net 10.0.0.7/8", DST("10.0.0.0/8")},
	    {"dst host 2001:db8::1", DST("2001:db8::1")},
	    {"src port 53 and udp", "srcport = 53 and protocol = 17"},
	    {"dst portrange 8000-8099", "dstport >= 8000 and dstport <= 8099"},
	    {"proto gre or 50", "protocol = 47 or protocol = 50"},
	    {"eni eni-1 or eni-2", "interface_id = eni-1 or interface_id = eni-2"},
	    {"eni web-1", "interface_id = eni-0a1"},
	    {"src web-1", SRC("10.0.1.5") " or " SRC("10.0.1.6")},
	    {"not src 10.0.0.1", "not (" SRC("10.0.0.1") ")"},
	    {"vpc vpc-1 && subnet subnet-1", "vpc_id = vpc-1 and subnet_id = subnet-1"},
	    {"action Reject || status nodata", "action = REJECT or log_status = NODATA"},
	    {"ingress", "flow_direction = ingress"},
	    {"bytes > 1m and packets<=10", "bytes >= 1000001 and packets <= 10"},
	    {"bytes >= 2G", "bytes >= 2000000000"},
	    {"start >= 1970-01-02", "start >= 86400"},
	    /* and binds before or, not before both */
	    {"tcp or udp and not reject", "protocol = 6 or (protocol = 17 and not action = REJECT)"},
	    {"not (tcp or udp)", "not (protocol = 6 or protocol = 17)"},
	    {"tcp_flags = 2 and vpc-id is not null", "tcp_flags = 2 and vpc_id is not null"},
	    {"region != eu-central-1", "not region = eu-central-1"},
	    {"vpc_id = \"x \\\" y\"", "vpc_id = \"x \\\" y\""},
	    {"srcaddr = ::ffff:10.0.0.1", "srcaddr = ::ffff:a00:1"},
	    {"ip", "srcaddr = 0.0.0.0/0"},
	    {"ip6", "not srcaddr = 0.0.0.0/0"},
	    {"  ", "everything"},
	};

	(void)state;
	for (size_t i = 0; i < FL_ARRAY_LEN(cases); i++) {
		struct fl_filter *f FL_CLEANUP(fl_filter_free) = NULL;
		struct fl_buf text FL_CLEANUP(fl_buf_free) = FL_BUF(1 << 16);

		if (fl_words_parse(&f, cases[i].words, &names))
			fail_msg("%s", fl_error_text(-EINVAL));
		assert_int_equal(fl_filter_print(f, &text), 0);
		assert_string_equal(fl_buf_cstr(&text), cases[i].meaning);
	}
}

static void test_complaints(void **state)
{
	static const struct {
		const char *words, *said[3];
	} cases[] = {
	    {"host", {"ends where", "an address"}},
	    {"port ssh and prt 22", {"character 14", "\"prt\"", "a condition"}},
	    {"port 65536", {"character 6", "0 to 65535"}},
	    {"port nosuch", {"character 6", "a service"}},
	    {"(tcp", {"ends where", "a closing bracket"}},
	    {"tcp)", {"character 4", "the end"}},
	    {"tcp udp", {"character 5", "and, or"}},
	    {"net 10.0.0.0/33", {"character 5", "a network"}},
	    {"host web-2", {"character 6", "the inventory has"}},
	    {"eni nosuch", {"character 5", "the inventory has"}},
	    {"bytes > lots", {"character 9", "a number"}},
	    {"bytes", {"ends where", "a comparison"}},
	    {"srcaddr > 3", {"character 9", "no numbers"}},
	    {"action perhaps", {"character 8", "ACCEPT or REJECT"}},
	    {"src tcp", {"character 5", "host, net"}},
	    {"start > yesterday", {"character 9", "a time"}},
	    {"vpc_id = \"open", {"ends with a quote"}},
	    {"portrange 9-3", {"character 11", "two ports"}},
	    {"bytes > 99999999999999999999", {"smaller number"}},
	};

	(void)state;
	for (size_t i = 0; i < FL_ARRAY_LEN(cases); i++) {
		struct fl_filter *f = NULL;
		int r = fl_words_parse(&f, cases[i].words, &names);

		assert_int_equal(r, -EINVAL);
		assert_null(f);
		for (size_t k = 0; k < 3 && cases[i].said[k]; k++)
			if (!strstr(fl_error_text(r), cases[i].said[k]))
				fail_msg("%s: \"%s\" does not say \"%s\"", cases[i].words, fl_error_text(r),
					 cases[i].said[k]);
	}
}

static void test_conditions_of_options(void **state)
{
	struct fl_filter *f = NULL;
	struct fl_buf text FL_CLEANUP(fl_buf_free) = FL_BUF(4096);
	char many[300] = "";

	(void)state;
	assert_int_equal(fl_words_condition(&f, "dst port", "ssh", NULL), 0);
	assert_int_equal(fl_filter_print(f, &text), 0);
	assert_string_equal(fl_buf_cstr(&text), "dstport = 22");
	fl_filter_free(&f);
	/* A value stays one value. */
	assert_int_equal(fl_words_condition(&f, "eni", "eni-1\" or tcp or \"", NULL), 0);
	fl_buf_reset(&text);
	assert_int_equal(fl_filter_print(f, &text), 0);
	assert_string_equal(fl_buf_cstr(&text), "interface_id = \"eni-1\\\" or tcp or \\\"\"");
	fl_filter_free(&f);
	assert_int_equal(fl_words_condition(&f, "port", "ssh or 443", NULL), -EINVAL);
	assert_null(f);
	assert_string_equal(fl_error_text(-EINVAL),
			    "\"ssh or 443\" is not a port from 0 to 65535 or a service, as ssh");
	assert_int_equal(fl_words_condition(&f, "src net", "10.0.0.300", NULL), -EINVAL);
	assert_string_equal(fl_error_text(-EINVAL),
			    "\"10.0.0.300\" is not an address or a network, as 10.0.0.1 or 10.0.0.0/8");
	assert_int_equal(fl_words_condition(&f, "eni", "eni-\"x\\", NULL), 0);
	fl_filter_free(&f);
	memset(many, 'x', sizeof many - 1);
	assert_int_equal(fl_words_condition(&f, "eni", many, NULL), -EINVAL);
	assert_non_null(strstr(fl_error_text(-EINVAL), "longer than 255 bytes"));
}

static void test_public_is_what_the_internet_has(void **state)
{
	static const struct {
		const char *address;
		bool private, public;
	} cases[] = {{"10.1.2.3", true, false},         {"172.31.0.1", true, false}, {"172.32.0.1", false, true},
		     {"100.64.0.1", true, false},       {"8.8.8.8", false, true},    {"224.0.0.1", false, false},
		     {"127.0.0.1", false, false},       {"fd00::1", true, false},    {"2001:db8::1", false, true},
		     {"255.255.255.255", false, false}, {"ff02::1", false, false},   {"-", false, false}};
	struct fl_filter *f[2];
	struct fl_filter_bound *bound[2];
	struct fl_batch *b FL_CLEANUP(fl_batch_free) = NULL;
	struct fl_column_def d;
	uint64_t bits[2][FL_BATCH_WORDS];

	(void)state;
	fl_column_find("dstaddr", &d);
	assert_int_equal(fl_batch_new(&b, &d, 1), 0);
	for (b->n = 0; b->n < FL_ARRAY_LEN(cases); b->n++)
		assert_true(fl_column_set_text(&b->column[0], b->n, cases[b->n].address, strlen(cases[b->n].address)));
	for (int i = 0; i < 2; i++) {
		assert_int_equal(fl_words_parse(&f[i], i ? "dst public" : "dst private", NULL), 0);
		assert_int_equal(fl_filter_bind(&bound[i], f[i], &d, 1), 0);
		fl_filter_eval(bound[i], b, bits[i]);
		fl_filter_bound_free(&bound[i]);
		fl_filter_free(&f[i]);
	}
	for (size_t i = 0; i < FL_ARRAY_LEN(cases); i++) {
		assert_int_equal(bits[0][0] >> i & 1, cases[i].private);
		assert_int_equal(bits[1][0] >> i & 1, cases[i].public);
	}
}

static void test_services_are_in_order(void **state)
{
	(void)state;
	assert_string_equal(fl_service_name(6, 22), "ssh");
	assert_string_equal(fl_service_name(17, 53), "dns");
	assert_null(fl_service_name(17, 22));
	assert_null(fl_service_name(1, 0));
	assert_null(fl_service_name(6, 50000));
	assert_int_equal(fl_service_port("Domain"), 53);
	assert_int_equal(fl_service_port("nosuch"), -EINVAL);
	/* What a name leads to has a name: the search by halves finds every row. */
	for (uint64_t port = 0; port <= UINT16_MAX; port++)
		for (unsigned i = 0; i < 2; i++) {
			const char *name = fl_service_name(i ? 6 : 17, port);

			assert_true(!name || (uint64_t)fl_service_port(name) == port);
		}
	assert_string_equal(fl_service_name(17, 51820), "wireguard");
	assert_string_equal(fl_service_name(6, 20), "ftp-data");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_meaning),
	    cmocka_unit_test(test_complaints),
	    cmocka_unit_test(test_conditions_of_options),
	    cmocka_unit_test(test_public_is_what_the_internet_has),
	    cmocka_unit_test(test_services_are_in_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
