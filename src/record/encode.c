/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A format becomes a list of steps for each status of a record. A step copies a literal
 * (separators, JSON keys and all that is the same for every record of an ENI) and then calls one
 * writer for a value of the flow.
 */
#include "record/fields.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"

#define COLUMNS_MAX 96
#define VALUE_MAX 64 /* longest value of a flow: an address in quotes */
#define SLACK 16     /* copies are made in whole blocks; what is written over is written again */

struct values {
	const struct fl_flow_line *line;
	const struct fl_record_meta *meta;
	enum fl_output output;
};

typedef char *(*writer_fn)(char *p, const struct values *v, unsigned field);

struct step {
	writer_fn write; /* NULL ends the program */
	uint16_t field, literal_len;
	uint32_t literal;
	uint8_t origin; /* enum fl_origin; FL_FROM_N: only write knows */
};

struct program {
	struct step step[COLUMNS_MAX + 1];
	char literals[FL_RECORD_MAX + SLACK];
	size_t literals_len, max_len;
};

struct fl_encoder {
	const struct fl_format *format; /* borrowed */
	enum fl_output output;
	struct program program[FL_STATUS_N];
};

static struct {
	char text[4]; /* "255." */
	uint8_t len;
} octets[256];

__attribute__((constructor)) static void fill_octets(void)
{
	for (unsigned i = 0; i < 256; i++) {
		char *p = octets[i].text;

		if (i >= 100)
			*p++ = (char)('0' + i / 100);
		if (i >= 10)
			*p++ = (char)('0' + i / 10 % 10);
		*p++ = (char)('0' + i % 10);
		*p++ = '.';
		octets[i].len = (uint8_t)(p - octets[i].text);
	}
}

/* Eight digits in memory order, one a byte, without the '0'. v < 100,000,000. */
static inline uint64_t eight_digits(uint64_t v)
{
	uint64_t x = v / 10000 | v % 10000 << 32, high;

	high = x * 10486 >> 20 & 0x0000007f0000007fu; /* a hundredth of each half: exact below 10,000 */
	x = high | (x - high * 100) << 16;
	high = x * 103 >> 10 & 0x000f000f000f000fu; /* a tenth of each quarter: exact below 100 */
	return high | (x - high * 10) << 8;
}

#define ZEROS 0x3030303030303030u

/* Lengths vary from value to value: no loop and no branch depends on them. Writes up to 8 bytes beyond the end. */
static inline char *put_short(char *p, uint64_t v)
{
	uint64_t digits = eight_digits(v);
	/* The last digit is written even when it is 0. */
	unsigned leading = (unsigned)__builtin_ctzll(digits | UINT64_C(1) << 56) / 8;

	digits = (digits | ZEROS) >> (8 * leading);
	memcpy(p, &digits, 8);
	return p + 8 - leading;
}

static inline char *put_eight(char *p, uint64_t v)
{
	uint64_t digits = eight_digits(v) | ZEROS;

	memcpy(p, &digits, 8);
	return p + 8;
}

static inline char *put_u64(char *p, uint64_t v)
{
	const uint64_t unit = 100000000;

	if (fl_likely(v < unit))
		return put_short(p, v);
	if (v < unit * unit)
		return put_eight(put_short(p, v / unit), v % unit);
	p = put_short(p, v / unit / unit);
	return put_eight(put_eight(p, v / unit % unit), v % unit);
}

static inline char *put_i64(char *p, int64_t v)
{
	if (v >= 0)
		return put_u64(p, (uint64_t)v);
	*p = '-';
	return put_u64(p + 1, 0 - (uint64_t)v);
}

static inline char *put_address(char *p, const struct fl_addr *a, bool v6)
{
	if (v6)
		return fl_addr_print(p, a, true);
	for (int i = 12; i < 16; i++) {
		memcpy(p, octets[a->b[i]].text, 4);
		p += octets[a->b[i]].len;
	}
	return p - 1;
}

/* Text as the output wants it; "-" is JSON's null. At most 6 * n + 2 bytes. */
static char *put_text(char *p, enum fl_output output, const char *s, size_t n)
{
	static const char hex[] = "0123456789abcdef";

	if (n == 0 || (n == 1 && *s == '-')) {
		const char *none = output == FL_OUTPUT_JSON ? "null" : "-";

		return stpcpy(p, none);
	}
	if (output == FL_OUTPUT_TEXT || (output == FL_OUTPUT_CSV && !memchr(s, ',', n) && !memchr(s, '"', n))) {
		memcpy(p, s, n);
		return p + n;
	}
	*p++ = '"';
	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)s[i];

		if (output == FL_OUTPUT_JSON && c < 0x20) {
			p = stpcpy(p, "\\u00");
			*p++ = hex[c >> 4];
			*p++ = hex[c & 15];
			continue;
		}
		if (c == '"')
			*p++ = output == FL_OUTPUT_JSON ? '\\' : '"';
		else if (c == '\\' && output == FL_OUTPUT_JSON)
			*p++ = '\\';
		*p++ = (char)c;
	}
	*p++ = '"';
	return p;
}

static bool is_v6(const struct values *v)
{
	return v->line->key->dirfam & FL_KEY_V6;
}

static char *quoted_address(char *p, const struct values *v, const struct fl_addr *a)
{
	if (v->output == FL_OUTPUT_JSON)
		*p++ = '"';
	p = put_address(p, a, is_v6(v));
	if (v->output == FL_OUTPUT_JSON)
		*p++ = '"';
	return p;
}

#define WRITER(name, ...)                                                                                              \
	static char *write_##name(char *p, const struct values *v, unsigned field)                                     \
	{                                                                                                              \
		const struct fl_flow_line *l = v->line;                                                                \
                                                                                                                       \
		return __VA_ARGS__;                                                                                    \
	}
WRITER(src, quoted_address(p, v, &l->key->src))
WRITER(dst, quoted_address(p, v, &l->key->dst))
WRITER(pkt_src, quoted_address(p, v, v->meta && v->meta->pkt_src ? v->meta->pkt_src : &l->key->src))
WRITER(pkt_dst, quoted_address(p, v, v->meta && v->meta->pkt_dst ? v->meta->pkt_dst : &l->key->dst))
WRITER(sport, put_u64(p, l->key->sport))
WRITER(dport, put_u64(p, l->key->dport))
WRITER(proto, put_u64(p, l->key->proto))
WRITER(packets, put_u64(p, l->packets))
WRITER(bytes, v->meta && v->meta->no_bytes ? put_text(p, v->output, "-", 1) : put_u64(p, l->bytes))
WRITER(start, put_i64(p, l->start))
WRITER(end, put_i64(p, l->end))
WRITER(tcp_vpc, put_u64(p, fl_tcp_flags_vpc(l->tcp)))
WRITER(tcp_tgw, put_u64(p, fl_tcp_flags_tgw(l->tcp)))
WRITER(action, put_text(p, v->output, fl_action_names[l->action == FL_ACTION_REJECT], 6))
WRITER(type, put_text(p, v->output, l->key->dirfam &FL_KEY_V6 ? "IPv6" : "IPv4", 4))

static char *write_dir(char *p, const struct values *v, unsigned field)
{
	static const char *const names[4] = {"-", "ingress", "egress", "-"};
	const char *name = names[fl_key_dir(v->line->key)];

	return put_text(p, v->output, name, strlen(name));
}

static char *write_meta(char *p, const struct values *v, unsigned field)
{
	return v->meta ? put_text(p, v->output, v->meta->text[field].p, v->meta->text[field].n)
		       : put_text(p, v->output, "-", 1);
}

static char *write_meta_number(char *p, const struct values *v, unsigned field)
{
	struct fl_str s = v->meta ? v->meta->text[field] : (struct fl_str){"-", 1};
	bool digits = s.n > 0 && s.n < 20 && (s.n == 1 || *s.p != '0');

	for (size_t i = 0; digits && i < s.n; i++)
		digits = s.p[i] >= '0' && s.p[i] <= '9';
	return put_text(p, digits ? FL_OUTPUT_TEXT : v->output, s.p, s.n);
}

static const writer_fn writers[FL_FROM_N] = {
    [FL_FROM_SRC] = write_src,         [FL_FROM_DST] = write_dst,         [FL_FROM_PKT_SRC] = write_pkt_src,
    [FL_FROM_PKT_DST] = write_pkt_dst, [FL_FROM_SPORT] = write_sport,     [FL_FROM_DPORT] = write_dport,
    [FL_FROM_PROTO] = write_proto,     [FL_FROM_PACKETS] = write_packets, [FL_FROM_BYTES] = write_bytes,
    [FL_FROM_START] = write_start,     [FL_FROM_END] = write_end,         [FL_FROM_ACTION] = write_action,
    [FL_FROM_TCP] = write_tcp_vpc,     [FL_FROM_TYPE] = write_type,       [FL_FROM_DIR] = write_dir,
    [FL_FROM_META] = write_meta,
};

unsigned fl_tcp_flags_vpc(uint8_t tcp)
{
	return (tcp & 7u) | (tcp & FL_TCP_SYNACK ? 18u : 0u);
}

unsigned fl_tcp_flags_tgw(uint8_t tcp)
{
	unsigned flags = tcp & 63u;

	return flags == 16 ? 0 : flags; /* only ACKs report nothing */
}

/* The value when it is the same for all records of this ENI and status; else NULL and a writer. */
static char *put_constant(char *p, const struct fl_encoder *e, const struct fl_field *f, enum fl_status status,
			  const struct fl_eni *eni, const struct fl_record_meta *constants)
{
	enum fl_origin origin = fl_field_origin(f);
	struct fl_eni copy = *eni;
	const char *text = "-";
	size_t size;

	if (origin == FL_FROM_META && constants && constants->text[fl_field_number(f)].n) {
		struct fl_str s = constants->text[fl_field_number(f)];

		return put_text(p, e->output, s.p, s.n);
	}

	if (origin == FL_FROM_VERSION)
		return put_u64(p, fl_format_version(e->format));
	if (origin == FL_FROM_START || origin == FL_FROM_END || (status == FL_STATUS_OK && writers[origin]))
		return NULL;
	if (origin == FL_FROM_RESOURCE)
		text = "TransitGateway";
	else if (origin == FL_FROM_STATUS)
		text = fl_status_names[status];
	else if (origin == FL_FROM_ENI)
		text = fl_field_eni_text(f, &copy, &size);
	return put_text(p, e->output, text, strlen(text));
}

static writer_fn writer_of(const struct fl_field *f)
{
	enum fl_origin origin = fl_field_origin(f);

	if (origin == FL_FROM_TCP && f->kind == FL_LOG_TGW)
		return write_tcp_tgw;
	if (origin == FL_FROM_META && f->type != FL_TYPE_TEXT)
		return write_meta_number;
	return writers[origin];
}

static int compile(struct fl_encoder *e, enum fl_status status, const struct fl_eni *eni,
		   const struct fl_record_meta *constants)
{
	struct program *g = &e->program[status];
	struct step *s = g->step;
	char *p = g->literals, *from = p, *after;
	size_t n = fl_format_len(e->format);

	for (size_t i = 0; i < n; i++) {
		const struct fl_field *f = fl_format_field(e->format, i);
		const char *name = fl_format_name(e->format, i);

		size_t longest = sizeof(eni->name); /* of the ENI's members */

		if (f && constants)
			longest = FL_MAX(longest, constants->text[fl_field_number(f)].n);
		/* escaped, and a key */
		if ((size_t)(p - g->literals) + 7 * longest + strlen(name) > FL_RECORD_MAX)
			return fl_fail(-E2BIG, "format: records would be longer than %d bytes", FL_RECORD_MAX);
		if (e->output == FL_OUTPUT_JSON) {
			*p++ = i ? ',' : '{';
			*p++ = '"';
			p = stpcpy(stpcpy(p, name), "\":");
		} else if (i) {
			*p++ = e->output == FL_OUTPUT_CSV ? ',' : ' ';
		}
		if (!f) { /* a column that only its file knows */
			p = put_text(p, e->output, "-", 1);
			continue;
		}
		after = put_constant(p, e, f, status, eni, constants);
		if (after) {
			p = after;
			continue;
		}
		*s++ = (struct step){writer_of(f), (uint16_t)fl_field_number(f), (uint16_t)(p - from),
				     (uint32_t)(from - g->literals), (uint8_t)fl_field_origin(f)};
		from = p;
	}
	p = stpcpy(p, e->output == FL_OUTPUT_JSON ? "}\n" : "\n");
	*s = (struct step){NULL, 0, (uint16_t)(p - from), (uint32_t)(from - g->literals), FL_FROM_N};
	g->literals_len = (size_t)(p - g->literals);
	g->max_len = g->literals_len + (size_t)(s - g->step) * VALUE_MAX;
	return 0;
}

int fl_encoder_set_constants(struct fl_encoder *e, const struct fl_eni *eni, const struct fl_record_meta *constants)
{
	for (unsigned status = 0; status < FL_STATUS_N; status++) {
		int r = compile(e, (enum fl_status)status, eni, constants);

		if (r < 0)
			return r;
	}
	return 0;
}

int fl_encoder_set_eni(struct fl_encoder *e, const struct fl_eni *eni)
{
	return fl_encoder_set_constants(e, eni, NULL);
}

void fl_encoder_free(struct fl_encoder **e)
{
	free(*e);
	*e = NULL;
}

int fl_encoder_new(struct fl_encoder **ret, const struct fl_format *format, enum fl_output output)
{
	struct fl_encoder *e FL_CLEANUP(fl_encoder_free) = calloc(1, sizeof(*e));
	int r;

	if (!e)
		return -ENOMEM;
	e->format = format;
	e->output = output;
	r = fl_encoder_set_eni(e, &(struct fl_eni){0});
	if (r < 0)
		return r;
	*ret = e;
	e = NULL;
	return 0;
}

int fl_encode_header(const struct fl_encoder *e, struct fl_buf *out)
{
	int r = 0;

	if (e->output == FL_OUTPUT_JSON)
		return 0;
	for (size_t i = 0; r == 0 && i < fl_format_len(e->format); i++) {
		if (i)
			r = fl_buf_add(out, e->output == FL_OUTPUT_CSV ? "," : " ", 1);
		if (r == 0)
			r = fl_buf_adds(out, fl_format_name(e->format, i));
	}
	return r < 0 ? r : fl_buf_add(out, "\n", 1);
}

static inline char *put_literal(char *p, const struct program *g, const struct step *s)
{
	const char *from = g->literals + s->literal;

	memcpy(p, from, SLACK);
	if (s->literal_len > SLACK)
		memcpy(p + SLACK, from + SLACK, s->literal_len - SLACK);
	return p + s->literal_len;
}

static int room_for(struct fl_buf *out, size_t need)
{
	need += SLACK;
	return fl_likely(out->cap - out->len >= need) ? 0 : fl_buf_reserve(out, need);
}

static int run(const struct program *g, const struct values *v, struct fl_buf *out, size_t extra)
{
	const struct step *s = g->step;
	int r = room_for(out, g->max_len + extra);
	char *p;

	if (r < 0)
		return r;
	p = out->data + out->len;
	for (;; s++) {
		p = put_literal(p, g, s);
		if (!s->write)
			break;
		p = s->write(p, v, s->field);
	}
	out->len = (size_t)(p - out->data);
	return 0;
}

/* The same program in line, for outputs that write numbers and addresses bare. */
static int run_bare(const struct program *g, const struct values *v, struct fl_buf *out)
{
	const struct fl_flow_line *l = v->line;
	const struct step *s = g->step;
	int r = room_for(out, g->max_len);
	char *p;

	if (r < 0)
		return r;
	p = out->data + out->len;
	for (;; s++) {
		p = put_literal(p, g, s);
		if (!s->write)
			break;
		switch (s->origin) {
		case FL_FROM_SRC:
		case FL_FROM_PKT_SRC:
			p = put_address(p, &l->key->src, is_v6(v));
			break;
		case FL_FROM_DST:
		case FL_FROM_PKT_DST:
			p = put_address(p, &l->key->dst, is_v6(v));
			break;
		case FL_FROM_SPORT:
			p = put_short(p, l->key->sport);
			break;
		case FL_FROM_DPORT:
			p = put_short(p, l->key->dport);
			break;
		case FL_FROM_PROTO:
			p = put_short(p, l->key->proto);
			break;
		case FL_FROM_PACKETS:
			p = put_u64(p, l->packets);
			break;
		case FL_FROM_BYTES:
			p = put_u64(p, l->bytes);
			break;
		case FL_FROM_START:
			p = put_i64(p, l->start);
			break;
		case FL_FROM_END:
			p = put_i64(p, l->end);
			break;
		case FL_FROM_ACTION:
			memcpy(p, l->action == FL_ACTION_REJECT ? "REJECT" : "ACCEPT", 6);
			p += 6;
			break;
		default:
			p = s->write(p, v, s->field);
		}
	}
	out->len = (size_t)(p - out->data);
	return 0;
}

int fl_encode_line(struct fl_encoder *e, const struct fl_flow_line *l, struct fl_buf *out)
{
	const struct values v = {l, NULL, e->output};
	const struct program *g = &e->program[FL_STATUS_OK];

	return e->output == FL_OUTPUT_JSON ? run(g, &v, out, 0) : run_bare(g, &v, out);
}

static int with_meta(const struct program *g, const struct values *v, struct fl_buf *out)
{
	size_t extra = 0;

	for (const struct step *s = g->step; v->meta && s->write; s++)
		if (s->write == write_meta || s->write == write_meta_number)
			extra += 6 * v->meta->text[s->field].n;
	if (g->max_len + extra > FL_RECORD_MAX)
		return fl_fail(-E2BIG, "record: longer than %d bytes", FL_RECORD_MAX);
	return run(g, v, out, extra);
}

int fl_encode_line_meta(struct fl_encoder *e, const struct fl_flow_line *l, const struct fl_record_meta *meta,
			struct fl_buf *out)
{
	return with_meta(&e->program[FL_STATUS_OK], &(struct values){l, meta, e->output}, out);
}

int fl_encode(struct fl_encoder *e, const struct fl_record *r, const struct fl_record_meta *meta, struct fl_buf *out)
{
	const struct fl_flow_line l = {&r->key, r->packets, r->bytes, r->start, r->end, r->tcp, r->action};

	return with_meta(&e->program[r->status], &(struct values){&l, meta, e->output}, out);
}
