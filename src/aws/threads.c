/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "aws/client.h"

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
