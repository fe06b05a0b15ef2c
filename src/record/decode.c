/* SPDX-License-Identifier: Apache-2.0 */
#include "record/fields.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "base/error.h"

int fl_decode_line(const struct fl_format *f, const char *line, size_t n, struct fl_values *ret)
{
	const char *p = line, *end;

	while (n && (line[n - 1] == '\n' || line[n - 1] == '\r'))
		n--;
	end = line + n;
	ret->n = 0;
	for (;;) {
		const char *stop = memchr(p, ' ', (size_t)(end - p));

		if (ret->n == FL_ARRAY_LEN(ret->value))
			return FL_LINE_FIELDS;
		ret->value[ret->n++] = (struct fl_str){p, (size_t)((stop ? stop : end) - p)};
		if (p == ret->value[ret->n - 1].p + ret->value[ret->n - 1].n)
			return FL_LINE_FIELDS; /* an empty value: double, leading or trailing space
						*/
		if (!stop)
			return ret->n == fl_format_len(f) ? FL_LINE_OK : FL_LINE_FIELDS;
		p = stop + 1;
	}
}

static bool parse_u64(struct fl_str s, uint64_t max, uint64_t *ret)
{
	uint64_t v = 0;

	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] < '0' || s.p[i] > '9' || __builtin_mul_overflow(v, 10u, &v) ||
		    __builtin_add_overflow(v, (unsigned)(s.p[i] - '0'), &v))
			return false;
	}
	*ret = v;
	return s.n > 0 && v <= max;
}

static bool parse_name(struct fl_str s, const char *const *names, unsigned n, uint8_t *ret)
{
	for (unsigned i = 0; i < n; i++)
		if (strlen(names[i]) == s.n && memcmp(names[i], s.p, s.n) == 0) {
			*ret = (uint8_t)i;
			return true;
		}
	return false;
}

static bool parse_address(struct fl_str s, struct fl_record *r, struct fl_addr *ret)
{
	bool v6;

	if (fl_addr_parse(s.p, s.n, ret, &v6) < 0)
		return false;
	r->key.dirfam = (uint8_t)((r->key.dirfam & ~FL_KEY_V6) | (v6 ? FL_KEY_V6 : 0));
	return true;
}

/* Values hold neither spaces nor control bytes: tags are percent-encoded for that reason (records.md section 1). */
static bool is_text(struct fl_str s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] <= ' ' || s.p[i] == 0x7f)
			return false;
	return true;
}

/* The accumulator that prints as this number */
static uint8_t tcp_accumulator(uint64_t flags)
{
	return (uint8_t)(flags | ((flags & 18) == 18 ? FL_TCP_SYNACK : 0));
}

/* Origins that are a number as it stands; max 0: others. */
static const struct number {
	uint64_t max;
	size_t at; /* in the record */
	uint8_t width;
} numbers[FL_FROM_N] = {
#define NUMBER(origin, most, member)                                                                                   \
	[FL_FROM_##origin] = {most, offsetof(struct fl_record, member), sizeof(((struct fl_record *)NULL)->member)}
    [FL_FROM_VERSION] = {UINT8_MAX, 0, 0}, /* the format's */
    NUMBER(SPORT, UINT16_MAX, key.sport),  NUMBER(DPORT, UINT16_MAX, key.dport), NUMBER(PROTO, UINT8_MAX, key.proto),
    NUMBER(PACKETS, UINT64_MAX, packets),  NUMBER(BYTES, UINT64_MAX, bytes),     NUMBER(START, INT64_MAX, start),
    NUMBER(END, INT64_MAX, end),
#undef NUMBER
};

static bool decode_number(const struct number *n, struct fl_str s, struct fl_record *r)
{
	char *to = (char *)r + n->at;
	uint64_t v;

	if (!parse_u64(s, n->max, &v))
		return false;
	if (n->width == 1)
		*(uint8_t *)to = (uint8_t)v;
	else if (n->width == 2)
		*(uint16_t *)(void *)to = (uint16_t)v;
	else if (n->width == 8)
		memcpy(to, &v, sizeof v);
	return true;
}

static bool decode_eni(const struct fl_field *f, struct fl_str s, struct fl_eni *eni)
{
	size_t size;
	char *member = fl_field_eni_text(f, eni, &size);

	if (s.n >= size || !is_text(s))
		return false;
	memcpy(member, s.p, s.n); /* the rest is zero */
	return true;
}

static bool decode_value(const struct fl_field *f, struct fl_str s, struct fl_record *r, struct fl_eni *eni,
			 struct fl_record_meta *meta)
{
	static const char *const directions[] = {"-", "ingress", "egress"}, *const types[] = {"IPv4", "IPv6", "EFA"};
	enum fl_origin origin = fl_field_origin(f);
	uint8_t index = 0;
	uint64_t v = 0;
	bool ok = true;

	if (s.n == 1 && *s.p == '-')
		return true;
	if (numbers[origin].max)
		return decode_number(&numbers[origin], s, r);
	switch (origin) {
	case FL_FROM_STATUS:
		return parse_name(s, fl_status_names, FL_STATUS_N, &r->status);
	case FL_FROM_ACTION:
		return parse_name(s, fl_action_names, FL_ACTION_N, &r->action);
	case FL_FROM_SRC:
		return parse_address(s, r, &r->key.src);
	case FL_FROM_DST:
		return parse_address(s, r, &r->key.dst);
	case FL_FROM_PKT_SRC:
		meta->pkt_src = &meta->pkt_addr[0];
		return parse_address(s, r, &meta->pkt_addr[0]);
	case FL_FROM_PKT_DST:
		meta->pkt_dst = &meta->pkt_addr[1];
		return parse_address(s, r, &meta->pkt_addr[1]);
	case FL_FROM_TCP:
		ok = parse_u64(s, 63, &v);
		r->tcp = tcp_accumulator(v);
		return ok;
	case FL_FROM_TYPE:
		ok = parse_name(s, types, FL_ARRAY_LEN(types), &index);
		r->key.dirfam |= index == 1 ? FL_KEY_V6 : 0;
		return ok;
	case FL_FROM_DIR:
		ok = parse_name(s, directions, FL_ARRAY_LEN(directions), &index);
		r->key.dirfam |= index;
		return ok;
	case FL_FROM_ENI:
		return decode_eni(f, s, eni);
	case FL_FROM_META:
		meta->text[fl_field_number(f)] = s;
		return is_text(s);
	default: /* it is not kept */
		return true;
	}
}

int fl_decode_record(const struct fl_format *f, const struct fl_values *v, struct fl_record *ret,
		     struct fl_eni *ret_eni, struct fl_record_meta *ret_meta)
{
	memset(ret, 0, sizeof(*ret));
	memset(ret_eni, 0, sizeof(*ret_eni));
	memset(ret_meta, 0, sizeof(*ret_meta));
	for (size_t i = 0; i < v->n; i++) {
		const struct fl_field *field = fl_format_field(f, i);

		if (field && !decode_value(field, v->value[i], ret, ret_eni, ret_meta))
			return fl_fail(-EINVAL, "%s: \"%.*s\" is not a value of this field", field->name,
				       (int)FL_MIN(v->value[i].n, (size_t)80), v->value[i].p);
	}
	return 0;
}
