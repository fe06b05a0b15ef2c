/* SPDX-License-Identifier: Apache-2.0 */
/* fl_frame_decode on anything. What decodes is encoded and decoded again to the same frame. */
#include <stdlib.h>
#include <string.h>

#include "base/cursor.h"
#include "base/hash.h"
#include "journal/journal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* Those of the flows: what no flow has is not written again. */
static bool same_grounds(const struct fl_frame *f, const struct fl_frame *g)
{
	for (size_t i = 0; i < f->n_flows; i++) {
		const struct fl_ground *a = fl_frame_ground(f, i), *b = fl_frame_ground(g, i);

		if (!a != !b || (a && memcmp(a, b, sizeof *a)))
			return false;
	}
	return true;
}

static void decode(const uint8_t *data, size_t n)
{
	struct fl_cursor c = fl_cursor(data, n), again;
	struct fl_buf buf FL_CLEANUP(fl_buf_free) = FL_BUF(1u << 28);
	void *store = NULL, *other = NULL;
	size_t store_size = 0, other_size = 0;
	struct fl_frame f, g;

	while (fl_frame_decode(&c, &f, &store, &store_size) == 1) {
		fl_buf_reset(&buf);
		if (fl_frame_encode(&f, &buf))
			abort();
		again = fl_cursor(buf.data, buf.len);
		if (fl_frame_decode(&again, &g, &other, &other_size) != 1 || g.n_flows != f.n_flows ||
		    memcmp(&g.window, &f.window, sizeof g.window) || memcmp(&g.eni, &f.eni, sizeof g.eni) ||
		    memcmp(g.ledger, f.ledger, sizeof g.ledger) || g.n_inside != f.n_inside ||
		    memcmp(g.inside, f.inside, f.n_inside * sizeof *f.inside) ||
		    (f.n_flows && memcmp(g.flows, f.flows, f.n_flows * sizeof *f.flows)) || !same_grounds(&f, &g))
			abort();
	}
	free(store);
	free(other);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const uint32_t magic = 0x31464c46;
	uint8_t *copy;
	uint32_t head[3];

	decode(data, n);
	/* The checksum is no wall for a fuzzer: the same bytes as a payload. */
	copy = malloc(n + sizeof head);
	if (!copy)
		return 0;
	head[0] = magic;
	head[1] = (uint32_t)n;
	head[2] = fl_crc32c(0, data, n);
	memcpy(copy, head, sizeof head);
	memcpy(copy + sizeof head, data, n);
	decode(copy, n + sizeof head);
	free(copy);
	return 0;
}
