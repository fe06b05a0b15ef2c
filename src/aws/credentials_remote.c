/* SPDX-License-Identifier: Apache-2.0 */
/* Credentials that are asked for over HTTP: of the container's host and of the instance. */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "aws/credentials.h"
#include "base/error.h"
#include "base/file.h"
#include "base/units.h"

#define URL_MAX 2048
#define CONTAINER_MS 5000
#define CONTAINER_ATTEMPTS 3
#define ECS_HOST "http://169.254.170.2"
#define INSTANCE_V4 "http://169.254.169.254"
#define INSTANCE_V6 "http://[fd00:ec2::254]"
#define SESSION_S "21600"
#define ROLE_MAX 128

/* ---- containers: ECS, EKS Pod Identity ---- */

/* Without TLS only what is on this machine or is AWS's own link-local address may be asked: the answer is a secret. */
static bool is_near(const char *url)
{
	static const char *const hosts[] = {"localhost", "[::1]", "169.254.170.2", "169.254.170.23", "[fd00:ec2::23]"};
	const char *host = url + strlen("http://");
	size_t n = *host == '[' ? strcspn(host, "]") + 1 : strcspn(host, ":/?#");

	if (memchr(host, '@', strcspn(host, "/?#")))
		return false;
	if (!strncmp(host, "127.", 4) && strspn(host, "0123456789.") == n)
		return true;
	for (size_t i = 0; i < FL_ARRAY_LEN(hosts); i++)
		if (strlen(hosts[i]) == n && !strncasecmp(host, hosts[i], n))
			return true;
	return false;
}

static int container_url(struct fl_lookup *l, char url[URL_MAX])
{
	const char *relative = fl_aws_env(l->settings, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
	const char *full = fl_aws_env(l->settings, "AWS_CONTAINER_CREDENTIALS_FULL_URI");

	if (!relative && !full)
		return fl_looked(l, "container: AWS_CONTAINER_CREDENTIALS_RELATIVE_URI and ..._FULL_URI are not set");
	if (snprintf(url, URL_MAX, "%s%s", relative ? ECS_HOST : "", relative ? relative : full) >= URL_MAX)
		return fl_fail(-E2BIG, "AWS_CONTAINER_CREDENTIALS_*_URI is longer than %d bytes", URL_MAX);
	if (!strncmp(url, "https://", 8) || (!strncmp(url, "http://", 7) && is_near(url)))
		return 0;
	return fl_fail(
	    -EINVAL,
	    "AWS_CONTAINER_CREDENTIALS_FULL_URI: %.100s is neither https:// nor an address of this machine or of "
	    "the container's host",
	    url);
}

/* The value of the header Authorization, "" when there is none. */
static int container_token(struct fl_lookup *l, struct fl_buf *out)
{
	const char *file = fl_aws_env(l->settings, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
	const char *token = fl_aws_env(l->settings, "AWS_CONTAINER_AUTHORIZATION_TOKEN");
	int r = file ? fl_file_read(AT_FDCWD, file, out) : token ? fl_buf_adds(out, token) : 0;

	while (!r && out->len && isspace((unsigned char)out->data[out->len - 1]))
		out->len--;
	for (size_t i = 0; i < out->len && !r; i++)
		if (iscntrl((unsigned char)out->data[i]))
			r = fl_fail(-EINVAL, "AWS_CONTAINER_AUTHORIZATION_TOKEN%s: more than one line",
				    file ? "_FILE" : "");
	return r;
}

int fl_from_container(struct fl_lookup *l, struct fl_credentials *ret)
{
	struct fl_http_answer answer = FL_HTTP_ANSWER;
	struct fl_buf token = FL_BUF(FL_TOKEN_MAX);
	char url[URL_MAX];
	int r = container_url(l, url);

	if (r)
		return r;
	r = container_token(l, &token);
	if (!r) {
		struct fl_pair header = {"Authorization", fl_buf_cstr(&token)};
		struct fl_http_request q = {.method = "GET",
					    .url = url,
					    .headers = &header,
					    .headers_n = token.len ? 1 : 0,
					    .total_ms = CONTAINER_MS,
					    .no_proxy = true};

		r = fl_wrap(fl_aws_ask(l, &q, CONTAINER_ATTEMPTS, &answer), "the container's credentials");
	}
	if (!r && answer.status != 200)
		r = fl_fail(-EACCES, "the container's credentials: %.100s answers %ld", url, answer.status);
	if (!r)
		r = fl_keys_from_json("the container's credentials", answer.body.data, answer.body.len, "Token", ret);
	snprintf(ret->from, sizeof ret->from, "the container's role");
	if (answer.body.data)
		explicit_bzero(answer.body.data, answer.body.len);
	fl_http_answer_free(&answer);
	fl_buf_free(&token);
	return r;
}

/* ---- instances: IMDSv2 ---- */

struct instance {
	struct fl_lookup *l;
	char base[256];
	char token[FL_HTTP_VALUE_MAX];
	unsigned total_ms, attempts;
	struct fl_http_answer answer;
};

static unsigned number(struct fl_lookup *l, const char *variable, unsigned usual, unsigned max)
{
	const char *text = fl_aws_env(l->settings, variable);
	uint64_t v = usual;

	if (text && fl_parse_u64(text, 1, max, &v)) {
		fl_error_clear();
		v = usual;
	}
	return (unsigned)v;
}

static int ask_instance(struct instance *m, const char *method, const char *path, const struct fl_pair *header)
{
	char url[URL_MAX];
	struct fl_http_request q = {
	    .method = method, .url = url, .headers = header, .headers_n = 1, .total_ms = m->total_ms, .no_proxy = true};

	snprintf(url, sizeof url, "%s%s", m->base, path);
	return fl_aws_ask(m->l, &q, m->attempts, &m->answer);
}

/* A word of one line, as tokens and names of roles are. */
static bool take_word(const struct fl_buf *body, char *ret, size_t size)
{
	size_t n = 0;

	while (n < body->len && body->data[n] > ' ' && body->data[n] != 0x7f)
		n++;
	if (!n || n >= size)
		return false;
	memcpy(ret, body->data, n);
	ret[n] = '\0';
	return true;
}

static int open_instance(struct instance *m)
{
	static const struct fl_pair ttl = {"x-aws-ec2-metadata-token-ttl-seconds", SESSION_S};
	int r = ask_instance(m, "PUT", "/latest/api/token", &ttl);

	if (r == -EINTR)
		return r;
	if (r)
		return fl_looked(m->l, "instance: %s", fl_error_text(r));
	if (m->answer.status != 200 || !take_word(&m->answer.body, m->token, sizeof m->token))
		return fl_looked(m->l, "instance: %s answers %ld to the request for a token", m->base,
				 m->answer.status);
	return 0;
}

static int instance_keys(struct instance *m, struct fl_credentials *ret)
{
	static const char where[] = "/latest/meta-data/iam/security-credentials/";
	struct fl_pair header = {"x-aws-ec2-metadata-token", m->token};
	char role[ROLE_MAX], path[sizeof where + ROLE_MAX];
	int r = ask_instance(m, "GET", where, &header);

	if (!r && m->answer.status == 404)
		return fl_looked(m->l, "instance: it has no role");
	if (!r && (m->answer.status != 200 || !take_word(&m->answer.body, role, sizeof role) || strchr(role, '/')))
		return fl_fail(-EPROTO, "the instance's role: %s answers %ld", m->base, m->answer.status);
	if (r)
		return fl_wrap(r, "the instance's role");
	snprintf(path, sizeof path, "%s%s", where, role);
	r = fl_wrap(ask_instance(m, "GET", path, &header), "the instance's role");
	if (!r && m->answer.status != 200)
		return fl_fail(-EPROTO, "the instance's role %s: %s answers %ld", role, m->base, m->answer.status);
	if (!r)
		r = fl_keys_from_json("the instance's role", m->answer.body.data, m->answer.body.len, "Token", ret);
	snprintf(ret->from, sizeof ret->from, "the instance's role %s", role);
	return r;
}

int fl_from_instance(struct fl_lookup *l, struct fl_credentials *ret)
{
	const struct fl_aws_settings *s = l->settings;
	const char *base = fl_aws_env(s, "AWS_EC2_METADATA_SERVICE_ENDPOINT");
	const char *mode = fl_aws_env(s, "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE");
	struct instance m = {.l = l, .answer = FL_HTTP_ANSWER};
	size_t n;
	int r;

	if (fl_aws_env_true(s, "AWS_EC2_METADATA_DISABLED"))
		return fl_looked(l, "instance: AWS_EC2_METADATA_DISABLED is true");
	if (!base)
		base = fl_aws_profile_get(s, s->profile, "ec2_metadata_service_endpoint");
	if (!base)
		base = mode && !strcasecmp(mode, "IPv6") ? INSTANCE_V6 : INSTANCE_V4;
	n = strlen(base);
	while (n && base[n - 1] == '/')
		n--;
	if (snprintf(m.base, sizeof m.base, "%.*s", (int)FL_MIN(n, (size_t)URL_MAX), base) >= (int)sizeof m.base)
		return fl_fail(-E2BIG, "AWS_EC2_METADATA_SERVICE_ENDPOINT is longer than %zu bytes", sizeof m.base);
	m.total_ms = 1000 * number(l, "AWS_METADATA_SERVICE_TIMEOUT", 1, 60);
	m.attempts = number(l, "AWS_METADATA_SERVICE_NUM_ATTEMPTS", 1, 10);
	r = open_instance(&m);
	if (!r)
		r = instance_keys(&m, ret);
	if (m.answer.body.data)
		explicit_bzero(m.answer.body.data, m.answer.body.len);
	fl_http_answer_free(&m.answer);
	return r;
}
