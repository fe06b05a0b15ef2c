/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * The few members of the kernel's own structures that drops.bpf.c reads. libbpf finds where they are in the running
 * kernel by their names (CO-RE), so nothing here says anything about offsets, and what is left out is not needed.
 */
#ifndef FL_BPF_KERNEL_H
#define FL_BPF_KERNEL_H

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct ns_common {
	unsigned int inum;
};
struct net {
	struct ns_common ns;
};
typedef struct {
	struct net *net;
} possible_net_t;
struct net_device {
	int ifindex;
	unsigned int priv_flags;
	possible_net_t nd_net;
};
struct dst_entry {
	struct net_device *dev;
};
struct sk_buff {
	struct sk_buff *next;
	struct net_device *dev;
	char cb[48];
	unsigned long _skb_refdst;
	unsigned long _nfct;
	unsigned int len;
	int skb_iif;
	__u16 network_header;
	unsigned int end; /* an offset, as on every 64-bit kernel */
	unsigned char *head, *data;
};
struct skb_shared_info {
	unsigned short gso_size, gso_segs;
	struct sk_buff *frag_list;
};
struct inet_skb_parm { /* what IP keeps in sk_buff.cb */
	__u16 frag_max_size;
};
struct inet6_skb_parm {
	__u16 frag_max_size;
};

union nf_inet_addr {
	__u32 all[4];
};
union nf_conntrack_man_proto {
	__u16 all;
};
struct nf_conntrack_man {
	union nf_inet_addr u3;
	union nf_conntrack_man_proto u;
	__u16 l3num;
};
struct nf_conntrack_tuple {
	struct nf_conntrack_man src;
	struct {
		union nf_inet_addr u3;
		union {
			__u16 all;
		} u;
		__u8 protonum;
	} dst;
};
struct nf_conntrack_tuple_hash {
	struct nf_conntrack_tuple tuple;
};
struct nf_conn {
	struct nf_conntrack_tuple_hash tuplehash[2];
	unsigned long status;
};

#pragma clang attribute pop

#define SKB_DST_PTRMASK (~1ul)
#define NFCT_INFOMASK 7ul
#define NFCT_PTRMASK (~NFCT_INFOMASK)
#define CT_INFO_RELATED 1 /* enum ip_conntrack_info: 0 established, 1 related, 2 new; 3 and 4 the replies */
#define CT_INFO_IS_REPLY 3
#define CT_STATUS_NAT 0x30 /* IPS_SRC_NAT | IPS_DST_NAT */
#define IFF_EBRIDGE 0x2    /* of priv_flags */
#endif
