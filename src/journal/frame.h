/* SPDX-License-Identifier: Apache-2.0 */
/* Inside the room "journal": a frame's bytes without their envelope. */
#pragma once

#include "base/cursor.h"
#include "journal/journal.h"

#define FL_FRAME_HEAD_MAX 8192 /* window, identity and ledger: no frame's are longer */
#define FL_FLOW_BYTES_MAX 80   /* no flow is longer, the slack of 8-byte stores included */

/* Appends flows from `from` on until about max_bytes are used (at least one flow); *ret_to is where
 * the next piece begins. Ledger and SKIPDATA ride in the first piece only, so that sums over pieces
 * are right. */
int fl_frame_put(const struct fl_frame *f, size_t from, size_t max_bytes, struct fl_buf *out, size_t *ret_to);
/* The whole payload must be one frame. decode_flows false: flows NULL, n_flows as written. */
int fl_frame_get(struct fl_cursor *c, struct fl_frame *ret, void **store, size_t *store_size, bool decode_flows);
