/* SPDX-License-Identifier: Apache-2.0 */
#include "aws/settings.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/units.h"

#define ATTEMPTS_DEFAULT 5
#define ATTEMPTS_MAX 100
#define REGION_MAX 63

static const char *real_env(void *ctx, const char *name)
{
	(void)ctx;
	return secure_getenv(name);
}

static uint64_t real_random(void *ctx)
{
	(void)ctx;
	return fl_random_seed();
}

const char *fl_aws_env(const struct fl_aws_settings *s, const char *name)
{
	const char *value = s->host.env(s->host.ctx, name);

	return value && *value ? value : NULL;
}

bool fl_aws_env_true(const struct fl_aws_settings *s, const char *name)
{
	const char *value = fl_aws_env(s, name);

	return value && !strcasecmp(value, "true");
}

int fl_aws_home(const struct fl_aws_settings *s, const char *rest, char ret[FL_AWS_PATH_MAX])
{
	const char *home = fl_aws_env(s, "HOME");
	const struct passwd *pw = home ? NULL : getpwuid(geteuid());

	if (!home)
		home = pw ? pw->pw_dir : NULL;
	if (!home)
		return fl_fail(-ENOENT, "~/%s: HOME is not set", rest);
	if (snprintf(ret, FL_AWS_PATH_MAX, "%s/%s", home, rest) >= FL_AWS_PATH_MAX)
		return fl_fail(-ENAMETOOLONG, "HOME is longer than %d bytes", FL_AWS_PATH_MAX);
	return 0;
}

/* ---- the two files ---- */

/* A file that is not there says nothing; one that cannot be read is an error. */
static int read_file(struct fl_aws_settings *s, const char *variable, const char *usual, char path[FL_AWS_PATH_MAX],
		     struct fl_ini *ini)
{
	struct fl_buf text = FL_BUF(FL_INI_FILE_MAX);
	const char *named = fl_aws_env(s, variable);
	int r = 0;

	if (!named)
		r = fl_aws_home(s, usual, path);
	else if (!strncmp(named, "~/", 2))
		r = fl_aws_home(s, named + 2, path);
	else if (snprintf(path, FL_AWS_PATH_MAX, "%s", named) >= FL_AWS_PATH_MAX)
		r = fl_fail(-ENAMETOOLONG, "%s is longer than %d bytes", variable, FL_AWS_PATH_MAX);
	if (r == -ENOENT)
		return 0;
	if (!r && access(path, F_OK)) {
		fl_error_clear();
		return 0;
	}
	if (!r)
		r = fl_file_read(AT_FDCWD, path, &text);
	if (!r)
		r = fl_ini_parse(ini, path, text.data, text.len);
	if (text.data)
		explicit_bzero(text.data, text.len);
	fl_buf_free(&text);
	return r;
}

/* In the config file a profile's section has a prefix, the default one with or without. */
static const char *config_get(const struct fl_aws_settings *s, const char *profile, const char *name)
{
	char section[512];
	const char *value = NULL;

	if (snprintf(section, sizeof section, "profile %s", profile) < (int)sizeof section)
		value = fl_ini_get(&s->config, section, name);
	if (!value && !strcmp(profile, "default"))
		value = fl_ini_get(&s->config, profile, name);
	return value;
}

const char *fl_aws_profile_get(const struct fl_aws_settings *s, const char *profile, const char *name)
{
	const char *value = fl_ini_get(&s->credentials, profile, name);

	if (!value)
		value = config_get(s, profile, name);
	return value && *value ? value : NULL;
}

bool fl_aws_profile_exists(const struct fl_aws_settings *s, const char *profile)
{
	char section[512];

	return fl_ini_has(&s->credentials, profile) ||
	       (snprintf(section, sizeof section, "profile %s", profile) < (int)sizeof section &&
		fl_ini_has(&s->config, section)) ||
	       (!strcmp(profile, "default") && fl_ini_has(&s->config, profile));
}

static int add_names(struct fl_buf *out, const struct fl_ini *ini, const char *prefix)
{
	size_t n = strlen(prefix);
	int r = 0;

	for (size_t i = 0; i < ini->n && !r; i++) {
		const struct fl_ini_entry *e = &ini->entries[i];

		if (*e->name || strncmp(e->section, prefix, n) != 0)
			continue;
		r = fl_buf_printf(out, "%s%s", out->len ? ", " : "", e->section + n);
	}
	return r;
}

static int no_profile(const struct fl_aws_settings *s)
{
	struct fl_buf names FL_CLEANUP(fl_buf_free) = FL_BUF(4096);

	(void)(add_names(&names, &s->credentials, "") || add_names(&names, &s->config, "profile "));
	return fl_fail(-ENOENT, "profile \"%s\" is neither in %s nor in %s%s%s", s->profile, s->credentials_path,
		       s->config_path, names.len ? "; there are: " : ", which name none", fl_buf_cstr(&names));
}

/* ---- regions and endpoints ---- */

const char *fl_aws_domain(const char *region)
{
	static const struct {
		const char *prefix, *domain;
	} partitions[] = {
	    {"cn-", "amazonaws.com.cn"},    {"us-iso-", "c2s.ic.gov"},      {"us-isob-", "sc2s.sgov.gov"},
	    {"us-isof-", "csp.hci.ic.gov"}, {"eu-isoe-", "cloud.adc-e.uk"}, {"eusc-", "amazonaws.eu"},
	};

	for (size_t i = 0; i < FL_ARRAY_LEN(partitions); i++)
		if (!strncmp(region, partitions[i].prefix, strlen(partitions[i].prefix)))
			return partitions[i].domain;
	return "amazonaws.com";
}

bool fl_aws_is_region(const char *text)
{
	size_t n = strlen(text);

	for (size_t i = 0; i < n; i++)
		if (!isalnum((unsigned char)text[i]) && text[i] != '-')
			return false;
	return n && n <= REGION_MAX;
}

/* The profile's own, or of the [services x] it names. */
static const char *profile_endpoint(const struct fl_aws_settings *s, const char *service)
{
	const char *services = fl_aws_profile_get(s, s->profile, "services"), *value = NULL;
	char section[512], name[64];

	snprintf(name, sizeof name, "%s.endpoint_url", service);
	if (services && snprintf(section, sizeof section, "services %s", services) < (int)sizeof section)
		value = fl_ini_get(&s->config, section, name);
	if (!value || !*value)
		value = fl_aws_profile_get(s, s->profile, name); /* s3 = endpoint_url = ..., of older tools */
	return value ? value : fl_aws_profile_get(s, s->profile, "endpoint_url");
}

const char *fl_aws_endpoint(const struct fl_aws_settings *s, const char *service)
{
	const char *ignore = fl_aws_profile_get(s, s->profile, "ignore_configured_endpoint_urls"), *value;
	char variable[64];

	if (s->endpoint_url && !strcmp(service, "s3"))
		return s->endpoint_url;
	if (fl_aws_env(s, "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"))
		ignore = fl_aws_env(s, "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS");
	if (ignore && !strcasecmp(ignore, "true"))
		return NULL;
	snprintf(variable, sizeof variable, "AWS_ENDPOINT_URL_%s", service);
	for (char *p = variable; *p; p++)
		*p = (char)toupper((unsigned char)*p);
	value = fl_aws_env(s, variable);
	if (!value)
		value = fl_aws_env(s, "AWS_ENDPOINT_URL");
	return value ? value : profile_endpoint(s, service);
}

/* ---- all together ---- */

static bool is_true(const struct fl_aws_settings *s, const char *variable, const char *name)
{
	const char *value = fl_aws_env(s, variable);

	if (!value)
		value = fl_aws_profile_get(s, s->profile, name);
	return value && !strcasecmp(value, "true");
}

static int read_attempts(struct fl_aws_settings *s, unsigned given)
{
	const char *text = fl_aws_env(s, "AWS_MAX_ATTEMPTS");
	uint64_t v = given ? given : ATTEMPTS_DEFAULT;
	int r = 0;

	if (!text)
		text = fl_aws_profile_get(s, s->profile, "max_attempts");
	if (!given && text)
		r = fl_wrap(fl_parse_u64(text, 1, ATTEMPTS_MAX, &v), "AWS_MAX_ATTEMPTS (max_attempts)");
	s->attempts = (unsigned)v;
	return r;
}

static int copy(char **to, const char *value)
{
	if (!value || !*value)
		return 0;
	*to = strdup(value);
	return *to ? 0 : -ENOMEM;
}

static const char *first(const char *a, const char *b, const char *c, const char *d)
{
	return a && *a ? a : b ? b : c ? c : d;
}

static int fill(struct fl_aws_settings *s, const struct fl_s3_options *o)
{
	int r = copy(&s->profile,
		     first(o->profile, fl_aws_env(s, "AWS_PROFILE"), fl_aws_env(s, "AWS_DEFAULT_PROFILE"), "default"));

	if (r)
		return r;
	s->profile_named = o->profile && *o->profile;
	if (strcmp(s->profile, "default") != 0 && !fl_aws_profile_exists(s, s->profile))
		return no_profile(s);
	r = copy(&s->region, first(o->region, fl_aws_env(s, "AWS_REGION"), fl_aws_env(s, "AWS_DEFAULT_REGION"),
				   fl_aws_profile_get(s, s->profile, "region")));
	if (!r)
		r = copy(&s->endpoint_url, o->endpoint_url);
	if (!r)
		r = copy(&s->ca_bundle, first(NULL, fl_aws_env(s, "AWS_CA_BUNDLE"),
					      fl_aws_profile_get(s, s->profile, "ca_bundle"), NULL));
	if (r)
		return r;
	if (s->region && !fl_aws_is_region(s->region))
		return fl_fail(-EINVAL, "\"%.80s\" is no region; one is like eu-west-1", s->region);
	s->fips = is_true(s, "AWS_USE_FIPS_ENDPOINT", "use_fips_endpoint");
	s->dual_stack = is_true(s, "AWS_USE_DUALSTACK_ENDPOINT", "use_dualstack_endpoint");
	return read_attempts(s, o->attempts);
}

int fl_aws_settings_init(struct fl_aws_settings *s, const struct fl_s3_options *options)
{
	int r;

	*s = (struct fl_aws_settings){0};
	if (options->host)
		s->host = *options->host;
	if (!s->host.env)
		s->host.env = real_env;
	if (!s->host.random)
		s->host.random = real_random;
	if (!s->host.clock)
		s->host.clock = &fl_clock_system;
	r = read_file(s, "AWS_SHARED_CREDENTIALS_FILE", ".aws/credentials", s->credentials_path, &s->credentials);
	if (!r)
		r = read_file(s, "AWS_CONFIG_FILE", ".aws/config", s->config_path, &s->config);
	if (!r)
		r = fill(s, options);
	if (r)
		fl_aws_settings_free(s);
	return r;
}

void fl_aws_settings_free(struct fl_aws_settings *s)
{
	fl_ini_free(&s->config);
	fl_ini_free(&s->credentials);
	free(s->profile);
	free(s->region);
	free(s->endpoint_url);
	free(s->ca_bundle);
	*s = (struct fl_aws_settings){0};
}
