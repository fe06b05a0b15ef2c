/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Filters as people write them, after tcpdump:
 *
 *   host 10.0.0.1 and (port ssh or 443) and not accept
 *   src net 10.0.0.0/8 and dst public and bytes > 1m
 *
 * not binds before and, and before or (both also as !, &&, ||). Conditions:
 *
 *   [src|dst] [host] ADDRESS|NAME   [src|dst] net CIDR   [src|dst] private|public
 *   [src|dst] port PORT|SERVICE     [src|dst] portrange FIRST-LAST
 *   proto NAME|NUMBER   tcp udp icmp icmp6   ip ip6
 *   eni vpc subnet instance account region az  ID|NAME
 *   action ACTION   accept reject   status STATUS   ingress egress
 *   FIELD = != < <= > >= VALUE   FIELD is [not] null    (any field of a record; sizes with k, m, g)
 *
 * A value without its keyword takes that of the condition before it. Addresses are looked for in srcaddr and dstaddr
 * and, where records have them, in pkt-srcaddr and pkt-dstaddr. What a record does not say matches neither a condition
 * nor its not (scan/filter.h): NODATA is neither "port 22" nor "not port 22".
 */
#pragma once

#include "base/mem.h"
#include "scan/filter.h"

#define FL_WORDS_MAX 65536u /* bytes of one filter's text */

/* Names for people: addresses of a thing ("web-1"), or its id. */
struct fl_words_names {
	/* fn for each address; 0: none has that name. */
	size_t (*addresses)(void *ctx, const char *name, void (*fn)(void *to, const struct fl_addr *a), void *to);
	/* ids of the given kind (column "interface_id", "vpc_id", ...): fn for each. */
	size_t (*ids)(void *ctx, const char *column, const char *name, void (*fn)(void *to, const char *id), void *to);
	void *ctx;
};

/* -EINVAL: the sentence names the place and what was expected there. names may be NULL. Empty text: *ret NULL. */
int fl_words_parse(struct fl_filter **ret, const char *text, const struct fl_words_names *names);
/* One condition, as options give it: keyword "src host", "port", "eni" ... and a value, which is what the sentence
 * names. */
int fl_words_condition(struct fl_filter **ret, const char *keyword, const char *value,
		       const struct fl_words_names *names);
