/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/config.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "base/error.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/units.h"
#include "cli/options.h"
#include "record/record.h"

#define KEY_MAX 96
#define FLOW_LOGS "flow_logs"
#define NEAR 4 /* further away is no typing error */

struct fl_config {
	char *file;
	struct fl_config_value *values;
	size_t n;
	char **strings; /* what the values point to */
	size_t n_strings;
	struct fl_flow_log logs[FL_CONFIG_FLOW_LOGS_MAX];
	size_t n_logs;
	bool has_logs;
};

struct reader {
	struct fl_config *c;
	const struct fl_option *options;
	yaml_parser_t yaml;
	yaml_event_t event;
	size_t scalars;
	size_t list_from; /* how many values there were before the list under way */
};

static int fail_at(const struct reader *r, unsigned line, const char *text)
{
	return fl_fail(-EBADMSG, "%s:%u: %s", r->c->file, line, text);
}

static unsigned line_of(const struct reader *r)
{
	return (unsigned)r->event.start_mark.line + 1;
}

/* Room for one more behind n: doubled whenever it is full. */
static void *grow(void *p, size_t n, size_t size)
{
	return n & (n - 1) ? p : realloc(p, (n ? 2 * n : 1) * size);
}

/* ---- events ---- */

static int next(struct reader *r)
{
	yaml_event_delete(&r->event);
	if (!yaml_parser_parse(&r->yaml, &r->event))
		return fl_fail(-EBADMSG, "%s:%zu: %s%s%s", r->c->file,
			       (size_t)FL_MAX(r->yaml.problem_mark.line, r->yaml.context_mark.line) + 1,
			       r->yaml.context ? r->yaml.context : "", r->yaml.context ? ", " : "",
			       r->yaml.problem ? r->yaml.problem : "not YAML");
	if (r->event.type == YAML_ALIAS_EVENT)
		return fail_at(r, line_of(r), "aliases (*name) are not read here; write the value out");
	if ((r->event.type == YAML_SCALAR_EVENT && r->event.data.scalar.anchor) ||
	    (r->event.type == YAML_MAPPING_START_EVENT && r->event.data.mapping_start.anchor) ||
	    (r->event.type == YAML_SEQUENCE_START_EVENT && r->event.data.sequence_start.anchor))
		return fail_at(r, line_of(r), "anchors (&name) are not read here");
	if (r->event.type == YAML_SCALAR_EVENT && ++r->scalars > 2 * FL_CONFIG_VALUES_MAX)
		return fail_at(r, line_of(r), "too many values");
	return 0;
}

/* The scalar of the present event as a string of ours. */
static int keep(struct reader *r, const char **ret)
{
	const char *text = (const char *)r->event.data.scalar.value;
	size_t n = r->event.data.scalar.length;
	char **grown, *copy;

	if (memchr(text, '\0', n))
		return fail_at(r, line_of(r), "a value with a NUL character");
	grown = grow(r->c->strings, r->c->n_strings, sizeof *grown);
	if (!grown)
		return -ENOMEM;
	r->c->strings = grown;
	copy = strndup(text, n);
	if (!copy)
		return -ENOMEM;
	r->c->strings[r->c->n_strings++] = copy;
	*ret = copy;
	return 0;
}

static int add_value(struct reader *r, const struct fl_option *o, const char *text, bool in_list)
{
	struct fl_config_value *grown;

	bool goes_on = in_list && r->c->n > r->list_from;

	for (size_t i = 0; i < r->c->n && !goes_on; i++)
		if (r->c->values[i].key == o->key)
			return fl_fail(-EBADMSG, "%s:%u: %s is set twice (first in line %u)", r->c->file, line_of(r),
				       o->key, r->c->values[i].line);
	grown = grow(r->c->values, r->c->n, sizeof *grown);
	if (!grown)
		return -ENOMEM;
	r->c->values = grown;
	r->c->values[r->c->n++] =
	    (struct fl_config_value){.key = o->key, .text = text, .line = line_of(r), .in_list = in_list};
	return 0;
}

/* ---- keys ---- */

static const struct fl_option *find_key(const struct fl_option *o, const char *key)
{
	for (; o && o->name; o++)
		if (o->key && !strcmp(o->key, key))
			return o;
	return NULL;
}

static bool is_section(const struct fl_option *o, const char *key)
{
	size_t n = strlen(key);

	for (; o && o->name; o++)
		if (o->key && !strncmp(o->key, key, n) && o->key[n] == '.')
			return true;
	return false;
}

static int unknown_key(const struct reader *r, unsigned line, const char *key)
{
	const char *best = NULL;
	unsigned least = NEAR;

	for (const struct fl_option *o = r->options; o && o->name; o++) {
		size_t section = o->key ? strcspn(o->key, ".") : 0;
		char head[KEY_MAX];
		unsigned d;

		if (!o->key)
			continue;
		d = fl_opt_distance(key, o->key);
		if (d < least) {
			least = d;
			best = o->key;
		}
		/* The wrong name may be that of a section. */
		snprintf(head, sizeof head, "%.*s", (int)section, o->key);
		d = o->key[section] ? fl_opt_distance(key, head) : NEAR;
		if (d < least) {
			least = d;
			best = o->key;
		}
	}
	if (fl_opt_distance(key, FLOW_LOGS) < least)
		best = FLOW_LOGS;
	return best ? fl_fail(-EBADMSG, "%s:%u: unknown key %s; did you mean %s?", r->c->file, line, key, best)
		    : fl_fail(-EBADMSG, "%s:%u: unknown key %s; flowlog run --help lists the keys", r->c->file, line,
			      key);
}

static int read_list(struct reader *r, const struct fl_option *o)
{
	bool any = false;
	int e;

	if (o->type != FL_OPT_LIST)
		return fl_fail(-EBADMSG, "%s:%u: %s takes one value, not a list", r->c->file, line_of(r), o->key);
	for (;;) {
		const char *text;

		e = next(r);
		if (e)
			return e;
		if (r->event.type == YAML_SEQUENCE_END_EVENT)
			return any ? 0 : add_value(r, o, NULL, false);
		if (r->event.type != YAML_SCALAR_EVENT)
			return fl_fail(-EBADMSG, "%s:%u: %s is a list of plain values", r->c->file, line_of(r), o->key);
		e = keep(r, &text);
		if (!e)
			e = add_value(r, o, text, true);
		if (e)
			return e;
		any = true;
	}
}

static int read_value(struct reader *r, const struct fl_option *o)
{
	const char *text;
	int e;

	r->list_from = r->c->n;
	if (r->event.type == YAML_SEQUENCE_START_EVENT)
		return read_list(r, o);
	if (r->event.type != YAML_SCALAR_EVENT)
		return fl_fail(-EBADMSG, "%s:%u: %s takes %s, not a section", r->c->file, line_of(r), o->key,
			       o->type == FL_OPT_LIST ? "a list" : "a value");
	if (!r->event.data.scalar.length && r->event.data.scalar.style == YAML_PLAIN_SCALAR_STYLE)
		return fl_fail(-EBADMSG, "%s:%u: %s has no value; give one or leave the line out", r->c->file,
			       line_of(r), o->key);
	e = keep(r, &text);
	return e ? e : add_value(r, o, text, o->type == FL_OPT_LIST);
}

/* ---- flow_logs ---- */

static bool is_bucket(const char *s, size_t n)
{
	if (n < 3 || n > 63 || !isalnum((unsigned char)s[0]) || !isalnum((unsigned char)s[n - 1]))
		return false;
	for (size_t i = 0; i < n; i++)
		if (!islower((unsigned char)s[i]) && !isdigit((unsigned char)s[i]) && s[i] != '-' &&
		    (s[i] != '.' || s[i + 1] == '.'))
			return false;
	return true;
}

/* Segments by segment: it becomes directories of ours. */
static bool is_prefix(const char *p)
{
	while (*p) {
		size_t n = strcspn(p, "/");

		if (!n || (n == 1 && *p == '.') || (n == 2 && p[0] == '.' && p[1] == '.') ||
		    (n == 7 && !strncmp(p, "AWSLogs", 7)))
			return false;
		for (size_t i = 0; i < n; i++)
			if ((unsigned char)p[i] < 0x20 || p[i] == 0x7f)
				return false;
		p += n;
		p += *p == '/';
	}
	return true;
}

int fl_flow_log_set_destination(struct fl_flow_log *log, const char *destination)
{
	static const char arn[] = "arn:aws:s3:::";
	const char *p = destination;
	size_t n, prefix;

	if (!strncmp(p, arn, sizeof arn - 1))
		p += sizeof arn - 1;
	else if (!strncmp(p, "arn:", 4))
		return fl_fail(-EINVAL,
			       "destination %s: only S3 buckets are destinations here "
			       "(arn:aws:s3:::bucket/prefix)",
			       destination);
	n = strcspn(p, "/");
	if (!is_bucket(p, n))
		return fl_fail(-EINVAL,
			       "destination %s: \"%.*s\" is no bucket name (3 to 63 lower-case "
			       "letters, digits, hyphens and dots)",
			       destination, (int)FL_MIN(n, (size_t)128), p);
	snprintf(log->bucket, sizeof log->bucket, "%.*s", (int)n, p);
	p += n;
	p += *p == '/';
	prefix = strlen(p);
	if (prefix && p[prefix - 1] == '/')
		prefix--;
	if (prefix >= sizeof log->prefix)
		return fl_fail(-EINVAL, "destination %.64s...: the prefix has more than %zu characters", destination,
			       sizeof log->prefix - 1);
	snprintf(log->prefix, sizeof log->prefix, "%.*s", (int)prefix, p);
	if (!is_prefix(log->prefix))
		return fl_fail(-EINVAL,
			       "destination %s: the prefix must not have a part named AWSLogs, "
			       "\".\", \"..\" or nothing",
			       destination);
	return 0;
}

static int set_id(struct fl_flow_log *log, const char *value)
{
	size_t n = strlen(value);
	bool good = !strncmp(value, "fl-", 3) && (n == 11 || n == 20);

	for (size_t i = 3; good && i < n; i++)
		good = isdigit((unsigned char)value[i]) || (value[i] >= 'a' && value[i] <= 'f');
	if (!good)
		return fl_fail(-EINVAL, "id \"%.32s\" is no flow log id (fl- and 17 hexadecimal digits)", value);
	snprintf(log->id, sizeof log->id, "%s", value);
	return 0;
}

static int set_format(struct fl_flow_log *log, const char *value)
{
	struct fl_format *format = NULL;
	int e = fl_format_parse(&format, fl_format_kind_of(value), value);

	fl_format_free(&format);
	log->format = value;
	return e < 0 ? e : 0;
}

static int set_interval(struct fl_flow_log *log, const char *value)
{
	uint64_t ns;
	int e = fl_parse_duration_ns(value, &ns);

	if (!e && ns != 60000000000ull && ns != 600000000000ull)
		e = fl_fail(-EINVAL, "interval %s: 60 or 600 seconds, as AWS has it", value);
	log->interval = e ? 0 : (uint32_t)(ns / 1000000000ull);
	return e;
}

static int set_traffic(struct fl_flow_log *log, const char *value)
{
	static const char *const names[] = {
	    [FL_TRAFFIC_ALL] = "ALL", [FL_TRAFFIC_ACCEPT] = "ACCEPT", [FL_TRAFFIC_REJECT] = "REJECT"};

	for (unsigned i = 0; i < FL_ARRAY_LEN(names); i++)
		if (!strcmp(names[i], value)) {
			log->traffic = (enum fl_traffic)i;
			return 0;
		}
	return fl_fail(-EINVAL, "traffic_type %s: ALL, ACCEPT or REJECT", value);
}

static int set_bool(bool *to, const char *name, const char *value)
{
	if (strcmp(value, "true") && strcmp(value, "false"))
		return fl_fail(-EINVAL, "%s %s: true or false", name, value);
	*to = *value == 't';
	return 0;
}

static int set_hive(struct fl_flow_log *log, const char *value)
{
	return set_bool(&log->hive, "hive", value);
}

static int set_per_hour(struct fl_flow_log *log, const char *value)
{
	return set_bool(&log->per_hour, "per_hour", value);
}

static int set_file_format(struct fl_flow_log *log, const char *value)
{
	for (unsigned i = 0; i < FL_FILE_N; i++)
		if (!strcmp(fl_file_formats[i], value)) {
			log->file_format = (enum fl_file_format)i;
			return 0;
		}
	return fl_fail(-EINVAL, "file_format %s: plain-text or parquet", value);
}

#define TAG_KEY_MAX 128 /* api.md: TagFieldSpecifications */

#define SET_TAG(name_, number_)                                                                                        \
	static int set_##name_(struct fl_flow_log *log, const char *value)                                             \
	{                                                                                                              \
		if (!*value || strlen(value) > TAG_KEY_MAX)                                                            \
			return fl_fail(-EINVAL, #name_ ": a tag key has 1 to %d characters", TAG_KEY_MAX);             \
		log->enrich.tag_key[number_] = value; /* in the order of fl_tag_fields */                              \
		return 0;                                                                                              \
	}
SET_TAG(instance_tag, 0)
SET_TAG(instance_tag_2, 1)
SET_TAG(interface_tag, 2)
SET_TAG(interface_tag_2, 3)
SET_TAG(asg_tag, 4)
SET_TAG(asg_tag_2, 5)

#define FL_SWITCH(member, option, help)                                                                                \
	static int set_##member(struct fl_flow_log *log, const char *value)                                            \
	{                                                                                                              \
		return set_bool(&log->enrich.member, #member, value);                                                  \
	}
FL_ENRICH_SWITCHES(FL_SWITCH)
#undef FL_SWITCH

static const struct {
	const char *name;
	int (*set)(struct fl_flow_log *log, const char *value);
} members[] = {
    {"id", set_id},
    {"format", set_format},
    {"interval", set_interval},
    {"traffic_type", set_traffic},
    {"hive", set_hive},
    {"per_hour", set_per_hour},
    {"file_format", set_file_format},
    {"instance_tag", set_instance_tag},
    {"instance_tag_2", set_instance_tag_2},
    {"interface_tag", set_interface_tag},
    {"interface_tag_2", set_interface_tag_2},
    {"asg_tag", set_asg_tag},
    {"asg_tag_2", set_asg_tag_2},
#define FL_SWITCH(member, option, help) {#member, set_##member},
    FL_ENRICH_SWITCHES(FL_SWITCH)
#undef FL_SWITCH
	{"destination", fl_flow_log_set_destination},
};

static int find_member(const struct reader *r, const char *name, unsigned line, size_t *ret)
{
	const char *best = NULL;
	unsigned least = NEAR;

	for (size_t i = 0; i < FL_ARRAY_LEN(members); i++) {
		unsigned d = fl_opt_distance(name, members[i].name);

		if (!d) {
			*ret = i;
			return 0;
		}
		if (d < least) {
			least = d;
			best = members[i].name;
		}
	}
	return fl_fail(-EBADMSG, "%s:%u: unknown key %s of a flow log%s%s%s", r->c->file, line, name,
		       best ? "; did you mean " : "", best ? best : "", best ? "?" : "");
}

int fl_flow_log_derive_id(struct fl_flow_log *log)
{
	struct fl_buf what FL_CLEANUP(fl_buf_free) = FL_BUF(FL_CONFIG_BYTES_MAX + 4096);
	struct fl_identity_conf identity;
	const char *const *keys = log->enrich.tag_key;
	int r = fl_buf_printf(&what, "%s/%s %u %d %d%d %s", log->bucket, log->prefix, log->interval, log->traffic,
			      log->hive, log->per_hour, log->format);

	if (!r && log->file_format)
		r = fl_buf_printf(&what, " %s", fl_file_formats[log->file_format]);
	for (size_t i = 0; !r && i < FL_TAG_FIELDS; i++)
		if (keys[i])
			r = fl_buf_printf(&what, " %zu=%s", i, keys[i]);
	for (size_t i = 0; !r && i < FL_ENRICH_SWITCH_N; i++)
		if (fl_enrich_get(&log->enrich, i))
			r = fl_buf_printf(&what, " %s", fl_enrich_switches[i].key);
	if (r)
		return r;
	fl_identity_defaults(&identity);
	fl_derive_id(&identity, "fl", fl_buf_cstr(&what), log->id, sizeof log->id);
	return 0;
}

/* api.md, CreateFlowLogs: what a transit gateway's flow log cannot have. */
int fl_flow_log_check_kind(struct fl_flow_log *log)
{
	bool tgw = fl_format_kind_of(log->format) == FL_LOG_TGW;

	if (!log->interval)
		log->interval = tgw ? 60 : 600; /* AWS's default is not allowed there */
	if (tgw && log->interval > 60)
		return fl_fail(-EINVAL, "interval %u: a transit gateway's flow log has 60 seconds", log->interval);
	if (tgw && log->traffic != FL_TRAFFIC_ALL)
		return fl_fail(-EINVAL, "traffic_type: a transit gateway's flow log has none; leave the line out");
	return 0;
}

static int finish_flow_log(struct reader *r, struct fl_flow_log *log, unsigned line, unsigned seen)
{
	const struct fl_flow_log *logs = r->c->logs;
	int r_kind;

	if (!(seen & 1u << (FL_ARRAY_LEN(members) - 1)))
		return fail_at(r, line, "a flow log needs a destination");
	if (!log->format)
		log->format = "default";
	r_kind = fl_flow_log_check_kind(log);
	if (r_kind)
		return fl_fail(-EBADMSG, "%s:%u: %s", r->c->file, line, fl_error_text(r_kind));
	if (!*log->id && fl_flow_log_derive_id(log))
		return -ENOMEM;
	for (size_t i = 0; i < r->c->n_logs; i++)
		if (!strcmp(logs[i].id, log->id))
			return fl_fail(-EBADMSG, "%s:%u: flow log %s is there twice", r->c->file, line, log->id);
	r->c->n_logs++;
	return 0;
}

static int read_flow_log(struct reader *r)
{
	unsigned first = line_of(r), seen = 0;
	struct fl_flow_log *log = &r->c->logs[r->c->n_logs];
	int e = 0;

	if (r->event.type != YAML_MAPPING_START_EVENT)
		return fail_at(r, first, "flow_logs is a list of flow logs, each with its keys");
	if (r->c->n_logs == FL_CONFIG_FLOW_LOGS_MAX)
		return fail_at(r, first, "more than 64 flow logs");
	memset(log, 0, sizeof *log);
	while (!(e = next(r)) && r->event.type != YAML_MAPPING_END_EVENT) {
		unsigned line = line_of(r);
		const char *name, *value;
		size_t i = 0;

		if (r->event.type != YAML_SCALAR_EVENT)
			return fail_at(r, line, "a key was expected");
		e = keep(r, &name);
		if (!e)
			e = find_member(r, name, line, &i);
		if (!e)
			e = next(r);
		if (e)
			return e;
		if (r->event.type != YAML_SCALAR_EVENT || seen & 1u << i)
			return fl_fail(-EBADMSG, "%s:%u: %s %s", r->c->file, line, name,
				       seen & 1u << i ? "is set twice" : "takes one value");
		seen |= 1u << i;
		e = keep(r, &value);
		if (e)
			return e;
		e = members[i].set(log, value);
		if (e < 0)
			return fl_fail(-EBADMSG, "%s:%u: %s", r->c->file, line, fl_error_text(e));
	}
	return e ? e : finish_flow_log(r, log, first, seen);
}

static int read_flow_logs(struct reader *r)
{
	int e;

	if (r->c->has_logs)
		return fail_at(r, line_of(r), "flow_logs is set twice");
	if (r->event.type != YAML_SEQUENCE_START_EVENT)
		return fail_at(r, line_of(r), "flow_logs is a list; [] for none");
	r->c->has_logs = true;
	while (!(e = next(r)) && r->event.type != YAML_SEQUENCE_END_EVENT) {
		e = read_flow_log(r);
		if (e)
			return e;
	}
	return e;
}

/* ---- the document ---- */

static int read_mapping(struct reader *r, const char *section, unsigned depth)
{
	int e;

	while (!(e = next(r)) && r->event.type != YAML_MAPPING_END_EVENT) {
		const struct fl_option *o;
		char key[KEY_MAX];
		unsigned line = line_of(r);
		bool fits;

		if (r->event.type != YAML_SCALAR_EVENT)
			return fail_at(r, line, "a key was expected");
		fits = snprintf(key, sizeof key, "%s%s%s", section, *section ? "." : "",
				(const char *)r->event.data.scalar.value) < (int)sizeof key;
		o = fits ? find_key(r->options, key) : NULL;
		if (!o && strcmp(key, FLOW_LOGS) && !is_section(r->options, key))
			return unknown_key(r, line, key);
		e = next(r);
		if (e)
			return e;
		if (o)
			e = read_value(r, o);
		else if (!strcmp(key, FLOW_LOGS))
			e = read_flow_logs(r);
		else if (r->event.type != YAML_MAPPING_START_EVENT)
			e = fl_fail(-EBADMSG, "%s:%u: %s is a section; its keys stand indented below it", r->c->file,
				    line, key);
		else if (depth == FL_CONFIG_DEPTH_MAX)
			e = fail_at(r, line, "nested too deeply");
		else
			e = read_mapping(r, key, depth + 1);
		if (e)
			return e;
	}
	return e;
}

static int read_document(struct reader *r)
{
	int e = next(r); /* stream start */

	if (!e)
		e = next(r);
	if (e || r->event.type == YAML_STREAM_END_EVENT)
		return e; /* only comments */
	e = next(r);
	if (e)
		return e;
	if (r->event.type == YAML_SCALAR_EVENT && !r->event.data.scalar.length)
		e = 0;
	else if (r->event.type != YAML_MAPPING_START_EVENT)
		return fail_at(r, line_of(r), "the file is not a list of keys and values");
	else
		e = read_mapping(r, "", 1);
	if (!e)
		e = next(r); /* document end */
	if (!e)
		e = next(r);
	if (!e && r->event.type != YAML_STREAM_END_EVENT)
		return fail_at(r, line_of(r), "a second document in the file");
	return e;
}

int fl_config_parse(struct fl_config **ret, const struct fl_option *options, const char *file, const char *text,
		    size_t n)
{
	FL_CLEANUP(fl_config_free) struct fl_config *c = calloc(1, sizeof *c);
	struct reader r = {.c = c, .options = options};
	int e;

	if (!c)
		return -ENOMEM;
	c->file = strdup(file);
	if (!c->file)
		return -ENOMEM;
	if (n > FL_CONFIG_BYTES_MAX)
		return fl_fail(-EBADMSG, "%s:1: larger than the limit of %zu bytes", file, FL_CONFIG_BYTES_MAX);
	if (!yaml_parser_initialize(&r.yaml))
		return -ENOMEM;
	yaml_parser_set_input_string(&r.yaml, (const unsigned char *)text, n);
	e = read_document(&r);
	yaml_event_delete(&r.event);
	yaml_parser_delete(&r.yaml);
	if (e)
		return e;
	*ret = c;
	c = NULL;
	return 0;
}

int fl_config_load(struct fl_config **ret, const struct fl_option *options, const char *file)
{
	struct fl_buf text FL_CLEANUP(fl_buf_free) = FL_BUF(FL_CONFIG_BYTES_MAX);
	int e = fl_file_read(AT_FDCWD, file, &text);

	if (e)
		return fl_fail(-EBADMSG, "%s", fl_error_text(e));
	return fl_config_parse(ret, options, file, text.data, text.len);
}

void fl_config_free(struct fl_config **c)
{
	if (!*c)
		return;
	for (size_t i = 0; i < (*c)->n_strings; i++)
		free((*c)->strings[i]);
	free((*c)->strings);
	free((*c)->values);
	free((*c)->file);
	free(*c);
	*c = NULL;
}

const char *fl_config_file(const struct fl_config *c)
{
	return c->file;
}

const struct fl_config_value *fl_config_values(const struct fl_config *c, size_t *ret_n)
{
	*ret_n = c->n;
	return c->values;
}

const struct fl_flow_log *fl_config_flow_logs(const struct fl_config *c, size_t *ret_n)
{
	*ret_n = c->n_logs;
	return c->has_logs ? c->logs : NULL;
}
