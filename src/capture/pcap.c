/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Capture files: pcap (draft-ietf-opsawg-pcap) and pcapng (draft-ietf-opsawg-pcapng), both byte orders. A damaged file
 * gives its packets up to the damage, then one sentence with the offset.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cursor.h"
#include "base/error.h"
#include "base/mem.h"
#include "capture/capture.h"
#include "capture/pcap_input.h"

#define INTERFACES_MAX 4096
#define RECORD_MAX (FL_INPUT_MAX - 64) /* a packet or block; larger is damage */

enum block {
	BLOCK_SECTION = 0x0a0d0d0a,
	BLOCK_INTERFACE = 1,
	BLOCK_OLD_PACKET = 2,
	BLOCK_SIMPLE = 3,
	BLOCK_PACKET = 6,
};

struct iface {
	enum fl_link link;
	uint16_t link_type; /* as the file has it */
	uint32_t snaplen;
	uint64_t ticks; /* a second, from if_tsresol */
	int64_t offset_s;
	char name[32];
};

struct fl_pcap {
	struct fl_input *in;
	char *path;
	bool ng, swapped;
	struct iface *iface;
	unsigned n_ifaces;
	uint32_t record_header; /* pcap: 16 bytes, 24 in the variant of Linux 2.2 */
	uint32_t tick_ns;       /* pcap: a unit of the fraction */
};

/* LINKTYPE_ numbers of the tcpdump.org registry. */
static const struct {
	uint16_t type;
	enum fl_link link;
} links[] = {
    {0, FL_LINK_NULL},        {1, FL_LINK_ETHERNET},    {9, FL_LINK_PPP},        {10, FL_LINK_FDDI},
    {12, FL_LINK_RAW_IP},     {14, FL_LINK_RAW_IP},     {50, FL_LINK_PPP},       {51, FL_LINK_PPPOE},
    {101, FL_LINK_RAW_IP},    {104, FL_LINK_CHDLC},     {105, FL_LINK_WLAN},     {107, FL_LINK_FRAME_RELAY},
    {108, FL_LINK_LOOP},      {113, FL_LINK_COOKED_V1}, {127, FL_LINK_RADIOTAP}, {192, FL_LINK_PPI},
    {228, FL_LINK_RAW_IP},    {229, FL_LINK_RAW_IP},    {239, FL_LINK_NFLOG},    {242, FL_LINK_IPOIB},
    {276, FL_LINK_COOKED_V2},
};

static void set_link(struct iface *i, uint32_t type)
{
	/* The upper half of pcap's word holds the length of a frame check sequence. */
	i->link_type = (uint16_t)type;
	i->link = FL_LINK_UNSUPPORTED;
	for (size_t k = 0; k < FL_ARRAY_LEN(links); k++)
		if (links[k].type == i->link_type)
			i->link = links[k].link;
}

static uint16_t u16(const struct fl_pcap *p, struct fl_cursor *c)
{
	return p->swapped ? fl_cur_be16(c) : fl_cur_le16(c);
}

static uint32_t u32(const struct fl_pcap *p, struct fl_cursor *c)
{
	return p->swapped ? fl_cur_be32(c) : fl_cur_le32(c);
}

static int damaged(const struct fl_pcap *p, const char *what)
{
	return fl_fail(-EBADMSG, "%s: %s at offset %llu; the packets before it are counted", p->path, what,
		       (unsigned long long)fl_input_offset(p->in));
}

#define NOT_AT_HAND 2
#define PREFETCH_BYTES 8192 /* measured: 512 to 4096 and 12288 upwards are slower */

/*
 * n bytes: 0. End of the input: 1 when nothing is left, an error in the middle of a record. Without refill the bytes
 * must be at hand already, so that what was handed out before in the same batch stays where it is: else NOT_AT_HAND.
 */
static inline int need(struct fl_pcap *p, size_t n, const uint8_t **ret, bool refill, const char *what)
{
	const struct fl_input_view *view = fl_input_view(p->in);
	size_t have = (size_t)(view->end - view->at);
	int r;

	if (fl_likely(have >= n)) {
		*ret = view->at;
		return 0;
	}
	if (!refill)
		return NOT_AT_HAND;
	r = fl_input_peek(p->in, n, ret, &have);
	if (r)
		return r;
	if (have == n)
		return 0;
	return have ? damaged(p, what) : 1;
}

static int add_iface(struct fl_pcap *p, const struct iface *i)
{
	struct iface *more;

	if (p->n_ifaces == INTERFACES_MAX)
		return damaged(p, "more interfaces than 4096");
	more = realloc(p->iface, (p->n_ifaces + 1) * sizeof *more);
	if (!more)
		return -ENOMEM;
	p->iface = more;
	p->iface[p->n_ifaces++] = *i;
	return 0;
}

static int open_classic(struct fl_pcap *p, uint32_t magic)
{
	struct iface i = {.ticks = magic == 0xa1b23c4d ? 1000000000 : 1000000};
	const uint8_t *h;
	struct fl_cursor c;
	int r = need(p, 24, &h, true, "the file header is cut");

	if (r)
		return r < 0 ? r : damaged(p, "no file header");
	c = fl_cursor(h, 24);
	fl_cur_skip(&c, 16);
	i.snaplen = u32(p, &c);
	set_link(&i, u32(p, &c));
	p->tick_ns = (uint32_t)(1000000000 / i.ticks);
	fl_input_advance(p->in, 24);
	return add_iface(p, &i);
}

int fl_pcap_open_input(struct fl_pcap **ret, struct fl_input *in, const char *name)
{
	FL_CLEANUP(fl_pcap_close) struct fl_pcap *p = calloc(1, sizeof *p);
	const uint8_t *h;
	uint32_t magic;
	int r;

	if (!p) {
		fl_input_close(&in);
		return -ENOMEM;
	}
	p->in = in;
	p->path = strdup(name);
	if (!p->path)
		return -ENOMEM;
	r = need(p, 4, &h, true, "the file is shorter than its first number");
	if (r)
		return r < 0 ? r : fl_fail(-EBADMSG, "%s: empty, not a capture file", p->path);
	memcpy(&magic, h, 4);
	if (magic == BLOCK_SECTION) {
		p->ng = true;
	} else {
		p->swapped = magic == 0xd4c3b2a1 || magic == 0x4d3cb2a1 || magic == 0x34cdb2a1;
		if (p->swapped)
			magic = __builtin_bswap32(magic);
		p->record_header = magic == 0xa1b2cd34 ? 24 : 16;
		if (magic != 0xa1b2c3d4 && magic != 0xa1b23c4d && magic != 0xa1b2cd34)
			return fl_fail(
			    -EBADMSG,
			    "%s: not a capture file (it begins with %02x %02x %02x %02x; pcap and pcapng are read)",
			    p->path, h[0], h[1], h[2], h[3]);
		r = open_classic(p, magic);
	}
	if (r)
		return r;
	*ret = p;
	p = NULL;
	return 0;
}

int fl_pcap_open(struct fl_pcap **ret, const char *path)
{
	struct fl_input *in = NULL;
	int r = fl_input_open(&in, path);

	return r ? r : fl_pcap_open_input(ret, in, strcmp(path, "-") ? path : "standard input");
}

void fl_pcap_close(struct fl_pcap **p)
{
	if (!*p)
		return;
	fl_input_close(&(*p)->in);
	free((*p)->path);
	free((*p)->iface);
	free(*p);
	*p = NULL;
}

static uint64_t nanoseconds(const struct iface *i, uint64_t ticks)
{
	__uint128_t ns = (__uint128_t)ticks * 1000000000u / i->ticks;

	return (uint64_t)ns + (uint64_t)(i->offset_s * 1000000000);
}

/* A packet's header, at h, in our byte order; all but the data, whose bytes need not be there yet. */
static inline void read_classic_header(const struct fl_pcap *p, const uint8_t *h, struct fl_pcap_packet *ret)
{
	uint32_t word[4];

	memcpy(word, h, sizeof word);
	if (p->swapped)
		for (unsigned i = 0; i < 4; i++)
			word[i] = __builtin_bswap32(word[i]);
	ret->data = h + p->record_header;
	ret->caplen = word[2];
	ret->wire_len = word[3];
	ret->time_ns = (uint64_t)word[0] * 1000000000 + (uint64_t)word[1] * p->tick_ns;
	ret->link = p->iface->link;
	ret->link_type = p->iface->link_type;
	ret->iface = 0;
	ret->direction = FL_DIR_NONE;
}

static int next_classic(struct fl_pcap *p, struct fl_pcap_packet *ret)
{
	const uint8_t *h;
	int r = need(p, p->record_header, &h, true, "a packet's header is cut");

	if (r)
		return r == 1 ? 0 : r;
	read_classic_header(p, h, ret);
	if (ret->caplen > RECORD_MAX)
		return damaged(p, "a packet of impossible length");
	r = need(p, p->record_header + (size_t)ret->caplen, &h, true, "a packet is cut");
	if (r)
		return r;
	ret->data = h + p->record_header; /* it may have been moved */
	fl_input_advance(p->in, p->record_header + (size_t)ret->caplen);
	return 1;
}

/* Whole packets that are at hand. What is cut or damaged is left to next_classic(). */
static size_t more_classic(struct fl_pcap *p, struct fl_pcap_packet *ret, size_t max)
{
	const struct fl_input_view *view = fl_input_view(p->in);
	const uint8_t *at = view->at;
	size_t n = 0, header = p->record_header, left = (size_t)(view->end - at);

	for (; n < max && left >= header; n++) {
		size_t length;

		read_classic_header(p, at, &ret[n]);
		length = header + ret[n].caplen;
		if (fl_unlikely(ret[n].caplen > RECORD_MAX || length > left))
			break;
		/* The next length is known only once this one was read: ask for memory well ahead of that chain. */
		__builtin_prefetch(at + PREFETCH_BYTES);
		__builtin_prefetch(at + PREFETCH_BYTES + 64);
		at += length;
		left -= length;
	}
	fl_input_advance(p->in, (size_t)(at - view->at));
	return n;
}

/* ---- pcapng ---- */

/* Calls fn for each option until the end of the body; a cut option ends the walk, the block's packet is whole. */
static void each_option(const struct fl_pcap *p, struct fl_cursor c, void (*fn)(void *, uint16_t, struct fl_cursor),
			void *ctx)
{
	while (fl_cur_left(&c) >= 4) {
		uint16_t code = u16(p, &c), n = u16(p, &c);
		struct fl_cursor value = fl_cur_sub(&c, n);

		if (c.bad || !code)
			return;
		fn(ctx, code, value);
		fl_cur_skip(&c, (4 - n % 4) % 4);
	}
}

struct option_ctx {
	const struct fl_pcap *p;
	struct iface *iface;
	struct fl_pcap_packet *packet;
};

static void interface_option(void *ctx, uint16_t code, struct fl_cursor v)
{
	struct option_ctx *o = ctx;
	uint8_t resolution;
	uint64_t offset;

	switch (code) {
	case 2: /* if_name */
		snprintf(o->iface->name, sizeof o->iface->name, "%.*s", (int)fl_cur_left(&v), (const char *)v.p);
		break;
	case 9: /* if_tsresol: a power of ten, or of two with the high bit */
		resolution = fl_cur_u8(&v);
		o->iface->ticks = 1;
		for (unsigned i = 0; i < (resolution & 0x7f) && o->iface->ticks < 1ull << 58; i++)
			o->iface->ticks *= resolution & 0x80 ? 2 : 10;
		break;
	case 14: /* if_tsoffset */
		offset = o->p->swapped ? fl_cur_be64(&v) : fl_cur_le64(&v);
		if (!v.bad && (int64_t)offset > -(1ll << 33) && (int64_t)offset < 1ll << 33)
			o->iface->offset_s = (int64_t)offset;
		break;
	default:
		break;
	}
}

static void packet_option(void *ctx, uint16_t code, struct fl_cursor v)
{
	struct option_ctx *o = ctx;

	if (code == 2) /* epb_flags: 01 inbound, 10 outbound */
		o->packet->direction = (uint8_t)(u32(o->p, &v) & 3) % FL_DIR_N;
}

static int read_interface(struct fl_pcap *p, struct fl_cursor c)
{
	struct iface i = {.ticks = 1000000};
	struct option_ctx o = {.p = p, .iface = &i};

	set_link(&i, u16(p, &c));
	fl_cur_skip(&c, 2);
	i.snaplen = u32(p, &c);
	if (c.bad)
		return damaged(p, "an interface block is cut");
	each_option(p, c, interface_option, &o);
	return add_iface(p, &i);
}

static int read_packet(struct fl_pcap *p, struct fl_cursor c, uint32_t type, struct fl_pcap_packet *ret)
{
	struct option_ctx o = {.p = p, .packet = ret};
	uint32_t number = 0;
	uint64_t ticks = 0;

	ret->direction = FL_DIR_NONE;
	if (type == BLOCK_SIMPLE) {
		ret->wire_len = u32(p, &c);
		ret->caplen = (uint32_t)FL_MIN((size_t)ret->wire_len, fl_cur_left(&c));
		if (p->n_ifaces && p->iface[0].snaplen)
			ret->caplen = FL_MIN(ret->caplen, p->iface[0].snaplen);
	} else {
		if (type == BLOCK_PACKET) {
			number = u32(p, &c);
		} else {
			number = u16(p, &c);
			fl_cur_skip(&c, 2); /* drop count */
		}
		ticks = (uint64_t)u32(p, &c) << 32;
		ticks |= u32(p, &c);
		ret->caplen = u32(p, &c);
		ret->wire_len = u32(p, &c);
	}
	ret->data = fl_cur_take(&c, ret->caplen);
	if (c.bad)
		return damaged(p, "a packet block is cut");
	if (number >= p->n_ifaces)
		return damaged(p, "a packet of an interface that was not described");
	ret->iface = (uint16_t)number;
	ret->link = p->iface[number].link;
	ret->link_type = p->iface[number].link_type;
	ret->time_ns = nanoseconds(&p->iface[number], ticks);
	fl_cur_skip(&c, (4 - ret->caplen % 4) % 4);
	if (type == BLOCK_PACKET)
		each_option(p, c, packet_option, &o);
	return 1;
}

/* A new section: its own byte order and interfaces. */
static int read_section(struct fl_pcap *p, const uint8_t *h)
{
	uint32_t order;
	uint16_t major;

	memcpy(&order, h + 8, 4);
	if (order != 0x1a2b3c4d && order != 0x4d3c2b1a)
		return damaged(p, "a section without a byte order");
	p->swapped = order == 0x4d3c2b1a;
	p->n_ifaces = 0;
	memcpy(&major, h + 12, 2);
	if (p->swapped)
		major = __builtin_bswap16(major);
	if (major != 1)
		return damaged(p, "a section of a pcapng version that is not known (1 is read)");
	return 0;
}

static int next_ng(struct fl_pcap *p, struct fl_pcap_packet *ret, bool refill)
{
	for (;;) {
		const uint8_t *h;
		struct fl_cursor c;
		uint32_t type, length;
		int r = need(p, 12, &h, refill, "a block's header is cut");

		if (r)
			return r == 1 ? 0 : r;
		memcpy(&type, h, 4);
		if (type == BLOCK_SECTION) {
			r = need(p, 16, &h, refill, "a section's header is cut");
			if (r)
				return r == 1 ? 0 : r;
			r = read_section(p, h);
			if (r)
				return r;
		}
		c = fl_cursor(h, 12);
		type = u32(p, &c);
		length = u32(p, &c);
		if (length < 12 || length % 4 || length > RECORD_MAX)
			return damaged(p, "a block of impossible length");
		r = need(p, length, &h, refill, "a block is cut");
		if (r)
			return r;
		c = fl_cursor(h + length - 4, 4);
		if (u32(p, &c) != length)
			return damaged(p, "a block whose two lengths differ");
		c = fl_cursor(h + 8, length - 12);
		if (type == BLOCK_INTERFACE)
			r = read_interface(p, c);
		else if (type == BLOCK_PACKET || type == BLOCK_SIMPLE || type == BLOCK_OLD_PACKET)
			r = read_packet(p, c, type, ret);
		if (r < 0)
			return r;
		fl_input_advance(p->in, length);
		if (r)
			return 1;
	}
}

int fl_pcap_next(struct fl_pcap *p, struct fl_pcap_packet *ret)
{
	return p->ng ? next_ng(p, ret, true) : next_classic(p, ret);
}

int fl_pcap_next_batch(struct fl_pcap *p, struct fl_pcap_packet *ret, size_t max, size_t *ret_n)
{
	size_t n = 0;
	int r = 1;

	if (!p->ng) {
		r = next_classic(p, ret);
		*ret_n = r == 1 ? 1 + more_classic(p, ret + 1, max - 1) : 0;
		return r;
	}
	while (n < max && r == 1) {
		r = next_ng(p, &ret[n], !n);
		n += r == 1;
	}
	*ret_n = n;
	return r == NOT_AT_HAND ? 1 : r;
}

uint64_t fl_pcap_offset(const struct fl_pcap *p)
{
	return fl_input_offset(p->in);
}

const char *fl_pcap_interface_name(const struct fl_pcap *p, unsigned iface)
{
	return iface < p->n_ifaces ? p->iface[iface].name : "";
}
