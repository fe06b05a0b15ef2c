/* SPDX-License-Identifier: Apache-2.0 */
/* The fuzz target in the ordinary test run: the seeds, each cut everywhere and with every byte
 * changed, and noise. */
#include "journal/make.h"

#include <dirent.h>

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
		const struct fl_ground grounds[] = {{.drop = "NETFILTER_DROP"},
						    {.rule = "acl-1/inbound/1", .opinion = 2}};
		uint16_t ground[40] = {1, 0, 2, 2, 2};

		f.grounds = grounds;
		f.n_grounds = 2;
		f.ground = s % 2 ? ground : NULL;
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

static const char *corpus;

/* Found by the fuzzer, kept. */
static void replay_corpus(void **state)
{
	int fd = open(corpus, O_RDONLY | O_DIRECTORY);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;
	unsigned seeds = 0;

	assert_non_null(d);
	while ((e = readdir(d))) {
		struct fl_buf b = FL_BUF(1u << 20);

		if (e->d_name[0] != '.') {
			assert_int_equal(fl_file_read(fd, e->d_name, &b), 0);
			LLVMFuzzerTestOneInput((uint8_t *)b.data, b.len);
			seeds++;
		}
		fl_buf_free(&b);
	}
	closedir(d);
	assert_true(seeds > 0);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(replay), cmocka_unit_test(replay_corpus)};

	corpus = argc > 1 ? argv[1] : "tests/journal/frame-corpus";

	return cmocka_run_group_tests(tests, NULL, NULL);
}
