/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of a result to a descriptor: table, text, json (one object a line), csv. */
#pragma once

#include <signal.h>

#include "query/library.h"

/* Reads the result to its end. *stop becomes true from outside when the question is to be given up.
 */
int fl_query_print(const struct fl_duckdb *d, struct fl_duck_result *result, const char *output, int fd,
		   const volatile sig_atomic_t *stop);
int fl_query_output_known(const char *output); /* 0 or -EINVAL with a sentence */
