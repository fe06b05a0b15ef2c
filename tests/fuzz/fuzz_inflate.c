/* SPDX-License-Identifier: Apache-2.0 */
/* A file of any bytes, read in pieces that its first byte chooses. What zlib reads to its end without complaint, we
 * read to the same text; and whatever it is, blocks are whole lines. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "base/error.h"
#include "base/mem.h"
#include "scan/inflate.h"
#include "scan/text.h"

#define TEXT_MAX ((size_t)8 << 20) /* a bomb is not read further */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

struct source {
	const uint8_t *p;
	size_t n, step;
};

static ssize_t read_some(void *ctx, void *buf, size_t n)
{
	struct source *s = ctx;
	size_t most = FL_MIN(n, s->step), take = FL_MIN(most, s->n);

	if (take)
		memcpy(buf, s->p, take);
	s->p += take;
	s->n -= take;
	return (ssize_t)take;
}

/* Members up to the end: true when there is nothing else. */
static bool zlib_text(const uint8_t *data, size_t n, struct fl_buf *out)
{
	z_stream z = {.next_in = (Bytef *)(uintptr_t)data, .avail_in = (uInt)n};
	int r = Z_OK;

	if (!n || inflateInit2(&z, 31) != Z_OK)
		return false;
	while (out->len < TEXT_MAX) {
		if (fl_buf_reserve(out, 65536))
			abort();
		z.next_out = (Bytef *)out->data + out->len;
		z.avail_out = 65536;
		r = inflate(&z, Z_NO_FLUSH);
		out->len += 65536 - z.avail_out;
		if (r == Z_STREAM_END && z.avail_in)
			r = inflateReset(&z);
		else if (r != Z_OK || (!z.avail_in && z.avail_out))
			break;
	}
	inflateEnd(&z);
	return r == Z_STREAM_END && !z.avail_in;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct fl_buf ours FL_CLEANUP(fl_buf_free) = FL_BUF(TEXT_MAX * 2),
			   theirs FL_CLEANUP(fl_buf_free) = FL_BUF(TEXT_MAX * 2);
	struct source s;
	struct fl_blocks *b = NULL;
	const char *text;
	size_t got;
	bool last;
	int r;

	if (!n)
		return 0;
	s = (struct source){data + 1, n - 1, (size_t)1 + *data};
	if (fl_blocks_new(&b, 1))
		abort();
	r = fl_blocks_open(b, &(struct fl_bytes){read_some, &s});
	while (!r && ours.len < TEXT_MAX) {
		r = fl_blocks_next(b, &text, &got, &last);
		if (r != 1)
			break;
		if (!last && (!got || (text[got - 1] != '\n' && got <= FL_TEXT_LINE_MAX)))
			abort();
		if (fl_buf_add(&ours, text, got))
			abort();
		r = 0;
	}
	if (r < 0 && !*fl_error_text(r))
		abort();
	if (ours.len < TEXT_MAX && fl_blocks_coding(b) == FL_CODING_GZIP && zlib_text(data + 1, n - 1, &theirs) &&
	    (r || ours.len != theirs.len || (ours.len && memcmp(ours.data, theirs.data, ours.len))))
		abort();
	fl_blocks_free(&b);
	return 0;
}
