/* SPDX-License-Identifier: Apache-2.0 */
/* A format string of any bytes. What is accepted prints as itself, and records in it keep their ceiling. */
#include <stdlib.h>
#include <string.h>

#include "record/record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void encode(const struct fl_format *f, enum fl_output output)
{
	struct fl_buf out FL_CLEANUP(fl_buf_free) = FL_BUF(2 * FL_RECORD_MAX);
	struct fl_encoder *e FL_CLEANUP(fl_encoder_free) = NULL;
	struct fl_record r = {.packets = 3,
			      .bytes = UINT64_MAX,
			      .start = 1,
			      .end = INT64_MAX,
			      .key = {.dirfam = FL_KEY_V6 | FL_DIR_EGRESS}};
	struct fl_eni eni = {.name = "a \"name\""};

	if (fl_encoder_new(&e, f, output) || fl_encoder_set_eni(e, &eni))
		return;
	for (unsigned status = 0; status < FL_STATUS_N; status++) {
		r.status = (uint8_t)status;
		fl_buf_reset(&out);
		if (fl_encode(e, &r, NULL, &out) || !out.len || out.len > FL_RECORD_MAX ||
		    out.data[out.len - 1] != '\n')
			abort();
	}
}

static void parse(enum fl_log_kind kind, const char *text)
{
	struct fl_format *f FL_CLEANUP(fl_format_free) = NULL, *again FL_CLEANUP(fl_format_free) = NULL;

	if (fl_format_parse(&f, kind, text))
		return;
	if (fl_format_parse(&again, kind, fl_format_text(f)) || strcmp(fl_format_text(f), fl_format_text(again)) ||
	    fl_format_len(f) != fl_format_len(again) || fl_format_version(f) != fl_format_version(again))
		abort();
	/* A preset's name is short for its fields; everything else is its own text. */
	if (*text == '$' && strcmp(text, fl_format_text(f)))
		abort();
	for (unsigned output = 0; output < FL_OUTPUT_N; output++)
		encode(f, (enum fl_output)output);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	char *text = malloc(n + 1);

	if (!text)
		abort();
	memcpy(text, data, n);
	text[n] = '\0';
	parse(FL_LOG_VPC, text);
	parse(FL_LOG_TGW, text);
	free(text);
	return 0;
}
