/* SPDX-License-Identifier: Apache-2.0 */
/* A filter of any bytes. What is understood prints as words that mean the same, and print so again. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "scan/words.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static bool lacks(void *ctx, const char *column)
{
	(void)ctx;
	return strlen(column) % 2;
}

/* What a file may hold that has every other column: words of the same kind. */
static void without_columns(const struct fl_filter *f)
{
	struct fl_buf text FL_CLEANUP(fl_buf_free) = FL_BUF(1 << 22);
	struct fl_filter *g FL_CLEANUP(fl_filter_free) = NULL;
	const char *names[FL_BATCH_COLUMNS];
	bool hangs;

	if (fl_filter_assume(&g, &hangs, f, lacks, NULL))
		return; /* more nots than there may be levels */
	for (size_t n = fl_filter_columns(g, names); n > 0; n--)
		if (lacks(NULL, names[n - 1]))
			abort();
	if ((g && !hangs) || fl_filter_print(g, &text))
		abort();
}

static void again(const struct fl_filter *f)
{
	struct fl_buf first FL_CLEANUP(fl_buf_free) = FL_BUF(1 << 22), second FL_CLEANUP(fl_buf_free) = FL_BUF(1 << 22);
	struct fl_filter *g FL_CLEANUP(fl_filter_free) = NULL;
	struct fl_addr literal[FL_FILTER_LITERALS];
	int64_t since, until;
	int r;

	if (fl_filter_print(f, &first))
		abort();
	fl_filter_times(f, &since, &until);
	if (fl_filter_literals(f, literal) > FL_FILTER_LITERALS)
		abort();
	r = fl_words_parse(&g, fl_buf_cstr(&first), NULL);
	if (r == -E2BIG) /* brackets that were not needed */
		return;
	if (r || fl_filter_print(g, &second) || strcmp(fl_buf_cstr(&first), fl_buf_cstr(&second)))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct fl_filter *f FL_CLEANUP(fl_filter_free) = NULL;
	char *text = malloc(n + 1);

	if (!text)
		abort();
	memcpy(text, data, n);
	text[n] = '\0';
	if (!fl_words_parse(&f, text, NULL) && f) {
		again(f);
		without_columns(f);
	}
	free(text);
	return 0;
}
