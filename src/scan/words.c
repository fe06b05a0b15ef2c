/* SPDX-License-Identifier: Apache-2.0 */
#include "scan/words.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/error.h"
#include "base/units.h"
#include "flow/flow.h"
#include "record/record.h"

#define WORD_MAX 256
#define NEST_MAX (FL_FILTER_DEPTH - 4)

enum side { SIDE_ANY, SIDE_SRC, SIDE_DST };

/* What a value means when it stands alone: the keyword before it. */
struct kind {
	enum side side;
	const struct keyword *keyword;
};

struct parser {
	const char *text, *at;
	const char *value; /* of a single condition, whose words are ours; NULL: the words are the user's */
	const struct fl_words_names *names;
	char word[WORD_MAX]; /* the next word */
	const char *word_at;
	bool quoted, end;
	struct kind last;
	unsigned depth;
};

typedef int (*value_fn)(struct parser *p, struct fl_filter **ret, enum side side, const struct keyword *k);
struct keyword {
	const char *name;
	value_fn parse;
	const char *column, *value; /* of keywords for one column; value: of keywords that need none */
	bool sides;                 /* src and dst may stand before it */
	const char *expects;
};

/* ---- words ---- */

static int complain(const struct parser *p, const char *expected)
{
	if (p->value)
		return fl_fail(-EINVAL, "\"%.200s\" is not %s", p->value, expected);
	if (p->end)
		return fl_fail(-EINVAL, "filter \"%.200s\": it ends where %s is expected", p->text, expected);
	return fl_fail(-EINVAL, "filter \"%.200s\": at character %zu, \"%.60s\": expected %s", p->text,
		       (size_t)(p->word_at - p->text) + 1, p->word, expected);
}

static int take_quoted(struct parser *p)
{
	size_t n = 0;

	for (p->at++; *p->at && *p->at != '"'; p->at++) {
		if (*p->at == '\\' && p->at[1])
			p->at++;
		if (n + 1 == sizeof p->word)
			return complain(p, "a shorter text");
		p->word[n++] = *p->at;
	}
	p->word[n] = '\0';
	if (*p->at != '"')
		return complain(p, "a text that ends with a quote");
	p->at++;
	p->quoted = true;
	return 0;
}

static bool is_word(char c)
{
	return c && !isspace((unsigned char)c) && !strchr("()=<>!&|\",", c);
}

/* Moves to the next word: a bracket, an operator, a quoted text, or what stands up to one of them or a blank. */
static int next(struct parser *p)
{
	size_t n = 0;

	while (isspace((unsigned char)*p->at))
		p->at++;
	p->word_at = p->at;
	p->quoted = false;
	p->word[0] = '\0';
	p->end = !*p->at;
	if (*p->at == '"')
		return take_quoted(p);
	if (is_word(*p->at)) {
		for (; is_word(*p->at); p->at++) {
			if (n + 1 == sizeof p->word)
				return complain(p, "a shorter word");
			p->word[n++] = *p->at;
		}
	} else if (*p->at) {
		char c = p->word[n++] = *p->at++;

		if ((strchr("=<>!", c) && *p->at == '=') || (strchr("&|", c) && *p->at == c))
			p->word[n++] = *p->at++;
	}
	p->word[n] = '\0';
	return 0;
}

static bool is(const struct parser *p, const char *word)
{
	return !p->end && !p->quoted && !strcasecmp(p->word, word);
}

static bool is_either(const struct parser *p, const char *word, const char *sign)
{
	return is(p, word) || is(p, sign);
}

/* ---- values ---- */

/* r, or *ret OR f. */
static int either(struct fl_filter **ret, struct fl_filter *f, int r)
{
	if (r)
		return r;
	return *ret ? fl_filter_or(ret, *ret, f) : (*ret = f, 0);
}

static const char *const src_columns[] = {"srcaddr", "pkt_srcaddr"};
static const char *const dst_columns[] = {"dstaddr", "pkt_dstaddr"};

/* extra: most logs do not have the column, and then nothing hangs on it. */
static int one_network(struct fl_filter **ret, const char *column, const struct fl_cidr *c, bool extra)
{
	struct fl_filter *there = NULL;
	int r = fl_filter_cidr(ret, column, c);

	if (r || !extra)
		return r;
	r = fl_filter_not_null(&there, column);
	if (r)
		fl_filter_free(ret);
	return r ? r : fl_filter_and(ret, there, *ret);
}

static int any_network(struct fl_filter **ret, enum side side, const struct fl_cidr *c, bool packet)
{
	struct fl_filter *f = NULL;
	int r = 0;

	for (size_t i = 0; i < (packet ? 2 : 1) && !r && side != SIDE_DST; i++) {
		r = one_network(&f, src_columns[i], c, i > 0);
		r = either(ret, f, r);
	}
	for (size_t i = 0; i < (packet ? 2 : 1) && !r && side != SIDE_SRC; i++) {
		r = one_network(&f, dst_columns[i], c, i > 0);
		r = either(ret, f, r);
	}
	return r;
}

struct named {
	struct fl_filter **ret;
	enum side side;
	const char *column;
	int r;
};

static void on_address(void *to, const struct fl_addr *a)
{
	struct named *n = to;
	struct fl_cidr c = {.base = *a, .bits = 128};

	if (!n->r)
		n->r = any_network(n->ret, n->side, &c, true);
}

static void on_id(void *to, const char *id)
{
	struct named *n = to;
	struct fl_filter *f = NULL;

	if (!n->r) {
		n->r = fl_filter_text(&f, n->column, id, strlen(id));
		n->r = either(n->ret, f, n->r);
	}
}

static int parse_network(struct parser *p, struct fl_filter **ret, enum side side, const struct keyword *k)
{
	struct named to = {.ret = ret, .side = side};
	struct fl_cidr c;

	if (!fl_cidr_parse(p->word, strlen(p->word), &c)) {
		to.r = any_network(ret, side, &c, true);
		return to.r ? to.r : next(p);
	}
	if (strpbrk(p->word, "/:") || (isdigit((unsigned char)*p->word) && !strpbrk(p->word, "ghijklmnopqrstuvwxyz")))
		return complain(p, k->expects);
	fl_error_clear();
	if (!p->names || !p->names->addresses)
		return complain(p, "an address or a network (names are known where an inventory is)");
	if (!p->names->addresses(p->names->ctx, p->word, on_address, &to))
		return complain(p, "an address, a network, or a name that the inventory has");
	return to.r ? to.r : next(p);
}

/* What is no address of the internet. */
static const struct {
	const char *cidr;
	bool private;
} special[] = {
    {"10.0.0.0/8", true},                                                        /* RFC 1918 */
    {"172.16.0.0/12", true},  {"192.168.0.0/16", true}, {"100.64.0.0/10", true}, /* RFC 6598 */
    {"169.254.0.0/16", true},                                                    /* RFC 3927 */
    {"fc00::/7", true},                                                          /* RFC 4193 */
    {"fe80::/10", true},                                                         /* RFC 4291 */
    {"0.0.0.0/8", false},                                                        /* RFC 1122 */
    {"127.0.0.0/8", false},   {"224.0.0.0/4", false},                            /* RFC 5771 */
    {"240.0.0.0/4", false},                                                      /* RFC 1112 */
    {"::/127", false},                                                           /* RFC 4291: unspecified, loopback */
    {"ff00::/8", false},
};

static int one_side(struct fl_filter **ret, enum side side, bool public)
{
	struct fl_filter *f = NULL;
	struct fl_cidr c;
	int r = 0;

	*ret = NULL;
	for (size_t i = 0; i < FL_ARRAY_LEN(special) && !r; i++) {
		if (!special[i].private && !public)
			continue;
		r = fl_cidr_parse(special[i].cidr, strlen(special[i].cidr), &c);
		r = r ? r : any_network(&f, side, &c, false);
	}
	if (!r && public)
		r = fl_filter_not(&f, f);
	*ret = f;
	return r;
}

static int parse_scope(struct parser *p, struct fl_filter **ret, enum side side, const struct keyword *k)
{
	struct fl_filter *f = NULL;
	bool public = !strcmp(k->name, "public");
	int r = 0;

	if (side != SIDE_DST) {
		r = one_side(&f, SIDE_SRC, public);
		r = either(ret, f, r);
	}
	if (!r && side != SIDE_SRC) {
		r = one_side(&f, SIDE_DST, public);
		r = either(ret, f, r);
	}
	return r;
}

static int any_ports(struct fl_filter **ret, enum side side, uint64_t first, uint64_t last)
{
	struct fl_filter *f = NULL;
	int r = 0;

	if (side != SIDE_DST) {
		r = fl_filter_range(&f, "srcport", first, last);
		r = either(ret, f, r);
	}
	if (!r && side != SIDE_SRC) {
		r = fl_filter_range(&f, "dstport", first, last);
		r = either(ret, f, r);
	}
	return r;
}

static int one_port(const char *text, uint64_t *ret)
{
	int r;

	if (isdigit((unsigned char)*text))
		return fl_parse_u64(text, 0, UINT16_MAX, ret);
	r = fl_service_port(text);
	*ret = r < 0 ? 0 : (uint64_t)r;
	return r < 0 ? r : 0;
}

static int parse_port(struct parser *p, struct fl_filter **ret, enum side side, const struct keyword *k)
{
	uint64_t port;
	int r;

	if (one_port(p->word, &port)) {
		fl_error_clear();
		return complain(p, k->expects);
	}
	r = any_ports(ret, side, port, port);
	return r ? r : next(p);
}

static int parse_ports(struct parser *p, struct fl_filter **ret, enum side side, const struct keyword *k)
{
	char *dash = strchr(p->word, '-');
	uint64_t first, last;
	int r = dash && isdigit((unsigned char)*p->word) ? 0 : -EINVAL;

	if (!r) {
		char until[WORD_MAX];

		snprintf(until, sizeof until, "%s", dash + 1);
		*dash = '\0';
		r = fl_parse_u64(p->word, 0, UINT16_MAX, &first);
		*dash = '-';
		r = r ? r : fl_parse_u64(until, 0, UINT16_MAX, &last);
	}
	if (r || first > last) {
		fl_error_clear();
		return complain(p, k->expects);
	}
	r = any_ports(ret, side, first, last);
	return r ? r : next(p);
}

static int parse_protocol(struct parser *p, struct fl_filter **ret, enum side side, const struct keyword *k)
{
	uint64_t number = 0;
	int r;

	if (isdigit((unsigned char)*p->word)) {
		r = fl_parse_u64(p->word, 0, UINT8_MAX, &number);
	} else {
		r = fl_protocol_number(!strcasecmp(p->word, "icmp6") ? "icmpv6" : p->word);
		number = r < 0 ? 0 : (uint64_t)r;
		r = r < 0 ? r : 0;
	}
	if (r) {
		fl_error_clear();
		return complain(p, k->expects);
	}
	r = fl_filter_number(ret, "protocol", FL_OP_EQ, number);
	return r ? r : next(p);
}

static int parse_id(struct parser *p, struct fl_filter **ret, enum side side, const struct keyword *k)
{
	struct named to = {.ret = ret, .column = k->column};
	const char *dash = strchr(p->word, '-');
	bool known = dash || !p->names || !p->names->ids || isdigit((unsigned char)*p->word);

	if (p->end || (!p->quoted && strchr("()=<>!&|,", *p->word) && *p->word))
		return complain(p, k->expects);
	/* A name first: some look like ids. */
	if (!p->names || !p->names->ids || !p->names->ids(p->names->ctx, k->column, p->word, on_id, &to)) {
		if (!known)
			return complain(p, "an id, or a name that the inventory has");
		on_id(&to, p->word);
	}
	return to.r ? to.r : next(p);
}

/* Codes are written in capitals in records, and as one likes here. */
static int code_filter(struct parser *p, struct fl_filter **ret, const char *column, const char *text)
{
	struct fl_column_def d;

	fl_column_find(column, &d);
	for (uint8_t i = 0; i < d.n_codes; i++)
		if (!strcasecmp(d.codes[i], text))
			return fl_filter_text(ret, column, d.codes[i], strlen(d.codes[i]));
	return complain(p, d.n_codes == FL_ACTION_N ? "ACCEPT or REJECT" : "OK, NODATA or SKIPDATA");
}

static int parse_code(struct parser *p, struct fl_filter **ret, enum side side, const struct keyword *k)
{
	int r = code_filter(p, ret, k->column, p->word);

	return r ? r : next(p);
}

/* Keywords that need no value: the word was taken already. */
static int parse_flag(struct parser *p, struct fl_filter **ret, enum side side, const struct keyword *k)
{
	return fl_filter_text(ret, k->column, k->value, strlen(k->value));
}

static int parse_family(struct parser *p, struct fl_filter **ret, enum side side, const struct keyword *k)
{
	static const struct fl_cidr all_v4 = {.base = {.b = {[10] = 0xff, [11] = 0xff}}, .bits = 96};
	int r = fl_filter_cidr(ret, "srcaddr", &all_v4);

	return r || !strcmp(k->name, "ip") ? r : fl_filter_not(ret, *ret);
}

static const struct keyword keywords[] = {
    {"host", parse_network, NULL, NULL, true, "an address or a network, as 10.0.0.1 or 10.0.0.0/8"},
    {"net", parse_network, NULL, NULL, true, "an address or a network, as 10.0.0.1 or 10.0.0.0/8"},
    {"port", parse_port, NULL, NULL, true, "a port from 0 to 65535 or a service, as ssh"},
    {"portrange", parse_ports, NULL, NULL, true, "two ports, as 8000-8099"},
    {"private", parse_scope, NULL, "", true, NULL},
    {"public", parse_scope, NULL, "", true, NULL},
    {"proto", parse_protocol, NULL, NULL, false, "a protocol's name, or its number from 0 to 255"},
    {"tcp", parse_flag, "protocol", "6", false, NULL},
    {"udp", parse_flag, "protocol", "17", false, NULL},
    {"icmp", parse_flag, "protocol", "1", false, NULL},
    {"icmp6", parse_flag, "protocol", "58", false, NULL},
    {"ip", parse_family, NULL, "", false, NULL},
    {"ip6", parse_family, NULL, "", false, NULL},
    {"eni", parse_id, "interface_id", NULL, false, "an interface, as eni-0123456789abcdef0"},
    {"vpc", parse_id, "vpc_id", NULL, false, "a VPC, as vpc-0123456789abcdef0"},
    {"subnet", parse_id, "subnet_id", NULL, false, "a subnet, as subnet-0123456789abcdef0"},
    {"instance", parse_id, "instance_id", NULL, false, "an instance, as i-0123456789abcdef0"},
    {"account", parse_id, "account_id", NULL, false, "an account, as 123456789012"},
    {"region", parse_id, "region", NULL, false, "a region, as eu-central-1"},
    {"az", parse_id, "az_id", NULL, false, "an availability zone's id, as euc1-az1"},
    {"action", parse_code, "action", NULL, false, "ACCEPT or REJECT"},
    {"accept", parse_flag, "action", "ACCEPT", false, NULL},
    {"reject", parse_flag, "action", "REJECT", false, NULL},
    {"status", parse_code, "log_status", NULL, false, "OK, NODATA or SKIPDATA"},
    {"ingress", parse_flag, "flow_direction", "ingress", false, NULL},
    {"egress", parse_flag, "flow_direction", "egress", false, NULL},
};
static const char *const condition_expected =
    "a condition: src, dst, host, net, port, portrange, private, public, proto, tcp, udp, icmp, eni, vpc, subnet, "
    "instance, account, "
    "action, accept, reject, ingress, egress, or a field and a comparison, as bytes > 1m";

static const struct keyword *find_keyword(const struct parser *p)
{
	for (size_t i = 0; i < FL_ARRAY_LEN(keywords); i++)
		if (is(p, keywords[i].name))
			return &keywords[i];
	return NULL;
}

/* ---- field comparisons ---- */

static const struct {
	const char *sign;
	enum fl_filter_op op;
} operators[] = {{"=", FL_OP_EQ},  {"==", FL_OP_EQ}, {"!=", FL_OP_NE}, {"<", FL_OP_LT},
		 {"<=", FL_OP_LE}, {">", FL_OP_GT},  {">=", FL_OP_GE}};

static size_t operator_at(const struct parser *p)
{
	size_t i = 0;

	while (i < FL_ARRAY_LEN(operators) && !is(p, operators[i].sign))
		i++;
	return i;
}

static int compare_number(struct parser *p, struct fl_filter **ret, const struct fl_column_def *d, enum fl_filter_op op)
{
	static const char suffixes[] = "kmgt";
	const char *end, *suffix;
	uint64_t v = 0;
	int64_t t;

	if ((!strcmp(d->name, "start") || !strcmp(d->name, "end")) && !fl_parse_time(p->word, &t) && t >= 0)
		return fl_filter_number(ret, d->name, op, (uint64_t)t);
	fl_error_clear();
	for (end = p->word; isdigit((unsigned char)*end); end++)
		if (__builtin_mul_overflow(v, 10u, &v) || __builtin_add_overflow(v, (unsigned)(*end - '0'), &v))
			return complain(p, "a smaller number");
	if (end == p->word)
		return complain(p, strcmp(d->name, "start") && strcmp(d->name, "end")
				       ? "a number, also with k, m, g or t"
				       : "a time, as 2026-11-20T00:00:00Z or seconds since 1970");
	suffix = *end ? strchr(suffixes, tolower((unsigned char)*end)) : NULL;
	if (*end && (!suffix || end[1]))
		return complain(p, "a number, also with k, m, g or t");
	for (const char *s = suffixes; suffix && s <= suffix; s++)
		if (__builtin_mul_overflow(v, 1000u, &v))
			return complain(p, "a smaller number");
	return fl_filter_number(ret, d->name, op, v);
}

static int compare_equal(struct parser *p, struct fl_filter **ret, const struct fl_column_def *d, bool equal)
{
	struct fl_filter *f = NULL;
	struct fl_cidr c;
	int r;

	if (d->type == FL_COLUMN_ADDR) {
		if (fl_cidr_parse(p->word, strlen(p->word), &c)) {
			fl_error_clear();
			return complain(p, "an address or a network, as 10.0.0.0/8");
		}
		/* One address is meant as it is written. */
		r = strchr(p->word, '/') ? fl_filter_cidr(&f, d->name, &c)
					 : fl_filter_text(&f, d->name, p->word, strlen(p->word));
	} else if (d->type == FL_COLUMN_CODE) {
		r = code_filter(p, &f, d->name, p->word);
	} else {
		r = fl_filter_text(&f, d->name, p->word, strlen(p->word));
	}
	if (!r && !equal)
		r = fl_filter_not(&f, f);
	*ret = f;
	return r;
}

static int parse_null(struct parser *p, struct fl_filter **ret, const struct fl_column_def *d)
{
	bool negated;
	int r = next(p);

	if (r)
		return r;
	negated = is(p, "not");
	r = negated ? next(p) : 0;
	if (r)
		return r;
	if (!is(p, "null"))
		return complain(p, "null, or not null");
	r = (negated ? fl_filter_not_null : fl_filter_is_null)(ret, d->name);
	return r ? r : next(p);
}

static int parse_comparison(struct parser *p, struct fl_filter **ret, const struct fl_column_def *d)
{
	const char *expected = "a comparison: = != < <= > >=, or is null";
	size_t i = operator_at(p);
	int r;

	if (is(p, "is"))
		return parse_null(p, ret, d);
	if (i == FL_ARRAY_LEN(operators))
		return complain(p, expected);
	if (d->type != FL_COLUMN_U64 && operators[i].op > FL_OP_NE)
		return complain(p, "= or !=: the field has no numbers");
	r = next(p);
	if (r)
		return r;
	if (p->end)
		return complain(p, "a value");
	r = d->type == FL_COLUMN_U64 ? compare_number(p, ret, d, operators[i].op)
				     : compare_equal(p, ret, d, operators[i].op == FL_OP_EQ);
	if (r) {
		fl_filter_free(ret);
		return r;
	}
	return next(p);
}

/* ---- the grammar ---- */

static int parse_or(struct parser *p, struct fl_filter **ret);

static int parse_value(struct parser *p, struct fl_filter **ret, const struct kind *k)
{
	int r = k->keyword->parse(p, ret, k->side, k->keyword);

	if (r)
		fl_filter_free(ret);
	p->last = *k;
	return r;
}

/* [src|dst] KEYWORD VALUE, FIELD OPERATOR VALUE, or a value alone. */
static int parse_condition(struct parser *p, struct fl_filter **ret)
{
	struct kind k = {SIDE_ANY, NULL};
	struct fl_column_def d;
	int r;

	if (is(p, "src") || is(p, "dst")) {
		k.side = is(p, "src") ? SIDE_SRC : SIDE_DST;
		r = next(p);
		if (r)
			return r;
		k.keyword = find_keyword(p);
		if (k.keyword && !k.keyword->sides)
			return complain(p, "host, net, port, portrange, private, public or an address");
		if (!k.keyword) {
			k.keyword = &keywords[0];
			return parse_value(p, ret, &k);
		}
	}
	k.keyword = k.keyword ? k.keyword : find_keyword(p);
	if (k.keyword) {
		bool field = k.side == SIDE_ANY && fl_column_find(k.keyword->name, &d);

		r = next(p);
		if (r)
			return r;
		if (field && (operator_at(p) < FL_ARRAY_LEN(operators) || is(p, "is")))
			return parse_comparison(p, ret, &d);
		if (p->end && !k.keyword->value)
			return complain(p, k.keyword->expects);
		return parse_value(p, ret, &k);
	}
	if (!p->quoted && fl_column_find(p->word, &d)) {
		r = next(p);
		return r ? r : parse_comparison(p, ret, &d);
	}
	if (!p->last.keyword || p->last.keyword->value || (!p->quoted && !is_word(*p->word)))
		return complain(p, condition_expected);
	k = p->last;
	r = parse_value(p, ret, &k);
	return r == -EINVAL ? complain(p, condition_expected) : r;
}

static int parse_not(struct parser *p, struct fl_filter **ret)
{
	int r;

	if (++p->depth > NEST_MAX)
		return fl_fail(-E2BIG, "filter \"%.200s\": nested deeper than %d levels", p->text, NEST_MAX);
	if (is_either(p, "not", "!")) {
		r = next(p);
		r = r ? r : parse_not(p, ret);
		r = r ? r : fl_filter_not(ret, *ret);
	} else if (is(p, "(")) {
		r = next(p);
		r = r ? r : parse_or(p, ret);
		if (!r && !is(p, ")"))
			r = complain(p, "and, or, or a closing bracket");
		r = r ? r : next(p);
		if (r)
			fl_filter_free(ret);
	} else {
		r = parse_condition(p, ret);
	}
	if (r)
		fl_filter_free(ret);
	p->depth--;
	return r;
}

static int parse_and(struct parser *p, struct fl_filter **ret)
{
	int r = parse_not(p, ret);

	while (!r && is_either(p, "and", "&&")) {
		struct fl_filter *f = NULL;

		r = next(p);
		r = r ? r : parse_not(p, &f);
		if (r)
			fl_filter_free(ret);
		r = r ? r : fl_filter_and(ret, *ret, f);
	}
	return r;
}

static int parse_or(struct parser *p, struct fl_filter **ret)
{
	int r = parse_and(p, ret);

	while (!r && is_either(p, "or", "||")) {
		struct fl_filter *f = NULL;

		r = next(p);
		r = r ? r : parse_and(p, &f);
		if (r)
			fl_filter_free(ret);
		r = r ? r : fl_filter_or(ret, *ret, f);
	}
	return r;
}

static int parse(struct fl_filter **ret, const char *text, const char *value, const struct fl_words_names *names)
{
	struct parser p = {.text = text, .at = text, .value = value, .names = names};
	int r;

	*ret = NULL;
	if (strlen(text) > FL_WORDS_MAX)
		return fl_fail(-E2BIG, "the filter is longer than %u bytes", FL_WORDS_MAX);
	r = next(&p);
	if (r || p.end)
		return r;
	r = parse_or(&p, ret);
	if (!r && !p.end)
		r = complain(&p, "and, or, or the end");
	if (r)
		fl_filter_free(ret);
	return r;
}

int fl_words_parse(struct fl_filter **ret, const char *text, const struct fl_words_names *names)
{
	return parse(ret, text, NULL, names);
}

int fl_words_condition(struct fl_filter **ret, const char *keyword, const char *value,
		       const struct fl_words_names *names)
{
	struct fl_buf text FL_CLEANUP(fl_buf_free) = FL_BUF(FL_WORDS_MAX);
	int r = strlen(value) < WORD_MAX
		    ? 0
		    : fl_fail(-EINVAL, "\"%.40s...\" is longer than %u bytes", value, WORD_MAX - 1);

	*ret = NULL;
	r = r ? r : fl_buf_printf(&text, "%s \"", keyword);

	for (const char *c = value; *c && !r; c++) {
		r = *c == '"' || *c == '\\' ? fl_buf_add(&text, "\\", 1) : 0;
		r = r ? r : fl_buf_add(&text, c, 1);
	}
	r = r ? r : fl_buf_adds(&text, "\"");
	return r ? r : parse(ret, fl_buf_cstr(&text), value, names);
}
