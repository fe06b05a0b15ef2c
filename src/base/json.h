/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON writing into a buffer (reading is jansson's). The writer puts commas and quotes; strings are
 * escaped, invalid UTF-8 bytes become U+FFFD. Errors are sticky and reported by fl_json_done().
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/mem.h"

struct fl_json {
	struct fl_buf *out;
	int error;
	unsigned depth;
	bool comma, pretty; /* pretty: two-space indentation */
};

#define FL_JSON(buf) ((struct fl_json){.out = (buf)})

void fl_json_object(struct fl_json *j); /* { */
void fl_json_end_object(struct fl_json *j);
void fl_json_array(struct fl_json *j);
void fl_json_end_array(struct fl_json *j);
void fl_json_key(struct fl_json *j, const char *key);
void fl_json_str(struct fl_json *j, const char *s); /* NULL writes null */
void fl_json_strn(struct fl_json *j, const char *s, size_t n);
void fl_json_u64(struct fl_json *j, uint64_t v);
void fl_json_i64(struct fl_json *j, int64_t v);
void fl_json_bool(struct fl_json *j, bool v);
void fl_json_null(struct fl_json *j);
/* key and value in one call */
void fl_json_kstr(struct fl_json *j, const char *key, const char *s);
void fl_json_ku64(struct fl_json *j, const char *key, uint64_t v);
void fl_json_ki64(struct fl_json *j, const char *key, int64_t v);
void fl_json_kbool(struct fl_json *j, const char *key, bool v);
int fl_json_done(struct fl_json *j); /* 0, or the first error */

/* Length of the well-formed UTF-8 sequence at text (RFC 3629 section 4), n > 0 bytes are there; 0 when there is none.
 */
size_t fl_utf8_at(const void *text, size_t n);
