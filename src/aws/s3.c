/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "aws/cache.h"
#include "aws/client.h"
#include "aws/refusal.h"
#include "aws/retry.h"
#include "base/error.h"

#define CONNECTIONS_DEFAULT 32
#define CONNECTIONS_MAX 1024
#define STALL_S 20
#define HEADERS_MAX 24
#define URL_MAX (3u * FL_S3_KEY_MAX + 16384u) /* and a query with another key and a token in it */
#define PROGRESS_MIN (64u << 10)              /* bytes that make the next attempt a first one */
#define REGION_CHANGES_MAX 3
#define SKEW_MAX_S (10 * 365 * 86400ll)

/* ---- a client ---- */

/* The endpoint without a slash at its end. */
static int take_endpoint(struct fl_s3 *s)
{
	const char *named = fl_aws_endpoint(&s->settings, "s3"), *style;
	size_t n = named ? strlen(named) : 0;

	style = fl_aws_profile_get(&s->settings, s->settings.profile, "s3.addressing_style");
	s->virtual_host = style && !strcmp(style, "virtual");
	s->path_style = style && !strcmp(style, "path");
	if (!named)
		return 0;
	while (n && named[n - 1] == '/')
		n--;
	s->endpoint = strndup(named, n);
	if (!s->endpoint)
		return -ENOMEM;
	if ((!strncmp(s->endpoint, "http://", 7) && s->endpoint[7]) ||
	    (!strncmp(s->endpoint, "https://", 8) && s->endpoint[8])) {
		if (!strpbrk(s->endpoint, "?#@ \t\r\n"))
			return 0;
	}
	return fl_fail(-EINVAL, "\"%.80s\" is no endpoint; one is like https://host or http://127.0.0.1:9000",
		       s->endpoint);
}

int fl_s3_new(struct fl_s3 **ret, const struct fl_s3_options *options)
{
	struct fl_s3 *s = calloc(1, sizeof *s);
	struct fl_http_options http = {.connections = options->connections ? options->connections : CONNECTIONS_DEFAULT,
				       .stall_s = options->stall_s ? options->stall_s : STALL_S,
				       .stop = options->stop};
	int r;

	if (!s)
		return -ENOMEM;
	pthread_mutex_init(&s->lock, NULL);
	http.connections = FL_MIN(http.connections, (unsigned)CONNECTIONS_MAX);
	s->connections = http.connections;
	s->anonymous = options->anonymous;
	s->requester_pays = options->requester_pays;
	s->progress = options->progress;
	s->progress_ctx = options->progress_ctx;
	r = fl_aws_settings_init(&s->settings, options);
	if (!r)
		r = take_endpoint(s);
	http.ca_bundle = s->settings.ca_bundle;
	if (!r)
		r = fl_http_new(&s->http, &http);
	if (!r)
		r = fl_chain_new(&s->chain, &s->settings, s->http);
	if (!r && !options->no_cache)
		r = fl_cache_new(&s->cache, &s->settings, options);
	if (r)
		fl_s3_free(&s);
	else
		*ret = s;
	return r;
}

void fl_s3_free(struct fl_s3 **pointer)
{
	struct fl_s3 *s = *pointer;

	*pointer = NULL;
	if (!s)
		return;
	for (struct fl_kept *k = s->kept, *next; k; k = next) {
		next = k->next;
		free(k);
	}
	fl_cache_free(&s->cache);
	fl_chain_free(&s->chain);
	fl_http_free(&s->http);
	fl_aws_settings_free(&s->settings);
	free(s->endpoint);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

void fl_s3_count(struct fl_s3 *s, uint64_t bytes, bool from_cache)
{
	if (s->progress)
		s->progress(s->progress_ctx, bytes, from_cache);
}

static void remember_region(struct fl_s3 *s, const char *bucket, const char *region)
{
	unsigned i = 0;

	pthread_mutex_lock(&s->lock);
	while (i < s->regions_n && strcmp(s->regions[i].bucket, bucket) != 0)
		i++;
	if (i < FL_S3_REGIONS_MAX) {
		snprintf(s->regions[i].bucket, sizeof s->regions[i].bucket, "%s", bucket);
		snprintf(s->regions[i].region, sizeof s->regions[i].region, "%s", region);
		s->regions_n = FL_MAX(s->regions_n, i + 1);
	}
	pthread_mutex_unlock(&s->lock);
}

/* ---- one attempt ---- */

struct attempt {
	struct fl_s3 *s;
	struct fl_s3_call *call;
	struct fl_http_answer *answer;
	struct fl_credentials credentials;
	struct fl_s3_place place;
	struct fl_buf url, auth;
	char date[20], range[64], payload[FL_SHA256_HEX];
	struct fl_pair headers[HEADERS_MAX];
	size_t headers_n;
	bool begun; /* the answer's headers were looked at */
};

static void header(struct attempt *a, const char *name, const char *value)
{
	if (a->headers_n < HEADERS_MAX) /* fl_s3_put has its own ceiling */
		a->headers[a->headers_n++] = (struct fl_pair){name, value};
}

static int64_t server_now(struct fl_s3 *s)
{
	int64_t skew;

	pthread_mutex_lock(&s->lock);
	skew = s->skew_s;
	pthread_mutex_unlock(&s->lock);
	return (int64_t)(fl_now_ns(s->settings.host.clock) / FL_NS_PER_S) + skew;
}

/* An ETag came from a server and goes into a header. */
static int check_etag(const struct fl_s3_call *c)
{
	for (const char *p = c->etag; p && *p; p++)
		if ((unsigned char)*p < ' ' || *p == 0x7f)
			return fl_fail(-EPROTO, "s3://%s/%s: its ETag has a control character in it", c->bucket,
				       c->key);
	return 0;
}

/* URL and headers, in that order of parts: base, path, key; what is signed is what is sent. */
static int prepare(struct attempt *a)
{
	struct fl_s3_call *c = a->call;
	struct fl_buf path FL_CLEANUP(fl_buf_free) = FL_BUF(URL_MAX);
	int r = fl_s3_place(a->s, c->bucket, &a->place);

	a->headers_n = 0;
	fl_buf_reset(&a->url);
	fl_buf_reset(&a->auth);
	if (!r)
		r = check_etag(c);
	if (!r)
		r = fl_buf_adds(&path, a->place.path);
	if (!r && (c->key || !path.len))
		r = fl_buf_adds(&path, "/");
	if (!r && c->key)
		r = fl_uri_encode(&path, c->key, strlen(c->key), true);
	if (!r)
		r = fl_buf_printf(&a->url, "%s%s%s", a->place.base, fl_buf_cstr(&path), c->query_n ? "?" : "");
	if (!r)
		r = fl_sigv4_query(c->query, c->query_n, &a->url);
	if (r)
		return r;
	fl_amz_date(server_now(a->s), a->date);
	header(a, "Host", a->place.host);
	if (a->s->requester_pays)
		header(a, "x-amz-request-payer", "requester");
	for (size_t i = 0; i < c->headers_n; i++)
		header(a, c->headers[i].name, c->headers[i].value);
	if (c->etag && *c->etag)
		header(a, "If-Match", c->etag);
	if (c->ranged) {
		snprintf(a->range, sizeof a->range, "bytes=%llu-%llu", (unsigned long long)(c->offset + c->done),
			 (unsigned long long)(c->offset + c->n - 1));
		header(a, "Range", a->range);
	}
	if (a->s->anonymous)
		return 0;
	header(a, "x-amz-content-sha256", a->payload);
	header(a, "x-amz-date", a->date);
	if (*a->credentials.token)
		header(a, "x-amz-security-token", a->credentials.token);
	r = fl_sigv4_authorization(&(struct fl_sigv4){.method = c->method,
						      .path = fl_buf_cstr(&path),
						      .s3 = true,
						      .query = c->query,
						      .query_n = c->query_n,
						      .headers = a->headers,
						      .headers_n = a->headers_n,
						      .payload_sha256 = a->payload,
						      .region = a->place.region,
						      .service = "s3",
						      .key_id = a->credentials.id,
						      .secret = a->credentials.secret,
						      .date = a->date},
				   &a->auth);
	header(a, "Authorization", fl_buf_cstr(&a->auth));
	return r;
}

/* ETags as they are compared: without quotes and the sign of a weak one. */
static bool same_etag(const char *a, const char *b)
{
	struct fl_str s[2] = {{a, strlen(a)}, {b, strlen(b)}};

	for (size_t i = 0; i < 2; i++) {
		if (s[i].n >= 2 && !memcmp(s[i].p, "W/", 2))
			s[i] = (struct fl_str){s[i].p + 2, s[i].n - 2};
		if (s[i].n >= 2 && s[i].p[0] == '"' && s[i].p[s[i].n - 1] == '"')
			s[i] = (struct fl_str){s[i].p + 1, s[i].n - 2};
	}
	return s[0].n == s[1].n && !memcmp(s[0].p, s[1].p, s[0].n);
}

/* Before the first byte is taken: is it the object, and the part of it, that was asked for? */
static int check_headers(struct attempt *a)
{
	const struct fl_s3_call *c = a->call;
	const struct fl_http_answer *w = a->answer;
	unsigned long long from, to;

	a->begun = true;
	if (c->etag && *c->etag && *w->etag && !same_etag(c->etag, w->etag))
		return fl_fail(-ESTALE, "s3://%s/%s: the object was replaced while it was read", c->bucket, c->key);
	if (w->status == 206) {
		if (sscanf(w->range, "bytes %llu-%llu", &from, &to) != 2 || from != c->offset + c->done || to < from)
			return fl_fail(-EPROTO, "s3://%s/%s: the server sends \"%.60s\" for %s", c->bucket, c->key,
				       w->range, a->range);
		if (to != c->offset + c->n - 1)
			return fl_fail(-ERANGE, "s3://%s/%s: the object ends at byte %llu", c->bucket, c->key, to + 1);
		return 0;
	}
	/* The whole object, though a part was asked for: good only when it is what is missing. */
	if (c->ranged && (c->offset || c->done))
		return fl_fail(-EPROTO, "s3://%s/%s: the server ignores Range", c->bucket, c->key);
	if (w->length != UINT64_MAX && w->length != c->n)
		return fl_fail(-ESTALE, "s3://%s/%s: the object has %llu bytes, not %llu", c->bucket, c->key,
			       (unsigned long long)w->length, (unsigned long long)c->n);
	return 0;
}

static int on_data(void *ctx, const void *data, size_t n)
{
	struct attempt *a = ctx;
	struct fl_s3_call *c = a->call;
	int r = a->begun ? 0 : check_headers(a);

	if (!r && n > c->n - c->done)
		r = fl_fail(-EPROTO, "s3://%s/%s: the server sends more than was asked for", c->bucket, c->key);
	if (!r)
		r = c->sink(c->ctx, c->offset + c->done, data, n);
	if (r)
		return r;
	c->done += n;
	fl_s3_count(a->s, n, false);
	return 0;
}

/* ---- what to do about a refusal ---- */

struct effort {
	struct fl_refusal refusal;
	unsigned made, regions;
	bool renewed, skewed;
	char renew[FL_KEY_ID_MAX]; /* the key that was not taken any more */
};

static bool learn_skew(struct fl_s3 *s, const char *date)
{
	struct tm tm = {0};
	const char *end = strptime(date, "%a, %d %b %Y %H:%M:%S GMT", &tm);
	int64_t skew;

	if (!end)
		return false;
	skew = (int64_t)timegm(&tm) - (int64_t)(fl_now_ns(s->settings.host.clock) / FL_NS_PER_S);
	if (skew > SKEW_MAX_S || skew < -SKEW_MAX_S)
		return false;
	pthread_mutex_lock(&s->lock);
	s->skew_s = skew;
	pthread_mutex_unlock(&s->lock);
	return true;
}

static bool is_one_of(const char *code, const char *const *codes)
{
	while (*codes && strcmp(*codes, code) != 0)
		codes++;
	return *codes != NULL;
}

/* True: the cause is mended, the next attempt follows at once. */
static bool mend(struct attempt *a, struct effort *e)
{
	static const char *const expired[] = {"ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired", NULL};
	const char *region = e->refusal.region;
	long status = a->answer->status;

	if (*region && strcmp(region, a->place.region) != 0 && fl_aws_is_region(region) &&
	    (status / 100 == 3 || status == 400 || status == 403) && e->regions < REGION_CHANGES_MAX) {
		e->regions++;
		remember_region(a->s, a->call->bucket, region);
		return true;
	}
	if (is_one_of(e->refusal.code, expired) && !e->renewed && !a->s->anonymous) {
		e->renewed = true;
		snprintf(e->renew, sizeof e->renew, "%s", a->credentials.id);
		return true;
	}
	if (!strcmp(e->refusal.code, "RequestTimeTooSkewed") && !e->skewed) {
		e->skewed = true;
		return learn_skew(a->s, a->answer->date);
	}
	return false;
}

static int attempt(struct attempt *a, struct effort *e)
{
	struct fl_http_request q = {.method = a->call->method};
	int r = 0;

	a->begun = false;
	a->answer->again = false;
	if (!a->s->anonymous)
		r = fl_chain_get(a->s->chain, *e->renew ? e->renew : NULL, &a->credentials);
	*e->renew = '\0';
	if (!r)
		r = prepare(a);
	if (r)
		return r;
	q.url = fl_buf_cstr(&a->url);
	q.headers = a->headers;
	q.headers_n = a->headers_n;
	q.body = a->call->body;
	q.body_n = a->call->body_n;
	q.sink = a->call->sink ? on_data : NULL;
	q.ctx = a;
	return fl_http_do(a->s->http, &q, a->answer);
}

static bool is_good(const struct fl_http_answer *w)
{
	return w->status == 200 || w->status == 206;
}

/* After an answer that is good as far as it goes. */
static int finish(const struct attempt *a)
{
	const struct fl_s3_call *c = a->call;

	if (!c->sink || c->done == c->n)
		return 0;
	return fl_fail(-ERANGE, "s3://%s/%s: the object ends %llu bytes before what was asked for", c->bucket, c->key,
		       (unsigned long long)(c->n - c->done));
}

static int persist(struct attempt *a)
{
	struct effort e = {0};

	for (;;) {
		uint64_t had = a->call->done;
		bool again;
		int r = attempt(a, &e);

		if (!r && is_good(a->answer))
			return finish(a);
		if (!r) {
			fl_refusal_read(a->answer, &e.refusal);
			if (mend(a, &e))
				continue;
		}
		e.made = a->call->done - had >= PROGRESS_MIN ? 1 : e.made + 1;
		again = r ? a->answer->again : fl_retry_status(a->answer->status) || fl_retry_code(e.refusal.code);
		if (!again || e.made >= a->s->settings.attempts)
			return r ? r : fl_refusal_explain(a->s, a->call, a->answer, &e.refusal, a->credentials.from);
		/* What was cut off goes on where it ended. */
		a->call->ranged |= a->call->done > 0;
		r = fl_http_sleep(a->s->http,
				  fl_backoff_ms(&a->s->settings.host, e.made, r ? "" : a->answer->retry_after));
		if (r)
			return r;
	}
}

int fl_s3_call(struct fl_s3 *s, struct fl_s3_call *call, struct fl_http_answer *ret)
{
	struct attempt *a = calloc(1, sizeof *a);
	int r;

	if (!a)
		return -ENOMEM;
	*a = (struct attempt){.s = s, .call = call, .answer = ret, .url = FL_BUF(URL_MAX), .auth = FL_BUF(4096)};
	fl_sha256_hex(call->body, call->body_n, a->payload);
	r = persist(a);
	fl_credentials_wipe(&a->credentials);
	fl_buf_free(&a->url);
	fl_buf_free(&a->auth);
	free(a);
	return r;
}
