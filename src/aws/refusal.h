/* SPDX-License-Identifier: Apache-2.0 */
/* What S3 refuses with, in words. */
#pragma once

#include "aws/client.h"

struct fl_refusal { /* of an <Error>; "" where it says nothing */
	char code[128], message[512], region[FL_S3_REGION_MAX];
};
void fl_refusal_read(const struct fl_http_answer *answer, struct fl_refusal *ret);
/* The sentence and its number. from: whose credentials. Never 0. */
int fl_refusal_explain(const struct fl_s3 *s, const struct fl_s3_call *call, const struct fl_http_answer *answer,
		       const struct fl_refusal *refusal, const char *from);
