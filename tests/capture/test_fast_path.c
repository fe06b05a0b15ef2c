/* SPDX-License-Identifier: Apache-2.0 */
/* Every Ethernet frame of the corpus through both decoders: where the fast one answers it gives the slow one's answer.
 */
#include <fts.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "capture/capture.h"
#include "flow/decode_fast.h"

static char **folders;

struct count {
	unsigned long frames, fast;
};

static void compare(const struct fl_pcap_packet *in, struct count *count)
{
	struct fl_frame_meta meta = {.wire_len = in->wire_len, .time_ns = in->time_ns};
	/* Exactly the captured bytes, so that the sanitizer sees a read beyond them. */
	uint8_t *frame = malloc(in->caplen ? in->caplen : 1);
	struct fl_obs fast = {0};
	struct fl_packet slow;
	int16_t icmp_type;

	assert_non_null(frame);
	memcpy(frame, in->data, in->caplen);
	count->frames++;
	if (fl_decode_fast(frame, in->caplen, &fast, &icmp_type)) {
		count->fast++;
		assert_int_equal(fl_decode(in->link, frame, in->caplen, &meta, false, NULL, &slow), FL_DECODED_IP);
		assert_memory_equal(&fast.key, &slow.key, sizeof fast.key);
		assert_int_equal(fast.bytes, slow.bytes);
		assert_int_equal(fast.packets, slow.packets);
		assert_int_equal(fast.tcp, slow.tcp);
		assert_int_equal(icmp_type, slow.icmp_type);
		assert_false(slow.fragment || slow.ports_unknown);
	}
	free(frame);
}

static void both_decoders_agree(void **state)
{
	struct fl_pcap_packet packet;
	struct count count = {0};
	FTSENT *e;
	FTS *fts = NULL;

	(void)state;
	if (!*folders || !(fts = fts_open(folders, FTS_PHYSICAL | FTS_NOCHDIR, NULL)))
		skip();
	while ((e = fts_read(fts))) {
		struct fl_pcap *p = NULL;

		if (e->fts_info != FTS_F || fl_pcap_open(&p, e->fts_path))
			continue;
		while (fl_pcap_next(p, &packet) > 0)
			if (packet.link == FL_LINK_ETHERNET)
				compare(&packet, &count);
		fl_pcap_close(&p);
	}
	fts_close(fts);
	if (!count.frames)
		skip(); /* the corpus is not there */
	assert_true(count.frames > 50000);
	/* It would be pointless if it rarely answered. */
	assert_true(count.fast > count.frames / 2);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(both_decoders_agree)};

	(void)argc;
	folders = argv + 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
