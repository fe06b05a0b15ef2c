/* SPDX-License-Identifier: Apache-2.0 */
#include "aws/retry.h"

#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "base/units.h"

bool fl_retry_status(long status)
{
	return status == 429 || status == 408 || (status >= 500 && status != 501 && status != 505);
}

bool fl_retry_code(const char *code)
{
	static const char *const codes[] = {
	    "SlowDown",
	    "Throttling",
	    "ThrottlingException",
	    "RequestLimitExceeded",
	    "RequestThrottled",
	    "RequestTimeout",
	    "InternalError",
	    "ServiceUnavailable",
	    "TooManyRequests",
	    "BandwidthLimitExceeded",
	    "RequestThrottledException",
	    "IDPCommunicationError",
	};

	for (size_t i = 0; i < FL_ARRAY_LEN(codes); i++)
		if (!strcmp(codes[i], code))
			return true;
	return false;
}

uint64_t fl_backoff_ms(const struct fl_aws_host *host, unsigned attempt, const char *retry_after)
{
	uint64_t ceiling = FL_BACKOFF_FIRST_MS, seconds;

	if (*retry_after) {
		if (!fl_parse_u64(retry_after, 0, FL_BACKOFF_MAX_MS / 1000, &seconds))
			return seconds * 1000;
		fl_error_clear(); /* a date, or too long: our own pace */
	}
	for (unsigned i = 0; i < attempt && ceiling < FL_BACKOFF_MAX_MS; i++)
		ceiling *= 2;
	return host->random(host->ctx) % (FL_MIN(ceiling, (uint64_t)FL_BACKOFF_MAX_MS) + 1);
}
