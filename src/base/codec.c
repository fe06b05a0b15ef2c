/* SPDX-License-Identifier: Apache-2.0 */
#include "base/codec.h"

#include <errno.h>
#include <libdeflate.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#include "base/error.h"

#define ZSTD_LEVEL 1    /* 3 costs half as much again for 2 % of a flow log's columns */
#define DEFLATE_LEVEL 4 /* as above: 6 is half as fast */

const char *const fl_codec_names[FL_CODEC_N] = {"none", "snappy", "gzip", "zstd", "lz4"};

struct fl_coder {
	ZSTD_CCtx *zstd;
	ZSTD_DCtx *unzstd;
	struct libdeflate_compressor *deflate;
	int deflate_level;
	struct libdeflate_decompressor *inflate;
	uint16_t *snappy;
};

int fl_coder_new(struct fl_coder **ret)
{
	*ret = calloc(1, sizeof **ret);
	return *ret ? 0 : fl_fail(-ENOMEM, "no memory to compress");
}

void fl_coder_free(struct fl_coder **c)
{
	if (!*c)
		return;
	ZSTD_freeCCtx((*c)->zstd);
	ZSTD_freeDCtx((*c)->unzstd);
	libdeflate_free_compressor((*c)->deflate);
	libdeflate_free_decompressor((*c)->inflate);
	free((*c)->snappy);
	free(*c);
	*c = NULL;
}

/* ---- out ---- */

static int to_zstd(struct fl_coder *c, int level, const void *data, size_t n, struct fl_buf *out)
{
	size_t room = ZSTD_compressBound(n), did;
	int r = fl_buf_reserve(out, room);

	if (r)
		return r;
	if (!c->zstd)
		c->zstd = ZSTD_createCCtx();
	if (!c->zstd)
		return fl_fail(-ENOMEM, "no memory to compress");
	did = ZSTD_compressCCtx(c->zstd, out->data + out->len, room, data, n, level ? level : ZSTD_LEVEL);
	if (ZSTD_isError(did))
		return fl_fail(-EIO, "zstd: %s", ZSTD_getErrorName(did));
	out->len += did;
	return 0;
}

static int to_gzip(struct fl_coder *c, int level, const void *data, size_t n, struct fl_buf *out)
{
	size_t room, did;
	int r;

	level = level ? level : DEFLATE_LEVEL;
	if (level != c->deflate_level) {
		libdeflate_free_compressor(c->deflate);
		c->deflate = libdeflate_alloc_compressor(level);
		c->deflate_level = level;
	}
	if (!c->deflate) {
		c->deflate_level = 0;
		return fl_fail(level > 12 ? -EINVAL : -ENOMEM, "gzip has levels 1 to 12, or there is no memory");
	}
	room = libdeflate_gzip_compress_bound(c->deflate, n);
	r = fl_buf_reserve(out, room);
	if (r)
		return r;
	did = libdeflate_gzip_compress(c->deflate, data, n, out->data + out->len, room);
	if (!did)
		return fl_fail(-EIO, "gzip: a block did not fit");
	out->len += did;
	return 0;
}

int fl_compress(struct fl_coder *c, enum fl_codec codec, int level, const void *data, size_t n, struct fl_buf *out)
{
	switch (codec) {
	case FL_CODEC_NONE:
		return fl_buf_add(out, data, n);
	case FL_CODEC_SNAPPY:
		if (!c->snappy)
			c->snappy = calloc((size_t)1 << FL_SNAPPY_TABLE_BITS, sizeof *c->snappy);
		return c->snappy ? fl_snappy_compress(c->snappy, data, n, out) : -ENOMEM;
	case FL_CODEC_GZIP:
		return to_gzip(c, level, data, n, out);
	case FL_CODEC_ZSTD:
		return to_zstd(c, level, data, n, out);
	case FL_CODEC_LZ4:
	case FL_CODEC_N:
		break;
	}
	return fl_fail(-ENOTSUP, "codec %d is not for writing", (int)codec);
}

/* ---- in ---- */

static int from_zstd(struct fl_coder *c, const void *data, size_t n, void *out, size_t n_out)
{
	size_t did;

	if (!c->unzstd)
		c->unzstd = ZSTD_createDCtx();
	if (!c->unzstd)
		return fl_fail(-ENOMEM, "no memory to decompress");
	did = ZSTD_decompressDCtx(c->unzstd, out, n_out, data, n);
	if (ZSTD_isError(did))
		return fl_fail(-EBADMSG, "zstd: %s", ZSTD_getErrorName(did));
	return did == n_out ? 0 : fl_fail(-EBADMSG, "zstd: %zu bytes instead of %zu", did, n_out);
}

/* One member or several. */
static int from_gzip(struct fl_coder *c, const void *data, size_t n, void *out, size_t n_out)
{
	const char *in = data;
	char *to = out;

	if (!c->inflate)
		c->inflate = libdeflate_alloc_decompressor();
	if (!c->inflate)
		return fl_fail(-ENOMEM, "no memory to decompress");
	do {
		size_t took, gave;

		if (libdeflate_gzip_decompress_ex(c->inflate, in, n, to, n_out, &took, &gave) != LIBDEFLATE_SUCCESS)
			return fl_fail(-EBADMSG, "gzip: damaged, or not as long as announced");
		in += took;
		n -= took;
		to += gave;
		n_out -= gave;
	} while (n);
	return n_out ? fl_fail(-EBADMSG, "gzip: %zu bytes are missing", n_out) : 0;
}

int fl_decompress(struct fl_coder *c, enum fl_codec codec, const void *data, size_t n, void *out, size_t n_out)
{
	switch (codec) {
	case FL_CODEC_NONE:
		if (n != n_out)
			return fl_fail(-EBADMSG, "%zu bytes where %zu were announced", n, n_out);
		if (n)
			memcpy(out, data, n);
		return 0;
	case FL_CODEC_SNAPPY:
		return fl_snappy_decompress(data, n, out, n_out);
	case FL_CODEC_GZIP:
		return from_gzip(c, data, n, out, n_out);
	case FL_CODEC_ZSTD:
		return from_zstd(c, data, n, out, n_out);
	case FL_CODEC_LZ4:
		return fl_lz4_decompress(data, n, out, n_out);
	case FL_CODEC_N:
		break;
	}
	return fl_fail(-ENOTSUP, "codec %d is not known", (int)codec);
}
