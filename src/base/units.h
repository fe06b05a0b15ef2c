/* SPDX-License-Identifier: Apache-2.0 */
/* Values with units as people write them: 500ms 60s 10m 1h 7d; 64KiB 16MiB 1GiB (also KB, MB, GB = 1000). */
#pragma once

#include <stddef.h>
#include <stdint.h>

int fl_parse_duration_ns(const char *text, uint64_t *ret); /* -EINVAL with a sentence; a bare number is seconds */
int fl_parse_size(const char *text, uint64_t *ret);        /* a bare number is bytes */
int fl_parse_u64(const char *text, uint64_t min, uint64_t max, uint64_t *ret);

/* For people: "1.2 GB", "3.4 k". ret must hold 16 bytes; returns ret. */
char *fl_human_bytes(uint64_t v, char ret[16]);
char *fl_human_count(uint64_t v, char ret[16]);
static inline const char *fl_plural(uint64_t n)
{
	return n == 1 ? "" : "s";
}
/* "2026-11-24T11:20:00Z"; ret must hold 24 bytes. */
char *fl_time_rfc3339(int64_t unix_s, char ret[24]);
int fl_parse_time(const char *text, int64_t *ret_unix_s); /* RFC 3339 UTC, date alone, or Unix seconds */
