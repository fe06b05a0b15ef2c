/* SPDX-License-Identifier: Apache-2.0 */
/* Inside the room "cli": columns of our own behind those of a record. */
#pragma once

#include <stddef.h>

#include "base/mem.h"
#include "scan/scan.h"

/* Behind the last line of text; "" is written as a value that is not known. */
int fl_columns_add_verdict(struct fl_buf *text, enum fl_output output, const struct fl_verdict_values *v);
int fl_columns_add_verdict_header(struct fl_buf *text, enum fl_output output); /* text, CSV; nothing of JSON */
