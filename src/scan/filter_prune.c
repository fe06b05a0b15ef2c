/* SPDX-License-Identifier: Apache-2.0 */
/* What a filter lets scanners pass over unread: by time, by literal text, by what is known of a column's values. */
#include <string.h>

#include "scan/filter_tree.h"

/* ---- times ---- */

struct span {
	int64_t since, until;
};
static const struct span every_time = {INT64_MIN, INT64_MAX}, no_time = {INT64_MAX, INT64_MIN};

static int64_t as_time(uint64_t v)
{
	return v > INT64_MAX ? INT64_MAX : (int64_t)v;
}

static struct span times_of(const struct fl_filter *f)
{
	struct span s = every_time;

	switch (f->kind) {
	case FL_FILTER_AND:
		for (uint32_t i = 0; i < f->n; i++) {
			struct span c = times_of(f->child[i]);

			s.since = FL_MAX(s.since, c.since);
			s.until = FL_MIN(s.until, c.until);
		}
		return s;
	case FL_FILTER_OR:
		s = no_time;
		for (uint32_t i = 0; i < f->n; i++) {
			struct span c = times_of(f->child[i]);

			s.since = FL_MIN(s.since, c.since);
			s.until = FL_MAX(s.until, c.until);
		}
		return s;
	case FL_FILTER_RANGE:
		if (f->first > f->last)
			return no_time;
		/* start <= end, so a bound of one side of the interval is one of the other. */
		if (f->negated || (strcmp(f->column, "start") && strcmp(f->column, "end")))
			return s;
		if (f->first)
			s.since = as_time(f->first);
		if (f->last < INT64_MAX)
			s.until = as_time(f->last);
		return s;
	default:
		return s;
	}
}

void fl_filter_times(const struct fl_filter *f, int64_t *ret_since, int64_t *ret_until)
{
	struct span s = f ? times_of(f) : every_time;

	*ret_since = s.since;
	*ret_until = s.until;
}

/* ---- literals ---- */

static size_t add_literal(struct fl_addr ret[FL_FILTER_LITERALS], size_t n, const struct fl_addr *a)
{
	for (size_t i = 0; i < n; i++)
		if (fl_addr_equal(&ret[i], a))
			return n;
	if (n == FL_FILTER_LITERALS)
		return n + 1; /* too many */
	ret[n] = *a;
	return n + 1;
}

/* 0: none can be named. */
static size_t literals_of(const struct fl_filter *f, struct fl_addr ret[FL_FILTER_LITERALS])
{
	struct fl_addr of_child[FL_FILTER_LITERALS];
	size_t n = 0;

	switch (f->kind) {
	case FL_FILTER_AND: /* any child's will do; the fewest */
		for (uint32_t i = 0; i < f->n; i++) {
			size_t k = literals_of(f->child[i], of_child);

			if (!k || (n && k >= n))
				continue;
			memcpy(ret, of_child, k * sizeof ret[0]);
			n = k;
		}
		return n;
	case FL_FILTER_OR: /* those of all children */
		for (uint32_t i = 0; i < f->n; i++) {
			size_t k = literals_of(f->child[i], of_child);

			if (!k)
				return 0;
			for (size_t j = 0; j < k; j++) {
				n = add_literal(ret, n, &of_child[j]);
				if (n > FL_FILTER_LITERALS)
					return 0;
			}
		}
		return n;
	case FL_FILTER_CIDR:
		if (f->form != FL_FORM_V4 || f->cidr.bits != 128)
			return 0;
		ret[0] = f->cidr.base;
		return 1;
	default:
		return 0;
	}
}

size_t fl_filter_literals(const struct fl_filter *f, struct fl_addr ret[FL_FILTER_LITERALS])
{
	return f ? literals_of(f, ret) : 0;
}

/* ---- statistics ---- */

/* What may come out for the records of a part, beside that it is not known. */
struct outcome {
	bool pass, fail;
};

struct known {
	fl_range_fn range;
	fl_contains_fn contains;
	void *ctx;
};

static int compare(struct fl_str a, const char *b, size_t n)
{
	int r = a.n && n ? memcmp(a.p, b, FL_MIN(a.n, n)) : 0;

	return r ? r : (a.n > n) - (a.n < n);
}

static bool may_contain(const struct known *k, const struct fl_filter *f, const char *text, size_t n)
{
	return !k->contains || k->contains(k->ctx, f->column, text, n);
}

static struct outcome judge_text(const struct known *k, const struct fl_filter *f, const struct fl_column_range *r,
				 const char *text, size_t n)
{
	struct outcome o = {true, true};

	if (r->known) {
		o.pass = compare(r->tmin, text, n) <= 0 && compare(r->tmax, text, n) >= 0;
		o.fail = compare(r->tmin, text, n) || compare(r->tmax, text, n);
	}
	if (o.pass && !may_contain(k, f, text, n))
		o = (struct outcome){false, true};
	return o;
}

static struct outcome judge_range(const struct known *k, const struct fl_filter *f, const struct fl_column_range *r)
{
	struct outcome o = {true, true};

	if (f->first > f->last)
		return (struct outcome){false, true};
	if (f->def.type != FL_COLUMN_U64)
		return o;
	if (r->known) {
		bool meets = r->min <= f->last && r->max >= f->first, within = r->min >= f->first && r->max <= f->last;

		o.pass = f->negated ? !within : meets;
		o.fail = f->negated ? meets : !within;
	}
	if (o.pass && !f->negated && f->first == f->last) {
		struct fl_buf text FL_CLEANUP(fl_buf_free) = FL_BUF(32);

		if (!fl_buf_printf(&text, "%llu", (unsigned long long)f->first) &&
		    !may_contain(k, f, text.data, text.len))
			o = (struct outcome){false, true};
	}
	return o;
}

/* An IPv4 network by the octets that all its addresses begin with: "10.1." up to "10.1/". */
static struct outcome judge_network(const struct fl_filter *f, const struct fl_column_range *r)
{
	char text[FL_ADDR_TEXT_MAX + 1], *end = text;
	unsigned octets = (f->cidr.bits - 96u) / 8;
	struct outcome o = {true, true};

	if (!r->known || !octets)
		return o;
	*fl_addr_print(text, &f->cidr.base, false) = '\0';
	for (unsigned i = 0; i < octets; i++)
		end = strchr(end, '.') + 1;
	o.pass = compare(r->tmax, text, (size_t)(end - text)) >= 0;
	end[-1] = '.' + 1;
	o.pass = o.pass && compare(r->tmin, text, (size_t)(end - text)) < 0;
	return o;
}

static struct outcome judge_cidr(const struct known *k, const struct fl_filter *f, const struct fl_column_range *r)
{
	char text[FL_ADDR_TEXT_MAX], *end;

	if (f->def.type != FL_COLUMN_ADDR)
		return (struct outcome){true, true};
	if (f->form == FL_FORM_V4 && f->cidr.bits < 128)
		return judge_network(f, r);
	if (f->form == FL_FORM_V6 || f->cidr.bits < 128)
		return (struct outcome){true, true};
	end = fl_addr_print(text, &f->cidr.base, f->form != FL_FORM_V4);
	if (f->form == FL_FORM_V4)
		return judge_text(k, f, r, text, (size_t)(end - text));
	/* Others write IPv6 otherwise than we do: their order says nothing. */
	return (struct outcome){may_contain(k, f, text, (size_t)(end - text)), true};
}

static struct outcome judge_leaf(const struct known *k, const struct fl_filter *f)
{
	struct fl_column_range r = k->range(k->ctx, f->column);

	if (f->kind == FL_FILTER_IS_NULL) {
		struct outcome o = {!r.known || r.may_be_null || r.all_null, !r.known || !r.all_null};

		return f->negated ? (struct outcome){o.fail, o.pass} : o;
	}
	if (r.known && r.all_null)
		return (struct outcome){false, false};
	switch (f->kind) {
	case FL_FILTER_RANGE:
		return judge_range(k, f, &r);
	case FL_FILTER_CIDR:
		return judge_cidr(k, f, &r);
	case FL_FILTER_TEXT:
		if (f->def.type == FL_COLUMN_TEXT || f->def.type == FL_COLUMN_CODE)
			return judge_text(k, f, &r, f->text, f->text_n);
		return (struct outcome){false, true};
	default:
		return (struct outcome){true, true};
	}
}

static struct outcome judge(const struct known *k, const struct fl_filter *f)
{
	struct outcome o;

	if (f->column)
		return judge_leaf(k, f);
	o = judge(k, f->child[0]);
	if (f->kind == FL_FILTER_NOT)
		return (struct outcome){o.fail, o.pass};
	for (uint32_t i = 1; i < f->n; i++) {
		struct outcome c = judge(k, f->child[i]);

		o.pass = f->kind == FL_FILTER_AND ? o.pass && c.pass : o.pass || c.pass;
		o.fail = f->kind == FL_FILTER_AND ? o.fail || c.fail : o.fail && c.fail;
	}
	return o;
}

bool fl_filter_may_pass(const struct fl_filter *f, fl_range_fn range, fl_contains_fn contains, void *ctx)
{
	struct known k = {range, contains, ctx};

	return !f || judge(&k, f).pass;
}

static struct fl_column_range time_range(void *ctx, const char *column)
{
	const struct span *s = ctx;

	if (strcmp(column, "start") && strcmp(column, "end"))
		return (struct fl_column_range){.known = false};
	return (struct fl_column_range){.known = true,
					.may_be_null = true,
					.min = s->since < 0 ? 0 : (uint64_t)s->since,
					.max = s->until < 0 ? 0 : (uint64_t)s->until};
}

bool fl_filter_may_pass_time(const struct fl_filter *f, int64_t first, int64_t last)
{
	struct span s = {first, last};

	return fl_filter_may_pass(f, time_range, NULL, &s);
}
