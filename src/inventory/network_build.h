/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Private to network*.c: a network under construction. Items are read one by one into a scratch noun, stored, and
 * their references are remembered; when all files are read the references are resolved and the indexes made.
 */
#pragma once

#include <jansson.h>
#include <string.h>

#include "base/mem.h"
#include "inventory/network.h"

#define FL_NETWORK_FILES_MAX 10000
#define FL_NETWORK_PROBLEMS_MAX 10000 /* further ones are only counted */
#define FL_NETWORK_UNKNOWN_MAX 1000   /* unknown members that are told apart */
#define FL_NETWORK_NOUNS_MAX 10000000u
#define FL_JSON_PATH_MAX 512
#define FL_ACL_RULE_NUMBER_MAX 32768 /* 32767 and, for IPv6, 32768 are AWS's own final denies */

enum fl_noun_kind {
#define FL_NOUN(kind, type, suffix, people, prefix) FL_NOUN_##kind,
	FL_NOUNS(FL_NOUN)
#undef FL_NOUN
	    FL_NOUN_N
};

struct fl_noun_row {
	const char *people, *prefix;
	size_t size;
};
extern const struct fl_noun_row fl_noun_rows[FL_NOUN_N];

/* ---- memory: everything lives as long as the network ---- */

struct fl_arena_chunk;
struct fl_arena {
	struct fl_arena_chunk *head;
	bool oom;
};
void *fl_arena_get(struct fl_arena *a, size_t n); /* zeroed; NULL and oom set */
void fl_arena_free(struct fl_arena *a);
/* Room for one more behind an array whose capacity is the power of two at or above its length. NULL: no memory. */
void *fl_arena_append(struct fl_arena *a, void *array_pointer, size_t *n, size_t size);
#define FL_APPEND(arena, array, n) fl_arena_append(arena, (void *)&(array), &(n), sizeof(*(array)))

struct fl_strings { /* each text once */
	const char **slot;
	size_t n, cap;
	uint64_t seed;
};

/* ---- the network ---- */

struct fl_store { /* nouns of a kind, in the order of the files */
	char *v;
	size_t n, cap;
	struct fl_noun_state {
		uint32_t generation; /* goes up when a later file replaces the noun */
		uint64_t parts;      /* bit a row of fl_kinds that has been read into it */
	} * state;
	uint32_t *slot; /* by id: index + 1 */
	size_t slots;
};

struct fl_named { /* what a person may say -> interface */
	const char *key;
	uint32_t eni;
	bool instance;
};
struct fl_located {
	struct fl_addr addr;
	uint32_t eni;
	bool public;
};
struct fl_delegated {
	struct fl_cidr cidr;
	uint32_t eni;
};
struct fl_by_mac {
	uint8_t mac[6];
	uint32_t eni;
};
struct fl_range { /* from ip-ranges.json; after fl_ranges_finish disjoint spans, ascending */
	struct fl_addr first, last;
	uint8_t bits;
	const char *service;
};

struct fl_network {
	struct fl_arena arena;
	struct fl_strings strings;
	struct fl_store store[FL_NOUN_N];
	struct fl_problem *problem;
	size_t n_problems, problems_left_out;
	const char **missing;
	size_t n_missing;
	struct fl_named *named;
	size_t n_named;
	struct fl_located *located;
	size_t n_located;
	struct fl_delegated *delegated;
	size_t n_delegated;
	uint64_t delegated_bits[3]; /* prefix lengths in use */
	struct fl_by_mac *by_mac;
	size_t n_by_mac;
	struct fl_range *range;
	size_t n_ranges;
	struct fl_binding *binding;
	size_t n_bindings;
	struct fl_net_eni *port;
	size_t n_ports;
};

static inline void *fl_store_at(const struct fl_store *s, size_t i, size_t size)
{
	return s->v + i * size;
}
#define FL_EACH_NOUN(net, kind, type, var)                                                                             \
	for (struct type *var = (struct type *)(net)->store[kind].v,                                                   \
			 *var##_end = var ? var + (net)->store[kind].n : NULL;                                         \
	     var != var##_end; var++)

const char *fl_network_intern(struct fl_network *net, const char *s, size_t n); /* "" when out of memory */
void *fl_network_by_id(const struct fl_network *net, enum fl_noun_kind kind, const char *id);

/* ---- the reader ---- */

/* A pointer to fill once all is read: in a stored noun (by offset, since the array moves), or anywhere. */
struct fl_pending {
	void *slot; /* NULL: at `at` in the owner */
	uint32_t at, owner, generation;
	uint8_t owner_kind, kind; /* of the noun that is named */
	const char *id, *file, *path;
};

/* Facts that belong to a noun read from elsewhere, kept until all is there. */
enum fl_side_kind {
	FL_SIDE_SUBNET_ACL,     /* subnet -> ACL */
	FL_SIDE_SUBNET_ROUTES,  /* subnet -> route table */
	FL_SIDE_ENI_NAT,        /* interface -> NAT gateway */
	FL_SIDE_ENI_TASK,       /* interface -> ECS task */
	FL_SIDE_INSTANCE_ASG,   /* instance -> Auto Scaling group */
	FL_SIDE_TAG,            /* resource -> tag (ec2 describe-tags) */
	FL_SIDE_ASG_TAG,        /* Auto Scaling group -> tag */
	FL_SIDE_SERVICE,        /* "cluster ARN/name" -> "" */
	FL_SIDE_CONTAINER_HOST, /* container instance ARN -> instance */
	FL_SIDE_ZONE,           /* zone name -> struct fl_zone in what */
	FL_SIDE_GROUP_RULE,     /* security group -> struct fl_loose_rule in what */
	FL_SIDE_TGW_TABLE,      /* transit gateway attachment -> route table it is associated with */
	FL_SIDE_TGW_ROUTE,      /* transit gateway route table -> struct fl_tgw_route in what */
	FL_SIDE_TGW_PROPAGATES, /* transit gateway route table -> attachment */
	FL_SIDE_BPA,            /* account -> struct fl_bpa in what */
	FL_SIDE_ENCRYPTION,     /* VPC -> "enforce", "monitor" or "" */
	FL_SIDE_N
};
struct fl_side {
	const char *key, *value;
	struct fl_tag tag;
	void *what;
	const char *file, *path;
	size_t order; /* of reading: later ones win */
};
struct fl_zone {
	const char *name, *region, *id, *type;
};
struct fl_loose_rule { /* of describe-security-group-rules */
	bool egress;
	struct fl_group_rule rule;
};
struct fl_raw_binding {
	const char *eni_id, *interface, *mac, *netns, *end;
	bool enforced;
	const char *file, *path;
};

struct fl_reader {
	struct fl_network *net;
	struct fl_arena scratch; /* gone when the network is ready */
	const char *file;
	char path[FL_JSON_PATH_MAX];
	size_t path_len;
	const char *list_id; /* whose "Entries", "Routes" or propagations these are: pl-..., tgw-rtb-... */
	const char *owner;   /* of the Reservation being read */
	struct fl_pending *pending;
	size_t n_pending, cap_pending, item_pending;
	struct {
		struct fl_side *v;
		size_t n;
	} side[FL_SIDE_N];
	struct fl_raw_binding *binding;
	size_t n_bindings;
	const char **unknown; /* "shape/member" said already */
	size_t n_unknown;
	uint64_t rows_seen; /* bit a row of fl_kinds */
	size_t files_read;
	bool over;  /* what is read replaces what was read on purpose */
	char *base; /* the scratch noun under way */
	size_t base_size;
};

/* Where in the JSON we are; push returns what pop takes. */
size_t fl_path_member(struct fl_reader *r, const char *name);
size_t fl_path_index(struct fl_reader *r, size_t i);
static inline void fl_path_pop(struct fl_reader *r, size_t mark)
{
	r->path_len = mark;
	r->path[mark] = '\0';
}
void fl_problem(struct fl_reader *r, bool fatal, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
void fl_problem_at(struct fl_reader *r, const char *file, const char *path, bool fatal, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));

/* ---- members of a JSON object -> members of a struct ---- */

enum fl_member_kind {
	FL_MEMBER_STR,
	FL_MEMBER_BOOL,
	FL_MEMBER_INT, /* int64_t; left alone when absent */
	FL_MEMBER_REF, /* id at `at` (or nowhere), pointer at `to` */
	FL_MEMBER_CIDR,
	FL_MEMBER_JSON, /* const json_t *, looked at by the caller once the object is walked */
	FL_MEMBER_OBJECT,
	FL_MEMBER_EACH,
	FL_MEMBER_TAGS,
};
#define FL_NOWHERE UINT16_MAX
struct fl_shape;
typedef void fl_each_fn(struct fl_reader *r, const json_t *item, void *into);
struct fl_member {
	const char *name;
	enum fl_member_kind kind;
	uint16_t at, to;
	enum fl_noun_kind noun;
	const struct fl_shape *shape;
	fl_each_fn *each;
};
struct fl_shape {
	const char *people; /* "a subnet" */
	const struct fl_member *member;
	size_t n;
	const char *others; /* members that AWS documents and that are not needed; space before and after each */
};
#define FL_SHAPE(people_, members, others_)                                                                            \
	{                                                                                                              \
		.people = people_, .member = members, .n = FL_ARRAY_LEN(members), .others = others_                    \
	}
#define FL_M_STR(name_, type, m)                                                                                       \
	{                                                                                                              \
		.name = name_, .kind = FL_MEMBER_STR, .at = offsetof(struct type, m)                                   \
	}
#define FL_M_BOOL(name_, type, m)                                                                                      \
	{                                                                                                              \
		.name = name_, .kind = FL_MEMBER_BOOL, .at = offsetof(struct type, m)                                  \
	}
#define FL_M_INT(name_, type, m)                                                                                       \
	{                                                                                                              \
		.name = name_, .kind = FL_MEMBER_INT, .at = offsetof(struct type, m)                                   \
	}
#define FL_M_CIDR(name_, type, m)                                                                                      \
	{                                                                                                              \
		.name = name_, .kind = FL_MEMBER_CIDR, .at = offsetof(struct type, m)                                  \
	}
#define FL_M_JSON(name_, type, m)                                                                                      \
	{                                                                                                              \
		.name = name_, .kind = FL_MEMBER_JSON, .at = offsetof(struct type, m)                                  \
	}
#define FL_M_TAGS(name_, type, m)                                                                                      \
	{                                                                                                              \
		.name = name_, .kind = FL_MEMBER_TAGS, .at = offsetof(struct type, m)                                  \
	}
#define FL_M_REF(name_, type, id_, pointer, noun_)                                                                     \
	{                                                                                                              \
		.name = name_, .kind = FL_MEMBER_REF, .at = offsetof(struct type, id_),                                \
		.to = offsetof(struct type, pointer), .noun = noun_                                                    \
	}
#define FL_M_POINTER(name_, type, pointer, noun_)                                                                      \
	{                                                                                                              \
		.name = name_, .kind = FL_MEMBER_REF, .at = FL_NOWHERE, .to = offsetof(struct type, pointer),          \
		.noun = noun_                                                                                          \
	}
#define FL_M_OBJECT(name_, shape_)                                                                                     \
	{                                                                                                              \
		.name = name_, .kind = FL_MEMBER_OBJECT, .shape = &(shape_)                                            \
	}
#define FL_M_EACH(name_, each_)                                                                                        \
	{                                                                                                              \
		.name = name_, .kind = FL_MEMBER_EACH, .each = each_                                                   \
	}
#define FL_M_ID(name_, type) FL_M_STR(name_, type, noun.id)
#define FL_M_OWNER(type) FL_M_STR("OwnerId", type, noun.owner)
#define FL_M_NOUN_TAGS(type) FL_M_TAGS("Tags", type, noun.tags)

void fl_walk(struct fl_reader *r, const json_t *object, const struct fl_shape *shape, void *into);
void fl_each(struct fl_reader *r, const json_t *array, fl_each_fn *each, void *into);
const char *fl_text(struct fl_reader *r, const json_t *value); /* interned; NULL and a problem when not a string */
void fl_unknown_member(struct fl_reader *r, const char *people, const char *name);
/* *slot is filled with the noun called id when all is read. slot: in the noun under way or in the arena. */
void fl_refer(struct fl_reader *r, void *slot, enum fl_noun_kind kind, const char *id);
bool fl_mac_parse(const char *text, uint8_t ret[6]); /* six pairs of digits with colons */
bool fl_cidr_add(struct fl_reader *r, struct fl_cidrs *set, const char *text);
void fl_side_add(struct fl_reader *r, enum fl_side_kind kind, const char *key, const char *value, struct fl_tag tag,
		 void *what);
/* The facts under key: first and one past the last, in the order read (sorted by fl_network_finish). */
const struct fl_side *fl_side_find(const struct fl_reader *r, enum fl_side_kind kind, const char *key, size_t *ret_n);
/* Keeps *noun under its id; false when it has none that could be used. part: row of fl_kinds. */
bool fl_noun_store(struct fl_reader *r, enum fl_noun_kind kind, unsigned part, void *noun);

/* ---- one row a top-level member ---- */

struct fl_kind {
	const char *top;
	enum fl_noun_kind noun;                        /* FL_NOUN_N: not one */
	const struct fl_shape *shape;                  /* of a noun */
	fl_each_fn *item;                              /* instead: reads an item by itself */
	void (*done)(struct fl_reader *r, void *noun); /* after the walk, before it is kept */
	const char *command;                           /* that prints it; NULL: another row's does */
	bool joins;                                    /* two answers describe one noun: the second adds to the first */
	bool single;                                   /* not a list, but one object */
	void (*begin)(struct fl_reader *r);            /* before the first item of a list, and of an empty one */
};
/* A noun under way may have more behind its struct, up to this many bytes in all. */
#define FL_READ_ROOM 512
extern const struct fl_kind fl_kinds[];
extern const size_t fl_kinds_n;
void fl_kind_read(struct fl_reader *r, unsigned row, const json_t *item);

/* security groups, network ACLs and route tables (network_rules.c) */
struct fl_group_read {
	struct fl_group group; /* first: what is kept */
	const json_t *in, *out;
};
struct fl_acl_read {
	struct fl_acl acl;
	const json_t *entries, *associations;
};
struct fl_routes_read {
	struct fl_route_table table;
	const json_t *routes, *associations;
};
extern const struct fl_shape fl_group_shape, fl_acl_shape, fl_routes_shape;
void fl_group_done(struct fl_reader *r, void *noun);
void fl_acl_done(struct fl_reader *r, void *noun);
void fl_routes_done(struct fl_reader *r, void *noun);
fl_each_fn fl_group_rule_item;

/* network_edges.c, network_fleet.c */
extern const struct fl_shape fl_nat_shape, fl_endpoint_shape, fl_list_shape, fl_peering_shape, fl_gateway_shape,
    fl_task_shape;
void fl_nat_done(struct fl_reader *r, void *noun);
void fl_endpoint_done(struct fl_reader *r, void *noun);
void fl_peering_done(struct fl_reader *r, void *noun);
void fl_gateway_done(struct fl_reader *r, void *noun);
void fl_task_done(struct fl_reader *r, void *noun);
fl_each_fn fl_list_entry, fl_service_item, fl_container_host_item, fl_auto_scaling_instance_item, fl_asg_item,
    fl_zone_item, fl_loose_tag_item;

/* network_transit.c */
extern const struct fl_shape fl_tgw_shape, fl_tgw_attachment_shape, fl_tgw_peering_shape, fl_tgw_table_shape,
    fl_vpn_shape;
void fl_tgw_done(struct fl_reader *r, void *noun);
void fl_tgw_attachment_done(struct fl_reader *r, void *noun);
void fl_tgw_peering_done(struct fl_reader *r, void *noun);
void fl_vpn_done(struct fl_reader *r, void *noun);
void fl_tgw_routes_begin(struct fl_reader *r);
void fl_tgw_propagations_begin(struct fl_reader *r);
fl_each_fn fl_tgw_route_item, fl_tgw_propagation_item, fl_tgw_reference_item, fl_tgw_association_item;
void fl_transit_finish(struct fl_reader *r); /* behind the interfaces */
void fl_ports_finish(struct fl_reader *r);   /* behind that */

/* network_access.c */
extern const struct fl_shape fl_bpa_exclusion_shape;
void fl_bpa_exclusion_done(struct fl_reader *r, void *noun);
fl_each_fn fl_bpa_options_item, fl_encryption_item;
struct fl_bpa fl_bpa_states(struct fl_reader *r, const json_t *states); /* may be NULL */
void fl_encryption_of_vpc(struct fl_reader *r, const json_t *control, struct fl_vpc *v);
void fl_access_finish(struct fl_reader *r);

/* The region of a zone; "" when it cannot be told. */
const char *fl_zone_region(const struct fl_reader *r, const char *zone);
/* An association with a CIDR block, into set when it is in force. */
void fl_add_block(struct fl_reader *r, const json_t *item, struct fl_cidrs *set);
/* A list of ids, strings or objects that have one: pointers that are filled when all is read. */
const void **fl_refer_list(struct fl_reader *r, const char *member, const json_t *array, enum fl_noun_kind kind,
			   size_t *ret_n);
static inline bool fl_is(const char *a, const char *b)
{
	return a && !strcmp(a, b);
}

fl_each_fn fl_range_item;
int fl_ranges_finish(struct fl_network *net);
fl_each_fn fl_binding_item;
void fl_bindings_finish(struct fl_reader *r);
int fl_network_finish(struct fl_reader *r);
void fl_network_check(struct fl_reader *r); /* contradictions between nouns that are well by themselves */
void fl_network_say_missing(struct fl_reader *r);

/* A file that never came as far as the reader. */
void fl_network_add_problem(struct fl_network *net, const char *file, const char *why);

/* A file from memory: what fl_network_read does for each file, for the fuzz target. */
int fl_network_from_text(struct fl_network **ret, const char *file, const char *text, size_t n);
