/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * Headers of one frame, with the outcomes of src/flow/decode.c (tests/capture/test_ebpf_parse.c holds the two against
 * each other). Everything is read through take(), which finds bytes outside the linear part too; a read past the
 * end is NULL. Everything is inlined: a copy of the program is one function without relocations.
 */
#ifndef FL_BPF_PARSE_H
#define FL_BPF_PARSE_H

#define TAGS_MAX 8
#define EXTENSIONS_MAX 16
#define OFFSET_MAX 0xff00 /* of a header in a frame; the verifier accepts 0xffff with what is read behind it */

enum outcome { IS_IP, NOT_IP, TRUNCATED };

struct packet {
	__u64 key[5];	    /* as the first 40 bytes of struct fl_partial, without slot and direction */
	__u64 bytes;
	__u32 packets;
	__u32 tcp;
};

struct network {
	__u64 off; /* of the payload */
	__u32 headers;
	__u32 id;
	__u32 proto, v6;
	__u32 fragment, later;
	__u32 sport, dport; /* host order */
};

struct fragment_key {
	__u64 address[4];
	__u32 id, proto;
};
struct fragment_ports {
	__u64 seen_ns;
	__u32 sport, dport;
};
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, FL_K_FRAGMENTS);
	__type(key, struct fragment_key);
	__type(value, struct fragment_ports);
} fl_fragments SEC(".maps");

static __always_inline const void *take(struct __sk_buff *skb, __u64 conf, __u64 off, const __u32 n, void *scratch)
{
	if (off > OFFSET_MAX)
		return 0;
	barrier_var(off);
	if (!(conf & FL_K_CONF_NONLINEAR)) {
		const void *p = (const void *)(long)skb->data + off;

		if (p + n <= (const void *)(long)skb->data_end)
			return p;
	}
	return bpf_skb_load_bytes(skb, off, scratch, n) ? 0 : scratch;
}

#define U8(p, at) (((const __u8 *)(p))[at])
#define BE16(p, at) bpf_ntohs(*(const __u16 *)((const __u8 *)(p) + (at)))
#define RAW32(p, at) (*(const __u32 *)((const __u8 *)(p) + (at)))
#define RAW64(p, at) (*(const __u64 *)((const __u8 *)(p) + (at)))

/* Always zero, which the verifier does not know: an offset that passes here may be anything to it, so that it need not
 * walk every path behind every combination of tags and extension headers. */
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

/* A tag the kernel moved into the socket buffer is not in the frame: nothing to skip. */
static __always_inline int skip_link(struct __sk_buff *skb, __u64 conf, __u64 *off)
{
	__u64 scratch;
	const void *p;
	__u32 type;

	*off = 0;
	if (conf & FL_K_CONF_RAW)
		return is_ip_nibble(skb, conf, 0);
	p = take(skb, conf, 12, 2, &scratch);
	if (!p)
		return 0;
	type = BE16(p, 0);
	*off = 14;
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

static __always_inline enum outcome parse(struct __sk_buff *skb, __u64 conf, __u64 now, struct packet *ret)
{
	struct network n = {};
	__u32 segments, size, transport = 0;
	__u64 off, payload;

	if (!skip_link(skb, conf, &off))
		return NOT_IP;
	ret->tcp = 0;
	if (parse_network(skb, conf, off, &n, ret) != IS_IP) {
		ret->bytes = skb->len > off ? skb->len - off : 0;
		return TRUNCATED;
	}
	if (has_ports(n.proto)) {
		if (n.later)
			ports_of_fragment(&n, ret, now);
		else
			transport = parse_transport(skb, conf, &n, ret, now);
	}
	ret->packets = 1;
	segments = skb->gso_segs;
	size = skb->gso_size;
	if (segments | size) {
		n.headers += transport;
		payload = ret->bytes > n.headers ? ret->bytes - n.headers : 0;
		if (!segments)
			segments = (__u32)((payload + size - 1) / size);
		if (segments > 1) {
			ret->packets = segments;
			ret->bytes += (__u64)(segments - 1) * n.headers;
		}
	}
	ret->key[4] = n.sport | (__u64)n.dport << 16 | (conf & FL_K_CONF_SLOT) << 32 |
		      (__u64)(n.v6 | (conf & FL_K_CONF_EGRESS ? FL_K_TC_EGRESS : 0)) << 48 | (__u64)n.proto << 56;
	return IS_IP;
}
#endif
