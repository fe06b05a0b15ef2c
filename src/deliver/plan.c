/* SPDX-License-Identifier: Apache-2.0 */
/* deliver/<id>.json: where a flow log stands. The one file that says what is delivered;
 * scan/store.c reads it too. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "deliver/log.h"

#define STATE_MAX ((size_t)16 << 20)

void fl_plan_clear(struct fl_plan *p)
{
	for (size_t i = 0; i < p->n; i++)
		free(p->name[i]);
	free(p->name);
	*p = (struct fl_plan){0};
}

int fl_plan_add(struct fl_plan *p, const char *name)
{
	char **grown, *copy;

	for (size_t i = 0; i < p->n; i++)
		if (!strcmp(p->name[i], name))
			return 0;
	grown = realloc(p->name, (p->n + 1) * sizeof *grown);
	if (grown)
		p->name = grown;
	copy = strdup(name);
	if (!grown || !copy) {
		free(copy);
		return -ENOMEM;
	}
	p->name[p->n++] = copy;
	return 0;
}

bool fl_seen_has(const struct fl_seen *s, const char *id)
{
	for (size_t i = s->n; i-- > 0;)
		if (!strcmp(s->id[i], id))
			return true;
	return false;
}

int fl_seen_add(struct fl_seen *s, const char *id)
{
	char(*grown)[22];

	if (fl_seen_has(s, id))
		return 0;
	grown = realloc(s->id, (s->n + 1) * sizeof *grown);
	if (!grown)
		return -ENOMEM;
	s->id = grown;
	snprintf(s->id[s->n++], sizeof *s->id, "%s", id);
	return 0;
}

void fl_log_state_free(struct fl_log_state *s)
{
	fl_plan_clear(&s->plan);
	free(s->seen.id);
	*s = (struct fl_log_state){0};
}

/* ---- reading ---- */

static struct fl_position position_of(const json_t *j)
{
	return (struct fl_position){(uint64_t)json_integer_value(json_object_get(j, "segment")),
				    (uint64_t)json_integer_value(json_object_get(j, "offset"))};
}

static struct fl_count count_of(const json_t *j)
{
	return (struct fl_count){(uint64_t)json_integer_value(json_object_get(j, "packets")),
				 (uint64_t)json_integer_value(json_object_get(j, "bytes"))};
}

static int parse(const json_t *j, struct fl_log_state *ret)
{
	const json_t *plan = json_object_get(j, "plan"), *lost = json_object_get(j, "lost"), *v;
	size_t i;
	int r = 0;

	ret->cursor = position_of(json_object_get(j, "cursor"));
	ret->newest_end = json_integer_value(json_object_get(j, "newest_end"));
	ret->lost_flows = (uint64_t)json_integer_value(json_object_get(lost, "flows"));
	ret->lost_delivery = count_of(json_object_get(lost, "delivery"));
	ret->lost_quota = count_of(json_object_get(lost, "journal-quota"));
	json_array_foreach(json_object_get(j, "seen"), i, v) if (!r && json_is_string(v)) r =
	    fl_seen_add(&ret->seen, json_string_value(v));
	ret->seen.kept = ret->seen.n;
	if (!json_is_object(plan))
		return r;
	ret->plan.on = true;
	ret->plan.from = position_of(json_object_get(plan, "from"));
	ret->plan.to = position_of(json_object_get(plan, "to"));
	ret->plan.salt = (unsigned)json_integer_value(json_object_get(plan, "salt"));
	json_array_foreach(json_object_get(plan, "names"), i, v) if (!r && json_is_string(v)) r =
	    fl_plan_add(&ret->plan, json_string_value(v));
	return r;
}

static const char *const traffic_types[] = {"ALL", "ACCEPT", "REJECT"};

/* A flow log is immutable, as in AWS: readers take its files for one format and one interval. */
static int check_same(const json_t *j, const struct fl_flow_log *log, const char *format)
{
	char bucket[FL_KEY_MAX], dir[FL_KEY_MAX];
	const struct {
		const char *key, *now;
	} text[] = {{"format", format},
		    {"bucket_dir", bucket},
		    {"prefix", dir},
		    {"traffic_type", traffic_types[log->traffic]},
		    {"file_format", fl_file_formats[log->file_format]}};
	const json_t *interval = json_object_get(j, "interval");

	snprintf(bucket, sizeof bucket, "s3/%s", log->bucket);
	fl_log_dir(log, dir);
	for (size_t i = 0; i < FL_ARRAY_LEN(text); i++) {
		const char *before = json_string_value(json_object_get(j, text[i].key));

		/* Written by a version that knew no other. */
		if (!before && !strcmp(text[i].key, "file_format"))
			before = fl_file_formats[FL_FILE_TEXT];
		if (before && strcmp(before, text[i].now))
			return fl_fail(
			    -EINVAL,
			    "its %s was \"%.200s\" and is to be \"%.200s\": a flow log does not change; give the "
			    "new one another id, or none",
			    text[i].key, before, text[i].now);
	}
	if (interval && json_integer_value(interval) != log->interval)
		return fl_fail(
		    -EINVAL,
		    "its interval was %lld s and is to be %u s: a flow log does not change; give the new one "
		    "another id, or none",
		    (long long)json_integer_value(interval), log->interval);
	for (size_t i = 0; i < FL_TAG_FIELDS; i++) {
		const json_t *tags = json_object_get(j, "tags");
		const char *before = json_string_value(json_object_get(tags, fl_tag_fields[i]));
		const char *now = log->enrich.tag_key[i];

		if (tags && (before || now) && (!before || !now || strcmp(before, now) != 0))
			return fl_fail(-EINVAL,
				       "the tag key of its %s was \"%s\" and is to be \"%s\": a flow log does not "
				       "change; give the new one another id, or none",
				       fl_tag_fields[i], before ? before : "", now ? now : "");
	}
	for (size_t i = 0; i < FL_ENRICH_SWITCH_N; i++) {
		const struct fl_enrich_switch *x = &fl_enrich_switches[i];
		bool before = json_is_true(json_object_get(json_object_get(j, "switches"), x->key));

		if (json_object_get(j, "format") && before != fl_enrich_get(&log->enrich, i))
			return fl_fail(-EINVAL,
				       "its %s was %s and is to be %s: a flow log does not change; give the new one "
				       "another id, or none",
				       x->key, before ? "true" : "false", before ? "false" : "true");
	}
	return 0;
}

int fl_log_state_load(int statefd, const struct fl_flow_log *log, const char *format, struct fl_log_state *ret)
{
	struct fl_buf buf FL_CLEANUP(fl_buf_free) = FL_BUF(STATE_MAX);
	char name[64];
	json_error_t error;
	json_t *j;
	int r;

	memset(ret, 0, sizeof *ret);
	snprintf(name, sizeof name, "deliver/%s.json", log->id);
	r = fl_file_read(statefd, name, &buf);
	if (r)
		return r == -ENOENT ? 0 : r;
	j = json_loadb(buf.data, buf.len, JSON_REJECT_DUPLICATES, &error);
	if (!json_is_object(json_object_get(j, "cursor")))
		r = fl_fail(-EBADMSG, "%s: %s; remove it to deliver again all that the journal holds", name,
			    j ? "there is no cursor" : error.text);
	if (!r)
		r = check_same(j, log, format);
	if (!r)
		r = parse(j, ret);
	json_decref(j);
	if (r)
		fl_log_state_free(ret);
	return r;
}

/* ---- writing ---- */

static void put_position(struct fl_json *j, const char *key, struct fl_position p)
{
	fl_json_key(j, key);
	fl_json_object(j);
	fl_json_ku64(j, "segment", p.segment);
	fl_json_ku64(j, "offset", p.offset);
	fl_json_end_object(j);
}

static void put_count(struct fl_json *j, const char *key, const struct fl_count *c)
{
	fl_json_key(j, key);
	fl_json_object(j);
	fl_json_ku64(j, "packets", c->packets);
	fl_json_ku64(j, "bytes", c->bytes);
	fl_json_end_object(j);
}

static void put_plan(struct fl_json *j, const struct fl_plan *p)
{
	fl_json_key(j, "plan");
	if (!p->on) {
		fl_json_null(j);
		return;
	}
	fl_json_object(j);
	fl_json_kstr(j, "name", p->n ? p->name[0] : "");
	fl_json_key(j, "names");
	fl_json_array(j);
	for (size_t i = 0; i < p->n; i++)
		fl_json_str(j, p->name[i]);
	fl_json_end_array(j);
	put_position(j, "from", p->from);
	put_position(j, "to", p->to);
	fl_json_ku64(j, "salt", p->salt);
	fl_json_end_object(j);
}

int fl_log_state_save(int statefd, const struct fl_flow_log *log, const char *format, const struct fl_log_state *s)
{
	struct fl_buf buf FL_CLEANUP(fl_buf_free) = FL_BUF(STATE_MAX);
	struct fl_json j = FL_JSON(&buf);
	char text[FL_KEY_MAX];
	int r;

	fl_json_object(&j);
	fl_json_kstr(&j, "id", log->id);
	fl_json_kstr(&j, "format", format);
	snprintf(text, sizeof text, "s3/%s", log->bucket);
	fl_json_kstr(&j, "bucket_dir", text);
	fl_log_dir(log, text);
	fl_json_kstr(&j, "prefix", text);
	fl_json_ku64(&j, "interval", log->interval);
	fl_json_kstr(&j, "traffic_type", traffic_types[log->traffic]);
	fl_json_kstr(&j, "file_format", fl_file_formats[log->file_format]);
	fl_json_kbool(&j, "nodata_always", log->nodata_always);
	if (s->inventory)
		fl_json_kstr(&j, "inventory", s->inventory);
	fl_json_key(&j, "tags");
	fl_json_object(&j);
	for (size_t i = 0; i < FL_TAG_FIELDS; i++)
		if (log->enrich.tag_key[i])
			fl_json_kstr(&j, fl_tag_fields[i], log->enrich.tag_key[i]);
	fl_json_end_object(&j);
	fl_json_key(&j, "switches");
	fl_json_object(&j);
	for (size_t i = 0; i < FL_ENRICH_SWITCH_N; i++)
		if (fl_enrich_get(&log->enrich, i))
			fl_json_kbool(&j, fl_enrich_switches[i].key, true);
	fl_json_end_object(&j);
	put_position(&j, "cursor", s->cursor);
	put_plan(&j, &s->plan);
	fl_json_ki64(&j, "newest_end", s->newest_end);
	fl_json_key(&j, "lost");
	fl_json_object(&j);
	fl_json_ku64(&j, "flows", s->lost_flows);
	put_count(&j, "delivery", &s->lost_delivery);
	put_count(&j, "journal-quota", &s->lost_quota);
	fl_json_end_object(&j);
	fl_json_key(&j, "seen");
	fl_json_array(&j);
	for (size_t i = 0; i < s->seen.kept; i++)
		fl_json_str(&j, s->seen.id[i]);
	fl_json_end_array(&j);
	fl_json_end_object(&j);
	r = fl_json_done(&j);
	snprintf(text, sizeof text, "deliver/%s.json", log->id);
	return r ? r : fl_file_write_atomic(statefd, text, buf.data, buf.len, 0640, true);
}
