/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The common frame, decoded in line: Ethernet, IPv4 without options or fragments, IPv6 without extension headers.
 * Whatever is not exactly that is left to fl_decode(), which gives the same answer for these frames too
 * (tests/flow/test_fast.c and the fuzz target compare the two).
 */
#pragma once

#include <string.h>

#include "base/mem.h"
#include "flow/flow.h"

static inline uint16_t fl_fast_be16(const uint8_t *p)
{
	uint16_t v;

	memcpy(&v, p, sizeof v);
	return __builtin_bswap16(v);
}

static inline uint8_t fl_fast_tcp(uint8_t flags)
{
	return (uint8_t)((flags & 0x3f) | ((flags & 0x12) == 0x12 ? FL_TCP_SYNACK : 0));
}

/* true: *ret is one packet, complete but for iface, direction, window and times. *ret_icmp_type as in struct fl_packet.
 */
static inline bool fl_decode_fast(const uint8_t *frame, size_t caplen, struct fl_obs *ret, int16_t *ret_icmp_type)
{
	const uint8_t *transport;
	size_t left;
	uint16_t type, length;
	uint8_t proto;

	if (fl_unlikely(caplen < 14 + 20))
		return false;
	type = fl_fast_be16(frame + 12);
	length = fl_fast_be16(frame + 16);
	if (type == 0x0800) {
		/* Version 4, header of five words, neither offset nor more fragments, a length. */
		if (frame[14] != 0x45 || length < 20 || fl_fast_be16(frame + 20) & 0x3fff)
			return false;
		ret->key.src = fl_addr_v4(frame + 26);
		ret->key.dst = fl_addr_v4(frame + 30);
		ret->key.dirfam = 0;
		ret->bytes = length;
		proto = frame[23];
		transport = frame + 34;
		left = caplen - 34;
	} else if (type == 0x86dd && caplen >= 14 + 40) {
		length = fl_fast_be16(frame + 18);
		proto = frame[20];
		if (frame[14] >> 4 != 6 || !length || (proto != 6 && proto != 17 && proto != 58))
			return false;
		memcpy(&ret->key.src, frame + 22, 16);
		memcpy(&ret->key.dst, frame + 38, 16);
		ret->key.dirfam = FL_KEY_V6;
		ret->bytes = length + 40u;
		transport = frame + 54;
		left = caplen - 54;
	} else {
		return false;
	}
	ret->packets = 1;
	ret->key.iface = 0;
	ret->key.proto = proto;
	ret->key.sport = ret->key.dport = 0;
	ret->tcp = 0;
	*ret_icmp_type = -1;
	if (proto == 6) {
		if (left < 14)
			return false;
		ret->tcp = fl_fast_tcp(transport[13]);
	} else if (proto != 17) {
		/* The others that have ports are rare. */
		if ((proto != 1 && proto != 58) || !left)
			return false;
		*ret_icmp_type = transport[0];
		return true;
	} else if (left < 4) {
		return false;
	}
	ret->key.sport = fl_fast_be16(transport);
	ret->key.dport = fl_fast_be16(transport + 2);
	return true;
}
