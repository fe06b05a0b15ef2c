/* SPDX-License-Identifier: Apache-2.0 */
#include "aws/http.h"

#include <ctype.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "aws/curl.h"
#include "base/error.h"

#define STOP_POLL_MS 50 /* how soon a stop is seen */
#define CONNECT_MS 10000
#define BUFFER_BYTES (256 << 10)
#define URL_SHOWN 200
#define DRAIN_MAX (1u << 20) /* of an error's body beyond what is kept, before the connection is given up */
#define USER_AGENT "flowlog/" FL_VERSION

struct slot {
	CURLM *multi; /* its connections stay open in it */
	CURL *easy;
};

struct fl_http {
	struct fl_http_options options;
	char *ca_bundle;
	const struct fl_curl *curl;
	CURLSH *share; /* names and TLS sessions */
	pthread_mutex_t share_locks[CURL_LOCK_DATA_LAST];
	pthread_mutex_t lock;
	pthread_cond_t freed;
	struct slot *slots; /* the first `idle` are free, the most recently used last */
	unsigned idle, made;
};

/* One request under way. */
struct transfer {
	struct fl_http *http;
	const struct fl_http_request *request;
	struct fl_http_answer *answer;
	CURL *easy;
	size_t dropped;
	int error; /* of the sink or our own */
	char text[CURL_ERROR_SIZE];
};

bool fl_http_stopped(const struct fl_http *h)
{
	return h->options.stop && *h->options.stop;
}

static int stopped(void)
{
	return fl_fail(-EINTR, "stopped");
}

int fl_http_sleep(struct fl_http *h, uint64_t ms)
{
	while (ms && !fl_http_stopped(h)) {
		uint64_t part = FL_MIN(ms, (uint64_t)STOP_POLL_MS);
		struct timespec ts = {.tv_nsec = (long)part * 1000000};

		nanosleep(&ts, NULL);
		ms -= part;
	}
	return fl_http_stopped(h) ? stopped() : 0;
}

void fl_http_answer_free(struct fl_http_answer *a)
{
	fl_buf_free(&a->body);
}

static void share_lock(CURL *easy, curl_lock_data what, curl_lock_access access, void *ctx)
{
	(void)easy;
	(void)access;
	pthread_mutex_lock(&((struct fl_http *)ctx)->share_locks[what]);
}

static void share_unlock(CURL *easy, curl_lock_data what, void *ctx)
{
	(void)easy;
	pthread_mutex_unlock(&((struct fl_http *)ctx)->share_locks[what]);
}

/* The library is loaded with the first request. The pool's lock is held. */
static int start_curl(struct fl_http *h)
{
	int r;

	if (h->curl)
		return 0;
	r = fl_curl_load(&h->curl);
	if (r) {
		h->curl = NULL;
		return r;
	}
	h->share = h->curl->share_init();
	if (!h->share)
		return -ENOMEM;
	h->curl->share_setopt(h->share, CURLSHOPT_USERDATA, h);
	h->curl->share_setopt(h->share, CURLSHOPT_LOCKFUNC, share_lock);
	h->curl->share_setopt(h->share, CURLSHOPT_UNLOCKFUNC, share_unlock);
	h->curl->share_setopt(h->share, CURLSHOPT_SHARE, CURL_LOCK_DATA_DNS);
	h->curl->share_setopt(h->share, CURLSHOPT_SHARE, CURL_LOCK_DATA_SSL_SESSION);
	return 0;
}

int fl_http_new(struct fl_http **ret, const struct fl_http_options *options)
{
	struct fl_http *h = calloc(1, sizeof *h);

	if (!h)
		return -ENOMEM;
	h->options = *options;
	h->ca_bundle = options->ca_bundle ? strdup(options->ca_bundle) : NULL;
	h->slots = calloc(options->connections, sizeof *h->slots);
	pthread_mutex_init(&h->lock, NULL);
	for (unsigned i = 0; i < CURL_LOCK_DATA_LAST; i++)
		pthread_mutex_init(&h->share_locks[i], NULL);
	pthread_cond_init(&h->freed, NULL);
	if (!h->slots || (options->ca_bundle && !h->ca_bundle)) {
		fl_http_free(&h);
		return -ENOMEM;
	}
	*ret = h;
	return 0;
}

void fl_http_free(struct fl_http **pointer)
{
	struct fl_http *h = *pointer;

	*pointer = NULL;
	if (!h)
		return;
	for (unsigned i = 0; i < h->idle; i++) {
		h->curl->easy_cleanup(h->slots[i].easy);
		h->curl->multi_cleanup(h->slots[i].multi);
	}
	if (h->share)
		h->curl->share_cleanup(h->share);
	free(h->slots);
	free(h->ca_bundle);
	pthread_mutex_destroy(&h->lock);
	for (unsigned i = 0; i < CURL_LOCK_DATA_LAST; i++)
		pthread_mutex_destroy(&h->share_locks[i]);
	pthread_cond_destroy(&h->freed);
	free(h);
}

static int make_slot(struct fl_http *h, struct slot *ret)
{
	struct slot s = {.multi = h->curl->multi_init(), .easy = h->curl->easy_init()};

	if (s.multi && s.easy) {
		*ret = s;
		return 0;
	}
	if (s.multi)
		h->curl->multi_cleanup(s.multi);
	if (s.easy)
		h->curl->easy_cleanup(s.easy);
	return -ENOMEM;
}

static int take_slot(struct fl_http *h, struct slot *ret)
{
	int r;

	pthread_mutex_lock(&h->lock);
	r = start_curl(h);
	while (!r && !h->idle && h->made == h->options.connections && !fl_http_stopped(h)) {
		struct timespec until;

		clock_gettime(CLOCK_REALTIME, &until);
		until.tv_nsec += STOP_POLL_MS * 1000000l;
		until.tv_sec += until.tv_nsec / 1000000000l;
		until.tv_nsec %= 1000000000l;
		pthread_cond_timedwait(&h->freed, &h->lock, &until);
	}
	if (!r && fl_http_stopped(h)) {
		r = stopped();
	} else if (!r && h->idle) {
		*ret = h->slots[--h->idle];
	} else if (!r) {
		r = make_slot(h, ret);
		h->made += !r;
	}
	pthread_mutex_unlock(&h->lock);
	return r;
}

static void give_slot(struct fl_http *h, struct slot s)
{
	pthread_mutex_lock(&h->lock);
	h->slots[h->idle++] = s;
	pthread_cond_signal(&h->freed);
	pthread_mutex_unlock(&h->lock);
}

/* ---- what comes ---- */

static void forget(struct fl_http_answer *a)
{
	struct fl_buf body = a->body;

	fl_buf_reset(&body);
	*a = FL_HTTP_ANSWER;
	a->body = body;
}

static size_t on_header(char *data, size_t size, size_t n, void *ctx)
{
	static const struct {
		const char *name;
		size_t offset;
	} known[] = {
#define ROW(member, name) {name, offsetof(struct fl_http_answer, member)},
	    FL_HTTP_HEADERS(ROW)
#undef ROW
	};
	struct transfer *t = ctx;
	size_t len = size * n;

	if (len > 5 && !memcmp(data, "HTTP/", 5)) { /* after a 100 the headers begin again */
		forget(t->answer);
		return len;
	}
	for (size_t i = 0; i < FL_ARRAY_LEN(known); i++) {
		size_t name_n = strlen(known[i].name), from = name_n + 1, to = len;
		char *to_text = (char *)t->answer + known[i].offset;

		if (len <= name_n || data[name_n] != ':' || strncasecmp(data, known[i].name, name_n))
			continue;
		while (from < to && isspace((unsigned char)data[from]))
			from++;
		while (to > from && isspace((unsigned char)data[to - 1]))
			to--;
		if (to - from < FL_HTTP_VALUE_MAX) {
			memcpy(to_text, data + from, to - from);
			to_text[to - from] = '\0';
		}
	}
	return len;
}

/* Without its query: that has keys and tokens of listings in it. */
static int shown(const struct transfer *t)
{
	return (int)FL_MIN(strcspn(t->request->url, "?"), (size_t)URL_SHOWN);
}

static int too_long(const struct transfer *t, const char *what, unsigned bytes)
{
	return fl_fail(-EPROTO, "%.*s: the server's %s is longer than %u MiB", shown(t), t->request->url, what,
		       bytes >> 20);
}

static size_t on_body(char *data, size_t size, size_t n, void *ctx)
{
	struct transfer *t = ctx;
	struct fl_http_answer *a = t->answer;
	size_t len = size * n, room;
	curl_off_t length = -1;

	if (!a->status) {
		t->http->curl->easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &a->status);
		t->http->curl->easy_getinfo(t->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
		a->length = length >= 0 ? (uint64_t)length : UINT64_MAX;
	}
	if (t->request->sink && (a->status == 200 || a->status == 206)) {
		t->error = t->request->sink(t->request->ctx, data, len);
		return t->error ? 0 : len;
	}
	if (a->status / 100 == 2) {
		t->error = fl_buf_add(&a->body, data, len);
		if (t->error == -E2BIG)
			t->error = too_long(t, "answer", FL_HTTP_BODY_MAX);
		return t->error ? 0 : len;
	}
	room = a->body.len < FL_HTTP_ERROR_MAX ? FL_HTTP_ERROR_MAX - a->body.len : 0;
	t->error = fl_buf_add(&a->body, data, FL_MIN(len, room));
	t->dropped += len - FL_MIN(len, room);
	if (!t->error && t->dropped > DRAIN_MAX)
		t->error = too_long(t, "error message", DRAIN_MAX);
	return t->error ? 0 : len;
}

/* ---- one request ---- */

static int set_headers(struct transfer *t, struct curl_slist **list)
{
	const struct fl_curl *c = t->http->curl;
	struct fl_buf line = FL_BUF(FL_SIGV4_TEXT_MAX);
	struct curl_slist *more;
	bool has_type = false;
	int r = 0;

	for (size_t i = 0; i < t->request->headers_n; i++)
		has_type |= !strcasecmp(t->request->headers[i].name, "Content-Type");
	/* Without this a body of 1 MiB and more waits for a "100 Continue" that some servers never send. */
	*list = c->slist_append(NULL, "Expect:");
	if (!has_type && *list) { /* or libcurl says that a body is a form */
		more = c->slist_append(*list, "Content-Type:");
		r = more ? 0 : -ENOMEM;
	}
	for (size_t i = 0; i < t->request->headers_n && !r && *list; i++) {
		const struct fl_pair *p = &t->request->headers[i];

		fl_buf_reset(&line);
		/* With a semicolon libcurl sends a header that has no value. */
		r = fl_buf_printf(&line, *p->value ? "%s: %s" : "%s;", p->name, p->value);
		more = r ? NULL : c->slist_append(*list, fl_buf_cstr(&line));
		if (!more)
			r = -ENOMEM;
		else
			*list = more;
	}
	if (line.data)
		explicit_bzero(line.data, line.len);
	fl_buf_free(&line);
	return *list ? r : -ENOMEM;
}

static void set_options(struct transfer *t, struct curl_slist *headers)
{
	const struct fl_curl *c = t->http->curl;
	const struct fl_http_request *q = t->request;
	struct fl_http *h = t->http;
	CURL *e = t->easy;

	c->easy_reset(e);
	c->easy_setopt(e, CURLOPT_SHARE, h->share);
	c->easy_setopt(e, CURLOPT_URL, q->url);
	c->easy_setopt(e, CURLOPT_PATH_AS_IS, 1l);
	c->easy_setopt(e, CURLOPT_HTTPHEADER, headers);
	c->easy_setopt(e, CURLOPT_USERAGENT, USER_AGENT);
	c->easy_setopt(e, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	c->easy_setopt(e, CURLOPT_NOSIGNAL, 1l);
	c->easy_setopt(e, CURLOPT_ERRORBUFFER, t->text);
	c->easy_setopt(e, CURLOPT_HEADERFUNCTION, on_header);
	c->easy_setopt(e, CURLOPT_HEADERDATA, t);
	c->easy_setopt(e, CURLOPT_WRITEFUNCTION, on_body);
	c->easy_setopt(e, CURLOPT_WRITEDATA, t);
	c->easy_setopt(e, CURLOPT_BUFFERSIZE, (long)BUFFER_BYTES);
	c->easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, q->total_ms ? (long)q->total_ms : (long)CONNECT_MS);
	c->easy_setopt(e, CURLOPT_TIMEOUT_MS, (long)q->total_ms);
	c->easy_setopt(e, CURLOPT_LOW_SPEED_LIMIT, 1l);
	c->easy_setopt(e, CURLOPT_LOW_SPEED_TIME, (long)h->options.stall_s);
	c->easy_setopt(e, CURLOPT_TCP_KEEPALIVE, 1l);
	if (h->ca_bundle)
		c->easy_setopt(e, CURLOPT_CAINFO, h->ca_bundle);
	if (q->no_proxy)
		c->easy_setopt(e, CURLOPT_NOPROXY, "*");
	if (!strcmp(q->method, "HEAD")) {
		c->easy_setopt(e, CURLOPT_NOBODY, 1l);
	} else if (strcmp(q->method, "GET") != 0) {
		c->easy_setopt(e, CURLOPT_POST, 1l);
		c->easy_setopt(e, CURLOPT_POSTFIELDS, q->body ? q->body : "");
		c->easy_setopt(e, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)q->body_n);
		c->easy_setopt(e, CURLOPT_CUSTOMREQUEST, q->method);
	}
}

/* What libcurl says to the number that says it here. */
static int map_error(struct transfer *t, CURLcode code)
{
	static const struct {
		CURLcode code;
		int error;
		bool again;
	} rows[] = {
	    {CURLE_COULDNT_RESOLVE_HOST, -EHOSTUNREACH, true},
	    {CURLE_COULDNT_RESOLVE_PROXY, -EHOSTUNREACH, true},
	    {CURLE_COULDNT_CONNECT, -ECONNREFUSED, true},
	    {CURLE_OPERATION_TIMEDOUT, -ETIMEDOUT, true},
	    {CURLE_PARTIAL_FILE, -ECONNRESET, true},
	    {CURLE_RECV_ERROR, -ECONNRESET, true},
	    {CURLE_SEND_ERROR, -ECONNRESET, true},
	    {CURLE_GOT_NOTHING, -ECONNRESET, true},
	    {CURLE_SSL_CONNECT_ERROR, -ECONNRESET, true},
	    {CURLE_OUT_OF_MEMORY, -ENOMEM, false},
	    {CURLE_URL_MALFORMAT, -EINVAL, false},
	    {CURLE_PEER_FAILED_VERIFICATION, -EACCES, false},
	    {CURLE_SSL_CACERT_BADFILE, -EINVAL, false},
	    {CURLE_UNSUPPORTED_PROTOCOL, -EINVAL, false},
	};
	const char *why = *t->text ? t->text : t->http->curl->easy_strerror(code);
	const char *remedy = "";
	int error = -EPROTO;

	for (size_t i = 0; i < FL_ARRAY_LEN(rows); i++) {
		if (rows[i].code != code)
			continue;
		error = rows[i].error;
		t->answer->again = rows[i].again;
	}
	t->answer->refused = code == CURLE_COULDNT_CONNECT || code == CURLE_COULDNT_RESOLVE_HOST;
	if (code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_SSL_CACERT_BADFILE)
		remedy = "; name the authority's certificates with AWS_CA_BUNDLE=/path";
	return fl_fail(error, "%.*s: %s%s", shown(t), t->request->url, why, remedy);
}

static int drive(struct transfer *t, CURLM *multi)
{
	const struct fl_curl *c = t->http->curl;
	int running = 1, left;
	CURLMcode m = CURLM_OK;

	while (running && !m && !fl_http_stopped(t->http)) {
		m = c->multi_perform(multi, &running);
		if (!m && running)
			m = c->multi_poll(multi, NULL, 0, STOP_POLL_MS, NULL);
	}
	if (running && fl_http_stopped(t->http))
		return stopped();
	if (m)
		return fl_fail(-EIO, "%.*s: the transfer failed inside libcurl (%d)", shown(t), t->request->url,
			       (int)m);
	for (CURLMsg *msg; (msg = c->multi_info_read(multi, &left));)
		if (msg->msg == CURLMSG_DONE && msg->data.result)
			return t->error ? t->error : map_error(t, msg->data.result);
	return 0;
}

int fl_http_do(struct fl_http *h, const struct fl_http_request *request, struct fl_http_answer *ret)
{
	struct transfer t = {.http = h, .request = request, .answer = ret};
	struct curl_slist *headers = NULL;
	struct slot s = {0};
	curl_off_t length = -1;
	int r;

	forget(ret);
	if (strncmp(request->url, "http://", 7) != 0 && strncmp(request->url, "https://", 8) != 0)
		return fl_fail(-EINVAL, "%.200s: an endpoint begins with http:// or https://", request->url);
	r = take_slot(h, &s);
	if (r)
		return r;
	t.easy = s.easy;
	r = set_headers(&t, &headers);
	if (!r) {
		set_options(&t, headers);
		r = h->curl->multi_add_handle(s.multi, s.easy) ? -ENOMEM : drive(&t, s.multi);
		h->curl->easy_getinfo(s.easy, CURLINFO_RESPONSE_CODE, &ret->status);
		h->curl->easy_getinfo(s.easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
		ret->length = length >= 0 ? (uint64_t)length : UINT64_MAX;
		h->curl->multi_remove_handle(s.multi, s.easy);
	}
	h->curl->slist_free_all(headers);
	give_slot(h, s);
	return r;
}
