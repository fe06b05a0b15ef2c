/* SPDX-License-Identifier: Apache-2.0 */
#include "aws/sigv4.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/hash.h"

#define ALGORITHM "AWS4-HMAC-SHA256"
#define DATE_LEN 16 /* 20150830T123600Z */
#define DAY_LEN 8
#define HMAC_BLOCK 64 /* RFC 2104, SHA-256 */
#define HMAC_TEXT_MAX 4096

void fl_sha256_hex(const void *data, size_t n, char ret[FL_SHA256_HEX])
{
	uint8_t digest[32];

	fl_sha256(data, n, digest);
	fl_hex(digest, sizeof digest, ret);
}

/* RFC 2104. All texts signed here are short: the day, names of region and service, the string to sign. */
static int hmac(const void *key, size_t key_n, const void *text, size_t n, uint8_t ret[32])
{
	uint8_t block[HMAC_BLOCK + HMAC_TEXT_MAX], outer[HMAC_BLOCK + 32], pad[HMAC_BLOCK] = {0};

	if (n > HMAC_TEXT_MAX)
		return fl_fail(-E2BIG, "a text of %zu bytes is too long to be signed", n);
	if (key_n > sizeof pad)
		fl_sha256(key, key_n, pad);
	else
		memcpy(pad, key, key_n);
	for (size_t i = 0; i < sizeof pad; i++) {
		block[i] = pad[i] ^ 0x36;
		outer[i] = pad[i] ^ 0x5c;
	}
	memcpy(block + HMAC_BLOCK, text, n);
	fl_sha256(block, HMAC_BLOCK + n, outer + HMAC_BLOCK);
	fl_sha256(outer, sizeof outer, ret);
	explicit_bzero(pad, sizeof pad);
	explicit_bzero(block, HMAC_BLOCK);
	explicit_bzero(outer, sizeof outer);
	return 0;
}

static bool is_unreserved(unsigned char c)
{
	return isalnum(c) || c == '-' || c == '.' || c == '_' || c == '~';
}

int fl_uri_encode(struct fl_buf *out, const char *text, size_t n, bool keep_slash)
{
	static const char digits[] = "0123456789ABCDEF";

	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)text[i];
		bool plain = c < 0x80 && (is_unreserved(c) || (keep_slash && c == '/'));
		char coded[3] = {'%', digits[c >> 4], digits[c & 15]};
		int r = plain ? fl_buf_add(out, &c, 1) : fl_buf_add(out, coded, sizeof coded);

		if (r)
			return r;
	}
	return 0;
}

/* ---- the query ---- */

struct encoded {
	struct fl_str name, value;
	size_t at; /* as given: equal ones keep their order */
};

static int compare_str(struct fl_str a, struct fl_str b)
{
	int c = memcmp(a.p, b.p, FL_MIN(a.n, b.n));

	return c ? c : (a.n > b.n) - (a.n < b.n);
}

static int compare_encoded(const void *a, const void *b)
{
	const struct encoded *x = a, *y = b;
	int c = compare_str(x->name, y->name);

	if (!c)
		c = compare_str(x->value, y->value);
	return c ? c : (x->at > y->at) - (x->at < y->at);
}

/* Sorted after the encoding: by the bytes of names, then of values. */
int fl_sigv4_query(const struct fl_pair *query, size_t n, struct fl_buf *out)
{
	struct fl_buf text FL_CLEANUP(fl_buf_free) = FL_BUF(FL_SIGV4_TEXT_MAX);
	struct encoded e[FL_SIGV4_PAIRS_MAX];
	size_t ends[2 * FL_SIGV4_PAIRS_MAX];
	size_t at = 0;
	int r = 0;

	if (n > FL_SIGV4_PAIRS_MAX)
		return fl_fail(-EINVAL, "%zu parameters in a request; %d at most", n, FL_SIGV4_PAIRS_MAX);
	for (size_t i = 0; i < n && !r; i++) {
		r = fl_uri_encode(&text, query[i].name, strlen(query[i].name), false);
		ends[2 * i] = text.len;
		if (!r)
			r = fl_uri_encode(&text, query[i].value, strlen(query[i].value), false);
		ends[2 * i + 1] = text.len;
	}
	if (r)
		return r;
	for (size_t i = 0; i < n; i++) {
		const char *base = fl_buf_cstr(&text);

		e[i] = (struct encoded){.name = {base + at, ends[2 * i] - at},
					.value = {base + ends[2 * i], ends[2 * i + 1] - ends[2 * i]},
					.at = i};
		at = ends[2 * i + 1];
	}
	qsort(e, n, sizeof *e, compare_encoded);
	for (size_t i = 0; i < n && !r; i++) {
		r = i ? fl_buf_add(out, "&", 1) : 0;
		if (!r)
			r = fl_buf_add(out, e[i].name.p, e[i].name.n);
		if (!r)
			r = fl_buf_add(out, "=", 1);
		if (!r)
			r = fl_buf_add(out, e[i].value.p, e[i].value.n);
	}
	return r;
}

/* ---- headers ---- */

struct header {
	const struct fl_pair *pair;
	size_t at;
};

static int compare_header(const void *a, const void *b)
{
	const struct header *x = a, *y = b;
	int c = strcasecmp(x->pair->name, y->pair->name);

	return c ? c : (x->at > y->at) - (x->at < y->at);
}

static int sort_headers(const struct fl_sigv4 *r, struct header ret[FL_SIGV4_PAIRS_MAX])
{
	if (r->headers_n > FL_SIGV4_PAIRS_MAX)
		return fl_fail(-EINVAL, "%zu headers in a request; %d at most", r->headers_n, FL_SIGV4_PAIRS_MAX);
	for (size_t i = 0; i < r->headers_n; i++)
		ret[i] = (struct header){&r->headers[i], i};
	qsort(ret, r->headers_n, sizeof *ret, compare_header);
	return 0;
}

static int add_lower(struct fl_buf *out, const char *name)
{
	int r = 0;

	for (; *name && !r; name++) {
		char c = (char)tolower((unsigned char)*name);

		r = fl_buf_add(out, &c, 1);
	}
	return r;
}

/* Without spaces around, runs of spaces as one. */
static int add_trimmed(struct fl_buf *out, const char *value)
{
	int r = 0;

	while (*value == ' ' || *value == '\t')
		value++;
	for (; *value && !r; value++) {
		bool space = *value == ' ' || *value == '\t' || *value == '\n';

		if (!space)
			r = fl_buf_add(out, value, 1);
		else if (value[1] && !strchr(" \t\n", value[1]))
			r = fl_buf_add(out, " ", 1);
	}
	return r;
}

static bool same_name(const struct header *h, size_t i)
{
	return i && !strcasecmp(h[i].pair->name, h[i - 1].pair->name);
}

static int add_headers(const struct fl_sigv4 *req, const struct header *h, struct fl_buf *out)
{
	int r = 0;

	for (size_t i = 0; i < req->headers_n && !r; i++) {
		if (same_name(h, i)) {
			r = fl_buf_add(out, ",", 1);
		} else {
			r = i ? fl_buf_add(out, "\n", 1) : 0;
			if (!r)
				r = add_lower(out, h[i].pair->name);
			if (!r)
				r = fl_buf_add(out, ":", 1);
		}
		if (!r)
			r = add_trimmed(out, h[i].pair->value);
	}
	return r ? r : fl_buf_adds(out, "\n");
}

static int add_signed_names(const struct fl_sigv4 *req, const struct header *h, struct fl_buf *out)
{
	int r = 0;

	for (size_t i = 0; i < req->headers_n && !r; i++) {
		if (same_name(h, i))
			continue;
		r = i ? fl_buf_add(out, ";", 1) : 0;
		if (!r)
			r = add_lower(out, h[i].pair->name);
	}
	return r;
}

/* ---- the path ---- */

/* RFC 3986 section 5.2.4, and runs of slashes as one. ret holds n + 2 bytes. */
static void normalise(const char *path, size_t n, char *ret)
{
	size_t len = 0, i = 0;

	while (i < n) {
		size_t start, part;

		while (i < n && path[i] == '/')
			i++;
		start = i;
		while (i < n && path[i] != '/')
			i++;
		part = i - start;
		if (!part || (part == 1 && path[start] == '.'))
			continue;
		if (part == 2 && path[start] == '.' && path[start + 1] == '.') {
			while (len && ret[--len] != '/')
				;
			continue;
		}
		ret[len++] = '/';
		memcpy(ret + len, path + start, part);
		len += part;
	}
	/* A slash at the end stays, unless the last part was taken away with it. */
	if (!len || path[n - 1] == '/')
		ret[len++] = '/';
	ret[len] = '\0';
}

static int add_path(const struct fl_sigv4 *r, struct fl_buf *out)
{
	size_t n = strlen(r->path);
	char *plain FL_CLEANUP(fl_freep) = NULL;

	if (!n)
		return fl_buf_add(out, "/", 1);
	if (r->s3)
		return fl_buf_add(out, r->path, n);
	plain = malloc(n + 2);
	if (!plain)
		return -ENOMEM;
	normalise(r->path, n, plain);
	return fl_uri_encode(out, plain, strlen(plain), true);
}

/* ---- the three texts ---- */

int fl_sigv4_canonical(const struct fl_sigv4 *req, struct fl_buf *out)
{
	struct header h[FL_SIGV4_PAIRS_MAX];
	int r = sort_headers(req, h);

	if (!r)
		r = fl_buf_printf(out, "%s\n", req->method);
	if (!r)
		r = add_path(req, out);
	if (!r)
		r = fl_buf_adds(out, "\n");
	if (!r)
		r = fl_sigv4_query(req->query, req->query_n, out);
	if (!r)
		r = fl_buf_adds(out, "\n");
	if (!r)
		r = add_headers(req, h, out);
	if (!r)
		r = fl_buf_adds(out, "\n");
	if (!r)
		r = add_signed_names(req, h, out);
	return r ? r : fl_buf_printf(out, "\n%s", req->payload_sha256);
}

static int check_date(const char *date)
{
	if (strlen(date) == DATE_LEN && date[DAY_LEN] == 'T' && date[DATE_LEN - 1] == 'Z')
		return 0;
	return fl_fail(-EINVAL, "%s: a signature's date is like 20150830T123600Z", date);
}

int fl_sigv4_string(const struct fl_sigv4 *req, struct fl_buf *out)
{
	struct fl_buf canonical FL_CLEANUP(fl_buf_free) = FL_BUF(FL_SIGV4_TEXT_MAX);
	char digest[FL_SHA256_HEX];
	int r = check_date(req->date);

	if (!r)
		r = fl_sigv4_canonical(req, &canonical);
	if (r)
		return r;
	fl_sha256_hex(canonical.data, canonical.len, digest);
	return fl_buf_printf(out, ALGORITHM "\n%s\n%.*s/%s/%s/aws4_request\n%s", req->date, DAY_LEN, req->date,
			     req->region, req->service, digest);
}

static int signature(const struct fl_sigv4 *req, char ret[FL_SHA256_HEX])
{
	struct fl_buf text FL_CLEANUP(fl_buf_free) = FL_BUF(HMAC_TEXT_MAX);
	struct fl_buf secret = FL_BUF(HMAC_TEXT_MAX);
	uint8_t key[32];
	int r = fl_sigv4_string(req, &text);

	if (!r)
		r = fl_buf_printf(&secret, "AWS4%s", req->secret);
	if (!r)
		r = hmac(secret.data, secret.len, req->date, DAY_LEN, key);
	if (!r)
		r = hmac(key, sizeof key, req->region, strlen(req->region), key);
	if (!r)
		r = hmac(key, sizeof key, req->service, strlen(req->service), key);
	if (!r)
		r = hmac(key, sizeof key, "aws4_request", strlen("aws4_request"), key);
	if (!r)
		r = hmac(key, sizeof key, text.data, text.len, key);
	fl_hex(key, r ? 0 : sizeof key, ret);
	explicit_bzero(key, sizeof key);
	if (secret.data)
		explicit_bzero(secret.data, secret.len);
	fl_buf_free(&secret);
	return r;
}

int fl_sigv4_authorization(const struct fl_sigv4 *req, struct fl_buf *out)
{
	struct header h[FL_SIGV4_PAIRS_MAX];
	char hex[FL_SHA256_HEX];
	int r = sort_headers(req, h);

	if (!r)
		r = signature(req, hex);
	if (!r)
		r = fl_buf_printf(out, ALGORITHM " Credential=%s/%.*s/%s/%s/aws4_request, SignedHeaders=", req->key_id,
				  DAY_LEN, req->date, req->region, req->service);
	if (!r)
		r = add_signed_names(req, h, out);
	return r ? r : fl_buf_printf(out, ", Signature=%s", hex);
}
