/* SPDX-License-Identifier: Apache-2.0 */
#include "query/library.h"

#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/mem.h"

#define OLDEST_MAJOR 1
#define OLDEST_MINOR 4
#define HOW_TO_GET_IT                                                                                                  \
	"'make duckdb' in Flowlog's source tree fetches it, or put libduckdb.so (1.4 or later) "                       \
	"beside flowlog or name it with FL_DUCKDB=/path"

/* After the program's own directory come these; a name without a slash is the loader's business. */
static const char *const beside_program[] = {"libduckdb.so", "../lib/flowlog/libduckdb.so", NULL};
static const char *const elsewhere[] = {"/usr/local/lib/libduckdb.so", "libduckdb.so", NULL};

static struct fl_duckdb loaded; /* written once, before the library's threads start */

static int resolve(struct fl_duckdb *d)
{
	static const struct {
		const char *name;
		size_t offset;
	} calls[] = {
#define ROW(returns, name, args) {"duckdb_" #name, offsetof(struct fl_duckdb, name)},
	    FL_DUCKDB_CALLS(ROW)
#undef ROW
	};

	for (size_t i = 0; i < FL_ARRAY_LEN(calls); i++) {
		void *at = dlsym(d->handle, calls[i].name);

		if (!at)
			return fl_fail(-EINVAL, "this libduckdb.so has no %s; 1.4 or later is needed", calls[i].name);
		memcpy((char *)d + calls[i].offset, &at, sizeof at);
	}
	return 0;
}

static int check_version(const struct fl_duckdb *d)
{
	const char *version = d->library_version();
	unsigned major, minor;

	/* Development builds carry other names: taken at their word. */
	if (sscanf(version, "v%u.%u", &major, &minor) == 2 && major &&
	    (major < OLDEST_MAJOR || (major == OLDEST_MAJOR && minor < OLDEST_MINOR)))
		return fl_fail(-EINVAL, "libduckdb.so is %s, %d.%d or later is needed; " HOW_TO_GET_IT, version,
			       OLDEST_MAJOR, OLDEST_MINOR);
	return 0;
}

static void *open_first(void)
{
	char path[PATH_MAX + 64];
	void *handle = NULL;
	ssize_t n = readlink("/proc/self/exe", path, PATH_MAX);

	while (n > 0 && path[n - 1] != '/')
		n--;
	for (size_t i = 0; n > 0 && !handle && beside_program[i]; i++) {
		snprintf(path + n, sizeof path - (size_t)n, "%s", beside_program[i]);
		handle = access(path, F_OK) ? NULL : dlopen(path, RTLD_NOW | RTLD_LOCAL);
	}
	for (size_t i = 0; !handle && elsewhere[i]; i++)
		handle = dlopen(elsewhere[i], RTLD_NOW | RTLD_LOCAL);
	return handle;
}

int fl_duckdb_load(struct fl_duckdb *ret)
{
	const char *named = getenv("FL_DUCKDB");
	struct fl_duckdb d = {.handle = named ? dlopen(named, RTLD_NOW | RTLD_LOCAL) : open_first()};
	int r;

	if (!d.handle && named)
		return fl_fail(-ENOENT, "FL_DUCKDB=%s cannot be loaded (%s); " HOW_TO_GET_IT, named, dlerror());
	if (!d.handle)
		return fl_fail(-ENOENT, "SQL needs DuckDB's library, which is not here: " HOW_TO_GET_IT);
	r = resolve(&d);
	if (!r)
		r = check_version(&d);
	if (!r)
		*ret = loaded = d;
	return r;
}

const struct fl_duckdb *fl_duckdb_loaded(void)
{
	return &loaded;
}
