/* SPDX-License-Identifier: Apache-2.0 */
/* Filters on batches: each condition is one tight loop over its column that leaves a bit a row. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "scan/filter_tree.h"

/* ---- loops ---- */

/* 64 bytes of 0 or 1 to 64 bits. */
static inline __attribute__((always_inline)) uint64_t pack(const uint8_t m[64])
{
	uint64_t bits = 0;

	for (unsigned i = 0; i < 8; i++) {
		uint64_t x;

		memcpy(&x, m + i * 8, 8);
		bits |= x * UINT64_C(0x0102040810204080) >> 56 << (i * 8);
	}
	return bits;
}

static inline __attribute__((always_inline)) void range_loop(const uint64_t *v, uint64_t first, uint64_t span,
							     uint32_t words, uint64_t *ret)
{
	for (uint32_t w = 0; w < words; w++, v += 64) {
		uint8_t m[64];

		for (unsigned i = 0; i < 64; i++)
			m[i] = v[i] - first <= span;
		ret[w] = pack(m);
	}
}

static inline __attribute__((always_inline)) void cidr_loop(const struct fl_addr *a, const uint64_t base[2],
							    const uint64_t mask[2], uint32_t words, uint64_t *ret)
{
	const uint64_t *v = (const uint64_t *)(const void *)a; /* aligned: fl_batch_new */
	uint64_t base0 = base[0], base1 = base[1], mask0 = mask[0], mask1 = mask[1];

	for (uint32_t w = 0; w < words; w++, v += 128) {
		uint8_t m[64];

		for (unsigned i = 0; i < 64; i++)
			m[i] = !(((v[2 * i] ^ base0) & mask0) | ((v[2 * i + 1] ^ base1) & mask1));
		ret[w] = pack(m);
	}
}

static inline __attribute__((always_inline)) void code_loop(const uint8_t *v, uint8_t code, uint32_t words,
							    uint64_t *ret)
{
	for (uint32_t w = 0; w < words; w++, v += 64) {
		uint8_t m[64];

		for (unsigned i = 0; i < 64; i++)
			m[i] = v[i] == code;
		ret[w] = pack(m);
	}
}

struct loops {
	void (*range)(const uint64_t *v, uint64_t first, uint64_t span, uint32_t words, uint64_t *ret);
	void (*cidr)(const struct fl_addr *a, const uint64_t base[2], const uint64_t mask[2], uint32_t words,
		     uint64_t *ret);
	void (*code)(const uint8_t *v, uint8_t code, uint32_t words, uint64_t *ret);
};

#define LOOPS(isa, attribute)                                                                                          \
	attribute static void range_##isa(const uint64_t *v, uint64_t first, uint64_t span, uint32_t words,            \
					  uint64_t *ret)                                                               \
	{                                                                                                              \
		range_loop(v, first, span, words, ret);                                                                \
	}                                                                                                              \
	attribute static void cidr_##isa(const struct fl_addr *a, const uint64_t base[2], const uint64_t mask[2],      \
					 uint32_t words, uint64_t *ret)                                                \
	{                                                                                                              \
		cidr_loop(a, base, mask, words, ret);                                                                  \
	}                                                                                                              \
	attribute static void code_##isa(const uint8_t *v, uint8_t code, uint32_t words, uint64_t *ret)                \
	{                                                                                                              \
		code_loop(v, code, words, ret);                                                                        \
	}                                                                                                              \
	static const struct loops loops_##isa = {range_##isa, cidr_##isa, code_##isa};

LOOPS(any, )
#ifdef __x86_64__
LOOPS(avx2, __attribute__((target("avx2"))))
/* clang has no such option of a function, and its own preference of 256 bits stays. */
#ifdef __clang__
#define WIDE
#else
#define WIDE ",prefer-vector-width=512"
#endif
LOOPS(avx512, __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl" WIDE))))
#endif

static const struct {
	const char *name;
	const struct loops *loops;
} kernels[] = {
#ifdef __x86_64__
    {"avx512", &loops_avx512},
    {"avx2", &loops_avx2},
#endif
    {"scalar", &loops_any},
};

static bool has_kernel(size_t i)
{
#ifdef __x86_64__
	if (kernels[i].loops == &loops_avx512)
		return __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
		       __builtin_cpu_supports("avx512vl");
	if (kernels[i].loops == &loops_avx2)
		return __builtin_cpu_supports("avx2");
#endif
	return true;
}

static const struct loops *best_loops(void)
{
	size_t i = 0;

	while (!has_kernel(i))
		i++;
	return kernels[i].loops;
}

/* ---- binding ---- */

/* NOT is gone: it was handed down to the conditions, which then are true of the values that they are false of. Of nulls
 * they are neither. */
enum bound_kind {
	BOUND_AND,
	BOUND_OR,
	BOUND_NEVER,
	BOUND_ALWAYS,
	BOUND_RANGE,
	BOUND_CIDR,
	BOUND_CODE,
	BOUND_TEXT,
	BOUND_TEXT_RANGE, /* numbers and addresses in columns that nothing is known of */
	BOUND_TEXT_CIDR,
	BOUND_IS_NULL,
	BOUND_NOT_NULL,
};

struct bound {
	enum bound_kind kind;
	uint32_t next; /* behind its own children */
	uint32_t column;
	bool negated; /* true of the other values */
	bool valued;  /* of values of a column that is there, though null perhaps */
	enum fl_filter_form form;
	uint8_t code;
	uint64_t first, span;
	uint64_t base[2], mask[2];
	struct fl_cidr cidr;
	char *text; /* a copy */
	size_t text_n;
};

struct fl_filter_bound {
	const struct loops *loops;
	uint32_t n;
	struct bound node[]; /* each followed by its children */
};

bool fl_filter_bound_kernel(struct fl_filter_bound *f, const char *name)
{
	for (size_t i = 0; i < FL_ARRAY_LEN(kernels); i++)
		if (!strcmp(kernels[i].name, name) && has_kernel(i)) {
			f->loops = kernels[i].loops;
			return true;
		}
	return false;
}

void fl_filter_bound_free(struct fl_filter_bound **f)
{
	if (!*f)
		return;
	for (uint32_t i = 0; i < (*f)->n; i++)
		free((*f)->node[i].text);
	free(*f);
	*f = NULL;
}

static int bind_text(struct bound *b, const struct fl_filter *f, const struct fl_column_def *d)
{
	if (d->type == FL_COLUMN_CODE) {
		b->kind = BOUND_NEVER;
		for (uint8_t i = 0; i < d->n_codes; i++)
			if (strlen(d->codes[i]) == f->text_n && !memcmp(d->codes[i], f->text, f->text_n)) {
				b->kind = BOUND_CODE;
				b->code = i;
			}
		return 0;
	}
	if (d->type != FL_COLUMN_TEXT) { /* no value of the column looks like that, or it would not be a text */
		b->kind = BOUND_NEVER;
		return 0;
	}
	b->kind = BOUND_TEXT;
	b->text = malloc(f->text_n + 1);
	if (!b->text)
		return -ENOMEM;
	memcpy(b->text, f->text, f->text_n + 1);
	b->text_n = f->text_n;
	return 0;
}

static void bind_cidr(struct bound *b, const struct fl_filter *f, const struct fl_column_def *d)
{
	uint8_t mask[16];

	b->kind = d->type == FL_COLUMN_ADDR ? BOUND_CIDR : BOUND_TEXT_CIDR;
	b->cidr = f->cidr;
	b->form = f->form;
	for (unsigned i = 0; i < 16; i++)
		mask[i] = f->cidr.bits >= 8 * (i + 1) ? 0xff
			  : f->cidr.bits <= 8 * i     ? 0
						      : (uint8_t)(0xff00u >> (f->cidr.bits - 8 * i));
	memcpy(b->mask, mask, 16);
	memcpy(b->base, f->cidr.base.b, 16);
}

static int bind_value(struct bound *b, const struct fl_filter *f, const struct fl_column_def *d)
{
	b->kind = BOUND_NEVER;
	switch (f->kind) {
	case FL_FILTER_TEXT:
		return bind_text(b, f, d);
	case FL_FILTER_RANGE:
		if (d->type != FL_COLUMN_U64 && d->type != FL_COLUMN_TEXT)
			break;
		b->kind = f->first > f->last ? BOUND_NEVER : d->type == FL_COLUMN_U64 ? BOUND_RANGE : BOUND_TEXT_RANGE;
		b->first = f->first;
		b->span = f->last - f->first;
		return 0;
	case FL_FILTER_CIDR:
		if (d->type != FL_COLUMN_ADDR && d->type != FL_COLUMN_TEXT)
			break;
		bind_cidr(b, f, d);
		return 0;
	default:
		break;
	}
	return fl_fail(-EINVAL, "column %s has another type than the filter expects", f->column);
}

static bool is_of_every_value(const struct bound *b, const struct fl_filter *f)
{
	return (b->kind == BOUND_RANGE && !f->first && f->last == UINT64_MAX) ||
	       (b->kind == BOUND_CIDR && !f->cidr.bits && f->form == FL_FORM_ANY);
}

static int bind_leaf(struct bound *b, const struct fl_filter *f, bool negative, const struct fl_column_def *defs,
		     size_t n)
{
	const struct fl_column_def *d = NULL;
	int r;

	for (size_t i = 0; i < n && !d; i++)
		if (!strcmp(defs[i].name, f->column)) {
			d = &defs[i];
			b->column = (uint32_t)i;
		}
	b->negated = f->negated != negative;
	if (f->kind == FL_FILTER_IS_NULL) {
		b->kind = d ? (b->negated ? BOUND_NOT_NULL : BOUND_IS_NULL) : b->negated ? BOUND_NEVER : BOUND_ALWAYS;
		return 0;
	}
	if (!d) { /* not known of any row */
		b->kind = BOUND_NEVER;
		return 0;
	}
	b->valued = true;
	r = bind_value(b, f, d);
	if (!r && b->kind == BOUND_NEVER && b->negated)
		b->kind = BOUND_NOT_NULL; /* no value is that one */
	else if (!r && is_of_every_value(b, f))
		b->kind = b->negated ? BOUND_NEVER : BOUND_NOT_NULL;
	return r;
}

static int bind_node(struct fl_filter_bound *to, const struct fl_filter *f, bool negative,
		     const struct fl_column_def *defs, size_t n)
{
	struct bound *b;
	int r = 0;

	if (f->kind == FL_FILTER_NOT)
		return bind_node(to, f->child[0], !negative, defs, n);
	b = &to->node[to->n++];
	if (f->column) {
		r = bind_leaf(b, f, negative, defs, n);
	} else {
		b->kind = (f->kind == FL_FILTER_AND) != negative ? BOUND_AND : BOUND_OR;
		for (uint32_t i = 0; i < f->n && !r; i++)
			r = bind_node(to, f->child[i], negative, defs, n);
	}
	b->next = to->n;
	return r;
}

int fl_filter_bind(struct fl_filter_bound **ret, const struct fl_filter *f, const struct fl_column_def *defs, size_t n)
{
	struct fl_filter_bound *b FL_CLEANUP(fl_filter_bound_free) = NULL;
	int r;

	*ret = NULL;
	b = calloc(1, sizeof *b + (f ? f->nodes : 1) * sizeof b->node[0]);
	if (!b)
		return -ENOMEM;
	b->loops = best_loops();
	if (f) {
		r = bind_node(b, f, false, defs, n);
		if (r)
			return r;
	} else {
		b->n = 1;
		b->node[0] = (struct bound){.kind = BOUND_ALWAYS, .next = 1};
	}
	*ret = b;
	b = NULL;
	return 0;
}

/* ---- evaluation ---- */

static void clear_nulls(const struct fl_column *c, uint32_t words, uint64_t *ret)
{
	if (c->any_null)
		for (uint32_t w = 0; w < words; w++)
			ret[w] &= ~c->null[w];
}

/* An IPv4 network does not mean what was written as IPv6, and the other way round. */
static void clear_other_form(const struct fl_column *c, enum fl_filter_form form, uint32_t words, uint64_t *ret)
{
	for (uint32_t w = 0; w < words && form != FL_FORM_ANY; w++)
		ret[w] &= form == FL_FORM_V6 ? (c->v6 ? c->v6[w] : 0) : ~(c->v6 ? c->v6[w] : 0);
}

/* Text that is no number, or no address, is on neither side of a condition on numbers or addresses. */
static bool text_passes(const struct bound *f, const struct fl_str *t)
{
	struct fl_addr a;
	uint64_t v;
	bool v6;

	switch (f->kind) {
	case BOUND_TEXT:
		return (t->n == f->text_n && (!t->n || !memcmp(t->p, f->text, t->n))) != f->negated;
	case BOUND_TEXT_RANGE:
		return fl_filter_parse_number(t->p, t->n, &v) && (v - f->first <= f->span) != f->negated;
	default:
		if (fl_addr_parse(t->p, t->n, &a, &v6) < 0)
			return false;
		v6 = v6 && fl_addr_is_mapped_v4(&a);
		return ((f->form == FL_FORM_ANY || v6 == (f->form == FL_FORM_V6)) && fl_cidr_has(&f->cidr, &a)) !=
		       f->negated;
	}
}

static void eval_text(const struct bound *f, const struct fl_column *c, uint32_t n, uint32_t words, uint64_t *ret)
{
	memset(ret, 0, words * sizeof *ret);
	/* Nothing may be read behind the last row: its text may be gone. */
	for (uint32_t i = 0; i < n; i++)
		if (!fl_column_is_null(c, i) && text_passes(f, &c->text[i]))
			ret[i / 64] |= UINT64_C(1) << (i % 64);
	if (f->kind == BOUND_TEXT_CIDR)
		fl_error_clear();
}

static void eval_leaf(const struct fl_filter_bound *all, const struct bound *f, const struct fl_batch *b,
		      uint32_t words, uint64_t *ret)
{
	const struct fl_column *c = &b->column[f->column];

	switch (f->kind) {
	case BOUND_ALWAYS:
		memset(ret, 0xff, words * sizeof *ret);
		return;
	case BOUND_IS_NULL:
		memcpy(ret, c->null, words * sizeof *ret);
		return;
	case BOUND_NOT_NULL:
		memset(ret, 0xff, words * sizeof *ret);
		clear_nulls(c, words, ret);
		return;
	case BOUND_RANGE:
		all->loops->range(c->u64, f->first, f->span, words, ret);
		break;
	case BOUND_CIDR:
		all->loops->cidr(c->addr, f->base, f->mask, words, ret);
		clear_other_form(c, f->form, words, ret);
		break;
	case BOUND_CODE:
		all->loops->code(c->code, f->code, words, ret);
		break;
	case BOUND_TEXT:
	case BOUND_TEXT_RANGE:
	case BOUND_TEXT_CIDR:
		eval_text(f, c, b->n, words, ret);
		return;
	default:
		memset(ret, 0, words * sizeof *ret);
		return;
	}
	for (uint32_t w = 0; w < words && f->negated; w++)
		ret[w] = ~ret[w];
	clear_nulls(c, words, ret);
}

static bool any_bit(const uint64_t *bits, uint32_t words)
{
	uint64_t all = 0;

	for (uint32_t w = 0; w < words; w++)
		all |= bits[w];
	return all != 0;
}

/* Bits behind the last row are of no meaning until the end. Depth is bounded by FL_FILTER_DEPTH. */
static void eval(const struct fl_filter_bound *all, uint32_t at, const struct fl_batch *b, uint32_t words,
		 uint64_t *ret)
{
	const struct bound *f = &all->node[at];
	uint64_t other[FL_BATCH_WORDS];

	if (f->kind > BOUND_OR) {
		eval_leaf(all, f, b, words, ret);
		return;
	}
	eval(all, at + 1, b, words, ret);
	for (uint32_t child = all->node[at + 1].next; child < f->next; child = all->node[child].next) {
		if (f->kind == BOUND_AND && !any_bit(ret, words))
			return;
		eval(all, child, b, words, other);
		for (uint32_t w = 0; w < words; w++)
			ret[w] = f->kind == BOUND_AND ? ret[w] & other[w] : ret[w] | other[w];
	}
}

/* Bits of what passes, and of what could. */
struct both {
	uint64_t pass[FL_BATCH_WORDS], could[FL_BATCH_WORDS];
};

static void eval_both(const struct fl_filter_bound *all, uint32_t at, const struct fl_batch *b, const bool *lacks,
		      uint32_t words, struct both *ret)
{
	const struct bound *f = &all->node[at];
	struct both other;

	if (f->kind > BOUND_OR) {
		bool lacking = f->valued && lacks[f->column];

		if (lacking)
			memset(ret->pass, 0, words * sizeof *ret->pass);
		else
			eval_leaf(all, f, b, words, ret->pass);
		for (uint32_t w = 0; w < words; w++)
			ret->could[w] = lacking ? UINT64_MAX : ret->pass[w];
		return;
	}
	eval_both(all, at + 1, b, lacks, words, ret);
	for (uint32_t child = all->node[at + 1].next; child < f->next; child = all->node[child].next) {
		if (f->kind == BOUND_AND && !any_bit(ret->could, words))
			return;
		eval_both(all, child, b, lacks, words, &other);
		for (uint32_t w = 0; w < words; w++) {
			ret->pass[w] =
			    f->kind == BOUND_AND ? ret->pass[w] & other.pass[w] : ret->pass[w] | other.pass[w];
			ret->could[w] =
			    f->kind == BOUND_AND ? ret->could[w] & other.could[w] : ret->could[w] | other.could[w];
		}
	}
}

/* Those of n rows, and no others. */
static uint32_t count_rows(uint64_t ret[FL_BATCH_WORDS], uint32_t n)
{
	uint32_t words = (n + 63) / 64, passed = 0;

	if (n % 64)
		ret[words - 1] &= (UINT64_C(1) << (n % 64)) - 1;
	memset(ret + words, 0, (FL_BATCH_WORDS - words) * sizeof *ret);
	for (uint32_t w = 0; w < words; w++)
		passed += (uint32_t)__builtin_popcountll(ret[w]);
	return passed;
}

uint32_t fl_filter_eval_lacking(const struct fl_filter_bound *f, const struct fl_batch *b, const bool *lacks,
				uint64_t ret[FL_BATCH_WORDS], uint32_t *ret_could)
{
	struct both both;

	if (b->n)
		eval_both(f, 0, b, lacks, (b->n + 63) / 64, &both);
	*ret_could = count_rows(both.could, b->n);
	memcpy(ret, both.pass, sizeof both.pass);
	return count_rows(ret, b->n);
}

uint32_t fl_filter_eval(const struct fl_filter_bound *f, const struct fl_batch *b, uint64_t ret[FL_BATCH_WORDS])
{
	if (b->n)
		eval(f, 0, b, (b->n + 63) / 64, ret);
	return count_rows(ret, b->n);
}
