/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What environment and shared files say, in AWS's order: an option of ours, the environment, the profile. A profile is
 * looked up in the credentials file first, then in the config file (as the AWS CLI does).
 */
#pragma once

#include <stdbool.h>

#include "aws/aws.h"
#include "aws/ini.h"
#include "base/mem.h"

#define FL_AWS_PATH_MAX 4096

struct fl_aws_settings {
	struct fl_aws_host host; /* complete: no member is NULL but ctx */
	struct fl_ini config, credentials;
	char config_path[FL_AWS_PATH_MAX], credentials_path[FL_AWS_PATH_MAX];
	char *profile;
	bool profile_named; /* by the option: keys of the environment are then passed over */
	char *region;       /* NULL: nobody said */
	char *endpoint_url; /* the option; NULL: look */
	char *ca_bundle;
	unsigned attempts;
	bool fips, dual_stack;
};

int fl_aws_settings_init(struct fl_aws_settings *s, const struct fl_s3_options *options);
void fl_aws_settings_free(struct fl_aws_settings *s);

const char *fl_aws_env(const struct fl_aws_settings *s, const char *name); /* NULL when empty too */
bool fl_aws_env_true(const struct fl_aws_settings *s, const char *name);
const char *fl_aws_profile_get(const struct fl_aws_settings *s, const char *profile, const char *name);
bool fl_aws_profile_exists(const struct fl_aws_settings *s, const char *profile);
/* The endpoint that was asked for, NULL for AWS's own. service as in AWS_ENDPOINT_URL_S3, in lower case: s3, sts. */
const char *fl_aws_endpoint(const struct fl_aws_settings *s, const char *service);
/* "amazonaws.com", and what other partitions have */
const char *fl_aws_domain(const char *region);
/* A profile's setting that takes part in a request's host: letters, digits and hyphens. */
bool fl_aws_is_region(const char *text);
/* $HOME/rest; -ENOENT with a sentence without HOME and entry of passwd. */
int fl_aws_home(const struct fl_aws_settings *s, const char *rest, char ret[FL_AWS_PATH_MAX]);
