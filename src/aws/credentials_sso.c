/* SPDX-License-Identifier: Apache-2.0 */
/* IAM Identity Center: the token that `aws sso login` left in ~/.aws/sso/cache, exchanged for a role's keys. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "aws/credentials.h"
#include "base/error.h"
#include "base/file.h"

#define CACHE_FILE_MAX (256u << 10)
#define CACHE_FILES_MAX 1000 /* looked at */
#define URL_MAX 2048

struct sso {
	const char *profile, *start_url, *region, *account, *role;
	char token[FL_TOKEN_MAX];
	int64_t expires; /* of the token */
};

static const char *text_of(const json_t *object, const char *name)
{
	return json_string_value(json_object_get(object, name));
}

/* Of several tokens for one start URL the one that holds longest. The files' names are digests of what we match. */
static void look_at(struct sso *s, const json_t *root)
{
	const char *url = text_of(root, "startUrl"), *token = text_of(root, "accessToken");
	int64_t expires;

	if (!url || strcmp(url, s->start_url) != 0 || !token || strlen(token) >= sizeof s->token)
		return;
	if (fl_parse_expiry(text_of(root, "expiresAt"), &expires)) {
		fl_error_clear();
		return;
	}
	if (*s->token && expires <= s->expires)
		return;
	snprintf(s->token, sizeof s->token, "%s", token);
	s->expires = expires;
}

static void look_through(struct sso *s, DIR *dir)
{
	struct dirent *d;

	for (unsigned n = 0; n < CACHE_FILES_MAX && (d = readdir(dir)); n++) {
		struct fl_buf text = FL_BUF(CACHE_FILE_MAX);
		size_t len = strlen(d->d_name);
		json_t *root = NULL;

		if (len < 5 || strcmp(d->d_name + len - 5, ".json") != 0)
			continue;
		if (!fl_file_read(dirfd(dir), d->d_name, &text))
			root = json_loadb(text.data, text.len, 0, NULL);
		else
			fl_error_clear();
		if (json_is_object(root))
			look_at(s, root);
		json_decref(root);
		if (text.data)
			explicit_bzero(text.data, text.len);
		fl_buf_free(&text);
	}
}

static int find_token(struct fl_lookup *l, struct sso *s)
{
	int64_t now = (int64_t)(fl_now_ns(l->settings->host.clock) / FL_NS_PER_S);
	char path[FL_AWS_PATH_MAX];
	int r = fl_aws_home(l->settings, ".aws/sso/cache", path);
	DIR *dir = r ? NULL : opendir(path);

	if (r)
		return r;
	if (dir) {
		look_through(s, dir);
		closedir(dir);
	}
	if (*s->token && s->expires > now)
		return 0;
	return fl_fail(-EKEYEXPIRED, "profile \"%s\": the sign-on at %s %s; run: aws sso login --profile %s",
		       s->profile, s->start_url, *s->token ? "has expired" : "was not found in ~/.aws/sso/cache",
		       s->profile);
}

static int read_profile(struct fl_lookup *l, struct sso *s)
{
	const struct fl_aws_settings *a = l->settings;
	const char *session = fl_aws_profile_get(a, s->profile, "sso_session");
	char section[512];

	s->account = fl_aws_profile_get(a, s->profile, "sso_account_id");
	s->role = fl_aws_profile_get(a, s->profile, "sso_role_name");
	s->start_url = fl_aws_profile_get(a, s->profile, "sso_start_url");
	s->region = fl_aws_profile_get(a, s->profile, "sso_region");
	if (session && snprintf(section, sizeof section, "sso-session %s", session) < (int)sizeof section) {
		s->start_url = fl_ini_get(&a->config, section, "sso_start_url");
		s->region = fl_ini_get(&a->config, section, "sso_region");
	}
	if (!s->start_url || !s->region || !s->account || !s->role || !fl_aws_is_region(s->region))
		return fl_fail(
		    -EINVAL,
		    "profile \"%s\": sign-on needs sso_account_id, sso_role_name and, in it or in its [sso-session], "
		    "sso_start_url and sso_region",
		    s->profile);
	return 0;
}

static int read_keys(const struct fl_http_answer *a, struct fl_credentials *ret)
{
	json_t *root = json_loadb(a->body.data ? a->body.data : "", a->body.len, 0, NULL);
	const json_t *keys = json_object_get(root, "roleCredentials"), *expires = json_object_get(keys, "expiration");
	int r = fl_set_keys(ret, text_of(keys, "accessKeyId"), text_of(keys, "secretAccessKey"),
			    text_of(keys, "sessionToken"));

	if (!r && json_is_integer(expires))
		ret->expires = json_integer_value(expires) / 1000;
	json_decref(root);
	return r;
}

static int exchange(struct fl_lookup *l, const struct sso *s, struct fl_credentials *ret)
{
	const char *named = fl_aws_endpoint(l->settings, "sso");
	struct fl_buf url FL_CLEANUP(fl_buf_free) = FL_BUF(URL_MAX);
	const struct fl_pair query[] = {{"role_name", s->role}, {"account_id", s->account}};
	struct fl_pair header = {"x-amz-sso_bearer_token", s->token};
	struct fl_http_answer answer = FL_HTTP_ANSWER;
	int r;

	if (named)
		r = fl_buf_printf(&url, "%s/federation/credentials?", named);
	else
		r = fl_buf_printf(&url, "https://portal.sso.%s.%s/federation/credentials?", s->region,
				  fl_aws_domain(s->region));
	if (!r)
		r = fl_sigv4_query(query, FL_ARRAY_LEN(query), &url);
	if (!r) {
		struct fl_http_request q = {
		    .method = "GET", .url = fl_buf_cstr(&url), .headers = &header, .headers_n = 1};

		r = fl_aws_ask(l, &q, 0, &answer);
	}
	if (!r && answer.status != 200)
		r = fl_fail(
		    -EACCES,
		    "sign-on answers %ld: role %s of account %s is not given, or run: aws sso login --profile %s",
		    answer.status, s->role, s->account, s->profile);
	if (!r)
		r = read_keys(&answer, ret);
	if (answer.body.data)
		explicit_bzero(answer.body.data, answer.body.len);
	fl_http_answer_free(&answer);
	return fl_wrap(r, "profile \"%s\"", s->profile);
}

int fl_from_sso(struct fl_lookup *l, const char *profile, struct fl_credentials *ret)
{
	struct sso *s = calloc(1, sizeof *s);
	int r;

	if (!s)
		return -ENOMEM;
	s->profile = profile;
	r = read_profile(l, s);
	if (!r)
		r = find_token(l, s);
	if (!r)
		r = exchange(l, s, ret);
	snprintf(ret->from, sizeof ret->from, "the sign-on of profile \"%.200s\"", profile);
	explicit_bzero(s, sizeof *s);
	free(s);
	return r;
}
