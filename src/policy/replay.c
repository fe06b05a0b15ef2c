/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/replay.h"

#include <errno.h>
#include <stdlib.h>

#include "base/error.h"
#include "base/hash.h"
#include "policy/filter.h"

#define TCP_SYN 2
#define P_TCP 6
#define P_UDP 17

static enum fl_dir other(enum fl_dir dir)
{
	return (enum fl_dir)(3 - dir);
}

/* ---- verdicts ---- */

static bool group_rule(const struct fl_filter *f, const struct fl_subject *s, enum fl_role role, struct fl_decision *d)
{
	enum fl_dir dir = fl_key_dir(&s->key);
	struct fl_subject back;

	d->opener = (uint8_t)dir;
	if (role != FL_ROLE_REPLY && fl_filter_group_rule(f, dir, s, &d->group, &d->group_rule))
		return true;
	if (role == FL_ROLE_OPENER)
		return false;
	back = fl_subject_reverse(s);
	d->opener = (uint8_t)other(dir);
	return fl_filter_group_rule(f, other(dir), &back, &d->group, &d->group_rule);
}

static bool passes_groups(const struct fl_filter *f, const struct fl_subject *s, enum fl_role role,
			  struct fl_decision *d)
{
	if (!f->group[fl_key_dir(&s->key)]) {
		d->by = f->unknown_group ? FL_BY_UNKNOWN_GROUP : d->by;
		return true;
	}
	d->by = FL_BY_GROUP;
	if (group_rule(f, s, role, d))
		return true;
	d->opener = 0;
	if (f->unknown_group)
		d->by = FL_BY_UNKNOWN_GROUP;
	return f->unknown_group;
}

static bool passes_acl(const struct fl_filter *f, const struct fl_subject *s, struct fl_decision *d)
{
	enum fl_dir dir = fl_key_dir(&s->key);
	const struct fl_addr *peer = dir == FL_DIR_INGRESS ? &s->key.src : &s->key.dst;

	if (!f->acl[dir] || !fl_filter_crosses(f, peer, s->key.dirfam & FL_KEY_V6))
		return true;
	if (fl_filter_acl_rule(f, dir, s, &d->acl_rule) && d->acl_rule->allow) {
		d->by = d->by == FL_BY_NOTHING ? FL_BY_ACL : d->by;
		return true;
	}
	d->by = FL_BY_ACL;
	return false;
}

static bool passes_bpa(const struct fl_filter *f, const struct fl_subject *s, struct fl_decision *d)
{
	if (!fl_filter_bpa(f, s))
		return true;
	d->by = FL_BY_BPA;
	return false;
}

static bool has_route(const struct fl_filter *f, const struct fl_subject *s, struct fl_replayed *ret)
{
	if (!f->route)
		return true;
	ret->route = fl_filter_route(f, &s->key.dst, s->key.dirfam & FL_KEY_V6);
	ret->no_route = !ret->route || ret->route->blackhole;
	if (ret->no_route)
		ret->decision.by = FL_BY_NOTHING;
	return !ret->no_route;
}

void fl_replay(const struct fl_filter *f, const struct fl_subject *s, enum fl_role role, struct fl_replayed *ret)
{
	struct fl_decision *d = &ret->decision;

	*ret = (struct fl_replayed){.decision = {.accept = true, .by = FL_BY_NOTHING}};
	if (fl_key_dir(&s->key) == FL_DIR_NONE)
		return;
	if (fl_filter_unfiltered(f, s))
		d->by = FL_BY_UNFILTERED;
	else if (fl_key_dir(&s->key) == FL_DIR_INGRESS)
		d->accept = passes_bpa(f, s, d) && passes_acl(f, s, d) && passes_groups(f, s, role, d);
	else
		d->accept =
		    passes_groups(f, s, role, d) && passes_acl(f, s, d) && passes_bpa(f, s, d) && has_route(f, s, ret);
}

/* ---- roles ---- */

struct opener {
	uint64_t check;
	uint8_t dir; /* 0: free */
};
struct fl_roles {
	struct opener *slot;
};

int fl_roles_new(struct fl_roles **ret)
{
	struct fl_roles *r = calloc(1, sizeof *r);

	if (r)
		r->slot = fl_map_alloc(FL_ROLES_CONNECTIONS * sizeof *r->slot);
	if (!r || !r->slot) {
		free(r);
		return fl_fail(-ENOMEM, "no memory for %u connections", FL_ROLES_CONNECTIONS);
	}
	*ret = r;
	return 0;
}

void fl_roles_free(struct fl_roles **roles)
{
	if (!*roles)
		return;
	fl_map_free((*roles)->slot, FL_ROLES_CONNECTIONS * sizeof *(*roles)->slot);
	free(*roles);
	*roles = NULL;
}

/* The same for both directions of a connection at one interface. */
static struct opener *slot_of(struct fl_roles *r, const struct fl_filter *f, const struct fl_subject *s,
			      uint64_t *ret_check)
{
	struct fl_key key = s->key;
	uint64_t h;

	if (fl_key_dir(&key) == FL_DIR_EGRESS)
		key = fl_subject_reverse(s).key;
	key.iface = 0;
	/* Whoever makes roles collide gets a wrong guess in a report, no more: the seed may be fixed. */
	h = fl_hash_bytes(&key, sizeof key, f ? f->eni_hash : 0);
	*ret_check = h >> 20 | 1ull << 63;
	return &r->slot[h & (FL_ROLES_CONNECTIONS - 1)];
}

static enum fl_role opposite(enum fl_role role)
{
	return role == FL_ROLE_OPENER ? FL_ROLE_REPLY : role == FL_ROLE_REPLY ? FL_ROLE_OPENER : FL_ROLE_EITHER;
}

/* What was rejected may have come late; only what was accepted speaks for a rule. */
static enum fl_role guess(const struct fl_filter *f, const struct fl_subject *s, bool accepted)
{
	enum fl_role role = s->key.dport < s->key.sport   ? FL_ROLE_OPENER
			    : s->key.dport > s->key.sport ? FL_ROLE_REPLY
							  : FL_ROLE_EITHER;
	struct fl_replayed one, two;

	if (role == FL_ROLE_EITHER || !f || !accepted)
		return role;
	fl_replay(f, s, role, &one);
	if (one.decision.accept)
		return role;
	fl_replay(f, s, opposite(role), &two);
	return two.decision.accept ? opposite(role) : role;
}

enum fl_role fl_role_of(struct fl_roles *r, const struct fl_filter *f, const struct fl_subject *s, bool has_flags,
			bool accepted)
{
	enum fl_dir dir = fl_key_dir(&s->key);
	struct opener *o;
	uint64_t check;

	if (s->key.proto != P_TCP && s->key.proto != P_UDP)
		return FL_ROLE_EITHER;
	o = slot_of(r, f, s, &check);
	if (s->key.proto == P_TCP && has_flags && s->tcp & TCP_SYN) {
		enum fl_role role = s->tcp & FL_TCP_SYNACK ? FL_ROLE_REPLY : FL_ROLE_OPENER;

		*o = (struct opener){check, (uint8_t)(role == FL_ROLE_OPENER ? dir : other(dir))};
		return role;
	}
	if (o->dir && o->check == check)
		return o->dir == dir ? FL_ROLE_OPENER : FL_ROLE_REPLY;
	return guess(f, s, accepted);
}
