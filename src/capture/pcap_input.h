/* SPDX-License-Identifier: Apache-2.0 */
/* The bytes of a capture file, decompressed as they come, through one window of bounded size. Private to pcap*.c. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct fl_input;

/* path "-" is standard input. What it is compressed with is found by looking. */
int fl_input_open(struct fl_input **ret, const char *path);
void fl_input_close(struct fl_input **in);
/* The next n bytes (n at most FL_INPUT_MAX), valid until the next call; *ret_have says how many there are when the input ends
 * before. 0, or a negative error for a read or decompression fault (bytes before it are delivered first). */
#define FL_INPUT_MAX (1u << 22)
int fl_input_peek(struct fl_input *in, size_t n, const uint8_t **ret, size_t *ret_have);
void fl_input_advance(struct fl_input *in, size_t n);
uint64_t fl_input_offset(const struct fl_input *in); /* of decompressed bytes */
