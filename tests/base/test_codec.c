/* SPDX-License-Identifier: Apache-2.0 */
/* What is compressed comes back; what is damaged, too long or too short is refused; the formats as others write them.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/codec.h"
#include "base/error.h"
#include "base/hash.h"

static uint64_t state = 1;

static uint32_t below(uint32_t n)
{
	state = fl_mum(state ^ 0xa0761d6478bd642full, 0xe7037ed1a0b428dbull) + 1;
	return (uint32_t)(state % n);
}

/* Text with repetitions near and far, or noise. */
static void fill(uint8_t *p, size_t n, unsigned kind)
{
	for (size_t i = 0; i < n;) {
		size_t run = 1 + below(kind == 2 ? 400 : 30),
		       back = i ? 1 + below((uint32_t)FL_MIN(i, (size_t)70000)) : 0;
		bool copy = kind && i && below(3);

		for (; run && i < n; run--, i++)
			p[i] = copy ? p[i - back] : (uint8_t)below(kind == 2 ? 4 : 256);
	}
}

static void comes_back(void **unused)
{
	static const uint8_t codecs[] = {FL_CODEC_NONE, FL_CODEC_SNAPPY, FL_CODEC_GZIP, FL_CODEC_ZSTD};
	static uint8_t in[300000], out[300000];
	struct fl_coder *c = NULL;

	(void)unused;
	assert_int_equal(fl_coder_new(&c), 0);
	for (unsigned round = 0; round < 400; round++) {
		size_t n = below(round < 100 ? 70 : round < 380 ? 5000 : sizeof in);
		struct fl_buf packed FL_CLEANUP(fl_buf_free) = FL_BUF(2u << 20);
		/* Of exactly the length: the sanitizer sees a byte beyond it. */
		uint8_t *exact;

		fill(in, n, round % 3);
		assert_int_equal(fl_compress(c, codecs[round % 4], 0, in, n, &packed), 0);
		exact = malloc(packed.len + 1);
		memcpy(exact, packed.data, packed.len);
		assert_int_equal(fl_decompress(c, codecs[round % 4], exact, packed.len, out, n), 0);
		assert_memory_equal(out, in, n);
		if (n && codecs[round % 4] != FL_CODEC_NONE)
			assert_int_equal(fl_decompress(c, codecs[round % 4], exact, packed.len, out, n - 1), -EBADMSG);
		assert_int_equal(fl_decompress(c, codecs[round % 4], exact, packed.len, out, n + 1), -EBADMSG);
		free(exact);
	}
	fl_coder_free(&c);
}

static void snappy_is_small(void **unused)
{
	static uint8_t in[200000];
	struct fl_buf packed FL_CLEANUP(fl_buf_free) = FL_BUF(2u << 20);
	struct fl_coder *c = NULL;

	(void)unused;
	for (size_t i = 0; i < sizeof in; i++)
		in[i] = (uint8_t)("10.0.0.1 ACCEPT OK\n"[i % 19]);
	assert_int_equal(fl_coder_new(&c), 0);
	assert_int_equal(fl_compress(c, FL_CODEC_SNAPPY, 0, in, sizeof in, &packed), 0);
	assert_in_range(packed.len, 1, sizeof in / 15);
	fl_coder_free(&c);
}

static void damage_is_refused_or_harmless(void **unused)
{
	static const uint8_t codecs[] = {FL_CODEC_SNAPPY, FL_CODEC_LZ4, FL_CODEC_GZIP, FL_CODEC_ZSTD};
	static uint8_t in[3000], out[3000];
	struct fl_coder *c = NULL;
	unsigned refused = 0;

	(void)unused;
	assert_int_equal(fl_coder_new(&c), 0);
	for (unsigned round = 0; round < 8000; round++) {
		uint8_t codec = codecs[round % 4];
		struct fl_buf packed FL_CLEANUP(fl_buf_free) = FL_BUF(1u << 20);
		size_t n = below(sizeof in);
		uint8_t *exact;

		fill(in, n, 1);
		/* Blocks of snappy are as good as any noise for LZ4. */
		assert_int_equal(fl_compress(c, codec == FL_CODEC_LZ4 ? FL_CODEC_SNAPPY : codec, 0, in, n, &packed), 0);
		packed.len = round % 5 ? packed.len : below((uint32_t)packed.len);
		exact = malloc(packed.len + 1);
		memcpy(exact, packed.data, packed.len);
		for (unsigned i = 0; packed.len && i <= round % 3; i++)
			exact[below((uint32_t)packed.len)] = (uint8_t)below(256);
		refused += fl_decompress(c, codec, exact, packed.len, out, n) != 0;
		free(exact);
	}
	assert_true(refused > 2000);
	fl_coder_free(&c);
}

static void lz4_by_hand(void **unused)
{
	/* Eight literals, a match of 24 from eight back (it overlaps itself), three literals at the end. */
	static const uint8_t block[] = {0x8f, 'f', 'l', 'o', 'w', 'l', 'o', 'g', ' ', 8, 0, 5, 0x30, 'e', 'n', 'd'};
	static const char text[] = "flowlog flowlog flowlog flowlog end";
	char out[sizeof text];

	(void)unused;
	assert_int_equal(fl_lz4_decompress(block, sizeof block, out, sizeof text - 1), 0);
	assert_memory_equal(out, text, sizeof text - 1);
	for (size_t n = 0; n < sizeof block; n++)
		assert_int_equal(fl_lz4_decompress(block, n, out, sizeof text - 1), -EBADMSG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(comes_back),
	    cmocka_unit_test(snappy_is_small),
	    cmocka_unit_test(damage_is_refused_or_harmless),
	    cmocka_unit_test(lz4_by_hand),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
