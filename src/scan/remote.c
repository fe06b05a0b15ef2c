/* SPDX-License-Identifier: Apache-2.0 */
#include "scan/remote.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"

#define TAIL_BYTES ((uint64_t)64 << 10) /* of the end, fetched first: most footers, and some indexes */
#define MAGIC "PAR1"
#define MEMORY_MAX ((uint64_t)128 << 20) /* of a row group; what is beyond is fetched when it is read */

/* Pieces in memory, in the order of their offsets. */
struct held {
	struct fl_s3_piece *piece;
	size_t n;
	uint8_t *memory;
};

struct fl_remote {
	struct fl_s3 *s3;
	char *bucket, *key;
	char etag[FL_S3_ETAG_MAX];
	uint64_t size;
	struct held tail;
	atomic_bool failed;
};

struct fl_pieces {
	struct fl_remote *remote;
	struct held hints, data;
	struct fl_parquet_input input;
};

static void let_go(struct held *h)
{
	free(h->piece);
	free(h->memory);
	*h = (struct held){0};
}

static int fetch(const struct fl_remote *r, const struct fl_parquet_extents *x, struct held *ret)
{
	size_t total = 0;

	for (size_t i = 0; i < x->n; i++)
		total += x->extent[i].n;
	ret->piece = calloc(x->n + 1, sizeof *ret->piece);
	ret->memory = malloc(total + 1);
	if (!ret->piece || !ret->memory)
		return -ENOMEM;
	total = 0;
	for (ret->n = 0; ret->n < x->n; ret->n++) {
		ret->piece[ret->n] =
		    (struct fl_s3_piece){x->extent[ret->n].at, x->extent[ret->n].n, ret->memory + total};
		total += x->extent[ret->n].n;
	}
	return fl_s3_read_pieces(r->s3, r->bucket, r->key, r->size, r->etag, ret->piece, ret->n);
}

/* Where this byte is, and how many there are from it on; NULL: it is not here. */
static const uint8_t *find(const struct held *h, uint64_t at, size_t *ret_n)
{
	size_t low = 0, high = h->n;
	const struct fl_s3_piece *p;

	while (high - low > 1) {
		size_t middle = low + (high - low) / 2;

		if (h->piece[middle].offset <= at)
			low = middle;
		else
			high = middle;
	}
	p = h->n ? &h->piece[low] : NULL;
	if (!p || at < p->offset || at - p->offset >= p->n)
		return NULL;
	*ret_n = p->n - (size_t)(at - p->offset);
	return p->to + (at - p->offset);
}

/* ---- the object ---- */

void fl_remote_free(struct fl_remote **remote)
{
	struct fl_remote *r = *remote;

	*remote = NULL;
	if (!r)
		return;
	let_go(&r->tail);
	free(r->bucket);
	free(r->key);
	free(r);
}

uint64_t fl_remote_size(const struct fl_remote *r)
{
	return r->size;
}

bool fl_remote_failed(struct fl_remote *r)
{
	return atomic_exchange(&r->failed, true);
}

static int fetch_tail(struct fl_remote *r, uint64_t n)
{
	struct fl_parquet_extent extent[FL_PARQUET_FOOTER_MAX / FL_PARQUET_PIECE + 2];
	struct fl_parquet_extents x = {extent, 0, FL_ARRAY_LEN(extent)};
	uint64_t at = r->size - n;

	let_go(&r->tail);
	for (uint64_t last = r->size - FL_MIN(n, TAIL_BYTES); at < last; at += extent[x.n++].n)
		extent[x.n] = (struct fl_parquet_extent){at, (size_t)FL_MIN(last - at, (uint64_t)FL_PARQUET_PIECE)};
	extent[x.n++] = (struct fl_parquet_extent){at, (size_t)(r->size - at)};
	return fetch(r, &x, &r->tail);
}

/* The end, and as much before it as the footer takes. 1: it is none of Parquet. */
static int read_end(struct fl_remote *r)
{
	const struct fl_s3_piece *last;
	uint32_t footer;
	int result = fetch_tail(r, FL_MIN(r->size, TAIL_BYTES));

	if (result)
		return result;
	last = r->tail.piece ? &r->tail.piece[r->tail.n - 1] : NULL;
	if (!last || last->n < 12 || memcmp(last->to + last->n - 4, MAGIC, 4) != 0)
		return 1;
	memcpy(&footer, last->to + last->n - 8, sizeof footer);
	if (footer > FL_PARQUET_FOOTER_MAX || footer + 12ull > r->size)
		return 1; /* what it is shows when it is read whole */
	return footer + 8ull > last->n ? fetch_tail(r, footer + 8ull) : 0;
}

int fl_remote_open(struct fl_remote **ret, struct fl_scan *s, const struct fl_ticket *t)
{
	struct fl_remote *r FL_CLEANUP(fl_remote_free) = NULL;
	const char *key = t->place->names.data + t->file->name, *etag = key + strlen(key) + 1;
	int result;

	if (t->file->size < FL_REMOTE_MIN || !*etag)
		return 1;
	r = calloc(1, sizeof *r);
	if (!r)
		return -ENOMEM;
	r->s3 = s->s3;
	r->bucket = strdup(t->place->bucket);
	r->key = strdup(key);
	if (!r->bucket || !r->key)
		return -ENOMEM;
	r->size = t->file->size;
	memcpy(r->etag, etag, FL_MIN(strlen(etag), sizeof r->etag - 1));
	result = read_end(r);
	if (result == -ESTALE || result == -ERANGE) {
		/* It was replaced since it was listed: as it is now. */
		result = fl_s3_head(r->s3, r->bucket, r->key, &r->size, r->etag, NULL);
		if (!result)
			result = r->size >= 12 && *r->etag ? read_end(r) : 1;
	}
	if (result)
		return result;
	*ret = r;
	r = NULL;
	return 0;
}

typedef const uint8_t *(*find_fn)(const void *ctx, uint64_t at, size_t *ret_n);

/* How many bytes from there on are held. to: where they go; NULL: nowhere. */
static size_t take(find_fn find_in, const void *ctx, uint64_t at, void *to, size_t n)
{
	size_t done = 0, k;
	const uint8_t *p;

	for (; done < n && (p = find_in(ctx, at + done, &k)); done += k) {
		k = FL_MIN(k, n - done);
		if (to)
			memcpy((char *)to + done, p, k);
	}
	return done;
}

static const uint8_t *find_tail(const void *ctx, uint64_t at, size_t *ret_n)
{
	return find(&((const struct fl_remote *)ctx)->tail, at, ret_n);
}

static int read_remote(void *ctx, uint64_t at, void *to, size_t n)
{
	struct fl_remote *r = ctx;
	size_t k = take(find_tail, r, at, to, n);

	return k == n ? 0 : fl_s3_read(r->s3, r->bucket, r->key, r->etag, at + k, n - k, (char *)to + k);
}

void fl_remote_input(struct fl_remote *r, struct fl_parquet_input *ret)
{
	*ret = (struct fl_parquet_input){.read = read_remote, .ctx = r, .size = r->size, .far = true};
}

/* ---- a row group ---- */

static const uint8_t *find_piece(const void *ctx, uint64_t at, size_t *ret_n)
{
	const struct fl_pieces *p = ctx;
	const uint8_t *found = find(&p->data, at, ret_n);

	found = found ? found : find(&p->hints, at, ret_n);
	return found ? found : find_tail(p->remote, at, ret_n);
}

static int read_pieces(void *ctx, uint64_t at, void *to, size_t n)
{
	const struct fl_pieces *p = ctx;
	size_t k = take(find_piece, p, at, to, n);

	return k == n ? 0 : read_remote(p->remote, at + k, (char *)to + k, n - k);
}

static size_t at_hand(void *ctx, uint64_t at, size_t n)
{
	return take(find_piece, ctx, at, NULL, n);
}

void fl_pieces_free(struct fl_pieces **pieces)
{
	struct fl_pieces *p = *pieces;

	*pieces = NULL;
	if (!p)
		return;
	let_go(&p->hints);
	let_go(&p->data);
	free(p);
}

const struct fl_parquet_input *fl_pieces_input(struct fl_pieces *p)
{
	return &p->input;
}

static int fetch_extents(const struct fl_remote *r, struct fl_parquet_extents *x, struct held *ret)
{
	uint64_t total = 0;

	fl_parquet_extents_sort(x);
	for (size_t i = 0; i < x->n; i++) {
		total += x->extent[i].n;
		if (total > MEMORY_MAX)
			x->n = i;
	}
	return x->n ? fetch(r, x, ret) : 0;
}

int fl_pieces_fetch(struct fl_pieces **ret, const struct fl_pass *p, const struct fl_opened *o, size_t group)
{
	struct fl_parquet_extents x FL_CLEANUP(fl_parquet_extents_free) = {0};
	struct fl_pieces *pieces FL_CLEANUP(fl_pieces_free) = calloc(1, sizeof *pieces);
	const struct fl_filter *all = o->hangs ? NULL : p->filter, *rows = all ? fl_pass_parquet_filter(p) : NULL;
	int r;

	if (!pieces)
		return -ENOMEM;
	pieces->remote = o->remote;
	pieces->input =
	    (struct fl_parquet_input){.read = read_pieces, .ctx = pieces, .size = o->remote->size, .at_hand = at_hand};
	r = fl_parquet_group_hints(o->parquet, group, p->column, p->n_columns, all, &x);
	r = r ? r : fetch_extents(o->remote, &x, &pieces->hints);
	if (r)
		return r;
	if (all && !fl_parquet_group_may_pass(o->parquet, group, all, &pieces->input))
		return 1;
	x.n = 0;
	r = fl_parquet_group_data(o->parquet, group, p->column, p->n_columns, rows, &pieces->input, &x);
	r = r ? r : fetch_extents(o->remote, &x, &pieces->data);
	if (r)
		return r;
	*ret = pieces;
	pieces = NULL;
	return 0;
}
