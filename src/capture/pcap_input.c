/* SPDX-License-Identifier: Apache-2.0 */
#include "capture/pcap_input.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include "base/error.h"
#include "base/mem.h"

#define RAW_BYTES FL_INPUT_HEAD
#define WINDOW_BYTES (FL_INPUT_MAX + RAW_BYTES)
#define MAP_BYTES (4 * (size_t)FL_INPUT_MAX) /* of a mapped file at hand at a time */

enum packing { PACK_NONE, PACK_GZIP, PACK_ZSTD };

struct fl_input {
	struct fl_input_view view; /* first: see fl_input_view() */
	int fd;
	char *name;
	enum packing packing;
	bool raw_end, end, mid_member; /* mid_member: a compressed stream has begun and not ended */
	int fault;                     /* met, and to be reported once the window is empty */
	uint8_t *raw, *window;
	size_t raw_at, raw_n;
	const uint8_t *base; /* byte number base_offset of the input */
	uint64_t base_offset;
	uint8_t *map; /* a plain regular file is mapped: copying it costs as much as metering it */
	size_t map_len, map_dropped;
	z_stream gz;
	ZSTD_DStream *zstd;
};

/* Offset of the end of what is unpacked so far. */
static uint64_t end_offset(const struct fl_input *in)
{
	return in->base_offset + (uint64_t)(in->view.end - in->base);
}

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
			       (unsigned long long)(end_offset(in) + *ret_n));
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
			       (unsigned long long)(end_offset(in) + *ret_n), ZSTD_getErrorName(r));
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

/*
 * A mapped file that somebody cuts while it is read raises SIGBUS. The handler puts zeros where the file was and notes
 * it; the reader then reports a fault instead of dying. There is one range: of several captures read at the same time
 * the first is mapped, the others are read.
 */
static struct {
	atomic_flag taken;
	uint8_t *map;
	size_t len;
	volatile sig_atomic_t cut;
	struct sigaction before;
} guarded = {.taken = ATOMIC_FLAG_INIT};

static void on_bus_error(int number, siginfo_t *info, void *context)
{
	uintptr_t at = (uintptr_t)info->si_addr & ~(uintptr_t)4095;

	(void)number;
	(void)context;
	if (at >= (uintptr_t)guarded.map && at < (uintptr_t)guarded.map + guarded.len &&
	    mmap((void *)at, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != MAP_FAILED) {
		guarded.cut = 1;
		return;
	}
	sigaction(SIGBUS, &guarded.before, NULL);
}

/* Leaves the input unmapped when it is no plain regular file: then it is read. */
static void map_file(struct fl_input *in)
{
	struct sigaction action = {.sa_sigaction = on_bus_error, .sa_flags = SA_SIGINFO};
	struct stat st;
	void *map;

	if (in->packing != PACK_NONE || fstat(in->fd, &st) || !S_ISREG(st.st_mode) || st.st_size <= 0 ||
	    lseek(in->fd, 0, SEEK_CUR) != (off_t)in->raw_n || atomic_flag_test_and_set(&guarded.taken))
		return;
	map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, in->fd, 0);
	if (map != MAP_FAILED && sigaction(SIGBUS, &action, &guarded.before)) {
		munmap(map, (size_t)st.st_size);
		map = MAP_FAILED;
	}
	if (map == MAP_FAILED) {
		atomic_flag_clear(&guarded.taken);
		return;
	}
	madvise(map, (size_t)st.st_size, MADV_SEQUENTIAL);
	in->map = map;
	in->map_len = (size_t)st.st_size;
	in->base = in->view.at = in->view.end = map;
	guarded.map = map;
	guarded.len = in->map_len;
	guarded.cut = 0;
}

int fl_input_open_fd(struct fl_input **ret, int fd, const char *name, const void *head, size_t n)
{
	FL_CLEANUP(fl_input_close) struct fl_input *in = calloc(1, sizeof *in);
	int r;

	if (!in) {
		fl_closep(&fd);
		return -ENOMEM;
	}
	in->fd = fd;
	in->name = strdup(name);
	in->raw = malloc(RAW_BYTES);
	if (!in->name || !in->raw)
		return -ENOMEM;
	in->raw_n = FL_MIN(n, (size_t)RAW_BYTES);
	if (in->raw_n)
		memcpy(in->raw, head, in->raw_n);
	r = detect(in);
	if (r)
		return r;
	map_file(in);
	if (!in->map) {
		in->window = malloc(WINDOW_BYTES);
		if (!in->window)
			return -ENOMEM;
		in->base = in->view.at = in->view.end = in->window;
	}
	*ret = in;
	in = NULL;
	return 0;
}

int fl_input_open(struct fl_input **ret, const char *path)
{
	bool standard = !strcmp(path, "-");
	const char *name = standard ? "standard input" : path;
	int fd = standard ? dup(STDIN_FILENO) : open(path, O_RDONLY | O_CLOEXEC);

	return fd < 0 ? fl_fail(-errno, "%s: %m", name) : fl_input_open_fd(ret, fd, name, NULL, 0);
}

void fl_input_close(struct fl_input **input)
{
	struct fl_input *in = *input;

	if (!in)
		return;
	if (in->packing == PACK_GZIP)
		inflateEnd(&in->gz);
	ZSTD_freeDStream(in->zstd);
	if (in->map) {
		sigaction(SIGBUS, &guarded.before, NULL);
		guarded.map = NULL;
		munmap(in->map, in->map_len);
		atomic_flag_clear(&guarded.taken);
	}
	fl_closep(&in->fd);
	free(in->name);
	free(in->raw);
	free(in->window);
	free(in);
	*input = NULL;
}

static int fill(struct fl_input *in)
{
	uint8_t *end = in->window + (in->view.end - in->window);
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
	r = unpackers[in->packing](in, end, (size_t)(in->window + WINDOW_BYTES - end), &n);
	in->view.end += n;
	return r;
}

/* The view moves on; what lies behind it goes, so that a large file does not look like memory in use. */
static int peek_map(struct fl_input *in, size_t n)
{
	size_t at = (size_t)(in->view.at - in->map), wanted = FL_MAX(n, MAP_BYTES),
	       end = FL_MIN(in->map_len, at + wanted);
	size_t drop = (at - in->map_dropped) & ~(size_t)4095;

	if (guarded.cut)
		return fl_fail(-EIO, "%s: the file became shorter while it was read, near offset %zu", in->name, at);
	if (drop >= MAP_BYTES / 2) {
		madvise(in->map + in->map_dropped, drop, MADV_DONTNEED);
		in->map_dropped += drop;
	}
#ifdef MADV_POPULATE_READ
	/* One call for many pages instead of a fault for every sixteen; where the kernel is too old they fault. */
	madvise(in->map + (at & ~(size_t)4095), end - (at & ~(size_t)4095), MADV_POPULATE_READ);
#endif
	in->view.end = in->map + end;
	return 0;
}

int fl_input_peek(struct fl_input *in, size_t n, const uint8_t **ret, size_t *ret_have)
{
	size_t have = (size_t)(in->view.end - in->view.at);

	if (have < n && in->map) {
		in->fault = peek_map(in, n);
	} else if (have < n && in->view.at > in->window) {
		memmove(in->window, in->view.at, have);
		in->base_offset += (uint64_t)(in->view.at - in->window);
		in->view.at = in->window;
		in->view.end = in->window + have;
	}
	while (!in->map && (size_t)(in->view.end - in->view.at) < n && !in->end && !in->fault)
		in->fault = fill(in);
	*ret = in->view.at;
	*ret_have = FL_MIN(n, (size_t)(in->view.end - in->view.at));
	return *ret_have < n || in->map ? in->fault : 0;
}

uint64_t fl_input_offset(const struct fl_input *in)
{
	return in->base_offset + (uint64_t)(in->view.at - in->base);
}
