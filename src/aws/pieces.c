/* SPDX-License-Identifier: Apache-2.0 */
/* Pieces of an object: those that the cache does not have come in as few requests as make sense, at once. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "aws/cache.h"
#include "aws/client.h"
#include "base/error.h"
#include "base/file.h"

#define GAP_MAX (32u << 10) /* fetched and thrown away between two pieces, sooner than asked for apart */

struct run { /* pieces of one request */
	const struct fl_s3_piece *piece;
	size_t n;
};

struct job {
	struct fl_s3 *s;
	const char *bucket, *key, *etag;
	uint64_t size;
	struct fl_s3_piece *missing;
	size_t n_missing;
	struct run *run;
	size_t n_runs;
	atomic_size_t next;
	struct fl_s3_error error;
};

/* ---- the cache ---- */

static void name_of(const struct job *j, const struct fl_s3_piece *p, char ret[FL_SHA256_HEX])
{
	char part[48];

	snprintf(part, sizeof part, "%llu+%zu", (unsigned long long)p->offset, p->n);
	fl_s3_cache_name(j->s, j->bucket, j->key, j->size, j->etag, part, ret);
}

static bool is_cached(const struct job *j, const struct fl_s3_piece *p)
{
	char name[FL_SHA256_HEX];
	int fd FL_CLEANUP(fl_closep) = -1;
	size_t n = 0;
	ssize_t got;

	name_of(j, p, name);
	if (!fl_cache_open(j->s->cache, name, p->n, 0, &fd))
		return false;
	while (n < p->n && (got = pread(fd, p->to + n, p->n - n, (off_t)n)) > 0)
		n += (size_t)got;
	if (n == p->n)
		fl_s3_count(j->s, n, true);
	return n == p->n;
}

/* What cannot be kept is there nevertheless. */
static void keep(const struct job *j, const struct fl_s3_piece *p)
{
	struct fl_cache_file file;
	char name[FL_SHA256_HEX];
	int fd FL_CLEANUP(fl_closep) = -1;

	if (!j->s->cache || fl_cache_begin(j->s->cache, p->n, &file))
		return;
	name_of(j, p, name);
	if (!file.cache || fl_write_all(file.fd, p->to, p->n))
		fl_cache_abort(&file);
	else
		(void)fl_cache_commit(&file, name, p->n, false, &fd);
}

/* ---- the network ---- */

static int scatter(void *ctx, uint64_t offset, const void *data, size_t n)
{
	const struct run *run = ctx;

	for (size_t i = 0; i < run->n; i++) {
		const struct fl_s3_piece *p = &run->piece[i];
		uint64_t from = FL_MAX(offset, p->offset), to = FL_MIN(offset + n, p->offset + p->n);

		if (from < to)
			memcpy(p->to + (from - p->offset), (const uint8_t *)data + (from - offset),
			       (size_t)(to - from));
	}
	return 0;
}

static void take_runs(void *ctx)
{
	struct job *j = ctx;
	size_t i;

	while (!atomic_load(&j->error.error) && (i = atomic_fetch_add(&j->next, 1)) < j->n_runs) {
		const struct run *run = &j->run[i];
		const struct fl_s3_piece *last = &run->piece[run->n - 1];
		struct fl_http_answer answer = FL_HTTP_ANSWER;
		struct fl_s3_call c = {.method = "GET",
				       .bucket = j->bucket,
				       .key = j->key,
				       .etag = j->etag,
				       .ranged = true,
				       .offset = run->piece->offset,
				       .n = last->offset + last->n - run->piece->offset,
				       .sink = scatter,
				       .ctx = (void *)(uintptr_t)run};
		int r = fl_s3_call(j->s, &c, &answer);

		fl_http_answer_free(&answer);
		if (r)
			fl_s3_error_keep(&j->error, r);
	}
}

static void make_runs(struct job *j)
{
	struct run *run = NULL;

	for (size_t i = 0; i < j->n_missing; i++) {
		const struct fl_s3_piece *p = &j->missing[i], *before = i ? p - 1 : NULL;

		if (run && p->offset <= before->offset + before->n + GAP_MAX &&
		    p->offset + p->n - run->piece->offset <= FL_S3_PART_BYTES) {
			run->n++;
			continue;
		}
		run = &j->run[j->n_runs++];
		*run = (struct run){p, 1};
	}
}

int fl_s3_read_pieces(struct fl_s3 *s, const char *bucket, const char *key, uint64_t size, const char *etag,
		      const struct fl_s3_piece *pieces, size_t n)
{
	struct fl_s3_piece *missing FL_CLEANUP(fl_freep) = calloc(n + 1, sizeof *missing);
	struct run *run FL_CLEANUP(fl_freep) = calloc(n + 1, sizeof *run);
	struct job j = {
	    .s = s, .bucket = bucket, .key = key, .etag = etag, .size = size, .missing = missing, .run = run};
	unsigned threads = FL_MIN(FL_S3_PARTS_AT_ONCE, s->connections);
	int r = missing && run ? fl_s3_check_object(bucket, key) : -ENOMEM;

	for (size_t i = 0; !r && i < n; i++)
		if (pieces[i].n && !is_cached(&j, &pieces[i]))
			missing[j.n_missing++] = pieces[i];
	if (r || !j.n_missing)
		return r;
	make_runs(&j);
	fl_s3_error_init(&j.error);
	fl_s3_threads((unsigned)FL_MIN(j.n_runs, (size_t)threads), take_runs, &j);
	r = fl_s3_error_end(&j.error);
	for (size_t i = 0; !r && i < j.n_missing; i++)
		keep(&j, &missing[i]);
	if (r == -ESTALE || r == -ERANGE || r == -ENOENT)
		fl_s3_doubt(s, bucket, key);
	return r;
}
