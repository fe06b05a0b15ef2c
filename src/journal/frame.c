/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A frame as bytes. Flows are sorted, so a flow says what differs from the one before it: a 16-bit
 * tag names the widths, then come the values in little endian. Widths are in the tag and not in the
 * bytes, so that both directions work without a branch a value: about 20 bytes a flow instead
 * of 64.
 */
#include "journal/frame.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/hash.h"
#include "record/record.h"

#define MAGIC 0x31464c46u /* "FLF1" */
#define VERSION 4u        /* 1: the ledger had no verdicts; 2: no addresses behind; 3: no grounds */
#define ENVELOPE 12u      /* magic, length, checksum */
#define PAYLOAD_MAX ((size_t)1 << 30)
#define FLOW_BYTES_MIN 7u /* tag, packets, bytes, first: bounds what a hostile count can make us allocate */

/* tag */
#define T_PACKETS(t) ((t)&3u)      /* 1 2 4 8 bytes */
#define T_BYTES(t) ((t) >> 2 & 3u) /* 2 3 4 8 */
#define T_SPAN(t) ((t) >> 4 & 3u)  /* 0 1 2 3: last - first */
#define T_FIRST3 0x0040u           /* first has three bytes, else two */
#define T_SRC 0x0080u              /* as before */
#define T_DST 0x0100u
#define T_SPORT 0x0200u
#define T_DPORT 0x0400u
#define T_PROTO 0x0800u /* protocol and direction as before */
#define T_LONG 0x1000u  /* addresses in full, else IPv4 */
#define T_TCP 0x2000u   /* flags follow */
#define T_REJECT 0x4000u
#define T_INSIDE 0x8000u /* key.iface follows: an address behind one of the two */

static const uint8_t packets_width[4] = {1, 2, 4, 8}, bytes_width[4] = {2, 3, 4, 8};

static const struct {
	uint16_t offset, size;
} eni_texts[] = {
#define TEXT(member)                                                                                                   \
	{                                                                                                              \
		offsetof(struct fl_eni, member), sizeof(((struct fl_eni *)NULL)->member)                               \
	}
    TEXT(account_id), TEXT(interface_id), TEXT(vpc_id), TEXT(subnet_id), TEXT(instance_id), TEXT(region),
    TEXT(az_id),      TEXT(name),         TEXT(kind),   TEXT(device),    TEXT(netns),
#undef TEXT
};

/* ---- writing ---- */

static uint8_t *put(uint8_t *p, const void *v, size_t n)
{
	memcpy(p, v, n);
	return p + n;
}

static uint8_t *put_varint(uint8_t *p, uint64_t v)
{
	for (; v >= 0x80; v >>= 7)
		*p++ = (uint8_t)(v | 0x80);
	*p++ = (uint8_t)v;
	return p;
}

static uint8_t *put_count(uint8_t *p, const struct fl_count *c)
{
	return put_varint(put_varint(p, c->packets), c->bytes);
}

static uint8_t *put_ledger(uint8_t *p, const struct fl_ledger *l)
{
	static const struct fl_ledger empty;

	*p++ = memcmp(l, &empty, sizeof empty) != 0;
	if (!p[-1])
		return p;
	p = put_varint(p, l->skbs);
	p = put_count(put_count(put_count(p, &l->seen), &l->recorded), &l->not_ip);
	for (unsigned i = 0; i < FL_RULE_N; i++)
		p = put_count(p, &l->excluded[i]);
	for (unsigned i = 0; i < FL_LOSS_N; i++)
		p = put_count(p, &l->lost[i]);
	for (unsigned i = 0; i < FL_VERDICT_N; i++)
		p = put_count(p, &l->verdict[i]);
	return p;
}

static uint8_t *put_eni(uint8_t *p, const struct fl_eni *e)
{
	for (size_t i = 0; i < FL_ARRAY_LEN(eni_texts); i++) {
		const char *s = (const char *)e + eni_texts[i].offset;
		size_t n = strnlen(s, eni_texts[i].size - 1u);

		*p++ = (uint8_t)n;
		p = put(p, s, n);
	}
	p = put(p, &e->ifindex, 4);
	p = put(p, e->mac, sizeof e->mac);
	*p++ = (uint8_t)(e->flip | e->has_v4 << 1);
	return put(p, &e->primary_v4, sizeof e->primary_v4);
}

static uint8_t *put_head(uint8_t *p, const struct fl_frame *f, bool first)
{
	static const struct fl_ledger empty;
	const struct fl_window *w = &f->window;
	uint32_t flags = first ? w->flags : w->flags & ~FL_WINDOW_SKIPDATA;

	*p++ = VERSION;
	*p++ = FL_RULE_N;
	*p++ = FL_LOSS_N;
	*p++ = FL_VERDICT_N;
	p = put(p, w->boot_id, sizeof w->boot_id);
	p = put(p, &w->epoch, 4);
	p = put(p, &w->window, 4);
	p = put(p, &w->part, 4);
	p = put(p, &flags, 4);
	p = put(p, &w->start, 8);
	p = put(p, &w->length, 4);
	p = put_eni(p, &f->eni);
	for (unsigned d = 0; d < FL_DIR_N; d++)
		p = put_ledger(p, first ? &f->ledger[d] : &empty);
	p = put_varint(p, f->n_inside);
	return put(p, f->inside, f->n_inside * sizeof f->inside[0]);
}

static inline unsigned bytes_needed(uint64_t v) /* 0 for 0 */
{
	return v ? (71u - (unsigned)__builtin_clzll(v)) >> 3 : 0;
}

static inline uint8_t *put_flow(uint8_t *p, const struct fl_flow *f, const struct fl_flow *before, bool inside)
{
	static const uint8_t packets_code[9] = {0, 0, 1, 2, 2, 3, 3, 3, 3}, bytes_code[9] = {0, 0, 0, 1, 2, 3, 3, 3, 3};
	uint64_t first = f->first_ms, span = f->last_ms - first;
	unsigned pc = packets_code[bytes_needed(f->packets)], bc = bytes_code[bytes_needed(f->bytes)],
		 sc = bytes_needed(span);
	bool is_long = !fl_addr_is_mapped_v4(&f->key.src) || !fl_addr_is_mapped_v4(&f->key.dst);
	size_t skip = is_long ? 0 : 12, n = 16 - skip;
	unsigned tag = pc | bc << 2 | sc << 4 | (f->action ? T_REJECT : 0);
	uint8_t *at = p;

	p += 2;
	tag |= is_long ? T_LONG : 0;
	if (fl_addr_equal(&f->key.src, &before->key.src))
		tag |= T_SRC;
	else
		p = put(p, f->key.src.b + skip, n);
	if (fl_addr_equal(&f->key.dst, &before->key.dst))
		tag |= T_DST;
	else
		p = put(p, f->key.dst.b + skip, n);
	tag |= f->key.sport == before->key.sport ? T_SPORT : 0;
	memcpy(p, &f->key.sport, 2);
	p += tag & T_SPORT ? 0 : 2;
	tag |= f->key.dport == before->key.dport ? T_DPORT : 0;
	memcpy(p, &f->key.dport, 2);
	p += tag & T_DPORT ? 0 : 2;
	if (f->key.proto == before->key.proto && f->key.dirfam == before->key.dirfam) {
		tag |= T_PROTO;
	} else {
		*p++ = f->key.proto;
		*p++ = f->key.dirfam;
	}
	memcpy(p, &f->packets, 8);
	p += packets_width[pc];
	memcpy(p, &f->bytes, 8);
	p += bytes_width[bc];
	tag |= first > 0xffff ? T_FIRST3 : 0;
	memcpy(p, &first, 8);
	p += first > 0xffff ? 3 : 2;
	memcpy(p, &span, 8);
	p += sc;
	tag |= f->tcp ? T_TCP : 0;
	*p = f->tcp;
	p += f->tcp ? 1 : 0;
	if (fl_unlikely(inside && f->key.iface)) {
		tag |= T_INSIDE;
		p = put(p, &f->key.iface, 2);
	}
	at[0] = (uint8_t)tag;
	at[1] = (uint8_t)(tag >> 8);
	return p;
}

/*
 * Grounds come after the flows: a table, then runs of flows with the same one. Neighbours nearly always have, so that
 * a frame with few rules pays a byte here and there.
 */
#define GROUND_ROW_MAX (4 + FL_GROUND_DROP + FL_GROUND_RULE)
#define GROUND_RUN_MAX 8 /* two varints: number, flows */

struct grounds {
	uint16_t row[FL_GROUNDS_MAX]; /* by number in the piece: number in the frame */
	uint16_t piece[FL_GROUNDS_MAX + 1];
	unsigned n, runs;
	size_t bytes; /* no more than these will be written */
};

/* Room for flow i's; false: a number that there is none of. */
static bool note_ground(struct grounds *g, const struct fl_frame *f, size_t i, bool begins)
{
	unsigned number = f->ground[i];

	if (number > f->n_grounds)
		return false;
	if (number && !g->piece[number]) {
		g->row[g->n++] = (uint16_t)number;
		g->piece[number] = (uint16_t)g->n;
		g->bytes += GROUND_ROW_MAX;
	}
	if (begins || number != f->ground[i - 1])
		g->bytes += GROUND_RUN_MAX;
	return true;
}

static uint8_t *put_text(uint8_t *p, const char *s, size_t size)
{
	size_t n = strnlen(s, size - 1);

	*p++ = (uint8_t)n;
	return put(p, s, n);
}

static uint8_t *put_grounds(uint8_t *p, const struct grounds *g, const struct fl_frame *f, size_t from, size_t to)
{
	p = put_varint(p, g->n);
	for (unsigned i = 0; i < g->n; i++) {
		const struct fl_ground *row = &f->grounds[g->row[i] - 1];

		*p++ = row->opinion;
		*p++ = row->reason;
		p = put_text(p, row->drop, sizeof row->drop);
		p = put_text(p, row->rule, sizeof row->rule);
	}
	for (size_t i = from, end; g->n && i < to; i = end) {
		for (end = i + 1; end < to && f->ground[end] == f->ground[i];)
			end++;
		p = put_varint(put_varint(p, g->piece[f->ground[i]]), end - i);
	}
	return p;
}

static int check(const struct fl_flow *f)
{
	if (f->action > 1 || f->last_ms < f->first_ms || f->key.dirfam & ~(FL_KEY_DIR | FL_KEY_V6) ||
	    fl_key_dir(&f->key) >= FL_DIR_N)
		return fl_fail(-EINVAL, "journal: a flow with action %u, direction %u, %u to %u ms cannot be written",
			       f->action, f->key.dirfam, f->first_ms, f->last_ms);
	return 0;
}

int fl_frame_put(const struct fl_frame *f, size_t from, size_t max_bytes, struct fl_buf *out, size_t *ret_to)
{
	static const struct fl_flow none;
	struct grounds g = {.bytes = 2}; /* how many there are */
	size_t begin = out->len, counts, i;
	uint32_t n, bytes;
	int r = fl_buf_reserve(out, FL_FRAME_HEAD_MAX + 8);

	if (r)
		return r;
	if (f->n_inside > FL_INSIDE_MAX)
		return fl_fail(-E2BIG, "a frame of %u addresses behind is larger than the limit of %d", f->n_inside,
			       FL_INSIDE_MAX);
	if (f->n_grounds > FL_GROUNDS_MAX)
		return fl_fail(-E2BIG, "a frame of %u grounds is larger than the limit of %d", f->n_grounds,
			       FL_GROUNDS_MAX);
	out->len = (size_t)((char *)put_head((uint8_t *)out->data + out->len, f, from == 0) - out->data);
	counts = out->len;
	out->len += 8;
	for (i = from; i < f->n_flows; i++) {
		if (i > from && out->len - begin + FL_FLOW_BYTES_MAX + g.bytes > max_bytes)
			break;
		if (f->ground && !note_ground(&g, f, i, i == from))
			return fl_fail(-EINVAL, "journal: a flow with ground %u of %u cannot be written", f->ground[i],
				       f->n_grounds);
		if (fl_unlikely(out->cap - out->len < FL_FLOW_BYTES_MAX)) {
			r = fl_buf_reserve(out, FL_FLOW_BYTES_MAX);
			if (r)
				return r;
		}
		r = check(&f->flows[i]);
		if (fl_unlikely(r))
			return r;
		out->len = (size_t)((char *)put_flow((uint8_t *)out->data + out->len, &f->flows[i],
						     i > from ? &f->flows[i - 1] : &none, f->n_inside) -
				    out->data);
	}
	n = (uint32_t)(i - from);
	bytes = (uint32_t)(out->len - counts - 8);
	memcpy(out->data + counts, &n, 4);
	memcpy(out->data + counts + 4, &bytes, 4);
	r = fl_buf_reserve(out, g.bytes);
	if (r)
		return r;
	out->len = (size_t)((char *)put_grounds((uint8_t *)out->data + out->len, &g, f, from, i) - out->data);
	*ret_to = i;
	return 0;
}

int fl_frame_encode(const struct fl_frame *f, struct fl_buf *out)
{
	size_t at = out->len, to;
	uint32_t word[3] = {MAGIC};
	int r;

	if (f->n_flows > FL_JOURNAL_FLOWS_MAX)
		return fl_fail(-E2BIG, "a frame of %zu flows is larger than the limit of %u", f->n_flows,
			       FL_JOURNAL_FLOWS_MAX);
	r = fl_buf_add(out, word, sizeof word);
	if (!r)
		r = fl_frame_put(f, 0, PAYLOAD_MAX, out, &to);
	if (!r && to < f->n_flows)
		r = fl_fail(-E2BIG, "a frame of %zu flows is larger than %zu bytes", f->n_flows, PAYLOAD_MAX);
	if (r) {
		out->len = at;
		return r;
	}
	word[1] = (uint32_t)(out->len - at - ENVELOPE);
	word[2] = fl_crc32c(0, out->data + at + ENVELOPE, word[1]);
	memcpy(out->data + at, word, sizeof word);
	return 0;
}

/* ---- reading ---- */

static uint64_t get_varint(struct fl_cursor *c)
{
	uint64_t v = 0;

	for (unsigned shift = 0; shift < 64; shift += 7) {
		uint8_t b = fl_cur_u8(c);

		v |= (uint64_t)(b & 0x7f) << shift;
		if (!(b & 0x80))
			return v;
	}
	c->bad = true;
	return 0;
}

static void get_count(struct fl_cursor *c, struct fl_count *ret)
{
	ret->packets = get_varint(c);
	ret->bytes = get_varint(c);
}

static void get_ledger(struct fl_cursor *c, unsigned rules, unsigned losses, unsigned verdicts, struct fl_ledger *ret)
{
	memset(ret, 0, sizeof *ret);
	if (!fl_cur_u8(c))
		return;
	ret->skbs = get_varint(c);
	get_count(c, &ret->seen);
	get_count(c, &ret->recorded);
	get_count(c, &ret->not_ip);
	for (unsigned i = 0; i < rules; i++)
		get_count(c, &ret->excluded[i]);
	for (unsigned i = 0; i < losses; i++)
		get_count(c, &ret->lost[i]);
	for (unsigned i = 0; i < verdicts; i++)
		get_count(c, &ret->verdict[i]);
}

static void get_eni(struct fl_cursor *c, struct fl_eni *ret)
{
	const uint8_t *b;
	uint8_t bits;

	memset(ret, 0, sizeof *ret);
	for (size_t i = 0; i < FL_ARRAY_LEN(eni_texts); i++) {
		size_t n = fl_cur_u8(c);

		b = n < eni_texts[i].size ? fl_cur_take(c, n) : NULL;
		if (!b || memchr(b, 0, n)) {
			c->bad = true;
			return;
		}
		memcpy((char *)ret + eni_texts[i].offset, b, n);
	}
	ret->ifindex = fl_cur_le32(c);
	b = fl_cur_take(c, sizeof ret->mac);
	if (b)
		memcpy(ret->mac, b, sizeof ret->mac);
	bits = fl_cur_u8(c);
	ret->flip = bits & 1;
	ret->has_v4 = bits & 2;
	b = fl_cur_take(c, sizeof ret->primary_v4);
	if (b)
		memcpy(&ret->primary_v4, b, sizeof ret->primary_v4);
}

static void get_inside(struct fl_cursor *c, struct fl_frame *ret)
{
	uint64_t n = get_varint(c);
	const uint8_t *b = n <= FL_INSIDE_MAX ? fl_cur_take(c, n * sizeof ret->inside[0]) : NULL;

	if (!b) {
		c->bad = true;
		return;
	}
	ret->n_inside = (uint32_t)n;
	memcpy(ret->inside, b, n * sizeof ret->inside[0]);
}

static int get_head(struct fl_cursor *c, struct fl_frame *ret, unsigned *ret_version)
{
	struct fl_window *w = &ret->window;
	unsigned version = fl_cur_u8(c), rules = fl_cur_u8(c), losses = fl_cur_u8(c);
	unsigned verdicts = version >= 2 ? fl_cur_u8(c) : 0;
	const uint8_t *boot;

	*ret_version = version;
	if (!c->bad &&
	    (!version || version > VERSION || rules > FL_RULE_N || losses > FL_LOSS_N || verdicts > FL_VERDICT_N))
		return fl_fail(-EBADMSG, "frame of version %u with %u rules and %u causes: written by a newer flowlog",
			       version, rules, losses);
	boot = fl_cur_take(c, sizeof w->boot_id);
	if (boot)
		memcpy(w->boot_id, boot, sizeof w->boot_id);
	w->epoch = fl_cur_le32(c);
	w->window = fl_cur_le32(c);
	w->part = fl_cur_le32(c);
	w->flags = fl_cur_le32(c);
	w->start = (int64_t)fl_cur_le64(c);
	w->length = fl_cur_le32(c);
	get_eni(c, &ret->eni);
	for (unsigned d = 0; d < FL_DIR_N; d++)
		get_ledger(c, rules, losses, verdicts, &ret->ledger[d]);
	if (version >= 3)
		get_inside(c, ret);
	return c->bad ? fl_fail(-EBADMSG, "frame: its head is cut short") : 0;
}

static inline const uint8_t *take(const uint8_t *p, void *to, size_t n)
{
	memcpy(to, p, n);
	return p + n;
}

static inline uint64_t load(const uint8_t *p, unsigned width)
{
	static const uint64_t masks[9] = {0, 0xff, 0xffff, 0xffffff, 0xffffffff, 0, 0, 0, UINT64_MAX};
	uint64_t v;

	memcpy(&v, p, 8);
	return v & masks[width];
}

/* p has FL_FLOW_BYTES_MAX readable bytes. ret->key is the flow's before on entry. NULL: impossible
 * values. */
static inline const uint8_t *get_flow(const uint8_t *p, struct fl_flow *ret)
{
	unsigned tag = p[0] | (unsigned)p[1] << 8, first_width = tag & T_FIRST3 ? 3 : 2;
	size_t skip = tag & T_LONG ? 0 : 12, n = 16 - skip;
	static const struct fl_addr mapped = {.b = {[10] = 0xff, [11] = 0xff}};
	uint64_t first, last;

	p += 2;
	if (!(tag & T_SRC)) {
		ret->key.src = mapped;
		p = take(p, ret->key.src.b + skip, n);
	}
	if (!(tag & T_DST)) {
		ret->key.dst = mapped;
		p = take(p, ret->key.dst.b + skip, n);
	}
	if (!(tag & T_SPORT))
		p = take(p, &ret->key.sport, 2);
	if (!(tag & T_DPORT))
		p = take(p, &ret->key.dport, 2);
	if (!(tag & T_PROTO)) {
		ret->key.proto = *p++;
		ret->key.dirfam = *p++;
		if (ret->key.dirfam & ~(FL_KEY_DIR | FL_KEY_V6) || fl_key_dir(&ret->key) >= FL_DIR_N)
			return NULL;
	}
	ret->packets = load(p, packets_width[T_PACKETS(tag)]);
	p += packets_width[T_PACKETS(tag)];
	ret->bytes = load(p, bytes_width[T_BYTES(tag)]);
	p += bytes_width[T_BYTES(tag)];
	first = load(p, first_width);
	p += first_width;
	last = first + load(p, T_SPAN(tag));
	p += T_SPAN(tag);
	if (last > 0xffffff)
		return NULL;
	ret->first_ms = first & 0xffffff;
	ret->last_ms = last & 0xffffff;
	ret->action = tag & T_REJECT ? 1 : 0;
	ret->tcp = tag & T_TCP ? *p : 0;
	p += !!(tag & T_TCP);
	ret->key.iface = 0;
	return fl_unlikely(tag & T_INSIDE) ? take(p, &ret->key.iface, 2) : p;
}

static int get_flows(struct fl_cursor c, struct fl_flow *flows, size_t n, uint32_t n_inside)
{
	uint8_t tail[2 * FL_FLOW_BYTES_MAX] = {0};
	const uint8_t *p = c.p, *end = c.end;
	struct fl_flow f = {0};
	size_t i = 0, left;

	for (; i < n && (size_t)(end - p) >= FL_FLOW_BYTES_MAX; i++) {
		p = get_flow(p, &f);
		if (fl_unlikely(!p || (f.key.iface & ~FL_INSIDE_DST) > n_inside))
			return fl_fail(-EBADMSG, "frame: flow %zu has impossible values", i);
		flows[i] = f;
	}
	/* The last flows are read from a copy with slack behind it. */
	for (; i < n; i++) {
		left = (size_t)(end - p);
		memset(tail, 0, sizeof tail);
		memcpy(tail, p, FL_MIN(left, (size_t)FL_FLOW_BYTES_MAX));
		c.p = get_flow(tail, &f);
		if (!c.p || (size_t)(c.p - tail) > left || (f.key.iface & ~FL_INSIDE_DST) > n_inside)
			return fl_fail(-EBADMSG, "frame: flow %zu is cut short or has impossible values", i);
		p += c.p - tail;
		flows[i] = f;
	}
	return p == end ? 0 : fl_fail(-EBADMSG, "frame: %zu bytes after the last flow", (size_t)(end - p));
}

static bool get_text(struct fl_cursor *c, char *to, size_t size)
{
	size_t n = fl_cur_u8(c);
	const uint8_t *b = n < size ? fl_cur_take(c, n) : NULL;

	/* One word, as it was written: what prints it need not look. */
	for (size_t i = 0; b && i < n; i++)
		if (b[i] <= ' ' || b[i] > '~' || b[i] == '"' || b[i] == ',' || b[i] == '\\')
			return false;
	if (!b)
		return false;
	memset(to, 0, size);
	memcpy(to, b, n);
	return true;
}

static int get_grounds(struct fl_cursor *c, struct fl_ground *row, size_t rows, uint16_t *ground, size_t n)
{
	size_t at = 0;

	for (size_t i = 0; i < rows; i++) {
		row[i].opinion = fl_cur_u8(c);
		row[i].reason = fl_cur_u8(c);
		if (!get_text(c, row[i].drop, sizeof row->drop) || !get_text(c, row[i].rule, sizeof row->rule) ||
		    row[i].opinion >= FL_OPINION_N || row[i].reason >= FL_REASON_N)
			return fl_fail(-EBADMSG, "frame: ground %zu has impossible values", i);
	}
	while (at < n) {
		uint64_t number = get_varint(c), run = get_varint(c);

		if (c->bad || number > rows || !run || run > n - at)
			return fl_fail(-EBADMSG, "frame: the grounds of flow %zu are cut short or impossible", at);
		for (; run; run--)
			ground[at++] = (uint16_t)number;
	}
	return c->bad || fl_cur_left(c) ? fl_fail(-EBADMSG, "frame: %zu bytes after the grounds", fl_cur_left(c)) : 0;
}

/* Flows, then the rows of grounds, then a number a flow. */
static int make_room(void **store, size_t *size, size_t n, size_t rows)
{
	size_t need = n * sizeof(struct fl_flow) + rows * sizeof(struct fl_ground) + (rows ? n * sizeof(uint16_t) : 0);

	if (*size >= need)
		return 0;
	free(*store);
	*size = 0;
	*store = malloc(need);
	if (!*store)
		return fl_fail(-ENOMEM, "no memory for %zu flows", n);
	*size = need;
	return 0;
}

int fl_frame_get(struct fl_cursor *c, struct fl_frame *ret, void **store, size_t *store_size, bool decode_flows)
{
	struct fl_cursor flows;
	struct fl_ground *grounds;
	uint16_t *ground;
	unsigned version;
	uint64_t rows;
	uint32_t n, bytes;
	int r;

	memset(ret, 0, sizeof *ret);
	r = get_head(c, ret, &version);
	if (r)
		return r;
	n = fl_cur_le32(c);
	bytes = fl_cur_le32(c);
	if (c->bad || bytes > fl_cur_left(c) || (version < 4 && bytes != fl_cur_left(c)) || n > FL_JOURNAL_FLOWS_MAX ||
	    (uint64_t)n * FLOW_BYTES_MIN > bytes)
		return fl_fail(-EBADMSG, "frame: %u flows in %u bytes, %zu bytes are there", n, bytes, fl_cur_left(c));
	flows = fl_cur_sub(c, bytes);
	ret->n_flows = n;
	if (!decode_flows)
		return 0;
	rows = version < 4 ? 0 : get_varint(c);
	if (c->bad || rows > FL_GROUNDS_MAX)
		return fl_fail(-EBADMSG, "frame: %llu grounds", (unsigned long long)rows);
	r = make_room(store, store_size, n, rows);
	if (r)
		return r;
	ret->flows = *store;
	r = get_flows(flows, *store, n, ret->n_inside);
	if (r || !rows)
		return r || !fl_cur_left(c) ? r
					    : fl_fail(-EBADMSG, "frame: %zu bytes after the last flow", fl_cur_left(c));
	grounds = (struct fl_ground *)((struct fl_flow *)*store + n);
	ground = (uint16_t *)(grounds + rows);
	r = get_grounds(c, grounds, rows, ground, n);
	if (r)
		return r;
	ret->grounds = grounds;
	ret->n_grounds = (uint32_t)rows;
	ret->ground = ground;
	return 0;
}

int fl_frame_decode(struct fl_cursor *c, struct fl_frame *ret, void **store, size_t *store_size)
{
	struct fl_cursor head = *c, payload;
	uint32_t magic = fl_cur_le32(&head), n = fl_cur_le32(&head), crc = fl_cur_le32(&head);
	int r;

	if (head.bad)
		return 0;
	if (magic != MAGIC)
		return fl_fail(-EBADMSG, "not a frame: it begins with %08x", magic);
	if (n > PAYLOAD_MAX)
		return fl_fail(-EBADMSG, "frame: a length of %u bytes is over the limit", n);
	if (fl_cur_left(&head) < n)
		return 0;
	payload = fl_cur_sub(&head, n);
	if (fl_crc32c(0, payload.p, n) != crc)
		return fl_fail(-EBADMSG, "frame: checksum mismatch");
	r = fl_frame_get(&payload, ret, store, store_size, true);
	if (r)
		return r;
	*c = head;
	return 1;
}
