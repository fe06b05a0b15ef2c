/* SPDX-License-Identifier: Apache-2.0 */
#include "base/units.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/error.h"
#include "base/mem.h"

struct unit {
	const char *name;
	uint64_t factor;
};

static const struct unit durations[] = {
    {"", 1000000000ull},
    {"ns", 1},
    {"us", 1000},
    {"ms", 1000000},
    {"s", 1000000000ull},
    {"m", 60000000000ull},
    {"h", 3600000000000ull},
    {"d", 86400000000000ull},
};
static const struct unit sizes[] = {
    {"", 1},
    {"B", 1},
    {"KiB", 1ull << 10},
    {"MiB", 1ull << 20},
    {"GiB", 1ull << 30},
    {"TiB", 1ull << 40},
    {"K", 1ull << 10},
    {"M", 1ull << 20},
    {"G", 1ull << 30},
    {"KB", 1000},
    {"MB", 1000000},
    {"GB", 1000000000ull},
    {"TB", 1000000000000ull},
};

/* The decimal digits at the start of text; false when there are none or too many. */
static bool leading_number(const char *text, uint64_t *ret, const char **ret_end)
{
	char *end;

	*ret = 0;
	*ret_end = text;
	if (!isdigit((unsigned char)*text))
		return false;
	errno = 0;
	*ret = strtoull(text, &end, 10);
	*ret_end = end;
	return !errno;
}

static int parse_with(const char *text, const struct unit *units, size_t n, const char *what, const char *example,
		      uint64_t *ret)
{
	const char *end;
	uint64_t v;

	if (!leading_number(text, &v, &end))
		return fl_fail(-EINVAL, "\"%s\" is not a %s (for example %s)", text, what, example);
	for (size_t i = 0; i < n; i++) {
		if (strcmp(units[i].name, end))
			continue;
		if (__builtin_mul_overflow(v, units[i].factor, ret))
			return fl_fail(-ERANGE, "\"%s\" is too large for a %s", text, what);
		return 0;
	}
	return fl_fail(-EINVAL, "\"%s\" is not a %s: unit \"%s\" is not known (for example %s)", text, what, end,
		       example);
}

int fl_parse_duration_ns(const char *text, uint64_t *ret)
{
	return parse_with(text, durations, FL_ARRAY_LEN(durations), "duration", "60s, 10m, 500ms", ret);
}

int fl_parse_size(const char *text, uint64_t *ret)
{
	return parse_with(text, sizes, FL_ARRAY_LEN(sizes), "size", "64MiB, 1GiB", ret);
}

int fl_parse_u64(const char *text, uint64_t min, uint64_t max, uint64_t *ret)
{
	const char *end;
	uint64_t v;

	if (!leading_number(text, &v, &end) || *end || v < min || v > max)
		return fl_fail(-EINVAL, "\"%s\" is not a number from %llu to %llu", text, (unsigned long long)min,
			       (unsigned long long)max);
	*ret = v;
	return 0;
}

static char *human(uint64_t v, const char *unit, char ret[16])
{
	static const char prefix[] = " kMGTPE";
	double d = (double)v;
	unsigned i = 0;

	while (d >= 999.5 && i < 6) {
		d /= 1000;
		i++;
	}
	if (!i)
		snprintf(ret, 16, *unit ? "%u %s" : "%u", (unsigned)v, unit);
	else
		snprintf(ret, 16, d < 9.95 ? "%.1f %c%s" : "%.0f %c%s", d, prefix[i], unit);
	return ret;
}

char *fl_human_bytes(uint64_t v, char ret[16])
{
	return human(v, "B", ret);
}

char *fl_human_count(uint64_t v, char ret[16])
{
	return human(v, "", ret);
}

char *fl_time_rfc3339(int64_t unix_s, char ret[24])
{
	time_t t = unix_s;
	struct tm tm;

	if (!gmtime_r(&t, &tm) || !strftime(ret, 24, "%Y-%m-%dT%H:%M:%SZ", &tm))
		snprintf(ret, 24, "%lld", (long long)unix_s);
	return ret;
}

int fl_parse_time(const char *text, int64_t *ret_unix_s)
{
	static const char *const forms[] = {"%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%dT%H:%MZ", "%Y-%m-%d"};
	uint64_t v;

	if (!fl_parse_u64(text, 0, INT64_MAX, &v)) {
		*ret_unix_s = (int64_t)v;
		return 0;
	}
	for (size_t i = 0; i < FL_ARRAY_LEN(forms); i++) {
		struct tm tm = {0};
		char *end = strptime(text, forms[i], &tm);

		if (end && !*end) {
			*ret_unix_s = timegm(&tm);
			return 0;
		}
	}
	return fl_fail(-EINVAL, "\"%s\" is not a time (for example 2026-11-24T11:20:00Z, or Unix seconds)", text);
}
