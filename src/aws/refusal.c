/* SPDX-License-Identifier: Apache-2.0 */
#include "aws/refusal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "aws/xml.h"
#include "base/error.h"
#include "base/grid.h"

static int on_element(void *ctx, const char *const *path, unsigned depth, const char *text)
{
	struct fl_refusal *f = ctx;

	if (!text || depth != 2 || strcmp(path[0], "Error") != 0)
		return 0;
	if (!strcmp(path[1], "Code"))
		snprintf(f->code, sizeof f->code, "%s", text);
	else if (!strcmp(path[1], "Message"))
		snprintf(f->message, sizeof f->message, "%s", text);
	else if (!strcmp(path[1], "Region"))
		snprintf(f->region, sizeof f->region, "%s", text);
	return 0;
}

/* Not XML: a proxy, or no S3 at all. What was read of it stays. */
void fl_refusal_read(const struct fl_http_answer *answer, struct fl_refusal *ret)
{
	*ret = (struct fl_refusal){0};
	if (answer->body.len && fl_xml_parse(answer->body.data, answer->body.len, on_element, ret))
		fl_error_clear();
	if (*answer->region)
		snprintf(ret->region, sizeof ret->region, "%.*s", FL_S3_REGION_MAX - 1, answer->region);
}

/* The message of the server is shown where it knows more than the code. */
static const struct row {
	const char *code;
	int error;
	const char *text;
	const char *remedy; /* NULL: read_remedy's */
	bool names_credentials, shows_message;
} rows[] = {
    {"NoSuchBucket", -ENOENT, "there is no such bucket", "", false, false},
    {"NoSuchKey", -ENOENT, "there is no such object", "", false, false},
    {"SignatureDoesNotMatch", -EACCES,
     "the signature is not accepted: the secret access key is not the one of this access key ID",
     "; check both (a copied space or a missing character is enough)", true, false},
    {"InvalidAccessKeyId", -EACCES, "the access key ID is not known there",
     "; check it, and that --endpoint-url or --region name the place it is for", true, false},
    {"XAdminUserNotFound", -EACCES, "the access key ID is not known there", "; check it", true, false}, /* versitygw */
    {"ExpiredToken", -EKEYEXPIRED, "the credentials have expired", "; renew them", true, false},
    {"InvalidToken", -EKEYEXPIRED, "the session token is not valid", "; renew it together with its keys", true, false},
    {"TokenRefreshRequired", -EKEYEXPIRED, "the credentials have to be renewed", "", true, false},
    {"RequestTimeTooSkewed", -EACCES, "the clock of this machine is too far from the server's", "; set it", false,
     true},
    {"InvalidObjectState", -EACCES, "the object is archived", "; restore it first (aws s3api restore-object)", false,
     false},
    {"AllAccessDisabled", -EACCES, "all access to the bucket is disabled", "", false, false},
    {"PermanentRedirect", -EREMOTE, "the bucket is at another endpoint", "; name its region with --region", false,
     true},
    {"AuthorizationHeaderMalformed", -EREMOTE, "the region of the signature is not the bucket's",
     "; name it with --region", false, true},
    {"SlowDown", -EBUSY, "the server asks to slow down, and did so at every attempt", "; try again later", false,
     false},
    {"ServiceUnavailable", -EBUSY, "the server was not available at any attempt", "; try again later", false, true},
};

/* Without a code that is known: by the status, from `least` to `most`. put: of a PUT, else of what reads. */
static const struct {
	long least, most;
	bool put;
	struct row row;
} by_status[] = {
    {401, 403, true, {NULL, -EACCES, "access is denied", "; ask for s3:PutObject on it", true, true}},
    {401, 403, false, {NULL, -EACCES, "access is denied", NULL, true, true}},
    {404, 404, true, {NULL, -ENOENT, "there is no such bucket", "", false, false}},
    {404, 404, false, {NULL, -ENOENT, "there is no such bucket or object", "", false, false}},
    {412, 412, true, {NULL, -EEXIST, "there is such an object already", "", false, false}},
    {412, 412, false, {NULL, -ESTALE, "the object was replaced while it was read", "", false, false}},
    {416, 416, false, {NULL, -ERANGE, "the object ends before what was asked for", "", false, false}},
    {500, 599, false, {NULL, -EBUSY, "the server failed at every attempt", "; try again later", false, true}},
    {500, 599, true, {NULL, -EBUSY, "the server failed at every attempt", "; try again later", false, true}},
};

static const char *read_remedy(const struct fl_s3 *s)
{
	if (s->anonymous)
		return "; it is not public: leave --anonymous away";
	if (!s->requester_pays)
		return "; ask for s3:ListBucket on the bucket and s3:GetObject on what is in it, or add "
		       "--requester-pays if the reader pays for it";
	return "; ask for s3:ListBucket on the bucket and s3:GetObject on what is in it";
}

static const struct row *row_of(bool put, long status, const char *code)
{
	static const struct row other = {NULL, -EPROTO, "the server refuses", "", false, true};

	for (size_t i = 0; i < FL_ARRAY_LEN(rows); i++)
		if (!strcmp(rows[i].code, code))
			return &rows[i];
	for (size_t i = 0; i < FL_ARRAY_LEN(by_status); i++)
		if (status >= by_status[i].least && status <= by_status[i].most && put == by_status[i].put)
			return &by_status[i].row;
	return &other;
}

int fl_refusal_explain(const struct fl_s3 *s, const struct fl_s3_call *call, const struct fl_http_answer *answer,
		       const struct fl_refusal *refusal, const char *from)
{
	struct fl_buf message FL_CLEANUP(fl_buf_free) = FL_BUF(8192);
	const struct row *row = row_of(!strcmp(call->method, "PUT"), answer->status, refusal->code);

	(void)fl_buf_printf(&message, "%ld", answer->status);
	if (*refusal->code)
		(void)(fl_buf_adds(&message, " ") || fl_grid_clean(&message, refusal->code, strlen(refusal->code)));
	if (row->shows_message && *refusal->message)
		(void)(fl_buf_adds(&message, ": ") ||
		       fl_grid_clean(&message, refusal->message, strlen(refusal->message)));
	return fl_fail(row->error, "s3://%s/%s: %s (%s)%s%s%s", call->bucket, call->key ? call->key : "", row->text,
		       fl_buf_cstr(&message), row->names_credentials && !s->anonymous ? ", as " : "",
		       row->names_credentials && !s->anonymous ? from : "", row->remedy ? row->remedy : read_remedy(s));
}
