/* SPDX-License-Identifier: Apache-2.0 */
/* Link layers: each leaves the cursor at the IP header, or says that there is none. */
#include "flow/links.h"

#define TAGS_MAX 8   /* VLAN, MPLS and PPPoE headers one after another */
#define NFLOG_MAX 64 /* attributes before the packet */

enum ethertype {
	ET_IPV4 = 0x0800,
	ET_TEB = 0x6558, /* transparent Ethernet bridging, RFC 1701 */
	ET_VLAN = 0x8100,
	ET_IPV6 = 0x86dd,
	ET_MPLS = 0x8847,
	ET_MPLS_UP = 0x8848,
	ET_PPPOE = 0x8864,
	ET_QINQ = 0x88a8,
	ET_QINQ_OLD = 0x9100,
};

static bool is_ip(uint16_t ethertype)
{
	return ethertype == ET_IPV4 || ethertype == ET_IPV6;
}

/* A PPP protocol field of one or two bytes (RFC 1661 section 2), behind address and control or not. */
static bool skip_ppp(struct fl_cursor *c)
{
	uint16_t protocol;

	if (fl_cur_left(c) >= 2 && c->p[0] == 0xff && c->p[1] == 0x03)
		fl_cur_skip(c, 2);
	protocol = fl_cur_u8(c);
	if (!(protocol & 1))
		protocol = (uint16_t)(protocol << 8 | fl_cur_u8(c));
	return !c->bad && (protocol == 0x21 || protocol == 0x57);
}

/* The label stack ends at its bottom bit; what follows has no type, so the version nibble decides (RFC 4928). */
static bool skip_mpls(struct fl_cursor *c)
{
	for (unsigned i = 0; i < TAGS_MAX; i++) {
		uint32_t label = fl_cur_be32(c);

		if (c->bad)
			return false;
		if (label & 0x100)
			return fl_cur_left(c) && (c->p[0] >> 4 == 4 || c->p[0] >> 4 == 6);
	}
	return false;
}

static bool skip_tags(struct fl_cursor *c, uint16_t ethertype)
{
	for (unsigned i = 0; i < TAGS_MAX; i++) {
		switch (ethertype) {
		case ET_IPV4:
		case ET_IPV6:
			return true;
		case ET_VLAN:
		case ET_QINQ:
		case ET_QINQ_OLD:
			fl_cur_skip(c, 2);
			ethertype = fl_cur_be16(c);
			break;
		case ET_MPLS:
		case ET_MPLS_UP:
			return skip_mpls(c);
		case ET_PPPOE:
			fl_cur_skip(c, 6);
			return skip_ppp(c);
		default:
			return false;
		}
		if (c->bad)
			return false;
	}
	return false;
}

static bool skip_ethernet(struct fl_cursor *c)
{
	uint16_t ethertype;

	fl_cur_skip(c, 12);
	ethertype = fl_cur_be16(c);
	return !c->bad && (is_ip(ethertype) || skip_tags(c, ethertype));
}

static bool skip_raw(struct fl_cursor *c)
{
	return fl_cur_left(c) && (c->p[0] >> 4 == 4 || c->p[0] >> 4 == 6);
}

static bool skip_chdlc(struct fl_cursor *c)
{
	uint16_t ethertype;

	fl_cur_skip(c, 2);
	ethertype = fl_cur_be16(c);
	return !c->bad && skip_tags(c, ethertype);
}

/* On a link of its own PPP also carries MPLS (RFC 3032 section 4). */
static bool skip_ppp_link(struct fl_cursor *c)
{
	struct fl_cursor at = *c;

	if (fl_cur_left(&at) >= 2 && at.p[0] == 0xff && at.p[1] == 0x03)
		fl_cur_skip(&at, 2);
	if (fl_cur_left(&at) >= 2 && at.p[0] == 0x0f &&
	    at.p[1] == 0x00) /* Cisco HDLC on a port that speaks both (RFC 1547) */
		return skip_chdlc(c);
	if (fl_cur_be16(&at) == 0x0281) {
		*c = at;
		return skip_mpls(c);
	}
	return skip_ppp(c);
}

/* IEEE 802.2 with a subnetwork header (RFC 1042), or IP's own access point. */
static bool skip_llc(struct fl_cursor *c)
{
	const uint8_t *h = fl_cur_take(c, 3);
	uint16_t ethertype;

	if (!h || h[2] != 3)
		return false;
	if (h[0] == 6)
		return skip_raw(c);
	fl_cur_skip(c, 3);
	ethertype = fl_cur_be16(c);
	return !c->bad && h[0] == 0xaa && skip_tags(c, ethertype);
}

static bool skip_fddi(struct fl_cursor *c)
{
	fl_cur_skip(c, 13);
	return !c->bad && skip_llc(c);
}

/* RFC 2427: address octets until one is odd, then control and a network protocol; Cisco puts an Ethernet type there. */
static bool skip_frame_relay(struct fl_cursor *c)
{
	uint8_t octet = 0;

	for (unsigned i = 0; i < 4 && !(octet & 1); i++)
		octet = fl_cur_u8(c);
	if (c->bad || !(octet & 1))
		return false;
	if (fl_cur_left(c) && c->p[0] != 3)
		return skip_tags(c, fl_cur_be16(c));
	fl_cur_skip(c, 1);
	octet = fl_cur_u8(c);
	if (!octet) /* padding */
		octet = fl_cur_u8(c);
	if (octet == 0x80) {
		fl_cur_skip(c, 3);
		return skip_tags(c, fl_cur_be16(c));
	}
	return !c->bad && (octet == 0xcc || octet == 0x8e) && skip_raw(c);
}

/* IEEE 802.11 data frames in the clear; what is encrypted, aggregated or a later fragment holds no readable IP header.
 */
static bool skip_wlan(struct fl_cursor *c)
{
	const uint8_t *h = fl_cur_take(c, 24);
	bool qos;

	if (!h || (h[0] & 0x0f) != 0x08 || h[0] & 0x40 || h[1] & 0x40 || h[22] & 0x0f)
		return false;
	qos = h[0] & 0x80;
	if ((h[1] & 3) == 3)
		fl_cur_skip(c, 6);
	if (qos) {
		if (fl_cur_u8(c) & 0x80)
			return false;
		fl_cur_skip(c, h[1] & 0x80 ? 5 : 1);
	}
	return !c->bad && skip_llc(c);
}

/* radiotap.org: version, padding, length of the whole header. */
static bool skip_radiotap(struct fl_cursor *c)
{
	uint16_t length;

	fl_cur_skip(c, 2);
	length = fl_cur_le16(c);
	return !c->bad && length >= 4 && fl_cur_skip(c, length - 4u) && skip_wlan(c);
}

static bool skip_ppi(struct fl_cursor *c)
{
	uint16_t length;
	uint32_t type;

	fl_cur_skip(c, 2);
	length = fl_cur_le16(c);
	type = fl_cur_le32(c);
	if (c->bad || length < 8 || !fl_cur_skip(c, length - 8u))
		return false;
	return type == 1 ? skip_ethernet(c) : type == 105 && skip_wlan(c);
}

/* Linux NFLOG: family, version, resource, then attributes in the writer's byte order; number 9 is the packet. */
static bool skip_nflog(struct fl_cursor *c)
{
	fl_cur_skip(c, 4);
	for (unsigned i = 0; i < NFLOG_MAX && !c->bad; i++) {
		uint16_t length = fl_cur_le16(c), type = fl_cur_le16(c);

		if (c->bad || length < 4)
			return false;
		if ((type & 0x7fff) == 9)
			return skip_raw(c);
		fl_cur_skip(c, (length - 4u + 3u) & ~3u);
	}
	return false;
}

/* IP over InfiniBand as captured: 40 bytes of global routing header, type, two reserved bytes (RFC 4391 section 6). */
static bool skip_ipoib(struct fl_cursor *c)
{
	uint16_t ethertype;

	fl_cur_skip(c, 40);
	ethertype = fl_cur_be16(c);
	fl_cur_skip(c, 2);
	return !c->bad && skip_tags(c, ethertype);
}

static bool skip_cooked_v1(struct fl_cursor *c)
{
	uint16_t ethertype;

	fl_cur_skip(c, 14);
	ethertype = fl_cur_be16(c);
	return !c->bad && skip_tags(c, ethertype);
}

static bool skip_cooked_v2(struct fl_cursor *c)
{
	uint16_t ethertype = fl_cur_be16(c);

	fl_cur_skip(c, 18);
	return !c->bad && skip_tags(c, ethertype);
}

/* AF_INET is 2 everywhere; AF_INET6 is 10 on Linux, 24, 28 or 30 on the BSDs. The version nibble agrees or it is no IP.
 */
static bool skip_family(struct fl_cursor *c)
{
	uint32_t family = fl_cur_be32(c);

	if (family > 0xffff)
		family = __builtin_bswap32(family);
	if (c->bad || (family != 2 && family != 10 && family != 24 && family != 28 && family != 30))
		return false;
	return skip_raw(c);
}

static bool skip_pppoe(struct fl_cursor *c)
{
	return skip_tags(c, ET_PPPOE);
}

static bool skip_nothing(struct fl_cursor *c)
{
	(void)c;
	return false;
}

static bool (*const links[FL_LINK_N])(struct fl_cursor *) = {
    [FL_LINK_ETHERNET] = skip_ethernet,   [FL_LINK_RAW_IP] = skip_raw,
    [FL_LINK_COOKED_V1] = skip_cooked_v1, [FL_LINK_COOKED_V2] = skip_cooked_v2,
    [FL_LINK_NULL] = skip_family,         [FL_LINK_LOOP] = skip_family,
    [FL_LINK_PPP] = skip_ppp_link,        [FL_LINK_PPPOE] = skip_pppoe,
    [FL_LINK_CHDLC] = skip_chdlc,         [FL_LINK_FRAME_RELAY] = skip_frame_relay,
    [FL_LINK_FDDI] = skip_fddi,           [FL_LINK_WLAN] = skip_wlan,
    [FL_LINK_RADIOTAP] = skip_radiotap,   [FL_LINK_PPI] = skip_ppi,
    [FL_LINK_NFLOG] = skip_nflog,         [FL_LINK_IPOIB] = skip_ipoib,
    [FL_LINK_UNSUPPORTED] = skip_nothing,
};

bool fl_link_skip(enum fl_link link, struct fl_cursor *c)
{
	return links[link](c) && !c->bad;
}

bool fl_link_skip_type(struct fl_cursor *c, uint16_t ethertype)
{
	return ethertype == ET_TEB ? skip_ethernet(c) : skip_tags(c, ethertype);
}
