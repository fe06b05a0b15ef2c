/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parquet alone, one core: records that are in memory as batches into a file, and a file's columns into batches.
 *
 *   bench_parquet write TEXT OUT CODEC [RECORDS]    TEXT: a flow log with its header line
 *   bench_parquet read FILE [COLUMN[=TEXT]]...      =TEXT: rows that have it; NAME=A..B: a range of numbers
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"
#include "record/parquet.h"
#include "scan/filter.h"
#include "scan/parquet.h"

static double cpu(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void die(int r)
{
	if (!r)
		return;
	fprintf(stderr, "bench_parquet: %s\n", fl_error_text(r));
	exit(1);
}

/* ---- writing ---- */

static int to_fd(void *ctx, const void *data, size_t n)
{
	return fl_write_all(*(int *)ctx, data, n);
}

static struct fl_batch *parse(const struct fl_column_def *defs, size_t n, char **at, const char *end)
{
	struct fl_batch *b = NULL;

	die(fl_batch_new(&b, defs, n));
	while (b->n < FL_BATCH_ROWS && *at < end) {
		char *line_end = memchr(*at, '\n', (size_t)(end - *at));

		if (!line_end)
			break;
		for (size_t i = 0; i < n; i++) {
			char *stop = i + 1 < n ? memchr(*at, ' ', (size_t)(line_end - *at)) : line_end;

			if (!stop || !fl_column_set_text(&b->column[i], b->n, *at, (size_t)(stop - *at)))
				die(fl_fail(-1, "a line that is none"));
			*at = stop + 1;
		}
		b->n++;
	}
	return b;
}

static int write_file(int argc, char **argv)
{
	uint64_t records = argc > 5 ? strtoull(argv[5], NULL, 10) : 2000000, got = 0;
	size_t size = (size_t)records * 180 + 4096, n = 0, n_batches = 0;
	struct fl_column_def defs[FL_BATCH_COLUMNS];
	struct fl_parquet_conf conf = {.columns = defs};
	struct fl_parquet_writer *w = NULL;
	struct fl_batch **batch = calloc(records / FL_BATCH_ROWS + 2, sizeof *batch);
	char *text = malloc(size), *at = text, *end;
	int in = open(argv[2], O_RDONLY), out = open(argv[3], O_WRONLY | O_CREAT | O_TRUNC, 0644);
	ssize_t have = 0;
	double from;

	if (in < 0 || out < 0 || !text || !batch)
		die(fl_fail(-1, "%s or %s: %m", argv[2], argv[3]));
	for (ssize_t k; have < (ssize_t)size && (k = read(in, text + have, size - (size_t)have)) > 0;)
		have += k;
	end = memchr(text, '\n', (size_t)have);
	*end = '\0';
	for (char *name = strtok(text, " "); name; name = strtok(NULL, " "))
		fl_column_find(name, &defs[n++]);
	conf.n_columns = n;
	while (conf.codec < FL_CODEC_N && strcmp(fl_codec_names[conf.codec], argv[4]))
		conf.codec++;
	at = end + 1;
	end = text + have;
	while (got < records) {
		batch[n_batches] = parse(defs, n, &at, end);
		got += batch[n_batches]->n;
		if (!batch[n_batches++]->n)
			break;
	}
	from = cpu();
	die(fl_parquet_writer_new(&w, &conf, to_fd, &out));
	for (size_t i = 0; i < n_batches; i++)
		die(fl_parquet_write(w, batch[i]));
	die(fl_parquet_finish(w));
	from = cpu() - from;
	printf("{\"records\": %llu, \"seconds\": %.3f, \"million_a_second\": %.2f, \"bytes_a_record\": %.2f}\n",
	       (unsigned long long)got, from, (double)got / from / 1e6, (double)fl_parquet_written(w) / (double)got);
	fl_parquet_writer_free(&w);
	return 0;
}

/* ---- reading ---- */

static void add_word(struct fl_filter **filter, const char *name, const char *text)
{
	const char *dots = strstr(text, "..");
	struct fl_filter *f = NULL;
	struct fl_column_def d;

	fl_column_find(name, &d);
	if (dots)
		die(fl_filter_range(&f, name, strtoull(text, NULL, 10), strtoull(dots + 2, NULL, 10)));
	else
		die(fl_filter_text(&f, name, text, strlen(text)));
	die(fl_filter_and(filter, *filter, f));
}

static int read_file(int argc, char **argv)
{
	struct fl_column_def defs[FL_BATCH_COLUMNS];
	struct fl_parquet_reader *r = NULL;
	struct fl_parquet_file *f = NULL;
	struct fl_filter *filter = NULL;
	struct fl_parquet_input input;
	struct fl_parquet_counts counts;
	struct fl_batch *b = NULL;
	size_t n = 0, pruned = 0;
	uint64_t rows = 0, sum = 0;
	int fd = open(argv[2], O_RDONLY), got;
	double from = cpu();

	if (fd < 0)
		die(fl_fail(-1, "%s: %m", argv[2]));
	for (int i = 3; i < argc; i++) {
		char *equals = strchr(argv[i], '=');

		if (equals)
			*equals = '\0';
		fl_column_find(argv[i], &defs[n++]);
		if (equals)
			add_word(&filter, argv[i], equals + 1);
	}
	die(fl_parquet_input_fd(&input, fd));
	die(fl_parquet_open(&f, &input, argv[2]));
	die(fl_parquet_reader_new(&r, f, defs, n, filter));
	die(fl_batch_new(&b, defs, n));
	for (size_t g = 0; g < fl_parquet_groups(f); g++) {
		if (!fl_parquet_group_may_pass(f, g, filter, NULL)) {
			pruned++;
			continue;
		}
		die(fl_parquet_reader_group(r, g));
		while ((got = fl_parquet_next(r, b)) == 1) {
			rows += b->n;
			for (uint32_t i = 0; n && defs[0].type == FL_COLUMN_U64 && i < b->n; i++)
				sum += b->column[0].u64[i];
		}
		die(got);
	}
	fl_parquet_reader_counts(r, &counts);
	printf("{\"rows\": %llu, \"sum\": %llu, \"seconds\": %.3f, \"groups\": %zu, \"pruned\": %zu, \"read\": %llu}\n",
	       (unsigned long long)rows, (unsigned long long)sum, cpu() - from, fl_parquet_groups(f), pruned,
	       (unsigned long long)counts.bytes);
	fl_parquet_reader_free(&r);
	fl_parquet_close(&f);
	fl_batch_free(&b);
	fl_filter_free(&filter);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc >= 5 && !strcmp(argv[1], "write"))
		return write_file(argc, argv);
	if (argc >= 3 && !strcmp(argv[1], "read"))
		return read_file(argc, argv);
	fputs("usage: bench_parquet write TEXT OUT CODEC [RECORDS] | read FILE [COLUMN[=TEXT]]...\n", stderr);
	return 2;
}
