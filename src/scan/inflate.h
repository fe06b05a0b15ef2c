/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside the room "scan": the text of a file, unpacked, in blocks that fit the second-level cache. One a thread; its
 * memory is the same whatever the file holds. ISA-L in pieces is faster than a whole file at once, by ISA-L or by
 * libdeflate (bench/RESULTS.md), so there is one way for all sizes.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum fl_coding { FL_CODING_PLAIN, FL_CODING_GZIP, FL_CODING_ZSTD };
#define FL_CODING_HEAD 4 /* bytes that tell */
enum fl_coding fl_coding_of(const void *head, size_t n);

#define FL_BLOCK_BYTES ((size_t)256 << 10)

/* Where stored bytes come from, in order. Returns how many, 0 at the end, -errno (the sentence is its own). */
struct fl_bytes {
	ssize_t (*read)(void *ctx, void *buf, size_t n);
	void *ctx;
};

struct fl_blocks;
int fl_blocks_new(struct fl_blocks **ret, size_t block_bytes /* 0: FL_BLOCK_BYTES */);
void fl_blocks_free(struct fl_blocks **b);
/* Begins a file; how it is packed is found by looking. */
int fl_blocks_open(struct fl_blocks *b, const struct fl_bytes *from);
/* The same from a descriptor, which stays the caller's: by pread from its start, or by read where that cannot be. */
int fl_blocks_open_fd(struct fl_blocks *b, int fd);
/* Those lines of a plain file that begin in [from, to). */
int fl_blocks_open_part(struct fl_blocks *b, int fd, uint64_t from, uint64_t to);
/*
 * 1: a block of whole lines (of a line longer than FL_TEXT_LINE_MAX also its parts), FL_TEXT_PAD bytes readable behind
 * it, valid until the next call; with *ret_last the last one, which may be empty and may end without newline. 0:
 * nothing more. Negative: the file is damaged, with a sentence that does not name it; all whole lines before the fault
 * have been handed out, without a *ret_last. -EIO and others of read; -EBADMSG: not what the packing allows, truncated,
 * or a wrong checksum; -ENOMEM.
 */
int fl_blocks_next(struct fl_blocks *b, const char **ret_data, size_t *ret_n, bool *ret_last);
enum fl_coding fl_blocks_coding(const struct fl_blocks *b);
uint64_t fl_blocks_stored(const struct fl_blocks *b); /* bytes read of this file so far */
