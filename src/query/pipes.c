/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records joined before they are answered. Two instrumented ends record one conversation twice: what is added up is
 * added up by interface, and of several interfaces' sums the largest counts (detection.md 2.1, "two ends").
 */
#include <string.h>

#include "query/pass.h"

#define SYN 2u
#define RST 4u
#define ACK 16u
#define SYN_ACK (SYN | ACK)
#define TCP 6u

/* Measures of a conversation, in both stages. */
enum talk {
	A_PACKETS,
	B_PACKETS,
	A_BYTES,
	B_BYTES,
	A_FLAGS,
	B_FLAGS,
	A_FIRST,
	B_FIRST,
	LAST,
	A_REJECTED,
	B_REJECTED,
	FIRST,
	BYTES,
	TALK_N
};
enum ends { KEY_A, KEY_A_PORT, KEY_B, KEY_B_PORT, KEY_PROTOCOL };

#define CONVERSATION_KEYS                                                                                              \
	{                                                                                                              \
		FL_KEY_A, FL_KEY_A_PORT, FL_KEY_B, FL_KEY_B_PORT, FL_KEY_PROTOCOL, FL_KEY_ENI                          \
	}
#define CONVERSATION_METRICS                                                                                           \
	{                                                                                                              \
		FL_METRIC_A_PACKETS, FL_METRIC_B_PACKETS, FL_METRIC_A_BYTES, FL_METRIC_B_BYTES, FL_METRIC_A_FLAGS,     \
		    FL_METRIC_B_FLAGS, FL_METRIC_A_FIRST, FL_METRIC_B_FIRST, FL_METRIC_LAST, FL_METRIC_A_REJECTED,     \
		    FL_METRIC_B_REJECTED, FL_METRIC_FIRST, FL_METRIC_BYTES                                             \
	}

static int map_interfaces(const struct fl_groups *g, const char *row, struct fl_group_value *key, uint64_t *measure)
{
	memcpy(measure, fl_group_row_measures_of(g, row), TALK_N * sizeof *measure);
	for (size_t k = 0; k <= KEY_PROTOCOL; k++)
		fl_group_row_key_of(g, row, k, &key[k]);
	return 1;
}

/* ---- what came of it ---- */

struct conversation {
	struct fl_group_value key[KEY_PROTOCOL + 1];
	const uint64_t *m;
	int evidence; /* above 0: b is the server; tenths of weights */
};

/* detection.md section 3, without what needs more than this conversation. */
static int evidence_of(const struct conversation *c)
{
	const uint64_t *m = c->m;
	uint64_t a = m[A_FLAGS], b = m[B_FLAGS];
	int sum = fl_port_evidence((unsigned)c->key[KEY_PROTOCOL].u64, c->key[KEY_A_PORT].u64, c->key[KEY_B_PORT].u64);

	sum += (b & SYN_ACK) == SYN_ACK ? 60 : 0;
	sum -= (a & SYN_ACK) == SYN_ACK ? 60 : 0;
	if ((a & SYN) && !(a & ACK) && !(b & SYN))
		sum += 50;
	if ((b & SYN) && !(b & ACK) && !(a & SYN))
		sum -= 50;
	if (m[A_REJECTED] && (a & SYN))
		sum += 50;
	if (m[B_REJECTED] && (b & SYN))
		sum -= 50;
	/* Closer than two windows, order is unknown. */
	if (m[A_FIRST] != UINT64_MAX && m[B_FIRST] != UINT64_MAX)
		sum += m[A_FIRST] + 120 < m[B_FIRST] ? 5 : m[B_FIRST] + 120 < m[A_FIRST] ? -5 : 0;
	/* Only one side spoke. */
	if (!sum && !m[B_PACKETS])
		sum = 1;
	else if (!sum && !m[A_PACKETS])
		sum = -1;
	return sum;
}

static void read_conversation(const struct fl_groups *g, const char *row, struct conversation *ret)
{
	for (size_t k = 0; k <= KEY_PROTOCOL; k++)
		fl_group_row_key_of(g, row, k, &ret->key[k]);
	ret->m = fl_group_row_measures_of(g, row);
	ret->evidence = evidence_of(ret);
}

static const char *state_of(const struct conversation *c)
{
	bool to_b = c->evidence >= 0, tcp = c->key[KEY_PROTOCOL].u64 == TCP;
	const uint64_t *m = c->m;
	uint64_t rejected = m[to_b ? A_REJECTED : B_REJECTED], reply = m[to_b ? B_PACKETS : A_PACKETS];
	uint64_t reply_flags = m[to_b ? B_FLAGS : A_FLAGS], reply_rejected = m[to_b ? B_REJECTED : A_REJECTED];

	if (rejected && !reply)
		return "rejected";
	if (reply_rejected && reply)
		return "reply rejected";
	if (tcp && (reply_flags & RST) && !(reply_flags & SYN))
		return "refused";
	return reply ? "answered" : "unanswered";
}

static void cell_number(struct fl_cell *c, uint64_t v)
{
	c->number = v;
	c->null = v == UINT64_MAX || (!v && c->show == FL_SHOW_TIME); /* the least and the most of nothing */
}
static void cell_key(struct fl_cell *c, const struct fl_group_value *v)
{
	c->null = v->null;
	c->v6 = v->v6;
	if (c->show == FL_SHOW_ADDR)
		c->addr = v->addr;
	else
		c->number = v->u64;
}
static void cell_text(struct fl_cell *c, const char *text)
{
	c->text = (struct fl_str){text, strlen(text)};
}

enum conversation_column {
	CLIENT,
	CLIENT_PORT,
	SERVER,
	SERVER_PORT,
	PROTOCOL,
	STATE,
	OUT_PACKETS,
	OUT_BYTES,
	IN_PACKETS,
	IN_BYTES,
	BEGAN,
	ENDED,
	OPENER
};
static const struct fl_answer_column conversation_columns[] = {
    [CLIENT] = {"client", FL_SHOW_ADDR},
    [CLIENT_PORT] = {"client_port", FL_SHOW_NUMBER},
    [SERVER] = {"server", FL_SHOW_ADDR},
    [SERVER_PORT] = {"server_port", FL_SHOW_NUMBER},
    [PROTOCOL] = {"protocol", FL_SHOW_PROTOCOL},
    [STATE] = {"state", FL_SHOW_TEXT},
    [OUT_PACKETS] = {"packets_out", FL_SHOW_COUNT},
    [OUT_BYTES] = {"bytes_out", FL_SHOW_BYTES},
    [IN_PACKETS] = {"packets_in", FL_SHOW_COUNT},
    [IN_BYTES] = {"bytes_in", FL_SHOW_BYTES},
    [BEGAN] = {"first", FL_SHOW_TIME},
    [ENDED] = {"last", FL_SHOW_TIME},
    [OPENER] = {"roles", FL_SHOW_TEXT},
};

static void conversation_cell(const struct fl_groups *g, size_t row, size_t column, struct fl_cell *ret)
{
	struct conversation c;
	bool to_b;
	int weight;

	read_conversation(g, fl_groups_row(g, row), &c);
	to_b = c.evidence >= 0;
	weight = to_b ? c.evidence : -c.evidence;
	switch ((enum conversation_column)column) {
	case CLIENT:
		cell_key(ret, &c.key[to_b ? KEY_A : KEY_B]);
		break;
	case CLIENT_PORT:
		cell_key(ret, &c.key[to_b ? KEY_A_PORT : KEY_B_PORT]);
		break;
	case SERVER:
		cell_key(ret, &c.key[to_b ? KEY_B : KEY_A]);
		break;
	case SERVER_PORT:
		cell_key(ret, &c.key[to_b ? KEY_B_PORT : KEY_A_PORT]);
		break;
	case PROTOCOL:
		cell_key(ret, &c.key[KEY_PROTOCOL]);
		break;
	case STATE:
		cell_text(ret, state_of(&c));
		break;
	case OUT_PACKETS:
		cell_number(ret, c.m[to_b ? A_PACKETS : B_PACKETS]);
		break;
	case OUT_BYTES:
		cell_number(ret, c.m[to_b ? A_BYTES : B_BYTES]);
		break;
	case IN_PACKETS:
		cell_number(ret, c.m[to_b ? B_PACKETS : A_PACKETS]);
		break;
	case IN_BYTES:
		cell_number(ret, c.m[to_b ? B_BYTES : A_BYTES]);
		break;
	case BEGAN:
		cell_number(ret, c.m[FIRST]);
		break;
	case ENDED:
		cell_number(ret, c.m[LAST]);
		break;
	case OPENER: /* detection.md section 3: |sum| >= 5 certain, below 1.1 unknown */
		cell_text(ret, weight >= 50 ? "certain" : weight >= 11 ? "likely" : "unknown");
		break;
	}
}

/* ---- attempts ---- */

enum attempt { ATTEMPTS, PACKETS, ATTEMPT_FIRST, ATTEMPT_LAST, ATTEMPT_N };
static const struct fl_answer_column attempt_columns[] = {
    {"srcaddr", FL_SHOW_ADDR},   {"dstaddr", FL_SHOW_ADDR},   {"protocol", FL_SHOW_PROTOCOL},
    {"dstport", FL_SHOW_NUMBER}, {"attempts", FL_SHOW_COUNT}, {"packets", FL_SHOW_COUNT},
    {"first", FL_SHOW_TIME},     {"last", FL_SHOW_TIME},
};

static int map_attempt(const struct fl_groups *g, const char *row, const char *state, struct fl_group_value *key,
		       uint64_t *measure)
{
	struct conversation c;
	bool to_b;

	read_conversation(g, row, &c);
	to_b = c.evidence >= 0;
	if (strcmp(state_of(&c), state) != 0)
		return 0;
	/* A record of a continuing connection has no flags: where others do, it is no attempt without SYN. */
	if (c.key[KEY_PROTOCOL].u64 == TCP && c.m[to_b ? A_FLAGS : B_FLAGS] && !(c.m[to_b ? A_FLAGS : B_FLAGS] & SYN))
		return 0;
	key[0] = c.key[to_b ? KEY_A : KEY_B];
	key[1] = c.key[to_b ? KEY_B : KEY_A];
	key[2] = c.key[KEY_PROTOCOL];
	key[3] = c.key[to_b ? KEY_B_PORT : KEY_A_PORT];
	measure[ATTEMPTS] = 1;
	measure[PACKETS] = c.m[to_b ? A_PACKETS : B_PACKETS];
	measure[ATTEMPT_FIRST] = c.m[FIRST];
	measure[ATTEMPT_LAST] = c.m[LAST];
	return 1;
}

static int map_refused(const struct fl_groups *g, const char *row, struct fl_group_value *key, uint64_t *measure)
{
	return map_attempt(g, row, "refused", key, measure);
}
static int map_unanswered(const struct fl_groups *g, const char *row, struct fl_group_value *key, uint64_t *measure)
{
	return map_attempt(g, row, "unanswered", key, measure);
}

static void attempt_cell(const struct fl_groups *g, size_t row, size_t column, struct fl_cell *ret)
{
	struct fl_group_value v;

	if (column < 4) {
		fl_groups_key(g, row, column, &v);
		cell_key(ret, &v);
	} else {
		cell_number(ret, fl_groups_measures(g, row)[column - 4]);
	}
}

/* ---- who talks to whom ---- */

enum peer { PEER_BYTES, PEER_FLOWS, PEER_OUT, PEER_IN, PEER_ACCEPTED, PEER_REJECTED, PEER_FIRST, PEER_LAST, PEER_N };
static const struct fl_answer_column peer_columns[] = {
    {"address", FL_SHOW_ADDR},    {"peer", FL_SHOW_ADDR},      {"bytes", FL_SHOW_BYTES},    {"flows", FL_SHOW_COUNT},
    {"bytes_out", FL_SHOW_BYTES}, {"bytes_in", FL_SHOW_BYTES}, {"accepted", FL_SHOW_COUNT}, {"rejected", FL_SHOW_COUNT},
    {"first", FL_SHOW_TIME},      {"last", FL_SHOW_TIME},
};

static int map_peer(const struct fl_groups *g, const char *row, struct fl_group_value *key, uint64_t *measure)
{
	memcpy(measure, fl_group_row_measures_of(g, row), PEER_N * sizeof *measure);
	fl_group_row_key_of(g, row, 0, &key[0]);
	fl_group_row_key_of(g, row, 1, &key[1]);
	return 1;
}

static void peer_cell(const struct fl_groups *g, size_t row, size_t column, struct fl_cell *ret)
{
	struct fl_group_value v;

	if (column < 2) {
		fl_groups_key(g, row, column, &v);
		cell_key(ret, &v);
	} else {
		cell_number(ret, fl_groups_measures(g, row)[column - 2]);
	}
}

#define CONVERSATION_STAGE                                                                                             \
	{                                                                                                              \
		map_interfaces, {FL_GROUP_ADDR, FL_GROUP_U32, FL_GROUP_ADDR, FL_GROUP_U32, FL_GROUP_U32}, 5,           \
		    {FL_MEASURE_MAX, FL_MEASURE_MAX, FL_MEASURE_MAX, FL_MEASURE_MAX, FL_MEASURE_OR,                    \
		     FL_MEASURE_OR,  FL_MEASURE_MIN, FL_MEASURE_MIN, FL_MEASURE_MAX, FL_MEASURE_MAX,                   \
		     FL_MEASURE_MAX, FL_MEASURE_MIN, FL_MEASURE_MAX},                                                  \
		    TALK_N                                                                                             \
	}
#define ATTEMPT_STAGE(map)                                                                                             \
	{                                                                                                              \
		map, {FL_GROUP_ADDR, FL_GROUP_ADDR, FL_GROUP_U32, FL_GROUP_U32}, 4,                                    \
		    {FL_MEASURE_SUM, FL_MEASURE_SUM, FL_MEASURE_MIN, FL_MEASURE_MAX}, ATTEMPT_N                        \
	}

static const struct fl_pipe_def pipes[] = {
    [FL_PIPE_CONVERSATIONS] = {CONVERSATION_KEYS,
			       6,
			       CONVERSATION_METRICS,
			       TALK_N,
			       1,
			       {CONVERSATION_STAGE},
			       conversation_columns,
			       FL_ARRAY_LEN(conversation_columns),
			       BYTES,
			       FIRST,
			       conversation_cell},
    [FL_PIPE_REFUSED] = {CONVERSATION_KEYS,
			 6,
			 CONVERSATION_METRICS,
			 TALK_N,
			 2,
			 {CONVERSATION_STAGE, ATTEMPT_STAGE(map_refused)},
			 attempt_columns,
			 FL_ARRAY_LEN(attempt_columns),
			 ATTEMPTS,
			 ATTEMPT_FIRST,
			 attempt_cell},
    [FL_PIPE_UNANSWERED] = {CONVERSATION_KEYS,
			    6,
			    CONVERSATION_METRICS,
			    TALK_N,
			    2,
			    {CONVERSATION_STAGE, ATTEMPT_STAGE(map_unanswered)},
			    attempt_columns,
			    FL_ARRAY_LEN(attempt_columns),
			    ATTEMPTS,
			    ATTEMPT_FIRST,
			    attempt_cell},
    [FL_PIPE_TALKS] = {{FL_KEY_LOCAL, FL_KEY_PEER, FL_KEY_ENI},
		       3,
		       {FL_METRIC_BYTES, FL_METRIC_FLOWS, FL_METRIC_OUT_BYTES, FL_METRIC_IN_BYTES, FL_METRIC_ACCEPTED,
			FL_METRIC_REJECTED, FL_METRIC_FIRST, FL_METRIC_LAST},
		       PEER_N,
		       1,
		       {{map_peer,
			 {FL_GROUP_ADDR, FL_GROUP_ADDR},
			 2,
			 {FL_MEASURE_MAX, FL_MEASURE_MAX, FL_MEASURE_MAX, FL_MEASURE_MAX, FL_MEASURE_MAX,
			  FL_MEASURE_MAX, FL_MEASURE_MIN, FL_MEASURE_MAX},
			 PEER_N}},
		       peer_columns,
		       FL_ARRAY_LEN(peer_columns),
		       PEER_BYTES,
		       PEER_FIRST,
		       peer_cell},
};

const struct fl_pipe_def *fl_pipe_def(enum fl_pipe p)
{
	return p == FL_PIPE_PLAIN ? NULL : &pipes[p];
}
