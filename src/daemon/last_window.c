/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/last_window.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cursor.h"
#include "base/error.h"
#include "base/file.h"
#include "bpf/shared.h"

#define NAME "last"
#define BYTES_MAX (4u << 20)
#define DURABLE_FROM_S 10 /* shorter windows are for tests, and would spend their time with syncing */
#define PART_AFTER_CUT 0x80000000u

int fl_last_window_note(int journalfd, const struct fl_engine *e, const uint8_t boot_id[16])
{
	struct fl_buf buf FL_CLEANUP(fl_buf_free) = FL_BUF(BYTES_MAX);
	struct fl_engine_window w = fl_engine_last(e)->window;
	int r = 0;

	for (unsigned slot = 0; !r && slot < FL_K_SLOTS; slot++) {
		const struct fl_eni *eni = fl_engine_eni(e, (uint16_t)slot);
		struct fl_frame f = {.window = {.window = w.number, .start = w.start, .length = w.length}};

		if (!eni)
			continue;
		f.eni = *eni;
		memcpy(f.window.boot_id, boot_id, sizeof f.window.boot_id);
		r = fl_frame_encode(&f, &buf);
	}
	return r ? r : fl_file_write_atomic(journalfd, NAME, buf.data, buf.len, 0640, w.length >= DURABLE_FROM_S);
}

int fl_last_window_settle(int journalfd, struct fl_journal *j)
{
	struct fl_buf buf FL_CLEANUP(fl_buf_free) = FL_BUF(BYTES_MAX);
	void *store FL_CLEANUP(fl_freep) = NULL;
	size_t store_size = 0;
	struct fl_cursor c;
	struct fl_frame f;
	int told = 0, r = fl_file_read(journalfd, NAME, &buf);

	if (r)
		return r == -ENOENT ? 0 : r;
	c = fl_cursor(buf.data, buf.len);
	while ((r = fl_frame_decode(&c, &f, &store, &store_size)) > 0) {
		f.window.window++;
		f.window.start += f.window.length;
		f.window.part = PART_AFTER_CUT;
		f.window.flags = FL_WINDOW_SKIPDATA;
		f.n_flows = 0;
		memset(f.ledger, 0, sizeof f.ledger);
		r = fl_journal_append(j, &f);
		if (r < 0)
			break;
		told++;
	}
	if (!r && told)
		r = fl_journal_commit(j, f.window.window, f.window.start, f.window.length);
	if (!r)
		fl_last_window_forget(journalfd);
	return r < 0 ? fl_wrap(r, "telling of the window that a power cut left open") : told;
}

void fl_last_window_forget(int journalfd)
{
	unlinkat(journalfd, NAME, 0);
}
