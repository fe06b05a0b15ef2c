/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The XML that S3 and STS answer with: elements and text. Attributes and prefixes of names are passed over, entities
 * beyond XML's own five and characters by number are refused, and so is a document type: nothing can grow.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/mem.h"

#define FL_XML_DEPTH_MAX 16
#define FL_XML_NAME_MAX 64
#define FL_XML_TEXT_MAX (64u << 10) /* of one element */

/*
 * Called where an element begins (text NULL) and where it ends (with its own text, decoded; of an element that has
 * others inside, what came after the last of them). path: the names from the root on, path[depth - 1] is its own.
 * Not 0 ends the parse with it.
 */
typedef int (*fl_xml_fn)(void *ctx, const char *const *path, unsigned depth, const char *text);

/* 0, what fn returned, -EPROTO with a sentence that says at which byte. */
int fl_xml_parse(const char *data, size_t n, fl_xml_fn fn, void *ctx);
