/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/inventory_show.h"

#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/json.h"
#include "cli/print.h"
#include "flow/flow.h"

#define TEXT_MAX (FL_ADDR_TEXT_MAX + 5)

#define PROBLEMS_TOLD 5

void fl_inventory_tell(const char *command, const struct fl_network *net)
{
	size_t n;
	const struct fl_problem *p = fl_network_problems(net, &n);

	for (size_t i = 0; i < n && i < PROBLEMS_TOLD; i++)
		fprintf(stderr, "flowlog %s: inventory: %s%s%s: %s\n", command, p[i].file, *p[i].path ? ": " : "",
			p[i].path, p[i].text);
	if (n > PROBLEMS_TOLD)
		fprintf(stderr,
			"flowlog %s: inventory: %zu more such problems; \"flowlog inventory import\" lists them\n",
			command, n - PROBLEMS_TOLD);
}

static const char *addr_text(const struct fl_addr *a, bool v6, char ret[TEXT_MAX])
{
	*fl_addr_print(ret, a, v6) = '\0';
	return ret;
}

static const char *cidr_text(const struct fl_cidr *c, char ret[TEXT_MAX])
{
	bool v4 = fl_cidr_is_v4(c);

	snprintf(fl_addr_print(ret, &c->base, !v4), 5, "/%u", (unsigned)(v4 ? c->bits - 96 : c->bits));
	return ret;
}

/* "web (sg-...)", or the id alone. */
static void add_named(struct fl_buf *b, const struct fl_noun *n)
{
	if (*n->name)
		fl_buf_printf(b, "%s (%s)", n->name, n->id);
	else
		fl_buf_adds(b, n->id);
}

static const char *name_of(const struct fl_net_eni *e)
{
	return *e->noun.name ? e->noun.name : e->instance ? e->instance->noun.name : "";
}

/* ---- the list ---- */

static void add_addresses(struct fl_buf *b, const struct fl_net_eni *e)
{
	char text[TEXT_MAX];

	for (size_t i = 0; i < e->n_addrs; i++) {
		fl_buf_printf(b, "%s%s", i ? " " : "", addr_text(&e->addr[i].addr, e->addr[i].v6, text));
		if (e->addr[i].has_public)
			fl_buf_printf(b, "=%s",
				      addr_text(&e->addr[i].public, !fl_addr_is_mapped_v4(&e->addr[i].public), text));
	}
}

static int table_row(struct fl_grid *g, const struct fl_net_eni *e, struct fl_buf *cell)
{
	const char *const plain[] = {e->noun.id, name_of(e)};
	const struct fl_noun *subnet = e->subnet ? &e->subnet->noun : NULL;
	int r = 0;

	for (size_t i = 0; !r && i < FL_ARRAY_LEN(plain); i++)
		r = fl_grid_adds(g, *plain[i] ? plain[i] : "-");
	fl_buf_reset(cell);
	add_addresses(cell, e);
	r = r ? r : fl_grid_adds(g, cell->len ? fl_buf_cstr(cell) : "-");
	fl_buf_reset(cell);
	for (size_t i = 0; i < e->n_groups; i++)
		fl_buf_printf(cell, "%s%s", i ? " " : "",
			      *e->group[i]->noun.name ? e->group[i]->noun.name : e->group[i]->noun.id);
	r = r ? r : fl_grid_adds(g, cell->len ? fl_buf_cstr(cell) : "-");
	r = r ? r : fl_grid_adds(g, subnet && *subnet->name ? subnet->name : *e->subnet_id ? e->subnet_id : "-");
	return r ? r : fl_grid_adds(g, *e->instance_id ? e->instance_id : *e->record_type ? e->record_type : "-");
}

static void json_strings(struct fl_json *j, const char *key, const struct fl_cidrs *c)
{
	char text[TEXT_MAX];

	fl_json_key(j, key);
	fl_json_array(j);
	for (size_t i = 0; i < c->n; i++)
		fl_json_str(j, cidr_text(&c->cidr[i], text));
	fl_json_end_array(j);
}

static void json_tags(struct fl_json *j, const struct fl_tags *t)
{
	fl_json_object(j);
	for (size_t i = 0; i < t->n; i++)
		fl_json_kstr(j, t->tag[i].key, t->tag[i].value);
	fl_json_end_object(j);
}

/* Members that list and full view share. */
static void json_head(struct fl_json *j, const struct fl_net_eni *e)
{
	char text[TEXT_MAX];

	fl_json_kstr(j, "eni", e->noun.id);
	fl_json_kstr(j, "name", name_of(e));
	fl_json_kstr(j, "account", e->noun.owner);
	fl_json_kstr(j, "vpc", e->vpc_id);
	fl_json_kstr(j, "subnet", e->subnet_id);
	fl_json_kstr(j, "az_id", e->az_id);
	fl_json_kstr(j, "region", e->region);
	fl_json_kstr(j, "instance", e->instance_id);
	fl_json_kstr(j, "type", e->type);
	fl_json_key(j, "addresses");
	fl_json_array(j);
	for (size_t i = 0; i < e->n_addrs; i++) {
		const struct fl_net_addr *a = &e->addr[i];

		fl_json_object(j);
		fl_json_kstr(j, "private", addr_text(&a->addr, a->v6, text));
		if (a->has_public)
			fl_json_kstr(j, "public", addr_text(&a->public, !fl_addr_is_mapped_v4(&a->public), text));
		fl_json_end_object(j);
	}
	fl_json_end_array(j);
	fl_json_key(j, "groups");
	fl_json_array(j);
	for (size_t i = 0; i < e->n_groups; i++)
		fl_json_str(j, e->group[i]->noun.id);
	fl_json_end_array(j);
}

int fl_inventory_show_all(const struct fl_network *net, int form, struct fl_buf *out)
{
	static const char *const heads[] = {"ENI", "NAME", "ADDRESSES", "GROUPS", "SUBNET", "INSTANCE"};
	struct fl_buf cell FL_CLEANUP(fl_buf_free) = FL_BUF(1u << 20);
	struct fl_print p = {0};
	size_t n;
	const struct fl_net_eni *e = fl_network_enis(net, &n);
	int r = form == FL_INVENTORY_TABLE ? fl_print_begin(&p, heads, FL_ARRAY_LEN(heads)) : 0;

	for (size_t i = 0; !r && i < n; i++) {
		struct fl_json j = FL_JSON(out);

		if (form == FL_INVENTORY_TABLE) {
			r = table_row(&p.grid, &e[i], &cell);
			continue;
		}
		fl_json_object(&j);
		json_head(&j, &e[i]);
		fl_json_end_object(&j);
		r = fl_json_done(&j);
		r = r ? r : fl_buf_adds(out, "\n");
	}
	if (!r && form == FL_INVENTORY_TABLE)
		r = fl_grid_print(&p.grid, fl_print_width(), out);
	if (form == FL_INVENTORY_TABLE)
		fl_print_end(&p);
	return r;
}

/* ---- rules in words ---- */

static void add_protocol(struct fl_buf *b, int proto, uint16_t from, uint16_t to, int type, int code)
{
	const char *name = proto < 0 ? "all" : fl_protocol_name((uint8_t)proto);

	if (name)
		fl_buf_adds(b, name);
	else
		fl_buf_printf(b, "protocol %d", proto);
	if (proto == 1 || proto == 58) {
		if (type >= 0)
			fl_buf_printf(b, " type %d", type);
		if (code >= 0)
			fl_buf_printf(b, " code %d", code);
	} else if (proto == 6 || proto == 17) {
		if (from == to)
			fl_buf_printf(b, " %u", from);
		else if (from || to != 65535)
			fl_buf_printf(b, " %u-%u", from, to);
	}
}

static void add_group_rule(struct fl_buf *b, const struct fl_group_rule *r)
{
	char text[TEXT_MAX];

	add_protocol(b, r->proto, r->from, r->to, r->icmp_type, r->icmp_code);
	fl_buf_adds(b, ", ");
	if (r->peer == FL_PEER_CIDR)
		fl_buf_adds(b, cidr_text(&r->cidr, text));
	else if (r->group || r->list)
		add_named(b, r->group ? &r->group->noun : &r->list->noun);
	else
		fl_buf_printf(b, "%s, not in the inventory", r->peer_id);
}

static void add_acl_rule(struct fl_buf *b, const struct fl_acl_rule *r)
{
	char text[TEXT_MAX];

	fl_buf_printf(b, "%s ", r->allow ? "allow" : "deny");
	add_protocol(b, r->proto, r->from, r->to, r->icmp_type, r->icmp_code);
	fl_buf_printf(b, ", %s", cidr_text(&r->cidr, text));
}

static void add_destination(struct fl_buf *b, const struct fl_route *r)
{
	char text[TEXT_MAX];

	if (r->list)
		add_named(b, &r->list->noun);
	else
		fl_buf_adds(b, *r->list_id ? r->list_id : cidr_text(&r->cidr, text));
}

/* ---- one in full ---- */

static void json_words(struct fl_json *j, const char *key, struct fl_buf *words)
{
	fl_json_kstr(j, key, fl_buf_cstr(words));
	fl_buf_reset(words);
}

static void json_group_rules(struct fl_json *j, const char *key, const struct fl_group_rule *rule, size_t n,
			     struct fl_buf *w)
{
	fl_json_key(j, key);
	fl_json_array(j);
	for (size_t i = 0; i < n; i++) {
		fl_json_object(j);
		fl_json_kstr(j, "id", rule[i].id);
		add_group_rule(w, &rule[i]);
		json_words(j, "rule", w);
		fl_json_kstr(j, "description", rule[i].description);
		fl_json_end_object(j);
	}
	fl_json_end_array(j);
}

static void json_acl_rules(struct fl_json *j, const char *key, const struct fl_acl_rule *rule, size_t n,
			   struct fl_buf *w)
{
	fl_json_key(j, key);
	fl_json_array(j);
	for (size_t i = 0; i < n; i++) {
		fl_json_object(j);
		fl_json_ku64(j, "number", rule[i].number);
		add_acl_rule(w, &rule[i]);
		json_words(j, "rule", w);
		fl_json_end_object(j);
	}
	fl_json_end_array(j);
}

static void json_tables(struct fl_json *j, const struct fl_subnet *s, struct fl_buf *w)
{
	if (s->acl) {
		fl_json_key(j, "acl");
		fl_json_object(j);
		fl_json_kstr(j, "id", s->acl->noun.id);
		fl_json_kstr(j, "name", s->acl->noun.name);
		json_acl_rules(j, "in", s->acl->in.rule, s->acl->in.n, w);
		json_acl_rules(j, "out", s->acl->out.rule, s->acl->out.n, w);
		fl_json_end_object(j);
	}
	if (!s->routes)
		return;
	fl_json_key(j, "route_table");
	fl_json_object(j);
	fl_json_kstr(j, "id", s->routes->noun.id);
	fl_json_kstr(j, "name", s->routes->noun.name);
	fl_json_key(j, "routes");
	fl_json_array(j);
	for (size_t i = 0; i < s->routes->n; i++) {
		const struct fl_route *r = &s->routes->route[i];

		fl_json_object(j);
		add_destination(w, r);
		json_words(j, "destination", w);
		fl_json_kstr(j, "target", r->target_id);
		fl_json_kstr(j, "kind", fl_target_names[r->target]);
		fl_json_kbool(j, "blackhole", r->blackhole);
		fl_json_end_object(j);
	}
	fl_json_end_array(j);
	fl_json_end_object(j);
}

static int one_json(const struct fl_net_eni *e, struct fl_buf *out)
{
	struct fl_buf w FL_CLEANUP(fl_buf_free) = FL_BUF(1u << 20);
	struct fl_json j = FL_JSON(out);
	int r;

	fl_json_object(&j);
	json_head(&j, e);
	json_strings(&j, "prefixes", &e->prefixes);
	fl_json_kstr(&j, "description", e->description);
	fl_json_kbool(&j, "source_dest_check", e->source_dest_check);
	fl_json_kstr(&j, "nat_gateway", e->nat_gateway_id);
	fl_json_kstr(&j, "transit_gateway_attachment", e->attachment_id);
	fl_json_kstr(&j, "task", e->task ? e->task->noun.id : "");
	fl_json_key(&j, "tags");
	json_tags(&j, &e->noun.tags);
	if (e->instance) {
		fl_json_key(&j, "instance_tags");
		json_tags(&j, &e->instance->noun.tags);
	}
	fl_json_key(&j, "security_groups");
	fl_json_array(&j);
	for (size_t i = 0; i < e->n_groups; i++) {
		const struct fl_group *g = e->group[i];

		fl_json_object(&j);
		fl_json_kstr(&j, "id", g->noun.id);
		fl_json_kstr(&j, "name", g->noun.name);
		json_group_rules(&j, "in", g->in.rule, g->in.n, &w);
		json_group_rules(&j, "out", g->out.rule, g->out.n, &w);
		fl_json_end_object(&j);
	}
	fl_json_end_array(&j);
	if (e->subnet)
		json_tables(&j, e->subnet, &w);
	fl_json_end_object(&j);
	r = fl_json_done(&j);
	return r ? r : fl_buf_adds(out, "\n");
}

static void line(struct fl_buf *b, const char *name, const char *value)
{
	if (*value)
		fl_buf_printf(b, "%-15s %s\n", name, value);
}

static void noun_line(struct fl_buf *b, const char *name, const struct fl_noun *n, const char *otherwise)
{
	if (!n) {
		line(b, name, otherwise);
		return;
	}
	fl_buf_printf(b, "%-15s ", name);
	add_named(b, n);
	fl_buf_adds(b, "\n");
}

static void group_text(struct fl_buf *b, const struct fl_group *g)
{
	static const char *const ways[] = {"in", "out"};

	fl_buf_adds(b, "\nsecurity group ");
	add_named(b, &g->noun);
	fl_buf_adds(b, "\n");
	for (size_t way = 0; way < 2; way++) {
		const struct fl_group_rule *rule = way ? g->out.rule : g->in.rule;
		size_t n = way ? g->out.n : g->in.n;

		if (!n)
			fl_buf_printf(b, "  %-3s nothing is allowed\n", ways[way]);
		for (size_t i = 0; i < n; i++) {
			fl_buf_printf(b, "  %-3s %s%s", ways[way], rule[i].id, *rule[i].id ? "  " : "");
			add_group_rule(b, &rule[i]);
			fl_buf_printf(b, "%s%s\n", *rule[i].description ? "  # " : "", rule[i].description);
		}
	}
}

static void subnet_text(struct fl_buf *b, const struct fl_subnet *s)
{
	for (size_t way = 0; s->acl && way < 2; way++) {
		const struct fl_acl_rule *rule = way ? s->acl->out.rule : s->acl->in.rule;
		size_t n = way ? s->acl->out.n : s->acl->in.n;

		if (!way) {
			fl_buf_adds(b, "\nnetwork ACL ");
			add_named(b, &s->acl->noun);
			fl_buf_adds(b, "\n");
		}
		for (size_t i = 0; i < n; i++) {
			fl_buf_printf(b, "  %-3s %5u  ", way ? "out" : "in", rule[i].number);
			add_acl_rule(b, &rule[i]);
			fl_buf_adds(b, "\n");
		}
	}
	if (!s->routes)
		return;
	fl_buf_adds(b, "\nroute table ");
	add_named(b, &s->routes->noun);
	fl_buf_adds(b, "\n");
	for (size_t i = 0; i < s->routes->n; i++) {
		const struct fl_route *r = &s->routes->route[i];

		fl_buf_adds(b, "  ");
		add_destination(b, r);
		if (r->target == FL_TARGET_LOCAL)
			fl_buf_printf(b, " -> local%s\n", r->blackhole ? ", blackhole" : "");
		else
			fl_buf_printf(b, " -> %s %s%s%s\n", fl_target_names[r->target], r->target_id,
				      r->propagated ? ", propagated" : "", r->blackhole ? ", blackhole" : "");
	}
}

static int one_text(const struct fl_net_eni *e, struct fl_buf *b)
{
	line(b, "interface", e->noun.id);
	line(b, "name", name_of(e));
	line(b, "account", e->noun.owner);
	noun_line(b, "VPC", e->vpc ? &e->vpc->noun : NULL, e->vpc_id);
	noun_line(b, "subnet", e->subnet ? &e->subnet->noun : NULL, e->subnet_id);
	line(b, "zone", e->az_id);
	line(b, "region", e->region);
	noun_line(b, "instance", e->instance ? &e->instance->noun : NULL, e->instance_id);
	line(b, "type", e->type);
	fl_buf_printf(b, "%-15s ", "addresses");
	add_addresses(b, e);
	fl_buf_adds(b, "\n");
	line(b, "NAT gateway", e->nat_gateway_id);
	line(b, "attachment", e->attachment_id);
	line(b, "ECS task", e->task ? e->task->noun.id : "");
	line(b, "description", e->description);
	for (size_t i = 0; i < e->n_groups; i++)
		group_text(b, e->group[i]);
	if (e->subnet)
		subnet_text(b, e->subnet);
	return 0;
}

int fl_inventory_show_one(const struct fl_network *net, const char *what, int form, struct fl_buf *out)
{
	struct fl_buf text FL_CLEANUP(fl_buf_free) = FL_BUF(64u << 20);
	const struct fl_net_eni *e;
	int r = fl_network_lookup(net, what, &e);

	if (r)
		return r;
	if (form == FL_INVENTORY_JSON)
		return one_json(e, out);
	r = one_text(e, &text);
	/* names and descriptions are others' text */
	for (char *p = text.data, *end = p + text.len; !r && p < end;) {
		char *nl = memchr(p, '\n', (size_t)(end - p));
		size_t n = nl ? (size_t)(nl - p) : (size_t)(end - p);

		fl_grid_clean(out, p, n);
		r = fl_buf_adds(out, "\n");
		p += n + 1;
	}
	return r;
}
