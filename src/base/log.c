/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define LINE_MAX_BYTES 2048

static enum fl_log_level max_level = FL_LOG_INFO;
static const char *role_name;

void fl_log_set_level(enum fl_log_level max)
{
	max_level = max;
}

void fl_log_set_role(const char *role)
{
	role_name = role;
}

static int prefix(char *line, size_t size, enum fl_log_level level)
{
	char stamp[32];
	time_t now = time(NULL);
	struct tm tm;

	if (getenv("JOURNAL_STREAM"))
		return snprintf(line, size, "<%d>", level);
	strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%SZ ", gmtime_r(&now, &tm));
	return snprintf(line, size, "%s", stamp);
}

void fl_log(enum fl_log_level level, const char *fmt, ...)
{
	char text[LINE_MAX_BYTES], line[LINE_MAX_BYTES + 64];
	size_t at;
	va_list ap;

	if (level > max_level)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	at = (size_t)prefix(line, sizeof line, level);
	at += (size_t)snprintf(line + at, sizeof line - at, "%s%s", role_name ? role_name : "", role_name ? ": " : "");
	for (const char *p = text; *p && at < sizeof line - 6; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			at += (size_t)snprintf(line + at, sizeof line - at, "\\x%02x", (unsigned char)*p);
		else
			line[at++] = *p;
	line[at++] = '\n';
	/* Nowhere to report a failure to report. */
	if (write(STDERR_FILENO, line, at) < 0)
		return;
}
