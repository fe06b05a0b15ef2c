/* SPDX-License-Identifier: Apache-2.0 */
/* The connection table's bytes. What decodes encodes to the same set again; a table too small for them stays bounded.
 */
#include <stdlib.h>
#include <string.h>

#include "policy/policy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static int decode(const uint8_t *data, size_t n, size_t capacity, struct fl_buf *out, size_t *ret_used)
{
	struct fl_connections *c FL_CLEANUP(fl_connections_free) = NULL;
	struct fl_cursor cursor = fl_cursor(data, n);
	struct fl_connections_stats stats;
	int r;

	if (fl_connections_new(&c, &(struct fl_connections_conf){.capacity = capacity, .seed = n}))
		abort();
	r = fl_connections_decode(c, &cursor);
	fl_connections_stats(c, &stats);
	*ret_used = stats.used;
	if (stats.used > stats.capacity)
		abort();
	if (!r && fl_connections_encode(c, 0, out))
		abort();
	fl_connections_expire(c, UINT64_MAX, SIZE_MAX);
	fl_connections_stats(c, &stats);
	if (stats.used)
		abort();
	return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct fl_buf first FL_CLEANUP(fl_buf_free) = FL_BUF(1u << 24),
			    second FL_CLEANUP(fl_buf_free) = FL_BUF(1u << 24);
	size_t used, again;

	decode(data, n, 16, &first, &used);
	fl_buf_reset(&first);
	if (decode(data, n, 1u << 14, &first, &used))
		return 0;
	if (decode((const uint8_t *)first.data, first.len, 1u << 14, &second, &again) || first.len != second.len)
		abort();
	return 0;
}
