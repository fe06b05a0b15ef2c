/* SPDX-License-Identifier: Apache-2.0 */
#include "capture/pcap_input.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include "base/error.h"
#include "base/mem.h"

#define RAW_BYTES (1u << 20)
#define WINDOW_BYTES (FL_INPUT_MAX + RAW_BYTES)

enum packing { PACK_NONE, PACK_GZIP, PACK_ZSTD };

struct fl_input {
	int fd;
	char *name;
	enum packing packing;
	bool raw_end, end, mid_member; /* mid_member: a compressed stream has begun and not ended */
	int fault;		       /* met, and to be reported once the window is empty */
	uint8_t *raw, *window;
	size_t raw_at, raw_n, at, n;
	uint64_t offset;
	z_stream gz;
	ZSTD_DStream *zstd;
};

static int fill_raw(struct fl_input *in)
{
	ssize_t n;

	if (in->raw_at < in->raw_n || in->raw_end)
		return 0;
	do
		n = read(in->fd, in->raw, RAW_BYTES);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return fl_fail(-errno, "%s: %m", in->name);
	in->raw_at = 0;
	in->raw_n = (size_t)n;
	in->raw_end = !n;
	return 0;
}

static int unpack_none(struct fl_input *in, uint8_t *out, size_t room, size_t *ret_n)
{
	*ret_n = FL_MIN(room, in->raw_n - in->raw_at);
	memcpy(out, in->raw + in->raw_at, *ret_n);
	in->raw_at += *ret_n;
	return 0;
}

/* Members one after another, as RFC 1952 section 2.2 has it. */
static int unpack_gzip(struct fl_input *in, uint8_t *out, size_t room, size_t *ret_n)
{
	int r;

	in->gz.next_in = in->raw + in->raw_at;
	in->gz.avail_in = (uInt)(in->raw_n - in->raw_at);
	in->gz.next_out = out;
	in->gz.avail_out = (uInt)room;
	in->mid_member = true;
	r = inflate(&in->gz, Z_NO_FLUSH);
	in->raw_at = in->raw_n - in->gz.avail_in;
	*ret_n = room - in->gz.avail_out;
	if (r == Z_STREAM_END) {
		in->mid_member = false;
		return inflateReset(&in->gz) == Z_OK ? 0 : -EIO;
	}
	if (r != Z_OK && r != Z_BUF_ERROR)
		return fl_fail(-EBADMSG, "%s: damaged gzip data at offset %llu of what it holds", in->name,
			       (unsigned long long)(in->offset + in->n - in->at + *ret_n));
	return 0;
}

static int unpack_zstd(struct fl_input *in, uint8_t *out, size_t room, size_t *ret_n)
{
	ZSTD_inBuffer from = {.src = in->raw, .size = in->raw_n, .pos = in->raw_at};
	ZSTD_outBuffer to = {.dst = out, .size = room};
	size_t r = ZSTD_decompressStream(in->zstd, &to, &from);

	in->raw_at = from.pos;
	*ret_n = to.pos;
	if (ZSTD_isError(r))
		return fl_fail(-EBADMSG, "%s: damaged zstd data at offset %llu of what it holds (%s)", in->name,
			       (unsigned long long)(in->offset + in->n - in->at + *ret_n), ZSTD_getErrorName(r));
	in->mid_member = r != 0;
	return 0;
}

static int (*const unpackers[])(struct fl_input *, uint8_t *, size_t, size_t *) = {
	[PACK_NONE] = unpack_none, [PACK_GZIP] = unpack_gzip, [PACK_ZSTD] = unpack_zstd};

static int detect(struct fl_input *in)
{
	static const uint8_t gzip[] = {0x1f, 0x8b}, zstd[] = {0x28, 0xb5, 0x2f, 0xfd};
	int r = fill_raw(in);

	if (r)
		return r;
	if (in->raw_n >= sizeof gzip && !memcmp(in->raw, gzip, sizeof gzip)) {
		in->packing = PACK_GZIP;
		/* 15 bits of window, 16: expect a gzip header. */
		return inflateInit2(&in->gz, 15 + 16) == Z_OK ? 0 : -ENOMEM;
	}
	if (in->raw_n >= sizeof zstd && !memcmp(in->raw, zstd, sizeof zstd)) {
		in->packing = PACK_ZSTD;
		in->zstd = ZSTD_createDStream();
		return in->zstd ? 0 : -ENOMEM;
	}
	return 0;
}

int fl_input_open(struct fl_input **ret, const char *path)
{
	FL_CLEANUP(fl_input_close) struct fl_input *in = calloc(1, sizeof *in);
	int r;

	if (!in)
		return -ENOMEM;
	in->fd = -1;
	in->name = strdup(strcmp(path, "-") ? path : "standard input");
	in->raw = malloc(RAW_BYTES);
	in->window = malloc(WINDOW_BYTES);
	if (!in->name || !in->raw || !in->window)
		return -ENOMEM;
	in->fd = strcmp(path, "-") ? open(path, O_RDONLY | O_CLOEXEC) : dup(STDIN_FILENO);
	if (in->fd < 0)
		return fl_fail(-errno, "%s: %m", in->name);
	r = detect(in);
	if (r)
		return r;
	*ret = in;
	in = NULL;
	return 0;
}

void fl_input_close(struct fl_input **input)
{
	struct fl_input *in = *input;

	if (!in)
		return;
	if (in->packing == PACK_GZIP)
		inflateEnd(&in->gz);
	ZSTD_freeDStream(in->zstd);
	fl_closep(&in->fd);
	free(in->name);
	free(in->raw);
	free(in->window);
	free(in);
	*input = NULL;
}

static int fill(struct fl_input *in)
{
	size_t n = 0;
	int r = fill_raw(in);

	if (r)
		return r;
	if (in->raw_end) {
		in->end = true;
		if (in->mid_member)
			return fl_fail(-EBADMSG, "%s: the compressed data ends in the middle", in->name);
		return 0;
	}
	r = unpackers[in->packing](in, in->window + in->n, WINDOW_BYTES - in->n, &n);
	in->n += n;
	return r;
}

int fl_input_peek(struct fl_input *in, size_t n, const uint8_t **ret, size_t *ret_have)
{
	if (in->n - in->at < n && in->at) {
		memmove(in->window, in->window + in->at, in->n - in->at);
		in->n -= in->at;
		in->at = 0;
	}
	while (in->n - in->at < n && !in->end && !in->fault)
		in->fault = fill(in);
	*ret = in->window + in->at;
	*ret_have = FL_MIN(n, in->n - in->at);
	return *ret_have < n ? in->fault : 0;
}

void fl_input_advance(struct fl_input *in, size_t n)
{
	in->at += n;
	in->offset += n;
}

uint64_t fl_input_offset(const struct fl_input *in)
{
	return in->offset;
}
