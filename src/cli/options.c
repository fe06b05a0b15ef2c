/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/options.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/mem.h"
#include "base/units.h"
#include "cli/config.h"

unsigned fl_opt_distance(const char *a, const char *b)
{
	unsigned row[64];
	size_t na = strnlen(a, 63), nb = strnlen(b, 63);

	for (size_t j = 0; j <= nb; j++)
		row[j] = (unsigned)j;
	for (size_t i = 1; i <= na; i++) {
		unsigned diagonal = row[0];

		row[0] = (unsigned)i;
		for (size_t j = 1; j <= nb; j++) {
			unsigned above = row[j];
			unsigned change = diagonal + (a[i - 1] != b[j - 1]);

			unsigned shift = FL_MIN(above, row[j - 1]) + 1;

			row[j] = FL_MIN(shift, change);
			diagonal = above;
		}
	}
	return row[nb];
}

const char *fl_opt_env_name(const char *key, char ret[FL_OPT_ENV_MAX])
{
	size_t n = 3;

	memcpy(ret, "FL_", 3);
	for (; *key && n < FL_OPT_ENV_MAX - 1; key++)
		ret[n++] = isalnum((unsigned char)*key) ? (char)toupper((unsigned char)*key) : '_';
	ret[n] = '\0';
	return ret;
}

static int choice_index(const char *choices, const char *value)
{
	size_t len = strlen(value);

	for (int i = 0; choices; i++) {
		size_t n = strcspn(choices, "|");

		if (n == len && memcmp(choices, value, n) == 0)
			return i;
		choices = choices[n] ? choices + n + 1 : NULL;
	}
	return -1;
}

static int list_add(const char ***list, const char *value)
{
	size_t n = 0;
	const char **grown;

	while (*list && (*list)[n])
		n++;
	grown = realloc(*list, (n + 2) * sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	grown[n] = value;
	grown[n + 1] = NULL;
	*list = grown;
	return 0;
}

/* where names the source of the value in messages: "--window", "FL_WINDOW". */
static int set_value(const struct fl_option *o, void *conf, const char *value, const char *where)
{
	void *at = (char *)conf + o->offset;
	int i;

	switch (o->type) {
	case FL_OPT_FLAG:
		i = choice_index("false|true", value);
		if (i < 0)
			return fl_fail(-EINVAL, "%s: '%s' is neither true nor false", where, value);
		*(bool *)at = i;
		return 0;
	case FL_OPT_STRING:
		*(const char **)at = value;
		return 0;
	case FL_OPT_U64:
		return fl_wrap(fl_parse_u64(value, 0, UINT64_MAX, at), "%s", where);
	case FL_OPT_DURATION:
		return fl_wrap(fl_parse_duration_ns(value, at), "%s", where);
	case FL_OPT_SIZE:
		return fl_wrap(fl_parse_size(value, at), "%s", where);
	case FL_OPT_ENUM:
		i = choice_index(o->choices, value);
		if (i < 0)
			return fl_fail(-EINVAL, "%s: '%s' is not one of %s", where, value, o->choices);
		*(int *)at = i;
		return 0;
	case FL_OPT_LIST:
		return list_add(at, value);
	case FL_OPT_CONFIG:
		return 0; /* read before everything else */
	}
	return fl_fail(-EINVAL, "%s: unknown option type %u", where, o->type);
}

/* ---- the configuration file: a command that reads one has an option of type FL_OPT_CONFIG ---- */

/* The file named on the command line, then by the environment, then the usual place; NULL: none. */
static const char *config_path(const struct fl_option *o, int argc, char **argv)
{
	const char *found = NULL, *env = getenv("FL_CONFIG");
	size_t n = strlen(o->name);

	for (int i = 0; i < argc && strcmp(argv[i], "--"); i++) {
		const char *arg = argv[i], *value = NULL;

		if (o->letter && arg[0] == '-' && arg[1] == o->letter)
			value = arg[2] ? arg + 2 : argv[i + 1];
		else if (!strncmp(arg, "--", 2) && !strncmp(arg + 2, o->name, n) && (!arg[2 + n] || arg[2 + n] == '='))
			value = arg[2 + n] ? arg + 3 + n : argv[i + 1];
		found = value ? value : found;
	}
	if (found)
		return found;
	if (env && *env)
		return env;
	return access(FL_CONFIG_DEFAULT_PATH, F_OK) ? NULL : FL_CONFIG_DEFAULT_PATH;
}

static int load_config(const struct fl_command *cmd, void *conf, int argc, char **argv)
{
	for (const struct fl_option *o = cmd->options; o && o->name; o++)
		if (o->type == FL_OPT_CONFIG) {
			struct fl_config **at = (void *)((char *)conf + o->offset);
			const char *path = config_path(o, argc, argv);

			return path ? fl_config_load(at, cmd->options, path) : 0;
		}
	return 0;
}

static const struct fl_config *config_of(const struct fl_command *cmd, const void *conf)
{
	for (const struct fl_option *o = cmd->options; o && o->name; o++)
		if (o->type == FL_OPT_CONFIG)
			return *(struct fl_config *const *)(const void *)((const char *)conf + o->offset);
	return NULL;
}

/* Returns 1 when the file sets this option. */
static int set_from_config(const struct fl_option *o, void *conf, const struct fl_config *config)
{
	size_t n = 0;
	const struct fl_config_value *v = config && o->key ? fl_config_values(config, &n) : NULL;
	int found = 0;

	for (size_t i = 0; i < n; i++) {
		char where[512];
		int r;

		if (strcmp(v[i].key, o->key))
			continue;
		found = 1;
		snprintf(where, sizeof where, "%s:%u: %s", fl_config_file(config), v[i].line, o->key);
		r = v[i].text ? set_value(o, conf, v[i].text, where) : 0;
		if (r == -ENOMEM)
			return r;
		if (r < 0)
			return fl_fail(-EBADMSG, "%s", fl_error_text(r));
	}
	return found;
}

/* Everything below the command line: default, then file, then environment; the strongest that is
 * there is read. A value in the file is checked even when the environment overrides it. */
static int set_defaults(const struct fl_command *cmd, void *conf)
{
	const struct fl_config *config = config_of(cmd, conf);

	for (const struct fl_option *o = cmd->options; o && o->name; o++) {
		char name[FL_OPT_ENV_MAX];
		const char *env = o->key ? getenv(fl_opt_env_name(o->key, name)) : NULL;
		int r = set_from_config(o, conf, config);

		if (r >= 0 && env) {
			if (o->type == FL_OPT_LIST)
				fl_freep((char *)conf + o->offset);
			r = set_value(o, conf, env, name);
		} else if (!r && o->deflt) {
			r = set_value(o, conf, o->deflt, o->name);
		}
		if (r < 0)
			return r;
	}
	return 0;
}

static int unknown_option(const struct fl_command *cmd, const char *arg, size_t len)
{
	char name[64];
	const struct fl_option *best = NULL;
	unsigned least = 4; /* further away is no typing error */

	len = FL_MIN(len, sizeof(name) - 1);
	memcpy(name, arg, len);
	name[len] = '\0';
	for (const struct fl_option *o = cmd->options; o && o->name; o++) {
		unsigned d = fl_opt_distance(name, o->name);

		if (d < least) {
			least = d;
			best = o;
		}
	}
	return best ? fl_fail(-EINVAL, "unknown option --%s; did you mean --%s?", name, best->name)
		    : fl_fail(-EINVAL, "unknown option --%s; see flowlog %s --help", name, cmd->name);
}

static const struct fl_option *find_long(const struct fl_command *cmd, const char *name, size_t len)
{
	for (const struct fl_option *o = cmd->options; o && o->name; o++)
		if (strlen(o->name) == len && memcmp(o->name, name, len) == 0)
			return o;
	return NULL;
}

/* A list on the command line replaces the default or the environment's; seen marks the first. */
static int set_from_argv(const struct fl_option *o, void *conf, const char *value, uint64_t *seen, size_t at)
{
	char where[64];

	if (o->type == FL_OPT_LIST && !(*seen & UINT64_C(1) << (at & 63))) {
		const char ***list = (void *)((char *)conf + o->offset);

		free(*list);
		*list = NULL;
		*seen |= UINT64_C(1) << (at & 63);
	}
	snprintf(where, sizeof where, "--%s", o->name);
	return set_value(o, conf, value, where);
}

int fl_opt_parse(const struct fl_command *cmd, void *conf, int *argc, char **argv)
{
	int operands = 0, r = load_config(cmd, conf, *argc, argv);
	uint64_t seen = 0;
	bool ended = false;

	if (!r)
		r = set_defaults(cmd, conf);
	for (int i = 0; r >= 0 && i < *argc; i++) {
		char *arg = argv[i];
		const struct fl_option *o = NULL;
		const char *value = NULL;

		if (ended || arg[0] != '-' || !arg[1] || !strcmp(arg, "->")) {
			argv[operands++] = arg;
			continue;
		}
		if (strcmp(arg, "--") == 0) {
			ended = true;
			continue;
		}
		if (arg[1] == '-') {
			size_t len = strcspn(arg + 2, "=");

			o = find_long(cmd, arg + 2, len);
			value = arg[2 + len] ? arg + 3 + len : NULL;
			if (!o && !value && strncmp(arg, "--no-", 5) == 0) {
				o = find_long(cmd, arg + 5, len - 3);
				o = o && o->type == FL_OPT_FLAG ? o : NULL;
				value = "false";
			}
			if (!o)
				return unknown_option(cmd, arg + 2, len);
		} else {
			for (o = cmd->options; o && o->name && o->letter != arg[1]; o++)
				;
			if (!o || !o->name)
				return fl_fail(-EINVAL, "unknown option -%c; see flowlog %s --help", arg[1], cmd->name);
			if (arg[2] && o->type == FL_OPT_FLAG)
				return fl_fail(-EINVAL, "%s: write single-letter flags apart", arg);
			value = arg[2] ? arg + 2 : NULL;
		}
		if (!value && o->type == FL_OPT_FLAG)
			value = "true";
		if (!value && ++i < *argc)
			value = argv[i];
		if (!value)
			return fl_fail(-EINVAL, "--%s needs a value (%s)", o->name, o->arg ? o->arg : "VALUE");
		r = set_from_argv(o, conf, value, &seen, (size_t)(o - cmd->options));
	}
	*argc = operands;
	return r;
}

void fl_opt_release(const struct fl_command *cmd, void *conf)
{
	for (const struct fl_option *o = cmd->options; o && o->name; o++)
		if (o->type == FL_OPT_LIST)
			fl_freep((char *)conf + o->offset);
		else if (o->type == FL_OPT_CONFIG)
			fl_config_free((void *)((char *)conf + o->offset));
}
