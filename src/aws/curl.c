/* SPDX-License-Identifier: Apache-2.0 */
#include "aws/curl.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stddef.h>
#include <string.h>

#include "base/error.h"
#include "base/mem.h"

/* The flavours share one interface; by what is most often there. */
static const char *const libraries[] = {"libcurl.so.4", "libcurl-gnutls.so.4", "libcurl-nss.so.4"};

static struct fl_curl calls;
static const char *missing; /* NULL: all there */
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void load(void)
{
	static const struct {
		const char *name;
		size_t offset;
	} table[] = {
#define ROW(name) {"curl_" #name, offsetof(struct fl_curl, name)},
	    FL_CURL_CALLS(ROW)
#undef ROW
	};
	void *handle = NULL;

	for (size_t i = 0; i < FL_ARRAY_LEN(libraries) && !handle; i++)
		handle = dlopen(libraries[i], RTLD_NOW | RTLD_LOCAL);
	missing = handle ? NULL : "libcurl.so.4";
	for (size_t i = 0; handle && !missing && i < FL_ARRAY_LEN(table); i++) {
		void *at = dlsym(handle, table[i].name);

		if (!at)
			missing = table[i].name;
		memcpy((char *)&calls + table[i].offset, &at, sizeof at);
	}
	if (!missing && calls.global_init(CURL_GLOBAL_DEFAULT))
		missing = "curl_global_init";
}

int fl_curl_load(const struct fl_curl **ret)
{
	pthread_once(&once, load);
	*ret = &calls;
	if (missing)
		return fl_fail(-ENOENT,
			       "reading a bucket needs libcurl 7.68 or later, and %s is not here: install libcurl4",
			       missing);
	return 0;
}
