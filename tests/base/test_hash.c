/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/hash.h"

static void sha(const char *text, const char *want)
{
	uint8_t digest[32];
	char hex[65];

	fl_sha256(text, strlen(text), digest);
	fl_hex(digest, sizeof digest, hex);
	assert_string_equal(hex, want);
}

/* The examples of FIPS 180-4's companion document. */
static void sha256_examples(void **state)
{
	(void)state;
	sha("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
	sha("abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	sha("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
	    "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
}

/* RFC 3720 appendix B.4. */
static void crc32c_examples(void **state)
{
	uint8_t zeros[32] = {0}, ones[32], up[32];

	(void)state;
	memset(ones, 0xff, sizeof ones);
	for (unsigned i = 0; i < sizeof up; i++)
		up[i] = (uint8_t)i;
	assert_int_equal(fl_crc32c(0, zeros, sizeof zeros), 0x8a9136aa);
	assert_int_equal(fl_crc32c(0, ones, sizeof ones), 0x62a8ab43);
	assert_int_equal(fl_crc32c(0, up, sizeof up), 0x46dd794e);
	/* A checksum over parts is the checksum of the whole. */
	assert_int_equal(fl_crc32c(fl_crc32c(0, up, 5), up + 5, sizeof up - 5), 0x46dd794e);
}

static void hash_depends_on_everything(void **state)
{
	uint8_t data[48] = {0};
	uint64_t base = fl_hash_bytes(data, sizeof data, 1);

	(void)state;
	assert_true(base != fl_hash_bytes(data, sizeof data, 2));
	assert_true(base != fl_hash_bytes(data, sizeof data - 1, 1));
	for (unsigned i = 0; i < sizeof data; i++) {
		data[i] = 1;
		assert_true(base != fl_hash_bytes(data, sizeof data, 1));
		data[i] = 0;
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(sha256_examples),
	    cmocka_unit_test(crc32c_examples),
	    cmocka_unit_test(hash_depends_on_everything),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
