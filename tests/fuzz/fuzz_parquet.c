/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A Parquet file of any bytes: it is opened or refused, each row group is read to its end or to its fault, and what the
 * statistics and Bloom filters pass over never holds what was asked for, unless they lie, which none can tell.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "scan/parquet.h"

#define ROWS_MAX 100000u /* of one input: a few bytes can say a million equal rows */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

struct bytes {
	const uint8_t *data;
	size_t n;
};

static int read_bytes(void *ctx, uint64_t at, void *to, size_t n)
{
	const struct bytes *b = ctx;

	if (at > b->n || n > b->n - at)
		return fl_fail(-EBADMSG, "beyond the end");
	memcpy(to, b->data + at, n);
	return 0;
}

/* What would be fetched of a row group lies in the file, in order, apart from one another. */
static void plan_fetching(const struct fl_parquet_file *f, size_t group, const struct fl_column_def *columns, size_t n,
			  const struct fl_filter *filter, size_t file_size)
{
	struct fl_parquet_extents x = {0};
	uint64_t end = 0;

	(void)fl_parquet_group_hints(f, group, columns, n, filter, &x);
	(void)fl_parquet_group_data(f, group, columns, n, filter, NULL, &x);
	fl_parquet_extents_sort(&x);
	for (size_t i = 0; i < x.n; i++) {
		if (x.extent[i].at < end || !x.extent[i].n || x.extent[i].n > file_size - x.extent[i].at)
			abort();
		end = x.extent[i].at + x.extent[i].n;
	}
	if (end > file_size)
		abort();
	fl_parquet_extents_free(&x);
}

static void read_columns(const struct fl_parquet_file *f, const struct fl_column_def *columns, size_t n,
			 const struct fl_filter *filter, size_t file_size)
{
	struct fl_parquet_reader *r = NULL;
	struct fl_batch *b = NULL;
	struct fl_buf line = FL_BUF(1u << 24);
	uint32_t rows = 0;

	if (!fl_parquet_reader_new(&r, f, columns, n, filter) && !fl_batch_new(&b, columns, n))
		for (size_t g = 0; g < fl_parquet_groups(f) && rows < ROWS_MAX; g++) {
			int got = 0;

			(void)fl_parquet_group_may_pass(f, g, filter, NULL);
			plan_fetching(f, g, columns, n, filter, file_size);
			if (fl_parquet_reader_group(r, g))
				continue;
			while (rows < ROWS_MAX && (got = fl_parquet_next(r, b)) == 1) {
				if (!b->n || b->n > FL_BATCH_ROWS)
					abort();
				rows += b->n;
				/* Touches every byte that is handed out. */
				for (uint32_t i = 0; i < b->n; i += 1 + b->n / 8) {
					fl_buf_reset(&line);
					(void)fl_batch_print(b, i, n, ' ', &line);
				}
			}
			if (got > 1)
				abort();
		}
	fl_buf_free(&line);
	fl_batch_free(&b);
	fl_parquet_reader_free(&r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct bytes bytes = {data, n};
	struct fl_parquet_input in = {.read = read_bytes, .ctx = &bytes, .size = n};
	struct fl_column_def usual[4];
	struct fl_filter *filter = NULL, *second = NULL;
	struct fl_parquet_file *f = NULL;
	const struct fl_column_def *columns;
	struct fl_cidr c;
	size_t n_columns;

	if (fl_parquet_open(&f, &in, "input"))
		return 0;
	(void)fl_parquet_note(f);
	n_columns = fl_parquet_columns(f, &columns);
	if (n_columns <= FL_BATCH_COLUMNS)
		read_columns(f, columns, n_columns, NULL, n);
	fl_column_find("srcaddr", &usual[0]);
	fl_column_find("action", &usual[1]);
	fl_column_find("bytes", &usual[2]);
	fl_column_find("interface_id", &usual[3]);
	if (!fl_cidr_parse("10.0.0.1", 8, &c) && !fl_filter_cidr(&filter, "srcaddr", &c) &&
	    !fl_filter_text(&second, "action", "REJECT", 6) && !fl_filter_or(&filter, filter, second) &&
	    !fl_filter_number(&second, "bytes", FL_OP_GT, 100) && !fl_filter_and(&filter, filter, second))
		read_columns(f, usual, 4, filter, n);
	fl_filter_free(&filter);
	fl_parquet_close(&f);
	return 0;
}
