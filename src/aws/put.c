/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "aws/client.h"
#include "base/error.h"

#define PUT_HEADERS_MAX 12

static int check_header(const struct fl_s3_header *h)
{
	bool good = *h->name && *h->value;

	for (const char *p = h->name; *p; p++)
		good &= isalnum((unsigned char)*p) || *p == '-';
	for (const char *p = h->value; *p; p++)
		good &= (unsigned char)*p >= ' ' && *p != 0x7f;
	return good ? 0 : fl_fail(-EINVAL, "\"%.80s\": not a header's name and value", h->name);
}

int fl_s3_put(struct fl_s3 *s, const char *bucket, const char *key, const void *data, size_t n,
	      const struct fl_s3_header *headers, size_t headers_n, char ret_etag[FL_S3_ETAG_MAX])
{
	struct fl_http_answer answer = FL_HTTP_ANSWER;
	struct fl_pair pairs[PUT_HEADERS_MAX];
	struct fl_s3_call call = {.method = "PUT",
				  .bucket = bucket,
				  .key = key,
				  .headers = pairs,
				  .headers_n = headers_n,
				  .body = data,
				  .body_n = n};
	int r = fl_s3_check_names(bucket, key);

	if (!r && !*key)
		r = fl_fail(-EINVAL, "s3://%s/: an object has a key", bucket);
	if (!r && n > FL_S3_PUT_MAX)
		r = fl_fail(-EFBIG, "s3://%s/%s: %zu bytes are more than one request may carry", bucket, key, n);
	if (!r && headers_n > PUT_HEADERS_MAX)
		r = fl_fail(-E2BIG, "s3://%s/%s: %zu headers; %d at most", bucket, key, headers_n, PUT_HEADERS_MAX);
	for (size_t i = 0; i < headers_n && !r; i++) {
		pairs[i] = (struct fl_pair){headers[i].name, headers[i].value};
		r = check_header(&headers[i]);
	}
	if (!r)
		r = fl_s3_call(s, &call, &answer);
	if (!r && ret_etag)
		snprintf(ret_etag, FL_S3_ETAG_MAX, "%.*s", FL_S3_ETAG_MAX - 1, answer.etag);
	fl_http_answer_free(&answer);
	return r;
}
