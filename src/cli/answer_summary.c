/* SPDX-License-Identifier: Apache-2.0 */
/* One page about an archive, and what made an answer. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/units.h"
#include "cli/answer.h"

/* ---- summary ---- */

static int line(struct fl_buf *out, const char *name, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static int line(struct fl_buf *out, const char *name, const char *fmt, ...)
{
	struct fl_buf clean FL_CLEANUP(fl_buf_free) = FL_BUF(1 << 20);
	char text[8192];
	va_list ap;
	int n, r;

	va_start(ap, fmt);
	n = vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	if (n > 0)
		fl_grid_clean(&clean, text, FL_MIN((size_t)n, sizeof text - 1));
	r = fl_buf_printf(out, "%-16s", name);
	r = r || !clean.len ? r : fl_buf_add(out, clean.data, clean.len);
	return r ? r : fl_buf_adds(out, "\n");
}

static int add_coverage(const struct fl_summary *s, struct fl_buf *out)
{
	char from[24], to[24];
	int r = 0;

	if (s->saw[FL_NEED_STATUS])
		r = line(out, "windows",
			 "%" PRIu64 " NODATA (no traffic), %" PRIu64 " SKIPDATA (flows that were not captured)%s",
			 s->nodata, s->skipdata, s->skipdata ? ": what is missing there is not known" : "");
	else
		r = line(out, "windows", "records have no log-status: NODATA and SKIPDATA cannot be told");
	if (!r && s->first > s->last)
		return 0; /* without times there are none to be told */
	if (!r && s->gaps)
		r = line(out, "gaps", "%zu of more than %d minutes without any record", s->gaps, FL_SUMMARY_GAP_S / 60);
	else if (!r)
		r = line(out, "gaps", "none of more than %d minutes", FL_SUMMARY_GAP_S / 60);
	for (size_t i = 0; i < FL_MIN(s->gaps, (size_t)FL_SUMMARY_GAPS) && !r; i++)
		r = line(out, "", "%s .. %s (%" PRIu64 " min)", fl_time_rfc3339((int64_t)s->gap[i].from, from),
			 fl_time_rfc3339((int64_t)s->gap[i].to, to), (s->gap[i].to - s->gap[i].from) / 60);
	return r;
}

static int add_verdicts(struct fl_summary *s, struct fl_buf *out)
{
	int r;

	if (!s->saw[FL_NEED_ACTION])
		return line(out, "actions", "records have no action: what was rejected cannot be told");
	r = line(out, "actions", "%" PRIu64 " ACCEPT, %" PRIu64 " REJECT", s->accepted, s->rejected);
	if (!r && !s->rejected)
		r = line(out, "",
			 "no record says REJECT: nothing was rejected, or verdicts were not observed, or the flow log "
			 "records ACCEPT alone");
	else if (!r && s->without_rejects)
		r = line(out, "without REJECT",
			 "%" PRIu64 " of %" PRIu64
			 " interfaces with flows; there the absence of a REJECT proves nothing: %s%s",
			 s->without_rejects, s->interfaces - s->silent, fl_buf_cstr(&s->names_without_rejects),
			 s->without_rejects > FL_SUMMARY_LIST ? ", ..." : "");
	return r;
}

static int add_volume(const struct fl_summary *s, struct fl_buf *out)
{
	char text[24], packets[32] = "packets not known", bytes[64] = "bytes not known";

	if (s->saw[FL_NEED_PACKETS] || !s->flows)
		snprintf(packets, sizeof packets, "%" PRIu64 " packets", s->packets);
	if (s->saw[FL_NEED_BYTES] || !s->flows)
		snprintf(bytes, sizeof bytes, "%s (%" PRIu64 " bytes)", fl_human_bytes(s->bytes, text), s->bytes);
	return line(out, "flows", "%" PRIu64 " records, %s, %s", s->flows, packets, bytes);
}

static int summary_table(struct fl_summary *s, struct fl_buf *out)
{
	char a[24], b[24];
	const struct fl_scan_report *p = &s->report;
	int r;

	if (!s->flows && !s->nodata && !s->skipdata) {
		r = line(out, "records", "none");
	} else {
		if (s->first > s->last)
			r = line(out, "span", "the records have no start and end");
		else
			r = line(out, "span", "%s .. %s (%.1f hours)", fl_time_rfc3339((int64_t)s->first, a),
				 fl_time_rfc3339((int64_t)s->last, b), (double)(s->last - s->first) / 3600);
		r = r ? r : add_volume(s, out);
		r = r ? r : add_coverage(s, out);
		r = r ? r : add_verdicts(s, out);
		if (!r && s->saw[FL_NEED_ENI])
			r = line(out, "interfaces", "%" PRIu64 ", of which %" PRIu64 " have no flow", s->interfaces,
				 s->silent);
		else if (!r)
			r = line(out, "interfaces", "records have no interface-id");
		if (!r && s->accounts.len)
			r = line(out, "accounts", "%" PRIu64 ": %s", s->n_accounts, fl_buf_cstr(&s->accounts));
		if (!r && s->vpcs.len)
			r = line(out, "VPCs", "%" PRIu64 ": %s", s->n_vpcs, fl_buf_cstr(&s->vpcs));
		if (!r && s->versions.len)
			r = line(out, "versions", "%s", fl_buf_cstr(&s->versions));
	}
	r = r ? r
	      : line(out, "read", "%" PRIu64 " file%s, %s, %" PRIu64 " records", p->files, fl_plural(p->files),
		     fl_human_bytes(p->bytes, a), p->records);
	if (!r && p->files_pruned)
		r = line(out, "", "%" PRIu64 " files were passed over unread: of another time", p->files_pruned);
	if (!r && (p->row_groups_pruned || p->row_groups_bloom || p->rows_pruned))
		r = line(out, "",
			 "%" PRIu64 " row groups and %" PRIu64
			 " rows of others were passed over unread: nothing asked for",
			 p->row_groups_pruned + p->row_groups_bloom, p->rows_pruned);
	if (!r && s->odd.n)
		r = line(out, "times", "%" PRIu64 " that cannot be, as %s: not in span and gaps", s->odd.n,
			 s->odd.example);
	if (!r && (p->malformed || p->bad_values || p->damaged_files))
		r = line(out, "faults",
			 "%" PRIu64 " malformed line%s, %" PRIu64 " value%s none of the column, %" PRIu64
			 " source%s not read to the end",
			 p->malformed, fl_plural(p->malformed), p->bad_values, p->bad_values == 1 ? " is" : "s are",
			 p->damaged_files, fl_plural(p->damaged_files));
	return r;
}

static int summary_json(struct fl_summary *s, struct fl_buf *out)
{
	struct fl_json j = FL_JSON(out);
	int r;

	fl_json_object(&j);
	if (s->first <= s->last) {
		fl_json_ku64(&j, "first", s->first);
		fl_json_ku64(&j, "last", s->last);
	}
	fl_json_ku64(&j, "flows", s->flows);
	if (s->saw[FL_NEED_PACKETS] || !s->flows)
		fl_json_ku64(&j, "packets", s->packets);
	if (s->saw[FL_NEED_BYTES] || !s->flows)
		fl_json_ku64(&j, "bytes", s->bytes);
	if (s->saw[FL_NEED_STATUS]) {
		fl_json_ku64(&j, "ok", s->ok);
		fl_json_ku64(&j, "nodata", s->nodata);
		fl_json_ku64(&j, "skipdata", s->skipdata);
	}
	if (s->saw[FL_NEED_ACTION]) {
		fl_json_ku64(&j, "accepted", s->accepted);
		fl_json_ku64(&j, "rejected", s->rejected);
	}
	fl_json_ku64(&j, "interfaces", s->interfaces);
	fl_json_ku64(&j, "interfaces_without_traffic", s->silent);
	fl_json_ku64(&j, "interfaces_without_reject", s->without_rejects);
	fl_json_ku64(&j, "accounts", s->n_accounts);
	fl_json_ku64(&j, "vpcs", s->n_vpcs);
	fl_json_kstr(&j, "versions", fl_buf_cstr(&s->versions));
	fl_json_ku64(&j, "gap_count", s->gaps);
	fl_json_key(&j, "gaps");
	fl_json_array(&j);
	for (size_t i = 0; i < FL_MIN(s->gaps, (size_t)FL_SUMMARY_GAPS); i++) {
		fl_json_object(&j);
		fl_json_ku64(&j, "from", s->gap[i].from);
		fl_json_ku64(&j, "to", s->gap[i].to);
		fl_json_end_object(&j);
	}
	fl_json_end_array(&j);
	fl_json_ku64(&j, "files", s->report.files);
	fl_json_ku64(&j, "files_pruned", s->report.files_pruned);
	fl_json_ku64(&j, "row_groups_pruned", s->report.row_groups_pruned + s->report.row_groups_bloom);
	fl_json_ku64(&j, "rows_pruned", s->report.rows_pruned);
	fl_json_ku64(&j, "records", s->report.records);
	fl_json_ku64(&j, "malformed_lines", s->report.malformed);
	fl_json_ku64(&j, "bad_values", s->report.bad_values);
	fl_json_ku64(&j, "impossible_times", s->odd.n);
	fl_json_ku64(&j, "damaged_files", s->report.damaged_files);
	fl_json_end_object(&j);
	r = fl_json_done(&j);
	return r ? r : fl_buf_adds(out, "\n");
}

int fl_summary_print(const struct fl_summary *summary, enum fl_answer_form form)
{
	struct fl_print p = {.out = FL_BUF(16u << 20)};
	struct fl_summary *s = (struct fl_summary *)summary; /* texts get their end */
	int r = form == FL_ANSWER_TABLE ? summary_table(s, &p.out) : summary_json(s, &p.out);

	r = r ? r : fl_print_flush(&p);
	fl_print_end(&p);
	return r;
}

/* ---- provenance ---- */

#define INPUTS_MAX 1000000u
#define INPUT_DEPTH 32

struct input {
	char *path, *why, hex[65]; /* why: it could not be read; NULL */
};
struct inputs {
	struct input *input;
	size_t n, cap, unread;
};

static int digest(int dirfd, const char *name, char hex[65])
{
	/* Nobody's pipe shall hold us up. */
	int fd FL_CLEANUP(fl_closep) = openat(dirfd, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	uint8_t sum[32];
	struct stat st;
	void *data = NULL;

	if (fd < 0 || fstat(fd, &st))
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -ENOTSUP;
	if (st.st_size) {
		data = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
		if (data == MAP_FAILED)
			return -errno;
	}
	fl_sha256(data ? data : "", (size_t)st.st_size, sum);
	if (data)
		munmap(data, (size_t)st.st_size);
	fl_hex(sum, sizeof sum, hex);
	return 0;
}

/* error: 0, or why there is no digest (hex NULL). */
static int keep_input(struct inputs *in, const char *path, const char *hex, int error)
{
	struct input *i;

	if (in->n == INPUTS_MAX)
		return fl_fail(-E2BIG, "--provenance: more than %u inputs", INPUTS_MAX);
	if (in->n == in->cap) {
		size_t cap = in->cap ? in->cap * 2 : 64;
		struct input *grown = realloc(in->input, cap * sizeof *grown);

		if (!grown)
			return -ENOMEM;
		in->input = grown;
		in->cap = cap;
	}
	i = &in->input[in->n++];
	*i = (struct input){.path = strdup(path)};
	if (error)
		i->why = strdup(error == -ENOTSUP ? "neither a file nor a directory" : strerror(-error));
	else if (hex)
		memcpy(i->hex, hex, sizeof i->hex);
	in->unread += error != 0;
	return i->path && (!error || i->why) ? 0 : -ENOMEM;
}

static int add_input(void *ctx, int dirfd, char *path, char *name)
{
	char hex[65];
	int r = digest(dirfd, name, hex);

	return r == -ENOENT /* vanished meanwhile */ ? 0 : r == -ENOMEM ? r : keep_input(ctx, path, hex, r);
}

static int add_closed(void *ctx, const char *path, int error)
{
	return keep_input(ctx, path, NULL, error);
}

static int add_source(struct inputs *in, const char *source)
{
	char path[4096];
	int fd = open(source, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int n = snprintf(path, sizeof path, "%s", source);

	if (n < 0 || n + 2 > (int)sizeof path)
		return fl_fail(-ENAMETOOLONG, "--provenance: %s: the name is too long", source);
	if (fd < 0)
		return add_input(in, AT_FDCWD, path, path);
	if (path[n - 1] != '/') {
		path[n++] = '/';
		path[n] = '\0';
	}
	return fl_walk_files(fd, path, (size_t)n, sizeof path, INPUT_DEPTH, add_input, add_closed, in);
}

static int compare_inputs(const void *a, const void *b)
{
	return strcmp(((const struct input *)a)->path, ((const struct input *)b)->path);
}

static int print_inputs(const struct inputs *in, const struct fl_buf *command, struct fl_buf *out)
{
	struct fl_json j = FL_JSON(out);

	fl_json_object(&j);
	fl_json_key(&j, "provenance");
	fl_json_object(&j);
	fl_json_kstr(&j, "tool", "flowlog " FL_VERSION);
	fl_json_key(&j, "command");
	fl_json_array(&j);
	/* Words that each end with NUL. */
	for (size_t at = 0; at < command->len; at += strlen(command->data + at) + 1)
		fl_json_str(&j, command->data + at);
	fl_json_end_array(&j);
	fl_json_key(&j, "inputs");
	fl_json_array(&j);
	for (size_t i = 0; i < in->n; i++) {
		fl_json_object(&j);
		fl_json_kstr(&j, "path", in->input[i].path);
		if (in->input[i].why)
			fl_json_kstr(&j, "unread", in->input[i].why);
		else
			fl_json_kstr(&j, "sha256", in->input[i].hex);
		fl_json_end_object(&j);
	}
	fl_json_end_array(&j);
	fl_json_end_object(&j);
	fl_json_end_object(&j);
	return fl_json_done(&j);
}

int fl_provenance(const char *const *sources, const char *store, enum fl_answer_form form, struct fl_buf *out,
		  size_t *ret_unread)
{
	struct fl_buf command FL_CLEANUP(fl_buf_free) = FL_BUF(1 << 20);
	struct inputs in = {0};
	/* As it was called: options have been taken out of argv. */
	int r = fl_file_read(AT_FDCWD, "/proc/self/cmdline", &command);

	for (size_t i = 0; sources && sources[i] && !r; i++)
		r = !strcmp(sources[i], "-") || !strncmp(sources[i], "s3://", 5)
			? fl_fail(-EINVAL, "--provenance: %s cannot be read twice, for its digest; copy it to a file",
				  sources[i])
			: add_source(&in, sources[i]);
	if (!r && (!sources || !sources[0]))
		r = add_source(&in, store);
	if (in.n)
		qsort(in.input, in.n, sizeof *in.input, compare_inputs);
	/* A comment is the least harm to those who read CSV. */
	if (!r && form != FL_ANSWER_JSON)
		r = fl_buf_adds(out, "# ");
	r = r ? r : print_inputs(&in, &command, out);
	r = r ? r : fl_buf_adds(out, "\n");
	*ret_unread = in.unread;
	for (size_t i = 0; i < in.n; i++) {
		free(in.input[i].path);
		free(in.input[i].why);
	}
	free(in.input);
	return r;
}
