/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The calls of libcurl that are used, resolved when the first request is made: a program that links libcurl loads it
 * and 30 libraries behind it at every start. Its header (7.68 or later) is needed to build, its library only to run.
 */
#pragma once

#define CURL_DISABLE_TYPECHECK
#include <curl/curl.h>

#define FL_CURL_CALLS(X)                                                                                               \
	X(global_init)                                                                                                 \
	X(easy_init)                                                                                                   \
	X(easy_setopt)                                                                                                 \
	X(easy_getinfo)                                                                                                \
	X(easy_reset)                                                                                                  \
	X(easy_cleanup)                                                                                                \
	X(easy_strerror)                                                                                               \
	X(multi_init)                                                                                                  \
	X(multi_add_handle)                                                                                            \
	X(multi_remove_handle)                                                                                         \
	X(multi_setopt)                                                                                                \
	X(multi_perform)                                                                                               \
	X(multi_poll)                                                                                                  \
	X(multi_info_read)                                                                                             \
	X(multi_cleanup)                                                                                               \
	X(share_init)                                                                                                  \
	X(share_setopt)                                                                                                \
	X(share_cleanup)                                                                                               \
	X(slist_append)                                                                                                \
	X(slist_free_all)

struct fl_curl {
#define FL_CURL_MEMBER(name) __typeof__(curl_##name) *name;
	FL_CURL_CALLS(FL_CURL_MEMBER)
#undef FL_CURL_MEMBER
};

/* Once for the process; it stays loaded. -ENOENT with a sentence when there is none. */
int fl_curl_load(const struct fl_curl **ret);
