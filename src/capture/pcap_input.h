/* SPDX-License-Identifier: Apache-2.0 */
/* The bytes of a file, decompressed as they come, through one window of bounded size. Second face of the room: scan
 * reads compressed text through it. Each input belongs to one thread. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct fl_input;

/* The bytes at hand, the first member of every input: the packet loop looks here and calls nothing while a record is in
 * it. */
struct fl_input_view {
	const uint8_t *at, *end;
};
static inline struct fl_input_view *fl_input_view(struct fl_input *in)
{
	return (struct fl_input_view *)in;
}

/* path "-" is standard input. What it is compressed with is found by looking. */
int fl_input_open(struct fl_input **ret, const char *path);
/* fd is taken, also when this fails. Of what it holds, the first n bytes (at most FL_INPUT_HEAD) were read already and
 * are given here; name is for sentences. */
#define FL_INPUT_HEAD (1u << 20)
int fl_input_open_fd(struct fl_input **ret, int fd, const char *name, const void *head, size_t n);
void fl_input_close(struct fl_input **in);
/* The next n bytes (n at most FL_INPUT_MAX), valid until the next call; *ret_have says how many there are when the
 * input ends before. 0, or a negative error for a read or decompression fault (bytes before it are delivered first). */
#define FL_INPUT_MAX (1u << 22)
int fl_input_peek(struct fl_input *in, size_t n, const uint8_t **ret, size_t *ret_have);
/* n of the bytes at hand are done with; what earlier calls returned stays valid until the next peek. */
static inline void fl_input_advance(struct fl_input *in, size_t n)
{
	fl_input_view(in)->at += n;
}
uint64_t fl_input_offset(const struct fl_input *in); /* of decompressed bytes */
