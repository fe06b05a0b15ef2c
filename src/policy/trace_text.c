/* SPDX-License-Identifier: Apache-2.0 */
/* Names and phrases of a trace. */
#include <stdarg.h>
#include <stdio.h>

#include "policy/trace_inner.h"

const char *const fl_area_names[FL_AREA_N] = {
#define FL_AREA(id, name) [FL_AREA_##id] = name,
    FL_AREAS(FL_AREA)
#undef FL_AREA
};
const struct fl_cause_text fl_causes[FL_CAUSE_N] = {
#define FL_CAUSE(id, area, name, text) [FL_CAUSE_##id] = {name, text, FL_AREA_##area},
    FL_CAUSES(FL_CAUSE)
#undef FL_CAUSE
};
const char *const fl_step_names[FL_STEP_N] = {
#define FL_STEP(id, name, text) [FL_STEP_##id] = name,
    FL_STEPS(FL_STEP)
#undef FL_STEP
};
const char *const fl_step_headings[FL_STEP_N] = {
#define FL_STEP(id, name, text) [FL_STEP_##id] = text,
    FL_STEPS(FL_STEP)
#undef FL_STEP
};
const char *const fl_outcome_names[FL_OUTCOME_N] = {"passes", "blocks", "not-asked", "not-known"};

void step_at(struct fl_step *s, const struct fl_noun *noun)
{
	if (*noun->name && strcmp(noun->name, noun->id) != 0)
		snprintf(s->at, sizeof s->at, "%.36s (%.24s)", noun->name, noun->id);
	else
		snprintf(s->at, sizeof s->at, "%s", noun->id);
}

void step_text(struct fl_step *s, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(s->text, sizeof s->text, fmt, args);
	va_end(args);
}

void step_fix(struct fl_step *s, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(s->fix, sizeof s->fix, fmt, args);
	va_end(args);
}

void step_block(struct fl_step *s, enum fl_cause cause)
{
	s->outcome = FL_BLOCKS;
	s->cause = cause;
}

const char *addr_text(const struct fl_addr *a, bool v6, char ret[FL_ADDR_TEXT_MAX + 1])
{
	*fl_addr_print(ret, a, v6) = '\0';
	return ret;
}

const char *cidr_text(const struct fl_cidr *c, bool v6, char ret[FL_ADDR_TEXT_MAX + 5])
{
	char *end = fl_addr_print(ret, &c->base, v6);

	snprintf(end, 5, "/%u", v6 ? c->bits : FL_MAX(c->bits, 96u) - 96u);
	return ret;
}

static const char *proto_text(int proto, char ret[16])
{
	const char *name = proto < 0 ? "all traffic" : fl_protocol_name((uint8_t)proto);

	if (name)
		snprintf(ret, 16, "%s", name);
	else
		snprintf(ret, 16, "protocol %d", proto);
	return ret;
}

static void service(int proto, unsigned from, unsigned to, int type, int code, char ret[48])
{
	char name[16];

	proto_text(proto, name);
	if (proto == 6 || proto == 17) {
		if (from == 0 && to == 65535)
			snprintf(ret, 48, "%s, all ports,", name);
		else if (from == to)
			snprintf(ret, 48, "%s %u", name, from);
		else
			snprintf(ret, 48, "%s %u-%u", name, from, to);
	} else if ((proto == 1 || proto == 58) && type >= 0) {
		if (code >= 0)
			snprintf(ret, 48, "%s type %d code %d", name, type, code);
		else
			snprintf(ret, 48, "%s type %d", name, type);
	} else {
		snprintf(ret, 48, "%s", name);
	}
}

char *fl_service_text(uint8_t proto, uint16_t port, int icmp_type, int icmp_code, char ret[48])
{
	service(proto, port, port, icmp_type, icmp_code, ret);
	return ret;
}

char *fl_group_rule_text(const struct fl_group_rule *r, enum fl_dir dir, char ret[FL_RULE_TEXT])
{
	char what[48], cidr[FL_ADDR_TEXT_MAX + 5];
	const char *way = dir == FL_DIR_INGRESS ? "from" : "to";

	service(r->proto, r->from, r->to, r->icmp_type, r->icmp_code, what);
	switch (r->peer) {
	case FL_PEER_CIDR:
		snprintf(ret, FL_RULE_TEXT, "%s %s %s", what, way, cidr_text(&r->cidr, r->v6, cidr));
		break;
	case FL_PEER_GROUP:
		snprintf(ret, FL_RULE_TEXT, "%s %s members of %.24s%s%.36s%s", what, way, r->peer_id,
			 r->group && *r->group->noun.name ? " (" : "", r->group ? r->group->noun.name : "",
			 r->group && *r->group->noun.name ? ")" : "");
		break;
	case FL_PEER_LIST:
		snprintf(ret, FL_RULE_TEXT, "%s %s prefix list %.24s", what, way, r->peer_id);
		break;
	}
	return ret;
}

char *fl_acl_rule_text(const struct fl_acl_rule *r, enum fl_dir dir, char ret[FL_RULE_TEXT])
{
	char what[48], cidr[FL_ADDR_TEXT_MAX + 5], number[8];

	service(r->proto, r->from, r->to, r->icmp_type, r->icmp_code, what);
	if (r->number >= FL_ACL_LAST)
		snprintf(number, sizeof number, "*");
	else
		snprintf(number, sizeof number, "%u", r->number);
	snprintf(ret, FL_RULE_TEXT, "rule %s %s %s %s %s", number, r->allow ? "allows" : "denies", what,
		 dir == FL_DIR_INGRESS ? "from" : "to", cidr_text(&r->cidr, r->v6, cidr));
	return ret;
}
