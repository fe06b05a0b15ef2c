/* SPDX-License-Identifier: Apache-2.0 */
#include "scan/layout.h"

#include <string.h>

#define SERVICE "vpcflowlogs" /* of VPC and transit gateway flow logs alike */
#define PARTS_MAX 256         /* of a path */

/* Days from 1970 of a day in the proleptic Gregorian calendar: years begin in March, so that the leap day is last. */
static int64_t days_of(int64_t year, unsigned month, unsigned day)
{
	int64_t y = month > 2 ? year : year - 1, era = (y >= 0 ? y : y - 399) / 400;
	unsigned of_era = (unsigned)(y - era * 400),
		 of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;

	return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

static unsigned days_in(unsigned year, unsigned month)
{
	return (unsigned)(days_of(month == 12 ? year + 1 : year, month == 12 ? 1 : month + 1, 1) -
			  days_of(year, month, 1));
}

/* Exactly n digits; -1: something else. */
static int digits(const char *p, size_t n)
{
	int v = 0;

	for (size_t i = 0; i < n; i++) {
		if (p[i] < '0' || p[i] > '9')
			return -1;
		v = 10 * v + (p[i] - '0');
	}
	return v;
}

static struct fl_layout_span around(int64_t from, int64_t to)
{
	return (struct fl_layout_span){from - FL_LAYOUT_BEFORE_S, to + FL_LAYOUT_AFTER_S};
}

/* ---- directories ---- */

struct part {
	const char *p;
	size_t n;
};

/* The value of "key=value", or with hive false all of it; n = 0: another key. */
static struct part value_of(struct part x, const char *key, bool hive)
{
	size_t n = strlen(key);

	if (!hive)
		return x;
	return x.n > n && x.p[n] == '=' && !memcmp(x.p, key, n) ? (struct part){x.p + n + 1, x.n - n - 1}
								: (struct part){x.p, 0};
}

static bool is_account(struct part x)
{
	if (x.n != 12)
		return false;
	for (size_t i = 0; i < x.n; i++)
		if (x.p[i] < '0' || x.p[i] > '9')
			return false;
	return true;
}

static bool is_region(struct part x)
{
	for (size_t i = 0; i < x.n; i++)
		if (!((x.p[i] >= 'a' && x.p[i] <= 'z') || (x.p[i] >= '0' && x.p[i] <= '9') || x.p[i] == '-'))
			return false;
	return x.n > 0 && x.n < 64;
}

static bool is(struct part x, const char *text)
{
	return x.n == strlen(text) && !memcmp(x.p, text, x.n);
}

/* Account, service and region at part[0..2]. */
static bool is_begin(const struct part *part, bool hive)
{
	/* The transit gateways' page writes "service=", the VPCs' "aws-service=". */
	struct part service = value_of(part[1], "aws-service", hive);

	if (hive && !service.n)
		service = value_of(part[1], "service", true);
	return is_account(value_of(part[0], "aws-account-id", hive)) && is(service, SERVICE) &&
	       is_region(value_of(part[2], "aws-region", hive));
}

static const struct date_part {
	const char *key;
	size_t n;
	int min, max;
} date_parts[] = {{"year", 4, 1970, 9999}, {"month", 2, 1, 12}, {"day", 2, 1, 31}, {"hour", 2, 0, 23}};

static enum fl_layout_level dates(const struct part *part, size_t n, bool hive, struct fl_layout_span *ret)
{
	int v[FL_ARRAY_LEN(date_parts)] = {0, 1, 1, 0};
	size_t known = 0;
	int64_t from, to;

	for (; known < n && known < FL_ARRAY_LEN(date_parts); known++) {
		const struct date_part *d = &date_parts[known];
		struct part x = value_of(part[known], d->key, hive);
		int number = x.n == d->n ? digits(x.p, x.n) : -1;

		if (number < d->min || number > d->max)
			break;
		v[known] = number;
	}
	if (known >= 3 && (unsigned)v[2] > days_in((unsigned)v[0], (unsigned)v[1]))
		known = 2;
	if (!known)
		return FL_LAYOUT_REGION;
	from = days_of(v[0], (unsigned)v[1], known >= 3 ? (unsigned)v[2] : 1) * 86400;
	if (known == 4)
		from += 3600 * v[3];
	switch (known) {
	case 1:
		to = days_of(v[0] + 1, 1, 1) * 86400;
		break;
	case 2:
		to = from + 86400 * (int64_t)days_in((unsigned)v[0], (unsigned)v[1]);
		break;
	default:
		to = from + (known == 3 ? 86400 : 3600);
	}
	*ret = around(from, to - 1);
	return (enum fl_layout_level)(FL_LAYOUT_REGION + known);
}

enum fl_layout_level fl_layout_of_dir(const char *path, struct fl_layout_span *ret)
{
	struct part part[PARTS_MAX];
	size_t n = 0;

	*ret = FL_LAYOUT_ANY;
	for (const char *p = path; *p && n < PARTS_MAX;) {
		size_t len = strcspn(p, "/");

		if (len)
			part[n++] = (struct part){p, len};
		p += len + (p[len] == '/');
	}
	/* The last of them: what stands above it may be anybody's. */
	for (size_t i = n; i-- > 2;)
		for (int hive = 0; hive <= 1; hive++)
			if (is_begin(&part[i - 2], hive))
				return dates(&part[i + 1], n - i - 1, hive, ret);
	return FL_LAYOUT_NONE;
}

/* ---- names ---- */

/* "YYYYMMDDTHHmmZ" */
#define TIME_LETTERS 14
static bool slot_time(const char *p, int64_t *ret)
{
	int year = digits(p, 4), month = digits(p + 4, 2), day = digits(p + 6, 2), hour = digits(p + 9, 2),
	    minute = digits(p + 11, 2);

	if (p[8] != 'T' || p[13] != 'Z' || year < 1970 || month < 1 || month > 12 || day < 1 ||
	    (unsigned)day > days_in((unsigned)year, (unsigned)month) || hour < 0 || hour > 23 || minute < 0 ||
	    minute > 59)
		return false;
	*ret = days_of(year, (unsigned)month, (unsigned)day) * 86400 + hour * 3600 + minute * 60;
	return true;
}

bool fl_layout_of_name(const char *name, struct fl_layout_span *ret, struct fl_str *ret_log, int64_t *ret_slot)
{
	const char *end = name + strlen(name), *log, *time;
	int64_t slot;
	struct part region;

	/* ACCOUNT_vpcflowlogs_ */
	if (end - name < 13 || name[12] != '_' || !is_account((struct part){name, 12}) ||
	    strncmp(name + 13, SERVICE "_", strlen(SERVICE "_")) != 0)
		return false;
	region.p = name + 13 + strlen(SERVICE "_");
	region.n = strcspn(region.p, "_");
	log = region.p + region.n;
	if (!is_region(region) || !*log++)
		return false;
	time = log + strcspn(log, "_");
	if (strncmp(log, "fl-", 3) != 0 || !*time++ || end - time <= TIME_LETTERS || time[TIME_LETTERS] != '_' ||
	    !slot_time(time, &slot))
		return false;
	if (ret)
		*ret = around(slot, slot);
	if (ret_log)
		*ret_log = (struct fl_str){log, (size_t)(time - 1 - log)};
	if (ret_slot)
		*ret_slot = slot;
	return true;
}
