/* SPDX-License-Identifier: Apache-2.0 */
/* A header line and a record line of any bytes. What decodes prints, and what it prints decodes to the same print. */
#include <stdlib.h>
#include <string.h>

#include "record/record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* false: not a record of the format. */
static bool print(const struct fl_format *f, const char *line, size_t n, struct fl_buf *out)
{
	struct fl_encoder *e FL_CLEANUP(fl_encoder_free) = NULL;
	struct fl_values values;
	struct fl_record record;
	struct fl_record_meta *meta = malloc(sizeof *meta);
	struct fl_eni eni;
	bool good;

	if (!meta)
		abort();
	good = fl_decode_line(f, line, n, &values) == FL_LINE_OK && !fl_decode_record(f, &values, &record, &eni, meta);
	if (good && (fl_encoder_new(&e, f, FL_OUTPUT_TEXT) || fl_encoder_set_eni(e, &eni)))
		good = false;
	if (good && fl_encode(e, &record, meta, out))
		good = false; /* longer than a record may be */
	free(meta);
	return good;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct fl_buf first FL_CLEANUP(fl_buf_free) = FL_BUF(2 * FL_RECORD_MAX),
			    second FL_CLEANUP(fl_buf_free) = FL_BUF(2 * FL_RECORD_MAX);
	struct fl_format *f FL_CLEANUP(fl_format_free) = NULL;
	const char *text = (const char *)data, *end = n ? memchr(text, '\n', n) : NULL;

	if (!end || fl_format_from_header(&f, text, (size_t)(end - text)))
		return 0;
	if (!print(f, end + 1, n - (size_t)(end + 1 - text), &first))
		return 0;
	if (!print(f, first.data, first.len, &second) || first.len != second.len ||
	    memcmp(first.data, second.data, first.len))
		abort();
	return 0;
}
