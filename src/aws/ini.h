/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AWS's shared files (~/.aws/config, ~/.aws/credentials): [sections], name = value, and settings of a service indented
 * below a name without a value, which are called "s3.endpoint_url" here. A comment begins with # or ; at the start of a
 * line or after a space.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#define FL_INI_FILE_MAX (1u << 20)
#define FL_INI_ENTRIES_MAX 20000u

struct fl_ini_entry {
	char *section; /* with single spaces, without quotes: profile x */
	char *name;    /* lower case; "" where a section begins */
	char *value;
};
struct fl_ini {
	struct fl_ini_entry *entries;
	size_t n, cap;
};

/* file: what messages call it. -EINVAL with file and line. Appends to what is there. */
int fl_ini_parse(struct fl_ini *ini, const char *file, const char *text, size_t n);
void fl_ini_free(struct fl_ini *ini);
/* The last one wins. NULL when there is none. */
const char *fl_ini_get(const struct fl_ini *ini, const char *section, const char *name);
bool fl_ini_has(const struct fl_ini *ini, const char *section);
