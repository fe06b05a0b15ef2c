/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/addr.h"
#include "base/mem.h"

static void prints(const char *text, const char *want)
{
	struct fl_addr a;
	bool v6;
	char out[FL_ADDR_TEXT_MAX + 1];

	assert_int_equal(fl_addr_parse(text, strlen(text), &a, &v6), 0);
	*fl_addr_print(out, &a, v6) = '\0';
	assert_string_equal(out, want);
}

static void print_is_rfc5952(void **state)
{
	(void)state;
	prints("0.0.0.0", "0.0.0.0");
	prints("255.249.250.7", "255.249.250.7");
	prints("2001:DB8:0:0:1:0:0:1", "2001:db8::1:0:0:1");
	prints("2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1");
	prints("::", "::");
	prints("1::", "1::");
	prints("::1", "::1");
	prints("fe80::1234:5678", "fe80::1234:5678");
	prints("::ffff:10.0.0.1", "::ffff:a00:1");
}

static void every_octet(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 256; i++) {
		uint8_t b[4] = {(uint8_t)i, 1, (uint8_t)(255 - i), (uint8_t)i};
		struct fl_addr a = fl_addr_v4(b), back;
		char out[FL_ADDR_TEXT_MAX];
		size_t n = (size_t)(fl_addr_print(out, &a, false) - out);

		assert_int_equal(fl_addr_parse(out, n, &back, NULL), 0);
		assert_true(fl_addr_equal(&a, &back));
	}
}

static void bad_addresses(void **state)
{
	static const char *const bad[] = {"", "1.2.3", "1.2.3.256", "1.2.3.4 ", "::1::", "12345::", "eni-1"};
	struct fl_addr a;

	(void)state;
	for (size_t i = 0; i < FL_ARRAY_LEN(bad); i++)
		assert_true(fl_addr_parse(bad[i], strlen(bad[i]), &a, NULL) < 0);
	assert_true(fl_addr_parse("10.0.0.1\0x", 10, &a, NULL) < 0); /* a NUL does not end it */
}

static bool in(const char *cidr, const char *addr)
{
	struct fl_cidr c;
	struct fl_addr a;

	assert_int_equal(fl_cidr_parse(cidr, strlen(cidr), &c), 0);
	assert_int_equal(fl_addr_parse(addr, strlen(addr), &a, NULL), 0);
	return fl_cidr_has(&c, &a);
}

static void networks(void **state)
{
	struct fl_cidr c;

	(void)state;
	assert_true(in("10.0.0.0/8", "10.255.0.1"));
	assert_false(in("10.0.0.0/8", "11.0.0.1"));
	assert_true(in("0.0.0.0/0", "1.2.3.4"));
	assert_false(in("0.0.0.0/0", "2001:db8::1"));
	assert_true(in("192.0.2.7", "192.0.2.7"));
	assert_true(in("192.0.2.130/25", "192.0.2.129"));
	assert_false(in("192.0.2.130/25", "192.0.2.1"));
	assert_true(in("2001:db8::/33", "2001:db8:7fff::"));
	assert_false(in("2001:db8::/33", "2001:db8:8000::"));
	assert_true(fl_cidr_parse("10.0.0.0/33", 11, &c) < 0);
	assert_true(fl_cidr_parse("10.0.0.0/", 9, &c) < 0);
	assert_true(fl_cidr_parse("10.0.0.0/x", 10, &c) < 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(print_is_rfc5952),
	    cmocka_unit_test(every_octet),
	    cmocka_unit_test(bad_addresses),
	    cmocka_unit_test(networks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
