/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Log lines on standard error, for programs only (libraries return errors). With JOURNAL_STREAM set
 * each line starts with the syslog priority "<N>", otherwise with an RFC 3339 UTC time stamp. One
 * event a line; control characters in arguments are shown escaped.
 */
#pragma once

enum fl_log_level { FL_LOG_ERR = 3, FL_LOG_WARNING = 4, FL_LOG_NOTICE = 5, FL_LOG_INFO = 6, FL_LOG_DEBUG = 7 };

void fl_log_set_level(enum fl_log_level max);
void fl_log_set_role(const char *role); /* prefix "role: "; the string is kept, not copied */
void fl_log(enum fl_log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#define fl_err(...) fl_log(FL_LOG_ERR, __VA_ARGS__)
#define fl_warn(...) fl_log(FL_LOG_WARNING, __VA_ARGS__)
#define fl_info(...) fl_log(FL_LOG_INFO, __VA_ARGS__)
#define fl_debug(...) fl_log(FL_LOG_DEBUG, __VA_ARGS__)
