/* SPDX-License-Identifier: Apache-2.0 */
/* flowlog audit: does what was seen equal what was recorded, excluded and lost, and was all of it
 * delivered once? */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/json.h"
#include "base/units.h"
#include "cli/audit.h"
#include "cli/cli.h"
#include "cli/status.h"

#define NOTES_MAX (64u << 20)

struct conf {
	const char *store, *flow_log;
	int output;
	bool windows;
};

static const char *const heads[] = {"WINDOW",   "INTERFACE", "DIRECTION", "SEEN",
				    "RECORDED", "EXCLUDED",  "LOST",      "REJECTED",
				    "BEFORE",   "NOT IP",    "SYSTEM",    "DIFFERENCE TO THE SYSTEM"};

static int add_line(struct fl_audit *a, const char *kind, const char *text)
{
	struct fl_json j = FL_JSON(&a->notes);
	int r;

	if (!a->json) {
		r = fl_buf_adds(&a->notes, *kind == 'f' ? "! " : "");
		fl_grid_clean(&a->notes, text, strlen(text));
		return r ? r : fl_buf_adds(&a->notes, "\n");
	}
	fl_json_object(&j);
	fl_json_kstr(&j, "kind", kind);
	fl_json_kstr(&j, "text", text);
	fl_json_end_object(&j);
	r = fl_json_done(&j);
	return r ? r : fl_buf_adds(&a->notes, "\n");
}

int fl_audit_finding(struct fl_audit *a, const char *fmt, ...)
{
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	return a->findings++ < FL_AUDIT_FINDINGS_SHOWN ? add_line(a, "finding", text) : 0;
}

int fl_audit_note(struct fl_audit *a, const char *fmt, ...)
{
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	return add_line(a, "note", text);
}

static int row_json(struct fl_audit *a, const struct fl_audit_row *w)
{
	struct fl_json j = FL_JSON(&a->notes);
	char at[24];
	int r;

	fl_json_object(&j);
	fl_json_kstr(&j, "kind", w->start ? "window" : "interface");
	if (w->start)
		fl_json_kstr(&j, "start", fl_time_rfc3339(w->start, at));
	fl_json_kstr(&j, "eni", w->eni);
	fl_json_kstr(&j, "name", w->name);
	fl_json_kstr(&j, "direction", w->direction);
	fl_json_ku64(&j, "skbs", w->skbs);
	fl_count_json(&j, "seen", &w->seen);
	fl_count_json(&j, "recorded", &w->recorded);
	fl_count_json(&j, "excluded", &w->excluded);
	fl_count_json(&j, "lost", &w->lost);
	fl_count_json(&j, "not_ip", &w->not_ip);
	for (size_t i = 0; i < FL_VERDICT_N; i++)
		fl_count_json(&j, fl_verdict_names[i], &w->verdict[i]);
	if (w->source)
		fl_json_kstr(&j, "verdict_source", w->source);
	fl_json_kstr(&j, "system", w->system);
	fl_json_kstr(&j, "difference", w->causes);
	fl_json_end_object(&j);
	r = fl_json_done(&j);
	return r ? r : fl_buf_adds(&a->notes, "\n");
}

static int row_grid(struct fl_grid *g, const struct fl_audit_row *w)
{
	const uint64_t counts[] = {w->seen.packets,
				   w->recorded.packets,
				   w->excluded.packets,
				   w->lost.packets,
				   w->verdict[FL_VERDICT_REJECTED].packets + w->verdict[FL_VERDICT_DENIED].packets,
				   w->verdict[FL_VERDICT_BEFORE].packets,
				   w->not_ip.packets};
	char at[24];
	int r = fl_grid_adds(g, w->start ? fl_time_rfc3339(w->start, at) : "all");

	r = r ? r : fl_grid_adds(g, *w->name ? w->name : w->eni);
	r = r ? r : fl_grid_adds(g, w->direction);
	for (size_t i = 0; !r && i < FL_ARRAY_LEN(counts); i++)
		r = fl_grid_addf(g, "%" PRIu64, counts[i]);
	r = r ? r : fl_grid_adds(g, w->system ? w->system : "-");
	return r ? r : fl_grid_adds(g, w->causes ? w->causes : "-");
}

int fl_audit_contradictions(struct fl_audit *a, const char *where, const struct fl_count *answers)
{
	return answers->packets
		   ? fl_audit_finding(a,
				      "%s: %" PRIu64 " packets answer what the rules of the inventory deny: they were "
				      "not in force; correct the inventory or \"Enforced\" in bindings.json",
				      where, answers->packets)
		   : 0;
}

int fl_audit_row(struct fl_audit *a, const struct fl_audit_row *w)
{
	uint64_t before = w->verdict[FL_VERDICT_BEFORE].packets;
	int64_t packets =
	    (int64_t)(w->seen.packets + before - w->recorded.packets - w->excluded.packets - w->lost.packets);
	char where[160], at[24];
	int r = a->json ? row_json(a, w) : row_grid(&a->print.grid, w);

	a->before += before;
	if (r || (!packets && !w->verdict[FL_VERDICT_CONTRADICTED].packets))
		return r;
	snprintf(where, sizeof where, "%s %s%s%s", *w->name ? w->name : w->eni, w->direction,
		 w->start ? ", window " : "", w->start ? fl_time_rfc3339(w->start, at) : "");
	if (packets)
		r = fl_audit_finding(a, "%s: %" PRId64 " packets seen are neither recorded, excluded nor lost", where,
				     packets);
	return r ? r : fl_audit_contradictions(a, where, &w->verdict[FL_VERDICT_CONTRADICTED]);
}

/* ---- the meter's totals and the system's counters ---- */

struct causes {
	char text[512];
	size_t n;
};

static void cause(struct causes *c, const char *what, int64_t n, const char *unit)
{
	int k;

	if (!n)
		return;
	k = snprintf(c->text + c->n, sizeof c->text - c->n, "%s%s %+" PRId64 "%s", c->n ? ", " : "", what, n, unit);
	if (k > 0)
		c->n = FL_MIN(c->n + (size_t)k, sizeof c->text - 1);
}

/* The system counts buffers and whole frames; we count IP packets on the wire. Every part of the
 * difference has a name. */
static const char *compare(struct fl_status_file *s, const json_t *system, const char *direction,
			   const struct fl_status_ledger *l, struct causes *c, char packets[24])
{
	const json_t *o = fl_status_object(s, system, direction);
	uint64_t counted = fl_status_u64(s, o, "packets"), dropped = fl_status_u64(s, o, "dropped");
	bool egress = *direction == 'e';
	int64_t rest;

	if (!o)
		return NULL;
	snprintf(packets, 24, "%" PRIu64, counted);
	/* Before tc on the way in, after it on the way out: drops there are missing from one side
	 * only. */
	rest = (int64_t)(counted - l->skbs - l->not_ip.packets) + (egress ? (int64_t)dropped : 0);
	cause(c, "not IP", (int64_t)l->not_ip.packets, "");
	if (egress)
		cause(c, "dropped after tc", -(int64_t)dropped, "");
	else
		cause(c, "dropped before tc (not counted as received)", (int64_t)dropped, "");
	cause(c, "open window, XDP, or past the qdisc", rest, "");
	cause(c, "layer 2 and segments", (int64_t)(fl_status_u64(s, o, "bytes") - l->seen.bytes), " bytes");
	if (!c->n)
		snprintf(c->text, sizeof c->text, "none");
	return packets;
}

static int audit_interface(struct fl_audit *a, struct fl_status_file *s, const json_t *o, struct fl_status_ledger *sum)
{
	static const char *const directions[] = {"ingress", "egress"};
	const json_t *ledger = fl_status_object(s, o, "ledger"), *system = fl_status_object(s, o, "system");
	int r = 0;

	for (size_t i = 0; !r && i < FL_ARRAY_LEN(directions); i++) {
		struct fl_status_ledger l;
		struct causes c = {0};
		char packets[24];
		struct fl_audit_row w = {
		    .eni = fl_status_str(s, o, "eni"),
		    .name = fl_status_str(s, o, "name"),
		    .direction = directions[i],
		};

		fl_status_ledger(s, ledger, directions[i], &l);
		fl_status_ledger_add(sum, &l);
		w.skbs = l.skbs;
		w.seen = l.seen;
		w.recorded = l.recorded;
		w.excluded = l.excluded;
		w.lost = l.lost;
		w.not_ip = l.not_ip;
		memcpy(w.verdict, l.verdict, sizeof w.verdict);
		w.system = compare(s, system, directions[i], &l, &c, packets);
		w.causes = w.system ? c.text : NULL;
		r = s->error ? s->error : fl_audit_row(a, &w);
	}
	return r;
}

static void subtract(struct fl_count *from, const struct fl_count *c)
{
	from->packets -= c->packets;
	from->bytes -= c->bytes;
}

/* The totals keep what was seen on interfaces that are gone; with them went the system's counters. */
static int audit_gone(struct fl_audit *a, const struct fl_status_ledger *totals, const struct fl_status_ledger *here)
{
	struct fl_audit_row w = {
	    .eni = "",
	    .name = "(gone)",
	    .direction = "both",
	    .skbs = totals->skbs - here->skbs,
	    .seen = totals->seen,
	    .recorded = totals->recorded,
	    .excluded = totals->excluded,
	    .lost = totals->lost,
	    .not_ip = totals->not_ip,
	};

	subtract(&w.seen, &here->seen);
	subtract(&w.recorded, &here->recorded);
	subtract(&w.excluded, &here->excluded);
	subtract(&w.lost, &here->lost);
	subtract(&w.not_ip, &here->not_ip);
	return w.seen.packets || w.recorded.packets || w.not_ip.packets || w.lost.packets ? fl_audit_row(a, &w) : 0;
}

static int note_losses(struct fl_audit *a, struct fl_status_file *s, const struct fl_status_ledger *l)
{
	const struct {
		const char *what;
		const json_t *parts;
	} kinds[] = {{"excluded by rule", l->rules}, {"lost by cause", l->causes}};
	const char *name;
	json_t *part;
	int r = 0;

	for (size_t i = 0; !r && i < FL_ARRAY_LEN(kinds); i++)
		json_object_foreach((json_t *)kinds[i].parts, name, part) r =
		    r ? r
		      : fl_audit_note(a, "%s %s: %" PRIu64 " packets", kinds[i].what, name,
				      fl_status_u64(s, part, "packets"));
	for (size_t i = 0; !r && i < FL_VERDICT_N; i++)
		if (l->verdict[i].packets)
			r = fl_audit_note(a, "verdicts, %s: %" PRIu64 " packets (%s)", fl_verdict_names[i],
					  l->verdict[i].packets, fl_verdict_helps[i]);
	return r ? r : s->error;
}

static int note_verdicts(struct fl_audit *a, struct fl_status_file *s)
{
	const json_t *v = fl_status_object(s, s->root, "verdicts");
	const char *source = fl_status_str(s, v, "source"), *reason = fl_status_str(s, v, "reason");

	return *source && !strcmp(source, "none") ? fl_audit_note(a, "verdicts are not observed: %s", reason) : 0;
}

static int audit_meter(struct fl_audit *a)
{
	struct fl_status_file s;
	struct fl_status_ledger totals, here = {0};
	const json_t *list;
	int r = fl_status_read(&s, a->store, "meter");

	/* A store that only holds what was metered elsewhere or before has a journal and no status.
	 */
	if (r == -ENOENT)
		return fl_audit_note(a, "no meter has written a status here: its counters are not compared");
	if (r)
		return r;
	list = fl_status_array(&s, s.root, "interfaces");
	for (size_t i = 0; !r && i < json_array_size(list); i++)
		if (fl_status_bool(&s, json_array_get(list, i), "metered"))
			r = audit_interface(a, &s, json_array_get(list, i), &here);
	fl_status_ledger(&s, s.root, "totals", &totals);
	r = r ? r : audit_gone(a, &totals, &here);
	r = r ? r : note_losses(a, &s, &totals);
	r = r ? r : note_verdicts(a, &s);
	r = r ? r : s.error;
	fl_status_free(&s);
	return r;
}

/* ---- the command ---- */

static int finish(struct fl_audit *a)
{
	struct fl_json j = FL_JSON(&a->notes);
	int r = 0;

	if (a->json) {
		fl_json_object(&j);
		fl_json_kstr(&j, "kind", "result");
		fl_json_kbool(&j, "balanced", !a->findings);
		fl_json_ku64(&j, "findings", a->findings);
		fl_json_end_object(&j);
		r = fl_json_done(&j);
		r = r ? r : fl_buf_adds(&a->notes, "\n");
	} else if (a->findings) {
		r = fl_buf_printf(&a->notes, "does not balance: %" PRIu64 " finding%s\n", a->findings,
				  a->findings == 1 ? "" : "s");
	} else {
		r = fl_buf_printf(&a->notes, "balanced: seen%s = recorded + excluded + lost\n",
				  a->before ? " + dropped before the interface" : "");
	}
	r = r ? r : fl_buf_add(&a->print.out, a->notes.data, a->notes.len);
	if (r)
		return r;
	return a->json || fl_grid_rows(&a->print.grid) == 1 ? fl_print_flush(&a->print) : fl_print_table(&a->print);
}

static int run(void *conf, int argc, char **argv)
{
	const struct conf *c = conf;
	struct fl_audit a = {.store = c->store,
			     .flow_log = c->flow_log,
			     .json = c->output == 1,
			     .windows = c->windows,
			     .notes = FL_BUF(NOTES_MAX)};
	int r;

	if (argc) {
		fprintf(stderr,
			"flowlog audit: %s: audit takes no operands; name a state directory with "
			"--store\n",
			argv[0]);
		return 2;
	}
	r = fl_print_begin(&a.print, heads, FL_ARRAY_LEN(heads));
	for (size_t i = 3; i < 11; i++)
		a.print.grid.right[i] = true;
	if (!r)
		r = audit_meter(&a);
	if (!r)
		r = fl_audit_journal(&a);
	if (!r)
		r = finish(&a);
	fl_print_end(&a.print);
	fl_buf_free(&a.notes);
	if (r)
		fprintf(stderr, "flowlog audit: %s\n", fl_error_text(r));
	return r || a.findings ? 1 : 0;
}

static const struct fl_option options[] = {
    {"store", 0, "store", FL_OPT_STRING, "DIR", FL_STORE_DEFAULT, NULL, "The state directory that is audited.",
     offsetof(struct conf, store)},
    {"flow-log", 0, NULL, FL_OPT_STRING, "ID", NULL, NULL,
     "The flow log whose objects are compared; without it the first of the configuration.",
     offsetof(struct conf, flow_log)},
    {"windows", 0, NULL, FL_OPT_FLAG, NULL, NULL, NULL, "Show a row for each window that the journal holds.",
     offsetof(struct conf, windows)},
    {"output", 'o', NULL, FL_OPT_ENUM, "FORM", "table", "table|json",
     "Form of the answer; json is one object a line, the last one the result.", offsetof(struct conf, output)},
    {0},
};

const struct fl_command fl_cmd_audit = {
    .name = "audit",
    .summary = "check that the numbers add up",
    .synopsis = "[OPTION]...",
    .description = "Prints the ledger of each interface and direction: packets seen = recorded + "
		   "excluded by a rule + lost by a cause. REJECTED of them the packet filter dropped afterwards; "
		   "BEFORE were dropped on the way out, were never seen at the interface, and are "
		   "recorded all the same. It is checked against "
		   "the system's interface counters, with a name for every part of the difference: "
		   "frames that are not IP, drops before and after the hook, the "
		   "window that is still open, layer-2 bytes. System counters are buffers; a "
		   "buffer may be many packets on the wire. Frames of a VLAN whose own interface is metered "
		   "are seen at the interface below it too, and excluded there by the rule \"vlan\". "
		   "The row (gone) sums what was seen on interfaces that are there no more.\n\n"
		   "Then the journal is read: each frame's ledger, its flows against what the "
		   "ledger says was recorded, and that no frame is there twice. "
		   "Last, the delivered objects are read and compared, interface by interface and "
		   "interval by interval, with the frames they were made from.\n\n"
		   "The exit status is 1 when anything does not balance.",
    .options = options,
    .conf_size = sizeof(struct conf),
    .run = run,
    .examples = "flowlog audit && echo 'every packet is accounted for'\n  a check for a script\n",
};
