/* SPDX-License-Identifier: Apache-2.0 */
/* flowlog why --record: a recorded flow against the rules of the interface that recorded it. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/units.h"
#include "cli/recorded.h"
#include "cli/why.h"
#include "scan/scan.h"

struct recorded {
	struct fl_record record;
	struct fl_eni eni;
	struct fl_record_meta meta;
	const struct fl_net_eni *net;
	struct fl_subject subject;
	bool has_flags;
	const char *reason; /* reject-reason, "" */
	struct fl_kept kept;
};

static bool has(const struct fl_format *f, const char *name)
{
	for (size_t i = 0; i < fl_format_len(f); i++)
		if (!strcmp(fl_format_name(f, i), name))
			return true;
	return false;
}

/* The format that was given, else the header before the record, else the default. */
static int decode(const char *format, const char *line, struct recorded *ret)
{
	struct fl_format *f FL_CLEANUP(fl_format_free) = NULL;
	const char *end = strchr(line, '\n');
	struct fl_values values;
	int r;

	if (format && (strchr(format, '$') || !strchr(format, ' '))) /* fields or a preset */
		r = fl_format_parse(&f, FL_LOG_VPC, format);
	else if (format)
		r = fl_format_from_header(&f, format, strlen(format));
	else if (end && end[1])
		r = fl_format_from_header(&f, line, (size_t)(end - line));
	else
		r = fl_format_parse(&f, FL_LOG_VPC, "default");
	if (r)
		return fl_wrap(r, "--format");
	if (!format && end && end[1])
		line = end + 1;
	if (fl_decode_line(f, line, strcspn(line, "\r\n"), &values) != FL_LINE_OK)
		return fl_fail(-EINVAL, "--record: %zu fields are expected (%s); name others with --format",
			       fl_format_len(f), fl_format_text(f));
	r = fl_decode_record(f, &values, &ret->record, &ret->eni, &ret->meta);
	ret->has_flags = has(f, "tcp-flags");
	if (!r && ret->record.status != FL_STATUS_OK)
		r = fl_fail(-EINVAL, "a record without a flow (log-status is not OK) has nothing to explain");
	return fl_wrap(r, "--record");
}

static int locate(const struct fl_network *net, struct recorded *r)
{
	const struct fl_record *record = &r->record;
	const struct fl_field *reason = fl_field_find(FL_LOG_VPC, "reject-reason", strlen("reject-reason"));
	struct fl_subject *s = &r->subject;

	r->net = fl_network_eni(net, r->eni.interface_id);
	if (!r->net)
		return fl_fail(-ENOENT, "interface %s of the record is not in the inventory", r->eni.interface_id);
	fl_recorded_subject(record, &r->meta, r->net, s);
	r->reason = "";
	for (unsigned i = 0; reason && i < fl_field_count(FL_LOG_VPC); i++)
		if (fl_field_at(FL_LOG_VPC, i) == reason && r->meta.text[i].n)
			r->reason = r->meta.text[i].n == 3 ? "BPA" : "EC";
	return 0;
}

static const char *const opposite = "an answer: the connection was opened the other way, and groups are stateful; ";

/* The filters in AWS's order. An answer is judged by the rules for its question. */
static int explain(struct fl_policy *policy, const struct recorded *rec, const struct fl_decision *d,
		   struct fl_step step[2])
{
	enum fl_dir dir = fl_key_dir(&rec->subject.key);
	bool in = dir == FL_DIR_INGRESS, answer = d->opener && d->opener != dir;
	struct fl_subject back = fl_subject_reverse(&rec->subject);
	enum fl_step_kind group = in ? FL_STEP_GROUP_IN : FL_STEP_GROUP_OUT,
			  other = in ? FL_STEP_GROUP_OUT : FL_STEP_GROUP_IN;
	int r = fl_trace_filter(policy, rec->net, in ? FL_STEP_ACL_IN : FL_STEP_ACL_OUT, &rec->subject, &step[!in]);

	if (!r)
		r = answer ? fl_trace_filter(policy, rec->net, other, &back, &step[in])
			   : fl_trace_filter(policy, rec->net, group, &rec->subject, &step[in]);
	if (!r && answer) {
		char text[sizeof step->text];

		memcpy(text, step[in].text, sizeof text);
		snprintf(step[in].text, sizeof step[in].text, "%s%.*s", opposite,
			 (int)(sizeof text - strlen(opposite) - 1), text);
		step[in].kind = group;
	}
	return r;
}

/* Why record and rules may differ; "": they agree. */
static const char *difference(const struct recorded *rec, const struct fl_decision *d)
{
	bool opened = rec->record.tcp & 2;

	if (!strcmp(rec->reason, "BPA"))
		return "the record itself says why: VPC Block Public Access";
	if (!strcmp(rec->reason, "EC"))
		return "the record itself says why: encryption controls of a VPC endpoint";
	if (d->accept == (rec->record.action == FL_ACTION_ACCEPT))
		return "";
	if (!d->accept)
		return "it was accepted all the same: part of a connection that was tracked, or the rules were others "
		       "then";
	if (rec->record.key.proto == 6 && rec->has_flags && !opened)
		return "the rules let it pass, but it has no SYN: packets that come after a connection was closed or "
		       "timed out are rejected";
	return "the rules let it pass now: they were others then, or the packet came after its connection was closed";
}

static int print_text(struct fl_buf *out, const struct recorded *rec, const struct fl_decision *d,
		      const struct fl_step step[2])
{
	const struct fl_key *k = &rec->subject.key;
	char src[FL_ADDR_TEXT_MAX + 1], dst[FL_ADDR_TEXT_MAX + 1], what[48], when[24];
	const char *more = difference(rec, d);
	int r;

	*fl_addr_print(src, &k->src, k->dirfam & FL_KEY_V6) = '\0';
	*fl_addr_print(dst, &k->dst, k->dirfam & FL_KEY_V6) = '\0';
	fl_service_text(k->proto, k->dport, -1, -1, what);
	r = fl_buf_printf(out, "%s -> %s, %s, %s at %s, recorded %s at %s\n", src, dst, what,
			  fl_key_dir(k) == FL_DIR_INGRESS ? "ingress" : "egress", rec->net->noun.id,
			  rec->record.action == FL_ACTION_ACCEPT ? "ACCEPT" : "REJECT",
			  fl_time_rfc3339(rec->record.start, when));
	r = r ? r
	      : fl_buf_printf(out, "  the rules: %s, by %s\n", d->accept ? "ACCEPT" : "REJECT",
			      fl_decider_texts[d->by]);
	r = r ? r : fl_why_kept_text(out, &rec->kept);
	if (!r && *more)
		r = fl_buf_printf(out, "  %s\n", more);
	if (!r)
		r = fl_buf_adds(out, "\n");
	for (unsigned i = 0; !r && i < 2 && d->by != FL_BY_UNFILTERED; i++)
		r = fl_why_step_text(out, &step[i]);
	return r;
}

static int print_json(struct fl_buf *out, const struct recorded *rec, const struct fl_decision *d,
		      const struct fl_step step[2])
{
	const struct fl_key *k = &rec->subject.key;
	struct fl_json j = FL_JSON(out);
	char text[FL_ADDR_TEXT_MAX + 1];
	int r;

	j.pretty = true;
	fl_json_object(&j);
	fl_json_kstr(&j, "interface", rec->net->noun.id);
	*fl_addr_print(text, &k->src, k->dirfam & FL_KEY_V6) = '\0';
	fl_json_kstr(&j, "source", text);
	*fl_addr_print(text, &k->dst, k->dirfam & FL_KEY_V6) = '\0';
	fl_json_kstr(&j, "destination", text);
	fl_json_ku64(&j, "protocol", k->proto);
	fl_json_ku64(&j, "port", k->dport);
	fl_json_kstr(&j, "direction", fl_key_dir(k) == FL_DIR_INGRESS ? "ingress" : "egress");
	fl_json_kstr(&j, "recorded", rec->record.action == FL_ACTION_ACCEPT ? "ACCEPT" : "REJECT");
	fl_json_kstr(&j, "rules", d->accept ? "ACCEPT" : "REJECT");
	fl_json_kstr(&j, "by", fl_decider_names[d->by]);
	fl_why_kept_json(&j, "decided", &rec->kept);
	fl_json_kstr(&j, "note", difference(rec, d));
	fl_json_key(&j, "steps");
	fl_json_array(&j);
	for (unsigned i = 0; i < 2 && d->by != FL_BY_UNFILTERED; i++)
		fl_why_step_json(&j, &step[i]);
	fl_json_end_array(&j);
	fl_json_end_object(&j);
	r = fl_json_done(&j);
	return r ? r : fl_buf_adds(out, "\n");
}

int fl_why_record(const struct fl_network *net, struct fl_policy *policy, const struct fl_why_record_conf *conf,
		  struct fl_buf *out)
{
	struct recorded rec = {0};
	const struct fl_filter *f;
	struct fl_decision d;
	struct fl_step step[2];
	int r = decode(conf->format, conf->line, &rec);

	r = r ? r : locate(net, &rec);
	r = r ? r : fl_policy_filter(policy, rec.net, &f);
	if (r)
		return r;
	fl_judge(f, NULL, &rec.subject, &d);
	r = explain(policy, &rec, &d, step);
	fl_kept_find(conf->store, conf->flow_log, rec.eni.interface_id, &rec.record, &rec.subject.key, &rec.kept);
	r = r ? r : conf->json ? print_json(out, &rec, &d, step) : print_text(out, &rec, &d, step);
	return r ? r : !d.accept;
}
