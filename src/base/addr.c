/* SPDX-License-Identifier: Apache-2.0 */
#include "base/addr.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>

#include "base/error.h"
#include "base/mem.h"

/* "0".."255" with their lengths: an IPv4 address is four table look-ups. */
struct octet {
	char text[3];
	uint8_t n;
};
#define O1(d)                                                                                                          \
	{                                                                                                              \
		{(d) + '0'}, 1                                                                                         \
	}
#define O2(v)                                                                                                          \
	{                                                                                                              \
		{(v) / 10 + '0', (v) % 10 + '0'}, 2                                                                    \
	}
#define O3(v)                                                                                                          \
	{                                                                                                              \
		{(v) / 100 + '0', (v) / 10 % 10 + '0', (v) % 10 + '0'}, 3                                              \
	}
#define TEN(m, v)                                                                                                      \
	m((v)), m((v) + 1), m((v) + 2), m((v) + 3), m((v) + 4), m((v) + 5), m((v) + 6), m((v) + 7), m((v) + 8),        \
	    m((v) + 9)
static const struct octet octets[256] = {
    TEN(O1, 0),   TEN(O2, 10),  TEN(O2, 20),  TEN(O2, 30),  TEN(O2, 40),  TEN(O2, 50),  TEN(O2, 60),  TEN(O2, 70),
    TEN(O2, 80),  TEN(O2, 90),  TEN(O3, 100), TEN(O3, 110), TEN(O3, 120), TEN(O3, 130), TEN(O3, 140), TEN(O3, 150),
    TEN(O3, 160), TEN(O3, 170), TEN(O3, 180), TEN(O3, 190), TEN(O3, 200), TEN(O3, 210), TEN(O3, 220), TEN(O3, 230),
    TEN(O3, 240), O3(250),      O3(251),      O3(252),      O3(253),      O3(254),      O3(255),
};

static char *print_v4(char *p, const uint8_t b[4])
{
	for (unsigned i = 0; i < 4; i++) {
		const struct octet *o = &octets[b[i]];

		/* Three bytes are always copied; FL_ADDR_TEXT_MAX leaves room for the surplus. */
		memcpy(p, o->text, 3);
		p += o->n;
		if (i < 3)
			*p++ = '.';
	}
	return p;
}

static char *print_group(char *p, unsigned v)
{
	static const char digits[] = "0123456789abcdef";

	if (v >= 0x1000)
		*p++ = digits[v >> 12];
	if (v >= 0x100)
		*p++ = digits[v >> 8 & 15];
	if (v >= 0x10)
		*p++ = digits[v >> 4 & 15];
	*p++ = digits[v & 15];
	return p;
}

/* RFC 5952 section 4: the longest run of two or more zero groups, the first of equals, becomes "::". */
static char *print_v6(char *p, const uint8_t b[16])
{
	int best = -1, best_n = 1;

	for (int i = 0; i < 8;) {
		int n = 0;

		while (i + n < 8 && !b[2 * (i + n)] && !b[2 * (i + n) + 1])
			n++;
		if (n > best_n) {
			best = i;
			best_n = n;
		}
		i += n ? n : 1;
	}
	for (int i = 0; i < 8; i++) {
		if (i == best) {
			*p++ = ':';
			*p++ = ':';
			i += best_n - 1;
			continue;
		}
		if (i && i != best + best_n)
			*p++ = ':';
		p = print_group(p, (unsigned)b[2 * i] << 8 | b[2 * i + 1]);
	}
	return p;
}

char *fl_addr_print(char *p, const struct fl_addr *a, bool v6)
{
	return !v6 && fl_addr_is_mapped_v4(a) ? print_v4(p, a->b + 12) : print_v6(p, a->b);
}

/* As inet_pton(AF_INET): four decimal numbers without zeroes in front. */
static bool parse_v4(const char *p, size_t n, uint8_t ret[4])
{
	const char *end = p + n;

	for (unsigned i = 0; i < 4; i++) {
		unsigned v = 0, digits = 0;

		for (; p < end && digits < 3 && (unsigned)(*p - '0') < 10; digits++)
			v = v * 10 + (unsigned)(*p++ - '0');
		if (!digits || v > 255 || (digits > 1 && p[-(int)digits] == '0') ||
		    (i < 3 && (p == end || *p++ != '.')))
			return false;
		ret[i] = (uint8_t)v;
	}
	return p == end;
}

int fl_addr_parse(const char *text, size_t n, struct fl_addr *ret, bool *ret_v6)
{
	char copy[FL_ADDR_TEXT_MAX + 1];
	uint8_t v4[4];

	if (parse_v4(text, n, v4)) {
		*ret = fl_addr_v4(v4);
		if (ret_v6)
			*ret_v6 = false;
		return 0;
	}
	if (n && n <= FL_ADDR_TEXT_MAX && !memchr(text, '\0', n)) {
		memcpy(copy, text, n);
		copy[n] = '\0';
		if (inet_pton(AF_INET6, copy, ret->b) == 1) {
			if (ret_v6)
				*ret_v6 = true;
			return 0;
		}
	}
	return fl_fail(-EINVAL, "\"%.*s\" is not an IP address", (int)FL_MIN(n, (size_t)64), text);
}

int fl_cidr_parse(const char *text, size_t n, struct fl_cidr *ret)
{
	const char *slash = memchr(text, '/', n);
	size_t addr_n = slash ? (size_t)(slash - text) : n;
	unsigned bits = 0, max;
	bool v6;
	int r = fl_addr_parse(text, addr_n, &ret->base, &v6);

	if (r)
		return r;
	max = v6 ? 128 : 32;
	if (!slash) {
		bits = max;
	} else {
		size_t digits = n - addr_n - 1;

		for (size_t i = 0; i < digits && digits <= 3; i++)
			bits = slash[1 + i] >= '0' && slash[1 + i] <= '9' ? bits * 10 + (unsigned)(slash[1 + i] - '0')
									  : 999;
		if (!digits || digits > 3 || bits > max)
			return fl_fail(-EINVAL, "\"%.*s\" is not a network: the prefix length goes from 0 to %u",
				       (int)FL_MIN(n, (size_t)64), text, max);
	}
	ret->bits = (uint8_t)(v6 ? bits : bits + 96);
	for (unsigned i = ret->bits; i < 128; i++)
		ret->base.b[i / 8] &= (uint8_t) ~(0x80u >> i % 8);
	return 0;
}

bool fl_cidr_has(const struct fl_cidr *c, const struct fl_addr *a)
{
	unsigned whole = c->bits / 8, rest = c->bits % 8;

	if (memcmp(c->base.b, a->b, whole))
		return false;
	return !rest || !((c->base.b[whole] ^ a->b[whole]) >> (8 - rest));
}

bool fl_addr_is_private(const struct fl_addr *a, bool v6)
{
	const uint8_t *b = a->b + 12;

	if (v6)
		return (a->b[0] & 0xfe) == 0xfc || (a->b[0] == 0xfe && (a->b[1] & 0xc0) == 0x80);
	return b[0] == 10 || (b[0] == 172 && (b[1] & 0xf0) == 16) || (b[0] == 192 && b[1] == 168) ||
	       (b[0] == 100 && (b[1] & 0xc0) == 64) || (b[0] == 169 && b[1] == 254);
}
