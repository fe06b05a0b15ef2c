// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/*
 * Verdicts in the kernel: every buffer that the packet filter drops becomes an entry of the rings of drops, with the
 * interface, direction and tuple under which tc counted it. See shared.h. Nothing here runs for a packet that is let
 * through.
 *
 * One producer a CPU without a lock: the kernel does not enter a tracing program that is running on this CPU again. A
 * drop inside an interrupt of this very program is therefore not told; the kernel counts it (recursion_misses).
 */
#include <linux/bpf.h>
#include <linux/types.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>

#include "shared.h"
#include "maps.h"
#include "kernel.h"

#define EXTENSIONS_MAX 8
#define FRAGMENTS_MAX 64 /* of one datagram that are counted one by one */
#define PREVIOUS_WINDOW_TIME                                                                                           \
	45 /* how long after a border (FL_K_TIME_UNIT_NS) the window before it may still take a drop */
#define IP_MTU_MIN 68

char LICENSE[] SEC("license") = "GPL";

const volatile __u32 fl_reject_reason = ~0u; /* the kernel's number of NETFILTER_DROP */

struct dropped {
	__u64 key[5];
	__u64 bytes;
	__u32 packets, tcp;
	/* on the way to the key */
	__u64 transport; /* address of the header */
	__u32 headers;   /* bytes of the network header */
	__u32 transport_headers;
	__u32 proto, v6, fragment, later, id, icmp_error;
	__u32 sport, dport; /* host order */
};

/* Functions that are not inlined are verified alone, for any buffer and any headers: together they would be too many
 * paths. Buffers are numbers to them; every access is a read that may fail. */
#define ALONE __attribute__((noinline))

#define READ(to, from) bpf_probe_read_kernel((to), sizeof *(to), (const void *)(from))

/* ---- which interface ---- */

static __always_inline __u32 netns_of(struct net_device *dev)
{
	return BPF_CORE_READ(dev, nd_net.net, ns.inum);
}

static __always_inline struct fl_kwhere *where(__u32 netns, __u32 ifindex)
{
	struct fl_kwhere_key key = {.netns = netns, .ifindex = ifindex};

	return bpf_map_lookup_elem(&fl_where, &key);
}

/* The interface a buffer came in by, or would have left by: dirfam's direction and the kind of entry. */
static __always_inline struct fl_kwhere *find_interface(struct sk_buff *skb, __u32 *ret_egress, __u32 *ret_kind)
{
	struct net_device *dev = BPF_CORE_READ(skb, dev);
	__u32 iif = BPF_CORE_READ(skb, skb_iif), netns;
	struct dst_entry *route;
	struct fl_kwhere *w;

	*ret_kind = iif ? FL_EVICT_DROPPED : FL_EVICT_DROPPED_BEFORE;
	*ret_egress = !iif;
	if (!dev) { /* the output hook: only the route knows */
		route = (void *)(BPF_CORE_READ(skb, _skb_refdst) & SKB_DST_PTRMASK);
		dev = route ? BPF_CORE_READ(route, dev) : 0;
	}
	if (!dev)
		return 0;
	netns = netns_of(dev);
	w = where(netns, iif ? iif : (__u32)BPF_CORE_READ(dev, ifindex));
	if (w) {
		*ret_egress ^= w->other_end != 0;
		return w;
	}
	/* Handed up by a bridge the buffer no longer knows its port. */
	if (!iif || (__u32)BPF_CORE_READ(dev, ifindex) != iif || !(BPF_CORE_READ(dev, priv_flags) & IFF_EBRIDGE))
		return 0;
	*ret_kind = FL_EVICT_DROPPED_BRIDGED;
	return where(netns, 0);
}

/* ---- the headers ---- */

static __always_inline int parse_v4(__u64 at, __u32 wire, struct dropped *d)
{
	__u8 h[20];
	__u32 address[2];

	if (READ(&h, at))
		return 0;
	d->headers = (h[0] & 15) * 4;
	d->bytes = h[2] << 8 | h[3];
	if (!d->bytes)
		d->bytes = wire;
	if (d->headers < 20 || d->bytes < d->headers)
		return 0;
	d->fragment = (h[6] << 8 | h[7]) & 0x3fff;
	d->later = (h[6] << 8 | h[7]) & 0x1fff;
	d->id = h[4] << 8 | h[5];
	d->proto = h[9];
	__builtin_memcpy(address, h + 12, 8);
	d->key[1] = (__u64)address[0] << 32 | 0xffff0000u;
	d->key[3] = (__u64)address[1] << 32 | 0xffff0000u;
	d->transport = at + d->headers;
	return 1;
}

ALONE int fl_skip_extensions(struct dropped *d)
{
	if (!d)
		return 0;
	for (int i = 0; i < EXTENSIONS_MAX; i++) {
		__u32 next = d->proto;
		__u8 h[8];

		if (next != 0 && next != 43 && next != 44 && next != 60 && next != 135 && next != 139 && next != 140)
			break;
		if (READ(&h, d->transport))
			break;
		if (next == 44) {
			d->fragment = (h[2] << 8 | h[3]) & 0xfff9;
			d->later = (h[2] << 8 | h[3]) & 0xfff8;
			d->id = (__u32)h[4] << 24 | h[5] << 16 | h[6] << 8 | h[7];
		}
		if (next >= 135 && h[0] == 59)
			break;
		d->proto = h[0];
		d->headers += next == 44 ? 8 : (h[1] + 1) * 8;
		d->transport += next == 44 ? 8 : (h[1] + 1) * 8;
		if (d->later)
			break;
	}
	return 1;
}

static __always_inline int parse_v6(__u64 at, __u32 wire, struct dropped *d)
{
	__u8 h[8];
	__u32 total;

	if (READ(&h, at) || bpf_probe_read_kernel(d->key, 32, (const void *)(at + 8)))
		return 0;
	total = h[4] << 8 | h[5];
	d->proto = h[6];
	d->bytes = total || d->proto == 59 ? total + 40 : wire < 40 ? 40 : wire;
	d->headers = 40;
	d->v6 = 0x80;
	d->transport = at + 40;
	fl_skip_extensions(d);
	return 1;
}

static __always_inline int has_ports(__u32 proto)
{
	return proto == 6 || proto == 17 || proto == 132 || proto == 136 || proto == 33;
}

ALONE int fl_parse_transport(struct dropped *d, __u64 now)
{
	__u8 h[14];

	if (!d)
		return 0;
	if (d->proto == 1 || d->proto == 58) {
		if (!d->later && !bpf_probe_read_kernel(h, 1, (const void *)d->transport))
			d->icmp_error = d->proto == 58
					    ? h[0] >= 1 && h[0] <= 4
					    : h[0] == 3 || h[0] == 4 || h[0] == 5 || h[0] == 11 || h[0] == 12;
		return 1;
	}
	if (!has_ports(d->proto))
		return 1;
	if (d->later) {
		struct fragment_key key = {
		    .address = {d->key[0], d->key[1], d->key[2], d->key[3]}, .id = d->id, .proto = d->proto};
		struct fragment_ports *ports = bpf_map_lookup_elem(&fl_fragments, &key);

		if (ports && (now <= ports->seen_ns || now - ports->seen_ns <= FL_K_FRAGMENT_NS)) {
			d->sport = ports->sport;
			d->dport = ports->dport;
		}
		return 1;
	}
	d->transport_headers = 8;
	if (d->proto == 6 && !READ(&h, d->transport)) {
		d->transport_headers = (h[12] >> 4) * 4;
		d->tcp = (h[13] & 0x3f) | ((h[13] & 0x12) == 0x12 ? 0x40 : 0);
	} else if (bpf_probe_read_kernel(h, 4, (const void *)d->transport)) {
		return 1;
	}
	d->sport = h[0] << 8 | h[1];
	d->dport = h[2] << 8 | h[3];
	return 1;
}

ALONE int fl_parse(__u64 buffer, __u64 now, struct dropped *d)
{
	struct sk_buff *skb = (void *)buffer;
	__u64 at = (__u64)BPF_CORE_READ(skb, head) + BPF_CORE_READ(skb, network_header);
	__u64 data = (__u64)BPF_CORE_READ(skb, data);
	__u32 len = BPF_CORE_READ(skb, len);
	__u32 wire = at >= data && at - data <= len ? len - (__u32)(at - data) : len;
	__u8 version;

	if (!d || READ(&version, at))
		return 0;
	d->packets = 1;
	if (version >> 4 == 4 ? !parse_v4(at, wire, d) : version >> 4 == 6 ? !parse_v6(at, wire, d) : 1)
		return 0;
	fl_parse_transport(d, now);
	return 1;
}

/* ---- how many packets it was ---- */

ALONE __u32 fl_count_list(__u64 list)
{
	struct sk_buff *f = (void *)list;
	__u32 n = 1;

	for (int i = 0; i < FRAGMENTS_MAX && f; i++) {
		n++;
		f = BPF_CORE_READ(f, next);
	}
	return f ? 0 : n;
}

/* A list too long to walk, or none because somebody has made the buffer one piece. */
static __always_inline __u32 count_by_size(struct sk_buff *skb, const struct dropped *d)
{
	__u32 most = d->v6 ? BPF_CORE_READ((struct inet6_skb_parm *)&skb->cb, frag_max_size)
			   : BPF_CORE_READ((struct inet_skb_parm *)&skb->cb, frag_max_size);
	__u32 headers = d->headers + (d->v6 ? 8 : 0), room;

	if (most < IP_MTU_MIN || most <= headers + 8 || most >= d->bytes)
		return 1;
	room = (most - headers) & ~7u;
	return ((__u32)d->bytes - d->headers + room - 1) / room;
}

ALONE int fl_count_packets(__u64 buffer, struct dropped *d)
{
	struct sk_buff *skb = (void *)buffer;
	struct skb_shared_info *shared = (void *)(BPF_CORE_READ(skb, head) + BPF_CORE_READ(skb, end));
	__u32 segments = BPF_CORE_READ(shared, gso_segs), size = BPF_CORE_READ(shared, gso_size);
	struct sk_buff *list = BPF_CORE_READ(shared, frag_list);
	__u32 headers;

	if (!d)
		return 0;
	headers = d->headers + d->transport_headers;
	if (!segments && size)
		segments = ((__u32)(d->bytes > headers ? d->bytes - headers : 0) + size - 1) / size;
	if (segments > 1) {
		d->packets = segments;
		d->bytes += (__u64)(segments - 1) * headers;
		return 1;
	}
	if (size || d->fragment)
		return 1;
	segments = list ? fl_count_list((__u64)list) : 0;
	if (!segments)
		segments = count_by_size(skb, d);
	if (segments <= 1)
		return 1;
	d->packets = segments;
	d->bytes += (__u64)(segments - 1) * d->headers + (d->v6 ? segments * 8 : 0);
	return 1;
}

/* ---- the tuple it came in with ---- */

static __always_inline void set_address(__u64 key[2], const __u32 all[4], __u32 v6)
{
	if (v6) {
		key[0] = (__u64)all[1] << 32 | all[0];
		key[1] = (__u64)all[3] << 32 | all[2];
	} else {
		key[1] = (__u64)all[0] << 32 | 0xffff0000u;
	}
}

/* Address translation rewrites the buffer; conntrack keeps what either direction looks like before it does. */
ALONE int fl_undo_nat(__u64 buffer, struct dropped *d)
{
	struct sk_buff *skb = (void *)buffer;
	unsigned long nfct = bpf_core_field_exists(skb->_nfct) ? BPF_CORE_READ(skb, _nfct) : 0;
	struct nf_conn *ct = (void *)(nfct & NFCT_PTRMASK);
	struct nf_conntrack_tuple *t;
	__u32 src[4], dst[4], info = nfct & NFCT_INFOMASK;

	if (!d || !ct || !bpf_core_type_exists(struct nf_conn) || !(BPF_CORE_READ(ct, status) & CT_STATUS_NAT))
		return 1;
	t = info >= CT_INFO_IS_REPLY ? &ct->tuplehash[1].tuple : &ct->tuplehash[0].tuple;
	BPF_CORE_READ_INTO(&src, t, src.u3.all);
	BPF_CORE_READ_INTO(&dst, t, dst.u3.all);
	if ((BPF_CORE_READ(t, src.l3num) == 10) != !!d->v6)
		return 1;
	/* An error belongs to the connection it complains about, but comes from wherever. */
	if (d->icmp_error) {
		set_address(d->key + 2, dst, d->v6);
		return 1;
	}
	if (BPF_CORE_READ(t, dst.protonum) != d->proto)
		return 1;
	set_address(d->key, src, d->v6);
	set_address(d->key + 2, dst, d->v6);
	if (has_ports(d->proto) && !d->later) {
		d->sport = bpf_ntohs(BPF_CORE_READ(t, src.u.all));
		d->dport = bpf_ntohs(BPF_CORE_READ(t, dst.u.all));
	}
	return 1;
}

/* ---- telling it ---- */

static __always_inline int is_cached(const struct dropped *d, const struct place *at, __u32 window)
{
	__u32 i = slot_of(d->key, at->cpu, window);
	struct fl_partial *f = bpf_map_lookup_elem(&fl_cache, &i);
	const __u64 *key = (const void *)f;

	return f && f->window == window && key[4] == d->key[4] && key[3] == d->key[3] && key[2] == d->key[2] &&
	       key[1] == d->key[1] && key[0] == d->key[0];
}

static __always_inline void tell(const struct dropped *d, const struct place *at, __u32 kind)
{
	struct fl_kring *ring;
	struct fl_partial *e;
	__u64 prod, *key;

	ring = ring_with_room(&fl_drop_rings, fl_drop_bits, at->cpu, 1, &prod);
	e = ring ? ring_entry(&fl_drops, fl_drop_bits, at->cpu, prod) : 0;
	if (!e) {
		__u32 cpu = at->cpu;

		ring = bpf_map_lookup_elem(&fl_drop_rings, &cpu);
		if (ring)
			ring->lost += d->packets;
		return;
	}
	key = (void *)e;
	key[0] = d->key[0];
	key[1] = d->key[1];
	key[2] = d->key[2];
	key[3] = d->key[3];
	key[4] = d->key[4];
	e->window = at->window;
	e->first = e->last = at->time;
	e->packets = d->packets;
	e->tcp = d->tcp;
	e->evict = kind;
	e->cpu = at->cpu;
	e->bytes = d->bytes;
	ring_push(ring, fl_drop_bits, at->cpu, prod, 1);
}

/* Seen at the end of one window and dropped at the beginning of the next: the drop belongs where the packet was
 * counted. */
static __always_inline void choose_window(const struct dropped *d, struct place *at)
{
	if (at->time > PREVIOUS_WINDOW_TIME || is_cached(d, at, at->window) || !is_cached(d, at, at->window - 1))
		return;
	at->window--;
	at->time = 0xffff; /* the window's end; user space knows how long it is */
}

static __always_inline void rejected(__u64 buffer)
{
	struct dropped d = {};
	struct place at;
	__u32 egress, kind;
	/* The meter's coarse clock, a tick behind this one, is not to be had here: choose_window() makes up for it. */
	__u64 now = bpf_ktime_get_ns();
	struct fl_kwhere *w = find_interface((void *)buffer, &egress, &kind);

	if (!w || !fl_parse(buffer, now, &d) || !find_place(now, &at))
		return;
	fl_count_packets(buffer, &d);
	if (kind != FL_EVICT_DROPPED_BEFORE)
		fl_undo_nat(buffer, &d);
	d.key[4] = d.sport | (__u64)d.dport << 16 | (__u64)(w->slot & FL_K_CONF_SLOT) << 32 |
		   (__u64)(d.v6 | (egress ? FL_K_TC_EGRESS : 0)) << 48 | (__u64)d.proto << 56;
	if (kind == FL_EVICT_DROPPED)
		choose_window(&d, &at);
	tell(&d, &at, kind);
}

/* Routing, a closed port, a full queue: not a verdict, but a reason worth a number. */
static __always_inline void other_cause(__u64 buffer, __u32 reason)
{
	struct sk_buff *skb = (void *)buffer;
	__u32 iif = BPF_CORE_READ(skb, skb_iif), i;
	struct fl_kcause *cause;

	/* dev shares its place with other things once a socket has the buffer: what is no device is not found. */
	if (!iif || !where(netns_of(BPF_CORE_READ(skb, dev)), iif))
		return;
	i = bpf_get_smp_processor_id() * FL_K_CAUSES + (reason < FL_K_CAUSES ? reason : FL_K_CAUSES - 1);
	cause = bpf_map_lookup_elem(&fl_causes, &i);
	if (cause)
		cause->buffers++;
}

SEC("tp_btf/kfree_skb")
int fl_drop(__u64 *ctx)
{
	__u32 reason = (__u32)ctx[2];
	__u64 buffer;

	/* As a number: the verifier would not have a pointer passed on to a function that it verifies alone. */
	if (bpf_probe_read_kernel(&buffer, sizeof buffer, ctx))
		return 0;
	if (reason == fl_reject_reason)
		rejected(buffer);
	else
		other_cause(buffer, reason);
	return 0;
}
