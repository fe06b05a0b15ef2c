/* SPDX-License-Identifier: Apache-2.0 */
/* flowlog convert: records of any source as Parquet, text, CSV or JSON. */
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/units.h"
#include "cli/cli.h"
#include "cli/convert.h"
#include "cli/sources.h"

struct conf {
	struct fl_source_conf source;
	const char *account, *region, *prefix, *id;
	int output, codec, partition;
	uint64_t level, row_group;
	bool hive, single, force, null_text, no_bloom;
};
enum { CODEC_USUAL, CODEC_ZSTD, CODEC_SNAPPY, CODEC_GZIP, CODEC_NONE };
enum { PARTITION_HOUR, PARTITION_DAY };

struct work {
	const struct conf *conf;
	struct fl_convert c;
	struct fl_column_def column[FL_BATCH_COLUMNS];
	struct fl_buf log_format;
	struct fl_scan *scan;
	struct fl_scan_reader *reader;
	/* one of the two */
	struct fl_convert_tree *tree;
	struct fl_convert_file *file;
	char *temporary;       /* of a single file; NULL: written straight */
	atomic_ullong records; /* also read by who draws the progress */
	uint64_t files, bytes;
	bool on_terminal;
};

static void release(struct work *w)
{
	fl_convert_tree_free(&w->tree);
	fl_convert_file_free(&w->file);
	if (w->temporary)
		unlink(w->temporary);
	free(w->temporary);
	fl_scan_reader_free(&w->reader);
	fl_scan_close(&w->scan);
	fl_buf_free(&w->log_format);
}

/* ---- what is asked for ---- */

static int choose_codec(const struct conf *c, uint8_t *ret)
{
	static const uint8_t codecs[] = {[CODEC_ZSTD] = FL_CODEC_ZSTD,
					 [CODEC_SNAPPY] = FL_CODEC_SNAPPY,
					 [CODEC_GZIP] = FL_CODEC_GZIP,
					 [CODEC_NONE] = FL_CODEC_NONE};
	bool parquet = c->output == FL_CONVERT_PARQUET;

	*ret = codecs[c->codec];
	if (c->codec == CODEC_USUAL)
		*ret = parquet ? FL_CODEC_ZSTD : c->single ? FL_CODEC_NONE : FL_CODEC_GZIP;
	if (!parquet && *ret != FL_CODEC_NONE && *ret != FL_CODEC_GZIP)
		return fl_fail(-EINVAL, "--codec %s: text is compressed with gzip, or not", fl_codec_names[*ret]);
	return 0;
}

static int check_names(const struct conf *c)
{
	if (strlen(c->account) != 12 || strspn(c->account, "0123456789") != 12)
		return fl_fail(-EINVAL, "--account %s: an account has twelve digits", c->account);
	if (!*c->region || strlen(c->region) >= sizeof(((struct fl_flow_log *)NULL)->region) || strchr(c->region, '/'))
		return fl_fail(-EINVAL, "--log-region %s: not the name of a region", c->region);
	if (strlen(c->prefix) >= sizeof(((struct fl_flow_log *)NULL)->prefix))
		return fl_fail(-EINVAL, "--prefix: at most %zu bytes",
			       sizeof(((struct fl_flow_log *)NULL)->prefix) - 1);
	if (c->id && (strncmp(c->id, "fl-", 3) || strlen(c->id) >= sizeof(((struct fl_flow_log *)NULL)->id) ||
		      strspn(c->id + 3, "0123456789abcdef") != strlen(c->id) - 3))
		return fl_fail(-EINVAL, "--id %s: an id is fl- and hexadecimal digits", c->id);
	if (c->row_group && (c->row_group < FL_BATCH_ROWS || c->row_group > (16u << 20)))
		return fl_fail(-EINVAL, "--row-group %llu: %u to %u rows", (unsigned long long)c->row_group,
			       FL_BATCH_ROWS, 16u << 20);
	if (c->level > 22)
		return fl_fail(-EINVAL, "--level %llu: at most 22", (unsigned long long)c->level);
	return 0;
}

/* Files of one flow log have one format, so the id follows from it when none is given. */
static void name_log(struct work *w)
{
	const struct conf *c = w->conf;
	struct fl_flow_log *log = &w->c.log;
	uint8_t digest[32];
	char hex[20];

	memcpy(log->account_id, c->account, sizeof log->account_id);
	snprintf(log->region, sizeof log->region, "%s", c->region);
	snprintf(log->prefix, sizeof log->prefix, "%s", c->prefix);
	log->hive = c->hive;
	log->per_hour = c->partition == PARTITION_HOUR;
	fl_sha256(w->log_format.data, w->log_format.len, digest);
	fl_hex(digest, 9, hex);
	snprintf(log->id, sizeof log->id, "fl-%.17s", hex);
	if (c->id)
		snprintf(log->id, sizeof log->id, "%s", c->id);
}

/* Columns of the records: what Flowlog knows beside them has no place in a flow log. */
static int choose_columns(struct work *w)
{
	const struct fl_column_def *all;
	size_t n;
	int r = fl_scan_columns(w->scan, &all, &n);

	for (size_t i = 0; !r && i < n; i++) {
		if (all[i].own != FL_OWN_NONE)
			continue;
		r = fl_buf_printf(&w->log_format, "%s${%s}", w->c.parquet.n_columns ? " " : "",
				  fl_column_title(&all[i]));
		w->column[w->c.parquet.n_columns++] = all[i];
	}
	if (!r && !w->c.parquet.n_columns)
		r = fl_fail(-ENOENT, "there is nothing to convert: no source holds records");
	w->c.parquet.columns = w->column;
	w->c.parquet.log_format = fl_buf_cstr(&w->log_format);
	return r;
}

/* ---- where it goes ---- */

static int is_there(const char *path)
{
	return fl_fail(-EEXIST, "%s is there already; --force replaces it", path);
}

static int open_single(struct work *w, const char *path)
{
	struct stat st;
	int fd;

	if (!strcmp(path, "-")) {
		fd = dup(STDOUT_FILENO);
	} else if (!stat(path, &st) && !S_ISREG(st.st_mode)) {
		if (S_ISDIR(st.st_mode))
			return fl_fail(-EISDIR, "%s: a directory; --single writes one file", path);
		fd = open(path, O_WRONLY | O_CLOEXEC); /* /dev/null, a pipe */
	} else {
		if (!w->c.force && !access(path, F_OK))
			return is_there(path);
		if (asprintf(&w->temporary, "%s.%d.tmp", path, getpid()) < 0) {
			w->temporary = NULL;
			return -ENOMEM;
		}
		fd = open(w->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	}
	if (fd < 0)
		return fl_fail(-errno, "%s: %m", path);
	if (w->c.form == FL_CONVERT_PARQUET && isatty(fd)) {
		close(fd);
		return fl_fail(-EINVAL, "Parquet is nothing for a terminal; name a file");
	}
	return fl_convert_file_new(&w->file, &w->c, fd);
}

static int finish(struct work *w, const char *path)
{
	size_t files;
	bool replaced;
	int r;

	if (w->tree) {
		r = fl_convert_tree_finish(w->tree);
		fl_convert_tree_sum(w->tree, &files, &w->bytes);
		w->files = files;
		return r;
	}
	r = fl_convert_file_finish(w->file);
	if (r)
		return fl_wrap(r, "%s", path);
	w->files = 1;
	w->bytes = fl_convert_file_size(w->file);
	r = w->temporary ? fl_rename(AT_FDCWD, w->temporary, path, w->c.force, &replaced) : 0;
	if (r == -EEXIST)
		return is_there(path);
	if (r)
		return fl_fail(r, "%s: %s", path, strerror(-r));
	free(w->temporary);
	w->temporary = NULL;
	return 0;
}

/* ---- the records ---- */

static void progress(void *ctx, const struct fl_scan_progress *p)
{
	struct work *w = ctx;
	char count[16], before[40];

	snprintf(before, sizeof before, "%s records; ", fl_human_count(w->records, count));
	fl_progress_draw(before, p);
}

static int copy(struct work *w, const char *to)
{
	const struct fl_batch *b;
	int r;

	while ((r = fl_scan_next(w->reader, &b)) == 1) {
		w->records += b->n;
		r = w->tree ? fl_convert_tree_write(w->tree, b) : fl_convert_file_write(w->file, b);
		if (r)
			return r == -EINTR || w->tree ? r : fl_wrap(r, "%s", to);
	}
	return r;
}

static int convert(struct work *w, const struct fl_scan_conf *scan, const char *to)
{
	const struct conf *c = w->conf;
	int r = check_names(c);

	if (!r)
		r = choose_codec(c, &w->c.parquet.codec);
	if (!r)
		r = fl_scan_open(&w->scan, scan, NULL);
	if (!r)
		r = choose_columns(w);
	if (r)
		return r;
	name_log(w);
	r = c->single ? open_single(w, to) : fl_convert_tree_new(&w->tree, &w->c, to);
	if (!r)
		r = fl_scan_select(w->scan, w->column, w->c.parquet.n_columns, NULL);
	if (!r)
		r = fl_scan_reader_new(&w->reader, w->scan);
	if (!r)
		r = copy(w, to);
	return r ? r : finish(w, to);
}

/* What was not as it should be; the exit status. */
static int tell(struct work *w)
{
	char count[16], bytes[16];

	if (w->on_terminal)
		fprintf(stderr, "%s records in %llu file%s, %s\n", fl_human_count(w->records, count),
			(unsigned long long)w->files, fl_plural(w->files), fl_human_bytes(w->bytes, bytes));
	return fl_source_tell("convert", w->scan);
}

/* Why there is no result, and what became of what was begun. */
static void tell_failure(struct work *w, const char *to, int error)
{
	size_t replaced = 0;
	bool written = w->file && !w->temporary && fl_convert_file_size(w->file);
	int r = 0;

	fprintf(stderr, "flowlog convert: %s\n", fl_error_text(error));
	if (w->tree)
		r = fl_convert_tree_undo(w->tree, &replaced);
	else if (w->temporary && unlink(w->temporary) && errno != ENOENT)
		r = fl_fail(-errno, "%s cannot be removed: %m", w->temporary);
	if (r)
		fprintf(stderr, "flowlog convert: %s\n", fl_error_text(r));
	else if (replaced)
		fprintf(stderr, "flowlog convert: %s: %zu file%s of before had been replaced already\n", to, replaced,
			fl_plural(replaced));
	else if (written)
		fprintf(stderr, "flowlog convert: what was written to %s is incomplete\n",
			strcmp(to, "-") ? to : "standard output");
	else if (w->tree || w->temporary)
		fprintf(stderr, "flowlog convert: nothing of it is left at %s\n", to);
}

static int run(void *conf, int argc, char **argv)
{
	const struct conf *c = conf;
	struct work w = {.conf = c,
			 .log_format = FL_BUF(1u << 20),
			 .on_terminal = isatty(STDERR_FILENO),
			 .c = {.form = (enum fl_convert_form)c->output, .force = c->force}};
	struct fl_scan_conf scan;
	const char *to = argc ? argv[argc - 1] : NULL;
	int r, status;

	if (!to) {
		fputs("flowlog convert: where to? for example: flowlog convert /backup/vpcflowlogs ./parquet\n",
		      stderr);
		return 2;
	}
	argv[argc - 1] = NULL;
	r = fl_source_scan(&c->source, argv, &scan);
	if (r) {
		fprintf(stderr, "flowlog convert: %s\n", fl_error_text(r));
		release(&w);
		return 2;
	}
	w.c.stop = scan.stop;
	if (scan.progress) {
		scan.progress = progress;
		scan.progress_ctx = &w;
	}
	w.c.parquet.level = (int)c->level;
	w.c.parquet.group_rows = (uint32_t)c->row_group;
	w.c.parquet.text_null = c->null_text;
	w.c.parquet.no_bloom = c->no_bloom;
	r = convert(&w, &scan, to);
	status = r ? 1 : tell(&w);
	if (r) {
		fl_scan_reader_free(&w.reader);
		fl_scan_close(&w.scan);
		fl_source_stop_no_more();
		tell_failure(&w, to, r);
	}
	release(&w);
	return status;
}

static const struct fl_option options[] = {
    {"output", 'o', NULL, FL_OPT_ENUM, "FORM", "parquet", "parquet|text|csv|json",
     "What the records become; json is one object a line.", offsetof(struct conf, output)},
    {"single", 0, NULL, FL_OPT_FLAG, NULL, NULL, NULL, "One file instead of a directory of them; - is standard output.",
     offsetof(struct conf, single)},
    {"partition", 0, NULL, FL_OPT_ENUM, "SPAN", "hour", "hour|day", "Time that a directory stands for.",
     offsetof(struct conf, partition)},
    {"hive", 0, NULL, FL_OPT_FLAG, NULL, NULL, NULL,
     "Names of directories as Hive and Athena read partitions (year=2026/month=11/...).", offsetof(struct conf, hive)},
    {"force", 0, NULL, FL_OPT_FLAG, NULL, NULL, NULL, "Replace files that are there already.",
     offsetof(struct conf, force)},
    {"codec", 0, NULL, FL_OPT_ENUM, "NAME", "usual", "usual|zstd|snappy|gzip|none",
     "Compression: usual is zstd for Parquet, gzip for files of text in a directory, none for a single one.",
     offsetof(struct conf, codec)},
    {"level", 0, NULL, FL_OPT_U64, "N", "0", NULL, "Effort of zstd or gzip in Parquet; 0 is the fast one.",
     offsetof(struct conf, level)},
    {"row-group", 0, NULL, FL_OPT_U64, "ROWS", "262144", NULL, "Rows of a row group of Parquet.",
     offsetof(struct conf, row_group)},
    {"null-text", 0, NULL, FL_OPT_FLAG, NULL, NULL, NULL,
     "In Parquet, missing text is null; without this it is -, as in AWS's files. Missing numbers are null always.",
     offsetof(struct conf, null_text)},
    {"no-bloom", 0, NULL, FL_OPT_FLAG, NULL, NULL, NULL, "In Parquet, no Bloom filters on addresses.",
     offsetof(struct conf, no_bloom)},
    {"account", 0, NULL, FL_OPT_STRING, "ID", "000000000000", NULL, "Account in names.",
     offsetof(struct conf, account)},
    {"log-region", 0, NULL, FL_OPT_STRING, "NAME", "us-east-1", NULL, "Region in names.",
     offsetof(struct conf, region)},
    {"prefix", 0, NULL, FL_OPT_STRING, "FOLDER", "", NULL, "Folder in front of AWSLogs.",
     offsetof(struct conf, prefix)},
    {"id", 0, NULL, FL_OPT_STRING, "ID", NULL, NULL,
     "Flow log in names (fl-...); without it one that follows from the fields.", offsetof(struct conf, id)},
#define FL_SOURCE_AT(member) offsetof(struct conf, source.member)
#include "cli/source_options.def"
    {0},
};

const struct fl_command fl_cmd_convert = {
    .name = "convert",
    .summary = "flow logs as Parquet, text, CSV or JSON",
    .synopsis = "[OPTION]... [SOURCE]... DIR",
    .description =
	"Writes the records of any SOURCE below DIR under AWS's names: a file for each five minutes in "
	"which records end, in directories by day and hour. With --single, DIR is a file, or - for "
	"standard output.\n\n"
	"Values are kept: text to any other form and back gives the same records. Parquet has AWS's "
	"column names (hyphens written as underscores) and types. Files are written under other names "
	"and get their own when all records are through, so that nothing half-done is ever seen; what is "
	"there already is not replaced without --force. Records keep their order. When it fails or is "
	"stopped, the files and directories that it made are removed again, and it says so.\n\n" FL_SOURCE_TEXT,
    .options = options,
    .conf_size = sizeof(struct conf),
    .run = run,
    .examples = "flowlog convert /backup/vpcflowlogs ./parquet\n"
		"  an archive of text as Parquet, by hour\n"
		"flowlog convert --hive -o text ./parquet ./text\n"
		"  and back, in directories that Athena can read\n"
		"flowlog convert --single -o csv flows.log.parquet flows.csv\n"
		"  one file as a table\n",
};
