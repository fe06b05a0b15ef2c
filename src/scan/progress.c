/* SPDX-License-Identifier: Apache-2.0 */
/* How far a scan is. The thread that finds what was told old tells it anew. */
#include <stdlib.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "scan/set.h"

#define FIRST_NS (700 * FL_NS_PER_MS) /* of what is over sooner nothing is told */
#define EVERY_NS (200 * FL_NS_PER_MS)

void fl_progress_begin(struct fl_scan *s)
{
	struct fl_progress *p = &s->progress;

	pthread_mutex_init(&p->lock, NULL);
	p->on = s->conf.progress != NULL;
	p->began_ns = fl_mono_ns(&fl_clock_system);
	p->next_ns = p->began_ns + FIRST_NS;
}

/* Sizes of all files that will be read; asked of the disk only by a scan that takes long enough. */
static uint64_t total_bytes(struct fl_scan *s)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < s->places.n; i++)
		for (size_t k = 0; k < s->places.place[i]->n; k++) {
			const struct fl_scan_file *f = &s->places.place[i]->file[k];
			char *path;
			struct stat st;

			if (f->where == FL_WHERE_JOURNAL || f->where == FL_WHERE_STDIN ||
			    fl_pass_is_outside(&s->pass, f))
				continue;
			if (f->where == FL_WHERE_S3) {
				sum += f->size;
				continue;
			}
			path = fl_place_path(s->places.place[i], f);
			if (path && !stat(path, &st) && S_ISREG(st.st_mode))
				sum += (uint64_t)st.st_size;
			free(path);
		}
	return sum;
}

static void tell(struct fl_scan *s, uint64_t now, bool over)
{
	struct fl_progress *p = &s->progress;
	struct fl_scan_progress out = {
	    .bytes = p->bytes, .files = p->files_done, .spent_ns = now - p->began_ns, .over = over};

	if (!p->told)
		p->total = total_bytes(s);
	p->told = true;
	out.total = (uint64_t)FL_MAX((long long)p->total + p->otherwise, 0ll);
	s->conf.progress(s->conf.progress_ctx, &out);
}

static void count(struct fl_scan *s, uint64_t n)
{
	struct fl_progress *p = &s->progress;
	uint64_t now;

	if (!p->on)
		return;
	p->bytes += n;
	now = fl_mono_ns(&fl_clock_system);
	if (now < p->next_ns || pthread_mutex_trylock(&p->lock))
		return;
	if (now >= p->next_ns && p->on) {
		p->next_ns = now + EVERY_NS;
		tell(s, now, false);
	}
	pthread_mutex_unlock(&p->lock);
}

void fl_scan_add_bytes(struct fl_scan_reader *r, uint64_t n)
{
	r->report.bytes += n;
	if (!r->unit || !r->unit->opened || !r->unit->opened->fetched)
		count(r->s, n);
}

void fl_progress_arrived(void *scan, uint64_t bytes, bool from_cache)
{
	(void)from_cache;
	count(scan, bytes);
}

void fl_progress_file(struct fl_scan *s)
{
	s->progress.files_done++;
}

void fl_progress_expect(struct fl_scan *s, int64_t more)
{
	s->progress.otherwise += more;
}

void fl_progress_end(struct fl_scan *s)
{
	struct fl_progress *p = &s->progress;

	if (!p->on)
		return;
	pthread_mutex_lock(&p->lock);
	if (p->on && p->told)
		tell(s, fl_mono_ns(&fl_clock_system), true);
	p->on = false;
	pthread_mutex_unlock(&p->lock);
}
