/* SPDX-License-Identifier: Apache-2.0 */
/* flowlog why: may A talk to B, and what decides. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/grid.h"
#include "base/units.h"
#include "cli/cli.h"
#include "cli/inventory_show.h"
#include "cli/sources.h"
#include "cli/status.h"
#include "cli/why.h"
#include "scan/scan.h"

#define OUT_MAX (1u << 20)
#define WHAT_MAX 256
enum { EXIT_ALLOWED, EXIT_BLOCKED, EXIT_USAGE };

struct conf {
	const char *inventory, *store, *flow_log, *record, *format, *at;
	uint64_t sport;
	int output;
};

/* ---- operands: A [->] B[:port][/protocol] ---- */

static int copy(char *to, const char *from, size_t n)
{
	while (n && *from == ' ') {
		from++;
		n--;
	}
	while (n && from[n - 1] == ' ')
		n--;
	if (!n || n >= WHAT_MAX)
		return fl_fail(-EINVAL, "\"%.*s\" names neither an interface nor an address",
			       (int)FL_MIN(n, (size_t)64), from);
	memcpy(to, from, n);
	to[n] = '\0';
	return 0;
}

/* "tcp", "47", "icmp", "icmp:3", "icmp:3:4" */
static int parse_protocol(const char *text, struct fl_trace_question *q)
{
	char name[32];
	size_t n = strcspn(text, ":");
	uint64_t v;
	int number;

	snprintf(name, sizeof name, "%.*s", (int)FL_MIN(n, sizeof name - 1), text);
	number = fl_protocol_number(name);
	if (number < 0 && fl_parse_u64(name, 0, 255, &v) == 0)
		number = (int)v;
	if (number < 0)
		return fl_fail(-EINVAL, "\"%s\" is not a protocol: a name such as tcp, udp or icmp, or a number", name);
	q->proto = (uint8_t)number;
	if (number == 1 || number == 58)
		q->icmp_type = number == 1 ? 8 : 128;
	if (!text[n])
		return 0;
	if (number != 1 && number != 58)
		return fl_fail(-EINVAL, "/%s: only ICMP has a type", text);
	text += n + 1;
	n = strcspn(text, ":");
	snprintf(name, sizeof name, "%.*s", (int)FL_MIN(n, sizeof name - 1), text);
	number = fl_parse_u64(name, 0, 255, &v);
	q->icmp_type = (int16_t)v;
	if (!number && text[n]) {
		number = fl_parse_u64(text + n + 1, 0, 255, &v);
		q->icmp_code = (int16_t)v;
	}
	return fl_wrap(number, "ICMP type and code");
}

/* Splits "[2001:db8::5]:443/tcp", "web:443", "10.0.0.5/udp" ... */
static int parse_target(const char *text, char what[WHAT_MAX], struct fl_trace_question *q)
{
	const char *slash = strrchr(text, '/'), *end = slash ? slash : text + strlen(text), *port = NULL,
		   *name_end = end;
	int r = 0;

	if (*text == '[') {
		name_end = memchr(text, ']', (size_t)(end - text));
		if (!name_end)
			return fl_fail(-EINVAL, "%s: the bracket is not closed", text);
		port = name_end[1] == ':' ? name_end + 2 : NULL;
		text++;
	} else {
		const char *colon = memchr(text, ':', (size_t)(end - text));

		/* Two colons make an IPv6 address. */
		if (colon && !memchr(colon + 1, ':', (size_t)(end - colon - 1))) {
			name_end = colon;
			port = colon + 1;
		}
	}
	if (port) {
		char digits[32];
		uint64_t v;

		snprintf(digits, sizeof digits, "%.*s", (int)FL_MIN((size_t)(end - port), sizeof digits - 1), port);
		r = fl_wrap(fl_parse_u64(digits, 0, 65535, &v), "port");
		q->dport = (uint16_t)v;
		q->proto = 6;
	}
	if (!r && slash)
		r = parse_protocol(slash + 1, q);
	else if (!r && !port)
		r = parse_protocol("icmp", q);
	if (!r && !port && (q->proto == 6 || q->proto == 17))
		r = fl_fail(-EINVAL, "%s needs a port: %.*s:443/%s", slash + 1, (int)(name_end - text), text,
			    slash + 1);
	if (!r && port && q->proto != 6 && q->proto != 17)
		r = fl_fail(-EINVAL, "%s has no ports", slash + 1);
	return r ? r : copy(what, text, (size_t)(name_end - text));
}

static int parse_operands(int argc, char **argv, char from[WHAT_MAX], char to[WHAT_MAX], struct fl_trace_question *q)
{
	const char *arrow = argc == 1 ? strstr(argv[0], "->") : NULL, *target = NULL;
	int r = -EINVAL;

	*q = (struct fl_trace_question){.icmp_type = -1, .icmp_code = -1};
	if (arrow) {
		r = copy(from, argv[0], (size_t)(arrow - argv[0]));
		target = arrow + 2 + strspn(arrow + 2, " ");
	} else if (argc == 2 || (argc == 3 && !strcmp(argv[1], "->"))) {
		r = copy(from, argv[0], strlen(argv[0]));
		target = argv[argc - 1];
	}
	if (!target)
		return fl_fail(-EINVAL,
			       "asks about two ends: flowlog why A B:443/tcp, or \"A -> B:443/tcp\" in quotes");
	return r ? r : parse_target(target, to, q);
}

/* ---- what the records say ---- */

struct looking {
	const struct fl_trace_question *q;
	int64_t at;
	struct fl_why_seen *seen;
};

static bool is_end(const struct fl_trace_end *e, const struct fl_addr *a)
{
	if (e->internet)
		return !fl_addr_is_private(a, e->v6);
	for (size_t i = 0; e->eni && i < e->eni->n_addrs; i++)
		if (fl_addr_equal(&e->eni->addr[i].addr, a) ||
		    (e->eni->addr[i].has_public && fl_addr_equal(&e->eni->addr[i].public, a)))
			return true;
	return fl_addr_equal(&e->addr, a);
}

static int look(void *ctx, const struct fl_scanned *s)
{
	struct looking *l = ctx;
	const struct fl_record *r = s->record;
	const struct fl_addr *src = s->meta && s->meta->pkt_src ? s->meta->pkt_src : &r->key.src,
			     *dst = s->meta && s->meta->pkt_dst ? s->meta->pkt_dst : &r->key.dst;

	if (r->key.proto != l->q->proto || r->key.dport != l->q->dport || r->start > l->at ||
	    !is_end(&l->q->from, src) || !is_end(&l->q->to, dst))
		return 0;
	l->seen->flows[r->action]++;
	l->seen->packets[r->action] += r->packets;
	l->seen->bytes[r->action] += r->bytes;
	if (r->end >= l->seen->last) {
		l->seen->last = r->end;
		l->seen->last_action = r->action;
		l->seen->last_record = *r;
		snprintf(l->seen->last_eni, sizeof l->seen->last_eni, "%s", s->eni->interface_id);
	}
	return 0;
}

/* What can be said without knowing the two ends. */
static int filter_of(const struct fl_trace_question *q, int64_t at, struct fl_filter **ret)
{
	struct fl_filter *f = NULL;
	int r = fl_filter_number(ret, "protocol", FL_OP_EQ, q->proto);

	if (!r && q->dport) { /* 0 is - too */
		r = fl_filter_number(&f, "dstport", FL_OP_EQ, q->dport);
		r = r ? r : fl_filter_and(ret, *ret, f);
	}
	if (!r && at >= 0 && at < INT64_MAX) {
		r = fl_filter_number(&f, "start", FL_OP_LE, (uint64_t)at);
		r = r ? r : fl_filter_and(ret, *ret, f);
	}
	return r;
}

int fl_why_records(const struct fl_trace_question *q, const char *store, const char *flow_log, int64_t at,
		   struct fl_why_seen *ret)
{
	struct looking l = {q, at, ret};
	struct fl_source_conf source = {.store = store, .flow_log = flow_log};
	struct fl_filter *f FL_CLEANUP(fl_filter_free) = NULL;
	struct fl_scan_report report = {0};
	int r = filter_of(q, at, &f), status;

	*ret = (struct fl_why_seen){0};
	r = r ? r
	      : fl_source_records("why", &source, (char *const[]){(char *)(uintptr_t)store, NULL}, f, look, &l, &report,
				  &status);
	ret->records = report.records;
	if (!r && ret->last)
		fl_kept_find(store, flow_log, ret->last_eni, &ret->last_record, NULL, &ret->kept);
	return r;
}

/* ---- printing ---- */

int fl_why_step_text(struct fl_buf *out, const struct fl_step *s)
{
	static const char *const words[FL_OUTCOME_N] = {"passes", "BLOCKS", "-", "?"};
	int r = fl_buf_printf(out, "  %-6s  %s %s\n          ", words[s->outcome], fl_step_headings[s->kind], s->at);

	fl_grid_clean(out, s->text, strlen(s->text));
	r = r ? r : fl_buf_adds(out, "\n");
	if (!r && *s->fix)
		r = fl_buf_printf(out, "          to change: %s\n", s->fix);
	return r;
}

void fl_why_step_json(struct fl_json *j, const struct fl_step *s)
{
	fl_json_object(j);
	fl_json_kstr(j, "leg", s->leg == FL_LEG_THERE ? "there" : "back");
	fl_json_kstr(j, "step", fl_step_names[s->kind]);
	fl_json_kstr(j, "at", s->at);
	fl_json_kstr(j, "outcome", fl_outcome_names[s->outcome]);
	fl_json_kstr(j, "area", fl_area_names[fl_causes[s->cause].area]);
	fl_json_kstr(j, "cause", fl_causes[s->cause].name);
	fl_json_kstr(j, "rule", s->rule);
	fl_json_kstr(j, "text", s->text);
	fl_json_kstr(j, "fix", s->fix);
	fl_json_end_object(j);
}

int fl_why_kept_text(struct fl_buf *out, const struct fl_kept *k)
{
	struct fl_verdict_values v;
	int r = 0;

	fl_kept_values(k, &v);
	if (*v.value[FL_VALUE_CAUSE])
		r = fl_buf_printf(out, "  decided by %s: %s\n", v.value[FL_VALUE_SOURCE], v.value[FL_VALUE_CAUSE]);
	if (!r && !(k->flags & FL_WINDOW_POLICY) && *v.value[FL_VALUE_RULE])
		r = fl_buf_printf(out, "  the rules, not in force there, said %s: %s\n", v.value[FL_VALUE_POLICY],
				  v.value[FL_VALUE_RULE]);
	return r;
}

void fl_why_kept_json(struct fl_json *j, const char *key, const struct fl_kept *k)
{
	struct fl_verdict_values v;

	fl_json_key(j, key);
	if (!k->found) {
		fl_json_null(j);
		return;
	}
	fl_kept_values(k, &v);
	fl_json_object(j);
	for (unsigned i = 0; i < FL_VERDICT_COLUMNS; i++)
		fl_json_kstr(j, fl_verdict_sql_column(i), *v.value[i] ? v.value[i] : NULL);
	fl_json_end_object(j);
}

/* The answer is what AWS's rules say; the record is what happened on this host. "": they agree. */
static const char *disagreement(const struct fl_trace *t, const struct fl_why_seen *seen)
{
	if (!seen->last || (seen->last_action == FL_ACTION_REJECT) == (t->blocker != NULL))
		return "";
	return t->blocker ? "accepted all the same: these rules are not enforced there, or were others then"
			  : "rejected all the same: by the host's own packet filter, or the rules were others then";
}

static int print_seen(struct fl_buf *out, const struct fl_trace *t, const struct fl_why_seen *seen)
{
	static const char *const actions[FL_ACTION_N] = {"ACCEPT", "REJECT"};
	char when[24], bytes[16], count[16];
	int r = fl_buf_adds(out, "\nrecords\n");

	if (!r && !seen->records)
		return fl_buf_adds(out, "  there are none yet\n");
	if (!r && !seen->last)
		return fl_buf_printf(out, "  none of %llu is about this\n", (unsigned long long)seen->records);
	if (!r)
		r = fl_buf_printf(out, "  last seen %s, %s at %s\n", fl_time_rfc3339(seen->last, when),
				  actions[seen->last_action], seen->last_eni);
	r = r ? r : fl_why_kept_text(out, &seen->kept);
	if (!r && *disagreement(t, seen))
		r = fl_buf_printf(out, "  %s\n", disagreement(t, seen));
	for (unsigned a = 0; !r && a < FL_ACTION_N; a++)
		if (seen->flows[a])
			r = fl_buf_printf(out, "  %s: %s records, %s packets, %s\n", actions[a],
					  fl_human_count(seen->flows[a], (char[16]){0}),
					  fl_human_count(seen->packets[a], count),
					  fl_human_bytes(seen->bytes[a], bytes));
	return r;
}

static int print_text(struct fl_buf *out, const struct fl_trace_question *q, const struct fl_trace *t,
		      const struct fl_why_seen *seen)
{
	const struct fl_cause_text *cause = &fl_causes[t->blocker ? t->blocker->cause : FL_CAUSE_NONE];
	char what[48];
	int r;

	fl_service_text(q->proto, q->dport, q->icmp_type, q->icmp_code, what);
	r = fl_buf_printf(out, "%s -> %s, %s: ", q->from.label, q->to.label, what);
	if (!r && t->blocker)
		r = fl_buf_printf(out, "blocked (%s%s)\n  %s\n", fl_area_names[cause->area],
				  t->blocker->leg == FL_LEG_BACK ? ", on the way back" : "", cause->text);
	else if (!r)
		r = fl_buf_adds(out, t->unknown ? "allowed, as far as the inventory knows\n" : "allowed\n");
	for (size_t i = 0; !r && i < t->n; i++) {
		if (!i || t->step[i].leg != t->step[i - 1].leg)
			r = fl_buf_adds(out, t->step[i].leg == FL_LEG_THERE ? "\nthere\n" : "\nback\n");
		r = r ? r : fl_why_step_text(out, &t->step[i]);
	}
	return r || !seen ? r : print_seen(out, t, seen);
}

static void json_end(struct fl_json *j, const char *key, const struct fl_trace_end *e)
{
	char text[FL_ADDR_TEXT_MAX + 1];

	*fl_addr_print(text, &e->addr, e->v6) = '\0';
	fl_json_key(j, key);
	fl_json_object(j);
	fl_json_kstr(j, "interface", e->eni ? e->eni->noun.id : NULL);
	fl_json_kstr(j, "name", e->eni ? e->eni->noun.name : NULL);
	fl_json_kstr(j, "address", text);
	fl_json_end_object(j);
}

static void json_seen(struct fl_json *j, const struct fl_trace *t, const struct fl_why_seen *seen)
{
	static const char *const actions[FL_ACTION_N] = {"ACCEPT", "REJECT"};
	char when[24];

	fl_json_key(j, "records");
	if (!seen) {
		fl_json_null(j);
		return;
	}
	fl_json_object(j);
	fl_json_ku64(j, "looked_at", seen->records);
	fl_json_kstr(j, "last_seen", seen->last ? fl_time_rfc3339(seen->last, when) : NULL);
	fl_json_kstr(j, "last_action", seen->last ? actions[seen->last_action] : NULL);
	fl_json_kstr(j, "last_interface", seen->last ? seen->last_eni : NULL);
	fl_why_kept_json(j, "last_decided", &seen->kept);
	fl_json_kstr(j, "disagreement", disagreement(t, seen));
	for (unsigned a = 0; a < FL_ACTION_N; a++) {
		fl_json_key(j, actions[a]);
		fl_json_object(j);
		fl_json_ku64(j, "records", seen->flows[a]);
		fl_json_ku64(j, "packets", seen->packets[a]);
		fl_json_ku64(j, "bytes", seen->bytes[a]);
		fl_json_end_object(j);
	}
	fl_json_end_object(j);
}

static int print_json(struct fl_buf *out, const struct fl_trace_question *q, const struct fl_trace *t,
		      const struct fl_why_seen *seen)
{
	const struct fl_cause_text *cause = &fl_causes[t->blocker ? t->blocker->cause : FL_CAUSE_NONE];
	struct fl_json j = FL_JSON(out);
	int r;

	j.pretty = true;
	fl_json_object(&j);
	json_end(&j, "from", &q->from);
	json_end(&j, "to", &q->to);
	fl_json_ku64(&j, "protocol", q->proto);
	fl_json_ku64(&j, "port", q->dport);
	fl_json_ki64(&j, "icmp_type", q->icmp_type);
	fl_json_kstr(&j, "verdict", t->blocker ? "blocked" : "allowed");
	fl_json_kbool(&j, "complete", !t->unknown);
	fl_json_kstr(&j, "area", fl_area_names[cause->area]);
	fl_json_kstr(&j, "cause", cause->name);
	fl_json_kstr(&j, "headline", cause->text);
	fl_json_kstr(&j, "leg", !t->blocker ? "" : t->blocker->leg == FL_LEG_THERE ? "there" : "back");
	fl_json_key(&j, "steps");
	fl_json_array(&j);
	for (size_t i = 0; i < t->n; i++)
		fl_why_step_json(&j, &t->step[i]);
	fl_json_end_array(&j);
	json_seen(&j, t, seen);
	fl_json_end_object(&j);
	r = fl_json_done(&j);
	return r ? r : fl_buf_adds(out, "\n");
}

/* ---- the command ---- */

static int answer(const struct conf *c, const struct fl_network *net, struct fl_policy *policy,
		  struct fl_trace_question *q, int64_t at, struct fl_buf *out)
{
	struct fl_trace *t = calloc(1, sizeof *t);
	struct fl_why_seen seen;
	bool has_store = !access(c->store, F_OK);
	int r = t ? 0 : -ENOMEM;

	q->sport = (uint16_t)c->sport;
	r = r ? r : fl_trace(net, policy, q, t);
	if (!r && has_store)
		r = fl_why_records(q, c->store, c->flow_log, at, &seen);
	if (!r)
		r = c->output ? print_json(out, q, t, has_store ? &seen : NULL)
			      : print_text(out, q, t, has_store ? &seen : NULL);
	r = r ? r : t->blocker ? EXIT_BLOCKED : EXIT_ALLOWED;
	free(t);
	return r;
}

/* What the inventory does not know may be the name of a container or VM behind an interface that it does know. */
static int find_end(const struct conf *c, const struct fl_network *net, const char *what, struct fl_trace_end *ret)
{
	int r = fl_trace_end(net, what, ret);
	struct fl_status_file s;
	const json_t *all;

	if (r != -ENOENT || fl_status_read(&s, c->store, "meter"))
		return r == -ENOENT ? fl_trace_end(net, what, ret) : r;
	all = fl_status_array(&s, s.root, "interfaces");
	for (size_t i = 0; r == -ENOENT && i < json_array_size(all); i++) {
		const json_t *o = json_array_get(all, i);

		if (!strcmp(fl_status_str(&s, o, "owner"), what))
			r = fl_trace_end(net, fl_status_str(&s, o, "eni"), ret);
	}
	fl_status_free(&s);
	return r == -ENOENT ? fl_trace_end(net, what, ret) : r;
}

static int work(const struct conf *c, int argc, char **argv, struct fl_buf *out, bool *ret_usage)
{
	struct fl_network *net FL_CLEANUP(fl_network_free) = NULL;
	struct fl_policy *policy FL_CLEANUP(fl_policy_free) = NULL;
	struct fl_trace_question q;
	char from[WHAT_MAX], to[WHAT_MAX];
	int64_t at = FL_INVENTORY_NOW;
	int r = 0;

	*ret_usage = true;
	if (c->record && argc)
		r = fl_fail(-EINVAL, "%s: --record explains one record and takes no operands", argv[0]);
	else if (c->sport > UINT16_MAX)
		r = fl_fail(-EINVAL, "--sport %llu is not a port", (unsigned long long)c->sport);
	else if (!c->record)
		r = parse_operands(argc, argv, from, to, &q);
	if (r)
		return r;
	*ret_usage = false;
	r = c->at ? fl_wrap(fl_parse_time(c->at, &at), "--at") : 0;
	r = r ? r : fl_inventory_open(c->store, c->inventory, at, &net);
	if (r)
		return r;
	fl_inventory_tell("why", net);
	r = fl_policy_of(&policy, net);
	if (r || c->record)
		return r ? r
			 : fl_why_record(net, policy,
					 &(struct fl_why_record_conf){.format = c->format,
								      .line = c->record,
								      .store = c->store,
								      .flow_log = c->flow_log,
								      .json = c->output},
					 out);
	*ret_usage = true;
	r = find_end(c, net, from, &q.from);
	r = r ? r : find_end(c, net, to, &q.to);
	if (!r && !q.from.eni && !q.to.eni)
		r = fl_fail(-ENOENT, "neither %s nor %s is in the inventory; flowlog inventory show lists what is",
			    from, to);
	if (!r && q.from.eni && q.from.eni == q.to.eni && !q.to.is_public)
		r = fl_fail(-EINVAL,
			    "%s and %s are one interface, %s: what it sends to itself does not leave the instance",
			    from, to, q.from.eni->noun.id);
	*ret_usage = r < 0;
	return r ? r : answer(c, net, policy, &q, at, out);
}

static int run(void *conf, int argc, char **argv)
{
	struct fl_buf out FL_CLEANUP(fl_buf_free) = FL_BUF(OUT_MAX);
	bool usage;
	int r = work(conf, argc, argv, &out, &usage), w;

	if (r < 0) {
		fprintf(stderr, "flowlog why: %s\n", fl_error_text(r));
		return EXIT_USAGE; /* 1 says "blocked" */
	}
	w = fl_grid_write(STDOUT_FILENO, out.data, out.len);
	if (w && w != -EPIPE) {
		fprintf(stderr, "flowlog why: standard output: %s\n", strerror(-w));
		return EXIT_USAGE;
	}
	return r;
}

static const struct fl_option options[] = {
    {"inventory", 0, "inventory", FL_OPT_STRING, "DIR", NULL, NULL,
     "Directory with what the describe calls of the AWS CLI print (or one file); without it the store's import that "
     "was "
     "valid at the time in question.",
     offsetof(struct conf, inventory)},
    {"output", 'o', NULL, FL_OPT_ENUM, "FORM", "text", "text|json", "Form of the answer.",
     offsetof(struct conf, output)},
    {"sport", 0, NULL, FL_OPT_U64, "PORT", "0", NULL,
     "The sender's port; 0: an ephemeral one (32768-60999; behind a NAT gateway 1024-65535).",
     offsetof(struct conf, sport)},
    {"store", 0, "store", FL_OPT_STRING, "DIR", FL_STORE_DEFAULT, NULL,
     "State directory or other SOURCE (see flowlog query) whose records are shown beside the answer, when it is there.",
     offsetof(struct conf, store)},
    {"flow-log", 0, NULL, FL_OPT_STRING, "ID", NULL, NULL,
     "The flow log of the store; without it the only or first one.", offsetof(struct conf, flow_log)},
    {"at", 0, NULL, FL_OPT_STRING, "TIME", NULL, NULL,
     "The inventory that was valid then, and only records that begin then or before.", offsetof(struct conf, at)},
    {"record", 0, NULL, FL_OPT_STRING, "LINE", NULL, NULL, "Explain this record instead of a question.",
     offsetof(struct conf, record)},
    {"format", 0, NULL, FL_OPT_STRING, "FORMAT", NULL, NULL,
     "Format of the record: ${...} fields, a preset, or the names of a header line; without it the default format.",
     offsetof(struct conf, format)},
    {0},
};

const struct fl_command fl_cmd_why = {
    .name = "why",
    .summary = "may A talk to B, and which rule, route or gateway decides",
    .synopsis = "[OPTION]... A B[:PORT][/PROTOCOL]",
    .description =
	"A and B are interfaces, instances, names or addresses of the inventory, other addresses, or \"internet\"; "
	"\"A -> B:443\" as one word does as well. The answer walks the sender's security groups and network ACL, the "
	"route and what it leads through, the receiver's network ACL and security groups, and the way back, where an "
	"ACL "
	"must let the client's ephemeral ports pass. Each step names the rule that decides, or the nearest one and "
	"what "
	"it lacks. Without PORT and PROTOCOL the question is a ping; PROTOCOL is tcp, udp, icmp, icmp:TYPE:CODE or a "
	"number, tcp when only a port is given.\n\n"
	"With --record a recorded flow is held against the rules of the interface that recorded it. Where the journal "
	"of the store still has the flow, the rule or drop that decided then stands beside it.\n\n"
	"Exit status: 0 allowed, 1 blocked, 2 the question could not be answered.",
    .options = options,
    .conf_size = sizeof(struct conf),
    .run = run,
    .examples =
	"flowlog why web db:5432 --inventory aws\n  may web reach the database\nflowlog why internet web:443 -o "
	"json\n  the same as JSON, for a pipeline\n",
};
