/* SPDX-License-Identifier: Apache-2.0 */
/* Records one by one, for those who judge each of them; and header lines. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "record/columns.h"
#include "scan/reader.h"
#include "scan/scan.h"

int fl_scan_header(const char *path, const char *line, size_t n, struct fl_format **ret)
{
	size_t known = 0;
	int r;

	if (!memchr(line, ' ', n) && (memchr(line, ',', n) || memchr(line, '\t', n)))
		return fl_fail(-EINVAL,
			       "%s: the first line is of values between commas or tabs, and they are not the names of "
			       "a flow log's fields",
			       path);
	r = fl_format_from_header(ret, line, n);
	if (r)
		return fl_wrap(r, "%s", path);
	for (size_t i = 0; i < fl_format_len(*ret); i++)
		known += fl_format_field(*ret, i) != NULL;
	if (known)
		return 0;
	fl_format_free(ret);
	return fl_fail(-EINVAL,
		       "%s: the first line names no field of a flow log; a header line such as "
		       "\"version account-id ...\" is needed",
		       path);
}

/* ---- rows as records ---- */

enum column {
	COLUMN_INTERFACE,
	COLUMN_SRC,
	COLUMN_DST,
	COLUMN_SPORT,
	COLUMN_DPORT,
	COLUMN_PROTOCOL,
	COLUMN_PACKETS,
	COLUMN_BYTES,
	COLUMN_START,
	COLUMN_END,
	COLUMN_ACTION,
	COLUMN_STATUS,
	COLUMN_FLAGS,
	COLUMN_PKT_SRC,
	COLUMN_PKT_DST,
	COLUMN_DIRECTION,
	COLUMN_N
};
static const char *const names[COLUMN_N] = {
    [COLUMN_INTERFACE] = "interface_id",
    [COLUMN_SRC] = "srcaddr",
    [COLUMN_DST] = "dstaddr",
    [COLUMN_SPORT] = "srcport",
    [COLUMN_DPORT] = "dstport",
    [COLUMN_PROTOCOL] = "protocol",
    [COLUMN_PACKETS] = "packets",
    [COLUMN_BYTES] = "bytes",
    [COLUMN_START] = "start",
    [COLUMN_END] = "end",
    [COLUMN_ACTION] = "action",
    [COLUMN_STATUS] = "log_status",
    [COLUMN_FLAGS] = "tcp_flags",
    [COLUMN_PKT_SRC] = "pkt_srcaddr",
    [COLUMN_PKT_DST] = "pkt_dstaddr",
    [COLUMN_DIRECTION] = "flow_direction",
};

struct row {
	struct fl_record record;
	struct fl_eni eni;
	struct fl_record_meta meta;
};

static bool is_v6(const struct fl_column *c, uint32_t row)
{
	return !fl_column_is_null(c, row) &&
	       (!fl_addr_is_mapped_v4(&c->addr[row]) || c->v6[row / 64] >> (row % 64) & 1);
}

static const struct fl_addr *packet_address(const struct fl_column *c, uint32_t row, struct fl_addr *room)
{
	if (fl_column_is_null(c, row))
		return NULL;
	*room = c->addr[row];
	return room;
}

static uint8_t direction(struct fl_str s)
{
	return s.n == 6 && !memcmp(s.p, "egress", 6)    ? FL_DIR_EGRESS
	       : s.n == 7 && !memcmp(s.p, "ingress", 7) ? FL_DIR_INGRESS
							: FL_DIR_NONE;
}

static void set_interface(struct fl_eni *eni, struct fl_str id)
{
	size_t n = FL_MIN(id.n, sizeof eni->interface_id - 1);

	if (n)
		memcpy(eni->interface_id, id.p, n);
	eni->interface_id[n] = '\0';
}

/* False: it is no record of traffic. */
static bool take_row(const struct fl_batch *b, uint32_t i, struct row *ret)
{
	const struct fl_column *c = b->column;
	struct fl_record *r = &ret->record;
	uint64_t flags = c[COLUMN_FLAGS].u64[i];

	if (!fl_column_is_null(&c[COLUMN_STATUS], i) && c[COLUMN_STATUS].code[i] != FL_STATUS_OK)
		return false;
	/* Null is zero. */
	*r = (struct fl_record){
	    .key = {.src = c[COLUMN_SRC].addr[i],
		    .dst = c[COLUMN_DST].addr[i],
		    .sport = (uint16_t)c[COLUMN_SPORT].u64[i],
		    .dport = (uint16_t)c[COLUMN_DPORT].u64[i],
		    .proto = (uint8_t)c[COLUMN_PROTOCOL].u64[i]},
	    .packets = c[COLUMN_PACKETS].u64[i],
	    .bytes = c[COLUMN_BYTES].u64[i],
	    .start = (int64_t)c[COLUMN_START].u64[i],
	    .end = (int64_t)c[COLUMN_END].u64[i],
	    .action = c[COLUMN_ACTION].code[i],
	    /* The accumulator that prints as this number */
	    .tcp = (uint8_t)((flags & 63) | ((flags & 18) == 18 ? FL_TCP_SYNACK : 0)),
	};
	if (is_v6(&c[COLUMN_SRC], i) || is_v6(&c[COLUMN_DST], i))
		r->key.dirfam |= FL_KEY_V6;
	r->key.dirfam |= direction(c[COLUMN_DIRECTION].text[i]);
	set_interface(&ret->eni, c[COLUMN_INTERFACE].text[i]);
	ret->meta.pkt_src = packet_address(&c[COLUMN_PKT_SRC], i, &ret->meta.pkt_addr[0]);
	ret->meta.pkt_dst = packet_address(&c[COLUMN_PKT_DST], i, &ret->meta.pkt_addr[1]);
	return true;
}

static int take_batch(const struct fl_batch *b, struct row *row, fl_scan_fn fn, void *ctx)
{
	int r = 0;

	for (uint32_t i = 0; !r && i < b->n; i++)
		if (take_row(b, i, row))
			r = fn(ctx, &(struct fl_scanned){&row->record, &row->eni, &row->meta,
							 !fl_column_is_null(&b->column[COLUMN_FLAGS], i)});
	return r;
}

int fl_scan_records(struct fl_scan *s, const struct fl_filter *filter, fl_scan_fn fn, void *ctx)
{
	struct fl_column_def def[COLUMN_N];
	struct fl_scan_reader *reader FL_CLEANUP(fl_scan_reader_free) = NULL;
	struct row *row FL_CLEANUP(fl_freep) = calloc(1, sizeof *row);
	const struct fl_batch *b;
	int r = row ? 0 : -ENOMEM;

	for (size_t i = 0; i < COLUMN_N; i++)
		fl_column_find(names[i], &def[i]);
	r = r ? r : fl_scan_select(s, def, COLUMN_N, filter);
	r = r ? r : fl_scan_reader_new(&reader, s);
	while (!r && (r = fl_scan_next(reader, &b)) == 1)
		r = take_batch(b, row, fn, ctx);
	return r;
}
