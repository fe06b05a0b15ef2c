/* SPDX-License-Identifier: Apache-2.0 */
/* What an account, a VPC and a subnet say about Block Public Access and about encryption in transit. */
#include <stddef.h>
#include <string.h>

#include "inventory/network_build.h"

/* ---- Block Public Access ---- */

struct mode_read {
	const char *mode;
};
static const struct fl_member mode_members[] = {FL_M_STR("InternetGatewayBlockMode", mode_read, mode)};
static const struct fl_shape mode_shape = FL_SHAPE("Block Public Access", mode_members, "");

static struct fl_bpa bpa_of_mode(struct fl_reader *r, const char *mode)
{
	struct fl_bpa b = {.said = mode != NULL};

	b.both = fl_is(mode, "block-bidirectional");
	b.ingress = b.both || fl_is(mode, "block-ingress");
	if (mode && !b.ingress && strcmp(mode, "off") != 0) {
		fl_problem(r, false,
			   "InternetGatewayBlockMode \"%.32s\": expected off, block-ingress or block-bidirectional; "
			   "left out",
			   mode);
		b.said = false;
	}
	return b;
}

struct fl_bpa fl_bpa_states(struct fl_reader *r, const json_t *states)
{
	size_t mark = fl_path_member(r, "BlockPublicAccessStates");
	struct mode_read m = {0};
	struct fl_bpa b;

	if (states)
		fl_walk(r, states, &mode_shape, &m);
	b = bpa_of_mode(r, m.mode);
	fl_path_pop(r, mark);
	return b;
}

struct options_read {
	const char *account, *region, *mode;
};
static const struct fl_member options_members[] = {
    FL_M_STR("AwsAccountId", options_read, account),
    FL_M_STR("AwsRegion", options_read, region),
    FL_M_STR("InternetGatewayBlockMode", options_read, mode),
};
static const struct fl_shape options_shape = FL_SHAPE("the options of Block Public Access", options_members,
						      " State Reason LastUpdateTimestamp ManagedBy ExclusionsAllowed ");

void fl_bpa_options_item(struct fl_reader *r, const json_t *item, void *row)
{
	struct options_read o = {0};
	struct fl_bpa *b = fl_arena_get(&r->scratch, sizeof *b);

	fl_walk(r, item, &options_shape, &o);
	if (!o.account) {
		fl_problem(r, true, "the options of which account? expected AwsAccountId; left out");
		return;
	}
	if (!b)
		return;
	*b = bpa_of_mode(r, o.mode);
	fl_side_add(r, FL_SIDE_BPA, o.account, o.region, (struct fl_tag){0}, b);
}

static const struct fl_member exclusion_members[] = {
    FL_M_ID("ExclusionId", fl_bpa_exclusion),
    FL_M_STR("ResourceArn", fl_bpa_exclusion, arn),
    FL_M_STR("State", fl_bpa_exclusion, state),
    FL_M_STR("InternetGatewayExclusionMode", fl_bpa_exclusion, resource_id), /* until fl_bpa_exclusion_done */
    FL_M_NOUN_TAGS(fl_bpa_exclusion),
};
const struct fl_shape fl_bpa_exclusion_shape =
    FL_SHAPE("an exclusion from Block Public Access", exclusion_members,
	     " Reason CreationTimestamp LastUpdateTimestamp DeletionTimestamp ");

/* arn:aws:ec2:us-east-1:111122223333:vpc/vpc-... or :subnet/subnet-... */
void fl_bpa_exclusion_done(struct fl_reader *r, void *noun)
{
	struct fl_bpa_exclusion *x = noun;
	const char *mode = x->resource_id, *slash = x->arn ? strrchr(x->arn, '/') : NULL;

	x->egress_only = fl_is(mode, "allow-egress");
	x->resource_id = slash ? fl_network_intern(r->net, slash + 1, strlen(slash + 1)) : "";
	/* an update of one that is in force leaves it in force */
	x->in_force = fl_is(x->state, "create-complete") || (x->state && !strncmp(x->state, "update-", 7));
	if (x->in_force && !x->egress_only && !fl_is(mode, "allow-bidirectional")) {
		fl_problem(r, false,
			   "InternetGatewayExclusionMode \"%.32s\": expected allow-bidirectional or allow-egress; the "
			   "exclusion is not used",
			   mode ? mode : "");
		x->in_force = false;
	}
	if (x->in_force && strncmp(x->resource_id, "vpc-", 4) && strncmp(x->resource_id, "subnet-", 7)) {
		fl_problem(r, false,
			   "ResourceArn \"%.64s\": expected one of a VPC or a subnet; the exclusion is not used",
			   x->arn ? x->arn : "");
		x->in_force = false;
	}
}

/* The mode of the VPC's account, when all its regions that are described say the same. */
static void account_mode(struct fl_reader *r, struct fl_vpc *v)
{
	size_t n;
	const struct fl_side *side = fl_side_find(r, FL_SIDE_BPA, v->noun.owner, &n);
	const struct fl_bpa *first = n ? side[0].what : NULL;

	if (v->bpa.said || !first)
		return;
	for (size_t i = 1; i < n; i++) {
		const struct fl_bpa *next = side[i].what;

		if (next->both == first->both && next->ingress == first->ingress)
			continue;
		fl_problem_at(
		    r, side[i].file, side[i].path, false,
		    "the regions %.32s and %.32s of %s differ, and %s does not say its own mode; taken as off",
		    side[0].value, side[i].value, v->noun.owner, v->noun.id);
		return;
	}
	v->bpa = *first;
}

static void exclude(struct fl_reader *r, const struct fl_bpa_exclusion *x)
{
	struct fl_vpc *v = fl_network_by_id(r->net, FL_NOUN_VPC, x->resource_id);
	struct fl_subnet *s = fl_network_by_id(r->net, FL_NOUN_SUBNET, x->resource_id);
	struct fl_bpa *b = v ? &v->bpa : s ? &s->bpa : NULL;

	if (!b)
		fl_problem_at(r, x->noun.file, x->noun.id, false, "%.64s is not in the inventory; used without it",
			      x->resource_id);
	/* of two the one that lets more pass */
	else if (!b->exclusion || b->exclusion->egress_only)
		b->exclusion = x;
}

/* ---- encryption in transit ---- */

struct encryption_read {
	const char *vpc_id, *mode, *state;
};
static const struct fl_member encryption_members[] = {
    FL_M_STR("VpcId", encryption_read, vpc_id),
    FL_M_STR("Mode", encryption_read, mode),
    FL_M_STR("State", encryption_read, state),
};
static const struct fl_shape encryption_shape =
    FL_SHAPE("encryption control", encryption_members, " VpcEncryptionControlId StateMessage ResourceExclusions Tags ");

static void set_encryption(struct fl_vpc *v, const char *mode, const char *state)
{
	bool in_force = fl_is(state, "available") || fl_is(state, "enforce-in-progress");

	v->encryption_enforced = in_force && fl_is(mode, "enforce");
	v->encryption_monitored = in_force && fl_is(mode, "monitor");
}

void fl_encryption_of_vpc(struct fl_reader *r, const json_t *control, struct fl_vpc *v)
{
	size_t mark = fl_path_member(r, "EncryptionControl");
	struct encryption_read e = {0};

	if (control)
		fl_walk(r, control, &encryption_shape, &e);
	set_encryption(v, e.mode, e.state);
	fl_path_pop(r, mark);
}

void fl_encryption_item(struct fl_reader *r, const json_t *item, void *row)
{
	struct encryption_read e = {0};

	fl_walk(r, item, &encryption_shape, &e);
	if (!e.vpc_id)
		fl_problem(r, true, "encryption control of which VPC? expected VpcId; left out");
	else
		fl_side_add(r, FL_SIDE_ENCRYPTION, e.vpc_id, e.mode, (struct fl_tag){.value = e.state}, NULL);
}

void fl_access_finish(struct fl_reader *r)
{
	FL_EACH_NOUN(r->net, FL_NOUN_VPC, fl_vpc, v)
	{
		size_t n;
		const struct fl_side *side = fl_side_find(r, FL_SIDE_ENCRYPTION, v->noun.id, &n);

		if (n)
			set_encryption(v, side[n - 1].value, side[n - 1].tag.value);
		account_mode(r, v);
	}
	FL_EACH_NOUN(r->net, FL_NOUN_BPA_EXCLUSION, fl_bpa_exclusion, x)
	if (x->in_force)
		exclude(r, x);
}
