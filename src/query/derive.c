/* SPDX-License-Identifier: Apache-2.0 */
#include "query/derive.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "flow/flow.h"

#define TCP 6
#define BIT(n) (1u << FL_NEED_##n)
#define ENDS (BIT(SRC) | BIT(DST) | BIT(SPORT) | BIT(DPORT))
#define SERVER (ENDS | BIT(PROTOCOL))

const char *const fl_need_columns[FL_NEEDS] = {
    [FL_NEED_SRC] = "srcaddr",        [FL_NEED_DST] = "dstaddr",       [FL_NEED_SPORT] = "srcport",
    [FL_NEED_DPORT] = "dstport",      [FL_NEED_PROTOCOL] = "protocol", [FL_NEED_PACKETS] = "packets",
    [FL_NEED_BYTES] = "bytes",        [FL_NEED_START] = "start",       [FL_NEED_END] = "end",
    [FL_NEED_ACTION] = "action",      [FL_NEED_FLAGS] = "tcp_flags",   [FL_NEED_ENI] = "interface_id",
    [FL_NEED_ACCOUNT] = "account_id", [FL_NEED_VPC] = "vpc_id",        [FL_NEED_VERSION] = "version",
    [FL_NEED_STATUS] = "log_status",
};

static const struct fl_key_def keys[FL_KEY_NAMES] = {
    [FL_KEY_SRC] = {"srcaddr", FL_GROUP_ADDR, FL_SHOW_ADDR, BIT(SRC)},
    [FL_KEY_DST] = {"dstaddr", FL_GROUP_ADDR, FL_SHOW_ADDR, BIT(DST)},
    [FL_KEY_PROTOCOL] = {"protocol", FL_GROUP_U32, FL_SHOW_PROTOCOL, BIT(PROTOCOL)},
    [FL_KEY_DPORT] = {"dstport", FL_GROUP_U32, FL_SHOW_NUMBER, BIT(DPORT)},
    [FL_KEY_SERVER] = {"server", FL_GROUP_ADDR, FL_SHOW_ADDR, SERVER},
    [FL_KEY_SERVER_PORT] = {"server_port", FL_GROUP_U32, FL_SHOW_NUMBER, SERVER},
    [FL_KEY_CLIENT] = {"client", FL_GROUP_ADDR, FL_SHOW_ADDR, SERVER},
    [FL_KEY_ENI] = {"interface_id", FL_GROUP_TEXT, FL_SHOW_TEXT, BIT(ENI)},
    [FL_KEY_TIME] = {"time", FL_GROUP_U64, FL_SHOW_TIME, BIT(START)},
    [FL_KEY_A] = {"a", FL_GROUP_ADDR, FL_SHOW_ADDR, ENDS},
    [FL_KEY_A_PORT] = {"a_port", FL_GROUP_U32, FL_SHOW_NUMBER, ENDS},
    [FL_KEY_B] = {"b", FL_GROUP_ADDR, FL_SHOW_ADDR, ENDS},
    [FL_KEY_B_PORT] = {"b_port", FL_GROUP_U32, FL_SHOW_NUMBER, ENDS},
    [FL_KEY_LOCAL] = {"address", FL_GROUP_ADDR, FL_SHOW_ADDR, BIT(SRC) | BIT(DST)},
    [FL_KEY_PEER] = {"peer", FL_GROUP_ADDR, FL_SHOW_ADDR, BIT(SRC) | BIT(DST)},
    [FL_KEY_ACCOUNT] = {"account_id", FL_GROUP_TEXT, FL_SHOW_TEXT, BIT(ACCOUNT)},
    [FL_KEY_VPC] = {"vpc_id", FL_GROUP_TEXT, FL_SHOW_TEXT, BIT(VPC)},
    [FL_KEY_VERSION] = {"version", FL_GROUP_U32, FL_SHOW_NUMBER, BIT(VERSION)},
    [FL_KEY_STATUS] = {"log_status", FL_GROUP_CODE, FL_SHOW_TEXT, BIT(STATUS)},
};

const struct fl_key_def *fl_key_def(enum fl_key_name k)
{
	return &keys[k];
}

/* In which rows a measure counts. */
enum only {
	ONLY_ALL,
	ONLY_ACCEPT,
	ONLY_REJECT,
	ONLY_A,
	ONLY_B,
	ONLY_A_REJECT,
	ONLY_B_REJECT,
	ONLY_OUT,
	ONLY_IN,
	ONLY_OK,
	ONLY_NODATA,
	ONLY_SKIPDATA,
	ONLY_N
};

static const struct metric {
	struct fl_metric_def def;
	uint8_t value; /* enum fl_need; of FL_METRIC_CLIENTS the derived client */
	uint8_t only;
} metrics[FL_METRICS] = {
#define METRIC(id, text, kind, type, show, value, only, needs)                                                         \
	[FL_METRIC_##                                                                                                  \
	    id] = {{text, FL_MEASURE_##kind, FL_GROUP_##type, FL_SHOW_##show, needs}, FL_NEED_##value, ONLY_##only},
    METRIC(FLOWS, "flows", COUNT, U64, COUNT, SRC, ALL, 0) METRIC(
	PACKETS, "packets", SUM, U64, COUNT, PACKETS, ALL,
	BIT(PACKETS)) METRIC(BYTES, "bytes", SUM, U64, BYTES, BYTES, ALL,
			     BIT(BYTES)) METRIC(FIRST, "first", MIN, U64, TIME, START, ALL,
						BIT(START)) METRIC(LAST, "last", MAX, U64, TIME, END, ALL, BIT(END))
	METRIC(ACCEPTED, "accepted", COUNT, U64, COUNT, SRC, ACCEPT, BIT(ACTION)) METRIC(
	    REJECTED, "rejected", COUNT, U64, COUNT,
	    SRC, REJECT, BIT(ACTION)) METRIC(SOURCES, "sources", DISTINCT, ADDR, COUNT, SRC, ALL, BIT(SRC))
	    METRIC(DESTINATIONS, "destinations", DISTINCT, ADDR, COUNT, DST, ALL,
		   BIT(DST)) METRIC(PORTS, "ports", DISTINCT, U32, COUNT, DPORT, ALL, BIT(DPORT))
		METRIC(CLIENTS, "clients", DISTINCT, ADDR, COUNT, SRC, ALL,
		       SERVER) METRIC(A_PACKETS, "a_packets", SUM, U64, COUNT, PACKETS, A, ENDS | BIT(PACKETS))
		    METRIC(B_PACKETS, "b_packets", SUM, U64, COUNT, PACKETS, B,
			   ENDS | BIT(PACKETS)) METRIC(A_BYTES, "a_bytes", SUM, U64, BYTES, BYTES, A, ENDS | BIT(BYTES))
			METRIC(B_BYTES, "b_bytes", SUM, U64, BYTES, BYTES, B, ENDS | BIT(BYTES))
			    METRIC(A_FLAGS, "a_flags", OR, U64, NUMBER, FLAGS, A, ENDS | BIT(FLAGS))
				METRIC(B_FLAGS, "b_flags", OR, U64, NUMBER, FLAGS, B, ENDS | BIT(FLAGS))
				    METRIC(A_FIRST, "a_first", MIN, U64, TIME, START, A, ENDS | BIT(START))
					METRIC(B_FIRST, "b_first", MIN, U64, TIME, START, B, ENDS | BIT(START))
					    METRIC(A_REJECTED, "a_rejected", COUNT, U64, COUNT, SRC, A_REJECT,
						   ENDS | BIT(ACTION)) METRIC(B_REJECTED, "b_rejected", COUNT, U64,
									      COUNT, SRC, B_REJECT, ENDS | BIT(ACTION))
						METRIC(OUT_BYTES, "bytes_out", SUM, U64, BYTES, BYTES, OUT,
						       BIT(SRC) | BIT(DST) | BIT(BYTES))
						    METRIC(IN_BYTES, "bytes_in", SUM, U64, BYTES, BYTES, IN,
							   BIT(SRC) | BIT(DST) | BIT(BYTES))
							METRIC(OK, "ok", COUNT, U64, COUNT, SRC, OK, BIT(STATUS))
							    METRIC(NODATA, "nodata", COUNT, U64, COUNT, SRC, NODATA,
								   BIT(STATUS))
								METRIC(SKIPDATA, "skipdata", COUNT, U64, COUNT, SRC,
								       SKIPDATA, BIT(STATUS))
#undef METRIC
};

const struct fl_metric_def *fl_metric_def(enum fl_metric m)
{
	return &metrics[m].def;
}

/* Ends of a flow, in one order or another. */
struct ends {
	bool done;
	struct fl_addr *a, *b;
	uint64_t *a_port, *b_port;
	uint64_t a_null[FL_BATCH_WORDS], b_null[FL_BATCH_WORDS];
	uint64_t a_v6[FL_BATCH_WORDS], b_v6[FL_BATCH_WORDS];
	uint64_t forward[FL_BATCH_WORDS]; /* a is the source */
};
enum order { ORDER_SORTED, ORDER_SERVER /* b is the server */, ORDER_LOCAL /* a was asked about */, ORDERS };

struct fl_derive {
	struct fl_derive_conf conf;
	const struct fl_batch *batch;
	struct ends ends[ORDERS];
	uint64_t *time;
	bool time_done, only_done[ONLY_N];
	struct {
		bool done, odd;
		uint64_t null[FL_BATCH_WORDS]; /* odd: with what cannot be */
	} times[2];                            /* start, end */
	uint64_t odd_times, odd_time;
	const char *odd_column;
	uint64_t only[ONLY_N][FL_BATCH_WORDS];
	/* of columns that sources lack */
	struct fl_addr *zero; /* zeroes of the widest type */
	uint64_t all_null[FL_BATCH_WORDS];
};

int fl_derive_new(struct fl_derive **ret, const struct fl_derive_conf *conf)
{
	struct fl_derive *d = calloc(1, sizeof *d);
	bool bad;

	if (!d)
		return -ENOMEM;
	*ret = d;
	d->conf = *conf;
	d->time = malloc(FL_BATCH_ROWS * sizeof *d->time);
	d->zero = calloc(FL_BATCH_ROWS, sizeof *d->zero);
	memset(d->all_null, 0xff, sizeof d->all_null);
	bad = !d->time || !d->zero;
	for (size_t i = 0; i < ORDERS; i++) {
		struct ends *e = &d->ends[i];

		e->a = calloc(FL_BATCH_ROWS, sizeof *e->a);
		e->b = calloc(FL_BATCH_ROWS, sizeof *e->b);
		e->a_port = calloc(FL_BATCH_ROWS, sizeof *e->a_port);
		e->b_port = calloc(FL_BATCH_ROWS, sizeof *e->b_port);
		bad = bad || !e->a || !e->b || !e->a_port || !e->b_port;
	}
	if (bad)
		fl_derive_free(ret);
	return bad ? -ENOMEM : 0;
}

void fl_derive_free(struct fl_derive **d)
{
	if (!*d)
		return;
	for (size_t i = 0; i < ORDERS; i++) {
		free((*d)->ends[i].a);
		free((*d)->ends[i].b);
		free((*d)->ends[i].a_port);
		free((*d)->ends[i].b_port);
	}
	free((*d)->time);
	free((*d)->zero);
	free(*d);
	*d = NULL;
}

void fl_derive_begin(struct fl_derive *d, const struct fl_batch *b)
{
	d->batch = b;
	d->time_done = d->times[0].done = d->times[1].done = false;
	for (size_t i = 0; i < ORDERS; i++)
		d->ends[i].done = false;
	memset(d->only_done, 0, sizeof d->only_done);
}

/* A column as it is; null in all rows when sources lack it. */
static void plain(const struct fl_derive *d, enum fl_need need, struct fl_group_vector *ret)
{
	const struct fl_column *c;

	*ret = (struct fl_group_vector){.value = d->zero, .null = d->all_null};
	if (d->conf.position[need] < 0)
		return;
	c = &d->batch->column[d->conf.position[need]];
	*ret = (struct fl_group_vector){
	    .value = c->u64, .null = c->any_null ? c->null : NULL, .v6 = c->def.type == FL_COLUMN_ADDR ? c->v6 : NULL};
}

static bool bit(const uint64_t *bits, uint32_t i)
{
	return bits && (bits[i / 64] >> (i % 64) & 1);
}
static void put(uint64_t *bits, uint32_t i, bool v)
{
	bits[i / 64] |= (uint64_t)v << (i % 64);
}

int fl_port_evidence(unsigned protocol, uint64_t a, uint64_t b)
{
	int sum = 0;
	bool known_a, known_b;

	if (a == b)
		return 0;
	known_a = a >= 1024 && a < 32768 && fl_service_name(protocol, a);
	known_b = b >= 1024 && b < 32768 && fl_service_name(protocol, b);
	sum += b < 1024 && a >= 1024 ? 20 : a < 1024 && b >= 1024 ? -20 : 0;
	sum += known_b && !known_a ? 15 : known_a && !known_b ? -15 : 0;
	sum += a >= 32768 && b < 32768 ? 10 : b >= 32768 && a < 32768 ? -10 : 0;
	return sum;
}

/* Whether the source stays where it is. */
static bool is_forward(const struct fl_derive *d, enum order order, uint32_t i, const struct fl_addr *src,
		       const struct fl_addr *dst, uint64_t sport, uint64_t dport, uint64_t protocol,
		       const uint64_t *local)
{
	int r;

	switch (order) {
	case ORDER_SERVER:
		r = fl_port_evidence((unsigned)protocol, sport, dport);
		/* Undecided: the lower port, then the destination. */
		return r ? r > 0 : dport <= sport;
	case ORDER_LOCAL:
		return bit(local, i);
	default:
		r = memcmp(src, dst, sizeof *src);
		return r ? r < 0 : sport <= dport;
	}
}

static const struct ends *ends_of(struct fl_derive *d, enum order order)
{
	struct ends *e = &d->ends[order];
	struct fl_group_vector v[5];
	uint64_t local[FL_BATCH_WORDS];

	if (e->done)
		return e;
	e->done = true;
	plain(d, FL_NEED_SRC, &v[0]);
	plain(d, FL_NEED_DST, &v[1]);
	plain(d, FL_NEED_SPORT, &v[2]);
	plain(d, FL_NEED_DPORT, &v[3]);
	plain(d, FL_NEED_PROTOCOL, &v[4]);
	if (order == ORDER_LOCAL && d->conf.local)
		fl_filter_eval(d->conf.local, d->batch, local);
	else
		memset(local, 0xff, sizeof local);
	memset(e->a_null, 0, sizeof e->a_null);
	memset(e->b_null, 0, sizeof e->b_null);
	memset(e->a_v6, 0, sizeof e->a_v6);
	memset(e->b_v6, 0, sizeof e->b_v6);
	memset(e->forward, 0, sizeof e->forward);
	for (uint32_t i = 0; i < d->batch->n; i++) {
		const struct fl_addr *src = (const struct fl_addr *)v[0].value + i,
				     *dst = (const struct fl_addr *)v[1].value + i;
		uint64_t sport = ((const uint64_t *)v[2].value)[i], dport = ((const uint64_t *)v[3].value)[i];
		bool forward =
		    is_forward(d, order, i, src, dst, sport, dport, ((const uint64_t *)v[4].value)[i], local);

		e->a[i] = forward ? *src : *dst;
		e->b[i] = forward ? *dst : *src;
		e->a_port[i] = forward ? sport : dport;
		e->b_port[i] = forward ? dport : sport;
		put(e->a_null, i, bit(v[!forward].null, i));
		put(e->b_null, i, bit(v[forward].null, i));
		put(e->a_v6, i, bit(v[!forward].v6, i));
		put(e->b_v6, i, bit(v[forward].v6, i));
		put(e->forward, i, forward);
	}
	return e;
}

static void a_end(const struct ends *e, struct fl_group_vector *ret)
{
	*ret = (struct fl_group_vector){e->a, e->a_null, e->a_v6, NULL};
}
static void b_end(const struct ends *e, struct fl_group_vector *ret)
{
	*ret = (struct fl_group_vector){e->b, e->b_null, e->b_v6, NULL};
}

static bool is_odd(uint64_t time)
{
	return time - FL_TIME_EARLIEST > FL_TIME_LATEST - FL_TIME_EARLIEST;
}

static void find_odd(struct fl_derive *d, enum fl_need need, const struct fl_group_vector *v)
{
	const uint64_t *time = v->value;
	bool end = need == FL_NEED_END, any = false;
	uint64_t *null = d->times[end].null;

	for (uint32_t i = 0; i < d->batch->n; i++)
		any |= is_odd(time[i]);
	d->times[end].odd = false;
	if (!any || v->null == d->all_null)
		return;
	if (v->null)
		memcpy(null, v->null, FL_BATCH_WORDS * sizeof *null);
	else
		memset(null, 0, FL_BATCH_WORDS * sizeof *null);
	for (uint32_t i = 0; i < d->batch->n; i++) {
		if (!is_odd(time[i]) || bit(v->null, i))
			continue;
		put(null, i, true);
		d->times[end].odd = true;
		d->odd_times++;
		d->odd_time = time[i];
		d->odd_column = fl_need_columns[need];
	}
}

/* start or end. */
static void times_of(struct fl_derive *d, enum fl_need need, struct fl_group_vector *ret)
{
	bool end = need == FL_NEED_END;

	plain(d, need, ret);
	if (!d->times[end].done)
		find_odd(d, need, ret);
	d->times[end].done = true;
	if (d->times[end].odd)
		ret->null = d->times[end].null;
}

uint64_t fl_derive_odd_times(const struct fl_derive *d, const char **ret_column, uint64_t *ret_time)
{
	*ret_column = d->odd_column;
	*ret_time = d->odd_time;
	return d->odd_times;
}

static void time_buckets(struct fl_derive *d, struct fl_group_vector *ret)
{
	const uint64_t *start;

	times_of(d, FL_NEED_START, ret);
	start = ret->value;
	if (!d->time_done && d->conf.bucket > 1) {
		/* Multiplying is faster than dividing; times beyond 32 bits are odd. */
		for (uint32_t i = 0; i < d->batch->n; i++)
			d->time[i] = (uint32_t)start[i] / (uint32_t)d->conf.bucket * d->conf.bucket;
		d->time_done = true;
	}
	if (d->conf.bucket > 1)
		ret->value = d->time;
}

void fl_derive_key(struct fl_derive *d, enum fl_key_name k, struct fl_group_vector *ret)
{
	switch (k) {
	case FL_KEY_SRC:
		plain(d, FL_NEED_SRC, ret);
		break;
	case FL_KEY_DST:
		plain(d, FL_NEED_DST, ret);
		break;
	case FL_KEY_PROTOCOL:
		plain(d, FL_NEED_PROTOCOL, ret);
		break;
	case FL_KEY_DPORT:
		plain(d, FL_NEED_DPORT, ret);
		break;
	case FL_KEY_ENI:
		plain(d, FL_NEED_ENI, ret);
		break;
	case FL_KEY_ACCOUNT:
		plain(d, FL_NEED_ACCOUNT, ret);
		break;
	case FL_KEY_VPC:
		plain(d, FL_NEED_VPC, ret);
		break;
	case FL_KEY_VERSION:
		plain(d, FL_NEED_VERSION, ret);
		break;
	case FL_KEY_STATUS:
		plain(d, FL_NEED_STATUS, ret);
		break;
	case FL_KEY_TIME:
		time_buckets(d, ret);
		break;
	case FL_KEY_CLIENT:
		a_end(ends_of(d, ORDER_SERVER), ret);
		break;
	case FL_KEY_SERVER:
		b_end(ends_of(d, ORDER_SERVER), ret);
		break;
	case FL_KEY_SERVER_PORT:
		*ret = (struct fl_group_vector){.value = ends_of(d, ORDER_SERVER)->b_port};
		break;
	case FL_KEY_A:
		a_end(ends_of(d, ORDER_SORTED), ret);
		break;
	case FL_KEY_B:
		b_end(ends_of(d, ORDER_SORTED), ret);
		break;
	case FL_KEY_A_PORT:
		*ret = (struct fl_group_vector){.value = ends_of(d, ORDER_SORTED)->a_port};
		break;
	case FL_KEY_B_PORT:
		*ret = (struct fl_group_vector){.value = ends_of(d, ORDER_SORTED)->b_port};
		break;
	case FL_KEY_LOCAL:
		a_end(ends_of(d, ORDER_LOCAL), ret);
		break;
	case FL_KEY_PEER:
		b_end(ends_of(d, ORDER_LOCAL), ret);
		break;
	case FL_KEY_NAMES:
		break;
	}
}

static void code_bits(struct fl_derive *d, enum fl_need need, uint8_t code, uint64_t *ret)
{
	struct fl_group_vector v;
	const uint8_t *value;

	plain(d, need, &v);
	value = v.value;
	memset(ret, 0, FL_BATCH_WORDS * sizeof *ret);
	for (uint32_t i = 0; i < d->batch->n; i++)
		ret[i / 64] |= (uint64_t)(value[i] == code) << (i % 64);
	for (uint32_t w = 0; v.null && w < FL_BATCH_WORDS; w++)
		ret[w] &= ~v.null[w];
}

static const uint64_t *only_bits(struct fl_derive *d, enum only only)
{
	uint64_t *to = d->only[only];
	const uint64_t *reject, *forward;

	if (only == ONLY_ALL)
		return NULL;
	if (d->only_done[only])
		return to;
	d->only_done[only] = true;
	switch (only) {
	case ONLY_ACCEPT:
		code_bits(d, FL_NEED_ACTION, FL_ACTION_ACCEPT, to);
		break;
	case ONLY_REJECT:
		code_bits(d, FL_NEED_ACTION, FL_ACTION_REJECT, to);
		break;
	case ONLY_OK:
		code_bits(d, FL_NEED_STATUS, FL_STATUS_OK, to);
		break;
	case ONLY_NODATA:
		code_bits(d, FL_NEED_STATUS, FL_STATUS_NODATA, to);
		break;
	case ONLY_SKIPDATA:
		code_bits(d, FL_NEED_STATUS, FL_STATUS_SKIPDATA, to);
		break;
	case ONLY_A_REJECT:
	case ONLY_B_REJECT:
		reject = only_bits(d, ONLY_REJECT);
		forward = ends_of(d, ORDER_SORTED)->forward;
		for (size_t w = 0; w < FL_BATCH_WORDS; w++)
			to[w] = reject[w] & (only == ONLY_A_REJECT ? forward[w] : ~forward[w]);
		break;
	default:
		forward = ends_of(d, only == ONLY_A || only == ONLY_B ? ORDER_SORTED : ORDER_LOCAL)->forward;
		for (size_t w = 0; w < FL_BATCH_WORDS; w++)
			to[w] = only == ONLY_A || only == ONLY_OUT ? forward[w] : ~forward[w];
	}
	return to;
}

void fl_derive_metric(struct fl_derive *d, enum fl_metric m, struct fl_group_vector *ret)
{
	if (m == FL_METRIC_CLIENTS)
		a_end(ends_of(d, ORDER_SERVER), ret);
	else if (metrics[m].def.kind == FL_MEASURE_COUNT)
		*ret = (struct fl_group_vector){0};
	else if (metrics[m].value == FL_NEED_START || metrics[m].value == FL_NEED_END)
		times_of(d, (enum fl_need)metrics[m].value, ret);
	else
		plain(d, (enum fl_need)metrics[m].value, ret);
	ret->only = only_bits(d, (enum only)metrics[m].only);
}
