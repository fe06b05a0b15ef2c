/* SPDX-License-Identifier: Apache-2.0 */
/* An LZ4 block (lz4/lz4, doc/lz4_Block_format.md): sequences of a token, literals, a 16-bit offset and a length. */
#include <errno.h>
#include <string.h>

#include "base/codec.h"
#include "base/error.h"

static int damaged(void)
{
	return fl_fail(-EBADMSG, "lz4: damaged, or not as long as announced");
}

/* Lengths of 15 go on in bytes until one is not 255. False: they run out. */
static bool more_length(const uint8_t **p, const uint8_t *end, size_t *length)
{
	uint8_t b;

	do {
		if (*p == end)
			return false;
		b = *(*p)++;
		*length += b;
	} while (b == 255);
	return true;
}

int fl_lz4_decompress(const void *data, size_t n, void *out, size_t n_out)
{
	const uint8_t *p = data, *end = p + n;
	uint8_t *o = out, *o_end = o + n_out;

	while (p < end) {
		uint8_t token = *p++;
		size_t length = token >> 4, back;

		if (length == 15 && !more_length(&p, end, &length))
			return damaged();
		if (length > (size_t)(end - p) || length > (size_t)(o_end - o))
			return damaged();
		if (length)
			memcpy(o, p, length);
		o += length;
		p += length;
		if (p == end) /* the last sequence has no match */
			break;
		if (end - p < 2)
			return damaged();
		back = (size_t)p[0] | (size_t)p[1] << 8;
		p += 2;
		length = token & 15;
		if (length == 15 && !more_length(&p, end, &length))
			return damaged();
		length += 4;
		if (!back || back > (size_t)(o - (uint8_t *)out) || length > (size_t)(o_end - o))
			return damaged();
		fl_copy_match(o, back, length, o_end);
		o += length;
	}
	return o == o_end ? 0 : damaged();
}
