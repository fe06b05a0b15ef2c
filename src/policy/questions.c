/* SPDX-License-Identifier: Apache-2.0 */
/* Who asked and who answered: an answer to what the rules deny says that they were not in force. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/hash.h"
#include "policy/policy.h"

#define P_ICMP 1
#define P_TCP 6
#define P_ICMPV6 58
#define TCP_SYN 2
#define EPHEMERAL 32768 /* Linux's first port of those who ask */

/* ---- whole flows ---- */

bool fl_subject_asks(const struct fl_subject *s)
{
	return s->key.proto != P_TCP || (s->tcp & TCP_SYN && !(s->tcp & FL_TCP_SYNACK));
}

bool fl_subject_answers(const struct fl_subject *s)
{
	return s->key.proto != P_TCP || s->tcp & FL_TCP_SYNACK;
}

int fl_subject_asks_first(const struct fl_subject *s, const struct fl_subject *reverse)
{
	if (s->key.proto == P_TCP && fl_subject_asks(s) != fl_subject_asks(reverse))
		return fl_subject_asks(s) ? 1 : -1;
	if (s->first_ms != reverse->first_ms)
		return s->first_ms < reverse->first_ms ? 1 : -1;
	if ((s->key.sport >= EPHEMERAL) != (s->key.dport >= EPHEMERAL))
		return s->key.sport >= EPHEMERAL ? 1 : -1;
	return 0;
}

/* ---- packet by packet ---- */

/* The opening packet of a flow. */
struct question {
	struct fl_key key;
	bool used, denied;
};

struct fl_questions {
	size_t n;
	uint64_t seed;
	struct question line[];
};

int fl_questions_new(struct fl_questions **ret, size_t n, uint64_t seed)
{
	struct fl_questions *q = calloc(1, sizeof *q + n * sizeof q->line[0]);

	if (!q)
		return fl_fail(-ENOMEM, "no memory for %zu questions", n);
	q->n = n;
	q->seed = seed;
	*ret = q;
	return 0;
}

void fl_questions_free(struct fl_questions **q)
{
	free(*q);
	*q = NULL;
}

/* A newer question takes the place of the one that was there. */
static struct question *line_of(struct fl_questions *q, const struct fl_key *k)
{
	return &q->line[fl_hash_bytes(k, sizeof *k, q->seed) % q->n];
}

static bool holds(const struct question *x, const struct fl_key *k)
{
	return x->used && !memcmp(&x->key, k, sizeof *k);
}

/* TCP says which is which; of the rest the first that was seen is the question, and an answer that is denied asks for
 * nothing. */
bool fl_questions_note(struct fl_questions *q, const struct fl_subject *s, bool denied)
{
	struct fl_key asked = fl_subject_reverse(s).key;
	struct question *question = line_of(q, &asked), *own;
	bool tcp = s->key.proto == P_TCP, echo_reply = (s->key.proto == P_ICMP && s->icmp_type == 0) ||
						       (s->key.proto == P_ICMPV6 && s->icmp_type == 129);

	if (tcp && !(s->tcp & TCP_SYN))
		return false;
	if (tcp ? fl_subject_answers(s) : echo_reply || holds(question, &asked)) {
		if (!holds(question, &asked) || !question->denied)
			return false;
		question->denied = false; /* one a flow */
		return true;
	}
	own = line_of(q, &s->key);
	if (!holds(own, &s->key) || tcp)
		*own = (struct question){.key = s->key, .used = true, .denied = denied};
	return false;
}
