/* SPDX-License-Identifier: Apache-2.0 */
#include "scan/inflate.h"

#include <errno.h>
#include <isa-l/igzip_lib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zstd.h>

#include "base/cpu.h"
#include "base/error.h"
#include "base/mem.h"
#include "scan/text.h"

#define STORED_BYTES ((size_t)64 << 10) /* read of a packed file at once */
#define ZSTD_WINDOW_LOG 27              /* 128 MiB: what zstd itself takes without being asked to */

struct fl_blocks {
	struct fl_bytes from;
	int fd; /* of fl_blocks_open_fd */
	bool sequential;
	uint64_t offset; /* of the next read from fd */
	uint64_t stored;

	enum fl_coding coding;
	struct inflate_state *gzip;
	bool in_member; /* gzip, zstd: a member or frame has begun and not ended */
	ZSTD_DStream *zstd;
	uint8_t *in; /* STORED_BYTES: stored and not yet unpacked */
	size_t in_at, in_n;
	bool in_end;

	char *text;               /* size, and FL_TEXT_PAD */
	size_t size, begin, have; /* [0, begin) was handed out */
	bool dropping;            /* part: the line in which it begins is not ours */
	bool within;              /* what was handed out ends within a line */
	uint64_t left;            /* part: bytes from text[0] up to `to`; else UINT64_MAX */
	bool ended;
	int fault; /* told when the lines before it were handed out */
	char fault_text[256];
};

enum fl_coding fl_coding_of(const void *head, size_t n)
{
	const uint8_t *h = head;

	if (n >= 2 && h[0] == 0x1f && h[1] == 0x8b)
		return FL_CODING_GZIP;
	/* A frame, or a skippable one (RFC 8878 section 3.1) */
	if (n >= 4 && ((h[0] == 0x28 && h[1] == 0xb5 && h[2] == 0x2f && h[3] == 0xfd) ||
		       ((h[0] & 0xf0) == 0x50 && h[1] == 0x2a && h[2] == 0x4d && h[3] == 0x18)))
		return FL_CODING_ZSTD;
	return FL_CODING_PLAIN;
}

int fl_blocks_new(struct fl_blocks **ret, size_t block_bytes)
{
	struct fl_blocks *b FL_CLEANUP(fl_blocks_free) = calloc(1, sizeof *b);

	if (!b)
		return -ENOMEM;
	/* A line that may be a record fits, whatever stands before it. */
	b->size = FL_MAX(block_bytes ? block_bytes : FL_BLOCK_BYTES, (size_t)2 * (FL_TEXT_LINE_MAX + 1));
	b->text = malloc(b->size + FL_TEXT_PAD);
	b->in = malloc(STORED_BYTES);
	b->gzip = malloc(sizeof *b->gzip);
	if (!b->text || !b->in || !b->gzip)
		return -ENOMEM;
	memset(b->text + b->size, 0, FL_TEXT_PAD);
	*ret = b;
	b = NULL;
	return 0;
}

void fl_blocks_free(struct fl_blocks **b)
{
	if (!*b)
		return;
	ZSTD_freeDStream((*b)->zstd);
	free((*b)->gzip);
	free((*b)->in);
	free((*b)->text);
	free(*b);
	*b = NULL;
}

enum fl_coding fl_blocks_coding(const struct fl_blocks *b)
{
	return b->coding;
}

uint64_t fl_blocks_stored(const struct fl_blocks *b)
{
	return b->stored;
}

/* ---- stored bytes ---- */

static ssize_t read_fd(void *ctx, void *buf, size_t n)
{
	struct fl_blocks *b = ctx;
	ssize_t got;

	do
		got = b->sequential ? read(b->fd, buf, n) : pread(b->fd, buf, n, (off_t)b->offset);
	while (got < 0 && errno == EINTR);
	if (got < 0)
		return fl_fail(-errno, "%s", strerror(errno));
	b->offset += (uint64_t)got;
	return got;
}

/* Up to n bytes of what is stored, fewer only at the end. */
static int read_stored(struct fl_blocks *b, void *buf, size_t n, size_t *ret_n)
{
	for (*ret_n = 0; *ret_n < n && !b->in_end;) {
		ssize_t got = b->from.read(b->from.ctx, (char *)buf + *ret_n, n - *ret_n);

		if (got < 0) {
			b->in_end = true;
			return (int)got;
		}
		b->in_end = !got;
		*ret_n += (size_t)got;
		b->stored += (uint64_t)got;
	}
	return 0;
}

static int refill(struct fl_blocks *b)
{
	b->in_at = 0;
	return read_stored(b, b->in, STORED_BYTES, &b->in_n);
}

/* What is not unpacked yet has enough bytes to tell what it is, if there are as many. */
static int look(struct fl_blocks *b)
{
	size_t kept = b->in_n - b->in_at, more = 0;
	int r;

	if (kept >= FL_CODING_HEAD)
		return 0;
	memmove(b->in, b->in + b->in_at, kept);
	r = read_stored(b, b->in + kept, STORED_BYTES - kept, &more);
	b->in_at = 0;
	b->in_n = kept + more;
	return r;
}

/* ---- unpackers: text into [out, out + n), fewer only at the end or with an error ---- */

static int unpack_plain(struct fl_blocks *b, char *out, size_t n, size_t *ret_n)
{
	size_t have = FL_MIN(n, b->in_n - b->in_at), more = 0;
	int r;

	memcpy(out, b->in + b->in_at, have);
	b->in_at += have;
	r = read_stored(b, out + have, n - have, &more);
	*ret_n = have + more;
	return r;
}

/* Zeros behind the last member are padding (of tapes, and of some uploaders). */
static int behind_members(struct fl_blocks *b, const char *what)
{
	int r = 0;

	do {
		for (; b->in_at < b->in_n; b->in_at++)
			if (b->in[b->in_at])
				return fl_fail(-EBADMSG, "what follows the %s data is none; it was not read", what);
		r = refill(b);
	} while (!r && b->in_n);
	return r;
}

/* One call of the library. 0, or -EBADMSG. */
static int inflate_some(struct fl_blocks *b, struct inflate_state *z)
{
	int code;

	z->next_in = b->in + b->in_at;
	z->avail_in = (uint32_t)(b->in_n - b->in_at);
	code = isal_inflate(z);
	fl_clear_upper_halves();
	b->in_at = b->in_n - z->avail_in;
	if (code == ISAL_INCORRECT_CHECKSUM)
		return fl_fail(-EBADMSG, "the gzip checksum is wrong: what was read of this file may be so too");
	return code < 0 ? fl_fail(-EBADMSG, "the gzip data is corrupt") : 0;
}

static int truncated(const struct fl_blocks *b, const char *what)
{
	return fl_fail(-EBADMSG, "the %s data is truncated: it ends after %llu bytes", what,
		       (unsigned long long)b->stored);
}

/* The next n bytes that are not unpacked yet; keep may be NULL. */
static int take_bytes(struct fl_blocks *b, uint8_t *keep, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		int r = b->in_at == b->in_n ? refill(b) : 0;

		if (r)
			return r;
		if (!b->in_n)
			return truncated(b, "gzip");
		if (keep)
			keep[i] = b->in[b->in_at];
		b->in_at++;
	}
	return 0;
}

static int skip_name(struct fl_blocks *b)
{
	uint8_t byte = 1;
	int r = 0;

	while (!r && byte)
		r = take_bytes(b, &byte, 1);
	return r;
}

/* RFC 1952 section 2.3.1. ISA-L 2.30 loses the header's checksum when the header comes in two pieces. */
static int skip_header(struct fl_blocks *b)
{
	enum { HCRC = 2, EXTRA = 4, NAME = 8, COMMENT = 16, RESERVED = 0xe0 };
	uint8_t h[10], size[2];
	int r = take_bytes(b, h, sizeof h);

	if (!r && (h[2] != 8 || h[3] & RESERVED))
		return fl_fail(-EBADMSG, "the gzip header names a method or an option that does not exist");
	if (!r && h[3] & EXTRA) {
		r = take_bytes(b, size, sizeof size);
		if (!r)
			r = take_bytes(b, NULL, (size_t)size[0] | (size_t)size[1] << 8);
	}
	if (!r && h[3] & NAME)
		r = skip_name(b);
	if (!r && h[3] & COMMENT)
		r = skip_name(b);
	return !r && h[3] & HCRC ? take_bytes(b, NULL, 2) : r;
}

/* Between members. 1: another one has begun, 0: that was all. */
static int next_member(struct fl_blocks *b)
{
	int r = look(b);

	if (r || b->in_at == b->in_n)
		return r;
	if (fl_coding_of(b->in + b->in_at, b->in_n - b->in_at) != FL_CODING_GZIP)
		return behind_members(b, "gzip");
	r = skip_header(b);
	if (r)
		return r;
	isal_inflate_init(b->gzip);
	b->gzip->crc_flag = ISAL_GZIP_NO_HDR_VER; /* the header is read, the trailer is checked */
	b->in_member = true;
	return 1;
}

static int unpack_gzip(struct fl_blocks *b, char *out, size_t n, size_t *ret_n)
{
	struct inflate_state *z = b->gzip;
	int r = 0;

	for (*ret_n = 0; *ret_n < n;) {
		size_t room = FL_MIN(n - *ret_n, (size_t)UINT32_MAX);

		if (!b->in_member) {
			r = next_member(b);
			if (r <= 0)
				return r;
		}
		z->next_out = (uint8_t *)out + *ret_n;
		z->avail_out = (uint32_t)room;
		r = inflate_some(b, z);
		*ret_n += room - z->avail_out;
		if (r)
			return r;
		if (z->block_state == ISAL_BLOCK_FINISH) {
			b->in_member = false;
			continue;
		}
		if (!z->avail_out || b->in_at < b->in_n)
			continue;
		r = refill(b);
		if (r)
			return r;
		if (!b->in_n)
			return truncated(b, "gzip");
	}
	return 0;
}

static int unpack_zstd(struct fl_blocks *b, char *out, size_t n, size_t *ret_n)
{
	ZSTD_outBuffer to = {out, n, 0};
	int r = 0;

	while (!r && to.pos < n) {
		ZSTD_inBuffer from = {b->in, b->in_n, b->in_at};
		size_t before = to.pos, code;

		if (b->in_at == b->in_n && !b->in_end) {
			r = refill(b);
			continue;
		}
		if (!b->in_member) {
			r = look(b);
			if (r || b->in_at == b->in_n)
				break;
			if (fl_coding_of(b->in + b->in_at, b->in_n - b->in_at) != FL_CODING_ZSTD) {
				r = behind_members(b, "zstd");
				break;
			}
			from = (ZSTD_inBuffer){b->in, b->in_n, b->in_at};
		}
		code = ZSTD_decompressStream(b->zstd, &to, &from);
		b->in_at = from.pos;
		if (ZSTD_isError(code)) {
			r = fl_fail(-EBADMSG, "the zstd data is corrupt: %s", ZSTD_getErrorName(code));
		} else {
			b->in_member = code != 0;
			if (b->in_member && to.pos == before && b->in_at == b->in_n && b->in_end)
				r = truncated(b, "zstd");
		}
	}
	*ret_n = to.pos;
	return r;
}

/* ---- files ---- */

static int begin(struct fl_blocks *b)
{
	int r;

	b->stored = 0;
	b->in_at = b->in_n = b->begin = b->have = 0;
	b->in_end = b->in_member = b->within = b->dropping = b->ended = false;
	b->left = UINT64_MAX;
	b->fault = 0;
	r = read_stored(b, b->in, FL_CODING_HEAD, &b->in_n);
	if (r)
		return r;
	b->coding = fl_coding_of(b->in, b->in_n);
	if (b->coding != FL_CODING_ZSTD)
		return 0;
	if (!b->zstd)
		b->zstd = ZSTD_createDStream();
	if (!b->zstd)
		return -ENOMEM;
	ZSTD_DCtx_reset(b->zstd, ZSTD_reset_session_and_parameters);
	ZSTD_DCtx_setParameter(b->zstd, ZSTD_d_windowLogMax, ZSTD_WINDOW_LOG);
	return 0;
}

int fl_blocks_open(struct fl_blocks *b, const struct fl_bytes *from)
{
	b->from = *from;
	return begin(b);
}

int fl_blocks_open_fd(struct fl_blocks *b, int fd)
{
	b->from = (struct fl_bytes){read_fd, b};
	b->fd = fd;
	b->offset = 0;
	b->sequential = lseek(fd, 0, SEEK_CUR) < 0;
	return begin(b);
}

int fl_blocks_open_part(struct fl_blocks *b, int fd, uint64_t from, uint64_t to)
{
	/* A line that begins at `from` is ours: the byte before tells. */
	uint64_t first = from ? from - 1 : 0;

	b->from = (struct fl_bytes){read_fd, b};
	b->fd = fd;
	b->offset = first;
	b->sequential = false;
	b->stored = 0;
	b->in_at = b->in_n = b->begin = b->have = 0;
	b->in_end = b->within = false;
	b->coding = FL_CODING_PLAIN;
	b->dropping = from > 0;
	b->left = to > first ? to - first : 0;
	b->ended = from >= to;
	b->fault = 0;
	return 0;
}

static int unpack(struct fl_blocks *b, char *out, size_t n, size_t *ret_n)
{
	*ret_n = 0;
	switch (b->coding) {
	case FL_CODING_PLAIN:
		return unpack_plain(b, out, n, ret_n);
	case FL_CODING_GZIP:
		return unpack_gzip(b, out, n, ret_n);
	case FL_CODING_ZSTD:
		return unpack_zstd(b, out, n, ret_n);
	}
	return -EINVAL;
}

/* What was handed out goes, the begun line moves to the front, more text follows it. */
static void fill(struct fl_blocks *b)
{
	size_t more = 0, room;
	int r;

	memmove(b->text, b->text + b->begin, b->have - b->begin);
	if (b->left != UINT64_MAX)
		b->left -= FL_MIN(b->left, (uint64_t)b->begin);
	b->have -= b->begin;
	b->begin = 0;
	room = b->size - b->have;
	r = unpack(b, b->text + b->have, room, &more);
	b->have += more;
	if (r < 0) {
		b->fault = r;
		snprintf(b->fault_text, sizeof b->fault_text, "%s", fl_error_text(r));
	}
	b->ended = more < room;
}

/* Of a part: true when the end of its last line is there; what follows is cut off. */
static bool end_of_part(struct fl_blocks *b)
{
	size_t from = b->left ? (size_t)FL_MIN(b->left - 1, (uint64_t)b->have) : 0;
	const char *end = b->left == UINT64_MAX ? NULL : memchr(b->text + from, '\n', b->have - from);

	if (!end)
		return false;
	b->have = (size_t)(end - b->text) + 1;
	b->ended = true;
	return true;
}

/* Of a part: up to the first line that begins in it. False: there is nothing of ours in the block. */
static bool drop(struct fl_blocks *b)
{
	const char *end = memchr(b->text, '\n', b->have);

	b->begin = end ? (size_t)(end - b->text) + 1 : b->have;
	b->dropping = !end;
	return end != NULL;
}

int fl_blocks_next(struct fl_blocks *b, const char **ret_data, size_t *ret_n, bool *ret_last)
{
	const char *end;
	size_t from;

	*ret_n = 0;
	*ret_last = false;
	do {
		if (b->fault)
			return fl_fail(b->fault, "%s", b->fault_text);
		if (b->ended)
			return 0;
		fill(b);
	} while (b->dropping && !drop(b));
	if (b->left <= b->begin && !b->within) {
		/* The line in which the part begins is longer than the part. */
		b->ended = true;
		*ret_data = b->text;
		*ret_last = true;
		return 1;
	}
	from = b->begin;
	*ret_data = b->text + from;
	if (!b->fault && (end_of_part(b) || b->ended)) {
		*ret_n = b->have - from;
		*ret_last = true;
		return 1;
	}
	end = memrchr(*ret_data, '\n', b->have - from);
	if (!end && b->fault)
		return fl_fail(b->fault, "%s", b->fault_text);
	b->begin = end ? (size_t)(end - b->text) + 1 : b->have;
	*ret_n = b->begin - from;
	b->within = !end;
	return 1;
}
