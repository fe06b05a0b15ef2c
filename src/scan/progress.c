/* SPDX-License-Identifier: Apache-2.0 */
/* How far a scan is: bytes, rate, time left. The thread that finds the line old draws it. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/units.h"
#include "scan/set.h"

#define FIRST_NS (700 * FL_NS_PER_MS) /* what is over sooner shows nothing */
#define EVERY_NS (200 * FL_NS_PER_MS)

void fl_progress_begin(struct fl_scan *s)
{
	struct fl_progress *p = &s->progress;

	pthread_mutex_init(&p->lock, NULL);
	p->on = s->conf.progress && isatty(STDERR_FILENO);
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

static void draw(struct fl_scan *s, uint64_t now)
{
	struct fl_progress *p = &s->progress;
	char done[16], all[16], rate[16];
	uint64_t bytes = p->bytes, spent = now - p->began_ns, total;

	if (!p->drawn)
		p->total = total_bytes(s);
	p->drawn = true;
	total = (uint64_t)FL_MAX((long long)p->total + p->otherwise, 0ll);
	fl_human_bytes(bytes, done);
	fl_human_bytes(bytes * FL_NS_PER_S / FL_MAX(spent, UINT64_C(1)), rate);
	if (total > bytes && bytes) {
		uint64_t left = (uint64_t)((double)(total - bytes) / (double)bytes * (double)spent / FL_NS_PER_S);

		fprintf(stderr, "\r%s of %s, %llu files, %s/s, %llu s left \033[K", done, fl_human_bytes(total, all),
			(unsigned long long)p->files_done, rate, (unsigned long long)left + 1);
	} else {
		fprintf(stderr, "\r%s, %llu files, %s/s \033[K", done, (unsigned long long)p->files_done, rate);
	}
}

void fl_scan_add_bytes(struct fl_scan_reader *r, uint64_t n)
{
	struct fl_progress *p = &r->s->progress;
	uint64_t now;

	r->report.bytes += n;
	if (!p->on)
		return;
	p->bytes += n;
	now = fl_mono_ns(&fl_clock_system);
	if (now < p->next_ns || pthread_mutex_trylock(&p->lock))
		return;
	if (now >= p->next_ns && p->on) {
		p->next_ns = now + EVERY_NS;
		draw(r->s, now);
	}
	pthread_mutex_unlock(&p->lock);
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
	if (p->on && p->drawn)
		fputs("\r\033[K", stderr);
	p->on = false;
	pthread_mutex_unlock(&p->lock);
}
