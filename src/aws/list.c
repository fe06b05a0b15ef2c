/* SPDX-License-Identifier: Apache-2.0 */
/* Listing: page after page, a tree in parallel, and past days from the cache. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "aws/cache.h"
#include "aws/client.h"
#include "aws/page.h"
#include "base/error.h"
#include "base/file.h"

#define PAGE_KEYS "1000"
#define EMPTY_PAGES_MAX 100 /* in a row; S3 sends one now and then */
#define OBJECTS_MAX 500000000ull
#define PREFIXES_MAX 2000000u /* waiting at once */
#define KEPT_MAX (256u << 20) /* bytes of a listing that is kept */

/* ---- page after page ---- */

static int one_page(struct fl_s3 *s, const char *bucket, const char *delimiter, const char *token,
		    struct fl_s3_page *page, struct fl_http_answer *answer)
{
	struct fl_pair query[6] = {
	    {"list-type", "2"}, {"encoding-type", "url"}, {"max-keys", PAGE_KEYS}, {"prefix", page->prefix}};
	struct fl_s3_call call = {.method = "GET", .bucket = bucket, .query = query, .query_n = 4};
	int r;

	if (page->delimited)
		query[call.query_n++] = (struct fl_pair){"delimiter", delimiter};
	if (*token)
		query[call.query_n++] = (struct fl_pair){"continuation-token", token};
	r = fl_s3_call(s, &call, answer);
	if (r)
		return r;
	r = fl_s3_page_read(page, answer->body.data ? answer->body.data : "", answer->body.len);
	return page->ended ? r : fl_wrap(r, "s3://%s/%s", bucket, page->prefix);
}

static int pages(struct fl_s3 *s, const char *bucket, const char *prefix, const char *delimiter, fl_s3_object_fn fn,
		 void *ctx, struct fl_s3_page *page, struct fl_http_answer *answer)
{
	char token[FL_S3_TOKEN_MAX] = "";
	uint64_t entries = 0;
	unsigned empty = 0;

	for (;;) {
		int r;

		*page =
		    (struct fl_s3_page){.prefix = prefix, .delimited = delimiter && *delimiter, .fn = fn, .ctx = ctx};
		r = one_page(s, bucket, delimiter, token, page, answer);
		if (r || !page->truncated)
			return r;
		entries += page->entries;
		empty = page->entries ? 0 : empty + 1;
		if (!strcmp(token, page->token) || empty > EMPTY_PAGES_MAX || entries > OBJECTS_MAX)
			return fl_fail(-EPROTO, "s3://%s/%s: the listing does not end (the server sends %s)", bucket,
				       prefix,
				       empty > EMPTY_PAGES_MAX ? "one empty page after the other"
				       : entries > OBJECTS_MAX ? "more objects than can be"
							       : "the same page again");
		memcpy(token, page->token, sizeof token);
	}
}

int fl_s3_list(struct fl_s3 *s, const char *bucket, const char *prefix, const char *delimiter, fl_s3_object_fn fn,
	       void *ctx)
{
	struct fl_s3_page *page = calloc(1, sizeof *page);
	struct fl_http_answer answer = FL_HTTP_ANSWER;
	int r = page ? fl_s3_check_names(bucket, prefix) : -ENOMEM;

	if (!r)
		r = pages(s, bucket, prefix, delimiter, fn, ctx, page, &answer);
	fl_http_answer_free(&answer);
	free(page);
	return r;
}

/* ---- what is kept ---- */

static void listing_name(struct fl_s3 *s, const char *bucket, const char *prefix, char ret[FL_SHA256_HEX])
{
	char region[FL_S3_REGION_MAX];
	const char *parts[] = {"listing", s->endpoint, bucket, prefix};

	fl_s3_region_of(s, bucket, region);
	if (!s->endpoint)
		parts[1] = fl_aws_domain(region);
	fl_cache_name(parts, FL_ARRAY_LEN(parts), ret);
}

/* Without memory for it, it is believed to its end. */
static void remember(struct fl_s3 *s, const char *name, const char *bucket, const char *prefix)
{
	size_t n[] = {strlen(bucket) + 1, strlen(prefix) + 1};
	struct fl_kept *k = malloc(sizeof *k + n[0] + n[1]);

	if (!k)
		return;
	memcpy(k->name, name, sizeof k->name);
	k->bucket = memcpy(k->text, bucket, n[0]);
	k->prefix = memcpy(k->text + n[0], prefix, n[1]);
	pthread_mutex_lock(&s->lock);
	k->next = s->kept;
	s->kept = k;
	pthread_mutex_unlock(&s->lock);
}

void fl_s3_doubt(struct fl_s3 *s, const char *bucket, const char *key)
{
	pthread_mutex_lock(&s->lock);
	for (const struct fl_kept *k = s->kept; k; k = k->next)
		if (!strcmp(k->bucket, bucket) && !strncmp(k->prefix, key, strlen(k->prefix)))
			fl_cache_remove(s->cache, k->name);
	pthread_mutex_unlock(&s->lock);
}

/* 1: there is none. */
static int kept(struct fl_s3 *s, const char *name, fl_s3_object_fn fn, void *ctx)
{
	struct fl_buf text FL_CLEANUP(fl_buf_free) = FL_BUF(KEPT_MAX);
	char path[64];
	int fd FL_CLEANUP(fl_closep) = -1;
	int r;

	if (!fl_cache_open(s->cache, name, UINT64_MAX, FL_CACHE_LISTING_S, &fd))
		return 1;
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	r = fl_file_read(AT_FDCWD, path, &text);
	if (r || !fl_s3_listing_check(text.data, text.len)) {
		fl_error_clear();
		return 1;
	}
	return fl_s3_listing_read(text.data, text.len, fn, ctx);
}

static void keep(struct fl_s3 *s, const char *name, struct fl_buf *text)
{
	struct fl_cache_file file;
	int fd;

	if (fl_s3_listing_end(text) || fl_cache_begin(s->cache, text->len, &file)) {
		fl_error_clear();
		return;
	}
	if (!file.cache || fl_write_all(file.fd, text->data, text->len))
		fl_cache_abort(&file);
	else if (!fl_cache_commit(&file, name, text->len, false, &fd))
		close(fd);
	fl_error_clear();
}

struct keeper {
	fl_s3_object_fn fn;
	void *ctx;
	struct fl_buf text;
	bool failed;
};

static int keep_one(void *ctx, const struct fl_s3_object *o)
{
	struct keeper *k = ctx;

	if (!k->failed && fl_s3_listing_add(&k->text, o))
		k->failed = true;
	return k->fn(k->ctx, o);
}

static int list_past(struct fl_s3 *s, const char *bucket, const char *prefix, fl_s3_object_fn fn, void *ctx)
{
	struct keeper k = {.fn = fn, .ctx = ctx, .text = FL_BUF(KEPT_MAX)};
	char name[FL_SHA256_HEX];
	int r;

	if (!s->cache)
		return fl_s3_list(s, bucket, prefix, NULL, fn, ctx);
	listing_name(s, bucket, prefix, name);
	r = kept(s, name, fn, ctx);
	if (r <= 0) {
		remember(s, name, bucket, prefix);
		return r;
	}
	r = fl_s3_list(s, bucket, prefix, NULL, keep_one, &k);
	if (!r && !k.failed) {
		keep(s, name, &k.text);
		remember(s, name, bucket, prefix); /* an object may be replaced before it is read */
	}
	fl_buf_free(&k.text);
	return r;
}

/* ---- a tree ---- */

struct node {
	struct node *next;
	enum fl_s3_enter enter;
	char prefix[];
};

struct walk {
	struct fl_s3 *s;
	const char *bucket;
	fl_s3_enter_fn enter;
	fl_s3_object_fn fn;
	void *ctx;
	pthread_mutex_t calls; /* one callback at a time */
	pthread_mutex_t lock;  /* of what follows */
	pthread_cond_t changed;
	struct node *first, **last;
	size_t waiting;
	unsigned busy;
	int error; /* or what a callback returned */
	char text[1024];
};

static void end_walk(struct walk *w, int r)
{
	pthread_mutex_lock(&w->lock);
	if (!w->error) {
		w->error = r;
		snprintf(w->text, sizeof w->text, "%s", r < 0 ? fl_error_text(r) : "");
	}
	pthread_cond_broadcast(&w->changed);
	pthread_mutex_unlock(&w->lock);
}

static int push(struct walk *w, const char *prefix, enum fl_s3_enter enter)
{
	struct node *n;
	int r = 0;

	if (enter == FL_S3_SKIP)
		return 0;
	n = malloc(sizeof *n + strlen(prefix) + 1);
	if (!n)
		return -ENOMEM;
	n->next = NULL;
	n->enter = enter;
	memcpy(n->prefix, prefix, strlen(prefix) + 1);
	pthread_mutex_lock(&w->lock);
	if (w->waiting == PREFIXES_MAX) {
		r = fl_fail(-E2BIG, "s3://%s/%s: more than %u prefixes; name one below", w->bucket, prefix,
			    PREFIXES_MAX);
		free(n);
	} else {
		*w->last = n;
		w->last = &n->next;
		w->waiting++;
		pthread_cond_signal(&w->changed);
	}
	pthread_mutex_unlock(&w->lock);
	return r;
}

/* NULL: it is all done, or over. */
static struct node *pop(struct walk *w)
{
	struct node *n = NULL;

	pthread_mutex_lock(&w->lock);
	while (!w->error && !w->first && w->busy)
		pthread_cond_wait(&w->changed, &w->lock);
	if (!w->error && w->first) {
		n = w->first;
		w->first = n->next;
		if (!w->first)
			w->last = &w->first;
		w->waiting--;
		w->busy++;
	}
	pthread_mutex_unlock(&w->lock);
	return n;
}

static void done(struct walk *w)
{
	pthread_mutex_lock(&w->lock);
	if (!--w->busy && !w->first)
		pthread_cond_broadcast(&w->changed);
	pthread_mutex_unlock(&w->lock);
}

static int on_entry(void *ctx, const struct fl_s3_object *o)
{
	struct walk *w = ctx;
	enum fl_s3_enter enter = FL_S3_SKIP;
	int r = 0;

	pthread_mutex_lock(&w->lock);
	r = w->error;
	pthread_mutex_unlock(&w->lock);
	if (r)
		return r;
	pthread_mutex_lock(&w->calls);
	if (o->is_prefix)
		enter = w->enter(w->ctx, o->key);
	else
		r = w->fn(w->ctx, o);
	pthread_mutex_unlock(&w->calls);
	return o->is_prefix ? push(w, o->key, enter) : r;
}

static void work(void *ctx)
{
	struct walk *w = ctx;

	for (struct node *n; (n = pop(w));) {
		int r;

		if (n->enter == FL_S3_DESCEND)
			r = fl_s3_list(w->s, w->bucket, n->prefix, "/", on_entry, w);
		else if (n->enter == FL_S3_TAKE_PAST)
			r = list_past(w->s, w->bucket, n->prefix, on_entry, w);
		else
			r = fl_s3_list(w->s, w->bucket, n->prefix, NULL, on_entry, w);
		free(n);
		if (r)
			end_walk(w, r);
		done(w);
	}
}

int fl_s3_walk(struct fl_s3 *s, const char *bucket, const char *prefix, fl_s3_enter_fn enter, fl_s3_object_fn fn,
	       void *ctx)
{
	struct walk w = {.s = s, .bucket = bucket, .enter = enter, .fn = fn, .ctx = ctx};
	enum fl_s3_enter start = enter(ctx, prefix);
	int r;

	pthread_mutex_init(&w.calls, NULL);
	pthread_mutex_init(&w.lock, NULL);
	pthread_cond_init(&w.changed, NULL);
	w.last = &w.first;
	r = push(&w, prefix, start);
	/* With one prefix there is nothing to do at once. */
	if (!r)
		fl_s3_threads(start == FL_S3_DESCEND ? s->connections : 1, work, &w);
	while (w.first) {
		struct node *n = w.first;

		w.first = n->next;
		free(n);
	}
	pthread_cond_destroy(&w.changed);
	pthread_mutex_destroy(&w.lock);
	pthread_mutex_destroy(&w.calls);
	if (r || !w.error)
		return r;
	return w.error < 0 ? fl_fail(w.error, "%s", w.text) : w.error;
}
