/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The client as a program, for tests/system/test_s3.py: drive [OPTIONS] list|walk|head|fetch|read|who s3://BUCKET/KEY
 * ... Prints what it got; an error goes to standard error and its number is the exit status.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "aws/aws.h"
#include "base/error.h"
#include "base/file.h"

static volatile sig_atomic_t stop;
static struct fl_s3_options options = {.stop = &stop};
static const char *delimiter, *past, *skip, *take;
static uint64_t from_network, from_cache;
static pthread_mutex_t count_lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned limit, seen;

static void on_signal(int signo)
{
	stop = signo;
}

static void progress(void *ctx, uint64_t bytes, bool cached)
{
	pthread_mutex_lock(&count_lock);
	*(cached ? &from_cache : &from_network) += bytes;
	pthread_mutex_unlock(&count_lock);
}

static int show(void *ctx, const struct fl_s3_object *o)
{
	printf("%s\t%" PRIu64 "\t%s\t%" PRId64 "\n", o->key, o->size, o->is_prefix ? "prefix" : o->etag, o->modified);
	return limit && ++seen == limit ? 7 : 0;
}

/* Descends; --skip TEXT leaves prefixes with it out, --take TEXT goes no further, --past TEXT says that it is over. */
static enum fl_s3_enter enter(void *ctx, const char *prefix)
{
	if (skip && strstr(prefix, skip))
		return FL_S3_SKIP;
	if (take && strstr(prefix, take))
		return FL_S3_TAKE;
	return past && strstr(prefix, past) ? FL_S3_TAKE_PAST : FL_S3_DESCEND;
}

static int copy_out(int fd)
{
	char part[65536];
	ssize_t n;

	while ((n = read(fd, part, sizeof part)) > 0)
		if (fwrite(part, 1, (size_t)n, stdout) != (size_t)n)
			return -EIO;
	close(fd);
	return 0;
}

/* all s3://BUCKET/PREFIX: walks, then fetches what was found; prints keys and sizes. */
struct all {
	struct fl_s3 *s;
	const char *bucket;
	struct fl_buf keys; /* key, size, ETag, each with a NUL */
};

static int note(void *ctx, const struct fl_s3_object *o)
{
	struct all *a = ctx;
	int r = fl_buf_add(&a->keys, o->key, strlen(o->key) + 1);

	if (!r)
		r = fl_buf_add(&a->keys, &o->size, sizeof o->size);
	return r ? r : fl_buf_add(&a->keys, o->etag, strlen(o->etag) + 1);
}

static int fetch_all(struct fl_s3 *s, const char *bucket, const char *prefix)
{
	struct all a = {.s = s, .bucket = bucket, .keys = FL_BUF(1u << 20)};
	int r = fl_s3_walk(s, bucket, prefix, enter, note, &a);

	for (const char *p = a.keys.data; !r && p && p < a.keys.data + a.keys.len;) {
		const char *key = p, *etag = key + strlen(key) + 1 + sizeof(uint64_t);
		uint64_t size;
		int fd;

		memcpy(&size, key + strlen(key) + 1, sizeof size);
		p = etag + strlen(etag) + 1;
		r = fl_s3_fetch(s, bucket, key, size, etag, &fd);
		if (r)
			break;
		printf("%s %lld\n", key, (long long)lseek(fd, 0, SEEK_END));
		close(fd);
	}
	fl_buf_free(&a.keys);
	return r;
}

/* put URL FILE [NAME VALUE]...: headers */
static int put(struct fl_s3 *s, const char *bucket, const char *key, char **argv)
{
	struct fl_buf data FL_CLEANUP(fl_buf_free) = FL_BUF(1u << 30);
	struct fl_s3_header headers[32];
	char etag[FL_S3_ETAG_MAX];
	size_t n = 0;
	int r = fl_file_read(AT_FDCWD, argv[0], &data);

	for (argv++; argv[0] && argv[1] && n < 32; argv += 2)
		headers[n++] = (struct fl_s3_header){argv[0], argv[1]};
	if (!r)
		r = fl_s3_put(s, bucket, key, data.data, data.len, headers, n, etag);
	if (!r)
		puts(etag);
	return r;
}

static int run(struct fl_s3 *s, char **argv)
{
	char bucket[FL_S3_BUCKET_MAX], etag[FL_S3_ETAG_MAX] = "";
	const char *key;
	uint64_t size = 0;
	int64_t modified;
	int fd, r = fl_s3_parse_url(argv[1], bucket, &key);

	if (r)
		return r;
	if (!strcmp(argv[0], "list"))
		return fl_s3_list(s, bucket, key, delimiter, show, NULL);
	if (!strcmp(argv[0], "walk"))
		return fl_s3_walk(s, bucket, key, enter, show, NULL);
	if (!strcmp(argv[0], "all"))
		return fetch_all(s, bucket, key);
	if (!strcmp(argv[0], "put") && argv[2])
		return put(s, bucket, key, argv + 2);
	if (!strcmp(argv[0], "who")) {
		struct fl_buf text FL_CLEANUP(fl_buf_free) = FL_BUF(4096);

		r = fl_s3_describe(s, bucket, &text);
		if (!r)
			puts(fl_buf_cstr(&text));
		return r;
	}
	if (!strcmp(argv[0], "head")) {
		r = fl_s3_head(s, bucket, key, &size, etag, &modified);
		if (!r)
			printf("%" PRIu64 "\t%s\t%" PRId64 "\n", size, etag, modified);
		return r;
	}
	if (!strcmp(argv[0], "fetch")) { /* fetch URL [SIZE ETAG] */
		r = fl_s3_fetch(s, bucket, key, argv[2] ? strtoull(argv[2], NULL, 10) : 0, argv[2] ? argv[3] : NULL,
				&fd);
		return r ? r : copy_out(fd);
	}
	if (!strcmp(argv[0], "read") && argv[2] && argv[3]) { /* read URL OFFSET N [ETAG] */
		size_t n = strtoull(argv[3], NULL, 10);
		char *buf FL_CLEANUP(fl_freep) = malloc(n + 1);

		r = buf ? fl_s3_read(s, bucket, key, argv[4], strtoull(argv[2], NULL, 10), n, buf) : -ENOMEM;
		if (!r)
			fwrite(buf, 1, n, stdout);
		return r;
	}
	return fl_fail(-EINVAL, "%s: unknown", argv[0]);
}

static char **take_options(char **argv)
{
	for (; *argv && !strncmp(*argv, "--", 2); argv++) {
		const char *name = *argv + 2;

		if (!strcmp(name, "anonymous"))
			options.anonymous = true;
		else if (!strcmp(name, "requester-pays"))
			options.requester_pays = true;
		else if (!strcmp(name, "no-cache"))
			options.no_cache = true;
		else if (!argv[1])
			break;
		else if (!strcmp(name, "profile"))
			options.profile = *++argv;
		else if (!strcmp(name, "region"))
			options.region = *++argv;
		else if (!strcmp(name, "endpoint-url"))
			options.endpoint_url = *++argv;
		else if (!strcmp(name, "cache-bytes"))
			options.cache_bytes = strtoull(*++argv, NULL, 10);
		else if (!strcmp(name, "connections"))
			options.connections = (unsigned)atoi(*++argv);
		else if (!strcmp(name, "stall"))
			options.stall_s = (unsigned)atoi(*++argv);
		else if (!strcmp(name, "delimiter"))
			delimiter = *++argv;
		else if (!strcmp(name, "past"))
			past = *++argv;
		else if (!strcmp(name, "skip"))
			skip = *++argv;
		else if (!strcmp(name, "take"))
			take = *++argv;
		else if (!strcmp(name, "limit"))
			limit = (unsigned)atoi(*++argv);
	}
	return argv;
}

int main(int argc, char **argv)
{
	struct sigaction on_int = {.sa_handler = on_signal};
	struct fl_s3 *s = NULL;
	int r;

	sigaction(SIGINT, &on_int, NULL);
	argv = take_options(argv + 1);
	options.progress = progress;
	if (!argv[0] || !argv[1])
		return EINVAL;
	r = fl_s3_new(&s, &options);
	if (!r)
		r = run(s, argv);
	if (r < 0)
		fprintf(stderr, "%s\n", fl_error_text(r));
	fprintf(stderr, "network %" PRIu64 " cache %" PRIu64 "\n", from_network, from_cache);
	fl_s3_free(&s);
	return r < 0 ? -r : r;
}
