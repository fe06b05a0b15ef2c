/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * Headers of one frame, with the outcomes of src/flow/decode.c (tests/capture/test_ebpf_parse.c
 * holds the two against each other). Everything is read through take(), which finds bytes outside
 * the linear part too; a read past the end is NULL. Everything is inlined: a copy of the program is
 * one function without relocations.
 */
#ifndef FL_BPF_PARSE_H
#define FL_BPF_PARSE_H

#define TAGS_MAX 8
#define EXTENSIONS_MAX 16
#define TUNNELS_MAX 4
#define OFFSET_MAX                                                                                                     \
	0xff00 /* of a header in a frame; the verifier accepts 0xffff with what is read behind it                      \
		*/

enum outcome { IS_IP, NOT_IP, TRUNCATED };

struct packet {
	__u64 key[5]; /* as the first 40 bytes of struct fl_partial, without slot and direction */
	__u64 bytes;
	__u32 packets;
	__u32 tcp;
	__u32 tagged; /* something stands between Ethernet and IP, or a tag beside the frame */
};

struct network {
	__u64 off;                /* of the payload */
	__u32 headers, transport; /* bytes that segments repeat */
	__u32 id;
	__u32 proto, v6;
	__u32 fragment, later;
	__u32 sport, dport; /* host order */
};

/* The compiler would share the address of a member between loads; the verifier wants the context
 * itself. */
#define CONTEXT(skb, member)                                                                                           \
	({                                                                                                             \
		__u64 v_;                                                                                              \
		asm volatile("%0 = *(u32 *)(%1 + %2)"                                                                  \
			     : "=r"(v_)                                                                                \
			     : "r"(skb), "i"(__builtin_offsetof(struct __sk_buff, member)));                           \
		v_;                                                                                                    \
	})

static __always_inline const void *take(struct __sk_buff *skb, __u64 conf, __u64 off, const __u32 n, void *scratch)
{
	if (off > OFFSET_MAX)
		return 0;
	barrier_var(off);
	if (!(conf & FL_K_CONF_NONLINEAR)) {
		const void *p = (const void *)CONTEXT(skb, data) + off;

		if (p + n <= (const void *)CONTEXT(skb, data_end))
			return p;
	}
	return bpf_skb_load_bytes(skb, off, scratch, n) ? 0 : scratch;
}

#define U8(p, at) (((const __u8 *)(p))[at])
#define BE16(p, at) bpf_ntohs(*(const __u16 *)((const __u8 *)(p) + (at)))
#define RAW32(p, at) (*(const __u32 *)((const __u8 *)(p) + (at)))
#define RAW64(p, at) (*(const __u64 *)((const __u8 *)(p) + (at)))

/* Always zero, which the verifier does not know: an offset that passes here may be anything to it,
 * so that it need not walk every path behind every combination of tags and extension headers. */
static volatile __u32 fl_zero;

static __always_inline __u64 forget(__u64 off)
{
	return (off + fl_zero) & 0x1ffff;
}

static __always_inline int is_ip_nibble(struct __sk_buff *skb, __u64 conf, __u64 off)
{
	__u64 scratch;
	const void *p = take(skb, conf, off, 1, &scratch);

	return p && (U8(p, 0) >> 4 == 4 || U8(p, 0) >> 4 == 6);
}

static __always_inline int skip_mpls(struct __sk_buff *skb, __u64 conf, __u64 *off)
{
	__u64 scratch;

	for (int i = 0; i < TAGS_MAX; i++) {
		const void *p = take(skb, conf, *off, 4, &scratch);

		if (!p)
			return 0;
		*off = forget(*off + 4);
		if (U8(p, 2) & 1)
			return is_ip_nibble(skb, conf, *off);
	}
	return 0;
}

static __always_inline int skip_pppoe(struct __sk_buff *skb, __u64 conf, __u64 *off)
{
	__u64 scratch;
	const void *p;
	__u32 protocol;

	*off += 6;
	p = take(skb, conf, *off, 2, &scratch);
	if (p && U8(p, 0) == 0xff && U8(p, 1) == 0x03)
		*off += 2;
	*off = forget(*off);
	p = take(skb, conf, *off, 1, &scratch);
	if (!p)
		return 0;
	protocol = U8(p, 0);
	*off += 1;
	if (!(protocol & 1)) {
		p = take(skb, conf, *off, 1, &scratch);
		if (!p)
			return 0;
		protocol = protocol << 8 | U8(p, 0);
		*off += 1;
	}
	*off = forget(*off);
	return protocol == 0x21 || protocol == 0x57;
}

static __always_inline int skip_tags(struct __sk_buff *skb, __u64 conf, __u64 *off, __u32 type)
{
	__u64 scratch;
	const void *p;

	for (int i = 0; i < TAGS_MAX; i++) {
		if (type == 0x0800 || type == 0x86dd)
			return 1;
		if (type == 0x8847 || type == 0x8848)
			return skip_mpls(skb, conf, off);
		if (type == 0x8864)
			return skip_pppoe(skb, conf, off);
		if (type != 0x8100 && type != 0x88a8 && type != 0x9100)
			return 0;
		p = take(skb, conf, *off, 4, &scratch);
		if (!p)
			return 0;
		type = BE16(p, 2);
		*off = forget(*off + 4);
	}
	return 0;
}

static __always_inline int skip_ethernet(struct __sk_buff *skb, __u64 conf, __u64 *off)
{
	__u64 scratch;
	const void *p = take(skb, conf, *off + 12, 2, &scratch);

	if (!p)
		return 0;
	*off += 14;
	return skip_tags(skb, conf, off, BE16(p, 0));
}

/* A tag the kernel moved into the socket buffer is not in the frame: nothing to skip. */
static __always_inline int skip_link(struct __sk_buff *skb, __u64 conf, __u64 *off)
{
	*off = 0;
	if (conf & FL_K_CONF_RAW)
		return is_ip_nibble(skb, conf, 0);
	return skip_ethernet(skb, conf, off);
}

/* Walks to the first header that is no extension. Comments on the cases: src/flow/decode.c. */
static __always_inline void skip_extensions(struct __sk_buff *skb, __u64 conf, struct network *n)
{
	__u64 scratch;

	for (int i = 0; i < EXTENSIONS_MAX; i++) {
		__u32 next = n->proto, length, after;
		const void *p;

		if (next == 44) {
			p = take(skb, conf, n->off, 8, &scratch);
			if (!p)
				return;
			n->proto = U8(p, 0);
			n->fragment = BE16(p, 2) & 0xfff9;
			n->later = BE16(p, 2) & 0xfff8;
			n->id = bpf_ntohl(RAW32(p, 4));
			n->headers += 8;
			n->off = forget(n->off + 8);
			if (n->later)
				return;
			continue;
		}
		if (next != 0 && next != 43 && next != 60 && next != 135 && next != 139 && next != 140)
			return;
		p = take(skb, conf, n->off, 2, &scratch);
		if (!p)
			return;
		after = U8(p, 0);
		length = (U8(p, 1) + 1) * 8;
		if (n->off + length > skb->len || (next >= 135 && after == 59))
			return;
		n->headers += length;
		n->off = forget(n->off + length);
		n->proto = after;
	}
}

static __always_inline enum outcome parse_network(struct __sk_buff *skb, __u64 conf, __u64 off, struct network *n,
						  struct packet *ret)
{
	__u64 scratch[5];
	const void *p = take(skb, conf, off, 20, scratch);
	__u32 wire = skb->len > off ? skb->len - off : 0, total;

	if (!p)
		return TRUNCATED;
	if (U8(p, 0) >> 4 == 4) {
		n->headers = (U8(p, 0) & 15) * 4;
		if (n->headers < 20)
			return TRUNCATED;
		total = BE16(p, 2);
		if (!total)
			total = wire;
		if (total < n->headers)
			return TRUNCATED;
		n->later = BE16(p, 6) & 0x1fff;
		n->fragment = BE16(p, 6) & 0x3fff;
		n->id = BE16(p, 4);
		n->proto = U8(p, 9);
		n->off = n->headers == 20 ? off + 20 : forget(off + n->headers);
		ret->bytes = total;
		ret->key[0] = ret->key[2] = 0;
		ret->key[1] = (__u64)RAW32(p, 12) << 32 | 0xffff0000u;
		ret->key[3] = (__u64)RAW32(p, 16) << 32 | 0xffff0000u;
		return IS_IP;
	}
	if (U8(p, 0) >> 4 != 6)
		return TRUNCATED;
	p = take(skb, conf, off, 40, scratch);
	if (!p)
		return TRUNCATED;
	total = BE16(p, 4);
	n->proto = U8(p, 6);
	ret->bytes = total || n->proto == 59 ? total + 40 : wire < 40 ? 40 : wire;
	n->headers = 40;
	n->off = off + 40;
	n->v6 = 0x80;
	ret->key[0] = RAW64(p, 8);
	ret->key[1] = RAW64(p, 16);
	ret->key[2] = RAW64(p, 24);
	ret->key[3] = RAW64(p, 32);
	skip_extensions(skb, conf, n);
	return IS_IP;
}

static __always_inline int has_ports(__u32 proto)
{
	return proto == 6 || proto == 17 || proto == 132 || proto == 136 || proto == 33;
}

static __always_inline void fragment_key(const struct network *n, const struct packet *p, struct fragment_key *ret)
{
	ret->address[0] = p->key[0];
	ret->address[1] = p->key[1];
	ret->address[2] = p->key[2];
	ret->address[3] = p->key[3];
	ret->id = n->id;
	ret->proto = n->proto;
}

static __always_inline void ports_of_fragment(struct network *n, const struct packet *p, __u64 now)
{
	struct fragment_key key;
	struct fragment_ports *ports;

	fragment_key(n, p, &key);
	ports = bpf_map_lookup_elem(&fl_fragments, &key);
	if (!ports || (now > ports->seen_ns && now - ports->seen_ns > FL_K_FRAGMENT_NS))
		return;
	n->sport = ports->sport;
	n->dport = ports->dport;
}

static __always_inline void first_fragment(const struct network *n, const struct packet *p, __u64 now)
{
	struct fragment_key key;
	struct fragment_ports ports = {.seen_ns = now, .sport = n->sport, .dport = n->dport};

	fragment_key(n, p, &key);
	bpf_map_update_elem(&fl_fragments, &key, &ports, BPF_ANY);
}

/* Returns the bytes of the transport header that segments repeat. */
static __always_inline __u32 parse_transport(struct __sk_buff *skb, __u64 conf, struct network *n, struct packet *ret,
					     __u64 now)
{
	__u64 scratch[2];
	__u32 length = 8, flags;
	const void *p = 0;

	if (n->proto == 6) {
		p = take(skb, conf, n->off, 14, scratch);
		length = 20;
		if (p) {
			length = (U8(p, 12) >> 4) * 4;
			flags = U8(p, 13);
			ret->tcp = (flags & 0x3f) | ((flags & 0x12) == 0x12 ? 0x40 : 0);
		}
	}
	if (!p)
		p = take(skb, conf, n->off, 4, scratch);
	if (!p)
		return 8;
	n->sport = BE16(p, 0);
	n->dport = BE16(p, 2);
	if (n->fragment)
		first_fragment(n, ret, now);
	return length;
}

static __always_inline enum outcome parse_ip(struct __sk_buff *skb, __u64 conf, __u64 off, __u64 now, struct network *n,
					     struct packet *ret)
{
	if (parse_network(skb, conf, off, n, ret) != IS_IP)
		return TRUNCATED;
	ret->packets = 1;
	if (has_ports(n->proto)) {
		if (n->later)
			ports_of_fragment(n, ret, now);
		else
			n->transport = parse_transport(skb, conf, n, ret, now);
	}
	return IS_IP;
}

/* Buffers of segmentation offload: one is many packets, and every one carries the headers. */
static __always_inline void count_segments(struct __sk_buff *skb, __u64 off, const struct network *n,
					   struct packet *ret)
{
	__u32 segments = skb->gso_segs, size = skb->gso_size, headers = n->headers + n->transport;
	__u64 payload = ret->bytes > headers ? ret->bytes - headers : 0;

	if (!segments && size)
		segments = (__u32)((payload + size - 1) / size);
	if (segments <= 1)
		return;
	ret->packets = segments;
	ret->bytes += (__u64)(segments - 1) * headers;
	/* On egress the stack has counted what every segment carries, inner headers of a tunnel
	 * too. On ingress wire_len is the buffer's length. */
	payload = skb->wire_len - segments * off;
	if (skb->wire_len > skb->len && payload < 1u << 31 && payload > ret->bytes)
		ret->bytes = payload;
}

/* ---- tunnels, on request ---- */

static __always_inline int open_gre(struct __sk_buff *skb, __u64 conf, __u64 *off)
{
	__u64 scratch;
	const void *p = take(skb, conf, *off, 4, &scratch);
	__u32 flags, type;

	if (!p)
		return 0;
	flags = BE16(p, 0);
	type = BE16(p, 2);
	if (flags & 7)
		return 0;
	*off = forget(*off + 4 + (flags & 0x8000 ? 4 : 0) + (flags & 0x2000 ? 4 : 0) + (flags & 0x1000 ? 4 : 0));
	return type == 0x6558 ? skip_ethernet(skb, conf, off) : skip_tags(skb, conf, off, type);
}

static __always_inline int open_udp_tunnel(struct __sk_buff *skb, __u64 conf, __u32 dport, __u64 *off)
{
	__u64 scratch;
	const void *p = take(skb, conf, *off + 8, 8, &scratch);
	__u32 type;

	if (!p)
		return 0;
	if (dport == 4789) {
		if (!(U8(p, 0) & 0x08))
			return 0;
		*off += 16;
		return skip_ethernet(skb, conf, off);
	}
	if (U8(p, 0) >> 6)
		return 0;
	type = BE16(p, 2);
	*off = forget(*off + 16 + (U8(p, 0) & 0x3f) * 4);
	return type == 0x6558 ? skip_ethernet(skb, conf, off) : skip_tags(skb, conf, off, type);
}

static __always_inline int open_tunnel(struct __sk_buff *skb, __u64 conf, const struct network *n, __u64 *ret_off)
{
	*ret_off = forget(n->off);
	if (n->later)
		return 0;
	if (n->proto == 4 || n->proto == 41)
		return is_ip_nibble(skb, conf, *ret_off);
	if (n->proto == 47)
		return open_gre(skb, conf, ret_off);
	if (n->proto == 17 && (n->dport == 4789 || n->dport == 6081))
		return open_udp_tunnel(skb, conf, n->dport, ret_off);
	return 0;
}

/* The innermost packet that is complete enough takes the outer one's place. */
static __always_inline void parse_inner(struct __sk_buff *skb, __u64 conf, __u64 now, struct network *n,
					struct packet *ret)
{
	for (int i = 0; i < TUNNELS_MAX; i++) {
		struct network inner = {};
		struct packet packet = {};
		__u64 off;

		n->proto = forget(n->proto);
		n->later = forget(n->later);
		n->dport = forget(n->dport);
		if (!open_tunnel(skb, conf, n, &off))
			return;
		off = forget(off);
		if (parse_ip(skb, conf, off, now, &inner, &packet) != IS_IP)
			return;
		packet.packets = ret->packets;
		*ret = packet;
		*n = inner;
	}
}

/* VLANs that have an interface of their own which is metered. Only frames with a tag ask. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, FL_K_SLOTS);
	__type(key, __u32);
	__type(value, struct fl_kvlans);
} fl_vlans SEC(".maps"); /* [slot] */

/* A frame whose outermost tag is that of such a VLAN. */
static __always_inline int belongs_to_vlan(struct __sk_buff *skb, __u64 conf)
{
	__u32 slot = conf & FL_K_CONF_SLOT, type, id;
	const struct fl_kvlans *vlans = bpf_map_lookup_elem(&fl_vlans, &slot);
	__u64 scratch;
	const void *p;

	if (!vlans)
		return 0;
	if (skb->vlan_present) {
		type = bpf_ntohs((__u16)skb->vlan_proto);
		id = skb->vlan_tci & 0xfff;
	} else {
		p = take(skb, conf, 12, 4, &scratch);
		if (!p)
			return 0;
		type = BE16(p, 0);
		id = BE16(p, 2) & 0xfff;
	}
	if (type != 0x8100 && type != 0x88a8)
		return 0;
	return vlans->id[type == 0x88a8][id / 64] >> (id % 64) & 1;
}

static __always_inline enum outcome parse(struct __sk_buff *skb, __u64 conf, __u64 now, const int inner,
					  struct packet *ret)
{
	struct network n = {};
	__u64 off;

	if (!skip_link(skb, conf, &off))
		return NOT_IP;
	ret->tcp = 0;
	ret->tagged = off > 14 || CONTEXT(skb, vlan_present);
	if (parse_ip(skb, conf, off, now, &n, ret) != IS_IP) {
		ret->packets = 1;
		ret->bytes = skb->len > off ? skb->len - off : 0;
		return TRUNCATED;
	}
	if (skb->gso_segs | skb->gso_size)
		count_segments(skb, off, &n, ret);
	if (inner)
		parse_inner(skb, conf, now, &n, ret);
	ret->key[4] = n.sport | (__u64)n.dport << 16 | (conf & FL_K_CONF_SLOT) << 32 |
		      (__u64)(n.v6 | (conf & FL_K_CONF_EGRESS ? FL_K_TC_EGRESS : 0)) << 48 | (__u64)n.proto << 56;
	return IS_IP;
}
#endif
