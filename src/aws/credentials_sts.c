/* SPDX-License-Identifier: Apache-2.0 */
/* Roles: STS AssumeRole and AssumeRoleWithWebIdentity (query API, version 2011-06-15). */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "aws/credentials.h"
#include "aws/retry.h"
#include "aws/xml.h"
#include "base/error.h"
#include "base/file.h"

#define FORM_TYPE "application/x-www-form-urlencoded; charset=utf-8"
#define SESSION_NAME "flowlog"
#define PARAMETERS_MAX 8
#define REGION_WITHOUT "us-east-1" /* of the endpoint without a region in its name */

struct call {
	struct fl_pair parameters[PARAMETERS_MAX];
	size_t n;
	const struct fl_credentials *as; /* NULL: not signed */
};

static void add(struct call *c, const char *name, const char *value)
{
	if (value && c->n < PARAMETERS_MAX)
		c->parameters[c->n++] = (struct fl_pair){name, value};
}

/* ---- the answer ---- */

struct said {
	struct fl_credentials *keys;
	char id[FL_KEY_ID_MAX], secret[FL_SECRET_MAX], expires[64], code[128], message[512];
	char token[FL_TOKEN_MAX];
};

static int on_element(void *ctx, const char *const *path, unsigned depth, const char *text)
{
	struct said *s = ctx;
	const struct {
		const char *parent, *name;
		char *to;
		size_t size;
	} rows[] = {
	    {"Credentials", "AccessKeyId", s->id, sizeof s->id},
	    {"Credentials", "SecretAccessKey", s->secret, sizeof s->secret},
	    {"Credentials", "SessionToken", s->token, sizeof s->token},
	    {"Credentials", "Expiration", s->expires, sizeof s->expires},
	    {"Error", "Code", s->code, sizeof s->code},
	    {"Error", "Message", s->message, sizeof s->message},
	};

	for (size_t i = 0; text && depth > 1 && i < FL_ARRAY_LEN(rows); i++)
		if (!strcmp(path[depth - 1], rows[i].name) && !strcmp(path[depth - 2], rows[i].parent))
			snprintf(rows[i].to, rows[i].size, "%s", text);
	return 0;
}

static int read_answer(const struct fl_http_answer *a, const char *host, struct fl_credentials *ret)
{
	struct said *s = calloc(1, sizeof *s);
	int r;

	if (!s)
		return -ENOMEM;
	r = fl_xml_parse(a->body.data, a->body.len, on_element, s);
	if (a->status != 200)
		r = fl_fail(-EACCES, "%s answers %ld %s%s%s", host, a->status, *s->code ? s->code : "without a reason",
			    *s->message ? ": " : "", s->message);
	if (!r)
		r = fl_set_keys(ret, s->id, s->secret, s->token);
	if (!r)
		r = fl_parse_expiry(*s->expires ? s->expires : NULL, &ret->expires);
	explicit_bzero(s, sizeof *s);
	free(s);
	return r;
}

/* ---- the request ---- */

static int endpoint(struct fl_lookup *l, struct fl_buf *url)
{
	const struct fl_aws_settings *s = l->settings;
	const char *named = fl_aws_endpoint(s, "sts");
	size_t n;

	if (!named && s->region)
		return fl_buf_printf(url, "https://sts%s.%s.%s/", s->fips ? "-fips" : "", s->region,
				     fl_aws_domain(s->region));
	if (!named)
		return fl_buf_adds(url, "https://sts.amazonaws.com/");
	n = strlen(named);
	while (n && named[n - 1] == '/')
		n--;
	return fl_buf_printf(url, "%.*s/", (int)n, named);
}

/* The part between scheme and path. */
static int host_of(const char *url, char ret[256])
{
	const char *host = strstr(url, "://");
	size_t n = host ? strcspn(host + 3, "/") : 0;

	if (!n || n >= 256)
		return fl_fail(-EINVAL, "%.100s: an endpoint is like https://host or http://host:port", url);
	memcpy(ret, host + 3, n);
	ret[n] = '\0';
	return 0;
}

static const char *path_of(const char *url)
{
	const char *path = strchr(strstr(url, "://") + 3, '/');

	return path ? path : "/";
}

static int call(struct fl_lookup *l, struct call *c, struct fl_credentials *ret)
{
	const struct fl_aws_settings *s = l->settings;
	struct fl_buf url FL_CLEANUP(fl_buf_free) = FL_BUF(4096), auth FL_CLEANUP(fl_buf_free) = FL_BUF(4096);
	struct fl_buf form = FL_BUF(3 * FL_TOKEN_MAX + 4096);
	struct fl_http_answer answer = FL_HTTP_ANSWER;
	char host[256], date[20], digest[FL_SHA256_HEX];
	struct fl_pair headers[5] = {{"Host", host}, {"Content-Type", FORM_TYPE}, {"X-Amz-Date", date}};
	size_t n = 3;
	int r = endpoint(l, &url);

	if (!r)
		r = host_of(fl_buf_cstr(&url), host);
	if (!r)
		r = fl_sigv4_query(c->parameters, c->n, &form);
	fl_amz_date((int64_t)(fl_now_ns(s->host.clock) / FL_NS_PER_S), date);
	if (!r && c->as) {
		struct fl_sigv4 q = {.method = "POST",
				     .path = path_of(fl_buf_cstr(&url)),
				     .headers = headers,
				     .payload_sha256 = digest,
				     .region = s->region ? s->region : REGION_WITHOUT,
				     .service = "sts",
				     .key_id = c->as->id,
				     .secret = c->as->secret,
				     .date = date};

		if (*c->as->token)
			headers[n++] = (struct fl_pair){"X-Amz-Security-Token", c->as->token};
		fl_sha256_hex(form.data, form.len, digest);
		q.headers_n = n;
		r = fl_sigv4_authorization(&q, &auth);
		headers[n++] = (struct fl_pair){"Authorization", fl_buf_cstr(&auth)};
	}
	if (!r) {
		struct fl_http_request q = {.method = "POST",
					    .url = fl_buf_cstr(&url),
					    .headers = headers,
					    .headers_n = n,
					    .body = form.data,
					    .body_n = form.len};

		r = fl_aws_ask(l, &q, 0, &answer);
	}
	if (!r)
		r = read_answer(&answer, host, ret);
	if (form.data)
		explicit_bzero(form.data, form.len);
	if (answer.body.data)
		explicit_bzero(answer.body.data, answer.body.len);
	fl_buf_free(&form);
	fl_http_answer_free(&answer);
	return r;
}

static void begin(struct call *c, const char *action, const struct fl_role *role)
{
	add(c, "Action", action);
	add(c, "Version", "2011-06-15");
	add(c, "RoleArn", role->arn);
	add(c, "RoleSessionName", role->session_name ? role->session_name : SESSION_NAME);
	add(c, "DurationSeconds", role->duration_s);
}

int fl_assume_role(struct fl_lookup *l, const struct fl_role *role, const struct fl_credentials *as,
		   struct fl_credentials *ret)
{
	struct call c = {.as = as};
	int r;

	begin(&c, "AssumeRole", role);
	add(&c, "ExternalId", role->external_id);
	r = fl_wrap(call(l, &c, ret), "role %s, with %s", role->arn, as->from);
	snprintf(ret->from, sizeof ret->from, "role %.200s, assumed with %.250s", role->arn, as->from);
	return r;
}

int fl_assume_role_web(struct fl_lookup *l, const struct fl_role *role, const char *token_file,
		       struct fl_credentials *ret)
{
	struct fl_buf token = FL_BUF(FL_TOKEN_MAX);
	struct call c = {0};
	int r = fl_wrap(fl_file_read(AT_FDCWD, token_file, &token), "web identity token");

	while (!r && token.len && isspace((unsigned char)token.data[token.len - 1]))
		token.len--;
	if (!r && !token.len)
		r = fl_fail(-EINVAL, "web identity token: %s is empty", token_file);
	if (!r) {
		begin(&c, "AssumeRoleWithWebIdentity", role);
		add(&c, "WebIdentityToken", fl_buf_cstr(&token));
		r = fl_wrap(call(l, &c, ret), "role %s, with the web identity of %s", role->arn, token_file);
	}
	snprintf(ret->from, sizeof ret->from, "role %.200s, assumed with the web identity of %.200s", role->arn,
		 token_file);
	if (token.data)
		explicit_bzero(token.data, token.len);
	fl_buf_free(&token);
	return r;
}
