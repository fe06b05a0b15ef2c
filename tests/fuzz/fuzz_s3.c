/* SPDX-License-Identifier: Apache-2.0 */
/* An answer of a server of any bytes, as a page of a listing; and the same bytes as a listing that was kept. */
#include <stdlib.h>
#include <string.h>

#include "aws/page.h"
#include "aws/sigv4.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static int check(void *ctx, const struct fl_s3_object *o)
{
	size_t len = strlen(o->key);

	if (!len || len >= FL_S3_KEY_MAX || (o->is_prefix && len <= 1))
		abort();
	return 0;
}

/* What is kept of it comes back as it is. */
static int keep(void *ctx, const struct fl_s3_object *o)
{
	check(NULL, o);
	return o->is_prefix ? 0 : fl_s3_listing_add(ctx, o);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct fl_buf text = FL_BUF(16u << 20), again = FL_BUF(16u << 20);
	struct fl_s3_page *p = calloc(1, sizeof *p);

	if (!p)
		abort();
	*p = (struct fl_s3_page){.prefix = "p", .delimited = true, .fn = keep, .ctx = &text};
	(void)fl_s3_page_read(p, (const char *)data, n);
	if (fl_s3_listing_end(&text) || !fl_s3_listing_check(text.data, text.len) ||
	    fl_s3_listing_read(text.data, text.len, keep, &again) || fl_s3_listing_end(&again) ||
	    text.len != again.len || memcmp(text.data, again.data, text.len) != 0)
		abort();
	(void)fl_s3_listing_check((const char *)data, n);
	(void)fl_s3_listing_read((const char *)data, n, check, NULL);
	fl_buf_free(&text);
	fl_buf_free(&again);
	free(p);
	return 0;
}
