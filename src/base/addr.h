/* SPDX-License-Identifier: Apache-2.0 */
/*
 * IP addresses. Always 16 bytes inside; IPv4 as ::ffff:a.b.c.d. Text is dotted quad or RFC 5952
 * (records.md 2.3: AWS does not document the compression of zero groups; RFC 5952 is our reading).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct fl_addr {
	uint8_t b[16];
};

#define FL_ADDR_TEXT_MAX 46

static inline struct fl_addr fl_addr_v4(const uint8_t b[4])
{
	struct fl_addr a = {.b = {[10] = 0xff, [11] = 0xff}};

	memcpy(a.b + 12, b, 4);
	return a;
}
static inline bool fl_addr_is_mapped_v4(const struct fl_addr *a)
{
	static const uint8_t prefix[12] = {[10] = 0xff, [11] = 0xff};

	return memcmp(a->b, prefix, 12) == 0;
}
static inline bool fl_addr_equal(const struct fl_addr *a, const struct fl_addr *b)
{
	return memcmp(a->b, b->b, 16) == 0;
}

/* Writes without a NUL and returns the new end; p must have FL_ADDR_TEXT_MAX bytes. v6: print as IPv6 even
 * when the address has the mapped form (a packet may carry such addresses in an IPv6 header). */
char *fl_addr_print(char *p, const struct fl_addr *a, bool v6);
/* The whole of text must be an address. 0 or -EINVAL. ret_v6 may be NULL. */
int fl_addr_parse(const char *text, size_t n, struct fl_addr *ret, bool *ret_v6);

/* No address of the internet: private (RFC 1918, RFC 4193), carrier-grade NAT (RFC 6598), link-local. */
bool fl_addr_is_private(const struct fl_addr *a, bool v6);

struct fl_cidr {
	struct fl_addr base; /* host bits zero */
	uint8_t bits;        /* 0..128, counted in the 16-byte form */
};
int fl_cidr_parse(const char *text, size_t n, struct fl_cidr *ret); /* also a bare address; host bits are cleared */
bool fl_cidr_has(const struct fl_cidr *c, const struct fl_addr *a);
/* IPv4 CIDRs are mapped ones; an IPv6 prefix that only looks mapped needs 96 bits or more to be taken for one. */
static inline bool fl_cidr_is_v4(const struct fl_cidr *c)
{
	return c->bits >= 96 && fl_addr_is_mapped_v4(&c->base);
}
