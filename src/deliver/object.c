/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>

#include "base/error.h"
#include "deliver/log.h"

#define TEXT_STEP ((size_t)256 << 10) /* compressed at once: fits into the second-level cache */
#define TEXT_MAX (TEXT_STEP + 2 * FL_RECORD_MAX + 65536)
#define GZ_MAX ((size_t)FL_OBJECT_MAX)
#define GZ_CUT (GZ_MAX - 4 * TEXT_STEP) /* what is still in the stream fits beyond it */

static void object_free(struct fl_object **x)
{
	if (!*x)
		return;
	fl_buf_free(&(*x)->text);
	fl_buf_free(&(*x)->gz);
	fl_gz_free(&(*x)->stream);
	free(*x);
	*x = NULL;
}

void fl_objects_free(struct fl_objects *o)
{
	for (size_t i = 0; i < o->n; i++)
		object_free(&o->object[i]);
	free(o->object);
	*o = (struct fl_objects){0};
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
	*x = (struct fl_object){.slot = slot, .part = part, .text = FL_BUF(TEXT_MAX), .gz = FL_BUF(GZ_MAX)};
	if (fl_encode_header(e, &x->text)) {
		object_free(&x);
		return NULL;
	}
	o->object[o->n++] = x;
	return o->last = x;
}

static int compress_text(struct fl_objects *o, struct fl_object *x, bool end)
{
	size_t before = x->gz.len;
	int r = x->stream ? 0 : fl_gz_new(&x->stream);

	if (!r)
		r = fl_gz_add(x->stream, x->text.data, x->text.len, end, &x->gz);
	if (r)
		return r;
	fl_buf_reset(&x->text);
	o->bytes += x->gz.len - before;
	if (end) {
		fl_gz_free(&x->stream);
		fl_buf_free(&x->text);
		x->full = true;
	}
	return 0;
}

int fl_object_flush(struct fl_objects *o, struct fl_object *x)
{
	if (fl_likely(x->text.len < TEXT_STEP))
		return 0;
	return compress_text(o, x, x->gz.len > GZ_CUT);
}

int fl_objects_finish(struct fl_objects *o)
{
	int r = 0;

	for (size_t i = 0; !r && i < o->n; i++)
		if (!o->object[i]->full)
			r = compress_text(o, o->object[i], true);
	return r;
}
