/* SPDX-License-Identifier: Apache-2.0 */
#include "aws/credentials.h"

#include <errno.h>
#include <jansson.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "aws/retry.h"
#include "base/error.h"

#define RENEW_BEFORE_S 120
#define LOOKED_MAX 8192
#define SOURCES_MAX 8 /* roles that are assumed from roles */

struct fl_chain {
	const struct fl_aws_settings *settings;
	struct fl_http *http;
	pthread_mutex_t lock;
	bool have;
	struct fl_credentials now;
};

int fl_looked(struct fl_lookup *l, const char *fmt, ...)
{
	char text[1024];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof text, fmt, args);
	va_end(args);
	(void)fl_buf_printf(&l->looked, "%s%s", l->looked.len ? "; " : "", text);
	return 1;
}

void fl_credentials_wipe(struct fl_credentials *c)
{
	explicit_bzero(c, sizeof *c);
}

void fl_amz_date(int64_t unix_s, char ret[20])
{
	time_t t = (time_t)unix_s;
	struct tm tm;

	strftime(ret, 20, "%Y%m%dT%H%M%SZ", gmtime_r(&t, &tm));
}

int fl_parse_expiry(const char *text, int64_t *ret)
{
	struct tm tm = {0};
	const char *end;

	*ret = INT64_MAX;
	if (!text)
		return 0;
	end = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
	if (end && *end == '.')
		end += 1 + strspn(end + 1, "0123456789");
	if (!end || (strcmp(end, "Z") != 0 && strcmp(end, "UTC") != 0 && strcmp(end, "+00:00") != 0))
		return fl_fail(-EINVAL, "\"%.40s\" is no time of expiry (2026-11-25T08:00:00Z)", text);
	*ret = timegm(&tm);
	return 0;
}

/* They go into headers: printable, no line's end. */
static bool fits(const char *text, size_t size)
{
	size_t n = strlen(text);

	for (size_t i = 0; i < n; i++)
		if (text[i] <= ' ' || text[i] == 0x7f)
			return false;
	return n < size;
}

int fl_set_keys(struct fl_credentials *ret, const char *id, const char *secret, const char *token)
{
	if (!id || !*id || !secret || !*secret)
		return fl_fail(-EPROTO, "%s is missing", !id || !*id ? "the access key ID" : "the secret access key");
	if (!fits(id, sizeof ret->id) || !fits(secret, sizeof ret->secret) ||
	    (token && !fits(token, sizeof ret->token)))
		return fl_fail(-EPROTO, "%s has a space or a control character in it, or is too long",
			       !fits(id, sizeof ret->id)           ? "the access key ID"
			       : !fits(secret, sizeof ret->secret) ? "the secret access key"
								   : "the session token");
	snprintf(ret->id, sizeof ret->id, "%s", id);
	snprintf(ret->secret, sizeof ret->secret, "%s", secret);
	snprintf(ret->token, sizeof ret->token, "%s", token ? token : "");
	ret->expires = INT64_MAX;
	return 0;
}

static const char *text_of(const json_t *object, const char *name)
{
	return json_string_value(json_object_get(object, name));
}

int fl_keys_from_json(const char *what, const char *text, size_t n, const char *token_name, struct fl_credentials *ret)
{
	json_error_t error;
	json_t *root = json_loadb(text, n, JSON_REJECT_DUPLICATES, &error);
	int r;

	if (!json_is_object(root)) {
		json_decref(root);
		return fl_fail(-EPROTO, "%s: its answer is no JSON object", what);
	}
	r = fl_set_keys(ret, text_of(root, "AccessKeyId"), text_of(root, "SecretAccessKey"), text_of(root, token_name));
	if (!r)
		r = fl_parse_expiry(text_of(root, "Expiration"), &ret->expires);
	json_decref(root);
	return fl_wrap(r, "%s", what);
}

int fl_aws_ask(struct fl_lookup *l, const struct fl_http_request *request, unsigned attempts,
	       struct fl_http_answer *ret)
{
	unsigned limit = attempts ? attempts : l->settings->attempts;

	for (unsigned made = 1;; made++) {
		int r = fl_http_do(l->http, request, ret);

		if (made >= limit || (r ? !ret->again : !fl_retry_status(ret->status)))
			return r;
		r = fl_http_sleep(l->http, fl_backoff_ms(&l->settings->host, made, r ? "" : ret->retry_after));
		if (r)
			return r;
	}
}

/* ---- the environment ---- */

static int environment_keys(struct fl_lookup *l, struct fl_credentials *ret)
{
	const char *id = fl_aws_env(l->settings, "AWS_ACCESS_KEY_ID");
	const char *secret = fl_aws_env(l->settings, "AWS_SECRET_ACCESS_KEY");

	if (!id && !secret)
		return fl_looked(l, "environment: AWS_ACCESS_KEY_ID is not set");
	if (!id || !secret)
		return fl_fail(-EINVAL, "%s is set and %s is not; set both or neither",
			       id ? "AWS_ACCESS_KEY_ID" : "AWS_SECRET_ACCESS_KEY",
			       id ? "AWS_SECRET_ACCESS_KEY" : "AWS_ACCESS_KEY_ID");
	snprintf(ret->from, sizeof ret->from, "AWS_ACCESS_KEY_ID of the environment");
	return fl_wrap(fl_set_keys(ret, id, secret, fl_aws_env(l->settings, "AWS_SESSION_TOKEN")), "environment");
}

static int from_environment(struct fl_lookup *l, struct fl_credentials *ret)
{
	if (l->settings->profile_named)
		return fl_looked(l, "environment: passed over, since a profile is named");
	return environment_keys(l, ret);
}

static int from_web_identity(struct fl_lookup *l, struct fl_credentials *ret)
{
	const char *file = fl_aws_env(l->settings, "AWS_WEB_IDENTITY_TOKEN_FILE");
	struct fl_role role = {.arn = fl_aws_env(l->settings, "AWS_ROLE_ARN"),
			       .session_name = fl_aws_env(l->settings, "AWS_ROLE_SESSION_NAME")};

	if (l->settings->profile_named)
		return fl_looked(l, "web identity: passed over, since a profile is named");
	if (!file)
		return fl_looked(l, "web identity: AWS_WEB_IDENTITY_TOKEN_FILE is not set");
	if (!role.arn)
		return fl_fail(-EINVAL,
			       "AWS_WEB_IDENTITY_TOKEN_FILE is set and AWS_ROLE_ARN is not; set both or neither");
	return fl_assume_role_web(l, &role, file, ret);
}

/* ---- profiles ---- */

static int from_profile(struct fl_lookup *l, const char *profile, unsigned depth, struct fl_credentials *ret);

static int static_keys(struct fl_lookup *l, const char *profile, struct fl_credentials *ret)
{
	const struct fl_aws_settings *s = l->settings;
	const char *id = fl_aws_profile_get(s, profile, "aws_access_key_id");
	const char *secret = fl_aws_profile_get(s, profile, "aws_secret_access_key");
	bool shared = fl_ini_get(&s->credentials, profile, "aws_access_key_id") != NULL;

	if (!id && !secret)
		return 1;
	snprintf(ret->from, sizeof ret->from, "profile \"%.100s\" of %.300s", profile,
		 shared ? s->credentials_path : s->config_path);
	return fl_wrap(fl_set_keys(ret, id, secret, fl_aws_profile_get(s, profile, "aws_session_token")),
		       "profile \"%s\"", profile);
}

static int from_named_source(struct fl_lookup *l, const char *profile, const char *source, struct fl_credentials *ret)
{
	int r = 1;

	if (!strcmp(source, "Environment"))
		r = environment_keys(l, ret);
	else if (!strcmp(source, "EcsContainer"))
		r = fl_from_container(l, ret);
	else if (!strcmp(source, "Ec2InstanceMetadata"))
		r = fl_from_instance(l, ret);
	else
		return fl_fail(
		    -EINVAL,
		    "profile \"%s\": credential_source is Environment, EcsContainer or Ec2InstanceMetadata, not "
		    "\"%.80s\"",
		    profile, source);
	if (r > 0)
		return fl_fail(-ENOENT, "profile \"%s\": credential_source = %s has no credentials (%s)", profile,
			       source, fl_buf_cstr(&l->looked));
	return r;
}

/* Whose keys the role is assumed with. */
static int source_keys(struct fl_lookup *l, const char *profile, unsigned depth, struct fl_credentials *ret)
{
	const char *source = fl_aws_profile_get(l->settings, profile, "source_profile");
	const char *named = fl_aws_profile_get(l->settings, profile, "credential_source");
	int r;

	if (named)
		return from_named_source(l, profile, named, ret);
	if (!source)
		return fl_fail(
		    -EINVAL, "profile \"%s\" has a role_arn but neither source_profile nor credential_source", profile);
	if (!fl_aws_profile_exists(l->settings, source))
		return fl_fail(-ENOENT, "profile \"%s\": there is no source_profile \"%s\"", profile, source);
	if (depth + 1 == SOURCES_MAX)
		return fl_fail(-ELOOP, "profile \"%s\": source_profile leads through more than %d profiles", profile,
			       SOURCES_MAX);
	/* A profile may be its own source: with its keys, not with its role. */
	r = strcmp(source, profile) != 0 ? 1 : static_keys(l, source, ret);
	if (r > 0 && strcmp(source, profile) != 0)
		r = from_profile(l, source, depth + 1, ret);
	return r > 0 ? fl_fail(-ENOENT, "profile \"%s\": source_profile \"%s\" has no credentials", profile, source)
		     : r;
}

static int from_role(struct fl_lookup *l, const char *profile, const char *arn, unsigned depth,
		     struct fl_credentials *ret)
{
	const struct fl_aws_settings *s = l->settings;
	const char *token_file = fl_aws_profile_get(s, profile, "web_identity_token_file");
	struct fl_role role = {.arn = arn,
			       .session_name = fl_aws_profile_get(s, profile, "role_session_name"),
			       .external_id = fl_aws_profile_get(s, profile, "external_id"),
			       .duration_s = fl_aws_profile_get(s, profile, "duration_seconds")};
	struct fl_credentials *source;
	int r;

	if (token_file)
		return fl_wrap(fl_assume_role_web(l, &role, token_file, ret), "profile \"%s\"", profile);
	if (fl_aws_profile_get(s, profile, "mfa_serial"))
		return fl_fail(
		    -EOPNOTSUPP,
		    "profile \"%s\" asks for a one-time code (mfa_serial), which cannot be typed here: let the AWS "
		    "CLI do it, eval \"$(aws configure export-credentials --profile %s --format env)\"",
		    profile, profile);
	source = calloc(1, sizeof *source);
	if (!source)
		return -ENOMEM;
	r = source_keys(l, profile, depth, source);
	if (!r)
		r = fl_wrap(fl_assume_role(l, &role, source, ret), "profile \"%s\"", profile);
	fl_credentials_wipe(source);
	free(source);
	return r;
}

static int from_profile(struct fl_lookup *l, const char *profile, unsigned depth, struct fl_credentials *ret)
{
	const struct fl_aws_settings *s = l->settings;
	const char *arn = fl_aws_profile_get(s, profile, "role_arn");
	const char *command = fl_aws_profile_get(s, profile, "credential_process");
	int r;

	if (arn)
		return from_role(l, profile, arn, depth, ret);
	if (fl_aws_profile_get(s, profile, "sso_session") || fl_aws_profile_get(s, profile, "sso_start_url"))
		return fl_from_sso(l, profile, ret);
	r = static_keys(l, profile, ret);
	return r > 0 && command ? fl_wrap(fl_from_process(l, command, ret), "profile \"%s\"", profile) : r;
}

static int from_the_profile(struct fl_lookup *l, struct fl_credentials *ret)
{
	const struct fl_aws_settings *s = l->settings;
	int r = from_profile(l, s->profile, 0, ret);

	if (r <= 0)
		return r;
	return fl_looked(l, "profile \"%s\": %s, %s and %s", s->profile,
			 fl_aws_profile_exists(s, s->profile) ? "no keys, role, sign-on or process in" : "not in",
			 *s->credentials_path ? s->credentials_path : "~/.aws/credentials",
			 *s->config_path ? s->config_path : "~/.aws/config");
}

/* ---- the chain ---- */

static int look(struct fl_lookup *l, struct fl_credentials *ret)
{
	static const fl_provider_fn providers[] = {from_environment, from_web_identity, from_the_profile,
						   fl_from_container, fl_from_instance};

	for (size_t i = 0; i < FL_ARRAY_LEN(providers); i++) {
		int r;

		*ret = (struct fl_credentials){.expires = INT64_MAX};
		r = providers[i](l, ret);
		if (r <= 0)
			return r;
	}
	return fl_fail(
	    -ENOKEY,
	    "no AWS credentials. Looked at, in this order: %s. Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, name "
	    "a profile with --profile, or read a public bucket with --anonymous",
	    fl_buf_cstr(&l->looked));
}

int fl_chain_new(struct fl_chain **ret, const struct fl_aws_settings *settings, struct fl_http *http)
{
	struct fl_chain *c = calloc(1, sizeof *c);

	if (!c)
		return -ENOMEM;
	c->settings = settings;
	c->http = http;
	pthread_mutex_init(&c->lock, NULL);
	*ret = c;
	return 0;
}

void fl_chain_free(struct fl_chain **pointer)
{
	struct fl_chain *c = *pointer;

	*pointer = NULL;
	if (!c)
		return;
	fl_credentials_wipe(&c->now);
	pthread_mutex_destroy(&c->lock);
	free(c);
}

/* The chain's lock is held: others wait for the one that asks. */
static int renew_now(struct fl_chain *c, int64_t now)
{
	struct fl_lookup l = {.settings = c->settings, .http = c->http, .looked = FL_BUF(LOOKED_MAX)};
	struct fl_credentials *fresh = calloc(1, sizeof *fresh);
	int r = fresh ? look(&l, fresh) : -ENOMEM;

	if (!r && fresh->expires <= now)
		r = fl_fail(-EKEYEXPIRED, "the credentials of %s have expired; renew them there", fresh->from);
	if (!r)
		c->now = *fresh;
	if (!r)
		c->have = true;
	if (fresh)
		fl_credentials_wipe(fresh);
	free(fresh);
	fl_buf_free(&l.looked);
	return r;
}

int fl_chain_get(struct fl_chain *c, const char *renew, struct fl_credentials *ret)
{
	const struct fl_clock *clock = c->settings->host.clock;
	int64_t now = (int64_t)(fl_now_ns(clock) / FL_NS_PER_S);
	bool stale;
	int r = 0;

	pthread_mutex_lock(&c->lock);
	stale = !c->have || (renew && !strcmp(renew, c->now.id)) ||
		(c->now.expires != INT64_MAX && c->now.expires - RENEW_BEFORE_S <= now);
	if (stale) {
		r = renew_now(c, now);
		/* What still holds for a while is good enough when its renewal fails. */
		if (r && r != -EINTR && c->have && !renew && c->now.expires > now)
			r = 0;
	}
	if (!r)
		*ret = c->now;
	pthread_mutex_unlock(&c->lock);
	return r;
}
