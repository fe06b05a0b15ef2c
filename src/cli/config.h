/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The configuration file: YAML whose keys are those of the options' tables, and the list flow_logs.
 * Read from events, so that nothing in it can grow: no aliases, no anchors, a ceiling on size,
 * depth and number of values. Errors are -EBADMSG with "file:line: message".
 */
#pragma once

#include <stddef.h>

#include "cli/cli.h"
#include "deliver/deliver.h"

#define FL_CONFIG_BYTES_MAX ((size_t)1 << 20)
#define FL_CONFIG_DEPTH_MAX 8
#define FL_CONFIG_VALUES_MAX 10000
#define FL_CONFIG_FLOW_LOGS_MAX 64
#define FL_CONFIG_DEFAULT_PATH "/etc/flowlog/flowlog.yaml"

struct fl_config;
/* One value; a list has one entry an element, in order. Strings live as long as the configuration.
 */
struct fl_config_value {
	const char *key, *text; /* text NULL: an empty list */
	unsigned line;
	bool in_list;
};

/* Keys are checked against options; values are not looked at beyond flow_logs. */
int fl_config_parse(struct fl_config **ret, const struct fl_option *options, const char *file, const char *text,
		    size_t n);
int fl_config_load(struct fl_config **ret, const struct fl_option *options, const char *file);
void fl_config_free(struct fl_config **c);
const char *fl_config_file(const struct fl_config *c);
const struct fl_config_value *fl_config_values(const struct fl_config *c, size_t *ret_n);
/* NULL: the file has no flow_logs; an empty list is another thing: then *ret_n is 0 and the pointer
 * is not NULL. account_id and region are left empty; format and id are always set. */
const struct fl_flow_log *fl_config_flow_logs(const struct fl_config *c, size_t *ret_n);

/* The id follows from what the flow log is: with another format, interval or destination it is another one, and the
 * files of the two are never mixed up. */
int fl_flow_log_derive_id(struct fl_flow_log *log);

/* Completes the interval, and refuses what AWS does for a format of this kind. */
int fl_flow_log_check_kind(struct fl_flow_log *log);

/* "arn:aws:s3:::bucket/prefix" or "bucket/prefix" into bucket and prefix, by AWS's rules. */
int fl_flow_log_set_destination(struct fl_flow_log *log, const char *destination);
