/* SPDX-License-Identifier: Apache-2.0 */
/* What a bucket holds: by AWS's layout only the days that are asked for. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/error.h"
#include "scan/layout.h"
#include "scan/set.h"

#define LEVELS_MAX 8          /* of prefixes that are no layout; below them a listing goes straight on */
#define SETTLED_S (2 * 86400) /* after a day's end nothing is delivered into it any more */

struct walk {
	struct fl_scan *s;
	struct fl_place *place;
	int64_t now;
};

static unsigned levels(const char *prefix)
{
	unsigned n = 0;

	for (; *prefix; prefix++)
		n += *prefix == '/';
	return n;
}

static enum fl_s3_enter enter(void *ctx, const char *prefix)
{
	struct walk *w = ctx;
	struct fl_layout_span span;
	enum fl_layout_level level = fl_layout_of_dir(prefix, &span);
	const char *slash = strrchr(prefix, '/');

	/* "2025/0" is no month, and "2025" may go on as "20250": names below decide. */
	if (level == FL_LAYOUT_NONE || !slash || slash[1])
		return levels(prefix) < LEVELS_MAX ? FL_S3_DESCEND : FL_S3_TAKE;
	if (!fl_scan_may_pass(w->s, span.first, span.last)) {
		w->s->listed.directories_pruned++;
		return FL_S3_SKIP;
	}
	if (level < FL_LAYOUT_MONTH || (level == FL_LAYOUT_MONTH && w->s->filter))
		return FL_S3_DESCEND;
	return span.last + SETTLED_S < w->now ? FL_S3_TAKE_PAST : FL_S3_TAKE;
}

static bool is_hidden(const char *key)
{
	const char *slash = strrchr(key, '/'), *name = slash ? slash + 1 : key;

	return !*name || *name == '.';
}

/* What the directories above a key say. */
static struct fl_layout_span span_of_place(const char *key)
{
	const char *slash = strrchr(key, '/');
	struct fl_layout_span span = FL_LAYOUT_ANY;
	char dir[FL_S3_KEY_MAX];

	if (!slash || (size_t)(slash - key) >= sizeof dir)
		return span;
	memcpy(dir, key, (size_t)(slash - key));
	dir[slash - key] = '\0';
	fl_layout_of_dir(dir, &span);
	return span;
}

static int on_object(void *ctx, const struct fl_s3_object *o)
{
	struct walk *w = ctx;
	const char *slash = strrchr(o->key, '/');
	struct fl_layout_span span;
	int r;

	if (o->is_prefix || !o->size || is_hidden(o->key))
		return 0;
	if (!fl_layout_of_name(slash ? slash + 1 : o->key, &span, NULL, NULL))
		span = span_of_place(o->key);
	if (!fl_scan_may_pass(w->s, span.first, span.last)) {
		w->place->pruned++;
		w->s->listed.bytes_pruned += o->size;
		return 0;
	}
	r = fl_place_add(
	    w->place, o->key, strlen(o->key),
	    (struct fl_scan_file){.where = FL_WHERE_S3, .size = o->size, .first = span.first, .last = span.last});
	return r ? r : fl_buf_add(&w->place->names, o->etag, strlen(o->etag) + 1);
}

static int make_client(struct fl_scan *s)
{
	struct fl_s3_options o = {.profile = s->conf.profile,
				  .region = s->conf.region,
				  .endpoint_url = s->conf.endpoint_url,
				  .anonymous = s->conf.anonymous,
				  .requester_pays = s->conf.requester_pays,
				  .stop = s->conf.stop,
				  .progress = fl_progress_arrived,
				  .progress_ctx = s};

	return s->s3 ? 0 : fl_s3_new(&s->s3, &o);
}

int fl_scan_list_s3(struct fl_scan *s, const char *url, size_t source)
{
	struct walk w = {.s = s, .now = (int64_t)time(NULL)};
	char bucket[FL_S3_BUCKET_MAX], path[FL_S3_BUCKET_MAX + 8];
	const char *prefix;
	int r = fl_s3_parse_url(url, bucket, &prefix);

	r = r ? r : make_client(s);
	if (r)
		return r;
	snprintf(path, sizeof path, FL_S3_SCHEME "%s/", bucket);
	r = fl_place_new(&s->places, path, &w.place);
	if (r)
		return r;
	w.place->source = source;
	w.place->bucket = strdup(bucket);
	if (!w.place->bucket)
		return -ENOMEM;
	r = fl_s3_walk(s->s3, bucket, prefix, enter, on_object, &w);
	if (r == -ECANCELED)
		return fl_fail(-EINTR, FL_SCAN_STOPPED);
	if (!r && !w.place->n && !w.place->pruned && !s->listed.directories_pruned)
		return fl_fail(-ENOENT, "%s: there is no object below this", url);
	fl_place_sort(w.place);
	return r;
}
