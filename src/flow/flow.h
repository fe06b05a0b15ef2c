/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Face of the stage "flow": the flow key, the observation, and the decoding of frames into
 * observations. Pure: no I/O, no clock, no allocation per packet.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"

/* Direction relative to the ENI. A capture file without --local does not know it. */
enum fl_dir { FL_DIR_NONE = 0, FL_DIR_INGRESS = 1, FL_DIR_EGRESS = 2 };
#define FL_DIR_N 3

#define FL_KEY_DIR 0x03 /* in dirfam */
#define FL_KEY_V6 0x80  /* in dirfam: the packet had an IPv6 header */
/* In dirfam, where verdicts are known: the packet was rejected. Accepted and rejected packets of a tuple are two flows
 * (records.md section 1). Only inside the meter: a flow's action leaves it as fl_flow.action. */
#define FL_KEY_REJECT 0x40
#define FL_KEY_BPA 0x20 /* with it: by VPC Block Public Access, the one reason that a record names */

/*
 * What makes a flow. 40 bytes without padding, compared and hashed as five 64-bit words. Ports are in
 * host byte order and 0 for protocols without ports; ICMP type and code are not part of a record
 * (AWS writes ports 0), so they are not part of the key.
 * iface is the metering slot of the interface; what it means is the inventory's business.
 */
struct fl_key {
	struct fl_addr src, dst;
	uint16_t sport, dport;
	uint16_t iface;
	uint8_t dirfam;
	uint8_t proto;
};
_Static_assert(sizeof(struct fl_key) == 40, "the flow key is five words");

static inline enum fl_dir fl_key_dir(const struct fl_key *k)
{
	return (enum fl_dir)(k->dirfam & FL_KEY_DIR);
}

/* The low six bits are the OR of the packets' FIN 1, SYN 2, RST 4, PSH 8, ACK 16, URG 32 */
#define FL_TCP_SYNACK 0x40 /* a packet had SYN and ACK together; records.md 2.1 needs to know */

/*
 * An observation: packets of one flow inside one window. A packet is one with packets = 1; the
 * kernel's partial flows are others. Times are milliseconds from the window's start.
 */
struct fl_obs {
	struct fl_key key;
	uint64_t bytes;   /* layer 3, from the IP header; every segment's headers counted */
	uint32_t packets; /* on the wire */
	uint32_t window;  /* number of the window; capture files: Unix time / interval */
	uint32_t first_ms, last_ms;
	uint8_t tcp; /* flags as above */
	uint8_t pad[7];
};

/* ---- decoding ---- */

/* Values are our own; capture/ maps DLT_* and ARPHRD_* to them. */
enum fl_link {
	FL_LINK_ETHERNET,
	FL_LINK_RAW_IP,    /* version nibble decides */
	FL_LINK_COOKED_V1, /* LINUX_SLL */
	FL_LINK_COOKED_V2, /* LINUX_SLL2 */
	FL_LINK_NULL,      /* DLT_NULL: address family in the writer's byte order */
	FL_LINK_LOOP,      /* DLT_LOOP: address family big-endian */
	FL_LINK_PPP,       /* DLT_PPP, with or without HDLC address and control */
	FL_LINK_PPPOE,     /* DLT_PPP_ETHER */
	FL_LINK_CHDLC,     /* Cisco HDLC */
	FL_LINK_FRAME_RELAY,
	FL_LINK_FDDI,
	FL_LINK_WLAN,     /* IEEE 802.11, data in the clear */
	FL_LINK_RADIOTAP, /* the same behind a radiotap header */
	FL_LINK_PPI,      /* per-packet information around Ethernet or 802.11 */
	FL_LINK_NFLOG,
	FL_LINK_IPOIB,
	FL_LINK_UNSUPPORTED, /* every frame is "not IP", and the reader says so once */
	FL_LINK_N
};

/* What the carrier of the frame knows beside the bytes. Zero means unknown. */
struct fl_frame_meta {
	uint32_t wire_len;   /* length of the frame on the wire */
	uint32_t gso_segs;   /* 0: derive from gso_size */
	uint32_t gso_size;   /* payload bytes a segment; 0: not segmented */
	uint16_t vlan_proto; /* tag that the kernel moved out of the frame; 0: none */
	uint8_t direction;   /* enum fl_dir as the carrier knows it */
	uint64_t time_ns;    /* for the fragment table only */
};

/* Outcome of decoding one frame. */
enum fl_decoded {
	FL_DECODED_IP = 0,
	FL_DECODED_NOT_IP,    /* counted, not an error */
	FL_DECODED_TRUNCATED, /* says IP, but its fixed header is not there or impossible: not an IP packet
				 that can be attributed; counted apart. bytes is the length it claims, 0 without one */
};

/* Result of decoding: key without iface and direction filled in by the caller, and the counts. */
struct fl_packet {
	struct fl_key key;
	uint64_t bytes;   /* layer-3 bytes of all segments */
	uint32_t packets; /* segments */
	uint8_t tcp;
	bool fragment;      /* any fragment */
	bool ports_unknown; /* a later fragment whose first was not seen: ports 0 */
	int16_t icmp_type;  /* of ICMP and ICMPv6; -1: another protocol, or not in the frame */
};

struct fl_fragments; /* bounded table: (src, dst, id, protocol) -> ports */

/* capacity is rounded up to a power of two; an entry is valid for timeout_ns after the first fragment
 * (0: for ever; the default is FL_FRAGMENT_TIMEOUT_NS, RFC 791's reassembly time). */
#define FL_FRAGMENT_TIMEOUT_NS (30ull * 1000000000ull)
#define FL_FRAGMENT_CAPACITY 8192
int fl_fragments_new(struct fl_fragments **ret, size_t capacity, uint64_t timeout_ns, uint64_t seed);
void fl_fragments_free(struct fl_fragments **f);

/*
 * Decode a frame of which caplen bytes are present. inner: when the packet is a tunnel we know (IPIP,
 * 6in4, GRE, VXLAN, Geneve), describe the innermost IP packet that is complete enough, else the outer
 * one as AWS does. fragments may be NULL (later fragments then have ports 0).
 *
 * Bytes: IPv4 total length; IPv6 payload length + 40. A total length of 0 (segmentation offload,
 * jumbograms without their option) takes the frame's length on the wire beyond the link header.
 * packets/bytes under GSO: segs = gso_segs, else ceil(payload / gso_size); bytes += (segs - 1) * headers.
 */
enum fl_decoded fl_decode(enum fl_link link, const uint8_t *frame, size_t caplen, const struct fl_frame_meta *meta,
			  bool inner, struct fl_fragments *fragments, struct fl_packet *ret);

/* IANA names for the protocol numbers people meet ("tcp", "udp", "icmp", ...); NULL when there is none. */
const char *fl_protocol_name(uint8_t proto);
int fl_protocol_number(const char *name); /* -EINVAL */
/* What listens at a port of TCP (6) or UDP (17) by custom: "ssh"; NULL when there is no custom. */
const char *fl_service_name(unsigned protocol, uint64_t port);
int fl_service_port(const char *name); /* -EINVAL */
