/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The usual chain: environment, web identity, profile (role, single sign-on, keys, process), container, instance. The
 * first that has credentials gives them; one that is set up and fails ends the search with its reason.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "aws/http.h"
#include "aws/settings.h"

#define FL_KEY_ID_MAX 160 /* AWS: 16 to 128 characters */
#define FL_SECRET_MAX 256
#define FL_TOKEN_MAX 16384 /* AWS names no limit; today's are below 2 KiB */
#define FL_FROM_MAX 512

struct fl_credentials {
	char id[FL_KEY_ID_MAX], secret[FL_SECRET_MAX], token[FL_TOKEN_MAX];
	int64_t expires;        /* Unix seconds, INT64_MAX: never */
	char from[FL_FROM_MAX]; /* for messages: profile "x" of /home/a/.aws/credentials */
};

struct fl_chain;
/* Both are kept by reference. */
int fl_chain_new(struct fl_chain **ret, const struct fl_aws_settings *settings, struct fl_http *http);
void fl_chain_free(struct fl_chain **chain);
/* Kept until they are about to expire, or renew says that the server did not take those with this key any more. */
int fl_chain_get(struct fl_chain *chain, const char *renew, struct fl_credentials *ret);
void fl_credentials_wipe(struct fl_credentials *c);

/* ---- between the files of the chain ---- */

struct fl_lookup {
	const struct fl_aws_settings *settings;
	struct fl_http *http;
	struct fl_buf looked; /* what was looked at, in order, for the message when there is nothing */
};

/* 0: got; 1: not set up (noted in looked); negative: set up, and failed. */
typedef int (*fl_provider_fn)(struct fl_lookup *l, struct fl_credentials *ret);
int fl_from_container(struct fl_lookup *l, struct fl_credentials *ret);
int fl_from_instance(struct fl_lookup *l, struct fl_credentials *ret);

struct fl_role {
	const char *arn, *session_name, *external_id, *duration_s; /* NULL: not said; the ARN always is */
};
int fl_assume_role(struct fl_lookup *l, const struct fl_role *role, const struct fl_credentials *as,
		   struct fl_credentials *ret);
int fl_assume_role_web(struct fl_lookup *l, const struct fl_role *role, const char *token_file,
		       struct fl_credentials *ret);
int fl_from_sso(struct fl_lookup *l, const char *profile, struct fl_credentials *ret);
int fl_from_process(struct fl_lookup *l, const char *command, struct fl_credentials *ret);

int fl_looked(struct fl_lookup *l, const char *fmt, ...) __attribute__((format(printf, 2, 3))); /* returns 1 */
/* Sets a part of ret; -EPROTO with a sentence (without the value) when it is missing, too long or no header's text. */
int fl_set_keys(struct fl_credentials *ret, const char *id, const char *secret, const char *token);
/* The JSON of processes, containers and instances; what: who said it. */
int fl_keys_from_json(const char *what, const char *text, size_t n, const char *token_name, struct fl_credentials *ret);
/* "2026-11-25T08:00:00Z", also with a fraction and +00:00; INT64_MAX for NULL; 0 with -EINVAL for what is no time. */
int fl_parse_expiry(const char *text, int64_t *ret);
/* A request with retries. attempts 0: as the settings say. */
int fl_aws_ask(struct fl_lookup *l, const struct fl_http_request *request, unsigned attempts,
	       struct fl_http_answer *ret);
/* "20150830T123600Z" */
void fl_amz_date(int64_t unix_s, char ret[20]);
