/* SPDX-License-Identifier: Apache-2.0 */
/* What a service manager wants to hear, over the socket named in NOTIFY_SOCKET (sd_notify(3));
 * without one nothing happens. */
#pragma once

void fl_notify(const char *state); /* "READY=1\nSTATUS=..." */
