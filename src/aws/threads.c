/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>

#include "aws/client.h"
#include "base/error.h"

struct job {
	void (*fn)(void *ctx);
	void *ctx;
};

static void *run(void *ctx)
{
	struct job *j = ctx;

	j->fn(j->ctx);
	return NULL;
}

/* With fewer threads, or none, the work is done by those there are. */
void fl_s3_threads(unsigned n, void (*fn)(void *ctx), void *ctx)
{
	struct job job = {fn, ctx};
	pthread_t *threads = n > 1 ? calloc(n - 1, sizeof *threads) : NULL;
	unsigned made = 0;

	while (threads && made < n - 1 && !pthread_create(&threads[made], NULL, run, &job))
		made++;
	fn(ctx);
	while (made)
		pthread_join(threads[--made], NULL);
	free(threads);
}

void fl_s3_error_init(struct fl_s3_error *e)
{
	pthread_mutex_init(&e->lock, NULL);
	atomic_init(&e->error, 0);
}

void fl_s3_error_keep(struct fl_s3_error *e, int r)
{
	pthread_mutex_lock(&e->lock);
	if (!atomic_load(&e->error)) {
		snprintf(e->text, sizeof e->text, "%s", fl_error_text(r));
		atomic_store(&e->error, r);
	}
	pthread_mutex_unlock(&e->lock);
}

int fl_s3_error_end(struct fl_s3_error *e)
{
	int r = atomic_load(&e->error);

	pthread_mutex_destroy(&e->lock);
	return r ? fl_fail(r, "%s", e->text) : 0;
}
