/* SPDX-License-Identifier: Apache-2.0 */
/* Frames of any link type. Byte 0: link type, byte 1: options, the rest is the frame. The fast path agrees with the
 * slow one. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "flow/decode_fast.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void require(bool good)
{
	if (!good)
		abort();
}

static void compare(const uint8_t *frame, size_t n, const struct fl_frame_meta *meta)
{
	struct fl_frame_meta plain = {.wire_len = meta->wire_len, .time_ns = meta->time_ns};
	struct fl_obs fast = {0};
	struct fl_packet slow;
	int16_t icmp_type;

	if (!fl_decode_fast(frame, n, &fast, &icmp_type))
		return;
	require(fl_decode(FL_LINK_ETHERNET, frame, n, &plain, false, NULL, &slow) == FL_DECODED_IP);
	require(!memcmp(&fast.key, &slow.key, sizeof fast.key) && fast.bytes == slow.bytes &&
		fast.packets == slow.packets && fast.tcp == slow.tcp && icmp_type == slow.icmp_type && !slow.fragment);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct fl_fragments *fragments = NULL;
	struct fl_frame_meta meta = {.time_ns = 1};
	struct fl_packet p, again;

	if (n < 2)
		return 0;
	require(!fl_fragments_new(&fragments, 16, FL_FRAGMENT_TIMEOUT_NS, 3));
	meta.wire_len = (uint32_t)(n - 2);
	if (data[1] & 2)
		meta.gso_segs = data[1] >> 4;
	if (data[1] & 4)
		meta.gso_size = 1u + data[1];
	for (unsigned round = 0; round < 2; round++)
		if (fl_decode((enum fl_link)(data[0] % FL_LINK_N), data + 2, n - 2, &meta, data[1] & 1, fragments,
			      round ? &again : &p) == FL_DECODED_IP)
			require((round ? &again : &p)->packets >= 1 && (round ? &again : &p)->bytes >= 20);
	compare(data + 2, n - 2, &meta);
	fl_fragments_free(&fragments);
	return 0;
}
