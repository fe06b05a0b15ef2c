/* SPDX-License-Identifier: Apache-2.0 */
/* The fuzz target in the ordinary test run: the seeds, each cut everywhere and with every byte changed, and noise. */
#include "journal/make.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void replay(void **state)
{
	static const size_t sizes[] = {0, 1, 3, 40};
	unsigned tried = 0;

	for (size_t s = 0; s < FL_ARRAY_LEN(sizes); s++) {
		struct fl_flow *flows = make_flows(sizes[s], s, 60000);
		struct fl_frame f = make_frame(1, 2, 0, 60, flows, sizes[s]);
		struct fl_buf buf = FL_BUF(1u << 20);
		const size_t envelope = 12;

		assert_int_equal(fl_frame_encode(&f, &buf), 0);
		LLVMFuzzerTestOneInput((uint8_t *)buf.data, buf.len);
		for (size_t at = envelope; at < buf.len; at++) {
			uint8_t *copy = malloc(buf.len - envelope);

			memcpy(copy, buf.data + envelope, buf.len - envelope);
			LLVMFuzzerTestOneInput(copy, at - envelope);
			for (unsigned v = 1; v < 256; v = 2 * v + 1) {
				copy[at - envelope] = (uint8_t)(buf.data[at] ^ v);
				LLVMFuzzerTestOneInput(copy, buf.len - envelope);
				tried++;
			}
			free(copy);
		}
		fl_buf_free(&buf);
		free(flows);
	}
	assert_true(tried > 4000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(replay)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
