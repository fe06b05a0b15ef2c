/* SPDX-License-Identifier: Apache-2.0 */
/* Flow-log text to columns, on one core.
 *   build/bench/bench_scan QUESTION KERNEL BLOCK_KIB PATH
 * QUESTION: inflate (unpack alone), index (delimiters alone), or columns with a filter as in `questions` below. KERNEL:
 * scalar, avx2, avx512 or best. PATH: a file, or a directory that is searched for .log.gz. Prints one line of JSON: CPU
 * seconds of everything and of the scanner alone. */
#include <fcntl.h>
#include <fts.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "base/mem.h"
#include "scan/inflate.h"
#include "scan/kernels.h"
#include "scan/set.h"
#include "scan/text.h"

#define FILES_MAX 100000

static const struct question {
	const char *name;
	const char *columns[20];
	enum { ALL, OK, SSH, ONE, ONE_OR_OTHER } filter;
} questions[] = {
    {"inflate", {NULL}, ALL},
    {"index", {NULL}, ALL},
    {"all",
     {"version", "account_id", "interface_id", "srcaddr", "dstaddr", "srcport", "dstport", "protocol", "packets",
      "bytes", "start", "end", "action", "log_status"},
     ALL},
    {"talkers", {"srcaddr", "bytes"}, ALL},
    {"talkers-ok", {"srcaddr", "bytes", "log_status"}, OK},
    {"ports", {"srcaddr", "dstport"}, ALL},
    {"minutes", {"start", "action"}, ALL},
    {"ssh", {"srcaddr", "dstport", "action"}, SSH},
    {"one", {"srcaddr", "dstaddr", "bytes", "start"}, ONE},
    {"talks", {"srcaddr", "dstaddr", "bytes", "start"}, ONE_OR_OTHER},
};

struct run {
	const struct question *q;
	const struct fl_kernel *kernel;
	struct fl_text *text;
	struct fl_batch *batch;
	struct fl_blocks *blocks;
	struct fl_filter *filter;
	struct fl_filter_bound *bound;
	bool of_filter[FL_BATCH_COLUMNS];
	struct fl_addr literals[FL_FILTER_LITERALS];
	size_t n_literals;
	uint32_t *pos;
	double scanning;
	uint64_t bytes, records, rows, sum;
};

static double cpu_seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void must(int r)
{
	if (r >= 0)
		return;
	fprintf(stderr, "bench_scan: %s\n", fl_error_text(r));
	exit(1);
}

static struct fl_filter *make_filter(const struct question *q)
{
	struct fl_filter *f = NULL, *g = NULL;
	struct fl_cidr one;

	must(fl_cidr_parse("10.1.2.3", 8, &one));
	switch (q->filter) {
	case ALL:
		break;
	case OK:
		must(fl_filter_text(&f, "log_status", "OK", 2));
		break;
	case SSH:
		must(fl_filter_number(&f, "dstport", FL_OP_EQ, 22));
		must(fl_filter_text(&g, "action", "REJECT", 6));
		must(fl_filter_and(&f, f, g));
		break;
	case ONE_OR_OTHER:
		must(fl_filter_cidr(&g, "dstaddr", &one));
		/* fall through */
	case ONE:
		must(fl_filter_cidr(&f, "srcaddr", &one));
		if (g)
			must(fl_filter_or(&f, f, g));
		break;
	}
	return f;
}

static void prepare(struct run *r, const char *kernel, size_t block)
{
	struct fl_column_def defs[FL_BATCH_COLUMNS];
	const char *names[FL_BATCH_COLUMNS];
	size_t n = 0, n_names;

	for (; r->q->columns[n]; n++)
		fl_column_find(r->q->columns[n], &defs[n]);
	r->filter = make_filter(r->q);
	n_names = r->filter ? fl_filter_columns(r->filter, names) : 0;
	for (size_t i = 0; i < n_names; i++)
		for (size_t j = 0; j < n; j++)
			r->of_filter[j] |= !strcmp(names[i], defs[j].name);
	if (r->filter)
		must(fl_filter_bind(&r->bound, r->filter, defs, n));
	r->n_literals = fl_filter_literals(r->filter, r->literals);
	must(fl_batch_new(&r->batch, defs, n));
	must(fl_text_new(&r->text, kernel));
	must(fl_blocks_new(&r->blocks, block));
	r->kernel = fl_kernel_find(kernel);
	r->pos = malloc((4096 + FL_KERNEL_SLACK) * sizeof *r->pos);
}

static void take_batch(struct run *r)
{
	const struct fl_batch *b = r->batch;

	r->rows += b->n;
	for (uint32_t i = 0; i < b->n_columns; i++)
		for (uint32_t row = 0; row < b->n; row++)
			switch ((enum fl_column_type)b->column[i].def.type) {
			case FL_COLUMN_U64:
				r->sum += b->column[i].u64[row];
				break;
			case FL_COLUMN_ADDR:
				r->sum += b->column[i].addr[row].b[15];
				break;
			case FL_COLUMN_TEXT:
				r->sum += b->column[i].text[row].n;
				break;
			default:
				r->sum += b->column[i].code[row];
			}
}

static void take_block(struct run *r, const char *data, size_t n, bool last)
{
	double began = cpu_seconds();
	size_t used;
	int got = 1;

	r->bytes += n;
	if (!strcmp(r->q->name, "index")) {
		for (size_t at = 0; at < n;) {
			struct fl_index ix = r->kernel->index(data, at, n, 4096, r->pos);

			r->records += ix.newlines;
			at = ix.stop;
		}
	} else if (strcmp(r->q->name, "inflate") != 0) {
		while (got == 1) {
			got = fl_text_next(r->text, data, n, last, &used);
			must(got);
			data += used;
			n -= used;
			if (got == 1)
				take_batch(r);
		}
	}
	r->scanning += cpu_seconds() - began;
}

static void take_file(struct run *r, const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), got;
	struct fl_format *f = NULL;
	const char *data;
	size_t n;
	bool last;

	must(fd < 0 ? fl_fail(-1, "%s", path) : 0);
	must(fl_blocks_open_fd(r->blocks, fd));
	while ((got = fl_blocks_next(r->blocks, &data, &n, &last)) == 1) {
		if (!f) {
			struct fl_looked looked;

			fl_look(data, n, &looked);
			must(fl_look_format(path, &looked, NULL, &f));
			must(fl_text_begin(r->text, f,
					   &(struct fl_text_want){.batch = r->batch,
								  .filter = r->bound,
								  .of_filter = r->of_filter,
								  .literals = r->literals,
								  .n_literals = r->n_literals}));
		}
		take_block(r, data, n, last);
	}
	must(got);
	if (strcmp(r->q->name, "index") != 0)
		r->records += fl_text_counts(r->text)->records;
	fl_format_free(&f);
	close(fd);
}

static void take_path(struct run *r, char *path)
{
	FTS *fts = fts_open((char *[]){path, NULL}, FTS_LOGICAL | FTS_NOCHDIR, NULL);
	FTSENT *e;

	while ((e = fts_read(fts)))
		if (e->fts_info == FTS_F && (e->fts_level == 0 || strstr(e->fts_name, ".log.gz")))
			take_file(r, e->fts_accpath);
	fts_close(fts);
}

int main(int argc, char **argv)
{
	struct run r = {0};
	double began;

	for (size_t i = 0; argc == 5 && i < FL_ARRAY_LEN(questions); i++)
		if (!strcmp(questions[i].name, argv[1]))
			r.q = &questions[i];
	if (!r.q) {
		fprintf(stderr, "usage: bench_scan QUESTION KERNEL BLOCK_KIB PATH\n");
		return 2;
	}
	prepare(&r, strcmp(argv[2], "best") != 0 ? argv[2] : NULL, strtoul(argv[3], NULL, 10) << 10);
	began = cpu_seconds();
	take_path(&r, argv[4]);
	printf("{\"question\": \"%s\", \"kernel\": \"%s\", \"block_kib\": %s, \"bytes\": %llu, \"records\": %llu, "
	       "\"rows\": %llu, "
	       "\"sum\": %llu, \"total_s\": %.4f, \"scan_s\": %.4f, \"scan_ns\": %.2f, \"scan_gb_s\": %.2f}\n",
	       argv[1], fl_text_kernel(r.text), argv[3], (unsigned long long)r.bytes, (unsigned long long)r.records,
	       (unsigned long long)r.rows, (unsigned long long)r.sum, cpu_seconds() - began, r.scanning,
	       r.records ? r.scanning / (double)r.records * 1e9 : 0, (double)r.bytes / r.scanning / 1e9);
	return 0;
}
