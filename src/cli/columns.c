/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/columns.h"

static int add(struct fl_buf *text, enum fl_output output, const char *name, const char *value)
{
	if (output != FL_OUTPUT_JSON)
		return fl_buf_printf(text, "%c%s", output == FL_OUTPUT_CSV ? ',' : ' ', *value ? value : "-");
	return *value ? fl_buf_printf(text, ",\"%s\":\"%s\"", name, value) : fl_buf_printf(text, ",\"%s\":null", name);
}

/* The values are words: nothing in them needs quotes or escapes (journal/journal.h). */
static int add_all(struct fl_buf *text, enum fl_output output, const char *const value[FL_VERDICT_COLUMNS])
{
	const bool json = output == FL_OUTPUT_JSON;
	int r = 0;

	text->len -= json ? 2 : 1; /* the end of the line */
	for (unsigned i = 0; !r && i < FL_VERDICT_COLUMNS; i++)
		r = add(text, output, fl_verdict_columns[i], value[i]);
	return r ? r : fl_buf_adds(text, json ? "}\n" : "\n");
}

int fl_columns_add_verdict(struct fl_buf *text, enum fl_output output, const struct fl_verdict_values *v)
{
	return add_all(text, output, v->value);
}

int fl_columns_add_verdict_header(struct fl_buf *text, enum fl_output output)
{
	return output == FL_OUTPUT_JSON ? 0 : add_all(text, output, fl_verdict_columns);
}
