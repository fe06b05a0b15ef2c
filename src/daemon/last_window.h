/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a power cut costs is announced: the log in shared memory goes with the power, so the file
 * "last" beside the journal's segments remembers which interfaces were metered in the newest closed
 * window. When the next start finds it without a log, the window after it is written as SKIPDATA.
 */
#pragma once

#include "daemon/engine.h"
#include "journal/journal.h"

int fl_last_window_note(int journalfd, const struct fl_engine *e, const uint8_t boot_id[16]);
/* Positive: so many interfaces were told; 0: there was nothing to tell. */
int fl_last_window_settle(int journalfd, struct fl_journal *j);
void fl_last_window_forget(int journalfd); /* after a clean stop */
