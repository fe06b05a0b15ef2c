/* SPDX-License-Identifier: Apache-2.0 */
/* When another attempt is worth it, and how long to wait before it (AWS "Retry behavior": full jitter). */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "aws/aws.h"

#define FL_BACKOFF_FIRST_MS 100
#define FL_BACKOFF_MAX_MS 20000

bool fl_retry_status(long status);
/* S3's and STS's codes for "slow down", "not now", and a clock or key that is a moment behind. */
bool fl_retry_code(const char *code);
/* attempt: those made so far, from 1. retry_after: the header, "" without; seconds are honoured up to the ceiling. */
uint64_t fl_backoff_ms(const struct fl_aws_host *host, unsigned attempt, const char *retry_after);
