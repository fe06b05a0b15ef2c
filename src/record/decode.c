/* SPDX-License-Identifier: Apache-2.0 */
#include "record/fields.h"

#include <errno.h>
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

static bool decode_value(const struct fl_field *f, struct fl_str s, struct fl_record *r, struct fl_eni *eni,
			 struct fl_record_meta *meta)
{
	static const char *const directions[] = {"-", "ingress", "egress"}, *const types[] = {"IPv4", "IPv6", "EFA"};
	enum fl_origin origin = fl_field_origin(f);
	uint64_t v = 0;
	uint8_t index = 0;
	bool ok = true;
	size_t size;
	char *member;

	if (s.n == 1 && *s.p == '-')
		return true;
	switch (origin) {
	case FL_FROM_VERSION:
		ok = parse_u64(s, 255, &v);
		break;
	case FL_FROM_RESOURCE:
		break;
	case FL_FROM_STATUS:
		ok = parse_name(s, fl_status_names, FL_STATUS_N, &r->status);
		break;
	case FL_FROM_ACTION:
		ok = parse_name(s, fl_action_names, FL_ACTION_N, &r->action);
		break;
	case FL_FROM_SRC:
		ok = parse_address(s, r, &r->key.src);
		break;
	case FL_FROM_DST:
		ok = parse_address(s, r, &r->key.dst);
		break;
	case FL_FROM_PKT_SRC:
		ok = parse_address(s, r, &meta->pkt_addr[0]);
		meta->pkt_src = &meta->pkt_addr[0];
		break;
	case FL_FROM_PKT_DST:
		ok = parse_address(s, r, &meta->pkt_addr[1]);
		meta->pkt_dst = &meta->pkt_addr[1];
		break;
	case FL_FROM_SPORT:
		ok = parse_u64(s, UINT16_MAX, &v);
		r->key.sport = (uint16_t)v;
		break;
	case FL_FROM_DPORT:
		ok = parse_u64(s, UINT16_MAX, &v);
		r->key.dport = (uint16_t)v;
		break;
	case FL_FROM_PROTO:
		ok = parse_u64(s, UINT8_MAX, &v);
		r->key.proto = (uint8_t)v;
		break;
	case FL_FROM_PACKETS:
		ok = parse_u64(s, UINT64_MAX, &r->packets);
		break;
	case FL_FROM_BYTES:
		ok = parse_u64(s, UINT64_MAX, &r->bytes);
		break;
	case FL_FROM_START:
		ok = parse_u64(s, INT64_MAX, &v);
		r->start = (int64_t)v;
		break;
	case FL_FROM_END:
		ok = parse_u64(s, INT64_MAX, &v);
		r->end = (int64_t)v;
		break;
	case FL_FROM_TCP:
		ok = parse_u64(s, 63, &v);
		r->tcp = tcp_accumulator(v);
		break;
	case FL_FROM_TYPE:
		ok = parse_name(s, types, FL_ARRAY_LEN(types), &index);
		r->key.dirfam |= index == 1 ? FL_KEY_V6 : 0;
		break;
	case FL_FROM_DIR:
		ok = parse_name(s, directions, FL_ARRAY_LEN(directions), &index);
		r->key.dirfam |= index;
		break;
	case FL_FROM_ENI:
		member = fl_field_eni_text(f, eni, &size);
		ok = s.n < size && is_text(s);
		if (ok)
			memcpy(member, s.p, s.n); /* the rest is zero */
		break;
	case FL_FROM_META:
		ok = is_text(s);
		meta->text[fl_field_number(f)] = s;
		break;
	case FL_FROM_N:
		break;
	}
	return ok;
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
