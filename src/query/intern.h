/* SPDX-License-Identifier: Apache-2.0 */
/* Texts as numbers that all threads share: 1 and up. Each thread asks its own cache first. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/mem.h"

struct fl_interner;
int fl_interner_new(struct fl_interner **ret, uint64_t max_bytes);
void fl_interner_free(struct fl_interner **in);
struct fl_str fl_interner_text(const struct fl_interner *in, uint32_t id);

struct fl_intern_cache; /* of one thread */
int fl_intern_cache_new(struct fl_intern_cache **ret, struct fl_interner *in);
void fl_intern_cache_free(struct fl_intern_cache **c);
int fl_intern(struct fl_intern_cache *c, const char *text, size_t n, uint32_t *ret_id); /* -E2BIG, -ENOMEM */
