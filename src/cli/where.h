/* SPDX-License-Identifier: Apache-2.0 */
/* Inside the room "cli": which records a question is about, from the options that all questions share. */
#pragma once

#include "scan/reader.h"
#include "scan/words.h"

struct fl_where_conf {
	const char *since, *until, *inventory, *store;
	const char *const *eni,
	    *const *vpc, *const *subnet, *const *instance,
					     *const *src, *const *dst, *const *port, *const *protocol,
											 *const
											     *words; /* NULL-terminated,
													or NULL */
	int action; /* 0: any, else 1 + enum fl_action */
};

/* Names for addresses and interfaces: the inventory's, and what the store's daemon found. Read when first asked for. */
struct fl_names;
int fl_names_new(struct fl_names **ret, const char *inventory, const char *store);
void fl_names_free(struct fl_names **n);
const struct fl_words_names *fl_names_words(struct fl_names *n);

/* scan: the sources, for times that are counted back from the newest record; of a store whose daemon runs, from now. */
int fl_where_filter(struct fl_filter **ret, const struct fl_where_conf *conf, struct fl_names *names,
		    const struct fl_scan_conf *scan);
/* A time as since and until take it; *newest 0: not known yet. */
int fl_where_time(const char *option, const char *text, const struct fl_where_conf *conf,
		  const struct fl_scan_conf *scan, int64_t *newest, int64_t *ret);
