/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ip-ranges.json: which service an address belongs to. Ranges nest, and the same one is published for several
 * services; they are laid out into spans that do not overlap, each with the one service that is shown, so that a
 * lookup is one binary search.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "inventory/network_build.h"

struct range_read {
	const char *cidr, *service;
};
static const struct fl_member range_members[] = {
    FL_M_STR("ip_prefix", range_read, cidr),
    FL_M_STR("ipv6_prefix", range_read, cidr),
    FL_M_STR("service", range_read, service),
};
static const struct fl_shape range_shape =
    FL_SHAPE("a published address range", range_members, " region network_border_group ");

static struct fl_addr last_of(const struct fl_cidr *c)
{
	struct fl_addr a = c->base;

	for (unsigned i = c->bits; i < 128; i++)
		a.b[i / 8] |= (uint8_t)(0x80u >> i % 8);
	return a;
}

void fl_range_item(struct fl_reader *r, const json_t *item, void *row)
{
	struct range_read raw = {0};
	struct fl_network *net = r->net;
	struct fl_range *more;
	struct fl_cidr c;

	fl_walk(r, item, &range_shape, &raw);
	if (!raw.cidr || !raw.service || fl_cidr_parse(raw.cidr, strlen(raw.cidr), &c)) {
		fl_problem(r, true, "expected a prefix and a service, found \"%.64s\" and \"%.64s\"; left out",
			   raw.cidr ? raw.cidr : "", raw.service ? raw.service : "");
		return;
	}
	more = FL_APPEND(&net->arena, net->range, net->n_ranges);
	if (more)
		*more = (struct fl_range){c.base, last_of(&c), c.bits, raw.service};
}

/* AMAZON holds all others, EC2 most of the rest: the more special name is the one that says something. */
static int rank(const char *service)
{
	return !strcmp(service, "AMAZON") ? 0 : !strcmp(service, "EC2") ? 1 : 2;
}

static bool says_more(const struct fl_range *a, const struct fl_range *b)
{
	int d = rank(a->service) - rank(b->service);

	if (d || a->bits != b->bits)
		return d ? d > 0 : a->bits > b->bits;
	return strcmp(a->service, b->service) < 0; /* any, but always the same */
}

/* An outer range before the ones in it; of equal ones the one that says least first. */
static int by_nesting(const void *a, const void *b)
{
	const struct fl_range *x = a, *y = b;
	int c = memcmp(x->first.b, y->first.b, 16);

	if (c || x->bits != y->bits)
		return c ? c : (int)x->bits - (int)y->bits;
	return says_more(x, y) - says_more(y, x);
}

static bool next_addr(struct fl_addr *a, int step)
{
	for (int i = 15; i >= 0; i--) {
		a->b[i] = (uint8_t)(a->b[i] + step);
		if (a->b[i] != (step > 0 ? 0 : 255))
			return true;
	}
	return false;
}

struct layout {
	struct fl_range *out;
	size_t n;
};

static void put(struct layout *l, const struct fl_addr *first, const struct fl_addr *last, const char *service)
{
	struct fl_range *before = l->n ? &l->out[l->n - 1] : NULL;
	struct fl_addr next;

	if (memcmp(first->b, last->b, 16) > 0)
		return;
	if (before && before->service == service) {
		next = before->last;
		if (next_addr(&next, 1) && fl_addr_equal(&next, first)) {
			before->last = *last;
			return;
		}
	}
	l->out[l->n++] = (struct fl_range){*first, *last, 0, service};
}

#define NESTING_MAX 4096 /* the same range may be published for many services */

/* Closes the innermost open range: what of it is left behind `from` is its own. */
static void close_range(struct layout *l, const struct fl_range *const *open, const struct fl_range *const *shown,
			size_t depth, struct fl_addr *from, bool *past_end)
{
	const struct fl_range *o = open[depth - 1];

	if (*past_end || memcmp(from->b, o->last.b, 16) > 0)
		return;
	put(l, from, &o->last, shown[depth - 1]->service);
	*from = o->last;
	*past_end = !next_addr(from, 1);
}

int fl_ranges_finish(struct fl_network *net)
{
	/* CIDRs nest or are apart, never overlap in part: each adds at most a span before and one behind it */
	struct layout l = {.out = net->n_ranges ? fl_arena_get(&net->arena, (2 * net->n_ranges + 1) * sizeof *l.out)
						: NULL};
	const struct fl_range **open FL_CLEANUP(fl_freep) = calloc(NESTING_MAX, sizeof(*open));
	const struct fl_range **shown FL_CLEANUP(fl_freep) = calloc(NESTING_MAX, sizeof(*shown));
	struct fl_addr from = {0};
	bool past_end = false;
	size_t depth = 0;

	if (!net->n_ranges)
		return 0;
	if (!l.out || !open || !shown)
		return fl_fail(-ENOMEM, "no memory for the published address ranges");
	qsort(net->range, net->n_ranges, sizeof *net->range, by_nesting);
	for (size_t i = 0; i < net->n_ranges; i++) {
		const struct fl_range *x = &net->range[i];
		struct fl_addr before = x->first;

		while (depth && memcmp(open[depth - 1]->last.b, x->first.b, 16) < 0) {
			close_range(&l, open, shown, depth, &from, &past_end);
			depth--;
		}
		if (depth == NESTING_MAX)
			continue;
		if (depth && next_addr(&before, -1) && memcmp(from.b, before.b, 16) <= 0)
			put(&l, &from, &before, shown[depth - 1]->service);
		from = x->first;
		open[depth] = x;
		shown[depth] = depth && !says_more(x, shown[depth - 1]) ? shown[depth - 1] : x;
		depth++;
	}
	for (; depth; depth--)
		close_range(&l, open, shown, depth, &from, &past_end);
	net->range = l.out;
	net->n_ranges = l.n;
	return 0;
}

const char *fl_network_service(const struct fl_network *net, const struct fl_addr *addr)
{
	size_t low = 0, high = net->n_ranges;

	while (low < high) { /* the first span that begins behind addr */
		size_t mid = low + (high - low) / 2;

		if (memcmp(net->range[mid].first.b, addr->b, 16) <= 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low && memcmp(addr->b, net->range[low - 1].last.b, 16) <= 0 ? net->range[low - 1].service : NULL;
}

bool fl_network_has_ranges(const struct fl_network *net)
{
	return net->n_ranges;
}
