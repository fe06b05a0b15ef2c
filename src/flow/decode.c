/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames into packets. Everything is read through the bounded cursor; every loop has a named ceiling. What is missing
 * beyond the fixed IP header costs ports or flags, never the packet.
 */
#include <string.h>

#include "base/cursor.h"
#include "base/mem.h"
#include "flow/fragments.h"
#include "flow/links.h"

#define EXTENSIONS_MAX 16 /* IPv6 extension headers */
#define TUNNELS_MAX 4     /* with --inner */

enum protocol {
	P_HOPOPT = 0,
	P_ICMP = 1,
	P_IPIP = 4,
	P_TCP = 6,
	P_UDP = 17,
	P_DCCP = 33,
	P_IPV6 = 41,
	P_ROUTING = 43,
	P_FRAGMENT = 44,
	P_GRE = 47,
	P_AH = 51,
	P_ICMPV6 = 58,
	P_DSTOPTS = 60,
	P_SCTP = 132,
	P_MOBILITY = 135,
	P_UDPLITE = 136,
	P_HIP = 139,
	P_SHIM6 = 140,
};

/* What the IP header leaves for the layers above. */
struct ip {
	struct fl_cursor payload;
	uint32_t header_bytes; /* IP header with options or extension headers */
	uint32_t total;        /* layer-3 bytes as the header says */
	bool fragment, later;  /* later: not the first fragment */
	uint32_t fragment_id;
};

static enum fl_decoded decode_ip(struct fl_cursor c, const struct fl_frame_meta *meta, uint32_t l3_wire, bool inner,
				 unsigned depth, struct fl_fragments *fragments, struct fl_packet *ret);

/* ---- network layer ---- */

static bool parse_v4(struct fl_cursor *c, uint32_t l3_wire, struct ip *ip, struct fl_packet *ret)
{
	const uint8_t *h = c->p;
	uint32_t header;
	uint16_t offset;

	if (fl_cur_left(c) >= 4)
		ip->total = (uint32_t)h[2] << 8 | h[3]; /* for the ledger, even if the rest is not there */
	if (!fl_cur_skip(c, 20))
		return false;
	header = (uint32_t)(h[0] & 15) * 4;
	if (header < 20)
		return false;
	/* Zero: the card segments later, the length on the wire is the frame's. */
	if (!ip->total)
		ip->total = l3_wire;
	if (ip->total < header)
		return false;
	offset = (uint16_t)(h[6] << 8 | h[7]);
	ip->fragment = offset & 0x3fff;
	ip->later = offset & 0x1fff;
	ip->fragment_id = (uint32_t)h[4] << 8 | h[5];
	ip->header_bytes = header;
	ret->key.src = fl_addr_v4(h + 12);
	ret->key.dst = fl_addr_v4(h + 16);
	ret->key.proto = h[9];
	ret->key.dirfam = 0;
	/* Options beyond what was captured: no ports. */
	if (!fl_cur_skip(c, header - 20))
		*c = fl_cursor(c->end, 0);
	return true;
}

static void parse_fragment_header(struct fl_cursor *c, struct ip *ip)
{
	uint16_t offset;

	fl_cur_skip(c, 1);
	offset = fl_cur_be16(c);
	ip->fragment_id = fl_cur_be32(c);
	if (c->bad)
		return;
	/* An atomic fragment (RFC 6946) is a whole packet. */
	ip->fragment = offset & 0xfff9;
	ip->later = offset & 0xfff8;
	ip->header_bytes += 8;
}

/* Walks to the first header that is no extension; its number is the record's protocol. */
static uint8_t skip_extensions(struct fl_cursor *c, uint8_t next, struct ip *ip)
{
	for (unsigned i = 0; i < EXTENSIONS_MAX; i++) {
		struct fl_cursor at = *c;
		uint8_t after = fl_cur_u8(&at);
		size_t length;

		switch (next) {
		case P_FRAGMENT:
			parse_fragment_header(&at, ip);
			if (at.bad)
				return next;
			*c = at;
			next = after;
			/* What follows a later fragment's header is payload. */
			if (ip->later)
				return next;
			continue;
		case P_HOPOPT:
		case P_ROUTING:
		case P_DSTOPTS:
		case P_MOBILITY:
		case P_HIP:
		case P_SHIM6:
			length = ((size_t)fl_cur_u8(&at) + 1) * 8;
			break;
		case P_AH:
			return next; /* a protocol of its own in records, as for IPv4 */
		default:
			return next;
		}
		if (at.bad || fl_cur_left(c) < length)
			return next;
		/* Mobility, HIP and shim6 without a next header are the packet's protocol (RFC 6275 section 6.1.1). */
		if ((next == P_MOBILITY || next == P_HIP || next == P_SHIM6) && after == 59)
			return next;
		fl_cur_skip(c, length);
		ip->header_bytes += (uint32_t)length;
		next = after;
	}
	return next;
}

static bool parse_v6(struct fl_cursor *c, uint32_t l3_wire, struct ip *ip, struct fl_packet *ret)
{
	const uint8_t *h = c->p;
	uint32_t payload;

	if (fl_cur_left(c) >= 6)
		ip->total = ((uint32_t)h[4] << 8 | h[5]) + 40;
	if (!fl_cur_skip(c, 40))
		return false;
	payload = (uint32_t)h[4] << 8 | h[5];
	/* Zero: a jumbogram (RFC 2675) or segmentation offload; a real empty payload has "no next header". */
	ip->total = payload || h[6] == 59 ? payload + 40 : FL_MAX(l3_wire, 40u);
	ip->header_bytes = 40;
	memcpy(ret->key.src.b, h + 8, 16);
	memcpy(ret->key.dst.b, h + 24, 16);
	ret->key.dirfam = FL_KEY_V6;
	ret->key.proto = skip_extensions(c, h[6], ip);
	return true;
}

/* ---- transport ---- */

static bool has_ports(uint8_t proto)
{
	return proto == P_TCP || proto == P_UDP || proto == P_UDPLITE || proto == P_SCTP || proto == P_DCCP;
}

/* Ports, flags and the length of the header that segments repeat. */
static uint32_t parse_transport(struct fl_cursor c, struct fl_packet *ret, bool *ret_ports)
{
	uint16_t sport = fl_cur_be16(&c), dport = fl_cur_be16(&c);
	uint8_t offset, flags;

	*ret_ports = !c.bad;
	if (c.bad)
		return 8;
	ret->key.sport = sport;
	ret->key.dport = dport;
	if (ret->key.proto != P_TCP)
		return 8;
	fl_cur_skip(&c, 8);
	offset = fl_cur_u8(&c);
	flags = fl_cur_u8(&c);
	if (c.bad)
		return 20;
	ret->tcp = flags & 0x3f;
	if ((flags & 0x12) == 0x12)
		ret->tcp |= FL_TCP_SYNACK;
	return (uint32_t)(offset >> 4) * 4;
}

static void ports_of_fragment(const struct ip *ip, const struct fl_frame_meta *meta, struct fl_fragments *fragments,
			      struct fl_packet *ret)
{
	struct fl_fragment_key key = {
	    .src = ret->key.src, .dst = ret->key.dst, .id = ip->fragment_id, .proto = ret->key.proto};

	ret->ports_unknown =
	    !fragments || !fl_fragments_find(fragments, &key, meta->time_ns, &ret->key.sport, &ret->key.dport);
}

/* GSO: one buffer is many packets, and every one carries the headers. */
static void count_segments(const struct fl_frame_meta *meta, uint32_t headers, struct fl_packet *ret)
{
	uint64_t payload = ret->bytes > headers ? ret->bytes - headers : 0;
	uint32_t segments = meta->gso_segs;

	if (!segments && meta->gso_size)
		segments = (uint32_t)((payload + meta->gso_size - 1) / meta->gso_size);
	if (segments <= 1)
		return;
	ret->packets = segments;
	ret->bytes += (uint64_t)(segments - 1) * headers;
}

/* ---- tunnels, on request ---- */

static bool open_gre(struct fl_cursor *c)
{
	uint16_t flags = fl_cur_be16(c), type = fl_cur_be16(c);

	/* RFC 2890: checksum, key and sequence number are four bytes each; version 0. */
	if (flags & 7)
		return false;
	fl_cur_skip(c, (flags & 0x8000 ? 4u : 0) + (flags & 0x2000 ? 4u : 0) + (flags & 0x1000 ? 4u : 0));
	if (c->bad)
		return false;
	return fl_link_skip_type(c, type);
}

static bool open_udp_tunnel(struct fl_cursor *c, uint16_t dport)
{
	uint8_t first;
	uint16_t type;

	fl_cur_skip(c, 8);
	first = fl_cur_u8(c);
	if (dport == 4789) { /* RFC 7348 section 5: the I flag, then VNI */
		fl_cur_skip(c, 7);
		return !c->bad && (first & 0x08) && fl_link_skip(FL_LINK_ETHERNET, c);
	}
	/* Geneve, RFC 8926 section 3.4 */
	fl_cur_skip(c, 1);
	type = fl_cur_be16(c);
	fl_cur_skip(c, 4 + (size_t)(first & 0x3f) * 4);
	if (c->bad || first >> 6)
		return false;
	return fl_link_skip_type(c, type);
}

static bool open_tunnel(struct fl_cursor *c, const struct fl_packet *outer)
{
	switch (outer->key.proto) {
	case P_IPIP:
	case P_IPV6:
		return fl_link_skip(FL_LINK_RAW_IP, c);
	case P_GRE:
		return open_gre(c);
	case P_UDP:
		if (outer->key.dport == 4789 || outer->key.dport == 6081)
			return open_udp_tunnel(c, outer->key.dport);
		return false;
	default:
		return false;
	}
}

static bool decode_inner(const struct ip *ip, const struct fl_frame_meta *meta, unsigned depth,
			 struct fl_fragments *fragments, struct fl_packet *outer)
{
	struct fl_frame_meta plain = {.time_ns = meta->time_ns};
	struct fl_cursor c = ip->payload;
	struct fl_packet packet;

	if (ip->later || depth >= TUNNELS_MAX || !open_tunnel(&c, outer))
		return false;
	if (decode_ip(c, &plain, (uint32_t)fl_cur_left(&c), true, depth + 1, fragments, &packet) != FL_DECODED_IP)
		return false;
	packet.packets = outer->packets;
	*outer = packet;
	return true;
}

static enum fl_decoded decode_ip(struct fl_cursor c, const struct fl_frame_meta *meta, uint32_t l3_wire, bool inner,
				 unsigned depth, struct fl_fragments *fragments, struct fl_packet *ret)
{
	struct ip ip = {0};
	uint32_t transport = 0;
	bool ports = false, good;

	memset(ret, 0, sizeof *ret);
	ret->icmp_type = -1;
	if (!fl_cur_left(&c))
		return FL_DECODED_TRUNCATED;
	switch (c.p[0] >> 4) {
	case 4:
		good = parse_v4(&c, l3_wire, &ip, ret);
		break;
	case 6:
		good = parse_v6(&c, l3_wire, &ip, ret);
		break;
	default:
		good = false;
	}
	if (!good) {
		ret->bytes = ip.total;
		ret->packets = 1;
		return FL_DECODED_TRUNCATED;
	}
	ip.payload = c;
	ret->bytes = ip.total;
	ret->packets = 1;
	ret->fragment = ip.fragment;
	if ((ret->key.proto == P_ICMP || ret->key.proto == P_ICMPV6) && !ip.later && fl_cur_left(&c))
		ret->icmp_type = c.p[0];
	if (has_ports(ret->key.proto)) {
		if (ip.later)
			ports_of_fragment(&ip, meta, fragments, ret);
		else
			transport = parse_transport(c, ret, &ports);
	}
	if (ports && ip.fragment && fragments) {
		struct fl_fragment_key key = {
		    .src = ret->key.src, .dst = ret->key.dst, .id = ip.fragment_id, .proto = ret->key.proto};

		fl_fragments_first(fragments, &key, meta->time_ns, ret->key.sport, ret->key.dport);
	}
	if (meta->gso_segs || meta->gso_size)
		count_segments(meta, ip.header_bytes + transport, ret);
	if (inner)
		decode_inner(&ip, meta, depth, fragments, ret);
	return FL_DECODED_IP;
}

enum fl_decoded fl_decode(enum fl_link link, const uint8_t *frame, size_t caplen, const struct fl_frame_meta *meta,
			  bool inner, struct fl_fragments *fragments, struct fl_packet *ret)
{
	struct fl_cursor c = fl_cursor(frame, caplen);
	uint32_t l2;

	if (!fl_link_skip(link, &c) || c.bad)
		return FL_DECODED_NOT_IP;
	l2 = (uint32_t)(c.p - frame);
	return decode_ip(c, meta, meta->wire_len > l2 ? meta->wire_len - l2 : 0, inner, 0, fragments, ret);
}
