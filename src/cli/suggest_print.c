/* SPDX-License-Identifier: Apache-2.0 */
/* Forms of a suggestion. */
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/units.h"
#include "cli/suggest.h"
#include "policy/trace.h"

#define P_ICMP 1
#define P_TCP 6
#define P_UDP 17
#define P_ICMPV6 58

static const char *const ways[] = {"", "inbound", "outbound"};

static size_t count_dir(const struct fl_suggested *rule, size_t n, enum fl_dir dir)
{
	size_t found = 0;

	for (size_t i = 0; i < n; i++)
		found += rule[i].dir == dir;
	return found;
}

/* ---- text ---- */

static int print_rules(const struct fl_suggestion *s, enum fl_dir dir, struct fl_buf *out)
{
	char text[FL_RULE_TEXT], bytes[16], count[16];
	const struct fl_suggested *rule;
	size_t n, mine;
	int r;

	rule = fl_suggest_rules(s->suggest, &n);
	mine = count_dir(rule, n, dir);
	r = fl_buf_printf(
	    out, "\n%s: %zu rule%s%s\n", ways[dir], mine, mine == 1 ? "" : "s",
	    mine > FL_SUGGEST_QUOTA ? " (more than AWS allows a group by default: 60; try a smaller --networks)" : "");
	for (size_t i = 0; !r && i < n; i++)
		if (rule[i].dir == dir)
			r = fl_buf_printf(out, "  %s\n      %s records, %s, %zu peer%s\n",
					  fl_group_rule_text(&rule[i].rule, dir, text),
					  fl_human_count(rule[i].flows, count), fl_human_bytes(rule[i].bytes, bytes),
					  rule[i].peers, rule[i].peers == 1 ? "" : "s");
	return r;
}

/* What was seen of the rule, against what it allows. */
static void evidence(const struct fl_rule_use *u, char ret[256])
{
	char count[16], bytes[16], when[24], addresses[32];
	bool ports = u->rule->proto < 0 || u->rule->proto == P_TCP || u->rule->proto == P_UDP;
	int n;

	if (!u->flows) {
		snprintf(ret, 256, "no accepted traffic");
		return;
	}
	if (u->addresses < 1e18)
		snprintf(addresses, sizeof addresses, "%s", fl_human_count((uint64_t)u->addresses, count));
	else
		snprintf(addresses, sizeof addresses, "%.2g", u->addresses);
	n = snprintf(ret, 256, "%zu of %s addresses", u->peers, addresses);
	if (ports && u->ports > 1)
		n += snprintf(ret + n, 256 - (size_t)n, ", %zu ports (%u-%u) of %d", u->ports, u->port_from, u->port_to,
			      u->rule->proto < 0 ? 65536 : u->rule->to - u->rule->from + 1);
	else if (ports && u->port_from) /* 0: ICMP and others, seen of a rule for all */
		n += snprintf(ret + n, 256 - (size_t)n, ", 1 port (%u) of %d", u->port_from,
			      u->rule->proto < 0 ? 65536 : u->rule->to - u->rule->from + 1);
	snprintf(ret + n, 256 - (size_t)n, "; %s records, %s, last %s", fl_human_count(u->flows, count),
		 fl_human_bytes(u->bytes, bytes), fl_time_rfc3339(u->last, when));
}

static const char *judgement(const struct fl_rule_use *u)
{
	return !u->flows ? "unused" : u->kept ? "needed" : "too wide";
}

static int print_uses(const struct fl_suggestion *s, struct fl_buf *out)
{
	char text[FL_RULE_TEXT], seen[256];
	const struct fl_rule_use *u;
	size_t n, lost = 0;
	int r = fl_buf_adds(out, "\nthe rules there are\n");

	u = fl_suggest_uses(s->suggest, &n);
	for (size_t i = 0; !r && i < n; i++) {
		evidence(&u[i], seen);
		r = fl_buf_printf(out, "  %-8s  %s %s, %s%s%s\n            %s\n", judgement(&u[i]), u[i].group->noun.id,
				  ways[u[i].dir], fl_group_rule_text(u[i].rule, u[i].dir, text),
				  *u[i].rule->id ? " " : "", u[i].rule->id, seen);
		lost += !u[i].kept;
	}
	if (!r && lost)
		r = fl_buf_adds(out, "\nno longer allowed\n");
	for (size_t i = 0; !r && i < n; i++)
		if (!u[i].kept)
			r = fl_buf_printf(out, "  %s, %s%s\n", ways[u[i].dir],
					  fl_group_rule_text(u[i].rule, u[i].dir, text),
					  u[i].flows ? ": what the rules above do not cover" : ": anything of it");
	return r;
}

static bool refers_to(const struct fl_group_rule *rule, size_t n, const struct fl_net_eni *e, const char **ret_id)
{
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < e->n_groups; k++)
			if (rule[i].group && rule[i].group == e->group[k]) {
				*ret_id = e->group[k]->noun.id;
				return true;
			}
	return false;
}

/* Rules elsewhere that mean the interface by a group which it would leave. */
static int print_references(const struct fl_suggestion *s, struct fl_buf *out)
{
	size_t n;
	const struct fl_group *g = fl_network_groups(s->net, &n);
	const char *left;
	int r = 0;

	for (size_t i = 0; s->eni && !r && i < n; i++) {
		bool other = true;

		for (size_t k = 0; k < s->eni->n_groups; k++)
			other &= s->eni->group[k] != &g[i];
		if (other && (refers_to(g[i].in.rule, g[i].in.n, s->eni, &left) ||
			      refers_to(g[i].out.rule, g[i].out.n, s->eni, &left)))
			r = fl_buf_printf(out,
					  "  %s has rules for members of %s: it needs them for the new group too\n",
					  g[i].noun.id, left);
	}
	return r;
}

int fl_suggestion_text(const struct fl_suggestion *s, struct fl_buf *out)
{
	char from[24], to[24];
	size_t rules, uses;
	int r;

	fl_suggest_rules(s->suggest, &rules);
	fl_suggest_uses(s->suggest, &uses);
	r = fl_buf_printf(out, "%s%s%s%s, %zu interface%s\n", s->eni ? s->eni->noun.id : s->group_id,
			  *s->group_name && !s->eni ? " (" : "", s->eni ? "" : s->group_name,
			  *s->group_name && !s->eni ? ")" : "", s->interfaces, s->interfaces == 1 ? "" : "s");
	r = r ? r
	      : fl_buf_printf(out, "  %llu records from %s to %s, %llu accepted, %llu of them by these rules\n",
			      (unsigned long long)s->records, fl_time_rfc3339(s->first, from),
			      fl_time_rfc3339(s->last, to), (unsigned long long)s->accepted,
			      (unsigned long long)s->covered);
	for (size_t i = 0; !r && s->eni && i < s->eni->n_groups; i++)
		r = fl_buf_printf(out, "%s%s%s", i ? ", " : "  for a group of its own in place of ",
				  s->eni->group[i]->noun.id, i + 1 < s->eni->n_groups ? "" : "\n");
	r = r ? r : print_references(s, out);
	if (!r && s->unexplained)
		r = fl_buf_printf(out, "  %llu accepted ones that no rule of the inventory explains; not covered\n",
				  (unsigned long long)s->unexplained);
	r = r ? r
	      : fl_buf_printf(out, "  %zu rule%s them; there are %zu\n", rules, rules == 1 ? " covers" : "s cover",
			      uses);
	r = r ? r : print_rules(s, FL_DIR_INGRESS, out);
	r = r ? r : print_rules(s, FL_DIR_EGRESS, out);
	return r ? r : print_uses(s, out);
}

/* ---- AWS ---- */

static const char *api_protocol(const struct fl_group_rule *r, char ret[8])
{
	switch (r->proto) {
	case P_ICMP:
		return "icmp";
	case P_TCP:
		return "tcp";
	case P_UDP:
		return "udp";
	case P_ICMPV6:
		return "icmpv6";
	default:
		snprintf(ret, 8, "%d", r->proto);
		return ret;
	}
}

static bool ports_of(const struct fl_group_rule *r, int *ret_from, int *ret_to)
{
	bool icmp = r->proto == P_ICMP || r->proto == P_ICMPV6;

	*ret_from = icmp ? -1 : r->from;
	*ret_to = icmp ? -1 : r->to;
	return icmp || r->proto == P_TCP || r->proto == P_UDP;
}

static const char *description(const struct fl_suggested *s, char ret[64])
{
	snprintf(ret, 64, "flowlog: %llu record%s, %zu peer%s", (unsigned long long)s->flows, s->flows == 1 ? "" : "s",
		 s->peers, s->peers == 1 ? "" : "s");
	return ret;
}

static void aws_peer(struct fl_json *j, const struct fl_suggested *s)
{
	static const char *const lists[] = {"IpRanges", "Ipv6Ranges", "UserIdGroupPairs"}, *const keys[] = {"CidrIp",
													    "CidrIpv6",
													    "GroupId"};
	unsigned kind = s->rule.peer == FL_PEER_GROUP ? 2 : s->rule.v6;
	char text[64];

	for (unsigned i = 0; i < 3; i++) {
		fl_json_key(j, lists[i]);
		fl_json_array(j);
		if (i == kind) {
			fl_json_object(j);
			fl_json_kstr(j, keys[i], s->rule.peer_id);
			fl_json_kstr(j, "Description", description(s, text));
			fl_json_end_object(j);
		}
		fl_json_end_array(j);
	}
	fl_json_key(j, "PrefixListIds");
	fl_json_array(j);
	fl_json_end_array(j);
}

static void aws_permissions(struct fl_json *j, const struct fl_suggestion *s, const char *key, enum fl_dir dir)
{
	const struct fl_suggested *rule;
	size_t n;
	char proto[8];
	int from, to;

	rule = fl_suggest_rules(s->suggest, &n);
	fl_json_key(j, key);
	fl_json_array(j);
	for (size_t i = 0; i < n; i++) {
		if (rule[i].dir != dir)
			continue;
		fl_json_object(j);
		fl_json_kstr(j, "IpProtocol", api_protocol(&rule[i].rule, proto));
		if (ports_of(&rule[i].rule, &from, &to)) {
			fl_json_ki64(j, "FromPort", from);
			fl_json_ki64(j, "ToPort", to);
		}
		aws_peer(j, &rule[i]);
		fl_json_end_object(j);
	}
	fl_json_end_array(j);
}

static void aws_group(struct fl_json *j, const struct fl_suggestion *s)
{
	fl_json_object(j);
	fl_json_kstr(j, "GroupId", s->group_id);
	fl_json_kstr(j, "GroupName", s->group_name);
	fl_json_kstr(j, "Description", "Rules for the traffic that flowlog suggest saw");
	if (s->vpc)
		fl_json_kstr(j, "VpcId", s->vpc->noun.id);
	if (s->group && *s->group->noun.owner)
		fl_json_kstr(j, "OwnerId", s->group->noun.owner);
	aws_permissions(j, s, "IpPermissions", FL_DIR_INGRESS);
	aws_permissions(j, s, "IpPermissionsEgress", FL_DIR_EGRESS);
	fl_json_end_object(j);
}

static void aws_addresses(struct fl_json *j, const struct fl_net_eni *e, bool v6)
{
	char text[FL_ADDR_TEXT_MAX + 1];

	fl_json_key(j, v6 ? "Ipv6Addresses" : "PrivateIpAddresses");
	fl_json_array(j);
	for (size_t i = 0; i < e->n_addrs; i++) {
		const struct fl_net_addr *a = &e->addr[i];

		if (a->v6 != v6)
			continue;
		fl_json_object(j);
		*fl_addr_print(text, &a->addr, v6) = '\0';
		fl_json_kstr(j, v6 ? "Ipv6Address" : "PrivateIpAddress", text);
		fl_json_kbool(j, v6 ? "IsPrimaryIpv6" : "Primary", !i || e->addr[i - 1].v6 != v6);
		if (a->has_public) {
			*fl_addr_print(text, &a->public, !fl_addr_is_mapped_v4(&a->public)) = '\0';
			fl_json_key(j, "Association");
			fl_json_object(j);
			fl_json_kstr(j, "PublicIp", text);
			fl_json_end_object(j);
		}
		fl_json_end_object(j);
	}
	fl_json_end_array(j);
}

static void aws_prefixes(struct fl_json *j, const struct fl_net_eni *e, bool v6)
{
	char text[FL_ADDR_TEXT_MAX + 5];

	fl_json_key(j, v6 ? "Ipv6Prefixes" : "Ipv4Prefixes");
	fl_json_array(j);
	for (size_t i = 0; i < e->prefixes.n; i++) {
		const struct fl_cidr *c = &e->prefixes.cidr[i];

		if (fl_cidr_is_v4(c) == v6)
			continue;
		snprintf(fl_addr_print(text, &c->base, v6), 5, "/%u", (unsigned)(v6 ? c->bits : c->bits - 96));
		fl_json_object(j);
		fl_json_kstr(j, v6 ? "Ipv6Prefix" : "Ipv4Prefix", text);
		fl_json_end_object(j);
	}
	fl_json_end_array(j);
}

/* The interface with its new group: all of it, for what whatif --rules reads takes the place of what there was. */
static void aws_interface(struct fl_json *j, const struct fl_suggestion *s)
{
	const struct fl_net_eni *e = s->eni;
	const char *const text[][2] = {
	    {"NetworkInterfaceId", e->noun.id}, {"OwnerId", e->noun.owner},  {"VpcId", e->vpc_id},
	    {"SubnetId", e->subnet_id},         {"AvailabilityZone", e->az}, {"InterfaceType", e->type},
	    {"Description", e->description}};
	char mac[18];

	fl_json_object(j);
	for (size_t i = 0; i < FL_ARRAY_LEN(text); i++)
		if (*text[i][1])
			fl_json_kstr(j, text[i][0], text[i][1]);
	snprintf(mac, sizeof mac, "%02x:%02x:%02x:%02x:%02x:%02x", e->mac[0], e->mac[1], e->mac[2], e->mac[3],
		 e->mac[4], e->mac[5]);
	if (e->has_mac)
		fl_json_kstr(j, "MacAddress", mac);
	fl_json_kbool(j, "RequesterManaged", e->requester_managed);
	fl_json_kbool(j, "SourceDestCheck", e->source_dest_check);
	aws_addresses(j, e, false);
	aws_addresses(j, e, true);
	aws_prefixes(j, e, false);
	aws_prefixes(j, e, true);
	if (*e->instance_id) {
		fl_json_key(j, "Attachment");
		fl_json_object(j);
		fl_json_kstr(j, "InstanceId", e->instance_id);
		fl_json_ku64(j, "DeviceIndex", e->device_index);
		fl_json_kstr(j, "Status", "attached");
		fl_json_end_object(j);
	}
	fl_json_key(j, "ConnectionTrackingConfiguration");
	fl_json_object(j);
	fl_json_ku64(j, "TcpEstablishedTimeout", e->tcp_timeout_s);
	fl_json_ku64(j, "UdpTimeout", e->udp_timeout_s);
	fl_json_ku64(j, "UdpStreamTimeout", e->udp_stream_timeout_s);
	fl_json_end_object(j);
	fl_json_key(j, "Groups");
	fl_json_array(j);
	fl_json_object(j);
	fl_json_kstr(j, "GroupId", s->group_id);
	fl_json_kstr(j, "GroupName", s->group_name);
	fl_json_end_object(j);
	fl_json_end_array(j);
	fl_json_key(j, "TagSet");
	fl_json_array(j);
	for (size_t i = 0; i < e->noun.tags.n; i++) {
		fl_json_object(j);
		fl_json_kstr(j, "Key", e->noun.tags.tag[i].key);
		fl_json_kstr(j, "Value", e->noun.tags.tag[i].value);
		fl_json_end_object(j);
	}
	fl_json_end_array(j);
	fl_json_end_object(j);
}

int fl_suggestion_aws(const struct fl_suggestion *s, struct fl_buf *out)
{
	struct fl_json j = FL_JSON(out);
	int r;

	j.pretty = true;
	fl_json_object(&j);
	fl_json_key(&j, "SecurityGroups");
	fl_json_array(&j);
	aws_group(&j, s);
	fl_json_end_array(&j);
	if (s->eni) {
		fl_json_key(&j, "NetworkInterfaces");
		fl_json_array(&j);
		aws_interface(&j, s);
		fl_json_end_array(&j);
	}
	fl_json_end_object(&j);
	r = fl_json_done(&j);
	return r ? r : fl_buf_adds(out, "\n");
}

/* ---- Terraform (resource types of the AWS provider since 4.56) ---- */

int fl_suggestion_terraform(const struct fl_suggestion *s, struct fl_buf *out)
{
	static const char *const attributes[] = {"cidr_ipv4", "cidr_ipv6", "referenced_security_group_id"};
	const struct fl_suggested *rule;
	unsigned number[FL_DIR_N] = {0};
	size_t n;
	char text[64], proto[8];
	int r = 0, from, to;

	rule = fl_suggest_rules(s->suggest, &n);
	for (size_t i = 0; !r && i < n; i++) {
		const struct fl_group_rule *g = &rule[i].rule;
		bool in = rule[i].dir == FL_DIR_INGRESS;
		unsigned kind = g->peer == FL_PEER_GROUP ? 2 : g->v6;

		r = fl_buf_printf(
		    out,
		    "%sresource \"aws_vpc_security_group_%s_rule\" \"flowlog_%s_%u\" {\n  security_group_id = \"%s\"\n"
		    "  ip_protocol       = \"%s\"\n",
		    i ? "\n" : "", in ? "ingress" : "egress", in ? "in" : "out", ++number[rule[i].dir], s->group_id,
		    api_protocol(g, proto));
		if (!r && ports_of(g, &from, &to))
			r = fl_buf_printf(out, "  from_port         = %d\n  to_port           = %d\n", from, to);
		r = r ? r
		      : fl_buf_printf(out, "  %s = \"%s\"\n  description = \"%s\"\n}\n", attributes[kind], g->peer_id,
				      description(&rule[i], text));
	}
	return r;
}

/* ---- JSON: all that the text says ---- */

static void json_use(struct fl_json *j, const struct fl_rule_use *u)
{
	char text[FL_RULE_TEXT], seen[256];

	evidence(u, seen);
	fl_json_object(j);
	fl_json_kstr(j, "group", u->group->noun.id);
	fl_json_kstr(j, "direction", ways[u->dir]);
	fl_json_kstr(j, "rule", u->rule->id);
	fl_json_kstr(j, "text", fl_group_rule_text(u->rule, u->dir, text));
	fl_json_kstr(j, "judgement", judgement(u));
	fl_json_kstr(j, "evidence", seen);
	fl_json_ku64(j, "records", u->flows);
	fl_json_ku64(j, "bytes", u->bytes);
	fl_json_ku64(j, "peers", u->peers);
	fl_json_ku64(j, "ports", u->ports);
	fl_json_ki64(j, "last", u->last);
	fl_json_end_object(j);
}

int fl_suggestion_json(const struct fl_suggestion *s, struct fl_buf *out)
{
	struct fl_json j = FL_JSON(out);
	const struct fl_rule_use *u;
	size_t n;
	int r;

	j.pretty = true;
	fl_json_object(&j);
	fl_json_kstr(&j, "for", s->eni ? s->eni->noun.id : s->group_id);
	fl_json_ku64(&j, "interfaces", s->interfaces);
	fl_json_ku64(&j, "records", s->records);
	fl_json_ku64(&j, "accepted", s->accepted);
	fl_json_ku64(&j, "covered", s->covered);
	fl_json_ku64(&j, "unexplained", s->unexplained);
	fl_json_ki64(&j, "first", s->first);
	fl_json_ki64(&j, "last", s->last);
	fl_json_key(&j, "suggestion");
	aws_group(&j, s);
	fl_json_key(&j, "rules");
	fl_json_array(&j);
	u = fl_suggest_uses(s->suggest, &n);
	for (size_t i = 0; i < n; i++)
		json_use(&j, &u[i]);
	fl_json_end_array(&j);
	fl_json_end_object(&j);
	r = fl_json_done(&j);
	return r ? r : fl_buf_adds(out, "\n");
}
