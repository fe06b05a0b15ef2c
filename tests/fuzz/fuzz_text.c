/* SPDX-License-Identifier: Apache-2.0 */
/* Text of any bytes: every kernel reads the same of it as the slow and obvious scanner does. The first byte chooses the
 * format, the filter and where blocks are cut. */
#include <stdlib.h>
#include <string.h>

#include "../scan/text_reference.h"
#include "scan/kernels.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static const struct {
	const char *format, *columns[6];
} shapes[] = {
    {"default", {"srcaddr", "dstport", "bytes", "start", "action", "interface_id"}},
    {"${srcaddr} ${bytes}", {"bytes", "srcaddr", "pkt_dstaddr"}},
    {"${log-status}", {"log_status"}},
    {"${vpc-id} ${dstaddr} ${protocol} ${tcp-flags} ${end}", {"vpc_id", "dstaddr", "protocol", "tcp_flags", "end"}},
};

static struct fl_filter *filter_of(unsigned which, const char *address)
{
	struct fl_filter *f = NULL, *g = NULL;
	struct fl_cidr one;
	int r = 0;

	switch (which) {
	case 1:
		r = fl_cidr_parse("10.0.0.1", 8, &one);
		if (!r)
			r = fl_filter_cidr(&f, address, &one);
		break;
	case 2:
		r = fl_filter_number(&f, "bytes", FL_OP_GT, 7);
		if (!r)
			r = fl_filter_is_null(&g, "protocol");
		if (!r)
			r = fl_filter_or(&f, f, g);
		break;
	case 3:
		r = fl_filter_text(&f, "log_status", "OK", 2);
		break;
	}
	if (r)
		abort();
	return f;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const size_t blocks[] = {0, 1, 64, 100};
	struct fl_column_def columns[FL_ARRAY_LEN(shapes[0].columns)];
	struct scan_case c = {.columns = columns};
	struct scan_result expected, got;
	struct fl_filter *filter;
	unsigned shape, choice;

	if (!n)
		return 0;
	choice = *data++;
	n--;
	shape = choice & 3;
	c.format = shapes[shape].format;
	for (; c.n_columns < FL_ARRAY_LEN(columns) && shapes[shape].columns[c.n_columns]; c.n_columns++)
		fl_column_find(shapes[shape].columns[c.n_columns], &columns[c.n_columns]);
	c.filter = filter = filter_of(choice >> 2 & 3, shape == 3 ? "dstaddr" : "srcaddr");
	scan_reference(&c, (const char *)data, n, &expected);
	for (size_t k = 0; fl_kernel_at(k); k++) {
		if (!fl_kernel_at(k)->supported())
			continue;
		scan_fast(&c, fl_kernel_at(k)->name, (const char *)data, n, blocks[choice >> 4 & 3],
			  "\n 0-"[choice >> 6], &got);
		if (!scan_equal(&expected, &got, filter))
			abort();
		scan_result_free(&got);
	}
	scan_result_free(&expected);
	fl_filter_free(&filter);
	return 0;
}
