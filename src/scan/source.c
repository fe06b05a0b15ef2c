/* SPDX-License-Identifier: Apache-2.0 */
/* Records from wherever they are: text files, directories of them, a store. */
#include <errno.h>
#include <fts.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/error.h"
#include "scan/scan.h"

#define DEPTH_MAX 32

struct scan {
	fl_scan_fn fn;
	void *ctx;
	struct fl_scan_stats *stats;
};

bool fl_scan_is_log_name(const char *name)
{
	static const char *const endings[] = {".log", ".log.gz", ".log.parquet"};
	size_t n = strlen(name);

	for (size_t i = 0; i < FL_ARRAY_LEN(endings); i++)
		if (n > strlen(endings[i]) && !strcmp(name + n - strlen(endings[i]), endings[i]))
			return true;
	return false;
}

int fl_scan_header(const char *path, const char *line, size_t n, struct fl_format **ret)
{
	size_t known = 0;
	int r = fl_format_from_header(ret, line, n);

	if (r)
		return fl_wrap(r, "%s", path);
	for (size_t i = 0; i < fl_format_len(*ret); i++)
		known += fl_format_field(*ret, i) != NULL;
	if (known)
		return 0;
	fl_format_free(ret);
	return fl_fail(-EINVAL,
		       "%s: the first line names no field of a flow log; a header line such as "
		       "\"version account-id ...\" is needed",
		       path);
}

int fl_scan_first_line(const char *path, const char *line, size_t n, struct fl_format **ret, bool *ret_has_header)
{
	bool header = !n || *line < '0' || *line > '9';

	if (ret_has_header)
		*ret_has_header = header;
	return header ? fl_scan_header(path, line, n, ret) : fl_format_parse(ret, FL_LOG_VPC, "default");
}

static bool has_field(const struct fl_format *f, const char *name)
{
	for (size_t i = 0; i < fl_format_len(f); i++)
		if (!strcmp(fl_format_name(f, i), name))
			return true;
	return false;
}

static int on_line(struct scan *s, const struct fl_format *f, bool has_flags, const char *line, size_t n)
{
	struct fl_values values;
	struct fl_record record;
	struct fl_record_meta meta;
	struct fl_eni eni;

	while (n && (line[n - 1] == '\n' || line[n - 1] == '\r'))
		n--;
	if (!n)
		return 0;
	if (fl_decode_line(f, line, n, &values) != FL_LINE_OK || fl_decode_record(f, &values, &record, &eni, &meta)) {
		s->stats->skipped_lines++;
		return 0;
	}
	if (record.status != FL_STATUS_OK)
		return 0;
	s->stats->records++;
	return s->fn(s->ctx, &(struct fl_scanned){&record, &eni, &meta, has_flags});
}

struct reading { /* a file's lines */
	struct scan *scan;
	const char *path;
	struct fl_format *format;
	bool has_flags;
};

static int on_file_line(void *ctx, char *line, size_t n)
{
	struct reading *x = ctx;
	bool has_header;

	if (!x->format) {
		int r = fl_scan_first_line(x->path, line, strcspn(line, "\r\n"), &x->format, &has_header);

		if (r)
			return r;
		x->has_flags = has_field(x->format, "tcp-flags");
		if (has_header)
			return 0;
	}
	return on_line(x->scan, x->format, x->has_flags, line, n);
}

static int read_file(struct scan *s, const char *path)
{
	struct reading x = {.scan = s, .path = path};
	int r;

	s->stats->files++;
	r = fl_scan_lines(path, on_file_line, &x);
	fl_format_free(&x.format);
	return r;
}

static int by_name(const FTSENT **a, const FTSENT **b)
{
	return strcmp((*a)->fts_name, (*b)->fts_name);
}

static int read_directory(struct scan *s, const char *path)
{
	char *roots[] = {(char *)(uintptr_t)path, NULL}; /* fts does not write to it */
	FTS *fts = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR, by_name);
	FTSENT *e;
	int r = 0;

	if (!fts)
		return fl_fail(-errno, "%s: %s", path, strerror(errno));
	while (!r && (e = fts_read(fts))) {
		if (e->fts_info == FTS_D && e->fts_level > DEPTH_MAX)
			fts_set(fts, e, FTS_SKIP);
		if (e->fts_info == FTS_F && fl_scan_is_log_name(e->fts_name))
			r = read_file(s, e->fts_accpath);
	}
	fts_close(fts);
	return r;
}

/* ---- a store ---- */

static int on_record(void *ctx, const struct fl_frame *frame, const struct fl_record *record)
{
	struct scan *s = ctx;

	if (record->status != FL_STATUS_OK)
		return 0;
	s->stats->records++;
	return s->fn(s->ctx, &(struct fl_scanned){record, &frame->eni, NULL, true});
}

static int read_store(struct scan *s, const char *dir, const char *flow_log)
{
	struct fl_store *store FL_CLEANUP(fl_store_close) = NULL;
	struct fl_frame frame;
	int r = fl_store_open(&store, dir, flow_log), got;

	for (size_t i = 0; !r && i < fl_store_file_count(store); i++)
		r = read_file(s, fl_store_file(store, i));
	while (!r && (got = fl_store_next_frame(store, false, &frame)) != 0) {
		if (got < 0)
			return got;
		if (got == 1)
			r = fl_frame_records(&frame, on_record, s);
	}
	return r;
}

static bool is_store(const char *dir)
{
	char path[4096];
	struct stat st;

	return (snprintf(path, sizeof path, "%s/journal", dir) < (int)sizeof path && !stat(path, &st)) ||
	       (snprintf(path, sizeof path, "%s/deliver", dir) < (int)sizeof path && !stat(path, &st));
}

int fl_scan(const char *path, const char *flow_log, fl_scan_fn fn, void *ctx, struct fl_scan_stats *stats)
{
	struct scan s = {fn, ctx, stats};
	struct stat st;

	*stats = (struct fl_scan_stats){0};
	if (stat(path, &st))
		return fl_fail(-errno, "%s: %s", path, strerror(errno));
	if (!S_ISDIR(st.st_mode))
		return read_file(&s, path);
	return is_store(path) ? read_store(&s, path, flow_log) : read_directory(&s, path);
}
