/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Decisions by name. A window has few different ones: each is spelled once and has a number from then on.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "policy/filter.h"
#include "policy/trace.h"

#define LINES (4 * FL_OPINIONS_MAX) /* of the hash table: a power of two, a quarter full at most */

/* What two decisions of the same name have in common; compared as bytes. */
struct basis {
	const void *of, *rule; /* the rule and what it stands in; of: the interface's filter where no rule is named */
	uint8_t by, dir, accept, pad[5];
};

struct fl_opinions {
	struct fl_opinion opinion[FL_OPINIONS_MAX];
	struct basis basis[FL_OPINIONS_MAX];
	uint16_t line[LINES]; /* number of an opinion; 0: free */
	unsigned n;
};

/* ---- spelling ---- */

/* One word of printable ASCII: names of the inventory are anything. */
static void spell(char *text)
{
	for (; *text; text++)
		if (*text <= ' ' || *text > '~' || *text == '"' || *text == ',' || *text == ';' || *text == '\\')
			*text = '_';
}

static const char *way(enum fl_dir dir)
{
	return dir == FL_DIR_INGRESS ? "inbound" : "outbound";
}

static void group_rule(const struct fl_group *g, const struct fl_group_rule *r, enum fl_dir dir, bool connection,
		       char ret[FL_OPINION_TEXT])
{
	char text[FL_RULE_TEXT];

	snprintf(ret, FL_OPINION_TEXT, "%.32s/%s/%.64s%s", g->noun.id, way(dir),
		 *r->id ? r->id : fl_group_rule_text(r, dir, text), connection ? "/connection" : "");
}

static void no_group_rule(const struct fl_net_eni *eni, enum fl_dir dir, char ret[FL_OPINION_TEXT])
{
	const size_t room = FL_OPINION_TEXT - sizeof "+.../outbound/none";
	size_t at = 0;

	*ret = '\0';
	for (size_t i = 0; i < eni->n_groups; i++) {
		const char *id = eni->group[i]->noun.id;

		if (at + strlen(id) + 1 > room) {
			at = (size_t)(stpcpy(ret + at, "+...") - ret);
			break;
		}
		at += (size_t)sprintf(ret + at, "%s%s", i ? "+" : "", id);
	}
	sprintf(ret + at, "/%s/none", way(dir));
}

static void acl_rule(const struct fl_net_eni *eni, const struct fl_acl_rule *r, enum fl_dir dir,
		     char ret[FL_OPINION_TEXT])
{
	const struct fl_acl *acl = eni->subnet ? eni->subnet->acl : NULL;
	char number[8] = "*";

	if (r)
		snprintf(number, sizeof number, "%u", r->number);
	snprintf(ret, FL_OPINION_TEXT, "%.32s/%s/%s", acl ? acl->noun.id : "acl", way(dir), number);
}

/* ---- which decisions are the same ---- */

/* Of a connection that goes on: the rule that lets its opener in. Rules may have gone meanwhile; the connection stays.
 */
static bool opening_rule(const struct fl_filter *f, const struct fl_subject *s, struct fl_decision *d)
{
	struct fl_subject back;

	if (d->opener == fl_key_dir(&s->key))
		return fl_filter_group_rule(f, (enum fl_dir)d->opener, s, &d->group, &d->group_rule);
	back = fl_subject_reverse(s);
	return fl_filter_group_rule(f, (enum fl_dir)d->opener, &back, &d->group, &d->group_rule);
}

static struct basis basis_of(const struct fl_filter *f, const struct fl_subject *s, struct fl_decision *d)
{
	struct basis b = {.by = d->by, .dir = (uint8_t)fl_key_dir(&s->key), .accept = d->accept};

	switch (d->by) {
	case FL_BY_CONNECTION:
		if (opening_rule(f, s, d)) {
			b.of = d->group;
			b.rule = d->group_rule;
			b.dir = d->opener;
		}
		break;
	case FL_BY_GROUP:
		b.of = d->accept ? (const void *)d->group : f;
		b.rule = d->accept ? d->group_rule : NULL;
		b.dir = d->accept ? d->opener : b.dir;
		break;
	case FL_BY_ACL:
		b.of = f->eni->subnet ? f->eni->subnet->acl : NULL;
		b.rule = d->acl_rule && d->acl_rule->number < FL_ACL_LAST ? d->acl_rule : NULL;
		break;
	default:
		break;
	}
	return b;
}

static void name(const struct fl_filter *f, const struct basis *b, char ret[FL_OPINION_TEXT])
{
	switch (b->by) {
	case FL_BY_CONNECTION:
		if (b->rule)
			group_rule(b->of, b->rule, (enum fl_dir)b->dir, true, ret);
		else
			snprintf(ret, FL_OPINION_TEXT, "%s", fl_decider_names[b->by]);
		break;
	case FL_BY_GROUP:
		if (b->rule)
			group_rule(b->of, b->rule, (enum fl_dir)b->dir, false, ret);
		else
			no_group_rule(f->eni, (enum fl_dir)b->dir, ret);
		break;
	case FL_BY_ACL:
		acl_rule(f->eni, b->rule, (enum fl_dir)b->dir, ret);
		break;
	case FL_BY_CLOSED:
		snprintf(ret, FL_OPINION_TEXT, "late");
		break;
	default:
		snprintf(ret, FL_OPINION_TEXT, "%s", fl_decider_names[b->by]);
		break;
	}
	spell(ret);
}

/* ---- the table ---- */

int fl_opinions_new(struct fl_opinions **ret)
{
	struct fl_opinions *o = calloc(1, sizeof *o);

	if (!o)
		return -ENOMEM;
	snprintf(o->opinion[FL_OPINION_OTHER_ACCEPT - 1].text, FL_OPINION_TEXT, "other");
	snprintf(o->opinion[FL_OPINION_OTHER_REJECT - 1].text, FL_OPINION_TEXT, "other");
	o->opinion[FL_OPINION_OTHER_ACCEPT - 1].accept = true;
	o->n = FL_OPINION_OTHER_REJECT;
	*ret = o;
	return 0;
}

void fl_opinions_free(struct fl_opinions **o)
{
	free(*o);
	*o = NULL;
}

unsigned fl_opinions_count(const struct fl_opinions *o)
{
	return o->n;
}

const struct fl_opinion *fl_opinions_at(const struct fl_opinions *o, unsigned number)
{
	return number && number <= o->n ? &o->opinion[number - 1] : NULL;
}

uint16_t fl_opinions_add(struct fl_opinions *o, const struct fl_filter *f, const struct fl_subject *s,
			 const struct fl_decision *decision)
{
	struct fl_decision d = *decision;
	struct basis b;
	size_t at;

	if (d.by == FL_BY_NOTHING)
		return 0;
	b = basis_of(f, s, &d);
	at = fl_hash_bytes(&b, sizeof b, 0) % LINES;
	for (; o->line[at]; at = (at + 1) % LINES)
		if (!memcmp(&o->basis[o->line[at] - 1], &b, sizeof b))
			return o->line[at];
	if (o->n == FL_OPINIONS_MAX)
		return d.accept ? FL_OPINION_OTHER_ACCEPT : FL_OPINION_OTHER_REJECT;
	o->basis[o->n] = b;
	o->opinion[o->n].accept = d.accept;
	o->opinion[o->n].bpa = d.by == FL_BY_BPA;
	name(f, &b, o->opinion[o->n].text);
	o->line[at] = (uint16_t)++o->n;
	return o->line[at];
}
