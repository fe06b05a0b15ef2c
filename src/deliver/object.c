/* SPDX-License-Identifier: Apache-2.0 */
/* Objects on their way: text that is compressed as it comes, or text that becomes columns and then Parquet. */
#include <errno.h>
#include <stdlib.h>

#include "base/error.h"
#include "deliver/log.h"

#define TEXT_STEP ((size_t)256 << 10) /* compressed at once: fits into the second-level cache */
#define TEXT_MAX (TEXT_STEP + 2 * FL_RECORD_MAX + 65536)
#define BODY_MAX ((size_t)FL_OBJECT_MAX)
#define GZ_CUT (BODY_MAX - 4 * TEXT_STEP) /* what is still in the stream fits beyond it */
#define GROUP_BYTES ((size_t)16 << 20)    /* of a row group, in memory: more than it has in the file */
#define PARQUET_CUT (BODY_MAX - 2 * GROUP_BYTES)

static void object_free(struct fl_object **x)
{
	if (!*x)
		return;
	fl_buf_free(&(*x)->text);
	fl_buf_free(&(*x)->body);
	fl_gz_free(&(*x)->stream);
	fl_parquet_writer_free(&(*x)->parquet);
	free(*x);
	*x = NULL;
}

void fl_objects_free(struct fl_objects *o)
{
	for (size_t i = 0; i < o->n; i++)
		object_free(&o->object[i]);
	free(o->object);
	*o = (struct fl_objects){.columns = o->columns};
}

struct fl_object *fl_objects_at(struct fl_objects *o, int64_t slot, const struct fl_encoder *e)
{
	struct fl_object *x = NULL, **grown;
	unsigned part = 0;

	if (o->last && o->last->slot == slot && !o->last->full)
		return o->last;
	for (size_t i = o->n; i-- > 0;)
		if (o->object[i]->slot == slot) {
			if (!o->object[i]->full)
				return o->last = o->object[i];
			part = o->object[i]->part + 1;
			break;
		}
	grown = realloc(o->object, (o->n + 1) * sizeof *grown);
	if (grown)
		o->object = grown;
	x = grown ? calloc(1, sizeof *x) : NULL;
	if (!x)
		return NULL;
	*x = (struct fl_object){.slot = slot, .part = part, .text = FL_BUF(TEXT_MAX), .body = FL_BUF(BODY_MAX)};
	if (!o->columns && fl_encode_header(e, &x->text)) {
		object_free(&x);
		return NULL;
	}
	o->object[o->n++] = x;
	return o->last = x;
}

static int compress_text(struct fl_object *x, bool end)
{
	int r = x->stream ? 0 : fl_gz_new(&x->stream);

	if (!r)
		r = fl_gz_add(x->stream, x->text.data, x->text.len, end, &x->body);
	if (end)
		fl_gz_free(&x->stream);
	return r;
}

/* ---- Parquet ---- */

void fl_object_columns_free(struct fl_object_columns *c)
{
	fl_text_free(&c->text);
	fl_batch_free(&c->batch);
}

int fl_object_columns_init(struct fl_object_columns *c, const struct fl_format *format)
{
	size_t n = fl_format_len(format);
	int r = fl_text_new(&c->text, NULL);

	c->format = format;
	for (size_t i = 0; i < n; i++)
		fl_column_find(fl_format_name(format, i), &c->def[i]);
	/* gzip inside, as AWS's (destinations.md 1.4). */
	c->conf = (struct fl_parquet_conf){.columns = c->def,
					   .n_columns = n,
					   .codec = FL_CODEC_GZIP,
					   .group_bytes = GROUP_BYTES,
					   .log_format = fl_format_text(format)};
	return r ? r : fl_batch_new(&c->batch, c->def, n);
}

static int write_columns(struct fl_objects *o, struct fl_object *x, bool end)
{
	struct fl_object_columns *c = o->columns;
	const struct fl_text_want want = {.batch = c->batch};
	const char *at = x->text.data;
	size_t left = x->text.len, used;
	int r = x->parquet ? 0 : fl_parquet_writer_new(&x->parquet, &c->conf, fl_parquet_into_buf, &x->body);

	if (!r)
		r = fl_buf_reserve(&x->text, FL_TEXT_PAD); /* which the scanner may read */
	if (!r)
		r = fl_text_begin(c->text, c->format, &want);
	at = x->text.data;
	while (!r && left && (r = fl_text_next(c->text, at, left, true, &used)) == 1) {
		at += used;
		left -= used;
		r = fl_parquet_write(x->parquet, c->batch);
	}
	if (!r && end)
		r = fl_parquet_finish(x->parquet);
	if (end)
		fl_parquet_writer_free(&x->parquet);
	return r;
}

/* What is text so far becomes a part of the object. */
static int take_text(struct fl_objects *o, struct fl_object *x, bool end)
{
	size_t before = x->body.len;
	int r = o->columns ? write_columns(o, x, end) : compress_text(x, end);

	if (r)
		return r;
	fl_buf_reset(&x->text);
	o->bytes += x->body.len - before;
	if (end) {
		fl_buf_free(&x->text);
		x->full = true;
	}
	return 0;
}

int fl_object_flush(struct fl_objects *o, struct fl_object *x)
{
	if (fl_likely(x->text.len < TEXT_STEP))
		return 0;
	return take_text(o, x, x->body.len > (o->columns ? PARQUET_CUT : GZ_CUT));
}

int fl_objects_finish(struct fl_objects *o)
{
	int r = 0;

	for (size_t i = 0; !r && i < o->n; i++)
		if (!o->object[i]->full)
			r = take_text(o, o->object[i], true);
	return r;
}
