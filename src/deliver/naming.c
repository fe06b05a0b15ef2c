/* SPDX-License-Identifier: Apache-2.0 */
/* AWS's keys and names: destinations.md 1.1 and 1.2. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/error.h"
#include "base/hash.h"
#include "deliver/log.h"

const char *const fl_file_formats[FL_FILE_N] = {"plain-text", "parquet"};
static const char *const endings[FL_FILE_N] = {".log.gz", ".log.parquet"};

void fl_log_dir(const struct fl_flow_log *log, char ret[FL_KEY_MAX])
{
	const char *prefix = log->prefix;
	size_t n;

	while (*prefix == '/')
		prefix++;
	n = strlen(prefix);
	while (n && prefix[n - 1] == '/')
		n--;
	snprintf(ret, FL_KEY_MAX, "%.*s%sAWSLogs", (int)n, prefix, n ? "/" : "");
}

/* Eight hexadecimal digits that follow from what the object is. */
static void hash_of(const struct fl_flow_log *log, int64_t slot, unsigned part, struct fl_position from,
		    struct fl_position to, unsigned salt, char ret[9])
{
	uint8_t digest[32];
	char text[256];
	int n = snprintf(text, sizeof text, "%s %" PRIu64 ".%" PRIu64 " %" PRIu64 ".%" PRIu64 " %" PRId64 ".%u %u",
			 log->id, from.segment, from.offset, to.segment, to.offset, slot, part, salt);

	fl_sha256(text, (size_t)n, digest);
	fl_hex(digest, 4, ret);
}

int fl_object_name(const struct fl_flow_log *log, int64_t slot, const char *hash, const char *ending, char *ret,
		   size_t size)
{
	char dir[FL_KEY_MAX], hour[16] = "", day[64], stamp[32];
	time_t t = (time_t)slot;
	struct tm tm;

	if (slot < 0 || !gmtime_r(&t, &tm) || tm.tm_year + 1900 > 9999)
		return fl_fail(-ERANGE, "a record that ends at %" PRId64 " has no place in an object's name", slot);
	fl_log_dir(log, dir);
	strftime(day, sizeof day, log->hive ? "year=%Y/month=%m/day=%d/" : "%Y/%m/%d/", &tm);
	if (log->per_hour)
		strftime(hour, sizeof hour, log->hive ? "hour=%H/" : "%H/", &tm);
	strftime(stamp, sizeof stamp, "%Y%m%dT%H%MZ", &tm);
	if ((size_t)snprintf(ret, size,
			     log->hive ? "%s/aws-account-id=%s/aws-service=vpcflowlogs/aws-region=%s/%s%s"
					 "%s_vpcflowlogs_%s_%s_%s_%s%s"
				       : "%s/%s/vpcflowlogs/%s/%s%s%s_vpcflowlogs_%s_%s_%s_%s%s",
			     dir, log->account_id, log->region, day, hour, log->account_id, log->region, log->id, stamp,
			     hash, ending) >= size)
		return fl_fail(-ENAMETOOLONG, "flow log %s: the prefix is too long for an object's key", log->id);
	return 0;
}

int fl_object_key(const struct fl_flow_log *log, int64_t slot, unsigned part, struct fl_position from,
		  struct fl_position to, unsigned salt, char ret[FL_KEY_MAX])
{
	char hash[9];

	hash_of(log, slot, part, from, to, salt, hash);
	return fl_object_name(log, slot, hash, endings[log->file_format], ret, FL_KEY_MAX);
}

int64_t fl_object_time(const char *name, const char *log_id)
{
	const char *at = strstr(name, log_id);
	struct tm tm = {0};
	const char *end;

	if (!at || at == name || at[-1] != '_' || !strstr(name, "_vpcflowlogs_"))
		return -1;
	end = strptime(at + strlen(log_id), "_%Y%m%dT%H%MZ_", &tm);
	if (!end)
		return -1;
	end += strspn(end, "0123456789abcdef");
	for (size_t i = 0; i < FL_FILE_N; i++)
		if (!strcmp(end, endings[i]))
			return (int64_t)timegm(&tm);
	return -1;
}
